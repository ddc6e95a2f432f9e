/* What a watcher of a lock is told, and when. */
#include "seat/lock_news.h"

/* cmocka wants these before itself */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define SECOND INT64_C(1000000)
#define END (1000 * SECOND)

/* "l", "e", "x" for lock, ending, ended, in the order of their telling. */
static const char *told(struct lock_news *n, enum lock_state state, int64_t now_us)
{
	static char text[4];
	size_t at = 0;

	lock_news_read(n, state, END, now_us);
	if (n->lock)
		text[at++] = 'l';
	if (n->ending)
		text[at++] = 'e';
	if (n->ended)
		text[at++] = 'x';
	text[at] = '\0';
	return text;
}

static void test_a_life(void **state)
{
	struct lock_news n = {0};

	assert_string_equal(told(&n, LOCK_ACTIVE, END - 300 * SECOND), "l");
	assert_int_equal(n.next_us, END - 60 * SECOND);
	assert_string_equal(told(&n, LOCK_ACTIVE, END - 61 * SECOND), "");
	assert_string_equal(told(&n, LOCK_ACTIVE, END - 60 * SECOND), "e");
	assert_int_equal(n.next_us, END + LOCK_OVER_US);
	assert_string_equal(told(&n, LOCK_ACTIVE, END - 1), "");
	/* nobody has swept it yet, and a payment that began in time may still come */
	assert_string_equal(told(&n, LOCK_ACTIVE, END), "");
	assert_string_equal(told(&n, LOCK_ACTIVE, END + LOCK_OVER_US), "x");
	assert_int_equal(n.state, LOCK_EXPIRED);
	assert_string_equal(told(&n, LOCK_EXPIRED, END + 2 * LOCK_OVER_US), "");
	assert_int_equal(n.next_us, INT64_MAX);
}

static void test_less_than_a_minute_is_left(void **state)
{
	struct lock_news n = {0};

	assert_string_equal(told(&n, LOCK_ACTIVE, END - 5 * SECOND), "le");
	assert_string_equal(told(&n, LOCK_EXPIRED, END), "x");
}

static void test_no_clock_runs_while_it_is_paid(void **state)
{
	struct lock_news n = {0};

	assert_string_equal(told(&n, LOCK_PAYING, END - 5 * SECOND), "l");
	assert_int_equal(n.next_us, INT64_MAX);
	assert_string_equal(told(&n, LOCK_PAYING, END + 300 * SECOND), "");
	assert_string_equal(told(&n, LOCK_BOOKED, END + 301 * SECOND), "x");
	assert_int_equal(n.state, LOCK_BOOKED);
}

static void test_a_decline_gives_the_clock_back(void **state)
{
	struct lock_news n = {0};

	assert_string_equal(told(&n, LOCK_ACTIVE, END - 100 * SECOND), "l");
	assert_string_equal(told(&n, LOCK_PAYING, END - 90 * SECOND), "l");
	assert_string_equal(told(&n, LOCK_ACTIVE, END - 30 * SECOND), "le");
	/* and again: the last minute is told once */
	assert_string_equal(told(&n, LOCK_PAYING, END - 20 * SECOND), "l");
	assert_string_equal(told(&n, LOCK_ACTIVE, END - 10 * SECOND), "l");
}

static void test_who_comes_again(void **state)
{
	struct lock_news ending = {.had = NEWS_ENDING}, ended = {.had = NEWS_ENDED};

	/* how it stands now is told in any case */
	assert_string_equal(told(&ending, LOCK_PAYING, END - 5 * SECOND), "l");
	ending = (struct lock_news){.had = NEWS_ENDING, .state = LOCK_STATES};
	assert_string_equal(told(&ending, LOCK_ACTIVE, END - 5 * SECOND), "l");
	assert_string_equal(told(&ended, LOCK_RELEASED, END), "");
}

static void test_every_end(void **state)
{
	static const enum lock_state ends[] = {LOCK_RELEASED, LOCK_EXPIRED, LOCK_BOOKED, LOCK_ABANDONED};

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		struct lock_news n = {.had = NEWS_LOCK};

		assert_string_equal(told(&n, ends[i], END - 200 * SECOND), "x");
		assert_int_equal(n.state, ends[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_life),
		cmocka_unit_test(test_less_than_a_minute_is_left),
		cmocka_unit_test(test_no_clock_runs_while_it_is_paid),
		cmocka_unit_test(test_a_decline_gives_the_clock_back),
		cmocka_unit_test(test_who_comes_again),
		cmocka_unit_test(test_every_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
