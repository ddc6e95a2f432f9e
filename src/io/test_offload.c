#include "io/offload.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

enum { N = 2000 };

struct work {
	int in, out;
	int *freed;	   /* counted on the loop's thread */
	sem_t *begun, *go; /* NULL: does not wait */
	pthread_t ran_on;
	bool term_blocked;
};

struct fixture {
	struct loop *loop;
	struct offload *o;
	struct timer *guard;
	int done, expected, freed;
	int64_t sum;
	pthread_t loop_thread;
};

static void work_fn(void *data)
{
	struct work *w = data;
	sigset_t mask;

	if (w->begun)
		sem_post(w->begun);
	if (w->go)
		while (sem_wait(w->go))
			;
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	w->term_blocked = sigismember(&mask, SIGTERM) == 1;
	w->ran_on = pthread_self();
	w->out = w->in * 2;
}

static void work_free(void *data)
{
	struct work *w = data;

	++*w->freed;
	free(w);
}

static struct work *work_new(struct fixture *f, int in)
{
	struct work *w = calloc(1, sizeof(*w));

	w->in = in;
	w->freed = &f->freed;
	return w;
}

static void on_done(void *arg, void *data)
{
	struct fixture *f = arg;
	struct work *w = data;

	assert_true(pthread_equal(pthread_self(), f->loop_thread));
	assert_false(pthread_equal(w->ran_on, f->loop_thread));
	assert_true(w->term_blocked);
	f->sum += w->out;
	if (++f->done == f->expected)
		loop_stop(f->loop);
}

static void on_guard(void *arg)
{
	fail_msg("the jobs did not end");
}

static void run_until_done(struct fixture *f, int expected)
{
	f->expected = expected;
	timer_set_ms(f->guard, 20000);
	loop_run(f->loop);
	timer_clear(f->guard);
	assert_int_equal(f->done, expected);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->loop = loop_new();
	f->guard = timer_new(f->loop, on_guard, f);
	f->loop_thread = pthread_self();
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	offload_free(f->o);
	timer_free(f->guard);
	loop_free(f->loop);
	free(f);
	return 0;
}

static void runs_all(void **state)
{
	struct fixture *f = *state;
	int64_t sum = 0;

	f->o = offload_new(f->loop, 4, N);
	for (int i = 0; i < N; i++) {
		assert_non_null(offload_start(f->o, work_fn, work_new(f, i), work_free, on_done, f));
		sum += 2 * i;
	}
	assert_int_equal(f->done, 0);
	run_until_done(f, N);
	assert_int_equal(f->sum, sum);
	assert_int_equal(f->freed, N);
	assert_int_equal(offload_queued(f->o), 0);
}

static void again(void *arg, void *data)
{
	struct fixture *f = arg;
	struct work *w = data;

	if (w->in)
		offload_start(f->o, work_fn, work_new(f, w->in - 1), work_free, again, f);
	on_done(arg, data);
}

static void starts_from_callback(void **state)
{
	struct fixture *f = *state;

	f->o = offload_new(f->loop, 2, 1);
	offload_start(f->o, work_fn, work_new(f, 300), work_free, again, f);
	run_until_done(f, 301);
	assert_int_equal(f->freed, 301);
}

