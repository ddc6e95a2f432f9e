/*
 * Deliveries over HTTP: what was sent and what became of it, once more, a test, a time once more. Nothing is sent here: rows are
 * queued, and the duty (hooks_send.c) finds them.
 */
#include "hooks/hooks_int.h"

#include "base/times.h"
#include "event/event_int.h"
#include "hooks/hooks_sql.h"
#include "io/page.h"

#include <stdio.h>
#include <string.h>

/* The columns of delivery_get and deliveries_list. */
enum {
	COL_ID,
	COL_CREATED,
	COL_EVENT,
	COL_TYPE,
	COL_TIME,
	COL_STATE,
	COL_ATTEMPTS,
	COL_NEXT,
	COL_LAST,
	COL_ENDED,
	COL_STATUS,
	COL_ERROR,
	COL_TOOK,
	COL_BODY,
};

static void time_or_null(struct jw *w, const char *key, const struct pg_result *r, int row, int col, bool there)
{
	jw_key(w, key);
	if (!there || pg_is_null(r, row, col))
		jw_null(w);
	else
		jw_time(w, pg_get_time(r, row, col));
}

static void write_delivery(struct jw *w, const struct pg_result *r, int row)
{
	struct uuid id = pg_get_uuid(r, row, COL_ID);
	struct str state = pg_get_text(r, row, COL_STATE);

	jw_kuuid(w, "delivery_id", &id);
	jw_kstr(w, "event_id", pg_get_text(r, row, COL_EVENT));
	jw_kstr(w, "type", pg_get_text(r, row, COL_TYPE));
	jw_ktime(w, "time", pg_get_time(r, row, COL_TIME));
	jw_kstr(w, "state", state);
	jw_kint(w, "attempts", pg_get_int(r, row, COL_ATTEMPTS));
	jw_ktime(w, "created_at", pg_get_time(r, row, COL_CREATED));
	time_or_null(w, "next_attempt_at", r, row, COL_NEXT, str_eqc(state, "queued"));
	time_or_null(w, "last_attempt_at", r, row, COL_LAST, true);
	time_or_null(w, "ended_at", r, row, COL_ENDED, true);
	if (pg_get_int(r, row, COL_STATUS))
		jw_kint(w, "status", pg_get_int(r, row, COL_STATUS));
	if (pg_get_text(r, row, COL_ERROR).n)
		jw_kstr(w, "error", pg_get_text(r, row, COL_ERROR));
	if (!pg_is_null(r, row, COL_LAST))
		jw_kint(w, "took_ms", pg_get_int(r, row, COL_TOOK));
}

/* ---- read ---- */

static void on_listed(void *arg, const struct pg_answer *a)
{
	struct web_call *call = arg;
	const struct pg_result *r = a->result;
	struct jw *w;
	int n;

	if (a->status != PG_OK) {
		hooks_refuse_pg(call, a, false);
		return;
	}
	n = pg_rows(r);
	if (n == 0) {
		hooks_refuse_none(call);
		return;
	}
	w = web_json(call);
	jw_key(w, "items");
	jw_arr(w);
	if (n == 1 && pg_is_null(r, 0, COL_ID)) {
		jw_arr_end(w);
		jw_key(w, "next");
		jw_null(w);
		web_json_end(call, 200);
		return;
	}
	for (int i = 0; i < n && i < HOOKS_PAGE; i++) {
		jw_obj(w);
		write_delivery(w, r, i);
		jw_obj_end(w);
	}
	page_end(w, r, HOOKS_PAGE, COL_CREATED);
	web_json_end(call, 200);
}

/* The query parameter "state"; false after having answered 400. */
static bool read_state(struct web_call *call, struct str *ret)
{
	struct error e = {0};
	bool bad = false;

	*ret = STR_NULL;
	if (!http_req_query(call->req, "state", ret, &bad) && !bad) {
		*ret = STR_NULL;
		return true;
	}
	if (!bad && (str_eqc(*ret, "queued") || str_eqc(*ret, "delivered") || str_eqc(*ret, "failed")))
		return true;
	error_set(&e, ERR_INVALID_REQUEST, "/state", "\"state\" is queued, delivered or failed.");
	web_refuse_error(call, &e);
	return false;
}

void hooks_deliveries_get(struct web_call *call)
{
	struct hooks *h = call->service;
	struct pg_args args;
	struct uuid before;
	struct str state;
	int64_t us;

	if (!read_state(call, &state) || !page_cursor_read(call, &us, &before))
		return;
	pg_args_init(&args, call->arena);
	pg_arg_uuid(&args, &call->ids[0]);
	pg_arg_uuid(&args, &call->who.organizer_id);
	pg_arg_time(&args, us ? us : TIME_INFINITY); /* newest first */
	pg_arg_uuid(&args, &before);
	if (state.p)
		pg_arg_text(&args, state);
	else
		pg_arg_null(&args);
	pg_arg_i32(&args, HOOKS_PAGE + 1);
	pg_query_start(h->config.pg, &hooks_sql_deliveries_list, &args, HOOKS_QUERY_MS, on_listed, call);
}

