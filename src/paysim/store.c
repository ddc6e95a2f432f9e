/*
 * See store.h. Every statement is a file in sql/, prepared at open, so that a mistake in one stops the start.
 */
#include "paysim/store.h"

#include "base/xmalloc.h"
#include "paysim_sql.h"

#include <assert.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATEMENTS(X) \
	X(intent_insert) X(intent_update) X(intent_get) X(intent_list) X(intent_expired) \
	X(charge_insert) X(charge_get) X(charge_list) X(method_insert) X(method_get) \
	X(refund_insert) X(refund_get) X(refund_list) X(event_insert) X(event_get) X(event_list) \
	X(answer_insert) X(answer_get) X(answer_purge) X(setting_get) X(setting_set) \
	X(tx_begin) X(tx_commit) X(tx_rollback) X(tx_save) X(tx_save_release) X(tx_save_rollback)

enum statement {
#define X(name) S_##name,
	STATEMENTS(X)
#undef X
	STATEMENT_COUNT,
};

static const struct embedded_file *const texts[STATEMENT_COUNT] = {
#define X(name) &paysim_##name##_sql,
	STATEMENTS(X)
#undef X
};

enum { SCHEMA_VERSION = 1 };

struct store {
	sqlite3 *db;
	sqlite3_stmt *st[STATEMENT_COUNT];
	bool in_tx, failed;
	char error[200];
};

static void fail(struct store *s)
{
	if (!s->failed)
		snprintf(s->error, sizeof(s->error), "%s", sqlite3_errmsg(s->db));
	s->failed = true;
}

static sqlite3_stmt *use(struct store *s, enum statement which)
{
	sqlite3_reset(s->st[which]);
	sqlite3_clear_bindings(s->st[which]);
	return s->st[which];
}

/* Texts are bound without a copy: they outlive the step. */
static void bind_str(sqlite3_stmt *st, int i, struct str v)
{
	if (v.p)
		sqlite3_bind_text64(st, i, v.p, v.n, SQLITE_STATIC, SQLITE_UTF8);
}

static void bind_time(sqlite3_stmt *st, int i, int64_t us)
{
	if (us)
		sqlite3_bind_int64(st, i, us);
}

/* A statement that answers no rows. */
static bool run(struct store *s, sqlite3_stmt *st)
{
	bool ok = !s->failed && sqlite3_step(st) == SQLITE_DONE;

	if (!ok)
		fail(s);
	sqlite3_reset(st);
	return ok;
}

/* true: a row is there. The caller resets. */
static bool row(struct store *s, sqlite3_stmt *st)
{
	int rc = s->failed ? SQLITE_ERROR : sqlite3_step(st);

	if (rc == SQLITE_ROW)
		return true;
	if (rc != SQLITE_DONE)
		fail(s);
	return false;
}

/* a NULL: the text stays SQLite's, good until the next step. */
static struct str column(sqlite3_stmt *st, struct arena *a, int i)
{
	struct str v = {(const char *)sqlite3_column_text(st, i), (size_t)sqlite3_column_bytes(st, i)};

	if (!v.p)
		return STR_NULL;
	return a ? (struct str){arena_cstr(a, v), v.n} : v;
}

static bool prepare_all(struct store *s)
{
	for (int i = 0; i < STATEMENT_COUNT; i++)
		if (sqlite3_prepare_v3(s->db, texts[i]->bytes, (int)texts[i]->size, SQLITE_PREPARE_PERSISTENT, &s->st[i],
				       NULL) != SQLITE_OK)
			return false;
	return true;
}

static int64_t pragma_int(struct store *s, const char *sql)
{
	sqlite3_stmt *st = NULL;
	int64_t v = -1;

	if (sqlite3_prepare_v2(s->db, sql, -1, &st, NULL) == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW)
		v = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return v;
}

