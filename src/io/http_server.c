/*
 * The server object: listeners and accepting, the deadline sweep, the pool of exchanges, draining. Connections are in
 * http_conn.c, answers in http_reply.c; http_conn.h has the picture.
 *
 * Accepting takes a bounded number per turn, so that old connections get their turn too. Out of descriptors: the reserve
 * is given up for a moment to accept one connection and refuse it, else the loop would spin on a listener that stays
 * readable; if even that fails, accepting pauses.
 */
#include "io/http_conn.h"

#include "base/xmalloc.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sanitizer/asan_interface.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ACCEPTS_PER_TURN = 64, ACCEPT_PAUSE_MS = 100 };

struct listener {
	struct list link;
	struct http_server *server;
	struct fd_watch *watch;
	int fd;
};

static void exchange_free(struct exchange *x);
static void on_sweep(void *arg);
static void on_ready(void *arg);
static void on_accept_pause_over(void *arg);

struct http_server *http_server_new(struct loop *loop, const struct http_server_config *config)
{
	struct http_server *s = xcalloc(1, sizeof(*s));

	assert(config->handler && config->random_bytes && config->head_max > 0 && config->conns_max > 0);
	s->loop = loop;
	s->config = *config;
	for (int i = 0; i < CONN_LISTS; i++)
		list_init(&s->lists[i]);
	list_init(&s->listeners);
	list_init(&s->ready);
	s->sweep = timer_new(loop, on_sweep, s);
	s->sweep_at_us = INT64_MAX;
	s->ready_run = deferred_new(loop, on_ready, s);
	s->accept_pause = timer_new(loop, on_accept_pause_over, s);
	s->scratch = xmalloc(HTTP_SCRATCH_BYTES);
	s->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	s->date_s = -1;
	if (config->conns_per_network)
		s->crowds = map_new();
	return s;
}

static void listener_free(struct listener *l)
{
	list_remove(&l->link);
	fd_watch_free(l->watch);
	close(l->fd);
	free(l);
}

void http_server_free(struct http_server *s)
{
	struct conn *c;
	struct listener *l;
	struct exchange *x;

	if (!s)
		return;
	while ((l = list_first(&s->listeners, struct listener, link)))
		listener_free(l);
	/* the end of a drain is not announced any more */
	s->draining = false;
	for (int i = 0; i < CONN_LISTS; i++)
		while ((c = list_first(&s->lists[i], struct conn, link)))
			conn_destroy(c);
	while ((x = s->pool)) {
		s->pool = x->next_free;
		exchange_free(x);
	}
	timer_free(s->sweep);
	timer_free(s->accept_pause);
	timer_free(s->drain_linger);
	deferred_free(s->ready_run);
	deferred_free(s->drained);
	if (s->reserve_fd >= 0)
		close(s->reserve_fd);
	free(s->scratch);
	map_free(s->crowds);
	free(s);
}

size_t http_server_conns(const struct http_server *s)
{
	return s->n_conns;
}

uint64_t http_server_refused(const struct http_server *s, enum err code)
{
	assert(code >= 0 && code < ERR_COUNT);
	return s->refused[code];
}

struct uuid server_new_id(struct http_server *s)
{
	if (s->random_left == 0) {
		s->config.random_bytes(s->random, sizeof(s->random));
		s->random_left = HTTP_RANDOM_IDS;
	}
	s->random_left--;
	return uuid_v7(wall_now_us(), s->random + 10 * s->random_left);
}

/* Exchanges */

struct exchange *server_exchange_get(struct http_server *s, struct conn *c)
{
	struct exchange *x = s->pool;

	if (x) {
		s->pool = x->next_free;
		s->n_pool--;
		ASAN_UNPOISON_MEMORY_REGION(&x->arena, sizeof(x->arena));
	} else {
		x = xcalloc(1, sizeof(*x));
		http_head_init(&x->head, s->config.head_max, s->config.headers_max);
		arena_init(&x->arena);
		buf_init(&x->body, s->config.body_max);
		/* an answer may have any size: it is the handler's, not the client's */
		buf_init(&x->out, SIZE_MAX / 8);
		x->in = xmalloc(HTTP_IN_BYTES);
		x->in_cap = HTTP_IN_BYTES;
		x->req.arena = &x->arena;
	}
	x->conn = c;
	x->next_free = NULL;
	return x;
}

static void buf_shrink(struct buf *b)
{
	if (b->cap > HTTP_KEPT_BYTES)
		buf_done(b);
	buf_reset(b);
}

void server_exchange_reset(struct exchange *x)
{
	http_head_reset(&x->head);
	arena_reset(&x->arena);
	buf_shrink(&x->body);
	buf_shrink(&x->out);
	shared_bytes_unref(x->out_body);
	x->out_body = NULL;
	x->used = x->out_at = x->out_body_at = 0;
	x->body_mode = BODY_NONE;
	x->open = x->hung_up = false;
	x->hangup_fn = NULL;
}

