"""How far the program is from its goals: every figure is a ratio of two programs measured in one run on one machine.

    bench.py [--rows lock,refuse,...] [--rounds 5] [--build build/release] [--out build/bench.json]

`--rows list` says which rows there are. Everything is started here, in a temporary folder and on free ports, and ended by its
process id, also by Ctrl-C; what was measured until then stands in the file. Exit status: 0 all was measured (whether its goal
was met or not), 1 something was unclean, 2 wrong use, 130 interrupted.
"""

import argparse
import contextlib
import datetime
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

import psycopg
import redis

sys.path.insert(0, str(Path(__file__).resolve().parent))

import figures  # noqa: E402
import rows  # noqa: E402
from ground import ROOT, Ground, Programs, Unclean, commit, machine  # noqa: E402

MODULES = ["rows_locks", "rows_reads", "rows_crowd", "rows_journey", "rows_relay", "rows_door", "rows_growth"]


class Bench:
    """What the rows are given: how long and how often to measure, where to say and to keep what came of it."""

    def __init__(self, programs, names, rounds, quick, where, out):
        self.programs, self.rounds, self.quick, self.where, self.out = programs, rounds, quick, where, Path(out)
        self.figures = {name: rows.figure(name) for name in names}
        self.begun = time.monotonic()
        self.started = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        self.machine, self.commit = machine(), commit()
        self.settings, self.versions = {}, {}
        self.row = ""

    def say(self, text):
        """A line of progress with the time since the start."""
        elapsed = time.monotonic() - self.begun
        print(f"{int(elapsed // 60):2d}:{elapsed % 60:04.1f}  {self.row:<14} {text}", file=sys.stderr, flush=True)

    def seconds(self, normal):
        return max(1, normal / 2) if self.quick else normal

    def round_numbers(self):
        return range(1, self.rounds + 1)

    @contextlib.contextmanager
    def ground(self, postgres_args=()):
        """Servers for one set of rows; gone at the end of it."""
        ground = Ground(self.programs, self.where, postgres_args)
        try:
            if not self.settings:
                self.settings, self.versions = ground.settings(), ground.versions()
                if ground.file_system == "tmpfs":
                    raise Unclean(f"{ground.dir} is on a RAM disk, where a sync costs nothing: name another place with --dir")
            yield ground
        finally:
            ground.close()

    def pair(self, name, numerator, denominator=None):
        """One round of a figure."""
        figure = self.figures[name]
        figure.numerator_values.append(round(numerator, 3))
        if denominator is not None:
            figure.denominator_values.append(round(denominator, 3))

    @contextlib.contextmanager
    def guard(self, *names):
        """What goes wrong inside is wrong with these figures, not with those that are measured after them."""
        try:
            yield
        except Unclean as error:
            self.say(f"UNCLEAN: {error}")
            reason = str(error)
        except (OSError, RuntimeError, ValueError, KeyError, AssertionError, TypeError, psycopg.Error, redis.RedisError,
                subprocess.SubprocessError) as error:
            traceback.print_exc()
            reason = f"{type(error).__name__}: {error}"
        else:
            return
        for name in names:
            self.figures[name].unclean.append(reason)
        self.save()

    def demand(self, releaser):
        if releaser.error:
            raise Unclean(releaser.error)

    def save(self):
        """The file is whole at any moment: a new one takes the place of the old."""
        text = json.dumps(figures.report(self.figures.values(), self.machine, self.versions, self.commit, self.settings, self.started,
                                         time.monotonic() - self.begun, self.rounds), indent=1)
        self.out.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self.out.parent, prefix=self.out.name)
        with os.fdopen(handle, "w") as file:
            file.write(text + "\n")
        os.chmod(name, 0o644)
        os.replace(name, self.out)


def groups():
    """(function, names) of all modules of rows, in their order."""
    found = []
    for name in MODULES:
        if (Path(__file__).parent / f"{name}.py").exists():
            found += importlib.import_module(name).GROUPS
    return found


def run_all(bench):
    for function, names in groups():
        wanted = {name for name in names if name in bench.figures}
        if not wanted:
            continue
        bench.row = next(name for name in names if name in wanted)
        begun = time.monotonic()
        bench.say("begins: " + ", ".join(name for name in names if name in wanted))
        with bench.guard(*wanted):
            function(bench, wanted)
        for name in wanted:
            bench.figures[name].details["took_s"] = round(time.monotonic() - begun, 1)
        bench.say(f"took {time.monotonic() - begun:.0f} s")
        bench.save()


def names_of(text):
    if not text or text == "all":
        return rows.NAMES
    names = [name.strip() for name in text.split(",") if name.strip()]
    wrong = [name for name in names if name not in rows.NAMES]
    if wrong:
        sys.exit(f"bench.py: there is no row {', '.join(wrong)}; the rows are {', '.join(rows.NAMES)}")
    return [name for name in rows.NAMES if name in names]


def interrupt(*_):
    """Once: what is being ended then shall be ended whole."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def main():
    parser = argparse.ArgumentParser(description="Measures the program against its goals.")
    parser.add_argument("--rows", default="all", help="some of the rows, separated by commas; `list` says which there are")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--build", default=str(ROOT / "build/release"), help="the folder of meson with the programs")
    parser.add_argument("--out", default=str(ROOT / "build/bench.json"))
    parser.add_argument("--dir", default=None, help="where the temporary folder is made; not on a RAM disk")
    parser.add_argument("--quick", action="store_true", help="shorter and fewer tries: to see that it works, not to measure")
    args = parser.parse_args()
    if args.rows == "list":
        print("\n".join(rows.listing()))
        return 0
    names = names_of(args.rows)
    if args.rounds < 1:
        parser.error("--rounds takes a number from 1")
    programs = Programs(args.build)
    if programs.lacking():
        print(f"bench.py: not found in {args.build} or not installed: {', '.join(programs.lacking())}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGINT, interrupt)
    bench = Bench(programs, names, args.rounds, args.quick, args.dir, args.out)
    interrupted = False
    try:
        run_all(bench)
    except KeyboardInterrupt:
        interrupted = True
        bench.say("interrupted")
    bench.save()
    print("\n".join(figures.table([f for f in bench.figures.values() if f.values() or f.unclean or f.missing or not interrupted])))
    print(f"\n{args.rounds} rounds, {time.monotonic() - bench.begun:.0f} s in all; {bench.out}")
    if interrupted:
        return 130
    return 1 if any(f.unclean for f in bench.figures.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
