/*
 * One connection: made without blocking, prepared, then fed operations whose answers come back in order.
 *
 *   DOWN --timer--> CONNECTING --libpq says ok--> PREPARING --all prepared--> READY
 *     ^                  |                            |                         |
 *     +----- timeout, refusal, an error of the connection, no progress, a statement that does not prepare
 *
 * What a readable connection does here is the only place where answers are matched with operations. libpq in pipeline
 * mode gives for each operation its result and then NULL, for a sync one result and no NULL; after an error everything
 * up to the next sync is answered with PIPELINE_ABORTED. An implicit transaction commits at the sync, after its
 * statement was answered: a single statement is done only then.
 *
 * Called by pg.c and pg_tx.c from within a turn.
 */
#include "base/str.h"
#include "base/xmalloc.h"
#include "io/pg_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* client_min_messages: nobody reads notices. jit: these statements are short, compiling them is not. enable_seqscan: a generic
 * plan made while a table was empty would read it from end to end until it is analysed again; a fresh system on the minute
 * of its first sale was fifty times slower for it. */
static const char settings_sql[] =
	"SELECT set_config('statement_timeout', $1, false), set_config('lock_timeout', $2, false),"
	" set_config('idle_in_transaction_session_timeout', $3, false),"
	" set_config('plan_cache_mode', 'force_generic_plan', false), set_config('jit', 'off', false), "
	"set_config('enable_seqscan', 'off', false),"
	" set_config('TimeZone', 'UTC', false), set_config('client_min_messages', 'error', false)";

/* The control file's timeline is the last checkpoint's, which trails a promotion; the segment being written does not. */
static const char identify_sql[] =
	"SELECT (SELECT system_identifier FROM pg_control_system())::text || ':' ||"
	" CASE WHEN pg_is_in_recovery() THEN (SELECT timeline_id FROM pg_control_checkpoint())"
	" ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END";

/* What pg_timeline says when the role may not ask: constant, so that reconnecting looks like no change. */
#define IDENTITY_HIDDEN "hidden:0"

static void connect_start(struct pg_connection *c);
static void connect_poll(struct pg_connection *c);

static void set_state(struct pg_connection *c, enum conn_state to)
{
	bool ok = to == CONN_DOWN || to == c->state + 1;

	if (!ok) {
		fprintf(stderr, "boxoffice: pg connection from state %d to %d\n", c->state, to);
		abort();
	}
	c->state = to;
	deferred_post(c->pg->turn); /* work may go out, on_state may be told */
}

static void on_timer(void *arg)
{
	struct pg_connection *c = arg;
	struct pg *pg = c->pg;

	pg_enter(pg);
	if (c->state == CONN_DOWN)
		connect_start(c);
	else
		pg_conn_lost(c, "connecting took too long");
	pg_leave(pg);
}

struct pg_connection *pg_conn_new(struct pg *pg, enum conn_role role)
{
	struct pg_connection *c = xcalloc(1, sizeof(*c));

	c->pg = pg;
	c->role = role;
	c->backoff_ms = PG_BACKOFF_MIN_MS;
	list_init(&c->sent);
	list_append(&pg->conns, &c->link);
	c->timer = timer_new(pg->loop, on_timer, c);
	timer_set_ms(c->timer, 0);
	return c;
}

static void close_socket(struct pg_connection *c)
{
	/* before PQfinish: the descriptor's number may be somebody else's afterwards */
	fd_watch_free(c->watch);
	c->watch = NULL;
	PQfinish(c->pq);
	c->pq = NULL;
}

void pg_conn_free(struct pg_connection *c)
{
	struct pg_op *op;

	close_socket(c);
	timer_free(c->timer);
	while ((op = list_first(&c->sent, struct pg_op, link)))
		pg_op_free(op);
	list_remove(&c->link);
	free(c);
}

bool pg_conn_idle(const struct pg_connection *c)
{
	return c->state == CONN_READY && !c->broken && !c->retired && !c->tx && list_empty(&c->sent);
}

bool pg_conn_takes_query(const struct pg_connection *c)
{
	return c->state == CONN_READY && !c->broken && !c->retired && c->n_sent < PG_IN_FLIGHT_MAX;
}

/* ---- sending ---- */

void pg_conn_break(struct pg_connection *c, const char *why)
{
	if (!c->broken)
		pg_one_line(c->error, sizeof(c->error), why);
	c->broken = true;
	deferred_post(c->pg->turn);
}

