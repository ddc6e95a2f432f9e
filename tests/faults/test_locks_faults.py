"""A race of 500 clients while something breaks: nobody is told that he has what he has not, no seat gets a second owner, and
afterwards every seat is owned or can be locked."""

import asyncio
import os
import signal
import time

import load
import pytest
from aftermath import prove
from service import wait_until

CLIENTS = 500
PENDING_S = 10  # a mark of an admission whose process died ends by itself


async def moment(rng, least=0.2, most=1.2):
    await asyncio.sleep(rng.uniform(least, most))


def run(stand, rng, chaos, clients=CLIENTS, **kwargs):
    """A show of its own, sessions, the race with the fault in it; the racers."""
    show = stand.admin().make_show(seats=50)

    async def all_of_it():
        crowd = await load.sessions(stand.url, clients)
        return await load.race(stand.url, show, crowd, rng, keep=0.05, chaos=chaos, **{"seconds": 1, "faults": True, **kwargs})

    racers = asyncio.run(all_of_it())
    assert sum(racer.won for racer in racers) >= 12
    return show, racers


def test_redis_is_wiped(make_stand, rng):
    stand = make_stand()

    async def wipe():
        with stand.plant.cache() as cache:
            for _ in range(3):
                await moment(rng, 0.2, 0.6)
                cache.flushall()

    # nothing fails: what Redis forgot is read again
    show, racers = run(stand, rng, wipe(), faults=False)
    prove(stand, show, racers)
    wait_until(lambda: stand.metric("boxoffice_seat_map_loads_total") >= 3, "three maps loaded")


def test_redis_is_stopped_and_started(make_stand, rng):
    stand = make_stand()

    async def restart():
        await moment(rng)
        stand.plant.redis.kill() if rng.random() < 0.5 else stand.plant.redis.stop()
        await moment(rng, 0.5, 1)
        await asyncio.to_thread(stand.plant.redis.start)

    show, racers = run(stand, rng, restart(), faults=False)
    wait_until(stand.ready, "Redis is used again")
    prove(stand, show, racers)


def test_redis_hangs(make_stand, rng):
    stand = make_stand()

    async def hang():
        await moment(rng)
        stand.plant.redis.pause()
        await moment(rng, 1.2, 2.5)
        stand.plant.redis.go_on()

    show, racers = run(stand, rng, hang(), faults=False)
    wait_until(stand.ready, "Redis is used again")
    prove(stand, show, racers, free_s=PENDING_S + 2)


def test_postgresql_is_restarted(make_stand, rng):
    stand = make_stand()

    async def restart():
        await moment(rng)
        if rng.random() < 0.5:
            stand.plant.postgres.kill()
        else:
            await asyncio.to_thread(stand.plant.postgres.stop)
        await asyncio.to_thread(stand.plant.postgres.start)

    show, racers = run(stand, rng, restart())
    wait_until(stand.ready, "PostgreSQL is used again")
    prove(stand, show, racers, free_s=PENDING_S + 2)
    assert max(racer.client.slowest_s for racer in racers) < 5


def test_postgresql_hangs(make_stand, rng):
    """Longer than a request waits: whoever was told 503 is held to nothing, a batch of unknown outcome is found out."""
    stand = make_stand()

    async def hang():
        await moment(rng)
        stand.plant.postgres.pause()
        await asyncio.sleep(rng.uniform(3, 4))
        stand.plant.postgres.go_on()

    show, racers = run(stand, rng, hang())
    assert max(racer.client.slowest_s for racer in racers) < 5
    wait_until(stand.ready, "PostgreSQL is used again")
    prove(stand, show, racers, free_s=PENDING_S + 2)


def test_a_worker_is_killed(make_stand, rng):
    stand = make_stand()

    async def kill():
        for _ in range(2):
            await moment(rng, 0.3, 0.8)
            os.kill(rng.choice(stand.worker_pids()), signal.SIGKILL)

    show, racers = run(stand, rng, kill())
    prove(stand, show, racers, free_s=PENDING_S + 2)
    assert stand.log().count("a worker was killed by a signal") == 2


@pytest.mark.parametrize("place", ["after_admit", "after_commit"])
def test_a_worker_is_killed_between(make_stand, rng, work_dir, place):
    """Between Redis' admission and PostgreSQL's commit; between the commit and what is written back and answered."""
    stand = make_stand(env={"BOXOFFICE_TEST_CRASH": str(work_dir)})
    armed = work_dir / place

    async def arm():
        await moment(rng, 0.3, 0.8)
        armed.touch()
        while armed.exists():
            await asyncio.sleep(0.01)

    show, racers = run(stand, rng, arm())
    assert "a worker was killed by a signal" in stand.log()
    # the mark of what was committed but never written back is corrected within the bound of staleness
    prove(stand, show, racers, free_s=PENDING_S + 2)


def test_clients_hang_up(make_stand, rng):
    stand = make_stand()
    show, racers = run(stand, rng, None, faults=False, hang_up=0.3, seconds=1.5)
    assert sum(bool(racer.unsure) for racer in racers) > CLIENTS / 4
    prove(stand, show, racers)


