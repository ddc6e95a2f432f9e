"""A process, a server or an answer is lost in the middle of a payment: whoever asks again with the same key comes to the
right end, the gateway's ledger has every confirmed booking charged once and nobody else charged at all, and every invariant
holds. Each fault is caused for real, at a point that is found in the database or at a commit, never by waiting a while."""

import contextlib
import os
import signal
import tempfile

import pytest

from gateway import bank
from pg_proxy import BEFORE, HOLD, LOST, NEVER, Trap
from service import wait_until
from till import CANCELLATION, FOR_EVER, PRICE, TIMEOUT_MS, Sale, Till

SECURE = "pm_card_threeDSecureRequired"
DECLINED = "pm_card_chargeDeclined"
PAID = [">created", "created>authorised", "authorised>captured"]
RETRIED = [">created", "created>failed", *PAID]
REFUND = ["refund >requested", "refund requested>succeeded"]
DAY = 86400
MONTH_OF_A_HOLD = 8 * DAY  # the gateway gives a hold back after seven days


@pytest.fixture(scope="module")
def till(build_dir, base_dir):
    till = Till(build_dir, tempfile.mkdtemp(dir=base_dir))
    yield till
    till.close()


@pytest.fixture(autouse=True)
def mended(till):
    yield
    till.mend()


@contextlib.contextmanager
def stopped(pid):
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def killed_at(till, sale, statement, how):
    """A purchase whose process dies just before the commit of a statement's transaction (NEVER), or before it hears of it (HOLD)."""
    trap = till.proxy.set(statement, how, then=lambda trap: os.kill(trap.pid, signal.SIGKILL))
    asked = sale.start()
    trap.wait()
    trap.release()
    assert asked.result() is None


def killed_during(till, statement, call, mode, seen):
    """A purchase whose process dies while a call of the gateway, begun after a statement's transaction, goes as mode says; seen(sale)
    waits for that."""
    sale = Sale(till)
    trap = till.proxy.set(statement, HOLD)
    till.gateway.fault(call, mode, FOR_EVER)
    asked = sale.start()
    pid = trap.wait()
    trap.release()
    seen(sale)
    till.kill_worker(pid)
    assert asked.result() is None
    return sale


@contextlib.contextmanager
def asleep_at(till, statement):
    """(a purchase, what is asked): its process sleeps when a statement's transaction is committed, until the end of this."""
    sale = Sale(till)
    trap = till.proxy.set(statement, HOLD)
    asked = sale.start()
    with stopped(trap.wait()):
        trap.release()
        yield sale, asked


# ---- 1: PostgreSQL is killed after the payment was authorised --------------------------------------------------------------


@pytest.mark.parametrize("how", [NEVER, LOST], ids=["before the commit", "after the commit"])
def test_postgresql_is_killed_when_the_money_is_held(till, how):
    """kill -9 when the gateway has said that it holds the money: just before that is committed, or just after it was."""
    sale = Sale(till)
    trap = till.proxy.set("payment_authorise", how, then=lambda trap: till.real.postgres.kill())
    asked = sale.start()
    trap.wait()
    [intent] = till.intents(sale.show)
    assert intent["status"] == "requires_capture" and intent["amount_captured"] == 0
    answer = asked.result()
    assert answer.status == 503 and answer.code in ("outcome_unknown", "unavailable"), answer
    till.real.postgres.start()
    till.wait_ready()
    sale.booked()
    till.prove(sale.show, {sale: sale.seats})
    assert sale.trail() == PAID and len(sale.calls("capture")) == 1


# ---- 2: the server is killed after the intent was made ---------------------------------------------------------------------


@pytest.mark.parametrize("how", [NEVER, HOLD], ids=["attempt not committed", "attempt committed"])
def test_killed_before_the_intent_is_asked_for(till, how):
    """The attempt and the row of its first call are committed together, and no byte of the call has left."""
    sale = Sale(till)
    killed_at(till, sale, "payment_create", how)
    made = how == HOLD
    assert sale.attempts() == ["created"] * made and [status for _, status in sale.calls("create")] == [None] * made
    assert till.intents(sale.show) == []
    sale.booked()
    till.prove(sale.show, {sale: sale.seats})
    assert sale.trail() == (RETRIED if made else PAID)


def test_killed_before_the_intent_was_seen(till):
    sale = killed_during(till, "payment_create", "create", "hang_after", lambda sale: sale.wait_intents("requires_payment_method"))
    sale.booked()
    till.prove(sale.show, {sale: sale.seats})
    assert sale.trail() == RETRIED


