"""The reconciler: the orphan scan, what it finds, what a person does about it, and whose duty it is."""

import re
import signal
import subprocess
import urllib.request
import uuid

import pytest

from gateway import Gateway, Simulator, bank
from paying import SECURE, attempts, office_of
from paying import admin, db  # noqa: F401 (fixtures)
from service import free_port, wait_until
from stand import own_plant  # noqa: F401 (fixture)

CANCELLATION = {"until": "2099-01-01T00:00:00Z", "fee": {"amount": 0, "currency": "EUR"}}


def metric(port, name, **labels):
    """Of `work`: the value of one series."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        for line in answer.read().decode().splitlines():
            if re.match(re.escape(name) + r"[ {]", line) and all(f'{k}="{v}"' in line for k, v in labels.items()):
                return float(line.rsplit(" ", 1)[1])
    raise AssertionError(f"there is no metric {name} {labels}")


# scans every second, and leaves nothing alone for being young; no webhook helps it
office = office_of(ORPHAN_SCAN_SECONDS=1, ORPHAN_MIN_AGE_SECONDS=0, WORK_PORT=free_port)


@pytest.fixture
def gateway(office):
    gateway = Gateway.of(office)
    gateway.silent()
    yield gateway
    gateway.clear()


@pytest.fixture
def payments(office):
    """boxoffice admin payments ..."""
    def run(*args):
        return subprocess.run([office.build_dir / "boxoffice", "admin", "payments", *map(str, args), "--dir", office.dir],
                              capture_output=True, text=True, timeout=60, check=False)
    return run


def findings(db, gateway_id):
    """[(kind, open, who and how it was settled)]"""
    return db.execute("SELECT kind, settled_at = 'infinity', settled_by || ': ' || settled_how FROM payment_findings"
                      " WHERE gateway_id = %s ORDER BY kind", [gateway_id]).fetchall()


def scanned(office, passes=2):
    """Waits until whole scans have begun and ended since."""
    before = metric(office.work_port, "boxoffice_orphan_scans_total", outcome="complete")
    wait_until(lambda: metric(office.work_port, "boxoffice_orphan_scans_total", outcome="complete") >= before + passes, "a scan", 15)


def booked(office, show, start=0, method="pm_card_visa"):
    buyer = office.session()
    lock = buyer.lock(show.show_id, show.seats[start:start + 2]).expect(201)["lock_id"]
    return buyer, buyer.book(show.show_id, lock, method).expect(201)


def sound(office, db, booking_id):
    """boxoffice check has nothing to say about this booking. (About what a test forged at the gateway it rightly has.)"""
    [reference] = db.execute("SELECT reference FROM bookings WHERE booking_id = %s", [booking_id]).fetchone()
    done = subprocess.run([office.build_dir / "boxoffice", "check", "--dir", office.dir], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (0, 1) and reference not in done.stdout, done.stdout + done.stderr


# ---- nobody's intents ----


def test_nothing_waits_at_first(payments, office):
    done = payments("list")
    assert done.returncode == 0 and done.stdout.startswith("Nothing waits for a person"), done.stdout + done.stderr
    assert metric(office.work_port, "boxoffice_payment_findings_open", kind="refund_failed") == 0


@pytest.mark.parametrize("method", [None, SECURE, "pm_card_visa"], ids=["unconfirmed", "3-D Secure", "held"])
def test_an_open_intent_without_an_attempt_is_cancelled(office, admin, gateway, db, method):
    """As after a database was restored: recorded first, then cancelled. The gateway fails once, and repeats that for its key."""
    show = admin.make_show(seats=4)
    gateway.fault("cancel", "500_before")
    intent = gateway.make_intent(show.show_id, uuid.uuid4(), uuid.uuid4(), method)
    wait_until(lambda: gateway.intent(intent)["status"] == "canceled", "the intent cancelled", 20)
    wait_until(lambda: findings(db, intent) == [("orphan_intent", False, "reconciler: cancelled at the gateway")], "its finding settled")
    assert db.execute("SELECT times FROM payment_findings WHERE gateway_id = %s", [intent]).fetchone() == (2,)


def test_what_was_found_is_kept_before_it_is_touched(office, admin, gateway, db):
    show = admin.make_show(seats=4)
    gateway.fault("cancel", "hang", times=1000)
    intent = gateway.make_intent(show.show_id, uuid.uuid4(), uuid.uuid4())
    wait_until(lambda: findings(db, intent) == [("orphan_intent", True, ": ")], "the finding", 10)
    assert gateway.intent(intent)["status"] == "requires_capture"
    gateway.clear()
    gateway.silent()
    wait_until(lambda: gateway.intent(intent)["status"] == "canceled", "the intent cancelled", 20)


def test_money_for_nothing_is_for_a_person(office, admin, gateway, db, payments):
    show = admin.make_show(seats=4)
    intent = gateway.make_intent(show.show_id, uuid.uuid4(), uuid.uuid4(), capture="automatic", amount=1234)
    wait_until(lambda: findings(db, intent) == [("orphan_payment", True, ": ")], "the finding", 10)
    scanned(office)
    now = gateway.intent(intent)
    assert (now["status"], now["amount_captured"], now["amount_refunded"]) == ("succeeded", 1234, 0)
    wait_until(lambda: metric(office.work_port, "boxoffice_payment_findings_open", kind="orphan_payment") == 1, "the gauge")
    # what a person does
    text = payments("list").stdout
    line = next(line for line in text.splitlines() if "orphan_payment" in line)
    assert "12.34 EUR" in line and intent in text and "    do: " in text and "Open findings: 1." in text
    finding = line.split()[0]
    assert payments("settle", finding).returncode == 2
    assert payments("settle", finding, "--how", "x", "--by", "reconciler").returncode == 2
    done = payments("settle", finding, "--how", "Refunded at the gateway's page.", "--by", "Ada")
    assert done.returncode == 0 and done.stdout == f"settled: orphan_payment {finding}\n", done.stderr
    again = payments("settle", finding, "--how", "x")
    assert again.returncode == 1 and "settled before, by Ada" in again.stderr
    assert payments("settle", uuid.uuid4(), "--how", "x").returncode == 1
    assert payments("settle", "that", "--how", "x").returncode == 2
    scanned(office)  # it is still there, and stays settled
    assert findings(db, intent) == [("orphan_payment", False, "Ada: Refunded at the gateway's page.")]
    assert finding not in payments("list").stdout
    assert "by Ada: Refunded at the gateway's page." in payments("list", "--all").stdout


def test_what_is_not_ours_is_left_alone(office, gateway, db):
    """No metadata; and a show that is not here, which may be another box office's: that is said, and nothing is done."""
    foreign = gateway.post("/v1/payment_intents", amount=100, currency="eur", capture_method="manual", payment_method="pm_card_visa",
                           confirm="true", payment_method_types__0="card")["id"]
    strange = gateway.make_intent(uuid.uuid4(), uuid.uuid4(), uuid.uuid4())
    wait_until(lambda: findings(db, strange) == [("orphan_intent", True, ": ")], "the finding", 10)
    scanned(office)
    assert gateway.intent(foreign)["status"] == gateway.intent(strange)["status"] == "requires_capture"
    assert findings(db, foreign) == []
    # whoever cancels it there need not say so here
    gateway.post(f"/v1/payment_intents/{strange}/cancel")
    wait_until(lambda: findings(db, strange) == [("orphan_intent", False, "reconciler: in order at the gateway")], "its finding settled", 10)


