"""Plans in versions, shows that move from one to another, and what else of a show changes: PATCH /v1/shows/{show}."""

import copy

import psycopg
import pytest
from service import wait_until

from api import from_now, seat_guids, seating_plan
from organiser import NOWHERE, make_staff, pages

DAY = 86400
LATER = "2031-01-01T00:00:00Z"


@pytest.fixture
def staff(boxoffice):
    """An organiser of this test's own."""
    return make_staff(boxoffice)


@pytest.fixture
def show(staff):
    """On sale: seats A-1 to B-10, rows A "Front" at 50.00, B "Back" at 20.00."""
    return staff.make_show(seats=20, per_row=10, prices={"Front": 5000, "Back": 2000})


def money(amount, currency="EUR"):
    return {"amount": amount, "currency": currency}


def backwards(plan):
    """The same seats, numbered from the other end."""
    plan = copy.deepcopy(plan)
    for zone in plan["zones"]:
        zone["rows"].reverse()
        for row in zone["rows"]:
            row["seats"].reverse()
    return plan


def path_of(show):
    return f"/v1/shows/{show.show_id}"


def as_said(staff, show):
    """The show but for what is free: a lock whose time is over frees its seat at any moment."""
    return {name: value for name, value in staff.get(path_of(show)).expect(200).items() if name != "free"}


def all_workers(office, token=None):
    """Clients of which there is one at every worker, most likely."""
    return [office.api(token) for _ in range(8)]


# ---- versions --------------------------------------------------------------------------------------------------------


def test_versions_are_listed(boxoffice, staff):
    venue = staff.make_venue()["venue_id"]
    path = f"/v1/venues/{venue}/plans"
    assert pages(staff, path) == []
    made = [staff.make_plan(venue, seating_plan(1 + number % 3, categories=["One", "Zwei ü"][:1 + number % 2], name=f"N {number}"))
            for number in range(52)]
    listed = pages(staff, path)
    assert [plan["version"] for plan in listed] == list(range(52, 0, -1))
    assert [plan["plan_id"] for plan in reversed(listed)] == [plan["plan_id"] for plan in made]
    newest = listed[0]
    assert (newest["name"], newest["seats"], newest["categories"], newest["venue_id"]) == ("N 51", 1, ["One", "Zwei ü"], venue)
    # a version that comes while the list is read moves nothing
    first = staff.get(path).expect(200)
    staff.make_plan(venue, seating_plan(2))
    rest = staff.get(f"{path}?cursor={first['next']}").expect(200)
    assert [plan["version"] for plan in rest["items"]] == [2, 1] and rest["next"] is None
    for client, status, code in ((make_staff(boxoffice), 404, "not_found"), (boxoffice.api(), 401, "unauthenticated"),
                                 (make_staff(boxoffice, staff.organizer_id, ["seats"]), 403, "forbidden")):
        client.get(path).expect(status, code)
    staff.get(f"/v1/venues/{NOWHERE}/plans").expect(404, "not_found")
    staff.get(f"{path}?cursor=x").expect(400, "invalid_request")


# ---- a show moves ----------------------------------------------------------------------------------------------------


