"""boxoffice-paysim as a process, the gateway's official Python client on it, and a receiver of its webhooks."""
import http.client
import http.server
import json
import os
import pathlib
import signal
import threading
import time
import urllib.parse

import pytest
import stripe

from gateway import Paysim

KEY = "sk_test_paysim"
SECRET = "whsec_paysim"


def program() -> str:
    build = pathlib.Path(os.environ.get("BOXOFFICE_BUILD_DIR", "build")).resolve()
    for path in (build / "boxoffice-paysim", build / "src/paysim/boxoffice-paysim"):
        if path.exists():
            return str(path)
    raise FileNotFoundError(f"boxoffice-paysim is not in {build}")


def wait_for(condition, what, timeout_s=20.0):
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not happen within {timeout_s:g} s")
        time.sleep(0.005)


class Sim(Paysim):
    """One simulator process on a ledger, with the gateway's official client; start() again continues with the same ledger."""

    def __init__(self, folder, *args):
        super().__init__(pathlib.Path(program()).parent, folder, KEY, *args, any_key=True)

    def start(self):
        super().start()
        self.address = urllib.parse.urlsplit(self.url).netloc
        self.client = stripe.StripeClient(KEY, base_addresses={"api": self.url}, max_network_retries=0)
        self.intents = self.client.v1.payment_intents
        self.refunds = self.client.v1.refunds

    def http(self, method, path, body=None, headers=(), timeout=20):
        """Any status is an answer here. Returns status, headers, body (parsed when JSON)."""
        data = body if body is None or isinstance(body, bytes) else urllib.parse.urlencode(body).encode()
        connection = http.client.HTTPConnection(self.address, timeout=timeout)
        try:
            head = {"Authorization": f"Bearer {KEY}", **dict(headers)}
            if method == "POST":
                head.setdefault("Content-Type", "application/x-www-form-urlencoded")
            connection.request(method, path, data, head)
            answer = connection.getresponse()
            text = answer.read()
            is_json = "json" in answer.headers.get("Content-Type", "")
            return answer.status, answer.headers, json.loads(text) if is_json else text.decode()
        finally:
            connection.close()

    def sim(self, method, path, value=None):
        status, _, answer = self.http(method, "/_sim/" + path, None if value is None else json.dumps(value).encode(),
                                      {"Content-Type": "application/json"})
        assert status == 200, answer
        return answer

    def fault(self, match, mode, **more):
        self.sim("POST", "faults", {"match": match, "mode": mode, **more})

    def intent_in_ledger(self, intent_id):
        return next(i for i in self.sim("GET", "ledger")["payment_intents"] if i["id"] == intent_id)


def cards(amount=4500, **more):
    return {"amount": amount, "currency": "eur", "capture_method": "manual", "payment_method_types": ["card"], **more}


def paid(method="pm_card_visa", **more):
    return cards(payment_method=method, confirm=True, **more)


@pytest.fixture
def sim(tmp_path):
    process = Sim(tmp_path)
    yield process
    assert process.end() == 0, process.log()
    assert process.log() == ""


@pytest.fixture
def make_sim(tmp_path):
    """For tests that kill: nothing is checked at the end but that the processes go."""
    started = []

    def make(*args):
        folder = tmp_path / f"ledger-{len(started)}"
        folder.mkdir()
        started.append(Sim(folder, *args))
        return started[-1]

    yield make
    for process in started:
        if process.process.returncode is None:
            process.end(signal.SIGKILL)


class Receiver:
    """Takes webhooks; .status is what it answers."""

    def __init__(self):
        receiver = self
        self.status, self.taken, self.refused, self.lock = 200, [], [], threading.Lock()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = receiver.status
                with receiver.lock:
                    (receiver.taken if status == 200 else receiver.refused).append((body, self.headers["Stripe-Signature"]))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def types(self):
        with self.lock:
            return sorted(json.loads(body)["type"] for body, _ in self.taken)


@pytest.fixture
def receiver():
    r = Receiver()
    yield r
    r.close()
