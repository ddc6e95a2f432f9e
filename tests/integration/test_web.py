"""What all routes share: the browser's cookie and its Origin, conditional and compressed answers, health, metrics, pages."""

import gzip
import json
import urllib.parse

import pytest

from api import from_now, seating_plan


@pytest.fixture
def show(admin):
    return admin.make_show(seats=40, prices={"Stalls": 4500, "Ränge": 3000})


def cookie_of(answer):
    name, _, rest = answer.headers["Set-Cookie"].partition("=")
    assert name == "__Host-boxoffice"
    attributes = {part.strip().partition("=")[0]: part.strip().partition("=")[2] for part in rest.split(";")[1:]}
    assert attributes["Path"] == "/" and attributes["SameSite"] == "Lax" and int(attributes["Max-Age"]) > 3600
    assert "Secure" in attributes and "HttpOnly" in attributes and "Domain" not in attributes
    return rest.split(";")[0]


# ---- sessions and the cookie -----------------------------------------------------------------------------------------


def test_a_session_by_cookie(boxoffice, show):
    browser = boxoffice.api()
    made = browser.post("/v1/sessions", {})
    token = cookie_of(made)
    assert token == made.expect(201)["token"]
    host = urllib.parse.urlsplit(boxoffice.url).netloc
    cookie = {"Cookie": f"theme=dark; __Host-boxoffice={token}; x=y"}
    path, body = f"/v1/shows/{show.show_id}/locks", {"seats": ["A-1"]}
    assert browser.get("/v1/me/locks", headers=cookie).expect(200)["items"] == []
    for origin in (None, "https://evil.example", f"https://{host}.evil.example", f"http://evil.example/{host}", "null", host, ""):
        headers = {**cookie, **({"Origin": origin} if origin is not None else {})}
        browser.post(path, body, headers=headers).expect(403, "forbidden")
        browser.delete(f"{path}/{made.headers['X-Request-Id']}", headers=headers).expect(403, "forbidden")
    assert browser.taken(show.show_id) == {}
    lock = browser.post(path, body, headers={**cookie, "Origin": f"http://{host}"}).expect(201)
    assert browser.get("/v1/me/locks", headers=cookie).expect(200)["items"][0]["lock_id"] == lock["lock_id"]
    # the bearer token needs no Origin: no other site can know it
    browser.delete(f"{path}/{lock['lock_id']}", headers={"Authorization": f"Bearer {token}"}).expect(204)


def test_an_old_cookie_is_nobody(boxoffice, show):
    browser = boxoffice.api()
    for value in ("", "x", "bs_" + "A" * 54, "bs_" + "A" * 500, "bt_" + "A" * 54):
        cookie = {"Cookie": f"__Host-boxoffice={value}"}
        browser.get(f"/v1/shows/{show.show_id}", headers=cookie).expect(200)
        browser.get("/v1/me/locks", headers=cookie).expect(401, "unauthenticated")
        browser.post("/v1/sessions", {}, headers=cookie).expect(201)


def test_one_sessions_locks_are_not_anothers(boxoffice, show):
    mine, other = boxoffice.session(), boxoffice.session()
    lock = mine.lock(show.show_id, ["A-1", "A-2"]).expect(201)
    other.lock_state(show.show_id, lock["lock_id"]).expect(404, "not_found")
    other.release(show.show_id, lock["lock_id"]).expect(404, "not_found")
    assert other.get("/v1/me/locks").expect(200)["items"] == []
    mine.release(show.show_id, lock["lock_id"]).expect(204)


def test_a_token_with_one_character_changed(boxoffice, rng):
    token = boxoffice.session().token
    stranger = boxoffice.api()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for at in rng.sample(range(3, len(token)), 12):
        other = rng.choice([c for c in alphabet if c != token[at]])
        stranger.token = token[:at] + other + token[at + 1:]
        # the last character has bits that say nothing: base64url of another spelling is refused as well
        stranger.get("/v1/me/locks").expect(401, "unauthenticated")


def test_the_body_of_a_session(boxoffice):
    nobody = boxoffice.api()
    nobody.request("POST", "/v1/sessions").expect(201)
    assert nobody.post("/v1/sessions", {"id": 1}).expect(400, "invalid_request")["path"] == "/id"
    nobody.post("/v1/sessions", [1]).expect(400, "invalid_request")


# ---- reading again ---------------------------------------------------------------------------------------------------


def test_seat_map_twice(boxoffice, show):
    reader = boxoffice.api()
    path = f"/v1/shows/{show.show_id}/seatmap"
    plain, packed = reader.get(path), reader.get(path, headers={"Accept-Encoding": "br, gzip;q=0.5"})
    assert plain.headers["Content-Encoding"] is None and packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    tags = {plain.headers["ETag"], packed.headers["ETag"]}
    assert len(tags) == 2, "each coding has a tag of its own"
    for answer, headers in ((plain, {}), (packed, {"Accept-Encoding": "gzip"})):
        tag = answer.headers["ETag"]
        for known in (tag, f'"x", {tag}', f"W/{tag}", "*"):
            again = reader.get(path, headers={**headers, "If-None-Match": known})
            assert (again.status, again.body, again.headers["ETag"]) == (304, b"", tag), known
        other = next(iter(tags - {tag}))
        for known in (other, tag.strip('"'), '""', ""):
            assert reader.get(path, headers={**headers, "If-None-Match": known}).status == 200, known
    for refused in ("gzip;q=0", "gzip;q=0.000", "identity", "br"):
        assert reader.get(path, headers={"Accept-Encoding": refused}).headers["Content-Encoding"] is None, refused
    drawn = plain.json()
    assert {c["name"] for c in drawn["categories"]} == {"Stalls", "Ränge"}
    seat = drawn["zones"][0]["rows"][1]["seats"][2]
    assert (seat["guid"], seat["x"], seat["y"], seat["category"]) == ("B-3", 75, 65, "Ränge")


