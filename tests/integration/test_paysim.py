"""boxoffice-paysim driven by the gateway's official Python client, and by plain HTTP where the client cannot go."""
import concurrent.futures
import http.client
import http.server
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.parse

import pytest
import stripe

from servers import readable

KEY = "sk_test_paysim"


def program() -> str:
    build = pathlib.Path(os.environ.get("BOXOFFICE_BUILD_DIR", "build")).resolve()
    for path in (build / "boxoffice-paysim", build / "src/paysim/boxoffice-paysim"):
        if path.exists():
            return str(path)
    raise FileNotFoundError(f"boxoffice-paysim is not in {build}")


def wait_for(condition, what, timeout_s=20.0):
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not happen within {timeout_s:g} s")
        time.sleep(0.005)


class Sim:
    """One simulator process on a ledger; start() again continues with the same ledger."""

    def __init__(self, folder, *args):
        self.ledger_file = pathlib.Path(folder) / "ledger.db"
        self.args = args
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen([program(), "--db", str(self.ledger_file), "--port", "0", *self.args],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if not readable([self.process.stdout], 30):
            raise TimeoutError("boxoffice-paysim was not ready within 30 s")
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("boxoffice-paysim ended: " + self.process.stderr.read().decode())
        self.url = json.loads(line)["url"]
        self.address = urllib.parse.urlsplit(self.url).netloc
        self.client = stripe.StripeClient(KEY, base_addresses={"api": self.url}, max_network_retries=0)
        self.intents = self.client.v1.payment_intents
        self.refunds = self.client.v1.refunds

    def end(self, signo=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(signo)
        status = self.process.wait(20)
        self.stderr = self.process.stderr.read().decode()
        self.process.stdout.close()
        self.process.stderr.close()
        return status

    def http(self, method, path, body=None, headers=(), timeout=20):
        """Any status is an answer here. Returns status, headers, body (parsed when JSON)."""
        data = body if body is None or isinstance(body, bytes) else urllib.parse.urlencode(body).encode()
        connection = http.client.HTTPConnection(self.address, timeout=timeout)
        try:
            head = {"Authorization": f"Bearer {KEY}", **dict(headers)}
            if method == "POST":
                head.setdefault("Content-Type", "application/x-www-form-urlencoded")
            connection.request(method, path, data, head)
            answer = connection.getresponse()
            text = answer.read()
            is_json = "json" in answer.headers.get("Content-Type", "")
            return answer.status, answer.headers, json.loads(text) if is_json else text.decode()
        finally:
            connection.close()

    def sim(self, method, path, value=None):
        status, _, answer = self.http(method, "/_sim/" + path, None if value is None else json.dumps(value).encode(),
                                      {"Content-Type": "application/json"})
        assert status == 200, answer
        return answer

    def fault(self, match, mode, **more):
        self.sim("POST", "faults", {"match": match, "mode": mode, **more})

    def intent_in_ledger(self, intent_id):
        return next(i for i in self.sim("GET", "ledger")["payment_intents"] if i["id"] == intent_id)


def cards(amount=4500, **more):
    return {"amount": amount, "currency": "eur", "capture_method": "manual", "payment_method_types": ["card"], **more}


def paid(method="pm_card_visa", **more):
    return cards(payment_method=method, confirm=True, **more)


@pytest.fixture
def sim(tmp_path):
    process = Sim(tmp_path)
    yield process
    assert process.end() == 0, process.stderr
    assert process.stderr == ""


@pytest.fixture
def make_sim(tmp_path):
    """For tests that kill: nothing is checked at the end but that the processes go."""
    started = []

    def make(*args):
        started.append(Sim(tmp_path, *args))
        return started[-1]

    yield make
    for process in started:
        if process.process.returncode is None:
            process.end(signal.SIGKILL)


# --- the ordinary life of a payment ---

def test_create_confirm_capture_refund(sim):
    pi = sim.intents.create(cards(metadata={"show": "7", "booking": "b-1"}, description="Row A"))
    assert (pi.status, pi.amount, pi.currency, pi.latest_charge) == ("requires_payment_method", 4500, "eur", None)
    assert pi.id.startswith("pi_") and pi.client_secret.startswith(pi.id + "_secret_")
    assert pi.metadata.to_dict() == {"show": "7", "booking": "b-1"}

    pi = sim.intents.confirm(pi.id, {"payment_method": "pm_card_visa"})
    assert (pi.status, pi.amount_capturable, pi.amount_received) == ("requires_capture", 4500, 0)
    charge = sim.client.v1.charges.retrieve(pi.latest_charge)
    assert (charge.status, charge.captured, charge.payment_intent) == ("succeeded", False, pi.id)
    assert charge.payment_method_details.card.capture_before == charge.created + 7 * 86400

    pi = sim.intents.capture(pi.id, {"amount_to_capture": 4000, "metadata": {"booking": "", "fee": "500"}})
    assert (pi.status, pi.amount_capturable, pi.amount_received) == ("succeeded", 0, 4000)
    assert pi.metadata.to_dict() == {"show": "7", "fee": "500"}

    part = sim.refunds.create({"payment_intent": pi.id, "amount": 1500, "reason": "requested_by_customer",
                               "metadata": {"seat": "A-1"}})
    assert (part.status, part.amount, part.payment_intent, part.charge) == ("succeeded", 1500, pi.id, charge.id)
    with pytest.raises(stripe.InvalidRequestError) as too_much:
        sim.refunds.create({"payment_intent": pi.id, "amount": 2501})
    assert (too_much.value.code, too_much.value.param) == ("amount_too_large", "amount")
    rest = sim.refunds.create({"charge": charge.id})
    assert rest.amount == 2500
    with pytest.raises(stripe.InvalidRequestError) as again:
        sim.refunds.create({"charge": charge.id})
    assert again.value.code == "charge_already_refunded"

    charge = sim.client.v1.charges.retrieve(charge.id)
    assert (charge.captured, charge.amount_captured, charge.amount_refunded, charge.refunded) == (True, 4000, 4000, True)
    assert [r.id for r in sim.refunds.list({"payment_intent": pi.id}).data] == [rest.id, part.id]
    assert sim.refunds.retrieve(part.id, {"expand": ["charge"]}).charge.id == charge.id
    assert sim.refunds.retrieve(part.id, {"expand": ["payment_intent"]}).payment_intent.amount_received == 4000
    ledger = sim.sim("GET", "ledger")
    assert [(i["amount"], i["amount_captured"], i["amount_refunded"]) for i in ledger["payment_intents"]] == [(4500, 4000, 4000)]
    assert sorted((r["amount"], r["status"]) for r in ledger["refunds"]) == [(1500, "succeeded"), (2500, "succeeded")]
    assert [e.type for e in reversed(sim.client.v1.events.list({"limit": 100}).data)] == [
        "payment_intent.created", "charge.succeeded", "payment_intent.amount_capturable_updated", "charge.captured",
        "payment_intent.succeeded", "refund.created", "charge.refunded", "refund.created", "charge.refunded"]


def test_automatic_capture_and_void(sim):
    pi = sim.intents.create(paid(capture_method="automatic"))
    assert (pi.status, pi.amount_received, pi.amount_capturable) == ("succeeded", 4500, 0)
    pi = sim.intents.create(paid())
    pi = sim.intents.cancel(pi.id, {"cancellation_reason": "abandoned"})
    assert (pi.status, pi.amount_capturable, pi.cancellation_reason) == ("canceled", 0, "abandoned")
    assert pi.canceled_at >= pi.created
    charge = sim.client.v1.charges.retrieve(pi.latest_charge)
    assert (charge.captured, charge.refunded) == (False, True)
    assert sim.refunds.list({"payment_intent": pi.id}).data == []


def test_retrieve_update_list(sim):
    ids = [sim.intents.create(cards(metadata={"n": str(n)})).id for n in range(12)]
    ids.reverse()
    page = sim.intents.list({"limit": 5})
    assert ([i.id for i in page.data], page.has_more) == (ids[:5], True)
    page = sim.intents.list({"limit": 5, "starting_after": ids[9]})
    assert ([i.id for i in page.data], page.has_more) == (ids[10:], False)
    assert [i.id for i in sim.intents.list({"limit": 3}).auto_paging_iter()] == ids
    now = sim.intents.retrieve(ids[0]).created
    assert len(sim.intents.list({"created": {"gte": now - 3600}, "limit": 100}).data) == 12
    assert sim.intents.list({"created": {"gte": now + 3600}}).data == []
    assert sim.intents.list({"created": {"lt": now - 3600}}).data == []
    pi = sim.intents.update(ids[3], {"metadata": {"x": "ü & =[]", "n": ""}, "description": "new"})
    assert (pi.metadata.to_dict(), pi.description) == ({"x": "ü & =[]"}, "new")
    pi = sim.intents.update(ids[3], {"metadata": ""})
    assert (pi.metadata.to_dict(), pi.description) == ({}, "new")
    with pytest.raises(stripe.InvalidRequestError) as missing:
        sim.intents.retrieve("pi_nothing")
    assert (missing.value.http_status, missing.value.code, missing.value.param) == (404, "resource_missing", "intent")


def test_payment_methods_and_expansion(sim):
    first = sim.intents.create(paid(expand=["latest_charge", "payment_method"]))
    second = sim.intents.create(paid(expand=["payment_method"]))
    other = sim.intents.create(paid("pm_card_mastercard", expand=["payment_method"]))
    assert first.payment_method.id != second.payment_method.id
    assert first.payment_method.card.fingerprint == second.payment_method.card.fingerprint
    assert first.payment_method.card.fingerprint != other.payment_method.card.fingerprint
    assert first.latest_charge.payment_method_details.card.fingerprint == first.payment_method.card.fingerprint
    again = sim.client.v1.payment_methods.retrieve(first.payment_method.id)
    assert (again.card.fingerprint, again.card.last4, again.card.brand) == (first.payment_method.card.fingerprint, "4242", "visa")
    listed = sim.intents.list({"expand": ["data.latest_charge"], "limit": 1}).data[0]
    assert listed.latest_charge.id == other.latest_charge
    with pytest.raises(stripe.InvalidRequestError):
        sim.intents.retrieve(first.id, {"expand": ["invoice"]})


# --- refusals ---

@pytest.mark.parametrize("card,code,decline", [
    ("pm_card_chargeDeclined", "card_declined", "generic_decline"),
    ("pm_card_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
    ("pm_card_chargeDeclinedExpiredCard", "expired_card", "expired_card"),
    ("pm_card_chargeDeclinedProcessingError", "processing_error", "processing_error"),
])
def test_declined_then_another_card(sim, card, code, decline):
    pi = sim.intents.create(cards())
    with pytest.raises(stripe.CardError) as refused:
        sim.intents.confirm(pi.id, {"payment_method": card})
    error = refused.value
    assert (error.http_status, error.code, error.json_body["error"]["decline_code"]) == (402, code, decline)
    shown = error.json_body["error"]["payment_intent"]
    assert (shown["id"], shown["status"], shown["payment_method"]) == (pi.id, "requires_payment_method", None)
    assert shown["last_payment_error"]["decline_code"] == decline
    failed = sim.client.v1.charges.retrieve(error.json_body["error"]["charge"])
    assert (failed.status, failed.paid, failed.failure_code) == ("failed", False, code)
    pi = sim.intents.confirm(pi.id, {"payment_method": "pm_card_visa"})
    assert (pi.status, pi.last_payment_error) == ("requires_capture", None)
    assert [c.status for c in sim.client.v1.charges.list({"payment_intent": pi.id}).data] == ["succeeded", "failed"]


def test_wrong_states(sim):
    def refused(call, *args):
        with pytest.raises(stripe.InvalidRequestError) as e:
            call(*args)
        assert (e.value.http_status, e.value.code) == (400, "payment_intent_unexpected_state"), e.value
        return e.value.json_body["error"].get("payment_intent", {}).get("status")

    bare = sim.intents.create(cards())
    assert refused(sim.intents.capture, bare.id) == "requires_payment_method"
    assert refused(sim.intents.confirm, bare.id) == "requires_payment_method"
    refused(sim.refunds.create, {"payment_intent": bare.id})
    held = sim.intents.create(paid())
    assert refused(sim.intents.confirm, held.id, {"payment_method": "pm_card_visa"}) == "requires_capture"
    refused(sim.refunds.create, {"payment_intent": held.id})
    sim.intents.capture(held.id)
    assert refused(sim.intents.capture, held.id) == "succeeded"
    assert refused(sim.intents.cancel, held.id) == "succeeded"
    assert refused(sim.intents.confirm, held.id) == "succeeded"
    void = sim.intents.create(paid())
    sim.intents.cancel(void.id)
    for call in (sim.intents.capture, sim.intents.cancel, sim.intents.confirm):
        assert refused(call, void.id) == "canceled"


def test_capture_refused_for_good(sim):
    pi = sim.intents.create(paid("pm_card_captureFails"))
    for _ in range(2):
        with pytest.raises(stripe.CardError) as e:
            sim.intents.capture(pi.id)
        assert e.value.json_body["error"]["payment_intent"]["status"] == "requires_capture"
    assert sim.intents.cancel(pi.id).status == "canceled"
    assert sim.intent_in_ledger(pi.id)["amount_captured"] == 0


@pytest.mark.parametrize("change,code,param", [
    ({"amount": None}, "parameter_missing", "amount"),
    ({"amount": 49}, "amount_too_small", "amount"),
    ({"amount": 100000000}, "amount_too_large", "amount"),
    ({"amount": -1}, "parameter_invalid_integer", "amount"),
    ({"amount": "12.5"}, "parameter_invalid_integer", "amount"),
    ({"amount": "9" * 30}, "parameter_invalid_integer", "amount"),
    ({"amount": ""}, "parameter_invalid_empty", "amount"),
    ({"currency": "xxx"}, None, "currency"),
    ({"currency": "jpy", "amount": 49}, "amount_too_small", "amount"),
    ({"colour": "red"}, "parameter_unknown", "colour"),
    ({"metadata[a][b]": "1"}, "parameter_unknown", "metadata[a][b]"),
    ({"receipt_email": "a@example.org"}, "parameter_unknown", "receipt_email"),
    ({"capture_method": "later"}, "parameter_invalid_enum", "capture_method"),
    ({"payment_method_types[0]": "cheque"}, "payment_method_unactivated", "payment_method_types"),
    ({"payment_method": "pm_none"}, "resource_missing", "payment_method"),
    ({"return_url": "https://example.org/"}, None, "return_url"),
    ({"confirm": "true", "payment_method": "pm_card_visa", "return_url": "https://example.org/\r\nSet-Cookie: a=b"},
     "parameter_invalid_string", "return_url"),
    ({"confirm": "true", "payment_method": "pm_card_visa", "return_url": "javascript:alert(1)"}, "url_invalid", "return_url"),
    ({"confirm": "true"}, "parameter_missing", "payment_method"),
    ({"metadata[" + "k" * 41 + "]": "1"}, None, "metadata"),
    ({"metadata[k]": "v" * 501}, None, "metadata"),
])
def test_parameters_refused(sim, change, code, param):
    body = {"amount": 4500, "currency": "eur", "payment_method_types[0]": "card", **change}
    status, _, answer = sim.http("POST", "/v1/payment_intents", {k: v for k, v in body.items() if v is not None})
    assert (status, answer["error"]["type"]) == (400, "invalid_request_error")
    assert (answer["error"].get("code"), answer["error"].get("param")) == (code, param)
    assert sim.sim("GET", "ledger")["payment_intents"] == []


def test_automatic_methods_want_a_return_url(sim):
    """As with the gateway: without payment_method_types a method may redirect."""
    with pytest.raises(stripe.InvalidRequestError) as e:
        sim.intents.create({"amount": 4500, "currency": "eur", "confirm": True, "payment_method": "pm_card_visa"})
    assert e.value.param == "return_url"
    pi = sim.intents.create({"amount": 4500, "currency": "EUR", "confirm": True, "payment_method": "pm_card_visa",
                             "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"}})
    assert (pi.status, pi.automatic_payment_methods.allow_redirects) == ("succeeded", "never")


def test_keys_and_addresses(tmp_path, make_sim):
    sim = make_sim("--secret-key", KEY)
    assert sim.http("GET", "/v1/payment_intents")[0] == 200
    assert sim.http("GET", "/v1/payment_intents", headers={"Authorization": "Basic c2tfdGVzdF9wYXlzaW06"})[0] == 200
    for bad in ("Bearer sk_test_other", "Bearer ", "Basic !!", "Digest x", "Bearer sk_test_paysim2"):
        status, _, answer = sim.http("GET", "/v1/payment_intents", headers={"Authorization": bad})
        assert (status, answer["error"]["type"]) == (401, "invalid_request_error"), bad
    assert sim.http("GET", "/_sim/ledger", headers={"Authorization": "Bearer sk_test_other"})[0] == 401
    assert sim.http("GET", "/_sim/ledger", headers={"Origin": "http://evil.example"})[0] == 403
    for path in ("/v1/customers", "/v1/payment_intents/", "/v1//payment_intents", "/v1/payment_intents/pi_1/steal", "/"):
        assert sim.http("GET", path)[0] == 404, path
    status, _, answer = sim.http("POST", "/v1/payment_intents", b"{}", {"Content-Type": "application/json"})
    assert (status, answer["error"]["type"]) == (400, "invalid_request_error")
    assert sim.http("POST", "/v1/payment_intents", b"a[=1")[0] == 400
    second = subprocess.run([program(), "--db", str(sim.ledger_file)], capture_output=True, timeout=30)
    assert second.returncode == 1 and b"another process uses this ledger" in second.stderr
    assert sim.end() == 0


def test_headers(sim):
    status, headers, _ = sim.http("POST", "/v1/payment_intents", {"amount": 100, "currency": "eur"},
                                  {"Stripe-Version": "2024-06-20", "Idempotency-Key": "h"})
    assert status == 200
    assert headers["Request-Id"].startswith("req_") and headers["Stripe-Version"] == "2024-06-20"
    assert headers["Idempotency-Key"] == "h" and "Idempotent-Replayed" not in headers


# --- 3-D Secure ---

def challenge(sim, **more):
    pi = sim.intents.create(cards(payment_method="pm_card_threeDSecure2Required", confirm=True, **more))
    assert (pi.status, pi.next_action.type) == ("requires_action", "redirect_to_url")
    url = pi.next_action.redirect_to_url.url
    assert url.startswith(sim.url + "/3ds/" + pi.id)
    return pi, url[len(sim.url):]


@pytest.mark.parametrize("capture", ["manual", "automatic"])
def test_3ds_authorised(sim, capture):
    pi, path = challenge(sim, return_url="https://shop.example/back?order=7#seats", capture_method=capture,
                         description="<b>Row \"A\"</b>")
    status, headers, page = sim.http("GET", path)
    assert status == 200 and "45.00 EUR" in page and "&lt;b&gt;Row &quot;A&quot;&lt;/b&gt;" in page
    assert page.count("<form method=\"post\">") == 2 and not re.search(r"(src|href)=|<script", page)
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert sim.intents.retrieve(pi.id).status == "requires_action"

    status, headers, _ = sim.http("POST", path, {"outcome": "authorise"})
    back = urllib.parse.urlsplit(headers["Location"])
    query = urllib.parse.parse_qs(back.query)
    assert (status, back.netloc, back.fragment) == (303, "shop.example", "seats")
    assert (query["order"], query["payment_intent"], query["redirect_status"]) == (["7"], [pi.id], ["succeeded"])
    done = sim.intents.retrieve(pi.id, {"expand": ["latest_charge"]})
    assert done.status == ("requires_capture" if capture == "manual" else "succeeded")
    assert done.next_action is None
    assert done.latest_charge.payment_method_details.card.three_d_secure.result == "authenticated"
    assert sim.http("POST", path, {"outcome": "fail"})[0] == 404
    assert sim.http("GET", path)[0] == 404
    assert sim.intents.retrieve(pi.id).status == done.status


def test_3ds_failed_then_another_card(sim):
    pi, path = challenge(sim, return_url="https://shop.example/back")
    status, headers, _ = sim.http("POST", path, {"outcome": "fail"})
    assert status == 303 and headers["Location"].endswith("&redirect_status=failed")
    pi = sim.intents.retrieve(pi.id)
    assert (pi.status, pi.payment_method) == ("requires_payment_method", None)
    assert pi.last_payment_error.code == "payment_intent_authentication_failure"
    assert sim.intents.confirm(pi.id, {"payment_method": "pm_card_visa"}).status == "requires_capture"


def test_3ds_page_is_locked_and_ends(sim):
    pi, path = challenge(sim)
    assert sim.http("POST", path[:-1] + ("A" if path[-1] != "A" else "B"), {"outcome": "authorise"})[0] == 404
    assert sim.http("POST", path.split("?")[0], {"outcome": "authorise"})[0] == 404
    assert sim.http("POST", path.split("=")[0] + "=", {"outcome": "authorise"})[0] == 404
    assert sim.http("POST", path, {"outcome": "perhaps"})[0] == 400
    assert sim.intents.retrieve(pi.id).status == "requires_action"
    status, headers, page = sim.http("POST", path, {"outcome": "authorise"})
    assert (status, headers["Location"]) == (200, None) and "authorised" in page
    pi, path = challenge(sim)
    sim.intents.cancel(pi.id)
    assert sim.http("POST", path, {"outcome": "authorise"})[0] == 404
    assert sim.intents.retrieve(pi.id).status == "canceled"


def test_authentication_required_without_payer(sim):
    with pytest.raises(stripe.CardError) as e:
        sim.intents.create(paid("pm_card_authenticationRequired", off_session=True))
    assert e.value.code == "authentication_required"


# --- idempotency ---

def test_replay(sim):
    first = sim.http("POST", "/v1/payment_intents", {"amount": 100, "currency": "eur", "metadata[a]": "1"}, {"Idempotency-Key": "k"})
    again = sim.http("POST", "/v1/payment_intents", {"metadata[a]": "1", "currency": "eur", "amount": 100}, {"Idempotency-Key": "k"})
    assert first[0] == again[0] == 200 and first[2] == again[2]
    assert again[1]["Idempotent-Replayed"] == "true" and again[1]["Original-Request"] == first[1]["Request-Id"]
    assert again[1]["Request-Id"] != first[1]["Request-Id"]
    status, _, answer = sim.http("POST", "/v1/payment_intents", {"amount": 101, "currency": "eur"}, {"Idempotency-Key": "k"})
    assert (status, answer["error"]["type"]) == (400, "idempotency_error")
    with pytest.raises(stripe.IdempotencyError):
        sim.refunds.create({"payment_intent": first[2]["id"]}, {"idempotency_key": "k"})
    assert len(sim.sim("GET", "ledger")["payment_intents"]) == 1
    status, _, answer = sim.http("POST", "/v1/payment_intents", {"amount": 100, "currency": "eur"}, {"Idempotency-Key": "k" * 256})
    assert (status, answer["error"]["type"]) == (400, "idempotency_error")


def test_what_is_kept(sim):
    """Parameters refused: not kept. A decision of the ledger: kept, even when it would be another one now."""
    key = {"idempotency_key": "v"}
    with pytest.raises(stripe.InvalidRequestError):
        sim.intents.create(cards(amount=1), key)
    pi = sim.intents.create(cards(), key)
    with pytest.raises(stripe.InvalidRequestError):
        sim.intents.capture(pi.id, {}, {"idempotency_key": "c"})
    with pytest.raises(stripe.CardError):
        sim.intents.confirm(pi.id, {"payment_method": "pm_card_chargeDeclined"}, {"idempotency_key": "d"})
    sim.intents.confirm(pi.id, {"payment_method": "pm_card_visa"})
    with pytest.raises(stripe.CardError):
        sim.intents.confirm(pi.id, {"payment_method": "pm_card_chargeDeclined"}, {"idempotency_key": "d"})
    with pytest.raises(stripe.InvalidRequestError) as e:
        sim.intents.capture(pi.id, {}, {"idempotency_key": "c"})
    assert e.value.headers["Idempotent-Replayed"] == "true"
    assert sim.intents.retrieve(pi.id).status == "requires_capture"
    assert sim.intents.capture(pi.id).status == "succeeded"


def test_replayed_500(sim):
    pi = sim.intents.create(paid())
    for mode, after in (("500_before", "requires_capture"), ("500_after", "succeeded")):
        sim.fault("capture", mode)
        for _ in range(3):
            with pytest.raises(stripe.APIError) as e:
                sim.intents.capture(pi.id, {}, {"idempotency_key": mode})
            assert e.value.http_status == 500
        assert e.value.headers["Idempotent-Replayed"] == "true"
        assert sim.intents.retrieve(pi.id).status == after
    assert sim.intent_in_ledger(pi.id)["amount_captured"] == 4500


def test_key_expires_after_a_day(sim):
    first = sim.intents.create(cards(), {"idempotency_key": "day"})
    sim.sim("POST", "advance_clock", {"seconds": 86400 - 60})
    assert sim.intents.create(cards(), {"idempotency_key": "day"}).id == first.id
    sim.sim("POST", "advance_clock", {"seconds": 120})
    second = sim.intents.create(cards(amount=777), {"idempotency_key": "day"})
    assert second.id != first.id
    assert sim.intents.create(cards(amount=777), {"idempotency_key": "day"}).id == second.id


def test_thousand_at_once_make_one(sim):
    def create(_):
        status, headers, answer = sim.http("POST", "/v1/payment_intents", {"amount": 500, "currency": "eur"},
                                           {"Idempotency-Key": "crowd"}, timeout=60)
        return status, answer["id"], headers.get("Idempotent-Replayed")

    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(create, range(1000)))
    assert {a[0] for a in answers} == {200} and len({a[1] for a in answers}) == 1
    assert sum(a[2] is None for a in answers) == 1


# --- faults ---

def test_lost_answer(sim):
    pi = sim.intents.create(paid())
    sim.fault("capture", "drop_before")
    with pytest.raises(stripe.APIConnectionError):
        sim.intents.capture(pi.id, {}, {"idempotency_key": "x"})
    assert sim.intents.retrieve(pi.id).status == "requires_capture"
    sim.fault("capture", "drop_after")
    with pytest.raises(stripe.APIConnectionError):
        sim.intents.capture(pi.id, {}, {"idempotency_key": "x"})
    assert sim.intents.retrieve(pi.id).status == "succeeded"
    again = sim.intents.capture(pi.id, {}, {"idempotency_key": "x"})
    assert again.status == "succeeded" and again.last_response.headers["Idempotent-Replayed"] == "true"
    assert [f["hits"] for f in sim.sim("GET", "faults")["faults"]] == [1, 1]


def test_key_in_use_while_delayed(sim):
    sim.fault("create", "delay", ms=3600000)
    late = {}
    request = threading.Thread(target=lambda: late.update(pi=sim.intents.create(cards(), {"idempotency_key": "slow"})))
    request.start()
    wait_for(lambda: sim.sim("GET", "faults")["held"], "the delayed request's arrival")
    status, headers, answer = sim.http("POST", "/v1/payment_intents", {"amount": 4500, "currency": "eur"}, {"Idempotency-Key": "slow"})
    assert (status, answer["error"]["code"]) == (409, "idempotency_key_in_use")
    assert sim.sim("GET", "ledger")["payment_intents"] == []
    sim.sim("DELETE", "faults")  # lets the delayed one go on
    request.join(20)
    assert sim.intents.create(cards(), {"idempotency_key": "slow"}).id == late["pi"].id


@pytest.mark.parametrize("mode,happened", [("hang", False), ("hang_after", True)])
def test_hang(sim, mode, happened):
    sim.fault("create", mode)
    host, port = sim.address.split(":")
    body = b"amount=500&currency=eur"
    with socket.create_connection((host, int(port)), 20) as s:
        s.sendall(b"POST /v1/payment_intents HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nIdempotency-Key: h\r\n"
                  b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s"
                  % (KEY.encode(), len(body), body))
        wait_for(lambda: sim.sim("GET", "faults")["held"], "the hanging request's arrival")
        assert len(sim.sim("GET", "ledger")["payment_intents"]) == happened
        assert not readable([s], 0), "it answered"
    wait_for(lambda: not sim.sim("GET", "faults")["held"], "the end of a request whose client left")
    again = sim.http("POST", "/v1/payment_intents", {"amount": 500, "currency": "eur"}, {"Idempotency-Key": "h"})
    assert (again[0], again[1].get("Idempotent-Replayed")) == (200, "true" if happened else None)
    assert len(sim.sim("GET", "ledger")["payment_intents"]) == 1


def test_429_and_decline_switches(sim):
    sim.fault("create", "429", times=2)
    for _ in range(2):
        with pytest.raises(stripe.RateLimitError):
            sim.intents.create(cards(), {"idempotency_key": "r"})
    pi = sim.intents.create(cards(), {"idempotency_key": "r"})
    sim.fault("confirm", "decline")
    with pytest.raises(stripe.CardError):
        sim.intents.confirm(pi.id, {"payment_method": "pm_card_visa"})
    sim.intents.confirm(pi.id, {"payment_method": "pm_card_visa"})
    sim.fault("capture", "decline")
    with pytest.raises(stripe.CardError):
        sim.intents.capture(pi.id)
    sim.intents.capture(pi.id)
    sim.fault("refund", "decline")
    failed = sim.refunds.create({"payment_intent": pi.id})
    assert (failed.status, failed.failure_reason) == ("failed", "declined")
    assert sim.refunds.create({"payment_intent": pi.id}).amount == 4500
    assert sim.intent_in_ledger(pi.id)["amount_refunded"] == 4500
    sim.fault("any", "drop_before", times=3)
    with pytest.raises(stripe.APIConnectionError):
        sim.intents.retrieve(pi.id)
    sim.sim("DELETE", "faults")
    assert sim.intents.retrieve(pi.id).status == "succeeded"


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"match":"capture"}', '{"match":"capture","mode":"explode"}',
                                  '{"match":"capture","mode":"429","times":0}', '{"match":"cancel","mode":"decline"}',
                                  '{"match":"capture","mode":"429","x":1}'])
