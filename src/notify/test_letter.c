/*
 * Every kind in every language: its templates are there, ask only for what there is, say the same in text and HTML, and hold the facts.
 * `test_notify_letter KIND LOCALE text|html|subject` prints one, to look at.
 */
#include "notify/letter.h"

#include "base/times.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char evil[] = "Eve <script>\r\nBcc: x@y \"'&";

struct names {
	char all[64][32];
	size_t n;
};

static void note(void *arg, struct str name)
{
	struct names *names = arg;

	for (size_t i = 0; i < names->n; i++)
		if (str_eqc(name, names->all[i]))
			return;
	assert_true(names->n < 64 && name.n < 32);
	snprintf(names->all[names->n++], 32, "%.*s", STR_FMT(name));
}

static bool has(const struct names *names, const char *name)
{
	for (size_t i = 0; i < names->n; i++)
		if (strcmp(names->all[i], name) == 0)
			return true;
	return false;
}

static void same(const struct names *a, const struct names *b, const char *what, int kind, int locale)
{
	for (size_t i = 0; i < a->n; i++)
		/* of a page only: its language */
		if (!has(b, a->all[i]) && strcmp(a->all[i], "language") != 0)
			fail_msg("%s, %s: {{%s}} stands in one %s only", notify_kind_name((enum notify_kind)kind),
				 notify_locale_name((enum notify_locale)locale), a->all[i], what);
}

static void templates(void **state)
{
	static const char *const known[] = {
#define VALUE(name) #name,
#include "notify/letter_values.def"
#undef VALUE
	};
	char error[160];

	for (int k = 0; k < NOTIFY_KINDS; k++) {
		struct names english = {0};

		for (int l = 0; l < NOTIFY_LOCALES; l++) {
			struct names parts[LETTER_PARTS] = {0};

			for (int p = 0; p < LETTER_PARTS; p++) {
				if (!letter_template((enum notify_kind)k, (enum notify_locale)l, (enum letter_part)p).n)
					fail_msg("no template: %s, %s, part %d", notify_kind_name((enum notify_kind)k),
						 notify_locale_name((enum notify_locale)l), p);
				if (!letter_names((enum notify_kind)k, (enum notify_locale)l, (enum letter_part)p, note,
						  &parts[p], error))
					fail_msg("%s, %s: %s", notify_kind_name((enum notify_kind)k),
						 notify_locale_name((enum notify_locale)l), error);
				for (size_t i = 0; i < parts[p].n; i++) {
					bool there = false;

					for (size_t v = 0; v < LETTER_VALUES; v++)
						there |= strcmp(known[v], parts[p].all[i]) == 0;
					if (!there)
						fail_msg("%s: there is no value {{%s}}",
							 notify_kind_name((enum notify_kind)k), parts[p].all[i]);
				}
			}
			same(&parts[LETTER_HTML], &parts[LETTER_TEXT], "of text and HTML", k, l);
			same(&parts[LETTER_TEXT], &parts[LETTER_HTML], "of text and HTML", k, l);
			if (l == NOTIFY_EN)
				english = parts[LETTER_TEXT];
			same(&english, &parts[LETTER_TEXT], "language", k, l);
			same(&parts[LETTER_TEXT], &english, "language", k, l);
		}
	}
}

static struct letter *full(enum notify_kind kind, const char *locale)
{
	const struct currency *eur = currency_find(STR("EUR"));
	struct letter_seat seats[] = {{"Parkett", "3", "12", "Kat <1>", {4500, eur}}, {"", "", "13", "", {0, NULL}}};
	struct letter_facts f = {.name = evil,
				 .event = "Faust & Co",
				 .organizer = "Theater",
				 .venue = "Haus",
				 .address = "Platz 1\nBerlin, DE",
				 .timezone = "Europe/Berlin",
				 .reference = "ABCDE-12345",
				 .link = "https://x.example/booking#show=1&booking=2",
				 .decline_code = "insufficient_funds",
				 .seats = seats,
				 .n_seats = 2,
				 .total = {123450, eur},
				 .refund = {4500, eur},
				 .fee = {250, eur},
				 .declined = true};
	struct letter *l = letter_new(kind, str_from(locale));

	assert_true(time_parse(STR("2026-12-04T18:30:00Z"), &f.starts_at_us));
	assert_true(time_parse(STR("2026-11-27T11:05:00Z"), &f.until_us));
	f.cancel_until_us = f.refund_until_us = f.until_us;
	assert_true(letter_facts(l, &f));
	return l;
}

static void contains(struct str text, const char *what, enum notify_kind k, const char *locale)
{
	if (!memmem(text.p, text.n, what, strlen(what)))
		fail_msg("%s, %s: \"%s\" is missing in: %.*s", notify_kind_name(k), locale, what, STR_FMT(text));
}

