"""Idempotency-Key on bookings and refunds: one key is one request, however often and at once it is sent, and its answer is
always the same; the same key with anything else in the body is refused. The gateway's ledger says that money moved once."""

import asyncio
import json
import urllib.request

import load
import pytest

DECLINED = "pm_card_chargeDeclined"
TIMES = 1000
EUR = {"currency": "EUR"}


def ledger(boxoffice, booking_id):
    key = (boxoffice.dir / "secret" / "payment.key").read_text().strip()
    request = urllib.request.Request(boxoffice.payment_url + "/_sim/ledger", headers={"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        books = json.loads(answer.read())
    intents = [i for i in books["payment_intents"] if i["metadata"].get("booking") == booking_id]
    ids = {i["id"] for i in intents}
    return intents, [r for r in books["refunds"] if r["payment_intent"] in ids]


def bodies(lock, method="pm_card_visa", name="Ada", email="ada@example.org"):
    return {"lock_id": lock, "buyer": {"name": name, "email": email}, "payment": {"method": method}}


def held(boxoffice, show, seats=2):
    buyer = boxoffice.session()
    return buyer, buyer.lock(show.show_id, show.seats[:seats]).expect(201)["lock_id"]


def at_once(boxoffice, token, path, asks, key, connections=250):
    """Sends all of asks, as many connections at a time; the answers in their order."""

    async def run():
        clients = [load.Client(boxoffice.url, token, timeout_s=60) for _ in range(min(connections, len(asks)))]
        answers = [None] * len(asks)

        async def some(first):
            for n in range(first, len(asks), len(clients)):
                answers[n] = await clients[first].request("POST", path, asks[n], key)
            clients[first].close()

        await load.gather([some(first) for first in range(len(clients))])
        return answers

    return asyncio.run(run())


def test_one_key_a_thousand_times_at_once(boxoffice, admin):
    show = admin.make_show()
    buyer, lock = held(boxoffice, show)
    answers = at_once(boxoffice, buyer.token, f"/v1/shows/{show.show_id}/bookings", [bodies(lock)] * TIMES, "the-key")
    first = answers[0].expect(201)
    assert first["status"] == "confirmed" and first["payment"] == {"status": "captured"}
    for answer in answers:
        assert answer.expect(201) == first
    [intent], refunds = ledger(boxoffice, first["booking_id"])
    assert (intent["amount_captured"], refunds) == (9000, [])
    assert [one["booking_id"] for one in buyer.get("/v1/me/bookings").expect(200)["items"]] == [first["booking_id"]]
    assert buyer.taken(show.show_id) == dict.fromkeys(show.seats[:2], "booked")


def test_one_key_a_thousand_times_at_once_and_declined(boxoffice, admin):
    """Told a thousand times, asked of the gateway once: the lock's clock runs on and another card may be tried."""
    show = admin.make_show()
    buyer, lock = held(boxoffice, show)
    answers = at_once(boxoffice, buyer.token, f"/v1/shows/{show.show_id}/bookings", [bodies(lock, DECLINED)] * TIMES, "the-key")
    told = set()
    for answer in answers:
        no = answer.expect(402, "payment_declined")
        told.add((no["booking_id"], no["decline_code"]))
    [(booking, code)] = told
    assert code == "generic_decline"
    intents, _ = ledger(boxoffice, booking)
    assert [intent["amount_captured"] for intent in intents] == [0]
    assert buyer.book(show.show_id, lock, key="another").expect(201)["booking_id"] == booking


def test_one_key_a_thousand_times_at_once_free_of_charge(boxoffice, admin):
    show = admin.make_show(prices={"Standard": 0})
    buyer, lock = held(boxoffice, show)
    ask = {"lock_id": lock, "buyer": {"name": "Ada", "email": "ada@example.org"}}
    answers = at_once(boxoffice, buyer.token, f"/v1/shows/{show.show_id}/bookings", [ask] * TIMES, "the-key")
    first = answers[0].expect(201)
    assert first["payment"] == {"status": "not_required"}
    for answer in answers:
        assert answer.expect(201) == first
    assert ledger(boxoffice, first["booking_id"]) == ([], [])


def test_two_bodies_at_once(boxoffice, admin):
    """One of them is the request; whoever sends the other one is told so and pays nothing."""
    show = admin.make_show()
    buyer, lock = held(boxoffice, show)
    asks = [bodies(lock, name=("Ada", "Eve")[n % 2]) for n in range(100)]
    answers = at_once(boxoffice, buyer.token, f"/v1/shows/{show.show_id}/bookings", asks, "the-key", 100)
    won = {n % 2 for n, answer in enumerate(answers) if answer.status == 201}
    assert len(won) == 1, answers
    booking = {answer.json()["booking_id"] for answer in answers if answer.status == 201}
    for n, answer in enumerate(answers):
        answer.expect(201) if n % 2 in won else answer.expect(422, "idempotency_mismatch")
    [intent], _ = ledger(boxoffice, *booking)
    assert intent["amount_captured"] == 9000


@pytest.mark.parametrize("price", [4500, 0])
def test_another_body_is_refused_and_another_spelling_is_not(boxoffice, admin, price):
    show = admin.make_show(prices={"Standard": price})
    buyer, lock = held(boxoffice, show)
    _, others_lock = held(boxoffice, admin.make_show())
    path = f"/v1/shows/{show.show_id}/bookings"
    body = bodies(lock)
    if not price:
        del body["payment"]
    booking = buyer.post(path, body, key="k").expect(201)
    others = [{**body, "lock_id": others_lock}, {**body, "buyer": {**body["buyer"], "name": "Eve"}},
              {**body, "buyer": {**body["buyer"], "email": "eve@example.org"}},
              {**body, "payment": {"method": "pm_card_mastercard"}}]
    for other in others:
        buyer.post(path, other, key="k").expect(422, "idempotency_mismatch")
    spelled = json.dumps(dict(reversed(list(body.items()))), indent=3).replace("Ada", "\\u0041da").encode()
    assert buyer.post(path, spelled, key="k").expect(201) == booking
    # the key is the buyer's own
    boxoffice.session().post(path, body, key="k").expect(404)
    intents, _ = ledger(boxoffice, booking["booking_id"])
    assert [intent["amount_captured"] for intent in intents] == ([9000] if price else [])


def test_a_decline_is_remembered_with_its_body(boxoffice, admin):
    show = admin.make_show()
    buyer, lock = held(boxoffice, show)
    buyer.book(show.show_id, lock, DECLINED, key="k").expect(402, "payment_declined")
    buyer.book(show.show_id, lock, key="k").expect(422, "idempotency_mismatch")
    booking = buyer.book(show.show_id, lock, key="l").expect(201)
    assert buyer.book(show.show_id, lock, DECLINED, key="k").expect(402)["booking_id"] == booking["booking_id"]


def test_one_key_a_thousand_times_at_once_for_a_refund(boxoffice, admin):
    """Goodwill: given once. Another amount with the same key is refused."""
    show = admin.make_show()
    buyer, lock = held(boxoffice, show)
    booking = buyer.book(show.show_id, lock).expect(201)["booking_id"]
    path = f"/v1/shows/{show.show_id}/bookings/{booking}/refunds"
    ask = {"amount": {"amount": 100, **EUR}, "reason": "Heating failed"}
    answers = at_once(boxoffice, boxoffice.admin_token, path, [ask] * TIMES, "the-key")
    assert {answer.status for answer in answers} == {201}, answers
    assert {answer.json()["refund_id"] for answer in answers} == {answers[0].json()["refund_id"]}
    _, refunds = ledger(boxoffice, booking)
    assert [refund["amount"] for refund in refunds] == [100]
    admin.post(path, {**ask, "amount": {"amount": 101, **EUR}}, key="the-key").expect(422, "idempotency_mismatch")


# ---- amounts that are none -------------------------------------------------------------------------------------------------

NO_AMOUNTS = [-1, -(2**63), 2**53, 2**63 - 1, 2**63, 2**64 + 100, 1.5, "100", True, None, [100], {"amount": 100}]
NO_NUMBERS = [b"1e999", b"-1e999", b"1e2", b"100.0", b"-0.5", b"99999999999999999999999999", b"NaN", b"0x64"]
NO_CURRENCIES = ["", "eur", "EURO", "XXX", "USD", None, 978]
REFUSED = (400, 422)


def money_texts():
    """Every spelling of an amount that must be refused, as JSON."""
    texts = [json.dumps({"amount": amount, **EUR}).encode() for amount in NO_AMOUNTS]
    texts += [b'{"amount": ' + number + b', "currency": "EUR"}' for number in NO_NUMBERS]
    texts += [json.dumps({"amount": 100, "currency": currency}).encode() for currency in NO_CURRENCIES]
    return [*texts, b'{"amount": 100}', b'{"currency": "EUR"}', b"{}", b"100", b'"1 EUR"', b"[]",
            b'{"amount": 100, "amount": 1, "currency": "EUR"}', b'{"amount": 100, "currency": "EUR", "tax": 1}']


def refused_all(api, method, path, template, texts):
    """Sends template with each of texts in place of MONEY; the answers, all refusals."""
    for text in texts:
        answer = api.request(method, path, template.replace(b'"MONEY"', text))
        assert answer.status in REFUSED, f"{text} was taken: {answer}"


@pytest.fixture(scope="module")
def plan_of(boxoffice):
    api = boxoffice.admin()
    return api.make_show()


def show_ask(show, prices="MONEY", fee=None):
    more = {"cancellation": {"until": "2099-01-01T00:00:00Z", "fee": fee}} if fee else {}
    return json.dumps({"plan_id": show.plan_id, "starts_at": "2090-01-01T20:00:00Z", "sale_starts_at": "2026-01-01T00:00:00Z",
                       "sale_ends_at": "2090-01-01T19:00:00Z", "prices": {"Standard": prices}, **more}).encode()


def test_no_prices(admin, plan_of):
    """Nothing is nothing: 0 is a price. Everything else that is no amount is refused, and so is a total that overflows."""
    path = f"/v1/events/{plan_of.event_id}/shows"
    refused_all(admin, "POST", path, show_ask(plan_of), [t for t in money_texts() if b'"USD"' not in t])
    admin.post(path, show_ask(plan_of, {"amount": 0, **EUR})).expect(201)


def test_no_fees(admin, plan_of):
    path = f"/v1/events/{plan_of.event_id}/shows"
    refused_all(admin, "POST", path, show_ask(plan_of, {"amount": 4500, **EUR}, "MONEY"), money_texts())


def test_no_refunds(boxoffice, admin):
    show = admin.make_show()
    buyer, lock = held(boxoffice, show)
    booking = buyer.book(show.show_id, lock).expect(201)["booking_id"]
    path = f"/v1/shows/{show.show_id}/bookings/{booking}/refunds"
    nothing_or_too_much = [json.dumps({"amount": amount, **EUR}).encode() for amount in (0, 9001, 2**31, 2**32 + 100)]
    refused_all(admin, "POST", path, b'{"reason": "x", "amount": "MONEY"}', money_texts() + nothing_or_too_much)
    [intent], refunds = ledger(boxoffice, booking)
    assert (intent["amount_captured"], intent["amount_refunded"], refunds) == (9000, 0, [])
    # bit by bit it is not more either
    for amount, status in [(8950, 201), (51, 422), (50, 201), (50, 422)]:
        admin.post(path, {"reason": "x", "amount": {"amount": amount, **EUR}}).expect(status)
    _, refunds = ledger(boxoffice, booking)
    assert sorted(refund["amount"] for refund in refunds) == [50, 8950]


def test_a_fee_above_the_price(boxoffice, admin):
    """All of it is kept and nothing is given back, never less than nothing."""
    show = admin.make_show(cancellation={"until": "2099-01-01T00:00:00Z", "fee": {"amount": 90000, **EUR}})
    buyer, lock = held(boxoffice, show)
    booking = buyer.book(show.show_id, lock).expect(201)["booking_id"]
    first = buyer.cancel(show.show_id, booking, [show.seats[0]]).expect(200)
    assert first["status"] == "confirmed"
    assert buyer.cancel(show.show_id, booking).expect(200)["status"] == "cancelled"
    [intent], refunds = ledger(boxoffice, booking)
    assert (intent["amount_captured"], intent["amount_refunded"], refunds) == (9000, 0, [])


def test_the_dearest_seats(boxoffice, admin):
    """The greatest price that is taken, as often as a lock has seats: the sum is right to the cent, here and at the gateway."""
    plan = admin.make_show()
    path = f"/v1/events/{plan.event_id}/shows"
    dearest = max(2**n for n in range(0, 63) if admin.post(path, show_ask(plan, {"amount": 2**n, **EUR})).status == 201)
    show = admin.make_show(prices={"Standard": dearest})
    buyer = boxoffice.session()
    lock = buyer.lock(show.show_id, show.seats[:10]).expect(201)
    assert lock["total"]["amount"] == 10 * dearest
    booking = buyer.book(show.show_id, lock["lock_id"]).expect(201)
    [intent], _ = ledger(boxoffice, booking["booking_id"])
    assert intent["amount_captured"] == 10 * dearest
