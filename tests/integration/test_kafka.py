"""The broker of the tests and of `up`: what it has acknowledged survives kill -9; it comes back at the same address."""
import uuid


def test_what_was_acknowledged_survives_the_death_of_the_broker(own_kafka):
    topic = f"t-{uuid.uuid4().hex[:8]}"
    own_kafka.create_topics({topic: 4})
    sent = [(topic, f"k{i % 50}", f"{i}".encode(), {"n": f"{i}".encode()}) for i in range(2000)]
    own_kafka.produce(sent)
    own_kafka.kill()
    assert not own_kafka.running()
    own_kafka.start()
    own_kafka.produce([(topic, "after", b"2000", {})])
    found = own_kafka.consume_all(topic)
    assert sorted(int(m.value()) for m in found) == list(range(2001))
    for key in {m.key() for m in found}:
        numbers = [int(m.value()) for m in found if m.key() == key]
        assert numbers == sorted(numbers), f"the messages of {key} are out of order"


def test_a_topic_that_nobody_made_is_not_made_by_asking(kafka):
    name = f"t-{uuid.uuid4().hex[:8]}"
    assert name not in kafka.topics()
    kafka.admin().list_topics(name, timeout=10)
    assert name not in kafka.topics()
