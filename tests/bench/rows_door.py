"""The door: how long a scanner waits when twenty scan without a pause, and what a door without a network has to carry."""

import gzip
import json
import socket
import statistics
import threading
import time
from types import SimpleNamespace

import door  # the tests' own: tickets made by the program's statements
from figures import percentile
from ground import Unclean

SCANNERS, PER_SCANNER = 20, 400
BUNDLE_TICKETS = 20000


def tickets(ground, serve, n):
    """A show with so many tickets sold; its id and their codes."""
    show = SimpleNamespace(show_id=ground.make_show(serve, n))
    bookings = door.tickets_by_sql(ground.owner, show, list(range(n)), per_booking=500)
    ground.owner.execute("VACUUM ANALYZE")
    codes = []
    with serve.admin() as admin:
        for booking in bookings:
            items = admin.ask("GET", f"/v1/shows/{show.show_id}/bookings/{booking}/tickets", None, 200)["items"]
            codes += [item["code"] for item in items]
    return show.show_id, codes


class Scanner(threading.Thread):
    """One connection; the next code when the last one was answered."""

    def __init__(self, serve, token, show, name, codes):
        super().__init__()
        self.sock = socket.create_connection(("127.0.0.1", serve.port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.requests = []
        for n, code in enumerate(codes):
            body = json.dumps({"code": code, "nonce": str(n), "device": name}).encode()
            self.requests.append((f"POST /v1/shows/{show}/checkins HTTP/1.1\r\nHost: b\r\nAuthorization: Bearer {token}\r\n"
                                  f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n").encode() + body)
        self.took_us, self.let_in, self.fault = [], 0, ""

    def run(self):
        for request in self.requests:
            begun = time.perf_counter()
            self.sock.sendall(request)
            answer = b""
            while b"\r\n\r\n" not in answer or len(answer) < answer.index(b"\r\n\r\n") + 4 + self.length(answer):
                more = self.sock.recv(16384)
                if not more:
                    self.fault = "the connection ended"
                    return
                answer += more
            self.took_us.append((time.perf_counter() - begun) * 1e6)
            if not answer.startswith(b"HTTP/1.1 200"):
                self.fault = answer[:200].decode(errors="replace")
                return
            self.let_in += b'"result":"ok"' in answer
        self.sock.close()

    @staticmethod
    def length(answer):
        head = answer[:answer.index(b"\r\n\r\n")].lower()
        return int(head.split(b"content-length:")[1].split(b"\r\n")[0])


def checkin(bench, wanted):
    figure = bench.figures["checkin"]
    with bench.ground() as ground:
        serve = ground.serve()
        per = PER_SCANNER // 4 if bench.quick else PER_SCANNER
        half, rates, p50s = per // 2, [], []
        for number in bench.round_numbers():
            # each ticket twice, by two scanners: half are let in
            show, codes = tickets(ground, serve, SCANNERS * half)
            scanners = [Scanner(serve, ground.admin_token, show, f"Door {n}",
                                [codes[(n * half + i) % len(codes)] for i in range(per)]) for n in range(SCANNERS)]
            begun = time.monotonic()
            for scanner in scanners:
                scanner.start()
            for scanner in scanners:
                scanner.join()
            took = time.monotonic() - begun
            faults = [scanner.fault for scanner in scanners if scanner.fault]
            let_in = sum(scanner.let_in for scanner in scanners)
            if faults or let_in != len(codes):
                raise Unclean(f"{let_in} let in with {len(codes)} tickets; {faults[:1]}")
            times = sorted(us for scanner in scanners for us in scanner.took_us)
            rates.append(len(times) / took)
            p50s.append(percentile(times, 0.5) / 1000)
            bench.pair("checkin", percentile(times, 0.99) / 1000)
            bench.say(f"round {number}: {rates[-1]:,.0f}/s, p50 {p50s[-1]:.1f} ms, p99 {figure.numerator_values[-1]:.1f} ms")
            figure.note = (f"{statistics.median(rates):,.0f} check-ins a second, half of them refused as used; p50 "
                           f"{statistics.median(p50s):.1f} ms, each durable; the scanners are threads of one Python on the same cores")
            bench.save()


def bundle(bench, wanted):
    figure = bench.figures["door_bundle"]
    with bench.ground() as ground:
        serve = ground.serve()
        n = BUNDLE_TICKETS // 10 if bench.quick else BUNDLE_TICKETS
        show, _ = tickets(ground, serve, n)
        sizes = {}

        def fetch(admin, path):
            begun = time.perf_counter()
            status, headers, body = admin.ask("GET", path, headers={"Accept-Encoding": "gzip"})
            took_ms = (time.perf_counter() - begun) * 1000
            if status != 200:
                raise Unclean(f"GET {path}: {status}")
            return took_ms, len(body), json.loads(json.loads(gzip.decompress(body))["bundle"])

        with serve.admin() as admin:
            took_ms, sizes["before"], text = fetch(admin, f"/v1/shows/{show}/door")
            ground.owner.execute("UPDATE tickets SET state = 'used', used_at = now() - random() * interval '1 hour', version = 2"
                                 " WHERE show_id = %s", [show])
            ground.owner.execute("VACUUM ANALYZE tickets")
            for number in bench.round_numbers():
                took_ms, size, text = fetch(admin, f"/v1/shows/{show}/door")
                delta_ms, delta, _ = fetch(admin, f"/v1/shows/{show}/door?since={text['cursor']}")
                if len(text["used"]) != n:
                    raise Unclean(f"{len(text['used'])} used tickets in the bundle, not {n}")
                bench.pair("door_bundle", size / 1000)
                bench.say(f"round {number}: {size:,} bytes in {took_ms:.0f} ms; a delta of nothing {delta:,} in {delta_ms:.0f} ms")
                figure.note = (f"{n:,} seats and tickets, packed: {sizes['before'] / 1000:,.0f} kB before the doors open, this when all are "
                               f"in; made in {took_ms:.0f} ms; a delta in which nothing changed {delta / 1000:.1f} kB in {delta_ms:.0f} ms")
                bench.save()


GROUPS = [(checkin, ["checkin"]), (bundle, ["door_bundle"])]
