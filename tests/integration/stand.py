"""The program on servers of the test's own: `boxoffice migrate`, `serve` and `work` started by hand, so that each part can
be hurt alone. What `boxoffice up` does with them is tested elsewhere."""

import contextlib
import hashlib
import base64
import os
import secrets
import signal
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

import psycopg
import pytest
import redis

import event_schemas
import servers
from api import Api
from service import ROOT, SANITIZER, free_port, wait_until

STATES = {0: "free", 1: "locked", 2: "booked", 3: "blocked"}
NOBODY = uuid.UUID(int=0)


class Plant:
    """A PostgreSQL with the program's tables, a Redis, a master key, an organiser with a token. For a whole test run."""

    def __init__(self, build_dir, folder):
        self.program = str(Path(build_dir) / "boxoffice")
        self.dir = Path(folder)
        self.own_events = True  # False: a test has put events of its own making into the outbox
        self.postgres = servers.start_postgres(self.dir / "pg", ["-c", "track_io_timing=off", "-c", "log_lock_waits=on"])
        self.redis = servers.start_redis(self.dir / "redis", ["--maxmemory-policy", "noeviction"])
        self.secret = self.dir / "secret"
        self.secret.write_text(secrets.token_hex(32))
        done = subprocess.run([self.program, "migrate", "--migrate-url", self.postgres.url], capture_output=True, text=True,
                              check=False, env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})
        assert done.returncode == 0, done.stdout + done.stderr
        self.admin_token = "bt_" + base64.urlsafe_b64encode(secrets.token_bytes(40)).decode().rstrip("=")
        with self.sql() as db:
            db.execute("ALTER ROLE boxoffice_app LOGIN")
            organizer = uuid.uuid4()
            db.execute("INSERT INTO organizers (organizer_id, name) VALUES (%s, 'default')", [organizer])
            db.execute("INSERT INTO api_tokens (token_id, organizer_id, name, token_hash, scopes) VALUES (%s, %s, 'tests', %s, %s)",
                       [uuid.uuid4(), organizer, hashlib.blake2b(self.admin_token.encode(), digest_size=32).digest(),
                        ["events", "seats", "bookings", "payments", "checkin", "admin"]])

    def sql(self):
        """A connection of the tables' owner; commits by itself."""
        return psycopg.connect(self.postgres.url, autocommit=True)

    def cache(self):
        return redis.Redis(unix_socket_path=self.redis.socket)

    def settle(self):
        """Both servers run again, whatever a test did to them."""
        self.redis.go_on()
        if self.redis.process.poll() is not None:
            self.redis.start()
        self.postgres.go_on()
        self.postgres.ensure_running()

    def close(self):
        try:
            if self.own_events:
                self.settle()
                event_schemas.assert_valid(self.postgres.url)
        finally:
            self.redis.stop()
            self.postgres.close()


