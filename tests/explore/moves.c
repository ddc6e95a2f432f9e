/*
 * The transactions of a drive: payment_moves.c, each one step, with the guards of its SQL files. Called by drives.c.
 */
#include "explore.h"

static bool unpaid(const struct attempt *a)
{
	return a->state == PAYMENT_CREATED || a->state == PAYMENT_REQUIRES_ACTION;
}

/* ---- the transactions: false: a statement found nothing, all of it is rolled back ---- */

static bool unbookable(const struct model *m, const struct world *w, int buyer)
{
	const struct buyer *b = &w->buyers[buyer], *other = &w->buyers[!buyer];

	if (b->booking != BOOKING_PAYMENT_PENDING) /* booking_confirm.sql: state = 'payment_pending' */
		return true;
	if (guarded(m, GUARD_UNIQUE_OWNER) && (other->owns || b->owns)) /* booking_seats_one_owner: placed < n */
		return true;
	/* lock_book.sql: state = 'paying', and its n seats are still its own */
	return guarded(m, GUARD_LOCK_PAYING) &&
	       (b->lock != LOCK_PAYING || w->seat != SEAT_LOCKED || w->holder != (unsigned)buyer);
}

static void book(struct model *m, struct world *w, int buyer)
{
	booking_goes(m, w, buyer, BOOKING_CONFIRMED, "booking_confirm");
	w->buyers[buyer].owns = 1;
	if (w->buyers[buyer].lock == LOCK_PAYING)
		lock_goes(m, w, buyer, LOCK_BOOKED, "lock_book");
	w->buyers[buyer].lock = LOCK_BOOKED;
	w->seat = SEAT_BOOKED;
	w->holder = (uint16_t)buyer & 1;
	w->endless = 1;
}

/* payment_authorise.sql, booking_confirm.sql, lock_book.sql, tickets, payment_call_first.sql */
static bool do_authorise(struct model *m, struct world *w, struct drive *d)
{
	struct attempt *a = &w->attempts[d->attempt];
	bool paid = d->seen == SEEN_PAID;
	int buyer = buyer_of(d->attempt);

	if (guarded(m, GUARD_STATE) && !unpaid(a))
		return false;
	if (w->buyers[buyer].phase == PAST_HOLD) {
		if (guarded(m, GUARD_BOUND_ROW)) /* hold_until > statement_timestamp() */
			return false;
		w->fault = FAULT_TOO_LATE;
	}
	if (guarded(m, GUARD_ONE_TRANSACTION) && unbookable(m, w, buyer)) {
		drive_think(m, w, d, SEEN_UNBOOKABLE,
			    STEP_NONE); /* rolled back: what was answered is still unrecorded */
		return true;
	}
	payment_goes(m, w, d->attempt, PAYMENT_AUTHORISED);
	d->state = PAYMENT_AUTHORISED;
	a->due = 1;
	if (!guarded(m, GUARD_ONE_TRANSACTION)) {
		d->action = ACTION_BOOK; /* next, in a transaction of its own */
		return true;
	}
	book(m, w, buyer);
	call_key(m, &a->capture);
	if (paid)
		drive_think(m, w, d, SEEN_PAID, STEP_NONE);
	else
		drive_send(w, d, STEP_CAPTURE, a->capture.no);
	return true;
}

/* The call, whose row was committed with the attempt, and its answer: until somebody knows the intent it is nobody's business, so it is one step. */
static bool do_create(struct model *m, struct world *w, struct drive *d)
{
	w->attempts[d->attempt].due = 1;
	w->attempts[d->attempt].intent = INTENT_NEW;
	drive_think(m, w, d, SEEN_NEW, STEP_CREATE);
	return true;
}

static bool do_book(struct model *m, struct world *w, struct drive *d)
{
	if (!unbookable(m, w, buyer_of(d->attempt)))
		book(m, w, buyer_of(d->attempt));
	drive_send(w, d, STEP_CAPTURE, call_key(m, &w->attempts[d->attempt].capture));
	return true;
}

