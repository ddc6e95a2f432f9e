"""Tickets get another holder, or are sent once more: the old codes void and the new ones good in the same moment, and a trail of it."""

import base64
import hashlib
import uuid

import pytest

from api import Api
from paying import CANCELLATION, locked, path_of
from paying import admin, db, gateway, office, sound  # noqa: F401 (fixtures)
from service import wait_until
from test_cancel import at_once

BOB = {"name": "Bob Holder", "email": "bob@example.org"}


def booked(office, show, n=2, start=0):
    buyer, lock = locked(office, show, n, start)
    return buyer, buyer.book(show.show_id, lock).expect(201)


def give(who, show, booking, seats=None, to=None, key=None):
    body = {"to": to or BOB, **({"seats": seats} if seats else {})}
    return who.post(path_of(show, booking["booking_id"]) + "/transfer", body, key=key)


def tickets(who, show, booking):
    """{seat: [(code, status)]}, those that are good no more first."""
    found = {}
    for ticket in who.get(path_of(show, booking["booking_id"]) + "/tickets").expect(200)["items"]:
        found.setdefault(ticket["seat"], []).append((ticket["code"], ticket["status"]))
    return found


def revoked(office, show):
    return set(office.api().get(f"/v1/shows/{show.show_id}/tickets/revoked").expect(200)["items"])


def mails(db, kind, booking):
    return db.execute("SELECT y.email FROM notifications n JOIN buyers y USING (buyer_id) WHERE n.kind = %s AND n.booking_id = %s "
                      "AND n.state IN ('queued', 'sent', 'dropped') ORDER BY n.created_at", [kind, booking["booking_id"]]).fetchall()


def test_some_seats_get_another_holder(office, admin, db):
    show = admin.make_show(seats=6)
    buyer, booking = booked(office, show, 3)
    old = {t["seat"]: t for t in booking["tickets"]}
    made = give(buyer, show, booking, [show.seats[0], show.seats[2]]).expect(200)
    assert made["to"] == BOB and [t["seat"] for t in made["tickets"]] == [show.seats[0], show.seats[2]]
    new = {t["seat"]: t["ticket_id"] for t in made["tickets"]}

    # the doors hear of it: the old ones are good no more
    assert revoked(office, show) == {old[seat]["ticket_id"] for seat in new}
    assert office.api(booking["access_token"]).get(f"/v1/shows/{show.show_id}/tickets/{old[show.seats[0]]['ticket_id']}.pdf").status == 404
    # the new codes are the holder's: the buyer is told that there is a ticket, staff all of it
    mine, all_of = tickets(buyer, show, booking), tickets(admin, show, booking)
    assert mine[show.seats[0]] == [(None, "revoked"), (None, "valid")] and mine[show.seats[1]] == [(old[show.seats[1]]["code"], "valid")]
    [(_, _), (code, status)] = all_of[show.seats[0]]
    assert status == "valid" and code and code != old[show.seats[0]]["code"]
    told = [t for t in buyer.get(path_of(show, booking["booking_id"])).expect(200)["tickets"] if t.get("transferred")]
    assert sorted(t["ticket_id"] for t in told) == sorted(new.values()) and all(t["code"] is None for t in told)
    # so are the papers
    paper = f"/v1/shows/{show.show_id}/tickets/{new[show.seats[0]]}.svg"
    buyer.get(paper).expect(404)
    office.api(booking["access_token"]).get(paper).expect(404)
    assert admin.get(paper).status == 200
    # the mail to the holder, and the trail
    assert mails(db, "transfer", booking) == [("bob@example.org",)]
    actor, seats, gone = db.execute("SELECT actor, seats, revoked::text[] FROM ticket_transfers WHERE booking_id = %s",
                                    [booking["booking_id"]]).fetchone()
    assert (actor, seats, set(gone)) == ("buyer", [0, 2], revoked(office, show))
    told = [event for (events,) in db.execute("SELECT events FROM outbox_events WHERE show_id = %s AND topic = 'ticket' ORDER BY seq",
                                              [show.show_id]) for event in events]
    assert [(e["type"], e["seat"]) for e in told if e["type"] == "ticket.revoked" and e["reason"] == "transferred"] == [
        ("ticket.revoked", show.seats[0]), ("ticket.revoked", show.seats[2])]
    assert [e["type"] for e in told].count("ticket.issued") == 5
    assert {e["ticket_id"] for e in told if e.get("transfer_id")} == set(new.values())


