"""PATCH of venues and events: what changes, what stays, who may, and what happens when two change at once."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from service import wait_until

from api import from_now, seating_plan
from organiser import NOWHERE, SCOPES, make_staff


@pytest.fixture
def staff(boxoffice):
    """An organiser of this test's own."""
    return make_staff(boxoffice)


@pytest.fixture
def venue(staff):
    return staff.make_venue(address="Ring 1", country="Austria")


@pytest.fixture
def event(staff):
    return staff.make_event(description="Long", max_per_payer=4, language="de")


def on_sale(staff, event_id, **fields):
    plan = staff.make_plan(staff.make_venue()["venue_id"], seating_plan(4))["plan_id"]
    return staff.post(f"/v1/events/{event_id}/shows", {
        "plan_id": plan, "starts_at": from_now(86400), "sale_starts_at": from_now(-60), "sale_ends_at": from_now(3600),
        "prices": {"Standard": {"amount": 4500, "currency": "EUR"}}, **fields}).expect(201)["show_id"]


# ---- what changes ----------------------------------------------------------------------------------------------------


def test_a_venue_changes_by_its_members(staff, venue):
    path = f"/v1/venues/{venue['venue_id']}"
    for change in ({"name": "Großes Haus"}, {"city": "Graz", "country": ""}, {"timezone": "Europe/Paris"}, {"address": ""}, {}):
        venue = {**venue, **change}
        assert staff.patch(path, change).expect(200) == venue
        assert staff.get(path).expect(200) == venue
    assert staff.patch(path, {"name": None, "city": None, "address": None}).expect(200) == venue, "null is left out"


def test_shows_keep_their_time_zone_but_show_the_new_name(staff, venue):
    plan = staff.make_plan(venue["venue_id"], seating_plan(4))["plan_id"]
    body = {"plan_id": plan, "starts_at": from_now(86400), "sale_starts_at": from_now(-60), "sale_ends_at": from_now(3600),
            "prices": {"Standard": {"amount": 4500, "currency": "EUR"}}}
    event = staff.make_event()["event_id"]
    before = staff.post(f"/v1/events/{event}/shows", body).expect(201)
    staff.patch(f"/v1/venues/{venue['venue_id']}", {"name": "Anew", "timezone": "Asia/Tokyo"}).expect(200)
    assert before["timezone"] == "Europe/Vienna"
    assert staff.get(f"/v1/shows/{before['show_id']}").expect(200)["venue"]["name"] == "Anew"
    assert staff.get(f"/v1/shows/{before['show_id']}").expect(200)["timezone"] == "Europe/Vienna"
    assert staff.post(f"/v1/events/{event}/shows", body).expect(201)["timezone"] == "Asia/Tokyo"


def test_an_event_changes_by_its_members(staff, event):
    path = f"/v1/events/{event['event_id']}"
    for change in ({"name": "Hamlet, Prinz"}, {"category": "", "description": ""}, {"max_per_payer": 7}, {"language": "en"},
                   {"max_per_payer": None}, {"language": None}, {"status": "draft"}, {"status": "published"}, {}):
        event = {**event, **change}
        assert staff.patch(path, change).expect(200) == event
        assert staff.get(path).expect(200) == event
    assert staff.patch(path, {"name": None, "category": None, "status": None}).expect(200) == event, "null is left out"


def test_shows_and_search_show_the_change(boxoffice, staff, event):
    show = on_sale(staff, event["event_id"])
    anyone = boxoffice.api()
    assert anyone.get(f"/v1/shows/{show}").expect(200)["event_name"] == event["name"]
    word = f"w{event['event_id'].replace('-', '')[-12:]}"
    staff.patch(f"/v1/events/{event['event_id']}", {"name": f"Anew {word}"}).expect(200)
    assert [item["event_id"] for item in anyone.get(f"/v1/events?q={word}").expect(200)["items"]] == [event["event_id"]]
    # another process may have it at hand for a second
    clients = [boxoffice.api() for _ in range(6)]
    wait_until(lambda: all(client.get(f"/v1/shows/{show}").expect(200)["event_name"] == f"Anew {word}" for client in clients),
               "the new name", 3)


