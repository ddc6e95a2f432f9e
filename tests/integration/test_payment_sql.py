"""The plans of a purchase's statements on tables that were just made: they are kept until the first ANALYZE, through the first sale.

Decision 0015: every row is found by what is its own. An index scan that knows no more than the show reads all that was sold of it.
"""

import re

import pytest

from plans import fresh_database, nodes, plan_of

STATEMENTS = """payment/payment_create payment/payment_lease payment/payment_intent payment/payment_call
    payment/payment_call_first payment/payment_confirm_call
    payment/payment_answer payment/payment_require_action payment/payment_authorise payment/payment_capture payment/payment_fail
    payment/payment_abandon payment/payment_void payment/payment_voided payment/payment_lose payment/payment_rest
    payment/payment_return payment/payment_card payment/card_seats booking/booking_ask
    booking/booking_of_lock booking/booking_create booking/booking_confirm booking/booking_fail booking/booking_get
    booking/booking_lose payment/payments_lock payment/payment_idle payment/refund_lease payment/refund_call payment/refund_request
    payment/refund_pend payment/refund_succeed payment/refund_fail payment/refund_rest payment/refund_get payment/refund_reverse payment/refund_foreign
    payment/refunds_of_booking booking/booking_hold booking/booking_cancel""".split()


@pytest.fixture(scope="module")
def fresh(plant):
    """As the program meets it before the first sale."""
    with fresh_database(plant, "just_made") as db:
        yield db


@pytest.mark.parametrize("name", STATEMENTS)
def test_rows_are_found_by_what_is_their_own(fresh, name):
    service, statement = name.split("/")
    for node in nodes(plan_of(fresh, f"src/{service}/sql/{statement}.sql")):
        assert node["Node Type"] != "Seq Scan", node
        if "Index Name" in node and node["Index Name"] != "shows_pkey":
            known = set(re.findall(r"(\w+) (?:=|>|<)", node.get("Index Cond", "")))
            assert known - {"show_id"}, f"{node['Index Name']} knows only {known}: {node}"


@pytest.mark.parametrize("name,wanted", [
    ("payment_hint", {"payments_pkey"}), ("payment_void_again", {"payments_pkey", "refunds_by_booking"}),
    ("payment_of_intent", {"payments_by_intent", "refunds_by_booking"}), ("orphan_look", {"shows_pkey", "payments_pkey", "refunds_by_booking",
                                                                    "payment_findings_gateway_id_subject_id_kind_key"}),
    ("refund_hint", {"refunds_pkey"}), ("refund_all", {"payments_pkey", "refunds_by_booking"}),
    ("payments_long", {"payments_to_settle", "payment_findings_gateway_id_subject_id_kind_key"}),
    ("refunds_long", {"refunds_to_settle", "payment_findings_gateway_id_subject_id_kind_key"}),
    ("findings_through", {"payment_findings_open", "payments_pkey", "refunds_pkey"}),
    ("findings_resolve", {"payment_findings_gateway_id_subject_id_kind_key"}),
    ("watch_payments", {"payments_to_settle"}), ("watch_refunds", {"refunds_to_settle"}), ("watch_findings", {"payment_findings_open"}),
])
def test_settling_goes_by_its_indexes(fresh, name, wanted):
    """What looks for work and what compares with the gateway: by these indexes and no others."""
    plan = plan_of(fresh, f"src/payment/sql/{name}.sql")
    assert {node["Index Name"] for node in nodes(plan) if "Index Name" in node} == wanted, plan
    assert not any(node["Node Type"] == "Seq Scan" for node in nodes(plan)), plan
