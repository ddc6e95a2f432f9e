#include "payment/payment.h"

#include "base/times.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define NOW (1000 * US_PER_MINUTE)

static struct payment_view view(enum payment_state state)
{
	return (struct payment_view){.state = state,
				     .has_intent = true,
				     .confirm_called = true,
				     .now_us = NOW,
				     .action_until_us = NOW + 10 * US_PER_MINUTE,
				     .hold_until_us = NOW + 20 * US_PER_MINUTE};
}

static enum payment_action decide(struct payment_view v, enum payment_seen seen, enum payment_step step)
{
	struct payment_observation o = {.seen = seen, .step = step};

	return payment_decide(&v, &o);
}

/* Which arrow an action takes; PAYMENT_STATES: none. */
static enum payment_state arrow_of(enum payment_action a)
{
	switch (a) {
	case DO_REQUIRE_ACTION:
		return PAYMENT_REQUIRES_ACTION;
	case DO_AUTHORISE:
		return PAYMENT_AUTHORISED;
	case DO_CAPTURED:
		return PAYMENT_CAPTURED;
	case DO_LOSE:
		return PAYMENT_CAPTURE_FAILED;
	case DO_FAIL:
	case DO_RELEASE:
		return PAYMENT_FAILED;
	case DO_ABANDON:
		return PAYMENT_ABANDONED;
	case DO_VOID:
	case DO_REJECT:
		return PAYMENT_VOIDED;
	default:
		return PAYMENT_STATES;
	}
}

/* Whatever is seen in whatever state: the arrow that is taken is drawn, and what may not happen does not. */
static void test_every_decision(void **state)
{
	int arrows = 0;

	for (int s = 0; s < PAYMENT_STATES; s++)
		for (int seen = 0; seen <= SEEN_OVER_LIMIT; seen++)
			for (int step = 0; step <= STEP_NONE; step++)
				for (int bits = 0; bits < 128; bits++) {
					struct payment_view v = view((enum payment_state)s);
					struct payment_observation o = {.seen = (enum payment_seen)seen,
									.step = (enum payment_step)step};
					enum payment_action a;

					o.differs[0] = bits & 32 ? '!' : '\0';

					v.fresh = bits & 1;
					v.confirm_called = bits & 2;
					v.has_intent = bits & 4;
					v.void_wanted = bits & 8;
					v.cancel_called = bits & 64;
					v.now_us = bits & 16 ? v.hold_until_us : NOW;
					a = payment_decide(&v, &o);
					if (arrow_of(a) != PAYMENT_STATES) {
						assert_true(payment_may((enum payment_state)s, arrow_of(a)));
						arrows++;
					}
					/* seats are given to nobody whose money is not held, and taken from nobody who paid */
					if (a == DO_AUTHORISE)
						assert_true(seen == SEEN_HELD || seen == SEEN_PAID);
					/* nor if somebody may be about to give it back */
					if (a == DO_AUTHORISE && v.cancel_called)
						assert_int_equal(seen, SEEN_PAID);
					/* nor past the bound of everything */
					if (v.now_us >= v.hold_until_us && v.confirm_called)
						assert_true(a != DO_AUTHORISE && a != DO_REQUIRE_ACTION &&
							    (a != DO_WAIT || s >= PAYMENT_AUTHORISED));
					if (a == DO_CAPTURE)
						assert_int_equal(s, PAYMENT_AUTHORISED);
					if (s == PAYMENT_AUTHORISED)
						assert_true(a != DO_ABANDON && a != DO_FAIL && a != DO_RELEASE);
					/* another amount is neither authorised nor captured */
					if (o.differs[0])
						assert_true(a != DO_AUTHORISE && a != DO_CAPTURE && a != DO_CAPTURED &&
							    a != DO_CONFIRM);
					/* unknown is never a decision before the bound, once the confirmation may have left */
					if ((seen == SEEN_UNKNOWN || seen == SEEN_NOTHING) && v.confirm_called &&
					    v.now_us < v.hold_until_us && !o.differs[0])
						assert_true(arrow_of(a) == PAYMENT_STATES);
					if (s >= PAYMENT_CAPTURED && !v.void_wanted)
						assert_int_equal(a, DO_NOTHING);
				}
	assert_true(arrows > 100);
}