def test_a_draft_again_only_without_published_shows(boxoffice, staff, event):
    path = f"/v1/events/{event['event_id']}"
    show = on_sale(staff, event["event_id"])
    problem = staff.patch(path, {"status": "draft", "name": "Other"}).expect(409, "not_changeable")
    assert problem["path"] == "/status" and problem["reason"] == "published"
    assert staff.get(path).expect(200)["name"] == event["name"], "nothing of it"
    staff.patch(path, {"status": "published"}).expect(200)
    staff.patch(f"/v1/shows/{show}", {"status": "draft"}).expect(200)
    staff.patch(path, {"status": "draft"}).expect(200)
    boxoffice.api().get(path).expect(404, "not_found")
    boxoffice.session().lock(show, ["A-1"]).expect(404, "not_found")


def test_a_lower_limit_counts_from_now(boxoffice, staff):
    event = staff.make_event()["event_id"]
    show = on_sale(staff, event)
    buyer = boxoffice.session()
    lock = buyer.lock(show, ["A-1", "A-2"]).expect(201)["lock_id"]
    staff.patch(f"/v1/events/{event}", {"max_per_payer": 1}).expect(200)
    buyer.book(show, lock).expect(409, "lock_limit")


# ---- what does not ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change, status, code, path", [
    ({"name": ""}, 422, "invalid_value", "/name"), ({"name": "x" * 201}, 422, "invalid_value", "/name"),
    ({"name": 7}, 400, "invalid_request", "/name"),
    ({"category": "x" * 101}, 422, "invalid_value", "/category"), ({"description": "x" * 5001}, 422, "invalid_value", "/description"),
    ({"status": "cancelled"}, 422, "invalid_value", "/status"), ({"status": ""}, 422, "invalid_value", "/status"),
    ({"max_per_payer": 0}, 422, "invalid_value", "/max_per_payer"), ({"max_per_payer": "4"}, 400, "invalid_request", "/max_per_payer"),
    ({"language": "xx"}, 422, "invalid_value", "/language"), ({"language": ""}, 422, "invalid_value", "/language"),
    ({"language": "simple"}, 422, "invalid_value", "/language"), ({"language": "EN"}, 422, "invalid_value", "/language"),
    ({"language": 1}, 400, "invalid_request", "/language"), ({"event_id": NOWHERE}, 400, "invalid_request", "/event_id"),
    ({"city": "Graz"}, 400, "invalid_request", "/city"), ({"a/b": 1}, 400, "invalid_request", "/a~1b"),
], ids=str)
def test_event_change_refused(staff, event, change, status, code, path):
    assert staff.patch(f"/v1/events/{event['event_id']}", {"description": "new", **change}).expect(status, code)["path"] == path
    assert staff.get(f"/v1/events/{event['event_id']}").expect(200) == event
    if "event_id" not in change and "city" not in change and "a/b" not in change:
        assert staff.post("/v1/events", {"name": "new", **change}).expect(status, code)["path"] == path


@pytest.mark.parametrize("change, status, code, path", [
    ({"name": ""}, 422, "invalid_value", "/name"), ({"timezone": "Europe/Nowhere"}, 422, "invalid_value", "/timezone"),
    ({"timezone": ""}, 422, "invalid_value", "/timezone"), ({"city": ""}, 422, "invalid_value", "/city"),
    ({"address": "x" * 501}, 422, "invalid_value", "/address"), ({"country": "a\nb"}, 422, "invalid_value", "/country"),
    ({"venue_id": NOWHERE}, 400, "invalid_request", "/venue_id"), ({"name": []}, 400, "invalid_request", "/name"),
], ids=str)
def test_venue_change_refused(staff, venue, change, status, code, path):
    assert staff.patch(f"/v1/venues/{venue['venue_id']}", {"address": "new", **change}).expect(status, code)["path"] == path
    assert staff.get(f"/v1/venues/{venue['venue_id']}").expect(200) == venue


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[]", b'{"name": "a", "name": "b"}', b'{"name": "a\\u0000"}', b'{"name": "\xff"}'])
def test_what_is_no_change_at_all(staff, venue, event, body):
    for path in (f"/v1/venues/{venue['venue_id']}", f"/v1/events/{event['event_id']}", f"/v1/shows/{NOWHERE}"):
        staff.patch(path, body).expect(400, "invalid_request")


def test_who_may(boxoffice, staff, venue, event):
    show = on_sale(staff, event["event_id"])
    paths = [f"/v1/venues/{venue['venue_id']}", f"/v1/events/{event['event_id']}", f"/v1/shows/{show}"]
    stranger = make_staff(boxoffice)
    for path in paths:
        stranger.patch(path, {}).expect(404, "not_found")
        boxoffice.api().patch(path, {}).expect(401, "unauthenticated")
        boxoffice.session().patch(path, {}).expect(401, "unauthenticated")
        for scope in SCOPES:
            answer = make_staff(boxoffice, staff.organizer_id, [scope]).patch(path, {})
            answer.expect(200) if scope == "events" else answer.expect(403, "forbidden")
    for kind in ("venues", "events", "shows"):
        staff.patch(f"/v1/{kind}/{NOWHERE}", {}).expect(404, "not_found")


