"""What is kept how long, what is made ahead, and that tables which are written anew all day stay small."""

import re
import tempfile
import urllib.request
import uuid

import psycopg
import pytest

from service import ROOT, free_port, wait_until
from stand import Plant, Stand

WEEKS = """SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
            WHERE i.inhparent = 'seat_lock_history'::regclass ORDER BY 1"""
LOCK = """INSERT INTO {table} (show_id, lock_id, session_id, state, seats, prices, categories, total_minor, currency, created_at, expires_at)
          VALUES ('{show}', gen_random_uuid(), gen_random_uuid(), 'expired', '{{1}}', '{{1}}', '{{0}}', 1, 'EUR', {at}, {at})"""


@pytest.fixture(scope="module")
def plant(build_dir, base_dir):
    """One of this module's own: its tables are counted."""
    plant = Plant(build_dir, tempfile.mkdtemp(dir=base_dir))
    yield plant
    plant.close()


@pytest.fixture
def stand(plant):
    """Only work, which looks at retention as soon as it starts; start() it when everything is in place."""
    made = []

    def start(*args, port=-1):
        made.append(Stand(plant, "--work-port", str(port), *args, workers=1))
        return made[-1]

    yield start
    for stand in made:
        stand.close()
    with plant.sql() as db:
        db.execute("DELETE FROM leases")


def old_week(db, days):
    """A week of the history that began so many days ago, with a row in it."""
    name = f"seat_lock_history_test_{days}"
    db.execute(f"CREATE TABLE {name} (LIKE seat_lock_history INCLUDING DEFAULTS)")
    at = f"date_trunc('day', now()) - interval '{days} days'"
    [begins, ends] = db.execute(f"SELECT ({at})::text, ({at} + interval '7 days')::text").fetchone()
    db.execute(LOCK.format(table=name, show=uuid.uuid4(), at=f"{at} + interval '1 hour'"))
    db.execute(f"ALTER TABLE seat_lock_history ATTACH PARTITION {name} FOR VALUES FROM ('{begins}') TO ('{ends}')")
    return name


def loosen(db):
    """What was there before the weeks ends long ago, so that there is room for old weeks."""
    db.execute("ALTER TABLE seat_lock_history DETACH PARTITION seat_lock_history_before")
    db.execute("ALTER TABLE seat_lock_history ATTACH PARTITION seat_lock_history_before FOR VALUES FROM (MINVALUE) TO ('2020-01-01')")


def test_the_audit_log_goes_after_years_and_the_program_deletes_none_of_it_itself(plant, stand):
    with plant.sql() as db:
        organizer = db.execute("SELECT organizer_id FROM organizers LIMIT 1").fetchone()[0]
        kept = {}
        for days in (2000, 1100, 1090, 3):
            kept[days] = uuid.uuid4()
            db.execute("INSERT INTO audit_log (audit_id, organizer_id, at, actor_kind, actor_id, action, objects, network, request_id)"
                       " VALUES (%s, %s, now() - %s * interval '1 day', 'unknown', %s, 'x', '{}', '', %s)",
                       [kept[days], organizer, days, uuid.uuid4(), uuid.uuid4()])
            db.execute("INSERT INTO audit_outcomes (audit_id, status, code) VALUES (%s, 200, '')", [kept[days]])
            db.execute("INSERT INTO audit_objects (organizer_id, object_id, at, audit_id) VALUES (%s, %s, now(), %s)",
                       [organizer, uuid.uuid4(), kept[days]])
            db.execute("INSERT INTO audit_repeats (audit_id, n) VALUES (%s, 2)", [kept[days]])
        stand()
        left = lambda table: {row[0] for row in db.execute(f"SELECT audit_id FROM {table}").fetchall()} & set(kept.values())
        wait_until(lambda: left("audit_log") == {kept[1090], kept[3]}, "the old rows gone")
        for table in ("audit_outcomes", "audit_objects", "audit_repeats"):
            assert left(table) == {kept[1090], kept[3]}, table
        # whatever it is told, nothing of the last month: not even by somebody who has the program's password
        with db.transaction(force_rollback=True):
            db.execute("SET LOCAL ROLE boxoffice_app")
            assert db.execute("SELECT audit_log_purge('0', 1000)").fetchone() == (1,)
            assert kept[3] in left("audit_log") and kept[1090] not in left("audit_log")


