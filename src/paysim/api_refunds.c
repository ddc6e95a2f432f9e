/*
 * Refunds. pending and succeeded ones count against the charge, failed ones do not. Some cards change a refund's status
 * later (later.c).
 *
 *   pending -> succeeded -> failed        pending -> failed        failed (at once, by a switch)
 */
#include "paysim/sim.h"

static const char *const refund_expandable[] = {"charge", "payment_intent", NULL};
enum { EXPAND_CHARGE = 1, EXPAND_INTENT = 2 };

static void write_refund(struct sim_call *c, struct jw *w, const struct refund *r, unsigned expand)
{
	struct expanded x = {0};
	struct intent pi;
	struct charge charge;

	/* one of both: expanding the charge needs the intent's sums */
	if (expand && store_intent_get(c->sim->store, c->arena, r->payment_intent, &pi)) {
		x.intent = &pi;
		if (expand & EXPAND_CHARGE && store_charge_get(c->sim->store, c->arena, r->charge, &charge))
			x.charge = &charge;
	}
	object_refund(w, r, c->sim->base_url, &x);
}

static bool answer_refund(struct sim_call *c, const struct refund *r, unsigned expand)
{
	struct jw w;

	jw_init(&w, &c->out);
	write_refund(c, &w, r, expand);
	return jw_done(&w);
}

/* The intent to refund by its id or by its charge's. */
static bool find_intent(struct sim_call *c, struct str intent, struct str charge_id, struct intent *ret)
{
	struct charge charge;

	if (charge_id.p) {
		if (!store_charge_get(c->sim->store, c->arena, charge_id, &charge))
			return refuse_missing(c, "charge", charge_id, "charge");
		if (charge.failure_code.p)
			return refuse_invalid(&c->refusal, NULL, "charge",
					      "Charge %.*s has failed and cannot be refunded.", STR_FMT(charge.id));
		intent = charge.payment_intent;
	}
	if (!store_intent_get(c->sim->store, c->arena, intent, ret))
		return refuse_missing(c, "payment_intent", intent, "payment_intent");
	return true;
}

/* What was asked for, against what the charge still has. */
static bool refundable(struct sim_call *c, const struct intent *pi, int64_t want, struct charge *ret_charge,
		       int64_t *ret_amount)
{
	if (!rules_allows(&pi->state, OP_REFUND, &c->refusal))
		return false;
	if (!store_charge_get(c->sim->store, c->arena, pi->latest_charge, ret_charge))
		return refuse_missing(c, "charge", pi->latest_charge, "charge");
	if (ret_charge->disputed == CHARGE_DISPUTED)
		return refuse_invalid(&c->refusal, "charge_disputed", NULL,
				      "Charge %.*s has been charged back; cannot issue a refund.",
				      STR_FMT(ret_charge->id));
	return rules_refund_amount(&pi->state, ret_charge->id.p, want, ret_amount, &c->refusal);
}

bool api_refund_create(struct sim_call *c)
{
	static const char *const reasons[] = {"duplicate", "fraudulent", "requested_by_customer", NULL};
	struct event_source from = call_source(c);
	struct refund r = {.metadata = STR_NULL};
	struct str intent, charge_id, json;
	const struct card *card;
	struct intent pi;
	struct charge charge;
	int64_t want;
	char currency[4];
	unsigned expand;
	bool fails = c->fault && c->fault->mode == FAULT_DECLINE;

	if (!param_str(c, "payment_intent", false, 100, &intent) || !param_str(c, "charge", false, 100, &charge_id) ||
	    !param_int(c, "amount", false, -1, &want) || !param_choice(c, "reason", reasons, &r.reason) ||
	    !param_metadata(c, &r.metadata) || !param_expand(c, refund_expandable, false, &expand))
		return false;
	if (!intent.p == !charge_id.p)
		return refuse_invalid(&c->refusal, "parameter_missing", "payment_intent",
				      "Provide one of the parameters: charge, payment_intent.");
	if (!params_end(c) || !find_intent(c, intent, charge_id, &pi) ||
	    !refundable(c, &pi, want, &charge, &r.amount)) {
		c->refusal.with_intent = false;
		return false;
	}
	card = card_find(charge.card);
	currency_lower(pi.state.currency, currency);
	r.id = sim_id(c->arena, "re_");
	r.created_us = c->now_us;
	r.payment_intent = pi.id;
	r.charge = charge.id;
	r.currency = str_from(currency);
	r.status = fails ? STR("failed")
		   : card && (card->refunds == CARD_REFUNDS_LATER || card->refunds == CARD_REFUNDS_NEVER)
			   ? STR("pending")
			   : STR("succeeded");
	r.failure_reason = fails ? STR("declined") : STR_NULL;
	store_refund_insert(c->sim->store, &r);
	json = refund_json(c->sim, c->arena, &r);
	sim_emit(&from, "refund.created", json);
	if (fails) {
		sim_emit(&from, "refund.failed", json);
	} else {
		/* what is pending counts: it cannot be given back a second time */
		pi.state.amount_refunded += r.amount;
		store_intent_update(c->sim->store, &pi);
		sim_emit(&from, "charge.refunded", charge_json(c->arena, &charge, &pi));
		later_after_refund(&from, card, r.id);
	}
	return answer_refund(c, &r, expand);
}

