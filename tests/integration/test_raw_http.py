"""What browsers and clients never send, at the whole program: framing tricks, sizes, depths, slow senders, paths that want to be
more than they are. tests/integration/test_http_server.py does the same to the HTTP server alone, byte by byte."""

import json
import socket
import time
import uuid

import pytest

import openapi
import servers
from service import wait_until
from stand import Stand
from test_http_differential import NEXT, TRICKS, handled
from test_http_server import BAD, Client

MIB = 1 << 20


class Raw(Client):
    """A connection to the program that judges every answer it reads by the contract."""

    def __init__(self, office):
        s = socket.create_connection(("127.0.0.1", office.port), timeout=30)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().__init__(s)

    def judged(self, method, target):
        answer = self.answer(head_only=method == "HEAD")
        headers = {"-".join(part.capitalize() for part in name.split("-")): value for name, value in answer.headers.items()}
        if "Etag" in headers:
            headers["ETag"] = headers.pop("Etag")
        openapi.contract().check(method, target, None, answer.status, headers, answer.body)
        return answer

    def until_closed(self, raw):
        """All that comes back; the sending side is closed."""
        try:
            self.send(raw)
            self.s.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it has closed already: what it said is still there
        return self.rest()


def ask(office, raw):
    with Raw(office) as c:
        return c.until_closed(raw)


def refused_at_once(answers, statuses=(400,)):
    """One problem, Connection: close, and not a word about what came behind."""
    assert [a.status for a in answers] == [answers[0].status] and answers[0].status in statuses, [(a.status, a.body[:80]) for a in answers]
    assert answers[0].headers["connection"] == "close"
    assert answers[0].headers["content-type"] == "application/problem+json"
    assert answers[0].json()["status"] == answers[0].status


