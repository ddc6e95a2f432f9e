"""Outside judges of how we speak with the payment gateway: programs of other people who read the same documents.

localstripe keeps a state and plays the gateway for the whole program: buy, decline, 3-D Secure, cancel with refund. A judge of the
happy ways only. Known deviations from the gateway: see localstripe_run.py, and:
  Idempotency-Key and Stripe-Version are ignored; a capture after a cancellation succeeds; refunds are not capped; there is no
  amount_capturable and no amount_received (then the amount itself is compared), no decline_code (the error's code is told); a
  charge has no payment_method_details, so cards cannot be counted there.
stripe-mock keeps no state but holds every request against the gateway's published OpenAPI: what is unknown, missing or of the
wrong type is 400. Its answers mean nothing, so what it gets are our calls as recorded against the simulator.
"""

import json
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from gateway import Simulator
from middleman import KEY, Middleman
from service import ROOT, free_port, wait_until
from stand import own_plant  # noqa: F401 (fixture)

SECURE = "pm_card_threeDSecureRequired"


def ask(url, method="GET", form=None, headers=None):
    data = urllib.parse.urlencode(form).encode() if isinstance(form, dict) else form
    request = urllib.request.Request(url, data, {"Authorization": f"Bearer {KEY}", **(headers or {})}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"null")


