/*
 * Owns the event streams of a process: their descriptors, what waits for each, heartbeats, the ways they end. http_stream.h
 * has the picture; web_stream.c makes them out of requests.
 *
 *   OPEN -> CLOSING (no more is sent, what waits still leaves) -> OVER (descriptor closed, closed is still to run) -> gone
 *     `----------------------------------------------------------^
 *
 * A state is membership of the list of that name. The open ones are in the order in which their heartbeats are due (each that is
 * sent something goes to the end), the closing ones in that of their deadlines, so that one timer looks at first members only.
 */
#include "io/http_stream.h"

#include "base/list.h"
#include "base/map.h"
#include "base/xmalloc.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	CLOSING_MS = 5000,	  /* for what waits to leave, when it ends */
	DISCARD_MAX = 16 * 1024,  /* bytes that a client may send to nobody */
	SOCKET_BYTES = 32 * 1024, /* in the kernel, instead of the megabytes that it would allow */
	UNACKED_MS = 60000,	  /* a client that was unplugged is gone after that */
	SWEEP_MIN_MS = 20,
	DRAIN_SPREAD_MS = 3000,
};

enum stream_state { STREAM_OPEN, STREAM_CLOSING, STREAM_OVER, STREAM_STATES };

struct piece {
	struct list link;
	struct shared_bytes *bytes;
};

/* The streams of one session or network, as long as there are some. */
struct crowd {
	struct uuid key;
	size_t n;
};

struct http_stream {
	struct list link; /* of its state's list */
	struct http_streams *all;
	struct fd_watch *watch;
	struct crowd *session, *network; /* NULL: not counted */
	struct list queue;		 /* struct piece: what the socket did not take */
	size_t queued, at;		 /* bytes in all; of the first piece so many have left */
	int64_t due_us;			 /* of the next heartbeat; closing: its end */
	int64_t stuck_us;		 /* since when the socket has taken nothing of what waits */
	http_stream_closed_fn *closed;
	void *arg;
	size_t discarded;
	int fd;
	enum stream_state state;
	enum http_stream_end why;
};

struct http_streams {
	struct http_streams_config config;
	struct list lists[STREAM_STATES];
	struct map *sessions, *networks; /* struct crowd */
	struct timer *sweep;
	struct deferred *over;
	struct shared_bytes *beat, *hello;
	size_t n; /* open and closing */
	bool draining;
};

static void on_event(void *arg, int events);
static void on_sweep(void *arg);
static void on_over(void *arg);

struct http_streams *http_streams_new(const struct http_streams_config *config)
{
	struct http_streams *s = xcalloc(1, sizeof(*s));
	struct buf hello;

	assert(config->heartbeat_ms > 0 && config->streams_max > 0);
	s->config = *config;
	for (int i = 0; i < STREAM_STATES; i++)
		list_init(&s->lists[i]);
	s->sessions = map_new();
	s->networks = map_new();
	s->sweep = timer_new(config->loop, on_sweep, s);
	s->over = deferred_new(config->loop, on_over, s);
	s->beat = shared_bytes_new(STR(":\n\n"));
	buf_init(&hello, 64);
	buf_addf(&hello, "retry: %lld\n\n", (long long)config->retry_ms);
	s->hello = shared_bytes_new(buf_str(&hello));
	buf_done(&hello);
	return s;
}

size_t http_streams_count(const struct http_streams *s)
{
	return s->n;
}

/* ---- who has how many ---- */

static struct crowd *crowd_join(struct map *crowds, const struct uuid *key)
{
	struct crowd *crowd;

	if (uuid_is_zero(key))
		return NULL;
	crowd = map_get_uuid(crowds, key);
	if (!crowd) {
		crowd = xcalloc(1, sizeof(*crowd));
		crowd->key = *key;
		map_put_uuid(crowds, key, crowd);
	}
	crowd->n++;
	return crowd;
}

static void crowd_leave(struct map *crowds, struct crowd *crowd)
{
	if (!crowd || --crowd->n > 0)
		return;
	map_remove_uuid(crowds, &crowd->key);
	free(crowd);
}

static size_t crowd_size(const struct map *crowds, const struct uuid *key)
{
	const struct crowd *crowd = uuid_is_zero(key) ? NULL : map_get_uuid(crowds, key);

	return crowd ? crowd->n : 0;
}

