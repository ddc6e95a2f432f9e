"""A show is put off: buyers keep what they booked and are told, and may give it back in full for a while."""

import concurrent.futures
import datetime

import pytest

from api import from_now
from paying import CANCELLATION, NO_CANCELLATION, locked, path_of
from paying import admin, db, gateway, office, sound  # noqa: F401 (fixtures)
from service import wait_until
from telling import came


def put_off(admin, show, starts=14 * 86400, **fields):
    return admin.post(f"/v1/shows/{show.show_id}/reschedule", {"starts_at": from_now(starts), **fields}).expect(201)


def jobs(admin, show):
    return admin.get(f"/v1/shows/{show.show_id}/jobs").expect(200)["items"]


def told(admin, show):
    return wait_until(lambda: [job for job in jobs(admin, show) if job["status"] == "done"], "the job's end", 20, 0.1)[0]


def booked(office, show, n=1, start=0):
    buyer, lock = locked(office, show, n, start)
    return buyer, buyer.book(show.show_id, lock).expect(201)


def seen(office, show):
    return office.session().get(f"/v1/shows/{show.show_id}").expect(200)


def test_buyers_keep_their_seats_and_are_told(office, admin, db):
    show = admin.make_show(seats=10)
    buyer, booking = booked(office, show, 2)
    ticket = booking["tickets"][0]
    calendar = f"/v1/shows/{show.show_id}/tickets/{ticket['ticket_id']}.ics"
    before = buyer.get(calendar).body.decode()
    came(db, show)
    starts, sale_ends = "2031-05-06T18:30:00Z", "2031-05-06T18:00:00Z"
    job = admin.post(f"/v1/shows/{show.show_id}/reschedule", {"starts_at": starts, "sale_ends_at": sale_ends}).expect(201)
    assert (job["kind"], job["total"]) == ("reschedule", 1)
    done = told(admin, show)
    assert (done["job_id"], done["total"], done["done"], done["failed"]) == (job["job_id"], 1, 1, 0)
    now = wait_until(lambda: (lambda s: s if s["starts_at"].startswith("2031") else None)(seen(office, show)), "the new time")
    assert now["sale_ends_at"].startswith("2031-05-06T18:00:00") and now["on_sale"] and now["status"] == "published"
    assert "refund_until" not in now
    assert db.execute("SELECT local_starts_at::text FROM shows WHERE show_id = %s", [show.show_id]).fetchone() == ("2031-05-06 20:30:00",)
    same = buyer.get(path_of(show, booking["booking_id"])).expect(200)
    assert same["status"] == "confirmed" and same["tickets"] == booking["tickets"]
    after = wait_until(lambda: (lambda text: text if "2031" in text else None)(buyer.get(calendar).body.decode()), "the calendar")
    assert "DTSTART;TZID=Europe/Vienna:20310506T203000\r\n" in after and "SEQUENCE:1\r\n" in after and "SEQUENCE:0\r\n" in before
    assert f"UID:{ticket['ticket_id']}@boxoffice\r\n" in before and f"UID:{ticket['ticket_id']}@boxoffice\r\n" in after
    assert all(len(line.encode()) <= 75 for line in after.split("\r\n"))
    assert buyer.get(calendar.replace(".ics", ".pdf")).status == 200
    office.session().get(calendar).expect(404)
    came(db, show)
    rows = db.execute("SELECT kind, booking_id::text, cause_id::text FROM notifications WHERE show_id = %s ORDER BY kind", [show.show_id]).fetchall()
    assert rows == [("booking_confirmed", booking["booking_id"], booking["booking_id"]),
                    ("show_rescheduled", booking["booking_id"], job["job_id"])]


@pytest.mark.parametrize("before, now, said, after", [
    # (end of the sale and new start, in hours from the old start), what is said, where it ends then
    (0, 100, None, 100), (-3, 100, None, 97), (2, 100, None, 102), (-3, -50, None, -53), (-24, 100, None, 76),
    (-48, 100, None, -48), (48, 100, None, 48), (-48, -60, None, -60), (0, 100, 90, 90), (-48, 100, 100, 100)])
