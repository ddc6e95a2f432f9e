/*
 * io/pg against a real server, a case at a time: PG_URL; PG_PROXY_URL goes through a proxy of the test, which can be
 * asked to hold back what the server says. What is done to the server and looked up beside pg goes by ask_test:
 * kill, start, restart, pause, go_on, swallow, let_pass, cut, `sql TEXT`, `is TEXT` (a statement that must give 't').
 */
#include "base/times.h"
#include "io/pg.h"

#include "loop_test.h"

#include <math.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { N_MANY = 1000 };

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

static void on_state(void *arg, bool ready)
{
	struct fixture *f = arg;

	f->ups += ready;
	f->downs += !ready;
}

static void got_fn(void *arg, const struct pg_answer *a)
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

static void rolled_back(void *arg)
{
	struct got *g = arg;

	g->calls++;
	if (g->counter)
		g->place = ++*g->counter;
}

static bool was_called(void *arg)
{
	return ((struct got *)arg)->calls > 0;
}

static bool is_ready(void *arg)
{
	return pg_ready(((struct fixture *)arg)->pg);
}

static bool is_down(void *arg)
{
	return !pg_ready(((struct fixture *)arg)->pg);
}

static bool has_error(void *arg)
{
	return *pg_last_error(((struct fixture *)arg)->pg) != '\0';
}

static void start_with(struct fixture *f, int shared, int exclusive, const char *url_name)
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

static void finish(struct fixture *f)
{
	pg_free(f->pg);
	arena_done(&f->arena);
	loop_free(f->loop);
}

static const struct pg_args *args_i(struct fixture *f, int v)
{
	struct pg_args *a = arena_new(&f->arena, struct pg_args);

	pg_args_init(a, &f->arena);
	pg_arg_i32(a, v);
	return a;
}

static const struct pg_args *args_ii(struct fixture *f, int v, int w)
{
	struct pg_args *a = arena_new(&f->arena, struct pg_args);

	pg_args_init(a, &f->arena);
	pg_arg_i32(a, v);
	pg_arg_i32(a, w);
	return a;
}

static const struct pg_args *args_it(struct fixture *f, int v, const char *text)
{
	struct pg_args *a = arena_new(&f->arena, struct pg_args);

	pg_args_init(a, &f->arena);
	pg_arg_i32(a, v);
	pg_arg_text(a, str_from(text));
	return a;
}

static const struct pg_args *args_real(struct fixture *f, double v)
{
	struct pg_args *a = arena_new(&f->arena, struct pg_args);

	pg_args_init(a, &f->arena);
	pg_arg_real(a, v);
	return a;
}

static struct pg_query *query(struct fixture *f, const struct pg_stmt *stmt, const struct pg_args *args, struct got *g)
{
	return pg_query_start(f->pg, stmt, args, 10000, got_fn, g);
}

static int64_t count_of(struct fixture *f, int id)
{
	struct got g = {0};

	query(f, &s_count, args_i(f, id), &g);
	assert_int_equal(g.calls, 0);
	WAIT_UNTIL(f->loop, was_called, &g);
	assert_int_equal(g.status, PG_OK);
	return g.n;
}

static void open_pg(struct fixture *f)
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

static void start(struct fixture *f, int shared, int exclusive)
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

/* ---- values ---- */

struct types {
	bool done;
	struct arena arena;
};

static const struct uuid u1 = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 255}};
enum { N_BIG = 200000 };

static void types_fn(void *arg, const struct pg_answer *a)
{
	struct types *t = arg;
	const struct pg_result *r = a->result;
	struct uuid u, *us;
	struct str *texts;
	int64_t *ints;

	if (a->status != PG_OK)
		fail_msg("%s %s", a->sqlstate, a->message);
	t->done = true;
	assert_int_equal(pg_rows(r), 1);
	u = pg_get_uuid(r, 0, 0);
	assert_true(uuid_eq(&u, &u1));
	assert_int_equal(pg_get_int(r, 0, 1), INT16_MIN);
	assert_int_equal(pg_get_int(r, 0, 2), INT32_MIN);
	assert_true(pg_get_int(r, 0, 3) == INT64_MAX);
	assert_true(pg_get_bool(r, 0, 4));
	assert_true(pg_get_real(r, 0, 5) == -0.1);
	assert_true(str_eqc(pg_get_text(r, 0, 6), "gr\xc3\xbc\xc3\x9f 'x' \xf0\x9f\x8e\xad"));
	assert_true(str_eq(pg_get_bytes(r, 0, 7), STR("a\0b\xff")));
	assert_true(str_eqc(pg_get_json(r, 0, 8), "{\"k\": [1, null]}"));
	assert_true(pg_get_time(r, 0, 9) == INT64_C(1795458600123456));
	assert_true(pg_get_time(r, 0, 10) == TIME_INFINITY);
	assert_true(pg_get_time(r, 0, 11) == 0);
	assert_true(pg_get_real(r, 0, 12) == 90061.5);
	assert_int_equal(pg_get_uuids(r, 0, 13, &t->arena, &us), 2);
	assert_true(uuid_eq(&us[0], &u1) && uuid_is_zero(&us[1]));
	assert_int_equal(pg_get_ints(r, 0, 14, &t->arena, &ints), 3);
	assert_true(ints[0] == -1 && ints[1] == 0 && ints[2] == INT16_MAX);
	assert_int_equal(pg_get_ints(r, 0, 15, &t->arena, &ints), N_BIG);
	for (int i = 0; i < N_BIG; i++)
		assert_true(ints[i] == i * 7 - 5);
	assert_int_equal(pg_get_ints(r, 0, 16, &t->arena, &ints), 0);
	assert_int_equal(pg_get_texts(r, 0, 17, &t->arena, &texts), 3);
	assert_true(str_eqc(texts[0], "") && str_eqc(texts[1], "NULL") && str_eqc(texts[2], "{\",}"));
	assert_string_equal(texts[2].p, "{\",}");
	assert_true(str_eqc(pg_get_text(r, 0, 18), "\\x00ff,\\x"));
	assert_true(pg_get_bool(r, 0, 19));
	assert_true(pg_is_null(r, 0, 20) && !pg_get_text(r, 0, 20).p);
	assert_true(str_eqc(pg_get_text(r, 0, 21), "abc"));
	assert_true(str_eqc(pg_get_text(r, 0, 22), "x"));
	assert_true(str_eqc(pg_get_text(r, 0, 23), "n"));
	assert_true(pg_get_real(r, 0, 24) == 1.5);
	assert_true(str_eqc(pg_get_json(r, 0, 25), "{\"a\":1}"));
	assert_true(pg_is_null(r, 0, 26) && pg_get_int(r, 0, 26) == 0);
	assert_true(str_eqc(pg_get_text(r, 0, 27), "green"));
}

