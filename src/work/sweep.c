/*
 * Owns the ending of locks: a round finds what is due over all shows, then ends it show by show, each in one statement, and
 * tells Redis. The archive is the same with ended locks: what a take-over left behind is given back, Redis is told once
 * more, the row moves to the history.
 */
#include "work/work.h"

#include "base/xmalloc.h"
#include "io/crypto.h"
#include "seat/seat_sql.h"
#include "seat/seat_store.h"

#include <stdlib.h>
#include <string.h>

enum { DUE_MAX = 500, QUERY_MS = 8000 };

struct one {
	struct round *round;
	struct uuid show;
	int64_t lag_us;
};

struct round {
	struct sweeper *s;
	struct duty *duty;
	bool archive, failed;
	size_t waiting, found;
	struct one *ones; /* by row of what was found */
};

struct sweeper {
	struct pg *pg;
	struct loop *loop;
	struct seat_map *map;
	struct metrics *metrics;
	struct round sweep, archive; /* the one under way, or the last; a process that ends may cut it */
};

struct sweeper *sweeper_new(struct pg *pg, struct loop *loop, struct seat_map *map, struct metrics *metrics)
{
	struct sweeper *s = xcalloc(1, sizeof(*s));

	s->pg = pg;
	s->loop = loop;
	s->map = map;
	s->metrics = metrics;
	return s;
}

void sweeper_free(struct sweeper *s)
{
	free(s->sweep.ones);
	free(s->archive.ones);
	free(s);
}

static void round_part_done(struct round *r)
{
	if (--r->waiting)
		return;
	free(r->ones);
	r->ones = NULL;
	duty_done(r->duty, !r->failed, r->found >= DUE_MAX);
}

static void on_expired(void *arg, const struct pg_answer *a)
{
	struct one *o = arg;
	struct round *r = o->round;
	size_t n;

	if (a->status != PG_OK) {
		r->failed = true;
	} else {
		n = locks_gone_apply(r->s->map, &o->show, a->result);
		for (size_t i = 0; i < n; i++)
			metric_observe(r->s->metrics, METRIC_EXPIRY_LAG, 0, 0, o->lag_us);
		if (n)
			metric_add(r->s->metrics, METRIC_LOCKS_EXPIRED, 0, 0, (int64_t)n);
	}
	round_part_done(r);
}

static void on_archived(void *arg, const struct pg_answer *a)
{
	struct one *o = arg;
	struct round *r = o->round;
	struct seat_change *changes;
	struct arena arena;
	size_t n;

	arena_init(&arena);
	if (a->status != PG_OK) {
		r->failed = true;
	} else {
		n = seat_changes_freed(a->result, 1, &arena, &changes);
		if (n)
			seat_map_apply(r->s->map, &o->show, changes, n, NULL, 0, 0, NULL, NULL);
	}
	arena_done(&arena);
	round_part_done(r);
}

static void on_found(void *arg, const struct pg_answer *a)
{
	struct round *r = arg;
	struct uuid *locks;
	struct arena arena;

	r->waiting = 1;
	if (a->status != PG_OK)
		r->failed = true;
	else
		r->ones = xcalloc((size_t)pg_rows(a->result), sizeof(*r->ones));
	arena_init(&arena);
	for (int row = 0; a->status == PG_OK && row < pg_rows(a->result); row++) {
		struct one *o = &r->ones[row];
		struct uuid outbox = crypto_uuid_v7(wall_now_us());
		size_t n = pg_get_uuids(a->result, row, 1, &arena, &locks);
		struct pg_args args;

		o->round = r;
		o->show = pg_get_uuid(a->result, row, 0);
		o->lag_us = r->archive ? 0 : pg_get_int(a->result, row, 2);
		r->found += n;
		r->waiting++;
		pg_args_init(&args, &arena);
		pg_arg_uuid(&args, &o->show);
		pg_arg_uuids(&args, locks, n);
		pg_arg_uuid(&args, &outbox);
		pg_query_start(r->s->pg, r->archive ? &seat_sql_lock_archive : &seat_sql_lock_expire, &args, QUERY_MS,
			       r->archive ? on_archived : on_expired, o);
	}
	arena_done(&arena);
	round_part_done(r);
}

static void round_start(struct round *r, struct sweeper *s, struct duty *d, bool archive)
{
	struct arena arena;
	struct pg_args args;

	*r = (struct round){.s = s, .duty = d, .archive = archive};
	arena_init(&arena);
	pg_args_init(&args, &arena);
	pg_arg_i32(&args, DUE_MAX);
	pg_query_start(s->pg, archive ? &seat_sql_locks_ended : &seat_sql_locks_due, &args, QUERY_MS, on_found, r);
	arena_done(&arena);
}

void sweeper_sweep(void *arg, struct duty *d)
{
	struct sweeper *s = arg;

	round_start(&s->sweep, s, d, false);
}

void sweeper_archive(void *arg, struct duty *d)
{
	struct sweeper *s = arg;

	round_start(&s->archive, s, d, true);
}
