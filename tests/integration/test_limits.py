"""What one client, one network, one show may ask for (docs/limits.md): each limit with its answer, and who is not touched by it."""

import http.server
import itertools
import json
import socket
import subprocess
import threading
import uuid

import pytest

from api import from_now
from service import wait_until
from stand import Stand

_host = itertools.count(1)


def network():
    """A loopback address that no other test comes from."""
    n = next(_host)
    return f"127.7.{n >> 8}.{n & 255}"


@pytest.fixture(scope="module")
def tight(plant):
    """A stand on which everything is scarce, except for 127.0.0.1; 127.0.0.9 is our proxy."""
    stand = Stand(plant, "--unlimited-networks", "127.0.0.1", "--trusted-proxies", "127.0.0.9", "--holds-per-session", "4",
                  "--holds-per-network", "6", "--sessions-per-network", "5", "--requests-per-network", "80",
                  "--requests-per-session", "40", "--connections-per-network", "5", "--head-bytes-max", "4096", "--headers-max", "20",
                  "--json-bytes-max", "2000", "--body-bytes-max", "30000", workers=1, work=False)
    yield stand
    stand.close()


def client(stand, source, token=None):
    api = stand.api(token)
    api.source = source
    return api


def buyer(stand, source="127.0.0.1"):
    api = client(stand, source)
    api.token = api.post("/v1/sessions", {}).expect(201)["token"]
    return api


def limited(answer, limit, at_most_s):
    problem = answer.expect(429, "rate_limited")
    assert problem["limit"] == limit, problem
    assert f"at most {limit} times" in problem["detail"]
    assert 0 < int(answer.headers["Retry-After"]) <= at_most_s
    return answer


# ---- locking and releasing in a loop --------------------------------------------------------------------------------------


def test_who_locks_and_releases_in_a_loop_has_to_wait_and_others_buy(boxoffice):
    """With the settings that ship."""
    show = boxoffice.admin().make_show()
    seats, other = show.seats[:2], boxoffice.admin().make_show()
    cycler = boxoffice.session()
    first = cycler.lock(show.show_id, seats, key="first").expect(201)
    cycler.release(show.show_id, first["lock_id"]).expect(204)
    for _ in range(100):
        answer = cycler.lock(show.show_id, seats)
        if answer.status != 201:
            break
        cycler.release(show.show_id, answer.json()["lock_id"]).expect(204)
    limited(answer, 30, 600)
    limited(cycler.lock(show.show_id, 1), 30, 600)
    limited(cycler.lock(show.show_id, seats, key="new"), 30, 600)
    # what was promised before is still said
    assert cycler.lock(show.show_id, seats, key="first").expect(201)["lock_id"] == first["lock_id"]
    # the seats are free, and another's
    assert not boxoffice.api().taken(show.show_id)
    someone = boxoffice.session()
    lock = someone.lock(show.show_id, seats).expect(201)["lock_id"]
    assert someone.book(show.show_id, lock).expect(201)["status"] == "confirmed"
    # one show's limit is not another's
    cycler.lock(other.show_id, seats).expect(201)


def test_the_limit_is_one_for_all_workers(make_stand):
    stand = make_stand("--holds-per-session", "10", workers=3, work=False)
    show, cycler = stand.admin().make_show(), stand.session()
    made = 0
    for _ in range(30):
        api = stand.api(cycler.token)  # the kernel chooses the worker
        answer = api.lock(show.show_id, 1)
        if answer.status == 201:
            made += 1
            api.release(show.show_id, answer.json()["lock_id"]).expect(204)
        else:
            limited(answer, 10, 600)
        api.close()
    assert made == 10
    assert stand.metric("boxoffice_rate_limited_total", limit="holds_per_session") == 20
    assert stand.metric('boxoffice_lock_requests_total{outcome="rate_limited"}') == 20


def test_after_the_time_one_more_comes_back(make_stand):
    stand = make_stand("--holds-per-session", "2", "--hold-return-seconds", "1", workers=1, work=False)
    show, cycler = stand.admin().make_show(), stand.session()

    def cycle():
        answer = cycler.lock(show.show_id, 1)
        if answer.status == 201:
            cycler.release(show.show_id, answer.json()["lock_id"]).expect(204)
        else:
            limited(answer, 2, 1)
        return answer.status == 201

    assert cycle() and cycle() and not cycle()
    wait_until(cycle, "one more lock after a second")


