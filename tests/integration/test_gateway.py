"""The adapter to the payment gateway, with a middleman between it and the simulator: what it repeats, when it stops asking,
what it believes."""

import datetime
import pathlib
import subprocess
import threading
import time
import urllib.parse

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway import Simulator, bank
from middleman import KEY, Middleman, silent_port
from service import wait_until
from stand import Stand, assert_whole, own_plant  # noqa: F401 (fixture)

SECURE = "pm_card_threeDSecureRequired"


@pytest.fixture(scope="module")
def simulator(build_dir, base_dir):
    simulator = Simulator(build_dir, base_dir, key=KEY)
    yield simulator
    simulator.stop()


def settings(middleman, simulator, *args):
    return ["--payment-url", middleman.url, "--payment-key-file", str(simulator.key_file), "--payment-timeout-ms", "5000",
            "--payment-read-timeout-ms", "5000", *args]


class Ground:
    """A stand, its middleman and the simulator behind it."""

    def __init__(self, stand, middleman, simulator):
        self.stand, self.middleman, self.simulator = stand, middleman, simulator
        self.db = stand.plant.sql()

    def locked(self, n=2, buyer=None, **show):
        """A show, a buyer and a lock of n of its seats."""
        show = self.stand.admin().make_show(**show)
        buyer = buyer or self.stand.session()
        return show, buyer, buyer.lock(show.show_id, show.seats[:n]).expect(201)["lock_id"]

    def attempts(self, lock):
        return [tuple(row) for row in self.db.execute(
            "SELECT state, failure FROM payments WHERE lock_id = %s ORDER BY attempt_no", [lock])]

    def states(self, lock):
        return [state for state, _ in self.attempts(lock)]

    def booking_of(self, lock):
        return str(self.db.execute("SELECT booking_id FROM bookings WHERE lock_id = %s", [lock]).fetchone()[0])

    def findings(self, lock):
        return self.db.execute("""SELECT f.kind, f.detail, f.times FROM payment_findings f JOIN payments p ON p.payment_id = f.subject_id
            WHERE p.lock_id = %s""", [lock]).fetchall()

    def intent(self, lock):
        [intent] = self.simulator.intents(self.booking_of(lock))
        return intent

    def canceled(self, lock):
        wait_until(lambda: self.intent(lock)["status"] == "canceled", "the intent cancelled")
        assert self.intent(lock)["amount_captured"] == 0

    def authorise(self, booking, outcome="authorise"):
        """What a buyer does on the bank's page; where that sends the buyer back to, None when nowhere."""
        [[url]] = self.db.execute("SELECT action_url FROM payments WHERE booking_id = %s AND state = 'requires_action'", [booking])
        return bank(url, outcome)[1]

    def secure(self, show, buyer, lock, **payment):
        return buyer.post(f"/v1/shows/{show.show_id}/bookings", {
            "lock_id": lock, "buyer": {"name": "Ada", "email": "ada@example.org"}, "payment": {"method": SECURE, **payment}})

    def close(self):
        self.db.close()


