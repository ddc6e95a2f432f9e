"""What the gateway says by itself, against the real program, its database and the payment simulator."""

import os
import signal
import threading
import uuid

import pytest

from gateway import Events, Simulator, bank
from paying import SECURE, attempts, locked, office_of
from paying import admin, db, gateway  # noqa: F401 (fixtures)
from service import wait_until

CANCELLATION = {"until": "2099-01-01T00:00:00Z", "fee": {"amount": 0, "currency": "EUR"}}


office = office_of()


@pytest.fixture
def events(office):
    return Events(office.api(), (office.dir / "secret" / "webhook.key").read_text().strip())


def stored(db, event_id):
    return db.execute("SELECT type, object_id, intent_id, deliveries FROM webhook_events WHERE gateway_event_id = %s",
                      [event_id]).fetchone()


def findings(db, subject, kind):
    return db.execute("SELECT detail, times, settled_at = 'infinity' FROM payment_findings WHERE subject_id = %s AND kind = %s",
                      [subject, kind]).fetchall()


def secure(show, buyer, lock):
    return buyer.book(show.show_id, lock, SECURE).expect(201)


def intent_object(intent_id, status, show=None, attempt=None, amount=9000):
    metadata = {"show": str(show), "booking": str(uuid.uuid4()), "attempt": str(attempt)} if attempt else {}
    return {"id": intent_id, "object": "payment_intent", "status": status, "amount": amount, "currency": "eur", "metadata": metadata}


# ---- who says it ----


def test_up_has_a_secret_of_its_own(office):
    """In a file that nobody else reads, and not in the list of processes."""
    path = office.dir / "secret" / "webhook.key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert not any(path.read_text().strip() in command for command in office.processes().values())


def test_only_the_gateway_is_heard(events, db):
    body = events.body("charge.succeeded", {"id": "ch_1"}, "evt_unheard")
    events.post(body).expect(400, "signature_missing")
    for bad in ("", "nonsense", "t=1", "v1=00", events.sign(body, "whsec_somebody_elses_secret"), events.sign(body + b" "),
                events.sign(body).replace("v1=", "v0=")):
        if bad:
            events.post(body, bad).expect(400, "signature_invalid")
    events.post(body, events.sign(body, at=-310)).expect(400, "signature_too_old")
    events.post(body, events.sign(body, at=+310)).expect(400, "signature_too_old")
    assert stored(db, "evt_unheard") is None
    events.post(body, events.sign(body, at=-290)).expect(200)
    assert stored(db, "evt_unheard") == ("charge.succeeded", "ch_1", "", 1)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"null", b'{"id":"e"}', b'{"id":"e","type":"t","data":{"object":7}}',
                                  b'{"id":"' + b"x" * 500 + b'","type":"t","data":{"object":{}}}',
                                  b'{"id":"e","id":"f","type":"t","data":{"object":{}}}', b"[" * 10000, b'{"id":"\\u0000"}',
                                  b'{"id":"e","type":"t","data":{"object":{"amount":1e999}}}', b"\xff\xfe"])
def test_signed_nonsense(events, body):
    events.post(body, events.sign(body)).expect(400, "invalid_request")


def test_too_large(events):
    body = events.body("x", {"id": "y" * (256 * 1024)})
    events.post(body, events.sign(body)).expect(413, "too_large")


def test_unknown_types_are_stored(events, db):
    events.send("customer.created", {"id": "cus_1"}, "evt_unknown_type").expect(200)
    assert stored(db, "evt_unknown_type") == ("customer.created", "cus_1", "", 1)
    events.send("customer.created", {"id": "cus_1"}, "evt_unknown_type").expect(200)
    assert stored(db, "evt_unknown_type")[3] == 2


