"""The torture test: bookings go on while a seeded program breaks everything; then it settles, and three books must agree.

    torture.py --build build/asan --seeds 10 --bookings 2000        as `make test-long` does
    torture.py --build build/asan --seed 7 --bookings 200           this one again
    torture.py ... --seed 7 --bookings 200 --defect FILE            with SQL that breaks the program's database first: is it seen?

    starting -> buyers and faults at once -> all runs, no switch is on -> settled -> same keys again -> judged -> stopped

What breaks (torture_plan.py): the server's workers and their parent, `work`, PostgreSQL, Redis and the simulator are killed with
-9 or stopped for longer than a lock lasts; connections are cut; Redis is wiped; the gateway drops answers before and after it
acted, answers 500 and 429, delays, hangs; webhooks are lost, late and double. What buyers do (torture_crowd.py): everything.
What must be true then (torture_judge.py, `boxoffice check`): whoever was told "confirmed" has his seats and was charged once, to
the cent; nobody else was charged; every answer has its explanation; every seat has one owner or can be locked.

To make waiting short, and for nothing else, times are brought near in the tables: the end of the lease of whoever drives a payment
or a refund (while he is stopped, and now and then while he is not: as if he had been stopped for its 11 s), the bounds of what
waits for 3-D Secure; once the faults are over, when what waits is looked at next.

Teeth. Each of these was broken on purpose in the program and tried with two seeds of 200; what the torture said:
- an abandoned attempt is not voided at the gateway (payment_abandon.sql and the drive: void_wanted false): both failed, "intent ...
  (requires_action) is still open, attempt ... is abandoned";
- a confirmation of unknown outcome is taken for a decline (payment.c: SEEN_UNKNOWN of STEP_CONFIRM -> DO_FAIL): both failed, "was
  told 402; its attempts are ['failed']" with a good card, "intent ... (requires_capture) is still open: 7000 held";
- a refund of unknown outcome is sent again with a fresh key and without a look at the gateway's list (refund_drive.c,
  refund_call.sql): one failed, "refund ... failed (charge_already_refunded) although the payment is captured", and I3.
Not seen: void_wanted false in payment_abandon.sql alone (two seeds: the drive itself goes on to the gateway); the guards of
payment_fail.sql taken away, state and generation (3,500 visits); the generation alone taken from all (600). The guards of the booking
and of the lock in the same transaction still hold then: the arrows' own guards are for the tests of the rules.
"""

import argparse
import asyncio
import contextlib
import os
import random
import secrets
import shutil
import signal
import sys
import tempfile
import time
import traceback
import uuid
from pathlib import Path

import psycopg
import redis

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent / "integration")]

import load  # noqa: E402
import torture_crowd  # noqa: E402
import torture_judge  # noqa: E402
import torture_plan  # noqa: E402
from gateway import Gateway  # noqa: E402
from service import ROOT, Boxoffice, wait_until  # noqa: E402

LOCK_S = 4
SETTLE_S = 40           # after the faults, with times brought near
LONGEST_WAIT_S = 90     # nothing that waits may be looked at later than that
AT_ONCE = 15
ARGS = ["--workers", "2", "--lock-seconds", str(LOCK_S), "--payment-timeout-ms", "1000", "--lease-seconds", "2", "--sweep-ms", "100",
        "--audit-ms", "300"]

LEASES_END = ["""UPDATE payments SET settle_at = now(), ask_after = least(ask_after, now())
                  WHERE settle_at > now() AND settle_at < 'infinity'""",
              "UPDATE refunds SET settle_at = now() WHERE settle_at > now() AND settle_at < 'infinity'"]
# of some of those that wait for the gateway or for the buyer's bank
TIME_IS_OVER = ["""UPDATE payments SET action_until = now(), hold_until = now(), settle_at = now(), ask_after = now()
    WHERE state IN ('created', 'requires_action') AND hashtextextended(payment_id::text, (%s * 1000)::int) %% 2 = 0"""]


