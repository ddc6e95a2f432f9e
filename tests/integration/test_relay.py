"""The relay: what is written to the outbox comes to the log, or to Kafka and then to the log, in the order of each aggregate."""

import os
import signal
import subprocess
import threading
import uuid

import psycopg
import pytest

from relaying import (assert_log_is_whole, assert_told_is_the_outbox, booking, contended, crowd, drained, log, put, seats, told, waiting)
from service import free_port, wait_until
from stand import Stand, own_plant  # noqa: F401

FAST = ["--lease-seconds", "2", "--relay-poll-ms", "20"]


@pytest.fixture(name="stand")
def one_stand(plant):
    plant.own_events = False  # what these tests write by hand is only what the relay looks at
    made = []

    def start(*args, **kwargs):
        made.append(Stand(plant, *FAST, *args, workers=1, **kwargs))
        return made[-1]

    with plant.sql() as db:
        db.execute("TRUNCATE outbox, outbox_log, outbox_parked")
        db.execute("UPDATE outbox_partitions SET position = 0, holder = '', until = '-infinity'")
    yield start
    for stand in made:
        stand.close()
    with plant.sql() as db:
        db.execute("DELETE FROM leases")


# ---- without a broker ----------------------------------------------------------------------------------------------------


def test_without_a_broker_rows_go_to_the_log_in_order(plant, stand, rng):
    with plant.sql() as db:
        crowd(db, rng)
        everything = {row for row, in db.execute("SELECT outbox_id FROM outbox").fetchall()}
        stand()
        drained(db)
        assert assert_log_is_whole(db) == everything
        # and what comes later
        crowd(db, rng, rows=50)
        drained(db)
        assert len(assert_log_is_whole(db)) == len(everything) + 50
        assert db.execute("SELECT count(*) FROM outbox_log WHERE on_broker").fetchone() == (0,)


def test_what_commits_late_is_not_overtaken_by_its_own_aggregate_nor_forgotten(plant, stand):
    """A number is drawn before another one and is visible after it: nobody may read on from the last one seen."""
    show = uuid.uuid4()
    with plant.sql() as db, psycopg.connect(plant.postgres.url) as slow:
        stand()
        late = put(slow, show, [booking(uuid.uuid4(), 1)])
        early = put(db, show, [booking(uuid.uuid4(), 1)])
        wait_until(lambda: [row[2] for row in log(db, show)] == [early], "the one that is committed")
        # long enough that numbers count as decided of which none is open any more
        wait_until(lambda: put(db, show, []) and len(log(db, show)) > 100, "many more", 20)
        slow.commit()
        wait_until(lambda: late in [row[2] for row in log(db, show)], "the one that came late", 3)


def test_writers_that_wait_for_each_other(plant, stand, rng):
    """Of two relays, one ends and comes back all the while."""
    with plant.sql() as db:
        first = stand()
        stand()
        over = threading.Event()

        def come_and_go():
            while not over.wait(0.3):
                first.stop_work(signal.SIGKILL)
                first.start_work()

        coming = threading.Thread(target=come_and_go)
        coming.start()
        try:
            contended(plant, rng)
        finally:
            over.set()
            coming.join()
        drained(db)
        assert len(assert_log_is_whole(db)) > 500


