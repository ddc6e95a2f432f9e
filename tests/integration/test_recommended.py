"""Recommendations: whose, in which order, how old they may be."""

import re
import secrets

import psycopg
import pytest
from service import wait_until

from api import from_now, seat_guids, seating_plan
from organiser import NOWHERE, make_staff

DAY = 86400


class Town:
    """Venues in cities that nobody else plays in, and a category of its own."""

    def __init__(self, office):
        self.staff, self.other = make_staff(office), make_staff(office)
        self.word = "r" + secrets.token_hex(5)
        self.category = f"Kind {self.word}"
        self.plans = {}
        for staff in (self.staff, self.other):
            for city in ("here", "there"):
                venue = staff.make_venue(city=f"{city} {self.word}")["venue_id"]
                self.plans[staff, city] = staff.make_plan(venue, seating_plan(1))["plan_id"]

    def event(self, name, city="here", days=5.0, category=None, staff=None, show=None, **fields):
        staff = staff or self.staff
        event = staff.make_event(name=name, category=self.category if category is None else category, **fields)["event_id"]
        staff.post(f"/v1/events/{event}/shows", {
            "plan_id": self.plans[staff, city], "starts_at": from_now(days * DAY), "sale_starts_at": from_now(-60),
            "sale_ends_at": from_now(DAY), "prices": {"Standard": {"amount": 100, "currency": "EUR"}}, **(show or {})}).expect(201)
        return event


@pytest.fixture
def town(boxoffice):
    """Where nothing is on yet."""
    return Town(boxoffice)


def names(client, event):
    page = client.get(f"/v1/events/{event}/recommended").expect(200)
    assert page["next"] is None
    return [item["name"] for item in page["items"]]


def test_order(boxoffice, town):
    base = town.event("base", days=50)
    town.event("city only, near", days=50.2, category="another")
    town.event("category only, far", city="there", days=58)
    town.event("category only, near", city="there", days=50.1)
    town.event("both, later", days=53)
    town.event("both, other organiser", days=51, staff=town.other)
    town.event("both, earlier", days=48)
    town.event("neither", city="there", days=50, category="another")
    assert names(boxoffice.api(), base) == ["both, other organiser", "both, earlier", "both, later", "category only, near",
                                             "category only, far", "city only, near"]


def test_what_is_never_recommended(boxoffice, town):
    base = town.event("base")
    town.event("draft", status="draft")
    town.event("its show is a draft", show={"status": "draft"})
    town.event("past", days=-1)
    cancelled = town.event("cancelled")
    off = town.event("taken off")
    with psycopg.connect(boxoffice.database_url) as db:
        db.execute("UPDATE shows SET status = 'cancelled' WHERE event_id = %s", [cancelled])
        db.execute("UPDATE events SET status = 'cancelled' WHERE event_id = %s", [off])
    for client in (boxoffice.api(), town.staff):
        assert names(client, base) == []


def test_ten_at_most_and_none_without_category_or_show(boxoffice, town):
    for number in range(12):
        town.event(str(number), days=5 + number)
    base = town.event("base", days=4)
    assert names(boxoffice.api(), base) == [str(number) for number in range(10)]
    no_show = town.staff.make_event(category=town.category)["event_id"]
    assert len(names(boxoffice.api(), no_show)) == 10
    alone = town.staff.make_event(category="")["event_id"]
    assert names(boxoffice.api(), alone) == []


def test_kept_for_a_while(make_boxoffice):
    office = make_boxoffice("--workers", "1", "--recommended-seconds", "3")
    town = Town(office)
    base = town.event("base")
    town.event("first")
    anyone = office.api()
    answer = anyone.get(f"/v1/events/{base}/recommended")
    assert [item["name"] for item in answer.expect(200)["items"]] == ["first"]
    age = re.fullmatch(r"public, max-age=(\d+)", answer.headers["Cache-Control"])
    assert age and int(age[1]) <= 3
    town.event("second", days=6)
    assert names(anyone, base) == ["first"], "kept"
    wait_until(lambda: names(anyone, base) == ["first", "second"], "a new answer", 10, 0.1)
    # a change through this process is seen at once
    town.staff.patch(f"/v1/events/{base}", {"category": "other"}).expect(200)
    town.event("third", days=7)
    assert names(anyone, base) == ["first", "second", "third"], "same city"
    # and none is told of longer than until it begins
    soon = town.event("soon", days=0)
    with psycopg.connect(office.database_url) as db:
        db.execute("UPDATE shows SET starts_at = statement_timestamp() + interval '2 seconds' WHERE event_id = %s", [soon])
    town.staff.patch(f"/v1/events/{base}", {}).expect(200)
    if "soon" in names(anyone, base):
        wait_until(lambda: "soon" not in names(anyone, base), "the end of what has begun", 10, 0.05)
        with psycopg.connect(office.database_url) as db:
            [late] = db.execute("SELECT extract(epoch FROM statement_timestamp() - starts_at) FROM shows WHERE event_id = %s",
                                [soon]).fetchone()
        assert late < 1, f"told of until {late} s after it began"


