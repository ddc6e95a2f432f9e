"""The owner of a lock is told, while he looks at the page, when its last minute begins and how it ended; whoever ended it."""

import os
import signal
import statistics
import threading
import time

import psycopg
import pytest
import redis

from paying import SECURE, age, bank, locked, office_of, secure
from paying import admin, db, gateway, sound  # noqa: F401 (fixtures)
from service import free_port, wait_until
from sse import Stream

WITHIN_S = 2.5  # two seconds, and what a loaded machine takes on top

office = office_of(STREAM_HEARTBEAT_MS=400, STREAMS_PER_SESSION=3, STREAMS_MAX=40, WORKERS=2, LEASE_SECONDS=1, WORK_PORT=free_port)


def stream(office, buyer, show, lock, had=None, **options):
    headers = {"Last-Event-ID": had} if had else None
    return Stream(office.url, f"/v1/shows/{show.show_id}/locks/{lock}/stream", buyer.token, headers, **options)


def opened(office, admin, n=2):
    show = admin.make_show(seats=10)
    buyer, lock = locked(office, show, n)
    return show, buyer, lock


def metrics(office, name):
    text = office.api().get("/metrics").body.decode()
    return {line.split()[0]: float(line.split()[1]) for line in text.splitlines() if line.startswith(name)}


def left(db, lock, seconds):
    """Lets the lock have so much time still. (Before anybody watches it: what never changes is not read again.)"""
    age(db, lock, float(db.execute("SELECT extract(epoch FROM expires_at - statement_timestamp()) FROM seat_locks WHERE lock_id = %s",
                                   [lock]).fetchone()[0]) - seconds)


def test_the_last_minute(office, admin, db):
    show, buyer, lock = opened(office, admin)
    left(db, lock, 62)
    began = time.monotonic()
    with stream(office, buyer, show, lock).listen() as s:
        first = s.next("lock")
        assert first.data == {"lock_id": lock, "show_id": show.show_id, "state": "active",
                              "expires_at": buyer.lock_state(show.show_id, lock).expect(200)["expires_at"],
                              "expires_in": first.data["expires_in"]}
        assert first.data["expires_in"] in (61, 62) and s.retry == 2000
        ending = s.next("ending")
        # 60 s before, as near as a second: not at once
        assert 1.9 < ending.at - began < 2 + WITHIN_S and 58 <= ending.data["expires_in"] <= 60
        assert (first.id, ending.id) == ("1", "2")
        wait_until(lambda: s.comments >= 2, "heartbeats")


def test_its_time_is_over(office, admin, db):
    show, buyer, lock = opened(office, admin)
    left(db, lock, 2)
    began = time.monotonic()
    with stream(office, buyer, show, lock).listen() as s:
        s.next("lock")
        s.next("ending")
        ended = s.next("ended")
        assert 1.9 < ended.at - began < 2 + WITHIN_S and ended.id == "3"
        assert ended.data == {"lock_id": lock, "show_id": show.show_id, "state": "expired", "reason": "expired"}
        s.ends()


def test_its_time_is_over_and_nobody_sweeps(office, admin, db):
    """`work` stands still: the clock alone ends it, for whoever looks and for whoever asks."""
    show, buyer, lock = opened(office, admin)
    left(db, lock, 2)
    began = time.monotonic()
    [worker] = office.pids("boxoffice work")
    os.kill(worker, signal.SIGSTOP)
    try:
        with stream(office, buyer, show, lock).listen() as s:
            s.next("lock")
            s.next("ending")
            ended = s.next("ended")
            assert 2.9 < ended.at - began < 3 + WITHIN_S and ended.data["reason"] == "expired"
            assert buyer.lock_state(show.show_id, lock).expect(200)["state"] == "expired"
    finally:
        os.kill(worker, signal.SIGCONT)


def test_at_once_if_less_is_left(office, admin, db):
    show, buyer, lock = opened(office, admin)
    age(db, lock, 270)
    with stream(office, buyer, show, lock).listen() as s:
        s.next("lock", 1)
        assert s.next("ending", 1).data["expires_in"] <= 30


