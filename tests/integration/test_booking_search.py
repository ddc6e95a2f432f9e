"""Staff find bookings: by reference, person, show and state, in pages that nothing moves; each organiser its own."""

import uuid

import psycopg
import pytest

from paying import admin, db, gateway, office, sound  # noqa: F401 (fixtures)
from paying import locked
from plans import SETTINGS, fresh_database, nodes, plan_of
from servers import start_postgres
from service import ROOT
from stand import NOBODY


def book(office, show, seat, name="Ada Lovelace", email="ada@example.org"):
    buyer, lock = locked(office, show, 1, seat)
    return buyer.post(f"/v1/shows/{show.show_id}/bookings", {
        "lock_id": lock, "buyer": {"name": name, "email": email}}).expect(201)


def free_show(admin, seats=10, **fields):
    return admin.make_show(seats=seats, prices={"Free": 0}, **fields)


def found(staff, **query):
    text = "&".join(f"{key}={value}" for key, value in query.items())
    return staff.get(f"/v1/bookings?{text}").expect(200)


def ids(page):
    return [item["booking_id"] for item in page["items"]]


@pytest.fixture
def stranger(office):
    """Staff of another organiser, with every scope."""
    name = f"Elsewhere {uuid.uuid4()}"
    office.run_admin("organizer", "create", name)
    return office.api(office.run_admin("token", "create", "--organizer", name, "--name", "t", "--scopes", "all").split()[-1])


def test_by_reference_and_person(office, admin, stranger):
    show = free_show(admin)
    mark = uuid.uuid4().hex[:12]
    ada = book(office, show, 0, f"Ada{mark} von Lovelace{mark}", f"Ada.{mark}@example.org")
    bob = book(office, show, 1, f"Bob{mark} Lovelace", f"bob.{mark}@example.org")
    item = found(admin, q=ada["reference"])["items"][0]
    assert {key: item[key] for key in ("booking_id", "show_id", "reference", "status", "seat_count", "total", "buyer")} == {
        "booking_id": ada["booking_id"], "show_id": show.show_id, "reference": ada["reference"], "status": "confirmed", "seat_count": 1,
        "total": {"amount": 0, "currency": "EUR"}, "buyer": {"name": f"Ada{mark} von Lovelace{mark}", "email": f"Ada.{mark}@example.org"}}
    for q in (ada["reference"].lower(), ada["reference"].replace("-", " ").replace(" ", "%20"), f"ada{mark}", f"ADA{mark}%20von",
              f"lovelace{mark}", f"ada.{mark}", f"ADA.{mark}%40exam", f"ada.{mark}%40example.org"):
        assert ids(found(admin, q=q)) == [ada["booking_id"]], q
        assert ids(found(stranger, q=q)) == [], q
    assert ids(found(admin, q=f"bob{mark}", show=show.show_id, status="confirmed")) == [bob["booking_id"]]
    for other in ({"status": "cancelled"}, {"show": free_show(admin, 1).show_id}):
        for q in (f"bob{mark}", f"bob.{mark}%40", bob["reference"]):
            assert ids(found(admin, q=q, **other)) == []
    # what looks like a pattern is text
    for q in (f"ada{mark[:-1]}%25", f"ada{mark[:-1]}_", f"%25{mark}", f"da{mark}"):
        assert ids(found(admin, q=q)) == [], q


def test_by_show_and_state_in_pages_that_nothing_moves(office, admin, stranger):
    show = free_show(admin, 12)
    made = [book(office, show, seat)["booking_id"] for seat in range(7)]
    admin.post(f"/v1/shows/{show.show_id}/bookings/{made[3]}/cancel", {}).expect(200)
    assert ids(found(admin, show=show.show_id)) == made[::-1]
    assert ids(found(admin, show=show.show_id, status="cancelled")) == [made[3]]
    assert ids(found(admin, show=show.show_id, status="confirmed")) == [b for b in made[::-1] if b != made[3]]
    seen, cursor, seat = [], None, 7
    while True:
        page = found(admin, show=show.show_id, limit=2, **({"cursor": cursor} if cursor else {}))
        seen += ids(page)
        assert len(page["items"]) <= 2
        cursor = page["next"]
        if cursor is None:
            break
        # between two pages: one more is booked, and one that was seen or is still to come changes
        book(office, show, seat)
        admin.post(f"/v1/shows/{show.show_id}/bookings/{made[seat - 7]}/cancel", {})
        seat += 1
    assert seen == made[::-1]
    assert ids(found(stranger, show=show.show_id)) == [] == found(stranger)["items"]
    first = found(admin, limit=3)
    again = found(admin, limit=3, cursor=first["next"])
    assert len(first["items"]) == len(again["items"]) == 3 and not set(ids(first)) & set(ids(again))


