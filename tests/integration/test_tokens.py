"""API tokens made over HTTP: shown once, kept as a hash, never more than their maker may do, revoked everywhere at once."""

import concurrent.futures
import datetime
import uuid

import psycopg
import pytest

from api import from_now
from service import wait_until


@pytest.fixture
def database(boxoffice):
    with psycopg.connect(boxoffice.database_url, autocommit=True) as db:
        yield db


def make(client, scopes=("events",), key=None, **fields):
    return client.post("/v1/tokens", {"name": f"till {uuid.uuid4()}", "scopes": list(scopes), **fields}, key=key)


def test_a_token_is_shown_once_and_works(boxoffice, admin, database):
    made = make(admin, ["events", "seats"]).expect(201)
    assert made["expires_at"] is None and made["last_used_at"] is None
    assert made["created_by"] == admin.get("/v1/staff/me").expect(200)["token_id"]
    client = boxoffice.api(made["token"])
    client.make_venue()
    client.get("/v1/statements?day=2026-01-01").expect(403)
    me = client.get("/v1/staff/me").expect(200)
    assert (me["kind"], me["token_id"], me["scopes"]) == ("token", made["token_id"], ["events", "seats"])
    row = database.execute("SELECT row_to_json(t)::text FROM api_tokens t WHERE token_id = %s", [made["token_id"]]).fetchone()[0]
    assert made["token"] not in row and made["token"][3:] not in row
    listed = every(admin)
    assert "token" not in listed[made["token_id"]] and listed[made["token_id"]]["name"] == made["name"]


def every(admin):
    """{id: token} over all pages."""
    found, cursor = {}, ""
    while cursor is not None:
        page = admin.get("/v1/tokens" + (f"?cursor={cursor}" if cursor else "")).expect(200)
        found.update({item["token_id"]: item for item in page["items"]})
        cursor = page["next"]
    return found


def test_no_more_than_the_maker_has(boxoffice, admin):
    lesser = boxoffice.api(make(admin, ["admin", "seats"]).expect(201)["token"])
    assert "events, payments" in make(lesser, ["seats", "events", "payments"]).expect(403, "forbidden")["detail"]
    make(lesser, ["seats"]).expect(201)
    without = boxoffice.api(make(admin, ["seats"]).expect(201)["token"])
    for answer in (make(without, ["seats"]), without.get("/v1/tokens"), without.delete(f"/v1/tokens/{uuid.uuid4()}")):
        answer.expect(403)


def person(boxoffice, admin, *scopes):
    """(the user, a client of theirs who has logged in)."""
    user = admin.post("/v1/staff/users", {"email": f"{uuid.uuid4().hex}@example.org", "scopes": list(scopes)}).expect(201)
    client, password = boxoffice.api(), "a good long password"
    client.post("/v1/staff/invitations/accept", {"token": user["invitation"]["token"], "password": password}).expect(204)
    client.token = client.post("/v1/staff/login", {"email": user["email"], "password": password}).expect(200)["token"]
    return user, client


def test_a_token_revokes_none_that_may_more_but_a_person_does(boxoffice, admin):
    lesser = boxoffice.api(make(admin, ["admin", "seats"]).expect(201)["token"])
    strong, weak = make(admin, ["events", "seats"]).expect(201), make(admin, ["seats"]).expect(201)
    assert "events" in lesser.delete(f"/v1/tokens/{strong['token_id']}").expect(403, "forbidden")["detail"]
    boxoffice.api(strong["token"]).get("/v1/venues").expect(200)
    lesser.delete(f"/v1/tokens/{weak['token_id']}").expect(204)
    boxoffice.api(weak["token"]).get("/v1/staff/me").expect(401)
    # an admin who has logged in stops any; but gives nothing that they lack
    _, somebody = person(boxoffice, admin, "admin", "seats")
    make(somebody, ["events"]).expect(403)
    somebody.delete(f"/v1/tokens/{strong['token_id']}").expect(204)
    boxoffice.api(strong["token"]).get("/v1/venues").expect(401)
    lesser.delete(f"/v1/tokens/{strong['token_id']}").expect(204)  # it is over: nothing to keep anybody from


@pytest.mark.parametrize("how", ["removed", "disabled", "disabled by the operator"])
def test_with_a_user_end_the_tokens_they_made(boxoffice, admin, how):
    user, client = person(boxoffice, admin, "admin", "events")
    own = make(client, ["admin", "events"]).expect(201)
    made_by_it = make(boxoffice.api(own["token"]), ["events"]).expect(201)
    others = make(admin, ["events"]).expect(201)
    if how == "removed":
        admin.delete(f"/v1/staff/users/{user['user_id']}").expect(204)
    elif how == "disabled":
        admin.patch(f"/v1/staff/users/{user['user_id']}", {"disabled": True}).expect(200)
    else:
        boxoffice.run_admin("user", "disable", "--email", user["email"])
    for token in (own, made_by_it):
        boxoffice.api(token["token"]).get("/v1/venues").expect(401)
        assert token["token_id"] not in every(admin)
    boxoffice.api(others["token"]).get("/v1/venues").expect(200)
    client.get("/v1/venues").expect(401)


def remove(admin, user):
    """503 where those who make tokens meanwhile hold it up for longer than a statement waits: it is asked again."""
    for _ in range(20):
        answer = admin.delete(f"/v1/staff/users/{user['user_id']}")
        if answer.status != 503:
            return answer
    return answer