@pytest.mark.parametrize("how", ["released", "replaced", "show_cancelled", "taken_over"])
def test_it_ends_by_what_others_do(office, admin, db, how):
    show, buyer, lock = opened(office, admin)
    with stream(office, buyer, show, lock).listen() as s:
        s.next("lock")
        began = time.monotonic()
        if how == "released":
            buyer.release(show.show_id, lock).expect(204)
        elif how == "replaced":
            buyer.lock(show.show_id, show.seats[5:6], replaces=lock).expect(201)
        elif how == "show_cancelled":
            admin.post(f"/v1/shows/{show.show_id}/cancel", {}).expect(201)
        else:
            age(db, lock, 301)
            redis.Redis.from_url(office.redis_url).flushall()  # its mark there would last as long as the lock was meant to
            office.session().lock(show.show_id, show.seats[0:1])
        ended = s.next("ended")
        state = "expired" if how == "taken_over" else "released"
        assert (ended.data["state"], ended.data["reason"]) == (state, how if how == "show_cancelled" else state)
        # (a show that is called off has a job, whose duty has a second between its rounds)
        assert ended.at - began < WITHIN_S + (2 if how == "show_cancelled" else 0)
        s.ends()


def test_it_becomes_a_booking(office, admin):
    show, buyer, lock = opened(office, admin)
    with stream(office, buyer, show, lock).listen() as s:
        s.next("lock")
        booked = buyer.book(show.show_id, lock).expect(201)
        began = time.monotonic()
        ended = s.next()
        if ended.name == "lock":  # the moment of paying was seen
            assert ended.data["state"] == "paying"
            ended = s.next()
        assert ended.name == "ended" and ended.at - began < WITHIN_S
        assert ended.data == {"lock_id": lock, "show_id": show.show_id, "state": "booked", "reason": "booked", "booking": {
            "booking_id": booked["booking_id"], "reference": booked["reference"], "status": "confirmed"}}


def test_no_clock_while_it_is_paid(office, admin, db):
    show, buyer, lock = opened(office, admin)
    with stream(office, buyer, show, lock).listen() as s:
        s.next("lock")
        buyer.post(f"/v1/shows/{show.show_id}/bookings", {
            "lock_id": lock, "buyer": {"name": "Ada", "email": "ada@example.org"}, "payment": {"method": SECURE}}).expect(201)
        assert s.next("lock").data["state"] == "paying"
        age(db, lock, 280)  # the last minute, and nobody is told to hurry
        time.sleep(1.5)
        assert s.events.empty()
        age(db, lock, 1800)
        db.execute("UPDATE payments SET settle_at = statement_timestamp() WHERE lock_id = %s", [lock])
        ended = s.next("ended", 20).data
        assert ended["state"] in ("abandoned", "expired") and "booking" not in ended


def test_a_decline_gives_the_clock_back(office, admin, db):
    show, buyer, lock = opened(office, admin)
    left(db, lock, 50)
    pending = secure(office, show, buyer, lock).expect(201)
    with stream(office, buyer, show, lock).listen() as s:
        assert s.next("lock").data["state"] == "paying"
        bank(pending["payment"]["next_action"]["redirect_to_url"]["url"], "fail")
        assert s.next("lock", 20).data["state"] == "active"
        assert s.next("ending", 1).data["expires_in"] <= 50


def test_who_comes_again(office, admin, db):
    show, buyer, lock = opened(office, admin)
    age(db, lock, 260)
    with stream(office, buyer, show, lock).listen() as s:
        s.next("lock")
        had = s.next("ending").id
    with stream(office, buyer, show, lock, had).listen() as s:
        assert s.next("lock").data["state"] == "active"  # how it stands, but not `ending` twice
        buyer.release(show.show_id, lock).expect(204)
        last = s.next("ended").id
    # away when it happened
    with stream(office, buyer, show, lock, had).listen() as s:
        assert s.next("ended").data["reason"] == "released"
        s.ends()
    with stream(office, buyer, show, lock, last) as s:
        assert s.status == 204
    # and what nobody sent is no reason to say nothing
    for had in ("x", "99999999999999999999999", "9"):
        with stream(office, buyer, show, lock, had).listen() as s:
            s.next("ended")
    # long gone: in the history
    age(db, lock, 100)
    wait_until(lambda: db.execute("SELECT count(*) FROM seat_locks WHERE lock_id = %s", [lock]).fetchone() == (0,), "the archive", 20)
    with stream(office, buyer, show, lock).listen() as s:
        assert s.next("ended").data["state"] == "released"


