"""The audit log: no write by the staff without a row, also of a route that nobody thought of; rows cannot be changed."""

import datetime
import json
import re
import uuid

import psycopg
import pytest

import openapi
from api import CARD_OK, from_now, seating_plan
from service import wait_until


@pytest.fixture
def database(boxoffice):
    with psycopg.connect(boxoffice.database_url, autocommit=True) as db:
        yield db


def page(admin, **query):
    return admin.get("/v1/audit?" + "&".join(f"{name}={value}" for name, value in query.items())).expect(200)


@pytest.fixture
def actor(boxoffice, admin):
    """A token of this test's own: its rows are the test's."""
    made = admin.post("/v1/tokens", {"name": "x", "scopes": ["events", "seats", "bookings", "payments", "checkin", "admin"]}).expect(201)
    client = boxoffice.api(made["token"])
    client.token_id = made["token_id"]
    return client


def test_a_change_says_who_what_where_and_when(boxoffice, admin, actor):
    answer = actor.post("/v1/venues", {"name": "Secret Garden", "city": "x", "timezone": "UTC"})
    venue = answer.expect(201)["venue_id"]
    item = wait_until(lambda: next((i for i in page(admin, object=venue)["items"] if i["status"]), None), "the outcome")
    assert item["actor"] == {"kind": "token", "id": actor.token_id}
    assert (item["action"], item["objects"], item["status"]) == ("POST /v1/venues", [venue], 201)
    assert (item["network"], item["request_id"]) == ("127.0.0.0/24", answer.headers["X-Request-Id"])
    actor.post(f"/v1/venues/{venue}/plans", {"name": "no plan"}).expect(422, "invalid_plan")
    refused = wait_until(lambda: next((i for i in page(admin, object=venue)["items"] if i.get("code")), None), "the refusal")
    assert (refused["status"], refused["code"]) == (422, "invalid_plan")
    actor.get("/v1/venues").expect(200)
    boxoffice.session().post("/v1/venues", {}).expect(401)
    assert len(page(admin, actor=actor.token_id)["items"]) == 2  # neither reads nor strangers


def test_a_change_and_its_row_are_one_transaction(admin, actor, database):
    """Where the log cannot be written, nothing is changed, whichever way the route takes."""
    user = {"email": f"{uuid.uuid4()}@example.org", "scopes": ["events"]}
    name = f"Nowhere {uuid.uuid4()}"
    database.execute("ALTER TABLE audit_log ADD CONSTRAINT not_now CHECK (actor_id <> '%s') NOT VALID" % actor.token_id)
    try:
        actor.post("/v1/staff/users", user).expect(500)
        actor.post("/v1/venues", {"name": name, "city": "x", "timezone": "UTC"}).expect(503)
    finally:
        database.execute("ALTER TABLE audit_log DROP CONSTRAINT not_now")
    assert database.execute("SELECT count(*) FROM staff_users WHERE email = %s", [user["email"]]).fetchone() == (0,)
    assert database.execute("SELECT count(*) FROM venues WHERE name = %s", [name]).fetchone() == (0,)
    made = actor.post("/v1/staff/users", user).expect(201)
    (item,) = page(admin, object=made["user_id"])["items"]
    assert (item["status"], item["detail"]) == (201, "scopes events")


