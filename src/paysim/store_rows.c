/* The gateway's objects in the ledger: one reader and one writer per table; see store.h. */
#include "paysim/store_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void read_intent(sqlite3_stmt *st, struct arena *a, struct intent *pi)
{
	const char *currency = (const char *)sqlite3_column_text(st, 6);
	char upper[4] = {0};

	memset(pi, 0, sizeof(*pi));
	pi->seq = sqlite3_column_int64(st, 0);
	pi->id = store_column(st, a, 1);
	pi->created_us = sqlite3_column_int64(st, 2);
	/* what is in the file was written by this program: anything else is corruption */
	if (!intent_status_parse(store_column(st, NULL, 3), &pi->state.status))
		abort();
	pi->stored_status = pi->state.status;
	pi->state.manual_capture = sqlite3_column_int(st, 4) != 0;
	pi->redirects = store_column(st, a, 5);
	for (int i = 0; i < 3 && currency[i]; i++)
		upper[i] = (char)(currency[i] - 'a' + 'A');
	pi->state.currency = currency_find(str_from(upper));
	if (!pi->state.currency)
		abort();
	pi->state.amount = sqlite3_column_int64(st, 7);
	pi->state.amount_capturable = sqlite3_column_int64(st, 8);
	pi->state.amount_received = sqlite3_column_int64(st, 9);
	pi->state.amount_refunded = sqlite3_column_int64(st, 10);
	pi->payment_method = store_column(st, a, 11);
	pi->latest_charge = store_column(st, a, 12);
	pi->client_secret = store_column(st, a, 13);
	pi->return_url = store_column(st, a, 14);
	pi->action_key = store_column(st, a, 15);
	pi->description = store_column(st, a, 16);
	pi->metadata = store_column(st, a, 17);
	pi->last_payment_error = store_column(st, a, 18);
	pi->cancellation_reason = store_column(st, a, 19);
	pi->canceled_us = sqlite3_column_int64(st, 20);
	pi->authorised_us = sqlite3_column_int64(st, 21);
}

void store_intent_insert(struct store *s, const struct intent *pi)
{
	sqlite3_stmt *st = store_use(s, S_intent_insert);
	char currency[4];

	for (int i = 0; i < 4; i++)
		currency[i] = pi->state.currency->code[i] ? (char)(pi->state.currency->code[i] - 'A' + 'a') : '\0';
	store_bind(st, 1, pi->id);
	sqlite3_bind_int64(st, 2, pi->created_us);
	store_bind(st, 3, str_from(intent_status_name(pi->state.status)));
	sqlite3_bind_int(st, 4, pi->state.manual_capture);
	store_bind(st, 5, pi->redirects);
	store_bind(st, 6, str_from(currency));
	sqlite3_bind_int64(st, 7, pi->state.amount);
	sqlite3_bind_int64(st, 8, pi->state.amount_capturable);
	sqlite3_bind_int64(st, 9, pi->state.amount_received);
	sqlite3_bind_int64(st, 10, pi->state.amount_refunded);
	store_bind(st, 11, pi->payment_method);
	store_bind(st, 12, pi->latest_charge);
	store_bind(st, 13, pi->client_secret);
	store_bind(st, 14, pi->return_url);
	store_bind(st, 15, pi->action_key);
	store_bind(st, 16, pi->description);
	store_bind(st, 17, pi->metadata);
	store_bind(st, 18, pi->last_payment_error);
	store_bind(st, 19, pi->cancellation_reason);
	store_bind_time(st, 20, pi->canceled_us);
	store_bind_time(st, 21, pi->authorised_us);
	store_run(s, st);
}