@pytest.mark.parametrize("how", [NEVER, HOLD], ids=["call not committed", "call committed"])
def test_killed_before_the_confirmation_is_sent(till, how):
    """The intent was seen; the confirmation's row is about to be committed, or is and no byte has left."""
    sale = Sale(till)
    killed_at(till, sale, "payment_confirm_call", how)
    assert len(sale.calls("confirm")) == (how == HOLD)
    sale.booked()
    till.prove(sale.show, {sale: sale.seats})
    assert sale.trail() == RETRIED
    # what may have been confirmed was cancelled first; what was not is of no use to anybody
    sale.wait_intents("succeeded", "canceled" if how == HOLD else "requires_payment_method")


@pytest.mark.parametrize("mode", ["hang", "hang_after"])
def test_killed_while_the_confirmation_is_under_way(till, mode):
    sale = killed_during(till, "payment_confirm_call", "confirm", mode,
                         lambda sale: sale.wait_intents("requires_capture") if mode == "hang_after" else till.gateway.wait_held())
    sale.booked()
    till.prove(sale.show, {sale: sale.seats})
    assert sale.trail() == (PAID if mode == "hang_after" else RETRIED)


# ---- 3: the server is killed after the booking, before the capture -----------------------------------------------------------


@pytest.mark.parametrize("asks", [True, False], ids=["asked again", "settled"])
def test_killed_between_booking_and_capture(till, asks):
    sale = Sale(till)
    killed_at(till, sale, "payment_authorise", HOLD)
    assert sale.attempts() == ["authorised"] and [status for _, status in sale.calls("capture")] == [None]
    sale.wait_intents("requires_capture")
    if asks:
        sale.booked()
    till.prove(sale.show, {sale: sale.seats})
    assert sale.trail() == PAID and len(sale.calls("capture")) == 1


# ---- 4, 5: the capture's answer is lost, or is a 500 that the gateway repeats -------------------------------------------------


@pytest.mark.parametrize("mode", ["hang", "hang_after", "drop_after"])
def test_the_captures_answer_is_lost(till, mode):
    sale = Sale(till)
    till.gateway.fault("capture", mode, FOR_EVER)
    booking = sale.post().expect(201)
    assert booking["status"] == "confirmed" and booking["payment"] == {"status": "capture_pending"}
    sale.booked()
    till.prove(sale.show, {sale: sale.seats})
    assert sale.trail() == PAID and len(sale.calls("capture")) == 1  # again with the same key


def test_killed_while_the_capture_is_under_way(till):
    sale = killed_during(till, "payment_authorise", "capture", "hang_after", lambda sale: sale.wait_intents("succeeded"))
    sale.booked()
    till.prove(sale.show, {sale: sale.seats})
    assert sale.trail() == PAID


@pytest.mark.parametrize("mode", ["500_before", "500_after"])
@pytest.mark.parametrize("forgotten", [False, True], ids=["noted", "killed before it was noted"])
def test_the_capture_is_answered_500_for_ever(till, mode, forgotten):
    sale = Sale(till)
    till.gateway.fault("capture", mode)
    with till.nobody_settles():
        if forgotten:
            # the answer is there, and dies with the process: the same key is sent again, and answered 500 again
            trap = till.proxy.set("payment_answer", NEVER, b"capture", then=lambda trap: os.kill(trap.pid, signal.SIGKILL))
            asked = sale.start()
            trap.wait()
            assert asked.result() is None
            assert [status for _, status in sale.calls("capture")] == [None]
        else:
            booking = sale.post().expect(201)
            assert booking["status"] == "confirmed" and booking["payment"] == {"status": "capture_pending"}
            assert [status for _, status in sale.calls("capture")] == [500]
    sale.booked()
    till.prove(sale.show, {sale: sale.seats})
    assert sale.trail() == PAID
    first, second = sale.calls("capture")
    assert first[1] == 500 and second[1] == (200 if mode == "500_before" else 400) and first[0] != second[0]


# ---- 6: the hold ends before it was captured ---------------------------------------------------------------------------------


