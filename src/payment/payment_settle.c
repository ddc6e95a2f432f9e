/*
 * The settling duty: one round takes what is due (attempts, refunds) and drives it, and ends bookings that nobody will pay
 * any more. Any number of processes may run it: a row is taken by a statement that only one of them gets. Every few seconds
 * what has not come to an end for long becomes a finding, and a finding whose subject has come to one is settled.
 */
#include "base/times.h"
#include "base/xmalloc.h"
#include "booking/booking_store.h"
#include "io/metrics_table.h"
#include "payment/payment_int.h"
#include "payment/payment_sql.h"

#include <stdio.h>
#include <stdlib.h>

enum { BOOKING_METRIC_FAILED = 3 };
/* From then on a person is told: longer than any lock holds seats; about a quarter of an hour of asking in vain. */
enum { LONG_TRIES = 20, LONG_LOOK_SECONDS = 2 };
#define LONG_US US_PER_HOUR

struct settle {
	struct list link;
	struct payment_service *p;
	struct arena arena;
	int limit, waiting;
	bool failed, more;
	payment_settled_fn *fn;
	void *arg;
};

static void settle_free(struct settle *s)
{
	list_remove(&s->link);
	arena_done(&s->arena);
	free(s);
}

void payment_settles_free(struct payment_service *p)
{
	while (!list_empty(&p->settles))
		settle_free(list_first(&p->settles, struct settle, link));
}

static void settle_one_less(struct settle *s)
{
	payment_settled_fn *fn = s->fn;
	void *arg = s->arg;
	bool ok = !s->failed, more = s->more;

	if (--s->waiting)
		return;
	settle_free(s);
	fn(arg, ok, more);
}

static void on_driven(void *arg)
{
	settle_one_less(arg);
}

/* false: nothing to go through. */
static bool got(struct settle *s, const struct pg_answer *a)
{
	if (a->status != PG_OK) {
		s->failed = true;
		return false;
	}
	s->more |= pg_rows(a->result) >= s->limit;
	return true;
}

static void on_payments(void *arg, const struct pg_answer *a)
{
	struct settle *s = arg;

	for (int i = 0; got(s, a) && i < pg_rows(a->result); i++) {
		struct uuid show = pg_get_uuid(a->result, i, 0), payment = pg_get_uuid(a->result, i, 1);

		s->waiting++;
		payment_settle(s->p, &show, &payment, on_driven, s);
	}
	settle_one_less(s);
}

static void on_refunds(void *arg, const struct pg_answer *a)
{
	struct settle *s = arg;

	for (int i = 0; got(s, a) && i < pg_rows(a->result); i++) {
		struct uuid show = pg_get_uuid(a->result, i, 0), refund = pg_get_uuid(a->result, i, 1);

		s->waiting++;
		refund_settle(s->p, &show, &refund, on_driven, s);
	}
	settle_one_less(s);
}

/* One transaction per booking: they may be of many shows. */
struct ending {
	struct settle *s;
	struct pg_tx *tx;
	bool ended;
};

static void on_ended(void *arg, const struct pg_answer *a)
{
	struct ending *e = arg;
	struct settle *s = e->s;

	if (a->status == PG_OK && e->ended)
		metric_add(s->p->config.metrics, METRIC_BOOKINGS, BOOKING_METRIC_FAILED, 0, 1);
	settle_one_less(s);
}

static void on_failed(void *arg, const struct pg_answer *a)
{
	struct ending *e = arg;

	e->ended = a->status == PG_OK && pg_rows(a->result) > 0;
}

static void on_bookings(void *arg, const struct pg_answer *a)
{
	struct settle *s = arg;

	for (int i = 0; got(s, a) && i < pg_rows(a->result); i++) {
		struct uuid show = pg_get_uuid(a->result, i, 0), booking = pg_get_uuid(a->result, i, 1);
		struct ending *e = arena_new(&s->arena, struct ending);

		s->waiting++;
		e->s = s;
		e->tx = pg_tx_start(s->p->config.pg, NULL, PAYMENT_TX_MS);
		booking_fail(e->tx, &s->arena, &show, &booking, "lock_ended", on_failed, e);
		pg_tx_commit(e->tx, on_ended, e);
	}
	settle_one_less(s);
}

