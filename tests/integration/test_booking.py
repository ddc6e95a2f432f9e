"""Booking and payment against the real program, its database and the payment simulator."""

import threading
import uuid

import pytest

from paying import DECLINED, attempts, bank, eur, locked, secure
from paying import CANCELLATION, NO_CANCELLATION, SECURE, Gateway  # noqa: F401 (other tests know them from here)
from paying import admin, db, gateway, office, sound  # noqa: F401 (fixtures)
from service import wait_until


def test_success(office, admin, gateway, db):
    show = admin.make_show()
    buyer, lock = locked(office, show)
    booking = buyer.book(show.show_id, lock).expect(201)
    assert booking["status"] == "confirmed" and booking["payment"] == {"status": "captured"}
    assert booking["total"] == eur(9000)
    assert [seat["guid"] for seat in booking["seats"]] == show.seats[:2]
    assert sorted(ticket["seat"] for ticket in booking["tickets"]) == show.seats[:2]
    assert buyer.taken(show.show_id) == dict.fromkeys(show.seats[:2], "booked")
    [intent] = gateway.intents(booking["booking_id"])
    assert (intent["status"], intent["amount_captured"], intent["currency"]) == ("succeeded", 9000, "eur")
    # who may see it
    path = f"/v1/shows/{show.show_id}/bookings/{booking['booking_id']}"
    assert buyer.get(path).expect(200) == booking
    assert office.api(booking["access_token"]).get(path).expect(200) == booking
    assert "buyer" not in admin.get(path).expect(200)
    office.session().get(path).expect(404)
    office.api().get(path).expect(401)
    assert buyer.get("/v1/me/bookings").expect(200)["items"] == [booking]
    assert buyer.lock_state(show.show_id, lock).expect(200)["state"] == "booked"
    buyer.book(show.show_id, lock).expect(409, "lock_already_used")
    # nothing about a person outside of buyers
    for table in ("bookings", "payments", "payment_calls", "payment_events", "outbox"):
        [[n]] = db.execute(f"SELECT count(*) FROM {table} t WHERE t::text ~* 'ada@example|lovelace'").fetchall()
        assert n == 0, table


def test_declined_then_another_card(office, admin, db):
    show = admin.make_show()
    buyer, lock = locked(office, show)
    no = buyer.book(show.show_id, lock, DECLINED, key="first").expect(402, "payment_declined")
    assert no["decline_code"] == "generic_decline" and 290 < no["expires_in"] <= 300
    assert buyer.lock_state(show.show_id, lock).expect(200)["state"] == "active"
    pending = office.api(no["access_token"]).get(f"/v1/shows/{show.show_id}/bookings/{no['booking_id']}").expect(200)
    assert pending["status"] == "payment_pending" and pending["payment"] == {"status": "declined", "decline_code": "generic_decline"}
    yes = buyer.book(show.show_id, lock, key="second").expect(201)
    assert yes["booking_id"] == no["booking_id"] and yes["status"] == "confirmed"
    assert attempts(db, yes["booking_id"]) == ["failed", "captured"]
    # each key remembers what it got
    again = buyer.book(show.show_id, lock, DECLINED, key="first").expect(402, "payment_declined")
    assert again["booking_id"] == no["booking_id"] and again["expires_in"] == 0
    assert buyer.book(show.show_id, lock, key="second").expect(201) == yes
    assert attempts(db, yes["booking_id"]) == ["failed", "captured"]


@pytest.mark.parametrize("ask", [True, False], ids=["asked", "settled"])
def test_three_d_secure(office, admin, gateway, db, ask):
    show = admin.make_show()
    buyer, lock = locked(office, show)
    booking = secure(office, show, buyer, lock, return_url=office.url + "/done").expect(201)
    assert booking["status"] == "payment_pending" and 0 < booking["expires_in"] <= 300 and booking["tickets"] == []
    assert booking["payment"]["status"] == "requires_action"
    buyer.book(show.show_id, lock).expect(409, "payment_in_progress")
    buyer.release(show.show_id, lock).expect(409, "payment_in_progress")
    status, to = bank(booking["payment"]["next_action"]["redirect_to_url"]["url"], "authorise")
    assert status == 303 and to.startswith(office.url + "/done")
    path = f"/v1/shows/{show.show_id}/bookings/{booking['booking_id']}"
    if ask:
        wait_until(lambda: buyer.get(path).expect(200)["status"] == "confirmed", "the booking confirmed", 5)
    else:
        wait_until(lambda: attempts(db, booking["booking_id"]) == ["captured"], "the payment settled by itself", 20)
    done = buyer.get(path).expect(200)
    assert done["payment"]["status"] == "captured" and len(done["tickets"]) == 2
    assert buyer.taken(show.show_id) == dict.fromkeys(show.seats[:2], "booked")


