/*
 * Jobs over HTTP: a show is called off or put off, and how far that is. Owns the module's structure.
 *
 *   body --> the show's row and the job's, in one transaction --> the jobs are read --> the one that was asked for
 *
 * The answer is made from what is stored: the same request again is answered with the same job.
 */
#include "jobs/jobs_int.h"

#include "base/times.h"
#include "base/xmalloc.h"
#include "io/crypto.h"
#include "jobs/jobs_sql.h"

#include <stdlib.h>
#include <string.h>

enum { QUERY_MS = 5000, TX_MS = 8000, REASON_MAX = 200 };

const struct pg_stmt *const *const jobs_sql = jobs_sql_statements;

struct show_jobs *show_jobs_new(const struct show_jobs_config *config)
{
	struct show_jobs *j = xcalloc(1, sizeof(*j));

	j->config = *config;
	return j;
}

void show_jobs_free(struct show_jobs *j)
{
	if (!j)
		return;
	jobs_round_free(j->round);
	free(j);
}

/* Lives in the call's arena. */
struct asking {
	struct show_jobs *j;
	struct web_call *call;
	struct idempotent idem;
	const char *kind;
	struct pg_tx *tx;
	bool absent, wrote;
};

/* ---- how jobs are shown ---- */

/* The columns of jobs_of_show. */
enum {
	COL_SHOW,
	COL_JOB,
	COL_KIND,
	COL_STATE,
	COL_REASON,
	COL_TOTAL,
	COL_DONE,
	COL_FAILED,
	COL_CREATED,
	COL_ENDED,
	COL_HASH,
	COL_ERROR_BOOKINGS,
	COL_ERROR_CODES,
	COL_REFUNDS_OPEN,
	COL_REFUNDS_SUCCEEDED,
	COL_REFUNDS_FAILED,
	COL_STARTS,
	COL_SALE_STARTS,
	COL_SALE_ENDS,
};

static void errors_write(struct jw *w, const struct pg_result *r, int row, struct arena *arena)
{
	struct uuid *bookings;
	struct str *codes;
	size_t n = pg_get_uuids(r, row, COL_ERROR_BOOKINGS, arena, &bookings);

	pg_get_texts(r, row, COL_ERROR_CODES, arena, &codes);
	jw_key(w, "errors");
	jw_arr(w);
	for (size_t i = 0; i < n; i++) {
		jw_obj(w);
		jw_kuuid(w, "booking_id", &bookings[i]);
		jw_kstr(w, "code", codes[i]);
		jw_obj_end(w);
	}
	jw_arr_end(w);
}

static void job_write(struct jw *w, const struct pg_result *r, int row, struct arena *arena)
{
	struct uuid show = pg_get_uuid(r, row, COL_SHOW), job = pg_get_uuid(r, row, COL_JOB);
	int64_t ended_us = pg_get_time(r, row, COL_ENDED);

	jw_kuuid(w, "show_id", &show);
	jw_kuuid(w, "job_id", &job);
	jw_kstr(w, "kind", pg_get_text(r, row, COL_KIND));
	jw_kstr(w, "status", pg_get_text(r, row, COL_STATE));
	jw_kstr(w, "reason", pg_get_text(r, row, COL_REASON));
	jw_kint(w, "total", pg_get_int(r, row, COL_TOTAL));
	jw_kint(w, "done", pg_get_int(r, row, COL_DONE));
	jw_kint(w, "failed", pg_get_int(r, row, COL_FAILED));
	errors_write(w, r, row, arena);
	if (!pg_is_null(r, row, COL_REFUNDS_OPEN)) {
		jw_key(w, "refunds");
		jw_obj(w);
		jw_kint(w, "open", pg_get_int(r, row, COL_REFUNDS_OPEN));
		jw_kint(w, "succeeded", pg_get_int(r, row, COL_REFUNDS_SUCCEEDED));
		jw_kint(w, "failed", pg_get_int(r, row, COL_REFUNDS_FAILED));
		jw_obj_end(w);
	}
	if (!pg_is_null(r, row, COL_STARTS)) {
		jw_ktime(w, "starts_at", pg_get_time(r, row, COL_STARTS));
		jw_ktime(w, "sale_starts_at", pg_get_time(r, row, COL_SALE_STARTS));
		jw_ktime(w, "sale_ends_at", pg_get_time(r, row, COL_SALE_ENDS));
	}
	jw_ktime(w, "created_at", pg_get_time(r, row, COL_CREATED));
	jw_key(w, "ended_at");
	if (ended_us == TIME_INFINITY)
		jw_null(w);
	else
		jw_time(w, ended_us);
}

static void refuse_pg(struct asking *k, const struct pg_answer *a)
{
	if (k->wrote && a->status == PG_UNKNOWN)
		web_refuse(k->call, ERR_OUTCOME_UNKNOWN, NULL);
	else if (a->status == PG_ERROR && !pg_error_is_transient(a))
		web_refuse(k->call, ERR_INTERNAL, NULL);
	else
		web_refuse(k->call, ERR_UNAVAILABLE, NULL);
}

