"""A picture of an on-sale, as SVG: rates, latencies and free seats over time. Pure: text in, text out."""

import csv
import io
import math
from html import escape

WIDTH, LEFT, RIGHT, TOP, PANEL, GAP, BOTTOM = 960, 80, 190, 56, 130, 46, 44
# told apart in print and by the colour-blind, on white and on black
COLOURS = ("#3b82c4", "#e07b00", "#2f9e62", "#b05cc6", "#d64545")
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .title { font-size: 17px; font-weight: 600 } .name { font-weight: 600 }
  .grid { stroke: #d0d7de; stroke-width: 1 } .axis { stroke: #57606a; stroke-width: 1 }
  .line { fill: none; stroke-width: 1.8; stroke-linejoin: round } .paper { fill: #ffffff }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .grid { stroke: #30363d } .axis { stroke: #8b949e } .paper { fill: #0d1117 }
  }"""


def read_csv(text):
    """[{column: number}] of what the driver wrote."""
    return [{name: float(value or 0) for name, value in row.items()} for row in csv.DictReader(io.StringIO(text))]


def nice_ticks(top, wanted=4):
    """Round values from 0 to at least top."""
    if top <= 0:
        return [0, 1]
    raw = top / wanted
    power = 10 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * (1 - 1e-9))
    return [round(step * i, 10) for i in range(math.ceil(top / step - 1e-9) + 1)]


def panels_of(rows):
    """Rows of 100 ms as what is drawn: [(name, unit, [(label, colour, [(second, value)])])]."""
    times = [row["t_ms"] / 1000 for row in rows]
    lengths = [max(1e-3, t - before) for before, t in zip([times[0] - 0.1 if times else 0, *times], times)]

    def rate(column):
        return [(t, row[column] / length) for t, row, length in zip(times, rows, lengths)]

    def latency(column):
        """Nobody was answered, nothing to draw: it is not that it took no time."""
        return [(t, row[column] / 1000) for t, row in zip(times, rows) if row["lock_p99_us"]]

    return [
        ("Sold", "per second", [("locks accepted", COLOURS[0], rate("locks_ok")), ("bookings", COLOURS[2], rate("bookings"))]),
        ("The crowd", "per second", [("maps read", COLOURS[3], rate("reads")),
                                     ("locks refused", COLOURS[1], rate("locks_refused"))]),
        ("Latency of a lock", "ms", [("p50", COLOURS[0], latency("lock_p50_us")), ("p99", COLOURS[4], latency("lock_p99_us"))]),
        ("Free seats", "seats", [("free", COLOURS[2], [(t, row["free"]) for t, row in zip(times, rows)])]),
    ]


def onsale(rows, seats, title):
    """The whole picture."""
    panels = panels_of(rows)
    end = max((row["t_ms"] / 1000 for row in rows), default=1)
    time_ticks = nice_ticks(end, 8)
    span = time_ticks[-1]
    height = TOP + len(panels) * PANEL + (len(panels) - 1) * GAP + BOTTOM
    inner = WIDTH - LEFT - RIGHT

    def x(second):
        return LEFT + inner * second / span

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">',
           f"<style>{STYLE}\n</style>", f'<rect class="paper" width="{WIDTH}" height="{height}"/>',
           f'<text class="title" x="{LEFT}" y="24">{escape(title)}</text>']
    for number, (name, unit, lines) in enumerate(panels):
        top = TOP + number * (PANEL + GAP)
        bottom = top + PANEL
        highest = max([v for _, _, points in lines for _, v in points] + ([seats] if name == "Free seats" else []), default=1)
        ticks = nice_ticks(highest)

        def y(value, bottom=bottom, ticks=ticks):
            return bottom - PANEL * value / ticks[-1]

        out.append(f'<text class="name" x="{LEFT}" y="{top - 8}">{escape(name)} ({escape(unit)})</text>')
        for tick in ticks:
            out.append(f'<line class="grid" x1="{LEFT}" x2="{LEFT + inner}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
            out.append(f'<text x="{LEFT - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:,.10g}</text>')
        for tick in time_ticks:
            out.append(f'<line class="axis" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{bottom}" y2="{bottom + 4}"/>')
            out.append(f'<text x="{x(tick):.1f}" y="{bottom + 18}" text-anchor="middle">{tick:g}</text>')
        out.append(f'<line class="axis" x1="{LEFT}" x2="{LEFT + inner}" y1="{bottom}" y2="{bottom}"/>')
        for place, (label, colour, points) in enumerate(lines):
            path = " ".join(f"{x(t):.1f},{y(v):.1f}" for t, v in points)
            out.append(f'<polyline class="line" stroke="{colour}" points="{path}"/>')
            at = top + 10 + 20 * place
            out.append(f'<line class="line" stroke="{colour}" x1="{LEFT + inner + 16}" x2="{LEFT + inner + 40}" y1="{at}" y2="{at}"/>')
            out.append(f'<text x="{LEFT + inner + 48}" y="{at + 4}">{escape(label)}</text>')
    out.append(f'<text x="{LEFT + inner / 2:.0f}" y="{height - 8}" text-anchor="middle">seconds since the sale opened</text>')
    out.append("</svg>")
    return "\n".join(out) + "\n"
