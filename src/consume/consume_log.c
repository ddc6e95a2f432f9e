/*
 * Owns the reading of outbox_log, and of parked events that shall be tried again: rows in, events out, the cursor behind them.
 *
 * Positions of a partition have no gaps and become visible in their order. So what lies between the last one read and the first one
 * found was dropped unread: that is counted (boxoffice_consumer_missed_total), and can only be when the consumer did not run for as
 * long as the log is kept.
 *
 * While Kafka is read (MODE_KAFKA) the log is looked through for what no broker has. Earlier events of the same aggregate may be on the
 * broker and not here yet, so such an event is not taken alone: everything before it that may not be done is read in the log too, from
 * c->done to it (c->whole), and comes a second time from Kafka. Only while some relays have a broker and others have none.
 */
#include "consume/consume_int.h"

#include "base/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS_PER_PARTITION = 64, BYTES_PER_PARTITION = 32 * 1024, PARKED_ROWS = 100, DEPTH = 32 };

/* A row of the outbox is an array of events. What is not one is nobody's event: it is counted and left. */
static void add_row(struct consumer *c, const struct uuid *outbox_id, const struct uuid *show_id, const char *topic,
		    int64_t time_us, struct str text)
{
	struct error e = {0};
	json_t *rows JSON_AUTO = json_read(text, DEPTH, &e);
	char outbox[UUID_TEXT], id[UUID_TEXT + 24];

	if (!json_is_array(rows)) {
		metric_add(c->env.metrics, METRIC_CONSUMER_FOREIGN, (int)c->config.kind, 0, 1);
		return;
	}
	uuid_format(outbox_id, outbox);
	for (size_t i = 0; i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i);
		const char *type = json_string_value(json_object_get(row, "type"));
		char *json = type ? json_dumps(row, JSON_COMPACT) : NULL;

		if (!json) {
			metric_add(c->env.metrics, METRIC_CONSUMER_FOREIGN, (int)c->config.kind, 0, 1);
			continue;
		}
		snprintf(id, sizeof(id), "%s:%zu", outbox, i);
		batch_add(c, &(struct consumer_event){id, topic, type, *show_id, time_us, json, strlen(json)});
		free(json);
	}
}

/* MODE_KAFKA: false, and what must come before is asked for as well, when an event that no broker has lies behind one that was left to
 * be read there. */
static bool rows_are_whole(struct consumer *c, const struct pg_result *rows)
{
	bool whole = true, left[PARTITIONS];

	memcpy(c->batch.whole, c->done, sizeof(c->done));
	for (int i = 0; i < PARTITIONS; i++)
		left[i] = c->done[i] < c->read[i];
	for (int i = 0; i < pg_rows(rows); i++) {
		int p = (int)pg_get_int(rows, i, 0);
		int64_t position = pg_get_int(rows, i, 1);
		bool taken = !pg_is_null(rows, i, 6), on_broker = pg_get_bool(rows, i, 7);

		if (p < 0 || p >= PARTITIONS)
			continue;
		if (on_broker && !taken)
			left[p] = true;
		if (taken && left[p]) {
			c->whole[p] = position;
			whole = false;
		}
		if (!left[p])
			c->batch.whole[p] = position;
	}
	for (int i = 0; i < PARTITIONS && !whole; i++)
		if (c->whole[i] > c->done[i])
			c->read[i] = c->done[i];
	return whole;
}

static void rows_ask(struct consumer *c);

static void on_rows(void *arg, const struct pg_answer *a)
{
	struct consumer *c = arg;
	struct consumer_batch *b = &c->batch;
	int rows, of_partition = 0;

	if (a->status != PG_OK) {
		consumer_say(c, "the log cannot be read", a->message);
		consumer_round_end(c, false, false);
		return;
	}
	rows = pg_rows(a->result);
	if (rows == 0) {
		if (c->log_none)
			c->log_none(c);
		else
			consumer_round_end(c, true, false);
		return;
	}
	batch_begin(c, BATCH_LOG);
	if (c->mode == MODE_KAFKA && !rows_are_whole(c, a->result)) {
		batch_drop(c);
		rows_ask(c);
		return;
	}
	memcpy(b->to, c->read, sizeof(b->to));
	for (int i = 0; i < rows; i++) {
		int partition = (int)pg_get_int(a->result, i, 0);
		int64_t position = pg_get_int(a->result, i, 1);

		if (partition < 0 || partition >= PARTITIONS)
			continue;
		if (position > b->to[partition] + 1 && b->to[partition] > 0)
			metric_add(c->env.metrics, METRIC_CONSUMER_MISSED, (int)c->config.kind, 0,
				   position - b->to[partition] - 1);
		of_partition = i > 0 && (int)pg_get_int(a->result, i - 1, 0) == partition ? of_partition + 1 : 1;
		b->more = b->more || of_partition == ROWS_PER_PARTITION;
		b->to[partition] = position;
		if (!pg_is_null(a->result, i, 6)) {
			struct uuid outbox = pg_get_uuid(a->result, i, 2), show = pg_get_uuid(a->result, i, 3);

			/* not all that are wanted may have fitted */
			b->more = true;
			add_row(c, &outbox, &show, pg_get_text(a->result, i, 4).p, pg_get_time(a->result, i, 5),
				pg_get_json(a->result, i, 6));
		}
	}
	batch_run(c);
}

