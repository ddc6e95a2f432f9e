"""io/http_client.c, driven through bin/http_client_probe, against a server that misbehaves on demand."""
import email.utils
import json
import os
import queue
import socket
import ssl
import subprocess
import threading
import time

import pytest

import servers


class Server:
    """A raw HTTP/1.1 server: the path of a request says what becomes of it. Remembers all requests and connections."""

    def __init__(self, tls=None):
        self.tls = tls
        self.requests = []  # (connection number, method, path, headers, body)
        self.connections = 0
        self.closed_by_client = 0
        self.lock = threading.Lock()
        self.open = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://localhost:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                c, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                self.connections += 1
                self.open.append(c)
                number = self.connections
            threading.Thread(target=self._serve, args=(c, number), daemon=True).start()

    def stop_listening(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def close(self):
        try:
            self.stop_listening()
        except OSError:
            pass
        for c in self.open:
            try:
                c.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def seen(self, path):
        with self.lock:
            return [r for r in self.requests if r[2] == path]

    def _serve(self, c, number):
        die_at_next = False
        try:
            if self.tls:
                c = self.tls.wrap_socket(c, server_side=True)
            f = c.makefile("rb")
            while True:
                line = f.readline()
                if not line:
                    with self.lock:
                        self.closed_by_client += 1
                    return
                method, path, _ = line.decode().split()
                headers = {}
                while (line := f.readline().strip()):
                    name, value = line.decode().split(":", 1)
                    headers[name.lower()] = value.strip()
                body = f.read(int(headers.get("content-length", 0)))
                with self.lock:
                    self.requests.append((number, method, path, headers, body))
                if die_at_next or not self._answer(c, path, body):
                    return
                die_at_next = path == "/die-at-next"
        except (OSError, ValueError):
            pass
        finally:
            try:
                c.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            c.close()

    def _until_client_goes(self, c):
        try:
            gone = not c.recv(1)
        except OSError:  # closed with something of ours unread
            gone = True
        with self.lock:
            self.closed_by_client += gone

    @staticmethod
    def _say(c, body=b"", head="200 OK", extra=""):
        c.sendall(f"HTTP/1.1 {head}\r\nContent-Length: {len(body)}\r\n{extra}\r\n".encode() + body)

    def _answer(self, c, path, body) -> bool:
        """False: the connection is closed."""
        if path in ("/echo", "/die-at-next"):
            self._say(c, body)
        elif path == "/close-before":
            return False
        elif path == "/close-middle":
            c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nRequest-Id: req_half\r\n\r\n0123456789")
            return False
        elif path == "/close-middle-chunked":
            c.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
            return False
        elif path == "/hang":
            self._until_client_goes(c)
            return False
        elif path == "/hang-middle":
            c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789")
            self._until_client_goes(c)
            return False
        elif path == "/huge":
            c.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                c.sendall(b"x" * 65536)
        elif path == "/huge-headers":
            c.sendall(b"HTTP/1.1 200 OK\r\n")
            while True:
                c.sendall(b"X-Filler: " + b"x" * 1000 + b"\r\n")
        elif path == "/chunked":
            c.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
            c.sendall(b"7\r\n, world\r\n0\r\nTrailer: x\r\n\r\n")
        elif path == "/close-after":  # says nothing of it
            self._say(c, b"bye")
            return False
        elif path == "/redirect":
            self._say(c, b"there", "302 Found", f"Location: {self.url}/echo\r\n")
        elif path == "/error":
            self._say(c, b'{"error": 1}', "500 Oops", "Request-ID: req_1\r\nretry-after: 7\r\nStripe-Should-Retry: true\r\n")
        elif path == "/no-retry":
            date = email.utils.formatdate(time.time() + 100, usegmt=True)
            self._say(c, b"", "409 Conflict", f"Retry-After: {date}\r\nStripe-Should-Retry: false\r\n")
        elif path == "/odd-headers":
            self._say(c, b"", "200 OK", f"Retry-After: soon\r\nStripe-Should-Retry: maybe\r\nRequest-Id: {'r' * 5000}\r\n")
        elif path == "/early-hints":
            c.sendall(b"HTTP/1.1 103 Early Hints\r\nRequest-Id: early\r\nRetry-After: 1\r\n\r\n")
            self._say(c, b"late")
        elif path == "/not-http":
            c.sendall(b"220 ready\r\n")
            return False
        else:
            self._say(c, b"", "404 Not Found")
        return True


class Probe:
    def __init__(self, connections=4, ca_file=None, env=None):
        args = [servers.bin_dir() / "http_client_probe", str(connections), *([str(ca_file)] if ca_file else [])]
        self.process = subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        env={**os.environ, **(env or {})})
        self.answers = {}
        self.lines = queue.Queue()
        self.next_id = 0
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(json.loads(line))
        self.lines.put(None)

    def _line(self, **line):
        self.process.stdin.write(json.dumps(line).encode() + b"\n")
        self.process.stdin.flush()

    def start(self, method, url, body="", headers=(), connect_ms=5000, total_ms=20000, max=1 << 20, **more):
        self.next_id += 1
        self._line(id=self.next_id, method=method, url=url, body=body, headers=list(headers), connect_ms=connect_ms,
                   total_ms=total_ms, max=max, **more)
        return self.next_id

    def cancel(self, call):
        self._line(cancel=call)

    def wait(self, call):
        while call not in self.answers:
            answer = self.lines.get(timeout=30)
            assert answer is not None, self.process.stderr.read().decode()
            assert answer["id"] not in self.answers, "a second answer"
            self.answers[answer["id"]] = answer
        return self.answers[call]

    def call(self, *args, **kwargs):
        return self.wait(self.start(*args, **kwargs))

    def end(self):
        self.process.stdin.close()
        code = self.process.wait(20)
        assert code == 0, f"the probe ended with {code}: " + self.process.stderr.read().decode()[-3000:]


