/*
 * A show as an entry for a calendar (RFC 5545). Pure. Called by ticket_papers.c.
 *
 * The id of an entry is its ticket's: the same file again, after the show was put off, is the same entry with a higher
 * SEQUENCE, which is how a calendar knows that it is the newer one; so is a cancellation.
 */
#include "ticket/ticket_ics.h"

#include "base/times.h"
#include "ticket/when.h"

#include <string.h>

enum { LINE_MAX_BYTES = 74 };

/* One content line: special characters escaped, folded before its 75th byte and never inside a character. */
static void line(struct buf *out, const char *name, struct str text)
{
	size_t at = strlen(name) + 1;

	buf_addf(out, "%s:", name);
	for (size_t i = 0; i < text.n;) {
		unsigned char c = (unsigned char)text.p[i];
		size_t n = c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
		bool escaped = c == ',' || c == ';' || c == '\\' || c == '\n';

		if (n > text.n - i)
			n = text.n - i;
		if (at + n + escaped > LINE_MAX_BYTES) {
			buf_adds(out, "\r\n ");
			at = 1;
		}
		at += n + escaped;
		if (escaped)
			buf_addc(out, '\\');
		if (c == '\n')
			buf_addc(out, 'n');
		else if (c >= 0x20)
			buf_add(out, text.p + i, n);
		i += n;
	}
	buf_adds(out, "\r\n");
}

/* "+0100" */
static void offset_line(struct buf *out, const char *name, int32_t offset_s)
{
	int32_t m = (offset_s < 0 ? -offset_s : offset_s) / 60;

	buf_addf(out, "%s:%c%02d%02d\r\n", name, offset_s < 0 ? '-' : '+', (int)(m / 60), (int)(m % 60));
}

/* The zone as it is when the show begins. That is all an entry with one time needs; calendars that know the zone by its name go by
 * what they know, and so by the time on the wall that was promised. */
static void zone_lines(struct buf *out, const char *name, const struct when *at)
{
	buf_adds(out, "BEGIN:VTIMEZONE\r\n");
	line(out, "TZID", str_from(name));
	buf_adds(out, "BEGIN:STANDARD\r\nDTSTART:19700101T000000\r\n");
	offset_line(out, "TZOFFSETFROM", at->offset_s);
	offset_line(out, "TZOFFSETTO", at->offset_s);
	buf_adds(out, "END:STANDARD\r\nEND:VTIMEZONE\r\n");
}

static void time_line(struct buf *out, const char *name, int64_t us)
{
	char text[TIME_TEXT_MAX], packed[TIME_TEXT_MAX];
	size_t n = 0;

	time_format(us, text); /* 2026-11-23T18:30:00.000Z */
	for (const char *p = text; *p && *p != '.' && *p != 'Z'; p++)
		if (*p != '-' && *p != ':')
			packed[n++] = *p;
	packed[n++] = 'Z';
	line(out, name, (struct str){packed, n});
}

bool ticket_ics(const struct ticket_ics *t, struct buf *out)
{
	bool local = t->timezone && strcmp(t->timezone, "UTC") != 0;
	char id[UUID_TEXT];
	struct when at = {0};

	/* an offset that is no whole minutes, a hundred years ago, has no place in a calendar */
	local = local && when_local(t->starts_at_us, t->timezone, &at) && at.offset_s % 60 == 0;
	buf_addf(out, "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//boxoffice//ticket//EN\r\nMETHOD:%s\r\n",
		 t->cancelled ? "CANCEL" : "PUBLISH");
	if (local)
		zone_lines(out, t->timezone, &at);
	buf_addf(out, "BEGIN:VEVENT\r\nUID:%s@boxoffice\r\nSEQUENCE:%d\r\nSTATUS:%s\r\n",
		 uuid_format(&t->ticket_id, id), (int)t->sequence + t->cancelled,
		 t->cancelled ? "CANCELLED" : "CONFIRMED");
	time_line(out, "DTSTAMP", t->now_us);
	if (local)
		buf_addf(out, "DTSTART;TZID=%s:%04d%02d%02dT%02d%02d%02d\r\n", t->timezone, (int)at.year, at.month,
			 at.day, at.hour, at.minute, at.second);
	else
		time_line(out, "DTSTART", t->starts_at_us);
	line(out, "SUMMARY", str_from(t->summary));
	line(out, "LOCATION", str_from(t->location));
	line(out, "DESCRIPTION", str_from(t->description));
	buf_adds(out, "END:VEVENT\r\nEND:VCALENDAR\r\n");
	return !out->failed;
}