def test_the_authorisation_expires_before_the_capture(till):
    """Confirmed, not captured for a week: the gateway gives the hold back. The booking ends, with its reason."""
    sale = Sale(till)
    with till.nobody_settles():
        till.gateway.fault("capture", "drop_before", times=1000)
        assert sale.post().expect(201)["payment"] == {"status": "capture_pending"}
        sale.grow_older(MONTH_OF_A_HOLD)
        till.gateway.advance(MONTH_OF_A_HOLD)
        till.gateway.clear()
    sale.wait_attempts("capture_failed")
    booking = sale.view()
    assert (booking["status"], booking["reason"]) == ("cancelled", "payment_lost")
    assert {ticket["status"] for ticket in booking["tickets"]} == {"revoked"}
    sale.post().expect(402, "payment_declined")
    sale.wait_intents("canceled")
    other = Sale(till, sale.show)
    other.post().expect(201)
    till.prove(sale.show, {other: other.seats})
    assert sale.trail()[:3] == [">created", "created>authorised", "authorised>capture_failed"]
    [told] = sale.rows("""SELECT e ->> 'reason' FROM outbox_events o, json_array_elements(o.events) e
        WHERE o.show_id = %(show)s AND e ->> 'type' = 'booking.cancelled'""")
    assert told == ("payment_lost",)


def test_the_authorisation_expires_before_it_was_seen(till):
    """Confirmed at the gateway, its answer lost, and nobody could ask within a week: nothing was charged."""
    sale = Sale(till)
    with till.nobody_settles():
        till.gateway.fault("confirm", "drop_after")
        till.gateway.fault("retrieve", "drop_before", times=1000)
        sale.post().expect(503, "outcome_unknown")
        sale.grow_older(MONTH_OF_A_HOLD)
        till.gateway.advance(MONTH_OF_A_HOLD)
        till.gateway.clear()
    sale.wait_attempts("failed")
    sale.again().expect(409, "lock_expired")
    till.prove(sale.show, {})


# ---- 7: the server sleeps for longer than the lock, in the middle of a payment ------------------------------------------------

HALF_AN_HOUR = 31 * 60


def sold_to_another(till, sale):
    other = Sale(till, sale.show)
    booking = other.post().expect(201)
    assert booking["status"] == "confirmed" and booking["payment"] == {"status": "captured"}
    return other


def test_asleep_before_the_intent_is_made(till):
    """Awake, it makes the intent, and finds nothing to do when it wants to confirm it: the seats are another buyer's."""
    with asleep_at(till, "payment_create") as (sale, asked):
        sale.grow_older(6 * 60)
        sale.wait_attempts("failed")
        other = sold_to_another(till, sale)
    answer = asked.result()
    assert answer.status in (409, 503), answer
    till.prove(sale.show, {other: other.seats})
    sale.wait_intents("requires_payment_method", "succeeded")
    assert sale.trail() == [">created", "created>failed"] and sale.calls("confirm") == []


def test_asleep_before_the_confirmation(till):
    """Its row is committed, its bytes are in the sleeper's hands. The attempt is cancelled, the seats are sold to another."""
    with asleep_at(till, "payment_confirm_call") as (sale, asked):
        sale.grow_older(6 * 60)
        sale.wait_attempts("failed")
        other = sold_to_another(till, sale)
    answer = asked.result()
    assert answer.status in (409, 503), answer
    sale.again().expect(409, "lock_expired")
    till.prove(sale.show, {other: other.seats})
    assert sale.trail() == [">created", "created>failed"]


def test_asleep_before_the_confirmation_until_everything_is_over(till):
    """The gateway is away for so long that the attempt is abandoned unseen; then the sleeper confirms: the money is held, for
    nobody, and is given back."""
    with asleep_at(till, "payment_confirm_call") as (sale, asked):
        till.gateway.fault("retrieve", "drop_before", times=1000)
        till.gateway.fault("cancel", "drop_before", times=1000)
        sale.grow_older(HALF_AN_HOUR)
        sale.wait_attempts("abandoned")
        other = sold_to_another(till, sale)
    answer = asked.result()
    assert answer.status in (409, 503), answer
    sale.wait_intents("requires_capture", "succeeded")
    till.gateway.clear()
    sale.again().expect(409, "lock_expired")
    sale.wait_intents("canceled", "succeeded")
    till.prove(sale.show, {other: other.seats})
    assert sale.trail()[:2] == [">created", "created>abandoned"]


