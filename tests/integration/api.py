"""A client of the HTTP API for tests, and makers of what a test needs to sell: venue, plan, event, show.

One Api is one connection and one thread's. It never repeats a request by itself: whether a lost answer may be asked
again is what several tests are about.
"""

import datetime
import http.client
import itertools
import json
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import openapi

CARD_OK = "pm_card_visa"
CARD_DECLINED = "pm_card_chargeDeclined"

_numbers = itertools.count(1)


class Answer:
    def __init__(self, request, status, headers, body):
        self.request = request
        self.status = status
        self.headers = headers  # email.message.Message: names in any case
        self.body = body

    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        """The stable code of a problem, None for other answers."""
        if self.headers.get_content_type() != "application/problem+json":
            return None
        return self.json()["code"]

    def expect(self, status, code=None):
        """The body's JSON (None when empty) if the answer is as expected; else fails in one line."""
        if self.status != status or (code is not None and self.code != code):
            wanted = f"{status} {code}" if code else f"{status}"
            raise AssertionError(f"{self.request}: {self.status} instead of {wanted}: {self.body[:600]!r}")
        return self.json() if self.body else None

    def __repr__(self):
        return f"<{self.request}: {self.status} {self.body[:200]!r}>"


class Api:
    source = None  # the address to connect from, where it matters
    judged = True  # answers are held against the contract; a crowd whose first answers were needs no more of it

    def __init__(self, url, token=None, timeout_s=100):
        self.url = url
        self.token = token
        self.timeout_s = timeout_s
        self._connection = None

    def request(self, method, path, body=None, key=None, headers=None):
        """Sends body (dict or list as JSON, bytes as they are) and returns the Answer; a lost connection raises.

        key is the Idempotency-Key. An answer that api/openapi.yaml does not promise fails the test (openapi.Broken).
        """
        fields = {"Accept": "application/json"}
        if body is not None:
            fields["Content-Type"] = "application/json"
            if not isinstance(body, bytes):
                body = json.dumps(body).encode()
        if self.token:
            fields["Authorization"] = f"Bearer {self.token}"
        if key is not None:
            fields["Idempotency-Key"] = key
        fields.update(headers or {})
        connection = self._connected()
        try:
            connection.request(method, path, body, fields)
            response = connection.getresponse()
            content = response.read()
        except BaseException:
            self.close()
            raise
        if response.will_close:
            self.close()
        if self.judged:
            openapi.contract().check(method, path, body, response.status, response.headers, content)
        return Answer(f"{method} {path}", response.status, response.headers, content)

    def _connected(self):
        if self._connection is not None and self._hung_up():
            self.close()
        if self._connection is None:
            parts = urlsplit(self.url)
            self._connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=self.timeout_s,
                                                          source_address=self.source and (self.source, 0))
            try:
                self._connection.connect()
            except BaseException:
                self.close()
                raise
        return self._connection

    def _hung_up(self):
        """Has the server closed the idle connection? Known before sending, so that nothing has to be sent twice."""
        sock = self._connection.sock
        sock.setblocking(False)
        try:
            return sock.recv(1) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True
        finally:
            sock.settimeout(self.timeout_s)

    def close(self):
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def get(self, path, **kwargs):
        return self.request("GET", path, **kwargs)

    def post(self, path, body=None, **kwargs):
        return self.request("POST", path, {} if body is None else body, **kwargs)

    def patch(self, path, body, **kwargs):
        return self.request("PATCH", path, body, **kwargs)

    def delete(self, path, body=None, **kwargs):
        return self.request("DELETE", path, body, **kwargs)

    # ---- what buyers do; each returns the Answer ---------------------------------------------------------------------

    def lock(self, show_id, seats, key=None, **fields):
        """seats: a list of guids, or a number for the best ones."""
        what = {"best": {"quantity": seats}} if isinstance(seats, int) else {"seats": list(seats)}
        return self.post(f"/v1/shows/{show_id}/locks", {**what, **fields}, key=key)

    def lock_state(self, show_id, lock_id):
        return self.get(f"/v1/shows/{show_id}/locks/{lock_id}")

    def release(self, show_id, lock_id):
        return self.delete(f"/v1/shows/{show_id}/locks/{lock_id}")

    def book(self, show_id, lock_id, method=CARD_OK, key=None, name="Ada Lovelace", email="ada@example.org", **buyer):
        return self.post(f"/v1/shows/{show_id}/bookings",
                         {"lock_id": lock_id, "buyer": {"name": name, "email": email, **buyer},
                          "payment": {"method": method}}, key=key)

    def cancel(self, show_id, booking_id, seats=None):
        return self.post(f"/v1/shows/{show_id}/bookings/{booking_id}/cancel", {"seats": seats} if seats else {})

    def taken(self, show_id):
        """{guid: state} of the seats that are not free."""
        return self.get(f"/v1/shows/{show_id}/seats").expect(200)["seats"]

    # ---- what organisers do; each returns the answer's JSON ----------------------------------------------------------

    def make_venue(self, timezone="Europe/Vienna", **fields):
        return self.post("/v1/venues", {"name": f"Venue {next(_numbers)}", "city": "Vienna", "timezone": timezone,
                                        **fields}).expect(201)

    def make_plan(self, venue_id, plan):
        return self.post(f"/v1/venues/{venue_id}/plans", plan).expect(201)

    def make_event(self, **fields):
        return self.post("/v1/events", {"name": f"Event {next(_numbers)}", "category": "theatre", "status": "published",
                                        **fields}).expect(201)

    def make_show(self, seats=50, per_row=10, prices=None, sale_starts=-3600, sale_ends=86400, starts=7 * 86400,
                  currency="EUR", plan=None, event_id=None, venue_id=None, **fields):
        """A show on sale in a venue of its own.

        prices: {category: minor units}, the seats are dealt to the categories row by row (default {"Standard": 4500});
        sale_starts, sale_ends, starts: seconds from now; plan: a seating plan in place of a generated one.
        """
        prices = prices or {"Standard": 4500}
        plan = plan or seating_plan(seats, per_row, list(prices))
        venue_id = venue_id or self.make_venue()["venue_id"]
        plan_id = self.make_plan(venue_id, plan)["plan_id"]
        event_id = event_id or self.make_event()["event_id"]
        made = self.post(f"/v1/events/{event_id}/shows", {
            "plan_id": plan_id, "starts_at": from_now(starts), "sale_starts_at": from_now(sale_starts),
            "sale_ends_at": from_now(sale_ends),
            "prices": {name: {"amount": amount, "currency": currency} for name, amount in prices.items()},
            **fields}).expect(201)
        return Show(made["show_id"], event_id, venue_id, plan_id, seat_guids(plan), plan)