enum err http_streams_room(const struct http_streams *s, const struct stream_owner *owner, const char **ret_detail)
{
	const struct http_streams_config *c = &s->config;

	*ret_detail = NULL;
	if (s->draining)
		return ERR_UNAVAILABLE;
	if (crowd_size(s->sessions, &owner->session) >= c->per_session_max) {
		*ret_detail = "Your session has too many event streams open.";
		return ERR_RATE_LIMITED;
	}
	if (c->per_network_max && crowd_size(s->networks, &owner->network) >= c->per_network_max) {
		*ret_detail = "Your network has too many event streams open.";
		return ERR_RATE_LIMITED;
	}
	if (s->n >= c->streams_max) {
		*ret_detail = "Too many event streams are open. Ask for the state instead, now and then.";
		return ERR_OVERLOADED;
	}
	return ERR_NONE;
}

/* ---- states ---- */

static void sweep_by(struct http_streams *s, int64_t due_us)
{
	int64_t ms = (due_us - loop_now_us(s->config.loop)) / 1000;

	/* never set later than it is due: the first one to be due asked for it */
	if (!timer_is_set(s->sweep))
		timer_set_ms(s->sweep, ms > SWEEP_MIN_MS ? ms : SWEEP_MIN_MS);
}

static void queue_drop(struct http_stream *st)
{
	struct piece *p;

	while ((p = list_first(&st->queue, struct piece, link))) {
		list_remove(&p->link);
		shared_bytes_unref(p->bytes);
		free(p);
	}
	st->queued = st->at = 0;
}

static void stream_state(struct http_stream *st, enum stream_state to)
{
	struct http_streams *s = st->all;

	assert(to > st->state);
	list_remove(&st->link);
	list_append(&s->lists[to], &st->link);
	st->state = to;
	if (to == STREAM_CLOSING) {
		st->due_us = loop_now_us(s->config.loop) + CLOSING_MS * INT64_C(1000);
		/* may be due before the heartbeat that the timer waits for */
		timer_clear(s->sweep);
		timer_set_ms(s->sweep, SWEEP_MIN_MS);
		return;
	}
	fd_watch_free(st->watch);
	st->watch = NULL;
	close(st->fd);
	st->fd = -1;
	queue_drop(st);
	crowd_leave(s->sessions, st->session);
	crowd_leave(s->networks, st->network);
	st->session = st->network = NULL;
	s->n--;
	metric_set(s->config.metrics, METRIC_STREAMS, 0, 0, (int64_t)s->n);
	metric_add(s->config.metrics, METRIC_STREAMS_CLOSED, (int)st->why, 0, 1);
	deferred_post(s->over);
}