def test_who_was_erased_is_not_found(office, admin):
    show = free_show(admin)
    mark = uuid.uuid4().hex[:12]
    booking = book(office, show, 0, f"Eve{mark} Gone{mark}", f"eve.{mark}@example.org")
    office.run_admin("erase", "--email", f"eve.{mark}@example.org", "--yes-future")
    for q in (f"eve{mark}", f"gone{mark}", f"eve.{mark}", f"eve.{mark}%40example.org"):
        assert ids(found(admin, q=q)) == [], q
    assert found(admin, q=booking["reference"])["items"][0]["buyer"] == {"name": "", "email": ""}


def test_who_was_given_tickets_is_found(office, admin, stranger):
    show, other = free_show(admin), free_show(admin)
    mark = uuid.uuid4().hex[:12]
    buyer, lock = locked(office, show, 2)
    booking = buyer.post(f"/v1/shows/{show.show_id}/bookings", {
        "lock_id": lock, "buyer": {"name": f"Ada{mark}", "email": f"ada.{mark}@example.org"}}).expect(201)
    path = f"/v1/shows/{show.show_id}/bookings/{booking['booking_id']}/transfer"
    for seat in show.seats[:2]:  # twice to the same person: found once
        buyer.post(path, {"seats": [seat], "to": {"name": f"Bob{mark} Holder{mark}", "email": f"bob.{mark}@example.org"}}).expect(200)
    own = book(office, show, 5, f"Bob{mark} Holder{mark}", f"bob.{mark}@example.org")
    for q in (f"bob{mark}", f"holder{mark}", f"bob.{mark}%40example.org"):
        items = found(admin, q=q)["items"]
        assert [item["booking_id"] for item in items] == [own["booking_id"], booking["booking_id"]], q
        assert items[1]["buyer"]["name"] == f"Ada{mark}"
        first = found(admin, q=q, limit=1)
        assert ids(first) + ids(found(admin, q=q, limit=1, cursor=first["next"])) == [own["booking_id"], booking["booking_id"]]
        assert ids(found(admin, q=q, status="cancelled")) == ids(found(admin, q=q, show=other.show_id)) == ids(found(stranger, q=q)) == []


def test_what_is_refused(office, admin):
    office.session().get("/v1/bookings").expect(401)
    office.api(office.run_admin("token", "create", "--organizer", "default", "--name", "e", "--scopes", "events").split()[-1]
               ).get("/v1/bookings").expect(403)
    for query in ("q=a", "q=" + 201 * "a", "q=%ff", "show=7", "status=paid", "limit=0", "limit=101", "limit=x", "cursor=x"):
        assert admin.get(f"/v1/bookings?{query}").code == "invalid_request", query


# ---- plans ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fresh(base_dir):
    """A database that was just made, as the program sees it: plans are settled on empty tables."""
    server = start_postgres(base_dir / "booking-search")
    server.psql("CREATE ROLE boxoffice_app LOGIN; CREATE TABLE schema_migrations "
                "(version int PRIMARY KEY, name text, checksum text, applied_at timestamptz);")
    for migration in sorted((ROOT / "db/migrations").glob("*.sql")):
        server.psql(migration.read_text())
    with psycopg.connect(server.url_as("boxoffice_app"), autocommit=True, prepare_threshold=None) as connection:
        connection.execute(SETTINGS)
        yield connection
    server.close()


