/* The gateway's objects in the ledger: one reader and one writer per table; see store.h. */
#include "paysim/store_int.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what all tables share ---- */

/* A row of st into the struct of its table; see store_column for the arena. */
typedef void read_fn(sqlite3_stmt *st, struct arena *a, void *ret);

/* A struct's members in the order of the columns. The first, the row's number, is the table's to give; what is written is
 * bound by the same places. */
struct column {
	enum { NUMBER, FLAG, TEXT } kind;
	size_t at;
};
#define COLUMN(kind, type, member) \
	{ \
		kind, offsetof(struct type, member) \
	}
#define N_COLUMNS(table) ((int)(sizeof(table) / sizeof((table)[0])))

static void read_columns(sqlite3_stmt *st, struct arena *a, const struct column *columns, int n, void *ret)
{
	for (int i = 0; i < n; i++) {
		char *to = (char *)ret + columns[i].at;

		switch (columns[i].kind) {
		case NUMBER:
			*(int64_t *)to = sqlite3_column_int64(st, i);
			break;
		case FLAG:
			*(bool *)to = sqlite3_column_int(st, i) != 0;
			break;
		case TEXT:
			*(struct str *)to = store_column(st, a, i);
			break;
		}
	}
}

static void insert_columns(struct store *s, enum statement which, const struct column *columns, int n, const void *row)
{
	sqlite3_stmt *st = store_use(s, which);

	for (int i = 1; i < n; i++) {
		const char *from = (const char *)row + columns[i].at;

		switch (columns[i].kind) {
		case NUMBER:
			sqlite3_bind_int64(st, i, *(const int64_t *)from);
			break;
		case FLAG:
			sqlite3_bind_int(st, i, *(const bool *)from);
			break;
		case TEXT:
			store_bind(st, i, *(const struct str *)from);
			break;
		}
	}
	store_run(s, st);
}

static bool next_row(struct store *s, sqlite3_stmt *st, read_fn *read, void *ret)
{
	if (!store_row(s, st))
		return false;
	read(st, NULL, ret);
	return true;
}