class Chaos:
    """Does the plan's steps, each when its visit begins."""

    PROGRAMS = {"serve": " serve ", "work": " work ", "paysim": "boxoffice-paysim ", "redis": "redis-server"}

    def __init__(self, office, gateway, crowd, steps):
        self.office, self.gateway, self.crowd, self.steps = office, gateway, crowd, steps
        self.log = []
        self.going_on = []

    def note(self, text):
        self.log.append(f"{time.monotonic() - self.crowd.t0:7.2f} (visit {self.crowd.begun}) {text}")

    async def run(self):
        for step in self.steps:
            while self.crowd.begun <= step.at:
                self.crowd.changed.clear()
                await self.crowd.changed.wait()
            await asyncio.sleep(step.wait)
            try:
                said = await asyncio.to_thread(self.do, step)
            except (OSError, psycopg.OperationalError, redis.RedisError) as error:
                said = f"could not: {str(error).splitlines()[0]}"  # what it needs is broken just now
            self.note(f"{step}: {said}")

    def do(self, step):
        verb, _, what = step.what.partition(" ")
        if step.what == "switch":
            self.gateway.call("POST", "/_sim/faults", step.switch)
            if step.seconds:
                self.later(self.overtake(step.seconds))
            return "done"
        if step.what == "wipe redis":
            with redis.Redis.from_url(self.office.redis_url, socket_timeout=1) as cache:
                cache.flushall()
            return "done"
        if verb == "cut":
            return self.cut(step)
        if step.what == "leases end":
            return self.tables(LEASES_END)
        if step.what == "time is over":
            return self.tables(TIME_IS_OVER, [step.which])
        pids = self.find(what, step.which, verb == "stop")
        if verb == "kill":
            self.signal(pids, signal.SIGKILL)
        elif pids:
            self.signal(pids, signal.SIGSTOP)
            if what in ("a worker", "work"):
                self.later(self.overtake(step.seconds * step.which))
            self.later(self.go_on(pids, step.seconds))
        return f"processes {pids}" if pids else "none there"

    def find(self, what, which, all_of_it):
        """The processes to be hurt. all_of_it: of PostgreSQL not only the first, whose end is theirs."""
        processes = self.office.processes()

        def those(text):
            return sorted(pid for pid, command in processes.items() if text in command)

        if what == "postgres":
            return those("/postgres -D")[:1] + (those("postgres: ") if all_of_it else [])
        if what == "a backend":
            found = those("postgres: boxoffice_app")
            return [found[int(which * len(found))]] if found else []
        serve = those(self.PROGRAMS["serve"])
        if what == "a worker":
            found = [pid for pid in serve if parent(pid) in serve]
            return [found[int(which * len(found))]] if found else []
        if what == "serve":
            return [pid for pid in serve if parent(pid) not in serve][:1]
        return those(self.PROGRAMS[what])[:1]

    def cut(self, step):
        """Every connection for itself has the same chance to be cut."""
        with psycopg.connect(self.office.database_url, autocommit=True, connect_timeout=1) as db:
            pids = [pid for pid, in db.execute("SELECT pid FROM pg_stat_activity WHERE usename = 'boxoffice_app' ORDER BY pid")]
            chosen = random.Random(step.which).sample(pids, len(pids) // 2)
            db.execute("SELECT pg_terminate_backend(p) FROM unnest(%s::int[]) AS p", [chosen])
            return f"{len(chosen)} of {len(pids)}"

    def later(self, job):
        self.going_on.append(asyncio.run_coroutine_threadsafe(job, self.loop))

    def tables(self, statements, values=None):
        with psycopg.connect(self.office.database_url, autocommit=True, connect_timeout=1) as db:
            db.execute("SET lock_timeout = 500")
            return [db.execute(statement, values).rowcount for statement in statements]

    async def overtake(self, seconds):
        await asyncio.sleep(seconds)
        with contextlib.suppress(psycopg.OperationalError):
            await asyncio.to_thread(self.tables, LEASES_END)

    @staticmethod
    def signal(pids, signo):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signo)

    async def go_on(self, pids, seconds):
        try:
            await asyncio.sleep(seconds)
        finally:
            self.signal(pids, signal.SIGCONT)

    async def end(self):
        """Everything runs, no switch is on."""
        for waiting in self.going_on:
            waiting.cancel()
        stopped = [pid for pid in self.office.processes() if state(pid) == "T"]
        self.signal(stopped, signal.SIGCONT)

        def ready():
            assert self.office.process, "ended meanwhile"
            try:
                self.gateway.call("DELETE", "/_sim/faults")
                if any(state(pid) == "T" for pid in self.office.processes()):
                    return False
                for _ in range(6):  # the kernel chooses the worker
                    api = self.office.api()
                    answer = api.get("/readyz")
                    api.close()
                    if answer.status != 200 or answer.json()["status"] != "ready":
                        return False
                return bool(self.office.pids(self.PROGRAMS["work"]))
            except OSError:
                return False

        await asyncio.to_thread(wait_until, ready, "everything ready after the faults", 30, 0.1)


