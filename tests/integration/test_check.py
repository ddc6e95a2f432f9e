"""`boxoffice check`: each invariant, broken by hand, is found, and named as that one; mended, all is well again."""

import os
import re
import signal
import subprocess
import uuid

import psycopg
import pytest
import redis

from gateway import Gateway
from service import wait_until

ZERO = uuid.UUID(int=0)


class Money(Gateway):
    """The gateway as another program sees it that has the key: whoever makes intents there by hand."""

    def hold(self, amount, show, booking, attempt, currency="eur"):
        made = self.make_intent(show, booking, attempt, amount=amount, currency=currency)
        assert self.intent(made)["status"] == "requires_capture"
        return made

    def take(self, *args, **kwargs):
        intent = self.hold(*args, **kwargs)
        self.post(f"/v1/payment_intents/{intent}/capture")
        return intent

    def cancel(self, intent):
        self.post(f"/v1/payment_intents/{intent}/cancel")

    def refund(self, intent, **amount):
        return self.post("/v1/refunds", payment_intent=intent, **amount)["id"]


class Patient:
    """A box office whose upkeep is paused, so that nobody mends what a test breaks; with one sold and one held seat."""

    def __init__(self, office, build_dir):
        self.office = office
        self.build_dir = build_dir
        self.db = psycopg.connect(office.database_url, autocommit=True)
        self.redis = redis.Redis.from_url(office.redis_url)
        self.money = Money.of(office)
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
        self.intent = self.money.take(total, self.show, booking, payment)
        with self.db.transaction():
            params = {"show": self.show, "booking": booking, "lock": lock, "payment": payment, "seats": seats, "total": total,
                      "prices": [4500] * len(seats), "reference": booking.hex[:8].upper(), "zero": ZERO, "intent": self.intent}
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
                                         amount_minor, currency, method, intent_id, action_until, hold_until, settle_at,
                                         ask_after)
                   VALUES (%(show)s, %(payment)s, %(booking)s, %(lock)s, 1, %(zero)s, '', 'captured', %(total)s, 'EUR', 'pm_card',
                           %(intent)s, now(), now(), 'infinity', now())""",
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

    def assert_found(self, name, *words, others=(), args=()):
        """The invariant is named with these words, and no other one but those that cannot help being broken with it."""
        done = self.check(*args)
        assert done.returncode == 1, f"exit status {done.returncode}: {done.stdout}{done.stderr}"
        lines = done.stdout.splitlines()
        assert any(line.startswith((f"{name} show {self.show}: ", f"{name}: ")) and all(word in line for word in words) for line in lines), \
            f"{name} with {words} is not among {lines}"
        assert {line.split()[0].rstrip(":") for line in lines} <= {name, *others}, lines


@pytest.fixture(scope="module")
def patient_office(build_dir, base_dir):
    import tempfile

    from service import Boxoffice

    office = Boxoffice(build_dir, tempfile.mkdtemp(dir=base_dir), "--workers", "1", "--lock-seconds", "1800").start()
    work = office.pids("boxoffice work")
    for pid in work:
        os.kill(pid, signal.SIGSTOP)
    Gateway.of(office).silent()  # what it says would mend things too
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


def being_paid(made, state, action="15 minutes", hold="30 minutes"):
    """The held seats' lock, made so long ago, is being paid by an attempt in this state, with these bounds after its making."""
    return f"""WITH l AS (UPDATE seat_locks SET state = 'paying', created_at = now() - interval '{made}',
                                  expires_at = now() - interval '{made}' + interval '5 minutes' WHERE lock_id = %(lock)s),
         s AS (UPDATE show_seats SET expires_at = 'infinity' WHERE lock_id = %(lock)s),
         b AS (INSERT INTO bookings (show_id, booking_id, organizer_id, event_id, lock_id, session_id, buyer_id, reference, state, seats,
                                     prices, categories, total_minor, currency)
               SELECT b.show_id, %(lock)s, b.organizer_id, b.event_id, %(lock)s, b.session_id, b.buyer_id, 'PENDING1', 'payment_pending',
                      '{{8,9}}', '{{4500,4500}}', '{{0,0}}', 9000, 'EUR' FROM bookings b WHERE b.booking_id = %(booking)s)
    INSERT INTO payments (show_id, payment_id, booking_id, lock_id, attempt_no, request_id, request_hash, state, amount_minor, currency,
                          method, action_until, hold_until, settle_at, ask_after)
    VALUES (%(show)s, %(lock)s, %(lock)s, %(lock)s, 1, %(lock)s, '', '{state}', 9000, 'EUR', 'pm_card',
            now() - interval '{made}' + interval '{action}', now() - interval '{made}' + interval '{hold}', 'infinity', now())"""


