"""The consumers' framework: nothing lost and everything in order, from the log, from Kafka, between the two, over every death.

The consumer is bin/consume_probe, which gives its events to the SQL function probe_take; the relay's part is played here, by the
rules it has: positions in the order of commits, a row in the log when the broker has acknowledged it.
"""
import json
import os
import signal
import subprocess
import uuid
from collections import Counter

import psycopg
import pytest

from servers import bin_dir, wait_for
from stand import own_plant  # noqa: F401 (fixture "plant": of this module)

NAME = "recommended"  # whose place the probe takes

TAKE = """
DROP TABLE IF EXISTS probe_seen;
CREATE TABLE probe_seen (n bigserial, event_id text NOT NULL, topic text NOT NULL, show_id uuid, data jsonb NOT NULL);
CREATE OR REPLACE FUNCTION probe_take(p jsonb) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
  IF EXISTS (SELECT 1 FROM jsonb_array_elements(p) e WHERE e #>> '{data,poison}' = 'yes') THEN
    RAISE EXCEPTION 'this event is poison';
  END IF;
  INSERT INTO probe_seen (event_id, topic, show_id, data)
  SELECT e ->> 'id', e ->> 'topic', (e ->> 'show_id')::uuid, e -> 'data' FROM jsonb_array_elements(p) WITH ORDINALITY AS x (e, i) ORDER BY i;
END $$;
TRUNCATE consumers, consumer_cursors, consumer_parked, outbox_log, leases;
UPDATE outbox_partitions SET position = 0;
"""


