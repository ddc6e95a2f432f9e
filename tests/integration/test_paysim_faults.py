"""Each of the simulator's fault switches: what happened, what was answered, what a repetition gets."""
import socket
import threading

import pytest
import stripe

from paysim import KEY, cards, paid, sim, wait_for  # noqa: F401 (fixtures)
from servers import readable


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
                                  '{"match":"capture","mode":"429","x":1}', '{"match":"list","mode":"decline"}',
                                  '{"match":"any","mode":"reorder","times":3}', '{"match":"webhook","mode":"reorder"}',
                                  '{"match":"webhook","mode":"hang"}', '{"match":"any","mode":"429","probability":1.5}',
                                  '{"match":"any","mode":"429","probability":"1"}', '{"match":"any","mode":"429","metadata":{}}',
                                  '{"match":"any","mode":"429","metadata":{"a":1}}', '{"match":"any","mode":"429","seed":-1}',
                                  '{"match":"any","mode":"429","for_s":0}', '{"match":"any","mode":"429","metadata":[]}'])
def test_bad_switches(sim, body):
    assert sim.http("POST", "/_sim/faults", body.encode(), {"Content-Type": "application/json"})[0] == 400
    assert sim.sim("GET", "faults")["faults"] == []


# --- each switch for each operation ---

def prepared(sim, match, **more):
    """A call that matches, and what it changes: (call, changed)."""
    if match == "create":
        def made():
            return len(sim.sim("GET", "ledger")["payment_intents"])
        before = made()
        return lambda **o: sim.intents.create(paid(**more), o), lambda: made() > before
    if match == "confirm":
        pi = sim.intents.create(cards(**more))
        return (lambda **o: sim.intents.confirm(pi.id, {"payment_method": "pm_card_visa"}, o),
                lambda: sim.intents.retrieve(pi.id).status == "requires_capture")
    pi = sim.intents.create(paid(**more))
    if match == "capture":
        return lambda **o: sim.intents.capture(pi.id, {}, o), lambda: sim.intents.retrieve(pi.id).status == "succeeded"
    if match == "cancel":
        return lambda **o: sim.intents.cancel(pi.id, {}, o), lambda: sim.intents.retrieve(pi.id).status == "canceled"
    sim.intents.capture(pi.id)
    return lambda **o: sim.refunds.create({"payment_intent": pi.id}, o), lambda: sim.intent_in_ledger(pi.id)["amount_refunded"] == 4500


@pytest.mark.parametrize("match", ["create", "confirm", "capture", "cancel", "refund"])
@pytest.mark.parametrize("mode,error,happened,kept", [
    ("drop_before", stripe.APIConnectionError, False, False),
    ("drop_after", stripe.APIConnectionError, True, False),
    ("500_before", stripe.APIError, False, True),
    ("500_after", stripe.APIError, True, True),
    ("429", stripe.RateLimitError, False, False),
])
def test_every_switch(sim, match, mode, error, happened, kept):
    """What an answer says, whether it happened, and what the same key gets: a 500 for ever, anything else the truth."""
    call, changed = prepared(sim, match)
    sim.fault(match, mode)
    with pytest.raises(error):
        call(idempotency_key="same")
    assert changed() is happened
    for _ in range(2):
        if kept:
            with pytest.raises(stripe.APIError) as again:
                call(idempotency_key="same")
            assert (again.value.http_status, again.value.headers["Idempotent-Replayed"]) == (500, "true")
            assert changed() is happened
        else:
            call(idempotency_key="same")
            assert changed()


@pytest.mark.parametrize("match", ["retrieve", "list"])
def test_reads_fail_too(sim, match):
    pi = sim.intents.create(cards())
    call = (lambda: sim.intents.retrieve(pi.id)) if match == "retrieve" else (lambda: sim.intents.list())
    for mode, error in (("drop_before", stripe.APIConnectionError), ("drop_after", stripe.APIConnectionError),
                        ("500_before", stripe.APIError), ("429", stripe.RateLimitError)):
        sim.fault(match, mode)
        with pytest.raises(error):
            call()
        call()
    sim.fault(match, "delay", ms=1)
    call()
    assert [f["hits"] for f in sim.sim("GET", "faults")["faults"]] == [1, 1, 1, 1, 1]