void store_intent_update(struct store *s, const struct intent *pi)
{
	sqlite3_stmt *st = store_use(s, S_intent_update);

	store_bind(st, 1, pi->id);
	store_bind(st, 2, str_from(intent_status_name(pi->state.status)));
	sqlite3_bind_int64(st, 3, pi->state.amount_capturable);
	sqlite3_bind_int64(st, 4, pi->state.amount_received);
	sqlite3_bind_int64(st, 5, pi->state.amount_refunded);
	store_bind(st, 6, pi->payment_method);
	store_bind(st, 7, pi->latest_charge);
	store_bind(st, 8, pi->return_url);
	store_bind(st, 9, pi->action_key);
	store_bind(st, 10, pi->description);
	store_bind(st, 11, pi->metadata);
	store_bind(st, 12, pi->last_payment_error);
	store_bind(st, 13, pi->cancellation_reason);
	store_bind(st, 14, str_from(intent_status_name(pi->stored_status)));
	store_bind_time(st, 15, pi->canceled_us);
	store_bind_time(st, 16, pi->authorised_us);
	if (store_run(s, st) && sqlite3_changes(s->db) != 1) {
		snprintf(s->error, sizeof(s->error), "an intent was changed under its status");
		s->failed = true;
	}
}

bool store_intent_get(struct store *s, struct arena *a, struct str id, struct intent *ret)
{
	sqlite3_stmt *st = store_use(s, S_intent_get);
	bool found;

	store_bind(st, 1, id);
	found = store_row(s, st);
	if (found)
		read_intent(st, a, ret);
	sqlite3_reset(st);
	return found;
}

static sqlite3_stmt *store_use_page(struct store *s, enum statement which, const struct page *p)
{
	sqlite3_stmt *st = store_use(s, which);

	sqlite3_bind_int64(st, 1, p->before_seq);
	sqlite3_bind_int64(st, 2, p->from_us);
	sqlite3_bind_int64(st, 3, p->before_us);
	sqlite3_bind_int64(st, 4, p->limit);
	return st;
}

void store_intent_list(struct store *s, const struct page *p, intent_fn *fn, void *arg)
{
	sqlite3_stmt *st = store_use_page(s, S_intent_list, p);
	struct intent pi;

	while (store_row(s, st)) {
		read_intent(st, NULL, &pi);
		if (!fn(arg, &pi))
			break;
	}
	sqlite3_reset(st);
}

void store_intent_expired(struct store *s, struct arena *a, int64_t before_us, struct intent *ret, size_t max,
			  size_t *ret_n)
{
	sqlite3_stmt *st = store_use(s, S_intent_expired);

	sqlite3_bind_int64(st, 1, before_us);
	*ret_n = 0;
	while (*ret_n < max && store_row(s, st))
		read_intent(st, a, &ret[(*ret_n)++]);
	sqlite3_reset(st);
}

static void read_charge(sqlite3_stmt *st, struct arena *a, struct charge *c)
{
	c->seq = sqlite3_column_int64(st, 0);
	c->id = store_column(st, a, 1);
	c->created_us = sqlite3_column_int64(st, 2);
	c->payment_intent = store_column(st, a, 3);
	c->amount = sqlite3_column_int64(st, 4);
	c->payment_method = store_column(st, a, 5);
	c->card = store_column(st, a, 6);
	c->challenged = sqlite3_column_int(st, 7) != 0;
	c->failure_code = store_column(st, a, 8);
	c->decline_code = store_column(st, a, 9);
	c->failure_message = store_column(st, a, 10);
	c->disputed = (enum charge_dispute)sqlite3_column_int(st, 11);
}

void store_charge_insert(struct store *s, const struct charge *c)
{
	sqlite3_stmt *st = store_use(s, S_charge_insert);

	store_bind(st, 1, c->id);
	sqlite3_bind_int64(st, 2, c->created_us);
	store_bind(st, 3, c->payment_intent);
	sqlite3_bind_int64(st, 4, c->amount);
	store_bind(st, 5, c->payment_method);
	store_bind(st, 6, c->card);
	sqlite3_bind_int(st, 7, c->challenged);
	store_bind(st, 8, c->failure_code);
	store_bind(st, 9, c->decline_code);
	store_bind(st, 10, c->failure_message);
	store_run(s, st);
}