static void test_success(void **state)
{
	struct payment_view v = view(PAYMENT_CREATED);

	v.fresh = true;
	v.has_intent = v.confirm_called = false;
	assert_int_equal(decide(v, SEEN_NOTHING, STEP_NONE), DO_CREATE);
	assert_int_equal(decide(v, SEEN_NEW, STEP_CREATE), DO_CONFIRM);
	v.has_intent = v.confirm_called = true;
	assert_int_equal(decide(v, SEEN_HELD, STEP_CONFIRM), DO_AUTHORISE);
	assert_int_equal(decide(v, SEEN_ACTION, STEP_CONFIRM), DO_REQUIRE_ACTION);
	v.state = PAYMENT_AUTHORISED;
	assert_int_equal(decide(v, SEEN_HELD, STEP_CONFIRM), DO_CAPTURE);
	assert_int_equal(decide(v, SEEN_PAID, STEP_CAPTURE), DO_CAPTURED);
}

static void test_gateway_fails(void **state)
{
	struct payment_view v = view(PAYMENT_CREATED);

	v.fresh = true;
	v.has_intent = v.confirm_called = false;
	/* an intent that is not confirmed charges nobody, whether it was made or not */
	assert_int_equal(decide(v, SEEN_UNKNOWN, STEP_CREATE), DO_RELEASE);
	assert_int_equal(decide(v, SEEN_UNREACHED, STEP_CREATE), DO_RELEASE);
	v.has_intent = v.confirm_called = true;
	assert_int_equal(decide(v, SEEN_UNREACHED, STEP_CONFIRM), DO_RELEASE);
	assert_int_equal(decide(v, SEEN_UNKNOWN, STEP_CONFIRM), DO_RETRIEVE);
	assert_int_equal(decide(v, SEEN_UNKNOWN, STEP_RETRIEVE), DO_WAIT);
	/* not confirmed as far as one sees: only the cancellation proves it */
	assert_int_equal(decide(v, SEEN_NEW, STEP_RETRIEVE), DO_CANCEL);
	assert_int_equal(decide(v, SEEN_CANCELED, STEP_CANCEL), DO_RELEASE);
	assert_int_equal(decide(v, SEEN_STALE, STEP_CANCEL), DO_RETRIEVE);
	assert_int_equal(decide(v, SEEN_UNKNOWN, STEP_CANCEL), DO_WAIT);
	/* and once it was asked for, whoever asked may send it yet: nothing is booked on the intent any more */
	v.cancel_called = true;
	assert_int_equal(decide(v, SEEN_HELD, STEP_RETRIEVE), DO_CANCEL);
	assert_int_equal(decide(v, SEEN_ACTION, STEP_RETRIEVE), DO_CANCEL);
	assert_int_equal(decide(v, SEEN_HELD, STEP_CANCEL), DO_WAIT);
	assert_int_equal(decide(v, SEEN_PAID, STEP_RETRIEVE), DO_AUTHORISE);
	v.cancel_called = false;
	/* somebody else's confirmation may be on its way: that we did not reach the gateway proves nothing */
	v.fresh = false;
	assert_int_equal(decide(v, SEEN_UNREACHED, STEP_CONFIRM), DO_WAIT);
	v.now_us = v.hold_until_us - 1;
	assert_int_equal(decide(v, SEEN_UNKNOWN, STEP_RETRIEVE), DO_WAIT);
	v.now_us = v.hold_until_us;
	assert_int_equal(decide(v, SEEN_UNKNOWN, STEP_RETRIEVE), DO_ABANDON);
	/* also if the money is held: its seats are not to be held that long */
	assert_int_equal(decide(v, SEEN_HELD, STEP_RETRIEVE), DO_ABANDON);
	assert_int_equal(decide(v, SEEN_PAID, STEP_RETRIEVE), DO_ABANDON);
	assert_int_equal(decide(v, SEEN_NEW, STEP_RETRIEVE), DO_ABANDON);
	assert_int_equal(decide(v, SEEN_DECLINED, STEP_RETRIEVE), DO_FAIL);
	/* never sent: at once */
	v = view(PAYMENT_CREATED);
	v.confirm_called = false;
	assert_int_equal(decide(v, SEEN_NOTHING, STEP_NONE), DO_RELEASE);
}

