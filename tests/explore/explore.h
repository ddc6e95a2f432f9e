/*
 * The exhaustive explorer of the payment state machine: every state that two buyers, one seat, three attempts, a gateway and
 * faults can come to within a bound, breadth first.
 *
 *   main.c        options, the runs of the tests
 *   search.c      the states seen, the shortest way to each, whether each settles
 *   invariants.c  what must hold in every state and in every end
 *   buyers.c      buyers, locks, time, cancellations:        booking_pay_tx.c, booking_cancel.c, seat/sql, booking/sql
 *   drives.c      drives of attempts, step by step:          payment_drive.c
 *   moves.c       their transactions:                        payment_moves.c, payment/sql
 *   parts.c       fewer states without fewer things that can happen
 *   refunds.c     drives of refunds:                         refund_drive.c, payment/sql/refund_*
 *   gateway.c     intents, refunds, idempotency keys, calls that arrive late
 *
 * What to do next is not modelled: it is payment_decide() of the program, on what payment_observe() makes of the gateway's
 * words. A transaction is one step, with the guards of its SQL files, which are named beside it. Each guard can be taken away.
 *
 * A call that is under way may arrive at any later time, or never; a drive may sleep at any point for as long as it likes, and
 * an attempt may be taken over at any moment. Deaths and losses are counted, the bound is their number.
 */
#ifndef EXPLORE_EXPLORE_H
#define EXPLORE_EXPLORE_H

#include "booking/booking.h"
#include "payment/payment.h"
#include "seat/seat.h"

#include <stdint.h>
#include <stdio.h>

/* ---- the guards that can be taken away ---- */

enum guard {
	GUARD_GENERATION,
	GUARD_REQUEST_GENERATION,
	GUARD_STATE,
	GUARD_UNIQUE_OWNER,
	GUARD_LOCK_PAYING,
	GUARD_PAYING_STOPS_CLOCK,
	GUARD_ONE_TRANSACTION,
	GUARD_BOOK_FIRST,
	GUARD_CONFIRM_ROW,
	GUARD_CANCEL_FIRST,
	GUARD_CANCEL_STANDS,
	GUARD_BOUND_RULE,
	GUARD_BOUND_ROW,
	GUARD_NEW_KEY,
	GUARD_VOID_AFTER_END,
	GUARD_REFUND_WHEN_CAPTURED,
	GUARD_REFUND_AFTER_VOID,
	GUARD_LIST_FIRST,
	GUARD_REFUND_GENERATION,
	GUARD_REFUND_KEY,
	GUARDS,
};
struct guard_name {
	const char *name, *what;
};
extern const struct guard_name guard_names[GUARDS];

/* ---- a state of everything ---- */

enum { A1, A2, B1, ATTEMPTS }; /* two attempts of A, one of B */
enum { BUYERS = 2, DRIVES = 3, DRIVES_EACH = 2, REFUND_DRIVES = 2, LATE = 3, KEYS = 4 };
enum { PRICE = 2, FEE = 1 };
enum { NO_LOCK = LOCK_STATES, NO_BOOKING = BOOKING_STATES, NO_PAYMENT = PAYMENT_STATES, NO_REFUND = REFUND_STATES };

/* By a lock's own clock: in time; expired; past the bound of 3-D Secure; past the bound of everything. */
enum phase { IN_TIME, EXPIRED, PAST_ACTION, PAST_HOLD };

enum intent { NO_INTENT, INTENT_NEW, INTENT_ACTION, INTENT_HELD, INTENT_PAID, INTENT_CANCELED, INTENT_DECLINED };
enum sent { SENT_NOTHING, SENT_PENDING, SENT_SUCCEEDED, SENT_FAILED }; /* a refund of the gateway */

/* The gateway's words; what they mean is asked of payment_observe and refund_observe, once per step. */
enum answer {
	ANSWER_NONE,
	ANSWER_NEW,
	ANSWER_ACTION,
	ANSWER_HELD,
	ANSWER_PAID,
	ANSWER_CANCELED,
	ANSWER_WAS_DECLINED, /* 200, the intent says that it was */
	ANSWER_402,
	ANSWER_STATE, /* 400: not in a state for this */
	ANSWER_400,
	ANSWER_500,
	ANSWER_LOST,   /* none came */
	ANSWER_UNSENT, /* nothing was sent, as far as the client can tell */
	ANSWER_REFUND_SUCCEEDED,
	ANSWER_REFUND_PENDING,
	ANSWER_REFUND_FAILED,
	ANSWERS,
};

/* Kinds of calls that carry a key. */
enum call { CALL_CREATE, CALL_CONFIRM, CALL_CAPTURE, CALL_CANCEL, CALL_REFUND_SEATS, CALL_REFUND_VOID };

