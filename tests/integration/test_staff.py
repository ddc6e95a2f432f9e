"""People of the staff: logging in, passwords, invitations, users and what may be done to whom; the throttle of guesses."""

import concurrent.futures
import re
import time
import uuid

import psycopg
import pytest

from service import wait_until

GOOD = "a good long password"
COOKIE = "__Host-boxoffice-staff"


def address():
    return f"Staff-{uuid.uuid4().hex[:12]}@Example.org"


@pytest.fixture
def database(boxoffice):
    with psycopg.connect(boxoffice.database_url, autocommit=True) as db:
        yield db


@pytest.fixture
def forgive(database):
    """All tests come from one address: what others guessed wrong is not held against a test."""
    database.execute("DELETE FROM staff_tries")


def invite(admin, scopes=("events",), email=None, **fields):
    return admin.post("/v1/staff/users", {"email": email or address(), "scopes": list(scopes), **fields}).expect(201)


def accept(api, user, password=GOOD):
    return api.post("/v1/staff/invitations/accept", {"token": user["invitation"]["token"], "password": password})


def log_in(api, email, password=GOOD, **kwargs):
    return api.post("/v1/staff/login", {"email": email, "password": password}, **kwargs)


@pytest.fixture
def member(boxoffice, admin, forgive):
    """member(scopes...): (the user, a client of theirs who has logged in)."""
    def make(*scopes):
        user = invite(admin, scopes or ("events",))
        accept(boxoffice.api(), user).expect(204)
        client = boxoffice.api()
        client.token = log_in(client, user["email"]).expect(200)["token"]
        return user, client
    return make


def test_invited_logged_in_and_out(boxoffice, admin, forgive, database):
    anybody = boxoffice.api()
    user = invite(admin, ["events", "seats"], email="Maria.%s@Example.ORG" % uuid.uuid4().hex, name="Maria")
    assert user["email"] == user["email"].lower() and user["status"] == "invited"
    log_in(anybody, user["email"]).expect(401, "login_refused")
    accept(anybody, user, "too short").expect(422, "invalid_value")
    accept(anybody, user, user["email"].upper()).expect(422, "invalid_value")
    accept(anybody, user).expect(204)
    accept(anybody, user, "another long password").expect(401, "invitation_invalid")  # one use

    answer = log_in(anybody, user["email"].upper())
    token = answer.expect(200)["token"]
    client = boxoffice.api(token)
    me = client.get("/v1/staff/me").expect(200)
    assert me["kind"] == "user" and me["user_id"] == user["user_id"] and me["scopes"] == ["events", "seats"]
    client.make_venue()
    client.get("/v1/staff/users").expect(403)
    rows = database.execute("SELECT password_hash, invitation_hash FROM staff_users WHERE user_id = %s", [user["user_id"]]).fetchall()
    assert rows[0][0].startswith("$argon2id$v=19$m=65536,t=2,p=1$") and rows[0][1] == b""
    found = database.execute("SELECT count(*) FROM staff_logins WHERE position(%s::bytea IN token_hash) > 0", [token.encode()]).fetchone()
    assert found == (0,), "the token itself is stored"

    assert "Max-Age=0" in client.post("/v1/staff/logout").headers["Set-Cookie"]
    client.get("/v1/staff/me").expect(401)
    assert admin.get("/v1/staff/me").expect(200)["kind"] == "token"
    admin.post("/v1/staff/logout").expect(403)


