/*
 * Owns the batches on their way to the broker: rows copied from an answer, their events, and what became of these. A batch has some
 * partitions for itself; several are under way at once.
 *
 * A row goes to the log when each of its events is out or set aside, and only with all rows of its partition before it: so positions
 * keep the order of aggregates. What the broker lost stays where it is and is read again.
 */
#include "relay/relay_int.h"

#include "base/xmalloc.h"
#include "io/log.h"
#include "io/metrics_table.h"

#include <assert.h>
#include <stdlib.h>

struct batch_row {
	int partition;
	int64_t generation;
	struct relay_row row;
	size_t first, end; /* its items */
};

struct batch {
	struct list link;
	struct relay *r;
	struct arena arena;
	struct batch_row *rows;
	size_t n_rows, n_items, room;
	struct relay_item *items;
	struct relay_send *send;
	bool moving, failed;
	bool mine[RELAY_PARTITIONS];
	size_t n_moving;
	int64_t n_moved, n_out, n_set_aside;
};

static void batch_free(struct batch *b)
{
	for (int i = 0; i < RELAY_PARTITIONS; i++)
		if (b->mine[i])
			b->r->partitions[i].busy = false;
	list_remove(&b->link);
	b->r->n_batches--;
	arena_done(&b->arena);
	free(b->items);
	free(b);
}

static void batch_end(struct batch *b, bool ok)
{
	struct relay *r = b->r;

	batch_free(b);
	relay_over(r, ok);
}

/* ---- moving ---- */

static void on_rows(void *arg, const struct pg_answer *a)
{
	struct batch *b = arg;

	for (int i = 0; a->status == PG_OK && i < pg_rows(a->result); i++)
		b->n_moved += pg_get_int(a->result, i, 1);
}

static void on_moved(void *arg, const struct pg_answer *a)
{
	struct batch *b = arg;
	struct relay *r = b->r;

	if (a->status != PG_OK) {
		relay_say(r, "the relay cannot move what is out", a->message);
	} else {
		metric_add(r->config.metrics, METRIC_RELAY_EVENTS, 0, 0, b->n_out);
		metric_add(r->config.metrics, METRIC_RELAY_SET_ASIDE, 0, 0, b->n_set_aside);
		r->n_parked += (size_t)b->n_set_aside;
		if (!b->failed && b->n_moved == (int64_t)b->n_moving)
			relay_say(r, NULL, NULL);
	}
	/* fewer than there were: a partition is somebody else's, or was when some of them went */
	batch_end(b, a->status == PG_OK && !b->failed && b->n_moved == (int64_t)b->n_moving);
}

static void on_moved_at_once(void *arg, const struct pg_answer *a)
{
	on_rows(arg, a);
	on_moved(arg, a);
}

static bool row_is_through(const struct batch *b, const struct batch_row *row)
{
	for (size_t i = row->first; i < row->end; i++)
		if (b->items[i].fate == RELAY_WAITING)
			return false;
	return true;
}

struct parks {
	int64_t *generations, *seqs, *created;
	struct uuid *shows, *ids;
	int32_t *places;
	struct str *topics, *about, *events, *states, *causes;
	size_t n;
};

static void park_add(struct batch *b, struct parks *p, const struct batch_row *row, const struct relay_item *item)
{
	const struct relay_event *e = item->event;
	size_t i = p->n++;

	p->generations[i] = row->generation;
	p->seqs[i] = e->seq;
	p->created[i] = e->created_us;
	p->shows[i] = e->show_id;
	p->ids[i] = e->outbox_id;
	p->places[i] = e->place;
	p->topics[i] = row->row.topic;
	p->about[i] = str_from(relay_event_about(e, &b->arena));
	p->events[i] = e->json;
	p->states[i] = item->fate == RELAY_REFUSED ? STR("refused") : STR("waiting");
	p->causes[i] = item->fate == RELAY_REFUSED ? str_from(item->cause) : STR("an earlier event waits");
	if (item->fate == RELAY_REFUSED) {
		char id[RELAY_ID_MAX];

		relay_event_id(e, id);
		log_line(LOG_ERROR, "an event cannot go out; it waits, with all later ones of its aggregate",
			 LOG_C("event_id", id), LOG_S("topic", row->row.topic), LOG_S("about", p->about[i]),
			 LOG_C("error", item->cause));
	}
}

static void park(struct batch *b, struct pg_tx *tx, const struct parks *p)
{
	struct pg_args args;

	pg_args_init(&args, &b->arena);
	pg_arg_text(&args, str_from(b->r->config.holder));
	pg_arg_i64s(&args, p->generations, p->n);
	pg_arg_uuids(&args, p->shows, p->n);
	pg_arg_uuids(&args, p->ids, p->n);
	pg_arg_i32s(&args, p->places, p->n);
	pg_arg_i64s(&args, p->seqs, p->n);
	pg_arg_texts(&args, p->topics, p->n);
	pg_arg_texts(&args, p->about, p->n);
	pg_arg_texts(&args, p->events, p->n);
	pg_arg_i64s(&args, p->created, p->n);
	pg_arg_texts(&args, p->states, p->n);
	pg_arg_texts(&args, p->causes, p->n);
	pg_tx_exec(tx, &relay_sql_relay_park, &args, NULL, NULL);
}