def test_a_row_that_is_no_array_is_shown_and_stops_nobody(plant, stand):
    show = uuid.uuid4()
    with plant.sql() as db:
        bad = put(db, show, '{"type": "booking.confirmed"}')
        put(db, show, [booking(uuid.uuid4(), 1)])
        started = stand("--work-port", str(port := free_port()))
        drained(db)
        assert db.execute("SELECT outbox_id, place, state, cause FROM outbox_parked").fetchall() == [
            (bad, -1, "refused", "the row is no array of events")]
        wait_until(lambda: metric(started, port, "boxoffice_relay_parked_events") == 1, "the gauge")

        def admin(*command):
            return subprocess.run([plant.program, "admin", "outbox", *command, "--database-url", plant.postgres.url_as("boxoffice_app")],
                                  capture_output=True, text=True, check=False, env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})

        shown = admin("list")
        assert shown.returncode == 0 and shown.stdout.startswith(f"{bad}:-1\trefused\tbooking\titself\t{show}\t0 behind it\t"), shown
        assert "the row is no array of events" in shown.stdout
        assert admin("retry", f"{bad}:-1").returncode == 0
        wait_until(lambda: "no broker is configured" in admin("list").stdout, "it was tried")
        done = admin("skip", f"{bad}:-1")
        assert (done.returncode, done.stdout) == (0, "The relay leaves it out, and goes on with those behind it.\n")
        wait_until(lambda: "No event is set aside." in admin("list").stdout, "it is seen to")
        assert "skipped" in admin("list", "--all").stdout
        wait_until(lambda: metric(started, port, "boxoffice_relay_parked_events") == 0, "the gauge")
        for wrong, said in (("x", "takes an event's id"), (f"{bad}:x", "takes an event's id"), (str(bad), "takes an event's id"),
                            (f"{uuid.uuid4()}:0", "is set aside"), (f"{bad}:-1", "was left out already")):
            refused = admin("retry", wrong)
            assert refused.returncode in (1, 2) and said in refused.stderr, refused


def test_a_sale_comes_to_the_log(plant, stand):
    started = stand()
    show = started.admin().make_show(seats=4)
    buyer = started.session()
    lock = buyer.lock(show.show_id, show.seats[:2]).expect(201)
    buyer.delete(f"/v1/shows/{show.show_id}/locks/{lock['lock_id']}").expect(204)
    with plant.sql() as db:
        drained(db)
        types = [event["type"] for row in log(db, show.show_id) for event in row[3]]
        assert [t for t in types if t.startswith("seat.")] == ["seat.locked", "seat.released"]
        wait_until(lambda: [t for t, in db.execute("SELECT topic FROM outbox_events WHERE show_id = %s AND topic = 'seat'",
                                                    [show.show_id])] == ["seat", "seat"], "both in the view")


def test_two_relays_share_the_partitions_and_one_takes_over(plant, stand, rng):
    with plant.sql() as db:
        first = stand()
        wait_until(lambda: holders(db) == [16], "one relay with all", 10)
        second = stand()
        wait_until(lambda: holders(db) == [8, 8], "two relays with a half each", 10)
        stop = threading.Event()

        def write():
            with plant.sql() as own:
                while not stop.is_set():
                    crowd(own, rng, rows=20)

        writer = threading.Thread(target=write)
        writer.start()
        first.work.kill()
        first.work.wait()
        first.work = None
        try:
            wait_until(lambda: holders(db) == [16], "the one that is left with all", 10)
        finally:
            stop.set()
            writer.join()
        drained(db)
        assert_log_is_whole(db)
        assert second.work.poll() is None


def test_a_relay_that_ends_hands_on_at_once(plant, stand):
    with plant.sql() as db:
        started = stand("--lease-seconds", "60")
        wait_until(lambda: holders(db) == [16], "one relay with all", 10)
        started.work.terminate()
        assert started.work.wait(10) == 0
        started.work = None
        assert holders(db) == []
        started.start_work()
        wait_until(lambda: holders(db) == [16], "the next one with all, without waiting", 10)


def holders(db):
    return sorted(n for n, in db.execute("SELECT count(*) FROM outbox_partitions WHERE until > now() GROUP BY holder").fetchall())


def metric(stand, port, name, **labels):
    import urllib.request
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
               if line.startswith(name) and line[len(name)] in " {" and all(f'{k}="{v}"' in line for k, v in labels.items()))


# ---- with a broker -------------------------------------------------------------------------------------------------------


@pytest.fixture(name="prefix")
def own_topics():
    return f"t{uuid.uuid4().hex[:8]}."


@pytest.fixture(name="relay")
def relay_to_kafka(stand, kafka, prefix):
    def start(*args, **kwargs):
        return stand("--kafka-brokers", kafka.brokers, "--kafka-topic-prefix", prefix, "--kafka-partitions", "3", *args, **kwargs)

    return start


