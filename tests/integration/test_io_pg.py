"""io/pg*.c against a real PostgreSQL: runs bin/test_pg*, a case at a time, and does to the server what the case asks for."""
import os
import pathlib
import socket
import subprocess
import threading

import pytest

import servers

CASES = {
    "test_pg": ["values", "session", "session_hidden", "pipelined", "constraints", "cancelled", "deadlines", "bugs", "cost"],
    "test_pg_tx": ["transactions", "transaction_errors", "deadline_commit", "lanes", "from_callbacks", "freed"],
    "test_pg_loss": ["bad_statement", "killed", "restarted", "terminated", "answer_lost", "silent", "late_server", "stale"],
}

# The test's role is the cluster's superuser; `plain` is one that may not read the control file.
SCHEMA = """
DROP SCHEMA public CASCADE;
CREATE SCHEMA public;
GRANT ALL ON SCHEMA public TO PUBLIC;
CREATE TABLE item (id int CONSTRAINT item_is_unique PRIMARY KEY, name text NOT NULL);
CREATE TABLE child (id int, parent int CONSTRAINT child_has_parent REFERENCES item DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE changing (id int);
INSERT INTO changing VALUES (1);
CREATE TYPE colour AS ENUM ('red', 'green');
GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC;
SELECT pg_stat_reset();
"""


class Proxy:
    """Stands between a client and the server on unix sockets. swallow(): what the server says from now on is lost."""

    def __init__(self, folder: str, target: str):
        self.folder, self.target = folder, target
        self.swallowing = False
        self.pairs = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(f"{folder}/.s.PGSQL.5432")
        self.listener.listen(20)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self.target)
            self.pairs.append((client, server))
            threading.Thread(target=self._carry, args=(client, server), daemon=True).start()

    def _carry(self, client, server):
        try:
            while True:
                for s in servers.readable([client, server]):
                    data = s.recv(65536)
                    if not data:
                        raise OSError("end")
                    if s is client:
                        server.sendall(data)
                    elif not self.swallowing:
                        client.sendall(data)
        except (OSError, ValueError):
            client.close()
            server.close()

    def cut(self):
        pairs, self.pairs = self.pairs, []
        for pair in pairs:
            for s in pair:
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def close(self):
        self.listener.close()
        self.cut()


class Control:
    """What a case may ask for."""

    def __init__(self, server, proxy):
        self.server, self.proxy, self.holder = server, proxy, None

    def sql(self, text):
        self.server.psql(text)

    def do(self, request: str):
        word, _, rest = request.partition(" ")
        if word in ("kill", "start", "restart", "pause", "go_on"):
            getattr(self.server, word)()
        elif word == "swallow":
            self.proxy.swallowing = True
        elif word == "let_pass":
            self.proxy.swallowing = False
        elif word == "cut":
            self.proxy.cut()
        elif word == "sql":
            self.server.psql(rest)
        elif word == "is":
            answer = self.server.psql(rest)
            assert answer == "t", f"{answer!r}: {rest}"
        elif word == "until":
            servers.wait_for(lambda: self.server.psql(rest) == "t", rest)
        elif word == "hold":
            self.holder = subprocess.Popen(self.server.psql_command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            self.holder.stdin.write(f"BEGIN;\nSELECT 'held' FROM item WHERE id = {int(rest)} FOR UPDATE;\n")
            self.holder.stdin.flush()
            while "held" not in (line := self.holder.stdout.readline()):
                assert line, "psql ended"
        elif word == "let_go":
            self.holder.communicate("ROLLBACK;\n", timeout=10)
        else:
            raise ValueError(word)

    def serve(self, control: socket.socket):
        while request := control.recv(1000).decode():
            try:
                self.do(request)
                control.sendall(b"ok")
            except Exception as e:  # noqa: BLE001: said by the case
                control.sendall(repr(e).encode()[-100:])


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    s = servers.start_postgres(tmp_path_factory.mktemp("postgres"))
    s.psql("CREATE ROLE plain LOGIN; REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
    try:
        yield s
    finally:
        s.close()


@pytest.mark.parametrize("program_name,case", [(p, c) for p, cases in CASES.items() for c in cases])
def test_pg(program_name, case, server):
    server.ensure_running()
    server.psql(SCHEMA)
    folder = pathlib.Path(server.dir) / f"proxy-{case}"
    folder.mkdir()
    proxy = Proxy(str(folder), server.socket)
    control = Control(server, proxy)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    threading.Thread(target=control.serve, args=(ours,), daemon=True).start()
    try:
        env = dict(os.environ, PG_URL=server.url, PG_PLAIN_URL=server.url_as("plain"),
                   PG_PROXY_URL=f"host={folder} port=5432 user={server.user} dbname=postgres",
                   BOXOFFICE_TEST_CONTROL=str(theirs.fileno()))
        command = [*os.environ.get("BOXOFFICE_TEST_WRAPPER", "").split(), str(servers.bin_dir() / program_name), case]
        program = subprocess.Popen(command, env=env, pass_fds=[theirs.fileno()], stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True)
        theirs.close()
        output, _ = program.communicate(timeout=120)
        print(output)
        assert program.returncode == 0, f"case {case} failed:\n{output[-3000:]}"
        assert "[  PASSED  ] 1 test(s)" in output, output
    finally:
        server.go_on()
        ours.close()
        proxy.close()
