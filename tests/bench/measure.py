"""What a stretch of load costs the servers: CPU by group, WAL, HOT updates, batches, commands of Redis."""

import processes
from ground import Unclean

GROUPS = ("serve", "redis", "postgresql")


class Cpu:
    """A sample of the CPU that each group of processes has used so far; cheap, and taken in the middle of load."""

    def __init__(self, ground, serve, releaser=None):
        without = [releaser.pid] if releaser else []
        self.serve = processes.cpu_of_family(serve.process.pid) if serve else 0.0
        # in these rows only the releaser deletes fields; what Redis says of it is without reading and answering
        self.given_back = given_back = ground.cache.info("commandstats").get("cmdstat_hdel", {}).get("usec", 0) / 1e6 if releaser else 0.0
        self.redis = processes.cpu_s(ground.redis.pid) - given_back
        self.postgresql = processes.cpu_of_family(ground.postgres.pid, without)
        self.release = processes.cpu_s(releaser.pid) + given_back if releaser else 0.0


def cpu_us_per(start, end, n):
    """{group: us per piece} and "all" of the server processes; the releaser's is not in it and stands beside it."""
    used = {group: (getattr(end, group) - getattr(start, group)) / n * 1e6 for group in (*GROUPS, "release")}
    used["all"] = sum(used[group] for group in GROUPS)
    used["taken_off_redis"] = (end.given_back - start.given_back) / n * 1e6  # of the releaser's, for whoever wants to add it again
    return {group: round(us, 2) for group, us in used.items()}


class Work:
    """Counters that say what was done for the locks accepted between two of these."""

    def __init__(self, ground, serve):
        db = ground.owner
        self.wal = int(db.execute("SELECT pg_current_wal_insert_lsn() - '0/0'").fetchone()[0])
        self.updated, self.hot = db.execute("""SELECT coalesce(sum(n_tup_upd), 0)::bigint, coalesce(sum(n_tup_hot_upd), 0)::bigint
            FROM pg_stat_user_tables WHERE relname = 'show_seats'""").fetchone()
        try:
            self.syncs = int(db.execute("SELECT wal_sync FROM pg_stat_wal").fetchone()[0])
        except Exception:  # moved to pg_stat_io in PostgreSQL 18
            self.syncs = None
        self.commits = int(db.execute("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()").fetchone()[0])
        commands = ground.cache.info("commandstats")
        self.scripts = sum(v["calls"] for k, v in commands.items() if k in ("cmdstat_evalsha", "cmdstat_eval"))
        self.commands = sum(v["calls"] for k, v in commands.items() if k not in ("cmdstat_hdel", "cmdstat_info", "cmdstat_hgetall"))
        metrics = serve.metrics() if serve else {}
        self.metrics = metrics
        self.locked = metrics.get('boxoffice_lock_requests_total{outcome="locked"}', 0.0)
        self.batches = metrics.get("boxoffice_lock_batch_requests_count", 0.0)
        self.batched = metrics.get("boxoffice_lock_batch_requests_sum", 0.0)


def demand_rows(before, after, releaser):
    """Every 201 was a row in PostgreSQL and no row was without one: as pgbench is held to its count, so is the program."""
    locked = round(after.locked - before.locked)
    if locked != releaser.released:
        raise Unclean(f"serve says that it locked {locked} times, {releaser.released} rows were there to be released")


def work_per_lock(a, b, releaser=None):
    """What a lock took between two samples, without the WAL of those who released it."""
    n = b.locked - a.locked
    if n <= 0:
        return {}
    released = releaser.wal_bytes_per_lock * releaser.released if releaser else 0
    updated = b.updated - a.updated
    return {
        "wal_bytes_per_lock": round((b.wal - a.wal - released) / n), "batch": round((b.batched - a.batched) / max(1.0, b.batches - a.batches), 1),
        "hot_share": round((b.hot - a.hot) / updated, 4) if updated else None,
        "wal_syncs_per_lock": round((b.syncs - a.syncs) / n, 4) if a.syncs is not None and b.syncs is not None else None,
        "redis_scripts_per_lock": round((b.scripts - a.scripts) / n, 3),
        "redis_commands_per_lock": round((b.commands - a.commands) / n, 2), "locks": round(n)}
