"""Crowds and accidents: losers around winners, ten times too many, idle connections, a Redis that comes back empty."""

import os
import statistics

import drive
from measure import Work
from releaser import Releaser

SEATS = 50000
TAKEN = 200
LOSERS = 100
CROWD_SHARE = 0.2         # of the refusals that can be answered: a crowd, and CPU left to those who win
# What is late in the driver would count as the winners' waiting: it goes before the servers where it may.
REALTIME = ["--realtime"] if os.geteuid() == 0 else []
SLOW_LOCK_S = 0.001
OVERLOAD_CONNECTIONS = 10000
AT_ONCE_MS = 250
IDLE = 10000


def rush(bench, wanted):
    figure = bench.figures["rush"]
    with bench.ground() as ground:
        serve = ground.serve()
        show = ground.make_show(serve, SEATS)
        options = ["--shows", ground.shows_file([(show, SEATS)]), "--taken", TAKEN]
        refusals = drive.ramp(ground, "refuse", serve.url, *options, start=20000, step_seconds=0.6)
        winners = max(20, round(CROWD_SHARE * refusals / (LOSERS + 1)))
        bench.say(f"{refusals:,.0f} refusals/s hold; {winners} winners/s, with {winners * LOSERS:,} losers/s or alone")
        for number in bench.round_numbers():
            p99 = {}
            for losers in (LOSERS, 0):
                with Releaser(ground, [show], in_redis=True, first_seat=TAKEN) as releaser:
                    done = drive.run(ground, "rush", serve.url, *options, "--losers", losers, "--rate", winners, "--warmup", 0.5,
                                     "--seconds", bench.seconds(3), *REALTIME).demand_clean()
                bench.demand(releaser)
                p99[losers] = done.latency_us("p99", "winners")
            ground.check()
            bench.pair("rush", p99[LOSERS], p99[0])
            bench.say(f"round {number}: p99 {p99[LOSERS]} us in the crowd, {p99[0]} us alone")
            bench.save()
        figure.note = f"{winners} winners/s, {winners * LOSERS:,} losers/s: {CROWD_SHARE:.0%} of what refusals can be answered"


