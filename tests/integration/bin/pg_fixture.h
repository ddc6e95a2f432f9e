/*
 * What test_pg*.c share: the statements, a fixture with every connection up, and a record of what became of an operation.
 *
 * The test around them (test_io_pg.py) gives PG_URL; PG_PROXY_URL goes through a proxy that can be asked to hold back
 * what the server says. What is done to the server and looked up beside pg goes by ask_test: kill, start, restart,
 * pause, go_on, swallow, let_pass, cut, hold ID, let_go, `sql TEXT`, `is TEXT` and `until TEXT` (must give t).
 */
#ifndef PG_FIXTURE_H
#define PG_FIXTURE_H

#include "base/times.h"
#include "io/pg.h"

#include "loop_test.h"

#include <math.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define STMT(id, n, text) static const struct pg_stmt id = {#id, text, n}
STMT(s_one, 1, "SELECT $1::int4");
STMT(s_divide, 1, "SELECT 1 / $1::int4");
STMT(s_insert, 2, "INSERT INTO item (id, name) VALUES ($1::int4, $2::text)");
STMT(s_update, 2, "UPDATE item SET name = $2::text WHERE id >= $1::int4");
STMT(s_count, 1, "SELECT count(*) FROM item WHERE id = $1::int4");
STMT(s_lock, 1, "SELECT id FROM item WHERE id = $1::int4 FOR UPDATE");
STMT(s_sleep, 1, "SELECT 1 FROM pg_sleep($1::float8)");
STMT(s_child, 2, "INSERT INTO child (id, parent) VALUES ($1::int4, $2::int4)");
STMT(s_star, 0, "SELECT * FROM changing");
STMT(s_to_int, 1, "SELECT $1::text::int4");
STMT(s_terminate, 0, "SELECT pg_terminate_backend(pg_backend_pid())");
STMT(s_forget, 0, "DEALLOCATE ALL");
STMT(s_commit, 0, "COMMIT");
STMT(s_settings, 0,
     "SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) FROM pg_settings WHERE name IN ('application_name',"
     "'client_encoding','idle_in_transaction_session_timeout','lock_timeout','plan_cache_mode','statement_timeout',"
     "'TimeZone')");
STMT(s_types, 21,
     "SELECT $1::uuid, $2::int2, $3::int4, $4::int8, $5::bool, $6::float8, $7::text, $8::bytea, $9::jsonb,"
     " $10::timestamptz, $11::timestamptz, $12::timestamptz, extract(epoch FROM $13::interval)::float8, $14::uuid[],"
     " $15::int2[], $16::int4[], $17::int8[], $18::text[], array_to_string($19::bytea[], ','), $20::uuid IS NULL,"
     " $21::text, 'abc'::varchar, 'x'::\"char\", 'n'::name, 1.5::float4, '{\"a\":1}'::json, null::int4, "
     "'green'::colour");

static const struct pg_stmt *const all[] = {&s_one,    &s_divide,   &s_insert, &s_update, &s_count,	&s_lock,
					    &s_sleep,  &s_child,    &s_star,   &s_to_int, &s_terminate, &s_forget,
					    &s_commit, &s_settings, &s_types,  NULL};
static const struct pg_stmt *const *const lists[] = {all, all, NULL}; /* twice: one may stand in two lists */

struct fixture {
	struct loop *loop;
	struct pg *pg;
	struct arena arena;
	struct pg_config config;
	int ups, downs;
	uint64_t trips; /* made before the case began */
};

/* What became of one operation. */
struct got {
	int calls, place;
	int *counter;
	enum pg_status status;
	char sqlstate[6], constraint[64], message[256];
	bool transient;
	int rows;
	int64_t n, affected;
};

static inline void on_state(void *arg, bool ready)
{
	struct fixture *f = arg;

	f->ups += ready;
	f->downs += !ready;
}

static inline void got_fn(void *arg, const struct pg_answer *a)
{
	struct got *g = arg;

	g->calls++;
	if (g->counter)
		g->place = ++*g->counter;
	g->status = a->status;
	memcpy(g->sqlstate, a->sqlstate, sizeof(g->sqlstate));
	memcpy(g->constraint, a->constraint, sizeof(g->constraint));
	snprintf(g->message, sizeof(g->message), "%s", a->message);
	g->transient = pg_error_is_transient(a);
	if (a->status != PG_OK)
		assert_null(a->result);
	if (a->result) {
		g->rows = pg_rows(a->result);
		g->affected = pg_affected(a->result);
		/* of the one-column statements; the sleeper's is 1 */
		g->n = g->rows ? pg_get_int(a->result, 0, 0) : -1;
	}
}

static inline void rolled_back(void *arg)
{
	struct got *g = arg;

	g->calls++;
	if (g->counter)
		g->place = ++*g->counter;
}

