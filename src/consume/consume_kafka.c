/*
 * Owns the reading of Kafka, and how a consumer comes from the log to Kafka and back without losing an event.
 *
 *   source in the database   what is known
 *   'log'                    everything behind the cursor is still to be read in the log
 *   'kafka CLUSTER'          what is behind the cursor and on the broker is read there, in the group's place; the rest in the log
 *
 *   OPENING: has the group a place in this cluster, and is this the cluster it was in?
 *      yes -> KAFKA
 *      no  -> 'log' -> the group is put at the end -> HANDING: the log is read to where it is after that -> 'kafka CLUSTER' -> KAFKA
 *
 * The log has everything, and what is put on the broker after the group's place was taken is read there: nothing lies between, and
 * what lies in both comes twice. So it does not matter what a new broker has, or has not. What was on the broker before may come into
 * the log a while later, when the relay has heard of it: until then it waits in the outbox. So HANDING asks what waits after the group
 * has its place (the marks), and ends where the log is when all of that is in it.
 *
 *   KAFKA: what no broker has is read in the log before each batch: an earlier event of an aggregate went there before a later one went to
 *   the broker; and before it what is on the broker and earlier than it (see consume_log.c). And the cursor follows: positions P of the
 *   log are read, then the ends E of the topics. What is in the log up to P was delivered before, so it lies before E. When the group
 *   has committed E, the cursor is put at P. So it is always true that everything up to the cursor is done, and without a broker, or
 *   with another one, the consumer goes on from there.
 */
#include "consume/consume_int.h"

#include "base/json.h"
#include "base/times.h"
#include "base/xmalloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TAKE_BYTES = 512 * 1024, PLACE_MS = 8000, LOOK_MS = 5000 };

struct kafka_end {
	char *topic;
	int partition;
	int64_t end;
};

/* A message in Kafka may be of anybody: what it says goes no further than this. */
enum { ID_MAX = 200, TYPE_MAX = 100, DEPTH = 32 };

static struct kafka_consumer_config settings(struct consumer *c)
{
	return (struct kafka_consumer_config){.loop = c->env.loop,
					      .offload = c->env.offload,
					      .access = c->env.kafka,
					      .group = c->group,
					      .topics = (const char *const *)c->topics,
					      .ready = c->wake,
					      .arg = c->wake_arg};
}

/* ---- opening, handing over ---- */

static void set_source(struct consumer *c, const char *source, pg_fn *fn)
{
	struct arena arena;
	struct pg_args args;

	arena_init(&arena);
	pg_args_init(&args, &arena);
	pg_arg_text(&args, str_from(c->name));
	pg_arg_i64(&args, c->generation);
	pg_arg_text(&args, str_from(source));
	pg_query_start(c->env.pg, &consume_sql_consumer_source, &args, CONSUME_QUERY_MS, fn, c);
	arena_done(&arena);
}

static void join(struct consumer *c)
{
	struct kafka_consumer_config config = settings(c);
	char error[KAFKA_ERROR_MAX];

	c->kafka = kafka_consumer_new(&config, error);
	if (!c->kafka) {
		consumer_say(c, error, "");
		c->mode = MODE_OPENING;
		consumer_round_end(c, false, false);
		return;
	}
	c->mode = MODE_KAFKA;
	memcpy(c->done, c->read, sizeof(c->done));
	memcpy(c->whole, c->read, sizeof(c->whole));
	c->trouble[0] = '\0';
	consumer_round_end(c, true, true);
}

static void on_source_log(void *arg, const struct pg_answer *a)
{
	struct consumer *c = arg;

	if (a->status != PG_OK || pg_affected(a->result) != 1) {
		c->reopen = true;
		consumer_round_end(c, false, false);
		return;
	}
	snprintf(c->source, sizeof(c->source), "log");
	if (c->env.kafka.brokers[0]) {
		kafka_open(c);
	} else {
		c->mode = MODE_LOG;
		consumer_round_end(c, true, true);
	}
}