KEY = ["Idempotency-Key: k1"]


@pytest.fixture
def server():
    s = Server()
    yield s
    s.close()


@pytest.fixture
def probe():
    p = Probe()
    yield p
    p.end()


def test_request_and_answer(server, probe):
    text = "größer \u0001 \U0001f3ad" * 100
    a = probe.call("POST", server.url + "/echo", text, ["Authorization: Bearer x", "Content-Type: text/plain"])
    assert (a["status"], a["http_status"], a["body"], a["error"]) == ("answered", 200, text, "")
    assert (a["request_id"], a["retry_after_s"], a["should_retry_said"]) == ("", -1, False)
    _, method, _, headers, body = server.requests[0]
    assert (method, headers["authorization"], headers["content-type"]) == ("POST", "Bearer x", "text/plain")
    assert body == text.encode()
    assert "expect" not in headers


def test_large_body_goes_without_expect(server, probe):
    a = probe.call("POST", server.url + "/echo", "y" * 3_000_000, max=3_000_000)
    assert len(a["body"]) == 3_000_000
    headers = server.requests[0][3]
    assert "expect" not in headers and "content-type" not in headers


@pytest.mark.parametrize("method,body", [("GET", ""), ("HEAD", ""), ("DELETE", ""), ("DELETE", "b"), ("PUT", "b"),
                                         ("PATCH", "b"), ("POST", ""), ("PUT", "")])
def test_methods(server, probe, method, body):
    a = probe.call(method, server.url + "/echo", body)
    assert (a["status"], a["body"]) == ("answered", body)
    assert server.requests[0][1] == method
    assert server.requests[0][4] == body.encode()


def test_answers_of_all_forms(server, probe):
    assert probe.call("GET", server.url + "/chunked")["body"] == "hello, world"
    a = probe.call("GET", server.url + "/redirect")
    assert (a["http_status"], a["body"]) == (302, "there") and not server.seen("/echo")
    a = probe.call("GET", server.url + "/error")
    assert (a["status"], a["http_status"], a["body"]) == ("answered", 500, '{"error": 1}')
    assert (a["request_id"], a["retry_after_s"], a["should_retry_said"], a["should_retry"]) == ("req_1", 7, True, True)
    a = probe.call("GET", server.url + "/no-retry")
    assert 90 <= a["retry_after_s"] <= 100 and a["should_retry_said"] and not a["should_retry"]
    a = probe.call("GET", server.url + "/odd-headers")
    assert (a["retry_after_s"], a["should_retry_said"], len(a["request_id"])) == (-1, False, 127)
    a = probe.call("GET", server.url + "/early-hints")
    assert (a["http_status"], a["body"], a["request_id"], a["retry_after_s"]) == (200, "late", "", -1)