static bool types_done(void *arg)
{
	return ((struct types *)arg)->done;
}

static void values(void **state)
{
	const int16_t i16s[] = {-1, 0, INT16_MAX};
	const struct str texts[] = {STR(""), STR("NULL"), STR("{\",}")}, bytess[] = {STR("\0\xff"), STR("")};
	const struct uuid us[] = {u1, {{0}}};
	struct types t = {false};
	struct pg_args a;
	struct fixture f;
	int32_t *big;
	struct got g = {0};

	start(&f, 1, 0);
	big = arena_array(&f.arena, int32_t, N_BIG);
	for (int i = 0; i < N_BIG; i++)
		big[i] = i * 7 - 5;
	pg_args_init(&a, &f.arena);
	pg_arg_uuid(&a, &u1);
	pg_arg_i16(&a, INT16_MIN);
	pg_arg_i32(&a, INT32_MIN);
	pg_arg_i64(&a, INT64_MAX);
	pg_arg_bool(&a, true);
	pg_arg_real(&a, -0.1);
	pg_arg_text(&a, str_from("gr\xc3\xbc\xc3\x9f 'x' \xf0\x9f\x8e\xad"));
	pg_arg_bytes(&a, STR("a\0b\xff"));
	pg_arg_json(&a, STR("{\"k\":[1,null]}"));
	pg_arg_time(&a, INT64_C(1795458600123456));
	pg_arg_time(&a, TIME_INFINITY);
	pg_arg_time(&a, 0);
	pg_arg_interval_us(&a, INT64_C(90061500000));
	pg_arg_uuids(&a, us, 2);
	pg_arg_i16s(&a, i16s, 3);
	pg_arg_i32s(&a, big, N_BIG);
	pg_arg_i64s(&a, NULL, 0);
	pg_arg_texts(&a, texts, 3);
	pg_arg_bytess(&a, bytess, 2);
	pg_arg_uuid(&a, NULL);
	pg_arg_null(&a);
	arena_init(&t.arena);
	pg_query_start(f.pg, &s_types, &a, 5000, types_fn, &t);
	/* copied: what the caller had may go */
	memset(big, 0, N_BIG * sizeof(*big));
	arena_reset(&f.arena);
	WAIT_UNTIL(f.loop, types_done, &t);
	arena_done(&t.arena);

	/* what the server refuses does not say what somebody typed */
	pg_args_init(&a, &f.arena);
	pg_arg_text(&a, STR("secret"));
	query(&f, &s_to_int, &a, &g);
	WAIT_UNTIL(f.loop, was_called, &g);
	ASSERT_GOT(g, PG_ERROR);
	assert_string_equal(g.sqlstate, "22P02");
	assert_null(strstr(g.message, "secret"));
	memset(&g, 0, sizeof(g));
	pg_args_init(&a, &f.arena);
	pg_arg_text(&a, STR("a\0b"));
	query(&f, &s_to_int, &a, &g);
	WAIT_UNTIL(f.loop, was_called, &g);
	ASSERT_GOT(g, PG_ERROR);
	assert_string_equal(g.sqlstate, "22021");
	finish(&f);
}

static void settings_fn(void *arg, const struct pg_answer *a)
{
	bool *done = arg;
	struct str s;

	assert_int_equal(a->status, PG_OK);
	s = pg_get_text(a->result, 0, 0);
	assert_string_equal(s.p, "TimeZone=UTC application_name=test_pg client_encoding=UTF8"
				 " idle_in_transaction_session_timeout=10000 lock_timeout=300"
				 " plan_cache_mode=force_generic_plan statement_timeout=5000");
	*done = true;
}

static bool flag(void *arg)
{
	return *(bool *)arg;
}

static void session(void **state)
{
	struct fixture f;
	bool done = false;
	uint64_t n, us;
	size_t waiting;

	start(&f, 1, 1);
	pg_query_start(f.pg, &s_settings, NULL, 5000, settings_fn, &done);
	pg_stats(f.pg, &n, &us, &waiting);
	assert_int_equal(n, f.trips);
	assert_int_equal(waiting, 1);
	WAIT_UNTIL(f.loop, flag, &done);
	pg_stats(f.pg, &n, &us, &waiting);
	assert_int_equal(n, f.trips + 1);
	assert_in_range(us, 1, 5000000);
	assert_int_equal(waiting, 0);
	assert_int_equal(f.ups, 1);
	/* digits, a colon, the timeline of a fresh cluster */
	assert_true(strspn(pg_timeline(f.pg), "0123456789") > 10);
	assert_string_equal(strchr(pg_timeline(f.pg), ':'), ":1");
	finish(&f);
}

/* The role may not ask the control file. */
static void session_hidden(void **state)
{
	struct fixture f;

	start_with(&f, 1, 0, "PG_PLAIN_URL");
	open_pg(&f);
	assert_string_equal(pg_timeline(f.pg), "hidden:0");
	finish(&f);
}

/* ---- single statements ---- */

struct many {
	struct got got[N_MANY];
	int counter;
};

static bool all_called(void *arg)
{
	return ((struct many *)arg)->counter == N_MANY;
}

static void pipelined(void **state)
{
	struct many *m = calloc(1, sizeof(*m));
	struct fixture f;

	start(&f, 2, 0);
	for (int i = 0; i < N_MANY; i++) {
		m->got[i].counter = &m->counter;
		/* every 97th fails, and none but it */
		query(&f, i % 97 == 0 ? &s_divide : &s_one, args_i(&f, i % 97 == 0 ? 0 : i), &m->got[i]);
	}
	assert_int_equal(m->counter, 0);
	WAIT_UNTIL(f.loop, all_called, m);
	for (int i = 0; i < N_MANY; i++) {
		ASSERT_GOT(m->got[i], i % 97 == 0 ? PG_ERROR : PG_OK);
		if (i % 97 == 0)
			assert_string_equal(m->got[i].sqlstate, "22012");
		else
			assert_int_equal(m->got[i].n, i);
	}
	finish(&f);
	free(m);
}

