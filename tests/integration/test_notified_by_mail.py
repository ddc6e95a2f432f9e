"""From what somebody does to the mail that arrives: through the outbox, the consumer, the rules and the sender, at a real mail server."""

import re
import tempfile

import pytest

from paying import CANCELLATION, DECLINED, age, locked, path_of
from paying import admin, db, gateway, sound  # noqa: F401 (fixtures)
from service import Boxoffice, wait_until
from smtp_server import Server


@pytest.fixture(scope="module")
def smtp():
    server = Server().start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def office(build_dir, base_dir, smtp):
    env = {"SMTP_URL": smtp.url, "SMTP_TLS": "off", "MAIL_FROM": "Box office <box@theatre.example>", "MAIL_RATE": 100, "MAIL_PER_RECIPIENT": 1000,
           "PAYMENT_TIMEOUT_MS": 1500}
    office = Boxoffice(build_dir, tempfile.mkdtemp(dir=base_dir), env={f"BOXOFFICE_{name}": str(value) for name, value in env.items()}).start()
    yield office
    office.close()


def booked(office, show, address, n=1, start=0, method="pm_card_visa", **buyer):
    who, lock = locked(office, show, n, start)
    return who, lock, who.book(show.show_id, lock, method, email=address, **buyer)


def test_a_life_of_a_booking(office, admin, smtp):
    show = admin.make_show(seats=6, cancellation=CANCELLATION)
    buyer, _, answer = booked(office, show, "life@example.org", 2)
    booking = answer.expect(201)["booking_id"]
    [confirmed] = smtp.wait_for("life@example.org")
    assert "is confirmed" in confirmed.text and any(name.endswith(".pdf") for name in confirmed.attachments)
    buyer.cancel(show.show_id, booking).expect(200)
    three = smtp.wait_for("life@example.org", 3)
    cancelled = next(mail for mail in three if "Your booking is cancelled" in mail.text)
    refunded = next(mail for mail in three if "were given back" in mail.text)
    assert re.search("You get .*87.00.* back", cancelled.text) and re.search("fee of .*3.00", cancelled.text) and "organiser" not in cancelled.text
    assert "87.00" in refunded.text and "ten days" in refunded.text


def test_what_to_do_after_a_decline(office, admin, smtp):
    show = admin.make_show(seats=6)
    booked(office, show, "decline@example.org", method=DECLINED)[2].expect(402)
    [mail] = smtp.wait_for("decline@example.org")
    assert "did not succeed" in mail.text and "Your seats are held until" in mail.text


def test_different_words_for_different_ends(office, admin, smtp):
    show = admin.make_show(seats=6, cancellation=CANCELLATION)
    booked(office, show, "lost@example.org", method="pm_card_captureFails", locale="de")[2].expect(402)
    [lost] = smtp.wait_for("lost@example.org")
    assert "Zahlung Ihrer Buchung wurde am Ende doch abgelehnt" in lost.text and "Sie bekommen" not in lost.text
    booking = booked(office, show, "staff@example.org", 1, 1)[2].expect(201)["booking_id"]
    admin.cancel(show.show_id, booking).expect(200)
    mails = smtp.wait_for("staff@example.org", 2)
    assert any("The organiser cancelled it." in mail.text for mail in mails)


def test_a_refund_that_does_not_get_through(office, admin, db, smtp):
    show = admin.make_show(seats=6, cancellation=CANCELLATION)
    buyer, _, answer = booked(office, show, "stuck@example.org", method="pm_card_pendingRefundFails", locale="zh")
    booking = answer.expect(201)["booking_id"]
    buyer.cancel(show.show_id, booking).expect(200)
    wait_until(lambda: any("无法按原支付方式退还" in mail.text for mail in smtp.to("stuck@example.org")), "the bad news", 30, 0.2)
    db.execute("UPDATE payment_findings SET settled_at = now() WHERE booking_id = %s", [booking])


def test_a_lock(office, admin, db, smtp):
    show = admin.make_show(seats=6)
    buyer = office.session()
    lock = buyer.lock(show.show_id, show.seats[:2], notify={"email": "lock@example.org", "locale": "en"}).expect(201)["lock_id"]
    age(db, lock, 242)
    [ending] = smtp.wait_for("lock@example.org")
    assert "are still held for you, until" in ending.text
    age(db, lock, 60)
    two = smtp.wait_for("lock@example.org", 2)
    assert any("The time for which your seats were held is over" in mail.text for mail in two)


def test_a_cancelled_show_writes_once_to_each(office, admin, smtp):
    show = admin.make_show(seats=10)
    people = [f"off{i}@example.org" for i in range(5)]
    for i, address in enumerate(people):
        booked(office, show, address, 1, i)[2].expect(201)
        smtp.wait_for(address)
    admin.post(f"/v1/shows/{show.show_id}/cancel", {}).expect(201)
    wait_until(lambda: admin.get(f"/v1/shows/{show.show_id}/jobs").expect(200)["items"][0]["refunds"] ==
               {"open": 0, "succeeded": 5, "failed": 0}, "all refunds", 30, 0.2)
    for address in people:
        [confirmed, off] = smtp.wait_for(address, 2)
        assert "called off" in off.text and re.search("You get .*45.00.* back", off.text)
    assert sum(len(smtp.to(address)) for address in people) == 10
