"""Tickets as their holders and the doors meet them: bought over HTTP, shown, scanned, checked without a network, revoked."""

import base64
import hashlib
import json
import re
import secrets
import subprocess
import uuid
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from api import from_now

PAPERS = {"pdf": "application/pdf", "svg": "image/svg+xml", "png": "image/png"}


class Sale:
    """A booking of some seats of a show, made by a session of its own."""

    def __init__(self, boxoffice, show, seats, **buyer):
        self.show = show
        self.buyer = boxoffice.session()
        lock = self.buyer.lock(show.show_id, seats).expect(201)
        self.booking = self.buyer.book(show.show_id, lock["lock_id"], **buyer).expect(201)
        assert self.booking["status"] == "confirmed"
        self.path = f"/v1/shows/{show.show_id}/bookings/{self.booking['booking_id']}/tickets"
        self.tickets = self.items()

    def items(self):
        return self.buyer.get(self.path).expect(200)["items"]

    def paper(self, ending, number=0):
        return f"/v1/shows/{self.show.show_id}/tickets/{self.tickets[number]['ticket_id']}.{ending}"

    def paths(self):
        return [self.path] + [self.paper(ending) for ending in PAPERS]


@pytest.fixture
def show(admin):
    return admin.make_show(cancellation={"until": from_now(6 * 86400)})


@pytest.fixture
def sale(boxoffice, show):
    return Sale(boxoffice, show, show.seats[:2])


