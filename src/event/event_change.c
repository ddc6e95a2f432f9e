/*
 * PATCH of venues and events, and what every PATCH shares: the ETag that a GET gives, If-Match, the refusal of a change.
 *
 *   lock the row --> update, if it is the row that was read and the change may be --> COMMIT --> answered as GET answers
 *
 * Members that are left out stay as they are. The tag is the row's revision (xmin): another one after every change, whoever
 * made it. It speaks of the row; what is counted or looked up with it (next_show_at, free) is not in it.
 */
#include "event/event_int.h"

#include "base/times.h"
#include "event/event_sql.h"
#include "ticket/when.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- tags ---- */

enum { TAG_TEXT = 24 };

void event_end_with_tag(struct web_call *call, int status, int64_t revision)
{
	char text[TAG_TEXT];
	struct http_header etag = {STR("ETag"), {text, 0}};

	etag.value.n = (size_t)snprintf(text, sizeof(text), "\"%lld\"", (long long)revision);
	web_json_end_headers(call, status, &etag, 1);
}

/* One of the list, and what is behind it. Tags of others, and weak ones, match nothing: they count as revision -1. */
static bool tag_read(struct str *rest, int64_t *ret)
{
	bool weak = str_starts(*rest, STR("W/"));
	const char *end;
	uint64_t v;

	if (weak)
		*rest = (struct str){rest->p + 2, rest->n - 2};
	if (rest->n < 2 || rest->p[0] != '"' || !(end = memchr(rest->p + 1, '"', rest->n - 1)))
		return false;
	*ret = -1;
	if (!weak && str_to_u64((struct str){rest->p + 1, (size_t)(end - rest->p - 1)}, INT64_MAX, &v))
		*ret = (int64_t)v;
	*rest = str_trim((struct str){end + 1, (size_t)(rest->p + rest->n - end - 1)});
	return true;
}

bool event_if_match(struct web_call *call, struct if_match *ret)
{
	const struct str *header = http_req_header(call->req, "if-match");
	struct error e = {0};
	struct str rest;

	ret->n = 0;
	if (!header || str_eqc(str_trim(*header), "*"))
		return true;
	rest = str_trim(*header);
	while (ret->n < sizeof(ret->revisions) / sizeof(ret->revisions[0]) &&
	       tag_read(&rest, &ret->revisions[ret->n])) {
		ret->n++;
		if (rest.n == 0)
			return true;
		if (rest.p[0] != ',')
			break;
		rest = str_trim((struct str){rest.p + 1, rest.n - 1});
	}
	error_set(&e, ERR_INVALID_REQUEST, "/If-Match",
		  "If-Match must be *, or the ETag of what was read, or at most 8 of them.");
	web_refuse_error(call, &e);
	return false;
}

bool if_match_allows(const struct if_match *m, int64_t revision)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->revisions[i] == revision)
			return true;
	return m->n == 0;
}

void event_refuse_change(struct web_call *call, const char *path, const char *reason, const char *detail)
{
	struct jw *w = web_problem(call, ERR_NOT_CHANGEABLE, detail);

	jw_kcstr(w, "path", path);
	jw_kcstr(w, "reason", reason);
	web_problem_end(call);
}

/* ---- what both do ---- */

struct change {
	struct event_service *ev;
	struct web_call *call;
	const struct pg_stmt *read_back;
	void (*answer)(struct web_call *call, const struct pg_result *r, int status);
	const char *not_there;
	bool found, same, changed;
	/* of an event */
	bool shown; /* has a published show, so it cannot become a draft */
	bool over;
};

/* NULL keeps what is there; "" is a text like others. */
static void arg_text_if_given(struct pg_args *args, const json_t *body, const char *name, struct str value)
{
	const json_t *v = json_object_get(body, name);

	if (v && !json_is_null(v))
		pg_arg_text(args, value);
	else
		pg_arg_null(args);
}

static void refuse_unknown(struct web_call *call)
{
	web_refuse(call, ERR_OUTCOME_UNKNOWN, "It is not known yet whether this took effect. Read it again.");
}

/* found, same, changed, shown, over */
static void on_updated(void *arg, const struct pg_answer *a)
{
	struct change *c = arg;

	if (a->status != PG_OK || pg_rows(a->result) == 0)
		return;
	c->found = true;
	c->same = pg_get_bool(a->result, 0, 0);
	c->changed = pg_get_int(a->result, 0, 1) == 1;
	c->shown = pg_get_bool(a->result, 0, 2);
	c->over = pg_get_bool(a->result, 0, 3);
}

static void on_back(void *arg, const struct pg_answer *a)
{
	struct change *c = arg;

	if (a->status != PG_OK || pg_rows(a->result) == 0)
		refuse_unknown(c->call);
	else
		c->answer(c->call, a->result, 200);
}

