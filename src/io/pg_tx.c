/*
 * Transactions, and the lanes that keep one from waiting behind strangers.
 *
 *   waiting (in a queue) --a connection is free--> running --COMMIT or ROLLBACK sent--> ending --> gone
 *        |                                            |                                    |
 *        +-- deadline --> failed <-- error, lost -----+------------------------------------+
 *
 * One that is ended before it began needs neither BEGIN nor COMMIT: what stands before one sync is a transaction, and the sync commits
 * it. It costs one round trip.
 *
 * A failed transaction lets go of its connection as soon as that is clean again and lives on until its owner ends it:
 * every later statement and the commit are answered with the same failure. The first statement carries BEGIN with it;
 * what is sent in a turn is followed by a sync. It ends nothing within a transaction, and only after a sync does the server
 * take the session for one that is idle in a transaction: a process that is stopped there loses its locks after
 * PG_IDLE_IN_TX_MS, where a mere flush would let it keep them for ever. An error makes the server skip everything to the
 * next sync: a ROLLBACK is sent at once, so that no lock outlives the error by more than a round trip.
 *
 * Nothing here calls back from within pg_tx_start, _exec, _commit, _rollback: those note what is wanted and list the
 * transaction as changed; pg_tx_turn does it. Only pg_tx_settle frees one (and pg_free all).
 */
#include "base/xmalloc.h"
#include "io/pg_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void changed(struct pg_tx *tx)
{
	if (list_empty(&tx->changed))
		list_append(&tx->pg->changed, &tx->changed);
	deferred_post(tx->pg->turn);
}

static void queue_leave(struct pg_tx *tx)
{
	if (list_empty(&tx->queue))
		return;
	list_remove(&tx->queue);
	tx->pg->n_waiting_txs--;
}

/* The first failure is the transaction's. */
static void fail(struct pg_tx *tx, const struct pg_failure *failure)
{
	if (tx->failed || tx->committed)
		return;
	tx->failed = true;
	tx->failure = *failure;
	queue_leave(tx);
	changed(tx);
}

static void fail_with(struct pg_tx *tx, enum pg_status status, const char *message)
{
	struct pg_failure failure;

	pg_failure_set(&failure, status, "", message);
	fail(tx, &failure);
}

void pg_tx_free(struct pg_tx *tx)
{
	struct pg_op *op;

	while ((op = list_first(&tx->pending, struct pg_op, link))) {
		list_remove(&op->link);
		pg_op_free(op);
	}
	queue_leave(tx);
	list_remove(&tx->changed);
	list_remove(&tx->link);
	free(tx);
}

/* ---- the caller's side ---- */

struct pg_tx *pg_tx_start(struct pg *pg, struct pg_lane *lane, int64_t deadline_ms)
{
	struct pg_tx *tx = xcalloc(1, sizeof(*tx));

	tx->pg = pg;
	tx->lane = lane;
	tx->deadline_us = loop_now_us(pg->loop) + deadline_ms * 1000;
	list_init(&tx->pending);
	list_init(&tx->changed);
	list_append(&pg->txs, &tx->link);
	list_init(&tx->queue);
	list_append(lane ? &lane->waiting : &pg->waiting_txs, &tx->queue);
	pg->n_waiting_txs++;
	pg_wake_at(pg, tx->deadline_us);
	deferred_post(pg->turn);
	return tx;
}

static void must_be_open(const struct pg_tx *tx)
{
	if (tx->end == TX_OPEN)
		return;
	fprintf(stderr, "boxoffice: a transaction used after its end\n");
	abort();
}

void pg_tx_exec(struct pg_tx *tx, const struct pg_stmt *stmt, const struct pg_args *args, pg_fn *fn, void *arg)
{
	struct pg_op *op;

	must_be_open(tx);
	op = pg_op_new(tx->pg, sizeof(*op), OP_STMT, stmt, args);
	op->tx = tx;
	op->fn = fn;
	op->arg = arg;
	list_append(&tx->pending, &op->link);
	changed(tx);
}

void pg_tx_commit(struct pg_tx *tx, pg_fn *fn, void *arg)
{
	must_be_open(tx);
	tx->end = TX_COMMIT;
	tx->commit_fn = fn;
	tx->arg = arg;
	changed(tx);
}

void pg_tx_rollback(struct pg_tx *tx, loop_fn *fn, void *arg)
{
	must_be_open(tx);
	tx->end = TX_ROLLBACK;
	tx->rollback_fn = fn;
	tx->arg = arg;
	changed(tx);
}

/* ---- answers ---- */

static void answer_statement(struct pg_tx *tx, struct pg_op *op)
{
	if (tx->end != TX_ROLLBACK && !tx->pg->dead)
		pg_call(op->fn, op->arg, tx->failed ? &tx->failure : NULL, op->result);
	pg_op_free(op);
}

/* The statement failed at the server, the sync behind it is on its way, and no end is. */
static void clean_connection(struct pg_connection *c)
{
	if (pg_conn_send_simple(c, OP_ROLLBACK, NULL))
		pg_conn_send_simple(c, OP_SYNC, NULL);
}

