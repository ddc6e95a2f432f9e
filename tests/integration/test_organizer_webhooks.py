"""Webhooks of organisers over HTTP: who may, what an address may be, secrets, what is sent and how it is signed."""

import datetime
import os
import subprocess
import tempfile
import time
import uuid

import psycopg
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from api import from_now
from organiser import NOWHERE, make_staff
from receiver import Receiver
from service import ROOT, Boxoffice, wait_until

HOOKS = "/v1/staff/webhooks"
SETTINGS = {"BOXOFFICE_WEBHOOKS_ALLOW_HTTP": "1", "BOXOFFICE_WEBHOOKS_ALLOW_NETWORKS": "127.0.0.1/32", "BOXOFFICE_WEBHOOK_MS": "50",
            "BOXOFFICE_WEBHOOK_RETRY_SECONDS": "0 0 1 1", "BOXOFFICE_WEBHOOK_TIMEOUT_MS": "1500",
            "BOXOFFICE_WEBHOOKS_PER_ORGANIZER": "5"}


@pytest.fixture(scope="module")
def office(build_dir, base_dir):
    office = Boxoffice(build_dir, tempfile.mkdtemp(dir=base_dir), env=SETTINGS).start()
    yield office
    office.close()


@pytest.fixture
def staff(office):
    """An admin of an organiser of the test's own."""
    return make_staff(office)


@pytest.fixture
def receivers():
    made = []

    def make(answer=None, **kwargs):
        made.append(Receiver(answer, **kwargs))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def receiver(receivers):
    return receivers()


@pytest.fixture
def database(office):
    with psycopg.connect(office.database_url, autocommit=True) as db:
        yield db


def make(staff, url="https://hooks.example.org/x", types=("*",), key=None, **fields):
    return staff.post(HOOKS, {"url": url, "event_types": list(types), **fields}, key=key)


def delivery_of(staff, hook, delivery):
    return staff.get(f"{HOOKS}/{hook}/deliveries/{delivery}").expect(200)


def ended(staff, hook, delivery, timeout_s=10):
    return wait_until(lambda: (d := delivery_of(staff, hook, delivery))["ended_at"] and d, "the end of a delivery", timeout_s)


# ---- over HTTP ---------------------------------------------------------------------------------------------------------


def test_its_life(staff, database):
    made = make(staff, types=["booking.*", "ticket.issued"], description="Our CRM").expect(201)
    hook = made["webhook_id"]
    assert made["state"] == "enabled" and made["queued"] == made["dropped"] == 0 and made["replay"] is None
    assert made["last_success_at"] is made["failing_since"] is made["old_secret_ends_at"] is None
    secret = made.pop("secret")
    assert staff.get(f"{HOOKS}/{hook}").expect(200) == made
    assert staff.get(HOOKS).expect(200) == {"items": [made], "next": None}
    row = database.execute("SELECT row_to_json(w)::text FROM webhook_endpoints w WHERE webhook_id = %s", [hook]).fetchone()[0]
    assert secret not in row and secret[6:] not in row
    changed = staff.patch(f"{HOOKS}/{hook}", {"url": "https://other.example.org:8443/", "description": "", "state": "disabled"}).expect(200)
    assert (changed["url"], changed["description"], changed["state"]) == ("https://other.example.org:8443/", "", "disabled")
    assert changed["event_types"] == ["booking.*", "ticket.issued"]
    assert staff.patch(f"{HOOKS}/{hook}", {}).expect(200)["state"] == "disabled"
    assert staff.patch(f"{HOOKS}/{hook}", {"state": "enabled", "event_types": ["*"]}).expect(200)["event_types"] == ["*"]
    staff.delete(f"{HOOKS}/{hook}").expect(204)
    for answer in (staff.get(f"{HOOKS}/{hook}"), staff.delete(f"{HOOKS}/{hook}"), staff.patch(f"{HOOKS}/{hook}", {}),
                   staff.post(f"{HOOKS}/{hook}/rotate"), staff.post(f"{HOOKS}/{hook}/test"), staff.get(f"{HOOKS}/{hook}/deliveries"),
                   staff.post(f"{HOOKS}/{hook}/replay", {"from": from_now(-60)})):
        answer.expect(404)
    assert staff.get(HOOKS).expect(200)["items"] == []
    rows = staff.get(f"/v1/audit?object={hook}").expect(200)["items"]
    assert [(row["action"], row["status"]) for row in rows] == [
        (f"DELETE {HOOKS}/{{webhook}}", 204), *[(f"PATCH {HOOKS}/{{webhook}}", 200)] * 3, (f"POST {HOOKS}", 201)]