def test_when_the_sale_ends_then(office, admin, before, now, said, after):
    """What ended because the show began ends because it begins; another end stays, but not beyond a start that came earlier."""
    start = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0) + datetime.timedelta(days=30)
    at = lambda hours: (start + datetime.timedelta(hours=hours)).isoformat().replace("+00:00", "Z")
    show = admin.make_show(seats=2, starts_at=at(0), sale_ends_at=at(before))
    job = admin.post(f"/v1/shows/{show.show_id}/reschedule", {"starts_at": at(now), **({"sale_ends_at": at(said)} if said else {})}).expect(201)
    assert (job["starts_at"], job["sale_ends_at"]) == (at(now), at(after))
    assert job["sale_starts_at"] == seen(office, show)["sale_starts_at"]
    wait_until(lambda: seen(office, show)["sale_ends_at"] == at(after), "the end of the sale")
    assert jobs(admin, show)[0]["sale_ends_at"] == at(after)
    admin.post(f"/v1/shows/{show.show_id}/cancel", {}).expect(201)
    assert [("starts_at" in job) for job in jobs(admin, show)] == [False, True]


def test_the_same_request_is_the_same_job(office, admin):
    show = admin.make_show(seats=4)
    body = {"starts_at": from_now(20 * 86400)}
    path = f"/v1/shows/{show.show_id}/reschedule"
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: office.admin().post(path, body).expect(201)["job_id"], range(4)))
    assert len(set(answers)) == 1
    other_time = from_now(21 * 86400)
    other = admin.post(path, {"starts_at": other_time}, key="twice").expect(201)
    assert other["job_id"] != answers[0]
    admin.post(path, {"starts_at": from_now(22 * 86400)}, key="twice").expect(422, "idempotency_mismatch")
    assert len(jobs(admin, show)) == 2
    # also when the show was put off once more since
    again = {"starts_at": from_now(23 * 86400)}
    newest = admin.post(path, again, key="thrice").expect(201)
    assert admin.post(path, {"starts_at": other_time}, key="twice").expect(201)["job_id"] == other["job_id"]
    admin.post(path, {"starts_at": from_now(24 * 86400)}, key="twice").expect(422, "idempotency_mismatch")
    assert [job["job_id"] for job in jobs(admin, show)] == [newest["job_id"], other["job_id"], answers[0]]
    assert seen(office, show)["starts_at"] == again["starts_at"]


@pytest.mark.parametrize("cancellation", [CANCELLATION, NO_CANCELLATION, None])
def test_a_right_to_go_with_everything(office, admin, gateway, cancellation):
    show = admin.make_show(seats=10, **({"cancellation": cancellation} if cancellation else {}))
    early, first = booked(office, show, 2)
    put_off(admin, show, refund_until=from_now(3600))
    late, second = booked(office, show, 1, 2)
    assert "refund_until" in wait_until(lambda: (lambda s: s if "refund_until" in s else None)(seen(office, show)), "the right")
    gone = early.post(path_of(show, first["booking_id"]) + "/cancel", {"seats": [show.seats[0]]}).expect(200)
    assert gone["refund"]["amount"]["amount"] == 4500 and gone["status"] == "confirmed"
    assert early.post(path_of(show, first["booking_id"]) + "/cancel").expect(200)["refund"]["amount"]["amount"] == 9000
    # who booked the new time has the usual rights, no more
    answer = late.post(path_of(show, second["booking_id"]) + "/cancel")
    if cancellation is CANCELLATION:
        assert answer.expect(200)["refund"]["amount"]["amount"] == 4200
    else:
        answer.expect(409, "cancellation_closed")


def test_the_right_ends(office, admin, db):
    show = admin.make_show(seats=4, cancellation=NO_CANCELLATION)
    buyer, booking = booked(office, show)
    put_off(admin, show, refund_until=from_now(3600))
    db.execute("UPDATE shows SET refund_until = now() WHERE show_id = %s", [show.show_id])
    buyer.post(path_of(show, booking["booking_id"]) + "/cancel").expect(409, "cancellation_closed")


def test_what_is_refused(office, admin):
    show = admin.make_show(seats=4)
    path = f"/v1/shows/{show.show_id}/reschedule"
    for body, where in [({"starts_at": "2020-01-01T00:00:00Z"}, "/starts_at"),
                        ({"starts_at": from_now(9), "refund_until": from_now(-9)}, "/refund_until"),
                        ({"starts_at": from_now(9), "sale_starts_at": from_now(9), "sale_ends_at": from_now(8)}, "/sale_ends_at"),
                        ({"starts_at": from_now(9), "sale_ends_at": "2020-01-01T00:00:00Z"}, "/sale_ends_at")]:
        assert admin.post(path, body).expect(422, "invalid_value")["path"] == where
    admin.post(path, {}).expect(400, "invalid_request")
    admin.post(f"/v1/shows/{show.event_id}/reschedule", {"starts_at": from_now(9)}).expect(404)
    assert jobs(admin, show) == []
    admin.post(f"/v1/shows/{show.show_id}/cancel", {}).expect(201)
    admin.post(path, {"starts_at": from_now(9)}).expect(409, "show_cancelled")
