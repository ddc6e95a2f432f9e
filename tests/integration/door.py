"""What tests of the door share: tickets bought, devices that scan them."""

import itertools
import uuid

from api import CARD_OK

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