def test_bad_switches(sim, body):
    assert sim.http("POST", "/_sim/faults", body.encode(), {"Content-Type": "application/json"})[0] == 400
    assert sim.sim("GET", "faults")["faults"] == []


def test_authorisation_expires(sim):
    pi = sim.intents.create(paid())
    young = sim.intents.create(cards())
    sim.sim("POST", "advance_clock", {"seconds": 7 * 86400 - 60})
    assert sim.intents.retrieve(pi.id).status == "requires_capture"
    sim.sim("POST", "advance_clock", {"seconds": 120})
    gone = sim.intents.retrieve(pi.id)
    assert (gone.status, gone.cancellation_reason, gone.amount_capturable) == ("canceled", "automatic", 0)
    with pytest.raises(stripe.InvalidRequestError) as e:
        sim.intents.capture(pi.id)
    assert e.value.code == "payment_intent_unexpected_state"
    assert sim.intents.retrieve(young.id).status == "requires_payment_method"


# --- durability ---

def test_killed_between_requests(make_sim):
    sim = make_sim()
    key = {"idempotency_key": "durable"}
    pi = sim.intents.create(paid(metadata={"a": "b"}), key)
    captured = sim.intents.capture(pi.id, {}, {"idempotency_key": "c"})
    refund = sim.refunds.create({"payment_intent": pi.id, "amount": 500})
    sim.sim("POST", "advance_clock", {"seconds": 3600})
    before = sim.sim("GET", "ledger")
    sim.end(signal.SIGKILL)
    sim.start()
    after = sim.sim("GET", "ledger")
    assert (after["payment_intents"], after["refunds"]) == (before["payment_intents"], before["refunds"])
    assert after["now"] >= before["now"]
    assert sim.intents.create(paid(metadata={"a": "b"}), key).id == pi.id
    assert sim.intents.capture(pi.id, {}, {"idempotency_key": "c"}).amount_received == captured.amount_received
    assert sim.refunds.create({"payment_intent": pi.id}).amount == 4000
    assert sim.refunds.retrieve(refund.id).amount == 500
    assert sim.end() == 0