def test_many_deliveries_at_once(office, admin, gateway, events, db):
    """One of them acts, all are told 200 or to come again; each that was told 200 is counted."""
    show = admin.make_show()
    buyer, lock = locked(office, show)
    booking = buyer.book(show.show_id, lock).expect(201)["booking_id"]
    [intent] = gateway.intents(booking)
    dispute = {"id": f"dp_{uuid.uuid4().hex}", "object": "dispute", "amount": 1, "currency": "eur", "payment_intent": intent["id"]}
    body = events.body("charge.dispute.created", dispute)
    answers = []

    def deliver():
        one = Events(office.api(), events.secret)
        answers.append(one.post(body, one.sign(body)).status)
        one.api.close()

    threads = [threading.Thread(target=deliver) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(answers) <= {200, 503} and 200 in answers
    [[deliveries]] = db.execute("SELECT deliveries FROM webhook_events WHERE object_id = %s", [dispute["id"]]).fetchall()
    assert deliveries == answers.count(200)
    assert [row[1] for row in findings(db, intent["metadata"]["attempt"], "dispute")] == [1]


# ---- hints ----


def test_three_d_secure_without_asking(office, admin, gateway, db):
    """Nobody asks for the booking: the gateway tells, and at once it is booked and paid."""
    show = admin.make_show()
    buyer, lock = locked(office, show)
    booking = secure(show, buyer, lock)
    # the settling must not be the one who sees it, nor may it be asked about yet when the event comes
    db.execute("UPDATE payments SET settle_at = now() + interval '1 hour', ask_after = now() WHERE booking_id = %s",
               [booking["booking_id"]])
    bank(booking["payment"]["next_action"]["redirect_to_url"]["url"], "authorise")
    wait_until(lambda: attempts(db, booking["booking_id"]) == ["captured"], "the booking paid")
    by = db.execute("SELECT to_state, actor FROM payment_events WHERE booking_id = %s ORDER BY at", [booking["booking_id"]]).fetchall()
    assert by == [("created", "buyer"), ("requires_action", "buyer"), ("authorised", "webhook"), ("captured", "webhook")]
    assert buyer.get(f"/v1/shows/{show.show_id}/bookings/{booking['booking_id']}").expect(200)["status"] == "confirmed"
    office.check()


def test_who_is_at_it_is_not_overtaken(office, admin, gateway, events, db):
    """An event that comes while somebody else has the attempt makes it due when that one's time is over, no sooner."""
    show = admin.make_show()
    buyer, lock = locked(office, show)
    booking = secure(show, buyer, lock)["booking_id"]
    db.execute("UPDATE payments SET settle_at = now() + interval '1 hour', ask_after = now() + interval '30 minutes' WHERE booking_id = %s",
               [booking])
    before = db.execute("SELECT generation FROM payments WHERE booking_id = %s", [booking]).fetchone()
    [intent] = gateway.intents(booking)
    events.send("payment_intent.amount_capturable_updated",
                intent_object(intent["id"], "requires_capture", show.show_id, intent["metadata"]["attempt"])).expect(200)
    row = db.execute("SELECT settle_at = ask_after, state, generation FROM payments WHERE booking_id = %s", [booking]).fetchone()
    assert row == (True, "requires_action", *before)


def test_early_twice_and_in_reverse_order(office, admin, gateway, db):
    """Fault 19. All events of a purchase come twice, the first only after the last, and the purchase is the same."""
    show = admin.make_show(cancellation=CANCELLATION)
    buyer, lock = locked(office, show)
    gateway.fault("webhook", "delay", times=1, ms=500)
    gateway.fault("webhook", "twice", times=100)
    booking = buyer.book(show.show_id, lock).expect(201)
    assert booking["status"] == "confirmed" and booking["payment"] == {"status": "captured"}
    [intent] = gateway.intents(booking["booking_id"])

    def all_came():
        rows = db.execute("SELECT deliveries, type FROM webhook_events WHERE intent_id = %s ORDER BY received_at", [intent["id"]]).fetchall()
        return rows if sorted(t for _, t in rows if t.startswith("payment")) == [
            "payment_intent.amount_capturable_updated", "payment_intent.created", "payment_intent.succeeded"] and \
            sum(n for n, t in rows if t.startswith("payment")) == 5 else None

    rows = wait_until(all_came, "every event twice but the first")
    assert rows[-1][1] == "payment_intent.created"
    assert attempts(db, booking["booking_id"]) == ["captured"] and intent["amount_captured"] == 9000
    assert buyer.cancel(show.show_id, booking["booking_id"]).expect(200)["refund"]["status"] == "succeeded"
    assert [i["amount_refunded"] for i in gateway.intents(booking["booking_id"])] == [9000]
    office.check()


def test_lies_are_harmless(office, admin, gateway, events, db):
    """Abuse 10: signed, but with another amount, another state, an attempt that is another's: the gateway is asked, that is all."""
    show = admin.make_show()
    buyer, lock = locked(office, show)
    booking = secure(show, buyer, lock)["booking_id"]
    [intent] = gateway.intents(booking)
    attempt = intent["metadata"]["attempt"]
    for amount in (1, 10 ** 9, 0, -5):
        events.send("payment_intent.succeeded", intent_object(intent["id"], "succeeded", show.show_id, attempt, amount)).expect(200)
    events.send("payment_intent.succeeded", intent_object("pi_of_nobody", "succeeded", show.show_id, attempt)).expect(200)
    events.send("payment_intent.canceled", intent_object(intent["id"], "canceled", show.show_id, attempt)).expect(200)
    events.send("payment_intent.succeeded", intent_object(intent["id"], "succeeded", uuid.uuid4(), uuid.uuid4())).expect(200)
    events.send("payment_intent.succeeded", intent_object("pi_unknown", "succeeded")).expect(200)
    assert buyer.get(f"/v1/shows/{show.show_id}/bookings/{booking}").expect(200)["payment"]["status"] == "requires_action"
    assert attempts(db, booking) == ["requires_action"]
    # an attempt that is through stays as it is
    other, lock = locked(office, show, 2, 4)
    paid = other.book(show.show_id, lock).expect(201)["booking_id"]
    [intent] = gateway.intents(paid)
    before = db.execute("SELECT p::text FROM payments p WHERE booking_id = %s", [paid]).fetchall()
    for status in ("canceled", "requires_capture", "succeeded"):
        events.send(f"payment_intent.{status}", intent_object(intent["id"], status, show.show_id, intent["metadata"]["attempt"])).expect(200)
    assert db.execute("SELECT p::text FROM payments p WHERE booking_id = %s", [paid]).fetchall() == before


@pytest.mark.parametrize("paid", [False, True], ids=["held", "paid"])
def test_money_for_what_has_ended(office, admin, gateway, events, db, paid):
    """The attempt had ended here, and its intent was held or paid at the gateway afterwards: voided, or all of it given back, once."""
    show = admin.make_show()
    buyer, lock = locked(office, show)
    booking = secure(show, buyer, lock)
    gateway.silent()
    gateway.fault("cancel", "429", times=1000000)
    db.execute("UPDATE payments SET action_until = now(), settle_at = now() WHERE booking_id = %s", [booking["booking_id"]])
    wait_until(lambda: attempts(db, booking["booking_id"]) == ["abandoned"], "the attempt abandoned")
    # as if it had been void for certain: nobody will look at it any more
    db.execute("UPDATE payments SET void_wanted = false, settle_at = 'infinity', generation = generation + 1 WHERE booking_id = %s",
               [booking["booking_id"]])
    bank(booking["payment"]["next_action"]["redirect_to_url"]["url"], "authorise")
    [intent] = gateway.intents(booking["booking_id"])
    if paid:
        gateway.post(f"/v1/payment_intents/{intent['id']}/capture")
    gateway.clear()
    status = "succeeded" if paid else "requires_capture"
    said = intent_object(intent["id"], status, show.show_id, intent["metadata"]["attempt"])
    for _ in range(2):
        events.send("payment_intent.succeeded" if paid else "payment_intent.amount_capturable_updated", said).expect(200)
    wait_until(lambda: db.execute("SELECT void_wanted FROM payments WHERE booking_id = %s", [booking["booking_id"]]).fetchone() == (False,),
               "it seen to", 20)
    wait_until(lambda: db.execute("SELECT count(*) FROM refunds WHERE booking_id = %s AND state <> 'succeeded'",
                                  [booking["booking_id"]]).fetchone() == (0,), "the refund made", 20)
    # said once more, now that it is over: of what was given back nobody wants to know
    events.send("payment_intent.succeeded", said).expect(200)
    said_here = db.execute("SELECT count(*) FROM payment_events WHERE booking_id = %s AND actor = 'webhook'", [booking["booking_id"]]).fetchone()
    assert said_here == (1,) if paid else said_here in ((1,), (2,))
    # and if somebody does, it is not given back twice
    db.execute("UPDATE payments SET void_wanted = true, settle_at = now() WHERE booking_id = %s", [booking["booking_id"]])
    wait_until(lambda: db.execute("SELECT void_wanted FROM payments WHERE booking_id = %s", [booking["booking_id"]]).fetchone() == (False,),
               "it seen to", 20)
    [intent] = gateway.intents(booking["booking_id"])
    assert (intent["status"], intent["amount_refunded"]) == (("succeeded", 9000) if paid else ("canceled", 0))
    assert db.execute("SELECT count(*) FROM refunds WHERE booking_id = %s", [booking["booking_id"]]).fetchone() == (1 if paid else 0,)
    assert attempts(db, booking["booking_id"]) == ["abandoned"]
    office.check()


# ---- refunds and disputes ----


def cancelled(office, admin, gateway, fault=None):
    show = admin.make_show(cancellation=CANCELLATION)
    buyer, lock = locked(office, show)
    booking = buyer.book(show.show_id, lock).expect(201)["booking_id"]
    if fault:
        gateway.fault("refund", fault)
    return show, booking, buyer.cancel(show.show_id, booking).expect(200)


def test_a_refund_is_due_when_the_gateway_speaks_of_it(office, admin, gateway, events, db):
    _, booking, _ = cancelled(office, admin, gateway, "500_after")
    [refund] = db.execute("UPDATE refunds SET settle_at = now() + interval '1 hour' WHERE booking_id = %s RETURNING refund_id", [booking]).fetchone()
    [made] = [r for r in gateway.ledger()["refunds"] if r["metadata"]["refund"] == str(refund)]
    events.send("refund.updated", made).expect(200)
    wait_until(lambda: db.execute("SELECT state FROM refunds WHERE refund_id = %s", [refund]).fetchone() == ("succeeded",),
               "the refund succeeded", 3)
    assert [i["amount_refunded"] for i in gateway.intents(booking)] == [9000]


def test_a_refund_that_fails_afterwards_is_found(office, admin, gateway, events, db):
    _, booking, done = cancelled(office, admin, gateway)
    assert done["refund"]["status"] == "succeeded"
    [refund] = db.execute("SELECT refund_id FROM refunds WHERE booking_id = %s", [booking]).fetchone()
    [made] = [r for r in gateway.ledger()["refunds"] if r["metadata"]["refund"] == str(refund)]
    for kind in ("refund.updated", "charge.refund.updated"):
        events.send(kind, made).expect(200)
    assert findings(db, refund, "refund_reversed") == []
    # the same event again has no effect, another one of the same is seen once more
    for event_id, times in (("evt_reversed", 1), ("evt_reversed", 1), (None, 2)):
        events.send("refund.failed", {**made, "status": "failed"}, event_id and event_id + str(refund)).expect(200)
        assert [row[1:] for row in findings(db, refund, "refund_reversed")] == [(times, True)]
    assert db.execute("SELECT state FROM refunds WHERE refund_id = %s", [refund]).fetchone() == ("succeeded",)


def test_a_refused_refund_is_found(office, admin, gateway, db):
    _, booking, done = cancelled(office, admin, gateway, "decline")
    assert done["refund"]["status"] == "failed"
    kind, amount, is_open, state = db.execute(
        "SELECT f.kind, f.amount_minor, settled_at = 'infinity', state FROM payment_findings f"
        " JOIN refunds r ON refund_id = subject_id WHERE f.booking_id = %s", [booking]).fetchone()
    assert (kind, amount, is_open, state) == ("refund_failed", 9000, True, "failed")


def test_a_refund_made_by_hand_is_found(office, admin, gateway, db):
    """At the gateway's dashboard, past the program. Once, however often it is told; our own are no findings."""
    _, booking, done = cancelled(office, admin, gateway)
    assert done["refund"]["status"] == "succeeded"
    show = admin.make_show()
    buyer, lock = locked(office, show)
    other = buyer.book(show.show_id, lock).expect(201)["booking_id"]
    [intent] = gateway.intents(other)
    by_hand = gateway.post("/v1/refunds", payment_intent=intent["id"], amount=700)
    marked = gateway.post("/v1/refunds", payment_intent=intent["id"], amount=1, metadata__refund=uuid.uuid4())
    gateway.post(f"/v1/refunds/{by_hand['id']}", **{"metadata[note]": "told again: refund.updated"})
    gateway.post(f"/v1/refunds/{marked['id']}", **{"metadata[note]": "told again: refund.updated"})

    def found():
        return sorted(db.execute("SELECT gateway_id, amount_minor, currency, settled_at = 'infinity' FROM payment_findings"
                                 " WHERE kind = 'foreign_refund' AND subject_id = %s", [intent["metadata"]["attempt"]]).fetchall())

    wait_until(lambda: found() == sorted([(by_hand["id"], 700, "EUR", True), (marked["id"], 1, "EUR", True)]), "both found")
    assert db.execute("SELECT count(*) FROM payment_findings WHERE booking_id = %s", [booking]).fetchone() == (0,)


def test_a_dispute_is_found(office, admin, gateway, events, db):
    show = admin.make_show()
    buyer, lock = locked(office, show)
    booking = buyer.book(show.show_id, lock).expect(201)["booking_id"]
    [intent] = gateway.intents(booking)
    dispute = {"id": f"dp_{uuid.uuid4().hex}", "object": "dispute", "amount": 9000, "currency": "eur", "payment_intent": intent["id"]}
    events.send("charge.dispute.created", dispute).expect(200)
    assert [row[1:] for row in findings(db, intent["metadata"]["attempt"], "dispute")] == [(1, True)]
    events.send("charge.dispute.created", {**dispute, "id": "dp_foreign", "payment_intent": "pi_foreign"}, "evt_foreign").expect(200)
    assert db.execute("SELECT count(*) FROM payment_findings WHERE gateway_id = 'dp_foreign'").fetchone() == (0,)
    assert stored(db, "evt_foreign")[1:3] == ("dp_foreign", "pi_foreign")


# ---- durable, rotated, absent: serve by hand ----


@pytest.fixture
def stand(make_stand, build_dir, work_dir):
    secret = work_dir / "webhook.key"
    secret.write_text("whsec_the_first_secret\n")
    sim = Simulator(build_dir, work_dir)
    stand = make_stand("--payment-url", sim.url, "--payment-key-file", str(sim.key_file), "--payment-webhook-secret-file", str(secret),
                       workers=1, work=False)
    stand.secret_file = secret
    yield stand
    sim.stop()


def test_answered_only_when_it_is_stored(stand):
    events = Events(stand.api(), "whsec_the_first_secret")
    events.send("x", {"id": "y"}, "evt_before").expect(200)
    stand.plant.postgres.kill()
    events.api.timeout_s = 20
    answer = events.send("x", {"id": "y"}, "evt_meanwhile")
    assert answer.status == 503 and answer.code in ("unavailable", "outcome_unknown")
    stand.plant.postgres.ensure_running()
    stand.wait_ready()
    events.send("x", {"id": "y"}, "evt_meanwhile").expect(200)
    with stand.plant.sql() as db:
        assert stored(db, "evt_before")[3] == 1 and stored(db, "evt_meanwhile")[3] in (1, 2)
    assert stand.metric("boxoffice_webhooks_total", outcome="unavailable") == 1


def test_secrets_are_changed_without_a_gap(stand):
    old, new = (Events(stand.api(), secret) for secret in ("whsec_the_first_secret", "whsec_the_second_one"))
    old.send("x", {"id": "y"}).expect(200)
    new.send("x", {"id": "y"}).expect(400, "signature_invalid")

    def reread(text, expected):
        stand.secret_file.write_text(text)
        before = stand.worker_pids()
        os.kill(stand.serve.pid, signal.SIGHUP)
        wait_until(lambda: set(stand.worker_pids()).isdisjoint(before) and len(stand.worker_pids()) == 1, "a new worker", 20)
        stand.wait_ready()
        for events, status in zip((old, new), expected, strict=True):
            events.api.close()
            events.send("x", {"id": "y"}).expect(status)

    reread("whsec_the_second_one\nwhsec_the_first_secret\n", (200, 200))
    reread("whsec_the_second_one\n", (400, 200))


def test_without_a_secret_nothing_is_taken(make_stand):
    stand = make_stand(workers=1, work=False)
    for secret in ("", "whsec_guessed_by_someone"):
        events = Events(stand.api(), secret)
        body = events.body("x", {"id": "y"})
        events.post(body, events.sign(body) if secret else "t=1,v1=" + "0" * 64).expect(404, "not_found")
    assert stand.metric("boxoffice_webhooks_total", outcome="unconfigured") == 2
