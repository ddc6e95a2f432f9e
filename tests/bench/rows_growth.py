"""Growth: the same load, with more of everything that the load does not touch."""

import statistics

import drive
from measure import Cpu, Work, cpu_us_per, demand_rows, work_per_lock
from releaser import Releaser

SEATS = 50000
MORE_SHOWS, MORE_SEATS = 10000, 100
SHOWS = 20                # of each size: as many shows in a batch on both sides
RATE = 3000               # below what they can do, so that both have the same batches
SECONDS = 2.5


class Load:
    """A fixed rate of locks on some shows; CPU per lock."""

    def __init__(self, bench, ground, serve, shows, seats, **release):
        self.bench, self.ground, self.serve, self.shows, self.release = bench, ground, serve, shows, release
        self.options = ["--shows", ground.shows_file([(show, seats) for show in shows]), "--sessions", 20000]
        self.cpu, self.work = [], []

    def round(self):
        with Releaser(self.ground, self.shows, in_redis=True, **self.release) as releaser:
            before = Work(self.ground, self.serve)
            done = drive.run(self.ground, "lock", self.serve.url, *self.options, "--rate", RATE, "--warmup", 1, "--seconds",
                             self.bench.seconds(SECONDS), sample=lambda: Cpu(self.ground, self.serve, releaser)).demand_clean()
        after = Work(self.ground, self.serve)
        self.bench.demand(releaser)
        demand_rows(before, after, releaser)
        self.work.append(work_per_lock(before, after, releaser))
        self.cpu.append(cpu_us_per(done.at_start, done.at_end, done.accepted))
        self.ground.tidy()
        return self.cpu[-1]["all"]

    def describe(self):
        return ", ".join(f"{group} {statistics.median(c[group] for c in self.cpu):.1f}" for group in ("serve", "redis", "postgresql"))


def growth(bench, wanted):
    """growth_shows and growth_memory: the same show alone, and among 10,000 others. Each in servers of its own, so that the two
    take turns."""
    with bench.ground() as alone, bench.ground() as among:
        loads = []
        for ground in (alone, among):
            serve = ground.serve()
            show = ground.make_show(serve, SEATS)
            small = ground.make_show(serve, MORE_SEATS)
            if ground is among:
                ground.copy_show(small, MORE_SHOWS)
            ground.owner.execute("CHECKPOINT")
            loads.append(Load(bench, ground, serve, [show], SEATS))
            loads[-1].round()  # not counted
            loads[-1].cpu.clear()
        for number in bench.round_numbers():
            single, many = [load.round() for load in loads]
            memory_single, memory_many = [load.serve.private_bytes() for load in loads]
            bench.say(f"round {number}: {single:.1f} us per lock alone, {many:.1f} us among {MORE_SHOWS:,} shows; "
                      f"{memory_single >> 20} and {memory_many >> 20} MiB")
            if "growth_shows" in wanted:
                bench.pair("growth_shows", many, single)
                bench.figures["growth_shows"].note = (f"{RATE:,} locks/s; us per lock: alone {loads[0].describe()}; among "
                                                      f"{loads[1].describe()}")
            if "growth_memory" in wanted:
                bench.pair("growth_memory", memory_many, memory_single)
                bench.figures["growth_memory"].note = "private memory of the workers after the same load"
            bench.save()
        alone.check()
        among.check()


def growth_seats(bench, wanted):
    with bench.ground() as ground:
        serve = ground.serve()
        loads = {}
        for seats in (SEATS, MORE_SEATS):
            first = ground.make_show(serve, seats)
            # so short a time that a show of 100 seats is never all locked
            loads[seats] = Load(bench, ground, serve, [first, *ground.copy_show(first, SHOWS - 1)], seats, every_s=0.04, older="150 ms")
            bench.say(f"{SHOWS} shows of {seats:,} seats")
        ground.owner.execute("CHECKPOINT")
        for load in loads.values():
            load.round()
            load.cpu.clear()
        for number in bench.round_numbers():
            bench.pair("growth_seats", loads[SEATS].round(), loads[MORE_SEATS].round())
            bench.say(f"round {number}: {loads[SEATS].cpu[-1]['all']:.1f} us per lock in large shows, "
                      f"{loads[MORE_SEATS].cpu[-1]['all']:.1f} us in small ones")
            ground.check()
            bench.save()
        bench.figures["growth_seats"].note = (f"{RATE:,} locks/s over {SHOWS} shows; us per lock: {SEATS:,} seats "
                                              f"{loads[SEATS].describe()}; {MORE_SEATS} seats {loads[MORE_SEATS].describe()}")


GROUPS = [(growth, ["growth_shows", "growth_memory"]), (growth_seats, ["growth_seats"])]
