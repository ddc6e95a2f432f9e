"""When the gateway's ledger changes past us: what it took back, what was given back there by hand. The daily statement ties to it,
and what our own refunds have left is known."""

import datetime

from gateway import Events
from paying import CANCELLATION, eur, locked, office_of, path_of
from paying import admin, db, gateway, sound  # noqa: F401 (fixtures)
from service import wait_until


office = office_of("--workers", "1")


def booked(office, admin, card="pm_card_visa"):
    show = admin.make_show(cancellation=CANCELLATION)
    buyer, lock = locked(office, show)
    return show, buyer, buyer.book(show.show_id, lock, card).expect(201)["booking_id"]


def settle(office, db, booking, kind):
    [finding] = db.execute("SELECT finding_id FROM payment_findings WHERE booking_id = %s AND kind = %s AND settled_at = 'infinity'",
                           [booking, kind]).fetchone()
    office.run_admin("payments", "settle", str(finding), "--how", "seen to", "--by", "Grace")


def statement(admin, day=None):
    return admin.get(f"/v1/statements?day={day or datetime.datetime.now(datetime.timezone.utc).date()}").expect(200)


def lines_of(admin, booking, day=None):
    return [(line["kind"], line.get("refund_kind"), line["gateway_id"], line["amount"]["amount"])
            for line in statement(admin, day)["items"] if line["booking_id"] == booking]


def assert_tied(admin, gateway, booking, day=None):
    """A day's lines of a booking are what the gateway's ledger has of it, to the cent."""
    [intent] = gateway.intents(booking)
    signs = {"payment": 1, "refund": -1, "reversal": 1}
    ours = sum(signs[kind] * amount for kind, _, _, amount in lines_of(admin, booking, day))
    assert ours == intent["amount_captured"] - sum(r["amount"] for r in gateway.refunds(intent["id"]) if r["status"] == "succeeded")


def found(db, booking, kind):
    return wait_until(lambda: db.execute("SELECT gateway_id FROM payment_findings WHERE booking_id = %s AND kind = %s",
                                         [booking, kind]).fetchall(), f"{kind} found")


def test_a_reversed_refund_has_a_line_of_its_own_day(office, admin, gateway, db):
    """The refund's line stays; the day on which the gateway took it back has the correction, once, however often it is told."""
    show, buyer, booking = booked(office, admin, "pm_card_refundFail")
    done = buyer.cancel(show.show_id, booking).expect(200)
    assert done["refund"] == {"status": "succeeded", "amount": eur(8700)} and "owed" not in done["detail"]
    [intent] = gateway.intents(booking)
    [made] = gateway.refunds(intent["id"])
    assert_tied(admin, gateway, booking)
    # all of that was long ago
    db.execute("UPDATE payment_events SET at = '2021-05-06 12:00Z' WHERE booking_id = %s", [booking])
    before = statement(admin)["sums"][0]
    gateway.advance(3600)
    found(db, booking, "refund_reversed")
    assert [r["status"] for r in gateway.refunds(intent["id"])] == ["failed"]
    gateway.post(f"/v1/refunds/{made['id']}", **{"metadata[note]": "told again: refund.updated"})
    wait_until(lambda: db.execute("SELECT times > 1 FROM payment_findings WHERE booking_id = %s AND kind = 'refund_reversed'",
                                  [booking]).fetchone() == (True,), "told again")
    assert lines_of(admin, booking, "2021-05-06") == [("payment", None, intent["id"], 9000), ("refund", "seats", made["id"], 8700)]
    assert lines_of(admin, booking) == [("reversal", "seats", made["id"], 8700)]
    after = statement(admin)["sums"][0]
    assert {name: after[name] - before[name] for name in ("captured", "refunded", "reversed", "net", "refunds", "reversals")} == {
        "captured": 0, "refunded": 0, "reversed": 8700, "net": 8700, "refunds": 0, "reversals": 1}
    db.execute("UPDATE payment_events SET at = now() WHERE booking_id = %s", [booking])
    assert_tied(admin, gateway, booking)
    told = buyer.get(path_of(show, booking)).expect(200)
    assert told["refund"]["status"] == "succeeded" and "sent it back" in told["detail"] and "still owed" in told["detail"]
    settle(office, db, booking, "refund_reversed")
    assert_tied(admin, gateway, booking)
    assert "still owed" not in (told := buyer.get(path_of(show, booking)).expect(200))["detail"] and "settled" in told["detail"]


