/*
 * Owns the watch over the invariants: a part of what `boxoffice check` asks, cheap enough for every minute. I1, I2, I3 and I6 of the
 * bookings that something happened to lately (the outbox says which), and of those that were at fault the last time; I4 of all that
 * waits; I5 as far as the newest rows of each partition show it. What holds is shown by a gauge, each new fault is logged once. Whole tables, Redis and the gateway are `check`'s.
 *
 *   round: transaction (recent bookings, bounds) --> gauges --> what is new is logged --> remembered for the next round
 */
#include "work/work.h"

#include "base/times.h"
#include "base/xmalloc.h"
#include "io/log.h"
#include "work/work_sql.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	ROWS_MAX = 5000,  /* of the outbox, looked at in a round */
	FAULTS_MAX = 500, /* remembered; that many need a person, not a longer list */
	BOUND_MAX = 100,
	ROUND_MS = 20000,
	INVARIANTS = 7,
};
#define FIRST_LOOK_US US_PER_HOUR
#define GRACE_US (10 * US_PER_SECOND)

struct fault {
	int invariant;
	struct uuid show_id, subject_id;
};

struct invariants {
	struct pg *pg;
	struct metrics *metrics;
	int64_t every_us;
	bool looked; /* once, over a longer time */
	struct fault *old, *now;
	size_t n_old, n_now;
	int64_t counts[INVARIANTS];
	struct duty *duty;
	struct arena arena; /* of a round */
};

struct invariants *invariants_new(struct pg *pg, struct metrics *metrics, int64_t every_s)
{
	struct invariants *v = xcalloc(1, sizeof(*v));

	v->pg = pg;
	v->metrics = metrics;
	v->every_us = every_s * US_PER_SECOND;
	v->old = xcalloc(FAULTS_MAX, sizeof(*v->old));
	v->now = xcalloc(FAULTS_MAX, sizeof(*v->now));
	arena_init(&v->arena);
	return v;
}

void invariants_free(struct invariants *v)
{
	if (!v)
		return;
	arena_done(&v->arena);
	free(v->old);
	free(v->now);
	free(v);
}

static bool is_old(const struct invariants *v, const struct fault *f)
{
	for (size_t i = 0; i < v->n_old; i++)
		if (v->old[i].invariant == f->invariant && uuid_eq(&v->old[i].show_id, &f->show_id) &&
		    uuid_eq(&v->old[i].subject_id, &f->subject_id))
			return true;
	return false;
}

static void on_faults(void *arg, const struct pg_answer *a)
{
	struct invariants *v = arg;

	for (int i = 0; a->status == PG_OK && i < pg_rows(a->result); i++) {
		struct fault f = {(int)pg_get_int(a->result, i, 0), pg_get_uuid(a->result, i, 1),
				  pg_get_uuid(a->result, i, 2)};
		char name[8];

		v->counts[f.invariant - 1]++;
		if (v->n_now == FAULTS_MAX)
			continue;
		v->now[v->n_now++] = f;
		if (is_old(v, &f))
			continue;
		snprintf(name, sizeof(name), "I%d", f.invariant);
		log_line(LOG_ERROR, "an invariant does not hold", LOG_C("invariant", name),
			 LOG_U("show_id", &f.show_id), LOG_S("fault", pg_get_text(a->result, i, 3)));
	}
}

static void on_round(void *arg, const struct pg_answer *a)
{
	struct invariants *v = arg;
	struct fault *last = v->old;

	if (a->status == PG_OK) {
		for (int i = 0; i < INVARIANTS; i++)
			metric_set(v->metrics, METRIC_INVARIANT_VIOLATIONS, i, 0, v->counts[i]);
		v->old = v->now;
		v->n_old = v->n_now;
		v->now = last;
		v->looked = true;
	}
	arena_reset(&v->arena);
	duty_done(v->duty, a->status == PG_OK, false);
}

void invariants_run(void *arg, struct duty *d)
{
	struct invariants *v = arg;
	struct uuid *shows, *bookings;
	struct pg_args args;
	struct pg_tx *tx;
	size_t n = 0;

	v->duty = d;
	v->n_now = 0;
	memset(v->counts, 0, sizeof(v->counts));
	shows = arena_array(&v->arena, struct uuid, v->n_old);
	bookings = arena_array(&v->arena, struct uuid, v->n_old);
	for (size_t i = 0; i < v->n_old; i++) {
		if (v->old[i].invariant == 4 || v->old[i].invariant == 5)
			continue; /* those are found again by themselves */
		shows[n] = v->old[i].show_id;
		bookings[n++] = v->old[i].subject_id;
	}
	tx = pg_tx_start(v->pg, NULL, ROUND_MS);
	pg_args_init(&args, &v->arena);
	/* what was told while the last round ran, or by a transaction that took its time, is not missed */
	pg_arg_interval_us(&args, v->looked ? 2 * v->every_us + US_PER_MINUTE : FIRST_LOOK_US);
	pg_arg_i32(&args, ROWS_MAX);
	pg_arg_uuids(&args, shows, n);
	pg_arg_uuids(&args, bookings, n);
	pg_tx_exec(tx, &work_sql_invariants_recent, &args, on_faults, v);
	pg_args_init(&args, &v->arena);
	pg_arg_interval_us(&args, GRACE_US);
	pg_arg_i32(&args, BOUND_MAX);
	pg_tx_exec(tx, &work_sql_invariants_bounds, &args, on_faults, v);
	pg_tx_commit(tx, on_round, v);
}

void invariants_lost(void *arg)
{
	struct invariants *v = arg;

	for (int i = 0; i < INVARIANTS; i++)
		metric_set(v->metrics, METRIC_INVARIANT_VIOLATIONS, i, 0, 0);
	/* the new one begins with a longer look as well; if it comes back to us, everything is told again */
	v->n_old = 0;
	v->looked = false;
}
