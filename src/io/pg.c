/*
 * struct pg: the turn, single statements, deadlines.
 *
 * The turn runs deferred, at the end of every turn of the loop in which somebody wanted something:
 *   1. lanes given up and broken connections go
 *   2. waiting transactions get free connections, changed ones are moved on     (pg_tx.c)
 *   3. waiting statements go to the least loaded shared connections
 *   4. every connection with something new is flushed, once
 *
 * A single statement: waiting --sent with its sync--> in flight --the sync's answer--> done. Its owner is told early when
 * the deadline passes; then the entry stays in the pipeline, abandoned, until its answer comes.
 *
 * One timer serves all deadlines: it is set to the earliest and then looks at everything.
 */
#include "io/pg_int.h"

#include "base/xmalloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static void turn(void *arg);
static void wake(void *arg);

/* ---- small things ---- */

uint64_t pg_random(struct pg *pg)
{
	/* xorshift64: it only spreads reconnections */
	pg->random ^= pg->random << 13;
	pg->random ^= pg->random >> 7;
	pg->random ^= pg->random << 17;
	return pg->random;
}

void pg_one_line(char *out, size_t size, const char *text)
{
	size_t n = 0;

	for (; *text && n + 1 < size; text++) {
		unsigned char c = (unsigned char)*text;

		if (c >= ' ')
			out[n++] = *text;
		else if (n && out[n - 1] != ' ')
			out[n++] = ' ';
	}
	while (n && (out[n - 1] == ' ' || ((unsigned char)out[n - 1] >= 0x80 && *text)))
		n--; /* a cut character goes wholly */
	out[n] = '\0';
}

void pg_failure_set(struct pg_failure *f, enum pg_status status, const char *sqlstate, const char *message)
{
	memset(f, 0, sizeof(*f));
	f->status = status;
	snprintf(f->sqlstate, sizeof(f->sqlstate), "%s", sqlstate);
	pg_one_line(f->message, sizeof(f->message), message);
}

void pg_failure_from(struct pg *pg, struct pg_failure *f, const PGresult *r)
{
	const char *sqlstate = PQresultErrorField(r, PG_DIAG_SQLSTATE);
	const char *message = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
	const char *constraint = PQresultErrorField(r, PG_DIAG_CONSTRAINT_NAME);
	char *value;

	pg_failure_set(f, PG_ERROR, sqlstate ? sqlstate : "XX000", message ? message : "refused without a reason");
	if (!strcmp(f->sqlstate, "53100"))
		pg->disk_full_us = loop_now_us(pg->loop);
	if (constraint)
		pg_one_line(f->constraint, sizeof(f->constraint), constraint);
	/* "invalid input syntax for type integer: "what somebody typed"" */
	if (!strncmp(f->sqlstate, "22", 2) && (value = strpbrk(f->message, ":\"")))
		*value = '\0';
}

bool pg_error_is_transient(const struct pg_answer *answer)
{
	static const char *const codes[] = {"40001", "40P01", "55P03", "57014", "53", "57P"};

	for (size_t i = 0; answer->status == PG_ERROR && i < sizeof(codes) / sizeof(*codes); i++)
		if (!strncmp(answer->sqlstate, codes[i], strlen(codes[i])))
			return true;
	return false;
}

void pg_call(pg_fn *fn, void *arg, const struct pg_failure *failure, const PGresult *result)
{
	struct pg_answer answer = {.message = ""};

	if (!fn)
		return;
	if (failure) {
		answer.status = failure->status;
		memcpy(answer.sqlstate, failure->sqlstate, sizeof(answer.sqlstate));
		memcpy(answer.constraint, failure->constraint, sizeof(answer.constraint));
		answer.message = failure->message;
	} else {
		answer.result = result;
	}
	fn(arg, &answer);
}

void pg_count_round_trip(struct pg *pg, const struct pg_op *op)
{
	pg->round_trips++;
	pg->total_us += (uint64_t)(loop_now_us(pg->loop) - op->sent_us);
}

/* ---- statements known ---- */

static struct pg_known **slot_of(const struct pg *pg, const struct pg_stmt *stmt)
{
	size_t i = ((uintptr_t)stmt * UINT64_C(0x9e3779b97f4a7c15)) >> 32;

