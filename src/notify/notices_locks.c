/* Owns the round of notices_locks.h: one statement. Called by `work`. */
#include "notify/notices_locks.h"

#include "base/xmalloc.h"
#include "io/metrics_table.h"
#include "notify/notices_sql.h"

#include <stdlib.h>

enum { QUERY_MS = 8000, LOCKS_MAX = 1000 };

const struct pg_stmt *const *const notices_sql = notices_sql_statements;

struct round {
	struct metrics *metrics;
	notices_round_fn *fn;
	void *arg;
};

static void on_told(void *arg, const struct pg_answer *a)
{
	struct round *r = arg;
	int64_t n = a->status == PG_OK ? pg_affected(a->result) : 0;

	if (n)
		metric_add(r->metrics, METRIC_NOTICES, NOTICES_OF_LOCKS, 0, n);
	r->fn(r->arg, a->status == PG_OK, n >= LOCKS_MAX);
	free(r);
}

void notices_locks_round(struct pg *pg, struct metrics *metrics, notices_round_fn *fn, void *arg)
{
	struct round *r = xcalloc(1, sizeof(*r));
	struct arena arena;
	struct pg_args args;

	r->metrics = metrics;
	r->fn = fn;
	r->arg = arg;
	arena_init(&arena);
	pg_args_init(&args, &arena);
	pg_arg_i32(&args, LOCKS_MAX);
	pg_query_start(pg, &notices_sql_locks_ending, &args, QUERY_MS, on_told, r);
	arena_done(&arena);
}
