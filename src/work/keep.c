/* Owns retention: what is older than it is kept goes, a little at a time. */
#include "work/work.h"

#include "base/times.h"
#include "base/xmalloc.h"
#include "work/work_sql.h"

#include <stdlib.h>

enum { ROWS_MAX = 5000, QUERY_MS = 10000 };

struct keeper {
	struct pg *pg;
	int64_t outbox_days;
	struct duty *duty;
	bool more;
};

struct keeper *keeper_new(struct pg *pg, int64_t outbox_days)
{
	struct keeper *k = xcalloc(1, sizeof(*k));

	k->pg = pg;
	k->outbox_days = outbox_days;
	return k;
}

void keeper_free(struct keeper *k)
{
	free(k);
}

static void on_purged(void *arg, const struct pg_answer *a)
{
	struct keeper *k = arg;

	k->more |= a->status == PG_OK && pg_affected(a->result) == ROWS_MAX;
	duty_done(k->duty, a->status == PG_OK, a->status == PG_OK && k->more);
}

static void on_outbox_purged(void *arg, const struct pg_answer *a)
{
	struct keeper *k = arg;
	struct arena arena;
	struct pg_args args;

	if (a->status != PG_OK) {
		duty_done(k->duty, false, false);
		return;
	}
	k->more = pg_affected(a->result) == ROWS_MAX;
	arena_init(&arena);
	pg_args_init(&args, &arena);
	pg_arg_i32(&args, ROWS_MAX);
	pg_query_start(k->pg, &work_sql_request_counts_purge, &args, QUERY_MS, on_purged, k);
	arena_done(&arena);
}

void keeper_run(void *arg, struct duty *d)
{
	struct keeper *k = arg;
	struct arena arena;
	struct pg_args args;

	k->duty = d;
	arena_init(&arena);
	pg_args_init(&args, &arena);
	pg_arg_interval_us(&args, k->outbox_days * US_PER_DAY);
	pg_arg_i32(&args, ROWS_MAX);
	pg_query_start(k->pg, &work_sql_outbox_purge, &args, QUERY_MS, on_outbox_purged, k);
	arena_done(&arena);
}
