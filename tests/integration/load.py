"""Many clients at once: HTTP/1.1 over asyncio, one connection each, and what the clients of a race remember.

A client never repeats a request by itself. Lost: the request was sent (perhaps only in part) and no whole answer came;
Refused: no connection could be had, so nothing was sent.
"""

import asyncio
import base64
import json
import random
import time
import uuid
from urllib.parse import urlsplit

import api
from history import History


class Lost(Exception):
    pass


class Refused(Exception):
    pass


class Answer(api.Answer):
    """headers: a dict, names in lower case."""

    @property
    def code(self):
        if self.headers.get("content-type") != "application/problem+json":
            return None
        return self.json()["code"]


class Client:
    def __init__(self, url, token=None, timeout_s=20, fresh=False):
        """fresh: a new connection for every request."""
        self.fresh = fresh
        self.slowest_s = 0.0
        parts = urlsplit(url)
        self.host, self.port = parts.hostname, parts.port
        self.token = token
        self.timeout_s = timeout_s
        self._reader = self._writer = None

    async def connect(self):
        if self._reader is not None and (self._reader.at_eof() or self._reader.exception()):
            self.close()
        if self._writer is None:
            try:
                self._reader, self._writer = await asyncio.wait_for(
                    asyncio.open_connection(self.host, self.port), self.timeout_s)
            except (OSError, asyncio.TimeoutError) as error:
                raise Refused(repr(error)) from None

    @property
    def connected(self):
        return self._writer is not None and not self._reader.at_eof()

    def _bytes(self, method, path, body, key):
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
        payload = b""
        if body is not None:
            payload = json.dumps(body).encode()
            lines += ["Content-Type: application/json", f"Content-Length: {len(payload)}"]
        if self.token:
            lines.append(f"Authorization: Bearer {self.token}")
        if key is not None:
            lines.append(f"Idempotency-Key: {key}")
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + payload

    async def request(self, method, path, body=None, key=None, hang_up=None):
        """hang_up: None, or the share of the request (0 to 1) that is sent before the connection is cut; 1: all of it."""
        await self.connect()
        data = self._bytes(method, path, body, key)
        try:
            if hang_up is not None:
                self._writer.write(data[:max(1, int(len(data) * hang_up))])
                await self._writer.drain()
                self._writer.transport.abort()
                self._reader = self._writer = None
                raise Lost("hung up by the client")
            begun = time.monotonic()
            self._writer.write(data)
            answer = await asyncio.wait_for(self._answer(f"{method} {path}"), self.timeout_s)
            self.slowest_s = max(self.slowest_s, time.monotonic() - begun)
            if self.fresh:
                self.close()
            return answer
        except (OSError, EOFError, asyncio.TimeoutError, asyncio.LimitOverrunError) as error:
            self.close()
            raise Lost(f"{method} {path}: {error!r}") from None

    async def _answer(self, request):
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(head[0].split()[1])
        headers = {}
        for line in head[1:-2]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = await self._reader.readexactly(int(headers.get("content-length", "0")))
        if headers.get("connection", "").lower() == "close":
            self.close()
        return Answer(request, status, headers, body)

    def close(self):
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None

    # ---- what buyers do ----------------------------------------------------------------------------------------------

    async def lock(self, show_id, seats, key=None, hang_up=None, **fields):
        what = {"best": {"quantity": seats}} if isinstance(seats, int) else {"seats": list(seats)}
        return await self.request("POST", f"/v1/shows/{show_id}/locks", {**what, **fields}, key, hang_up)

    async def release(self, show_id, lock_id):
        return await self.request("DELETE", f"/v1/shows/{show_id}/locks/{lock_id}")

    async def get(self, path):
        return await self.request("GET", path)


def session_of(token):
    """The session's id, which stands unencrypted in its token."""
    raw = token[3:]
    return uuid.UUID(bytes=base64.urlsafe_b64decode(raw + "=" * (-len(raw) % 4))[:16])


async def gather(jobs, most=100000):
    """Like asyncio.gather, at most so many at a time; the first failure ends it."""
    gate = asyncio.Semaphore(most)

    async def one(job):
        async with gate:
            return await job

    tasks = [asyncio.ensure_future(one(job)) for job in jobs]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


async def sessions(url, count):
    """Clients that are new buyers."""

    async def one():
        client = Client(url)
        client.token = (await client.request("POST", "/v1/sessions", {})).expect(201)["token"]
        return client

    return await gather([one() for _ in range(count)], 100)


