"""What is on the ticket, read back from the PDF and the SVG by other people's programs (poppler, zbar, librsvg)."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PROBE = (ROOT / os.environ.get("BOXOFFICE_BUILD_DIR", "build/asan")) / "tests/integration/bin/ticket_probe"
LONG = ("Ein außerordentlich langer Name, der niemals endet " * 5)[:200]


@pytest.fixture(scope="module")
def codes():
    return [c["code"] for c in json.loads(subprocess.check_output([PROBE, "codes", "3"]))["codes"]]


def seat(code, **fields):
    return {"zone": "Stalls", "row": "F", "seat": "12", "category": "Category A", "rgb": 0x9B2335, "price": 4500,
            "code": code, **fields}


def document(codes, **fields):
    return {"locale": "en", "event_name": "A Midsummer Night’s Dream", "organizer_name": "Riverside Theatre",
            "venue_name": "Altes Schauspielhaus", "venue_address": "Kleine Königstraße 9\n70178 Stuttgart",
            "timezone": "Europe/Berlin", "starts_at": "2026-12-04T18:30:00Z", "doors_at": "2026-12-04T17:45:00Z",
            "issued_at": "2026-11-23T10:00:00Z", "buyer_name": "Élise Müller", "reference": "7KX2M-Q4HDN",
            "terms": "Latecomers are seated in the interval.", "currency": "EUR", "seats": [seat(codes[0])], **fields}


def render(doc, path):
    path.write_bytes(subprocess.run([PROBE, "pdf"], input=json.dumps(doc).encode(), stdout=subprocess.PIPE,
                                    check=True, timeout=60).stdout)
    return path


def text(pdf, *args):
    return subprocess.check_output(["pdftotext", "-enc", "UTF-8", *args, pdf, "-"], text=True)


def letters(s):
    """Without blanks and marks of direction: where poppler puts those is its own affair."""
    return re.sub(r"[\s\u200e\u200f\u202a-\u202e\u2066-\u2069]", "", s)


def decode(picture):
    return subprocess.run(["zbarimg", "--quiet", "--raw", "-Sdisable", "-Sqrcode.enable", picture],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.split()


def pages(pdf, dpi, tmp_path):
    subprocess.check_call(["pdftoppm", "-r", str(dpi), "-png", pdf, tmp_path / "page"])
    return sorted(tmp_path.glob("page*.png"))


def test_everything_is_on_the_page(codes, tmp_path):
    found = " ".join(text(render(document(codes, seats=[seat(codes[0], accessible=True)]), tmp_path / "t.pdf"), "-layout").split())
    for part in ["A Midsummer Night’s", "Dream", "Riverside Theatre", "Altes Schauspielhaus", "Kleine Königstraße 9",
                 "70178 Stuttgart", "Friday, 4 December 2026", "19:30", "18:45", "Stalls", "F", "12", "Category A",
                 "45.00 EUR", "Élise Müller", "7KX2M-Q4HDN", "Ticket 1 of 1", "Wheelchair place",
                 "Latecomers are seated in the interval.", codes[0][:88], codes[0][88:]]:
        assert part in found, part


@pytest.mark.parametrize("locale,zone,parts", [
    ("de", "Europe/Berlin", ["Freitag, 4. Dezember 2026", "19:30 Uhr", "Reihe", "Platz", "45,00 EUR"]),
    ("en-US", "America/New_York", ["Friday, December 4, 2026", "1:30 PM", "Row", "45.00 EUR"]),
    ("zh", "Asia/Shanghai", ["2026年12月5日星期六", "02:30", "座位", "票价"]),
    ("fr", "Europe/Paris", ["vendredi 4 décembre 2026", "Rang"]),
    ("es", "Europe/Madrid", ["viernes, 4 de diciembre de 2026", "Fila"]),
])
def test_languages(codes, tmp_path, locale, zone, parts):
    found = letters(text(render(document(codes, locale=locale, timezone=zone), tmp_path / "t.pdf"), "-layout"))
    for part in parts:
        assert letters(part) in found, part


@pytest.mark.parametrize("name", [
    "محمد عبد الله الحسيني", "שלום כהן", "欧阳晓明", "山田太郎", "김민수", "Ольга Кузнецова", "Ελένη Παπαδοπούλου",
    "Nguyễn Thị Ánh", "สมชาย", "Ærøskøbing Łódź İzmir"])
def test_names_of_any_script(codes, tmp_path, name):
    pdf = render(document(codes, buyer_name=name, event_name=name, seats=[seat(codes[0], zone=name)]), tmp_path / "t.pdf")
    found = letters(text(pdf, "-layout"))
    assert found.count(letters(name)) >= 2, found
    fonts = subprocess.check_output(["pdffonts", pdf], text=True).splitlines()[2:]
    assert fonts and all(re.search(r"\byes +yes +yes\b", line) for line in fonts), "embedded, subset, with Unicode"


def test_a_page_each_and_every_code_reads(codes, tmp_path):
    pdf = render(document(codes, seats=[seat(c, seat=str(i)) for i, c in enumerate(codes)]), tmp_path / "t.pdf")
    info = subprocess.check_output(["pdfinfo", pdf], text=True)
    assert re.search(r"^Pages: +3$", info, re.M)
    assert re.search(r"^Page size: +595\.\d+ x 841\.\d+ pts \(A4\)$", info, re.M)
    assert re.search(r"^Title: +A Midsummer Night’s Dream$", info, re.M)
    assert [decode(page) for page in pages(pdf, 100, tmp_path)] == [[c] for c in codes]


def test_the_code_is_at_least_35_mm_wide(codes, tmp_path):
    pdf = render(document(codes), tmp_path / "t.pdf")
    (row,) = [line.split() for line in subprocess.check_output(["pdfimages", "-list", pdf], text=True).splitlines()
              if " stencil " in line]
    width, height, x_ppi, y_ppi = (int(row[i]) for i in (3, 4, 12, 13))
    assert width / x_ppi * 25.4 >= 35 and height / y_ppi * 25.4 >= 35


def boxes(pdf):
    """Words with their places."""
    found = subprocess.check_output(["pdftotext", "-bbox", pdf, "-"], text=True,
                                    errors="replace")  # poppler writes emoji in the title as surrogates
    return [(float(a), float(b), float(c), float(d), word) for a, b, c, d, word in re.findall(
        r'<word xMin="([^"]+)" yMin="([^"]+)" xMax="([^"]+)" yMax="([^"]+)">([^<]*)</word>', found)]


@pytest.mark.parametrize("long", [LONG, "W" * 200, "長" * 200, "م" * 200, "👩‍👩‍👧" * 200, "a b " * 50])
def test_long_names_stay_in_their_place(codes, tmp_path, long):
    doc = document(codes, event_name=long, organizer_name=long, venue_name=long, venue_address=long * 3, buyer_name=long,
                   reference=long, terms=long * 40,
                   seats=[seat(codes[0], zone=long, row=long, seat=long, category=long, accessible=True)])
    pdf = render(doc, tmp_path / "t.pdf")
    (page,) = pages(pdf, 100, tmp_path)
    assert decode(page) == [codes[0]]
    margin, stub = 40, 595 - 42.5 - 161.6
    for x0, y0, x1, y1, word in boxes(pdf):
        assert x0 >= margin and x1 <= 595 - margin + 3 and y0 >= 30 and y1 <= 842 - 25, word
        # nothing of the left part reaches into the stub, where the code is
        assert not (y1 < 415 and x0 < stub - 5 < stub + 2 < x1), word
        # and nothing lies over the code
        assert not (y0 < 190 and x1 > stub + 15), word


def test_control_characters_and_direction_marks_do_no_harm(codes, tmp_path):
    name = "A\u202eB\u0007C\u009bD\u2028E"
    found = letters(text(render(document(codes, buyer_name=name, event_name=name), tmp_path / "t.pdf"), "-layout"))
    assert "A" in found and "Friday,4December2026" in found and "19:30" in found


def test_svg_reads_back(codes, tmp_path):
    svg = tmp_path / "t.svg"
    svg.write_bytes(subprocess.check_output([PROBE, "svg", codes[0]]))
    source = svg.read_text()
    assert "<title>Ticket &lt;1&gt; &amp; \"2\"</title>" in source and source.count("<path ") == 2
    for side in ("106", "600"):  # two pixels a module, and large
        subprocess.check_call(["rsvg-convert", "-w", side, "-o", tmp_path / "t.png", svg])
        assert decode(tmp_path / "t.png") == [codes[0]]
