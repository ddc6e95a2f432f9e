"""A buyer whose payment does not go well: what each answer says, and what can be done next. The three failures of the source
document: the lock's time is over, the payment fails, a seat is another's already."""

import pytest

from paying import DECLINED, Stolen, age, attempts, bank, eur, locked, over, path_of, secure
from paying import admin, db, gateway, office, sound  # noqa: F401 (fixtures)
from service import wait_until


def seen(buyer, show, booking_id):
    """What GET says of a booking: status, the payment's, and the words."""
    body = buyer.get(path_of(show, booking_id)).expect(200)
    return body["status"], body["payment"]["status"], body.get("detail", "")


# ---- the card is declined ----


@pytest.mark.parametrize(("card", "code", "words"), [
    ("pm_card_chargeDeclined", "generic_decline", "does not say why"),
    ("pm_card_chargeDeclinedInsufficientFunds", "insufficient_funds", "not enough money"),
    ("pm_card_chargeDeclinedExpiredCard", "expired_card", "expired"),
    ("pm_card_chargeDeclinedStolenCard", "generic_decline", "does not say why"),  # a thief is not told
    ("pm_card_noSuchThing", "resource_missing", "cannot be used"),
])
def test_declined(office, admin, db, card, code, words):
    show = admin.make_show()
    buyer, lock = locked(office, show)
    no = buyer.book(show.show_id, lock, card).expect(402, "payment_declined")
    assert no["decline_code"] == code and 290 < no["expires_in"] <= 300
    assert words in no["detail"] and "still yours" in no["detail"]
    pending = buyer.get(path_of(show, no["booking_id"])).expect(200)
    assert pending["status"] == "payment_pending" and pending["payment"] == {"status": "declined", "decline_code": code}
    assert pending["detail"] == no["detail"] and 290 < pending["expires_in"] <= 300
    assert buyer.get("/v1/me/bookings").expect(200)["items"][0]["detail"] == no["detail"]
    # by the link in the answer too, without the session
    assert office.api(no["access_token"]).get(path_of(show, no["booking_id"])).expect(200)["detail"] == no["detail"]
    yes = buyer.book(show.show_id, lock).expect(201)
    assert yes["status"] == "confirmed" and "detail" not in yes and "expires_in" not in yes
    # or it is left, and the time for it is over
    buyer, lock = locked(office, show, 2, 2)
    no = buyer.book(show.show_id, lock, card).expect(402)
    age(db, lock, 300)
    wait_until(lambda: seen(buyer, show, no["booking_id"])[0] == "failed", "the booking failed")
    body = buyer.get(path_of(show, no["booking_id"])).expect(200)
    assert body["reason"] == "lock_ended" and "no longer held" in body["detail"]


# ---- the gateway is away ----


@pytest.mark.parametrize(("match", "mode"), [("any", "drop_before"), ("any", "500_before"), ("any", "429"), ("create", "hang")])
def test_the_gateway_is_away(office, admin, gateway, db, match, mode):
    """503 with Retry-After; the lock is still mine, its clock the same; the same key is a new attempt once the gateway is back."""
    show = admin.make_show()
    buyer, lock = locked(office, show)
    before = buyer.lock_state(show.show_id, lock).expect(200)
    gateway.broken(match, mode)
    answer = buyer.book(show.show_id, lock, key="k")
    assert "Nothing was charged" in answer.expect(503, "payment_unavailable")["detail"]
    assert int(answer.headers["Retry-After"]) >= 1
    after = buyer.lock_state(show.show_id, lock).expect(200)
    assert after["state"] == "active" and after["expires_at"] == before["expires_at"]
    [[booking]] = db.execute("SELECT booking_id::text FROM bookings WHERE lock_id = %s", [lock]).fetchall()
    status, payment, words = seen(buyer, show, booking)
    assert (status, payment) == ("payment_pending", "failed") and "Pay again with the same lock" in words
    gateway.clear()
    done = buyer.book(show.show_id, lock, key="k").expect(201)
    assert done["booking_id"] == booking and done["status"] == "confirmed"
    assert attempts(db, booking) == ["failed", "captured"]
    assert sum(i["amount_captured"] for i in gateway.intents(booking)) == 9000


def test_the_gateway_is_away_and_the_buyer_goes(office, admin, gateway, db):
    show = admin.make_show()
    buyer, lock = locked(office, show)
    gateway.broken("create", "drop_before")
    buyer.book(show.show_id, lock).expect(503, "payment_unavailable")
    [[booking]] = db.execute("SELECT booking_id::text FROM bookings WHERE lock_id = %s", [lock]).fetchall()
    buyer.release(show.show_id, lock).expect(204)
    wait_until(lambda: seen(buyer, show, booking)[0] == "failed", "the booking failed")
    status, payment, words = seen(buyer, show, booking)
    assert payment == "failed" and "the time to pay is over. Nothing was charged" in words
    assert buyer.taken(show.show_id) == {}


def test_it_is_paid_but_not_said_yet(office, admin, gateway, db):
    show = admin.make_show()
    buyer, lock = locked(office, show)
    gateway.broken("capture", "drop_before")
    booking = buyer.book(show.show_id, lock).expect(201)
    assert (booking["status"], booking["payment"]) == ("confirmed", {"status": "capture_pending"})
    assert "nothing left to do" in booking["detail"] and len(booking["tickets"]) == 2
    gateway.clear()
    db.execute("UPDATE payments SET settle_at = now() WHERE booking_id = %s", [booking["booking_id"]])
    wait_until(lambda: seen(buyer, show, booking["booking_id"]) == ("confirmed", "captured", ""), "the capture proven")