static void constraints(void **state)
{
	struct got a = {0}, b = {0}, c = {0}, d = {0}, e = {0}, u = {0};
	struct fixture f;

	start(&f, 1, 1);
	query(&f, &s_insert, args_it(&f, 1, "one"), &a);
	query(&f, &s_insert, args_it(&f, 1, "again"), &b);
	query(&f, &s_child, args_ii(&f, 1, 999), &c); /* deferred: refused at the sync, after the statement succeeded */
	query(&f, &s_child, args_ii(&f, 2, 1), &d);
	query(&f, &s_insert, args_it(&f, 2, "two"), &e);
	query(&f, &s_update, args_it(&f, 1, "both"), &u);
	WAIT_UNTIL(f.loop, was_called, &u);
	ASSERT_GOT(a, PG_OK);
	assert_int_equal(a.affected, 1);
	ASSERT_GOT(b, PG_ERROR);
	assert_string_equal(b.sqlstate, "23505");
	assert_string_equal(b.constraint, "item_is_unique");
	assert_null(strstr(b.message, "again"));
	assert_false(b.transient);
	ASSERT_GOT(c, PG_ERROR);
	assert_string_equal(c.sqlstate, "23503");
	assert_string_equal(c.constraint, "child_has_parent");
	ASSERT_GOT(d, PG_OK);
	ASSERT_GOT(e, PG_OK);
	ASSERT_GOT(u, PG_OK);
	assert_int_equal(u.affected, 2);
	finish(&f);
}

#define WHY(text) ((void *)(uintptr_t)(text))

static void never(void *arg, const struct pg_answer *a)
{
	fail_msg("called though cancelled: %s", (const char *)arg);
}

static void cancelled(void **state)
{
	struct pg_query *waiting, *sent;
	struct got g = {0}, h = {0};
	struct fixture f;

	start(&f, 1, 1);
	waiting = pg_query_start(f.pg, &s_insert, args_it(&f, 1, "x"), 5000, never, WHY("not sent"));
	pg_query_cancel(waiting);
	query(&f, &s_one, args_i(&f, 1), &g);
	WAIT_UNTIL(f.loop, was_called, &g);
	assert_int_equal(count_of(&f, 1), 0);

	pg_query_start(f.pg, &s_sleep, args_real(&f, 0.05), 5000, NULL, NULL);
	sent = pg_query_start(f.pg, &s_insert, args_it(&f, 2, "x"), 5000, never, WHY("sent"));
	memset(&g, 0, sizeof(g));
	pg_tx_commit(pg_tx_start(f.pg, NULL, 5000), got_fn, &h); /* empty: done without a word to the server */
	WAIT_UNTIL(f.loop, was_called, &h);
	ASSERT_GOT(h, PG_OK);
	pg_query_cancel(sent);
	assert_int_equal(count_of(&f, 2), 1);
	finish(&f);
}

static void deadlines(void **state)
{
	struct got g = {0}, late = {0}, after = {0}, t1 = {0}, t2 = {0}, t3 = {0}, c = {0};
	struct fixture f;
	struct pg_tx *tx, *tx2;

	start(&f, 1, 1);
	/* in flight: not known; what is behind it gets its answer all the same */
	pg_query_start(f.pg, &s_sleep, args_real(&f, 0.5), 50, got_fn, &late);
	query(&f, &s_one, args_i(&f, 5), &after);
	WAIT_UNTIL(f.loop, was_called, &late);
	ASSERT_GOT(late, PG_UNKNOWN);
	assert_int_equal(after.calls, 0);
	WAIT_UNTIL(f.loop, was_called, &after);
	ASSERT_GOT(after, PG_OK);
	assert_int_equal(late.calls, 1);

	/* a transaction that holds the only connection past its deadline; another behind it, with less time */
	tx = pg_tx_start(f.pg, NULL, 1000);
	pg_tx_exec(tx, &s_insert, args_it(&f, 1, "x"), got_fn, &t1);
	WAIT_UNTIL(f.loop, was_called, &t1);
	ASSERT_GOT(t1, PG_OK);
	tx2 = pg_tx_start(f.pg, NULL, 20);
	pg_tx_exec(tx2, &s_insert, args_it(&f, 2, "x"), got_fn, &t2);
	pg_tx_commit(tx2, got_fn, &c);
	WAIT_UNTIL(f.loop, was_called, &c);
	ASSERT_GOT(t2, PG_NOT_SENT);
	ASSERT_GOT(c, PG_NOT_SENT);
	memset(&c, 0, sizeof(c));
	while (pg_last_error(f.pg)[0] == '\0') {
		memset(&g, 0, sizeof(g));
		query(&f, &s_one, args_i(&f, 5), &g);
		WAIT_UNTIL(f.loop, was_called, &g);
	}
	assert_string_equal(pg_last_error(f.pg), "a transaction passed its deadline");
	pg_tx_exec(tx, &s_insert, args_it(&f, 3, "x"), got_fn, &t3);
	pg_tx_commit(tx, got_fn, &c);
	WAIT_UNTIL(f.loop, was_called, &c);
	ASSERT_GOT(t3, PG_NOT_SENT);
	ASSERT_GOT(c, PG_NOT_SENT);
	assert_int_equal(count_of(&f, 1) + count_of(&f, 2) + count_of(&f, 3), 0);

	/* no server at all: waits its time, was not sent */
	ask_test("kill");
	WAIT_UNTIL(f.loop, is_down, &f);
	memset(&g, 0, sizeof(g));
	pg_query_start(f.pg, &s_one, args_i(&f, 1), 30, got_fn, &g);
	WAIT_UNTIL(f.loop, was_called, &g);
	ASSERT_GOT(g, PG_NOT_SENT);
	finish(&f);
	ask_test("start");
}

/* COMMIT is under way when the deadline passes: not known, and it does happen. */
static void deadline_commit(void **state)
{
	struct got s = {0}, c = {0}, next = {0};
	struct fixture f;
	struct pg_tx *tx;

	start(&f, 1, 1);
	tx = pg_tx_start(f.pg, NULL, 100);
	pg_tx_exec(tx, &s_insert, args_it(&f, 1, "x"), NULL, NULL);
	pg_tx_exec(tx, &s_sleep, args_real(&f, 1), got_fn, &s);
	pg_tx_commit(tx, got_fn, &c);
	WAIT_UNTIL(f.loop, was_called, &c);
	ASSERT_GOT(s, PG_UNKNOWN);
	ASSERT_GOT(c, PG_UNKNOWN);
	assert_int_equal(count_of(&f, 1), 0);
	/* the connection goes on to the next one when it has sorted itself out */
	tx = pg_tx_start(f.pg, NULL, 5000);
	pg_tx_exec(tx, &s_insert, args_it(&f, 2, "x"), NULL, NULL);
	pg_tx_commit(tx, got_fn, &next);
	WAIT_UNTIL(f.loop, was_called, &next);
	ASSERT_GOT(next, PG_OK);
	assert_int_equal(count_of(&f, 1), 1);
	assert_string_equal(pg_last_error(f.pg), "");
	finish(&f);
}