# ---- intents of attempts that have ended ----


def test_an_intent_nobody_knew(office, admin, gateway, db):
    """The gateway made it, its answer was lost, and the attempt ended without knowing its id."""
    show = admin.make_show()
    buyer = office.session()
    lock = buyer.lock(show.show_id, show.seats[:2]).expect(201)["lock_id"]
    gateway.fault("create", "500_after")
    buyer.book(show.show_id, lock).expect(503, "payment_unavailable")
    [booking] = db.execute("SELECT booking_id FROM bookings WHERE lock_id = %s", [lock]).fetchone()
    [intent] = gateway.intents(booking)
    wait_until(lambda: gateway.intent(intent["id"])["status"] == "canceled", "the intent cancelled", 20)
    wait_until(lambda: db.execute("SELECT state, intent_id, void_wanted FROM payments WHERE booking_id = %s", [booking]).fetchone()
               == ("failed", intent["id"], False), "the attempt through")
    said = db.execute("SELECT actor, why FROM payment_events WHERE booking_id = %s ORDER BY at DESC LIMIT 2", [booking]).fetchall()
    assert said == [("reconciler", "void at the gateway"), ("reconciler", "the orphan scan found its intent open or paid")]
    # sent like every other call of an attempt
    assert db.execute("SELECT count(*) FROM payment_calls WHERE path LIKE %s AND step = 'cancel' AND http_status = 200",
                      [f"%{intent['id']}%"]).fetchone() == (1,)