def test_wrong_passwords_say_nothing_and_are_counted(boxoffice, admin, member):
    known, _ = member()
    unknown, disabled = address(), invite(admin)
    admin.patch(f"/v1/staff/users/{disabled['user_id']}", {"disabled": True}).expect(200)
    said = {}
    for name, email in (("known", known["email"]), ("unknown", unknown), ("disabled", disabled["email"])):
        anybody, answers = boxoffice.api(), []
        for _ in range(7):
            answer = log_in(anybody, email, "not the password")
            problem = answer.json()
            problem.pop("request_id")
            answers.append((answer.status, problem))
            if answer.status == 429:
                assert 0 < int(answer.headers["Retry-After"]) <= 900
        said[name] = answers
    assert [status for status, _ in said["known"]] == [401] * 5 + [429] * 2
    assert said["known"] == said["unknown"] == said["disabled"]
    # the right one is not tried either
    log_in(boxoffice.api(), known["email"]).expect(429, "rate_limited")


def test_nobody_takes_as_long_as_somebody(boxoffice, member, database):
    """The work is the same, so the times are: medians of a few, by a factor that hashing or not would pass by far."""
    known, _ = member()

    def median_s(email):
        times = []
        for _ in range(5):
            database.execute("DELETE FROM staff_tries")
            begun = time.perf_counter()
            log_in(anybody, email, "not the password").expect(401)
            times.append(time.perf_counter() - begun)
        return sorted(times)[2]

    anybody = boxoffice.api()
    somebody_s, nobody_s = median_s(known["email"]), median_s(address())
    assert 0.25 < nobody_s / somebody_s < 4, f"somebody {somebody_s:.3f} s, nobody {nobody_s:.3f} s"


def test_the_right_password_clears_the_account_but_not_the_network(boxoffice, member, database):
    user, _ = member()
    anybody = boxoffice.api()
    for _ in range(2):
        for _ in range(4):
            log_in(anybody, user["email"], "not the password").expect(401)
        log_in(anybody, user["email"]).expect(200)
    most = max(tries for (tries,) in database.execute("SELECT tries FROM staff_tries"))
    assert most >= 10, "the network's guesses were forgotten"
    database.execute("UPDATE staff_tries SET tries = 100 WHERE tries = %s", [most])
    log_in(anybody, address()).expect(429, "rate_limited")
    database.execute("UPDATE staff_tries SET ends_at = statement_timestamp() - interval '1 second'")
    log_in(anybody, user["email"]).expect(200)
    gone = lambda: database.execute("SELECT count(*) FROM staff_tries WHERE ends_at < statement_timestamp()").fetchone() == (0,)
    wait_until(gone, "the end of guesses whose time is over")


def test_a_crowd_of_logins_leaves_the_loop_free(make_boxoffice):
    """More than may wait are told so at once, and buyers are answered meanwhile."""
    office = make_boxoffice("--workers", "1")
    email = invite(office.admin())["email"]
    buyer = office.api()
    with concurrent.futures.ThreadPoolExecutor(30) as pool:
        crowd = [pool.submit(lambda: log_in(office.api(), f"{number}-{email}", "not the password")) for number in range(30)]
        slowest = 0
        while not all(one.done() for one in crowd):
            begun = time.perf_counter()
            buyer.get("/healthz").expect(200)
            slowest = max(slowest, time.perf_counter() - begun)
        codes = [one.result().code for one in crowd]
    assert codes.count("login_refused") >= 9 and codes.count("overloaded") >= 5, codes
    assert set(codes) == {"login_refused", "overloaded"}
    assert slowest < 1, f"a buyer waited {slowest:.2f} s"


def test_another_password_ends_the_other_logins(boxoffice, member):
    user, here = member()
    there = boxoffice.api(log_in(boxoffice.api(), user["email"]).expect(200)["token"])
    change = lambda old, new: here.post("/v1/staff/password", {"old": old, "new": new})
    change("not the password", "another long password").expect(403, "wrong_password")
    change(GOOD, "short").expect(422, "invalid_value")
    there.get("/v1/staff/me").expect(200)
    change(GOOD, "another long password").expect(204)
    here.get("/v1/staff/me").expect(200)
    there.get("/v1/staff/me").expect(401)
    log_in(boxoffice.api(), user["email"]).expect(401)
    log_in(boxoffice.api(), user["email"], "another long password").expect(200)


