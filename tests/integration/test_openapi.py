"""api/openapi.yaml and the program say the same."""

import subprocess
import sys

import pytest
import yaml
from openapi_spec_validator import validate

import openapi

# what nobody but a mail's reader or a card's owner could know is not guessed, and these checks are about guessing: that what
# the schema allows is accepted, and that what it forbids is refused, the tests of each service show with their reasons
CHECKS = ("not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
          "response_schema_conformance,unsupported_method,allow_header_conformance,ignored_auth")
SECONDS = 14  # each of three


@pytest.fixture(scope="module")
def document():
    return yaml.safe_load(openapi.FILE.read_text())


def test_the_file_is_openapi(document):
    validate(document)


def test_nothing_is_said_twice():
    """YAML's readers take the last of two members of one name without a word."""
    def look(node, at):
        names = [key.value for key, _ in node.value] if isinstance(node, yaml.MappingNode) else []
        assert len(names) == len(set(names)), f"{at}: {sorted(name for name in names if names.count(name) > 1)}"
        for item in node.value if not isinstance(node, yaml.ScalarNode) else []:
            key, value = item if isinstance(item, tuple) else (None, item)
            look(value, f"{at}/{key.value}" if key else at)

    look(yaml.compose(openapi.FILE.read_text()), "")


def test_every_route_is_described_and_there(build_dir):
    listed = subprocess.run([build_dir / "boxoffice", "routes"], capture_output=True, text=True, check=True, timeout=10).stdout
    routes, described = set(listed.splitlines()), openapi.contract().routes()
    assert len(routes) > 30
    assert not routes - described, f"served but not described: {sorted(routes - described)}"
    assert not described - routes, f"described but not served: {sorted(described - routes)}"


def errors_def(root):
    rows = []
    for line in (root / "src/base/errors.def").read_text().splitlines():
        if line.startswith("ERR("):
            name, code, status, *_ = line.removeprefix("ERR(").split(", ", 4)
            rows.append((code.strip('"'), int(status)))
    return rows


def test_every_code_has_its_example(root, document):
    rows, examples = errors_def(root), document["components"]["examples"]
    assert len(rows) > 25
    assert document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"] == [code for code, _ in rows]
    judge = openapi.contract().problem
    for code, status in rows:
        value = examples[code]["value"]
        assert (value["code"], value["status"]) == (code, status)
        assert judge.is_valid(value), next(judge.iter_errors(value))
    assert set(examples) == {code for code, _ in rows}


def schemas_of_requests(document):
    for pattern, item in document["paths"].items():
        for method in openapi.METHODS:
            body = item.get(method, {}).get("requestBody")
            if body:
                yield f"{method.upper()} {pattern}", body["content"]["application/json"]["schema"]


def open_objects(document, node, at, seen):
    """The places of a request where an object takes members that are not named."""
    if isinstance(node, list):
        for index, item in enumerate(node):
            yield from open_objects(document, item, f"{at}/{index}", seen)
    elif isinstance(node, dict):
        if "$ref" in node and node["$ref"] not in seen:
            target = openapi.contract().resolve(node)
            yield from open_objects(document, target, node["$ref"], seen | {node["$ref"]})
        if node.get("type") == "object" and node.get("additionalProperties", True) is True:
            yield at
        for key, value in node.items():
            if key != "examples":
                yield from open_objects(document, value, f"{at}/{key}", seen)


def test_requests_take_no_unknown_members(document):
    found = [f"{name}{place}" for name, schema in schemas_of_requests(document)
             for place in open_objects(document, schema, "", frozenset())]
    assert not found
    assert len(list(schemas_of_requests(document))) >= 8


ID = "019a1c5e-6b7c-7d3a-8f10-2b6d0c9e4f55"
PROBLEM = {"type": "about:blank", "title": "t", "status": 409, "code": "lock_limit", "detail": "d", "request_id": ID, "limit": 2}
LOCK = {"lock_id": ID, "show_id": ID, "state": "active", "seats": [{"guid": "A", "category": "c", "price": {"amount": 0, "currency": "EUR"}}],
        "total": {"amount": 0, "currency": "EUR"}, "expires_at": "2026-11-23T18:30:00Z", "expires_in": 300}