def test_asleep_before_the_cancellation(till):
    """The settling duty found nothing confirmed and sleeps with the cancellation in its hands; then the confirmation arrives after
    all. What is held by it is not booked: the sleeper's bytes would end it. It is cancelled, and the buyer pays anew."""
    sale = Sale(till)
    confirms = till.proxy.set("payment_confirm_call", HOLD)
    cancels = till.proxy.set("payment_call", HOLD, b"cancel")
    till.gateway.fault("capture", "drop_before", times=1000)
    asked = sale.start()
    with contextlib.ExitStack() as awake:
        awake.enter_context(stopped(confirms.wait()))
        confirms.release()
        sale.lease_ends()
        settling = cancels.wait()
        assert settling == till.work.pid
        with stopped(settling):
            cancels.release()
            awake.close()
            sale.wait_intents("requires_capture")
            assert asked.result().status == 503
            booking = sale.again().expect(201)
            assert booking["status"] == "confirmed" and booking["payment"] == {"status": "capture_pending"}
    till.gateway.clear()
    sale.booked()
    till.prove(sale.show, {sale: sale.seats})
    assert sale.trail() == RETRIED
    sale.wait_intents("canceled", "succeeded")


@pytest.mark.parametrize("too_late", [False, True], ids=["taken over", "too late"])
def test_asleep_while_the_money_is_held(till, too_late):
    """The gateway's yes lies in the sleeper's socket. Another process books for the buyer; or everything was over, and the
    seats are another buyer's."""
    sale = Sale(till)
    with till.nobody_settles():
        trap = till.proxy.set("payment_confirm_call", HOLD)
        till.gateway.fault("confirm", "delay", 300)
        asked = sale.start()
        pid = trap.wait()
        trap.release()
        till.gateway.wait_held()
        os.kill(pid, signal.SIGSTOP)
        sale.wait_intents("requires_capture")
    with contextlib.ExitStack() as end:
        end.callback(os.kill, pid, signal.SIGCONT)
        if too_late:
            till.gateway.fault("retrieve", "drop_before", times=1000)
            sale.grow_older(HALF_AN_HOUR)
            sale.wait_attempts("abandoned")
            till.gateway.clear()
            other = sold_to_another(till, sale)
        else:
            sale.grow_older(6 * 60)
            sale.wait_attempts("captured")
    answer = asked.result()
    if too_late:
        assert answer.status == 409, answer
        sale.again().expect(409, "lock_expired")
        till.prove(sale.show, {other: other.seats})
        assert sale.trail()[:2] == [">created", "created>abandoned"]
    else:
        answer.expect(201)
        till.prove(sale.show, {sale: sale.seats})
        assert sale.trail() == PAID


def test_asleep_within_the_booking_transaction(till):
    """Asleep with its rows locked: PostgreSQL ends the transaction, another process books. Awake, its COMMIT comes to nothing."""
    sale = Sale(till)
    trap = till.proxy.set("payment_authorise", BEFORE)
    asked = sale.start()
    with stopped(trap.wait()):
        # what idle_in_transaction_session_timeout does after 10 s to a session in this state, and to no other
        [[ended]] = sale.rows("""SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE state = 'idle in transaction' AND usename = 'boxoffice_app'""")
        assert ended == 1
        sale.grow_older(6 * 60)
        sale.wait_attempts("captured")
        trap.release()
    sale.booked()
    assert asked.result().status in (201, 503)
    till.prove(sale.show, {sale: sale.seats})
    assert sale.trail() == PAID


def test_asleep_between_booking_and_capture(till):
    """Another process captures; the buyer gives the seats back, another buys them. The sleeper's capture does nothing."""
    with asleep_at(till, "payment_authorise") as (sale, asked):
        sale.grow_older(6 * 60)
        sale.wait_attempts("captured")
        assert sale.cancelled()["status"] == "cancelled"
        other = sold_to_another(till, sale)
    # what it did is answered, as it is by now
    booking = asked.result().expect(201)
    assert (booking["status"], booking["reason"]) == ("cancelled", "buyer")
    till.prove(sale.show, {other: other.seats}, {sale: 2 * PRICE})
    assert sale.trail() == [*PAID, *REFUND]


@pytest.mark.parametrize("method, status", [(DECLINED, 402), ("pm_card_visa", 422)])
def test_asleep_with_a_key_that_is_decided_meanwhile(till, method, status):
    """It has seen that its key is new. When it wakes up a twin's card was declined, and the lock is free to be paid again: the
    decline is the answer, the card is not asked twice, and another body with this key pays nothing."""
    sale = Sale(till)
    trap = till.proxy.set("booking_ask", HOLD)
    asked = sale.start(method)
    with stopped(trap.wait()):
        trap.release()
        sale.post(DECLINED).expect(402, "payment_declined")
    assert asked.result().status == status
    assert sale.attempts() == ["failed"] and len(till.intents(sale.show)) == 1
    till.prove(sale.show, {})


