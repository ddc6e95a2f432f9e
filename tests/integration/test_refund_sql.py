"""Who may send a refund, and with which key: refund_call.sql and refund_rest.sql against the migrated schema. What an attempt is
made of: payment_create.sql."""

import uuid
from pathlib import Path

import psycopg
import pytest

from servers import start_postgres

ROOT = Path(__file__).resolve().parent.parent.parent
SQL = ROOT / "src/payment/sql"


def run(conn, name, *args):
    text = "\n".join(line.split("--")[0] for line in (SQL / f"{name}.sql").read_text().splitlines()).replace("%", "%%")
    for i in range(20, 0, -1):
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


def test_an_attempt_and_its_first_call_are_of_one_sum(conn):
    """The call's body was made when the lock was read: if the booking costs something else by now, there is neither."""
    show, payment, booking, lock = (str(uuid.uuid4()) for _ in range(4))
    for table in ("bookings", "seat_locks"):  # the same columns without what else a row needs; found first
        conn.execute(f"CREATE TEMP TABLE {table} AS SELECT * FROM public.{table} LIMIT 0")
    for table in ("payments", "payment_calls", "payment_events", "outbox"):
        conn.execute(f"CREATE TEMP TABLE {table} (LIKE public.{table} INCLUDING DEFAULTS)")
    conn.execute("INSERT INTO bookings (show_id, booking_id, lock_id, event_id, state, seats, total_minor, currency) "
                 "VALUES (%s, %s, %s, %s, 'payment_pending', '{1,2}', 9000, 'EUR')", (show, booking, lock, show))
    conn.execute("INSERT INTO seat_locks (show_id, lock_id, state, created_at, expires_at) VALUES (%s, %s, 'paying', now(), now())",
                 (show, lock))

    def create(amount, currency):
        return run(conn, "payment_create", show, payment, booking, lock, str(uuid.uuid4()), b"", "pm_card_visa", "", "1 minute",
                   str(uuid.uuid4()), str(uuid.uuid4()), "amount=9000&currency=eur", amount, currency)

    assert create(9001, "EUR") == create(9000, "USD") == []
    assert conn.execute("SELECT count(*) FROM payments").fetchone() == conn.execute("SELECT count(*) FROM payment_calls").fetchone() == (0,)
    [row] = create(9000, "EUR")
    assert [str(i) for i in row[:3]] == [payment, booking, lock] and row[3:7] == ("created", 1, 9000, "EUR") and row[16] == [1, 2]
    assert row[20] == f"{payment}-create-1"
    assert conn.execute("SELECT step, call_no, idempotency_key, body, http_status FROM payment_calls").fetchall() == [
        ("create", 1, row[20], "amount=9000&currency=eur", None)]
    conn.execute("DROP TABLE pg_temp.payments, pg_temp.payment_calls, pg_temp.payment_events, pg_temp.outbox, pg_temp.bookings, "
                 "pg_temp.seat_locks")