@pytest.mark.parametrize("paid", [False, True], ids=["held", "paid"])
def test_money_for_what_has_ended(office, admin, gateway, db, paid):
    """No webhook ever comes: the scan sees that an abandoned attempt's intent is held, or paid: void, or all goes back, once."""
    show = admin.make_show()
    _, booking = booked(office, show, method=SECURE)
    gateway.fault("cancel", "429", times=1000000)
    db.execute("UPDATE payments SET action_until = now(), settle_at = now() WHERE booking_id = %s", [booking["booking_id"]])
    wait_until(lambda: attempts(db, booking["booking_id"]) == ["abandoned"], "the attempt abandoned")
    [intent] = gateway.intents(booking["booking_id"])
    bank(booking["payment"]["next_action"]["redirect_to_url"]["url"], "authorise")
    if paid:
        gateway.post(f"/v1/payment_intents/{intent['id']}/capture")
    gateway.clear()
    gateway.silent()
    # as if it had been void for certain: nobody will look at it any more
    db.execute("UPDATE payments SET void_wanted = false, settle_at = 'infinity', generation = generation + 1 WHERE booking_id = %s",
               [booking["booking_id"]])
    wanted = ("succeeded", 9000) if paid else ("canceled", 0)
    wait_until(lambda: (gateway.intent(intent["id"])["status"], gateway.intent(intent["id"])["amount_refunded"]) == wanted, "it seen to", 20)
    scanned(office)
    refunds = db.execute("SELECT kind, amount_minor FROM refunds WHERE booking_id = %s", [booking["booking_id"]]).fetchall()
    assert refunds == ([("void", 9000)] if paid else [])
    assert db.execute("SELECT void_wanted, settle_at = 'infinity' FROM payments WHERE booking_id = %s", [booking["booking_id"]]).fetchone() == (False, True)
    sound(office, db, booking["booking_id"])


# ---- captured here ----


def test_captured_here_but_not_there(office, admin, gateway, db):
    show = admin.make_show()
    _, booking = booked(office, show)
    [real] = [intent["id"] for intent in gateway.intents(booking["booking_id"])]
    [attempt] = db.execute("SELECT payment_id FROM payments WHERE booking_id = %s", [booking["booking_id"]]).fetchone()
    held = gateway.make_intent(show.show_id, booking["booking_id"], attempt, amount=9000)
    wait_until(lambda: findings(db, held) == [("second_intent", True, ": ")], "a second intent", 10)
    assert findings(db, real) == []
    db.execute("UPDATE payments SET intent_id = %s WHERE payment_id = %s", [held, attempt])
    wait_until(lambda: ("capture_missing", True, ": ") in findings(db, held), "the capture missed", 10)
    wait_until(lambda: findings(db, real) == [("second_intent", True, ": ")], "the other one", 10)
    assert gateway.intent(held)["status"] == "requires_capture" and gateway.intent(real)["amount_captured"] == 9000
    # it was a mistake, and what comes into order by itself is settled by itself
    db.execute("UPDATE payments SET intent_id = %s WHERE payment_id = %s", [real, attempt])
    gateway.post(f"/v1/payment_intents/{held}/cancel")
    wait_until(lambda: not any(is_open for _, is_open, _ in findings(db, held) + findings(db, real)), "all in order", 10)
    assert len(findings(db, held)) == 2


