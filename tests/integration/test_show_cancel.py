"""A show is called off: nothing new from then on, everything goes back in full and once, whatever it races with or dies of."""

import contextlib
import os
import signal
import threading

import psycopg

from paying import DECLINED, SECURE, locked, office_of, path_of
from paying import admin, db, gateway, sound  # noqa: F401 (fixtures)
from service import wait_until
from telling import came, kinds


# its statements wait for rows that a test holds; a dead worker's duties are soon another's
office = office_of(LOCK_TIMEOUT_MS=9000, LEASE_SECONDS=1)


def booked(office, show, n=1, start=0, **fields):
    buyer, lock = locked(office, show, n, start)
    return buyer, buyer.book(show.show_id, lock, **fields).expect(201)["booking_id"]


def call_off(admin, show, **fields):
    return admin.post(f"/v1/shows/{show.show_id}/cancel", fields).expect(201)


def job_of(admin, show):
    return admin.get(f"/v1/shows/{show.show_id}/jobs").expect(200)["items"][0]


def done(admin, show, timeout_s=30):
    return wait_until(lambda: (lambda job: job if job["status"] == "done" else None)(job_of(admin, show)),
                      "the job's end", timeout_s, 0.1)


def refunded(admin, show, n):
    return wait_until(lambda: job_of(admin, show)["refunds"] == {"open": 0, "succeeded": n, "failed": 0},
                      f"{n} refunds succeeded", 20, 0.2)


def given_back(gateway, booking):
    """What the gateway has given back of a booking, each refund by itself."""
    return [refund["amount"] for intent in gateway.intents(booking) for refund in gateway.refunds(intent["id"])]


@contextlib.contextmanager
def held(office, text, *args):
    """Rows that nobody else can have meanwhile."""
    with contextlib.closing(psycopg.connect(office.database_url)) as holder:
        holder.execute(text, args)
        yield


def in_thread(step):
    """Begins step; what is returned waits for its end and gives its result."""
    results = []
    thread = threading.Thread(target=lambda: results.append(step()), daemon=True)
    thread.start()

    def end():
        thread.join(30)
        return results[0]

    return end


def waiting(db, text):
    """Does a statement with this text wait for somebody's lock?"""
    return db.execute("SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND strpos(query, %s) > 0",
                      [text]).fetchone()[0]


def test_everything_goes_back_in_full(office, admin, db, gateway):
    show = admin.make_show(seats=20, cancellation={"until": "2020-01-01T00:00:00Z", "fee": {"amount": 300, "currency": "EUR"}})
    ada, first = booked(office, show, 2)
    _, second = booked(office, show, 1, 2)
    part, third = booked(office, show, 2, 3)
    admin.cancel(show.show_id, third, [show.seats[3]]).expect(200)
    kept = given_back(gateway, third)
    # (what is still to be told when the show is off is overtaken)
    before = sorted(("booking_confirmed", b) for b in (first, second, third)) + [("booking_cancelled", third), ("refunded", third)]
    wait_until(lambda: len(kinds(db, show)) == len(before), "all told of what was before", 20, 0.1)
    holder, lock = locked(office, show, 2, 6)

    job = call_off(admin, show, reason="The singer is ill.")
    assert (job["show_id"], job["kind"], job["reason"]) == (show.show_id, "cancel", "The singer is ill.")
    # at once, before the job has done anything
    office.session().lock(show.show_id, [show.seats[10]]).expect(409, "not_on_sale")
    assert holder.book(show.show_id, lock).expect(409).get("code") in ("not_on_sale", "lock_expired")

    ended = done(admin, show)
    assert (ended["total"], ended["done"], ended["failed"], ended["errors"]) == (3, 3, 0, [])
    def told():  # by a process that read the show a moment before, too
        seen = office.session().get(f"/v1/shows/{show.show_id}").expect(200)
        return (seen["status"], seen["on_sale"]) == ("cancelled", False)

    wait_until(told, "that the show is off, in every process", 3)
    assert call_off(admin, show, reason="again")["job_id"] == job["job_id"] == ended["job_id"]
    refunded(admin, show, 3)
    assert given_back(gateway, first) == [9000] and given_back(gateway, second) == [4500]
    # of a seat that was cancelled before, the fee's part stays kept; of what was left, nothing is
    assert given_back(gateway, third) == [4500, *kept]
    assert holder.lock_state(show.show_id, lock).expect(200)["state"] == "released"
    assert admin.taken(show.show_id) == {}
    seen = ada.get(path_of(show, first)).expect(200)
    assert (seen["status"], seen["reason"], seen["refund"]["amount"]["amount"]) == ("cancelled", "show_cancelled", 9000)
    assert "cancelled" in seen["detail"] and {t["status"] for t in seen["tickets"]} == {"revoked"}
    came(db, show)
    rows = db.execute("SELECT kind, booking_id::text FROM notifications WHERE show_id = %s", [show.show_id]).fetchall()
    assert sorted(rows) == sorted(before + [("show_cancelled", b) for b in (first, second, third)])


