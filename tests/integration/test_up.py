"""`boxoffice up`: it starts, keeps everything running, goes on where it was, and leaves nothing behind."""

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import time

import psycopg
import pytest
import redis

from service import Boxoffice, wait_until

# what stands in a child's command line
CHILDREN = {
    "postgres": "/bin/postgres -D",
    "redis": "redis-server unixsocket",
    "paysim": "boxoffice-paysim --db",
    "serve": "boxoffice serve",
    "work": "boxoffice work",
}


def run(build_dir, *args, env=None, timeout=60):
    return subprocess.run([build_dir / "boxoffice", *map(str, args)], capture_output=True, text=True, timeout=timeout,
                          env={**os.environ, **(env or {})})


def assert_refused(done, *words, status=1):
    """One sentence on standard error that has these words, and this exit status."""
    assert done.returncode == status, f"exit status {done.returncode}: {done.stdout}{done.stderr}"
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("boxoffice: "), f"not one sentence: {done.stderr!r}"
    for word in words:
        assert word in lines[0], f"{word!r} is not said: {lines[0]}"


class Starting(Boxoffice):
    """Counts as started as soon as until(folder) is true, however far the start has come."""

    def __init__(self, build_dir, directory, until, **kwargs):
        super().__init__(build_dir, directory, **kwargs)
        self.until = until

    def _ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f"it ended by itself: {self.log()[-2000:]}")
        return {"pid": self.process.pid} if self.until(self.dir) else None


@pytest.fixture
def started():
    """Keeps what must be killed if a test fails."""
    offices = []
    yield offices
    for office in offices:
        office.kill()


# ---- the contract ----------------------------------------------------------------------------------------------------