def test_another_amount(office, admin, gateway, db):
    show = admin.make_show()
    _, booking = booked(office, show)
    [attempt, real] = db.execute("SELECT payment_id, intent_id FROM payments WHERE booking_id = %s", [booking["booking_id"]]).fetchone()
    other = gateway.make_intent(show.show_id, booking["booking_id"], attempt, amount=100, capture="automatic")
    db.execute("UPDATE payments SET intent_id = %s WHERE payment_id = %s", [other, attempt])
    wait_until(lambda: ("amount_differs", True, ": ") in findings(db, other), "the other amount", 10)
    db.execute("UPDATE payments SET intent_id = %s WHERE payment_id = %s", [real, attempt])


# ---- pages ----


def test_many_pages_and_one_that_fails(office, admin, gateway, db):
    show = admin.make_show(seats=4)
    gateway.fault("cancel", "429", times=1000000)
    old = gateway.make_intent(show.show_id, uuid.uuid4(), uuid.uuid4())
    for _ in range(105):  # younger, hence listed before
        gateway.post("/v1/payment_intents", amount=100, currency="eur", payment_method_types__0="card")
    failed = metric(office.work_port, "boxoffice_orphan_scans_total", outcome="failed")
    gateway.clear()
    gateway.silent()
    gateway.fault("list", "500_before")
    wait_until(lambda: metric(office.work_port, "boxoffice_orphan_scans_total", outcome="failed") > failed, "a page that fails")
    wait_until(lambda: gateway.intent(old)["status"] == "canceled", "the one on the second page", 20)


# ---- refunds that failed ----


def refused_refund(office, admin, gateway, db):
    show = admin.make_show(cancellation=CANCELLATION)
    buyer, booking = booked(office, show)
    gateway.fault("refund", "decline")
    assert buyer.cancel(show.show_id, booking["booking_id"]).expect(200)["refund"]["status"] == "failed"
    [refund] = db.execute("SELECT refund_id FROM refunds WHERE booking_id = %s", [booking["booking_id"]]).fetchone()
    return show, booking["booking_id"], str(refund)


def test_a_failed_refund_is_sent_again(office, admin, gateway, db, payments):
    _, booking, refund = refused_refund(office, admin, gateway, db)
    text = payments("list").stdout
    assert f"retry-refund {refund}" in text and "90.00 EUR" in text
    wait_until(lambda: metric(office.work_port, "boxoffice_payment_findings_open", kind="refund_failed") == 1, "the gauge")
    done = payments("retry-refund", refund, "--by", "Ada")
    assert done.returncode == 0 and "90.00 EUR  requested" in done.stdout, done.stdout + done.stderr
    new = done.stdout.split()[0]
    wait_until(lambda: db.execute("SELECT state FROM refunds WHERE refund_id = %s", [new]).fetchone() == ("succeeded",), "it succeeded")
    assert [i["amount_refunded"] for i in gateway.intents(booking)] == [9000]
    again = payments("retry-refund", refund)
    assert again.returncode == 1 and "no failed refund" in again.stderr
    assert refund not in payments("list").stdout
    assert f"by Ada: sent again as refund {new}" in payments("list", "--all").stdout
    assert db.execute("SELECT actor, why FROM payment_events WHERE refund_id = %s AND to_state = 'requested'", [new]).fetchone() == \
        ("staff", f"again, in place of {refund}, by Ada")
    assert payments("retry-refund", "that").returncode == 2 and payments("retry-refund").returncode == 2
    sound(office, db, booking)


