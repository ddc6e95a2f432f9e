"""The event service over HTTP: venues, seating plans, events, shows; who may see and do what; what is refused and how."""

import base64
import copy
import datetime
import json
import re
import secrets
import socket
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import psycopg
import pytest

from api import from_now, seat_guids, seating_plan
from organiser import NOWHERE, SCOPES, make_staff, pages

# for a plan of megabytes, on a machine that does other things, under the sanitizers
LARGE_PLAN_S = 40


def said(value):
    """A parameter in a test's name: times are left out, for a name is the same in every run and process."""
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "T", str(value))


@pytest.fixture
def staff(boxoffice):
    """An organiser of this test's own: its lists are empty."""
    return make_staff(boxoffice)


@pytest.fixture
def stranger(boxoffice):
    """Another organiser."""
    return make_staff(boxoffice)


@pytest.fixture
def anyone(boxoffice):
    """Nobody in particular."""
    return boxoffice.api()


@pytest.fixture
def venue(staff):
    return staff.make_venue()["venue_id"]


def money(amount, currency="EUR"):
    return {"amount": amount, "currency": currency}


def event_body(**fields):
    return {"name": "Hamlet", **fields}


def venue_body(**fields):
    return {"name": "Burg", "timezone": "Europe/Vienna", "city": "Vienna", **fields}


def without(body, *names):
    return {name: value for name, value in body.items() if name not in names}


# ---- venues ----------------------------------------------------------------------------------------------------------


def test_venue_round_trip(staff):
    sent = venue_body(name="Théâtre 🎭 \u200fאבג", city="São Paulo", address="Rua A, 1\nfundos\tB", country="Brasil")
    made = staff.post("/v1/venues", sent).expect(201)
    assert without(made, "venue_id") == sent
    assert staff.get(f"/v1/venues/{made['venue_id']}").expect(200) == made


def test_venue_optional_members(staff):
    made = staff.post("/v1/venues", venue_body(address=None)).expect(201)
    assert made["address"] == "" and made["country"] == ""


@pytest.mark.parametrize("change, status, code, path", [
    ({"name": None}, 400, "invalid_request", "/name"),
    ({"name": ""}, 422, "invalid_value", "/name"),
    ({"name": "x" * 201}, 422, "invalid_value", "/name"),
    ({"name": 7}, 400, "invalid_request", "/name"),
    ({"name": ["Burg"]}, 400, "invalid_request", "/name"),
    ({"name": "a\nb"}, 422, "invalid_value", "/name"),
    ({"name": "a\x7fb"}, 422, "invalid_value", "/name"),
    ({"name": "a\x85b"}, 422, "invalid_value", "/name"),
    ({"address": "a\rb"}, 422, "invalid_value", "/address"),
    ({"address": "x" * 501}, 422, "invalid_value", "/address"),
    ({"timezone": "Europe/Nowhere"}, 422, "invalid_value", "/timezone"),
    ({"timezone": "../../etc/passwd"}, 422, "invalid_value", "/timezone"),
    ({"timezone": "/etc/localtime"}, 422, "invalid_value", "/timezone"),
    ({"timezone": "é" * 64}, 422, "invalid_value", "/timezone"),
    ({"colour": "red"}, 400, "invalid_request", "/colour"),
    ({"a/b~c": 1}, 400, "invalid_request", "/a~1b~0c"),
    ({"": 1}, 400, "invalid_request", "/"),
    ({"ü" * 300: 1}, 400, "invalid_request", "/" + "ü" * 125 + "..."),
    ({"venue_id": NOWHERE}, 400, "invalid_request", "/venue_id"),
    ({"organizer_id": NOWHERE}, 400, "invalid_request", "/organizer_id"),
], ids=said)
def test_venue_refused(staff, change, status, code, path):
    problem = staff.post("/v1/venues", venue_body(**change)).expect(status, code)
    assert problem["path"] == path


def test_names_are_counted_in_characters(staff):
    assert staff.post("/v1/venues", venue_body(name="🎭" * 200)).expect(201)["name"] == "🎭" * 200
    staff.post("/v1/venues", venue_body(name="🎭" * 201)).expect(422, "invalid_value")


def test_venues_listed_by_pages(staff, stranger):
    assert pages(staff, "/v1/venues") == []
    made = [staff.make_venue() for _ in range(101)]
    stranger.make_venue()
    listed = pages(staff, "/v1/venues")
    assert len(listed) == 101
    assert sorted(v["venue_id"] for v in listed) == sorted(v["venue_id"] for v in made)


@pytest.mark.parametrize("cursor", ["x", "AAAA", "A" * 31, "A" * 33, "=" * 32, "%ff", "%00", "A" * 31 + "%2F"])
@pytest.mark.parametrize("path", ["/v1/venues", "/v1/events", f"/v1/events/{NOWHERE}/shows"])
def test_cursor_of_our_making_only(staff, path, cursor):
    staff.get(f"{path}?cursor={cursor}").expect(400, "invalid_request")


@pytest.mark.parametrize("us", [-1, -2**63, 2**63 - 1, 253402300800 * 10**6, 1 << 60])
@pytest.mark.parametrize("path", ["/v1/venues", "/v1/events", f"/v1/events/{NOWHERE}/shows"])
def test_cursor_of_no_time(staff, path, us):
    cursor = base64.urlsafe_b64encode(us.to_bytes(8, "little", signed=True) + bytes(16)).decode()
    staff.get(f"{path}?cursor={cursor}").expect(400, "invalid_request")


# ---- plans -----------------------------------------------------------------------------------------------------------

CURIOUS_PLAN = r"""
{"name": "Größe \ud83c\udfad \"Q\" \\ \/",
 "size": {"width": 8e2, "height": 600.0}, "categories": [{"name": "A \u00e9\ud83d\ude00", "color": "#7f4a91"}, {"name": "é/~%{}"}],
 "zones": [{"name": "", "position": {"x": 1.0, "y": 1e2}, "areas": [{"shape": "circle", "rotation": 0.1,
   "position": {"x": 0.30000000000000004, "y": -0.0}, "circle": {"radius": 5E+1}}],
   "rows": [{"row_number": "1", "row_label": "Row %s", "position": {"x": 1e-2, "y": 0}, "seats": [
     {"seat_guid": "{\"%s\": \u20ac}", "seat_number": "1", "position": {"x": 1.10, "y": 2.0e0}, "category": "A é😀"},
     {"category": "é/~%{}", "position": {"y": 2, "x": 30.5}, "seat_number": "", "seat_guid": "日本", "radius": 7.50}]}]}]}
""".encode()


