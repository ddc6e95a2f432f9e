"""Who may send a refund, and with which key: refund_call.sql and refund_rest.sql against the migrated schema. Who may drive an
attempt as the request that made it: payment_get.sql."""

import uuid
from pathlib import Path

import psycopg
import pytest

from servers import start_postgres

ROOT = Path(__file__).resolve().parent.parent.parent
SQL = ROOT / "src/payment/sql"


def run(conn, name, *args):
    text = "\n".join(line.split("--")[0] for line in (SQL / f"{name}.sql").read_text().splitlines()).replace("%", "%%")
    for i in range(9, 0, -1):
        text = text.replace(f"${i}", f"%(p{i})s")
    return conn.execute(text, {f"p{i + 1}": value for i, value in enumerate(args)}).fetchall()


@pytest.fixture(scope="module")
def conn(base_dir):
    pg = start_postgres(base_dir / "refund-sql")
    pg.psql("CREATE ROLE boxoffice_app LOGIN; CREATE TABLE schema_migrations "
            "(version int PRIMARY KEY, name text, checksum text, applied_at timestamptz);")
    for migration in sorted((ROOT / "db/migrations").glob("*.sql")):
        pg.psql(migration.read_text())
    with psycopg.connect(pg.url_as("boxoffice_app"), autocommit=True) as made:
        yield made
    pg.close()


@pytest.fixture
def refund(conn):
    """show, payment, refund: requested, taken twice."""
    ids = [str(uuid.uuid4()) for _ in range(3)]
    conn.execute("INSERT INTO refunds (show_id, refund_id, payment_id, booking_id, state, amount_minor, currency, kind, reason, "
                 "settle_at, settle_tries) VALUES (%s, %s, %s, gen_random_uuid(), 'requested', 100, 'EUR', 'seats', 'buyer', "
                 "now(), 2)", (ids[0], ids[2], ids[1]))
    return ids


def call(conn, ids, tries):
    return run(conn, "refund_call", *ids, "POST", "/v1/refunds", "amount=100", "1 minute", tries)


@pytest.mark.parametrize(("status", "key"), [(None, 1), (200, 1), (400, 1), (500, 2), (502, 1), (503, 1), (504, 1)])
def test_a_new_key_only_after_the_gateways_own_500(conn, refund, status, key):
    assert call(conn, refund, 2)[0][:2] == (1, f"{refund[2]}-refund-1")
    conn.execute("UPDATE payment_calls SET http_status = %s WHERE payment_id = %s", (status, refund[1]))
    assert call(conn, refund, 2)[0][:2] == (key, f"{refund[2]}-refund-{key}")


def test_who_was_overtaken_sends_nothing_and_writes_nothing(conn, refund):
    assert call(conn, refund, 1) == []
    assert run(conn, "refund_rest", refund[0], refund[2], "1 minute", 1) == []
    assert conn.execute("SELECT count(*) FROM payment_calls WHERE payment_id = %s", (refund[1],)).fetchone() == (0,)
    assert len(run(conn, "refund_rest", refund[0], refund[2], "1 minute", 2)) == 1


def test_a_request_drives_only_what_nobody_has_taken_over(conn):
    show, payment = str(uuid.uuid4()), str(uuid.uuid4())
    for table in ("payments", "bookings", "events"):  # the same columns without what else a row needs; found first
        conn.execute(f"CREATE TEMP TABLE {table} AS SELECT * FROM public.{table} LIMIT 0")
    conn.execute("INSERT INTO events (event_id) VALUES (%s)", (show,))
    conn.execute("INSERT INTO bookings (show_id, booking_id, event_id) VALUES (%s, %s, %s)", (show, show, show))
    conn.execute("INSERT INTO payments (show_id, payment_id, booking_id, state, generation) VALUES (%s, %s, %s, 'created', 1)",
                 (show, payment, show))
    assert len(run(conn, "payment_get", show, payment)) == 1
    conn.execute("UPDATE payments SET generation = 2")
    assert run(conn, "payment_get", show, payment) == []
    conn.execute("DROP TABLE pg_temp.payments, pg_temp.bookings, pg_temp.events")
