"""The cards of the gateway's page on testing: what each answers, and what follows later by the simulator's clock."""
import pytest
import stripe

from paysim import Sim, cards, paid, wait_for

BRANDS = {
    "pm_card_visa": ("visa", "4242", "credit"), "pm_card_visa_debit": ("visa", "5556", "debit"),
    "pm_card_mastercard": ("mastercard", "4444", "credit"), "pm_card_mastercard_debit": ("mastercard", "8210", "debit"),
    "pm_card_mastercard_prepaid": ("mastercard", "5100", "prepaid"), "pm_card_amex": ("amex", "8431", "credit"),
    "pm_card_discover": ("discover", "1117", "credit"), "pm_card_diners": ("diners", "0004", "credit"),
    "pm_card_jcb": ("jcb", "0505", "credit"), "pm_card_unionpay": ("unionpay", "0005", "credit"),
    "pm_card_visa_cartesBancaires": ("visa", "1001", "credit"),
    "pm_card_mastercard_cartesBancaires": ("mastercard", "1001", "credit"),
    "pm_card_visa_debit_eftposAuCoBranded": ("visa", "0001", "debit"),
    "pm_card_mastercard_debit_eftposAuCoBranded": ("mastercard", "0080", "debit"),
    "pm_card_debit_visaFsaProductCode": ("visa", "0072", "debit"),
    "pm_card_debit_visaHsaProductCode": ("visa", "0072", "debit"),
    "pm_card_mastercard_debit_mastercardFsaProductCode": ("mastercard", "8897", "debit"),
    "pm_card_bypassPending": ("visa", "0077", "credit"), "pm_card_bypassPendingInternational": ("visa", "0278", "credit"),
    "pm_card_threeDSecureOptional": ("visa", "3055", "credit"),
    "pm_card_threeDSecureOptionalProcessingError": ("visa", "3097", "credit"),
    "pm_card_amex_threeDSecureNotSupported": ("amex", "0005", "credit"),
    "pm_card_gb_debit": ("visa", "0005", "debit"), "pm_card_gb_mastercard": ("mastercard", "4449", "credit"),
    "pm_card_ae_mastercard": ("mastercard", "0022", "credit"), "pm_card_th_credit": ("visa", "0003", "credit"),
    "pm_card_th_debit": ("visa", "0008", "debit"),
}
COUNTRIES = ("us ar br ca cl co cr ec mx pa py pe uy ae at be bg by hr cy cz dk ee fi fr de gi gr hu ie it lv li lt lu mt nl no"
             " pl pt ro sa si sk es se ch gb au cn hk in jp my nz sg tw").split()
DECLINES = {
    "pm_card_visa_chargeDeclined": ("card_declined", "generic_decline"),
    "pm_card_chargeDeclined": ("card_declined", "generic_decline"),
    "pm_card_visa_chargeDeclinedInsufficientFunds": ("card_declined", "insufficient_funds"),
    "pm_card_chargeDeclinedInsufficientFunds": ("card_declined", "insufficient_funds"),
    "pm_card_visa_chargeDeclinedLostCard": ("card_declined", "lost_card"),
    "pm_card_chargeDeclinedLostCard": ("card_declined", "lost_card"),
    "pm_card_visa_chargeDeclinedStolenCard": ("card_declined", "stolen_card"),
    "pm_card_chargeDeclinedStolenCard": ("card_declined", "stolen_card"),
    "pm_card_visa_chargeDeclinedVelocityLimitExceeded": ("card_declined", "card_velocity_exceeded"),
    "pm_card_chargeDeclinedVelocityLimitExceeded": ("card_declined", "card_velocity_exceeded"),
    "pm_card_chargeDeclinedExpiredCard": ("expired_card", "expired_card"),
    "pm_card_chargeDeclinedIncorrectCvc": ("incorrect_cvc", "incorrect_cvc"),
    "pm_card_chargeDeclinedProcessingError": ("processing_error", "processing_error"),
    "pm_card_chargeDeclinedIncorrectNumber": ("incorrect_number", "incorrect_number"),
    "pm_card_chargeCustomerFail": ("card_declined", "generic_decline"),
    "pm_card_threeDSecureRequiredProcessingError": ("card_declined", "generic_decline"),
}


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    """One simulator for all cards; what comes later comes when its clock is advanced, not before."""
    process = Sim(tmp_path_factory.mktemp("bank"), "--later-seconds", "3600")
    yield process
    assert process.end() == 0, process.log()


