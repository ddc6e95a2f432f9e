"""What tests of notifications share: what was told to whom, and events told again."""

import json
import random
import subprocess

import servers
from service import wait_until

ZERO = "00000000-0000-0000-0000-000000000000"


def notices(db, show, booking=None):
    """[(kind, address, data)] of a show, in the order in which they were made; of one booking only."""
    return db.execute(
        "SELECT n.kind, y.email, n.data FROM notifications n JOIN buyers y USING (buyer_id) WHERE n.show_id = %s"
        " AND (%s::uuid IS NULL OR n.booking_id = %s::uuid) ORDER BY n.created_at, n.kind, y.email",
        [show.show_id, booking, booking]).fetchall()


def kinds(db, show, booking=None):
    return sorted(kind for kind, _, _ in notices(db, show, booking))


def events(db, show):
    """All events of a show, as a consumer is given them."""
    return [{"id": f"{outbox_id}:{i}", "topic": topic, "type": event["type"], "show_id": show.show_id, "time_us": time_us, "data": event}
            for outbox_id, topic, row, time_us in db.execute(
                "SELECT outbox_id::text, topic, events, (extract(epoch FROM created_at) * 1000000)::bigint FROM outbox_events"
                " WHERE show_id = %s AND topic IN ('booking', 'payment') ORDER BY seq", [show.show_id]).fetchall() for i, event in enumerate(row)]


def tell(where, batches):
    """The consumer's own function over batches of events, however often they came before (bin/notices_probe). where: a box office, or
    the address of a database."""
    text = "".join("".join(json.dumps(event) + "\n" for event in batch) + "\n" for batch in batches)
    done = subprocess.run([servers.bin_dir() / "notices_probe", getattr(where, "database_url", where)], input=text, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout.split() == ["done"] * len(batches), f"{done.stdout} {done.stderr[-2000:]}"


def tell_again(where, db, show, seed):
    """Everything once more, and some of it twice, cut into batches by chance."""
    chance = random.Random(seed)
    left = [event for event in events(db, show) for _ in range(chance.choice((1, 1, 2)))]
    batches = []
    while left:
        n = chance.randint(1, 7)
        batches.append(left[:n])
        left = left[n:]
    tell(where, batches)


def came(db, show, timeout_s=20):
    """Waits until the worker's consumer has had all events of the show that there are now, without a broker."""
    [(last,)] = db.execute("SELECT coalesce(max(seq), -1) FROM outbox_events WHERE show_id = %s", [show.show_id]).fetchall()

    def done():
        return db.execute(
            "SELECT count(*) = 0 FROM outbox_events e WHERE e.show_id = %s AND e.seq <= %s AND (e.position IS NULL OR e.position > coalesce("
            "(SELECT c.position FROM consumer_cursors c WHERE c.consumer = 'notifications' AND c.partition = e.partition), 0))",
            [show.show_id, last]).fetchone()[0]

    wait_until(done, "the consumer of notifications", timeout_s, 0.1)