@pytest.mark.parametrize("body, status, path", [
    ({"event_types": ["*"]}, 400, "/url"),
    ({"url": "https://a.example/"}, 400, "/event_types"),
    ({"url": "https://a.example/", "event_types": []}, 422, "/event_types"),
    ({"url": "https://a.example/", "event_types": ["booking.confirmd"]}, 422, "/event_types"),
    ({"url": "https://a.example/", "event_types": [1]}, 422, "/event_types"),
    ({"url": "https://a.example/", "event_types": ["*"] * 51}, 422, "/event_types"),
    ({"url": "https://a.example/" + "x" * 2000, "event_types": ["*"]}, 422, "/url"),
    ({"url": "ftp://a.example/", "event_types": ["*"]}, 422, "/url"),
    ({"url": "https://u:p@a.example/", "event_types": ["*"]}, 422, "/url"),
    ({"url": "https://a.example/#f", "event_types": ["*"]}, 422, "/url"),
    ({"url": "https://10.0.0.1/", "event_types": ["*"]}, 422, "/url"),
    ({"url": "https://127.0.0.2/", "event_types": ["*"]}, 422, "/url"),
    ({"url": "https://0x7f000001/", "event_types": ["*"]}, 422, "/url"),
    ({"url": "https://a.example:22/", "event_types": ["*"]}, 422, "/url"),
    ({"url": "https://a.example/", "event_types": ["*"], "secret": "x"}, 400, "/secret"),
    ({"url": "https://a.example/", "event_types": ["*"], "description": "x" * 201}, 422, "/description"),
])
def test_what_is_wrong_is_named(staff, body, status, path):
    assert staff.post(HOOKS, body).expect(status)["path"] == path
    assert staff.get(HOOKS).expect(200)["items"] == []


def test_changes_are_judged_like_new_ones(staff):
    hook = make(staff).expect(201)["webhook_id"]
    for body, path in (({"url": "http://10.0.0.1/"}, "/url"), ({"state": "suspended"}, "/state"), ({"event_types": ["x"]}, "/event_types")):
        assert staff.patch(f"{HOOKS}/{hook}", body).expect(422)["path"] == path
    assert staff.post(f"{HOOKS}/{hook}/rotate", {"overlap_seconds": 604801}).expect(422)["path"] == "/overlap_seconds"
    for body, path in (({"from": from_now(60)}, "/from"), ({"from": from_now(-5), "to": from_now(-9)}, "/from")):
        assert staff.post(f"{HOOKS}/{hook}/replay", body).expect(422)["path"] == path
    assert staff.post(f"{HOOKS}/{hook}/replay", {}).expect(400)["path"] == "/from"
    assert staff.get(f"{HOOKS}/{hook}/deliveries?state=sent").expect(400)["path"] == "/state"
    staff.get(f"{HOOKS}/{hook}/deliveries/{NOWHERE}").expect(404)
    staff.post(f"{HOOKS}/{hook}/deliveries/{NOWHERE}/redeliver").expect(404)


def test_an_organiser_has_so_many(staff):
    made = [make(staff).expect(201)["webhook_id"] for _ in range(5)]
    assert "5" in make(staff).expect(409, "webhook_limit")["detail"]
    staff.delete(f"{HOOKS}/{made[0]}").expect(204)
    make(staff).expect(201)


def test_nobody_elses(office, staff, receiver):
    made = make(staff, receiver.url).expect(201)
    hook = made["webhook_id"]
    delivery = staff.post(f"{HOOKS}/{hook}/test").expect(202)["delivery_id"]
    ended(staff, hook, delivery)
    other, lesser = make_staff(office), make_staff(office, staff.organizer_id, scopes=["events", "bookings", "payments"])

    def all_of(client):
        return (client.get(f"{HOOKS}/{hook}"), client.patch(f"{HOOKS}/{hook}", {"url": "https://e.example/"}), client.delete(f"{HOOKS}/{hook}"),
                client.post(f"{HOOKS}/{hook}/rotate"), client.post(f"{HOOKS}/{hook}/test"), client.get(f"{HOOKS}/{hook}/deliveries"),
                client.get(f"{HOOKS}/{hook}/deliveries/{delivery}"), client.post(f"{HOOKS}/{hook}/deliveries/{delivery}/redeliver"),
                client.post(f"{HOOKS}/{hook}/replay", {"from": from_now(-60)}))

    for answer in all_of(other):
        answer.expect(404, "not_found")
    assert other.get(HOOKS).expect(200)["items"] == []
    for answer in (*all_of(lesser), lesser.get(HOOKS), make(lesser)):
        answer.expect(403, "forbidden")
    for answer in (*all_of(office.api()), office.api().get(HOOKS)):
        answer.expect(401)
    made.pop("secret")
    now = staff.get(f"{HOOKS}/{hook}").expect(200)
    assert {k: now[k] for k in ("url", "state", "old_secret_ends_at")} == {k: made[k] for k in ("url", "state", "old_secret_ends_at")}
    assert len(receiver.received) == 1


