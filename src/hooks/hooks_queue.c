/* Owns the way of events into the queue: deliveries for the endpoints that want them, in one statement for all. Called by the consumer
 * and, for a replay, by hooks_replay.c. */
#include "hooks/hooks_int.h"

#include "base/times.h"
#include "base/xmalloc.h"
#include "hooks/hooks_sql.h"

#include <stdlib.h>

enum { QUEUE_MS = 8000 };

struct queueing {
	struct hooks *h;
	pg_fn *fn;
	void *arg;
};

static void on_queued(void *arg, const struct pg_answer *a)
{
	struct queueing *q = arg;

	if (a->status == PG_OK && pg_get_int(a->result, 0, 1))
		metric_add(q->h->config.metrics, METRIC_HOOK_DROPPED, 0, 0, (uint64_t)pg_get_int(a->result, 0, 1));
	q->fn(q->arg, a);
	free(q);
}

void hooks_queue(struct hooks *h, const struct hook_event *events, size_t n, pg_fn *fn, void *arg)
{
	struct queueing *q = xcalloc(1, sizeof(*q));
	struct arena arena;
	struct pg_args args;

	*q = (struct queueing){h, fn, arg};
	arena_init(&arena);
	struct str *ids = arena_alloc(&arena, n * sizeof(*ids)), *types = arena_alloc(&arena, n * sizeof(*types)),
		   *aggregates = arena_alloc(&arena, n * sizeof(*aggregates)),
		   *bodies = arena_alloc(&arena, n * sizeof(*bodies));
	struct uuid *shows = arena_alloc(&arena, n * sizeof(*shows));
	int64_t *times = arena_alloc(&arena, n * sizeof(*times));

	for (size_t i = 0; i < n; i++) {
		char *aggregate = arena_alloc(&arena, HOOK_AGGREGATE_TEXT);

		hook_aggregate(events[i].json, &events[i].show_id, aggregate);
		ids[i] = events[i].id;
		types[i] = events[i].type;
		shows[i] = events[i].show_id;
		times[i] = events[i].time_us;
		aggregates[i] = str_from(aggregate);
		bodies[i] = hooks_body(h, &arena, &events[i], aggregate);
	}
	pg_args_init(&args, &arena);
	pg_arg_texts(&args, ids, n);
	pg_arg_texts(&args, types, n);
	pg_arg_uuids(&args, shows, n);
	pg_arg_texts(&args, aggregates, n);
	pg_arg_i64s(&args, times, n);
	pg_arg_texts(&args, bodies, n);
	pg_arg_interval_us(&args, h->config.days * US_PER_DAY);
	pg_arg_i32(&args, (int32_t)h->config.queue_max);
	pg_query_start(h->config.pg, &hooks_sql_deliveries_add, &args, QUEUE_MS, on_queued, q);
	arena_done(&arena);
}