static void sent(struct pg_connection *c, struct pg_op *op)
{
	op->sent_us = loop_now_us(c->pg->loop);
	if (list_empty(&c->sent)) {
		c->progress_us = op->sent_us;
		pg_wake_at(c->pg, c->progress_us + c->pg->no_progress_us);
	}
	list_append(&c->sent, &op->link);
	c->n_sent++;
	if (op->tx)
		op->tx->n_sent++;
	c->unflushed = true;
	deferred_post(c->pg->turn);
}

static bool usable(struct pg_connection *c)
{
	if (!c->broken && PQstatus(c->pq) == CONNECTION_OK)
		return true;
	pg_conn_break(c, PQerrorMessage(c->pq));
	return false;
}

static bool send_statement(struct pg_connection *c, struct pg_op *op)
{
	static const int binary[PG_ARGS_MAX] = {[0 ... PG_ARGS_MAX - 1] = 1};

	if (!usable(c))
		return false;
	pg_op_check(op);
	if (PQsendQueryPrepared(c->pq, op->known->stmt->name, op->n, op->values, op->lengths, binary, 1))
		return true;
	pg_conn_break(c, PQerrorMessage(c->pq));
	return false;
}

bool pg_conn_send(struct pg_connection *c, struct pg_op *op)
{
	if (!send_statement(c, op))
		return false;
	list_remove(&op->link);
	sent(c, op);
	return true;
}

/* Its sync must not be written at once where libpq lets us choose: one write carries a turn's statements. */
static bool send_sync(struct pg_connection *c)
{
#ifdef LIBPQ_HAS_SEND_PIPELINE_SYNC
	return PQsendPipelineSync(c->pq);
#else
	return PQpipelineSync(c->pq);
#endif
}

bool pg_conn_send_query(struct pg_connection *c, struct pg_query *q)
{
	/* without the sync nothing of it is ever committed, so a failure before it leaves the query unsent */
	if (!send_statement(c, &q->op))
		return false;
	list_remove(&q->op.link);
	sent(c, &q->op);
	if (!send_sync(c))
		pg_conn_break(c, PQerrorMessage(c->pq));
	return true;
}

static const char *const simple_names[] = {
	[OP_BEGIN] = "boxoffice_begin", [OP_COMMIT] = "boxoffice_commit", [OP_ROLLBACK] = "boxoffice_rollback"};

bool pg_conn_send_simple(struct pg_connection *c, enum pg_op_kind kind, struct pg_tx *tx)
{
	struct pg_op *op;

	if (!usable(c))
		return false;
	op = pg_op_new(c->pg, sizeof(*op), kind, NULL, NULL);
	op->tx = tx;
	sent(c, op);
	if (kind == OP_SYNC || kind == OP_END ? !send_sync(c)
					      : !PQsendQueryPrepared(c->pq, simple_names[kind], 0, NULL, NULL, NULL, 1))
		pg_conn_break(c, PQerrorMessage(c->pq));
	return true;
}

void pg_conn_flush(struct pg_connection *c)
{
	int rc;

	if (!c->unflushed || !c->pq || c->broken)
		return;
	rc = PQflush(c->pq);
	if (rc < 0)
		pg_conn_break(c, PQerrorMessage(c->pq));
	c->unflushed = rc > 0;
	fd_watch_set(c->watch, LOOP_READ | (rc > 0 ? LOOP_WRITE : 0));
}

/* ---- losing ---- */

static void op_lost(struct pg *pg, struct pg_op *op, const char *why)
{
	struct pg_failure failure;

	switch (op->kind) {
	case OP_QUERY:
		pg_failure_set(&failure, PG_UNKNOWN, "", why);
		/* a refusal that has come is final, an acceptance before the sync is not */
		if (op->result && PQresultStatus(op->result) == PGRES_FATAL_ERROR)
			pg_failure_from(pg, &failure, op->result);
		pg_query_done((struct pg_query *)op, &failure);
		break;
	case OP_BEGIN:
	case OP_STMT:
	case OP_COMMIT:
	case OP_ROLLBACK:
	case OP_END:
		pg_tx_answered(op, true);
		break;
	default:
		pg_op_free(op);
	}
}

