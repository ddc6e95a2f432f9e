#!/usr/bin/env python3
"""Makes the demo theatre's seating plan (pretix seating-plan JSON).

Run by hand after a change here; the output is committed:

    script/make_demo_plan.py > src/app/demo/theatre.json
    script/make_demo_plan.py --svg > theatre.svg        # to look at

Rows are arcs around one point above the stage. Every coordinate is relative to what contains it: a zone to the house,
a row to its zone, a seat to its row. The colours stay apart for colour-blind eyes (Okabe and Ito's palette).
"""
import json
import math
import random
import sys
import uuid

WIDTH, HEIGHT = 1200, 940
FOCUS_X, FOCUS_Y = 600, -330  # what every row curves around
SPACING = 25                  # from seat to seat
AISLE = 64                    # between the seats left and right of it: more than 2.2 seats, so that nobody is offered
                              # seats together across it

PREMIUM, STALLS, BALCONY, BOX, WHEELCHAIR = "Premium stalls", "Stalls", "Balcony", "Boxes", "Wheelchair places"
COLORS = {PREMIUM: "#D55E00", STALLS: "#0072B2", BALCONY: "#009E73", BOX: "#CC79A7", WHEELCHAIR: "#56B4E9"}

dice = random.Random(1599)  # the same uuids every time


def new_uuid():
    return str(uuid.UUID(int=dice.getrandbits(128), version=4))


def number(v):
    v = round(v, 2)
    return int(v) if v == int(v) else v


def at(x, y):
    return {"x": number(x), "y": number(y)}


def on_arc(radius, angle):
    """Relative to the focus; angle 0 is straight down, away from the stage."""
    return radius * math.sin(angle), radius * math.cos(angle)


def row(name, radius, angles, category, *, guid, label="Row %s", radius_of_seat=10):
    """A curved row; its position is the middle of its arc, relative to the focus."""
    seats = []
    for n, angle in enumerate(angles, 1):
        x, y = on_arc(radius, angle)
        seats.append({"seat_guid": f"{guid}-{n}", "seat_number": str(n), "uuid": new_uuid(),
                      "position": at(x, y - radius), "radius": radius_of_seat, "category": category})
    return {"row_number": name, "row_label": label, "seat_label": "Seat %s", "uuid": new_uuid(),
            "row_number_position": "both", "position": at(0, radius), "seats": seats}


def around_aisle(radius, per_side, spacing=SPACING, aisle=AISLE):
    right = [(aisle / 2 + i * spacing) / radius for i in range(per_side)]
    return [-a for a in reversed(right)] + right


def in_blocks(radius, sizes, aisle=AISLE):
    """Blocks side by side, together centred."""
    step, gap = SPACING / radius, aisle / radius
    width = sum((n - 1) * step for n in sizes) + (len(sizes) - 1) * gap
    angle, angles = -width / 2, []
    for n in sizes:
        angles += [angle + i * step for i in range(n)]
        angle = angles[-1] + gap
    return angles


def band(inner, outer, half_angle, steps=24):
    """A piece of a ring around the focus, as points."""
    turns = [half_angle * (2 * i / steps - 1) for i in range(steps + 1)]
    return [at(*on_arc(inner, a)) for a in turns] + [at(*on_arc(outer, a)) for a in reversed(turns)]


def area(shape, position, color, border_color, rotation=0, **parts):
    return {"uuid": new_uuid(), "shape": shape, "position": position, "rotation": rotation,
            "color": color, "border_color": border_color, **parts}


def text(words, x, y, size=16, color="#333333"):
    return {"text": words, "position": at(x, y), "size": size, "color": color}


def caption(words, x, y, size=16, rotation=0, color="#555555"):
    return area("text", at(x, y), "transparent", "transparent", rotation, text=text(words, 0, 0, size, color))


