"""The end of a lock's time, and who wins at that very moment."""

import asyncio
import time

import load
import psycopg
import pytest
from service import wait_until
from stand import assert_agreement, assert_whole, database_seats

LOCK_S = 2


@pytest.fixture(scope="module")
def stand(plant):
    from stand import Stand
    stand = Stand(plant, "--lock-seconds", str(LOCK_S))
    yield stand
    stand.close()


@pytest.fixture(scope="module")
def show(stand):
    return stand.admin().make_show(seats=50)


def test_its_seats_are_free_again(stand):
    show = stand.admin().make_show(seats=10)
    buyer, other = stand.session(), stand.session()
    lock = buyer.lock(show.show_id, show.seats[:3]).expect(201)
    over = time.monotonic() + LOCK_S
    assert 1 <= lock["expires_in"] <= LOCK_S
    other.lock(show.show_id, show.seats[:1]).expect(409, "seats_unavailable")
    time.sleep(max(0, over - time.monotonic()))
    wait_until(lambda: stand.api().taken(show.show_id) == {}, "free seats", timeout_s=1)
    seen = buyer.lock_state(show.show_id, lock["lock_id"]).expect(200)
    assert seen["state"] == "expired" and seen["expires_in"] == 0
    assert buyer.get("/v1/me/locks").expect(200)["items"] == []
    other.lock(show.show_id, show.seats[:3]).expect(201)
    buyer.release(show.show_id, lock["lock_id"]).expect(204)  # also when already ended
    assert set(stand.api().taken(show.show_id)) == set(show.seats[:3]), "a lock that is over gives nobody's seats back"
    with stand.plant.sql() as db:
        events = [event for (row,) in db.execute("SELECT events FROM outbox_events WHERE show_id = %s AND topic = 'seat' ORDER BY seq",
                                                 [show.show_id]) for event in row]
    # whether the sweeper ended it or the one who took over
    assert [event["type"] for event in events] == ["seat.locked", "seat.lock_expired", "seat.locked"]
    assert events[1]["lock_id"] == lock["lock_id"]


def test_many_take_over_at_the_very_moment(stand, rng):
    """50 sessions ask for the seats of ten locks all the time while these end, without the sweeper: one gets each."""
    stand.stop_work()
    try:
        show = stand.admin().make_show(seats=50)
        owners = asyncio.run(load.sessions(stand.url, 10))
        crowd = asyncio.run(load.sessions(stand.url, 50))

        async def run():
            locks = await load.gather([load.Client(stand.url, owner.token).lock(show.show_id, show.seats[5 * n:5 * n + 5])
                                       for n, owner in enumerate(owners)])
            end = time.monotonic() + LOCK_S
            for lock in locks:
                lock.expect(201)
            await asyncio.sleep(LOCK_S - 0.2)
            won = {}

            async def hunt(client):
                client = load.Client(stand.url, client.token)
                while time.monotonic() < end + 0.4:
                    n = rng.randrange(10)
                    wanted = rng.sample(show.seats[5 * n:5 * n + 5], rng.randint(1, 5))
                    asked = time.monotonic()
                    answer = await client.lock(show.show_id, wanted)
                    if answer.status == 201:
                        for guid in wanted:
                            assert guid not in won, f"{guid} was given to {won[guid]} and to {answer}"
                            won[guid] = answer.json()["lock_id"]
                        assert time.monotonic() > end - 0.3, "taken long before its end"
                        assert asked < end + 0.4
                    else:
                        assert answer.status == 409, answer

            await load.gather([hunt(client) for client in crowd])
            return won

        won = asyncio.run(run())
        assert len(won) >= 10, "nobody took anything over"
        with stand.plant.sql() as db:
            held = {guid: str(lock) for guid, (_, lock) in database_seats(db, show).items()}
            assert held == won
            assert_whole(db, show)
    finally:
        stand.start_work()
    wait_until(lambda: stand.api().taken(show.show_id) == {}, "all of it swept", timeout_s=LOCK_S + 3)
    assert_agreement(stand, show)


def test_paid_or_taken_over_but_never_both(stand, root, rng):
    """The owner pays (the statement of the booking's first transaction) in the moment in which its time ends and another
    wants its seats."""
    show = stand.admin().make_show(seats=20)
    statement = (root / "src/seat/sql/lock_pay.sql").read_text()
    owners = asyncio.run(load.sessions(stand.url, 10))
    takers = asyncio.run(load.sessions(stand.url, 10))
    paid, taken = {}, {}

    def pay(number, lock_id, at):
        with psycopg.connect(stand.plant.postgres.url_as("boxoffice_app")) as db:
            db.execute("SET lock_timeout = '500ms'")
            db.execute(f"PREPARE lock_pay AS {statement}")
            time.sleep(max(0, at - time.monotonic()))
            row = db.execute(f"EXECUTE lock_pay('{show.show_id}', '{lock_id}', '{load.session_of(owners[number].token)}', gen_random_uuid())"
                             ).fetchone()
            if row is None or row[8] != 2:
                db.rollback()
                return
            time.sleep(0.01)  # what a booking still writes
            db.commit()
            paid[number] = row

    async def one(number):
        seats = show.seats[2 * number:2 * number + 2]
        owner, taker = load.Client(stand.url, owners[number].token), load.Client(stand.url, takers[number].token)
        lock = (await owner.lock(show.show_id, seats)).expect(201)
        end = time.monotonic() + LOCK_S
        payment = asyncio.get_running_loop().run_in_executor(None, pay, number, lock["lock_id"], end + rng.uniform(-0.03, 0.01))
        await asyncio.sleep(LOCK_S - 0.1)
        while time.monotonic() < end + 0.5:
            answer = await taker.lock(show.show_id, seats)
            if answer.status == 201:
                taken[number] = answer.json()["lock_id"]
                break
            assert answer.status == 409, answer
        await payment

    async def all_of_it():
        from concurrent.futures import ThreadPoolExecutor
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(10))
        await load.gather([one(number) for number in range(10)])

    asyncio.run(all_of_it())
    assert set(paid) | set(taken) == set(range(10)), "neither paid nor taken over"
    assert not set(paid) & set(taken), "paid and taken over"
    with stand.plant.sql() as db:
        held, locks = assert_whole(db, show)
        for number in paid:
            assert {held[guid][0] for guid in show.seats[2 * number:2 * number + 2]} == {"locked"}
            rows = db.execute("SELECT expires_at = 'infinity' FROM show_seats WHERE show_id = %s AND seat_no IN (%s, %s)",
                              [show.show_id, 2 * number, 2 * number + 1]).fetchall()
            assert rows == [(True,), (True,)]
    time.sleep(1.2)  # rounds of the sweeper
    with stand.plant.sql() as db:
        held, _ = assert_whole(db, show)
        for number in paid:
            assert set(show.seats[2 * number:2 * number + 2]) <= set(held), "the sweeper took what is being paid"
