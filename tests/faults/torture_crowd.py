"""The buyers of a torture run: each visit as its plan has it, and a record of all that was asked and answered.

A buyer believes only what he was told. What he was told is judged afterwards (torture_judge.py); here only what is wrong
whatever else happened: an answer that the interface does not have, a 500, two answers to one key that contradict each other.
"""

import asyncio
import itertools
import time
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

import load

LOST, REFUSED = 0, -1       # no answer: it may have been done; no connection: it was not
PATIENCE_S = 7              # with one request
GOODWILL = 200              # minor units of any currency
UNCLEAR = {LOST, REFUSED, 429, 503}


@dataclass
class Got:
    status: int
    code: str = None
    body: dict = None
    at: float = 0.0

    @property
    def unclear(self):
        return self.status in UNCLEAR or self.code == "idempotency_in_flight"

    def __str__(self):
        name = {LOST: "lost", REFUSED: "no connection"}.get(self.status, self.status)
        said = ""
        if self.body and self.status in (200, 201):
            said = " ".join(str(self.body[name]) for name in ("status", "state", "booking_id") if name in self.body)
            said += f" {self.body['payment']['status']}" if "payment" in self.body else ""
        return f"{self.at:6.2f} {name} {self.code or ''}{said}"


@dataclass
class Asked:
    """All requests with one Idempotency-Key: one wish to pay."""
    visit: int
    number: int
    card: object
    show_id: str
    lock_id: str
    key: str
    body: dict
    got: list = field(default_factory=list)


@dataclass
class Done:
    """Another request about a booking: cancel, goodwill."""
    what: str               # cancel, goodwill
    by: str                 # buyer, staff
    seats: list             # None: all
    amount: int
    got: list = field(default_factory=list)


@dataclass
class Record:
    """What one visit was told."""
    visit: object
    session: object = None
    token: str = ""
    locks: list = field(default_factory=list)
    asked: list = field(default_factory=list)
    told: dict = field(default_factory=dict)    # booking_id: its first confirmed answer
    seen: list = field(default_factory=list)    # (what was asked, Got): reading
    done: list = field(default_factory=list)

    def __str__(self):
        v = self.visit
        lines = [f"visit {v.number} show {v.show} session {self.session} after {v.after}"]
        lines += [f"  lock {lock['lock_id']} {[s['guid'] for s in lock['seats']]} {lock['total']}" for lock in self.locks]
        for asked in self.asked:
            card = asked.card
            lines.append(f"  {asked.key} {card.method} {card.bank}: " + "; ".join(map(str, asked.got)))
        lines += [f"  {what}: {got}" for what, got in self.seen]
        lines += [f"  {one.what} by {one.by} {one.seats or 'all'} {one.amount}: " + "; ".join(map(str, one.got)) for one in self.done]
        return "\n".join(lines)


class Crowd:
    """run() goes through all visits, so many at once; begun and ended count them; problems says what was wrong at once."""

    def __init__(self, url, admin_token, shows, plan, at_once):
        self.url, self.shows, self.plan, self.at_once = url, shows, plan, at_once
        self.admin_token = admin_token
        self.records = []
        self.begun = self.ended = 0
        self.changed = asyncio.Event()
        self.problems = []
        self.t0 = time.monotonic()

    def problem(self, text):
        self.problems.append(f"{time.monotonic() - self.t0:.2f}: {text}")

    async def run(self):
        visits = iter(self.plan.visits)

        async def one_after_another():
            for visit in visits:
                self.begun = max(self.begun, visit.number + 1)
                self.changed.set()
                record = Record(visit)
                self.records.append(record)
                await Buyer(self, record).visit()
                self.ended += 1
                self.changed.set()

        await load.gather([one_after_another() for _ in range(self.at_once)])


