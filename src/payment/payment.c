/* Owns the tables of states and arrows and the decision what to do next. Called by the drive (payment_drive.c) and tests. */
#include "payment/payment.h"

#include "base/times.h"

#include <assert.h>
#include <stddef.h>

static const char *const payment_names[] = {"created", "requires_action", "authorised", "captured",
					    "failed",  "voided",	  "abandoned",	"capture_failed"};
static const char *const refund_names[] = {"requested", "pending", "succeeded", "failed"};
static const char *const step_names[] = {"create", "confirm",  "capture", "cancel",
					 "refund", "retrieve", "list",	  "none"};
static const char *const action_names[] = {
	"nothing",  "wait", "create", "confirm", "capture", "cancel", "retrieve", "require_action", "authorise",
	"captured", "lose", "fail",   "release", "abandon", "void",   "reject",	  "voided",	    "refund_all"};

const struct payment_arrow payment_arrows[] = {
	{PAYMENT_CREATED, PAYMENT_REQUIRES_ACTION, "payment_require_action"},
	{PAYMENT_CREATED, PAYMENT_AUTHORISED, "payment_authorise"},
	{PAYMENT_REQUIRES_ACTION, PAYMENT_AUTHORISED, "payment_authorise"},
	{PAYMENT_AUTHORISED, PAYMENT_CAPTURED, "payment_capture"},
	{PAYMENT_AUTHORISED, PAYMENT_CAPTURE_FAILED, "payment_lose"},
	{PAYMENT_CREATED, PAYMENT_FAILED, "payment_fail"},
	{PAYMENT_REQUIRES_ACTION, PAYMENT_FAILED, "payment_fail"},
	{PAYMENT_CREATED, PAYMENT_ABANDONED, "payment_abandon"},
	{PAYMENT_REQUIRES_ACTION, PAYMENT_ABANDONED, "payment_abandon"},
	{PAYMENT_CREATED, PAYMENT_VOIDED, "payment_void"},
	{PAYMENT_REQUIRES_ACTION, PAYMENT_VOIDED, "payment_void"},
};
const size_t payment_arrows_n = sizeof(payment_arrows) / sizeof(payment_arrows[0]);

const struct refund_arrow refund_arrows[] = {
	{REFUND_REQUESTED, REFUND_PENDING, "refund_pend"},    {REFUND_REQUESTED, REFUND_SUCCEEDED, "refund_succeed"},
	{REFUND_PENDING, REFUND_SUCCEEDED, "refund_succeed"}, {REFUND_REQUESTED, REFUND_FAILED, "refund_fail"},
	{REFUND_PENDING, REFUND_FAILED, "refund_fail"},
};
const size_t refund_arrows_n = sizeof(refund_arrows) / sizeof(refund_arrows[0]);

const char *payment_state_name(enum payment_state s)
{
	return payment_names[s];
}

bool payment_state_parse(struct str name, enum payment_state *ret)
{
	for (int i = 0; i < PAYMENT_STATES; i++)
		if (str_eqc(name, payment_names[i])) {
			*ret = (enum payment_state)i;
			return true;
		}
	return false;
}

bool payment_may(enum payment_state from, enum payment_state to)
{
	for (size_t i = 0; i < payment_arrows_n; i++)
		if (payment_arrows[i].from == from && payment_arrows[i].to == to)
			return true;
	return false;
}

const char *refund_state_name(enum refund_state s)
{
	return refund_names[s];
}

bool refund_state_parse(struct str name, enum refund_state *ret)
{
	for (int i = 0; i < REFUND_STATES; i++)
		if (str_eqc(name, refund_names[i])) {
			*ret = (enum refund_state)i;
			return true;
		}
	return false;
}

bool refund_may(enum refund_state from, enum refund_state to)
{
	for (size_t i = 0; i < refund_arrows_n; i++)
		if (refund_arrows[i].from == from && refund_arrows[i].to == to)
			return true;
	return false;
}

const char *payment_step_name(enum payment_step s)
{
	return step_names[s];
}

const char *payment_action_name(enum payment_action a)
{
	return action_names[a];
}

/* created, and the confirm call never committed as sent: nothing can have been charged. */
static enum payment_action decide_unconfirmed(const struct payment_view *v, const struct payment_observation *o)
{
	if (!v->fresh) /* whoever made it is gone, or was overtaken */
		return DO_RELEASE;
	if (o->seen == SEEN_NOTHING)
		return v->has_intent ? DO_CONFIRM : DO_CREATE;
	return o->step == STEP_CREATE && o->seen == SEEN_NEW ? DO_CONFIRM : DO_RELEASE;
}

/* The cancellation, unless this is the answer to one. */
static enum payment_action cancel_first(const struct payment_observation *o)
{
	return o->step == STEP_CANCEL ? DO_WAIT : DO_CANCEL;
}

/* Confirmed as far as we know: what the gateway says of the intent decides. */
static enum payment_action decide_confirmed(const struct payment_view *v, const struct payment_observation *o)
{
	bool waits = v->state == PAYMENT_REQUIRES_ACTION;
	bool over = v->now_us >= v->hold_until_us;
	int64_t until_us = waits ? v->action_until_us : v->hold_until_us;

