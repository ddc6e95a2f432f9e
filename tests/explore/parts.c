/*
 * Fewer states without fewer things that can happen.
 *
 * What nobody will ever look at again is the same, however it came to be.
 *
 * An attempt that ended before any booking is by itself from then on: only the gateway has to be told.
 * A buyer is out of it when the seat is not theirs, they cannot get it any more, and what is left of them is money: captures,
 * voids, refunds. From then on the two buyers share no row. So what is left of one is looked at by itself, and the other by
 * themselves, instead of every pair of both; that who is out stays out and touches nothing is checked with every step.
 */
#include "explore.h"

#include <string.h>

/* Drives of the same kind are alike: a state is written with them in order. */
static void in_order(uint32_t *v, int n)
{
	for (int i = 1; i < n; i++)
		for (int j = i; j > 0 && v[j] > v[j - 1]; j--) {
			uint32_t swap = v[j];

			v[j] = v[j - 1];
			v[j - 1] = swap;
		}
}

static bool drives_of(const struct world *w, int attempt, int buyer)
{
	for (int i = 0; i < DRIVES; i++)
		if (w->drives[i].used && (attempt < 0 || w->drives[i].attempt == (unsigned)attempt) &&
		    (buyer < 0 || buyer_of((int)w->drives[i].attempt) == buyer))
			return true;
	return false;
}

static bool calls_of(const struct world *w, int attempt, int kind)
{
	for (int i = 0; i < LATE; i++)
		if (w->late[i].key && w->late[i].attempt == (unsigned)attempt &&
		    (kind < 0 || w->late[i].call == (unsigned)(CALL_REFUND_SEATS + kind)))
			return true;
	for (int i = 0; i < REFUND_DRIVES; i++)
		if (w->refunds[i].used && w->refunds[i].attempt == (unsigned)attempt &&
		    (kind < 0 || w->refunds[i].kind == (unsigned)kind))
			return true;
	return false;
}

/* What nobody will ever look at again is the same, however it came to be: without it there are fewer states. */
static void forget_attempt(struct world *w, int i)
{
	static const struct calls none;
	struct attempt *a = &w->attempts[i];
	bool ends = attempt_ended(a) && !a->due && !drives_of(w, i, -1);

	if (a->intent != INTENT_NEW && a->intent != INTENT_ACTION && a->intent != INTENT_DECLINED)
		a->confirm_stored = 0;
	for (int kind = 0; kind < REFUND_KINDS; kind++) {
		struct refund *r = &a->refunds[kind];

		if ((r->state == REFUND_SUCCEEDED || r->state == REFUND_FAILED) && !calls_of(w, i, kind)) {
			r->calls = none;
			r->called = 0;
		}
	}
	if (!ends || calls_of(w, i, -1))
		return;
	a->capture = a->cancel = none;
	if (a->state == PAYMENT_CAPTURED || a->void_wanted || a->intent == INTENT_PAID || a->intent == INTENT_HELD ||
	    a->intent == INTENT_ACTION || a->refunds[REFUND_SEATS].state != NO_REFUND)
		return;
	a->state = PAYMENT_FAILED;
	a->intent = INTENT_CANCELED;
	a->has_intent = a->confirm_called = a->confirm_stored = 0;
}

static void normalise(struct world *w)
{
	uint32_t v[DRIVES], r[REFUND_DRIVES];

	_Static_assert(sizeof(w->drives) == sizeof(v) && sizeof(w->refunds) == sizeof(r), "a word each");
	memcpy(v, w->drives, sizeof(v));
	in_order(v, DRIVES);
	memcpy(w->drives, v, sizeof(v));
	memcpy(r, w->refunds, sizeof(r));
	in_order(r, REFUND_DRIVES);
	memcpy(w->refunds, r, sizeof(r));
	gateway_forget_late(w);
	for (int i = 0; i < ATTEMPTS; i++)
		forget_attempt(w, i);
	for (int i = 0; i < BUYERS; i++)
		if (w->buyers[i].lock != NO_LOCK && !clock_matters(w, i) && !drives_of(w, -1, i))
			w->buyers[i].phase = PAST_HOLD;
	for (int i = 0; i < BUYERS; i++)
		if (!clock_matters(w, 0) || !clock_matters(w, 1))
			w->buyers[i].second = 0;
}

/* ---- who is out of it ---- */

static bool out_of_it(const struct world *w, int buyer)
{
	const struct buyer *b = &w->buyers[buyer];

	if (b->lock == NO_LOCK || b->lock == LOCK_ACTIVE || b->lock == LOCK_PAYING || b->owns ||
	    b->booking == BOOKING_PAYMENT_PENDING || b->booking == BOOKING_CONFIRMED ||
	    (w->seat != SEAT_FREE && w->holder == (unsigned)buyer))
		return false;
	for (int i = 0; i < ATTEMPTS; i++)
		if (buyer_of(i) == buyer && w->attempts[i].state <= PAYMENT_REQUIRES_ACTION)
			return false;
	for (int i = 0; i < DRIVES; i++)
		if (w->drives[i].used && w->drives[i].current && buyer_of((int)w->drives[i].attempt) == buyer &&
		    (w->drives[i].state <= PAYMENT_REQUIRES_ACTION || w->drives[i].action == ACTION_BOOK))
			return false;
	return true;
}

