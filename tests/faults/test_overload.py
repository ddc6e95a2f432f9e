"""More than can be served: what has to wait is bounded, the rest is told so at once, and afterwards all is as before."""

import asyncio
import time

import load
from service import wait_until

QUEUE = 300


def hold_decisions(stand):
    """PostgreSQL cannot write a lock until this connection is closed."""
    db = stand.plant.sql()
    db.autocommit = False
    db.execute("LOCK TABLE seat_locks IN ACCESS EXCLUSIVE MODE")
    return db


async def crowd(stand, show, clients):
    """Everybody asks for a seat of their own: [(answer, seconds)]."""

    async def one(client, guid):
        begun = time.monotonic()
        answer = await client.lock(show.show_id, [guid])
        return answer, time.monotonic() - begun

    return await load.gather([one(client, guid) for client, guid in zip(clients, show.seats, strict=False)])


def test_who_cannot_be_served_in_time_is_told_at_once(make_stand):
    stand = make_stand("--lock-queue", str(QUEUE), "--lock-timeout-ms", "60000", workers=1)
    show = stand.admin().make_show(seats=1500, per_row=50)

    async def run():
        clients = await load.sessions(stand.url, 900)
        (await clients[-1].lock(show.show_id, [show.seats[-1]])).expect(201)  # the map is in Redis, the show at hand
        db = hold_decisions(stand)
        waiting = asyncio.ensure_future(crowd(stand, show, clients[:800]))
        refused_by = time.monotonic() + 20
        while stand.metric('boxoffice_lock_requests_total{outcome="overloaded"}') < 500 and time.monotonic() < refused_by:
            await asyncio.sleep(0.02)
        held_until = time.monotonic()
        db.close()
        return await waiting, held_until, clients

    begun = time.monotonic()
    answers, held_until, clients = asyncio.run(run())
    by_status = {}
    for answer, seconds in answers:
        by_status.setdefault(answer.status, []).append((answer, seconds))
    assert sorted(by_status) == [201, 503], {status: len(them) for status, them in by_status.items()}
    assert len(by_status[201]) == QUEUE, "as many as may wait were served, nobody else"
    for answer, seconds in by_status[503]:
        assert answer.code == "overloaded" and int(answer.headers["retry-after"]) > 0, answer
        assert seconds < held_until - begun, "refused only after the others were served"
    assert len(stand.api().taken(show.show_id)) == QUEUE + 1

    async def again():
        fresh = await load.sessions(stand.url, 250)
        return await load.gather([client.lock(show.show_id, [guid]) for client, guid in zip(fresh, show.seats[1000:], strict=False)])

    # a pace that was slow once must not be believed for ever
    assert {answer.status for answer in asyncio.run(again())} == {201}
    wait_until(lambda: stand.metric("boxoffice_lock_queue_requests") == 0, "an empty queue")