/* Rows of payment_calls of one step, and what the gateway keeps for their keys. */
struct calls {
	uint16_t no : 3;     /* of the last row, 0: none */
	uint16_t failed : 1; /* its answer is recorded as a 5xx */
	uint16_t stored : 4; /* the gateway has a first answer for key 1, 2, ... */
	uint16_t answer : 4; /* which, for the last one */
};

enum { REFUND_SEATS, REFUND_VOID, REFUND_KINDS };

struct refund {
	uint16_t state : 3; /* refunds */
	uint16_t called : 1;
	uint16_t sent : 2; /* the gateway's */
	struct calls calls;
};

struct attempt {
	/* payments */
	uint16_t state : 4;
	uint16_t has_intent : 1;
	uint16_t confirm_called : 1; /* the row of the call is there */
	uint16_t void_wanted : 1;
	uint16_t due : 1; /* settle_at is not 'infinity' */
	/* the gateway */
	uint16_t intent : 3;
	uint16_t confirm_stored : 1;
	struct calls capture, cancel;
	struct refund refunds[REFUND_KINDS];
};

struct buyer {
	uint16_t lock : 3;
	uint16_t phase : 2;
	uint16_t booking : 3;
	uint16_t owns : 1; /* a live row in booking_seats */
	uint16_t fee_kept : 1;
	uint16_t second : 1; /* made the lock after the other one had */
};

/* A drive of an attempt: what it holds in memory. */
struct drive {
	uint32_t used : 1;
	uint32_t attempt : 2;
	uint32_t fresh : 1;
	uint32_t current : 1; /* its generation is the row's */
	uint32_t waits : 1;   /* for the gateway's answer to step, key; else it is about to do action */
	uint32_t state : 4, has_intent : 1, confirm_called : 1, cancel_called : 1,
		void_wanted : 1; /* as read, and as it moved them */
	uint32_t action : 5;
	uint32_t seen : 4;
	uint32_t step : 3, key : 3;
	uint32_t failed : 1; /* step, key was answered with a 5xx that is not recorded yet */
};
enum { ACTION_READ = 30, ACTION_BOOK = 31 }; /* see GUARD_REQUEST_GENERATION and GUARD_ONE_TRANSACTION */

enum refund_step { REFUND_CALL, REFUND_POST, REFUND_LIST, REFUND_GET, REFUND_MOVE };
struct refund_drive {
	uint32_t used : 1;
	uint32_t attempt : 2;
	uint32_t kind : 1;
	uint32_t current : 1;
	uint32_t pending : 1; /* the state as read */
	uint32_t step : 3;
	uint32_t seen : 4, key : 3, failed : 1;
};

/* A call on its way that nobody waits for. */
struct late {
	uint8_t attempt : 2, call : 3, key : 3; /* key 0: no call */
};

enum fault {
	FAULT_NONE,
	FAULT_OVERTAKEN,
	FAULT_TWO_REFUNDS,
	FAULT_NOT_DRAWN,
	FAULT_CAME_BACK,
	FAULT_OWN_CANCEL,
	FAULT_TOO_LATE
};

struct world {
	struct attempt attempts[ATTEMPTS];
	struct buyer buyers[BUYERS];
	uint16_t seat : 2;    /* enum seat_state */
	uint16_t holder : 1;  /* whose lock show_seats.lock_id names, when it is not free */
	uint16_t endless : 1; /* show_seats.expires_at is 'infinity' */
	uint16_t fault : 3;   /* the step that led here */
	uint16_t crashes : 2, losses : 3, sleepers : 2, strays : 1; /* left */
	struct drive drives[DRIVES];
	struct refund_drive refunds[REFUND_DRIVES];
	struct late late[LATE];
	uint8_t zero;
};
_Static_assert(sizeof(struct world) % 8 == 0, "hashed by words");

/* ---- one run ---- */

struct bound {
	int64_t crashes, losses, sleepers, strays;
};

struct model {
	bool without[GUARDS];
	bool lenient; /* what an overtaken drive changes is no fault by itself */
	bool patient; /* who was overtaken sleeps as long as it likes before it finds that out */
	struct bound bound;
	/* what the program makes of the gateway's answers */
	enum payment_seen seen[STEP_NONE + 1][ANSWERS], refund_seen[ANSWERS], list_seen[ANSWERS];
	/* taken so far */
	uint64_t payment_arrows, refund_arrows, booking_arrows, lock_arrows; /* bit: index in the rules' table */
	uint64_t actions;						     /* bit: enum payment_action */
	uint64_t late_full;						     /* calls that found no room to be late */
};

