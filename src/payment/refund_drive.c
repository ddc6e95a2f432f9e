/*
 * Sending a refund until the gateway has decided: taken by its row (settle_at), one call, one transaction. While a call of a
 * payment is under way no other refund of it is taken (payments.ask_after).
 *
 *   taken --+--> payment not captured yet: later;  never captured: failed (not_captured), nothing to give back
 *           +--> asked before: is it in the gateway's list? --> recorded
 *           +--> row of the call committed --> gateway --> succeeded | pending | failed | later, with the same key
 */
#include "base/times.h"
#include "base/xmalloc.h"
#include "io/crypto.h"
#include "io/log.h"
#include "payment/payment_int.h"
#include "payment/payment_sql.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct refund_drive {
	struct payment_service *p;
	struct list link;
	struct arena arena;
	struct uuid show_id, refund_id, payment_id, booking_id;
	char currency[4];
	enum refund_state state;
	int64_t amount_minor, tries, held_until_us; /* the payment's calls are ours until then */
	const char *intent_id, *gateway_id, *actor;
	struct gateway_going going;
	enum payment_step step;
	int call_no, unrecorded;
	char *key, *path, *body;
	char request_id[GATEWAY_ID_MAX];
	struct buf summary;
	struct refund_observation seen;
	struct pg_tx *tx;
	bool to_find; /* the arrow under way is one that a person has to hear of */
	payment_fn *fn;
	void *arg;
};

static void refund_free(struct refund_drive *d)
{
	list_remove(&d->link);
	gateway_going_done(&d->going);
	buf_done(&d->summary);
	arena_done(&d->arena);
	free(d);
}

static void refund_end(struct refund_drive *d)
{
	payment_fn *fn = d->fn;
	void *arg = d->arg;

	refund_free(d);
	fn(arg);
}

static void on_recorded(void *arg, const struct pg_answer *a)
{
	refund_end(arg); /* whatever became of it: the row's time comes again */
}

static void on_arrow(void *arg, const struct pg_answer *a);

/* In the arrow's own transaction: a refund that failed is never without its finding. */
static void find_failed(struct refund_drive *d)
{
	struct payment_finding f = {.kind = "refund_failed",
				    .gateway_id = d->seen.gateway_id,
				    .detail = d->seen.failure,
				    .currency = d->currency,
				    .subject_id = &d->refund_id,
				    .show_id = &d->show_id,
				    .booking_id = &d->booking_id,
				    .amount_minor = d->amount_minor};

	d->to_find = false;
	payment_finding_exec(d->tx, &d->arena, &f, on_arrow, d);
}

static void on_arrow(void *arg, const struct pg_answer *a)
{
	struct refund_drive *d = arg;

	if (a->status == PG_OK && d->to_find && pg_rows(a->result))
		find_failed(d);
	else if (a->status == PG_OK)
		pg_tx_commit(d->tx, on_recorded, d);
	else {
		pg_tx_rollback(d->tx, NULL, NULL);
		refund_end(d);
	}
}

/* Overtaken, it writes nothing, the answer neither: whoever has it now may have read the gateway's list before that answer. */
static void on_rested(void *arg, const struct pg_answer *a)
{
	struct refund_drive *d = arg;

	if (a->status == PG_OK && pg_rows(a->result) == 0) {
		pg_tx_rollback(d->tx, NULL, NULL);
		refund_end(d);
	} else {
		on_arrow(d, a);
	}
}

static void refund_begin(struct refund_drive *d)
{
	struct pg_args args;

	d->tx = pg_tx_start(d->p->config.pg, NULL, PAYMENT_TX_MS);
	pg_args_init(&args, &d->arena);
	pg_arg_uuid(&args, &d->show_id);
	pg_arg_uuid(&args, &d->payment_id);
	pg_arg_time(&args, d->held_until_us);
	pg_tx_exec(d->tx, &payment_sql_payment_idle, &args, NULL, NULL);
	if (d->unrecorded)
		payment_answer_exec(d->tx, &d->arena, &d->show_id, &d->payment_id, STEP_REFUND, d->call_no,
				    d->unrecorded, d->request_id, buf_str(&d->summary));
}