def test_what_is_written_is_on_the_broker_once_and_in_order(plant, relay, kafka, prefix, rng):
    with plant.sql() as db:
        crowd(db, rng)
        show = uuid.uuid4()
        put(db, show, [seats(s1=1, s2=1), seats(s3=1)], "seat")
        put(db, show, [seats("seat.released", s1=2, s2=2), seats(s2=3)], "seat")
        refund, payment, ticket = (str(uuid.uuid4()) for _ in range(3))
        put(db, show, [{"type": "refund.requested", "refund_id": refund, "payment_id": payment}], "payment")
        put(db, show, [{"type": "payment.created", "payment_id": payment, "note": "Größe \\u00df {[\"}"}], "payment")
        put(db, show, [{"type": "ticket.issued", "ticket_id": ticket}], "ticket")
        relay()
        drained(db, 30)
        assert_log_is_whole(db)
        assert db.execute("SELECT count(*) FROM outbox_log WHERE NOT on_broker").fetchone() == (0,)
    assert kafka.topics().items() >= {prefix + topic: 3 for topic in ("seat", "booking", "payment", "ticket", "show")}.items()
    with plant.sql() as db:
        assert assert_told_is_the_outbox(db, kafka, prefix) == 0
    of_show = [(topic, key, headers) for topic, _, key, headers, _ in told(kafka, prefix) if headers["ce_showid"] == str(show)]
    assert {(topic, key) for topic, key, _ in of_show} == {("seat", str(show)), ("payment", refund), ("payment", payment), ("ticket", ticket)}
    assert {h["ce_subject"] for t, _, h in of_show if t != "seat"} == {f"payment/{refund}", f"payment/{payment}", f"ticket/{ticket}"}


def test_topics_that_are_wrong_are_named_and_sales_go_on(plant, relay, kafka, prefix):
    kafka.create_topics({prefix + "ticket": 2})
    started = relay("--work-port", str(port := free_port()))
    wait_until(lambda: f"topic {prefix}ticket has 2 partitions, kafka-partitions is 3" in started.log(), "the sentence", 20)
    show = started.admin().make_show(seats=4)
    started.session().lock(show.show_id, show.seats[:2]).expect(201)
    with plant.sql() as db:
        assert waiting(db) > 0
        wait_until(lambda: metric(started, port, "boxoffice_relay_lag_seconds") > 2, "the lag", 20)
        assert metric(started, port, "boxoffice_relay_errors_total") > 0
        # mended: it goes on by itself
        kafka.delete_topics(prefix + "ticket")
        drained(db, 30)
        wait_until(lambda: metric(started, port, "boxoffice_relay_lag_seconds") == 0, "no lag", 5)
    assert started.log().count("kafka-partitions is 3") == 1, "said again and again"


def test_a_topic_that_cannot_be_made_says_why(plant, relay, prefix):
    started = relay("--kafka-replication", "2")
    wait_until(lambda: f"topic {prefix}seat is not there and cannot be made (kafka-partitions 3, kafka-replication 2)" in started.log(),
               "the sentence", 20)


def test_settings_that_are_wrong_are_told_at_the_start(plant, stand, work_dir):
    (work_dir / "kafka.properties").write_text("sasl.mechanism=PLAIN\nlinger=3\n")
    started = stand(work=False)
    started.args += ["--kafka-brokers", "127.0.0.1:9", "--kafka-config", str(work_dir / "kafka.properties")]
    started.start_work()
    assert started.work.wait(10) == 2
    started.work = None
    assert "line 2 of" in started.log() and "no property of that name" in started.log()


def test_a_broker_that_is_never_there_is_said_and_hurts_nobody(plant, stand):
    started = stand("--kafka-brokers", f"127.0.0.1:{free_port()}", "--work-port", str(port := free_port()))
    show = started.admin().make_show(seats=4)
    started.session().lock(show.show_id, show.seats[:2]).expect(201)
    wait_until(lambda: "no broker of kafka-brokers answers" in started.log(), "the sentence", 20)
    with plant.sql() as db:
        assert waiting(db) > 0
    wait_until(lambda: metric(started, port, "boxoffice_relay_lag_seconds") > 1, "the lag", 20)