def test_up_json_says_how_to_reach_everything(own_boxoffice):
    up = own_boxoffice.up
    path = own_boxoffice.dir / "up.json"

    assert set(up) == {"url", "admin_token", "database_url", "redis_url", "payment_url", "pid"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert up["redis_url"].startswith("unix:///")
    with psycopg.connect(up["database_url"]) as db:
        assert db.execute("SELECT current_user, name FROM organizers").fetchall() == [("boxoffice", "default")]
        scopes = db.execute("SELECT scopes FROM api_tokens").fetchall()
    assert [sorted(row[0]) for row in scopes] == [["admin", "bookings", "checkin", "events", "payments", "seats"]]
    assert redis.Redis.from_url(up["redis_url"]).ping()
    own_boxoffice.admin().make_venue()
    own_boxoffice.api().get("/readyz").expect(200)
    assert own_boxoffice.api().get("/readyz").json()["status"] == "ready"


def test_the_program_runs_as_a_role_that_owns_nothing(own_boxoffice):
    with psycopg.connect(own_boxoffice.database_url) as db:
        roles = {row[0] for row in db.execute(
            "SELECT DISTINCT usename FROM pg_stat_activity WHERE application_name ~ '^boxoffice (serve|work)'")}
        owned = db.execute("SELECT count(*) FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner "
                           "WHERE r.rolname = 'boxoffice_app'").fetchone()[0]
        powers = db.execute("SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls FROM pg_roles "
                            "WHERE rolname = 'boxoffice_app'").fetchone()[0]
    assert (roles, owned, powers) == ({"boxoffice_app"}, 0, False)


def test_keys_and_sockets_are_for_the_one_who_started_it(own_boxoffice):
    run_dir = own_boxoffice.dir / "run"
    closed = [own_boxoffice.dir / "secret", own_boxoffice.dir / "log", run_dir / "pg", run_dir / "redis.sock",
              *(own_boxoffice.dir / "secret").iterdir()]
    assert len(closed) >= 7
    for path in closed:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, f"others can reach {path}"


def test_settings_of_serve_may_be_given(make_boxoffice):
    office = make_boxoffice("--workers", "1", "--lock-seconds", "77")
    show = office.admin().make_show(seats=4)
    assert office.session().lock(show.show_id, 1).expect(201)["expires_in"] in (76, 77)
    serve = office.pids(CHILDREN["serve"])
    assert len(serve) == 2, f"a parent and one worker, not {serve}"


# ---- starting and stopping ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_whole_and_in_time(make_boxoffice, sig):
    office = make_boxoffice()
    office.stop(sig)  # has its own checks: in time, exit status, processes, sockets
    assert not (office.dir / "up.json").exists()
    assert not (office.dir / "lock").exists()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", office.port))
    assert "not stop in time" not in office.log(), office.log()


def test_it_stops_in_time_with_viewers_and_open_requests(make_boxoffice):
    office = make_boxoffice()
    idle = [socket.create_connection(("127.0.0.1", office.port)) for _ in range(20)]
    for connection in idle[:10]:
        connection.sendall(b"POST /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    office.stop()
    for connection in idle:
        connection.close()


def test_a_second_start_goes_on_with_the_data(make_boxoffice, build_dir):
    first = make_boxoffice(demo=True)
    venue = first.admin().make_venue()["venue_id"]
    before = first.up
    first.stop()
    begun = time.monotonic()
    second = make_boxoffice(demo=True, dir=first.dir)
    took_s = time.monotonic() - begun

    second.admin().get(f"/v1/venues/{venue}").expect(200)
    for field in ("admin_token", "database_url", "redis_url", "payment_url", "demo"):
        assert second.up[field] == before[field], f"{field} is another one"
    assert len(second.api().get("/v1/events").expect(200)["items"]) == 1
    assert took_s < 3 * second.patience * (4 if "asan" in str(build_dir) else 1), f"{took_s:.1f} s"


def test_the_demo_is_on_sale(make_boxoffice):
    office = make_boxoffice(demo=True)
    assert len(office.up["demo"]["show_ids"]) == 3
    for show_id in office.up["demo"]["show_ids"]:
        show = office.api().get(f"/v1/shows/{show_id}").expect(200)
        assert show["event_id"] == office.up["demo"]["event_id"]
        assert (show["on_sale"], show["capacity"], show["free"]) == (True, 490, 490)
        assert all(category["price"]["currency"] == "EUR" for category in show["categories"])


def test_a_demo_that_is_over_is_followed_by_a_new_one(make_boxoffice):
    office = make_boxoffice(demo=True)
    old = office.up["demo"]
    with psycopg.connect(office.database_url) as db:
        db.execute("UPDATE events SET request_hash = request_hash")
    office.stop()
    remembered = json.loads((office.dir / "demo.json").read_text())
    remembered["last_starts_at"] = "2020-01-01T18:30:00Z"
    (office.dir / "demo.json").write_text(json.dumps(remembered))
    again = make_boxoffice(demo=True, dir=office.dir)
    # made on the same day from the same keys: the very same; the file says so again
    assert again.up["demo"] == old
    assert json.loads((office.dir / "demo.json").read_text())["last_starts_at"] > "2020-01-02"


MOMENTS = {
    "the database is made": lambda d: (d / "postgresql/data.new").exists(),
    "PostgreSQL starts": lambda d: (d / "log/postgres.log").exists(),
    "the schema is made": lambda d: (d / "log/prepare.log").exists(),
    "serve starts": lambda d: (d / "log/serve.log").exists(),
    "the demo is made": lambda d: (d / "log/seed.log").exists(),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_while_starting(build_dir, work_dir, started, moment):
    office = Starting(build_dir, work_dir, MOMENTS[moment], demo=True)
    started.append(office)
    office.start()
    office.stop(signal.SIGINT)
    # and nothing is in the way of the next start
    again = Boxoffice(build_dir, work_dir, demo=True)
    started.append(again)
    again.start()
    again.api().get("/v1/shows/" + again.up["demo"]["show_ids"][2]).expect(200)
    again.stop()


# ---- what is in the way ------------------------------------------------------------------------------------------------


def test_a_second_up_on_the_same_folder_is_refused(own_boxoffice, build_dir):
    done = run(build_dir, "up", "--dir", own_boxoffice.dir, "--port", 0)
    assert_refused(done, f"process {own_boxoffice.pid}", str(own_boxoffice.dir))
    own_boxoffice.api().get("/readyz").expect(200)


def test_a_port_in_use_is_said_before_anything_is_made(build_dir, work_dir):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        done = run(build_dir, "up", "--dir", work_dir, "--port", other.getsockname()[1])
    assert_refused(done, f"port {done.args[-1]}", "in use", "--port")
    assert not (work_dir / "postgresql/data").exists()
    assert not (work_dir / "lock").exists()


def test_a_missing_program_is_named_with_its_package(build_dir, work_dir):
    (work_dir / "bin").mkdir()
    done = run(build_dir, "up", "--dir", work_dir / "var", "--port", 0, env={"PATH": str(work_dir / "bin")})
    assert_refused(done, "redis-server", "apt-get install redis-server")


def test_a_missing_simulator_is_named(build_dir, work_dir):
    shutil.copy(build_dir / "boxoffice", work_dir / "boxoffice")
    (work_dir / "bin").mkdir()
    (work_dir / "bin/redis-server").symlink_to(shutil.which("redis-server"))
    done = run(work_dir, "up", "--dir", work_dir / "var", "--port", 0, env={"PATH": str(work_dir / "bin")})
    assert_refused(done, "boxoffice-paysim", "make")


@pytest.mark.parametrize("left", ["data.new", "data"])
def test_a_half_made_database_is_made_anew(build_dir, work_dir, started, left):
    half = work_dir / "postgresql" / left
    (half / "global").mkdir(parents=True)
    (half / "base/1").mkdir(parents=True)
    (half / "base/1/2600").write_bytes(b"\0" * 8192)
    office = Boxoffice(build_dir, work_dir)
    started.append(office)
    office.start()
    office.admin().make_venue()
    office.stop()
    assert "made anew" in office.log()
    assert not (work_dir / "postgresql/data.new").exists()
    # what nobody could have left but a damaged disk is not thrown away
    assert (work_dir / "postgresql/data.broken/base/1/2600").exists() == (left == "data")


def test_a_damaged_key_is_not_replaced(make_boxoffice, build_dir):
    office = make_boxoffice()
    office.stop()
    (office.dir / "secret/master.key").write_text("")
    assert_refused(run(build_dir, "up", "--dir", office.dir, "--port", 0), "master.key", "damaged")


def test_a_file_in_the_place_of_the_folder(build_dir, work_dir):
    (work_dir / "var").write_text("")
    assert_refused(run(build_dir, "up", "--dir", work_dir / "var", "--port", 0), str(work_dir / "var"))


def test_an_address_that_others_reach_needs_a_flag(build_dir, work_dir):
    done = run(build_dir, "up", "--dir", work_dir, "--port", 0, "--host", "0.0.0.0")
    assert_refused(done, "0.0.0.0", "TLS", "--insecure-http")


@pytest.mark.parametrize("args, words", [
    (["--prot", "80"], ["--prot"]),
    (["--port", "http"], ["port", "http"]),
    (["--port"], ["--port", "value"]),
    (["--workers", "-1"], ["workers"]),
    (["var"], ["var"]),
    (["--database-url", "postgresql://elsewhere"], ["--database-url"]),
])
def test_wrong_options_are_named(build_dir, work_dir, args, words):
    assert_refused(run(build_dir, "up", "--dir", work_dir / "var", *args), *words, status=2)
    assert not (work_dir / "var").exists()


def test_help_is_made_from_the_settings(build_dir):
    done = run(build_dir, "up", "--help")
    assert done.returncode == 0 and done.stderr == ""
    for option in ("--dir", "--port", "--no-demo", "--workers", "--lock-seconds", "--insecure-http"):
        assert option in done.stdout


def test_commands_are_listed(build_dir):
    done = run(build_dir, "help")
    assert done.returncode == 0
    for command in ("up", "serve", "work", "migrate", "import-plan", "check", "admin", "verify-ticket", "version"):
        assert f"\n  {command} " in done.stdout
    assert_refused(run(build_dir, "sell"), "sell", status=2)


# ---- where it is -------------------------------------------------------------------------------------------------------


def test_a_path_too_long_for_a_socket(build_dir, work_dir, started):
    deep = work_dir / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    office = Boxoffice(build_dir, deep)
    started.append(office)
    office.start()
    place = os.path.realpath(deep / "run")
    assert not place.startswith(str(work_dir)) and stat.S_IMODE(os.stat(place).st_mode) & 0o066 == 0
    office.admin().make_venue()
    office.stop()
    assert not os.path.exists(place)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts PostgreSQL as somebody else")
def test_root_may_keep_it_where_user_postgres_cannot_come(build_dir, work_dir, started):
    closed = work_dir / "closed"
    (closed / "var").mkdir(parents=True)
    office = Boxoffice(build_dir, closed / "var")
    closed.chmod(0o700)
    started.append(office)
    office.start()
    home = os.path.realpath(closed / "var/postgresql")
    try:
        assert home.startswith("/var/lib/boxoffice-")
        venue = office.admin().make_venue()["venue_id"]
        office.stop()
        office.start()
        office.admin().get(f"/v1/venues/{venue}").expect(200)
        office.stop()
    finally:
        office.kill()
        shutil.rmtree(home)


def test_a_folder_with_odd_signs_in_its_name(build_dir, work_dir, started):
    odd = work_dir / 'a b,"ü%&?:'
    odd.mkdir()
    office = Boxoffice(build_dir, odd)
    office.reports = work_dir / "sanitizer"  # it stands in the sanitizers' options, where such signs mean something
    started.append(office)
    office.start()
    with psycopg.connect(office.database_url) as db:
        db.execute("SELECT 1")
    assert redis.Redis.from_url(office.redis_url).ping()
    wait_until(lambda: '"working"' in (odd / "log/work.log").read_text(), "work")
    office.stop()


# ---- what dies is started again ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CHILDREN)
def test_a_child_that_is_killed_is_started_again(own_boxoffice, name):
    office = own_boxoffice
    before = office.pids(CHILDREN[name])
    # the oldest is the child itself, the others are its own
    os.kill(before[0], signal.SIGKILL)
    wait_until(lambda: f"{name} ended (signal 9); restarted" in office.log(), "a word about it")

    def back():
        now = office.pids(CHILDREN[name])
        return now and not set(now) & set(before)

    wait_until(back, f"another {name}", timeout_s=30 * office.patience)
    wait_until(lambda: ready(office), "ready again", timeout_s=30 * office.patience)
    office.admin().make_venue()
    office.session().lock(office.admin().make_show(seats=4).show_id, 2).expect(201)


def ready(office):
    try:
        answer = office.api().get("/readyz")
        return answer.status == 200 and answer.json()["status"] == "ready"
    except OSError:
        return False


@pytest.mark.parametrize("at_once", [False, True])
def test_when_up_itself_is_killed_the_rest_ends_and_it_can_go_on(make_boxoffice, build_dir, at_once):
    office = make_boxoffice()
    venue = office.admin().make_venue()["venue_id"]
    office.process.kill()
    office.process.wait()
    if not at_once:
        # nobody is there to end them: they do it themselves
        wait_until(lambda: not office.processes(), "the end of its children", timeout_s=10 * office.patience)
    office.process = None
    again = Boxoffice(build_dir, office.dir, port=office.port)
    try:
        again.start()
        again.admin().get(f"/v1/venues/{venue}").expect(200)
        again.stop()
    finally:
        again.kill()


def test_port_zero_takes_a_free_one(build_dir, work_dir, started):
    office = Boxoffice(build_dir, work_dir, port=None)
    office.port = 0
    started.append(office)
    office.start()
    office.api().get("/readyz").expect(200)
    assert not office.url.endswith((":0", ":8080"))
    office.stop()
