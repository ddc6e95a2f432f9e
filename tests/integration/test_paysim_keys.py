"""Idempotency-Key as the gateway has it."""
import concurrent.futures
import signal
import threading

import pytest
import stripe

from paysim import cards, make_sim, paid, sim, wait_for  # noqa: F401 (fixtures)


def test_replay(sim):
    first = sim.http("POST", "/v1/payment_intents", {"amount": 100, "currency": "eur", "metadata[a]": "1"}, {"Idempotency-Key": "k"})
    again = sim.http("POST", "/v1/payment_intents", {"metadata[a]": "1", "currency": "eur", "amount": 100}, {"Idempotency-Key": "k"})
    assert first[0] == again[0] == 200 and first[2] == again[2]
    assert again[1]["Idempotent-Replayed"] == "true" and again[1]["Original-Request"] == first[1]["Request-Id"]
    assert again[1]["Request-Id"] != first[1]["Request-Id"]
    status, _, answer = sim.http("POST", "/v1/payment_intents", {"amount": 101, "currency": "eur"}, {"Idempotency-Key": "k"})
    assert (status, answer["error"]["type"]) == (400, "idempotency_error")
    with pytest.raises(stripe.IdempotencyError):
        sim.refunds.create({"payment_intent": first[2]["id"]}, {"idempotency_key": "k"})
    assert len(sim.sim("GET", "ledger")["payment_intents"]) == 1
    status, _, answer = sim.http("POST", "/v1/payment_intents", {"amount": 100, "currency": "eur"}, {"Idempotency-Key": "k" * 256})
    assert (status, answer["error"]["type"]) == (400, "idempotency_error")


def test_what_is_kept(sim):
    """Parameters refused: not kept. A decision of the ledger: kept, even when it would be another one now."""
    key = {"idempotency_key": "v"}
    with pytest.raises(stripe.InvalidRequestError):
        sim.intents.create(cards(amount=1), key)
    pi = sim.intents.create(cards(), key)
    with pytest.raises(stripe.InvalidRequestError):
        sim.intents.capture(pi.id, {}, {"idempotency_key": "c"})
    with pytest.raises(stripe.CardError):
        sim.intents.confirm(pi.id, {"payment_method": "pm_card_chargeDeclined"}, {"idempotency_key": "d"})
    sim.intents.confirm(pi.id, {"payment_method": "pm_card_visa"})
    with pytest.raises(stripe.CardError):
        sim.intents.confirm(pi.id, {"payment_method": "pm_card_chargeDeclined"}, {"idempotency_key": "d"})
    with pytest.raises(stripe.InvalidRequestError) as e:
        sim.intents.capture(pi.id, {}, {"idempotency_key": "c"})
    assert e.value.headers["Idempotent-Replayed"] == "true"
    assert sim.intents.retrieve(pi.id).status == "requires_capture"
    assert sim.intents.capture(pi.id).status == "succeeded"


def test_replayed_500(sim):
    pi = sim.intents.create(paid())
    for mode, after in (("500_before", "requires_capture"), ("500_after", "succeeded")):
        sim.fault("capture", mode)
        for _ in range(3):
            with pytest.raises(stripe.APIError) as e:
                sim.intents.capture(pi.id, {}, {"idempotency_key": mode})
            assert e.value.http_status == 500
        assert e.value.headers["Idempotent-Replayed"] == "true"
        assert sim.intents.retrieve(pi.id).status == after
    assert sim.intent_in_ledger(pi.id)["amount_captured"] == 4500


def test_key_expires_after_a_day(sim):
    first = sim.intents.create(cards(), {"idempotency_key": "day"})
    sim.sim("POST", "advance_clock", {"seconds": 86400 - 60})
    assert sim.intents.create(cards(), {"idempotency_key": "day"}).id == first.id
    sim.sim("POST", "advance_clock", {"seconds": 120})
    second = sim.intents.create(cards(amount=777), {"idempotency_key": "day"})
    assert second.id != first.id
    assert sim.intents.create(cards(amount=777), {"idempotency_key": "day"}).id == second.id


