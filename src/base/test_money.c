/* Rounding half up, parts that add up, overflow that is told. */
#include "base/money.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void currencies(void **state)
{
	static const char *const bad[] = {"", "EU", "EURO", "eur", "XXX", "EU\0", " EUR"};
	static const struct {
		const char *code;
		int exponent;
	} known[] = {{"EUR", 2}, {"USD", 2}, {"JPY", 0}, {"KRW", 0}, {"KWD", 3}, {"TND", 3}, {"GBP", 2}, {"AED", 2}};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_null(currency_find(str_from(bad[i])));
	assert_null(currency_find(STR("EUR\0")));
	assert_null(currency_find(STR_NULL));
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		const struct currency *c = currency_find(str_from(known[i].code));

		assert_non_null(c);
		assert_string_equal(c->code, known[i].code);
		assert_int_equal(c->exponent, known[i].exponent);
		assert_true(c->step_minor >= 1 && c->minimum_minor > 0);
		/* what can be charged at least can be charged at all */
		assert_int_equal(c->minimum_minor % c->step_minor, 0);
		assert_true(c->minimum_minor < MONEY_MAX_MINOR);
	}
}

static void checked_sums(void **state)
{
	int64_t v;

	assert_true(money_add(INT64_MAX - 1, 1, &v) && v == INT64_MAX);
	assert_false(money_add(INT64_MAX, 1, &v));
	assert_false(money_add(INT64_MIN, -1, &v));
	assert_true(money_add(5, -7, &v) && v == -2);
	assert_true(money_times(4500, 3, &v) && v == 13500);
	assert_false(money_times(INT64_MAX / 2 + 1, 2, &v));
	assert_true(money_times(INT64_MAX, 1, &v) && v == INT64_MAX);
	assert_false(money_times(INT64_MIN, -1, &v));
}

static void shares_round_half_up(void **state)
{
	static const struct {
		int64_t amount, num, den, want;
	} cases[] = {
		{0, 5, 100, 0},
		{10, 5, 100, 1},
		{9, 5, 100, 0},
		{30, 5, 100, 2},
		{29, 5, 100, 1},
		{1, 1, 3, 0},
		{2, 1, 3, 1},
		{1, 1, 2, 1},
		{3, 1, 2, 2},
		{4500, 75, 1000, 338},
		{100, 0, 7, 0},
		{7, 7, 7, 7},
		{INT64_MAX, 1, 1, INT64_MAX},
		{INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX},
		{INT64_MAX, 1, 2, INT64_C(1) << 62},
	};
	int64_t v;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_true(money_share(cases[i].amount, cases[i].num, cases[i].den, &v));
		assert_int_equal(v, cases[i].want);
	}
	v = 42;
	assert_false(money_share(-1, 1, 1, &v));
	assert_false(money_share(1, -1, 1, &v));
	assert_false(money_share(1, 1, 0, &v));
	assert_false(money_share(1, 1, -1, &v));
	assert_false(money_share(-1, -1, 1, &v));
	assert_false(money_share(INT64_MAX, 2, 1, &v));
	assert_false(money_share(INT64_MAX, INT64_MAX, 1, &v));
	assert_int_equal(v, 42);
}

static void parts_add_up(void **state)
{
	static const int64_t totals[] = {0, 1, 2, 99, 100, 101, 4501, 99999999, INT64_MAX};
	static const int64_t weights[][5] = {
		{1, 1, 1, 1, 1},
		{0, 0, 0, 0, 0},
		{4500, 4500, 3000, 0, 1},
		{0, 0, 0, 0, 7},
		{INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX},
	};

	for (size_t t = 0; t < sizeof(totals) / sizeof(totals[0]); t++)
		for (size_t w = 0; w < sizeof(weights) / sizeof(weights[0]); w++)
			for (size_t n = 1; n <= 5; n++) {
				int64_t parts[5], sum = 0;

				assert_true(money_split(totals[t], weights[w], n, parts));
				for (size_t i = 0; i < n; i++) {
					assert_true(parts[i] >= 0);
					sum += parts[i];
					/* without weight no share, unless all are or it is the first, who has the rest */
					if (i && weights[w][i] == 0 && w != 1 && (w != 3 || n == 5))
						assert_int_equal(parts[i], 0);
					if (i && weights[w][i] == weights[w][1])
						assert_int_equal(parts[i], parts[1]);
				}
				assert_int_equal(sum, totals[t]);
			}
}

static void parts_known(void **state)
{
	static const int64_t weight[] = {4500, 4500, 3000}, none[] = {0, 0, 0}, negative[] = {1, -1, 1};
	int64_t parts[3];

	assert_true(money_split(100, weight, 3, parts));
	assert_int_equal(parts[0], 38);
	assert_int_equal(parts[1], 37);
	assert_int_equal(parts[2], 25);
	assert_true(money_split(101, none, 3, parts));
	assert_int_equal(parts[0], 35);
	assert_int_equal(parts[1], 33);
	assert_int_equal(parts[2], 33);
	assert_false(money_split(100, weight, 0, parts));
	assert_false(money_split(-1, weight, 3, parts));
	assert_false(money_split(100, negative, 3, parts));
}

static void formatting(void **state)
{
	static const struct {
		const char *code;
		int64_t amount;
		const char *text;
	} cases[] = {
		{"EUR", 4500, "45.00 EUR"},
		{"EUR", 5, "0.05 EUR"},
		{"EUR", 0, "0.00 EUR"},
		{"EUR", -150, "-1.50 EUR"},
		{"EUR", -5, "-0.05 EUR"},
		{"JPY", 4500, "4500 JPY"},
		{"JPY", -1, "-1 JPY"},
		{"KWD", 1010, "1.010 KWD"},
		{"EUR", INT64_MAX, "92233720368547758.07 EUR"},
		{"EUR", INT64_MIN, "-92233720368547758.08 EUR"},
		{"JPY", INT64_MIN, "-9223372036854775808 JPY"},
	};
	char out[MONEY_TEXT_MAX];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct money m = {cases[i].amount, currency_find(str_from(cases[i].code))};

		assert_int_equal(money_format(m, out), strlen(cases[i].text));
		assert_string_equal(out, cases[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(currencies),	cmocka_unit_test(checked_sums), cmocka_unit_test(shares_round_half_up),
		cmocka_unit_test(parts_add_up), cmocka_unit_test(parts_known),	cmocka_unit_test(formatting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
