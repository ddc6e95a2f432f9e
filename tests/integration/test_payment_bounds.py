"""How long seats may be held: the bounds of src/payment/README.md, each at its edge.

  payment attempts start only before the lock's end        3-D Secure holds until 10 minutes after it, absolute per lock
  no lock holds seats longer than 30 minutes               a proven decline gives the lock back, its clock not reset
  an attempt whose confirmation was never sent ends at once

Time passes by SQL on the rows, the lock's and its attempt's together.
"""

import datetime
import threading

import psycopg
import pytest

from paying import DECLINED, age, attempts, bank, eur, locked, over, path_of, secure
from paying import admin, db, gateway, office, sound  # noqa: F401 (fixtures)
from service import wait_until

LOCK_S = 300
MINUTE = datetime.timedelta(minutes=1)


def one(db, text, *params):
    [row] = db.execute(text, params).fetchall()
    return row[0] if len(row) == 1 else row


def lock_row(db, lock):
    return one(db, "SELECT state, created_at, expires_at FROM seat_locks WHERE lock_id = %s"
                   " UNION ALL SELECT state, created_at, expires_at FROM seat_lock_history WHERE lock_id = %s", lock, lock)


def booking_of(db, lock):
    return one(db, "SELECT booking_id::text FROM bookings WHERE lock_id = %s", lock)


def bounds(db, booking):
    return db.execute("SELECT action_until, hold_until FROM payments WHERE booking_id = %s ORDER BY attempt_no", [booking]).fetchall()


def ended_at(db, booking, state):
    return one(db, "SELECT at FROM payment_events WHERE booking_id = %s AND to_state = %s AND from_state <> to_state",
               booking, state)


def free(office, show):
    """Not only said to be free: another buyer gets them."""
    wait_until(lambda: office.session().taken(show.show_id) == {}, "the seats free")
    other, lock = locked(office, show)
    other.release(show.show_id, lock).expect(204)


# ---- attempts start only before the lock's end ----


def test_an_attempt_just_before_the_end(office, admin, db):
    show = admin.make_show()
    buyer, lock = locked(office, show)
    age(db, lock, LOCK_S - 2)
    booking = buyer.book(show.show_id, lock).expect(201)
    assert booking["status"] == "confirmed"
    asked = one(db, "SELECT at FROM payment_events WHERE booking_id = %s AND to_state = 'created'", booking["booking_id"])
    assert asked < lock_row(db, lock)[2] < asked + 3 * datetime.timedelta(seconds=1)


def test_an_attempt_just_after_the_end(office, admin, gateway, db):
    show = admin.make_show()
    buyer, lock = locked(office, show)
    age(db, lock, LOCK_S)
    assert "Lock seats again" in buyer.book(show.show_id, lock).expect(409, "lock_expired")["detail"]
    free(office, show)
    assert db.execute("SELECT 1 FROM bookings WHERE lock_id = %s", [lock]).fetchall() == []


def test_the_end_comes_while_the_attempt_waits_for_its_lock(office, admin, db):
    """What was in time when it was asked, and is not when the row is had, is too late: the statement decides, not the question."""
    show = admin.make_show()
    buyer, lock = locked(office, show)
    answers = []
    with psycopg.connect(office.database_url) as holder:
        holder.execute("SELECT 1 FROM seat_locks WHERE lock_id = %s FOR UPDATE", [lock])
        paying = threading.Thread(target=lambda: answers.append(buyer.book(show.show_id, lock)))
        paying.start()
        wait_until(lambda: one(db, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE %s",
                               "%SET state = 'paying'%"), "the attempt at the lock's row", interval_s=0.005)
        age(holder, lock, LOCK_S)
    paying.join()
    answers[0].expect(409, "lock_expired")
    free(office, show)


@pytest.mark.parametrize("card", ["pm_card_visa", DECLINED], ids=["approved", "declined"])
def test_the_lock_ends_while_the_bank_thinks(office, admin, gateway, db, card):
    """It was in time, so the seats are held until the bank has said what it says: theirs, or free at once."""
    show = admin.make_show()
    buyer, lock = locked(office, show)
    gateway.fault("confirm", "delay", 1200)
    age(db, lock, LOCK_S - 1)
    answer = buyer.book(show.show_id, lock, card)
    _, _, ends = lock_row(db, lock)
    assert one(db, "SELECT now() > %s", ends)
    if card == DECLINED:
        no = answer.expect(402, "payment_declined")
        assert no["expires_in"] == 0 and "no longer held" in no["detail"]
        assert lock_row(db, lock)[0] == "expired"
        free(office, show)
        assert buyer.get(path_of(show, no["booking_id"])).expect(200)["status"] == "failed"
    else:
        assert answer.expect(201)["status"] == "confirmed"
        assert buyer.taken(show.show_id) == dict.fromkeys(show.seats[:2], "booked")


