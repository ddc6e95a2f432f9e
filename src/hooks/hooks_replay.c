/*
 * Goes on with a replay: a part of the duty's round.
 *
 *   which --> a page of the log --> BEGIN, its events queued, the replay moved on, COMMIT --> more, or the next partition, or done
 *
 * A replay of which another process has moved the place meanwhile is left to that (replay_move finds nothing: rolled back).
 */
#include "hooks/hooks_int.h"

#include "base/times.h"
#include "base/xmalloc.h"
#include "hooks/hooks_sql.h"

#include <stdlib.h>

enum { LOG_ROWS = 200, ROOM = 1000, PARTITIONS = 16 };

struct step {
	struct hooks *h;
	struct uuid replay_id, webhook_id;
	int64_t from_us, to_us, partition, position;
	struct pg_tx *tx;
};

static void step_end(struct step *s, bool ok, bool more)
{
	struct hooks *h = s->h;

	free(s);
	h->round.part(h, ok, more);
}

static void on_moved_on(void *arg, const struct pg_answer *a)
{
	struct step *s = arg;

	step_end(s, a->status == PG_OK, true);
}

static void on_moved(void *arg, const struct pg_answer *a)
{
	struct step *s = arg;

	if (a->status == PG_OK && pg_rows(a->result)) {
		pg_tx_commit(s->tx, on_moved_on, s);
		return;
	}
	pg_tx_rollback(s->tx, NULL, NULL);
	step_end(s, a->status == PG_OK, false);
}

static void queue(struct step *s, const struct pg_result *r, size_t n)
{
	struct arena *arena = &s->h->round.arena;
	struct hook_event *events = arena_alloc(arena, n * sizeof(*events));
	struct hook_rows rows;
	struct pg_args args;

	for (size_t i = 0; i < n; i++) {
		int row = (int)i;

		events[i] = (struct hook_event){.id = pg_get_text(r, row, 0),
						.topic = pg_get_text(r, row, 1),
						.type = pg_get_text(r, row, 2),
						.json = pg_get_text(r, row, 5),
						.show_id = pg_get_uuid(r, row, 3),
						.time_us = pg_get_time(r, row, 4)};
	}
	rows = hooks_rows(arena, events, n);
	pg_args_init(&args, arena);
	pg_arg_uuid(&args, &s->webhook_id);
	pg_arg_texts(&args, rows.ids, n);
	pg_arg_texts(&args, rows.types, n);
	pg_arg_texts(&args, rows.aggregates, n);
	pg_arg_i64s(&args, rows.times, n);
	pg_arg_texts(&args, rows.bodies, n);
	pg_tx_exec(s->tx, &hooks_sql_delivery_replay, &args, NULL, NULL);
}

static void on_page(void *arg, const struct pg_answer *a)
{
	struct step *s = arg;
	const struct pg_result *r = a->result;
	struct pg_args args;
	bool more;
	int last;

	if (a->status != PG_OK) {
		step_end(s, false, false);
		return;
	}
	last = pg_rows(r) - 1; /* says how far it went */
	more = pg_get_bool(r, last, 7);
	s->tx = pg_tx_start(s->h->config.pg, NULL, HOOKS_TX_MS);
	if (last)
		queue(s, r, (size_t)last);
	pg_args_init(&args, &s->h->round.arena);
	pg_arg_uuid(&args, &s->replay_id);
	pg_arg_i32(&args, (int32_t)s->partition);
	pg_arg_i64(&args, s->position);
	pg_arg_i32(&args, (int32_t)(more ? s->partition : s->partition + 1));
	pg_arg_i64(&args, more ? pg_get_int(r, last, 6) : 0);
	pg_arg_i64(&args, last);
	pg_tx_exec(s->tx, &hooks_sql_replay_move, &args, on_moved, s);
}

static void on_done(void *arg, const struct pg_answer *a)
{
	step_end(arg, a->status == PG_OK, true); /* perhaps another waits */
}

static void on_next(void *arg, const struct pg_answer *a)
{
	struct hooks *h = arg;
	const struct pg_result *r = a->result;
	struct pg_args args;
	struct step *s;

	if (a->status != PG_OK || pg_rows(r) == 0) {
		h->round.part(h, a->status == PG_OK, false);
		return;
	}
	s = xcalloc(1, sizeof(*s));
	*s = (struct step){.h = h,
			   .replay_id = pg_get_uuid(r, 0, 0),
			   .webhook_id = pg_get_uuid(r, 0, 1),
			   .from_us = pg_get_time(r, 0, 2),
			   .to_us = pg_get_time(r, 0, 3),
			   .partition = pg_get_int(r, 0, 4),
			   .position = pg_get_int(r, 0, 5)};
	pg_args_init(&args, &h->round.arena);
	if (s->partition >= PARTITIONS) {
		pg_arg_uuid(&args, &s->replay_id);
		pg_query_start(h->config.pg, &hooks_sql_replay_end, &args, HOOKS_QUERY_MS, on_done, s);
		return;
	}
	pg_arg_i32(&args, (int32_t)s->partition);
	pg_arg_i64(&args, s->position);
	pg_arg_uuid(&args, &s->webhook_id);
	pg_arg_time(&args, s->from_us);
	pg_arg_time(&args, s->to_us);
	pg_arg_i32(&args, LOG_ROWS);
	pg_query_start(h->config.pg, &hooks_sql_replay_read, &args, HOOKS_QUERY_MS, on_page, s);
}

void hooks_replay_start(struct hooks *h, hooks_part_fn *fn)
{
	int64_t queue = h->config.queue_max;
	struct pg_args args;

	h->round.part = fn;
	pg_args_init(&args, &h->round.arena);
	pg_arg_i32(&args, (int32_t)queue);
	pg_arg_i32(&args, (int32_t)(queue / 2 < ROOM ? queue / 2 : ROOM));
	pg_query_start(h->config.pg, &hooks_sql_replay_next, &args, HOOKS_QUERY_MS, on_next, h);
}
