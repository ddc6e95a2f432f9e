/* Owns nothing: the statements of the booking service by name, with their arguments in order. */
#include "booking/booking_store.h"

#include "booking/booking_sql.h"
#include "io/crypto.h"

static void two_ids(struct pg_args *args, struct arena *a, const struct uuid *show, const struct uuid *id)
{
	pg_args_init(args, a);
	pg_arg_uuid(args, show);
	pg_arg_uuid(args, id);
}

static void outbox_id(struct pg_args *args)
{
	struct uuid id = crypto_uuid_v7(wall_now_us());

	pg_arg_uuid(args, &id);
}

void booking_of_lock(struct pg_tx *tx, struct arena *a, const struct uuid *show, const struct uuid *lock, pg_fn *fn,
		     void *arg)
{
	struct pg_args args;

	two_ids(&args, a, show, lock);
	pg_tx_exec(tx, &booking_sql_booking_of_lock, &args, fn, arg);
}

void booking_hold(struct pg_tx *tx, struct arena *a, const struct uuid *show, const struct uuid *booking, pg_fn *fn,
		  void *arg)
{
	struct pg_args args;

	two_ids(&args, a, show, booking);
	pg_tx_exec(tx, &booking_sql_booking_hold, &args, fn, arg);
}

void booking_confirm(struct pg_tx *tx, struct arena *a, const struct uuid *show, const struct uuid *booking, pg_fn *fn,
		     void *arg)
{
	struct pg_args args;

	two_ids(&args, a, show, booking);
	outbox_id(&args);
	pg_tx_exec(tx, &booking_sql_booking_confirm, &args, fn, arg);
}

void booking_fail(struct pg_tx *tx, struct arena *a, const struct uuid *show, const struct uuid *booking,
		  const char *why, pg_fn *fn, void *arg)
{
	struct pg_args args;

	two_ids(&args, a, show, booking);
	outbox_id(&args);
	pg_arg_text(&args, str_from(why));
	pg_tx_exec(tx, &booking_sql_booking_fail, &args, fn, arg);
}

void booking_lose(struct pg_tx *tx, struct arena *a, const struct uuid *show, const struct uuid *booking, pg_fn *fn,
		  void *arg)
{
	struct pg_args args;

	two_ids(&args, a, show, booking);
	outbox_id(&args);
	pg_tx_exec(tx, &booking_sql_booking_lose, &args, fn, arg);
}

void seats_repair(struct pg_tx *tx, struct arena *a, const struct uuid *show, const int32_t *seats, size_t n, pg_fn *fn,
		  void *arg)
{
	struct pg_args args;

	pg_args_init(&args, a);
	pg_arg_uuid(&args, show);
	pg_arg_i32s(&args, seats, n);
	outbox_id(&args);
	pg_tx_exec(tx, &booking_sql_seats_repair, &args, fn, arg);
}

void bookings_over(struct pg *pg, struct arena *a, int limit, pg_fn *fn, void *arg)
{
	struct pg_args args;

	pg_args_init(&args, a);
	pg_arg_i32(&args, limit);
	pg_query_start(pg, &booking_sql_bookings_over, &args, 3000, fn, arg);
}
