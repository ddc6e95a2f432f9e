"""What no client should send: the gateway's error object each time, nothing in the ledger, and the process lives."""
import json
import random
import socket

import pytest
import stripe

from paysim import KEY, cards, paid, sim  # noqa: F401 (fixtures)


def is_error(answer, status):
    error = answer["error"]
    assert isinstance(error["message"], str) and error["message"]
    assert error["type"] in ("invalid_request_error", "idempotency_error", "card_error", "api_error"), error
    return status


BAD = [
    b"amount=NaN&currency=eur", b"amount=1e9&currency=eur", b"amount=0x1f&currency=eur", b"amount=%2B500&currency=eur",
    b"amount=-500&currency=eur", b"amount=99999999999999999999999999&currency=eur", b"amount=500.0&currency=eur",
    b"amount=500%20&currency=eur", b"amount=%D9%A5%D9%A0%D9%A0&currency=eur", b"amount=true&currency=eur",
    b"amount[]=500&currency=eur", b"amount[a]=500&currency=eur", b"amount=500&currency[]=eur", b"amount=500&currency=",
    b"amount=500&currency=EURO", b"amount=500&currency=e%00r", b"amount=500&currency=%ff%fe", b"amount=500&currency=%",
    b"amount=500&currency=%zz", b"amount=500&amount=600&currency=eur", b"amount=500&currency=eur&currency=usd",
    b"amount=500&currency=eur&metadata=x", b"amount=500&currency=eur&metadata[a]=1&metadata[a]=2",
    b"amount=500&currency=eur&metadata[a]=1&metadata=", b"amount=500&currency=eur&metadata[]=1",
    b"amount=500&currency=eur&metadata[a][b]=1", b"amount=500&currency=eur&metadata[a]=%00",
    b"amount=500&currency=eur&a[b][c][d][e][f]=1", b"amount=500&currency=eur&[a]=1", b"amount=500&currency=eur&a]b=1",
    b"amount=500&currency=eur&metadata[=1", b"amount=500&currency=eur&=1", b"amount=500&currency=eur&" + b"x" * 5000 + b"=1",
    b"amount=500&currency=eur&metadata[k]=" + b"v" * 6000, b"amount=500&currency=eur&" + b"&".join(b"m%d=1" % n for n in range(300)),
    b"amount=500&currency=eur&" + b"&".join(b"metadata[k%d]=1" % n for n in range(51)),
    b"amount=500&currency=eur&confirm=maybe", b"amount=500&currency=eur&confirm=1", b"amount=500&currency=eur&expand[]=customer",
    b"amount=500&currency=eur&payment_method[]=pm_card_visa", b"amount=500&currency=eur&payment_method=" + b"p" * 101,
    b"amount=500&currency=eur&payment_method=pm_card_visa%0d", b"amount=500&currency=eur&off_session=true",
    b"amount=500&currency=eur&capture_method=Manual", b"amount=500&currency=eur&description=" + b"d" * 1001,
    b"amount=500&currency=eur&description=%01", b"amount=500&currency=eur&payment_method_types=card",
    b"amount=500&currency=eur&payment_method_types[]=card&automatic_payment_methods[enabled]=true",
    b"\x00\x01\x02", b"\xff" * 100, b"=", b"&&&&", b"amount", b"[]", b"{\"amount\":500}",
]


@pytest.mark.parametrize("body", BAD, ids=range(len(BAD)))
def test_bad_bodies(sim, body):
    status, _, answer = sim.http("POST", "/v1/payment_intents", body, {"Idempotency-Key": "bad"})
    assert is_error(answer, status) == 400 and answer["error"]["type"] == "invalid_request_error"
    assert sim.sim("GET", "ledger")["payment_intents"] == []
    # a refused parameter leaves the key free
    assert sim.http("POST", "/v1/payment_intents", {"amount": 500, "currency": "eur"}, {"Idempotency-Key": "bad"})[0] == 200


@pytest.mark.parametrize("size,status", [(64 * 1024 + 1, 413), (1 << 20, 413), (4 << 20, 413), ((4 << 20) + 1, 413)])
def test_large_bodies(sim, size, status):
    body = b"amount=500&currency=eur&description=" + b"d" * (size - 36)
    if size <= 4 << 20:
        got, _, answer = sim.http("POST", "/v1/payment_intents", body)
        assert is_error(answer, got) == status
    else:  # refused by its announced size, before it is sent
        head = (f"POST /v1/payment_intents HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nContent-Length: {size}\r\n"
                "Content-Type: application/x-www-form-urlencoded\r\n\r\n")
        got, answer = raw(sim, head.encode())
        assert is_error(answer, got) == status


def raw(sim, request):
    host, port = sim.address.split(":")
    with socket.create_connection((host, int(port)), 20) as s:
        s.sendall(request)
        data = b""
        while chunk := s.recv(65536):
            data += chunk
            head, _, body = data.partition(b"\r\n\r\n")
            if body.endswith(b"}"):
                break
    return int(data.split()[1]), json.loads(data.partition(b"\r\n\r\n")[2])