	for (;; i++) {
		struct pg_known **slot = &pg->by_stmt[i & pg->by_stmt_mask];

		if (!*slot || (*slot)->stmt == stmt)
			return slot;
	}
}

static void know_statements(struct pg *pg, const struct pg_stmt *const *const *lists)
{
	size_t n = 0, size = 16;

	for (size_t i = 0; lists && lists[i]; i++)
		for (size_t j = 0; lists[i][j]; j++)
			n++;
	while (size < 2 * n)
		size *= 2;
	pg->by_stmt = xcalloc(size, sizeof(*pg->by_stmt));
	pg->by_stmt_mask = size - 1;
	pg->known = xcalloc(n, sizeof(*pg->known));
	for (size_t i = 0; lists && lists[i]; i++) {
		for (size_t j = 0; lists[i][j]; j++) {
			struct pg_known **slot = slot_of(pg, lists[i][j]);

			if (*slot)
				continue; /* two lists may share one */
			*slot = &pg->known[pg->n_known++];
			(*slot)->stmt = lists[i][j];
		}
	}
}

static _Noreturn void wrong_use(const struct pg_stmt *stmt, const char *what)
{
	fprintf(stderr, "boxoffice: statement %s: %s\n", stmt->name, what);
	abort();
}

/* Binary parameters of the wrong type would be read as something else, or refused: the caller has a bug. */
void pg_op_check(const struct pg_op *op)
{
	const struct pg_known *known = op->known;
	char text[100];

	if (!known->described)
		return;
	if (op->n != known->n)
		wrong_use(known->stmt, "another number of parameters than it has");
	for (int i = 0; i < op->n; i++) {
		unsigned is = op->oids[i], wanted = known->types[i];

		/* 0: null of no type. From 16384 on: enums and domains, which travel as their base type.
		 * text, varchar, char and name (25, 1043, 1042, 19) travel alike. */
		if (is == 0 || is == wanted || wanted >= 16384 ||
		    (is == 25 && (wanted == 1043 || wanted == 1042 || wanted == 19)))
			continue;
		snprintf(text, sizeof(text), "parameter %d is of type %u, but %u was given", i + 1, wanted, is);
		wrong_use(known->stmt, text);
	}
}

/* ---- operations ---- */

void *pg_op_new(struct pg *pg, size_t head, enum pg_op_kind kind, const struct pg_stmt *stmt,
		const struct pg_args *args)
{
	int n = args ? args->n : 0;
	size_t bytes = 0, tables = (size_t)n * (sizeof(char *) + sizeof(int) + sizeof(unsigned));
	struct pg_op *op;
	char *at;

	for (int i = 0; i < n; i++)
		bytes += (size_t)args->lengths[i];
	op = xmalloc(head + tables + bytes);
	memset(op, 0, head);
	list_init(&op->link);
	op->kind = kind;
	op->n = n;
	at = (char *)op + head;
	op->values = (const char **)(void *)at;
	op->lengths = (int *)(void *)(at += (size_t)n * sizeof(char *));
	op->oids = (unsigned *)(void *)(at += (size_t)n * sizeof(int));
	at += (size_t)n * sizeof(unsigned);
	for (int i = 0; i < n; i++) {
		op->lengths[i] = args->lengths[i];
		op->oids[i] = args->oids[i];
		op->values[i] = args->values[i] ? at : NULL;
		if (args->values[i])
			memcpy(at, args->values[i], (size_t)args->lengths[i]);
		at += args->lengths[i];
	}
	if (stmt) {
		op->known = *slot_of(pg, stmt);
		if (!op->known)
			wrong_use(stmt, "not among those prepared");
		if (n != stmt->n_params)
			wrong_use(stmt, "another number of parameters than it has");
		pg_op_check(op);
	}
	return op;
}

void pg_op_free(struct pg_op *op)
{
	list_remove(&op->link);
	PQclear(op->result);
	free(op);
}

/* ---- single statements ---- */

static void query_free(struct pg_query *q);