def test_an_unsold_show_moves_to_a_new_version(boxoffice, staff, show):
    before = staff.get(path_of(show)).expect(200)
    clients = all_workers(boxoffice)
    [epoch] = {client.get(f"{path_of(show)}/seats").expect(200)["version"].split("-")[0] for client in clients}
    larger = seating_plan(30, 10, ["Front", "Back", "Front"])
    del larger["categories"][2]
    plan = staff.make_plan(show.venue_id, larger)
    assert staff.get(path_of(show)).expect(200) == before, "a new version changes no show"
    after = staff.patch(path_of(show), {"plan_id": plan["plan_id"]}).expect(200)
    assert after == {**before, "plan_id": plan["plan_id"], "plan_version": 2, "capacity": 30, "free": 30}

    def everywhere():
        answers = [client.get(path_of(show)).expect(200) for client in clients]
        seats = [client.get(f"{path_of(show)}/seats").expect(200) for client in clients]
        return (all(answer == after for answer in answers) and all(body["free"] == 30 and body["seats"] == {} for body in seats)
                and epoch not in {body["version"].split("-")[0] for body in seats})  # who has the old one begins again

    wait_until(everywhere, "the new plan in every process", 5)
    drawn = boxoffice.api().get(f"{path_of(show)}/seatmap").expect(200)
    guids = [seat["guid"] for zone in drawn["zones"] for row in zone["rows"] for seat in row["seats"]]
    assert drawn["version"] == "2" and guids == seat_guids(larger)
    buyer = boxoffice.session()
    lock = buyer.lock(show.show_id, ["C-10", "B-1"]).expect(201)
    assert sorted((seat["guid"], seat["price"]["amount"]) for seat in lock["seats"]) == [("B-1", 2000), ("C-10", 5000)]
    assert staff.taken(show.show_id) == {"C-10": "locked", "B-1": "locked"}
    buyer.book(show.show_id, lock["lock_id"]).expect(201)
    assert staff.taken(show.show_id) == {"C-10": "booked", "B-1": "booked"}
    boxoffice.check()


def test_and_to_an_older_and_smaller_one(boxoffice, staff, show):
    small = staff.make_plan(show.venue_id, seating_plan(1, 1, ["Back"]))
    moved = staff.patch(path_of(show), {"plan_id": small["plan_id"]}).expect(200)
    assert moved["capacity"] == 1 and [category["name"] for category in moved["categories"]] == ["Back"]
    buyer = boxoffice.session()
    answer = buyer.lock(show.show_id, ["B-10"])
    if answer.status == 503:  # a process that knew the old plan
        answer = buyer.lock(show.show_id, ["B-10"])
    answer.expect(422, "unknown_seat")
    back = staff.patch(path_of(show), {"plan_id": show.plan_id, "prices": {"Front": money(1000), "Back": money(500)}}).expect(200)
    assert back["plan_version"] == 1 and back["capacity"] == 20
    assert staff.patch(path_of(show), {"plan_id": show.plan_id}).expect(200) == back, "where it is already"


def test_who_knew_the_old_numbers_takes_no_wrong_seat(boxoffice, staff, show):
    """Every process has the show at hand (a lock may trust it for half a minute) when it is moved to a plan with the same seats in
    another order."""
    buyers = [boxoffice.session() for _ in range(8)]
    for buyer in buyers:
        buyer.lock(show.show_id, ["Z-1"]).expect(422, "unknown_seat")
        buyer.get(f"{path_of(show)}/seats").expect(200)
    plan = staff.make_plan(show.venue_id, backwards(show.plan))
    staff.patch(path_of(show), {"plan_id": plan["plan_id"]}).expect(200)
    locks = {}
    for number, buyer in enumerate(buyers):
        guid = f"A-{number + 1}"
        answer = buyer.lock(show.show_id, [guid])
        if answer.status == 503:
            answer.expect(503, "unavailable")
            answer = buyer.lock(show.show_id, [guid])
        made = answer.expect(201)
        assert [(seat["guid"], seat["price"]["amount"]) for seat in made["seats"]] == [(guid, 5000)]
        locks[guid] = made["lock_id"]
    with psycopg.connect(boxoffice.database_url) as db:
        rows = db.execute("""SELECT p.guid, s.lock_id::text FROM show_seats s JOIN plan_seats p ON p.plan_id = %s AND p.seat_no = s.seat_no
                              WHERE s.show_id = %s AND s.state = 1""", [plan["plan_id"], show.show_id]).fetchall()
    assert dict(rows) == locks
    wait_until(lambda: staff.taken(show.show_id) == {guid: "locked" for guid in locks}, "the seats as they are", 5)


