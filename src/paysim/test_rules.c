/* Every state with every event and every request, and the sums at their edges. */
#include "paysim/rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
/* after the above */
#include <cmocka.h>

/* The machine as the gateway documents it, written down a second time: from (row), event (column), "." none. */
static const char *const drawn[INTENT_STATUSES] = {
	/*				   method authd paid declined challenged ch.failed captured canceled expired */
	[INTENT_REQUIRES_PAYMENT_METHOD] = "C K S M A . . X .",
	[INTENT_REQUIRES_CONFIRMATION] = ". K S M A . . X .",
	[INTENT_REQUIRES_ACTION] = ". K S M A M . X .",
	[INTENT_PROCESSING] = ". K S M . . . X .",
	[INTENT_REQUIRES_CAPTURE] = ". . . . . . S X X",
	[INTENT_CANCELED] = ". . . . . . . . .",
	[INTENT_SUCCEEDED] = ". . . . . . . . .",
};

static char letter(enum intent_status s)
{
	static const char letters[INTENT_STATUSES] = {'M', 'C', 'A', 'P', 'K', 'X', 'S'};

	return letters[s];
}

static void test_arrows(void **state)
{
	for (int s = 0; s < INTENT_STATUSES; s++)
		for (int e = 0; e < INTENT_EVENTS; e++) {
			enum intent_status to;
			bool there = intent_arrow((enum intent_status)s, (enum intent_event)e, &to);
			char got = there ? letter(to) : '.';

			if (got != drawn[s][2 * e])
				fail_msg("%s, event %d: %c, wanted %c", intent_status_name((enum intent_status)s), e,
					 got, drawn[s][2 * e]);
		}
}

static void test_allows(void **state)
{
	static const char *const allowed[INTENT_OPS] = {
		[OP_CONFIRM] = "MCA", [OP_CAPTURE] = "K", [OP_CANCEL] = "MCAPK", [OP_REFUND] = "S"};

	for (int op = 0; op < INTENT_OPS; op++)
		for (int s = 0; s < INTENT_STATUSES; s++) {
			struct intent_state st = {.status = (enum intent_status)s};
			struct refusal r = {0};
			bool want = strchr(allowed[op], letter((enum intent_status)s)) != NULL;

			assert_int_equal(rules_allows(&st, (enum intent_op)op, &r), want);
			if (want) {
				assert_null(r.type);
				continue;
			}
			assert_int_equal(r.status, 400);
			assert_string_equal(r.code, "payment_intent_unexpected_state");
			assert_true(r.with_intent);
		}
}

static void test_names(void **state)
{
	for (int s = 0; s < INTENT_STATUSES; s++) {
		enum intent_status back;

		assert_true(intent_status_parse(str_from(intent_status_name((enum intent_status)s)), &back));
		assert_int_equal(back, s);
	}
	assert_false(intent_status_parse(STR("Succeeded"), &(enum intent_status){0}));
}

static struct intent_state fresh(int64_t amount, bool manual)
{
	return (struct intent_state){
		.status = INTENT_REQUIRES_CONFIRMATION,
		.manual_capture = manual,
		.amount = amount,
		.currency = currency_find(STR("EUR")),
	};
}

