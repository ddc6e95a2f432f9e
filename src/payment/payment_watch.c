/*
 * The gauges of what is not settled: how late the settling is, what is open, what waits for a person. In every process that
 * answers /metrics and by a timer of its own, not by the duty: a process that loses the lease must not go on showing what it last
 * saw. A database that cannot be asked leaves them as they are (its own gauge says so), and the lag is measured again when it can.
 */
#include "base/arena.h"
#include "base/xmalloc.h"
#include "io/metrics_table.h"
#include "payment/payment_int.h"
#include "payment/payment_sql.h"

#include <stdlib.h>
#include <string.h>

enum { WATCH_MS = 2000 };

struct payment_watch {
	struct payment_service *p;
	struct timer *timer;
	int waiting;
	int64_t lag_s[2]; /* attempts, refunds */
};

static void watch_one_less(struct payment_watch *w)
{
	if (--w->waiting)
		return;
	metric_set(w->p->config.metrics, METRIC_SETTLE_LAG, 0, 0, w->lag_s[0]);
	metric_set(w->p->config.metrics, METRIC_SETTLE_LAG, 1, 0, w->lag_s[1]);
	timer_set_ms(w->timer, WATCH_MS);
}

static int64_t lag_of(const struct pg_result *r, int row, int64_t lag_s)
{
	int64_t here = pg_get_int(r, row, 2);

	return here > lag_s ? here : lag_s;
}

static void on_payments(void *arg, const struct pg_answer *a)
{
	struct payment_watch *w = arg;
	int64_t n[PAYMENT_STATES] = {0}, lag_s = 0;
	enum payment_state state;

	if (a->status == PG_OK) {
		for (int i = 0; i < pg_rows(a->result); i++) {
			lag_s = lag_of(a->result, i, lag_s);
			if (payment_state_parse(pg_get_text(a->result, i, 0), &state))
				n[state] = pg_get_int(a->result, i, 1);
		}
		w->lag_s[0] = lag_s;
		for (int s = 0; s < PAYMENT_STATES; s++)
			metric_set(w->p->config.metrics, METRIC_UNSETTLED_PAYMENTS, s, 0, n[s]);
	}
	watch_one_less(w);
}

static void on_refunds(void *arg, const struct pg_answer *a)
{
	struct payment_watch *w = arg;
	int64_t n[REFUND_STATES] = {0}, lag_s = 0;
	enum refund_state state;

	if (a->status == PG_OK) {
		for (int i = 0; i < pg_rows(a->result); i++) {
			lag_s = lag_of(a->result, i, lag_s);
			if (refund_state_parse(pg_get_text(a->result, i, 0), &state))
				n[state] = pg_get_int(a->result, i, 1);
		}
		w->lag_s[1] = lag_s;
		for (int s = 0; s < REFUND_STATES; s++)
			metric_set(w->p->config.metrics, METRIC_UNSETTLED_REFUNDS, s, 0, n[s]);
	}
	watch_one_less(w);
}

static void on_findings(void *arg, const struct pg_answer *a)
{
	struct payment_watch *w = arg;
	int64_t n[FINDING_KINDS] = {0};

	if (a->status == PG_OK) {
		for (int i = 0; i < pg_rows(a->result); i++)
			n[metric_finding_kind(pg_get_text(a->result, i, 0))] += pg_get_int(a->result, i, 1);
		for (int k = 0; k < FINDING_KINDS; k++)
			metric_set(w->p->config.metrics, METRIC_FINDINGS_OPEN, k, 0, n[k]);
	}
	watch_one_less(w);
}

static void on_timer(void *arg)
{
	struct payment_watch *w = arg;
	struct arena arena;
	struct pg_args none;

	arena_init(&arena);
	pg_args_init(&none, &arena);
	w->waiting = 3;
	pg_query_start(w->p->config.pg, &payment_sql_watch_payments, &none, PAYMENT_QUERY_MS, on_payments, w);
	pg_query_start(w->p->config.pg, &payment_sql_watch_refunds, &none, PAYMENT_QUERY_MS, on_refunds, w);
	pg_query_start(w->p->config.pg, &payment_sql_watch_findings, &none, PAYMENT_QUERY_MS, on_findings, w);
	arena_done(&arena);
}

struct payment_watch *payment_watch_new(struct payment_service *p)
{
	struct payment_watch *w = xcalloc(1, sizeof(*w));

	w->p = p;
	w->timer = timer_new(p->config.loop, on_timer, w);
	timer_set_ms(w->timer, 0);
	return w;
}

void payment_watch_free(struct payment_watch *w)
{
	if (!w)
		return;
	timer_free(w->timer);
	free(w);
}
