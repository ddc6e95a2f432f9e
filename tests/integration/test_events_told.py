"""What happens is told: a scenario for every type of event, gone by the real program, and the order that consumers are promised.

SCENARIOS has what each one must have told of its show; a test compares all of them with the schemas. Whether what is told is as the
schemas have it is asked of every box office that a test stops (event_schemas.py).
"""

import datetime
import json

import pytest

import event_schemas
import test_payment_arrows as arrows
from paying import CANCELLATION, DECLINED, age, bank, eur, locked, office_of, over, path_of
from paying import admin, db, gateway, sound  # noqa: F401 (fixtures)
from service import wait_until

office = office_of()
ADA = {"name": "Ada Lovelace", "email": "ada@example.org"}
PURCHASE = {"seat.locked", "seat.lock_paying", "seat.booked", "booking.payment_pending", "booking.confirmed", "payment.created",
            "payment.authorised", "payment.captured", "ticket.issued"}


class World(arrows.World):
    def told(self, *types):
        """Events of the show, in no order; of these types only, if any are named."""
        return [event for show, _, events in event_schemas.told(self.db) if str(show) == self.show.show_id
                for event in events if not types or event["type"] in types]

    def one(self, kind):
        [event] = self.told(kind)
        return event


@pytest.fixture
def world(office, admin, gateway, db):
    return World(office, admin, gateway, db)


def days(n):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=n)).strftime("%Y-%m-%dT%H:%M:%SZ")


# ---- scenarios ----


def purchase(w):
    w.book()


def decline(w):
    """And another card."""
    w.book(DECLINED, 402, "payment_declined")
    w.book()


def not_paid_in_time(w):
    w.book(DECLINED, 402, "payment_declined")
    age(w.db, w.lock, 400)


def at_the_bank(w):
    arrows.authorised_after_3ds(w)


def abandoned(w):
    arrows.abandoned(w)


def capture_refused(w):
    arrows.capture_failed(w)


def seats_lost(w):
    arrows.voided(w)


def given_up(w):
    w.buyer.release(w.show.show_id, w.lock).expect(204)


def replaced(w):
    w.buyer.lock(w.show.show_id, w.show.seats[1:3], replaces=w.lock).expect(201)


def expired(w):
    age(w.db, w.lock, 400)


def by_seat(w):
    w.book()
    w.buyer.cancel(w.show.show_id, w.booking, w.show.seats[:1]).expect(200)
    w.buyer.cancel(w.show.show_id, w.booking).expect(200)


def refund_that_takes_time(w):
    arrows.refund_succeeded_later(w)


def refund_that_fails(w):
    arrows.refund_failed_later(w)


def refund_taken_back(w):
    w.book("pm_card_refundFail")
    w.cancel()
    w.gateway.advance(3600)
    w.settle_later = "refund_reversed"


def refund_by_hand(w):
    """At the gateway, past the program; it fails there afterwards."""
    w.book("pm_card_refundFail")
    [intent] = w.gateway.intents(w.booking)
    w.gateway.post("/v1/refunds", payment_intent=intent["id"], amount=700)
    wait_until(lambda: w.told("payment.foreign_refund"), "the refund heard of")
    w.gateway.advance(3600)
    w.settle_later = "foreign_refund"


def taken_after_all(w):
    """The attempt had ended, and then the bank took the money: all of it goes back."""
    page = w.secure()
    w.gateway.fault("cancel", "429", times=1000000)
    over(w.db, w.booking, action_until=0)
    w.settled("abandoned")
    [intent] = w.gateway.intents(w.booking)
    bank(page, "authorise")
    w.gateway.post(f"/v1/payment_intents/{intent['id']}/capture")
    w.gateway.clear()
    w.db.execute("UPDATE payments SET settle_at = now() WHERE booking_id = %s AND void_wanted", [w.booking])


def blocks(w):
    path = f"/v1/shows/{w.show.show_id}/blocks"
    w.admin.post(path, {"seats": w.show.seats[5:7], "reason": "a camera for Ada Lovelace"}).expect(200)
    w.admin.delete(path, {"seats": w.show.seats[5:6]}).expect(200)


