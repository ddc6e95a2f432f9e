/*
 * The tables of the state machine and the sums; see rules.h. test_rules.c walks every state with every event.
 */
#include "paysim/rules.h"

#include <assert.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

bool refuse(struct refusal *r, int status, const char *type, const char *code, const char *param, const char *fmt, ...)
{
	va_list ap;

	if (r->type)
		return false;
	r->status = status;
	r->type = type;
	r->code = code;
	snprintf(r->param, sizeof(r->param), "%s", param ? param : "");
	va_start(ap, fmt);
	vsnprintf(r->message, sizeof(r->message), fmt, ap);
	va_end(ap);
	return false;
}

static const char *const status_names[INTENT_STATUSES] = {
	[INTENT_REQUIRES_PAYMENT_METHOD] = "requires_payment_method",
	[INTENT_REQUIRES_CONFIRMATION] = "requires_confirmation",
	[INTENT_REQUIRES_ACTION] = "requires_action",
	[INTENT_PROCESSING] = "processing",
	[INTENT_REQUIRES_CAPTURE] = "requires_capture",
	[INTENT_CANCELED] = "canceled",
	[INTENT_SUCCEEDED] = "succeeded",
};

const char *intent_status_name(enum intent_status s)
{
	assert(s < INTENT_STATUSES);
	return status_names[s];
}

bool intent_status_parse(struct str name, enum intent_status *ret)
{
	for (int i = 0; i < INTENT_STATUSES; i++)
		if (str_eqc(name, status_names[i])) {
			*ret = (enum intent_status)i;
			return true;
		}
	return false;
}

#define BIT(s) (1u << INTENT_##s)

static const struct {
	unsigned from;
	const char *done; /* "may be ..." */
} ops[INTENT_OPS] = {
	[OP_CONFIRM] = {BIT(REQUIRES_PAYMENT_METHOD) | BIT(REQUIRES_CONFIRMATION) | BIT(REQUIRES_ACTION), "confirmed"},
	[OP_CAPTURE] = {BIT(REQUIRES_CAPTURE), "captured"},
	[OP_CANCEL] = {BIT(REQUIRES_PAYMENT_METHOD) | BIT(REQUIRES_CAPTURE) | BIT(REQUIRES_CONFIRMATION) |
			       BIT(REQUIRES_ACTION) | BIT(PROCESSING),
		       "canceled"},
	[OP_REFUND] = {BIT(SUCCEEDED), "refunded"},
};

bool intent_allows(enum intent_status s, enum intent_op op)
{
	return ops[op].from >> s & 1;
}

static const struct {
	unsigned from;
	enum intent_status to;
} arrows[INTENT_EVENTS] = {
	[EV_METHOD] = {BIT(REQUIRES_PAYMENT_METHOD), INTENT_REQUIRES_CONFIRMATION},
	[EV_AUTHORISED] = {BIT(REQUIRES_PAYMENT_METHOD) | BIT(REQUIRES_CONFIRMATION) | BIT(REQUIRES_ACTION) |
				   BIT(PROCESSING),
			   INTENT_REQUIRES_CAPTURE},
	[EV_PAID] = {BIT(REQUIRES_PAYMENT_METHOD) | BIT(REQUIRES_CONFIRMATION) | BIT(REQUIRES_ACTION) | BIT(PROCESSING),
		     INTENT_SUCCEEDED},
	[EV_DECLINED] = {BIT(REQUIRES_PAYMENT_METHOD) | BIT(REQUIRES_CONFIRMATION) | BIT(REQUIRES_ACTION) |
				 BIT(PROCESSING),
			 INTENT_REQUIRES_PAYMENT_METHOD},
	[EV_CHALLENGED] = {BIT(REQUIRES_PAYMENT_METHOD) | BIT(REQUIRES_CONFIRMATION) | BIT(REQUIRES_ACTION),
			   INTENT_REQUIRES_ACTION},
	[EV_CHALLENGE_FAILED] = {BIT(REQUIRES_ACTION), INTENT_REQUIRES_PAYMENT_METHOD},
	[EV_CAPTURED] = {BIT(REQUIRES_CAPTURE), INTENT_SUCCEEDED},
	[EV_CANCELED] = {BIT(REQUIRES_PAYMENT_METHOD) | BIT(REQUIRES_CAPTURE) | BIT(REQUIRES_CONFIRMATION) |
				 BIT(REQUIRES_ACTION) | BIT(PROCESSING),
			 INTENT_CANCELED},
	[EV_EXPIRED] = {BIT(REQUIRES_CAPTURE), INTENT_CANCELED},
};

bool intent_arrow(enum intent_status from, enum intent_event event, enum intent_status *ret_to)
{
	if (!(arrows[event].from >> from & 1))
		return false;
	*ret_to = arrows[event].to;
	return true;
}

void intent_move(struct intent_state *s, enum intent_event event, int64_t amount)
{
	enum intent_status to = s->status;
	bool exists = intent_arrow(s->status, event, &to);

	assert(exists);
	(void)exists;
	s->status = to;
	switch (event) {
	case EV_AUTHORISED:
		s->amount_capturable = s->amount;
		break;
	case EV_PAID:
		s->amount_received = s->amount;
		break;
	case EV_CAPTURED:
		assert(amount > 0 && amount <= s->amount_capturable);
		s->amount_received = amount;
		s->amount_capturable = 0;
		break;
	case EV_CANCELED:
	case EV_EXPIRED:
		s->amount_capturable = 0;
		break;
	default:
		break;
	}
}

