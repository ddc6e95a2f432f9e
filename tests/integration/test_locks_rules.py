"""The rules of locks, blocks and maps over HTTP: every refusal told apart, with its fields."""

import asyncio
import gzip
import json
import uuid

import load
import pytest
from api import from_now, seating_plan
from service import wait_until
from stand import assert_agreement

NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def stand(shared_stand):
    return shared_stand


@pytest.fixture(scope="module")
def standing_show(shared_stand):
    """For refusals, which change nothing."""
    return shared_stand.admin().make_show(seats=50)


@pytest.fixture
def show(stand):
    return stand.admin().make_show(seats=50)


@pytest.fixture
def buyer(stand):
    return stand.session()


# ---- what is asked -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("body", "status", "code", "path"), [
    ({}, 400, "invalid_request", "/seats"),
    ({"seats": "A-1"}, 400, "invalid_request", "/seats"),
    ({"seats": [1]}, 400, "invalid_request", "/seats/0"),
    ({"seats": ["A-1", None]}, 400, "invalid_request", "/seats/1"),
    ({"seats": []}, 422, "invalid_value", "/seats"),
    ({"seats": ["A-1"], "best": {"quantity": 1}}, 400, "invalid_request", "/best"),
    ({"seats": ["A-1"], "price": 1}, 400, "invalid_request", "/price"),
    ({"seats": ["A-1"], "session_id": NOBODY}, 400, "invalid_request", "/session_id"),
    ({"seats": ["A-1"], "replaces": "x"}, 400, "invalid_request", "/replaces"),
    ({"best": {}}, 400, "invalid_request", "/best/quantity"),
    ({"best": {"quantity": "2"}}, 400, "invalid_request", "/best/quantity"),
    ({"best": {"quantity": 2, "row": "A"}}, 400, "invalid_request", "/best/row"),
    ({"best": {"quantity": 0}}, 422, "invalid_value", "/best/quantity"),
    ({"best": {"quantity": 2, "category": "Gold"}}, 422, "invalid_value", "/best/category"),
    ({"seats": ["A-1"], "notify": {}}, 400, "invalid_request", "/notify/email"),
    ({"seats": ["A-1"], "notify": {"email": "nobody"}}, 422, "invalid_value", "/notify/email"),
    ({"seats": ["A-1"], "notify": {"email": "a@example.org", "locale": "de_AT"}}, 422, "invalid_value", "/notify/locale"),
    ({"seats": ["A-1"], "notify": {"email": "a@example.org", "locale": "d" + 35 * "e"}}, 422, "invalid_value", "/notify/locale"),
    ({"seats": ["A-1", "Z-99"]}, 422, "unknown_seat", "/seats/1"),
    ({"seats": ["a-1"]}, 422, "unknown_seat", "/seats/0"),
    ({"seats": ["A-1\0"]}, 400, "invalid_request", None),
    ({"seats": ["A-1", "A-2", "A-1"]}, 422, "duplicate_seat", "/seats"),
])
def test_what_cannot_be_asked(buyer, standing_show, body, status, code, path):
    problem = buyer.post(f"/v1/shows/{standing_show.show_id}/locks", body).expect(status, code)
    if path is not None:
        assert problem["path"] == path
    if code == "unknown_seat":
        assert problem["seat"] == body["seats"][int(path.rsplit("/", 1)[1])]
    if code == "duplicate_seat":
        assert problem["seat"] == "A-1"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b'{"seats":["A-1"],"seats":["A-2"]}', b'{"seats":["\xff"]}',
                                  b'{"seats":' + b"[" * 1000 + b"]" * 1000 + b"}"])
def test_what_is_no_request(buyer, standing_show, body):
    buyer.post(f"/v1/shows/{standing_show.show_id}/locks", body).expect(400, "invalid_request")


def test_too_many(buyer, standing_show):
    for body in ({"seats": standing_show.seats[:11]}, {"best": {"quantity": 11}}, {"seats": standing_show.seats * 10}):
        problem = buyer.post(f"/v1/shows/{standing_show.show_id}/locks", body).expect(422, "too_many_seats")
        assert problem["limit"] == 10