/* It has ended before any booking, nobody at it believes otherwise, and the gateway may still have to be told. */
static bool loose(const struct world *w, int attempt)
{
	const struct attempt *a = &w->attempts[attempt];

	if (a->state != PAYMENT_FAILED && a->state != PAYMENT_VOIDED && a->state != PAYMENT_ABANDONED)
		return false;
	for (int i = 0; i < DRIVES; i++)
		if (w->drives[i].used && w->drives[i].attempt == (unsigned)attempt && w->drives[i].current &&
		    w->drives[i].state < PAYMENT_CAPTURED)
			return false;
	return a->due || a->intent != INTENT_CANCELED || drives_of(w, attempt, -1) || calls_of(w, attempt, -1);
}

static void leave(struct world *w, int attempt)
{
	for (int i = 0; i < DRIVES; i++)
		if (w->drives[i].used && w->drives[i].attempt == (unsigned)attempt)
			memset(&w->drives[i], 0, sizeof(w->drives[i]));
	for (int i = 0; i < REFUND_DRIVES; i++)
		if (w->refunds[i].used && w->refunds[i].attempt == (unsigned)attempt)
			memset(&w->refunds[i], 0, sizeof(w->refunds[i]));
	for (int i = 0; i < LATE; i++)
		if (w->late[i].key && w->late[i].attempt == (unsigned)attempt)
			memset(&w->late[i], 0, sizeof(w->late[i]));
	memset(&w->attempts[attempt], 0, sizeof(w->attempts[attempt]));
	w->attempts[attempt].state = NO_PAYMENT;
	for (int kind = 0; kind < REFUND_KINDS; kind++)
		w->attempts[attempt].refunds[kind].state = NO_REFUND;
}

static void leave_buyer(struct world *w, int buyer)
{
	w->buyers[buyer] = (struct buyer){.lock = LOCK_RELEASED, .phase = PAST_HOLD, .booking = NO_BOOKING};
	for (int i = 0; i < ATTEMPTS; i++)
		if (buyer_of(i) == buyer)
			leave(w, i);
}

static void alone(struct world *w, int buyer)
{
	leave_buyer(w, !buyer);
	if (w->seat != SEAT_FREE && w->holder != (unsigned)buyer)
		seat_free(w);
	normalise(w);
}

static void alone_attempt(struct world *w, int attempt)
{
	for (int i = 0; i < ATTEMPTS; i++)
		if (i != attempt)
			leave(w, i);
	for (int i = 0; i < BUYERS; i++)
		w->buyers[i] = (struct buyer){.lock = LOCK_RELEASED, .phase = PAST_HOLD, .booking = NO_BOOKING};
	seat_free(w);
	normalise(w);
}

static bool nothing_left(const struct world *w)
{
	for (int i = 0; i < BUYERS; i++)
		if (w->buyers[i].lock != LOCK_RELEASED || w->buyers[i].booking != NO_BOOKING)
			return false;
	for (int i = 0; i < ATTEMPTS; i++)
		if (w->attempts[i].state != NO_PAYMENT && (w->attempts[i].state != PAYMENT_FAILED || loose(w, i)))
			return false;
	return true;
}

int parts(const struct world *from, const struct world *to, struct world out[PARTS])
{
	struct world w = *to;
	int n = 0;

	for (int i = 0; i < BUYERS; i++)
		if (out_of_it(from, i) && (!out_of_it(to, i) || (out_of_it(from, !i) && to->seat != SEAT_FREE)))
			w.fault = FAULT_CAME_BACK;
	normalise(&w);
	if (w.fault && w.fault != FAULT_OVERTAKEN) {
		out[0] = w;
		return 1; /* as it is, to be told */
	}
	for (int i = 0; i < ATTEMPTS; i++) {
		if (!loose(&w, i))
			continue;
		out[n] = w;
		alone_attempt(&out[n++], i);
		leave(&w, i);
		w.attempts[i].state = PAYMENT_FAILED;
		w.attempts[i].intent = INTENT_CANCELED;
	}
	normalise(&w);
	for (int i = 0; i < BUYERS; i++)
		if (out_of_it(&w, i)) {
			out[n] = w;
			alone(&out[n], i);
			n += !nothing_left(&out[n]);
			alone(&w, !i);
			break;
		}
	if (n == 0 || !nothing_left(&w)) /* so that what is by itself stays one, and a way round in it is seen */
		out[n++] = w;
	return n;
}