static bool schema(struct store *s, const char **ret_error)
{
	char *sql;
	int64_t version;
	bool ok;

	/* exclusive: another process on the same ledger is refused at once instead of interleaved */
	if (sqlite3_exec(s->db, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; "
				"PRAGMA wal_autocheckpoint = 4000; PRAGMA cache_size = -16384;", NULL, NULL, NULL) ||
	    sqlite3_exec(s->db, "BEGIN IMMEDIATE", NULL, NULL, NULL)) {
		*ret_error = sqlite3_errcode(s->db) == SQLITE_BUSY ? "another process uses this ledger" : sqlite3_errmsg(s->db);
		return false;
	}
	version = pragma_int(s, "PRAGMA user_version");
	if (version != 0 && version != SCHEMA_VERSION) {
		*ret_error = "the ledger was made by another version of the simulator";
		return false;
	}
	sql = xstrndup(paysim_schema_sql.bytes, paysim_schema_sql.size);
	ok = sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK &&
	     sqlite3_exec(s->db, "PRAGMA user_version = 1; COMMIT", NULL, NULL, NULL) == SQLITE_OK;
	free(sql);
	if (!ok)
		*ret_error = sqlite3_errmsg(s->db);
	return ok;
}

struct store *store_open(const char *path, const char **ret_error)
{
	struct store *s = xcalloc(1, sizeof(*s));
	static_assert(SCHEMA_VERSION == 1, "the statement in schema() says it too");

	*ret_error = "the ledger cannot be opened";
	if (sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL) ==
		    SQLITE_OK &&
	    schema(s, ret_error)) {
		if (prepare_all(s))
			return s;
		*ret_error = sqlite3_errmsg(s->db);
	}
	/* the message is copied out of the connection that ends here */
	*ret_error = sqlite3_mprintf("%s", *ret_error);
	store_close(s);
	return NULL;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	for (int i = 0; i < STATEMENT_COUNT; i++)
		sqlite3_finalize(s->st[i]);
	sqlite3_close(s->db);
	free(s);
}

bool store_failed(const struct store *s)
{
	return s->failed;
}

const char *store_error(const struct store *s)
{
	return s->error;
}

bool store_in_tx(const struct store *s)
{
	return s->in_tx;
}

bool store_begin(struct store *s)
{
	assert(!s->in_tx);
	s->failed = false;
	s->in_tx = run(s, use(s, S_tx_begin));
	return s->in_tx;
}

bool store_commit(struct store *s)
{
	assert(s->in_tx);
	if (!run(s, use(s, S_tx_commit))) {
		store_rollback(s);
		return false;
	}
	s->in_tx = false;
	return true;
}

void store_rollback(struct store *s)
{
	/* some errors (disk full) have rolled back already */
	if (!sqlite3_get_autocommit(s->db))
		sqlite3_step(use(s, S_tx_rollback));
	sqlite3_reset(s->st[S_tx_rollback]);
	s->in_tx = false;
	s->failed = false;
}

bool store_save(struct store *s)
{
	return run(s, use(s, S_tx_save));
}

void store_save_end(struct store *s, bool keep)
{
	if (!keep) {
		s->failed = false;
		run(s, use(s, S_tx_save_rollback));
	}
	run(s, use(s, S_tx_save_release));
}

static void read_intent(sqlite3_stmt *st, struct arena *a, struct intent *pi)
{
	const char *currency = (const char *)sqlite3_column_text(st, 6);
	char upper[4] = {0};

	memset(pi, 0, sizeof(*pi));
	pi->seq = sqlite3_column_int64(st, 0);
	pi->id = column(st, a, 1);
	pi->created_us = sqlite3_column_int64(st, 2);
	/* what is in the file was written by this program: anything else is corruption */
	if (!intent_status_parse(column(st, NULL, 3), &pi->state.status))
		abort();
	pi->stored_status = pi->state.status;
	pi->state.manual_capture = sqlite3_column_int(st, 4) != 0;
	pi->redirects = column(st, a, 5);
	for (int i = 0; i < 3 && currency[i]; i++)
		upper[i] = (char)(currency[i] - 'a' + 'A');
	pi->state.currency = currency_find(str_from(upper));
	if (!pi->state.currency)
		abort();
	pi->state.amount = sqlite3_column_int64(st, 7);
	pi->state.amount_capturable = sqlite3_column_int64(st, 8);
	pi->state.amount_received = sqlite3_column_int64(st, 9);
	pi->state.amount_refunded = sqlite3_column_int64(st, 10);
	pi->payment_method = column(st, a, 11);
	pi->latest_charge = column(st, a, 12);
	pi->client_secret = column(st, a, 13);
	pi->return_url = column(st, a, 14);
	pi->action_key = column(st, a, 15);
	pi->description = column(st, a, 16);
	pi->metadata = column(st, a, 17);
	pi->last_payment_error = column(st, a, 18);
	pi->cancellation_reason = column(st, a, 19);
	pi->canceled_us = sqlite3_column_int64(st, 20);
	pi->authorised_us = sqlite3_column_int64(st, 21);
}