def test_refunds_made_by_hand_at_the_gateway(office, admin, gateway, db):
    """Each is a line of the day on which it succeeded, beside our own; told again it is not another."""
    show, buyer, booking = booked(office, admin)
    [intent] = gateway.intents(booking)
    one, other = (gateway.post("/v1/refunds", payment_intent=intent["id"], amount=amount) for amount in (700, 1))
    wait_until(lambda: len(found(db, booking, "foreign_refund")) == 2, "both found")
    gateway.post(f"/v1/refunds/{one['id']}", **{"metadata[note]": "told again: refund.updated"})
    wait_until(lambda: db.execute("SELECT times FROM payment_findings WHERE gateway_id = %s", [one["id"]]).fetchone() > (1,), "told again")
    assert sorted(lines_of(admin, booking)) == sorted([("payment", None, intent["id"], 9000), ("refund", "foreign", one["id"], 700),
                                                       ("refund", "foreign", other["id"], 1)])
    assert_tied(admin, gateway, booking)
    text = admin.get(f"/v1/statements?day={datetime.datetime.now(datetime.timezone.utc).date()}&format=csv").body.decode()
    assert f",{intent['metadata']['attempt']},,foreign,{one['id']},700,EUR\r\n" in text
    buyer.cancel(show.show_id, booking, show.seats[:1]).expect(200)
    assert len(lines_of(admin, booking)) == 4
    assert_tied(admin, gateway, booking)
    for _ in range(2):
        settle(office, db, booking, "foreign_refund")
    assert_tied(admin, gateway, booking)


def test_a_refund_by_hand_that_fails_afterwards(office, admin, gateway, db):
    _, _, booking = booked(office, admin, "pm_card_refundFail")
    [intent] = gateway.intents(booking)
    made = gateway.post("/v1/refunds", payment_intent=intent["id"], amount=700)
    found(db, booking, "foreign_refund")
    assert_tied(admin, gateway, booking)
    gateway.advance(3600)
    wait_until(lambda: lines_of(admin, booking)[2:], "the reversal")
    assert lines_of(admin, booking)[1:] == [("refund", "foreign", made["id"], 700), ("reversal", "foreign", made["id"], 700)]
    assert_tied(admin, gateway, booking)
    settle(office, db, booking, "foreign_refund")


def test_a_refund_by_hand_whose_failure_is_heard_of_first(office, admin, gateway, db):
    """Events come in any order: what failed before it was known is never given back."""
    _, _, booking = booked(office, admin, "pm_card_refundFail")
    [intent] = gateway.intents(booking)
    gateway.silent()
    made = gateway.post("/v1/refunds", payment_intent=intent["id"], amount=700)
    gateway.clear()
    gateway.advance(3600)

    def in_the_trail():
        return db.execute("SELECT from_state, to_state FROM payment_events WHERE booking_id = %s AND why LIKE %s",
                          [booking, "%" + made["id"]]).fetchall()

    wait_until(in_the_trail, "the failure heard of")
    assert in_the_trail() == [("", "failed")]
    Events(office.api(), (office.dir / "secret" / "webhook.key").read_text().strip()).send("refund.created", made).expect(200)
    assert in_the_trail() == [("", "failed")] and len(lines_of(admin, booking)) == 1
    assert_tied(admin, gateway, booking)
    settle(office, db, booking, "foreign_refund")


# ---- our own refund when a part was given back by hand ----


def refused_after(office, admin, gateway, db, amount):
    """So much was given back at the gateway by hand; the cancellation asks for all, which the gateway refuses by itself."""
    show, buyer, booking = booked(office, admin)
    [intent] = gateway.intents(booking)
    gateway.post("/v1/refunds", payment_intent=intent["id"], amount=amount)
    found(db, booking, "foreign_refund")
    assert buyer.cancel(show.show_id, booking).expect(200)["refund"]["status"] == "failed"
    [refund] = db.execute("SELECT refund_id FROM refunds WHERE booking_id = %s", [booking]).fetchone()
    return show, buyer, booking, str(refund)


def test_what_is_left_is_sent_again(office, admin, gateway, db):
    """What somebody gave back at the gateway is not given twice; the books agree when that finding is settled."""
    show, buyer, booking, refund = refused_after(office, admin, gateway, db, 700)
    assert f"retry-refund {refund}" in office.run_admin("payments", "list")
    done = office.run_admin("payments", "retry-refund", refund, "--by", "Grace")
    assert "83.00 EUR  requested" in done
    wait_until(lambda: db.execute("SELECT state FROM refunds WHERE refund_id = %s", [done.split()[0]]).fetchone() == ("succeeded",),
               "it succeeded", 20)
    assert [i["amount_refunded"] for i in gateway.intents(booking)] == [9000]
    told = buyer.get(path_of(show, booking)).expect(200)
    assert told["refund"] == {"status": "succeeded", "amount": eur(8300)} and "owed" not in told["detail"]
    assert_tied(admin, gateway, booking)
    settle(office, db, booking, "foreign_refund")


def test_what_is_spent_is_not_sent_again(office, admin, gateway, db):
    """All of it was given back at the gateway by hand: nothing can be sent, and nothing of the kind is advised."""
    _, _, booking, refund = refused_after(office, admin, gateway, db, 9000)
    text = office.run_admin("payments", "list")
    assert refund in text and f"retry-refund {refund}" not in text and "nothing left of this payment" in text
    assert "does not have that much left" in office.run_admin("payments", "retry-refund", refund, status=1)
    assert_tied(admin, gateway, booking)
    settle(office, db, booking, "foreign_refund")
    settle(office, db, booking, "refund_failed")