def test_a_token_made_while_its_maker_is_removed_does_not_outlive_that(boxoffice, admin, database):
    """Whichever comes first: no token is left of somebody who is gone."""
    for _ in range(6):
        user, client = person(boxoffice, admin, "admin", "events")
        own = boxoffice.api(make(client, ["admin", "events"]).expect(201)["token"])
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            making = [pool.submit(make, maker, ["events"]) for maker in (own, client)]
            removing = pool.submit(remove, admin, user)
            assert removing.result().status == 204
            assert {answer.result().status for answer in making} <= {201, 401, 503}
        left = database.execute("WITH RECURSIVE t AS (SELECT token_id, revoked_at FROM api_tokens WHERE created_by = %s UNION SELECT a.token_id,"
                                " a.revoked_at FROM t JOIN api_tokens a ON a.created_by = t.token_id) SELECT count(*) FROM t"
                                " WHERE revoked_at IS NULL", [user["user_id"]]).fetchone()
        assert left == (0,)


@pytest.mark.parametrize("body, status, path", [
    ({"scopes": ["events"]}, 400, "/name"),
    ({"name": "x", "scopes": []}, 422, "/scopes"),
    ({"name": "x", "scopes": ["events", "everything"]}, 422, "/scopes"),
    ({"name": "x", "scopes": ["events", "events"]}, 422, "/scopes"),
    ({"name": "x", "scopes": ["events"], "expires_at": "2020-01-01T00:00:00Z"}, 422, "/expires_at"),
    ({"name": "x", "scopes": ["events"], "organizer": 1}, 400, "/organizer"),
])
def test_what_is_wrong_is_named(admin, body, status, path):
    assert admin.post("/v1/tokens", body).expect(status)["path"] == path


def test_the_same_key_gets_the_same_token(boxoffice, admin):
    body = {"name": f"till {uuid.uuid4()}", "scopes": ["events"], "expires_at": from_now(3600)}
    first = admin.post("/v1/tokens", body, key=body["name"].split()[1]).expect(201)
    assert admin.post("/v1/tokens", body, key=body["name"].split()[1]).expect(201) == first
    admin.post("/v1/tokens", {**body, "scopes": ["seats"]}, key=body["name"].split()[1]).expect(422, "idempotency_mismatch")
    boxoffice.api(first["token"]).make_venue()
    admin.delete(f"/v1/tokens/{first['token_id']}").expect(204)
    admin.post("/v1/tokens", body, key=body["name"].split()[1]).expect(422, "idempotency_mismatch")  # it is not shown as good any more


def test_the_key_of_somebody_else_shows_no_token(boxoffice, admin):
    other = boxoffice.api(make(admin, ["admin", "events"]).expect(201)["token"])
    body, key = {"name": f"till {uuid.uuid4()}", "scopes": ["events"]}, uuid.uuid4().hex
    first = admin.post("/v1/tokens", body, key=key).expect(201)
    other.post("/v1/tokens", body, key=key).expect(422, "idempotency_mismatch")
    assert admin.post("/v1/tokens", body, key=key).expect(201) == first


def test_revoked_and_expired_stop_with_the_next_request(boxoffice, admin, database):
    """In every process: boxoffice up runs several, and each connection may be another's."""
    revoked, expiring = make(admin).expect(201), make(admin, expires_at=from_now(3600)).expect(201)
    clients = [boxoffice.api(revoked["token"]) for _ in range(12)]
    for client in clients:
        client.get("/v1/venues").expect(200)
    admin.delete(f"/v1/tokens/{revoked['token_id']}").expect(204)
    assert [client.get("/v1/venues").status for client in clients] == [401] * 12
    admin.delete(f"/v1/tokens/{revoked['token_id']}").expect(204)
    assert revoked["token_id"] not in every(admin)
    admin.delete(f"/v1/tokens/{uuid.uuid4()}").expect(404)
    client = boxoffice.api(expiring["token"])
    client.get("/v1/venues").expect(200)
    database.execute("UPDATE api_tokens SET expires_at = statement_timestamp() WHERE token_id = %s", [expiring["token_id"]])
    client.get("/v1/venues").expect(401)


def test_another_organisers_token_is_not_there(boxoffice, admin):
    name = f"Other {uuid.uuid4()}"
    boxoffice.run_admin("organizer", "create", name)
    other = boxoffice.api(boxoffice.run_admin("token", "create", "--organizer", name, "--name", "x", "--scopes", "all"))
    mine = make(admin).expect(201)["token_id"]
    other.delete(f"/v1/tokens/{mine}").expect(404)
    assert mine not in every(other) and len(every(other)) == 1
    assert mine in every(admin)


def test_the_last_use_is_noted_but_not_at_every_request(boxoffice, admin, database):
    made = make(admin).expect(201)
    client = boxoffice.api(made["token"])
    used = lambda: every(admin)[made["token_id"]]["last_used_at"]
    client.get("/v1/venues").expect(200)
    first = wait_until(used, "the use of a token to be noted")
    assert abs((datetime.datetime.now(datetime.timezone.utc) - datetime.datetime.fromisoformat(first)).total_seconds()) < 60
    # within ten minutes nothing is written
    version = lambda: database.execute("SELECT xmin::text FROM api_tokens WHERE token_id = %s", [made["token_id"]]).fetchone()
    before = version()
    for _ in range(3):
        client.get("/v1/venues").expect(200)
    assert version() == before
    database.execute("UPDATE api_tokens SET last_used_at = last_used_at - interval '11 minutes' WHERE token_id = %s", [made["token_id"]])
    client.get("/v1/venues").expect(200)
    wait_until(lambda: used() >= first, "the later use to be noted")


def test_the_token_of_up_goes_on_working(boxoffice, admin):
    me = admin.get("/v1/staff/me").expect(200)
    assert me["kind"] == "token" and len(me["scopes"]) == 6
    assert every(admin)[me["token_id"]]["created_by"] is None