def another_plan(w):
    """Before anything of the show was held."""
    w.show = w.admin.make_show(seats=20)
    w.admin.post(f"/v1/shows/{w.show.show_id}/blocks", {"seats": w.show.seats[:1]}).expect(200)
    venue, = w.db.execute("SELECT venue_id::text FROM shows WHERE show_id = %s", [w.show.show_id]).fetchone()
    plan = w.admin.make_plan(venue, w.show.plan)
    w.admin.patch(f"/v1/shows/{w.show.show_id}", {"plan_id": plan["plan_id"]}).expect(200)
    w.admin.post(f"/v1/shows/{w.show.show_id}/blocks", {"seats": w.show.seats[1:2]}).expect(200)


def transfer(w):
    w.book()
    w.buyer.post(path_of(w.show, w.booking) + "/transfer", {"to": ADA, "seats": w.show.seats[:1]}).expect(200)


def at_the_door(w):
    """Let in, and not after all; then it was lost, and another one takes its place."""
    w.show = w.admin.make_show(cancellation=CANCELLATION, starts=600)
    w.buyer, w.lock = locked(w.office, w.show)
    w.book()
    ticket = w.buyer.get(path_of(w.show, w.booking) + "/tickets").expect(200)["items"][0]
    code = ticket["code"]
    path = f"/v1/shows/{w.show.show_id}/checkins"
    w.admin.post(path, {"code": code, "nonce": "n1", "device": "door"}).expect(200)
    w.admin.post(path + "/undo", {"code": code, "nonce": "n2", "device": "door"}).expect(200)
    w.admin.post(f"/v1/shows/{w.show.show_id}/tickets/{ticket['ticket_id']}/reissue").expect(201)


def put_off(w):
    w.book()
    w.admin.post(f"/v1/shows/{w.show.show_id}/reschedule", {"starts_at": days(30), "refund_until": days(3)}).expect(201)


def called_off(w):
    w.book()
    locked(w.office, w.show, 1, 5)
    w.admin.post(f"/v1/shows/{w.show.show_id}/cancel", {"reason": "Ada Lovelace is ill"}).expect(201)


SCENARIOS = {
    purchase: {"show.created", *PURCHASE},
    decline: {"payment.failed", "seat.lock_resumed", *PURCHASE},
    not_paid_in_time: {"payment.failed", "seat.lock_expired", "booking.failed"},
    at_the_bank: {"payment.requires_action", *PURCHASE},
    abandoned: {"payment.abandoned", "seat.lock_abandoned", "booking.failed"},
    capture_refused: {"payment.capture_failed", "booking.cancelled", "ticket.revoked", "seat.released"},
    seats_lost: {"payment.voided"},
    given_up: {"seat.released"},
    replaced: {"seat.released"},
    expired: {"seat.lock_expired"},
    by_seat: {"booking.seats_cancelled", "booking.cancelled", "ticket.revoked", "refund.requested", "refund.succeeded", "seat.released"},
    refund_that_takes_time: {"refund.requested", "refund.pending", "refund.succeeded"},
    refund_that_fails: {"refund.requested", "refund.failed"},
    refund_taken_back: {"refund.succeeded", "refund.reversed"},
    refund_by_hand: {"payment.foreign_refund", "payment.foreign_refund_reversed"},
    taken_after_all: {"payment.abandoned", "refund.requested", "refund.succeeded"},
    blocks: {"seat.blocked", "seat.unblocked"},
    another_plan: {"show.updated", "seat.renumbered", "seat.blocked"},
    transfer: {"ticket.issued", "ticket.revoked"},
    at_the_door: {"ticket.issued", "ticket.used", "ticket.use_undone", "ticket.revoked"},
    put_off: {"show.rescheduled"},
    called_off: {"show.cancelled", "seat.released", "booking.cancelled", "ticket.revoked", "refund.requested"},
}


