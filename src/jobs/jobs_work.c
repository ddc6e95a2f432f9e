/*
 * The duty that goes on with jobs, one after the other, each by one batch a round:
 *
 *   cancel:      locks released --> attempts at the bank hurried --> alone, once --> the next bookings, one transaction each
 *                --> batch full: again at once;  else the pass is at its end: is anything left? done, or again in a second
 *   reschedule:  the next buyers are told, one statement --> batch full: again at once;  else done
 *
 * Any number of processes may do it: a booking is ended by a transaction that only one of them gets, and the job's counters move
 * in that same transaction. A booking that cannot be ended (a ticket was used) is noted and left; a database that is away ends
 * the round. Called by app/work_main.c.
 */
#include "jobs/jobs_int.h"

#include "base/xmalloc.h"
#include "booking/booking_end.h"
#include "io/crypto.h"
#include "io/log.h"
#include "jobs/jobs_sql.h"
#include "payment/payment_service.h"
#include "seat/seat_store.h"

#include <stdlib.h>
#include <string.h>

enum { JOBS_MAX = 4, LOCKS_MAX = 500, BOOKINGS_MAX = 20, NOTICES_MAX = 500, QUERY_MS = 8000 };

struct job {
	struct uuid show_id, job_id, after;
	bool cancels, alone;
};

struct jobs_round {
	struct show_jobs *j;
	struct arena arena;
	struct job jobs[JOBS_MAX];
	int n, at; /* the one that is worked on */
	struct uuid *bookings;
	size_t n_bookings, booking;
	bool more;
	show_jobs_fn *fn;
	void *arg;
};

void jobs_round_free(struct jobs_round *r)
{
	if (!r)
		return;
	arena_done(&r->arena);
	free(r);
}

static void round_end(struct jobs_round *r, bool ok)
{
	show_jobs_fn *fn = r->fn;
	void *arg = r->arg;
	bool more = r->more;

	r->j->round = NULL;
	jobs_round_free(r);
	fn(arg, ok, more);
}

static void round_job(struct jobs_round *r);

static void job_through(struct jobs_round *r)
{
	r->at++;
	round_job(r);
}

static struct job *job_now(struct jobs_round *r)
{
	return &r->jobs[r->at];
}

static void job_args(struct jobs_round *r, struct pg_args *args)
{
	pg_args_init(args, &r->arena);
	pg_arg_uuid(args, &job_now(r)->show_id);
	pg_arg_uuid(args, &job_now(r)->job_id);
}

/* The job's last statement; or the round ends over it. */
static void on_last(void *arg, const struct pg_answer *a)
{
	struct jobs_round *r = arg;

	if (a->status == PG_OK)
		job_through(r);
	else
		round_end(r, false);
}

/* ---- a show that was put off ---- */

static void on_told(void *arg, const struct pg_answer *a)
{
	struct jobs_round *r = arg;

	r->more |= a->status == PG_OK && pg_rows(a->result) && pg_get_int(a->result, 0, 0) == NOTICES_MAX;
	on_last(r, a);
}

static void tell(struct jobs_round *r)
{
	struct pg_args args;

	job_args(r, &args);
	pg_arg_uuid(&args, &job_now(r)->after);
	pg_arg_i32(&args, NOTICES_MAX);
	pg_query_start(r->j->config.pg, &jobs_sql_job_notify, &args, QUERY_MS, on_told, r);
}

/* ---- a show that was called off ---- */

static void booking_next(struct jobs_round *r);

/* In the transaction that ends the booking. */
static void count_step(void *arg, struct pg_tx *tx)
{
	struct jobs_round *r = arg;
	struct pg_args args;

	job_args(r, &args);
	pg_arg_uuid(&args, &r->bookings[r->booking]);
	pg_tx_exec(tx, &jobs_sql_job_step, &args, NULL, NULL);
}

static void on_noted(void *arg, const struct pg_answer *a)
{
	struct jobs_round *r = arg;

	if (a->status != PG_OK) {
		round_end(r, false);
		return;
	}
	r->booking++;
	booking_next(r);
}

static void on_ended(void *arg, const struct booking_ended *ended)
{
	struct jobs_round *r = arg;
	struct pg_args args;

	if (ended->err == ERR_UNAVAILABLE || ended->err == ERR_OUTCOME_UNKNOWN) {
		round_end(r, false); /* what became of it the next round sees by itself */
		return;
	}
	if (ended->err == ERR_NONE) {
		r->booking++; /* its refund is requested; the settling duty sends it */
		booking_next(r);
		return;
	}
	log_line(LOG_ERROR, "a booking of a cancelled show could not be ended",
		 LOG_C("why", err_info(ended->err)->code), LOG_U("booking_id", &r->bookings[r->booking]));
	job_args(r, &args);
	pg_arg_uuid(&args, &r->bookings[r->booking]);
	pg_arg_text(&args, str_from(err_info(ended->err)->code));
	pg_query_start(r->j->config.pg, &jobs_sql_job_error, &args, QUERY_MS, on_noted, r);
}