static inline bool was_called(void *arg)
{
	return ((struct got *)arg)->calls > 0;
}

static inline bool is_ready(void *arg)
{
	return pg_ready(((struct fixture *)arg)->pg);
}

static inline bool is_down(void *arg)
{
	return !pg_ready(((struct fixture *)arg)->pg);
}

static inline bool has_error(void *arg)
{
	return *pg_last_error(((struct fixture *)arg)->pg) != '\0';
}

static inline void start_with(struct fixture *f, int shared, int exclusive, const char *url_name)
{
	memset(f, 0, sizeof(*f));
	f->loop = loop_new();
	arena_init(&f->arena);
	f->config = (struct pg_config){.url = getenv(url_name),
				       .application = "test_pg",
				       .shared = shared,
				       .exclusive = exclusive,
				       .connect_timeout_ms = 2000,
				       .statement_timeout_ms = 5000,
				       .lock_timeout_ms = 300,
				       .statements = lists,
				       .on_state = on_state,
				       .arg = f};
	assert_non_null(f->config.url);
}

static inline void finish(struct fixture *f)
{
	pg_free(f->pg);
	arena_done(&f->arena);
	loop_free(f->loop);
}

static inline const struct pg_args *args_i(struct fixture *f, int v)
{
	struct pg_args *a = arena_new(&f->arena, struct pg_args);

	pg_args_init(a, &f->arena);
	pg_arg_i32(a, v);
	return a;
}

static inline const struct pg_args *args_ii(struct fixture *f, int v, int w)
{
	struct pg_args *a = arena_new(&f->arena, struct pg_args);

	pg_args_init(a, &f->arena);
	pg_arg_i32(a, v);
	pg_arg_i32(a, w);
	return a;
}

static inline const struct pg_args *args_it(struct fixture *f, int v, const char *text)
{
	struct pg_args *a = arena_new(&f->arena, struct pg_args);

	pg_args_init(a, &f->arena);
	pg_arg_i32(a, v);
	pg_arg_text(a, str_from(text));
	return a;
}

static inline const struct pg_args *args_real(struct fixture *f, double v)
{
	struct pg_args *a = arena_new(&f->arena, struct pg_args);

	pg_args_init(a, &f->arena);
	pg_arg_real(a, v);
	return a;
}

static inline struct pg_query *query(struct fixture *f, const struct pg_stmt *stmt, const struct pg_args *args,
				     struct got *g)
{
	return pg_query_start(f->pg, stmt, args, 10000, got_fn, g);
}

static inline int64_t count_of(struct fixture *f, int id)
{
	struct got g = {0};

	query(f, &s_count, args_i(f, id), &g);
	assert_int_equal(g.calls, 0);
	WAIT_UNTIL(f->loop, was_called, &g);
	assert_int_equal(g.status, PG_OK);
	return g.n;
}

static inline void open_pg(struct fixture *f)
{
	struct got held[4] = {0};
	struct pg_tx *tx[4];

	f->pg = pg_new(f->loop, &f->config);
	assert_false(pg_ready(f->pg));
	assert_string_equal(pg_timeline(f->pg), "");
	WAIT_UNTIL(f->loop, is_ready, f);
	/* one is; the cases want all */
	assert_in_range(f->config.exclusive, 0, 4);
	for (int i = 0; i < f->config.exclusive; i++) {
		tx[i] = pg_tx_start(f->pg, NULL, 20000);
		pg_tx_exec(tx[i], &s_one, args_i(f, i), got_fn, &held[i]);
		WAIT_UNTIL(f->loop, was_called, &held[i]);
	}
	for (int i = 0; i < f->config.exclusive; i++) {
		memset(&held[i], 0, sizeof(held[i]));
		pg_tx_rollback(tx[i], rolled_back, &held[i]);
		WAIT_UNTIL(f->loop, was_called, &held[i]);
	}
	if (f->config.shared)
		assert_int_equal(count_of(f, 0), 0);
	pg_stats(f->pg, &f->trips, NULL, NULL);
}

static inline void start(struct fixture *f, int shared, int exclusive)
{
	start_with(f, shared, exclusive, "PG_URL");
	open_pg(f);
}

#define ASSERT_GOT(g, want) \
	do { \
		if ((g).calls != 1 || (g).status != (want)) \
			fail_msg("%s: called %d times, status %d, %s %s", #g, (g).calls, (int)(g).status, \
				 (g).sqlstate, (g).message); \
	} while (0)

static inline bool flag(void *arg)
{
	return *(bool *)arg;
}

#define WHY(text) ((void *)(uintptr_t)(text))

static inline void never(void *arg, const struct pg_answer *a)
{
	fail_msg("called though cancelled: %s", (const char *)arg);
}

#endif
