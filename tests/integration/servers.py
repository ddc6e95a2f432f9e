"""Real servers for the tests: started in a temporary folder, on loopback and unix sockets, ended by process id."""
import glob
import os
import pathlib
import pwd
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(condition, what: str, timeout_s: float = 20.0):
    """Returns the first true value of condition(); a test that waits for something that never comes says what it was."""
    end = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not happen within {timeout_s:g} s")
        time.sleep(0.005)


def readable(files, timeout_s=None) -> list:
    """Those of the files and sockets that can be read now or have ended; by poll, as select knows only 1024 descriptors."""
    poll = select.poll()
    by_number = {f.fileno(): f for f in files}
    if -1 in by_number:
        raise ValueError("one of them is closed")
    for number in by_number:
        poll.register(number, select.POLLIN)
    return [by_number[number] for number, _ in poll.poll(None if timeout_s is None else timeout_s * 1000)]


def bin_dir() -> pathlib.Path:
    """Where meson put the test programs."""
    return pathlib.Path(os.environ.get("BOXOFFICE_BUILD_DIR", "build")).resolve() / "tests/integration/bin"


class Redis:
    """A redis-server without persistence. .url (TCP), .socket and .unix_url, .pid; the same addresses after restart()."""

    def __init__(self, folder, args=()):
        self.dir = pathlib.Path(folder)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.args = list(args)
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self.socket = str(self.dir / "redis.sock")
        self.unix_url = f"unix://{self.socket}"
        self.process = None
        self.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    def start(self):
        program = shutil.which("redis-server", path=os.environ.get("PATH", "") + ":/usr/bin:/usr/sbin:/usr/local/bin")
        assert program, "redis-server is not installed (Debian package redis-server)"
        log = open(self.dir / "redis.log", "ab")
        self.process = subprocess.Popen(
            [program, "--bind", "127.0.0.1", "--port", str(self.port), "--unixsocket", self.socket, "--save", "",
             "--appendonly", "no", "--daemonize", "no", "--dir", str(self.dir), *self.args],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        log.close()
        wait_for(self._answers, "a redis-server that answers (see redis.log)")

    def _answers(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError("redis-server ended: " + (self.dir / "redis.log").read_text()[-2000:])
        try:
            with socket.socket(socket.AF_UNIX) as s, socket.create_connection(("127.0.0.1", self.port), 1):
                s.connect(self.socket)
                s.sendall(b"PING\r\n")
                return s.recv(1) in (b"+", b"-")
        except OSError:
            return False

    def _end(self, signo: int):
        if self.process.poll() is None:
            self.process.send_signal(signo)
            if signo != signal.SIGKILL:  # which also ends a paused one, before it runs another instruction
                self.process.send_signal(signal.SIGCONT)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def stop(self):
        self._end(signal.SIGTERM)

    def kill(self):
        self._end(signal.SIGKILL)

    def restart(self):
        """Comes back empty and with another run id."""
        self.stop()
        self.start()

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)


def start_redis(folder, args=()) -> Redis:
    return Redis(folder, args)


def _children(pid: int) -> list:
    """The processes that pid has started, oldest first."""
    try:
        return [int(p) for p in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _gone(pid: int) -> bool:
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


class Postgres:
    """A private PostgreSQL cluster on a unix socket; superuser and database of .user. Without fsync: it survives its own
    death, not the machine's. As root it runs as the user postgres, then in a folder of its own if that one cannot enter
    the one given. .url, .socket, .pid; the same after restart()."""

    def __init__(self, folder, args=()):
        self.args = list(args)
        self.user = "postgres"
        self.as_user = {}
        self.own_dir = None
        self.dir = pathlib.Path(folder)
        self.dir.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            who = pwd.getpwnam("postgres")
            self.as_user = {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []}
            os.chown(self.dir, who.pw_uid, who.pw_gid)
            if subprocess.run(["test", "-w", str(self.dir)], **self.as_user, check=False).returncode != 0:
                self.own_dir = tempfile.mkdtemp(prefix="boxoffice-pg-")
                self.dir = pathlib.Path(self.own_dir)
                os.chown(self.dir, who.pw_uid, who.pw_gid)
        os.chmod(self.dir, 0o755)
        self.bin = self._find_bin()
        self.data = self.dir / "data"
        self.socket = str(self.dir / ".s.PGSQL.5432")
        self.url = self.url_as(self.user)
        self.process = None
        if not (self.data / "PG_VERSION").exists():
            subprocess.run([f"{self.bin}/initdb", "-D", str(self.data), "-U", self.user, "-A", "trust", "-E", "UTF8",
                            "--locale=C", "--no-sync"], check=True, stdout=subprocess.DEVNULL, cwd=self.dir,
                           **self.as_user)
        self.start()

    @staticmethod
    def _find_bin() -> str:
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), key=lambda p: int(p.split("/")[4]))
        program = found[-1] if found else shutil.which("initdb")
        assert program, "PostgreSQL is not installed (Debian package postgresql)"
        return os.path.dirname(program)

    def url_as(self, user: str) -> str:
        return f"postgresql:///postgres?host={self.dir}&user={user}"

    @property
    def pid(self) -> int:
        return self.process.pid

    def start(self):
        log = open(self.dir / "postgres.log", "ab")
        self.process = subprocess.Popen(
            [f"{self.bin}/postgres", "-D", str(self.data), "-c", f"unix_socket_directories={self.dir}", "-c",
             "listen_addresses=", "-c", "fsync=off", "-c", "full_page_writes=off", "-c", "max_connections=100", "-c",
             "log_min_messages=warning", *self.args],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=self.dir, **self.as_user)
        log.close()
        wait_for(self._answers, "a PostgreSQL that answers (see postgres.log)")

    def ensure_running(self):
        if self.process.poll() is not None:
            self.start()

    def _answers(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError("PostgreSQL ended: " + (self.dir / "postgres.log").read_text()[-2000:])
        return subprocess.run([f"{self.bin}/pg_isready", "-q", "-h", str(self.dir)], check=False).returncode == 0

    def psql_command(self) -> list:
        return [f"{self.bin}/psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", self.url]

    def psql(self, text: str) -> str:
        done = subprocess.run(self.psql_command(), input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def stop(self):
        """In order, without waiting for clients."""
        if self.process.poll() is None:
            self.go_on()
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self):
        """All of it at once; the postmaster first, so that it starts nothing more."""
        if self.process.poll() is not None:
            return
        children = _children(self.pid)
        self.process.kill()
        for pid in children:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()
        wait_for(lambda: all(_gone(pid) for pid in children), "the end of PostgreSQL's processes")

    def restart(self):
        self.stop()
        self.start()

    def _signal_all(self, signo: int):
        if self.process.poll() is None:
            for pid in [self.pid, *_children(self.pid)]:
                try:
                    os.kill(pid, signo)
                except ProcessLookupError:
                    pass

    def pause(self):
        self._signal_all(signal.SIGSTOP)

    def go_on(self):
        self._signal_all(signal.SIGCONT)

    def close(self):
        """Ends it and removes what it made."""
        self.stop()
        if self.own_dir:
            shutil.rmtree(self.own_dir, ignore_errors=True)


def start_postgres(folder, args=()) -> Postgres:
    return Postgres(folder, args)
