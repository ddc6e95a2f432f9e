/* Counts for those who watch over it, and purges what is over: a part of the duty's round, every few seconds. */
#include "hooks/hooks_int.h"

#include "base/times.h"
#include "hooks/hooks_sql.h"

enum { ROWS_MAX = 5000, PURGES = 4, PURGE_EVERY = 12 /* times that is counted */ };

static void purge(struct hooks *h);

static void on_purged(void *arg, const struct pg_answer *a)
{
	struct hooks *h = arg;

	if (a->status != PG_OK) {
		h->round.part(h, false, false);
	} else if (pg_affected(a->result) == ROWS_MAX) {
		h->round.part(h, true, false); /* the same again, a few seconds later */
	} else if (++h->round.purge < PURGES) {
		purge(h);
	} else {
		h->round.purge = -PURGE_EVERY;
		h->round.part(h, true, false);
	}
}

/* What is too old, and what is left of deleted webhooks: each bounded. */
static void purge(struct hooks *h)
{
	static const struct {
		const struct pg_stmt *stmt;
		bool days, rows;
	} steps[PURGES] = {{&hooks_sql_deliveries_purge, true, true},
			   {&hooks_sql_deliveries_purge_deleted, false, true},
			   {&hooks_sql_replays_purge, true, false},
			   {&hooks_sql_webhooks_purge, false, false}};
	struct pg_args args;

	pg_args_init(&args, &h->round.arena);
	if (steps[h->round.purge].days)
		pg_arg_interval_us(&args, h->config.days * US_PER_DAY);
	if (steps[h->round.purge].rows)
		pg_arg_i32(&args, ROWS_MAX);
	pg_query_start(h->config.pg, steps[h->round.purge].stmt, &args, 2 * HOOKS_QUERY_MS, on_purged, h);
}

static void on_watched(void *arg, const struct pg_answer *a)
{
	struct hooks *h = arg;
	struct metrics *m = h->config.metrics;
	const struct pg_result *r = a->result;

	if (a->status != PG_OK) {
		h->round.part(h, false, false);
		return;
	}
	for (int i = 0; i < 4; i++)
		metric_set(m, METRIC_HOOK_ENDPOINTS, i, 0, pg_get_int(r, 0, i));
	metric_set(m, METRIC_HOOK_QUEUED, 0, 0, pg_get_int(r, 0, 4));
	metric_set(m, METRIC_HOOK_LAG, 0, 0, pg_get_int(r, 0, 5));
	if (h->round.purge < 0) {
		h->round.purge++;
		h->round.part(h, true, false);
	} else {
		purge(h);
	}
}

void hooks_watch_start(struct hooks *h, hooks_part_fn *fn)
{
	struct pg_args args;

	h->round.part = fn;
	pg_args_init(&args, &h->round.arena);
	pg_query_start(h->config.pg, &hooks_sql_hooks_watch, &args, HOOKS_QUERY_MS, on_watched, h);
}

void hooks_lost(void *hooks)
{
	struct hooks *h = hooks;

	for (int i = 0; i < 4; i++)
		metric_set(h->config.metrics, METRIC_HOOK_ENDPOINTS, i, 0, 0);
	metric_set(h->config.metrics, METRIC_HOOK_QUEUED, 0, 0, 0);
	metric_set(h->config.metrics, METRIC_HOOK_LAG, 0, 0, 0);
}
