"""What is answered without PostgreSQL: refusals, availability, 304; against the same HTTP server with bytes that never change."""

import statistics
import time

import drive
from ground import Unclean
from measure import Cpu, Work, cpu_us_per

SECONDS, WARMUP = 1.2, 0.3
PROBES = 3
FULL_SEATS = 20000
TAKEN = 1000
CONNECTIONS = 256


class Reads:
    """One side: a scenario with its options on one server; found once, searched again in every round."""

    def __init__(self, bench, ground, server, scenario, *options, start=20000):
        self.bench, self.ground, self.server, self.scenario = bench, ground, server, scenario
        self.options = [*options, "--connections", CONNECTIONS]
        self.best = start
        self.held = []

    def find(self):
        self.best = drive.ramp(self.ground, self.scenario, self.server.url, *self.options, start=self.best, step_seconds=0.8)
        return self.best

    def round(self):
        held, _ = drive.search(lambda rate: drive.run(
            self.ground, self.scenario, self.server.url, *self.options, "--rate", rate, "--warmup", WARMUP, "--seconds",
            self.bench.seconds(SECONDS), sample=lambda: Cpu(self.ground, self.server)), self.best, probes=PROBES)
        self.best = held.json["asked_rate"]
        self.held.append(held)
        return held.rate

    def cpu(self):
        """us of CPU per answer: of the HTTP server, of Redis, of the driver."""
        costs = [cpu_us_per(h.at_start, h.at_end, h.accepted) for h in self.held]
        return (f"{statistics.median(c['serve'] for c in costs):.1f} us, redis {statistics.median(c['redis'] for c in costs):.1f}, "
                f"driver {statistics.median(h.json['driver']['cpu_us_per_request'] for h in self.held):.1f}")


def compare(bench, name, above, below):
    """Rounds of one figure."""
    bench.row = name
    figure = bench.figures[name]
    with bench.guard(name):
        bench.say(f"holds about {above.find():,.0f}/s, static {below.find():,.0f}/s")
        for number in bench.round_numbers():
            bench.pair(name, above.round(), below.round())
            bench.say(f"round {number}: {above.held[-1].rate:,.0f}/s, static {below.held[-1].rate:,.0f}/s")
            figure.note = f"CPU per answer: serve {above.cpu()}; static {below.cpu()}"
            bench.save()


def no_transactions(bench, ground, serve, refusals):
    """Refusals cost PostgreSQL nothing: as many transactions as in the same time without any (the program looks now and then
    whether its database is still the same one)."""
    trips_name = "boxoffice_postgresql_round_trips_total"
    seconds, counts = 2, []
    for load in (False, True):
        work = []
        if load:
            drive.run(ground, "refuse", serve.url, *refusals.options, "--rate", refusals.best / 2, "--warmup", 2, "--seconds", seconds,
                      sample=lambda: work.append(Work(ground, serve))).demand_clean()
        else:
            work.append(Work(ground, serve))
            time.sleep(seconds)
            work.append(Work(ground, serve))
        before, after = work
        refused = sum(after.metrics.get(name, 0) - before.metrics.get(name, 0) for name in after.metrics
                      if name.startswith('boxoffice_lock_requests_total{outcome="taken'))
        counts.append((after.metrics[trips_name] - before.metrics[trips_name], after.commits - before.commits, refused))
    (idle_trips, idle_commits, _), (trips, commits, refused) = counts
    bench.figures["refuse"].conditions = [
        (f"0 PostgreSQL transactions: {refused:,.0f} refusals in {seconds} s, meanwhile {trips:.0f} round trips of serve (without load "
         f"{idle_trips:.0f}), {commits} transactions of the whole server (without load {idle_commits})",
         refused > 0 and trips <= idle_trips + 4 and commits <= idle_commits + 20)]


def reads(bench, wanted):
    with bench.ground() as ground:
        serve, static = ground.serve(), ground.static()
        if "refuse" in wanted:
            file = ground.shows_file([(ground.make_show(serve, FULL_SEATS), FULL_SEATS)])
            refusals = Reads(bench, ground, serve, "refuse", "--shows", file, "--taken", TAKEN)
            compare(bench, "refuse", refusals, Reads(bench, ground, static, "get", "--path", "/static/200"))
            with bench.guard("refuse"):
                no_transactions(bench, ground, serve, refusals)
        if {"availability", "not_modified"} & wanted:
            show = ground.make_show(serve, FULL_SEATS)
            ground.owner.execute("UPDATE show_seats SET state = 3, fence = fence + 1 WHERE show_id = %s", [show])
            ground.owner.execute("VACUUM ANALYZE show_seats")
            # made anew from these rows when it is asked for
            ground.cache.delete(f"map:{{{show}}}", f"ses:{{{show}}}")
            path = f"/v1/shows/{show}/seats"
            with serve.client() as client:
                status, headers, body = client.ask("GET", path)
            if status != 200 or body.count(b'"S-') != FULL_SEATS:
                raise Unclean(f"GET {path}: {status}, {len(body)} bytes do not name {FULL_SEATS} seats")
            size = f"/static/{len(body)}"
            if "availability" in wanted:
                bench.figures["availability"].denominator = f"static of {len(body):,} bytes"
                compare(bench, "availability", Reads(bench, ground, serve, "get", "--path", path, "--expect", 200, start=2000),
                        Reads(bench, ground, static, "get", "--path", size, "--expect", 200, start=2000))
            if "not_modified" in wanted:
                compare(bench, "not_modified",
                        Reads(bench, ground, serve, "get", "--path", path, "--expect", 304, "--header",
                              f"If-None-Match: {headers['ETag']}"),
                        Reads(bench, ground, static, "get", "--path", size, "--expect", 304, "--header",
                              f'If-None-Match: "static-{len(body)}"'))
        ground.check()


GROUPS = [(reads, ["refuse", "availability", "not_modified"])]
