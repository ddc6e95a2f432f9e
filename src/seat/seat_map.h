/*
 * The seat map in Redis: a cache that admits or refuses lock requests without asking PostgreSQL, and answers what is free.
 * It decides nothing for good: what it admits PostgreSQL decides, and whatever PostgreSQL says is written back here.
 *
 * A map is made for a context: the Redis server's run id and PostgreSQL's timeline. Under another context it does not
 * exist and is loaded again (one loader per show; see lua/map_begin.lua). Durations are always left to Redis' own clock.
 *
 *   map of a show: (none) --begin--> loading --finish--> loaded;  any --other context, wiped--> (none)
 *
 * Redis may come back with a map of another context (an old snapshot): who asks for it loads it anew, and one that nobody asks for the
 * auditor takes away.
 *
 * One per process; callbacks run exactly once unless said otherwise, and never before the call has returned.
 */
#ifndef SEAT_SEAT_MAP_H
#define SEAT_SEAT_MAP_H

#include "base/arena.h"
#include "io/pg.h"
#include "io/redis.h"
#include "seat/seat.h"

struct seat_map;

struct seat_map_config {
	struct loop *loop;
	struct redis *redis;
	struct pg *pg;
	int64_t pending_ms;  /* how long a mark of admission lasts; 10,000 */
	int64_t lock_ms;     /* how long a lock lasts: so long a session's count of it */
	bool by_show;	     /* Redis is distributed by show: no script over several */
	uint32_t stream_max; /* changes kept per show for viewers that come back; 1,000 */
};

struct seat_map *seat_map_new(const struct seat_map_config *config);
void seat_map_free(struct seat_map *m);
bool seat_map_ready(const struct seat_map *m); /* Redis answers and PostgreSQL has been seen */

enum seat_admit_outcome {
	SEAT_ADMITTED,
	SEAT_ADMIT_TAKEN,
	SEAT_ADMIT_LIMIT,   /* the session holds `n_held` locks as far as known here */
	SEAT_ADMIT_UNKNOWN, /* Redis could not be asked: PostgreSQL has to decide alone */
};

struct seat_admit_answer {
	enum seat_admit_outcome outcome;
	bool marked; /* pending marks were set, or may have been */
	uint32_t n_taken;
	uint32_t taken[SEAT_ASK_MAX];
	uint8_t taken_state[SEAT_ASK_MAX]; /* enum seat_state */
	uint32_t n_held;
	struct uuid held[32];
	int64_t held_ms[32]; /* since it was admitted */
};
typedef void seat_admit_fn(void *arg, const struct seat_admit_answer *answer);

void seat_map_admit(struct seat_map *m, const struct uuid *show, const struct uuid *lock, const struct uuid *session,
		    const struct uuid *replaces, const uint32_t *seats, uint32_t n_seats, uint32_t limit,
		    seat_admit_fn *fn, void *arg);

/* What PostgreSQL says of a seat. */
struct seat_change {
	uint32_t seat_no;
	uint8_t state; /* enum seat_state, or SEAT_WITHDRAW: take back the pending mark of lock */
	int32_t fence;
	int64_t left_ms; /* locked: until it may be taken over; 0: no clock */
	struct uuid lock;
	/* A repair: taken although its fence is not newer, as long as Redis still has what was seen (its fence; -1: nothing). */
	bool repair;
	int32_t seen_fence;
};
enum { SEAT_WITHDRAW = 255 };
struct seat_session_change {
	struct uuid session, lock;
	int64_t left_ms; /* 0: it ended */
};

/* Writes committed changes into the map of the show. Repeated until Redis took it, for up to 5 s; after that the auditor
 * will. fn (may be NULL) is told when it was taken, or false when Redis is away or wait_ms (0: 100) have passed: it goes on
 * trying all the same. */
typedef void seat_applied_fn(void *arg, bool applied);
void seat_map_apply(struct seat_map *m, const struct uuid *show, const struct seat_change *changes, size_t n,
		    const struct seat_session_change *sessions, size_t n_sessions, int64_t wait_ms, seat_applied_fn *fn,
		    void *arg);

/* What was to be applied leaves now and not at the end of the turn: before what the caller does next. */
void seat_map_flush(struct seat_map *m);

enum seat_read_outcome { SEAT_READ_SAME, SEAT_READ_ALL, SEAT_READ_FAILED };
struct seat_read_answer {
	enum seat_read_outcome outcome;
	bool from_database; /* Redis was away */
	struct str version; /* "" when failed */
	size_t n;	    /* seats that are not free */
	const struct seat_change
		*seats;	     /* ascending by seat_no is not promised; fence and lock are filled, pending marks too */
	const bool *pending; /* per seat: admitted, not committed yet */
};
typedef void seat_read_fn(void *arg, const struct seat_read_answer *answer);
/* have: the version the caller knows, or "". Falls back to PostgreSQL when Redis is away. */
void seat_map_read(struct seat_map *m, const struct uuid *show, struct str have, seat_read_fn *fn, void *arg);
/* The same of a map that is there; none is made for it, SEAT_READ_FAILED when there is none. One of another context is taken
 * away. */
void seat_map_read_made(struct seat_map *m, const struct uuid *show, seat_read_fn *fn, void *arg);

/* The show's seats have other numbers by now: its map is made anew, under another epoch. Tried again until Redis took it, for up to
 * 5 s, and once more after those that may still know the old plan have read the new one. */
void seat_map_drop(struct seat_map *m, const struct uuid *show);

struct seat_map_stats {
	uint64_t loads, admitted, taken, limit, unknown, applied, apply_retries, apply_lost;
};
const struct seat_map_stats *seat_map_get_stats(const struct seat_map *m);

extern const struct pg_stmt *const *const seat_sql; /* to prepare */

#endif
