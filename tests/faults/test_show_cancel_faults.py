"""A sold out show is called off, and while that is worked through `work` and the payment gateway are killed, again and again, at random:
every buyer is given back his money exactly once and told exactly once, and every invariant holds.

BOXOFFICE_CANCELLED_BOOKINGS  how many bookings (200; `make test-long`: 2,000)
BOXOFFICE_SEED                the choices of a run to repeat
"""

import collections
import os
import signal
import tempfile
import threading
import time

import pytest

from service import wait_until
from telling import came, tell_again
from till import PRICE, Till

BOOKINGS = int(os.environ.get("BOXOFFICE_CANCELLED_BOOKINGS", "200"))
BUYERS_AT_ONCE = 8
DONE_WITHIN_S = 60 + BOOKINGS // 2


@pytest.fixture(scope="module")
def till(build_dir, base_dir):
    till = Till(build_dir, tempfile.mkdtemp(dir=base_dir), "--lease-seconds", "1")
    yield till
    till.close()


def sell_out(till, show):
    """{booking: address}, each of a buyer of its own."""
    def some(which):
        buyer, sold = till.api(timeout_s=60), {}
        for i in range(which, BOOKINGS, BUYERS_AT_ONCE):
            buyer.token = None
            buyer.token = buyer.post("/v1/sessions", {}).expect(201)["token"]
            lock = buyer.lock(show.show_id, [show.seats[i]]).expect(201)["lock_id"]
            booking = buyer.book(show.show_id, lock, key=f"k{i}", email=f"buyer{i}@example.org").expect(201)
            assert booking["status"] == "confirmed", booking
            sold[booking["booking_id"]] = f"buyer{i}@example.org"
        return sold

    bookings = {}
    for sold in till.pool.map(some, range(BUYERS_AT_ONCE)):
        bookings.update(sold)
    assert len(bookings) == BOOKINGS
    return bookings


class Killer(threading.Thread):
    """Kills `work` and the gateway at random, leaves them dead for a moment, starts them again; until it is told to stop."""

    def __init__(self, till, rng):
        super().__init__(daemon=True)
        self.till, self.rng = till, rng
        self.enough = threading.Event()
        self.kills = collections.Counter()
        self.failure = None

    def run(self):
        try:
            while not self.enough.wait(self.rng.uniform(1.5, 4)):
                what = self.rng.choice(("work", "gateway", "both"))
                if what != "gateway":
                    self.till.work.send_signal(signal.SIGKILL)
                    self.till.work.wait(10)
                if what != "work":
                    self.till.gateway.kill()
                self.kills[what] += 1
                time.sleep(self.rng.uniform(0, 1))
                if what != "gateway":
                    self.till.start_work()
                if what != "work":
                    self.till.gateway.start()
        except BaseException as error:  # told by the test, not by a thread that nobody hears
            self.failure = error
            raise

    def end(self):
        self.enough.set()
        self.join(60)
        assert not self.failure, self.failure


@pytest.mark.timeout(3 * DONE_WITHIN_S)
def test_everybody_is_given_back_and_told_once(till, rng):
    show = till.admin_api.make_show(seats=BOOKINGS, per_row=50)
    bookings = sell_out(till, show)
    admin, killer = till.admin(), Killer(till, rng)

    def job():
        return admin.get(f"/v1/shows/{show.show_id}/jobs").expect(200)["items"][0]

    admin.post(f"/v1/shows/{show.show_id}/cancel", {"reason": "The singer is ill."}).expect(201)
    killer.start()
    try:
        # however often they die, it goes on; and they die until most of it is done
        wait_until(lambda: job()["done"] >= BOOKINGS * 9 // 10 and job()["refunds"]["succeeded"] >= BOOKINGS // 2,
                   f"most of {BOOKINGS} refunds", DONE_WITHIN_S, 0.3)
    finally:
        killer.end()
    ended = wait_until(lambda: (lambda j: j if j["status"] == "done" else None)(job()), "the job's end", DONE_WITHIN_S, 0.3)
    assert (ended["total"], ended["done"], ended["failed"], ended["errors"]) == (BOOKINGS, BOOKINGS, 0, [])
    till.at_rest(show.show_id)
    assert job()["refunds"] == {"open": 0, "succeeded": BOOKINGS, "failed": 0}
    assert killer.kills["work"] + killer.kills["both"] > 0 and killer.kills["gateway"] + killer.kills["both"] > 0, killer.kills

    # the gateway's own books: each booking charged once, and given back in one piece
    intents = till.intents(show)
    assert collections.Counter(i["metadata"]["booking"] for i in intents if i["amount_captured"]) == dict.fromkeys(bookings, 1)
    for intent in intents:
        back = [refund["amount"] for refund in till.gateway.refunds(intent["id"]) if refund["status"] == "succeeded"]
        assert back == ([PRICE] if intent["amount_captured"] else []), intent

    # told: once that it was booked, once that it is off; and of nothing else, however often the events come
    with till.real.sql() as db:
        came(db, show, DONE_WITHIN_S)
        for _ in range(2):
            rows = db.execute("SELECT n.kind, n.booking_id::text, y.email FROM notifications n JOIN buyers y USING (buyer_id)"
                              " WHERE n.show_id = %s", [show.show_id]).fetchall()
            off = [(booking, address) for kind, booking, address in rows if kind == "show_cancelled"]
            assert sorted(off) == sorted(bookings.items())
            confirmed = [(booking, address) for kind, booking, address in rows if kind == "booking_confirmed"]
            assert len(confirmed) == len(set(confirmed)) and set(confirmed) <= set(bookings.items())
            assert {kind for kind, _, _ in rows} <= {"show_cancelled", "booking_confirmed"}
            tell_again(till.real.postgres.url, db, show, os.environ["BOXOFFICE_SEED"])
    till.seats_are(show, {})
    till.check()
    print(f"\n{BOOKINGS} bookings; killed: {dict(killer.kills)}")
