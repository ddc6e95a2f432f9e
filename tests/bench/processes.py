"""Processes: what they cost, what they hold, and how they end. CPU is read from /proc, so that nothing has to be asked."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def children(pid):
    try:
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def cpu_s(pid, with_reaped=False):
    """User and system seconds of a process; with_reaped: and of its children that have ended and been waited for. To a
    hundredth of a second: a window of some seconds is long enough for that."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(int(f) for f in fields[11:15 if with_reaped else 13]) / TICKS


def cpu_of_family(pid, without=()):
    """Of a process and its children, those included that came and went: an ended child moves into its parent's account."""
    return cpu_s(pid, True) + sum(cpu_s(child, True) for child in children(pid) if child not in without)


def resident_bytes(pid):
    """What the process has in memory that it shares with nobody, and what it shares: RSS."""
    try:
        return int(re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text()).group(1)) * 1024
    except (OSError, AttributeError):
        return 0


def private_bytes(pid):
    """Resident and its own: what a further worker would not have for free."""
    try:
        return sum(int(n) for n in re.findall(r"^Private_\w+:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)) * 1024
    except OSError:
        return 0


class Ran:
    """How a program went: .status, .out, .err, .took_s, .cpu_s (its own)."""

    def __init__(self, command, status, out, err, took_s, used):
        self.command, self.status, self.out, self.err, self.took_s = command, status, out, err, took_s
        self.cpu_s = used.ru_utime + used.ru_stime



def start(command, **kwargs):
    """A process of a session of its own, so that Ctrl-C reaches this program alone, which ends it in its own order."""
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, **kwargs)


def run(command, folder, timeout_s, on_start=None, **kwargs):
    """Runs it to its end, its output in files: nothing here is read while something is measured."""
    out, err = Path(folder) / f"{os.getpid()}.out", Path(folder) / f"{os.getpid()}.err"
    begun = time.monotonic()
    with open(out, "wb") as out_file, open(err, "wb") as err_file:
        process = start(command, stdout=out_file, stderr=err_file, **kwargs)
    try:
        if on_start:
            on_start(process.pid)
        while True:
            pid, status, used = os.wait4(process.pid, os.WNOHANG)
            if pid:
                process.returncode = os.waitstatus_to_exitcode(status)
                break
            if time.monotonic() - begun > timeout_s:
                raise TimeoutError(f"{command[0]} did not end within {timeout_s:g} s: {err.read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)
    finally:
        if process.returncode is None:
            process.kill()
            process.wait()
    return Ran(command, process.returncode, out.read_text(errors="replace"), err.read_text(errors="replace"),
               time.monotonic() - begun, used)


def stop(process, timeout_s=15):
    """In order; with force when it does not go."""
    if process is None or process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        for pid in children(process.pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        process.kill()
        process.wait()