void kafka_leave(struct consumer *c)
{
	set_source(c, "log", on_source_log);
}

static void on_marks(void *arg, const struct pg_answer *a)
{
	struct consumer *c = arg;
	struct arena arena;
	int64_t *marks;
	bool ok = false;

	arena_init(&arena);
	if (a->status == PG_OK && pg_get_ints(a->result, 0, 0, &arena, &marks) == PARTITIONS) {
		memcpy(c->marks, marks, sizeof(c->marks));
		c->handed = false;
		c->mode = MODE_HANDING;
		ok = true;
	}
	arena_done(&arena);
	consumer_round_end(c, ok, ok);
}

static void on_placed(void *arg, bool ok, bool moved, const char *cluster, const char *error)
{
	struct consumer *c = arg;
	struct pg_args args = {0};

	c->call = NULL;
	if (!ok) {
		consumer_say(c, "Kafka cannot be read", error);
		consumer_round_end(c, false, false);
		return;
	}
	snprintf(c->cluster, sizeof(c->cluster), "%s", cluster);
	if (!moved)
		join(c);
	else if (strcmp(c->source, "log") != 0)
		kafka_leave(c); /* it has no place here: only the log knows what is behind the cursor */
	else
		pg_query_start(c->env.pg, &consume_sql_log_marks, &args, CONSUME_QUERY_MS, on_marks, c);
}

void kafka_open(struct consumer *c)
{
	struct kafka_consumer_config config = settings(c);
	const char *known = strncmp(c->source, "kafka ", 6) == 0 ? c->source + 6 : "";

	c->mode = MODE_OPENING;
	c->call = kafka_group_place(&config, known, PLACE_MS, on_placed, c);
	if (!c->call)
		consumer_round_end(c, false, false); /* the pool is full */
}

static void on_source_kafka(void *arg, const struct pg_answer *a)
{
	struct consumer *c = arg;

	if (a->status == PG_OK && pg_affected(a->result) == 1) {
		snprintf(c->source, sizeof(c->source), "kafka %s", c->cluster);
		join(c);
		return;
	}
	c->reopen = a->status == PG_OK; /* it was put elsewhere */
	consumer_round_end(c, false, false);
}

static bool is_handed(const struct consumer *c)
{
	for (int i = 0; i < PARTITIONS; i++)
		if (c->read[i] < c->handed_at[i])
			return false;
	return true;
}

static void handed(struct consumer *c)
{
	char source[sizeof(c->source)];

	/* positions that nothing is found at were dropped long ago */
	for (int i = 0; i < PARTITIONS; i++)
		if (c->read[i] < c->handed_at[i])
			c->read[i] = c->handed_at[i];
	snprintf(source, sizeof(source), "kafka %s", c->cluster);
	set_source(c, source, on_source_kafka);
}

static void hand(struct consumer *c)
{
	if (c->handed && is_handed(c))
		handed(c);
	else
		log_read(c, c->handed ? handed : NULL);
}

static void on_hand(void *arg, const struct pg_answer *a)
{
	struct consumer *c = arg;
	struct arena arena;
	int64_t *positions;

	if (a->status != PG_OK) {
		consumer_say(c, "the log cannot be read", a->message);
		consumer_round_end(c, false, false);
		return;
	}
	arena_init(&arena);
	if (!pg_is_null(a->result, 0, 0) && pg_get_ints(a->result, 0, 0, &arena, &positions) == PARTITIONS) {
		memcpy(c->handed_at, positions, sizeof(c->handed_at));
		c->handed = true;
	}
	arena_done(&arena);
	hand(c);
}

void kafka_hand(struct consumer *c)
{
	struct arena arena;
	struct pg_args args;

	if (c->handed) {
		hand(c);
		return;
	}
	arena_init(&arena);
	pg_args_init(&args, &arena);
	pg_arg_i64s(&args, c->marks, PARTITIONS);
	pg_query_start(c->env.pg, &consume_sql_log_handed, &args, CONSUME_QUERY_MS, on_hand, c);
	arena_done(&arena);
}