# ---- abuse 7: where does a request end? -------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", [name for name in BAD if name != "TLS"])
def test_malformed_is_400_and_close(boxoffice, what):
    refused_at_once(ask(boxoffice, BAD[what] + b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n" * 3), (400, 505))


def test_a_tls_hello_is_not_answered_with_more_than_a_refusal(boxoffice):
    refused_at_once(ask(boxoffice, BAD["TLS"]))


def test_no_trick_makes_one_request_two(boxoffice):
    """Behind each trick stands a request for the metrics. Either the trick is a request and the metrics, or a refusal of what stands
    before them, are the second answer; or it is refused and there is no second answer."""
    inside = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"
    for trick in TRICKS:
        answers = ask(boxoffice, trick + inside)
        assert len(answers) <= 2, trick
        assert all(a.status < 500 or a.status == 505 for a in answers), trick
        if len(answers) == 2:
            assert answers[0].status in (200, 400, 404, 405, 413, 415) and "connection" not in answers[0].headers, trick
            # what was no body of the first is the beginning of a line that means nothing ("helloGET")
            assert answers[1].status in (400, 405) or answers[1].body.startswith(b"# HELP"), trick
        elif answers:
            closed = answers[0].headers.get("connection") == "close"
            assert closed or not answers[0].body.startswith(b"# HELP"), trick


def test_a_request_in_the_body_of_another_stays_there(boxoffice):
    buyer = boxoffice.session()
    inside = b"POST /v1/sessions HTTP/1.1\r\nHost: a\r\n\r\n"
    auth = f"Authorization: Bearer {buyer.token}\r\n".encode()
    for raw in (b"POST /v1/sessions HTTP/1.1\r\nHost: a\r\n%sContent-Length: %d\r\n\r\n%s" % (auth, len(inside), inside),
                b"POST /v1/sessions HTTP/1.1\r\nHost: a\r\n%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (auth, len(inside), inside),
                b"GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (len(inside), inside),
                b"GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(inside), inside)):
        answers = ask(boxoffice, raw)
        assert len(answers) == 1 and answers[0].status in (200, 415), [a.status for a in answers]


def test_a_header_of_the_client_is_never_echoed_as_one(boxoffice):
    """CR LF in what comes back: in paths, queries, ids."""
    for target in ("/v1/events?q=a%0d%0aSet-Cookie:%20x=y", "/v1/%0d%0aX-Evil:%20y", "/?%0d%0a%0d%0a<script>", "/v1/shows/%0aX:y"):
        with Raw(boxoffice) as c:
            c.send(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            answer = c.judged("GET", target)
            assert not {"x-evil", "set-cookie", "x"} & set(answer.headers)


# ---- abuse 8: slow ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def impatient(plant):
    stand = Stand(plant, "--head-timeout-ms", "400", "--body-timeout-ms", "400", "--idle-timeout-ms", "400", "--write-timeout-ms", "400",
                  workers=1, work=False)
    yield stand
    stand.close()


SLOW = {
    "head": (b"GET / HTTP/1.1\r\nHost: a\r\n", b"X: y\r\n", 408),
    "request line": (b"GET /", b"a", 408),
    "body": (b"POST /v1/sessions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n", b" ", 408),
    "chunks": (b"POST /v1/sessions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n", 408),
    "trailers": (b"POST /v1/sessions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n", 408),
    "nothing": (b"", b"", None),
}


@pytest.mark.parametrize("what", SLOW)
def test_a_slow_sender_is_cut_after_the_total(impatient, what):
    """However regularly something comes."""
    begin, drip, status = SLOW[what]
    with Raw(impatient) as c:
        since = time.monotonic()
        c.send(begin)
        while not servers.readable([c.s], 0.05):
            assert time.monotonic() - since < 10, "never cut"
            c.send(drip)
        assert time.monotonic() - since > 0.3
        if status:
            answer = c.answer()
            assert (answer.status, answer.json()["code"]) == (status, "request_timeout")
        assert c.at_end()
    impatient.api().get("/healthz").expect(200)


def test_who_does_not_read_is_cut(impatient):
    with Raw(impatient) as c:
        c.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n" * 3000
        c.s.settimeout(0.5)
        try:
            while True:
                c.s.sendall(raw)
        except OSError:
            pass
        # ours is the only connection but the one that asks
        wait_until(lambda: impatient.metric("boxoffice_http_connections") <= 2, "the cut")


# ---- abuse 9: large, deep, ill-formed -------------------------------------------------------------------------------------------


def resident(office):
    total = 0
    for pid in office.worker_pids():
        with open(f"/proc/{pid}/statm") as f:
            total += int(f.read().split()[1]) * 4096
    return total


HUGE = {
    "a header of 10 MB": (b"GET / HTTP/1.1\r\nHost: a\r\nX: ", b"x" * 65536, 10, 431),
    "a target of 10 MB": (b"GET /", b"x" * 65536, 10, 431),
    "headers without end": (b"GET / HTTP/1.1\r\nHost: a\r\n", b"X: y\r\n" * 10000, 10, 431),
    "1 GB announced": (b"POST /v1/sessions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 1073741824\r\n\r\n", b"x" * 65536, 20, 413),
    "1 GB announced for a plan": (b"POST /v1/venues/%s/plans HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 1073741824\r\n\r\n"
                                  % str(uuid.uuid4()).encode(), b"x" * 65536, 20, 413),
    "chunks without end": (b"POST /v1/sessions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
                           b"10000\r\n" + b"x" * 65536 + b"\r\n", 20, 413),
    "a chunk extension of 10 MB": (b"POST /v1/sessions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x" * 65536, 10, 400),
    "trailers without end": (b"POST /v1/sessions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n" * 10000, 10, (400, 431)),
}


@pytest.mark.parametrize("what", HUGE)
def test_huge_is_refused_and_costs_nothing(impatient, what):
    head, piece, megabytes, status = HUGE[what]
    before, sent = resident(impatient), 0
    with Raw(impatient) as c:
        try:
            c.send(head)
            while sent < megabytes * MIB:
                c.send(piece)
                sent += len(piece)
        except OSError:
            pass
        try:
            refused_at_once(c.rest(), status if isinstance(status, tuple) else (status,))
        except (ConnectionResetError, EOFError):
            assert sent >= MIB, "cut although it was little"
    assert resident(impatient) < before + 12 * MIB


ILL = {
    "depth": b"[" * 10_000 + b"]" * 10_000,
    "depth of objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "depth of a member": b'{"seats":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "NUL": b'{"\0": 1}',
    "escaped NUL": b'{"a\\u0000": "b\\u0000"}',
    "NUL behind": b"{}\0",
    "bad UTF-8": b'{"\xff": "\xc3("}',
    "overlong UTF-8": b'{"a": "\xc0\xaf"}',
    "a lone surrogate": b'{"a": "\\ud800"}',
    "CESU-8": b'{"a": "\xed\xa0\x80\xed\xb0\x80"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"a": 1}',
    "duplicate members": b'{"name": "a", "name": "b"}',
    "1e999": b'{"name": 1e999}',
    "-1e999": b'{"a": -1e999}',
    "a long number": b'{"a": ' + b"9" * 5000 + b"}",
    "NaN": b'{"a": NaN}',
    "Infinity": b'{"a": Infinity}',
    "not JSON": b"name=value",
    "two values": b"{} {}",
    "cut": b'{"name": "a',
    "a comment": b'{} // yes',
    "single quotes": b"{'a': 1}",
    "a trailing comma": b'{"a": 1,}',
    "an array": b"[]",
    "a string": b'"seats"',
    "null": b"null",
    "unknown member": b'{"constructor": 1, "__proto__": {"admin": true}}',
}


def posts(show):
    """(method, path, staff) of every operation with a body in the contract, with ids that exist where a test knows some."""
    for _, pattern, operations in openapi.contract().paths:
        for method, operation in operations.items():
            if operation.body and pattern != "/v1/payments/webhook":
                path = pattern
                for name in ("show", "event", "venue", "plan"):
                    path = path.replace(f"{{{name}}}", getattr(show, f"{name}_id"))
                while "{" in path:
                    head, _, rest = path.partition("{")
                    path = head + str(uuid.uuid4()) + rest.partition("}")[2]
                yield method, path


@pytest.mark.parametrize("what", ILL)
def test_ill_formed_bodies_everywhere(boxoffice, what):
    """Every operation that takes JSON, as staff and as a buyer: a 4xx with its problem; never 2xx, never 5xx."""
    show = boxoffice.admin().make_show(seats=10)
    clients, met = [boxoffice.admin(), boxoffice.session()], set()
    for method, path in posts(show):
        for api in clients:
            # judged by the contract, too
            answer = api.request(method, path, ILL[what])
            assert 400 <= answer.status < 500, answer
            met.add(answer.status)
    assert 400 in met, met
    locked = clients[1].post(f"/v1/shows/{show.show_id}/locks", ILL[what])
    locked.expect(*(400, "invalid_request") if len(ILL[what]) <= 16 * 1024 else (413, "too_large"))
    clients[0].post("/v1/venues", ILL[what]).expect(400, "invalid_request")
    assert not clients[1].taken(show.show_id)


def test_a_plan_may_be_large_but_not_deep(boxoffice):
    admin = boxoffice.admin()
    venue = admin.make_venue()["venue_id"]
    for body in (b'{"zones": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", b'{"zones": ["' + b"x" * (2 * MIB) + b'"]}', b"[" * MIB):
        answer = admin.post(f"/v1/venues/{venue}/plans", body)
        assert answer.status in (400, 422), answer


def test_queries_are_read_strictly(boxoffice):
    admin = boxoffice.admin()
    for query in ("%00", "%ff", "%c0%af", "%", "%zz", "%4", "%ed%a0%80"):
        answer = admin.get(f"/v1/events?q={query}")
        assert answer.status == 400, answer


# ---- abuse 17: paths -------------------------------------------------------------------------------------------------------------


def variants(path):
    """Other spellings that a careless reader takes for path."""
    first, _, rest = path[1:].partition("/")
    last = path.rpartition("/")[2]
    yield from (f"/{path}", f"//{path[1:]}", f"{path}/", f"{path}//", f"/.{path}", f"/..{path}", f"/x/..{path}", f"/{first}/./{rest}",
                f"/{first}/../{first}/{rest}", f"/{first}//{rest}", f"/{first}%2f{rest}", f"/{first}%2F{rest}", f"{path}%00", f"{path}%00.png",
                f"{path}%20", f"{path};a=b", f"{path}.", f"{path}%2e", f"{path}%23", f"{path}%3f", f"/%2e%2e{path}", f"/%2e{path}",
                f"/{first}/..%2f{first}/{rest}", f"/{first}\\{rest}", f"/{first}/%5c{rest}", f"{path}/..", f"{path}/.", f"{path}/%2e%2e",
                f"{path[:-1]}%{ord(path[-1]):02x}", f"/%{ord(first[0]):02x}{first[1:]}/{rest}", f"{path.upper()}", f"/{first}/%252e%252e/{last}",
                f"/{first}/%c0%ae%c0%ae/{last}", f"{path}%0a", f"{path}%0d%0aX:y")


def test_a_path_is_only_itself(boxoffice):
    """Nothing is resolved, folded or decoded into another address: each of these is 404."""
    buyer = boxoffice.session()
    show = boxoffice.admin().make_show(seats=10)
    lock = buyer.lock(show.show_id, 1).expect(201)["lock_id"]
    paths = ["/v1/events", "/v1/me/locks", f"/v1/shows/{show.show_id}", f"/v1/shows/{show.show_id}/seats",
             f"/v1/shows/{show.show_id}/locks/{lock}", "/v1/tickets/keys", "/metrics"]
    for path in paths:
        assert buyer.get(path).status == 200
        for variant in set(variants(path)) - {path}:
            answer = buyer.get(variant)
            assert answer.status == 404, (variant, answer)
            if not variant.endswith("/..") and variant.count("/") == path.count("/"):
                continue
            assert buyer.request("DELETE", variant).status in (404, 405), variant
    # the lock is still there: no spelling of its path released it
    assert buyer.lock_state(show.show_id, lock).expect(200)["state"] == "active"


@pytest.mark.parametrize("target", ["http://evil.example/v1/events", "v1/events", "*", "/a b", "/\x01", "/\x7f", "/\x80", "/v1/events#x", "\\v1\\events",
                                    "", "?q", "//evil.example/..\\"])
def test_targets_that_are_no_paths(boxoffice, target):
    answers = ask(boxoffice, f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode("latin-1") + NEXT)
    assert answers[0].status in (400, 404)
    if answers[0].status == 400:
        refused_at_once(answers)


def test_every_answer_so_far_was_a_whole_one(boxoffice):
    """The reader of the differential suite is only as good as what it refuses to read."""
    assert handled(b"") == []
    with pytest.raises(AssertionError):
        handled(b"HTTP/1.1 200 OK\nContent-Length: 0\n\n")
    assert json.loads(ask(boxoffice, b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")[0].body) == {"status": "alive"}
