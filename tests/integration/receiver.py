"""A receiver of webhooks: a real HTTP server on loopback that keeps what it gets and answers as it is told."""

import contextlib
import http.server
import json
import socket
import ssl
import threading
import time

from service import wait_until


class Received:
    def __init__(self, path, headers, body):
        self.path, self.headers, self.body = path, headers, body
        self.at = time.monotonic()

    @property
    def id(self):
        return self.headers["webhook-id"]

    @property
    def event(self):
        return json.loads(self.body)


class Receiver:
    """answer(received) -> a status, or (status, headers, body), or None: the connection is cut. It may take its time."""

    def __init__(self, answer=None, address="127.0.0.1", tls=None, port=0):
        receiver = self
        self.answer = answer or (lambda received: 204)
        self.received = []
        self.connections = 0
        self.lock = threading.Lock()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def setup(self):
                with receiver.lock:
                    receiver.connections += 1
                super().setup()

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                received = Received(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                with receiver.lock:
                    receiver.received.append(received)
                said = receiver.answer(received)
                self.close_connection = True
                if said is None:
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                status, headers, content = said if isinstance(said, tuple) else (said, {}, b"")
                with contextlib.suppress(OSError):
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    if status != 204:
                        self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, *args):
                pass

        self.server = Server((address, port), Handler)
        self.scheme = "http"
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
            self.scheme = "https"
        self.address = address
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    @property
    def url(self):
        return f"{self.scheme}://{self.address}:{self.port}/hooks"

    def of(self, event_id):
        with self.lock:
            return [received for received in self.received if received.id == event_id]

    def types(self):
        with self.lock:
            return [received.event["type"] for received in self.received]

    def wait(self, n, what="webhooks", timeout_s=10):
        """The first n that came."""
        wait_until(lambda: len(self.received) >= n, f"{n} {what}; {len(self.received)} came", timeout_s)
        return self.received[:n]

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
