"""What tests of booking and payment share: a box office with a gateway that may be hurt, its switches, buyers' steps."""

import tempfile

import psycopg
import pytest

from gateway import Gateway, bank  # noqa: F401 (tests know the bank from here)
from service import Boxoffice

DECLINED = "pm_card_chargeDeclined"
SECURE = "pm_card_threeDSecureRequired"
CANCELLATION = {"until": "2099-01-01T00:00:00Z", "fee": {"amount": 300, "currency": "EUR"}}
NO_CANCELLATION = {"until": "2020-01-01T00:00:00Z", "fee": {"amount": 0, "currency": "EUR"}}


def office_of(*args, **settings):
    """A fixture: a box office of the module's own, whose gateway may be hurt. Calls to it give up soon, so that tests need not
    wait. settings: of its environment, without BOXOFFICE_; a function is asked when it is started (free_port)."""
    @pytest.fixture(scope="module")
    def office(build_dir, base_dir):
        env = {f"BOXOFFICE_{name}": str(value() if callable(value) else value)
               for name, value in {"PAYMENT_TIMEOUT_MS": 1500, **settings}.items()}
        office = Boxoffice(build_dir, tempfile.mkdtemp(dir=base_dir), *args, env=env).start()
        yield office
        office.close()

    return office


office = office_of()


@pytest.fixture
def gateway(office):
    gateway = Gateway.of(office)
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