@pytest.mark.parametrize("table", ["audit_log", "audit_outcomes", "audit_objects"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET at = at", "DELETE FROM {}", "TRUNCATE {}"])
def test_the_program_cannot_change_what_was_written(database, table, statement):
    with database.transaction(force_rollback=True):
        database.execute("SET LOCAL ROLE boxoffice_app")
        database.execute(f"SELECT count(*) FROM {table}")
        with pytest.raises(psycopg.errors.InsufficientPrivilege), database.transaction():
            database.execute(statement.format(table))


def test_wrong_passwords_are_in_the_log_but_do_not_flood_it(boxoffice, admin, database):
    database.execute("DELETE FROM staff_tries")
    user = admin.post("/v1/staff/users", {"email": f"{uuid.uuid4().hex}@example.org", "scopes": ["events"]}).expect(201)
    guesser, password = boxoffice.api(), "a good long password"
    guesser.post("/v1/staff/invitations/accept", {"token": user["invitation"]["token"], "password": password}).expect(204)
    count = lambda: database.execute("SELECT count(*) FROM audit_log").fetchone()[0]
    before = count()
    for _ in range(3):  # nobody's: no row of anybody's log
        guesser.post("/v1/staff/login", {"email": f"{uuid.uuid4().hex}@example.org", "password": "x"}).expect(401)
    for _ in range(4):
        refused = guesser.post("/v1/staff/login", {"email": user["email"], "password": "wrong"})
        refused.expect(401, "login_refused")
    rows = lambda: [item for item in page(admin, object=user["user_id"])["items"] if item["actor"]["kind"] == "unknown"]
    found = wait_until(lambda: (lambda items: items if sum(item["times"] for item in items) == 4 else None)(rows()), "four wrong passwords")
    assert len(found) <= 2 and count() == before + len(found)  # 2: the minute was over in between
    assert {(item["action"], item["status"], item["network"]) for item in found} == {("POST /v1/staff/login", 401, "127.0.0.0/24")}
    assert found[0]["actor"] == {"kind": "unknown"} and found[0]["objects"] == [user["user_id"]]
    # the right one has its own, and so has a wrong old password
    guesser.token = guesser.post("/v1/staff/login", {"email": user["email"], "password": password}).expect(200)["token"]
    assert page(admin, actor=user["user_id"])["items"][0]["action"] == "POST /v1/staff/login"
    guesser.post("/v1/staff/password", {"old": "wrong", "new": "another long password"}).expect(403, "wrong_password")
    wait_until(lambda: [item for item in rows() if (item["action"], item["status"]) == ("POST /v1/staff/password", 403)], "the wrong old one")
    database.execute("DELETE FROM staff_tries")


def test_pages_times_actors_and_objects(admin, actor, database):
    venues = [actor.make_venue()["venue_id"] for _ in range(53)]
    seen, cursor = [], {}
    while cursor is not None:
        answer = page(admin, actor=actor.token_id, **cursor)
        seen += answer["items"]
        cursor = {"cursor": answer["next"]} if answer["next"] else None
    # not as text: a whole second has no fraction
    times = [datetime.datetime.fromisoformat(item["at"].replace("Z", "+00:00")) for item in seen]
    assert len(seen) == 53 and times == sorted(times, reverse=True)
    assert len({item["audit_id"] for item in seen}) == 53
    middle = seen[20]["at"]
    later, before = (page(admin, actor=actor.token_id, **{edge: middle})["items"] for edge in ("from", "to"))
    assert {item["audit_id"] for item in later} >= {item["audit_id"] for item in seen[:20]}
    assert not {item["audit_id"] for item in before} & {item["audit_id"] for item in seen[:20]}
    assert len(page(admin, actor=actor.token_id, object=venues[0])["items"]) == 1
    assert page(admin, actor=uuid.uuid4(), object=venues[0])["items"] == []
    for wrong in ("actor=x", "object=x", "from=yesterday", "cursor=x"):
        admin.get(f"/v1/audit?{wrong}").expect(400)


def test_another_organiser_sees_nothing_of_it(boxoffice, admin, actor):
    name = f"Other {uuid.uuid4()}"
    boxoffice.run_admin("organizer", "create", name)
    other = boxoffice.api(boxoffice.run_admin("token", "create", "--organizer", name, "--name", "x", "--scopes", "all"))
    venue = actor.make_venue()["venue_id"]
    assert other.get("/v1/audit").expect(200)["items"] == []
    for query in ({"object": venue}, {"actor": actor.token_id}):
        assert page(other, **query)["items"] == []
    # what it tries with an id of ours is in its own log, not in ours
    other.post(f"/v1/venues/{venue}/plans", seating_plan(4)).expect(404)
    assert len(page(other, object=venue)["items"]) == 1 and len(page(admin, object=venue)["items"]) == 1
    lesser = boxoffice.api(admin.post("/v1/tokens", {"name": "x", "scopes": ["events"]}).expect(201)["token"])
    lesser.get("/v1/audit").expect(403)


# ---- no route without a row ----------------------------------------------------------------------------------------------------

def staff_writes():
    """{"METHOD pattern"} of what the contract lets the staff do, reads left out."""
    found = set()
    for pattern, item in openapi.contract().document["paths"].items():
        for method in ("post", "put", "patch", "delete"):
            schemes = [name for scheme in item.get(method, {}).get("security", []) for name in scheme]
            if "staff" in schemes:
                found.add(f"{method.upper()} {pattern}")
    return found


def call(actor, route, ids, body=None):
    method, pattern = route.split(" ")
    path = re.sub(r"\{(\w+)\}", lambda match: ids.get(match[1], str(uuid.uuid4())), pattern)
    return actor.request(method, path, body)


def test_every_write_of_the_staff_leaves_a_row(boxoffice, admin, actor):
    """Every route that openapi.yaml opens to the staff is called, once with ids that exist and an empty body, which few accept:
    a refusal leaves a row as well. A route that the file does not have yet comes along by itself when it is described."""
    show = actor.make_show(seats=4)
    ids = {"show": show.show_id, "event": show.event_id, "venue": show.venue_id, "plan": show.plan_id}
    login = {"POST /v1/staff/logout", "POST /v1/staff/password"}  # of people; see below
    routes = staff_writes()
    assert len(routes) >= 14, routes
    for route in sorted(routes - login):
        answer = call(actor, route, ids, {})
        assert answer.status < 500, f"{route}: {answer}"
    noted = lambda: {item["action"] for item in all_of(admin, actor.token_id)}
    in_transaction = {route for route in routes - login if by_transaction(route)}
    missing = {route for route in routes - login - in_transaction if not is_its_own_log(route)} - noted()
    assert not missing, f"without a row: {sorted(missing)}"


def by_transaction(route):
    """These write their row with the change, so a refused one leaves none; done for real in the test below."""
    return re.match(r"\S+ /v1/(staff|tokens)", route) is not None


def is_its_own_log(route):
    """Check-ins (decision 0066). Undoing one that stands leaves a row as well: test_checkin.py."""
    return re.match(r"\S+ /v1/shows/\{show\}/checkins", route) is not None


def all_of(admin, actor_id):
    found, cursor = [], {}
    while cursor is not None:
        answer = page(admin, actor=actor_id, **cursor)
        found += answer["items"]
        cursor = {"cursor": answer["next"]} if answer["next"] else None
    return found


def test_every_write_with_a_row_of_its_own_leaves_it(boxoffice, admin, actor, database):
    """Users, tokens, passwords, logins: done for real, one row each, and nothing of an address, a name, a password or a token."""
    database.execute("DELETE FROM staff_tries")
    secret, email = f"secret {uuid.uuid4()}", f"{uuid.uuid4()}@example.org"
    user = actor.post("/v1/staff/users", {"email": email, "name": "Nomen Nescio", "scopes": ["events"]}).expect(201)
    path, anybody = f"/v1/staff/users/{user['user_id']}", boxoffice.api()
    again = actor.post(path + "/invitation").expect(201)
    anybody.post("/v1/staff/invitations/accept", {"token": again["invitation"]["token"], "password": secret}).expect(204)
    client = boxoffice.api(anybody.post("/v1/staff/login", {"email": email, "password": secret}).expect(200)["token"])
    client.post("/v1/staff/password", {"old": secret, "new": secret + "!"}).expect(204)
    client.post("/v1/staff/logout").expect(204)
    actor.patch(path, {"name": "Nemo", "scopes": ["seats"], "disabled": True}).expect(200)
    actor.delete(path).expect(204)
    token = actor.post("/v1/tokens", {"name": "x", "scopes": ["events"]}).expect(201)
    actor.delete(f"/v1/tokens/{token['token_id']}").expect(204)
    actor.delete(f"/v1/tokens/{token['token_id']}").expect(204)  # changes nothing
    hook = actor.post("/v1/staff/webhooks", {"url": "https://nomen.example.org/x", "event_types": ["*"]}).expect(201)
    path = f"/v1/staff/webhooks/{hook['webhook_id']}"
    rotated = actor.post(path + "/rotate").expect(201)
    sent = actor.post(path + "/test").expect(202)
    actor.post(f"{path}/deliveries/{sent['delivery_id']}/redeliver").expect(202)
    actor.post(path + "/replay", {"from": from_now(-60)}).expect(202)
    actor.patch(path, {"description": "Nomen"}).expect(200)
    actor.delete(path).expect(204)
    actor.delete(path).expect(404)  # changes nothing

    rows = all_of(admin, actor.token_id) + all_of(admin, user["user_id"])
    done = sorted(item["action"] for item in rows)
    assert done == sorted(["POST /v1/staff/users", "POST /v1/staff/users/{user}/invitation", "POST /v1/staff/invitations/accept",
                           "POST /v1/staff/login", "POST /v1/staff/password", "POST /v1/staff/logout", "PATCH /v1/staff/users/{user}",
                           "DELETE /v1/staff/users/{user}", "POST /v1/tokens", "DELETE /v1/tokens/{token}",
                           "POST /v1/staff/webhooks", *(f"{route} /v1/staff/webhooks/{{webhook}}" for route in ("PATCH", "DELETE")),
                           *(f"POST /v1/staff/webhooks/{{webhook}}/{what}" for what in (
                               "rotate", "test", "replay", "deliveries/{delivery}/redeliver"))])
    assert set(done) >= {route for route in staff_writes() if by_transaction(route)}
    assert next(item for item in rows if item["action"].startswith("PATCH /v1/staff/users"))["detail"] == "scopes seats; name; disabled"
    assert all(item["actor"]["kind"] == ("user" if item["actor"]["id"] == user["user_id"] else "token") for item in rows)
    text = json.dumps(rows) + str(database.execute("SELECT * FROM audit_log WHERE actor_id = ANY (%s)", [
        [uuid.UUID(actor.token_id), uuid.UUID(user["user_id"])]]).fetchall())
    for private in (secret, email, "Nomen", "Nemo", again["invitation"]["token"], client.token, token["token"], hook["secret"], rotated["secret"], "nomen.example"):
        assert private not in text


def test_what_staff_do_where_buyers_may_too(boxoffice, admin, actor):
    """A cancellation by the staff is theirs; the buyer's is nobody's business here."""
    show = actor.make_show(seats=4, cancellation={"until": from_now(3600), "fee": {"amount": 0, "currency": "EUR"}})
    buyer = boxoffice.session()
    for who in (buyer, actor):
        lock = buyer.lock(show.show_id, 1).expect(201)["lock_id"]
        booking = buyer.book(show.show_id, lock, CARD_OK).expect(201)["booking_id"]
        who.cancel(show.show_id, booking).expect(200)
        rows = page(admin, object=booking)["items"]
        assert len(rows) == (1 if who is actor else 0)
    assert rows[0]["objects"] == [show.show_id, booking]
