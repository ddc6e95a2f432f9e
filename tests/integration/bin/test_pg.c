/* io/pg: sessions, values, single statements, and what they cost. */
#include "pg_fixture.h"

enum { N_MANY = 1000 };

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

struct first {
	struct got got;
	struct pg *pg;
	size_t waiting;
};

static void first_fn(void *arg, const struct pg_answer *a)
{
	struct first *first = arg;

	got_fn(&first->got, a);
	pg_stats(first->pg, NULL, NULL, &first->waiting);
}

static bool all_called(void *arg)
{
	return ((struct many *)arg)->counter == N_MANY;
}

static void pipelined(void **state)
{
	struct many *m = calloc(1, sizeof(*m));
	struct first first = {.got = {0}};
	struct got ready = {0};
	struct fixture f;

	start(&f, 1, 0);
	query(&f, &s_one, args_i(&f, 0), &ready);
	WAIT_UNTIL(f.loop, was_called, &ready);
	first.pg = f.pg;
	pg_query_start(f.pg, &s_one, args_i(&f, 0), 10000, first_fn, &first);
	for (int i = 0; i < N_MANY; i++) {
		m->got[i].counter = &m->counter;
		/* every 97th fails, and none but it */
		query(&f, i % 97 == 0 ? &s_divide : &s_one, args_i(&f, i % 97 == 0 ? 0 : i), &m->got[i]);
	}
	assert_int_equal(m->counter, 0);
	WAIT_UNTIL(f.loop, all_called, m);
	assert_int_equal(first.waiting, N_MANY + 1 - 256); /* what one connection takes; the rest waited */
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

STMT(s_nonsense, 0, "SELECT nonsense FROM nowhere");
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
		cmocka_unit_test(values),    cmocka_unit_test(session),	    cmocka_unit_test(session_hidden),
		cmocka_unit_test(pipelined), cmocka_unit_test(constraints), cmocka_unit_test(cancelled),
		cmocka_unit_test(deadlines), cmocka_unit_test(bugs),	    cmocka_unit_test(cost),
	};

	return RUN_TESTS(argc, argv, tests);
}
