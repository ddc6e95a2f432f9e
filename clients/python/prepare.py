"""prepare.py IN.yaml OUT.json: api/openapi.yaml as the generator understands it.

Which codes a status may have stands in the file as an allOf of the problem and two constants; the generator cannot merge these and
would leave the answer out. A client reads `code` in any case, so every refusal becomes plainly a Problem. Constants that are true or
false become booleans (the generator writes code for them that does not parse), and papers become bytes.
"""
import json
import pathlib
import sys

from ruamel.yaml import YAML

PROBLEM = "application/problem+json"


def simplify(node):
    if isinstance(node, list):
        return [simplify(item) for item in node]
    if not isinstance(node, dict):
        return node
    if isinstance(node.get("const"), bool):
        return {**{key: value for key, value in node.items() if key != "const"}, "type": "boolean"}
    if PROBLEM in node:
        return {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {key: {"schema": {"type": "string", "format": "binary"}} if is_paper(key, value) else simplify(value)
            for key, value in node.items()}


def is_paper(key, value):
    """A media type whose schema says nothing, or just a text."""
    return isinstance(value, dict) and set(value) == {"schema"} and "/" in key and value["schema"] in ({}, {"type": "string"})


source, target = map(pathlib.Path, sys.argv[1:])
document = simplify(YAML(typ="safe").load(source.read_text()))
document["components"]["schemas"]["Problem"].pop("allOf", None)
target.write_text(json.dumps(document, default=str))