/* ---- transactions ---- */

static void transactions(void **state)
{
	struct got a = {0}, b = {0}, c = {0}, d = {0}, e = {0}, r = {0};
	uint64_t trips;
	struct fixture f;
	struct pg_tx *tx;
	int order = 0;

	start(&f, 1, 1);
	a.counter = b.counter = c.counter = &order;
	/* everything in one go */
	tx = pg_tx_start(f.pg, NULL, 5000);
	pg_tx_exec(tx, &s_insert, args_it(&f, 1, "x"), got_fn, &a);
	pg_tx_exec(tx, &s_count, args_i(&f, 1), got_fn, &b);
	pg_tx_commit(tx, got_fn, &c);
	assert_int_equal(order, 0);
	WAIT_UNTIL(f.loop, was_called, &c);
	ASSERT_GOT(a, PG_OK);
	ASSERT_GOT(b, PG_OK);
	assert_int_equal(b.n, 1);
	ASSERT_GOT(c, PG_OK);
	assert_true(a.place == 1 && b.place == 2 && c.place == 3);
	pg_stats(f.pg, &trips, NULL, NULL);
	assert_int_equal(trips, f.trips + 4); /* with BEGIN */
	assert_int_equal(count_of(&f, 1), 1);

	/* step by step: answers come before the commit is asked for, and nobody sees it before */
	tx = pg_tx_start(f.pg, NULL, 5000);
	pg_tx_exec(tx, &s_insert, args_it(&f, 2, "x"), got_fn, &d);
	WAIT_UNTIL(f.loop, was_called, &d);
	assert_int_equal(count_of(&f, 2), 0);
	memset(&c, 0, sizeof(c));
	pg_tx_exec(tx, &s_count, args_i(&f, 2), got_fn, &e);
	WAIT_UNTIL(f.loop, was_called, &e);
	assert_int_equal(e.n, 1);
	pg_tx_commit(tx, got_fn, &c);
	WAIT_UNTIL(f.loop, was_called, &c);
	ASSERT_GOT(c, PG_OK);
	assert_int_equal(count_of(&f, 2), 1);

	/* rolled back: what is still out is not called */
	tx = pg_tx_start(f.pg, NULL, 5000);
	memset(&d, 0, sizeof(d));
	pg_tx_exec(tx, &s_insert, args_it(&f, 3, "x"), got_fn, &d);
	WAIT_UNTIL(f.loop, was_called, &d);
	pg_tx_exec(tx, &s_insert, args_it(&f, 4, "x"), never, WHY("rolled back"));
	pg_tx_rollback(tx, rolled_back, &r);
	assert_int_equal(r.calls, 0);
	WAIT_UNTIL(f.loop, was_called, &r);
	assert_int_equal(count_of(&f, 3) + count_of(&f, 4), 0);
	/* at once, and behind another */
	memset(&r, 0, sizeof(r));
	tx = pg_tx_start(f.pg, NULL, 5000);
	pg_tx_exec(tx, &s_insert, args_it(&f, 5, "x"), NULL, NULL);
	pg_tx_rollback(pg_tx_start(f.pg, NULL, 5000), rolled_back, &r);
	pg_tx_rollback(tx, NULL, NULL);
	WAIT_UNTIL(f.loop, was_called, &r);
	/* with a statement in flight that fails, so that the ROLLBACK is skipped */
	memset(&r, 0, sizeof(r));
	memset(&d, 0, sizeof(d));
	tx = pg_tx_start(f.pg, NULL, 5000);
	pg_tx_exec(tx, &s_insert, args_it(&f, 5, "x"), got_fn, &d);
	WAIT_UNTIL(f.loop, was_called, &d);
	pg_tx_exec(tx, &s_sleep, args_real(&f, 0.05), never, WHY("rolled back"));
	pg_tx_exec(tx, &s_divide, args_i(&f, 0), never, WHY("rolled back"));
	assert_int_equal(count_of(&f, 5), 0); /* lets them be sent */
	pg_tx_rollback(tx, rolled_back, &r);
	WAIT_UNTIL(f.loop, was_called, &r);
	memset(&c, 0, sizeof(c));
	tx = pg_tx_start(f.pg, NULL, 5000);
	pg_tx_exec(tx, &s_insert, args_it(&f, 5, "x"), NULL, NULL);
	pg_tx_commit(tx, got_fn, &c);
	WAIT_UNTIL(f.loop, was_called, &c);
	ASSERT_GOT(c, PG_OK);
	assert_string_equal(pg_last_error(f.pg), "");
	finish(&f);
}

