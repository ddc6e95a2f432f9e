/*
 * Owns a consumer from lease to lease: where it stands, its rounds, what it says of itself.
 *
 *   CLOSED --a round--> OPENING --no broker--> LOG
 *      ^                   '--a broker--> HANDING (the log to its end, when the group has no place in this cluster) --> KAFKA
 *      '-- the lease is another's, or somebody has put it elsewhere: from each
 *
 *   round: a look (every two seconds) -> the batch under way, or parked events that shall be tried again, or what is next -> its end
 *
 * Called by work (app/work_main.c), one round after the other.
 */
#include "consume/consume_int.h"

#include "base/buf.h"
#include "base/json.h"
#include "base/times.h"
#include "base/xmalloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LOOK_MS = 2000 };

const struct pg_stmt *const *const consume_sql = consume_sql_statements;

const char *consumer_kind_name(enum consumer_kind kind)
{
	static const char *const names[] = {
#define CONSUMER(id, name) name,
#include "io/consumers.def"
#undef CONSUMER
	};

	return names[kind];
}

struct consumer *consumer_new(const struct consume_env *env, const struct consumer_config *config)
{
	struct consumer *c = xcalloc(1, sizeof(*c));
	size_t n = 0;

	c->env = *env;
	c->config = *config;
	c->name = consumer_kind_name(config->kind);
	snprintf(c->lease, sizeof(c->lease), "consumer-%s", c->name);
	snprintf(c->group, sizeof(c->group), "boxoffice.%s", c->name);
	while (config->topics[n])
		n++;
	c->topics = xcalloc(n + 1, sizeof(*c->topics));
	for (size_t i = 0; i < n; i++) {
		size_t size = strlen(env->topic_prefix) + strlen(config->topics[i]) + 1;

		c->topics[i] = xmalloc(size);
		snprintf(c->topics[i], size, "%s%s", env->topic_prefix, config->topics[i]);
	}
	arena_init(&c->batch.arena);
	return c;
}

void consumer_free(struct consumer *c)
{
	if (!c)
		return;
	consumer_close(c, true);
	arena_done(&c->batch.arena);
	for (size_t i = 0; c->topics[i]; i++)
		free(c->topics[i]);
	free(c->topics);
	free(c);
}

const char *consumer_lease(const struct consumer *c)
{
	return c->lease;
}

void consumer_on_wake(struct consumer *c, loop_fn *wake, void *arg)
{
	c->wake = wake;
	c->wake_arg = arg;
}

/* Whoever has it next begins from what is committed. */
void consumer_close(struct consumer *c, bool at_end)
{
	batch_drop(c);
	kafka_close(c, at_end);
	c->mode = MODE_CLOSED;
	c->reopen = false;
	metric_set(c->env.metrics, METRIC_CONSUMER_LAG, (int)c->config.kind, 0, 0);
	metric_set(c->env.metrics, METRIC_CONSUMER_LAG_SECONDS, (int)c->config.kind, 0, 0);
	metric_set(c->env.metrics, METRIC_CONSUMER_PARKED, (int)c->config.kind, 0, 0);
}

void consumer_lost(struct consumer *c)
{
	consumer_close(c, false);
}

void consumer_say(struct consumer *c, const char *what, const char *why)
{
	snprintf(c->trouble, sizeof(c->trouble), "%s%s%s", what, why[0] ? ": " : "", why);
}

void consumer_arg_topics(struct consumer *c, struct pg_args *args)
{
	struct str topics[16];
	size_t n = 0;

	for (; c->config.topics[n] && n < 16; n++)
		topics[n] = str_from(c->config.topics[n]);
	pg_arg_texts(args, topics, n);
}

void consumer_round_end(struct consumer *c, bool ok, bool more)
{
	consumer_round_fn *done = c->round_done;

	c->round_done = NULL;
	if (c->reopen)
		consumer_close(c, false);
	done(c->round_arg, ok, more);
}

/* ---- opening ---- */

static void on_place(void *arg, const struct pg_answer *a)
{
	struct consumer *c = arg;
	struct arena arena;
	int64_t *positions;

	if (a->status != PG_OK || pg_rows(a->result) != 1)
		return; /* the commit says the same */
	arena_init(&arena);
	snprintf(c->source, sizeof(c->source), "%s", pg_get_text(a->result, 0, 0).p);
	c->generation = pg_get_int(a->result, 0, 1);
	if (pg_get_ints(a->result, 0, 2, &arena, &positions) == PARTITIONS) {
		memcpy(c->cursor, positions, sizeof(c->cursor));
		memcpy(c->read, positions, sizeof(c->read));
		c->mode = MODE_OPENING;
	}
	arena_done(&arena);
}

static void on_opened(void *arg, const struct pg_answer *a)
{
	struct consumer *c = arg;

	if (a->status != PG_OK || c->mode != MODE_OPENING) {
		c->mode = MODE_CLOSED;
		consumer_say(c, "it cannot be begun", a->message);
		consumer_round_end(c, false, false);
	} else if (c->env.kafka.brokers[0]) {
		kafka_open(c);
	} else if (strcmp(c->source, "log") != 0) {
		kafka_leave(c); /* there is no broker any more: everything behind the cursor is in the log */
	} else {
		c->mode = MODE_LOG;
		consumer_round_end(c, true, true);
	}
}

