/*
 * Work on a whole show that outlives the request which asked for it: a show is called off, and every booking gives back what was
 * paid; a show is put off, and every buyer is told. It owns show_jobs and show_job_errors.
 *
 *   POST .../cancel, .../reschedule --(one transaction: the show's row and the job's)--> RUNNING --rounds of `work`--> DONE
 *
 * Nothing is kept in memory between two rounds: whoever dies in the middle of one has done whole bookings and no halves.
 */
#ifndef JOBS_JOBS_H
#define JOBS_JOBS_H

#include "booking/booking_service.h"

struct show_jobs;

struct show_jobs_config {
	struct pg *pg;
	struct auth *auth;
	struct event_service *event;
	struct seat_map *map;
	struct booking_service *booking;
	struct metrics *metrics;
};

extern const struct pg_stmt *const *const jobs_sql; /* to prepare */

struct show_jobs *show_jobs_new(const struct show_jobs_config *config);
void show_jobs_free(struct show_jobs *j); /* after the pg; NULL is fine */
/* j may be NULL when the routes are only listed. */
void show_jobs_routes(struct show_jobs *j, struct web *web);

/* One round of the duty: a batch of each job that is due. ok false: the database could not be asked; more: begin again at once.
 * fn runs exactly once, never before this returns. One round at a time. */
typedef void show_jobs_fn(void *arg, bool ok, bool more);
void show_jobs_round(struct show_jobs *j, show_jobs_fn *fn, void *arg);

#endif
