"""A request that spoils the batch it is in: only the culprit is told, the others get their seats."""

import asyncio
import time

import load
import psycopg
import pytest
from service import wait_until

OTHERS = 99


@pytest.fixture
def stand(make_stand):
    return make_stand(workers=1)  # one batcher


async def full_batch(stand, show, clients, hold):
    """Everybody asks for a seat of his own while the batch before theirs waits for a row; (answers, seconds)."""
    first = load.Client(stand.url, clients[-1].token)
    hold.execute("SELECT 1 FROM show_seats WHERE show_id = %s AND seat_no = %s FOR UPDATE", [show.show_id, len(show.seats) - 1])
    blocked = asyncio.ensure_future(first.lock(show.show_id, [show.seats[-1]]))
    await asyncio.sleep(0.05)

    async def one(client, guid):
        begun = time.monotonic()
        return await client.lock(show.show_id, [guid]), time.monotonic() - begun

    asked = asyncio.gather(*[one(client, guid) for client, guid in zip(clients, show.seats[:len(clients)], strict=True)])
    await asyncio.sleep(0.25)
    hold.rollback()
    (await blocked).expect(201)
    return await asked


def test_only_the_culprit_of_a_failing_statement_is_told(stand, rng):
    show = stand.admin().make_show(seats=110)
    clients = asyncio.run(load.sessions(stand.url, OTHERS + 1))
    culprit = rng.randrange(OTHERS)
    before = stand.metric("boxoffice_lock_batch_retries_total")
    with stand.plant.sql() as db, psycopg.connect(stand.plant.postgres.url) as hold:
        db.execute(f"""
            CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
              IF NEW.session_id = '{load.session_of(clients[culprit].token)}' THEN RAISE 'poison'; END IF;
              RETURN NEW; END $$;
            CREATE TRIGGER poison BEFORE INSERT ON seat_locks FOR EACH ROW EXECUTE FUNCTION poison()""")
        try:
            answers = asyncio.run(full_batch(stand, show, [load.Client(stand.url, c.token) for c in clients], hold))
        finally:
            db.execute("DROP TRIGGER poison ON seat_locks; DROP FUNCTION poison()")
    for number, (answer, _) in enumerate(answers):
        if number == culprit:
            answer.expect(500, "internal")
        else:
            answer.expect(201)
    # by halves from about a hundred: it was in a batch with the others
    wait_until(lambda: stand.metric("boxoffice_lock_batch_retries_total") >= before + 6, "halving")
    show_after = stand.api().taken(show.show_id)
    assert show.seats[culprit] not in show_after and len(show_after) == OTHERS + 1
    stand.session().lock(show.show_id, [show.seats[culprit]]).expect(201)


def test_a_row_that_somebody_holds_delays_only_who_wants_it(stand, rng):
    show = stand.admin().make_show(seats=110)
    clients = asyncio.run(load.sessions(stand.url, OTHERS + 1))
    unlucky = rng.randrange(OTHERS)
    with psycopg.connect(stand.plant.postgres.url) as held, psycopg.connect(stand.plant.postgres.url) as hold:
        held.execute("SELECT 1 FROM show_seats WHERE show_id = %s AND seat_no = %s FOR UPDATE", [show.show_id, unlucky])
        answers = asyncio.run(full_batch(stand, show, [load.Client(stand.url, c.token) for c in clients], hold))
        for number, (answer, took_s) in enumerate(answers):
            if number == unlucky:
                answer.expect(503, "unavailable")
            else:
                answer.expect(201)
                assert took_s < 2.5, "waited behind somebody else's seat"
    stand.session().lock(show.show_id, [show.seats[unlucky]]).expect(201)


def test_a_row_that_somebody_holds_does_not_stop_those_who_come_later(stand):
    show = stand.admin().make_show(seats=110)
    with psycopg.connect(stand.plant.postgres.url) as held:
        held.execute("SELECT 1 FROM show_seats WHERE show_id = %s AND seat_no = 0 FOR UPDATE", [show.show_id])

        async def ask():
            clients = await load.sessions(stand.url, 50)
            stuck = asyncio.ensure_future(clients[0].lock(show.show_id, [show.seats[0]]))
            slow = []
            for number in range(1, 50):
                begun = time.monotonic()
                (await clients[number].lock(show.show_id, [show.seats[number]])).expect(201)
                slow.append(time.monotonic() - begun)
                await asyncio.sleep(0.02)
            (await stuck).expect(503, "unavailable")
            return slow

        slow = asyncio.run(ask())
    assert max(slow) < 1.5, "waited for a row of somebody else's longer than one lock_timeout"
