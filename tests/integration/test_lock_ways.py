"""The two ways in which a batch of lock requests is decided come to the same: everything show by show (seat_lock_batch), or all
at once (seat_lock_batch_free) and what that leaves over show by show."""

import json
import uuid

import pytest

from plans import nodes

NOBODY = uuid.UUID(int=0)
PRICES = [4500, 900]
LIFETIME = "5 minutes"
LIMIT = 2


class Shows:
    """Three shows of twelve seats in every state a seat can have, and two categories."""

    def __init__(self, plant, rng, hidden=True):
        self.db = plant.sql()
        # nobody else sees them: a sweeper that is running for other tests would end what is over
        self.db.autocommit = not hidden
        self.rng = rng
        self.ids = sorted(uuid.UUID(int=rng.getrandbits(128)) for _ in range(3))
        self.sessions = [uuid.UUID(int=rng.getrandbits(128)) for _ in range(12)]
        self.closed = rng.choice([None, *self.ids])
        organizer, venue, plan, event = (uuid.UUID(int=rng.getrandbits(128)) for _ in range(4))
        run = self.db.execute
        run("INSERT INTO organizers (organizer_id, name) VALUES (%s, %s)", [organizer, f"ways {organizer}"])
        run("INSERT INTO venues (venue_id, organizer_id, name, timezone, city) VALUES (%s, %s, 'v', 'UTC', 'c')", [venue, organizer])
        run("""INSERT INTO seating_plans (plan_id, organizer_id, venue_id, version, name, seats, categories, document)
               VALUES (%s, %s, %s, 1, 'p', 12, '{a,b}', '{}')""", [plan, organizer, venue])
        run("INSERT INTO events (event_id, organizer_id, name, status) VALUES (%s, %s, 'e', 'published')", [event, organizer])
        for show in self.ids:
            run("""INSERT INTO shows (show_id, organizer_id, event_id, venue_id, plan_id, status, starts_at, local_starts_at, timezone,
                                      sale_starts_at, sale_ends_at, currency, prices, capacity)
                   VALUES (%s, %s, %s, %s, %s, 'published', now() + interval '9 days', now(), 'UTC', now() - interval '1 day',
                           now() + (CASE WHEN %s THEN interval '-1 hour' ELSE interval '1 day' END), 'EUR', %s, 12)""",
                [show, organizer, event, venue, plan, show == self.closed, PRICES])
            for seat in range(12):
                self.make_seat(show, seat, rng.choices("free locked over booked blocked".split(), [8, 1, 2, 1, 1])[0])

    def make_seat(self, show, seat, kind):
        lock = uuid.UUID(int=self.rng.getrandbits(128)) if kind in ("locked", "over", "booked") else NOBODY
        state = {"free": 0, "locked": 1, "over": 1, "booked": 2, "blocked": 3}[kind]
        ends = {"locked": "now() + interval '1 hour'", "over": "now() - interval '1 minute'", "booked": "'infinity'"}.get(kind, "'-infinity'")
        self.db.execute(f"""INSERT INTO show_seats (show_id, seat_no, category, state, fence, lock_id, expires_at)
                            VALUES (%s, %s, %s, %s, %s, %s, {ends})""",
                        [show, seat, seat % 2, state, self.rng.randrange(5), lock])
        if kind in ("locked", "over"):
            self.db.execute(f"""INSERT INTO seat_locks (show_id, lock_id, session_id, seats, prices, categories, total_minor, currency,
                                                        created_at, expires_at)
                                VALUES (%s, %s, %s, %s, '{{1}}', '{{0}}', 1, 'EUR', now() - interval '1 hour', {ends})""",
                            [show, lock, self.rng.choice(self.sessions[:3]), [seat]])

    def requests(self):
        """Of all shows, disjoint within each, no session twice in one; ids that are there already among them."""
        found = []
        for show in self.ids:
            seats = list(range(12))
            self.rng.shuffle(seats)
            sessions = list(self.sessions)
            self.rng.shuffle(sessions)
            while seats and self.rng.random() < 0.9:
                n = min(len(seats), self.rng.randint(1, 3))
                mine, seats = sorted(seats[:n]), seats[n:]
                lock = uuid.UUID(int=self.rng.getrandbits(128))
                found.append({"show": show, "lock": lock, "session": sessions.pop(), "seats": mine, "hash": lock.bytes * 2,
                              "known": self.rng.random() < 0.3})
        known = [r for r in found if r["known"]]
        if known:  # one of them was made long ago, and its time is over
            again = self.rng.choice(known)
            self.db.execute("""INSERT INTO seat_locks (show_id, lock_id, session_id, state, seats, prices, categories, total_minor,
                                 currency, created_at, expires_at, ended_at, request_hash)
                               VALUES (%s, %s, %s, 'released', '{0}', '{1}', '{0}', 1, 'EUR', now(), now() + interval '1 minute', now(), %s)""",
                            [again["show"], again["lock"], again["session"], again["hash"]])
        return found

    # ---- the two ways --------------------------------------------------------------------------------------------------

    def careful(self, requests):
        """{lock: outcome}"""
        outcomes = {}
        for show in self.ids:
            mine = [r for r in requests if r["show"] == show]
            if not mine:
                continue
            seats = sorted((seat, i + 1) for i, r in enumerate(mine) for seat in r["seats"])
            rows = self.db.execute("""SELECT outcome FROM seat_lock_batch(%s, %s, %s::interval, %s, false, %s::uuid[], %s::uuid[],
                %s::uuid[], %s::bytea[], %s::uuid[], %s::int[], %s::int[])""",
                [show, uuid.uuid4(), LIFETIME, LIMIT, [r["lock"] for r in mine], [r["session"] for r in mine], [NOBODY] * len(mine),
                 [r["hash"] for r in mine], [NOBODY] * len(mine), [s for s, _ in seats], [i for _, i in seats]]).fetchall()
            outcomes |= {r["lock"]: outcome for r, (outcome,) in zip(mine, rows, strict=True)}
        return outcomes

    def quick(self, requests):
        """What stood in nobody's way at once, the rest carefully: ({lock: outcome}, how many were left over)."""
        shows = [show for show in self.ids if any(r["show"] == show for r in requests)]
        ordered = sorted(requests, key=lambda r: shows.index(r["show"]))
        flat, first, last, rows = [], [], [], []
        for number, r in enumerate(ordered, 1):
            first.append(len(flat) + 1)
            for k, seat in enumerate(r["seats"]):
                flat.append(seat)
                begin = f'}}}},{{"type":"seat.locked","show_id":"{r["show"]}","lock_id":"{r["lock"]}","seats":{{' if k == 0 else ","
                rows.append((shows.index(r["show"]) + 1, seat, number, len(flat), f'{begin}"{seat}":'))
            last.append(len(flat))
        rows.sort()
        revision = dict(self.db.execute("SELECT show_id, xmin::text::bigint FROM shows WHERE show_id = ANY (%s)", [shows]).fetchall())
        categories = [seat % 2 for seat in flat]
        careful, = self.db.execute("""SELECT careful FROM seat_lock_batch_free(%s::interval, %s, %s::uuid[], %s::bigint[], %s::uuid[],
            %s::int[], %s::uuid[], %s::uuid[], %s::bytea[], %s::uuid[], %s::bigint[], %s::text[], %s::boolean[], %s::int[], %s::int[],
            %s::int[], %s::bigint[], %s::smallint[], %s::int[], %s::int[], %s::int[], %s::int[], %s::text[])""",
            [LIFETIME, LIMIT, shows, [revision[s] for s in shows], [uuid.uuid4() for _ in shows],
             [shows.index(r["show"]) + 1 for r in ordered], [r["lock"] for r in ordered], [r["session"] for r in ordered],
             [r["hash"] for r in ordered], [NOBODY] * len(ordered), [sum(PRICES[s % 2] for s in r["seats"]) for r in ordered],
             ["EUR"] * len(ordered), [r["known"] for r in ordered], first, last, flat, [PRICES[c] for c in categories], categories,
             *(list(column) for column in zip(*rows, strict=True))]).fetchone()
        left = [ordered[i - 1] for i in careful]
        outcomes = {r["lock"]: 0 for r in ordered if r not in left}
        return outcomes | (self.careful(left) if left else {}), len(left)

    # ---- what came of it -----------------------------------------------------------------------------------------------

    def state(self):
        """All that either way may change, times as far as they do not depend on the moment."""
        seats = self.db.execute("""SELECT show_id, seat_no, state, fence, lock_id, expires_at > now() + interval '4 minutes'
            FROM show_seats WHERE show_id = ANY (%s) ORDER BY 1, 2""", [self.ids]).fetchall()
        locks = self.db.execute("""SELECT show_id, lock_id, session_id, state, seats, prices, categories, total_minor, currency,
            expires_at - created_at, ended_at = 'infinity', notify_buyer, request_hash
            FROM seat_locks WHERE show_id = ANY (%s) ORDER BY 1, 2""", [self.ids]).fetchall()
        events = [(show, event["type"], event["show_id"] == str(show), event["lock_id"], tuple(sorted(event["seats"].items())))
                  for show, events in self.db.execute("SELECT show_id, events FROM outbox WHERE show_id = ANY (%s)", [self.ids])
                  for event in events]
        return {"seats": seats, "locks": locks, "events": sorted(map(str, events))}