def test_what_counts_as_a_lock(tight):
    """Refusals do not; taking others instead does, and the same key again does not."""
    show, cycler = tight.admin().make_show(), buyer(tight)
    buyer(tight).lock(show.show_id, ["A-1"]).expect(201)
    for _ in range(10):
        cycler.lock(show.show_id, ["A-1"]).expect(409, "seats_unavailable")
    lock = cycler.lock(show.show_id, ["A-2"], key="k").expect(201)["lock_id"]
    for _ in range(6):
        assert cycler.lock(show.show_id, ["A-2"], key="k").expect(201)["lock_id"] == lock
    for seat in ("A-3", "A-4", "A-5"):
        lock = cycler.lock(show.show_id, [seat], replaces=lock).expect(201)["lock_id"]
    limited(cycler.lock(show.show_id, ["A-6"], replaces=lock), 4, 600)
    assert cycler.lock_state(show.show_id, lock).expect(200)["state"] == "active"


def test_new_sessions_do_not_help(tight):
    """The network's limit counts what its sessions do together; other networks go on."""
    show, here, there = tight.admin().make_show(), network(), network()
    for _ in range(2):
        one = buyer(tight, here)
        for _ in range(3):
            one.release(show.show_id, one.lock(show.show_id, 1).expect(201)["lock_id"]).expect(204)
    limited(buyer(tight, here).lock(show.show_id, 1), 6, 3600)
    assert not tight.api().taken(show.show_id)
    buyer(tight, there).lock(show.show_id, 1).expect(201)
    buyer(tight).lock(show.show_id, 1).expect(201)


# ---- sessions, requests, networks ------------------------------------------------------------------------------------------


def test_sessions_of_a_network(tight):
    here = client(tight, network())
    for _ in range(5):
        here.post("/v1/sessions", {}).expect(201)
    limited(here.post("/v1/sessions", {}), 5, 12)
    here.get("/healthz").expect(200)
    buyer(tight, network())
    for _ in range(10):
        buyer(tight)
    assert tight.metric("boxoffice_rate_limited_total", limit="sessions_per_network") > 0


def test_requests_of_a_network(tight):
    here = client(tight, network())
    for _ in range(200):
        answer = here.get("/healthz")
        if answer.status != 200:
            break
    limited(answer, 80, 1)
    limited(here.get("/nothing"), 80, 1)
    client(tight, network()).get("/healthz").expect(200)


def test_requests_of_a_session(tight):
    one, other = buyer(tight), buyer(tight)
    for _ in range(100):
        answer = one.get("/v1/me/locks")
        if answer.status != 200:
            break
    limited(answer, 40, 2)
    other.get("/v1/me/locks").expect(200)


def sessions_until_limited(api, headers):
    """How many sessions may be made: 5 for a network nobody came from before."""
    for n in range(20):
        if api.post("/v1/sessions", {}, headers=headers()).status == 429:
            return n
    return None


def test_the_address_behind_our_proxy_counts(tight):
    proxy = client(tight, "127.0.0.9")
    assert sessions_until_limited(proxy, lambda: {"X-Forwarded-For": "198.51.100.7"}) == 5
    # what the client wrote before it changes nothing, and neither does a second proxy of ours
    assert sessions_until_limited(proxy, lambda: {"X-Forwarded-For": f"{network()}, 198.51.100.7"}) == 0
    assert sessions_until_limited(proxy, lambda: {"X-Forwarded-For": "198.51.100.7, 127.0.0.9"}) == 0
    assert sessions_until_limited(proxy, lambda: {"X-Forwarded-For": "198.51.100.8"}) == 5
    # one IPv6 network is 64 bits
    assert sessions_until_limited(proxy, lambda: {"X-Forwarded-For": f"2001:db8:0:1::{next(_host):x}"}) == 5
    assert sessions_until_limited(proxy, lambda: {"X-Forwarded-For": "2001:db8:0:2::1"}) == 5


def test_nobody_else_may_say_who_he_is(tight):
    liar = client(tight, network())
    assert sessions_until_limited(liar, lambda: {"X-Forwarded-For": network()}) == 5


def connection(stand, source):
    return socket.create_connection(("127.0.0.1", stand.port), timeout=20, source_address=(source, 0))


GET = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"


def first_line(s):
    s.sendall(GET)
    return s.recv(4096)


def test_connections_of_a_network(tight):
    here, there = network(), network()
    kept = [connection(tight, here) for _ in range(5)]
    assert all(first_line(s).startswith(b"HTTP/1.1 200") for s in kept)
    with connection(tight, here) as s:
        answer = first_line(s)
        assert answer.startswith(b"HTTP/1.1 429") and b"\r\nRetry-After: 1\r\n" in answer and b"\r\nConnection: close\r\n" in answer
        assert b'"rate_limited"' in answer or b'"rate_limited"' in s.recv(4096)
    with connection(tight, there) as s:
        assert first_line(s).startswith(b"HTTP/1.1 200")
    kept += [connection(tight, "127.0.0.1") for _ in range(10)]
    assert all(first_line(s).startswith(b"HTTP/1.1 200") for s in kept)
    kept.pop(0).close()

    def room():
        with connection(tight, here) as s:
            return first_line(s).startswith(b"HTTP/1.1 200")

    wait_until(room, "room after one has left")
    for s in kept:
        s.close()


