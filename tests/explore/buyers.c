/*
 * The buyers, their locks and bookings, time, and the arrows' tables.
 *
 * A buyer may lock the seat when the database says that it is free, pay for it (A twice, when the first attempt has failed),
 * let it go, cancel what is booked; or do nothing, ever. Time may pass at any moment.
 */
#include "explore.h"

#include <stdarg.h>
#include <string.h>

const char *const attempt_names[ATTEMPTS] = {"A's first attempt", "A's second attempt", "B's attempt"};
const char *const buyer_names[BUYERS] = {"A", "B"};

void went(struct walk *k, const struct world *to, bool settles, const char *fmt, ...)
{
	va_list ap;

	if (k->speak) {
		va_start(ap, fmt);
		vsnprintf(k->words, sizeof(k->words), fmt, ap);
		va_end(ap);
	}
	k->fn(k, to, settles);
}

/* ---- arrows ---- */

void payment_goes(struct model *m, struct world *w, int attempt, enum payment_state to)
{
	struct attempt *a = &w->attempts[attempt];

	if (!payment_may((enum payment_state)a->state, to))
		w->fault = FAULT_NOT_DRAWN;
	for (size_t i = 0; i < payment_arrows_n; i++)
		if (payment_arrows[i].from == a->state && payment_arrows[i].to == to)
			m->payment_arrows |= UINT64_C(1) << i;
	a->state = (uint16_t)to & 15;
}

void refund_goes(struct model *m, struct world *w, struct refund *r, enum refund_state to)
{
	if (!refund_may((enum refund_state)r->state, to))
		w->fault = FAULT_NOT_DRAWN;
	for (size_t i = 0; i < refund_arrows_n; i++)
		if (refund_arrows[i].from == r->state && refund_arrows[i].to == to)
			m->refund_arrows |= UINT64_C(1) << i;
	r->state = (uint16_t)to & 7;
}

void booking_goes(struct model *m, struct world *w, int buyer, enum booking_state to, const char *file)
{
	struct buyer *b = &w->buyers[buyer];

	if (!booking_may((enum booking_state)b->booking, to))
		w->fault = FAULT_NOT_DRAWN;
	for (size_t i = 0; i < booking_arrows_n; i++)
		if (booking_arrows[i].from == b->booking && booking_arrows[i].to == to &&
		    strcmp(booking_arrows[i].file, file) == 0)
			m->booking_arrows |= UINT64_C(1) << i;
	b->booking = (uint16_t)to & 7;
}

void lock_goes(struct model *m, struct world *w, int buyer, enum lock_state to, const char *file)
{
	struct buyer *b = &w->buyers[buyer];

	if (!lock_may((enum lock_state)b->lock, to))
		w->fault = FAULT_NOT_DRAWN;
	for (size_t i = 0; i < lock_arrows_n; i++)
		if (lock_arrows[i].from == b->lock && lock_arrows[i].to == to && strcmp(lock_arrows[i].file, file) == 0)
			m->lock_arrows |= UINT64_C(1) << i;
	b->lock = (uint16_t)to & 7;
}

/* ---- seats and locks ---- */

bool lock_holds(const struct world *w, int buyer)
{
	return w->seat == SEAT_LOCKED && w->holder == (unsigned)buyer;
}

void seat_free(struct world *w)
{
	w->seat = SEAT_FREE;
	w->holder = w->endless = 0;
}

static bool over(const struct world *w, int buyer)
{
	return w->buyers[buyer].phase >= EXPIRED;
}

/* booking_fail.sql: payment_pending, and its lock is neither being paid nor alive */
static bool nobody_pays(const struct world *w, int buyer)
{
	const struct buyer *b = &w->buyers[buyer];

	return b->booking == BOOKING_PAYMENT_PENDING && b->lock != LOCK_PAYING &&
	       !(b->lock == LOCK_ACTIVE && !over(w, buyer));
}

