"""Every event that a test's box office has told is held against its schema in api/events, more strictly than a consumer should:
a member that the schema does not name is a fault, and so is a value of a list that it does not know."""

import copy
import json
from pathlib import Path

import jsonschema_rs
import psycopg

FOLDER = Path(__file__).resolve().parent.parent.parent / "api/events"
FAULTS_SHOWN = 5


def load():
    """{type: schema} as the files have them."""
    found = {}
    for path in sorted(FOLDER.glob("*.v*.json")):
        schema = json.loads(path.read_text())
        name, version = path.name.removesuffix(".json").rsplit(".v", 1)
        found[name if version == "1" else f"{name}.v{version}"] = schema
    return found


def strict(schema):
    """Consumers ignore what they do not know; here it is a fault."""
    schema = copy.deepcopy(schema)

    def close(node):
        if isinstance(node, list):
            for item in node:
                close(item)
        if not isinstance(node, dict):
            return
        if node.get("type") == "object":
            node.setdefault("additionalProperties", False)
        if "x-values" in node:
            node["enum"] = node["x-values"]
        for key, value in node.items():
            if key not in ("examples", "enum", "x-values"):
                close(value)

    close(schema)
    return schema


class Judge:
    def __init__(self):
        self.schemas = load()
        self.validators = {name: jsonschema_rs.Draft202012Validator(strict(schema), validate_formats=True)
                           for name, schema in self.schemas.items()}

    def faults(self, topic, events):
        """What is wrong with a row of the outbox, in words."""
        if not isinstance(events, list):
            return [f"no array: {json.dumps(events)[:200]}"]
        found = []
        for event in events:
            name = event.get("type") if isinstance(event, dict) else None
            if not isinstance(name, str) or name not in self.schemas:
                found.append(f"there is no schema of {json.dumps(event)[:200]}")
            elif self.schemas[name]["x-topic"] != topic:
                found.append(f"{name} belongs to topic {self.schemas[name]['x-topic']}, not {topic}")
            elif not self.validators[name].is_valid(event):
                said = "; ".join(f"/{'/'.join(map(str, e.instance_path))}: {e.message}" for e in self.validators[name].iter_errors(event))
                found.append(f"{name}: {said[:500]} in {json.dumps(event)[:500]}")
        return found


_judge = []


def judge():
    if not _judge:
        _judge.append(Judge())
    return _judge[0]


def told(db, after=None):
    """Rows (show id, topic, events) of all that is in the outbox and has left it, in no order."""
    if after is not None:
        return db.execute("SELECT show_id, topic, events FROM outbox_events WHERE seq > %s", [after]).fetchall()
    table = "outbox_events" if db.execute("SELECT to_regclass('outbox_events')").fetchone()[0] else "outbox"
    return db.execute(f"SELECT show_id, topic, events FROM {table}").fetchall()


def assert_valid(database_url, after=None):
    """Of a box office that is still running; one that a test has taken the database from has nothing to be asked. after: only what
    was told after this number (outbox_events.seq)."""
    try:
        with psycopg.connect(database_url, connect_timeout=5) as db:
            if not db.execute("SELECT to_regclass('outbox')").fetchone()[0]:
                return
            rows = told(db, after)
    except psycopg.OperationalError:
        return
    faults = [fault for _, topic, events in rows for fault in judge().faults(topic, events)]
    assert not faults, f"{len(faults)} events are not what api/events says: " + "\n".join(faults[:FAULTS_SHOWN])
