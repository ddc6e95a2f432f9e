"""From a purchase to the organiser's receiver: which events come, in which order, once more by a replay, and what finds no room."""

import json
import os
import signal
import tempfile
import time
import uuid

import jsonschema
import psycopg
import pytest

from api import from_now
from organiser import make_staff, pages
from paying import CANCELLATION
from receiver import Receiver
from service import ROOT, Boxoffice, free_port, wait_until
from test_organizer_webhooks import HOOKS, SETTINGS, make
from test_organizer_webhooks_delivery import Plan, hook_of, metrics

NAME, MAIL = "Grace Hopper-Webhook", "grace.webhook@example.org"


@pytest.fixture(scope="module")
def office(build_dir, base_dir):
    env = {**SETTINGS, "BOXOFFICE_WEBHOOK_QUEUE": "40", "BOXOFFICE_WORK_PORT": str(free_port()), "BOXOFFICE_LEASE_SECONDS": "1",
           "BOXOFFICE_WEBHOOK_RETRY_SECONDS": "1 1 1 1"}
    office = Boxoffice(build_dir, tempfile.mkdtemp(dir=base_dir), "--workers", "1", env=env).start()
    yield office
    office.close()


@pytest.fixture
def staff(office):
    return make_staff(office)


@pytest.fixture
def database(office):
    with psycopg.connect(office.database_url, autocommit=True) as db:
        yield db


@pytest.fixture
def receivers():
    made = []

    def make_receiver(answer=None, **kwargs):
        made.append(Receiver(answer, **kwargs))
        return made[-1]

    yield make_receiver
    for one in made:
        one.close()


def events_of(database, *shows):
    """{id: event} of what services have written about these shows."""
    rows = database.execute("SELECT outbox_id, events FROM outbox_events WHERE show_id = ANY (%s)", [[show.show_id for show in shows]]).fetchall()
    return {f"{outbox}:{place}": event for outbox, events in rows for place, event in enumerate(events)}


def buy(office, show, *seats):
    buyer = office.session()
    lock = buyer.lock(show.show_id, seats).expect(201)["lock_id"]
    return buyer, buyer.book(show.show_id, lock, name=NAME, email=MAIL).expect(201)["booking_id"]


def all_came(receiver, database, *shows, wanted=lambda kind: True):
    """Waits until every event of the shows that is wanted has come; {id: event written}."""
    found = {}

    def come():
        found.clear()
        found.update({i: event for i, event in events_of(database, *shows).items() if wanted(event["type"])})
        return set(found) <= {received.id for received in receiver.received}

    wait_until(come, "every event to come", 20)
    return found


def test_a_purchase_and_its_end(office, staff, database, receivers):
    everything, bookings, others = receivers(), receivers(), receivers()
    make(staff, everything.url).expect(201)
    only = make(staff, bookings.url, types=["booking.*", "ticket.revoked"]).expect(201)["webhook_id"]
    make(make_staff(office), others.url).expect(201)
    show = staff.make_show(seats=20, cancellation=CANCELLATION)
    buyer, booking = buy(office, show, *show.seats[:2])
    buyer.cancel(show.show_id, booking, show.seats[:1]).expect(200)
    buyer.cancel(show.show_id, booking).expect(200)
    wait_until(lambda: "booking.cancelled" in everything.types(), "the cancellation")
    # refunds go on for a while
    wait_until(lambda: [t for t in everything.types() if t == "refund.succeeded"], "the refund", 20)
    written = all_came(everything, database, show)
    for received in everything.received:
        event = received.event
        assert event["data"] == written[received.id] and event["type"] == event["data"]["type"] and event["id"] == received.id
        schema = json.loads((ROOT / f"api/events/{event['type']}.v1.json").read_text())
        jsonschema.Draft202012Validator(schema).validate(event["data"])
    assert len(everything.received) == len(written), "some came twice"
    assert {"seat.locked", "seat.booked", "booking.confirmed", "payment.captured", "ticket.issued", "ticket.revoked"} <= set(everything.types())
    all_came(bookings, database, show, wanted=lambda kind: kind.startswith("booking.") or kind == "ticket.revoked")
    assert {kind.split(".")[0] for kind in bookings.types()} == {"booking", "ticket"} and "ticket.issued" not in bookings.types()
    assert not others.received
    # each thing's events in its order
    seen = {}
    for received in bookings.received:
        data = received.event["data"]
        thing = data.get("ticket_id") or data["booking_id"]
        assert data["version"] > seen.get(thing, 0), f"{received.event['type']} came late"
        seen[thing] = data["version"]
    # nothing of a person, sent or kept
    kept = database.execute("SELECT string_agg(d::text, '') FROM webhook_deliveries d").fetchone()[0]
    for text in (kept, *(received.body.decode() for received in everything.received)):
        assert NAME not in text and MAIL not in text and "Hopper" not in text
    items = pages(staff, f"{HOOKS}/{only}/deliveries", state="delivered")
    assert {item["event_id"] for item in items} == {received.id for received in bookings.received}