def test_three_d_secure_failed(office, admin, db):
    show = admin.make_show()
    buyer, lock = locked(office, show)
    booking = secure(office, show, buyer, lock).expect(201)
    bank(booking["payment"]["next_action"]["redirect_to_url"]["url"], "fail")
    path = f"/v1/shows/{show.show_id}/bookings/{booking['booking_id']}"
    wait_until(lambda: buyer.get(path).expect(200)["payment"]["status"] == "declined", "the decline seen", 5)
    assert buyer.lock_state(show.show_id, lock).expect(200)["state"] == "active"
    assert buyer.book(show.show_id, lock).expect(201)["booking_id"] == booking["booking_id"]
    assert attempts(db, booking["booking_id"]) == ["failed", "captured"]


def test_three_d_secure_too_late(office, admin, gateway, db):
    show = admin.make_show()
    buyer, lock = locked(office, show)
    booking = secure(office, show, buyer, lock).expect(201)
    db.execute("UPDATE payments SET action_until = now(), settle_at = now() WHERE booking_id = %s", [booking["booking_id"]])
    wait_until(lambda: attempts(db, booking["booking_id"]) == ["abandoned"], "the attempt abandoned")
    wait_until(lambda: buyer.taken(show.show_id) == {}, "the seats free")
    [intent] = wait_until(lambda: [i for i in gateway.intents(booking["booking_id"]) if i["status"] == "canceled"], "the intent cancelled")
    assert intent["amount_captured"] == 0
    done = buyer.get(f"/v1/shows/{show.show_id}/bookings/{booking['booking_id']}").expect(200)
    assert (done["status"], done["reason"]) == ("failed", "time_over")
    buyer.book(show.show_id, lock).expect(409, "lock_expired")


def test_return_url(office, admin):
    show = admin.make_show()
    buyer, lock = locked(office, show)
    for url in ("https://evil.example/", office.url + ".evil.example/", "javascript:alert(1)"):
        answer = secure(office, show, buyer, lock, return_url=url)
        assert answer.expect(422, "invalid_value")["path"] == "/payment/return_url"
    # the request does not say which addresses are ours
    answer = buyer.post(f"/v1/shows/{show.show_id}/bookings", {
        "lock_id": lock, "buyer": {"name": "Ada", "email": "ada@example.org"},
        "payment": {"method": SECURE, "return_url": "http://evil.example/"}}, headers={"Host": "evil.example"})
    assert answer.expect(422, "invalid_value")["path"] == "/payment/return_url"
    assert buyer.lock_state(show.show_id, lock).expect(200)["state"] == "active"


def test_locks_that_cannot_be_paid(office, admin, db):
    show = admin.make_show()
    buyer, lock = locked(office, show)
    office.session().book(show.show_id, lock).expect(404, "not_found")
    buyer.book(show.show_id, str(uuid.uuid4())).expect(404, "not_found")
    office.api().book(show.show_id, lock).expect(401)
    no = buyer.post(f"/v1/shows/{show.show_id}/bookings", {"lock_id": lock, "buyer": {"name": "A", "email": "a@b.example"}})
    assert no.expect(400, "invalid_request")["path"] == "/payment"
    # in one statement: the sweeper must not come between the two
    db.execute("WITH l AS (UPDATE seat_locks SET expires_at = now() - interval '1 ms' WHERE lock_id = %(lock)s)"
               " UPDATE show_seats SET expires_at = now() - interval '1 ms' WHERE lock_id = %(lock)s", {"lock": lock})
    buyer.book(show.show_id, lock).expect(409, "lock_expired")
    buyer, lock = locked(office, show, start=4)
    buyer.release(show.show_id, lock).expect(204)
    buyer.book(show.show_id, lock).expect(409, "lock_expired")


