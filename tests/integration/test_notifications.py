"""From what happens to the row that says who is told: the right thing, once, and nothing that is true no more."""

import os
import random
import signal
import threading

import psycopg
import pytest
import redis

from paying import CANCELLATION, DECLINED, age, bank, eur, locked, office_of, path_of, secure
from paying import admin, db, gateway, sound  # noqa: F401 (fixtures)
from service import wait_until
from telling import ZERO, came, events, kinds, notices, tell, tell_again

office = office_of(LEASE_SECONDS=1)
SEED = os.environ["BOXOFFICE_SEED"]


@pytest.fixture
def told(office, db):
    """told(show, [kinds], booking): they, and no others, come to be; and stay all there is when everything is told again."""
    def check(show, wanted, booking=None):
        try:
            wait_until(lambda: kinds(db, show, booking) == sorted(wanted), f"{wanted}", 15, 0.2)
        except AssertionError as error:
            raise AssertionError(f"{error}, but {kinds(db, show, booking)}") from None
        came(db, show)
        tell_again(office, db, show, SEED)
        assert kinds(db, show, booking) == sorted(wanted), "told again"
        return notices(db, show, booking)

    return check


def booked(office, show, n=1, start=0, method=None, email="ada@example.org"):
    buyer, lock = locked(office, show, n, start)
    options = {"method": method} if method else {}
    return buyer, buyer.book(show.show_id, lock, email=email, **options).expect(201)["booking_id"]


def test_a_booking_is_confirmed(office, admin, db, told):
    show = admin.make_show(seats=4)
    _, booking = booked(office, show, 2)
    [(_, address, data)] = told(show, ["booking_confirmed"], booking)
    assert (address, data) == ("ada@example.org", {})
    assert db.execute("SELECT cause_id::text, state FROM notifications WHERE booking_id = %s", [booking]).fetchone() == (booking, "queued")


def test_a_declined_card(office, admin, db, told):
    """What to do, until when; once, however many cards are tried; and nothing of it once it is paid."""
    show = admin.make_show(seats=4)
    buyer, lock = locked(office, show)
    buyer.book(show.show_id, lock, DECLINED).expect(402)
    told(show, ["payment_failed"])
    [(until, ends)] = db.execute("SELECT n.not_after, l.expires_at FROM notifications n JOIN bookings b USING (show_id, booking_id)"
                                 " JOIN seat_locks l USING (show_id, lock_id) WHERE n.show_id = %s", [show.show_id]).fetchall()
    assert until == ends
    buyer.book(show.show_id, lock, DECLINED).expect(402)
    told(show, ["payment_failed"])
    buyer.book(show.show_id, lock).expect(201)
    told(show, ["booking_confirmed", "payment_failed"])


def test_declined_and_paid_before_anybody_was_told(office, admin, db):
    show = admin.make_show(seats=4)
    buyer, lock = locked(office, show)
    buyer.book(show.show_id, lock, DECLINED).expect(402)
    pending = secure(office, show, buyer, lock).expect(201)
    came(db, show)
    db.execute("DELETE FROM notifications WHERE show_id = %s", [show.show_id])
    tell_again(office, db, show, SEED)
    assert kinds(db, show) == []  # another attempt is under way
    bank(pending["payment"]["next_action"]["redirect_to_url"]["url"])
    wait_until(lambda: buyer.get(path_of(show, pending["booking_id"])).expect(200)["status"] == "confirmed", "the confirmation", 20)
    tell_again(office, db, show, SEED)
    assert kinds(db, show) == ["booking_confirmed"]


def test_the_bank_says_no_when_the_lock_is_over(office, admin, db, told):
    show = admin.make_show(seats=4)
    buyer, lock = locked(office, show)
    pending = secure(office, show, buyer, lock).expect(201)
    age(db, lock, 300)
    bank(pending["payment"]["next_action"]["redirect_to_url"]["url"], "fail")
    db.execute("UPDATE payments SET settle_at = statement_timestamp() WHERE lock_id = %s", [lock])
    told(show, ["payment_failed"])
    assert db.execute("SELECT not_after = 'infinity' FROM notifications WHERE show_id = %s", [show.show_id]).fetchone() == (True,)