void store_intent_insert(struct store *s, const struct intent *pi)
{
	sqlite3_stmt *st = use(s, S_intent_insert);
	char currency[4];

	for (int i = 0; i < 4; i++)
		currency[i] = pi->state.currency->code[i] ? (char)(pi->state.currency->code[i] - 'A' + 'a') : '\0';
	bind_str(st, 1, pi->id);
	sqlite3_bind_int64(st, 2, pi->created_us);
	bind_str(st, 3, str_from(intent_status_name(pi->state.status)));
	sqlite3_bind_int(st, 4, pi->state.manual_capture);
	bind_str(st, 5, pi->redirects);
	bind_str(st, 6, str_from(currency));
	sqlite3_bind_int64(st, 7, pi->state.amount);
	sqlite3_bind_int64(st, 8, pi->state.amount_capturable);
	sqlite3_bind_int64(st, 9, pi->state.amount_received);
	sqlite3_bind_int64(st, 10, pi->state.amount_refunded);
	bind_str(st, 11, pi->payment_method);
	bind_str(st, 12, pi->latest_charge);
	bind_str(st, 13, pi->client_secret);
	bind_str(st, 14, pi->return_url);
	bind_str(st, 15, pi->action_key);
	bind_str(st, 16, pi->description);
	bind_str(st, 17, pi->metadata);
	bind_str(st, 18, pi->last_payment_error);
	bind_str(st, 19, pi->cancellation_reason);
	bind_time(st, 20, pi->canceled_us);
	bind_time(st, 21, pi->authorised_us);
	run(s, st);
}

void store_intent_update(struct store *s, const struct intent *pi)
{
	sqlite3_stmt *st = use(s, S_intent_update);

	bind_str(st, 1, pi->id);
	bind_str(st, 2, str_from(intent_status_name(pi->state.status)));
	sqlite3_bind_int64(st, 3, pi->state.amount_capturable);
	sqlite3_bind_int64(st, 4, pi->state.amount_received);
	sqlite3_bind_int64(st, 5, pi->state.amount_refunded);
	bind_str(st, 6, pi->payment_method);
	bind_str(st, 7, pi->latest_charge);
	bind_str(st, 8, pi->return_url);
	bind_str(st, 9, pi->action_key);
	bind_str(st, 10, pi->description);
	bind_str(st, 11, pi->metadata);
	bind_str(st, 12, pi->last_payment_error);
	bind_str(st, 13, pi->cancellation_reason);
	bind_str(st, 14, str_from(intent_status_name(pi->stored_status)));
	bind_time(st, 15, pi->canceled_us);
	bind_time(st, 16, pi->authorised_us);
	if (run(s, st) && sqlite3_changes(s->db) != 1) {
		snprintf(s->error, sizeof(s->error), "an intent was changed under its status");
		s->failed = true;
	}
}

bool store_intent_get(struct store *s, struct arena *a, struct str id, struct intent *ret)
{
	sqlite3_stmt *st = use(s, S_intent_get);
	bool found;

	bind_str(st, 1, id);
	found = row(s, st);
	if (found)
		read_intent(st, a, ret);
	sqlite3_reset(st);
	return found;
}

static sqlite3_stmt *use_page(struct store *s, enum statement which, const struct page *p)
{
	sqlite3_stmt *st = use(s, which);

	sqlite3_bind_int64(st, 1, p->before_seq);
	sqlite3_bind_int64(st, 2, p->from_us);
	sqlite3_bind_int64(st, 3, p->before_us);
	sqlite3_bind_int64(st, 4, p->limit);
	return st;
}

void store_intent_list(struct store *s, const struct page *p, intent_fn *fn, void *arg)
{
	sqlite3_stmt *st = use_page(s, S_intent_list, p);
	struct intent pi;

	while (row(s, st)) {
		read_intent(st, NULL, &pi);
		if (!fn(arg, &pi))
			break;
	}
	sqlite3_reset(st);
}

void store_intent_expired(struct store *s, struct arena *a, int64_t before_us, struct intent *ret, size_t max,
			  size_t *ret_n)
{
	sqlite3_stmt *st = use(s, S_intent_expired);

	sqlite3_bind_int64(st, 1, before_us);
	*ret_n = 0;
	while (*ret_n < max && row(s, st))
		read_intent(st, a, &ret[(*ret_n)++]);
	sqlite3_reset(st);
}