def test_declined_booking_ends_with_its_lock(office, admin, db):
    show = admin.make_show()
    buyer, lock = locked(office, show)
    booking = buyer.book(show.show_id, lock, DECLINED).expect(402)["booking_id"]
    buyer.release(show.show_id, lock).expect(204)
    path = f"/v1/shows/{show.show_id}/bookings/{booking}"
    wait_until(lambda: buyer.get(path).expect(200)["status"] == "failed", "the booking failed")
    buyer.book(show.show_id, lock).expect(409, "lock_expired")


@pytest.mark.parametrize("price", [4500, 0], ids=["paid", "free"])
def test_double_booking_forced_by_hand(office, admin, gateway, db, price):
    show = admin.make_show(prices={"Standard": price})
    other, theirs = locked(office, show, 1, 4)
    owner = other.book(show.show_id, theirs).expect(201)["booking_id"]
    buyer, lock = locked(office, show)
    # somebody writes what no code of ours writes: seat 0 belongs to the other booking too
    db.execute("INSERT INTO booking_seats (show_id, booking_id, seat_no, price_minor) VALUES (%s, %s, 0, %s)", [show.show_id, owner, price])
    buyer.book(show.show_id, lock, key="k").expect(409, "seat_already_booked")
    buyer.book(show.show_id, lock, key="k").expect(409)
    rows = db.execute("SELECT booking_id FROM booking_seats WHERE show_id = %s AND seat_no = 0 AND released_at IS NULL", [show.show_id]).fetchall()
    assert rows == [(uuid.UUID(owner),)]
    # the seat is its owner's, the other one is on sale again, nothing was charged
    wait_until(lambda: buyer.taken(show.show_id) == {show.seats[0]: "booked", show.seats[4]: "booked"}, "the seats as they are owned")
    assert buyer.lock_state(show.show_id, lock).expect(200)["state"] == "abandoned"
    refused = [line for line in office.api().get("/metrics").body.decode().splitlines()
               if line.startswith("boxoffice_double_bookings_refused_total")]
    assert refused and float(refused[0].split()[-1]) >= 1
    if price:
        [[booking]] = db.execute("SELECT booking_id::text FROM payments WHERE lock_id = %s", [lock]).fetchall()
        assert attempts(db, booking) == ["voided"]
        wait_until(lambda: [i["status"] for i in gateway.intents(booking)] == ["canceled"], "the intent cancelled")
    # the hand is taken away again: invariants are checked after each test
    db.execute("DELETE FROM booking_seats WHERE show_id = %s AND seat_no = 0", [show.show_id])
    db.execute("UPDATE show_seats SET state = 0, lock_id = '00000000-0000-0000-0000-000000000000', expires_at = '-infinity',"
               " fence = fence + 1 WHERE show_id = %s AND seat_no = 0", [show.show_id])
    wait_until(lambda: show.seats[0] not in buyer.taken(show.show_id), "the auditor's repair", 15)


def test_free_of_charge(office, admin, gateway, db):
    show = admin.make_show(prices={"Standard": 0})
    buyer, lock = locked(office, show)
    body = {"lock_id": lock, "buyer": {"name": "Ada", "email": "ada@example.org"}}
    booking = buyer.post(f"/v1/shows/{show.show_id}/bookings", body, key="k").expect(201)
    assert booking["status"] == "confirmed" and booking["payment"] == {"status": "not_required"}
    assert len(booking["tickets"]) == 2 and booking["total"] == eur(0)
    assert buyer.post(f"/v1/shows/{show.show_id}/bookings", body, key="k").expect(201) == booking
    body["buyer"]["name"] = "Eve"
    buyer.post(f"/v1/shows/{show.show_id}/bookings", body, key="k").expect(422, "idempotency_mismatch")
    assert gateway.intents(booking["booking_id"]) == [] and attempts(db, booking["booking_id"]) == []
    assert buyer.taken(show.show_id) == dict.fromkeys(show.seats[:2], "booked")


def test_same_key_again(office, admin, gateway, db):
    show = admin.make_show()
    buyer, lock = locked(office, show)
    booking = buyer.book(show.show_id, lock, key="k").expect(201)
    assert buyer.book(show.show_id, lock, key="k").expect(201) == booking
    buyer.book(show.show_id, lock, DECLINED, key="k").expect(422, "idempotency_mismatch")
    assert len(gateway.intents(booking["booking_id"])) == 1


