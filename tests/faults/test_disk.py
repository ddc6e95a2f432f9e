"""PostgreSQL's disk fills up, a real one of some megabytes: no seats are locked and nothing is sold, what was begun is settled, and
with room it goes on by itself."""

import contextlib
import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from gateway import bank
from service import wait_until
from stand import Plant, Stand, assert_agreement, living_locks
from till import CANCELLATION, Till

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount the small disk that this needs")

SECURE = "pm_card_threeDSecureRequired"
MB = 1024 * 1024
WANTED_MB = 40


class Disk:
    """A file system of its own, in memory."""

    def __init__(self, folder, megabytes):
        self.path = Path(folder)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "boxoffice-test", str(self.path)], check=True)
        self.filler = self.path / "filler"

    def free_mb(self):
        stat = os.statvfs(self.path)
        return stat.f_bavail * stat.f_frsize // MB

    def leave(self, megabytes):
        """So much is free now; None: all that can be."""
        if megabytes is None:
            self.filler.unlink(missing_ok=True)
            return
        with open(self.filler, "ab") as file:  # never smaller than it has to be, not even for a moment
            stat, size = os.statvfs(self.path), os.fstat(file.fileno()).st_size
            wanted = size + stat.f_bavail * stat.f_frsize - megabytes * MB
            if wanted > size:
                os.posix_fallocate(file.fileno(), size, wanted - size)
            else:
                os.ftruncate(file.fileno(), wanted)

    def close(self):
        subprocess.run(["umount", "--lazy", str(self.path)], check=True)


@pytest.fixture
def disk(base_dir):
    folder = Path(tempfile.mkdtemp(dir=base_dir))
    disk = Disk(folder, 400)
    yield disk
    disk.close()


def free_of_charge(stand, show, guid):
    buyer = stand.session()
    lock = buyer.lock(show.show_id, [guid]).expect(201)["lock_id"]
    return buyer, buyer.post(f"/v1/shows/{show.show_id}/bookings", {
        "lock_id": lock, "buyer": {"name": "Ada", "email": "ada@example.org"}}).expect(201)


def test_nearly_full_nothing_is_begun_and_all_is_settled(build_dir, disk):
    till = Till(build_dir, disk.path / "till", "--disk-paths", f"{disk.path}:/", "--disk-free-min-mb", str(WANTED_MB))
    try:
        show = till.admin_api.make_show(seats=40, cancellation=CANCELLATION)
        path = f"/v1/shows/{show.show_id}"
        buyer = till.session()

        def book(lock, **payment):
            return buyer.post(f"{path}/bookings", {"lock_id": lock, "buyer": {"name": "Ada", "email": "ada@example.org"},
                                                   "payment": {"method": "pm_card_visa", **payment}})

        booked = book(buyer.lock(show.show_id, show.seats[:2]).expect(201)["lock_id"]).expect(201)
        secured = book(buyer.lock(show.show_id, [show.seats[2]]).expect(201)["lock_id"], method=SECURE,
                       return_url=till.url + "/done").expect(201)
        held = buyer.lock(show.show_id, [show.seats[3]]).expect(201)["lock_id"]

        disk.leave(WANTED_MB - 15)
        till.wait_ready("closed")
        for refused in (till.session().lock(show.show_id, [show.seats[5]]), book(held),
                        till.admin_api.post(f"/v1/events/{show.event_id}/shows", {})):
            refused.expect(503, "unavailable")
            assert "disk of the database is nearly full" in refused.json()["detail"] and int(refused.headers["Retry-After"]) > 0
        ready = till.api().get("/readyz").json()
        assert ready["dependencies"]["disk"] == {"status": "down", "error": "PostgreSQL's disk is nearly full"}
        assert ready["dependencies"]["postgresql"] == {"status": "up"}
        wait_until(lambda: till.metric("boxoffice_disk_low") == 1, "the metric")
        assert "the disk of PostgreSQL is nearly full" in till.log()
        # what was begun goes on, and what is read: a capture, a refund, a release
        bank(secured["payment"]["next_action"]["redirect_to_url"]["url"], "authorise")
        wait_until(lambda: buyer.get(f"{path}/bookings/{secured['booking_id']}").expect(200)["status"] == "confirmed", "the capture", 20)
        assert buyer.cancel(show.show_id, booked["booking_id"]).expect(200)["refund"]["status"] == "succeeded"
        till.api().get(f"{path}/seats").expect(200)
        buyer.release(show.show_id, held).expect(204)

        # a little more is not enough: it would be full again at once
        disk.leave(WANTED_MB + 4)
        with till.plant.sql() as db:
            wait_until(lambda: db.execute("SELECT free_mb >= %s, low FROM disk_reports", [WANTED_MB]).fetchone() == (True, True), "a report", 20)
        till.session().lock(show.show_id, [show.seats[5]]).expect(503)
        disk.leave(None)
        till.wait_ready("ready")
        till.session().lock(show.show_id, [show.seats[5]]).expect(201)
        wait_until(lambda: till.metric("boxoffice_disk_low") == 0, "the metric")
    finally:
        disk.leave(None)
        till.close()


