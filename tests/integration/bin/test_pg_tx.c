/* io/pg: transactions, lanes, and callbacks that start, cancel and free. */
#include "pg_fixture.h"

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
	assert_int_equal(trips, f.trips + 3); /* with the sync that commits; no BEGIN */
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

	/* in one go, and refused by the sync that should have committed it */
	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	memset(&c, 0, sizeof(c));
	tx = pg_tx_start(f.pg, NULL, 5000);
	pg_tx_exec(tx, &s_insert, args_it(&f, 3, "x"), got_fn, &a);
	pg_tx_exec(tx, &s_child, args_ii(&f, 1, 999), got_fn, &b);
	pg_tx_commit(tx, got_fn, &c);
	WAIT_UNTIL(f.loop, was_called, &c);
	ASSERT_GOT(a, PG_OK);
	ASSERT_GOT(b, PG_OK);
	ASSERT_GOT(c, PG_ERROR);
	assert_string_equal(c.sqlstate, "23503");
	assert_int_equal(count_of(&f, 3), 0);

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

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(transactions), cmocka_unit_test(transaction_errors), cmocka_unit_test(deadline_commit),
		cmocka_unit_test(lanes),	cmocka_unit_test(from_callbacks),     cmocka_unit_test(freed),
	};

	return RUN_TESTS(argc, argv, tests);
}