static void read_charge(sqlite3_stmt *st, struct arena *a, struct charge *c)
{
	c->seq = sqlite3_column_int64(st, 0);
	c->id = column(st, a, 1);
	c->created_us = sqlite3_column_int64(st, 2);
	c->payment_intent = column(st, a, 3);
	c->amount = sqlite3_column_int64(st, 4);
	c->payment_method = column(st, a, 5);
	c->card = column(st, a, 6);
	c->challenged = sqlite3_column_int(st, 7) != 0;
	c->failure_code = column(st, a, 8);
	c->decline_code = column(st, a, 9);
	c->failure_message = column(st, a, 10);
}

void store_charge_insert(struct store *s, const struct charge *c)
{
	sqlite3_stmt *st = use(s, S_charge_insert);

	bind_str(st, 1, c->id);
	sqlite3_bind_int64(st, 2, c->created_us);
	bind_str(st, 3, c->payment_intent);
	sqlite3_bind_int64(st, 4, c->amount);
	bind_str(st, 5, c->payment_method);
	bind_str(st, 6, c->card);
	sqlite3_bind_int(st, 7, c->challenged);
	bind_str(st, 8, c->failure_code);
	bind_str(st, 9, c->decline_code);
	bind_str(st, 10, c->failure_message);
	run(s, st);
}

bool store_charge_get(struct store *s, struct arena *a, struct str id, struct charge *ret)
{
	sqlite3_stmt *st = use(s, S_charge_get);
	bool found;

	bind_str(st, 1, id);
	found = row(s, st);
	if (found)
		read_charge(st, a, ret);
	sqlite3_reset(st);
	return found;
}

void store_charge_list(struct store *s, const struct page *p, charge_fn *fn, void *arg)
{
	sqlite3_stmt *st = use_page(s, S_charge_list, p);
	struct charge c;

	bind_str(st, 5, p->payment_intent);
	while (row(s, st)) {
		read_charge(st, NULL, &c);
		if (!fn(arg, &c))
			break;
	}
	sqlite3_reset(st);
}

void store_method_insert(struct store *s, const struct method *m)
{
	sqlite3_stmt *st = use(s, S_method_insert);

	bind_str(st, 1, m->id);
	sqlite3_bind_int64(st, 2, m->created_us);
	bind_str(st, 3, m->card);
	run(s, st);
}

bool store_method_get(struct store *s, struct arena *a, struct str id, struct method *ret)
{
	sqlite3_stmt *st = use(s, S_method_get);
	bool found;

	bind_str(st, 1, id);
	found = row(s, st);
	if (found)
		*ret = (struct method){column(st, a, 0), sqlite3_column_int64(st, 1), column(st, a, 2)};
	sqlite3_reset(st);
	return found;
}

static void read_refund(sqlite3_stmt *st, struct arena *a, struct refund *r)
{
	r->seq = sqlite3_column_int64(st, 0);
	r->id = column(st, a, 1);
	r->created_us = sqlite3_column_int64(st, 2);
	r->payment_intent = column(st, a, 3);
	r->charge = column(st, a, 4);
	r->currency = column(st, a, 5);
	r->amount = sqlite3_column_int64(st, 6);
	r->status = column(st, a, 7);
	r->failure_reason = column(st, a, 8);
	r->reason = column(st, a, 9);
	r->metadata = column(st, a, 10);
}

void store_refund_insert(struct store *s, const struct refund *r)
{
	sqlite3_stmt *st = use(s, S_refund_insert);

	bind_str(st, 1, r->id);
	sqlite3_bind_int64(st, 2, r->created_us);
	bind_str(st, 3, r->payment_intent);
	bind_str(st, 4, r->charge);
	bind_str(st, 5, r->currency);
	sqlite3_bind_int64(st, 6, r->amount);
	bind_str(st, 7, r->status);
	bind_str(st, 8, r->failure_reason);
	bind_str(st, 9, r->reason);
	bind_str(st, 10, r->metadata);
	run(s, st);
}

bool store_refund_get(struct store *s, struct arena *a, struct str id, struct refund *ret)
{
	sqlite3_stmt *st = use(s, S_refund_get);
	bool found;

	bind_str(st, 1, id);
	found = row(s, st);
	if (found)
		read_refund(st, a, ret);
	sqlite3_reset(st);
	return found;
}

