/*
 * What seat_batch.c (queue, batches, telling) and seat_decide.c (the statements of a batch) share. The states are drawn in
 * seat_batch.h and at the top of seat_batch.c.
 */
#ifndef SEAT_SEAT_BATCH_INT_H
#define SEAT_SEAT_BATCH_INT_H

#include "base/list.h"
#include "seat/seat_batch.h"

struct want {
	struct list link;	 /* in the queue, or in a batch */
	struct seat_lock_want w; /* its arrays are the ones below */
	seat_lock_fn *fn;	 /* NULL once told */
	void *arg;
	int64_t deadline_us, give_up_us;
	bool maybe;   /* a commit with it in was lost: what became of it is not known */
	bool careful; /* something stood in its way when it was tried the quick way */
	int transient;
	enum seat_lock_outcome outcome; /* of the batch under way */
	struct seat_lock_told told;
	uint32_t *taken; /* told.taken */
	/* for the write-back: memory of the batch under way */
	struct seat_change *changes;
	size_t n_changes;
	bool replaced;
	uint32_t *seats;
	int16_t *categories;
	int64_t prices_minor[]; /* w.n_seats of each; seats and categories behind them */
};

struct batch {
	struct list link; /* in parts */
	struct list wants;
	size_t n;
	bool careful; /* by the statement that knows all reasons; see seat_decide.c */
	int64_t not_before_us;
};

/* One show of the batch under way. */
struct part {
	struct seat_batch *b;
	struct want **wants;
	size_t n;
};

struct seat_batch {
	struct seat_batch_config config;
	struct pg_lane *lane;
	struct list queue, parts;
	size_t n_queue;
	struct batch *running;
	struct arena arena; /* of the batch under way */
	struct part *shows;
	size_t n_shows;
	pg_fn *decided;	  /* of the batch under way */
	struct list told; /* committed, written back, to be told at the end of the turn */
	struct deferred *start, *tell;
	struct timer *again, *parked, *clock; /* again: nothing can run before; parked: a part may */
	int64_t started_us;
	/* the pace: what a request takes when batches follow each other at once */
	size_t started_n; /* requests of the batch started last; 0: the next one does not follow it at once */
	int64_t each_ns;
	/* open-addressing set of (show, seat), (session, show) and replaced locks in a batch: hashes; used: its full slots */
	uint64_t *taken;
	uint32_t *used;
	size_t n_used;
};

/* Sends the statements of the batch under way and its commit: its shows are in b->shows. What comes back is in each want's
 * outcome, told and changes; done(b, answer) is told what became of the whole. */
void seat_decide(struct seat_batch *b, bool careful, int64_t deadline_ms, pg_fn *done);
/* May it be decided the quick way, with others in one statement? */
bool seat_decide_quick(const struct want *w);

#endif
