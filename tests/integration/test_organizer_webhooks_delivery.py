"""Webhooks of organisers on their way: what fails is repeated, and at last given up or suspended; where nothing may be sent to; who dies
in between. Receivers are real HTTP servers."""

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import time
import urllib.request

import psycopg
import pytest
from standardwebhooks import Webhook

from organiser import make_staff
from receiver import Receiver
from service import Boxoffice, free_port, wait_until
from stand import Stand, own_plant  # noqa: F401 (a fixture)
from test_organizer_webhooks import HOOKS, SETTINGS, delivery_of, ended, make

NSS_WRAPPER = "libnss_wrapper.so"


def start(build_dir, base_dir, **settings):
    env = {**SETTINGS, **{"BOXOFFICE_" + name: str(value) for name, value in settings.items()}}
    return Boxoffice(build_dir, tempfile.mkdtemp(dir=base_dir), "--workers", "1", env=env).start()


@pytest.fixture(scope="module")
def office(build_dir, base_dir):
    """Attempts at once, then after a second each: five in all. What fails for a day is suspended."""
    office = start(build_dir, base_dir, WORK_PORT=free_port(), WEBHOOK_RETRY_SECONDS="0 0 1 1", WEBHOOK_SUSPEND_SECONDS=86400)
    yield office
    office.close()


@contextlib.contextmanager
def other_settings(plant, env=(), **settings):
    """serve and work of their own, on the servers that these tests share."""
    named = {**SETTINGS, "BOXOFFICE_WORK_PORT": str(free_port()), **{"BOXOFFICE_" + name: str(value) for name, value in settings.items()}, **dict(env)}
    stand = Stand(plant, workers=1, env=named)
    stand.database_url = plant.postgres.url
    try:
        yield stand
    finally:
        stand.close()
        with plant.sql() as db:
            db.execute("DELETE FROM leases")


@pytest.fixture
def staff(office):
    return make_staff(office)


@pytest.fixture
def receivers():
    made = []

    def make_receiver(answer=None, **kwargs):
        made.append(Receiver(answer, **kwargs))
        return made[-1]

    yield make_receiver
    for one in made:
        one.close()


def ping(staff, hook):
    return staff.post(f"{HOOKS}/{hook}/test").expect(202)


def hook_of(staff, hook):
    return staff.get(f"{HOOKS}/{hook}").expect(200)


def metrics(office):
    """Of `work`."""
    with urllib.request.urlopen(f"http://127.0.0.1:{office.env['BOXOFFICE_WORK_PORT']}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line and not line.startswith("#")}


class Plan:
    """Answers in their order; the last one for ever."""

    def __init__(self, *answers):
        self.answers, self.lock = list(answers), threading.Lock()

    def __call__(self, received):
        with self.lock:
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return answer(received) if callable(answer) else answer


def hang(received):
    time.sleep(3)
    return 204


# ---- repeated ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer, status, error", [
    (500, 500, None), (404, 404, None), (429, 429, None), ((302, {"Location": "http://127.0.0.1:1/"}, b""), 302, "redirect"),
    (None, None, "reply"), (hang, None, "1500 ms"),
], ids=["500", "404", "429", "redirect", "cut", "timeout"])
def test_what_fails_is_repeated(staff, receivers, answer, status, error):
    """Once it fails, once it goes well: the same event, the same id, signed anew."""
    receiver = receivers(Plan(answer, 200))
    made = make(staff, receiver.url).expect(201)
    sent = ping(staff, made["webhook_id"])
    first, second = receiver.wait(2)
    assert first.id == second.id == sent["event_id"] and first.body == second.body
    for received in (first, second):
        Webhook(made["secret"]).verify(received.body, received.headers)
    done = ended(staff, made["webhook_id"], sent["delivery_id"])
    assert (done["state"], done["attempts"], done["status"]) == ("delivered", 2, 200)
    hook = hook_of(staff, made["webhook_id"])
    assert hook["failing_since"] is None and hook["last_failure_at"] <= hook["last_success_at"]