void booking_fail_ended(struct model *m, struct world *w, int buyer)
{
	if (nobody_pays(w, buyer))
		booking_goes(m, w, buyer, BOOKING_FAILED, "booking_fail");
}

/* lock_batch: the seat is free, or locked and its time is over; then the other lock has expired */
static void walk_lock(struct walk *k, int buyer)
{
	struct world w = *k->from;
	struct buyer *b = &w.buyers[buyer];
	const char *how = "locks the seat";

	if (b->lock != NO_LOCK)
		return;
	if (w.seat == SEAT_LOCKED) {
		if (w.endless || !over(&w, w.holder))
			return;
		how = "takes the seat over from the other's lock, whose time is past, and locks it";
		if (w.buyers[w.holder].lock == LOCK_ACTIVE)
			lock_goes(k->m, &w, w.holder, LOCK_EXPIRED, "lock_batch");
	} else if (w.seat != SEAT_FREE) {
		return;
	}
	b->lock = LOCK_ACTIVE;
	b->second = w.buyers[!buyer].lock != NO_LOCK;
	w.seat = SEAT_LOCKED;
	w.holder = (uint16_t)buyer & 1;
	w.endless = 0;
	went(k, &w, false, "%s %s", buyer_names[buyer], how);
}

static void walk_release(struct walk *k, int buyer)
{
	struct world w = *k->from;

	if (w.buyers[buyer].lock != LOCK_ACTIVE)
		return;
	lock_goes(k->m, &w, buyer, LOCK_RELEASED, "lock_release");
	if (lock_holds(&w, buyer))
		seat_free(&w);
	went(k, &w, false, "%s lets the lock go", buyer_names[buyer]);
}

/* ---- paying ---- */

/* booking_pay_tx.c: lock_pay.sql, booking_create.sql, payment_create.sql (with the row of the first call) in one transaction */
static void walk_pay(struct walk *k, int attempt)
{
	struct world w = *k->from;
	int buyer = buyer_of(attempt), slot = drive_free_slot(&w, attempt);
	struct attempt *a = &w.attempts[attempt];
	struct buyer *b = &w.buyers[buyer];

	if (a->state != NO_PAYMENT || slot < 0)
		return;
	/* another key makes another attempt: the first has to be there, and payments_one_live */
	if (attempt == A2 && (w.attempts[A1].state == NO_PAYMENT || attempt_live(&w.attempts[A1])))
		return;
	if (b->lock != LOCK_ACTIVE || over(&w, buyer) || !lock_holds(&w, buyer))
		return;
	if (b->booking != NO_BOOKING && b->booking != BOOKING_PAYMENT_PENDING)
		return;
	lock_goes(k->m, &w, buyer, LOCK_PAYING, "lock_pay");
	w.endless = guarded(k->m, GUARD_PAYING_STOPS_CLOCK);
	b->booking = BOOKING_PAYMENT_PENDING;
	a->state = PAYMENT_CREATED;
	a->due = 1;
	w.drives[slot] = (struct drive){
		.used = 1, .attempt = (unsigned)attempt & 3, .fresh = 1, .current = 1, .action = ACTION_READ};
	if (guarded(k->m, GUARD_REQUEST_GENERATION)) /* else it is read afterwards, and depends on when */
		drive_first(k->m, &w, &w.drives[slot]);
	went(k, &w, false, "%s pays: lock paying, booking pending, %s created", buyer_names[buyer],
	     attempt_names[attempt]);
}

