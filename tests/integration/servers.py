"""Real servers for the tests: started in a temporary folder, on loopback and unix sockets, ended by process id."""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
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