static void facts(void **state)
{
	static const struct {
		const char *locale, *date, *time, *until, *total, *seat;
	} rows[] = {
		{"en", "Friday, 4 December 2026", "19:30", "Friday, 27 November 2026, 12:05 (CET)", "1234.50 EUR",
		 "Row 3, Seat 12"},
		{"en-US", "Friday, December 4, 2026", "7:30 PM", "12:05 PM (CET)", "1234.50 EUR", "Row 3, Seat 12"},
		{"fr", "Friday, 4 December 2026", "19:30", "12:05 (CET)", "1234.50 EUR", "Row 3, Seat 12"},
		{"de-AT", "Freitag, 4. Dezember 2026", "19:30 Uhr", "12:05 Uhr (CET)", "1234,50 EUR",
		 "Reihe 3, Platz 12"},
		{"zh-Hans-CN", "2026年12月4日 星期五", "19:30", "12:05（CET）", "1234.50 EUR", "座位 12"},
	};
	char error[160];

	for (int k = 0; k < NOTIFY_KINDS; k++)
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			struct letter *l = full((enum notify_kind)k, rows[i].locale);
			struct names names = {0};

			for (int p = 0; p < LETTER_PARTS; p++) {
				struct buf out;
				struct str text;

				buf_init(&out, 100000);
				names.n = 0;
				if (!letter_render(l, (enum letter_part)p, &out, error))
					fail_msg("%s: %s", notify_kind_name((enum notify_kind)k), error);
				text = buf_str(&out);
				assert_null(memmem(text.p, text.n, "{{", 2));
				assert_true(letter_names((enum notify_kind)k, l->locale, (enum letter_part)p, note,
							 &names, error));
				contains(text, p == LETTER_HTML ? "Faust &amp; Co" : "Faust & Co", (enum notify_kind)k,
					 rows[i].locale);
				if (p != LETTER_SUBJECT) {
					contains(text, rows[i].date, (enum notify_kind)k, rows[i].locale);
					contains(text, rows[i].time, (enum notify_kind)k, rows[i].locale);
					contains(text, rows[i].seat, (enum notify_kind)k, rows[i].locale);
					contains(text, "Europe/Berlin", (enum notify_kind)k, rows[i].locale);
					contains(text, "ABCDE-12345", (enum notify_kind)k, rows[i].locale);
					contains(text, rows[i].total, (enum notify_kind)k, rows[i].locale);
				}
				if (has(&names, "until"))
					contains(text, rows[i].until, (enum notify_kind)k, rows[i].locale);
				if (p == LETTER_HTML) {
					assert_null(memmem(text.p, text.n, "<script", 7));
					contains(text, "Eve &lt;script&gt;", (enum notify_kind)k, rows[i].locale);
					assert_null(memmem(text.p, text.n, "src=", 4)); /* nothing is fetched */
				}
				buf_done(&out);
			}
			letter_free(l);
		}
}

/* Without any fact but the event no sentence stands with a hole in it. */
static void bare(void **state)
{
	char error[160];

	for (int k = 0; k < NOTIFY_KINDS; k++)
		for (int i = 0; i < NOTIFY_LOCALES; i++) {
			struct letter *l =
				letter_new((enum notify_kind)k, str_from(notify_locale_name((enum notify_locale)i)));
			struct letter_facts f = {.event = "E", .timezone = "UTC", .organizer = "O"};
			struct buf out;

			assert_true(letter_facts(l, &f));
			buf_init(&out, 100000);
			assert_true(letter_render(l, LETTER_TEXT, &out, error));
			assert_null(strstr(out.p, "\n\n\n"));
			buf_done(&out);
			letter_free(l);
		}
}

static void unknown_zone(void **state)
{
	struct letter *l = letter_new(NOTIFY_LOOKUP, STR("en"));
	struct letter_facts f = {.event = "E", .timezone = "Europe/Atlantis"};

	assert_false(letter_facts(l, &f));
	letter_free(l);
}

static int show_one(char **argv)
{
	enum letter_part part = strcmp(argv[3], "html") == 0   ? LETTER_HTML
				: strcmp(argv[3], "text") == 0 ? LETTER_TEXT
							       : LETTER_SUBJECT;
	enum notify_kind k;
	struct letter *l;
	struct buf out;
	char error[160];

	if (!notify_kind_parse(str_from(argv[1]), &k))
		return 2;
	l = full(k, argv[2]);
	buf_init(&out, 100000);
	if (letter_render(l, part, &out, error))
		puts(out.p);
	else
		puts(error);
	buf_done(&out);
	letter_free(l);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(templates), cmocka_unit_test(facts), cmocka_unit_test(bare),
					   cmocka_unit_test(unknown_zone)};

	return argc == 4 ? show_one(argv) : cmocka_run_group_tests(tests, NULL, NULL);
}
