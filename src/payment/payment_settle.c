/*
 * The settling duty: one round takes what is due (attempts, refunds) and drives it, and ends bookings that nobody will pay
 * any more. Any number of processes may run it: a row is taken by a statement that only one of them gets.
 */
#include "base/xmalloc.h"
#include "booking/booking_store.h"
#include "io/metrics_table.h"
#include "payment/payment_int.h"
#include "payment/payment_sql.h"

#include <stdlib.h>

enum { BOOKING_METRIC_FAILED = 3 };

struct settle {
	struct payment_service *p;
	struct arena arena;
	int limit, waiting;
	bool failed, more;
	payment_settled_fn *fn;
	void *arg;
};

static void settle_one_less(struct settle *s)
{
	payment_settled_fn *fn = s->fn;
	void *arg = s->arg;
	bool ok = !s->failed, more = s->more;

	if (--s->waiting)
		return;
	arena_done(&s->arena);
	free(s);
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

void payment_settle_due(struct payment_service *p, int limit, payment_settled_fn *fn, void *arg)
{
	struct settle *s = xcalloc(1, sizeof(*s));
	struct pg_args args;

	*s = (struct settle){.p = p, .limit = limit, .waiting = 3, .fn = fn, .arg = arg};
	arena_init(&s->arena);
	pg_args_init(&args, &s->arena);
	pg_arg_i32(&args, limit);
	pg_query_start(p->config.pg, &payment_sql_payments_due, &args, PAYMENT_QUERY_MS, on_payments, s);
	pg_query_start(p->config.pg, &payment_sql_refunds_due, &args, PAYMENT_QUERY_MS, on_refunds, s);
	bookings_over(p->config.pg, &s->arena, limit, on_bookings, s);
}