void pg_conn_lost(struct pg_connection *c, const char *why)
{
	struct pg *pg = c->pg;
	struct pg_tx *tx = c->tx;
	struct list lost;
	struct pg_op *op;
	char reason[256];
	int64_t delay_ms = c->backoff_ms / 2 + (int64_t)(pg_random(pg) % (uint64_t)(c->backoff_ms / 2 + 1));

	pg_one_line(reason, sizeof(reason), why);
	pg_one_line(pg->error, sizeof(pg->error), why);
	close_socket(c);
	set_state(c, CONN_DOWN);
	timer_set_ms(c->timer, delay_ms);
	c->backoff_ms = c->backoff_ms * 2 < PG_BACKOFF_MAX_MS ? c->backoff_ms * 2 : PG_BACKOFF_MAX_MS;
	c->broken = c->retired = c->cleaning = c->unflushed = false;
	c->tx = NULL;
	c->n_sent = 0;
	if (tx)
		pg_tx_lost(tx, reason);
	list_init(&lost);
	while ((op = list_first(&c->sent, struct pg_op, link))) {
		list_remove(&op->link);
		list_append(&lost, &op->link);
	}
	/* callbacks from here on: they may ask for anything, but nothing of this connection changes by it */
	while ((op = list_first(&lost, struct pg_op, link))) {
		list_remove(&op->link);
		op_lost(pg, op, reason);
	}
	if (tx)
		pg_tx_settle(tx);
}

/* ---- answers ---- */

/* The session is over (or libpq made the result up because it is): what becomes of the work is for pg_conn_lost. */
static bool is_end_of_session(const PGresult *r)
{
	const char *severity;

	if (PQresultStatus(r) != PGRES_FATAL_ERROR)
		return false;
	if (!PQresultErrorField(r, PG_DIAG_SQLSTATE))
		return true;
	severity = PQresultErrorField(r, PG_DIAG_SEVERITY_NONLOCALIZED);
	return severity && (!strcmp(severity, "FATAL") || !strcmp(severity, "PANIC"));
}

static bool is_error(const PGresult *r)
{
	return !r || (PQresultStatus(r) != PGRES_TUPLES_OK && PQresultStatus(r) != PGRES_COMMAND_OK &&
		      PQresultStatus(r) != PGRES_EMPTY_QUERY);
}

static void setup_answered(struct pg_connection *c, struct pg_op *op)
{
	const PGresult *r = op->result;
	char text[512];

	if (op->kind == OP_IDENTIFY) {
		snprintf(c->identity, sizeof(c->identity), "%s",
			 is_error(r) || PQntuples(r) != 1 || PQgetisnull(r, 0, 0) ? IDENTITY_HIDDEN
										  : PQgetvalue(r, 0, 0));
		return;
	}
	if (is_error(r)) {
		/* only the first: what follows it in the pipeline is aborted for its sake */
		if (!*c->error) {
			pg_one_line(text, sizeof(text), PQresultErrorMessage(r));
			snprintf(c->error, sizeof(c->error), "%.60s: %.180s",
				 op->known ? op->known->stmt->name : "session settings", text);
		}
		return;
	}
	if (op->kind == OP_DESCRIBE && !op->known->described) {
		op->known->n = PQnparams(r);
		for (int i = 0; i < op->known->n && i < PG_ARGS_MAX; i++)
			op->known->types[i] = PQparamtype(r, i);
		op->known->described = true;
	}
}

/* Nothing is in flight: whoever had the connection is done with it, if it is clean. */
static void drained(struct pg_connection *c)
{
	struct pg_tx *tx = c->tx;

	if (c->state == CONN_PREPARING) {
		if (*c->error) {
			pg_conn_lost(c, c->error);
			return;
		}
		timer_clear(c->timer);
		c->backoff_ms = PG_BACKOFF_MIN_MS;
		memcpy(c->pg->timeline, c->identity, sizeof(c->pg->timeline));
		set_state(c, CONN_READY);
		return;
	}
	if (tx && !tx->failed && !tx->end_sent)
		return; /* an open transaction waits for its owner */
	if (PQtransactionStatus(c->pq) != PQTRANS_IDLE) {
		/* the COMMIT or ROLLBACK stood behind an error and was skipped */
		if (c->cleaning) {
			pg_conn_break(c, "a transaction cannot be ended");
			return;
		}
		c->cleaning = true;
		pg_conn_send_simple(c, OP_ROLLBACK, NULL);
		pg_conn_send_simple(c, OP_SYNC, NULL);
		return;
	}
	c->cleaning = false;
	if (c->retired)
		pg_conn_break(c, "a prepared statement is no longer usable");
	if (tx) {
		c->tx = NULL;
		tx->conn = NULL;
		pg_tx_settle(tx);
	}
	deferred_post(c->pg->turn);
}

