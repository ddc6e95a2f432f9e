/* Owns the way of events into the queue: deliveries for the endpoints that want them, in one statement for a batch. hooks_take is called
 * by the consumer (app/work_main.c); a replay makes the same rows. */
#include "hooks/hooks_int.h"

#include "base/times.h"
#include "hooks/hooks_sql.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { QUEUE_MS = 8000, BODY_MAX = 16 << 20 };

static struct str body_of(struct arena *arena, const struct hook_event *e, const char *subject)
{
	struct str body;
	struct buf b;
	char *copy;

	buf_init(&b, BODY_MAX);
	hook_body_write(&b, e, str_from(subject));
	copy = arena_alloc(arena, b.n + 1);
	memcpy(copy, b.p, b.n + 1);
	body = (struct str){copy, b.n};
	buf_done(&b);
	return body;
}

struct hook_rows hooks_rows(struct arena *arena, const struct hook_event *events, size_t n)
{
	struct hook_rows rows = {.ids = arena_alloc(arena, n * sizeof(*rows.ids)),
				 .types = arena_alloc(arena, n * sizeof(*rows.types)),
				 .aggregates = arena_alloc(arena, n * sizeof(*rows.aggregates)),
				 .bodies = arena_alloc(arena, n * sizeof(*rows.bodies)),
				 .shows = arena_alloc(arena, n * sizeof(*rows.shows)),
				 .times = arena_alloc(arena, n * sizeof(*rows.times))};

	for (size_t i = 0; i < n; i++) {
		char *aggregate = arena_alloc(arena, HOOK_ABOUT_TEXT), subject[HOOK_ABOUT_TEXT];

		hook_about(&events[i], aggregate, subject);
		rows.ids[i] = events[i].id;
		rows.types[i] = events[i].type;
		rows.aggregates[i] = str_from(aggregate);
		rows.bodies[i] = body_of(arena, &events[i], subject);
		rows.shows[i] = events[i].show_id;
		rows.times[i] = events[i].time_us;
	}
	return rows;
}

static void on_taken(void *arg, const struct pg_answer *a)
{
	struct hooks *h = arg;
	int64_t lost = a->status == PG_OK ? pg_get_int(a->result, 0, 1) : 0;
	struct consumer_batch *batch = h->taking;

	if (lost)
		metric_add(h->config.metrics, METRIC_HOOK_DROPPED, 0, 0, lost);
	h->taking = NULL;
	consumer_batch_answer(batch, a);
}

void hooks_take(void *arg, const struct consumer_event *events, size_t n, struct consumer_batch *batch)
{
	struct hooks *h = arg;
	struct hook_rows rows;
	struct hook_event *taken;
	struct arena arena;
	struct pg_args args;

	assert(!h->taking);
	h->taking = batch;
	arena_init(&arena);
	taken = arena_alloc(&arena, n * sizeof(*taken));
	for (size_t i = 0; i < n; i++)
		taken[i] = (struct hook_event){.id = str_from(events[i].id),
					       .topic = str_from(events[i].topic),
					       .type = str_from(events[i].type),
					       .json = {events[i].json, events[i].json_len},
					       .show_id = events[i].show_id,
					       .time_us = events[i].time_us};
	rows = hooks_rows(&arena, taken, n);
	pg_args_init(&args, &arena);
	pg_arg_texts(&args, rows.ids, n);
	pg_arg_texts(&args, rows.types, n);
	pg_arg_uuids(&args, rows.shows, n);
	pg_arg_texts(&args, rows.aggregates, n);
	pg_arg_i64s(&args, rows.times, n);
	pg_arg_texts(&args, rows.bodies, n);
	pg_arg_interval_us(&args, h->config.days * US_PER_DAY);
	pg_arg_i32(&args, (int32_t)h->config.queue_max);
	pg_query_start(h->config.pg, &hooks_sql_deliveries_add, &args, QUEUE_MS, on_taken, h);
	arena_done(&arena);
}
