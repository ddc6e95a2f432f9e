/*
 * Owns nothing but the way from a batch of events to its statement: reads of each event what the rules need, leaves out those of
 * which nobody is told, and hands the rest over at once. Called by the consumer (consume.h); notices_locks_round by `work`.
 */
#include "notify/notices_consume.h"

#include "base/json.h"
#include "base/xmalloc.h"
#include "io/metrics_table.h"
#include "notify/notices.h"
#include "notify/notices_sql.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { QUERY_MS = 20000 };

struct notices {
	struct pg *pg;
	struct metrics *metrics;
	struct consumer_batch *batch; /* under way: a consumer has one at a time */
};

struct notices *notices_new(struct pg *pg, struct metrics *metrics)
{
	struct notices *n = xcalloc(1, sizeof(*n));

	n->pg = pg;
	n->metrics = metrics;
	return n;
}

void notices_free(struct notices *n)
{
	free(n);
}

/* ---- events ---- */

/* Columns of the statement's parameters. */
struct columns {
	size_t n;
	struct str *ids, *kinds, *conds, *seats, *reasons;
	struct uuid *shows, *bookings, *subjects;
	bool *holders;
	int64_t *at_us;
};

static struct str text_of(json_t *object, const char *name)
{
	return str_from(json_string_value(json_object_get(object, name)));
}

static bool uuid_of(json_t *object, const char *name, struct uuid *ret)
{
	memset(ret, 0, sizeof(*ret));
	return uuid_parse(text_of(object, name), ret);
}

/* The numbers of the seats it names, as JSON. */
static struct str seats_of(json_t *object, struct arena *arena)
{
	json_t *numbers JSON_AUTO = json_array(), *seat;
	struct str text = STR("[]");
	char *made;
	size_t i;

	json_array_foreach(json_object_get(object, "seats"), i, seat) {
		json_t *number = json_object_get(seat, "seat_no");

		if (json_is_integer(number))
			json_array_append(numbers, number);
	}
	made = json_dumps(numbers, JSON_COMPACT);
	if (made)
		text = str_from(arena_strdup(arena, made));
	free(made);
	return text;
}

/* What cannot be understood tells nobody: it is left to those who look after the events' form. */
static void take(struct columns *c, const struct consumer_event *e, struct arena *arena)
{
	struct error error = {0};
	json_t *json JSON_AUTO = json_read((struct str){e->json, e->json_len}, JSON_DEPTH_DEFAULT, &error);
	const struct notice_rule *rule;
	size_t i = c->n;

	if (!json)
		return;
	rule = notice_rule_for(str_from(e->type), text_of(json, "reason"));
	if (!rule || !rule->kind || !uuid_of(json, "booking_id", &c->bookings[i]))
		return;
	if (!uuid_of(json, "refund_id", &c->subjects[i]))
		uuid_of(json, "payment_id", &c->subjects[i]);
	c->ids[i] = str_from(e->id);
	c->shows[i] = e->show_id;
	c->kinds[i] = str_from(rule->kind);
	c->conds[i] = str_from(notice_when_name(rule->when));
	c->holders[i] = rule->whom == NOTICE_ALL;
	c->at_us[i] = e->time_us;
	c->seats[i] = seats_of(json, arena);
	c->reasons[i] = arena_str(arena, text_of(json, "reason"));
	c->n++;
}

static void on_made(void *arg, const struct pg_answer *a)
{
	struct notices *n = arg;
	struct consumer_batch *batch = n->batch;

	if (a->status == PG_OK)
		metric_add(n->metrics, METRIC_NOTICES, NOTICES_OF_EVENTS, 0, pg_affected(a->result));
	n->batch = NULL;
	consumer_batch_answer(batch, a);
}

void notices_consume(void *arg, const struct consumer_event *events, size_t n, struct consumer_batch *batch)
{
	struct notices *s = arg;
	struct columns c = {0};
	struct pg_args args;
	struct arena arena;

	assert(!s->batch);
	arena_init(&arena);
	c.ids = arena_array(&arena, struct str, n);
	c.kinds = arena_array(&arena, struct str, n);
	c.conds = arena_array(&arena, struct str, n);
	c.seats = arena_array(&arena, struct str, n);
	c.reasons = arena_array(&arena, struct str, n);
	c.shows = arena_array(&arena, struct uuid, n);
	c.bookings = arena_array(&arena, struct uuid, n);
	c.subjects = arena_array(&arena, struct uuid, n);
	c.holders = arena_array(&arena, bool, n);
	c.at_us = arena_array(&arena, int64_t, n);
	for (size_t i = 0; i < n; i++)
		take(&c, &events[i], &arena);
	if (c.n == 0) {
		arena_done(&arena);
		consumer_batch_done(batch, true);
		return;
	}
	s->batch = batch;
	pg_args_init(&args, &arena);
	pg_arg_texts(&args, c.ids, c.n);
	pg_arg_uuids(&args, c.shows, c.n);
	pg_arg_uuids(&args, c.bookings, c.n);
	pg_arg_uuids(&args, c.subjects, c.n);
	pg_arg_texts(&args, c.kinds, c.n);
	pg_arg_texts(&args, c.conds, c.n);
	pg_arg_bools(&args, c.holders, c.n);
	pg_arg_texts(&args, c.seats, c.n);
	pg_arg_texts(&args, c.reasons, c.n);
	pg_arg_i64s(&args, c.at_us, c.n);
	pg_query_start(s->pg, &notices_sql_notices_make, &args, QUERY_MS, on_made, s);
	arena_done(&arena);
}
