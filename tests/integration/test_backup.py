"""`boxoffice admin backup` and `restore`: a moment of the database, brought back; sales stay closed until the gateway's books and
ours agree again."""

import contextlib
import copy
import json
import os
import signal
import subprocess
import tempfile
import urllib.request
from pathlib import Path

import psycopg
import pytest

from gateway import Simulator
from service import wait_until
from stand import Plant, Stand
from till import CANCELLATION, PRICE

SECURE = "pm_card_threeDSecureRequired"


class ClosedStand(Stand):
    """Ready when it says that sales are closed."""

    def wait_ready(self, status="closed", timeout_s=20):
        super().wait_ready(status, timeout_s)


@pytest.fixture(scope="module")
def place(build_dir, base_dir):
    """A plant and a gateway of this module's own."""
    place = Place(build_dir, Path(tempfile.mkdtemp(dir=base_dir)))
    yield place
    place.close()


class Place:
    def __init__(self, build_dir, folder):
        self.plant = Plant(build_dir, folder)
        self.gateway = Simulator(build_dir, folder)
        self.folder = folder
        self.payment = ["--payment-url", self.gateway.url, "--payment-key-file", str(self.gateway.key_file)]

    def close(self):
        self.gateway.stop()
        self.plant.close()

    def database(self, name):
        """The same plant with another database, which is made and empty."""
        self.plant.postgres.psql(f'CREATE DATABASE "{name}"')
        plant = copy.copy(self.plant)
        plant.postgres = copy.copy(self.plant.postgres)
        plant.postgres.url_as = lambda user: f"postgresql:///{name}?host={self.plant.postgres.dir}&user={user}"
        plant.postgres.url = plant.postgres.url_as("postgres")
        return plant

    def start(self, *args, timeout=60, plant=None):
        plant = plant or self.plant
        return subprocess.Popen([plant.program, "admin", *args, "--migrate-url", plant.postgres.url], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})

    def admin(self, *args, status=0, plant=None):
        """What it prints to both."""
        process = self.start(*args, plant=plant)
        said, wrong = process.communicate(timeout=60)
        assert process.returncode == status, f"admin {args}: {process.returncode}: {said}{wrong}"
        return said + wrong

    def finish(self, plant, *args, status=0):
        return self.admin("restore", "--finish", *args, "--database-url", plant.postgres.url, "--redis-url", plant.redis.unix_url,
                          "--secret-file", str(plant.secret), *self.payment, status=status, plant=plant)

    def backup(self, name):
        folder = self.folder / name
        said = self.admin("backup", str(folder))
        assert f"{folder} is a backup" in said
        return folder

    def net(self, show):
        """{booking: what the gateway has kept for it}."""
        kept = {}
        for intent in self.gateway.ledger()["payment_intents"]:
            if intent["metadata"].get("show") == show.show_id:
                booking = intent["metadata"]["booking"]
                kept[booking] = kept.get(booking, 0) + intent["amount_captured"] - intent["amount_refunded"]
        return {booking: minor for booking, minor in kept.items() if minor}


def buy(stand, show, seats, method="pm_card_visa"):
    buyer = stand.session()
    lock = buyer.lock(show.show_id, seats).expect(201)["lock_id"]
    booking = buyer.book(show.show_id, lock, method).expect(201)
    booking["buyer"] = buyer
    return booking


def folders(place):
    return sorted(path.name for path in place.folder.iterdir() if path.is_dir())