PAID_NO_MORE = """WITH l AS (UPDATE seat_locks SET state = 'active', created_at = now(), expires_at = now() + interval '30 minutes'
                              WHERE lock_id = %(lock)s),
        s AS (UPDATE show_seats SET expires_at = now() + interval '30 minutes' WHERE lock_id = %(lock)s),
        b AS (DELETE FROM bookings WHERE booking_id = %(lock)s)
    DELETE FROM payments WHERE payment_id = %(lock)s"""

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
    "a position of the log that nobody gave out": (
        "I5", ["of the log ends at", "was given out"],
        """INSERT INTO outbox_log (partition, position, show_id, outbox_id, topic, events, created_at, seq)
           SELECT p.partition, p.position + 2, %(show)s, %(payment)s, 'seat', '[]', now(), 0
             FROM outbox_partitions p WHERE p.partition = outbox_partition(%(show)s)""",
        "DELETE FROM outbox_log WHERE outbox_id = %(payment)s", []),
    "a version that is told behind a later one": (
        "I5", ["booking x: version 1 is told after 2"],
        """WITH p AS (UPDATE outbox_partitions SET position = position + 1 WHERE partition = outbox_partition(%(show)s) RETURNING position)
           INSERT INTO outbox_log (partition, position, show_id, outbox_id, topic, events, created_at, seq)
           SELECT outbox_partition(%(show)s), p.position, %(show)s, %(payment)s, 'booking',
                  '[{"type": "b", "booking_id": "x", "version": 2}, {"type": "b", "booking_id": "x", "version": 1}]', now(), 0 FROM p""",
        """WITH gone AS (DELETE FROM outbox_log WHERE outbox_id = %(payment)s)
           UPDATE outbox_partitions SET position = position - 1 WHERE partition = outbox_partition(%(show)s)""", []),
    "an event that does not go out": (
        "I5", ["1 rows of partition", "wait to go out"],
        """INSERT INTO outbox (show_id, outbox_id, topic, events, created_at)
           VALUES (%(show)s, %(payment)s, 'seat', '[]', now() - interval '1 hour')""",
        "DELETE FROM outbox WHERE outbox_id = %(payment)s", []),
    "an event that is set aside": (
        "I5", ["is set aside since", "too large"],
        """INSERT INTO outbox_parked (show_id, outbox_id, place, partition, seq, topic, aggregate, event, created_at, state, cause)
           VALUES (%(show)s, %(payment)s, 0, 0, 0, 'seat', 'a seat', '{}', now(), 'refused', 'too large')""",
        "DELETE FROM outbox_parked WHERE outbox_id = %(payment)s", []),
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
    "a lock that is paid for too long": (
        "I4", ["lock", "is being paid longer than 30 minutes"], being_paid("31 minutes", "created"), PAID_NO_MORE, []),
    "an attempt past its half hour": (
        "I4", ["payment", "is created past the time it may hold its seats"], being_paid("31 minutes", "created"), PAID_NO_MORE, []),
    "a bank that is waited for too long": (
        "I4", ["waits for the bank's page longer than 10 minutes"], being_paid("16 minutes", "requires_action"), PAID_NO_MORE, []),
    "a second attempt with 10 minutes of its own": (
        "I4", ["may hold its seats longer than its lock allows"], being_paid("1 minute", "requires_action", action="16 minutes"),
        PAID_NO_MORE, []),
    "an attempt with half an hour of its own": (
        "I4", ["may hold its seats longer than its lock allows"], being_paid("1 minute", "created", hold="31 minutes"), PAID_NO_MORE, []),
    "a lock that nobody pays": (
        "I4", ["is being paid, but by no attempt"], being_paid("1 minute", "failed"), PAID_NO_MORE, []),
    "a booking that waits for nobody": (
        "I4", ["waits for a payment although its lock has ended"],
        """INSERT INTO bookings (show_id, booking_id, organizer_id, event_id, lock_id, session_id, buyer_id, reference, state, seats,
                                 prices, categories, total_minor, currency, created_at)
           SELECT b.show_id, %(lock)s, b.organizer_id, b.event_id, %(payment)s, b.session_id, b.buyer_id, 'PENDING1', 'payment_pending',
                  '{8}', '{4500}', '{0}', 4500, 'EUR', now() - interval '1 minute' FROM bookings b WHERE b.booking_id = %(booking)s""",
        "DELETE FROM bookings WHERE booking_id = %(lock)s", []),
    "a refund that nobody settles": (
        "I4", ["refund", "should have been looked at"],
        """INSERT INTO refunds (show_id, refund_id, payment_id, booking_id, state, amount_minor, currency, kind, reason, settle_at)
           VALUES (%(show)s, %(lock)s, %(payment)s, %(booking)s, 'pending', 100, 'EUR', 'goodwill', 'x', now() - interval '5 minutes')""",
        "DELETE FROM refunds WHERE refund_id = %(lock)s", []),
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
    patient.money.refund(patient.intent)  # the one that came to nothing
    patient.sql("DROP INDEX booking_seats_one_owner")
    second = None
    try:
        second, _ = patient.sell([2])
        patient.assert_found("I1", "seat 2 belongs to 2 bookings")
    finally:
        for table in ("tickets", "payments", "booking_seats", "bookings"):
            patient.db.execute(f"DELETE FROM {table} WHERE booking_id = %s", [second])
        patient.money.refund(patient.intent)
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


