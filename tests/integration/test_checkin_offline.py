"""The door without a network: the bundle it carries, what changed since, codes checked with it, scans uploaded afterwards."""

import base64
import datetime
import gzip
import hashlib
import json
import subprocess
import uuid

import psycopg
import pytest
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from api import from_now, seating_plan
from door import Device, Sale
from organiser import make_staff
from service import wait_until


@pytest.fixture
def db(boxoffice):
    with psycopg.connect(boxoffice.database_url, autocommit=True) as conn:
        yield conn


@pytest.fixture
def show(admin):
    return admin.make_show(cancellation={"until": from_now(6 * 86400)}, prices={"Stalls": 4500, "Balcony": 3000})


@pytest.fixture
def door(admin, show):
    return Device(admin, show)


def unbase64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def opened(office, envelope):
    """The bundle's members, its signature checked with the published keys by another library than ours."""
    keys = {key["key_id"]: key for key in office.api().get("/v1/tickets/keys").expect(200)["keys"]}
    key = VerifyKey(unbase64(keys[envelope["key_id"]]["public_key"]))
    key.verify(b"boxoffice door\n" + envelope["bundle"].encode(), unbase64(envelope["signature"]))
    return json.loads(envelope["bundle"])


class Offline:
    """A door as docs/door.md describes it: what it knows comes from bundles alone."""

    def __init__(self, client, office, show):
        self.client, self.office, self.path = client, office, f"/v1/shows/{show.show_id}/door"
        self.apply(client.get(self.path).expect(200))

    def apply(self, envelope):
        b = opened(self.office, envelope)
        if b["kind"] == "full":
            self.revoked, self.used = set(b["revoked"]), {ticket: at for ticket, at in b["used"]}
            self.seats = [(zone["name"], row["row"], guid, number, b["categories"][category]["name"])
                          for zone in b["zones"] for row in zone["rows"] for guid, number, category in row["seats"]]
        else:
            self.revoked |= set(b["revoked"])
            self.used.update({ticket: at for ticket, at in b["used"]})
            for ticket in b["valid"]:
                self.used.pop(ticket, None)
            for ticket in self.revoked:
                self.used.pop(ticket, None)
        self.keys = {unbase64(key["public_key"]) for key in b["keys"]}
        self.show_id, self.cursor, self.bundle = b["show_id"], b["cursor"], b
        return b

    def refresh(self):
        return self.apply(self.client.get(f"{self.path}?since={self.cursor}").expect(200))

    def judge(self, code):
        raw = base64.b32decode(code[4:] + "=" * 4)
        payload, signature = raw[:43], raw[43:]
        for key in self.keys:
            try:
                VerifyKey(key).verify(b"boxoffice ticket\n" + payload, signature)
                break
            except BadSignatureError:
                continue
        else:
            return "invalid"
        ticket = str(uuid.UUID(bytes=payload[21:37]))
        if str(uuid.UUID(bytes=payload[5:21])) != self.show_id:
            return "wrong_show"
        return "revoked" if ticket in self.revoked else "already_used" if ticket in self.used else "ok"

    def seat(self, code):
        return self.seats[int.from_bytes(base64.b32decode(code[4:] + "=" * 4)[37:41], "big")]


# ---- the bundle ----------------------------------------------------------------------------------------------------------

