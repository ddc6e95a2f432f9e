/*
 * Private to pg*.c: the objects behind pg.h and who may touch what.
 *
 *   pg.c       struct pg, its turn (what is sent, and the one flush), single statements, deadlines
 *   pg_conn.c  struct pg_connection: connecting, preparing, matching results to the operations sent, losing a connection
 *   pg_tx.c    struct pg_tx and lanes
 *
 * Lifetimes. Calls of the public interface only note what is wanted and post the turn; callbacks are called from the
 * turn, from a readable connection or from a timer only, each between pg_enter and pg_leave. So nothing a callback can
 * call frees what its caller still walks over: pg_free called within one only marks, and the last pg_leave frees.
 *
 * An operation (struct pg_op) is one entry of a connection's pipeline; connection.sent holds them in the order their
 * answers will come. It is in exactly one list: waiting (of pg), pending (of its tx) or sent (of its connection).
 */
#ifndef IO_PG_INT_H
#define IO_PG_INT_H

#include "base/list.h"
#include "io/pg.h"

#include <libpq-fe.h>

enum {
	PG_ARGS_MAX = sizeof(((struct pg_args *)0)->values) / sizeof(char *),
	PG_IN_FLIGHT_MAX = 256,	 /* single statements on one shared connection */
	PG_WAITING_MAX = 100000, /* single statements without a place on a connection; more are refused */
	PG_BACKOFF_MIN_MS = 50,
	PG_BACKOFF_MAX_MS = 2000,
	PG_NO_PROGRESS_MS = 10000, /* work in flight and no answer for so long: the connection is given up */
	PG_IDLE_IN_TX_MS = 10000,  /* ends at the server what a stopped process leaves open */
};

struct pg_failure {
	enum pg_status status;
	char sqlstate[6];
	char constraint[64];
	char message[256];
};

enum pg_op_kind {
	OP_SETTINGS,
	OP_PREPARE,
	OP_DESCRIBE,
	OP_IDENTIFY,
	OP_QUERY,
	OP_BEGIN,
	OP_STMT,
	OP_COMMIT,
	OP_ROLLBACK,
	OP_SYNC,
	OP_END /* the sync that commits a transaction without BEGIN */
};

/* What is prepared, and the parameter types the server found in it (once per struct pg). */
struct pg_known {
	const struct pg_stmt *stmt;
	bool described;
	int n;
	unsigned types[PG_ARGS_MAX];
};

struct pg_op {
	struct list link;
	enum pg_op_kind kind;
	bool answered; /* a result has come and not yet the NULL that ends it */
	int64_t sent_us;
	PGresult *result;
	struct pg_tx *tx;	/* BEGIN, STMT, COMMIT, ROLLBACK, END; NULL: nobody is interested any more */
	struct pg_known *known; /* STMT, QUERY, PREPARE, DESCRIBE */
	pg_fn *fn;		/* STMT, QUERY */
	void *arg;
	int n; /* parameters, in the same piece of memory */
	const char **values;
	int *lengths;
	unsigned *oids;
};

struct pg_query {
	struct pg_op op; /* first: freed as one */
	struct pg *pg;
	struct list due; /* of those whose deadline has passed, while they are being told */
	bool waiting, abandoned;
	int64_t deadline_us;
};

enum tx_end { TX_OPEN, TX_COMMIT, TX_ROLLBACK };

struct pg_tx {
	struct list link;    /* pg.txs: all of them */
	struct list queue;   /* of those without a connection: pg.waiting_txs or lane.waiting */
	struct list changed; /* pg.changed: the turn looks at it */
	struct pg *pg;
	struct pg_lane *lane;
	struct pg_connection *conn;
	int64_t deadline_us;
	struct list pending; /* operations not sent */
	int n_sent;	     /* operations sent and not answered that point here */
	enum tx_end end;     /* what the caller asked for */
	bool begun;	     /* BEGIN was sent */
	bool end_sent;	     /* COMMIT or ROLLBACK and the sync were sent */
	bool commit_sent, committed, failed;
	struct pg_failure failure;
	pg_fn *commit_fn;
	loop_fn *rollback_fn;
	void *arg;
};

struct pg_lane {
	struct list link; /* pg.lanes */
	struct pg *pg;
	struct pg_connection *conn;
	struct list waiting; /* of transactions */
	bool dead;
};

enum conn_role { CONN_SHARED, CONN_EXCLUSIVE, CONN_LANE };
enum conn_state { CONN_DOWN, CONN_CONNECTING, CONN_PREPARING, CONN_READY };

