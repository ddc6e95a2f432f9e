/* What is only read: charges, payment methods, disputes, events. */
#include "paysim/sim.h"

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

	if (!rows_room(rows))
		return false;
	*to = *ch;
	to->id = rows_kept(rows->c, ch->id);
	to->payment_intent = rows_kept(rows->c, ch->payment_intent);
	to->payment_method = rows_kept(rows->c, ch->payment_method);
	to->card = rows_kept(rows->c, ch->card);
	to->failure_code = rows_kept(rows->c, ch->failure_code);
	to->decline_code = rows_kept(rows->c, ch->decline_code);
	to->failure_message = rows_kept(rows->c, ch->failure_message);
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

bool api_dispute_get(struct sim_call *c)
{
	struct dispute d;
	struct jw w;

	if (!params_end(c))
		return false;
	if (!store_dispute_get(c->sim->store, c->arena, c->id, &d))
		return refuse_missing(c, "dispute", c->id, "id");
	jw_init(&w, &c->out);
	object_dispute(&w, &d);
	return jw_done(&w);
}

struct object_walk {
	struct rows rows;
	struct jw *w;
};

static bool list_dispute(void *arg, struct dispute *d)
{
	struct object_walk *walk = arg;

	if (!rows_room(&walk->rows))
		return false;
	object_dispute(walk->w, d);
	walk->rows.n++;
	return true;
}

bool api_dispute_list(struct sim_call *c)
{
	struct jw w;
	struct object_walk walk = {.w = &w};
	struct page page;
	struct str after;
	struct dispute d;

	if (!param_page(c, &page, &after) || !param_str(c, "payment_intent", false, 100, &page.payment_intent) ||
	    !param_str(c, "charge", false, 100, &page.charge) || !params_end(c))
		return false;
	if (after.p) {
		if (!store_dispute_get(c->sim->store, c->arena, after, &d))
			return no_cursor(c, "dispute", after);
		page.before_seq = d.seq;
	}
	walk.rows.limit = page.limit++;
	list_open(c, &w);
	store_dispute_list(c->sim->store, &page, list_dispute, &walk);
	return list_close(&w, walk.rows.more, "/v1/disputes");
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
	object_event(&w, &e);
	return jw_done(&w);
}

static bool list_event(void *arg, struct sim_event *e)
{
	struct object_walk *walk = arg;

	if (!rows_room(&walk->rows))
		return false;
	object_event(walk->w, e);
	walk->rows.n++;
	return true;
}

bool api_event_list(struct sim_call *c)
{
	struct jw w;
	struct object_walk walk = {.w = &w};
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
