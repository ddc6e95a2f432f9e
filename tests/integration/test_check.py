"""`boxoffice check`: each invariant, broken by hand, is found, and named as that one; mended, all is well again."""

import os
import re
import signal
import subprocess
import uuid

import psycopg
import pytest
import redis

from service import wait_until

ZERO = uuid.UUID(int=0)


class Patient:
    """A box office whose upkeep is paused, so that nobody mends what a test breaks; with one sold and one held seat."""

    def __init__(self, office, build_dir):
        self.office = office
        self.build_dir = build_dir
        self.db = psycopg.connect(office.database_url, autocommit=True)
        self.redis = redis.Redis.from_url(office.redis_url)
        show = office.admin().make_show(seats=20)
        self.show = uuid.UUID(show.show_id)
        lock = office.session().lock(show.show_id, [show.seats[8], show.seats[9]]).expect(201)
        self.lock = uuid.UUID(lock["lock_id"])
        self.booking, self.payment = self.sell([1, 2])
        # Redis hears of what was written past it
        self.redis.delete(f"map:{{{self.show}}}")
        office.api().get(f"/v1/shows/{self.show}/seats").expect(200)

    def sql(self, text, **params):
        return self.db.execute(text, {"show": self.show, "lock": self.lock, "booking": self.booking, "payment": self.payment,
                                      **params})

    def sell(self, seats):
        """A booking as the program leaves it, paid and with tickets."""
        booking, lock, payment = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
        total = 4500 * len(seats)
        with self.db.transaction():
            params = {"show": self.show, "booking": booking, "lock": lock, "payment": payment, "seats": seats, "total": total,
                      "prices": [4500] * len(seats), "reference": booking.hex[:8].upper(), "zero": ZERO}
            for text in (
                """INSERT INTO seat_locks (show_id, lock_id, session_id, state, seats, prices, categories, total_minor, currency,
                                           created_at, expires_at, ended_at)
                   VALUES (%(show)s, %(lock)s, %(zero)s, 'booked', %(seats)s, %(prices)s, %(seats)s::smallint[], %(total)s, 'EUR',
                           now(), now() + interval '5 minutes', now())""",
                """UPDATE show_seats SET state = 2, lock_id = %(lock)s, expires_at = 'infinity', fence = fence + 3
                    WHERE show_id = %(show)s AND seat_no = ANY (%(seats)s)""",
                """INSERT INTO bookings (show_id, booking_id, organizer_id, event_id, lock_id, session_id, buyer_id, reference,
                                         state, seats, prices, categories, total_minor, currency, confirmed_at)
                   SELECT %(show)s, %(booking)s, organizer_id, event_id, %(lock)s, %(zero)s, %(zero)s, %(reference)s, 'confirmed',
                          %(seats)s, %(prices)s, %(seats)s::smallint[], %(total)s, 'EUR', now()
                     FROM shows WHERE show_id = %(show)s""",
                """INSERT INTO booking_seats (show_id, booking_id, seat_no, price_minor)
                   SELECT %(show)s, %(booking)s, unnest(%(seats)s::int[]), 4500""",
                """INSERT INTO payments (show_id, payment_id, booking_id, lock_id, attempt_no, request_id, request_hash, state,
                                         amount_minor, currency, method, action_until, hold_until, settle_at, ask_after)
                   VALUES (%(show)s, %(payment)s, %(booking)s, %(lock)s, 1, %(zero)s, '', 'captured', %(total)s, 'EUR', 'pm_card',
                           now(), now(), 'infinity', now())""",
                """INSERT INTO ticket_keys (key_id, public_key, sealed_secret, status)
                   SELECT 65535, decode(repeat('00', 32), 'hex'), '', 'retired' WHERE NOT EXISTS (SELECT 1 FROM ticket_keys)""",
                """INSERT INTO tickets (show_id, ticket_id, booking_id, seat_no, state, key_id)
                   SELECT %(show)s, gen_random_uuid(), %(booking)s, unnest(%(seats)s::int[]), 'valid',
                          (SELECT min(key_id) FROM ticket_keys)""",
            ):
                self.db.execute(text, params)
        return booking, payment

    def check(self, *args):
        return subprocess.run([self.build_dir / "boxoffice", "check", "--dir", str(self.office.dir), "--i7-wait-ms", "100", *args],
                              capture_output=True, text=True, timeout=60)

    def assert_well(self):
        done = self.check()
        assert done.returncode == 0, f"{done.stdout}{done.stderr}"
        assert re.match(r"ok: \d+ shows, \d+ seats, ", done.stdout), done.stdout

    def assert_found(self, name, *words, others=()):
        """The invariant is named with these words, and no other one but those that cannot help being broken with it."""
        done = self.check()
        assert done.returncode == 1, f"exit status {done.returncode}: {done.stdout}{done.stderr}"
        lines = done.stdout.splitlines()
        assert any(line.startswith(f"{name} show {self.show}: ") and all(word in line for word in words) for line in lines), \
            f"{name} with {words} is not among {lines}"
        assert {line.split()[0] for line in lines} <= {name, *others}, lines


