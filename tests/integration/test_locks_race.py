"""500 clients race for overlapping sets of the same 50 seats."""

import asyncio

import load
import pytest
from aftermath import prove

CLIENTS = 500


@pytest.fixture(scope="module")
def crowd(shared_stand):
    """Sessions: the limit of locks is by show, so every race begins anew."""
    return asyncio.run(load.sessions(shared_stand.url, CLIENTS))


def fresh(stand, crowd):
    """The same sessions on new connections, because each race runs on an event loop of its own."""
    return [load.Client(stand.url, client.token) for client in crowd]


@pytest.mark.parametrize("number", range(5))
def test_every_seat_has_one_owner(shared_stand, crowd, rng, number):
    show = shared_stand.admin().make_show(seats=50)
    racers = asyncio.run(load.race(shared_stand.url, show, fresh(shared_stand, crowd), rng))
    assert sum(racer.won for racer in racers) >= 12, "a race that nobody won shows nothing"
    assert sum(racer.refused for racer in racers) > CLIENTS
    prove(shared_stand, show, racers, ask_all=number == 0)


def test_the_history_is_linearizable(shared_stand, crowd, rng, work_dir):
    show = shared_stand.admin().make_show(seats=50)
    history = load.AsyncHistory()
    racers = asyncio.run(load.race(shared_stand.url, show, fresh(shared_stand, crowd), rng, tries=4, keep=0.2, history=history))
    prove(shared_stand, show, racers, ask_all=False)
    history.check(work_dir)