def exactly(text):
    """JSON with its numbers as they are spelt and its members in their order."""
    return json.loads(text, parse_float=str, parse_int=str, object_pairs_hook=list)


def test_plan_comes_back_as_it_came(staff, venue):
    made = staff.post(f"/v1/venues/{venue}/plans", CURIOUS_PLAN).expect(201)
    assert made["seats"] == 2 and made["version"] == 1 and made["venue_id"] == venue
    back = staff.get(f"/v1/plans/{made['plan_id']}").body
    assert exactly(back) == exactly(CURIOUS_PLAN)


def test_plan_of_20000_seats(staff, venue):
    plan = seating_plan(20000, 100, ["Stalls", "Ränge 🪑"])
    sent = json.dumps(plan, ensure_ascii=False).encode()
    made = staff.post(f"/v1/venues/{venue}/plans", sent).expect(201)
    assert made["seats"] == 20000
    assert exactly(staff.get(f"/v1/plans/{made['plan_id']}").body) == exactly(sent)
    prices = {"Stalls": 5000, "Ränge 🪑": 2500}
    event = staff.make_event()["event_id"]
    show = staff.post(f"/v1/events/{event}/shows", show_body(made["plan_id"], prices)).expect(201)
    assert show["capacity"] == 20000 and show["free"] == 20000
    drawn = staff.get(f"/v1/shows/{show['show_id']}/seatmap").expect(200)
    assert [seat["guid"] for zone in drawn["zones"] for row in zone["rows"] for seat in row["seats"]] == seat_guids(plan)


def test_plans_are_versioned(staff, venue, stranger):
    first = staff.make_plan(venue, seating_plan(5))
    second = staff.make_plan(venue, seating_plan(7))
    assert (first["version"], second["version"]) == (1, 2)
    assert staff.make_plan(staff.make_venue()["venue_id"], seating_plan(5))["version"] == 1
    event = staff.make_event()["event_id"]
    show = staff.post(f"/v1/events/{event}/shows", show_body(first["plan_id"])).expect(201)
    assert show["plan_id"] == first["plan_id"] and show["capacity"] == 5
    for call in (stranger.get(f"/v1/plans/{first['plan_id']}"), staff.get(f"/v1/plans/{NOWHERE}"),
                 stranger.post(f"/v1/venues/{venue}/plans", seating_plan(5)),
                 staff.post(f"/v1/venues/{NOWHERE}/plans", seating_plan(5))):
        call.expect(404, "not_found")


def at_once(office, staff, number, act):
    """Results of act(client), done by that many clients of this staff at the same time."""
    clients = [office.api(staff.token) for _ in range(number)]
    for client in clients:
        client.get("/healthz")  # connected
    start = threading.Barrier(number)

    def run(client):
        start.wait()
        return act(client)

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(run, clients))


def test_plans_uploaded_at_once_get_a_version_each(boxoffice, staff, venue):
    for _ in range(5):
        answers = at_once(boxoffice, staff, 8, lambda client: client.post(f"/v1/venues/{venue}/plans", seating_plan(50)))
        assert [answer.status for answer in answers] == [201] * 8, answers
    with psycopg.connect(boxoffice.database_url) as db:
        rows = db.execute("SELECT version FROM seating_plans WHERE venue_id = %s ORDER BY version", (venue,)).fetchall()
    assert [version for version, in rows] == list(range(1, 41))


def test_one_key_at_once_makes_one_thing(boxoffice, staff, stage, venue):
    event, plan = stage
    for path, body in (("/v1/venues", venue_body()), ("/v1/events", event_body()), (f"/v1/venues/{venue}/plans", seating_plan(5)),
                       (f"/v1/events/{event}/shows", show_body(plan))):
        key = secrets.token_urlsafe(12)
        answers = at_once(boxoffice, staff, 16, lambda client: client.post(path, body, key=key))
        assert [answer.status for answer in answers] == [201] * 16, answers
        assert len({answer.body for answer in answers}) == 1, path


def put(pointer, value):
    """A change of a plan: sets the value at a JSON Pointer, or adds the member."""
    def change(plan):
        *way, last = [int(part) if part.isdigit() else part for part in pointer[1:].split("/")]
        for part in way:
            plan = plan[part]
        plan[last] = value
    return change


def drop(pointer):
    def change(plan):
        *way, last = [int(part) if part.isdigit() else part for part in pointer[1:].split("/")]
        for part in way:
            plan = plan[part]
        del plan[last]
    return change