class Bench:
    """Plays the relay, starts and ends probes, knows what was written."""

    def __init__(self, plant, kafka=None):
        self.plant, self.kafka = plant, kafka
        plant.own_events = False  # what these tests write by hand is only what the framework looks at
        self.db = plant.sql()
        self.db.execute(TAKE)
        self.prefix = f"t{uuid.uuid4().hex[:8]}."
        self.shows = [uuid.uuid4() for _ in range(6)]
        self.versions = Counter()
        self.written = []  # (id, aggregate, version)
        self.probes = []
        if kafka:
            kafka.create_topics({f"{self.prefix}booking": 3, f"{self.prefix}seat": 3})

    def row(self, show, n=3, topic="booking", **more):
        """A row of the outbox: n events of a booking each of this show."""
        outbox_id, events = uuid.uuid4(), []
        for i in range(n):
            aggregate = f"{show}/{topic}/{i}"
            self.versions[aggregate] += 1
            events.append({"type": f"{topic}.changed", "aggregate": aggregate, "version": self.versions[aggregate], **more})
        return show, outbox_id, topic, events

    def to_log(self, rows, on_broker=False):
        with self.db.transaction():
            self.db.execute("DELETE FROM outbox WHERE outbox_id = ANY (%s)", [[outbox_id for _, outbox_id, _, _ in rows]])
            for show, outbox_id, topic, events in rows:
                self.db.execute(
                    "WITH p AS (UPDATE outbox_partitions SET position = position + 1 WHERE partition = outbox_partition(%(show)s)"
                    " RETURNING partition, position)"
                    " INSERT INTO outbox_log (partition, position, show_id, outbox_id, topic, events, created_at, seq, on_broker)"
                    " SELECT p.partition, p.position, %(show)s, %(id)s, %(topic)s, %(events)s::json, now(), 1, %(on)s FROM p",
                    {"show": show, "id": outbox_id, "topic": topic, "events": json.dumps(events), "on": on_broker})

    def to_outbox(self, rows):
        for show, outbox_id, topic, events in rows:
            self.db.execute("INSERT INTO outbox (show_id, outbox_id, topic, events) VALUES (%s, %s, %s, %s)",
                            [show, outbox_id, topic, json.dumps(events)])

    def publish(self, rows):
        self.kafka.produce([
            (self.prefix + topic, e["aggregate"], json.dumps(e).encode(),
             {"ce_specversion": "1.0", "ce_id": f"{outbox_id}:{i}", "ce_type": e["type"], "ce_source": "boxoffice",
              "ce_time": "2026-01-02T03:04:05Z", "ce_showid": str(show), "content-type": "application/json"})
            for show, outbox_id, topic, events in rows for i, e in enumerate(events)])

    def write(self, n=10, broker=False, topic="booking", rows=None):
        """n rows of all shows, ten at a time, moved by a relay that has a broker or has none; or these rows."""
        made = ([self.row(self.shows[i % len(self.shows)], topic=topic) for i in range(10)] for _ in range(n // 10))
        for rows in [rows] if rows else made:
            if broker:
                self.publish(rows)
            self.to_log(rows, broker)
            self.note(rows)

    def note(self, rows):
        """They are to be seen."""
        self.written += [(f"{outbox_id}:{i}", e["aggregate"], e["version"]) for _, outbox_id, _, events in rows for i, e in enumerate(events)]

    @staticmethod
    def ids(rows):
        return {f"{outbox_id}:{i}" for _, outbox_id, _, events in rows for i in range(len(events))}

    def probe(self, *more, brokers=None, topics="booking", start="beginning"):
        brokers = (self.kafka.brokers if self.kafka else "") if brokers is None else brokers
        log = open(self.plant.dir / "probe.log", "ab")
        process = subprocess.Popen([bin_dir() / "consume_probe", self.plant.postgres.url_as("boxoffice_app"), brokers, self.prefix,
                                    topics, start, *map(str, more)], stdout=subprocess.PIPE, stderr=log, text=True,
                                   start_new_session=True)
        log.close()
        self.probes.append(process)
        return process

    def stop(self, process) -> str:
        """Its metrics."""
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0, (self.plant.dir / "probe.log").read_text()[-3000:]
        return out

    def seen(self):
        return self.db.execute("SELECT event_id, data->>'aggregate', (data->>'version')::int FROM probe_seen ORDER BY n").fetchall()

    def wait(self, expected=None, timeout_s=60):
        """Until all that was written is seen; then: in order, the first time each came."""
        expected = expected or {w[0] for w in self.written}

        def all_seen():
            for probe in self.probes:
                assert probe.poll() in (None, 0, -signal.SIGKILL), (self.plant.dir / "probe.log").read_text()[-3000:]
            return expected <= {s[0] for s in self.seen()}

        wait_for(all_seen, f"{len(expected)} events at the consumer", timeout_s)
        last, seen = {}, set()
        for event_id, aggregate, version in self.seen():
            if event_id not in seen:
                assert version > last.get(aggregate, 0), f"{aggregate}: {version} came after {last[aggregate]}"
                last[aggregate] = version
            seen.add(event_id)
        assert seen <= {w[0] for w in self.written}, "events that nobody wrote"

    def repeated(self) -> int:
        seen = self.seen()
        return len(seen) - len({s[0] for s in seen})

    def one(self, query, *args):
        return self.db.execute(query, args).fetchone()[0]

    def behind(self) -> int:
        return self.one("SELECT sum(p.position - c.position) FROM outbox_partitions p JOIN consumer_cursors c USING (partition)")

    def close(self):
        for process in self.probes:
            if process.poll() is None:
                process.kill()
                process.wait()
            process.stdout.close()
        self.db.close()


@pytest.fixture
def log_bench(plant):  # noqa: F811
    plant.settle()
    bench = Bench(plant)
    yield bench
    bench.close()


@pytest.fixture
def kafka_bench(plant, kafka):  # noqa: F811
    plant.settle()
    bench = Bench(plant, kafka)
    yield bench
    bench.close()


def metric(text, name):
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name) and NAME in line)


# ---- from the log ----

def test_the_log_is_read_once_in_order_and_a_restart_goes_on(log_bench):
    log_bench.write(100)
    first = log_bench.probe()
    log_bench.wait()
    wait_for(lambda: log_bench.behind() == 0, "cursors at the end")
    metrics = log_bench.stop(first)
    assert metric(metrics, "boxoffice_consumer_events_total") == len(log_bench.written)
    log_bench.write(50)
    second = log_bench.probe()
    log_bench.write(50)
    log_bench.wait()
    log_bench.stop(second)
    assert log_bench.repeated() == 0
    shows = dict(log_bench.db.execute("SELECT event_id, show_id::text || '/' FROM probe_seen").fetchall())
    assert all(aggregate.startswith(shows[i]) for i, aggregate, _ in log_bench.written)