enum intent_event intent_attempt(const struct intent_state *s, const struct card *card, bool challenged,
				 bool off_session)
{
	if (card->outcome == CARD_CHALLENGES && !challenged && !(off_session && card->set_up))
		return EV_CHALLENGED;
	/* also of one that was challenged: the bank may still refuse */
	if (card->code)
		return EV_DECLINED;
	return s->manual_capture ? EV_AUTHORISED : EV_PAID;
}

/* "0.50 eur", as the gateway writes currencies. */
static const char *money_words(int64_t amount, const struct currency *currency, char out[MONEY_TEXT_MAX])
{
	size_t n = money_format((struct money){amount, currency}, out);

	for (size_t i = 0; i < n; i++)
		out[i] = (char)tolower((unsigned char)out[i]);
	return out;
}

bool rules_amount(int64_t amount, const struct currency *currency, struct refusal *r)
{
	char text[MONEY_TEXT_MAX];

	if (amount < 1)
		return refuse_invalid(r, "parameter_invalid_integer", "amount",
				      "This value must be greater than or equal to 1.");
	if (amount < currency->minimum_minor)
		return refuse_invalid(r, "amount_too_small", "amount", "Amount must be at least %s",
				      money_words(currency->minimum_minor, currency, text));
	if (amount > MONEY_MAX_MINOR)
		return refuse_invalid(r, "amount_too_large", "amount", "Amount must be no more than %s",
				      money_words(MONEY_MAX_MINOR, currency, text));
	if (amount % currency->step_minor)
		return refuse_invalid(r, "parameter_invalid_integer", "amount",
				      "Invalid amount. Amounts in this currency are multiples of %d.",
				      (int)currency->step_minor);
	return true;
}

bool rules_allows(const struct intent_state *s, enum intent_op op, struct refusal *r)
{
	char list[160] = "";
	size_t n = 0;

	if (intent_allows(s->status, op))
		return true;
	for (int i = 0; i < INTENT_STATUSES; i++)
		if (ops[op].from >> i & 1)
			n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s", n ? ", " : "", status_names[i]);
	if (op == OP_CONFIRM && s->status == INTENT_SUCCEEDED)
		refuse_invalid(r, "payment_intent_unexpected_state", NULL,
			       "You cannot confirm this PaymentIntent because it has already succeeded after being "
			       "previously confirmed.");
	else if (op == OP_CAPTURE && s->status == INTENT_SUCCEEDED)
		refuse_invalid(r, "payment_intent_unexpected_state", NULL,
			       "This PaymentIntent could not be captured because it has already been captured.");
	else if (op == OP_REFUND)
		refuse_invalid(r, "payment_intent_unexpected_state", "payment_intent",
			       "This PaymentIntent does not have a successful charge to refund: its status is %s.",
			       status_names[s->status]);
	else
		refuse_invalid(r, "payment_intent_unexpected_state", NULL,
			       "This PaymentIntent could not be %s because it has a status of %s. Only a PaymentIntent "
			       "with one of the following statuses may be %s: %s.",
			       ops[op].done, status_names[s->status], ops[op].done, list);
	r->with_intent = true;
	return false;
}

bool rules_capture_amount(const struct intent_state *s, int64_t want, int64_t *ret_amount, struct refusal *r)
{
	if (want < 0)
		want = s->amount_capturable;
	if (want > s->amount_capturable)
		return refuse_invalid(r, "amount_too_large", "amount_to_capture",
				      "The provided amount_to_capture (%lld) is greater than the amount that can be "
				      "captured (%lld).",
				      (long long)want, (long long)s->amount_capturable);
	if (want < 1 || want % s->currency->step_minor)
		return refuse_invalid(r, "parameter_invalid_integer", "amount_to_capture",
				      "This value must be greater than or equal to 1, and a multiple of %d.",
				      (int)s->currency->step_minor);
	*ret_amount = want;
	return true;
}

bool rules_refund_amount(const struct intent_state *s, const char *charge, int64_t want, int64_t *ret_amount,
			 struct refusal *r)
{
	int64_t left = s->amount_received - s->amount_refunded;
	char asked[MONEY_TEXT_MAX], have[MONEY_TEXT_MAX];

	if (left <= 0)
		return refuse_invalid(r, "charge_already_refunded", NULL, "Charge %s has already been refunded.",
				      charge);
	if (want < 0)
		want = left;
	if (want < 1 || want % s->currency->step_minor)
		return refuse_invalid(r, "parameter_invalid_integer", "amount",
				      "This value must be greater than or equal to 1, and a multiple of %d.",
				      (int)s->currency->step_minor);
	if (want > left)
		return refuse_invalid(r, "amount_too_large", "amount",
				      "Refund amount (%s) is greater than unrefunded amount on charge (%s)",
				      money_words(want, s->currency, asked), money_words(left, s->currency, have));
	*ret_amount = want;
	return true;
}