static bool is_command(const PGresult *r, const char *tag)
{
	/* PQcmdStatus wants a PGresult it could write to, and does not */
	union {
		const PGresult *in;
		PGresult *out;
	} res = {r};

	return r && PQresultStatus(r) == PGRES_COMMAND_OK && !strcmp(PQcmdStatus(res.out), tag);
}

void pg_tx_answered(struct pg_op *op, bool lost)
{
	struct pg_tx *tx = op->tx;
	enum pg_op_kind kind = op->kind;
	ExecStatusType status = op->result ? PQresultStatus(op->result) : PGRES_FATAL_ERROR;
	/* a sync answers without a result, unless the commit failed */
	bool ok = (kind == OP_END && !op->result) || status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK ||
		  status == PGRES_EMPTY_QUERY;

	if (!tx) { /* our own ROLLBACK, or the owner was told long ago */
		pg_op_free(op);
		return;
	}
	tx->n_sent--;
	if (!lost) {
		pg_count_round_trip(tx->pg, op);
		if (kind == OP_END ? ok && !tx->failed : kind == OP_COMMIT && is_command(op->result, "COMMIT")) {
			tx->committed = true;
		} else if (kind == OP_COMMIT && ok && !tx->failed) {
			struct pg_failure failure;

			pg_failure_set(&failure, PG_ERROR, "40000", "the transaction was rolled back");
			fail(tx, &failure);
		} else if (!ok && kind != OP_ROLLBACK && !tx->failed) {
			struct pg_failure failure;

			if (status == PGRES_FATAL_ERROR)
				pg_failure_from(tx->pg, &failure, op->result);
			else
				pg_failure_set(&failure, PG_ERROR, "XX000", "an answer no statement here may have");
			fail(tx, &failure);
			if (!tx->end_sent)
				clean_connection(tx->conn);
		}
	}
	if (kind == OP_STMT)
		answer_statement(tx, op);
	else
		pg_op_free(op);
	/* pg_conn_lost settles when all are answered */
	if (!lost && (tx->failed || tx->committed))
		pg_tx_settle(tx);
}

void pg_tx_lost(struct pg_tx *tx, const char *why)
{
	tx->conn = NULL;
	fail_with(tx, tx->commit_sent ? PG_UNKNOWN : PG_NOT_SENT, why);
}

void pg_tx_settle(struct pg_tx *tx)
{
	struct pg *pg = tx->pg;
	struct pg_op *op;

	/* those sent come first; they are answered as their results come */
	while (!pg->dead && tx->n_sent == 0 && (tx->failed || tx->end == TX_ROLLBACK) &&
	       (op = list_first(&tx->pending, struct pg_op, link))) {
		list_remove(&op->link);
		answer_statement(tx, op);
	}
	if (pg->dead || tx->n_sent || tx->end == TX_OPEN)
		return;
	if (tx->end == TX_COMMIT && (tx->failed || tx->committed)) {
		pg_fn *fn = tx->commit_fn;
		void *arg = tx->arg;
		struct pg_failure failure = tx->failure;
		bool failed = tx->failed;

		if (tx->conn)
			tx->conn->tx = NULL; /* which becomes free when it has drained */
		pg_tx_free(tx);
		pg_call(fn, arg, failed ? &failure : NULL, NULL);
	} else if (tx->end == TX_ROLLBACK && !tx->conn && (tx->failed || tx->end_sent || !tx->begun)) {
		loop_fn *fn = tx->rollback_fn;
		void *arg = tx->arg;

		pg_tx_free(tx);
		if (fn)
			fn(arg);
	}
}

/* ---- the turn ---- */

static void give_up_connection(struct pg_tx *tx)
{
	if (tx->conn)
		tx->conn->tx = NULL;
	tx->conn = NULL;
	deferred_post(tx->pg->turn); /* somebody may wait for it */
}

/* Sends what may be sent. */
static void pump(struct pg_tx *tx)
{
	struct pg_connection *c = tx->conn;
	bool sent = false, whole;
	struct pg_op *op;

	if (tx->failed || tx->end_sent || (!c && tx->end != TX_ROLLBACK)) {
		pg_tx_settle(tx);
		return;
	}
	if (tx->end != TX_OPEN && !tx->begun && (tx->end == TX_ROLLBACK || list_empty(&tx->pending))) {
		/* nothing was ever sent: there is nothing to end */
		queue_leave(tx);
		give_up_connection(tx);
		tx->committed = tx->end == TX_COMMIT;
		pg_tx_settle(tx);
		return;
	}
	whole = tx->end == TX_COMMIT && !tx->begun;
	while (tx->end != TX_ROLLBACK && (op = list_first(&tx->pending, struct pg_op, link))) {
		if (!tx->begun && !whole && !pg_conn_send_simple(c, OP_BEGIN, tx))
			return;
		tx->begun = true;
		if (!pg_conn_send(c, op))
			return;
		sent = true;
	}
	if (tx->end == TX_OPEN) {
		if (sent)
			pg_conn_send_simple(c, OP_SYNC, NULL);
		return;
	}
	/* set before it is tried: a COMMIT whose sending failed half way may still arrive */
	tx->commit_sent = tx->end == TX_COMMIT && PQstatus(c->pq) == CONNECTION_OK && !c->broken;
	if (!pg_conn_send_simple(c, whole ? OP_END : tx->end == TX_COMMIT ? OP_COMMIT : OP_ROLLBACK, tx))
		return;
	tx->end_sent = true;
	if (!whole)
		pg_conn_send_simple(c, OP_SYNC, NULL);
}