def test_killed_under_load_keeps_what_it_answered(make_sim):
    """kill -9 in the middle of a crowd: every answer that came is in the ledger, and every key repeats without a second one."""
    sim = make_sim()
    answered, lock, enough = {}, threading.Lock(), threading.Event()

    def client(number):
        for n in range(100000):
            key = f"{number}-{n}"
            try:
                status, _, answer = sim.http("POST", "/v1/payment_intents",
                                             {"amount": 500, "currency": "eur", "confirm": "true", "payment_method": "pm_card_visa",
                                              "payment_method_types[]": "card", "metadata[key]": key},
                                             {"Idempotency-Key": key})
            except (OSError, http.client.HTTPException):
                return key
            assert status == 200
            with lock:
                answered[key] = answer["id"]
                if len(answered) >= 300:
                    enough.set()

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        clients = [pool.submit(client, n) for n in range(8)]
        assert enough.wait(60)
        sim.end(signal.SIGKILL)
        unknown = [c.result() for c in clients]
    sim.start()
    ledger = {i["metadata"]["key"]: i for i in sim.sim("GET", "ledger")["payment_intents"]}
    for key, intent_id in answered.items():
        assert ledger[key]["id"] == intent_id and ledger[key]["amount_captured"] == 500
    assert set(ledger) <= set(answered) | set(unknown)
    for key in list(answered)[:50] + unknown:
        status, _, answer = sim.http("POST", "/v1/payment_intents",
                                     {"amount": 500, "currency": "eur", "confirm": "true", "payment_method": "pm_card_visa",
                                      "payment_method_types[]": "card", "metadata[key]": key}, {"Idempotency-Key": key})
        assert status == 200 and answer["id"] == ledger.get(key, answer)["id"]
    keys = [i["metadata"]["key"] for i in sim.sim("GET", "ledger")["payment_intents"]]
    assert len(keys) == len(set(keys))
    assert sim.end() == 0