# ---- secrets -----------------------------------------------------------------------------------------------------------


def test_the_same_key_gets_the_same_secret(office, staff):
    key, body = uuid.uuid4().hex, {"url": "https://a.example/", "event_types": ["*"]}
    first = staff.post(HOOKS, body, key=key).expect(201)
    assert staff.post(HOOKS, body, key=key).expect(201) == first
    staff.post(HOOKS, {**body, "event_types": ["seat.*"]}, key=key).expect(422, "idempotency_mismatch")
    # somebody else's key is somebody else's secret
    make_staff(office, staff.organizer_id).post(HOOKS, body, key=key).expect(422, "idempotency_mismatch")
    assert len(staff.get(HOOKS).expect(200)["items"]) == 1
    assert make(staff).expect(201)["secret"] != make(staff).expect(201)["secret"]
    staff.post(f"{HOOKS}/{first['webhook_id']}/rotate").expect(201)
    staff.post(HOOKS, body, key=key).expect(422, "idempotency_mismatch")  # it is not shown as good any more


def test_the_same_rotation_is_done_once(office, staff):
    first = make(staff).expect(201)
    path, key = f"{HOOKS}/{first['webhook_id']}/rotate", uuid.uuid4().hex
    second = staff.post(path, {"overlap_seconds": 60}, key=key).expect(201)
    assert second["secret"] != first["secret"] and second["old_secret_ends_at"] > second["created_at"]
    assert staff.post(path, {"overlap_seconds": 60}, key=key).expect(201) == second
    staff.post(path, {"overlap_seconds": 61}, key=key).expect(422, "idempotency_mismatch")
    third = make_staff(office, staff.organizer_id).post(path, {"overlap_seconds": 60}, key=key).expect(201)
    assert third["secret"] not in (first["secret"], second["secret"])
    staff.post(path, {"overlap_seconds": 60}, key=key).expect(201)  # the other one's came between: this is a new one


def verified(secret, received):
    return Webhook(secret).verify(received.body, received.headers)


