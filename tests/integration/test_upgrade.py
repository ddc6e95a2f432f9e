"""From the schema of before to the one of now while people are buying: both programs on one database. And what fits nothing is
refused with a sentence."""

import collections
import os
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import psycopg
import pytest

import event_schemas
from service import ROOT, wait_until
from stand import Plant, Stand


@pytest.fixture(scope="module")
def previous():
    """The folder with the program of before the newest migration."""
    folder = ROOT / "build/previous"
    done = subprocess.run([ROOT / "script/previous", folder], capture_output=True, text=True, timeout=100)
    if "no checkout of git" in done.stderr or "history does not reach" in done.stderr:
        pytest.skip(f"the program of before cannot be had here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def run(program, *args, timeout=60):
    return subprocess.run([str(program), *args], capture_output=True, text=True, timeout=timeout,
                          env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})


class Crowd:
    """Buyers who lock and release without end, at one address or another; every answer is kept."""

    def __init__(self, stands, show, buyers=4):
        self.answers, self.slowest, self.faults = collections.Counter(), 0.0, []
        self.ending = False
        self.threads = [threading.Thread(target=self.buy, args=(stands[i % len(stands)], show, i, buyers)) for i in range(buyers)]
        for thread in self.threads:
            thread.start()

    def buy(self, stand, show, number, buyers):
        try:
            buyer, n = stand.session(), 0
            while not self.ending:
                # two share each pair of seats, so that some are refused; a key makes the decision look into the history too
                at, n = 2 * ((number // 2 + n) % 10), n + 1
                begun = time.monotonic()
                answer = buyer.lock(show.show_id, show.seats[at:at + 2], key=f"{number}-{n}")
                self.slowest = max(self.slowest, time.monotonic() - begun)
                self.answers[answer.status] += 1
                if answer.status == 201:
                    buyer.release(show.show_id, answer.json()["lock_id"]).expect(204)
                elif answer.status != 409:
                    self.faults.append(answer.body)
        except BaseException as error:
            self.faults.append(repr(error))

    @property
    def sold(self):
        return self.answers[201]

    def end(self):
        self.ending = True
        for thread in self.threads:
            thread.join(20)
        assert not self.faults, f"{self.answers}, {self.faults[:3]}"


def test_an_upgrade_in_the_middle_of_a_sale(previous, build_dir, base_dir):
    plant = Plant(previous, tempfile.mkdtemp(dir=base_dir))
    plant.own_events = False  # what the program of before tells is not in api/events
    now = str(Path(build_dir) / "boxoffice")
    unlimited = ["--holds-per-session", "0"]  # few buyers, who lock and release without end
    stands = []
    try:
        old = Stand(plant, *unlimited, workers=1)
        stands.append(old)
        show = old.admin().make_show()
        # the program of now does not begin before its schema is there
        early = run(now, "serve", *old.args, "--port", "0")
        assert early.returncode == 3 and "run `boxoffice migrate` first" in early.stderr, early

        crowd = Crowd([old], show)
        wait_until(lambda: crowd.sold > 5, "locks before")
        # somebody reads for long: the migration waits for them, and nobody for the migration
        reader = psycopg.connect(plant.postgres.url)
        tables = [name for name, in reader.execute("SELECT oid::regclass::text FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition"
                                                   " AND relnamespace = 'public'::regnamespace ORDER BY 1")]
        reader.execute(f"LOCK TABLE {', '.join(tables)} IN ACCESS SHARE MODE")  # whichever of them the newest one changes
        migration = subprocess.Popen([now, "migrate", "--migrate-url", plant.postgres.url], stdout=subprocess.PIPE,
                                     stderr=subprocess.PIPE, text=True)
        assert "sales go first" in migration.stderr.readline()
        sold = crowd.sold
        wait_until(lambda: crowd.sold > sold + 30, "locks while the migration waits")
        assert migration.poll() is None
        reader.close()
        said, wrong = migration.communicate(timeout=30)
        assert migration.returncode == 0 and said.startswith("applied "), said + wrong
        sold = crowd.sold
        wait_until(lambda: crowd.sold > sold + 10, "locks of the old program on the new schema")
        crowd.end()

        plant.program = now
        new = Stand(plant, *unlimited, workers=1)
        stands.append(new)
        both = Crowd([old, new], show)
        wait_until(lambda: both.sold > 20, "locks of both programs")
        both.end()
        # a purchase through each
        free = old.admin().make_show(prices={"Standard": 0})
        for stand, at in ((old, 0), (new, 2)):
            buyer = stand.session()
            lock = buyer.lock(free.show_id, free.seats[at:at + 2]).expect(201)["lock_id"]
            assert buyer.book(free.show_id, lock).expect(201)["status"] == "confirmed"
        assert run(now, "check", "--once", "--database-url", plant.postgres.url, "--redis-url", plant.redis.unix_url).returncode == 0
        # more than waiting for a batch, less than a migration that holds its locks while it waits
        assert max(crowd.slowest, both.slowest) < 5, (crowd.slowest, both.slowest)
        # alone, the program of now tells what it promises; and everything goes out, also what the one of before has told
        stands.remove(old)
        old.close()
        with plant.sql() as db:
            [before] = db.execute("SELECT max(seq) FROM outbox_events").fetchone()
            assert before > 0
            buyer = new.session()
            lock = buyer.lock(free.show_id, free.seats[4:6]).expect(201)["lock_id"]
            buyer.release(free.show_id, buyer.lock(free.show_id, free.seats[6:7]).expect(201)["lock_id"]).expect(204)
            assert buyer.book(free.show_id, lock).expect(201)["status"] == "confirmed"
            event_schemas.assert_valid(plant.postgres.url, before)
            wait_until(lambda: db.execute("SELECT count(*) FROM outbox").fetchone() == (0,), "everything out")
            assert db.execute("SELECT count(*) FROM outbox_parked").fetchone() == (0,)
            assert db.execute("SELECT count(*) FROM outbox_log WHERE seq > %s", [before]).fetchone()[0] >= 4
    finally:
        for stand in reversed(stands):
            stand.close()
        plant.close()


@pytest.fixture(scope="module")
def plant(build_dir, base_dir):
    """One of this module's own: its schema is changed."""
    plant = Plant(build_dir, tempfile.mkdtemp(dir=base_dir))
    yield plant
    plant.close()


@pytest.fixture
def schema(plant):
    """schema(version, oldest): the database says that it is that far, for programs that know at least oldest."""
    def execute(sql, *values):
        with plant.sql() as db:
            return db.execute(sql, values)

    with plant.sql() as db:
        [known] = db.execute("SELECT max(version) FROM schema_migrations").fetchone()

    def become(version, oldest):
        if version > known:
            execute("INSERT INTO schema_migrations VALUES (%s, 'later', repeat('0', 64))", version)
        else:
            execute("UPDATE schema_migrations SET version = -version WHERE version > %s", version)
        execute("UPDATE system_state SET oldest_program = %s", oldest)

    become.known = known
    yield become
    execute("DELETE FROM schema_migrations WHERE name = 'later'")
    execute("UPDATE schema_migrations SET version = abs(version)")
    execute("UPDATE system_state SET oldest_program = 0")


def arguments(plant):
    return ["--database-url", plant.postgres.url_as("boxoffice_app"), "--redis-url", plant.redis.unix_url, "--secret-file", str(plant.secret)]


@pytest.mark.parametrize("command", ["serve", "work"])
def test_what_fits_nothing_is_refused(plant, schema, command):
    more = ["--port", "0"] if command == "serve" else []
    schema(schema.known + 2, schema.known + 1)
    newer = run(plant.program, command, *arguments(plant), *more)
    assert newer.returncode == 3, newer
    assert f"a program must know at least {schema.known + 1}; this one knows {schema.known}: start the newer program" in newer.stderr


@pytest.mark.parametrize("command", ["serve", "work"])
def test_an_older_schema_is_refused(plant, schema, command):
    more = ["--port", "0"] if command == "serve" else []
    schema(schema.known - 1, 0)
    older = run(plant.program, command, *arguments(plant), *more)
    assert older.returncode == 3 and f"this program needs {schema.known}: run `boxoffice migrate` first" in older.stderr, older


def test_a_next_version_that_knows_us_is_taken(plant, schema):
    schema(schema.known + 1, schema.known)
    stand = Stand(plant, workers=1)
    stand.session().lock(*one_seat(stand)).expect(201)
    stand.close()


def one_seat(stand):
    show = stand.admin().make_show(seats=10)
    return show.show_id, show.seats[:1]


def test_a_database_that_comes_late_is_looked_at_then(plant, schema):
    """serve waits for PostgreSQL; when it is there and does not fit, it ends with the sentence."""
    schema(schema.known + 1, schema.known + 1)
    plant.postgres.stop()
    process = subprocess.Popen([plant.program, "serve", *arguments(plant), "--port", "0", "--workers", "1"], stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, text=True)
    try:
        lines = iter(process.stderr.readline, "")
        assert any("it is waited for" in line for line in lines)
        plant.postgres.start()
        assert any("start the newer program" in line for line in lines)
        assert process.wait(10) == 3
    finally:
        plant.postgres.ensure_running()
        process.kill()
        process.wait()
        process.stderr.close()


def test_more_connections_than_there_are_is_said(plant):
    many = run(plant.program, "serve", *arguments(plant), "--port", "0", "--workers", "16")
    assert many.returncode == 2, many
    assert "serve opens up to 112 connections to PostgreSQL (16 processes, each 2 postgresql-shared, 4 postgresql-exclusive" in many.stderr
    assert "only 97 are to be had" in many.stderr
    budget = run(plant.program, "work", *arguments(plant), "--postgresql-budget", "6")
    assert budget.returncode == 2 and "only 6 are to be had" in budget.stderr


def test_every_migration_names_the_oldest_program_that_works_on_it(root):
    """Those from 0009 on; an earlier one than the migration itself, so that the version before goes on beside it."""
    for path in sorted((root / "db/migrations").glob("*.sql")):
        number = int(path.name[:4])
        if number < 9:
            continue
        first = path.read_text().splitlines()[0]
        assert first.startswith("-- Oldest program: ") and int(first[-4:]) < number, f"{path.name} begins with {first!r}"
