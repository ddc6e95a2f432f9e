"""What must hold after a race, whatever was broken in it."""

import asyncio
import uuid

import load
from service import wait_until
from stand import assert_agreement, assert_whole, living_locks


def believed(racers):
    """One owner per seat among all that was answered 201 and not given back."""
    owners = {}
    for racer in racers:
        for lock_id, seats in racer.held.items():
            for seat in seats:
                assert seat not in owners, f"{seat} was given to {owners[seat]} and to {lock_id}"
                owners[seat] = lock_id
    return owners


def unexplained(locks, racers):
    """What PostgreSQL has and a racer's memory do not fit; "" when all is explained."""
    by_session = {}
    for lock, (session, seats) in locks.items():
        by_session.setdefault(session, {})[str(lock)] = seats
    for racer in racers:
        mine = by_session.pop(racer.session, {})
        for lock_id, seats in racer.held.items():
            if mine.pop(lock_id, None) != seats:
                return f"client {racer.number} was given {lock_id} for {seats} and does not have it"
        asked = list(racer.unsure)
        for lock_id, seats in mine.items():
            if racer.unsure_gone.get(lock_id) == seats:
                continue
            if seats not in asked:
                return f"client {racer.number} has {lock_id} for {seats}, which it was refused"
            asked.remove(seats)
    return f"locks of nobody: {by_session}" if by_session else ""


def prove(stand, show, racers, agree_s=6, free_s=2, ask_all=True):
    """Every 201 true, every loser holds nothing, Redis and PostgreSQL agree, every seat is owned or can be locked."""
    believed(racers)
    with stand.plant.sql() as db:
        problem = [None]

        def explained():
            problem[0] = unexplained(living_locks(db, show), racers)
            return not problem[0]

        try:
            wait_until(explained, "", 10, 0.1)  # what was asked last may still be on its way when answers were lost
        except AssertionError:
            raise AssertionError(problem[0]) from None
        agreed_s = assert_agreement(stand, show, agree_s)
        held, locks = assert_whole(db, show)
        if ask_all:
            asyncio.run(ask_everybody(stand, show, racers, locks))
        taken = asyncio.run(take_the_rest(stand, show, set(show.seats) - set(held), free_s))
        after, _ = assert_whole(db, show)
        assert set(after) == set(show.seats)
        for guid, lock in {**{g: lock for g, (_, lock) in held.items()}, **taken}.items():
            assert after[guid] == ("locked", lock), guid
    assert_agreement(stand, show, agree_s)
    return agreed_s


async def ask_everybody(stand, show, racers, locks):
    """What each session is told that it holds is what it holds."""

    async def ask(racer):
        client = load.Client(stand.url, racer.client.token)
        items = (await client.get("/v1/me/locks")).expect(200)["items"]
        client.close()
        told = {uuid.UUID(item["lock_id"]): {seat["guid"] for seat in item["seats"]} for item in items
                if item["show_id"] == show.show_id}
        has = {lock: seats for lock, (session, seats) in locks.items() if session == racer.session}
        assert told == has, f"client {racer.number}"

    await load.gather([ask(racer) for racer in racers], 50)


async def take_the_rest(stand, show, free, within_s):
    """Locks every free seat, each by somebody new; a mark of an admission that was cut off may delay it."""
    clients = await load.sessions(stand.url, len(free))
    end = asyncio.get_running_loop().time() + within_s

    async def take(client, guid):
        while True:
            answer = await client.lock(show.show_id, [guid])
            if answer.status == 201:
                client.close()
                return guid, uuid.UUID(answer.json()["lock_id"])
            assert asyncio.get_running_loop().time() < end, f"{guid} is free and cannot be locked: {answer}"
            await asyncio.sleep(0.1)

    return dict(await load.gather([take(client, guid) for client, guid in zip(clients, sorted(free), strict=True)], 50))