def test_what_is_older_than_it_is_kept_goes(plant, stand):
    with plant.sql() as db:
        loosen(db)
        db.execute("DROP TABLE seat_lock_history_" + db.execute(
            "SELECT to_char(date_trunc('week', now(), 'UTC') + interval '21 days', 'YYYYMMDD')").fetchone()[0])
        gone, partly, kept = old_week(db, 60), old_week(db, 33), old_week(db, 20)
        show = uuid.uuid4()
        for days in (400, 100, 31, 29, 15):  # of no week: as if nobody had made one
            db.execute("DELETE FROM seat_lock_history_default WHERE created_at > now() - interval '20 days'")
            db.execute(LOCK.format(table="seat_lock_history", show=show, at=f"now() - interval '{days} days'"))
        for days in (30, 8, 6):
            db.execute("""INSERT INTO outbox_log (partition, position, show_id, outbox_id, topic, events, created_at, published_at, seq)
                VALUES (outbox_partition(%(show)s), 0, %(show)s, %(id)s, 'seat', '[]', now() - %(days)s * interval '1 day',
                        now() - %(days)s * interval '1 day', 0)""", {"show": show, "id": uuid.uuid4(), "days": days})
        for days, settled in ((500, True), (500, False), (300, True)):
            db.execute("""INSERT INTO payment_findings (finding_id, kind, gateway_id, subject_id, detail, found_at, settled_at, settled_how)
                VALUES (%s, 'dispute', '', %s, 'x', now() - %s * interval '1 day', CASE WHEN %s THEN now() - %s * interval '1 day'
                ELSE 'infinity' END, %s)""", [uuid.uuid4(), uuid.uuid4(), days, settled, days, f"{days} {settled}"])
        stand("--outbox-days", "7", "--lock-history-days", "30", "--findings-days", "400")
        wait_until(lambda: db.execute("SELECT count(*) FROM payment_findings").fetchone() == (2,), "the last step of a round")
        names = [name for name, _ in db.execute(WEEKS).fetchall()]
        assert gone not in names and partly in names and kept in names, names
        assert "seat_lock_history_before" not in names  # all of it was older than it is kept
        assert db.execute("SELECT count(*) FROM outbox_log WHERE show_id = %s", [show]).fetchone() == (1,)
        ages = db.execute("SELECT extract(day FROM now() - created_at)::int FROM seat_lock_history_default ORDER BY 1").fetchall()
        assert all(age < 30 for age, in ages), ages
        assert db.execute("SELECT count(*) FROM payment_findings WHERE settled_how IN ('500 False', '300 True')").fetchone() == (2,)
        # four weeks that have not begun, the one that was missing too
        ahead = [db.execute("SELECT 'seat_lock_history_' || to_char(date_trunc('week', now(), 'UTC') + %s * interval '7 days', 'YYYYMMDD')",
                            [i]).fetchone()[0] for i in range(1, 5)]
        assert set(ahead) <= set(names)
        # what ends then goes there, and nowhere else
        [where] = db.execute(LOCK.format(table="seat_lock_history", show=show, at="date_trunc('week', now(), 'UTC') + interval '15 days'")
                             + " RETURNING tableoid::regclass::text").fetchone()
        assert where == ahead[1]


