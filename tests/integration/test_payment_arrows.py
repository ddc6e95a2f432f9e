"""Every arrow of a payment and of a refund, gone by the real program, and what it leaves in the audit trail.

ARROWS has a scenario per arrow of payment_arrows and refund_arrows in payment.c, and the two that make them; a test compares.
Time is moved by SQL, faults are switches of the simulator.
"""

import re

import pytest

from paying import CANCELLATION, DECLINED, Stolen, attempts, bank, eur, locked, over, path_of, secure
from paying import admin, db, gateway, office, sound  # noqa: F401 (fixtures)
from service import wait_until


class World:
    """A show and a buyer with two seats of it; the steps that scenarios share."""

    def __init__(self, office, admin, gateway, db):
        self.office, self.admin, self.gateway, self.db = office, admin, gateway, db
        self.show = admin.make_show(cancellation=CANCELLATION)
        self.buyer, self.lock = locked(office, self.show)
        self.booking = None

    def book(self, card="pm_card_visa", status=201, code=None):
        body = self.buyer.book(self.show.show_id, self.lock, card).expect(status, code)
        [[self.booking]] = self.db.execute("SELECT booking_id::text FROM bookings WHERE lock_id = %s", [self.lock]).fetchall()
        return body

    def secure(self):
        body = secure(self.office, self.show, self.buyer, self.lock).expect(201)
        self.booking = body["booking_id"]
        return body["payment"]["next_action"]["redirect_to_url"]["url"]

    def ask_until(self, state):
        """GET looks at the gateway, at most once a second."""
        def asked():
            self.buyer.get(path_of(self.show, self.booking)).expect(200)
            return attempts(self.db, self.booking) == [state]

        # the settling duty would come first if it were its time
        self.db.execute("UPDATE payments SET settle_at = now() + interval '1 min' WHERE booking_id = %s", [self.booking])
        wait_until(asked, f"the attempt {state}", 5)

    def settled(self, state):
        wait_until(lambda: attempts(self.db, self.booking) == [state], f"the attempt {state}", 15)

    def cancel(self):
        return self.buyer.cancel(self.show.show_id, self.booking).expect(200)

    def goodwill(self):
        return self.admin.post(path_of(self.show, self.booking) + "/refunds", {"amount": eur(1000), "reason": "Heating failed"}).expect(201)

    def refund_settled(self, state):
        def there():
            self.db.execute("UPDATE refunds SET settle_at = now() WHERE booking_id = %s AND state IN ('requested', 'pending')"
                            " AND settle_at > now() + interval '1 s'", [self.booking])
            return self.db.execute("SELECT state FROM refunds WHERE booking_id = %s", [self.booking]).fetchall() == [(state,)]

        wait_until(there, f"the refund {state}", 15, 0.2)

    def trail(self):
        return self.admin.get(path_of(self.show, self.booking) + "/payments").expect(200)["items"]

    def request_ids(self, step):
        return [row[0] for row in self.db.execute("SELECT gateway_request_id FROM payment_calls WHERE step = %s AND payment_id IN"
                                                  " (SELECT payment_id FROM payments WHERE booking_id = %s)", [step, self.booking])]


def created(w):
    w.book()
    return "buyer", "asked to pay", None


def requires_action(w):
    w.secure()
    return "buyer", "the bank wants to see the buyer", "confirm"


def authorised(w):
    w.book()
    return "buyer", "the money is held", "confirm"


def authorised_after_3ds(w):
    bank(w.secure(), "authorise")
    w.ask_until("captured")
    return "buyer", "the money is held", "retrieve"


def captured(w):
    w.book()
    return "buyer", "captured", "capture"


def capture_failed(w):
    w.book("pm_card_captureFails", 402, "payment_declined")
    return "buyer", "the capture was refused", "capture"


def failed(w):
    w.book(DECLINED, 402, "payment_declined")
    return "buyer", "declined: generic_decline", "confirm"


def failed_at_the_bank(w):
    bank(w.secure(), "fail")
    w.ask_until("failed")
    return "buyer", "declined: payment_intent_authentication_failure", "retrieve"


def abandoned(w):
    """Confirmed, and then nobody can ask the gateway how it went."""
    w.gateway.broken("confirm", "drop_after")
    w.gateway.broken("retrieve", "drop_before")
    w.book(status=503, code="outcome_unknown")
    over(w.db, w.booking, hold_until=0, action_until=0)
    w.settled("abandoned")
    w.gateway.clear()
    return "reconciler", "its time was over", None


def abandoned_at_the_bank(w):
    w.secure()
    over(w.db, w.booking, action_until=0)
    w.settled("abandoned")
    return "reconciler", "its time was over", "retrieve"