# ---- one process leaves the gateway alone, another does not ---------------------------------------------------------------------


@pytest.fixture
def troubled(till):
    """(an Api whose process has its breaker open for some seconds, one whose process has not)"""
    sale = Sale(till)
    troubled = till.api(sale.buyer.token, 20)  # its connection stays with one process
    till.gateway.fault("create", "500_before", times=1000)

    def left_alone():
        answer = troubled.book(sale.show.show_id, sale.lock)
        answer.expect(503, "payment_unavailable")
        return int(answer.headers.get("Retry-After", 0)) >= 3

    wait_until(left_alone, "the breaker open for some seconds", 30)
    till.gateway.clear()
    trap = till.proxy.set("booking_ask", HOLD, then=Trap.release)
    troubled.book(sale.show.show_id, sale.lock)
    yield troubled, wait_until(lambda: (api := till.api(None, 20)) and gateway_seen(api) == "up" and api, "the other process")
    till.kill_worker(trap.wait())


def gateway_seen(api):
    return api.get("/readyz").expect(200)["dependencies"]["payment_gateway"]["status"]


def test_a_twin_finds_the_gateway_left_alone(till, troubled):
    """The other process is about to commit an attempt for the key: it is waited for, and what it books is the answer to the key,
    not that the payment service cannot be reached. Where nobody is, that is the answer, and nothing is made."""
    sale = Sale(till)
    one, other = troubled
    one.token = other.token = sale.buyer.token
    one.book(sale.show.show_id, sale.lock, key=sale.key).expect(503, "payment_unavailable")
    assert sale.attempts() == []
    trap = till.proxy.set("payment_create", BEFORE)
    first = till.pool.submit(other.book, sale.show.show_id, sale.lock, key=sale.key)
    trap.wait()
    # not for long: until its row can be had
    one.book(sale.show.show_id, sale.lock, key=sale.key).expect(409, "idempotency_in_flight")
    second = till.pool.submit(one.book, sale.show.show_id, sale.lock, key=sale.key)
    at_its_row = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%%FOR SHARE%%'"
    wait_until(lambda: sale.rows(at_its_row) or second.done(), "the twin at the lock's row", interval_s=0.005)
    trap.release()
    booking = second.result().expect(201)
    assert booking["status"] == "confirmed" and first.result().expect(201) == booking
    till.prove(sale.show, {sale: sale.seats})


# ---- 8: the lock's time passes during 3-D Secure -------------------------------------------------------------------------------


@pytest.mark.parametrize("asks", [True, False], ids=["asked", "settled"])
def test_the_locks_time_passes_during_3d_secure(till, asks):
    sale = Sale(till)
    booking = sale.post(SECURE).expect(201)
    assert booking["payment"]["status"] == "requires_action"
    sale.grow_older(5 * 60 + 9 * 60)  # a minute before the bound
    till.session().lock(sale.show.show_id, sale.seats[:1]).expect(409, "seats_unavailable")
    assert till.api().taken(sale.show.show_id) == dict.fromkeys(sale.seats, "locked")
    assert sale.attempts() == ["requires_action"]
    bank(booking["payment"]["next_action"]["redirect_to_url"]["url"])
    if asks:
        assert sale.again(SECURE).expect(201)["status"] == "confirmed"
    till.prove(sale.show, {sale: sale.seats})
    assert sale.trail() == [">created", "created>requires_action", "requires_action>authorised", "authorised>captured"]


def test_3d_secure_is_finished_too_late(till):
    """Ten minutes after the lock's end the seats are free; the bank's yes after that holds nothing."""
    sale = Sale(till)
    booking = sale.post(SECURE).expect(201)
    till.gateway.fault("cancel", "drop_before", times=1000)
    sale.grow_older(5 * 60 + 10 * 60)
    sale.wait_attempts("abandoned")
    other = sold_to_another(till, sale)
    bank(booking["payment"]["next_action"]["redirect_to_url"]["url"])
    sale.wait_intents("requires_capture", "succeeded")
    till.gateway.clear()
    sale.again(SECURE).expect(409, "lock_expired")
    till.prove(sale.show, {other: other.seats})


# ---- 13: a COMMIT or its answer is lost, each of the way ------------------------------------------------------------------------

COMMITS = {
    "begin": ("payment_create", b""),
    "confirm call": ("payment_confirm_call", b""),
    "booking": ("payment_authorise", b""),
    "captured": ("payment_capture", b""),
}