def test_a_door_judges_by_its_bundle(boxoffice, admin, show, door):
    sale = Sale(boxoffice, show, ["A-1", "A-2", "B-3"])
    other = Sale(boxoffice, admin.make_show(), ["A-1"])
    offline = Offline(admin, boxoffice, show)
    assert [offline.judge(code) for code in sale.codes] == ["ok"] * 3
    assert offline.judge(other.codes[0]) == "wrong_show"
    assert offline.seat(sale.codes[2]) == ("Hall", "B", "B-3", "3", "Balcony")
    b = offline.bundle
    assert b["kind"] == "full" and b["status"] == "published" and b["timezone"] == "Europe/Vienna"
    assert b["as_of"] <= from_now(0) < b["expires_at"]
    door.scan(sale.codes[0])
    sale.cancel([sale.tickets[1]["seat"]]).expect(200)
    later = Sale(boxoffice, show, ["C-1"])
    delta = offline.refresh()
    assert delta["kind"] == "delta" and "zones" not in delta
    assert delta["revoked"] == [sale.tickets[1]["ticket_id"]] and [ticket for ticket, _ in delta["used"]] == [sale.tickets[0]["ticket_id"]]
    assert [offline.judge(code) for code in sale.codes + later.codes] == ["already_used", "revoked", "ok", "ok"]
    door.undo(code=sale.codes[0]).expect(200)
    assert offline.refresh()["valid"] == [sale.tickets[0]["ticket_id"]]
    assert offline.judge(sale.codes[0]) == "ok"
    # reissued, transferred
    made = sale.buyer.post(f"/v1/shows/{show.show_id}/tickets/{sale.tickets[0]['ticket_id']}/reissue", {}).expect(201)
    sale.buyer.post(f"/v1/shows/{show.show_id}/bookings/{sale.booking_id}/transfer",
                    {"seats": ["B-3"], "to": {"name": "Evelyn", "email": "eve@example.org"}}).expect(200)
    offline.refresh()
    assert [offline.judge(code) for code in (sale.codes[0], made["code"], sale.codes[2])] == ["revoked", "ok", "revoked"]
    # who begins anew knows the same
    assert Offline(admin, boxoffice, show).revoked == offline.revoked
    text = json.dumps(offline.client.get(offline.path).expect(200))
    for personal in ("Lovelace", "ada@example.org", "Evelyn", sale.booking["reference"]):
        assert personal not in text


def test_nothing_is_missed_while_others_are_committing(boxoffice, admin, show, door, db):
    """A check-in whose transaction began before a bundle and is committed after it is in the next delta."""
    sale = Sale(boxoffice, show, show.seats[:3])
    offline = Offline(admin, boxoffice, show)
    with psycopg.connect(boxoffice.database_url) as slow:
        slow.execute("UPDATE tickets SET state = 'used', used_at = now(), version = version + 1 WHERE ticket_id = %s",
                     [sale.tickets[0]["ticket_id"]])
        door.scan(sale.codes[1])  # later, and committed earlier
        offline.refresh()
        assert [offline.judge(code) for code in sale.codes] == ["ok", "already_used", "ok"]
        slow.commit()
    offline.refresh()
    assert [offline.judge(code) for code in sale.codes] == ["already_used", "already_used", "ok"]
    db.execute("VACUUM (FREEZE) tickets")
    offline.refresh()
    assert [offline.judge(code) for code in sale.codes] == ["already_used", "already_used", "ok"]


def test_a_cursor_that_is_not_known_gets_everything(boxoffice, admin, show):
    other = Offline(admin, boxoffice, admin.make_show())
    offline = Offline(admin, boxoffice, show)
    history, number = offline.cursor.split("-")
    for since in ("x", "", "-", f"{history}-", f"{history}-x", f"{history}--1", f"{history}-{2**70}", f"{'0' * 16}-{number}", other.cursor,
                  "%00", "a" * 64):
        b = opened(boxoffice, admin.get(f"{offline.path}?since={since}").expect(200))
        assert b["kind"] == "full" and len(b["zones"]) == 1, since


def test_another_plan_is_sent_in_full(boxoffice, admin):
    """The seats of a bundle are those of the show: a delta has none, so it is not given to who has the old ones."""
    show = admin.make_show(seats=4)
    offline = Offline(admin, boxoffice, show)
    plan = admin.make_plan(show.venue_id, seating_plan(3))
    admin.patch(f"/v1/shows/{show.show_id}", {"plan_id": plan["plan_id"]}).expect(200)
    # not every process knows of the change at once
    wait_until(lambda: offline.refresh() and len(offline.seats) == 3, "the seats of the other plan")
    wait_until(lambda: offline.refresh()["kind"] == "delta" and len(offline.seats) == 3, "nothing new")