def voided(w):
    with Stolen(w.office, w.db, w.show):
        w.book(status=409, code="seat_already_booked")
    return "buyer", "the seats could not be had", "confirm"


def voided_after_3ds(w):
    bank_page = w.secure()
    with Stolen(w.office, w.db, w.show):
        bank(bank_page, "authorise")
        w.ask_until("voided")
    return "buyer", "the seats could not be had", "retrieve"


def refund_requested(w):
    w.book()
    w.cancel()
    return "buyer", "seats", None


def refund_succeeded(w):
    w.book()
    w.cancel()
    return "buyer", "the gateway has given the money back", "refund"


def refund_failed(w):
    w.book()
    w.gateway.broken("refund", "decline")
    assert w.goodwill()["status"] == "failed"
    w.gateway.clear()
    return "staff", "declined", "refund"


def refund_pending(w):
    w.book("pm_card_pendingRefund")
    assert w.goodwill()["status"] == "pending"
    return "staff", "the gateway is at it", "refund"


def refund_succeeded_later(w):
    refund_pending(w)
    w.gateway.advance(60)
    w.refund_settled("succeeded")
    return "reconciler", "the gateway has given the money back", "retrieve"


def refund_failed_later(w):
    w.book("pm_card_pendingRefundFails")
    assert w.goodwill()["status"] == "pending"
    w.gateway.advance(60)
    w.refund_settled("failed")
    return "reconciler", "expired_or_canceled_card", "retrieve"


ARROWS = {
    ("payment", "", "created"): created,
    ("payment", "created", "requires_action"): requires_action,
    ("payment", "created", "authorised"): authorised,
    ("payment", "requires_action", "authorised"): authorised_after_3ds,
    ("payment", "authorised", "captured"): captured,
    ("payment", "authorised", "capture_failed"): capture_failed,
    ("payment", "created", "failed"): failed,
    ("payment", "requires_action", "failed"): failed_at_the_bank,
    ("payment", "created", "abandoned"): abandoned,
    ("payment", "requires_action", "abandoned"): abandoned_at_the_bank,
    ("payment", "created", "voided"): voided,
    ("payment", "requires_action", "voided"): voided_after_3ds,
    ("refund", "", "requested"): refund_requested,
    ("refund", "requested", "pending"): refund_pending,
    ("refund", "requested", "succeeded"): refund_succeeded,
    ("refund", "pending", "succeeded"): refund_succeeded_later,
    ("refund", "requested", "failed"): refund_failed,
    ("refund", "pending", "failed"): refund_failed_later,
}


def drawn(text):
    """The arrows of payment.c's two tables, and the beginning of each machine."""
    found = {("payment", "", "created"), ("refund", "", "requested")}
    for kind in ("payment", "refund"):
        [table] = re.findall(rf"const struct {kind}_arrow {kind}_arrows\[\] = \{{(.*?)^\}};", text, re.S | re.M)
        rows = re.findall(rf"\{{{kind.upper()}_(\w+), {kind.upper()}_(\w+), \"\w+\"\}}", table)
        assert len(rows) == table.count('"') // 2 > 0, "a row of another form"
        found |= {(kind, source.lower(), target.lower()) for source, target in rows}
    return found


def test_every_arrow_has_a_scenario(root):
    arrows = drawn((root / "src/payment/payment.c").read_text())
    assert not arrows - set(ARROWS), "arrows without a scenario"
    assert not set(ARROWS) - arrows, "scenarios of arrows that are not drawn"


def test_an_arrow_without_a_scenario_is_found(root):
    text = (root / "src/payment/payment.c").read_text()
    more = text.replace("payment_arrows[] = {\n", 'payment_arrows[] = {\n\t{PAYMENT_CAPTURED, PAYMENT_VOIDED, "payment_void"},\n')
    assert drawn(more) - set(ARROWS) == {("payment", "captured", "voided")}


def assert_unbroken(trail):
    """Each thing's arrows follow one another from the beginning, along drawn ones."""
    at = {}
    for item in trail:
        thing = item.get("refund_id", item["payment_id"])
        kind = "refund" if "refund_id" in item else "payment"
        if item["from"] == item["to"]:
            continue  # a note, no arrow
        assert item["from"] == at.get(thing, ""), trail
        assert (kind, item["from"], item["to"]) in ARROWS, item
        at[thing] = item["to"]


