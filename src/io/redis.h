/*
 * One Redis connection on the loop (hiredis's connecting and parser beneath): commands, scripts by SHA with reload, a
 * deadline per command, reconnection with backoff. Commands are sent in the order they were started, those of one turn
 * of the loop together at its end.
 *
 *   DOWN --connect--> HELLO (auth, INFO: run id and policy) --> READY --error, timeout--> DOWN (again after a backoff)
 *
 * While not READY every start is answered REDIS_NOT_SENT at the end of the turn. hiredis has no timeout per command: on
 * ours the connection is closed, because answers after it could not be told apart, and everything in flight is
 * REDIS_UNKNOWN, except commands whose last byte had not left: those are REDIS_NOT_SENT.
 *
 * Callbacks may start and cancel commands, not free the connection. They run exactly once unless cancelled, in the
 * order of the answers. A command's handle ends when its callback begins. A host name is resolved by the system, which
 * may block at every connect: give an address or a unix socket.
 */
#ifndef IO_REDIS_H
#define IO_REDIS_H

#include "base/str.h"
#include "io/loop.h"

struct redis;
struct redis_cmd;

struct redis_script {
	const char *name, *body;
	char sha[41];
};

struct redis_config {
	/* redis://[[user]:password@]host[:port][/db] or unix:///path[?db=n]; %XX in user, password, path. Not kept. */
	const char *url;
	int64_t connect_timeout_ms, command_timeout_ms; /* over 0; the first covers the greeting too */
	/* Called at every change between READY and not, at a loss before the callbacks of the commands; may be NULL. */
	void (*on_state)(void *arg, bool ready);
	void *arg;
};

/* NULL with a sentence in ret_error when the URL is wrong. Connects at once. */
struct redis *redis_new(struct loop *loop, const struct redis_config *config, char *ret_error, size_t error_size);
void redis_free(struct redis *r); /* open commands are dropped without callback */
bool redis_ready(const struct redis *r);
/* What the server said of itself at connect: changes when it restarts or another one answers. "" before the first. */
const char *redis_run_id(const struct redis *r);
/* maxmemory-policy is noeviction or there is no maxmemory (a lock mark that is evicted is a seat shown as free). Read
 * at connect, from INFO, as hosted servers refuse CONFIG; false when unknown. */
bool redis_noeviction(const struct redis *r);
const char *redis_last_error(const struct redis *r);
size_t redis_in_flight(const struct redis *r);
/* Round trips answered, and their summed time, since the start. */
void redis_stats(const struct redis *r, uint64_t *ret_count, uint64_t *ret_total_us);

enum redis_status {
	REDIS_OK,
	REDIS_ERROR,	/* the server refused: error says why */
	REDIS_NOT_SENT, /* not connected: nothing happened */
	REDIS_UNKNOWN,	/* sent, then the connection or the time was lost */
};

enum redis_type { REDIS_NIL, REDIS_INT, REDIS_STRING, REDIS_ARRAY };

struct redis_value;
/* NULL counts as REDIS_NIL, and so does an error inside an array (EXEC). */
enum redis_type redis_type(const struct redis_value *v);
int64_t redis_int(const struct redis_value *v);	   /* 0 unless REDIS_INT or a decimal string */
struct str redis_str(const struct redis_value *v); /* status replies too; empty unless a string */
size_t redis_count(const struct redis_value *v);   /* 0 unless REDIS_ARRAY */
const struct redis_value *redis_item(const struct redis_value *v, size_t i);

struct redis_answer {
	enum redis_status status;
	const struct redis_value *value; /* valid during the callback */
	const char *error;		 /* never NULL */
};
typedef void redis_fn(void *arg, const struct redis_answer *answer);

/* fn NULL: fire and forget. Arguments are copied. timeout_ms 0: the configured one. */
struct redis_cmd *redis_cmd_start(struct redis *r, const struct str *argv, size_t argc, int64_t timeout_ms,
				  redis_fn *fn, void *arg);
/* EVALSHA; on NOSCRIPT the script is loaded and the call repeated, unseen by the caller: its effects then come later
 * than those of commands that were started after it. The script must live until the answer. */
struct redis_cmd *redis_eval_start(struct redis *r, const struct redis_script *script, const struct str *keys,
				   size_t n_keys, const struct str *args, size_t n_args, int64_t timeout_ms,
				   redis_fn *fn, void *arg);
/* fn will not run. What was sent still takes effect. */
void redis_cmd_cancel(struct redis_cmd *c);

#endif
