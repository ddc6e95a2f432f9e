/* Venues and events over HTTP; what the service's files share; the table of its routes. */
#include "event/event_int.h"

#include "base/times.h"
#include "base/xmalloc.h"
#include "event/event_sql.h"
#include "io/page.h"
#include "ticket/when.h"

#include <stdlib.h>
#include <string.h>

enum { PLAN_BODY_MAX = 48 * 1024 * 1024, DESCRIPTION_MAX = 5000 };

struct event_service *event_service_new(const struct event_config *config)
{
	struct event_service *ev = xcalloc(1, sizeof(*ev));

	ev->config = *config;
	if (!ev->config.plan_cache_bytes)
		ev->config.plan_cache_bytes = 256 * 1024 * 1024;
	if (!ev->config.show_cache_max)
		ev->config.show_cache_max = 2000;
	if (!ev->config.plan_limits.seats_max)
		ev->config.plan_limits = plan_limits_default;
	if (!ev->config.recommended_us)
		ev->config.recommended_us = 60 * US_PER_SECOND;
	event_cache_init(ev);
	recommended_init(ev);
	return ev;
}

void event_service_free(struct event_service *ev)
{
	if (!ev)
		return;
	recommended_done(ev);
	event_cache_done(ev);
	free(ev);
}

struct uuid event_viewer(const struct web_call *call)
{
	struct uuid nobody = {{0}};

	return call->who.kind == WHO_STAFF ? call->who.organizer_id : nobody;
}

void event_refuse_pg(struct web_call *call, const struct pg_answer *a, bool was_write)
{
	if (was_write && a->status == PG_UNKNOWN)
		web_refuse(call, ERR_OUTCOME_UNKNOWN, NULL);
	else if (a->status == PG_ERROR && !pg_error_is_transient(a))
		web_refuse(call, ERR_INTERNAL, NULL);
	else
		web_refuse(call, ERR_UNAVAILABLE, NULL);
}

struct jw *event_list_begin(struct web_call *call, const struct pg_answer *a, int *ret_rows)
{
	struct jw *w;

	if (a->status != PG_OK) {
		event_refuse_pg(call, a, false);
		return NULL;
	}
	w = web_json(call);
	jw_key(w, "items");
	jw_arr(w);
	*ret_rows = pg_rows(a->result) > EVENT_PAGE ? EVENT_PAGE : pg_rows(a->result);
	return w;
}

/* ---- making: what is stored is the answer, the first time and every other ---- */

/* One of what is made: a row of its own, read back by its id, with the hash of the request that made it. */
struct made {
	struct event_service *ev;
	struct web_call *call;
	struct idempotent idem;
	const struct pg_stmt *get; /* takes the id and the organiser */
	int col_hash;
	void (*answer)(struct web_call *call, const struct pg_result *r, int status);
};

static void on_made_back(void *arg, const struct pg_answer *a)
{
	struct made *m = arg;

	if (a->status != PG_OK) {
		event_refuse_pg(m->call, a, true);
	} else if (pg_rows(a->result) == 0 ||
		   !str_eq(pg_get_bytes(a->result, 0, m->col_hash), idempotent_hash(&m->idem))) {
		web_refuse(m->call, ERR_IDEMPOTENCY_MISMATCH, NULL);
	} else {
		m->answer(m->call, a->result, 201);
	}
}

static void on_made(void *arg, const struct pg_answer *a)
{
	struct made *m = arg;
	struct pg_args args;

	if (a->status != PG_OK) {
		event_refuse_pg(m->call, a, true);
		return;
	}
	pg_args_init(&args, m->call->arena);
	pg_arg_uuid(&args, &m->idem.id);
	pg_arg_uuid(&args, &m->call->who.organizer_id);
	pg_query_start(m->ev->config.pg, m->get, &args, EVENT_QUERY_MS, on_made_back, m);
}

/* The body of a request that makes something; NULL after having answered. */
static json_t *made_body(struct web_call *call, struct made **ret)
{
	struct made *m = arena_new(call->arena, struct made);
	json_t *body;

	*ret = m;
	m->ev = call->service;
	m->call = call;
	body = web_body(call);
	return body && auth_idempotent(m->ev->config.auth, call, body, &m->idem) ? body : NULL;
}