class Stand:
    """serve and work on a plant."""

    def __init__(self, plant, *args, workers=2, work=True, env=None):
        self.plant = plant
        self.dir = Path(tempfile.mkdtemp(dir=plant.dir))
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.admin_token = plant.admin_token
        self.args = ["--database-url", plant.postgres.url_as("boxoffice_app"), "--redis-url", plant.redis.unix_url,
                     "--secret-file", str(plant.secret), *args]
        self.serve_args = ["--port", str(self.port), "--workers", str(workers)]
        self.env = dict(env or {})
        self.log_path = self.dir / "log"
        self.serve = self.work = None
        self.workers = workers
        self.start_serve()
        if work:
            self.start_work()
        try:
            self.wait_ready()
        except BaseException:  # nobody else knows these processes yet
            for process in filter(None, [self.serve, self.work]):
                for pid in servers._children(process.pid):
                    os.kill(pid, signal.SIGKILL)
                process.kill()
                process.wait()
            raise

    def _start(self, *command):
        env = {**os.environ, **self.env}
        report_to = f"log_path={self.dir}/sanitizer"
        env["ASAN_OPTIONS"] = ":".join(filter(None, [env.get("ASAN_OPTIONS"), report_to]))
        env["UBSAN_OPTIONS"] = ":".join(filter(None, [env.get("UBSAN_OPTIONS"), "print_stacktrace=1", report_to]))
        env["LSAN_OPTIONS"] = f"suppressions={ROOT}/tests/lsan.supp:print_suppressions=0"
        with open(self.log_path, "ab") as log:
            return subprocess.Popen([self.plant.program, *command, *self.args], stdin=subprocess.DEVNULL, stdout=log,
                                    stderr=log, env=env, start_new_session=True)

    def start_serve(self):
        self.serve = self._start("serve", *self.serve_args)

    def start_work(self):
        self.work = self._start("work")

    def stop_work(self, sig=signal.SIGTERM):
        self.work.send_signal(sig)
        self.work.wait(10)
        self.work = None
        # so that the next one need not wait for the lease to end
        with contextlib.suppress(psycopg.Error), self.plant.sql() as db:
            db.execute("DELETE FROM leases")
            db.execute("UPDATE outbox_partitions SET holder = '', until = '-infinity'")

    def stop_serve(self, sig=signal.SIGTERM):
        self.serve.send_signal(sig)
        status = self.serve.wait(10)
        self.serve = None
        return status

    def worker_pids(self):
        return servers._children(self.serve.pid)

    def ready(self, status="ready"):
        """Every worker says so: asked on several connections, because the kernel chooses the worker."""
        for _ in range(3 * self.workers):
            api = self.api()
            try:
                answer = api.get("/readyz")
            except OSError:
                assert self.serve.poll() is None, f"serve ended: {self.log()[-2000:]}"
                return False
            finally:
                api.close()
            if answer.json()["status"] != status:
                return False
        return True

    def wait_ready(self, status="ready", timeout_s=20):
        wait_until(lambda: self.ready(status), f"serve {status}: see {self.log_path}", timeout_s)

    def log(self):
        return self.log_path.read_text(errors="replace")

    def api(self, token=None, timeout_s=10):
        return Api(self.url, token, timeout_s)

    def admin(self):
        return self.api(self.admin_token)

    def session(self):
        buyer = self.api()
        buyer.token = buyer.post("/v1/sessions", {}).expect(201)["token"]
        return buyer

    def metric(self, name, **labels):
        """The sum over all series of that name with these labels."""
        total, found = 0.0, False
        for line in self.api().get("/metrics").body.decode().splitlines():
            if line.startswith(name) and line[len(name)] in " {" and all(f'{k}="{v}"' in line for k, v in labels.items()):
                total, found = total + float(line.rsplit(" ", 1)[1]), True
        assert found, f"there is no metric {name} {labels}"
        return total

    def assert_clean(self):
        text = "".join(path.read_text(errors="replace") for path in sorted(self.dir.glob("sanitizer.*")))
        text += "\n".join(line for line in self.log().splitlines() if SANITIZER.search(line))
        assert not text, f"reported in {self.dir}: {text[:6000]}"

    def close(self):
        self.plant.settle()
        status = 0
        for process in filter(None, [self.serve, self.work]):
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.send_signal(signal.SIGTERM)
        for process in filter(None, [self.serve, self.work]):
            try:
                status = process.wait(10) or status
            except subprocess.TimeoutExpired:
                for pid in servers._children(process.pid):
                    os.kill(pid, signal.SIGKILL)
                process.kill()
                process.wait()
                status = "not ended within 10 s"
        self.assert_clean()
        assert status == 0, f"exit status {status}: {self.log()[-2000:]}"


@pytest.fixture(scope="module", name="plant")
def own_plant(build_dir, base_dir):
    """One of the importing module's own: on the shared one another `work` may hold the duties' leases, with another gateway, and
    what others broke by hand would not pass the invariants."""
    plant = Plant(build_dir, tempfile.mkdtemp(dir=base_dir))
    yield plant
    plant.close()