def test_the_trail_names_who_of_the_staff_did_it(office, admin, db):
    show = admin.make_show(seats=4)
    _, booking = booked(office, show, 2)
    user = admin.post("/v1/staff/users", {"email": f"{uuid.uuid4().hex}@example.org", "scopes": ["bookings"]}).expect(201)
    person, password = office.api(), "a good long password"
    person.post("/v1/staff/invitations/accept", {"token": user["invitation"]["token"], "password": password}).expect(204)
    person.token = person.post("/v1/staff/login", {"email": user["email"], "password": password}).expect(200)["token"]
    give(person, show, booking, [show.seats[0]]).expect(200)
    give(admin, show, booking, [show.seats[1]]).expect(200)
    known = hashlib.blake2b(admin.token.encode(), digest_size=32).digest()
    [token] = db.execute("SELECT token_id::text FROM api_tokens WHERE token_hash = %s", [known]).fetchone()
    who = db.execute("SELECT actor, actor_id::text FROM ticket_transfers WHERE booking_id = %s ORDER BY at", [booking["booking_id"]])
    assert who.fetchall() == [("staff", user["user_id"]), ("staff", token)]


def test_who_has_the_tickets_is_told_of_another_time_and_of_the_end(office, admin, db):
    show = admin.make_show(seats=4)
    buyer, booking = booked(office, show, 3)
    give(buyer, show, booking, show.seats[:2]).expect(200)
    give(admin, show, booking, [show.seats[0]], {"name": "Cy", "email": "cy@example.org"}).expect(200)
    path = f"/v1/shows/{show.show_id}"
    for what, body, kind in (("reschedule", {"starts_at": "2031-05-06T18:30:00Z"}, "show_rescheduled"), ("cancel", {}, "show_cancelled")):
        admin.post(f"{path}/{what}", body).expect(201)
        wait_until(lambda: admin.get(f"{path}/jobs").expect(200)["items"][0]["status"] == "done", "the job's end", 20, 0.1)
        assert sorted(mails(db, kind, booking)) == [("ada@example.org",), ("bob@example.org",), ("cy@example.org",)]
        assert admin.get(f"{path}/jobs").expect(200)["items"][0]["done"] == 1
    # whose tickets were given on is none of them
    assert mails(db, "transfer", booking) == [("bob@example.org",), ("cy@example.org",)]


def holders_link(office, show, transfer_id):
    """The token of the transfer, as whoever writes the mail makes it."""
    master = bytes.fromhex((office.dir / "secret/master.key").read_text().strip())
    key = hashlib.blake2b(b"booking-link", key=master, digest_size=32).digest()
    ids = uuid.UUID(show.show_id).bytes + uuid.UUID(transfer_id).bytes
    mac = hashlib.blake2b(ids, key=key, digest_size=32).digest()[:16]
    return "ba_" + base64.urlsafe_b64encode(ids + mac).decode().rstrip("=")


def test_the_holder_has_the_papers_and_nothing_else(office, admin):
    show = admin.make_show(seats=4)
    buyer, booking = booked(office, show, 2)
    kept = booking["tickets"][1]["ticket_id"]
    made = give(buyer, show, booking, [show.seats[0]]).expect(200)
    [mine] = made["tickets"]
    link = holders_link(office, show, made["transfer_id"])
    for ending in ("pdf", "svg", "png", "ics"):
        paper = f"/v1/shows/{show.show_id}/tickets/{mine['ticket_id']}.{ending}"
        assert office.api(link).get(paper).status == 200 and office.api().get(f"{paper}?access_token={link}").status == 200
        office.api(booking["access_token"]).get(paper).expect(404)
    office.api(link).get(f"/v1/shows/{show.show_id}/tickets/{kept}.pdf").expect(404)
    office.api(link).get(path_of(show, booking["booking_id"])).expect(404)
    office.api(link).post(path_of(show, booking["booking_id"]) + "/cancel", {}).expect(404)
    # given on by staff: the link of the one before is good for nothing
    give(admin, show, booking, [show.seats[0]], {"name": "Cy", "email": "cy@example.org"}).expect(200)
    office.api(link).get(f"/v1/shows/{show.show_id}/tickets/{mine['ticket_id']}.pdf").expect(404)
    assert buyer.get(path_of(show, booking["booking_id"])).expect(200)["buyer"]["email"] == "ada@example.org"