@pytest.mark.parametrize("request_line", [b"GET /v1/payment_intents/\x00 HTTP/1.1", b"GET /v1/payment_intents/%00 HTTP/1.1",
                                          b"GET /v1/payment_intents/\xff\xfe HTTP/1.1", b"GET /v1/payment_intents?limit=%ff HTTP/1.1",
                                          b"BREW /v1/payment_intents HTTP/1.1", b"GET v1 HTTP/1.1", b"nonsense",
                                          b"GET /v1/" + b"a" * 20000 + b" HTTP/1.1", b"PUT /v1/refunds/re_1 HTTP/1.1"])
def test_bad_requests(sim, request_line):
    status, answer = raw(sim, request_line + b"\r\nHost: x\r\nAuthorization: Bearer " + KEY.encode() + b"\r\n\r\n")
    assert 400 <= is_error(answer, status) < 500 or status == 501
    assert sim.http("GET", "/v1/payment_intents")[0] == 200


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=-1", "limit=x", "limit=", "limit=1&limit=2", "starting_after=pi_none",
                                   "starting_after=", "created[gte]=yesterday", "created[gte]=-1", "created[gte]=" + "9" * 20,
                                   "created[between]=1", "created=", "created=1&created[gt]=1", "expand[]=data.customer", "colour=red",
                                   "ending_before=pi_1", "limit[]=1", "%00=1", "limit=%31%00"])
@pytest.mark.parametrize("what", ["payment_intents", "refunds", "charges", "events", "disputes"])
def test_bad_lists(sim, what, query):
    if query.startswith("expand") and what in ("charges", "events", "disputes"):
        query = "expand[]=data.nothing"
    status, _, answer = sim.http("GET", f"/v1/{what}?{query}")
    assert is_error(answer, status) == 400


def test_unknown_ids(sim):
    for path in ("payment_intents", "refunds", "charges", "events", "disputes", "payment_methods"):
        for unknown in ("x", "pi_" + "x" * 500, "%00", "..", "%F0%9F%92%A9", "pi_1'--", "re_1"):
            status, _, answer = sim.http("GET", f"/v1/{path}/{unknown}")
            assert (is_error(answer, status), answer["error"]["code"]) == (404, "resource_missing")
    for call in (lambda: sim.intents.capture("pi_x"), lambda: sim.intents.cancel("pi_x"), lambda: sim.refunds.update("re_x", {"metadata": {}}),
                 lambda: sim.intents.confirm("pi_x", {"payment_method": "pm_card_visa"}), lambda: sim.refunds.create({"payment_intent": "pi_x"}),
                 lambda: sim.refunds.create({"charge": "ch_x"}), lambda: sim.client.v1.disputes.retrieve("du_x")):
        with pytest.raises(stripe.InvalidRequestError) as missing:
            call()
        assert (missing.value.http_status, missing.value.code) == (404, "resource_missing")


@pytest.mark.parametrize("key", [b"k\xff", b"\xc3\x28", b"k" * 256, b"k" * 10000])
def test_bad_keys(sim, key):
    body = b"amount=500&currency=eur"
    status, answer = raw(sim, b"POST /v1/payment_intents HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nIdempotency-Key: %s\r\n"
                         b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s" % (KEY.encode(), key, len(body), body))
    assert (is_error(answer, status), answer["error"]["type"]) == (400, "idempotency_error")
    assert sim.sim("GET", "ledger")["payment_intents"] == []


@pytest.mark.parametrize("want", [0, -1, 4501, 10**18, "", "all", "45.00"])
def test_bad_captures_and_refunds(sim, want):
    pi = sim.intents.create(paid())
    before = sim.intent_in_ledger(pi.id)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        sim.intents.capture(pi.id, {"amount_to_capture": want})
    assert refused.value.param == "amount_to_capture" and sim.intent_in_ledger(pi.id) == before
    sim.intents.capture(pi.id)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        sim.refunds.create({"payment_intent": pi.id, "amount": want})
    assert refused.value.param == "amount" and sim.intent_in_ledger(pi.id)["amount_refunded"] == 0
    for wrong in ({}, {"payment_intent": pi.id, "charge": pi.latest_charge}, {"payment_intent": pi.id, "reason": "because"},
                  {"payment_intent": [pi.id]}, {"payment_intent": pi.id, "refund_application_fee": True}):
        with pytest.raises(stripe.InvalidRequestError):
            sim.refunds.create(wrong)
    assert sim.sim("GET", "ledger")["refunds"] == []


def test_random_bodies(sim):
    """Whatever comes, an answer in JSON comes back, and what an answer calls made is in the ledger."""
    words = [b"amount", b"currency", b"eur", b"500", b"=", b"&", b"[", b"]", b"metadata", b"confirm", b"true", b"payment_method",
             b"pm_card_visa", b"payment_method_types", b"card", b"%", b"%00", b"%5B", b"%5D", b"\xc3\xa9", b"\xff", b"-", b"1" * 30, b"expand[]=latest_charge"]
    seeded, made = random.Random(7), 0
    for _ in range(300):
        body = b"".join(seeded.choice(words) for _ in range(seeded.randrange(1, 40)))
        path = seeded.choice(["payment_intents", "payment_intents/pi_x/capture", "refunds", "payment_intents/pi_x/confirm"])
        status, _, answer = sim.http("POST", "/v1/" + path, body)
        if status == 200:
            made += 1
        else:
            assert is_error(answer, status) in (400, 402, 404)
    assert len(sim.sim("GET", "ledger")["payment_intents"]) >= made