def test_why_it_failed_is_said(staff, receivers):
    for answer, status, error in ((503, 503, None), ((301, {"Location": "https://example.org/"}, b""), 301, "redirects"), (None, None, "reply")):
        receiver = receivers(answer=lambda received, answer=answer: answer)
        hook = make(staff, receiver.url).expect(201)["webhook_id"]
        sent = ping(staff, hook)
        wait_until(lambda: hook_of(staff, hook)["last_failure_at"], "a failure")
        delivery, seen = delivery_of(staff, hook, sent["delivery_id"]), hook_of(staff, hook)
        assert delivery.get("status") == status and seen.get("last_status") == status
        assert seen["failing_since"] and (error is None or error in delivery["error"] and error in seen["last_error"])
        staff.delete(f"{HOOKS}/{hook}").expect(204)


def test_given_up_then_asked_for_again(staff, receivers):
    receiver = receivers(Plan(500, 500, 500, 500, 500, 204))
    hook = make(staff, receiver.url).expect(201)["webhook_id"]
    sent = ping(staff, hook)
    lost = ended(staff, hook, sent["delivery_id"])
    assert (lost["state"], lost["attempts"], lost["status"]) == ("failed", 5, 500)
    assert len(receiver.received) == 5
    assert [d["delivery_id"] for d in staff.get(f"{HOOKS}/{hook}/deliveries?state=failed").expect(200)["items"]] == [sent["delivery_id"]]
    assert hook_of(staff, hook)["state"] == "enabled"
    assert staff.post(f"{HOOKS}/{hook}/deliveries/{sent['delivery_id']}/redeliver").expect(202)["state"] == "queued"
    won = ended(staff, hook, sent["delivery_id"])
    assert (won["state"], won["attempts"]) == ("delivered", 1)
    assert {received.id for received in receiver.received} == {sent["event_id"]}


def test_not_sooner_than_the_receiver_says(staff, receivers):
    receiver = receivers(Plan((503, {"Retry-After": "2"}, b""), 204))
    hook = make(staff, receiver.url).expect(201)["webhook_id"]
    ping(staff, hook)
    first, second = receiver.wait(2)
    assert second.at - first.at > 1.9


def test_a_large_answer_is_not_read(staff, receivers):
    receiver = receivers(lambda received: (200, {}, b"x" * 2_000_000))
    hook = make(staff, receiver.url).expect(201)["webhook_id"]
    assert ended(staff, hook, ping(staff, hook)["delivery_id"])["state"] == "delivered"


def test_nobody_there(staff):
    hook = make(staff, f"http://127.0.0.1:{free_port()}/").expect(201)["webhook_id"]
    lost = ended(staff, hook, ping(staff, hook)["delivery_id"])
    assert lost["state"] == "failed" and "status" not in lost and lost["error"]


def test_who_is_slow_holds_up_nobody_else(staff, receivers):
    slow, quick = receivers(hang), receivers()
    lame, lively = (make(staff, receiver.url).expect(201)["webhook_id"] for receiver in (slow, quick))
    for _ in range(20):
        ping(staff, lame)
    slow.wait(4)
    begun = time.monotonic()
    for _ in range(5):
        ended(staff, lively, ping(staff, lively)["delivery_id"])
    assert time.monotonic() - begun < 4
    # never more than so many at a time: nobody has been answered yet, or few
    assert len(slow.received) <= 4 * (1 + int((time.monotonic() - begun) / 1.5 + 1))
    staff.delete(f"{HOOKS}/{lame}").expect(204)


def test_so_many_at_a_time(staff, receivers):
    """webhook-concurrency is 4."""
    lock, now, most = threading.Lock(), [0], [0]

    def answer(received):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.1)
        with lock:
            now[0] -= 1
        return 204

    receiver = receivers(answer)
    hook = make(staff, receiver.url).expect(201)["webhook_id"]
    for _ in range(24):
        ping(staff, hook)
    receiver.wait(24)
    wait_until(lambda: hook_of(staff, hook)["queued"] == 0, "an empty queue")
    assert len(receiver.received) == 24 and 2 <= most[0] <= 4