static void test_three_d_secure(void **state)
{
	struct payment_view v = view(PAYMENT_REQUIRES_ACTION);

	assert_int_equal(decide(v, SEEN_NOTHING, STEP_NONE), DO_RETRIEVE);
	assert_int_equal(decide(v, SEEN_ACTION, STEP_RETRIEVE), DO_WAIT);
	assert_int_equal(decide(v, SEEN_DECLINED, STEP_RETRIEVE), DO_FAIL);
	assert_int_equal(decide(v, SEEN_HELD, STEP_RETRIEVE), DO_AUTHORISE);
	v.now_us = v.action_until_us - 1;
	assert_int_equal(decide(v, SEEN_ACTION, STEP_RETRIEVE), DO_WAIT);
	v.now_us = v.action_until_us;
	assert_int_equal(decide(v, SEEN_ACTION, STEP_RETRIEVE), DO_ABANDON);
	assert_int_equal(decide(v, SEEN_UNKNOWN, STEP_RETRIEVE), DO_ABANDON);
	/* the bank is not waited for any longer; what it has approved by now is booked, until the bound of everything */
	assert_int_equal(decide(v, SEEN_HELD, STEP_RETRIEVE), DO_AUTHORISE);
	v.now_us = v.hold_until_us;
	assert_int_equal(decide(v, SEEN_HELD, STEP_RETRIEVE), DO_ABANDON);
}

static void test_capture_and_void(void **state)
{
	struct payment_view v = view(PAYMENT_AUTHORISED);

	assert_int_equal(decide(v, SEEN_NOTHING, STEP_NONE), DO_CAPTURE);
	assert_int_equal(decide(v, SEEN_UNKNOWN, STEP_CAPTURE), DO_WAIT);
	assert_int_equal(decide(v, SEEN_DENIED, STEP_CAPTURE), DO_WAIT);
	assert_int_equal(decide(v, SEEN_DECLINED, STEP_CAPTURE), DO_LOSE);
	assert_int_equal(decide(v, SEEN_STALE, STEP_CAPTURE), DO_RETRIEVE);
	assert_int_equal(decide(v, SEEN_PAID, STEP_RETRIEVE), DO_CAPTURED);
	assert_int_equal(decide(v, SEEN_CANCELED, STEP_RETRIEVE), DO_LOSE);
	v = view(PAYMENT_ABANDONED);
	v.void_wanted = true;
	assert_int_equal(decide(v, SEEN_NOTHING, STEP_NONE), DO_CANCEL);
	assert_int_equal(decide(v, SEEN_CANCELED, STEP_CANCEL), DO_VOIDED);
	assert_int_equal(decide(v, SEEN_UNKNOWN, STEP_CANCEL), DO_WAIT);
	assert_int_equal(decide(v, SEEN_STALE, STEP_CANCEL), DO_RETRIEVE);
	assert_int_equal(decide(v, SEEN_PAID, STEP_RETRIEVE), DO_REFUND_ALL);
}