def test_sizes(tight):
    admin, show = tight.admin(), tight.admin().make_show(seats=10)
    admin.get("/healthz", headers={"X": "x" * 3000}).expect(200)
    admin.get("/healthz", headers={"X": "x" * 5000}).expect(431, "headers_too_large")
    admin.get("/healthz", headers={f"X-{i}": "x" for i in range(30)}).expect(431, "headers_too_large")
    admin.post("/v1/venues", {"name": "x" * 3000, "city": "Vienna", "timezone": "Europe/Vienna"}).expect(413, "too_large")
    # routes that have a bound of their own keep it up to the general one
    admin.post(f"/v1/shows/{show.show_id}/blocks", {"seats": ["x" * 60] * 200}).expect(422)
    admin.post(f"/v1/shows/{show.show_id}/blocks", {"seats": ["x" * 60] * 2000}).expect(413, "too_large")


@pytest.mark.parametrize("setting, value, said", [
    ("trusted-proxies", "10.0.0.0/33", '"10.0.0.0/33"'), ("unlimited-networks", "localhost", '"localhost"'),
    ("unlimited-networks", "1.1.1.1 " * 65, "64"), ("verifier-failing", "ajar", '"ajar"'), ("verifier-asks", "locks, all", '"all"'),
    ("verifier-shows", "all of them", '"all"')])
def test_a_setting_that_cannot_be_used_is_told(plant, setting, value, said):
    done = subprocess.run([plant.program, "serve", "--port", "0", "--workers", "1", "--database-url",
                           plant.postgres.url_as("boxoffice_app"), "--redis-url", plant.redis.unix_url, "--secret-file",
                           str(plant.secret), "--verifier-url", "http://127.0.0.1:1", f"--{setting}", value],
                          capture_output=True, text=True, timeout=20)
    assert done.returncode == 2
    assert setting in done.stderr and said in done.stderr, done.stderr


# ---- the verifier -----------------------------------------------------------------------------------------------------------


class Verifier:
    """Says what it is told to; knows what it was asked."""

    def __init__(self):
        verifier = self
        self.asked, self.says, self.headers, self.gate = [], 200, {}, threading.Event()
        self.gate.set()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                verifier.asked.append(question)
                verifier.gate.wait(20)
                says = verifier.says(question) if callable(verifier.says) else verifier.says
                self.send_response(says)
                for name, value in verifier.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/ask"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def end(self):
        self.gate.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def verifier():
    v = Verifier()
    yield v
    v.end()


def test_a_proof_is_asked_for(make_stand, verifier):
    stand = make_stand("--verifier-url", verifier.url, "--verifier-shows", "all", work=False, workers=2)
    verifier.says = lambda q: 200 if q["proof"] == "I am a person" else 403
    show, proof = stand.admin().make_show(), {"Boxoffice-Proof": "I am a person"}
    anybody = stand.api()
    anybody.post("/v1/sessions", {}).expect(403, "verification_required")
    anybody.post("/v1/sessions", {}, headers={"Boxoffice-Proof": "\u00e9"}).expect(403, "verification_required")
    assert verifier.asked[0] == {"action": "session", "address": "127.0.0.1", "proof": ""}
    anybody.token = anybody.post("/v1/sessions", {}, headers=proof).expect(201)["token"]
    path = f"/v1/shows/{show.show_id}/locks"
    anybody.post(path, {"seats": ["A-1"]}).expect(403, "verification_required")
    assert not stand.api().taken(show.show_id)
    anybody.post(path, {"seats": ["A-1"]}, headers=proof).expect(201)
    asked = verifier.asked[-1]
    assert (asked["action"], asked["show_id"]) == ("lock", show.show_id) and uuid.UUID(asked["session_id"])
    # once is enough for this session and this show, whichever worker it comes to
    n = len(verifier.asked)
    for _ in range(4):
        again = stand.api(anybody.token)
        again.lock(show.show_id, ["A-1"]).expect(409, "seats_unavailable")
        again.close()
    assert len(verifier.asked) == n
    anybody.lock(stand.admin().make_show().show_id, 1).expect(403, "verification_required")
    # nothing else is asked about
    anybody.get("/v1/me/locks").expect(200)
    assert len(verifier.asked) == n + 1


