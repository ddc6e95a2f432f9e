"""The API reference: the page in a real browser, without another host; the file it shows."""

import gzip
import json
import re
import shutil
import subprocess
from urllib.parse import urlsplit

import pytest
import yaml

import openapi

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or "chromium"


@pytest.fixture(scope="module")
def browsed(boxoffice, base_dir):
    """The page as Chromium has it after its scripts: (its document, what was logged, {(address, who asked for it)})."""
    net = base_dir / "net-log.json"
    done = subprocess.run([
        CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions",
        "--disable-background-networking", "--disable-component-update", "--disable-features=NetworkTimeServiceQuerying", "--disable-sync", "--enable-logging=stderr", "--v=0",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        f"--user-data-dir={base_dir / 'chromium'}", f"--log-net-log={net}", "--virtual-time-budget=60000", "--timeout=90000",
        "--dump-dom", f"{boxoffice.url}/docs"], capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr[-2000:]
    events = json.loads(net.read_text(errors="replace"))["events"]
    asked = {(event["params"]["url"], event["params"].get("initiator")) for event in events if "url" in event.get("params", {})}
    return done.stdout, done.stderr, asked


def test_every_operation_is_on_the_page(browsed):
    document, _, _ = browsed
    shown = set(re.findall(r'id="operations-[^"]*?-([A-Za-z]+)"', document))
    named = {item[method]["operationId"] for item in openapi.contract().document["paths"].values() for method in openapi.METHODS
             if method in item}
    assert len(named) > 50 and not named - shown, f"not on the page: {sorted(named - shown)}"


def test_the_browser_has_nothing_to_say_and_asks_nobody_else(boxoffice, browsed):
    _, logged, asked = browsed
    complaints = [line for line in logged.splitlines() if ":CONSOLE" in line]
    assert not complaints, complaints[:5]
    # a browser looks for its own updates too: those are not the page's
    by_page = {url for url, initiator in asked if initiator == boxoffice.url}
    assert {urlsplit(url).path for url in by_page} >= {"/docs/docs.js", "/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css",
                                                       "/v1/openapi.json"}
    others = {url for url in by_page if urlsplit(url).scheme != "data" and not url.startswith(boxoffice.url + "/")}
    assert not others, others


def test_what_is_tried_there_is_asked_of_the_host_that_serves_it(boxoffice):
    assert boxoffice.api().get("/v1/openapi.json").expect(200)["servers"][0]["url"] == "/"


def test_its_policy_lets_only_this_host_in(boxoffice):
    policy = dict(part.split(" ", 1) for part in boxoffice.api().get("/docs").headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'" and policy["script-src"] == policy["connect-src"] == "'self'"
    assert not re.search(r"https?:|\*|eval", " ".join(policy.values()))


def test_the_file_is_served_as_it_is(boxoffice, root):
    client = boxoffice.api()
    text = client.get("/v1/openapi.yaml")
    assert text.body == (root / "api/openapi.yaml").read_bytes()
    assert client.get("/v1/openapi.json").expect(200) == json.loads(json.dumps(yaml.safe_load(text.body), default=str))
    client.get("/v1/openapi.yaml", headers={"If-None-Match": text.headers["ETag"]}).expect(304)


def test_packed_for_who_takes_it(boxoffice):
    client = boxoffice.api()
    plain = client.get("/docs/swagger-ui-bundle.js")
    packed = client.get("/docs/swagger-ui-bundle.js", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip" and gzip.decompress(packed.body) == plain.body
    assert len(packed.body) < len(plain.body) / 2 and packed.headers["ETag"] != plain.headers["ETag"]
