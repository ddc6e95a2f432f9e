"""`boxoffice up --kafka`: a broker as one more part of it."""

import json
import os
import shutil
import signal
import socket

import pytest
from confluent_kafka.admin import AdminClient

from kafka import LIBS, Kafka
from service import Boxoffice, wait_until
from test_up import assert_refused, run

pytestmark = pytest.mark.timeout(600)  # a Java that starts on a busy machine


class WithKafka(Boxoffice):
    STOP_WITHIN_S = 30
    START_WITHIN_S = 180

    @property
    def brokers(self):
        return self.up["kafka"]

    def look(self):
        """The broker, seen by the client of the tests."""
        broker = Kafka.__new__(Kafka)
        broker.brokers, broker.admin_client = self.brokers, None
        return broker


@pytest.fixture
def office(build_dir, work_dir):
    folder = work_dir / "vé~"  # a name that a settings file of Java could not hold
    folder.mkdir()
    assert LIBS.is_dir(), "make kafka"
    office = WithKafka(build_dir, folder, "--kafka", "--workers", "1", demo=True)
    office.start()
    yield office
    office.close()


def test_events_go_to_its_broker_which_survives_all(office):
    show = office.up["demo"]["show_ids"][0]
    broker = office.look()

    def lock(n):
        buyer = office.session()
        for _ in range(n):
            lock_id = buyer.lock(show, 1).expect(201)["lock_id"]
            buyer.release(show, lock_id).expect(204)

    def events():
        return [m for m in broker.consume_all("boxoffice.seat") if json.loads(m.value())["type"] == "seat.locked"]

    wait_until(lambda: "boxoffice.seat" in broker.topics(), "topics made by the relay", 60, 0.2)
    lock(3)
    wait_until(lambda: len(events()) >= 3, "three locks on the broker", 60, 0.2)
    # killed: it is started again, with what it had
    [pid] = office.pids("kafka.Kafka")

    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: "kafka ended (signal 9); restarted" in office.log(), "that it was said", 30)
    lock(2)
    wait_until(lambda: office.pids("kafka.Kafka") not in ([], [pid]), "another one", 60, 0.2)
    wait_until(lambda: answers(office.brokers), "a broker that answers", 120, 0.2)
    wait_until(lambda: len(events()) >= 5, "five locks on the broker", 120, 0.5)
    # stopped in order and started again on the same folder: the same port, the same data
    before = office.brokers
    office.stop(signal.SIGINT)
    assert not (office.dir / "up.json").exists()
    office.start()
    assert office.brokers == before
    assert len(events()) >= 5
    lock(1)
    wait_until(lambda: len(events()) >= 6, "six locks on the broker", 60, 0.2)


def answers(brokers):
    try:
        with socket.create_connection(tuple(brokers.split(":")), 1):
            return bool(AdminClient({"bootstrap.servers": brokers, "log_level": 0}).list_topics(timeout=5))
    except Exception:
        return False


@pytest.fixture
def lonely(build_dir, work_dir):
    """The programs in a folder where no jars are."""
    folder = work_dir / "bin"
    folder.mkdir()
    for name in ("boxoffice", "boxoffice-paysim"):
        shutil.copy(build_dir / name, folder / name)
    return folder


def test_missing_jars_are_said_with_the_command_that_fetches_them(lonely, work_dir):
    assert_refused(run(lonely, "up", "--dir", work_dir / "var", "--port", 0, "--kafka"), "jars", "make kafka")
    assert not (work_dir / "var/postgresql/data").exists(), "nothing was made before"


def test_missing_java_is_said_with_the_command_that_installs_it(build_dir, work_dir):
    tools = work_dir / "tools"
    tools.mkdir()
    (tools / "redis-server").symlink_to(shutil.which("redis-server"))
    done = run(build_dir, "up", "--dir", work_dir / "var", "--port", 0, "--kafka", env={"PATH": str(tools), "JAVA_HOME": ""})
    assert_refused(done, "Java 17", "script/deps kafka")


def test_its_own_broker_and_another_exclude_each_other(build_dir, work_dir):
    done = run(build_dir, "up", "--dir", work_dir / "var", "--port", 0, "--kafka", "--kafka-brokers", "127.0.0.1:1")
    assert_refused(done, "kafka-brokers", status=2)


def test_a_java_that_cannot_run_it_is_said(build_dir, work_dir):
    assert LIBS.is_dir(), "make kafka"
    java = work_dir / "old/bin/java"
    java.parent.mkdir(parents=True)
    java.write_text("#!/bin/sh\necho 'Error: UnsupportedClassVersionError' >&2\nexit 1\n")
    java.chmod(0o755)
    done = run(build_dir, "up", "--dir", work_dir / "var", "--port", 0, "--kafka", env={"JAVA_HOME": str(work_dir / "old")})
    assert done.returncode == 1 and "Java 17 or newer" in done.stderr and "UnsupportedClassVersionError" in done.stderr