def test_the_old_password_cannot_be_guessed_with_a_stolen_login(member):
    _, thief = member()
    answers = [thief.post("/v1/staff/password", {"old": "not the password", "new": "another long password"}).status for _ in range(6)]
    assert answers == [403] * 5 + [429]


def test_a_login_ends_by_time_and_by_idleness(boxoffice, member, database):
    _, idle = member()
    _, old = member()
    _, used = member()
    of = "UPDATE staff_logins SET {} WHERE user_id = %s"
    me = lambda client: client.get("/v1/staff/me").expect(200)["user_id"]
    database.execute(of.format("seen_at = statement_timestamp() - interval '59 minutes'"), [me(used)])
    me(used)  # notes that it was used
    fresh = lambda: database.execute("SELECT seen_at > statement_timestamp() - interval '1 minute' FROM staff_logins WHERE user_id = %s",
                                     [user]).fetchone() == (True,)
    user = me(used)
    wait_until(fresh, "the use of a login to be noted")
    database.execute(of.format("seen_at = statement_timestamp() - interval '61 minutes'"), [me(idle)])
    idle.get("/v1/staff/me").expect(401)
    database.execute(of.format("ends_at = statement_timestamp() - interval '1 second'"), [me(old)])
    old.get("/v1/staff/me").expect(401)


def test_disabling_and_removing_take_effect_at_once(boxoffice, admin, member, database):
    user, client = member("events", "seats")
    path = f"/v1/staff/users/{user['user_id']}"
    assert admin.patch(path, {"scopes": ["seats"]}).expect(200)["scopes"] == ["seats"]
    client.post("/v1/venues", {"name": "x", "city": "x", "timezone": "UTC"}).expect(403)
    assert admin.patch(path, {"disabled": True}).expect(200)["status"] == "disabled"
    client.get("/v1/staff/me").expect(401)
    log_in(boxoffice.api(), user["email"]).expect(401)
    assert admin.patch(path, {"disabled": False, "name": "Back"}).expect(200)["name"] == "Back"
    client.get("/v1/staff/me").expect(401)  # the login stays ended
    client.token = log_in(boxoffice.api(), user["email"]).expect(200)["token"]
    admin.patch(path, {}).expect(400)
    admin.patch(path, {"colour": 1}).expect(400)

    admin.delete(path).expect(204)
    client.get("/v1/staff/me").expect(401)
    for answer in (admin.get(path), admin.delete(path), admin.patch(path, {"name": "x"}), admin.post(path + "/invitation")):
        answer.expect(404)
    row = database.execute("SELECT email, name, password_hash FROM staff_users WHERE user_id = %s", [user["user_id"]]).fetchone()
    assert row == ("", "", "")
    invite(admin, email=user["email"])  # the address is free again


def test_an_invitation_renewed_replaces_the_password(boxoffice, admin, member, database):
    user, client = member()
    again = admin.post(f"/v1/staff/users/{user['user_id']}/invitation").expect(201)
    client.get("/v1/staff/me").expect(401)
    log_in(boxoffice.api(), user["email"]).expect(401)
    database.execute("UPDATE staff_users SET invitation_ends_at = statement_timestamp() WHERE user_id = %s", [user["user_id"]])
    accept(boxoffice.api(), again).expect(401, "invitation_invalid")
    last = admin.post(f"/v1/staff/users/{user['user_id']}/invitation").expect(201)
    accept(boxoffice.api(), again).expect(401)
    accept(boxoffice.api(), last, "another long password").expect(204)
    log_in(boxoffice.api(), user["email"], "another long password").expect(200)