@pytest.mark.parametrize("how", [NEVER, LOST])
@pytest.mark.parametrize("commit", COMMITS)
def test_a_commit_is_lost(till, commit, how):
    sale = Sale(till)
    trap = till.proxy.set(COMMITS[commit][0], how, COMMITS[commit][1])
    answer = sale.post()
    assert trap.sprung
    if commit == "captured":
        # the booking is committed: it is confirmed, and paid when we know
        assert answer.expect(201)["payment"]["status"] == ("capture_pending" if how == NEVER else "captured")
    else:
        assert answer.status in (201, 503), answer
        assert answer.status == 503 or how == LOST, answer
    sale.booked()
    till.prove(sale.show, {sale: sale.seats})
    assert sale.trail() in (PAID, RETRIED)
    assert sale.trail() == PAID or commit in ("begin", "confirm call")


@pytest.mark.parametrize("how", [NEVER, LOST])
def test_the_commit_of_a_decline_is_lost(till, how):
    sale = Sale(till)
    trap = till.proxy.set("payment_fail", how)
    answer = sale.post(DECLINED)
    assert trap.sprung
    assert answer.status in (402, 503), answer
    sale.again(DECLINED).expect(402, "payment_declined")
    sale.key += "-another-card"
    sale.booked()
    till.prove(sale.show, {sale: sale.seats})
    assert sale.trail() == RETRIED


@pytest.mark.parametrize("how", [NEVER, LOST])
def test_the_commit_of_3d_secure_is_lost(till, how):
    sale = Sale(till)
    trap = till.proxy.set("payment_require_action", how)
    answer = sale.post(SECURE)
    assert trap.sprung
    assert answer.status in (201, 503), answer
    booking = sale.again(SECURE).expect(201)
    assert booking["payment"]["status"] == "requires_action"
    bank(booking["payment"]["next_action"]["redirect_to_url"]["url"])
    till.prove(sale.show, {sale: sale.seats})


BACK = {
    "cancellation": ("booking_cancel", b""),
    "refund's call": ("refund_call", b""),
    "refunded": ("refund_succeed", b""),
}


@pytest.mark.parametrize("how", [NEVER, LOST])
@pytest.mark.parametrize("commit", BACK)
def test_a_commit_of_giving_back_is_lost(till, commit, how):
    sale = Sale(till)
    sale.post().expect(201)
    trap = till.proxy.set(BACK[commit][0], how, BACK[commit][1])
    answer = sale.cancel([sale.seats[0]])
    assert trap.sprung
    assert answer.status == 503 if commit == "cancellation" else answer.status == 200, answer
    # seat by seat: what is gone is not given back twice
    done = sale.cancelled([sale.seats[0]])
    assert done["status"] == "confirmed" and done["cancelled_seats"] == [sale.seats[0]]
    till.prove(sale.show, {sale: sale.seats[1:]}, {sale: PRICE})
    assert sale.trail() == [*PAID, *REFUND]


@pytest.mark.parametrize("how", [NEVER, LOST])
def test_the_commit_of_a_void_is_lost(till, how):
    """3-D Secure took too long: the intent is cancelled, and that we know it is lost."""
    sale = Sale(till)
    sale.post(SECURE).expect(201)
    trap = till.proxy.set("payment_voided", how)
    sale.grow_older(5 * 60 + 10 * 60)
    trap.wait()
    till.prove(sale.show, {})
    sale.wait_intents("canceled")
    assert sale.trail() == [">created", "created>requires_action", "requires_action>abandoned", "abandoned>abandoned"]


# ---- 20: no webhooks ----------------------------------------------------------------------------------------------------------


