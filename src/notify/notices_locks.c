/* Owns the round of notices_locks.h: one statement. Called by `work`. */
#include "notify/notices_locks.h"

#include "base/xmalloc.h"
#include "io/metrics_table.h"
#include "notify/notices_sql.h"

#include <assert.h>
#include <stdlib.h>

enum { QUERY_MS = 8000, LOCKS_MAX = 1000 };

const struct pg_stmt *const *const notices_sql = notices_sql_statements;

struct notices_locks {
	struct pg *pg;
	struct metrics *metrics;
	notices_round_fn *fn; /* of the round under way */
	void *arg;
};

struct notices_locks *notices_locks_new(struct pg *pg, struct metrics *metrics)
{
	struct notices_locks *n = xcalloc(1, sizeof(*n));

	n->pg = pg;
	n->metrics = metrics;
	return n;
}

void notices_locks_free(struct notices_locks *n)
{
	free(n);
}

static void on_told(void *arg, const struct pg_answer *a)
{
	struct notices_locks *n = arg;
	int64_t made = a->status == PG_OK ? pg_affected(a->result) : 0;
	notices_round_fn *fn = n->fn;

	if (made)
		metric_add(n->metrics, METRIC_NOTICES, NOTICES_OF_LOCKS, 0, made);
	n->fn = NULL;
	fn(n->arg, a->status == PG_OK, made >= LOCKS_MAX);
}

void notices_locks_round(struct notices_locks *n, notices_round_fn *fn, void *arg)
{
	struct arena arena;
	struct pg_args args;

	assert(!n->fn);
	n->fn = fn;
	n->arg = arg;
	arena_init(&arena);
	pg_args_init(&args, &arena);
	pg_arg_i32(&args, LOCKS_MAX);
	pg_query_start(n->pg, &notices_sql_locks_ending, &args, QUERY_MS, on_told, n);
	arena_done(&arena);
}
