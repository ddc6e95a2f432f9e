/* Owns nothing: the statements of the payment service by name, with their arguments in order. */
#include "io/crypto.h"
#include "payment/payment_int.h"
#include "payment/payment_sql.h"

#include <stdio.h>

void attempt_read(const struct pg_result *r, int row, const struct uuid *show, struct arena *arena, struct attempt *ret)
{
	struct str currency = pg_get_text(r, row, 6);
	int64_t *seats;

	*ret = (struct attempt){.show_id = *show}; /* show may be ret's own */
	ret->payment_id = pg_get_uuid(r, row, 0);
	ret->booking_id = pg_get_uuid(r, row, 1);
	ret->lock_id = pg_get_uuid(r, row, 2);
	payment_state_parse(pg_get_text(r, row, 3), &ret->state);
	ret->generation = (int)pg_get_int(r, row, 4);
	ret->amount_minor = pg_get_int(r, row, 5);
	snprintf(ret->currency, sizeof(ret->currency), "%.*s", STR_FMT(currency));
	ret->method = arena_cstr(arena, pg_get_text(r, row, 7));
	ret->return_url = arena_cstr(arena, pg_get_text(r, row, 8));
	ret->intent_id = arena_cstr(arena, pg_get_text(r, row, 9));
	ret->void_wanted = pg_get_bool(r, row, 10);
	ret->action_until_us = pg_get_time(r, row, 11);
	ret->hold_until_us = pg_get_time(r, row, 12);
	ret->now_us = pg_get_time(r, row, 13);
	ret->confirm_called = pg_get_bool(r, row, 14);
	ret->tries = pg_get_int(r, row, 15);
	ret->n_seats = pg_get_ints(r, row, 16, arena, &seats);
	ret->seats = arena_array(arena, int32_t, ret->n_seats);
	for (size_t i = 0; i < ret->n_seats; i++)
		ret->seats[i] = (int32_t)seats[i];
	ret->event_id = pg_get_uuid(r, row, 17);
	ret->max_per_payer = pg_get_int(r, row, 18);
	ret->cancel_called = pg_get_bool(r, row, 19);
}

static void new_id(struct pg_args *args)
{
	struct uuid id = crypto_uuid_v7(wall_now_us());

	pg_arg_uuid(args, &id);
}

void payment_arrow_args(struct pg_args *args, struct arena *arena, const struct attempt *a, const struct payment_by *by)
{
	pg_args_init(args, arena);
	pg_arg_uuid(args, &a->show_id);
	pg_arg_uuid(args, &a->payment_id);
	pg_arg_i32(args, a->generation);
	new_id(args);
	new_id(args);
	pg_arg_text(args, str_from(by->actor));
	pg_arg_text(args, str_from(by->request_id));
}

void payment_answer_exec(struct pg_tx *tx, struct arena *arena, const struct uuid *show, const struct uuid *payment,
			 enum payment_step step, int call_no, int http_status, const char *request_id,
			 struct str summary)
{
	struct pg_args args;

	pg_args_init(&args, arena);
	pg_arg_uuid(&args, show);
	pg_arg_uuid(&args, payment);
	pg_arg_text(&args, str_from(payment_step_name(step)));
	pg_arg_i32(&args, call_no);
	pg_arg_i32(&args, http_status);
	pg_arg_text(&args, str_from(request_id));
	pg_arg_text(&args, summary);
	pg_tx_exec(tx, &payment_sql_payment_answer, &args, NULL, NULL);
}

void payment_create_exec(struct payment_service *p, struct pg_tx *tx, struct arena *a, const struct payment_new *n,
			 struct str body, pg_fn *fn, void *arg)
{
	struct pg_args args;

	pg_args_init(&args, a);
	pg_arg_uuid(&args, &n->show_id);
	pg_arg_uuid(&args, &n->payment_id);
	pg_arg_uuid(&args, &n->booking_id);
	pg_arg_uuid(&args, &n->lock_id);
	pg_arg_uuid(&args, &n->request_id);
	pg_arg_bytes(&args, (struct str){(const char *)n->request_hash, 32});
	pg_arg_text(&args, n->method);
	pg_arg_text(&args, n->return_url);
	pg_arg_interval_us(&args, payment_lease_us(p));
	new_id(&args);
	new_id(&args);
	pg_arg_text(&args, body);
	pg_arg_i64(&args, n->amount_minor);
	pg_arg_text(&args, str_from(n->currency));
	pg_tx_exec(tx, &payment_sql_payment_create, &args, fn, arg);
}

void payments_lock(struct pg_tx *tx, struct arena *a, const struct uuid *show, const struct uuid *booking, pg_fn *fn,
		   void *arg)
{
	struct pg_args args;

	pg_args_init(&args, a);
	pg_arg_uuid(&args, show);
	pg_arg_uuid(&args, booking);
	pg_tx_exec(tx, &payment_sql_payments_lock, &args, fn, arg);
}

void refund_request(struct pg_tx *tx, struct arena *a, const struct refund_new *n, pg_fn *fn, void *arg)
{
	struct pg_args args;

	pg_args_init(&args, a);
	pg_arg_uuid(&args, &n->show_id);
	pg_arg_uuid(&args, &n->booking_id);
	pg_arg_uuid(&args, &n->refund_id);
	pg_arg_i64(&args, n->amount_minor);
	pg_arg_text(&args, str_from(n->kind));
	pg_arg_text(&args, str_from(n->reason));
	pg_arg_i32s(&args, n->seats, n->n_seats);
	pg_arg_bytes(&args, n->request_hash ? (struct str){(const char *)n->request_hash, 32} : STR(""));
	new_id(&args);
	new_id(&args);
	pg_arg_text(&args, str_from(n->actor));
	pg_tx_exec(tx, &payment_sql_refund_request, &args, fn, arg);
}

void refund_get(struct pg *pg, struct arena *a, const struct uuid *show, const struct uuid *refund, pg_fn *fn,
		void *arg)
{
	struct pg_args args;

	pg_args_init(&args, a);
	pg_arg_uuid(&args, show);
	pg_arg_uuid(&args, refund);
	pg_query_start(pg, &payment_sql_refund_get, &args, PAYMENT_QUERY_MS, fn, arg);
}

void payment_return(struct pg *pg, struct arena *a, const struct uuid *show, const struct uuid *booking,
		    const struct uuid *payment, pg_fn *fn, void *arg)
{
	struct pg_args args;

	pg_args_init(&args, a);
	pg_arg_uuid(&args, show);
	pg_arg_uuid(&args, payment);
	pg_arg_uuid(&args, booking);
	pg_query_start(pg, &payment_sql_payment_return, &args, PAYMENT_QUERY_MS, fn, arg);
}

void payments_hurry(struct pg *pg, struct arena *a, const struct uuid *show, pg_fn *fn, void *arg)
{
	struct pg_args args;

	pg_args_init(&args, a);
	pg_arg_uuid(&args, show);
	pg_query_start(pg, &payment_sql_payments_hurry, &args, PAYMENT_QUERY_MS, fn, arg);
}