static void test_names(void **state)
{
	enum payment_state p;
	enum refund_state r;

	for (int i = 0; i < PAYMENT_STATES; i++) {
		assert_true(payment_state_parse(str_from(payment_state_name((enum payment_state)i)), &p));
		assert_int_equal(p, i);
	}
	for (int i = 0; i < REFUND_STATES; i++) {
		assert_true(refund_state_parse(str_from(refund_state_name((enum refund_state)i)), &r));
		assert_int_equal(r, i);
	}
	assert_false(payment_state_parse(STR("paid"), &p));
	assert_false(refund_may(REFUND_SUCCEEDED, REFUND_FAILED));
	assert_false(payment_may(PAYMENT_CAPTURED, PAYMENT_VOIDED));
	for (int a = 0; a <= DO_REFUND_ALL; a++)
		assert_true(payment_action_name((enum payment_action)a)[0]);
	assert_int_equal(payment_backoff_us(1), 2 * US_PER_SECOND);
	assert_int_equal(payment_backoff_us(2), 4 * US_PER_SECOND);
	assert_int_equal(payment_backoff_us(1000000), 64 * US_PER_SECOND);
}

/* ---- the gateway's words ---- */

#define INTENT(status_, more_) "{\"object\":\"payment_intent\",\"id\":\"pi_1\",\"status\":\"" status_ "\"" more_ "}"

static const struct {
	enum payment_step step;
	int status;
	const char *body;
	enum payment_seen seen;
	const char *decline;
} answers[] = {
	{STEP_CREATE, 200, INTENT("requires_payment_method", ""), SEEN_NEW, ""},
	{STEP_RETRIEVE, 200, INTENT("requires_confirmation", ""), SEEN_NEW, ""},
	{STEP_RETRIEVE, 200, INTENT("requires_payment_method", ",\"last_payment_error\":null"), SEEN_NEW, ""},
	{STEP_RETRIEVE, 200,
	 INTENT("requires_payment_method",
		",\"last_payment_error\":{\"code\":\"card_declined\",\"decline_code\":\"lost_card\"}"),
	 SEEN_DECLINED, "lost_card"},
	{STEP_RETRIEVE, 200,
	 INTENT("requires_payment_method",
		",\"last_payment_error\":{\"code\":\"payment_intent_authentication_failure\"}"),
	 SEEN_DECLINED, "payment_intent_authentication_failure"},
	{STEP_CONFIRM, 200, INTENT("requires_capture", ""), SEEN_HELD, ""},
	{STEP_CAPTURE, 200, INTENT("succeeded", ""), SEEN_PAID, ""},
	{STEP_CANCEL, 200, INTENT("canceled", ""), SEEN_CANCELED, ""},
	{STEP_CONFIRM, 200, INTENT("processing", ""), SEEN_UNKNOWN, ""},
	{STEP_CONFIRM, 200, INTENT("something_new", ""), SEEN_UNKNOWN, ""},
	{STEP_CONFIRM, 200, "{\"status\":\"requires_capture\"}", SEEN_UNKNOWN, ""},
	{STEP_CONFIRM, 200, "<html>", SEEN_UNKNOWN, ""},
	{STEP_CONFIRM, 200, "", SEEN_UNKNOWN, ""},
	{STEP_CONFIRM, 402,
	 "{\"error\":{\"type\":\"card_error\",\"code\":\"card_declined\",\"decline_code\":\"generic_decline\"}}",
	 SEEN_DECLINED, "generic_decline"},
	{STEP_CONFIRM, 402, "{\"error\":{\"type\":\"card_error\",\"code\":\"expired_card\"}}", SEEN_DECLINED,
	 "expired_card"},
	{STEP_CONFIRM, 402, "", SEEN_DECLINED, ""},
	{STEP_CONFIRM, 400, "{\"error\":{\"type\":\"invalid_request_error\",\"code\":\"resource_missing\"}}",
	 SEEN_REFUSED, "resource_missing"},
	{STEP_CONFIRM, 400, "{\"error\":{\"type\":\"invalid_request_error\"}}", SEEN_REFUSED, "invalid_request"},
	{STEP_CAPTURE, 400, "{\"error\":{\"code\":\"payment_intent_unexpected_state\"}}", SEEN_STALE,
	 "payment_intent_unexpected_state"},
	{STEP_CONFIRM, 401, "{\"error\":{}}", SEEN_DENIED, ""},
	{STEP_CONFIRM, 403, "", SEEN_DENIED, ""},
	{STEP_RETRIEVE, 404, "{\"error\":{\"code\":\"resource_missing\"}}", SEEN_REFUSED, "resource_missing"},
	{STEP_CONFIRM, 409, "{\"error\":{\"code\":\"idempotency_key_in_use\"}}", SEEN_UNKNOWN,
	 "idempotency_key_in_use"},
	{STEP_CONFIRM, 429, "", SEEN_UNREACHED, ""},
	{STEP_CONFIRM, 500, "{\"error\":{\"type\":\"card_error\"}}", SEEN_UNKNOWN, ""},
	{STEP_CONFIRM, 503, "", SEEN_UNKNOWN, ""},
	{STEP_CONFIRM, 302, INTENT("requires_capture", ""), SEEN_UNKNOWN, ""},
};

