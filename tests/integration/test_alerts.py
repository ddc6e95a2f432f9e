"""Alert rules, their unit tests, their runbooks and the dashboard: each of a metric that the running program has."""

import json
import re
import shutil
import subprocess
import tempfile
import urllib.request
from pathlib import Path

import pytest
import yaml

from service import ROOT, Boxoffice, free_port

RULES = ROOT / "deploy/prometheus/boxoffice.rules.yml"
TESTS = ROOT / "deploy/prometheus/boxoffice.rules.test.yml"
DASHBOARD = ROOT / "deploy/grafana/boxoffice.json"


def rules():
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def promtool(*args, stdin=None):
    program = shutil.which("promtool")
    assert program, "promtool is not installed (Debian package prometheus): make deps-test"
    return subprocess.run([program, *map(str, args)], input=stdin, capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="module")
def exposition(build_dir, base_dir):
    """What serve and work expose, after a purchase: of metrics with two labels only what occurred is shown."""
    port = free_port()
    office = Boxoffice(build_dir, tempfile.mkdtemp(dir=base_dir), "--workers", "1", env={"BOXOFFICE_WORK_PORT": str(port)}).start()
    show, buyer = office.admin().make_show(seats=10), office.session()
    lock = buyer.lock(show.show_id, show.seats[:1]).expect(201)["lock_id"]
    buyer.book(show.show_id, lock).expect(201)
    text = ""
    for url in (office.url, f"http://127.0.0.1:{port}"):
        with urllib.request.urlopen(url + "/metrics", timeout=10) as answer:
            text += answer.read().decode()
    yield text
    office.close()


@pytest.fixture(scope="module")
def exposed(exposition):
    """{name: {label: values}} of every series."""
    found = {}
    for name, labels in re.findall(r"^(boxoffice_\w+)(?:\{(.*)\})? ", exposition, re.M):
        known = found.setdefault(name, {})
        for label, value in re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels):
            known.setdefault(label, set()).add(value)
    return found


def selectors(expression):
    """[(metric, [(label, operator, value)])] of an expression."""
    return [(name, re.findall(r'(\w+)(=~|!~|!=|=)"([^"]*)"', inside or ""))
            for name, inside in re.findall(r'\b(boxoffice_\w+)(?:\{((?:"[^"]*"|[^"}])*)\})?', expression)]


def assert_exists(expression, exposed, where):
    found = selectors(expression)
    assert found, f"{where}: no metric of ours in {expression}"
    for name, matchers in found:
        assert name in exposed, f"{where}: nothing exposes {name}"
        for label, operator, value in matchers:
            assert label in exposed[name], f"{where}: {name} has no label {label}"
            if operator in ("=", "!="):
                wanted = {value}
            else:
                wanted = set(value.split("|"))
            # (a class of status shows up when it has occurred)
            missing = wanted - exposed[name][label] - ({"5xx"} if label == "status" else set())
            assert not missing, f"{where}: {name} has no {label} {missing}, it has {sorted(exposed[name][label])}"


def test_the_rules_are_well_formed():
    done = promtool("check", "rules", RULES)
    assert done.returncode == 0 and f"{len(rules())} rules found" in done.stdout, done.stdout + done.stderr


def test_the_unit_tests_of_the_rules_hold():
    done = promtool("test", "rules", TESTS)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_rule_has_a_test_that_fires_and_one_that_does_not():
    fires, silent = set(), set()
    for test in yaml.safe_load(TESTS.read_text())["tests"]:
        assert test["input_series"], test["name"]
        for case in test["alert_rule_test"]:
            (fires if case["exp_alerts"] else silent).add(case["alertname"])
    names = {rule["alert"] for rule in rules()}
    assert len(names) == len(rules()), "two rules have one name"
    assert names == fires == silent, f"without a test that fires {names - fires}, or one that does not {names - silent}"


def test_a_rule_that_says_something_else_fails_its_test(work_dir):
    """The unit tests see the rules: with a bound changed they fail."""
    tests = yaml.safe_load(TESTS.read_text())
    tests["tests"] = [test for test in tests["tests"] if test["name"].startswith("SalesClosed")]
    (Path(work_dir) / TESTS.name).write_text(yaml.safe_dump(tests))
    text = RULES.read_text()
    (Path(work_dir) / RULES.name).write_text(text.replace("max(boxoffice_sales_closed) > 0", "max(boxoffice_sales_closed) > 1"))
    done = promtool("test", "rules", Path(work_dir) / TESTS.name)
    assert done.returncode == 1 and "SalesClosed" in done.stdout + done.stderr


@pytest.mark.parametrize("invariant", ["I1", "I2", "I3", "I4", "I5", "I6"])
def test_each_invariant_that_is_watched_has_a_rule(invariant):
    assert [rule["alert"] for rule in rules() if f'invariant="{invariant}"' in rule["expr"]]


def test_each_rule_has_a_section_in_a_runbook():
    written = {}
    for page in sorted((ROOT / "docs/runbooks").glob("*.md")):
        for title, text in re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", page.read_text(), re.M | re.S):
            assert title not in written, f"{title} has two sections"
            written[title] = (f"docs/runbooks/{page.name}#{title.lower()}", text)
    assert set(written) == {rule["alert"] for rule in rules()}
    for rule in rules():
        address, text = written[rule["alert"]]
        assert rule["annotations"]["runbook"] == address
        for part in ("**What it means.**", "**Look.**", "**Do.**"):
            assert len(text.partition(part)[2]) > 20, f"{rule['alert']} does not say: {part}"
        assert rule["labels"]["severity"] in ("critical", "warning") and rule["labels"]["severity"] in text


def test_rules_are_about_metrics_that_are_exposed(exposed):
    for rule in rules():
        assert_exists(rule["expr"], exposed, rule["alert"])


def test_the_tests_of_the_rules_use_series_that_are_exposed(exposed):
    for test in yaml.safe_load(TESTS.read_text())["tests"]:
        for series in test["input_series"]:
            assert_exists(re.sub(r',?instance="\w+"', "", series["series"]), exposed, test["name"])


def test_the_dashboard_shows_what_is_exposed(exposed):
    dashboard = json.loads(DASHBOARD.read_text())
    shown = set()
    for panel in dashboard["panels"]:
        assert panel["type"] == "row" or panel["targets"], panel["title"]
        for target in panel.get("targets", []):
            assert_exists(target["expr"], exposed, panel["title"])
            shown.update(name for name, _ in selectors(target["expr"]))
            # an expression that Prometheus understands
            rule = {"groups": [{"name": "x", "rules": [{"record": "x", "expr": target["expr"].replace("$__rate_interval", "5m")}]}]}
            target["rule"] = rule["groups"][0]["rules"][0]
    everything = {"groups": [{"name": "x", "rules": [{**t["rule"], "record": f"x:{i}"} for i, t in enumerate(
        t for panel in dashboard["panels"] for t in panel.get("targets", []))]}]}
    done = promtool("check", "rules", "/dev/stdin", stdin=yaml.safe_dump(everything))
    assert done.returncode == 0, done.stdout + done.stderr
    # every metric of ours is on it
    bases = {re.sub(r"_(bucket|count|sum)$", "", name) for name in exposed}
    assert bases == {re.sub(r"_(bucket|count|sum)$", "", name) for name in shown}


def test_the_exposition_is_prometheus_own(exposition):
    """Of one process as promtool reads it."""
    serve = exposition[:exposition.index("# HELP boxoffice_http_requests_total", 10)]
    done = promtool("check", "metrics", stdin=serve)
    assert done.returncode == 0, done.stdout + done.stderr