class AsyncHistory(History):
    """The same records for clients of this module."""

    def add_release(self, number, show_id, lock_id, call, answer):
        ok = "unknown" if answer is None or answer.status >= 500 else answer.status == 204
        self._add(client=number, op="release", show=show_id, lock_id=lock_id, call_ns=call,
                  return_ns=time.monotonic_ns(), ok=ok)


class Racer:
    """One client of a race and what it may believe: what it holds for certain, what it asked and never heard of."""

    def __init__(self, number, client, show, rng, faults, history):
        self.number, self.client, self.show, self.faults, self.history = number, client, show, faults, history
        self.session = session_of(client.token)
        self.rng = rng
        self.held = {}        # lock_id: set of guids, answered 201 and not given back
        self.unsure = []      # sets of guids whose answer was lost or 5xx
        self.unsure_gone = {}  # lock_id: set of guids whose release got no clear answer
        self.won = self.refused = self.unclear = 0

    def fault(self, answer):
        """5xx and lost answers exist only where somebody breaks something."""
        assert self.faults, f"without a fault: {answer!r}"
        if isinstance(answer, Answer):
            assert answer.status == 503 and int(answer.headers["retry-after"]) > 0, answer
        self.unclear += 1

    async def lock(self, wanted, hang_up=None):
        call = time.monotonic_ns()
        answer = None
        try:
            answer = await self.client.lock(self.show.show_id, wanted, hang_up=hang_up)
        except Refused as error:
            self.fault(error)
            return None
        except Lost as error:
            if hang_up is None:
                self.fault(error)
        if self.history is not None:
            self.history.add_lock(self.number, self.show.show_id, wanted, call, answer)
        if answer is None or answer.status >= 500:
            if answer is not None:
                self.fault(answer)
            if answer is None or answer.code == "outcome_unknown":
                self.unsure.append(set(wanted))
            return None
        if answer.status == 201:
            lock = answer.json()
            assert {seat["guid"] for seat in lock["seats"]} == set(wanted), (wanted, lock)
            assert lock["state"] == "active" and lock["expires_in"] > 0
            self.held[lock["lock_id"]] = set(wanted)
            self.won += 1
            return lock["lock_id"]
        self.refused += 1
        if answer.code == "lock_limit":
            assert len(self.held) + len(self.unsure) + len(self.unsure_gone) >= 2, (self.held, answer)
        else:
            answer.expect(409, "seats_unavailable")
            unavailable = answer.json()["unavailable"]
            assert unavailable and set(unavailable) <= set(wanted), (wanted, answer)
        return None

    async def release(self, lock_id):
        call = time.monotonic_ns()
        try:
            answer = await self.client.release(self.show.show_id, lock_id)
        except Refused as error:
            self.fault(error)
            return
        except Lost as error:
            self.fault(error)
            answer = None
        if self.history is not None:
            self.history.add_release(self.number, self.show.show_id, lock_id, call, answer)
        if answer is None or answer.status >= 500:
            if answer is not None:
                self.fault(answer)
            self.unsure_gone[lock_id] = self.held.pop(lock_id)
            return
        answer.expect(204)
        del self.held[lock_id]


async def race(url, show, clients, rng, tries=3, most_seats=4, keep=0.7, hang_up=0.0, seconds=None, faults=False,
               history=None, chaos=None, think_s=0.1):
    """All clients at once for random sets of the show's seats; returns the racers.

    Each asks `tries` times, or for so many `seconds` and then once more to keep. keep: the chance that what was won is not
    given back at once (after the seconds everything is kept). chaos: a coroutine that runs meanwhile. think_s: the longest
    pause between two requests.
    """
    racers = [Racer(number, client, show, random.Random(rng.random()), faults, history)
              for number, client in enumerate(clients)]
    go = asyncio.Event()
    over = asyncio.Event()

    async def run(racer):
        mine = racer.rng
        await go.wait()
        rounds = 0
        while True:
            last = over.is_set() if seconds else rounds >= tries - 1
            wanted = mine.sample(show.seats, mine.randint(1, most_seats))
            cut = mine.random() if mine.random() < hang_up else None
            if cut is not None and mine.random() < 0.5:
                cut = 1
            lock_id = await racer.lock(wanted, cut)
            if lock_id and not (last and seconds) and mine.random() >= keep:
                if mine.random() < 0.5:
                    await asyncio.sleep(mine.random() * 0.01)
                await racer.release(lock_id)
            rounds += 1
            if last:
                return
            if seconds:
                await asyncio.sleep(mine.random() * think_s)

    async def clock():
        await go.wait()
        if chaos:
            await chaos
        if seconds:
            await asyncio.sleep(seconds)
        over.set()

    jobs = [run(racer) for racer in racers] + [clock()]
    go.set()
    await gather(jobs)
    return racers
