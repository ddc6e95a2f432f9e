"""Buys a ticket with the generated Python client: buy.py URL SHOW. Prints what it has, as JSON."""
import json
import sys
from uuid import UUID

from boxoffice_client import AuthenticatedClient, Client
from boxoffice_client.api.bookings import create_booking
from boxoffice_client.api.seats import create_lock
from boxoffice_client.api.sessions import create_session
from boxoffice_client.api.tickets import get_ticket_pdf, list_tickets
from boxoffice_client.models import (CreateSessionBody, Lock, NewBooking, NewBookingBuyer, NewBookingPaymentType0, NewLock, NewLockBestType0,
                                     OwnBooking, Problem)

url, show = sys.argv[1], UUID(sys.argv[2])
session = create_session.sync(client=Client(url), body=CreateSessionBody())
with AuthenticatedClient(url, token=session.token) as buyer:
    lock = create_lock.sync(show, client=buyer, body=NewLock(best=NewLockBestType0(quantity=2)), idempotency_key="python")
    again = create_lock.sync(show, client=buyer, body=NewLock(best=NewLockBestType0(quantity=2)), idempotency_key="python")
    assert isinstance(lock, Lock) and again.lock_id == lock.lock_id
    refused = create_lock.sync_detailed(show, client=buyer, body=NewLock(seats=["nowhere"]))
    assert refused.status_code == 422 and isinstance(refused.parsed, Problem)

    def book(method):
        return create_booking.sync(show, client=buyer, body=NewBooking(
            lock_id=lock.lock_id, buyer=NewBookingBuyer(name="Ada", email="ada@example.org"),
            payment=NewBookingPaymentType0(method=method)))

    declined = book("pm_card_chargeDeclined")
    assert isinstance(declined, Problem)
    booking = book("pm_card_visa")
    assert isinstance(booking, OwnBooking)
    tickets = list_tickets.sync(show, booking.booking_id, client=buyer)
    paper = get_ticket_pdf.sync(show, tickets.items[0].ticket_id, client=buyer)
print(json.dumps({"refused": str(refused.parsed.code), "declined": str(declined.code), "status": str(booking.status),
                  "total": booking.total.amount, "tickets": len(tickets.items), "paper": paper.payload.read(4).decode()}))