# ---- suspended -----------------------------------------------------------------------------------------------------------


def test_failed_for_long(plant, receivers):
    with other_settings(plant, WEBHOOK_RETRY_SECONDS="0 1 1 1 1 1 1 1 1", WEBHOOK_SUSPEND_SECONDS=2) as hasty:
        fail_for_long(hasty, receivers)


def fail_for_long(hasty, receivers):
    staff = make_staff(hasty)
    state = {"status": 500}
    receiver = receivers(lambda received: state["status"])
    hook = make(staff, receiver.url).expect(201)["webhook_id"]
    before = metrics(hasty)["boxoffice_webhook_suspensions_total"]
    sent = [ping(staff, hook) for _ in range(3)]
    seen = wait_until(lambda: (h := hook_of(staff, hook))["state"] == "suspended" and h, "its suspension", 15)
    assert seen["suspended_why"] == "failing" and seen["failing_since"] and seen["last_status"] == 500
    row, = [row for row in staff.get(f"/v1/audit?object={hook}").expect(200)["items"] if row["actor"]["kind"] == "program"]
    assert (row["action"], row["detail"], row["objects"]) == ("webhook suspended", "failing", [hook])
    wait_until(lambda: metrics(hasty)["boxoffice_webhook_suspensions_total"] == before + 1, "the metric")
    wait_until(lambda: metrics(hasty)['boxoffice_webhook_endpoints{state="suspended"}'] >= 1, "the gauge", 15)
    assert f'"webhook_id":"{hook}"' in hasty.log()
    queued = hook_of(staff, hook)["queued"]
    assert queued > 0
    came = len(receiver.received)
    time.sleep(1.2)  # longer than any wait of the schedule: nothing goes out any more
    assert len(receiver.received) <= came + 1
    state["status"] = 204
    assert staff.patch(f"{HOOKS}/{hook}", {"state": "enabled"}).expect(200)["state"] == "enabled"
    for one in sent:
        done = delivery_of(staff, hook, one["delivery_id"])
        if done["state"] != "failed":
            assert ended(staff, hook, one["delivery_id"])["state"] == "delivered"
    seen = hook_of(staff, hook)
    assert "suspended_why" not in seen and seen["failing_since"] is None


def test_gone(office, staff, receivers):
    receiver = receivers(lambda received: 410)
    hook = make(staff, receiver.url).expect(201)["webhook_id"]
    sent = ping(staff, hook)
    seen = wait_until(lambda: (h := hook_of(staff, hook))["state"] == "suspended" and h, "its suspension")
    assert seen["suspended_why"] == "gone" and len(receiver.received) == 1
    assert delivery_of(staff, hook, sent["delivery_id"])["state"] == "failed"
    staff.post(f"{HOOKS}/{hook}/test").expect(409, "webhook_not_enabled")
    assert [row["detail"] for row in staff.get(f"/v1/audit?object={hook}").expect(200)["items"] if row["actor"]["kind"] == "program"] == ["gone"]


def test_disabled_collects_enabled_goes_on(staff, receivers):
    receiver = receivers(hang)
    hook = make(staff, receiver.url).expect(201)["webhook_id"]
    sent = [ping(staff, hook) for _ in range(6)]
    receiver.wait(4)
    staff.patch(f"{HOOKS}/{hook}", {"state": "disabled"}).expect(200)
    wait_until(lambda: all(delivery_of(staff, hook, s["delivery_id"])["attempts"] == 0 or "error" in delivery_of(staff, hook, s["delivery_id"])
                           for s in sent), "the end of what is under way")
    came = len(receiver.received)
    time.sleep(1)
    assert len(receiver.received) == came
    receiver.answer = lambda received: 204
    staff.patch(f"{HOOKS}/{hook}", {"state": "enabled"}).expect(200)
    assert {ended(staff, hook, s["delivery_id"])["state"] for s in sent} == {"delivered"}


