"""Each of the simulator's fault switches: what happened, what was answered, what a repetition gets."""
import socket
import threading

import pytest
import stripe

from paysim import KEY, cards, paid, readable, sim, wait_for  # noqa: F401 (fixtures)


# --- faults ---

def test_lost_answer(sim):
    pi = sim.intents.create(paid())
    sim.fault("capture", "drop_before")
    with pytest.raises(stripe.APIConnectionError):
        sim.intents.capture(pi.id, {}, {"idempotency_key": "x"})
    assert sim.intents.retrieve(pi.id).status == "requires_capture"
    sim.fault("capture", "drop_after")
    with pytest.raises(stripe.APIConnectionError):
        sim.intents.capture(pi.id, {}, {"idempotency_key": "x"})
    assert sim.intents.retrieve(pi.id).status == "succeeded"
    again = sim.intents.capture(pi.id, {}, {"idempotency_key": "x"})
    assert again.status == "succeeded" and again.last_response.headers["Idempotent-Replayed"] == "true"
    assert [f["hits"] for f in sim.sim("GET", "faults")["faults"]] == [1, 1]


def test_key_in_use_while_delayed(sim):
    sim.fault("create", "delay", ms=3600000)
    late = {}
    request = threading.Thread(target=lambda: late.update(pi=sim.intents.create(cards(), {"idempotency_key": "slow"})))
    request.start()
    wait_for(lambda: sim.sim("GET", "faults")["held"], "the delayed request's arrival")
    status, headers, answer = sim.http("POST", "/v1/payment_intents", {"amount": 4500, "currency": "eur"}, {"Idempotency-Key": "slow"})
    assert (status, answer["error"]["code"]) == (409, "idempotency_key_in_use")
    assert sim.sim("GET", "ledger")["payment_intents"] == []
    sim.sim("DELETE", "faults")  # lets the delayed one go on
    request.join(20)
    assert sim.intents.create(cards(), {"idempotency_key": "slow"}).id == late["pi"].id


@pytest.mark.parametrize("mode,happened", [("hang", False), ("hang_after", True)])
def test_hang(sim, mode, happened):
    sim.fault("create", mode)
    host, port = sim.address.split(":")
    body = b"amount=500&currency=eur"
    with socket.create_connection((host, int(port)), 20) as s:
        s.sendall(b"POST /v1/payment_intents HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nIdempotency-Key: h\r\n"
                  b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s"
                  % (KEY.encode(), len(body), body))
        wait_for(lambda: sim.sim("GET", "faults")["held"], "the hanging request's arrival")
        assert len(sim.sim("GET", "ledger")["payment_intents"]) == happened
        assert not readable([s], 0), "it answered"
    wait_for(lambda: not sim.sim("GET", "faults")["held"], "the end of a request whose client left")
    again = sim.http("POST", "/v1/payment_intents", {"amount": 500, "currency": "eur"}, {"Idempotency-Key": "h"})
    assert (again[0], again[1].get("Idempotent-Replayed")) == (200, "true" if happened else None)
    assert len(sim.sim("GET", "ledger")["payment_intents"]) == 1


def test_429_and_decline_switches(sim):
    sim.fault("create", "429", times=2)
    for _ in range(2):
        with pytest.raises(stripe.RateLimitError):
            sim.intents.create(cards(), {"idempotency_key": "r"})
    pi = sim.intents.create(cards(), {"idempotency_key": "r"})
    sim.fault("confirm", "decline")
    with pytest.raises(stripe.CardError):
        sim.intents.confirm(pi.id, {"payment_method": "pm_card_visa"})
    sim.intents.confirm(pi.id, {"payment_method": "pm_card_visa"})
    sim.fault("capture", "decline")
    with pytest.raises(stripe.CardError):
        sim.intents.capture(pi.id)
    sim.intents.capture(pi.id)
    sim.fault("refund", "decline")
    failed = sim.refunds.create({"payment_intent": pi.id})
    assert (failed.status, failed.failure_reason) == ("failed", "declined")
    assert sim.refunds.create({"payment_intent": pi.id}).amount == 4500
    assert sim.intent_in_ledger(pi.id)["amount_refunded"] == 4500
    sim.fault("any", "drop_before", times=3)
    with pytest.raises(stripe.APIConnectionError):
        sim.intents.retrieve(pi.id)
    sim.sim("DELETE", "faults")
    assert sim.intents.retrieve(pi.id).status == "succeeded"


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"match":"capture"}', '{"match":"capture","mode":"explode"}',
                                  '{"match":"capture","mode":"429","times":0}', '{"match":"cancel","mode":"decline"}',
                                  '{"match":"capture","mode":"429","x":1}'])
def test_bad_switches(sim, body):
    assert sim.http("POST", "/_sim/faults", body.encode(), {"Content-Type": "application/json"})[0] == 400
    assert sim.sim("GET", "faults")["faults"] == []
