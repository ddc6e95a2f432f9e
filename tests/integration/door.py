"""What tests of the door share: tickets bought, devices that scan them."""

import itertools
import uuid

from api import CARD_OK
from service import ROOT

_numbers = itertools.count(1)


class Sale:
    """A booking of some seats of a show, made by a session of its own."""

    def __init__(self, office, show, seats, **buyer):
        self.office, self.show = office, show
        self.buyer = office.session()
        lock = self.buyer.lock(show.show_id, seats).expect(201)
        self.booking = self.buyer.book(show.show_id, lock["lock_id"], CARD_OK, **buyer).expect(201)
        assert self.booking["status"] == "confirmed"
        self.booking_id = self.booking["booking_id"]
        self.tickets = self.booking["tickets"]
        self.codes = [ticket["code"] for ticket in self.tickets]

    def cancel(self, seats=None):
        return self.buyer.cancel(self.show.show_id, self.booking_id, seats)

    def items(self):
        return self.buyer.get(f"/v1/shows/{self.show.show_id}/bookings/{self.booking_id}/tickets").expect(200)["items"]


class Device:
    """Something that scans: every scan has a nonce of its own unless one is given."""

    def __init__(self, client, show, name=None):
        self.client, self.show_id = client, show if isinstance(show, str) else show.show_id
        self.name = name or f"Door {next(_numbers)}"
        self.path = f"/v1/shows/{self.show_id}/checkins"

    def ask(self, code, nonce=None, **fields):
        return self.client.post(self.path, {"code": code, "nonce": nonce or uuid.uuid4().hex, "device": self.name, **fields})

    def scan(self, code, nonce=None):
        return self.ask(code, nonce).expect(200)

    def reason(self, code, nonce=None):
        """"ok", or why not."""
        said = self.scan(code, nonce)
        assert (said["result"] == "ok") == ("reason" not in said)
        return said.get("reason", "ok")

    def undo(self, nonce=None, **fields):
        return self.client.post(f"{self.path}/undo", {"nonce": nonce or uuid.uuid4().hex, "device": self.name, **fields})

    def upload(self, scans, sent_at):
        """scans: [(nonce, code, time)]"""
        return self.client.post(f"{self.path}/upload", {
            "device": self.name, "sent_at": sent_at,
            "scans": [{"nonce": nonce, "code": code, "scanned_at": at} for nonce, code, at in scans]})

    def counts(self):
        return self.client.get(f"{self.path}/counts").expect(200)


def buy_many(office, show, seats, per_booking=10):
    """{seat: code} of bookings of many seats each."""
    codes = {}
    for first in range(0, len(seats), per_booking):
        sale = Sale(office, show, seats[first:first + per_booking], email=f"guest{first}@example.org")
        codes.update({ticket["seat"]: ticket["code"] for ticket in sale.tickets})
    return codes


def tickets_by_sql(db, show, seats, per_booking=100):
    """Confirmed bookings of these seats (by number), as if bought, where there is no gateway to pay: by the statements that the program
    itself issues tickets with. The bookings' ids."""
    issue = "\n".join(line.split("--")[0] for line in (ROOT / "src/ticket/sql/tickets_issue.sql").read_text().splitlines())
    for i in range(9, 0, -1):
        issue = issue.replace(f"${i}", f"%(p{i})s")
    made = []
    for first in range(0, len(seats), per_booking):
        numbers = seats[first:first + per_booking]
        booking, lock = uuid.uuid4(), uuid.uuid4()
        db.execute("INSERT INTO bookings (show_id, booking_id, organizer_id, event_id, lock_id, session_id, buyer_id, reference, state,"
                   " seats, prices, categories, total_minor, currency, confirmed_at) SELECT show_id, %s, organizer_id, event_id, %s,"
                   " gen_random_uuid(), gen_random_uuid(), left(%s, 11), 'confirmed', %s, array_fill(1000::bigint, %s),"
                   " array_fill(0::smallint, %s), 1000 * %s, 'EUR', now() FROM shows WHERE show_id = %s",
                   [booking, lock, str(booking), numbers, [len(numbers)], [len(numbers)], len(numbers), show.show_id])
        db.execute("INSERT INTO booking_seats (show_id, booking_id, seat_no, price_minor) SELECT %s, %s, n, 1000 FROM unnest(%s::int[]) n",
                   [show.show_id, booking, numbers])
        db.execute("UPDATE show_seats SET state = 2, fence = fence + 1, lock_id = %s WHERE show_id = %s AND seat_no = ANY (%s)",
                   [lock, show.show_id, numbers])
        issued = {"p1": show.show_id, "p2": booking, "p3": [uuid.uuid4() for _ in numbers], "p4": numbers, "p5": uuid.uuid4(),
                  "p6": uuid.UUID(int=0)}
        assert len(db.execute(issue, issued).fetchall()) == len(numbers)
        made.append(str(booking))
    return made


def codes_of(admin, show, bookings):
    """{ticket_id: code} of the valid tickets of these bookings."""
    return {item["ticket_id"]: item["code"] for booking in bookings
            for item in admin.get(f"/v1/shows/{show.show_id}/bookings/{booking}/tickets").expect(200)["items"] if item["status"] == "valid"}
