/* Order within a turn, what callbacks may do to their own watch, and that time moves once a turn. */
#include "io/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
	struct loop *loop;
	struct timer *timer, *other;
	struct deferred *deferred, *second;
	struct fd_watch *watch;
	int fds[2];
	char trace[64]; /* what ran, in order */
	int64_t seen_us[8];
	int n_seen, events, signo;
};

static void setup(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	f->loop = loop_new();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, f->fds), 0);
}

static void teardown(struct fixture *f)
{
	timer_free(f->timer);
	timer_free(f->other);
	deferred_free(f->deferred);
	deferred_free(f->second);
	fd_watch_free(f->watch);
	loop_free(f->loop);
	close(f->fds[0]);
	close(f->fds[1]);
}

static void note(struct fixture *f, char c)
{
	size_t n = strlen(f->trace);

	assert_true(n + 1 < sizeof(f->trace));
	f->trace[n] = c;
}

static int64_t clock_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void on_timer_stop(void *arg)
{
	struct fixture *f = arg;

	note(f, 't');
	loop_stop(f->loop);
}

static void timer_runs_once_and_not_early(void **state)
{
	struct fixture f;
	int64_t start;

	setup(&f);
	f.timer = timer_new(f.loop, on_timer_stop, &f);
	assert_false(timer_is_set(f.timer));
	start = clock_us();
	timer_set_ms(f.timer, 30);
	assert_true(timer_is_set(f.timer));
	loop_run(f.loop);
	assert_true(clock_us() - start >= 29000);
	assert_false(timer_is_set(f.timer));
	/* nothing is left to wait for: returns by itself */
	loop_run(f.loop);
	assert_string_equal(f.trace, "t");
	teardown(&f);
}

static void timer_moves_and_clears(void **state)
{
	struct fixture f;
	int64_t start;

	setup(&f);
	f.timer = timer_new(f.loop, on_timer_stop, &f);
	f.other = timer_new(f.loop, on_timer_stop, &f);
	timer_set_ms(f.other, 0);
	timer_clear(f.other);
	assert_false(timer_is_set(f.other));
	start = clock_us();
	timer_set_ms(f.timer, 1000000);
	timer_set_ms(f.timer, -5); /* in the past: as soon as possible */
	loop_run(f.loop);
	assert_true(clock_us() - start < 500 * 1000000LL);
	assert_string_equal(f.trace, "t");
	teardown(&f);
}

static void on_timer_free(void *arg)
{
	struct fixture *f = arg;

	note(f, 'f');
	timer_free(f->timer);
	f->timer = NULL;
}

static void timer_frees_itself(void **state)
{
	struct fixture f;

	setup(&f);
	f.timer = timer_new(f.loop, on_timer_free, &f);
	timer_set_ms(f.timer, 0);
	loop_run(f.loop);
	assert_string_equal(f.trace, "f");
	teardown(&f);
}

static void on_second(void *arg)
{
	note(arg, '2');
}

static void on_first(void *arg)
{
	struct fixture *f = arg;

	note(f, '1');
	deferred_post(f->second);
}

static void on_timer_post(void *arg)
{
	struct fixture *f = arg;

	note(f, 't');
	deferred_post(f->deferred);
	deferred_post(f->deferred);
	note(f, '.');
}

/* Both timers are due in the same turn: the deferred calls come after both, once, and what they defer as well. */
static void deferred_at_the_end_of_the_turn(void **state)
{
	struct fixture f;
	int64_t due;

	setup(&f);
	f.timer = timer_new(f.loop, on_timer_post, &f);
	f.other = timer_new(f.loop, on_timer_post, &f);
	f.deferred = deferred_new(f.loop, on_first, &f);
	f.second = deferred_new(f.loop, on_second, &f);
	timer_set_ms(f.timer, 1);
	timer_set_ms(f.other, 1);
	for (due = clock_us() + 5000; clock_us() < due;)
		;
	loop_run(f.loop);
	assert_string_equal(f.trace, "t.t.12");
	teardown(&f);
}

static void deferred_before_the_first_wait(void **state)
{
	struct fixture f;

	setup(&f);
	f.deferred = deferred_new(f.loop, on_second, &f);
	deferred_post(f.deferred);
	loop_run(f.loop);
	assert_string_equal(f.trace, "2");
	deferred_post(f.deferred);
	deferred_free(f.deferred); /* a pending call is dropped */
	f.deferred = NULL;
	loop_run(f.loop);
	assert_string_equal(f.trace, "2");
	teardown(&f);
}

static void on_free_deferred(void *arg)
{
	struct fixture *f = arg;

	note(f, 'd');
	deferred_free(f->second);
	deferred_free(f->deferred);
	f->second = f->deferred = NULL;
}

static void deferred_frees_itself_and_the_next(void **state)
{
	struct fixture f;

	setup(&f);
	f.deferred = deferred_new(f.loop, on_free_deferred, &f);
	f.second = deferred_new(f.loop, on_second, &f);
	deferred_post(f.deferred);
	deferred_post(f.second);
	loop_run(f.loop);
	assert_string_equal(f.trace, "d");
	teardown(&f);
}

static void on_readable(void *arg, int events)
{
	struct fixture *f = arg;
	char c;

	f->events |= events;
	if (read(f->fds[0], &c, 1) == 1)
		note(f, c);
	else
		fd_watch_set(f->watch, 0);
	if (strlen(f->trace) == 3)
		loop_stop(f->loop);
}