static bool get_row(struct store *s, enum statement which, struct arena *a, struct str id, read_fn *read, void *ret)
{
	sqlite3_stmt *st = store_use(s, which);
	bool found;

	store_bind(st, 1, id);
	found = store_row(s, st);
	if (found)
		read(st, a, ret);
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

/* ---- intents: what is in them is ours to translate ---- */

static void read_intent(sqlite3_stmt *st, struct arena *a, void *ret)
{
	struct intent *pi = ret;
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
	return get_row(s, S_intent_get, a, id, read_intent, ret);
}

void store_intent_list(struct store *s, const struct page *p, intent_fn *fn, void *arg)
{
	sqlite3_stmt *st = store_use_page(s, S_intent_list, p);
	struct intent pi;

	while (next_row(s, st, read_intent, &pi) && fn(arg, &pi))
		;
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

/* ---- charges ---- */

static const struct column charge_columns[] = {
	COLUMN(NUMBER, charge, seq),	      COLUMN(TEXT, charge, id),
	COLUMN(NUMBER, charge, created_us),   COLUMN(TEXT, charge, payment_intent),
	COLUMN(NUMBER, charge, amount),	      COLUMN(TEXT, charge, payment_method),
	COLUMN(TEXT, charge, card),	      COLUMN(FLAG, charge, challenged),
	COLUMN(TEXT, charge, failure_code),   COLUMN(TEXT, charge, decline_code),
	COLUMN(TEXT, charge, failure_message)};

static void read_charge(sqlite3_stmt *st, struct arena *a, void *ret)
{
	struct charge *c = ret;

	read_columns(st, a, charge_columns, N_COLUMNS(charge_columns), c);
	c->disputed =
		(enum charge_dispute)sqlite3_column_int(st, N_COLUMNS(charge_columns)); /* made out of the disputes */
}

void store_charge_insert(struct store *s, const struct charge *c)
{
	insert_columns(s, S_charge_insert, charge_columns, N_COLUMNS(charge_columns), c);
}

bool store_charge_get(struct store *s, struct arena *a, struct str id, struct charge *ret)
{
	return get_row(s, S_charge_get, a, id, read_charge, ret);
}

void store_charge_list(struct store *s, const struct page *p, charge_fn *fn, void *arg)
{
	sqlite3_stmt *st = store_use_page(s, S_charge_list, p);
	struct charge c;

	store_bind(st, 5, p->payment_intent);
	while (next_row(s, st, read_charge, &c) && fn(arg, &c))
		;
	sqlite3_reset(st);
}

/* ---- payment methods ---- */

static void read_method(sqlite3_stmt *st, struct arena *a, void *ret)
{
	*(struct method *)ret =
		(struct method){store_column(st, a, 0), sqlite3_column_int64(st, 1), store_column(st, a, 2)};
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
	return get_row(s, S_method_get, a, id, read_method, ret);
}

/* ---- refunds ---- */

static const struct column refund_columns[] = {
	COLUMN(NUMBER, refund, seq),	      COLUMN(TEXT, refund, id),	     COLUMN(NUMBER, refund, created_us),
	COLUMN(TEXT, refund, payment_intent), COLUMN(TEXT, refund, charge),  COLUMN(TEXT, refund, currency),
	COLUMN(NUMBER, refund, amount),	      COLUMN(TEXT, refund, status),  COLUMN(TEXT, refund, failure_reason),
	COLUMN(TEXT, refund, reason),	      COLUMN(TEXT, refund, metadata)};

static void read_refund(sqlite3_stmt *st, struct arena *a, void *ret)
{
	struct refund *r = ret;

	read_columns(st, a, refund_columns, N_COLUMNS(refund_columns), r);
	r->stored_status = r->status;
}

void store_refund_insert(struct store *s, const struct refund *r)
{
	insert_columns(s, S_refund_insert, refund_columns, N_COLUMNS(refund_columns), r);
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
	return get_row(s, S_refund_get, a, id, read_refund, ret);
}

void store_refund_list(struct store *s, const struct page *p, refund_fn *fn, void *arg)
{
	sqlite3_stmt *st = store_use_page(s, S_refund_list, p);
	struct refund r;

	store_bind(st, 5, p->payment_intent);
	store_bind(st, 6, p->charge);
	while (next_row(s, st, read_refund, &r) && fn(arg, &r))
		;
	sqlite3_reset(st);
}

/* ---- disputes ---- */

static const struct column dispute_columns[] = {COLUMN(NUMBER, dispute, seq),	       COLUMN(TEXT, dispute, id),
						COLUMN(NUMBER, dispute, created_us),   COLUMN(TEXT, dispute, charge),
						COLUMN(TEXT, dispute, payment_intent), COLUMN(TEXT, dispute, currency),
						COLUMN(NUMBER, dispute, amount),       COLUMN(TEXT, dispute, reason),
						COLUMN(FLAG, dispute, inquiry),	       COLUMN(TEXT, dispute, card)};

static void read_dispute(sqlite3_stmt *st, struct arena *a, void *ret)
{
	read_columns(st, a, dispute_columns, N_COLUMNS(dispute_columns), ret);
}

void store_dispute_insert(struct store *s, const struct dispute *d)
{
	insert_columns(s, S_dispute_insert, dispute_columns, N_COLUMNS(dispute_columns), d);
}

bool store_dispute_get(struct store *s, struct arena *a, struct str id, struct dispute *ret)
{
	return get_row(s, S_dispute_get, a, id, read_dispute, ret);
}

void store_dispute_list(struct store *s, const struct page *p, dispute_fn *fn, void *arg)
{
	sqlite3_stmt *st = store_use_page(s, S_dispute_list, p);
	struct dispute d;

	store_bind(st, 5, p->payment_intent);
	store_bind(st, 6, p->charge);
	while (next_row(s, st, read_dispute, &d) && fn(arg, &d))
		;
	sqlite3_reset(st);
}

/* ---- events ---- */

static const struct column event_columns[] = {
	COLUMN(NUMBER, sim_event, seq),		 COLUMN(TEXT, sim_event, id),	  COLUMN(NUMBER, sim_event, created_us),
	COLUMN(TEXT, sim_event, type),		 COLUMN(TEXT, sim_event, object), COLUMN(TEXT, sim_event, request_id),
	COLUMN(TEXT, sim_event, idempotency_key)};

void store_read_event(sqlite3_stmt *st, struct arena *a, void *ret)
{
	struct sim_event *e = ret;

	read_columns(st, a, event_columns, N_COLUMNS(event_columns), e);
	e->pending = sqlite3_column_int64(st, N_COLUMNS(event_columns)); /* counted */
}

void store_event_insert(struct store *s, const struct sim_event *e)
{
	insert_columns(s, S_event_insert, event_columns, N_COLUMNS(event_columns), e);
}

bool store_event_get(struct store *s, struct arena *a, struct str id, struct sim_event *ret)
{
	return get_row(s, S_event_get, a, id, store_read_event, ret);
}

void store_event_list(struct store *s, const struct page *p, event_fn *fn, void *arg)
{
	sqlite3_stmt *st = store_use_page(s, S_event_list, p);
	struct sim_event e;

	store_bind(st, 5, p->type);
	while (next_row(s, st, store_read_event, &e) && fn(arg, &e))
		;
	sqlite3_reset(st);
}