def test_nobody_gets_scopes_that_they_lack(admin, member):
    """Not by giving them, not by becoming somebody who has them."""
    boss, chief = member("admin", "events")
    richer = invite(admin, ["payments", "admin"])
    path = f"/v1/staff/users/{richer['user_id']}"
    for answer in (chief.post("/v1/staff/users", {"email": address(), "scopes": ["events", "payments"]}),
                   chief.patch(f"/v1/staff/users/{boss['user_id']}", {"scopes": ["admin", "events", "payments"]}),
                   chief.patch(path, {"scopes": ["events"]}), chief.patch(path, {"disabled": True}), chief.patch(path, {"name": "x"}),
                   chief.delete(path), chief.post(path + "/invitation")):
        assert "payments" in answer.expect(403, "forbidden")["detail"]
    own = f"/v1/staff/users/{boss['user_id']}"
    for answer in (chief.patch(own, {"scopes": ["events"]}), chief.patch(own, {"disabled": True}), chief.delete(own),
                   chief.post(own + "/invitation")):
        answer.expect(409, "own_account")
    assert chief.patch(own, {"name": "Chief"}).expect(200)["name"] == "Chief"
    invite(chief, ["events"])


def test_another_organisers_users_are_not_there(boxoffice, admin, member):
    name = f"Other {uuid.uuid4()}"
    boxoffice.run_admin("organizer", "create", name)
    other = boxoffice.api(boxoffice.run_admin("token", "create", "--organizer", name, "--name", "x", "--scopes", "all"))
    user, _ = member()
    path = f"/v1/staff/users/{user['user_id']}"
    for answer in (other.get(path), other.patch(path, {"name": "x"}), other.delete(path), other.post(path + "/invitation")):
        answer.expect(404)
    assert other.get("/v1/staff/users").expect(200)["items"] == []
    other.post("/v1/staff/users", {"email": user["email"], "scopes": ["events"]}).expect(409, "email_taken")


def test_users_come_in_pages_and_keys_are_kept(admin):
    body = {"email": address(), "scopes": ["checkin"]}
    one = admin.post("/v1/staff/users", body, key="user-1" + body["email"]).expect(201)
    assert admin.post("/v1/staff/users", body, key="user-1" + body["email"]).expect(201) == one
    admin.post("/v1/staff/users", {**body, "scopes": ["seats"]}, key="user-1" + body["email"]).expect(422, "idempotency_mismatch")
    admin.post("/v1/staff/users", body).expect(409, "email_taken")
    for _ in range(50):
        invite(admin, ["checkin"])
    seen, cursor = [], ""
    while cursor is not None:
        page = admin.get("/v1/staff/users" + (f"?cursor={cursor}" if cursor else "")).expect(200)
        assert len(page["items"]) <= 50
        seen += [item["user_id"] for item in page["items"]]
        cursor = page["next"]
    assert len(seen) == len(set(seen)) > 50 and one["user_id"] in seen
    assert "invitation" not in admin.get(f"/v1/staff/users/{one['user_id']}").expect(200)


# ---- in a browser ------------------------------------------------------------------------------------------------------------

def test_the_cookie_needs_our_own_origin(boxoffice, member):
    user, _ = member("events")
    browser, ours, theirs = boxoffice.api(), boxoffice.url, "https://evil.example"
    log_in(browser, user["email"], headers={"Origin": theirs}).expect(403)
    answer = log_in(browser, user["email"], headers={"Origin": ours})
    answer.expect(200)
    cookie = answer.headers["Set-Cookie"]
    assert re.fullmatch(COOKIE + r"=bu_[\w-]+; Path=/; Max-Age=43200; Secure; HttpOnly; SameSite=Lax", cookie)
    jar = {"Cookie": cookie.split(";")[0]}
    venue = {"name": "x", "city": "x", "timezone": "UTC"}
    assert browser.get("/v1/staff/me", headers=jar).expect(200)["user_id"] == user["user_id"]
    browser.post("/v1/venues", venue, headers=jar).expect(403)
    browser.post("/v1/venues", venue, headers={**jar, "Origin": theirs}).expect(403)
    browser.post("/v1/venues", venue, headers={**jar, "Origin": ours}).expect(201)
    # a form can send neither JSON nor a method of its own
    browser.post("/v1/venues", b"name=x", headers={**jar, "Origin": ours, "Content-Type": "text/plain"}).expect(415)
    browser.post("/v1/staff/logout", headers={**jar, "Origin": ours}).expect(204)
    browser.get("/v1/staff/me", headers=jar).expect(401)
    assert browser.get("/v1/events", headers=jar).status == 200  # an old cookie is simply nobody