@pytest.fixture(scope="module")
def patient_office(build_dir, base_dir):
    import tempfile

    from service import Boxoffice

    office = Boxoffice(build_dir, tempfile.mkdtemp(dir=base_dir), "--workers", "1", "--lock-seconds", "3600").start()
    work = office.pids("boxoffice work")
    for pid in work:
        os.kill(pid, signal.SIGSTOP)
    yield office
    for pid in work:
        os.kill(pid, signal.SIGCONT)
    office.close()


@pytest.fixture
def patient(patient_office, build_dir):
    """Well before the test, and when the test has mended what it broke."""
    patient = Patient(patient_office, build_dir)
    patient.assert_well()
    yield patient
    patient.assert_well()
    patient.db.close()


# Each: the invariant, words of its line, what breaks it, what mends it, what else is broken by the same.
BROKEN = {
    "a booked seat nobody has": (
        "I1", ["seat 15", "no booking has it"],
        "UPDATE show_seats SET state = 2 WHERE show_id = %(show)s AND seat_no = 15",
        "UPDATE show_seats SET state = 0 WHERE show_id = %(show)s AND seat_no = 15", ["I7"]),
    "a sold seat that is free": (
        "I1", ["seat 1 ", "the show has it as free"],
        "UPDATE show_seats SET state = 0 WHERE show_id = %(show)s AND seat_no = 1",
        "UPDATE show_seats SET state = 2 WHERE show_id = %(show)s AND seat_no = 1", ["I7"]),
    "a lock that lost its seat": (
        "I1", ["is active without its seat 8"],
        "UPDATE show_seats SET state = 0 WHERE show_id = %(show)s AND seat_no = 8",
        "UPDATE show_seats SET state = 1 WHERE show_id = %(show)s AND seat_no = 8", ["I7"]),
    "a seat held by an ended lock": (
        "I1", ["seat 9 is held by lock", "released"],
        "UPDATE seat_locks SET state = 'released' WHERE show_id = %(show)s AND lock_id = %(lock)s",
        "UPDATE seat_locks SET state = 'active' WHERE show_id = %(show)s AND lock_id = %(lock)s", []),
    "a confirmed booking that is pending again": (
        "I2", ["was confirmed and is failed"],
        "UPDATE bookings SET state = 'failed', reason = 'x', ended_at = now() WHERE booking_id = %(booking)s",
        "UPDATE bookings SET state = 'confirmed', reason = '', ended_at = NULL WHERE booking_id = %(booking)s",
        ["I1", "I6"]),
    "a confirmed booking without a seat": (
        "I2", ["confirmed without a seat"],
        "UPDATE booking_seats SET released_at = now() WHERE booking_id = %(booking)s",
        "UPDATE booking_seats SET released_at = NULL WHERE booking_id = %(booking)s", ["I1", "I3", "I6"]),
    "an announcement of what never was": (
        "I2", ["announced as confirmed", "not there"],
        """INSERT INTO outbox (show_id, outbox_id, topic, events) VALUES (%(show)s, %(payment)s, 'booking',
           '[{"type": "booking.confirmed", "booking_id": "00000000-0000-0000-0000-000000000001"}]')""",
        "DELETE FROM outbox WHERE outbox_id = %(payment)s", []),
    "too little money": (
        "I3", ["taken 8000", "seats 9000"],
        "UPDATE payments SET amount_minor = 8000 WHERE payment_id = %(payment)s",
        "UPDATE payments SET amount_minor = 9000 WHERE payment_id = %(payment)s", []),
    "a refund nobody is owed": (
        "I3", ["refunds 100"],
        """INSERT INTO refunds (show_id, refund_id, payment_id, booking_id, state, amount_minor, currency, kind, reason, settle_at)
           VALUES (%(show)s, %(lock)s, %(payment)s, %(booking)s, 'succeeded', 100, 'EUR', 'seats', 'x', 'infinity')""",
        "DELETE FROM refunds WHERE refund_id = %(lock)s", []),
    "a lock past its end": (
        "I4", ["is active", "past its end"],
        """WITH l AS (UPDATE seat_locks SET expires_at = expires_at - interval '2 hours' WHERE lock_id = %(lock)s)
           UPDATE show_seats SET expires_at = expires_at - interval '2 hours' WHERE lock_id = %(lock)s""",
        """WITH l AS (UPDATE seat_locks SET expires_at = expires_at + interval '2 hours' WHERE lock_id = %(lock)s)
           UPDATE show_seats SET expires_at = expires_at + interval '2 hours' WHERE lock_id = %(lock)s""", ["I7"]),
    "a payment that nobody settles": (
        "I4", ["should have been looked at"],
        "UPDATE payments SET settle_at = now() - interval '5 minutes' WHERE payment_id = %(payment)s",
        "UPDATE payments SET settle_at = 'infinity' WHERE payment_id = %(payment)s", []),
    "a seat without a ticket": (
        "I6", ["has 0 tickets for seat 1"],
        "UPDATE tickets SET state = 'revoked' WHERE booking_id = %(booking)s AND seat_no = 1",
        "UPDATE tickets SET state = 'valid' WHERE booking_id = %(booking)s AND seat_no = 1", []),
    "a ticket for another's seat": (
        "I6", ["for seat 3 is valid", "does not have the seat"],
        """INSERT INTO tickets (show_id, ticket_id, booking_id, seat_no, state, key_id)
           SELECT %(show)s, %(lock)s, %(booking)s, 3, 'valid', min(key_id) FROM ticket_keys""",
        "DELETE FROM tickets WHERE ticket_id = %(lock)s", []),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_broken_is_found(patient, case):
    name, words, breaks, mends, others = BROKEN[case]
    patient.sql(breaks)
    try:
        patient.assert_found(name, *words, others=others)
    finally:
        patient.sql(mends)


def test_a_seat_with_two_owners_is_found(patient):
    """The database refuses it; so its index has to go first."""
    with pytest.raises(psycopg.errors.UniqueViolation):
        patient.sell([2])
    patient.sql("DROP INDEX booking_seats_one_owner")
    second = None
    try:
        second, _ = patient.sell([2])
        patient.assert_found("I1", "seat 2 belongs to 2 bookings")
    finally:
        for table in ("tickets", "payments", "booking_seats", "bookings"):
            patient.db.execute(f"DELETE FROM {table} WHERE booking_id = %s", [second])
        patient.sql("""UPDATE show_seats SET lock_id = (SELECT lock_id FROM bookings WHERE booking_id = %(booking)s)
                        WHERE show_id = %(show)s AND seat_no = 2""")
        patient.sql("CREATE UNIQUE INDEX booking_seats_one_owner ON booking_seats (show_id, seat_no) WHERE released_at IS NULL")


@pytest.mark.parametrize("value, word", [
    (b"B" + b"\1" * 16 + b"0000000009" + b"0", "booked"),
    (b"X" + b"\0" * 16 + b"0000000001" + b"0", "blocked"),
    (b"L" + b"\2" * 16 + b"0000000001" + b"9999999999999", "locked"),
    (b"nonsense", "something else"),
])
def test_redis_and_postgresql_that_differ_are_found(patient, value, word):
    name = f"map:{{{patient.show}}}"
    patient.redis.hset(name, "17", value)
    try:
        patient.assert_found("I7", "seat 17", f"{word} in Redis", "free in PostgreSQL")
    finally:
        patient.redis.hdel(name, "17")


def test_a_sold_seat_that_redis_has_as_free_is_found(patient):
    name = f"map:{{{patient.show}}}"
    value = patient.redis.hget(name, "1")
    assert value and value[:1] == b"B"
    patient.redis.hdel(name, "1")
    try:
        patient.assert_found("I7", "seat 1 ", "free in Redis and booked in PostgreSQL")
    finally:
        patient.redis.hset(name, "1", value)


@pytest.mark.parametrize("value", [
    b"P" + b"\1" * 16 + b"0000000001" + b"9999999999999",  # admitted, its commit under way
    b"P" + b"\1" * 16 + b"0000000001" + b"1000000000000",  # over
    b"L" + b"\1" * 16 + b"0000000001" + b"1000000000000",  # over
])
def test_what_is_under_way_or_over_is_no_difference(patient, value):
    name = f"map:{{{patient.show}}}"
    patient.redis.hset(name, "17", value)
    patient.assert_well()
    patient.redis.hdel(name, "17")


def test_a_difference_that_goes_away_is_none(patient):
    """Seen once, gone the second time."""
    name = f"map:{{{patient.show}}}"
    patient.redis.hset(name, "17", b"X" + b"\0" * 16 + b"0000000001" + b"0")
    started = subprocess.Popen([patient.build_dir / "boxoffice", "check", "--dir", str(patient.office.dir), "--i7-wait-ms", "3000"],
                               stdout=subprocess.PIPE, text=True)
    # it has looked once when it has asked for the map
    wait_until(lambda: asked_since(patient), "its first look")
    patient.redis.hdel(name, "17")
    out, _ = started.communicate(timeout=30)
    assert started.returncode == 0, out


def asked_since(patient):
    """A connection other than serve's that has asked for a map last and waits now."""
    return any(client["cmd"] in ("time", "hgetall") and float(client["idle"]) < 3 for client in patient.redis.client_list())


def test_a_map_of_another_redis_run_is_not_asked(patient):
    name = f"map:{{{patient.show}}}"
    context = patient.redis.hget(name, "c")
    patient.redis.hset(name, mapping={"c": b"0" * 40 + b"/1:1", "17": b"X" + b"\0" * 16 + b"0000000001" + b"0"})
    patient.assert_well()
    patient.redis.hset(name, "c", context)
    patient.redis.hdel(name, "17")


def test_what_cannot_be_asked_is_not_well(patient, work_dir):
    def run(*args):
        return subprocess.run([patient.build_dir / "boxoffice", "check", *map(str, args)], capture_output=True, text=True, timeout=60)

    assert run("--dir", work_dir).returncode == 2
    assert run("--database-url", f"postgresql:///x?host={work_dir}").returncode == 2
    no_redis = run("--database-url", patient.office.database_url, "--redis-url", f"unix://{work_dir}/none.sock")
    assert no_redis.returncode == 2 and "I7 cannot be checked" in no_redis.stderr and "ok" not in no_redis.stdout
    assert run().returncode == 2
    without = run("--database-url", patient.office.database_url)
    assert without.returncode == 0 and "Redis not compared" in without.stdout