bool api_refund_update(struct sim_call *c)
{
	struct event_source from = call_source(c);
	struct str json, no_metadata = STR_NULL;
	struct refund r;
	unsigned expand;

	/* checked against the parameters alone first, so that what is malformed is not kept */
	if (!param_metadata(c, &no_metadata) || !param_expand(c, refund_expandable, false, &expand) || !params_end(c))
		return false;
	if (!store_refund_get(c->sim->store, c->arena, c->id, &r))
		return refuse_missing(c, "refund", c->id, "id");
	if (!param_metadata(c, &r.metadata))
		return false;
	store_refund_update(c->sim->store, &r);
	json = refund_json(c->sim, c->arena, &r);
	sim_emit(&from, "refund.updated", json);
	sim_emit(&from, "charge.refund.updated", json);
	return answer_refund(c, &r, expand);
}

bool api_refund_get(struct sim_call *c)
{
	struct refund r;
	unsigned expand;

	if (!param_expand(c, refund_expandable, false, &expand) || !params_end(c))
		return false;
	if (!store_refund_get(c->sim->store, c->arena, c->id, &r))
		return refuse_missing(c, "refund", c->id, "id");
	return answer_refund(c, &r, expand);
}

static bool keep_refund(void *arg, struct refund *r)
{
	struct rows *rows = arg;
	struct refund *to = (struct refund *)rows->items + rows->n;

	if (!rows_room(rows))
		return false;
	*to = *r;
	to->id = rows_kept(rows->c, r->id);
	to->payment_intent = rows_kept(rows->c, r->payment_intent);
	to->charge = rows_kept(rows->c, r->charge);
	to->currency = rows_kept(rows->c, r->currency);
	to->status = to->stored_status = rows_kept(rows->c, r->status);
	to->failure_reason = rows_kept(rows->c, r->failure_reason);
	to->reason = rows_kept(rows->c, r->reason);
	to->metadata = rows_kept(rows->c, r->metadata);
	rows->n++;
	return true;
}

bool api_refund_list(struct sim_call *c)
{
	struct rows rows = {.c = c};
	struct page page;
	struct str after;
	struct refund r;
	struct jw w;
	unsigned expand;

	if (!param_page(c, &page, &after) || !param_str(c, "payment_intent", false, 100, &page.payment_intent) ||
	    !param_str(c, "charge", false, 100, &page.charge) || !param_expand(c, refund_expandable, true, &expand) ||
	    !params_end(c))
		return false;
	if (after.p) {
		if (!store_refund_get(c->sim->store, c->arena, after, &r))
			return no_cursor(c, "refund", after);
		page.before_seq = r.seq;
	}
	rows.limit = page.limit++;
	rows.items = arena_array(c->arena, struct refund, (size_t)rows.limit);
	store_refund_list(c->sim->store, &page, keep_refund, &rows);
	list_open(c, &w);
	for (int64_t i = 0; i < rows.n; i++)
		write_refund(c, &w, (struct refund *)rows.items + i, expand);
	return list_close(&w, rows.more, "/v1/refunds");
}