@pytest.mark.parametrize("status, kind, change, headers, fault", [
    (201, "application/json", {}, {}, None),
    (201, "application/json", {"colour": 1}, {}, "colour"),
    (201, "application/json", {"expires_in": 1.5}, {}, "expires_in"),
    (201, "application/json", {"expires_at": "2026-11-23T18:30:00+00:00"}, {}, "expires_at"),
    (201, "application/json", {"total": {"amount": -1, "currency": "EUR"}}, {}, "total/amount"),
    (201, "application/json", {"state": None}, {}, "state"),
    (201, "text/plain", {}, {}, "text/plain"),
    (201, "application/json", {}, {"X-Request-Id": None}, "X-Request-Id"),
    (201, "application/json", {}, {"X-Request-Id": "7"}, "X-Request-Id"),
    (200, "application/json", {}, {}, "not described"),
    (500, "text/html", {}, {}, "text/html"),
    (409, "application/problem+json", {}, {}, None),
    (409, "application/problem+json", {"code": "ticket_used"}, {}, "code"),
    (409, "application/problem+json", {"code": "seats_unavailable"}, {}, "unavailable"),
    (409, "application/problem+json", {"status": 404}, {}, "status"),
    (409, "application/json", {}, {}, "application/json"),
    (503, "application/problem+json", {"status": 503, "code": "overloaded"}, {}, "Retry-After"),
])
def test_the_judge_sees_what_is_wrong(status, kind, change, headers, fault):
    body = {**(LOCK if status < 300 else PROBLEM), **change}
    fields = {"X-Request-Id": ID, "Content-Type": kind, "Cache-Control": "no-store", **headers}
    answer = ("POST", f"/v1/shows/{ID}/locks", b'{"seats": ["A"]}', status, {k: v for k, v in fields.items() if v},
              openapi.json.dumps(body).encode())
    if fault is None:
        openapi.contract().check(*answer)
    else:
        with pytest.raises(openapi.Broken, match=fault):
            openapi.contract().check(*answer)


def test_the_judge_knows_what_was_sent():
    headers = {"X-Request-Id": ID, "Content-Type": "application/json", "Cache-Control": "no-store"}
    with pytest.raises(openapi.Broken, match="accepted"):
        openapi.contract().check("POST", f"/v1/shows/{ID}/locks", b'{"seats": ["A"], "price": 0}', 201, headers,
                                 openapi.json.dumps(LOCK).encode())


def configuration(show, lock, booking, seed):
    return f"""
seed = {seed}
[parameters]
"path.venue" = "{show.venue_id}"
"path.plan" = "{show.plan_id}"
"path.event" = "{show.event_id}"
"path.show" = "{show.show_id}"
"path.lock" = "{lock}"
"path.booking" = "{booking}"
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("who", ["staff", "buyer", "anybody"])
def test_generated_requests(own_boxoffice, work_dir, rng, who):
    """schemathesis sends what the file allows and what it forbids; the program answers as described, and lives on."""
    admin, buyer = own_boxoffice.admin(), own_boxoffice.session()
    show = admin.make_show(prices={"Stalls": 4500, "Box": 9000})
    lock = buyer.lock(show.show_id, ["A-1"]).expect(201)["lock_id"]
    taken = buyer.lock(show.show_id, ["A-3"]).expect(201)["lock_id"]
    booking = buyer.book(show.show_id, taken).expect(201)["booking_id"]
    config, report = work_dir / "schemathesis.toml", work_dir / "report"
    config.write_text(configuration(show, lock, booking, rng.randrange(2**31)))
    command = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", "--config-file", str(config), "run",
               str(openapi.FILE), "--url", own_boxoffice.url, "--checks", CHECKS, "--max-time", str(SECONDS),
               "--phases", "examples,coverage,fuzzing", "--suppress-health-check", "all", "--no-color",
               "--report", "ndjson", "--report-dir", str(report), "--request-timeout", "30"]
    tokens = {"staff": admin.token, "buyer": buyer.token}
    if who in tokens:
        command += ["-H", f"Authorization: Bearer {tokens[who]}"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=work_dir, timeout=280)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert admin.get(f"/v1/shows/{show.show_id}").expect(200)["capacity"] == 50
    own_boxoffice.check()