static void on_changed(void *arg, const struct pg_answer *a)
{
	struct change *c = arg;
	struct pg_args args;

	if (a->status == PG_UNKNOWN) {
		refuse_unknown(c->call);
	} else if (a->status != PG_OK) {
		event_refuse_pg(c->call, a, false);
	} else if (!c->found) {
		web_refuse(c->call, ERR_NOT_FOUND, c->not_there);
	} else if (!c->same) {
		web_refuse(c->call, ERR_CHANGED_MEANWHILE, NULL);
	} else if (c->over) {
		event_refuse_change(c->call, "", "cancelled", "It was cancelled.");
	} else if (c->shown) {
		event_refuse_change(
			c->call, "/status", "published",
			"It has published shows: make them drafts first, as long as nothing of them is sold.");
	} else {
		event_cache_forget(c->ev, &c->call->ids[0]);
		recommended_forget(c->ev);
		pg_args_init(&args, c->call->arena);
		pg_arg_uuid(&args, &c->call->ids[0]);
		pg_arg_uuid(&args, &c->call->who.organizer_id);
		pg_query_start(c->ev->config.pg, c->read_back, &args, EVENT_QUERY_MS, on_back, c);
	}
}

/* args: the update's. The lock stands in a statement of its own, because only the next one sees what was committed while
 * it waited. */
static void change_run(struct change *c, const struct pg_stmt *lock, const struct pg_stmt *update,
		       const struct pg_args *args)
{
	struct pg_tx *tx = pg_tx_start(c->ev->config.pg, NULL, EVENT_QUERY_MS);
	struct pg_args key;

	pg_args_init(&key, c->call->arena);
	pg_arg_uuid(&key, &c->call->ids[0]);
	pg_arg_uuid(&key, &c->call->who.organizer_id);
	pg_tx_exec(tx, lock, &key, NULL, NULL);
	pg_tx_exec(tx, update, args, on_updated, c);
	pg_tx_commit(tx, on_changed, c);
}

/* ret_args begin with the id, the organiser, and the revisions that If-Match allows. NULL: answered. */
static struct change *change_new(struct web_call *call, json_t **ret_body, struct pg_args *ret_args)
{
	struct change *c = arena_new(call->arena, struct change);
	struct if_match match;

	c->ev = call->service;
	c->call = call;
	*ret_body = web_body(call);
	if (!*ret_body || !event_if_match(call, &match))
		return NULL;
	pg_args_init(ret_args, call->arena);
	pg_arg_uuid(ret_args, &call->ids[0]);
	pg_arg_uuid(ret_args, &call->who.organizer_id);
	pg_arg_i64s(ret_args, match.revisions, match.n);
	return c;
}

/* ---- the requests ---- */

void venue_patch(struct web_call *call)
{
	struct error e = {0};
	struct venue_words v;
	struct pg_args args;
	json_t *body;
	struct change *c = change_new(call, &body, &args);

	if (!c)
		return;
	if (!venue_read(body, JSON_OPTIONAL, call->arena, &v, &e)) {
		web_refuse_error(call, &e);
		return;
	}
	c->read_back = &event_sql_venue_get;
	c->answer = venue_answer;
	c->not_there = "There is no such venue.";
	arg_text_if_given(&args, body, "name", v.name);
	arg_text_if_given(&args, body, "timezone", v.timezone);
	arg_text_if_given(&args, body, "city", v.city);
	arg_text_if_given(&args, body, "address", v.address);
	arg_text_if_given(&args, body, "country", v.country);
	change_run(c, &event_sql_venue_lock, &event_sql_venue_update, &args);
}

void event_patch(struct web_call *call)
{
	struct error e = {0};
	struct event_words w;
	struct pg_args args;
	json_t *body;
	struct change *c = change_new(call, &body, &args);

	if (!c)
		return;
	if (!event_read(body, JSON_OPTIONAL, &w, &e)) {
		web_refuse_error(call, &e);
		return;
	}
	c->read_back = &event_sql_event_get;
	c->answer = event_answer;
	c->not_there = "There is no such event.";
	arg_text_if_given(&args, body, "name", w.name);
	arg_text_if_given(&args, body, "category", w.category);
	arg_text_if_given(&args, body, "description", w.description);
	arg_text_if_given(&args, body, "status", w.status);
	/* null takes the limit, and the language, away */
	pg_arg_bool(&args, json_object_get(body, "max_per_payer") != NULL);
	if (w.max_per_payer)
		pg_arg_i32(&args, (int32_t)w.max_per_payer);
	else
		pg_arg_null(&args);
	if (json_object_get(body, "language"))
		pg_arg_text(&args, w.language.n ? w.language : STR(EVENT_NO_LANGUAGE));
	else
		pg_arg_null(&args);
	change_run(c, &event_sql_event_lock, &event_sql_event_update, &args);
}