# ---- what PostgreSQL and Redis say of a show -----------------------------------------------------------------------------


def database_seats(db, show):
    """{guid: (state, lock id or None)} of the seats that are not free now: an expired lock holds nothing."""
    rows = db.execute("""SELECT seat_no, state, lock_id FROM show_seats
        WHERE show_id = %s AND state <> 0 AND (state <> 1 OR expires_at > now())""", [show.show_id]).fetchall()
    return {show.seats[seat]: (STATES[state], lock if state != 3 else None) for seat, state, lock in rows}


def cache_seats(cache, show):
    """The same from Redis; None when there is no map. A mark of admission that is not committed is ("pending", lock)."""
    name = f"map:{{{show.show_id}}}"
    with cache.pipeline() as pipe:
        pipe.hgetall(name)
        pipe.time()
        fields, (seconds, micros) = pipe.execute()
    if b"c" not in fields:
        return None
    now_ms = seconds * 1000 + micros // 1000
    found = {}
    for field, value in fields.items():
        if not field.isdigit() or value[:1] == b"F" or len(value) < 28:
            continue
        ends = int(value[27:])
        if ends and ends <= now_ms:
            continue
        state = {b"P": "pending", b"L": "locked", b"B": "booked", b"X": "blocked"}[value[:1]]
        found[show.seats[int(field)]] = (state, uuid.UUID(bytes=value[1:17]) if state != "blocked" else None)
    return found


def living_locks(db, show):
    """{lock id: (session id, guids)} of the locks that hold seats now."""
    rows = db.execute("""SELECT lock_id, session_id, seats FROM seat_locks
        WHERE show_id = %s AND (state IN ('paying', 'booked') OR (state = 'active' AND expires_at > now()))""",
                      [show.show_id]).fetchall()
    return {lock: (session, {show.seats[seat] for seat in seats}) for lock, session, seats in rows}


def assert_whole(db, show):
    """PostgreSQL agrees with itself: a seat that is held is held by a living lock that lists it, and the other way round."""
    with db.transaction():
        db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        held, locks = database_seats(db, show), living_locks(db, show)
    owners = {}
    for lock, (_, guids) in locks.items():
        for guid in guids:
            assert guid not in owners, f"{guid} is listed by two living locks: {lock} and {owners[guid]}"
            owners[guid] = lock
    seen = {guid: lock for guid, (state, lock) in held.items() if state in ("locked", "booked")}
    assert owners == seen, f"locks say {owners}, seats say {seen}"
    return held, locks


def assert_agreement(stand, show, within_s=6):
    """Redis and PostgreSQL come to say the same of every seat within the bound of staleness, and so does the API."""
    with stand.plant.sql() as db, stand.plant.cache() as cache:
        begun = time.monotonic()
        last = [None]

        def agree():
            held, _ = assert_whole(db, show)
            with contextlib.suppress(redis.RedisError):
                seen = cache_seats(cache, show)
                if seen is None:  # dropped: asking loads it
                    stand.api().get(f"/v1/shows/{show.show_id}/seats").expect(200)
                    seen = cache_seats(cache, show)
                # a mark of admission on a free seat is no difference: it ends by itself, see take_the_rest
                seen = {guid: (state, lock) for guid, (state, lock) in (seen or {}).items()
                        if state != "pending" or guid in held}
                last[0] = {k: (held.get(k), seen.get(k)) for k in set(held) | set(seen) if held.get(k) != seen.get(k)}
                if last[0]:
                    return False
                answer = stand.api().get(f"/v1/shows/{show.show_id}/seats").expect(200)
                told = {guid: state for guid, (state, _) in held.items()}
                last[0] = f"the API says {answer}, PostgreSQL {told}"
                return answer["seats"] == told and answer["free"] == len(show.seats) - len(held)
            return False

        try:
            wait_until(agree, "agreement", within_s, 0.1)
        except AssertionError as error:
            raise AssertionError(f"{error}: (PostgreSQL, Redis) differ: {last[0]}") from None
        return time.monotonic() - begun