/* Not pg_conn: that is libpq's tag for PGconn, and the compiler could not tell the two apart. */
struct pg_connection {
	struct list link; /* pg.conns */
	struct pg *pg;
	enum conn_role role;
	enum conn_state state;
	PGconn *pq; /* NULL when DOWN */
	struct fd_watch *watch;
	struct timer *timer; /* DOWN: until the next attempt. CONNECTING, PREPARING: the attempt's end */
	int64_t backoff_ms;
	struct list sent;
	int n_sent;
	int64_t progress_us; /* last answer, or when work was first sent */
	struct pg_tx *tx;
	bool unflushed, cleaning;
	bool broken;  /* to be closed by the turn: no use in going on */
	bool retired; /* takes nothing new and is closed when empty */
	char error[256];
	char identity[64];
};

struct pg {
	struct loop *loop;
	char *url, *application;
	char statement_timeout[24], lock_timeout[24];
	int64_t connect_timeout_ms, no_progress_us;
	void (*on_state)(void *arg, bool any_ready);
	void *arg;
	bool told_ready;

	struct pg_known *known;
	size_t n_known;
	struct pg_known **by_stmt; /* open addressing, by address; a power of two */
	size_t by_stmt_mask;

	struct list conns, lanes, txs, changed;
	struct list waiting; /* single statements */
	struct list waiting_txs;
	size_t n_waiting, n_waiting_txs; /* the latter of lanes too */

	struct deferred *turn;
	struct timer *wake;
	int64_t wake_us; /* INT64_MAX: not set */
	int depth;	 /* of pg_enter */
	bool dead;
	uint64_t random;
	uint64_t round_trips, total_us;
	int64_t disk_full_us; /* when a statement was refused for want of room; 0: never */
	char error[512];
	char timeline[64];
};

/* pg.c */
void pg_enter(struct pg *pg);
void pg_leave(struct pg *pg); /* may free pg */
void pg_wake_at(struct pg *pg, int64_t at_us);
uint64_t pg_random(struct pg *pg);
void pg_query_done(struct pg_query *q,
		   const struct pg_failure *failure); /* calls back and frees; NULL: by its result */
/* head bytes of an object that begins with the operation, then the copied parameters. */
void *pg_op_new(struct pg *pg, size_t head, enum pg_op_kind kind, const struct pg_stmt *stmt,
		const struct pg_args *args);
void pg_op_free(struct pg_op *op);
void pg_op_check(const struct pg_op *op);
void pg_count_round_trip(struct pg *pg, const struct pg_op *op);
void pg_failure_set(struct pg_failure *f, enum pg_status status, const char *sqlstate, const char *message);
/* From the server's refusal: PG_ERROR. */
void pg_failure_from(struct pg *pg, struct pg_failure *f, const PGresult *r);
void pg_call(pg_fn *fn, void *arg, const struct pg_failure *failure, const PGresult *result);
void pg_one_line(char *out, size_t size, const char *text);

/* pg_conn.c */
struct pg_connection *pg_conn_new(struct pg *pg, enum conn_role role);
void pg_conn_free(struct pg_connection *c);	  /* its operations are freed without a word */
bool pg_conn_idle(const struct pg_connection *c); /* READY and free for a transaction */
bool pg_conn_takes_query(const struct pg_connection *c);
/* false: nothing of it can take effect, and the connection is marked broken. */
bool pg_conn_send(struct pg_connection *c, struct pg_op *op);
bool pg_conn_send_query(struct pg_connection *c, struct pg_query *q);
bool pg_conn_send_simple(struct pg_connection *c, enum pg_op_kind kind,
			 struct pg_tx *tx); /* BEGIN, COMMIT, ROLLBACK, SYNC, END */
void pg_conn_flush(struct pg_connection *c);
/* Everything in flight is answered; the connection is opened again after a pause. */
void pg_conn_lost(struct pg_connection *c, const char *why);
void pg_conn_break(struct pg_connection *c, const char *why); /* the same, by the next turn */

/* pg_tx.c */
void pg_tx_turn(struct pg *pg);
void pg_tx_settle(struct pg_tx *tx);		  /* may free tx */
void pg_tx_answered(struct pg_op *op, bool lost); /* of BEGIN, STMT, COMMIT, ROLLBACK, END */
void pg_tx_lost(struct pg_tx *tx, const char *why);
int64_t pg_tx_deadlines(struct pg *pg, int64_t now_us); /* returns the next one */
void pg_tx_free(struct pg_tx *tx);
void pg_lane_destroy(struct pg_lane *lane);

#endif