def test_who_may_ask(stand, buyer, standing_show):
    path = f"/v1/shows/{standing_show.show_id}/locks"
    for token in (None, "bs_x", "bs_" + "A" * 55, buyer.token[:-1] + ("A" if buyer.token[-1] != "A" else "B")):
        stand.api(token).post(path, {"seats": ["A-1"]}).expect(401)
    stand.admin().post(path, {"seats": ["A-1"]}).expect(401)  # staff are no buyers
    for show_id in (NOBODY, str(uuid.uuid4())):
        buyer.lock(show_id, ["A-1"]).expect(404)
    buyer.post("/v1/shows/x/locks", {"seats": ["A-1"]}).expect(404)
    answer = buyer.request("PUT", path, {"seats": ["A-1"]})
    answer.expect(405)
    assert "POST" in answer.headers["Allow"]
    buyer.post(path, b"seats=A-1", headers={"Content-Type": "application/x-www-form-urlencoded"}).expect(415)
    buyer.post(path, b'{"seats":["' + b"A" * 20000 + b'"]}').expect(413)


@pytest.mark.parametrize(("starts", "ends"), [(3600, 7200), (-7200, -3600)], ids=["before", "after"])
def test_not_on_sale(stand, buyer, starts, ends):
    show = stand.admin().make_show(seats=10, sale_starts=starts, sale_ends=ends)
    told = stand.api().get(f"/v1/shows/{show.show_id}").expect(200)
    for key in (None, "k"):  # with a key PostgreSQL is asked
        problem = buyer.lock(show.show_id, ["A-1"], key=key).expect(409, "not_on_sale")
        assert problem["sale_starts_at"] == told["sale_starts_at"]
        assert problem["sale_ends_at"] == told["sale_ends_at"]
    assert stand.api().taken(show.show_id) == {}


def test_the_moment_the_sale_begins(stand, buyer):
    show = stand.admin().make_show(seats=10, sale_starts=1.5, sale_ends=600)
    buyer.lock(show.show_id, ["A-1"]).expect(409, "not_on_sale")
    wait_until(lambda: buyer.lock(show.show_id, ["A-1"]).status == 201, "the sale", timeout_s=3)


# ---- a lock and its life -------------------------------------------------------------------------------------------------


def test_a_lock(stand):
    show = stand.admin().make_show(seats=20, prices={"Stalls": 4500, "Balcony": 2000})
    buyer = stand.session()
    lock = buyer.lock(show.show_id, ["B-1", "A-2", "A-1"]).expect(201)
    assert lock["state"] == "active" and 290 <= lock["expires_in"] <= 300
    euro = [{"amount": amount, "currency": "EUR"} for amount in (4500, 4500, 2000)]
    assert lock["seats"] == [{"guid": guid, "category": category, "price": price} for guid, category, price in zip(
        ["A-1", "A-2", "B-1"], ["Stalls", "Stalls", "Balcony"], euro, strict=True)]
    assert lock["total"] == {"amount": 11000, "currency": "EUR"}
    seen = buyer.lock_state(show.show_id, lock["lock_id"]).expect(200)
    assert {**seen, "expires_in": 0} == {**lock, "expires_in": 0}
    assert stand.api().taken(show.show_id) == {"A-1": "locked", "A-2": "locked", "B-1": "locked"}
    told = buyer.get("/v1/me/locks").expect(200)
    assert [{**item, "expires_in": 0} for item in told["items"]] == [{**lock, "expires_in": 0}] and told["next"] is None
    assert stand.api().get(f"/v1/shows/{show.show_id}").expect(200)["free"] == 17

    # another session knows nothing of it
    other = stand.session()
    assert other.get("/v1/me/locks").expect(200)["items"] == []
    other.lock_state(show.show_id, lock["lock_id"]).expect(404)
    other.release(show.show_id, lock["lock_id"]).expect(404)
    stand.api().get(f"/v1/shows/{show.show_id}/locks/{lock['lock_id']}").expect(401)
    elsewhere = stand.admin().make_show(seats=10)
    buyer.lock_state(elsewhere.show_id, lock["lock_id"]).expect(404)
    buyer.release(elsewhere.show_id, lock["lock_id"]).expect(404)

    buyer.release(show.show_id, lock["lock_id"]).expect(204)
    buyer.release(show.show_id, lock["lock_id"]).expect(204)
    buyer.release(show.show_id, NOBODY).expect(404)
    seen = buyer.lock_state(show.show_id, lock["lock_id"]).expect(200)
    assert (seen["state"], seen["expires_in"], seen["seats"]) == ("released", 0, lock["seats"])
    assert buyer.get("/v1/me/locks").expect(200)["items"] == []
    assert stand.api().taken(show.show_id) == {}