def test_never_came_back_from_the_bank(office, admin, db, told):
    show = admin.make_show(seats=4)
    buyer, lock = locked(office, show)
    buyer.book(show.show_id, lock, DECLINED).expect(402)
    told(show, ["payment_failed"])
    secure(office, show, buyer, lock).expect(201)
    age(db, lock, 1000)
    db.execute("UPDATE payments SET settle_at = statement_timestamp() WHERE lock_id = %s AND state = 'requires_action'", [lock])
    # what was told first, that there is time, is not the last word
    told(show, ["payment_failed", "payment_failed"])


def test_cancelled_by_the_buyer_seat_by_seat(office, admin, db, told):
    show = admin.make_show(seats=6, cancellation=CANCELLATION)
    buyer, booking = booked(office, show, 3)
    told(show, ["booking_confirmed"])
    buyer.cancel(show.show_id, booking, [show.seats[1]]).expect(200)
    rows = told(show, ["booking_confirmed", "booking_cancelled", "refunded"])
    [part] = [data for kind, _, data in rows if kind == "booking_cancelled"]
    assert part == {"seats": [1], "reason": "buyer", "amount_minor": 4400, "fee_minor": 100}
    buyer.cancel(show.show_id, booking).expect(200)
    rows = told(show, ["booking_confirmed"] + ["booking_cancelled", "refunded"] * 2)
    [rest] = [data for kind, _, data in rows if kind == "booking_cancelled" and data != part]
    assert rest["seats"] == [0, 2] and rest["amount_minor"] + rest["fee_minor"] == 9000
    assert sorted(data["amount_minor"] for kind, _, data in rows if kind == "refunded") == [4400, rest["amount_minor"]]
    assert {data["outcome"] for kind, _, data in rows if kind == "refunded"} == {"succeeded"}


def test_cancelled_by_staff_and_who_had_the_tickets(office, admin, db, told):
    show = admin.make_show(seats=6, cancellation=CANCELLATION)
    _, booking = booked(office, show, 3)
    told(show, ["booking_confirmed"])
    for to in ("bob", "carol"):  # the first seat goes to bob, and from him to carol; the second to bob
        admin.post(path_of(show, booking) + "/transfer", {"to": {"name": to, "email": f"{to}@example.org"}, "seats": [show.seats[0]]}).expect(200)
    admin.post(path_of(show, booking) + "/transfer", {"to": {"name": "bob", "email": "bob@example.org"}, "seats": [show.seats[1]]}).expect(200)
    admin.cancel(show.show_id, booking).expect(200)
    rows = told(show, ["booking_confirmed"] + ["booking_cancelled"] * 3 + ["refunded"] + ["transfer"] * 3)
    ended = {address: data for kind, address, data in rows if kind == "booking_cancelled"}
    assert sorted(ended) == ["ada@example.org", "bob@example.org", "carol@example.org"]
    assert {data["reason"] for data in ended.values()} == {"staff"}
    assert [address for kind, address, _ in rows if kind == "refunded"] == ["ada@example.org"]


def test_the_payment_is_lost(office, admin, db, told):
    show = admin.make_show(seats=4)
    buyer, lock = locked(office, show, 2)
    buyer.book(show.show_id, lock, "pm_card_captureFails").expect(402)
    [(_, _, data)] = told(show, ["booking_cancelled"])
    assert data == {"seats": [0, 1], "reason": "payment_lost", "amount_minor": 0, "fee_minor": 0}


def test_goodwill_and_a_refund_that_fails(office, admin, db, told):
    show = admin.make_show(seats=4, cancellation=CANCELLATION)
    _, booking = booked(office, show, 2)
    admin.post(path_of(show, booking) + "/refunds", {"amount": eur(1000), "reason": "a pillar"}).expect(201)
    rows = told(show, ["booking_confirmed", "refunded"])
    assert rows[-1][2]["amount_minor"] == 1000 and rows[-1][2]["outcome"] == "succeeded"

    show = admin.make_show(seats=4, cancellation=CANCELLATION)
    buyer, booking = booked(office, show, 2, method="pm_card_pendingRefundFails")
    buyer.cancel(show.show_id, booking).expect(200)
    rows = told(show, ["booking_cancelled", "refunded"])
    [stuck] = [data for kind, _, data in rows if kind == "refunded"]
    assert (stuck["outcome"], stuck["amount_minor"]) == ("failed", 8700)
    db.execute("UPDATE payment_findings SET settled_at = now() WHERE booking_id = %s", [booking])