def test_same_key_at_once(office, admin, gateway, db):
    show = admin.make_show()
    buyer, lock = locked(office, show)
    answers = []

    def post():
        one = office.api(buyer.token)
        answers.append(one.book(show.show_id, lock, key="k"))
        one.close()

    threads = [threading.Thread(target=post) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    got = {(answer.status, answer.code) for answer in answers}
    assert got == {(201, None)}, got
    [booking] = {answer.json()["booking_id"] for answer in answers if answer.status == 201}
    assert buyer.book(show.show_id, lock, key="k").expect(201)["booking_id"] == booking
    [intent] = gateway.intents(booking)
    assert intent["amount_captured"] == 9000 and attempts(db, booking) == ["captured"]


@pytest.mark.parametrize("mode", ["drop_before", "500_before", "drop_after", "500_after"])
def test_gateway_fails_before_the_confirmation(office, admin, gateway, db, mode):
    """Whether the intent was made or not, nobody confirmed it: the lock is its owner's again, the same key a new attempt."""
    show = admin.make_show()
    buyer, lock = locked(office, show)
    gateway.fault("create", mode)
    buyer.book(show.show_id, lock, key="k").expect(503, "payment_unavailable")
    gateway.clear()
    assert buyer.lock_state(show.show_id, lock).expect(200)["state"] == "active"
    booking = buyer.book(show.show_id, lock, key="k").expect(201)
    assert booking["status"] == "confirmed" and attempts(db, booking["booking_id"]) == ["failed", "captured"]
    assert sum(intent["amount_captured"] for intent in gateway.intents(booking["booking_id"])) == 9000


@pytest.mark.parametrize("mode", ["drop_before", "500_before", "hang"])
def test_confirmation_that_did_not_happen(office, admin, gateway, db, mode):
    show = admin.make_show()
    buyer, lock = locked(office, show)
    gateway.fault("confirm", mode)
    buyer.book(show.show_id, lock, key="k").expect(503, "payment_unavailable")
    gateway.clear()
    assert buyer.lock_state(show.show_id, lock).expect(200)["state"] == "active"
    booking = buyer.book(show.show_id, lock, key="k").expect(201)["booking_id"]
    assert attempts(db, booking) == ["failed", "captured"]
    assert sorted(intent["status"] for intent in gateway.intents(booking)) == ["canceled", "succeeded"]


@pytest.mark.parametrize("mode", ["drop_after", "500_after", "hang_after"])
def test_confirmation_whose_answer_is_lost(office, admin, gateway, db, mode):
    show = admin.make_show()
    buyer, lock = locked(office, show)
    gateway.fault("confirm", mode)
    booking = buyer.book(show.show_id, lock).expect(201)
    assert booking["status"] == "confirmed" and attempts(db, booking["booking_id"]) == ["captured"]
    [intent] = gateway.intents(booking["booking_id"])
    assert intent["amount_captured"] == 9000


def test_unknown_and_settled(office, admin, gateway, db):
    """The confirmation happened, its answer and the question after it are lost: asked again with the same key, or settled."""
    show = admin.make_show()
    buyer, lock = locked(office, show)
    gateway.fault("confirm", "drop_after")
    gateway.fault("retrieve", "drop_before")
    buyer.book(show.show_id, lock, key="k").expect(503, "outcome_unknown")
    assert buyer.taken(show.show_id) == dict.fromkeys(show.seats[:2], "locked")
    assert buyer.lock_state(show.show_id, lock).expect(200)["state"] == "paying"
    [[booking]] = db.execute("SELECT booking_id::text FROM payments WHERE lock_id = %s", [lock]).fetchall()
    wait_until(lambda: attempts(db, booking) == ["captured"], "the payment settled", 30)
    done = buyer.book(show.show_id, lock, key="k").expect(201)
    assert done["booking_id"] == booking and done["status"] == "confirmed"
    [intent] = gateway.intents(booking)
    assert intent["amount_captured"] == 9000


def test_overtaken_while_it_waits(office, admin, gateway, db):
    """The settling duty books while the request still waits for its confirmation: it finds nothing to do, and no fault either."""
    show = admin.make_show()
    buyer, lock = locked(office, show)
    gateway.fault("confirm", "hang_after")
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(buyer.book(show.show_id, lock)))
    waiting.start()
    wait_until(lambda: db.execute("SELECT 1 FROM payments p JOIN payment_calls c USING (payment_id) WHERE lock_id = %s AND step = 'confirm'",
                                  [lock]).fetchall(), "the confirmation on its way")
    db.execute("UPDATE payments SET settle_at = now() WHERE lock_id = %s", [lock])
    waiting.join()
    booking = answers[0].expect(201)
    assert booking["status"] == "confirmed"
    wait_until(lambda: attempts(db, booking["booking_id"]) == ["captured"], "the payment settled", 5)
    assert [intent["amount_captured"] for intent in gateway.intents(booking["booking_id"])] == [9000]
    assert "statement failed" not in (office.dir / "log" / "serve.log").read_text()