@dataclass
class Show:
    show_id: str
    event_id: str
    venue_id: str
    plan_id: str
    seats: list  # guids in the plan's order
    plan: dict = field(repr=False)


def from_now(seconds):
    """RFC 3339, UTC."""
    then = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return then.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def seating_plan(seats=50, per_row=10, categories=("Standard",), name=None):
    """A pretix seating plan: one zone, rows A, B, ..., guids "A-1", "A-2", ...; rows go to the categories in turn."""
    rows = []
    for number in range(-(-seats // per_row)):
        label = _letters(number)
        here = min(per_row, seats - number * per_row)
        rows.append({
            "row_number": label, "row_number_position": "both", "position": {"x": 0, "y": 40.0 + 25 * number},
            "seats": [{
                "seat_guid": f"{label}-{seat}", "seat_number": str(seat), "position": {"x": 25.0 * seat, "y": 0},
                "category": categories[number % len(categories)],
            } for seat in range(1, here + 1)]})
    return {"name": name or f"Plan {next(_numbers)}",
            "size": {"width": 25 * (per_row + 1), "height": 25 * len(rows) + 80},
            "categories": [{"name": category, "color": "#7f4a91"} for category in categories],
            "zones": [{"name": "Hall", "position": {"x": 0, "y": 0}, "rows": rows, "areas": [
                {"shape": "text", "position": {"x": 10, "y": 10}, "text": {"text": "Stage", "position": {"x": 0, "y": 0}}}]}]}


def seat_guids(plan):
    return [seat["seat_guid"] for zone in plan["zones"] for row in zone["rows"] for seat in row["seats"]]


def _letters(number):
    text = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        text = chr(65 + rest) + text
    return text
