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
	outbox_id(&args);
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

size_t seat_changes_freed(const struct pg_result *r, int col, struct arena *arena, struct seat_change **ret)
{
	struct uuid none = {{0}}, *locks;
	size_t n = seat_changes_from(r, 0, col, col + 1, SEAT_FREE, 0, &none, arena, ret);

	if (n)
		pg_get_uuids(r, 0, col + 2, arena, &locks);
	for (size_t i = 0; i < n; i++)
		(*ret)[i].lock = locks[i];
	return n;
}

void locks_call_off(struct pg *pg, struct arena *a, const struct uuid *show, int limit, pg_fn *fn, void *arg)
{
	struct pg_args args;

	pg_args_init(&args, a);
	pg_arg_uuid(&args, show);
	pg_arg_i32(&args, limit);
	outbox_id(&args);
	pg_query_start(pg, &seat_sql_locks_call_off, &args, 8000, fn, arg);
}

size_t locks_gone_apply(struct seat_map *map, const struct uuid *show, const struct pg_result *r)
{
	struct seat_session_change *over = NULL;
	struct seat_change *changes;
	struct uuid *locks, *sessions;
	struct arena arena;
	size_t n, n_over = 0;

	arena_init(&arena);
	n = seat_changes_freed(r, 2, &arena, &changes);
	if (!pg_is_null(r, 0, 0)) {
		n_over = pg_get_uuids(r, 0, 0, &arena, &locks);
		pg_get_uuids(r, 0, 1, &arena, &sessions);
		over = arena_array(&arena, struct seat_session_change, n_over);
		for (size_t i = 0; i < n_over; i++)
			over[i] = (struct seat_session_change){sessions[i], locks[i], 0};
	}
	if (n || n_over)
		seat_map_apply(map, show, changes, n, over, n_over, 0, NULL, NULL);
	arena_done(&arena);
	return n_over;
}