/* booking_cancel.c: payments_lock.sql, booking_hold.sql, booking_cancel.sql, seats_unbook.sql, refund_request.sql */
static void walk_cancel(struct walk *k, int buyer)
{
	struct world w = *k->from;
	struct buyer *b = &w.buyers[buyer];
	struct refund *r = NULL;

	if (b->booking != BOOKING_CONFIRMED)
		return;
	for (int i = 0; i < ATTEMPTS; i++)
		if (buyer_of(i) == buyer &&
		    (w.attempts[i].state == PAYMENT_AUTHORISED || w.attempts[i].state == PAYMENT_CAPTURED))
			r = &w.attempts[i].refunds[REFUND_SEATS];
	if (!r)
		return;
	booking_goes(k->m, &w, buyer, BOOKING_CANCELLED, "booking_cancel");
	b->owns = 0;
	b->fee_kept = 1;
	if (w.seat == SEAT_BOOKED && w.holder == (unsigned)buyer)
		seat_free(&w);
	r->state = REFUND_REQUESTED;
	went(k, &w, false, "%s cancels the booking, a refund is requested", buyer_names[buyer]);
}

/* A bug somewhere else, or a hand in the database: the seat of a lock that is being paid is taken from it. */
static void walk_stray(struct walk *k, int buyer)
{
	struct world w = *k->from;

	if (!w.strays || w.buyers[buyer].lock != LOCK_PAYING)
		return;
	w.strays--;
	w.buyers[buyer].lock = LOCK_RELEASED;
	if (lock_holds(&w, buyer))
		seat_free(&w);
	went(k, &w, false, "a bug elsewhere ends %s's lock while it is being paid", buyer_names[buyer]);
}

void walk_buyers(struct walk *k)
{
	for (int i = 0; i < BUYERS; i++) {
		walk_lock(k, i);
		walk_release(k, i);
		walk_cancel(k, i);
		walk_stray(k, i);
	}
	for (int i = 0; i < ATTEMPTS; i++)
		walk_pay(k, i);
}

/* ---- time, and what it ends ---- */

bool clock_matters(const struct world *w, int buyer)
{
	if (w->buyers[buyer].lock == LOCK_ACTIVE || w->buyers[buyer].lock == LOCK_PAYING)
		return true;
	for (int i = 0; i < ATTEMPTS; i++)
		if (buyer_of(i) == buyer && w->attempts[i].state <= PAYMENT_REQUIRES_ACTION)
			return true;
	return false;
}

void walk_time(struct walk *k)
{
	static const char *const past[] = {"", "the lock's time is over", "the bound of 3-D Secure is past",
					   "the bound of everything is past"};

	for (int i = 0; i < BUYERS; i++) {
		struct world w = *k->from;
		struct buyer *b = &w.buyers[i], *other = &w.buyers[!i];

		if (b->lock == NO_LOCK || b->phase == PAST_HOLD || !clock_matters(&w, i) ||
		    (b->lock == LOCK_ACTIVE && b->phase == EXPIRED))
			continue;
		/* the younger one's clock is not ahead */
		if (b->second && clock_matters(&w, !i) && b->phase >= other->phase)
			continue;
		b->phase = (uint16_t)(b->phase + 1) & 3;
		went(k, &w, true, "time: %s (%s)", past[b->phase], buyer_names[i]);
	}
}

/* lock_expire.sql; bookings_over.sql with booking_fail.sql */
void walk_ends(struct walk *k)
{
	for (int i = 0; i < BUYERS; i++) {
		struct world w = *k->from;

		if (w.buyers[i].lock == LOCK_ACTIVE && over(&w, i)) {
			lock_goes(k->m, &w, i, LOCK_EXPIRED, "lock_expire");
			if (lock_holds(&w, i) && !w.endless)
				seat_free(&w);
			went(k, &w, true, "%s's lock expires", buyer_names[i]);
		}
		w = *k->from;
		if (nobody_pays(&w, i)) {
			booking_fail_ended(k->m, &w, i);
			went(k, &w, true, "%s's booking fails: nobody will pay it", buyer_names[i]);
		}
	}
}

/* The order of those that settle is that of the settling: what is under way first, then time, then what is due. */
void walk_all(struct walk *k)
{
	walk_drives(k);
	walk_refund_drives(k);
	walk_time(k);
	walk_gateway(k);
	walk_takes(k);
	walk_refund_takes(k);
	walk_ends(k);
	walk_buyers(k);
	walk_drive_losses(k);
	walk_refund_losses(k);
}