SEAT = "/zones/0/rows/0/seats/2"
WRONG_PLANS = [
    (drop("/name"), "/name"), (drop("/zones"), "/zones"), (drop("/categories"), "/categories"), (drop("/size"), "/size"),
    (put("/name", 7), "/name"), (put("/zones", {}), "/zones"), (put("/zones", []), "/zones"), (put("/zones/0", 3), "/zones/0"),
    (put("/size/width", "800"), "/size/width"), (put("/size/width", 0), "/size/width"), (put("/size/width", 1.5), "/size/width"),
    (put("/size/width", True), "/size/width"), (put("/size/height", -1), "/size/height"), (put("/size/depth", 1), "/size/depth"),
    (put("/categories", []), f"{SEAT[:-1]}0/category"), (put("/categories/0/name", ""), "/categories/0/name"),
    (put("/categories/0/color", "url(x)\"><script>"), "/categories/0/color"), (drop("/categories/0/name"), "/categories/0/name"),
    (lambda p: p["categories"].append({"name": "Standard"}), "/categories/1/name"),
    (put("/categories", [{"name": f"c{i}"} for i in range(250)] + [{"name": "Standard"}]), "/categories/250"),
    (drop("/zones/0/position"), "/zones/0/position"), (put("/zones/0/position/x", None), "/zones/0/position/x"),
    (put("/zones/0/position/x", 1000001), "/zones/0/position/x"), (put("/zones/0/colour", 1), "/zones/0/colour"),
    (put("/zones/0/rows/0/seats", "A"), "/zones/0/rows/0/seats"), (drop("/zones/0/rows/0/row_number"), "/zones/0/rows/0/row_number"),
    (put("/zones/0/rows/0/row_number_position", "middle"), "/zones/0/rows/0/row_number_position"),
    (lambda p: p["zones"][0]["rows"][1].update(row_label="%s" * 100, row_number="BBB"), "/zones/0/rows/1/row_label"),
    (put("/zones/0/rows/0/row_number", "x" * 65), "/zones/0/rows/0/row_number"), (put("/zones/0/rows", []), "/zones"),
    (drop(f"{SEAT}/seat_guid"), f"{SEAT}/seat_guid"), (put(f"{SEAT}/seat_guid", ""), f"{SEAT}/seat_guid"),
    (put(f"{SEAT}/seat_guid", "x" * 65), f"{SEAT}/seat_guid"), (put(f"{SEAT}/seat_guid", " A"), f"{SEAT}/seat_guid"),
    (put(f"{SEAT}/seat_guid", "A-1"), f"{SEAT}/seat_guid"), (put(f"{SEAT}/seat_guid", 3), f"{SEAT}/seat_guid"),
    (put("/zones/0/rows/1/seats/0/seat_guid", "A-1"), "/zones/0/rows/1/seats/0/seat_guid"),
    (put(f"{SEAT}/category", "Parterre"), f"{SEAT}/category"), (put(f"{SEAT}/category", None), f"{SEAT}/category"),
    (put(f"{SEAT}/position", {"x": 1}), f"{SEAT}/position/y"), (put(f"{SEAT}/position", [1, 2]), f"{SEAT}/position"),
    (put(f"{SEAT}/radius", -1), f"{SEAT}/radius"), (put(f"{SEAT}/radius", 1e300), f"{SEAT}/radius"),
    (put("/zones/0/areas/0/shape", "star"), "/zones/0/areas/0/shape"), (drop("/zones/0/areas/0/text"), "/zones/0/areas/0/text"),
    (put("/zones/0/areas/0/polygon", {"points": [{"x": 0, "y": 0}] * 2}), "/zones/0/areas/0/polygon/points"),
    (put("/zones/0/areas/0/polygon", {"points": [{"x": 0, "y": 0}, {"x": 1, "y": 1}, {"x": 1}]}), "/zones/0/areas/0/polygon/points/2/y"),
    (lambda p: [row.update(uuid="u") for row in p["zones"][0]["rows"]], "/zones/0/rows/1/uuid"), (put("/a~b", 1), "/a~0b"),
]


@pytest.mark.parametrize("number", range(len(WRONG_PLANS)))
def test_wrong_plan_refused_with_the_place(staff, venue, number):
    change, pointer = WRONG_PLANS[number]
    plan = seating_plan(20, 10)
    change(plan)
    problem = staff.post(f"/v1/venues/{venue}/plans", plan).expect(422, "invalid_plan")
    assert problem["path"] == pointer, problem


def test_an_empty_row_is_no_fault(staff, venue):
    plan = seating_plan(20, 10)
    plan["zones"][0]["rows"][0]["seats"] = []
    assert staff.post(f"/v1/venues/{venue}/plans", plan).expect(201)["seats"] == 10


@pytest.mark.parametrize("text, status, path", [
    (b"", 400, None), (b"{", 400, None), (b"null", 422, ""), (b"[]", 422, ""), (b'"plan"', 422, ""), (b"7", 422, ""),
    (b'{"name": "a", "name": "b"}', 400, "/name"), (b'{"name": "a\\u0000b"}', 422, "/name"), (b'{"name": "a\0b"}', None, None),
    (b'{"name": "\xff\xfe"}', 400, "/name"), (b'{"size": {"width": 1e999}}', 422, "/size/width"), (b"\xef\xbb\xbf{}", 400, None),
    (b'{"name": "\\ud800"}', 400, None), (b"{} {}", 400, None), (b"[" * 100000, None, None), (b'{"a":' * 10000, None, None),
    (b'{"name": NaN}', 400, None), (b"{'name': 1}", 400, None),
], ids=lambda v: repr(v[:24]) if isinstance(v, bytes) else str(v))
def test_what_is_no_plan_at_all(staff, venue, text, status, path):
    answer = staff.post(f"/v1/venues/{venue}/plans", text)
    assert answer.status in ((status,) if status else (400, 422)), answer
    assert answer.code in ("invalid_request", "invalid_plan"), answer
    if path is not None:
        assert answer.json()["path"] == path, answer


def test_too_many_seats_is_said_of_the_plan_not_of_the_body(staff, venue):
    staff.timeout_s = LARGE_PLAN_S
    plan = seating_plan(200000, 500)
    problem = staff.post(f"/v1/venues/{venue}/plans", json.dumps(plan).encode()).expect(422, "invalid_plan")
    assert problem["path"].startswith("/zones/0/rows/200/"), problem
    assert "100000" in problem["detail"]


def test_largest_plan(staff, venue):
    staff.timeout_s = LARGE_PLAN_S
    plan = seating_plan(100000, 500)
    assert staff.post(f"/v1/venues/{venue}/plans", json.dumps(plan).encode()).expect(201)["seats"] == 100000


def head_only(url, token, path, length):
    """The answer to the head of a request that announces a body of this length and does not send it."""
    at = urlsplit(url)
    with socket.create_connection((at.hostname, at.port), timeout=10) as sock:
        sock.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
                     f"Content-Length: {length}\r\n\r\n".encode())
        answer = b""
        while piece := sock.recv(65536):
            answer += piece
    return answer


def test_body_over_the_limit(boxoffice, staff, venue):
    for path, limit in ((f"/v1/venues/{venue}/plans", 48 << 20), ("/v1/events", 64 << 10), ("/v1/sessions", 1024)):
        answer = head_only(boxoffice.url, staff.token, path, limit + 1)
        assert answer.startswith(b"HTTP/1.1 413 ") and b'"too_large"' in answer, (path, answer[:300])
    staff.post("/v1/events", event_body(description="x" * 70000)).expect(413, "too_large")


