"""Mails as they arrive at a real mail server: who gets what, parsed by Python's library without a defect, links followed, tickets read."""

import os
import signal
import subprocess
import tempfile
import uuid
from html.parser import HTMLParser
from urllib.parse import parse_qs, urlsplit

import idna
import psycopg
import pytest

from paying import CANCELLATION, DECLINED, locked, path_of
from paying import admin, db, gateway, sound  # noqa: F401 (fixtures)
from service import Boxoffice, wait_until
from smtp_server import Server, make_certificate, pdf_text, qr_codes

EVIL = "Eve\r\nBcc: everybody@example.org\r\n\r\n<script>alert(1)</script>"


@pytest.fixture(scope="module")
def smtp():
    with tempfile.TemporaryDirectory() as folder:
        server = Server(tls=make_certificate(folder), users={"box": "pa ss:wörd"}, starttls_required=True).start()
        yield server
        server.stop()


@pytest.fixture(scope="module")
def office(build_dir, base_dir, smtp):
    folder = tempfile.mkdtemp(dir=base_dir)
    with open(f"{folder}.password", "w") as password:
        password.write("pa ss:wörd\n")
    env = {"SMTP_URL": smtp.url, "SMTP_CA_FILE": smtp.tls[0], "SMTP_USER": "box", "SMTP_PASSWORD_FILE": password.name,
           "MAIL_FROM": "Kasse Süd <kasse@theater.example>", "MAIL_RATE": 100, "MAIL_PER_RECIPIENT": 1000,
           "PAYMENT_TIMEOUT_MS": 1500, "LEASE_SECONDS": 1}
    office = Boxoffice(build_dir, folder, env={f"BOXOFFICE_{name}": str(value) for name, value in env.items()}).start()
    # These tests write the rows that are sent, so its consumer of events must not: who writes them when is test_notifications.py, and
    # test_notified_by_mail.py goes all the way.
    with psycopg.connect(office.database_url, autocommit=True) as db:
        db.execute("INSERT INTO leases (name, holder, generation, until) VALUES ('consumer-notifications', 'tests', 1, 'infinity')"
                   " ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, generation = leases.generation + 1, until = excluded.until")
    [worker] = office.pids("boxoffice work")
    os.kill(worker, signal.SIGKILL)  # it would go on until it renews the lease; the next one finds it taken
    wait_until(lambda: worker not in office.pids("boxoffice work"), "the worker's end")
    yield office
    office.close()


def somebody():
    return f"ada.{uuid.uuid4().hex[:12]}@example.org"


def booked(office, show, n=2, start=0, **buyer):
    who, lock = locked(office, show, n, start)
    return who, who.book(show.show_id, lock, **buyer).expect(201)


def notify(db, booking, kind, cause=None, data="{}", buyer=None):
    """As the consumer of events writes it."""
    [[made]] = db.execute(
        "INSERT INTO notifications (notification_id, organizer_id, kind, show_id, booking_id, buyer_id, cause_id, data) "
        "SELECT gen_random_uuid(), organizer_id, %s, show_id, booking_id, coalesce(%s, buyer_id), coalesce(%s, gen_random_uuid()), %s "
        "FROM bookings WHERE booking_id = %s RETURNING notification_id::text",
        [kind, buyer, cause, data, booking["booking_id"]]).fetchall()
    return made


def state_of(db, notification):
    return db.execute("SELECT state FROM notifications WHERE notification_id = %s", [notification]).fetchone()[0]


