/* So many at once, one more after so long, in all processes together; memory stays what it is. */
#include "io/rate_limit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const struct limit_rule rules[LIMIT_COUNT] = {
	[LIMIT_SESSIONS] = {3, 1000}, [LIMIT_HOLDS_SESSION] = {1000, 60000}};
static const uint8_t key[16] = "sixteen bytes..";

static int64_t take(struct limits *l, const char *who, int64_t now_ms)
{
	return limits_take(l, LIMIT_SESSIONS, who, strlen(who), now_ms);
}

static void a_bucket(void **state)
{
	struct limits *l = limits_new(rules, 16, key);

	for (int i = 0; i < 3; i++)
		assert_int_equal(take(l, "ann", 5000), 0);
	assert_int_equal(take(l, "ann", 5000), 1000);
	assert_int_equal(limits_look(l, LIMIT_SESSIONS, "ann", 3, 5400), 600);
	assert_int_equal(take(l, "bob", 5400), 0); /* others have buckets of their own */
	assert_int_equal(take(l, "ann", 6000), 0); /* one came back */
	assert_int_equal(take(l, "ann", 6000), 1000);
	for (int i = 0; i < 3; i++)
		assert_int_equal(take(l, "ann", 60000), 0); /* never more than the burst */
	assert_int_equal(take(l, "ann", 60000), 1000);
	/* no rule, no limit; no table, none either */
	for (int i = 0; i < 100; i++)
		assert_int_equal(limits_take(l, LIMIT_HOLDS_NETWORK, "ann", 3, 5000), 0);
	assert_int_equal(limits_take(NULL, LIMIT_SESSIONS, "ann", 3, 0), 0);
	limits_free(l);
}

static void looking_takes_nothing(void **state)
{
	struct limits *l = limits_new(rules, 16, key);

	for (int i = 0; i < 10; i++)
		assert_int_equal(limits_look(l, LIMIT_SESSIONS, "ann", 3, 5000), 0);
	/* what is done is counted above the limit, too, but nobody gets into debt */
	for (int i = 0; i < 10; i++)
		limits_charge(l, LIMIT_SESSIONS, "ann", 3, 5000);
	assert_int_equal(limits_look(l, LIMIT_SESSIONS, "ann", 3, 5000), 1000);
	limits_free(l);
}

static void many_keys(void **state)
{
	struct limits *l = limits_new(rules, 2, key); /* room for 16 */

	for (int i = 0; i < 3; i++)
		take(l, "ann", 5000);
	/* passers-by are forgotten before her who has used all of hers */
	for (int i = 0; i < 10000; i++)
		assert_int_equal(limits_take(l, LIMIT_SESSIONS, &i, sizeof(i), 5000), 0);
	assert_int_equal(take(l, "ann", 5000), 1000);
	limits_free(l);
}

static void processes_count_together(void **state)
{
	enum { PROCESSES = 4, EACH = 400 };
	struct limits *l = limits_new(rules, 16, key);
	int allowed = 0, status;

	for (int p = 0; p < PROCESSES; p++)
		if (fork() == 0) {
			int n = 0;

			for (int i = 0; i < EACH; i++)
				n += limits_take(l, LIMIT_HOLDS_SESSION, "ann", 3, 5000) == 0;
			_exit(n == EACH ? 0 : 1);
		}
	for (int p = 0; p < PROCESSES; p++) {
		wait(&status);
		allowed += WIFEXITED(status) && WEXITSTATUS(status) == 0;
	}
	/* 1,600 asked, 1,000 may: not everybody got all */
	assert_true(allowed < PROCESSES);
	assert_true(limits_look(l, LIMIT_HOLDS_SESSION, "ann", 3, 5000) > 0);
	limits_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_bucket),
		cmocka_unit_test(looking_takes_nothing),
		cmocka_unit_test(many_keys),
		cmocka_unit_test(processes_count_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