def test_a_lock_that_is_just_decided_keeps_the_show_where_it_is(boxoffice, staff, show):
    """The two transactions by hand: whichever comes second finds out."""
    plan = staff.make_plan(show.venue_id, backwards(show.plan))
    with psycopg.connect(boxoffice.database_url) as db, psycopg.connect(boxoffice.database_url, autocommit=True) as other:
        # a lock has taken its seat and not committed yet: the move waits for it, in vain
        db.execute("UPDATE show_seats SET fence = fence WHERE show_id = %s AND seat_no = 3", [show.show_id])
        staff.patch(path_of(show), {"plan_id": plan["plan_id"]}).expect(503, "unavailable")
        db.rollback()
        # a lock whose statement began before the move, and ends behind it
        [begun] = db.execute("SELECT plan_id FROM shows WHERE show_id = %s", [show.show_id]).fetchone()
        staff.patch(path_of(show), {"plan_id": plan["plan_id"]}).expect(200)
        with pytest.raises(psycopg.errors.DatabaseError) as refused:
            other.execute("SELECT show_plans_hold(ARRAY[%s]::uuid[], ARRAY[%s]::uuid[])", [show.show_id, begun])
        assert refused.value.sqlstate == "BX001"


def test_blocked_seats_stay_blocked_by_their_guid(boxoffice, staff, show):
    blocks = f"{path_of(show)}/blocks"
    staff.post(blocks, {"seats": ["A-1"], "reason": "camera"}).expect(200)
    staff.post(blocks, {"seats": ["B-10"], "reason": "broken"}).expect(200)
    [before, _] = staff.get(blocks).expect(200)["items"]
    assert staff.taken(show.show_id) == {"A-1": "blocked", "B-10": "blocked"}
    turned = backwards(show.plan)
    turned["zones"][0]["rows"][0]["seats"] = turned["zones"][0]["rows"][0]["seats"][1:]  # without B-10
    plan = staff.make_plan(show.venue_id, turned)
    assert staff.patch(path_of(show), {"plan_id": plan["plan_id"]}).expect(200)["capacity"] == 19
    wait_until(lambda: staff.taken(show.show_id) == {"A-1": "blocked"}, "the block by its guid", 5)
    wait_until(lambda: all(client.taken(show.show_id) == {"A-1": "blocked"} for client in all_workers(boxoffice)), "in every process", 5)
    assert staff.get(blocks).expect(200)["items"] == [before], "and why"
    boxoffice.session().lock(show.show_id, ["A-1"])
    staff.request("DELETE", f"{path_of(show)}/blocks", {"seats": ["A-1"]}).expect(200)
    wait_until(lambda: staff.taken(show.show_id) == {}, "all free", 5)
    boxoffice.check()


@pytest.mark.parametrize("how", ["blocked", "locked", "booked"])
def test_who_knew_the_old_plan_tells_no_wrong_seat(boxoffice, staff, show, how):
    """Every process has the show at hand when it moves to a larger plan with other numbers; what was taken on the new one, and what is
    blocked by anybody, is told by its right name by all of them."""
    clients = all_workers(boxoffice)
    for client in clients:
        client.get(path_of(show)).expect(200)
    larger = backwards(seating_plan(30, 10, ["Front", "Back", "Front"]))
    del larger["categories"][2]
    plan = staff.make_plan(show.venue_id, larger)
    staff.patch(path_of(show), {"plan_id": plan["plan_id"]}).expect(200)
    if how == "blocked":
        for number, client in enumerate(all_workers(boxoffice, staff.token)):
            client.post(f"{path_of(show)}/blocks", {"seats": [f"A-{number + 1}"]}).expect(200)
        for client in all_workers(boxoffice, staff.token):
            listed = client.get(f"{path_of(show)}/blocks").expect(200)["items"]
            assert sorted(block["seat"] for block in listed) == [f"A-{number + 1}" for number in range(8)]
        return
    buyer = boxoffice.session()
    answer = buyer.lock(show.show_id, ["A-1"])
    lock = (answer if answer.status != 503 else buyer.lock(show.show_id, ["A-1"])).expect(201)
    path, token = f"{path_of(show)}/locks/{lock['lock_id']}", buyer.token
    if how == "booked":
        path = f"{path_of(show)}/bookings/{buyer.book(show.show_id, lock['lock_id']).expect(201)['booking_id']}"
    for client in all_workers(boxoffice, token):
        assert [seat["guid"] for seat in client.get(path).expect(200)["seats"]] == ["A-1"]