def test_what_was_given_as_goodwill_is_not_given_twice(office, admin, gateway):
    show = admin.make_show(seats=4)
    _, booking = booked(office, show, 2)
    admin.post(path_of(show, booking) + "/refunds", {"amount": {"amount": 1000, "currency": "EUR"}, "reason": "a pillar"}).expect(201)
    call_off(admin, show)
    done(admin, show)
    refunded(admin, show, 1)
    assert sorted(given_back(gateway, booking)) == [1000, 8000]


def test_a_used_ticket_is_left_for_a_person(office, admin, db):
    show = admin.make_show(seats=4)
    _, used = booked(office, show, 1)
    _, other = booked(office, show, 1, 1)
    db.execute("UPDATE tickets SET state = 'used', ended_at = now() WHERE booking_id = %s", [used])
    call_off(admin, show)
    job = done(admin, show)
    assert (job["total"], job["done"], job["failed"]) == (2, 1, 1)
    assert job["errors"] == [{"booking_id": used, "code": "ticket_used"}]
    assert admin.get(path_of(show, used)).expect(200)["status"] == "confirmed"
    assert admin.get(path_of(show, other)).expect(200)["status"] == "cancelled"


def test_the_worker_is_killed_in_the_middle(office, admin, db, gateway):
    """Twice, once by Ctrl-C: in the middle of a booking's transaction, with others done and others to do. No refund twice, none
    forgotten."""
    show = admin.make_show(seats=30)
    bookings = sorted(booked(office, show, 1, i)[1] for i in range(25))
    wait_until(lambda: kinds(db, show) == ["booking_confirmed"] * 25, "all told that they are booked", 20, 0.1)

    for at, sign in ((4, signal.SIGKILL), (22, signal.SIGINT)):  # in the first batch, and in the next
        with held(office, "SELECT 1 FROM bookings WHERE booking_id = %s FOR UPDATE", bookings[at]):
            call_off(admin, show)
            wait_until(lambda at=at: job_of(admin, show)["done"] == at, f"{at} bookings ended", 20, 0.1)
            wait_until(lambda: waiting(db, "AS goes_free"), "the worker at the next one")
            [worker] = office.pids("boxoffice work")
            os.kill(worker, sign)
            wait_until(lambda worker=worker: worker not in office.pids("boxoffice work"), "the worker's end")
    job = done(admin, show)
    assert (job["total"], job["done"], job["failed"]) == (25, 25, 0)
    refunded(admin, show, 25)
    assert [given_back(gateway, booking) for booking in bookings] == [[4500]] * 25
    came(db, show)
    assert db.execute("SELECT kind, count(*), count(DISTINCT booking_id) FROM notifications WHERE show_id = %s GROUP BY 1 ORDER BY 1",
                      [show.show_id]).fetchall() == [("booking_confirmed", 25, 25), ("show_cancelled", 25, 25)]


def test_payments_under_way_end_without_a_charge(office, admin, db, gateway):
    show = admin.make_show(seats=10)
    at_the_bank, lock = locked(office, show, 2)
    pending = at_the_bank.book(show.show_id, lock, SECURE).expect(201)
    assert pending["status"] == "payment_pending"
    declined, other = locked(office, show, 1, 2)
    declined.book(show.show_id, other, DECLINED).expect(402)
    call_off(admin, show)
    job = done(admin, show)
    assert (job["total"], job["done"], job["failed"]) == (0, 0, 0)
    seen = at_the_bank.get(path_of(show, pending["booking_id"])).expect(200)
    assert (seen["status"], seen["reason"]) == ("failed", "show_cancelled") and "Nothing is charged" in seen["detail"]
    wait_until(lambda: gateway.intents(pending["booking_id"])[0]["status"] == "canceled", "the intent's cancellation", 20)
    assert admin.taken(show.show_id) == {}
    assert declined.lock_state(show.show_id, other).expect(200)["state"] == "released"
    wait_until(lambda: db.execute("SELECT count(*) FROM bookings WHERE show_id = %s AND state = 'payment_pending'",
                                  [show.show_id]).fetchone() == (0,), "the declined one's end", 20)


def test_a_payment_that_comes_through_after_the_end_of_the_sale(office, admin, db, gateway):
    """The gateway is slow: it holds the money when the show has been called off."""
    show = admin.make_show(seats=4)
    buyer, lock = locked(office, show, 1)
    gateway.fault("confirm", "delay", 1000)
    paying = in_thread(lambda: buyer.book(show.show_id, lock))
    wait_until(lambda: db.execute("SELECT state FROM seat_locks WHERE lock_id = %s", [lock]).fetchone() == ("paying",),
               "the payment's beginning")
    call_off(admin, show)
    paying().expect(409, "not_on_sale")
    assert done(admin, show)["done"] == 0
    [mine] = buyer.get("/v1/me/bookings").expect(200)["items"]
    assert (mine["status"], mine["reason"], mine["payment"]["status"]) == ("failed", "show_cancelled", "voided")
    wait_until(lambda: gateway.intents(mine["booking_id"])[0]["status"] == "canceled", "the intent's cancellation", 20)
    assert given_back(gateway, mine["booking_id"]) == []