static void test_observe(void **state)
{
	struct payment_observation o;

	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		payment_observe(answers[i].step, answers[i].status, true, str_from(answers[i].body), &o);
		if (o.seen != answers[i].seen)
			print_error("answer %zu: %s\n", i, answers[i].body);
		assert_int_equal(o.seen, answers[i].seen);
		assert_int_equal(o.step, answers[i].step);
		assert_string_equal(o.decline_code, answers[i].decline);
	}
	payment_observe(STEP_CONFIRM, 0, true, STR(""), &o);
	assert_int_equal(o.seen, SEEN_UNKNOWN);
	payment_observe(STEP_CONFIRM, 0, false, STR(""), &o);
	assert_int_equal(o.seen, SEEN_UNREACHED);
	payment_observe(STEP_CONFIRM, 200, true,
			STR(INTENT("requires_action", ",\"next_action\":{\"type\":\"redirect_to_url\",\"redirect_to_"
						      "url\":{\"url\":\"https://bank.example/1\"}}")),
			&o);
	assert_int_equal(o.seen, SEEN_ACTION);
	assert_string_equal(o.intent_id, "pi_1");
	assert_string_equal(o.action_url, "https://bank.example/1");
}

/* Asked for: 4500 EUR, attempt 03000000-... */
static const struct {
	enum payment_seen seen;
	const char *more;
	bool differs;
} sums[] = {
	{SEEN_HELD, "\"amount\":4500,\"amount_capturable\":4500,\"amount_received\":0,\"currency\":\"eur\"", false},
	{SEEN_PAID, "\"amount\":4500,\"amount_capturable\":0,\"amount_received\":4500,\"currency\":\"eur\"", false},
	{SEEN_NEW, "\"amount\":4500,\"amount_capturable\":0,\"amount_received\":0,\"currency\":\"EUR\"", false},
	{SEEN_HELD, "\"amount\":4500,\"currency\":\"eur\"", false}, /* the amount itself must do */
	{SEEN_HELD, "\"amount\":4501,\"amount_capturable\":4500,\"currency\":\"eur\"", true},
	{SEEN_HELD, "\"amount\":4500,\"amount_capturable\":4499,\"currency\":\"eur\"", true},
	{SEEN_HELD, "\"amount\":4500,\"amount_capturable\":0,\"currency\":\"eur\"", true},
	{SEEN_PAID, "\"amount\":4500,\"amount_received\":450,\"currency\":\"eur\"", true},
	{SEEN_HELD, "\"amount\":4500,\"currency\":\"usd\"", true},
	{SEEN_HELD, "\"amount\":4500", true},
	{SEEN_HELD, "\"currency\":\"eur\"", true},
	{SEEN_HELD, "\"amount\":\"4500\",\"currency\":\"eur\"", true},
	{SEEN_NEW, "\"amount\":45,\"currency\":\"eur\"", true},
	{SEEN_ACTION, "\"amount\":45,\"currency\":\"eur\"", true},
	{SEEN_CANCELED, "\"amount\":45,\"currency\":\"eur\"", false}, /* nothing is open */
};

