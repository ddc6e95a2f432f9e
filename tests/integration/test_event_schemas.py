"""api/events: what a schema says of itself, that it stays true to what was promised, and that no statement tells anything else."""

import copy
import json
import re
import runpy
import subprocess
import sys

import jsonschema
import pytest

import event_schemas
from service import ROOT

SCHEMAS = event_schemas.load()
TOOL = runpy.run_path(str(ROOT / "script/event_docs.py"))
PERSONAL = {"name", "email", "buyer", "phone", "address", "session_id", "ip", "card", "code", "access_token"}


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_one(name):
    schema = SCHEMAS[name]
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["properties"]["type"] == {"const": name} and schema["title"] == name
    assert schema["$id"] == f"urn:boxoffice:event:{name}:{(re.findall(r'[.](v[0-9]+)$', name) or ['v1'])[0]}"
    assert schema["x-topic"] in TOOL["TOPICS"]
    unexplained = [path for path, node, _ in TOOL["members"](schema) if not node.get("description") and path != "type" and not path.endswith("[]")]
    assert unexplained == []


@pytest.mark.parametrize("name", SCHEMAS)
def test_its_examples_are_good(name):
    schema = SCHEMAS[name]
    assert schema["examples"]
    for example in schema["examples"]:
        assert event_schemas.judge().faults(schema["x-topic"], [example]) == []
    shown = set(schema["examples"][0])
    assert shown == set(schema["properties"]) or name in ("seat.released", "show.created", "show.updated", "show.cancelled"), \
        "the first example shows every member"


@pytest.mark.parametrize("name", SCHEMAS)
def test_it_can_fail(name):
    """Whatever is taken out of an example, or added to it, is seen."""
    schema, judge = SCHEMAS[name], event_schemas.judge()
    example = schema["examples"][0]
    for member in schema["required"]:
        assert judge.faults(schema["x-topic"], [{k: v for k, v in example.items() if k != member}]), member
    for member, value in example.items():
        assert judge.faults(schema["x-topic"], [{**example, member: [] if not isinstance(value, list) else "x"}]), member
        assert judge.faults(schema["x-topic"], [{**example, member: None}]), member
    assert judge.faults(schema["x-topic"], [{**example, "surprise": 1}])
    assert judge.faults("seat" if schema["x-topic"] != "seat" else "show", [example])


@pytest.mark.parametrize("name", SCHEMAS)
def test_consumers_are_told_to_be_lenient(name):
    """By the schema as it stands a further member, and another value of a list, is no fault."""
    schema = SCHEMAS[name]
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate({**schema["examples"][0], "surprise": 1})
    if "reason" in schema["properties"]:
        validator.validate({**schema["examples"][0], "reason": "something_new"})


def test_of_a_person_there_is_nothing():
    for name, schema in SCHEMAS.items():
        for path, _, _ in TOOL["members"](schema):
            assert path.rpartition(".")[2] not in PERSONAL, f"{name}: {path}"


def types_in_the_sources():
    """{type: files} that a statement or the batch's text tells."""
    found = {}
    files = [p for pattern in ("src/*/sql/*.sql", "db/migrations/*.sql", "src/seat/*.c") for p in ROOT.glob(pattern)]
    for path in files:
        text = path.read_text()
        if "outbox" not in text:
            continue
        for name in re.findall(r"""['"\\]((?:seat|booking|payment|refund|ticket|show)\.[a-z_]+)['"\\]""", text):
            found.setdefault(name, []).append(path.name)
    return found


def test_what_is_told_has_a_schema_and_the_other_way_round():
    told = types_in_the_sources()
    assert len(told) > 30
    assert set(told) == set(SCHEMAS), f"without a schema: {set(told) - set(SCHEMAS)}; told by nobody: {set(SCHEMAS) - set(told)}"


# ---- what was promised ----


def test_the_page_and_the_promises_agree_with_the_schemas():
    done = subprocess.run([sys.executable, str(ROOT / "script/event_docs.py")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def changed(change):
    schemas = copy.deepcopy({f"{name}.v1": schema for name, schema in SCHEMAS.items()})
    change(schemas["booking.confirmed.v1"])
    return TOOL["taken_back"](TOOL["promises"]({f"{n}.v1": s for n, s in SCHEMAS.items()}), TOOL["promises"](schemas))


def drop(schema):
    del schema["properties"]["reference"]
    schema["required"].remove("reference")


def loosen(schema):
    schema["required"].remove("total")


def retype(schema):
    schema["properties"]["version"]["type"] = "string"


def reshape(schema):
    schema["properties"]["seats"]["items"]["properties"]["price"] = {"type": "integer"}


def rename(schema):
    schema["properties"]["type"]["const"] = "booking.made"


def unformat(schema):
    del schema["properties"]["show_id"]["format"]


@pytest.mark.parametrize("change", [drop, loosen, retype, reshape, rename, unformat])
def test_an_incompatible_change_is_seen(change):
    assert changed(change)


def more(schema):
    schema["properties"]["channel"] = {"description": "New.", "type": "string"}


def surer(schema):
    schema["properties"]["channel"] = {"description": "New.", "type": "string"}
    schema["required"].append("channel")


@pytest.mark.parametrize("change", [more, surer])
def test_what_is_added_takes_nothing_back(change):
    assert changed(change) == []


def test_a_member_that_may_be_absent_may_always_be_there():
    assert TOOL["taken_back"](["a.v1  b  string  may be absent"], ["a.v1  b  string  always"]) == []
    assert TOOL["taken_back"](["a.v1  b  string  always"], ["a.v1  b  string  may be absent"]) != []


def test_the_tool_refuses_to_take_back(tmp_path):
    """--write with a schema that lost a member leaves the promises as they were."""
    for part in ("script", "api/events", "docs"):
        (tmp_path / part).mkdir(parents=True)
    (tmp_path / "script/event_docs.py").write_text((ROOT / "script/event_docs.py").read_text())
    (tmp_path / "docs/events.md").write_text((ROOT / "docs/events.md").read_text())
    for path in (ROOT / "api/events").iterdir():
        (tmp_path / "api/events" / path.name).write_text(path.read_text())
    schema = json.loads((tmp_path / "api/events/booking.failed.v1.json").read_text())
    del schema["properties"]["lock_id"]
    (tmp_path / "api/events/booking.failed.v1.json").write_text(json.dumps(schema))
    done = subprocess.run([sys.executable, str(tmp_path / "script/event_docs.py"), "--write"], capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "taken back: booking.failed.v1  lock_id" in done.stdout
    assert (tmp_path / "api/events/promised.txt").read_text() == (ROOT / "api/events/promised.txt").read_text()