static void transaction_errors(void **state)
{
	struct got a = {0}, b = {0}, d = {0}, e = {0}, c = {0}, r = {0};
	struct fixture f;
	struct pg_tx *tx;
	int order = 0;

	start(&f, 1, 1);
	a.counter = b.counter = d.counter = c.counter = &order;
	/* in one go: the COMMIT behind the error is skipped by the server */
	tx = pg_tx_start(f.pg, NULL, 5000);
	pg_tx_exec(tx, &s_insert, args_it(&f, 1, "x"), got_fn, &a);
	pg_tx_exec(tx, &s_insert, args_it(&f, 1, "y"), got_fn, &b);
	pg_tx_exec(tx, &s_insert, args_it(&f, 2, "z"), got_fn, &d);
	pg_tx_commit(tx, got_fn, &c);
	WAIT_UNTIL(f.loop, was_called, &c);
	ASSERT_GOT(a, PG_OK);
	ASSERT_GOT(b, PG_ERROR);
	ASSERT_GOT(d, PG_ERROR);
	ASSERT_GOT(c, PG_ERROR);
	assert_string_equal(d.sqlstate, "23505");
	assert_string_equal(c.sqlstate, "23505");
	assert_string_equal(c.constraint, "item_is_unique");
	assert_true(a.place == 1 && b.place == 2 && d.place == 3 && c.place == 4);

	/* step by step: the error frees the connection for others before its owner ends it */
	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	memset(&c, 0, sizeof(c));
	memset(&d, 0, sizeof(d));
	tx = pg_tx_start(f.pg, NULL, 5000);
	pg_tx_exec(tx, &s_insert, args_it(&f, 1, "x"), got_fn, &a);
	pg_tx_exec(tx, &s_divide, args_i(&f, 0), got_fn, &b);
	WAIT_UNTIL(f.loop, was_called, &b);
	ASSERT_GOT(b, PG_ERROR);
	{
		struct pg_tx *other = pg_tx_start(f.pg, NULL, 5000);

		pg_tx_exec(other, &s_insert, args_it(&f, 1, "other"), NULL, NULL);
		pg_tx_commit(other, got_fn, &e);
	}
	WAIT_UNTIL(f.loop, was_called, &e);
	ASSERT_GOT(e, PG_OK);
	pg_tx_exec(tx, &s_insert, args_it(&f, 6, "x"), got_fn, &d);
	WAIT_UNTIL(f.loop, was_called, &d);
	ASSERT_GOT(d, PG_ERROR);
	assert_string_equal(d.sqlstate, "22012");
	pg_tx_commit(tx, got_fn, &c);
	WAIT_UNTIL(f.loop, was_called, &c);
	ASSERT_GOT(c, PG_ERROR);
	assert_string_equal(c.sqlstate, "22012");
	assert_int_equal(count_of(&f, 6), 0);

	/* and a failed one may be rolled back */
	memset(&b, 0, sizeof(b));
	tx = pg_tx_start(f.pg, NULL, 5000);
	pg_tx_exec(tx, &s_divide, args_i(&f, 0), got_fn, &b);
	WAIT_UNTIL(f.loop, was_called, &b);
	pg_tx_rollback(tx, rolled_back, &r);
	WAIT_UNTIL(f.loop, was_called, &r);

	/* the COMMIT itself is refused */
	memset(&a, 0, sizeof(a));
	memset(&c, 0, sizeof(c));
	tx = pg_tx_start(f.pg, NULL, 5000);
	pg_tx_exec(tx, &s_child, args_ii(&f, 1, 999), got_fn, &a);
	pg_tx_commit(tx, got_fn, &c);
	WAIT_UNTIL(f.loop, was_called, &c);
	ASSERT_GOT(a, PG_OK);
	ASSERT_GOT(c, PG_ERROR);
	assert_string_equal(c.constraint, "child_has_parent");

	/* a lock held by another */
	ask_test("hold 1");
	memset(&a, 0, sizeof(a));
	memset(&c, 0, sizeof(c));
	tx = pg_tx_start(f.pg, NULL, 5000);
	pg_tx_exec(tx, &s_lock, args_i(&f, 1), got_fn, &a);
	pg_tx_commit(tx, got_fn, &c);
	WAIT_UNTIL(f.loop, was_called, &c);
	ASSERT_GOT(c, PG_ERROR);
	assert_string_equal(a.sqlstate, "55P03");
	assert_true(a.transient && c.transient);
	ask_test("let_go");
	assert_string_equal(pg_last_error(f.pg), "");
	finish(&f);
}

/* ---- lanes ---- */

static void lanes(void **state)
{
	struct got c[20] = {0}, held = {0}, n = {0}, dropped = {0};
	struct fixture f;
	struct pg_lane *lane;
	struct pg_tx *tx, *other;
	int order = 0;

	start(&f, 1, 1);
	lane = pg_lane_new(f.pg);
	assert_false(pg_lane_ready(lane));
	/* the only exclusive connection is taken: the lane does not wait for it */
	other = pg_tx_start(f.pg, NULL, 20000);
	pg_tx_exec(other, &s_one, args_i(&f, 1), got_fn, &held);
	WAIT_UNTIL(f.loop, was_called, &held);
	for (int i = 0; i < 20; i++) {
		c[i].counter = &order;
		tx = pg_tx_start(f.pg, lane, 5000);
		pg_tx_exec(tx, &s_insert, args_it(&f, i % 5 == 4 ? 1 : i + 1, "x"), NULL, NULL);
		pg_tx_commit(tx, got_fn, &c[i]);
	}
	WAIT_UNTIL(f.loop, was_called, &c[19]);
	for (int i = 0; i < 20; i++) {
		ASSERT_GOT(c[i], i % 5 == 4 ? PG_ERROR : PG_OK);
		assert_int_equal(c[i].place, i + 1);
	}
	assert_true(pg_lane_ready(lane));
	pg_tx_rollback(other, NULL, NULL);

	/* given up with one running and one waiting */
	tx = pg_tx_start(f.pg, lane, 5000);
	pg_tx_exec(tx, &s_insert, args_it(&f, 100, "x"), got_fn, &n);
	WAIT_UNTIL(f.loop, was_called, &n);
	other = pg_tx_start(f.pg, lane, 5000);
	pg_tx_exec(other, &s_insert, args_it(&f, 101, "x"), NULL, NULL);
	pg_tx_commit(other, got_fn, &dropped);
	pg_lane_free(lane);
	assert_int_equal(dropped.calls, 0);
	WAIT_UNTIL(f.loop, was_called, &dropped);
	ASSERT_GOT(dropped, PG_NOT_SENT);
	memset(&n, 0, sizeof(n));
	pg_tx_commit(tx, got_fn, &n);
	WAIT_UNTIL(f.loop, was_called, &n);
	ASSERT_GOT(n, PG_NOT_SENT);
	assert_int_equal(count_of(&f, 100) + count_of(&f, 101), 0);
	finish(&f);
}

/* ---- losing the server ---- */

static void killed(void **state)
{
	struct got sent = {0}, waiting = {0}, s = {0}, c = {0}, open_s = {0}, open_c = {0};
	struct fixture f;
	struct pg_tx *tx, *open_tx;
	struct got n = {0};

	start(&f, 1, 2);
	tx = pg_tx_start(f.pg, NULL, 10000); /* COMMIT on its way when it happens */
	pg_tx_exec(tx, &s_sleep, args_real(&f, 5), got_fn, &s);
	pg_tx_commit(tx, got_fn, &c);
	open_tx = pg_tx_start(f.pg, NULL, 10000); /* COMMIT not yet asked for */
	pg_tx_exec(open_tx, &s_insert, args_it(&f, 1, "x"), got_fn, &open_s);
	WAIT_UNTIL(f.loop, was_called, &open_s);
	query(&f, &s_sleep, args_real(&f, 5), &sent);
	query(&f, &s_one, args_i(&f, 1), &n);
	ask_test("sql SELECT 1");
	WAIT_UNTIL(f.loop, is_ready, &f); /* a turn: what was started is sent */
	ask_test("kill");
	query(&f, &s_insert, args_it(&f, 2, "late"), &waiting);
	WAIT_UNTIL(f.loop, was_called, &sent);
	ASSERT_GOT(sent, PG_UNKNOWN);
	ASSERT_GOT(n, PG_UNKNOWN);
	WAIT_UNTIL(f.loop, was_called, &c);
	ASSERT_GOT(s, PG_UNKNOWN);
	ASSERT_GOT(c, PG_UNKNOWN);
	WAIT_UNTIL(f.loop, is_down, &f);
	pg_tx_exec(open_tx, &s_insert, args_it(&f, 3, "x"), NULL, NULL);
	pg_tx_commit(open_tx, got_fn, &open_c);
	WAIT_UNTIL(f.loop, was_called, &open_c);
	ASSERT_GOT(open_c, PG_NOT_SENT);
	assert_true(f.downs == 1 && *pg_last_error(f.pg));
	/* a statement that waits while there is no server is sent when there is one again; all is prepared again */
	if (waiting.calls == 0) {
		ask_test("start");
		WAIT_UNTIL(f.loop, was_called, &waiting);
		ASSERT_GOT(waiting, PG_OK);
	} else {
		ASSERT_GOT(waiting, PG_UNKNOWN); /* written before the loss was seen */
		ask_test("start");
	}
	memset(&waiting, 0, sizeof(waiting));
	query(&f, &s_insert, args_it(&f, 4, "x"), &waiting);
	WAIT_UNTIL(f.loop, was_called, &waiting);
	ASSERT_GOT(waiting, PG_OK);
	assert_int_equal(count_of(&f, 1) + count_of(&f, 3), 0);
	assert_int_equal(f.ups, 2);
	finish(&f);
}

