/*
 * A connection: reading requests, handing them to the handler, noticing that a client leaves, ending. http_conn.h has
 * the states. Everything that may end a connection while conn_process is on the stack only marks it DEAD; conn_process
 * frees it.
 *
 * Hanging up: while a handler has the request we go on reading, into what is free of the read buffer. End of file or an
 * error is told to the handler. A client that only closed its sending side is told apart from one that is gone by
 * nobody: both are a hang-up, and to both the answer is written. A client that fills the read buffer with pipelined
 * requests is not listened to until its answer has left, so its hang-up is noticed then.
 */
#include "io/http_conn.h"

#include "base/xmalloc.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BODY_READ_BYTES = 64 * 1024, CHUNK_ROOM = 8 * 1024 };

static void on_event(void *arg, int events);

#define TO(state) (1u << CONN_##state)
static const unsigned arrows[CONN_LISTS] = {
	[CONN_IDLE] = TO(HEAD) | TO(BODY) | TO(OPEN) | TO(WRITING) | TO(LINGER) | TO(DEAD),
	[CONN_HEAD] = TO(BODY) | TO(OPEN) | TO(WRITING) | TO(LINGER) | TO(DEAD),
	[CONN_BODY] = TO(OPEN) | TO(WRITING) | TO(LINGER) | TO(DEAD),
	[CONN_OPEN] = TO(IDLE) | TO(HEAD) | TO(WRITING) | TO(LINGER) | TO(DEAD),
	[CONN_WRITING] = TO(IDLE) | TO(HEAD) | TO(LINGER) | TO(DEAD),
	[CONN_LINGER] = TO(DEAD),
};
#undef TO

static int64_t timeout_ms(const struct conn *c, enum conn_state state)
{
	const struct http_server_config *config = &c->server->config;

	switch (state) {
	case CONN_IDLE:
		return config->idle_timeout_ms;
	case CONN_HEAD:
		return config->head_timeout_ms;
	case CONN_BODY:
		return config->body_timeout_ms;
	case CONN_WRITING:
		return config->write_timeout_ms;
	case CONN_LINGER:
		return HTTP_LINGER_MS;
	default:
		return -1;
	}
}

static void enter(struct conn *c, enum conn_state to)
{
	struct http_server *s = c->server;
	int64_t ms = timeout_ms(c, to);

	c->state = to;
	list_append(&s->lists[to], &c->link);
	c->deadline_us = INT64_MAX;
	if (ms >= 0) {
		c->deadline_us = loop_now_us(s->loop) + ms * 1000;
		server_sweep_by(s, c->deadline_us);
	}
	fd_watch_set(c->watch, to == CONN_WRITING ? LOOP_WRITE : LOOP_READ);
}

void conn_state(struct conn *c, enum conn_state to)
{
	assert(c->state < CONN_LISTS && arrows[c->state] & 1u << to);
	list_remove(&c->link);
	if (to != CONN_DEAD) {
		enter(c, to);
		return;
	}
	c->state = CONN_DEAD;
	fd_watch_free(c->watch);
	c->watch = NULL;
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
}

struct conn *conn_new(struct http_server *s, int fd, const struct sockaddr_storage *peer)
{
	struct conn *c = xcalloc(1, sizeof(*c));

	list_init(&c->ready);
	c->server = s;
	c->fd = fd;
	c->watch = fd_watch_new(s->loop, fd, on_event, c);
	if (peer->ss_family == AF_INET6)
		memcpy(&c->peer.in6, peer, sizeof(c->peer.in6));
	else if (peer->ss_family == AF_INET)
		memcpy(&c->peer.in, peer, sizeof(c->peer.in));
	else
		c->peer.family = peer->ss_family;
	s->n_conns++;
	enter(c, CONN_IDLE);
	return c;
}

static void release_exchange(struct conn *c)
{
	if (c->x)
		server_exchange_put(c->server, c->x);
	c->x = NULL;
}

void conn_destroy(struct conn *c)
{
	struct http_server *s = c->server;

	if (c->x && c->x->open) {
		c->x->open = false;
		if (s->config.done)
			s->config.done(s->config.arg, &c->x->req, 0, 0);
	}
	conn_state(c, CONN_DEAD);
	list_remove(&c->ready);
	release_exchange(c);
	server_conn_gone(s, c);
	if (!c->processing)
		free(c);
}

void conn_expired(struct conn *c)
{
	struct linger reset = {.l_onoff = 1};

	switch (c->state) {
	case CONN_HEAD:
		reply_error(c, ERR_REQUEST_TIMEOUT, "The head of the request did not arrive in time.");
		return;
	case CONN_BODY:
		reply_error(c, ERR_REQUEST_TIMEOUT, "The body of the request did not arrive in time.");
		return;
	case CONN_WRITING:
		/* who does not read must not keep our bytes in the kernel either */
		setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		break;
	default:
		break;
	}
	conn_destroy(c);
}

/* Reading a request */

static void in_grow(struct exchange *x, size_t cap)
{
	x->in = xrealloc(x->in, cap);
	x->in_cap = cap;
}