def test_what_was_sold_after_the_backup_is_given_back(place):
    stand = Stand(place.plant, *place.payment, workers=1)
    show = stand.admin().make_show(seats=20)
    kept = buy(stand, show, show.seats[0:2])
    stand.session().lock(show.show_id, show.seats[4:5]).expect(201)  # held at the moment of the backup
    with place.plant.sql() as db:
        db.execute("UPDATE seat_locks SET expires_at = now() + interval '1 second' WHERE state = 'active'")
        db.execute("UPDATE show_seats SET expires_at = now() + interval '1 second' WHERE state = 1")
    stand.admin().post("/v1/staff/users", {"email": "a@staff.example", "scopes": ["events"]}).expect(201)
    with place.plant.sql() as db:
        db.execute("INSERT INTO staff_logins (login_id, user_id, token_hash, ends_at) SELECT gen_random_uuid(), user_id, 'x', "
                   "now() + interval '1 hour' FROM staff_users")
    folder = place.backup("one")
    manifest = json.loads((folder / "manifest.json").read_text())
    with place.plant.sql() as db:
        assert manifest["rows"]["bookings"] == 1 and manifest["rows"]["show_seats"] == 20
        assert manifest["schema"] == db.execute("SELECT max(version) FROM schema_migrations").fetchone()[0]
    lost = buy(stand, show, show.seats[2:4])
    waiting = buy(stand, show, show.seats[6:7], SECURE)
    assert waiting["payment"]["status"] == "requires_action"
    made_later = stand.admin().make_show(seats=10)
    assert place.net(show) == {kept["booking_id"]: 2 * PRICE, lost["booking_id"]: 2 * PRICE}
    # Redis remembers what the database will have forgotten
    assert set(stand.api().taken(show.show_id)) >= set(show.seats[0:4])
    stand.close()

    restored = place.database("restored")
    said = place.admin("restore", str(folder), plant=restored)
    assert "Sales are closed" in said and "bringing back bookings" in said
    assert "API tokens and 1 people" in said and "1 logins were ended" in said, said
    with restored.sql() as db:
        assert db.execute("SELECT count(*) FROM staff_logins").fetchone() == (0,), "who has logged out since is not logged in again"
    stand = ClosedStand(restored, *place.payment, workers=1)
    try:
        refused = stand.session().lock(show.show_id, show.seats[8:9])
        refused.expect(503, "unavailable")
        assert "a backup of 20" in refused.json()["detail"] and refused.headers["Retry-After"] == "60"
        stand.api().get(f"/v1/shows/{made_later.show_id}").expect(404)
        stand.api().get(f"/v1/shows/{show.show_id}").expect(200)
        # without being told to, money is not touched: it is named, and sales stay closed
        said = place.finish(restored, status=1)
        assert "1 payments at the gateway have no booking here" in said and "sales stay closed" in said, said
        assert place.net(show)[lost["booking_id"]] == 2 * PRICE
        stand.session().lock(show.show_id, show.seats[8:9]).expect(503)

        said = place.finish(restored, "--refund-orphans")
        assert "keys of seat maps dropped" in said and "sales are open" in said, said
        assert place.net(show) == {kept["booking_id"]: 2 * PRICE}
        [held] = [i for i in place.gateway.ledger()["payment_intents"] if i["metadata"].get("booking") == waiting["booking_id"]]
        assert held["status"] == "canceled"
        stand.wait_ready("ready")
        assert stand.api().taken(show.show_id) == dict.fromkeys(show.seats[0:2], "booked")
        again = buy(stand, show, show.seats[2:4])
        assert place.net(show) == {kept["booking_id"]: 2 * PRICE, again["booking_id"]: 2 * PRICE}
        check = subprocess.run([restored.program, "check", "--once", "--database-url", restored.postgres.url, "--redis-url",
                                restored.redis.unix_url, *place.payment], capture_output=True, text=True, timeout=60)
        assert check.returncode == 0 and "the gateway's ledger compared" in check.stdout, check.stdout + check.stderr
        # there is nothing to finish any more, and what was given back is not found again
        assert "no restore waits for its end (sales are open)" in place.finish(restored, status=1)
    finally:
        stand.close()


def test_what_was_given_back_after_the_backup_is_for_a_person(place):
    """The booking is confirmed again and its money is gone: nobody can know what is right, so it is named."""
    stand = Stand(place.plant, *place.payment, workers=1)
    show = stand.admin().make_show(seats=10, cancellation=CANCELLATION)
    booking = buy(stand, show, show.seats[0:1])
    folder = place.backup("two")
    booking["buyer"].cancel(show.show_id, booking["booking_id"]).expect(200)
    stand.close()
    restored = place.database("cancelled")
    place.admin("restore", str(folder), plant=restored)
    stand = ClosedStand(restored, *place.payment, workers=1)
    try:
        said = place.finish(restored, "--refund-orphans", status=1)
        assert f"booking {booking['reference']} (confirmed): the gateway has captured {PRICE}" in said, said
        assert "the check is not clean; sales stay closed" in said
        stand.session().lock(show.show_id, show.seats[2:3]).expect(503)
        assert "sales are open" in place.admin("open-sales", "--how", "the buyer was told", plant=restored)
        stand.wait_ready("ready")
        stand.session().lock(show.show_id, show.seats[2:3]).expect(201)
    finally:
        stand.close()


