"""The payment gateway as a test has it: the simulator's own interface, one of a test's own, and events signed by hand."""

import hashlib
import hmac
import json
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from pathlib import Path

from servers import readable
from service import SANITIZER, wait_until

FOR_EVER_TIMES = 1000000


class Gateway:
    """The simulator at an address: switches, the ledger, and what the real gateway's customers may do."""

    def __init__(self, url, key, timeout_s=10):
        self.url, self.key, self.timeout_s = url, key, timeout_s

    @classmethod
    def of(cls, office, timeout_s=10):
        return cls(office.payment_url, (office.dir / "secret" / "payment.key").read_text().strip(), timeout_s)

    def call(self, method, path, body=None):
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"}
        return self._send(method, path, json.dumps(body).encode() if body is not None else None, headers)

    def post(self, path, **form):
        """As a program that speaks the gateway's interface, or a person at its dashboard. a__b stands for a[b]."""
        pairs = [(name.split("__")[0] + "".join(f"[{part}]" for part in name.split("__")[1:]), value) for name, value in form.items()]
        return self._send("POST", path, urllib.parse.urlencode(pairs).encode(), {"Authorization": f"Bearer {self.key}"})

    def _send(self, method, path, body, headers):
        request = urllib.request.Request(self.url + path, body, headers, method=method)
        with urllib.request.urlopen(request, timeout=self.timeout_s) as answer:
            return json.loads(answer.read() or b"null")

    # ---- switches ----

    def fault(self, match, mode, ms=0, times=None):
        """Once. A dropped connection twice: the HTTP client itself repeats what was lost on a kept connection, same key and all."""
        times = times or (2 if mode.startswith("drop") and match != "webhook" else 1)
        self.call("POST", "/_sim/faults", {"match": match, "mode": mode, "times": times, "ms": ms})

    def broken(self, match, mode, ms=0):
        """Until clear()."""
        self.fault(match, mode, ms, FOR_EVER_TIMES)

    def silent(self):
        """From now on no webhooks."""
        self.broken("webhook", "drop_before")

    def clear(self):
        self.call("DELETE", "/_sim/faults")

    def calls(self, match, mode):
        """How often a switch has acted."""
        return sum(f["hits"] for f in self.call("GET", "/_sim/faults")["faults"] if (f["match"], f["mode"]) == (match, mode))

    def wait_held(self):
        """Until a switch holds a call back."""
        wait_until(lambda: self.call("GET", "/_sim/faults")["held"], "a call held back at the gateway")

    def advance(self, seconds):
        self.call("POST", "/_sim/advance_clock", {"seconds": seconds})

    # ---- the ledger ----

    def ledger(self):
        return self.call("GET", "/_sim/ledger")

    def intents(self, booking_id):
        return [i for i in self.ledger()["payment_intents"] if i["metadata"].get("booking") == str(booking_id)]

    def intent(self, intent_id):
        return next(i for i in self.ledger()["payment_intents"] if i["id"] == intent_id)

    def refunds(self, intent_id):
        """Newest first."""
        return [r for r in self.ledger()["refunds"] if r["payment_intent"] == intent_id]

    def make_intent(self, show, booking, attempt, method="pm_card_visa", amount=4500, currency="eur", capture="manual", **more):
        """An intent as ours would be, made by nobody of ours. method None: not confirmed."""
        confirm = {"payment_method": method, "confirm": "true"} if method else {}
        return self.post("/v1/payment_intents", amount=amount, currency=currency, capture_method=capture,
                         **{"payment_method_types__": "card"}, metadata__show=show, metadata__booking=booking,
                         metadata__attempt=attempt, **confirm, **more)["id"]


class Paysim:
    """A boxoffice-paysim of a test's own: the same address and ledger after end() and start(). any_key: it takes every test key."""

    def __init__(self, build_dir, folder, key, *args, any_key=False):
        self.dir = Path(tempfile.mkdtemp(prefix="paysim-", dir=folder))
        self.ledger_file, self.log_path = self.dir / "ledger.db", self.dir / "log"
        self.command = [str(Path(build_dir) / "boxoffice-paysim"), "--db", str(self.ledger_file),
                        *([] if any_key else ["--secret-key", key]), *args]
        self.key_file = self.dir / "payment.key"
        self.key_file.write_text(key)
        self.url, self.port, self.process = None, 0, None
        self.start()

    def start(self):
        if self.process and self.process.poll() is None:
            return
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([*self.command, "--port", str(self.port)], stdin=subprocess.DEVNULL,
                                            stdout=subprocess.PIPE, stderr=log, start_new_session=True)
        if not readable([self.process.stdout], 30):
            self.kill()
            raise TimeoutError("boxoffice-paysim was not ready within 30 s")
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("boxoffice-paysim ended: " + self.log())
        self.url = json.loads(line)["url"]
        self.port = urllib.parse.urlsplit(self.url).port

    def log(self):
        """All that it has written to its standard error."""
        return self.log_path.read_text(errors="replace")

    def end(self, signo=signal.SIGTERM):
        """Its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signo)
        status = self.process.wait(20)
        self.process.stdout.close()
        return status

    def kill(self):
        self.end(signal.SIGKILL)

    def stop(self):
        self.end()
        assert not SANITIZER.search(self.log()), self.log()[-4000:]


class Simulator(Paysim, Gateway):
    """A simulator of a test's own, and its switches."""

    def __init__(self, build_dir, folder, *args, key="sk_test_of_a_test"):
        Gateway.__init__(self, None, key)
        Paysim.__init__(self, build_dir, folder, key, *args)


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


def bank(url, outcome="authorise"):
    """The buyer at the bank's page: the status, and where it sends the buyer back to, None when nowhere."""
    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *args):
            return None

    try:
        with urllib.request.build_opener(Stay).open(url, urllib.parse.urlencode({"outcome": outcome}).encode(), timeout=10) as answer:
            return answer.status, None
    except urllib.error.HTTPError as error:
        return error.code, error.headers["Location"]