def versions(events):
    """{(what, id): versions as they were told}; of a seat those of its number."""
    found = {}
    for event in events:
        if event["type"] == "seat.renumbered":
            for key in [key for key in found if key[0] == "seat"]:
                del found[key]
            found |= {("seat", number): [event["version"]] for number in range(event["count"])}
        elif event["type"].startswith("seat."):
            for number, version in event["seats"].items():
                found.setdefault(("seat", int(number)), []).append(version)
        else:
            what = event["type"].split(".")[0]
            found.setdefault((what, event[f"{what}_id"]), []).append(event["version"])
    return found


def in_order(db, show_id):
    """Events of a show in the order in which they leave."""
    rows = db.execute("SELECT events FROM outbox_events WHERE show_id = %s ORDER BY seq", [show_id]).fetchall()
    return [event for (events,) in rows for event in events]


def assert_no_gaps(events):
    for (what, name), found in versions(events).items():
        renumbered = what == "seat" and any(e["type"] == "seat.renumbered" for e in events)
        first = found[0] if renumbered else 1
        assert found == list(range(first, first + len(found))), f"the versions of {what} {name}"


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_what_happens_is_told(world, scenario):
    scenario(world)
    wanted = SCENARIOS[scenario]
    wait_until(lambda: wanted <= {event["type"] for event in world.told()}, f"{wanted} told", 30)
    events = in_order(world.db, world.show.show_id)
    for event in events:
        assert event["show_id"] == world.show.show_id
    assert "Ada" not in json.dumps(events)
    assert_no_gaps(events)
    if hasattr(world, "settle_later"):  # the finding, so that `boxoffice check` is content
        [finding] = world.db.execute("SELECT finding_id FROM payment_findings WHERE booking_id = %s AND kind = %s AND settled_at = 'infinity'",
                                     [world.booking, world.settle_later]).fetchone()
        world.office.run_admin("payments", "settle", str(finding), "--how", "seen to", "--by", "Grace")


def test_every_type_is_told_by_a_scenario():
    assert set().union(*SCENARIOS.values()) == set(event_schemas.load())


# ---- what they say ----


def test_a_purchase_in_words(world):
    """Names, money and ids are what the API says of the same."""
    world.book()
    booking = world.buyer.get(path_of(world.show, world.booking)).expect(200)
    said = world.one("booking.confirmed")
    assert (said["booking_id"], said["reference"], said["version"]) == (booking["booking_id"], booking["reference"], 2)
    assert said["total"] == booking["total"] == eur(9000) and said["lock_id"] == world.lock
    assert [(s["seat"], s["price"]) for s in said["seats"]] == [(s["guid"], s["price"]) for s in booking["seats"]]
    show = world.office.api().get(f"/v1/shows/{world.show.show_id}").expect(200)
    created = world.one("show.created")
    assert (said["event_id"], created["event_id"]) == (show["event_id"], show["event_id"])
    assert datetime.datetime.fromisoformat(created["starts_at"]) == datetime.datetime.fromisoformat(show["starts_at"])
    assert (created["capacity"], created["timezone"], created["status"]) == (show["capacity"], show["timezone"], "published")
    assert {(t["ticket_id"], t["seat"]) for t in world.told("ticket.issued")} == {(t["ticket_id"], t["seat"]) for t in booking["tickets"]}
    assert [p["amount"] for p in world.told("payment.captured")] == [eur(9000)]


def test_the_number_of_a_seat_is_its_place_in_the_seat_map(world):
    """As docs/events.md tells consumers to find it."""
    seatmap = world.office.api().get(f"/v1/shows/{world.show.show_id}/seatmap").expect(200)
    guids = [seat["guid"] for zone in seatmap["zones"] for row in zone["rows"] for seat in row["seats"]]
    wanted = [guids[7], guids[3], guids[12]]
    buyer = world.office.session()
    lock = buyer.lock(world.show.show_id, wanted).expect(201)
    [event] = [e for e in world.told("seat.locked") if e["lock_id"] == lock["lock_id"]]
    assert {guids[int(number)] for number in event["seats"]} == set(wanted)
    booking = buyer.book(world.show.show_id, lock["lock_id"]).expect(201)
    [event] = [e for e in world.told("booking.confirmed") if e["booking_id"] == booking["booking_id"]]
    assert {s["seat"] for s in event["seats"]} == set(wanted) and all(guids[s["seat_no"]] == s["seat"] for s in event["seats"])


