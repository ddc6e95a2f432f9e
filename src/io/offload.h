/*
 * A bounded pool of threads for work that takes over a millisecond: pure functions on copied input. Nothing else in the
 * program is threaded. The work function must touch nothing but its input.
 */
#ifndef IO_OFFLOAD_H
#define IO_OFFLOAD_H

#include "io/loop.h"

#include <stddef.h>

struct offload;
struct offload_job;

struct offload *offload_new(struct loop *loop, int threads, size_t queue_max);
void offload_free(struct offload *o); /* waits for running work; callbacks of unfinished jobs are dropped, their data freed */

/* On a pool thread. */
typedef void offload_work_fn(void *data);
/* On the loop; afterwards free_data(data) is called. */
typedef void offload_done_fn(void *arg, void *data);

/* NULL when the queue is full (the caller answers 503; data is not freed then). data belongs to the pool afterwards. */
struct offload_job *offload_start(struct offload *o, offload_work_fn *work, void *data, void (*free_data)(void *),
				  offload_done_fn *done, void *arg);
/* done will not run; the data is freed when the work has ended. */
void offload_cancel(struct offload_job *job);
size_t offload_queued(const struct offload *o);

#endif