/* What was prepared is gone, or the tables under it have changed: a new session prepares it again. */
static bool is_stale(const PGresult *r)
{
	const char *state = r ? PQresultErrorField(r, PG_DIAG_SQLSTATE) : NULL;
	const char *function = r ? PQresultErrorField(r, PG_DIAG_SOURCE_FUNCTION) : NULL;

	/* "cached plan must not change result type" shares its code with much else; the function's name is its own */
	return state && (!strcmp(state, "26000") ||
			 (!strcmp(state, "0A000") && function && !strcmp(function, "RevalidateCachedQuery")));
}

static void answered(struct pg_connection *c, struct pg_op *op)
{
	list_remove(&op->link);
	c->n_sent--;
	if (is_stale(op->result) && c->state == CONN_READY)
		c->retired = true;
	switch (op->kind) {
	case OP_QUERY:
		pg_query_done((struct pg_query *)op, NULL);
		break;
	case OP_BEGIN:
	case OP_STMT:
	case OP_COMMIT:
	case OP_ROLLBACK:
	case OP_END:
		pg_tx_answered(op, false);
		break;
	case OP_SETTINGS:
	case OP_PREPARE:
	case OP_DESCRIBE:
	case OP_IDENTIFY:
		setup_answered(c, op);
		pg_op_free(op);
		break;
	case OP_SYNC:
		pg_op_free(op);
		break;
	}
	if (!c->pg->dead && list_empty(&c->sent))
		drained(c);
}

static void result_came(struct pg_connection *c, struct pg_op *op, PGresult *r)
{
	c->progress_us = loop_now_us(c->pg->loop);
	if (!r) {
		op->answered = false;
		if (op->kind != OP_QUERY && op->kind != OP_SYNC && op->kind != OP_END)
			answered(c, op);
		return;
	}
	if (PQresultStatus(r) == PGRES_PIPELINE_SYNC) {
		PQclear(r);
		if (op->kind == OP_QUERY || op->kind == OP_SYNC || op->kind == OP_END)
			answered(c, op);
		else
			pg_conn_break(c, "answers out of order");
		return;
	}
	op->answered = true;
	/* a deferred constraint speaks at the sync, after the statement succeeded: the later word counts */
	PQclear(op->result);
	op->result = r;
}

static void receive(struct pg_connection *c)
{
	struct pg *pg = c->pg;
	bool lost = PQconsumeInput(c->pq) == 0;
	char why[256];

	pg_one_line(why, sizeof(why), lost ? PQerrorMessage(c->pq) : "");
	/* also after the end: what had arrived before it counts */
	while (c->pq && !c->broken && !pg->dead && !list_empty(&c->sent) && !PQisBusy(c->pq)) {
		struct pg_op *op = list_first(&c->sent, struct pg_op, link);
		PGresult *r = PQgetResult(c->pq);

		if (!r && !op->answered)
			break;
		if (r && is_end_of_session(r)) {
			const char *primary = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);

			pg_one_line(why, sizeof(why), primary ? primary : PQresultErrorMessage(r));
			PQclear(r);
			lost = true;
			break;
		}
		result_came(c, op, r);
	}
	if (!c->pq || pg->dead)
		return;
	if (!lost && PQisBusy(c->pq) == 0 && PQstatus(c->pq) == CONNECTION_BAD) {
		lost = true;
		pg_one_line(why, sizeof(why), PQerrorMessage(c->pq));
	}
	if (lost)
		pg_conn_lost(c, *why ? why : "connection lost");
}

static void on_fd(void *arg, int events)
{
	struct pg_connection *c = arg;
	struct pg *pg = c->pg;

	pg_enter(pg);
	if (c->state == CONN_CONNECTING) {
		connect_poll(c);
	} else {
		/* receive may lose the connection; the turn flushes again what is left */
		if (events & LOOP_WRITE) {
			c->unflushed = true;
			deferred_post(pg->turn);
		}
		if (events & LOOP_READ)
			receive(c);
	}
	pg_leave(pg);
}

/* ---- connecting ---- */

static void ignore_notice(void *arg, const PGresult *r)
{
}

