"""The door on a full evening and on a bad one: twenty scanners and two thousand tickets on several processes, scans without a network
that agree with it afterwards, scanners that hang up, a database that is killed in the middle."""

import json
import socket
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from api import from_now
from door import Device, codes_of, tickets_by_sql
from service import ROOT, wait_until
from stand import own_plant  # noqa: F401 (fixture: its PostgreSQL is killed)


def many(stand, plant, tickets, **fields):
    """A show with so many tickets sold, and their codes {ticket_id: code}."""
    admin = stand.admin()
    show = admin.make_show(seats=tickets, per_row=50, **fields)
    with plant.sql() as db:
        bookings = tickets_by_sql(db, show, list(range(tickets)))
    codes = codes_of(admin, show, bookings)
    assert len(codes) == tickets
    return show, codes


def states(plant, show):
    with plant.sql() as db:
        return dict(db.execute("SELECT state, count(*) FROM tickets WHERE show_id = %s GROUP BY 1", [show.show_id]).fetchall())


def agree(plant, show):
    """Every used ticket has exactly one check-in that says ok and was not undone, which its row names; versions count events."""
    with plant.sql() as db:
        odd = db.execute(
            "SELECT t.ticket_id, t.state, t.used_by, count(c.checkin_id) FILTER (WHERE c.kind = 'use'),"
            "       count(c.checkin_id) FILTER (WHERE c.kind = 'undo'), bool_or(c.checkin_id = t.used_by)"
            "  FROM tickets t LEFT JOIN checkins c ON c.show_id = t.show_id AND c.ticket_id = t.ticket_id AND c.result = 'ok'"
            " WHERE t.show_id = %s GROUP BY 1, 2, 3, t.show_id, t.version"
            " HAVING count(c.checkin_id) FILTER (WHERE c.kind = 'use') - count(c.checkin_id) FILTER (WHERE c.kind = 'undo')"
            "        <> (t.state = 'used')::int OR (t.state = 'used' AND NOT bool_or(c.checkin_id = t.used_by))"
            "     OR t.version <> 1 + count(c.checkin_id)", [show.show_id]).fetchall()
        assert not odd, odd[:3]
        told = dict(db.execute("SELECT e ->> 'type', count(*) FROM outbox_events o, json_array_elements(o.events) e WHERE o.show_id = %s"
                               " AND o.topic = 'ticket' AND e ->> 'type' IN ('ticket.used', 'ticket.use_undone') GROUP BY 1",
                               [show.show_id]).fetchall())
        said = dict(db.execute("SELECT CASE kind WHEN 'use' THEN 'ticket.used' ELSE 'ticket.use_undone' END, count(*) FROM checkins"
                               " WHERE show_id = %s AND result = 'ok' GROUP BY 1", [show.show_id]).fetchall())
        assert told == said


def test_twenty_scanners_and_two_thousand_tickets(make_stand, plant, rng):
    """Each ticket is shown twice, anywhere, at random: exactly as many are let in as there are tickets. Then the devices upload what
    they scanned as if they had been without a network: what counts stays what it is."""
    scanners, tickets = 20, 2000
    stands = [make_stand(workers=2), make_stand(workers=2, work=False)]
    show, codes = many(stands[0], plant, tickets)
    shown = list(codes.values()) * 2
    rng.shuffle(shown)
    parts = [shown[n::scanners] for n in range(scanners)]
    devices = [Device(stands[n % 2].admin(), show, f"Door {n}") for n in range(scanners)]
    begun = time.monotonic()

    def evening(n):
        found = []
        for i, code in enumerate(parts[n]):
            at = from_now(0)
            found.append((f"{n}-{i}", code, at, devices[n].scan(code, f"{n}-{i}")))
            devices[n].client.judged = i < 10
        devices[n].client.judged = True
        return found

    with ThreadPoolExecutor(scanners) as pool:
        evenings = list(pool.map(evening, range(scanners)))
    took = time.monotonic() - begun
    answers = [said for found in evenings for _, _, _, said in found]
    assert Counter(said.get("reason", "ok") for said in answers) == {"ok": tickets, "already_used": tickets}, f"{took:.1f} s"
    assert {said["ticket"]["ticket_id"] for said in answers if said["result"] == "ok"} == set(codes)
    # whoever was refused was told who is in
    first = {said["ticket"]["ticket_id"]: (said["first_device"], said["first_used_at"]) for said in answers if said["result"] == "ok"}
    assert all(first[said["ticket"]["ticket_id"]] == (said["first_device"], said["first_used_at"]) for said in answers)
    assert states(plant, show) == {"used": tickets}
    agree(plant, show)
    counted = wait_until(lambda: (c := devices[0].counts())["in"] == tickets and c, "the counts", 5)
    assert counted["of"] == tickets and counted["refused"] == [{"reason": "already_used", "count": tickets}]
    # the same scans once more, as uploads: the same answers; and under other nonces: nobody is let in again
    for n in range(0, scanners, 5):
        same = devices[n].upload([(nonce, code, at) for nonce, code, at, _ in evenings[n]], from_now(0)).expect(200)
        assert [(item["result"], item["first_used_at"]) for item in same["items"]] == \
            [(said["result"], said["first_used_at"]) for _, _, _, said in evenings[n]]
        again = devices[n].upload([(f"x{nonce}", code, at) for nonce, code, at, _ in evenings[n]], from_now(0)).expect(200)
        assert (again["ok"], again["refused"]) == (0, len(parts[n]))
    agree(plant, show)