/* ---- unsettled for long ---- */

static void on_written(void *arg, const struct pg_answer *a)
{
	struct settle *s = arg;

	s->failed |= a->status != PG_OK;
	settle_one_less(s);
}

static void find_long(struct settle *s, const struct pg_answer *a, const char *kind, const char *gateway)
{
	for (int i = 0; a->status == PG_OK && i < pg_rows(a->result); i++) {
		struct uuid show = pg_get_uuid(a->result, i, 0), subject = pg_get_uuid(a->result, i, 1),
			    booking = pg_get_uuid(a->result, i, 2);
		char currency[4];
		struct payment_finding f = {.kind = kind,
					    .gateway_id = "",
					    .currency = currency,
					    .subject_id = &subject,
					    .show_id = &show,
					    .booking_id = &booking,
					    .amount_minor = pg_get_int(a->result, i, 3)};

		snprintf(currency, sizeof(currency), "%.*s", STR_FMT(pg_get_text(a->result, i, 4)));
		f.detail = arena_printf(&s->arena, "%.*s, looked at %lld times; %s %.*s",
					STR_FMT(pg_get_text(a->result, i, 5)), (long long)pg_get_int(a->result, i, 6),
					gateway, STR_FMT(pg_get_text(a->result, i, 7)));
		s->waiting++;
		payment_finding_query(s->p->config.pg, &s->arena, &f, on_written, s);
	}
	s->failed |= a->status != PG_OK;
	settle_one_less(s);
}

static void on_payments_long(void *arg, const struct pg_answer *a)
{
	find_long(arg, a, "attempt_unsettled", "intent");
}

static void on_refunds_long(void *arg, const struct pg_answer *a)
{
	find_long(arg, a, "refund_unsettled", "refund");
}

static void look_for_long(struct settle *s)
{
	struct pg *pg = s->p->config.pg;
	struct pg_args args;

	if (loop_now_us(s->p->config.loop) < s->p->long_at_us)
		return;
	s->p->long_at_us = loop_now_us(s->p->config.loop) + LONG_LOOK_SECONDS * US_PER_SECOND;
	s->waiting += 3;
	pg_args_init(&args, &s->arena);
	pg_query_start(pg, &payment_sql_findings_through, &args, PAYMENT_QUERY_MS, on_written, s);
	pg_arg_interval_us(&args, LONG_US);
	pg_arg_i32(&args, LONG_TRIES);
	pg_query_start(pg, &payment_sql_payments_long, &args, PAYMENT_QUERY_MS, on_payments_long, s);
	pg_query_start(pg, &payment_sql_refunds_long, &args, PAYMENT_QUERY_MS, on_refunds_long, s);
}

void payment_settle_due(struct payment_service *p, int limit, payment_settled_fn *fn, void *arg)
{
	struct settle *s = xcalloc(1, sizeof(*s));
	struct pg_args args;

	*s = (struct settle){.p = p, .limit = limit, .waiting = 3, .fn = fn, .arg = arg};
	list_init(&s->link);
	list_append(&p->settles, &s->link);
	arena_init(&s->arena);
	pg_args_init(&args, &s->arena);
	pg_arg_i32(&args, limit);
	pg_query_start(p->config.pg, &payment_sql_payments_due, &args, PAYMENT_QUERY_MS, on_payments, s);
	pg_query_start(p->config.pg, &payment_sql_refunds_due, &args, PAYMENT_QUERY_MS, on_refunds, s);
	bookings_over(p->config.pg, &s->arena, limit, on_bookings, s);
	look_for_long(s);
}
