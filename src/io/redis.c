/*
 * Owns the commands on a connection to one Redis server; redis_conn.c has the connection itself and its states.
 * Callers: anything that keeps marks in Redis.
 *
 * From hiredis come the connecting and the reply parser; the queue is ours, because hiredis's own (async.h) differs
 * between its versions, has no timeouts in the older, and cannot tell a command that has left from one that still lies
 * in its buffer. That is the difference between "unknown" and "did not happen".
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
#include "io/redis_int.h"

#include "base/xmalloc.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
size_t redis_args_size(const struct str *argv, size_t n)
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

struct redis_cmd *redis_cmd_new(struct redis *r, enum redis_cmd_kind kind, size_t text_size, redis_fn *fn, void *arg)
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

/* n: bytes of text that have just been added to out. */
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

/* size is redis_args_size(). */
void redis_enqueue_args(struct redis *r, struct redis_cmd *c, const struct str *argv, size_t argc, size_t size)
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
void redis_cmd_answer(struct redis_cmd *c, enum redis_status status, const redisReply *reply, const char *error)
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

struct redis_cmd *redis_take_in_flight(struct redis *r)
{
	struct redis_cmd *c = list_first(&r->in_flight, struct redis_cmd, link);

	if (c) {
		list_remove(&c->link);
		r->n_in_flight--;
	}
	return c;
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
	struct redis_cmd *c = redis_cmd_new(r, CMD_LOAD, 0, NULL, NULL);

	c->script = script;
	c->started_us = loop_now_us(r->loop);
	c->deadline_us = deadline_us;
	if (r->n_loads < LOADS_MAX)
		r->loads[r->n_loads++] = script;
	redis_enqueue_args(r, c, argv, 3, redis_args_size(argv, 3));
}

/* The server does not know the script: load it, unless that is on its way already, and call it again behind that. */
static void repeat_script(struct redis *r, struct redis_cmd *c)
{
	bool loading = false;

	for (size_t i = 0; i < r->n_loads; i++)
		loading |= r->loads[i] == c->script;
	if (!room_in_out(r, c->n + strlen(c->script->body) + 256)) {
		redis_cmd_answer(c, REDIS_NOT_SENT, NULL, "too much is waiting to be sent to Redis");
		return;
	}
	c->tries++;
	if (!loading)
		load_script(r, c->script, c->deadline_us);
	enqueue_text(r, c, c->text, c->n);
}

/* ---- answers ---- */

void redis_take_reply(struct redis *r, struct redis_cmd *c, const redisReply *reply)
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
	redis_cmd_answer(c, reply->type == REDIS_REPLY_ERROR ? REDIS_ERROR : REDIS_OK, reply, error);
}

/* ---- the end of a turn, and time ---- */

static void on_turn_end(void *arg)
{
	struct redis *r = arg;
	struct redis_cmd *c;

	if (r->state == HELLO || r->state == READY)
		redis_flush(r);
	while ((c = list_first(&r->refused, struct redis_cmd, link))) {
		list_remove(&c->link);
		redis_cmd_answer(c, REDIS_NOT_SENT, NULL,
				 r->last_error[0]    ? r->last_error
				 : r->state == READY ? "too much is waiting to be sent to Redis"
						     : "not connected to Redis yet");
	}
}

static void on_cmd_timer(void *arg)
{
	struct redis *r = arg;
	int64_t next_us = INT64_MAX, now_us = loop_now_us(r->loop);

	r->cmd_timer_us = INT64_MAX;
	/* when it was this process that slept, the answers lie ready: they come first */
	if (r->state == READY && redis_read_answers(r)) {
		watch_deadline(r, now_us); /* there are more: at the next turn again */
		return;
	}
	if (r->state != READY)
		return;
	list_for_each(pos, tmp, &r->in_flight) {
		struct redis_cmd *c = list_entry(pos, struct redis_cmd, link);

		if (c->deadline_us <= now_us) {
			redis_drop(r, "no answer within %" PRId64 " ms", (c->deadline_us - c->started_us) / 1000);
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
	r->state_timer = timer_new(loop, redis_on_state_timer, r);
	r->cmd_timer = timer_new(loop, on_cmd_timer, r);
	r->turn_end = deferred_new(loop, on_turn_end, r);
	redis_connect(r);
	return r;
}

void redis_free(struct redis *r)
{
	struct redis_cmd *c;

	if (!r)
		return;
	redis_close_connection(r);
	while ((c = redis_take_in_flight(r)))
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
	struct redis_cmd *c = redis_cmd_new(r, CMD_CALLER, 0, fn, arg);
	size_t size = redis_args_size(argv, argc);

	set_deadline(c, timeout_ms);
	if (r->state == READY && room_in_out(r, size + RESP_HEAD_MAX))
		redis_enqueue_args(r, c, argv, argc, size);
	else
		refuse(r, c);
	return c;
}

/* In decimal, before end. */
static struct str number_text(size_t v, char *end)
{
	char *p = end;

	do {
		*--p = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	return (struct str){p, (size_t)(end - p)};
}

struct redis_cmd *redis_eval_start(struct redis *r, const struct redis_script *script, const struct str *keys,
				   size_t n_keys, const struct str *args, size_t n_args, int64_t timeout_ms,
				   redis_fn *fn, void *arg)
{
	char count[24];
	struct str head[3] = {STR("EVALSHA"), str_from(script->sha), number_text(n_keys, count + sizeof(count))};
	size_t keys_size = redis_args_size(keys, n_keys), size = redis_args_size(args, n_args) + RESP_HEAD_MAX;
	struct redis_cmd *c;
	char *at;

	size += redis_args_size(head, 3);
	if (r->state != READY || !room_in_out(r, keys_size) || !room_in_out(r, size + keys_size)) {
		c = redis_cmd_new(r, CMD_CALLER, 0, fn, arg);
		refuse(r, c);
		return c;
	}
	c = redis_cmd_new(r, CMD_CALLER, size + keys_size, fn, arg);
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
