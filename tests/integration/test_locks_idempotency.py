"""Idempotency-Key on lock requests."""

import asyncio

import load
import psycopg
import pytest
from service import wait_until
from stand import assert_agreement, living_locks


def same(answer):
    """What must be equal in every answer; the seconds left run on."""
    body = answer.json()
    body.pop("expires_in")
    return body


@pytest.fixture
def show(shared_stand):
    return shared_stand.admin().make_show(seats=50)


@pytest.mark.parametrize("what", [["A-1", "A-2"], 3], ids=["seats", "best"])
def test_one_key_a_thousand_times_at_once(shared_stand, show, what):
    buyer = shared_stand.session()

    async def run():
        clients = [load.Client(shared_stand.url, buyer.token) for _ in range(250)]

        async def four(client):
            return [await client.lock(show.show_id, what, key="the-key") for _ in range(4)]

        return [answer for answers in await load.gather([four(client) for client in clients]) for answer in answers]

    answers = asyncio.run(run())
    assert len(answers) == 1000
    for answer in answers:
        answer.expect(201)
        assert same(answer) == same(answers[0])
    with shared_stand.plant.sql() as db:
        locks = living_locks(db, show)
    assert [str(lock) for lock in locks] == [answers[0].json()["lock_id"]]
    assert_agreement(shared_stand, show)
    # and the marks of those that came to nothing hold nobody up
    rest = [guid for guid in show.seats if guid not in {seat["guid"] for seat in answers[0].json()["seats"]}]
    shared_stand.session().lock(show.show_id, rest[:10]).expect(201)


def test_two_bodies_at_once(shared_stand, show):
    """One of them is the request; every other one is told that it is not."""
    buyer = shared_stand.session()

    async def run():
        return await load.gather([load.Client(shared_stand.url, buyer.token).lock(show.show_id, [show.seats[n % 5]], key="k")
                                  for n in range(50)])

    answers = asyncio.run(run())
    won = {answer.json()["seats"][0]["guid"] for answer in answers if answer.status == 201}
    assert len(won) == 1, won
    for number, answer in enumerate(answers):
        if show.seats[number % 5] in won:
            answer.expect(201)
        else:
            # seats that another of them was being admitted to for a moment are a refusal too, and not remembered
            assert (answer.status, answer.code) in [(422, "idempotency_mismatch"), (409, "seats_unavailable")], answer
    assert set(shared_stand.api().taken(show.show_id)) == won
    assert_agreement(shared_stand, show)


def test_another_body_is_refused_and_another_spelling_is_not(shared_stand, show):
    buyer = shared_stand.session()
    first = buyer.lock(show.show_id, ["A-1"], key="k").expect(201)
    buyer.lock(show.show_id, ["A-2"], key="k").expect(422, "idempotency_mismatch")
    buyer.lock(show.show_id, ["A-1", "A-2"], key="k").expect(422, "idempotency_mismatch")
    spelled = buyer.post(f"/v1/shows/{show.show_id}/locks", b'{ "seats" : ["\\u0041-1"] }', key="k").expect(201)
    assert spelled["lock_id"] == first["lock_id"]
    assert shared_stand.api().taken(show.show_id) == {"A-1": "locked"}
    # the limit still counts the lock that was asked for in vain with another body
    buyer.lock(show.show_id, ["B-1"]).expect(201)
    buyer.lock(show.show_id, ["B-2"]).expect(409, "lock_limit")
    # the key is the session's own
    shared_stand.session().lock(show.show_id, ["A-1"], key="k").expect(409, "seats_unavailable")
    assert_agreement(shared_stand, show)


def test_after_a_lost_answer(shared_stand, show, rng):
    """The connection is cut after sending; asked again with the key, it is the same lock or the first."""
    buyer = shared_stand.session()

    async def lose():
        client = load.Client(shared_stand.url, buyer.token)
        for _ in range(10):
            with pytest.raises(load.Lost):
                await client.lock(show.show_id, ["A-1", "A-2"], key="k", hang_up=1)
            await asyncio.sleep(rng.random() * 0.01)

    asyncio.run(lose())
    lock = buyer.lock(show.show_id, ["A-1", "A-2"], key="k").expect(201)
    assert buyer.lock(show.show_id, ["A-1", "A-2"], key="k").expect(201)["lock_id"] == lock["lock_id"]
    with shared_stand.plant.sql() as db:
        assert [str(one) for one in living_locks(db, show)] == [lock["lock_id"]]


