"""api/openapi.yaml and the program say the same."""

import os
import re
import subprocess
import sys

import pytest
import yaml
from openapi_spec_validator import validate

import openapi

# How long schemathesis goes on, each of four: examples, borders and everything random once take most of it. `make test-long` asks
# for more.
SECONDS = int(os.environ.get("BOXOFFICE_SCHEMATHESIS_SECONDS", 14))


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


def test_what_is_possible_everywhere_is_said_everywhere():
    missing = [f"{operation.name}: {status}" for _, _, operations in openapi.contract().paths for operation in operations.values()
               for status in sorted({*openapi.FROM_BELOW, 500} - {404} - set(operation.responses))]
    assert not missing


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


def operations():
    """[(method, pattern, {its parameters after "?"})] of all under /v1/."""
    return [(name.split()[0], pattern, operation.query) for _, pattern, found in openapi.contract().paths if pattern.startswith("/v1/")
            for name, operation in ((operation.name, operation) for operation in found.values())]


def test_a_parameter_that_is_not_known_is_named(boxoffice, admin):
    """At every operation, before anything else is done; and none is refused that the file names."""
    asked = operations()
    assert len(asked) > 50 and sum(bool(query) for _, _, query in asked) > 15
    for method, pattern, query in asked:
        path = re.sub(r"\{[^}]*\}", ID, pattern)
        body = {} if method in ("POST", "PATCH", "PUT") else None
        for wrong, where in (("nonsense=1", "/nonsense"), ("Cursor=1", "/Cursor"), ("%6eonsense", "/nonsense"), ("a%2fb~=1", "/a~1b~0"),
                             (f"{'x' * 100}=1", "/"), ("%ff=1", "/")):
            refused = admin.request(method, f"{path}?{wrong}", body)
            refused.expect(400, "invalid_request")
            assert refused.json()["path"] == where, (method, pattern, refused.json())
        for name in query:
            said = admin.request(method, f"{path}?{name}=x", body)
            assert said.status != 400 or "is not a parameter" not in said.json()["detail"], said
            assert admin.request(method, f"{path}?{name}=x&{name}=x", body).expect(400)["path"] == f"/{name}"
    # whoever comes by a link that somebody has added to
    assert boxoffice.api().get("/?utm_source=mail").status == 200 == boxoffice.api().get("/docs?x=1").status
    admin.get("/v1/venues?").expect(200)
    admin.get("/v1/venues?&").expect(200)


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


def test_the_judge_knows_what_was_asked():
    headers = {"X-Request-Id": ID, "Content-Type": "application/json", "Cache-Control": "no-store"}
    none = openapi.json.dumps({"items": [], "next": None}).encode()
    openapi.contract().check("GET", "/v1/venues?cursor=x", None, 200, headers, none)
    with pytest.raises(openapi.Broken, match="page"):
        openapi.contract().check("GET", "/v1/venues?page=2", None, 200, headers, none)


def test_the_judge_knows_what_was_sent():
    headers = {"X-Request-Id": ID, "Content-Type": "application/json", "Cache-Control": "no-store"}
    with pytest.raises(openapi.Broken, match="accepted"):
        openapi.contract().check("POST", f"/v1/shows/{ID}/locks", b'{"seats": ["A"], "price": 0}', 201, headers,
                                 openapi.json.dumps(LOCK).encode())


# for what the file allows: a value that no schema can tell is 422, or 402 from the gateway
EXPECTED = ["2xx", "3xx", 401, 402, 403, 404, 409, 412, 422, 429, 503]

# for what it does not allow: what is too long may be too large before it is looked at
REFUSED = [400, 401, 403, 404, 405, 406, 409, 413, 415, 422, 428, 429, "5xx"]

HOOKS = openapi.FILE.parent.parent / "tests/integration/schemathesis_hooks.py"
# operations that say 400 to what the file allows: whether a payment is missing depends on the price, how many days there are on the month,
# whether a device must be named on the token
ASKED_MORE = {"createBooking", "rescheduleShow", "createToken", "checkIn", "undoCheckIn", "uploadCheckIns"}