struct pg_query *pg_query_start(struct pg *pg, const struct pg_stmt *stmt, const struct pg_args *args,
				int64_t deadline_ms, pg_fn *fn, void *arg)
{
	struct pg_query *q = pg_op_new(pg, sizeof(*q), OP_QUERY, stmt, args);

	q->pg = pg;
	q->op.fn = fn;
	q->op.arg = arg;
	list_init(&q->due);
	q->waiting = true;
	q->deadline_us = pg->n_waiting < PG_WAITING_MAX ? loop_now_us(pg->loop) + deadline_ms * 1000 : 0;
	list_append(&pg->waiting, &q->op.link);
	pg->n_waiting++;
	pg_wake_at(pg, q->deadline_us);
	deferred_post(pg->turn);
	return q;
}

bool pg_lane_query_start(struct pg_lane *lane, const struct pg_stmt *stmt, const struct pg_args *args,
			 int64_t deadline_ms, pg_fn *fn, void *arg)
{
	struct pg *pg = lane->pg;
	struct pg_query *q;

	if (lane->dead || !list_empty(&lane->waiting) || !pg_conn_idle(lane->conn))
		return false;
	q = pg_op_new(pg, sizeof(*q), OP_QUERY, stmt, args);
	q->pg = pg;
	q->op.fn = fn;
	q->op.arg = arg;
	list_init(&q->due);
	if (!pg_conn_send_query(lane->conn, q)) {
		query_free(q);
		return false;
	}
	q->deadline_us = loop_now_us(pg->loop) + deadline_ms * 1000;
	pg_wake_at(pg, q->deadline_us);
	return true;
}

static void query_free(struct pg_query *q)
{
	if (q->waiting)
		q->pg->n_waiting--;
	list_remove(&q->due);
	pg_op_free(&q->op);
}

void pg_query_cancel(struct pg_query *q)
{
	if (q->waiting) {
		query_free(q);
		return;
	}
	q->abandoned = true;
	list_remove(&q->due);
}

void pg_query_done(struct pg_query *q, const struct pg_failure *failure)
{
	struct pg *pg = q->pg;
	PGresult *result = q->op.result;
	ExecStatusType status = result ? PQresultStatus(result) : PGRES_FATAL_ERROR;
	bool tell = !q->abandoned && !pg->dead;
	struct pg_failure own;
	pg_fn *fn = q->op.fn;
	void *arg = q->op.arg;

	if (!failure)
		pg_count_round_trip(pg, &q->op);
	if (!failure && status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK && status != PGRES_EMPTY_QUERY) {
		if (result && status == PGRES_FATAL_ERROR)
			pg_failure_from(pg, &own, result);
		else
			pg_failure_set(&own, PG_ERROR, "XX000", "an answer no statement here may have");
		failure = &own;
	}
	q->op.result = NULL;
	query_free(q);
	if (tell)
		pg_call(fn, arg, failure, result);
	PQclear(result);
}

static void send_waiting(struct pg *pg)
{
	struct pg_query *q;

	while ((q = (struct pg_query *)list_first(&pg->waiting, struct pg_op, link))) {
		struct pg_connection *best = NULL;

		list_for_each(pos, tmp, &pg->conns) {
			struct pg_connection *c = list_entry(pos, struct pg_connection, link);

			if (c->role == CONN_SHARED && pg_conn_takes_query(c) && (!best || c->n_sent < best->n_sent))
				best = c;
		}
		if (!best)
			return;
		if (!pg_conn_send_query(best, q))
			continue; /* that connection is broken now, the query stays */
		q->waiting = false;
		pg->n_waiting--;
	}
}

/* ---- deadlines ---- */

void pg_wake_at(struct pg *pg, int64_t at_us)
{
	int64_t delay_us;

	if (at_us >= pg->wake_us)
		return;
	pg->wake_us = at_us;
	delay_us = at_us - loop_now_us(pg->loop);
	timer_set_ms(pg->wake, delay_us > 0 ? delay_us / 1000 + 1 : 0);
}

static void note_due(struct pg_query *q, int64_t now_us, int64_t *next_us, struct list *due)
{
	if (q->abandoned)
		return;
	if (q->deadline_us <= now_us)
		list_append(due, &q->due);
	else if (q->deadline_us < *next_us)
		*next_us = q->deadline_us;
}

