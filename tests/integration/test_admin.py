"""`boxoffice admin` and `boxoffice import-plan` against a running box office."""

import json
import os
import subprocess
import uuid

import psycopg
import pytest

from api import from_now, seating_plan
from service import wait_until


@pytest.fixture
def command(boxoffice):
    """Runs a command of the program on the shared box office."""
    def run(*args, stdin=None, env=None):
        return subprocess.run([boxoffice.build_dir / "boxoffice", *map(str, args)], input=stdin, capture_output=True, text=True,
                              timeout=60, env={**os.environ, **(env or {})})
    return run


@pytest.fixture
def admin_command(command, boxoffice):
    return lambda *args: command("admin", *args, "--dir", boxoffice.dir)


@pytest.fixture
def organizer(admin_command):
    name = f"Orchestra {uuid.uuid4()}"
    done = admin_command("organizer", "create", name)
    assert done.returncode == 0, done.stderr
    assert str(uuid.UUID(done.stdout.strip())) == done.stdout.strip()
    return name


def test_a_message_begins_with_the_program_once(command):
    for args, words in ((("admin", "payments", "list", "all"), "admin payments list takes only options"),
                        (("admin", "payments", "list"), "admin payments list needs --database-url"), (("check", "x"), "check takes only options")):
        done = command(*args)
        assert done.returncode == 2 and done.stderr.startswith(f"boxoffice: {words}"), done.stderr


def test_an_organiser_sees_only_its_own(boxoffice, admin_command, organizer, admin):
    others = admin.make_venue()["venue_id"]
    token = admin_command("token", "create", "--organizer", organizer, "--name", "till", "--scopes", "all")
    assert token.returncode == 0 and "not shown again" in token.stderr
    mine = boxoffice.api(token.stdout.strip())

    venue = mine.make_venue()["venue_id"]
    mine.get(f"/v1/venues/{venue}").expect(200)
    admin.get(f"/v1/venues/{venue}").expect(404)
    mine.get(f"/v1/venues/{others}").expect(404)


def test_a_name_is_taken_once(admin_command, organizer):
    again = admin_command("organizer", "create", organizer)
    assert again.returncode == 1 and organizer in again.stderr
    assert organizer in admin_command("organizer", "list").stdout


def test_scopes_bound_what_a_token_may(boxoffice, admin_command):
    done = admin_command("token", "create", "--organizer", "default", "--name", "door", "--scopes", "checkin, seats")
    door = boxoffice.api(done.stdout.strip())
    assert door.post("/v1/events", {"name": "x"}).status == 403
    wrong = admin_command("token", "create", "--organizer", "default", "--name", "x", "--scopes", "seats,everything")
    assert wrong.returncode == 2 and "everything" in wrong.stderr and wrong.stdout == ""
    nobody = admin_command("token", "create", "--organizer", "Nobody", "--name", "x", "--scopes", "all")
    assert nobody.returncode == 1 and "Nobody" in nobody.stderr


def test_a_revoked_token_stops_at_once(boxoffice, admin_command):
    name = f"till {uuid.uuid4()}"
    token = admin_command("token", "create", "--organizer", "default", "--name", name, "--scopes", "events").stdout.strip()
    client = boxoffice.api(token)
    client.make_venue()
    line = next(line for line in admin_command("token", "list").stdout.splitlines() if name in line)
    assert line.endswith("\tvalid") and token not in line
    assert admin_command("token", "revoke", line.split("\t")[0]).returncode == 0
    client.post("/v1/venues", {"name": "x", "city": "x", "timezone": "UTC"}).expect(401)
    assert next(line for line in admin_command("token", "list").stdout.splitlines() if name in line).endswith("\trevoked")
    assert admin_command("token", "revoke", uuid.uuid4()).returncode == 1
    assert admin_command("token", "revoke", "that one").returncode == 2


def test_a_new_ticket_key_takes_over(boxoffice, admin_command):
    """Which keys there are may be answered from memory for a minute; the table knows at once."""
    def keys():
        with psycopg.connect(boxoffice.database_url) as db:
            return dict(db.execute("SELECT key_id, status FROM ticket_keys").fetchall())

    before = wait_until(keys, "the first key")
    done = admin_command("key", "rotate")
    assert done.returncode == 0 and len(done.stdout.strip()) == 8, f"{done.stdout}{done.stderr}"
    after = keys()
    new = max(after)
    assert new not in before and after == {**{key: "retired" for key in before}, new: "active"}


def test_admin_without_sense_is_told_how(command, admin_command):
    assert command("admin").returncode == 2
    assert "admin token create" in command("admin", "--help").stdout
    assert command("admin", "organizer", "destroy").returncode == 2
    assert admin_command("organizer", "create").returncode == 2
    assert admin_command("organizer", "create", "x" * 201).returncode == 2


def test_a_plan_is_uploaded_and_can_be_sold(boxoffice, command, admin, work_dir):
    venue = admin.make_venue()["venue_id"]
    file = work_dir / "plan.json"
    file.write_text(json.dumps(seating_plan(12)))
    by_dir = command("import-plan", "--dir", boxoffice.dir, "--venue", venue, file)
    assert by_dir.returncode == 0, by_dir.stderr
    by_url = command("import-plan", "--url", boxoffice.url, "--venue", venue, file, env={"BOXOFFICE_TOKEN": boxoffice.admin_token})
    assert by_url.returncode == 0, by_url.stderr
    assert admin.get(f"/v1/plans/{by_url.stdout.strip()}").expect(200) == json.loads(file.read_text())
    event = admin.make_event()["event_id"]
    show = admin.post(f"/v1/events/{event}/shows", {
        "plan_id": by_dir.stdout.strip(), "starts_at": from_now(86400), "sale_starts_at": from_now(-60),
        "sale_ends_at": from_now(3600), "prices": {"Standard": {"amount": 100, "currency": "EUR"}}}).expect(201)
    boxoffice.session().lock(show["show_id"], 2).expect(201)


@pytest.mark.parametrize("check", [True, False])
def test_the_fault_of_a_plan_is_pointed_at(boxoffice, command, admin, work_dir, check):
    plan = seating_plan(4)
    plan["zones"][0]["rows"][0]["seats"][3]["category"] = "Nowhere"
    file = work_dir / "plan.json"
    file.write_text(json.dumps(plan))
    where = ["--check"] if check else ["--dir", boxoffice.dir, "--venue", admin.make_venue()["venue_id"]]
    done = command("import-plan", *where, file)
    assert done.returncode == 1 and done.stdout == ""
    assert "/zones/0/rows/0/seats/3/category" in done.stderr and "invalid_plan" in done.stderr


def test_a_plan_is_checked_without_a_service(command):
    done = command("import-plan", "--check", "-", stdin=json.dumps(seating_plan(30)))
    assert done.returncode == 0 and "30 seats in 3 rows" in done.stdout
    assert command("import-plan", "--check", "/nowhere.json").returncode == 1
    assert command("import-plan", "--check").returncode == 2
    assert command("import-plan", "plan.json").returncode == 2