def test_what_was_given_away_is_the_buyers_no_more(office, admin, gateway):
    show = admin.make_show(seats=6, cancellation=CANCELLATION)
    buyer, booking = booked(office, show, 2)
    give(buyer, show, booking, [show.seats[0]]).expect(200)
    give(buyer, show, booking, [show.seats[0]]).expect(409, "transfer_closed")
    give(buyer, show, booking).expect(409, "transfer_closed")
    buyer.cancel(show.show_id, booking["booking_id"]).expect(409, "transfer_closed")
    buyer.cancel(show.show_id, booking["booking_id"], [show.seats[0]]).expect(409, "transfer_closed")
    assert buyer.cancel(show.show_id, booking["booking_id"], [show.seats[1]]).expect(200)["status"] == "confirmed"
    # staff may: to the next holder, and the end of it; the money goes back to whoever paid
    give(admin, show, booking, [show.seats[0]], {"name": "Cy", "email": "cy@example.org"}).expect(200)
    assert admin.cancel(show.show_id, booking["booking_id"]).expect(200)["status"] == "cancelled"


def test_who_may(office, admin):
    show, closed = admin.make_show(seats=4), admin.make_show(seats=4, transferable=False)
    _, booking = booked(office, show, 2)
    give(office.session(), show, booking).expect(404)
    give(office.api(), show, booking).expect(401)
    give(office.api(office.run_admin("token", "create", "--organizer", "default", "--name", "x", "--scopes", "events").split()[-1]),
         show, booking).expect(403)
    name = f"Elsewhere {uuid.uuid4()}"
    office.run_admin("organizer", "create", name)
    give(office.api(office.run_admin("token", "create", "--organizer", name, "--name", "t", "--scopes", "all").split()[-1]),
         show, booking).expect(404)
    give(office.api(booking["access_token"]), show, booking, [show.seats[0]]).expect(200)
    assert office.session().get(f"/v1/shows/{closed.show_id}").expect(200)["transferable"] is False
    buyer, other = booked(office, closed, 1)
    give(buyer, closed, other).expect(409, "transfer_closed")
    give(admin, closed, other).expect(200)


def test_what_is_refused(office, admin, db):
    show = admin.make_show(seats=6)
    buyer, booking = booked(office, show, 2)
    give(buyer, show, booking, [show.seats[5]]).expect(422, "unknown_seat")
    give(buyer, show, booking, ["nowhere"]).expect(422, "unknown_seat")
    give(buyer, show, booking, [show.seats[0]] * 2).expect(422, "duplicate_seat")
    give(buyer, show, booking, to={"name": "Bob"}).expect(400, "invalid_request")
    assert give(buyer, show, booking, to={**BOB, "email": "nobody"}).expect(422, "invalid_value")["path"] == "/to/email"
    db.execute("UPDATE tickets SET state = 'used', ended_at = now() WHERE booking_id = %s AND seat_no = 0", [booking["booking_id"]])
    give(buyer, show, booking).expect(409, "ticket_used")
    assert revoked(office, show) == set()
    db.execute("UPDATE tickets SET state = 'valid', ended_at = NULL WHERE booking_id = %s AND seat_no = 0", [booking["booking_id"]])
    admin.cancel(show.show_id, booking["booking_id"]).expect(200)
    give(admin, show, booking).expect(409, "not_confirmed")
    assert db.execute("SELECT count(*) FROM ticket_transfers WHERE booking_id = %s", [booking["booking_id"]]).fetchone() == (0,)


def test_one_key_is_one_transfer(office, admin, db):
    show = admin.make_show(seats=4)
    buyer, booking = booked(office, show, 2)
    twins = [Api(office.url, buyer.token) for _ in range(4)]
    answers = at_once(*[lambda twin=twin: give(twin, show, booking, key="once") for twin in twins])
    assert len({answer.expect(200)["transfer_id"] for answer in answers}) == 1
    assert give(buyer, show, booking, key="once").expect(200) == answers[0].json()
    give(buyer, show, booking, [show.seats[0]], key="once").expect(422, "idempotency_mismatch")
    assert [len(found) for found in tickets(admin, show, booking).values()] == [2, 2]
    assert len(mails(db, "transfer", booking)) == 1


