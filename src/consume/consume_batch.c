/*
 * Owns the batch under way: which slice of it the consumer's function has, what is tried again and when, what is parked.
 *
 *   loaded -> slice -> done: the next slice, twice as large -> ... -> finished (the source is told)
 *               |  transient: the same slice again, later, for ever
 *               '  failed: half of it, down to one event; that one again and again -> parked -> the next
 *
 * A failure halves, so that one bad event costs the others a few tries and no more; pauses grow to ten seconds.
 */
#include "consume/consume_int.h"

#include "base/xmalloc.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { PAUSE_FIRST_MS = 100, PAUSE_MAX_MS = 10000 };

void batch_begin(struct consumer *c, enum batch_source source)
{
	struct consumer_batch *b = &c->batch;

	assert(!b->loaded);
	arena_reset(&b->arena);
	*b = (struct consumer_batch){.arena = b->arena, .source = source, .loaded = true, .take = c->env.batch_max};
}

void batch_add(struct consumer *c, const struct consumer_event *event)
{
	struct consumer_batch *b = &c->batch;
	struct consumer_event *e;

	if (b->n == b->room) {
		struct consumer_event *wider;

		b->room = b->room ? 2 * b->room : 64;
		wider = arena_array(&b->arena, struct consumer_event, b->room);
		if (b->n)
			memcpy(wider, b->events, b->n * sizeof(*wider));
		b->events = wider;
	}
	e = &b->events[b->n++];
	*e = *event;
	e->id = arena_strdup(&b->arena, event->id);
	e->topic = arena_strdup(&b->arena, event->topic);
	e->type = arena_strdup(&b->arena, event->type);
	e->json = arena_cstr(&b->arena, (struct str){event->json, event->json_len});
}

void batch_drop(struct consumer *c)
{
	if (c->batch.kafka)
		kafka_batch_drop(c->batch.kafka);
	arena_reset(&c->batch.arena);
	c->batch = (struct consumer_batch){.arena = c->batch.arena};
}

void batch_finish(struct consumer *c)
{
	switch (c->batch.source) {
	case BATCH_LOG:
		log_finish(c);
		break;
	case BATCH_KAFKA:
		kafka_finish(c);
		break;
	case BATCH_PARKED:
		parked_finish(c);
		break;
	}
}

void batch_finished(struct consumer *c, bool more)
{
	batch_drop(c);
	consumer_round_end(c, true, more);
}

static int64_t pause_us(int failures)
{
	int64_t ms = failures > 8 ? PAUSE_MAX_MS : PAUSE_FIRST_MS << failures;

	return (ms < PAUSE_MAX_MS ? ms : PAUSE_MAX_MS) * 1000;
}

static void again_later(struct consumer *c, int failures)
{
	c->batch.again_at_us = loop_now_us(c->env.loop) + pause_us(failures);
	consumer_round_end(c, false, false);
}

void batch_run(struct consumer *c)
{
	struct consumer_batch *b = &c->batch;

	if (b->at == b->n) {
		batch_finish(c);
		return;
	}
	if (b->take > b->n - b->at)
		b->take = b->n - b->at;
	b->running = true;
	c->config.fn(c->config.arg, b->events + b->at, b->take, b); /* the last thing: it may be done already */
}

static void on_parked(void *arg, const struct pg_answer *a)
{
	struct consumer *c = arg;
	struct consumer_batch *b = &c->batch;

	if (a->status != PG_OK) {
		/* nothing can be written now: then nothing is wrong with the event either, perhaps */
		again_later(c, b->failures);
		return;
	}
	b->at++;
	b->take = 1;
	b->tries = b->failures = 0;
	batch_run(c);
}

static void park(struct consumer *c)
{
	const struct consumer_event *e = &c->batch.events[c->batch.at];
	struct arena arena;
	struct pg_args args;

	arena_init(&arena);
	pg_args_init(&args, &arena);
	pg_arg_text(&args, str_from(c->name));
	pg_arg_text(&args, str_from(e->id));
	pg_arg_uuid(&args, &e->show_id);
	pg_arg_text(&args, str_from(e->topic));
	pg_arg_text(&args, str_from(e->type));
	pg_arg_time(&args, e->time_us);
	pg_arg_json(&args, (struct str){e->json, e->json_len});
	pg_arg_i32(&args, c->batch.tries);
	pg_arg_text(&args, str_from(c->trouble));
	pg_query_start(c->env.pg, &consume_sql_event_park, &args, CONSUME_QUERY_MS, on_parked, c);
	arena_done(&arena);
}

/* ---- what became of a slice ---- */

static struct consumer *owner(struct consumer_batch *b)
{
	return (struct consumer *)(void *)((char *)b - offsetof(struct consumer, batch));
}

void consumer_batch_failed(struct consumer_batch *b, const char *why, bool transient)
{
	struct consumer *c = owner(b);

	assert(b->running);
	b->running = false;
	b->failures++;
	metric_add(c->env.metrics, METRIC_CONSUMER_FAILURES, (int)c->config.kind, 0, 1);
	consumer_say(c, why[0] ? why : "its events could not be taken", "");
	if (transient) {
		again_later(c, b->failures);
	} else if (b->take > 1) {
		b->take = b->take / 2;
		again_later(c, 0);
	} else if (++b->tries < c->env.tries_max && b->source != BATCH_PARKED) {
		again_later(c, b->tries);
	} else {
		park(c);
	}
}

void consumer_batch_done(struct consumer_batch *b, bool ok)
{
	struct consumer *c = owner(b);

	if (!ok) {
		consumer_batch_failed(b, "", false);
		return;
	}
	assert(b->running);
	b->running = false;
	metric_add(c->env.metrics, METRIC_CONSUMER_EVENTS, (int)c->config.kind, 0, (int64_t)b->take);
	c->last_event_us = b->events[b->at + b->take - 1].time_us;
	b->at += b->take;
	b->take = b->take < c->env.batch_max / 2 ? 2 * b->take : c->env.batch_max;
	b->tries = b->failures = 0;
	b->again_at_us = 0;
	batch_run(c);
}

void consumer_batch_answer(struct consumer_batch *b, const struct pg_answer *a)
{
	if (a->status == PG_OK)
		consumer_batch_done(b, true);
	else
		consumer_batch_failed(b, a->message, a->status != PG_ERROR || pg_error_is_transient(a));
}