def test_other_topics_are_passed_over(log_bench):
    log_bench.write(300, topic="seat")
    mine = log_bench.probe()
    log_bench.written = []
    log_bench.write(10)
    log_bench.wait()
    wait_for(lambda: log_bench.behind() == 0, "cursors behind the rows of others")
    log_bench.stop(mine)


def test_a_new_consumer_begins_where_it_says(log_bench):
    log_bench.write(30)
    before = set(w[0] for w in log_bench.written)
    late = log_bench.probe(start="now")
    wait_for(lambda: log_bench.one("SELECT count(*) FROM consumer_cursors") == 16, "its cursors")
    log_bench.write(30)
    log_bench.wait({w[0] for w in log_bench.written} - before)
    log_bench.stop(late)
    assert not before & {s[0] for s in log_bench.seen()}
    again = log_bench.probe(start="beginning")  # it has run before: where it begins is not asked again
    log_bench.write(10)
    log_bench.wait({w[0] for w in log_bench.written} - before)
    log_bench.stop(again)
    assert not before & {s[0] for s in log_bench.seen()}


def test_killed_between_effect_and_cursor(log_bench):
    log_bench.write(100)
    dying = log_bench.probe(20, 3, 5)
    assert dying.wait(60) == -signal.SIGKILL
    done = len(log_bench.seen())
    assert 0 < done < len(log_bench.written)
    next_one = log_bench.probe()
    log_bench.wait()
    log_bench.stop(next_one)
    assert 0 < log_bench.repeated() <= done


def test_two_processes_one_works_the_other_takes_over(log_bench):
    first, second = log_bench.probe(), log_bench.probe()
    log_bench.write(50)
    log_bench.wait()
    assert log_bench.repeated() == 0
    holder = log_bench.one("SELECT holder FROM leases WHERE name = %s", f"consumer-{NAME}")
    victim, heir = (first, second) if holder == f"probe/{first.pid}" else (second, first)
    victim.kill()
    victim.wait()
    log_bench.write(50)
    log_bench.wait()
    assert heir.poll() is None
    log_bench.stop(heir)


def test_one_that_slept_does_no_harm(log_bench):
    first = log_bench.probe()
    log_bench.write(20)
    log_bench.wait()
    os.kill(first.pid, signal.SIGSTOP)
    second = log_bench.probe()
    log_bench.write(50)
    log_bench.wait()
    log_bench.stop(second)
    os.kill(first.pid, signal.SIGCONT)
    log_bench.write(20)
    log_bench.wait()
    wait_for(lambda: log_bench.behind() == 0, "cursors at the end")
    log_bench.stop(first)


def test_an_event_that_fails_alone_is_parked_and_the_others_go_on(log_bench):
    log_bench.write(50)
    good = {w[0] for w in log_bench.written}
    log_bench.write(rows=[log_bench.row(log_bench.shows[0], poison="yes")])
    bad = {w[0] for w in log_bench.written} - good
    bad_rows = [w for w in log_bench.written if w[0] in bad]
    log_bench.write(50)
    probe = log_bench.probe(100, 1)
    good = {w[0] for w in log_bench.written} - bad
    log_bench.wait(good, timeout_s=120)
    wait_for(lambda: log_bench.one("SELECT count(*) FROM consumer_parked") == len(bad), "the bad ones parked", 120)
    row = log_bench.db.execute("SELECT consumer, topic, type, cause, event->>'aggregate' FROM consumer_parked LIMIT 1").fetchone()
    assert row[:3] == (NAME, "booking", "booking.changed") and "this event is poison" in row[3]
    assert row[4] in {w[1] for w in bad_rows}
    # what was wrong is mended: one is asked for again
    log_bench.db.execute("CREATE OR REPLACE FUNCTION probe_take(p jsonb) RETURNS void LANGUAGE sql SECURITY DEFINER AS $$"
                         "INSERT INTO probe_seen (event_id, topic, data) SELECT e->>'id', e->>'topic', e->'data'"
                         "  FROM jsonb_array_elements(p) e $$")
    one = log_bench.one("UPDATE consumer_parked SET wish = 'retry' WHERE event_id = (SELECT min(event_id) FROM consumer_parked)"
                        " RETURNING event_id")
    wait_for(lambda: one in {s[0] for s in log_bench.seen()}, "the parked event tried again")
    wait_for(lambda: log_bench.one("SELECT count(*) FROM consumer_parked") == len(bad) - 1, "its row gone")
    text = log_bench.stop(probe)
    assert metric(text, "boxoffice_consumer_failures_total") > 0