static void refund_rest(struct refund_drive *d)
{
	struct pg_args args;

	refund_begin(d);
	pg_args_init(&args, &d->arena);
	pg_arg_uuid(&args, &d->show_id);
	pg_arg_uuid(&args, &d->refund_id);
	pg_arg_interval_us(&args, payment_backoff_us(d->tries));
	pg_arg_i32(&args, (int32_t)d->tries);
	pg_tx_exec(d->tx, &payment_sql_refund_rest, &args, on_rested, d);
}

static void refund_move(struct refund_drive *d, const struct pg_stmt *stmt)
{
	struct uuid event_id = crypto_uuid_v7(wall_now_us()), outbox_id = crypto_uuid_v7(wall_now_us());
	struct pg_args args;

	refund_begin(d);
	pg_args_init(&args, &d->arena);
	pg_arg_uuid(&args, &d->show_id);
	pg_arg_uuid(&args, &d->refund_id);
	pg_arg_uuid(&args, &event_id);
	pg_arg_uuid(&args, &outbox_id);
	pg_arg_text(&args, str_from(d->actor));
	pg_arg_text(&args, str_from(d->seen.gateway_id));
	pg_arg_text(&args, str_from(d->request_id));
	if (stmt == &payment_sql_refund_fail) {
		pg_arg_text(&args, str_from(d->seen.failure));
		/* of what was never captured nothing has to go back */
		d->to_find = strcmp(d->seen.failure, REFUND_NOT_CAPTURED) != 0;
		if (d->to_find)
			log_line(LOG_ERROR, "a refund failed", LOG_U("refund_id", &d->refund_id),
				 LOG_C("why", d->seen.failure));
	}
	pg_tx_exec(d->tx, stmt, &args, on_arrow, d);
}

static void refund_decide(struct refund_drive *d)
{
	if (d->seen.seen == SEEN_PAID)
		refund_move(d, &payment_sql_refund_succeed);
	else if (d->seen.seen == SEEN_NEW && d->state == REFUND_REQUESTED)
		refund_move(d, &payment_sql_refund_pend);
	else if (d->seen.seen == SEEN_REFUSED)
		refund_move(d, &payment_sql_refund_fail);
	else
		refund_rest(d);
}

static void on_refunded(void *arg, const struct gateway_answer *answer)
{
	struct refund_drive *d = arg;

	refund_observe(answer->http_status, answer->sent, answer->body, &d->seen);
	memcpy(d->request_id, answer->request_id, sizeof(d->request_id));
	if (d->step == STEP_REFUND && answer->http_status && answer->http_status != 409 && answer->http_status != 429) {
		d->unrecorded = answer->http_status;
		if (d->seen.seen != SEEN_DENIED)
			payment_summary(answer->body, &d->summary);
	}
	refund_decide(d);
}

static void on_call_committed(void *arg, const struct pg_answer *a)
{
	struct refund_drive *d = arg;

	if (a->status != PG_OK || pg_rows(a->result) == 0) {
		refund_end(d);
		return;
	}
	d->call_no = (int)pg_get_int(a->result, 0, 0);
	d->key = arena_cstr(&d->arena, pg_get_text(a->result, 0, 1));
	d->path = arena_cstr(&d->arena, pg_get_text(a->result, 0, 2));
	d->body = arena_cstr(&d->arena, pg_get_text(a->result, 0, 3));
	d->step = STEP_REFUND;
	gateway_call(d->p, &d->going, STEP_REFUND, d->key, d->path, str_from(d->body), on_refunded, d);
}

static void refund_call(struct refund_drive *d)
{
	struct pg_args args;
	struct buf body;

	buf_init(&body, 2048);
	refund_body(&body, str_from(d->intent_id), &d->refund_id, d->amount_minor);
	pg_args_init(&args, &d->arena);
	pg_arg_uuid(&args, &d->show_id);
	pg_arg_uuid(&args, &d->payment_id);
	pg_arg_uuid(&args, &d->refund_id);
	pg_arg_text(&args, STR("POST"));
	pg_arg_text(&args, STR("/v1/refunds"));
	pg_arg_text(&args, buf_str(&body));
	pg_arg_interval_us(&args, payment_lease_us(d->p));
	pg_arg_i32(&args, (int32_t)d->tries);
	/* one statement, its own transaction: committed when it is answered */
	pg_query_start(d->p->config.pg, &payment_sql_refund_call, &args, PAYMENT_QUERY_MS, on_call_committed, d);
	buf_done(&body);
}