@pytest.mark.parametrize("other", ["cancel", "transfer"])
def test_two_at_once(office, admin, other):
    """A transfer and a cancellation, or another transfer: one after the other, whichever comes first."""
    show = admin.make_show(seats=4)
    _, booking = booked(office, show, 2)
    one, two = office.admin(), office.admin()
    first, second = at_once(lambda: give(one, show, booking),
                            (lambda: two.cancel(show.show_id, booking["booking_id"])) if other == "cancel" else
                            (lambda: give(two, show, booking, to={"name": "Cy", "email": "cy@example.org"})))
    assert second.status == 200
    states = [status for found in tickets(admin, show, booking).values() for _, status in found]
    if other == "cancel":
        assert first.status == 200 or first.expect(409, "not_confirmed")
        assert set(states) == {"revoked"}
    else:
        assert first.status == 200 and sorted(states) == ["revoked"] * 4 + ["valid"] * 2


# ---- sent once more ------------------------------------------------------------------------------------------------------


def test_tickets_are_sent_again_but_not_without_end(office, admin, db):
    show = admin.make_show(seats=4)
    buyer, booking = booked(office, show, 1)
    path = path_of(show, booking["booking_id"]) + "/resend"
    sent = admin.post(path, {}).expect(200)
    assert sent["status"] == "queued" and sent["booking_id"] == booking["booking_id"]
    assert mails(db, "tickets", booking) == [("ada@example.org",)]
    clients = [office.admin() for _ in range(4)]
    answers = at_once(*[lambda client=client: client.post(path, {}) for client in clients])
    assert sorted(answer.status for answer in answers) == [200, 200, 429, 429]
    refused = next(answer for answer in answers if answer.status == 429)
    assert refused.code == "rate_limited" and 3000 < int(refused.headers["Retry-After"]) <= 3600
    assert len(mails(db, "tickets", booking)) == 3
    db.execute("UPDATE notifications SET created_at = created_at - interval '61 minutes' WHERE booking_id = %s", [booking["booking_id"]])
    admin.post(path, {}).expect(200)
    buyer.post(path, {}).expect(401)
    admin.post(path_of(show, str(uuid.uuid4())) + "/resend", {}).expect(404)
    admin.post(path, {"x": 1}).expect(400)


def test_each_gets_what_he_has(office, admin, db):
    show = admin.make_show(seats=4)
    buyer, booking = booked(office, show, 3)
    path = path_of(show, booking["booking_id"]) + "/resend"
    cy = {"name": "Cy", "email": "cy@example.org"}
    give(buyer, show, booking, show.seats[:2]).expect(200)
    give(admin, show, booking, [show.seats[1]], cy).expect(200)
    assert admin.post(path, {}).expect(200)["recipients"] == 3
    assert sorted(mails(db, "tickets", booking)) == [("ada@example.org",), ("bob@example.org",), ("cy@example.org",)]
    # one of them is nobody any more, and the buyer has none left: that is no reason to send nothing
    give(admin, show, booking, [show.seats[2]], cy).expect(200)
    office.run_admin("erase", "--email", BOB["email"], "--yes-future")
    sent = admin.post(path, {}).expect(200)
    assert sent["recipients"] == 2  # Cy, who was given tickets twice
    to = db.execute("SELECT y.email FROM notifications n JOIN buyers y USING (buyer_id) WHERE n.notification_id = %s", [sent["notification_id"]])
    assert to.fetchall() == [("cy@example.org",)]
    # three mails are one time
    admin.post(path, {}).expect(200)
    admin.post(path, {}).expect(429)


def test_nothing_is_sent_of_what_ended_or_to_nobody(office, admin, db):
    show = admin.make_show(seats=4)
    _, booking = booked(office, show, 1)
    _, other = booked(office, show, 1, 1)
    db.execute("UPDATE buyers SET name = '', email = '', email_hash = '', erased_at = now() WHERE buyer_id = "
               "(SELECT buyer_id FROM bookings WHERE booking_id = %s)", [other["booking_id"]])
    admin.post(path_of(show, other["booking_id"]) + "/resend", {}).expect(409, "no_address")
    admin.cancel(show.show_id, booking["booking_id"]).expect(200)
    admin.post(path_of(show, booking["booking_id"]) + "/resend", {}).expect(409, "not_confirmed")
    assert mails(db, "tickets", booking) == mails(db, "tickets", other) == []
