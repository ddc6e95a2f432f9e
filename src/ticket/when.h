/*
 * Times as people at the venue read them: an instant shown in the venue's zone, and wall time there turned into an
 * instant. Zones are IANA names, read from the system's tzdata through GLib; the process's own TZ is never touched.
 * Safe on any thread. Opening a zone reads a file of a few kilobytes (a tenth of a millisecond).
 */
#ifndef TICKET_WHEN_H
#define TICKET_WHEN_H

#include "base/buf.h"

enum { TIMEZONE_NAME_MAX = 64 };

/* "Europe/Berlin", "America/Argentina/Buenos_Aires", "UTC"; not "CET-1CEST", "+01:00", "posix/..." or a path. */
bool timezone_known(const char *name);

struct when {
	int64_t year;
	int month, day;		  /* from 1 */
	int weekday;		  /* 1 Monday ... 7 Sunday */
	int hour, minute, second; /* what the clock on the wall shows */
	int32_t offset_s;	  /* local minus UTC; set by when_local, ignored by when_instant */
	char zone[16];		  /* "CET"; likewise */
};

/* false: unknown zone, or a year outside 1..9999. */
bool when_local(int64_t us, const char *zone_name, struct when *ret);
/* The same for several instants: the zone's file is read once. NULL: unknown. */
struct when_zone;
struct when_zone *when_zone_open(const char *zone_name);
void when_zone_close(struct when_zone *zone); /* NULL is fine */
bool when_zone_local(struct when_zone *zone, int64_t us, struct when *ret);

enum when_fit {
	WHEN_IMPOSSIBLE, /* unknown zone or no such date */
	WHEN_EXACT,
	WHEN_TWICE,   /* clocks are put back over it: the first of the two instants is given */
	WHEN_SKIPPED, /* clocks are put forward over it: given is the instant as much later (02:30 becomes 03:30) */
};
/* Needs year to second; weekday, offset and zone are ignored. */
enum when_fit when_instant(const struct when *wall, const char *zone_name, int64_t *ret_us);

/* Locale is a BCP 47 tag; an unknown one gives English.
 * "Friday, 4 December 2026", "Freitag, 4. Dezember 2026", "2026年12月4日 星期五" */
bool when_date(const struct when *w, const char *locale, struct buf *out);
/* "19:30", "7:30 PM", "19:30 Uhr" */
bool when_time(const struct when *w, const char *locale, struct buf *out);

#endif