/* One thread, held up; two wait; a third finds no room. */
static void full_and_cancel(void **state)
{
	struct fixture *f = *state;
	struct offload_job *running, *waiting;
	struct work *held = work_new(f, 1), *refused = work_new(f, 99);
	sem_t begun, go;

	sem_init(&begun, 0, 0);
	sem_init(&go, 0, 0);
	held->begun = &begun;
	held->go = &go;
	f->o = offload_new(f->loop, 1, 2);
	running = offload_start(f->o, work_fn, held, work_free, on_done, f);
	while (sem_wait(&begun))
		;
	assert_int_equal(offload_queued(f->o), 0);
	assert_non_null(offload_start(f->o, work_fn, work_new(f, 10), work_free, on_done, f));
	waiting = offload_start(f->o, work_fn, work_new(f, 20), work_free, on_done, f);
	assert_int_equal(offload_queued(f->o), 2);
	assert_null(offload_start(f->o, work_fn, refused, work_free, on_done, f));
	assert_int_equal(f->freed, 0);
	work_free(refused); /* still ours */
	offload_cancel(waiting);
	assert_int_equal(f->freed, 2); /* at once: its work had not begun */
	assert_int_equal(offload_queued(f->o), 1);
	assert_non_null(offload_start(f->o, work_fn, work_new(f, 30), work_free, on_done, f));
	offload_cancel(running);
	assert_int_equal(f->freed, 2); /* still being worked on */
	sem_post(&go);
	run_until_done(f, 2);
	assert_int_equal(f->sum, 2 * (10 + 30));
	assert_int_equal(f->freed, 5);
	sem_destroy(&begun);
	sem_destroy(&go);
}

struct canceller {
	struct fixture *f;
	struct offload_job *victim;
};

static void cancel_other(void *arg, void *data)
{
	struct canceller *c = arg;

	offload_cancel(c->victim);
	on_done(c->f, data);
}

static void must_not_run(void *arg, void *data)
{
	fail_msg("a cancelled job called back");
}

/* Both have ended when the first calls back and cancels the second. */
static void cancel_from_callback(void **state)
{
	struct fixture *f = *state;
	struct canceller c = {.f = f};
	struct work *last = work_new(f, 3);
	sem_t begun;

	sem_init(&begun, 0, 0);
	f->o = offload_new(f->loop, 1, 4);
	offload_start(f->o, work_fn, work_new(f, 1), work_free, cancel_other, &c);
	c.victim = offload_start(f->o, work_fn, work_new(f, 2), work_free, must_not_run, NULL);
	last->begun = &begun;
	offload_start(f->o, work_fn, last, work_free, on_done, f);
	while (sem_wait(&begun))
		; /* one thread: the first two have ended */
	run_until_done(f, 2);
	assert_int_equal(f->sum, 2 * (1 + 3));
	assert_int_equal(f->freed, 3);
	sem_destroy(&begun);
}

static void *open_later(void *arg)
{
	struct timespec nap = {.tv_nsec = 30000000};

	nanosleep(&nap, NULL); /* so that the free below is likely to be waiting already */
	sem_post(arg);
	return NULL;
}

/* One runs, one waits, one has ended but has not called back. */
static void free_with_work(void **state)
{
	struct fixture *f = *state;
	struct work *held = work_new(f, 2);
	pthread_t opener;
	sem_t begun, go;

	sem_init(&begun, 0, 0);
	sem_init(&go, 0, 0);
	held->begun = &begun;
	held->go = &go;
	f->o = offload_new(f->loop, 1, 4);
	offload_start(f->o, work_fn, work_new(f, 1), work_free, must_not_run, NULL);
	offload_start(f->o, work_fn, held, work_free, must_not_run, NULL);
	offload_start(f->o, work_fn, work_new(f, 3), work_free, must_not_run, NULL);
	while (sem_wait(&begun))
		;
	assert_int_equal(pthread_create(&opener, NULL, open_later, &go), 0);
	offload_free(f->o);
	f->o = NULL;
	assert_int_equal(f->freed, 3);
	pthread_join(opener, NULL);
	sem_destroy(&begun);
	sem_destroy(&go);
}

static void signal_mask_is_restored(void **state)
{
	struct fixture *f = *state;
	sigset_t before, after;

	pthread_sigmask(SIG_SETMASK, NULL, &before);
	f->o = offload_new(f->loop, 1, 1);
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	assert_int_equal(sigismember(&before, SIGTERM), sigismember(&after, SIGTERM));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(runs_all),	   T(starts_from_callback),    T(full_and_cancel), T(cancel_from_callback),
		T(free_with_work), T(signal_mask_is_restored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
