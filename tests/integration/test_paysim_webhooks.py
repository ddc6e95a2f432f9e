"""The simulator's events: signed, repeated, in any order, and what the gateway's library makes of them."""
import json
import signal
import subprocess

import pytest
import stripe

from paysim import SECRET, cards, make_sim, paid, program, receiver, wait_for  # noqa: F401 (fixtures)


def test_webhooks_are_signed_and_repeated(make_sim, receiver):
    sim = make_sim("--webhook-url", receiver.url, "--webhook-secret", SECRET)
    pi = sim.intents.create(paid())
    wanted = ["charge.succeeded", "payment_intent.amount_capturable_updated", "payment_intent.created"]
    wait_for(lambda: receiver.types() == wanted, "three webhooks")
    for body, signature in receiver.taken:
        event = stripe.Webhook.construct_event(body, signature, SECRET)
        assert sim.client.v1.events.retrieve(event.id).type == event.type
        with pytest.raises(stripe.SignatureVerificationError):
            stripe.Webhook.construct_event(body.replace(b"4500", b"4501"), signature, SECRET)

    receiver.status = 500
    sim.intents.cancel(pi.id)
    wait_for(lambda: len(receiver.refused) == 2, "two refused webhooks")
    sim.end(signal.SIGKILL)
    receiver.status = 200
    sim.start()
    sim.sim("POST", "advance_clock", {"seconds": 60})
    wanted = sorted(wanted + ["charge.refunded", "payment_intent.canceled"])
    wait_for(lambda: receiver.types() == wanted, "the refused webhooks again")
    assert sim.end() == 0


def test_webhook_switches(make_sim, receiver):
    sim = make_sim("--webhook-url", receiver.url, "--webhook-secret", SECRET)
    sim.fault("webhook", "drop_before")
    sim.fault("webhook", "twice")
    sim.fault("webhook", "delay", ms=3600000)
    sim.intents.create(cards())
    sim.intents.create(cards())
    sim.intents.create(cards())
    sim.intents.create(cards(amount=999))
    # lost, twice, an hour late, once
    wait_for(lambda: len(receiver.types()) == 3, "three webhooks")
    amounts = sorted(json.loads(body)["data"]["object"]["amount"] for body, _ in receiver.taken)
    assert amounts == [999, 4500, 4500]
    sim.sim("POST", "advance_clock", {"seconds": 3600})
    wait_for(lambda: len(receiver.types()) == 4, "the late webhook")
    ids = [json.loads(body)["id"] for body, _ in receiver.taken]
    assert len(set(ids)) == 3
    assert sim.http("POST", "/_sim/faults", b'{"match":"webhook","mode":"429"}')[0] == 400
    assert sim.end() == 0


def test_everything_that_happens_is_told(make_sim, receiver):
    """Every type, with a signature the gateway's library accepts, and GET /v1/events says the same."""
    sim = make_sim("--webhook-url", receiver.url, "--webhook-secret", SECRET, "--later-seconds", "3600")
    sim.intents.cancel(sim.intents.create(paid()).id)
    asked = sim.intents.create(paid("pm_card_threeDSecure2Required"))
    sim.http("POST", asked.next_action.redirect_to_url.url[len(sim.url):], {"outcome": "fail"})
    with pytest.raises(stripe.CardError):
        sim.intents.confirm(asked.id, {"payment_method": "pm_card_chargeDeclined"})
    for card in ("pm_card_createDispute", "pm_card_refundFail", "pm_card_pendingRefund"):
        pi = sim.intents.create(paid(card))
        sim.intents.capture(pi.id)
        if "efund" in card:
            sim.refunds.update(sim.refunds.create({"payment_intent": pi.id}).id, {"metadata": {"a": "b"}})
    sim.sim("POST", "advance_clock", {"seconds": 3600})
    types = {"payment_intent.created", "payment_intent.requires_action", "payment_intent.amount_capturable_updated",
             "payment_intent.succeeded", "payment_intent.payment_failed", "payment_intent.canceled", "charge.succeeded",
             "charge.captured", "charge.failed", "charge.refunded", "refund.created", "refund.updated", "refund.failed",
             "charge.refund.updated", "charge.dispute.created"}
    wait_for(lambda: sim.sim("GET", "webhooks")["pending"] == [], "the delivery of everything")
    assert set(receiver.types()) == types
    listed = {e.id: e for e in sim.client.v1.events.list({"limit": 100}).auto_paging_iter()}
    sent = {}
    for body, signature in receiver.taken:
        event = stripe.Webhook.construct_event(body, signature, SECRET)
        assert (event.object, event.livemode, event.pending_webhooks) == ("event", False, 1)
        kind = event.type.split(".")
        name = {"refund": "refund", "dispute": "dispute"}.get(kind[1], kind[0])
        assert event.data.object.object == name
        sent[event.id] = event
    assert sent.keys() == listed.keys() and len(sent) == len(receiver.taken)
    for event_id, event in sent.items():
        assert (listed[event_id].type, listed[event_id].data.object, listed[event_id].pending_webhooks) == (event.type, event.data.object, 0)
        assert (listed[event_id].created, listed[event_id].request) == (event.created, event.request)
    assert {e.type for e in sim.client.v1.events.list({"type": "refund.*", "limit": 100}).data} == {
        "refund.created", "refund.updated", "refund.failed"}
    assert sim.end() == 0