def test_a_database_that_goes_away_parks_nothing(log_bench):
    log_bench.write(30)
    probe = log_bench.probe(100, 1)
    log_bench.wait()
    log_bench.plant.postgres.kill()
    log_bench.plant.postgres.start()
    log_bench.db.close()
    log_bench.db = log_bench.plant.sql()
    log_bench.write(30)
    log_bench.wait()
    assert log_bench.one("SELECT count(*) FROM consumer_parked") == 0
    log_bench.stop(probe)


def test_what_was_dropped_unread_is_counted(log_bench):
    probe = log_bench.probe()
    log_bench.write(10)
    log_bench.wait()
    log_bench.stop(probe)
    log_bench.write(20)
    lost = log_bench.one("SELECT count(*) FROM outbox_log") - 10
    log_bench.db.execute("DELETE FROM outbox_log")
    before = {w[0] for w in log_bench.written}
    log_bench.write(60)
    probe = log_bench.probe()
    log_bench.wait({w[0] for w in log_bench.written} - before)
    assert metric(log_bench.stop(probe), "boxoffice_consumer_missed_total") == lost


def test_a_row_that_is_no_event_is_left(log_bench):
    show = log_bench.shows[0]
    log_bench.to_log([(show, uuid.uuid4(), "booking", {"no": "array"}), (show, uuid.uuid4(), "booking", [1, "x", {"no": "type"}])])
    log_bench.write(10)
    probe = log_bench.probe()
    log_bench.wait()
    assert metric(log_bench.stop(probe), "boxoffice_consumer_foreign_total") == 4


# ---- from Kafka ----

def test_kafka_is_read_and_the_cursor_follows(kafka_bench):
    bench = kafka_bench
    probe = bench.probe()
    bench.write(100, broker=True)
    bench.wait()
    wait_for(lambda: bench.one("SELECT source FROM consumers") != "log", "the hand-over to Kafka", 60)
    bench.write(100, broker=True)
    bench.wait()
    wait_for(lambda: bench.behind() == 0, "the cursor at the end", 60)
    text = bench.stop(probe)
    assert metric(text, "boxoffice_consumer_parked_events") == 0
    again = bench.probe()
    bench.write(20, broker=True)
    bench.wait()
    bench.stop(again)


def test_killed_between_effect_and_offset(kafka_bench):
    bench = kafka_bench
    probe = bench.probe()
    wait_for(lambda: bench.one("SELECT coalesce(max(source), 'log') FROM consumers") != "log", "the hand-over to Kafka", 60)
    bench.write(10, broker=True)
    bench.wait()
    bench.stop(probe)
    bench.write(100, broker=True)
    dying = bench.probe(20, 3, 4)
    assert dying.wait(60) == -signal.SIGKILL
    again = bench.probe()
    bench.wait(timeout_s=90)
    assert bench.repeated() > 0
    bench.stop(again)


