#include "payment/gateway_policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define SECOND INT64_C(1000000)

static void test_what_is_repeated(void **state)
{
	static const struct {
		int status;
		bool sent;
		const char *code;
		enum gateway_again again;
	} cases[] = {
		{0, false, "", AGAIN_NOTHING_DONE},
		{0, true, "", AGAIN_NO}, /* it may have been done: that is read, not repeated */
		{429, true, "rate_limit", AGAIN_NOTHING_DONE},
		{429, true, "lock_timeout", AGAIN_NOTHING_DONE},
		{409, true, "idempotency_key_in_use", AGAIN_IN_USE},
		{409, true, "lock_timeout", AGAIN_IN_USE},
		{409, true, "", AGAIN_NO},
		{500, true, "", AGAIN_NO},
		{503, true, "", AGAIN_NO},
		{200, true, "", AGAIN_NO},
		{402, true, "card_declined", AGAIN_NO},
		{400, true, "lock_timeout", AGAIN_NO},
		{401, true, "", AGAIN_NO},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct gateway_outcome o = {.http_status = cases[i].status,
					    .sent = cases[i].sent,
					    .code = cases[i].code,
					    .retry_after_s = -1};

		assert_int_equal(gateway_again(&o), cases[i].again);
		/* the gateway's word that it is no use counts; that it is of use is no licence */
		o.should_retry_said = o.should_retry = true;
		assert_int_equal(gateway_again(&o), cases[i].again);
		o.should_retry = false;
		assert_int_equal(gateway_again(&o), AGAIN_NO);
	}
}

static void test_waits(void **state)
{
	static const uint32_t randoms[] = {0, 1, 1u << 31, UINT32_MAX};
	int64_t least, most, before = 0;

	for (int n = 1; n <= GATEWAY_REPEATS_MAX; n++) {
		for (size_t i = 0; i < 4; i++) {
			int64_t us = gateway_wait_us(n, -1, randoms[i]);

			assert_true(us >= (INT64_C(100000) << (n - 1)) && us <= (INT64_C(200000) << (n - 1)));
			/* what the gateway asks for is the least, and not all come at that very moment */
			assert_int_equal(gateway_wait_us(n, 2, randoms[i]), 2 * SECOND + us);
			assert_int_equal(gateway_wait_us(n, 0, randoms[i]), us);
		}
		least = gateway_wait_us(n, -1, 0);
		most = gateway_wait_us(n, -1, UINT32_MAX);
		assert_true(least < most && least >= before);
		before = most - 1;
	}
	assert_true(gateway_wait_us(1000000, INT64_MAX, UINT32_MAX) > 0);
}

static void test_budget(void **state)
{
	struct gateway_budget b;
	int64_t now = 77 * SECOND;
	int n = 0;

	gateway_budget_init(&b, now);
	while (gateway_budget_take(&b, now))
		n++;
	assert_int_equal(n, BUDGET_FLOOR);
	/* ten that succeed pay for one */
	for (int i = 0; i < 9; i++)
		gateway_budget_earn(&b);
	assert_false(gateway_budget_take(&b, now));
	gateway_budget_earn(&b);
	assert_true(gateway_budget_take(&b, now));
	assert_false(gateway_budget_take(&b, now));
	/* time fills it up to the floor and no further */
	now += SECOND - 1;
	assert_false(gateway_budget_take(&b, now));
	now += 1;
	assert_true(gateway_budget_take(&b, now));
	now += 1000000 * SECOND;
	for (n = 0; gateway_budget_take(&b, now); n++)
		;
	assert_int_equal(n, BUDGET_FLOOR);
	/* success fills it further, to the maximum */
	for (int i = 0; i < 100000; i++)
		gateway_budget_earn(&b);
	for (n = 0; gateway_budget_take(&b, now); n++)
		;
	assert_int_equal(n, BUDGET_MAX);
}

