/*
 * The arrows of a lock and of seats that other services take inside their own transactions: thin wrappers around the SQL
 * files of the same names. Whoever opened the transaction commits it, and afterwards gives the changes to seat_map_apply.
 */
#ifndef SEAT_SEAT_STORE_H
#define SEAT_SEAT_STORE_H

#include "io/pg.h"
#include "seat/seat_map.h"

/* active -> paying. Rows: seats, prices, categories, total_minor, currency, created_at, expires_at, now, n, fences. */
void lock_pay(struct pg_tx *tx, struct arena *a, const struct uuid *show, const struct uuid *lock,
	      const struct uuid *session, pg_fn *fn, void *arg);
/* paying -> active | expired. Rows: state, expires_at, now, session_id, seats, fences. */
void lock_unpay(struct pg_tx *tx, struct arena *a, const struct uuid *show, const struct uuid *lock, pg_fn *fn,
		void *arg);
/* paying -> booked. Rows: seats, session_id, n, fences. */
void lock_book(struct pg_tx *tx, struct arena *a, const struct uuid *show, const struct uuid *lock, pg_fn *fn,
	       void *arg);
/* paying -> abandoned. Rows: session_id, seats, fences. */
void lock_abandon(struct pg_tx *tx, struct arena *a, const struct uuid *show, const struct uuid *lock, pg_fn *fn,
		  void *arg);
/* booked -> free for these seats of a booking that came from lock. Rows: seats, fences. */
void seats_unbook(struct pg_tx *tx, struct arena *a, const struct uuid *show, const struct uuid *lock,
		  const int32_t *seats, size_t n, pg_fn *fn, void *arg);

/* active -> released for locks of a show that was called off, at most limit. One row, for locks_gone_apply. */
void locks_call_off(struct pg *pg, struct arena *a, const struct uuid *show, int limit, pg_fn *fn, void *arg);
/* What Redis has to hear of a row that says which locks ended (columns from 0: locks, sessions) and which seats are free (2: seats,
 * fences, seat_locks). Returns how many locks. */
size_t locks_gone_apply(struct seat_map *map, const struct uuid *show, const struct pg_result *r);

/* Reads a lock of a session, alive or ended. Rows: state, seats, prices, categories, total_minor, currency, created_at,
 * expires_at, now, request_hash, session_id. */
void lock_get(struct pg *pg, struct arena *a, const struct uuid *show, const struct uuid *lock,
	      const struct uuid *session, pg_fn *fn, void *arg);

/* Changes for seat_map_apply from the two array columns seats and fences; all get the same state. Arena memory. */
size_t seat_changes_from(const struct pg_result *r, int row, int col_seats, int col_fences, enum seat_state state,
			 int64_t left_ms, const struct uuid *lock, struct arena *arena, struct seat_change **ret);
/* The same for seats that are free now, each with the lock it had, from the columns seats, fences and seat_locks. */
size_t seat_changes_freed(const struct pg_result *r, int col, struct arena *arena, struct seat_change **ret);

#endif
