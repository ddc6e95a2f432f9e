"""A real Kafka broker for the tests: one node in KRaft mode, on loopback, from the jars of `make kafka`.

    kafka = start_kafka(folder)         # ready when it returns; kafka.brokers is "127.0.0.1:PORT"
    kafka.create_topics({"boxoffice.seat": 4})
    kafka.kill(); kafka.start()         # the same address and the same data
    kafka.close()

It takes about 250 MB and 3 to 6 s to start; after kill() up to 14 s, as its old registration has to run out first. Ask for
the fixture `kafka` (one broker for all the tests of a process: use topics and groups of your own) unless you hurt it.
"""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time
import uuid

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from servers import free_port, wait_for

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SETTINGS = ROOT / "deploy/kafka"
LIBS = ROOT / "build/kafka/libs"
READY_S = 120  # on an idle machine 6
STOP_S = 20


def java() -> str:
    program = shutil.which("java", path=os.environ.get("PATH", "") + ":/usr/bin")
    assert program, "Java is not installed: make deps-test"
    assert LIBS.is_dir(), f"{LIBS} is not there: make kafka"
    return program


class Kafka:
    """.brokers ("127.0.0.1:PORT"), .port, .pid, .log; the same after restart() and kill() with start()."""

    def __init__(self, folder, properties=None):
        self.dir = pathlib.Path(folder)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.properties = properties or {}
        self.log = self.dir / "kafka.log"
        self.process = None
        self.admin_client = None
        for attempt in range(3):
            self.port, self.controller_port = free_port(), free_port()
            self.brokers = f"127.0.0.1:{self.port}"
            try:
                self._format()
                self.start()
                return
            except RuntimeError:
                # somebody else was given the port between our asking and our using it
                if attempt == 2 or "Address already in use" not in self.log.read_text():
                    raise
                shutil.rmtree(self.dir / "data", ignore_errors=True)
                self.log.unlink()

    @property
    def pid(self) -> int:
        return self.process.pid

    def _format(self):
        text = (SETTINGS / "server.properties").read_text()
        for name, value in {"DIR": self.dir, "PORT": self.port, "CONTROLLER_PORT": self.controller_port}.items():
            text = text.replace(f"@{name}@", str(value))
        text += "".join(f"{name}={value}\n" for name, value in self.properties.items())
        (self.dir / "server.properties").write_text(text)
        done = subprocess.run([*self._java(), "kafka.tools.StorageTool", "format", "-t", str(uuid.uuid4()), "-c",
                               str(self.dir / "server.properties"), "--standalone", "--ignore-formatted"],
                              capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"Kafka's folder could not be made: {done.stdout[-1000:]}{done.stderr[-1000:]}"

    @staticmethod
    def _java() -> list:
        return [java(), f"@{SETTINGS}/java.options", f"-Dlog4j2.configurationFile=file:{SETTINGS}/log4j2.properties", "-cp",
                f"{LIBS}/*"]

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([*self._java(), "kafka.Kafka", str(self.dir / "server.properties")],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        try:
            self.wait_ready()
        except BaseException:  # also when the test is interrupted: nobody else knows of it yet
            self.kill()
            raise

    def wait_ready(self):
        wait_for(self._answers, f"a Kafka that answers (see {self.log})", READY_S)

    def _answers(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError("Kafka ended: " + self.log.read_text()[-3000:])
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1):
                return True
        except OSError:
            time.sleep(0.05)
            return False

    def running(self) -> bool:
        return self.process.poll() is None

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.send_signal(signal.SIGCONT)
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self):
        """-9; also ends a paused one. What it had acknowledged is there again after start()."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def restart(self):
        self.stop()
        self.start()

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def close(self):
        self.kill()  # its data goes with the folder: no need for the seconds that an orderly end takes
        if not os.environ.get("BOXOFFICE_KEEP"):
            shutil.rmtree(self.dir / "data", ignore_errors=True)

    # ---- topics, messages; by a client that has nothing to do with what is tested ----

    def admin(self) -> AdminClient:
        if self.admin_client is None:
            self.admin_client = AdminClient({"bootstrap.servers": self.brokers, "log_level": 0})
        return self.admin_client

    def topics(self) -> dict:
        """Name -> number of partitions, without Kafka's own."""
        found = self.admin().list_topics(timeout=READY_S).topics
        return {name: len(t.partitions) for name, t in found.items() if not name.startswith("__")}

    def create_topics(self, topics: dict):
        """{name: partitions}; returns when every partition has a leader."""
        for done in self.admin().create_topics([NewTopic(n, p, 1) for n, p in topics.items()],
                                               operation_timeout=30).values():
            done.result(READY_S)

        def led():
            known = self.admin().list_topics(timeout=10).topics
            return all(n in known and known[n].error is None and len(known[n].partitions) == p and
                       all(q.leader >= 0 for q in known[n].partitions.values()) for n, p in topics.items())

        wait_for(led, f"leaders for {', '.join(topics)}", READY_S)

    def delete_topics(self, *names):
        for done in self.admin().delete_topics(list(names), operation_timeout=30).values():
            done.result(READY_S)

    def produce(self, messages):
        """messages: (topic, key, value, headers) each, in this order; returns when all are acknowledged."""
        failed = []
        producer = Producer({"bootstrap.servers": self.brokers, "enable.idempotence": True, "linger.ms": 5, "log_level": 0})
        for topic, key, value, headers in messages:
            while True:
                try:
                    producer.produce(topic, value=value, key=key, headers=headers,
                                     on_delivery=lambda e, m: failed.append(e) if e else None)
                    break
                except BufferError:
                    producer.poll(0.1)
            producer.poll(0)
        left = producer.flush(READY_S)
        assert not left and not failed, f"{left} messages are not acknowledged, {len(failed)} failed: {failed[:1]}"

    def end_offsets(self, topic: str) -> dict:
        """Partition -> the offset of the next message."""
        consumer = Consumer({"bootstrap.servers": self.brokers, "group.id": f"look-{uuid.uuid4()}", "log_level": 0})

        def ask():
            try:
                return {p: consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=READY_S)[1]
                        for p in range(self.topics()[topic])}
            except KafkaException as error:  # a broker that has just come back leads nothing yet
                if error.args[0].code() not in (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE):
                    raise
                time.sleep(0.2)
                return None

        try:
            return wait_for(ask, f"leaders for {topic}", READY_S)
        finally:
            consumer.close()

    def consume_all(self, *topics) -> list:
        """All messages of these topics up to their ends of now, in the order of each partition: confluent_kafka.Message."""
        ends = {(t, p): end for t in topics for p, end in self.end_offsets(t).items()}
        consumer = Consumer({"bootstrap.servers": self.brokers, "group.id": f"look-{uuid.uuid4()}", "log_level": 0,
                             "enable.auto.commit": False, "auto.offset.reset": "earliest",
                             "enable.partition.eof": False, "isolation.level": "read_committed"})
        found = []
        try:
            consumer.assign([TopicPartition(t, p, 0) for (t, p), end in ends.items() if end > 0])
            waiting = {tp for tp, end in ends.items() if end > 0}
            limit = time.monotonic() + READY_S
            while waiting:
                assert time.monotonic() < limit, f"messages of {sorted(waiting)} did not come within {READY_S} s"
                for message in consumer.consume(1000, timeout=0.2):
                    if message.error():
                        raise KafkaException(message.error())
                    found.append(message)
                for partition in consumer.position([TopicPartition(t, p) for t, p in waiting]):
                    if partition.offset >= ends[(partition.topic, partition.partition)]:
                        waiting.discard((partition.topic, partition.partition))
            return found
        finally:
            consumer.close()

    def committed(self, group: str, topic: str) -> dict:
        """Partition -> the offset that a group has committed, None where it has none."""
        consumer = Consumer({"bootstrap.servers": self.brokers, "group.id": group, "log_level": 0})
        try:
            found = consumer.committed([TopicPartition(topic, p) for p in range(self.topics()[topic])], timeout=READY_S)
            return {p.partition: p.offset if p.offset >= 0 else None for p in found}
        finally:
            consumer.close()


def start_kafka(folder, properties=None) -> Kafka:
    return Kafka(folder, properties)
