/* The buffer holds what was added up to its maximum, and remembers that it was passed. */
#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void adding(void **state)
{
	struct buf b;
	size_t n;
	char *p;

	buf_init(&b, 1000);
	assert_int_equal(buf_str(&b).n, 0);
	assert_string_equal(buf_str(&b).p, "");
	assert_true(buf_add(&b, NULL, 0));
	assert_true(buf_adds(&b, "ab"));
	assert_true(buf_addstr(&b, (struct str){"cdef", 2}));
	assert_true(buf_addc(&b, '-'));
	assert_true(buf_addf(&b, "%s%d", "x", 12));
	assert_true(buf_add(&b, "\0y", 2));
	assert_int_equal(b.n, 10);
	assert_memory_equal(b.p, "abcd-x12\0y", 11);
	p = buf_take(&b, &n);
	assert_int_equal(n, 10);
	assert_memory_equal(p, "abcd-x12\0y", 11);
	free(p);
	assert_int_equal(buf_str(&b).n, 0);
	p = buf_take(&b, NULL);
	assert_string_equal(p, "");
	free(p);
	assert_true(buf_adds(&b, "again"));
	buf_done(&b);
	buf_done(&b);
}

static void integers(void **state)
{
	static const struct {
		int64_t v;
		const char *text;
	} cases[] = {{0, "0"},
		     {9, "9"},
		     {10, "10"},
		     {-1, "-1"},
		     {-10, "-10"},
		     {INT64_MAX, "9223372036854775807"},
		     {INT64_MIN, "-9223372036854775808"},
		     {1000000007, "1000000007"}};
	struct buf b;

	buf_init(&b, 100);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		buf_reset(&b);
		assert_true(buf_addi(&b, cases[i].v));
		assert_string_equal(b.p, cases[i].text);
	}
	buf_done(&b);
}

/* Exactly the maximum fits, one byte more does not, whatever the way there. */
static void the_maximum(void **state)
{
	for (size_t max = 0; max < 600; max += 1 + max / 7) {
		struct buf b;

		buf_init(&b, max);
		for (size_t i = 0; i < max; i++)
			assert_true(buf_addc(&b, (char)('a' + i % 26)));
		assert_true(buf_add(&b, "", 0));
		assert_false(b.failed);
		assert_false(buf_addc(&b, '!'));
		assert_true(b.failed);
		assert_int_equal(b.n, max);
		/* stays failed, also for what would fit */
		assert_false(buf_add(&b, "", 0));
		assert_null(buf_room(&b, 0));
		if (max) {
			assert_int_equal(b.p[max - 1], 'a' + (max - 1) % 26);
			assert_int_equal(b.p[max], '\0');
			assert_true(b.cap <= max + 1);
		}
		buf_reset(&b);
		assert_false(b.failed);
		assert_int_equal(b.n, 0);
		assert_int_equal(buf_addf(&b, "%*s", (int)max, ""), true);
		assert_false(buf_addf(&b, "%d", 1));
		buf_done(&b);
	}
}

static void absurd_sizes(void **state)
{
	struct buf b;

	buf_init(&b, 100);
	assert_true(buf_adds(&b, "abc"));
	assert_null(buf_room(&b, SIZE_MAX));
	assert_true(b.failed);
	buf_reset(&b);
	assert_true(buf_adds(&b, "abc"));
	assert_null(buf_room(&b, SIZE_MAX - 2));
	buf_reset(&b);
	assert_null(buf_room(&b, 101));
	buf_done(&b);
}

static void room_and_eating(void **state)
{
	struct buf b;
	char *p;

	buf_init(&b, 1000);
	p = buf_room(&b, 300);
	assert_non_null(p);
	memset(p, 'r', 300);
	b.n += 300;
	assert_true(buf_adds(&b, "tail"));
	assert_int_equal(b.n, 304);
	buf_eat(&b, 299);
	assert_string_equal(b.p, "rtail");
	buf_eat(&b, 0);
	assert_string_equal(b.p, "rtail");
	buf_eat(&b, 5);
	assert_int_equal(b.n, 0);
	assert_string_equal(b.p, "");
	buf_adds(&b, "x");
	buf_eat(&b, 100);
	assert_int_equal(b.n, 0);
	buf_done(&b);
	buf_init(&b, 10);
	buf_eat(&b, 1);
	assert_int_equal(b.n, 0);
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(adding),	cmocka_unit_test(integers),	   cmocka_unit_test(the_maximum),
		cmocka_unit_test(absurd_sizes), cmocka_unit_test(room_and_eating),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
