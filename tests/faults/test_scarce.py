"""What runs out or goes wrong quietly: PostgreSQL's connections, its disk, Redis' last second, Redis' clock."""

import contextlib
import time
from pathlib import Path

import pytest

from failing_page import Page, library
from service import wait_until
from stand import assert_agreement, cache_seats, database_seats, living_locks


def told(answers):
    """{lock id} of what was acknowledged; everything else was a clear refusal for a while."""
    for answer in answers:
        assert answer.status in (201, 503), answer
        if answer.status == 503:
            assert answer.code in ("unavailable", "overloaded", "outcome_unknown") and int(answer.headers["Retry-After"]) > 0, answer
    return {answer.json()["lock_id"] for answer in answers if answer.status == 201}


def assert_kept(stand, show, locks):
    assert_agreement(stand, show)
    with stand.plant.sql() as db:
        living = {str(lock) for lock in living_locks(db, show)}
    assert locks <= living, f"acknowledged and gone: {locks - living}"


def one_lock_each(stand, show, n):
    """n buyers lock one seat each, one after the other."""
    return [stand.session().lock(show.show_id, [guid]) for guid in show.seats[:n]]


def sells_again(stand, show, guid, timeout_s=10):
    wait_until(lambda: stand.session().lock(show.show_id, [guid]).status in (201, 409), "selling again", timeout_s)


def test_no_connection_is_left(make_stand):
    """PostgreSQL takes no more of them: what is there goes on, what is not is waited for and refused in time."""
    stand = make_stand(workers=2)
    show = stand.admin().make_show(seats=40)
    locks = told(one_lock_each(stand, show, 5))
    with stand.plant.sql() as db:
        db.execute("ALTER ROLE boxoffice_app CONNECTION LIMIT 0")
        try:
            db.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'boxoffice_app'")
            buyer = stand.session()
            begun = time.monotonic()
            answers = [buyer.lock(show.show_id, [guid]) for guid in show.seats[5:6]]
            assert not told(answers) and time.monotonic() - begun < 15
            assert buyer.get("/readyz").status == 503 and buyer.get("/healthz").status == 200
        finally:
            db.execute("ALTER ROLE boxoffice_app CONNECTION LIMIT -1")
    stand.wait_ready()
    sells_again(stand, show, show.seats[8])
    assert_kept(stand, show, locks)


@pytest.fixture
def preloaded(monkeypatch, build_dir, base_dir, work_dir):
    """with preloaded(BOXOFFICE_...=...): what is started has the library."""

    @contextlib.contextmanager
    def go(**env):
        with monkeypatch.context() as patch:
            patch.setenv("LD_PRELOAD", library(build_dir, base_dir))
            for name, value in env.items():
                patch.setenv(name, value)
            yield

    return go


def test_the_disk_is_full(make_stand, plant, preloaded, work_dir):
    """Whoever is told that he has a lock has it; others are refused; with room on the disk all goes on."""
    page = Page(Path(work_dir) / "page")
    with preloaded(BOXOFFICE_FAILING=str(work_dir / "page")):
        plant.postgres.restart()
    try:
        stand = make_stand(workers=2)
        show = stand.admin().make_show(seats=600, per_row=100)
        page.arm("disk")
        answers = []
        while len(answers) < 590 and sum(answer.status == 503 for answer in answers) < 5:
            answers += [stand.session().lock(show.show_id, [show.seats[len(answers)]])]
        assert page.failed > 0, "the disk was never full"
        assert any(answer.status == 503 for answer in answers), "nobody was refused"
        locks = told(answers)
        # who was refused for that asks no second time for a while, nor does anybody else of this worker: and each says why
        refused = [answer for answer in answers if answer.status == 503]
        assert any("disk of the database" in answer.json()["detail"] for answer in refused), refused[-1]
        wait_until(lambda: any(api.get("/readyz").json()["dependencies"]["disk"]["status"] == "down" for api in [stand.api() for _ in range(6)]),
                   "a worker that says that the disk is full")
        # what ends something goes on: it takes no room
        buyer = stand.session()
        page.disarm()
        sells_again(stand, show, show.seats[599], 20)
        wait_until(lambda: buyer.get("/readyz").json()["status"] == "ready", "ready again", 20)
        assert_kept(stand, show, locks)
    finally:
        page.disarm()
        plant.postgres.restart()


