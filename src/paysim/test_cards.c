/* The table of cards: what is written in it, as a whole; and that a number's fingerprint never changes. */
#include "paysim/rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
/* after the above */
#include <cmocka.h>

static bool luhn(const char *number)
{
	int sum = 0;
	size_t n = strlen(number);

	for (size_t i = 0; i < n; i++) {
		int d = number[n - 1 - i] - '0';

		if (i % 2)
			d = 2 * d > 9 ? 2 * d - 9 : 2 * d;
		sum += d;
	}
	return sum % 10 == 0;
}

static void test_table(void **state)
{
	for (size_t i = 0; i < card_count(); i++) {
		const struct card *c = card_at(i);
		struct refusal r = {0};

		if (!str_starts(c->name, STR("pm_card_")) || card_find(c->name) != c)
			fail_msg("%s: not found by its name, or another one is", c->name.p);
		if (luhn(c->number) == (c->code && strcmp(c->code, "incorrect_number") == 0))
			fail_msg("%s: its number's last digit is wrong", c->name.p);
		if (!c->brand || strlen(c->country) != 2 || !c->funding)
			fail_msg("%s: brand, country or kind is missing", c->name.p);
		/* what declines says why; only what declines after 3-D Secure has words besides */
		if ((c->outcome == CARD_DECLINES && !c->code) || (c->outcome == CARD_APPROVES && c->code))
			fail_msg("%s: outcome and words do not fit", c->name.p);
		if ((c->after == CARD_DISPUTES || c->after == CARD_DISPUTES_TWICE) != (c->dispute_reason != NULL))
			fail_msg("%s: a dispute has a reason", c->name.p);
		if (!c->code)
			continue;
		card_refuse(c, &r);
		assert_int_equal(r.status, 402);
		assert_string_equal(r.type, "card_error");
		assert_string_equal(r.code, c->code);
		assert_string_equal(r.decline_code, c->decline_code);
		assert_true(r.message[0] && r.with_intent);
	}
}

/* One number has one fingerprint under all its names; two numbers have two. */
static void test_fingerprints(void **state)
{
	for (size_t i = 0; i < card_count(); i++)
		for (size_t k = i; k < card_count(); k++) {
			const struct card *a = card_at(i), *b = card_at(k);
			char fa[CARD_FINGERPRINT_TEXT], fb[CARD_FINGERPRINT_TEXT];

			card_fingerprint(a, fa);
			card_fingerprint(b, fb);
			if ((strcmp(a->number, b->number) == 0) != (strcmp(fa, fb) == 0))
				fail_msg("%s and %s: %s and %s", a->name.p, b->name.p, fa, fb);
		}
}

/* Buyers' cards are remembered by it: a later version must not make another one. */
static void test_fingerprint_stays(void **state)
{
	char text[CARD_FINGERPRINT_TEXT];

	card_fingerprint(card_find(STR("pm_card_visa")), text);
	assert_string_equal(text, "z67HGrA7FsTrUWUm");
}

static void test_names(void **state)
{
	assert_null(card_find(STR("pm_card_")));
	assert_null(card_find(STR("PM_CARD_VISA")));
	assert_null(card_find(STR("")));
	assert_string_equal(card_last4(card_find(STR("pm_card_us"))), "4242");
	assert_true(card_find(STR("pm_card_captureFails"))->capture_fails);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_fingerprints),
		cmocka_unit_test(test_fingerprint_stays),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
