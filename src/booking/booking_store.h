/*
 * The arrows of a booking for transactions of this service and of the payment service: thin wrappers around the SQL files of
 * the same names. Who opened the transaction commits it. Order of locks: payments, bookings, seat_locks, show_seats, tickets.
 */
#ifndef BOOKING_BOOKING_STORE_H
#define BOOKING_BOOKING_STORE_H

#include "io/pg.h"

/* Locks the booking of a lock, if there is one, before the lock itself. Rows: booking_id. */
void booking_of_lock(struct pg_tx *tx, struct arena *a, const struct uuid *show, const struct uuid *lock, pg_fn *fn,
		     void *arg);
/* Locks a booking and reads what is decided on it. Rows: state, lock_id, session_id, organizer_id, fee_kept_minor, currency, cancel_until,
 * cancel_fee_minor, now, seats, prices, live (seats, null when none), goes_free, given (seats whose tickets are somebody else's, or null). */
void booking_hold(struct pg_tx *tx, struct arena *a, const struct uuid *show, const struct uuid *booking, pg_fn *fn,
		  void *arg);
/* payment_pending -> confirmed. Rows: lock_id, n, placed; placed < n means a double booking: roll back. */
void booking_confirm(struct pg_tx *tx, struct arena *a, const struct uuid *show, const struct uuid *booking, pg_fn *fn,
		     void *arg);
/* payment_pending -> failed when its lock has ended; else nothing happens. Rows: booking_id. */
void booking_fail(struct pg_tx *tx, struct arena *a, const struct uuid *show, const struct uuid *booking,
		  const char *why, pg_fn *fn, void *arg);
/* confirmed -> cancelled, payment lost. Rows: lock_id, seats (null when none). */
void booking_lose(struct pg_tx *tx, struct arena *a, const struct uuid *show, const struct uuid *booking, pg_fn *fn,
		  void *arg);
/* Seats of live bookings are booked. One row: seats, fences of what was put right (null when nothing was). */
void seats_repair(struct pg_tx *tx, struct arena *a, const struct uuid *show, const int32_t *seats, size_t n, pg_fn *fn,
		  void *arg);
/* Bookings nobody will pay any more. Rows: show_id, booking_id. */
void bookings_over(struct pg *pg, struct arena *a, int limit, pg_fn *fn, void *arg);

#endif