/* Everything that can happen next in a state. */
struct walk {
	struct model *m;
	const struct world *from;
	/* settles: what the settling duty comes to by itself when nothing fails; the first of these is its way */
	void (*fn)(struct walk *k, const struct world *to, bool settles);
	bool speak;
	char words[400];
};
void walk_all(struct walk *k);
void went(struct walk *k, const struct world *to, bool settles, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static inline bool guarded(const struct model *m, enum guard g)
{
	return !m->without[g];
}

static inline int buyer_of(int attempt)
{
	return attempt == B1;
}
extern const char *const attempt_names[ATTEMPTS], *const buyer_names[BUYERS];

/* ---- arrows: taken only if drawn; counted ---- */

void payment_goes(struct model *m, struct world *w, int attempt, enum payment_state to);
void refund_goes(struct model *m, struct world *w, struct refund *r, enum refund_state to);
void booking_goes(struct model *m, struct world *w, int buyer, enum booking_state to, const char *file);
void lock_goes(struct model *m, struct world *w, int buyer, enum lock_state to, const char *file);

/* ---- gateway.c ---- */

struct outcome {
	struct world w;
	enum answer answer;
	const char *words;
};
enum { OUTCOMES = 4 };

void gateway_learn(struct model *m);
/* A call arrives: what may come of it. The first is what happens when all is well. */
int gateway_post(const struct world *w, int attempt, enum call call, int key, struct outcome out[OUTCOMES]);
enum answer gateway_read(const struct world *w, int attempt);
enum answer gateway_refund_read(const struct world *w, int attempt, int kind);
struct calls *gateway_calls(struct world *w, int attempt, enum call call);
/* It has a first answer for the key, and gives it again whatever happens. */
bool gateway_stored(const struct world *w, int attempt, enum call call, int key);
/* The answer 500 is kept for the key, whether the call was done or not. */
void gateway_store(struct world *w, int attempt, enum call call, int key, enum answer answer);
void gateway_make_late(struct model *m, struct world *w, int attempt, enum call call, int key);
void gateway_forget_late(struct world *w); /* those that cannot change anything any more */
void walk_gateway(struct walk *k);
const char *call_name(enum call call);

/* payment_call.sql, refund_call.sql: the same key and bytes again, or a new key after a 5xx. */
int call_key(const struct model *m, struct calls *c);

/* ---- drives.c, refunds.c, buyers.c ---- */

void walk_drives(struct walk *k);
void walk_drive_losses(struct walk *k);
void walk_takes(struct walk *k);
void drive_overtake(struct model *m, struct world *w, int attempt);
void walk_refund_drives(struct walk *k);
void walk_refund_losses(struct walk *k);
void walk_refund_takes(struct walk *k);
void walk_buyers(struct walk *k);
void walk_time(struct walk *k);
void walk_ends(struct walk *k);

void drive_first(struct model *m, struct world *w, struct drive *d); /* of the request that made the attempt */
/* What is seen leads to what is done next: payment_decide. */
void drive_think(struct model *m, struct world *w, struct drive *d, enum payment_seen seen, enum payment_step step);
void drive_send(struct world *w, struct drive *d, enum payment_step step, int key);
void drive_end(struct drive *d);
/* Its transaction. false: a statement found nothing, all of it is to be rolled back. */
bool drive_act(struct model *m, struct world *w, struct drive *d);
int drive_free_slot(const struct world *w, int attempt);
bool lock_holds(const struct world *w, int buyer); /* its seat is locked by it */
void seat_free(struct world *w);
void booking_fail_ended(struct model *m, struct world *w, int buyer);
bool attempt_live(const struct attempt *a); /* payments_one_live */
bool attempt_ended(const struct attempt *a);
bool clock_matters(const struct world *w, int buyer);

/* ---- invariants.c ---- */

/* NULL: all is well. */
const char *broken(const struct model *m, const struct world *w);
bool quiescent(const struct world *w);
const char *broken_in_the_end(const struct world *w);
void print_world(FILE *out, const struct world *w);

/* ---- parts.c ---- */

/* A state as it is written: in order, without what nobody will ever look at again, and when a buyer or an attempt is out of it,
 * as several: what is left of each, and the rest. Returns how many. */
enum { PARTS = ATTEMPTS + BUYERS };
int parts(const struct world *from, const struct world *to, struct world out[PARTS]);

/* ---- search.c ---- */

enum verdict { VERDICT_HOLDS, VERDICT_BROKEN, VERDICT_TOO_MANY };
struct report {
	enum verdict verdict;
	uint64_t states, steps, ends, longest;
	int64_t took_ms;
	char why[200];
};
/* trace: where the shortest way to a violation is told; NULL: nowhere. */
void search(struct model *m, uint32_t max_states, FILE *trace, struct report *ret);

#endif