@pytest.mark.parametrize("path", ["/close-before", "/close-middle", "/close-middle-chunked", "/not-http", "/huge",
                                  "/huge-headers"])
def test_sent_but_not_answered_is_unknown_and_not_repeated(server, probe, path):
    a = probe.call("POST", server.url + path, "pay", KEY)
    assert a["status"] == "unknown" and a["error"] and a["http_status"] == 0 and a["body"] == ""
    assert len(server.seen(path)) == 1
    if "huge" in path:
        assert "larger than" in a["error"]


@pytest.mark.parametrize("path", ["/hang", "/hang-middle"])
def test_total_time(server, probe, path):
    a = probe.call("POST", server.url + path, "pay", total_ms=200)
    assert a["status"] == "unknown" and "200 ms" in a["error"] and a["took_us"] >= 190_000
    servers.wait_for(lambda: server.closed_by_client, "the end of the connection")


def test_answer_of_exactly_the_maximum(server, probe):
    assert probe.call("POST", server.url + "/echo", "12345", max=5)["body"] == "12345"
    a = probe.call("POST", server.url + "/echo", "123456", max=5)
    assert a["status"] == "unknown" and "larger than 5 bytes" in a["error"]


def test_nothing_left_is_not_sent(server, probe):
    for url in (f"http://127.0.0.1:{servers.free_port()}/", "http://", "http://[::/", "ftp://127.0.0.1/",
                "file:///etc/passwd", "gopher://127.0.0.1/"):
        a = probe.call("POST", url, "pay", KEY)
        assert a["status"] == "not_sent" and a["error"], url
    for headers in (["X: a\r\nY: b"], ["X: a\nY: b"], ["no colon"]):
        assert probe.call("GET", server.url + "/echo", headers=headers)["status"] == "not_sent"
    assert probe.call("GET /x", server.url + "/echo")["status"] == "not_sent"
    assert server.requests == []