# --- webhooks ---

SECRET = "whsec_paysim"


class Receiver:
    """Takes webhooks; .status is what it answers."""

    def __init__(self):
        receiver = self
        self.status, self.taken, self.refused, self.lock = 200, [], [], threading.Lock()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = receiver.status
                with receiver.lock:
                    (receiver.taken if status == 200 else receiver.refused).append((body, self.headers["Stripe-Signature"]))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def types(self):
        with self.lock:
            return sorted(json.loads(body)["type"] for body, _ in self.taken)


@pytest.fixture
def receiver():
    r = Receiver()
    yield r
    r.close()


def test_webhooks_are_signed_and_repeated(make_sim, receiver):
    sim = make_sim("--webhook-url", receiver.url, "--webhook-secret", SECRET)
    pi = sim.intents.create(paid())
    wanted = ["charge.succeeded", "payment_intent.amount_capturable_updated", "payment_intent.created"]
    wait_for(lambda: receiver.types() == wanted, "three webhooks")
    for body, signature in receiver.taken:
        event = stripe.Webhook.construct_event(body, signature, SECRET)
        assert sim.client.v1.events.retrieve(event.id).type == event.type
        with pytest.raises(stripe.SignatureVerificationError):
            stripe.Webhook.construct_event(body.replace(b"4500", b"4501"), signature, SECRET)

    receiver.status = 500
    sim.intents.cancel(pi.id)
    wait_for(lambda: len(receiver.refused) == 2, "two refused webhooks")
    sim.end(signal.SIGKILL)
    receiver.status = 200
    sim.start()
    sim.sim("POST", "advance_clock", {"seconds": 60})
    wanted = sorted(wanted + ["charge.refunded", "payment_intent.canceled"])
    wait_for(lambda: receiver.types() == wanted, "the refused webhooks again")
    assert sim.end() == 0


def test_webhook_switches(make_sim, receiver):
    sim = make_sim("--webhook-url", receiver.url, "--webhook-secret", SECRET)
    sim.fault("webhook", "drop_before")
    sim.fault("webhook", "twice")
    sim.fault("webhook", "delay", ms=3600000)
    sim.intents.create(cards())
    sim.intents.create(cards())
    sim.intents.create(cards())
    sim.intents.create(cards(amount=999))
    # lost, twice, an hour late, once
    wait_for(lambda: len(receiver.types()) == 3, "three webhooks")
    amounts = sorted(json.loads(body)["data"]["object"]["amount"] for body, _ in receiver.taken)
    assert amounts == [999, 4500, 4500]
    sim.sim("POST", "advance_clock", {"seconds": 3600})
    wait_for(lambda: len(receiver.types()) == 4, "the late webhook")
    ids = [json.loads(body)["id"] for body, _ in receiver.taken]
    assert len(set(ids)) == 3
    assert sim.http("POST", "/_sim/faults", b'{"match":"webhook","mode":"429"}')[0] == 400
    assert sim.end() == 0