def later(sim):
    sim.sim("POST", "advance_clock", {"seconds": 3600})


def events_of(sim, object_id):
    """The types of what happened to one object, the oldest first."""
    events = sim.client.v1.events.list({"limit": 100}).auto_paging_iter()
    return [e.type for e in events if object_id in (e.data.object.id, getattr(e.data.object, "charge", None))][::-1]


def test_brands(bank):
    for name, (brand, last4, funding) in BRANDS.items():
        pi = bank.intents.create(paid(name, expand=["latest_charge", "payment_method"]))
        card = pi.payment_method.card
        assert (pi.status, card.brand, card.last4, card.funding) == ("requires_capture", brand, last4, funding), name
        shown = pi.latest_charge.payment_method_details.card
        assert (shown.fingerprint, shown.last4, shown.three_d_secure) == (card.fingerprint, last4, None), name


def test_countries(bank):
    for code in COUNTRIES:
        pi = bank.intents.create(paid("pm_card_" + code, expand=["payment_method"]))
        card = pi.payment_method.card
        assert (pi.status, card.brand, card.country) == ("requires_capture", "visa", code.upper())


@pytest.mark.parametrize("name", DECLINES)
def test_declines(bank, name):
    code, decline = DECLINES[name]
    with pytest.raises(stripe.CardError) as refused:
        bank.intents.create(paid(name))
    error = refused.value.json_body["error"]
    assert (refused.value.http_status, refused.value.code, error["decline_code"]) == (402, code, decline)
    assert (error["type"], error["payment_intent"]["status"]) == ("card_error", "requires_payment_method")
    assert error["payment_method"]["card"]["fingerprint"] == error["payment_intent"]["last_payment_error"]["payment_method"]["card"]["fingerprint"]
    charge = bank.client.v1.charges.retrieve(error["charge"])
    assert (charge.status, charge.failure_code, charge.outcome.type) == ("failed", code, "issuer_declined")
    assert events_of(bank, charge.id) == ["charge.failed"]
    assert events_of(bank, error["payment_intent"]["id"]) == ["payment_intent.created", "payment_intent.payment_failed"]


@pytest.mark.parametrize("name", ["pm_card_radarBlock", "pm_card_chargeDeclinedFraudulent", "pm_card_riskLevelHighest"])
def test_blocked(bank, name):
    with pytest.raises(stripe.CardError) as refused:
        bank.intents.create(paid(name))
    error = refused.value.json_body["error"]
    assert (error["code"], error["decline_code"]) == ("card_declined", "fraudulent")
    outcome = bank.client.v1.charges.retrieve(error["charge"]).outcome
    assert (outcome.type, outcome.network_status, outcome.risk_level) == ("blocked", "not_sent_to_network", "highest")


@pytest.mark.parametrize("name,risk,checks", [
    ("pm_card_visa", "normal", ("pass", None, None)),
    ("pm_card_riskLevelElevated", "elevated", ("pass", None, None)),
    ("pm_card_cvcCheckFail", "normal", ("fail", None, None)),
    ("pm_card_cvcCheckFailElevatedRisk", "elevated", ("fail", None, None)),
    ("pm_card_avsZipFail", "normal", ("pass", "fail", None)),
    ("pm_card_avsZipFailElevatedRisk", "elevated", ("pass", "fail", None)),
    ("pm_card_avsLine1Fail", "normal", ("pass", None, "fail")),
    ("pm_card_avsFail", "normal", ("pass", "fail", "fail")),
    ("pm_card_avsUnchecked", "normal", ("pass", "unavailable", "unavailable")),
])
def test_risks_and_checks(bank, name, risk, checks):
    charge = bank.intents.create(paid(name, expand=["latest_charge"])).latest_charge
    seen = charge.payment_method_details.card.checks
    assert (charge.status, charge.outcome.risk_level, charge.outcome.type) == ("succeeded", risk, "authorized")
    assert (seen.cvc_check, seen.address_postal_code_check, seen.address_line1_check) == checks


