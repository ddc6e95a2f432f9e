"""The daily statement against the simulator's ledger: line by line and in sum, to the cent."""

import csv
import datetime
import io
import json
import os
import signal
import urllib.request
import uuid

import pytest

from paying import DECLINED, Gateway, attempts, bank, office_of, secure
from paying import db  # noqa: F401 (fixtures)
from plans import assert_entered_by_a_condition, plan_text
from service import wait_until


office = office_of("--workers", "1")


def today():
    return datetime.datetime.now(datetime.timezone.utc).date()


def sums_of(statement):
    return {row["currency"]: {key: row[key] for key in ("captured", "refunded", "net", "fees_kept")} for row in statement["sums"]}


def test_an_empty_day_and_days_that_are_none(office):
    admin = office.admin()
    admin.make_show()
    empty = admin.get("/v1/statements?day=2020-02-29").expect(200)
    assert empty == {"day": "2020-02-29", "timezone": "UTC", "over": True, "items": [], "next": None, "sums": [
        {"currency": "EUR", "captured": 0, "refunded": 0, "reversed": 0, "net": 0, "fees_kept": 0, "payments": 0, "refunds": 0,
         "reversals": 0}]}
    assert admin.get("/v1/statements?day=2020-02-29&format=csv").body.count(b"\r\n") == 1
    for query in ("", "?day=", "?day=2020-02-30", "?day=2020-2-3", "?day=20200229", "?day=2020-02-29T00:00:00Z", "?day=x",
                  "?day=1969-12-31"):
        no = admin.get("/v1/statements" + query).expect(400, "invalid_request")
        assert '"day"' in no["detail"] and no["path"] == "/day", query
    for name, value in (("format", "xml"), ("cursor", "1")):
        no = admin.get(f"/v1/statements?day=2020-02-29&{name}={value}").expect(400, "invalid_request")
        assert f'"{name}"' in no["detail"] and no["path"] == f"/{name}"
    tomorrow = today() + datetime.timedelta(days=2)
    assert admin.get(f"/v1/statements?day={tomorrow}").expect(422, "invalid_value")["path"] == "/day"
    office.session().get("/v1/statements?day=2020-02-29").expect(401)
    assert admin.get(f"/v1/statements?day={today()}").expect(200)["over"] is False


