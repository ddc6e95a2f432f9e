/*
 * Owns the connections' sockets and what has been read of an answer.
 *
 *   CLOSED --reopen--> CONNECTING --writable--> IDLE --send--> WAITING --head, long body--> SKIPPING
 *     ^                    |                     ^  ^             |                             |
 *     |                  error                   |  +-------------+----------- answered -------+
 *     +--------------------+---------------------+--- ended by the server
 *
 * Only conn_move() assigns the state; it keeps the list of idle ones and the numbers.
 */
#include "drive_conn.h"

#include "base/xmalloc.h"

#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
	SCRATCH_BYTES = 32 << 10,
	WHOLE_MAX = 16 << 10,	 /* answers up to this are kept until they are whole */
	COLLECT_MAX = 64 << 20,	 /* a map of 100,000 seats has a few MB */
	PORTS_PER_SOURCE = 20000 /* of about 28,000 ephemeral ones */
};

enum conn_state { CONN_CLOSED, CONN_CONNECTING, CONN_IDLE, CONN_WAITING, CONN_SKIPPING };

struct conn {
	struct list link; /* in idle */
	enum conn_state state;
	int fd, index;
	bool close_after; /* the answer says that the server will close */
	struct intent in;
	int status;	  /* SKIPPING */
	size_t body_left; /* SKIPPING */
	char *save;	  /* WHOLE_MAX bytes, when an answer came in pieces once */
	size_t save_n;
	char *unsent; /* rest of a request that the socket did not take */
	size_t unsent_at, unsent_n;
};

static void conn_move(struct conns *s, struct conn *c, enum conn_state to)
{
	bool was_busy = c->state == CONN_WAITING || c->state == CONN_SKIPPING,
	     is_busy = to == CONN_WAITING || to == CONN_SKIPPING;

	s->n_idle += (to == CONN_IDLE) - (c->state == CONN_IDLE);
	s->n_closed += (to == CONN_CLOSED) - (c->state == CONN_CLOSED);
	s->n_waiting += is_busy - was_busy;
	if (c->state == CONN_IDLE)
		list_remove(&c->link);
	if (to == CONN_IDLE)
		list_append(&s->idle, &c->link);
	c->state = to;
}

int conn_socket(const struct options *o, int index)
{
	int family = o->address.any.sa_family, one = 1, error;
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (family == AF_INET && index >= PORTS_PER_SOURCE) {
		struct sockaddr_in from = {.sin_family = AF_INET};

		from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)(index / PORTS_PER_SOURCE));
		setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
		if (bind(fd, (const struct sockaddr *)&from, sizeof(from)) < 0)
			goto failed;
	}
	if (connect(fd, &o->address.any, o->address_n) == 0 || errno == EINPROGRESS)
		return fd;
failed:
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

static void conn_open(struct conns *s, struct conn *c)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};

	assert(c->state == CONN_CLOSED);
	c->fd = conn_socket(s->options, c->index);
	c->close_after = false;
	c->save_n = 0;
	if (c->fd < 0) {
		/* a local socket whose queue is full says so at once; it is tried again */
		if (errno != EAGAIN)
			s->problem_fn(s->arg, PROBLEM_CONNECT, strerror(errno));
		return;
	}
	epoll_ctl(s->epfd, EPOLL_CTL_ADD, c->fd, &event);
	conn_move(s, c, CONN_CONNECTING);
}

static void conn_close(struct conns *s, struct conn *c)
{
	close(c->fd);
	c->fd = -1;
	free(c->unsent);
	c->unsent = NULL;
	if (s->collector == c)
		s->collector = NULL;
	conn_move(s, c, CONN_CLOSED);
}

/* The connection is over before its time. */
static void conn_lost(struct conns *s, struct conn *c, enum problem kind, const char *why)
{
	enum conn_state was = c->state;
	struct answer a = {.body = str_from(why)};

	conn_close(s, c);
	if (was == CONN_CONNECTING || was == CONN_WAITING || was == CONN_SKIPPING)
		s->problem_fn(s->arg, was == CONN_CONNECTING ? PROBLEM_CONNECT : kind, why);
	else
		s->n_reopened++;
	if (was != CONN_CONNECTING) /* not to be tried again at once where nobody listens */
		conn_open(s, c);
	if (was == CONN_WAITING || was == CONN_SKIPPING)
		s->answer_fn(s->arg, &c->in, &a);
}