/* ---- messages ---- */

static char *header(struct consumer *c, size_t i, const char *name, size_t max)
{
	struct str value;

	if (!kafka_batch_header(c->batch.kafka, i, name, &value) || value.n == 0 || value.n > max ||
	    !str_utf8_valid(value) || memchr(value.p, '\0', value.n))
		return NULL;
	return arena_cstr(&c->batch.arena, value);
}

/* false: it is no event of ours. */
static bool add_message(struct consumer *c, size_t i)
{
	struct kafka_record r;
	struct error e = {0};
	size_t prefix = strlen(c->env.topic_prefix);
	char *id = header(c, i, "ce_id", ID_MAX), *type = header(c, i, "ce_type", TYPE_MAX);
	char *show = header(c, i, "ce_showid", UUID_TEXT), *time = header(c, i, "ce_time", TIME_TEXT_MAX + 10);
	struct consumer_event event = {.id = id, .type = type};
	const char *show_in;
	json_t *json;

	kafka_batch_get(c->batch.kafka, i, &r);
	if (!id || !type || strlen(r.topic) <= prefix)
		return false;
	json = json_read(r.value, DEPTH, &e);
	if (!json_is_object(json)) {
		json_decref(json);
		return false;
	}
	show_in = json_string_value(json_object_get(json, "show_id"));
	if (!show && show_in)
		show = arena_strdup(&c->batch.arena, show_in);
	json_decref(json);
	if (show && !uuid_parse(str_from(show), &event.show_id))
		return false;
	if (!time || !time_parse(str_from(time), &event.time_us))
		event.time_us = r.time_us;
	event.topic = r.topic + prefix;
	event.json = r.value.p;
	event.json_len = r.value.n;
	batch_add(c, &event);
	return true;
}

static void held_begin(struct consumer *c)
{
	size_t n = kafka_batch_count(c->held);

	batch_begin(c, BATCH_KAFKA);
	c->batch.kafka = c->held;
	c->held = NULL;
	for (size_t i = 0; i < n; i++)
		if (!add_message(c, i))
			metric_add(c->env.metrics, METRIC_CONSUMER_FOREIGN, (int)c->config.kind, 0, 1);
	batch_run(c);
}

static void log_is_empty(struct consumer *c)
{
	c->log_is_read = true;
	if (c->held)
		held_begin(c);
	else
		consumer_round_end(c, true, false);
}

void kafka_read(struct consumer *c)
{
	if (!c->held) {
		c->held = kafka_consumer_take(c->kafka, c->env.batch_max, TAKE_BYTES);
		c->log_is_read = false;
	}
	if (c->held && c->log_is_read)
		held_begin(c);
	else
		log_read(c, log_is_empty);
}

void kafka_finish(struct consumer *c)
{
	kafka_batch_done(c->batch.kafka);
	c->batch.kafka = NULL;
	batch_finished(c, true); /* what came meanwhile has woken nobody */
}

/* ---- the cursor follows ---- */

static void follow_forget(struct consumer *c)
{
	for (size_t i = 0; i < c->n_ends; i++)
		free(c->ends[i].topic);
	free(c->ends);
	c->ends = NULL;
	c->n_ends = 0;
	c->following = false;
}

static void on_followed(void *arg, const struct pg_answer *a)
{
	struct consumer *c = arg;
	int64_t moved = 0;

	c->query = NULL;
	if (a->status == PG_OK) {
		for (int i = 0; i < PARTITIONS; i++)
			moved += c->wanted[i] != c->cursor[i];
		if (pg_affected(a->result) == moved) {
			memcpy(c->cursor, c->wanted, sizeof(c->cursor));
			for (int i = 0; i < PARTITIONS; i++)
				if (c->done[i] < c->wanted[i])
					c->done[i] = c->wanted[i];
		} else
			c->reopen = true;
	}
	follow_forget(c);
}

