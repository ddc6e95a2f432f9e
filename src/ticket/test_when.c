/* Times at the venue: changes of the clock, zones that are none, dates as each language writes them. */
#include "base/times.h"
#include "ticket/when.h"
#include "ticket/words.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int64_t at(const char *text)
{
	int64_t us;

	assert_true(time_parse(str_from(text), &us));
	return us;
}

static void test_zones(void **state)
{
	static const char *const known[] = {"Europe/Berlin", "America/Argentina/Buenos_Aires", "Asia/Shanghai", "UTC",
					    "Etc/GMT+5",     "America/Port-au-Prince"};
	static const char *const unknown[] = {
		"",
		"Europe/Atlantis",
		"Europe",
		"Europe/",
		"/Europe/Berlin",
		"/etc/passwd",
		"../zoneinfo/Europe/Berlin",
		"Europe/../Europe/Berlin",
		"Europe//Berlin",
		"europe/berlin",
		"posix/Europe/Berlin",
		"right/Europe/Berlin",
		"+01:00",
		"Z",
		"EST5EDT,M3.2.0,M11.1.0",
		"CET-1CEST",
		"CET",
		"Europe/Berlin\n",
		"Europe/Berlin ",
		":Europe/Berlin",
		"A/B/C/D",
		"Europe/"
		"Aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
	struct when w;

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		assert_true(timezone_known(known[i]));
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
		if (timezone_known(unknown[i]))
			fail_msg("taken for a time zone: %s", unknown[i]);
		assert_false(when_local(0, unknown[i], &w));
	}
	assert_false(timezone_known(NULL));
}