static void open_start(struct consumer *c)
{
	struct pg_tx *tx = pg_tx_start(c->env.pg, NULL, CONSUME_QUERY_MS);
	struct arena arena;
	struct pg_args args;

	arena_init(&arena);
	pg_args_init(&args, &arena);
	pg_arg_text(&args, str_from(c->name));
	pg_arg_text(&args, c->config.start == CONSUMER_FROM_NOW ? STR("now") : STR("beginning"));
	pg_tx_exec(tx, &consume_sql_consumer_make, &args, NULL, NULL);
	pg_args_init(&args, &arena);
	pg_arg_text(&args, str_from(c->name));
	pg_tx_exec(tx, &consume_sql_consumer_open, &args, on_place, c);
	pg_tx_commit(tx, on_opened, c);
	arena_done(&arena);
}

/* ---- a round ---- */

void consumer_read(struct consumer *c)
{
	if (c->wished)
		parked_read(c);
	else if (c->mode == MODE_KAFKA)
		kafka_read(c);
	else if (c->mode == MODE_HANDING)
		kafka_hand(c);
	else
		log_read(c, NULL);
}

static void go_on(struct consumer *c)
{
	if (c->mode == MODE_OPENING)
		kafka_open(c); /* again: the broker was away */
	else if (!c->batch.loaded)
		consumer_read(c);
	else if (loop_now_us(c->env.loop) < c->batch.again_at_us)
		consumer_round_end(c, true, false);
	else
		batch_run(c);
}

static void on_look(void *arg, const struct pg_answer *a)
{
	struct consumer *c = arg;
	struct arena arena;
	int64_t *positions, lag = 0;

	c->look_at_us = loop_now_us(c->env.loop) + LOOK_MS * 1000;
	if (a->status != PG_OK) {
		consumer_round_end(c, false, false);
		return;
	}
	if (pg_rows(a->result) == 0 || pg_get_int(a->result, 0, 0) != c->generation) {
		c->reopen = true; /* it was put elsewhere */
		consumer_round_end(c, true, true);
		return;
	}
	arena_init(&arena);
	metric_set(c->env.metrics, METRIC_CONSUMER_PARKED, (int)c->config.kind, 0, pg_get_int(a->result, 0, 1));
	c->wished = pg_get_bool(a->result, 0, 2);
	if (pg_get_ints(a->result, 0, 3, &arena, &positions) == PARTITIONS) {
		for (int i = 0; i < PARTITIONS; i++)
			lag += positions[i] > c->cursor[i] ? positions[i] - c->cursor[i] : 0;
		if (c->mode == MODE_KAFKA) {
			kafka_follow(c, positions);
		} else {
			metric_set(c->env.metrics, METRIC_CONSUMER_LAG, (int)c->config.kind, 0, lag);
			metric_set(c->env.metrics, METRIC_CONSUMER_LAG_SECONDS, (int)c->config.kind, 0,
				   pg_get_int(a->result, 0, 4));
		}
	}
	arena_done(&arena);
	go_on(c);
}

static void look_start(struct consumer *c)
{
	struct arena arena;
	struct pg_args args;
	const char *trouble = c->batch.failures || c->mode == MODE_OPENING ? c->trouble
			      : c->kafka				   ? kafka_consumer_trouble(c->kafka)
									   : "";

	arena_init(&arena);
	pg_args_init(&args, &arena);
	pg_arg_text(&args, str_from(c->name));
	pg_arg_i32(&args, c->batch.failures);
	pg_arg_text(&args, str_from(trouble));
	pg_query_start(c->env.pg, &consume_sql_consumer_look, &args, CONSUME_QUERY_MS, on_look, c);
	arena_done(&arena);
}

void consumer_round(struct consumer *c, consumer_round_fn *done, void *arg)
{
	c->round_done = done;
	c->round_arg = arg;
	if (c->mode == MODE_CLOSED)
		open_start(c);
	else if (loop_now_us(c->env.loop) >= c->look_at_us)
		look_start(c);
	else
		go_on(c);
}

/* ---- for the consumers' functions ---- */

struct str consumer_events_json(struct arena *arena, const struct consumer_event *events, size_t n)
{
	struct buf out;
	struct jw w;
	struct str text;

	buf_init(&out, SIZE_MAX / 8); /* what was taken is bounded */
	jw_init(&w, &out);
	jw_arr(&w);
	for (size_t i = 0; i < n; i++) {
		jw_obj(&w);
		jw_kcstr(&w, "id", events[i].id);
		jw_kcstr(&w, "topic", events[i].topic);
		jw_kcstr(&w, "type", events[i].type);
		jw_kuuid(&w, "show_id", &events[i].show_id);
		jw_ktime(&w, "time", events[i].time_us);
		jw_key(&w, "data");
		jw_raw(&w, (struct str){events[i].json, events[i].json_len});
		jw_obj_end(&w);
	}
	jw_arr_end(&w);
	jw_done(&w);
	text = arena_str(arena, buf_str(&out));
	buf_done(&out);
	return text;
}
