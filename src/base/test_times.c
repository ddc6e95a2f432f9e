/* RFC 3339 in and out, and the calendar against the C library's. */
#include "base/times.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void parsing(void **state)
{
	static const struct {
		const char *text;
		int64_t us;
	} cases[] = {
		{"1970-01-01T00:00:00Z", 0},
		{"2026-11-23T18:30:00Z", INT64_C(1795458600000000)},
		{"2026-11-23t18:30:00z", INT64_C(1795458600000000)},
		{"2026-11-23 18:30:00Z", INT64_C(1795458600000000)},
		{"2026-11-23T19:30:00+01:00", INT64_C(1795458600000000)},
		{"2026-11-23T15:00:00-03:30", INT64_C(1795458600000000)},
		{"2026-11-23T18:30:00-00:00", INT64_C(1795458600000000)},
		{"2026-11-24T18:29:00+23:59", INT64_C(1795458600000000)},
		{"2026-11-23T18:30:00.5Z", INT64_C(1795458600500000)},
		{"2026-11-23T18:30:00.000001Z", INT64_C(1795458600000001)},
		{"2026-11-23T18:30:00.123456+00:00", INT64_C(1795458600123456)},
		{"2024-02-29T00:00:00Z", INT64_C(1709164800000000)},
		{"2000-02-29T00:00:00Z", INT64_C(951782400000000)},
		{"1970-01-01T01:00:00+01:00", 0},
		{"9999-12-31T23:59:59.999999Z", INT64_C(253402300799999999)},
		{"9999-12-31T23:59:59+00:01", INT64_C(253402300739000000)},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		int64_t us = -1;

		if (!time_parse(str_from(cases[i].text), &us))
			fail_msg("%s was refused", cases[i].text);
		if (us != cases[i].us)
			fail_msg("%s gave %lld", cases[i].text, (long long)us);
	}
}

static void refusing(void **state)
{
	static const char *const bad[] = {
		"",
		"2026",
		"2026-11-23",
		"2026-11-23T18:30:00",
		"2026-11-23T18:30Z",
		"2026-11-23T18:30:00ZZ",
		" 2026-11-23T18:30:00Z",
		"2026-11-23T18:30:00Z ",
		"26-11-23T18:30:00Z",
		"2026-1-23T18:30:00Z",
		"2026/11/23T18:30:00Z",
		"2026-11-23T18.30.00Z",
		"2026-11-23_18:30:00Z",
		"20261123T183000Z",
		"2026-00-23T18:30:00Z",
		"2026-13-23T18:30:00Z",
		"2026-11-00T18:30:00Z",
		"2026-11-31T18:30:00Z",
		"2026-04-31T18:30:00Z",
		"2026-01-32T18:30:00Z",
		"2025-02-29T00:00:00Z",
		"2100-02-29T00:00:00Z",
		"2024-02-30T00:00:00Z",
		"2026-11-23T24:00:00Z",
		"2026-11-23T18:60:00Z",
		"2016-12-31T23:59:60Z",
		"2026-11-23T18:30:61Z",
		"2026-11-23T18:30:00.Z",
		"2026-11-23T18:30:00,5Z",
		"2026-11-23T18:30:00.1234567Z",
		"2026-11-23T18:30:00.5",
		"2026-11-23T18:30:00+1:00",
		"2026-11-23T18:30:00+0100",
		"2026-11-23T18:30:00+01",
		"2026-11-23T18:30:00+01:60",
		"2026-11-23T18:30:00+24:00",
		"2026-11-23T18:30:00+01:00Z",
		"2026-11-23T18:30:00 Z",
		"-026-11-23T18:30:00Z",
		"+2026-11-23T18:30:00Z",
		"2026-11-23T18:30:00\342\210\22201:00",
		"1969-12-31T23:59:59Z",
		"1970-01-01T00:00:00+00:01",
		"10000-01-01T00:00:00Z",
		"9999-12-31T23:59:59-00:01",
		"9999-12-31T23:59:59-23:59",
	};
	int64_t us = 77;

	for (size_t i = 0; i < COUNT(bad); i++)
		if (time_parse(str_from(bad[i]), &us))
			fail_msg("\"%s\" was taken", bad[i]);
	assert_false(time_parse(STR("2026-11-23T18:30:00\0Z"), &us));
	assert_int_equal(us, 77);
}

static void formatting(void **state)
{
	static const struct {
		int64_t us;
		const char *text;
	} cases[] = {
		{0, "1970-01-01T00:00:00Z"},
		{INT64_C(1795458600000000), "2026-11-23T18:30:00Z"},
		{INT64_C(1795458600000999), "2026-11-23T18:30:00Z"},
		{INT64_C(1795458600001000), "2026-11-23T18:30:00.001Z"},
		{INT64_C(1795458600999999), "2026-11-23T18:30:00.999Z"},
		{INT64_C(253402300799999999), "9999-12-31T23:59:59.999Z"},
		{-1, "1969-12-31T23:59:59.999Z"},
		{-US_PER_DAY, "1969-12-31T00:00:00Z"},
		{INT64_C(951868799000000), "2000-02-29T23:59:59Z"},
	};
	char out[TIME_TEXT_MAX];

	for (size_t i = 0; i < COUNT(cases); i++) {
		assert_int_equal(time_format(cases[i].us, out), strlen(cases[i].text));
		assert_string_equal(out, cases[i].text);
	}
	/* whatever it is given it stays in its room */
	assert_true(time_format(TIME_INFINITY, out) < TIME_TEXT_MAX);
	assert_true(time_format(INT64_MIN, out) < TIME_TEXT_MAX);
}

/* Every day of the years that can be written, there and back, and against the C library. */
static void calendar(void **state)
{
	int64_t y, end = days_from_civil(10000, 1, 1);
	int m, d;

	assert_int_equal(days_from_civil(1970, 1, 1), 0);
	assert_int_equal(days_from_civil(1969, 12, 31), -1);
	assert_int_equal(end, 2932897);
	for (int64_t day = -1000000; day < end; day++) {
		civil_from_days(day, &y, &m, &d);
		if (days_from_civil(y, m, d) != day)
			fail_msg("day %lld", (long long)day);
		if (day >= 0 && day % 13 == 0) {
			time_t t = day * 86400;
			struct tm tm;

			gmtime_r(&t, &tm);
			assert_int_equal(y, tm.tm_year + 1900);
			assert_int_equal(m, tm.tm_mon + 1);
			assert_int_equal(d, tm.tm_mday);
		}
	}
}

static void there_and_back(void **state)
{
	char out[TIME_TEXT_MAX];
	int64_t us;

	for (int64_t t = 0; t < INT64_C(253402300800000000); t = t * 2 + 12345678901000) {
		size_t n = time_format(t, out);

		assert_true(time_parse((struct str){out, n}, &us));
		assert_int_equal(us, t / 1000 * 1000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parsing),  cmocka_unit_test(refusing),	      cmocka_unit_test(formatting),
		cmocka_unit_test(calendar), cmocka_unit_test(there_and_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