def test_a_lost_answer_without_a_key_gives_the_seats_back(shared_stand, show):
    """Nobody can ever learn of that lock: it is released as soon as the hang-up is known."""
    buyer = shared_stand.session()
    with shared_stand.plant.sql() as db:
        # the batch waits for the row, so that the hang-up is known before the answer
        with db.transaction():
            db.execute("SELECT 1 FROM show_seats WHERE show_id = %s AND seat_no = 0 FOR UPDATE", [show.show_id])

            async def lose():
                with pytest.raises(load.Lost):
                    await load.Client(shared_stand.url, buyer.token).lock(show.show_id, ["A-1"], hang_up=1)
                await asyncio.sleep(0.2)

            asyncio.run(lose())
        wait_until(lambda: shared_stand.api().taken(show.show_id) == {}, "the seat to be free")
        wait_until(lambda: shared_stand.session().lock(show.show_id, ["A-1"]).status == 201, "the seat to be sold again")


def test_after_its_end_the_key_tells_of_the_lock(shared_stand, show):
    buyer = shared_stand.session()
    lock = buyer.lock(show.show_id, ["A-1"], key="k").expect(201)
    buyer.release(show.show_id, lock["lock_id"]).expect(204)
    again = buyer.lock(show.show_id, ["A-1"], key="k").expect(201)
    assert (again["lock_id"], again["state"], again["expires_in"]) == (lock["lock_id"], "released", 0)
    assert shared_stand.api().taken(show.show_id) == {}
    shared_stand.session().lock(show.show_id, ["A-1"]).expect(201)


def test_a_refusal_is_not_remembered(shared_stand, show):
    first, second = shared_stand.session(), shared_stand.session()
    lock = first.lock(show.show_id, ["A-1"]).expect(201)
    second.lock(show.show_id, ["A-1"], key="k").expect(409, "seats_unavailable")
    first.release(show.show_id, lock["lock_id"]).expect(204)
    second.lock(show.show_id, ["A-1"], key="k").expect(201)


def test_the_same_lock_made_by_another_process_at_this_moment(shared_stand, show):
    """Two processes have chosen different best seats for one key. The other one's commit comes between our look and our
    insert: the primary key decides, and its lock is the answer to both."""
    buyer = shared_stand.session()
    lock = buyer.lock(show.show_id, 1, key="k").expect(201)
    where = "show_id = %s AND lock_id = %s"
    ids = [show.show_id, lock["lock_id"]]
    with shared_stand.plant.sql() as db, psycopg.connect(shared_stand.plant.postgres.url) as twin:
        twin.execute(f"CREATE TEMPORARY TABLE saved AS SELECT * FROM seat_locks WHERE {where}", ids)
        twin.commit()
        db.execute(f"DELETE FROM seat_locks WHERE {where}", ids)
        db.execute(f"UPDATE show_seats SET state = 0, lock_id = DEFAULT, expires_at = DEFAULT, fence = fence + 1 WHERE {where}", ids)
        with shared_stand.plant.cache() as cache:
            cache.delete(f"map:{{{show.show_id}}}", f"ses:{{{show.show_id}}}")
        twin.execute("UPDATE saved SET seats = '{49}'")
        twin.execute("INSERT INTO seat_locks SELECT * FROM saved")
        twin.execute("""UPDATE show_seats s SET state = 1, lock_id = l.lock_id, expires_at = l.expires_at, fence = fence + 1
            FROM saved l WHERE s.show_id = l.show_id AND s.seat_no = 49""")

        async def ask():
            asked = asyncio.ensure_future(load.Client(shared_stand.url, buyer.token).lock(show.show_id, 1, key="k"))
            waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%seat_lock_batch%'"
            while not db.execute(waiting).fetchone():
                await asyncio.sleep(0.005)
            twin.commit()
            return await asked

        again = asyncio.run(ask()).expect(201)
    assert again["lock_id"] == lock["lock_id"] and [seat["guid"] for seat in again["seats"]] == [show.seats[49]]
    assert_agreement(shared_stand, show)
    assert shared_stand.api().taken(show.show_id) == {show.seats[49]: "locked"}
