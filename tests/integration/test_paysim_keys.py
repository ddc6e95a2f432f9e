"""Idempotency-Key as the gateway has it."""
import concurrent.futures

import pytest
import stripe

from paysim import cards, paid, sim  # noqa: F401 (fixtures)


# --- idempotency ---

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
