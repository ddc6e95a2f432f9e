/*
 * A bounded pool of threads for work that takes over a millisecond: pure functions on copied input (and, in a pool of its own, what libcurl
 * cannot do without waiting: io/mail.c). Nothing else in the
 * program is threaded. The work function must touch nothing but its input.
 */
#ifndef IO_OFFLOAD_H
#define IO_OFFLOAD_H

#include "io/loop.h"

#include <stddef.h>

struct offload;
struct offload_job;

/* queue_max: jobs that wait for a thread, those being worked on not counted. Both at least 1. Not before a fork. */
struct offload *offload_new(struct loop *loop, int threads, size_t queue_max);
/* Waits for running work; callbacks of unfinished jobs are dropped, their data freed. */
void offload_free(struct offload *o);

/* On a pool thread, with all signals blocked. */
typedef void offload_work_fn(void *data);
/* On the loop; afterwards free_data(data) is called. It may start and cancel jobs, not free the pool. */
typedef void offload_done_fn(void *arg, void *data);

/* NULL when the queue is full (the caller answers 503; data is not freed then). data belongs to the pool afterwards.
 * free_data and done may be NULL. done runs exactly once unless cancelled, never before this returns. */
struct offload_job *offload_start(struct offload *o, offload_work_fn *work, void *data, void (*free_data)(void *),
				  offload_done_fn *done, void *arg);
/* done will not run. Work that has not begun is dropped; else the data is freed when it has ended. Data is always freed
 * on the loop's thread. */
void offload_cancel(struct offload_job *job);
/* Jobs that wait for a thread. */
size_t offload_queued(const struct offload *o);

#endif
