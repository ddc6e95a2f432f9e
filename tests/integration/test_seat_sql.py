"""Every statement against the migrated schema; and those of the hot paths: their plans, and that their updates stay HOT."""

import asyncio
import json
import time
import uuid
from pathlib import Path

import load
import psycopg
import pytest
from plans import nodes, plan_of
from service import wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
FILES = sorted(path.relative_to(ROOT) for path in ROOT.glob("src/*/sql/*.sql")
               if path.parent.parent.name != "paysim"  # that one has SQLite
               and path.name != "check_gateway_tables.sql")  # several, and made first


@pytest.fixture(scope="module")
def app(plant):
    """A connection as the program has it, for generic plans."""
    with psycopg.connect(plant.postgres.url_as("boxoffice_app"), autocommit=True, prepare_threshold=None) as db:
        db.execute("SET plan_cache_mode = force_generic_plan")
        db.execute((ROOT / "src/app/sql/check_gateway_tables.sql").read_text())
        yield db


@pytest.mark.parametrize("path", FILES, ids=[str(path) for path in FILES])
def test_a_statement_fits_the_schema(app, path):
    plan_of(app, path)


def assert_by_key(plan):
    """Rows of the two big tables are found by their keys, never by reading on."""
    for node in nodes(plan):
        if node.get("Relation Name") in ("show_seats", "seat_locks") and node["Node Type"] != "ModifyTable":
            assert node["Node Type"] != "Seq Scan", json.dumps(plan)
        if node.get("Index Name", "").startswith(("show_seats", "seat_locks")):
            # by expiry: hardly any are over
            assert node["Index Name"] in ("show_seats_pkey", "seat_locks_pkey", "seat_locks_by_session",
                                          "seat_locks_by_expiry"), node
            if node["Index Name"] == "show_seats_pkey":
                assert "show_id" in node["Index Cond"], node


@pytest.fixture(scope="module")
def full(shared_stand):
    """Tables of a size at which reading them through would be wrong, with statistics."""
    admin = shared_stand.admin()
    show = admin.make_show(seats=2000, per_row=50)
    for _ in range(4):
        admin.make_show(seats=2000, per_row=50)
    with shared_stand.plant.sql() as db:
        db.execute("""INSERT INTO seat_locks (show_id, lock_id, session_id, seats, prices, categories, total_minor, currency,
            created_at, expires_at) SELECT show_id, gen_random_uuid(), gen_random_uuid(), '{1}', '{1}', '{0}', 1, 'EUR',
            now(), now() + interval '1 hour' FROM shows, generate_series(1, 1000) WHERE capacity = 2000""")
        db.execute("ANALYZE")
        yield show
        db.execute("DELETE FROM seat_locks WHERE seats = '{1}' AND total_minor = 1")


@pytest.mark.parametrize("name", ["lock_release", "lock_expire", "lock_archive", "lock_pay", "lock_unpay", "lock_book",
                                  "lock_abandon", "seats_block", "seats_unblock", "seats_unbook", "map_seats", "map_read"])
def test_plans_of_hot_statements(app, full, name):
    plan = plan_of(app, f"src/seat/sql/{name}.sql")
    assert any(node.get("Relation Name") == "show_seats" for node in nodes(plan))
    assert_by_key(plan)


def test_plans_inside_the_batch(shared_stand, full):
    """What the function plans for itself, as auto_explain sees it."""
    plans = []
    with psycopg.connect(shared_stand.plant.postgres.url, autocommit=True) as db:
        db.execute("LOAD 'auto_explain'")
        for name, value in (("auto_explain.log_min_duration", "0"), ("auto_explain.log_nested_statements", "on"),
                            ("auto_explain.log_format", "json"), ("auto_explain.log_level", "notice"),
                            ("plan_cache_mode", "force_generic_plan"), ("enable_seqscan", "off")):  # as the program has it
            db.execute(f"SET {name} = '{value}'")
        db.add_notice_handler(lambda notice: plans.append(json.loads(notice.message_primary.split("plan:", 1)[1])["Plan"]))
        zero = uuid.UUID(int=0)
        old = None
        for replaces in (zero, None, zero):  # new; replacing the one before; refused
            lock = uuid.uuid4()
            rows = db.execute("""SELECT outcome FROM seat_lock_batch(%s, %s, '5 minutes', 2, true, %s::uuid[], %s::uuid[],
                %s::uuid[], %s::bytea[], %s::uuid[], '{10,11,12}', '{1,1,1}')""",
                              [full.show_id, uuid.uuid4(), [lock], [zero], [replaces or old], [b"h"], [zero]]).fetchall()
            assert rows[0][0] == (0 if replaces is None or old is None else 1)
            old = lock if old is None or replaces is None else old
        db.execute("SELECT 1")
    seen = {node.get("Relation Name") for plan in plans for node in nodes(plan)}
    assert {"show_seats", "seat_locks", "shows", "outbox"} <= seen, "auto_explain saw nothing"
    for plan in plans:
        assert_by_key(plan)