def test_too_many_requests_says_when(sim):
    sim.fault("create", "429", ms=2500)
    status, headers, answer = sim.http("POST", "/v1/payment_intents", {"amount": 500, "currency": "eur"})
    assert (status, headers["Retry-After"], headers["Stripe-Should-Retry"]) == (429, "3", "true")
    assert answer["error"]["code"] == "rate_limit"
    sim.fault("create", "429")
    assert sim.http("POST", "/v1/payment_intents", {"amount": 500, "currency": "eur"})[1]["Retry-After"] == "1"


def test_the_client_repeats_by_itself(sim, monkeypatch):
    """max_network_retries with the key the client makes: lost answers and refusals come right, and only once."""
    monkeypatch.setattr(stripe.HTTPClient, "INITIAL_DELAY", 0.01)
    monkeypatch.setattr(stripe.HTTPClient, "MAX_DELAY", 0.01)
    client = stripe.StripeClient(KEY, base_addresses={"api": sim.url}, max_network_retries=4)
    sim.fault("create", "drop_after")
    sim.fault("create", "429")
    sim.fault("create", "drop_before")
    pi = client.v1.payment_intents.create(paid())
    assert [i["id"] for i in sim.sim("GET", "ledger")["payment_intents"]] == [pi.id]
    sim.fault("capture", "500_after")
    with pytest.raises(stripe.APIError):
        client.v1.payment_intents.capture(pi.id)
    assert sim.intents.retrieve(pi.id).status == "succeeded"


def outcomes(sim, n):
    def one():
        try:
            sim.intents.retrieve("pi_1")
        except stripe.APIConnectionError:
            return True
        except stripe.InvalidRequestError:
            return False
    return [one() for _ in range(n)]


def test_chance(sim):
    """A tenth of all requests, the same ones for the same seed."""
    runs = []
    for seed in (7, 7, 8):
        sim.sim("DELETE", "faults")
        sim.fault("retrieve", "drop_before", probability=0.1, seed=seed)
        runs.append(outcomes(sim, 200))
    assert runs[0] == runs[1] != runs[2]
    assert all(8 <= sum(run) <= 35 for run in runs), [sum(run) for run in runs]
    shown = sim.sim("GET", "faults")["faults"][0]
    assert (shown["probability"], shown["hits"]) == (0.1, sum(runs[2]))
    for probability, hits in ((0, 0), (1, 5)):
        sim.sim("DELETE", "faults")
        sim.fault("retrieve", "drop_before", probability=probability)
        assert sum(outcomes(sim, 5)) == hits
    sim.sim("DELETE", "faults")
    sim.fault("retrieve", "drop_before", probability=0.5, times=3)
    assert sum(outcomes(sim, 50)) == 3


def test_for_a_time(sim):
    sim.fault("retrieve", "drop_before", for_s=3600)
    assert outcomes(sim, 3) == [True] * 3
    sim.sim("POST", "advance_clock", {"seconds": 3599})
    assert outcomes(sim, 1) == [True] or sim.sim("GET", "faults")["faults"][0]["seconds_left"] == 0
    sim.sim("POST", "advance_clock", {"seconds": 1})
    assert outcomes(sim, 1) == [False]


@pytest.mark.parametrize("match", ["create", "confirm", "capture", "cancel", "refund"])
def test_of_one_booking_only(sim, match):
    sim.fault(match, "500_before", times=9, metadata={"booking": "b-1"})
    call, changed = prepared(sim, match, metadata={"booking": "b-2"})
    call()
    assert changed()
    if match != "create":
        sim.sim("DELETE", "faults")
    call, changed = prepared(sim, match, metadata={"booking": "b-1"})
    sim.fault(match, "500_before", metadata={"booking": "b-1"})
    with pytest.raises(stripe.APIError):
        call()
    assert not changed()


def test_of_one_intent_only(sim):
    one, other = (sim.intents.create(paid()) for _ in range(2))
    sim.fault("any", "500_before", times=9, intent=one.id)
    assert sim.intents.retrieve(other.id).id == other.id
    sim.intents.capture(other.id)
    sim.intents.list()
    for call in (lambda: sim.intents.capture(one.id), lambda: sim.intents.retrieve(one.id),
                 lambda: sim.refunds.create({"payment_intent": one.id}), lambda: sim.refunds.create({"charge": one.latest_charge})):
        with pytest.raises(stripe.APIError):
            call()
    assert sim.refunds.create({"payment_intent": other.id}).status == "succeeded"
