"""Records what clients of a race saw, and has it judged by history-check (porcupine): see porcupine/main.go."""

import http.client
import json
import subprocess
import threading
import time
from pathlib import Path

LOST = (OSError, http.client.HTTPException)  # what http.client raises when no whole answer came
CHECKER = Path(__file__).resolve().parent.parent.parent / "build/history-check"


class History:
    def __init__(self):
        self._records = []
        self._guard = threading.Lock()

    def _add(self, **record):
        with self._guard:
            self._records.append(record)

    def __len__(self):
        return len(self._records)

    def lock(self, client, number, show_id, seats, **fields):
        """client.lock(...), recorded as the doing of client `number`; the Answer, or None when none came."""
        call = time.monotonic_ns()
        try:
            answer = client.lock(show_id, seats, **fields)
        except LOST:
            answer = None
        self.add_lock(number, show_id, seats, call, answer)
        return answer

    def add_lock(self, number, show_id, seats, call, answer):
        """What came of a lock that was asked for at `call`; answer None: none came."""
        record = {"client": number, "op": "lock", "show": show_id, "seats": list(seats), "call_ns": call,
                  "return_ns": time.monotonic_ns()}
        if answer is not None and answer.status == 201:
            self._add(**record, ok=True, lock_id=answer.json()["lock_id"])
        elif answer is not None and answer.code == "seats_unavailable":
            self._add(**record, ok=False, unavailable=answer.json()["unavailable"])
        elif answer is None or answer.status >= 500:
            self._add(**record, ok="unknown")
        # every other refusal (limits, not on sale) says nothing about seats

    def release(self, client, number, show_id, lock_id):
        return self._ending("release", 204, client.release, number, show_id, lock_id)

    def book(self, client, number, show_id, lock_id, **fields):
        return self._ending("book", 201, client.book, number, show_id, lock_id, **fields)

    def _ending(self, op, success, request, number, show_id, lock_id, **fields):
        call = time.monotonic_ns()
        try:
            answer = request(show_id, lock_id, **fields)
        except LOST:
            answer = None
        if answer is None or answer.status >= 500:
            ok = "unknown"
        else:
            ok = answer.status == success
        self._add(client=number, op=op, show=show_id, lock_id=lock_id, call_ns=call, return_ns=time.monotonic_ns(), ok=ok)
        return answer

    def expire(self, show_id, lock_id, earliest_ns):
        """From earliest_ns (time.monotonic_ns) on, the lock may have ended by itself."""
        self._add(client=0, op="expire", show=show_id, lock_id=lock_id, call_ns=earliest_ns, return_ns=0, ok=True)

    def check(self, folder, timeout_s=60):
        """Fails unless the history is linearizable; history.jsonl and, then, history.html are left in folder."""
        path = Path(folder) / "history.jsonl"
        path.write_text("".join(json.dumps(record) + "\n" for record in self._records))
        done = subprocess.run([CHECKER, "-timeout", f"{timeout_s}s", "-html", path.with_suffix(".html"), path],
                              capture_output=True, text=True, timeout=timeout_s + 60)
        assert done.returncode == 0, f"history-check: {done.stdout}{done.stderr}"