def test_a_lock_that_is_paid_or_booked(stand, root, show, buyer):
    lock = buyer.lock(show.show_id, ["A-1"]).expect(201)
    with stand.plant.sql() as db:
        for name, arguments in (("lock_pay", f"'{load.session_of(buyer.token)}', gen_random_uuid()"), ("lock_book", f"'{uuid.uuid4()}'")):
            db.execute(f"PREPARE {name} AS {(root / f'src/seat/sql/{name}.sql').read_text()}")
            assert db.execute(f"EXECUTE {name}('{show.show_id}', '{lock['lock_id']}', {arguments})").fetchone()
            state, code = {"lock_pay": ("paying", "payment_in_progress"), "lock_book": ("booked", "lock_already_used")}[name]
            buyer.release(show.show_id, lock["lock_id"]).expect(409, code)
            assert buyer.lock_state(show.show_id, lock["lock_id"]).expect(200)["state"] == state
            stand.session().lock(show.show_id, ["A-1"]).expect(409, "seats_unavailable")
            buyer.lock(show.show_id, ["B-1"], replaces=lock["lock_id"]).expect(409, "lock_expired")
    assert_agreement(stand, show, within_s=8)  # nobody wrote these changes back: the auditor does


def test_unavailable_are_exactly_the_taken_ones(stand, show, buyer):
    stand.session().lock(show.show_id, ["A-1", "A-3"]).expect(201)
    stand.admin().post(f"/v1/shows/{show.show_id}/blocks", {"seats": ["A-5"]}).expect(200)
    problem = buyer.lock(show.show_id, ["A-5", "A-4", "A-3", "A-2", "A-1"]).expect(409, "seats_unavailable")
    assert sorted(problem["unavailable"]) == ["A-1", "A-3", "A-5"]
    buyer.lock(show.show_id, ["A-4", "A-2"]).expect(201)  # the loser got nothing
    # the same when PostgreSQL has to say it, because Redis knows nothing
    with stand.plant.cache() as cache:
        cache.hdel(f"map:{{{show.show_id}}}", "0", "2", "4")
    problem = stand.session().lock(show.show_id, ["A-5", "A-6", "A-3", "A-1"]).expect(409, "seats_unavailable")
    assert sorted(problem["unavailable"]) == ["A-1", "A-3", "A-5"]
    assert_agreement(stand, show, within_s=1)  # its truth was written back
    stand.session().lock(show.show_id, ["A-6"]).expect(201)


def test_two_locks_a_session(stand, show):
    async def ask():
        token = stand.session().token
        return await load.gather([load.Client(stand.url, token).lock(show.show_id, [guid]) for guid in show.seats[:10]]), token

    answers, token = asyncio.run(ask())
    won = [answer.json() for answer in answers if answer.status == 201]
    assert len(won) == 2, answers
    for answer in answers:
        if answer.status != 201:
            assert answer.expect(409, "lock_limit")["limit"] == 2
    buyer = stand.api(token)
    buyer.lock(show.show_id, ["E-1"]).expect(409, "lock_limit")
    buyer.lock(stand.admin().make_show(seats=10).show_id, ["A-1"]).expect(201)  # the limit is by show
    buyer.release(show.show_id, won[0]["lock_id"]).expect(204)
    buyer.lock(show.show_id, ["E-1"]).expect(201)
    buyer.lock(show.show_id, ["E-2"]).expect(409, "lock_limit")
    assert set(stand.api().taken(show.show_id)) == {won[1]["seats"][0]["guid"], "E-1"}


# ---- replacing -----------------------------------------------------------------------------------------------------------


