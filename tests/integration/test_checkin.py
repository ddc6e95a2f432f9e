"""The door with a network: who is let in and who is not and why, what a nonce is worth, undo, counts, tokens of devices, and codes
that die by a cancellation, a transfer, a reissue."""

import base64
import threading
import uuid

import psycopg
import pytest

from api import Api, from_now
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
def sale(boxoffice, show):
    return Sale(boxoffice, show, show.seats[:3])


@pytest.fixture
def door(admin, show):
    return Device(admin, show)


def versions(db, ticket_id):
    """[(type, version)] of the ticket's events."""
    rows = db.execute("SELECT e ->> 'type', (e ->> 'version')::int FROM outbox_events o, json_array_elements(o.events) e"
                      " WHERE o.topic = 'ticket' AND e ->> 'ticket_id' = %s ORDER BY 2", [ticket_id])
    return rows.fetchall()


# ---- who is let in -------------------------------------------------------------------------------------------------------

def test_a_ticket_is_let_in_once(door, sale, show, db):
    said = door.scan(sale.codes[0])
    ticket = sale.tickets[0]
    assert said["result"] == "ok"
    assert said["ticket"] == {"ticket_id": ticket["ticket_id"], "seat": show.seats[0], "zone": "Hall", "row": "A", "number": "1",
                              "category": "Stalls"}
    assert said["first_device"] == door.name and said["first_used_at"] == said["at"]
    other = Device(door.client, show)
    again = other.scan(sale.codes[0])
    assert (again["result"], again["reason"]) == ("refused", "already_used")
    assert again["first_used_at"] == said["first_used_at"] and again["first_device"] == door.name
    assert again["ticket"] == said["ticket"]
    assert [item["status"] for item in sale.items()] == ["used", "valid", "valid"]
    assert ("ticket.used", 2) in versions(db, ticket["ticket_id"])


def test_the_same_nonce_gets_the_same_answer(door, sale):
    first = door.scan(sale.codes[0], "n1")
    assert door.scan(sale.codes[0], "n1") == first
    refused = door.scan(sale.codes[0], "n2")
    assert refused["reason"] == "already_used"
    door.undo(code=sale.codes[0]).expect(200)
    assert door.scan(sale.codes[0], "n1") == first, "after an undo in between"
    assert door.scan(sale.codes[0], "n2") == refused
    # neither of them let anybody in again
    assert door.reason(sale.codes[0], "n3") == "ok"
    junk = door.scan("https://example.org/menu", "n4")
    assert door.scan("https://example.org/menu", "n4") == junk


def test_a_nonce_is_for_one_code_and_one_device(door, sale, show):
    door.scan(sale.codes[0], "n")
    assert door.ask(sale.codes[1], "n").expect(422, "idempotency_mismatch")["path"] == "/nonce"
    door.ask("junk", "n").expect(422, "idempotency_mismatch")
    assert Device(door.client, show).reason(sale.codes[1], "n") == "ok"


