/*
 * The audit log: who of the staff did what, to which object, when, from which network. Append-only by privileges.
 *
 * A write comes into it in one of two ways (enum web_audit). Ahead, which is every route that says nothing: the row is
 * committed before the handler begins, so that a write without a row cannot be, whatever the handler does (a gateway, several
 * transactions); the outcome follows the answer. Or in the transaction of the change itself. Kept are ids, never bodies: no
 * personal data and no secret can come in.
 */
#include "staff/staff_int.h"

#include "base/times.h"
#include "event/event_int.h"
#include "io/page.h"
#include "staff/staff_rules.h"
#include "staff/staff_sql.h"

#include <stdio.h>
#include <string.h>

/* The ids of the path, and what is made. */
static void arg_objects(struct pg_args *args, const struct web_call *call, const struct uuid *made)
{
	struct uuid ids[WEB_PARAMS_MAX + 1];
	size_t n = 0;

	for (size_t i = 0; i < WEB_PARAMS_MAX; i++)
		if (!uuid_is_zero(&call->ids[i]))
			ids[n++] = call->ids[i];
	if (made)
		ids[n++] = *made;
	pg_arg_uuids(args, ids, n);
}

/* "POST /v1/venues" */
static void audit_action(const struct web_call *call, char *out, size_t size)
{
	snprintf(out, size, "%s %s", http_method_name(call->route->method), call->route->pattern);
}

/* status 0: not known yet. */
static void args_row(struct pg_args *args, struct web_call *call, const struct audit_row *row)
{
	const struct who *who = &call->who;
	bool login = !uuid_is_zero(&row->user_id);
	const struct uuid *user = login ? &row->user_id : &who->user_id;
	bool token = uuid_is_zero(user);
	char network[NETWORK_TEXT], action[200];
	struct uuid id = crypto_uuid_v7(wall_now_us());

	network_of_log(&call->client, network);
	audit_action(call, action, sizeof(action));
	pg_args_init(args, call->arena);
	pg_arg_uuid(args, &id);
	pg_arg_uuid(args, login ? &row->organizer_id : &who->organizer_id);
	pg_arg_text(args, token ? STR("token") : STR("user"));
	pg_arg_uuid(args, token ? &who->token_id : user);
	pg_arg_text(args, str_from(action));
	arg_objects(args, call, row->made);
	pg_arg_text(args, str_from(network));
	pg_arg_uuid(args, &call->req->id);
	if (row->status)
		pg_arg_i16(args, (int16_t)row->status);
	else
		pg_arg_null(args);
	pg_arg_text(args, row->detail);
	call->audit_id = id;
}

void audit_add(struct pg_tx *tx, struct web_call *call, const struct audit_row *row)
{
	struct pg_args args;

	args_row(&args, call, row);
	pg_tx_exec(tx, &staff_sql_audit_add, &args, NULL, NULL);
	/* nothing is to follow: the commit is the outcome */
	memset(&call->audit_id, 0, sizeof(call->audit_id));
	call->audited = true;
}

void audit_add_program(struct pg_tx *tx, struct arena *arena, const struct uuid *organizer_id, const char *action,
		       const struct uuid *object, struct str detail)
{
	struct uuid id = crypto_uuid_v7(wall_now_us()), nobody = {{0}};
	struct pg_args args;

	pg_args_init(&args, arena);
	pg_arg_uuid(&args, &id);
	pg_arg_uuid(&args, organizer_id);
	pg_arg_text(&args, STR("program"));
	pg_arg_uuid(&args, &nobody);
	pg_arg_text(&args, str_from(action));
	pg_arg_uuids(&args, object, 1);
	pg_arg_text(&args, STR("local"));
	pg_arg_uuid(&args, &nobody);
	pg_arg_null(&args);
	pg_arg_text(&args, detail);
	pg_tx_exec(tx, &staff_sql_audit_add, &args, NULL, NULL);
}

static void on_begun(void *arg, const struct pg_answer *a)
{
	struct web_call *call = arg;

	if (a->status != PG_OK)
		memset(&call->audit_id, 0, sizeof(call->audit_id));
	web_audited(call, a->status == PG_OK ? ERR_NONE : ERR_UNAVAILABLE);
}

void audit_begin(void *staff, struct web_call *call)
{
	struct staff_service *s = staff;
	struct audit_row row = {.detail = STR("")};
	struct pg_args args;

	args_row(&args, call, &row);
	pg_query_start(s->config.pg, &staff_sql_audit_add, &args, STAFF_QUERY_MS, on_begun, call);
}

void audit_end(struct staff_service *s, const struct web_call *call)
{
	bool made = call->status / 100 == 2 && !uuid_is_zero(&call->made);
	struct pg_args args;

	if (uuid_is_zero(&call->audit_id) || !call->status)
		return;
	pg_args_init(&args, call->arena);
	pg_arg_uuid(&args, &call->audit_id);
	pg_arg_i16(&args, (int16_t)call->status);
	pg_arg_text(&args, str_from(call->refused ? err_info(call->refused)->code : ""));
	pg_arg_uuid(&args, made ? &call->made : NULL);
	pg_query_start(s->config.pg, &staff_sql_audit_end, &args, STAFF_QUERY_MS, NULL, NULL);
}

