"""The relay: how fast events that wait go to a real Kafka, against the lock rate of the same run; how late they are while locks are
made at that rate. The events are those that locks write, one row a batch, told again for other shows until there are enough."""

import statistics
import sys
import time
from pathlib import Path

import drive
import processes
from ground import Unclean
from measure import Cpu
from releaser import Releaser
from rows_locks import SEATS, Side

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "integration"))

EVENTS = 500_000
WAIT_S = 120
LAG_S = 4


class Relay:
    """`boxoffice work` with a broker; log() of what went wrong."""

    def __init__(self, ground, serve, brokers, prefix):
        self.log_path = ground.dir / f"relay-{prefix}log"
        with open(self.log_path, "ab") as log:
            self.process = processes.start(
                [ground.programs.boxoffice, "work", "--database-url", ground.postgres.url_as("boxoffice_app"), "--redis-url",
                 ground.redis.unix_url, "--secret-file", str(ground.secret), "--kafka-brokers", brokers, "--kafka-topic-prefix", prefix],
                stdout=log, stderr=log)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        processes.stop(self.process)

    def demand_well(self):
        if self.process.poll() is not None or '"level":"error"' in self.log_path.read_text():
            raise Unclean(f"the relay: {self.log_path.read_text()[-500:]}")


def wait_drained(ground, relay):
    end = time.monotonic() + WAIT_S
    while ground.owner.execute("SELECT EXISTS (SELECT 1 FROM outbox)").fetchone()[0]:
        if time.monotonic() > end:
            raise Unclean(f"the outbox is not empty after {WAIT_S} s")
        relay.demand_well()
        time.sleep(0.05)


def fill(ground, side):
    """Rows as a second of locks writes them, for so many shows that there are enough; how many events."""
    side.ground.owner.execute("TRUNCATE outbox, outbox_log")
    with Releaser(ground, side.shows, **side.release):
        drive.run(ground, "lock", side.serve.url, *side.options(side.best), sample=lambda: Cpu(ground, side.serve))
    events = ground.owner.execute("SELECT coalesce(sum(json_array_length(events)), 0) FROM outbox").fetchone()[0]
    if events == 0:
        raise Unclean("locks have told nothing")
    ground.owner.execute("""INSERT INTO outbox (show_id, outbox_id, topic, events)
        SELECT md5(n::text || o.show_id::text)::uuid, gen_random_uuid(), o.topic, o.events
          FROM generate_series(1, %s) n, (SELECT * FROM outbox ORDER BY seq) o""", [max(1, EVENTS // events)])
    ground.owner.execute("VACUUM ANALYZE outbox")
    return ground.owner.execute("SELECT sum(json_array_length(events)) FROM outbox").fetchone()[0]


def drain(ground, side, broker, prefix):
    """Events a second, from the first that are out to the last."""
    events = fill(ground, side)
    with Relay(ground, side.serve, broker.brokers, prefix) as relay:
        wait_drained(ground, relay)
        cpu = processes.cpu_s(relay.process.pid)
    first, seconds = ground.owner.execute("""SELECT (SELECT sum(json_array_length(l.events)) FROM outbox_log l WHERE l.published_at = f.at),
        extract(epoch FROM (SELECT max(published_at) FROM outbox_log) - f.at) FROM (SELECT min(published_at) AS at FROM outbox_log) f""").fetchone()
    return (events - first) / max(float(seconds), 0.001), cpu / events * 1e6


def lag_ms(ground, side, broker, prefix, rate):
    """p99 over events of the time from the statement to the log, while locks are made at a rate."""
    ground.owner.execute("TRUNCATE outbox, outbox_log")
    with Relay(ground, side.serve, broker.brokers, prefix) as relay:
        wait_drained(ground, relay)
        time.sleep(2)
        with Releaser(ground, side.shows, **side.release):
            held = drive.run(ground, "lock", side.serve.url, "--shows", side.file, "--sessions", side.sessions, "--connections",
                             side.connections, "--rate", rate, "--warmup", 0.7, "--seconds", LAG_S, sample=lambda: Cpu(ground, side.serve))
        wait_drained(ground, relay)
    p99, = ground.owner.execute("""SELECT percentile_disc(0.99) WITHIN GROUP (ORDER BY l.published_at - l.created_at)
        FROM outbox_log l CROSS JOIN LATERAL json_array_elements(l.events)""").fetchone()
    return p99.total_seconds() * 1000, held.rate


def relay(bench, wanted):
    from kafka import start_kafka
    figure = bench.figures["relay"]
    with bench.ground() as ground:
        broker = start_kafka(ground.dir / "kafka")
        try:
            serve = ground.serve()
            side = Side(bench, ground, serve, [ground.make_show(serve, SEATS)], SEATS)
            bench.say(f"locks, roughly: {side.find()}")
            cpu, lags = [], []
            for number in bench.round_numbers():
                locks = side.round()
                events, us = drain(ground, side, broker, f"r{number}.")
                cpu.append(us)
                bench.pair("relay", events, locks)
                lag, at = lag_ms(ground, side, broker, f"l{number}.", locks * 0.7)
                lags.append(lag)
                if "relay_lag" in wanted:
                    bench.pair("relay_lag", lag)
                bench.say(f"round {number}: {events:,.0f} events/s, {us:.1f} us of CPU each; {locks:,.0f} locks/s; lag p99 {lag:.0f} ms at {at:,.0f}")
                figure.note = f"CPU of the relay {statistics.median(cpu):.1f} us an event; lag p99 at 0.7 of the lock rate {statistics.median(lags):.0f} ms"
                bench.save()
        finally:
            broker.close()


GROUPS = [(relay, ["relay", "relay_lag"])]
