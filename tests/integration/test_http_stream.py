"""Event streams (src/io/http_stream.c) over raw sockets: bin/stream_probe opens, fills and closes them."""

import contextlib
import http.client
import json
import signal
import socket
import subprocess
import time

import pytest

import servers
from service import wait_until
from sse import Stream


class Probe:
    def __init__(self, **options):
        self.process = subprocess.Popen([servers.bin_dir() / "stream_probe", *(f"{k}={v}" for k, v in options.items())],
                                        stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline().split()[1])
        self.url = f"http://127.0.0.1:{self.port}"

    def get(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        with contextlib.closing(connection):
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def stats(self):
        return json.loads(self.get("/stats")[1])

    def send(self, size):
        assert self.get(f"/send/{size}")[0] == 204

    def stream(self, **options):
        return Stream(self.url, "/stream", **options)

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(20)
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()


@pytest.fixture
def probe():
    started = []

    def start(**options):
        started.append(Probe(**options))
        return started[-1]

    yield start
    for one in started:
        assert one.end() == 0


def test_events_arrive_whole_and_in_order(probe):
    p = probe()
    with p.stream().listen() as a, p.stream().listen() as b:
        for size in (0, 1, 5000, 60000):
            p.send(size)
        for s in (a, b):
            got = [s.next("fill") for _ in range(4)]
            assert [(e.id, len(e.text)) for e in got] == [("1", 0), ("2", 1), ("3", 5000), ("4", 60000)]
            assert s.retry == 1000
        assert p.stats() == {"open": 2, "conns": 1, "left": 0, "closed": 0, "slow": 0}
        assert a.headers["connection"] == "close" and a.headers["cache-control"] == "no-store" and "x-request-id" in a.headers


def test_a_heartbeat_when_there_is_silence(probe):
    p = probe(heartbeat_ms=150)
    with p.stream().listen() as s:
        began = time.monotonic()
        wait_until(lambda: s.comments >= 4, "four heartbeats")
        assert time.monotonic() - began > 0.4


def test_who_leaves(probe):
    p = probe(heartbeat_ms=60000)
    gone, half, cut = p.stream(), p.stream(), p.stream()
    gone.socket.close()
    half.socket.shutdown(socket.SHUT_WR)
    cut.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    cut.socket.close()
    wait_until(lambda: p.stats()["left"] == 3 and p.stats()["open"] == 0, "all three noticed")
    half.socket.close()


def test_who_lags_behind_is_cut(probe):
    """By bytes: the queue is full. The others go on."""
    p = probe(queue=100000, heartbeat_ms=60000)
    with p.stream(receive_bytes=4096) as slow, p.stream().listen() as quick:
        sent = 0
        while p.stats()["slow"] == 0:
            p.send(20000)
            sent += 1
            assert sent < 100
        assert sent > 100000 // 20000  # what fits into the queue is not cut
        assert [quick.next("fill").id for _ in range(sent)] == [str(i + 1) for i in range(sent)]
        assert p.stats()["open"] == 1
        with pytest.raises(ConnectionResetError):
            while slow.socket.recv(65536):
                pass


def test_who_takes_nothing_is_cut(probe):
    """By time: less than the queue, but nobody has read for longer than a heartbeat."""
    p = probe(queue=10_000_000, heartbeat_ms=300)
    with p.stream(receive_bytes=4096), p.stream().listen() as quick:
        for _ in range(5):
            p.send(100000)
        wait_until(lambda: p.stats()["slow"] == 1, "the slow one's end")
        assert p.stats()["open"] == 1
        for _ in range(5):
            quick.next("fill")


def test_who_is_slow_but_reads_is_not_cut(probe):
    p = probe(queue=2_000_000, heartbeat_ms=400)
    with p.stream(receive_bytes=4096) as s:
        for _ in range(15):
            p.send(100000)
        got = 0
        while got < 1_500_000:  # about 1.5 s in all, several heartbeats
            more = s.socket.recv(40000)
            assert more
            got += len(more)
            time.sleep(0.03 if got < 1_200_000 else 0)
        assert p.stats()["slow"] == 0


def test_closing_lets_what_waits_leave(probe):
    p = probe(queue=1_000_000, heartbeat_ms=60000)
    with p.stream(receive_bytes=4096) as s:
        p.send(300000)
        p.get("/close")
        assert p.stats()["closed"] == 0
        s.listen()
        assert len(s.next("fill").text) == 300000
        s.ends()
        assert not s.reset
    wait_until(lambda: p.stats()["closed"] == 1, "told")


def test_what_a_client_says_on_a_stream_is_nobodys(probe):
    p = probe(heartbeat_ms=60000)
    with p.stream().listen() as s:
        s.socket.sendall(b"GET /close HTTP/1.1\r\nHost: a\r\n\r\n")
        p.send(3)
        s.next("fill")
        with contextlib.suppress(OSError):
            for _ in range(20):
                s.socket.sendall(b"x" * 4096)
        wait_until(lambda: p.stats()["left"] == 1, "its end, after too much of that")


def test_so_many_and_no_more(probe):
    p = probe(streams_max=5, per_session=3)
    streams = [p.stream() for _ in range(3)]
    with p.stream() as s:
        assert (s.status, s.problem()) == (429, "rate_limited")
    streams[0].close()
    wait_until(lambda: p.stats()["open"] == 2, "one has left")
    streams.append(p.stream())
    assert streams[-1].status == 200
    for s in streams:
        s.close()
    p = probe(streams_max=2)
    streams = [p.stream() for _ in range(2)]
    with p.stream() as s:
        assert (s.status, s.problem()) == (503, "overloaded")
    for s in streams:
        s.close()


def test_the_end_of_the_process(probe):
    p = probe(queue=1_000_000)
    streams = [p.stream().listen() for _ in range(20)]
    stuck = p.stream(receive_bytes=4096)
    p.send(400000)
    for s in streams:
        s.next("fill")
    assert p.end() == 0  # everybody was told, exactly once: the probe looks
    for s in streams:
        s.ends()
        assert not s.reset and s.retry >= 1000
    assert len({s.retry for s in streams}) == 20
    stuck.close()