def parent(pid):
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


def state(pid):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return "X"


class Failed(AssertionError):
    pass


class Torture:
    """One seed."""

    def __init__(self, build_dir, directory, seed, bookings, every=6, defect=None):
        self.build_dir, self.dir, self.defect = Path(build_dir), Path(directory), defect
        self.plan = torture_plan.make(seed, bookings, every)
        self.office = Boxoffice(build_dir, directory, *ARGS)
        self.crowd = self.chaos = None
        self.problems = []
        self.took = {}

    def replay(self):
        build = os.path.relpath(self.build_dir, ROOT) if self.build_dir.is_relative_to(ROOT) else self.build_dir
        plan = self.plan
        return (f"build/venv/bin/python tests/faults/torture.py --build {build} --seed {plan.seed} --bookings {plan.bookings}"
                + (f" --every {plan.every}" if plan.every != 6 else "") + (f" --defect {self.defect}" if self.defect else ""))

    def timed(self, name, since):
        self.took[name] = round(time.monotonic() - since, 1)

    def run(self):
        """Raises Failed with what is wrong, after the story of the run was written to a file."""
        try:
            begun = time.monotonic()
            self.office.start()
            self.gateway = Gateway.of(self.office, timeout_s=3)
            shows = self.make_shows()
            if self.defect:
                with psycopg.connect(self.office.database_url) as db:
                    db.execute(Path(self.defect).read_text())
            self.timed("start", begun)
            self.crowd = torture_crowd.Crowd(self.office.url, self.office.admin_token, shows, self.plan, AT_ONCE)
            self.chaos = Chaos(self.office, self.gateway, self.crowd, self.plan.steps)
            asyncio.run(self.all_of_it(shows))
            self.problems += self.crowd.problems
            begun = time.monotonic()
            self.office.check()
            self.forget_killed_leak_checks()
            self.office.stop()
            self.timed("end", begun)
        except Exception as error:  # whatever it was, the story is told
            self.problems += (self.crowd.problems if self.crowd and not self.problems else []) + [
                str(error) if isinstance(error, AssertionError) else traceback.format_exc()]
        finally:
            self.office.kill()
        self.forget_killed_leak_checks()
        try:
            self.office.assert_clean()
        except AssertionError as error:
            self.problems.append(str(error))
        self.problems += self.logged()
        if self.problems:
            path = self.tell_all()
            raise Failed("\n".join([f"seed {self.plan.seed}: {len(self.problems)} problems", *self.problems[:20],
                                    f"the whole story: {path}", f"again: {self.replay()}"]))
        return self

    def forget_killed_leak_checks(self):
        """A process that was killed while it looked for leaks at its end leaves a line that says nothing about leaks."""
        for path in self.office.reports.parent.glob(self.office.reports.name + ".*"):
            if all("Unable to get registers from thread" in line for line in path.read_text(errors="replace").splitlines()):
                path.unlink()

    def make_shows(self):
        admin = self.office.admin()
        shows = []
        for seats, show in zip(self.plan.seats, torture_plan.SHOWS, strict=True):
            fee = {"amount": show["fee"], "currency": show["currency"]}
            shows.append(admin.make_show(seats=seats, per_row=torture_plan.PER_ROW, prices=show["prices"], currency=show["currency"],
                                         cancellation={"until": "2099-01-01T00:00:00Z", "fee": fee}))
        return shows

    async def all_of_it(self, shows):
        try:
            await self.play(shows)
        except asyncio.CancelledError:
            self.office.kill()  # Ctrl-C: whoever waits for it in a thread waits in vain
            raise

    async def play(self, shows):
        begun = time.monotonic()
        self.chaos.loop = asyncio.get_running_loop()
        chaos = asyncio.ensure_future(self.chaos.run())
        await self.crowd.run()
        chaos.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await chaos
        self.timed("visits", begun)
        begun = time.monotonic()
        await self.chaos.end()
        with psycopg.connect(self.office.database_url, autocommit=True) as db:
            await asyncio.to_thread(self.settle, db)
            self.timed("settling", begun)
            begun = time.monotonic()
            books = torture_judge.Books(db, self.gateway.ledger(), shows, self.crowd.records)
            self.problems += torture_judge.judge(books)
            await self.ask_again(books)
            self.webhooks, = db.execute("SELECT count(*) FROM webhook_events").fetchone()
            after = torture_judge.Books(db, self.gateway.ledger(), shows, self.crowd.records)
            if (after.intents, after.gateway_refunds) != (books.intents, books.gateway_refunds):
                self.problems.append("money moved when everything was settled")
            await self.take_the_rest(db, shows)
        self.timed("judging", begun)
        self.books = books

    # ---- settling ---------------------------------------------------------------------------------------------------------

    OPEN = """
        SELECT 'attempt', payment_id, state || CASE WHEN void_wanted THEN ', void wanted' ELSE '' END, settle_at FROM payments
         WHERE state IN ('created', 'requires_action', 'authorised') OR void_wanted
        UNION ALL SELECT 'refund', refund_id, state, settle_at FROM refunds WHERE state IN ('requested', 'pending')
        UNION ALL SELECT 'booking', booking_id, state, now() FROM bookings WHERE state = 'payment_pending'
        UNION ALL SELECT 'lock', lock_id, state, expires_at FROM seat_locks WHERE state IN ('active', 'paying')"""

    def settle(self, db):
        forgotten = db.execute(f"""SELECT what, id, state, next::text FROM ({self.OPEN}) AS o (what, id, state, next)
            WHERE what IN ('attempt', 'refund') AND next > now() + %s * interval '1 second'""", [LONGEST_WAIT_S]).fetchall()
        assert not forgotten, f"nobody will look at these soon: {forgotten}"

        def settled():
            waiting = db.execute(f"SELECT what, id, state, next::text FROM ({self.OPEN}) AS o (what, id, state, next)").fetchall()
            if waiting:
                db.execute("UPDATE payments SET action_until = now() WHERE state = 'requires_action' AND action_until > now()")
                for statement in LEASES_END:
                    db.execute(statement)
            self.waiting = waiting
            return not waiting

        try:
            wait_until(settled, "", SETTLE_S, 0.7)
        except AssertionError:
            text = "\n".join(f"  {what} {id_} {state} next {at}" for what, id_, state, at in self.waiting)
            raise AssertionError(f"not settled within {SETTLE_S} s:\n{text}") from None

    async def ask_again(self, books):
        """The same key gives the same booking, and what was declined stays so."""
        once = [asked for record in self.crowd.records for asked in record.asked
                if any(got.status in (201, 402) for got in asked.got)]
        tokens = {record.visit.number: record.token for record in self.crowd.records}

        async def one(asked):
            client = load.Client(self.office.url, tokens[asked.visit], timeout_s=10)
            answer = await client.request("POST", f"/v1/shows/{asked.show_id}/bookings", asked.body, asked.key)
            client.close()
            attempts = books.of_wish[asked.visit, asked.number]
            said = next(got.body["booking_id"] for got in asked.got if got.status in (201, 402))
            booking = books.bookings[uuid.UUID(said)]
            state_of = attempts[-1]["state"] if attempts else "captured"
            wanted = {"captured": 201, "capture_failed": 402, "abandoned": 409, "failed": 402}[state_of]
            if state_of == "failed" and attempts[-1]["failure"] != "declined":
                wanted = 409    # not remembered: the lock is over
            fits = answer.status == wanted and (answer.status == 409 or answer.json()["booking_id"] == said)
            if not fits or (answer.status == 201 and answer.json()["status"] != booking["state"]):
                self.problems.append(f"{asked.key} asked again at the end: {answer}; it is {booking['state']}, "
                                     f"attempts {[a['state'] for a in attempts]}")

        await load.gather([one(asked) for asked in once], 10)

    async def take_the_rest(self, db, shows):
        """Every seat that nobody has can be had."""

        async def take(show, seats):
            [client] = await load.sessions(self.office.url, 1)
            end = time.monotonic() + 10
            while True:
                answer = await client.lock(show.show_id, seats)
                if answer.status == 201 or time.monotonic() > end:
                    break
                await asyncio.sleep(0.1)    # a mark of an admission that was cut off ends by itself
            client.close()
            if answer.status != 201:
                self.problems.append(f"{seats} are free and cannot be locked: {answer}")

        jobs = []
        for show in shows:
            owned = {seat for seat, in db.execute("SELECT seat_no FROM booking_seats WHERE show_id = %s AND released_at IS NULL",
                                                  [show.show_id])}
            free = [guid for number, guid in enumerate(show.seats) if number not in owned]
            jobs += [take(show, free[i:i + 10]) for i in range(0, len(free), 10)]
        await load.gather(jobs, 10)

    # ---- telling ----------------------------------------------------------------------------------------------------------

    def logged(self):
        """What the program itself holds to be a bug."""
        words = ("double booking", "does not add up", "statement failed", "a refund failed", "assert")
        found = []
        for path in sorted((self.dir / "log").glob("*.log")):
            if path.name.startswith("postgres"):
                continue
            found += [f"{path.name}: {line}" for line in path.read_text(errors="replace").splitlines()
                      # of what was never captured nothing is given back
                      if any(word in line.lower() for word in words) and "not_captured" not in line]
        return found

    def tell_all(self):
        folder = ROOT / "build" / "torture"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"seed-{self.plan.seed}-{self.plan.bookings}.log"
        parts = ["problems:", *self.problems, "", "again: " + self.replay(), "", "plan:", str(self.plan), "", "what was done:"]
        parts += self.chaos.log if self.chaos else []
        parts += ["", "visits:"]
        parts += map(str, sorted(self.crowd.records, key=lambda r: r.visit.number)) if self.crowd else []
        path.write_text("\n".join(parts) + "\n")
        logs = folder / f"seed-{self.plan.seed}-{self.plan.bookings}.logs"
        shutil.rmtree(logs, ignore_errors=True)
        with contextlib.suppress(OSError):
            shutil.copytree(self.dir / "log", logs)
        return path

    def summary(self):
        told = sum(len(record.told) for record in self.crowd.records)
        unclear = sum(got.unclear for record in self.crowd.records for asked in record.asked for got in asked.got)
        states = [booking["state"] for booking in self.books.bookings.values()]
        kept = sum(i["amount_captured"] - i["amount_refunded"] for i in self.books.intents)
        return (f"seed {self.plan.seed}: {self.plan.bookings} visits, {len(self.chaos.log)} faults, {len(states)} bookings "
                f"({states.count('confirmed')} confirmed, {states.count('cancelled')} cancelled, {states.count('failed')} failed), "
                f"{told} were told so, {unclear} unclear answers, {len(self.books.intents)} intents, "
                f"{self.webhooks} webhook events, {kept} minor units kept; {self.took}")