def test_never_more_than_was_taken(office, admin, gateway, db, payments):
    show, booking, refund = refused_refund(office, admin, gateway, db)
    admin.post(f"/v1/shows/{show.show_id}/bookings/{booking}/refunds", {"amount": {"amount": 50, "currency": "EUR"}, "reason": "x"}).expect(201)
    no = payments("retry-refund", refund)
    assert no.returncode == 1 and "does not have that much left" in no.stderr
    assert db.execute("SELECT count(*), sum(amount_minor) FROM refunds WHERE booking_id = %s AND state <> 'failed'", [booking]).fetchone() == (1, 50)
    assert refund in payments("list").stdout


# ---- unsettled for long ----


def test_unsettled_for_long(office, admin, gateway, db, payments):
    show = admin.make_show()
    buyer, booking = booked(office, show, method=SECURE)
    [attempt] = db.execute("UPDATE payments SET created_at = now() - interval '2 hours' WHERE booking_id = %s RETURNING payment_id",
                           [booking["booking_id"]]).fetchone()

    def found():
        return db.execute("SELECT settled_at = 'infinity', settled_by FROM payment_findings WHERE subject_id = %s"
                          " AND kind = 'attempt_unsettled'", [attempt]).fetchone()

    wait_until(lambda: found() == (True, ""), "the finding", 15)
    text = payments("list").stdout
    assert f"attempt {attempt}  requires_action  90.00 EUR  for 02:00:" in text and "Unsettled for long: 1." in text
    wait_until(lambda: metric(office.work_port, "boxoffice_payment_attempts_unsettled", state="requires_action") >= 1, "the gauge")
    bank(booking["payment"]["next_action"]["redirect_to_url"]["url"], "authorise")
    wait_until(lambda: buyer.get(f"/v1/shows/{show.show_id}/bookings/{booking['booking_id']}").expect(200)["status"] == "confirmed", "it settled")
    wait_until(lambda: found() == (False, "reconciler"), "the finding settled", 15)
    assert str(attempt) not in payments("list").stdout


# ---- whose duty it is: work by hand ----


@pytest.fixture
def sim(build_dir, work_dir):
    sim = Simulator(build_dir, work_dir)
    yield sim
    sim.stop()


def captures_pending(stand, sim, show, seats):
    """Bookings whose capture has to be done again."""
    sim.fault("capture", "500_before", times=len(seats))
    made = []
    for seat in seats:
        buyer = stand.session()
        lock = buyer.lock(show.show_id, [seat]).expect(201)["lock_id"]
        made.append(buyer.book(show.show_id, lock).expect(201)["booking_id"])
    return made


