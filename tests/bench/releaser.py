"""Gives locks back, so that a show lasts through a measurement: the same statement beside the program and beside pgbench.

A thread with a connection of its own (application_name bench_release): every 100 ms one statement that ends every active lock
of some shows older than 300 ms. Then, with the program, the same seats and sessions leave the maps in Redis: after the commit,
never before, so that Redis never calls a seat free that is not. Over many shows that would be a command per show and ten times a
second; there the program's locks last a second, so that Redis forgets them by itself (lifetime_s).

Its work is part of neither side; its CPU is measured apart.
"""

import threading
import time

import psycopg
import redis

import processes

EVERY_S = 0.1
OLDER_THAN = "300 ms"

# Found by their end, which an index knows. Nobody else touches the rows of a lock that is alive, so none is locked beforehand.
RELEASE = """
WITH gone AS (
  DELETE FROM seat_locks
   WHERE expires_at < statement_timestamp() + %(lifetime)s::interval - %(age)s::interval AND state = 'active'
     AND show_id = ANY (%(shows)s::uuid[]) AND seats[1] >= %(first)s
  RETURNING show_id, lock_id, session_id, seats),
freed AS (
  UPDATE show_seats s SET state = 0, lock_id = '00000000-0000-0000-0000-000000000000', expires_at = '-infinity', fence = s.fence + 1
    FROM (SELECT g.show_id, g.lock_id, unnest(g.seats) AS seat_no FROM gone g) w
   WHERE s.show_id = w.show_id AND s.seat_no = w.seat_no AND s.lock_id = w.lock_id AND s.state = 1)
"""
COUNT = RELEASE + "SELECT count(*) FROM gone"
NAMES = RELEASE + """
SELECT show_id::text, array_agg(seats[1]::text || CASE WHEN seats[2] IS NULL THEN '' ELSE ' ' || array_to_string(seats[2:], ' ') END),
       array_agg(uuid_send(session_id)), count(*)
  FROM gone GROUP BY show_id"""

AT_ONCE = 5000  # fields in one command: none shall hold Redis for long


class Releaser(threading.Thread):
    """with Releaser(ground, shows, in_redis=True): ...; .released, .pid (its backend), .error. Locks of seats below first_seat
    stay. Whatever is left is released at the end."""

    def __init__(self, ground, shows, in_redis, first_seat=0, every_s=EVERY_S, older=OLDER_THAN, lifetime_s=300):
        super().__init__(name="releaser", daemon=True)
        self.ground, self.shows = ground, [str(show) for show in shows]
        self.first_seat, self.every_s, self.older, self.lifetime_s = first_seat, every_s, older, lifetime_s
        self.db = ground.connect("bench_release")
        self.pid = self.db.info.backend_pid
        # planned once, while the tables are nearly empty: by index, row by row, is right for whatever comes
        for setting in ("plan_cache_mode = force_generic_plan", "enable_seqscan = off", "enable_hashjoin = off",
                        "enable_mergejoin = off"):
            self.db.execute(f"SET {setting}")
        self.db.prepare_threshold = 0
        self.cache = redis.Redis(unix_socket_path=ground.redis.socket) if in_redis else None
        self.stale = 0  # marks in Redis that had to be removed at the end
        self.released, self.slowest_s, self.error = 0, 0.0, None
        self.wal_bytes_per_lock = 0.0  # of its own, known from the last pass, when nobody else writes
        self.enough = threading.Event()

    def __enter__(self):
        self.begun_cpu_s = processes.cpu_s(self.pid)
        self.start()
        return self

    def __exit__(self, *_):
        self.enough.set()
        self.join()
        try:
            if self.error is None:
                end = time.monotonic() + 10
                before = self._wal()
                done = self.pass_once("0 ms")
                if done:
                    self.wal_bytes_per_lock = (self._wal() - before) / done
                while self.pass_once("0 ms") or self._left():
                    if time.monotonic() > end:
                        self.error = "locks that could not be released"
                        break
                self._forget_late_marks()
        finally:
            self.db.close()

    def _forget_late_marks(self):
        """A write-back that came later than its lock's release left a mark that the program's own release would have outdone
        (by its fence). Now that no lock is left, whatever still stands there as locked is such a one."""
        if not self.cache:
            return
        time.sleep(0.1)
        for show in self.shows:
            name = f"map:{{{show}}}"
            late = [field for field, value in self.cache.hgetall(name).items()
                    if field.isdigit() and int(field) >= self.first_seat and value[:1] in (b"L", b"P")]
            self.stale += len(late)
            for at in range(0, len(late), AT_ONCE):
                self.cache.hdel(name, *late[at:at + AT_ONCE])

    def _left(self):
        return self.db.execute("SELECT count(*) FROM seat_locks WHERE show_id = ANY (%s::uuid[]) AND state = 'active' AND seats[1] >= %s",
                               [self.shows, self.first_seat]).fetchone()[0]

    def _wal(self):
        return int(self.db.execute("SELECT pg_current_wal_insert_lsn() - '0/0'").fetchone()[0])

    def cpu_s(self):
        """Of its backend so far."""
        return processes.cpu_s(self.pid) - self.begun_cpu_s

    def pass_once(self, age):
        asked = {"age": age, "shows": self.shows, "first": self.first_seat, "lifetime": f"{self.lifetime_s} s"}
        if not self.cache:
            done = self.db.execute(COUNT, asked).fetchone()[0]
            self.released += done
            return done
        rows = self.db.execute(NAMES, asked).fetchall()
        done = sum(n for _, _, _, n in rows)
        if rows:
            with self.cache.pipeline(transaction=False) as pipe:
                for show, seats, sessions, _ in rows:
                    seats = " ".join(seats).split()
                    for at in range(0, len(seats), AT_ONCE):
                        pipe.hdel(f"map:{{{show}}}", *seats[at:at + AT_ONCE])
                    for at in range(0, len(sessions), AT_ONCE):
                        pipe.hdel(f"ses:{{{show}}}", *sessions[at:at + AT_ONCE])
                pipe.execute()
        self.released += done
        return done

    def run(self):
        due = time.monotonic()
        try:
            while not self.enough.wait(max(0.0, due - time.monotonic())):
                begun = time.monotonic()
                self.pass_once(self.older)
                self.slowest_s = max(self.slowest_s, time.monotonic() - begun)
                due = max(due + self.every_s, time.monotonic())
        except (psycopg.Error, redis.RedisError) as error:
            self.error = f"the releaser failed: {error}"