	switch (o->seen) {
	case SEEN_NOTHING:
		return DO_RETRIEVE;
	case SEEN_ACTION:
		if (v->now_us >= v->action_until_us)
			return DO_ABANDON;
		if (v->cancel_called)
			return cancel_first(o);
		return waits ? DO_WAIT : DO_REQUIRE_ACTION;
	case SEEN_HELD:
		if (over)
			break; /* nobody looked in time: the bank's yes gives the seats to nobody any more */
		/* who asked for the cancellation may still send it: it would end what was booked */
		return v->cancel_called ? cancel_first(o) : DO_AUTHORISE;
	case SEEN_PAID:
		if (over)
			break;
		return DO_AUTHORISE;
	case SEEN_DECLINED:
		return DO_FAIL;
	case SEEN_CANCELED:
		return DO_RELEASE;
	case SEEN_NEW:
		if (over)
			break;
		/* It was not confirmed, but a confirmation may still be on its way: the cancellation proves that it is not. */
		return cancel_first(o);
	case SEEN_STALE:
		if (o->step != STEP_RETRIEVE)
			return DO_RETRIEVE;
		break;
	case SEEN_REFUSED:
		if (o->step == STEP_CONFIRM)
			return DO_FAIL; /* the method it was given is none */
		if (o->step == STEP_CANCEL)
			return DO_RETRIEVE;
		return DO_RELEASE; /* the gateway does not know the intent */
	case SEEN_DENIED:
	case SEEN_UNREACHED:
		/* Of the first confirmation this proves that nothing was charged; of anything else it proves nothing. */
		if (o->step == STEP_CONFIRM && v->fresh)
			return DO_RELEASE;
		break;
	case SEEN_UNKNOWN:
		if (o->step == STEP_CONFIRM)
			return DO_RETRIEVE;
		break;
	case SEEN_UNBOOKABLE:
		return DO_VOID;
	case SEEN_OVER_LIMIT:
		return DO_REJECT;
	}
	return v->now_us >= until_us ? DO_ABANDON : DO_WAIT;
}

static enum payment_action decide_authorised(const struct payment_observation *o)
{
	switch (o->seen) {
	case SEEN_NOTHING:
		return DO_CAPTURE;
	case SEEN_PAID:
		return DO_CAPTURED;
	case SEEN_CANCELED:
	case SEEN_DECLINED:
		return DO_LOSE;
	case SEEN_REFUSED:
		return o->step == STEP_CAPTURE ? DO_LOSE : DO_WAIT;
	case SEEN_STALE:
		return o->step == STEP_RETRIEVE ? DO_WAIT : DO_RETRIEVE;
	case SEEN_HELD:
		/* the capture is made, or made again: the gateway takes it once. How often, the drive bounds */
		return o->step == STEP_RETRIEVE || o->step == STEP_CONFIRM ? DO_CAPTURE : DO_WAIT;
	case SEEN_NEW:
	case SEEN_ACTION:
	case SEEN_UNREACHED:
	case SEEN_UNKNOWN:
	case SEEN_DENIED:
	case SEEN_UNBOOKABLE:
	case SEEN_OVER_LIMIT:
		break;
	}
	return DO_WAIT;
}

static enum payment_action decide_ended(const struct payment_view *v, const struct payment_observation *o)
{
	if (!v->void_wanted)
		return DO_NOTHING;
	switch (o->seen) {
	case SEEN_NOTHING:
		return DO_CANCEL;
	case SEEN_CANCELED:
		return DO_VOIDED;
	case SEEN_PAID:
		return v->state == PAYMENT_CAPTURED ? DO_NOTHING : DO_REFUND_ALL;
	case SEEN_REFUSED:
		return o->step == STEP_RETRIEVE ? DO_VOIDED : DO_RETRIEVE; /* what it does not know it cannot charge */
	case SEEN_STALE:
		return o->step == STEP_RETRIEVE ? DO_WAIT : DO_RETRIEVE;
	case SEEN_NEW:
	case SEEN_ACTION:
	case SEEN_HELD:
	case SEEN_DECLINED:
	case SEEN_UNREACHED:
	case SEEN_UNKNOWN:
	case SEEN_DENIED:
	case SEEN_UNBOOKABLE:
	case SEEN_OVER_LIMIT:
		break;
	}
	return DO_WAIT;
}

enum payment_action payment_decide(const struct payment_view *v, const struct payment_observation *o)
{
	/* Another amount than was asked is never taken. Once the booking stands on it, the booking ends. */
	if (o->differs[0] && (v->state == PAYMENT_CREATED || v->state == PAYMENT_REQUIRES_ACTION))
		return DO_REJECT;
	if (o->differs[0] && v->state == PAYMENT_AUTHORISED)
		return DO_LOSE;
	switch (v->state) {
	case PAYMENT_CREATED:
		return v->confirm_called ? decide_confirmed(v, o) : decide_unconfirmed(v, o);
	case PAYMENT_REQUIRES_ACTION:
		return decide_confirmed(v, o);
	case PAYMENT_AUTHORISED:
		return decide_authorised(o);
	case PAYMENT_CAPTURED:
	case PAYMENT_FAILED:
	case PAYMENT_VOIDED:
	case PAYMENT_ABANDONED:
	case PAYMENT_CAPTURE_FAILED:
		return decide_ended(v, o);
	case PAYMENT_STATES:
		break;
	}
	assert(!"a state of payments");
	return DO_WAIT;
}

int64_t payment_backoff_us(int64_t tries)
{
	int64_t wait = 2 * US_PER_SECOND;

	for (int64_t i = 1; i < tries && wait < 64 * US_PER_SECOND; i++)
		wait *= 2;
	return wait;
}
