"""A client that hangs up at every point of every flow: in the middle of its request, right after it, while it is worked on; in
order or by reset. Whoever asks again with his key finds what was done, once, and what was not done can be done."""

import json
import socket
import struct

import pytest

from service import wait_until

CUTS = 6


def request(api, method, path, body, key):
    raw = json.dumps(body).encode()
    head = [f"{method} {path} HTTP/1.1", "Host: a", f"Authorization: Bearer {api.token}", "Content-Type: application/json",
            f"Content-Length: {len(raw)}"] + ([f"Idempotency-Key: {key}"] if key else [])
    return "\r\n".join([*head, "", ""]).encode() + raw


def hang_up(office, rng, raw, sent):
    """sent: how many bytes leave before the client does."""
    with socket.create_connection(("127.0.0.1", office.port), timeout=10) as s:
        s.sendall(raw[:sent])
        how = rng.randrange(3)
        if how == 0:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
        elif how == 1:
            s.shutdown(socket.SHUT_WR)
        if rng.random() < 0.3:
            s.settimeout(rng.uniform(0.001, 0.02))
            try:
                s.recv(1)
            except (TimeoutError, OSError):
                pass


def cuts(rng, raw):
    """Some in the middle; twice the whole request: whether it is done is open then."""
    return [*rng.sample(range(len(raw)), CUTS - 2), len(raw), len(raw)]


@pytest.fixture
def show(boxoffice):
    return boxoffice.admin().make_show(seats=100, cancellation={"until": "2099-01-01T00:00:00Z"})


def settled(ask, status):
    """The answer, asked until nobody is at work on what was left behind."""
    return wait_until(lambda: (answer := ask()).status == status and answer, f"{status}", 30)


def test_while_locking(boxoffice, rng, show):
    for n, sent in enumerate(cuts(rng, b"x" * 300)):
        buyer = boxoffice.session()
        body, path = {"seats": show.seats[2 * n:2 * n + 2]}, f"/v1/shows/{show.show_id}/locks"
        raw = request(buyer, "POST", path, body, f"key-{n}")
        hang_up(boxoffice, rng, raw, len(raw) if sent == 300 else sent)
        first = settled(lambda: buyer.post(path, body, key=f"key-{n}"), 201).json()
        assert buyer.post(path, body, key=f"key-{n}").expect(201)["lock_id"] == first["lock_id"]


def test_while_locking_without_a_key(boxoffice, rng, show):
    """Nobody can ask for that lock again: it is given back at once, not after five minutes."""
    buyer = boxoffice.session()
    for sent in (None, None, None):
        raw = request(buyer, "POST", f"/v1/shows/{show.show_id}/locks", {"seats": show.seats[:2]}, None)
        hang_up(boxoffice, rng, raw, sent or len(raw))
    other = boxoffice.session()

    def had():
        answer = other.lock(show.show_id, show.seats[:2])
        return answer.status == 201

    # or the client was still there when the answer left: then it is the first session's
    wait_until(lambda: had() or len(buyer.get("/v1/me/locks").expect(200)["items"]) > 0, "the seats, or their owner", 20)


def test_while_releasing(boxoffice, rng, show):
    buyer = boxoffice.session()
    lock = buyer.lock(show.show_id, 2).expect(201)["lock_id"]
    path = f"/v1/shows/{show.show_id}/locks/{lock}"
    raw = request(buyer, "DELETE", path, {}, None)
    for sent in cuts(rng, raw):
        hang_up(boxoffice, rng, raw, sent)
    buyer.delete(path).expect(204)
    assert not buyer.taken(show.show_id)


def test_while_paying(boxoffice, rng, show):
    path = f"/v1/shows/{show.show_id}/bookings"
    for n, sent in enumerate(cuts(rng, b"x" * 400)):
        buyer = boxoffice.session()
        lock = buyer.lock(show.show_id, 2).expect(201)["lock_id"]
        body = {"lock_id": lock, "buyer": {"name": "Ada Lovelace", "email": "ada@example.org"}, "payment": {"method": "pm_card_visa"}}
        raw = request(buyer, "POST", path, body, f"key-{n}")
        hang_up(boxoffice, rng, raw, len(raw) if sent == 400 else sent)
        booking = settled(lambda: buyer.post(path, body, key=f"key-{n}"), 201).json()["booking_id"]
        wait_until(lambda: buyer.get(f"{path}/{booking}").expect(200)["status"] == "confirmed", "the booking", 30)
        assert len(buyer.get("/v1/me/bookings").expect(200)["items"]) == 1
    boxoffice.check()


def test_while_cancelling_and_refunding(boxoffice, rng, show):
    admin, path = boxoffice.admin(), f"/v1/shows/{show.show_id}/bookings"
    for n, sent in enumerate(cuts(rng, b"x" * 200)):
        buyer = boxoffice.session()
        booking = buyer.book(show.show_id, buyer.lock(show.show_id, 2).expect(201)["lock_id"]).expect(201)["booking_id"]
        refund = {"amount": {"amount": 100, "currency": "EUR"}, "reason": "late"}
        for api, what, body in ((admin, "refunds", refund), (buyer, "cancel", {})):
            raw = request(api, "POST", f"{path}/{booking}/{what}", body, f"key-{n}" if what == "refunds" else None)
            hang_up(boxoffice, rng, raw, len(raw) if sent == 200 else sent)
            settled(lambda: api.post(f"{path}/{booking}/{what}", body, key=f"key-{n}" if what == "refunds" else None),
                    201 if what == "refunds" else 200)
        assert buyer.get(f"{path}/{booking}").expect(200)["status"] == "cancelled"
    assert not buyer.taken(show.show_id)
    boxoffice.check()


def test_while_reading(boxoffice, rng, show):
    buyer = boxoffice.session()
    booking = buyer.book(show.show_id, buyer.lock(show.show_id, 1).expect(201)["lock_id"]).expect(201)
    ticket = booking["tickets"][0]["ticket_id"]
    for path in (f"/v1/shows/{show.show_id}/seatmap", f"/v1/shows/{show.show_id}/seats", "/v1/events", "/v1/me/locks", "/metrics", "/readyz",
                 f"/v1/shows/{show.show_id}/bookings/{booking['booking_id']}", f"/v1/shows/{show.show_id}/tickets/{ticket}.pdf"):
        raw = request(buyer, "GET", path, {}, None)
        for sent in cuts(rng, raw):
            hang_up(boxoffice, rng, raw, sent)
    boxoffice.api().get("/healthz").expect(200)