def test_an_event_waits_for_the_earlier_one(office, staff, database, receivers):
    """The receiver refuses the first event of a booking twice: the later ones of it come after that, those of another at once."""
    refused = {}

    def answer(received):
        data = received.event["data"]
        if data["booking_id"] == refused.get("booking") or not refused:
            refused.setdefault("booking", data["booking_id"])
            refused.setdefault("id", received.id)
        if received.id == refused["id"]:
            refused["times"] = refused.get("times", 0) + 1
            return 500 if refused["times"] <= 2 else 204
        return 204

    receiver = receivers(answer)
    make(staff, receiver.url, types=["booking.*"]).expect(201)
    show = staff.make_show(seats=20)
    _, first = buy(office, show, show.seats[0])
    _, second = buy(office, show, show.seats[1])
    all_came(receiver, database, show, wanted=lambda kind: kind.startswith("booking."))
    order = [(received.event["data"]["booking_id"], received.event["data"]["version"]) for received in receiver.received]
    mine = [version for booking, version in order if booking == first]
    assert refused["booking"] == first and mine == sorted(mine) and mine.count(mine[0]) == 3
    assert order.index((second, 1)) < len(order) - 1 - order[::-1].index((first, mine[0])), "another booking waited"


def test_read_again_nothing_comes_twice(office, staff, database, receivers):
    receiver = receivers()
    make(staff, receiver.url).expect(201)
    show = staff.make_show(seats=20)
    buy(office, show, show.seats[0])
    written = all_came(receiver, database, show)
    wait_until(lambda: len(all_came(receiver, database, show)) == len(events_of(database, show)), "the end of it")
    for pid in office.pids(" work"):
        os.kill(pid, signal.SIGKILL)
    moved = database.execute("UPDATE consumer_cursors SET position = 0 WHERE consumer = 'webhooks' RETURNING 1").fetchall()
    assert moved, "the consumer has no cursors"
    database.execute("DELETE FROM leases")
    # until it has been through all of it again
    wait_until(lambda: not database.execute("""SELECT 1 FROM consumer_cursors c JOIN outbox_log l ON l.partition = c.partition AND l.position > c.position
        WHERE c.consumer = 'webhooks' LIMIT 1""").fetchall(), "the second reading", 30)
    buy(office, show, show.seats[1])
    all_came(receiver, database, show)
    ids = [received.id for received in receiver.received]
    assert len(ids) == len(set(ids)) and set(written) < set(ids)


def replayed(staff, hook, **body):
    replay = staff.post(f"{HOOKS}/{hook}/replay", body).expect(202)
    assert replay["state"] in ("running", "done")
    return wait_until(lambda: (r := hook_of(staff, hook)["replay"])["state"] == "done" and r["replay_id"] == replay["replay_id"] and r,
                      "the end of the replay", 30)


def test_the_worker_is_stopped_in_the_middle(office, staff, database, receivers):
    """While the consumer waits for its statement: it ends in order (no memory is lost), and the next one goes on."""
    receiver = receivers()
    make(staff, receiver.url).expect(201)
    show = staff.make_show(seats=4)
    [worker] = office.pids("boxoffice work")
    with psycopg.connect(office.database_url) as holder:
        holder.execute("LOCK TABLE webhook_deliveries IN SHARE MODE")
        buy(office, show, show.seats[0])
        wait_until(lambda: database.execute("SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted"
                                            " AND l.relation = 'webhook_deliveries'::regclass AND a.query LIKE '%WITH ev AS%'"
                                            ).fetchone() == (1,), "its statement waiting")
        os.kill(worker, signal.SIGTERM)
        wait_until(lambda: worker not in office.pids("boxoffice work"), "the worker's end")
    office.assert_clean()
    all_came(receiver, database, show)


def test_a_time_once_more(office, staff, database, receivers):
    show = staff.make_show(seats=20)
    buy(office, show, show.seats[0])
    wait_until(lambda: not database.execute("SELECT 1 FROM outbox WHERE show_id = %s", [show.show_id]).fetchall(), "the log")
    middle = from_now(0)
    late = receivers()
    hook = make(staff, late.url, types=["booking.*", "ticket.*"]).expect(201)["webhook_id"]
    before = {i for i, e in events_of(database, show).items() if e["type"].startswith(("booking.", "ticket."))}
    time.sleep(1.1)  # from_now is in whole seconds
    buy(office, show, show.seats[1])
    wait_until(lambda: len(late.received) == 3, "booking and ticket")
    assert not before & {received.id for received in late.received}, "what happened before it was made is not sent"
    # from before it was made, and all that was delivered already
    done = replayed(staff, hook, **{"from": from_now(-3600)})
    wait_until(lambda: len(late.received) >= 3 + done["events"], "the replay")
    assert done["events"] == len(before) + 3 and before < {received.id for received in late.received}
    counted = {}
    for received in late.received:
        counted[received.id] = counted.get(received.id, 0) + 1
    assert all(n == (1 if i in before else 2) for i, n in counted.items())
    assert replayed(staff, hook, **{"from": from_now(-3600), "to": from_now(-1800)})["events"] == 0
    assert replayed(staff, hook, **{"from": from_now(-3600), "to": middle})["events"] <= len(before)