/* Level triggered: a byte a call, called until all are read. */
static void reading(void **state)
{
	struct fixture f;

	setup(&f);
	f.watch = fd_watch_new(f.loop, f.fds[0], on_readable, &f);
	assert_int_equal(write(f.fds[1], "abc", 3), 3);
	loop_run(f.loop); /* paused until set: nothing to wait for */
	assert_string_equal(f.trace, "");
	fd_watch_set(f.watch, LOOP_READ);
	loop_run(f.loop);
	assert_string_equal(f.trace, "abc");
	assert_int_equal(f.events, LOOP_READ);
	fd_watch_set(f.watch, 0);
	assert_int_equal(write(f.fds[1], "d", 1), 1);
	loop_run(f.loop);
	assert_string_equal(f.trace, "abc");
	teardown(&f);
}

static void on_writable(void *arg, int events)
{
	struct fixture *f = arg;

	if (events & LOOP_WRITE) {
		note(f, 'w');
		assert_int_equal(write(f->fds[1], "x", 1), 1);
		fd_watch_set(f->watch, LOOP_READ);
	}
	if (events & LOOP_READ) {
		note(f, 'r');
		fd_watch_free(f->watch);
		f->watch = NULL;
	}
}

/* The interest changes inside the callback, and the callback frees its own watch. */
static void writing_then_reading(void **state)
{
	struct fixture f;

	setup(&f);
	f.watch = fd_watch_new(f.loop, f.fds[0], on_writable, &f);
	fd_watch_set(f.watch, LOOP_WRITE);
	loop_run(f.loop);
	assert_string_equal(f.trace, "wr");
	teardown(&f);
}

static void on_hangup(void *arg, int events)
{
	struct fixture *f = arg;

	note(f, events & LOOP_READ ? 'h' : '?');
	fd_watch_set(f->watch, 0);
}

static void the_other_side_closes(void **state)
{
	struct fixture f;

	setup(&f);
	f.watch = fd_watch_new(f.loop, f.fds[0], on_hangup, &f);
	fd_watch_set(f.watch, LOOP_READ);
	shutdown(f.fds[1], SHUT_RDWR);
	loop_run(f.loop);
	assert_string_equal(f.trace, "h");
	teardown(&f);
}

static void on_timer_clock(void *arg)
{
	struct fixture *f = arg;
	int64_t due;

	/* first of all: it is this call that reads the clock, and we may be put aside at any moment */
	f->seen_us[f->n_seen++] = loop_now_us(f->loop);
	due = clock_us() + 2000;
	while (clock_us() < due)
		;
	f->seen_us[f->n_seen++] = loop_now_us(f->loop);
	if (f->n_seen < 4)
		timer_set_ms(f->timer, 20);
}

/* In the first turn too it is the time after the wait, not the one before. */
static void the_clock_moves_once_a_turn(void **state)
{
	struct fixture f;
	int64_t start;

	setup(&f);
	f.timer = timer_new(f.loop, on_timer_clock, &f);
	start = loop_now_us(f.loop);
	assert_in_range(clock_us() - start, 0, 1000000);
	timer_set_ms(f.timer, 20);
	loop_run(f.loop);
	assert_int_equal(f.n_seen, 4);
	assert_true(f.seen_us[0] - start >= 19000);
	assert_int_equal(f.seen_us[0], f.seen_us[1]);
	assert_true(f.seen_us[2] - f.seen_us[0] >= 19000);
	assert_int_equal(f.seen_us[2], f.seen_us[3]);
	assert_true(loop_now_us(f.loop) >= f.seen_us[3] + 2000);
	teardown(&f);
}

static void stop_in_deferred(void *arg)
{
	struct fixture *f = arg;

	note(f, 's');
	loop_stop(f->loop);
}

static void stops_from_a_deferred_call_and_runs_again(void **state)
{
	struct fixture f;

	setup(&f);
	f.timer = timer_new(f.loop, on_timer_stop, &f);
	timer_set_ms(f.timer, 0);
	f.deferred = deferred_new(f.loop, stop_in_deferred, &f);
	deferred_post(f.deferred);
	loop_run(f.loop);
	assert_string_equal(f.trace, "s");
	loop_run(f.loop);
	assert_string_equal(f.trace, "st");
	teardown(&f);
}

static void on_signal_stop(void *arg, int signo)
{
	struct fixture *f = arg;

	f->signo = signo;
	loop_stop(f->loop);
}

static void signals(void **state)
{
	struct fixture f;
	struct signal_watch *w;

	setup(&f);
	w = signal_watch_new(f.loop, SIGUSR1, on_signal_stop, &f);
	raise(SIGUSR1);
	loop_run(f.loop);
	assert_int_equal(f.signo, SIGUSR1);
	signal_watch_free(w);
	teardown(&f);
}

static void the_wall_clock(void **state)
{
	int64_t now = wall_now_us(), s = time(NULL);

	assert_in_range(now / 1000000, s - 1, s + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timer_runs_once_and_not_early),
		cmocka_unit_test(timer_moves_and_clears),
		cmocka_unit_test(timer_frees_itself),
		cmocka_unit_test(deferred_at_the_end_of_the_turn),
		cmocka_unit_test(deferred_before_the_first_wait),
		cmocka_unit_test(deferred_frees_itself_and_the_next),
		cmocka_unit_test(reading),
		cmocka_unit_test(writing_then_reading),
		cmocka_unit_test(the_other_side_closes),
		cmocka_unit_test(the_clock_moves_once_a_turn),
		cmocka_unit_test(stops_from_a_deferred_call_and_runs_again),
		cmocka_unit_test(signals),
		cmocka_unit_test(the_wall_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
