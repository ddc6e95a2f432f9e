"""`boxoffice migrate` on a PostgreSQL of its own."""

import concurrent.futures
import hashlib
import re
import subprocess
import uuid

import psycopg
import pytest

from servers import start_postgres
from service import wait_until


@pytest.fixture(scope="module")
def server(base_dir):
    server = start_postgres(base_dir / "migrate")
    yield server
    server.close()


@pytest.fixture
def database(server, request):
    """The address of an empty database."""
    name = re.sub(r"\W", "_", request.node.name)[:60]
    server.psql(f'DROP DATABASE IF EXISTS "{name}"')
    server.psql(f'CREATE DATABASE "{name}"')
    return server.url.replace("/postgres?", f"/{name}?")


@pytest.fixture
def migrate(build_dir, database):
    def run(*args, url=database):
        return subprocess.run([build_dir / "boxoffice", "migrate", "--migrate-url", url, *args], capture_output=True, text=True,
                              timeout=60)
    return run


@pytest.fixture
def files(root):
    return sorted(path.stem for path in (root / "db/migrations").glob("*.sql"))


def test_every_file_is_carried_and_applied_once(migrate, files, database):
    pending = migrate("--status")
    assert pending.returncode == 1
    assert [line.split()[:2] for line in pending.stdout.splitlines()] == [[name, "pending"] for name in files]

    first = migrate()
    assert (first.returncode, first.stdout.splitlines()) == (0, [f"applied {name}" for name in files]), first.stderr
    again = migrate()
    assert again.returncode == 0 and "nothing to do" in again.stdout
    status = migrate("--status")
    assert status.returncode == 0 and status.stdout.count(" applied ") == len(files)
    with psycopg.connect(database) as db:
        rows = db.execute("SELECT version, name, length(checksum) FROM schema_migrations ORDER BY version").fetchall()
    assert rows == [(int(name[:4]), name[5:], 64) for name in files]


def test_looking_changes_nothing(migrate, database):
    migrate("--status")
    with psycopg.connect(database) as db:
        assert db.execute("SELECT to_regclass('schema_migrations')").fetchone() == (None,)


def test_several_at_once_apply_each_once(migrate, files):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: migrate(), range(4)))
    assert [one.returncode for one in done] == [0] * 4, [one.stderr for one in done]
    applied = [line for one in done for line in one.stdout.splitlines() if line.startswith("applied ")]
    assert sorted(applied) == [f"applied {name}" for name in files]


def test_a_changed_migration_is_refused(migrate, database):
    migrate()
    with psycopg.connect(database) as db:
        db.execute("UPDATE schema_migrations SET checksum = repeat('0', 64) WHERE version = 1")
    done = migrate()
    assert done.returncode == 1 and "0001_core" in done.stderr and "must not be changed" in done.stderr


def test_a_newer_database_is_refused(migrate, database):
    migrate()
    with psycopg.connect(database) as db:
        db.execute("INSERT INTO schema_migrations VALUES (9999, 'from_the_future', repeat('0', 64))")
    done = migrate()
    assert done.returncode == 1 and "9999_from_the_future" in done.stderr and "newer" in done.stderr


def test_one_that_fails_leaves_nothing_and_names_its_line(migrate, database):
    with psycopg.connect(database) as db:
        db.execute("CREATE TABLE payments (x int)")
    done = migrate()
    assert done.returncode == 1
    assert re.search(r'0001_core.*relation "payments" already exists', done.stderr), done.stderr
    with psycopg.connect(database) as db:
        assert db.execute("SELECT to_regclass('organizers'), (SELECT count(*) FROM schema_migrations)").fetchone() == (None, 0)
        db.execute("DROP TABLE payments")
    assert migrate().returncode == 0


