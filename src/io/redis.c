/*
 * Owns the connection to one Redis server and the commands on it. Callers: anything that keeps marks in Redis.
 *
 *   DOWN ---timer--> CONNECTING ---writable--> HELLO ---last answer--> READY
 *    ^                   |                       |                       |
 *    +-------------------+-----------------------+-----------------------+   drop(): error, timeout, end of file
 *
 * set_state() makes every move. From hiredis come the connecting and the reply parser; the queue is ours, because
 * hiredis's own (async.h) differs between its versions, has no timeouts in the older, and cannot tell a command that
 * has left from one that still lies in its buffer. That is the difference between "unknown" and "did not happen".
 *
 * A command is in one of two lists:
 *   in_flight  in the order of the bytes on the connection, which is the order of the answers. Its text goes to `out`,
 *              which is sent once at the end of the turn.
 *   refused    started while not READY; answered at the end of the turn.
 * A cancelled command stays where it is without fn: its answer still comes.
 *
 * Timeouts: one timer for all, set to the earliest deadline it has been told of; when it fires it looks through
 * in_flight. A deadline costs nothing per command that way.
 *
 * Nothing calls back from inside a start or a cancel: callbacks come from the descriptor, a timer, or the deferred
 * call. So a callback may start and cancel commands: no list is walked across it.
 */
#include "io/redis.h"

#include "base/buf.h"
#include "base/list.h"
#include "base/xmalloc.h"
#include "io/redis_url.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <hiredis/hiredis.h> /* after io/redis.h: its macro REDIS_OK has the value of our enumerator */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

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

enum state { DOWN, CONNECTING, HELLO, READY };

/* CMD_HELLO: part of the greeting. CMD_LOAD: SCRIPT LOAD. */
enum cmd_kind { CMD_CALLER, CMD_HELLO, CMD_LOAD };

struct redis_cmd {
	struct list link;
	struct redis *r;
	redis_fn *fn; /* NULL: fire and forget, or cancelled */
	void *arg;
	int64_t started_us, deadline_us;
	uint64_t end; /* where its text ends in the stream of this connection */
	const struct redis_script *script;
	enum cmd_kind kind;
	int tries;
	size_t n; /* a script call keeps its text for a repetition */
	char text[];
};

struct redis {
	struct loop *loop;
	struct redis_config config;
	struct redis_url url;
	enum state state;

	int fd; /* -1: none */
	struct fd_watch *watch;
	redisContext *connecting; /* until connected: owns the descriptor */
	redisReader *reader;
	struct buf out;
	size_t out_at;         /* sent of out */
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

static void drop(struct redis *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void on_fd(void *arg, int events);

static void set_state(struct redis *r, enum state to)
{
	static const bool arrow[4][4] = {
		[DOWN] = {[CONNECTING] = true},
		[CONNECTING] = {[DOWN] = true, [HELLO] = true},
		[HELLO] = {[DOWN] = true, [READY] = true},
		[READY] = {[DOWN] = true},
	};

	assert(arrow[r->state][to]);
	r->state = to;
}

static int64_t jittered_ms(int64_t ms)
{
	uint32_t random = 0;

	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != (ssize_t)sizeof(random))
		random = (uint32_t)wall_now_us();
	return ms / 2 + (int64_t)(random % (uint32_t)(ms - ms / 2 + 1));
}

/* ---- the text of a command (RESP) ---- */

/* Room for "*123\r\n" or "$123\r\n", whatever the number. */
enum { RESP_HEAD_MAX = 24 };

static char *put_head(char *at, char sign, size_t n)
{
	char digits[20], *d = digits + sizeof(digits);

	*at++ = sign;
	do {
		*--d = (char)('0' + n % 10);
		n /= 10;
	} while (n);
	memcpy(at, d, (size_t)(digits + sizeof(digits) - d));
	at += digits + sizeof(digits) - d;
	*at++ = '\r';
	*at++ = '\n';
	return at;
}

static char *put_args(char *at, const struct str *argv, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		at = put_head(at, '$', argv[i].n);
		if (argv[i].n)
			memcpy(at, argv[i].p, argv[i].n);
		at += argv[i].n;
		*at++ = '\r';
		*at++ = '\n';
	}
	return at;
}