def test_no_broker_then_one_then_none_again(kafka_bench):
    """Each time something is written while nobody reads, before and after the settings change."""
    bench = kafka_bench
    probe = bench.probe(brokers="")
    bench.write(50)
    bench.wait()
    bench.stop(probe)
    for broker in (True, False, True, False):
        bench.write(30, broker=not broker)
        bench.write(30, broker=broker)
        probe = bench.probe(brokers=bench.kafka.brokers if broker else "")
        bench.write(30, broker=broker)
        bench.wait(timeout_s=90)
        if broker:
            wait_for(lambda: bench.one("SELECT source FROM consumers") != "log", "the hand-over to Kafka", 60)
            bench.write(30, broker=True)
            bench.wait()
        bench.stop(probe)


def test_what_no_broker_has_comes_from_the_log_and_in_order(kafka_bench):
    """Two relays, one of them without a broker (while settings are changed process by process)."""
    bench = kafka_bench
    probe = bench.probe()
    wait_for(lambda: bench.one("SELECT coalesce(max(source), 'log') FROM consumers") != "log", "the hand-over to Kafka", 60)
    for _ in range(10):
        bench.write(10, broker=False)
        bench.write(10, broker=True)
    bench.wait()
    wait_for(lambda: bench.behind() == 0, "the cursor at the end", 60)
    bench.stop(probe)


def test_what_no_broker_has_waits_for_what_came_before_it(kafka_bench):
    """Two relays as above. What the one with a broker has given it is not with the consumer yet (Kafka lets it wait for up to half a
    second), when the other's row, a later one of the same aggregates, is in the log."""
    bench = kafka_bench
    probe = bench.probe()
    wait_for(lambda: bench.one("SELECT coalesce(max(source), 'log') FROM consumers") != "log", "the hand-over to Kafka", 60)
    first = [bench.row(show) for show in bench.shows[:3]]
    bench.to_log(first, True)
    bench.note(first)
    other = [bench.row(show) for show in bench.shows[3:]]
    bench.write(rows=other)
    bench.wait(bench.ids(other))  # so it has looked through the log behind the first ones
    later = [bench.row(show) for show in bench.shows]
    bench.write(rows=later)
    bench.wait(bench.ids(later))
    assert bench.repeated() == 0
    bench.publish(first)
    more = [bench.row(show) for show in bench.shows]
    bench.write(rows=more, broker=True)
    bench.wait()
    wait_for(lambda: bench.one("SELECT count(*) FROM probe_seen WHERE event_id = %s", f"{first[0][1]}:0") == 2, "the first from Kafka")
    wait_for(lambda: bench.behind() == 0, "the cursor at the end", 60)
    bench.stop(probe)
    seen = Counter(s[0] for s in bench.seen())
    assert {seen[i] for i in bench.ids(other) | bench.ids(later)} == {1}, "what no broker has was read again"


def test_what_a_broker_has_and_the_log_not_yet_is_not_lost_in_the_hand_over(kafka_bench):
    """The relay has given rows to the broker, and moves them to the log when the group has long had its place, behind them."""
    bench = kafka_bench
    slow = [bench.row(show) for show in bench.shows[:3]]
    bench.to_outbox(slow)
    bench.publish(slow)
    probe = bench.probe()
    wait_for(lambda: None not in bench.kafka.committed("boxoffice." + NAME, f"{bench.prefix}booking").values(), "the group's place", 60)
    for _ in range(3):  # whatever it does when it has its place, it has done
        rows = [bench.row(show) for show in bench.shows[3:]]
        bench.write(rows=rows)
        bench.wait(bench.ids(rows))
    assert bench.one("SELECT source FROM consumers") == "log"
    bench.to_log(slow, True)
    bench.note(slow)
    bench.wait()
    wait_for(lambda: bench.one("SELECT source FROM consumers") != "log", "the hand-over to Kafka", 60)
    bench.write(10, broker=True)
    bench.wait()
    bench.stop(probe)