def test_no_webhooks_for_an_hour(till):
    """This gateway has never sent one. Nobody asks about anything; the settling duty alone brings everything to its end."""
    sales = {}
    show = till.admin_api.make_show(seats=20, per_row=20, cancellation=CANCELLATION)

    def sale(name):
        n = 2 * len(sales)
        sales[name] = Sale(till, show, slice(n, n + 2))
        return sales[name]

    def url(booking):
        return booking["payment"]["next_action"]["redirect_to_url"]["url"]

    with till.nobody_settles():
        finished = url(sale("3-D Secure finished").post(SECURE).expect(201))
        refused = url(sale("3-D Secure refused").post(SECURE).expect(201))
        sale("3-D Secure forgotten").post(SECURE).expect(201)
        till.gateway.fault("confirm", "drop_after")
        till.gateway.fault("retrieve", "drop_before")
        sale("confirmation unknown").post().expect(503, "outcome_unknown")
        till.gateway.clear()
        till.gateway.fault("capture", "drop_before")
        sale("capture unknown").post().expect(201)
        till.gateway.clear()
        till.gateway.fault("capture", "drop_before")
        sale("cancelled before captured").post().expect(201)
        till.gateway.clear()
        assert sales["cancelled before captured"].cancelled()["refund"]["status"] == "pending"
        bank(finished)
        bank(refused, "fail")
        sales["3-D Secure forgotten"].grow_older(5 * 60 + 10 * 60)
    paid = ["3-D Secure finished", "confirmation unknown", "capture unknown"]
    till.prove(show, {sales[name]: sales[name].seats for name in paid}, {sales["cancelled before captured"]: 2 * PRICE})
    ends = {name: one.attempts() for name, one in sales.items()}
    assert ends == {"3-D Secure finished": ["captured"], "3-D Secure refused": ["failed"], "3-D Secure forgotten": ["abandoned"],
                    "confirmation unknown": ["captured"], "capture unknown": ["captured"],
                    "cancelled before captured": ["captured"]}


# ---- 21: the gateway is away for longer than it remembers keys -------------------------------------------------------------------


def away_for_a_day(till, *sales):
    """The gateway is dead for 25 hours, in which it forgets all keys."""
    till.gateway.kill()
    for sale in sales:
        sale.grow_older(25 * 3600)
    till.gateway.start()
    till.gateway.advance(25 * 3600)


@pytest.mark.parametrize("mode", ["drop_before", "drop_after"])
def test_away_for_a_day_after_the_creation(till, mode):
    sale = Sale(till)
    with till.nobody_settles():
        trap = till.proxy.set("payment_fail", NEVER, then=lambda trap: os.kill(trap.pid, signal.SIGKILL))
        till.gateway.fault("create", mode)
        assert sale.post() is None
        assert trap.sprung and sale.attempts() == ["created"]
        away_for_a_day(till, sale)
    till.prove(sale.show, {})
    assert sale.attempts() == ["failed"] and len(sale.calls("create")) == 1
    sale.again().expect(409, "lock_expired")


@pytest.mark.parametrize("mode", ["drop_before", "drop_after"])
def test_away_for_a_day_after_the_confirmation(till, mode):
    """Nobody knows whether it was confirmed. After a day everything is over: it is not confirmed again, only cancelled."""
    sale = Sale(till)
    with till.nobody_settles():
        till.gateway.fault("confirm", mode)
        till.gateway.fault("retrieve", "drop_before")
        sale.post().expect(503, "outcome_unknown")
        till.gateway.kill()
        sale.grow_older(HALF_AN_HOUR)
    sale.wait_attempts("abandoned")
    with till.nobody_settles():
        away_for_a_day(till, sale)
        other = sold_to_another(till, sale)
    till.prove(sale.show, {other: other.seats})
    assert len(sale.calls("confirm")) == 1
    sale.wait_intents("canceled", "succeeded")


@pytest.mark.parametrize("mode", ["drop_before", "drop_after"])
def test_away_for_a_day_after_the_capture(till, mode):
    """The old key would be a new request by now: a new key and the same end, captured once."""
    sale = Sale(till)
    with till.nobody_settles():
        till.gateway.fault("capture", mode)
        assert sale.post().expect(201)["payment"] == {"status": "capture_pending"}
        away_for_a_day(till, sale)
    sale.booked()
    till.prove(sale.show, {sale: sale.seats})
    (old, none), (new, _) = sale.calls("capture")
    assert old != new and none is None
    assert sale.trail() == PAID


@pytest.mark.parametrize("mode", ["drop_before", "drop_after"])
def test_away_for_a_day_after_the_void(till, mode):
    sale = Sale(till)
    sale.post(SECURE).expect(201)
    till.gateway.fault("cancel", mode)
    till.gateway.fault("retrieve", "drop_before", times=1000)
    sale.grow_older(5 * 60 + 10 * 60)
    sale.wait_sent("cancel")
    with till.nobody_settles():
        away_for_a_day(till, sale)
    till.prove(sale.show, {})
    sale.wait_intents("canceled")


