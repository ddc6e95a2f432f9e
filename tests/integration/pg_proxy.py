"""A proxy in front of PostgreSQL that knows where a transaction ends, so that a test can lose exactly that COMMIT or its
answer, or hold the answer back while it does something to the process that waits for it.

  client --Bind statement ... Bind boxoffice_commit, Sync--> proxy --> PostgreSQL
         <--------- ... CommandComplete, ReadyForQuery ---- proxy <--

A trap is set for the next transaction (or single statement) that contains a certain statement:

  NEVER   the commit is not passed on and the connection is cut: it did not happen
  LOST    it is passed on, and the connection is cut when PostgreSQL has answered: it happened, nobody heard of it
  HOLD    it happened, and the answer waits for trap.release()
  BEFORE  nothing is passed on before trap.release(); then all goes on
"""

import os
import socket
import struct
import threading
from pathlib import Path

NEVER, LOST, HOLD, BEFORE = "never", "lost", "hold", "before"
WAIT_S = 20


class Trap:
    """One use. statement: the name of its SQL file; having: bytes that one of its arguments is (the step of a call)."""

    def __init__(self, statement, how, having=b"", then=None):
        self.statement = statement
        self.how = how
        self.having = struct.pack("!I", len(having)) + having if having else b""
        self.what = f"{statement} {having.decode()}"
        self.then = then  # called with the trap at that moment
        self.pid = None  # the process that is in it
        self._sprung = threading.Event()
        self._released = threading.Event()

    def matches(self, name, arguments):
        return name.endswith("_sql_" + self.statement) and self.having in arguments

    def spring(self, pid):
        self.pid = pid
        if self.then:
            self.then(self)
        self._sprung.set()
        if self.how in (HOLD, BEFORE):
            self._released.wait(WAIT_S)

    def release(self):
        self._released.set()

    def wait(self):
        """Until somebody is in it; returns the process."""
        if not self._sprung.wait(WAIT_S):
            raise AssertionError(f"not within {WAIT_S} s: a commit with {self.what}")
        return self.pid

    @property
    def sprung(self):
        return self._sprung.is_set()


class Connection:
    """Two threads. Guarded by the lock: which sync the trapped commit ends with."""

    def __init__(self, proxy, client):
        self.proxy = proxy
        self.client = client
        pid, _, _ = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
        self.pid = pid
        self.server = socket.socket(socket.AF_UNIX)
        self.lock = threading.Lock()
        self.syncs = 1  # the one that ends the beginning
        self.trap = None
        self.trap_sync = 0
        self.caught = None  # a trap that fits what is open now
        self.in_transaction = False

    def start(self):
        try:
            self.server.connect(self.proxy.target)
        except OSError:
            self.close()
            return
        for side in (self.from_client, self.from_server):
            threading.Thread(target=self._run, args=(side,), daemon=True).start()

    def _run(self, side):
        try:
            side()
        except OSError:
            pass
        finally:
            self.close()

    def close(self):
        for end in (self.client, self.server):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()

    def _messages(self, end, headless=False):
        """(type, the whole message); headless: the first one has no type."""
        data = b""
        while True:
            head = 4 if headless else 5
            while len(data) >= head:
                n = struct.unpack_from("!I", data, head - 4)[0] + head - 4
                if len(data) < n:
                    break
                yield (b"" if headless else data[:1]), data[:n]
                data, headless, head = data[n:], False, 5
            more = end.recv(65536)
            if not more:
                return
            data += more

    def from_client(self):
        out = []
        for kind, message in self._messages(self.client, headless=True):
            if kind == b"B" and self._bind(message):
                return
            if kind in (b"S", b"Q"):
                with self.lock:
                    self.syncs += 1
            out.append(message)
            self.server.sendall(message)

    def _bind(self, message):
        """true: not passed on."""
        end = message.index(b"\0", 5) + 1
        name = message[end:message.index(b"\0", end)].decode()
        if name == "boxoffice_begin":
            self.in_transaction, self.caught = True, None
        elif name == "boxoffice_rollback":
            self.in_transaction, self.caught = False, None
        elif name == "boxoffice_commit":
            caught, self.caught, self.in_transaction = self.caught, None, False
            return self._at_end(caught)
        else:
            trap = self.proxy.find(name, message[end:])
            if trap and self.in_transaction:
                self.caught = trap
            elif trap:
                return self._at_end(trap)
        return False

    def _at_end(self, trap):
        if not trap or not self.proxy.take(trap):
            return False
        if trap.how in (NEVER, BEFORE):
            trap.spring(self.pid)
            return trap.how == NEVER
        with self.lock:
            self.trap, self.trap_sync = trap, self.syncs + 1
        return False

    def from_server(self):
        syncs, kept = 0, b""
        for kind, message in self._messages(self.server):
            syncs += kind == b"Z"
            with self.lock:
                trap, last = self.trap, self.trap_sync
            if not trap:
                self.client.sendall(message)
                continue
            kept += message
            if syncs < last:
                continue
            trap.spring(self.pid)
            if trap.how == LOST:
                return
            with self.lock:
                self.trap = None
            self.client.sendall(kept)
            kept = b""


class PgProxy:
    """Listens in a folder of its own as PostgreSQL would; .url_as(user)."""

    def __init__(self, folder, target):
        self.dir = Path(folder)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.target = target
        self.lock = threading.Lock()
        self.traps = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.dir / ".s.PGSQL.5432"))
        os.chmod(self.dir / ".s.PGSQL.5432", 0o777)
        self.listener.listen(100)
        threading.Thread(target=self._accept, daemon=True).start()

    def url_as(self, user):
        return f"postgresql:///postgres?host={self.dir}&user={user}"

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            Connection(self, client).start()

    def set(self, statement, how, having=b"", then=None):
        trap = Trap(statement, how, having, then)
        with self.lock:
            self.traps.append(trap)
        return trap

    def find(self, name, arguments):
        with self.lock:
            return next((trap for trap in self.traps if trap.matches(name, arguments)), None)

    def take(self, trap):
        """One transaction gets it."""
        with self.lock:
            if trap not in self.traps:
                return False
            self.traps.remove(trap)
            return True

    def clear(self):
        with self.lock:
            self.traps.clear()

    def close(self):
        self.listener.close()