static void move(struct batch *b)
{
	struct uuid *shows = arena_array(&b->arena, struct uuid, b->n_rows),
		    *ids = arena_array(&b->arena, struct uuid, b->n_rows);
	bool stuck[RELAY_PARTITIONS] = {false}, has[RELAY_PARTITIONS] = {false};
	int32_t partitions[RELAY_PARTITIONS];
	int64_t generations[RELAY_PARTITIONS];
	struct parks p = {
		arena_array(&b->arena, int64_t, b->n_items),	 arena_array(&b->arena, int64_t, b->n_items),
		arena_array(&b->arena, int64_t, b->n_items),	 arena_array(&b->arena, struct uuid, b->n_items),
		arena_array(&b->arena, struct uuid, b->n_items), arena_array(&b->arena, int32_t, b->n_items),
		arena_array(&b->arena, struct str, b->n_items),	 arena_array(&b->arena, struct str, b->n_items),
		arena_array(&b->arena, struct str, b->n_items),	 arena_array(&b->arena, struct str, b->n_items),
		arena_array(&b->arena, struct str, b->n_items),	 0};
	size_t n_partitions = 0;
	struct pg_args args;
	struct pg_tx *tx;

	for (size_t i = 0; i < b->n_rows; i++) {
		const struct batch_row *row = &b->rows[i];

		if (stuck[row->partition] || !row_is_through(b, row)) {
			stuck[row->partition] = true;
			b->failed = true;
			continue;
		}
		if (!has[row->partition]) {
			has[row->partition] = true;
			partitions[n_partitions] = row->partition;
			generations[n_partitions++] = row->generation;
		}
		shows[b->n_moving] = row->row.show_id;
		ids[b->n_moving++] = row->row.outbox_id;
		for (size_t k = row->first; k < row->end; k++)
			if (b->items[k].fate == RELAY_OUT)
				b->n_out++;
			else
				park_add(b, &p, row, &b->items[k]);
	}
	if (b->n_moving == 0) {
		batch_end(b, false);
		return;
	}
	b->n_set_aside = (int64_t)p.n;
	b->moving = true;
	pg_args_init(&args, &b->arena);
	pg_arg_text(&args, str_from(b->r->config.holder));
	pg_arg_i32s(&args, partitions, n_partitions);
	pg_arg_i64s(&args, generations, n_partitions);
	pg_arg_uuids(&args, shows, b->n_moving);
	pg_arg_uuids(&args, ids, b->n_moving);
	if (p.n == 0) {
		pg_query_start(b->r->config.pg, &relay_sql_relay_move, &args, RELAY_QUERY_MS, on_moved_at_once, b);
		return;
	}
	tx = pg_tx_start(b->r->config.pg, NULL, RELAY_QUERY_MS);
	pg_tx_exec(tx, &relay_sql_relay_move, &args, on_rows, b);
	park(b, tx, &p);
	pg_tx_commit(tx, on_moved, b);
}

/* ---- sending ---- */

static void on_sent(void *arg, const char *error)
{
	struct batch *b = arg;
	struct relay *r = b->r;

	b->send = NULL;
	if (error) {
		relay_say(r, "Kafka does not take events", error);
		relay_check_again(r);
	}
	move(b);
}

static void items_add(struct batch *b, struct batch_row *row)
{
	struct relay_event *events;
	size_t n = relay_row_events(&row->row, &b->arena, &events);

	while (b->n_items + n > b->room) {
		b->room = b->room ? 2 * b->room : 4096;
		b->items = xreallocarray(b->items, b->room, sizeof(*b->items));
	}
	row->first = b->n_items;
	for (size_t i = 0; i < n; i++)
		b->items[b->n_items++] = (struct relay_item){&events[i], RELAY_WAITING, NULL};
	row->end = b->n_items;
}

void relay_batch_start(struct relay *r, const struct pg_result *rows)
{
	struct batch *b = xcalloc(1, sizeof(*b));
	struct relay_send_spec spec;
	int64_t last = 0;

	b->r = r;
	arena_init(&b->arena);
	list_append(&r->batches, &b->link);
	r->n_batches++;
	b->rows = arena_array(&b->arena, struct batch_row, (size_t)pg_rows(rows));
	for (int i = 0; i < pg_rows(rows); i++) {
		int partition = (int)pg_get_int(rows, i, 0);
		struct batch_row *row = &b->rows[b->n_rows];
		const struct relay_partition *p = &r->partitions[partition];

		/* a lease may have ended since it was asked for */
		if (!p->held || (p->busy && !b->mine[partition]))
			continue;
		row->partition = partition;
		row->generation = p->generation;
		row->row.show_id = pg_get_uuid(rows, i, 1);
		row->row.outbox_id = pg_get_uuid(rows, i, 2);
		row->row.topic = arena_str(&b->arena, pg_get_text(rows, i, 3));
		row->row.events = arena_str(&b->arena, pg_get_json(rows, i, 4));
		row->row.created_us = pg_get_time(rows, i, 5);
		row->row.seq = pg_get_int(rows, i, 6);
		/* the statement says so, and everything rests on it */
		assert(b->n_rows == 0 || b->rows[b->n_rows - 1].partition != partition || row->row.seq >= last);
		last = row->row.seq;
		b->mine[partition] = true;
		r->partitions[partition].busy = true;
		items_add(b, row);
		b->n_rows++;
	}
	if (b->n_rows == 0) {
		batch_free(b);
		return;
	}
	spec = (struct relay_send_spec){.producer = r->producer,
					.topics = (const char *const *)r->topics,
					.source = "/boxoffice",
					.items = b->items,
					.n = b->n_items,
					.blocked = &r->blocked,
					.refused_max =
						r->n_parked < RELAY_PARKED_MAX ? RELAY_PARKED_MAX - r->n_parked : 0,
					.arena = &b->arena};
	b->send = relay_send_start(r->config.loop, &spec, on_sent, b);
}

void relay_batch_drop(struct relay *r)
{
	while (!list_empty(&r->batches)) {
		struct batch *b = list_entry(r->batches.next, struct batch, link);

		if (b->send)
			relay_send_cancel(b->send);
		batch_free(b);
	}
}