static void test_sums(void **state)
{
	struct intent_state s = fresh(4500, true);
	struct refusal r = {0};
	int64_t amount;

	assert_int_equal(intent_attempt(&s, card_find(STR("pm_card_visa")), false, false), EV_AUTHORISED);
	intent_move(&s, EV_AUTHORISED, 0);
	assert_int_equal(s.amount_capturable, 4500);
	assert_int_equal(s.amount_received, 0);
	assert_true(rules_capture_amount(&s, -1, &amount, &r));
	assert_int_equal(amount, 4500);
	assert_true(rules_capture_amount(&s, 4500, &amount, &r));
	assert_true(rules_capture_amount(&s, 1, &amount, &r));
	assert_false(rules_capture_amount(&s, 4501, &amount, &r));
	assert_string_equal(r.code, "amount_too_large");
	r = (struct refusal){0};
	assert_false(rules_capture_amount(&s, 0, &amount, &r));

	intent_move(&s, EV_CAPTURED, 3000);
	assert_int_equal(s.amount_received, 3000);
	assert_int_equal(s.amount_capturable, 0);
	r = (struct refusal){0};
	assert_true(rules_refund_amount(&s, "ch_1", -1, &amount, &r));
	assert_int_equal(amount, 3000);
	s.amount_refunded = 2999;
	assert_true(rules_refund_amount(&s, "ch_1", -1, &amount, &r));
	assert_int_equal(amount, 1);
	assert_false(rules_refund_amount(&s, "ch_1", 2, &amount, &r));
	assert_string_equal(r.code, "amount_too_large");
	s.amount_refunded = 3000;
	r = (struct refusal){0};
	assert_false(rules_refund_amount(&s, "ch_1", 1, &amount, &r));
	assert_string_equal(r.code, "charge_already_refunded");

	s = fresh(4500, false);
	assert_int_equal(intent_attempt(&s, card_find(STR("pm_card_visa")), false, false), EV_PAID);
	intent_move(&s, EV_PAID, 0);
	assert_int_equal(s.amount_received, 4500);

	s = fresh(4500, true);
	intent_move(&s, EV_AUTHORISED, 0);
	intent_move(&s, EV_EXPIRED, 0);
	assert_int_equal(s.amount_capturable, 0);
	assert_int_equal(s.amount_received, 0);
}

static void test_amounts(void **state)
{
	static const struct {
		const char *currency;
		int64_t amount;
		const char *code; /* NULL: fine */
	} cases[] = {
		{"EUR", 50, NULL},
		{"EUR", 49, "amount_too_small"},
		{"EUR", 0, "parameter_invalid_integer"},
		{"EUR", -5, "parameter_invalid_integer"},
		{"EUR", 99999999, NULL},
		{"EUR", 100000000, "amount_too_large"},
		{"JPY", 50, NULL},
		{"JPY", 49, "amount_too_small"},
		{"KRW", 999, "amount_too_small"},
		{"KWD", 2000, NULL},
		{"KWD", 2001, "parameter_invalid_integer"},
		{"HUF", 17550, "parameter_invalid_integer"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct refusal r = {0};
		bool ok = rules_amount(cases[i].amount, currency_find(str_from(cases[i].currency)), &r);

		assert_int_equal(ok, cases[i].code == NULL);
		if (!ok) {
			assert_string_equal(r.code, cases[i].code);
			assert_string_equal(r.param, "amount");
		}
	}
}

static void test_attempts(void **state)
{
	struct intent_state s = fresh(100, true);
	const struct card *c = card_find(STR("pm_card_chargeDeclinedInsufficientFunds"));

	assert_int_equal(intent_attempt(&s, c, false, false), EV_DECLINED);
	assert_int_equal(intent_attempt(&s, c, true, false), EV_DECLINED);
	c = card_find(STR("pm_card_threeDSecure2Required"));
	assert_int_equal(intent_attempt(&s, c, false, false), EV_CHALLENGED);
	assert_int_equal(intent_attempt(&s, c, false, true), EV_CHALLENGED);
	assert_int_equal(intent_attempt(&s, c, true, false), EV_AUTHORISED);
	/* the payer passes, the bank refuses all the same */
	c = card_find(STR("pm_card_authenticationRequiredChargeDeclinedInsufficientFunds"));
	assert_int_equal(intent_attempt(&s, c, false, false), EV_CHALLENGED);
	assert_int_equal(intent_attempt(&s, c, true, false), EV_DECLINED);
	/* set up before: only a payer who is there is asked */
	c = card_find(STR("pm_card_authenticationRequiredSetupForOffSession"));
	assert_int_equal(intent_attempt(&s, c, false, false), EV_CHALLENGED);
	assert_int_equal(intent_attempt(&s, c, false, true), EV_AUTHORISED);
	s.manual_capture = false;
	assert_int_equal(intent_attempt(&s, card_find(STR("pm_card_threeDSecureOptional")), false, false), EV_PAID);
}

static void test_first_refusal_wins(void **state)
{
	struct refusal r = {0};

	assert_false(refuse_invalid(&r, "a", "x", "%s", "first"));
	assert_false(refuse_invalid(&r, "b", "y", "second"));
	assert_string_equal(r.code, "a");
	assert_string_equal(r.message, "first");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arrows),
		cmocka_unit_test(test_allows),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_sums),
		cmocka_unit_test(test_amounts),
		cmocka_unit_test(test_attempts),
		cmocka_unit_test(test_first_refusal_wins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
