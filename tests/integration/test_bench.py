"""The parts of the benchmark harness that are arithmetic and text. The driver against the program: test_bench_drive.py."""

import json
import sys
import xml.etree.ElementTree as ET

import jsonschema
import pytest

from service import ROOT

sys.path.append(str(ROOT / "tests/bench"))

import drive  # noqa: E402
import figures  # noqa: E402
import pgbench  # noqa: E402
import plot  # noqa: E402
import rows  # noqa: E402
from ground import bench_plan  # noqa: E402


def figure(numerator, denominator=(), goal=4.0, **fields):
    return figures.Figure("x", "what", goal, denominator="pgbench" if denominator else "", numerator_values=list(numerator),
                          denominator_values=list(denominator), **fields)


def test_a_ratio_is_taken_per_round_not_of_the_medians():
    f = figure([10, 40, 30], [2, 10, 10])
    assert f.values() == [5, 4, 3]
    assert (f.median, f.met) == (4, True)


@pytest.mark.parametrize("value, direction, met", [
    (4.0, figures.AT_LEAST, True), (3.99, figures.AT_LEAST, False), (4.0, figures.AT_MOST, True), (4.01, figures.AT_MOST, False)])
def test_a_goal_is_met_at_its_very_value(value, direction, met):
    assert figure([value], direction=direction).met is met


def test_an_unclean_figure_has_no_ratio_and_has_not_met_its_goal():
    f = figure([100], [1], unclean=["a seat was sold twice"])
    assert (f.median, f.met, f.as_json()["min"]) == (None, False, None)
    assert f.as_json()["unclean"] == ["a seat was sold twice"]
    assert figures.verdict(f) == "UNCLEAN"


def test_rounds_on_both_sides_of_the_goal_are_said_to_be():
    unsure = figure([3.7, 5, 6.2], [1, 1, 1])
    assert unsure.met is True and unsure.straddles
    assert any("both sides of the goal" in line for line in figures.table([unsure]))
    assert not figure([4.5, 5], [1, 1]).straddles and not figure([1, 2], [1, 1]).straddles


def test_a_condition_that_does_not_hold_outweighs_a_good_ratio():
    assert figure([9], [1], conditions=[("memory bounded", True)]).met is True
    assert figure([9], [1], conditions=[("memory bounded", False)]).met is False


def test_what_was_not_measured_is_neither_met_nor_missed():
    assert figure([]).met is False  # measured, and nothing came of it
    assert figure([], missing="not there yet").met is None
    assert figure([5], goal=None).met is None


@pytest.mark.parametrize("value, text", [
    (0, "0"), (0.8512, "0.851"), (4.104, "4.10"), (67.44, "67.4"), (25632, "25,600"), (126.4, "126"), (None, "-"), (999.6, "1,000"),
    (0.00123, "0.00123")])
def test_numbers_have_three_digits(value, text):
    assert figures.number(value) == text


def test_the_table_says_all_that_has_to_be_known():
    lines = figures.table([figure([10.0], [2.0], note="postgresql 22 us"), figure([1.0], [1.0], unclean=["the driver was the limit"]),
                           figure([], missing="not there yet: a goal")])
    text = "\n".join(lines)
    assert "5.00" in text and "met" in text and ">= 4" in text and "postgresql 22 us" in text
    assert "UNCLEAN: the driver was the limit" in text and "1.00" not in text
    assert "not there yet: a goal" in text


def test_the_report_is_as_its_schema_says():
    found = [figure([1.0, 2.0], [1.0, 1.0]), figure([3.0]), figure([], unclean=["no rate held"]), *map(rows.figure, rows.NAMES)]
    report = figures.report(found, {"cores": 2}, {"postgresql": "15"}, "abc", {}, "2030-01-01T00:00:00+00:00", 1.5, 5)
    jsonschema.validate(json.loads(json.dumps(report)), figures.SCHEMA)


def test_a_percentile_is_a_value_that_was_measured():
    assert figures.percentile([3, 1, 2, 4], 0.5) == 2
    assert figures.percentile(range(1, 101), 0.99) == 99
    assert figures.percentile([7], 0.99) == 7


def test_the_best_two_numbers_of_clients():
    assert figures.best_two({1: 10, 8: 50, 16: 60, 32: 55}) == [16, 32]


class Run:
    """A drive of a server that holds so many a second."""

    def __init__(self, rate, capacity):
        held = min(rate, capacity)
        self.rate, self.unclean = held, []
        self.json = {"driver": {"limited_by_driver": False}, "rate": held, "seconds": 2.5, "asked_rate": rate}

    def latency_us(self, which):
        return 5000


@pytest.mark.parametrize("start", [900, 1000, 1100, 3000])
def test_the_search_finds_what_holds(start):
    best, tried = drive.search(lambda rate: Run(rate, 1000), start, probes=4)
    assert 850 <= best.rate <= 1031, tried
    assert best.json["rate"] >= 0.97 * best.json["asked_rate"]


def test_a_search_that_finds_nothing_says_what_was_wrong():
    def wrong(rate):
        run = Run(rate, 1000)
        run.unclean = ["a seat was sold twice"]
        return run

    with pytest.raises(drive.Unclean, match="a seat was sold twice"):
        drive.search(wrong, 1000)


def test_scripts_take_the_programs_own_statements():
    """Each parameter of a statement is given, and no more: a statement that changed is noticed here, not in an hour of measuring."""
    for path in sorted((ROOT / "tests/bench/sql").glob("*.sql")):
        text = pgbench.expand(path.read_text(), ROOT / "src")
        code = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
        assert "@" not in code.replace("ada@example.org", "") and "$" not in code, path
        assert text.count("BEGIN;") == text.count("COMMIT;"), path


def test_a_bench_plan_names_its_seats_by_their_number():
    plan = bench_plan(250)
    guids = [seat["seat_guid"] for row in plan["zones"][0]["rows"] for seat in row["seats"]]
    assert guids == [f"S-{k}" for k in range(250)]


@pytest.mark.parametrize("top, ticks", [(0, [0, 1]), (7, [0, 2, 4, 6, 8]), (100, [0, 25, 50, 75, 100]), (20000, [0, 5000, 10000, 15000, 20000])])
def test_ticks_are_round_and_reach_the_top(top, ticks):
    assert plot.nice_ticks(top) == ticks


def test_the_picture_of_a_sale_has_its_panels_and_is_xml():
    csv = ("t_ms,free,locks_ok,locks_refused,bookings,reads,errors,lock_p50_us,lock_p99_us\n"
           "0,2000,0,0,0,0,0,0,0\n100,1900,50,10,5,160,0,9359,15927\n200,0,40,90,60,10,0,4000,9000\n")
    picture = plot.onsale(plot.read_csv(csv), 2000, "20 buyers & <2,000> seats")
    root = ET.fromstring(picture)
    space = {"s": "http://www.w3.org/2000/svg"}
    assert len(root.findall(".//s:polyline", space)) == 7
    said = [element.text for element in root.findall(".//s:text", space)]
    assert "20 buyers & <2,000> seats" in said
    for word in ("Sold (per second)", "The crowd (per second)", "Latency of a lock (ms)", "Free seats (seats)", "locks refused", "p99"):
        assert word in said
    assert "prefers-color-scheme: dark" in picture
    plot.onsale([], 10, "nothing happened")


def test_every_row_is_listed_once_with_its_goal():
    lines = rows.listing()
    assert len(lines) == len(rows.NAMES) == len(set(rows.NAMES))
    assert any(line.startswith("lock ") and "4" in line for line in lines)

