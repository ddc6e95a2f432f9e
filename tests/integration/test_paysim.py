"""boxoffice-paysim driven by the gateway's official Python client, and by plain HTTP where the client cannot go."""
import concurrent.futures
import csv
import http.client
import io
import json
import signal
import subprocess
import threading

import pytest
import stripe

from paysim import KEY, cards, paid, make_sim, program, sim  # noqa: F401 (fixtures)


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


# --- currencies and sums ---

@pytest.mark.parametrize("currency,amount,code", [
    ("jpy", 49, "amount_too_small"), ("jpy", 50, None), ("jpy", 4501, None), ("krw", 999, "amount_too_small"), ("krw", 1000, None),
    ("tnd", 1990, "amount_too_small"), ("tnd", 2000, None), ("tnd", 2005, "parameter_invalid_integer"), ("kwd", 45010, None),
    ("kwd", 45011, "parameter_invalid_integer"), ("eur", 49, "amount_too_small"), ("eur", 99999999, None), ("eur", 100000000, "amount_too_large"),
    ("gbp", 30, None), ("gbp", 29, "amount_too_small"),
])
def test_currencies(sim, currency, amount, code):
    """No decimals, two, three: the minimum of each, and the last digit of three is a zero."""
    if code:
        with pytest.raises(stripe.InvalidRequestError) as refused:
            sim.intents.create(cards(amount, currency=currency))
        assert (refused.value.code, refused.value.param) == (code, "amount")
        assert sim.sim("GET", "ledger")["payment_intents"] == []
        return
    pi = sim.intents.create(paid(amount=amount, currency=currency))
    assert (pi.status, pi.amount, pi.amount_capturable, pi.currency) == ("requires_capture", amount, amount, currency)
    assert sim.intents.capture(pi.id).amount_received == amount


@pytest.mark.parametrize("currency,amount,step,parts", [("eur", 4500, 1, [1, 1499, 1500]), ("jpy", 4501, 1, [1, 2000, 1000]),
                                                        ("kwd", 45010, 10, [10, 15000, 30])])
def test_partial_refunds_add_up(sim, currency, amount, step, parts):
    pi = sim.intents.create(paid(amount=amount, currency=currency))
    captured = amount - 100 * step
    with pytest.raises(stripe.InvalidRequestError) as over:
        sim.intents.capture(pi.id, {"amount_to_capture": amount + step})
    assert over.value.code == "amount_too_large"
    pi = sim.intents.capture(pi.id, {"amount_to_capture": captured, "expand": ["latest_charge"]})
    # the rest is released: it can be captured no more, and refunded never
    assert (pi.amount_received, pi.amount_capturable, pi.latest_charge.amount, pi.latest_charge.amount_captured) == (captured, 0, amount, captured)
    with pytest.raises(stripe.InvalidRequestError):
        sim.intents.capture(pi.id, {"amount_to_capture": 100 * step})
    for part in parts:
        refund = sim.refunds.create({"payment_intent": pi.id, "amount": part, "expand": ["charge"]})
        assert refund.charge.refunded is False
    left = captured - sum(parts)
    if step > 1:
        with pytest.raises(stripe.InvalidRequestError):
            sim.refunds.create({"payment_intent": pi.id, "amount": step + 1})
    with pytest.raises(stripe.InvalidRequestError) as over:
        sim.refunds.create({"payment_intent": pi.id, "amount": left + step})
    assert over.value.code == "amount_too_large"
    last = sim.refunds.create({"payment_intent": pi.id, "expand": ["charge"]})
    assert (last.amount, last.charge.amount_refunded, last.charge.refunded) == (left, captured, True)
    assert sum(r.amount for r in sim.refunds.list({"payment_intent": pi.id}).auto_paging_iter()) == captured


# --- the ledger ---

def csv_of(sim):
    status, headers, text = sim.http("GET", "/_sim/ledger", headers={"Accept": "text/csv"})
    assert (status, headers.get_content_type()) == (200, "text/csv")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_ledger_as_json_and_csv(sim):
    metadata = {"note": 'a "quoted", comma\nline é', "booking": "b-1"}
    first = sim.intents.create(paid(metadata=metadata))
    sim.intents.capture(first.id, {"amount_to_capture": 4000})
    sim.refunds.create({"payment_intent": first.id, "amount": 1500, "metadata": {"seat": "A-1"}})
    sim.refunds.create({"payment_intent": first.id, "amount": 500})
    sim.intents.create(paid("pm_card_mastercard"))
    sim.intents.create(paid(amount=900, currency="jpy", capture_method="automatic"))
    sim.intents.create(cards())
    ledger, rows = sim.sim("GET", "ledger"), csv_of(sim)
    assert ledger["sums"]["eur"] == {"payment_intents": 3, "amount": 13500, "amount_capturable": 4500, "captures": 1, "amount_captured": 4000,
                                     "amount_refunded": 2000, "refunds": 2, "refunds_succeeded": 2000, "refunds_pending": 0, "refunds_failed": 0}
    assert ledger["sums"]["jpy"]["amount_captured"] == 900
    assert [(c["payment_intent"], c["charge"], c["amount"]) for c in ledger["captures"]][1:] == [(first.id, first.latest_charge, 4000)]
    by = {kind: [r for r in rows if r["record"] == kind] for kind in ("intent", "capture", "refund", "sum")}
    assert len(rows) == sum(map(len, by.values()))
    assert [r["id"] for r in by["intent"]] == [i["id"] for i in ledger["payment_intents"]]
    assert [(r["id"], int(r["amount"]), r["status"]) for r in by["refund"]] == [(r["id"], r["amount"], r["status"]) for r in ledger["refunds"]]
    assert [int(r["amount"]) for r in by["capture"]] == [c["amount"] for c in ledger["captures"]]
    assert json.loads(next(r for r in by["intent"] if r["id"] == first.id)["metadata"]) == metadata
    for row in by["sum"]:
        same = [r for r in by["intent"] if r["currency"] == row["currency"]]
        for column in ("amount", "amount_capturable", "amount_captured", "amount_refunded"):
            assert int(row[column]) == sum(int(r[column]) for r in same) == ledger["sums"][row["currency"]][column]


