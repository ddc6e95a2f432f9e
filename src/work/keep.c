/*
 * Owns retention: what is older than it is kept goes, a little at a time. A round is a few statements one after the other, each
 * bounded; the one that finds as much as it may is a reason to begin again at once.
 *
 *   days of the log of events: made ahead, dropped --> what lies outside any day --> events that were left out -->
 *   weeks of the lock history: made ahead, dropped --> what lies outside any week --> settled findings
 *   --> yesterday's counts of requests --> the audit log
 *
 * A statement that fails (a table in use: dropping a week gives way after a tenth of a second) does not keep the others from
 * theirs; it is tried again in the next round. docs/operations.md has the table of what is kept how long.
 */
#include "work/work.h"

#include "base/times.h"
#include "base/xmalloc.h"
#include "work/work_sql.h"

#include <stdlib.h>

enum { ROWS_MAX = 5000, EVENTS_MAX = 20, WEEKS_AHEAD = 4, DAYS_AHEAD = 4, QUERY_MS = 10000, STEPS = 12 };

struct keeper {
	struct keeper_config config;
	struct duty *duty;
	int step;
	bool failed, more;
};

struct keeper *keeper_new(const struct keeper_config *config)
{
	struct keeper *k = xcalloc(1, sizeof(*k));

	k->config = *config;
	return k;
}

void keeper_free(struct keeper *k)
{
	free(k);
}

static void step_start(struct keeper *k);

static void on_step(void *arg, const struct pg_answer *a)
{
	struct keeper *k = arg;

	if (a->status != PG_OK)
		k->failed = true;
	else if (pg_affected(a->result) == ROWS_MAX)
		k->more = true;
	if (++k->step < STEPS)
		step_start(k);
	else
		duty_done(k->duty, !k->failed, k->more);
}

static void step_start(struct keeper *k)
{
	const struct {
		const struct pg_stmt *stmt;
		int64_t days; /* 0: it takes none */
		int number;   /* 0: it takes none */
	} steps[STEPS] = {
		{&work_sql_outbox_log_ahead, 0, DAYS_AHEAD},
		{&work_sql_outbox_log_drop, k->config.outbox_days, 0},
		{&work_sql_outbox_log_purge, k->config.outbox_days, ROWS_MAX},
		{&work_sql_outbox_parked_purge, k->config.outbox_days, ROWS_MAX},
		{&work_sql_lock_history_ahead, 0, WEEKS_AHEAD},
		{&work_sql_lock_history_drop, k->config.lock_history_days, 0},
		{&work_sql_lock_history_purge, k->config.lock_history_days, ROWS_MAX},
		{&work_sql_findings_purge, k->config.findings_days, ROWS_MAX},
		{&work_sql_request_counts_purge, 0, ROWS_MAX},
		{&work_sql_notifications_purge, k->config.notification_days, ROWS_MAX},
		{&work_sql_recommended_purge, 0, EVENTS_MAX},
		{&work_sql_audit_purge, k->config.audit_days, ROWS_MAX},
	};
	struct arena arena;
	struct pg_args args;

	arena_init(&arena);
	pg_args_init(&args, &arena);
	if (steps[k->step].days)
		pg_arg_interval_us(&args, steps[k->step].days * US_PER_DAY);
	if (steps[k->step].number)
		pg_arg_i32(&args, steps[k->step].number);
	pg_query_start(k->config.pg, steps[k->step].stmt, &args, QUERY_MS, on_step, k);
	arena_done(&arena);
}

void keeper_run(void *arg, struct duty *d)
{
	struct keeper *k = arg;

	k->duty = d;
	k->step = 0;
	k->failed = k->more = false;
	step_start(k);
}
