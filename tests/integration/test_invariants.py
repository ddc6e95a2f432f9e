"""`work` watches over the invariants of what happened lately: a gauge, and a line in the log for each new fault."""

import json
import re
import urllib.request
import uuid

import psycopg
import pytest

from paying import office_of
from plans import assert_entered_by_a_condition, plan_text
from service import free_port, wait_until


office = office_of("--workers", "1", "--audit-ms", "600000", WORK_PORT=free_port, CHECK_SECONDS=1)


def gauges(office):
    with urllib.request.urlopen(f"http://127.0.0.1:{office.work_port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {name: int(n) for name, n in re.findall(r'^boxoffice_invariant_violations\{invariant="(I\d)"\} (\d+)', text, re.M)}


def told(office, booking):
    """The lines of work's log about it."""
    lines = "\n".join(path.read_text() for path in (office.dir / "log").iterdir()).splitlines()
    return [json.loads(line) for line in lines if "an invariant does not hold" in line and booking in line]


# Each: what breaks it, what mends it.
BROKEN = {
    "I1": ("UPDATE show_seats SET state = 0 WHERE show_id = %(show)s AND seat_no = %(seat)s",
           "UPDATE show_seats SET state = 2 WHERE show_id = %(show)s AND seat_no = %(seat)s"),
    "I2": ("UPDATE bookings SET confirmed_at = NULL WHERE booking_id = %(booking)s",
           "UPDATE bookings SET confirmed_at = now() WHERE booking_id = %(booking)s"),
    "I3": ("UPDATE payments SET amount_minor = 8999 WHERE booking_id = %(booking)s",
           "UPDATE payments SET amount_minor = 9000 WHERE booking_id = %(booking)s"),
    "I6": ("UPDATE tickets SET state = 'revoked' WHERE booking_id = %(booking)s AND seat_no = %(seat)s",
           "UPDATE tickets SET state = 'valid' WHERE booking_id = %(booking)s AND seat_no = %(seat)s"),
}


def test_faults_are_shown_and_said_once(office):
    """One of each kind at once, each of a booking of its own."""
    show, buyers = office.admin().make_show(), [office.session() for _ in BROKEN]
    sold = {}
    for name, buyer, row in zip(BROKEN, buyers, range(4), strict=True):
        lock = buyer.lock(show.show_id, show.seats[10 * row:10 * row + 2]).expect(201)["lock_id"]
        booking = buyer.book(show.show_id, lock).expect(201)
        sold[name] = {"show": show.show_id, "seat": 10 * row, "booking": booking["booking_id"], "reference": booking["reference"]}
    with psycopg.connect(office.database_url, autocommit=True) as db:
        wait_until(lambda: not any(gauges(office).values()), "all well before")
        for name, (breaks, _) in BROKEN.items():
            db.execute(breaks, sold[name])
        try:
            wait_until(lambda: {key: n for key, n in gauges(office).items() if n} == dict.fromkeys(BROKEN, 1), "each shown")
            # long ago by now, for the outbox: it is looked at until it is mended
            db.execute("UPDATE outbox_log SET created_at = created_at - interval '2 hours'")
            rounds = duty_rounds(office)
            wait_until(lambda: duty_rounds(office) >= rounds + 2, "two more rounds")
            assert {key: n for key, n in gauges(office).items() if n} == dict.fromkeys(BROKEN, 1)
            for name in BROKEN:
                [line] = told(office, sold[name]["reference"])
                assert (line["invariant"], line["show_id"], line["level"]) == (name, show.show_id, "error")
        finally:
            for name, (_, mends) in BROKEN.items():
                db.execute(mends, sold[name])
        wait_until(lambda: not any(gauges(office).values()), "all well again")


def duty_rounds(office):
    with urllib.request.urlopen(f"http://127.0.0.1:{office.work_port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return sum(int(n) for n in re.findall(r'^boxoffice_duty_runs_total\{duty="check"\} (\d+)', text, re.M))


def test_what_waits_too_long(office):
    """A booking that nobody ends: as if its duty slept."""
    show = office.admin().make_show()
    with psycopg.connect(office.database_url, autocommit=True) as db:
        booking, lock = uuid.uuid4(), uuid.uuid4()
        db.execute("""CREATE FUNCTION sleep_on() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
                      CREATE TRIGGER sleep_on BEFORE UPDATE ON bookings FOR EACH ROW EXECUTE FUNCTION sleep_on()""")
        db.execute("""INSERT INTO bookings (show_id, booking_id, organizer_id, event_id, lock_id, session_id, buyer_id, reference, state,
                                            seats, prices, categories, total_minor, currency, created_at)
                      SELECT show_id, %(b)s, organizer_id, event_id, %(l)s, %(b)s, %(b)s, 'ASLEEP', 'payment_pending', '{1}', '{1}', '{0}', 1,
                             'EUR', now() - interval '1 hour' FROM shows WHERE show_id = %(s)s""", {"b": booking, "l": lock, "s": show.show_id})
        try:
            wait_until(lambda: gauges(office).get("I4") == 1, "I4 shown")
            assert told(office, "ASLEEP")[0]["invariant"] == "I4"
        finally:
            db.execute("DROP TRIGGER sleep_on ON bookings; DROP FUNCTION sleep_on")
        wait_until(lambda: not any(gauges(office).values()), "all well again")


@pytest.mark.parametrize("name", ["invariants_recent", "invariants_bounds"])
def test_plans(office, name):
    """Made on empty tables, they read by key and by index, whatever the planner believes."""
    plan = plan_text(office.database_url, f"src/work/sql/{name}.sql")
    assert "Seq Scan" not in plan and "Hash Join" not in plan and "Merge" not in plan, plan
    assert_entered_by_a_condition(plan, "bookings_pending", "outbox_parked_refused")  # those that wait are few