# --- 3-D Secure ---

@pytest.mark.parametrize("name", ["pm_card_threeDSecure2Required", "pm_card_threeDSecureRequired", "pm_card_authenticationRequired",
                                  "pm_card_authenticationRequiredOnSetup", "pm_card_authenticationRequiredSetupForOffSession"])
def test_challenge(bank, name):
    pi = bank.intents.create(paid(name))
    assert (pi.status, pi.latest_charge) == ("requires_action", None)
    assert bank.http("POST", pi.next_action.redirect_to_url.url[len(bank.url):], {"outcome": "authorise"})[0] == 200
    assert bank.intents.retrieve(pi.id).status == "requires_capture"


@pytest.mark.parametrize("name,decline", [
    ("pm_card_authenticationRequiredChargeDeclinedInsufficientFunds", "insufficient_funds"),
    ("pm_card_threeDSecureRequiredChargeDeclined", "generic_decline"),
])
def test_declined_after_the_challenge(bank, name, decline):
    pi = bank.intents.create(paid(name, return_url="https://shop.example/"))
    path = pi.next_action.redirect_to_url.url[len(bank.url):]
    status, headers, _ = bank.http("POST", path, {"outcome": "authorise"})
    assert status == 303 and headers["Location"].endswith("&redirect_status=failed")
    pi = bank.intents.retrieve(pi.id)
    assert (pi.status, pi.last_payment_error.code, pi.last_payment_error.decline_code) == ("requires_payment_method", "card_declined", decline)
    charge = bank.client.v1.charges.retrieve(pi.latest_charge)
    assert charge.payment_method_details.card.three_d_secure.result == "authenticated"
    assert bank.http("GET", path)[0] == 410
    assert bank.intents.confirm(pi.id, {"payment_method": "pm_card_visa"}).status == "requires_capture"


def test_payer_is_not_there(bank):
    for name in ("pm_card_authenticationRequired", "pm_card_authenticationRequiredOnSetup"):
        with pytest.raises(stripe.CardError) as refused:
            bank.intents.create(paid(name, off_session=True))
        assert refused.value.code == "authentication_required"
    assert bank.intents.create(paid("pm_card_authenticationRequiredSetupForOffSession", off_session=True)).status == "requires_capture"


# --- what comes later ---

def test_pending_refund(bank):
    pi = bank.intents.create(paid("pm_card_pendingRefund", capture_method="automatic"))
    refund = bank.refunds.create({"payment_intent": pi.id, "amount": 1500})
    assert refund.status == "pending"
    assert bank.intent_in_ledger(pi.id)["amount_refunded"] == 1500
    with pytest.raises(stripe.InvalidRequestError) as too_much:
        bank.refunds.create({"payment_intent": pi.id, "amount": 3001})
    assert too_much.value.code == "amount_too_large"
    assert bank.refunds.retrieve(refund.id).status == "pending"
    later(bank)
    assert bank.refunds.retrieve(refund.id).status == "succeeded"
    assert bank.intent_in_ledger(pi.id)["amount_refunded"] == 1500
    assert events_of(bank, refund.id) == ["refund.created", "refund.updated", "charge.refund.updated"]


