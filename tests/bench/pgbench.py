"""pgbench as a denominator: run, counted, held to its count."""

import os
import re
import time
from pathlib import Path

import processes
from figures import percentile
from ground import HERE, ROOT, Unclean, cores

SESSIONS = 10000


def expand(text, source):
    """A script whose lines `@file argument | argument` are the program's own statements: the file's text without its comments,
    each $n in its place."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("@"):
            lines.append(line)
            continue
        name, _, rest = line[1:].partition(" ")
        arguments = [word.strip() for word in rest.split("|")]
        statement = re.sub(r"--[^\n]*", "", (Path(source) / f"{name}.sql").read_text()).strip()
        wanted = {int(n) for n in re.findall(r"\$(\d+)", statement)}
        if wanted != set(range(1, len(arguments) + 1)):
            raise ValueError(f"{name}.sql has the parameters {sorted(wanted)}, the script gives {len(arguments)}")
        lines.append(re.sub(r"\$(\d+)", lambda found: arguments[int(found.group(1)) - 1], statement) + ";")
    return "\n".join(lines) + "\n"


class Rate:
    """What a run came to: .rate (a second), .count, .cpu_s (PostgreSQL's and pgbench's), .p50_us when a log was kept."""

    def __init__(self, rate, count, postgres_cpu_s, pgbench_cpu_s, latencies_us):
        self.rate, self.count = rate, count
        self.postgres_cpu_s, self.pgbench_cpu_s = postgres_cpu_s, pgbench_cpu_s
        self.latencies_us = latencies_us

    @property
    def p50_us(self):
        return percentile(self.latencies_us, 0.5)


def run(ground, script, clients, seconds, variables, log=False, counted=None, without=()):
    """One run of sql/<script>.sql. counted: a statement whose result must have grown by what pgbench says it did."""
    for old in ground.dir.glob("pgbench-log.*"):
        old.unlink()
    path = ground.dir / f"{script}.sql"
    path.write_text(expand((HERE / "sql" / f"{script}.sql").read_text(), ROOT / "src"))
    words = [ground.programs.pgbench, "-n", "-M", "prepared", "-c", str(clients), "-j", str(min(clients, cores())), "-T",
             f"{max(1, round(seconds))}", "-f", str(path), "-h", str(ground.postgres.dir), "-U",
             ground.postgres.user]
    for name, value in {"clients": clients, "sessions": SESSIONS, "first_id": int(time.time() * 1000) << 16, "i": 0,
                        **variables}.items():
        words += ["-D", f"{name}={value}"]
    if log:
        words += ["--log", f"--log-prefix={ground.dir}/pgbench-log"]
    # as favourable as it gets: never planned twice
    env = {**os.environ, "PGOPTIONS": "-c plan_cache_mode=force_generic_plan -c application_name=bench_pgbench"}
    before = ground.owner.execute(counted).fetchone()[0] if counted else 0
    begun = processes.cpu_of_family(ground.postgres.pid, without)
    ran = processes.run([*words, "postgres"], ground.dir, seconds + 30, env=env)
    cpu_s = processes.cpu_of_family(ground.postgres.pid, without) - begun
    text = ran.out + ran.err
    rate = re.search(r"^tps = ([\d.]+)", text, re.M)
    count = re.search(r"number of transactions actually processed: (\d+)", text)
    failed = re.search(r"number of failed transactions: (\d+)", text)
    if ran.status != 0 or not rate or not count:
        raise Unclean(f"pgbench {script} -c {clients} ended with {ran.status}: {text.strip()[-400:]}")
    if failed and int(failed.group(1)):
        raise Unclean(f"pgbench {script} -c {clients}: {failed.group(1)} transactions failed")
    done = int(count.group(1))
    if counted:
        grown = ground.owner.execute(counted).fetchone()[0] - before
        if grown != done:
            raise Unclean(f"pgbench {script} -c {clients} says {done}, the tables say {grown}")
    latencies = []
    for path in Path(ground.dir).glob("pgbench-log.*"):
        latencies += [int(line.split()[2]) for line in path.read_text().splitlines()]
        path.unlink()
    return Rate(float(rate.group(1)), done, cpu_s, ran.cpu_s, latencies)