def test_a_message_of_somebody_else_is_left(kafka_bench):
    bench = kafka_bench
    probe = bench.probe()
    wait_for(lambda: bench.one("SELECT coalesce(max(source), 'log') FROM consumers") != "log", "the hand-over to Kafka", 60)
    topic = f"{bench.prefix}booking"
    bench.kafka.produce([(topic, "x", b"no json", {"ce_id": "a:0", "ce_type": "t"}), (topic, "x", b"{}", {}),
                         (topic, "x", None, {"ce_id": "b:0", "ce_type": "t"}), (topic, "x", b"[" * 3000, {"ce_id": "c:0", "ce_type": "t"}),
                         (topic, "x", b"{}", {"ce_id": b"\xff\x00", "ce_type": "t"}),
                         (topic, "x", b"{}", {"ce_id": "d:0", "ce_type": "t", "ce_showid": "nobody"})])
    bench.write(20, broker=True)
    bench.wait()
    assert metric(bench.stop(probe), "boxoffice_consumer_foreign_total") == 6


@pytest.mark.timeout(400)
def test_broker_killed_and_restarted(plant, own_kafka):  # noqa: F811
    plant.settle()
    bench = Bench(plant, own_kafka)
    try:
        probe = bench.probe()
        wait_for(lambda: bench.one("SELECT coalesce(max(source), 'log') FROM consumers") != "log", "the hand-over to Kafka", 60)
        bench.write(100, broker=True)
        own_kafka.kill()
        rows = [bench.row(show) for show in bench.shows]  # these wait for the broker, as the relay does
        wait_for(lambda: bench.one("SELECT trouble <> '' FROM consumers"), "the consumer says that the broker is away", 60)
        own_kafka.start()
        bench.publish(rows)
        bench.to_log(rows, True)
        bench.note(rows)
        bench.wait(timeout_s=90)
        bench.write(50, broker=True)
        bench.wait(timeout_s=90)
        wait_for(lambda: bench.behind() == 0, "the cursor at the end", 90)
        wait_for(lambda: bench.one("SELECT trouble = '' FROM consumers"), "all is well again", 60)
        bench.stop(probe)
    finally:
        bench.close()


# ---- a person looks, and puts it elsewhere ----

def test_a_person_sees_how_far_it_is_and_begins_anew(log_bench):
    def admin(*args, status=0):
        done = subprocess.run([log_bench.plant.program, "admin", "consumers", *args, "--database-url",
                               log_bench.plant.postgres.url_as("boxoffice_app")], capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    assert "No consumer has run yet" in admin("list")
    assert "no consumer" in admin("reset", NAME, "--to", "now", status=1)
    assert "--to now" in admin("reset", NAME, status=2)
    probe = log_bench.probe(100, 1)
    log_bench.write(20)
    log_bench.wait()
    bad = log_bench.row(log_bench.shows[0], n=1, poison="yes")
    log_bench.to_log([bad])
    wait_for(lambda: log_bench.one("SELECT count(*) FROM consumer_parked") == 1, "the bad one parked")
    event = f"{bad[1]}:0"
    assert event in admin("parked") and "this event is poison" in admin("parked", NAME)
    listed = admin("list")
    assert NAME in listed and "reads the log" in listed and "1 parked" in listed
    assert "is parked" in admin("retry", NAME, "--event", "nobody:0", status=1)
    assert "1 to be tried again" in admin("retry", NAME, "--event", event)
    wait_for(lambda: log_bench.one("SELECT tries FROM consumer_parked") == 2, "it was tried again and failed again")
    assert "1 given up" in admin("skip", NAME)
    assert "No event is parked" in admin("parked")
    # all of it once more, while it runs
    before = len(log_bench.seen())
    assert "oldest event" in admin("reset", NAME, "--to", "beginning")
    wait_for(lambda: len(log_bench.seen()) >= 2 * before, "everything once more")
    log_bench.stop(probe)
    # and nothing of what was written meanwhile
    log_bench.write(20)
    unread = {w[0] for w in log_bench.written[-60:]}
    admin("reset", NAME, "--to", "now")
    probe = log_bench.probe(100, 1)
    log_bench.write(10)
    log_bench.wait({w[0] for w in log_bench.written[-30:]})
    log_bench.stop(probe)
    assert not unread & {s[0] for s in log_bench.seen()}