# ---- events ----------------------------------------------------------------------------------------------------------


def test_event_round_trip(staff, anyone):
    sent = event_body(name="Faust I & II 😀", category="Drama", description="Erster Teil\n\tZweiter Teil", max_per_payer=4)
    made = staff.post("/v1/events", sent).expect(201)
    assert made["organizer_id"] == staff.organizer_id
    assert without(made, "event_id", "organizer_id") == {**sent, "status": "published", "language": None, "city": None,
                                                              "next_show_at": None}
    assert staff.get(f"/v1/events/{made['event_id']}").expect(200) == made
    assert anyone.get(f"/v1/events/{made['event_id']}").expect(200) == without(made, "organizer_id")


@pytest.mark.parametrize("change, status, code, path", [
    ({"name": None}, 400, "invalid_request", "/name"),
    ({"status": "cancelled"}, 422, "invalid_value", "/status"),
    ({"status": "Draft"}, 422, "invalid_value", "/status"),
    ({"status": 1}, 400, "invalid_request", "/status"),
    ({"max_per_payer": 0}, 422, "invalid_value", "/max_per_payer"),
    ({"max_per_payer": -1}, 422, "invalid_value", "/max_per_payer"),
    ({"max_per_payer": 2**63 - 1}, 422, "invalid_value", "/max_per_payer"),
    ({"max_per_payer": 1.0}, 400, "invalid_request", "/max_per_payer"),
    ({"max_per_payer": "4"}, 400, "invalid_request", "/max_per_payer"),
    ({"max_per_payer": True}, 400, "invalid_request", "/max_per_payer"),
    ({"description": "x" * 5001}, 422, "invalid_value", "/description"),
    ({"description": "a\x00b"}, 400, "invalid_request", ""),
    ({"next_show_at": from_now(0)}, 400, "invalid_request", "/next_show_at"),
], ids=said)
def test_event_refused(staff, change, status, code, path):
    assert staff.post("/v1/events", event_body(**change)).expect(status, code)["path"] == path


def test_search(staff, anyone):
    word = secrets.token_hex(6)
    vienna, graz = staff.make_venue(city="Wien " + word), staff.make_venue(city="GRÄZ " + word)
    plans = {v["city"]: staff.make_plan(v["venue_id"], seating_plan(4))["plan_id"] for v in (vienna, graz)}

    def on(name, city, days, category="c " + word):
        event = staff.make_event(name=f"{name} {word}", category=category)["event_id"]
        staff.post(f"/v1/events/{event}/shows", show_body(plans[city], starts_at=from_now(days * 86400))).expect(201)
        return event

    early, late = on("Äneas 100%", vienna["city"], 5), on("Lear_x", graz["city"], 9)
    past = on("Gone", vienna["city"], -1)
    silent = staff.make_event(name=f"No show {word}")["event_id"]
    draft = staff.make_event(name=f"Draft {word}", status="draft")["event_id"]
    staff.post(f"/v1/events/{draft}/shows", show_body(plans[vienna["city"]])).expect(201)

    def found(**query):
        return [item["event_id"] for item in pages(anyone, "/v1/events", **{"q": word, **query})]

    assert found() == [early, late], (past, silent, draft)
    assert found(q=word.upper()) == [early, late]
    assert found(q=f"100% {word}") == [early]
    assert found(q=f"_x {word}") == [late]
    for sign in "%\\'_":  # nothing of LIKE, of a string, of a query
        assert found(q=f"{sign}{word}") == [early, late]
    assert found(category=f"C {word}") == [early, late] and found(category="c") == []
    assert found(city=f"wien {word}") == [early] and found(city=f"gräz {word}") == [late]
    assert found(**{"from": from_now(6 * 86400)}) == [late] and found(to=from_now(6 * 86400)) == [early]
    assert found(**{"from": from_now(6 * 86400), "to": from_now(7 * 86400)}) == []
    item = anyone.get(f"/v1/events?q={word}").expect(200)["items"][0]
    assert item["city"] == vienna["city"] and item["shows"] == 1 and item["name"] == f"Äneas 100% {word}"


def test_events_listed_by_pages_also_at_the_same_hour(staff, anyone):
    word, when = secrets.token_hex(6), from_now(86400)
    plan = staff.make_plan(staff.make_venue()["venue_id"], seating_plan(2))["plan_id"]
    made = []
    for number in range(103):
        event = staff.make_event(name=f"{word} {number}")["event_id"]
        staff.post(f"/v1/events/{event}/shows", show_body(plan, starts_at=when)).expect(201)
        made.append(event)
    listed = [item["event_id"] for item in pages(anyone, "/v1/events", q=word)]
    assert len(listed) == 103 and sorted(listed) == sorted(made)


@pytest.mark.parametrize("query", ["from=yesterday", "to=2026-11-23", "from=2026-02-30T00:00:00Z", "q=%ff", "q=%00", "city=%zz",
                                   "q=" + "x" * 401, "from=", "to=2026-11-23T00:00:00"])
def test_search_refused(anyone, query):
    anyone.get(f"/v1/events?{query}").expect(400, "invalid_request")


# ---- shows -----------------------------------------------------------------------------------------------------------


def show_body(plan_id, prices=None, **fields):
    prices = {"Standard": 4500} if prices is None else prices
    return {"plan_id": plan_id, "starts_at": from_now(7 * 86400), "sale_starts_at": from_now(-60),
            "sale_ends_at": from_now(86400),
            "prices": {name: money(price) if isinstance(price, int) else price for name, price in prices.items()}, **fields}


@pytest.fixture
def stage(staff, venue):
    """(event id, id of a plan with the one category Standard) to make shows with."""
    return staff.make_event()["event_id"], staff.make_plan(venue, seating_plan(20))["plan_id"]


