"""The simulator's events: signed, repeated, in any order, and what the gateway's library makes of them."""
import json
import signal

import pytest
import stripe

from paysim import SECRET, cards, paid, make_sim, receiver, sim, wait_for  # noqa: F401 (fixtures)


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
