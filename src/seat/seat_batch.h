/*
 * The batcher: lock requests that were admitted while the last batch was committing form the next one (natural batching:
 * no timer; the first request after idleness starts at the end of its turn of the loop). One per process, on a private
 * connection.
 *
 *   want: QUEUED -> IN BATCH -> decided (told once)
 *                      |  commit's answer lost -> UNKNOWN: the same transaction again, same ids, until it is known
 *                      |  error -> the batch again in parts: by show, then by halves; only the culprit is told
 *
 * In a batch requests are seat-disjoint, at most one per session and show, and at most one replaces a lock; whoever
 * overlaps waits for the next. Shows and seats are sorted: two processes never lock rows in different orders.
 */
#ifndef SEAT_SEAT_BATCH_H
#define SEAT_SEAT_BATCH_H

#include "io/metrics.h"
#include "io/pg.h"
#include "seat/seat_map.h"

struct seat_batch;

enum { SEAT_BATCH_REQUESTS = 256 }; /* in one batch, unless configured otherwise */

struct seat_batch_config {
	struct loop *loop;
	struct pg *pg;
	struct seat_map *map;
	struct metrics *metrics;
	uint32_t requests_max; /* in one batch; 256 */
	uint32_t locks_per_session;
	int64_t lifetime_us;
	bool by_show;	     /* PostgreSQL is distributed by show: no statement over several */
	int64_t deadline_ms; /* of a request, from its start until it is told or tried for the last time; 3,000 */
};

struct seat_batch *seat_batch_new(const struct seat_batch_config *config);
void seat_batch_free(struct seat_batch *b);	   /* waiting requests are dropped without callback */
bool seat_batch_ready(const struct seat_batch *b); /* its connection is up */

enum seat_lock_outcome {
	SEAT_LOCK_OK = 0,
	SEAT_LOCK_TAKEN = 1,
	SEAT_LOCK_NOT_ON_SALE = 2,
	SEAT_LOCK_LIMIT = 3,
	SEAT_LOCK_NO_SHOW = 4,
	SEAT_LOCK_MISMATCH = 5, /* the id belongs to another request */
	SEAT_LOCK_EXISTS = 6,	/* it is there already: ask the store for it */
	SEAT_LOCK_AGAIN = 7,	/* never told */
	SEAT_LOCK_NO_REPLACED = 8,
	SEAT_LOCK_CAREFUL = 9, /* never told: it has to be asked about the careful way */
	SEAT_LOCK_UNAVAILABLE, /* nothing happened */
	SEAT_LOCK_UNKNOWN,     /* may have happened; the batcher goes on until it knows */
	SEAT_LOCK_OVERLOADED,
	SEAT_LOCK_INTERNAL, /* this request makes the statement fail */
};

struct seat_lock_want {
	struct uuid show, lock, session, replaces /* or zero */, notify_buyer /* or zero */;
	uint8_t hash[32];
	uint32_t n_seats;
	const uint32_t *seats; /* ascending */
	struct uuid plan; /* of the show, by which the seats are numbered; another one by now: SEAT_LOCK_UNAVAILABLE */
	/* What the seats cost and are, as of that revision of the show (0: not known); PostgreSQL compares the revision. */
	int64_t revision;
	const int64_t *prices_minor;
	const int16_t *categories;
	int64_t total_minor;
	char currency[4];
	bool has_key;  /* the lock's id comes from a key: it may be there already */
	bool admitted; /* Redis counted and admitted it */
	bool marked;   /* Redis may hold pending marks of it: withdrawn when it comes to nothing */
};

struct seat_lock_told {
	enum seat_lock_outcome outcome;
	/* SEAT_LOCK_OK; one each per seat that was wanted */
	const int64_t *prices_minor;
	const int16_t *categories;
	int64_t total_minor;
	char currency[4];
	int64_t created_us, expires_us;
	/* SEAT_LOCK_TAKEN */
	uint32_t n_taken;
	const uint32_t *taken;
};
/* told is valid during the call. */
typedef void seat_lock_fn(void *arg, const struct seat_lock_told *told);

/* Copies the want with its arrays. fn runs exactly once, after commit, never before this returns. */
void seat_batch_lock(struct seat_batch *b, const struct seat_lock_want *want, seat_lock_fn *fn, void *arg);
size_t seat_batch_waiting(const struct seat_batch *b);
/* How long a request would wait that has `ahead` others before it, by what batches took lately. */
int64_t seat_batch_wait_us(const struct seat_batch *b, size_t ahead);

#endif
