"""docs/limits.md says what somebody is answered who asks for more: each row of its tables is tried, and a row that nobody tries fails."""

import concurrent.futures
import contextlib
import json
import re
import socket
import time
import uuid

import pytest

from api import seating_plan
from service import ROOT
from sse import Stream
from stand import Stand
from test_http_stream import Probe

CODES = ("rate_limited", "lock_limit", "too_many_seats", "overloaded")
GET = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
BUNDLE = b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: a\r\n\r\n"


def rows():
    """{what: (status, code or None, is the connection closed)} of every row that says an answer."""
    found, section = {}, ""
    for line in (ROOT / "docs/limits.md").read_text().splitlines():
        if line.startswith("#"):
            section = line
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("| ") or len(cells) != 3 or cells[1] == "setting" or "verifier" in section:
            continue
        says = f"{section} {cells[2]}" if re.match("## .*429", section) else cells[2]
        status = re.search(r"\b([45]\d\d)\b", says) or re.search(r"\b([45]\d\d)\b", section)
        plain = cells[2].partition(";")[0] in ("close", "reset")
        code = next((code for code in CODES if code in says), None)
        found[cells[0]] = (None if plain else int(status[1]), code, "close" in cells[2] or plain)
    return found


ROWS = rows()


@pytest.fixture(scope="module")
def scarce(plant):
    """Everything is scarce, except for 127.0.0.1."""
    stand = Stand(plant, "--unlimited-networks", "127.0.0.1", "--holds-per-session", "4", "--holds-per-network", "6",
                  "--sessions-per-network", "5", "--requests-per-network", "80", "--requests-per-session", "40",
                  "--connections-per-network", "5", "--streams-per-session", "3", "--locks-per-session", "2", "--seats-per-lock", "3", "--head-bytes-max", "4096",
                  "--json-bytes-max", "2000", "--head-timeout-ms", "600", "--body-timeout-ms", "600", "--idle-timeout-ms", "600",
                  "--write-timeout-ms", "600", workers=1, work=False)
    yield stand
    stand.close()


@pytest.fixture(scope="module")
def narrow(plant):
    """There is room for few at a time."""
    stand = Stand(plant, "--connections-max", "30", "--lock-queue", "1", "--offload-threads", "1", "--offload-queue", "1",
                  "--streams-max", "6", workers=1, work=False)
    yield stand
    stand.close()


# ---- how each is tried: what the one too many is answered: (status, code), or "closed" -----------------------------------------


def client(stand, source="127.0.0.1", token=None):
    api = stand.api(token)
    api.source = source
    return api


def buyer(stand, source="127.0.0.1"):
    api = client(stand, source)
    api.token = client(stand).post("/v1/sessions", {}).expect(201)["token"]
    return api


def answered(answer):
    if answer.status in (429, 503):
        assert int(answer.headers["Retry-After"]) > 0, answer
    return answer.status, answer.code


def hold(who, show, times):
    for _ in range(times):
        who.release(show.show_id, who.lock(show.show_id, show.seats[:1]).expect(201)["lock_id"]).expect(204)


def locks_of_a_session(scarce):
    who, show = buyer(scarce), scarce.admin().make_show()
    hold(who, show, 4)
    return answered(who.lock(show.show_id, show.seats[:1]))


def locks_of_a_network(scarce):
    show = scarce.admin().make_show()
    for _ in range(2):
        hold(buyer(scarce, "127.0.1.2"), show, 3)
    return answered(buyer(scarce, "127.0.1.2").lock(show.show_id, show.seats[:1]))


def sessions_of_a_network(scarce):
    who = client(scarce, "127.0.1.3")
    for _ in range(5):
        who.post("/v1/sessions", {}).expect(201)
    return answered(who.post("/v1/sessions", {}))


def requests_of_a_network(scarce):
    who = client(scarce, "127.0.1.4")
    answers = [who.get("/healthz") for _ in range(82)]
    assert answers[79].status == 200
    return answered(answers[-1])


def requests_of_a_session(scarce):
    who = buyer(scarce)
    answers = [who.get("/v1/me") for _ in range(42)]
    assert answers[39].status == 200
    return answered(answers[-1])


@contextlib.contextmanager
def connection(stand, source="127.0.0.1"):
    with socket.create_connection(("127.0.0.1", stand.port), 10, (source, 0)) as s:
        yield s


def read(s):
    """All until the end: ((status, code) or None, is it closed)."""
    said = b""
    with contextlib.suppress(ConnectionError):
        while part := s.recv(65536):
            said += part
    if not said:
        return None
    head, _, body = said.partition(b"\r\n\r\n")
    assert b"\r\nConnection: close" in head, head
    with contextlib.suppress(ValueError):
        return int(head.split()[1]), json.loads(body)["code"]
    return int(head.split()[1]), None


def crowd(stand, n, source="127.0.0.1"):
    """n connections that are open, and what one more is answered."""
    with contextlib.ExitStack() as stack:
        for _ in range(n):
            s = stack.enter_context(connection(stand, source))
            s.sendall(GET)
            assert s.recv(4096).startswith(b"HTTP/1.1 200")
        s = stack.enter_context(connection(stand, source))
        s.sendall(GET)
        return read(s)