/* An upper bound. SIZE_MAX / 2 and more: it is far too long anyway. */
static size_t args_size(const struct str *argv, size_t n)
{
	size_t size = 0;

	for (size_t i = 0; i < n; i++) {
		if (argv[i].n > OUT_MAX || size > OUT_MAX)
			return SIZE_MAX / 2;
		size += argv[i].n + RESP_HEAD_MAX + 2;
	}
	return size;
}

/* ---- in and out of the lists ---- */

static struct redis_cmd *cmd_new(struct redis *r, enum cmd_kind kind, size_t text_size, redis_fn *fn, void *arg)
{
	struct redis_cmd *c = xmalloc(sizeof(*c) + text_size);

	memset(c, 0, sizeof(*c));
	list_init(&c->link);
	c->r = r;
	c->kind = kind;
	c->fn = fn;
	c->arg = arg;
	c->deadline_us = INT64_MAX;
	return c;
}

static void watch_deadline(struct redis *r, int64_t deadline_us)
{
	int64_t ms;

	if (deadline_us >= r->cmd_timer_us)
		return;
	r->cmd_timer_us = deadline_us;
	ms = (deadline_us - loop_now_us(r->loop) + 999) / 1000;
	timer_set_ms(r->cmd_timer, ms);
}

/* The command's text has just been added to out. */
static void enqueue(struct redis *r, struct redis_cmd *c, size_t n)
{
	r->queued += n;
	c->end = r->queued;
	list_append(&r->in_flight, &c->link);
	r->n_in_flight++;
	watch_deadline(r, c->deadline_us);
	deferred_post(r->turn_end);
}

static bool room_in_out(const struct redis *r, size_t n)
{
	return n <= OUT_MAX && r->out.n - r->out_at <= OUT_MAX - n;
}

/* Adds text as it is. room_in_out has said yes. */
static void enqueue_text(struct redis *r, struct redis_cmd *c, const char *text, size_t n)
{
	buf_add(&r->out, text, n);
	enqueue(r, c, n);
}

/* size is args_size(). */
static void enqueue_args(struct redis *r, struct redis_cmd *c, const struct str *argv, size_t argc, size_t size)
{
	char *from = buf_room(&r->out, size + RESP_HEAD_MAX), *to = put_args(put_head(from, '*', argc), argv, argc);

	r->out.n += (size_t)(to - from);
	enqueue(r, c, (size_t)(to - from));
}

static void refuse(struct redis *r, struct redis_cmd *c)
{
	list_append(&r->refused, &c->link);
	deferred_post(r->turn_end);
}

/* The end of a command, which is in no list any more. */
static void cmd_answer(struct redis_cmd *c, enum redis_status status, const redisReply *reply, const char *error)
{
	redis_fn *fn = c->fn;
	void *arg = c->arg;
	struct redis_answer answer = {
		.status = status,
		.value = (const struct redis_value *)(const void *)reply,
		.error = error,
	};

	free(c);
	if (fn)
		fn(arg, &answer);
}

static struct redis_cmd *take_first_in_flight(struct redis *r)
{
	struct redis_cmd *c = list_first(&r->in_flight, struct redis_cmd, link);

	if (c) {
		list_remove(&c->link);
		r->n_in_flight--;
	}
	return c;
}

/* ---- connection: down ---- */

static void close_connection(struct redis *r)
{
	fd_watch_free(r->watch);
	r->watch = NULL;
	if (r->connecting)
		redisFree(r->connecting);
	else if (r->fd >= 0)
		close(r->fd);
	r->connecting = NULL;
	r->fd = -1;
	if (r->reader)
		redisReaderFree(r->reader);
	r->reader = NULL;
	buf_done(&r->out);
	r->out_at = 0;
	r->n_loads = 0;
	timer_clear(r->cmd_timer);
	r->cmd_timer_us = INT64_MAX;
}