/* It has ended: what is left to do is telling so. */
static void stream_over(struct http_stream *st, enum http_stream_end why)
{
	struct linger reset = {.l_onoff = 1};

	/* whoever closed it hears that, however its last bytes fared */
	if (st->state == STREAM_OPEN)
		st->why = why;
	/* who does not read must not keep our bytes in the kernel either */
	if (why == HTTP_STREAM_SLOW)
		setsockopt(st->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	stream_state(st, STREAM_OVER);
}

static void tell(struct http_stream *st)
{
	list_remove(&st->link);
	st->closed(st->arg, st->why);
	free(st);
}

static void on_over(void *arg)
{
	struct http_streams *s = arg;
	struct http_stream *st;

	while ((st = list_first(&s->lists[STREAM_OVER], struct http_stream, link)))
		tell(st);
}

/* ---- writing ---- */

static void watch(struct http_stream *st)
{
	fd_watch_set(st->watch, LOOP_READ | (st->queued ? LOOP_WRITE : 0));
}

/* Bytes that the socket took; -1: it is broken. */
static ssize_t put(int fd, struct str bytes)
{
	ssize_t n = send(fd, bytes.p, bytes.n, MSG_NOSIGNAL);

	if (n >= 0)
		return n;
	return errno == EAGAIN || errno == EINTR || errno == ENOBUFS ? 0 : -1;
}

/* Sends what waits; false: it is over. */
static bool flush(struct http_stream *st)
{
	struct piece *p;

	while ((p = list_first(&st->queue, struct piece, link))) {
		struct str bytes = shared_bytes_str(p->bytes);
		ssize_t n = put(st->fd, (struct str){bytes.p + st->at, bytes.n - st->at});

		if (n < 0) {
			stream_over(st, HTTP_STREAM_LEFT);
			return false;
		}
		if (n > 0)
			st->stuck_us = loop_now_us(st->all->config.loop);
		st->at += (size_t)n;
		st->queued -= (size_t)n;
		if (st->at < bytes.n)
			break;
		list_remove(&p->link);
		shared_bytes_unref(p->bytes);
		free(p);
		st->at = 0;
	}
	watch(st);
	return true;
}

static void keep(struct http_stream *st, struct shared_bytes *bytes, size_t sent)
{
	struct piece *p = xcalloc(1, sizeof(*p));

	if (st->queued == 0) {
		st->stuck_us = loop_now_us(st->all->config.loop);
		st->at = sent;
	}
	p->bytes = shared_bytes_ref(bytes);
	list_append(&st->queue, &p->link);
	st->queued += shared_bytes_str(bytes).n - sent;
	watch(st);
}

/* Its next heartbeat is a whole one from now. */
static void beat_later(struct http_stream *st, int64_t now_us)
{
	struct http_streams *s = st->all;

	st->due_us = now_us + s->config.heartbeat_ms * 1000;
	list_remove(&st->link);
	list_append(&s->lists[STREAM_OPEN], &st->link);
	sweep_by(s, st->due_us);
}

bool http_stream_send(struct http_stream *st, struct shared_bytes *bytes)
{
	const struct http_streams_config *c = &st->all->config;
	struct str all = shared_bytes_str(bytes);
	int64_t now_us = loop_now_us(c->loop);
	ssize_t n = 0;

	if (st->state != STREAM_OPEN)
		return false;
	if (st->queued == 0)
		n = put(st->fd, all);
	if (n < 0) {
		stream_over(st, HTTP_STREAM_LEFT);
		return false;
	}
	if ((size_t)n < all.n) {
		if (st->queued + all.n - (size_t)n > c->queue_max ||
		    (st->queued && now_us - st->stuck_us > c->heartbeat_ms * 1000)) {
			stream_over(st, HTTP_STREAM_SLOW);
			return false;
		}
		keep(st, bytes, (size_t)n);
	}
	beat_later(st, now_us);
	return true;
}

/* All has left. What the client sent meanwhile is taken first: closing over unread bytes would reset our last ones away. */
static void finish(struct http_stream *st, enum http_stream_end why)
{
	char nobody[512];

	shutdown(st->fd, SHUT_WR);
	while (recv(st->fd, nobody, sizeof(nobody), 0) > 0)
		;
	stream_over(st, why);
}

void http_stream_close(struct http_stream *st)
{
	if (st->state != STREAM_OPEN)
		return;
	st->why = HTTP_STREAM_CLOSED;
	if (st->queued == 0)
		finish(st, HTTP_STREAM_CLOSED);
	else
		stream_state(st, STREAM_CLOSING);
}

/* ---- what happens to it ---- */

static void read_nothing(struct http_stream *st)
{
	char nobody[2048];
	ssize_t n = recv(st->fd, nobody, sizeof(nobody), 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		st->discarded += (size_t)n;
		if (st->discarded <= DISCARD_MAX)
			return;
	}
	stream_over(st, HTTP_STREAM_LEFT);
}

static void on_event(void *arg, int events)
{
	struct http_stream *st = arg;

	if (events & LOOP_WRITE) {
		if (!flush(st))
			return;
		if (st->state == STREAM_CLOSING && st->queued == 0) {
			finish(st, HTTP_STREAM_CLOSED);
			return;
		}
	}
	if (events & LOOP_READ)
		read_nothing(st);
}

static void on_sweep(void *arg)
{
	struct http_streams *s = arg;
	int64_t now_us = loop_now_us(s->config.loop), next_us = INT64_MAX;
	int64_t beat_us = s->config.heartbeat_ms * 1000;
	struct http_stream *st;

	/* each leaves the head of its list: by what is sent to it, or by ending */
	while ((st = list_first(&s->lists[STREAM_OPEN], struct http_stream, link)) && st->due_us <= now_us) {
		if (st->queued == 0)
			http_stream_send(st, s->beat);
		else if (now_us - st->stuck_us >= beat_us)
			stream_over(st, HTTP_STREAM_SLOW);
		else
			beat_later(st, now_us);
	}
	if (st)
		next_us = st->due_us;
	while ((st = list_first(&s->lists[STREAM_CLOSING], struct http_stream, link)) && st->due_us <= now_us)
		stream_over(st, HTTP_STREAM_SLOW);
	if (st && st->due_us < next_us)
		next_us = st->due_us;
	if (next_us < INT64_MAX) {
		timer_clear(s->sweep);
		sweep_by(s, next_us);
	}
}

struct http_stream *http_stream_new(struct http_streams *s, const struct stream_owner *owner, int fd,
				    struct shared_bytes *head, http_stream_closed_fn *closed, void *arg)
{
	struct http_stream *st = xcalloc(1, sizeof(*st));
	int bytes = SOCKET_BYTES, unacked_ms = UNACKED_MS;

	/* a unix socket refuses the second, which is fine */
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacked_ms, sizeof(unacked_ms));
	st->all = s;
	st->fd = fd;
	st->closed = closed;
	st->arg = arg;
	list_init(&st->queue);
	st->session = crowd_join(s->sessions, &owner->session);
	st->network = crowd_join(s->networks, &owner->network);
	st->watch = fd_watch_new(s->config.loop, fd, on_event, st);
	fd_watch_set(st->watch, LOOP_READ);
	list_append(&s->lists[STREAM_OPEN], &st->link);
	s->n++;
	metric_add(s->config.metrics, METRIC_STREAMS_OPENED, 0, 0, 1);
	metric_set(s->config.metrics, METRIC_STREAMS, 0, 0, (int64_t)s->n);
	if (http_stream_send(st, head))
		http_stream_send(st, s->hello);
	return st;
}