# ---- 3-D Secure holds until 10 minutes after the lock's end ----


def test_the_bounds_are_the_locks(office, admin, db):
    """Absolute: a second attempt does not get a new 10 minutes."""
    show = admin.make_show()
    buyer, lock = locked(office, show)
    booking = secure(office, show, buyer, lock).expect(201)
    _, made, ends = lock_row(db, lock)
    assert ends - made == datetime.timedelta(seconds=LOCK_S)
    assert bounds(db, booking["booking_id"]) == [(ends + 10 * MINUTE, made + 30 * MINUTE)]
    assert 890 < booking["payment"]["expires_in"] <= 900 and 290 < booking["expires_in"] <= 300
    bank(booking["payment"]["next_action"]["redirect_to_url"]["url"], "fail")
    wait_until(lambda: buyer.get(path_of(show, booking["booking_id"])).expect(200)["payment"]["status"] == "declined", "the decline")
    age(db, lock, 120)  # two minutes later, another card of the kind
    second = secure(office, show, buyer, lock).expect(201)
    _, made, ends = lock_row(db, lock)
    assert bounds(db, booking["booking_id"])[1] == (ends + 10 * MINUTE, made + 30 * MINUTE)
    assert 770 < second["payment"]["expires_in"] <= 780 and 170 < second["expires_in"] <= 180


def test_3ds_never_longer_than_half_an_hour(office, admin, db):
    """A lock that has been held for 25 minutes: 5 are left, whatever its own end says."""
    show = admin.make_show()
    buyer, lock = locked(office, show)
    db.execute("UPDATE seat_locks SET created_at = created_at - interval '25 minutes' WHERE lock_id = %s", [lock])
    booking = secure(office, show, buyer, lock).expect(201)
    _, made, _ = lock_row(db, lock)
    assert bounds(db, booking["booking_id"]) == [(made + 30 * MINUTE, made + 30 * MINUTE)]


def test_3ds_until_its_bound_and_not_longer(office, admin, gateway, db):
    show = admin.make_show()
    buyer, lock = locked(office, show)
    booking = secure(office, show, buyer, lock).expect(201)
    path = path_of(show, booking["booking_id"])
    age(db, lock, LOCK_S + 600 - 3)
    db.execute("UPDATE payments SET settle_at = now(), ask_after = now() WHERE booking_id = %s", [booking["booking_id"]])
    [(until, _)] = bounds(db, booking["booking_id"])
    # looked at before its end it is waited for; the lock's own end is long over
    def looked_at():
        return one(db, "SELECT settle_at FROM payments WHERE booking_id = %s", booking["booking_id"]) == until
    held = buyer.get(path).expect(200)
    if one(db, "SELECT now() < %s - interval '1 s'", until):
        assert held["status"] == "payment_pending" and held["payment"]["status"] == "requires_action"
        assert 0 < held["payment"]["expires_in"] <= 3 and held["expires_in"] == 0 and "next_action" in held["detail"]
        assert buyer.taken(show.show_id) == dict.fromkeys(show.seats[:2], "locked")
        assert buyer.lock_state(show.show_id, lock).expect(200)["state"] == "paying"
        buyer.book(show.show_id, lock).expect(409, "payment_in_progress")
        buyer.release(show.show_id, lock).expect(409, "payment_in_progress")
        wait_until(lambda: looked_at() or attempts(db, booking["booking_id"]) == ["abandoned"], "the next look at the bound itself", 3)
    wait_until(lambda: attempts(db, booking["booking_id"]) == ["abandoned"], "the attempt abandoned")
    late = ended_at(db, booking["booking_id"], "abandoned") - until
    assert datetime.timedelta(0) <= late < datetime.timedelta(seconds=5), late
    free(office, show)
    done = buyer.get(path).expect(200)
    assert (done["status"], done["reason"], done["payment"]["status"]) == ("failed", "time_over", "abandoned")
    assert "took too long" in done["detail"] and "expires_in" not in done
    assert buyer.lock_state(show.show_id, lock).expect(200)["state"] == "abandoned"
    buyer.book(show.show_id, lock).expect(409, "lock_expired")
    buyer.release(show.show_id, lock).expect(204)