bool store_charge_get(struct store *s, struct arena *a, struct str id, struct charge *ret)
{
	sqlite3_stmt *st = store_use(s, S_charge_get);
	bool found;

	store_bind(st, 1, id);
	found = store_row(s, st);
	if (found)
		read_charge(st, a, ret);
	sqlite3_reset(st);
	return found;
}

void store_charge_list(struct store *s, const struct page *p, charge_fn *fn, void *arg)
{
	sqlite3_stmt *st = store_use_page(s, S_charge_list, p);
	struct charge c;

	store_bind(st, 5, p->payment_intent);
	while (store_row(s, st)) {
		read_charge(st, NULL, &c);
		if (!fn(arg, &c))
			break;
	}
	sqlite3_reset(st);
}

void store_method_insert(struct store *s, const struct method *m)
{
	sqlite3_stmt *st = store_use(s, S_method_insert);

	store_bind(st, 1, m->id);
	sqlite3_bind_int64(st, 2, m->created_us);
	store_bind(st, 3, m->card);
	store_run(s, st);
}

bool store_method_get(struct store *s, struct arena *a, struct str id, struct method *ret)
{
	sqlite3_stmt *st = store_use(s, S_method_get);
	bool found;

	store_bind(st, 1, id);
	found = store_row(s, st);
	if (found)
		*ret = (struct method){store_column(st, a, 0), sqlite3_column_int64(st, 1), store_column(st, a, 2)};
	sqlite3_reset(st);
	return found;
}

static void read_refund(sqlite3_stmt *st, struct arena *a, struct refund *r)
{
	r->seq = sqlite3_column_int64(st, 0);
	r->id = store_column(st, a, 1);
	r->created_us = sqlite3_column_int64(st, 2);
	r->payment_intent = store_column(st, a, 3);
	r->charge = store_column(st, a, 4);
	r->currency = store_column(st, a, 5);
	r->amount = sqlite3_column_int64(st, 6);
	r->status = store_column(st, a, 7);
	r->failure_reason = store_column(st, a, 8);
	r->reason = store_column(st, a, 9);
	r->metadata = store_column(st, a, 10);
	r->stored_status = r->status;
}

void store_refund_insert(struct store *s, const struct refund *r)
{
	sqlite3_stmt *st = store_use(s, S_refund_insert);

	store_bind(st, 1, r->id);
	sqlite3_bind_int64(st, 2, r->created_us);
	store_bind(st, 3, r->payment_intent);
	store_bind(st, 4, r->charge);
	store_bind(st, 5, r->currency);
	sqlite3_bind_int64(st, 6, r->amount);
	store_bind(st, 7, r->status);
	store_bind(st, 8, r->failure_reason);
	store_bind(st, 9, r->reason);
	store_bind(st, 10, r->metadata);
	store_run(s, st);
}

void store_refund_update(struct store *s, const struct refund *r)
{
	sqlite3_stmt *st = store_use(s, S_refund_update);

	store_bind(st, 1, r->id);
	store_bind(st, 2, r->status);
	store_bind(st, 3, r->failure_reason);
	store_bind(st, 4, r->metadata);
	store_bind(st, 5, r->stored_status);
	if (store_run(s, st) && sqlite3_changes(s->db) != 1) {
		snprintf(s->error, sizeof(s->error), "a refund was changed under its status");
		s->failed = true;
	}
}

bool store_refund_get(struct store *s, struct arena *a, struct str id, struct refund *ret)
{
	sqlite3_stmt *st = store_use(s, S_refund_get);
	bool found;

	store_bind(st, 1, id);
	found = store_row(s, st);
	if (found)
		read_refund(st, a, ret);
	sqlite3_reset(st);
	return found;
}

void store_refund_list(struct store *s, const struct page *p, refund_fn *fn, void *arg)
{
	sqlite3_stmt *st = store_use_page(s, S_refund_list, p);
	struct refund r;

	store_bind(st, 5, p->payment_intent);
	store_bind(st, 6, p->charge);
	while (store_row(s, st)) {
		read_refund(st, NULL, &r);
		if (!fn(arg, &r))
			break;
	}
	sqlite3_reset(st);
}