class Undo(Exception):
    pass


def tried(shows, way, requests):
    """What a way comes to, without it having happened."""
    found = None
    try:
        with shows.db.transaction():
            found = way(requests), shows.state()
            raise Undo
    except Undo:
        return found


@pytest.mark.parametrize("number", range(30))
def test_both_ways_come_to_the_same(plant, rng, number):
    shows = Shows(plant, rng)
    try:
        requests = shows.requests()
        if not requests:
            return
        before = shows.state()
        carefully, after = tried(shows, shows.careful, requests)
        (quickly, left), after_quick = tried(shows, shows.quick, requests)
        assert shows.state() == before, "a way that was taken back left something behind"
        assert quickly == carefully
        for what in after:
            assert after_quick[what] == after[what], what
        assert left < len(requests) or all(outcome != 0 for outcome in carefully.values()) or any(
            row[2] == 1 for row in before["seats"]), "everything was done carefully although nothing stood in the way"
    finally:
        shows.db.close()


def test_a_free_show_needs_one_statement(plant, rng):
    """Nothing is left over where every seat is free: else the quick way would be none."""
    shows = Shows(plant, rng)
    try:
        shows.db.execute("UPDATE shows SET sale_ends_at = now() + interval '1 day' WHERE show_id = ANY (%s)", [shows.ids])
        shows.db.execute("DELETE FROM seat_locks WHERE show_id = ANY (%s)", [shows.ids])
        shows.db.execute("""UPDATE show_seats SET state = 0, lock_id = %s, expires_at = '-infinity' WHERE show_id = ANY (%s)""",
                         [NOBODY, shows.ids])
        requests = [{"show": show, "lock": uuid.uuid4(), "session": session, "seats": [2 * i, 2 * i + 1], "hash": b"h", "known": False}
                    for show in shows.ids for i, session in enumerate(shows.sessions[:6])]
        (outcomes, left), state = tried(shows, shows.quick, requests)
        assert left == 0 and set(outcomes.values()) == {0}
        assert all(seat[2] == 1 for seat in state["seats"]) and len(state["locks"]) == 18
        assert len({row[0] for row in state["locks"]}) == 3
    finally:
        shows.db.close()