# ---- the bank's page is left ----


def test_3ds_is_left(office, admin, gateway, db):
    """At each point: the booking, the lock, paying again, releasing. Then the seats are on sale, and the booking says why."""
    show = admin.make_show()
    buyer, lock = locked(office, show)
    first = secure(office, show, buyer, lock).expect(201)
    booking, path = first["booking_id"], path_of(show, first["booking_id"])

    def waits():
        body = buyer.get(path).expect(200)
        assert (body["status"], body["payment"]["status"]) == ("payment_pending", "requires_action")
        assert body["payment"]["next_action"] == first["payment"]["next_action"]
        assert "go on at the address" in body["detail"]
        assert buyer.lock_state(show.show_id, lock).expect(200)["state"] == "paying"
        assert buyer.book(show.show_id, lock).expect(409, "payment_in_progress")["booking_id"] == booking
        buyer.release(show.show_id, lock).expect(409, "payment_in_progress")
        buyer.cancel(show.show_id, booking).expect(409, "payment_in_progress")
        assert buyer.taken(show.show_id) == dict.fromkeys(show.seats[:2], "locked")
        return body

    body = waits()
    assert 0 < body["expires_in"] <= 300 and 600 < body["payment"]["expires_in"] <= 900
    age(db, lock, 400)  # the lock's own time is over, the bank's is not
    body = waits()
    assert body["expires_in"] == 0 and 0 < body["payment"]["expires_in"] <= 500
    age(db, lock, 500)
    over(db, booking)
    wait_until(lambda: seen(buyer, show, booking)[0] == "failed", "the booking failed")
    body = buyer.get(path).expect(200)
    assert (body["reason"], body["payment"]["status"]) == ("time_over", "abandoned")
    assert "the seats were released. Nothing is charged" in body["detail"]
    wait_until(lambda: buyer.taken(show.show_id) == {}, "the seats on sale")
    buyer.book(show.show_id, lock).expect(409, "lock_expired")
    buyer.release(show.show_id, lock).expect(204)
    assert buyer.cancel(show.show_id, booking).expect(409, "cancellation_closed")["detail"] == "This booking was never confirmed."
    # allow retry: new seats, a new booking
    _, lock = locked(office, show, buyer=buyer)
    assert buyer.book(show.show_id, lock).expect(201)["booking_id"] != booking


def test_3ds_with_the_same_key_again(office, admin):
    """The page was closed and the shop asks again: the same booking with the same address of the bank."""
    show = admin.make_show()
    buyer, lock = locked(office, show)
    body = {"lock_id": lock, "buyer": {"name": "Ada", "email": "ada@example.org"}, "payment": {"method": "pm_card_threeDSecureRequired"}}
    first = buyer.post(f"/v1/shows/{show.show_id}/bookings", body, key="k").expect(201)
    again = buyer.post(f"/v1/shows/{show.show_id}/bookings", body, key="k").expect(201)
    assert again["booking_id"] == first["booking_id"]
    assert again["payment"]["next_action"] == first["payment"]["next_action"]
    bank(first["payment"]["next_action"]["redirect_to_url"]["url"], "authorise")
    wait_until(lambda: seen(buyer, show, first["booking_id"])[0] == "confirmed", "the booking confirmed")
    assert buyer.post(f"/v1/shows/{show.show_id}/bookings", body, key="k").expect(201)["status"] == "confirmed"


# ---- a seat is another's ----


def test_a_seat_is_lost_while_it_is_paid(office, admin, gateway, db):
    show = admin.make_show()
    buyer, lock = locked(office, show)
    with Stolen(office, db, show):
        assert "Nothing was charged" in buyer.book(show.show_id, lock).expect(409, "seat_already_booked")["detail"]
        [[booking]] = db.execute("SELECT booking_id::text FROM bookings WHERE lock_id = %s", [lock]).fetchall()
        body = buyer.get(path_of(show, booking)).expect(200)
        assert (body["status"], body["reason"], body["payment"]["status"]) == ("failed", "seats_lost", "voided")
        assert "already belonged to another" in body["detail"] and "Nothing is charged" in body["detail"]
        wait_until(lambda: [(i["status"], i["amount_captured"]) for i in gateway.intents(booking)] == [("canceled", 0)], "the hold given back")
    wait_until(lambda: show.seats[0] not in buyer.taken(show.show_id), "the auditor's repair", 15)


def test_the_bank_pays_and_then_does_not(office, admin, gateway, db):
    show = admin.make_show()
    buyer, lock = locked(office, show)
    no = buyer.book(show.show_id, lock, "pm_card_captureFails").expect(402, "payment_declined")
    assert no["expires_in"] == 0 and "no longer held" in no["detail"]
    body = buyer.get(path_of(show, no["booking_id"])).expect(200)
    assert (body["status"], body["reason"], body["payment"]["status"]) == ("cancelled", "payment_lost", "capture_failed")
    assert body["refund"] == {"status": "none", "amount": eur(0)} and "you owe nothing" in body["detail"]
    buyer.book(show.show_id, lock, DECLINED).expect(409, "lock_already_used")
