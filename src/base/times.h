/*
 * Times are int64_t microseconds since 1970-01-01 UTC (`_us`). No clock is read here.
 */
#ifndef BASE_TIMES_H
#define BASE_TIMES_H

#include "base/str.h"

#define US_PER_SECOND INT64_C(1000000)
#define US_PER_MINUTE (60 * US_PER_SECOND)
#define US_PER_HOUR (60 * US_PER_MINUTE)
#define US_PER_DAY (24 * US_PER_HOUR)
/* PostgreSQL's 'infinity'. */
#define TIME_INFINITY INT64_MAX

enum { TIME_TEXT_MAX = 40 };

/* RFC 3339 in UTC: "2026-11-23T18:30:00Z", with .mmm only when there are milliseconds. Returns the length. */
size_t time_format(int64_t us, char out[TIME_TEXT_MAX]);
/* RFC 3339 date-time with Z or a numeric offset, up to microseconds; years 1970 to 9999; no leap second. */
bool time_parse(struct str text, int64_t *ret_us);

/* Proleptic Gregorian calendar, days since 1970-01-01. */
int64_t days_from_civil(int64_t y, int m, int d);
void civil_from_days(int64_t days, int64_t *ret_y, int *ret_m, int *ret_d);

#endif
