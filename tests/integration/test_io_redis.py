"""io/redis.c against a real server: runs bin/test_redis, a case at a time, and does to the server what the case asks for."""
import os
import socket
import subprocess
import threading

import pytest

import servers

CASES = {
    "values": [], "arrays": [], "big_values": [], "pipelined": [], "noscript": [], "bad_scripts": [], "not_sent": [],
    "cancelled": [], "from_callbacks": [], "killed": [], "timed_out": [], "own_sleep": [], "urls": [],
    "auth": ["--requirepass", "s3cr@t"], "auth_wrong": ["--requirepass", "s3cr@t"],
    "eviction": ["--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru"], "late_server": [],
    "replica": ["--replicaof", "127.0.0.1", "1"],
}


def promote(server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 10) as s:
        s.sendall(b"REPLICAOF NO ONE\r\n")
        assert s.recv(100).startswith(b"+OK")


def serve_control(control: socket.socket, server) -> None:
    """Answers what the program asks for ("kill", "start", ...) until it ends."""
    while request := control.recv(100).decode():
        try:
            {"kill": server.kill, "start": server.start, "pause": server.pause, "go_on": server.go_on,
             "promote": lambda: promote(server)}[request]()
            control.sendall(b"ok")
        except Exception as e:  # noqa: BLE001: said by the case
            control.sendall(repr(e).encode()[:100])


@pytest.mark.parametrize("case", CASES)
def test_redis(case, tmp_path):
    server = servers.start_redis(tmp_path, CASES[case])
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    thread = threading.Thread(target=serve_control, args=(ours, server), daemon=True)
    thread.start()
    try:
        env = dict(os.environ, REDIS_URL=server.url, REDIS_UNIX_URL=server.unix_url,
                   BOXOFFICE_TEST_CONTROL=str(theirs.fileno()))
        program = subprocess.Popen([servers.bin_dir() / "test_redis", case], env=env, pass_fds=[theirs.fileno()],
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        theirs.close()
        output, _ = program.communicate(timeout=120)
        print(output)
        assert program.returncode == 0, f"case {case} failed:\n{output[-3000:]}"
        assert "[  PASSED  ] 1 test(s)" in output, output
    finally:
        server.kill()
        ours.close()
