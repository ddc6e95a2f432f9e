/* Inside the booking service: one POST .../bookings, from the question to the answer. Freed with its answer. */
#ifndef BOOKING_BOOKING_PAY_H
#define BOOKING_BOOKING_PAY_H

#include "booking/booking_int.h"
#include "io/crypto.h"
#include "seat/seat_map.h"

struct pay {
	struct booking_service *b;
	struct web_call *call;
	struct show *show;
	struct idempotent idem;
	struct booking_ask ask;
	struct uuid booking_id, payment_id, lock_session;
	int asks;
	bool again, in_flight; /* the key was used before; its attempt is being worked on */
	struct timer *wait;    /* for the request that works on it */
	int64_t waited_ms;
	bool alone;    /* nobody was paying the lock when it was asked */
	bool declined; /* what this key asked for was declined, whatever came after it */
	const char *decline_code;
	struct payment_made *made; /* the new attempt, until it is committed */
	int64_t total_minor;
	char currency[4];
	/* the transaction */
	struct pg_tx *tx;
	int32_t *seats;
	size_t n_seats;
	bool lost, not_mine, doubled, over_limit, unissued;
	struct seat_change *changes;
	size_t n_changes;
	uint8_t email_hash[CRYPTO_HASH];
};

/* booking_pay.c. Each of these answers, sooner or later; p is gone then. */
void pay_ask(struct pay *p); /* what is known of key and lock? */
void pay_answer(void *arg);  /* by what is stored of the booking */
void pay_refuse(struct pay *p, enum err code, const char *detail);
void pay_refuse_limit(struct pay *p, const char *detail);

/* booking_pay_tx.c: the lock may be paid; booking_id and seats are set. */
void pay_begin(struct pay *p);

#endif
