/*
 * The event loop of a process: one thread, libevent's core beneath. Everything in io/ hangs on one.
 *
 * A turn of the loop: wait for descriptors and timers, run their callbacks, then run what was deferred during the turn
 * (and what that deferred in turn). Callbacks run on the loop's thread only and must not block for over a millisecond.
 */
#ifndef IO_LOOP_H
#define IO_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct event_base;

struct loop *loop_new(void);
void loop_free(struct loop *loop); /* timers, watches and deferred calls must be gone */
void loop_run(struct loop *loop);  /* returns after loop_stop */
void loop_stop(struct loop *loop);
/* Monotonic, read once a turn. */
int64_t loop_now_us(struct loop *loop);
/* The wall clock, microseconds since 1970, read now: for logs and new ids, never for expiry of locks. */
int64_t wall_now_us(void);

typedef void loop_fn(void *arg);

/* One shot; setting again moves it. The callback may free its own timer. */
struct timer;
struct timer *timer_new(struct loop *loop, loop_fn *fn, void *arg);
void timer_free(struct timer *t); /* NULL is fine */
void timer_set_ms(struct timer *t, int64_t delay_ms);
void timer_clear(struct timer *t);
bool timer_is_set(const struct timer *t);

/* Runs once at the end of this turn however often it was posted. */
struct deferred;
struct deferred *deferred_new(struct loop *loop, loop_fn *fn, void *arg);
void deferred_free(struct deferred *d); /* NULL is fine; a pending call is dropped */
void deferred_post(struct deferred *d);

enum { LOOP_READ = 1, LOOP_WRITE = 2 };
typedef void fd_fn(void *arg, int events);
/* Level triggered. The callback may free its own watch. Does not own the descriptor. */
struct fd_watch;
struct fd_watch *fd_watch_new(struct loop *loop, int fd, fd_fn *fn, void *arg);
void fd_watch_free(struct fd_watch *w);
void fd_watch_set(struct fd_watch *w, int events); /* 0: paused */

typedef void signal_fn(void *arg, int signo);
struct signal_watch;
struct signal_watch *signal_watch_new(struct loop *loop, int signo, signal_fn *fn, void *arg);
void signal_watch_free(struct signal_watch *w);

#endif
