/* Owns a multi handle, its sockets' watches and its timer. Called by http_client.c and mail.c. */
#include "io/curl_loop.h"

#include "base/list.h"
#include "base/xmalloc.h"

#include <stdlib.h>

struct curl_loop {
	struct loop *loop;
	CURLM *multi;
	struct timer *timer;
	struct list sockets;
	curl_loop_fn *fn;
	void *arg;
};

struct curl_socket {
	struct list link;
	struct curl_loop *owner;
	curl_socket_t fd;
	struct fd_watch *watch;
};

static void take_finished(struct curl_loop *c)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(c->multi, &left)))
		if (message->msg == CURLMSG_DONE)
			c->fn(c->arg, message->easy_handle, message->data.result);
}

static void on_socket_event(void *arg, int events)
{
	struct curl_socket *s = arg;
	struct curl_loop *c = s->owner;
	int running, what = 0;

	if (events & LOOP_READ)
		what |= CURL_CSELECT_IN;
	if (events & LOOP_WRITE)
		what |= CURL_CSELECT_OUT;
	curl_multi_socket_action(c->multi, s->fd, what, &running); /* may free s */
	take_finished(c);
}

static void on_curl_timer(void *arg)
{
	struct curl_loop *c = arg;
	int running;

	curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	take_finished(c);
}

static int want_timer(CURLM *multi, long timeout_ms, void *arg)
{
	struct curl_loop *c = arg;

	if (timeout_ms < 0)
		timer_clear(c->timer);
	else
		timer_set_ms(c->timer, timeout_ms);
	return 0;
}

static void socket_free(struct curl_socket *s)
{
	list_remove(&s->link);
	fd_watch_free(s->watch);
	free(s);
}

static int want_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	struct curl_loop *c = arg;
	struct curl_socket *s = socket_arg;
	int events = 0;

	if (what == CURL_POLL_REMOVE) {
		if (s) {
			curl_multi_assign(c->multi, fd, NULL);
			socket_free(s);
		}
		return 0;
	}
	if (!s) {
		s = xcalloc(1, sizeof(*s));
		s->owner = c;
		s->fd = fd;
		s->watch = fd_watch_new(c->loop, fd, on_socket_event, s);
		list_append(&c->sockets, &s->link);
		curl_multi_assign(c->multi, fd, s);
	}
	if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
		events |= LOOP_READ;
	if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
		events |= LOOP_WRITE;
	fd_watch_set(s->watch, events);
	return 0;
}

CURLM *curl_loop_multi(struct curl_loop *c)
{
	return c->multi;
}

struct curl_loop *curl_loop_new(struct loop *loop, curl_loop_fn *fn, void *arg)
{
	struct curl_loop *c = xcalloc(1, sizeof(*c));

	/* out of memory is the end of a process, in libraries too (xmalloc.h) */
	if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, xmalloc, free, xrealloc, xstrdup, xcalloc))
		abort();
	c->loop = loop;
	c->fn = fn;
	c->arg = arg;
	list_init(&c->sockets);
	c->timer = timer_new(loop, on_curl_timer, c);
	c->multi = curl_multi_init();
	if (!c->multi)
		abort();
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, want_timer);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
	return c;
}

void curl_loop_free(struct curl_loop *c)
{
	struct curl_socket *s;

	if (!c)
		return;
	curl_multi_cleanup(c->multi); /* may still call want_socket and want_timer */
	while ((s = list_first(&c->sockets, struct curl_socket, link)))
		socket_free(s);
	timer_free(c->timer);
	curl_global_cleanup();
	free(c);
}