static void fail_times(struct breaker *b, int64_t now, int n)
{
	for (int i = 0; i < n; i++) {
		assert_true(breaker_admit(b, now));
		breaker_tell(b, now, true, 0);
	}
}

static void test_breaker_in_a_row(void **state)
{
	struct breaker b;
	int64_t now = 5 * SECOND, wait_us;

	breaker_init(&b);
	fail_times(&b, now, BREAKER_IN_A_ROW - 1);
	breaker_tell(&b, now, false, 0);
	fail_times(&b, now, BREAKER_IN_A_ROW - 1);
	assert_int_equal(b.state, BREAKER_CLOSED);
	fail_times(&b, now, 1);
	assert_int_equal(b.state, BREAKER_OPEN);
	assert_false(breaker_admit(&b, now));
	assert_false(breaker_would_admit(&b, now, &wait_us));
	assert_true(wait_us >= BREAKER_OPEN_US / 2 && wait_us <= BREAKER_OPEN_US);
	/* a straggler's success does not close it, its failure does not lengthen it */
	breaker_tell(&b, now, false, 0);
	breaker_tell(&b, now, true, UINT32_MAX);
	assert_int_equal(b.state, BREAKER_OPEN);
	assert_false(breaker_admit(&b, now + wait_us - 1));
	/* one probe, and nobody beside it */
	now += wait_us;
	assert_true(breaker_would_admit(&b, now, &wait_us));
	assert_int_equal(b.state, BREAKER_OPEN);
	assert_true(breaker_admit(&b, now));
	assert_int_equal(b.state, BREAKER_HALF_OPEN);
	assert_false(breaker_admit(&b, now));
	assert_false(breaker_would_admit(&b, now, &wait_us));
	assert_true(wait_us > 0);
	breaker_tell(&b, now, false, 0);
	assert_int_equal(b.state, BREAKER_CLOSED);
	/* as new */
	fail_times(&b, now, BREAKER_IN_A_ROW - 1);
	assert_int_equal(b.state, BREAKER_CLOSED);
}

static void test_breaker_stays_open_longer(void **state)
{
	struct breaker b;
	int64_t now = 0, wait_us, before = 0;

	breaker_init(&b);
	fail_times(&b, now, BREAKER_IN_A_ROW);
	for (int i = 0; i < 10; i++) {
		assert_false(breaker_would_admit(&b, now, &wait_us));
		assert_true(wait_us >= before && wait_us <= BREAKER_OPEN_MAX_US);
		before = wait_us;
		now += wait_us;
		assert_true(breaker_admit(&b, now));
		breaker_tell(&b, now, true, UINT32_MAX);
		assert_int_equal(b.state, BREAKER_OPEN);
	}
	assert_true(before > BREAKER_OPEN_MAX_US - 2);
	/* a probe of which nothing is heard does not block for ever */
	now += wait_us + BREAKER_OPEN_MAX_US;
	assert_true(breaker_admit(&b, now));
	assert_false(breaker_admit(&b, now + BREAKER_PROBE_US - 1));
	assert_true(breaker_admit(&b, now + BREAKER_PROBE_US));
}

static void test_breaker_ratio(void **state)
{
	struct breaker b;
	int i;

	breaker_init(&b);
	/* every third fails: that is no reason */
	for (i = 0; i < 300; i++)
		breaker_tell(&b, 0, i % 3 == 0, 0);
	assert_int_equal(b.state, BREAKER_CLOSED);
	breaker_init(&b);
	for (i = 0; b.state == BREAKER_CLOSED && i < 300; i++)
		breaker_tell(&b, 0, i % 2 == 0, 0);
	assert_int_equal(i, BREAKER_WINDOW);
	assert_int_equal(b.state, BREAKER_OPEN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_repeated),
		cmocka_unit_test(test_waits),
		cmocka_unit_test(test_budget),
		cmocka_unit_test(test_breaker_in_a_row),
		cmocka_unit_test(test_breaker_stays_open_longer),
		cmocka_unit_test(test_breaker_ratio),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
