#!/usr/bin/env python3
"""The arrows of a stored state machine are SQL files: does each do what the drawing in the rules says, and nothing else?

  arrows.py PROGRAM SQL_FOLDER ...    PROGRAM --arrows prints "file from to" per arrow

An arrow's file must be guarded by exactly the states it may come from and set exactly those it may lead to. No other file of
the folders may set a state.
"""
import pathlib
import re
import subprocess
import sys


# that somebody was told, and the sending of events, are no events
QUIET = ("notification", "webhook_", "delivery_", "replay_")


def without_comments(text):
    return re.sub(r"--[^\n]*", "", text)


def states_set(text):
    """What an UPDATE's SET says of the text column `state`; the number of a seat is another thing."""
    found = set()
    for clause in re.findall(r"\bSET\b(.*?)\b(?:WHERE|FROM|RETURNING)\b(?![^(]*\))", text, re.S):
        for value in re.findall(r"(?<![\w.])state = ('\w+'|CASE .*? END)", clause, re.S):
            if value.startswith("CASE"):
                value = re.sub(r"CASE|WHEN .*? THEN", " ", value, flags=re.S)
            found |= set(re.findall(r"'(\w+)'", value))
    return found


def states_guarded(text):
    found = set()
    for one, many in re.findall(r"\.state (?:= '(\w+)'|IN \(([^)]*)\))", text):
        found |= {one} if one else set(re.findall(r"'(\w+)'", many))
    return found


def main():
    program, *folders = sys.argv[1:]
    wanted = {}
    for line in subprocess.run([program, "--arrows"], check=True, capture_output=True, text=True).stdout.splitlines():
        name, source, target = line.split()
        wanted.setdefault(name, (set(), set()))
        wanted[name][0].add(source)
        wanted[name][1].add(target)
    assert wanted, "no arrows"
    faults, seen = [], set()
    for path in sorted(path for folder in folders for path in pathlib.Path(folder).glob("*.sql")):
        text = without_comments(path.read_text())
        sets = states_set(text)
        if path.stem not in wanted:
            if sets:
                faults.append(f"{path.name} sets {sorted(sets)}, but is no arrow")
            continue
        seen.add(path.stem)
        sources, targets = wanted[path.stem]
        if sets != targets:
            faults.append(f"{path.name} sets {sorted(sets)}, the drawing says {sorted(targets)}")
        if not sources <= states_guarded(text):
            faults.append(f"{path.name} is guarded by {sorted(states_guarded(text))}, the drawing says {sorted(sources)}")
        if "INSERT INTO outbox" not in text and not path.stem.startswith(QUIET):
            faults.append(f"{path.name} tells nobody (outbox)")
        if path.stem.startswith(("payment_", "refund_")) and "INSERT INTO payment_events" not in text:
            faults.append(f"{path.name} leaves no trail (payment_events)")
    faults += [f"there is no {name}.sql" for name in wanted if name not in seen]
    for fault in faults:
        print(fault)
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