def test_show_round_trip(staff, anyone, stage):
    event, plan = stage
    body = show_body(plan, starts_at="2031-07-01T19:30:00.125+02:00", sale_starts_at="2026-01-01T00:00:00Z",
                     sale_ends_at="2031-07-01T17:30:00Z", cancellation={"until": "2031-06-30T00:00:00Z", "fee": money(250)})
    made = staff.post(f"/v1/events/{event}/shows", body).expect(201)
    assert made["starts_at"] == "2031-07-01T17:30:00.125Z" and made["sale_starts_at"] == "2026-01-01T00:00:00Z"
    assert made["timezone"] == "Europe/Vienna" and made["status"] == "published" and made["on_sale"] is True
    assert made["capacity"] == 20 and made["free"] == 20
    assert made["categories"] == [{"name": "Standard", "color": "#7f4a91", "price": money(4500)}]
    assert made["cancellation"] == {"until": "2031-06-30T00:00:00Z", "fee": money(250)}
    assert anyone.get(f"/v1/shows/{made['show_id']}").expect(200) == made
    listed = pages(anyone, f"/v1/events/{event}/shows")
    assert [item["show_id"] for item in listed] == [made["show_id"]]
    told = anyone.get(f"/v1/events/{event}").expect(200)
    assert told["next_show_at"] == made["starts_at"] and told["city"] == "Vienna"


def test_show_in_minutes_of_the_sale(staff, stage):
    event, plan = stage
    for starts, ends, on_sale in ((-60, 3600, True), (3600, 7200, False), (-7200, -3600, False)):
        body = show_body(plan, sale_starts_at=from_now(starts), sale_ends_at=from_now(ends))
        assert staff.post(f"/v1/events/{event}/shows", body).expect(201)["on_sale"] is on_sale


@pytest.mark.parametrize("change, status, code, path", [
    ({"prices": {}}, 400, "invalid_request", "/prices/Standard"),
    ({"prices": None}, 400, "invalid_request", "/prices"),
    ({"prices": []}, 400, "invalid_request", "/prices"),
    ({"prices": {"Standard": 4500}}, 400, "invalid_request", "/prices/Standard"),
    ({"prices": {"Standard": None}}, 400, "invalid_request", "/prices/Standard"),
    ({"prices": {"standard": money(4500)}}, 400, "invalid_request", "/prices/Standard"),
    ({"prices": {"Standard": money(4500), "Box": money(1)}}, 422, "invalid_value", "/prices/Box"),
    ({"prices": {"Standard": money(4500), "a/~b\n": money(1)}}, 422, "invalid_value", "/prices/a~1~0b\n"),
    ({"prices": {"Standard": money(-1)}}, 422, "invalid_value", "/prices/Standard/amount"),
    ({"prices": {"Standard": money(45.0)}}, 400, "invalid_request", "/prices/Standard/amount"),
    ({"prices": {"Standard": money("4500")}}, 400, "invalid_request", "/prices/Standard/amount"),
    ({"prices": {"Standard": money(10**8)}}, 422, "invalid_value", "/prices/Standard/amount"),
    # ten of them at once are more than a payment may be
    ({"prices": {"Standard": money(10**7)}}, 422, "invalid_value", "/prices/Standard/amount"),
    ({"prices": {"Standard": money(2**63 - 1)}}, 422, "invalid_value", "/prices/Standard/amount"),
    ({"prices": {"Standard": money(1)}}, 422, "invalid_value", "/prices/Standard/amount"),
    ({"prices": {"Standard": money(17501, "HUF")}}, 422, "invalid_value", "/prices/Standard/amount"),
    ({"prices": {"Standard": money(4500, "eur")}}, 422, "invalid_value", "/prices/Standard/currency"),
    ({"prices": {"Standard": money(4500, "XXX")}}, 422, "invalid_value", "/prices/Standard/currency"),
    ({"prices": {"Standard": money(4500, "")}}, 422, "invalid_value", "/prices/Standard/currency"),
    ({"prices": {"Standard": {"amount": 4500}}}, 400, "invalid_request", "/prices/Standard/currency"),
    ({"prices": {"Standard": {**money(4500), "tax": 1}}}, 400, "invalid_request", "/prices/Standard/tax"),
    ({"starts_at": "2026-02-30T20:00:00Z"}, 400, "invalid_request", "/starts_at"),
    ({"starts_at": "2030-01-01T20:00:00"}, 400, "invalid_request", "/starts_at"),
    ({"starts_at": "2030-01-01T24:00:00Z"}, 400, "invalid_request", "/starts_at"),
    ({"starts_at": "2030-06-30T23:59:60Z"}, 400, "invalid_request", "/starts_at"),
    ({"starts_at": "2030-01-01T20:00:00+24:00"}, 400, "invalid_request", "/starts_at"),
    ({"starts_at": 1893456000}, 400, "invalid_request", "/starts_at"),
    ({"starts_at": "10000-01-01T00:00:00Z"}, 400, "invalid_request", "/starts_at"),
    ({"starts_at": "infinity"}, 400, "invalid_request", "/starts_at"),
    ({"sale_ends_at": from_now(-3600)}, 422, "invalid_value", "/sale_ends_at"),
    ({"sale_starts_at": "2030-01-01T00:00:00Z", "sale_ends_at": "2030-01-01T00:00:00Z"}, 422, "invalid_value", "/sale_ends_at"),
    ({"status": "cancelled"}, 422, "invalid_value", "/status"),
    ({"cancellation": {}}, 400, "invalid_request", "/cancellation/until"),
    ({"cancellation": {"until": from_now(60), "fee": money(100, "USD")}}, 422, "invalid_value", "/cancellation/fee/currency"),
    ({"cancellation": {"until": from_now(60), "why": 1}}, 400, "invalid_request", "/cancellation/why"),
    ({"plan_id": "x"}, 400, "invalid_request", "/plan_id"),
    ({"plan_id": None}, 400, "invalid_request", "/plan_id"),
    ({"plan_id": NOWHERE}, 404, "not_found", "/plan_id"),
    ({"capacity": 3}, 400, "invalid_request", "/capacity"),
], ids=said)
def test_show_refused(staff, stage, change, status, code, path):
    event, plan = stage
    answer = staff.post(f"/v1/events/{event}/shows", {**show_body(plan), **change})
    assert answer.expect(status, code)["path"] == path
    assert pages(staff, f"/v1/events/{event}/shows") == []