def test_two_workers_one_is_killed(make_stand, sim):
    """Two at once do nothing twice; of one that is killed the other takes over."""
    ports = [free_port(), free_port()]
    stand = make_stand("--payment-url", sim.url, "--payment-key-file", str(sim.key_file), "--lease-seconds", "3", workers=1, work=False)
    works = [stand._start("work", "--work-port", str(port)) for port in ports]
    stand.work = works[0]
    try:
        show = stand.admin().make_show()
        with stand.plant.sql() as db:
            by_pid = {work.pid: (work, port) for work, port in zip(works, ports, strict=True)}

            def holder_pid():
                row = db.execute("SELECT holder FROM leases WHERE name = 'settle' AND until > now()").fetchone()
                return row and int(row[0].split("/")[1])

            wait_until(lambda: holder_pid() in by_pid, "one of ours settles", 15)
            holder, hands = db.execute("SELECT holder, generation FROM leases WHERE name = 'settle'").fetchone()
            one = by_pid.pop(int(holder.split("/")[1]))
            [other] = by_pid.values()
            idle = metric(other[1], "boxoffice_duty_runs_total", duty="settle")
            first = captures_pending(stand, sim, show, show.seats[:6])

            def captured(bookings):
                return db.execute("SELECT count(*) FROM payments WHERE booking_id = ANY (%s::uuid[]) AND state = 'captured'", [bookings]).fetchone()[0]

            wait_until(lambda: captured(first) == 6, "all captured", 20)
            # while the duty is one's, the other does not run it (on a slow machine a lease may end, and then it is the other's)
            same_hands = db.execute("SELECT generation FROM leases WHERE name = 'settle'").fetchone() == (hands,)
            assert metric(other[1], "boxoffice_duty_runs_total", duty="settle") == idle or not same_hands
            one[0].kill()
            one[0].wait()
            stand.work = other[0]
            second = captures_pending(stand, sim, show, show.seats[6:12])
            wait_until(lambda: captured(second) == 6, "all captured by the other", 20)
            assert metric(other[1], "boxoffice_duty_runs_total", duty="settle") > idle
            both = first + second
            # taken over once each, one arrow each, one capture each at the gateway
            assert db.execute("SELECT DISTINCT generation FROM payments WHERE booking_id = ANY (%s::uuid[])", [both]).fetchall() == [(2,)]
            assert db.execute("SELECT count(*) FROM payment_events WHERE booking_id = ANY (%s::uuid[]) AND to_state = 'captured'",
                              [both]).fetchone() == (12,)
            calls = db.execute("SELECT count(*), count(DISTINCT payment_id) FROM payment_calls c JOIN payments p USING (show_id, payment_id)"
                               " WHERE p.booking_id = ANY (%s::uuid[]) AND c.step = 'capture'", [both]).fetchone()
            assert calls == (24, 12)
        assert sum(i["amount_captured"] for i in sim.ledger()["payment_intents"]) == 12 * 4500
    finally:
        for work in works:
            if work.poll() is None and work is not stand.work:
                work.send_signal(signal.SIGTERM)
                work.wait(10)


def test_the_young_are_left_alone(make_stand, sim):
    """By the settings' defaults: what is just being made is nobody's orphan."""
    port = free_port()
    stand = make_stand("--payment-url", sim.url, "--payment-key-file", str(sim.key_file), "--work-port", str(port), workers=1)
    show = stand.admin().make_show(seats=4)
    with stand.plant.sql() as db:
        stand.stop_work()
        intent = sim.make_intent(show.show_id, uuid.uuid4(), uuid.uuid4())
        stand.start_work()
        wait_until(lambda: _complete(port), "the scan at the start", 15)
        assert sim.intent(intent)["status"] == "requires_capture" and findings(db, intent) == []


def _complete(port):
    try:
        return metric(port, "boxoffice_orphan_scans_total", outcome="complete") >= 1
    except OSError:
        return False


def test_the_lag_is_shown(make_stand, sim):
    """Settling that does not happen is seen: by every one who watches, whoever has the duty."""
    port = free_port()
    stand = make_stand("--payment-url", sim.url, "--payment-key-file", str(sim.key_file), "--work-port", str(port), workers=1, work=False)
    with stand.plant.sql() as db:
        # somebody else has the duty, and sleeps
        db.execute("INSERT INTO leases (name, holder, generation, until) VALUES ('settle', 'a sleeper', 1, 'infinity')"
                   " ON CONFLICT (name) DO UPDATE SET holder = 'a sleeper', until = 'infinity'")
        stand.start_work()
        show = stand.admin().make_show()
        [booking] = captures_pending(stand, sim, show, show.seats[:1])
        db.execute("UPDATE payments SET settle_at = now() - interval '90 seconds', ask_after = 'infinity' WHERE booking_id = %s", [booking])
        wait_until(lambda: lag(port) >= 90, "the lag", 15)
        assert metric(port, "boxoffice_payment_attempts_unsettled", state="authorised") >= 1
        db.execute("DELETE FROM leases WHERE name = 'settle'")
        wait_until(lambda: lag(port) == 0, "no lag", 20)


def lag(port):
    try:
        return metric(port, "boxoffice_payment_settle_lag_seconds", of="attempt")
    except OSError:
        return -1
