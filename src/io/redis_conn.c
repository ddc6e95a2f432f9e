/*
 * The connection of a struct redis: its states, the greeting, bytes in and out. See redis.c.
 *
 *   DOWN ---timer--> CONNECTING ---writable--> HELLO ---last answer--> READY
 *    ^                   |                       |                       |
 *    +-------------------+-----------------------+-----------------------+   redis_drop(): error, timeout, end of file
 *
 * set_state() makes every move. Nothing here runs inside a caller's start or cancel.
 */
#include "io/redis_int.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

static void on_fd(void *arg, int events);

static void set_state(struct redis *r, enum redis_state to)
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

/* ---- down ---- */

void redis_close_connection(struct redis *r)
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

void redis_drop(struct redis *r, const char *fmt, ...)
{
	bool was_ready = r->state == READY;
	uint64_t sent = r->sent;
	struct redis_cmd *c;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(r->last_error, sizeof(r->last_error), fmt, ap);
	va_end(ap);
	redis_close_connection(r);
	set_state(r, DOWN);
	timer_set_ms(r->state_timer, jittered_ms(r->backoff_ms));
	r->backoff_ms = r->backoff_ms * 2 < BACKOFF_MAX_MS ? r->backoff_ms * 2 : BACKOFF_MAX_MS;
	if (was_ready && r->config.on_state)
		r->config.on_state(r->config.arg, false);
	while ((c = redis_take_in_flight(r))) {
		/* a command whose last byte has not left cannot have been executed */
		if (c->kind == CMD_CALLER)
			redis_cmd_answer(c, c->end <= sent ? REDIS_UNKNOWN : REDIS_NOT_SENT, NULL, r->last_error);
		else
			free(c);
	}
}

/* ---- sending ---- */

void redis_flush(struct redis *r)
{
	while (r->out_at < r->out.n) {
		ssize_t n = send(r->fd, r->out.p + r->out_at, r->out.n - r->out_at, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		if (n < 0) {
			redis_drop(r, "sending: %s", strerror(errno));
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

/* The last of the greeting. INFO and not CONFIG GET, ROLE: hosted servers refuse those. */
static void on_hello_info(void *arg, const struct redis_answer *answer)
{
	struct redis *r = arg;
	struct str info = redis_str(answer->value), run_id = info_field(info, "run_id");

	if (answer->status != REDIS_OK)
		hello_failed(r, "INFO", answer->error);
	else if (!run_id.n || run_id.n >= sizeof(r->run_id))
		/* without it a restart, which empties the server, would go unnoticed */
		hello_failed(r, "INFO", "the server names no run_id");
	else if (str_eqc(info_field(info, "role"), "slave"))
		/* after a failover the old master can look like this */
		hello_failed(r, "INFO", "the server is a replica");
	else if (str_eqc(info_field(info, "loading"), "1"))
		hello_failed(r, "INFO", "the server is still loading its data");
	if (r->hello_error[0])
		return;
	snprintf(r->run_id, sizeof(r->run_id), "%.*s", STR_FMT(run_id));
	r->noeviction = str_eqc(info_field(info, "maxmemory_policy"), "noeviction") ||
			str_eqc(info_field(info, "maxmemory"), "0");
	timer_clear(r->state_timer);
	r->backoff_ms = BACKOFF_MIN_MS;
	r->last_error[0] = '\0';
	set_state(r, READY);
	if (r->config.on_state)
		r->config.on_state(r->config.arg, true);
}

static void hello_cmd(struct redis *r, redis_fn *fn, const struct str *argv, size_t argc)
{
	redis_enqueue_args(r, redis_cmd_new(r, CMD_HELLO, 0, fn, r), argv, argc, redis_args_size(argv, argc));
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
	hello_cmd(r, on_hello_info, (struct str[]){STR("INFO")}, 1);
	fd_watch_set(r->watch, LOOP_READ);
}

/* ---- receiving ---- */

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
			redis_drop(r, "malformed answer: %s", why);
			return false;
		}
		if (!p)
			return true;
		reply = p;
		c = redis_take_in_flight(r);
		if (!c) {
			redis_drop(r, "an answer without a question: %.100s",
				   reply->type == REDIS_REPLY_ERROR ? reply->str : "");
			freeReplyObject(reply);
			return false;
		}
		redis_take_reply(r, c, reply);
		freeReplyObject(reply);
		if (r->hello_error[0]) {
			redis_drop(r, "%s", r->hello_error);
			return false;
		}
	}
}

bool redis_read_answers(struct redis *r)
{
	char chunk[READ_CHUNK];

	for (int round = 0; round < READ_ROUNDS; round++) {
		ssize_t n = recv(r->fd, chunk, sizeof(chunk), 0);

		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
			return false;
		if (n <= 0) {
			redis_drop(r, "%s", n ? strerror(errno) : "the server closed the connection");
			return false;
		}
		if (redisReaderFeed(r->reader, chunk, (size_t)n) != REDIS_OK)
			abort(); /* out of memory */
		if (!take_replies(r) || (size_t)n < sizeof(chunk))
			return false;
	}
	return true;
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
			redis_drop(r, "connecting: %s", strerror(error));
		else
			start_hello(r);
		return;
	}
	if (events & LOOP_READ)
		redis_read_answers(r);
	if ((events & LOOP_WRITE) && (r->state == HELLO || r->state == READY))
		redis_flush(r);
}

/* ---- connecting ---- */

void redis_connect(struct redis *r)
{
	set_state(r, CONNECTING);
	r->connecting =
		r->url.path[0] ? redisConnectUnixNonBlock(r->url.path) : redisConnectNonBlock(r->url.host, r->url.port);
	if (!r->connecting)
		abort(); /* out of memory */
	if (r->connecting->err) {
		char why[sizeof(r->connecting->errstr)];

		memcpy(why, r->connecting->errstr, sizeof(why));
		redis_drop(r, "connecting: %s", why);
		return;
	}
	r->fd = r->connecting->fd;
	fcntl(r->fd, F_SETFD, FD_CLOEXEC);
	r->watch = fd_watch_new(r->loop, r->fd, on_fd, r);
	fd_watch_set(r->watch, LOOP_WRITE);
	timer_set_ms(r->state_timer, r->config.connect_timeout_ms);
}

void redis_on_state_timer(void *arg)
{
	struct redis *r = arg;

	if (r->state == DOWN)
		redis_connect(r);
	else
		redis_drop(r, "not connected within %" PRId64 " ms", r->config.connect_timeout_ms);
}
