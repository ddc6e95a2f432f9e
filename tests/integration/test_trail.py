"""The audit trail of payments: who, why, the gateway's request; and that the program itself cannot change it."""

import psycopg
import pytest

from paying import CANCELLATION, DECLINED, SECURE, Gateway, attempts, bank, office_of
from paying import db  # noqa: F401 (fixtures)
from service import wait_until


office = office_of("--workers", "1")


@pytest.mark.parametrize("statement", [
    "UPDATE payment_events SET why = 'x'", "DELETE FROM payment_events", "TRUNCATE payment_events", "DROP TABLE payment_events",
    "ALTER TABLE payment_events DISABLE TRIGGER ALL", "ALTER TABLE payment_events ADD COLUMN x int",
    "CREATE RULE x AS ON INSERT TO payment_events DO INSTEAD NOTHING", "ALTER TABLE payment_events OWNER TO boxoffice_app",
    "GRANT UPDATE ON payment_events TO boxoffice_app", "DELETE FROM payments", "DELETE FROM refunds", "DELETE FROM payment_calls",
    "TRUNCATE payments, refunds, payment_calls CASCADE"])
def test_the_program_may_only_add(office, db, statement):
    """As the role that serve and work have; no owner's role is behind it that it could take."""
    show = office.admin().make_show()
    buyer = office.session()
    buyer.book(show.show_id, buyer.lock(show.show_id, 1).expect(201)["lock_id"]).expect(201)
    assert {row[0] for row in db.execute("SELECT DISTINCT usename::text FROM pg_stat_activity WHERE application_name IN"
                                         " ('boxoffice serve', 'boxoffice work')")} == {"boxoffice_app"}
    db.execute("SET SESSION AUTHORIZATION boxoffice_app")
    assert db.execute("SELECT count(*) FROM payment_events").fetchone()[0] > 0
    with pytest.raises((psycopg.errors.InsufficientPrivilege,)):
        if statement.startswith("GRANT"):
            db.execute(statement)  # only a warning to one who has nothing to grant
            db.execute("UPDATE payment_events SET why = 'x'")
        db.execute(statement)
    assert db.execute("SELECT rolsuper OR rolcreaterole OR rolbypassrls FROM pg_roles WHERE rolname = 'boxoffice_app'").fetchone() == (False,)
    assert db.execute("SELECT count(*) FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member WHERE r.rolname = 'boxoffice_app'"
                      ).fetchone() == (0,)