@pytest.fixture(scope="module")
def shared(plant, simulator):
    """For tests that hurt nothing but their own calls. One worker: one breaker, one budget."""
    middleman = Middleman(simulator.url)
    stand = Stand(plant, *settings(middleman, simulator), workers=1)
    ground = Ground(stand, middleman, simulator)
    yield ground
    done = subprocess.run([plant.program, "check", *stand.args[:6]], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"boxoffice check: {done.stdout}{done.stderr}"
    ground.close()
    stand.close()
    middleman.close()


@pytest.fixture
def ground(shared):
    shared.middleman.calls.clear()
    yield shared
    shared.middleman.clear()
    shared.simulator.clear()


# ---- what was paid is what was asked ----------------------------------------------------------------------------------------


def put(**values):
    return lambda answer: answer.update(values)


@pytest.mark.parametrize(("step", "change", "words"), [
    ("create", put(amount=9100), "asked for 9000 EUR, the gateway says 9100 eur"),
    ("create", put(metadata={"attempt": "another"}), "another"),
    ("confirm", put(amount=900000), "the gateway says 900000 eur"),
    ("confirm", put(amount_capturable=8999), "8999 are held"),
    ("confirm", put(currency="usd"), "9000 usd"),
    ("confirm", put(metadata={}), "belongs to the attempt"),
], ids=["created", "created-other", "amount", "held", "currency", "attempt"])
def test_another_amount_is_not_authorised(ground, step, change, words):
    show, buyer, lock = ground.locked()
    ground.middleman.alter(step, change)
    buyer.book(show.show_id, lock).expect(503, "payment_unavailable")
    assert ground.attempts(lock) == [("voided", "amount_differs")]
    [(kind, detail, times)] = ground.findings(lock)
    assert (kind, times) == ("amount_differs", 1) and words in detail
    if words == "another":  # said to be somebody else's: it is not ours to cancel
        assert not ground.middleman.seen("cancel")
    else:
        ground.canceled(lock)
    assert not ground.middleman.seen("capture")
    # the lock is its owner's, whose seats they are
    assert buyer.lock_state(show.show_id, lock).expect(200)["state"] == "active"
    assert buyer.book(show.show_id, lock).expect(201)["status"] == "confirmed"
    assert ground.states(lock) == ["voided", "captured"]
    assert_whole(ground.db, show)


def test_another_amount_is_seen_later(ground):
    """After 3-D Secure the gateway holds another amount."""
    show, buyer, lock = ground.locked()
    booking = ground.secure(show, buyer, lock).expect(201)
    ground.middleman.alter("retrieve", put(status="requires_capture", amount_capturable=100, next_action=None), times=None)
    path = f"/v1/shows/{show.show_id}/bookings/{booking['booking_id']}"
    wait_until(lambda: buyer.get(path).expect(200)["payment"]["status"] == "voided", "the attempt voided")
    assert ground.attempts(lock) == [("voided", "amount_differs")] and len(ground.findings(lock)) == 1
    ground.canceled(lock)


def test_another_amount_captured_ends_the_booking(ground):
    """What is taken is another amount than was held: the booking is lost, and all goes back."""
    show, buyer, lock = ground.locked()
    ground.middleman.alter("capture", put(amount_received=4500))
    no = buyer.book(show.show_id, lock).expect(402, "payment_declined")
    assert no["decline_code"] == "amount_differs"
    [(kind, detail, _)] = ground.findings(lock)
    assert kind == "amount_differs" and "4500 are paid" in detail
    assert ground.states(lock) == ["capture_failed"]
    wait_until(lambda: ground.intent(lock)["amount_refunded"] == 9000, "all of it given back")
    done = buyer.get(f"/v1/shows/{show.show_id}/bookings/{no['booking_id']}").expect(200)
    assert (done["status"], done["reason"]) == ("cancelled", "payment_lost")
    assert buyer.taken(show.show_id) == {}


def test_what_was_taken_goes_back_when_it_was_another_amount(ground):
    """Somebody captured a part of it at the gateway: that part goes back, and the books agree without a person."""
    show, buyer, lock = ground.locked()
    ground.middleman.answer("capture", 500, times=None)
    booking = buyer.book(show.show_id, lock).expect(201)
    assert booking["payment"]["status"] == "capture_pending"
    ground.simulator.post(f"/v1/payment_intents/{ground.intent(lock)['id']}/capture", amount_to_capture=4500)
    ground.middleman.clear()
    wait_until(lambda: ground.intent(lock)["amount_refunded"] == 4500, "what was taken given back")
    refund = """SELECT r.state, r.kind, r.amount_minor FROM refunds r JOIN payments p USING (show_id, payment_id)
        WHERE p.lock_id = %s"""
    wait_until(lambda: ground.db.execute(refund, [lock]).fetchall() == [("succeeded", "void", 4500)], "its refund through")
    assert ground.states(lock) == ["capture_failed"]
    assert [kind for kind, _, _ in ground.findings(lock)] == ["amount_differs"]
    assert buyer.taken(show.show_id) == {}


def lost_after_capture(ground):
    """The capture's answer is lost, then somebody captures at the gateway. middleman.clear() lets that be seen."""
    show, buyer, lock = ground.locked()
    ground.middleman.answer("capture", 500, times=None)
    buyer.book(show.show_id, lock).expect(201)
    ground.simulator.post(f"/v1/payment_intents/{ground.intent(lock)['id']}/capture")
    return lock


def test_more_than_asked_goes_back_when_it_is_sent_again(ground):
    """The gateway took more than we asked for and refuses to give it back; a person has all of it sent again."""
    lock = lost_after_capture(ground)
    ground.db.execute("UPDATE payments SET amount_minor = 8500 WHERE lock_id = %s", [lock])
    ground.middleman.answer("refund", 400, {"code": "refund_disabled"})
    ground.middleman.clear("capture")

    def refunds():
        return ground.db.execute("""SELECT r.state, r.kind, r.amount_minor, r.refund_id::text FROM refunds r JOIN payments p
            USING (show_id, payment_id) WHERE p.lock_id = %s ORDER BY r.created_at""", [lock]).fetchall()

    wait_until(lambda: [row[:3] for row in refunds()] == [("failed", "void", 9000)], "the refund refused", 20)
    done = subprocess.run([ground.stand.plant.program, "admin", "payments", "retry-refund", refunds()[0][3], "--by", "Ada", "--database-url",
                           ground.stand.plant.postgres.url], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and "90.00 EUR  requested" in done.stdout, done.stdout + done.stderr
    wait_until(lambda: [row[:3] for row in refunds()][1:] == [("succeeded", "void", 9000)], "all of it given back", 20)
    assert ground.intent(lock)["amount_refunded"] == 9000


def test_another_currency_is_a_persons_to_give_back(ground):
    lock = lost_after_capture(ground)
    ground.middleman.alter("retrieve", put(currency="usd"), times=None)
    ground.middleman.clear("capture")
    wait_until(lambda: ground.db.execute("SELECT state, void_wanted FROM payments WHERE lock_id = %s", [lock]).fetchone() ==
               ("capture_failed", False), "nothing more done here", 20)
    assert not ground.middleman.seen("refund") and ground.intent(lock)["amount_refunded"] == 0
    assert ground.db.execute("SELECT count(*) FROM refunds r JOIN payments p USING (show_id, payment_id) WHERE p.lock_id = %s",
                             [lock]).fetchone() == (0,)
    [(kind, detail, _)] = ground.findings(lock)
    assert kind == "amount_differs" and "usd, of which 9000 are paid" in detail
    [last] = ground.db.execute("SELECT why FROM payment_events e JOIN payments p USING (show_id, payment_id) WHERE p.lock_id = %s"
                               " ORDER BY e.at DESC, e.event_id DESC LIMIT 1", [lock]).fetchone()
    assert last.startswith("taken in another currency")
    ground.simulator.post("/v1/refunds", payment_intent=ground.intent(lock)["id"])


# ---- repetition -----------------------------------------------------------------------------------------------------------

IN_USE = {"type": "idempotency_error", "code": "idempotency_key_in_use"}


# (all of them together fit into the budget of the one worker)
@pytest.mark.parametrize(("step", "status", "error", "headers", "times"), [
    ("create", 429, {"code": "rate_limit"}, {}, 2),
    ("confirm", 429, {"code": "rate_limit"}, {"Retry-After": "1"}, 1),
    ("confirm", 409, IN_USE, {}, 1),
    ("capture", 409, {"type": "invalid_request_error", "code": "lock_timeout"}, {}, 1),
])
def test_what_did_nothing_is_sent_again(ground, step, status, error, headers, times):
    show, buyer, lock = ground.locked()
    ground.middleman.answer(step, status, error, headers, times)
    before = ground.stand.metric("boxoffice_gateway_repeats_total", step=step)
    booking = buyer.book(show.show_id, lock).expect(201)
    assert booking["payment"]["status"] == "captured"
    calls = ground.middleman.seen(step)
    assert [call.status for call in calls] == [status] * times + [200]
    assert len({(call.headers["idempotency-key"], call.path, call.body) for call in calls}) == 1
    assert ground.states(lock) == ["captured"]
    assert ground.stand.metric("boxoffice_gateway_repeats_total", step=step) == before + times


def test_refunds_are_sent_again_too(ground):
    show, buyer, lock = ground.locked()
    booking = buyer.book(show.show_id, lock).expect(201)["booking_id"]
    ground.middleman.answer("refund", 429)
    assert ground.stand.admin().cancel(show.show_id, booking).expect(200)["refund"]["status"] == "succeeded"
    assert len({(call.headers["idempotency-key"], call.body) for call in ground.middleman.seen("refund")}) == 1


def test_turned_away_for_good(ground):
    """Only so often; then the lock goes back, and nothing was charged."""
    show, buyer, lock = ground.locked()
    ground.middleman.answer("confirm", 429, times=None)
    buyer.book(show.show_id, lock).expect(503, "payment_unavailable")
    assert len(ground.middleman.seen("confirm")) == 4
    assert ground.attempts(lock) == [("failed", "unavailable")]
    assert buyer.lock_state(show.show_id, lock).expect(200)["state"] == "active"
    ground.canceled(lock)
    # asked to wait longer than there is time: at once
    ground.middleman.clear()
    ground.middleman.answer("create", 429, headers={"Retry-After": "60"}, times=None)
    n = len(ground.middleman.seen("create"))
    buyer.book(show.show_id, lock).expect(503, "payment_unavailable")
    assert len(ground.middleman.seen("create")) == n + 1


def test_what_may_have_been_done_is_read(ground):
    """A 500 and a lost answer are not repeated; the intent is read, and what it says is done."""
    for hurt in (lambda: ground.simulator.fault("confirm", "500_after"), lambda: ground.middleman.lose("confirm", times=2)):
        ground.middleman.calls.clear()
        show, buyer, lock = ground.locked()
        hurt()
        assert buyer.book(show.show_id, lock).expect(201)["status"] == "confirmed"
        # the HTTP client itself repeats what was lost on a kept connection, same key and all
        assert len(ground.middleman.seen("confirm")) <= 2 and len(ground.middleman.seen("retrieve")) == 1
        assert ground.states(lock) == ["captured"]
    assert ground.intent(lock)["amount_captured"] == 9000


def test_in_use_and_then_unreached_is_unknown(ground):
    """The key is being worked on, then nothing gets through: that does not prove that nothing was done."""
    show, buyer, lock = ground.locked()
    ground.middleman.answer("confirm", 409, IN_USE)
    ground.middleman.answer("confirm", 429, times=None)
    ground.middleman.answer("retrieve", 503, times=1)
    buyer.book(show.show_id, lock).expect(503, "outcome_unknown")
    assert ground.states(lock) == ["created"]
    ground.middleman.clear()
    wait_until(lambda: ground.attempts(lock) == [("failed", "unavailable")], "the attempt settled", 15)
    ground.canceled(lock)
    assert buyer.lock_state(show.show_id, lock).expect(200)["state"] == "active"


# ---- seats of an event per card --------------------------------------------------------------------------------------------


def card_hashes(ground, lock):
    return [bytes(row[0]) for row in ground.db.execute("SELECT card_hash FROM payments WHERE lock_id = %s ORDER BY attempt_no", [lock])]


def limited(ground, limit=2):
    admin = ground.stand.admin()
    return admin.make_show(event_id=admin.make_event(max_per_payer=limit)["event_id"])


def test_a_card_pays_for_so_many_seats_of_an_event(ground):
    show = limited(ground)
    first, second = ground.stand.session(), ground.stand.session()
    lock = first.lock(show.show_id, show.seats[:2]).expect(201)["lock_id"]
    booking = first.book(show.show_id, lock, email="one@example.org").expect(201)["booking_id"]
    [card] = card_hashes(ground, lock)
    assert len(card) == 32
    # the same card under another address
    other = second.lock(show.show_id, show.seats[4:5]).expect(201)["lock_id"]
    no = second.book(show.show_id, other, email="two@example.org", key="k").expect(409, "lock_limit")
    assert no["limit"] == 2 and "card" in no["detail"]
    assert ground.attempts(other) == [("voided", "card_limit")]
    ground.canceled(other)
    assert second.lock_state(show.show_id, other).expect(200)["state"] == "active"
    # another card will do
    assert second.book(show.show_id, other, "pm_card_mastercard", email="two@example.org").expect(201)["status"] == "confirmed"
    assert card_hashes(ground, other)[0] == b"" and card_hashes(ground, other)[1] not in (b"", card)
    # seats that were given back do not count
    ground.stand.admin().cancel(show.show_id, booking, show.seats[:1]).expect(200)
    third = ground.stand.session()
    more = third.lock(show.show_id, show.seats[6:7]).expect(201)["lock_id"]
    third.book(show.show_id, more, email="three@example.org").expect(201)
    assert card_hashes(ground, more) == [card]


def test_many_at_once_with_one_card(ground):
    show = limited(ground)
    buyers = [ground.stand.session() for _ in range(5)]
    locks = [buyer.lock(show.show_id, [show.seats[i]]).expect(201)["lock_id"] for i, buyer in enumerate(buyers)]
    go = ground.middleman.pause("confirm", times=None)
    answers = [None] * 5

    def book(i):
        answers[i] = buyers[i].book(show.show_id, locks[i], email=f"{i}@example.org")

    threads = [threading.Thread(target=book, args=[i]) for i in range(5)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(ground.middleman.seen("confirm")) == 5, "all confirmed at once", 4.5)
    go.set()
    for thread in threads:
        thread.join()
    assert sorted(answer.status for answer in answers) == [201, 201, 409, 409, 409]
    assert {answer.code for answer in answers if answer.status == 409} == {"lock_limit"}
    assert_whole(ground.db, show)


def test_card_limit_after_three_d_secure(ground):
    show = limited(ground)
    buyer = ground.stand.session()
    lock = buyer.lock(show.show_id, show.seats[:2]).expect(201)["lock_id"]
    buyer.book(show.show_id, lock, SECURE, email="one@example.org").expect(201)
    come_back(ground, show, ground.authorise(ground.booking_of(lock))).expect(200)
    assert ground.states(lock) == ["captured"]
    other = ground.stand.session()
    again = other.lock(show.show_id, show.seats[4:5]).expect(201)["lock_id"]
    booking = other.book(show.show_id, again, SECURE, email="two@example.org").expect(201)["booking_id"]
    done = come_back(ground, show, ground.authorise(booking)).expect(200)
    assert done["payment"]["status"] == "voided" and "This card" in done["detail"]
    assert ground.attempts(again) == [("voided", "card_limit")]
    assert other.lock_state(show.show_id, again).expect(200)["state"] == "active"


def test_no_limit_no_card(ground):
    show, buyer, lock = ground.locked()
    buyer.book(show.show_id, lock).expect(201)
    assert card_hashes(ground, lock) == [b""]
    assert not any(b"expand" in call.body or "expand" in call.path for call in ground.middleman.calls)


# ---- back from the bank -----------------------------------------------------------------------------------------------------


def come_back(ground, show, location, booking=None, token=None):
    query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(location).query))
    assert query["show"] == show.show_id
    return ground.stand.api().post(f"/v1/shows/{query['show']}/bookings/{booking or query['booking']}/return",
                                   {"token": token or query["return_token"]})