def test_etags(boxoffice, admin, show, door):
    sale = Sale(boxoffice, show, show.seats[:2])
    path = f"/v1/shows/{show.show_id}/door"

    def get(tag=None, **headers):
        return admin.get(path, headers={**({"If-None-Match": tag} if tag else {}), **headers})

    for _ in range(3):  # as_of may pass over to the next five minutes between two
        first, second = get(), get()
        if first.headers["ETag"] == second.headers["ETag"]:
            break
    assert first.body == second.body, "the same in every process"
    tag = first.headers["ETag"]
    assert get(tag).status == 304 and get(f'"x", {tag}').status == 304
    packed = get(**{"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip" and packed.headers["ETag"] != tag
    assert gzip.decompress(packed.body) == first.body
    assert get(packed.headers["ETag"], **{"Accept-Encoding": "gzip"}).status == 304
    door.scan(sale.codes[0])
    assert get(tag).status == 200
    assert get(tag).headers["ETag"] != tag


def test_a_new_key_is_in_the_bundle(boxoffice, admin, show, door):
    old = Sale(boxoffice, show, ["A-1"])
    boxoffice.run_admin("key", "rotate")
    new = Sale(boxoffice, show, ["A-2"])
    # a door that has never heard of the key scans at once
    assert door.reason(new.codes[0]) == "ok" and door.reason(old.codes[0]) == "ok"
    offline = Offline(admin, boxoffice, show)
    assert len(offline.keys) >= 2
    assert [offline.judge(code) for code in old.codes + new.codes] == ["already_used"] * 2


# ---- verify-ticket with a bundle -----------------------------------------------------------------------------------------

def verify(build_dir, folder, *args):
    done = subprocess.run([str(build_dir / "boxoffice"), "verify-ticket", "--keys", folder / "keys.json", "--bundle",
                           folder / "bundle.json", "--json", *args], capture_output=True, text=True, timeout=60)
    return done.returncode, [json.loads(line)["reason"] for line in done.stdout.splitlines()], done.stderr


def test_verify_ticket_with_a_bundle(build_dir, boxoffice, admin, show, door, tmp_path):
    sale = Sale(boxoffice, show, ["A-1", "A-2", "A-3"])
    other = Sale(boxoffice, admin.make_show(), ["A-1"])
    door.scan(sale.codes[0])
    sale.cancel(["A-2"]).expect(200)
    (tmp_path / "keys.json").write_bytes(boxoffice.api().get("/v1/tickets/keys").body)
    envelope = admin.get(f"/v1/shows/{show.show_id}/door").body
    (tmp_path / "bundle.json").write_bytes(envelope)
    codes = [*sale.codes, other.codes[0], "x"]
    assert verify(build_dir, tmp_path, *codes) == (1, ["already_used", "revoked", "ok", "wrong_show", "malformed"], "")
    assert verify(build_dir, tmp_path, sale.codes[2]) == (0, ["ok"], "")
    status, _, said = verify(build_dir, tmp_path, "--show", str(uuid.uuid4()), sale.codes[2])
    assert status == 2 and "another show" in said
    # changed, by somebody who let himself in
    (tmp_path / "bundle.json").write_bytes(envelope.replace(sale.tickets[0]["ticket_id"].encode(), str(uuid.uuid4()).encode()))
    status, _, said = verify(build_dir, tmp_path, sale.codes[0])
    assert status == 2 and "forged or damaged" in said
    (tmp_path / "bundle.json").write_bytes(admin.get(f"/v1/shows/{show.show_id}/door?since={json.loads(json.loads(envelope)['bundle'])['cursor']}").body)
    status, _, said = verify(build_dir, tmp_path, sale.codes[0])
    assert status == 2 and "since another bundle" in said
    # signed by somebody else
    (tmp_path / "bundle.json").write_bytes(envelope)
    ours = json.loads((tmp_path / "keys.json").read_text())["keys"]
    signed_by = json.loads(envelope)["key_id"]
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [key | {"status": "revoked"} if key["key_id"] == signed_by else key
                                                             for key in ours]}))
    status, _, said = verify(build_dir, tmp_path, sale.codes[2])
    assert status == 2 and "not among the trusted ones" in said