def test_who_why_and_the_gateways_request(office, db):
    """Every arrow that an answer of the gateway caused names the request; those that it did not cause name none."""
    admin, gateway = office.admin(), Gateway.of(office)
    show = admin.make_show(cancellation=CANCELLATION)
    buyer = office.session()

    def book(n=1, method="pm_card_visa", **payment):
        lock = buyer.lock(show.show_id, n).expect(201)["lock_id"]
        return buyer.post(f"/v1/shows/{show.show_id}/bookings", {"lock_id": lock, "buyer": {"name": "Ada", "email": "ada@example.org"},
                                                                 "payment": {"method": method, **payment}})

    whole = book(2).expect(201)["booking_id"]
    buyer.cancel(show.show_id, whole).expect(200)
    book(1, DECLINED).expect(402)
    lost = book(1, "pm_card_captureFails").expect(402)["booking_id"]
    wait_until(lambda: [i["status"] for i in gateway.intents(lost)] == ["canceled"], "the hold given back")
    secured = book(1, SECURE).expect(201)
    bank(secured["payment"]["next_action"]["redirect_to_url"]["url"], "authorise")
    wait_until(lambda: attempts(db, secured["booking_id"]) == ["captured"], "the payment settled by itself", 20)
    gateway.fault("refund", "500_after")
    listed = book().expect(201)["booking_id"]
    buyer.cancel(show.show_id, listed).expect(200)
    wait_until(lambda: db.execute("SELECT state FROM refunds WHERE booking_id = %s", [listed]).fetchall() == [("succeeded",)], "the refund found", 20)
    wait_until(lambda: db.execute("SELECT count(*) FROM payments WHERE void_wanted").fetchone() == (0,), "nothing left to do")

    rows = db.execute("""SELECT e.from_state, e.to_state, e.refund_id IS NOT NULL, e.actor, e.why, e.gateway_request_id
                           FROM payment_events e WHERE e.show_id = %s""", [show.show_id]).fetchall()
    assert {(row[0], row[1]) for row in rows} >= {
        ("", "created"), ("created", "authorised"), ("created", "failed"), ("created", "requires_action"), ("authorised", "captured"),
        ("requires_action", "authorised"), ("authorised", "capture_failed"), ("", "requested"), ("requested", "succeeded"),
        ("capture_failed", "capture_failed")}
    for before, after, is_refund, actor, why, request in rows:
        assert why and actor in ("buyer", "staff", "reconciler", "webhook"), (before, after, actor, why)
        of_the_gateway = before != ""
        assert bool(request) == of_the_gateway, (before, after, is_refund, why, request)
    assert {row[3] for row in rows if row[0] == "requires_action"} <= {"reconciler", "webhook"}

    trail = admin.get(f"/v1/shows/{show.show_id}/bookings/{whole}/payments").expect(200)
    assert [(call["step"], call["call"], call["http_status"]) for call in trail["calls"]] == [
        ("create", 1, 200), ("confirm", 1, 200), ("capture", 1, 200), ("refund", 1, 200)]
    assert all(call["gateway_request_id"].startswith("req_") and call["sent_at"] <= call["answered_at"] for call in trail["calls"])
    assert trail["calls_truncated"] is False and trail["calls"][3]["refund_id"] == trail["refunds"][0]["refund_id"]
    said = {call["gateway_request_id"] for call in trail["calls"]}
    assert {item["gateway_request_id"] for item in trail["items"]} - {""} <= said
    trail = admin.get(f"/v1/shows/{show.show_id}/bookings/{listed}/payments").expect(200)
    assert [(call["step"], call["http_status"]) for call in trail["calls"]][-1] == ("refund", 500)


def test_a_long_trail_comes_in_pages(office, db):
    admin = office.admin()
    show = admin.make_show()
    buyer = office.session()
    booking = buyer.book(show.show_id, buyer.lock(show.show_id, 1).expect(201)["lock_id"]).expect(201)["booking_id"]
    payment, at = db.execute("SELECT payment_id, created_at FROM payments WHERE booking_id = %s", [booking]).fetchone()
    db.execute("""INSERT INTO payment_events (show_id, event_id, payment_id, booking_id, at, from_state, to_state, amount_minor, currency,
                                              actor, why)
                  SELECT %s, gen_random_uuid(), %s, %s, %s::timestamptz + i / 3 * interval '1 ms', 'captured', 'captured', 1, 'EUR', 'staff',
                         'number ' || i FROM generate_series(1, 1203) i""", [show.show_id, payment, booking, at])
    db.execute("""INSERT INTO payment_calls (show_id, payment_id, step, call_no, subject_id, idempotency_key, method, path, body, sent_at)
                  SELECT %s, %s, 'refund', i, %s, 'k' || i, 'POST', '/', '', %s::timestamptz + i * interval '1 s'
                    FROM generate_series(1, 600) i""", [show.show_id, payment, booking, at])
    seen, cursor, pages = [], "", 0
    while cursor is not None:
        page = admin.get(f"/v1/shows/{show.show_id}/bookings/{booking}/payments{cursor and f'?cursor={cursor}'}").expect(200)
        assert len(page["attempts"]) == 1 and len(page["calls"]) == 500 and page["calls_truncated"] is True
        assert page["calls"][-1]["call"] == 600 and "answered_at" not in page["calls"][-1]
        seen += [item["why"] for item in page["items"]]
        cursor, pages = page["next"], pages + 1
    assert pages == 3 and len(seen) == len(set(seen)) == 1206
    assert '"cursor"' in admin.get(f"/v1/shows/{show.show_id}/bookings/{booking}/payments?cursor=x").expect(400)["detail"]
    office.admin().get(f"/v1/shows/{show.show_id}/bookings/{payment}/payments").expect(404)