/* payment_confirm_call.sql, which writes the intent's id too; false also when the state has gone on */
static bool do_confirm(struct model *m, struct world *w, struct drive *d)
{
	struct attempt *a = &w->attempts[d->attempt];

	if (guarded(m, GUARD_STATE) && (a->state != PAYMENT_CREATED || a->has_intent))
		return false;
	if (guarded(m, GUARD_CONFIRM_ROW))
		a->has_intent = a->confirm_called = 1;
	a->due = 1;
	d->has_intent = d->confirm_called = 1;
	drive_send(w, d, STEP_CONFIRM, 1);
	return true;
}

/* lock_unpay.sql, booking_fail.sql */
static void give_lock_back(struct model *m, struct world *w, int buyer)
{
	if (w->buyers[buyer].lock == LOCK_PAYING) {
		bool lives = w->buyers[buyer].phase == IN_TIME, held = lock_holds(w, buyer);

		lock_goes(m, w, buyer, lives ? LOCK_ACTIVE : LOCK_EXPIRED, "lock_unpay");
		if (held && lives)
			w->endless = 0;
		else if (held)
			seat_free(w);
	}
	booking_fail_ended(m, w, buyer);
}

/* payment_fail.sql, lock_unpay.sql, booking_fail.sql */
static bool do_fail(struct model *m, struct world *w, struct drive *d)
{
	struct attempt *a = &w->attempts[d->attempt];
	int buyer = buyer_of(d->attempt);

	if (guarded(m, GUARD_STATE) && !unpaid(a))
		return false;
	payment_goes(m, w, d->attempt, PAYMENT_FAILED);
	a->void_wanted = a->has_intent && d->action == DO_RELEASE && d->seen != SEEN_CANCELED &&
			 guarded(m, GUARD_VOID_AFTER_END) && guarded(m, GUARD_CANCEL_FIRST);
	a->due = a->void_wanted;
	give_lock_back(m, w, buyer);
	drive_end(d);
	return true;
}

/* payment_void.sql, and the lock goes back */
static bool do_reject(struct model *m, struct world *w, struct drive *d)
{
	struct attempt *a = &w->attempts[d->attempt];

	if (guarded(m, GUARD_STATE) && !unpaid(a) && a->state != PAYMENT_AUTHORISED)
		return false;
	payment_goes(m, w, d->attempt, PAYMENT_VOIDED);
	d->void_wanted = a->void_wanted = a->due = a->has_intent && guarded(m, GUARD_VOID_AFTER_END);
	give_lock_back(m, w, buyer_of(d->attempt));
	d->state = PAYMENT_VOIDED;
	drive_think(m, w, d, SEEN_NOTHING, STEP_NONE);
	return true;
}

/* payment_abandon.sql, payment_void.sql; lock_abandon.sql, seats_repair.sql, booking_fail.sql */
static bool do_give_up(struct model *m, struct world *w, struct drive *d)
{
	struct attempt *a = &w->attempts[d->attempt];
	enum payment_state to = d->action == DO_VOID ? PAYMENT_VOIDED : PAYMENT_ABANDONED;
	int buyer = buyer_of(d->attempt);

	if (guarded(m, GUARD_STATE) && !unpaid(a) && !(to == PAYMENT_VOIDED && a->state == PAYMENT_AUTHORISED))
		return false;
	payment_goes(m, w, d->attempt, to);
	a->void_wanted = a->has_intent && guarded(m, GUARD_VOID_AFTER_END);
	a->due = a->void_wanted;
	if (w->buyers[buyer].lock == LOCK_PAYING) {
		bool held = lock_holds(w, buyer);

		lock_goes(m, w, buyer, LOCK_ABANDONED, "lock_abandon");
		if (held)
			seat_free(w);
	}
	for (int b = 0; b < BUYERS; b++)
		if (w->buyers[b].owns && w->seat != SEAT_BOOKED) {
			w->seat = SEAT_BOOKED;
			w->holder = (uint16_t)b & 1;
			w->endless = 1;
		}
	booking_fail_ended(m, w, buyer);
	d->state = to;
	d->void_wanted = d->has_intent && guarded(m, GUARD_VOID_AFTER_END);
	drive_think(m, w, d, SEEN_NOTHING, STEP_NONE);
	return true;
}