def run(build_dir, base_dir, seed, bookings, every=6, defect=None, say=print):
    """One seed in a folder of its own, which stays only when it failed."""
    folder = Path(tempfile.mkdtemp(prefix=f"torture-{seed}-", dir=base_dir))
    torture = Torture(build_dir, folder, seed, bookings, every, defect)
    torture.run()
    say(torture.summary())
    if not os.environ.get("BOXOFFICE_KEEP"):
        shutil.rmtree(folder, ignore_errors=True)
    return torture


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--build", default="build/asan")
    args.add_argument("--seed", help="this one alone")
    args.add_argument("--seeds", type=int, default=10)
    args.add_argument("--bookings", type=int, default=2000)
    args.add_argument("--every", type=int, default=6, help="about how many visits there are to a fault")
    args.add_argument("--defect", help="a file of SQL that breaks the program's database before the first visit")
    args.add_argument("--plan", action="store_true", help="print the plan and do nothing")
    args = args.parse_args()
    seeds = [args.seed] if args.seed else [secrets.token_hex(4) for _ in range(args.seeds)]
    if args.plan:
        for seed in seeds:
            print(torture_plan.make(seed, args.bookings, args.every))
        return 0
    base = Path(tempfile.mkdtemp(prefix="bo-", dir="/tmp"))
    base.chmod(0o755)
    failed, begun = [], time.monotonic()
    try:
        for number, seed in enumerate(seeds, 1):
            print(f"[{number}/{len(seeds)}] seed {seed}, {args.bookings} bookings", flush=True)
            try:
                run(Path(args.build).resolve(), base, seed, args.bookings, args.every, args.defect,
                    lambda text: print("  " + text, flush=True))
            except Failed as error:
                failed.append(seed)
                print(f"  FAILED: {error}", flush=True)
    except KeyboardInterrupt:
        print(f"\nstopped after {time.monotonic() - begun:.0f} s")
        failed = failed or ["interrupted"]
    print(f"{len(seeds) - len(failed)} of {len(seeds)} seeds passed in {time.monotonic() - begun:.0f} s"
          + (f"; failed: {' '.join(failed)}" if failed else ""))
    if not failed:
        shutil.rmtree(base, ignore_errors=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
