/* Between store.c and store_rows.c only. */
#ifndef PAYSIM_STORE_INT_H
#define PAYSIM_STORE_INT_H

#include "paysim/store.h"

#include <sqlite3.h>

enum statement {
#define X(name) S_##name,
#include "paysim/statements.def"
#undef X
	STATEMENT_COUNT,
};

struct store {
	sqlite3 *db;
	sqlite3_stmt *st[STATEMENT_COUNT];
	bool in_tx, failed;
	char error[200];
};

/* Reset, nothing bound. */
sqlite3_stmt *store_use(struct store *s, enum statement which);
/* Texts are bound without a copy: they outlive the step. An absent one stays NULL. */
void store_bind(sqlite3_stmt *st, int i, struct str v);
void store_bind_time(sqlite3_stmt *st, int i, int64_t us); /* 0: NULL */
/* A statement that answers no rows. */
bool store_run(struct store *s, sqlite3_stmt *st);
/* true: a row is there. The caller resets. */
bool store_row(struct store *s, sqlite3_stmt *st);
/* a NULL: the text stays SQLite's, good until the next step. */
struct str store_column(sqlite3_stmt *st, struct arena *a, int i);
void store_read_event(sqlite3_stmt *st, struct arena *a, void *ret); /* a struct sim_event */

#endif