static void query_deadlines(struct pg *pg, int64_t now_us, int64_t *next_us)
{
	struct pg_failure failure;
	struct pg_query *q;
	struct list due;

	list_init(&due);
	list_for_each(pos, tmp, &pg->waiting)
		note_due((struct pg_query *)list_entry(pos, struct pg_op, link), now_us, next_us, &due);
	list_for_each(pos, tmp, &pg->conns) {
		struct pg_connection *c = list_entry(pos, struct pg_connection, link);

		if (c->role == CONN_EXCLUSIVE) /* transactions only */
			continue;
		list_for_each(sent, next, &c->sent) {
			struct pg_op *op = list_entry(sent, struct pg_op, link);

			if (op->kind == OP_QUERY)
				note_due((struct pg_query *)op, now_us, next_us, &due);
		}
	}
	/* a callback may cancel others of them: that takes them out of the list */
	while (!pg->dead && (q = list_first(&due, struct pg_query, due))) {
		list_remove(&q->due);
		if (q->waiting) {
			pg_failure_set(&failure, PG_NOT_SENT, "",
				       q->deadline_us ? "the deadline passed while waiting for a connection"
						      : "too many statements are waiting");
			pg_query_done(q, &failure);
		} else {
			pg_failure_set(&failure, PG_UNKNOWN, "", "the deadline passed before the answer came");
			q->abandoned = true;
			pg_call(q->op.fn, q->op.arg, &failure, NULL);
		}
	}
	while ((q = list_first(&due, struct pg_query, due)))
		list_remove(&q->due); /* pg is being freed */
}

static void stuck_connections(struct pg *pg, int64_t now_us, int64_t *next_us)
{
	list_for_each(pos, tmp, &pg->conns) {
		struct pg_connection *c = list_entry(pos, struct pg_connection, link);

		if (c->state != CONN_READY || list_empty(&c->sent))
			continue;
		if (c->progress_us + pg->no_progress_us <= now_us)
			pg_conn_break(c, "no answer from the server");
		else if (c->progress_us + pg->no_progress_us < *next_us)
			*next_us = c->progress_us + pg->no_progress_us;
	}
}

static void wake(void *arg)
{
	struct pg *pg = arg;
	int64_t now_us = loop_now_us(pg->loop), next_us, next_query_us = INT64_MAX;

	pg_enter(pg);
	pg->wake_us = INT64_MAX;
	next_us = pg_tx_deadlines(pg, now_us);
	if (!pg->dead)
		stuck_connections(pg, now_us, &next_us);
	if (!pg->dead)
		query_deadlines(pg, now_us, &next_query_us);
	if (next_query_us < next_us)
		next_us = next_query_us;
	if (!pg->dead && next_us < INT64_MAX)
		pg_wake_at(pg, next_us);
	pg_leave(pg);
}

/* ---- the turn ---- */

static void tell_state(struct pg *pg)
{
	bool ready = pg_ready(pg);

	if (ready == pg->told_ready)
		return;
	pg->told_ready = ready;
	if (pg->on_state)
		pg->on_state(pg->arg, ready);
}

static void turn(void *arg)
{
	struct pg *pg = arg;

	pg_enter(pg);
	list_for_each(pos, tmp, &pg->lanes) {
		struct pg_lane *lane = list_entry(pos, struct pg_lane, link);

		if (lane->dead && !pg->dead)
			pg_lane_destroy(lane);
	}
	/* callbacks may add lanes and with them connections, at the end; nothing leaves the list here */
	list_for_each(pos, tmp, &pg->conns) {
		struct pg_connection *c = list_entry(pos, struct pg_connection, link);

		if (c->broken && !pg->dead)
			pg_conn_lost(c, c->error);
	}
	if (!pg->dead)
		pg_tx_turn(pg);
	if (!pg->dead) {
		send_waiting(pg);
		list_for_each(pos, tmp, &pg->conns)
			pg_conn_flush(list_entry(pos, struct pg_connection, link));
		tell_state(pg);
	}
	pg_leave(pg);
}

/* ---- the whole ---- */