def verify(build_dir, boxoffice, folder, show_id, *codes, door=None):
    """What `boxoffice verify-ticket` says of each code, from the lists published now."""
    door = door or boxoffice.api()
    (folder / "keys.json").write_bytes(door.get("/v1/tickets/keys").body)
    (folder / "revoked.json").write_bytes(door.get(f"/v1/shows/{show_id}/tickets/revoked").body)
    done = subprocess.run([str(build_dir / "boxoffice"), "verify-ticket", "--keys", folder / "keys.json", "--revoked",
                           folder / "revoked.json", "--show", show_id, "--json", *codes],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def reasons(*args):
    """"ok", or why not, code by code."""
    status, said = verify(*args)
    found = [line["reason"] for line in said]
    assert status == any(reason != "ok" for reason in found)
    return found


def decoded(path):
    """The texts of the QR codes in a picture."""
    return subprocess.run(["zbarimg", "--quiet", "--raw", "-Sdisable", "-Sqrcode.enable", path],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.split()


# ---- the codes -----------------------------------------------------------------------------------------------------------

def test_a_booking_answers_with_one_valid_ticket_per_seat(sale):
    assert [ticket["seat"] for ticket in sale.tickets] == sale.show.seats[:2]
    assert [ticket["status"] for ticket in sale.tickets] == ["valid", "valid"]
    assert [list(ticket) for ticket in sale.tickets] == [["ticket_id", "seat", "code", "status"]] * 2
    assert len({ticket["code"] for ticket in sale.tickets}) == 2
    assert sale.booking["tickets"] == sale.tickets
    assert sale.items() == sale.tickets, "a code is the same whenever it is made"


def test_codes_hold_without_a_network_for_their_show_only(build_dir, boxoffice, admin, sale, tmp_path):
    codes = [ticket["code"] for ticket in sale.tickets]
    forged = codes[0][:-10] + ("A" if codes[0][-10] != "A" else "B") + codes[0][-9:]
    assert reasons(build_dir, boxoffice, tmp_path, sale.show.show_id, *codes, forged) == ["ok", "ok", "bad_signature"]
    _, said = verify(build_dir, boxoffice, tmp_path, sale.show.show_id, *codes)
    assert [(claim["show_id"], claim["ticket_id"], claim["seat_no"]) for claim in said] == \
        [(sale.show.show_id, ticket["ticket_id"], number) for number, ticket in enumerate(sale.tickets)]
    other = admin.make_show()
    assert reasons(build_dir, boxoffice, tmp_path, other.show_id, codes[0]) == ["wrong_show"]


# ---- what the holder carries ---------------------------------------------------------------------------------------------

def test_the_pdf_says_what_a_door_and_a_guest_need(boxoffice, admin, tmp_path):
    event = admin.make_event(name="Der Sturm — 暴风雨")
    venue = admin.make_venue(timezone="Asia/Tokyo", name="Altes Schauspielhaus", address="Kleine Königstraße 9")
    show = admin.make_show(event_id=event["event_id"], venue_id=venue["venue_id"], prices={"Parkett": 4500})
    sale = Sale(boxoffice, show, ["C-7"], name="Élise Müller", locale="de")
    answer = sale.buyer.get(sale.paper("pdf"))
    assert answer.status == 200, answer
    pdf = tmp_path / "ticket.pdf"
    pdf.write_bytes(answer.body)
    text = subprocess.check_output(["pdftotext", "-enc", "UTF-8", "-layout", pdf, "-"], text=True)
    said = re.sub(r"\s", "", text)
    for wanted in ("Der Sturm", "暴风雨", "Altes Schauspielhaus", "Kleine Königstraße 9", "Élise Müller", "Parkett", "Hall",
                   sale.booking["reference"], "45,00"):
        assert re.sub(r"\s", "", wanted) in said, f"{wanted!r} is not in {text}"
    assert re.search(r"(?m)\bC\b", text) and re.search(r"\b7\b", text), text
    subprocess.check_call(["pdftoppm", "-r", "150", "-png", pdf, tmp_path / "page"])
    (page,) = tmp_path.glob("page*.png")
    assert decoded(page) == [sale.tickets[0]["code"]]


def test_the_svg_and_the_png_scan_as_the_code(sale, tmp_path):
    for number, ticket in enumerate(sale.tickets):
        svg, png, drawn = (tmp_path / f"{number}.{name}" for name in ("svg", "png", "drawn.png"))
        svg.write_bytes(sale.buyer.get(sale.paper("svg", number)).body)
        png.write_bytes(sale.buyer.get(sale.paper("png", number)).body)
        subprocess.check_call(["rsvg-convert", "-w", "400", "-o", drawn, svg])
        assert decoded(drawn) == [ticket["code"]]
        assert decoded(png) == [ticket["code"]]


def test_papers_are_told_to_nobody_else(sale):
    for ending, media in PAPERS.items():
        headers = sale.buyer.get(sale.paper(ending)).headers
        assert headers["Content-Type"] == media
        assert headers["Cache-Control"] == "no-store"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Content-Disposition"] == \
            f'inline; filename="ticket-{sale.booking["reference"]}-0.{ending}"'


# ---- who may see them ----------------------------------------------------------------------------------------------------

def staff(boxoffice, organizer_id, scopes):
    """A staff token made by hand, of an organiser made by hand unless one is given."""
    token = "bt_" + base64.urlsafe_b64encode(secrets.token_bytes(40)).decode().rstrip("=")
    with psycopg.connect(boxoffice.database_url) as conn:
        if organizer_id is None:
            organizer_id = conn.execute("INSERT INTO organizers (organizer_id, name) VALUES (gen_random_uuid(), %s) "
                                        "RETURNING organizer_id", [f"Organiser {uuid.uuid4()}"]).fetchone()[0]
        conn.execute("INSERT INTO api_tokens (token_id, organizer_id, name, token_hash, scopes) "
                     "VALUES (gen_random_uuid(), %s, 'test', %s, %s)",
                     [organizer_id, hashlib.blake2b(token.encode(), digest_size=32).digest(), scopes])
    return boxoffice.api(token)


def organizer_of(boxoffice, show_id):
    with psycopg.connect(boxoffice.database_url) as conn:
        return conn.execute("SELECT organizer_id FROM shows WHERE show_id = %s", [show_id]).fetchone()[0]


def test_the_session_the_link_and_the_organiser_see_a_bookings_tickets(boxoffice, admin, sale):
    link = sale.booking["access_token"]
    holders = {"session": sale.buyer, "link": boxoffice.api(link), "organiser": admin,
               "staff": staff(boxoffice, organizer_of(boxoffice, sale.show.show_id), ["bookings"])}
    for name, holder in holders.items():
        for path in sale.paths():
            assert holder.get(path).status == 200, f"{name}: {path}"
    nobody = boxoffice.api()
    for path in sale.paths():
        answer = nobody.get(f"{path}?access_token={link}")
        assert answer.status == 200, path
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cache-Control"] == "no-store"


def test_to_everybody_else_there_are_no_such_tickets(boxoffice, sale):
    other = Sale(boxoffice, sale.show, sale.show.seats[2:3])
    forged = sale.booking["access_token"][:-2] + ("AA" if not sale.booking["access_token"].endswith("AA") else "BA")
    strangers = {"another buyer": other.buyer, "another booking's link": boxoffice.api(other.booking["access_token"]),
                 "nobody": boxoffice.api(),
                 "another organiser": staff(boxoffice, None, ["bookings"]),
                 "staff without the scope": staff(boxoffice, organizer_of(boxoffice, sale.show.show_id), ["events", "checkin"])}
    for name, stranger in strangers.items():
        for path in sale.paths():
            assert stranger.get(path).code == "not_found", f"{name}: {path}"
    for token in (other.booking["access_token"], forged, "", "%00", "x" * 300):
        for path in sale.paths():
            assert boxoffice.api().get(f"{path}?access_token={token}").code == "not_found", f"{token}: {path}"


def test_a_ticket_is_found_only_under_its_own_show(admin, sale):
    other = admin.make_show()
    for ending in PAPERS:
        sale.buyer.get(sale.paper(ending).replace(sale.show.show_id, other.show_id)).expect(404, "not_found")
        sale.buyer.get(f"/v1/shows/{sale.show.show_id}/tickets/{uuid.uuid4()}.{ending}").expect(404, "not_found")
    sale.buyer.get(sale.path.replace(sale.show.show_id, other.show_id)).expect(404, "not_found")


# ---- doors ---------------------------------------------------------------------------------------------------------------

def test_keys_are_published_and_no_secret_with_them(boxoffice):
    door = boxoffice.api()
    answer = door.get("/v1/tickets/keys")
    keys = answer.expect(200)["keys"]
    assert answer.headers["Cache-Control"] == "public, max-age=60"
    for key in keys:
        assert set(key) == {"key_id", "algorithm", "public_key", "not_before", "status"}
        public = base64.urlsafe_b64decode(key["public_key"] + "=")
        assert key["key_id"] == hashlib.blake2b(public, digest_size=32).hexdigest()[:8]
    assert [key["status"] for key in keys].count("active") == 1
    again = door.get("/v1/tickets/keys", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status, again.body) == (304, b"")
    assert door.get("/v1/tickets/keys", headers={"If-None-Match": '"other"'}).status == 200


def test_cancelled_tickets_are_listed_and_refused(build_dir, boxoffice, sale, tmp_path):
    revoked = f"/v1/shows/{sale.show.show_id}/tickets/revoked"
    before = boxoffice.api().get(revoked).expect(200)
    assert before["items"] == []
    sale.buyer.cancel(sale.show.show_id, sale.booking["booking_id"]).expect(200)
    after = boxoffice.api().get(revoked).expect(200)
    assert after["items"] == sorted(ticket["ticket_id"] for ticket in sale.tickets)
    assert after["as_of"] > before["as_of"]
    codes = [ticket["code"] for ticket in sale.tickets]
    assert reasons(build_dir, boxoffice, tmp_path, sale.show.show_id, *codes) == ["revoked", "revoked"]
    assert [(t["ticket_id"], t["status"], t["code"]) for t in sale.items()] == \
        [(t["ticket_id"], "revoked", None) for t in sale.tickets]
    for ending in PAPERS:
        sale.buyer.get(sale.paper(ending)).expect(404, "not_found")


def test_a_cancelled_seat_takes_only_its_own_ticket_along(build_dir, boxoffice, sale, tmp_path):
    kept, gone = sale.tickets
    sale.buyer.cancel(sale.show.show_id, sale.booking["booking_id"], [gone["seat"]]).expect(200)
    assert [ticket["status"] for ticket in sale.items()] == ["valid", "revoked"]
    assert reasons(build_dir, boxoffice, tmp_path, sale.show.show_id, kept["code"], gone["code"]) == ["ok", "revoked"]
    assert sale.buyer.get(sale.paper("svg", 0)).status == 200
    sale.buyer.get(sale.paper("svg", 1)).expect(404, "not_found")
    again = Sale(boxoffice, sale.show, [gone["seat"]])
    assert again.tickets[0]["ticket_id"] != gone["ticket_id"]
    assert reasons(build_dir, boxoffice, tmp_path, sale.show.show_id, again.tickets[0]["code"], gone["code"]) == ["ok", "revoked"]


def test_of_a_show_that_is_not_there_nothing_is_listed(boxoffice, admin):
    boxoffice.api().get(f"/v1/shows/{uuid.uuid4()}/tickets/revoked").expect(404, "not_found")
    draft = admin.make_show(status="draft")
    boxoffice.api().get(f"/v1/shows/{draft.show_id}/tickets/revoked").expect(404, "not_found")


def test_the_database_keeps_the_signing_key_sealed(boxoffice, sale):
    with psycopg.connect(boxoffice.database_url) as conn:
        rows = conn.execute("SELECT public_key, sealed_secret FROM ticket_keys").fetchall()
    for public, sealed in rows:
        assert len(sealed) == 64 + 40
        # libsodium's secret key ends with the public one: it would show
        assert bytes(public) not in bytes(sealed)


# ---- when much is asked --------------------------------------------------------------------------------------------------

def test_a_full_queue_of_papers_is_refused_and_empties(make_boxoffice):
    boxoffice = make_boxoffice("--workers", "1", env={"BOXOFFICE_OFFLOAD_THREADS": "1", "BOXOFFICE_OFFLOAD_QUEUE": "2"})
    sale = Sale(boxoffice, boxoffice.admin().make_show(), 1)
    token = sale.buyer.token

    def fetch(_):
        return boxoffice.api(token).get(sale.paper("pdf"))

    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(fetch, range(40)))
    assert {answer.status for answer in answers} == {200, 503}
    for answer in answers:
        if answer.status == 503:
            assert answer.code == "overloaded" and "Retry-After" in answer.headers
        else:
            assert answer.body.startswith(b"%PDF-")
    assert sale.buyer.get(sale.paper("pdf")).status == 200
