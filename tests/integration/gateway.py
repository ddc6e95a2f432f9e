"""The payment gateway as a test has it: the simulator's own interface, one of a test's own, and events signed by hand."""

import hashlib
import hmac
import json
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from pathlib import Path

from service import free_port


class Gateway:
    """The simulator at an address: switches, the ledger, and what the real gateway's customers may do."""

    def __init__(self, url, key):
        self.url, self.key = url, key

    @classmethod
    def of(cls, office):
        return cls(office.payment_url, (office.dir / "secret" / "payment.key").read_text().strip())

    def call(self, method, path, body=None):
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"}
        return self._send(method, path, json.dumps(body).encode() if body is not None else None, headers)

    def post(self, path, **form):
        """As a program that speaks the gateway's interface. a__b stands for a[b]."""
        pairs = [(name.split("__")[0] + "".join(f"[{part}]" for part in name.split("__")[1:]), value) for name, value in form.items()]
        return self._send("POST", path, urllib.parse.urlencode(pairs).encode(), {"Authorization": f"Bearer {self.key}"})

    def _send(self, method, path, body, headers):
        request = urllib.request.Request(self.url + path, body, headers, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or b"null")

    def fault(self, match, mode, times=None, ms=0):
        """Once. A dropped connection twice: the HTTP client itself repeats what was lost on a kept connection, same key and all."""
        times = times or (2 if mode.startswith("drop") and match != "webhook" else 1)
        self.call("POST", "/_sim/faults", {"match": match, "mode": mode, "times": times, "ms": ms})

    def silent(self):
        """From now on no webhooks."""
        self.fault("webhook", "drop_before", times=1000000)

    def clear(self):
        self.call("DELETE", "/_sim/faults")

    def ledger(self):
        return self.call("GET", "/_sim/ledger")

    def intents(self, booking_id):
        return [i for i in self.ledger()["payment_intents"] if i["metadata"].get("booking") == str(booking_id)]

    def intent(self, intent_id):
        return next(i for i in self.ledger()["payment_intents"] if i["id"] == intent_id)

    def make_intent(self, show, booking, attempt, method="pm_card_visa", amount=4500, capture="manual", **more):
        """An intent as ours would be, made by nobody of ours. method None: not confirmed."""
        confirm = {"payment_method": method, "confirm": "true"} if method else {}
        return self.post("/v1/payment_intents", amount=amount, currency="eur", capture_method=capture,
                         **{"payment_method_types__": "card"}, metadata__show=show, metadata__booking=booking,
                         metadata__attempt=attempt, **confirm, **more)["id"]


class Simulator(Gateway):
    """A simulator process of a test's own."""

    def __init__(self, build_dir, folder, *args):
        folder = Path(folder)
        self.port = free_port()
        super().__init__(f"http://127.0.0.1:{self.port}", "sk_test_of_a_test")
        self.command = [str(Path(build_dir) / "boxoffice-paysim"), "--db", str(folder / "paysim.db"), "--port", str(self.port),
                        "--secret-key", self.key, *args]
        self.log = open(folder / "paysim.log", "ab")  # noqa: SIM115 (of the process)
        self.key_file = folder / "payment.key"
        self.key_file.write_text(self.key)
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log)
        assert json.loads(self.process.stdout.readline())["url"] == self.url

    def stop(self):
        self.process.terminate()
        self.process.wait(10)
        self.process.stdout.close()

    def close(self):
        self.stop()
        self.log.close()


class Events:
    """Events as the gateway would send them, signed with a secret that the test knows."""

    def __init__(self, api, secret):
        self.api, self.secret = api, secret

    def sign(self, body, secret=None, at=0):
        seconds = int(time.time()) + at
        mac = hmac.new((secret or self.secret).encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
        return f"t={seconds},v1={mac}"

    def body(self, kind, obj, event_id=None):
        return json.dumps({"id": event_id or f"evt_{uuid.uuid4().hex}", "object": "event", "created": int(time.time()), "type": kind,
                           "data": {"object": obj}}).encode()

    def send(self, kind, obj, event_id=None):
        body = self.body(kind, obj, event_id)
        return self.post(body, self.sign(body))

    def post(self, body, signature=None):
        return self.api.request("POST", "/v1/payments/webhook", body, headers={"Stripe-Signature": signature} if signature else {})


def bank(url, outcome):
    """The buyer at the bank's page."""
    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *args):
            return None

    try:
        with urllib.request.build_opener(Stay).open(url, urllib.parse.urlencode({"outcome": outcome}).encode(), timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
