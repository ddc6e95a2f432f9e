/*
 * POST .../refunds: staff give money back for goodwill; the seats stay. At most what the payment has left; its id is the
 * Idempotency-Key's, so that the same request again is the same refund.
 */
#include "base/xmalloc.h"
#include "booking/booking_int.h"
#include "booking/booking_store.h"

#include <stdio.h>
#include <stdlib.h>

struct goodwill {
	struct booking_service *b;
	struct web_call *call;
	struct idempotent idem;
	struct money amount;
	struct str reason;
	struct pg_tx *tx;
	int64_t left_minor;
	bool new_one, absent, other_currency, too_much;
};

static void goodwill_read(struct goodwill *g);

static void refuse(struct goodwill *g, enum err code)
{
	web_refuse(g->call, code, NULL);
	free(g);
}

static void on_sent(void *arg)
{
	goodwill_read(arg);
}

static void on_committed(void *arg, const struct pg_answer *a)
{
	struct goodwill *g = arg;

	if (a->status != PG_OK)
		refuse(g, a->status == PG_UNKNOWN ? ERR_OUTCOME_UNKNOWN : ERR_UNAVAILABLE);
	else
		refund_send(g->b->config.payment, &g->call->ids[0], &g->idem.id, "staff", on_sent, g);
}

static void refuse_amount(struct goodwill *g)
{
	char detail[160] = "Nothing was paid for this booking, or all of it was given back.", left[MONEY_TEXT_MAX];
	struct money m = {g->left_minor, g->amount.currency};
	struct jw *w;

	if (g->other_currency) {
		snprintf(detail, sizeof(detail), "The booking was paid in another currency.");
	} else if (g->left_minor) {
		money_format(m, left);
		snprintf(detail, sizeof(detail), "At most %s can be given back: the payment does not have more left.",
			 left);
	}
	w = web_problem(g->call, ERR_INVALID_VALUE, detail);
	jw_kcstr(w, "path", g->other_currency ? "/amount/currency" : "/amount");
	if (!g->other_currency && g->left_minor)
		jw_kint(w, "limit", g->left_minor);
	web_problem_end(g->call);
	free(g);
}

static void on_requested(void *arg, const struct pg_answer *a)
{
	struct goodwill *g = arg;

	if (a->status == PG_OK && pg_rows(a->result) && !g->absent && !g->other_currency) {
		g->new_one = true;
		pg_tx_commit(g->tx, on_committed, g);
		return;
	}
	pg_tx_rollback(g->tx, NULL, NULL);
	if (a->status == PG_ERROR && str_eqc(str_from(a->sqlstate), "23505")) {
		goodwill_read(g); /* the same key, a moment earlier */
	} else if (a->status != PG_OK) {
		refuse(g, ERR_UNAVAILABLE);
	} else if (g->absent) {
		refuse(g, ERR_NOT_FOUND);
	} else if (g->other_currency) {
		refuse_amount(g);
	} else {
		g->too_much = true; /* unless it is the same key, a moment earlier, that took what there was */
		goodwill_read(g);
	}
}

/* What the payment has left, by the one that holds money. */
static void on_payments(void *arg, const struct pg_answer *a)
{
	struct goodwill *g = arg;

	g->left_minor = booking_money_left(a);
}

static void on_held(void *arg, const struct pg_answer *a)
{
	struct goodwill *g = arg;
	struct uuid organizer;

	if (a->status != PG_OK)
		return;
	if (pg_rows(a->result) == 0) {
		g->absent = true;
		return;
	}
	organizer = pg_get_uuid(a->result, 0, 3);
	g->absent = !uuid_eq(&organizer, &g->call->who.organizer_id);
	g->other_currency = !str_eqc(pg_get_text(a->result, 0, 5), g->amount.currency->code);
}

static void goodwill_begin(struct goodwill *g)
{
	struct arena *arena = g->call->arena;
	struct refund_new r = {.show_id = g->call->ids[0],
			       .booking_id = g->call->ids[1],
			       .refund_id = g->idem.id,
			       .amount_minor = g->amount.amount_minor,
			       .kind = "goodwill",
			       .reason = arena_cstr(arena, g->reason),
			       .actor = "staff",
			       .request_hash = g->idem.hash};

	g->tx = pg_tx_start(g->b->config.pg, NULL, BOOKING_TX_MS);
	/* twice, as in a cancellation: only a statement begun after the wait counts what was waited for */
	payments_lock(g->tx, arena, &r.show_id, &r.booking_id, NULL, NULL);
	payments_lock(g->tx, arena, &r.show_id, &r.booking_id, on_payments, g);
	booking_hold(g->tx, arena, &r.show_id, &r.booking_id, on_held, g);
	refund_request(g->tx, arena, &r, on_requested, g);
}

static void on_refund(void *arg, const struct pg_answer *a)
{
	struct goodwill *g = arg;
	struct str mine = idempotent_hash(&g->idem);
	struct uuid booking;
	char currency[4];
	struct jw *w;

	if (a->status != PG_OK) {
		refuse(g, g->new_one ? ERR_OUTCOME_UNKNOWN : ERR_UNAVAILABLE);
		return;
	}
	if (pg_rows(a->result) == 0) {
		if (g->too_much)
			refuse_amount(g);
		else
			goodwill_begin(g);
		return;
	}
	booking = pg_get_uuid(a->result, 0, 0);
	if (!uuid_eq(&booking, &g->call->ids[1]) || !str_eq(pg_get_bytes(a->result, 0, 5), mine)) {
		refuse(g, ERR_IDEMPOTENCY_MISMATCH);
		return;
	}
	snprintf(currency, sizeof(currency), "%.*s", STR_FMT(pg_get_text(a->result, 0, 3)));
	w = web_json(g->call);
	jw_kuuid(w, "refund_id", &g->idem.id);
	jw_kuuid(w, "booking_id", &booking);
	jw_kstr(w, "status", pg_get_text(a->result, 0, 1));
	jw_kmoney(w, "amount", pg_get_int(a->result, 0, 2), currency);
	jw_kstr(w, "reason", pg_get_text(a->result, 0, 4));
	web_json_end(g->call, 201);
	free(g);
}

static void goodwill_read(struct goodwill *g)
{
	refund_get(g->b->config.pg, g->call->arena, &g->call->ids[0], &g->idem.id, on_refund, g);
}

void booking_refund_post(struct web_call *call)
{
	struct goodwill *g = xcalloc(1, sizeof(*g));
	struct error e = {0};
	struct json_in in;
	json_t *body;

	g->b = call->service;
	g->call = call;
	body = web_body(call);
	if (!body || !auth_idempotent(g->b->config.auth, call, body, &g->idem)) {
		free(g);
		return;
	}
	json_in_init(&in, body, "", &e);
	json_in_amount(&in, "amount", JSON_REQUIRED, 1, &g->amount); /* the least sum to charge is none to give back */
	g->reason = json_in_str(&in, "reason", JSON_REQUIRED, 1, BOOKING_REASON_MAX);
	if (!json_in_end(&in)) {
		web_refuse_error(call, &e);
		free(g);
		return;
	}
	goodwill_read(g);
}
