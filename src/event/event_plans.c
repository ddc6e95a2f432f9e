/*
 * Upload and return of seating plans. The text is checked and taken apart on the thread pool, stored as it came together
 * with its numbered seats in one transaction, and given back as it came.
 */
#include "event/event_int.h"

#include "base/xmalloc.h"
#include "event/event_sql.h"
#include "io/page.h"

#include <stdlib.h>
#include <string.h>

enum { UPLOAD_MS = 30000 };

struct upload {
	struct event_service *ev;
	struct web_call *call;
	struct idempotent idem;
	bool no_venue;
	/* of the thread */
	struct str text; /* the request's own body: it lives until it is answered */
	struct plan_limits limits;
	struct plan *plan;
	struct error error;
	struct arena arena;
	struct str *categories, *guids, *zones, *row_labels, *labels;
	int16_t *seat_categories;
};

static void upload_free(void *data)
{
	struct upload *u = data;

	plan_unref(u->plan);
	arena_done(&u->arena);
	free(u);
}

static void upload_work(void *data)
{
	struct upload *u = data;
	uint32_t n;

	u->plan = plan_import(u->text, &u->limits, &u->error);
	if (!u->plan)
		return;
	n = plan_n_seats(u->plan);
	u->categories = arena_array(&u->arena, struct str, plan_n_categories(u->plan));
	u->guids = arena_array(&u->arena, struct str, n);
	u->zones = arena_array(&u->arena, struct str, n);
	u->row_labels = arena_array(&u->arena, struct str, n);
	u->labels = arena_array(&u->arena, struct str, n);
	u->seat_categories = arena_array(&u->arena, int16_t, n);
	for (uint32_t i = 0; i < plan_n_categories(u->plan); i++)
		u->categories[i] = plan_category(u->plan, i).name;
	for (uint32_t i = 0; i < n; i++) {
		struct plan_seat seat = plan_seat(u->plan, i);
		struct plan_row row = plan_row(u->plan, seat.row);

		u->guids[i] = seat.guid;
		u->zones[i] = plan_zone(u->plan, row.zone).name;
		u->row_labels[i] = row.label;
		u->labels[i] = seat.label;
		u->seat_categories[i] = (int16_t)seat.category;
	}
}

static void plan_write(struct jw *w, const struct pg_result *r, int row)
{
	struct uuid id = pg_get_uuid(r, row, 0), venue = pg_get_uuid(r, row, 1);

	jw_kuuid(w, "plan_id", &id);
	jw_kuuid(w, "venue_id", &venue);
	jw_kint(w, "version", pg_get_int(r, row, 2));
	jw_kint(w, "seats", pg_get_int(r, row, 3));
}

static void on_plan_back(void *arg, const struct pg_answer *a)
{
	struct upload *u = arg;

	if (a->status != PG_OK) {
		event_refuse_pg(u->call, a, true);
	} else if (pg_rows(a->result) == 0 || !str_eq(pg_get_bytes(a->result, 0, 5), idempotent_hash(&u->idem))) {
		web_refuse(u->call, ERR_IDEMPOTENCY_MISMATCH, NULL);
	} else {
		plan_write(web_json(u->call), a->result, 0);
		web_json_end(u->call, 201);
	}
	upload_free(u);
}

static void on_plan_row(void *arg, const struct pg_answer *a)
{
	struct upload *u = arg;

	u->no_venue = a->status == PG_OK && pg_get_int(a->result, 0, 0) == 0;
}

static void on_plan_made(void *arg, const struct pg_answer *a)
{
	struct upload *u = arg;
	struct pg_args args;

	if (a->status != PG_OK || u->no_venue) {
		if (a->status != PG_OK)
			event_refuse_pg(u->call, a, true);
		else
			web_refuse(u->call, ERR_NOT_FOUND, "There is no such venue.");
		upload_free(u);
		return;
	}
	pg_args_init(&args, u->call->arena);
	pg_arg_uuid(&args, &u->idem.id);
	pg_query_start(u->ev->config.pg, &event_sql_plan_get, &args, EVENT_QUERY_MS, on_plan_back, u);
}

static void drop_job(void *data)
{
	/* the upload lives on until the plan is stored */
}