static void read_dispute(sqlite3_stmt *st, struct arena *a, struct dispute *d)
{
	d->seq = sqlite3_column_int64(st, 0);
	d->id = store_column(st, a, 1);
	d->created_us = sqlite3_column_int64(st, 2);
	d->charge = store_column(st, a, 3);
	d->payment_intent = store_column(st, a, 4);
	d->currency = store_column(st, a, 5);
	d->amount = sqlite3_column_int64(st, 6);
	d->reason = store_column(st, a, 7);
	d->inquiry = sqlite3_column_int(st, 8) != 0;
	d->card = store_column(st, a, 9);
}

void store_dispute_insert(struct store *s, const struct dispute *d)
{
	sqlite3_stmt *st = store_use(s, S_dispute_insert);

	store_bind(st, 1, d->id);
	sqlite3_bind_int64(st, 2, d->created_us);
	store_bind(st, 3, d->charge);
	store_bind(st, 4, d->payment_intent);
	store_bind(st, 5, d->currency);
	sqlite3_bind_int64(st, 6, d->amount);
	store_bind(st, 7, d->reason);
	sqlite3_bind_int(st, 8, d->inquiry);
	store_bind(st, 9, d->card);
	store_run(s, st);
}

bool store_dispute_get(struct store *s, struct arena *a, struct str id, struct dispute *ret)
{
	sqlite3_stmt *st = store_use(s, S_dispute_get);
	bool found;

	store_bind(st, 1, id);
	found = store_row(s, st);
	if (found)
		read_dispute(st, a, ret);
	sqlite3_reset(st);
	return found;
}

void store_dispute_list(struct store *s, const struct page *p, dispute_fn *fn, void *arg)
{
	sqlite3_stmt *st = store_use_page(s, S_dispute_list, p);
	struct dispute d;

	store_bind(st, 5, p->payment_intent);
	store_bind(st, 6, p->charge);
	while (store_row(s, st)) {
		read_dispute(st, NULL, &d);
		if (!fn(arg, &d))
			break;
	}
	sqlite3_reset(st);
}

void store_read_event(sqlite3_stmt *st, struct arena *a, struct sim_event *e)
{
	e->seq = sqlite3_column_int64(st, 0);
	e->id = store_column(st, a, 1);
	e->created_us = sqlite3_column_int64(st, 2);
	e->type = store_column(st, a, 3);
	e->object = store_column(st, a, 4);
	e->request_id = store_column(st, a, 5);
	e->idempotency_key = store_column(st, a, 6);
	e->pending = sqlite3_column_int64(st, 7);
}

void store_event_insert(struct store *s, const struct sim_event *e)
{
	sqlite3_stmt *st = store_use(s, S_event_insert);

	store_bind(st, 1, e->id);
	sqlite3_bind_int64(st, 2, e->created_us);
	store_bind(st, 3, e->type);
	store_bind(st, 4, e->object);
	store_bind(st, 5, e->request_id);
	store_bind(st, 6, e->idempotency_key);
	store_run(s, st);
}

bool store_event_get(struct store *s, struct arena *a, struct str id, struct sim_event *ret)
{
	sqlite3_stmt *st = store_use(s, S_event_get);
	bool found;

	store_bind(st, 1, id);
	found = store_row(s, st);
	if (found)
		store_read_event(st, a, ret);
	sqlite3_reset(st);
	return found;
}

void store_event_list(struct store *s, const struct page *p, event_fn *fn, void *arg)
{
	sqlite3_stmt *st = store_use_page(s, S_event_list, p);
	struct sim_event e;

	store_bind(st, 5, p->type);
	while (store_row(s, st)) {
		store_read_event(st, NULL, &e);
		if (!fn(arg, &e))
			break;
	}
	sqlite3_reset(st);
}