def test_it_ties_to_the_ledger(office, db):
    """Bought, given back in part and whole, goodwill, declined, lost, taken too late, captured late: in two currencies."""
    admin, gateway = office.admin(), Gateway.of(office)
    before = len(gateway.call("GET", "/_sim/ledger")["payment_intents"])
    day = today()
    shows = {currency: admin.make_show(prices={"Standard": price}, currency=currency,
                                       cancellation={"until": "2099-01-01T00:00:00Z", "fee": {"amount": fee, "currency": currency}})
             for currency, price, fee in (("EUR", 4500, 301), ("JPY", 5200, 77))}

    def bought(currency, n=2, method="pm_card_visa"):
        show = shows[currency]
        buyer = office.session()
        free = [seat for seat in show.seats if seat not in buyer.taken(show.show_id)][:n]
        return buyer, show, free, buyer.book(show.show_id, buyer.lock(show.show_id, free).expect(201)["lock_id"], method)

    for currency in shows:
        bought(currency)
        bought(currency, 3)[3].expect(201)
        buyer, show, _, answer = bought(currency)
        buyer.cancel(show.show_id, answer.expect(201)["booking_id"]).expect(200)
        buyer, show, seats, answer = bought(currency, 3)
        buyer.cancel(show.show_id, answer.expect(201)["booking_id"], seats[:1]).expect(200)
        buyer, show, _, answer = bought(currency)
        booking = answer.expect(201)["booking_id"]
        admin.post(f"/v1/shows/{show.show_id}/bookings/{booking}/refunds",
                   {"amount": {"amount": 1000, "currency": currency}, "reason": "Heating failed"}).expect(201)
        buyer.cancel(show.show_id, booking).expect(200)
        bought(currency, 2, DECLINED)[3].expect(402)
        bought(currency, 2, "pm_card_captureFails")[3].expect(402)
    gateway.fault("capture", "drop_after")
    late = bought("EUR")[3].expect(201)
    wait_until(lambda: attempts(db, late["booking_id"]) == ["captured"], "the capture proven", 20)
    # abandoned here, taken there all the same before it could be cancelled: it goes back, though only when it is sent again by hand
    buyer, show = office.session(), shows["EUR"]
    lock = buyer.lock(show.show_id, [show.seats[-1]]).expect(201)["lock_id"]
    ended = secure(office, show, buyer, lock).expect(201)
    page, ended = ended["payment"]["next_action"]["redirect_to_url"]["url"], ended["booking_id"]
    gateway.call("POST", "/_sim/faults", {"match": "cancel", "mode": "500_before", "times": 100})
    db.execute("UPDATE payments SET action_until = now(), settle_at = now() WHERE booking_id = %s", [ended])
    wait_until(lambda: attempts(db, ended) == ["abandoned"], "the attempt abandoned")
    bank(page, "authorise")
    [intent] = gateway.intents(ended)
    capture_by_hand(gateway, intent["id"])
    [work] = office.pids(" work ")
    os.kill(work, signal.SIGSTOP)
    gateway.clear()
    gateway.fault("refund", "decline")
    os.kill(work, signal.SIGCONT)
    [refused] = wait_until(lambda: db.execute("SELECT refund_id FROM refunds WHERE booking_id = %s AND state = 'failed'",
                                              [ended]).fetchone(), "the refund of what was taken too late refused", 20)
    office.run_admin("payments", "retry-refund", str(refused))
    wait_until(lambda: db.execute("SELECT state FROM refunds WHERE booking_id = %s AND refund_id <> %s", [ended, refused]).fetchall() ==
               [("succeeded",)], "what was taken too late given back", 20)
    if today() != day:
        pytest.fail("midnight (UTC) passed while this ran: run it again")

    ledger = gateway.call("GET", "/_sim/ledger")
    ours = {i["id"] for i in ledger["payment_intents"] if i["metadata"].get("show") in {s.show_id for s in shows.values()}}
    assert len(ledger["payment_intents"]) - before == len(ours)
    theirs = {}
    for one in ledger["payment_intents"]:
        if one["id"] in ours and one["amount_captured"]:
            theirs[one["id"]] = ("payment", one["amount_captured"], one["currency"].upper(), one["metadata"]["booking"])
    booking_of = {i["id"]: i["metadata"]["booking"] for i in ledger["payment_intents"] if i["id"] in ours}
    for one in ledger["refunds"]:
        if one["payment_intent"] in ours and one["status"] == "succeeded":
            theirs[one["id"]] = ("refund", one["amount"], one["currency"].upper(), booking_of[one["payment_intent"]])
    assert sum(kind == "refund" for kind, *_ in theirs.values()) == 9

    statement = admin.get(f"/v1/statements?day={day}").expect(200)
    lines = [line for line in statement["items"] if line["show_id"] in {s.show_id for s in shows.values()}]
    assert {line["gateway_id"]: (line["kind"], line["amount"]["amount"], line["amount"]["currency"], line["booking_id"])
            for line in lines} == theirs
    assert len(lines) == len(theirs) == len(statement["items"])
    times = [datetime.datetime.fromisoformat(line["at"]) for line in lines]  # (a whole second has no fraction: as text it sorts elsewhere)
    assert times == sorted(times)
    assert [line["booking_id"] for line in lines if line.get("late")] == [ended]
    assert {line["reference"] for line in lines if line["booking_id"] == late["booking_id"]} == {late["reference"]}

    for currency, sums in sums_of(statement).items():
        captured = sum(amount for kind, amount, of, _ in theirs.values() if (kind, of) == ("payment", currency))
        refunded = sum(amount for kind, amount, of, _ in theirs.values() if (kind, of) == ("refund", currency))
        [[fees]] = db.execute("SELECT sum(fee_kept_minor) FROM bookings WHERE currency = %s", [currency]).fetchall()
        assert sums == {"captured": captured, "refunded": refunded, "net": captured - refunded, "fees_kept": fees}, currency
        assert fees > 0
    assert set(sums_of(statement)) == {"EUR", "JPY"}

    text = admin.get(f"/v1/statements?day={day}", headers={"Accept": "text/csv"})
    assert text.status == 200 and text.headers["Content-Type"].startswith("text/csv; charset=utf-8")
    assert f'statement-{day}.csv' in text.headers["Content-Disposition"] and "Link" not in text.headers
    assert text.body.endswith(b"\r\n") and text.body.count(b"\n") == text.body.count(b"\r\n") == 1 + len(lines)
    rows = list(csv.DictReader(io.StringIO(text.body.decode(), newline="")))
    assert [(row["at"], row["kind"], row["booking_id"], row["reference"], row["show_id"], row["payment_id"], row["refund_id"],
             row["refund_kind"], row["gateway_id"], int(row["amount_minor"]), row["currency"]) for row in rows] == [
        (line["at"], line["kind"], line["booking_id"], line["reference"], line["show_id"], line["payment_id"],
         line.get("refund_id", ""), line.get("refund_kind", "late" if "late" in line else ""), line["gateway_id"],
         line["amount"]["amount"], line["amount"]["currency"]) for line in lines]
    assert b"Ada" not in text.body and b"@" not in text.body
    office.check()