static void refuse_no_show(struct web_call *call)
{
	web_refuse(call, ERR_NOT_FOUND, "There is no such show.");
}

static void jobs_read(struct asking *k, pg_fn *fn)
{
	struct pg_args args;

	pg_args_init(&args, k->call->arena);
	pg_arg_uuid(&args, &k->call->ids[0]);
	pg_arg_uuid(&args, &k->call->who.organizer_id);
	pg_query_start(k->j->config.pg, &jobs_sql_jobs_of_show, &args, QUERY_MS, fn, k);
}

/* The row of the job that this key made; if there is none, of the newest of the kind that was asked for: a twin of the request made
 * it. -1: there is none. */
static int made_row(const struct asking *k, const struct pg_result *r)
{
	int newest = -1;

	for (int row = 0; row < pg_rows(r) && !pg_is_null(r, row, COL_JOB); row++) {
		struct uuid id = pg_get_uuid(r, row, COL_JOB);

		if (!str_eqc(pg_get_text(r, row, COL_KIND), k->kind))
			continue;
		if (k->idem.has_key && uuid_eq(&id, &k->idem.id))
			return row;
		if (newest < 0)
			newest = row;
	}
	return newest;
}

static void on_made(void *arg, const struct pg_answer *a)
{
	struct asking *k = arg;
	struct uuid id;
	int row;

	if (a->status != PG_OK) {
		refuse_pg(k, a);
		return;
	}
	row = made_row(k, a->result);
	if (row < 0) {
		web_refuse(k->call, ERR_INTERNAL, NULL);
		return;
	}
	id = pg_get_uuid(a->result, row, COL_JOB);
	if (k->idem.has_key && uuid_eq(&id, &k->idem.id) &&
	    !str_eq(pg_get_bytes(a->result, row, COL_HASH), idempotent_hash(&k->idem))) {
		web_refuse(k->call, ERR_IDEMPOTENCY_MISMATCH, NULL);
		return;
	}
	job_write(web_json(k->call), a->result, row, k->call->arena);
	web_json_end(k->call, 201);
}

/* ---- POST .../cancel ---- */

static void on_called_off(void *arg, const struct pg_answer *a)
{
	struct asking *k = arg;

	k->wrote = true;
	if (a->status != PG_OK) {
		refuse_pg(k, a);
	} else if (pg_get_int(a->result, 0, 0) == 0) {
		refuse_no_show(k->call);
	} else {
		event_show_forget(k->j->config.event, &k->call->ids[0]);
		jobs_read(k, on_made);
	}
}

static struct asking *asking_new(struct web_call *call, const char *kind)
{
	struct asking *k = arena_new(call->arena, struct asking);

	memset(k, 0, sizeof(*k));
	k->j = call->service;
	k->call = call;
	k->kind = kind;
	return k;
}

static void cancel_post(struct web_call *call)
{
	struct asking *k = asking_new(call, "cancel");
	struct uuid outbox_id = crypto_uuid_v7(wall_now_us());
	struct error e = {0};
	struct json_in in;
	struct str reason;
	struct pg_args args;
	json_t *body = web_body(call);

	if (!body || !auth_idempotent(k->j->config.auth, call, body, &k->idem))
		return;
	json_in_init(&in, body, "", &e);
	reason = json_in_str(&in, "reason", JSON_OPTIONAL, 0, REASON_MAX);
	if (!json_in_end(&in)) {
		web_refuse_error(call, &e);
		return;
	}
	pg_args_init(&args, call->arena);
	pg_arg_uuid(&args, &call->ids[0]);
	pg_arg_uuid(&args, &call->who.organizer_id);
	pg_arg_uuid(&args, &k->idem.id);
	pg_arg_text(&args, reason);
	pg_arg_bytes(&args, idempotent_hash(&k->idem));
	pg_arg_uuid(&args, &outbox_id);
	k->idem.has_key = false; /* a show is called off once, whatever key or reason it is asked with again */
	pg_query_start(k->j->config.pg, &jobs_sql_show_call_off, &args, QUERY_MS, on_called_off, k);
}

/* ---- POST .../reschedule ---- */

static void on_put_off_committed(void *arg, const struct pg_answer *a)
{
	struct asking *k = arg;

	k->wrote = true;
	if (a->status != PG_OK) {
		refuse_pg(k, a);
		return;
	}
	event_show_forget(k->j->config.event, &k->call->ids[0]);
	jobs_read(k, on_made);
}

static void on_put_off(void *arg, const struct pg_answer *a)
{
	struct asking *k = arg;
	struct error e = {0};

	if (a->status == PG_OK && !k->absent && pg_rows(a->result)) {
		pg_tx_commit(k->tx, on_put_off_committed, k);
		return;
	}
	pg_tx_rollback(k->tx, NULL, NULL);
	if (a->status == PG_OK && k->absent) {
		refuse_no_show(k->call);
	} else if (a->status == PG_OK) {
		web_refuse(k->call, ERR_SHOW_CANCELLED, NULL);
	} else if (a->status == PG_ERROR && str_eqc(str_from(a->sqlstate), "23514")) {
		error_set(&e, ERR_INVALID_VALUE, "/sale_ends_at", "The sale must end after it starts.");
		web_refuse_error(k->call, &e);
	} else if (a->status == PG_ERROR && str_eqc(str_from(a->sqlstate), "23505")) {
		jobs_read(k, on_made); /* the same key, some time earlier */
	} else {
		refuse_pg(k, a);
	}
}