# ---- the gateway's own ledger ----------------------------------------------------------------------------------------


def test_money_that_nobody_here_knows_of_is_found(patient):
    stranger = uuid.uuid4()
    intent = patient.money.take(7000, patient.show, stranger, stranger)
    patient.assert_found("I3", f"booking {stranger} (not here)", intent, "captured 7000", "is not here")
    done = patient.check()
    assert "I3 currency EUR: in sum the gateway has captured" in done.stdout
    patient.money.refund(intent)


def test_a_booking_that_was_charged_twice_is_found(patient):
    second = patient.money.take(9000, patient.show, patient.booking, patient.payment)
    patient.assert_found("I3", "captured 2 times", second, patient.intent, "captured 18000", "seats 9000")
    patient.money.refund(second, amount=8999)
    patient.assert_found("I3", "captured 2 times", second, "captured 18000", "less refunds 8999")
    patient.money.refund(second)


def test_a_booking_charged_in_another_currency_is_found(patient):
    second = patient.money.take(9000, patient.show, patient.booking, patient.payment, "usd")
    patient.assert_found("I3", second, "captured 9000", "USD", "seats 0")
    patient.money.refund(second)


def test_a_refund_that_only_the_gateway_has_is_found(patient):
    refund = patient.money.refund(patient.intent, amount=1)
    patient.assert_found("I3", refund, "less refunds 1 ", "seats 9000")
    # as if somebody had given it back for goodwill
    patient.sql("""INSERT INTO refunds (show_id, refund_id, payment_id, booking_id, state, amount_minor, currency, kind, reason,
                                        gateway_id, settle_at)
                   VALUES (%(show)s, gen_random_uuid(), %(payment)s, %(booking)s, 'succeeded', 1, 'EUR', 'goodwill', 'x',
                           %(refund)s, 'infinity')""", refund=refund)