def test_connect_time(probe):
    """Accepted by the kernel, but nobody speaks TLS there: the time for connecting ends it, and nothing was said."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        a = probe.call("POST", f"https://127.0.0.1:{silent.getsockname()[1]}/", "pay", connect_ms=200)
    assert a["status"] == "not_sent" and 190_000 <= a["took_us"] < 10_000_000


def test_connections_are_kept(server, probe):
    for _ in range(3):
        assert probe.call("POST", server.url + "/echo", "a", KEY)["status"] == "answered"
    assert server.connections == 1
    probe.call("POST", server.url + "/echo", "a")  # may not be repeated: a fresh connection
    assert server.connections == 2


def test_kept_connection_that_has_died(server, probe):
    assert probe.call("GET", server.url + "/close-after")["body"] == "bye"
    a = probe.call("POST", server.url + "/echo", "a", KEY)
    assert (a["status"], a["body"]) == ("answered", "a")
    assert server.connections == 2 and len(server.seen("/echo")) == 1


def test_kept_connection_that_dies_of_the_request(server, probe):
    """Repeated once by libcurl with the same key and bytes; without a key it would not have gone over a kept one."""
    probe.call("GET", server.url + "/die-at-next")
    a = probe.call("POST", server.url + "/echo", "a", KEY)
    assert (a["status"], a["body"]) == ("answered", "a")
    first, second = server.seen("/echo")
    assert first[0] == 1 and second[0] == 2 and first[3:] == second[3:]
    probe.call("GET", server.url + "/die-at-next")
    probe.call("POST", server.url + "/echo", "without")
    assert len([r for r in server.seen("/echo") if r[4] == b"without"]) == 1


def test_repeated_without_success_is_unknown(server, probe):
    """The first attempt was read by the server, the second found no listener: what counts is the first."""
    probe.call("GET", server.url + "/die-at-next")
    server.stop_listening()
    a = probe.call("POST", server.url + "/echo", "a", KEY)
    assert a["status"] == "unknown", a
    assert len(server.seen("/echo")) == 1


def test_waiting_for_a_connection(server):
    p = Probe(connections=1)
    hanging = p.start("POST", server.url + "/hang", "1", total_ms=1500)
    servers.wait_for(lambda: server.seen("/hang"), "the first request")
    impatient = p.start("POST", server.url + "/echo", "2", total_ms=200)
    patient = p.start("POST", server.url + "/echo", "3", KEY)
    assert p.wait(impatient)["status"] == "not_sent"
    assert hanging not in p.answers
    assert p.wait(hanging)["status"] == "unknown"
    assert p.wait(patient)["body"] == "3"
    assert [r[4] for r in server.seen("/echo")] == [b"3"]
    for i in range(20):  # kept ones give way to fresh ones
        assert p.call("POST", server.url + "/echo", str(i))["body"] == str(i)
    p.end()


def test_many_at_once(server):
    p = Probe(connections=8)
    calls = [p.start("POST", server.url + "/echo", f"n{i}", KEY) for i in range(90)]
    assert [p.wait(c)["body"] for c in calls] == [f"n{i}" for i in range(90)]
    assert server.connections <= 8
    p.end()


def test_started_from_a_callback(server, probe):
    first = probe.start("POST", server.url + "/hang", "1", total_ms=300)
    second = probe.start("POST", server.url + "/echo", "2", chain=first)
    assert probe.wait(second)["body"] == "2"
    assert probe.wait(first)["status"] == "unknown"


def test_cancel(server, probe):
    call = probe.start("POST", server.url + "/hang", "1")
    servers.wait_for(lambda: server.seen("/hang"), "the request")
    probe.cancel(call)
    probe.cancel(probe.start("POST", server.url + "/echo", "never"))
    assert probe.call("POST", server.url + "/echo", "after")["body"] == "after"
    assert call not in probe.answers
    assert [r[4] for r in server.seen("/echo")] in ([b"after"], [b"never", b"after"])


def test_free_with_open_calls(server):
    p = Probe(connections=2)
    for _ in range(5):
        p.start("POST", server.url + "/hang", "1")
    servers.wait_for(lambda: len(server.seen("/hang")) == 2, "two requests")
    p.end()
    assert p.lines.get(timeout=10) is None


def test_no_proxy_from_the_environment(server):
    nobody = f"http://127.0.0.1:{servers.free_port()}"
    p = Probe(env={"http_proxy": nobody, "HTTPS_PROXY": nobody, "ALL_PROXY": nobody, "all_proxy": nobody})
    assert p.call("POST", server.url + "/echo", "direct")["body"] == "direct"
    p.end()


def openssl(*args):
    subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """ca.pem, and certificates by it for localhost and for somebody else."""
    d = tmp_path_factory.mktemp("tls")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *key, "-keyout", d / "ca.key", "-out", d / "ca.pem", "-days", "2", "-subj", "/CN=test CA",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    for name in ("localhost", "elsewhere.example"):
        (d / "ext").write_text(f"subjectAltName=DNS:{name}\n")
        openssl("req", "-new", *key, "-keyout", d / f"{name}.key", "-out", d / "csr", "-subj", "/CN=" + name)
        openssl("x509", "-req", "-in", d / "csr", "-CA", d / "ca.pem", "-CAkey", d / "ca.key", "-CAcreateserial",
                "-days", "2", "-out", d / f"{name}.pem", "-extfile", d / "ext")
    return d


def tls_server(certificates, name):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / f"{name}.pem", certificates / f"{name}.key")
    context.set_alpn_protocols(["h2", "http/1.1"])
    return Server(context)


@pytest.mark.parametrize("name,with_ca,expected", [
    ("localhost", True, "answered"), ("localhost", False, "not_sent"), ("elsewhere.example", True, "not_sent")])
def test_https(certificates, name, with_ca, expected):
    server = tls_server(certificates, name)
    p = Probe(ca_file=certificates / "ca.pem" if with_ca else None)
    a = p.call("POST", server.url + "/echo", "secret", KEY)
    assert a["status"] == expected, a
    assert len(server.requests) == (expected == "answered")
    if expected == "answered":
        assert p.call("POST", server.url + "/echo", "again", KEY)["body"] == "again"
        assert server.connections == 1
        assert p.call("POST", server.url + "/close-before", "pay", KEY)["status"] == "unknown"
        assert p.call("POST", server.url + "/close-middle", "pay", KEY)["status"] == "unknown"
    p.end()
    server.close()