def test_workers_are_replaced_and_no_request_is_dropped(make_stand, rng):
    """SIGHUP: workers drain and are replaced one by one. Half of the clients connect anew for each request, the others keep
    their connections busy; every request is answered."""
    stand = make_stand()
    before = set(stand.worker_pids())

    async def replace():
        await moment(rng, 0.2, 0.5)
        stand.serve.send_signal(signal.SIGHUP)
        while set(stand.worker_pids()) & before:
            await asyncio.sleep(0.01)

    show = stand.admin().make_show(seats=50)

    async def all_of_it():
        crowd = await load.sessions(stand.url, 200)
        for client in crowd[::2]:
            client.fresh = True
        return await load.race(stand.url, show, crowd, rng, keep=0.05, seconds=0.5, chaos=replace(), think_s=0, faults=False)

    racers = asyncio.run(all_of_it())
    prove(stand, show, racers)


def test_serve_is_stopped_and_answers_what_was_asked(make_stand, rng):
    """SIGTERM: what is asked on the connections that are there is answered; then nobody is let in."""
    stand = make_stand()
    show = stand.admin().make_show(seats=50)

    async def stop():
        await moment(rng, 0.3, 0.8)
        stand.serve.send_signal(signal.SIGTERM)

    async def until_refused(racer):
        while True:
            try:
                await racer.client.connect()
            except load.Refused:
                return
            # without faults: a request that was sent and not answered, or answered 5xx, fails the test
            lock_id = await racer.lock(racer.rng.sample(show.seats, 2))
            if lock_id and racer.rng.random() > 0.05 and racer.client.connected:
                await racer.release(lock_id)

    async def all_of_it():
        crowd = await load.sessions(stand.url, 100)
        racers = [load.Racer(n, client, show, rng, False, None) for n, client in enumerate(crowd)]
        await load.gather([until_refused(racer) for racer in racers] + [stop()])
        return racers

    racers = asyncio.run(all_of_it())
    assert stand.serve.wait(10) == 0
    stand.start_serve()
    stand.wait_ready()
    prove(stand, show, racers)


@pytest.mark.parametrize("away_s", [0.4, 1.3])
@pytest.mark.parametrize("back", [True, False])
def test_work_is_stopped_in_the_middle_of_its_rounds(make_stand, away_s, back):
    """PostgreSQL does not answer: rounds are let end when it comes back soon, cut when it does not; nothing of them is left behind."""
    stand = make_stand("--sweep-ms", "20", "--lock-seconds", "1")
    show = stand.admin().make_show(seats=10)
    stand.session().lock(show.show_id, show.seats[:2]).expect(201)
    stand.plant.postgres.pause()
    try:
        time.sleep(away_s)
        stand.work.send_signal(signal.SIGTERM)
        if back:
            time.sleep(0.3)
            assert stand.work.poll() is None, "it waits for its rounds"
            stand.plant.postgres.go_on()
        assert stand.work.wait(3.5) == 0
    finally:
        stand.plant.postgres.go_on()
    stand.work = None
    stand.assert_clean()
    with stand.plant.sql() as db:
        db.execute("DELETE FROM leases")
    stand.start_work()
    wait_until(lambda: stand.log().count('"working"') == 2 and stand.api().taken(show.show_id) == {}, "free seats, and who sees to it")


def test_redis_is_away(make_stand, rng):
    """Completely: locks are decided by PostgreSQL alone, and so are limits and what is free."""
    stand = make_stand()
    stand.plant.redis.stop()
    stand.wait_ready("degraded")
    show, racers = run(stand, rng, None, faults=False, seconds=1)
    buyer = stand.session()
    free = [guid for guid in show.seats if guid not in stand.api().taken(show.show_id)]

    async def limit():
        clients = [load.Client(stand.url, buyer.token) for _ in range(10)]
        return await load.gather([client.lock(show.show_id, [guid]) for client, guid in zip(clients, free, strict=False)])

    if len(free) >= 10:
        answers = asyncio.run(limit())
        assert sorted(answer.status for answer in answers) == [201] * 2 + [409] * 8, answers
        for answer in answers:
            if answer.status == 201:
                buyer.release(show.show_id, answer.json()["lock_id"]).expect(204)
    stand.plant.redis.start()
    wait_until(stand.ready, "Redis is used again")
    prove(stand, show, racers)


def test_postgresql_is_away(make_stand, rng):
    stand = make_stand()
    show = stand.admin().make_show(seats=50)
    crowd = asyncio.run(load.sessions(stand.url, 50))
    stand.session().lock(show.show_id, [show.seats[0]]).expect(201)  # so that there is a map in Redis
    for _ in range(20):  # and every worker knows the show: the kernel chooses who answers
        stand.session().lock(show.show_id, [show.seats[0]]).expect(409)
    stand.plant.postgres.stop()

    async def ask():
        clients = [load.Client(stand.url, client.token) for client in crowd]
        answers = await load.gather([client.lock(show.show_id, [guid]) for client, guid in zip(clients, show.seats, strict=True)])
        return answers, max(client.slowest_s for client in clients)

    answers, slowest_s = asyncio.run(ask())
    answers[0].expect(409, "seats_unavailable")  # Redis knows that much
    for answer in answers[1:]:
        answer.expect(503, "unavailable")
        assert int(answer.headers["retry-after"]) > 0
    assert slowest_s < 5
    stand.plant.postgres.start()
    wait_until(stand.ready, "PostgreSQL is used again")
    assert stand.api().taken(show.show_id) == {show.seats[0]: "locked"}
    answers, _ = asyncio.run(ask())
    answers[0].expect(409)
    for answer in answers[1:]:
        answer.expect(201)