static void connect_start(struct pg_connection *c)
{
	/* before dbname: what the url may override; after it: what it may not */
	const char *const names[] = {"gssencmode",	 "keepalives_idle", "keepalives_interval", "keepalives_count",
				     "application_name", "dbname",	    "client_encoding",	   NULL};
	const char *const values[] = {"disable", "15", "5", "3", c->pg->application, c->pg->url, "UTF8", NULL};

	*c->error = '\0';
	set_state(c, CONN_CONNECTING);
	timer_set_ms(c->timer, c->pg->connect_timeout_ms);
	c->pq = PQconnectStartParams(names, values, 1);
	if (!c->pq || PQstatus(c->pq) == CONNECTION_BAD) {
		pg_conn_lost(c, c->pq ? PQerrorMessage(c->pq) : "out of memory");
		return;
	}
	PQsetNoticeReceiver(c->pq, ignore_notice, NULL);
	c->watch = fd_watch_new(c->pg->loop, PQsocket(c->pq), on_fd, c);
	fd_watch_set(c->watch, LOOP_WRITE);
}

static bool setup_op(struct pg_connection *c, enum pg_op_kind kind, struct pg_known *known)
{
	struct pg_op *op = pg_op_new(c->pg, sizeof(*op), kind, NULL, NULL);
	char idle[24];
	const char *settings[] = {c->pg->statement_timeout, c->pg->lock_timeout, idle};
	int ok = 0;

	snprintf(idle, sizeof(idle), "%d", PG_IDLE_IN_TX_MS);
	op->known = known;
	sent(c, op);
	if (kind == OP_SETTINGS)
		ok = PQsendQueryParams(c->pq, settings_sql, 3, NULL, settings, NULL, NULL, 0);
	else if (kind == OP_IDENTIFY)
		ok = PQsendQueryParams(c->pq, identify_sql, 0, NULL, NULL, NULL, NULL, 0);
	else if (kind == OP_PREPARE)
		ok = PQsendPrepare(c->pq, known->stmt->name, known->stmt->sql, 0, NULL);
	else if (kind == OP_DESCRIBE)
		ok = PQsendDescribePrepared(c->pq, known->stmt->name);
	else if (kind == OP_SYNC)
		ok = send_sync(c);
	return ok != 0;
}

static bool setup_simple(struct pg_connection *c, enum pg_op_kind kind, const char *sql)
{
	struct pg_op *op = pg_op_new(c->pg, sizeof(*op), OP_SETTINGS, NULL, NULL);

	sent(c, op);
	return PQsendPrepare(c->pq, simple_names[kind], sql, 0, NULL) != 0;
}

/* All in one go: settings, every statement, who the server is. */
static void setup(struct pg_connection *c)
{
	struct pg *pg = c->pg;
	bool ok = PQsetnonblocking(c->pq, 1) == 0 && PQenterPipelineMode(c->pq);

	set_state(c, CONN_PREPARING);
	c->watch = fd_watch_new(pg->loop, PQsocket(c->pq), on_fd, c);
	fd_watch_set(c->watch, LOOP_READ);
	ok = ok && setup_op(c, OP_SETTINGS, NULL) && setup_simple(c, OP_BEGIN, "BEGIN") &&
	     setup_simple(c, OP_COMMIT, "COMMIT") && setup_simple(c, OP_ROLLBACK, "ROLLBACK");
	for (size_t i = 0; ok && i < pg->n_known; i++) {
		ok = setup_op(c, OP_PREPARE, &pg->known[i]);
		if (ok && !pg->known[i].described)
			ok = setup_op(c, OP_DESCRIBE, &pg->known[i]);
	}
	ok = ok && setup_op(c, OP_SYNC, NULL);
	/* behind a sync of its own: being refused is no reason to fail */
	ok = ok && setup_op(c, OP_IDENTIFY, NULL) && setup_op(c, OP_SYNC, NULL);
	if (!ok)
		pg_conn_lost(c, PQerrorMessage(c->pq));
}

static void connect_poll(struct pg_connection *c)
{
	PostgresPollingStatusType status;

	/* the next step may be on another socket, which may even get this one's number */
	fd_watch_free(c->watch);
	c->watch = NULL;
	status = PQconnectPoll(c->pq);
	if (status == PGRES_POLLING_FAILED) {
		pg_conn_lost(c, PQerrorMessage(c->pq));
	} else if (status == PGRES_POLLING_OK) {
		setup(c);
	} else {
		c->watch = fd_watch_new(c->pg->loop, PQsocket(c->pq), on_fd, c);
		fd_watch_set(c->watch, status == PGRES_POLLING_READING ? LOOP_READ : LOOP_WRITE);
	}
}