def test_one_browser_is_staff_and_buyer(boxoffice, member):
    _, client = member("events")
    buyer = boxoffice.session().token
    jar = {"Cookie": f"{COOKIE}={client.token}; __Host-boxoffice={buyer}", "Origin": boxoffice.url}
    browser = boxoffice.api()
    draft = client.make_event(status="draft")["event_id"]
    browser.get("/v1/me/locks", headers=jar).expect(200)
    browser.get("/v1/staff/me", headers=jar).expect(200)
    browser.get(f"/v1/events/{draft}", headers=jar).expect(404)
    browser.get(f"/v1/events/{draft}", headers={**jar, "Boxoffice-As": "staff"}).expect(200)
    browser.get(f"/v1/events/{draft}", headers={"Cookie": jar["Cookie"].split(";")[0]}).expect(200)


def test_a_broken_cookie_or_token_is_nobody(boxoffice):
    anybody = boxoffice.api()
    anybody.get("/v1/staff/me", headers={"Cookie": f"{COOKIE}=bu_nonsense"}).expect(401)
    anybody.get("/v1/staff/me", headers={"Authorization": "Bearer bu_nonsense"}).expect(401)
    anybody.get("/v1/staff/me").expect(401)


# ---- the command line --------------------------------------------------------------------------------------------------------

def test_the_first_user_comes_from_the_command_line(boxoffice, forgive):
    email = address()
    token = boxoffice.run_admin("user", "add", "--organizer", "default", "--email", email, "--scopes", "all")
    boxoffice.api().post("/v1/staff/invitations/accept", {"token": token, "password": GOOD}).expect(204)
    client = boxoffice.api(log_in(boxoffice.api(), email).expect(200)["token"])
    assert "admin" in client.get("/v1/staff/me").expect(200)["scopes"]
    line = lambda: next(line for line in boxoffice.run_admin("user", "list").splitlines() if email.lower() in line)
    assert line().endswith("\tactive")
    again = boxoffice.run_admin("user", "passwd", "--email", email)
    client.get("/v1/staff/me").expect(401)
    log_in(boxoffice.api(), email).expect(401)
    assert line().endswith("\tinvited")
    boxoffice.api().post("/v1/staff/invitations/accept", {"token": again, "password": GOOD}).expect(204)
    client.token = log_in(boxoffice.api(), email).expect(200)["token"]
    boxoffice.run_admin("user", "disable", "--email", email)
    client.get("/v1/staff/me").expect(401)
    assert line().endswith("\tdisabled")
    assert "already" in boxoffice.run_admin("user", "add", "--organizer", "default", "--email", email, "--scopes", "all", status=1)
    assert "address" in boxoffice.run_admin("user", "add", "--organizer", "default", "--email", "x", "--scopes", "all", status=2)
    boxoffice.run_admin("user", "add", "--organizer", "Nobody at all", "--email", address(), "--scopes", "all", status=1)
    boxoffice.run_admin("user", "disable", "--email", address(), status=1)
    log = client_log(boxoffice.admin(), action="admin user")
    assert {item["action"] for item in log} == {"admin user add", "admin user passwd", "admin user disable"}
    assert all(item["actor"] == {"kind": "operator"} for item in log)


def client_log(admin, action):
    return [item for item in admin.get("/v1/audit").expect(200)["items"] if item["action"].startswith(action)]