# ---- who dies in between --------------------------------------------------------------------------------------------------


def test_killed_between_answer_and_row(plant, receivers):
    """The receiver has taken it, nobody has written that down: it comes again, with the same id."""
    with other_settings(plant, WEBHOOK_TIMEOUT_MS=500) as stand:
        staff, killed = make_staff(stand), threading.Event()

        def kill(received):
            os.kill(stand.work.pid, signal.SIGKILL)
            killed.set()
            return 204

        receiver = receivers(Plan(kill, 204))
        made = make(staff, receiver.url).expect(201)
        sent = ping(staff, made["webhook_id"])
        assert killed.wait(10)
        stand.stop_work(signal.SIGKILL)
        stand.start_work()
        first, second = receiver.wait(2, timeout_s=30)
        assert first.id == second.id == sent["event_id"] and first.body == second.body
        done = ended(staff, made["webhook_id"], sent["delivery_id"])
        assert (done["state"], done["attempts"]) == ("delivered", 2)
        assert len(receiver.received) == 2


# ---- where nothing may be sent to -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.2", "[::1]", "0.0.0.0", "10.0.0.1", "169.254.169.254", "[::ffff:127.0.0.1]"])
def test_no_address_that_is_not_allowed(office, staff, receivers, host):
    """Whatever stands in the table: the guard is where the connection is made. Only 127.0.0.1 is allowed here."""
    inside = receivers(address="127.0.0.2")
    hook = make(staff).expect(201)["webhook_id"]
    with psycopg.connect(office.database_url) as db:
        db.execute("UPDATE webhook_endpoints SET url = %s WHERE webhook_id = %s", [f"http://{host}:{inside.port}/", hook])
    sent = ping(staff, hook)
    wait_until(lambda: "may not be called" in hook_of(staff, hook).get("last_error", ""), "a refusal")
    assert "status" not in delivery_of(staff, hook, sent["delivery_id"])
    assert inside.connections == 0
    staff.delete(f"{HOOKS}/{hook}").expect(204)


