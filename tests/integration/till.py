"""A box office whose payments a test may hurt at any point: serve and work on a PostgreSQL and a Redis of their own, behind
a proxy that knows commits (pg_proxy.py), with a payment simulator of their own that can be killed and started again.

A Sale is one buyer, the lock that he wants to pay and the key that he asks with. Whatever was done to it, Till.prove() says
what must hold in the end: who has which seats, and what the gateway's ledger has for each booking, to the cent.
"""

import concurrent.futures
import contextlib
import copy
import http.client
import itertools
import os
import signal
import subprocess
import uuid
from pathlib import Path

import servers
from gateway import Simulator
from pg_proxy import PgProxy
from service import wait_until
from stand import Plant, Stand, cache_seats, database_seats

TIMEOUT_MS = 1000  # of a call to the gateway
FOR_EVER = 3600000
CANCELLATION = {"until": "2099-01-01T00:00:00Z", "fee": {"amount": 0, "currency": "EUR"}}
PRICE = 4500

_numbers = itertools.count(1)


class Till(Stand):
    def __init__(self, build_dir, folder, *args, workers=2):
        folder = Path(folder)
        self.build_dir = build_dir
        self.real = Plant(build_dir, folder / "plant")
        self.gateway = Simulator(build_dir, folder)
        self.proxy = PgProxy(folder / "proxy", self.real.postgres.socket)
        plant = copy.copy(self.real)
        plant.postgres = copy.copy(self.real.postgres)
        plant.postgres.url_as = self.proxy.url_as
        self.pool = concurrent.futures.ThreadPoolExecutor(32)
        super().__init__(plant, "--payment-url", self.gateway.url, "--payment-key-file", str(self.gateway.key_file), "--payment-timeout-ms",
                         str(TIMEOUT_MS), "--audit-ms", "200", *args, workers=workers)
        self.plant = self.real
        self.admin_api = self.admin()

    def mend(self):
        """Everything runs, no trap and no switch is left."""
        self.proxy.clear()
        self.real.settle()
        self.gateway.start()
        self.gateway.clear()
        for pid in [*self.worker_pids(), self.work.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def close(self):
        try:
            self.mend()
            super().close()
        finally:
            self.pool.shutdown(wait=False)
            self.proxy.close()
            self.gateway.stop()
            self.real.close()

    @contextlib.contextmanager
    def nobody_settles(self):
        """The settling duty stands still, so that what a test does to a request is not mended at once."""
        self.work.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.work.send_signal(signal.SIGCONT)

    def kill_worker(self, pid):
        """kill -9; serve starts another one."""
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: servers._gone(pid), "the worker's end")
        wait_until(lambda: len(self.worker_pids()) == self.workers, "another worker")

    # ---- what must hold ----------------------------------------------------------------------------------------------

    def check(self):
        done = subprocess.run([str(Path(self.build_dir) / "boxoffice"), "check", "--once", "--database-url", self.real.postgres.url,
                               "--redis-url", self.real.redis.unix_url], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, f"boxoffice check: {done.stdout}{done.stderr}"

    def at_rest(self, show_id):
        """Nothing of the show's payments and refunds is open. Time passes while it is asked."""
        open_sql = "SELECT {0} FROM {1} WHERE show_id = %s AND settle_at < 'infinity'"
        with self.real.sql() as db:
            looks = itertools.count()

            def rested():
                if next(looks) % 15 == 0:
                    for table in ("payments", "refunds"):
                        db.execute(f"UPDATE {table} SET settle_at = now() WHERE show_id = %s AND settle_at < 'infinity'", [show_id])
                return not [row for table in ("payments", "refunds")
                            for row in db.execute(open_sql.format("1", table), [show_id]).fetchall()]

            try:
                wait_until(rested, "rest", 30, 0.1)
            except AssertionError:
                left = [db.execute(open_sql.format("state, settle_tries, settle_at - now()", table), [show_id]).fetchall()
                        for table in ("payments", "refunds")]
                raise AssertionError(f"still open in the end (payments, refunds): {left}") from None

    def prove(self, show, owners, refunded=None):
        """owners: {sale: seats it has in the end}, the ones that bought them; refunded: {sale: given back by the gateway}.

        Every booking was charged once and for all of its seats, what was given back was given back once, nobody else has paid
        anything and nothing is held; the seats are the owners' in both stores; every invariant holds.
        """
        refunded = refunded or {}
        self.at_rest(show.show_id)
        paid, given_back, intents = {}, {}, self.intents(show)
        for intent in intents:
            assert intent["amount_capturable"] == 0 and intent["status"] != "requires_capture", f"held in the end: {intent}"
            if intent["amount_captured"]:
                booking = intent["metadata"]["booking"]
                assert booking not in paid, f"charged twice: {intents}"
                paid[booking] = intent["amount_captured"]
                given_back[booking] = intent["amount_refunded"]
        sales = {**dict.fromkeys(refunded), **owners}
        assert paid == {sale.booking_id: len(sale.seats) * PRICE for sale in sales}, f"{paid} at the gateway, {intents}"
        assert given_back == {sale.booking_id: refunded.get(sale, 0) for sale in sales}, given_back
        with self.real.sql() as db:
            ours = dict(db.execute("""SELECT p.booking_id::text, coalesce(sum(r.amount_minor), 0)::int FROM payments p
                LEFT JOIN refunds r ON r.show_id = p.show_id AND r.payment_id = p.payment_id AND r.state = 'succeeded'
                WHERE p.show_id = %s AND p.state = 'captured' GROUP BY 1""", [show.show_id]).fetchall())
            assert ours == given_back, f"{ours} given back by our books, {given_back} by the gateway's"
            live = db.execute("""SELECT booking_id::text, seat_no FROM booking_seats WHERE show_id = %s AND released_at IS NULL
                """, [show.show_id]).fetchall()
        assert {(booking, show.seats[seat]) for booking, seat in live} == {
            (sale.booking_id, seat) for sale, seats in owners.items() for seat in seats}
        self.seats_are(show, {seat: "booked" for seats in owners.values() for seat in seats})
        self.check()

    def seats_are(self, show, booked):
        """Sold are these and no others, as PostgreSQL has it, as Redis has it (within its bound of 5 s) and as buyers are told."""
        last = [None]

        def agree():
            with self.real.sql() as db, self.real.cache() as cache:
                told = {guid: state for guid, state in self.api().taken(show.show_id).items()}
                stored, cached = database_seats(db, show), cache_seats(cache, show)
            last[0] = f"PostgreSQL {stored}, Redis {cached}, buyers are told {told}"
            return cached == stored and told == {guid: state for guid, (state, _) in stored.items()} and \
                {guid: state for guid, state in told.items() if state == "booked"} == booked

        try:
            wait_until(agree, "", 6, 0.05)
        except AssertionError:
            raise AssertionError(f"not sold as they should be: {last[0]}, should be {booked}") from None

    def intents(self, show):
        return [i for i in self.gateway.ledger()["payment_intents"] if i["metadata"].get("show") == show.show_id]


class Sale:
    def __init__(self, till, show=None, seats=slice(0, 2), **more):
        self.till = till
        self.show = show or till.admin_api.make_show(seats=10, cancellation=CANCELLATION, **more)
        self.buyer = till.session()
        self.seats = self.show.seats[seats]
        self.lock = self.buyer.lock(self.show.show_id, self.seats).expect(201)["lock_id"]
        self.key = f"sale-{next(_numbers)}"

    # ---- what the buyer does -----------------------------------------------------------------------------------------

    def post(self, method="pm_card_visa"):
        """The Answer, or None when the connection was cut. A connection of its own each time."""
        buyer = self.till.api(self.buyer.token, 20)
        try:
            return buyer.book(self.show.show_id, self.lock, method, key=self.key)
        except (OSError, http.client.HTTPException):
            return None
        finally:
            buyer.close()

    def start(self, method="pm_card_visa"):
        return self.till.pool.submit(self.post, method)

    def again(self, method="pm_card_visa"):
        """Asks with the same key until there is an answer that says what became of it."""

        def ask():
            self.lease_ends()
            answer = self.post(method)
            if answer is None or answer.status == 503 or answer.code == "idempotency_in_flight":
                return None
            return answer

        return wait_until(ask, f"an answer to {self.key}", 30, 0.2)

    def booked(self, method="pm_card_visa"):
        """Asked again, it is confirmed; and again with the same answer."""
        booking = self.again(method).expect(201)
        assert booking["status"] == "confirmed" and len(booking["tickets"]) == len(self.seats)
        self.till.at_rest(self.show.show_id)
        again = self.post(method).expect(201)
        assert again["payment"] == {"status": "captured"}
        assert again["booking_id"] == booking["booking_id"] == self.booking_id
        return booking

    def cancel(self, seats=None):
        api = self.till.api(self.buyer.token, 20)
        try:
            return api.cancel(self.show.show_id, self.booking_id, seats)
        except (OSError, http.client.HTTPException):
            return None
        finally:
            api.close()

    def cancelled(self, seats=None):
        """Asked until it is answered."""
        answer = wait_until(lambda: (a := self.cancel(seats)) and a.status != 503 and a, "the cancellation answered", 30, 0.1)
        return answer.expect(200)

    def view(self):
        return self.till.api(self.buyer.token).get(f"/v1/shows/{self.show.show_id}/bookings/{self.booking_id}").expect(200)

    # ---- what stands in the books ------------------------------------------------------------------------------------

    def rows(self, sql, **more):
        with self.till.real.sql() as db:
            return db.execute(sql, {"show": uuid.UUID(self.show.show_id), "lock": uuid.UUID(self.lock), **more}).fetchall()

    @property
    def booking_id(self):
        [[booking]] = self.rows("SELECT booking_id::text FROM bookings WHERE show_id = %(show)s AND lock_id = %(lock)s")
        return booking

    def attempts(self):
        return [state for state, in self.rows("""SELECT state FROM payments WHERE show_id = %(show)s AND lock_id = %(lock)s
            ORDER BY attempt_no""")]

    def calls(self, step):
        """[(key, status or None)] of the calls of a step, in their order."""
        return self.rows("""SELECT c.idempotency_key, c.http_status FROM payment_calls c
            JOIN payments p ON p.show_id = c.show_id AND p.payment_id = c.payment_id
            WHERE c.show_id = %(show)s AND p.lock_id = %(lock)s AND c.step = %(step)s ORDER BY p.attempt_no, c.call_no""", step=step)

    def trail(self):
        """Every arrow that its attempts and refunds went, as an accountant reads it."""
        items = self.till.admin_api.get(f"/v1/shows/{self.show.show_id}/bookings/{self.booking_id}/payments").expect(200)["items"]
        return [f"{'refund ' if 'refund_id' in item else ''}{item['from']}>{item['to']}" for item in items]

    def wait_sent(self, step):
        """The call's row is committed and has no answer."""
        wait_until(lambda: any(status is None for _, status in self.calls(step)), f"a {step} under way")

    def wait_attempts(self, *states):
        wait_until(lambda: self.attempts() == list(states), f"attempts {states}, there are {self.attempts()}", 20)

    def wait_intents(self, *statuses):
        wait_until(lambda: sorted(i["status"] for i in self.till.intents(self.show)) == sorted(statuses),
                   f"intents {statuses}: {self.till.intents(self.show)}", 20)

    # ---- time --------------------------------------------------------------------------------------------------------

    def lease_ends(self):
        """Whoever has the attempt was silent for too long: it may be looked at by others."""
        self.rows("""UPDATE payments SET settle_at = least(settle_at, now()), ask_after = now()
            WHERE show_id = %(show)s AND lock_id = %(lock)s AND settle_at < 'infinity' RETURNING 1""")
        self.rows("""UPDATE refunds SET settle_at = now() WHERE show_id = %(show)s AND settle_at < 'infinity' RETURNING 1""")

    def grow_older(self, seconds):
        """All that is written of the lock and what was done to pay it was that much earlier."""
        for sql in (
            """UPDATE seat_locks SET created_at = created_at - %(by)s::interval, expires_at = expires_at - %(by)s::interval
                WHERE show_id = %(show)s AND lock_id = %(lock)s""",
            """UPDATE show_seats SET expires_at = expires_at - %(by)s::interval
                WHERE show_id = %(show)s AND lock_id = %(lock)s AND isfinite(expires_at)""",
            """UPDATE payment_calls c SET sent_at = sent_at - %(by)s::interval, answered_at = answered_at - %(by)s::interval FROM payments p
                WHERE c.show_id = %(show)s AND p.show_id = c.show_id AND p.payment_id = c.payment_id AND p.lock_id = %(lock)s""",
            """UPDATE bookings SET created_at = created_at - %(by)s::interval WHERE show_id = %(show)s AND lock_id = %(lock)s""",
            """UPDATE payments SET created_at = created_at - %(by)s::interval, action_until = action_until - %(by)s::interval,
                      hold_until = hold_until - %(by)s::interval, ask_after = ask_after - %(by)s::interval, settle_at = settle_at - %(by)s::interval
                WHERE show_id = %(show)s AND lock_id = %(lock)s""",
            """UPDATE refunds r SET settle_at = r.settle_at - %(by)s::interval, created_at = r.created_at - %(by)s::interval
                WHERE r.show_id = %(show)s""",
        ):
            self.rows(f"WITH older AS ({sql} RETURNING 1) SELECT 1", by=f"{seconds} seconds")
