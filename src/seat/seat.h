/*
 * The Seat Service's rules: what a lock is, which way it may go, what may be asked. Pure.
 *
 *                      +-----------(proven decline, time left)-----------+
 *                      v                                                 |
 *   (none) --lock--> ACTIVE --pay--> PAYING --book--> BOOKED             |
 *                      |                |  \--abandon--> ABANDONED       |
 *                      |                +--------------------------------+
 *          release, replace            (decline, time over)
 *                      |                |
 *                      v                v
 *                  RELEASED          EXPIRED  <--time-- ACTIVE
 *
 * Only an ACTIVE lock has a clock. A PAYING one is touched by nobody but its payment: show_seats.expires_at is 'infinity'.
 * Bounds: payment attempts start before expires_at; 3-D Secure may hold until expires_at + 10 min; nothing holds seats
 * longer than 30 min after the lock was made.
 */
#ifndef SEAT_SEAT_H
#define SEAT_SEAT_H

#include "base/err.h"
#include "base/ids.h"
#include "base/json.h"
#include "event/plan.h"

#include <stdint.h>

enum seat_state { SEAT_FREE, SEAT_LOCKED, SEAT_BOOKED, SEAT_BLOCKED };
const char *seat_state_name(enum seat_state s); /* "free", "locked", "booked", "blocked" */

enum lock_state { LOCK_ACTIVE, LOCK_RELEASED, LOCK_EXPIRED, LOCK_PAYING, LOCK_BOOKED, LOCK_ABANDONED, LOCK_STATES };
const char *lock_state_name(enum lock_state s);
bool lock_state_parse(struct str name, enum lock_state *ret);
/* The arrows of the drawing above; a test compares them with the SQL files named lock_<verb>.sql. */
struct lock_arrow {
	enum lock_state from, to;
	const char *file; /* without .sql; the batch function's arrows name the function */
};
extern const struct lock_arrow lock_arrows[];
extern const size_t lock_arrows_n;
bool lock_may(enum lock_state from, enum lock_state to);

#define SEAT_LOCK_LIFETIME_US (5 * INT64_C(60) * 1000000)
#define SEAT_ACTION_GRACE_US (10 * INT64_C(60) * 1000000) /* 3-D Secure, beyond expires_at */
#define SEAT_HOLD_MAX_US (30 * INT64_C(60) * 1000000)	  /* beyond the lock's making */

enum {
	SEAT_ASK_MAX = 100, /* the largest the limit can be configured to */
	SEAT_LOCK_MAX_DEFAULT = 10,
	SEAT_LOCKS_PER_SESSION_DEFAULT = 2,
};

/* What a buyer asks for: seats by name, or the best n. */
struct seat_ask {
	bool best;
	uint32_t quantity; /* best */
	int category;	   /* best: index, or -1 */
	uint32_t n_seats;
	uint32_t seats[SEAT_ASK_MAX];		/* ascending seat_nos */
	struct uuid replaces;			/* zero: nothing */
	struct str notify_email, notify_locale; /* empty: no */
};

/*
 * Reads {"seats": [...]} or {"best": {...}} with "replaces" and "notify" against the plan. limit: seats in one lock.
 * false with *e set; *ret_bad_seat names the offending guid for unknown_seat and duplicate_seat (empty otherwise).
 */
bool seat_ask_read(const json_t *body, const struct plan *plan, uint32_t limit, struct seat_ask *ret,
		   struct str *ret_bad_seat, struct error *e);
/* The same for a body that is just {"seats": ["A-1", ...]} of plain names with nothing wrong in it, which nearly all are: read in
 * one pass, without a tree. false says nothing but that seat_ask_read has to be asked. */
bool seat_ask_read_plain(struct str body, const struct plan *plan, uint32_t limit, struct seat_ask *ret);
/* {"seats": [...], "reason"?} of blocks: any number of seats, ascending seat_nos into ret (room for plan_n_seats). */
bool seat_list_read(const json_t *array, const char *path, const struct plan *plan, uint32_t limit, uint32_t *ret_seats,
		    uint32_t *ret_n, struct str *ret_bad_seat, struct error *e);

/* A plain test for mail addresses: one @, something on both sides, no blanks, at most 254 bytes. */
bool email_plausible(struct str s);
/* Mail addresses are compared without regard to case; at most 254 bytes plus the NUL into out. */
enum { EMAIL_FOLDED_MAX = 256 };
struct str email_fold(struct str email, char out[EMAIL_FOLDED_MAX]);

#endif