def test_an_event_that_the_broker_refuses_waits_with_its_aggregate(plant, relay, kafka, prefix, rng):
    """Too large for us, too large for the broker, no event at all: all are shown; all others go out."""
    shows = uuid.uuid4(), uuid.uuid4()
    large, larger, other = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
    with plant.sql() as db:
        kafka.create_topics({prefix + "booking": 3})
        too_large_for(kafka, prefix + "booking", 50_000)
        crowd(db, rng, rows=100)
        first = put(db, shows[0], [booking(other, 1), booking(large, 1), booking(large, 2, text="x" * 60_000), booking(other, 2)])
        behind = put(db, shows[0], [booking(large, 3), booking(other, 3)])
        second = put(db, shows[0], [booking(larger, 1, text="x" * 2_000_000)])
        none = put(db, shows[1], [7, {"type": "booking.confirmed"}, booking(uuid.uuid4(), 1)])
        crowd(db, rng, rows=100)
        started = relay()
        drained(db, 40)
        assert_log_is_whole(db)
        aside = {f"{first}:2", f"{behind}:0", f"{second}:0", f"{none}:0", f"{none}:1"}
        parked = db.execute("SELECT outbox_id || ':' || place, state, cause, aggregate FROM outbox_parked").fetchall()
        assert {row[0] for row in parked} == aside, parked
        states = {row[0]: row[1:] for row in parked}
        assert states[f"{first}:2"][0] == "refused" and "large" in states[f"{first}:2"][1]
        assert states[f"{behind}:0"] == ("waiting", "an earlier event waits", f"booking {large}")
        assert states[f"{none}:0"][1] == "not an object" and states[f"{none}:1"][1] == "does not say whom it is about"
        assert_told_is_the_outbox(db, kafka, prefix, without=aside)
        assert f"{first}:2" in started.log() and "set aside" not in started.log()
        # a relay that begins anew knows it too
        started.stop_work()
        again = put(db, shows[0], [booking(large, 4), booking(other, 4)])
        started.start_work()
        drained(db)
        aside.add(f"{again}:0")
        assert_told_is_the_outbox(db, kafka, prefix, without=aside)
        # the broker takes more now: tried again, all come, in order
        too_large_for(kafka, prefix + "booking", 1_000_000)
        db.execute("UPDATE outbox_parked SET wish = 'retry' WHERE outbox_id = %s AND state = 'refused'", [first])
        aside -= {f"{first}:2", f"{behind}:0", f"{again}:0"}
        wait_until(lambda: {row for row, in db.execute("SELECT outbox_id || ':' || place FROM outbox_parked").fetchall()} == aside,
                   "those of the first gone out", 20)
        assert_told_is_the_outbox(db, kafka, prefix, without=aside)
        # left out: what is behind it goes on
        after = put(db, shows[0], [booking(larger, 2)])
        wait_until(lambda: db.execute("SELECT state FROM outbox_parked WHERE outbox_id = %s", [after]).fetchall() == [("waiting",)], "it waits")
        db.execute("UPDATE outbox_parked SET wish = 'skip' WHERE outbox_id = %s", [second])
        wait_until(lambda: not db.execute("SELECT 1 FROM outbox_parked WHERE outbox_id = %s", [after]).fetchall(), "it goes out", 20)
        assert db.execute("SELECT state, wish FROM outbox_parked WHERE outbox_id = %s", [second]).fetchall() == [("skipped", "")]
        last = put(db, shows[0], [booking(larger, 3)])
        drained(db)
        messages = [headers["ce_id"] for *_, headers, event in told(kafka, prefix) if event.get("booking_id") == str(larger)]
        assert messages == [f"{after}:0", f"{last}:0"]


def too_large_for(kafka, topic, limit):
    from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
    entry = ConfigEntry("max.message.bytes", str(limit), incremental_operation=AlterConfigOpType.SET)
    for done in kafka.admin().incremental_alter_configs([ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])]).values():
        done.result(20)