def settle(patient, finding, how="by bank transfer"):
    done = subprocess.run([patient.build_dir / "boxoffice", "admin", "payments", "settle", str(finding), "--how", how, "--by", "Ada",
                           "--dir", str(patient.office.dir)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def find(patient, kind, subject, gateway_id=""):
    [finding] = patient.sql("""INSERT INTO payment_findings (finding_id, kind, gateway_id, subject_id, show_id, booking_id, amount_minor,
                                                            currency, detail)
        VALUES (gen_random_uuid(), %(kind)s, %(gateway)s, %(subject)s, %(show)s, %(booking)s, 4500, 'EUR', 'x')
        ON CONFLICT (gateway_id, subject_id, kind) DO UPDATE SET times = 2 RETURNING finding_id""",
                            kind=kind, subject=subject, gateway=gateway_id).fetchone()
    return finding


@pytest.fixture
def refused(patient):
    """A seat is given up, and the gateway has refused to give its price back; afterwards it has."""
    refund = uuid.uuid4()
    patient.sql("UPDATE booking_seats SET released_at = now() WHERE show_id = %(show)s AND booking_id = %(booking)s AND seat_no = 1")
    patient.sql("UPDATE tickets SET state = 'revoked' WHERE show_id = %(show)s AND booking_id = %(booking)s AND seat_no = 1")
    patient.sql("UPDATE show_seats SET state = 0, lock_id = %(zero)s, expires_at = '-infinity', fence = fence + 1"
                " WHERE show_id = %(show)s AND seat_no = 1", zero=ZERO)
    patient.redis.delete(f"map:{{{patient.show}}}")
    patient.office.api().get(f"/v1/shows/{patient.show}/seats").expect(200)
    patient.sql("""INSERT INTO refunds (show_id, refund_id, payment_id, booking_id, state, amount_minor, currency, kind, reason,
                                        gateway_id, settle_at, failure)
                   VALUES (%(show)s, %(refund)s, %(payment)s, %(booking)s, 'failed', 4500, 'EUR', 'seats', 'x', '', 'infinity', 'refused')""",
                refund=refund)
    return refund


def test_a_failed_refund_that_a_person_settled(patient, refused):
    """By bank transfer; until that is said it is a fault in both halves."""
    finding = find(patient, "refund_failed", refused)
    patient.assert_found("I3", "taken 9000 less refunds 0", "seats 4500")
    patient.assert_found("I3", "captured 9000", "less refunds 0", "seats 4500")
    settle(patient, finding)
    patient.assert_well()
    # sent again as another refund it is that one that counts
    patient.sql("""INSERT INTO payment_events (show_id, event_id, payment_id, booking_id, from_state, to_state, amount_minor, currency,
                                               actor, why)
                   VALUES (%(show)s, gen_random_uuid(), %(payment)s, %(booking)s, '', 'requested', 4500, 'EUR', 'staff',
                           'again, in place of ' || %(refund)s || ', by Ada')""", refund=str(refused))
    patient.assert_found("I3", "taken 9000 less refunds 0", "seats 4500")
    patient.sql("UPDATE payment_events SET why = 'x' WHERE booking_id = %(booking)s")


def test_a_failed_refund_that_was_made_by_hand(patient, refused):
    """At the gateway's dashboard: what the gateway gave back is known when both findings are settled, and only then."""
    settle(patient, find(patient, "refund_failed", refused))
    patient.assert_well()
    by_hand = patient.money.refund(patient.intent, amount=4500)
    patient.assert_found("I3", "captured 9000", by_hand, "less refunds 4500", "plus 4500 settled in another way")
    settle(patient, find(patient, "foreign_refund", patient.payment, by_hand))
    patient.assert_well()


def test_a_reversed_refund_that_a_person_settled(patient, refused):
    """It had succeeded here, and the gateway does not have it any more."""
    patient.sql("UPDATE refunds SET state = 'succeeded', gateway_id = 're_reversed' WHERE refund_id = %(refund)s", refund=refused)
    finding = find(patient, "refund_reversed", refused, "re_reversed")
    patient.assert_found("I3", "has succeeded here (4500 EUR)", "does not have refund re_reversed")
    patient.assert_found("I3", "captured 9000", "less refunds 0", "seats 4500")
    settle(patient, finding)


# Each: words of its line, what breaks it, what mends it.
LOST = {
    "an attempt that the gateway does not have": (
        ["is captured here (9000 EUR)", "does not have intent pi_nowhere"],
        "UPDATE payments SET intent_id = 'pi_nowhere' WHERE payment_id = %(payment)s",
        "UPDATE payments SET intent_id = %(intent)s WHERE payment_id = %(payment)s"),
    "a refund that the gateway does not have": (
        ["has succeeded here (5 EUR)", "does not have refund re_nowhere"],
        """INSERT INTO refunds (show_id, refund_id, payment_id, booking_id, state, amount_minor, currency, kind, reason, gateway_id,
                                settle_at)
           VALUES (%(show)s, %(lock)s, %(payment)s, %(booking)s, 'succeeded', 5, 'EUR', 'goodwill', 'x', 're_nowhere', 'infinity')""",
        "DELETE FROM refunds WHERE refund_id = %(lock)s"),
}


@pytest.mark.parametrize("case", LOST)
def test_what_the_gateway_does_not_have_is_found(patient, case):
    words, breaks, mends = LOST[case]
    patient.sql(breaks)
    try:
        patient.assert_found("I3", *words)
    finally:
        patient.sql(mends, intent=patient.intent)


def ended(patient, state, void_wanted=False):
    """A booking that failed: its attempt ended just now."""
    booking, payment = patient.sell([5])
    params = {"b": booking, "p": payment, "state": state, "void": void_wanted}
    for text in ("DELETE FROM tickets WHERE booking_id = %(b)s", "DELETE FROM booking_seats WHERE booking_id = %(b)s",
                 "UPDATE bookings SET state = 'failed', reason = 'time_over', confirmed_at = NULL, ended_at = now() WHERE booking_id = %(b)s",
                 "UPDATE payments SET state = %(state)s, void_wanted = %(void)s WHERE payment_id = %(p)s"):
        patient.db.execute(text, params)
    patient.sql("UPDATE show_seats SET state = 0, lock_id = %(zero)s, expires_at = '-infinity' WHERE show_id = %(show)s AND seat_no = 5",
                zero=ZERO)
    patient.redis.delete(f"map:{{{patient.show}}}")
    patient.office.api().get(f"/v1/shows/{patient.show}/seats").expect(200)
    return booking, payment


def older(patient, payment):
    """Its last step was taken long ago."""
    patient.db.execute("UPDATE payments SET created_at = now() - interval '2 minutes' WHERE payment_id = %s", [payment])


def test_money_taken_for_an_ended_attempt(patient):
    """Within the time that settling may take it is work; after that, and where nobody is at it, it is a violation."""
    _, payment = ended(patient, "abandoned", void_wanted=True)
    patient.assert_well()
    older(patient, payment)
    patient.assert_found("I3", "(failed)", patient.intent, "captured 4500", "seats 0")
    assert patient.check("--grace-seconds", "3600").returncode == 0
    patient.db.execute("UPDATE payments SET void_wanted = false WHERE payment_id = %s", [payment])
    patient.assert_found("I3", "(failed)", patient.intent, args=("--grace-seconds", "3600"))
    patient.money.refund(patient.intent)


@pytest.mark.parametrize("known", [True, False], ids=["ended", "unknown"])
def test_money_held_for_an_ended_attempt(patient, known):
    booking, payment = ended(patient, "failed")
    patient.money.refund(patient.intent)
    intent = patient.money.hold(4500, patient.show, booking, payment if known else uuid.uuid4())
    if known:
        patient.assert_well()
        older(patient, payment)
        patient.assert_found("I3", intent, "holds 4500 EUR", "is failed")
        assert patient.check("--grace-seconds", "3600").returncode == 0
    else:
        patient.assert_well()  # just made
    patient.money.cancel(intent)


def test_a_refund_under_way(patient):
    patient.sql("UPDATE show_seats SET state = state WHERE show_id = %(show)s AND seat_no = 1")
    patient.sql("""INSERT INTO refunds (show_id, refund_id, payment_id, booking_id, state, amount_minor, currency, kind, reason,
                                        settle_at)
                   VALUES (%(show)s, %(lock)s, %(payment)s, %(booking)s, 'requested', 5, 'EUR', 'goodwill', 'x', now())""")
    patient.assert_well()
    patient.sql("UPDATE refunds SET created_at = now() - interval '2 minutes' WHERE refund_id = %(lock)s")
    patient.assert_found("I3", "less goodwill 5", "captured 9000")
    refund = patient.money.refund(patient.intent, amount=5)
    patient.assert_well()  # there before here: its answer was lost
    patient.sql("UPDATE refunds SET state = 'succeeded', gateway_id = %(refund)s WHERE refund_id = %(lock)s", refund=refund)


def test_a_capture_that_is_not_proven(patient):
    booking, payment = patient.sell([6])
    patient.money.refund(patient.intent)
    held = patient.money.hold(4500, patient.show, booking, payment)
    patient.redis.delete(f"map:{{{patient.show}}}")
    patient.office.api().get(f"/v1/shows/{patient.show}/seats").expect(200)
    patient.db.execute("UPDATE payments SET state = 'authorised', intent_id = %s WHERE payment_id = %s", [held, payment])
    patient.assert_well()
    older(patient, payment)
    patient.assert_found("I3", "less refunds 4500", "seats 4500")
    patient.money.post(f"/v1/payment_intents/{held}/capture")
    patient.assert_well()  # there before here
    patient.db.execute("UPDATE payments SET state = 'captured' WHERE payment_id = %s", [payment])


def test_what_others_do_with_the_account_is_not_ours(patient):
    intent = patient.money.take(1234, "a shop", "order 7", "")
    patient.assert_well()
    patient.money.refund(intent)


def test_a_gateway_that_does_not_answer_is_not_well(patient, work_dir):
    def run(*args):
        return subprocess.run([patient.build_dir / "boxoffice", "check", "--database-url", patient.office.database_url, *map(str, args)],
                              capture_output=True, text=True, timeout=60)

    key = patient.office.dir / "secret/payment.key"
    wrong = work_dir / "wrong.key"
    wrong.write_text("pk_test_of_somebody\n")
    for done, words in ((run("--payment-url", "http://127.0.0.1:1", "--payment-key-file", key), "I3 cannot be compared with the gateway"),
                        (run("--payment-url", patient.office.payment_url, "--payment-key-file", wrong), "it answers 401"),
                        (run("--payment-url", patient.office.payment_url, "--payment-key-file", work_dir / "none"), "cannot be read"),
                        (run("--payment-url", patient.office.payment_url), "payment-key-file is not")):
        assert done.returncode == 2 and words in done.stderr and "ok" not in done.stdout, (done.stdout, done.stderr)
        assert "k_test" not in done.stderr
    well = run("--payment-url", patient.office.payment_url, "--payment-key-file", key)
    assert well.returncode == 0 and "the gateway's ledger compared: " in well.stdout, well.stdout + well.stderr
    assert "ledger not compared" in run().stdout


def test_a_ledger_of_many_pages(patient):
    """Found on the last page, and each once."""
    stranger = uuid.uuid4()
    oldest = patient.money.take(50, patient.show, stranger, stranger)
    others = [patient.money.take(50, "another program", "x", "x") for _ in range(120)]
    patient.assert_found("I3", oldest)
    patient.money.refund(oldest)
    for intent in others[:101]:
        patient.money.refund(intent)
    patient.assert_well()


def test_money_that_moves_meanwhile_is_no_difference(patient):
    """Too much at the first look, given back by the second."""
    stranger = uuid.uuid4()
    intent = patient.money.take(70, patient.show, stranger, stranger)
    started = subprocess.Popen([patient.build_dir / "boxoffice", "check", "--dir", str(patient.office.dir), "--i7-wait-ms", "2000"],
                               stdout=subprocess.PIPE, text=True)
    wait_until(lambda: patient.db.execute("SELECT 1 FROM pg_stat_activity WHERE application_name = 'boxoffice check' AND state = 'idle'"
                                          " AND query LIKE '-- I3, the gateway''s half%'").fetchall(), "its first look")
    patient.money.refund(intent)
    out, _ = started.communicate(timeout=30)
    assert started.returncode == 0, out