def test_of_a_draft_for_its_organiser_only(boxoffice, town):
    town.event("shown")
    draft = town.staff.make_event(category=town.category, status="draft")["event_id"]
    answer = town.staff.get(f"/v1/events/{draft}/recommended")
    assert len(answer.expect(200)["items"]) == 1 and answer.headers["Cache-Control"] == "no-store"
    for client in (boxoffice.api(), town.other, boxoffice.session()):
        client.get(f"/v1/events/{draft}/recommended").expect(404, "not_found")
        client.get(f"/v1/events/{NOWHERE}/recommended").expect(404, "not_found")


# ---- what buyers of an event also booked ----

class Audience:
    """Events with seats for many, alike in nothing, and people who book them."""

    def __init__(self, office, town, events):
        self.office, self.town = office, town
        plan = town.staff.make_plan(town.staff.make_venue(city=f"far from all {town.word}")["venue_id"], seating_plan(40))["plan_id"]
        town.plans[town.staff, "hall"] = plan
        self.events = {name: town.event(name, city="hall", category=f"{name} {town.word}") for name in events}
        self.shows = {name: town.staff.get(f"/v1/events/{event}/shows").expect(200)["items"][0]["show_id"]
                      for name, event in self.events.items()}
        self.free = {name: iter(seat_guids(seating_plan(40))) for name in events}

    def email(self, person):
        return f"{person}-{self.town.word}@Example.org"

    def book(self, person, *events):
        buyer, made = self.office.session(), []
        for name in events:
            lock = buyer.lock(self.shows[name], [next(self.free[name])]).expect(201)["lock_id"]
            made.append(buyer.book(self.shows[name], lock, email=self.email(person)).expect(201)["booking_id"])
        return made[0]

    def also(self, event):
        """{name: how many persons have booked both}."""
        with psycopg.connect(self.office.database_url, autocommit=True) as db:
            found = dict(db.execute("SELECT other_id::text, persons FROM recommend_pairs WHERE event_id = %s AND persons > 0",
                                    [self.events[event]]).fetchall())
        return {name: found[event] for name, event in self.events.items() if event in found}

    def wait(self, event, counts):
        wait_until(lambda: self.also(event) == counts, f"{event} with {counts}; it is {self.also(event)}", 30, 0.1)


def test_what_buyers_also_booked_comes_first(boxoffice, town):
    crowd = Audience(boxoffice, town, ("base", "often", "thrice", "twice", "alone"))
    for person in range(4):
        crowd.book(person, "base", "often", *["thrice"] * (person < 3), *["twice"] * (person < 2))
        crowd.book(person, "often")  # once more is no other person
    for person in range(4, 8):
        crowd.book(person, "alone")
    crowd.wait("base", {"often": 4, "thrice": 3, "twice": 2})
    crowd.wait("thrice", {"base": 3, "often": 3, "twice": 2})
    # of the same hall and city are all of them; fewer than three persons tell nothing
    assert names(boxoffice.api(), crowd.events["base"])[:2] == ["often", "thrice"]
    other = town.event("of the same kind", city="there", category=f"base {town.word}", days=9)
    assert other and names(boxoffice.api(), crowd.events["alone"])[0] != "often"


def test_what_is_cancelled_and_who_is_erased_counts_no_more(own_boxoffice):
    town = Town(own_boxoffice)
    crowd = Audience(own_boxoffice, town, ("base", "other", "third"))
    admin = own_boxoffice.api(own_boxoffice.admin_token)
    bookings = [crowd.book(person, "base", "other") for person in range(3)]
    again = crowd.book(0, "base")
    crowd.wait("base", {"other": 3})
    # one of two bookings of the event: the person still has one
    town.staff.cancel(crowd.shows["base"], again).expect(200)
    town.staff.cancel(crowd.shows["base"], bookings[1]).expect(200)
    crowd.wait("base", {"other": 2})
    crowd.book(1, "base")
    crowd.wait("base", {"other": 3})
    assert admin
    with psycopg.connect(own_boxoffice.database_url, autocommit=True) as db:
        known = db.execute("SELECT count(*) FROM recommend_booked").fetchone()[0]
        assert known == 6
        # the events come again, all of them: nothing is counted twice
        db.execute("UPDATE consumers SET source = 'log', generation = generation + 1")
        db.execute("UPDATE consumer_cursors SET position = 0")
        crowd.book(2, "third")
        crowd.wait("third", {"base": 1, "other": 1})
        assert crowd.also("base") == {"other": 3, "third": 1}
        own_boxoffice.run_admin("erase", "--email", crowd.email(0), "--yes-future")
        assert db.execute("SELECT count(*) FROM recommend_booked").fetchone()[0] == 7 - 2
    assert crowd.also("base") == {"other": 3, "third": 1}, "a count says nothing of anybody"
