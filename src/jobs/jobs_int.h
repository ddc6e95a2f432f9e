/* Inside the module: its own structure. */
#ifndef JOBS_JOBS_INT_H
#define JOBS_JOBS_INT_H

#include "jobs/jobs.h"

struct jobs_round;

struct show_jobs {
	struct show_jobs_config config;
	struct jobs_round *round; /* under way, or NULL */
};

void jobs_round_free(struct jobs_round *r); /* jobs_work.c */

#endif