@pytest.mark.parametrize("how", ["held", "released", "expired", "sold", "cancelled"])
def test_a_show_of_which_something_was_held_stays(boxoffice, staff, show, how):
    buyer = boxoffice.session()
    lock = buyer.lock(show.show_id, ["A-1"]).expect(201)["lock_id"]
    if how == "released":
        buyer.release(show.show_id, lock).expect(204)
    elif how == "expired":
        with psycopg.connect(boxoffice.database_url) as db:
            db.execute("UPDATE seat_locks SET expires_at = statement_timestamp() - interval '1 second' WHERE lock_id = %s", [lock])
            db.execute("UPDATE show_seats SET expires_at = statement_timestamp() - interval '1 second' WHERE lock_id = %s", [lock])
    elif how in ("sold", "cancelled"):
        booking = buyer.book(show.show_id, lock).expect(201)["booking_id"]
        if how == "cancelled":
            staff.patch(path_of(show), {"cancellation": {"until": from_now(DAY)}}).expect(200)
            wait_until(lambda: buyer.cancel(show.show_id, booking).status == 200, "the cancellation", 3)
    before = as_said(staff, show)
    plan = staff.make_plan(show.venue_id, backwards(show.plan))
    problem = staff.patch(path_of(show), {"plan_id": plan["plan_id"]}).expect(409, "not_changeable")
    assert problem["path"] == "/plan_id" and problem["reason"] == ("sold" if how == "sold" else "held")
    assert as_said(staff, show) == before
    dollars = {"Front": money(100, "USD"), "Back": money(100, "USD")}
    problem = staff.patch(path_of(show), {"prices": dollars}).expect(409, "not_changeable")
    assert problem["path"] == "/prices"


def test_plans_it_cannot_move_to(boxoffice, staff, show):
    before = staff.get(path_of(show)).expect(200)
    elsewhere = staff.make_plan(staff.make_venue()["venue_id"], show.plan)["plan_id"]
    assert staff.patch(path_of(show), {"plan_id": elsewhere}).expect(422, "invalid_value")["path"] == "/plan_id"
    stranger = make_staff(boxoffice)
    theirs = stranger.make_plan(stranger.make_venue()["venue_id"], show.plan)["plan_id"]
    for plan in (theirs, NOWHERE):
        assert staff.patch(path_of(show), {"plan_id": plan}).expect(404, "not_found")["path"] == "/plan_id"
    for plan in ("x", 7, ""):
        assert staff.patch(path_of(show), {"plan_id": plan}).expect(400, "invalid_request")["path"] == "/plan_id"
    other = staff.make_plan(show.venue_id, seating_plan(20, 10, ["Front", "Balcony"]))["plan_id"]
    assert "Balcony" in staff.patch(path_of(show), {"plan_id": other}).expect(422, "invalid_value")["detail"]
    old_prices = {"Front": money(100), "Back": money(100)}
    problem = staff.patch(path_of(show), {"plan_id": other, "prices": old_prices}).expect(400, "invalid_request")
    assert problem["path"] == "/prices/Balcony"
    assert staff.get(path_of(show)).expect(200) == before
    moved = staff.patch(path_of(show), {"plan_id": other, "prices": {"Front": money(300), "Balcony": money(200)}}).expect(200)
    assert [(c["name"], c["price"]["amount"]) for c in moved["categories"]] == [("Front", 300), ("Balcony", 200)]


# ---- what else changes -----------------------------------------------------------------------------------------------