/* The answer is whole (or its body is of no interest); c is free for another request before the scenario hears of it. */
static void conn_answered(struct conns *s, struct conn *c, const struct answer *a)
{
	struct intent in = c->in;

	c->save_n = 0;
	if (s->collector == c)
		s->collector = NULL;
	if (c->close_after) {
		conn_close(s, c);
		s->n_reopened++;
		conn_open(s, c);
	} else {
		conn_move(s, c, CONN_IDLE);
	}
	s->answer_fn(s->arg, &in, a);
}

static const char *find(struct str in, const char *what, size_t n)
{
	return memmem(in.p, in.n, what, n);
}

#define FIND(in, literal) find(in, literal, sizeof(literal) - 1)

/* Content-Length; -1: none, or nonsense. */
static int64_t content_length(struct str head)
{
	static const char name[] = "\r\nContent-Length: ";
	const char *at = FIND(head, name), *end = head.p + head.n;
	int64_t n = 0;

	/* another server's spelling; ours is found at the first try */
	for (const char *p = head.p; !at && p + sizeof(name) - 1 <= end; p++)
		if (*p == '\r' && strncasecmp(p, name, sizeof(name) - 1) == 0)
			at = p;
	if (!at)
		return -1;
	at += sizeof(name) - 1;
	if (at == end || *at < '0' || *at > '9')
		return -1;
	for (; at < end && *at >= '0' && *at <= '9' && n < INT64_C(1) << 40; at++)
		n = n * 10 + (*at - '0');
	return n;
}

static void skip_body(struct conns *s, struct conn *c)
{
	/* TCP throws away what is received with MSG_TRUNC without copying it; other sockets need a place for it */
	bool throw_away = s->options->address.any.sa_family != AF_UNIX && s->collector != c;
	struct answer a = {.status = c->status};

	while (c->body_left) {
		size_t want = !throw_away && c->body_left > SCRATCH_BYTES ? SCRATCH_BYTES : c->body_left;
		ssize_t n = recv(c->fd, throw_away ? NULL : s->scratch, want, throw_away ? MSG_TRUNC : 0);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			conn_lost(s, c, PROBLEM_LOST, n < 0 ? strerror(errno) : "closed within the body of an answer");
			return;
		}
		if (s->collector == c)
			buf_add(&s->collected, s->scratch, (size_t)n);
		c->body_left -= (size_t)n;
	}
	if (s->collector == c) {
		a.body = buf_str(&s->collected);
		a.whole = !s->collected.failed;
	}
	conn_answered(s, c, &a);
}

/* got: all that has come of the answer. */
static void read_head(struct conns *s, struct conn *c, struct str got)
{
	const char *end = FIND(got, "\r\n\r\n");
	struct answer a;
	size_t head_n, total;
	int64_t length;

	if (!end) {
		if (got.n >= WHOLE_MAX) {
			conn_lost(s, c, PROBLEM_MALFORMED, "the head of an answer does not end");
			return;
		}
		goto keep;
	}
	head_n = (size_t)(end - got.p) + 4;
	a = (struct answer){.head = {got.p, head_n}, .whole = true};
	if (head_n < 16 || memcmp(got.p, "HTTP/1.1 ", 9) != 0 || got.p[9] < '1' || got.p[9] > '5') {
		conn_lost(s, c, PROBLEM_MALFORMED, "an answer does not begin with HTTP/1.1 and a status");
		return;
	}
	a.status = (got.p[9] - '0') * 100 + (got.p[10] - '0') * 10 + (got.p[11] - '0');
	if (a.status < 200 || a.status >= STATUS_MAX) {
		conn_lost(s, c, PROBLEM_MALFORMED, "an answer has a status that is none");
		return;
	}
	length = a.status == 204 || a.status == 304 ? 0 : content_length(a.head);
	if (length < 0) {
		conn_lost(s, c, PROBLEM_MALFORMED, "an answer has no Content-Length");
		return;
	}
	c->close_after = FIND(a.head, "\r\nConnection: close") != NULL;
	total = head_n + (size_t)length;
	if (got.n > total) {
		conn_lost(s, c, PROBLEM_MALFORMED, "more came than the answer's Content-Length");
		return;
	}
	if (got.n == total) {
		a.body = (struct str){got.p + head_n, (size_t)length};
		conn_answered(s, c, &a);
		return;
	}
	if (total > WHOLE_MAX || s->collector == c) {
		if (s->collector == c)
			buf_add(&s->collected, got.p + head_n, got.n - head_n);
		c->status = a.status;
		c->body_left = total - got.n;
		conn_move(s, c, CONN_SKIPPING);
		skip_body(s, c);
		return;
	}
keep:
	if (!c->save)
		c->save = xmalloc(WHOLE_MAX);
	memcpy(c->save, got.p, got.n);
	c->save_n = got.n;
}

