"""api/openapi.yaml as a judge: every answer that a test's Api client sees is held against it.

The file speaks to clients, which pass over members they do not know. Here a member that the file does not name is a fault:
either the program says too much or the file too little. And what the program accepted must be what the file allows to send.
"""

import functools
import json
import re
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import jsonschema_rs
import yaml

FILE = Path(__file__).resolve().parent.parent.parent / "api/openapi.yaml"
METHODS = ("get", "post", "put", "patch", "delete")
PROBLEM = "application/problem+json"
# what the HTTP server and the router answer by themselves, wherever it was sent to
FROM_BELOW = {400, 404, 408, 413, 429, 431, 503}


class Broken(AssertionError):
    """An answer that the file does not promise."""


def compile_schema(document, schema):
    """A validator; local references of the schema are those of the document."""
    return jsonschema_rs.Draft202012Validator({**schema, "components": document["components"]}, validate_formats=True)


class Schema:
    """A validator that is made when it is asked for: each holds all components, and a test needs few of the hundreds."""

    made = {}  # by what they judge: most answers of errors are the same Problem

    def __init__(self, document, schema):
        self.document, self.schema = document, schema

    @functools.cached_property
    def validator(self):
        key = id(self.document), json.dumps(self.schema)  # documents live as long as the judge
        if key not in self.made:
            self.made[key] = compile_schema(self.document, self.schema)
        return self.made[key]

    def iter_errors(self, value):
        return self.validator.iter_errors(value)

    def is_valid(self, value):
        return self.validator.is_valid(value)


def closed(node):
    """A copy in which every object with listed members has these only."""
    if isinstance(node, list):
        return [closed(item) for item in node]
    if not isinstance(node, dict):
        return node
    copy = {key: closed(value) for key, value in node.items()}
    if copy.get("type") == "object" and "properties" in copy and "additionalProperties" not in copy:
        copy["additionalProperties"] = False
    return copy


class Operation:
    def __init__(self, contract, pattern, method, node):
        self.name = f"{method.upper()} {pattern}"
        self.responses = {}
        for status, response in node["responses"].items():
            response = contract.resolve(response)
            types = {kind: Schema(contract.closed, closed(media["schema"])) if kind.endswith("json") else None
                     for kind, media in response.get("content", {}).items()}
            headers = {}
            for name, header in response.get("headers", {}).items():
                header = contract.resolve(header)
                headers[name] = (header.get("required", False), Schema(contract.closed, header["schema"]))
            self.responses[int(status)] = types, headers
        parameters = [contract.resolve(p) for p in [*contract.document["paths"][pattern].get("parameters", []), *node.get("parameters", [])]]
        self.query = {parameter["name"] for parameter in parameters if parameter["in"] == "query"}
        body = node.get("requestBody", {}).get("content", {}).get("application/json")
        self.body = body and Schema(contract.document, body["schema"])


class Contract:
    def __init__(self, document):
        self.document = document
        self.closed = closed(document)
        self.paths = []  # (compiled pattern, pattern, {METHOD: Operation})
        for pattern, item in document["paths"].items():
            operations = {method.upper(): Operation(self, pattern, method, item[method]) for method in METHODS if method in item}
            # a literal segment comes before a parameter, as in the program's table
            self.paths.append((self._compile(pattern), pattern, operations))
        self.problem = Schema(self.closed, {"$ref": "#/components/schemas/Problem"})

    def resolve(self, node):
        while "$ref" in node:
            target = self.document
            for part in node["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            node = target
        return node

    def _compile(self, pattern):
        identifier = self.document["components"]["schemas"]["Id"]["pattern"].strip("^$")
        parts = re.split(r"\{[^}]*\}", pattern)
        return re.compile(f"({identifier})".join(map(re.escape, parts)))

    def routes(self):
        """{"METHOD pattern"} of all that the file describes."""
        return {f"{method} {pattern}" for _, pattern, operations in self.paths for method in operations}

    def find(self, path):
        """(pattern, operations) of a path, or (None, {})."""
        for compiled, pattern, operations in self.paths:
            if compiled.fullmatch(path):
                return pattern, operations
        return None, {}

    def check(self, method, target, sent, status, headers, body):
        """Raises Broken when an answer is not one that the file promises for this request. sent: the request's body."""
        _, operations = self.find(urlsplit(target).path if target.startswith("/") and not target.startswith("//") else target)
        operation = operations.get("GET" if method == "HEAD" else method)
        where = f"{method} {target}: {status}"
        if operation and status in operation.responses:
            self._check_response(operation, where, method, status, headers, body)
            # pages take what others have added to the links to them
            strange = {name for name, _ in parse_qsl(urlsplit(target).query, keep_blank_values=True)} - operation.query
            if status < 300 and strange and operation.name.split()[1].startswith("/v1/"):
                raise Broken(f"{where}: took the parameters {sorted(strange)}, which are not described")
            if status < 300 and operation.body and sent:
                self._fits(operation.body, json.loads(sent), f"{where}: accepted")
        elif operation:
            raise Broken(f"{where}: not described for {operation.name}: {body[:300]!r}")
        elif operations:
            self._check_problem(where, method, status, headers, body, FROM_BELOW - {404} | {405})
            allowed = set(operations) | ({"HEAD"} if "GET" in operations else set())
            if status == 405 and set((headers.get("Allow") or "").split(", ")) != allowed:
                raise Broken(f"{where}: Allow is {headers.get('Allow')!r}, described are {sorted(allowed)}")
        else:
            self._check_problem(where, method, status, headers, body, FROM_BELOW)

    def _check_response(self, operation, where, method, status, headers, body):
        types, described = operation.responses[status]
        for name, (required, schema) in described.items():
            value = headers.get(name)
            if value is None and required:
                raise Broken(f"{where}: without the header {name}")
            if value is not None:
                self._fits(schema, value, f"{where}: header {name}")
        if status in (204, 304) or method == "HEAD":
            if body:
                raise Broken(f"{where}: has a body")
            return
        kind = (headers.get("Content-Type") or "").split(";")[0]
        if kind not in types:
            raise Broken(f"{where}: is {kind!r}; described: {sorted(types)}")
        if types[kind] and headers.get("Content-Encoding") is None:
            self._fits(types[kind], self._read(where, body), where)

    def _check_problem(self, where, method, status, headers, body, statuses):
        if status not in statuses:
            raise Broken(f"{where}: not described, and not an answer of the layers below: {body[:300]!r}")
        if method == "HEAD":
            return
        if (headers.get("Content-Type") or "") != PROBLEM:
            raise Broken(f"{where}: is {headers.get('Content-Type')!r} instead of a problem")
        problem = self._read(where, body)
        self._fits(self.problem, problem, where)
        if problem["status"] != status:
            raise Broken(f"{where}: its body says status {problem['status']}")

    def _read(self, where, body):
        try:
            return json.loads(body)
        except ValueError as error:
            raise Broken(f"{where}: not JSON ({error}): {body[:300]!r}") from None

    def _fits(self, schema, value, where):
        if schema.is_valid(value):
            return
        error = next(schema.iter_errors(value))
        raise Broken(f"{where}: at /{'/'.join(map(str, error.instance_path))}: {error.message[:600]}")


@functools.cache
def contract():
    """The one judge of a test run; it keeps no state and may be asked by any thread."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return Contract(yaml.load(FILE.read_text(), Loader=loader))  # noqa: S506 (safe, only faster)