static void booking_next(struct jobs_round *r)
{
	struct booking_end ask = {.show_id = job_now(r)->show_id, .by = END_BY_SHOW, .also = count_step};
	struct pg_args args;

	if (r->booking < r->n_bookings) {
		ask.booking_id = r->bookings[r->booking];
		booking_end_start(r->j->config.booking, &r->arena, &ask, on_ended, r);
	} else if (r->n_bookings == BOOKINGS_MAX) {
		r->more = true;
		job_through(r);
	} else {
		job_args(r, &args);
		pg_query_start(r->j->config.pg, &jobs_sql_job_finish, &args, QUERY_MS, on_last, r);
	}
}

static void on_bookings(void *arg, const struct pg_answer *a)
{
	struct jobs_round *r = arg;

	if (a->status != PG_OK) {
		round_end(r, false);
		return;
	}
	r->n_bookings = (size_t)pg_rows(a->result);
	r->bookings = arena_array(&r->arena, struct uuid, r->n_bookings + 1);
	r->booking = 0;
	for (size_t i = 0; i < r->n_bookings; i++)
		r->bookings[i] = pg_get_uuid(a->result, (int)i, 0);
	booking_next(r);
}

static void bookings_ask(struct jobs_round *r)
{
	struct pg_args args;

	job_args(r, &args);
	pg_arg_uuid(&args, &job_now(r)->after);
	pg_arg_i32(&args, BOOKINGS_MAX);
	pg_query_start(r->j->config.pg, &jobs_sql_bookings_to_end, &args, QUERY_MS, on_bookings, r);
}

static void on_alone(void *arg, const struct pg_answer *a)
{
	struct jobs_round *r = arg;

	if (a->status == PG_OK)
		bookings_ask(r);
	else
		round_end(r, false);
}

static void on_hurried(void *arg, const struct pg_answer *a)
{
	struct jobs_round *r = arg;
	struct pg_args args;

	if (a->status != PG_OK) {
		round_end(r, false);
	} else if (job_now(r)->alone) {
		bookings_ask(r);
	} else {
		job_args(r, &args);
		pg_query_start(r->j->config.pg, &jobs_sql_job_alone, &args, QUERY_MS, on_alone, r);
	}
}

static void on_released(void *arg, const struct pg_answer *a)
{
	struct jobs_round *r = arg;

	if (a->status != PG_OK) {
		round_end(r, false);
		return;
	}
	locks_gone_apply(r->j->config.map, &job_now(r)->show_id, a->result);
	payments_hurry(r->j->config.pg, &r->arena, &job_now(r)->show_id, on_hurried, r);
}

/* ---- the round ---- */

static void round_job(struct jobs_round *r)
{
	if (r->at == r->n)
		round_end(r, true);
	else if (job_now(r)->cancels)
		locks_call_off(r->j->config.pg, &r->arena, &job_now(r)->show_id, LOCKS_MAX, on_released, r);
	else
		tell(r);
}

static void on_due(void *arg, const struct pg_answer *a)
{
	struct jobs_round *r = arg;

	if (a->status != PG_OK) {
		round_end(r, false);
		return;
	}
	r->n = pg_rows(a->result);
	for (int i = 0; i < r->n; i++)
		r->jobs[i] = (struct job){.show_id = pg_get_uuid(a->result, i, 0),
					  .job_id = pg_get_uuid(a->result, i, 1),
					  .cancels = str_eqc(pg_get_text(a->result, i, 2), "cancel"),
					  .after = pg_get_uuid(a->result, i, 3),
					  .alone = pg_get_bool(a->result, i, 4)};
	round_job(r);
}

void show_jobs_round(struct show_jobs *j, show_jobs_fn *fn, void *arg)
{
	struct jobs_round *r = xcalloc(1, sizeof(*r));
	struct pg_args args;

	j->round = r;
	r->j = j;
	r->fn = fn;
	r->arg = arg;
	arena_init(&r->arena);
	pg_args_init(&args, &r->arena);
	pg_arg_i32(&args, JOBS_MAX);
	pg_query_start(j->config.pg, &jobs_sql_jobs_due, &args, QUERY_MS, on_due, r);
}
