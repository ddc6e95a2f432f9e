"""The ticket code as strangers see it: the Python of docs/ticket-format.md against our codes, and verify-ticket."""

import json
import os
import random
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PROBE = (ROOT / os.environ.get("BOXOFFICE_BUILD_DIR", "build/asan")) / "tests/integration/bin/ticket_probe"
DOCUMENT = (ROOT / "docs/ticket-format.md").read_text()


@pytest.fixture(scope="module")
def theirs():
    """verify() as the document has it."""
    (source,) = re.findall(r"^```python\n(.*?)^```$", DOCUMENT, re.S | re.M)
    namespace = {"__name__": "document"}
    exec(compile(source, "docs/ticket-format.md", "exec"), namespace)
    return namespace["verify"]


@pytest.fixture(scope="module")
def issued():
    return json.loads(subprocess.check_output([PROBE, "codes", "50"]))


@pytest.fixture
def keys_file(issued, tmp_path):
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"keys": issued["keys"]}))
    return path


def verify(*args, stdin=""):
    done = subprocess.run([PROBE, "verify", *args], input=stdin, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def claims(item):
    return {k: item[k] for k in ("show_id", "ticket_id", "seat_no", "serial")}


def test_document_reads_our_codes(theirs, issued):
    for item in issued["codes"]:
        assert theirs(item["code"], issued["keys"]) == claims(item)


def test_document_reads_its_own_example(theirs):
    (code,) = re.findall(r"^BX1\.[A-Z2-7]{172}$", DOCUMENT, re.M)
    (keys,) = re.findall(r"^```json\n(\{\"keys\".*?)^```$", DOCUMENT, re.S | re.M)
    assert theirs(code, json.loads(keys)["keys"]) == {
        "show_id": "0193583e-7a00-7000-8000-0000000000aa", "ticket_id": "0193583e-7a01-7123-89ab-cdef01234567",
        "seat_no": 217, "serial": 0}


def test_both_refuse_the_same_for_the_same_reason(theirs, issued, keys_file):
    rng = random.Random(20261123)
    bad = []
    for item in issued["codes"]:
        at = rng.randrange(176)
        bad.append(item["code"][:at] + rng.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ2345670189a.") + item["code"][at + 1:])
        bad.append(item["code"][:rng.randrange(1, 176)])
    bad = [b for b in bad if b not in {i["code"] for i in issued["codes"]}]
    status, out, _ = verify("--keys", keys_file, "--json", "-", stdin="\n".join(bad))
    lines = [json.loads(line) for line in out.splitlines()]
    assert status == 1
    assert lines.pop() == {"summary": {"valid": 0, "invalid": len(bad)}}
    for code, ours in zip(bad, lines, strict=True):
        with pytest.raises(ValueError) as refused:
            theirs(code, issued["keys"])
        assert ours == {"valid": False, "reason": str(refused.value)}


def test_one_code(issued, keys_file):
    item = issued["codes"][0]
    status, out, err = verify("--keys", keys_file, item["code"])
    assert (status, err) == (0, "")
    assert out == (f"valid show={item['show_id']} seat_no={item['seat_no']} ticket={item['ticket_id']} "
                   f"serial={item['serial']}\n")
    status, out, _ = verify("--keys", keys_file, "--json", item["code"])
    assert (status, json.loads(out)) == (0, {"valid": True, "reason": "ok", **claims(item)})


def test_wrong_show_and_revoked(issued, keys_file, tmp_path):
    one, two, three = issued["codes"][:3]
    revoked = tmp_path / "revoked.json"
    revoked.write_text(json.dumps({"items": [two["ticket_id"], {"ticket_id": three["ticket_id"],
                                                                "below_serial": three["serial"] + 1}],
                                   "as_of": "2026-12-04T17:00:00Z"}))
    assert verify("--keys", keys_file, "--show", one["show_id"], one["code"])[0] == 0
    status, out, _ = verify("--keys", keys_file, "--show", one["show_id"], two["code"])
    assert status == 1 and out.startswith("invalid (wrong_show) show=" + two["show_id"])
    status, out, _ = verify("--keys", keys_file, "--revoked", revoked, "-",
                            stdin=f"\n  {one['code']}\r\n{two['code']}\n\n{three['code']}")
    assert status == 1
    assert [line.split(" show=")[0] for line in out.splitlines()] == [
        "valid", "invalid (revoked)", "invalid (revoked)",
        "1 valid, 2 invalid; revocations as of 2026-12-04T17:00:00Z"]


def test_a_line_without_end(keys_file):
    status, out, _ = verify("--keys", keys_file, "-", stdin="x" * 1_000_000)
    assert status == 1
    assert out.splitlines()[1] == "0 valid, 1 invalid"


@pytest.mark.parametrize("args", [
    [], ["CODE"], ["--keys"], ["--keys", "KEYS"], ["--keys", "/nonexistent", "CODE"], ["--keys", "KEYS", "--bogus", "CODE"],
    ["--keys", "KEYS", "--show", "tonight", "CODE"], ["--keys", "KEYS", "--revoked", "/nonexistent", "CODE"],
    ["--keys", "KEYS", "--revoked", "KEYS", "CODE"], ["--keys", "/", "CODE"]])
def test_wrong_use_is_2_and_says_why(args, keys_file, issued):
    named = {"KEYS": str(keys_file), "CODE": issued["codes"][0]["code"]}
    status, out, err = verify(*[named.get(a, a) for a in args])
    assert (status, out) == (2, "")
    assert err