/* ---- venues ---- */

static void venue_write(struct jw *w, const struct pg_result *r, int row)
{
	struct uuid id = pg_get_uuid(r, row, 0);

	jw_kuuid(w, "venue_id", &id);
	jw_kstr(w, "name", pg_get_text(r, row, 1));
	jw_kstr(w, "timezone", pg_get_text(r, row, 2));
	jw_kstr(w, "city", pg_get_text(r, row, 3));
	jw_kstr(w, "address", pg_get_text(r, row, 4));
	jw_kstr(w, "country", pg_get_text(r, row, 5));
}

void venue_answer(struct web_call *call, const struct pg_result *r, int status)
{
	venue_write(web_json(call), r, 0);
	event_end_with_tag(call, status, pg_get_int(r, 0, 7));
}

bool venue_read(const json_t *body, enum json_need need, struct arena *arena, struct venue_words *ret, struct error *e)
{
	struct json_in in;

	json_in_init(&in, body, "", e);
	ret->name = json_in_str(&in, "name", need, 1, 200);
	ret->timezone = json_in_str(&in, "timezone", need, 1, TIMEZONE_NAME_MAX);
	ret->city = json_in_str(&in, "city", need, 1, 200);
	ret->address = json_in_text(&in, "address", JSON_OPTIONAL, 0, 500);
	ret->country = json_in_str(&in, "country", JSON_OPTIONAL, 0, 100);
	if (e->code == ERR_NONE && ret->timezone.n && !timezone_known(arena_cstr(arena, ret->timezone)))
		json_in_fault(&in, ERR_INVALID_VALUE, "timezone", "\"%.64s\" is not a time zone of the IANA database.",
			      ret->timezone.p);
	return json_in_end(&in);
}

void venue_post(struct web_call *call)
{
	struct made *m;
	struct error e = {0};
	struct venue_words v;
	json_t *body = made_body(call, &m);
	struct pg_args args;

	if (!body)
		return;
	if (!venue_read(body, JSON_REQUIRED, call->arena, &v, &e)) {
		web_refuse_error(call, &e);
		return;
	}
	pg_args_init(&args, call->arena);
	pg_arg_uuid(&args, &m->idem.id);
	pg_arg_uuid(&args, &call->who.organizer_id);
	pg_arg_text(&args, v.name);
	pg_arg_text(&args, v.timezone);
	pg_arg_text(&args, v.city);
	pg_arg_text(&args, v.address);
	pg_arg_text(&args, v.country);
	pg_arg_bytes(&args, idempotent_hash(&m->idem));
	m->get = &event_sql_venue_get;
	m->col_hash = 6;
	m->answer = venue_answer;
	pg_query_start(m->ev->config.pg, &event_sql_venue_create, &args, EVENT_QUERY_MS, on_made, m);
}

static void on_venue(void *arg, const struct pg_answer *a)
{
	struct web_call *call = arg;

	if (a->status != PG_OK) {
		event_refuse_pg(call, a, false);
	} else if (pg_rows(a->result) == 0) {
		web_refuse(call, ERR_NOT_FOUND, "There is no such venue.");
	} else {
		venue_answer(call, a->result, 200);
	}
}

void venue_get(struct web_call *call)
{
	struct event_service *ev = call->service;
	struct pg_args args;

	pg_args_init(&args, call->arena);
	pg_arg_uuid(&args, &call->ids[0]);
	pg_arg_uuid(&args, &call->who.organizer_id);
	pg_query_start(ev->config.pg, &event_sql_venue_get, &args, EVENT_QUERY_MS, on_venue, call);
}

static void on_venues(void *arg, const struct pg_answer *a)
{
	struct web_call *call = arg;
	int rows;
	struct jw *w = event_list_begin(call, a, &rows);

	if (!w)
		return;
	for (int i = 0; i < rows; i++) {
		jw_obj(w);
		venue_write(w, a->result, i);
		jw_obj_end(w);
	}
	page_end(w, a->result, EVENT_PAGE, -1);
	web_json_end(call, 200);
}

