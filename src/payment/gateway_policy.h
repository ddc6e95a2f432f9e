/*
 * When a call of the gateway is made, made again, or not made at all. Pure: clock and randomness are passed in.
 *
 *   repeat   a call that surely did nothing, or whose key is being worked on, is sent again with the same key and bytes, a few
 *            times, after waits that grow and are jittered. What may have been done is never repeated here: it is read.
 *   budget   a process repeats at most a tenth of what succeeds, and a few more: a gateway in trouble is not helped by more calls.
 *   breaker  CLOSED --too many failures--> OPEN --its time is over, one call goes--> HALF_OPEN --it failed--> OPEN, for longer
 *              ^                                                                        |
 *              +------------------------------it was answered--------------------------+
 *
 * One budget and one breaker per process; called by gateway_call.c and tests.
 */
#ifndef PAYMENT_GATEWAY_POLICY_H
#define PAYMENT_GATEWAY_POLICY_H

#include <stdbool.h>
#include <stdint.h>

/* ---- what came of a call ---- */

struct gateway_outcome {
	int http_status;	/* 0: no answer */
	bool sent;		/* some byte may have left */
	const char *code;	/* of the error that was answered; "" */
	int64_t retry_after_s;	/* -1: not said */
	bool should_retry_said; /* Stripe-Should-Retry */
	bool should_retry;
};

enum gateway_again {
	AGAIN_NO,
	AGAIN_NOTHING_DONE, /* no byte left, or it was turned away at the door */
	AGAIN_IN_USE,	    /* its key, or what it is about, is being worked on: it may still be done */
};
enum gateway_again gateway_again(const struct gateway_outcome *o);

enum { GATEWAY_REPEATS_MAX = 3 };
/* How long to wait before the repeats-th repetition (from 1): between half and all of 200 ms, 400 ms, 800 ms; not less than the
 * gateway asked for. */
int64_t gateway_wait_us(int repeats, int64_t retry_after_s, uint32_t random);

/* ---- budget ---- */

enum { BUDGET_FLOOR = 10, BUDGET_MAX = 100, BUDGET_EVERY_US = 1000 * 1000 };

struct gateway_budget {
	int64_t milli;	   /* thousandths of a repetition */
	int64_t filled_us; /* up to the floor it fills by itself, one every BUDGET_EVERY_US */
};
void gateway_budget_init(struct gateway_budget *b, int64_t now_us);
void gateway_budget_earn(struct gateway_budget *b); /* a call was answered: a tenth of a repetition */
bool gateway_budget_take(struct gateway_budget *b, int64_t now_us);

/* ---- breaker ---- */

enum breaker_state { BREAKER_CLOSED, BREAKER_HALF_OPEN, BREAKER_OPEN }; /* the values of the metric */

enum {
	BREAKER_IN_A_ROW = 5, /* failures */
	BREAKER_WINDOW = 20,  /* or half of the last so many */
	BREAKER_OPEN_US = 1000 * 1000,
	BREAKER_OPEN_MAX_US = 16 * 1000 * 1000,
	BREAKER_PROBE_US = 150 * INT64_C(1000000), /* a probe that was not heard of for so long is given up */
};

struct breaker {
	enum breaker_state state;
	int in_a_row;
	uint32_t window; /* the last results, newest in bit 0; 1: failed */
	int n_window;
	int64_t open_us;  /* how long it is open this time */
	int64_t until_us; /* OPEN: until then; HALF_OPEN: the probe is waited for until then */
};
void breaker_init(struct breaker *b);
/* May a call go now? It may change OPEN to HALF_OPEN: then this call is the probe, and its result must be told. */
bool breaker_admit(struct breaker *b, int64_t now_us);
/* Would it? For who does not call yet. ret_wait_us: how long not, as far as is known. */
bool breaker_would_admit(const struct breaker *b, int64_t now_us, int64_t *ret_wait_us);
/* Of a call that was admitted. failed: no answer, or a 5xx. random: for the time it stays open. */
void breaker_tell(struct breaker *b, int64_t now_us, bool failed, uint32_t random);

#endif
