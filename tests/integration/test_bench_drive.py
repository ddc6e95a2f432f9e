"""The load driver against the program: what it reports is what happened, and what must not happen makes a run unclean."""

import csv
import json
import signal
import subprocess
import sys
import time

import psycopg
import pytest

from service import ROOT

sys.path.append(str(ROOT / "tests/bench"))

from ground import bench_plan  # noqa: E402

ACTIVE = "SELECT count(*) FROM seat_locks WHERE show_id = %s AND state = 'active'"


@pytest.fixture
def sell(boxoffice, tmp_path):
    """A show of so many seats, as the driver names them: (its id, the file for the driver)."""

    def make(seats):
        show = boxoffice.api(boxoffice.admin_token).make_show(plan=bench_plan(seats))
        path = tmp_path / f"shows-{show.show_id}"
        path.write_text(f"{show.show_id}\t{seats}\n")
        return show.show_id, path

    return make


@pytest.fixture
def drive(build_dir, boxoffice):
    """Runs the driver: (exit status, what it said). That it got no time is passed over: other tests run on this machine too."""

    def run(scenario, *options):
        done = subprocess.run([build_dir / "tests/bench/bench_drive", scenario, "--url", boxoffice.url, *map(str, options)],
                              capture_output=True, text=True, timeout=90, check=False)
        assert done.returncode in (0, 1), done.stderr[-2000:]
        said = json.loads(done.stdout)
        assert done.returncode == (1 if said["unclean"] else 0), said
        said["unclean"] = [problem for problem in said["unclean"] if not problem.startswith("The driver got no time")]
        return 1 if said["unclean"] else 0, said

    return run


@pytest.fixture
def count(boxoffice):
    with psycopg.connect(boxoffice.up["database_url"], autocommit=True) as db:
        yield lambda sql, *args: db.execute(sql, args).fetchone()[0]


def test_every_lock_it_counts_is_there(drive, sell, count):
    show, file = sell(2000)
    status, said = drive("lock", "--shows", file, "--rate", 300, "--warmup", 0, "--seconds", 2, "--sessions", 1000)
    assert status == 0 and said["unclean"] == [], said["unclean"]
    assert said["accepted"] == said["by_status"]["201"] == count(ACTIVE, show) > 300
    latency = said["latency_us"]
    assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["max"]
    assert said["driver"]["cpu_s"] > 0 and said["driver"]["cpu_us_per_request"] > 0


def test_a_walk_that_meets_itself_is_unclean(drive, sell):
    _, file = sell(40)
    status, said = drive("lock", "--shows", file, "--rate", 200, "--warmup", 0, "--seconds", 1, "--sessions", 500)
    assert status == 1 and said["by_code"]["seats_unavailable"] > 0 and said["unclean"], said


def test_refusals_and_a_crowd(drive, sell, count):
    show, file = sell(500)
    status, said = drive("refuse", "--shows", file, "--taken", 100, "--rate", 500, "--warmup", 0, "--seconds", 1, "--sessions", 200)
    assert status == 0, said["unclean"]
    assert said["by_code"]["seats_unavailable"] >= said["accepted"] > 200
    assert count("SELECT count(*) FROM show_seats WHERE show_id = %s AND state = 1", show) == 100
    status, said = drive("rush", "--shows", file, "--taken", 100, "--rate", 10, "--losers", 20, "--warmup", 0, "--seconds", 1,
                         "--sessions", 500)
    assert status == 0, said["unclean"]
    assert count("SELECT count(*) FROM show_seats WHERE show_id = %s AND state = 1", show) == 100 + 2 * said["by_status"]["201"]


def test_whole_purchases(drive, sell, count):
    show, file = sell(300)
    status, said = drive("journey", "--shows", file, "--rate", 15, "--warmup", 0, "--seconds", 2, "--sessions", 100)
    assert status == 0, said["unclean"]
    assert said["accepted"] == count("SELECT count(*) FROM bookings WHERE show_id = %s AND state = 'confirmed'", show) > 5


def test_an_on_sale_sells_every_seat_once(drive, sell, count, tmp_path):
    show, file = sell(300)
    rows_file = tmp_path / "onsale.csv"
    status, said = drive("onsale", "--shows", file, "--buyers", 600, "--open-seconds", 3, "--think-ms", 100, "--connections", 100,
                         "--seconds", 60, "--csv", rows_file)
    assert status == 0 and said["free_at_the_end"] == 0 and said["sold_out_ms"] > 0, said
    assert count("SELECT count(*) FROM booking_seats WHERE show_id = %s AND released_at IS NULL", show) == 300
    assert count("SELECT count(DISTINCT seat_no) FROM booking_seats WHERE show_id = %s AND released_at IS NULL", show) == 300
    with open(rows_file, newline="", encoding="ascii") as lines:
        rows = list(csv.DictReader(lines))
    assert int(rows[0]["free"]) <= 300 and int(rows[-1]["free"]) == 0
    assert all(int(a["t_ms"]) <= int(b["t_ms"]) for a, b in zip(rows, rows[1:], strict=False))


def test_an_on_sale_that_sells_nothing_out_says_so(drive, sell):
    _, file = sell(2000)
    status, said = drive("onsale", "--shows", file, "--buyers", 20, "--open-seconds", 1, "--connections", 20, "--seconds", 2)
    assert status == 1 and any("sold" in sentence for sentence in said["unclean"]), said["unclean"]


def test_ctrl_c_tells_what_was_measured(build_dir, boxoffice, sell):
    _, file = sell(2000)
    process = subprocess.Popen([build_dir / "tests/bench/bench_drive", "lock", "--url", boxoffice.url, "--shows", file, "--rate", "50",
                                "--warmup", "0", "--seconds", "60", "--sessions", "100"], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    while process.stderr.readline().strip() != "counting":
        assert process.poll() is None
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=20)
    said = json.loads(out)
    assert said["interrupted"] and said["accepted"] > 0


@pytest.mark.parametrize("options, word", [
    (["--url", "http://192.0.2.1:80", "get"], "--url"), (["--rate", "0", "get", "--url", "http://127.0.0.1:1"], "--rate"),
    (["--no-such", "1", "get"], "--no-such"), (["dance", "--url", "http://127.0.0.1:1"], "dance"), ([], "scenario")])
def test_wrong_options_are_named(build_dir, options, word):
    done = subprocess.run([build_dir / "tests/bench/bench_drive", *options], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 2 and word in done.stderr.lower(), (done.returncode, done.stderr)