static void exchange_free(struct exchange *x)
{
	ASAN_UNPOISON_MEMORY_REGION(&x->arena, sizeof(x->arena));
	http_head_done(&x->head);
	arena_done(&x->arena);
	buf_done(&x->body);
	buf_done(&x->out);
	shared_bytes_unref(x->out_body);
	free(x->in);
	free(x);
}

void server_exchange_put(struct http_server *s, struct exchange *x)
{
	if (s->n_pool >= HTTP_POOL_MAX || x->in_cap > HTTP_KEPT_BYTES) {
		exchange_free(x);
		return;
	}
	server_exchange_reset(x);
	x->in_n = 0;
	x->conn = NULL;
	x->next_free = s->pool;
	s->pool = x;
	s->n_pool++;
	/* a handler that goes on after its answer must not find the arena of the next request */
	ASAN_POISON_MEMORY_REGION(&x->arena, sizeof(x->arena));
}

/* Deadlines */

void server_sweep_by(struct http_server *s, int64_t deadline_us)
{
	int64_t now_us;

	if (deadline_us >= s->sweep_at_us)
		return;
	now_us = loop_now_us(s->loop);
	s->sweep_at_us = deadline_us;
	timer_set_ms(s->sweep, deadline_us > now_us ? (deadline_us - now_us) / 1000 + HTTP_SWEEP_MS : HTTP_SWEEP_MS);
}

static void on_sweep(void *arg)
{
	struct http_server *s = arg;
	int64_t now_us = loop_now_us(s->loop), next_us = INT64_MAX;

	s->sweep_at_us = INT64_MAX;
	for (int i = 0; i < CONN_LISTS; i++) {
		struct conn *c;

		/* an expired one leaves its list, whatever becomes of it */
		while ((c = list_first(&s->lists[i], struct conn, link)) && c->deadline_us <= now_us)
			conn_expired(c);
		if (c && c->deadline_us < next_us)
			next_us = c->deadline_us;
	}
	server_sweep_by(s, next_us);
}

static void on_ready(void *arg)
{
	struct http_server *s = arg;
	struct conn *c;

	while ((c = list_first(&s->ready, struct conn, ready))) {
		list_remove(&c->ready);
		conn_process(c);
	}
}

/* Accepting */

/* NULL: not counted. */
static struct crowd *crowd_of(struct http_server *s, const struct sockaddr_storage *peer)
{
	struct net_addr a = net_addr_of(peer);
	struct crowd *crowd;
	struct uuid network;

	if (!s->crowds)
		return NULL;
	for (size_t i = 0; i < sizeof(s->config.uncounted) / sizeof(s->config.uncounted[0]); i++)
		if (s->config.uncounted[i] && net_list_has(s->config.uncounted[i], &a))
			return NULL;
	a = net_addr_network(&a);
	memcpy(network.b, a.b, sizeof(network.b));
	crowd = map_get_uuid(s->crowds, &network);
	if (!crowd) {
		crowd = xcalloc(1, sizeof(*crowd));
		crowd->network = network;
		map_put_uuid(s->crowds, &network, crowd);
	}
	return crowd;
}

static void crowd_leave(struct http_server *s, struct crowd *crowd)
{
	if (!crowd || --crowd->n > 0)
		return;
	map_remove_uuid(s->crowds, &crowd->network);
	free(crowd);
}

static void accepted(struct http_server *s, int fd, const struct sockaddr_storage *peer)
{
	struct crowd *crowd = NULL;
	bool room = s->n_conns - s->n_extra < s->config.conns_max;
	struct conn *c;

	if (room)
		crowd = crowd_of(s, peer);
	if (room && (!crowd || crowd->n < s->config.conns_per_network)) {
		c = conn_new(s, fd, peer);
		c->crowd = crowd;
		if (crowd)
			crowd->n++;
		return;
	}
	if (s->n_extra >= HTTP_REFUSED_MAX) {
		s->refused[room ? ERR_RATE_LIMITED : ERR_OVERLOADED]++;
		close(fd);
		return;
	}
	c = conn_new(s, fd, peer);
	c->extra = true;
	s->n_extra++;
	if (room)
		reply_error(c, ERR_RATE_LIMITED, "Your network has too many connections open.");
	else
		reply_error(c, ERR_OVERLOADED, "Too many connections.");
}

static void pause_accepting(struct http_server *s)
{
	list_for_each(l, tmp, &s->listeners)
		fd_watch_set(list_entry(l, struct listener, link)->watch, 0);
	timer_set_ms(s->accept_pause, ACCEPT_PAUSE_MS);
}

