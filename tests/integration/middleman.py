"""Stands between the program and its payment gateway: records what is asked, changes or refuses what is answered, speaks TLS.

Also the simulator as a process of a test's own.
"""

import http.client
import http.server
import json
import re
import socket
import ssl
import threading
import urllib.parse
import urllib.request
from dataclasses import dataclass

KEY = "sk_test_middleman0123456789"

STEPS = [("create", "POST", r"/v1/payment_intents"), ("confirm", "POST", r"/v1/payment_intents/[^/]+/confirm"),
         ("capture", "POST", r"/v1/payment_intents/[^/]+/capture"), ("cancel", "POST", r"/v1/payment_intents/[^/]+/cancel"),
         ("refund", "POST", r"/v1/refunds"), ("retrieve", "GET", r"/v1/payment_intents/[^/]+"), ("list", "GET", r"/v1/refunds"),
         ("retrieve_refund", "GET", r"/v1/refunds/[^/]+"), ("scan", "GET", r"/v1/payment_intents")]


def step_of(method, path):
    """Which of the adapter's calls this is."""
    for name, verb, pattern in STEPS:
        if method == verb and re.fullmatch(pattern, path.partition("?")[0]):
            return name
    return "other"


@dataclass
class Call:
    step: str
    method: str
    path: str
    headers: dict  # names in small letters
    body: bytes
    status: int | None = None  # None: no answer was given
    answer: bytes = b""

    @property
    def form(self):
        return dict(urllib.parse.parse_qsl(self.body.decode()))


class Middleman:
    """Serves on a port of its own until close(); every connection has a thread."""

    def __init__(self, target=None, tls=None):
        self.target = urllib.parse.urlsplit(target).netloc if target else None
        self.tls = tls  # (certificate file, key file)
        self.calls = []
        self.rules = []
        self.lock = threading.Lock()
        self.server = None
        self.port = 0
        self.open()

    @property
    def url(self):
        return f"{'https' if self.tls else 'http'}://{'localhost' if self.tls else '127.0.0.1'}:{self.port}"

    def open(self):
        middleman = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                call = Call(step_of(self.command, self.path), self.command, self.path,
                            {name.lower(): value for name, value in self.headers.items()}, body)
                middleman._serve(self, call)

            do_GET = do_POST = do_DELETE = do

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True
            request_queue_size = 128

            def get_request(self):
                sock, address = super().get_request()
                sock.settimeout(30)
                return sock, address

            def handle_error(self, request, client_address):
                pass  # a client that went away, or did not like our certificate

        self.server = Server(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_address[1]
        if self.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self.tls)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def refuse(self):
        """Nobody listens any more, and kept connections are cut with their next request."""
        self.answer("any", None, times=None)
        self.server.shutdown()
        self.server.server_close()
        self.server = None

    def reopen(self):
        self.rules.clear()
        self.open()

    def close(self):
        if self.server:
            self.server.shutdown()
            self.server.server_close()

    # ---- what it does to calls ---------------------------------------------------------------------------------------

    def answer(self, step, status, error=None, headers=None, times=1):
        """The next so many of these calls (None: all) are answered here; status None: the connection is cut."""
        self.rules.append({"step": step, "times": times, "status": status, "headers": headers or {},
                           "body": json.dumps({"error": error or {}}).encode()})

    def alter(self, step, change, times=1):
        """change(answer) changes the JSON of the next so many answers to these calls."""
        self.rules.append({"step": step, "times": times, "change": change})

    def lose(self, step, times=1):
        """These calls are done, but their answers are lost."""
        self.rules.append({"step": step, "times": times, "lose": True})

    def pause(self, step, times=1):
        """These calls reach nobody and are not answered: an event; once it is set they are done and answered."""
        event = threading.Event()
        self.rules.append({"step": step, "times": times, "pause": event})
        return event

    def clear(self, step=None):
        """step: only what it does to those."""
        self.rules[:] = [rule for rule in self.rules if step not in (None, rule["step"])]

    def seen(self, step):
        return [call for call in self.calls if call.step == step]

    def _rule(self, call):
        with self.lock:
            self.calls.append(call)
            for rule in self.rules:
                if rule["step"] in (call.step, "any") and rule["times"] != 0:
                    if rule["times"] is not None:
                        rule["times"] -= 1
                    return rule
        return {}

    def _serve(self, handler, call):
        rule = self._rule(call)
        if "status" in rule:
            if rule["status"] is None:
                handler.close_connection = True
                return
            self._reply(handler, call, rule["status"], rule["headers"], rule["body"])
            return
        if "pause" in rule:
            rule["pause"].wait(30)
        connection = http.client.HTTPConnection(self.target, timeout=30)
        headers = {name: value for name, value in call.headers.items() if name not in ("host", "content-length", "connection")}
        connection.request(call.method, call.path, call.body or None, headers)
        response = connection.getresponse()
        body = response.read()
        connection.close()
        if rule.get("lose"):
            handler.close_connection = True
            return
        if "change" in rule and response.status < 300:
            changed = json.loads(body)
            rule["change"](changed)
            body = json.dumps(changed).encode()
        kept = ("request-id", "stripe-should-retry", "idempotent-replayed", "retry-after")
        self._reply(handler, call, response.status,
                    {name: value for name, value in response.getheaders() if name.lower() in kept}, body)

    @staticmethod
    def _reply(handler, call, status, headers, body):
        call.status, call.answer = status, body
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)


def silent_port():
    """A socket that takes connections and never says a word: close it at the end."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen(128)
    return sock