void store_refund_list(struct store *s, const struct page *p, refund_fn *fn, void *arg)
{
	sqlite3_stmt *st = use_page(s, S_refund_list, p);
	struct refund r;

	bind_str(st, 5, p->payment_intent);
	bind_str(st, 6, p->charge);
	while (row(s, st)) {
		read_refund(st, NULL, &r);
		if (!fn(arg, &r))
			break;
	}
	sqlite3_reset(st);
}

static void read_event(sqlite3_stmt *st, struct arena *a, struct sim_event *e)
{
	e->seq = sqlite3_column_int64(st, 0);
	e->id = column(st, a, 1);
	e->created_us = sqlite3_column_int64(st, 2);
	e->type = column(st, a, 3);
	e->object = column(st, a, 4);
	e->request_id = column(st, a, 5);
	e->idempotency_key = column(st, a, 6);
}

void store_event_insert(struct store *s, const struct sim_event *e)
{
	sqlite3_stmt *st = use(s, S_event_insert);

	bind_str(st, 1, e->id);
	sqlite3_bind_int64(st, 2, e->created_us);
	bind_str(st, 3, e->type);
	bind_str(st, 4, e->object);
	bind_str(st, 5, e->request_id);
	bind_str(st, 6, e->idempotency_key);
	run(s, st);
}

bool store_event_get(struct store *s, struct arena *a, struct str id, struct sim_event *ret)
{
	sqlite3_stmt *st = use(s, S_event_get);
	bool found;

	bind_str(st, 1, id);
	found = row(s, st);
	if (found)
		read_event(st, a, ret);
	sqlite3_reset(st);
	return found;
}

void store_event_list(struct store *s, const struct page *p, event_fn *fn, void *arg)
{
	sqlite3_stmt *st = use_page(s, S_event_list, p);
	struct sim_event e;

	bind_str(st, 5, p->type);
	while (row(s, st)) {
		read_event(st, NULL, &e);
		if (!fn(arg, &e))
			break;
	}
	sqlite3_reset(st);
}

void store_answer_insert(struct store *s, struct str key, int64_t now_us, const struct stored_answer *answer)
{
	sqlite3_stmt *st = use(s, S_answer_insert);

	bind_str(st, 1, key);
	sqlite3_bind_int64(st, 2, now_us);
	bind_str(st, 3, answer->path);
	sqlite3_bind_blob64(st, 4, answer->params_hash.p, answer->params_hash.n, SQLITE_STATIC);
	sqlite3_bind_int(st, 5, answer->status);
	bind_str(st, 6, answer->body);
	bind_str(st, 7, answer->request_id);
	run(s, st);
}

bool store_answer_get(struct store *s, struct arena *a, struct str key, int64_t not_before_us, struct stored_answer *ret)
{
	sqlite3_stmt *st = use(s, S_answer_get);
	bool found;

	bind_str(st, 1, key);
	sqlite3_bind_int64(st, 2, not_before_us);
	found = row(s, st);
	if (found) {
		struct str hash = {sqlite3_column_blob(st, 1), (size_t)sqlite3_column_bytes(st, 1)};

		*ret = (struct stored_answer){column(st, a, 0), arena_str(a, hash), sqlite3_column_int(st, 2),
					      column(st, a, 3), column(st, a, 4)};
	}
	sqlite3_reset(st);
	return found;
}

int store_answer_purge(struct store *s, int64_t before_us)
{
	sqlite3_stmt *st = use(s, S_answer_purge);

	sqlite3_bind_int64(st, 1, before_us);
	return run(s, st) ? sqlite3_changes(s->db) : 0;
}

int64_t store_setting(struct store *s, const char *name, int64_t absent)
{
	sqlite3_stmt *st = use(s, S_setting_get);
	int64_t v = absent;

	bind_str(st, 1, str_from(name));
	if (row(s, st))
		v = sqlite3_column_int64(st, 0);
	sqlite3_reset(st);
	return v;
}

void store_set_setting(struct store *s, const char *name, int64_t value)
{
	sqlite3_stmt *st = use(s, S_setting_set);

	bind_str(st, 1, str_from(name));
	sqlite3_bind_int64(st, 2, value);
	run(s, st);
}