def test_twenty_bookings_of_a_cancelled_show(office, admin, db, told):
    """Each buyer hears once, with the refund; not of a cancellation, not of a refund; whoever was at the bank, too."""
    show = admin.make_show(seats=40)
    people = [booked(office, show, 1, i, email=f"buyer{i}@example.org") for i in range(20)]
    told(show, ["booking_confirmed"] * 20)
    at_the_bank, lock = locked(office, show, 1, 25)
    pending = secure(office, show, at_the_bank, lock).expect(201)["booking_id"]
    admin.post(f"/v1/shows/{show.show_id}/cancel", {}).expect(201)
    wait_until(lambda: admin.get(f"/v1/shows/{show.show_id}/jobs").expect(200)["items"][0]["refunds"] ==
               {"open": 0, "succeeded": 20, "failed": 0}, "all refunds", 40, 0.2)
    wait_until(lambda: db.execute("SELECT state FROM bookings WHERE booking_id = %s", [pending]).fetchone() == ("failed",), "the end at the bank", 20)
    rows = told(show, ["booking_confirmed"] * 20 + ["show_cancelled"] * 21)
    assert sorted(address for kind, address, _ in rows if kind == "show_cancelled") == \
        sorted(["Ada@example.org".lower(), *(f"buyer{i}@example.org" for i in range(20))])
    assert len(people) == 20


def test_what_a_show_promised_and_did_not_keep(office, admin, db, told):
    """Its refund fails: that is told; and when it comes after all, that too."""
    show = admin.make_show(seats=4)
    _, booking = booked(office, show, 1, method="pm_card_pendingRefundFails")
    told(show, ["booking_confirmed"])
    admin.post(f"/v1/shows/{show.show_id}/cancel", {}).expect(201)
    rows = told(show, ["booking_confirmed", "refunded", "show_cancelled"])
    [(refund, outcome)] = [(data["refund_id"], data["outcome"]) for kind, _, data in rows if kind == "refunded"]
    assert outcome == "failed"
    # it was given back some other way
    db.execute("UPDATE refunds SET state = 'succeeded', failure = '' WHERE refund_id = %s", [refund])
    again = [{"id": "00000000-0000-7000-8000-000000000001:0", "topic": "payment", "type": "refund.succeeded", "show_id": show.show_id,
              "time_us": 0, "data": {"type": "refund.succeeded", "refund_id": refund, "booking_id": booking}}]
    tell(office, [again, again])
    assert kinds(db, show) == ["booking_confirmed", "refunded", "refunded", "show_cancelled"]
    db.execute("UPDATE refunds SET state = 'failed' WHERE refund_id = %s", [refund])
    db.execute("UPDATE payment_findings SET settled_at = now() WHERE booking_id = %s", [booking])


def test_confirmed_and_cancelled_before_anybody_was_told(office, admin, db, told):
    show = admin.make_show(seats=4, cancellation=CANCELLATION)
    buyer, booking = booked(office, show)
    buyer.cancel(show.show_id, booking).expect(200)
    came(db, show)
    db.execute("DELETE FROM notifications WHERE show_id = %s", [show.show_id])
    wait_until(lambda: db.execute("SELECT state FROM refunds WHERE booking_id = %s", [booking]).fetchone() == ("succeeded",), "the refund", 20)
    tell_again(office, db, show, SEED)
    assert kinds(db, show) == ["booking_cancelled", "refunded"]