def test_replacing(stand, show, buyer):
    first = buyer.lock(show.show_id, ["A-1", "A-2", "A-3"]).expect(201)
    buyer.lock(show.show_id, ["E-1"]).expect(201)
    # at the limit, and overlapping: what is kept, what goes back, what is new
    second = buyer.lock(show.show_id, ["A-3", "A-4"], replaces=first["lock_id"]).expect(201)
    assert stand.api().taken(show.show_id) == {"A-3": "locked", "A-4": "locked", "E-1": "locked"}
    assert buyer.lock_state(show.show_id, first["lock_id"]).expect(200)["state"] == "released"
    # the same seats once more
    third = buyer.lock(show.show_id, ["A-3", "A-4"], replaces=second["lock_id"]).expect(201)
    # one that cannot be had: nothing changes
    stand.session().lock(show.show_id, ["B-1"]).expect(201)
    problem = buyer.lock(show.show_id, ["A-4", "B-1"], replaces=third["lock_id"]).expect(409, "seats_unavailable")
    assert problem["unavailable"] == ["B-1"]
    assert buyer.lock_state(show.show_id, third["lock_id"]).expect(200)["state"] == "active"
    # another's, one that is over, one that never was
    other = stand.session()
    for client, lock_id in ((other, third["lock_id"]), (buyer, first["lock_id"]), (buyer, NOBODY)):
        client.lock(show.show_id, ["C-1"], replaces=lock_id).expect(409, "lock_expired" if client is other else None)
    # another's seats are not had by naming his lock
    other.lock(show.show_id, ["A-3"], replaces=third["lock_id"]).expect(409)
    assert stand.api().taken(show.show_id) == {"A-3": "locked", "A-4": "locked", "E-1": "locked", "B-1": "locked"}
    best = buyer.lock(show.show_id, 4, replaces=third["lock_id"]).expect(201)
    assert buyer.lock_state(show.show_id, third["lock_id"]).expect(200)["state"] == "released"
    assert len(best["seats"]) == 4
    assert_agreement(stand, show, within_s=2)


# ---- best seats ----------------------------------------------------------------------------------------------------------


def test_best_seats(stand):
    plan = seating_plan(seats=20, per_row=10, categories=("Stalls", "Balcony"))
    plan["zones"][0]["areas"] = []  # without a stage the front is the middle above the first row
    show = stand.admin().make_show(plan=plan, prices={"Stalls": 4500, "Balcony": 2000})
    seats = [seat["guid"] for seat in stand.session().lock(show.show_id, 2).expect(201)["seats"]]
    assert seats == ["A-5", "A-6"]  # the middle of the front row
    back = stand.session().post(f"/v1/shows/{show.show_id}/locks", {"best": {"quantity": 2, "category": "Balcony"}}).expect(201)
    assert [seat["guid"] for seat in back["seats"]] == ["B-5", "B-6"]
    stand.session().lock(show.show_id, 9).expect(409, "no_seats_together")
    keyed = stand.session()
    first = keyed.lock(show.show_id, 2, key="k").expect(201)
    assert keyed.lock(show.show_id, 2, key="k").expect(201)["lock_id"] == first["lock_id"]
    assert len(stand.api().taken(show.show_id)) == 6


def test_a_hundred_ask_for_the_best_at_once(stand, rng):
    """All get disjoint blocks side by side until none is left."""
    show = stand.admin().make_show(seats=200, per_row=20)

    async def ask():
        clients = await load.sessions(stand.url, 100)
        rng.shuffle(clients)
        return await load.gather([client.lock(show.show_id, 3) for client in clients])

    answers = asyncio.run(ask())
    taken = {}
    for answer in answers:
        if answer.status != 201:
            # after a dozen lost races it may be told which seats it lost
            assert answer.code in ("no_seats_together", "seats_unavailable"), answer
            continue
        guids = [seat["guid"] for seat in answer.json()["seats"]]
        rows = {guid.split("-")[0] for guid in guids}
        numbers = sorted(int(guid.split("-")[1]) for guid in guids)
        assert len(rows) == 1 and numbers == list(range(numbers[0], numbers[0] + 3)), guids
        for guid in guids:
            assert guid not in taken, f"{guid} twice"
            taken[guid] = answer.json()["lock_id"]
    assert set(stand.api().taken(show.show_id)) == set(taken)
    assert sum(answer.status == 201 for answer in answers) >= 50  # at most 60 fit
    while (answer := stand.session().lock(show.show_id, 3)).status == 201:
        taken.update(dict.fromkeys((seat["guid"] for seat in answer.json()["seats"]), "later"))
    answer.expect(409, "no_seats_together")
    for row in "ABCDEFGHIJ":
        free = [n for n in range(1, 21) if f"{row}-{n}" not in taken]
        assert not any({n, n + 1, n + 2} <= set(free) for n in free), f"three are left in row {row}: {free}"