BOOKING_PLANS = {
    "booking/sql/bookings_list": {"bookings_of_organizer", "buyers_pkey"},
    "booking/sql/bookings_list_show": {"bookings_of_show", "buyers_pkey"},
    "booking/sql/bookings_list_reference": {"bookings_by_reference", "buyers_pkey"},
    "booking/sql/bookings_list_mail": {"buyers_by_organizer_mail", "bookings_by_buyer", "ticket_transfers_by_holder", "bookings_pkey", "buyers_pkey"},
    "booking/sql/bookings_list_name": {"buyers_by_organizer_mail", "buyers_by_organizer_name", "buyers_by_organizer_last_name",
                                         "bookings_by_buyer", "ticket_transfers_by_holder", "bookings_pkey", "buyers_pkey"},
    "booking/sql/bookings_of_session": {"bookings_by_session"},
    "booking/sql/lookup_mail": {"bookings_by_reference", "buyers_pkey"},
    "booking/sql/booking_resend": {"notifications_by_booking", "bookings_pkey", "tickets_by_booking", "ticket_transfers_pkey", "buyers_pkey"},
    "booking/sql/transfer_get": {"ticket_transfers_pkey", "buyers_pkey", "tickets_by_booking"},
    "jobs/sql/bookings_to_end": {"bookings_pkey", "show_job_errors_pkey"},
    "jobs/sql/jobs_due": {"show_jobs_due"},
    "jobs/sql/job_notify": {"bookings_pkey", "show_jobs_pkey", "tickets_by_booking", "ticket_transfers_pkey"},
    "jobs/sql/job_step": {"bookings_pkey", "show_jobs_pkey", "tickets_by_booking", "ticket_transfers_pkey"},
    "seat/sql/blocks_of_show": {"show_seats_pkey", "seat_blocks_pkey", "shows_pkey"},
    "seat/sql/locks_call_off": {"seat_locks_pkey", "show_seats_pkey"},
    "payment/sql/payments_hurry": {"payments_pkey"},
    "work/sql/request_counts_purge": {"request_counts_by_age", "request_counts_pkey"},
}


@pytest.mark.parametrize("name", BOOKING_PLANS)
def test_statements_go_by_their_indexes(fresh, name):
    plan = plan_of(fresh, f"src/{name}.sql")
    assert {node["Index Name"] for node in nodes(plan) if "Index Name" in node} == BOOKING_PLANS[name], plan
    assert not any(node["Node Type"] == "Seq Scan" for node in nodes(plan)), plan


@pytest.mark.parametrize("name", ["bookings_list_mail", "bookings_list_name"])
def test_the_buyers_of_others_cost_nothing(plant, name):
    """A hundred thousand people of another organiser begin with the same letters: not one of their rows is looked at."""
    mine, other = uuid.uuid4(), uuid.uuid4()
    with fresh_database(plant, f"search_{uuid.uuid4().hex}") as db:
        db.execute("INSERT INTO organizers (organizer_id, name) VALUES (%s, 'mine'), (%s, 'other')", [mine, other])
        for organizer, n in ((other, 100_000), (mine, 20)):
            db.execute("INSERT INTO buyers (buyer_id, organizer_id, name, email, email_hash)"
                       " SELECT gen_random_uuid(), %s, 'Anna' || n || ' Anders' || n, 'an' || n || '@example.org', '' FROM generate_series(1, %s) n",
                       [organizer, n])
        db.execute(f"PREPARE s AS {(ROOT / f'src/booking/sql/{name}.sql').read_text()}")
        plan = db.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE s('{mine}', '', 'infinity', '{NOBODY}', 51, '{NOBODY}', 'an', 'an\U0010FFFF')"
                          ).fetchone()[0][0]["Plan"]
    looked_at = [node["Actual Rows"] * node["Actual Loops"] + node.get("Rows Removed by Filter", 0) for node in nodes(plan)
                 if node.get("Index Name", "").startswith("buyers_by_")]
    assert looked_at and set(looked_at) == {20}, plan


@pytest.mark.parametrize("path", sorted((ROOT / "src/jobs/sql").glob("*.sql")), ids=lambda path: path.stem)
def test_statements_of_jobs_fit_the_schema(fresh, path):
    assert plan_of(fresh, path)