def test_who_reported_and_fell_silent_is_not_believed_for_ever(build_dir, disk):
    """The machine of the database was taken away while its disk was low."""
    plant = Plant(build_dir, disk.path / "plant")
    stand = Stand(plant, workers=1)
    try:
        with plant.sql() as db:
            db.execute("INSERT INTO disk_reports (place, low, free_mb) VALUES ('gone', true, 3)")
            stand.wait_ready("closed")
            db.execute("UPDATE disk_reports SET seen_at = seen_at - interval '5 minutes'")
        stand.wait_ready("ready")
    finally:
        stand.close()
        plant.close()


def test_folders_that_are_not_there(build_dir, tmp_path, base_dir):
    """A setting that watches over nothing is refused; a folder that goes is said, once, and that it is back."""
    for paths, said in ((":", 'disk-paths: ":" names no folder'), (f"{tmp_path}/none", "none: No such file")):
        secret = tmp_path / "secret"
        secret.write_text("0" * 64)
        done = subprocess.run([build_dir / "boxoffice", "work", "--disk-paths", paths, "--database-url", "postgresql://127.0.0.1:1/x",
                               "--redis-url", "redis://127.0.0.1:1", "--secret-file", secret], capture_output=True, text=True, timeout=30)
        assert done.returncode == 2 and said in done.stderr, done
    plant = Plant(build_dir, Path(tempfile.mkdtemp(dir=base_dir)) / "plant")
    folder = tmp_path / "folder"
    folder.mkdir()
    stand = Stand(plant, "--disk-paths", str(folder), "--disk-free-min-mb", "1", workers=1)
    try:
        folder.rmdir()
        wait_until(lambda: "cannot be looked at" in stand.log(), "a line of the log")
        folder.mkdir()
        wait_until(lambda: "looked at again" in stand.log(), "another line of the log")
        assert stand.log().count("cannot be looked at") == 1
    finally:
        stand.close()
        plant.close()


def test_full_to_the_last_byte(build_dir, disk):
    """Nobody watches, and there is no room at all: whoever is told that he has a lock has it; with room it goes on."""
    plant = Plant(build_dir, disk.path / "plant")
    stand = Stand(plant, workers=2)
    try:
        show = stand.admin().make_show(seats=3000, per_row=100)
        disk.leave(0)
        answers, refused = [], 0
        for i in range(0, 2990, 10):
            answers += [stand.session().lock(show.show_id, show.seats[i:i + 10])]
            refused += answers[-1].status == 503
            if refused == 5:
                break
        assert refused, "the disk was never full"
        for answer in answers:
            assert answer.status == 201 or (answer.status == 503 and answer.code in ("unavailable", "outcome_unknown")), answer
        disk.leave(None)
        with contextlib.suppress(RuntimeError):
            plant.postgres.ensure_running()
        wait_until(lambda: stand.session().lock(show.show_id, [show.seats[2999]]).status in (201, 409), "selling again", 40)
        stand.wait_ready("ready")
        assert_agreement(stand, show)
        with plant.sql() as db:
            living = {str(lock) for lock in living_locks(db, show)}
        kept = {answer.json()["lock_id"] for answer in answers if answer.status == 201}
        assert kept <= living, f"acknowledged and gone: {kept - living}"
    finally:
        disk.leave(None)
        plant.postgres.ensure_running()
        stand.close()
        plant.close()