def test_sales_are_closed_and_opened_by_hand(place):
    stand = Stand(place.plant, *place.payment, workers=2)
    try:
        show = stand.admin().make_show(seats=10)
        buyer = stand.session()
        lock = buyer.lock(show.show_id, show.seats[:1]).expect(201)["lock_id"]
        assert "--how" in place.admin("close-sales", status=2)
        place.admin("close-sales", "--how", "the hall floods")
        stand.wait_ready("closed")
        for answer in (buyer.lock(show.show_id, show.seats[1:2]), buyer.book(show.show_id, lock), buyer.release(show.show_id, lock)):
            answer.expect(503, "unavailable")
            assert "Sales are closed for now: the hall floods. Nothing was changed." in answer.json()["detail"]
        buyer.lock_state(show.show_id, lock).expect(200)
        with urllib.request.urlopen(stand.url + "/metrics", timeout=10) as metrics:
            assert "\nboxoffice_sales_closed 1\n" in metrics.read().decode()
        place.admin("open-sales", "--how", "it is dry")
        stand.wait_ready("ready")
        assert buyer.book(show.show_id, lock).expect(201)["status"] == "confirmed"
    finally:
        with contextlib.suppress(AssertionError):
            place.admin("open-sales", "--how", "the end of the test")
        stand.close()


def test_nothing_is_overwritten(place):
    folder = place.backup("three")
    assert "a backup overwrites nothing" in place.admin("backup", str(folder), status=1)
    assert "the database is not empty" in place.admin("restore", str(folder), status=1)
    assert not [name for name in folders(place) if "unfinished" in name]


def test_what_is_damaged_is_not_restored(place):
    folder, plant = place.backup("four"), place.database("damaged")
    data = folder / "data.dump"
    whole = data.read_bytes()
    data.write_bytes(whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:])
    assert "another size or checksum" in place.admin("restore", str(folder), status=1, plant=plant)
    data.write_bytes(whole[:-1])
    assert "another size or checksum" in place.admin("restore", str(folder), status=1, plant=plant)
    data.write_bytes(whole)
    manifest = folder / "manifest.json"
    text = manifest.read_text()
    manifest.write_text(text[:-10])
    assert "is not a whole backup" in place.admin("restore", str(folder), status=1, plant=plant)
    manifest.write_text(json.dumps({**json.loads(text), "schema": 9999}))
    assert "take the program that fits" in place.admin("restore", str(folder), status=1, plant=plant)
    manifest.write_text(text)
    place.admin("restore", str(folder), plant=plant)


# the first is waited for by the counting, the second by pg_dump
@pytest.mark.parametrize("sig, table", [(signal.SIGINT, "webhook_events"), (signal.SIGTERM, "ONLY seat_lock_history")])
def test_a_backup_that_is_stopped_leaves_nothing(place, sig, table):
    before = folders(place)
    with psycopg.connect(place.plant.postgres.url) as db:
        db.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        process = place.start("backup", str(place.folder / "stopped"))
        with place.plant.sql() as look:
            wait_until(lambda: look.execute("""SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'
                AND application_name LIKE 'boxoffice %%'""").fetchone(), "something waits for the table")
        process.send_signal(sig)
        said, wrong = process.communicate(timeout=20)
    assert process.returncode == 1 and "no backup was made" in wrong, said + wrong
    assert folders(place) == before


def test_a_restore_that_is_stopped_leaves_nothing(place):
    folder, plant = place.backup("five"), place.database("stopped")
    with psycopg.connect(plant.postgres.url) as db:
        db.execute("CREATE TABLE webhook_events (x int)")  # not committed: the restore waits for what becomes of it
        process = place.start("restore", str(folder), plant=plant)
        with place.plant.sql() as look:
            wait_until(lambda: look.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = 'stopped'").fetchone(),
                       "the restore waits")
        process.send_signal(signal.SIGINT)
        said, wrong = process.communicate(timeout=20)
        db.rollback()
        assert process.returncode == 1 and "nothing was restored: stopped" in wrong, said + wrong
        assert db.execute("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace").fetchone() == (0,)
    place.admin("restore", str(folder), plant=plant)
