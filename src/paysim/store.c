/*
 * The ledger's file, its transactions, and what is not an object of the gateway: kept answers, deliveries, settings.
 * Every statement is a file in sql/, prepared at open, so that a mistake in one stops the start.
 */
#include "paysim/store_int.h"

#include "base/xmalloc.h"
#include "paysim_sql.h"

#include <assert.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct embedded_file *const texts[STATEMENT_COUNT] = {
#define X(name) &paysim_##name##_sql,
#include "paysim/statements.def"
#undef X
};

enum { SCHEMA_VERSION = 1 };

static void fail(struct store *s)
{
	if (!s->failed)
		snprintf(s->error, sizeof(s->error), "%s", sqlite3_errmsg(s->db));
	s->failed = true;
}

sqlite3_stmt *store_use(struct store *s, enum statement which)
{
	sqlite3_reset(s->st[which]);
	sqlite3_clear_bindings(s->st[which]);
	return s->st[which];
}

void store_bind(sqlite3_stmt *st, int i, struct str v)
{
	if (v.p)
		sqlite3_bind_text64(st, i, v.p, v.n, SQLITE_STATIC, SQLITE_UTF8);
}

void store_bind_time(sqlite3_stmt *st, int i, int64_t us)
{
	if (us)
		sqlite3_bind_int64(st, i, us);
}

bool store_run(struct store *s, sqlite3_stmt *st)
{
	bool ok = !s->failed && sqlite3_step(st) == SQLITE_DONE;

	if (!ok)
		fail(s);
	sqlite3_reset(st);
	return ok;
}

bool store_row(struct store *s, sqlite3_stmt *st)
{
	int rc = s->failed ? SQLITE_ERROR : sqlite3_step(st);

	if (rc == SQLITE_ROW)
		return true;
	if (rc != SQLITE_DONE)
		fail(s);
	return false;
}

struct str store_column(sqlite3_stmt *st, struct arena *a, int i)
{
	struct str v = {(const char *)sqlite3_column_text(st, i), (size_t)sqlite3_column_bytes(st, i)};

	if (!v.p)
		return STR_NULL;
	return a ? (struct str){arena_cstr(a, v), v.n} : v;
}