static void test_compare(void **state)
{
	static const char *const status[] = {[SEEN_NEW] = "requires_confirmation",
					     [SEEN_ACTION] = "requires_action",
					     [SEEN_HELD] = "requires_capture",
					     [SEEN_PAID] = "succeeded",
					     [SEEN_CANCELED] = "canceled"};
	struct uuid payment = {{3}}, other = {{4}};
	struct payment_observation o;
	char body[400];

	for (size_t i = 0; i < sizeof(sums) / sizeof(sums[0]); i++) {
		snprintf(body, sizeof(body),
			 "{\"id\":\"pi_1\",\"status\":\"%s\",%s,\"metadata\":{\"attempt\":\"03000000-0000-0000-0000-"
			 "000000000000\"}}",
			 status[sums[i].seen], sums[i].more);
		payment_observe(STEP_RETRIEVE, 200, true, str_from(body), &o);
		assert_int_equal(o.seen, sums[i].seen);
		payment_compare(&o, &payment, 4500, "EUR");
		if ((o.differs[0] != '\0') != sums[i].differs)
			print_error("sums %zu: %s %s\n", i, body, o.differs);
		assert_int_equal(o.differs[0] != '\0', sums[i].differs);
		payment_compare(&o, &other, 4500, "EUR");
		assert_int_equal(o.differs[0] != '\0', sums[i].seen != SEEN_CANCELED);
	}
	/* no intent, nothing to compare */
	payment_observe(STEP_CONFIRM, 402, true, STR("{\"error\":{\"code\":\"card_declined\"}}"), &o);
	payment_compare(&o, &payment, 4500, "EUR");
	assert_string_equal(o.differs, "");
}

static void test_refunds(void **state)
{
	struct refund_observation o;
	struct uuid id = {{1, 2, 3}};

	refund_observe(200, true, STR("{\"id\":\"re_1\",\"status\":\"succeeded\"}"), &o);
	assert_int_equal(o.seen, SEEN_PAID);
	assert_string_equal(o.gateway_id, "re_1");
	refund_observe(200, true, STR("{\"id\":\"re_1\",\"status\":\"pending\"}"), &o);
	assert_int_equal(o.seen, SEEN_NEW);
	refund_observe(200, true,
		       STR("{\"id\":\"re_1\",\"status\":\"failed\",\"failure_reason\":\"lost_or_stolen_card\"}"), &o);
	assert_int_equal(o.seen, SEEN_REFUSED);
	assert_string_equal(o.failure, "lost_or_stolen_card");
	refund_observe(400, true, STR("{\"error\":{\"code\":\"charge_already_refunded\"}}"), &o);
	assert_int_equal(o.seen, SEEN_REFUSED);
	assert_string_equal(o.failure, "charge_already_refunded");
	refund_observe(500, true, STR(""), &o);
	assert_int_equal(o.seen, SEEN_UNKNOWN);
	refund_observe(0, false, STR(""), &o);
	assert_int_equal(o.seen, SEEN_UNREACHED);
	refund_observe_list(
		200, true,
		STR("{\"data\":[{\"id\":\"re_0\",\"status\":\"failed\",\"metadata\":{}},{\"id\":\"re_2\",\"status\":"
		    "\"succeeded\","
		    "\"metadata\":{\"refund\":\"01020300-0000-0000-0000-000000000000\"}}],\"has_more\":false}"),
		&id, &o);
	assert_int_equal(o.seen, SEEN_PAID);
	assert_string_equal(o.gateway_id, "re_2");
	refund_observe_list(200, true, STR("{\"data\":[],\"has_more\":false}"), &id, &o);
	assert_int_equal(o.seen, SEEN_NOTHING);
	refund_observe_list(200, true, STR("{\"data\":[],\"has_more\":true}"), &id, &o);
	assert_int_equal(o.seen, SEEN_UNKNOWN);
	/* a list that could not be read proves nothing, whatever the reason */
	refund_observe_list(404, true, STR("{}"), &id, &o);
	assert_int_equal(o.seen, SEEN_UNKNOWN);
}