def configuration(document, show, lock, booking, seed, token_of):
    """What the file cannot say to a machine: which things exist, and for which operations only the reader of another answer can
    make up what is accepted (a cursor, a signature, an amount that is left)."""
    lines = [f"seed = {seed}", f'hooks = "{HOOKS}"', "[generation]", "allow-x00 = false", "[checks.positive_data_acceptance]",
             f"expected-statuses = {EXPECTED}", "[checks.negative_data_rejection]", f"expected-statuses = {REFUSED}", "[parameters]"]
    lines += [f'"path.{name}" = "{value}"' for name, value in {
        "venue": show.venue_id, "plan": show.plan_id, "event": show.event_id, "show": show.show_id, "lock": lock, "booking": booking}.items()]
    for pattern, item in document["paths"].items():
        for method in openapi.METHODS:
            if method not in item:
                continue
            node = item[method]
            token, settings = token_of(node), []
            if token:
                settings.append(f'headers = {{Authorization = "Bearer {token}"}}')
            names = {openapi.contract().resolve(parameter)["name"] for parameter in [*item.get("parameters", []), *node.get("parameters", [])]}
            if names & {"cursor", "Stripe-Signature"} or node["operationId"] in ASKED_MORE:
                settings.append(f"checks.positive_data_acceptance.expected-statuses = {[*EXPECTED, 400]}")
            if settings:
                lines += ["[[operations]]", f'include-name = "{method.upper()} {pattern}"', *settings]
    return "\n".join(lines)


def who_may(node, tokens):
    """A token that the operation takes: a buyer's where one may, so that what a buyer made is there for the next."""
    kinds = [kind for choice in node.get("security", []) for kind in choice]
    return tokens["buyer" if "session" in kinds else "staff"] if kinds else None


@pytest.mark.slow
@pytest.mark.timeout(300 + 8 * SECONDS)
@pytest.mark.parametrize("who", ["staff", "buyer", "anybody", "one after the other"])
def test_generated_requests(make_boxoffice, document, work_dir, rng, who):
    """schemathesis sends what the file allows and what it forbids, alone and in sequences by the file's links; all its checks hold,
    and the program lives on."""
    office = make_boxoffice(env={"BOXOFFICE_REQUESTS_PER_SESSION": "0", "BOXOFFICE_HOLDS_PER_SESSION": "0"})
    admin, buyer = office.admin(), office.session()
    show = admin.make_show(seats=400, prices={"Stalls": 4500, "Box": 9000})
    lock = buyer.lock(show.show_id, ["A-1"]).expect(201)["lock_id"]
    taken = buyer.lock(show.show_id, ["A-3"]).expect(201)["lock_id"]
    booking = buyer.book(show.show_id, taken).expect(201)["booking_id"]
    tokens, phases = {"staff": admin.token, "buyer": buyer.token}, "examples,coverage,fuzzing"
    if who == "one after the other":
        phases = "stateful"
        config = configuration(document, show, lock, booking, rng.randrange(2**31), lambda node: who_may(node, tokens))
    else:
        config = configuration(document, show, lock, booking, rng.randrange(2**31), lambda node: tokens.get(who))
    (work_dir / "schemathesis.toml").write_text(config)
    command = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", "--config-file",
               str(work_dir / "schemathesis.toml"), "run", str(openapi.FILE), "--url", office.url, "--checks", "all",
               "--max-time", str(SECONDS), "--phases", phases, "--suppress-health-check", "all", "--no-color", "--continue-on-failure",
               "--report", "ndjson", "--report-dir", str(work_dir / "report"), "--request-timeout", "30"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=work_dir, timeout=280 + 8 * SECONDS)
    assert done.returncode == 0, done.stdout[-12000:] + done.stderr[-2000:]
    assert admin.get(f"/v1/shows/{show.show_id}").expect(200)["capacity"] == 400
    office.check()