def stage():
    front, depth = 475, 130
    half = 0.46
    edge = [on_arc(front, half * (2 * i / 24 - 1)) for i in range(25)]
    left, right = edge[0], edge[-1]
    points = [at(left[0] + 40, front - depth), *(at(*p) for p in edge), at(right[0] - 40, front - depth)]
    return {
        "name": "Stage", "zone_id": "stage", "uuid": new_uuid(), "position": at(FOCUS_X, FOCUS_Y), "rows": [],
        "areas": [
            area("polygon", at(0, 0), "#EDE3D4", "#8C7B62", polygon={"points": points},
                 text=text("Stage", 0, front - depth / 2, 30, "#4A3F30")),
        ],
    }


def stalls():
    rows = []
    for i, per_side in enumerate([9, 9, 10, 10, 11, 11, 12, 12, 13, 13, 13, 14]):
        name, radius = "ABCDEFGHJKLM"[i], 560 + 32 * i
        rows.append(row(name, radius, around_aisle(radius, per_side), PREMIUM if i < 5 else STALLS, guid=name))
    # behind the last row, level with the doors: room to turn, a companion's seat in the row in front
    places = row("N", 956, around_aisle(956, 4, spacing=38, aisle=190), WHEELCHAIR, guid="N",
                 label="Row %s (wheelchair places)", radius_of_seat=14)
    return {
        "name": "Stalls", "zone_id": "stalls", "uuid": new_uuid(), "position": at(FOCUS_X, FOCUS_Y),
        "rows": rows + [places],
        "areas": [
            area("rectangle", at(-52, 940), "#DDDDDD", "#999999", rectangle={"width": 104, "height": 34},
                 text=text("Sound", 52, 17, 14)),
            caption("Door", -400, 875, 14, 22),
            caption("Door", 400, 875, 14, -22),
        ],
    }


def balcony():
    rows = []
    for i, sizes in enumerate([(8, 14, 8), (9, 14, 9), (9, 15, 9), (10, 15, 10), (11, 16, 11)]):
        name, radius = ("AA", "BB", "CC", "DD", "EE")[i], 1054 + 33 * i
        rows.append(row(name, radius, in_blocks(radius, sizes), BALCONY, guid=name))
    return {
        "name": "Balcony", "zone_id": "balcony", "uuid": new_uuid(), "position": at(FOCUS_X, FOCUS_Y), "rows": rows,
        "areas": [
            area("polygon", at(0, 0), "#F1F5F3", "#A9BDB4", polygon={"points": band(1032, 1220, 0.465)}),
            caption("Balcony", 0, 1240, 20),
        ],
    }


def boxes(side):
    """Five boxes of four seats down one wall, which opens away from the stage. side: -1 left, 1 right."""
    lean = 9  # degrees
    rows, areas = [], []
    letter = "L" if side < 0 else "R"
    for i in range(5):
        x = side * (408 + i * 92 * math.tan(math.radians(lean)))
        y = 92 * i
        along = math.radians(90 - side * lean)  # the wall's direction, downwards
        seats = []
        for n in range(4):
            offset = (n - 1.5) * 21
            seats.append({"seat_guid": f"{letter}{i + 1}-{n + 1}", "seat_number": str(n + 1), "uuid": new_uuid(),
                          "position": at(offset * math.cos(along), offset * math.sin(along)), "radius": 9,
                          "category": BOX})
        rows.append({"row_number": f"{letter}{i + 1}", "row_label": "Box %s", "seat_label": "Seat %s",
                     "uuid": new_uuid(), "row_number_position": None, "position": at(x, y), "seats": seats})
        # the rectangle turns around its corner, which is put where its middle comes to lie on the row's
        turn = math.radians(-side * lean)
        corner_x = x - (-20 * math.cos(turn) + 43 * math.sin(turn)) * -1
        corner_y = y - (20 * math.sin(turn) + 43 * math.cos(turn))
        areas.append(area("rectangle", at(corner_x, corner_y), "#FBF3F7", "#CBA9BC", -side * lean,
                          rectangle={"width": 40, "height": 86}))
        areas.append(caption(f"{letter}{i + 1}", x + side * 36, y, 13))
    return {"name": "Boxes left" if side < 0 else "Boxes right", "zone_id": f"boxes-{letter.lower()}",
            "uuid": new_uuid(), "position": at(600, 165), "rows": rows, "areas": areas}