static void test_bodies(void **state)
{
	struct uuid show = {{1}}, booking = {{2}}, payment = {{3}};
	struct buf b;

	buf_init(&b, 4096);
	payment_create_body(&b, &show, &booking, &payment, 4500, "EUR");
	assert_string_equal(b.p, "amount=4500&currency=eur&capture_method=manual&payment_method_types%5B%5D=card"
				 "&metadata%5Bshow%5D=01000000-0000-0000-0000-000000000000"
				 "&metadata%5Bbooking%5D=02000000-0000-0000-0000-000000000000"
				 "&metadata%5Battempt%5D=03000000-0000-0000-0000-000000000000");
	buf_reset(&b);
	payment_confirm_body(&b, STR("pm_1&amount=1"), STR("https://a.example/?x=1 \xC3\xA9+"), false);
	assert_string_equal(
		b.p, "payment_method=pm_1%26amount%3D1&return_url=https%3A%2F%2Fa.example%2F%3Fx%3D1%20%C3%A9%2B");
	buf_reset(&b);
	payment_confirm_body(&b, STR("pm_1"), STR(""), true);
	assert_string_equal(b.p, "payment_method=pm_1&" PAYMENT_WITH_CARD);
	buf_reset(&b);
	refund_body(&b, STR("pi_1"), &payment, 4350);
	assert_string_equal(
		b.p, "payment_intent=pi_1&amount=4350&metadata%5Brefund%5D=03000000-0000-0000-0000-000000000000");
	buf_reset(&b);
	payment_summary(STR("{\"id\":\"pi_1\",\"status\":\"succeeded\",\"client_secret\":\"s\",\"receipt_email\":\"a@b."
			    "c\",\"amount\":3}"),
			&b);
	assert_string_equal(b.p, "{\"id\":\"pi_1\",\"status\":\"succeeded\",\"amount\":3}");
	buf_reset(&b);
	payment_summary(STR("{\"error\":{\"code\":\"card_declined\",\"message\":\"Ada, your card\"}}"), &b);
	assert_string_equal(b.p, "{\"code\":\"card_declined\"}");
	buf_reset(&b);
	payment_summary(STR("<html>"), &b);
	assert_int_equal(b.n, 0);
	buf_done(&b);
}

static const struct {
	const char *url, *becomes;
} ways_back[] = {
#define WHAT \
	"show=01000000-0000-0000-0000-000000000000&booking=02000000-0000-0000-0000-000000000000&return_token={return_" \
	"token}"
	{"https://a.example", "https://a.example?" WHAT},
	{"https://a.example/done", "https://a.example/done?" WHAT},
	{"https://a.example/done?x=1&y=2", "https://a.example/done?x=1&y=2&" WHAT},
	{"https://a.example/done?", "https://a.example/done?" WHAT},
	{"https://a.example/done?x=1&", "https://a.example/done?x=1&" WHAT},
	{"https://a.example/done#here?x", "https://a.example/done?" WHAT "#here?x"},
	{"https://a.example/done?x=1#here", "https://a.example/done?x=1&" WHAT "#here"},
#undef WHAT
};

static void test_way_back(void **state)
{
	struct uuid show = {{1}}, booking = {{2}};
	struct buf url, body, sent;

	buf_init(&url, 4096);
	buf_init(&body, 4096);
	buf_init(&sent, 4096);
	for (size_t i = 0; i < sizeof(ways_back) / sizeof(ways_back[0]); i++) {
		buf_reset(&url);
		payment_return_url(&url, str_from(ways_back[i].url), &show, &booking);
		assert_string_equal(url.p, ways_back[i].becomes);
	}
	payment_confirm_body(&body, STR("pm_1"), buf_str(&url), true);
	payment_fill_token(&sent, buf_str(&body), STR("br_secret"));
	assert_null(strstr(body.p, "br_"));
	assert_non_null(strstr(sent.p, "return_token%3Dbr_secret%23here&expand"));
	assert_null(strstr(sent.p, "7Breturn_token"));
	buf_reset(&sent);
	payment_fill_token(&sent, STR("payment_method=pm_1"), STR("br_secret"));
	assert_string_equal(sent.p, "payment_method=pm_1");
	buf_reset(&sent);
	payment_fill_token(&sent, STR(""), STR("br_secret"));
	assert_int_equal(sent.n, 0);
	buf_done(&url);
	buf_done(&body);
	buf_done(&sent);
}