def test_edges_of_money(staff, stage):
    """The highest price of which ten can be paid at once; a fee is kept, not charged, and has no minimum."""
    event, plan = stage
    made = staff.post(f"/v1/events/{event}/shows", show_body(plan, {"Standard": money(9999999)}, cancellation={
        "until": "2031-06-30T00:00:00Z", "fee": money(1)})).expect(201)
    assert made["categories"][0]["price"] == money(9999999) and made["cancellation"]["fee"] == money(1)


def test_show_in_one_currency(staff, venue):
    event = staff.make_event()["event_id"]
    plan = staff.make_plan(venue, seating_plan(20, 10, ["A", "B"]))["plan_id"]
    mixed = show_body(plan, {"A": money(4500), "B": money(4500, "USD")})
    assert staff.post(f"/v1/events/{event}/shows", mixed).expect(422, "invalid_value")["path"] == "/prices/B"
    made = staff.post(f"/v1/events/{event}/shows", show_body(plan, {"B": money(0, "JPY"), "A": money(500, "JPY")})).expect(201)
    assert [c["price"] for c in made["categories"]] == [money(500, "JPY"), money(0, "JPY")]


@pytest.mark.parametrize("names", [
    [f"Category {n}" for n in range(250)],
    ["a/b", "~", "~1", "%s%n{}", "\"quoted\"", "Ränge 🪑", "日本語" * 60, " ", "𝔄" * 200, "plan_id", "prices"],
], ids=["250", "curious"])
def test_categories_are_names_of_the_organiser(staff, venue, names):
    plan = staff.make_plan(venue, seating_plan(2 * len(names), 2, names))["plan_id"]
    event = staff.make_event()["event_id"]
    prices = {name: 1000 + number for number, name in enumerate(names)}
    made = staff.post(f"/v1/events/{event}/shows", show_body(plan, prices)).expect(201)
    assert {c["name"]: c["price"]["amount"] for c in made["categories"]} == prices
    del prices[names[-1]]
    problem = staff.post(f"/v1/events/{event}/shows", show_body(plan, prices)).expect(400, "invalid_request")
    pointer = "/prices/" + names[-1].replace("~", "~0").replace("/", "~1")
    assert problem["path"] == pointer


def test_shows_listed_by_pages_also_at_the_same_hour(staff, anyone, stage):
    event, plan = stage
    when = from_now(86400)
    made = {staff.post(f"/v1/events/{event}/shows", show_body(plan, starts_at=when)).expect(201)["show_id"] for _ in range(51)}
    made.add(staff.post(f"/v1/events/{event}/shows", show_body(plan, starts_at=from_now(-86400))).expect(201)["show_id"])
    listed = pages(anyone, f"/v1/events/{event}/shows")
    assert len(listed) == 52 and {item["show_id"] for item in listed} == made
    assert [item["starts_at"] for item in listed] == sorted(item["starts_at"] for item in listed)


@pytest.mark.parametrize("seats, status, code, path", [
    (["A-1", "Z-9"], 422, "unknown_seat", "/seats/1"), (["A-1", "A-1"], 422, "duplicate_seat", "/seats"),
    ([], 422, "invalid_value", "/seats"), ("A-1", 400, "invalid_request", "/seats"), (["A-1", 2], 400, "invalid_request", "/seats/1"),
    ([""], 422, "unknown_seat", "/seats/0"), ([None], 400, "invalid_request", "/seats/0"),
    (["A-1\x00"], 400, "invalid_request", ""), (["\"}\r\n%s"], 422, "unknown_seat", "/seats/0"),
], ids=said)
def test_blocks_of_seats_that_are_none(staff, stage, seats, status, code, path):
    event, plan = stage
    show = staff.post(f"/v1/events/{event}/shows", show_body(plan)).expect(201)["show_id"]
    for method in ("POST", "DELETE"):
        problem = staff.request(method, f"/v1/shows/{show}/blocks", {"seats": seats}).expect(status, code)
        assert problem["path"] == path
        if code == "unknown_seat":
            assert problem["seat"] == seats[-1]
    assert staff.taken(show) == {}


# ---- drafts, scopes, tokens ------------------------------------------------------------------------------------------


def test_drafts_are_their_organisers(boxoffice, staff, stranger, anyone, venue):
    plan = staff.make_plan(venue, seating_plan(5))["plan_id"]
    draft = staff.make_event(status="draft")["event_id"]
    public = staff.make_event()["event_id"]
    of_draft = staff.post(f"/v1/events/{draft}/shows", show_body(plan)).expect(201)
    draft_show = staff.post(f"/v1/events/{public}/shows", show_body(plan, status="draft")).expect(201)
    assert draft_show["status"] == "draft" and draft_show["on_sale"] is False
    assert of_draft["status"] == "draft" and of_draft["on_sale"] is False, "a draft's show is a draft"
    buyer = boxoffice.session()
    for client in (anyone, stranger, buyer):
        client.get(f"/v1/events/{draft}").expect(404, "not_found")
        client.get(f"/v1/events/{draft}/shows").expect(404, "not_found")
        assert client.get(f"/v1/events/{public}/shows").expect(200)["items"] == []
        assert client.get(f"/v1/events/{public}").expect(200)["next_show_at"] is None
        for show in (of_draft, draft_show):
            for what in ("", "/seats", "/seatmap", "/tickets/revoked"):
                client.get(f"/v1/shows/{show['show_id']}{what}").expect(404, "not_found")
    for show in (of_draft, draft_show):
        buyer.lock(show["show_id"], ["A-1"]).expect(404, "not_found")
    assert staff.get(f"/v1/events/{draft}").expect(200)["status"] == "draft"
    assert [s["status"] for s in pages(staff, f"/v1/events/{draft}/shows")] == ["draft"]
    assert [s["show_id"] for s in pages(staff, f"/v1/events/{public}/shows")] == [draft_show["show_id"]]
    assert staff.get(f"/v1/shows/{draft_show['show_id']}").expect(200)["status"] == "draft"