def test_back_from_the_bank(ground):
    show, buyer, lock = ground.locked()
    booking = ground.secure(show, buyer, lock, return_url=ground.stand.url + "/done?lang=de#top").expect(201)
    back = ground.authorise(booking["booking_id"])
    assert back.startswith(ground.stand.url + "/done?lang=de&show=")
    query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(back).query))
    assert query["booking"] == booking["booking_id"]
    # another browser, no session: it is asked at once, and whoever has the token has the booking
    done = come_back(ground, show, back).expect(200)
    assert (done["status"], done["payment"]["status"]) == ("confirmed", "captured")
    mine = ground.stand.api(done["access_token"]).get(f"/v1/shows/{show.show_id}/bookings/{booking['booking_id']}").expect(200)
    assert mine == done
    # once
    come_back(ground, show, back).expect(409, "return_used")
    # it stands in no table and in no line of the log
    token = query["return_token"]
    assert token.startswith("br_") and token not in ground.stand.log()
    [[n]] = ground.db.execute("SELECT count(*) FROM payment_calls c WHERE c::text LIKE %s", [f"%{token[:40]}%"]).fetchall()
    assert n == 0
    [[n]] = ground.db.execute("SELECT count(*) FROM payment_calls c WHERE c.payment_id IN"
                              " (SELECT payment_id FROM payments WHERE lock_id = %s) AND body LIKE '%%return_token%%'", [lock]).fetchall()
    assert n == 1