static void on_show_held(void *arg, const struct pg_answer *a)
{
	struct asking *k = arg;

	k->absent = a->status == PG_OK && pg_rows(a->result) == 0;
}

static void arg_time_or_null(struct pg_args *args, bool there, int64_t us)
{
	if (there)
		pg_arg_time(args, us);
	else
		pg_arg_null(args);
}

static void reschedule_post(struct web_call *call)
{
	struct asking *k = asking_new(call, "reschedule");
	struct uuid outbox_id = crypto_uuid_v7(wall_now_us());
	int64_t starts_us = 0, sale_starts_us, sale_ends_us, refund_us;
	bool sale_starts, sale_ends, refund;
	struct error e = {0};
	struct json_in in;
	struct pg_args args;
	json_t *body = web_body(call);

	if (!body || !auth_idempotent(k->j->config.auth, call, body, &k->idem))
		return;
	json_in_init(&in, body, "", &e);
	json_in_time(&in, "starts_at", JSON_REQUIRED, &starts_us);
	sale_starts = json_in_time(&in, "sale_starts_at", JSON_OPTIONAL, &sale_starts_us);
	sale_ends = json_in_time(&in, "sale_ends_at", JSON_OPTIONAL, &sale_ends_us);
	refund = json_in_time(&in, "refund_until", JSON_OPTIONAL, &refund_us);
	if (e.code == ERR_NONE && starts_us <= wall_now_us())
		json_in_fault(&in, ERR_INVALID_VALUE, "starts_at",
			      "A show is put off to a time that is still to come.");
	if (e.code == ERR_NONE && sale_starts && sale_ends && sale_ends_us <= sale_starts_us)
		json_in_fault(&in, ERR_INVALID_VALUE, "sale_ends_at", "The sale must end after it starts.");
	if (e.code == ERR_NONE && refund && refund_us <= wall_now_us())
		json_in_fault(&in, ERR_INVALID_VALUE, "refund_until", "\"refund_until\" is over already.");
	if (!json_in_end(&in)) {
		web_refuse_error(call, &e);
		return;
	}
	k->tx = pg_tx_start(k->j->config.pg, NULL, TX_MS);
	pg_args_init(&args, call->arena);
	pg_arg_uuid(&args, &call->ids[0]);
	pg_arg_uuid(&args, &call->who.organizer_id);
	pg_tx_exec(k->tx, &jobs_sql_show_hold, &args, on_show_held, k);
	pg_arg_uuid(&args, &k->idem.id);
	pg_arg_time(&args, starts_us);
	arg_time_or_null(&args, sale_starts, sale_starts_us);
	arg_time_or_null(&args, sale_ends, sale_ends_us);
	arg_time_or_null(&args, refund, refund_us);
	pg_arg_bytes(&args, idempotent_hash(&k->idem));
	pg_arg_uuid(&args, &outbox_id);
	pg_tx_exec(k->tx, &jobs_sql_show_put_off, &args, on_put_off, k);
}

/* ---- GET .../jobs ---- */

static void on_jobs(void *arg, const struct pg_answer *a)
{
	struct asking *k = arg;
	struct jw *w;

	if (a->status != PG_OK) {
		refuse_pg(k, a);
		return;
	}
	if (pg_rows(a->result) == 0) {
		refuse_no_show(k->call);
		return;
	}
	w = web_json(k->call);
	jw_key(w, "items");
	jw_arr(w);
	for (int row = 0; row < pg_rows(a->result) && !pg_is_null(a->result, row, COL_JOB); row++) {
		jw_obj(w);
		job_write(w, a->result, row, k->call->arena);
		jw_obj_end(w);
	}
	jw_arr_end(w);
	jw_key(w, "next");
	jw_null(w);
	web_json_end(k->call, 200);
}

static void jobs_get(struct web_call *call)
{
	jobs_read(asking_new(call, ""), on_jobs);
}

static const struct web_route routes[] = {
	{HTTP_POST, "/v1/shows/{show}/cancel", cancel_post, WEB_STAFF, SCOPE_EVENTS, 4096, false},
	{HTTP_POST, "/v1/shows/{show}/reschedule", reschedule_post, WEB_STAFF, SCOPE_EVENTS, 4096, false},
	{HTTP_GET, "/v1/shows/{show}/jobs", jobs_get, WEB_STAFF, SCOPE_EVENTS, 0, false},
};

void show_jobs_routes(struct show_jobs *j, struct web *web)
{
	web_add(web, SERVICE_EVENT, routes, sizeof(routes) / sizeof(routes[0]), j);
}