# ---- blocks --------------------------------------------------------------------------------------------------------------


def test_blocks(stand, show, buyer):
    path = f"/v1/shows/{show.show_id}/blocks"
    staff = stand.admin()
    buyer.lock(show.show_id, ["A-1"]).expect(201)
    problem = staff.post(path, {"seats": ["A-2", "A-1"]}).expect(409, "seats_unavailable")
    assert problem["unavailable"] == ["A-1"]
    assert stand.api().taken(show.show_id) == {"A-1": "locked"}
    staff.post(path, {"seats": ["A-2", "A-3"], "reason": "broken"}).expect(200)
    staff.post(path, {"seats": ["A-3", "A-4"]}).expect(200)  # those that are blocked already stay so
    assert stand.api().taken(show.show_id) == {"A-1": "locked", "A-2": "blocked", "A-3": "blocked", "A-4": "blocked"}
    buyer.lock(show.show_id, ["A-2"]).expect(409, "seats_unavailable")
    problem = staff.delete(path, {"seats": ["A-1", "A-2"]}).expect(409, "seats_unavailable")
    assert problem["unavailable"] == ["A-1"]
    assert stand.api().taken(show.show_id)["A-2"] == "blocked"
    staff.delete(path, {"seats": ["A-2", "A-3", "B-1"]}).expect(200)  # what is free already stays so
    assert stand.api().taken(show.show_id) == {"A-1": "locked", "A-4": "blocked"}
    buyer.lock(show.show_id, ["A-2"]).expect(201)
    for body, status, code in (({"seats": ["Z-1"]}, 422, "unknown_seat"), ({"seats": []}, 422, "invalid_value"), ({}, 400, None),
                               ({"seats": ["B-1", "B-1"]}, 422, "duplicate_seat"), ({"seats": ["B-1"], "x": 1}, 400, None)):
        staff.post(path, body).expect(status, code)
    buyer.post(path, {"seats": ["B-1"]}).expect(401)
    stand.api().post(path, {"seats": ["B-1"]}).expect(401)
    staff.post(f"/v1/shows/{NOBODY}/blocks", {"seats": ["B-1"]}).expect(404)
    assert_agreement(stand, show, within_s=2)


def reasons(staff, path):
    listed, cursor = [], ""
    while cursor is not None:
        page = staff.get(path + (f"?cursor={cursor}" if cursor else "")).expect(200)
        listed += [(item["seat"], item["reason"]) for item in page["items"]]
        assert len(page["items"]) <= 500
        cursor = page["next"]
    return listed


def test_blocks_are_listed_with_their_reason(stand, show):
    path, staff = f"/v1/shows/{show.show_id}/blocks", stand.admin()
    assert reasons(staff, path) == []
    staff.post(path, {"seats": ["A-2", "B-1"], "reason": "broken"}).expect(200)
    staff.post(path, {"seats": ["A-2", "A-1"]}).expect(200)  # no reason now takes none away
    assert reasons(staff, path) == [("A-1", ""), ("A-2", "broken"), ("B-1", "broken")]
    staff.post(path, {"seats": ["B-1"], "reason": "sound desk"}).expect(200)
    stand.session().lock(show.show_id, ["B-3"]).expect(201)
    staff.post(path, {"seats": ["B-2", "B-3"], "reason": "none of them"}).expect(409, "seats_unavailable")
    staff.delete(path, {"seats": ["A-2"]}).expect(200)
    assert reasons(staff, path) == [("A-1", ""), ("B-1", "sound desk")]
    staff.post(path, {"seats": ["A-2"]}).expect(200)  # what it was blocked for before is over
    assert ("A-2", "") in reasons(staff, path)
    stand.session().get(path).expect(401)
    staff.get(f"/v1/shows/{NOBODY}/blocks").expect(404)
    staff.get(path + "?cursor=x").expect(400, "invalid_request")


def test_many_blocks_come_in_pages(stand):
    show, staff = stand.admin().make_show(seats=1100, per_row=50), stand.admin()
    path = f"/v1/shows/{show.show_id}/blocks"
    staff.post(path, {"seats": show.seats[:1050], "reason": "later"}).expect(200)
    assert reasons(staff, path) == [(seat, "later") for seat in show.seats[:1050]]


