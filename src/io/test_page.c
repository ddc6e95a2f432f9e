/* Cursors of lists: their form, there and back, and what is none. */
#include "base/times.h"
#include "io/page.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const int64_t end_us = INT64_C(253402300800) * US_PER_SECOND; /* the year 10000 */
static const struct uuid some = {{0x01, 0x93, 2, 3, 4, 5, 0x76, 7, 0x88, 9, 10, 11, 12, 13, 14, 0xff}};

static bool parse(const char *text, int64_t *ret_us, struct uuid *ret_id)
{
	return page_cursor_parse(str_from(text), ret_us, ret_id);
}

/* Clients keep cursors over an update of the program: the form may not change. */
static void the_form(void **state)
{
	char text[PAGE_CURSOR_TEXT];

	page_cursor_text(INT64_C(0x0102030405060708), &some, text);
	assert_string_equal(text, "CAcGBQQDAgEBkwIDBAV2B4gJCgsMDQ7_");
	assert_int_equal(strlen(text), 32);
}

static void there_and_back(void **state)
{
	const int64_t times[] = {0, 1, INT64_C(1893456000123456), end_us - 1};
	char text[PAGE_CURSOR_TEXT];
	struct uuid id;
	int64_t us;

	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		page_cursor_text(times[i], &some, text);
		assert_true(parse(text, &us, &id));
		assert_int_equal(us, times[i]);
		assert_true(uuid_eq(&id, &some));
	}
}

static void not_ours(void **state)
{
	static const char *const bad[] = {
		"",
		"AAAA",
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",	/* a character less */
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",	/* one more */
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", /* three bytes more */
		"AAAAAAAAAAAAAAAA AAAAAAAAAAAAAAA",
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==",
		"AAAAAAAAAAAAAAAA+AAAAAAAAAAAAAAA",
	};
	const int64_t times[] = {-1, INT64_MIN, end_us, INT64_MAX};
	char text[PAGE_CURSOR_TEXT];
	struct uuid id = some;
	int64_t us = 7;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(parse(bad[i], &us, &id));
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		page_cursor_text(times[i], &some, text);
		assert_false(parse(text, &us, &id));
	}
	assert_int_equal(us, 7); /* untouched: the caller's beginning stands */
	assert_true(uuid_eq(&id, &some));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_form),
		cmocka_unit_test(there_and_back),
		cmocka_unit_test(not_ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
