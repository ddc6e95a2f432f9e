"""A box office as a test sees it: `boxoffice up` in a folder, started, watched and stopped."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import time
import uuid
from pathlib import Path

import event_schemas
from api import Api

ROOT = Path(__file__).resolve().parent.parent.parent
STOP_WITHIN_S = 5
SANITIZER = re.compile(r"ERROR: \w+Sanitizer|runtime error:|WARNING: \w+Sanitizer")


def free_port():
    """A port of the loopback address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition, what, timeout_s=10, interval_s=0.02):
    """Waits until condition() is true and returns its value; else fails, saying what did not happen."""
    end = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout_s} s: {what}")
        time.sleep(interval_s)


class Boxoffice:
    """States: new -> start() -> running -> stop() or kill() -> stopped -> start() again on the same folder."""

    START_WITHIN_S = 60
    STOP_WITHIN_S = STOP_WITHIN_S

    def __init__(self, build_dir, directory, *args, demo=False, env=None, port=None):
        self.build_dir = Path(build_dir)
        self.dir = Path(directory)
        self.args = args
        self.demo = demo
        self.env = dict(env or {})
        self.port = port or free_port()
        self.process = None
        self.up = None  # what up.json says
        # What finds our processes again, whatever they have become: in the environment of all that we start.
        self.mark = f"BOXOFFICE_TEST_MARK={uuid.uuid4()}"
        self.wrap = shlex.split(os.environ.get("BOXOFFICE_WRAP", ""))
        self.patience = 20 if self.wrap else 1
        self.own_events = True  # False: a test has put events of its own making into the outbox
        if os.geteuid() == 0:
            self.dir.chmod(0o755)
        self.log_path = self.dir.with_name(self.dir.name + ".log")
        self.reports = self.dir.with_name(self.dir.name + ".sanitizer")

    # ---- running -----------------------------------------------------------------------------------------------------

    def start(self):
        """Starts it and waits until it is ready."""
        assert self.process is None, "it runs already"
        command = [*self.wrap, str(self.build_dir / "boxoffice"), "up", "--dir", str(self.dir), "--port", str(self.port)]
        if self.wrap and self.wrap[0] == "valgrind":
            command.insert(1, f"--log-file={self.reports}.%p")
        if not self.demo:
            command.append("--no-demo")
        env = {**os.environ, **self.env, **dict([self.mark.split("=")])}
        report_to = f"log_path={self.reports}"
        env["ASAN_OPTIONS"] = ":".join(filter(None, [env.get("ASAN_OPTIONS"), report_to]))
        env["UBSAN_OPTIONS"] = ":".join(filter(None, [env.get("UBSAN_OPTIONS"), "print_stacktrace=1", report_to]))
        env["LSAN_OPTIONS"] = f"suppressions={ROOT}/tests/lsan.supp:print_suppressions=0"
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [*command, *self.args], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, start_new_session=True)
        try:
            self.up = wait_until(self._ready, f"{self.dir}/up.json", timeout_s=self.START_WITHIN_S * self.patience)
        except BaseException:
            self.kill()
            raise
        return self

    def _ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f"boxoffice up ended with {self.process.returncode}: {self.log()[-2000:]}")
        try:
            up = json.loads((self.dir / "up.json").read_text())
        except FileNotFoundError:
            return None
        # one that a killed predecessor left says nothing about us
        return up if up["pid"] == self.process.pid else None

    def stop(self, sig=signal.SIGTERM):
        """Ends it as Ctrl-C or a service manager would; fails unless it goes in time, whole, and clean."""
        wrong = self._events_wrong()
        process, self.process = self.process, None
        process.send_signal(sig)
        begun = time.monotonic()
        try:
            process.wait(self.STOP_WITHIN_S * self.patience)
        except subprocess.TimeoutExpired:
            left = self.processes()
            self._kill_all(process)
            raise AssertionError(f"not ended {self.STOP_WITHIN_S} s after {sig!r}; still there: {left}") from None
        took_s = time.monotonic() - begun
        left = self.processes()
        self._kill_all(process)
        assert not left, f"processes left behind: {left}"
        assert process.returncode == 0, f"exit status {process.returncode} after {sig!r}: {self.log()[-1000:]}"
        litter = [str(path) for path in self.dir.rglob("*") if path.is_socket() or path.name == "postmaster.pid"]
        assert not litter, f"left behind: {litter}"
        self.assert_clean()
        if wrong:
            raise wrong
        return took_s

    def _events_wrong(self):
        """What it has told so far is as api/events says; else the error to raise once it is stopped. One that never was ready
        has no address to be asked at."""
        if self.process.poll() is None and self.own_events and "database_url" in (self.up or {}):
            try:
                event_schemas.assert_valid(self.database_url)
            except AssertionError as error:
                return error
        return None

    def kill(self):
        """Ends everything at once, as a power cut would."""
        process, self.process = self.process, None
        if process:
            self._kill_all(process)

    def close(self):
        """Stops it if it still runs; in any case no sanitizer may have said anything."""
        if self.process:
            self.stop()
        else:
            self.assert_clean()

    def _kill_all(self, process):
        def strike():
            if process.poll() is None:
                process.kill()
            pids = self.processes()
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            return not pids and process.poll() is not None

        wait_until(strike, "the end of killed processes")

    # ---- looking at it -----------------------------------------------------------------------------------------------

    def processes(self):
        """{pid: command line} of everything that was started by start() and lives, the first one included."""
        found = {}
        mark, place = self.mark.encode(), os.fsencode(self.dir)
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                command = (entry / "cmdline").read_bytes()
                # PostgreSQL writes its title over its environment, but stands in its data folder
                ours = (mark in (entry / "environ").read_bytes() or place in command
                        or os.fsencode(os.readlink(entry / "cwd")).startswith(place + b"/"))
            except OSError:
                continue  # just ended, or not ours to look into
            if ours and state not in "ZX":
                found[int(entry.name)] = command.replace(b"\0", b" ").decode(errors="replace").strip()
        return found

    def pids(self, text):
        """The ids of its processes whose command line contains text."""
        return sorted(pid for pid, command in self.processes().items() if text in command)

    def log(self):
        """All that it has written to its standard output and error."""
        return self.log_path.read_text(errors="replace")

    def assert_clean(self):
        """No sanitizer and no valgrind found anything so far."""
        text = ""
        for path in sorted(self.reports.parent.glob(self.reports.name + ".*")):
            text += path.read_text(errors="replace")
        for line in self.log().splitlines():
            if SANITIZER.search(line):
                text += line + "\n"
        assert not text, f"reported in {self.dir}: {text[:4000]}"

    # ---- using it ----------------------------------------------------------------------------------------------------

    @property
    def url(self):
        return self.up["url"]

    @property
    def admin_token(self):
        return self.up["admin_token"]

    @property
    def database_url(self):
        return self.up["database_url"]

    @property
    def redis_url(self):
        return self.up["redis_url"]

    @property
    def payment_url(self):
        return self.up["payment_url"]

    @property
    def work_port(self):
        """Where `work` tells its metrics: set by who started this."""
        return int(self.env["BOXOFFICE_WORK_PORT"])

    @property
    def pid(self):
        return self.up["pid"]

    def api(self, token=None):
        """A client with a connection of its own."""
        return Api(self.url, token, timeout_s=10 * self.patience)

    def admin(self):
        """A client with every scope."""
        return self.api(self.admin_token)

    def session(self):
        """A client that is a new buyer."""
        buyer = self.api()
        buyer.token = buyer.post("/v1/sessions", {}).expect(201)["token"]
        return buyer

    def check(self):
        """`boxoffice check` on the running one: the invariants hold, and the money is what the gateway's ledger says."""
        done = subprocess.run([str(self.build_dir / "boxoffice"), "check", "--dir", str(self.dir)],
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"boxoffice check: {done.stdout}{done.stderr}"
        assert "the gateway's ledger compared" in done.stdout, done.stdout

    def run_admin(self, *args, status=0):
        """`boxoffice admin` on the running one: what it prints."""
        done = subprocess.run([str(self.build_dir / "boxoffice"), "admin", *args, "--dir", str(self.dir)],
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == status, f"boxoffice admin {args}: {done.returncode}: {done.stdout}{done.stderr}"
        return (done.stdout if status == 0 else done.stderr).strip()
