/* What is read back differs from what was recorded by less than a thousandth, at every magnitude. */
#include "hist.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_empty(void **state)
{
	struct hist h;

	hist_init(&h);
	assert_int_equal(hist_percentile(&h, 0.5), 0);
	assert_int_equal(hist_percentile(&h, 1), 0);
	assert_true(hist_mean(&h) == 0);
	hist_done(&h);
}

static void test_small_values_are_exact(void **state)
{
	struct hist h;

	hist_init(&h);
	for (int64_t us = 1; us <= 1000; us++)
		hist_record(&h, us);
	assert_int_equal(hist_percentile(&h, 0), 1);
	assert_int_equal(hist_percentile(&h, 0.5), 500);
	assert_int_equal(hist_percentile(&h, 0.9), 900);
	assert_int_equal(hist_percentile(&h, 0.99), 990);
	assert_int_equal(hist_percentile(&h, 0.999), 999);
	assert_int_equal(hist_percentile(&h, 1), 1000);
	assert_int_equal(h.max, 1000);
	assert_true(hist_mean(&h) == 500.5);
	hist_done(&h);
}

static void test_three_digits_at_any_magnitude(void **state)
{
	struct hist h;

	hist_init(&h);
	for (uint64_t value = 1; value >> HIST_TOP_BITS == 0; value += value / 7 + 1) {
		uint64_t read;

		hist_reset(&h);
		hist_record(&h, (int64_t)value);
		hist_record(&h, INT64_C(1) << HIST_TOP_BITS); /* so that the maximum does not correct it */
		read = hist_percentile(&h, 0.5);
		assert_true(read >= value);
		assert_true((double)(read - value) < (double)value / 1000 + 1e-9);
	}
	hist_done(&h);
}

/* Neighbours of every power of two go to buckets in order. */
static void test_order_at_the_edges(void **state)
{
	struct hist a;

	hist_init(&a);
	for (int bits = 1; bits < HIST_TOP_BITS; bits++) {
		int64_t edge = INT64_C(1) << bits;

		hist_reset(&a);
		hist_record(&a, edge - 1);
		hist_record(&a, edge);
		hist_record(&a, 2 * edge);
		assert_int_equal(hist_percentile(&a, 0.33), edge - 1);
		assert_true(hist_percentile(&a, 0.66) >= (uint64_t)edge);
		assert_int_equal(hist_percentile(&a, 1), 2 * edge);
	}
	hist_done(&a);
}

static void test_out_of_range(void **state)
{
	struct hist h;

	hist_init(&h);
	hist_record(&h, -5);
	assert_int_equal(hist_percentile(&h, 1), 0);
	hist_record(&h, INT64_C(1) << 40);
	assert_int_equal(hist_percentile(&h, 0.5), 0);
	assert_int_equal(hist_percentile(&h, 1), INT64_C(1) << 40);
	assert_int_equal(h.n, 2);
	hist_done(&h);
}

static void test_merge_and_copy(void **state)
{
	struct hist a, b, both;

	hist_init(&a);
	hist_init(&b);
	hist_init(&both);
	for (int64_t us = 0; us < 100000; us += 17) {
		hist_record(us % 2 ? &a : &b, us * us);
		hist_record(&both, us * us);
	}
	hist_merge(&a, &b);
	assert_int_equal(a.n, both.n);
	assert_int_equal(a.sum, both.sum);
	for (int i = 0; i <= 1000; i++)
		assert_int_equal(hist_percentile(&a, i / 1000.0), hist_percentile(&both, i / 1000.0));
	hist_record(&b, 1);
	hist_copy(&b, &both);
	assert_int_equal(b.n, both.n);
	assert_int_equal(b.max, both.max);
	assert_int_equal(hist_percentile(&b, 0.25), hist_percentile(&both, 0.25));
	hist_done(&a);
	hist_done(&b);
	hist_done(&both);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_small_values_are_exact),
		cmocka_unit_test(test_three_digits_at_any_magnitude),
		cmocka_unit_test(test_order_at_the_edges),
		cmocka_unit_test(test_out_of_range),
		cmocka_unit_test(test_merge_and_copy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
