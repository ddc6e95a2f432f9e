/*
 * PostgreSQL on the loop: libpq in pipeline mode, everything binary, every statement prepared once per connection.
 *
 *   struct pg            a process's connections to one database: some shared (many single statements pipelined on one),
 *                        some exclusive (one transaction at a time), some private to a caller that must not wait behind
 *                        strangers (the lock batcher)
 *   struct pg_query      one statement, its own sync, its own implicit transaction
 *   struct pg_tx         BEGIN, statements, COMMIT on an exclusive connection (the two of them left out when the commit is
 *                        asked for before anything was sent). Statements are sent as they are added; the
 *                        commit may be added before their answers are in (one round trip for everything), or later.
 *
 * An error inside a unit aborts that unit only: nothing of two callers ever shares a sync.
 *
 *   connection: DOWN -> CONNECTING -> PREPARING -> READY -> (error, no progress) -> DOWN, again after a backoff
 *
 * Outcomes are kept apart, because "not known" is an answer of its own:
 *   PG_OK           done (and durable, for a commit)
 *   PG_ERROR        the server refused; nothing of the unit took effect; sqlstate says why
 *   PG_NOT_SENT     no connection, or the deadline passed while it waited its turn: nothing happened
 *   PG_UNKNOWN      sent, and the connection or the deadline was lost before the answer: it may have happened
 */
#ifndef IO_PG_H
#define IO_PG_H

#include "base/arena.h"
#include "base/ids.h"
#include "io/loop.h"

struct pg;
struct pg_query;
struct pg_tx;
struct pg_result;

/* A file sql/NAME.sql, made into this at build time (script/embed.py). Parameters are typed by casts in the text
 * ($1::uuid), so that what is prepared and what is sent agree. */
struct pg_stmt {
	const char *name, *sql;
	int n_params;
};

struct pg_config {
	const char *url;	 /* libpq URI or key=value string */
	const char *application; /* application_name */
	int shared, exclusive;	 /* connections */
	int64_t connect_timeout_ms;
	int64_t statement_timeout_ms, lock_timeout_ms; /* set on every connection */
	const struct pg_stmt *const *const
		*statements;			     /* lists (each ended by NULL) ended by NULL: prepared at connect */
	void (*on_state)(void *arg, bool any_ready); /* may be NULL */
	void *arg;
};

struct pg *pg_new(struct loop *loop, const struct pg_config *config);
void pg_free(struct pg *pg); /* open work is dropped without callback */
bool pg_ready(const struct pg *pg);
const char *pg_last_error(const struct pg *pg);
/* "<system identifier>:<timeline>" of the server last connected to, "" before: a change means another history. */
const char *pg_timeline(const struct pg *pg);
/* When the server last refused a statement because its disk is full (SQLSTATE 53100), in the loop's time; 0: never. */
int64_t pg_disk_full_us(const struct pg *pg);
void pg_stats(const struct pg *pg, uint64_t *ret_round_trips, uint64_t *ret_total_us, size_t *ret_waiting);

enum pg_status { PG_OK, PG_ERROR, PG_NOT_SENT, PG_UNKNOWN };

struct pg_answer {
	enum pg_status status;
	const struct pg_result *result; /* PG_OK of a statement: its rows, valid during the callback */
	char sqlstate[6];		/* PG_ERROR, else "" */
	char constraint[64];		/* of a violation, else "" */
	const char *message;		/* never NULL; one line, without values of rows */
};
typedef void pg_fn(void *arg, const struct pg_answer *answer);
/* 40001, 40P01, 55P03, 57014, 53xxx, 57Pxx: the same request may succeed when repeated. */
bool pg_error_is_transient(const struct pg_answer *answer);