/* The request as the handler sees it. From here on the head may not move. */
static void bind_request(struct conn *c, struct exchange *x)
{
	const struct http_head *h = &x->head;
	struct http_req *req = &x->req;
	struct http_header *headers = arena_alloc(&x->arena, (h->n_lines + 1) * sizeof(*headers));

	for (uint32_t i = 0; i < h->n_lines; i++) {
		headers[i].name = (struct str){x->in + h->lines[i].name.at, h->lines[i].name.n};
		headers[i].value = (struct str){x->in + h->lines[i].value.at, h->lines[i].value.n};
	}
	req->method = h->method;
	req->method_name = (struct str){x->in + h->method_name.at, h->method_name.n};
	req->target = (struct str){x->in + h->target.at, h->target.n};
	req->query = str_split(req->target, '?', &req->path);
	req->headers = headers;
	req->n_headers = h->n_lines;
	req->body = STR_NULL;
	/* the rest of the structure was never written */
	memcpy(&req->peer, &c->peer, sizeof(c->peer));
	req->id = server_new_id(c->server);
	req->received_us = loop_now_us(c->server->loop);
	memset(req->user, 0, sizeof(req->user));
	req->user_p = NULL;
}

/* Where the body will lie: room is made before the head is bound, so that it never moves afterwards. */
static void place_body(struct exchange *x)
{
	const struct http_head *h = &x->head;

	x->used = h->size;
	x->body_mode = BODY_NONE;
	if (h->chunked) {
		x->body_mode = BODY_CHUNKED;
		if (x->in_cap - h->size < CHUNK_ROOM)
			in_grow(x, h->size + CHUNK_ROOM);
	} else if (h->length > 0 && h->length <= HTTP_BODY_IN_PLACE && h->size + h->length <= HTTP_BODY_IN_PLACE) {
		x->body_mode = BODY_IN_PLACE;
		if (x->in_cap < h->size + h->length)
			in_grow(x, h->size + h->length);
	} else if (h->length > 0) {
		x->body_mode = BODY_APART;
	}
}

/* false: refused, the connection may be gone. */
static bool head_complete(struct conn *c)
{
	const struct http_server_config *config = &c->server->config;
	struct exchange *x = c->x;
	size_t limit = config->body_max;

	place_body(x);
	bind_request(c, x);
	if (x->body_mode == BODY_NONE)
		return true;
	if (config->body_limit) {
		size_t asked = config->body_limit(config->arg, &x->req);

		if (asked < limit)
			limit = asked;
	}
	if (x->head.length > limit) {
		reply_error(c, ERR_TOO_LARGE, "The request body is too large.");
		return false;
	}
	if (x->body_mode == BODY_CHUNKED)
		http_chunked_init(&x->chunked, limit);
	if (x->body_mode == BODY_APART) {
		size_t here = x->in_n - x->used;

		/* a large head may have brought a read buffer that holds all of it and more */
		if (here > x->head.length)
			here = (size_t)x->head.length;
		buf_add(&x->body, x->in + x->used, here);
		memmove(x->in + x->used, x->in + x->used + here, x->in_n - x->used - here);
		x->in_n -= here;
	}
	if (x->head.expect_continue && x->in_n == x->used && x->body.n == 0)
		return reply_continue(c);
	return true;
}

/* Looks at what there is of the body; false: not all yet, or refused. */
static bool body_step(struct conn *c)
{
	struct exchange *x = c->x;
	size_t length = (size_t)x->head.length, used, decoded;
	char *raw;

	switch (x->body_mode) {
	case BODY_NONE:
		return true;
	case BODY_IN_PLACE:
		if (x->in_n < x->head.size + length)
			return false;
		x->used = x->head.size + length;
		x->req.body = (struct str){x->in + x->head.size, length};
		return true;
	case BODY_APART:
		if (x->body.n < length)
			return false;
		x->req.body = buf_str(&x->body);
		return true;
	case BODY_CHUNKED:
		break;
	}
	raw = x->in + x->head.size;
	switch (http_chunked_feed(&x->chunked, raw, x->in_n - x->head.size, raw, &used, &decoded)) {
	case HTTP_PARSE_FAULT:
		reply_error(c, x->chunked.fault, x->chunked.detail);
		return false;
	case HTTP_PARSE_MORE:
		buf_add(&x->body, raw, decoded);
		x->in_n = x->head.size;
		return false;
	default:
		buf_add(&x->body, raw, decoded);
		x->used = x->head.size + used;
		x->req.body = buf_str(&x->body);
		return true;
	}
}

static void dispatch(struct conn *c)
{
	const struct http_server_config *config = &c->server->config;

	conn_state(c, CONN_OPEN);
	c->x->open = true;
	config->handler(config->arg, &c->x->req);
}