def old_day(db, days, position):
    """A day of the log of events that began so many days ago, with a row at that position of partition 3."""
    name = f"outbox_log_test_{days}"
    db.execute(f"CREATE TABLE {name} (LIKE outbox_log INCLUDING DEFAULTS)")
    at = f"date_trunc('day', now()) - interval '{days} days'"
    db.execute(f"INSERT INTO {name} SELECT 3, {position}, gen_random_uuid(), gen_random_uuid(), 'seat', '[]', {at}, {at}, 0")
    [begins, ends] = db.execute(f"SELECT ({at})::text, ({at} + interval '1 day')::text").fetchone()
    db.execute(f"ALTER TABLE outbox_log ATTACH PARTITION {name} FOR VALUES FROM ('{begins}') TO ('{ends}')")
    return name


def test_the_log_of_events_goes_by_the_day_but_not_from_under_a_reader(plant, stand):
    days = "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'outbox_log'::regclass ORDER BY 1"
    with plant.sql() as db:
        db.execute("DELETE FROM outbox_log")
        oldest, older, kept = old_day(db, 30, 1), old_day(db, 20, 2), old_day(db, 3, 3)
        db.execute("UPDATE outbox_partitions SET position = 3 WHERE partition = 3")
        # one reads slowly, one has not been seen for weeks
        db.execute("INSERT INTO consumer_cursors VALUES ('slow', 3, 1, now()), ('gone', 3, 0, now() - interval '30 days')")
        started = stand("--outbox-days", "7")
        # the program's own readers hold nothing back once they have read it: from then on only the slow one does
        own = set(re.findall(r'^CONSUMER\(\w+, "(\w+)"\)', (ROOT / "src/io/consumers.def").read_text(), re.M))
        wait_until(lambda: {name for name, in db.execute("SELECT consumer FROM consumer_cursors WHERE partition = 3 AND position = 3")} == own,
                   "the program's own readers at the end")
        started.stop_work()
        started.start_work()
        wait_until(lambda: oldest not in [name for name, in db.execute(days)], "the day that everybody has read dropped")
        started.stop_work()
        assert older in [name for name, in db.execute(days)]
        db.execute("UPDATE consumer_cursors SET position = 3 WHERE consumer = 'slow'")
        started.start_work()
        wait_until(lambda: older not in [name for name, in db.execute(days)], "the next one dropped")
        names = [name for name, in db.execute(days)]
        assert kept in names and "outbox_log_default" in names
        ahead = [db.execute("SELECT 'outbox_log_' || to_char(now() AT TIME ZONE 'UTC' + %s * interval '1 day', 'YYYYMMDD')",
                            [i]).fetchone()[0] for i in range(1, 5)]
        assert set(ahead) <= set(names)


def test_the_program_drops_no_table_by_itself(plant):
    with psycopg.connect(plant.postgres.url_as("boxoffice_app"), autocommit=True) as db:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            db.execute("DROP TABLE seat_lock_history")
        assert db.execute("SELECT seat_lock_history_drop('1 second'), seat_lock_history_ahead(2)").fetchone()[1] == 0
        # a day is kept, whatever was asked for
        assert db.execute("SELECT count(*) FROM pg_inherits WHERE inhparent = 'seat_lock_history'::regclass").fetchone()[0] >= 5


def test_dropping_gives_way_to_who_reads(plant, stand):
    with plant.sql() as db, psycopg.connect(plant.postgres.url) as reader:
        name = old_week(db, 90)
        reader.execute("SELECT count(*) FROM seat_lock_history")
        started = stand("--work-port", "0")
        show, buyer = started.admin().make_show(seats=10), started.session()
        # a key looks into the history: it is not kept waiting behind the one that waits
        buyer.lock(show.show_id, show.seats[:1], key="first").expect(201)
        assert name in [week for week, _ in db.execute(WEEKS).fetchall()]
        reader.rollback()
        started.stop_work()
        started.start_work()
        wait_until(lambda: name not in [week for week, _ in db.execute(WEEKS).fetchall()], "the week dropped")