static void delivery_read(struct hook_change *c, const struct uuid *id, pg_fn *fn)
{
	struct pg_args args;

	pg_args_init(&args, c->call->arena);
	pg_arg_uuid(&args, &c->call->ids[0]);
	pg_arg_uuid(&args, id);
	pg_arg_uuid(&args, &c->call->who.organizer_id);
	pg_query_start(c->h->config.pg, &hooks_sql_delivery_get, &args, HOOKS_QUERY_MS, fn, c);
}

static void delivery_answer(struct hook_change *c, const struct pg_answer *a, int status, bool event)
{
	struct jw *w;

	if (a->status != PG_OK) {
		hooks_refuse_pg(c->call, a, true);
		return;
	}
	if (pg_rows(a->result) == 0) {
		web_refuse(c->call, ERR_NOT_FOUND, "There is no such delivery.");
		return;
	}
	w = web_json(c->call);
	write_delivery(w, a->result, 0);
	if (event) {
		jw_key(w, "event");
		jw_raw(w, pg_get_text(a->result, 0, COL_BODY));
	}
	web_json_end(c->call, status);
}

static void on_got(void *arg, const struct pg_answer *a)
{
	delivery_answer(arg, a, 200, true);
}

void hooks_delivery_get(struct web_call *call)
{
	delivery_read(hook_change_new(call, 200), &call->ids[1], on_got);
}

static void on_queued(void *arg, const struct pg_answer *a)
{
	delivery_answer(arg, a, 202, false);
}

static void queued(struct hook_change *c)
{
	delivery_read(c, &c->made_id, on_queued);
}

/* An empty object, or nothing at all; false after having answered. */
static bool body_is_empty(struct web_call *call)
{
	struct error e = {0};
	struct json_in in;
	json_t *body;

	if (!call->req->body.n)
		return true;
	body = web_body(call);
	if (!body)
		return false;
	json_in_init(&in, body, "", &e);
	if (json_in_end(&in))
		return true;
	web_refuse_error(call, &e);
	return false;
}

/* ---- once more ---- */

static void redeliver_args(struct hook_change *c, struct pg_args *args)
{
	pg_args_init(args, c->call->arena);
	pg_arg_uuid(args, &c->call->ids[0]);
	pg_arg_uuid(args, &c->call->ids[1]);
	pg_arg_uuid(args, &c->call->who.organizer_id);
}

static void no_delivery(struct hook_change *c)
{
	web_refuse(c->call, ERR_NOT_FOUND, "There is no such delivery.");
}

/* It has not ended: it goes out now. */
static void redeliver_queued(struct hook_change *c)
{
	struct pg_args args;

	c->tx = NULL; /* that one was rolled back */
	c->nothing = no_delivery;
	redeliver_args(c, &args);
	hook_change_start(c, &hooks_sql_delivery_hurry, &args);
}

void hooks_redeliver_post(struct web_call *call)
{
	struct hook_change *c;
	struct pg_args args;

	if (!body_is_empty(call))
		return;
	c = hook_change_new(call, 202);
	c->made_id = call->ids[1];
	c->done = queued;
	c->nothing = redeliver_queued;
	redeliver_args(c, &args);
	hook_change_start(c, &hooks_sql_delivery_requeue, &args);
}

/* ---- a test ---- */

static void on_missing(void *arg, const struct pg_answer *a)
{
	struct hook_change *c = arg;

	if (a->status != PG_OK)
		hooks_refuse_pg(c->call, a, false);
	else if (pg_rows(a->result) == 0)
		hooks_refuse_none(c->call);
	else
		web_refuse(c->call, ERR_WEBHOOK_NOT_ENABLED, NULL);
}

/* Not there, not enabled, or the same request was here before. */
static void on_tested_before(void *arg, const struct pg_answer *a)
{
	struct hook_change *c = arg;
	struct pg_args args;

	if (a->status == PG_OK && pg_rows(a->result)) {
		c->call->audited = true;
		delivery_answer(c, a, 202, false);
		return;
	}
	pg_args_init(&args, c->call->arena);
	pg_arg_uuid(&args, &c->call->ids[0]);
	pg_arg_uuid(&args, &c->call->who.organizer_id);
	pg_query_start(c->h->config.pg, &hooks_sql_webhook_get, &args, HOOKS_QUERY_MS, on_missing, c);
}

static void tested_before(struct hook_change *c)
{
	delivery_read(c, &c->made_id, on_tested_before);
}

