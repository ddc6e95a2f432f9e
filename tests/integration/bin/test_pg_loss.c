/* io/pg: a server that dies, falls silent, comes back, or says nothing of what it did. */
#include "pg_fixture.h"

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

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_statement), cmocka_unit_test(killed),	cmocka_unit_test(restarted),
		cmocka_unit_test(terminated),	 cmocka_unit_test(answer_lost), cmocka_unit_test(silent),
		cmocka_unit_test(late_server),	 cmocka_unit_test(stale),
	};

	return RUN_TESTS(argc, argv, tests);
}
