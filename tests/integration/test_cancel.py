"""Seats and money back: cancellations and refunds, whoever asks, however the gateway behaves, whatever they race with."""

import contextlib
import subprocess
import threading

import pytest

from paying import CANCELLATION, DECLINED, NO_CANCELLATION, attempts, eur, locked, path_of, secure
from paying import admin, db, gateway, office, sound  # noqa: F401 (fixtures)
from service import wait_until


def booked(office, show, n=2, start=0, card="pm_card_visa"):
    buyer, lock = locked(office, show, n, start)
    return buyer, buyer.book(show.show_id, lock, card).expect(201)["booking_id"]


def refund_of(buyer, show, booking):
    return buyer.get(path_of(show, booking)).expect(200)["refund"]


def hurry(db, booking):
    """What rests before its next try is due now; what is under way stays so."""
    db.execute("UPDATE refunds r SET settle_at = now() FROM payments p WHERE r.booking_id = %s AND r.state IN ('requested', 'pending')"
               " AND p.payment_id = r.payment_id AND p.ask_after <= now()", [booking])
    db.execute("UPDATE payments SET settle_at = now() WHERE booking_id = %s AND state = 'authorised' AND ask_after <= now()", [booking])


def refund_settled(buyer, db, show, booking, status):
    def there():
        hurry(db, booking)
        return refund_of(buyer, show, booking)["status"] == status

    wait_until(there, f"the refund {status}", 20, 0.3)