def test_another_organisers_things_are_not_there(staff, stranger, stage, venue):
    event, plan = stage
    stranger.get(f"/v1/venues/{venue}").expect(404, "not_found")
    stranger.get(f"/v1/plans/{plan}").expect(404, "not_found")
    own_event = stranger.make_event()["event_id"]
    own_plan = stranger.make_plan(stranger.make_venue()["venue_id"], seating_plan(20))["plan_id"]
    assert stranger.post(f"/v1/events/{own_event}/shows", show_body(plan)).expect(404, "not_found")["path"] == "/plan_id"
    stranger.post(f"/v1/events/{event}/shows", show_body(own_plan)).expect(404, "not_found")
    staff.post(f"/v1/events/{NOWHERE}/shows", show_body(plan)).expect(404, "not_found")
    show = staff.post(f"/v1/events/{event}/shows", show_body(plan)).expect(201)["show_id"]
    stranger.post(f"/v1/shows/{show}/blocks", {"seats": ["A-1"]}).expect(404, "not_found")
    assert stranger.get(f"/v1/shows/{show}").expect(200)["free"] == 20


def staff_calls(venue, plan, event, show):
    return [("POST", "/v1/venues", venue_body(), "events"), ("GET", "/v1/venues", None, "events"),
            ("GET", f"/v1/venues/{venue}", None, "events"), ("POST", f"/v1/venues/{venue}/plans", seating_plan(2), "events"),
            ("GET", f"/v1/plans/{plan}", None, "events"), ("POST", "/v1/events", event_body(), "events"),
            ("POST", f"/v1/events/{event}/shows", show_body(plan), "events"),
            ("POST", f"/v1/shows/{show}/blocks", {"seats": ["A-1"]}, "seats"),
            ("DELETE", f"/v1/shows/{show}/blocks", {"seats": ["A-1"]}, "seats")]


def test_scopes(boxoffice, staff, stage, venue):
    event, plan = stage
    show = staff.post(f"/v1/events/{event}/shows", show_body(plan)).expect(201)["show_id"]
    calls = staff_calls(venue, plan, event, show)
    for scope in SCOPES:
        only = make_staff(boxoffice, staff.organizer_id, [scope])
        for method, path, body, needed in calls:
            answer = only.request(method, path, body)
            if scope == needed:
                assert answer.status in (200, 201), answer
            else:
                answer.expect(403, "forbidden")
    none = make_staff(boxoffice, staff.organizer_id, [])
    for method, path, body, _ in calls:
        none.request(method, path, body).expect(403, "forbidden")


def test_without_a_good_token(boxoffice, staff, stage, venue):
    event, plan = stage
    soon = datetime.datetime.now(datetime.timezone.utc)
    last = staff.token[-1]
    bad = ["", "x", "bt_", "bt_" + "A" * 54, staff.token[:-1] + ("A" if last != "A" else "B"), staff.token + "A", "bs_" + "A" * 54,
           "ba_" + "A" * 64, "bs_" + "A" * 300, make_staff(boxoffice, staff.organizer_id, expires_at=soon).token,
           make_staff(boxoffice, staff.organizer_id, revoked_at=soon).token]
    calls = staff_calls(venue, plan, event, NOWHERE)
    for method, path, body, _ in calls:
        for client in (boxoffice.api(), boxoffice.session()):
            answer = client.request(method, path, body)
            answer.expect(401, "unauthenticated")
            assert answer.headers["WWW-Authenticate"] == "Bearer"
    anonymous = boxoffice.api()
    for token in bad:
        # also where nobody would have been asked: a token that is sent must be good
        for path in ("/v1/venues", "/v1/events", "/healthz"):
            anonymous.get(path, headers={"Authorization": f"Bearer {token}"}).expect(401, "unauthenticated")
    anonymous.get("/v1/venues", headers={"Authorization": f"Basic {staff.token}"}).expect(401, "unauthenticated")
    anonymous.get("/v1/venues", headers={"Authorization": staff.token}).expect(401, "unauthenticated")
    anonymous.get("/v1/venues", headers={"Authorization": f"bearer {staff.token}"}).expect(200)


def test_a_revoked_token_stops_at_once(boxoffice, staff):
    staff.get("/v1/venues").expect(200)
    with psycopg.connect(boxoffice.database_url) as db:
        db.execute("UPDATE api_tokens SET revoked_at = now() WHERE organizer_id = %s", (staff.organizer_id,))
    staff.get("/v1/venues").expect(401, "unauthenticated")


# ---- asking again ----------------------------------------------------------------------------------------------------


def test_the_same_key_finds_what_it_made(staff, stranger, stage, venue):
    event, plan = stage
    posts = [("/v1/venues", venue_body(), "venue_id"), ("/v1/events", event_body(), "event_id"),
             (f"/v1/events/{event}/shows", show_body(plan), "show_id"), (f"/v1/venues/{venue}/plans", seating_plan(3), "plan_id")]
    for path, body, name in posts:
        key = secrets.token_urlsafe(12)
        first = staff.post(path, body, key=key).expect(201)
        again = staff.post(path, body, key=key).expect(201)
        assert again == first, path
        reordered = dict(reversed(body.items()))
        if name != "plan_id":  # plans are compared byte by byte
            assert staff.post(path, reordered, key=key).expect(201) == first
        other = {**body, "starts_at": from_now(999)} if name == "show_id" else {**body, "name": "Another"}
        staff.post(path, other, key=key).expect(422, "idempotency_mismatch")
        assert staff.post(path, body, key=key + "x").expect(201)[name] != first[name]
        assert staff.post(path, body).expect(201)[name] != first[name]
    key = secrets.token_urlsafe(12)
    mine = staff.post("/v1/events", event_body(), key=key).expect(201)
    assert stranger.post("/v1/events", event_body(), key=key).expect(201)["event_id"] != mine["event_id"]
    assert staff.post("/v1/venues", venue_body(), key=key).expect(201)["venue_id"] != mine["event_id"]