def test_signed_by_the_book(office, staff, receiver):
    """Judged by the library of https://www.standardwebhooks.com, and by the sample of docs/webhooks.md."""
    made = make(staff, receiver.url).expect(201)
    sent = staff.post(f"{HOOKS}/{made['webhook_id']}/test").expect(202)
    received, = receiver.wait(1)
    event = verified(made["secret"], received)
    assert received.id == event["id"] == sent["event_id"]
    assert received.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    assert (event["specversion"], event["type"], event["datacontenttype"]) == ("1.0", "webhook.test", "application/json")
    assert event["data"] == {"type": "webhook.test", "webhook_id": made["webhook_id"]} and event["source"] and event["subject"]
    age = datetime.datetime.now(datetime.timezone.utc) - datetime.datetime.fromisoformat(event["time"])
    assert abs(age.total_seconds()) < 60 and abs(int(received.headers["webhook-timestamp"]) - time.time()) < 60
    for headers in ({**received.headers, "webhook-id": "x"}, {**received.headers, "webhook-timestamp": str(int(time.time()) + 1)}):
        with pytest.raises(WebhookVerificationError):
            Webhook(made["secret"]).verify(received.body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(made["secret"]).verify(received.body + b" ", received.headers)
    done = ended(staff, made["webhook_id"], sent["delivery_id"])
    assert (done["state"], done["attempts"], done["status"], done["event"]) == ("delivered", 1, 204, event)
    assert done["next_attempt_at"] is None and "error" not in done
    hook = staff.get(f"{HOOKS}/{made['webhook_id']}").expect(200)
    assert hook["last_success_at"] and hook["last_status"] == 204 and hook["queued"] == 0


def test_two_secrets_sign_while_both_are_good(staff, receiver):
    first = make(staff, receiver.url).expect(201)
    path = f"{HOOKS}/{first['webhook_id']}"
    second = staff.post(f"{path}/rotate", {"overlap_seconds": 3600}).expect(201)
    staff.post(f"{path}/test").expect(202)
    both, = receiver.wait(1)
    assert verified(first["secret"], both) == verified(second["secret"], both)
    assert len(both.headers["webhook-signature"].split(" ")) == 2
    third = staff.post(f"{path}/rotate", {"overlap_seconds": 0}).expect(201)
    assert third["old_secret_ends_at"] is None
    staff.post(f"{path}/test").expect(202)
    one = receiver.wait(2)[1]
    verified(third["secret"], one)
    for old in (first, second):
        with pytest.raises(WebhookVerificationError):
            verified(old["secret"], one)


def test_the_old_secret_ends_by_itself(staff, receiver):
    first = make(staff, receiver.url).expect(201)
    path = f"{HOOKS}/{first['webhook_id']}"
    second = staff.post(f"{path}/rotate", {"overlap_seconds": 1}).expect(201)
    wait_until(lambda: staff.get(path).expect(200)["old_secret_ends_at"] is None, "the end of the old secret")
    staff.post(f"{path}/test").expect(202)
    one, = receiver.wait(1)
    verified(second["secret"], one)
    with pytest.raises(WebhookVerificationError):
        verified(first["secret"], one)


# ---- tests and repetitions of what was sent ------------------------------------------------------------------------------


def test_a_test_by_the_same_key_is_one(staff, receiver):
    hook = make(staff, receiver.url, types=["seat.locked"]).expect(201)["webhook_id"]
    first = staff.post(f"{HOOKS}/{hook}/test", key="k").expect(202)
    again = staff.post(f"{HOOKS}/{hook}/test", key="k").expect(202)
    assert again["delivery_id"] == first["delivery_id"]
    ended(staff, hook, first["delivery_id"])
    assert len(receiver.received) == 1
    staff.patch(f"{HOOKS}/{hook}", {"state": "disabled"}).expect(200)
    staff.post(f"{HOOKS}/{hook}/test").expect(409, "webhook_not_enabled")


def test_sent_again_when_asked(staff, receiver):
    hook = make(staff, receiver.url).expect(201)["webhook_id"]
    sent = staff.post(f"{HOOKS}/{hook}/test").expect(202)
    ended(staff, hook, sent["delivery_id"])
    again = staff.post(f"{HOOKS}/{hook}/deliveries/{sent['delivery_id']}/redeliver").expect(202)
    assert again["event_id"] == sent["event_id"]
    first, second = receiver.wait(2)
    assert first.id == second.id == sent["event_id"] and first.body == second.body
    ended(staff, hook, sent["delivery_id"])


def test_deliveries_are_listed_in_pages_newest_first(staff, receiver):
    hook = make(staff, receiver.url).expect(201)["webhook_id"]
    assert staff.get(f"{HOOKS}/{hook}/deliveries").expect(200) == {"items": [], "next": None}
    sent = [staff.post(f"{HOOKS}/{hook}/test").expect(202)["delivery_id"] for _ in range(53)]
    receiver.wait(53)
    for delivery in sent:
        ended(staff, hook, delivery)
    page = staff.get(f"{HOOKS}/{hook}/deliveries?state=delivered").expect(200)
    rest = staff.get(f"{HOOKS}/{hook}/deliveries?state=delivered&cursor={page['next']}").expect(200)
    assert len(page["items"]) == 50 and rest["next"] is None
    assert [item["delivery_id"] for item in page["items"] + rest["items"]] == sent[::-1]
    assert staff.get(f"{HOOKS}/{hook}/deliveries?state=failed").expect(200) == {"items": [], "next": None}


# ---- what else there is -------------------------------------------------------------------------------------------------


def test_the_types_are_those_that_are_described(build_dir):
    listed = subprocess.run([build_dir / "src/hooks/test_hooks", "--types"], capture_output=True, text=True, check=True).stdout.split()
    described = {path.name.rsplit(".v", 1)[0] for path in (ROOT / "api/events").glob("*.json")}
    assert described, "no schemas in api/events"
    assert set(listed) == described


@pytest.mark.parametrize("setting, word", [
    ({"BOXOFFICE_WEBHOOK_RETRY_SECONDS": "1,2"}, "--webhook-retry-seconds"),
    ({"BOXOFFICE_WEBHOOK_RETRY_SECONDS": " "}, "--webhook-retry-seconds"),
    ({"BOXOFFICE_WEBHOOKS_ALLOW_NETWORKS": "10.0.0.0/8 lan"}, "\"lan\""),
], ids=["commas", "empty", "network"])
def test_a_setting_that_cannot_be_used_is_named(office, build_dir, setting, word):
    done = subprocess.run([build_dir / "boxoffice", "work", "--database-url", office.database_url, "--redis-url", office.redis_url,
                           "--secret-file", str(office.dir / "secret/master.key")], env={**os.environ, **setting}, capture_output=True, text=True,
                          timeout=30, check=False)
    assert done.returncode == 2 and word in done.stderr, done.stderr
