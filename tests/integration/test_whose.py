"""Every operation of the contract, asked by those it is not for: another organiser's staff, staff without a scope, another buyer,
nobody; and with members that only the server may know. New operations come in by themselves."""

import uuid

import pytest

import openapi
from test_events import make_staff

NOBODYS = {"/v1/sessions", "/v1/payments/webhook"}


class Sale:
    """A show with a lock and a booking, and their paths."""

    def __init__(self, office):
        self.office, self.admin, self.buyer = office, office.admin(), office.session()
        self.show = self.admin.make_show(seats=40, cancellation={"until": "2099-01-01T00:00:00Z"})
        self.lock = self.buyer.lock(self.show.show_id, 2).expect(201)["lock_id"]
        self.booking = self.buyer.book(self.show.show_id, self.buyer.lock(self.show.show_id, 1).expect(201)["lock_id"]).expect(201)
        self.known = {"show": self.show.show_id, "event": self.show.event_id, "venue": self.show.venue_id, "plan": self.show.plan_id,
                      "lock": self.lock, "booking": self.booking["booking_id"], "ticket": self.booking["tickets"][0]["ticket_id"]}

    def fill(self, pattern):
        path = pattern
        for name, value in self.known.items():
            path = path.replace(f"{{{name}}}", value)
        while "{" in path:
            head, _, rest = path.partition("{")
            path = head + str(uuid.uuid4()) + rest.partition("}")[2]
        return path

    def operations(self, *kinds):
        """(method, pattern, path) of the operations that one of these kinds of token may use."""
        for pattern, item in openapi.contract().document["paths"].items():
            for method in openapi.METHODS:
                choices = item.get(method, {}).get("security", [])
                if {} in choices or pattern in NOBODYS:
                    continue  # for everybody
                if {kind for choice in choices for kind in choice} & set(kinds):
                    yield method.upper(), pattern, self.fill(pattern)

    def unchanged(self):
        assert self.buyer.lock_state(self.show.show_id, self.lock).expect(200)["state"] == "active"
        booking = self.buyer.get(f"/v1/shows/{self.show.show_id}/bookings/{self.booking['booking_id']}").expect(200)
        assert booking["status"] == "confirmed" and booking["total"] == self.booking["total"]
        assert booking["payment"]["status"] == "captured"
        assert len(self.buyer.taken(self.show.show_id)) == 3


@pytest.fixture(scope="module")
def sale(boxoffice):
    return Sale(boxoffice)


def ask(api, method, path):
    return api.request(method, path, {} if method in ("POST", "PATCH", "PUT") else None)


def test_another_organisers_staff_finds_nothing(boxoffice, sale):
    """With every scope of his own."""
    stranger, asked = make_staff(boxoffice), 0
    for method, pattern, path in sale.operations("staff"):
        if "{" not in pattern:
            continue
        answer = ask(stranger, method, path)
        # a body that is looked at first may be refused for what it lacks; nothing is ever found
        assert answer.status in ((404,) if method in ("GET", "DELETE") else (400, 404, 415, 422)), answer
        asked += 1
    assert asked >= 10
    sale.unchanged()


def test_staff_without_a_scope_may_nothing(boxoffice, sale):
    scopeless, asked = make_staff(boxoffice, scopes=()), 0
    for method, pattern, path in sale.operations("staff"):
        if pattern.startswith(("/v1/me", "/v1/staff/me")):  # who one is oneself
            continue
        answer = ask(scopeless, method, path)
        assert answer.status in (401, 403, 404), answer
        asked += answer.status == 403
    assert asked >= 5
    sale.unchanged()


def test_another_buyer_finds_nothing(boxoffice, sale):
    other, asked = boxoffice.session(), 0
    for method, pattern, path in sale.operations("session", "cookie", "booking"):
        if not any(f"{{{name}}}" in pattern for name in ("lock", "booking", "ticket")):
            continue
        answer = ask(other, method, path)
        assert answer.status in ((404,) if method in ("GET", "DELETE") else (400, 404)), answer
        asked += 1
    assert asked >= 4
    other.book(sale.show.show_id, sale.lock).expect(404, "not_found")
    sale.unchanged()


def test_nobody_is_told_to_say_who_he_is(boxoffice, sale):
    nobody, asked = boxoffice.api(), 0
    for method, _, path in sale.operations("staff", "session", "booking"):
        answer = ask(nobody, method, path)
        assert answer.status in (401, 404), answer
        asked += 1
    assert asked >= 20
    sale.unchanged()


ONLY_OURS = {"price": {"amount": 1, "currency": "EUR"}, "prices": {}, "total": {"amount": 1, "currency": "EUR"}, "amount": 1,
             "currency": "EUR", "state": "booked", "status": "confirmed", "owner": "me", "session_id": str(uuid.uuid4()),
             "buyer_id": str(uuid.uuid4()), "organizer_id": str(uuid.uuid4()), "booking_id": str(uuid.uuid4()), "expires_at":
             "2099-01-01T00:00:00Z", "expires_in": 99999, "fee": 0, "paid": True, "tickets": []}


@pytest.mark.parametrize("name", ONLY_OURS)
def test_what_only_we_may_say_is_refused(boxoffice, sale, name):
    """On every path of a purchase, in bodies that would be accepted without it."""
    buyer, show = sale.buyer, f"/v1/shows/{sale.show.show_id}"
    who, card = {"name": "Ada Lovelace", "email": "ada@example.org"}, {"method": "pm_card_visa"}
    extra = {name: ONLY_OURS[name]}
    for path, body in (("/v1/sessions", extra), (f"{show}/locks", {"seats": ["D-1"], **extra}),
                       (f"{show}/locks", {"best": {"quantity": 1, **extra}}),
                       (f"{show}/bookings", {"lock_id": sale.lock, "buyer": who, "payment": card, **extra}),
                       (f"{show}/bookings", {"lock_id": sale.lock, "buyer": {**who, **extra}, "payment": card}),
                       (f"{show}/bookings", {"lock_id": sale.lock, "buyer": who, "payment": {**card, **extra}}),
                       (f"{show}/bookings/{sale.booking['booking_id']}/cancel", extra)):
        problem = buyer.post(path, body).expect(400, "invalid_request")
        assert problem["path"].endswith(f"/{name}"), problem
    sale.unchanged()