static void assign(struct pg_tx *tx, struct pg_connection *c)
{
	queue_leave(tx);
	tx->conn = c;
	c->tx = tx;
	changed(tx);
}

void pg_tx_turn(struct pg *pg)
{
	struct pg_tx *tx;

	list_for_each(pos, tmp, &pg->lanes) {
		struct pg_lane *lane = list_entry(pos, struct pg_lane, link);

		if (pg_conn_idle(lane->conn) && (tx = list_first(&lane->waiting, struct pg_tx, queue)))
			assign(tx, lane->conn);
	}
	if (!list_empty(&pg->waiting_txs)) {
		list_for_each(pos, tmp, &pg->conns) {
			struct pg_connection *c = list_entry(pos, struct pg_connection, link);

			if (c->role == CONN_EXCLUSIVE && pg_conn_idle(c) &&
			    (tx = list_first(&pg->waiting_txs, struct pg_tx, queue)))
				assign(tx, c);
		}
	}
	while (!pg->dead && (tx = list_first(&pg->changed, struct pg_tx, changed))) {
		list_remove(&tx->changed);
		pump(tx);
	}
}

/* ---- deadlines ---- */

/* COMMIT is under way: its owner is told now, the connection sorts itself out. */
static void abandon(struct pg_tx *tx)
{
	struct pg_connection *c = tx->conn;

	fail_with(tx, PG_UNKNOWN, "the deadline passed before the answer came");
	c->tx = NULL;
	tx->conn = NULL;
	/* callbacks may not change c->sent: everything they ask for waits for the turn */
	list_for_each(pos, tmp, &c->sent) {
		struct pg_op *op = list_entry(pos, struct pg_op, link);

		if (op->tx != tx)
			continue;
		op->tx = NULL;
		tx->n_sent--;
		if (op->kind == OP_STMT && !tx->pg->dead)
			pg_call(op->fn, op->arg, &tx->failure, NULL);
	}
}

static void overdue(struct pg_tx *tx)
{
	struct pg_connection *c = tx->conn;

	if (!c) {
		fail_with(tx, PG_NOT_SENT, "the deadline passed while waiting for a connection");
	} else if (tx->commit_sent) {
		abandon(tx);
	} else if (tx->begun) {
		/* closing is the one rollback that cannot be late */
		c->backoff_ms = PG_BACKOFF_MIN_MS;
		fail_with(tx, PG_NOT_SENT, "the deadline passed before the commit");
		pg_conn_break(c, "a transaction passed its deadline");
		return;
	} else {
		give_up_connection(tx);
		fail_with(tx, PG_NOT_SENT, "the deadline passed before the first statement");
	}
	changed(tx);
}

int64_t pg_tx_deadlines(struct pg *pg, int64_t now_us)
{
	int64_t next_us = INT64_MAX;

	list_for_each(pos, tmp, &pg->txs) {
		struct pg_tx *tx = list_entry(pos, struct pg_tx, link);

		if (tx->failed || tx->committed || tx->end == TX_ROLLBACK)
			continue;
		if (tx->deadline_us <= now_us)
			overdue(tx); /* frees nothing: what follows from it is the turn's */
		else if (tx->deadline_us < next_us)
			next_us = tx->deadline_us;
		if (pg->dead)
			break;
	}
	return next_us;
}

/* ---- lanes ---- */

struct pg_lane *pg_lane_new(struct pg *pg)
{
	struct pg_lane *lane = xcalloc(1, sizeof(*lane));

	lane->pg = pg;
	list_init(&lane->waiting);
	list_append(&pg->lanes, &lane->link);
	lane->conn = pg_conn_new(pg, CONN_LANE);
	return lane;
}

bool pg_lane_ready(const struct pg_lane *lane)
{
	return lane->conn->state == CONN_READY;
}

void pg_lane_free(struct pg_lane *lane)
{
	if (!lane)
		return;
	lane->dead = true;
	deferred_post(lane->pg->turn);
}

void pg_lane_destroy(struct pg_lane *lane)
{
	struct pg_tx *tx;

	list_remove(&lane->link);
	if (lane->conn->pq)
		pg_conn_lost(lane->conn, "the lane was closed");
	while ((tx = list_first(&lane->waiting, struct pg_tx, queue)))
		fail_with(tx, PG_NOT_SENT, "the lane was closed");
	if (!lane->pg->dead)
		pg_conn_free(lane->conn);
	free(lane);
}
