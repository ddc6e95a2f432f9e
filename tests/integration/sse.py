"""A reader of server-sent events over a plain socket: what arrived, when, and how the stream ended."""

import json
import queue
import socket
import threading
import time
from urllib.parse import urlsplit


class Event:
    def __init__(self, name, data, identity, at):
        self.name, self.text, self.id, self.at = name, data, identity, at

    @property
    def data(self):
        return json.loads(self.text)

    def __repr__(self):
        return f"<{self.name} {self.id}: {self.text}>"


class Stream:
    """One request for a stream. Its head is read at once; events and comments come in as they arrive, in a thread."""

    def __init__(self, url, path, token=None, headers=None, timeout_s=60, receive_bytes=None, method="GET", source=None):
        parts = urlsplit(url)
        self.socket = socket.socket()
        if receive_bytes:  # before connecting: then it is what the window is made from
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        if source:
            self.socket.bind((source, 0))
        self.socket.settimeout(timeout_s)
        self.socket.connect((parts.hostname, parts.port))
        fields = {"Host": parts.netloc, "Accept": "text/event-stream", **(headers or {})}
        if token:
            fields["Authorization"] = f"Bearer {token}"
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self.socket.sendall(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode())
        self.rest = b""
        while b"\r\n\r\n" not in self.rest:
            more = self.socket.recv(65536)
            assert more, f"the connection ended within the head: {self.rest!r}"
            self.rest += more
        head, _, self.rest = self.rest.partition(b"\r\n\r\n")
        first, *others = head.decode().split("\r\n")
        self.status = int(first.split()[1])
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in others)}
        self.events = queue.Queue()
        self.comments = 0
        self.retry = None
        self.ended_at = None
        self.reset = False
        self._reader = None

    def problem(self):
        """The code of a problem answer."""
        size = int(self.headers["content-length"])
        while len(self.rest) < size:
            self.rest += self.socket.recv(65536)
        return json.loads(self.rest[:size])["code"]

    def listen(self):
        assert self.status == 200, self.status
        assert self.headers["content-type"] == "text/event-stream" and "content-length" not in self.headers
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def _read(self):
        buffer = self.rest
        try:
            while True:
                while b"\n\n" in buffer:
                    block, _, buffer = buffer.partition(b"\n\n")
                    self._block(block.decode())
                more = self.socket.recv(65536)
                if not more:
                    break
                buffer += more
        except OSError:
            self.reset = True
        self.ended_at = time.monotonic()
        self.events.put(None)

    def _block(self, block):
        fields = {}
        for line in block.split("\n"):
            name, _, value = line.partition(":")
            if name == "":
                self.comments += 1
            elif name == "retry":
                self.retry = int(value)
            else:
                fields[name] = value.removeprefix(" ")
        if "data" in fields:
            self.events.put(Event(fields.get("event", "message"), fields["data"], fields.get("id"), time.monotonic()))

    def next(self, name=None, timeout_s=10):
        """The next event, which must be of this name; None: the stream has ended."""
        event = self.events.get(timeout=timeout_s)
        assert name is None or (event and event.name == name), f"{event} instead of {name}"
        return event

    def ends(self, timeout_s=10):
        event = self.events.get(timeout=timeout_s)
        assert event is None, f"{event} instead of the end"

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *args):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()