static void test_local(void **state)
{
	static const struct {
		const char *utc, *zone;
		int year, month, day, weekday, hour, minute, offset_s;
		const char *abbreviation;
	} cases[] = {
		{"2026-12-04T18:30:00Z", "Europe/Berlin", 2026, 12, 4, 5, 19, 30, 3600, "CET"},
		{"2026-07-04T18:30:00Z", "Europe/Berlin", 2026, 7, 4, 6, 20, 30, 7200, "CEST"},
		{"2026-12-31T23:30:00Z", "Asia/Shanghai", 2027, 1, 1, 5, 7, 30, 28800, "CST"},
		{"2026-01-01T02:00:00Z", "America/New_York", 2025, 12, 31, 3, 21, 0, -18000, "EST"},
		{"2028-02-29T12:00:00Z", "Asia/Kathmandu", 2028, 2, 29, 2, 17, 45, 20700, "+0545"},
		{"2026-06-01T00:00:00Z", "UTC", 2026, 6, 1, 1, 0, 0, 0, "UTC"},
		{"1970-01-01T00:00:00Z", "Europe/London", 1970, 1, 1, 4, 1, 0, 3600, "BST"},
		/* far past the table of transitions: the rule at the end of the zone's file */
		{"2060-07-01T12:00:00Z", "Europe/Berlin", 2060, 7, 1, 4, 14, 0, 7200, "CEST"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct when w;

		assert_true(when_local(at(cases[i].utc), cases[i].zone, &w));
		assert_int_equal(w.year, cases[i].year);
		assert_int_equal(w.month, cases[i].month);
		assert_int_equal(w.day, cases[i].day);
		assert_int_equal(w.weekday, cases[i].weekday);
		assert_int_equal(w.hour, cases[i].hour);
		assert_int_equal(w.minute, cases[i].minute);
		assert_int_equal(w.offset_s, cases[i].offset_s);
		assert_string_equal(w.zone, cases[i].abbreviation);
	}
}

static void test_instant(void **state)
{
	static const struct {
		struct when wall;
		const char *zone;
		enum when_fit fit;
		const char *utc;
	} cases[] = {
		{{2026, 12, 4, .hour = 19, .minute = 30}, "Europe/Berlin", WHEN_EXACT, "2026-12-04T18:30:00Z"},
		{{2026, 3, 29, .hour = 1, .minute = 59}, "Europe/Berlin", WHEN_EXACT, "2026-03-29T00:59:00Z"},
		{{2026, 3, 29, .hour = 2, .minute = 30}, "Europe/Berlin", WHEN_SKIPPED, "2026-03-29T01:30:00Z"},
		{{2026, 3, 29, .hour = 3, .minute = 0}, "Europe/Berlin", WHEN_EXACT, "2026-03-29T01:00:00Z"},
		{{2026, 10, 25, .hour = 1, .minute = 59}, "Europe/Berlin", WHEN_EXACT, "2026-10-24T23:59:00Z"},
		{{2026, 10, 25, .hour = 2, .minute = 30}, "Europe/Berlin", WHEN_TWICE, "2026-10-25T00:30:00Z"},
		{{2026, 10, 25, .hour = 3, .minute = 0}, "Europe/Berlin", WHEN_EXACT, "2026-10-25T02:00:00Z"},
		{{2026, 3, 8, .hour = 2, .minute = 30}, "America/New_York", WHEN_SKIPPED, "2026-03-08T07:30:00Z"},
		{{2026, 11, 1, .hour = 1, .minute = 30}, "America/New_York", WHEN_TWICE, "2026-11-01T05:30:00Z"},
		{{2026, 10, 4, .hour = 2, .minute = 15}, "Australia/Lord_Howe", WHEN_SKIPPED, "2026-10-03T15:45:00Z"},
		{{2011, 12, 30, .hour = 12}, "Pacific/Apia", WHEN_SKIPPED, "2011-12-30T22:00:00Z"},
	};
	static const struct when no_dates[] = {
		{2026, 2, 29},
		{2026, 4, 31},
		{2026, 13, 1},
		{2026, 0, 1},
		{2026, 1, 0},
		{0, 1, 1},
		{10000, 1, 1},
		{2026, 1, 32},
		{2026, 1, 1, .hour = 24},
		{2026, 1, 1, .minute = 60},
		{2026, 1, 1, .second = 60},
		{2026, 1, 1, .hour = -1},
	};
	int64_t us;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (when_instant(&cases[i].wall, cases[i].zone, &us) != cases[i].fit || us != at(cases[i].utc)) {
			char text[TIME_TEXT_MAX];

			time_format(us, text);
			fail_msg("case %zu (%s): %s instead of %s", i, cases[i].zone, text, cases[i].utc);
		}
	}
	for (size_t i = 0; i < sizeof(no_dates) / sizeof(no_dates[0]); i++)
		assert_int_equal(when_instant(&no_dates[i], "UTC", &us), WHEN_IMPOSSIBLE);
	assert_int_equal(when_instant(&cases[0].wall, "Europe/Atlantis", &us), WHEN_IMPOSSIBLE);
}

/* Every quarter of an hour of two years: local and back again is the same instant, or the first of a pair. */
static void test_round_trip(void **state)
{
	static const char *const zones[] = {"Europe/Berlin", "America/New_York", "Africa/Casablanca",
					    "Australia/Lord_Howe"};

	for (size_t z = 0; z < sizeof(zones) / sizeof(zones[0]); z++) {
		struct when_zone *zone = when_zone_open(zones[z]);
		int twice = 0;

		assert_non_null(zone);
		for (int64_t us = at("2026-01-01T00:00:00Z"); us < at("2028-01-01T00:00:00Z");
		     us += 15 * US_PER_MINUTE) {
			struct when w;
			int64_t back;

			assert_true(when_zone_local(zone, us, &w));
			switch (when_instant(&w, zones[z], &back)) {
			case WHEN_EXACT:
				assert_int_equal(back, us);
				break;
			case WHEN_TWICE:
				assert_true(back == us || (back < us && us - back <= US_PER_HOUR));
				twice++;
				break;
			default:
				fail_msg("%s: a time that exists was not found", zones[z]);
			}
		}
		assert_true(twice >= 8); /* half an hour or an hour, twice, in each of two years */
		when_zone_close(zone);
	}
}

static void assert_written(const char *locale, const char *date, const char *time)
{
	struct buf b;
	struct when w;

	assert_true(when_local(at("2026-12-04T18:05:00Z"), "Europe/Berlin", &w));
	buf_init(&b, 256);
	assert_true(when_date(&w, locale, &b));
	assert_string_equal(b.p, date);
	buf_reset(&b);
	assert_true(when_time(&w, locale, &b));
	assert_string_equal(b.p, time);
	buf_done(&b);
}

