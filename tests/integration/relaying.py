"""What the tests of the relay share: rows for the outbox by hand, what came of them, in the log and on a broker."""

import collections
import json
import random
import threading
import uuid

import psycopg

from service import wait_until

TOPICS = ["seat", "booking", "payment", "ticket", "show"]
PARTITION = "outbox_partition(show_id)"


def put(db, show, events, topic="booking", outbox_id=None, created=None):
    """A row of the outbox, as a service writes it; its id."""
    outbox_id = outbox_id or uuid.uuid4()
    db.execute("INSERT INTO outbox (show_id, outbox_id, topic, events, created_at) VALUES (%s, %s, %s, %s, coalesce(%s, statement_timestamp()))",
               [show, outbox_id, topic, events if isinstance(events, str) else json.dumps(events), created])
    return outbox_id


def booking(booking_id, version, **more):
    return {"type": "booking.confirmed", "booking_id": str(booking_id), "version": version, **more}


def seats(type="seat.locked", **versions):
    """seats(s12=3, s13=4)"""
    return {"type": type, "lock_id": str(uuid.uuid4()), "seats": {name[1:]: version for name, version in versions.items()}}


def crowd(db, rng: random.Random, shows=8, aggregates=20, rows=300):
    """Many rows of many shows: bookings whose versions count up, in arrays of one to five events, some of several topics. {show: {id:
    last version}}."""
    bookings = {uuid.UUID(int=rng.getrandbits(128)): {uuid.UUID(int=rng.getrandbits(128)): 0 for _ in range(aggregates)} for _ in range(shows)}
    for _ in range(rows):
        show = rng.choice(list(bookings))
        events = []
        for _ in range(rng.randint(1, 5)):
            one = rng.choice(list(bookings[show]))
            bookings[show][one] += 1
            events.append(booking(one, bookings[show][one]))
        put(db, show, events)
    return bookings


def contended(plant, rng: random.Random, writers=6, transactions=150, shows=3, aggregates=4):
    """Writers that get into each other's way, as services do: a transaction changes one to three bookings, whose rows give the versions,
    waits for who has them, dawdles, writes a row or several, and sometimes gives up."""
    bookings = [(uuid.UUID(int=rng.getrandbits(128)), uuid.UUID(int=rng.getrandbits(128))) for _ in range(shows) for _ in range(aggregates)]
    by_show = [bookings[i * aggregates][0] for i in range(shows)]
    bookings = [(by_show[i // aggregates], one) for i, (_, one) in enumerate(bookings)]
    with plant.sql() as db:
        db.execute("CREATE TABLE IF NOT EXISTS contended (booking_id uuid PRIMARY KEY, version int NOT NULL DEFAULT 0)")
        for _, one in bookings:
            db.execute("INSERT INTO contended (booking_id) VALUES (%s)", [one])
    failed = []

    def write(own: random.Random):
        try:
            with plant.sql() as db:
                for _ in range(transactions):
                    chosen = sorted(own.sample(bookings, own.randint(1, 3)), key=lambda b: b[1])
                    with db.transaction() as transaction:
                        for show, one in chosen:
                            version, = db.execute("UPDATE contended SET version = version + 1 WHERE booking_id = %s RETURNING version",
                                                  [one]).fetchone()
                            if own.random() < 0.1:
                                db.execute("SELECT pg_sleep(%s)", [own.uniform(0, 0.05)])
                            put(db, show, [booking(one, version)])
                        if own.random() < 0.1:
                            raise psycopg.Rollback(transaction)
        except Exception as error:  # told below
            failed.append(error)

    threads = [threading.Thread(target=write, args=[random.Random(rng.getrandbits(64))]) for _ in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed


def log(db, show=None):
    """[(partition, position, outbox id, events)] in order."""
    return db.execute("SELECT partition, position, outbox_id, events FROM outbox_log WHERE %s::uuid IS NULL OR show_id = %s ORDER BY 1, 2",
                      [show, show]).fetchall()


def waiting(db):
    return db.execute("SELECT count(*) FROM outbox").fetchone()[0]


def drained(db, timeout_s=20):
    wait_until(lambda: waiting(db) == 0, "an empty outbox", timeout_s)


def assert_log_is_whole(db):
    """Positions without gaps up to the last one given out, no row twice, each aggregate's versions in order."""
    seen, versions = set(), {}
    last = dict.fromkeys(range(16), None)
    for partition, position, outbox_id, events in log(db):
        assert last[partition] in (None, position - 1), f"partition {partition}: {position} after {last[partition]}"
        last[partition] = position
        assert outbox_id not in seen, f"{outbox_id} is in the log twice"
        seen.add(outbox_id)
        for event in events if isinstance(events, list) else []:
            if isinstance(event, dict) and "booking_id" in event and "version" in event and event["type"].startswith("booking."):
                before = versions.get(event["booking_id"], 0)
                assert event["version"] == before + 1, f"{event} after version {before}"
                versions[event["booking_id"]] = event["version"]
    for partition, position in db.execute("SELECT partition, position FROM outbox_partitions").fetchall():
        assert last[partition] in (None, position), f"partition {partition}: the last is {last[partition]}, given out {position}"
    return seen


def told(kafka, prefix):
    """[message] of all topics; each of them is checked to be a CloudEvent."""
    found = []
    for message in kafka.consume_all(*[prefix + topic for topic in TOPICS]):
        headers = {name: value.decode() for name, value in message.headers()}
        event = json.loads(message.value())
        assert headers["ce_specversion"] == "1.0" and headers["content-type"] == "application/json", headers
        assert headers["ce_type"] == event["type"], headers
        found.append((message.topic()[len(prefix):], message.partition(), message.key().decode(), headers, event))
    return found


def assert_told_is_the_outbox(db, kafka, prefix, without=()):
    """I5: what is on the broker, each id once, is what was written; the first of each id come in order per aggregate, and each
    aggregate is in one partition. How many came twice."""
    messages, first, partitions, versions = told(kafka, prefix), {}, collections.defaultdict(set), {}
    for message in messages:
        event_id, event = message[3]["ce_id"], message[4]
        assert first.setdefault(event_id, message)[4] == event, f"{event_id} was told in two ways"
    written = {f"{row}:{i}": event for row, events in db.execute("SELECT outbox_id, events FROM outbox_events").fetchall()
               if isinstance(events, list) for i, event in enumerate(events)}
    for event_id in without:
        written.pop(str(event_id))
    assert {i: message[4] for i, message in first.items()} == written, f"{len(first)} on the broker, {len(written)} written; " \
        f"missing {sorted(set(written) - set(first))[:3]}, strange {sorted(set(first) - set(written))[:3]}"
    for topic, partition, key, headers, event in first.values():
        partitions[topic, key].add(partition)
        assert len(partitions[topic, key]) == 1, f"{topic} {key} is in two partitions"
        if topic == "booking":
            before = versions.get(key, 0)
            assert event["version"] == before + 1, f"{event} after version {before}: " \
                f"{[(p, h['ce_id'], e['version']) for _, p, k, h, e in messages if k == key]}"
            versions[key] = event["version"]
        if topic == "seat":
            for seat, version in event["seats"].items():
                place = headers["ce_showid"], seat
                assert version > versions.get(place, -1), f"seat {place}: {version} after {versions[place]}"
                versions[place] = version
    return len(messages) - len(first)
