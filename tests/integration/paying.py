"""What tests of booking and payment share: a box office with a gateway that may be hurt, its switches, buyers' steps."""

import json
import tempfile
import urllib.error
import urllib.parse
import urllib.request

import psycopg
import pytest

from service import Boxoffice

DECLINED = "pm_card_chargeDeclined"
SECURE = "pm_card_threeDSecureRequired"
CANCELLATION = {"until": "2099-01-01T00:00:00Z", "fee": {"amount": 300, "currency": "EUR"}}
NO_CANCELLATION = {"until": "2020-01-01T00:00:00Z", "fee": {"amount": 0, "currency": "EUR"}}


class Gateway:
    """The simulator's own interface: switches and the ledger."""

    def __init__(self, office):
        self.url = office.payment_url
        self.key = (office.dir / "secret" / "payment.key").read_text().strip()

    def call(self, method, path, body=None):
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"}
        request = urllib.request.Request(self.url + path, json.dumps(body).encode() if body is not None else None, headers,
                                         method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or b"null")

    def form(self, path, **fields):
        """A call of the gateway's part, as by a person at its dashboard."""
        request = urllib.request.Request(self.url + path, urllib.parse.urlencode(fields).encode(),
                                         {"Authorization": f"Bearer {self.key}"}, method="POST")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())

    def broken(self, match, mode, ms=0):
        """Until clear()."""
        self.call("POST", "/_sim/faults", {"match": match, "mode": mode, "times": 1000000, "ms": ms})

    def fault(self, match, mode, ms=0):
        """Once. A dropped connection twice: the HTTP client itself repeats what was lost on a kept connection, same key and all."""
        times = 2 if mode.startswith("drop") else 1
        self.call("POST", "/_sim/faults", {"match": match, "mode": mode, "times": times, "ms": ms})

    def clear(self):
        self.call("DELETE", "/_sim/faults")

    def intents(self, booking_id):
        return [i for i in self.call("GET", "/_sim/ledger")["payment_intents"] if i["metadata"].get("booking") == booking_id]

    def refunds(self, intent_id):
        """Newest first."""
        return [r for r in self.call("GET", "/_sim/ledger")["refunds"] if r["payment_intent"] == intent_id]

    def advance(self, seconds):
        self.call("POST", "/_sim/advance_clock", {"seconds": seconds})

    def calls(self, match, mode):
        """How often a switch has acted."""
        return sum(f["hits"] for f in self.call("GET", "/_sim/faults")["faults"] if (f["match"], f["mode"]) == (match, mode))


@pytest.fixture(scope="module")
def office(build_dir, base_dir):
    """One of this module's own: its gateway is hurt. Calls to it give up soon, so that tests need not wait."""
    office = Boxoffice(build_dir, tempfile.mkdtemp(dir=base_dir), env={"BOXOFFICE_PAYMENT_TIMEOUT_MS": "1500"}).start()
    yield office
    office.close()


@pytest.fixture
def gateway(office):
    gateway = Gateway(office)
    yield gateway
    gateway.clear()


@pytest.fixture
def admin(office):
    return office.admin()


@pytest.fixture
def db(office):
    with psycopg.connect(office.database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture(autouse=True)
def sound(office):
    yield
    office.check()


def locked(office, show, n=2, start=0, buyer=None):
    buyer = buyer or office.session()
    return buyer, buyer.lock(show.show_id, show.seats[start:start + n]).expect(201)["lock_id"]


def attempts(db, booking_id):
    return [row[0] for row in db.execute("SELECT state FROM payments WHERE booking_id = %s ORDER BY attempt_no", [booking_id])]


def eur(amount):
    return {"amount": amount, "currency": "EUR"}


def bank(url, outcome):
    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *args):
            return None

    try:
        with urllib.request.build_opener(Stay).open(url, urllib.parse.urlencode({"outcome": outcome}).encode(), timeout=10) as answer:
            return answer.status, None
    except urllib.error.HTTPError as error:
        return error.code, error.headers["Location"]


def secure(office, show, buyer, lock, **payment):
    return buyer.post(f"/v1/shows/{show.show_id}/bookings",
                      {"lock_id": lock, "buyer": {"name": "Ada", "email": "ada@example.org"}, "payment": {"method": SECURE, **payment}})


def over(db, booking_id, **columns):
    """Lets the time of a booking's last attempt pass: columns of payments, in seconds from now; it is to be looked at now."""
    what = ", ".join(f"{name} = statement_timestamp() + interval '{seconds} s'" for name, seconds in {**columns, "settle_at": 0}.items())
    db.execute(f"UPDATE payments SET {what} WHERE booking_id = %s AND state IN ('created', 'requires_action', 'authorised')", [booking_id])


def age(db, lock_id, seconds):
    """The lock was made and ends that much earlier, and so do the bounds of its attempts: in one statement, the sweeper must not
    come between the seats and their lock."""
    db.execute("WITH t AS (SELECT interval '1 s' * %(s)s AS d),"
               " l AS (UPDATE seat_locks SET created_at = created_at - t.d, expires_at = expires_at - t.d FROM t WHERE lock_id = %(lock)s),"
               " p AS (UPDATE payments SET action_until = action_until - t.d, hold_until = hold_until - t.d FROM t WHERE lock_id = %(lock)s)"
               " UPDATE show_seats SET expires_at = expires_at - t.d FROM t WHERE lock_id = %(lock)s AND expires_at < 'infinity'",
               {"s": seconds, "lock": lock_id})


def path_of(show, booking_id):
    return f"/v1/shows/{show.show_id}/bookings/{booking_id}"


class Stolen:
    """While it lasts, seat 0 of a show belongs to another booking by a row that no code of ours writes."""

    def __init__(self, office, db, show):
        self.db, self.show = db, show
        buyer, lock = locked(office, show, 1, 9)
        self.owner = buyer.book(show.show_id, lock).expect(201)["booking_id"]

    def __enter__(self):
        self.db.execute("INSERT INTO booking_seats (show_id, booking_id, seat_no, price_minor) VALUES (%s, %s, 0, 4500)",
                        [self.show.show_id, self.owner])
        return self

    def __exit__(self, *args):
        self.db.execute("DELETE FROM booking_seats WHERE show_id = %s AND seat_no = 0", [self.show.show_id])
        self.db.execute("UPDATE show_seats SET state = 0, lock_id = '00000000-0000-0000-0000-000000000000', expires_at = '-infinity',"
                        " fence = fence + 1 WHERE show_id = %s AND seat_no = 0", [self.show.show_id])