/* ---- parameters: made in an arena, only read by start/exec, which copy them ---- */
struct pg_args {
	struct arena *arena;
	int n;
	const char *values[40];
	int lengths[40];
	unsigned oids[40];
};
void pg_args_init(struct pg_args *a, struct arena *arena);
void pg_arg_null(struct pg_args *a);
void pg_arg_uuid(struct pg_args *a, const struct uuid *v); /* NULL: SQL null */
void pg_arg_i16(struct pg_args *a, int16_t v);
void pg_arg_i32(struct pg_args *a, int32_t v);
void pg_arg_i64(struct pg_args *a, int64_t v);
void pg_arg_bool(struct pg_args *a, bool v);
void pg_arg_real(struct pg_args *a, double v);
void pg_arg_text(struct pg_args *a, struct str v);
void pg_arg_bytes(struct pg_args *a, struct str v); /* bytea */
void pg_arg_json(struct pg_args *a, struct str v);  /* jsonb from text */
void pg_arg_time(struct pg_args *a, int64_t us);    /* timestamptz; TIME_INFINITY: 'infinity' */
void pg_arg_interval_us(struct pg_args *a, int64_t us);
void pg_arg_uuids(struct pg_args *a, const struct uuid *v, size_t n);
void pg_arg_bools(struct pg_args *a, const bool *v, size_t n);
void pg_arg_i16s(struct pg_args *a, const int16_t *v, size_t n);
void pg_arg_i32s(struct pg_args *a, const int32_t *v, size_t n);
void pg_arg_i64s(struct pg_args *a, const int64_t *v, size_t n);
void pg_arg_times(struct pg_args *a, const int64_t *us, size_t n); /* timestamptz[], as pg_arg_time */
void pg_arg_texts(struct pg_args *a, const struct str *v, size_t n);
void pg_arg_bytess(struct pg_args *a, const struct str *v, size_t n); /* bytea[] */

/* ---- results: a wrong column type is a bug and aborts ---- */
int pg_rows(const struct pg_result *r);
int64_t pg_affected(const struct pg_result *r); /* of INSERT, UPDATE, DELETE without RETURNING */
bool pg_is_null(const struct pg_result *r, int row, int col);
struct uuid pg_get_uuid(const struct pg_result *r, int row, int col);
int64_t pg_get_int(const struct pg_result *r, int row, int col); /* int2, int4, int8 */
bool pg_get_bool(const struct pg_result *r, int row, int col);
double pg_get_real(const struct pg_result *r, int row, int col);
struct str pg_get_text(const struct pg_result *r, int row, int col);  /* text, varchar, char, name; NUL-terminated */
struct str pg_get_bytes(const struct pg_result *r, int row, int col); /* bytea */
struct str pg_get_json(const struct pg_result *r, int row, int col);  /* json, jsonb as text */
int64_t pg_get_time(const struct pg_result *r, int row, int col);     /* us since 1970; TIME_INFINITY */
/* Arrays without nulls, one dimension; copied into the arena. Returns the count. */
size_t pg_get_ints(const struct pg_result *r, int row, int col, struct arena *arena, int64_t **ret); /* int2/4/8[] */
size_t pg_get_uuids(const struct pg_result *r, int row, int col, struct arena *arena, struct uuid **ret);
size_t pg_get_texts(const struct pg_result *r, int row, int col, struct arena *arena, struct str **ret);

/* ---- one statement ---- */
/* deadline_ms from now. fn runs exactly once unless cancelled, never before this returns. */
struct pg_query *pg_query_start(struct pg *pg, const struct pg_stmt *stmt, const struct pg_args *args,
				int64_t deadline_ms, pg_fn *fn, void *arg);
void pg_query_cancel(struct pg_query *q); /* fn will not run; what was sent still takes effect */

/* ---- a transaction ---- */
/* Waits for an exclusive connection when none is free. lane NULL, or a private connection. deadline_ms covers it all. */
struct pg_lane; /* a private connection of its own */
struct pg_lane *pg_lane_new(struct pg *pg);
void pg_lane_free(struct pg_lane *lane);
bool pg_lane_ready(const struct pg_lane *lane);

/* One statement on the lane, in its own implicit transaction: two statements fewer than BEGIN and COMMIT around it, with the same
 * outcomes. false: the lane is not free now; nothing was done (a transaction would wait for it). */
bool pg_lane_query_start(struct pg_lane *lane, const struct pg_stmt *stmt, const struct pg_args *args,
			 int64_t deadline_ms, pg_fn *fn, void *arg);

struct pg_tx *pg_tx_start(struct pg *pg, struct pg_lane *lane, int64_t deadline_ms);
/* fn per statement, in order. After the first failure every later statement and the commit are answered with that same
 * failure. fn may be NULL. */
void pg_tx_exec(struct pg_tx *tx, const struct pg_stmt *stmt, const struct pg_args *args, pg_fn *fn, void *arg);
/* The end: fn tells what became of the whole. The tx must not be used after this call. Statements answered with PG_OK
 * are true only if this says PG_OK. */
void pg_tx_commit(struct pg_tx *tx, pg_fn *fn, void *arg);
/* The end without effect: callbacks still out are not called; fn (may be NULL) when the connection is clean again. */
void pg_tx_rollback(struct pg_tx *tx, loop_fn *fn, void *arg);

#endif
