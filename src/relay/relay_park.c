/*
 * Owns what is set aside: reads which aggregates wait, and does what a person wished (`boxoffice admin outbox`): tries an event again,
 * or leaves it out, and lets those go on that waited behind it. Nothing else of the relay is under way meanwhile.
 *
 *   READ --nothing to do--> the aggregates of what is left are blocked
 *     '--wishes--> SENDING --> KEPT (one transaction) --> READ again
 */
#include "relay/relay_int.h"

#include "base/xmalloc.h"
#include "io/log.h"
#include "io/metrics_table.h"

#include <stdlib.h>

enum { READ_MAX = 10000 };

struct unpark {
	struct relay *r;
	struct arena arena;
	struct relay_event *events; /* all that is set aside, in order */
	size_t n;
	struct relay_item *items; /* of these, those that are tried */
	size_t n_items;
	bool *skipped; /* by the place in events */
	size_t n_skipped;
	struct relay_set blocked;
	struct relay_send *send;
};

static void unpark_free(struct unpark *u)
{
	u->r->unpark = NULL;
	u->r->parking = false;
	if (u->send)
		relay_send_cancel(u->send);
	relay_set_done(&u->blocked);
	arena_done(&u->arena);
	free(u);
}

static void on_kept(void *arg, const struct pg_answer *a)
{
	struct unpark *u = arg;
	struct relay *r = u->r;

	if (a->status != PG_OK)
		relay_say(r, "the relay cannot keep what became of events that were set aside", a->message);
	unpark_free(u);
	relay_over(r, false);
}

static void say(const struct unpark *u, const struct relay_event *e, const char *what)
{
	char id[RELAY_ID_MAX];

	relay_event_id(e, id);
	log_line(LOG_WARN, what, LOG_C("event_id", id),
		 LOG_C("about", relay_event_about(e, &((struct unpark *)(uintptr_t)u)->arena)));
}

static void keep(struct unpark *u)
{
	size_t room = u->n_items + u->n_skipped, n = 0;
	int64_t *generations = arena_array(&u->arena, int64_t, room);
	struct uuid *shows = arena_array(&u->arena, struct uuid, room),
		    *ids = arena_array(&u->arena, struct uuid, room);
	int32_t *places = arena_array(&u->arena, int32_t, room);
	struct str *what = arena_array(&u->arena, struct str, room), *causes = arena_array(&u->arena, struct str, room);
	struct pg_args args;

	for (size_t i = 0; i < u->n + u->n_items; i++) {
		const struct relay_item *item = i < u->n ? NULL : &u->items[i - u->n];
		const struct relay_event *e = item ? item->event : &u->events[i];

		/* what is still behind something, or was lost on its way, stays as it is */
		if (item ? item->fate != RELAY_OUT && item->fate != RELAY_REFUSED : !u->skipped[i])
			continue;
		what[n] = !item ? STR("skipped") : item->fate == RELAY_OUT ? STR("out") : STR("refused");
		causes[n] = item && item->fate == RELAY_REFUSED ? str_from(item->cause) : STR("");
		say(u, e,
		    !item		      ? "an event that was set aside is left out, as somebody wished"
		    : item->fate == RELAY_OUT ? "an event that was set aside is out"
					      : "an event that was set aside cannot go out");
		generations[n] = u->r->partitions[e->show_id.b[15] & 15].generation;
		shows[n] = e->show_id;
		ids[n] = e->outbox_id;
		places[n++] = e->place;
	}
	pg_args_init(&args, &u->arena);
	pg_arg_text(&args, str_from(u->r->config.holder));
	pg_arg_i64s(&args, generations, n);
	pg_arg_uuids(&args, shows, n);
	pg_arg_uuids(&args, ids, n);
	pg_arg_i32s(&args, places, n);
	pg_arg_texts(&args, what, n);
	pg_arg_texts(&args, causes, n);
	pg_query_start(u->r->config.pg, &relay_sql_relay_unpark, &args, RELAY_QUERY_MS, on_kept, u);
}

static void on_sent(void *arg, const char *error)
{
	struct unpark *u = arg;
	int64_t out = 0;

	u->send = NULL;
	if (error) {
		relay_say(u->r, "Kafka does not take events", error);
		relay_check_again(u->r);
	}
	for (size_t i = 0; i < u->n_items; i++)
		out += u->items[i].fate == RELAY_OUT;
	metric_add(u->r->config.metrics, METRIC_RELAY_EVENTS, 0, 0, out);
	keep(u);
}