def test_the_way_back_is_of_one_booking_and_its_time(ground):
    show, buyer, lock = ground.locked()
    booking = ground.secure(show, buyer, lock).expect(201)["booking_id"]
    other = ground.stand.session()
    theirs = other.lock(show.show_id, show.seats[5:6]).expect(201)["lock_id"]
    other_booking = ground.secure(show, other, theirs).expect(201)["booking_id"]
    # without a return_url: the front page
    back = ground.authorise(booking)
    assert back.startswith(ground.stand.url + "/?show=")
    token = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(back).query))["return_token"]
    come_back(ground, show, back, booking=other_booking).expect(404, "not_found")
    for bad in (token[:-1] + ("A" if token[-1] != "A" else "B"), token[:20] + ("A" if token[20] != "A" else "B") + token[21:], "br_", "x"):
        come_back(ground, show, back, token=bad).expect(404, "not_found")
    no = ground.stand.api().post(f"/v1/shows/{show.show_id}/bookings/{booking}/return", {})
    assert no.expect(400, "invalid_request")["path"] == "/token"
    ground.db.execute("UPDATE payments SET action_until = now() WHERE booking_id = %s", [booking])
    come_back(ground, show, back).expect(409, "return_expired")
    # an attempt of the same booking after it has a token of its own
    back = ground.authorise(other_booking, "fail")
    assert come_back(ground, show, back).expect(200)["payment"]["status"] == "declined"
    again = ground.secure(show, other, theirs).expect(201)
    assert again["booking_id"] == other_booking
    newer = ground.authorise(other_booking)
    assert newer != back
    come_back(ground, show, back).expect(409, "return_used")
    assert come_back(ground, show, newer).expect(200)["status"] == "confirmed"