def test_refund_that_fails_later(bank):
    pi = bank.intents.create(paid("pm_card_refundFail", capture_method="automatic"))
    refund = bank.refunds.create({"payment_intent": pi.id})
    assert (refund.status, bank.client.v1.charges.retrieve(refund.charge).refunded) == ("succeeded", True)
    later(bank)
    refund = bank.refunds.retrieve(refund.id)
    assert (refund.status, refund.failure_reason) == ("failed", "expired_or_canceled_card")
    charge = bank.client.v1.charges.retrieve(refund.charge)
    assert (charge.refunded, charge.amount_refunded, bank.intent_in_ledger(pi.id)["amount_refunded"]) == (False, 0, 0)
    assert events_of(bank, refund.id) == ["refund.created", "refund.updated", "charge.refund.updated", "refund.failed"]
    # the money is free again; the next one fails as well
    again = bank.refunds.create({"payment_intent": pi.id, "amount": 4500})
    later(bank)
    assert bank.refunds.retrieve(again.id).status == "failed"


@pytest.mark.parametrize("name,reason,statuses", [
    ("pm_card_createDispute", "fraudulent", ["needs_response"]),
    ("pm_card_createDisputeProductNotReceived", "product_not_received", ["needs_response"]),
    ("pm_card_createDisputeInquiry", "fraudulent", ["warning_needs_response"]),
    ("pm_card_createMultipleDisputes", "fraudulent", ["needs_response", "needs_response"]),
    ("pm_card_createCe3EligibleDispute", "fraudulent", ["needs_response"]),
    ("pm_card_createComplianceDispute", "noncompliant", ["needs_response"]),
])
def test_disputes(bank, name, reason, statuses):
    pi = bank.intents.create(paid(name))
    later(bank)
    assert bank.client.v1.disputes.list({"payment_intent": pi.id}).data == [], "nothing was taken yet"
    bank.intents.capture(pi.id, {"amount_to_capture": 4000})
    assert bank.client.v1.charges.retrieve(pi.latest_charge).disputed is False
    later(bank)
    disputes = bank.client.v1.disputes.list({"charge": pi.latest_charge}).data
    assert [(d.status, d.reason, d.amount, d.currency, d.payment_intent) for d in disputes] == [
        (status, reason, 4000, "eur", pi.id) for status in statuses]
    assert bank.client.v1.disputes.retrieve(disputes[0].id).charge == pi.latest_charge
    assert bank.client.v1.charges.retrieve(pi.latest_charge).disputed is True
    assert events_of(bank, disputes[0].id) == ["charge.dispute.created"]
    refund = {"payment_intent": pi.id, "amount": 100}
    if "warning" in statuses[0]:
        assert bank.refunds.create(refund).status == "succeeded"
    else:
        with pytest.raises(stripe.InvalidRequestError) as refused:
            bank.refunds.create(refund)
        assert refused.value.code == "charge_disputed"


def test_fraud_warning(bank):
    pi = bank.intents.create(paid("pm_card_createIssuerFraudRecord", capture_method="automatic"))
    later(bank)
    warning = bank.client.v1.events.list({"type": "radar.early_fraud_warning.created"}).data[0].data.object
    assert (warning.charge, warning.payment_intent, warning.actionable) == (pi.latest_charge, pi.id, True)
    assert bank.client.v1.charges.retrieve(pi.latest_charge).disputed is False


def test_later_comes_by_itself_and_survives(tmp_path):
    """Not only when somebody advances the clock; and what was scheduled is in the ledger."""
    sim = Sim(tmp_path, "--later-seconds", "1")
    try:
        pi = sim.intents.create(paid("pm_card_pendingRefund", capture_method="automatic"))
        refund = sim.refunds.create({"payment_intent": pi.id})
        sim.end(9)
        sim.start()
        wait_for(lambda: sim.refunds.retrieve(refund.id).status == "succeeded", "the end of the refund")
    finally:
        assert sim.end() == 0


def test_one_number_one_fingerprint(bank):
    def fingerprint(name):
        return bank.intents.create(cards(payment_method=name, expand=["payment_method"])).payment_method.card.fingerprint

    assert fingerprint("pm_card_visa") == fingerprint("pm_card_us") == bank.client.v1.payment_methods.retrieve("pm_card_visa").card.fingerprint
    assert fingerprint("pm_card_visa_debit") != fingerprint("pm_card_visa")
