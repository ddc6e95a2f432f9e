/* Owns a duty's timer and lease. */
#include "work/work.h"

#include "base/xmalloc.h"
#include "work/work_sql.h"

#include <assert.h>
#include <stdlib.h>

enum { LEASE_MS = 3000, HAND_ON_MS = 1000 };

enum duty_state { IDLE, LEASING, RUNNING };

struct duty {
	struct duty_config config;
	struct timer *timer;
	enum duty_state state;
	bool stopped, held;    /* held: the last lease asked for was ours */
	bool woken;	       /* during a round */
	int64_t mine_until_us; /* by our own clock, with a margin */
};

const struct pg_stmt *const *const work_sql = work_sql_statements;

static void duty_run(struct duty *d)
{
	d->woken = false;
	d->state = RUNNING;
	d->config.run(d->config.arg, d);
}

static void on_lease(void *arg, const struct pg_answer *a)
{
	struct duty *d = arg;

	if (a->status == PG_OK && pg_rows(a->result) == 1) {
		/* a third of it is left for the round itself and for clocks that differ */
		d->mine_until_us = loop_now_us(d->config.loop) + d->config.lease_ms * 1000 * 2 / 3;
		d->held = true;
		if (!d->stopped)
			duty_run(d);
		return;
	}
	d->state = IDLE;
	d->mine_until_us = 0;
	if (d->held && d->config.lost)
		d->config.lost(d->config.arg);
	d->held = false;
	if (a->status != PG_OK)
		metric_add(d->config.metrics, METRIC_DUTY_ERRORS, (int)d->config.kind, 0, 1);
	if (d->stopped)
		return;
	timer_set_ms(d->timer, a->status == PG_OK ? d->config.lease_ms / 4 : 500);
}

static void on_timer(void *arg)
{
	struct duty *d = arg;
	struct arena arena;
	struct pg_args args;

	if (loop_now_us(d->config.loop) < d->mine_until_us) {
		duty_run(d);
		return;
	}
	d->state = LEASING;
	arena_init(&arena);
	pg_args_init(&args, &arena);
	pg_arg_text(&args, str_from(d->config.name));
	pg_arg_text(&args, str_from(d->config.holder));
	pg_arg_interval_us(&args, d->config.lease_ms * 1000);
	pg_query_start(d->config.pg, &work_sql_lease_take, &args, LEASE_MS, on_lease, d);
	arena_done(&arena);
}

struct duty *duty_new(const struct duty_config *config)
{
	struct duty *d = xcalloc(1, sizeof(*d));

	d->config = *config;
	d->timer = timer_new(config->loop, on_timer, d);
	timer_set_ms(d->timer, 0);
	return d;
}

void duty_free(struct duty *d)
{
	if (!d)
		return;
	timer_free(d->timer);
	free(d);
}

void duty_stop(struct duty *d)
{
	d->stopped = true;
	timer_clear(d->timer);
}

bool duty_running(const struct duty *d)
{
	return d->state == RUNNING;
}

void duty_done(struct duty *d, bool ok, bool more)
{
	assert(d->state == RUNNING);
	d->state = IDLE;
	metric_add(d->config.metrics, METRIC_DUTY_RUNS, (int)d->config.kind, 0, 1);
	if (!ok)
		metric_add(d->config.metrics, METRIC_DUTY_ERRORS, (int)d->config.kind, 0, 1);
	if (d->stopped)
		return;
	timer_set_ms(d->timer, ok && (more || d->woken)	  ? 0
			       : ok			  ? d->config.every_ms
			       : d->config.every_ms > 500 ? d->config.every_ms
							  : 500);
}

void duty_wake(struct duty *d)
{
	d->woken = true;
	if (d->state == IDLE && d->held && !d->stopped)
		timer_set_ms(d->timer, 0);
}

struct hand_on {
	loop_fn *fn;
	void *arg;
};

static void on_handed_on(void *arg, const struct pg_answer *a)
{
	struct hand_on *h = arg;

	h->fn(h->arg);
	free(h);
}

void duties_hand_on(struct pg *pg, const char *holder, loop_fn *fn, void *arg)
{
	struct hand_on *h = xcalloc(1, sizeof(*h));
	struct arena arena;
	struct pg_args args;

	h->fn = fn;
	h->arg = arg;
	arena_init(&arena);
	pg_args_init(&args, &arena);
	pg_arg_text(&args, str_from(holder));
	pg_query_start(pg, &work_sql_leases_drop, &args, HAND_ON_MS, on_handed_on, h);
	arena_done(&arena);
}