def test_the_worker_is_killed_between(office, admin, db, told):
    """At random, while people book, cancel and are given back: told once each, whatever of it was done before it died."""
    show = admin.make_show(seats=60, cancellation=CANCELLATION)
    chance, stop = random.Random(SEED), threading.Event()

    def kill():
        while not stop.wait(chance.uniform(0.3, 1.5)):
            for pid in office.pids("boxoffice work"):
                os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        people = [booked(office, show, 1, i, email=f"b{i}@example.org") for i in range(20)]
        for buyer, booking in people[:10]:
            buyer.cancel(show.show_id, booking).expect(200)
    finally:
        stop.set()
        killer.join()
    wait_until(lambda: db.execute("SELECT count(*) FROM refunds WHERE show_id = %s AND state = 'succeeded'", [show.show_id]).fetchone() == (10,),
               "ten refunds", 40)
    came(db, show, 40)
    found = kinds(db, show)
    # (a confirmation that was overtaken by its cancellation is not told)
    assert [found.count(kind) for kind in ("booking_cancelled", "refunded")] == [10, 10]
    assert len(set((kind, address) for kind, address, _ in notices(db, show))) == len(found)
    confirmed = {address for kind, address, _ in notices(db, show) if kind == "booking_confirmed"}
    assert {f"b{i}@example.org" for i in range(10, 20)} <= confirmed
    tell_again(office, db, show, SEED)
    assert kinds(db, show) == found


def test_the_worker_is_stopped_in_the_middle(office, admin, db, told):
    """While the consumer and the duty wait for their statements: it ends in order (no memory is lost), and the next one tells."""
    show = admin.make_show(seats=4)
    _, lock = wanted(office, show, 2)
    [worker] = office.pids("boxoffice work")
    with psycopg.connect(office.database_url) as holder:
        holder.execute("LOCK TABLE notifications IN SHARE MODE")
        _, booking = booked(office, show)
        age(db, lock, 242)
        wait_until(lambda: db.execute("SELECT count(*) FROM pg_locks WHERE relation = 'notifications'::regclass AND NOT granted"
                                      ).fetchone() == (2,), "both statements waiting")
        os.kill(worker, signal.SIGTERM)
        wait_until(lambda: worker not in office.pids("boxoffice work"), "the worker's end")
    office.assert_clean()
    told(show, ["booking_confirmed"], booking)
    wait_until(lambda: of_lock(db, lock) == ["lock_ending"], "lock_ending", 5)


def test_nobody_is_there(office, admin, db):
    """Erased, or without an address: no row that could never be sent."""
    show = admin.make_show(seats=4, cancellation=CANCELLATION)
    _, booking = booked(office, show, email="gone@example.org")
    came(db, show)
    db.execute("DELETE FROM notifications WHERE show_id = %s", [show.show_id])
    db.execute("UPDATE buyers SET email = '', name = '', erased_at = now() WHERE email = 'gone@example.org'")
    tell_again(office, db, show, SEED)
    assert kinds(db, show) == []


def test_what_cannot_be_understood_harms_nobody(office, admin, db):
    show = admin.make_show(seats=4)
    _, booking = booked(office, show)
    came(db, show)
    db.execute("DELETE FROM notifications WHERE show_id = %s", [show.show_id])
    good = events(db, show)
    bad = [{**good[0], "id": f"{ZERO}:{i}", "data": data, "type": "booking.cancelled"} for i, data in enumerate(
        [{}, [], {"booking_id": 5}, {"booking_id": "x"}, {"booking_id": ZERO}, {"booking_id": booking, "seats": "A", "reason": 3},
         {"booking_id": booking, "seats": [], "reason": "show_cancelled"}])]
    tell(office, [bad + good + bad])
    assert [k for k in kinds(db, show) if k != "booking_cancelled"] == ["booking_confirmed"]


# ---- locks ------------------------------------------------------------------------------------------------------------

def wanted(office, show, start, n=1, email="eve@example.org"):
    buyer = office.session()
    return buyer, buyer.lock(show.show_id, show.seats[start:start + n], notify={"email": email, "locale": "de"}).expect(201)["lock_id"]


def of_lock(db, lock):
    return sorted(row[0] for row in db.execute("SELECT kind FROM notifications WHERE cause_id = %s AND kind LIKE 'lock%%'", [lock]))