@pytest.mark.parametrize("name, state, arguments", [
    ("lock_release", "active", ("show", "lock", "session", "outbox")), ("lock_pay", "active", ("show", "lock", "session", "outbox")),
    ("lock_unpay", "paying", ("show", "lock", "outbox")), ("lock_abandon", "paying", ("show", "lock", "outbox")),
    ("lock_book", "paying", ("show", "lock", "outbox"))])
def test_an_event_gets_its_number_when_all_it_tells_of_is_locked(shared_stand, name, state, arguments):
    """Decision 0050: else a later event of a seat may have the lower number. Somebody else has one of the seats: the statement waits
    for it, and has drawn no number by then."""
    show = shared_stand.admin().make_show(seats=4)
    ids = {"show": show.show_id, "lock": uuid.uuid4(), "session": uuid.uuid4(), "outbox": uuid.uuid4()}
    statement = f"EXECUTE s ({', '.join(repr(str(ids[a])) for a in arguments)})"
    with shared_stand.plant.sql() as db, psycopg.connect(shared_stand.plant.postgres.url) as other:
        db.execute("""INSERT INTO seat_locks (show_id, lock_id, session_id, state, seats, prices, categories, total_minor, currency, created_at,
            expires_at) VALUES (%(show)s, %(lock)s, %(session)s, %(state)s, '{0,1,2}', '{1,1,1}', '{0,0,0}', 3, 'EUR', now(),
            now() + interval '1 hour')""", {**ids, "state": state})
        db.execute("""UPDATE show_seats SET state = 1, lock_id = %(lock)s, expires_at = CASE %(state)s WHEN 'paying' THEN 'infinity'
            ELSE now() + interval '1 hour' END WHERE show_id = %(show)s AND seat_no < 3""", {**ids, "state": state})
        other.execute("SELECT 1 FROM show_seats WHERE show_id = %s AND seat_no = 2 FOR NO KEY UPDATE", [show.show_id])
        db.execute(f"PREPARE s AS {(ROOT / 'src/seat/sql' / name).with_suffix('.sql').read_text()}; SET lock_timeout = '100ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            db.execute(statement)
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):  # none in this session
            db.execute("SELECT currval('outbox_seq')")
        other.rollback()
        db.execute(statement)
        drawn, = db.execute("SELECT currval('outbox_seq')").fetchone()
        assert db.execute("SELECT seq FROM outbox_events WHERE outbox_id = %s", [ids["outbox"]]).fetchone() == (drawn,)
        # the shared tables are left as they were
        db.execute("DELETE FROM seat_locks WHERE lock_id = %s", [ids["lock"]])
        db.execute("""UPDATE show_seats SET state = 0, lock_id = '00000000-0000-0000-0000-000000000000', expires_at = '-infinity',
            fence = fence + 1 WHERE show_id = %s AND state <> 0""", [show.show_id])


def test_updates_are_hot(make_stand):
    """2,000 locks and releases: no index entry is written for a seat, and hardly a row leaves its page."""
    stand = make_stand("--holds-per-session", "0", work=False)
    show = stand.admin().make_show(seats=500, per_row=50)

    def counts(db):
        db.execute("SELECT pg_stat_clear_snapshot()")
        return db.execute("SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'show_seats'").fetchone()

    async def churn():
        clients = await load.sessions(stand.url, 50)

        async def one(number, client):
            seats = show.seats[number * 10:number * 10 + 10]
            for turn in range(40):
                lock = (await client.lock(show.show_id, [seats[turn % 10], seats[(turn + 3) % 10]])).expect(201)
                (await client.release(show.show_id, lock["lock_id"])).expect(204)

        await load.gather([one(number, client) for number, client in enumerate(clients)])

    with stand.plant.sql() as db:
        before = counts(db)
        begun = time.monotonic()
        asyncio.run(churn())
        print(f"2,000 locks and releases in {time.monotonic() - begun:.1f} s")
        assert stand.stop_serve() == 0  # a connection reports what it did when it ends, at the latest
        wait_until(lambda: counts(db)[0] - before[0] >= 8000, "statistics", 15, 0.1)
        updated, hot = (after - then for after, then in zip(counts(db), before, strict=True))
    assert hot / updated >= 0.95, f"{hot} of {updated} updates were HOT"