def capture_by_hand(gateway, intent):
    request = urllib.request.Request(f"{gateway.url}/v1/payment_intents/{intent}/capture", b"", {"Authorization": f"Bearer {gateway.key}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert json.loads(answer.read())["amount_received"] == 4500


@pytest.fixture
def filled(office, db):
    """Another organiser with 1,203 payments on a day long ago, of which two at a time have the same moment."""
    organizer, token = uuid.uuid4(), "bt_none"
    admin = office.admin()
    show = admin.make_show().show_id
    db.execute("INSERT INTO organizers (organizer_id, name) VALUES (%s, %s)", [organizer, f"Organiser {organizer}"])
    token = office.run_admin("token", "create", "--organizer", f"Organiser {organizer}", "--name", "books", "--scopes", "payments")
    ids = {"show": show, "organizer": organizer}
    n = 1203
    db.execute("""CREATE TEMP TABLE made AS SELECT i, gen_random_uuid() AS b, gen_random_uuid() AS p FROM generate_series(1, %(n)s) i""",
               {"n": n})
    db.execute("""INSERT INTO bookings (show_id, booking_id, organizer_id, event_id, lock_id, session_id, buyer_id, reference, state, seats,
                                        prices, categories, total_minor, currency, reason, ended_at)
                  SELECT %(show)s, b, %(organizer)s, b, b, b, b, CASE i WHEN 1 THEN '=HYPERLINK("x,y")' ELSE 'R' || i END, 'failed',
                         '{1}', '{1}', '{0}', i, 'EUR', 'x', now() FROM made""", ids)
    db.execute("""INSERT INTO payments (show_id, payment_id, booking_id, lock_id, attempt_no, request_id, request_hash, state, amount_minor,
                                        currency, method, intent_id, action_until, hold_until, settle_at, ask_after)
                  SELECT %(show)s, p, b, b, 1, b, '', 'failed', i, 'EUR', 'x', 'pi_' || i, now(), now(), 'infinity', now() FROM made""", ids)
    db.execute("""INSERT INTO payment_events (show_id, event_id, payment_id, booking_id, at, from_state, to_state, amount_minor, currency,
                                              actor, why)
                  SELECT %(show)s, gen_random_uuid(), p, b, timestamptz '2021-03-04 00:00Z' + (i / 2) * interval '1 minute', 'authorised',
                         'captured', i, 'EUR', 'buyer', 'captured' FROM made""", ids)
    # of the day before and the day after
    db.execute("""UPDATE payment_events SET at = CASE WHEN amount_minor = 2 THEN timestamptz '2021-03-03 23:59:59.999999Z'
                                                      ELSE timestamptz '2021-03-05 00:00Z' END
                   WHERE show_id = %(show)s AND amount_minor IN (2, 3)""", ids)
    yield token, n
    for table in ("payment_events", "payments", "bookings"):
        db.execute(f"DELETE FROM {table} WHERE show_id = %(show)s", ids)


def test_pages(office, filled):
    """Each line once, the sums on the first page; a name that a spreadsheet would calculate is a text."""
    token, n = filled
    books = office.api(token)
    seen, cursor, pages = [], "", 0
    while cursor is not None:
        page = books.get(f"/v1/statements?day=2021-03-04{cursor and f'&cursor={cursor}'}").expect(200)
        assert ("sums" in page) == (pages == 0)
        if "sums" in page:
            total = sum(range(1, n + 1)) - 5
            assert page["sums"] == [{"currency": "EUR", "captured": total, "refunded": 0, "reversed": 0, "net": total,
                                     "fees_kept": 0, "payments": n - 2, "refunds": 0, "reversals": 0}]
        seen += [line["amount"]["amount"] for line in page["items"]]
        cursor, pages = page["next"], pages + 1
    assert sorted(seen) == [1, *range(4, n + 1)] and pages == 3
    text = books.get("/v1/statements?day=2021-03-04&format=csv").body.decode()
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert sorted(int(row["amount_minor"]) for row in rows) == sorted(seen)
    assert ""","'=HYPERLINK(""x,y"")",""" in text
    # nobody else sees them
    assert office.admin().get("/v1/statements?day=2021-03-04").expect(200)["items"] == []


@pytest.mark.parametrize("name", ["statement_lines", "statement_sums", "payment_history", "payment_calls_of_booking"])
def test_plans(office, name):
    """Made before the first payment, they read by index what is asked for, and sort nothing that comes in pages."""
    plan = plan_text(office.database_url, f"src/payment/sql/{name}.sql")
    assert "Seq Scan" not in plan and "Materialize" not in plan, plan
    assert_entered_by_a_condition(plan)
    if name == "statement_lines":
        assert "Index Scan using payment_events_of_money" in plan and "Sort" not in plan, plan
    if name == "statement_sums":
        assert "payment_events_of_money" in plan and "booking_seats_released" in plan, plan
