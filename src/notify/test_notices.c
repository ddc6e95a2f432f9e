/* Which event tells whom what. */
#include "notify/notices.h"

/* cmocka wants these before itself */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const char *kind(const char *type, const char *reason)
{
	const struct notice_rule *r = notice_rule_for(str_from(type), str_from(reason));

	return r && r->kind ? r->kind : "nobody";
}

static void test_kinds(void **state)
{
	assert_string_equal(kind("booking.confirmed", ""), "booking_confirmed");
	assert_string_equal(kind("booking.cancelled", "buyer"), "booking_cancelled");
	assert_string_equal(kind("booking.cancelled", "staff"), "booking_cancelled");
	assert_string_equal(kind("booking.cancelled", "payment_lost"), "booking_cancelled");
	assert_string_equal(kind("booking.seats_cancelled", "buyer"), "booking_cancelled");
	assert_string_equal(kind("payment.failed", ""), "payment_failed");
	assert_string_equal(kind("payment.abandoned", ""), "payment_failed");
	assert_string_equal(kind("refund.succeeded", ""), "refunded");
	assert_string_equal(kind("refund.failed", ""), "refunded");
}

static void test_one_voice(void **state)
{
	/* told by the show's job, with the refund */
	assert_string_equal(kind("booking.cancelled", "show_cancelled"), "nobody");
	assert_string_equal(kind("booking.seats_cancelled", "show_cancelled"), "nobody");
	/* but who was at the bank is not among the job's bookings */
	assert_string_equal(kind("booking.failed", "show_cancelled"), "show_cancelled");
	/* the payment's event tells */
	assert_string_equal(kind("booking.failed", "lock_ended"), "nobody");
	assert_string_equal(kind("payment.capture_failed", ""), "nobody");
	assert_string_equal(kind("payment.captured", ""), "nobody");
	assert_string_equal(kind("ticket.issued", ""), "nobody");
	assert_string_equal(kind("ticket.revoked", ""), "nobody");
	assert_string_equal(kind("seat.locked", ""), "nobody");
	assert_string_equal(kind("", ""), "nobody");
}

static void test_every_row_can_be_reached_and_says_why(void **state)
{
	for (size_t i = 0; i < notice_rules_n; i++) {
		const struct notice_rule *r = &notice_rules[i];

		assert_ptr_equal(notice_rule_for(str_from(r->type), str_from(r->reason ? r->reason : "x")), r);
		assert_int_equal(r->kind == NULL, r->when == NOTICE_NEVER);
		assert_true(r->kind || (r->why && *r->why));
		assert_true(strlen(notice_when_name(r->when)) > 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_one_voice),
		cmocka_unit_test(test_every_row_can_be_reached_and_says_why),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