def test_prices_change_for_seats_that_are_free(boxoffice, staff, show):
    first, second = boxoffice.session(), boxoffice.session()
    held = first.lock(show.show_id, ["A-1", "B-1"]).expect(201)
    staff.patch(path_of(show), {"prices": {"Front": money(6000), "Back": money(0)}}).expect(200)
    assert first.lock_state(show.show_id, held["lock_id"]).expect(200)["total"] == money(7000)
    assert second.lock(show.show_id, ["A-2", "B-2"]).expect(201)["total"] == money(6000), "at once, whatever is at hand"
    booking = first.book(show.show_id, held["lock_id"]).expect(201)
    assert booking["total"] == money(7000)
    boxoffice.check()


def test_the_currency_changes_before_anything_is_held(boxoffice, staff, show):
    changed = staff.patch(path_of(show), {"prices": {"Front": money(6000, "USD"), "Back": money(100, "USD")}}).expect(200)
    assert changed["categories"][0]["price"] == money(6000, "USD")
    assert boxoffice.session().lock(show.show_id, ["A-1"]).expect(201)["total"] == money(6000, "USD")
    fee = staff.make_show(seats=2, cancellation={"until": from_now(DAY), "fee": money(200)})
    prices = {"Standard": money(100, "USD")}
    assert staff.patch(path_of(fee), {"prices": prices}).expect(422, "invalid_value")["path"] == "/cancellation"
    assert staff.patch(path_of(fee), {"prices": prices, "cancellation": {"until": from_now(DAY), "fee": money(1)}}).expect(
        422, "invalid_value")["path"] == "/cancellation/fee/currency"
    staff.patch(path_of(fee), {"prices": prices, "cancellation": {"until": from_now(DAY), "fee": money(100, "USD")}}).expect(200)


def test_the_sale_opens_and_closes(boxoffice, staff, show):
    buyer = boxoffice.session()
    buyer.lock(show.show_id, ["A-1"]).expect(201)
    staff.patch(path_of(show), {"sale_ends_at": from_now(-10)}).expect(200)
    buyer.lock(show.show_id, ["A-2"]).expect(409, "not_on_sale")
    staff.patch(path_of(show), {"sale_ends_at": from_now(DAY), "sale_starts_at": from_now(3600)}).expect(200)
    buyer.lock(show.show_id, ["A-2"]).expect(409, "not_on_sale")
    staff.patch(path_of(show), {"sale_starts_at": from_now(-3600)}).expect(200)
    wait_until(lambda: buyer.lock(show.show_id, ["A-2"]).status == 201, "on sale again", 3)
    assert staff.patch(path_of(show), {"sale_starts_at": from_now(2 * DAY)}).expect(422, "invalid_value")["path"] == "/sale_starts_at"
    assert staff.patch(path_of(show), {"sale_ends_at": from_now(-2 * DAY)}).expect(422, "invalid_value")["path"] == "/sale_ends_at"


def test_to_a_draft_and_back(boxoffice, staff, show):
    anyone, buyer = boxoffice.api(), boxoffice.session()
    assert staff.patch(path_of(show), {"status": "draft"}).expect(200)["status"] == "draft"
    wait_until(lambda: anyone.get(path_of(show)).status == 404, "hidden", 3)
    buyer.lock(show.show_id, ["A-1"])  # a process may have known it as published
    assert buyer.lock(show.show_id, ["A-1"]).status in (404, 409)
    assert staff.get(path_of(show)).expect(200)["status"] == "draft"
    assert staff.patch(path_of(show), {"status": "published"}).expect(200)["on_sale"] is True
    wait_until(lambda: buyer.lock(show.show_id, ["A-1"]).status == 201, "on sale", 3)
    problem = staff.patch(path_of(show), {"status": "draft"}).expect(409, "not_changeable")
    assert problem["path"] == "/status" and problem["reason"] == "held"
    staff.patch(path_of(show), {"status": "published"}).expect(200)


