"""What is measured stands on: a PostgreSQL that syncs, a Redis, the program's tables, `boxoffice serve`, shows to sell.
Everything lies in a temporary folder and on ports of its own, so that two runs do not meet."""

import base64
import contextlib
import datetime
import hashlib
import http.client
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import psycopg
import redis

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "tests/integration"))

import servers  # noqa: E402  (the tests' own starters)

import processes  # noqa: E402

# Durable, as in production: servers.py starts it without fsync for the tests, and the later of two -c wins. A checkpoint in the
# middle of one side's seconds would count against that side alone: they are made between the rounds instead.
POSTGRES_SETTINGS = {
    "fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "shared_buffers": "512MB", "max_wal_size": "4GB",
    "checkpoint_timeout": "30min", "autovacuum": "on", "max_connections": "200",
}
REDIS_SETTINGS = ["--maxmemory-policy", "noeviction"]
CHECKPOINT_AFTER_BYTES = 1 << 30
READY_WITHIN_S = 30


class Unclean(Exception):
    """What was measured is no measurement; the message says why."""


def find_program(build, *names):
    for name in names:
        path = Path(build) / name
        if path.exists():
            return str(path.resolve())
    return None


class Programs:
    """What a build folder of meson has; None what it has not."""

    def __init__(self, build):
        self.boxoffice = find_program(build, "src/app/boxoffice", "boxoffice")
        self.paysim = find_program(build, "src/paysim/boxoffice-paysim", "boxoffice-paysim")
        self.drive = os.environ.get("BENCH_DRIVE") or find_program(build, "tests/bench/bench_drive", "bench_drive")
        self.static = os.environ.get("BENCH_STATIC") or find_program(build, "tests/bench/bench_static", "bench_static")
        self.pgbench = (find_program(servers.Postgres._find_bin(), "pgbench")
                        or shutil.which("pgbench", path=os.environ.get("PATH", "") + ":/usr/bin"))

    def lacking(self):
        return [name for name, path in vars(self).items() if path is None]


def bench_plan(seats, per_row=100, name="Bench"):
    """A plan of the size asked for: seat k has the guid S-k, so that nobody needs a list of them."""
    rows = [{"row_number": str(first // per_row + 1), "row_number_position": "both", "position": {"x": 0, "y": 30.0 * (first // per_row)},
             "seats": [{"seat_guid": f"S-{k}", "seat_number": str(k - first + 1), "category": "Standard",
                        "position": {"x": 20.0 * (k - first), "y": 0}} for k in range(first, min(first + per_row, seats))]}
            for first in range(0, seats, per_row)]
    return {"name": name, "size": {"width": 20 * per_row, "height": 30 * len(rows)},
            "categories": [{"name": "Standard", "color": "#7f4a91"}],
            "zones": [{"name": "Hall", "position": {"x": 0, "y": 0}, "rows": rows, "areas": []}]}


def from_now(seconds):
    then = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return then.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Client:
    """One connection to the HTTP API, for setting up. (The tests' client holds every answer against the contract, which is
    not what takes the time here.)"""

    def __init__(self, port, token=None, timeout_s=60):
        self.token = token
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def ask(self, method, path, body=None, expect=None, headers=None):
        fields = {"Accept": "application/json", **(headers or {})}
        if body is not None:
            fields["Content-Type"] = "application/json"
            body = json.dumps(body)
        if self.token:
            fields["Authorization"] = f"Bearer {self.token}"
        self.connection.request(method, path, body, fields)
        answer = self.connection.getresponse()
        content = answer.read()
        if expect is not None and answer.status != expect:
            raise RuntimeError(f"{method} {path}: {answer.status} instead of {expect}: {content[:500]!r}")
        if expect is not None:
            return json.loads(content) if content else None
        return answer.status, answer.headers, content


class Serve:
    """`boxoffice serve` as a whole: the parent and its workers."""

    def __init__(self, ground, workers, *args, work=False):
        self.ground, self.workers = ground, workers
        self.port = servers.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log_path = ground.dir / f"serve-{self.port}.log"
        common = ["--database-url", ground.postgres.url_as("boxoffice_app"), "--redis-url", ground.redis.unix_url,
                  "--secret-file", str(ground.secret), *args]
        with open(self.log_path, "ab") as log:
            # few sessions stand for a crowd: what one of them may do is not what is measured
            self.process = processes.start([ground.programs.boxoffice, "serve", "--port", str(self.port), "--workers", str(workers),
                                            "--holds-per-session", "0", "--requests-per-session", "0", *common],
                                           stdout=log, stderr=log)
            self.work = None
            try:
                if work:
                    self.work = processes.start([ground.programs.boxoffice, "work", *common], stdout=log, stderr=log)
                self._wait_ready()
            except BaseException:
                self.close()
                raise

    def _wait_ready(self):
        end, good = time.monotonic() + READY_WITHIN_S, 0
        # several times on new connections, because the kernel chooses the worker
        while good < 4 * self.workers:
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"serve is not ready: {self.log()[-3000:]}")
            try:
                with Client(self.port) as client:
                    status, _, _ = client.ask("GET", "/readyz")
            except OSError:
                status = 0
            if status != 200:
                good = 0
                time.sleep(0.02)
            else:
                good += 1

    def log(self):
        return self.log_path.read_text(errors="replace")

    def client(self, token=None):
        return Client(self.port, token)

    def admin(self):
        return Client(self.port, self.ground.admin_token)

    def metrics(self):
        """{name or name{labels}: value} of all workers together."""
        with self.client() as client:
            status, _, body = client.ask("GET", "/metrics")
        if status != 200:
            raise RuntimeError(f"/metrics: {status}")
        return dict((name, float(value)) for name, _, value in
                    (line.rpartition(" ") for line in body.decode().splitlines() if line and line[0] != "#"))

    def worker_pids(self):
        return processes.children(self.process.pid)

    def resident_bytes(self):
        return sum(processes.resident_bytes(pid) for pid in self.worker_pids())

    def private_bytes(self):
        return sum(processes.private_bytes(pid) for pid in self.worker_pids())

    def close(self):
        processes.stop(self.work)
        processes.stop(self.process)


