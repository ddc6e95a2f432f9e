"""A person stands in one table only, can be told what is there, and can be forgotten: every store is searched."""

import base64
import hashlib
import json
import secrets
import uuid

import psycopg
import redis

from paying import CANCELLATION, DECLINED, SECURE, Gateway, attempts, bank, office_of
from paying import db  # noqa: F401 (fixtures)
from service import wait_until


office = office_of("--workers", "1", LOG_LEVEL="debug", ACCESS_LOG="all")


class Person:
    """Somebody whose name and address hold a word that nobody else has."""

    def __init__(self, office):
        self.office = office
        self.word = "quill" + "".join(secrets.choice("bcdfghjklm") for _ in range(12))
        self.name = f"Zephyrine {self.word.capitalize()}"
        self.email = f"{self.word}@Erase.example"
        self.buyer = office.session()

    def book(self, show, n=1, method="pm_card_visa", **payment):
        free = [seat for seat in show.seats if seat not in self.buyer.taken(show.show_id)][:n]
        lock = self.buyer.lock(show.show_id, free).expect(201)["lock_id"]
        return self.pay(show, lock, method, **payment)

    def body(self, lock, method="pm_card_visa", **payment):
        return {"lock_id": lock, "buyer": {"name": self.name, "email": self.email, "locale": "de"},
                "payment": {"method": method, **payment}}

    def pay(self, show, lock, method="pm_card_visa", **payment):
        return self.buyer.post(f"/v1/shows/{show.show_id}/bookings", self.body(lock, method, **payment))

    def needles(self):
        """The word as it may stand in text, in bytes shown as hexadecimal digits, and within base64."""
        word = self.word.encode()
        found = {word, word.upper(), word.capitalize(), word.hex().encode(), word.capitalize().hex().encode()}
        for shift in range(3):
            for spelling in (word, word.capitalize()):
                text = base64.b64encode(b"x" * shift + spelling)
                found.add(text[4 if shift else 0:len(text) // 4 * 4 - 4])
        return found


def stores(office):
    """{name: bytes} of all that the program keeps anywhere. PostgreSQL as SQL shows it: what its files still hold of rows that
    were changed is gone with the next vacuum and the next turn of its log (docs/money.md)."""
    kept = {}
    with psycopg.connect(office.database_url, autocommit=True) as db:
        tables = [row[0] for row in db.execute("SELECT oid::regclass::text FROM pg_class WHERE relkind IN ('r', 'p')"
                                               " AND relnamespace = 'public'::regnamespace ORDER BY 1")]
        assert len(tables) > 20
        for table in tables:
            kept[f"table {table}"] = "\n".join(row[0] for row in db.execute(f"SELECT t::text FROM {table} t")).encode()
    store = redis.Redis.from_url(office.redis_url)
    for key in store.scan_iter(count=1000):
        kind = store.type(key)
        value = {b"string": store.get, b"hash": store.hgetall, b"set": store.smembers, b"list": lambda k: store.lrange(k, 0, -1),
                 b"zset": lambda k: store.zrange(k, 0, -1, withscores=True), b"stream": store.xrange}[kind](key)
        kept[f"redis {key!r}"] = key + repr(value).encode()
    for path in [office.log_path, *office.dir.rglob("*")]:
        # (mails of `up` are in the folder that stands for people's mailboxes: what was sent cannot be taken back)
        if path.is_file() and not path.is_relative_to(office.dir / "postgresql/data") and not path.is_relative_to(office.dir / "mail"):
            kept[f"file {path.relative_to(office.dir.parent)}"] = path.read_bytes()
    assert any("paysim.db" in name for name in kept) and any("/log/" in name for name in kept)
    assert any(name.startswith("redis") for name in kept)
    return kept


def places(person):
    """Where the person is found."""
    needles = person.needles()
    return {name for name, content in stores(person.office).items() if any(needle in content for needle in needles)}


def everything(office, db, person):
    """Every way that a purchase may go."""
    admin, gateway = office.admin(), Gateway.of(office)
    show = admin.make_show(seats=60, cancellation=CANCELLATION)
    got = {"plain": person.book(show, 2).expect(201)["booking_id"]}
    # another card, and none
    lock = person.buyer.lock(show.show_id, 1).expect(201)["lock_id"]
    person.pay(show, lock, DECLINED).expect(402)
    got["second card"] = person.pay(show, lock).expect(201)["booking_id"]
    lock = person.buyer.lock(show.show_id, 1).expect(201)["lock_id"]
    got["declined"] = person.pay(show, lock, DECLINED).expect(402)["booking_id"]
    person.buyer.release(show.show_id, lock).expect(204)
    got["lost"] = person.book(show, 1, "pm_card_captureFails").expect(402)["booking_id"]
    for outcome in ("authorise", "fail"):
        secured = person.book(show, 1, SECURE, return_url=office.url + "/done").expect(201)
        bank(secured["payment"]["next_action"]["redirect_to_url"]["url"], outcome)
        got[outcome] = secured["booking_id"]
        wait_until(lambda: attempts(db, got[outcome])[0] in ("captured", "failed"), outcome, 20)
    late = person.book(show, 1, SECURE).expect(201)["booking_id"]
    db.execute("UPDATE payments SET action_until = now(), settle_at = now() WHERE booking_id = %s", [late])
    wait_until(lambda: attempts(db, late) == ["abandoned"], "the attempt abandoned")
    cancelled = person.book(show, 2).expect(201)["booking_id"]
    person.buyer.cancel(show.show_id, cancelled).expect(200)
    part = person.book(show, 2).expect(201)
    person.buyer.cancel(show.show_id, part["booking_id"], [part["seats"][0]["guid"]]).expect(200)
    admin.post(f"/v1/shows/{show.show_id}/bookings/{part['booking_id']}/refunds",
               {"amount": {"amount": 100, "currency": "EUR"}, "reason": "Heating failed"}).expect(201)
    gateway.fault("create", "500_before")
    person.book(show, 1).expect(503)
    gateway.clear()
    free = admin.make_show(prices={"Standard": 0})
    lock = person.buyer.lock(free.show_id, 1, notify={"email": person.email, "locale": "de"}).expect(201)["lock_id"]
    body = person.body(lock)
    del body["payment"]
    got["free"] = person.buyer.post(f"/v1/shows/{free.show_id}/bookings", body, key="f").expect(201)["booking_id"]
    # what is refused is not written down either
    path = f"/v1/shows/{show.show_id}/bookings"
    person.buyer.post(path, person.body(lock)).expect(404)
    person.buyer.post(path, {**person.body(lock), person.word: 1}).expect(400)
    person.buyer.post(path, {**person.body(lock), "buyer": {"name": person.name, "email": person.name}}).expect(422)
    person.buyer.post(path, person.body(str(uuid.uuid4()))).expect(404)
    person.buyer.request("POST", path, b'{"buyer": "' + person.name.encode()).expect(400)
    for kind in ("pdf", "svg"):
        for ticket in person.buyer.get(f"{path}/{got['plain']}").expect(200)["tickets"]:
            answer = person.buyer.get(f"/v1/shows/{show.show_id}/tickets/{ticket['ticket_id']}.{kind}")
            assert answer.status == 200, answer
    return show, got


def test_everywhere_and_then_nowhere(office, db):
    person, other = Person(office), Person(office)
    show, got = everything(office, db, person)
    theirs = other.book(show, 1).expect(201)
    assert places(person) == {"table buyers"}, places(person)
    # nor can one who sees the database try out whether it was this person: what is a hash of the person has a key
    guesses = {hashlib.blake2b(text.encode(), digest_size=32).hexdigest().encode() for text in (
        person.email, person.email.lower(), person.name, *(
            json.dumps(person.body(lock), sort_keys=True, separators=(",", ":"))
            for [lock] in db.execute("SELECT lock_id::text FROM bookings").fetchall()))}
    assert not [name for name, content in stores(office).items() if any(guess in content for guess in guesses)]

    # what is kept about the person, to the person
    told = json.loads(office.run_admin("export", "--email", person.email.upper()))
    assert {(record["name"], record["email"]) for record in told["records"]} == {(person.name, person.email), ("", person.email)}
    plain = next(booking for booking in told["bookings"] if booking["booking_id"] == got["plain"])
    assert plain["status"] == "confirmed" and [seat["price"] for seat in plain["seats"]] == [4500, 4500]
    assert [payment["state"] for payment in plain["payments"]] == ["captured"] and len(plain["tickets"]) == 2
    assert {booking["status"] for booking in told["bookings"]} >= {"confirmed", "cancelled", "failed"}
    assert [len(booking["refunds"]) for booking in told["bookings"]].count(2) == 1
    assert other.word not in json.dumps(told).lower()
    for secret in ("ba_", "bs_", "bt_", "secret", "request_hash", "pm_card"):
        assert secret not in json.dumps(told), secret

    sums = db.execute("SELECT (SELECT sum(total_minor) FROM bookings), (SELECT count(*) FROM payments), (SELECT sum(amount_minor) FROM"
                      " refunds), (SELECT count(*) FROM tickets WHERE state = 'valid'), (SELECT count(*) FROM buyers)").fetchall()
    before = person.buyer.get(f"/v1/shows/{show.show_id}/bookings/{got['plain']}").expect(200)
    refused = office.run_admin("erase", "--email", person.email, status=1)
    assert "for shows still to come" in refused and "--yes-future" in refused
    assert places(person) == {"table buyers"}
    done = office.run_admin("erase", "--email", person.email, "--yes-future")
    assert done.startswith(f"erased: {len(told['records'])} records; {len(told['bookings'])} bookings"), done
    assert places(person) == set()
    assert office.run_admin("erase", "--email", person.email) == "erased: 0 records; nobody is known by that address"
    assert "nobody is known" in office.run_admin("export", "--email", person.email, status=3)
    assert db.execute("SELECT (SELECT sum(total_minor) FROM bookings), (SELECT count(*) FROM payments), (SELECT sum(amount_minor) FROM"
                      " refunds), (SELECT count(*) FROM tickets WHERE state = 'valid'), (SELECT count(*) FROM buyers)").fetchall() == sums

    assert db.execute("SELECT count(*) FROM bookings b JOIN payments p USING (show_id, booking_id) JOIN buyers y USING (buyer_id)"
                      " WHERE y.erased_at IS NOT NULL AND (b.request_hash <> '' OR p.request_hash <> '' OR p.card_hash <> '')").fetchone() == (0,)
    # the booking stays, and whoever may see it is told
    path = f"/v1/shows/{show.show_id}/bookings/{got['plain']}"
    after = person.buyer.get(path).expect(200)
    assert after == {**before, "buyer": {"name": "", "email": "", "erased": True}}
    assert office.admin().get(path).expect(200)["buyer"]["erased"] is True
    for kind in ("pdf", "svg"):
        for ticket in after["tickets"]:
            shown = person.buyer.get(f"/v1/shows/{show.show_id}/tickets/{ticket['ticket_id']}.{kind}")
            assert shown.status == 200 and not any(needle in shown.body for needle in person.needles())
    assert person.buyer.cancel(show.show_id, got["second card"]).expect(200)["refund"]["status"] == "succeeded"
    # the other one is still there
    mine = other.buyer.get(f"/v1/shows/{show.show_id}/bookings/{theirs['booking_id']}").expect(200)
    assert mine["buyer"] == {"name": other.name, "email": other.email}
    office.check()


def test_one_record_of_one_organiser(office, db):
    person = Person(office)
    show = office.admin().make_show()
    first, second = (person.book(show).expect(201)["booking_id"] for _ in range(2))
    office.run_admin("organizer", "create", "another")
    told = json.loads(office.run_admin("export", "--email", person.email, "--organizer", "default"))
    assert len(told["records"]) == 2
    assert "nobody" in office.run_admin("export", "--email", person.email, "--organizer", "another", status=3)
    [record] = [b["buyer_id"] for b in told["bookings"] if b["booking_id"] == first]
    assert "1 records; 1 bookings" in office.run_admin("erase", "--buyer", record, "--yes-future")
    assert [b["booking_id"] for b in json.loads(office.run_admin("export", "--email", person.email))["bookings"]] == [second]
    assert "erased: 0 records" in office.run_admin("erase", "--email", person.email, "--organizer", "another", "--yes-future")
    for what in ("export", "erase"):  # mistyped: not the same as that nobody is known
        assert 'no organiser "defualt"' in office.run_admin(what, "--email", person.email, "--organizer", "defualt", status=1)
    # of a show that is over nobody has to be told anything
    db.execute("UPDATE shows SET starts_at = now() - interval '1 day' WHERE show_id = %s", [show.show_id])
    assert "1 records" in office.run_admin("erase", "--email", person.email)
    for wrong in ([], ["--email", ""], ["--email", "a@b.example", "--buyer", str(uuid.uuid4())], ["--buyer", "x"]):
        office.run_admin("erase", *wrong, status=2)
        office.run_admin("export", *wrong, status=2)


def test_tickets_that_were_given_to_somebody_are_theirs(office, db):
    giver, person = Person(office), Person(office)
    show = office.admin().make_show()
    booking = giver.book(show, 2).expect(201)["booking_id"]
    path = f"/v1/shows/{show.show_id}/bookings/{booking}/transfer"
    [ticket] = giver.buyer.post(path, {"seats": [show.seats[0]], "to": {"name": person.name, "email": person.email}}).expect(200)["tickets"]
    assert places(person) == {"table buyers"}, places(person)
    told = json.loads(office.run_admin("export", "--email", person.email))
    [given], [mail] = told["tickets_given"], told["mails"]
    assert (given["ticket_id"], given["seat"], given["status"]) == (ticket["ticket_id"], show.seats[0], "valid") and told["bookings"] == []
    assert (mail["kind"], mail["booking_id"]) == ("transfer", booking) and giver.word not in json.dumps(told).lower()
    assert "1 booking(s)" in office.run_admin("erase", "--email", person.email, status=1)
    # given on: it is not theirs any more
    office.admin().post(path, {"seats": [show.seats[0]], "to": {"name": "Cy", "email": "cy@erase.example"}}).expect(200)
    assert office.run_admin("erase", "--email", person.email).startswith("erased: 1 records; 0 bookings")
    assert places(person) == set()
    # nor is anything left that was made of what they wrote
    hashes = db.execute("SELECT to_buyer = %s, request_hash FROM ticket_transfers WHERE booking_id = %s ORDER BY at", [given["buyer_id"], booking])
    assert [(theirs, hash == b"") for theirs, hash in hashes.fetchall()] == [(True, True), (False, False)]


def test_who_is_of_the_staff_too_is_told_of(office):
    person = Person(office)
    user = office.admin().post("/v1/staff/users", {"email": person.email, "name": person.name, "scopes": ["events"]}).expect(201)
    told = json.loads(office.run_admin("export", "--email", person.email))
    assert [one["user_id"] for one in told["staff"]] == [user["user_id"]] and told["records"] == []
    assert "was not erased: DELETE /v1/staff/users" in office.run_admin("erase", "--email", person.email)
    office.admin().delete(f"/v1/staff/users/{user['user_id']}").expect(204)
    assert "nobody is known" in office.run_admin("export", "--email", person.email, status=3)
    assert places(person) == set()


def test_a_leak_would_be_seen(office):
    """The search finds what is planted, in each kind of store."""
    person = Person(office)
    assert places(person) == set()
    store = redis.Redis.from_url(office.redis_url)
    plants = {"redis b'planted'": lambda: store.hset("planted", "x", person.name),
              f"file {office.dir.name}/log/planted": lambda: (office.dir / "log/planted").write_text(person.email.lower())}
    for plant in plants.values():
        plant()
    with psycopg.connect(office.database_url, autocommit=True) as db:
        db.execute("CREATE TABLE planted (x bytea)")
        db.execute("INSERT INTO planted VALUES (%s)", [person.name.encode()])
        assert places(person) == {*plants, "table planted"}
        db.execute("DROP TABLE planted")
    store.delete("planted")
    (office.dir / "log/planted").unlink()