/* payment_lose.sql, booking_lose.sql, seats_unbook.sql */
static bool do_lose(struct model *m, struct world *w, struct drive *d)
{
	struct attempt *a = &w->attempts[d->attempt];
	int buyer = buyer_of(d->attempt);
	struct buyer *b = &w->buyers[buyer];

	if (guarded(m, GUARD_STATE) && a->state != PAYMENT_AUTHORISED)
		return false;
	payment_goes(m, w, d->attempt, PAYMENT_CAPTURE_FAILED);
	a->due = a->void_wanted = guarded(m, GUARD_VOID_AFTER_END);
	if (b->booking == BOOKING_CONFIRMED) {
		booking_goes(m, w, buyer, BOOKING_CANCELLED, "booking_lose");
		b->owns = 0;
		if (w->seat == SEAT_BOOKED && w->holder == (unsigned)buyer)
			seat_free(w);
	}
	b->fee_kept = 0;
	d->state = PAYMENT_CAPTURE_FAILED;
	d->void_wanted = guarded(m, GUARD_VOID_AFTER_END);
	drive_think(m, w, d, SEEN_NOTHING, STEP_NONE);
	return true;
}

static bool do_require_action(struct model *m, struct world *w, struct drive *d)
{
	struct attempt *a = &w->attempts[d->attempt];

	if (guarded(m, GUARD_STATE) && a->state != PAYMENT_CREATED)
		return false;
	payment_goes(m, w, d->attempt, PAYMENT_REQUIRES_ACTION);
	a->due = 1;
	drive_end(d);
	return true;
}

static bool do_captured(struct model *m, struct world *w, struct drive *d)
{
	struct attempt *a = &w->attempts[d->attempt];

	if (guarded(m, GUARD_STATE) && a->state != PAYMENT_AUTHORISED)
		return false;
	payment_goes(m, w, d->attempt, PAYMENT_CAPTURED);
	a->due = 0;
	drive_end(d);
	return true;
}

/* payment_voided.sql, refund_all.sql, payment_rest.sql: what they do not find does not end the transaction */
static bool do_quietly(struct model *m, struct world *w, struct drive *d, bool mine)
{
	struct attempt *a = &w->attempts[d->attempt];

	if (mine && d->action == DO_WAIT) {
		a->due = !attempt_ended(a) || a->void_wanted;
	} else if (mine && a->void_wanted) {
		a->void_wanted = a->due = 0;
		if (d->action == DO_REFUND_ALL && guarded(m, GUARD_REFUND_AFTER_VOID))
			a->refunds[REFUND_VOID].state = REFUND_REQUESTED;
	}
	drive_end(d);
	return true;
}

bool drive_act(struct model *m, struct world *w, struct drive *d)
{
	struct attempt *a = &w->attempts[d->attempt];
	bool mine = d->current || !guarded(m, GUARD_GENERATION); /* AND p.generation = $3 in every one of these files */

	if (d->action == DO_WAIT || d->action == DO_VOIDED || d->action == DO_REFUND_ALL)
		return do_quietly(m, w, d, mine);
	if (!mine)
		return false;
	if (!guarded(m, GUARD_CONFIRM_ROW) && d->confirm_called)
		a->has_intent = a->confirm_called = 1; /* written only when there is an answer */
	switch ((int)d->action) {
	case DO_CREATE:
		return do_create(m, w, d);
	case DO_CONFIRM:
		return do_confirm(m, w, d);
	case DO_CAPTURE:
		a->due = 1;
		drive_send(w, d, STEP_CAPTURE, call_key(m, &a->capture));
		return true;
	case DO_CANCEL:
		a->due = d->cancel_called = 1;
		drive_send(w, d, STEP_CANCEL, call_key(m, &a->cancel));
		return true;
	case DO_REQUIRE_ACTION:
		return do_require_action(m, w, d);
	case DO_AUTHORISE:
		return do_authorise(m, w, d);
	case ACTION_BOOK:
		return do_book(m, w, d);
	case DO_CAPTURED:
		return do_captured(m, w, d);
	case DO_LOSE:
		return do_lose(m, w, d);
	case DO_FAIL:
	case DO_RELEASE:
		return do_fail(m, w, d);
	case DO_REJECT:
		return do_reject(m, w, d);
	case DO_ABANDON:
	case DO_VOID:
		return do_give_up(m, w, d);
	default:
		abort();
	}
}