# ---- maps ----------------------------------------------------------------------------------------------------------------


def test_availability_by_version(stand, show, buyer):
    path = f"/v1/shows/{show.show_id}/seats"
    first = stand.api().get(path)
    assert first.expect(200) == {"version": first.json()["version"], "free": 50, "seats": {}}
    assert first.headers["ETag"] == f'"{first.json()["version"]}"'
    same = stand.api().get(path, headers={"If-None-Match": first.headers["ETag"]})
    assert (same.status, same.body, same.headers["ETag"]) == (304, b"", first.headers["ETag"])
    lock = buyer.lock(show.show_id, ["A-1"]).expect(201)
    second = stand.api().get(path, headers={"If-None-Match": first.headers["ETag"]})
    assert second.expect(200)["seats"] == {"A-1": "locked"} and second.json()["free"] == 49
    assert second.json()["version"].split("-")[0] == first.json()["version"].split("-")[0]  # the same epoch
    assert int(second.json()["version"].split("-")[1]) > int(first.json()["version"].split("-")[1])
    assert stand.api().get(path, headers={"If-None-Match": second.headers["ETag"]}).status == 304
    buyer.release(show.show_id, lock["lock_id"]).expect(204)
    third = stand.api().get(path, headers={"If-None-Match": second.headers["ETag"]})
    assert third.expect(200)["seats"] == {} and third.headers["ETag"] not in (first.headers["ETag"], second.headers["ETag"])
    # another map has another epoch: nothing that was known before is taken for the same
    with stand.plant.cache() as cache:
        cache.delete(f"map:{{{show.show_id}}}")
    fourth = stand.api().get(path, headers={"If-None-Match": third.headers["ETag"]})
    assert fourth.expect(200)["version"].split("-")[0] != third.json()["version"].split("-")[0]
    stand.api().get(f"/v1/shows/{NOBODY}/seats").expect(404)


def test_the_seat_map(stand):
    show = stand.admin().make_show(plan=seating_plan(seats=300, per_row=20, categories=("Stalls", "Balcony")),
                                   prices={"Stalls": 4500, "Balcony": 2000})
    path = f"/v1/shows/{show.show_id}/seatmap"
    plain = stand.api().get(path, headers={"Accept-Encoding": "identity"})
    drawn = plain.expect(200)
    packed = stand.api().get(path, headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip" and json.loads(gzip.decompress(packed.body)) == drawn
    assert len(packed.body) < len(plain.body) / 4
    assert plain.headers.get("Content-Encoding") is None and "Accept-Encoding" in plain.headers["Vary"]
    assert plain.headers["ETag"] != packed.headers["ETag"]
    for coding, answer in (("identity", plain), ("gzip", packed)):
        headers = {"Accept-Encoding": coding, "If-None-Match": answer.headers["ETag"]}
        assert stand.api().get(path, headers=headers).status == 304
        headers["Accept-Encoding"] = "gzip" if coding == "identity" else "identity"
        assert stand.api().get(path, headers=headers).status == 200  # another coding is another thing
    assert [seat["guid"] for zone in drawn["zones"] for row in zone["rows"] for seat in row["seats"]] == show.seats
    assert [category["name"] for category in drawn["categories"]] == ["Stalls", "Balcony"]
    stand.api().get(f"/v1/shows/{NOBODY}/seatmap").expect(404)


def test_names_that_need_care(stand):
    """Quotes, braces, percent signs, line ends and any script in seats' names."""
    plan = seating_plan(seats=6, per_row=6)
    names = ['A"1', "{A}%s", "a\\b", "Reihe ü – 座席 🎭", "'; DROP TABLE shows; --", "x" * 64]
    for seat, name in zip(plan["zones"][0]["rows"][0]["seats"], names, strict=True):
        seat["seat_guid"] = name
    show = stand.admin().make_show(plan=plan)
    lock = stand.session().lock(show.show_id, names).expect(201)
    assert [seat["guid"] for seat in lock["seats"]] == names
    assert stand.api().taken(show.show_id) == dict.fromkeys(names, "locked")
    problem = stand.session().lock(show.show_id, names[::-1]).expect(409, "seats_unavailable")
    assert sorted(problem["unavailable"]) == sorted(names)
    assert from_now(0) < lock["expires_at"]
