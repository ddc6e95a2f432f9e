"""RELIABILITY.md 15 to 17: the broker killed, the relay killed at every step, two relays, one that sleeps through its lease. Afterwards
what is on the broker, each id once, is what was written, in the order of each aggregate (I5), and the log is whole."""

import contextlib
import os
import random
import signal
import threading
import time
import uuid

import pytest

from pg_proxy import BEFORE, HOLD, LOST, NEVER, PgProxy
from relaying import assert_log_is_whole, assert_told_is_the_outbox, booking, contended, crowd, drained, put
from service import wait_until
from stand import Stand, own_plant  # noqa: F401

FAST = ["--lease-seconds", "2", "--relay-poll-ms", "20", "--kafka-partitions", "3"]


class Relays:
    """Processes of work that reach PostgreSQL through a proxy; no serve is needed."""

    def __init__(self, plant, brokers, folder):
        self.plant = plant
        self.prefix = f"f{uuid.uuid4().hex[:8]}."
        self.proxy = PgProxy(folder / "proxy", plant.postgres.socket)
        self.args = [*FAST, "--kafka-brokers", brokers, "--kafka-topic-prefix", self.prefix]
        self.stand = Stand(plant, *self.args, workers=1, work=False)
        self.stand.args[1] = self.proxy.url_as("boxoffice_app")
        self.processes = []

    def start(self):
        self.stand.start_work()
        self.processes.append(self.stand.work)
        return self.stand.work

    def end(self, process):
        process.wait(20)
        self.processes.remove(process)

    def close(self):
        self.proxy.clear()
        for process in self.processes:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in self.processes:
            with contextlib.suppress(Exception):
                process.wait(20)
            if process.poll() is None:
                process.kill()
        self.stand.work = None
        self.stand.close()
        self.proxy.close()


@pytest.fixture(name="make")
def relays(plant, work_dir):
    plant.own_events = False  # what these tests write by hand is only what the relay looks at
    made = []

    def make(kafka):
        with plant.sql() as db:
            db.execute("TRUNCATE outbox, outbox_log, outbox_parked")
            db.execute("DELETE FROM leases")
            db.execute("UPDATE outbox_partitions SET position = 0, holder = '', until = '-infinity'")
        made.append(Relays(plant, kafka.brokers, work_dir))
        return made[-1]

    yield make
    for one in made:
        one.close()


@contextlib.contextmanager
def writing(plant, rng: random.Random):
    """Somebody writes all the while; now and then several who wait for each other."""
    stop, failed = threading.Event(), []

    def write():
        try:
            with plant.sql() as db:
                while not stop.is_set():
                    for _ in range(20):
                        crowd(db, rng, rows=10)
                    contended(plant, rng, writers=4, transactions=10)
        except Exception as error:  # told below
            failed.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        stop.set()
        writer.join()
    assert not failed, failed


STEPS = [
    ("relay_lease", HOLD, "it has partitions and does not know"),
    ("relay_parked", HOLD, "it begins"),
    ("relay_next", NEVER, "it has asked what is next"),
    ("relay_next", HOLD, "it was told what is next"),
    ("relay_move", NEVER, "everything is acknowledged, nothing is moved"),
    ("relay_move", HOLD, "everything is moved, nobody heard of it"),
]


def test_the_relay_is_killed_at_every_step(plant, make, kafka, rng):
    relays = make(kafka)
    twice = 0
    with plant.sql() as db:
        for statement, how, when in STEPS:
            trap = relays.proxy.set(statement, how, then=lambda t: os.kill(t.pid, signal.SIGKILL))
            process = relays.start()
            with writing(plant, rng):
                try:
                    relays.end(process)
                except Exception as error:
                    raise AssertionError(f"not killed: {when}: {error}") from error
            assert trap.sprung, when
            trap.release()
        relays.start()
        drained(db, 40)
        assert_log_is_whole(db)
        twice = assert_told_is_the_outbox(db, kafka, relays.prefix)
    assert twice > 0, "nothing was sent again: it was not killed between acknowledgement and mark"