def make():
    return {
        "name": "Theatre",
        "size": {"width": WIDTH, "height": HEIGHT},
        "categories": [{"name": n, "color": c} for n, c in COLORS.items()],
        "zones": [stage(), stalls(), boxes(-1), boxes(1), balcony()],
    }


def write(value, out, indent=0):
    """JSON with a line per seat, area and small thing."""
    pad = " " * indent
    line = json.dumps(value, ensure_ascii=False)
    if len(line) <= 110 or (isinstance(value, dict) and ("seat_guid" in value or "shape" in value)):
        out.write(line)
    elif isinstance(value, dict):
        out.write("{\n")
        for i, (k, v) in enumerate(value.items()):
            out.write(f"{pad} {json.dumps(k)}: ")
            write(v, out, indent + 1)
            out.write(",\n" if i + 1 < len(value) else "\n")
        out.write(pad + "}")
    else:
        out.write("[\n")
        for i, v in enumerate(value):
            out.write(pad + " ")
            write(v, out, indent + 1)
            out.write(",\n" if i + 1 < len(value) else "\n")
        out.write(pad + "]")


def svg(plan, out):
    colors = {c["name"]: c["color"] for c in plan["categories"]}
    out.write(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">'
              f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>\n')

    def label(t, x, y, size, color):
        out.write(f'<text x="{x}" y="{y}" font-size="{size}" fill="{color}" text-anchor="middle" '
                  f'dominant-baseline="central" dy=".35em">{t}</text>\n')

    for zone in plan["zones"]:
        zx, zy = zone["position"]["x"], zone["position"]["y"]
        for a in zone["areas"]:
            out.write(f'<g transform="translate({zx + a["position"]["x"]} {zy + a["position"]["y"]}) '
                      f'rotate({a["rotation"]})" fill="{a["color"]}" stroke="{a["border_color"]}">\n')
            if a["shape"] == "polygon":
                points = " ".join(f'{p["x"]},{p["y"]}' for p in a["polygon"]["points"])
                out.write(f'<polygon points="{points}"/>\n')
            elif a["shape"] == "rectangle":
                out.write(f'<rect width="{a["rectangle"]["width"]}" height="{a["rectangle"]["height"]}"/>\n')
            if "text" in a:
                t = a["text"]
                out.write('<g stroke="none">')
                label(t["text"], t["position"]["x"], t["position"]["y"], t["size"], t["color"])
                out.write('</g>')
            out.write("</g>\n")
    for zone in plan["zones"]:
        zx, zy = zone["position"]["x"], zone["position"]["y"]
        for r in zone["rows"]:
            x, y = zx + r["position"]["x"], zy + r["position"]["y"]
            ends = [(x + s["position"]["x"], y + s["position"]["y"]) for s in (r["seats"][0], r["seats"][-1])]
            if r["row_number_position"] == "both":
                label(r["row_number"], ends[0][0] - 24, ends[0][1] - 4, 11, "#555")
                label(r["row_number"], ends[1][0] + 24, ends[1][1] - 4, 11, "#555")
            for s in r["seats"]:
                sx, sy = x + s["position"]["x"], y + s["position"]["y"]
                out.write(f'<circle cx="{sx:.2f}" cy="{sy:.2f}" r="{s["radius"]}" fill="{colors[s["category"]]}"/>\n')
                label(s["seat_number"], f"{sx:.2f}", f"{sy:.2f}", 9, "white")
    out.write("</svg>\n")


def main():
    plan = make()
    if sys.argv[1:] == ["--svg"]:
        svg(plan, sys.stdout)
    else:
        write(plan, sys.stdout)
        sys.stdout.write("\n")


main()
