"""Locks: the rate against pgbench, spread over many shows, what a lock costs, one buyer alone."""

import statistics
import time

import drive
import pgbench
from figures import best_two
from measure import Cpu, Work, cpu_us_per, demand_rows, work_per_lock
from releaser import Releaser

SEATS = 50000
SHOWS, SHOW_SEATS = 1000, 100
SPREAD_LIFETIME_S = 1     # over many shows Redis forgets by itself; a walk over all seats takes longer
SESSIONS = 20000          # so many that none has a third lock before its first is released
CLIENTS = (1, 2, 4, 8, 16, 32, 64)
CONNECTIONS = (256, 512)
SECONDS = 2.5


class Side:
    """The program under load on some shows: found once, then searched again in every round."""

    def __init__(self, bench, ground, serve, shows, seats, lifetime_s=300):
        self.bench, self.ground, self.serve, self.shows = bench, ground, serve, shows
        self.release = {"in_redis": True} if lifetime_s == 300 else {"in_redis": False, "lifetime_s": lifetime_s}
        self.sessions = SESSIONS if lifetime_s == 300 else 3 * SESSIONS
        self.file = ground.shows_file([(show, seats) for show in shows])
        self.best, self.connections = None, CONNECTIONS[0]
        self.rates, self.cpu, self.work = [], [], []

    def options(self, rate=None):
        options = ["--shows", self.file, "--sessions", self.sessions, "--connections", self.connections]
        return options + (["--rate", rate, "--warmup", 0.7, "--seconds", self.bench.seconds(SECONDS)] if rate else [])

    def find(self):
        """The rough maximum, over the numbers of connections."""
        found = {}
        for connections in CONNECTIONS[:1] if self.bench.quick else CONNECTIONS:
            self.connections = connections
            with Releaser(self.ground, self.shows, **self.release) as releaser:
                found[connections] = drive.ramp(self.ground, "lock", self.serve.url, *self.options(), start=8000)
            self.bench.demand(releaser)
            self.ground.tidy()
        self.connections = max(found, key=found.get)
        self.best = found[self.connections]
        return found

    def round(self):
        with Releaser(self.ground, self.shows, **self.release) as releaser:
            before = Work(self.ground, self.serve)
            held, tried = drive.search(lambda rate: drive.run(
                self.ground, "lock", self.serve.url, *self.options(rate), sample=lambda: Cpu(self.ground, self.serve, releaser)),
                self.best)
        after = Work(self.ground, self.serve)
        self.bench.demand(releaser)
        demand_rows(before, after, releaser)
        self.best = held.json["asked_rate"]
        self.rates.append(held.rate)
        self.cpu.append({**cpu_us_per(held.at_start, held.at_end, held.accepted),
                         "driver": round(held.json["driver"]["cpu_us_per_request"], 2)})
        self.work.append({**work_per_lock(before, after, releaser), "p50_ms": held.latency_us("p50") / 1000, "p99_ms": held.latency_us("p99") / 1000,
                          "tried": tried, "slowest_release_ms": round(releaser.slowest_s * 1000), "late_marks": releaser.stale})
        self.ground.tidy()
        return held.rate

    def describe(self):
        """One line for people."""
        cpu = {k: statistics.median(c[k] for c in self.cpu) for k in self.cpu[0]}
        work = {k: statistics.median(w[k] for w in self.work) for k in self.work[0]
                if k not in ("tried", "locks") and all(isinstance(w.get(k), (int, float)) for w in self.work)}
        return (f"us per lock: serve {cpu['serve']:.1f}, redis {cpu['redis']:.1f}, postgresql {cpu['postgresql']:.1f}, in all "
                f"{cpu['all']:.1f}; besides driver {cpu['driver']:.1f}, release {cpu['release']:.1f} "
                f"(of it {cpu['taken_off_redis']:.1f} taken off Redis' CPU: its HDELs)\n"
                f"batch {work.get('batch', 0):.0f}, WAL {work.get('wal_bytes_per_lock', 0):.0f} bytes, HOT {work.get('hot_share', 0):.1%}, "
                f"syncs {work.get('wal_syncs_per_lock', 0):.3f}, Redis scripts {work.get('redis_scripts_per_lock', 0):.2f} and commands "
                f"{work.get('redis_commands_per_lock', 0):.1f} a lock; {self.connections} connections, "
                f"p50 {work['p50_ms']:.1f} ms, p99 {work['p99_ms']:.1f} ms")


class Pgbench:
    """A script's best rate over the numbers of clients: all are tried once, the best two in every round."""

    def __init__(self, bench, ground, script, show):
        self.bench, self.ground, self.script, self.show = bench, ground, script, show
        self.clients, self.rates, self.cpu = None, [], []

    def once(self, clients, seconds, log=False):
        with Releaser(self.ground, [self.show], in_redis=False) as releaser:
            done = pgbench.run(self.ground, self.script, clients, seconds, {"show": self.show, "seats": SEATS}, log=log,
                               counted=f"SELECT count(*) FROM outbox WHERE show_id = '{self.show}'", without=[releaser.pid])
        self.bench.demand(releaser)
        return done

    def find(self):
        found = {c: self.once(c, 1).rate for c in ((16, 32) if self.bench.quick else CLIENTS)}
        self.clients = best_two(found)
        self.ground.tidy()
        return found

    def round(self):
        runs = []
        for clients in self.clients:
            runs.append(self.once(clients, self.bench.seconds(2)))
            self.ground.tidy()
        best = max(runs, key=lambda run: run.rate)
        self.rates.append(best.rate)
        self.cpu.append(round(best.postgres_cpu_s / best.count * 1e6, 1))
        return best.rate