static void test_written(void **state)
{
	struct when w;
	struct buf b;

	assert_written("en", "Friday, 4 December 2026", "19:05");
	assert_written("en-GB", "Friday, 4 December 2026", "19:05");
	assert_written("en-US", "Friday, December 4, 2026", "7:05 PM");
	assert_written("en_us.UTF-8", "Friday, December 4, 2026", "7:05 PM");
	assert_written("de", "Freitag, 4. Dezember 2026", "19:05 Uhr");
	assert_written("de-AT", "Freitag, 4. Dezember 2026", "19:05 Uhr");
	assert_written("fr", "vendredi 4 décembre 2026", "19:05");
	assert_written("es-MX", "viernes, 4 de diciembre de 2026", "19:05");
	assert_written("zh-CN", "2026年12月4日 星期五", "19:05");
	assert_written(NULL, "Friday, 4 December 2026", "19:05");
	assert_written("", "Friday, 4 December 2026", "19:05");
	assert_written("den", "Friday, 4 December 2026", "19:05");
	assert_string_equal(words_for("zh-TW")->ticket, "門票");
	assert_string_equal(words_for("zh_HK")->ticket, "門票");
	assert_string_equal(words_for("zh-Hant-SG")->ticket, "門票");
	assert_string_equal(words_for("zh-Hans")->ticket, "门票");
	/* midnight and noon on a clock of twelve hours */
	buf_init(&b, 64);
	w = (struct when){.hour = 0, .minute = 5};
	when_time(&w, "en-US", &b);
	buf_addc(&b, ' ');
	w.hour = 12;
	when_time(&w, "en-US", &b);
	assert_string_equal(b.p, "12:05 AM 12:05 PM");
	buf_done(&b);
}

/* No language lacks a word. */
static void test_words_are_whole(void **state)
{
	size_t n = 0;

	for (const struct words *w; (w = words_at(n)); n++) {
		const char *const all[] = {w->tag,	   w->ticket,	      w->date,	     w->time,
					   w->doors,	   w->venue,	      w->zone,	     w->row,
					   w->seat,	   w->name,	      w->category,   w->price,
					   w->reference,   w->free_of_charge, w->accessible, w->n_of_m,
					   w->at_the_door, w->terms,	      w->code,	     w->issued,
					   w->date_pattern};

		for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
			assert_true(all[i] && *all[i] && str_utf8_valid(str_from(all[i])));
		for (size_t i = 0; i < 7; i++)
			assert_true(w->weekdays[i] && *w->weekdays[i]);
		for (size_t i = 0; i < 12; i++)
			assert_true(w->months[i] && *w->months[i]);
		assert_non_null(w->after_time);
		assert_true(w->decimal == '.' || w->decimal == ',');
		assert_true(strstr(w->n_of_m, "{1}") && strstr(w->n_of_m, "{2}"));
		for (const char *c = "WDMY"; *c; c++)
			assert_non_null(strchr(w->date_pattern, *c));
		assert_ptr_equal(words_for(w->tag), w);
	}
	assert_true(n >= 3);
}

static void test_prices(void **state)
{
	struct buf b;

	buf_init(&b, 256);
	words_price(words_for("en"), (struct money){4500, currency_find(STR("EUR"))}, &b);
	buf_addc(&b, '|');
	words_price(words_for("de"), (struct money){4505, currency_find(STR("EUR"))}, &b);
	buf_addc(&b, '|');
	words_price(words_for("de"), (struct money){0, currency_find(STR("EUR"))}, &b);
	buf_addc(&b, '|');
	words_numbers("{2} of {1} {3}", 12, 7, &b);
	assert_string_equal(b.p, "45.00 EUR|45,05 EUR|Kostenlos|7 of 12 {3}");
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_zones),	cmocka_unit_test(test_local),
		cmocka_unit_test(test_instant), cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_written), cmocka_unit_test(test_words_are_whole),
		cmocka_unit_test(test_prices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