class Buyer:
    def __init__(self, crowd, record):
        self.crowd, self.record, self.v = crowd, record, record.visit
        self.show = crowd.shows[self.v.show]
        self.client = load.Client(crowd.url, timeout_s=PATIENCE_S)
        self.pauses = itertools.cycle(self.v.pauses)

    async def pause(self, least=0.0):
        await asyncio.sleep(least + next(self.pauses))

    async def ask(self, method, path, body=None, key=None, hang_up=None, client=None):
        client = client or self.client
        try:
            a = await client.request(method, path, body, key, hang_up)
            got = Got(a.status, a.code, a.json() if a.body else None)
        except load.Refused:
            got = Got(REFUSED)
        except load.Lost:
            got = Got(LOST)
        got.at = time.monotonic() - self.crowd.t0
        if got.status >= 500 and got.status != 503:
            self.crowd.problem(f"visit {self.v.number}: {method} {path}: {got.status} {got.body}")
        if got.status == 503 and int(a.headers.get("retry-after", 0)) <= 0:
            self.crowd.problem(f"visit {self.v.number}: {method} {path}: 503 without Retry-After")
        return got

    def strange(self, what, got):
        self.crowd.problem(f"visit {self.v.number}: {what}: {got} {got.body}")

    # ---- the way of a buyer --------------------------------------------------------------------------------------------

    async def visit(self):
        await self.begin()
        lock = await self.lock()
        booking = None
        if lock:
            for number, card in enumerate(self.v.cards):
                booking, go_on = await self.pay(lock, number, card)
                if booking or not go_on:
                    break
                await self.pause()
            if booking:
                for what in self.v.after:
                    await self.pause()
                    await self.afterwards(what, booking)
            elif self.v.release:
                await self.release(lock)
        self.client.close()

    async def begin(self):
        while True:
            got = await self.ask("POST", "/v1/sessions", {})
            if got.status == 201:
                break
            if not got.unclear:
                self.strange("a session", got)
            await self.pause(0.2)
        self.record.token = self.client.token = got.body["token"]
        self.record.session = load.session_of(got.body["token"])

    async def lock(self):
        for number, choice in enumerate(self.v.choices):
            wanted = {"best": {"quantity": choice}} if isinstance(choice, int) else {"seats": [self.show.seats[n] for n in choice]}
            for again in range(4):
                got = await self.ask("POST", f"/v1/shows/{self.show.show_id}/locks", wanted, f"lock-{self.v.number}-{number}",
                                     self.v.lock_hang_up if again == 0 and number == 0 else None)
                if not got.unclear:
                    break
                await self.pause(0.1)
            if got.status == 201 and got.body["state"] == "active":
                self.record.locks.append(got.body)
                return got.body
            if not got.unclear and got.status != 201 and got.code not in ("seats_unavailable", "no_seats_together", "lock_limit"):
                self.strange("a lock", got)
        return None

    async def release(self, lock):
        got = await self.ask("DELETE", f"/v1/shows/{self.show.show_id}/locks/{lock['lock_id']}")
        self.record.seen.append(("release", got))
        if got.status not in (204, 404) and not got.unclear and got.code not in ("payment_in_progress", "lock_already_used"):
            self.strange("a release", got)

    def hear(self, asked, got):
        """Takes down an answer to a wish to pay; two answers to one key must not contradict each other."""
        if asked:
            asked.got.append(got)
        if got.status in (200, 201) and got.body["status"] == "confirmed":
            self.record.told.setdefault(got.body["booking_id"], got.body)
        elif got.status in (200, 201) and got.body["booking_id"] in self.record.told and got.body["status"] != "cancelled":
            self.strange("a booking that was confirmed", got)
        return got

    async def pay(self, lock, number, card):
        """(the confirmed booking or None, whether another card may be tried)"""
        v, show_id = self.v, self.show.show_id
        body = {"lock_id": lock["lock_id"], "buyer": {"name": f"Buyer {v.number}", "email": f"b{v.number}@example.org"},
                "payment": {"method": card.method, "return_url": f"{self.crowd.url}/?visit={v.number}&card={number}"}}
        asked = Asked(v.number, number, card, show_id, lock["lock_id"], f"pay-{v.number}-{number}", body)
        self.record.asked.append(asked)
        got = await self.post_booking(asked, card.hang_up)
        for _ in range(card.repeats):
            # also when another key of his is being paid with: until it is known what became of that
            if not got.unclear and not (got.code == "payment_in_progress" and number):
                break
            await self.pause(0.1)
            got = await self.post_booking(asked)
        if got.unclear:
            # some have patience with one key, others are at the page again and try the next card
            return None, got.code in ("payment_unavailable", "unavailable") or got.status == REFUSED or card.repeats < 2
        if got.status == 201 and got.body["status"] == "payment_pending":
            got = await self.bank(asked, got)
        if got.unclear:
            return None, False
        if got.status in (200, 201):
            if got.body["status"] == "confirmed":
                return got.body, False
            return None, got.body["status"] == "payment_pending" and got.body["payment"]["status"] == "declined"
        if got.status == 402:
            return None, got.body["expires_in"] > 0
        if got.code not in ("lock_expired", "lock_already_used", "payment_in_progress"):
            self.strange("paying", got)
        return None, got.code == "payment_in_progress"

    async def post_booking(self, asked, hang_up=None):
        path = f"/v1/shows/{asked.show_id}/bookings"
        if asked.card.twin and not asked.got:
            other = load.Client(self.crowd.url, self.client.token, timeout_s=PATIENCE_S)
            both = await asyncio.gather(self.ask("POST", path, asked.body, asked.key),
                                        self.ask("POST", path, asked.body, asked.key, client=other))
            other.close()
            for got in both:
                self.hear(asked, got)
            return both[0] if not both[0].unclear else both[1]
        return self.hear(asked, await self.ask("POST", path, asked.body, asked.key, hang_up))

    async def bank(self, asked, got):
        """The buyer is at his bank's page."""
        card, action = asked.card, got.body["payment"].get("next_action")
        if card.bank and action:
            for _ in range(4):
                if await self.press(action["redirect_to_url"]["url"], card.bank):
                    break
                await self.pause(0.2)
        if card.asks == "none":
            return got
        booking = got.body["booking_id"]
        for _ in range(6 if card.bank else 1):
            await self.pause(0.3)
            if card.asks == "key":
                got = await self.post_booking(asked)
            else:
                got = self.hear(None, await self.ask("GET", f"/v1/shows/{asked.show_id}/bookings/{booking}"))
                self.record.seen.append(("the booking", got))
            if got.unclear:
                continue
            if got.status not in (200, 201) or got.body["status"] != "payment_pending" or got.body["payment"]["status"] == "declined":
                break
        return got

    async def press(self, url, outcome):
        """true: the bank has taken it, or says that it is too late."""
        parts = urlsplit(url)
        form = urlencode({"outcome": outcome})
        try:
            reader, writer = await asyncio.wait_for(asyncio.open_connection(parts.hostname, parts.port), 2)
        except (OSError, asyncio.TimeoutError):
            return False
        try:
            writer.write(f"POST {parts.path}{'?' + parts.query if parts.query else ''} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
                         f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(form)}\r\n"
                         f"Connection: close\r\n\r\n{form}".encode())
            head = (await asyncio.wait_for(reader.read(), 3)).split(b" ", 2)
            return len(head) > 1 and head[1][:1] in b"234"
        except (OSError, asyncio.TimeoutError):
            return False
        finally:
            writer.close()

    # ---- with a confirmed booking ---------------------------------------------------------------------------------------

    async def again(self, ask, tries=4):
        """Until the answer is clear; (the last one, all)"""
        all_of_them = []
        for _ in range(tries):
            all_of_them.append(await ask())
            if not all_of_them[-1].unclear:
                break
            await self.pause(0.2)
        return all_of_them

    def staff(self):
        return load.Client(self.crowd.url, self.crowd.admin_token, timeout_s=PATIENCE_S)

    async def cancel(self, booking, seats=None, by="buyer"):
        client = self.staff() if by == "staff" else load.Client(self.crowd.url, self.client.token, timeout_s=PATIENCE_S)
        done = Done("cancel", by, seats, 0)
        self.record.done.append(done)
        path = f"/v1/shows/{booking['show_id']}/bookings/{booking['booking_id']}/cancel"
        done.got = await self.again(lambda: self.ask("POST", path, {"seats": seats} if seats else {}, client=client))
        client.close()
        last = done.got[-1]
        if last.status != 200 and not last.unclear:
            self.strange("cancelling", last)

    async def goodwill(self, booking):
        client = self.staff()
        amount = {"amount": GOODWILL, "currency": booking["total"]["currency"]}
        done = Done("goodwill", "staff", None, GOODWILL)
        self.record.done.append(done)
        path = f"/v1/shows/{booking['show_id']}/bookings/{booking['booking_id']}/refunds"
        done.got = await self.again(lambda: self.ask("POST", path, {"amount": amount, "reason": "It rained in"},
                                                     f"goodwill-{self.v.number}", client=client))
        client.close()
        last = done.got[-1]
        # what was cancelled at the same time has left nothing to give back
        nothing_left = last.code == "invalid_value" and any(other.what == "cancel" for other in self.record.done)
        if last.status != 201 and not last.unclear and not nothing_left:
            self.strange("goodwill", last)

    async def afterwards(self, what, booking):
        path = f"/v1/shows/{booking['show_id']}/bookings/{booking['booking_id']}"
        if what == "ask":
            got = self.hear(None, (await self.again(lambda: self.ask("GET", path)))[-1])
            self.record.seen.append(("the booking", got))
            if got.status != 200 and not got.unclear:
                self.strange("reading a booking", got)
        elif what == "mine":
            got = (await self.again(lambda: self.ask("GET", "/v1/me/bookings")))[-1]
            self.record.seen.append(("my bookings", got))
            if got.status == 200 and booking["booking_id"] not in {item["booking_id"] for item in got.body["items"]}:
                self.strange("a confirmed booking is not among mine", got)
        elif what == "cancel":
            await self.cancel(booking)
        elif what == "seat":
            await self.cancel(booking, [booking["seats"][0]["guid"]])
        elif what == "staff":
            await self.cancel(booking, by="staff")
        elif what == "cancel twice":
            await asyncio.gather(self.cancel(booking), self.cancel(booking, by="staff"))
        elif what == "goodwill":
            await self.goodwill(booking)
        elif what == "cancel and goodwill":
            await asyncio.gather(self.cancel(booking), self.goodwill(booking))