def test_the_bank_approves_after_the_bound(office, admin, gateway, db):
    """Late, and the gateway cannot be told yet: the hold is given back, nobody is charged, and the buyer is told."""
    show = admin.make_show()
    buyer, lock = locked(office, show)
    booking = secure(office, show, buyer, lock).expect(201)
    gateway.broken("cancel", "drop_before")
    age(db, lock, LOCK_S + 600)
    over(db, booking["booking_id"])
    wait_until(lambda: attempts(db, booking["booking_id"]) == ["abandoned"], "the attempt abandoned")
    bank(booking["payment"]["next_action"]["redirect_to_url"]["url"], "authorise")
    assert [i["status"] for i in gateway.intents(booking["booking_id"])] == ["requires_capture"]
    free(office, show)
    done = buyer.get(path_of(show, booking["booking_id"])).expect(200)
    assert done["status"] == "failed" and "or sets aside later, is given back" in done["detail"]
    gateway.clear()
    db.execute("UPDATE payments SET settle_at = now() WHERE booking_id = %s", [booking["booking_id"]])
    wait_until(lambda: [i["status"] for i in gateway.intents(booking["booking_id"])] == ["canceled"], "the hold given back")
    wait_until(lambda: one(db, "SELECT NOT void_wanted FROM payments WHERE booking_id = %s", booking["booking_id"]), "that known here")
    assert buyer.get(path_of(show, booking["booking_id"])).expect(200)["payment"]["status"] == "abandoned"
    trail = admin.get(path_of(show, booking["booking_id"]) + "/payments").expect(200)
    assert trail["items"][-1]["why"] == "void at the gateway" and trail["items"][-1]["actor"] == "reconciler"


# ---- no lock holds seats longer than half an hour ----


@pytest.mark.parametrize("gateway_is", ["away", "back"])
def test_half_an_hour(office, admin, gateway, db, gateway_is):
    """The outcome of a confirmation cannot be learned. Until the bound the seats are held; then they are free although the
    gateway is away; once it is back, what it holds is given back."""
    show = admin.make_show()
    buyer, lock = locked(office, show)
    gateway.broken("confirm", "drop_after")
    gateway.broken("retrieve", "drop_before")
    gateway.broken("cancel", "drop_before")
    buyer.book(show.show_id, lock, key="k").expect(503, "outcome_unknown")
    booking = booking_of(db, lock)
    generation = one(db, "SELECT generation FROM payments WHERE booking_id = %s", booking)
    age(db, lock, 30 * 60 - 3)
    # looked at so often in vain that the next look would be a minute later: the bound is not missed for that
    db.execute("UPDATE payments SET settle_tries = 20 WHERE booking_id = %s", [booking])
    [(_, until)] = bounds(db, booking)
    over(db, booking)
    wait_until(lambda: one(db, "SELECT generation > %s FROM payments WHERE booking_id = %s", generation, booking), "a look at it")
    if one(db, "SELECT now() < %s - interval '1 s'", until):
        assert attempts(db, booking) == ["created"] and set(buyer.taken(show.show_id).values()) == {"locked"}
        held = buyer.get(path_of(show, booking)).expect(200)
        assert held["payment"]["status"] == "processing" and "Ask again" in held["detail"]
    wait_until(lambda: attempts(db, booking) == ["abandoned"], "the attempt abandoned")
    late = ended_at(db, booking, "abandoned") - until
    assert datetime.timedelta(0) <= late < datetime.timedelta(seconds=5), late
    assert one(db, "SELECT generation > %s FROM payments WHERE booking_id = %s", generation, booking)
    free(office, show)
    buyer.book(show.show_id, lock, key="k").expect(409, "lock_expired")
    [intent] = gateway.intents(booking)
    assert intent["status"] == "requires_capture"
    if gateway_is == "away":
        other, theirs = locked(office, show)
        gateway.clear()
        other.book(show.show_id, theirs).expect(201)  # the seats are another's; what comes late is given back
    gateway.clear()
    db.execute("UPDATE payments SET settle_at = now() WHERE booking_id = %s", [booking])
    wait_until(lambda: [i["status"] for i in gateway.intents(booking)] == ["canceled"], "the hold given back")


@pytest.mark.parametrize("early_s", [60, 0], ids=["in time", "too late"])
def test_nobody_looks_until_the_bank_has_approved(office, admin, gateway, db, early_s):
    """The bank's yes is found after the bound of 3-D Secure: it is booked, but not past the half hour. Then it is given back."""
    show = admin.make_show()
    buyer, lock = locked(office, show)
    booking = secure(office, show, buyer, lock).expect(201)
    path = path_of(show, booking["booking_id"])
    with db.transaction():
        db.execute("SELECT 1 FROM payments WHERE booking_id = %s FOR UPDATE", [booking["booking_id"]])
        bank(booking["payment"]["next_action"]["redirect_to_url"]["url"], "authorise")
        age(db, lock, 30 * 60 - early_s)
        over(db, booking["booking_id"])
    if early_s:
        wait_until(lambda: attempts(db, booking["booking_id"]) == ["captured"], "the booking")
        assert buyer.get(path).expect(200)["status"] == "confirmed"
        return
    wait_until(lambda: attempts(db, booking["booking_id"]) == ["abandoned"], "the attempt abandoned")
    free(office, show)
    done = buyer.get(path).expect(200)
    assert (done["status"], done["reason"], done["payment"]["status"]) == ("failed", "time_over", "abandoned")
    assert "took too long" in done["detail"]
    wait_until(lambda: [i["status"] for i in gateway.intents(booking["booking_id"])] == ["canceled"], "the hold given back")