def test_the_answer_of_a_move_is_lost(plant, make, kafka, rng):
    relays = make(kafka)
    with plant.sql() as db:
        relays.start()
        for how in (NEVER, LOST):
            trap = relays.proxy.set("relay_move", how)
            with writing(plant, rng):
                trap.wait()
        drained(db, 40)
        assert_log_is_whole(db)
        assert_told_is_the_outbox(db, kafka, relays.prefix)


def test_a_relay_that_sleeps_through_its_lease_moves_nothing(plant, make, kafka, rng):
    relays = make(kafka)
    with plant.sql() as db:
        sleeper = relays.start()
        wait_until(lambda: db.execute("SELECT count(*) FROM outbox_partitions WHERE holder <> ''").fetchone() == (16,), "all are its own")
        crowd(db, rng, rows=50)
        drained(db)
        trap = relays.proxy.set("relay_move", BEFORE, then=lambda t: os.kill(t.pid, signal.SIGSTOP))
        crowd(db, rng, rows=200)
        assert trap.wait() == sleeper.pid
        other = relays.start()
        drained(db, 30)
        before = assert_log_is_whole(db)
        crowd(db, rng, rows=100)
        sleeper.send_signal(signal.SIGCONT)
        trap.release()
        drained(db, 30)
        wait_until(lambda: sorted(n for n, in db.execute("SELECT count(*) FROM outbox_partitions GROUP BY holder").fetchall()) == [8, 8],
                   "both with a half", 20)
        crowd(db, rng, rows=100)
        drained(db, 30)
        assert len(assert_log_is_whole(db)) == len(before) + 200
        assert assert_told_is_the_outbox(db, kafka, relays.prefix) > 0
        assert sleeper.poll() is None and other.poll() is None


def test_two_relays_take_from_each_other(plant, make, kafka, rng):
    """One is killed and replaced again and again, the other goes on."""
    relays = make(kafka)
    with plant.sql() as db:
        relays.start()
        with writing(plant, rng):
            for _ in range(3):
                other = relays.start()
                wait_until(lambda: db.execute("SELECT count(DISTINCT holder) FROM outbox_partitions WHERE until > now() AND holder <> ''")
                           .fetchone() == (2,), "both have some", 20)
                time.sleep(rng.uniform(0, 0.5))
                other.kill()
                relays.end(other)
        drained(db, 40)
        assert_log_is_whole(db)
        assert_told_is_the_outbox(db, kafka, relays.prefix)


@pytest.mark.timeout(400)  # what it waits for is more than the usual two minutes: a broker that was killed is away for a while
def test_the_broker_is_killed_under_load(plant, make, own_kafka, rng):
    relays = make(own_kafka)
    with plant.sql() as db:
        relays.start()
        with writing(plant, rng):
            wait_until(lambda: db.execute("SELECT count(*) > 200 FROM outbox_log").fetchone()[0], "events out", 40)
            own_kafka.kill()
            moved = db.execute("SELECT count(*) FROM outbox_log").fetchone()
            wait_until(lambda: db.execute("SELECT count(*) > 500 FROM outbox").fetchone()[0], "writing goes on without it", 20)
            # what the dead broker had acknowledged may still be moved, nothing else
            assert db.execute("SELECT count(*) FROM outbox_log").fetchone()[0] <= moved[0] + 4000
            own_kafka.start()
            time.sleep(rng.uniform(0, 1))
        drained(db, 90)
        # paused: what is on its way when the relay dies
        own_kafka.pause()
        crowd(db, rng, rows=100)
        time.sleep(rng.uniform(0.1, 1))
        killed = relays.processes[0]
        killed.kill()
        relays.end(killed)
        own_kafka.go_on()
        relays.start()
        show = uuid.uuid4()
        put(db, show, [booking(uuid.uuid4(), 1)])
        drained(db, 60)
        assert_log_is_whole(db)
        assert_told_is_the_outbox(db, own_kafka, relays.prefix)