@pytest.mark.parametrize("mode", ["drop_before", "drop_after"])
def test_away_for_a_day_after_the_refund(till, mode):
    """Of one seat of two, so that a second refund would be possible: the gateway's list says whether it was made."""
    sale = Sale(till)
    sale.post().expect(201)
    with till.nobody_settles():
        till.gateway.fault("refund", mode)
        assert sale.cancel([sale.seats[0]]).expect(200)["refund"]["status"] == "pending"
        away_for_a_day(till, sale)
    till.prove(sale.show, {sale: sale.seats[1:]}, {sale: PRICE})
    assert len({key for key, _ in sale.calls("refund")}) == (2 if mode == "drop_before" else 1)
    assert sale.trail() == [*PAID, *REFUND]


# ---- 22: a cancellation races the capture ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["delay", "hang_after", "500_before"])
def test_cancelled_while_the_capture_is_under_way(till, mode):
    sale = Sale(till)
    trap = till.proxy.set("payment_authorise", HOLD)
    till.gateway.fault("capture", mode, 300 if mode == "delay" else FOR_EVER)
    asked = sale.start()
    trap.wait()
    trap.release()
    if mode != "500_before":
        till.gateway.wait_held()
    done = sale.cancelled()
    assert done["status"] == "cancelled"
    other = sold_to_another(till, sale)  # its seats are on sale again at once
    asked.result().expect(201)
    till.prove(sale.show, {other: other.seats}, {sale: 2 * PRICE})
    assert sorted(sale.trail()) == sorted([*PAID, *REFUND])


def test_cancelled_and_the_capture_is_refused(till):
    """The refund that was asked for in between has nothing to give back."""
    sale = Sale(till)
    trap = till.proxy.set("payment_authorise", HOLD)
    asked = sale.start("pm_card_captureFails")
    trap.wait()
    sale.cancelled()
    trap.release()
    asked.result()
    till.seats_are(sale.show, {})
    other = sold_to_another(till, sale)
    till.prove(sale.show, {other: other.seats})
    assert sale.attempts() == ["capture_failed"]
    assert [state for state, in sale.rows("SELECT state FROM refunds WHERE show_id = %(show)s")] == ["failed"]


def test_cancelled_at_any_moment(till, rng):
    """Eight buyers who cancel a moment after they have asked to pay: each is charged and paid back, once, or neither."""
    show = till.admin_api.make_show(seats=20, per_row=20, cancellation=CANCELLATION)
    sales = [Sale(till, show, slice(2 * n, 2 * n + 2)) for n in range(8)]
    for _ in sales:
        till.gateway.fault("capture", rng.choice(["delay", "delay", "500_after", "hang_after", "drop_before"]), rng.randint(1, 150))

    def one(sale):
        asked = sale.start()
        confirmed = "SELECT 1 FROM bookings WHERE show_id = %(show)s AND lock_id = %(lock)s AND state = 'confirmed'"
        while not asked.done() and not sale.rows(confirmed):
            pass
        assert sale.cancelled()["status"] == "cancelled"
        return asked.result()

    for answer in [job.result() for job in [till.pool.submit(one, sale) for sale in sales]]:
        answer.expect(201)
    till.prove(show, {}, dict.fromkeys(sales, 2 * PRICE))


# ---- 23: a refund times out ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["hang", "hang_after", "delay"])
def test_a_refund_times_out(till, mode):
    """Not made, made, or made later than we waited: given back once. Until it is proven it is shown as pending."""
    sale = Sale(till)
    sale.post().expect(201)
    till.gateway.fault("refund", mode, TIMEOUT_MS + 300 if mode == "delay" else FOR_EVER)
    done = sale.cancel([sale.seats[0]]).expect(200)
    assert done["refund"]["status"] == "pending"
    till.session().lock(sale.show.show_id, sale.seats[:1]).expect(201)  # on sale again at once
    till.prove(sale.show, {sale: sale.seats[1:]}, {sale: PRICE})
    assert sale.view()["refund"]["status"] == "succeeded"
    assert sale.trail() == [*PAID, *REFUND]


def test_killed_while_the_refund_is_under_way(till):
    sale = Sale(till)
    sale.post().expect(201)
    trap = till.proxy.set("refund_call", HOLD)
    till.gateway.fault("refund", "hang_after", FOR_EVER)
    asked = till.pool.submit(sale.cancel, [sale.seats[0]])
    pid = trap.wait()
    trap.release()
    till.gateway.wait_held()
    till.kill_worker(pid)
    assert asked.result() is None
    assert sale.cancelled([sale.seats[0]])["cancelled_seats"] == [sale.seats[0]]
    till.prove(sale.show, {sale: sale.seats[1:]}, {sale: PRICE})