def locks(bench, wanted):
    """lock, lock_statement, lock_spread, lock_cpu, spread_cpu: one set-up, one numerator for all."""
    with bench.ground() as ground:
        serve = ground.serve()
        bench.say("a show of 50,000 seats for the program, one like it for pgbench")
        one = Side(bench, ground, serve, [ground.make_show(serve, SEATS)], SEATS)
        sides, denominators = [one], {}
        if {"lock_spread", "spread_cpu"} & wanted:
            first = ground.make_show(serve, SHOW_SEATS)
            brief = ground.serve("--lock-seconds", str(SPREAD_LIFETIME_S))
            spread = Side(bench, ground, brief, [first, *ground.copy_show(first, SHOWS - 1)], SHOW_SEATS, SPREAD_LIFETIME_S)
            sides.append(spread)
        other = ground.copy_show(one.shows[0], 1)[0]
        for name, script in (("lock", "lock_transaction"), ("lock_statement", "lock_statement")):
            if name in wanted:
                denominators[name] = Pgbench(bench, ground, script, other)
        ground.owner.execute("CHECKPOINT")
        for side in sides:
            found = side.find()
            bench.say(f"{'one show' if side is one else f'{SHOWS:,} shows'}: holds about " + ", ".join(
                f"{rate:,.0f}/s with {connections} connections" for connections, rate in found.items()))
        for name, denominator in denominators.items():
            found = denominator.find()
            bench.say(f"pgbench {denominator.script}: " + ", ".join(f"{rate:,.0f}/s -c {c}" for c, rate in found.items()))
        for number in bench.round_numbers():
            said = []
            for side in sides:
                said.append(f"{'one show' if side is one else 'many shows'} {side.round():,.0f}/s "
                            f"({side.cpu[-1]['all']:.0f} us, batch {side.work[-1].get('batch')})")
            for denominator in denominators.values():
                said.append(f"{denominator.script} {denominator.round():,.0f}/s")
            time.sleep(SPREAD_LIFETIME_S + 0.2 if len(sides) > 1 else 0)  # Redis still shows the last locks of the many shows
            ground.check()
            bench.say(f"round {number}: " + ", ".join(said))
            for name, denominator in denominators.items():
                bench.pair(name, one.rates[-1], denominator.rates[-1])
            if "lock_spread" in wanted:
                bench.pair("lock_spread", spread.rates[-1], one.rates[-1])
            if "lock_cpu" in wanted:
                bench.pair("lock_cpu", one.cpu[-1]["all"])
            if "spread_cpu" in wanted:
                bench.pair("spread_cpu", spread.cpu[-1]["all"])
            for name in wanted:
                side = spread if name in ("lock_spread", "spread_cpu") else one
                figure = bench.figures[name]
                figure.note = side.describe()
                figure.details = {"cpu_us_per_lock": side.cpu, "per_lock": side.work, "connections": side.connections}
                if name in denominators:
                    figure.details["pgbench"] = {"clients": denominators[name].clients, "cpu_us_per_lock": denominators[name].cpu}
                    figure.note += (f"\npgbench -c {' and '.join(map(str, denominators[name].clients))}: postgresql "
                                    f"{statistics.median(denominators[name].cpu):.0f} us a lock")
            bench.save()


def lone(bench, wanted):
    """One buyer against one client of pgbench and one round trip of the same server."""
    with bench.ground() as ground:
        serve = ground.serve()
        show = ground.make_show(serve, SEATS)
        file = ground.shows_file([(show, SEATS)])
        other = Pgbench(bench, ground, "lock_transaction", ground.copy_show(show, 1)[0])
        figure = bench.figures["lone"]
        for number in bench.round_numbers():
            with Releaser(ground, [show], in_redis=True) as releaser:
                alone = drive.run(ground, "lone", serve.url, "--shows", file, "--sessions", SESSIONS, "--warmup", 0.5, "--seconds",
                                  bench.seconds(SECONDS)).demand_clean()
            bench.demand(releaser)
            ground.tidy()
            durable = other.once(1, bench.seconds(2), log=True).p50_us
            ground.tidy()
            ground.check()
            lock, trip = alone.latency_us("p50", "lock"), alone.latency_us("p50", "get")
            bench.say(f"round {number}: lock {lock} us, pgbench {durable} us, round trip {trip} us")
            bench.pair("lone", lock, durable + trip)
            figure.details.setdefault("rounds", []).append(
                {"lock_p50_us": lock, "lock_p99_us": alone.latency_us("p99", "lock"), "pgbench_p50_us": durable, "trip_p50_us": trip})
            rounds = figure.details["rounds"]
            figure.note = (f"p50: pgbench {statistics.median(r['pgbench_p50_us'] for r in rounds):.0f} us, round trip "
                           f"{statistics.median(r['trip_p50_us'] for r in rounds):.0f} us; p99 of the lock "
                           f"{statistics.median(r['lock_p99_us'] for r in rounds):.0f} us")
            bench.save()


GROUPS = [(locks, ["lock", "lock_statement", "lock_spread", "lock_cpu", "spread_cpu"]), (lone, ["lone"])]