void hooks_test_post(struct web_call *call)
{
	struct hook_change *c;
	struct hook_event e = {.topic = STR("webhook"), .type = STR(HOOK_TEST_TYPE), .time_us = wall_now_us()};
	struct hook_rows rows;
	JSON_AUTO json_t *none = json_object();
	char id[UUID_TEXT], hook[UUID_TEXT];
	struct pg_args args;

	if (!body_is_empty(call))
		return;
	c = hook_change_new(call, 202);
	if (!auth_idempotent(c->h->config.auth, call, none, &c->idem))
		return;
	c->made_id = c->idem.id;
	c->row.made = &c->made_id;
	c->done = queued;
	c->nothing = tested_before;
	uuid_format(&call->ids[0], hook);
	e.id = str_from(arena_printf(call->arena, "%s:0", uuid_format(&c->made_id, id)));
	e.json =
		str_from(arena_printf(call->arena, "{\"type\": \"" HOOK_TEST_TYPE "\", \"webhook_id\": \"%s\"}", hook));
	rows = hooks_rows(call->arena, &e, 1);
	pg_args_init(&args, call->arena);
	pg_arg_uuid(&args, &call->ids[0]);
	pg_arg_uuid(&args, &call->who.organizer_id);
	pg_arg_text(&args, e.id);
	pg_arg_uuid(&args, &c->made_id);
	pg_arg_text(&args, e.type);
	pg_arg_text(&args, rows.bodies[0]);
	hook_change_start(c, &hooks_sql_delivery_ping, &args);
}

/* ---- a time once more ---- */

/* The columns of replay_get. */
enum { RCOL_ID, RCOL_FROM, RCOL_TO, RCOL_STATE, RCOL_EVENTS, RCOL_CREATED, RCOL_ENDED, RCOL_SAME };

static void on_replay(void *arg, const struct pg_answer *a)
{
	struct hook_change *c = arg;
	const struct pg_result *r = a->result;
	struct uuid id;
	struct jw *w;

	if (a->status != PG_OK) {
		hooks_refuse_pg(c->call, a, true);
	} else if (pg_rows(r) == 0) {
		hooks_refuse_none(c->call);
	} else if (pg_is_null(r, 0, RCOL_ID)) {
		web_refuse(c->call, ERR_REPLAY_RUNNING, NULL);
	} else if (!pg_get_bool(r, 0, RCOL_SAME)) {
		web_refuse(c->call, ERR_IDEMPOTENCY_MISMATCH, NULL);
	} else {
		c->call->audited = true;
		id = pg_get_uuid(r, 0, RCOL_ID);
		w = web_json(c->call);
		jw_kuuid(w, "replay_id", &id);
		jw_ktime(w, "from", pg_get_time(r, 0, RCOL_FROM));
		jw_ktime(w, "to", pg_get_time(r, 0, RCOL_TO));
		jw_kstr(w, "state", pg_get_text(r, 0, RCOL_STATE));
		jw_kint(w, "events", pg_get_int(r, 0, RCOL_EVENTS));
		jw_ktime(w, "created_at", pg_get_time(r, 0, RCOL_CREATED));
		time_or_null(w, "ended_at", r, 0, RCOL_ENDED, true);
		web_json_end(c->call, 202);
	}
}

static void replay_read(struct hook_change *c)
{
	struct pg_args args;

	pg_args_init(&args, c->call->arena);
	pg_arg_uuid(&args, &c->call->ids[0]);
	pg_arg_uuid(&args, &c->call->who.organizer_id);
	pg_arg_uuid(&args, &c->idem.id);
	pg_arg_bytes(&args, idempotent_hash(&c->idem));
	pg_query_start(c->h->config.pg, &hooks_sql_replay_get, &args, HOOKS_QUERY_MS, on_replay, c);
}

void hooks_replay_post(struct web_call *call)
{
	struct hook_change *c = hook_change_new(call, 202);
	json_t *body = web_body(call);
	int64_t from_us, to_us, now_us = wall_now_us();
	struct error e = {0};
	struct json_in in;
	struct pg_args args;

	if (!body || !auth_idempotent(c->h->config.auth, call, body, &c->idem))
		return;
	json_in_init(&in, body, "", &e);
	json_in_time(&in, "from", JSON_REQUIRED, &from_us);
	if (!json_in_time(&in, "to", JSON_OPTIONAL, &to_us))
		to_us = now_us;
	if (e.code == ERR_NONE && from_us >= to_us)
		json_in_fault(&in, ERR_INVALID_VALUE, "from", "\"from\" must be before \"to\" and in the past.");
	if (!json_in_end(&in)) {
		web_refuse_error(call, &e);
		return;
	}
	c->row.made = &c->idem.id;
	c->done = c->nothing = replay_read;
	pg_args_init(&args, call->arena);
	pg_arg_uuid(&args, &c->idem.id);
	pg_arg_uuid(&args, &call->ids[0]);
	pg_arg_uuid(&args, &call->who.organizer_id);
	pg_arg_time(&args, from_us);
	pg_arg_time(&args, to_us);
	pg_arg_bytes(&args, idempotent_hash(&c->idem));
	hook_change_start(c, &hooks_sql_replay_add, &args);
}