/* Reads one row of relay_parked. */
static struct relay_event *event_of(struct unpark *u, const struct pg_result *rows, int i)
{
	struct relay_event *e = &u->events[u->n++];

	e->show_id = pg_get_uuid(rows, i, 0);
	e->outbox_id = pg_get_uuid(rows, i, 1);
	e->place = (int)pg_get_int(rows, i, 2);
	e->topic = relay_topic(pg_get_text(rows, i, 3));
	e->json = arena_str(&u->arena, pg_get_json(rows, i, 4));
	e->created_us = pg_get_time(rows, i, 5);
	e->seq = pg_get_int(rows, i, 6);
	relay_event_read(e, &u->arena);
	return e;
}

/* Sorts what is there into what waits on, what is left out, and what is tried. */
static void sort(struct unpark *u, const struct pg_result *rows)
{
	size_t n = (size_t)pg_rows(rows);

	u->events = arena_array(&u->arena, struct relay_event, n);
	u->items = arena_array(&u->arena, struct relay_item, n);
	u->skipped = arena_array(&u->arena, bool, n);
	for (size_t i = 0; i < n; i++) {
		struct relay_event *e = event_of(u, rows, (int)i);
		bool refused = str_eqc(pg_get_text(rows, (int)i, 7), "refused"),
		     skip = str_eqc(pg_get_text(rows, (int)i, 8), "skip"),
		     retry = str_eqc(pg_get_text(rows, (int)i, 8), "retry");

		if (skip) {
			u->skipped[i] = true;
			u->n_skipped++;
		} else if ((refused && !retry) || relay_set_has_any(&u->blocked, e->aggregates, e->n_aggregates)) {
			relay_set_add_all(&u->blocked, e->aggregates, e->n_aggregates);
		} else if (u->r->producer) {
			u->items[u->n_items++] = (struct relay_item){e, RELAY_WAITING, NULL};
		} else if (retry) {
			u->items[u->n_items++] = (struct relay_item){e, RELAY_REFUSED, "no broker is configured"};
		}
	}
}

static void on_parked(void *arg, const struct pg_answer *a)
{
	struct unpark *u = arg;
	struct relay *r = u->r;

	if (r->stopped || a->status != PG_OK) {
		if (a->status != PG_OK)
			relay_say(r, "the relay cannot read what is set aside", a->message);
		unpark_free(u);
		relay_over(r, false);
		return;
	}
	sort(u, a->result);
	r->wished = r->stale = false;
	r->n_parked = u->n;
	if (u->n_items > 0 && r->producer) {
		struct relay_send_spec spec = {.producer = r->producer,
					       .topics = (const char *const *)r->topics,
					       .source = "/boxoffice",
					       .items = u->items,
					       .n = u->n_items,
					       .blocked = &u->blocked,
					       .refused_max = READ_MAX,
					       .arena = &u->arena};

		u->send = relay_send_start(r->config.loop, &spec, on_sent, u);
		return;
	}
	if (u->n_skipped + u->n_items > 0) {
		keep(u);
		return;
	}
	/* this is what waits */
	relay_set_done(&r->blocked);
	r->blocked = u->blocked;
	u->blocked = (struct relay_set){0};
	unpark_free(u);
	relay_over(r, true);
}

void relay_park_start(struct relay *r)
{
	struct unpark *u = xcalloc(1, sizeof(*u));
	int32_t partitions[RELAY_PARTITIONS];
	struct pg_args args;
	size_t n = 0;

	u->r = r;
	r->unpark = u;
	r->parking = true;
	arena_init(&u->arena);
	for (int i = 0; i < RELAY_PARTITIONS; i++)
		if (r->partitions[i].held)
			partitions[n++] = i;
	pg_args_init(&args, &u->arena);
	pg_arg_i32s(&args, partitions, n);
	pg_arg_i32(&args, READ_MAX);
	pg_query_start(r->config.pg, &relay_sql_relay_parked, &args, RELAY_QUERY_MS, on_parked, u);
}

void relay_park_drop(struct relay *r)
{
	if (r->unpark)
		unpark_free(r->unpark);
}