def connections_of_a_network(scarce):
    return crowd(scarce, 5, "127.0.1.5")


def connections_of_a_worker(narrow):
    # the one that asked whether it is ready may still be there
    with contextlib.ExitStack() as stack:
        for _ in range(40):
            s = stack.enter_context(connection(narrow))
            s.sendall(GET)
            if not s.recv(12, socket.MSG_PEEK).startswith(b"HTTP/1.1 200"):
                return read(s)
    return None


def viewers(stand, buyers, source="127.0.0.1"):
    """A stream for each of these, all open at once; what the last one is answered, who is one too many."""
    show = stand.admin().make_show(seats=len(buyers))
    paths = {}
    with contextlib.ExitStack() as stack:
        for i, who in enumerate(buyers):
            if who not in paths:
                lock = who.lock(show.show_id, [show.seats[i]]).expect(201)["lock_id"]
                paths[who] = f"/v1/shows/{show.show_id}/locks/{lock}/stream"
            s = stack.enter_context(Stream(stand.url, paths[who], who.token, source=source))
            if i < len(buyers) - 1:
                assert s.status == 200, (i, s.status)
        assert int(s.headers["retry-after"]) > 0
        return s.status, s.problem()


def streams_of_a_session(scarce):
    return viewers(scarce, [buyer(scarce)] * 4)


def streams_of_a_network(scarce):
    who = [buyer(scarce) for _ in range(2)]
    return viewers(scarce, who * 3, "127.0.1.7")


def streams_of_a_worker(narrow):
    return viewers(narrow, [buyer(narrow)] * 7)


def a_reader_who_lags(scarce):
    """What a box office tells of a lock fits into any socket: here the same streams are given more to tell."""
    probe = Probe(queue=20000, heartbeat_ms=60000)
    try:
        with probe.stream(receive_bytes=4096) as slow:
            for _ in range(100):
                probe.send(10000)
                if probe.stats()["slow"]:
                    break
            with contextlib.suppress(ConnectionResetError):
                while slow.socket.recv(65536):
                    pass
                return 200, "its end was an orderly one"
    finally:
        probe.end()
    return None


def lookups_of_an_address(scarce):
    body = {"reference": "ZZZZZ-ZZZZZ", "email": f"{uuid.uuid4().hex}@example.org"}
    for _ in range(5):
        client(scarce).post("/v1/lookup", body).expect(202)
    return answered(client(scarce).post("/v1/lookup", body))


def lookups_of_a_network(scarce):
    with scarce.plant.sql() as db:
        db.execute("DELETE FROM request_counts")

        def ask(source):
            return client(scarce, source).post("/v1/lookup", {"reference": "ZZZZZ-ZZZZZ", "email": f"{uuid.uuid4().hex}@example.org"})

        answers = [ask("127.0.1.6") for _ in range(61)]
        assert answers[59].status == 202 == ask("127.0.0.1").status
        db.execute("DELETE FROM request_counts")
    return answered(answers[-1])


def booked(scarce, **event):
    admin, who = scarce.admin(), buyer(scarce)
    show = admin.make_show(seats=4, prices={"Free": 0}, **({"event_id": admin.make_event(**event)["event_id"]} if event else {}))

    def book(n):
        lock = who.lock(show.show_id, n).expect(201)["lock_id"]
        return who.post(f"/v1/shows/{show.show_id}/bookings", {"lock_id": lock, "buyer": {"name": "Ada", "email": "ada@example.org"}})

    return show, book


def tickets_sent_again(scarce):
    show, book = booked(scarce)
    path = f"/v1/shows/{show.show_id}/bookings/{book(1).expect(201)['booking_id']}/resend"
    for _ in range(3):
        scarce.admin().post(path, {}).expect(200)
    return answered(scarce.admin().post(path, {}))


def tickets_issued_again(scarce):
    show, book = booked(scarce)
    made = book(1).expect(201)
    mine, ticket = scarce.api(made["access_token"]), made["tickets"][0]["ticket_id"]

    def again(who, ticket):
        return who.post(f"/v1/shows/{show.show_id}/tickets/{ticket}/reissue", {})

    for _ in range(5):
        ticket = again(mine, ticket).expect(201)["ticket_id"]
    refused = again(mine, ticket)
    assert refused.json()["limit"] == 5
    ticket = again(scarce.admin(), ticket).expect(201)["ticket_id"]
    with scarce.plant.sql() as db:  # a day later
        db.execute("UPDATE tickets SET issued_at = issued_at - interval '1 day' WHERE booking_id = %s", [made["booking_id"]])
    again(mine, ticket).expect(201)
    return answered(refused)


def wrong_passwords(scarce):
    body = {"email": f"{uuid.uuid4().hex}@example.org", "password": "wrong"}
    with scarce.plant.sql() as db:
        db.execute("DELETE FROM staff_tries")
        for _ in range(5):
            client(scarce).post("/v1/staff/login", body).expect(401)
        return answered(client(scarce).post("/v1/staff/login", body))


