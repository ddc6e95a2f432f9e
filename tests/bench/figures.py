"""What a benchmark's numbers come to: ratios of rounds, goals, the table, the file. Pure: no clock, no process, no disk."""

import math
import statistics
from dataclasses import dataclass, field

AT_LEAST, AT_MOST = ">=", "<="


@dataclass
class Figure:
    """One row. Values come in pairs, a pair per round: numerator and denominator were measured one after the other on the
    same machine, so what disturbs the machine for longer than a round disturbs both. Without denominators the numerator
    itself is held against the goal (an absolute figure)."""

    name: str
    what: str
    goal: float | None
    direction: str = AT_LEAST
    numerator: str = ""
    denominator: str = ""
    unit: str = ""
    numerator_values: list = field(default_factory=list)
    denominator_values: list = field(default_factory=list)
    conditions: list = field(default_factory=list)  # (what must hold besides, whether it did)
    unclean: list = field(default_factory=list)     # why it is no measurement
    missing: str = ""                               # why it was not measured
    note: str = ""
    details: dict = field(default_factory=dict)

    def values(self):
        """Per round what is held against the goal."""
        if not self.denominator:
            return list(self.numerator_values)
        return [n / d for n, d in zip(self.numerator_values, self.denominator_values) if d]

    @property
    def clean(self):
        return not self.unclean and not self.missing and bool(self.values())

    @property
    def median(self):
        return statistics.median(self.values()) if self.clean else None

    @property
    def straddles(self):
        """Some rounds met the goal and some did not: the verdict of the median is then no more than the likelier one."""
        return self.clean and self.goal is not None and min(self.values()) < self.goal < max(self.values())

    @property
    def met(self):
        """True, False, or None when there is nothing to say it of (no goal, not measured)."""
        if not self.clean:
            return None if self.missing else False
        if not all(held for _, held in self.conditions):
            return False
        if self.goal is None:
            return None
        return self.median >= self.goal if self.direction == AT_LEAST else self.median <= self.goal

    def as_json(self):
        values = self.values() if self.clean else []
        return {
            "name": self.name, "what": self.what, "numerator": self.numerator, "denominator": self.denominator or None,
            "unit": self.unit, "min": min(values) if values else None, "median": self.median,
            "max": max(values) if values else None, "goal": self.goal, "direction": self.direction, "met": self.met,
            "numerator_values": self.numerator_values, "denominator_values": self.denominator_values,
            "conditions": [{"what": what, "met": bool(held)} for what, held in self.conditions],
            "straddles": self.straddles, "unclean": self.unclean, "missing": self.missing or None, "note": self.note, "details": self.details}


def report(figures, machine, versions, commit, settings, started, took_s, rounds):
    """What build/bench.json holds."""
    return {"started": started, "took_s": round(took_s, 1), "rounds": rounds, "machine": machine, "versions": versions,
            "commit": commit, "settings": settings, "figures": [f.as_json() for f in figures]}


_NUMBER = {"type": ["number", "null"]}
_TEXT = {"type": "string"}
SCHEMA = {
    "type": "object",
    "required": ["started", "took_s", "rounds", "machine", "versions", "commit", "settings", "figures"],
    "properties": {
        "started": _TEXT, "took_s": {"type": "number"}, "rounds": {"type": "integer"}, "machine": {"type": "object"},
        "versions": {"type": "object"}, "commit": _TEXT, "settings": {"type": "object"},
        "figures": {"type": "array", "items": {
            "type": "object",
            "required": ["name", "what", "denominator", "unit", "min", "median", "max", "goal", "direction", "met",
                         "numerator_values", "denominator_values", "unclean", "missing", "note"],
            "properties": {
                "name": _TEXT, "what": _TEXT, "numerator": _TEXT, "denominator": {"type": ["string", "null"]},
                "unit": _TEXT, "min": _NUMBER, "median": _NUMBER, "max": _NUMBER, "goal": _NUMBER,
                "direction": {"enum": [AT_LEAST, AT_MOST]}, "met": {"type": ["boolean", "null"]},
                "numerator_values": {"type": "array", "items": {"type": "number"}},
                "denominator_values": {"type": "array", "items": {"type": "number"}},
                "conditions": {"type": "array", "items": {"type": "object", "required": ["what", "met"]}},
                "unclean": {"type": "array", "items": _TEXT}, "missing": {"type": ["string", "null"]}, "note": _TEXT,
                "details": {"type": "object"}}}}}}


def number(value):
    """Three significant digits, thousands separated: what a table needs, no more."""
    if value is None:
        return "-"
    if isinstance(value, bool) or not math.isfinite(value):
        return str(value)
    if value == 0:
        return "0"
    digits = 2 - math.floor(math.log10(abs(value)))
    rounded = round(value, digits)
    return f"{rounded:,.{max(0, digits)}f}"


def verdict(figure):
    if figure.missing:
        return "not there yet"
    if not figure.clean:
        return "UNCLEAN"
    return {True: "met", False: "NOT MET", None: ""}[figure.met]


def goal_text(figure):
    return "" if figure.goal is None else f"{figure.direction} {figure.goal:g}"


def table(figures):
    """Lines of text: a row per figure; below it, indented, what explains it."""
    head = ["figure", "compared with", "min", "median", "max", "goal", "", "numerator", "denominator", "unit"]
    rows = []
    for f in figures:
        values = f.values() if f.clean else []
        medians = [number(statistics.median(v)) if v and f.clean else "-" for v in (f.numerator_values, f.denominator_values)]
        rows.append([f.name, f.denominator or "(absolute)", number(min(values)) if values else "-", number(f.median),
                     number(max(values)) if values else "-", goal_text(f), verdict(f), *medians, f.unit])
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    numeric = {2, 3, 4, 7, 8}

    def line(row):
        return "  ".join(cell.rjust(w) if i in numeric else cell.ljust(w)
                         for i, (cell, w) in enumerate(zip(row, widths))).rstrip()

    lines = [line(head), "  ".join("-" * w for w in widths)]
    for f, row in zip(figures, rows):
        lines.append(line(row))
        if f.straddles:
            lines.append("    the rounds lie on both sides of the goal: measure again on a quieter machine, or more rounds")
        lines += [f"    UNCLEAN: {reason}" for reason in f.unclean]
        if f.missing:
            lines.append(f"    {f.missing}")
        lines += [f"    {'ok' if held else 'NOT MET'}: {what}" for what, held in f.conditions]
        lines += [f"    {text}" for text in f.note.splitlines()]
    return lines


def percentile(values, share):
    """The smallest value that at least this share of the values do not pass."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def best_two(rates):
    """The two keys of highest rate, ascending: what the rounds try instead of all."""
    return sorted(sorted(rates, key=rates.get)[-2:])
