/*
 * GTimeZone with the doors shut: GLib would also take POSIX rules, offsets, absolute paths and "..", so names are held
 * to the grammar of IANA names first. Owns nothing, keeps no state. Called by the event service (validation, local wall
 * times), by the documents and the mails.
 */
#include "ticket/when.h"

#include "base/times.h"
#include "ticket/words.h"

#include <glib.h>
#include <string.h>

/* Area/Location with one or two slashes, or UTC. posix/ and right/ are copies of the whole tree in some packagings of
 * tzdata; right/ counts leap seconds. */
static bool name_is_sound(const char *name)
{
	size_t n = strnlen(name, TIMEZONE_NAME_MAX + 1), part = 0;
	int slashes = 0;

	if (n > TIMEZONE_NAME_MAX || strncmp(name, "posix/", 6) == 0 || strncmp(name, "right/", 6) == 0)
		return false;
	for (size_t i = 0; i < n; i++) {
		char c = name[i];

		if (c == '/') {
			if (part == 0 || ++slashes > 2)
				return false;
			part = 0;
			continue;
		}
		if (!g_ascii_isalpha(c) && (part == 0 || (!g_ascii_isdigit(c) && !strchr("_+-", c))))
			return false;
		part++;
	}
	return part > 0 && (slashes > 0 || strcmp(name, "UTC") == 0);
}

/* NULL: unknown. The caller unrefs. */
static GTimeZone *zone_open(const char *name)
{
	return name && name_is_sound(name) ? g_time_zone_new_identifier(name) : NULL;
}

bool timezone_known(const char *name)
{
	GTimeZone *zone = zone_open(name);

	if (zone)
		g_time_zone_unref(zone);
	return zone != NULL;
}

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

/* -1 never comes back: in universal time every instant lies in an interval. */
static gint interval_at(GTimeZone *zone, int64_t utc_s)
{
	return g_time_zone_find_interval(zone, G_TIME_TYPE_UNIVERSAL, utc_s);
}

static int64_t offset_at(GTimeZone *zone, int64_t utc_s)
{
	return g_time_zone_get_offset(zone, interval_at(zone, utc_s));
}

/* struct when_zone is GTimeZone by another name, so that the header needs no GLib. */
struct when_zone *when_zone_open(const char *zone_name)
{
	return (struct when_zone *)zone_open(zone_name);
}

void when_zone_close(struct when_zone *zone)
{
	if (zone)
		g_time_zone_unref((GTimeZone *)zone);
}

bool when_local(int64_t us, const char *zone_name, struct when *ret)
{
	struct when_zone *zone = when_zone_open(zone_name);
	bool ok = zone && when_zone_local(zone, us, ret);

	when_zone_close(zone);
	return ok;
}

bool when_zone_local(struct when_zone *opened, int64_t us, struct when *ret)
{
	GTimeZone *zone = (GTimeZone *)opened;
	int64_t utc_s = floor_div(us, US_PER_SECOND), local_s, days, in_day;
	gint interval;

	interval = interval_at(zone, utc_s);
	*ret = (struct when){.offset_s = g_time_zone_get_offset(zone, interval)};
	g_strlcpy(ret->zone, g_time_zone_get_abbreviation(zone, interval), sizeof(ret->zone));
	local_s = utc_s + ret->offset_s;
	days = floor_div(local_s, 86400);
	in_day = local_s - days * 86400;
	civil_from_days(days, &ret->year, &ret->month, &ret->day);
	ret->hour = (int)(in_day / 3600);
	ret->minute = (int)(in_day / 60 % 60);
	ret->second = (int)(in_day % 60);
	ret->weekday = (int)((days + 3) - floor_div(days + 3, 7) * 7) + 1; /* 1970-01-01 was a Thursday */
	return ret->year >= 1 && ret->year <= 9999;
}

static bool wall_is_sound(const struct when *w, int64_t *ret_days)
{
	int64_t y;
	int m, d;

	if (w->year < 1 || w->year > 9999 || w->month < 1 || w->month > 12 || w->day < 1 || w->day > 31)
		return false;
	if (w->hour < 0 || w->hour > 23 || w->minute < 0 || w->minute > 59 || w->second < 0 || w->second > 59)
		return false;
	*ret_days = days_from_civil(w->year, w->month, w->day);
	civil_from_days(*ret_days, &y, &m, &d);
	return m == w->month && d == w->day; /* no 31 April */
}

enum when_fit when_instant(const struct when *wall, const char *zone_name, int64_t *ret_us)
{
	int64_t days, wall_s, before, after;
	enum when_fit fit;
	GTimeZone *zone;

	if (!wall_is_sound(wall, &days) || !(zone = zone_open(zone_name)))
		return WHEN_IMPOSSIBLE;
	wall_s = days * 86400 + wall->hour * 3600 + wall->minute * 60 + wall->second;
	/* The offsets on either side of any change that could matter: zones do not change twice in two days. */
	before = offset_at(zone, wall_s - 86400);
	after = offset_at(zone, wall_s + 86400);
	if (offset_at(zone, wall_s - before) == before)
		fit = before != after && offset_at(zone, wall_s - after) == after ? WHEN_TWICE : WHEN_EXACT;
	else if (offset_at(zone, wall_s - after) == after) {
		fit = WHEN_EXACT;
		before = after;
	} else
		fit = WHEN_SKIPPED; /* read with the old offset, it lies past the change by as much as was skipped */
	g_time_zone_unref(zone);
	*ret_us = (wall_s - before) * US_PER_SECOND;
	return fit;
}

bool when_date(const struct when *w, const char *locale, struct buf *out)
{
	const struct words *words = words_for(locale);

	for (const char *p = words->date_pattern; *p; p++)
		if (*p == 'W')
			buf_adds(out, words->weekdays[w->weekday - 1]);
		else if (*p == 'M')
			buf_adds(out, words->months[w->month - 1]);
		else if (*p == 'D')
			buf_addi(out, w->day);
		else if (*p == 'Y')
			buf_addi(out, w->year);
		else
			buf_addc(out, *p); /* 'd' and 'e' of Spanish are lower case: no clash */
	return !out->failed;
}

bool when_time(const struct when *w, const char *locale, struct buf *out)
{
	const struct words *words = words_for(locale);

	if (words->twelve_hours)
		return buf_addf(out, "%d:%02d %s", (w->hour + 11) % 12 + 1, w->minute, w->hour < 12 ? "AM" : "PM");
	return buf_addf(out, "%02d:%02d%s", w->hour, w->minute, words->after_time);
}