def test_whose_it_is(office, admin):
    show, buyer, lock = opened(office, admin)
    with stream(office, office.session(), show, lock) as s:
        assert (s.status, s.problem()) == (404, "not_found")
    with stream(office, admin, show, lock) as s:
        assert (s.status, s.problem()) == (401, "unauthenticated")
    other = admin.make_show(seats=2)
    with stream(office, buyer, other, lock) as s:
        assert (s.status, s.problem()) == (404, "not_found")
    # HEAD says what GET would be, and no stream begins; the strict client holds both against the contract
    head = buyer.request("HEAD", f"/v1/shows/{show.show_id}/locks/{lock}/stream")
    assert head.status == 200 and head.headers["Content-Type"] == "text/event-stream"
    office.session().get(f"/v1/shows/{show.show_id}/locks/{lock}/stream").expect(404, "not_found")
    ended = buyer
    ended.release(show.show_id, lock).expect(204)
    assert ended.get(f"/v1/shows/{show.show_id}/locks/{lock}/stream").status == 200


def test_not_too_many(office, admin):
    show, buyer, lock = opened(office, admin)
    streams = []
    try:
        while len(streams) < 50:
            streams.append(stream(office, buyer, show, lock))
            if streams[-1].status != 200:
                break
        # three of a session in each of two workers
        assert 4 <= len(streams) <= 7 and (streams[-1].status, streams[-1].problem()) == (429, "rate_limited")
    finally:
        for s in streams:
            s.close()
    wait_until(lambda: stream_ok(office, buyer, show, lock), "room again")


def stream_ok(office, buyer, show, lock):
    with stream(office, buyer, show, lock) as s:
        return s.status == 200


def test_above_the_limit_of_a_process(office, admin):
    show = admin.make_show(seats=60, per_row=10)
    streams = []
    try:
        for i in range(90):
            if i % 2 == 0:
                buyer, lock = locked(office, show, 1, i // 2)
            streams.append(stream(office, buyer, show, lock))
            if streams[-1].status == 503:
                break
        assert (streams[-1].status, streams[-1].problem()) == (503, "overloaded") and len(streams) > 40
    finally:
        for s in streams:
            s.close()
    wait_until(lambda: sum(metrics(office, "boxoffice_streams ").values()) == 0, "all gone")


def test_the_database_goes_and_comes(office, admin, db):
    """Every connection is cut, again and again, while the lock is released: the stream stays and tells it in the end."""
    show, buyer, lock = opened(office, admin)
    with stream(office, buyer, show, lock).listen() as s:
        s.next("lock")
        stop = threading.Event()

        def cut():
            with psycopg.connect(office.database_url, autocommit=True) as knife:
                while not stop.wait(0.1):
                    knife.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                                  " WHERE application_name LIKE 'boxoffice serve%%'")

        cutting = threading.Thread(target=cut, daemon=True)
        cutting.start()
        db.execute("UPDATE seat_locks SET state = 'released', ended_at = now() WHERE lock_id = %s", [lock])
        db.execute("UPDATE show_seats SET state = 0, lock_id = '00000000-0000-0000-0000-000000000000', expires_at = '-infinity',"
                   " fence = fence + 1 WHERE show_id = %s AND lock_id = %s", [show.show_id, lock])
        time.sleep(1.5)
        stop.set()
        cutting.join()
        assert s.next("ended", 10).data["state"] == "released"


def test_a_worker_that_ends_sends_its_readers_to_the_others(office, admin):
    show = admin.make_show(seats=20)
    streams = []
    for i in range(12):
        buyer, lock = locked(office, show, 1, i)
        streams.append((buyer, lock, stream(office, buyer, show, lock).listen()))
    for _, _, s in streams:
        s.next("lock")
    [parent] = office.pids("boxoffice serve")[:1]
    before = set(office.pids("boxoffice serve"))
    os.kill(min(before), signal.SIGHUP)
    for buyer, lock, s in streams:
        s.ends(15)
        assert not s.reset and s.retry >= 2000  # told when to come again, and ended in good order
    assert len({s.retry for _, _, s in streams}) > 3  # not all in the same moment
    wait_until(lambda: len(set(office.pids("boxoffice serve")) - before) == 2, "two new workers", 20)
    for buyer, lock, _ in streams:
        with stream(office, buyer, show, lock, "1").listen() as s:
            s.next("lock")


def test_one_second_for_all(office, admin, db):
    """What is watched costs one statement a second of each worker, whoever watches: `ended` reaches all of them in time."""
    show = admin.make_show(seats=30)
    buyers = [locked(office, show, 1, i) for i in range(30)]
    streams = [stream(office, buyer, show, lock).listen() for buyer, lock in buyers]
    try:
        for s in streams:
            s.next("lock")
        began = time.monotonic()
        for buyer, lock in buyers:
            buyer.release(show.show_id, lock).expect(204)
        released = time.monotonic()
        took = [s.next("ended").at - began for s in streams]
        assert max(took) < WITHIN_S + released - began, statistics.quantiles(took)
    finally:
        for s in streams:
            s.close()