static bool prepare_all(struct store *s)
{
	for (int i = 0; i < STATEMENT_COUNT; i++)
		if (sqlite3_prepare_v3(s->db, texts[i]->bytes, (int)texts[i]->size, SQLITE_PREPARE_PERSISTENT,
				       &s->st[i], NULL) != SQLITE_OK)
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
	if (sqlite3_exec(s->db,
			 "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; "
			 "PRAGMA wal_autocheckpoint = 4000; PRAGMA cache_size = -16384;",
			 NULL, NULL, NULL) ||
	    sqlite3_exec(s->db, "BEGIN IMMEDIATE", NULL, NULL, NULL)) {
		*ret_error = sqlite3_errcode(s->db) == SQLITE_BUSY ? "another process uses this ledger"
								   : sqlite3_errmsg(s->db);
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
	s->in_tx = store_run(s, store_use(s, S_tx_begin));
	return s->in_tx;
}

bool store_commit(struct store *s)
{
	assert(s->in_tx);
	if (!store_run(s, store_use(s, S_tx_commit))) {
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
		sqlite3_step(store_use(s, S_tx_rollback));
	sqlite3_reset(s->st[S_tx_rollback]);
	s->in_tx = false;
	s->failed = false;
}

bool store_save(struct store *s)
{
	return store_run(s, store_use(s, S_tx_save));
}

void store_save_end(struct store *s, bool keep)
{
	if (!keep) {
		s->failed = false;
		store_run(s, store_use(s, S_tx_save_rollback));
	}
	store_run(s, store_use(s, S_tx_save_release));
}

int64_t store_delivery_insert(struct store *s, int64_t copies, int64_t due_us)
{
	sqlite3_stmt *st = store_use(s, S_delivery_insert);
	int64_t event_seq = sqlite3_last_insert_rowid(s->db);

	sqlite3_bind_int64(st, 1, event_seq);
	sqlite3_bind_int64(st, 2, copies);
	sqlite3_bind_int64(st, 3, due_us);
	store_run(s, st);
	return event_seq;
}

bool store_delivery_release(struct store *s, int64_t event_seq, int64_t due_us)
{
	sqlite3_stmt *st = store_use(s, S_delivery_release);

	sqlite3_bind_int64(st, 1, event_seq);
	sqlite3_bind_int64(st, 2, due_us);
	return store_run(s, st) && sqlite3_changes(s->db) == 1;
}

void store_delivery_pending(struct store *s, delivery_fn *fn, void *arg)
{
	sqlite3_stmt *st = store_use(s, S_delivery_pending);
	struct sim_event e;

	while (store_row(s, st)) {
		store_read_event(st, NULL, &e);
		if (!fn(arg, &e, sqlite3_column_int64(st, 8), sqlite3_column_int64(st, 9)))
			break;
	}
	sqlite3_reset(st);
}

size_t store_delivery_due(struct store *s, struct arena *a, int64_t now_us, struct sim_event *ret,
			  int64_t *ret_attempts, size_t max)
{
	sqlite3_stmt *st = store_use(s, S_delivery_due);
	size_t n = 0;

	sqlite3_bind_int64(st, 1, now_us);
	sqlite3_bind_int64(st, 2, (int64_t)max);
	while (n < max && store_row(s, st)) {
		store_read_event(st, a, &ret[n]);
		ret_attempts[n++] = sqlite3_column_int64(st, 8);
	}
	sqlite3_reset(st);
	return n;
}

void store_delivery_later(struct store *s, int64_t event_seq, int64_t attempts, int64_t due_us)
{
	sqlite3_stmt *st = store_use(s, S_delivery_later);

	sqlite3_bind_int64(st, 1, event_seq);
	sqlite3_bind_int64(st, 2, attempts);
	sqlite3_bind_int64(st, 3, due_us);
	store_run(s, st);
}

static void delivery_drop(struct store *s, int64_t event_seq, int64_t copies)
{
	sqlite3_stmt *st = store_use(s, S_delivery_drop);

	sqlite3_bind_int64(st, 1, event_seq);
	sqlite3_bind_int64(st, 2, copies);
	store_run(s, st);
}

void store_delivery_done(struct store *s, int64_t event_seq, int64_t now_us)
{
	sqlite3_stmt *st = store_use(s, S_delivery_done);

	sqlite3_bind_int64(st, 1, event_seq);
	sqlite3_bind_int64(st, 2, now_us);
	store_run(s, st);
	delivery_drop(s, event_seq, 0);
}

void store_delivery_give_up(struct store *s, int64_t event_seq)
{
	delivery_drop(s, event_seq, INT64_MAX);
}

void store_later_insert(struct store *s, const char *kind, struct str subject, int64_t due_us)
{
	sqlite3_stmt *st = store_use(s, S_later_insert);

	sqlite3_bind_int64(st, 1, due_us);
	store_bind(st, 2, str_from(kind));
	store_bind(st, 3, subject);
	store_run(s, st);
}

size_t store_later_due(struct store *s, struct arena *a, int64_t now_us, struct later_step *ret, size_t max)
{
	sqlite3_stmt *st = store_use(s, S_later_due);
	size_t n = 0;

	sqlite3_bind_int64(st, 1, now_us);
	sqlite3_bind_int64(st, 2, (int64_t)max);
	while (n < max && store_row(s, st))
		ret[n++] = (struct later_step){sqlite3_column_int64(st, 0), store_column(st, a, 1),
					       store_column(st, a, 2)};
	sqlite3_reset(st);
	return n;
}

void store_later_done(struct store *s, int64_t seq)
{
	sqlite3_stmt *st = store_use(s, S_later_done);

	sqlite3_bind_int64(st, 1, seq);
	store_run(s, st);
}

void store_answer_insert(struct store *s, struct str key, int64_t now_us, const struct stored_answer *answer)
{
	sqlite3_stmt *st = store_use(s, S_answer_insert);

	store_bind(st, 1, key);
	sqlite3_bind_int64(st, 2, now_us);
	store_bind(st, 3, answer->path);
	sqlite3_bind_blob64(st, 4, answer->params_hash.p, answer->params_hash.n, SQLITE_STATIC);
	sqlite3_bind_int(st, 5, answer->status);
	store_bind(st, 6, answer->body);
	store_bind(st, 7, answer->request_id);
	store_run(s, st);
}

bool store_answer_get(struct store *s, struct arena *a, struct str key, int64_t not_before_us,
		      struct stored_answer *ret)
{
	sqlite3_stmt *st = store_use(s, S_answer_get);
	bool found;

	store_bind(st, 1, key);
	sqlite3_bind_int64(st, 2, not_before_us);
	found = store_row(s, st);
	if (found) {
		struct str hash = {sqlite3_column_blob(st, 1), (size_t)sqlite3_column_bytes(st, 1)};

		*ret = (struct stored_answer){store_column(st, a, 0), arena_str(a, hash), sqlite3_column_int(st, 2),
					      store_column(st, a, 3), store_column(st, a, 4)};
	}
	sqlite3_reset(st);
	return found;
}

int store_answer_purge(struct store *s, int64_t before_us)
{
	sqlite3_stmt *st = store_use(s, S_answer_purge);

	sqlite3_bind_int64(st, 1, before_us);
	return store_run(s, st) ? sqlite3_changes(s->db) : 0;
}

int64_t store_setting(struct store *s, const char *name, int64_t absent)
{
	sqlite3_stmt *st = store_use(s, S_setting_get);
	int64_t v = absent;

	store_bind(st, 1, str_from(name));
	if (store_row(s, st))
		v = sqlite3_column_int64(st, 0);
	sqlite3_reset(st);
	return v;
}

void store_set_setting(struct store *s, const char *name, int64_t value)
{
	sqlite3_stmt *st = store_use(s, S_setting_set);

	store_bind(st, 1, str_from(name));
	sqlite3_bind_int64(st, 2, value);
	store_run(s, st);
}
