/*
 * Owns the event_base, timers, watches and the deferred list. loop_run drives one turn of libevent at a time, so that
 * deferred calls run after every callback of the turn and before the next wait.
 */
#include "io/loop.h"

#include "base/list.h"
#include "base/xmalloc.h"

#include <event2/event.h>
#include <stdlib.h>
#include <time.h>

struct loop {
	struct event_base *base;
	struct list deferred;
	int64_t now_us; /* 0: not yet read in this turn */
	bool running, stop;
};

struct timer {
	struct event *ev;
	loop_fn *fn;
	void *arg;
};

struct deferred {
	struct list link;
	struct loop *loop;
	loop_fn *fn;
	void *arg;
};

struct fd_watch {
	struct event *ev;
	struct loop *loop;
	int fd, events;
	fd_fn *fn;
	void *arg;
};

struct signal_watch {
	struct event *ev;
	signal_fn *fn;
	void *arg;
};

static int64_t monotonic_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t wall_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

struct loop *loop_new(void)
{
	struct loop *loop = xcalloc(1, sizeof(*loop));
	struct event_config *config;

	/* out of memory is the end of a process, in libraries too (xmalloc.h) */
	event_set_mem_functions(xmalloc, xrealloc, free);
	config = event_config_new();
	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_PRECISE_TIMER);
	loop->base = event_base_new_with_config(config);
	event_config_free(config);
	if (!loop->base)
		abort();
	list_init(&loop->deferred);
	return loop;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	event_base_free(loop->base);
	free(loop);
}

static void run_deferred(struct loop *loop)
{
	struct deferred *d;

	while ((d = list_first(&loop->deferred, struct deferred, link))) {
		list_remove(&d->link);
		d->fn(d->arg);
	}
}

void loop_run(struct loop *loop)
{
	int rc;

	loop->stop = false;
	loop->running = true;
	loop->now_us = 0;
	run_deferred(loop);
	while (!loop->stop) {
		/* the time read before the wait is not the time after it */
		loop->now_us = 0;
		rc = event_base_loop(loop->base, EVLOOP_ONCE);
		if (rc == 1) /* nothing is registered any more */
			break;
		if (rc < 0) /* the kernel refuses to wait: going on would spin */
			abort();
		run_deferred(loop);
	}
	loop->running = false;
}

void loop_stop(struct loop *loop)
{
	loop->stop = true;
	event_base_loopbreak(loop->base);
}

int64_t loop_now_us(struct loop *loop)
{
	if (!loop->running)
		return monotonic_us();
	if (loop->now_us == 0)
		loop->now_us = monotonic_us();
	return loop->now_us;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct timer *t = arg;

	t->fn(t->arg);
}

struct timer *timer_new(struct loop *loop, loop_fn *fn, void *arg)
{
	struct timer *t = xcalloc(1, sizeof(*t));

	t->ev = event_new(loop->base, -1, 0, on_timer, t);
	if (!t->ev)
		abort();
	t->fn = fn;
	t->arg = arg;
	return t;
}

void timer_free(struct timer *t)
{
	if (!t)
		return;
	event_free(t->ev);
	free(t);
}

void timer_set_ms(struct timer *t, int64_t delay_ms)
{
	struct timeval tv;

	if (delay_ms < 0)
		delay_ms = 0;
	tv.tv_sec = delay_ms / 1000;
	tv.tv_usec = delay_ms % 1000 * 1000;
	event_add(t->ev, &tv);
}

void timer_clear(struct timer *t)
{
	event_del(t->ev);
}

bool timer_is_set(const struct timer *t)
{
	return event_pending(t->ev, EV_TIMEOUT, NULL) != 0;
}

struct deferred *deferred_new(struct loop *loop, loop_fn *fn, void *arg)
{
	struct deferred *d = xcalloc(1, sizeof(*d));

	list_init(&d->link);
	d->loop = loop;
	d->fn = fn;
	d->arg = arg;
	return d;
}

void deferred_free(struct deferred *d)
{
	if (!d)
		return;
	list_remove(&d->link);
	free(d);
}

void deferred_post(struct deferred *d)
{
	if (list_empty(&d->link))
		list_append(&d->loop->deferred, &d->link);
}

static void on_fd(evutil_socket_t fd, short what, void *arg)
{
	struct fd_watch *w = arg;

	w->fn(w->arg, (what & EV_READ ? LOOP_READ : 0) | (what & EV_WRITE ? LOOP_WRITE : 0));
}

struct fd_watch *fd_watch_new(struct loop *loop, int fd, fd_fn *fn, void *arg)
{
	struct fd_watch *w = xcalloc(1, sizeof(*w));

	w->loop = loop;
	w->fd = fd;
	w->fn = fn;
	w->arg = arg;
	w->ev = event_new(loop->base, fd, EV_PERSIST, on_fd, w);
	if (!w->ev)
		abort();
	return w;
}

void fd_watch_free(struct fd_watch *w)
{
	if (!w)
		return;
	event_free(w->ev);
	free(w);
}

void fd_watch_set(struct fd_watch *w, int events)
{
	short what = EV_PERSIST;

	if (events == w->events)
		return;
	event_del(w->ev);
	w->events = events;
	if (!events)
		return;
	if (events & LOOP_READ)
		what |= EV_READ;
	if (events & LOOP_WRITE)
		what |= EV_WRITE;
	event_assign(w->ev, w->loop->base, w->fd, what, on_fd, w);
	event_add(w->ev, NULL);
}

static void on_signal(evutil_socket_t signo, short what, void *arg)
{
	struct signal_watch *w = arg;

	w->fn(w->arg, (int)signo);
}

struct signal_watch *signal_watch_new(struct loop *loop, int signo, signal_fn *fn, void *arg)
{
	struct signal_watch *w = xcalloc(1, sizeof(*w));

	w->fn = fn;
	w->arg = arg;
	w->ev = evsignal_new(loop->base, signo, on_signal, w);
	if (!w->ev || event_add(w->ev, NULL))
		abort();
	return w;
}

void signal_watch_free(struct signal_watch *w)
{
	if (!w)
		return;
	event_free(w->ev);
	free(w);
}