static void rows_ask(struct consumer *c)
{
	int64_t all[PARTITIONS];
	struct arena arena;
	struct pg_args args;

	for (int i = 0; i < PARTITIONS; i++)
		all[i] = INT64_MAX;
	arena_init(&arena);
	pg_args_init(&args, &arena);
	pg_arg_i64s(&args, c->read, PARTITIONS);
	pg_arg_i32(&args, ROWS_PER_PARTITION);
	consumer_arg_topics(c, &args);
	pg_arg_i64s(&args, c->mode == MODE_KAFKA ? c->whole : all, PARTITIONS);
	pg_arg_i64(&args, BYTES_PER_PARTITION);
	pg_query_start(c->env.pg, &consume_sql_log_read, &args, CONSUME_QUERY_MS, on_rows, c);
	arena_done(&arena);
}

void log_read(struct consumer *c, void (*none)(struct consumer *c))
{
	c->log_none = none;
	rows_ask(c);
}

static void on_advanced(void *arg, const struct pg_answer *a)
{
	struct consumer *c = arg;
	int64_t moved = 0;

	if (a->status != PG_OK) {
		consumer_say(c, "the cursor cannot be moved", a->message);
		consumer_round_end(c, false, false); /* again: the batch is done, its end is not */
		return;
	}
	for (int i = 0; i < PARTITIONS; i++)
		moved += c->batch.to[i] != c->cursor[i];
	if (pg_affected(a->result) != moved) {
		c->reopen = true; /* somebody else moved it: begin where it is now */
		batch_finished(c, true);
		return;
	}
	memcpy(c->read, c->batch.to, sizeof(c->read));
	memcpy(c->cursor, c->batch.to, sizeof(c->cursor));
	batch_finished(c, c->batch.more);
}

void log_finish(struct consumer *c)
{
	int32_t partitions[PARTITIONS];
	int64_t since[PARTITIONS], til[PARTITIONS];
	size_t n = 0;
	struct arena arena;
	struct pg_args args;

	if (c->mode == MODE_KAFKA) { /* the cursor follows when the group is as far */
		memcpy(c->read, c->batch.to, sizeof(c->read));
		for (int i = 0; i < PARTITIONS; i++)
			if (c->done[i] < c->batch.whole[i])
				c->done[i] = c->batch.whole[i];
		c->log_is_read = !c->batch.more;
		batch_finished(c, true);
		return;
	}
	for (int i = 0; i < PARTITIONS; i++)
		if (c->batch.to[i] != c->cursor[i]) {
			partitions[n] = i;
			since[n] = c->cursor[i];
			til[n++] = c->batch.to[i];
		}
	arena_init(&arena);
	pg_args_init(&args, &arena);
	pg_arg_text(&args, str_from(c->name));
	pg_arg_i32s(&args, partitions, n);
	pg_arg_i64s(&args, since, n);
	pg_arg_i64s(&args, til, n);
	pg_query_start(c->env.pg, &consume_sql_consumer_advance, &args, CONSUME_QUERY_MS, on_advanced, c);
	arena_done(&arena);
}

/* ---- parked events that shall be tried again ---- */

static void on_parked_rows(void *arg, const struct pg_answer *a)
{
	struct consumer *c = arg;

	if (a->status != PG_OK) {
		consumer_say(c, "parked events cannot be read", a->message);
		consumer_round_end(c, false, false);
		return;
	}
	c->wished = pg_rows(a->result) == PARKED_ROWS;
	if (pg_rows(a->result) == 0) {
		consumer_round_end(c, true, true);
		return;
	}
	batch_begin(c, BATCH_PARKED);
	for (int i = 0; i < pg_rows(a->result); i++) {
		struct str json = pg_get_json(a->result, i, 5);

		batch_add(c, &(struct consumer_event){pg_get_text(a->result, i, 0).p, pg_get_text(a->result, i, 2).p,
						      pg_get_text(a->result, i, 3).p, pg_get_uuid(a->result, i, 1),
						      pg_get_time(a->result, i, 4), json.p, json.n});
	}
	batch_run(c);
}

void parked_read(struct consumer *c)
{
	struct arena arena;
	struct pg_args args;

	arena_init(&arena);
	pg_args_init(&args, &arena);
	pg_arg_text(&args, str_from(c->name));
	pg_arg_i32(&args, PARKED_ROWS);
	pg_query_start(c->env.pg, &consume_sql_parked_wished, &args, CONSUME_QUERY_MS, on_parked_rows, c);
	arena_done(&arena);
}

static void on_parked_done(void *arg, const struct pg_answer *a)
{
	struct consumer *c = arg;

	if (a->status != PG_OK)
		consumer_round_end(c, false, false);
	else
		batch_finished(c, true);
}

void parked_finish(struct consumer *c)
{
	struct consumer_batch *b = &c->batch;
	struct str *ids = arena_array(&b->arena, struct str, b->n);
	struct arena arena;
	struct pg_args args;

	for (size_t i = 0; i < b->n; i++)
		ids[i] = str_from(b->events[i].id);
	arena_init(&arena);
	pg_args_init(&args, &arena);
	pg_arg_text(&args, str_from(c->name));
	pg_arg_texts(&args, ids, b->n);
	pg_query_start(c->env.pg, &consume_sql_parked_done, &args, CONSUME_QUERY_MS, on_parked_done, c);
	arena_done(&arena);
}