/* Ends the connection and answers what was on it. The caller must not touch the connection afterwards. */
static void drop(struct redis *r, const char *fmt, ...)
{
	bool was_ready = r->state == READY;
	uint64_t sent = r->sent;
	struct redis_cmd *c;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(r->last_error, sizeof(r->last_error), fmt, ap);
	va_end(ap);
	close_connection(r);
	set_state(r, DOWN);
	timer_set_ms(r->state_timer, jittered_ms(r->backoff_ms));
	r->backoff_ms = r->backoff_ms * 2 < BACKOFF_MAX_MS ? r->backoff_ms * 2 : BACKOFF_MAX_MS;
	if (was_ready && r->config.on_state)
		r->config.on_state(r->config.arg, false);
	while ((c = take_first_in_flight(r))) {
		/* a command whose last byte has not left cannot have been executed */
		if (c->kind == CMD_CALLER)
			cmd_answer(c, c->end <= sent ? REDIS_UNKNOWN : REDIS_NOT_SENT, NULL, r->last_error);
		else
			free(c);
	}
}

/* ---- connection: sending ---- */

static void flush(struct redis *r)
{
	while (r->out_at < r->out.n) {
		ssize_t n = send(r->fd, r->out.p + r->out_at, r->out.n - r->out_at, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		if (n < 0) {
			drop(r, "sending: %s", strerror(errno));
			return;
		}
		r->out_at += (size_t)n;
		r->sent += (uint64_t)n;
	}
	if (r->out_at == r->out.n) {
		r->out_at = 0;
		buf_reset(&r->out);
		if (r->out.cap > OUT_KEPT)
			buf_done(&r->out);
		fd_watch_set(r->watch, LOOP_READ);
		return;
	}
	if (r->out_at > r->out.n / 2) {
		buf_eat(&r->out, r->out_at);
		r->out_at = 0;
	}
	fd_watch_set(r->watch, LOOP_READ | LOOP_WRITE);
}

static void on_turn_end(void *arg)
{
	struct redis *r = arg;
	struct redis_cmd *c;

	if (r->state == HELLO || r->state == READY)
		flush(r);
	while ((c = list_first(&r->refused, struct redis_cmd, link))) {
		list_remove(&c->link);
		cmd_answer(c, REDIS_NOT_SENT, NULL,
		           r->last_error[0]    ? r->last_error
		           : r->state == READY ? "too much is waiting to be sent to Redis"
		                               : "not connected to Redis yet");
	}
}

/* ---- greeting ---- */

static void hello_failed(struct redis *r, const char *what, const char *why)
{
	if (!r->hello_error[0])
		snprintf(r->hello_error, sizeof(r->hello_error), "%s: %s", what, why);
}

/* The value of a line "name:value" of INFO. */
static struct str info_field(struct str info, const char *name)
{
	while (info.n) {
		struct str line, value, key;

		info = str_split(info, '\n', &line);
		value = str_split(line, ':', &key);
		if (!str_eqc(key, name))
			continue;
		if (value.n && value.p[value.n - 1] == '\r')
			value.n--;
		return value;
	}
	return STR_NULL;
}

static void on_hello_plain(void *arg, const struct redis_answer *answer)
{
	if (answer->status != REDIS_OK)
		hello_failed(arg, "signing in", answer->error);
}

static void on_hello_server(void *arg, const struct redis_answer *answer)
{
	struct redis *r = arg;
	struct str run_id = info_field(redis_str(answer->value), "run_id");

	if (answer->status != REDIS_OK)
		hello_failed(r, "INFO server", answer->error);
	else if (!run_id.n || run_id.n >= sizeof(r->run_id))
		/* without it a restart, which empties the server, would go unnoticed */
		hello_failed(r, "INFO server", "it names no run_id");
	else
		snprintf(r->run_id, sizeof(r->run_id), "%.*s", STR_FMT(run_id));
}

/* The last of the greeting. INFO and not CONFIG GET: hosted servers refuse CONFIG. */
static void on_hello_memory(void *arg, const struct redis_answer *answer)
{
	struct redis *r = arg;
	struct str info = redis_str(answer->value);

	if (answer->status != REDIS_OK)
		hello_failed(r, "INFO memory", answer->error);
	r->noeviction = str_eqc(info_field(info, "maxmemory_policy"), "noeviction") ||
	                str_eqc(info_field(info, "maxmemory"), "0");
	if (r->hello_error[0])
		return;
	timer_clear(r->state_timer);
	r->backoff_ms = BACKOFF_MIN_MS;
	r->last_error[0] = '\0';
	set_state(r, READY);
	if (r->config.on_state)
		r->config.on_state(r->config.arg, true);
}

static void hello_cmd(struct redis *r, redis_fn *fn, const struct str *argv, size_t argc)
{
	enqueue_args(r, cmd_new(r, CMD_HELLO, 0, fn, r), argv, argc, args_size(argv, argc));
}

static void start_hello(struct redis *r)
{
	struct str user = str_from(r->url.user), password = str_from(r->url.password);
	char db[16];

	r->fd = redisFreeKeepFd(r->connecting);
	r->connecting = NULL;
	r->reader = redisReaderCreate();
	if (!r->reader)
		abort();
	r->reader->maxbuf = READER_KEPT;
	r->queued = r->sent = 0;
	r->hello_error[0] = r->load_error[0] = '\0';
	set_state(r, HELLO);
	if (password.n && user.n)
		hello_cmd(r, on_hello_plain, (struct str[]){STR("AUTH"), user, password}, 3);
	else if (password.n)
		hello_cmd(r, on_hello_plain, (struct str[]){STR("AUTH"), password}, 2);
	if (r->url.db) {
		snprintf(db, sizeof(db), "%d", r->url.db);
		hello_cmd(r, on_hello_plain, (struct str[]){STR("SELECT"), str_from(db)}, 2);
	}
	hello_cmd(r, on_hello_server, (struct str[]){STR("INFO"), STR("server")}, 2);
	hello_cmd(r, on_hello_memory, (struct str[]){STR("INFO"), STR("memory")}, 2);
	fd_watch_set(r->watch, LOOP_READ);
}

/* ---- scripts ---- */

static bool is_noscript(const redisReply *reply)
{
	return reply->type == REDIS_REPLY_ERROR && str_starts((struct str){reply->str, reply->len}, STR("NOSCRIPT"));
}

static void on_loaded(struct redis *r, const struct redis_script *script, const redisReply *reply)
{
	for (size_t i = 0; i < r->n_loads; i++) {
		if (r->loads[i] == script) {
			r->loads[i] = r->loads[--r->n_loads];
			break;
		}
	}
	r->load_error[0] = '\0';
	if (reply->type == REDIS_REPLY_ERROR)
		snprintf(r->load_error, sizeof(r->load_error), "loading script %s: %s", script->name, reply->str);
	else if (reply->type != REDIS_REPLY_STRING || strcmp(reply->str, script->sha) != 0)
		snprintf(r->load_error, sizeof(r->load_error), "script %s: its sha is not that of its body",
		         script->name);
}

static void load_script(struct redis *r, const struct redis_script *script, int64_t deadline_us)
{
	struct str argv[] = {STR("SCRIPT"), STR("LOAD"), str_from(script->body)};
	struct redis_cmd *c = cmd_new(r, CMD_LOAD, 0, NULL, NULL);

	c->script = script;
	c->started_us = loop_now_us(r->loop);
	c->deadline_us = deadline_us;
	if (r->n_loads < LOADS_MAX)
		r->loads[r->n_loads++] = script;
	enqueue_args(r, c, argv, 3, args_size(argv, 3));
}

/* The server does not know the script: load it, unless that is on its way already, and call it again behind that. */
static void repeat_script(struct redis *r, struct redis_cmd *c)
{
	bool loading = false;

	for (size_t i = 0; i < r->n_loads; i++)
		loading |= r->loads[i] == c->script;
	if (!room_in_out(r, c->n + strlen(c->script->body) + 256)) {
		cmd_answer(c, REDIS_NOT_SENT, NULL, "too much is waiting to be sent to Redis");
		return;
	}
	c->tries++;
	if (!loading)
		load_script(r, c->script, c->deadline_us);
	enqueue_text(r, c, c->text, c->n);
}

/* ---- answers ---- */

static void on_reply(struct redis *r, struct redis_cmd *c, const redisReply *reply)
{
	const char *error = reply->type == REDIS_REPLY_ERROR ? reply->str : "";

	if (c->kind == CMD_LOAD) {
		on_loaded(r, c->script, reply);
		free(c);
		return;
	}
	if (c->script && is_noscript(reply)) {
		if (c->tries + 1 < SCRIPT_TRIES) {
			repeat_script(r, c);
			return;
		}
		if (r->load_error[0])
			error = r->load_error;
	}
	if (c->kind == CMD_CALLER) {
		r->answers++;
		r->answers_us += (uint64_t)(loop_now_us(r->loop) - c->started_us);
	}
	cmd_answer(c, reply->type == REDIS_REPLY_ERROR ? REDIS_ERROR : REDIS_OK, reply, error);
}

/* false: the connection is gone. */
static bool take_replies(struct redis *r)
{
	for (;;) {
		struct redis_cmd *c;
		redisReply *reply;
		void *p = NULL;

		if (redisReaderGetReply(r->reader, &p) != REDIS_OK) {
			char why[sizeof(r->reader->errstr)];

			memcpy(why, r->reader->errstr, sizeof(why));
			drop(r, "malformed answer: %s", why);
			return false;
		}
		if (!p)
			return true;
		reply = p;
		c = take_first_in_flight(r);
		if (!c) {
			drop(r, "an answer without a question: %.100s",
			     reply->type == REDIS_REPLY_ERROR ? reply->str : "");
			freeReplyObject(reply);
			return false;
		}
		on_reply(r, c, reply);
		freeReplyObject(reply);
		if (r->hello_error[0]) {
			drop(r, "%s", r->hello_error);
			return false;
		}
	}
}

static void read_answers(struct redis *r)
{
	char chunk[READ_CHUNK];

	for (int round = 0; round < READ_ROUNDS; round++) {
		ssize_t n = recv(r->fd, chunk, sizeof(chunk), 0);

		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
			return;
		if (n <= 0) {
			drop(r, "%s", n ? strerror(errno) : "the server closed the connection");
			return;
		}
		if (redisReaderFeed(r->reader, chunk, (size_t)n) != REDIS_OK)
			abort(); /* out of memory */
		if (!take_replies(r) || (size_t)n < sizeof(chunk))
			return;
	}
}

static void on_fd(void *arg, int events)
{
	struct redis *r = arg;
	int error = 0;
	socklen_t size = sizeof(error);

	if (r->state == CONNECTING) {
		if (getsockopt(r->fd, SOL_SOCKET, SO_ERROR, &error, &size))
			error = errno;
		if (error)
			drop(r, "connecting: %s", strerror(error));
		else
			start_hello(r);
		return;
	}
	if (events & LOOP_READ)
		read_answers(r);
	if ((events & LOOP_WRITE) && (r->state == HELLO || r->state == READY))
		flush(r);
}

/* ---- timers ---- */

static void start_connect(struct redis *r)
{
	set_state(r, CONNECTING);
	r->connecting =
		r->url.path[0] ? redisConnectUnixNonBlock(r->url.path) : redisConnectNonBlock(r->url.host, r->url.port);
	if (!r->connecting)
		abort(); /* out of memory */
	if (r->connecting->err) {
		char why[sizeof(r->connecting->errstr)];

		memcpy(why, r->connecting->errstr, sizeof(why));
		drop(r, "connecting: %s", why);
		return;
	}
	r->fd = r->connecting->fd;
	fcntl(r->fd, F_SETFD, FD_CLOEXEC);
	r->watch = fd_watch_new(r->loop, r->fd, on_fd, r);
	fd_watch_set(r->watch, LOOP_WRITE);
	timer_set_ms(r->state_timer, r->config.connect_timeout_ms);
}

static void on_state_timer(void *arg)
{
	struct redis *r = arg;

	if (r->state == DOWN)
		start_connect(r);
	else
		drop(r, "not connected within %" PRId64 " ms", r->config.connect_timeout_ms);
}

static void on_cmd_timer(void *arg)
{
	struct redis *r = arg;
	int64_t next_us = INT64_MAX, now_us = loop_now_us(r->loop);

	r->cmd_timer_us = INT64_MAX;
	/* when it was this process that slept, the answers lie ready: they come first */
	if (r->state == READY)
		read_answers(r);
	if (r->state != READY)
		return;
	list_for_each(pos, tmp, &r->in_flight)
	{
		struct redis_cmd *c = list_entry(pos, struct redis_cmd, link);

		if (c->deadline_us <= now_us) {
			drop(r, "no answer within %" PRId64 " ms", (c->deadline_us - c->started_us) / 1000);
			return;
		}
		if (c->deadline_us < next_us)
			next_us = c->deadline_us;
	}
	if (next_us != INT64_MAX)
		watch_deadline(r, next_us);
}

/* ---- for callers ---- */

struct redis *redis_new(struct loop *loop, const struct redis_config *config, char *ret_error, size_t error_size)
{
	struct redis_url url;
	struct redis *r;

	if (!redis_url_parse(config->url, &url, ret_error, error_size))
		return NULL;
	assert(config->connect_timeout_ms > 0 && config->command_timeout_ms > 0);
	r = xcalloc(1, sizeof(*r));
	r->loop = loop;
	r->config = *config;
	r->config.url = NULL; /* the caller's; taken apart in url */
	r->url = url;
	r->fd = -1;
	r->backoff_ms = BACKOFF_MIN_MS;
	r->cmd_timer_us = INT64_MAX;
	list_init(&r->in_flight);
	list_init(&r->refused);
	buf_init(&r->out, (size_t)OUT_MAX * 2 + 1024); /* what is sent stays in it until it is over a half */
	r->state_timer = timer_new(loop, on_state_timer, r);
	r->cmd_timer = timer_new(loop, on_cmd_timer, r);
	r->turn_end = deferred_new(loop, on_turn_end, r);
	start_connect(r);
	return r;
}

void redis_free(struct redis *r)
{
	struct redis_cmd *c;

	if (!r)
		return;
	close_connection(r);
	while ((c = take_first_in_flight(r)))
		free(c);
	while ((c = list_first(&r->refused, struct redis_cmd, link))) {
		list_remove(&c->link);
		free(c);
	}
	timer_free(r->state_timer);
	timer_free(r->cmd_timer);
	deferred_free(r->turn_end);
	free(r);
}

bool redis_ready(const struct redis *r)
{
	return r->state == READY;
}

const char *redis_run_id(const struct redis *r)
{
	return r->run_id;
}

bool redis_noeviction(const struct redis *r)
{
	return r->noeviction;
}

const char *redis_last_error(const struct redis *r)
{
	return r->last_error;
}

size_t redis_in_flight(const struct redis *r)
{
	return r->n_in_flight;
}

void redis_stats(const struct redis *r, uint64_t *ret_count, uint64_t *ret_total_us)
{
	*ret_count = r->answers;
	*ret_total_us = r->answers_us;
}

static void set_deadline(struct redis_cmd *c, int64_t timeout_ms)
{
	c->started_us = loop_now_us(c->r->loop);
	c->deadline_us = c->started_us + (timeout_ms > 0 ? timeout_ms : c->r->config.command_timeout_ms) * 1000;
}

struct redis_cmd *redis_cmd_start(struct redis *r, const struct str *argv, size_t argc, int64_t timeout_ms,
                                  redis_fn *fn, void *arg)
{
	struct redis_cmd *c = cmd_new(r, CMD_CALLER, 0, fn, arg);
	size_t size = args_size(argv, argc);

	set_deadline(c, timeout_ms);
	if (r->state == READY && room_in_out(r, size + RESP_HEAD_MAX))
		enqueue_args(r, c, argv, argc, size);
	else
		refuse(r, c);
	return c;
}

struct redis_cmd *redis_eval_start(struct redis *r, const struct redis_script *script, const struct str *keys,
                                   size_t n_keys, const struct str *args, size_t n_args, int64_t timeout_ms,
                                   redis_fn *fn, void *arg)
{
	char count[24];
	struct str head[3] = {STR("EVALSHA"), str_from(script->sha), {count, 0}};
	size_t keys_size = args_size(keys, n_keys), size = args_size(args, n_args) + RESP_HEAD_MAX;
	struct redis_cmd *c;
	char *at;

	head[2].n = (size_t)snprintf(count, sizeof(count), "%zu", n_keys);
	size += args_size(head, 3);
	if (r->state != READY || !room_in_out(r, keys_size) || !room_in_out(r, size + keys_size)) {
		c = cmd_new(r, CMD_CALLER, 0, fn, arg);
		refuse(r, c);
		return c;
	}
	c = cmd_new(r, CMD_CALLER, size + keys_size, fn, arg);
	c->script = script;
	set_deadline(c, timeout_ms);
	at = put_args(put_head(c->text, '*', 3 + n_keys + n_args), head, 3);
	at = put_args(put_args(at, keys, n_keys), args, n_args);
	c->n = (size_t)(at - c->text);
	enqueue_text(r, c, c->text, c->n);
	return c;
}

void redis_cmd_cancel(struct redis_cmd *c)
{
	c->fn = NULL;
}
