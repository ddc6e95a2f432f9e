/*
 * Owns the threads and the jobs on their way. Callers start and cancel on the loop's thread.
 *
 *   WAITING (in waiting) --a thread takes it--> RUNNING (in no list) --work returns--> ENDED (in ended) --loop--> gone
 *
 * Lists and states are under the mutex; `done` belongs to the loop's thread, which alone reads and clears it. Data is
 * freed on the loop's thread only. A thread that ends a job writes to an eventfd, on which the loop calls back.
 */
#include "io/offload.h"

#include "base/list.h"
#include "base/xmalloc.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum job_state { WAITING, RUNNING, ENDED };

struct offload_job {
	struct list link;
	struct offload *pool;
	enum job_state state;
	offload_work_fn *work;
	offload_done_fn *done; /* NULL: cancelled */
	void *arg, *data;
	void (*free_data)(void *);
};

struct offload {
	pthread_mutex_t mutex;
	pthread_cond_t wake;
	struct list waiting, ended;
	size_t n_waiting, queue_max;
	bool stop;
	int event_fd;
	struct fd_watch *watch;
	int n_threads;
	pthread_t threads[];
};

static void job_free(struct offload_job *job)
{
	if (job->free_data)
		job->free_data(job->data);
	free(job);
}

static struct offload_job *take_first(struct list *list)
{
	struct offload_job *job = list_first(list, struct offload_job, link);

	if (job)
		list_remove(&job->link);
	return job;
}

static void tell_loop(struct offload *o)
{
	uint64_t one = 1;
	ssize_t n = write(o->event_fd, &one, sizeof(one));

	(void)n; /* it can fail only when the counter is full, and then the loop is awake anyway */
}

static void *thread_main(void *arg)
{
	struct offload *o = arg;
	struct offload_job *job;
	bool first;

	pthread_mutex_lock(&o->mutex);
	while (!o->stop) {
		job = take_first(&o->waiting);
		if (!job) {
			pthread_cond_wait(&o->wake, &o->mutex);
			continue;
		}
		o->n_waiting--;
		job->state = RUNNING;
		pthread_mutex_unlock(&o->mutex);
		job->work(job->data);
		pthread_mutex_lock(&o->mutex);
		job->state = ENDED;
		first = list_empty(&o->ended);
		list_append(&o->ended, &job->link);
		if (first)
			tell_loop(o);
	}
	pthread_mutex_unlock(&o->mutex);
	return NULL;
}

static void on_event(void *arg, int events)
{
	struct offload *o = arg;
	struct list ended;
	struct offload_job *job;
	uint64_t count;
	ssize_t n = read(o->event_fd, &count, sizeof(count));

	(void)n;
	list_init(&ended);
	pthread_mutex_lock(&o->mutex);
	while ((job = take_first(&o->ended)))
		list_append(&ended, &job->link);
	pthread_mutex_unlock(&o->mutex);
	/* a callback may start and cancel other jobs, also one in this list: that only clears its done */
	while ((job = take_first(&ended))) {
		if (job->done)
			job->done(job->arg, job->data);
		job_free(job);
	}
}

struct offload *offload_new(struct loop *loop, int threads, size_t queue_max)
{
	struct offload *o;
	sigset_t all, before;

	assert(threads > 0 && queue_max > 0);
	o = xcalloc(1, sizeof(*o) + (size_t)threads * sizeof(o->threads[0]));
	pthread_mutex_init(&o->mutex, NULL);
	pthread_cond_init(&o->wake, NULL);
	list_init(&o->waiting);
	list_init(&o->ended);
	o->queue_max = queue_max;
	o->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (o->event_fd < 0)
		abort();
	o->watch = fd_watch_new(loop, o->event_fd, on_event, o);
	fd_watch_set(o->watch, LOOP_READ);
	/* signals are the loop's thread's; those that a fault raises must stay deliverable */
	sigfillset(&all);
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGFPE);
	sigdelset(&all, SIGILL);
	sigdelset(&all, SIGABRT);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (; o->n_threads < threads; o->n_threads++) {
		if (pthread_create(&o->threads[o->n_threads], NULL, thread_main, o))
			break;
		pthread_setname_np(o->threads[o->n_threads], "offload");
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!o->n_threads)
		abort(); /* fewer than asked for is slower; none would never finish */
	return o;
}

void offload_free(struct offload *o)
{
	struct offload_job *job;

	if (!o)
		return;
	pthread_mutex_lock(&o->mutex);
	o->stop = true;
	pthread_cond_broadcast(&o->wake);
	pthread_mutex_unlock(&o->mutex);
	for (int i = 0; i < o->n_threads; i++)
		pthread_join(o->threads[i], NULL);
	while ((job = take_first(&o->waiting)))
		job_free(job);
	while ((job = take_first(&o->ended)))
		job_free(job);
	fd_watch_free(o->watch);
	close(o->event_fd);
	pthread_cond_destroy(&o->wake);
	pthread_mutex_destroy(&o->mutex);
	free(o);
}

struct offload_job *offload_start(struct offload *o, offload_work_fn *work, void *data, void (*free_data)(void *),
				  offload_done_fn *done, void *arg)
{
	struct offload_job *job = NULL;

	pthread_mutex_lock(&o->mutex);
	if (o->n_waiting < o->queue_max) {
		job = xcalloc(1, sizeof(*job));
		job->pool = o;
		job->work = work;
		job->done = done;
		job->arg = arg;
		job->data = data;
		job->free_data = free_data;
		list_append(&o->waiting, &job->link);
		o->n_waiting++;
		pthread_cond_signal(&o->wake);
	}
	pthread_mutex_unlock(&o->mutex);
	return job;
}

void offload_cancel(struct offload_job *job)
{
	struct offload *o = job->pool;
	bool waiting;

	job->done = NULL;
	pthread_mutex_lock(&o->mutex);
	waiting = job->state == WAITING;
	if (waiting) {
		list_remove(&job->link);
		o->n_waiting--;
	}
	pthread_mutex_unlock(&o->mutex);
	if (waiting)
		job_free(job);
}

size_t offload_queued(const struct offload *o)
{
	/* the mutex is not part of what a reader may regard as constant */
	struct offload *mutable_o = (struct offload *)(uintptr_t)o;
	size_t n;

	pthread_mutex_lock(&mutable_o->mutex);
	n = o->n_waiting;
	pthread_mutex_unlock(&mutable_o->mutex);
	return n;
}