def test_a_bundle_that_is_over(build_dir, tmp_path):
    """Made here, signed with a key of this test's own."""
    key = SigningKey.generate()
    public = bytes(key.verify_key)
    published = {"key_id": hashlib.blake2b(public, digest_size=32).hexdigest()[:8], "algorithm": "Ed25519", "status": "active",
                 "public_key": base64.urlsafe_b64encode(public).decode().rstrip("=")}
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [published]}))

    def write(expires):
        text = json.dumps({"format": "boxoffice-door-1", "kind": "full", "show_id": str(uuid.uuid4()), "as_of": from_now(-90000),
                           "expires_at": from_now(expires), "keys": [published], "revoked": [], "used": []})
        signature = key.sign(b"boxoffice door\n" + text.encode()).signature
        (tmp_path / "bundle.json").write_text(json.dumps({
            "algorithm": "Ed25519", "key_id": published["key_id"], "bundle": text,
            "signature": base64.urlsafe_b64encode(signature).decode().rstrip("=")}))

    write(60)
    assert verify(build_dir, tmp_path, "x") == (1, ["malformed"], "")
    write(-1)
    status, found, said = verify(build_dir, tmp_path, "x")
    assert (status, found) == (2, []) and "was good until" in said and "--expired-ok" in said
    status, found, said = verify(build_dir, tmp_path, "--expired-ok", "x")
    assert (status, found) == (1, ["malformed"]) and "was good until" in said


# ---- upload --------------------------------------------------------------------------------------------------------------

