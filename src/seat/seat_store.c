/* Owns nothing: the statements of the seat service by name, with their arguments in order. */
#include "seat/seat_store.h"

#include "io/crypto.h"
#include "seat/seat_sql.h"

static void two_ids(struct pg_args *args, struct arena *a, const struct uuid *show, const struct uuid *lock)
{
	pg_args_init(args, a);
	pg_arg_uuid(args, show);
	pg_arg_uuid(args, lock);
}

static void outbox_id(struct pg_args *args)
{
	struct uuid id = crypto_uuid_v7(wall_now_us());

	pg_arg_uuid(args, &id);
}

void lock_pay(struct pg_tx *tx, struct arena *a, const struct uuid *show, const struct uuid *lock,
	      const struct uuid *session, pg_fn *fn, void *arg)
{
	struct pg_args args;

	two_ids(&args, a, show, lock);
	pg_arg_uuid(&args, session);
	pg_tx_exec(tx, &seat_sql_lock_pay, &args, fn, arg);
}

void lock_unpay(struct pg_tx *tx, struct arena *a, const struct uuid *show, const struct uuid *lock, pg_fn *fn,
		void *arg)
{
	struct pg_args args;

	two_ids(&args, a, show, lock);
	outbox_id(&args);
	pg_tx_exec(tx, &seat_sql_lock_unpay, &args, fn, arg);
}

void lock_book(struct pg_tx *tx, struct arena *a, const struct uuid *show, const struct uuid *lock, pg_fn *fn,
	       void *arg)
{
	struct pg_args args;

	two_ids(&args, a, show, lock);
	outbox_id(&args);
	pg_tx_exec(tx, &seat_sql_lock_book, &args, fn, arg);
}

void lock_abandon(struct pg_tx *tx, struct arena *a, const struct uuid *show, const struct uuid *lock, pg_fn *fn,
		  void *arg)
{
	struct pg_args args;

	two_ids(&args, a, show, lock);
	outbox_id(&args);
	pg_tx_exec(tx, &seat_sql_lock_abandon, &args, fn, arg);
}

void seats_unbook(struct pg_tx *tx, struct arena *a, const struct uuid *show, const struct uuid *lock,
		  const int32_t *seats, size_t n, pg_fn *fn, void *arg)
{
	struct pg_args args;

	pg_args_init(&args, a);
	pg_arg_uuid(&args, show);
	pg_arg_i32s(&args, seats, n);
	pg_arg_uuid(&args, lock);
	outbox_id(&args);
	pg_tx_exec(tx, &seat_sql_seats_unbook, &args, fn, arg);
}

void lock_get(struct pg *pg, struct arena *a, const struct uuid *show, const struct uuid *lock,
	      const struct uuid *session, pg_fn *fn, void *arg)
{
	struct pg_args args;

	two_ids(&args, a, show, lock);
	pg_arg_uuid(&args, session);
	pg_query_start(pg, &seat_sql_lock_get, &args, 3000, fn, arg);
}

size_t seat_changes_from(const struct pg_result *r, int row, int col_seats, int col_fences, enum seat_state state,
			 int64_t left_ms, const struct uuid *lock, struct arena *arena, struct seat_change **ret)
{
	int64_t *seats, *fences;
	size_t n;

	*ret = NULL;
	if (pg_is_null(r, row, col_seats))
		return 0;
	n = pg_get_ints(r, row, col_seats, arena, &seats);
	pg_get_ints(r, row, col_fences, arena, &fences);
	*ret = arena_array(arena, struct seat_change, n);
	for (size_t i = 0; i < n; i++)
		(*ret)[i] = (struct seat_change){.seat_no = (uint32_t)seats[i],
						 .state = (uint8_t)state,
						 .fence = (int32_t)fences[i],
						 .left_ms = left_ms,
						 .lock = *lock};
	return n;
}