def test_redis_has_no_memory_left(make_stand, plant):
    """It refuses what it would have to keep (OOM): PostgreSQL decides alone, nobody is refused for it, and afterwards they agree."""
    stand = make_stand(workers=2)
    show, unseen = stand.admin().make_show(seats=40), stand.admin().make_show(seats=10)
    locks = told(one_lock_each(stand, show, 5))
    with plant.cache() as cache:
        cache.config_set("maxmemory", 1)
        try:
            answers = [stand.session().lock(show.show_id, [guid]) for guid in show.seats[5:15]]
            assert [answer.status for answer in answers] == [201] * 10, answers
            locks |= told(answers)
            assert [stand.session().lock(show.show_id, [guid]).status for guid in show.seats[:15]] == [409] * 15
            stand.session().lock(unseen.show_id, unseen.seats[:2]).expect(201)  # of which it has no map
        finally:
            cache.config_set("maxmemory", 0)
    assert_kept(stand, show, locks)


def test_redis_fails_over_and_has_lost_the_last_moments(make_stand, plant):
    """It comes back with another run id and the keys of a while ago: they are not believed."""
    stand = make_stand(workers=2)
    show = stand.admin().make_show(seats=60)
    buyers = [stand.session() for _ in range(30)]
    first = [buyer.lock(show.show_id, [guid]) for buyer, guid in zip(buyers[:10], show.seats[:10], strict=True)]
    with plant.cache() as cache:
        cache.save()
    # lost: ten locks more, and that five of the first were given back and taken by others
    second = [buyer.lock(show.show_id, [guid]) for buyer, guid in zip(buyers[10:20], show.seats[10:20], strict=True)]
    for buyer, answer in zip(buyers[:5], first[:5], strict=True):
        buyer.release(show.show_id, answer.json()["lock_id"]).expect(204)
    third = [buyer.lock(show.show_id, [guid]) for buyer, guid in zip(buyers[20:25], show.seats[:5], strict=True)]
    plant.redis.kill()
    plant.redis.start()
    try:
        with plant.cache() as cache:
            assert cache.dbsize() > 0, "it came back empty"
        locks = told(first[5:] + second + third)
        assert len(locks) == 20
        # nobody gets a seat twice, whatever Redis remembers; a free one is had
        for guid in show.seats[:20]:
            wait_until(lambda guid=guid: stand.session().lock(show.show_id, [guid]).status == 409, f"{guid} is taken")
        sells_again(stand, show, show.seats[30])
        assert_kept(stand, show, locks)
    finally:
        (plant.redis.dir / "dump.rdb").unlink()


def test_redis_comes_back_with_an_old_map_that_nobody_asks_for(make_stand, plant):
    """Sold since the snapshot, and then nobody asks for the show: what Redis says of it is no longer wrong after five seconds."""
    stand = make_stand(workers=2)
    show = stand.admin().make_show(seats=20)
    try:
        for guid, lost in zip(show.seats[0:10:2], show.seats[1:10:2], strict=True):
            stand.session().lock(show.show_id, [guid]).expect(201)
            assert_agreement(stand, show)  # so there is a map
            with plant.cache() as cache:
                cache.save()
            stand.session().lock(show.show_id, [lost]).expect(201)
            plant.redis.kill()
            plant.redis.start()
            with plant.cache() as cache, plant.sql() as db:
                # nobody asks the program: it finds out by itself
                wait_until(lambda: cache_seats(cache, show) in (None, database_seats(db, show)), "the old map gone", 5)
        assert_agreement(stand, show)
    finally:
        (plant.redis.dir / "dump.rdb").unlink()


@pytest.mark.parametrize("skew_s", [600, -600])
def test_redis_clock_is_wrong(make_stand, plant, preloaded, skew_s):
    """Ten minutes off, either way: a lock holds for its time and no longer."""
    plant.redis.stop()
    with preloaded(BOXOFFICE_SKEW_S=str(skew_s)):
        plant.redis.start()
    try:
        with plant.cache() as cache:
            assert abs(cache.time()[0] - time.time() - skew_s) < 5, "the clock is right"
        stand = make_stand("--lock-seconds", "3", workers=2)
        show = stand.admin().make_show(seats=20)
        holder, other = stand.session(), stand.session()
        lock = holder.lock(show.show_id, show.seats[:2]).expect(201)
        until = time.monotonic() + lock["expires_in"] - 1
        while time.monotonic() < until:
            other.lock(show.show_id, show.seats[:2]).expect(409, "seats_unavailable")
            assert other.taken(show.show_id) == {guid: "locked" for guid in show.seats[:2]}
            time.sleep(0.01)  # some hundred looks are enough
        wait_until(lambda: other.lock(show.show_id, show.seats[:2]).status == 201, "the seats after the lock", 8)
        assert_agreement(stand, show)
    finally:
        plant.redis.restart()
