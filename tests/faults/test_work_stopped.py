"""`work` is told to end while one of its duties waits for PostgreSQL: it ends all the same, in order and in time, and every round that it
leaves behind is given back (the sanitizer tells of memory that nobody has)."""

import signal

import pytest

from pg_proxy import HOLD, PgProxy
from stand import Stand, own_plant  # noqa: F401

FIRST_STATEMENTS = [
    "lease_take", "locks_due", "locks_ended", "shows_to_audit", "payments_due", "refunds_due", "bookings_over", "payments_long", "jobs_due",
    "locks_ending", "notifications_expire", "deliveries_claim", "hooks_watch", "invariants_recent", "outbox_log_ahead",
    "consumer_make", "consumer_look", "log_read", "relay_lease", "relay_pass", "relay_watch",
]


@pytest.fixture(scope="module", name="held")
def work_behind_a_proxy(plant, base_dir):
    proxy = PgProxy(base_dir / "stopped", plant.postgres.socket)
    stand = Stand(plant, "--relay-poll-ms", "20", "--sweep-ms", "50", "--audit-ms", "100", workers=1, work=False)
    stand.args[1] = proxy.url_as("boxoffice_app")
    yield stand, proxy
    proxy.clear()
    stand.close()
    proxy.close()


@pytest.mark.parametrize("statement", FIRST_STATEMENTS)
def test_stopped_while_it_waits_for(plant, held, statement):
    stand, proxy = held
    with plant.sql() as db:
        db.execute("DELETE FROM leases")
        db.execute("UPDATE outbox_partitions SET holder = '', until = '-infinity'")
        db.execute("DELETE FROM consumers WHERE %s = 'consumer_make'", [statement])
    trap = proxy.set(statement, HOLD)
    stand.start_work()
    try:
        trap.wait()
        stand.work.send_signal(signal.SIGTERM)
        assert stand.work.wait(10) == 0, stand.log()[-2000:]
    finally:
        trap.release()
        stand.work.kill()
        stand.work.wait()
        stand.work = None
    stand.assert_clean()
