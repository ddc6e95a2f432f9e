"""The load driver, and the search for the highest rate that holds."""

import json
import os
import subprocess
import time

import processes
from ground import Unclean

P99_MS = 100      # what "holds" means: nobody waits longer, but for one in a hundred
STEP = 1.06       # between two rates tried in a round: as fine as a round's noise
PROBES_MAX = 4    # in a round
DOWN_MAX = 8      # as long as none has held: the machine may have become slower
RAMP_STEPS = 9


class Drive:
    """What the driver said (.json), and what was sampled when it began and ended counting (.at_start, .at_end)."""

    def __init__(self, status, answer, at_start, at_end):
        self.status, self.json, self.at_start, self.at_end = status, answer, at_start, at_end

    @property
    def rate(self):
        return self.json["accepted_rate"]

    @property
    def accepted(self):
        """Within the counted seconds: what belongs to the difference of the two samples."""
        return self.json["accepted_rate"] * self.json["seconds"]

    def latency_us(self, which="p50", name=None):
        return (self.json["latencies"][name] if name else self.json["latency_us"])[which]

    @property
    def unclean(self):
        return list(self.json["unclean"])

    def demand_clean(self):
        if self.unclean or self.json.get("interrupted"):
            raise Unclean("bench_drive: " + "; ".join(self.unclean or ["interrupted"]))
        if self.json["driver"]["limited_by_driver"]:
            raise Unclean("the driver was the limit")
        return self


def run(ground, scenario, url, *options, sample=None, at=None, timeout_s=120):
    """One run. sample(): called when counting begins and when it ends; its results are kept. at: (seconds after counting
    began, what is then called), for hurting something under load."""
    command = [ground.programs.drive, scenario, "--url", url, *[str(o) for o in options]]
    out = ground.dir / f"drive-{os.getpid()}.json"
    samples, pending = {}, at
    with open(out, "wb") as out_file:
        process = processes.start(command, stdout=out_file, stderr=subprocess.PIPE)
    try:
        os.set_blocking(process.stderr.fileno(), False)
        begun, said, counting = time.monotonic(), b"", None
        while True:
            part = process.stderr.read()
            if part:
                said += part
                for word in ("counting", "counted"):
                    if word not in samples and f"\n{word}\n".encode() in b"\n" + said:
                        samples[word] = sample() if sample else None
                        counting = counting or time.monotonic()
            if pending and counting and time.monotonic() - counting >= pending[0]:
                pending[1]()
                pending = None
            if part == b"" or process.poll() is not None:
                break
            if time.monotonic() - begun > timeout_s:
                raise Unclean(f"bench_drive {scenario} did not end within {timeout_s} s: {said[-500:]!r}")
            time.sleep(0.01)
        said += process.stderr.read() or b""
        process.wait(timeout_s)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        process.stderr.close()
    if process.returncode not in (0, 1):
        raise RuntimeError(f"{' '.join(command)}: {process.returncode}: {said.decode(errors='replace')[-1000:]}")
    try:
        answer = json.loads(out.read_text())
    except ValueError:
        raise RuntimeError(f"{' '.join(command)} said no JSON: {out.read_text()[:300]!r} {said.decode(errors='replace')[-1000:]}") from None
    return Drive(process.returncode, answer, samples.get("counting"), samples.get("counted"))


def ramp(ground, scenario, url, *options, start=2000, step_seconds=1.2):
    """The highest rate that holds, found roughly: by doubling and halving."""
    done = run(ground, scenario, url, "--ramp", "--p99-ms", P99_MS, "--rate", start, "--steps", RAMP_STEPS, "--step-seconds",
               step_seconds, "--warmup", 0.5, *options)
    best = done.json["ramp"]["best"]
    if not best:
        raise Unclean(f"bench_drive {scenario}: no rate holds: {'; '.join(done.unclean)}; {done.json['ramp']['steps']}")
    return best


def why_not(drive):
    """Why a rate does not hold; "" when it does. Also an answer that is wrong at one rate may be right at a lower one."""
    if drive.json.get("interrupted"):
        return "interrupted"
    if drive.json["driver"]["limited_by_driver"]:
        return "the driver was the limit"
    if drive.unclean:
        return "; ".join(drive.unclean)
    if drive.latency_us("p99") > P99_MS * 1000:
        return f"p99 of {drive.latency_us('p99') / 1000:.0f} ms"
    # arrivals are random: of few a second some more or less come by chance (three standard deviations)
    asked, seconds = drive.json["asked_rate"], drive.json["seconds"]
    if drive.json["rate"] < 0.97 * asked - 3 * (asked / seconds) ** 0.5:
        return f"backlog: {drive.json['rate']:.0f}/s of {drive.json['asked_rate']:.0f}/s"
    return ""


def search(probe, start, step=STEP, probes=PROBES_MAX):
    """The best that holds near a rate: up in steps while it holds, or down until it does. probe(rate) gives a Drive.
    Returns (that Drive, rates tried with what came of them); raises Unclean when nothing held."""
    rate, best, tried, direction = start, None, [], 0
    while len(tried) < (probes if best else DOWN_MAX):
        drive = probe(rate)
        reason = why_not(drive)
        tried.append({"rate": round(rate), "held": not reason, "why": reason})
        if not reason:
            if best is None or drive.rate > best.rate:
                best = drive
            if direction < 0:
                break
            direction, rate = 1, rate * step
        else:
            if direction > 0:
                break
            # far from it: what was served says more than the step
            direction, rate = -1, max(min(rate / step, 0.97 * drive.json["rate"]), rate / 1.5)
    if best is None:
        raise Unclean("no rate held: " + "; ".join(f"{t['rate']}/s: {t['why']}" for t in tried))
    return best, tried