void venues_get(struct web_call *call)
{
	struct event_service *ev = call->service;
	struct pg_args args;
	struct uuid after;
	int64_t us;

	if (!page_cursor_read(call, &us, &after))
		return;
	pg_args_init(&args, call->arena);
	pg_arg_uuid(&args, &call->who.organizer_id);
	pg_arg_uuid(&args, &after);
	pg_arg_i32(&args, EVENT_PAGE + 1);
	pg_query_start(ev->config.pg, &event_sql_venues_list, &args, EVENT_QUERY_MS, on_venues, call);
}

/* ---- events ---- */

void event_answer(struct web_call *call, const struct pg_result *r, int status)
{
	struct jw *w = web_json(call);
	struct uuid id = pg_get_uuid(r, 0, 0), organizer = pg_get_uuid(r, 0, 7), viewer = event_viewer(call);

	jw_kuuid(w, "event_id", &id);
	jw_kstr(w, "name", pg_get_text(r, 0, 1));
	jw_kstr(w, "category", pg_get_text(r, 0, 2));
	jw_kstr(w, "description", pg_get_text(r, 0, 3));
	jw_kstr(w, "status", pg_get_text(r, 0, 4));
	jw_key(w, "language");
	if (str_eqc(pg_get_text(r, 0, 10), EVENT_NO_LANGUAGE))
		jw_null(w);
	else
		jw_str(w, pg_get_text(r, 0, 10));
	jw_key(w, "max_per_payer");
	if (pg_is_null(r, 0, 5))
		jw_null(w);
	else
		jw_int(w, pg_get_int(r, 0, 5));
	jw_key(w, "city");
	if (pg_is_null(r, 0, 9))
		jw_null(w);
	else
		jw_str(w, pg_get_text(r, 0, 9));
	jw_key(w, "next_show_at");
	if (pg_is_null(r, 0, 8))
		jw_null(w);
	else
		jw_time(w, pg_get_time(r, 0, 8));
	if (uuid_eq(&organizer, &viewer))
		jw_kuuid(w, "organizer_id", &organizer);
	event_end_with_tag(call, status, pg_get_int(r, 0, 11));
}

static struct str language_read(struct json_in *in)
{
	/* those that event_configuration of the database knows */
	static const char languages[][3] = {"da", "de", "en", "es", "fi", "fr", "hu", "it",
					    "nl", "no", "pt", "ro", "ru", "sv", "tr"};
	struct str language = json_in_str(in, "language", JSON_OPTIONAL, 0, 20);

	for (size_t i = 0; i < sizeof(languages) / sizeof(languages[0]); i++)
		if (str_eqc(language, languages[i]))
			return language;
	if (language.p && in->error->code == ERR_NONE && json_object_get(in->object, "language") &&
	    !json_is_null(json_object_get(in->object, "language")))
		json_in_fault(
			in, ERR_INVALID_VALUE, "language",
			"\"language\" is one of da, de, en, es, fi, fr, hu, it, nl, no, pt, ro, ru, sv, tr, or null.");
	return STR("");
}

bool event_read(const json_t *body, enum json_need need, struct event_words *ret, struct error *e)
{
	enum show_status parsed;
	struct json_in in;

	json_in_init(&in, body, "", e);
	ret->name = json_in_str(&in, "name", need, 1, 200);
	ret->category = json_in_str(&in, "category", JSON_OPTIONAL, 0, 100);
	ret->description = json_in_text(&in, "description", JSON_OPTIONAL, 0, DESCRIPTION_MAX);
	ret->status = json_in_str(&in, "status", JSON_OPTIONAL, 1, 20);
	ret->max_per_payer = json_in_i64(&in, "max_per_payer", JSON_OPTIONAL, 1, 10000, 0);
	ret->language = language_read(&in);
	if (ret->status.n && (!show_status_parse(ret->status, &parsed) || parsed == SHOW_CANCELLED))
		json_in_fault(&in, ERR_INVALID_VALUE, "status", "\"status\" is \"draft\" or \"published\".");
	return json_in_end(&in);
}