class Paysim:
    """The payment simulator, on a ledger of its own."""

    KEY = "sk_test_bench"

    def __init__(self, ground):
        self.process = processes.start([ground.programs.paysim, "--db", str(ground.dir / "paysim.db"), "--port", "0"],
                                       stdout=subprocess.PIPE)
        try:
            self.url = json.loads(self.process.stdout.readline())["url"]
        except (ValueError, KeyError):
            processes.stop(self.process)
            raise RuntimeError("boxoffice-paysim did not start") from None
        key = ground.dir / "paysim.key"
        key.write_text(self.KEY)
        self.options = ["--payment-url", self.url, "--payment-key-file", str(key)]

    def close(self):
        processes.stop(self.process)
        self.process.stdout.close()


class Static:
    """The same HTTP server around bytes that never change."""

    def __init__(self, ground, workers):
        self.process = processes.start([ground.programs.static, str(workers)], stdout=subprocess.PIPE)
        line = self.process.stdout.readline().split()
        if line[:1] != [b"port"]:
            processes.stop(self.process)
            raise RuntimeError("bench_static did not start")
        self.port = int(line[1])
        self.url = f"http://127.0.0.1:{self.port}"

    def close(self):
        processes.stop(self.process)
        self.process.stdout.close()


class Ground:
    """The servers and the tables. Start order is the reverse of close()."""

    def __init__(self, programs, where=None, postgres_args=()):
        self.programs = programs
        self.dir = Path(tempfile.mkdtemp(prefix="boxoffice-bench-", dir=where))
        self.postgres = self.redis = self.owner = None
        self.serves, self.statics = [], []
        try:
            os.chmod(self.dir, 0o755)
            self.file_system = file_system(self.dir)
            settings = [word for name, value in POSTGRES_SETTINGS.items() for word in ("-c", f"{name}={value}")]
            self.postgres = servers.start_postgres(self.dir / "pg", [*settings, *postgres_args])
            self.redis = servers.start_redis(self.dir / "redis", REDIS_SETTINGS)
            self.secret = self.dir / "secret"
            self.secret.write_text(secrets.token_hex(32))
            self._migrate()
            self.owner = self.connect("bench_control")
            self.cache = redis.Redis(unix_socket_path=self.redis.socket)
            self._make_organizer()
            self._fill_locks()
        except BaseException:
            self.close()
            raise

    def _migrate(self):
        done = subprocess.run([self.programs.boxoffice, "migrate", "--migrate-url", self.postgres.url], capture_output=True,
                              text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"boxoffice migrate: {done.stdout}{done.stderr}")

    def _make_organizer(self):
        self.admin_token = "bt_" + base64.urlsafe_b64encode(secrets.token_bytes(40)).decode().rstrip("=")
        organizer = uuid.uuid4()
        self.owner.execute("ALTER ROLE boxoffice_app LOGIN")
        self.owner.execute("INSERT INTO organizers (organizer_id, name) VALUES (%s, 'default')", [organizer])
        self.owner.execute("INSERT INTO api_tokens (token_id, organizer_id, name, token_hash, scopes) VALUES (%s, %s, 'bench', %s, %s)",
                           [uuid.uuid4(), organizer, hashlib.blake2b(self.admin_token.encode(), digest_size=32).digest(),
                            ["events", "seats", "bookings", "payments", "checkin", "admin"]])

    def connect(self, application):
        """A connection of the tables' owner; commits by itself."""
        return psycopg.connect(self.postgres.url, autocommit=True, application_name=application)

    def serve(self, *args, workers=None, work=False):
        """A running serve, one worker per core."""
        serve = Serve(self, workers or cores(), *args, work=work)
        self.serves.append(serve)
        return serve

    def static(self, workers=None):
        static = Static(self, workers or cores())
        self.statics.append(static)
        return static

    def paysim(self):
        paysim = Paysim(self)
        self.statics.append(paysim)
        return paysim

    def end(self, server):
        """Stops one of them now."""
        server.close()
        for started in (self.serves, self.statics):
            if server in started:
                started.remove(server)

    # ---- shows ---------------------------------------------------------------------------------------------------------

    def make_show(self, serve, seats, price=4500):
        """A show on sale, made through the API; its id."""
        with serve.admin() as admin:
            venue = admin.ask("POST", "/v1/venues", {"name": f"Hall of {seats}", "city": "Vienna", "timezone": "Europe/Vienna"}, 201)
            plan = admin.ask("POST", f"/v1/venues/{venue['venue_id']}/plans", bench_plan(seats), 201)
            event = admin.ask("POST", "/v1/events", {"name": f"Event of {seats}", "category": "concert", "status": "published"}, 201)
            show = admin.ask("POST", f"/v1/events/{event['event_id']}/shows", {
                "plan_id": plan["plan_id"], "starts_at": from_now(30 * 86400), "sale_starts_at": from_now(-3600),
                "sale_ends_at": from_now(20 * 86400), "prices": {"Standard": {"amount": price, "currency": "EUR"}}}, 201)
        self.owner.execute("VACUUM ANALYZE shows, show_seats")
        return show["show_id"]

    def copy_show(self, show_id, copies):
        """More shows like one that the API made: their ids. The rows are what the API would have written."""
        columns = [row[0] for row in self.owner.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = 'shows'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum")]
        rest = ", ".join(c for c in columns if c != "show_id")
        ids = [uuid.uuid4() for _ in range(copies)]
        with self.owner.transaction():
            self.owner.execute(f"INSERT INTO shows (show_id, {rest}) SELECT u, {rest} FROM shows, unnest(%s::uuid[]) u WHERE show_id = %s",
                               [ids, show_id])
            self.owner.execute("""INSERT INTO show_seats (show_id, seat_no, category)
                SELECT u.id, s.seat_no, s.category FROM unnest(%s::uuid[]) WITH ORDINALITY AS u (id, n), show_seats s
                 WHERE s.show_id = %s ORDER BY u.n, s.seat_no""", [ids, show_id])
        self.owner.execute("VACUUM ANALYZE shows, show_seats")
        return [str(i) for i in ids]

    def shows_file(self, shows):
        """A file for the driver: [(show id, seats)]."""
        path = self.dir / f"shows-{secrets.token_hex(4)}"
        path.write_text("".join(f"{show}\t{seats}\n" for show, seats in shows))
        return path

    def _fill_locks(self):
        """A table of locks as it is in the middle of a sale, when ended ones stay for some minutes. On an empty one every index
        looks alike to the planner, and both sides would keep the plans they make then when it is full."""
        self.owner.execute("""INSERT INTO seat_locks (show_id, lock_id, session_id, state, seats, prices, categories, total_minor,
                                                      currency, created_at, expires_at, ended_at)
            SELECT lpad(to_hex(n % 1000), 32, '0')::uuid, gen_random_uuid(), gen_random_uuid(), 'released', '{1,2}', '{1,1}', '{0,0}', 2,
                   'EUR', now(), now() + interval '1 day', now()
              FROM generate_series(1, 20000) n""")
        self.owner.execute("VACUUM ANALYZE seat_locks")

    # ---- between measurements ------------------------------------------------------------------------------------------

    def tidy(self):
        """Both sides begin with the same tables: no dead rows that the other one left, no outbox of the other one's."""
        self.owner.execute("TRUNCATE outbox")
        self.owner.execute("VACUUM seat_locks, show_seats")
        written = self.owner.execute("SELECT pg_current_wal_lsn() - redo_lsn FROM pg_control_checkpoint()").fetchone()[0]
        if written > CHECKPOINT_AFTER_BYTES:
            self.owner.execute("CHECKPOINT")

    def check(self, *args):
        """The program's own invariants, asked of all that is in the tables and in Redis."""
        done = subprocess.run([self.programs.boxoffice, "check", "--once", "--database-url", self.postgres.url_as("boxoffice_app"),
                               "--redis-url", self.redis.unix_url, *args], capture_output=True, text=True, check=False, timeout=300)
        if done.returncode != 0:
            raise Unclean(f"boxoffice check ({done.returncode}): {(done.stdout + done.stderr).strip()[-600:]}")

    # ---- what it cost --------------------------------------------------------------------------------------------------

    def backends(self, application):
        return [row[0] for row in self.owner.execute("SELECT pid FROM pg_stat_activity WHERE application_name = %s", [application])]

    def settings(self):
        rows = self.owner.execute("""SELECT name, current_setting(name) FROM pg_settings WHERE source NOT IN ('default', 'override')
            AND name NOT IN ('application_name', 'unix_socket_directories', 'data_directory') ORDER BY name""").fetchall()
        return {"postgresql": dict(rows), "redis": dict(zip(REDIS_SETTINGS[::2], REDIS_SETTINGS[1::2])) | {"save": "", "appendonly": "no"},
                "data_on": self.file_system}

    def versions(self):
        return {"postgresql": self.owner.execute("SHOW server_version").fetchone()[0],
                "redis": self.cache.info("server")["redis_version"], "psycopg": psycopg.__version__,
                "boxoffice": subprocess.run([self.programs.boxoffice, "--version"], capture_output=True, text=True,
                                            check=False).stdout.strip(),
                "pgbench": subprocess.run([self.programs.pgbench, "--version"], capture_output=True, text=True,
                                          check=False).stdout.strip()}

    def close(self):
        """Ends all that was started here, by id, and removes the folder; also after half a start."""
        for server in [*self.serves, *self.statics]:
            with contextlib.suppress(OSError):
                server.close()
        self.serves, self.statics = [], []
        if self.owner:
            with contextlib.suppress(psycopg.Error):
                self.owner.close()
        for server in filter(None, [self.redis]):
            server.stop()
        if self.postgres:
            self.postgres.close()
        if os.environ.get("BOXOFFICE_KEEP"):
            print(f"kept: {self.dir}", file=sys.stderr)
        else:
            shutil.rmtree(self.dir, ignore_errors=True)


def cores():
    return len(os.sched_getaffinity(0))


def file_system(path):
    """The kind of file system a path is on: on a RAM disk nothing is durable."""
    best = ("", "unknown")
    for line in Path("/proc/mounts").read_text().splitlines():
        _, mount, kind = line.split()[:3]
        if (str(path) + "/").startswith(mount.rstrip("/") + "/") and len(mount) >= len(best[0]):
            best = (mount, kind)
    return best[1]


def machine():
    text = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*: (.*)$", text, re.M)
    memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    return {"cores": cores(), "cpu": model.group(1).strip() if model else "unknown",
            "memory_gib": round(int(memory.group(1)) / 1048576, 1), "kernel": os.uname().release,
            "load_before": round(os.getloadavg()[0], 2)}


def commit():
    """Of the checkout, with a + when it has changes; "" outside one."""
    def git(*args):
        return subprocess.run(["git", "-C", str(ROOT), *args], capture_output=True, text=True, check=False)
    head = git("rev-parse", "--short=12", "HEAD")
    if head.returncode != 0:
        return ""
    return head.stdout.strip() + ("+" if git("status", "--porcelain", "-uno").stdout.strip() else "")
