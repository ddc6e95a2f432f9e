"""Ten thousand idle and a thousand slow connections, and a buyer who notices nothing of them."""

import contextlib
import itertools
import resource
import selectors
import socket
import statistics
import threading
import time

import pytest

IDLE, SLOW, PURCHASES = 10_000, 1_000, 40
RATIO_MAX = 2
GET = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
# what a slow one begins with, and what it goes on with for ever
BEGINNINGS = [(b"POST /v1/sessions HTTP/1.1\r\nHost: a\r\n", b"X: y\r\n"),
              (b"POST /v1/venues HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n", b" " * 5)]


def connect(stand):
    return socket.create_connection(("127.0.0.1", stand.port), timeout=30)


def idle_connections(stand):
    """Half of them have been used."""
    idle = []
    for i in range(IDLE):
        idle.append(connect(stand))
        if i % 2:
            idle[-1].sendall(GET)
    for s in idle[1::2]:
        assert s.recv(4096).startswith(b"HTTP/1.1 200")
    return idle


class Slow:
    """A thousand connections that send a little each second. Who is cut comes again."""

    def __init__(self, stand):
        self.stand, self.stopping, self.cut, self.failed = stand, False, 0, None
        self.kinds = itertools.cycle(BEGINNINGS)
        self.selector = selectors.DefaultSelector()
        for _ in range(SLOW):
            self.begin()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def begin(self):
        head, drip = next(self.kinds)
        s = connect(self.stand)
        s.sendall(head)
        self.selector.register(s, selectors.EVENT_READ, drip)

    def drop(self, s):
        self.selector.unregister(s)
        s.close()

    def run(self):
        try:
            while not self.stopping:
                begun = time.monotonic()
                for key, _ in self.selector.select(0):
                    with contextlib.suppress(OSError):
                        assert key.fileobj.recv(4096)[9:12] in (b"408", b"")
                    self.cut += 1
                    self.drop(key.fileobj)
                    self.begin()
                for n, key in enumerate(list(self.selector.get_map().values())):
                    with contextlib.suppress(OSError):
                        key.fileobj.send(key.data)
                    # spread over the second, so that no purchase meets all of them at once
                    if n % 50 == 0:
                        time.sleep(max(0, begun + n / SLOW - time.monotonic()))
        except BaseException as error:  # noqa: BLE001 (said by end())
            self.failed = error

    def end(self):
        self.stopping = True
        self.thread.join(20)
        for key in list(self.selector.get_map().values()):
            self.drop(key.fileobj)
        assert self.failed is None, repr(self.failed)


def purchase(stand, show):
    """Seconds from nothing to a confirmed booking."""
    begun = time.monotonic()
    buyer = stand.session()
    lock = buyer.lock(show.show_id, 1).expect(201)["lock_id"]
    booking = buyer.post(f"/v1/shows/{show.show_id}/bookings",
                         {"lock_id": lock, "buyer": {"name": "Ada Lovelace", "email": "ada@example.org"}}).expect(201)
    assert booking["status"] == "confirmed"
    buyer.close()
    return time.monotonic() - begun


@pytest.mark.timeout(180)
def test_a_buyer_among_thousands_who_only_hold_on(make_stand, record_property):
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > IDLE + SLOW + 500, "the limit of open files is too low for this test"
    settings = ["--head-timeout-ms", "4000", "--body-timeout-ms", "4000", "--idle-timeout-ms", "600000"]
    crowded = make_stand(*settings, workers=1, work=False)
    quiet = make_stand(*settings, workers=1, work=False)
    show = crowded.admin().make_show(seats=200, prices={"Standard": 0})
    idle, slow = idle_connections(crowded), Slow(crowded)
    try:
        for stand in (crowded, quiet):
            purchase(stand, show)  # the show is at hand in both
        took = {crowded: [], quiet: []}
        while len(took[quiet]) < PURCHASES or slow.cut < SLOW:
            # in turn: what else the machine does meets both alike
            if len(took[quiet]) < 90:
                for stand, seconds in took.items():
                    seconds.append(purchase(stand, show))
            else:
                time.sleep(0.05)
            assert slow.failed is None
        assert crowded.metric("boxoffice_http_connections") >= IDLE + SLOW * 0.9
        ratio = statistics.median(took[crowded]) / statistics.median(took[quiet])
        said = (f"among {IDLE} idle and {SLOW} slow connections a purchase takes {1000 * statistics.median(took[crowded]):.1f} ms, "
                f"alone {1000 * statistics.median(took[quiet]):.1f} ms: ratio {ratio:.2f}; {slow.cut} slow ones were cut")
        print(said)
        record_property("ratio", round(ratio, 2))
        assert ratio < RATIO_MAX, said
    finally:
        slow.end()
        for s in idle:
            s.close()