def test_only_the_shows_that_were_named(make_stand, verifier, shared_stand):
    hot, quiet = (shared_stand.admin().make_show() for _ in range(2))
    stand = make_stand("--verifier-url", verifier.url, "--verifier-asks", "locks", "--verifier-shows", hot.show_id, work=False, workers=1)
    verifier.says = 403
    someone = stand.session()
    someone.lock(quiet.show_id, 1).expect(201)
    assert not verifier.asked
    someone.lock(hot.show_id, 1).expect(403, "verification_required")


def test_a_show_says_itself_that_it_wants_a_proof(make_stand, verifier, shared_stand):
    """Whoever makes the show decides; the settings only name the verifier."""
    admin = shared_stand.admin()
    hot, quiet = admin.make_show(verification="required"), admin.make_show()
    assert admin.get(f"/v1/shows/{hot.show_id}").expect(200)["verification"] == "required"
    assert admin.get(f"/v1/shows/{quiet.show_id}").expect(200)["verification"] == "none"
    stand = make_stand("--verifier-url", verifier.url, "--verifier-asks", "sessions", work=False, workers=1)
    verifier.says = lambda q: 200 if q["action"] == "session" or q["proof"] == "me" else 403
    someone = stand.session()
    someone.lock(quiet.show_id, 1).expect(201)
    someone.lock(hot.show_id, 1).expect(403, "verification_required")
    assert verifier.asked[-1]["show_id"] == hot.show_id
    n, draft = len(verifier.asked), admin.make_show(verification="required", status="draft")
    someone.lock(draft.show_id, 1).expect(404)  # not 403: that would say that it is there
    assert len(verifier.asked) == n
    someone.post(f"/v1/shows/{hot.show_id}/locks", {"best": {"quantity": 1}}, headers={"Boxoffice-Proof": "me"}).expect(201)
    # it may change its mind, for those who come from then on
    path = f"/v1/shows/{quiet.show_id}"
    assert stand.admin().patch(path, {"verification": "required"}).expect(200)["verification"] == "required"
    someone.lock(quiet.show_id, 1).expect(403, "verification_required")
    assert stand.admin().patch(path, {"sale_ends_at": from_now(9 * 86400)}).expect(200)["verification"] == "required"
    stand.admin().patch(path, {"verification": "none"}).expect(200)
    someone.lock(quiet.show_id, 1).expect(201)
    assert stand.admin().patch(path, {"verification": "maybe"}).expect(422, "invalid_value")["path"] == "/verification"


def test_without_a_verifier_such_a_show_is_not_sold(shared_stand):
    """Rather than to programs."""
    show = shared_stand.admin().make_show(verification="required")
    refused = shared_stand.session().lock(show.show_id, 1)
    refused.expect(503, "unavailable")
    assert "no verifier is configured" in refused.json()["detail"] and int(refused.headers["Retry-After"]) > 0


def test_it_may_say_wait(make_stand, verifier):
    stand = make_stand("--verifier-url", verifier.url, "--verifier-asks", "sessions", work=False, workers=1)
    verifier.says, verifier.headers = 429, {"Retry-After": "77"}
    answer = stand.api().post("/v1/sessions", {})
    answer.expect(429, "rate_limited")
    assert answer.headers["Retry-After"] == "77"


@pytest.mark.parametrize("failing", ["closed", "open"])
def test_when_it_does_not_answer(make_stand, verifier, failing):
    stand = make_stand("--verifier-url", verifier.url, "--verifier-shows", "all", "--verifier-failing", failing, "--verifier-timeout-ms", "300", work=False,
                       workers=1)
    show, someone = stand.admin().make_show(), stand.session()

    def asked():
        answer = someone.lock(show.show_id, ["A-1"], key="k")
        if failing == "open":
            return answer.expect(201)
        assert answer.headers["Retry-After"] == "5"
        return answer.expect(503, "unavailable")

    verifier.says = 500
    asked()
    verifier.says = 302
    asked()
    verifier.gate.clear()  # it hangs; others are served meanwhile
    asked()
    stand.api().get("/readyz").expect(200)
    verifier.end()
    asked()
    assert len(stand.api().taken(show.show_id)) == (failing == "open")


def test_a_client_that_leaves_while_it_is_asked(make_stand, verifier):
    stand = make_stand("--verifier-url", verifier.url, work=False, workers=1)
    verifier.gate.clear()
    with connection(stand, "127.0.0.1") as s:
        s.sendall(b"POST /v1/sessions HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        wait_until(lambda: verifier.asked, "the question")
    verifier.gate.set()
    stand.session()
