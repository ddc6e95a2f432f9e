#!/usr/bin/env python3
"""Keeps docs/events.md and api/events/promised.txt in agreement with the schemas in api/events.

  script/event_docs.py           says what disagrees; ends with 1 if anything does
  script/event_docs.py --write   writes both anew; refuses when a schema takes back what promised.txt promises

promised.txt has a line for every member that a consumer may rely on: schema, member, kind, and whether it is always there. Lines may
come; one that goes or changes is an incompatible change, which needs a schema (and a type) of its own: see docs/events.md.
"""
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDER = ROOT / "api/events"
PAGE = ROOT / "docs/events.md"
PROMISED = FOLDER / "promised.txt"
BEGIN, END = "<!-- made by script/event_docs.py from api/events: begin -->\n", "<!-- end of what script/event_docs.py makes -->\n"
TOPICS = ("seat", "booking", "payment", "ticket", "show")


def load(folder=FOLDER):
    """{file name without .json: schema}"""
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.v*.json"))}


# ---- what is promised ----


def kind(node):
    if "const" in node:
        return f"const {json.dumps(node['const'])}"
    if "additionalProperties" in node:
        return f"map to {kind(node['additionalProperties'])}"
    parts = [node["type"], node.get("format", ""), f"pattern {node['pattern']}" if "pattern" in node else ""]
    return " ".join(filter(None, parts))


def members(node, prefix=""):
    """(path, node, always) of every member at any depth; of an array's items as path[]."""
    for name, child in node.get("properties", {}).items():
        path = f"{prefix}{name}"
        yield path, child, name in node.get("required", [])
        yield from members(child, path + ".")
        if child.get("type") == "array":
            yield f"{path}[]", child["items"], True
            yield from members(child["items"], path + "[].")


def promises(schemas):
    return [f"{name}  {path}  {kind(node)}  {'always' if always else 'may be absent'}"
            for name, schema in schemas.items() for path, node, always in members(schema)]


def taken_back(promised, now):
    """What was promised and is so no more. A member that was missing at times may always be there from now on."""
    now = set(now)
    return [line for line in promised if line not in now and line.replace("  may be absent", "  always") not in now]


# ---- the page ----


def wording(node):
    text = node.get("description", "")
    if "const" in node:
        return f"`{node['const']}`"
    return text


def type_name(node):
    if "const" in node:
        return "string"
    if "additionalProperties" in node:
        return "object"
    if set(node.get("properties", {})) == {"amount", "currency"}:
        return "money"
    if node.get("format") == "uuid":
        return "uuid"
    if node.get("format") == "date-time":
        return "time"
    return node["type"]


def section(name, schema):
    yield f"#### {schema['title']}\n\n{schema['description']}\n\n"
    yield "| member | | |\n|---|---|---|\n"
    for path, node, always in members(schema):
        parent = path.rpartition(".")[0]
        if path == "type" or path.endswith("[]") or (parent and path.rpartition(".")[2] in ("amount", "currency")):
            continue
        yield f"| `{path}` | {type_name(node)}{'' if always else ', may be absent'} | {wording(node)} |\n"
    yield "\n```json\n" + json.dumps(schema["examples"][0], ensure_ascii=False) + f"\n```\n\n[Schema](../api/events/{name}.json)\n\n"


def page_part(schemas):
    text = [BEGIN, "\n"]
    for topic in TOPICS:
        of_topic = {name: schema for name, schema in schemas.items() if schema["x-topic"] == topic}
        text.append(f"### Topic `{topic}`\n\n| type | |\n|---|---|\n")
        text += [f"| [`{s['title']}`](#{s['title'].replace('.', '')}) | {s['description'].split('. ')[0].rstrip('.')} |\n" for s in of_topic.values()]
        text.append("\n")
        for name, schema in of_topic.items():
            text += section(name, schema)
    return "".join(text) + END


def page_then(now, schemas):
    before, begin, rest = now.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"{PAGE}: the lines that say where the made part begins and ends are missing")
    return before + page_part(schemas) + after


def main():
    schemas = load()
    promised, now = PROMISED.read_text().splitlines() if PROMISED.exists() else [], promises(schemas)
    lost = taken_back(promised, now)
    for line in lost:
        print(f"taken back: {line}")
    if lost:
        sys.exit("an incompatible change needs a version of its own (docs/events.md, \"Versions\")")
    page = PAGE.read_text()
    if "--write" in sys.argv[1:]:
        PROMISED.write_text("\n".join(now) + "\n")
        PAGE.write_text(page_then(page, schemas))
        return
    stale = [str(path.relative_to(ROOT)) for path, fresh in ((PROMISED, promised == now), (PAGE, page == page_then(page, schemas))) if not fresh]
    if stale:
        sys.exit(f"not what the schemas say: {', '.join(stale)}; write them anew: script/event_docs.py --write")


if __name__ == "__main__":
    main()