def test_the_cancellation_changes_in_favour_of_buyers(boxoffice, staff, show):
    terms = {"until": "2031-01-01T00:00:00Z", "fee": money(500)}
    assert staff.patch(path_of(show), {"cancellation": terms}).expect(200)["cancellation"] == terms
    assert staff.patch(path_of(show), {"cancellation": None}).expect(200)["cancellation"] is None, "nobody holds anything"
    staff.patch(path_of(show), {"cancellation": terms}).expect(200)
    buyer = boxoffice.session()
    lock = buyer.lock(show.show_id, ["A-1"]).expect(201)["lock_id"]
    for sold in (False, True):
        if sold:
            booking = buyer.book(show.show_id, lock).expect(201)["booking_id"]
        for worse in (None, {**terms, "until": "2030-01-01T00:00:00Z"}, {**terms, "fee": money(501)}):
            problem = staff.patch(path_of(show), {"cancellation": worse, "sale_ends_at": from_now(99)}).expect(409, "not_changeable")
            assert problem["path"] == "/cancellation" and problem["reason"] == ("sold" if sold else "held")
        assert staff.get(path_of(show)).expect(200)["cancellation"] == terms
        terms = {"until": terms["until"].replace("2031", "2032"), "fee": money(terms["fee"]["amount"] - 100)}
        assert staff.patch(path_of(show), {"cancellation": terms}).expect(200)["cancellation"] == terms
    clients = all_workers(boxoffice)
    wait_until(lambda: all(c.get(path_of(show)).expect(200)["cancellation"] == terms for c in clients), "the new terms", 3)
    cancelled = buyer.cancel(show.show_id, booking).expect(200)
    assert cancelled["refund"]["amount"] == money(5000 - 300)
    boxoffice.check()


def test_a_cancelled_show_does_not_change(boxoffice, staff, show):
    with psycopg.connect(boxoffice.database_url) as db:
        db.execute("UPDATE shows SET status = 'cancelled' WHERE show_id = %s", [show.show_id])
    for change in ({}, {"status": "published"}, {"sale_ends_at": from_now(99)}):
        problem = staff.patch(path_of(show), change).expect(409, "not_changeable")
        assert problem["path"] == "" and problem["reason"] == "cancelled"


@pytest.mark.parametrize("change, status, code, path", [
    ({"starts_at": LATER}, 400, "invalid_request", "/starts_at"), ({"show_id": NOWHERE}, 400, "invalid_request", "/show_id"),
    ({"status": "cancelled"}, 422, "invalid_value", "/status"), ({"status": ""}, 422, "invalid_value", "/status"),
    ({"sale_ends_at": "soon"}, 400, "invalid_request", "/sale_ends_at"), ({"prices": []}, 400, "invalid_request", "/prices"),
    ({"prices": {}}, 400, "invalid_request", "/prices/Front"), ({"prices": {"Front": money(1000)}}, 400, "invalid_request", "/prices/Back"),
    ({"prices": {"Front": money(1000), "Back": money(1000, "USD")}}, 422, "invalid_value", "/prices/Back"),
    ({"prices": {"Front": money(1000), "Back": money(1000), "Side": money(1000)}}, 422, "invalid_value", "/prices/Side"),
    ({"prices": {"Front": money(-1), "Back": money(1000)}}, 422, "invalid_value", "/prices/Front/amount"),
    ({"cancellation": {}}, 400, "invalid_request", "/cancellation/until"), ({"cancellation": []}, 400, "invalid_request", "/cancellation"),
    ({"cancellation": {"until": LATER, "x": 1}}, 400, "invalid_request", "/cancellation/x"),
    ({"cancellation": {"until": LATER, "fee": money(100, "USD")}}, 422, "invalid_value", "/cancellation/fee/currency"),
], ids=str)
def test_show_change_refused(staff, show, change, status, code, path):
    before = staff.get(path_of(show)).expect(200)
    assert staff.patch(path_of(show), {"sale_starts_at": from_now(-99), **change}).expect(status, code)["path"] == path
    assert staff.get(path_of(show)).expect(200) == before