class Links(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.found = []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        assert tag not in ("script", "img", "link", "iframe", "object"), tag
        self.found += [value for name, value in attributes if name == "href"]


def follow(office, mail):
    """The booking that a mail's link leads to, asked for as its page does; it is the same in text and HTML."""
    [link] = Links(mail.html).found
    assert link in mail.text and link.startswith(office.url + "/booking#"), link
    assert office.api().get("/booking").status == 200
    asked = {name: value for name, [value] in parse_qs(urlsplit(link).fragment).items()}
    client = office.api(asked["access_token"])
    return client.get(f"/v1/shows/{asked['show']}/bookings/{asked['booking']}").expect(200)


# ---- who gets what ----------------------------------------------------------------------------------------------------------


def test_the_tickets_of_a_booking(office, admin, smtp, db, build_dir):
    show = admin.make_show(seats=10, cancellation=CANCELLATION)
    address = somebody()
    buyer, booking = booked(office, show, 3, name="Grüße, Jörg \"X\"", email=address, locale="de-AT")
    notification = notify(db, booking, "booking_confirmed")
    [got] = smtp.wait_for(address)
    assert got.tls and got.login == "box" and got.sender == "kasse@theater.example"
    mail = got.mail
    assert mail["From"].addresses[0].display_name == "Kasse Süd" and mail["From"].addresses[0].addr_spec == "kasse@theater.example"
    assert mail["To"].addresses[0].display_name == "Grüße, Jörg \"X\"" and mail["To"].addresses[0].addr_spec == address
    assert booking["reference"] in mail["Subject"] and mail["Subject"].startswith("Ihre Karten: Event ")
    assert mail["Message-ID"] == f"<{notification}@theater.example>" and mail["Auto-Submitted"] == "auto-generated"
    assert mail["Date"].datetime.utcoffset().total_seconds() == 0
    assert max(len(line) for line in got.bytes.split(b"\r\n")) <= 78 and b"\n" not in got.bytes.replace(b"\r\n", b"")
    for said in (got.text, got.html):
        assert booking["reference"] in said and "135,00 EUR" in said and "Europe/Vienna" in said and "Platz" in said
    assert follow(office, got)["booking_id"] == booking["booking_id"]

    attached = got.attachments
    assert set(attached) == {f"tickets-{booking['reference']}.pdf", f"show-{booking['reference']}.ics"}
    pdf = attached[f"tickets-{booking['reference']}.pdf"]
    text = pdf_text(pdf)
    assert "Grüße, Jörg" in text and booking["reference"] in text
    codes = qr_codes(pdf)
    assert sorted(codes) == sorted(ticket["code"] for ticket in booking["tickets"])
    check_codes(office, build_dir, show, codes)
    calendar = attached[f"show-{booking['reference']}.ics"].decode().replace("\r\n ", "")
    assert f"UID:{booking['booking_id']}@boxoffice" in calendar and booking["reference"] in calendar
    wait_until(lambda: state_of(db, notification) == "sent", "the row says so")


def check_codes(office, build_dir, show, codes):
    """The program that doors use."""
    with tempfile.TemporaryDirectory() as folder:
        for name, path in (("keys", "/v1/tickets/keys"), ("revoked", f"/v1/shows/{show.show_id}/tickets/revoked")):
            with open(f"{folder}/{name}.json", "wb") as file:
                file.write(office.api().get(path).body)
        done = subprocess.run([str(build_dir / "boxoffice"), "verify-ticket", "--keys", f"{folder}/keys.json", "--revoked",
                               f"{folder}/revoked.json", "--show", show.show_id, *codes], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["مريم العلي", "张伟", "Zoë 🎭 Çelik", "Ada\u202etxt", "=?utf-8?q?x?=", "\"quoted\" \\ (comment) <a@b>",
                                  "x" * 200], ids=["arabic", "chinese", "emoji", "override", "encoded", "specials", "long"])
def test_whatever_a_person_is_called(office, admin, smtp, db, name):
    show = admin.make_show(seats=4)
    address = somebody()
    _, booking = booked(office, show, 1, name=name, email=address, locale="zh-Hans-CN")
    notify(db, booking, "tickets")
    [got] = smtp.wait_for(address)
    mail = got.mail
    assert len(mail["To"].addresses) == 1 and mail["To"].addresses[0].addr_spec == address
    # the library's parser of names leaves a blank between two encoded words, which RFC 2047 has none of
    assert mail["To"].addresses[0].display_name.replace(" ", "") == name.replace("\u202e", "").replace(" ", "")
    assert name in got.text and "订单号：" in got.text and mail["Subject"].startswith("再次发送您的门票")
    [pdf] = [content for file, content in got.attachments.items() if file.endswith(".pdf")]
    assert qr_codes(pdf) == [booking["tickets"][0]["code"]]
    if name == "张伟":
        assert name in pdf_text(pdf)


def test_nothing_is_injected(office, admin, smtp, db):
    """Not by a name, an event, a venue, an organiser; the API refuses control characters in most of them, so they come by SQL."""
    venue = admin.make_venue(name="Haus <b>\"&")
    event = admin.make_event(name="Faust & <script>x</script> =?utf-8?q?x?=")
    show = admin.make_show(seats=4, venue_id=venue["venue_id"], event_id=event["event_id"])
    address = somebody()
    _, booking = booked(office, show, 1, email=address)
    db.execute("UPDATE buyers SET name = %s WHERE email = %s", [EVIL, address])
    db.execute("UPDATE events SET name = name || %s WHERE event_id = %s", ["\r\nX-Evil: yes\r\n\r\nbody", event["event_id"]])
    notify(db, booking, "booking_confirmed")
    [got] = smtp.wait_for(address)
    mail = got.mail
    assert set(mail.keys()) == {"Date", "From", "To", "Subject", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"}
    assert "X-Evil: yes" in mail["Subject"] and "\n" not in mail["Subject"]
    assert [a.addr_spec for a in mail["To"].addresses] == [address]
    assert "<script" not in got.html and "&lt;script&gt;" in got.html
    assert not smtp.to("everybody@example.org")
    follow(office, got)


def test_each_kind_in_each_language(office, admin, smtp, db):
    """The facts of each, by its words; of a cancellation and a refund the money."""
    words = {"booking_confirmed": ("tickets are attached", "Karten sind als PDF", "订单已确认"),
             "tickets": ("once more", "noch einmal", "再次发送"),
             "lookup": ("asked for the link", "nach dem Link", "请求了订单的链接"),
             "show_rescheduled": ("at another time", "neuen Termin", "时间有变"),
             "payment_failed": ("did not succeed", "nicht gelungen", "未成功"),
             "show_cancelled": ("called off", "abgesagt", "已取消"),
             "booking_cancelled": ("is cancelled", "ist storniert", "已取消"),
             "refunded": ("given back", "erstattet", "退还")}
    money = {"en": "87.00 EUR", "de": "87,00 EUR", "zh": "87.00 EUR"}
    show = admin.make_show(seats=30, cancellation=CANCELLATION)
    for i, locale in enumerate(("en", "de", "zh")):
        address = somebody()
        buyer, booking = booked(office, show, 2, 2 * i, email=address, locale=locale)
        for kind in words:
            if kind == "show_cancelled":
                buyer.cancel(show.show_id, booking["booking_id"]).expect(200)
            elif kind == "payment_failed":
                db.execute("UPDATE bookings SET state = 'payment_pending' WHERE booking_id = %s", [booking["booking_id"]])
            notify(db, booking, kind)
            smtp.wait_for(address, len(smtp.to(address)) + 1)
            if kind == "payment_failed":
                db.execute("UPDATE bookings SET state = 'confirmed' WHERE booking_id = %s", [booking["booking_id"]])
        got = smtp.to(address)
        assert len(got) == len(words)
        for one, kind in zip(got, words):
            for said in (one.text, one.html):
                assert words[kind][i] in said, (kind, locale, said)
                assert booking["reference"] in said and "Europe/Vienna" in said
                if kind in ("show_cancelled", "booking_cancelled", "refunded"):
                    assert money[locale] in said, (kind, said)
            assert follow(office, one)["reference"] == booking["reference"]
            assert bool(one.attachments) == (kind in ("booking_confirmed", "tickets", "show_rescheduled")), kind


def test_lost_and_found(office, admin, smtp, db):
    """The lookup's mail really arrives, and its link opens the booking without an account."""
    show = admin.make_show(seats=4)
    address = somebody()
    _, booking = booked(office, show, 2, email=address)
    db.execute("DELETE FROM request_counts")
    office.api().post("/v1/lookup", {"reference": booking["reference"], "email": address}).expect(202)
    [got] = smtp.wait_for(address)
    assert follow(office, got)["buyer"]["email"] == address
    assert not got.attachments


def test_sent_once_more_by_staff(office, admin, smtp):
    show = admin.make_show(seats=4)
    address = somebody()
    buyer, booking = booked(office, show, 2, email=address)
    admin.post(path_of(show, booking["booking_id"]) + "/resend").expect(200)
    [got] = smtp.wait_for(address)
    [pdf] = [content for name, content in got.attachments.items() if name.endswith(".pdf")]
    assert sorted(qr_codes(pdf)) == sorted(t["code"] for t in booking["tickets"])


def test_a_transfer_goes_to_its_holder(office, admin, smtp, build_dir):
    show = admin.make_show(seats=4)
    address, bob = somebody(), somebody()
    buyer, booking = booked(office, show, 3, email=address)
    given = buyer.post(path_of(show, booking["booking_id"]) + "/transfer", {
        "to": {"name": "Bob", "email": bob}, "seats": [show.seats[1]]}).expect(200)
    [got] = smtp.wait_for(bob)
    [pdf] = [content for name, content in got.attachments.items() if name.endswith(".pdf")]
    codes = qr_codes(pdf)
    assert len(codes) == 1 and codes[0] not in {t["code"] for t in booking["tickets"]}
    check_codes(office, build_dir, show, codes)
    assert "Bob" in pdf_text(pdf)
    # nothing of the booking: neither its link nor what it cost, nor who has the rest
    assert "/booking#" not in got.text and "135.00" not in got.text and "Ada" not in got.text and address not in got.text
    # the link of one ticket is its paper
    [link] = Links(got.html).found
    assert link in got.text
    link = urlsplit(link)
    paper = office.api().get(f"{link.path}?{link.query}")
    assert paper.status == 200 and paper.headers.get_content_type() == "application/pdf" and given["tickets"][0]["ticket_id"] in link.path
    # who has the rest gets the rest
    admin.post(path_of(show, booking["booking_id"]) + "/resend").expect(200)
    [rest] = smtp.wait_for(address)
    [pdf] = [content for name, content in rest.attachments.items() if name.endswith(".pdf")]
    assert sorted(qr_codes(pdf)) == sorted(t["code"] for t in booking["tickets"] if t["seat"] != show.seats[1])


def test_a_show_that_is_called_off_or_put_off(office, admin, smtp):
    show = admin.make_show(seats=6)
    address = somebody()
    buyer, booking = booked(office, show, 2, email=address)
    admin.post(f"/v1/shows/{show.show_id}/reschedule", {"starts_at": "2031-07-01T18:30:00Z"}).expect(201)
    [put_off] = smtp.wait_for(address)
    for said in (put_off.text, put_off.html):
        assert "Tuesday, 1 July 2031" in said and "20:30" in said and "CEST" in said
    [calendar] = put_off.attachments.values()
    assert b"SEQUENCE:1" in calendar and b"DTSTART:20310701T183000Z" in calendar
    admin.post(f"/v1/shows/{show.show_id}/cancel", {"reason": "Storm"})
    called_off = smtp.wait_for(address, 2)[1]
    assert "90.00 EUR" in called_off.text and follow(office, called_off)["status"] == "cancelled"


def test_a_lock_with_notify(office, admin, smtp, db):
    show = admin.make_show(seats=6)
    address = somebody()
    buyer = office.session()
    lock = buyer.lock(show.show_id, show.seats[:2], notify={"email": address, "locale": "de"}).expect(201)
    rows = "SELECT gen_random_uuid(), y.organizer_id, %s, l.show_id, " \
           "'00000000-0000-0000-0000-000000000000', l.notify_buyer, l.lock_id, l.expires_at FROM seat_locks l JOIN buyers y ON y.buyer_id = l.notify_buyer " \
           "WHERE l.lock_id = %s"
    insert = "INSERT INTO notifications (notification_id, organizer_id, kind, show_id, booking_id, buyer_id, cause_id, not_after) " + rows
    db.execute(insert, ["lock_ending", lock["lock_id"]])
    [got] = smtp.wait_for(address)
    assert "noch bis" in got.text and "Guten Tag,\r\n" in got.text and "90,00 EUR" in got.text and "Platz" in got.text
    [link] = Links(got.html).found
    assert link == office.url + "/"
    # what is too late is not sent: neither after its time, nor when the seats are booked
    buyer.release(show.show_id, lock["lock_id"])
    db.execute("DELETE FROM notifications WHERE cause_id = %s", [lock["lock_id"]])
    db.execute(insert, ["lock_ending", lock["lock_id"]])
    wait_until(lambda: db.execute("SELECT state, last_error FROM notifications WHERE cause_id = %s", [lock["lock_id"]]).fetchall()
               == [("dropped", "overtaken: the lock does not wait any more")], "dropped")
    assert len(smtp.to(address)) == 1


def test_what_is_of_no_use_is_not_sent(office, admin, smtp, db):
    show = admin.make_show(seats=8, cancellation=CANCELLATION)
    address = somebody()
    buyer, booking = booked(office, show, 2, email=address)
    paid = notify(db, booking, "payment_failed")  # another attempt has succeeded
    late = db.execute("INSERT INTO notifications (notification_id, organizer_id, kind, show_id, booking_id, buyer_id, created_at) "
                      "SELECT gen_random_uuid(), organizer_id, 'lookup', show_id, booking_id, buyer_id, now() - interval '25 hours' "
                      "FROM bookings WHERE booking_id = %s RETURNING notification_id", [booking["booking_id"]]).fetchone()[0]
    wait_until(lambda: state_of(db, paid) == state_of(db, late) == "dropped", "both dropped", 45)
    buyer.cancel(show.show_id, booking["booking_id"]).expect(200)
    gone = notify(db, booking, "tickets")
    wait_until(lambda: state_of(db, gone) == "dropped", "tickets of a cancelled booking")
    assert not smtp.to(address)


def test_an_erased_person_gets_nothing(office, admin, smtp, db):
    show = admin.make_show(seats=4)
    address = somebody()
    _, booking = booked(office, show, 1, email=address)
    with db.transaction():
        made = notify(db, booking, "refunded")
        db.execute("UPDATE buyers SET name = '', email = '', erased_at = now() WHERE email = %s", [address])
    wait_until(lambda: state_of(db, made) == "dropped", "dropped")
    assert not smtp.to(address) and not smtp.to("")


def test_the_payment_failed(office, admin, smtp, db):
    """What to do about it: why, until when the seats are held, and where to pay."""
    show = admin.make_show(seats=4)
    address = somebody()
    buyer, lock = locked(office, show, 2)
    refused = buyer.book(show.show_id, lock, "pm_card_visa_chargeDeclinedInsufficientFunds", email=address).expect(402)
    notify(db, refused, "payment_failed")
    [got] = smtp.wait_for(address)
    for said in (got.text, got.html):
        assert "not enough money" in said and "are held until" in said
    assert follow(office, got)["status"] == "payment_pending"


def test_addresses_of_other_scripts(office, admin, smtp, db):
    """A domain goes as IDNA says; a name before the @ needs the server's SMTPUTF8, which this one has."""
    show = admin.make_show(seats=4)
    domain, local = f"ada@b\u00fccher-{uuid.uuid4().hex[:8]}.example", f"j\u00f6rg.{uuid.uuid4().hex[:8]}@example.org"
    for start, address in enumerate((domain, local)):
        _, booking = booked(office, show, 1, start, email=address)
        notify(db, booking, "lookup")
    [got] = smtp.wait_for("ada@" + idna.encode(domain.partition("@")[2]).decode())
    assert got.mail["To"].addresses[0].addr_spec == got.recipient and "SMTPUTF8" not in got.options
    [got] = smtp.wait_for(local)
    # (Python's library calls such an address a defect, whatever the policy)
    assert f"<{local}>\r\n".encode() in got.bytes and "SMTPUTF8" in got.options