def test_two_secrets(make_sim, receiver):
    """While one secret takes over from another, each receiver finds its own signature."""
    sim = make_sim("--webhook-url", receiver.url, "--webhook-secret", "whsec_old", "--webhook-secret", "whsec_new")
    sim.intents.create(cards())
    wait_for(lambda: receiver.types(), "the webhook")
    body, signature = receiver.taken[0]
    assert signature.count("v1=") == 2
    for secret in ("whsec_old", "whsec_new"):
        assert stripe.Webhook.construct_event(body, signature, secret).type == "payment_intent.created"
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(body, signature, "whsec_other")
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(body, signature.replace(signature.split(",")[0], "t=1"), "whsec_old")
    assert sim.end() == 0


def test_two_secrets_at_most(tmp_path):
    args = [program(), "--db", str(tmp_path / "l.db"), "--webhook-url", "http://127.0.0.1:1/"]
    for secrets in ([], ["a", "b", "c"]):
        done = subprocess.run([*args, *(f"--webhook-secret={s}" for s in secrets)], capture_output=True, timeout=20)
        assert done.returncode == 2 and b"--webhook-secret" in done.stderr


def test_waits_grow(make_sim, receiver):
    sim = make_sim("--webhook-url", receiver.url, "--webhook-secret", SECRET)
    receiver.status = 503
    sim.intents.create(cards())
    waits = []
    for attempt in range(1, 8):
        wait_for(lambda: len(receiver.refused) == attempt, f"attempt {attempt}")
        answer = sim.sim("GET", "webhooks")
        assert [p["attempts"] for p in answer["pending"]] == [attempt]
        waits.append(answer["pending"][0]["due"] - answer["now"])
        sim.sim("POST", "advance_clock", {"seconds": waits[-1] + 1})
    # now is a moment after the attempt
    assert all(want - 3 <= wait <= want for want, wait in zip((4, 16, 64, 256, 1024, 3600, 3600), waits)), waits
    sim.sim("POST", "advance_clock", {"seconds": 3 * 86400})
    wait_for(lambda: sim.sim("GET", "webhooks")["pending"] == [], "the end of trying")
    assert sim.end() == 0


def test_reverse_order(make_sim, receiver):
    sim = make_sim("--webhook-url", receiver.url, "--webhook-secret", SECRET)
    sim.fault("webhook", "reorder", times=4)
    made = [sim.intents.create(cards()).id for _ in range(4)]
    wait_for(lambda: len(receiver.taken) == 4, "four webhooks")
    assert [json.loads(body)["data"]["object"]["id"] for body, _ in receiver.taken] == made[::-1]
    # fewer than it wanted: they go when the switches are cleared, and the same if one is refused meanwhile
    sim.fault("webhook", "reorder", times=10)
    made = [sim.intents.create(cards()).id for _ in range(3)]
    assert len(sim.sim("GET", "webhooks")["pending"]) == 3 and len(receiver.taken) == 4
    receiver.status = 500
    sim.sim("DELETE", "faults")
    wait_for(lambda: len(receiver.refused) == 3, "three webhooks")
    assert [json.loads(body)["data"]["object"]["id"] for body, _ in receiver.refused] == made[::-1]
    # a process that dies with some in hand sends them after the hour
    receiver.status = 200
    sim.sim("POST", "advance_clock", {"seconds": 60})
    wait_for(lambda: len(receiver.taken) == 7, "their repetition")
    sim.fault("webhook", "reorder", times=2)
    sim.intents.create(cards())
    sim.end(signal.SIGKILL)
    sim.start()
    assert len(sim.sim("GET", "webhooks")["pending"]) == 1
    sim.sim("POST", "advance_clock", {"seconds": 3601})
    wait_for(lambda: len(receiver.taken) == 8, "what was in hand")
    assert sim.end() == 0


def test_lost_for_an_hour(make_sim, receiver):
    sim = make_sim("--webhook-url", receiver.url, "--webhook-secret", SECRET)
    sim.fault("webhook", "drop_before", for_s=3600)
    lost = [sim.intents.create(cards()).id for _ in range(3)]
    sim.sim("POST", "advance_clock", {"seconds": 3600})
    told = sim.intents.create(cards()).id
    wait_for(lambda: receiver.types(), "the webhook after the hour")
    assert [json.loads(body)["data"]["object"]["id"] for body, _ in receiver.taken] == [told]
    assert sim.sim("GET", "webhooks")["pending"] == []
    events = sim.client.v1.events.list().data
    assert [e.data.object.id for e in events] == [told, *lost[::-1]]
    assert sim.end() == 0


def test_lost_for_one_booking(make_sim, receiver):
    sim = make_sim("--webhook-url", receiver.url, "--webhook-secret", SECRET)
    other = sim.intents.create(cards(metadata={"booking": "b-2"}))
    sim.fault("webhook", "drop_before", times=99, metadata={"booking": "b-1"})
    sim.fault("webhook", "drop_before", times=99, intent=other.id)
    sim.intents.create(paid(metadata={"booking": "b-1"}))
    sim.intents.confirm(other.id, {"payment_method": "pm_card_visa"})
    sim.intents.create(cards(metadata={"booking": "b-3"}))
    wait_for(lambda: len(receiver.taken) == 2, "the two that are told")
    assert sim.sim("GET", "webhooks")["pending"] == []
    assert sorted(json.loads(body)["data"]["object"]["metadata"]["booking"] for body, _ in receiver.taken) == ["b-2", "b-3"]
    assert sim.end() == 0