static void restarted(void **state)
{
	struct got g = {0}, c = {0};
	struct fixture f;
	struct pg_lane *lane;
	struct pg_tx *tx;
	char timeline[64];

	start(&f, 2, 1);
	lane = pg_lane_new(f.pg);
	snprintf(timeline, sizeof(timeline), "%s", pg_timeline(f.pg));
	for (int i = 1; i <= 3; i++) {
		ask_test("restart");
		WAIT_UNTIL(f.loop, is_down, &f);
		memset(&g, 0, sizeof(g));
		memset(&c, 0, sizeof(c));
		query(&f, &s_one, args_i(&f, i), &g);
		tx = pg_tx_start(f.pg, lane, 10000);
		pg_tx_exec(tx, &s_insert, args_it(&f, i, "x"), NULL, NULL);
		pg_tx_commit(tx, got_fn, &c);
		WAIT_UNTIL(f.loop, was_called, &g);
		ASSERT_GOT(g, PG_OK);
		WAIT_UNTIL(f.loop, was_called, &c);
		ASSERT_GOT(c, PG_OK);
		assert_int_equal(count_of(&f, i), 1);
		assert_string_equal(pg_timeline(f.pg), timeline);
	}
	pg_lane_free(lane);
	finish(&f);
}

static void terminated(void **state)
{
	struct got a = {0}, b = {0}, q = {0}, c = {0}, behind = {0};
	struct fixture f;
	struct pg_tx *tx;

	start(&f, 1, 1);
	/* idle sessions: nobody is hurt */
	ask_test("sql SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'test_pg'");
	WAIT_UNTIL(f.loop, is_down, &f);
	query(&f, &s_one, args_i(&f, 1), &q);
	WAIT_UNTIL(f.loop, was_called, &q);
	ASSERT_GOT(q, PG_OK);
	/* in the middle of a transaction, COMMIT not sent: nothing happened */
	tx = pg_tx_start(f.pg, NULL, 5000);
	pg_tx_exec(tx, &s_insert, args_it(&f, 1, "x"), got_fn, &a);
	pg_tx_exec(tx, &s_terminate, NULL, got_fn, &b);
	WAIT_UNTIL(f.loop, was_called, &b);
	ASSERT_GOT(a, PG_OK);
	ASSERT_GOT(b, PG_NOT_SENT);
	pg_tx_commit(tx, got_fn, &c);
	WAIT_UNTIL(f.loop, was_called, &c);
	ASSERT_GOT(c, PG_NOT_SENT);
	assert_int_equal(count_of(&f, 1), 0);
	/* a single statement: cannot be known; nor of those behind it */
	memset(&b, 0, sizeof(b));
	query(&f, &s_terminate, NULL, &b);
	query(&f, &s_one, args_i(&f, 1), &behind);
	WAIT_UNTIL(f.loop, was_called, &behind);
	ASSERT_GOT(b, PG_UNKNOWN);
	ASSERT_GOT(behind, PG_UNKNOWN);
	assert_string_equal(b.message, "terminating connection due to administrator command");
	finish(&f);
}

static void answer_lost(void **state)
{
	struct got s = {0}, c = {0}, q = {0};
	struct fixture f;
	struct pg_tx *tx;

	start_with(&f, 1, 1, "PG_PROXY_URL");
	open_pg(&f);
	tx = pg_tx_start(f.pg, NULL, 10000);
	pg_tx_exec(tx, &s_insert, args_it(&f, 1, "x"), got_fn, &s);
	WAIT_UNTIL(f.loop, was_called, &s);
	ASSERT_GOT(s, PG_OK);
	ask_test("swallow");
	pg_tx_commit(tx, got_fn, &c);
	query(&f, &s_insert, args_it(&f, 2, "x"), &q);
	WAIT_UNTIL(f.loop, is_ready, &f);
	ask_test("until SELECT count(*) = 2 FROM item"); /* both are committed */
	assert_int_equal(c.calls + q.calls, 0);
	ask_test("cut");
	WAIT_UNTIL(f.loop, was_called, &c);
	WAIT_UNTIL(f.loop, was_called, &q);
	ASSERT_GOT(c, PG_UNKNOWN);
	ASSERT_GOT(q, PG_UNKNOWN);
	ask_test("let_pass");
	assert_int_equal(count_of(&f, 1) + count_of(&f, 2), 2);
	finish(&f);
}

/* Nothing comes any more and nothing is closed. */
static void silent(void **state)
{
	struct got g = {0}, h = {0};
	struct fixture f;

	start(&f, 1, 1);
	ask_test("pause");
	query(&f, &s_one, args_i(&f, 1), &g); /* its deadline is the same 10 s: either way it is not known */
	pg_query_start(f.pg, &s_one, args_i(&f, 1), 100, got_fn, &h);
	WAIT_UNTIL(f.loop, was_called, &h);
	ASSERT_GOT(h, PG_UNKNOWN);
	WAIT_UNTIL(f.loop, was_called, &g);
	ASSERT_GOT(g, PG_UNKNOWN);
	WAIT_UNTIL(f.loop, has_error, &f);
	assert_string_equal(pg_last_error(f.pg), "no answer from the server");
	ask_test("go_on");
	memset(&g, 0, sizeof(g));
	query(&f, &s_one, args_i(&f, 1), &g);
	WAIT_UNTIL(f.loop, was_called, &g);
	ASSERT_GOT(g, PG_OK);
	finish(&f);
}