# ---- what goes over the wire -----------------------------------------------------------------------------------------------


def test_every_call_names_version_and_key(ground):
    show, buyer, lock = ground.locked()
    booking = buyer.book(show.show_id, lock).expect(201)["booking_id"]
    ground.stand.admin().cancel(show.show_id, booking).expect(200)
    assert {call.step for call in ground.middleman.calls} == {"create", "confirm", "capture", "refund"}
    for call in ground.middleman.calls:
        assert call.headers["stripe-version"] == "2026-08-26.dahlia"
        assert call.headers["authorization"] == f"Bearer {KEY}" and call.headers["idempotency-key"]


def start_refused(plant, *args):
    command = [plant.program, "work", "--database-url", plant.postgres.url_as("boxoffice_app"), "--redis-url", plant.redis.unix_url,
               "--secret-file", str(plant.secret), *args]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode not in (0, None)
    return done.stderr


def test_a_plain_address_is_refused(plant, simulator):
    for url in ("http://gateway.example", "http://127.0.0.1.evil.example", "gateway.example"):
        said = start_refused(plant, "--payment-url", url, "--payment-key-file", str(simulator.key_file))
        assert "payment-url must begin with https://" in said


def certificate(folder, name, issuer=None, host="localhost"):
    """A key and a certificate signed by issuer (or by itself, as an authority): (certificate file, key file, its issuer pair)."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer[0].subject if issuer else subject)
               .public_key(key.public_key()).serial_number(x509.random_serial_number())
               .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
               .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True))
    if issuer:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
    made = builder.sign(issuer[1] if issuer else key, hashes.SHA256())
    paths = folder / f"{name}.pem", folder / f"{name}.key"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return str(paths[0]), str(paths[1]), (made, key)


def test_certificates_are_verified(make_stand, simulator, work_dir):
    work_dir = pathlib.Path(work_dir)
    ours_file, _, ours = certificate(work_dir, "ours")
    good = certificate(work_dir, "good", ours)
    wrong_host = certificate(work_dir, "wrong", ours, host="other.example")
    stranger = certificate(work_dir, "strangers-server", certificate(work_dir, "stranger")[2])
    middleman = Middleman(simulator.url, tls=good[:2])
    ground = Ground(make_stand(*settings(middleman, simulator, "--payment-ca-file", ours_file), workers=1, work=False), middleman, simulator)
    try:
        show, buyer, lock = ground.locked()
        for pair in (stranger, wrong_host):
            middleman.close()
            middleman.tls = pair[:2]
            middleman.open()
            for _ in range(2):  # enough failures to be refused by the breaker too: then nothing is tried at all
                buyer.book(show.show_id, lock).expect(503, "payment_unavailable")
            assert middleman.calls == [], "a request was sent to somebody whose certificate is not trusted"
        assert {failure for _, failure in ground.attempts(lock)} == {"unavailable"}
        assert buyer.lock_state(show.show_id, lock).expect(200)["state"] == "active"
        assert ground.simulator.intents(ground.booking_of(lock)) == []
        middleman.close()
        middleman.tls = good[:2]
        middleman.open()
        wait_until(lambda: buyer.book(show.show_id, lock).status == 201, "a booking over TLS", 30, 0.2)
        assert ground.intent(lock)["amount_captured"] == 9000
    finally:
        ground.close()
        middleman.close()


def test_the_secret_key_is_nowhere(make_stand, simulator):
    """Not in a line of any process at the most talkative level, not in an answer, not in a table."""
    middleman = Middleman(simulator.url)
    ground = Ground(make_stand(*settings(middleman, simulator, "--log-level", "debug", "--access-log", "all"), workers=1), middleman, simulator)
    answers = []
    try:
        api = ground.stand.session()
        show, buyer, lock = ground.locked()
        answers.append(buyer.book(show.show_id, lock, "pm_card_chargeDeclined"))
        middleman.answer("confirm", 401, {"message": f"Invalid API Key provided: {KEY}", "code": KEY, "type": "invalid_request_error"})
        answers.append(buyer.book(show.show_id, lock))
        answers[-1].expect(503, "payment_unavailable")
        answers.append(buyer.book(show.show_id, lock))
        booking = answers[-1].expect(201)["booking_id"]
        middleman.answer("refund", 500)
        answers.append(ground.stand.admin().cancel(show.show_id, booking))
        middleman.answer("any", None, times=2)
        answers += [api.get(path) for path in ("/readyz", "/metrics", "/v1/payments/config", f"/v1/shows/{show.show_id}")]
        answers.append(ground.stand.admin().get(f"/v1/shows/{show.show_id}/bookings/{booking}/payments"))
        assert all(KEY.encode() not in answer.body and KEY not in str(answer.headers) for answer in answers)
        assert KEY not in ground.stand.log() and "does not accept the key" in ground.stand.log()
        tables = [row[0] for row in ground.db.execute("SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace")]
        assert "payment_calls" in tables and "payment_events" in tables
        for table in tables:
            assert ground.db.execute(f"SELECT count(*) FROM {table} t WHERE t::text LIKE %s", [f"%{KEY}%"]).fetchone() == (0,), table
    finally:
        ground.close()
        middleman.close()


# ---- in words ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("card", "code", "words"), [
    ("pm_card_chargeDeclinedInsufficientFunds", "insufficient_funds", "not enough money"),
    ("pm_card_chargeDeclinedExpiredCard", "expired_card", "has expired"),
    ("pm_card_chargeDeclinedIncorrectCvc", "incorrect_cvc", "security code"),
    ("pm_card_chargeDeclinedStolenCard", "generic_decline", "does not say why"),
    ("pm_card_chargeDeclined", "generic_decline", "does not say why")])
def test_declines_in_words(ground, card, code, words):
    show, buyer, lock = ground.locked()
    no = buyer.book(show.show_id, lock, card).expect(402, "payment_declined")
    assert no["decline_code"] == code and words in no["detail"] and "still yours" in no["detail"]
    booking = buyer.get(f"/v1/shows/{show.show_id}/bookings/{no['booking_id']}").expect(200)
    assert words in booking["detail"]
    if "Stolen" in card:
        assert "stolen" not in str(no) + str(booking)
        trail = ground.stand.admin().get(f"/v1/shows/{show.show_id}/bookings/{no['booking_id']}/payments").expect(200)
        assert trail["attempts"][0]["decline_code"] == "stolen_card"


def test_several_attempts(ground):
    """Declined, sent to the bank and not recognised, another card: one booking, three attempts, one charge."""
    show, buyer, lock = ground.locked()
    buyer.book(show.show_id, lock, "pm_card_chargeDeclined").expect(402)
    booking = ground.secure(show, buyer, lock).expect(201)
    back = ground.authorise(booking["booking_id"], "fail")
    assert "could not make sure that it is you" in come_back(ground, show, back).expect(200)["detail"]
    done = buyer.book(show.show_id, lock).expect(201)
    assert done["booking_id"] == booking["booking_id"] and ground.states(lock) == ["failed", "failed", "captured"]
    assert sorted(i["amount_captured"] for i in ground.simulator.intents(done["booking_id"])) == [0, 0, 9000]
    assert_whole(ground.db, show)


def test_an_authorisation_that_ends_before_its_capture(ground):
    show, buyer, lock = ground.locked()
    ground.middleman.answer("capture", 500, times=None)
    ground.middleman.answer("retrieve", 500, times=None)
    booking = buyer.book(show.show_id, lock).expect(201)
    assert booking["payment"]["status"] == "capture_pending" and len(booking["tickets"]) == 2
    ground.simulator.advance(8 * 86400)
    wait_until(lambda: ground.intent(lock)["status"] == "canceled", "the authorisation over")
    ground.middleman.clear()
    wait_until(lambda: ground.states(lock) == ["capture_failed"], "the payment lost", 20)
    lost = buyer.get(f"/v1/shows/{show.show_id}/bookings/{booking['booking_id']}").expect(200)
    assert (lost["status"], lost["reason"], lost["payment"]["status"]) == ("cancelled", "payment_lost", "capture_failed")
    assert "you owe nothing" in lost["detail"]
    assert {ticket["status"] for ticket in lost["tickets"]} == {"revoked"}
    assert lost["refund"] == {"status": "none", "amount": {"amount": 0, "currency": "EUR"}}
    assert buyer.taken(show.show_id) == {}
    # the seats are on sale again
    other = ground.stand.session()
    again = other.lock(show.show_id, show.seats[:2]).expect(201)["lock_id"]
    assert other.book(show.show_id, again).expect(201)["status"] == "confirmed"


# ---- currencies with other decimals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("currency", "price", "fee", "bad"), [
    ("JPY", 4500, 100, None), ("KWD", 12500, 1000, 12505), ("HUF", 450000, 1000, 450050), ("TND", 20000, 100, 20001)])
def test_currencies(ground, currency, price, fee, bad):
    admin, until = ground.stand.admin(), "2099-01-01T00:00:00Z"
    rules = {"until": until, "fee": {"amount": fee, "currency": currency}}
    show, buyer, lock = ground.locked(3, currency=currency, prices={"Standard": price}, cancellation=rules)
    booking = buyer.book(show.show_id, lock).expect(201)
    assert booking["total"] == {"amount": 3 * price, "currency": currency}
    assert (ground.intent(lock)["currency"], ground.intent(lock)["amount_captured"]) == (currency.lower(), 3 * price)
    # seat by seat, as much as all at once would give back; the gateway takes every part
    for n in range(3):
        refund = buyer.cancel(show.show_id, booking["booking_id"], [show.seats[n]]).expect(200)["refund"]
        assert refund["status"] == "succeeded"
    assert refund["amount"] == {"amount": 3 * price - fee, "currency": currency}
    assert ground.intent(lock)["amount_refunded"] == 3 * price - fee
    if bad is None:
        return
    event = admin.make_event()["event_id"]
    refused = admin.post(f"/v1/events/{event}/shows", {
        "plan_id": show.plan_id, "starts_at": until, "sale_starts_at": "2026-01-01T00:00:00Z", "sale_ends_at": until,
        "prices": {"Standard": {"amount": bad, "currency": currency}}})
    assert refused.expect(422, "invalid_value")["path"] == "/prices/Standard/amount"


# ---- time limits ------------------------------------------------------------------------------------------------------------


def took_s(call):
    begun = time.monotonic()
    return call(), time.monotonic() - begun


def test_time_limits_by_kind_of_call(make_stand, simulator):
    middleman = Middleman(simulator.url)
    limits = ["--payment-timeout-ms", "3000", "--payment-read-timeout-ms", "200"]
    ground = Ground(make_stand(*settings(middleman, simulator), *limits, workers=1, work=False), middleman, simulator)
    events = []
    try:
        show, buyer, lock = ground.locked()
        middleman.lose("confirm", times=2)
        events.append(middleman.pause("retrieve"))
        answer, seconds = took_s(lambda: buyer.book(show.show_id, lock))
        answer.expect(503, "outcome_unknown")
        assert seconds < 2.9, "reading has a limit of its own"
        middleman.clear()
        show, buyer, lock = ground.locked()
        events.append(middleman.pause("capture"))
        answer, seconds = took_s(lambda: buyer.book(show.show_id, lock))
        assert answer.expect(201)["payment"]["status"] == "capture_pending"
        assert 2.9 < seconds < 10, "a call that moves money has the longer one"
    finally:
        for event in events:
            event.set()
        ground.close()
        middleman.close()


def test_time_limit_of_connecting(make_stand, simulator):
    """Somebody takes the connection and never says a word of TLS: nothing was sent, and that is known soon."""
    silent = silent_port()
    limits = ["--payment-url", f"https://localhost:{silent.getsockname()[1]}", "--payment-key-file", str(simulator.key_file),
              "--payment-connect-timeout-ms", "200"]
    stand = make_stand(*limits, workers=1, work=False)
    with silent, stand.plant.sql() as db:
        show, buyer = stand.admin().make_show(), stand.session()
        lock = buyer.lock(show.show_id, show.seats[:1]).expect(201)["lock_id"]
        answer, seconds = took_s(lambda: buyer.book(show.show_id, lock))
        answer.expect(503, "payment_unavailable")
        assert seconds < 9, "with the default limit of a whole call it were 20 s"
        assert db.execute("SELECT state, failure FROM payments WHERE lock_id = %s", [lock]).fetchall() == [("failed", "unavailable")]
        assert buyer.lock_state(show.show_id, lock).expect(200)["state"] == "active"


# ---- a gateway in trouble is left alone -------------------------------------------------------------------------------------


def test_breaker(make_stand, simulator):
    middleman = Middleman(simulator.url)
    ground = Ground(make_stand(*settings(middleman, simulator), workers=1), middleman, simulator)
    try:
        show, buyer, lock = ground.locked(seats=20)
        other = ground.stand.session()
        owed = other.lock(show.show_id, show.seats[4:6]).expect(201)["lock_id"]
        middleman.answer("capture", 500, times=1)  # its capture stays owed
        middleman.answer("retrieve", 500, times=None)
        owed_booking = other.book(show.show_id, owed).expect(201)
        assert owed_booking["payment"]["status"] == "capture_pending"
        middleman.refuse()

        def opened():
            answer = buyer.book(show.show_id, lock)
            answer.expect(503, "payment_unavailable")
            gateway = ground.stand.api().get("/readyz").expect(200)["dependencies"]["payment_gateway"]
            return gateway["status"] == "down" and ground.stand.metric("boxoffice_gateway_breaker") == 2

        wait_until(opened, "the breaker open", 20)
        tries = len(ground.attempts(lock))
        assert set(ground.states(lock)) <= {"failed"}
        # now it is said before anything is made, and at once
        for _ in range(3):
            no = buyer.book(show.show_id, lock)
            if ground.stand.metric("boxoffice_gateway_breaker") != 2:
                break
            no.expect(503, "payment_unavailable")
            assert int(no.headers["Retry-After"]) >= 1
        assert len(ground.attempts(lock)) <= tries + 1  # a probe may have gone in between
        assert buyer.lock_state(show.show_id, lock).expect(200)["state"] == "active"
        ready = ground.stand.api().get("/readyz").expect(200)
        assert ready["status"] == "ready"  # it can lock seats, and book what is free
        assert ready["dependencies"]["payment_gateway"] == {"status": "down", "error": "it does not answer"}
        # what is owed is tried by the probes: nobody books any more, and it is captured
        middleman.reopen()
        wait_until(lambda: ground.states(owed) == ["captured"], "the owed capture made", 30)
        wait_until(lambda: buyer.book(show.show_id, lock).status == 201, "a booking again", 30)
        wait_until(lambda: ground.stand.metric("boxoffice_gateway_breaker") == 0, "all breakers closed", 30)
        assert ground.intent(owed)["amount_captured"] == 9000
    finally:
        ground.close()
        middleman.close()