def test_a_payment_that_slips_through_is_given_back(office, admin, db, gateway):
    """Its confirmation had read that the show is on when the show was called off."""
    show = admin.make_show(seats=4)
    buyer, lock = locked(office, show, 1)
    gateway.fault("confirm", "delay", 300)
    paying = in_thread(lambda: buyer.book(show.show_id, lock))
    wait_until(lambda: db.execute("SELECT count(*) FROM payment_calls WHERE show_id = %s AND step = 'confirm'",
                                  [show.show_id]).fetchone() == (1,), "the confirmation's call")
    # the booking's own transaction gets as far as its seats, and no further
    with held(office, "SELECT 1 FROM show_seats WHERE show_id = %s AND seat_no = 0 FOR UPDATE", show.show_id):
        wait_until(lambda: waiting(db, "paying -> booked"), "the booking at its seats")
        call_off(admin, show)
    booking = paying().expect(201)["booking_id"]
    assert done(admin, show)["done"] == 1
    refunded(admin, show, 1)
    assert given_back(gateway, booking) == [4500]


def test_a_booking_that_is_being_made_is_waited_for(office, admin, db):
    """A free booking is one transaction. The one that read that the show is on is found by the job, however late it commits."""
    show = admin.make_show(seats=4, prices={"Free": 0})
    buyer, lock = locked(office, show, 1)
    # it has written its booking when it stops
    with held(office, "LOCK TABLE tickets IN EXCLUSIVE MODE"):
        booking = in_thread(lambda: buyer.post(f"/v1/shows/{show.show_id}/bookings", {
            "lock_id": lock, "buyer": {"name": "Ada", "email": "ada@example.org"}}))
        wait_until(lambda: waiting(db, "INSERT INTO tickets"), "the booking at its tickets")
        call_off(admin, show)
        wait_until(lambda: waiting(db, "SET alone"), "the job behind the booking")
        assert job_of(admin, show)["status"] == "running"
    made = booking().expect(201)["booking_id"]
    assert done(admin, show)["done"] == 1
    assert admin.get(path_of(show, made)).expect(200)["status"] == "cancelled"
    assert admin.taken(show.show_id) == {}


def test_locks_and_bookings_race_with_the_end(office, admin, db):
    """A crowd locks and books while the show is called off: what was sold goes back, nothing is left held."""
    show = admin.make_show(seats=40)
    stop = threading.Event()
    codes = set()

    def crowd(i):
        buyer = office.session()
        for seat in range(i, 40, 4):
            answer = buyer.lock(show.show_id, [show.seats[seat]])
            if answer.status != 201:
                codes.add(answer.code)
                return
            booked = buyer.book(show.show_id, answer.json()["lock_id"])
            if booked.status != 201:
                codes.add(booked.code)
                return
            stop.set()

    people = [threading.Thread(target=crowd, args=[i]) for i in range(4)]
    for one in people:
        one.start()
    assert stop.wait(20)
    call_off(admin, show)
    for one in people:
        one.join()
    # a lock that was released meanwhile has expired for whoever comes to pay it
    assert codes <= {"not_on_sale", "lock_expired"} and codes
    job = done(admin, show)
    assert job["failed"] == 0 and job["done"] >= 1
    assert db.execute("SELECT count(*) FROM bookings WHERE show_id = %s AND state IN ('confirmed', 'payment_pending')",
                      [show.show_id]).fetchone() == (0,)
    wait_until(lambda: admin.taken(show.show_id) == {}, "all seats free", 10)


def test_who_may_and_what_is_refused(office, admin):
    show = admin.make_show(seats=4)
    for path in ("cancel", "reschedule"):
        office.session().post(f"/v1/shows/{show.show_id}/{path}", {}).expect(401)
    office.run_admin("organizer", "create", "Elsewhere of shows")
    token = office.run_admin("token", "create", "--organizer", "Elsewhere of shows", "--name", "t", "--scopes", "events").split()[-1]
    stranger = office.api(token)
    stranger.post(f"/v1/shows/{show.show_id}/cancel", {}).expect(404)
    stranger.get(f"/v1/shows/{show.show_id}/jobs").expect(404)
    small = office.api(office.run_admin("token", "create", "--organizer", "default", "--name", "s", "--scopes", "seats").split()[-1])
    small.post(f"/v1/shows/{show.show_id}/cancel", {}).expect(403)
    admin.post(f"/v1/shows/{show.show_id}/cancel", {"reason": "x" * 201}).expect(422, "invalid_value")
    admin.post(f"/v1/shows/{show.show_id}/cancel", {"seats": []}).expect(400, "invalid_request")
    assert admin.get(f"/v1/shows/{show.show_id}/jobs").expect(200)["items"] == []
    assert admin.get(f"/v1/shows/{show.show_id}").expect(200)["status"] == "published"