def test_without_the_right_to_make_the_role_the_command_is_named(server, migrate, database):
    name = database.partition("///")[2].partition("?")[0]
    server.psql("REASSIGN OWNED BY boxoffice_app TO postgres") if has_role(server) else None
    for other in server.psql("SELECT datname FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres'").splitlines():
        if other != name:
            server.psql(f'DROP DATABASE "{other}"')
    server.psql("DROP ROLE IF EXISTS boxoffice_app")
    server.psql("DROP ROLE IF EXISTS small; CREATE ROLE small LOGIN")
    server.psql(f'ALTER DATABASE "{name}" OWNER TO small')
    with psycopg.connect(database) as db:
        db.execute("ALTER SCHEMA public OWNER TO small")
    as_small = re.sub(r"user=\w+", "user=small", database)
    done = migrate(url=as_small)
    assert done.returncode == 1 and "CREATE ROLE boxoffice_app" in done.stderr, done.stderr
    server.psql("CREATE ROLE boxoffice_app NOLOGIN")
    assert migrate(url=as_small).returncode == 0
    server.psql(f'DROP DATABASE "{name}"')
    server.psql("DROP ROLE small")


def has_role(server):
    return server.psql("SELECT 1 FROM pg_roles WHERE rolname = 'boxoffice_app'") == "1"


def test_no_address_and_no_server_are_sentences(build_dir, migrate, work_dir):
    bare = subprocess.run([build_dir / "boxoffice", "migrate"], capture_output=True, text=True)
    assert bare.returncode == 2 and "--migrate-url" in bare.stderr
    nobody = migrate(url=f"postgresql:///x?host={work_dir}")
    assert nobody.returncode == 1 and nobody.stderr.startswith("boxoffice: cannot connect to PostgreSQL")


def older(database, files, before):
    """The database as it is without the migrations from this one on."""
    with psycopg.connect(database, autocommit=True) as db:
        db.execute("CREATE TABLE schema_migrations (version int PRIMARY KEY, name text NOT NULL, checksum text NOT NULL, "
                   "applied_at timestamptz NOT NULL DEFAULT now())")
        for path in sorted(files):
            if path.name < before:
                db.execute(path.read_text())
                db.execute("INSERT INTO schema_migrations (version, name, checksum) VALUES (%s, %s, %s)",
                           [int(path.name[:4]), path.stem[5:], hashlib.blake2b(path.read_bytes(), digest_size=32).hexdigest()])


def test_an_index_is_made_ahead_and_nobody_waits_for_it(migrate, database, root):
    """Somebody is in the middle of a booking, for long: others book meanwhile. What an attempt before has left is made anew."""
    older(database, (root / "db/migrations").glob("*.sql"), "0010")
    index = "buyers_by_organizer_name"
    with psycopg.connect(database, autocommit=True) as db, psycopg.connect(database) as slow:
        db.execute(f"CREATE INDEX {index} ON buyers ((organizer_id::text || lower(name)) text_pattern_ops)")
        db.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass", [index])
        before = db.execute("SELECT %s::regclass::oid", [index]).fetchone()
        organizer, insert = uuid.uuid4(), "INSERT INTO buyers (buyer_id, organizer_id, name, email, email_hash) VALUES (gen_random_uuid(), %s, '', '', '')"
        db.execute("INSERT INTO organizers (organizer_id, name) VALUES (%s, 'x')", [organizer])
        slow.execute(insert, [organizer])
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            done = pool.submit(migrate)
            wait_until(lambda: db.execute("SELECT count(*) FROM pg_stat_progress_create_index").fetchone() == (1,)
                       or db.execute("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%%INDEX CONCURRENTLY%%' AND pid <> pg_backend_pid()"
                                     ).fetchone() != (0,), "the index being made")
            db.execute("SET lock_timeout = '2s'")
            db.execute(insert, [organizer])
            assert not done.done()
            slow.commit()
            assert done.result().returncode == 0, done.result().stderr
        assert db.execute("SELECT indisvalid, indexrelid <> %s FROM pg_index WHERE indexrelid = %s::regclass", [before[0], index]).fetchone() == (True, True)
        assert db.execute("SELECT count(*) FROM pg_index WHERE NOT indisvalid").fetchone() == (0,)