def test_what_is_given_back_is_told(world):
    world.book()
    done = world.buyer.cancel(world.show.show_id, world.booking, world.show.seats[1:2]).expect(200)
    said = world.one("booking.seats_cancelled")
    assert said["reason"] == "buyer" and [s["seat"] for s in said["seats"]] == world.show.seats[1:2]
    assert said["refund"] == done["refund"]["amount"] and said["refund"]["amount"] + said["fee"]["amount"] == 4500
    refund = world.one("refund.requested")
    assert (refund["amount"], refund["kind"], refund["booking_id"]) == (said["refund"], "seats", world.booking)
    [gone] = world.told("ticket.revoked")
    assert (gone["seat"], gone["reason"], gone["version"]) == (world.show.seats[1], "buyer", 2)
    [free] = world.told("seat.released")
    assert free["reason"] == "booking_ended" and list(free["seats"]) == ["1"]


def test_why_a_seat_is_free_again(world):
    """released: by its owner, by his next lock, by the show."""
    other, second = locked(world.office, world.show, 2, 4)
    other.lock(world.show.show_id, world.show.seats[5:7], replaces=second).expect(201)
    given_up(world)
    world.admin.post(f"/v1/shows/{world.show.show_id}/cancel", {}).expect(201)
    wait_until(lambda: len(world.told("seat.released")) == 3, "all of it released")
    assert [e["reason"] for e in world.told("seat.released") if e["lock_id"] == world.lock] == ["given_up"]
    assert [(e["reason"], list(e["seats"])) for e in world.told("seat.released") if e["lock_id"] == second] == [("replaced", ["4"])]
    assert sorted(e["reason"] for e in world.told("seat.released")) == ["given_up", "replaced", "show_cancelled"]


def test_a_change_of_a_show_says_what_it_is_now(world):
    world.show = world.admin.make_show()
    path = f"/v1/shows/{world.show.show_id}"
    before = world.one("show.created")
    world.admin.patch(path, {"status": "draft"}).expect(200)
    updated = world.one("show.updated")
    assert updated == {**before, "type": "show.updated", "version": 2, "status": "draft"}
    world.admin.patch(path, {"status": "published"}).expect(200)
    starts, until = days(40), days(20)
    body = {"starts_at": starts, "refund_until": until}
    job = world.admin.post(path + "/reschedule", body, key="once").expect(201)
    world.admin.post(path + "/reschedule", body, key="once").expect(201)
    moved = world.one("show.rescheduled")
    assert (moved["version"], moved["job_id"], moved["previous_starts_at"]) == (4, job["job_id"], before["starts_at"])
    assert (moved["starts_at"][:19], moved["refund_until"][:19]) == (starts[:19], until[:19])
    job = world.admin.post(path + "/cancel", {"reason": "ill"}).expect(201)
    world.admin.post(path + "/cancel", {"reason": "ill"}).expect(201)
    off = world.one("show.cancelled")
    assert (off["version"], off["job_id"], off["status"], off["starts_at"]) == (5, job["job_id"], "cancelled", moved["starts_at"])


def test_what_did_not_happen_is_not_told(world):
    """What was refused leaves no event behind."""
    told = len(world.told())
    world.office.session().lock(world.show.show_id, world.show.seats[:1]).expect(409, "seats_unavailable")
    world.office.session().book(world.show.show_id, world.lock).expect(404, "not_found")
    world.admin.post(f"/v1/shows/{world.show.show_id}/blocks", {"seats": world.show.seats[:1]}).expect(409, "seats_unavailable")
    assert len(world.told()) == told