def utc(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def test_offline_scans_count_as_check_ins(boxoffice, admin, show, door):
    sale = Sale(boxoffice, show, show.seats[:4])
    scans = [(f"n{n}", code, from_now(-600 + 60 * n)) for n, code in enumerate(sale.codes[:3])]
    said = door.upload(scans, from_now(0)).expect(200)
    assert (said["ok"], said["refused"]) == (3, 0) and abs(said["clock_skew_ms"]) < 5000
    assert [item["nonce"] for item in said["items"]] == ["n0", "n1", "n2"]
    assert [item["ticket"]["seat"] for item in said["items"]] == show.seats[:3]
    assert [abs((utc(item["first_used_at"]) - utc(at)).total_seconds()) < 5 for item, (_, _, at) in zip(said["items"], scans)] == [True] * 3
    assert door.upload(scans, from_now(0)).expect(200)["items"] == said["items"], "once more"
    # shuffled, with one more
    more = door.upload([("n9", sale.codes[3], from_now(-1)), *reversed(scans)], from_now(0)).expect(200)
    assert [item["nonce"] for item in more["items"]] == ["n9", "n2", "n1", "n0"] and more["items"][3] == said["items"][0]
    assert [item["status"] for item in sale.items()] == ["used"] * 4
    online = door.scan(sale.codes[0])
    assert online["reason"] == "already_used" and online["first_used_at"] == said["items"][0]["first_used_at"]
    # the scan whose answer was lost, uploaded
    door.undo(code=sale.codes[0]).expect(200)
    first = door.scan(sale.codes[0], "lost")
    assert door.upload([("lost", sale.codes[0], from_now(0))], from_now(0)).expect(200)["items"][0]["result"] == "ok"
    assert door.scan(sale.codes[0], "lost") == first
    door.upload([("lost", sale.codes[1], from_now(0))], from_now(0)).expect(422, "idempotency_mismatch")


def test_an_upload_that_is_refused_records_nothing(boxoffice, show, door):
    sale = Sale(boxoffice, show, show.seats[:3])
    at = from_now(-5)
    door.scan(sale.codes[0], "n0")
    answer = door.upload([("n1", sale.codes[1], at), ("n0", sale.codes[2], at)], from_now(0)).expect(422, "idempotency_mismatch")
    assert answer["path"] == "/scans/1/nonce"
    assert [item["status"] for item in sale.items()] == ["used", "valid", "valid"]
    # mended and sent again
    said = door.upload([("n1", sale.codes[1], at), ("n2", sale.codes[2], at)], from_now(0)).expect(200)
    assert said["ok"] == 2


def test_a_clock_that_is_off_is_corrected(boxoffice, admin, show):
    """Two devices, one an hour fast, one a year slow; who was first by true time is first by the clocks."""
    sale = Sale(boxoffice, show, show.seats[:2])
    fast, slow = Device(admin, show, "Fast"), Device(admin, show, "Slow")
    hour, year = 3600, 365 * 86400
    # truly: slow at -300 s, fast at -200 s
    said = fast.upload([("1", sale.codes[0], from_now(hour - 200))], from_now(hour)).expect(200)
    assert abs(said["clock_skew_ms"] + hour * 1000) < 5000 and said["ok"] == 1
    said = slow.upload([("1", sale.codes[0], from_now(-year - 300))], from_now(-year)).expect(200)
    [item] = said["items"]
    assert (item["result"], item["reason"]) == ("refused", "already_used")
    assert item["conflict"] == {"first_by_record": "Fast", "first_by_clock": "Slow"}
    # and the other way around
    slow.upload([("2", sale.codes[1], from_now(-year - 300))], from_now(-year)).expect(200)
    [item] = fast.upload([("2", sale.codes[1], from_now(hour - 200))], from_now(hour)).expect(200)["items"]
    assert item["conflict"] == {"first_by_record": "Slow", "first_by_clock": "Slow"}
    # nothing was scanned in the future
    [item] = fast.upload([("3", "x", from_now(5 * hour))], from_now(hour)).expect(200)["items"]
    assert item["scanned_at"] <= from_now(1)


def test_conflicts(boxoffice, admin, show, door):
    sale = Sale(boxoffice, show, show.seats[:5])
    other = Sale(boxoffice, admin.make_show(), ["A-1"])
    door.scan(sale.codes[0])
    sale.cancel([sale.tickets[1]["seat"]]).expect(200)
    offline = Device(admin, show)
    said = offline.upload([("a", sale.codes[0], from_now(-900)), ("b", sale.codes[1], from_now(-800)), ("c", other.codes[0], from_now(-1)),
                           ("e", sale.codes[2], from_now(-5)), ("d", sale.codes[2], from_now(-9)), ("f", "junk", from_now(-1)),
                           ("h", sale.codes[3], "2026-01-01T00:00:00Z"), ("g", sale.codes[3], "2026-01-01T00:00:00Z")],
                          from_now(0)).expect(200)
    found = {item["nonce"]: item.get("reason", "ok") for item in said["items"]}
    assert found == {"a": "already_used", "b": "cancelled", "c": "wrong_show", "d": "ok", "e": "already_used", "f": "invalid",
                     "g": "ok", "h": "already_used"}, "of one ticket the earliest counts, then the lesser nonce"
    by = {item["nonce"]: item for item in said["items"]}
    assert by["a"]["conflict"] == {"first_by_record": door.name, "first_by_clock": offline.name}
    assert by["e"]["conflict"] == {"first_by_record": offline.name, "first_by_clock": offline.name}
    assert by["e"]["first_used_at"] == by["d"]["first_used_at"]
    assert "conflict" not in by["b"] and "conflict" not in by["c"]
    assert (said["ok"], said["refused"]) == (2, 6)


def test_when_it_was_scanned_decides_whether_doors_were_open(boxoffice, admin, show, door, db):
    """Uploaded the day after, scanned in time."""
    sale = Sale(boxoffice, show, show.seats[:2])
    db.execute("UPDATE shows SET starts_at = now() - interval '30 hours' WHERE show_id = %s", [show.show_id])
    said = door.upload([("a", sale.codes[0], from_now(-29 * 3600)), ("b", sale.codes[1], from_now(-60))], from_now(0)).expect(200)
    assert [item.get("reason", "ok") for item in said["items"]] == ["ok", "over"]


def test_an_upload_of_a_thousand(boxoffice, admin):
    show = admin.make_show(seats=40)
    sale = Sale(boxoffice, show, show.seats[:10])
    device = Device(admin, show)
    scans = [(f"{n}", sale.codes[n % 10], from_now(-2000 + n)) for n in range(1000)]
    said = device.upload(scans, from_now(0)).expect(200)
    assert (said["ok"], said["refused"]) == (10, 990)
    assert [item["result"] for item in said["items"][:10]] == ["ok"] * 10
    assert device.upload(scans, from_now(0)).expect(200)["items"] == said["items"]


def test_a_device_of_one_show_gets_no_other_bundle(boxoffice, admin, show):
    scanner = make_staff(boxoffice, boxoffice.admin().get("/v1/staff/me").expect(200)["organizer_id"], ["checkin"],
                         device="D", shows=[uuid.UUID(show.show_id)])
    assert opened(boxoffice, scanner.get(f"/v1/shows/{show.show_id}/door").expect(200))["show_id"] == show.show_id
    scanner.get(f"/v1/shows/{admin.make_show().show_id}/door").expect(404, "not_found")