def test_thousand_at_once_make_one(sim):
    def create(_):
        status, headers, answer = sim.http("POST", "/v1/payment_intents", {"amount": 500, "currency": "eur"},
                                           {"Idempotency-Key": "crowd"}, timeout=60)
        return status, answer["id"], headers.get("Idempotent-Replayed")

    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(create, range(1000)))
    assert {a[0] for a in answers} == {200} and len({a[1] for a in answers}) == 1
    assert sum(a[2] is None for a in answers) == 1


def test_keys_of_other_addresses(sim):
    """One key, one endpoint and one object: another one is refused, whatever the parameters, and nothing happens."""
    one, other = (sim.intents.create(paid()) for _ in range(2))
    key = {"idempotency_key": "used"}
    sim.intents.capture(one.id, {}, key)
    for call in (lambda: sim.intents.capture(other.id, {}, key), lambda: sim.intents.cancel(other.id, {}, key),
                 lambda: sim.refunds.create({"payment_intent": one.id}, key), lambda: sim.intents.create(cards(), key),
                 lambda: sim.intents.capture(one.id, {"amount_to_capture": 100}, key)):
        with pytest.raises(stripe.IdempotencyError) as refused:
            call()
        assert refused.value.http_status == 400
    assert sim.intents.retrieve(other.id).status == "requires_capture"
    assert sim.intents.capture(one.id, {}, key).amount_received == 4500
    # reads have no key, and a key used by a read is free
    sim.http("GET", "/v1/payment_intents", headers={"Idempotency-Key": "read"})
    assert sim.intents.cancel(other.id, {}, {"idempotency_key": "read"}).status == "canceled"


def test_a_500_stays_a_500(make_sim):
    """For the same key for as long as it is kept, through kill -9, until the day is over by the simulator's clock."""
    sim = make_sim()
    pi = sim.intents.create(paid())
    sim.fault("refund", "500_after")
    sim.fault("capture", "500_after")
    calls = {"capture": lambda: sim.intents.capture(pi.id, {}, {"idempotency_key": "c"}),
             "refund": lambda: sim.refunds.create({"payment_intent": pi.id, "amount": 100}, {"idempotency_key": "r"})}
    first = {}
    for name, call in calls.items():
        with pytest.raises(stripe.APIError) as failed:
            call()
        first[name] = failed.value
        assert failed.value.http_status == 500
    sim.end(signal.SIGKILL)
    sim.start()
    for seconds in (0, 86400 - 120):
        sim.sim("POST", "advance_clock", {"seconds": seconds})
        for name, call in calls.items():
            with pytest.raises(stripe.APIError) as again:
                call()
            assert again.value.http_body == first[name].http_body
            assert again.value.headers["Original-Request"] == first[name].headers["Request-Id"]
    assert sim.intent_in_ledger(pi.id)["amount_refunded"] == 100
    sim.sim("POST", "advance_clock", {"seconds": 240})
    assert calls["refund"]().amount == 100, "a day later the key is new, and so is the refund"
    assert sim.intent_in_ledger(pi.id)["amount_refunded"] == 200
    assert sim.end() == 0


def test_key_in_use_by_a_hanging_request(sim):
    """What hangs may still happen: its key is refused with 409 until it is known."""
    sim.fault("create", "hang")
    hanging = threading.Thread(target=lambda: _ignoring(lambda: sim.intents.create(cards(), {"idempotency_key": "slow"})))
    hanging.start()
    wait_for(lambda: sim.sim("GET", "faults")["held"], "the hanging request's arrival")
    for body in (cards(), cards(amount=999)):
        with pytest.raises(stripe.APIError) as refused:  # the client's IdempotencyError is for 400
            sim.intents.create(body, {"idempotency_key": "slow"})
        assert (refused.value.http_status, refused.value.json_body["error"]["code"]) == (409, "idempotency_key_in_use")
        assert refused.value.headers["Stripe-Should-Retry"] == "true"
    sim.sim("DELETE", "faults")
    hanging.join(20)
    sim.intents.create(cards(), {"idempotency_key": "slow"})
    assert len(sim.sim("GET", "ledger")["payment_intents"]) == 1


def _ignoring(call):
    try:
        call()
    except stripe.APIConnectionError:
        pass