def test_no_protocol_but_http(office, staff, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("x")
    for url in (f"file://{secret}", f"gopher://127.0.0.1:{free_port()}/_x", f"ftp://127.0.0.1:{free_port()}/", "dict://127.0.0.1:1/x"):
        hook = make(staff).expect(201)["webhook_id"]
        with psycopg.connect(office.database_url) as db:
            db.execute("UPDATE webhook_endpoints SET url = %s WHERE webhook_id = %s", [url, hook])
        ping(staff, hook)
        wait_until(lambda: "rotocol" in hook_of(staff, hook).get("last_error", ""), f"a refusal of {url}")
        staff.delete(f"{HOOKS}/{hook}").expect(204)


def test_a_name_that_comes_to_another_address(plant, base_dir, receivers):
    """DNS rebinding: the name was good when the webhook was made and when it was called first. (Names come from a file here.)"""
    library = next((path for path in ("/usr/lib/x86_64-linux-gnu/" + NSS_WRAPPER, "/usr/lib/aarch64-linux-gnu/" + NSS_WRAPPER)
                    if os.path.exists(path)), None)
    assert library, "libnss_wrapper.so is not installed: make deps-test"
    folder = tempfile.mkdtemp(dir=base_dir)
    os.chmod(folder, 0o755)
    hosts = os.path.join(folder, "hosts")

    def name_comes_to(*addresses):
        with open(hosts + ".new", "w", encoding="utf-8") as file:
            file.write("".join(f"{address} rebind.example.org\n" for address in addresses))
        os.rename(hosts + ".new", hosts)

    name_comes_to("127.0.0.1")
    outside = receivers()
    inside = receivers(address="127.0.0.2", port=outside.port)
    env = {"LD_PRELOAD": library, "NSS_WRAPPER_HOSTS": hosts, "NSS_WRAPPER_DISABLE_DEEPBIND": "1", "ASAN_OPTIONS": "verify_asan_link_order=0"}
    with other_settings(plant, env, WEBHOOK_RETRY_SECONDS="0 0 0 1 1 1 1 1 1") as stand:
        staff = make_staff(stand)
        hook = make(staff, f"http://rebind.example.org:{outside.port}/").expect(201)["webhook_id"]
        assert ended(staff, hook, ping(staff, hook)["delivery_id"])["state"] == "delivered"
        assert outside.connections == 1
        name_comes_to("127.0.0.2")
        ping(staff, hook)
        wait_until(lambda: "may not be called" in hook_of(staff, hook).get("last_error", ""), "a refusal", 75)
        # of several addresses only the good ones
        name_comes_to("127.0.0.2", "127.0.0.1", "10.0.0.1")
        wait_until(lambda: hook_of(staff, hook)["queued"] == 0, "an empty queue", 75)
        assert inside.connections == 0


# ---- https ---------------------------------------------------------------------------------------------------------------------


def test_https_by_certificates_that_are_trusted(plant, base_dir, receivers):
    folder = tempfile.mkdtemp(dir=base_dir)
    os.chmod(folder, 0o755)

    def openssl(*args):
        subprocess.run(["openssl", *args], check=True, capture_output=True, cwd=folder)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    for name in ("good", "other"):
        openssl("req", "-x509", *key, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}", "-addext",
                "subjectAltName=IP:127.0.0.1")
    with other_settings(plant, WEBHOOKS_ALLOW_HTTP=0, WEBHOOK_CA_FILE=os.path.join(folder, "good.pem")) as stand:
        staff = make_staff(stand)
        good, other = (receivers(tls=(f"{folder}/{name}.pem", f"{folder}/{name}.key")) for name in ("good", "other"))
        assert make(staff, receivers().url).expect(422)["path"] == "/url"  # http
        hook, bad = (make(staff, receiver.url).expect(201)["webhook_id"] for receiver in (good, other))
        assert ended(staff, hook, ping(staff, hook)["delivery_id"])["state"] == "delivered"
        ping(staff, bad)
        wait_until(lambda: "certificate" in hook_of(staff, bad).get("last_error", ""), "a refusal")
        assert not other.received
        # http is no way round, whatever stands in the table
        plain = receivers()
        with plant.sql() as db:
            db.execute("UPDATE webhook_endpoints SET url = %s WHERE webhook_id = %s", [plain.url, hook])
        ping(staff, hook)
        wait_until(lambda: "rotocol" in hook_of(staff, hook).get("last_error", ""), "a refusal")
        assert plain.connections == 0


# ---- what is kept ------------------------------------------------------------------------------------------------------------------


def test_purged(plant, receivers):
    with other_settings(plant, WEBHOOK_DAYS=3) as stand:
        staff, receiver = make_staff(stand), receivers()
        hook, gone = (make(staff, receiver.url).expect(201)["webhook_id"] for _ in range(2))
        old, new, lost = ping(staff, hook), ping(staff, hook), ping(staff, gone)
        for one, delivery in ((hook, old), (hook, new), (gone, lost)):
            ended(staff, one, delivery["delivery_id"])
        staff.delete(f"{HOOKS}/{gone}").expect(204)
        with plant.sql() as db:
            secrets, = db.execute("SELECT secret || old_secret FROM webhook_endpoints WHERE webhook_id = %s", [gone]).fetchone()
            assert secrets == b""
            db.execute("UPDATE webhook_deliveries SET created_at = created_at - interval '73 hours' WHERE delivery_id = %s", [old["delivery_id"]])
            stand.stop_work()
            stand.start_work()  # purges when it begins
            wait_until(lambda: not db.execute("SELECT 1 FROM webhook_endpoints WHERE webhook_id = %s", [gone]).fetchone(), "the end of a deleted webhook")
            left = {str(row[0]) for row in db.execute("SELECT delivery_id FROM webhook_deliveries WHERE webhook_id IN (%s, %s)", [hook, gone])}
            assert left == {new["delivery_id"]}