/* There is no server yet when the process starts; it must not give up, nor spin. */
static void late_server(void **state)
{
	struct got g = {0};
	struct fixture f;
	struct rusage before, after;

	start_with(&f, 4, 4, "PG_URL");
	ask_test("kill");
	f.pg = pg_new(f.loop, &f.config);
	getrusage(RUSAGE_SELF, &before);
	WAIT_UNTIL(f.loop, has_error, &f);
	pg_query_start(f.pg, &s_one, args_i(&f, 1), 2000, got_fn, &g);
	WAIT_UNTIL(f.loop, was_called, &g);
	getrusage(RUSAGE_SELF, &after);
	ASSERT_GOT(g, PG_NOT_SENT);
	assert_in_range(after.ru_utime.tv_sec - before.ru_utime.tv_sec, 0, 1);
	ask_test("start");
	WAIT_UNTIL(f.loop, is_ready, &f);
	finish(&f);
}

STMT(s_nonsense, 0, "SELECT nonsense FROM nowhere");
static const struct pg_stmt *const bad[] = {&s_one, &s_nonsense, NULL};
static const struct pg_stmt *const *const bad_lists[] = {bad, NULL};

static void bad_statement(void **state)
{
	struct got g = {0};
	struct fixture f;

	start_with(&f, 1, 0, "PG_URL");
	f.config.statements = bad_lists;
	f.pg = pg_new(f.loop, &f.config);
	pg_query_start(f.pg, &s_one, args_i(&f, 1), 1500, got_fn, &g);
	WAIT_UNTIL(f.loop, was_called, &g);
	ASSERT_GOT(g, PG_NOT_SENT);
	assert_false(pg_ready(f.pg));
	if (!strstr(pg_last_error(f.pg), "s_nonsense: ") || !strstr(pg_last_error(f.pg), "nowhere"))
		fail_msg("%s", pg_last_error(f.pg));
	/* 50 ms, doubling: about a dozen tries in 1.5 s at most, not thousands */
	ask_test("is SELECT sessions < 40 FROM pg_stat_database WHERE datname = current_database()");
	/* once it can be prepared, it is */
	ask_test("sql CREATE TABLE nowhere (nonsense int)");
	WAIT_UNTIL(f.loop, is_ready, &f);
	finish(&f);
}

static int status_of(void (*fn)(struct fixture *f))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct fixture f;

		signal(SIGABRT, SIG_DFL);
		if (!freopen("/dev/null", "w", stderr))
			_exit(3);
		start(&f, 1, 1);
		fn(&f);
		_exit(0);
	}
	assert_true(waitpid(pid, &status, 0) == pid);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static void use_right(struct fixture *f)
{
	struct got g = {0};

	query(f, &s_one, args_i(f, 1), &g);
	WAIT_UNTIL(f->loop, was_called, &g);
}

static void use_wrong_type(struct fixture *f)
{
	query(f, &s_one, args_real(f, 1), NULL);
}

static void use_wrong_number(struct fixture *f)
{
	query(f, &s_one, args_ii(f, 1, 1), NULL);
}

static void use_unknown(struct fixture *f)
{
	query(f, &s_nonsense, NULL, NULL);
}

static void text_fn(void *arg, const struct pg_answer *a)
{
	pg_get_text(a->result, 0, 0);
	_exit(4);
}

static void use_wrong_column(struct fixture *f)
{
	bool no = false;

	pg_query_start(f->pg, &s_one, args_i(f, 1), 5000, text_fn, NULL);
	WAIT_UNTIL(f->loop, flag, &no);
}

/* Bugs of the caller end the process with a sentence. */
static void bugs(void **state)
{
	assert_int_equal(status_of(use_right), 0);
	assert_int_equal(status_of(use_wrong_type), -SIGABRT);
	assert_int_equal(status_of(use_wrong_number), -SIGABRT);
	assert_int_equal(status_of(use_unknown), -SIGABRT);
	assert_int_equal(status_of(use_wrong_column), -SIGABRT);
}

/* Under a statement the table has changed, or somebody has thrown away what was prepared: it heals. */
static void stale(void **state)
{
	struct got g = {0};
	struct fixture f;
	int tries = 0;

	start(&f, 1, 1);
	query(&f, &s_star, NULL, &g);
	WAIT_UNTIL(f.loop, was_called, &g);
	ASSERT_GOT(g, PG_OK);
	ask_test("sql ALTER TABLE changing ADD COLUMN more int");
	do {
		memset(&g, 0, sizeof(g));
		query(&f, &s_star, NULL, &g);
		WAIT_UNTIL(f.loop, was_called, &g);
	} while (g.status == PG_ERROR && ++tries < 5);
	ASSERT_GOT(g, PG_OK);
	assert_int_equal(tries, 1);
	memset(&g, 0, sizeof(g));
	query(&f, &s_forget, NULL, &g);
	WAIT_UNTIL(f.loop, was_called, &g);
	for (tries = 0;; tries++) {
		memset(&g, 0, sizeof(g));
		query(&f, &s_one, args_i(&f, 1), &g);
		WAIT_UNTIL(f.loop, was_called, &g);
		if (g.status == PG_OK || tries == 5)
			break;
		assert_string_equal(g.sqlstate, "26000");
	}
	ASSERT_GOT(g, PG_OK);
	assert_int_equal(tries, 1);
	finish(&f);
}

/* ---- callbacks that do things ---- */

struct chain {
	struct fixture *f;
	struct pg_tx *tx;
	struct pg_query *victim;
	struct pg_lane *lane;
	int n, victims;
	bool done;
};

static void chain_commit(void *arg, const struct pg_answer *a);

static void chain_query(void *arg, const struct pg_answer *a)
{
	struct chain *ch = arg;

	assert_int_equal(a->status, PG_OK);
	assert_int_equal(pg_get_int(a->result, 0, 0), ch->n);
	if (ch->victim)
		pg_query_cancel(ch->victim);
	ch->victim = NULL;
	if (++ch->n < 50) {
		/* started within a callback, one of them cancelled by the next */
		pg_query_start(ch->f->pg, &s_one, args_i(ch->f, ch->n), 5000, chain_query, ch);
		ch->victim = pg_query_start(ch->f->pg, &s_one, args_i(ch->f, ch->n), 5000, never,
					    WHY("cancelled in a callback"));
		return;
	}
	ch->tx = pg_tx_start(ch->f->pg, ch->lane, 5000);
	pg_tx_exec(ch->tx, &s_insert, args_it(ch->f, 1, "x"), NULL, NULL);
	pg_tx_commit(ch->tx, chain_commit, ch);
}

