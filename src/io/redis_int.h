/* What redis.c (commands) and redis_conn.c (the connection) share. The structure is explained in redis.c. */
#ifndef IO_REDIS_INT_H
#define IO_REDIS_INT_H

#include "base/buf.h"
#include "base/list.h"
#include "io/redis.h"
#include "io/redis_url.h"

#include <hiredis/hiredis.h> /* after io/redis.h: its macro REDIS_OK has the value of our enumerator */

enum {
	BACKOFF_MIN_MS = 50,
	BACKOFF_MAX_MS = 1000,
	OUT_MAX = 256 << 20, /* unsent bytes; a command beyond is refused */
	OUT_KEPT = 1 << 20,  /* more capacity than this is given back when all is sent */
	READ_CHUNK = 64 << 10,
	READ_ROUNDS = 16, /* chunks a turn, so that others get their turn */
	READER_KEPT = 256 << 10,
	SCRIPT_TRIES = 3,
	LOADS_MAX = 16, /* beyond it a script may be loaded twice, which does no harm */
	ERROR_MAX = 256,
};

enum redis_state { DOWN, CONNECTING, HELLO, READY };

/* CMD_HELLO: part of the greeting. CMD_LOAD: SCRIPT LOAD. */
enum redis_cmd_kind { CMD_CALLER, CMD_HELLO, CMD_LOAD };

struct redis_cmd {
	struct list link;
	struct redis *r;
	redis_fn *fn; /* NULL: fire and forget, or cancelled */
	void *arg;
	int64_t started_us, deadline_us;
	uint64_t end; /* where its text ends in the stream of this connection */
	const struct redis_script *script;
	enum redis_cmd_kind kind;
	int tries;
	size_t n; /* a script call keeps its text for a repetition */
	char text[];
};

struct redis {
	struct loop *loop;
	struct redis_config config;
	struct redis_url url;
	enum redis_state state;

	int fd; /* -1: none */
	struct fd_watch *watch;
	redisContext *connecting; /* until connected: owns the descriptor */
	redisReader *reader;
	struct buf out;
	size_t out_at;	       /* sent of out */
	uint64_t queued, sent; /* bytes of this connection's stream */

	struct list in_flight, refused;
	size_t n_in_flight;
	const struct redis_script *loads[LOADS_MAX]; /* SCRIPT LOAD is in flight */
	size_t n_loads;

	struct timer *state_timer; /* DOWN: when to connect. CONNECTING, HELLO: until when it must be READY */
	struct timer *cmd_timer;
	int64_t cmd_timer_us; /* when it fires; INT64_MAX: not set */
	struct deferred *turn_end;
	int64_t backoff_ms;

	char run_id[64];
	bool noeviction;
	char hello_error[ERROR_MAX]; /* why the greeting failed; "" while it has not */
	char load_error[ERROR_MAX];  /* of the last SCRIPT LOAD; "" when it went well */
	char last_error[ERROR_MAX];
	uint64_t answers, answers_us;
};

/* ---- redis_conn.c ---- */
/* Starts connecting; for DOWN. */
void redis_connect(struct redis *r);
/* The timer of the states: fn of r->state_timer. */
void redis_on_state_timer(void *arg);
/* Sends what there is to send; for HELLO and READY. May drop the connection. */
void redis_flush(struct redis *r);
/* Takes what has come, up to a limit; for HELLO and READY. Calls back; may drop the connection. true: the limit was
 * met, there may be more. */
bool redis_read_answers(struct redis *r);
/* Ends the connection and answers what was on it. The caller must not touch the connection afterwards. */
void redis_drop(struct redis *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same without answers, and for good. */
void redis_close_connection(struct redis *r);

/* ---- redis.c ---- */
/* text_size: room for a script call's text. */
struct redis_cmd *redis_cmd_new(struct redis *r, enum redis_cmd_kind kind, size_t text_size, redis_fn *fn, void *arg);
/* An upper bound of the text of these arguments; beyond OUT_MAX when one is far too long. */
size_t redis_args_size(const struct str *argv, size_t n);
/* Puts the command at the end of the connection's stream. size: redis_args_size(). */
void redis_enqueue_args(struct redis *r, struct redis_cmd *c, const struct str *argv, size_t argc, size_t size);
/* The first in flight, taken out of the list, or NULL. */
struct redis_cmd *redis_take_in_flight(struct redis *r);
/* The end of a command, which is in no list any more: frees it and calls back. */
void redis_cmd_answer(struct redis_cmd *c, enum redis_status status, const redisReply *reply, const char *error);
/* What the server said to a command that was taken out of the list. */
void redis_take_reply(struct redis *r, struct redis_cmd *c, const redisReply *reply);

#endif