void event_post(struct web_call *call)
{
	struct made *m;
	struct error e = {0};
	struct event_words w;
	json_t *body = made_body(call, &m);
	struct pg_args args;

	if (!body)
		return;
	if (!event_read(body, JSON_REQUIRED, &w, &e)) {
		web_refuse_error(call, &e);
		return;
	}
	pg_args_init(&args, call->arena);
	pg_arg_uuid(&args, &m->idem.id);
	pg_arg_uuid(&args, &call->who.organizer_id);
	pg_arg_text(&args, w.name);
	pg_arg_text(&args, w.category);
	pg_arg_text(&args, w.description);
	pg_arg_text(&args, w.status.n ? w.status : STR("published"));
	if (w.max_per_payer)
		pg_arg_i32(&args, (int32_t)w.max_per_payer);
	else
		pg_arg_null(&args);
	pg_arg_bytes(&args, idempotent_hash(&m->idem));
	pg_arg_text(&args, w.language.n ? w.language : STR(EVENT_NO_LANGUAGE));
	m->get = &event_sql_event_get;
	m->col_hash = 6;
	m->answer = event_answer;
	pg_query_start(m->ev->config.pg, &event_sql_event_create, &args, EVENT_QUERY_MS, on_made, m);
}

static void on_event(void *arg, const struct pg_answer *a)
{
	struct web_call *call = arg;

	if (a->status != PG_OK) {
		event_refuse_pg(call, a, false);
	} else if (pg_rows(a->result) == 0) {
		web_refuse(call, ERR_NOT_FOUND, "There is no such event.");
	} else {
		event_answer(call, a->result, 200);
	}
}

void event_get(struct web_call *call)
{
	struct event_service *ev = call->service;
	struct uuid viewer = event_viewer(call);
	struct pg_args args;

	pg_args_init(&args, call->arena);
	pg_arg_uuid(&args, &call->ids[0]);
	pg_arg_uuid(&args, &viewer);
	pg_query_start(ev->config.pg, &event_sql_event_get, &args, EVENT_QUERY_MS, on_event, call);
}

static const struct web_route routes[] = {
	{HTTP_POST, "/v1/venues", venue_post, WEB_STAFF, SCOPE_EVENTS, 0, false},
	{HTTP_GET, "/v1/venues", venues_get, WEB_STAFF, SCOPE_EVENTS, 0, false, .query = "cursor"},
	{HTTP_GET, "/v1/venues/{venue}", venue_get, WEB_STAFF, SCOPE_EVENTS, 0, false},
	{HTTP_PATCH, "/v1/venues/{venue}", venue_patch, WEB_STAFF, SCOPE_EVENTS, 0, false},
	{HTTP_GET, "/v1/venues/{venue}/plans", plans_get, WEB_STAFF, SCOPE_EVENTS, 0, false, .query = "cursor"},
	{HTTP_POST, "/v1/venues/{venue}/plans", plan_post, WEB_STAFF, SCOPE_EVENTS, PLAN_BODY_MAX, false,
	 .grows = true},
	{HTTP_GET, "/v1/plans/{plan}", plan_get, WEB_STAFF, SCOPE_EVENTS, 0, false},
	{HTTP_POST, "/v1/events", event_post, WEB_STAFF, SCOPE_EVENTS, 0, false},
	{HTTP_GET, "/v1/events", events_get, WEB_ANYBODY, 0, 0, false, .query = "q category city from to limit cursor"},
	{HTTP_GET, "/v1/events/{event}", event_get, WEB_ANYBODY, 0, 0, false},
	{HTTP_PATCH, "/v1/events/{event}", event_patch, WEB_STAFF, SCOPE_EVENTS, 0, false},
	{HTTP_GET, "/v1/events/{event}/recommended", recommended_get, WEB_ANYBODY, 0, 0, false},
	{HTTP_GET, "/v1/events/{event}/shows", shows_get, WEB_ANYBODY, 0, 0, false, .query = "cursor"},
	{HTTP_POST, "/v1/events/{event}/shows", show_post, WEB_STAFF, SCOPE_EVENTS, 0, false, .grows = true},
	{HTTP_GET, "/v1/shows/{show}", show_get, WEB_ANYBODY, 0, 0, false},
	{HTTP_PATCH, "/v1/shows/{show}", show_patch, WEB_STAFF, SCOPE_EVENTS, 0, false},
};

void event_routes(struct event_service *ev, struct web *web)
{
	web_add(web, SERVICE_EVENT, routes, sizeof(routes) / sizeof(routes[0]), ev);
}
