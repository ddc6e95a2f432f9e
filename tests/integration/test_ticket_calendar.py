"""The entry for a calendar, read by a library that knows the standard; and that the link that needs no account has all four papers."""

import datetime
import subprocess
from zoneinfo import ZoneInfo

import icalendar
import pytest

from api import from_now
from door import Sale
from service import wait_until


@pytest.fixture
def show(boxoffice, admin):
    event = admin.make_event(name="Der Sturm; oder, „Die Insel\" \\ 暴风雨 " + "sehr lang " * 12)
    venue = admin.make_venue(timezone="Europe/Vienna", name="Altes Schauspielhaus", address="Kleine Königstraße 9, Hof")
    return admin.make_show(event_id=event["event_id"], venue_id=venue["venue_id"], cancellation={"until": from_now(6 * 86400)})


def entry(client, path):
    answer = client.get(path)
    assert answer.status == 200 and answer.headers["Content-Type"] == "text/calendar; charset=utf-8", answer
    text = answer.body.decode()
    assert all(len(line.encode()) <= 75 for line in text.split("\r\n")) and "\n" not in text.replace("\r\n", "")
    calendar = icalendar.Calendar.from_ical(answer.body)
    assert not calendar.errors and str(calendar["VERSION"]) == "2.0"
    [event] = calendar.walk("VEVENT")
    assert not event.errors
    return calendar, event


def paper(show, ticket, ending="ics"):
    return f"/v1/shows/{show.show_id}/tickets/{ticket['ticket_id']}.{ending}"


def test_an_entry_says_when_and_where(boxoffice, admin, show):
    sale = Sale(boxoffice, show, ["C-7"])
    calendar, event = entry(sale.buyer, paper(show, sale.tickets[0]))
    starts = datetime.datetime.fromisoformat(admin.get(f"/v1/shows/{show.show_id}").expect(200)["starts_at"].replace("Z", "+00:00"))
    assert event.start == starts.replace(microsecond=0)
    assert event["DTSTART"].params["TZID"] == "Europe/Vienna"
    assert event.start.replace(tzinfo=None) == starts.astimezone(ZoneInfo("Europe/Vienna")).replace(tzinfo=None, microsecond=0)
    [zone] = calendar.walk("VTIMEZONE")
    assert zone.to_tz(lookup_tzid=False).utcoffset(event.start.replace(tzinfo=None)) == \
        starts.astimezone(ZoneInfo("Europe/Vienna")).utcoffset(), "the zone in the file says the same as the world's"
    assert str(event["SUMMARY"]) == ("Der Sturm; oder, „Die Insel\" \\ 暴风雨 " + "sehr lang " * 12).strip() or \
        str(event["SUMMARY"]).startswith("Der Sturm; oder, „Die Insel\" \\ 暴风雨")
    assert "Altes Schauspielhaus" in str(event["LOCATION"]) and "Kleine Königstraße 9, Hof" in str(event["LOCATION"])
    assert sale.booking["reference"] in str(event["DESCRIPTION"]) and "C / 7" in str(event["DESCRIPTION"])
    assert str(calendar["METHOD"]) == "PUBLISH" and str(event["STATUS"]) == "CONFIRMED" and event["SEQUENCE"] == 0
    assert abs((event.DTSTAMP - datetime.datetime.now(datetime.timezone.utc)).total_seconds()) < 60


def test_a_show_that_is_put_off_is_the_same_entry(boxoffice, admin, show):
    sale = Sale(boxoffice, show, ["A-1"])
    _, before = entry(sale.buyer, paper(show, sale.tickets[0]))
    for n, starts in enumerate(["2031-01-15T18:30:00Z", "2031-07-15T18:30:00Z"], 1):
        admin.post(f"/v1/shows/{show.show_id}/reschedule", {"starts_at": starts}).expect(201)
        _, event = wait_until(lambda: (e := entry(sale.buyer, paper(show, sale.tickets[0])))[1]["SEQUENCE"] == n and e, "the entry")
        assert event["UID"] == before["UID"]
        assert event.start == datetime.datetime.fromisoformat(starts.replace("Z", "+00:00"))
        assert event.start.hour == (19, 20)[n - 1], "winter, then summer"
    admin.post(f"/v1/shows/{show.show_id}/cancel", {}).expect(201)
    calendar, event = wait_until(lambda: (e := entry(sale.buyer, paper(show, sale.tickets[0])))[1]["STATUS"] == "CANCELLED" and e, "the end")
    assert event["UID"] == before["UID"] and event["SEQUENCE"] == 3 and str(calendar["METHOD"]) == "CANCEL"


def test_a_cancelled_ticket_says_so(boxoffice, admin, show):
    sale = Sale(boxoffice, show, ["A-1", "A-2"])
    _, before = entry(sale.buyer, paper(show, sale.tickets[0]))
    sale.cancel(["A-1"]).expect(200)
    calendar, event = entry(sale.buyer, paper(show, sale.tickets[0]))
    assert str(event["STATUS"]) == "CANCELLED" and event["SEQUENCE"] == before["SEQUENCE"] + 1 and event["UID"] == before["UID"]
    assert entry(sale.buyer, paper(show, sale.tickets[1]))[1]["STATUS"] == "CONFIRMED"
    sale.buyer.get(paper(show, sale.tickets[0], "pdf")).expect(404)
    boxoffice.session().get(paper(show, sale.tickets[0])).expect(404)


def test_a_reissued_ticket_goes_on_as_the_same_entry(boxoffice, admin, show):
    sale = Sale(boxoffice, show, ["A-1"])
    ticket = sale.tickets[0]
    _, before = entry(sale.buyer, paper(show, ticket))
    for _ in range(2):
        made = sale.buyer.post(f"/v1/shows/{show.show_id}/tickets/{ticket['ticket_id']}/reissue", {}).expect(201)
        sale.buyer.get(paper(show, ticket)).expect(404)
        ticket = made
        _, event = entry(sale.buyer, paper(show, ticket))
        assert event["UID"] == before["UID"] and str(event["STATUS"]) == "CONFIRMED"


def test_a_zone_without_offset(boxoffice, admin):
    venue = admin.make_venue(timezone="UTC")
    show = admin.make_show(venue_id=venue["venue_id"])
    sale = Sale(boxoffice, show, ["A-1"])
    _, event = entry(sale.buyer, paper(show, sale.tickets[0]))
    assert event.start.utcoffset() == datetime.timedelta(0)


def test_the_link_needs_no_account_and_has_all_four(boxoffice, show, tmp_path):
    sale = Sale(boxoffice, show, ["A-1"])
    link, nobody = sale.booking["access_token"], boxoffice.api()
    for ending, media in [("pdf", "application/pdf"), ("svg", "image/svg+xml"), ("png", "image/png"), ("ics", "text/calendar; charset=utf-8")]:
        path = paper(show, sale.tickets[0], ending)
        answer = nobody.get(f"{path}?access_token={link}")
        assert answer.status == 200 and answer.headers["Content-Type"] == media
        assert answer.headers["Cache-Control"] == "no-store" and answer.headers["Referrer-Policy"] == "no-referrer"
        nobody.get(path).expect(404, "not_found")
        nobody.get(f"{path}?access_token={link[:-3]}AAA").expect(404, "not_found")
    png = tmp_path / "code.png"
    png.write_bytes(nobody.get(f"{paper(show, sale.tickets[0], 'png')}?access_token={link}").body)
    read = subprocess.run(["zbarimg", "--quiet", "--raw", png], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert read.stdout.split() == [sale.codes[0]]