@pytest.mark.parametrize("arrow", ARROWS, ids=lambda arrow: "-".join(filter(None, arrow)))
def test_arrow(office, admin, gateway, db, arrow):
    kind, source, target = arrow
    world = World(office, admin, gateway, db)
    actor, why, step = ARROWS[arrow](world)
    trail = world.trail()
    found = [item for item in trail if (item["from"], item["to"]) == (source, target) and ("refund_id" in item) == (kind == "refund")]
    assert len(found) == 1, trail
    [item] = found
    assert (item["actor"], item["why"]) == (actor, why)
    if step is None:
        assert item["gateway_request_id"] == ""
    elif step == "retrieve":  # what only asks leaves no row
        assert item["gateway_request_id"].startswith("req_")
    else:
        assert item["gateway_request_id"].startswith("req_") and item["gateway_request_id"] in world.request_ids(step)
    [[refunded]] = db.execute("SELECT coalesce(sum(amount_minor), 0) FROM refunds WHERE booking_id = %s", [world.booking]).fetchall()
    assert item["amount"] == eur(refunded if kind == "refund" else 9000)
    assert_unbroken(trail)


# ---- the same arrows by others, or for other reasons ----


def arrow_of(trail, source, target):
    [item] = [item for item in trail if (item["from"], item["to"]) == (source, target)]
    return item["actor"], item["why"], item["gateway_request_id"]


def test_failed_because_the_gateway_is_away(office, admin, gateway, db):
    w = World(office, admin, gateway, db)
    gateway.broken("create", "drop_before")
    w.book(status=503, code="payment_unavailable")
    assert arrow_of(w.trail(), "created", "failed") == ("buyer", "unavailable", "")


def test_what_staff_asked_for_is_theirs(office, admin, gateway, db):
    w = World(office, admin, gateway, db)
    w.book()
    w.goodwill()
    assert arrow_of(w.trail(), "", "requested") == ("staff", "goodwill", "")
    assert arrow_of(w.trail(), "requested", "succeeded")[0] == "staff"


def test_what_staff_asked_about_is_theirs(office, admin, gateway, db):
    w = World(office, admin, gateway, db)
    bank(w.secure(), "authorise")
    w.buyer = w.admin
    w.ask_until("captured")
    assert arrow_of(w.trail(), "requires_action", "authorised")[0] == "staff"


def test_settled_by_itself(office, admin, gateway, db):
    w = World(office, admin, gateway, db)
    bank(w.secure(), "authorise")
    over(db, w.booking)
    w.settled("captured")
    assert arrow_of(w.trail(), "requires_action", "authorised")[:2] == ("reconciler", "the money is held")
    assert arrow_of(w.trail(), "authorised", "captured")[:2] == ("reconciler", "captured")


def test_a_refund_found_in_the_gateways_list(office, admin, gateway, db):
    """The call was answered with a 500 although it was done: the next try reads the list first."""
    w = World(office, admin, gateway, db)
    w.book()
    gateway.broken("refund", "500_after")
    assert w.goodwill()["status"] == "requested"
    gateway.clear()
    w.refund_settled("succeeded")
    actor, _, request_id = arrow_of(w.trail(), "requested", "succeeded")
    assert actor == "reconciler" and request_id.startswith("req_")
    assert [i["amount_refunded"] for i in gateway.intents(w.booking)] == [1000]


def test_taken_although_the_booking_had_ended(office, admin, gateway, db):
    """The capture was refused, the booking ended; before the hold is given back somebody takes the money at the gateway."""
    w = World(office, admin, gateway, db)
    gateway.broken("capture", "decline")
    gateway.broken("cancel", "drop_before")
    w.book(status=402, code="payment_declined")
    gateway.clear()
    [intent] = gateway.intents(w.booking)
    gateway.broken("cancel", "drop_before")
    gateway.post(f"/v1/payment_intents/{intent['id']}/capture")
    gateway.clear()
    db.execute("UPDATE payments SET settle_at = now() WHERE booking_id = %s", [w.booking])
    w.refund_settled("succeeded")
    trail = w.trail()
    assert arrow_of(trail, "", "requested")[:2] == ("reconciler", "taken although the booking had ended")
    assert arrow_of(trail, "requested", "succeeded")[0] == "reconciler"
    assert [i["amount_refunded"] for i in gateway.intents(w.booking)] == [9000]
    booking = w.buyer.get(path_of(w.show, w.booking)).expect(200)
    assert booking["payment"]["status"] == "refunded" and booking["refund"] == {"status": "succeeded", "amount": eur(9000)}
    assert "All of it was given back" in booking["detail"]


def test_only_inserted_and_read(office, admin, gateway, db):
    """The trail is append-only by privileges of the program's own role."""
    import psycopg

    w = World(office, admin, gateway, db)
    w.book()
    db.execute("SET ROLE boxoffice_app")
    for statement in ("UPDATE payment_events SET why = 'x'", "DELETE FROM payment_events", "TRUNCATE payment_events"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            db.execute(statement)
    for table in ("payments", "refunds", "payment_calls"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            db.execute(f"DELETE FROM {table}")
    db.execute("RESET ROLE")
