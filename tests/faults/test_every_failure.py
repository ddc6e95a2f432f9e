"""The Nth allocation of a purchase fails, or the Nth send; the worker may die and is replaced. Whoever asks again with his keys has
bought what he wanted, once; the invariants hold; the money is what the gateway's ledger says.

The library tests/faults/failing is preloaded into serve's worker. `make test` takes some of the Ns by the run's seed, `make
test-long` (BOXOFFICE_EVERY_FAILURE=1) all of them."""

import http.client
import os
import tempfile
import time
from pathlib import Path

import psycopg
import pytest

from failing_page import Page, library
from service import Boxoffice, wait_until
from torture import LEASES_END

KINDS = ("allocation", "send")
EVERY = bool(os.environ.get("BOXOFFICE_EVERY_FAILURE"))
SAMPLE = {"allocation": 30, "send": 20}
NEVER, CHECK_EACH = 1 << 40, 50
# what may be said when the request, or the one before it with its key, met the failure; after that the same request again
AGAIN = {(500, "internal"), (503, "unavailable"), (503, "outcome_unknown"), (503, "payment_unavailable"), (503, "overloaded"),
         (409, "idempotency_in_flight"), (409, "payment_in_progress")}


@pytest.fixture(scope="module")
def office(build_dir, base_dir, request):
    folder = tempfile.mkdtemp(dir=base_dir)
    request.module.PAGE = Page(Path(folder + ".page"))
    office = Boxoffice(build_dir, folder, "--workers", "1",
                       env={"LD_PRELOAD": library(build_dir, base_dir), "BOXOFFICE_FAILING": folder + ".page", "BOXOFFICE_PAYMENT_TIMEOUT_MS": "3000",
                            # so that what a dead worker had in hand is soon another's
                            "BOXOFFICE_LEASE_SECONDS": "2",
                            "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0"}).start()
    yield office
    PAGE.disarm()
    office.close()


def leases_end(office):
    """Whoever had a payment in hand is dead or does not know: others need not wait until his time is over."""
    with psycopg.connect(office.database_url, autocommit=True) as db:
        for statement in LEASES_END:
            db.execute(statement)


def until_answered(office, ask, statuses):
    """The answer to ask(), which is asked again when the connection is lost or the server says that it does not know."""
    end, met = time.monotonic() + 40, []
    while time.monotonic() < end:
        if met:
            time.sleep(0.02)
            leases_end(office)
        try:
            answer = ask()
        except (OSError, http.client.HTTPException) as error:
            met.append(repr(error))
            continue
        if answer.status in statuses:
            return answer.json()
        met.append(f"{answer.status} {answer.body[:200]}")
        assert (answer.status, answer.code) in AGAIN, met
    raise AssertionError(f"no answer in 40 s: {met[-6:]}")


def purchase(office, show, key):
    """The booking, confirmed. Every step is asked until it is done."""
    api = office.api()
    api.token = until_answered(office, lambda: api.post("/v1/sessions", {}), {201})["token"]
    lock = until_answered(office, lambda: api.lock(show.show_id, 1, key=f"lock-{key}"), {201})
    booking = until_answered(office, lambda: api.book(show.show_id, lock["lock_id"], key=f"book-{key}"), {201})

    def confirmed():
        said = until_answered(office, lambda: api.get(f"/v1/shows/{show.show_id}/bookings/{booking['booking_id']}"), {200})
        assert said["status"] in ("confirmed", "payment_pending"), said
        if said["status"] == "confirmed" and said["payment"]["status"] == "captured":
            return True
        leases_end(office)
        return False

    wait_until(confirmed, f"the booking of {key}", 40)
    api.close()
    return booking


def deaths(office):
    return (office.dir / "log/serve.log").read_text().count("a worker was killed by a signal")


@pytest.mark.timeout(36000 if EVERY else 240)
@pytest.mark.parametrize("kind", KINDS)
def test_the_nth_fails(office, rng, kind, record_property):
    show = office.admin().make_show(seats=5000, per_row=100)
    purchase(office, show, f"first-{kind}")
    PAGE.arm(kind, NEVER)
    purchase(office, show, f"counted-{kind}")
    PAGE.disarm()
    total = PAGE.seen
    assert total > 20, f"only {total}: the library is not there"
    nths = list(range(1, total + 1)) if EVERY else sorted(rng.sample(range(1, total + 1), min(total, SAMPLE[kind])))
    begun, reached, slowest, died = time.monotonic(), 0, (0, 0), deaths(office)
    for i, nth in enumerate(nths):
        PAGE.arm(kind, nth)
        one_begun = time.monotonic()
        try:
            purchase(office, show, f"{kind}-{nth}")
        except AssertionError as error:
            raise AssertionError(f"{kind} {nth} of {total}: {error}") from error
        finally:
            PAGE.disarm()
        reached += PAGE.failed
        slowest = max(slowest, (time.monotonic() - one_begun, nth))
        if i % CHECK_EACH == CHECK_EACH - 1:
            office.check()
    office.check()
    office.assert_clean()
    print(f"{len(nths)} of {total} {kind}s failed ({reached} reached, {deaths(office) - died} of them ended the worker) in "
          f"{time.monotonic() - begun:.0f} s; the slowest purchase took {slowest[0]:.1f} s ({kind} {slowest[1]})")
    record_property("failed", f"{len(nths)} of {total}")
    # the ways of two purchases differ a little; most of what was asked for must have happened
    assert reached >= len(nths) * 0.6
    taken = office.api().taken(show.show_id)
    assert len(taken) == len(nths) + 2 and set(taken.values()) == {"booked"}, "a buyer has other seats than he paid for"