def test_offline_uploads_agree(make_stand, plant, rng):
    """Devices without a network let in what their bundle does not know as used; uploaded at once, each ticket counts once, and of every
    ticket the other devices are told who was first."""
    stand = make_stand(workers=2)
    show, codes = many(stand, plant, 300)
    devices = [Device(stand.admin(), show, f"Offline {n}") for n in range(6)]
    scans = {device.name: [] for device in devices}
    for i, code in enumerate(list(codes.values()) * 2):
        device = rng.choice(devices)
        scans[device.name].append((str(i), code, from_now(-3600 + rng.randrange(3000))))
    gate = threading.Barrier(len(devices))

    def send(device):
        gate.wait()
        return device.upload(scans[device.name], from_now(0)).expect(200)

    with ThreadPoolExecutor(len(devices)) as pool:
        said = list(pool.map(send, devices))
    assert sum(one["ok"] for one in said) == 300 and sum(one["refused"] for one in said) == 300
    assert {item["ticket"]["ticket_id"] for one in said for item in one["items"] if item["result"] == "ok"} == set(codes)
    winner = {item["ticket"]["ticket_id"]: device for device, one in zip(devices, said) for item in one["items"] if item["result"] == "ok"}
    for one in said:
        for item in one["items"]:
            if item["result"] == "refused":
                assert item["conflict"]["first_by_record"] == winner[item["ticket"]["ticket_id"]].name
    assert [send.upload(scans[send.name], from_now(0)).expect(200)["items"] for send in devices] == [one["items"] for one in said]
    agree(plant, show)


# ---- the bad evening -----------------------------------------------------------------------------------------------------

def raw_checkin(device, code, nonce):
    body = json.dumps({"code": code, "nonce": nonce, "device": device.name}).encode()
    return (f"POST {device.path} HTTP/1.1\r\nHost: door\r\nAuthorization: Bearer {device.client.token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n").encode() + body


def test_scanners_that_hang_up(make_stand, plant, rng):
    """Cut off anywhere, the same nonce later says what happened."""
    stand = make_stand(workers=2)
    show, codes = many(stand, plant, 40)
    device = Device(stand.admin(), show)
    where = urlsplit(stand.url)
    for n, code in enumerate(codes.values()):
        raw = raw_checkin(device, code, f"n{n}")
        with socket.create_connection((where.hostname, where.port)) as sock:
            sock.sendall(raw[:rng.choice([len(raw), len(raw), rng.randrange(len(raw))])])
            if rng.random() < 0.5:
                time.sleep(rng.random() / 100)
        said = device.scan(code, f"n{n}")
        assert said["result"] == "ok", said
        assert device.scan(code, f"n{n}") == said
        assert device.reason(code) == "already_used"
    assert states(plant, show) == {"used": 40}
    agree(plant, show)


def test_the_database_is_killed_in_the_middle(make_stand, plant, rng):
    """Whatever a scanner was told is true afterwards, and what it was not told the same nonce tells."""
    stand = make_stand(workers=2, work=False)
    show, codes = many(stand, plant, 200)
    todo, told, unknown = list(codes.items()), {}, {}

    def scanner(n):
        device = Device(stand.admin(), show, f"Door {n}")
        for i, (ticket, code) in enumerate(todo[n::8]):
            for _ in range(40):
                answer = device.ask(code, f"{i}")
                if answer.status == 200:
                    told[ticket] = (n, i, answer.json())
                    break
                assert answer.code in ("unavailable", "outcome_unknown"), answer
                unknown[ticket] = answer.code
                time.sleep(0.1)

    threads = [threading.Thread(target=scanner, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(2):
            had = len(told)
            wait_until(lambda: len(told) > had + 10, "check-ins under way", 20)
            plant.postgres.kill()
            time.sleep(0.3)
            plant.postgres.start()
    finally:
        plant.settle()
    for thread in threads:
        thread.join()
    assert len(told) == len(codes), "all were answered in the end"
    assert all(said["result"] == "ok" for _, _, said in told.values()), [said for _, _, said in told.values() if said["result"] != "ok"][:2]
    for ticket, (n, i, said) in rng.sample(sorted(told.items()), 20):
        assert Device(stand.admin(), show, f"Door {n}").scan(codes[ticket], f"{i}") == said
    assert states(plant, show) == {"used": 200}
    agree(plant, show)


def test_counts_and_bundles_use_the_index(make_stand, plant):
    """EXPLAIN: a show's tickets once, refusals from their index, nothing of another show."""
    stand = make_stand(workers=1, work=False)
    show, codes = many(stand, plant, 500)
    other, _ = many(stand, plant, 500)
    device = Device(stand.admin(), show)
    device.upload([(str(n), "junk", from_now(0)) for n in range(300)], from_now(0)).expect(200)
    with plant.sql() as db:
        db.execute("ANALYZE tickets, checkins, plan_seats")
        db.execute("SET enable_seqscan = off")
        [[plan_id]] = db.execute("SELECT plan_id FROM shows WHERE show_id = %s", [show.show_id]).fetchall()
        for name, args in [("door_counts", [show.show_id, plan_id]), ("door_changes", [show.show_id, 0])]:
            text = (ROOT / f"src/door/sql/{name}.sql").read_text()
            db.execute(f"PREPARE {name} AS {text}")
            [[plan]] = db.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE {name} (%s, %s)" % tuple(
                f"'{arg}'" for arg in args)).fetchall()
            nodes = list(walk(plan[0]["Plan"]))
            assert not [node for node in nodes if node["Node Type"] == "Seq Scan"], json.dumps(plan)[:2000]
            reads = [node for node in nodes if node.get("Relation Name") == "tickets"]
            assert sum(node["Actual Rows"] * node["Actual Loops"] + node.get("Rows Removed by Filter", 0) for node in reads) <= 1000
            if name == "door_counts":
                assert [node for node in nodes if node.get("Index Name") == "checkins_refused"]


def walk(node):
    yield node
    for child in node.get("Plans", []):
        yield from walk(child)