static void on_listed(void *arg, const struct gateway_answer *answer)
{
	struct refund_drive *d = arg;

	refund_observe_list(answer->http_status, answer->sent, answer->body, &d->refund_id, &d->seen);
	memcpy(d->request_id, answer->request_id, sizeof(d->request_id));
	if (d->seen.seen == SEEN_NOTHING)
		refund_call(d);
	else
		refund_decide(d);
}

static void on_taken(void *arg, const struct pg_answer *a)
{
	struct refund_drive *d = arg;
	enum payment_state paid = PAYMENT_CREATED;
	bool called, late;

	if (a->status != PG_OK || pg_rows(a->result) == 0) {
		refund_end(d);
		return;
	}
	d->payment_id = pg_get_uuid(a->result, 0, 0);
	d->booking_id = pg_get_uuid(a->result, 0, 1);
	snprintf(d->currency, sizeof(d->currency), "%.*s", STR_FMT(pg_get_text(a->result, 0, 4)));
	refund_state_parse(pg_get_text(a->result, 0, 2), &d->state);
	d->amount_minor = pg_get_int(a->result, 0, 3);
	d->tries = pg_get_int(a->result, 0, 5);
	payment_state_parse(pg_get_text(a->result, 0, 6), &paid);
	d->intent_id = arena_cstr(&d->arena, pg_get_text(a->result, 0, 7));
	called = pg_get_bool(a->result, 0, 8);
	d->gateway_id = arena_cstr(&d->arena, pg_get_text(a->result, 0, 9));
	/* taken by the gateway although the attempt had ended: it is given back whatever our state says */
	late = str_eqc(pg_get_text(a->result, 0, 10), "void");
	d->held_until_us = pg_get_time(a->result, 0, 11);
	if (paid == PAYMENT_AUTHORISED && !late) {
		refund_rest(d);
	} else if (paid != PAYMENT_CAPTURED && !late) {
		d->seen.seen = SEEN_REFUSED;
		memcpy(d->seen.failure, REFUND_NOT_CAPTURED, sizeof(REFUND_NOT_CAPTURED));
		refund_decide(d);
	} else if (d->state == REFUND_PENDING && d->gateway_id[0]) {
		d->step = STEP_RETRIEVE;
		gateway_call(d->p, &d->going, STEP_RETRIEVE, NULL,
			     arena_printf(&d->arena, "/v1/refunds/%s", d->gateway_id), STR(""), on_refunded, d);
	} else if (called) {
		d->step = STEP_LIST;
		gateway_call(d->p, &d->going, STEP_LIST, NULL,
			     arena_printf(&d->arena, "/v1/refunds?payment_intent=%s&limit=100", d->intent_id), STR(""),
			     on_listed, d);
	} else {
		refund_call(d);
	}
}

static void refund_drive_new(struct payment_service *p, const struct uuid *show, const struct uuid *refund,
			     const char *actor, payment_fn *fn, void *arg)
{
	struct refund_drive *d = xcalloc(1, sizeof(*d));
	struct pg_args args;

	d->p = p;
	d->fn = fn;
	d->arg = arg;
	d->actor = actor;
	d->show_id = *show;
	d->refund_id = *refund;
	list_init(&d->link);
	list_append(&p->refunds, &d->link);
	arena_init(&d->arena);
	buf_init(&d->summary, 4096);
	pg_args_init(&args, &d->arena);
	pg_arg_uuid(&args, show);
	pg_arg_uuid(&args, refund);
	pg_arg_interval_us(&args, payment_lease_us(p));
	pg_query_start(p->config.pg, &payment_sql_refund_lease, &args, PAYMENT_QUERY_MS, on_taken, d);
}

void refund_send(struct payment_service *p, const struct uuid *show, const struct uuid *refund, const char *actor,
		 payment_fn *fn, void *arg)
{
	refund_drive_new(p, show, refund, actor, fn, arg);
}

void refund_settle(struct payment_service *p, const struct uuid *show, const struct uuid *refund, payment_fn *fn,
		   void *arg)
{
	refund_drive_new(p, show, refund, "reconciler", fn, arg);
}

void refund_drives_free(struct payment_service *p)
{
	while (!list_empty(&p->refunds))
		refund_free(list_first(&p->refunds, struct refund_drive, link));
}