static void test_decline_words(void **state)
{
	static const char *const secrets[] = {"lost_card",	    "stolen_card", "fraudulent",
					      "merchant_blacklist", "pickup_card", "restricted_card",
					      "security_violation"};

	for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++) {
		assert_string_equal(payment_decline_words(secrets[i]), payment_decline_words("generic_decline"));
		assert_string_equal(payment_decline_told(secrets[i]), "generic_decline");
	}
	assert_string_not_equal(payment_decline_words("insufficient_funds"), payment_decline_words("generic_decline"));
	assert_string_equal(payment_decline_told("insufficient_funds"), "insufficient_funds");
	/* one of tomorrow's */
	assert_string_equal(payment_decline_words("card_is_blue"), payment_decline_words("generic_decline"));
	assert_string_equal(payment_decline_told("card_is_blue"), "card_is_blue");
	assert_string_equal(payment_decline_told(""), "generic_decline");
}

static void test_gateway_address(void **state)
{
	static const char *const good[] = {
		"https://api.stripe.com", "https://api.stripe.com/", "https://gateway.example:8443/base",
		"http://127.0.0.1:12100", "http://127.1.2.3",	     "http://localhost:80/x",
		"http://[::1]:8080",	  "https://[2001:db8::1]"};
	static const char *const bad[] = {"",
					  "api.stripe.com",
					  "ftp://a",
					  "http://api.stripe.com",
					  "http://10.0.0.1",
					  "http://127.0.0.1.evil.example",
					  "http://localhost.evil.example",
					  "http://127.0.0.1@evil.example",
					  "https://user:word@a.example",
					  "https://",
					  "http:///x",
					  "http://[::2]:1",
					  "http://128.0.0.1",
					  "https://a.example/?x=1",
					  "https://a example",
					  "http://127.0.0.256",
					  "http://0127.0.0.1x"};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_null(payment_url_fault(str_from(good[i])));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (!payment_url_fault(str_from(bad[i])))
			print_error("taken: %s\n", bad[i]);
		assert_non_null(payment_url_fault(str_from(bad[i])));
	}
}

/* Printed for the test that compares the drawing with the SQL files. */
static void print_arrows(void)
{
	for (size_t i = 0; i < payment_arrows_n; i++)
		printf("%s %s %s\n", payment_arrows[i].file, payment_state_name(payment_arrows[i].from),
		       payment_state_name(payment_arrows[i].to));
	for (size_t i = 0; i < refund_arrows_n; i++)
		printf("%s %s %s\n", refund_arrows[i].file, refund_state_name(refund_arrows[i].from),
		       refund_state_name(refund_arrows[i].to));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_decision),	 cmocka_unit_test(test_success),
		cmocka_unit_test(test_gateway_fails),	 cmocka_unit_test(test_three_d_secure),
		cmocka_unit_test(test_capture_and_void), cmocka_unit_test(test_names),
		cmocka_unit_test(test_observe),		 cmocka_unit_test(test_refunds),
		cmocka_unit_test(test_bodies),		 cmocka_unit_test(test_compare),
		cmocka_unit_test(test_way_back),	 cmocka_unit_test(test_gateway_address),
		cmocka_unit_test(test_decline_words),
	};

	if (argc == 2 && strcmp(argv[1], "--arrows") == 0) {
		print_arrows();
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