def test_what_finds_no_room_is_counted_and_replayed(office, staff, database, receivers):
    receiver = receivers()
    hook = make(staff, receiver.url, types=["seat.*"]).expect(201)["webhook_id"]
    staff.patch(f"{HOOKS}/{hook}", {"state": "disabled"}).expect(200)
    lost = metrics(office)["boxoffice_webhook_dropped_total"]
    show, buyer = staff.make_show(seats=60), office.session()
    for _ in range(25):
        buyer.release(show.show_id, buyer.lock(show.show_id, show.seats[:1]).expect(201)["lock_id"]).expect(204)
    written = {i for i, e in events_of(database, show).items() if e["type"].startswith("seat.")}
    assert len(written) >= 50
    seen = wait_until(lambda: (h := hook_of(staff, hook))["queued"] + h["dropped"] >= len(written) and h, "every event to be judged", 20)
    assert (seen["queued"], seen["dropped"]) == (40, len(written) - 40) and seen["dropped_at"]
    wait_until(lambda: metrics(office)["boxoffice_webhook_dropped_total"] >= lost + len(written) - 40, "the metric")
    assert not receiver.received
    # a replay waits for room, and one is enough
    asked = {"from": from_now(-3600)}
    waiting = staff.post(f"{HOOKS}/{hook}/replay", asked, key="r").expect(202)
    staff.post(f"{HOOKS}/{hook}/replay", {"from": from_now(-60)}).expect(409, "replay_running")
    staff.post(f"{HOOKS}/{hook}/replay", {"from": from_now(-60)}, key="r").expect(422, "idempotency_mismatch")
    assert staff.post(f"{HOOKS}/{hook}/replay", asked, key="r").expect(202)["replay_id"] == waiting["replay_id"]
    time.sleep(1.5)
    assert hook_of(staff, hook)["replay"]["state"] == "running" and hook_of(staff, hook)["replay"]["events"] == 0
    staff.patch(f"{HOOKS}/{hook}", {"state": "enabled"}).expect(200)
    wait_until(lambda: hook_of(staff, hook)["replay"]["state"] == "done", "the end of the replay", 30)
    wait_until(lambda: written <= {received.id for received in receiver.received}, "every event", 20)


def test_a_replay_goes_through_pages(office, staff, database, receivers):
    """More rows of one partition than are read at a time, some of another organiser in between."""
    receiver = receivers()
    show, strange = staff.make_show(seats=10), make_staff(office).make_show(seats=10)
    buy(office, show, show.seats[0])
    event, = (e for e in events_of(database, show).values() if e["type"] == "booking.confirmed")
    hook = make(staff, receiver.url, types=["booking.confirmed"]).expect(201)["webhook_id"]
    partition, = database.execute("SELECT outbox_partition(%s)", [show.show_id]).fetchone()
    with psycopg.connect(office.database_url) as db:  # as the relay writes them: positions are given out under the partition's lock
        for owner in (show, strange):
            for _ in range(450):
                position, = db.execute("UPDATE outbox_partitions SET position = position + 1 WHERE partition = %s RETURNING position", [partition]).fetchone()
                db.execute("""INSERT INTO outbox_log (partition, position, show_id, outbox_id, topic, events, created_at, seq)
                    VALUES (%s, %s, %s, gen_random_uuid(), 'booking', %s, now() - interval '1 minute', nextval('outbox_seq'))""",
                           [partition, position, owner.show_id, json.dumps([{**event, "booking_id": str(uuid.uuid4())}])])
    done = replayed(staff, hook, **{"from": from_now(-600)})
    assert done["events"] == 451
    wait_until(lambda: len({received.id for received in receiver.received}) == 451, "all of them", 30)
    assert len(receiver.received) <= 452  # the purchase perhaps twice


def test_deleted_while_a_replay_waits(office, staff, database):
    hook = make(staff).expect(201)["webhook_id"]
    staff.patch(f"{HOOKS}/{hook}", {"state": "disabled"}).expect(200)
    staff.post(f"{HOOKS}/{hook}/replay", {"from": from_now(-3600)}).expect(202)
    staff.delete(f"{HOOKS}/{hook}").expect(204)
    state = database.execute("SELECT state FROM webhook_replays WHERE webhook_id = %s", [hook]).fetchone()
    assert state is None or state[0] in ("cancelled", "done")