def test_ledger_is_one_moment(sim):
    """While others pay and refund, every export adds up in itself."""
    stop = threading.Event()

    def shopper():
        while not stop.is_set():
            pi = sim.intents.create(paid("pm_card_pendingRefund", capture_method="automatic"))
            sim.refunds.create({"payment_intent": pi.id, "amount": 1000})

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        shoppers = [pool.submit(shopper) for _ in range(3)]
        try:
            seen = set()
            while len(seen) < 15:
                ledger = sim.sim("GET", "ledger")
                sums = ledger["sums"].get("eur")
                if not sums:
                    continue
                assert sums["amount_refunded"] == sum(r["amount"] for r in ledger["refunds"]) == sums["refunds_pending"] + sums["refunds_succeeded"]
                assert sums["amount_captured"] == sum(c["amount"] for c in ledger["captures"])
                assert {r["payment_intent"] for r in ledger["refunds"]} <= {i["id"] for i in ledger["payment_intents"]}
                seen.add(len(ledger["refunds"]))
        finally:
            stop.set()
        for one in shoppers:
            one.result()


# --- the rest of the official client ---

def test_refunds_by_the_client(sim):
    pi = sim.intents.create(paid(capture_method="automatic"))
    made = [sim.refunds.create({"payment_intent": pi.id, "amount": 100 + n, "metadata": {"n": str(n)}}) for n in range(5)]
    assert [r.id for r in sim.refunds.list({"limit": 2}).auto_paging_iter()] == [r.id for r in made[::-1]]
    changed = sim.refunds.update(made[0].id, {"metadata": {"n": "", "seat": "A-1"}})
    assert (changed.metadata.to_dict(), changed.amount, changed.status) == ({"seat": "A-1"}, 100, "succeeded")
    assert sim.refunds.retrieve(made[0].id).metadata.to_dict() == {"seat": "A-1"}
    assert sim.refunds.update(made[0].id, {"metadata": ""}).metadata.to_dict() == {}
    with pytest.raises(stripe.InvalidRequestError):
        sim.refunds.update(made[0].id, {"amount": 5})
    now = made[0].created
    assert len(sim.refunds.list({"created": {"gte": now - 60, "lt": now + 60}}).data) == 5
    assert sim.refunds.list({"created": {"gt": now + 60}}).data == []
    charges = sim.client.v1.charges
    assert [c.id for c in charges.list({"payment_intent": pi.id}).auto_paging_iter()] == [pi.latest_charge]
    assert charges.retrieve(pi.latest_charge).amount_refunded == sum(r.amount for r in made)


def test_every_class_of_error(sim, make_sim, tmp_path):
    pi = sim.intents.create(cards())
    locked = make_sim("--secret-key", "sk_test_other")
    for error, status, call in (
            (stripe.CardError, 402, lambda: sim.intents.confirm(pi.id, {"payment_method": "pm_card_chargeDeclined"})),
            (stripe.InvalidRequestError, 400, lambda: sim.intents.create({"amount": 500, "currency": "eur", "colour": "red"})),
            (stripe.InvalidRequestError, 404, lambda: sim.intents.retrieve("pi_none")),
            (stripe.AuthenticationError, 401, lambda: locked.intents.list())):
        with pytest.raises(error) as raised:
            call()
        assert raised.value.http_status == status and raised.value.request_id.startswith("req_") and raised.value.user_message
    sim.intents.create(cards(), {"idempotency_key": "k"})
    with pytest.raises(stripe.IdempotencyError):
        sim.intents.create(cards(999), {"idempotency_key": "k"})
    sim.fault("list", "429")
    with pytest.raises(stripe.RateLimitError):
        sim.intents.list()
    sim.fault("list", "500_before")
    with pytest.raises(stripe.APIError):
        sim.intents.list()
    assert locked.end() == 0