def test_a_refusal_is_not_remembered(staff):
    key = secrets.token_urlsafe(12)
    staff.post("/v1/events", event_body(status="gone"), key=key).expect(422, "invalid_value")
    staff.post("/v1/events", event_body(), key=key).expect(201)


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "\u00e9", "a\tb"])
def test_malformed_key(staff, key):
    no = staff.post("/v1/events", event_body(), key=key.encode("latin-1")).expect(400, "invalid_request")
    assert no["path"] == "/Idempotency-Key"


def test_longest_key(staff):
    key = secrets.token_hex(4) + "~!" * 123 + "x"
    assert staff.post("/v1/events", event_body(), key=key).expect(201) == staff.post("/v1/events", event_body(), key=key).expect(201)


# ---- bodies, methods, addresses --------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [
    b"", b"{", b"}", b"nul", b'{"name": "a"', b'{"name": "a",}', b'{"name": "a"} x', b'{"name": "a", "name": "a"}',
    b'{"name": "\xff"}', b'{"name": "\xc0\xaf"}', b'{"name": "\xed\xa0\x80"}', b'{"name": "\\ud800"}', b'{"name": "a\\u0000"}',
    b'{"name": "a"}\0', b'{"name": "a", "max_per_payer": 7\0}', b'{"name": "a", "max_per_payer": 1e999}',
    b'{"name": "a", "max_per_payer": 99999999999999999999999}', b'{"name": "a", "max_per_payer": 01}', b"\xef\xbb\xbf{}",
    b'{"name": ' + b"[" * 10000 + b"]" * 10000 + b"}", b'{"a":' * 10000 + b"1" + b"}" * 10000, b"[" * 60000,
    b'{"\\u0000": 1, "name": "a"}', b"null", b"[]", b"7", b'"name"', b'{"name": "a\nb"}',
], ids=lambda b: repr(b[:32]))
def test_body_that_is_no_object_of_ours(staff, body):
    answer = staff.post("/v1/events", body)
    if body == b"":
        answer = staff.request("POST", "/v1/events", b"", headers={"Content-Length": "0"})
    answer.expect(400, "invalid_request")


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "application/json2", "application",
                                  "multipart/form-data; boundary=x", "text/json", ""])
def test_body_of_another_kind(boxoffice, staff, kind):
    headers = {"Content-Type": kind} if kind is not None else {"Content-Type": " "}
    staff.post("/v1/events", event_body(), headers=headers).expect(415, "unsupported_media_type")


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/json;x=y"])
def test_json_by_other_spellings(staff, kind):
    staff.post("/v1/events", event_body(), headers={"Content-Type": kind}).expect(201)


@pytest.mark.parametrize("path, allow", [
    ("/v1/venues", "GET, HEAD, POST"), (f"/v1/venues/{NOWHERE}", "GET, HEAD, PATCH"),
    (f"/v1/venues/{NOWHERE}/plans", "GET, HEAD, POST"),
    ("/v1/sessions", "POST"), (f"/v1/shows/{NOWHERE}/blocks", "GET, HEAD, POST, DELETE"), ("/healthz", "GET, HEAD"),
])
def test_method_not_allowed(staff, path, allow):
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"):
        if method in allow:
            continue
        answer = staff.request(method, path)
        answer.expect(405, "method_not_allowed")
        assert answer.headers["Allow"] == allow


def test_head_is_get_without_a_body(staff, venue):
    got, head = staff.get(f"/v1/venues/{venue}"), staff.request("HEAD", f"/v1/venues/{venue}")
    assert head.status == 200 and head.body == b""
    assert head.headers["Content-Length"] == got.headers["Content-Length"]
    assert head.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("path", [
    "/v1", "/v1/", "/v1/venues/", "/V1/venues", "/v1//venues", "//v1/venues", "/v1/./venues", "/v1/x/../venues", "/v1/venues/..",
    "/v1%2fvenues", "/v1/venues%2f", "/v1/%76enues", "/v1/venues/%00", "/v1/venues%00", "/v1/venues/x", "/v1/venues/{venue}",
    f"/v1/venues/{NOWHERE}x", f"/v1/venues/{NOWHERE[:-1]}", f"/v1/venues/%7B{NOWHERE}%7D", f"/v1/venues/{NOWHERE.replace('-', '')}",
    f"/v1/venues/{NOWHERE}%00", f"/v1/venues/{NOWHERE}/", f"/v1/venues/{NOWHERE}//plans", "/..", "/../etc/passwd", "/%2e%2e/",
    "/v1/venues;x=1", "/" + "x" * 4000, "/v1" + "/a" * 200, f"/v1/shows/{NOWHERE}/tickets/.pdf",
    f"/v1/shows/{NOWHERE}/tickets/{NOWHERE}.exe",
])
def test_addresses_that_are_nothing(staff, path):
    for method in ("GET", "POST"):
        staff.request(method, path, {} if method == "POST" else None).expect(404, "not_found")


def test_things_that_are_not_there(staff):
    for path in (f"/v1/venues/{NOWHERE}", f"/v1/plans/{NOWHERE}", f"/v1/events/{NOWHERE}", f"/v1/events/{NOWHERE}/shows",
                 f"/v1/shows/{NOWHERE}", f"/v1/shows/{NOWHERE}/seats", f"/v1/shows/{NOWHERE}/seatmap"):
        staff.get(path).expect(404, "not_found")


def test_an_id_in_capitals_is_the_same_id(staff, venue):
    assert staff.get(f"/v1/venues/{venue.upper()}").expect(200)["venue_id"] == venue


def test_every_answer_names_its_request(staff, anyone):
    ids = [staff.get("/v1/venues").headers["X-Request-Id"], anyone.get("/v1/venues").headers["X-Request-Id"]]
    problem = anyone.get("/v1/nothing")
    assert problem.json()["request_id"] == problem.headers["X-Request-Id"]
    ids.append(problem.headers["X-Request-Id"])
    assert len(set(ids)) == 3


def test_the_plan_stays_what_it_is_when_the_sender_changes_it(staff, venue):
    plan = seating_plan(10)
    made = staff.make_plan(venue, plan)
    changed = copy.deepcopy(plan)
    changed["zones"][0]["rows"][0]["seats"].pop()
    assert staff.make_plan(venue, changed)["version"] == 2
    assert staff.get(f"/v1/plans/{made['plan_id']}").expect(200) == plan