static void on_accept_pause_over(void *arg)
{
	struct http_server *s = arg;

	if (s->reserve_fd < 0)
		s->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	list_for_each(l, tmp, &s->listeners)
		fd_watch_set(list_entry(l, struct listener, link)->watch, LOOP_READ);
}

/* No descriptor is free: answer one connection with the reserve's. false: accepting pauses. */
static bool refuse_with_reserve(struct http_server *s, struct listener *l)
{
	static const char answer[] = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\n"
				     "Connection: close\r\n\r\n";
	int fd;

	if (s->reserve_fd < 0)
		return false;
	close(s->reserve_fd);
	fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0) {
		ssize_t n = recv(fd, s->scratch, HTTP_SCRATCH_BYTES, 0);

		/* best effort: it is read if it is there, so that closing does not reset the answer away */
		n = send(fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL);
		(void)n;
		close(fd);
		s->refused[ERR_OVERLOADED]++;
	}
	s->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return s->reserve_fd >= 0;
}

/* false: nothing more to take now. */
static bool accept_one(struct http_server *s, struct listener *l)
{
	struct sockaddr_storage peer;
	socklen_t peer_n = sizeof(peer);
	int fd;

	peer.ss_family = AF_UNSPEC;
	fd = accept4(l->fd, (struct sockaddr *)&peer, &peer_n, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0) {
		if (peer_n < sizeof(peer.ss_family))
			peer.ss_family = AF_UNIX;
		accepted(s, fd, &peer);
		return true;
	}
	switch (errno) {
	case EAGAIN: /* another process was faster */
		return false;
	case EMFILE:
	case ENFILE:
		if (refuse_with_reserve(s, l))
			return true;
		pause_accepting(s);
		return false;
	case ENOBUFS:
	case ENOMEM:
		pause_accepting(s);
		return false;
	case EBADF:
	case EINVAL:
	case ENOTSOCK:
	case EOPNOTSUPP: /* no listener (any more): nothing will ever come */
		fd_watch_set(l->watch, 0);
		return false;
	default: /* the connection's own trouble (ECONNABORTED, EPROTO, ...), or EINTR */
		return true;
	}
}

static void on_listener(void *arg, int events)
{
	struct listener *l = arg;

	for (int i = 0; i < ACCEPTS_PER_TURN; i++)
		if (!accept_one(l->server, l))
			return;
}

void http_server_listen(struct http_server *s, int fd)
{
	struct listener *l = xcalloc(1, sizeof(*l));
	int one = 1;

	/* inherited by what is accepted; a unix socket refuses it, which is fine */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	l->server = s;
	l->fd = fd;
	l->watch = fd_watch_new(s->loop, fd, on_listener, l);
	list_append(&s->listeners, &l->link);
	fd_watch_set(l->watch, LOOP_READ);
}

/* Draining */

static void on_drained(void *arg)
{
	struct http_server *s = arg;
	loop_fn *fn = s->drained_fn;

	/* what was posted may be out of date only if somebody took the server back: nobody can */
	s->drained_fn = NULL;
	if (fn)
		fn(s->drained_arg);
}

static void check_drained(struct http_server *s)
{
	if (s->draining && s->n_conns == 0)
		deferred_post(s->drained);
}

void server_conn_gone(struct http_server *s, struct conn *c)
{
	s->n_conns--;
	if (c->extra)
		s->n_extra--;
	crowd_leave(s, c->crowd);
	check_drained(s);
}

static void on_idle_over(void *arg)
{
	struct http_server *s = arg;
	struct list was_idle;

	s->idle_over = true;
	/* each one a last look: its request may be in the socket already */
	list_init(&was_idle);
	while (!list_empty(&s->lists[CONN_IDLE])) {
		struct list *l = s->lists[CONN_IDLE].next;

		list_remove(l);
		list_append(&was_idle, l);
		conn_poke(list_entry(l, struct conn, link));
		if (!list_empty(&was_idle))
			conn_destroy(list_entry(was_idle.next, struct conn, link));
	}
}

void http_server_drain(struct http_server *s, int64_t linger_ms, loop_fn *fn, void *arg)
{
	struct listener *l;

	assert(!s->draining);
	/* who is in our queue was told "connected": an RST would be a dropped request */
	while ((l = list_first(&s->listeners, struct listener, link))) {
		while (accept_one(s, l))
			;
		listener_free(l);
	}
	timer_clear(s->accept_pause);
	s->draining = true;
	s->drained_fn = fn;
	s->drained_arg = arg;
	s->drained = deferred_new(s->loop, on_drained, s);
	s->drain_linger = timer_new(s->loop, on_idle_over, s);
	timer_set_ms(s->drain_linger, linger_ms);
	check_drained(s);
}