def test_the_bound_comes_while_the_booking_waits_for_its_row(office, admin, gateway, db):
    """What was in time when it was decided, and is not when the row is had, is too late: the statement decides."""
    show = admin.make_show()
    buyer, lock = locked(office, show)
    gateway.fault("confirm", "delay", 1000)
    answers = []
    other = office.api(buyer.token)
    paying = threading.Thread(target=lambda: answers.append(other.book(show.show_id, lock)))
    paying.start()
    wait_until(lambda: db.execute("SELECT 1 FROM payment_calls c JOIN payments p USING (show_id, payment_id)"
                                  " WHERE p.lock_id = %s AND c.step = 'confirm'", [lock]).fetchall(), "the confirmation", interval_s=0.005)
    booking = booking_of(db, lock)
    with psycopg.connect(office.database_url) as holder:
        holder.execute("SELECT 1 FROM payments WHERE booking_id = %s FOR UPDATE", [booking])
        wait_until(lambda: one(db, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE %s",
                               "%SET state = 'authorised'%"), "the booking at the row", interval_s=0.005)
        age(holder, lock, 30 * 60)
    paying.join()
    answers[0].expect(503, "outcome_unknown")
    assert attempts(db, booking) == ["created"]
    over(db, booking)
    wait_until(lambda: attempts(db, booking) == ["abandoned"], "the attempt abandoned")
    free(office, show)
    wait_until(lambda: [i["status"] for i in gateway.intents(booking)] == ["canceled"], "the hold given back")


# ---- a proven decline gives the lock back ----


def test_a_decline_does_not_wind_the_clock(office, admin, db):
    show = admin.make_show()
    buyer, lock = locked(office, show)
    age(db, lock, LOCK_S - 60)
    before = lock_row(db, lock)
    no = buyer.book(show.show_id, lock, DECLINED).expect(402, "payment_declined")
    assert 55 < no["expires_in"] <= 60
    assert lock_row(db, lock) == before
    assert db.execute("SELECT DISTINCT expires_at FROM show_seats WHERE lock_id = %s", [lock]).fetchall() == [(before[2],)]
    buyer.book(show.show_id, lock).expect(201)


def test_a_decline_after_the_end(office, admin, gateway, db):
    """The bank said no when the lock's time was over: the seats are free at once, the booking has failed."""
    show = admin.make_show()
    buyer, lock = locked(office, show)
    booking = secure(office, show, buyer, lock).expect(201)
    bank(booking["payment"]["next_action"]["redirect_to_url"]["url"], "fail")
    age(db, lock, LOCK_S + 60)
    over(db, booking["booking_id"])
    wait_until(lambda: attempts(db, booking["booking_id"]) == ["failed"], "the decline seen")
    assert lock_row(db, lock)[0] == "expired"
    free(office, show)
    done = buyer.get(path_of(show, booking["booking_id"])).expect(200)
    assert (done["status"], done["reason"], done["payment"]["status"]) == ("failed", "lock_ended", "declined")
    assert "no longer held" in done["detail"]
    buyer.book(show.show_id, lock).expect(409, "lock_expired")


# ---- never sent ----


def test_a_confirmation_that_was_never_sent(office, admin, gateway, db):
    """Whoever made the attempt is gone between the gateway's intent and the confirmation: as soon as somebody looks, the lock is
    its owner's again. Nobody asks the gateway anything for that."""
    show = admin.make_show()
    buyer, lock = locked(office, show)
    gateway.broken("create", "hang")
    answers = []
    other = office.api(buyer.token)
    paying = threading.Thread(target=lambda: answers.append(other.book(show.show_id, lock)))
    paying.start()
    wait_until(lambda: gateway.calls("create", "hang"), "the call that hangs")
    booking = booking_of(db, lock)
    gateway.broken("any", "drop_before")
    over(db, booking)
    wait_until(lambda: attempts(db, booking) == ["failed"], "the attempt ended")
    assert lock_row(db, lock)[0] == "active"
    calls = "SELECT c.step FROM payments p JOIN payment_calls c USING (show_id, payment_id) WHERE p.booking_id = %s"
    assert db.execute(calls, [booking]).fetchall() == [("create",)]
    gateway.clear()
    # the one who was overtaken finds nothing to do, and does not confirm
    paying.join()
    answers[0].expect(503, "payment_unavailable")
    assert [i["status"] for i in gateway.intents(booking)] in ([], ["requires_payment_method"])
    assert buyer.book(show.show_id, lock).expect(201)["total"] == eur(9000)