def locks_at_a_time(scarce):
    who, show = buyer(scarce), scarce.admin().make_show()
    for seat in (0, 1):
        who.lock(show.show_id, [show.seats[seat]]).expect(201)
    return answered(who.lock(show.show_id, [show.seats[2]]))


def seats_of_a_payer(scarce):
    _, book = booked(scarce, max_per_payer=2)
    book(2).expect(201)
    return answered(book(1))


def seats_of_a_lock(scarce):
    show = scarce.admin().make_show()
    return answered(buyer(scarce).lock(show.show_id, show.seats[:4]))


def refused_and_closed(stand, raw):
    with connection(stand) as s:
        s.sendall(raw)
        return read(s)


def a_long_head(scarce):
    return refused_and_closed(scarce, b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 5000 + b"\r\n\r\n")


def a_long_body(scarce):
    return refused_and_closed(scarce, b"POST /v1/sessions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 3000\r\n\r\n")


def a_deep_body(scarce):
    return answered(scarce.api().request("POST", "/v1/lookup", b'{"reference":' + b"[" * 40 + b"]" * 40 + b"}"))


def half_a_head(scarce):
    return refused_and_closed(scarce, b"GET /healthz HTTP/1.1\r\nHost:")


def nothing_more(scarce):
    with connection(scarce) as s:
        s.sendall(GET)
        assert s.recv(4096).startswith(b"HTTP/1.1 200")
        while said := s.recv(4096):
            assert not said.startswith(b"HTTP/1.1"), said
    return None


def never_reading(scarce):
    with connection(scarce) as s:
        s.sendall(BUNDLE * 60)
        time.sleep(0.1)
        gone = False
        deadline = time.monotonic() + 20
        while not gone and time.monotonic() < deadline:  # written into the void, until it is known to be one
            try:
                s.sendall(b"\r\n")
                time.sleep(0.02)
            except ConnectionError:
                gone = True
    return None if gone else (200, "it was waited for")


def many_locks(narrow):
    show = narrow.admin().make_show(seats=40)
    buyers = [buyer(narrow) for _ in range(8)]
    with narrow.plant.sql() as db, concurrent.futures.ThreadPoolExecutor(8) as pool:
        with db.transaction():
            db.execute("SELECT FROM shows WHERE show_id = %s FOR UPDATE", [show.show_id])
            asked = [pool.submit(who.lock, show.show_id, [guid]) for who, guid in zip(buyers, show.seats, strict=False)]
            answers = [one.result() for one in asked]
    refused = [answered(answer) for answer in answers if answer.code == "overloaded"]
    return refused[0] if refused else answers


def many_plans(narrow):
    admin = narrow.admin()
    path = f"/v1/venues/{admin.make_venue()['venue_id']}/plans"
    plan = seating_plan(3000, 60)
    for _ in range(20):
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: narrow.admin().post(path, plan), range(8)))
        refused = [answered(answer) for answer in answers if answer.status != 201]
        if refused:
            return refused[0]
    return "never"


TRIED = {
    "locks that a session makes in one show": locks_of_a_session,
    "locks that a network makes in one show": locks_of_a_network,
    "new sessions of a network": sessions_of_a_network,
    "requests of a network": requests_of_a_network,
    "requests of a session": requests_of_a_session,
    "connections of a network": connections_of_a_network,
    "event streams of a session": streams_of_a_session,
    "event streams of a network": streams_of_a_network,
    "event streams of a worker": streams_of_a_worker,
    "what waits for a reader of an event stream": a_reader_who_lags,
    "lookups of a mail address": lookups_of_an_address,
    "lookups of a network": lookups_of_a_network,
    "tickets of a booking sent again": tickets_sent_again,
    "tickets of a seat issued again by their holder": tickets_issued_again,
    "wrong passwords at an account, from a network": wrong_passwords,
    "active locks of a session in one show": locks_at_a_time,
    "seats of an event for one payer": seats_of_a_payer,
    "seats in a lock": seats_of_a_lock,
    "request line and headers": a_long_head,
    "a body": a_long_body,
    "depth of JSON": a_deep_body,
    "time for a head, for a body": half_a_head,
    "time between requests": nothing_more,
    "time for an answer to leave": never_reading,
    "connections of a worker": connections_of_a_worker,
    "lock requests under way, and how long one would wait": many_locks,
    "jobs for the thread pool": many_plans,
}


def test_every_row_is_tried():
    assert set(ROWS) == set(TRIED)


@pytest.mark.parametrize("what", TRIED)
def test_what_the_table_says(request, what):
    status, code, closed = ROWS[what]
    ask = TRIED[what]
    said = ask(request.getfixturevalue("narrow" if "narrow" in ask.__code__.co_varnames[:1] else "scarce"))
    if status is None:
        assert closed and said is None, said
    else:
        assert said is not None and said[0] == status and (code is None or said[1] == code), said
