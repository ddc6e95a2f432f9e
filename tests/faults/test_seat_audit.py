"""Redis is believed only as far as it deserves: damage is repaired, maps of another life are not read."""

import secrets
import time
import uuid

import pytest
from service import wait_until
from stand import assert_agreement, cache_seats, database_seats

# two rounds of 2 s see the difference; the rest is for a busy machine: what is not repaired stays for ever
REPAIR_S = 10


@pytest.fixture
def stand(shared_stand):
    return shared_stand


@pytest.fixture
def show(stand):
    return stand.admin().make_show(seats=50)


def mark(state, lock=None, fence=0, ends=0):
    return state + (lock or secrets.token_bytes(16)) + b"%010d%d" % (fence, ends)


def test_damage_is_repaired(stand, show):
    """Fields deleted, added, changed, with fences small and large; found by the auditor, not by anybody's request."""
    lock = stand.session().lock(show.show_id, ["A-1", "A-2", "A-3", "A-4", "A-5"]).expect(201)
    stand.admin().post(f"/v1/shows/{show.show_id}/blocks", {"seats": ["B-1", "B-2"]}).expect(200)
    assert_agreement(stand, show)
    mine = uuid.UUID(lock["lock_id"]).bytes
    with stand.plant.cache() as cache, stand.plant.sql() as db:
        name = f"map:{{{show.show_id}}}"
        cache.hdel(name, "0", "10")
        cache.hset(name, mapping={
            "1": mark(b"L", fence=0),  # another's
            "2": mark(b"B", mine, 999999999),
            "3": b"nonsense",
            "4": mark(b"F", mine, 5),
            "11": mark(b"L", fence=77),
            "20": mark(b"L"),  # a free seat, locked for ever
            "21": mark(b"B", fence=1234567),
            "22": mark(b"X"),
        })
        begun = time.monotonic()
        wait_until(lambda: cache_seats(cache, show) == database_seats(db, show), "repair", REPAIR_S, 0.1)
        print(f"repaired in {time.monotonic() - begun:.1f} s")
    assert_agreement(stand, show, within_s=1)
    # what was repaired takes the next change as any other seat
    stand.session().lock(show.show_id, ["C-1", "C-2", "C-3"]).expect(201)
    buyer = stand.api(None)
    for guid in ("B-1", "B-2"):
        stand.admin().delete(f"/v1/shows/{show.show_id}/blocks", {"seats": [guid]}).expect(200)
    assert_agreement(stand, show, within_s=1)
    assert set(buyer.taken(show.show_id)) == {"A-1", "A-2", "A-3", "A-4", "A-5", "C-1", "C-2", "C-3"}


def test_a_wrong_mark_refuses_nobody_for_long_and_gives_nothing_away(stand, show):
    owner = stand.session()
    owner.lock(show.show_id, ["A-1"]).expect(201)
    with stand.plant.cache() as cache:
        cache.hdel(f"map:{{{show.show_id}}}", "0")
        cache.hset(f"map:{{{show.show_id}}}", "1", mark(b"L"))
    assert stand.session().lock(show.show_id, ["A-1"]).expect(409)["unavailable"] == ["A-1"]  # PostgreSQL says so
    stand.session().lock(show.show_id, ["A-2"]).expect(409)
    wait_until(lambda: stand.session().lock(show.show_id, ["A-2"]).status == 201, "the free seat to be sold", REPAIR_S, 0.1)


@pytest.mark.parametrize("what", ["run id", "timeline"])
def test_a_map_of_another_life_is_not_believed(make_stand, what):
    stand = make_stand()
    show = stand.admin().make_show(seats=50)
    stand.session().lock(show.show_id, ["A-1"]).expect(201)
    assert stand.stop_serve() == 0
    with stand.plant.cache() as cache:
        name = f"map:{{{show.show_id}}}"
        run_id, timeline = cache.hget(name, "c").decode().split("/")
        context = f"{'0' * 40}/{timeline}" if what == "run id" else f"{run_id}/{timeline}9"
        cache.hset(name, mapping={"c": context, "1": mark(b"L"), "2": mark(b"B")})
        cache.hdel(name, "0")
    stand.start_serve()
    stand.wait_ready()
    assert stand.api().taken(show.show_id) == {"A-1": "locked"}
    stand.session().lock(show.show_id, ["A-1"]).expect(409, "seats_unavailable")
    stand.session().lock(show.show_id, ["A-2", "A-3"]).expect(201)
    assert_agreement(stand, show, within_s=1)


def test_a_loader_that_died_holds_nobody_up(stand, show):
    """Somebody began to load the map and never will finish: PostgreSQL decides meanwhile, then another loads it."""
    with stand.plant.cache() as cache:
        name = f"map:{{{show.show_id}}}"
        cache.delete(name)
        cache.hset(name, mapping={"g": secrets.token_hex(16), "x": int(time.time() * 1000) + 5000})
        begun = time.monotonic()
        stand.session().lock(show.show_id, ["A-1"]).expect(201)
        assert time.monotonic() - begun < 2
        stand.session().lock(show.show_id, ["A-1"]).expect(409, "seats_unavailable")
        assert stand.api().taken(show.show_id) == {"A-1": "locked"}
        wait_until(lambda: stand.api().taken(show.show_id) and cache.hget(name, "c"), "the map", 8, 0.2)
    assert_agreement(stand, show, within_s=1)


def test_the_ends_of_locks_are_counted_from_now(stand, show):
    """A map that is loaded anew knows how long each lock still lasts, by its own clock."""
    lock = stand.session().lock(show.show_id, ["A-1"]).expect(201)
    with stand.plant.cache() as cache:
        cache.delete(f"map:{{{show.show_id}}}", f"ses:{{{show.show_id}}}")
        stand.api().taken(show.show_id)
        ends_ms = int(cache.hget(f"map:{{{show.show_id}}}", "0")[27:])
        seconds, micros = cache.time()
    left_ms = ends_ms - seconds * 1000 - micros // 1000
    assert abs(left_ms / 1000 - lock["expires_in"]) < 5
