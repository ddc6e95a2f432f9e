/* Refunds, and what is only read: charges, payment methods, events. */
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

bool api_refund_create(struct sim_call *c)
{
	static const char *const reasons[] = {"duplicate", "fraudulent", "requested_by_customer", NULL};
	struct event_source from = call_source(c);
	struct refund r = {.metadata = STR_NULL};
	struct str intent, charge_id;
	struct intent pi;
	struct charge charge;
	int64_t want;
	char currency[4];
	unsigned expand;
	bool fails = c->fault && c->fault->mode == FAULT_DECLINE;
	struct buf b;
	struct jw w;

	if (!param_str(c, "payment_intent", false, 100, &intent) || !param_str(c, "charge", false, 100, &charge_id) ||
	    !param_int(c, "amount", false, -1, &want) || !param_choice(c, "reason", reasons, &r.reason) ||
	    !param_metadata(c, &r.metadata) || !param_expand(c, refund_expandable, false, &expand))
		return false;
	if (!intent.p == !charge_id.p)
		return refuse_invalid(&c->refusal, "parameter_missing", "payment_intent",
				      "Provide one of the parameters: charge, payment_intent.");
	if (!params_end(c) || !find_intent(c, intent, charge_id, &pi) ||
	    !rules_allows(&pi.state, OP_REFUND, &c->refusal) ||
	    !store_charge_get(c->sim->store, c->arena, pi.latest_charge, &charge) ||
	    !rules_refund_amount(&pi.state, charge.id.p, want, &r.amount, &c->refusal)) {
		c->refusal.with_intent = false;
		return false;
	}
	currency_lower(pi.state.currency, currency);
	r.id = sim_id(c->arena, "re_");
	r.created_us = c->now_us;
	r.payment_intent = pi.id;
	r.charge = charge.id;
	r.currency = str_from(currency);
	r.status = fails ? STR("failed") : STR("succeeded");
	r.failure_reason = fails ? STR("declined") : STR_NULL;
	store_refund_insert(c->sim->store, &r);
	buf_init(&b, SIM_OBJECT_MAX * 4);
	jw_init(&w, &b);
	object_refund(&w, &r, c->sim->base_url, NULL);
	jw_done(&w);
	sim_emit(&from, "refund.created", buf_str(&b));
	if (fails) {
		sim_emit(&from, "refund.failed", buf_str(&b));
	} else {
		pi.state.amount_refunded += r.amount;
		store_intent_update(c->sim->store, &pi);
		sim_emit(&from, "charge.refunded", charge_json(c->arena, &charge, &pi));
	}
	buf_done(&b);
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

/* Copies of the rows, so that writing one may ask the ledger for more. */
struct rows {
	struct sim_call *c;
	int64_t n, limit;
	bool more;
	void *items;
};

static bool room(struct rows *rows)
{
	if (rows->n < rows->limit)
		return true;
	rows->more = true;
	return false;
}

static struct str kept(struct sim_call *c, struct str v)
{
	return v.p ? arena_str(c->arena, v) : STR_NULL;
}

static bool keep_refund(void *arg, struct refund *r)
{
	struct rows *rows = arg;
	struct refund *to = (struct refund *)rows->items + rows->n;

	if (!room(rows))
		return false;
	*to = *r;
	to->id = kept(rows->c, r->id);
	to->payment_intent = kept(rows->c, r->payment_intent);
	to->charge = kept(rows->c, r->charge);
	to->currency = kept(rows->c, r->currency);
	to->status = kept(rows->c, r->status);
	to->failure_reason = kept(rows->c, r->failure_reason);
	to->reason = kept(rows->c, r->reason);
	to->metadata = kept(rows->c, r->metadata);
	rows->n++;
	return true;
}

static void list_open(struct sim_call *c, struct jw *w)
{
	jw_init(w, &c->out);
	jw_obj(w);
	jw_kcstr(w, "object", "list");
	jw_key(w, "data");
	jw_arr(w);
}

static bool list_close(struct jw *w, bool more, const char *url)
{
	jw_arr_end(w);
	jw_kbool(w, "has_more", more);
	jw_kcstr(w, "url", url);
	jw_obj_end(w);
	return jw_done(w);
}

static bool no_cursor(struct sim_call *c, const char *what, struct str id)
{
	return refuse_invalid(&c->refusal, "resource_missing", "starting_after", "No such %s: '%.*s'", what,
			      STR_FMT(id));
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

static bool write_charge(struct sim_call *c, struct jw *w, const struct charge *charge)
{
	struct intent pi;

	if (!store_intent_get(c->sim->store, c->arena, charge->payment_intent, &pi))
		return refuse_missing(c, "payment_intent", charge->payment_intent, NULL);
	object_charge(w, charge, &pi);
	return true;
}

bool api_charge_get(struct sim_call *c)
{
	static const char *const nothing[] = {NULL};
	struct charge charge;
	struct jw w;
	unsigned expand;

	if (!param_expand(c, nothing, false, &expand) || !params_end(c))
		return false;
	if (!store_charge_get(c->sim->store, c->arena, c->id, &charge))
		return refuse_missing(c, "charge", c->id, "id");
	jw_init(&w, &c->out);
	return write_charge(c, &w, &charge) && jw_done(&w);
}

static bool keep_charge(void *arg, struct charge *ch)
{
	struct rows *rows = arg;
	struct charge *to = (struct charge *)rows->items + rows->n;

	if (!room(rows))
		return false;
	*to = *ch;
	to->id = kept(rows->c, ch->id);
	to->payment_intent = kept(rows->c, ch->payment_intent);
	to->payment_method = kept(rows->c, ch->payment_method);
	to->card = kept(rows->c, ch->card);
	to->failure_code = kept(rows->c, ch->failure_code);
	to->decline_code = kept(rows->c, ch->decline_code);
	to->failure_message = kept(rows->c, ch->failure_message);
	rows->n++;
	return true;
}

bool api_charge_list(struct sim_call *c)
{
	struct rows rows = {.c = c};
	struct page page;
	struct str after;
	struct charge charge;
	struct jw w;

	if (!param_page(c, &page, &after) || !param_str(c, "payment_intent", false, 100, &page.payment_intent) ||
	    !params_end(c))
		return false;
	if (after.p) {
		if (!store_charge_get(c->sim->store, c->arena, after, &charge))
			return no_cursor(c, "charge", after);
		page.before_seq = charge.seq;
	}
	rows.limit = page.limit++;
	rows.items = arena_array(c->arena, struct charge, (size_t)rows.limit);
	store_charge_list(c->sim->store, &page, keep_charge, &rows);
	list_open(c, &w);
	for (int64_t i = 0; i < rows.n; i++)
		if (!write_charge(c, &w, (struct charge *)rows.items + i))
			return false;
	return list_close(&w, rows.more, "/v1/charges");
}

bool api_method_get(struct sim_call *c)
{
	const struct card *card = card_find(c->id);
	struct method m;
	struct jw w;

	if (!params_end(c))
		return false;
	if (card)
		m = (struct method){c->id, c->now_us, c->id};
	else if (!store_method_get(c->sim->store, c->arena, c->id, &m))
		return refuse_missing(c, "PaymentMethod", c->id, "payment_method");
	jw_init(&w, &c->out);
	object_method(&w, &m);
	return jw_done(&w);
}

bool api_event_get(struct sim_call *c)
{
	struct sim_event e;
	struct jw w;

	if (!params_end(c))
		return false;
	if (!store_event_get(c->sim->store, c->arena, c->id, &e))
		return refuse_missing(c, "event", c->id, "id");
	jw_init(&w, &c->out);
	object_event(&w, &e, 0);
	return jw_done(&w);
}

struct event_walk {
	struct rows rows;
	struct jw *w;
};

static bool list_event(void *arg, struct sim_event *e)
{
	struct event_walk *walk = arg;

	if (!room(&walk->rows))
		return false;
	object_event(walk->w, e, 0);
	walk->rows.n++;
	return true;
}

bool api_event_list(struct sim_call *c)
{
	struct jw w;
	struct event_walk walk = {.w = &w};
	struct page page;
	struct str after;
	struct sim_event e;

	if (!param_page(c, &page, &after) || !param_str(c, "type", false, 100, &page.type) || !params_end(c))
		return false;
	if (after.p) {
		if (!store_event_get(c->sim->store, c->arena, after, &e))
			return no_cursor(c, "event", after);
		page.before_seq = e.seq;
	}
	walk.rows.limit = page.limit++;
	list_open(c, &w);
	store_event_list(c->sim->store, &page, list_event, &walk);
	return list_close(&w, walk.rows.more, "/v1/events");
}