def overload(bench, wanted):
    """Ten times what the machine can do cannot be made on the same machine. So its database is slowed: committing a lock takes
    a millisecond longer (a trigger that sleeps), which leaves the CPU to those who ask and those who refuse."""
    figure = bench.figures["overload"]
    with bench.ground() as ground:
        ground.owner.execute("CREATE FUNCTION bench_slow() RETURNS trigger LANGUAGE plpgsql AS "
                             f"$$ BEGIN PERFORM pg_sleep({SLOW_LOCK_S}); RETURN NULL; END $$")
        ground.owner.execute("CREATE TRIGGER bench_slow AFTER INSERT ON seat_locks FOR EACH ROW EXECUTE FUNCTION bench_slow()")
        serve = ground.serve()
        first = ground.make_show(serve, SEATS)
        shows = [first, *ground.copy_show(first, 3)]  # so many seats that the walk does not come round
        options = ["--shows", ground.shows_file([(show, SEATS) for show in shows]), "--sessions", 30000]

        def at(rate, seconds, connections):
            memory = []
            with Releaser(ground, shows, in_redis=True) as releaser:
                memory.append(serve.private_bytes())
                done = drive.run(ground, "overload", serve.url, *options, "--rate", rate, "--warmup", 1, "--seconds", seconds,
                                 "--connections", connections, sample=lambda: memory.append(serve.private_bytes()))
            bench.demand(releaser)
            ground.tidy()
            return done, memory

        peak, rate, tried = 0, 500, []
        for _ in range(10):
            done, _ = at(rate, 1.5, 1024)
            tried.append(f"{rate:,.0f}: {done.rate:,.0f}")
            if done.rate < peak * 1.03:
                break
            peak, rate = max(peak, done.rate), rate * 1.5
        bench.say(f"a lock takes {SLOW_LOCK_S * 1000:g} ms longer; offered and accepted a second: {', '.join(tried)}")
        refused_p99, gone, wrong, memories, goodput, shares = [], 0, [], [], [], []
        for number in bench.round_numbers():
            alone, _ = at(1.1 * peak, bench.seconds(2), 1024)
            done, memory = at(10 * peak, bench.seconds(3), OVERLOAD_CONNECTIONS)
            memories.append(memory)
            best = max(peak, alone.rate)
            statuses = {k: v for k, v in done.json["by_status"].items()}
            wrong += [f"{v} answers {k}" for k, v in statuses.items() if k not in ("201", "409", "429", "503")] + done.unclean
            refused_p99.append(done.latency_us("p99", "refused") / 1000 if "refused" in done.json["latencies"] else 0)
            gone += done.json["abandoned"]
            shares.append(done.json["abandoned"] / max(1, done.json["offered"]))
            goodput.append(done.rate)
            bench.pair("overload", done.rate, best)
            bench.say(f"round {number}: offered {10 * peak:,.0f}/s, accepted {done.rate:,.0f}/s of {best:,.0f}/s at the peak; "
                      f"{statuses}, refused p99 {refused_p99[-1]:.0f} ms, memory {[f'{m >> 20} MiB' for m in memory]}")
            figure.details.setdefault("rounds", []).append(
                {"by_status": statuses, "by_code": done.json["by_code"], "latencies": done.json["latencies"], "memory_bytes": memory,
                 "abandoned": done.json["abandoned"], "offered": done.json["offered"]})
            bench.save()
        ground.check()
        figure.conditions = [
            ("all other answers are 503 or 429" + (": " + "; ".join(wrong[:3]) if wrong else ""), not wrong),
            (f"refused at once: p99 of the refusals {statistics.median(refused_p99):.0f} ms (<= {AT_ONCE_MS})",
             statistics.median(refused_p99) <= AT_ONCE_MS),
            (f"nobody left without an answer: {max(shares):.1%} waited a second for a connection", max(shares) <= 0.01),
            (f"memory of serve bounded: {memories[0][0] >> 20} MiB before, {max(max(m) for m in memories) >> 20} MiB at most, "
             f"{max(memories[-1]) >> 20} MiB in the last round",
             max(memories[-1]) <= 1.2 * max(max(m) for m in memories[:max(1, len(memories) // 2)])),
        ]
        figure.note = (f"the database takes {SLOW_LOCK_S * 1000:g} ms longer per lock (a trigger that sleeps): the machine could not ask for "
                       f"ten times its real capacity. {OVERLOAD_CONNECTIONS:,} connections")


def memory_idle(bench, wanted):
    figure = bench.figures["memory_idle"]
    with bench.ground() as ground:
        show = None
        for number in list(bench.round_numbers())[:2]:  # it hardly varies
            serve = ground.serve()
            show = show or ground.make_show(serve, 1000)
            options = ["--shows", ground.shows_file([(show, 1000)]), "--connections", 16, "--rate", 10, "--warmup", 1, "--seconds", 1]
            memory = []
            for idle in (1, IDLE):
                with Releaser(ground, [show], in_redis=True) as releaser:
                    done = drive.run(ground, "idle", serve.url, *options, "--idle", idle,
                                     sample=lambda: memory.append(serve.private_bytes())).demand_clean()
                bench.demand(releaser)
            memory = memory[::2]  # when counting began
            held = done.json["driver"]["idle"]
            bench.pair("memory_idle", (memory[1] - memory[0]) / held)
            bench.say(f"round {number}: {memory[0] >> 20} MiB, with {held:,} idle connections {memory[1] >> 20} MiB")
            ground.check()
            ground.end(serve)
            bench.save()
        figure.note = "private memory of the workers; the kernel's part of a socket comes besides"


def cold_start(bench, wanted):
    figure = bench.figures["cold_start"]
    loads_name = "boxoffice_seat_map_loads_total"
    with bench.ground() as ground:
        serve = ground.serve()
        # nobody releases here, because the releaser's changes would not be told to a map that is being loaded
        shows = [ground.make_show(serve, SEATS)]
        shows += ground.copy_show(shows[0], bench.rounds - 1) if bench.rounds > 1 else []
        for number, show in enumerate(shows, 1):
            options = ["--shows", ground.shows_file([(show, SEATS)]), "--sessions", 20000, "--rate", 2000, "--warmup", 1,
                       "--seconds", bench.seconds(4)]
            work = []
            done = drive.run(ground, "lock", serve.url, *options, at=(1.5, ground.cache.flushall),
                             sample=lambda: work.append(Work(ground, serve)))
            loads = serve.metrics()[loads_name] - work[0].metrics[loads_name]
            failed = done.json["completed"] - done.json["accepted"] + (done.json["offered"] - done.json["completed"])
            bench.pair("cold_start", failed)
            figure.details.setdefault("rounds", []).append(
                {"loads": loads, "failed": failed, "by_status": done.json["by_status"], "unclean": done.unclean,
                 "latency_us": done.json["latency_us"]})
            bench.say(f"round {number}: {failed} of {done.json['offered']} failed, {loads:.0f} loads, p99 "
                      f"{done.latency_us('p99') / 1000:.0f} ms, max {done.latency_us('max') / 1000:.0f} ms {'; '.join(done.unclean)}")
            ground.check()
            with Releaser(ground, [show], in_redis=True):  # before the locks' time is over: nobody sweeps here
                pass
            bench.save()
        rounds = figure.details["rounds"]
        figure.conditions = [(f"one load per process at most: {max(r['loads'] for r in rounds):.0f} loads, {serve.workers} processes",
                              1 <= max(r["loads"] for r in rounds) <= serve.workers)]
        figure.note = (f"2,000 locks/s; the longest wait for a lock around it: "
                       f"{statistics.median(r['latency_us']['max'] for r in rounds) / 1000:.0f} ms")


GROUPS = [(rush, ["rush"]), (overload, ["overload"]), (memory_idle, ["memory_idle"]), (cold_start, ["cold_start"])]