void audit_failed(struct staff_service *s, struct web_call *call, const struct uuid *user, int status)
{
	char network[NETWORK_TEXT], action[200];
	struct pg_args args;

	network_of_log(&call->client, network);
	audit_action(call, action, sizeof(action));
	pg_args_init(&args, call->arena);
	pg_arg_uuid(&args, user);
	pg_arg_text(&args, str_from(action));
	pg_arg_text(&args, str_from(network));
	pg_arg_uuid(&args, &call->req->id);
	pg_arg_i16(&args, (int16_t)status);
	/* for everybody, also where nobody has that address, and waited for by nobody: how long it takes tells nothing */
	pg_query_start(s->config.pg, &staff_sql_login_failed, &args, STAFF_QUERY_MS, NULL, NULL);
}

/* ---- GET /v1/audit ---- */

static void write_item(struct jw *w, const struct pg_result *r, int row, struct arena *arena)
{
	struct uuid id = pg_get_uuid(r, row, 0), actor = pg_get_uuid(r, row, 3), request = pg_get_uuid(r, row, 7), *ids;
	size_t n = pg_get_uuids(r, row, 5, arena, &ids);

	jw_kuuid(w, "audit_id", &id);
	jw_ktime(w, "at", pg_get_time(r, row, 1));
	jw_key(w, "actor");
	jw_obj(w);
	jw_kstr(w, "kind", pg_get_text(r, row, 2));
	if (!uuid_is_zero(&actor))
		jw_kuuid(w, "id", &actor);
	jw_obj_end(w);
	jw_kstr(w, "action", pg_get_text(r, row, 4));
	jw_key(w, "objects");
	jw_arr(w);
	for (size_t i = 0; i < n; i++)
		jw_uuid(w, &ids[i]);
	if (!pg_is_null(r, row, 11)) {
		struct uuid made = pg_get_uuid(r, row, 11);

		jw_uuid(w, &made);
	}
	jw_arr_end(w);
	jw_kstr(w, "network", pg_get_text(r, row, 6));
	if (!uuid_is_zero(&request))
		jw_kuuid(w, "request_id", &request);
	jw_key(w, "status");
	if (pg_is_null(r, row, 8))
		jw_null(w);
	else
		jw_int(w, pg_get_int(r, row, 8));
	if (pg_get_text(r, row, 9).n)
		jw_kstr(w, "code", pg_get_text(r, row, 9));
	if (pg_get_text(r, row, 10).n)
		jw_kstr(w, "detail", pg_get_text(r, row, 10));
	if (!pg_is_null(r, row, 12))
		jw_kint(w, "times", pg_get_int(r, row, 12));
}

/* A query parameter; false after having answered 400. *ret_there says whether it is. */
static bool ask_id(struct web_call *call, const char *name, struct uuid *ret, bool *ret_there)
{
	char path[ERROR_PATH_MAX];
	struct error e = {0};
	struct str text;
	bool bad = false;

	*ret_there = http_req_query(call->req, name, &text, &bad);
	if ((!*ret_there && !bad) || (!bad && uuid_parse(text, ret)))
		return true;
	json_pointer(path, "", name);
	error_set(&e, ERR_INVALID_REQUEST, path, "\"%s\" must be an id.", name);
	web_refuse_error(call, &e);
	return false;
}

void audit_get(struct web_call *call)
{
	struct uuid actor, object, after;
	bool by_actor, by_object;
	int64_t from_us, to_us, after_us;
	struct pg_args args;

	if (!ask_id(call, "actor", &actor, &by_actor) || !ask_id(call, "object", &object, &by_object) ||
	    !event_query_time(call, "from", 0, &from_us) || !event_query_time(call, "to", TIME_INFINITY, &to_us) ||
	    !page_cursor_read(call, &after_us, &after))
		return;
	if (!after_us) /* newest first: the beginning is the end of time */
		after_us = TIME_INFINITY;
	pg_args_init(&args, call->arena);
	pg_arg_uuid(&args, &call->who.organizer_id);
	pg_arg_time(&args, from_us);
	pg_arg_time(&args, to_us);
	pg_arg_time(&args, after_us);
	pg_arg_uuid(&args, &after);
	pg_arg_i32(&args, STAFF_PAGE + 1);
	if (by_object || by_actor)
		pg_arg_uuid(&args, by_actor ? &actor : NULL);
	if (by_object)
		pg_arg_uuid(&args, &object);
	staff_list_start(call,
			 by_object  ? &staff_sql_audit_by_object
			 : by_actor ? &staff_sql_audit_by_actor
				    : &staff_sql_audit_list,
			 &args, write_item, 1);
}