def test_availability_twice(boxoffice, show):
    buyer = boxoffice.session()
    path = f"/v1/shows/{show.show_id}/seats"
    first = buyer.get(path)
    body = first.expect(200)
    assert body["free"] == 40 and body["seats"] == {} and first.headers["ETag"] == f'"{body["version"]}"'
    assert buyer.get(path, headers={"If-None-Match": first.headers["ETag"]}).status == 304
    lock = buyer.lock(show.show_id, ["A-1"]).expect(201)
    second = buyer.get(path, headers={"If-None-Match": first.headers["ETag"]})
    body = second.expect(200)
    assert body["seats"] == {"A-1": "locked"} and body["free"] == 39 and second.headers["ETag"] != first.headers["ETag"]
    buyer.release(show.show_id, lock["lock_id"]).expect(204)
    third = buyer.get(path, headers={"If-None-Match": second.headers["ETag"]}).expect(200)
    assert third["seats"] == {} and third["version"] not in (body["version"], first.json()["version"])


def test_two_shows_of_one_plan_share_the_map_and_not_the_seats(boxoffice, admin, show):
    buyer = boxoffice.session()
    twin = admin.post(f"/v1/events/{show.event_id}/shows", {
        "plan_id": show.plan_id, "starts_at": from_now(9 * 86400), "sale_starts_at": from_now(-60), "sale_ends_at": from_now(86400),
        "prices": {"Stalls": {"amount": 100, "currency": "EUR"}, "Ränge": {"amount": 200, "currency": "EUR"}}}).expect(201)["show_id"]
    buyer.lock(twin, ["A-1"]).expect(201)
    assert buyer.taken(show.show_id) == {} and buyer.taken(twin) == {"A-1": "locked"}
    tags = {buyer.get(f"/v1/shows/{one}/seatmap").headers["ETag"] for one in (show.show_id, twin)}
    assert len(tags) == 1


def test_seats_with_curious_names(boxoffice, admin):
    plan = seating_plan(8, 4)
    names = ['{"x"}', "a,b:c", "%s%n", "🪑", "O'Brien", "\\", "'; DROP TABLE show_seats; --", "x" * 64]
    for seat, name in zip((s for row in plan["zones"][0]["rows"] for s in row["seats"]), names, strict=True):
        seat["seat_guid"] = name
    show = admin.make_show(plan=plan)
    buyer = boxoffice.session()
    lock = buyer.lock(show.show_id, names).expect(201)
    assert sorted(seat["guid"] for seat in lock["seats"]) == sorted(names)
    assert buyer.taken(show.show_id) == dict.fromkeys(names, "locked")
    refused = boxoffice.session().lock(show.show_id, names[:3]).expect(409, "seats_unavailable")
    assert sorted(refused["unavailable"]) == sorted(names[:3])


# ---- for machines, and for who comes by ------------------------------------------------------------------------------


def test_health_and_readiness(boxoffice):
    asked = boxoffice.api()
    assert asked.get("/healthz").expect(200) == {"status": "alive"}
    ready = asked.get("/readyz").expect(200)
    assert ready["status"] == "ready"
    assert {name: what["status"] for name, what in ready["dependencies"].items()} == dict.fromkeys(
        ["postgresql", "schema", "redis", "redis_policy", "payment_gateway", "disk"], "up")


def test_metrics_count_by_route(boxoffice, show):
    asked = boxoffice.api()

    def value(line):
        found = [row.rpartition(" ")[2] for row in asked.get("/metrics").body.decode().splitlines() if row.startswith(line)]
        return sum(float(number) for number in found)

    line = 'boxoffice_http_requests_total{route="GET /v1/shows/{show}"'
    before = value(line)
    for _ in range(7):
        asked.get(f"/v1/shows/{show.show_id}").expect(200)
    assert value(line) == before + 7
    text = asked.get("/metrics").body.decode()
    assert show.show_id not in text, "nothing per show in the metrics"


@pytest.mark.parametrize("path, kind", [("/", "text/html"), ("/front.js", "text/javascript"), ("/front.css", "text/css"),
                                        ("/booking", "text/html"), ("/booking.js", "text/javascript")])
def test_pages(boxoffice, path, kind):
    page = boxoffice.api().get(path)
    assert page.status == 200 and page.body and page.headers.get_content_type() == kind
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    assert page.headers["X-Content-Type-Options"] == "nosniff" and page.headers["Referrer-Policy"] == "no-referrer"


def test_nothing_is_kept_unless_said(boxoffice, show, admin):
    for client, path in ((boxoffice.api(), f"/v1/shows/{show.show_id}"), (boxoffice.session(), "/v1/me/locks"),
                         (admin, "/v1/venues"), (boxoffice.api(), "/v1/nothing")):
        assert client.get(path).headers["Cache-Control"] == "no-store"
    assert json.loads(boxoffice.api().get("/v1/nothing").body)["type"] == "about:blank"