def at_once(*steps):
    """Runs them in threads of their own; their results."""
    results = [None] * len(steps)

    def run(i):
        results[i] = steps[i]()

    threads = [threading.Thread(target=run, args=[i]) for i in range(len(steps))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@contextlib.contextmanager
def held_up(db, office, text, params, waiting):
    """Holds rows until so many statements wait for them: then what waits goes on, all at once."""
    import psycopg

    with psycopg.connect(office.database_url) as holder:
        holder.execute(text, params)

        def let_go():
            with contextlib.suppress(AssertionError):  # late on a slow machine: the race is a weaker one then
                wait_until(lambda: db.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'").fetchone()[0]
                           >= waiting, "statements that wait", 0.45, 0.005)
            holder.commit()

        thread = threading.Thread(target=let_go)
        thread.start()
        yield
        thread.join()


def check_finds(office, *words):
    done = subprocess.run([str(office.build_dir / "boxoffice"), "check", "--dir", str(office.dir), "--once"], capture_output=True, text=True)
    assert any(all(word in line for word in words) for line in done.stdout.splitlines()), done.stdout


# ---- the policy of the show ----


def test_cancel_whole(office, admin, gateway):
    show = admin.make_show(cancellation=CANCELLATION)
    buyer, lock = locked(office, show)
    booking = buyer.book(show.show_id, lock).expect(201)
    done = office.api(booking["access_token"]).cancel(show.show_id, booking["booking_id"]).expect(200)
    assert done["status"] == "cancelled" and done["refund"] == {"status": "succeeded", "amount": eur(8700)}
    assert {ticket["status"] for ticket in done["tickets"]} == {"revoked"}
    assert buyer.cancel(show.show_id, booking["booking_id"]).expect(200) == done
    [intent] = gateway.intents(booking["booking_id"])
    assert intent["amount_refunded"] == 8700
    assert buyer.taken(show.show_id) == {}
    other, lock = locked(office, show)
    other.book(show.show_id, lock).expect(201)


def test_cancel_by_seat(office, admin, gateway):
    show = admin.make_show(cancellation={**CANCELLATION, "fee": eur(100)})
    buyer, lock = locked(office, show, 3)
    booking = buyer.book(show.show_id, lock).expect(201)["booking_id"]
    assert buyer.cancel(show.show_id, booking, [show.seats[9]]).expect(422, "unknown_seat")["path"] == "/seats/0"
    office.session().cancel(show.show_id, booking).expect(404)
    part = buyer.cancel(show.show_id, booking, [show.seats[1]]).expect(200)
    assert part["status"] == "confirmed" and part["refund"] == {"status": "succeeded", "amount": eur(4500 - 33)}
    assert [seat["guid"] for seat in part["seats"]] == [show.seats[0], show.seats[2]]
    assert part["cancelled_seats"] == [show.seats[1]]
    assert {t["seat"]: t["status"] for t in part["tickets"]} == {show.seats[0]: "valid", show.seats[1]: "revoked", show.seats[2]: "valid"}
    assert buyer.cancel(show.show_id, booking, [show.seats[1]]).expect(200) == part
    assert buyer.taken(show.show_id) == {show.seats[0]: "booked", show.seats[2]: "booked"}
    _, again = locked(office, show, 1, 1)
    rest = buyer.cancel(show.show_id, booking).expect(200)
    assert rest["status"] == "cancelled" and rest["refund"] == {"status": "succeeded", "amount": eur(13400)}
    [intent] = gateway.intents(booking)
    assert intent["amount_captured"] - intent["amount_refunded"] == 100


def test_cancel_closed_and_used(office, admin, db):
    show = admin.make_show(cancellation=NO_CANCELLATION)
    buyer, lock = locked(office, show)
    booking = buyer.book(show.show_id, lock).expect(201)["booking_id"]
    buyer.cancel(show.show_id, booking).expect(409, "cancellation_closed")
    db.execute("UPDATE tickets SET state = 'used' WHERE booking_id = %s AND seat_no = 0", [booking])
    admin.cancel(show.show_id, booking).expect(409, "ticket_used")
    assert buyer.taken(show.show_id) == dict.fromkeys(show.seats[:2], "booked")
    done = admin.cancel(show.show_id, booking, [show.seats[1]]).expect(200)  # staff always may, what was not used
    assert done["refund"]["amount"] == eur(4500)
    db.execute("UPDATE tickets SET state = 'valid' WHERE booking_id = %s AND seat_no = 0", [booking])


def test_refund_that_has_to_wait(office, admin, gateway):
    show = admin.make_show(cancellation=CANCELLATION)
    buyer, lock = locked(office, show)
    booking = buyer.book(show.show_id, lock).expect(201)["booking_id"]
    gateway.fault("refund", "500_before")
    done = buyer.cancel(show.show_id, booking).expect(200)
    assert done["refund"] == {"status": "pending", "amount": eur(8700)}
    assert buyer.taken(show.show_id) == {}
    path = f"/v1/shows/{show.show_id}/bookings/{booking}"
    wait_until(lambda: buyer.get(path).expect(200)["refund"]["status"] == "succeeded", "the refund made", 20)
    assert [intent["amount_refunded"] for intent in gateway.intents(booking)] == [8700]


def test_refund_whose_answer_is_lost(office, admin, gateway):
    show = admin.make_show(cancellation=CANCELLATION)
    buyer, lock = locked(office, show)
    booking = buyer.book(show.show_id, lock).expect(201)["booking_id"]
    gateway.fault("refund", "500_after")
    assert buyer.cancel(show.show_id, booking).expect(200)["refund"]["status"] == "pending"
    path = f"/v1/shows/{show.show_id}/bookings/{booking}"
    wait_until(lambda: buyer.get(path).expect(200)["refund"]["status"] == "succeeded", "the refund found", 20)
    assert [intent["amount_refunded"] for intent in gateway.intents(booking)] == [8700]  # once


def test_goodwill(office, admin, gateway):
    show = admin.make_show(cancellation={**CANCELLATION, "fee": eur(0)})
    buyer, lock = locked(office, show)
    booking = buyer.book(show.show_id, lock).expect(201)["booking_id"]
    path = f"/v1/shows/{show.show_id}/bookings/{booking}/refunds"
    body = {"amount": eur(1000), "reason": "Heating failed"}
    first = admin.post(path, body, key="g").expect(201)
    assert first["status"] == "succeeded"
    assert admin.post(path, body, key="g").expect(201) == first
    admin.post(path, {**body, "amount": eur(1001)}, key="g").expect(422, "idempotency_mismatch")
    assert admin.post(path, {**body, "amount": eur(8001)}).expect(422, "invalid_value")["path"] == "/amount"
    buyer.post(path, body).expect(401)
    # the rest is what a cancellation can still give back
    assert buyer.cancel(show.show_id, booking).expect(200)["refund"]["amount"] == eur(9000)
    assert [intent["amount_refunded"] for intent in gateway.intents(booking)] == [9000]
    trail = admin.get(f"/v1/shows/{show.show_id}/bookings/{booking}/payments").expect(200)
    assert [(item["from"], item["to"]) for item in trail["items"] if "refund_id" not in item] == [
        ("", "created"), ("created", "authorised"), ("authorised", "captured")]
    assert sorted(refund["kind"] for refund in trail["refunds"]) == ["goodwill", "seats"]


@pytest.mark.parametrize(("currency", "prices", "fee"), [
    ("EUR", {"A": 4500, "B": 3001, "C": 1999}, 101), ("JPY", {"A": 4500, "B": 3001, "C": 1999}, 100),
    ("KWD", {"A": 4500, "B": 3010, "C": 1990}, 100), ("EUR", {"A": 60, "B": 60, "C": 60}, 500)],
    ids=["cents", "no-decimals", "three-decimals", "fee-over-price"])
def test_seat_by_seat_is_the_whole(office, admin, gateway, currency, prices, fee):
    """To the smallest unit, in whichever order, and each part one that the gateway gives back."""
    show = admin.make_show(seats=6, per_row=1, prices=prices, currency=currency,
                           cancellation={"until": "2099-01-01T00:00:00Z", "fee": {"amount": fee, "currency": currency}})
    total = sum(prices.values())
    buyer, whole = booked(office, show, 3)
    assert buyer.cancel(show.show_id, whole).expect(200)["refund"]["amount"]["amount"] == max(total - fee, 0)
    buyer, parts = booked(office, show, 3, 3)
    given = []
    for seat in (5, 3, 4):
        done = buyer.cancel(show.show_id, parts, [show.seats[seat]]).expect(200)
        given.append(done["refund"]["amount"]["amount"] if "refund" in done else 0)
        assert "refund" not in done or done["refund"]["status"] in ("succeeded", "none")
    assert done["status"] == "cancelled" and given == sorted(given) and given[-1] == max(total - fee, 0)
    for booking in (whole, parts):
        assert [i["amount_captured"] - i["amount_refunded"] for i in gateway.intents(booking)] == [min(fee, total)]


def test_until(office, admin, db):
    """At its edge, by the database's clock. Staff may afterwards; the fee is kept then too."""
    show = admin.make_show(cancellation=CANCELLATION)
    first, one = booked(office, show)
    second, two = booked(office, show, 2, 2)
    db.execute("UPDATE shows SET cancel_until = now() + interval '5 s' WHERE show_id = %s", [show.show_id])
    assert first.cancel(show.show_id, one).expect(200)["refund"]["amount"] == eur(8700)
    db.execute("UPDATE shows SET cancel_until = now() WHERE show_id = %s", [show.show_id])
    second.cancel(show.show_id, two).expect(409, "cancellation_closed")
    second.cancel(show.show_id, two, [show.seats[2]]).expect(409, "cancellation_closed")
    assert first.cancel(show.show_id, one).expect(200)["status"] == "cancelled"  # what is done stays done
    done = admin.cancel(show.show_id, two).expect(200)
    assert (done["reason"], done["refund"]["amount"]) == ("staff", eur(8700))
    assert second.get(path_of(show, two)).expect(200)["detail"] == "The organiser cancelled the booking."


def test_who_may(office, admin):
    show = admin.make_show(cancellation=CANCELLATION)
    buyer, booking = booked(office, show)

    def token(scopes, organizer="default"):
        done = subprocess.run([str(office.build_dir / "boxoffice"), "admin", "token", "create", "--organizer", organizer, "--name", "t",
                               "--scopes", scopes, "--dir", str(office.dir)], capture_output=True, text=True, check=True)
        return office.api(done.stdout.strip())

    subprocess.run([str(office.build_dir / "boxoffice"), "admin", "organizer", "create", "Others", "--dir", str(office.dir)],
                   capture_output=True, check=True)
    door, stranger = token("checkin"), token("all", "Others")
    path, money = path_of(show, booking), {"amount": eur(100), "reason": "x"}
    for who, status in ((door, 403), (stranger, 404), (office.session(), 404), (office.api(), 401)):
        assert who.get(path).status == status
        assert who.cancel(show.show_id, booking).status == status
    for who, status in ((door, 403), (stranger, 404), (buyer, 401), (office.api(), 401)):
        assert who.post(path + "/refunds", money).status == status, who
    assert buyer.get(path).expect(200)["status"] == "confirmed"


def test_what_cannot_be_cancelled(office, admin, db):
    show = admin.make_show(cancellation=CANCELLATION)
    buyer, lock = locked(office, show)
    booking = secure(office, show, buyer, lock).expect(201)["booking_id"]
    buyer.cancel(show.show_id, booking).expect(409, "payment_in_progress")
    buyer, lock = locked(office, show, 2, 2)
    booking = buyer.book(show.show_id, lock, DECLINED).expect(402)["booking_id"]
    buyer.release(show.show_id, lock).expect(204)
    wait_until(lambda: buyer.get(path_of(show, booking)).expect(200)["status"] == "failed", "the booking failed")
    assert "never confirmed" in buyer.cancel(show.show_id, booking).expect(409, "cancellation_closed")["detail"]
    buyer, booking = booked(office, show, 2, 4)
    for seats, at in (([show.seats[4], show.seats[9]], 1), ([show.seats[9], show.seats[4]], 0), (["Z-99"], 0)):
        no = buyer.cancel(show.show_id, booking, seats).expect(422, "unknown_seat")
        assert (no["seat"], no["path"]) == (seats[at], f"/seats/{at}")
    buyer.cancel(show.show_id, booking, [show.seats[4], show.seats[4]]).expect(422, "duplicate_seat")
    assert buyer.get(path_of(show, booking)).expect(200)["status"] == "confirmed"
    assert buyer.taken(show.show_id)[show.seats[4]] == "booked"


# ---- against the capture ----


def test_cancelled_while_the_capture_hangs(office, admin, gateway, db):
    show = admin.make_show(cancellation=CANCELLATION)
    buyer, lock = locked(office, show)
    gateway.broken("capture", "hang")
    other = office.api(buyer.token)

    def cancel():
        wait_until(lambda: gateway.calls("capture", "hang"), "the capture at the gateway")
        [[booking]] = db.execute("SELECT booking_id::text FROM bookings WHERE lock_id = %s", [lock]).fetchall()
        done = other.cancel(show.show_id, booking).expect(200)
        again, theirs = locked(office, show)  # on sale again at once
        again.release(show.show_id, theirs).expect(204)
        return booking, done

    answer, (booking, done) = at_once(lambda: buyer.book(show.show_id, lock), cancel)
    assert done["status"] == "cancelled" and done["payment"]["status"] == "capture_pending"
    assert done["refund"] == {"status": "pending", "amount": eur(8700)} and "under way" in done["detail"]
    assert answer.expect(201)["status"] == "cancelled"
    assert gateway.intents(booking)[0]["amount_refunded"] == 0
    gateway.clear()
    refund_settled(buyer, db, show, booking, "succeeded")
    [intent] = gateway.intents(booking)
    assert (intent["amount_captured"], intent["amount_refunded"]) == (9000, 8700)


@pytest.mark.parametrize("mode", ["drop_after", "500_after", "500_before"])
def test_cancelled_before_the_capture_is_known(office, admin, gateway, db, mode):
    show = admin.make_show(cancellation=CANCELLATION)
    gateway.broken("capture", mode)
    buyer, booking = booked(office, show)
    assert buyer.cancel(show.show_id, booking).expect(200)["refund"] == {"status": "pending", "amount": eur(8700)}
    gateway.clear()
    refund_settled(buyer, db, show, booking, "succeeded")
    [intent] = gateway.intents(booking)
    assert (intent["amount_captured"], intent["amount_refunded"]) == (9000, 8700)


@pytest.mark.parametrize("seats", [2, 1], ids=["all", "some"])
def test_cancelled_and_then_the_capture_is_refused(office, admin, gateway, db, seats):
    """Nothing was taken, so nothing is owed and nothing kept: a refund that was asked for is not one that failed."""
    show = admin.make_show(cancellation=CANCELLATION)
    gateway.broken("capture", "drop_before")
    buyer, booking = booked(office, show)
    buyer.cancel(show.show_id, booking, show.seats[:seats]).expect(200)
    gateway.clear()
    gateway.broken("capture", "decline")

    def refused():
        hurry(db, booking)
        return attempts(db, booking) == ["capture_failed"]

    wait_until(refused, "the capture refused", 20, 0.3)
    wait_until(lambda: hurry(db, booking) or db.execute("SELECT state, failure FROM refunds WHERE booking_id = %s", [booking]).fetchall()
               == [("failed", "not_captured")], "the refund at its end", 20, 0.3)
    wait_until(lambda: buyer.taken(show.show_id) == {}, "the seats free")
    done = buyer.get(path_of(show, booking)).expect(200)
    assert (done["status"], done["reason"]) == ("cancelled", "buyer" if seats == 2 else "payment_lost")
    assert done["payment"]["status"] == "capture_failed" and done["refund"] == {"status": "none", "amount": eur(0)}
    assert "you owe nothing" in done["detail"]
    assert db.execute("SELECT fee_kept_minor FROM bookings WHERE booking_id = %s", [booking]).fetchall() == [(0,)]
    gateway.clear()
    wait_until(lambda: [(i["status"], i["amount_captured"]) for i in gateway.intents(booking)] == [("canceled", 0)], "the hold given back")


# ---- against the door, another cancellation, another refund ----


def test_cancelled_while_the_ticket_is_used(office, admin, db):
    show = admin.make_show(cancellation=CANCELLATION)
    buyer, booking = booked(office, show)
    with held_up(db, office, "UPDATE tickets SET state = 'used' WHERE booking_id = %s AND seat_no = 1", [booking], 1):
        answer = buyer.cancel(show.show_id, booking)
    answer.expect(409, "ticket_used")
    after = buyer.get(path_of(show, booking)).expect(200)
    assert after["status"] == "confirmed" and "refund" not in after
    assert sorted(ticket["status"] for ticket in after["tickets"]) == ["used", "valid"]
    assert buyer.taken(show.show_id) == dict.fromkeys(show.seats[:2], "booked")
    buyer.cancel(show.show_id, booking, [show.seats[1]]).expect(409, "ticket_used")
    assert buyer.cancel(show.show_id, booking, [show.seats[0]]).expect(200)["status"] == "confirmed"
    db.execute("UPDATE tickets SET state = 'valid' WHERE booking_id = %s AND seat_no = 1", [booking])


@pytest.mark.parametrize("price", [4500, 0], ids=["paid", "free"])
def test_many_cancellations_at_once(office, admin, gateway, db, price):
    show = admin.make_show(cancellation=CANCELLATION, prices={"Standard": price})
    buyer, booking = booked(office, show)
    clients = [office.api(buyer.token) for _ in range(4)]
    rows = "payments" if price else "bookings"
    with held_up(db, office, f"SELECT 1 FROM {rows} WHERE booking_id = %s FOR UPDATE", [booking], 4):
        answers = at_once(*[lambda c=client: c.cancel(show.show_id, booking) for client in clients])
    assert {answer.expect(200)["status"] for answer in answers} == {"cancelled"}
    assert buyer.taken(show.show_id) == {}
    assert [(i["amount_captured"], i["amount_refunded"]) for i in gateway.intents(booking)] == ([(9000, 8700)] if price else [])
    assert db.execute("SELECT count(*) FROM refunds WHERE booking_id = %s", [booking]).fetchone()[0] == (1 if price else 0)


@pytest.mark.parametrize("price", [4500, 0], ids=["paid", "free"])
def test_the_same_seat_and_another_at_once(office, admin, gateway, db, price):
    show = admin.make_show(cancellation={**CANCELLATION, "fee": eur(0)}, prices={"Standard": price})
    buyer, booking = booked(office, show, 3)
    rows = "payments" if price else "bookings"
    with held_up(db, office, f"SELECT 1 FROM {rows} WHERE booking_id = %s FOR UPDATE", [booking], 3):
        answers = at_once(*[lambda c=office.api(buyer.token), s=seat: c.cancel(show.show_id, booking, [show.seats[s]])
                            for seat in (0, 0, 1)])
    for answer in answers:
        answer.expect(200)
    assert buyer.taken(show.show_id) == {show.seats[2]: "booked"}
    if price:
        refund_settled(buyer, db, show, booking, "succeeded")
        assert [i["amount_refunded"] for i in gateway.intents(booking)] == [9000]


def test_cancelled_and_given_back_at_once(office, admin, gateway, db):
    """Never more than was taken, whoever comes first."""
    show = admin.make_show(cancellation={**CANCELLATION, "fee": eur(0)})
    buyer, booking = booked(office, show)
    path = path_of(show, booking) + "/refunds"
    with held_up(db, office, "SELECT 1 FROM payments WHERE booking_id = %s FOR UPDATE", [booking], 3):
        cancelled, *goodwill = at_once(lambda: buyer.cancel(show.show_id, booking),
                                       *[lambda c=office.admin(): c.post(path, {"amount": eur(4000), "reason": "x"}) for _ in range(3)])
    cancelled.expect(200)
    made = sum(answer.status == 201 for answer in goodwill)
    for answer in goodwill:
        assert answer.status == 201 or answer.expect(422, "invalid_value")["path"] == "/amount"
    assert made <= 2
    refund_settled(buyer, db, show, booking, "succeeded")
    assert [i["amount_refunded"] for i in gateway.intents(booking)] == [9000]
    assert db.execute("SELECT sum(amount_minor) FROM refunds WHERE booking_id = %s", [booking]).fetchone()[0] == 9000


def test_one_call_of_a_payment_at_a_time(office, admin, gateway, db):
    """While one refund hangs at the gateway the next seat's is not sent; its cancellation is answered at once all the same."""
    show = admin.make_show(cancellation={**CANCELLATION, "fee": eur(0)})
    buyer, booking = booked(office, show, 3)
    gateway.broken("refund", "hang")
    other = office.api(buyer.token)

    def second():
        wait_until(lambda: gateway.calls("refund", "hang"), "the first refund at the gateway")
        done = other.cancel(show.show_id, booking, [show.seats[1]]).expect(200)
        settled = admin.post(path_of(show, booking) + "/refunds", {"amount": eur(100), "reason": "x"}).expect(201)
        sent = db.execute("SELECT count(*) FROM payment_calls WHERE step = 'refund' AND payment_id ="
                          " (SELECT payment_id FROM payments WHERE booking_id = %s)", [booking]).fetchone()[0]
        return done, settled, sent

    first, (done, goodwill, sent) = at_once(lambda: buyer.cancel(show.show_id, booking, [show.seats[0]]), second)
    first.expect(200)
    assert sent == 1 and done["refund"] == {"status": "pending", "amount": eur(9000)} and goodwill["status"] == "requested"
    assert buyer.taken(show.show_id) == {show.seats[2]: "booked"}
    gateway.clear()
    refund_settled(buyer, db, show, booking, "succeeded")
    assert [i["amount_refunded"] for i in gateway.intents(booking)] == [9100]


# ---- however the gateway behaves ----


@pytest.mark.parametrize("mode", ["hang", "hang_after", "drop_before", "drop_after", "500_before", "500_after", "429"])
def test_refund_until_it_is_settled(office, admin, gateway, db, mode):
    """Told as pending, found in the trail, repeated until the gateway has said so; made once. The seats do not wait."""
    show = admin.make_show(cancellation=CANCELLATION)
    buyer, booking = booked(office, show)
    gateway.broken("refund", mode)
    done = buyer.cancel(show.show_id, booking).expect(200)
    assert done["refund"] == {"status": "pending", "amount": eur(8700)} and "repeated until" in done["detail"]
    assert refund_of(buyer, show, booking) == done["refund"]
    trail = admin.get(path_of(show, booking) + "/payments").expect(200)
    assert [(r["state"], r["kind"]) for r in trail["refunds"]] == [("requested", "seats")]
    gateway.clear()
    other, theirs = booked(office, show)  # the same seats, another's
    refund_settled(buyer, db, show, booking, "succeeded")
    [intent] = gateway.intents(booking)
    assert intent["amount_refunded"] == 8700 and len(gateway.refunds(intent["id"])) == 1
    assert [i["amount_refunded"] for i in gateway.intents(theirs)] == [0]


def test_refund_that_the_gateway_refuses(office, admin, gateway, db):
    """For good: it stays to be seen, by the buyer, in the trail and in `check`, until somebody has settled it."""
    show = admin.make_show(cancellation=CANCELLATION)
    buyer, booking = booked(office, show)
    gateway.broken("refund", "decline")
    done = buyer.cancel(show.show_id, booking).expect(200)
    gateway.clear()
    assert done["refund"] == {"status": "failed", "amount": eur(8700)} and "still owed" in done["detail"]
    assert buyer.cancel(show.show_id, booking).expect(200) == done
    [refund] = admin.get(path_of(show, booking) + "/payments").expect(200)["refunds"]
    assert refund["state"] == "failed" and refund["failure"]
    assert buyer.taken(show.show_id) == {}
    check_finds(office, "I3", done["reference"], "taken 9000 less refunds 0")
    # sent again, as a person may have it done: what failed before is not told any more, and not counted twice
    db.execute("INSERT INTO refunds (show_id, refund_id, payment_id, booking_id, state, amount_minor, currency, kind, reason, seats, settle_at)"
               " SELECT show_id, gen_random_uuid(), payment_id, booking_id, 'requested', amount_minor, currency, kind, reason, seats, now()"
               "   FROM refunds WHERE booking_id = %s", [booking])
    refund_settled(buyer, db, show, booking, "succeeded")
    assert refund_of(buyer, show, booking) == {"status": "succeeded", "amount": eur(8700)}
    assert [i["amount_refunded"] for i in gateway.intents(booking)] == [8700]


def test_a_refused_refund_that_a_person_settled(office, admin, gateway, db):
    """Given back in another way, as a person says: the buyer is not told any more that it is owed."""
    show = admin.make_show(cancellation=CANCELLATION)
    buyer, booking = booked(office, show)
    gateway.fault("refund", "decline")
    done = buyer.cancel(show.show_id, booking).expect(200)
    assert "still owed" in done["detail"]
    [finding] = db.execute("SELECT finding_id FROM payment_findings WHERE booking_id = %s", [booking]).fetchone()
    office.run_admin("payments", "settle", str(finding), "--how", "paid in cash", "--by", "Grace")
    settled = buyer.get(path_of(show, booking)).expect(200)
    assert settled["refund"] == done["refund"] and "settled it in another way" in settled["detail"]
    assert "owed" not in settled["detail"] and "cash" not in settled["detail"]


def test_refund_that_fails_later(office, admin, gateway, db):
    """Pending for a while, then the card's bank does not take it."""
    show = admin.make_show()
    buyer, booking = booked(office, show, card="pm_card_pendingRefundFails")
    made = admin.post(path_of(show, booking) + "/refunds", {"amount": eur(1000), "reason": "x"}).expect(201)
    assert made["status"] == "pending"
    done = buyer.get(path_of(show, booking)).expect(200)
    assert done["refund"] == {"status": "pending", "amount": eur(1000)} and "under way" in done["detail"]
    gateway.advance(60)
    refund_settled(buyer, db, show, booking, "failed")
    done = buyer.get(path_of(show, booking)).expect(200)
    assert done["status"] == "confirmed" and done["refund"]["status"] == "failed" and "still owed" in done["detail"]
    # what failed is not gone from what the payment has left
    assert admin.post(path_of(show, booking) + "/refunds", {"amount": eur(9001), "reason": "x"}).expect(422)["limit"] == 9000


# ---- goodwill ----


def test_goodwill_limits(office, admin, gateway, db):
    show = admin.make_show(cancellation=CANCELLATION)
    buyer, booking = booked(office, show)
    path = path_of(show, booking) + "/refunds"

    def refused(status, code, where, **body):
        problem = admin.post(path, {"amount": eur(100), "reason": "x", **body}).expect(status, code)
        assert problem["path"] == where, problem
        return problem

    assert "from 1 to" in refused(422, "invalid_value", "/amount/amount", amount=eur(0))["detail"]
    refused(422, "invalid_value", "/amount/amount", amount=eur(-1))
    refused(422, "invalid_value", "/amount/amount", amount=eur(2**62))
    over_it = refused(422, "invalid_value", "/amount", amount=eur(9001))
    assert over_it["limit"] == 9000 and "90.00 EUR" in over_it["detail"]
    refused(422, "invalid_value", "/amount/currency", amount={"amount": 100, "currency": "USD"})
    refused(422, "invalid_value", "/amount/currency", amount={"amount": 100, "currency": "XXX"})
    refused(400, "invalid_request", "/amount/amount", amount=eur(1.5))
    refused(400, "invalid_request", "/amount/amount", amount=eur("100"))
    refused(400, "invalid_request", "/amount", amount=None)
    refused(400, "invalid_request", "/reason", reason=None)
    refused(422, "invalid_value", "/reason", reason="x" * 201)
    refused(400, "invalid_request", "/payment", payment="x")
    assert [i["amount_refunded"] for i in gateway.intents(booking)] == [0]
    # less than the least that may be charged may be given back; then the rest, and not a cent more
    assert admin.post(path, {"amount": eur(1), "reason": "x"}).expect(201)["status"] == "succeeded"
    assert refused(422, "invalid_value", "/amount", amount=eur(9000))["limit"] == 8999
    admin.post(path, {"amount": eur(8999), "reason": "x"}).expect(201)
    assert "all of it was given back" in refused(422, "invalid_value", "/amount", amount=eur(1))["detail"]
    # and a cancellation has nothing left to give
    done = buyer.cancel(show.show_id, booking).expect(200)
    assert done["status"] == "cancelled" and done["refund"]["amount"] == eur(9000)
    assert [i["amount_refunded"] for i in gateway.intents(booking)] == [9000]


def test_goodwill_where_nothing_was_paid(office, admin):
    free = admin.make_show(prices={"Standard": 0})
    _, booking = booked(office, free)
    body = {"amount": eur(100), "reason": "x"}
    assert "Nothing was paid" in admin.post(path_of(free, booking) + "/refunds", body).expect(422, "invalid_value")["detail"]
    show = admin.make_show()
    buyer, lock = locked(office, show)
    booking = secure(office, show, buyer, lock).expect(201)["booking_id"]
    assert "Nothing was paid" in admin.post(path_of(show, booking) + "/refunds", body).expect(422, "invalid_value")["detail"]
    admin.post(path_of(show, show.show_id) + "/refunds", body).expect(404, "not_found")


def test_goodwill_with_one_key_at_once(office, admin, gateway, db):
    """All that the payment has: the second request is the same refund, not one too much."""
    show = admin.make_show()
    _, booking = booked(office, show)
    path = path_of(show, booking) + "/refunds"
    with held_up(db, office, "SELECT 1 FROM payments WHERE booking_id = %s FOR UPDATE", [booking], 3):
        answers = at_once(*[lambda c=office.admin(): c.post(path, {"amount": eur(9000), "reason": "x"}, key="k") for _ in range(3)])
    assert len({answer.expect(201)["refund_id"] for answer in answers}) == 1
    refunds = db.execute("SELECT amount_minor FROM refunds WHERE booking_id = %s", [booking]).fetchall()
    assert refunds == [(9000,)]
    wait_until(lambda: [i["amount_refunded"] for i in gateway.intents(booking)] == [9000], "the refund made")
