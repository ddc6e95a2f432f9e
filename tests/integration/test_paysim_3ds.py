"""The simulator's page for 3-D Secure: who gets in, what it says, where it leads."""
import re
import urllib.parse

import pytest
import stripe

from paysim import cards, make_sim, paid, sim  # noqa: F401 (fixtures)


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
    assert sim.http("POST", path, {"outcome": "fail"})[0] == 410
    assert sim.http("GET", path)[0] == 410
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
    assert sim.http("POST", path, {"outcome": "authorise"})[0] == 410
    assert sim.intents.retrieve(pi.id).status == "canceled"


def test_authentication_required_without_payer(sim):
    with pytest.raises(stripe.CardError) as e:
        sim.intents.create(paid("pm_card_authenticationRequired", off_session=True))
    assert e.value.code == "authentication_required"


def test_3ds_page_says_what_is_to_be_paid(make_sim):
    sim = make_sim("--merchant", "Théâtre <& Co>")
    pi, path = challenge(sim)
    status, headers, page = sim.http("GET", path)
    assert (status, headers.get_content_type()) == (200, "text/html")
    assert "Th\u00e9\u00e2tre &lt;&amp; Co&gt;" in page and "45.00 EUR" in page and "3220" in page
    assert ">Authorise<" in page and ">Fail<" in page and "<script" not in page and "http" not in page
    assert sim.end() == 0


@pytest.mark.parametrize("end,word", [("authorise", "authorised"), ("fail", "not authorised"), ("cancel", "cancelled")])
def test_3ds_second_visit(sim, end, word):
    """Whoever clicks twice or comes back is told what came of it, and where the shop is; nothing happens again."""
    pi, path = challenge(sim, return_url="https://shop.example/back?a=1&b=2")
    if end == "cancel":
        sim.intents.cancel(pi.id)
    else:
        assert sim.http("POST", path, {"outcome": end})[0] == 303
    before = sim.sim("GET", "ledger")["payment_intents"]
    for method, outcome in (("GET", None), ("POST", {"outcome": "authorise"}), ("POST", {"outcome": "fail"}), ("POST", b"%zz")):
        status, headers, page = sim.http(method, path, outcome)
        assert (status, headers.get_content_type(), headers["Location"]) == (410, "text/html", None)
        assert word in page.lower() and "https://shop.example/back?a=1&amp;b=2&amp;payment_intent=" in page
        assert ("redirect_status=succeeded" in page) is (end == "authorise")
    assert sim.sim("GET", "ledger")["payment_intents"] == before


@pytest.mark.parametrize("path", ["/3ds/pi_nothing", "/3ds/pi_nothing?key=abc", "/3ds/%00?key=a", "/3ds/pi_1?key=%ff",
                                  "/3ds/" + "p" * 3000 + "?key=a", "/3ds/pi_1?key=", "/3ds/pi_1?" + "key=a&" * 200])
def test_3ds_unknown(sim, path):
    for method, body in (("GET", None), ("POST", {"outcome": "authorise"}), ("POST", b"\xff\x00"), ("POST", b"")):
        status, headers, page = sim.http(method, path, body)
        assert (status, headers.get_content_type()) == (404, "text/html") and "No such payment" in page


@pytest.mark.parametrize("body", [b"", b"outcome=", b"outcome=%ff", b"outcome=authorise&outcome=fail", b"a[[=1", b"\x00" * 100])
def test_3ds_form_not_understood(sim, body):
    pi, path = challenge(sim)
    status, headers, page = sim.http("POST", path, body)
    assert (status, headers.get_content_type()) == (400, "text/html") and "Not understood" in page
    assert sim.intents.retrieve(pi.id).status == "requires_action"
    assert sim.http("POST", path, {"outcome": "authorise"})[0] == 200


def test_3ds_before_any_challenge(sim):
    """An intent without a challenge has no key, and no address opens it."""
    pi = sim.intents.create(cards())
    for query in ("", "?key=", "?key=a"):
        assert sim.http("GET", f"/3ds/{pi.id}{query}")[0] == 404