def test_a_lock_is_about_to_end_and_ends(office, admin, db):
    show = admin.make_show(seats=4)
    _, lock = wanted(office, show, 0)
    assert of_lock(db, lock) == []
    age(db, lock, 242)
    wait_until(lambda: of_lock(db, lock) == ["lock_ending"], "lock_ending", 5)
    rows = db.execute("SELECT n.booking_id::text, n.not_after = l.expires_at, n.organizer_id = y.organizer_id, y.email, y.locale FROM notifications n"
                      " JOIN seat_locks l ON l.lock_id = n.cause_id JOIN buyers y USING (buyer_id) WHERE n.cause_id = %s", [lock]).fetchall()
    assert rows == [(ZERO, True, True, "eve@example.org", "de")]
    age(db, lock, 60)
    wait_until(lambda: of_lock(db, lock) == ["lock_ended", "lock_ending"], "lock_ended", 15)


def test_a_take_over_tells_too(office, admin, db):
    """Somebody takes the seats before the sweeper has come by."""
    show = admin.make_show(seats=4)
    _, lock = wanted(office, show, 0)
    [worker] = office.pids("boxoffice work")
    os.kill(worker, signal.SIGSTOP)
    try:
        age(db, lock, 300.5)
        redis.Redis.from_url(office.redis_url).flushall()  # its mark there would last as long as the lock was meant to
        wait_until(lambda: office.session().lock(show.show_id, [show.seats[0]]).status == 201, "the take-over", 5)
        assert db.execute("SELECT state FROM seat_locks WHERE lock_id = %s", [lock]).fetchone() == ("expired",)
    finally:
        os.kill(worker, signal.SIGCONT)
    wait_until(lambda: of_lock(db, lock) == ["lock_ended"], "lock_ended", 15)


@pytest.mark.parametrize("how", ["released", "booked", "paying", "declined", "nobody asked", "long ago"])
def test_what_is_no_reason_to_write(office, admin, db, how):
    show = admin.make_show(seats=4)
    buyer, lock = locked(office, show, 1) if how == "nobody asked" else wanted(office, show, 0)
    if how == "released":
        buyer.release(show.show_id, lock).expect(204)
    elif how == "booked":
        buyer.book(show.show_id, lock).expect(201)
    elif how == "paying":
        secure(office, show, buyer, lock).expect(201)
        age(db, lock, 270)
        _, other = wanted(office, show, 2)
        age(db, other, 270)
        wait_until(lambda: of_lock(db, other) == ["lock_ending"], "another's, so the duty has been there", 5)
        assert of_lock(db, lock) == []
        return
    elif how == "declined":  # the payment's event tells him
        buyer.book(show.show_id, lock, DECLINED).expect(402)
    age(db, lock, 3600 if how == "long ago" else 310)
    wait_until(lambda: db.execute("SELECT count(*) FROM seat_lock_history WHERE lock_id = %s", [lock]).fetchone() == (1,), "the archive", 20)
    assert of_lock(db, lock) == []


def test_two_workers_tell_once(office, admin, db):
    """The statement of the duty, by several at once, while locks come into their last minute."""
    show = admin.make_show(seats=30)
    locks = [wanted(office, show, i)[1] for i in range(10)]
    text = open(os.path.join(os.path.dirname(__file__), "../../src/notify/sql/locks_ending.sql")).read().replace("$1::int", "1000")
    stop = threading.Event()
    failures = []

    def duty():
        with psycopg.connect(office.database_url, autocommit=True) as connection:
            while not stop.is_set():
                try:
                    connection.execute(text)
                except psycopg.Error as error:
                    failures.append(error)

    people = [threading.Thread(target=duty) for _ in range(3)]
    for one in people:
        one.start()
    for lock in locks:
        age(db, lock, 241)
    wait_until(lambda: all(of_lock(db, lock) for lock in locks), "all told", 10)
    stop.set()
    for one in people:
        one.join()
    assert [of_lock(db, lock) for lock in locks] == [["lock_ending"]] * 10 and not failures