/* ---- the end of the process ---- */

void http_streams_drain(struct http_streams *s)
{
	struct http_stream *st;
	size_t i = 0;

	s->draining = true;
	while ((st = list_first(&s->lists[STREAM_OPEN], struct http_stream, link))) {
		struct buf text;

		/* the whole house must not come to the neighbours in the same moment */
		buf_init(&text, 64);
		buf_addf(&text, "retry: %lld\n\n",
			 (long long)(s->config.retry_ms + (int64_t)(i++ * 97 % DRAIN_SPREAD_MS)));
		/* in the middle of an event there is nothing to say */
		if (st->queued == 0 && put(st->fd, buf_str(&text)) >= 0)
			finish(st, HTTP_STREAM_DRAINED);
		else
			stream_over(st, HTTP_STREAM_DRAINED);
		buf_done(&text);
	}
	while ((st = list_first(&s->lists[STREAM_CLOSING], struct http_stream, link)))
		stream_over(st, HTTP_STREAM_DRAINED);
	on_over(s);
}

void http_streams_free(struct http_streams *s)
{
	struct http_stream *st;

	if (!s)
		return;
	s->draining = true;
	for (int i = STREAM_OPEN; i < STREAM_OVER; i++)
		while ((st = list_first(&s->lists[i], struct http_stream, link)))
			stream_over(st, HTTP_STREAM_DRAINED);
	on_over(s);
	timer_free(s->sweep);
	deferred_free(s->over);
	shared_bytes_unref(s->beat);
	shared_bytes_unref(s->hello);
	map_free(s->sessions);
	map_free(s->networks);
	free(s);
}

struct shared_bytes *http_stream_event(const char *event, uint64_t id, struct str data)
{
	struct shared_bytes *bytes;
	struct buf text;

	assert(!memchr(data.p, '\n', data.n) && !memchr(data.p, '\r', data.n));
	buf_init(&text, data.n + 200);
	buf_addf(&text, "event: %s\n", event);
	if (id)
		buf_addf(&text, "id: %llu\n", (unsigned long long)id);
	buf_adds(&text, "data: ");
	buf_addstr(&text, data);
	buf_adds(&text, "\n\n");
	assert(!text.failed);
	bytes = shared_bytes_new(buf_str(&text));
	buf_done(&text);
	return bytes;
}