static void on_checked(void *arg, void *data)
{
	struct upload *u = data;
	struct pg_args args;
	struct pg_tx *tx;
	uint32_t n;

	if (!u->plan) {
		web_refuse_error(u->call, &u->error);
		upload_free(u);
		return;
	}
	n = plan_n_seats(u->plan);
	tx = pg_tx_start(u->ev->config.pg, NULL, UPLOAD_MS);
	pg_args_init(&args, &u->arena);
	pg_arg_uuid(&args, &u->call->ids[0]);
	pg_arg_uuid(&args, &u->call->who.organizer_id);
	pg_tx_exec(tx, &event_sql_venue_lock, &args, NULL, NULL);
	pg_args_init(&args, &u->arena);
	pg_arg_uuid(&args, &u->idem.id);
	pg_arg_uuid(&args, &u->call->ids[0]);
	pg_arg_uuid(&args, &u->call->who.organizer_id);
	pg_arg_text(&args, plan_name(u->plan));
	pg_arg_texts(&args, u->categories, plan_n_categories(u->plan));
	pg_arg_text(&args, u->text);
	pg_arg_bytes(&args, idempotent_hash(&u->idem));
	pg_arg_texts(&args, u->guids, n);
	pg_arg_i16s(&args, u->seat_categories, n);
	pg_arg_texts(&args, u->zones, n);
	pg_arg_texts(&args, u->row_labels, n);
	pg_arg_texts(&args, u->labels, n);
	pg_tx_exec(tx, &event_sql_plan_create, &args, on_plan_row, u);
	pg_tx_commit(tx, on_plan_made, u);
}

void plan_post(struct web_call *call)
{
	struct event_service *ev = call->service;
	struct upload *u = xcalloc(1, sizeof(*u));

	u->ev = ev;
	u->call = call;
	u->text = call->req->body;
	u->limits = ev->config.plan_limits;
	arena_init(&u->arena);
	if (!auth_idempotent_bytes(ev->config.auth, call, u->text, &u->idem)) {
		upload_free(u);
		return;
	}
	if (!offload_start(ev->config.offload, upload_work, u, drop_job, on_checked, u)) {
		upload_free(u);
		web_refuse(call, ERR_OVERLOADED, NULL);
	}
}

static void on_plans(void *arg, const struct pg_answer *a)
{
	struct web_call *call = arg;
	struct jw *w;
	int rows;

	/* the venue's own row is there in any case */
	if (a->status == PG_OK && pg_rows(a->result) == 0) {
		web_refuse(call, ERR_NOT_FOUND, "There is no such venue.");
		return;
	}
	w = event_list_begin(call, a, &rows);
	if (!w)
		return;
	for (int i = 0; i < rows && !pg_is_null(a->result, i, 0); i++) {
		struct str *categories;
		size_t n = pg_get_texts(a->result, i, 5, call->arena, &categories);

		jw_obj(w);
		plan_write(w, a->result, i);
		jw_kstr(w, "name", pg_get_text(a->result, i, 4));
		jw_key(w, "categories");
		jw_arr(w);
		for (size_t k = 0; k < n; k++)
			jw_str(w, categories[k]);
		jw_arr_end(w);
		jw_ktime(w, "created_at", pg_get_time(a->result, i, 6));
		jw_obj_end(w);
	}
	jw_arr_end(w);
	if (pg_rows(a->result) > EVENT_PAGE) {
		struct uuid last = pg_get_uuid(a->result, EVENT_PAGE - 1, 0);
		char next[PAGE_CURSOR_TEXT];

		page_cursor_text(pg_get_int(a->result, EVENT_PAGE - 1, 2), &last, next);
		jw_kcstr(w, "next", next);
	} else {
		jw_key(w, "next");
		jw_null(w);
	}
	web_json_end(call, 200);
}

void plans_get(struct web_call *call)
{
	struct event_service *ev = call->service;
	struct pg_args args;
	struct uuid last;
	int64_t version;

	/* the time of the cursor is the version here; 0: the beginning */
	if (!page_cursor_read(call, &version, &last))
		return;
	pg_args_init(&args, call->arena);
	pg_arg_uuid(&args, &call->ids[0]);
	pg_arg_uuid(&args, &call->who.organizer_id);
	pg_arg_i32(&args, version == 0 || version > INT32_MAX ? INT32_MAX : (int32_t)version);
	pg_arg_i32(&args, EVENT_PAGE + 1);
	pg_query_start(ev->config.pg, &event_sql_plans_list, &args, EVENT_QUERY_MS, on_plans, call);
}

static void on_plan(void *arg, const struct pg_answer *a)
{
	struct web_call *call = arg;
	struct uuid organizer;

	if (a->status != PG_OK) {
		event_refuse_pg(call, a, false);
		return;
	}
	if (pg_rows(a->result))
		organizer = pg_get_uuid(a->result, 0, 6);
	if (pg_rows(a->result) == 0 || !uuid_eq(&organizer, &call->who.organizer_id)) {
		web_refuse(call, ERR_NOT_FOUND, "There is no such plan.");
		return;
	}
	struct http_header headers[] = {{STR("Content-Type"), STR("application/json")}};

	web_bytes(call, 200, headers, 1, pg_get_text(a->result, 0, 4));
}

void plan_get(struct web_call *call)
{
	struct event_service *ev = call->service;
	struct pg_args args;

	pg_args_init(&args, call->arena);
	pg_arg_uuid(&args, &call->ids[0]);
	pg_query_start(ev->config.pg, &event_sql_plan_get, &args, EVENT_QUERY_MS, on_plan, call);
}