def test_two_at_once_are_one(boxoffice, show, sale, rng):
    """Many devices, one ticket, the same moment: one row decides."""
    devices = [Device(boxoffice.admin(), show) for _ in range(12)]
    said = [None] * len(devices)
    gate = threading.Barrier(len(devices))

    def scan(i):
        gate.wait()
        said[i] = devices[i].scan(sale.codes[0])

    threads = [threading.Thread(target=scan, args=(i,)) for i in range(len(devices))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [i for i, answer in enumerate(said) if answer["result"] == "ok"]
    assert len(winners) == 1, said
    assert {answer["first_device"] for answer in said} == {devices[winners[0]].name}
    assert len({answer["first_used_at"] for answer in said}) == 1


def test_one_nonce_from_two_connections_at_once(boxoffice, show, sale):
    name, said = "Door twin", [None] * 8
    gate = threading.Barrier(len(said))

    def scan(i):
        device = Device(boxoffice.admin(), show, name)
        gate.wait()
        said[i] = device.scan(sale.codes[1] if i % 2 else sale.codes[1], "twin")

    threads = [threading.Thread(target=scan, args=(i,)) for i in range(len(said))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(answer == said[0] for answer in said), said
    assert said[0]["result"] == "ok"


@pytest.mark.parametrize("key", ["\r\n", "\n", "\t", "  "])
def test_a_scanner_that_is_a_keyboard_ends_with_a_key(door, sale, key):
    assert door.scan(sale.codes[0] + key, "1")["result"] == "ok"
    assert door.scan(sale.codes[0], "1")["result"] == "ok", "the same scan"
    assert door.scan(key, "2")["reason"] == "invalid"
    said = door.upload([("3", sale.codes[1] + key, from_now(-1))], from_now(0)).expect(200)
    assert [item["result"] for item in said["items"]] == ["ok"]


# ---- who is not ----------------------------------------------------------------------------------------------------------

def test_one_bit_changed_opens_no_door(door, sale, rng):
    """Every bit of what is signed and of the signature: a character of the code holds five. (The parser's: test_code.c.)"""
    code, alphabet = sale.codes[0], "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

    def turned(place, letter):
        return code[:place] + letter + code[place + 1:]

    forged = [turned(place, alphabet[alphabet.index(code[place]) ^ 1 << bit]) for place in range(4, len(code)) for bit in range(5)]
    assert len(set(forged)) == 172 * 5
    said = door.upload([(str(n), text, from_now(-1)) for n, text in enumerate(forged)], from_now(0)).expect(200)
    assert {item.get("reason") for item in said["items"]} <= {"invalid", "unknown_key"}
    for place in rng.sample(range(len(code)), 10):
        for letter in (chr(ord(code[place]) ^ 1 << bit) for bit in range(7)):
            assert door.reason(turned(place, letter)) in ("invalid", "unknown_key"), (place, letter)
    assert [item["status"] for item in sale.items()] == ["valid"] * 3
    assert door.reason(code) == "ok"


def test_reasons(boxoffice, admin, door, sale, show, db):
    other = Sale(boxoffice, admin.make_show(), ["A-1"])
    assert door.scan(other.codes[0])["reason"] == "wrong_show"
    assert "ticket" not in door.scan(other.codes[0])
    for text in ("x", "BX1.", "BX1." + "A" * 172, "WIFI:S:net;;", "línea\nzwei", sale.codes[0].lower(), sale.codes[0] + " "):
        said = door.scan(text)
        assert said["reason"] in ("invalid", "unknown_key") and "ticket" not in said, text
    raw = bytearray(base64.b32decode(sale.codes[0][4:] + "=" * 4))
    raw[1] ^= 0xFF  # the key's id
    assert door.reason("BX1." + base64.b32encode(raw).decode().rstrip("=")) == "unknown_key"
    # a genuine code of a ticket that the database has lost
    ticket, nowhere = sale.tickets[2]["ticket_id"], str(uuid.uuid4())
    db.execute("UPDATE tickets SET ticket_id = %s WHERE ticket_id = %s", [nowhere, ticket])
    said = door.scan(sale.codes[2])
    db.execute("UPDATE tickets SET ticket_id = %s WHERE ticket_id = %s", [ticket, nowhere])
    assert said["reason"] == "invalid" and "ticket" not in said


def test_a_cancelled_bookings_code_is_dead(door, sale, boxoffice):
    sale.cancel([sale.tickets[0]["seat"]]).expect(200)
    said = door.scan(sale.codes[0])
    assert said["reason"] == "cancelled" and said["ticket"]["ticket_id"] == sale.tickets[0]["ticket_id"]
    assert door.reason(sale.codes[1]) == "ok"
    # the seat sold again has a ticket of its own
    again = Sale(boxoffice, sale.show, [sale.tickets[0]["seat"]])
    assert door.reason(sale.codes[0]) == "cancelled"
    assert door.reason(again.codes[0]) == "ok"


def test_a_booking_with_a_used_ticket_is_not_cancelled(door, sale):
    door.scan(sale.codes[0])
    sale.cancel().expect(409, "ticket_used")
    sale.cancel([sale.tickets[0]["seat"]]).expect(409, "ticket_used")
    sale.cancel([sale.tickets[1]["seat"]]).expect(200)
    door.undo(code=sale.codes[0]).expect(200)
    sale.cancel().expect(200)
    assert door.reason(sale.codes[0]) == "cancelled"


def test_cancel_races_check_in(boxoffice, admin, rng):
    """One of the two wins, whichever it is: never a guest inside with his money back, nor one outside without."""
    show = admin.make_show(seats=40, cancellation={"until": from_now(86400)})
    sales = [Sale(boxoffice, show, [seat]) for seat in show.seats[:12]]
    ended = {"in": 0, "out": 0}
    for sale in sales:
        gate, said = threading.Barrier(2), {}

        def cancel():
            gate.wait()
            said["cancel"] = sale.cancel()

        def scan():
            device = Device(boxoffice.admin(), show)
            gate.wait()
            said["scan"] = device.scan(sale.codes[0])

        threads = [threading.Thread(target=target) for target in (cancel, scan)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        [state] = [item["status"] for item in sale.items()]
        if said["scan"]["result"] == "ok":
            assert said["cancel"].code == "ticket_used", said
            assert state == "used"
            ended["in"] += 1
        else:
            assert said["scan"]["reason"] == "cancelled" and said["cancel"].status == 200, said
            assert state == "revoked"
            ended["out"] += 1
    assert sum(ended.values()) == len(sales)
    boxoffice.check()


def test_a_transfer_kills_the_old_code(door, sale, db):
    seat = sale.tickets[0]["seat"]
    sale.buyer.post(f"/v1/shows/{sale.show.show_id}/bookings/{sale.booking_id}/transfer",
                    {"seats": [seat], "to": {"name": "Eve", "email": "eve@example.org"}}).expect(200)
    assert door.reason(sale.codes[0]) == "revoked"
    theirs = door.client.get(f"/v1/shows/{sale.show.show_id}/bookings/{sale.booking_id}/tickets").expect(200)["items"]
    [code] = [item["code"] for item in theirs if item["seat"] == seat and item["status"] == "valid"]
    assert door.reason(code) == "ok"


def test_a_cancelled_show_lets_nobody_in(boxoffice, admin, show, sale, door):
    admin.post(f"/v1/shows/{show.show_id}/cancel", {"reason": "Fire"}).expect(201)
    assert door.reason(sale.codes[0]) == "show_cancelled"


def test_a_show_long_past_lets_nobody_in(door, sale, show, db):
    db.execute("UPDATE shows SET starts_at = now() - interval '23 hours' WHERE show_id = %s", [show.show_id])
    assert door.reason(sale.codes[0]) == "ok"
    db.execute("UPDATE shows SET starts_at = now() - interval '25 hours' WHERE show_id = %s", [show.show_id])
    assert door.reason(sale.codes[1]) == "over"


# ---- undo ----------------------------------------------------------------------------------------------------------------

def test_undo_and_in_again(door, sale, db, admin):
    ticket = sale.tickets[0]["ticket_id"]
    first = door.scan(sale.codes[0], "in")
    undone = door.undo("out", code=sale.codes[0]).expect(200)
    assert undone["result"] == "ok" and undone["first_used_at"] == first["first_used_at"]
    assert undone["ticket"] == first["ticket"]
    assert sale.items()[0]["status"] == "valid"
    assert door.reason(sale.codes[0], "in again") == "ok"
    assert door.undo("out", code=sale.codes[0]).expect(200) == undone, "the same nonce undoes nothing again"
    assert sale.items()[0]["status"] == "used"
    assert [kind for kind, _ in versions(db, ticket)][-3:] == ["ticket.used", "ticket.use_undone", "ticket.used"]
    assert [version for _, version in versions(db, ticket)][-3:] == [2, 3, 4]
    # by the ticket, and by nothing but the nonce of the scan
    assert door.undo(ticket_id=ticket).expect(200)["result"] == "ok"
    door.scan(sale.codes[1], "b")
    assert door.undo("b").expect(200)["ticket"]["seat"] == sale.tickets[1]["seat"]
    assert [item["status"] for item in sale.items()] == ["valid"] * 3
    log = [item for item in admin.get(f"/v1/audit?object={ticket}").expect(200)["items"]]
    assert [item["action"] for item in log] == ["POST /v1/shows/{show}/checkins/undo"] * 2
    assert all(item["status"] == 200 for item in log)


@pytest.mark.parametrize("end", ["cancel", "transfer"])
def test_an_undo_just_before_a_ticket_ends(end, door, sale, show, db, boxoffice):
    """Whoever ends a ticket waits for an undo that is under way, and then ends it: no code of a cancelled booking opens the door."""
    door.scan(sale.codes[0])
    code, ticket = sale.codes[0], sale.tickets[0]
    acts = {"cancel": lambda: sale.cancel([ticket["seat"]]),
            "transfer": lambda: sale.buyer.post(f"/v1/shows/{show.show_id}/bookings/{sale.booking_id}/transfer",
                                                {"seats": [ticket["seat"]], "to": {"name": "Eve", "email": "eve@example.org"}})}
    said = []
    with psycopg.connect(boxoffice.database_url) as undo:
        undo.execute("UPDATE tickets SET state = 'valid', used_at = 'infinity', version = version + 1 WHERE ticket_id = %s",
                     [ticket["ticket_id"]])
        thread = threading.Thread(target=lambda: said.append(acts[end]()))
        thread.start()
        wait_until(lambda: said or db.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'").fetchone(),
                   "somebody who waits for the ticket")
        undo.commit()
    thread.join()
    said[0].expect(200)
    assert door.reason(code) == {"cancel": "cancelled", "transfer": "revoked"}[end]
    boxoffice.check()


def test_undo_by_nonce_undoes_that_check_in_and_no_other(door, sale, show):
    """Neither the scan of a copy, which was refused, nor one that was undone and came after undoes what another device did."""
    right = Device(door.client, show)
    door.scan(sale.codes[0], "first")
    assert right.reason(sale.codes[0], "copy") == "already_used"
    said = right.undo("copy").expect(200)
    assert (said["result"], said["reason"], said["first_device"]) == ("refused", "not_used", door.name)
    assert sale.items()[0]["status"] == "used"
    right.undo(code=sale.codes[0]).expect(200)
    assert right.reason(sale.codes[0]) == "ok"
    assert door.undo("first").expect(200)["reason"] == "not_used"
    assert sale.items()[0]["status"] == "used"


def test_undo_of_what_was_not_done(door, sale, boxoffice, admin):
    assert door.undo(code=sale.codes[0]).expect(200)["reason"] == "not_used"
    assert door.undo(ticket_id=str(uuid.uuid4())).expect(200)["reason"] == "invalid"
    assert door.undo("never scanned").expect(200)["reason"] == "invalid"
    assert door.undo(code="junk").expect(200)["reason"] == "invalid"
    other = Sale(boxoffice, admin.make_show(), ["A-1"])
    assert door.undo(code=other.codes[0]).expect(200)["reason"] == "wrong_show"
    assert door.undo(ticket_id=other.tickets[0]["ticket_id"]).expect(200)["reason"] == "invalid"
    sale.cancel().expect(200)
    assert door.undo(code=sale.codes[0]).expect(200)["reason"] == "cancelled"
    door.undo("n", code="a").expect(200)
    door.undo("n", code="b").expect(422, "idempotency_mismatch")
    door.undo("n", ticket_id=sale.tickets[0]["ticket_id"]).expect(422, "idempotency_mismatch")
    door.undo(code="a", ticket_id=sale.tickets[0]["ticket_id"]).expect(422, "invalid_value")


# ---- what may be asked ---------------------------------------------------------------------------------------------------

def test_bad_requests(door, sale, show):
    path, ask = door.path, {"code": "x", "nonce": "n", "device": "d"}
    for body, where in [({**ask, "code": None}, "/code"), ({**ask, "code": 7}, "/code"), ({**ask, "code": "x" * 4097}, "/code"),
                        ({**ask, "nonce": ""}, "/nonce"), ({**ask, "nonce": "n" * 65}, "/nonce"), ({**ask, "device": "d" * 65}, "/device"),
                        ({**ask, "seat": "A-1"}, "/seat"), ({"code": "x", "nonce": "n"}, "/device"), ({**ask, "device": "a\tb"}, "/device")]:
        answer = door.client.post(path, body)
        assert answer.status in (400, 422) and answer.json()["path"] == where, (body, answer)
    scan = {"nonce": "1", "code": "x", "scanned_at": from_now(-60)}
    for body, where in [({"device": "d", "scans": [scan]}, "/sent_at"), ({"device": "d", "sent_at": from_now(0), "scans": []}, "/scans"),
                        ({"device": "d", "sent_at": from_now(0), "scans": [scan, scan]}, "/scans/1/nonce"),
                        ({"device": "d", "sent_at": from_now(0), "scans": [{**scan, "scanned_at": "noon"}]}, "/scans/0/scanned_at"),
                        ({"device": "d", "sent_at": from_now(0), "scans": [{**scan, "nonce": str(i)} for i in range(1001)]}, "/scans"),
                        ({"sent_at": from_now(0), "scans": [scan]}, "/device")]:
        answer = door.client.post(f"{path}/upload", body)
        assert answer.status in (400, 422) and answer.json()["path"] == where, (str(body)[:200], answer)


def test_only_the_organisers_door_staff(boxoffice, admin, show, sale, door):
    same = boxoffice.admin().get("/v1/staff/me").expect(200)["organizer_id"]
    routes = [("POST", door.path, {"code": sale.codes[0], "nonce": "n", "device": "d"}),
              ("POST", f"{door.path}/undo", {"code": sale.codes[0], "nonce": "n", "device": "d"}),
              ("POST", f"{door.path}/upload", {"device": "d", "sent_at": from_now(0), "scans": [
                  {"nonce": "n", "code": sale.codes[0], "scanned_at": from_now(-1)}]}),
              ("GET", f"{door.path}/counts", None), ("GET", f"/v1/shows/{show.show_id}/door", None)]
    stranger = make_staff(boxoffice)
    lesser = make_staff(boxoffice, same, ["events", "seats", "bookings", "payments", "admin"])
    scanner = make_staff(boxoffice, same, ["checkin"])
    for method, path, body in routes:
        stranger.request(method, path, body).expect(404, "not_found")
        lesser.request(method, path, body).expect(403, "forbidden")
        boxoffice.api().request(method, path, body).expect(401, "unauthenticated")
        sale.buyer.request(method, path, body).expect(401, "unauthenticated")
        boxoffice.api(sale.booking["access_token"]).request(method, path, body).expect(401, "unauthenticated")
        scanner.request(method, path.replace(show.show_id, str(uuid.uuid4())), body).expect(404, "not_found")
    assert sale.items()[0]["status"] == "valid"
    for method, path, body in routes:
        scanner.request(method, path, body).expect(200)
    # nothing else
    scanner.get("/v1/bookings").expect(403, "forbidden")
    scanner.get(f"/v1/shows/{show.show_id}/bookings/{sale.booking_id}/tickets").expect(404, "not_found")


# ---- tokens of devices ---------------------------------------------------------------------------------------------------

def device_token(admin, **fields):
    return admin.post("/v1/tokens", {"name": "phone", "scopes": ["checkin"], "expires_at": from_now(86400), **fields})


def test_a_device_has_a_token_of_its_own(boxoffice, admin, show, sale):
    other = admin.make_show()
    made = device_token(admin, device="Door 7", shows=[show.show_id]).expect(201)
    assert made["device"] == "Door 7" and made["shows"] == [show.show_id]
    assert [item["device"] for item in admin.get("/v1/tokens").expect(200)["items"] if item["token_id"] == made["token_id"]] == ["Door 7"]
    phone = boxoffice.api(made["token"])
    path = f"/v1/shows/{show.show_id}/checkins"
    assert phone.post(path, {"code": sale.codes[0], "nonce": "1"}).expect(200)["first_device"] == "Door 7"
    phone.post(path, {"code": sale.codes[0], "nonce": "1", "device": "Door 7"}).expect(200)
    answer = phone.post(path, {"code": sale.codes[1], "nonce": "2", "device": "Door 8"})
    assert answer.code == "forbidden" and answer.json()["path"] == "/device"
    for method, ending, body in [("POST", "checkins", {"code": "x", "nonce": "3"}), ("POST", "checkins/undo", {"nonce": "3"}),
                                 ("GET", "checkins/counts", None), ("GET", "door", None)]:
        phone.request(method, f"/v1/shows/{other.show_id}/{ending}", body).expect(404, "not_found")
        phone.request(method, f"/v1/shows/{show.show_id}/{ending}", body).expect(200)
    phone.get("/v1/tokens").expect(403, "forbidden")
    phone.post("/v1/events", {"name": "x"}).expect(403, "forbidden")


def test_a_token_may_open_two_hundred_doors(admin, show):
    """The season of a house: as many shows as the contract says."""
    made = device_token(admin, device="d" * 64, shows=[show.show_id] * 200).expect(201)
    assert len(made["shows"]) == 200
    answer = device_token(admin, device="d", shows=[show.show_id] * 201)
    assert answer.status in (400, 422) and answer.json()["path"] == "/shows", answer


def test_a_lost_phone_is_shut_out_at_once(boxoffice, admin, show, sale):
    made = device_token(admin, device="Lost").expect(201)
    phones = [boxoffice.api(made["token"]) for _ in range(4)]
    path = f"/v1/shows/{show.show_id}/checkins"
    for n, phone in enumerate(phones):
        phone.post(path, {"code": "x", "nonce": str(n)}).expect(200)
    admin.delete(f"/v1/tokens/{made['token_id']}").expect(204)
    for phone in phones:
        phone.post(path, {"code": sale.codes[0], "nonce": "later"}).expect(401, "unauthenticated")
        phone.get(f"/v1/shows/{show.show_id}/door").expect(401, "unauthenticated")
    assert sale.items()[0]["status"] == "valid"


def test_bad_tokens_of_devices(boxoffice, admin, show):
    theirs = make_staff(boxoffice).make_show()
    for fields, where in [({"shows": [theirs.show_id]}, "/shows"), ({"shows": [str(uuid.uuid4()), show.show_id]}, "/shows"),
                          ({"shows": ["x"]}, "/shows"), ({"shows": []}, "/shows"), ({"device": ""}, "/device"),
                          *(({"shows": [str(uuid.uuid4()) for _ in range(n)]}, "/shows") for n in (200, 201)),  # as many as may be, and one more
                          ({"device": "d", "scopes": ["checkin", "bookings"]}, "/scopes"),
                          ({"shows": [show.show_id], "scopes": ["events"]}, "/scopes")]:
        answer = device_token(admin, **fields)
        assert answer.status in (400, 422) and answer.json()["path"] == where, (fields, answer)
    device_token(admin, expires_at=from_now(-1)).expect(422, "invalid_value")
    lasting = device_token(admin, device="d", expires_at=from_now(1.5)).expect(201)
    phone = boxoffice.api(lasting["token"])
    wait_until(lambda: phone.get(f"/v1/shows/{show.show_id}/checkins/counts").status == 401, "the token's end")


# ---- counts --------------------------------------------------------------------------------------------------------------

def test_counts(boxoffice, admin, show, db):
    sale = Sale(boxoffice, show, [f"A-{n}" for n in range(1, 4)] + [f"B-{n}" for n in range(1, 4)])
    door = Device(admin, show)
    for code in sale.codes[1:4]:
        door.scan(code)
    door.scan(sale.codes[1])
    door.scan("junk", "j")
    door.scan("junk", "j")
    door.undo(code=sale.codes[1]).expect(200)
    sale.cancel([sale.tickets[5]["seat"]]).expect(200)
    door.scan(sale.codes[5])

    def counted():
        said = door.counts()
        assert set(said.pop("as_of")) <= set("0123456789-:.TZ")
        said["refused"].sort(key=lambda item: item["reason"])
        said["by_category"].sort(key=lambda item: item["category"])
        return said == {"in": 2, "of": 5, "by_zone": [{"zone": "Hall", "in": 2, "of": 5}],
                        "by_category": [{"category": "Balcony", "in": 1, "of": 2}, {"category": "Stalls", "in": 1, "of": 3}],
                        "refused": [{"reason": "already_used", "count": 1}, {"reason": "cancelled", "count": 1},
                                    {"reason": "invalid", "count": 1}]}

    # an answer may be a second old
    wait_until(counted, "the counts", 5)


def test_metrics(boxoffice, door, sale):
    def value(result):
        lines = boxoffice.api().get("/metrics").body.decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(f'boxoffice_checkins_total{{result="{result}"}}'))

    before = value("ok"), value("already_used")
    door.scan(sale.codes[0], "n")
    door.scan(sale.codes[0], "n")
    door.scan(sale.codes[0])
    assert (value("ok"), value("already_used")) == (before[0] + 1, before[1] + 1)


# ---- reissue -------------------------------------------------------------------------------------------------------------

def reissue(client, show, ticket, key=None):
    return client.post(f"/v1/shows/{show.show_id}/tickets/{ticket['ticket_id']}/reissue", {}, key=key)


def test_a_reissued_tickets_old_code_is_dead(boxoffice, admin, door, sale, show, db):
    old = sale.tickets[0]
    made = reissue(sale.buyer, show, old, "k").expect(201)
    assert made["seat"] == old["seat"] and made["replaces"] == old["ticket_id"] and made["status"] == "valid"
    assert made["code"] != old["code"] and made["ticket_id"] != old["ticket_id"]
    assert reissue(sale.buyer, show, old, "k").expect(201) == made, "the same key, the same ticket"
    assert door.reason(old["code"]) == "revoked"
    assert old["ticket_id"] in boxoffice.api().get(f"/v1/shows/{show.show_id}/tickets/revoked").expect(200)["items"]
    assert door.reason(made["code"]) == "ok"
    sale.buyer.get(f"/v1/shows/{show.show_id}/tickets/{old['ticket_id']}.pdf").expect(404)
    assert sale.buyer.get(f"/v1/shows/{show.show_id}/tickets/{made['ticket_id']}.svg").status == 200
    assert versions(db, old["ticket_id"])[-1] == ("ticket.revoked", 2)
    assert versions(db, made["ticket_id"]) == [("ticket.issued", 1), ("ticket.used", 2)]
    reissue(sale.buyer, show, old).expect(404, "not_found")
    reissue(sale.buyer, show, made).expect(409, "ticket_used")
    # by the link, by staff, and by nobody else
    reissue(boxoffice.api(sale.booking["access_token"]), show, sale.tickets[1]).expect(201)
    reissue(admin, show, sale.tickets[2]).expect(201)
    live = [item for item in sale.items() if item["status"] == "valid"]
    for stranger in (boxoffice.session(), boxoffice.api(), make_staff(boxoffice)):
        reissue(stranger, show, live[0]).expect(404, "not_found")
    boxoffice.check()


def test_reissue_at_once_with_cancel_and_check_in(boxoffice, admin, rng):
    """However they come, a cancelled booking has no valid ticket and a seat has at most one."""
    show = admin.make_show(seats=40, cancellation={"until": from_now(86400)})
    for seat in show.seats[:10]:
        sale = Sale(boxoffice, show, [seat])
        gate = threading.Barrier(4)
        said = []

        def go(what):
            gate.wait()
            said.append(what())

        acts = [lambda: sale.cancel(), lambda: reissue(boxoffice.api(sale.booking["access_token"]), show, sale.tickets[0]),
                lambda: Device(boxoffice.admin(), show).ask(sale.codes[0]),
                lambda: reissue(boxoffice.api(sale.booking["access_token"]), show, sale.tickets[0])]
        threads = [threading.Thread(target=go, args=(act,)) for act in acts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(answer.status < 500 for answer in said), said
        booking = boxoffice.api(sale.booking["access_token"]).get(
            f"/v1/shows/{show.show_id}/bookings/{sale.booking_id}").expect(200)
        live = [item["status"] for item in admin.get(
            f"/v1/shows/{show.show_id}/bookings/{sale.booking_id}/tickets").expect(200)["items"] if item["status"] != "revoked"]
        assert len(live) == (0 if booking["status"] == "cancelled" else 1), (booking["status"], live, said)
    boxoffice.check()