@pytest.mark.parametrize("mode", ["drop_before", "500_before", "drop_after", "500_after"])
def test_capture_unknown(office, admin, gateway, db, mode):
    show = admin.make_show()
    buyer, lock = locked(office, show)
    gateway.fault("capture", mode)
    booking = buyer.book(show.show_id, lock).expect(201)
    assert booking["status"] == "confirmed" and booking["payment"] == {"status": "capture_pending"}
    assert len(booking["tickets"]) == 2
    wait_until(lambda: attempts(db, booking["booking_id"]) == ["captured"], "the capture proven", 20)
    [intent] = gateway.intents(booking["booking_id"])
    assert intent["amount_captured"] == 9000


def test_capture_refused(office, admin, gateway, db):
    show = admin.make_show()
    buyer, lock = locked(office, show)
    no = buyer.book(show.show_id, lock, "pm_card_captureFails", key="k").expect(402, "payment_declined")
    assert no["expires_in"] == 0
    booking = buyer.get(f"/v1/shows/{show.show_id}/bookings/{no['booking_id']}").expect(200)
    assert (booking["status"], booking["reason"]) == ("cancelled", "payment_lost")
    assert {ticket["status"] for ticket in booking["tickets"]} == {"revoked"}
    wait_until(lambda: buyer.taken(show.show_id) == {}, "the seats free")
    wait_until(lambda: [i["status"] for i in gateway.intents(no["booking_id"])] == ["canceled"], "the hold given back")
    assert attempts(db, no["booking_id"]) == ["capture_failed"]
    buyer.book(show.show_id, lock, "pm_card_captureFails", key="k").expect(402, "payment_declined")
    other, lock = locked(office, show)
    other.book(show.show_id, lock).expect(201)


def test_a_locale_is_a_language_tag(office, admin, db):
    show = admin.make_show(prices={"Free": 0})
    buyer, lock = locked(office, show, 1)
    path = f"/v1/shows/{show.show_id}/bookings"
    body = {"lock_id": lock, "buyer": {"name": "Ada", "email": "ada@example.org"}}
    for wrong in ("de_AT", "german!", "de-", "*", "d1", "en-GB;q=0.8", "x" * 36):
        body["buyer"]["locale"] = wrong
        assert buyer.post(path, body).expect(422, "invalid_value")["path"] == "/buyer/locale", wrong
    body["buyer"]["locale"] = "zh-Hant-TW"
    booking = buyer.post(path, body).expect(201)["booking_id"]
    kept = db.execute("SELECT y.locale FROM bookings b JOIN buyers y USING (buyer_id) WHERE booking_id = %s", [booking]).fetchone()
    assert kept == ("zh-Hant-TW",)
    to = {"name": "Bob", "email": "bob@example.org", "locale": "fr FR"}
    assert buyer.post(f"{path}/{booking}/transfer", {"to": to}).expect(422, "invalid_value")["path"] == "/to/locale"


def test_limit_per_payer(office, admin):
    event = admin.make_event(max_per_payer=3)["event_id"]
    show = admin.make_show(event_id=event)
    buyer, lock = locked(office, show)
    buyer.book(show.show_id, lock, email="Eve@example.org").expect(201)
    other, lock = locked(office, show, 2, 4)
    assert other.book(show.show_id, lock, email="eve@EXAMPLE.org").expect(409, "lock_limit")["limit"] == 3
    other.book(show.show_id, lock, "pm_card_mastercard", email="somebody@example.org").expect(201)  # by card: test_gateway.py


def test_payments_config(office):
    config = office.api().get("/v1/payments/config").expect(200)
    assert config["enabled"] and config["url"] == office.payment_url