static void read_answer(struct conns *s, struct conn *c)
{
	ssize_t n;

	if (c->save_n)
		memcpy(s->scratch, c->save, c->save_n);
	n = recv(c->fd, s->scratch + c->save_n, WHOLE_MAX - c->save_n, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		conn_lost(s, c, PROBLEM_LOST, n < 0 ? strerror(errno) : "closed before an answer");
	else
		read_head(s, c, (struct str){s->scratch, c->save_n + (size_t)n});
}

static void watch(struct conns *s, struct conn *c, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = c};

	epoll_ctl(s->epfd, EPOLL_CTL_MOD, c->fd, &event);
}

static void connected(struct conns *s, struct conn *c)
{
	socklen_t n = sizeof(int);
	int error = 0;

	getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &n);
	if (error) {
		conn_lost(s, c, PROBLEM_CONNECT, strerror(error));
		return;
	}
	watch(s, c, EPOLLIN);
	conn_move(s, c, CONN_IDLE);
}

/* false: lost. */
static bool send_rest(struct conns *s, struct conn *c)
{
	ssize_t n = send(c->fd, c->unsent + c->unsent_at, c->unsent_n - c->unsent_at, MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		conn_lost(s, c, PROBLEM_LOST, strerror(errno));
		return false;
	}
	if (n > 0)
		c->unsent_at += (size_t)n;
	if (c->unsent_at == c->unsent_n) {
		free(c->unsent);
		c->unsent = NULL;
		watch(s, c, EPOLLIN);
	}
	return true;
}

void conns_event(struct conns *s, void *data, uint32_t events)
{
	struct conn *c = data;

	switch (c->state) {
	case CONN_CONNECTING:
		connected(s, c);
		break;
	case CONN_IDLE: /* nothing can come but its end */
		if (recv(c->fd, s->scratch, 1, MSG_PEEK) > 0)
			s->problem_fn(s->arg, PROBLEM_MALFORMED, "an answer came that nobody has asked for");
		conn_lost(s, c, PROBLEM_LOST, "");
		break;
	case CONN_WAITING:
		if (c->unsent && (events & EPOLLOUT) && !send_rest(s, c))
			break;
		if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
			read_answer(s, c);
		break;
	case CONN_SKIPPING:
		skip_body(s, c);
		break;
	case CONN_CLOSED:
		break; /* closed and not reopened earlier in this turn */
	}
}

void conns_send(struct conns *s, const struct intent *in, const char *request, size_t n)
{
	struct conn *c = list_first(&s->idle, struct conn, link);
	ssize_t sent;

	assert(c);
	c->in = *in;
	conn_move(s, c, CONN_WAITING);
	if (in->collect && !s->collector) {
		s->collector = c;
		buf_reset(&s->collected);
	}
	sent = send(c->fd, request, n, MSG_NOSIGNAL);
	if (sent == (ssize_t)n)
		return;
	/* rare: the rest goes when the socket says so, and an error is read like an end */
	c->unsent_at = 0;
	c->unsent_n = sent > 0 ? n - (size_t)sent : n;
	c->unsent = xmalloc(c->unsent_n);
	memcpy(c->unsent, request + (n - c->unsent_n), c->unsent_n);
	watch(s, c, EPOLLIN | EPOLLOUT);
}

void conns_init(struct conns *s, int epfd, const struct options *o, conn_answer_fn *answer_fn,
		conn_problem_fn *problem_fn, void *arg)
{
	*s = (struct conns){.epfd = epfd,
			    .n = o->connections,
			    .all = xcalloc((size_t)o->connections, sizeof(struct conn)),
			    .options = o,
			    .answer_fn = answer_fn,
			    .problem_fn = problem_fn,
			    .arg = arg,
			    .scratch = xmalloc(SCRATCH_BYTES)};
	list_init(&s->idle);
	buf_init(&s->collected, COLLECT_MAX);
	s->n_closed = s->n;
	for (int i = 0; i < s->n; i++) {
		s->all[i].index = i;
		s->all[i].fd = -1;
		list_init(&s->all[i].link);
	}
}

void conns_done(struct conns *s)
{
	for (int i = 0; i < s->n; i++) {
		if (s->all[i].fd >= 0)
			close(s->all[i].fd);
		free(s->all[i].save);
		free(s->all[i].unsent);
	}
	free(s->all);
	free(s->scratch);
	buf_done(&s->collected);
}

void conns_reopen(struct conns *s)
{
	for (int i = 0; i < s->n && s->n_closed; i++)
		if (s->all[i].state == CONN_CLOSED)
			conn_open(s, &s->all[i]);
}