struct pg *pg_new(struct loop *loop, const struct pg_config *config)
{
	struct pg *pg = xcalloc(1, sizeof(*pg));
	int64_t statement_ms = config->statement_timeout_ms;

	pg->loop = loop;
	pg->url = xstrdup(config->url);
	pg->application = xstrdup(config->application ? config->application : "boxoffice");
	snprintf(pg->statement_timeout, sizeof(pg->statement_timeout), "%lld", (long long)statement_ms);
	snprintf(pg->lock_timeout, sizeof(pg->lock_timeout), "%lld", (long long)config->lock_timeout_ms);
	pg->connect_timeout_ms = config->connect_timeout_ms;
	/* a statement that may run longer is not stuck before its own limit */
	pg->no_progress_us = (statement_ms + 2000 > PG_NO_PROGRESS_MS ? statement_ms + 2000 : PG_NO_PROGRESS_MS) * 1000;
	pg->on_state = config->on_state;
	pg->arg = config->arg;
	list_init(&pg->conns);
	list_init(&pg->lanes);
	list_init(&pg->txs);
	list_init(&pg->changed);
	list_init(&pg->waiting);
	list_init(&pg->waiting_txs);
	if (getrandom(&pg->random, sizeof(pg->random), 0) != sizeof(pg->random) || !pg->random)
		pg->random = (uint64_t)wall_now_us() | 1;
	know_statements(pg, config->statements);
	pg->turn = deferred_new(loop, turn, pg);
	pg->wake = timer_new(loop, wake, pg);
	pg->wake_us = INT64_MAX;
	for (int i = 0; i < config->shared; i++)
		pg_conn_new(pg, CONN_SHARED);
	for (int i = 0; i < config->exclusive; i++)
		pg_conn_new(pg, CONN_EXCLUSIVE);
	return pg;
}

static void destroy(struct pg *pg)
{
	struct pg_connection *c;
	struct pg_op *op;
	struct pg_tx *tx;
	struct pg_lane *lane;

	pg->dead = true;
	while ((c = list_first(&pg->conns, struct pg_connection, link)))
		pg_conn_free(c);
	while ((lane = list_first(&pg->lanes, struct pg_lane, link))) {
		/* its waiting transactions are pg's too and go below; they leave this queue first */
		while ((tx = list_first(&lane->waiting, struct pg_tx, queue)))
			pg_tx_free(tx);
		list_remove(&lane->link);
		free(lane);
	}
	while ((tx = list_first(&pg->txs, struct pg_tx, link)))
		pg_tx_free(tx);
	while ((op = list_first(&pg->waiting, struct pg_op, link)))
		query_free((struct pg_query *)op);
	deferred_free(pg->turn);
	timer_free(pg->wake);
	free(pg->known);
	free(pg->by_stmt);
	free(pg->url);
	free(pg->application);
	free(pg);
}

void pg_enter(struct pg *pg)
{
	pg->depth++;
}

void pg_leave(struct pg *pg)
{
	if (--pg->depth == 0 && pg->dead)
		destroy(pg);
}

void pg_free(struct pg *pg)
{
	if (!pg)
		return;
	pg->dead = true;
	if (pg->depth == 0)
		destroy(pg);
}

bool pg_ready(const struct pg *pg)
{
	bool any = false;

	list_for_each(pos, tmp, (struct list *)(uintptr_t)&pg->conns)
		any |= list_entry(pos, struct pg_connection, link)->state == CONN_READY;
	return any;
}

const char *pg_last_error(const struct pg *pg)
{
	return pg->error;
}

int64_t pg_disk_full_us(const struct pg *pg)
{
	return pg->disk_full_us;
}

const char *pg_timeline(const struct pg *pg)
{
	return pg->timeline;
}

void pg_stats(const struct pg *pg, uint64_t *ret_round_trips, uint64_t *ret_total_us, size_t *ret_waiting)
{
	if (ret_round_trips)
		*ret_round_trips = pg->round_trips;
	if (ret_total_us)
		*ret_total_us = pg->total_us;
	if (ret_waiting)
		*ret_waiting = pg->n_waiting + pg->n_waiting_txs;
}