/* One move; true: look again. */
static bool step(struct conn *c)
{
	bool in_body = c->state == CONN_BODY;

	if (c->state > CONN_BODY || !c->x)
		return false;
	if (!in_body) {
		if (c->x->in_n == 0)
			return false;
		switch (http_head_parse(&c->x->head, c->x->in, c->x->in_n)) {
		case HTTP_PARSE_MORE:
			if (c->state == CONN_IDLE)
				conn_state(c, CONN_HEAD);
			return false;
		case HTTP_PARSE_FAULT:
			reply_error(c, c->x->head.fault, c->x->head.detail);
			return false;
		case HTTP_PARSE_DONE:
			break;
		}
		if (!head_complete(c))
			return false;
	}
	if (body_step(c)) {
		dispatch(c);
		return true;
	}
	if (c->state < CONN_BODY)
		conn_state(c, CONN_BODY);
	return false;
}

void conn_process(struct conn *c)
{
	if (c->processing)
		return;
	c->processing = true;
	while (step(c))
		;
	c->processing = false;
	if (c->state == CONN_DEAD)
		free(c);
}

/* Where the next bytes go; never 0 bytes. */
static char *read_room(struct conn *c, size_t *ret_n)
{
	struct exchange *x = c->x;
	char *p;

	if (c->state == CONN_BODY && x->body_mode == BODY_APART) {
		size_t left = (size_t)x->head.length - x->body.n;

		*ret_n = left < BODY_READ_BYTES ? left : BODY_READ_BYTES;
		p = buf_room(&x->body, *ret_n);
		assert(p);
		return p;
	}
	/* only while the head is incomplete: place_body has made room for what comes later */
	if (x->in_n == x->in_cap) {
		assert(c->state <= CONN_HEAD);
		in_grow(x, x->in_cap * 2);
	}
	*ret_n = x->in_cap - x->in_n;
	return x->in + x->in_n;
}

static void conn_read(struct conn *c)
{
	size_t room;
	ssize_t n;
	char *p;

	if (!c->x)
		c->x = server_exchange_get(c->server, c);
	p = read_room(c, &room);
	n = recv(c->fd, p, room, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		if (c->state == CONN_IDLE)
			release_exchange(c);
		return;
	}
	/* a request that will never be complete needs no answer */
	if (n <= 0) {
		conn_destroy(c);
		return;
	}
	if (p == c->x->in + c->x->in_n)
		c->x->in_n += (size_t)n;
	else
		c->x->body.n += (size_t)n;
	conn_process(c);
}

void conn_poke(struct conn *c)
{
	if (c->state == CONN_IDLE)
		conn_read(c);
}

/* While the handler has the request: only to notice that nobody waits for the answer any more. */
static void conn_listen_for_hangup(struct conn *c)
{
	struct exchange *x = c->x;
	size_t room = x->in_cap - x->in_n;
	char one;
	ssize_t n = room ? recv(c->fd, x->in + x->in_n, room, 0) : recv(c->fd, &one, 1, MSG_PEEK);
	loop_fn *fn = x->hangup_fn;

	if (n > 0) {
		if (room)
			x->in_n += (size_t)n;
		if (x->in_n == x->in_cap)
			fd_watch_set(c->watch, 0);
		return;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	c->eof = true;
	c->broken = c->broken || n < 0;
	x->hung_up = true;
	x->hangup_fn = NULL;
	fd_watch_set(c->watch, 0);
	/* may answer: the last thing here */
	if (fn)
		fn(x->hangup_arg);
}

static void conn_discard(struct conn *c)
{
	ssize_t n = recv(c->fd, c->server->scratch, HTTP_SCRATCH_BYTES, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		c->discarded += (size_t)n;
		if (c->discarded <= HTTP_LINGER_BYTES)
			return;
	}
	conn_destroy(c);
}

static void on_event(void *arg, int events)
{
	struct conn *c = arg;

	switch (c->state) {
	case CONN_IDLE:
	case CONN_HEAD:
	case CONN_BODY:
		conn_read(c);
		break;
	case CONN_OPEN:
		conn_listen_for_hangup(c);
		break;
	case CONN_WRITING:
		reply_write_more(c);
		break;
	case CONN_LINGER:
		conn_discard(c);
		break;
	case CONN_DEAD:
		break;
	}
}

void conn_answered(struct conn *c)
{
	struct http_server *s = c->server;
	struct exchange *x = c->x;
	size_t rest = x->in_n - x->used;

	if (c->close_after) {
		/* nothing can be on its way: closing cannot reset the answer away */
		if (c->eof || (c->client_close && rest == 0)) {
			conn_destroy(c);
			return;
		}
		shutdown(c->fd, SHUT_WR);
		release_exchange(c);
		conn_state(c, CONN_LINGER);
		return;
	}
	if (rest == 0) {
		if (s->draining && s->idle_over) {
			conn_destroy(c);
			return;
		}
		release_exchange(c);
		conn_state(c, CONN_IDLE);
		return;
	}
	memmove(x->in, x->in + x->used, rest);
	x->in_n = rest;
	server_exchange_reset(x);
	conn_state(c, CONN_HEAD);
	/* not from here: the handler of one request would be called inside the answering of another */
	if (!c->processing && list_empty(&c->ready)) {
		list_append(&s->ready, &c->ready);
		deferred_post(s->ready_run);
	}
}