def test_a_show_that_changed_is_asked_about_again(plant, rng):
    """Prices that were read before the change are not charged: the show's row is another one then."""
    shows = Shows(plant, rng, hidden=False)
    try:
        shows.db.execute("UPDATE shows SET sale_ends_at = now() + interval '1 day' WHERE show_id = ANY (%s)", [shows.ids])
        show = shows.ids[0]
        shows.db.execute("DELETE FROM seat_locks WHERE show_id = %s", [show])
        shows.db.execute("UPDATE show_seats SET state = 0, lock_id = %s, expires_at = '-infinity' WHERE show_id = %s", [NOBODY, show])
        request = {"show": show, "lock": uuid.uuid4(), "session": shows.sessions[0], "seats": [0], "hash": b"h", "known": False}
        original, shows_db = shows.db.execute, shows.db

        class Stale:
            """The caller's knowledge of the show is of before its prices changed."""

            def __getattr__(self, name):
                return getattr(shows_db, name)

            def execute(self, sql, *args):
                answer = original(sql, *args)
                if "xmin" in sql and "seat_lock_batch_free" not in sql:
                    rows = answer.fetchall()
                    original("UPDATE shows SET prices = '{7700,7700}' WHERE show_id = %s", [show])
                    return type("Rows", (), {"fetchall": lambda self: rows})()
                return answer

        shows.db = Stale()
        outcomes, left = shows.quick([request])
        assert left == 1 and outcomes == {request["lock"]: 0}
        assert original("SELECT total_minor FROM seat_locks WHERE lock_id = %s", [request["lock"]]).fetchone() == (7700,)
    finally:
        shows_db.close()


def test_plans_of_the_quick_way(plant, rng):
    """Whatever the planner believes of the tables: seats, locks and shows are found by their keys, one by one."""
    shows = Shows(plant, rng, hidden=False)
    plans = []
    try:
        shows.db.execute("LOAD 'auto_explain'")
        for name, value in (("auto_explain.log_min_duration", "0"), ("auto_explain.log_nested_statements", "on"),
                            ("auto_explain.log_format", "json"), ("auto_explain.log_level", "notice"),
                            ("plan_cache_mode", "force_generic_plan"), ("enable_seqscan", "off")):  # as the program has it
            shows.db.execute(f"SET {name} = '{value}'")
        shows.db.execute("DISCARD PLANS")  # those of foreign keys, made before
        requests = [{"show": show, "lock": uuid.uuid4(), "session": session, "seats": [2 * i, 2 * i + 1], "hash": b"h", "known": True}
                    for show in shows.ids for i, session in enumerate(shows.sessions[6:9])]
        shows.db.add_notice_handler(lambda notice: plans.append(json.loads(notice.message_primary.split("plan:", 1)[1])["Plan"]))
        shows.quick(requests)
    finally:
        shows.db.close()

    every = [node for plan in plans for node in nodes(plan)]
    read = [node for node in every if node.get("Relation Name") in ("show_seats", "seat_locks", "shows") and node["Node Type"] != "ModifyTable"]
    assert {node["Relation Name"] for node in read} == {"show_seats", "seat_locks", "shows"}
    assert {node["Node Type"] for node in read} <= {"Index Scan", "Index Only Scan", "Bitmap Heap Scan"}, json.dumps(plans)
    for node in every:
        if node.get("Index Name", "").startswith(("show_seats", "seat_locks", "shows")):
            assert node["Index Name"] in ("show_seats_pkey", "seat_locks_pkey", "seat_locks_by_session", "shows_pkey"), node
            assert "show_id" in node.get("Index Cond", ""), json.dumps(node)