# ---- two at once -----------------------------------------------------------------------------------------------------


def test_if_match(staff, venue, event):
    show = on_sale(staff, event["event_id"])
    for path, change in ((f"/v1/venues/{venue['venue_id']}", {"name": "A"}), (f"/v1/events/{event['event_id']}", {"name": "A"}),
                         (f"/v1/shows/{show}", {"sale_ends_at": from_now(7200)})):
        old = staff.get(path).headers["ETag"]
        answer = staff.patch(path, change, headers={"If-Match": old})
        answer.expect(200)
        new = answer.headers["ETag"]
        assert new != old and staff.get(path).headers["ETag"] == new
        before = staff.get(path).expect(200)
        for tag in (old, f"W/{new}", '"x"', '"0"', '""', f'{old}, "7"', '"99999999999999999999"'):
            staff.patch(path, change, headers={"If-Match": tag}).expect(412, "changed_meanwhile")
        for tag in ("x", "7", '"', f"{new},", f"{new} {new}", "*, *", '"a", ' * 9 + '"b"'):
            staff.patch(path, change, headers={"If-Match": tag}).expect(400, "invalid_request")
        assert staff.get(path).expect(200) == before and staff.get(path).headers["ETag"] == new
        for tag in (new, f'"7", {new}', "*"):
            new = staff.patch(path, change, headers={"If-Match": tag}).headers["ETag"]
        staff.patch(path, change).expect(200)


def test_of_many_with_the_same_tag_one_changes_it(boxoffice, staff, venue, event):
    show = on_sale(staff, event["event_id"])
    for path, member in ((f"/v1/venues/{venue['venue_id']}", "name"), (f"/v1/events/{event['event_id']}", "name"),
                         (f"/v1/shows/{show}", "sale_ends_at")):
        for _ in range(3):
            clients = [boxoffice.api(staff.token) for _ in range(6)]
            tag = staff.get(path).headers["ETag"]
            values = [from_now(7200 + number) if member == "sale_ends_at" else f"by {number}" for number in range(6)]
            start = threading.Barrier(6)

            def change(number):
                start.wait()
                return clients[number].patch(path, {member: values[number]}, headers={"If-Match": tag})

            with ThreadPoolExecutor(6) as pool:
                answers = list(pool.map(change, range(6)))
            won = [number for number, answer in enumerate(answers) if answer.status == 200]
            assert len(won) == 1, answers
            for answer in answers:
                if answer.status != 200:
                    answer.expect(412, "changed_meanwhile")
            # staff are told what is, whichever process they ask
            assert staff.get(path).expect(200)[member][:19] == values[won[0]][:19]


def test_without_a_tag_all_are_heard(boxoffice, staff, event):
    show = on_sale(staff, event["event_id"])
    changes = [(f"/v1/events/{event['event_id']}", {"name": "N"}), (f"/v1/events/{event['event_id']}", {"category": "C"}),
               (f"/v1/events/{event['event_id']}", {"description": "D"}), (f"/v1/shows/{show}", {"sale_starts_at": "2026-01-01T00:00:00Z"}),
               (f"/v1/shows/{show}", {"sale_ends_at": "2030-01-01T00:00:00Z"}),
               (f"/v1/shows/{show}", {"cancellation": {"until": "2029-01-01T00:00:00Z"}})]
    clients = [boxoffice.api(staff.token) for _ in changes]
    start = threading.Barrier(len(changes))

    def change(number):
        start.wait()
        return clients[number].patch(*changes[number])

    with ThreadPoolExecutor(len(changes)) as pool:
        for answer in pool.map(change, range(len(changes))):
            answer.expect(200)
    now = staff.get(f"/v1/events/{event['event_id']}").expect(200)
    assert (now["name"], now["category"], now["description"]) == ("N", "C", "D")

    now = staff.get(f"/v1/shows/{show}").expect(200)
    assert (now["sale_starts_at"], now["sale_ends_at"], now["cancellation"]["until"]) == (
        "2026-01-01T00:00:00Z", "2030-01-01T00:00:00Z", "2029-01-01T00:00:00Z")
