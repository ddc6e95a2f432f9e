"""How large do the tables become that are written anew all day? Locks are made, end and are archived, seats change, by pgbench on a
PostgreSQL of its own, under three regimes: the migration's autovacuum settings, PostgreSQL's defaults, no vacuum at all.

    build/venv/bin/python tests/bench/churn.py --build build [--seconds 120] [--naptime 20]

Prints a line per regime: how many locks were made and how many are left, and the largest size of each table and its indexes. docs/operations.md
has the figures of one run.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "integration"))

import servers  # noqa: E402

RATE = 400  # locks a second
TABLES = ["seat_locks", "show_seats", "outbox", "leases"]
SETTINGS = ["autovacuum_vacuum_scale_factor", "autovacuum_vacuum_threshold", "autovacuum_vacuum_insert_scale_factor",
            "autovacuum_analyze_scale_factor", "autovacuum_vacuum_cost_delay"]
SHOW = "00000000-0000-0000-0000-000000000001"
# what is done to the tables in a lock's life, as the program's statements do it; one seat of 20,000
LIFE = f"""
\\set seat random(0, 19999)
\\set n random(1, 2000000000)
BEGIN;
UPDATE show_seats SET state = 1, fence = fence + 1, expires_at = now() WHERE show_id = '{SHOW}' AND seat_no = :seat;
INSERT INTO seat_locks (show_id, lock_id, session_id, seats, prices, categories, total_minor, currency, created_at, expires_at)
VALUES ('{SHOW}', gen_random_uuid(), gen_random_uuid(), ARRAY[:seat::int], '{{4500}}', '{{0}}', 4500, 'EUR', now(), now());
INSERT INTO outbox (show_id, outbox_id, topic, events) VALUES ('{SHOW}', gen_random_uuid(), 'seat', '[]');
COMMIT;
"""
SWEEP = f"""
BEGIN;
WITH due AS (SELECT lock_id FROM seat_locks WHERE expires_at < now() - interval '2 seconds' AND state = 'active' ORDER BY expires_at LIMIT 500)
UPDATE seat_locks l SET state = 'expired', ended_at = now() FROM due WHERE l.show_id = '{SHOW}' AND l.lock_id = due.lock_id;
COMMIT;
WITH old AS (SELECT lock_id FROM seat_locks WHERE expires_at < now() - interval '4 seconds' AND state = 'expired' LIMIT 500),
     gone AS (DELETE FROM seat_locks l USING old WHERE l.show_id = '{SHOW}' AND l.lock_id = old.lock_id RETURNING l.*)
INSERT INTO seat_lock_history SELECT * FROM gone;
DELETE FROM outbox o USING (SELECT show_id, outbox_id FROM outbox WHERE created_at < now() - interval '5 seconds' LIMIT 1000) old
 WHERE o.show_id = old.show_id AND o.outbox_id = old.outbox_id;
UPDATE leases SET until = now() WHERE name = 'sweep';
\\sleep 50 ms
"""


def regime(pg, build, name, seconds, folder):
    url = pg.url.replace("/postgres?", f"/{name}?")
    pg.psql(f"CREATE DATABASE {name}")
    subprocess.run([str(Path(build) / "boxoffice"), "migrate", "--migrate-url", url], check=True, stdout=subprocess.DEVNULL)

    def sql(text):
        done = subprocess.run([*pg.psql_command()[:-1], url], input=text, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    for table in TABLES:
        if name == "defaults":
            sql(f"ALTER TABLE {table} RESET ({', '.join(SETTINGS)})")
        elif name == "none":
            sql(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
    sql(f"""SET session_replication_role = replica; -- no event and no venue is needed for this
        INSERT INTO show_seats (show_id, seat_no, category) SELECT '{SHOW}', g, 0 FROM generate_series(0, 19999) g;
        INSERT INTO leases VALUES ('sweep', 'churn', 1, now());""")
    largest, ending = dict.fromkeys(TABLES, 0), threading.Event()

    def watch():
        while not ending.wait(0.5):
            for table in TABLES:
                largest[table] = max(largest[table], int(sql(f"SELECT pg_total_relation_size('{table}')")))

    watcher = threading.Thread(target=watch)
    watcher.start()
    runs = []
    for script, clients in ((LIFE, 4), (SWEEP, 1)):
        path = Path(folder) / f"{name}-{clients}.sql"
        path.write_text(script)
        # at a pace that the sweep follows: what is measured is what dead rows leave behind, not who waits
        pace = ["-R", str(RATE)] if script is LIFE else []
        runs.append(subprocess.Popen([f"{pg.bin}/pgbench", "-n", "-c", str(clients), "-T", str(seconds), "-M", "prepared", *pace, "-f", str(path), url],
                                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
    said = [run.communicate()[0] for run in runs]
    ending.set()
    watcher.join()
    assert all(run.returncode == 0 for run in runs), said
    lives = next(line.split(":")[1].split("/")[0].strip() for line in said[0].splitlines() if "actually processed" in line)
    left = sql("SELECT count(*) FROM seat_locks")
    print(f"{name:9} {lives:>8} locks, {left:>6} left;", ", ".join(f"{table} {size / 1e6:.1f} MB" for table, size in largest.items()), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", required=True)
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--naptime", type=int, default=20, help="autovacuum_naptime; PostgreSQL's own is 60 s")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bo-churn-") as folder:
        os.chmod(folder, 0o755)
        pg = servers.start_postgres(Path(folder) / "pg", ["-c", f"autovacuum_naptime={args.naptime}"])
        try:
            begun = time.monotonic()
            for name in ("migrated", "defaults", "none"):
                regime(pg, args.build, name, args.seconds, folder)
            print(f"{time.monotonic() - begun:.0f} s, autovacuum_naptime {args.naptime} s")
        finally:
            pg.close()


if __name__ == "__main__":
    main()