def started(command, url):
    """The judge as a process that answers."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def answers():
        assert process.poll() is None, process.stderr.read().decode()[-2000:]
        try:
            return ask(url)
        except OSError:
            return None

    try:
        wait_until(answers, f"{command[0]} answers", 30)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return process


def ended(process):
    process.terminate()
    process.wait(10)
    process.stderr.close()


# ---- localstripe ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def localstripe():
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    process = started([sys.executable, str(Path(__file__).with_name("localstripe_run.py")), str(port)], url + "/v1/payment_intents")
    yield url
    ended(process)


def method_of(url, number):
    status, method = ask(url + "/v1/payment_methods", "POST", {
        "type": "card", "card[number]": number, "card[exp_month]": "12", "card[exp_year]": "2030", "card[cvc]": "123"})
    assert status == 200
    return method["id"]


def test_localstripe_takes_us_for_a_client(localstripe, make_stand, work_dir):
    key = Path(work_dir) / "key"
    key.write_text(KEY)
    stand = make_stand("--payment-url", localstripe, "--payment-key-file", str(key), workers=1)
    show, buyer = stand.admin().make_show(), stand.session()
    path = f"/v1/shows/{show.show_id}/bookings"

    def locked(n, start):
        return buyer.lock(show.show_id, show.seats[start:start + n]).expect(201)["lock_id"]

    def intents(booking):
        return [i for i in ask(localstripe + "/v1/payment_intents?limit=100")[1]["data"] if i["metadata"].get("booking") == booking["booking_id"]]

    # declined, then bought with another card
    lock = locked(2, 0)
    no = buyer.book(show.show_id, lock, "pm_card_chargeCustomerFail").expect(402, "payment_declined")
    assert no["decline_code"] == "card_declined"
    bought = buyer.book(show.show_id, lock).expect(201)
    assert (bought["status"], bought["payment"]) == ("confirmed", {"status": "captured"})
    assert sorted(i["status"] for i in intents(bought)) == ["requires_payment_method", "succeeded"]
    assert {i["amount"] for i in intents(bought)} == {9000}

    # one seat given back, then the rest
    admin = stand.admin()
    assert admin.cancel(show.show_id, bought["booking_id"], show.seats[:1]).expect(200)["refund"]["status"] == "succeeded"
    done = admin.cancel(show.show_id, bought["booking_id"]).expect(200)
    assert (done["status"], done["refund"]) == ("cancelled", {"status": "succeeded", "amount": {"amount": 9000, "currency": "EUR"}})
    refunds = ask(localstripe + "/v1/refunds?limit=100")[1]["data"]
    assert sorted(refund["amount"] for refund in refunds) == [4500, 4500] and all(refund["metadata"]["refund"] for refund in refunds)

    # 3-D Secure: the buyer goes through it, and fails it
    for success, start in ((True, 2), (False, 4)):
        lock = locked(1, start)
        asked = buyer.post(path, {"lock_id": lock, "buyer": {"name": "Ada", "email": "ada@example.org"},
                                  "payment": {"method": method_of(localstripe, "4000002500003155")}}).expect(201)
        assert asked["payment"]["status"] == "requires_action"
        [intent] = intents(asked)
        assert "return_token=br_" in intent["next_action"]["redirect_to_url"]["return_url"]
        status, _ = ask(f"{localstripe}/v1/payment_intents/{intent['id']}/_authenticate", "POST",
                        {"client_secret": intent["client_secret"], "success": str(success).lower()})
        assert status == 200
        back = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(intent["next_action"]["redirect_to_url"]["return_url"]).query))
        end = stand.api().post(f"{path}/{asked['booking_id']}/return", {"token": back["return_token"]}).expect(200)
        assert end["payment"]["status"] == ("captured" if success else "declined")
        assert [i["status"] for i in intents(asked)] == ["succeeded" if success else "requires_payment_method"]

    # given up by us: void at the gateway
    lock = locked(1, 6)
    asked = buyer.post(path, {"lock_id": lock, "buyer": {"name": "Ada", "email": "ada@example.org"},
                              "payment": {"method": method_of(localstripe, "4000002500003155")}}).expect(201)
    with stand.plant.sql() as db:
        db.execute("UPDATE payments SET action_until = now(), settle_at = now() WHERE booking_id = %s", [asked["booking_id"]])
    wait_until(lambda: [i["status"] for i in intents(asked)] == ["canceled"], "the intent cancelled", 20)


# ---- stripe-mock --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def stripe_mock():
    program = ROOT / "build/stripe-mock"
    assert program.exists(), "build/stripe-mock is not there: make build/stripe-mock"
    port, tls_port = free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    process = started([str(program), "-http-addr", f"127.0.0.1:{port}", "-https-addr", f"127.0.0.1:{tls_port}"], url + "/v1/charges")
    yield url
    ended(process)


def record(make_stand, build_dir, base_dir):
    """Every kind of call that the adapter makes, in every shape, as recorded."""
    simulator = Simulator(build_dir, base_dir, key=KEY)
    middleman = Middleman(simulator.url)
    stand = make_stand("--payment-url", middleman.url, "--payment-key-file", str(simulator.key_file), "--payment-timeout-ms", "1500", workers=1)
    admin, buyer = stand.admin(), stand.session()
    try:
        with stand.plant.sql() as db:
            shows = [admin.make_show(), admin.make_show(event_id=admin.make_event(max_per_payer=4)["event_id"]),
                     admin.make_show(currency="JPY", prices={"Standard": 4500})]
            for show in shows:
                # read again: the answer to the confirmation is lost
                middleman.lose("confirm", times=2)
                lock = buyer.lock(show.show_id, show.seats[:2]).expect(201)["lock_id"]
                booking = buyer.book(show.show_id, lock).expect(201)["booking_id"]
                middleman.clear()
                # a refund that is looked for in the list, and one that is pending at first
                middleman.answer("refund", 500)
                admin.cancel(show.show_id, booking, show.seats[:1]).expect(200)
                middleman.alter("refund", lambda refund: refund.update(status="pending"))
                admin.cancel(show.show_id, booking).expect(200)
            lock = buyer.lock(shows[0].show_id, shows[0].seats[:1]).expect(201)["lock_id"]
            asked = buyer.post(f"/v1/shows/{shows[0].show_id}/bookings", {
                "lock_id": lock, "buyer": {"name": "Ada", "email": "ada@example.org"}, "payment": {"method": SECURE}}).expect(201)
            db.execute("UPDATE payments SET action_until = now(), settle_at = now() WHERE booking_id = %s", [asked["booking_id"]])
            # the gateway is asked about a pending refund after a minute: it is due now
            def all_seen():
                db.execute("UPDATE refunds SET settle_at = now() WHERE state = 'pending'")
                return all(middleman.seen(step) for step in ("cancel", "list", "retrieve_refund", "scan"))

            wait_until(all_seen, "every kind of call", 30, 0.3)
        return list(middleman.calls)
    finally:
        middleman.close()
        simulator.stop()


def test_stripe_mock_finds_every_request_well_formed(stripe_mock, make_stand, build_dir, base_dir):
    calls = record(make_stand, build_dir, base_dir)
    assert {call.step for call in calls} == {"create", "confirm", "capture", "cancel", "refund", "retrieve", "list", "retrieve_refund", "scan"}
    judged = set()
    for call in calls:
        shape = (call.step, tuple(sorted(call.form)), call.path.partition("?")[2].partition("=")[0], call.form.get("currency"))
        if shape in judged:
            continue
        judged.add(shape)
        headers = {name: call.headers[name] for name in ("authorization", "stripe-version", "idempotency-key", "content-type") if name in call.headers}
        status, answer = ask(stripe_mock + call.path, call.method, call.body if call.method == "POST" else None, headers)
        assert status == 200, f"{call.method} {call.path} {call.body}: {answer}"
    assert len(judged) >= 11, judged
    # it does judge
    for wrong in (b"amount=1&currency=eur&colour=red", b"amount=red&currency=eur", b"currency=eur"):
        assert ask(stripe_mock + "/v1/payment_intents", "POST", wrong)[0] == 400