static void follow(struct consumer *c)
{
	int32_t partitions[PARTITIONS];
	int64_t since[PARTITIONS], til[PARTITIONS];
	size_t n = 0;
	struct arena arena;
	struct pg_args args;

	for (int i = 0; i < PARTITIONS; i++)
		if (c->wanted[i] != c->cursor[i]) {
			partitions[n] = i;
			since[n] = c->cursor[i];
			til[n++] = c->wanted[i];
		}
	if (n == 0) {
		follow_forget(c);
		return;
	}
	arena_init(&arena);
	pg_args_init(&args, &arena);
	pg_arg_text(&args, str_from(c->name));
	pg_arg_i32s(&args, partitions, n);
	pg_arg_i64s(&args, since, n);
	pg_arg_i64s(&args, til, n);
	c->query = pg_query_start(c->env.pg, &consume_sql_consumer_advance, &args, CONSUME_QUERY_MS, on_followed, c);
	arena_done(&arena);
}

static bool has_passed(const struct kafka_place *places, size_t n, const struct kafka_end *end)
{
	for (size_t i = 0; i < n; i++)
		if (places[i].partition == end->partition && strcmp(places[i].topic, end->topic) == 0)
			return places[i].committed >= end->end ||
			       (places[i].committed < 0 && places[i].first >= end->end);
	return false; /* the topic is gone: nobody knows */
}

static void ends_keep(struct consumer *c, const struct kafka_place *places, size_t n)
{
	c->ends = xcalloc(n + 1, sizeof(*c->ends));
	for (c->n_ends = 0; c->n_ends < n; c->n_ends++)
		c->ends[c->n_ends] = (struct kafka_end){xstrdup(places[c->n_ends].topic), places[c->n_ends].partition,
							places[c->n_ends].end};
}

static void on_where(void *arg, bool ok, const struct kafka_place *places, size_t n, const char *error)
{
	struct consumer *c = arg;
	int64_t lag = 0, late_us;
	bool passed = true;

	c->call = NULL;
	if (!ok) {
		return; /* the consumer knows what is wrong */
	}
	kafka_consumer_well(c->kafka);
	for (size_t i = 0; i < n; i++) {
		int64_t at = places[i].committed >= 0 ? places[i].committed : places[i].first;

		lag += places[i].end > at ? places[i].end - at : 0;
	}
	late_us = lag && c->last_event_us ? wall_now_us() - c->last_event_us : 0;
	metric_set(c->env.metrics, METRIC_CONSUMER_LAG, (int)c->config.kind, 0, lag);
	metric_set(c->env.metrics, METRIC_CONSUMER_LAG_SECONDS, (int)c->config.kind, 0, late_us > 0 ? late_us : 0);
	if (!c->ends)
		ends_keep(c, places, n);
	for (size_t i = 0; i < c->n_ends; i++)
		passed = passed && has_passed(places, n, &c->ends[i]);
	for (int i = 0; i < PARTITIONS; i++)
		passed = passed && c->read[i] >= c->wanted[i];
	if (passed)
		follow(c);
}

void kafka_follow(struct consumer *c, const int64_t positions[PARTITIONS])
{
	if (c->call || c->query)
		return;
	if (!c->following) {
		memcpy(c->wanted, positions, sizeof(c->wanted));
		c->following = true;
	}
	c->call = kafka_group_look(c->kafka, LOOK_MS, on_where, c);
}

void kafka_close(struct consumer *c, bool at_end)
{
	if (c->call)
		kafka_group_cancel(c->call);
	if (c->query)
		pg_query_cancel(c->query);
	if (c->held)
		kafka_batch_drop(c->held);
	kafka_consumer_free(c->kafka, at_end);
	c->call = NULL;
	c->query = NULL;
	c->held = NULL;
	c->kafka = NULL;
	follow_forget(c);
}
