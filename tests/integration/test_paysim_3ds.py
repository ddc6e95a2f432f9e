"""The simulator's page for 3-D Secure: who gets in, what it says, where it leads."""
import re
import urllib.parse

import pytest
import stripe

from paysim import cards, paid, sim  # noqa: F401 (fixtures)


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
