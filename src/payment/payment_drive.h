/*
 * Inside a drive (payment_drive.c): what it holds, and the transactions it takes (payment_moves.c). Each move begins a
 * transaction, adds its statements and ends with the last one's callback in drive_finish.
 */
#ifndef PAYMENT_PAYMENT_DRIVE_H
#define PAYMENT_PAYMENT_DRIVE_H

#include "payment/payment_int.h"

struct drive {
	struct payment_service *p;
	struct list link;
	struct arena arena;
	struct attempt a;
	struct payment_observation seen;
	const char *actor;
	bool fresh, ended, intent_stored;
	int steps, retries;
	int64_t read_at_us; /* loop time when a.now_us was read */
	/* the call under way, or answered and not yet recorded */
	struct gateway_going going;
	enum payment_step step;
	int call_no, unrecorded;	   /* unrecorded: the http status, 0 none */
	enum payment_step unrecorded_step; /* of what; the intent may have been read since */
	char *key, *path, *body;
	char request_id[GATEWAY_ID_MAX], unrecorded_id[GATEWAY_ID_MAX]; /* the gateway's names of the requests */
	struct buf summary;
	/* the transaction under way */
	struct pg_tx *tx;
	enum payment_action action;
	bool lost, unbookable, over_limit, doubled, not_now, booking_failed;
	struct seat_change *changes;
	size_t n_changes;
	struct seat_session_change session;
	bool has_session;
	int applying;
	payment_fn *fn;
	void *arg;
};

/* ---- payment_drive.c ---- */

struct payment_by drive_by(const struct drive *d);
/* Opens the transaction; what was answered last and is not recorded yet is its first statement. */
void drive_begin(struct drive *d);
/* All answers are in, a is the last one's: commit, or roll back and think again. */
void drive_finish(struct drive *d, const struct pg_answer *a);
/* Instead: sends the COMMIT with the statements, where only the last one has to find something. */
void drive_commit(struct drive *d);
/* The first row of a statement that must find something; NULL: somebody else has the attempt, or the database is away. */
const struct pg_result *drive_row(struct drive *d, const struct pg_answer *a);
void drive_on_row(void *drive, const struct pg_answer *a);	/* a statement that must find something */
void drive_on_last(void *drive, const struct pg_answer *a);	/* the last one */
void drive_on_last_row(void *drive, const struct pg_answer *a); /* both */
/* The row of the first call of its kind, as the last statement of the transaction of the arrow before it. */
void drive_exec_first_call(struct drive *d, enum payment_step step);
void drive_exec_intent(struct drive *d);

/* ---- payment_moves.c ---- */

void move_require_action(struct drive *d);
void move_authorise(struct drive *d);
void move_captured(struct drive *d);
void move_fail(struct drive *d, bool declined);
void move_abandon(struct drive *d);
void move_void(struct drive *d);
void move_reject(struct drive *d);
void move_lose(struct drive *d);
void move_void_ended(struct drive *d, bool refund);
void move_rest(struct drive *d);

#endif