static void chain_statement(void *arg, const struct pg_answer *a)
{
	struct chain *ch = arg;

	ch->n++;
	if (a->status == PG_OK && ch->n < 100) {
		pg_tx_exec(ch->tx, &s_one, args_i(ch->f, ch->n), chain_statement, ch);
	} else if (a->status == PG_OK) {
		pg_tx_exec(ch->tx, &s_divide, args_i(ch->f, 0), chain_statement, ch);
	} else if (ch->n < 105) {
		/* of a failed one: answered with the same */
		assert_string_equal(a->sqlstate, "22012");
		pg_tx_exec(ch->tx, &s_one, args_i(ch->f, ch->n), chain_statement, ch);
	} else {
		pg_tx_commit(ch->tx, chain_commit, ch);
	}
}

static void chain_rolled_back(void *arg)
{
	struct chain *ch = arg;

	pg_lane_free(ch->lane);
	ch->done = true;
}

static void chain_drop(void *arg, const struct pg_answer *a)
{
	struct chain *ch = arg;

	/* two more are in the pipeline behind this one */
	pg_tx_rollback(ch->tx, chain_rolled_back, ch);
}

static void chain_commit(void *arg, const struct pg_answer *a)
{
	struct chain *ch = arg;

	ch->tx = pg_tx_start(ch->f->pg, ch->lane, 5000);
	if (a->status == PG_OK) {
		pg_tx_exec(ch->tx, &s_one, args_i(ch->f, ch->n), chain_statement, ch);
	} else {
		assert_string_equal(a->sqlstate, "22012");
		pg_tx_exec(ch->tx, &s_one, args_i(ch->f, ch->n), chain_drop, ch);
		pg_tx_exec(ch->tx, &s_one, args_i(ch->f, ch->n), never, WHY("rolled back in a callback"));
		pg_tx_exec(ch->tx, &s_divide, args_i(ch->f, 0), never, WHY("rolled back in a callback"));
	}
}

static void from_callbacks(void **state)
{
	struct fixture f;
	struct chain ch = {.f = &f};

	start(&f, 1, 1);
	ch.lane = pg_lane_new(f.pg);
	pg_query_start(f.pg, &s_one, args_i(&f, 0), 5000, chain_query, &ch);
	WAIT_UNTIL(f.loop, flag, &ch.done);
	assert_int_equal(count_of(&f, 1), 1);
	finish(&f);
}

static void free_all(void *arg, const struct pg_answer *a)
{
	struct chain *ch = arg;

	pg_free(ch->f->pg);
	ch->f->pg = NULL;
	ch->done = true;
}

/* Open work of every kind, then pg_free: outside, in a statement's callback, in a commit's, in that of a lost one. */
static void freed(void **state)
{
	for (int how = 0; how < 5; how++) {
		struct fixture f;
		struct chain ch = {.f = &f};
		struct pg_tx *tx;

		start(&f, 1, 1);
		ch.lane = pg_lane_new(f.pg);
		if (how == 3)
			pg_query_start(f.pg, &s_terminate, NULL, 5000, free_all, &ch);
		if (how == 4)
			pg_query_start(f.pg, &s_sleep, args_real(&f, 3), 20, free_all, &ch);
		if (how == 1)
			pg_query_start(f.pg, &s_one, args_i(&f, 1), 5000, free_all, &ch);
		for (int i = 0; i < 300; i++)
			pg_query_start(f.pg, &s_one, args_i(&f, i), 5000, how ? NULL : never, WHY("freed"));
		for (int i = 0; i < 6; i++) {
			tx = pg_tx_start(f.pg, i % 2 ? ch.lane : NULL, 5000);
			pg_tx_exec(tx, &s_one, args_i(&f, i), how == 2 && i == 0 ? free_all : NULL, &ch);
			pg_tx_exec(tx, &s_one, args_i(&f, i), NULL, &ch);
			if (i % 3)
				pg_tx_commit(tx, NULL, NULL);
		}
		if (how)
			WAIT_UNTIL(f.loop, flag, &ch.done);
		finish(&f);
	}
}

/* ---- how much it costs ---- */

struct load {
	struct fixture *f;
	struct pg_args args;
	int started, done, total;
};

static void load_fn(void *arg, const struct pg_answer *a)
{
	struct load *l = arg;

	assert_int_equal(a->status, PG_OK);
	l->done++;
	if (l->started < l->total) {
		l->started++;
		pg_query_start(l->f->pg, &s_one, &l->args, 20000, load_fn, l);
	} else if (l->done == l->total) {
		loop_stop(l->f->loop);
	}
}

static double cpu_s(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void cost(void **state)
{
	struct fixture f;
	struct load l = {.f = &f, .total = getenv("PG_COST_N") ? (int)strtol(getenv("PG_COST_N"), NULL, 10) : 5000};
	double cpu, wall;

	start(&f, 2, 0);
	pg_args_init(&l.args, &f.arena);
	pg_arg_i32(&l.args, 1);
	cpu = cpu_s();
	wall = (double)wall_now_us();
	for (int i = 0; i < 100; i++) {
		l.started++;
		pg_query_start(f.pg, &s_one, &l.args, 20000, load_fn, &l);
	}
	loop_run(f.loop);
	assert_int_equal(l.done, l.total);
	printf("%d statements, 100 at a time: %.2f us of CPU each, %.0f/s\n", l.total, (cpu_s() - cpu) * 1e6 / l.total,
	       l.total / (((double)wall_now_us() - wall) / 1e6));
	finish(&f);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values),	  cmocka_unit_test(session),
		cmocka_unit_test(session_hidden), cmocka_unit_test(pipelined),
		cmocka_unit_test(constraints),	  cmocka_unit_test(cancelled),
		cmocka_unit_test(deadlines),	  cmocka_unit_test(deadline_commit),
		cmocka_unit_test(transactions),	  cmocka_unit_test(transaction_errors),
		cmocka_unit_test(lanes),	  cmocka_unit_test(killed),
		cmocka_unit_test(restarted),	  cmocka_unit_test(terminated),
		cmocka_unit_test(answer_lost),	  cmocka_unit_test(silent),
		cmocka_unit_test(late_server),	  cmocka_unit_test(bad_statement),
		cmocka_unit_test(bugs),		  cmocka_unit_test(stale),
		cmocka_unit_test(from_callbacks), cmocka_unit_test(freed),
		cmocka_unit_test(cost),
	};

	return RUN_TESTS(argc, argv, tests);
}