def test_keys_in_redis_end(plant, stand):
    started = stand()
    show, buyer = started.admin().make_show(seats=10), started.session()
    started.api().taken(show.show_id)
    with plant.cache() as cache:
        cache.hset(f"map:{{{show.show_id}}}", "w", "99999999999999")  # somebody watches
        buyer.lock(show.show_id, show.seats[:1]).expect(201)
        keys = [f"{kind}:{{{show.show_id}}}" for kind in ("map", "ses", "chg")]
        wait_until(lambda: cache.exists(*keys) == 3, "the stream of changes")
        for key in keys:
            assert 86000 < cache.ttl(key) <= 86400, (key, cache.ttl(key))


def test_who_lost_the_watch_shows_nothing(plant, stand):
    """The gauge of a process that no longer looks says nothing: another one's does."""
    port = free_port()
    started = stand("--check-seconds", "1", "--lease-seconds", "1", port=port)

    def gauge():
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            [line] = [line for line in answer.read().decode().splitlines() if line.startswith('boxoffice_invariant_violations{invariant="I1"}')]
        return int(line.rpartition(" ")[2])

    show, buyer = started.admin().make_show(seats=10, prices={"Standard": 0}), started.session()
    lock = buyer.lock(show.show_id, show.seats[:1]).expect(201)["lock_id"]
    buyer.book(show.show_id, lock).expect(201)
    with plant.sql() as db:
        db.execute("UPDATE show_seats SET state = 0 WHERE show_id = %s AND seat_no = 0", [show.show_id])
        try:
            wait_until(lambda: gauge() == 1, "the fault shown")
            # another one has the duty from now on
            db.execute("UPDATE leases SET holder = 'somebody else', until = now() + interval '1 hour' WHERE name = 'check'")
            wait_until(lambda: gauge() == 0, "nothing shown any more")
        finally:
            db.execute("UPDATE show_seats SET state = 2 WHERE show_id = %s AND seat_no = 0", [show.show_id])


def test_a_queue_that_is_written_anew_all_day_stays_small(base_dir, build_dir):
    """Forty times the rows that live at once go through seat_locks; between two vacuums eight times, and it stays at that. (tests/bench/churn.py
    measures for longer.)"""
    plant = None
    try:
        plant = Plant(build_dir, tempfile.mkdtemp(dir=base_dir))
        plant.postgres.psql("ALTER SYSTEM SET autovacuum_naptime = 1; SELECT pg_reload_conf()")
        with plant.sql() as db:
            rows = """INSERT INTO seat_locks (show_id, lock_id, session_id, seats, prices, categories, total_minor, currency, created_at, expires_at)
                SELECT %s, gen_random_uuid(), gen_random_uuid(), '{1,2}', '{1,2}', '{0,0}', 3, 'EUR', now(), now() FROM generate_series(1, 2000)"""
            show = uuid.uuid4()
            sizes, vacuums = [], "SELECT autovacuum_count FROM pg_stat_user_tables WHERE relname = 'seat_locks'"
            for n in range(40):
                db.execute(rows, [show])
                db.execute("UPDATE seat_locks SET state = 'expired', ended_at = now() WHERE show_id = %s", [show])
                db.execute("DELETE FROM seat_locks WHERE show_id = %s", [show])
                if n % 8 == 7:  # as in life, where it takes minutes: nobody outruns autovacuum
                    [before] = db.execute(vacuums).fetchone()
                    wait_until(lambda: db.execute(vacuums).fetchone()[0] > before, "a vacuum of its own accord", 20, 0.05)  # noqa: B023
                sizes.append(db.execute("SELECT pg_relation_size('seat_locks')").fetchone()[0])
            assert max(sizes) < 14 * max(sizes[:2]), sizes
            options = dict(option.split("=") for option in db.execute("SELECT reloptions FROM pg_class WHERE relname = 'seat_locks'").fetchone()[0])
            assert options["autovacuum_vacuum_cost_delay"] == "0" and float(options["autovacuum_vacuum_scale_factor"]) <= 0.02
    finally:
        if plant:
            plant.close()
