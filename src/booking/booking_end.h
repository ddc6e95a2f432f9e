/*
 * The transaction that ends a booking or some of its seats: whoever asks for it, a buyer, the staff, or the job of a show that
 * was called off (src/jobs). What is gone already is not ended twice.
 */
#ifndef BOOKING_BOOKING_END_H
#define BOOKING_BOOKING_END_H

#include "booking/booking_service.h"

enum booking_end_by {
	END_BY_BUYER, /* in time, and less the fee */
	END_BY_STAFF, /* at any time, and less the fee */
	END_BY_SHOW,  /* called off: everything goes back */
};

struct booking_end {
	struct uuid show_id, booking_id;
	enum booking_end_by by;
	const uint32_t *seats; /* NULL: all it has */
	uint32_t n_seats;
	/* Further statements of the caller's in the same transaction, when something ends. May be NULL. */
	void (*also)(void *arg, struct pg_tx *tx);
};

/* What became of it. err: ERR_NONE, also when there was nothing left to end (nothing); ERR_NOT_FOUND, ERR_PAYMENT_IN_PROGRESS,
 * ERR_CANCELLATION_CLOSED, ERR_TICKET_USED, ERR_UNKNOWN_SEAT (bad_seat), ERR_INTERNAL: nothing was changed, nor will be;
 * ERR_UNAVAILABLE, ERR_OUTCOME_UNKNOWN: ask again. */
struct booking_ended {
	enum err err;
	const char *detail; /* NULL: the usual sentence */
	uint32_t bad_seat;
	bool nothing;
	int64_t refund_minor; /* of refund_id; the settling duty sends it, or refund_send at once */
	struct uuid refund_id;
};

/* fn runs exactly once, never before this returns. The arena and what ask points to stay until then; arg is also's too. */
typedef void booking_ended_fn(void *arg, const struct booking_ended *ended);
void booking_end_start(struct booking_service *b, struct arena *arena, const struct booking_end *ask,
		       booking_ended_fn *fn, void *arg);

#endif
