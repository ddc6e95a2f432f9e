/*
 * The Ticket Service over HTTP, except one ticket's picture and paper (ticket_papers.c): a booking's tickets, and what doors
 * without a network need: the keys and the revoked tickets. Owns the service's structure.
 */
#include "base/xmalloc.h"
#include "io/crypto.h"
#include "ticket/ticket_int.h"
#include "ticket/ticket_sql.h"
#include "ticket/trust.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEYS_BODY_MAX = 1024 * 1024, KEYS_FRESH_US = 60 * 1000 * 1000 };

struct ticket_service *ticket_service_new(const struct ticket_service_config *config)
{
	struct ticket_service *t = xcalloc(1, sizeof(*t));

	t->config = *config;
	ticket_keys_init(t);
	return t;
}

void ticket_service_free(struct ticket_service *t)
{
	if (!t)
		return;
	ticket_keys_done(t);
	free(t);
}

/* ---- who may see a booking's tickets ---- */

bool ticket_may_see(struct web_call *call, const struct uuid *show, const struct uuid *booking,
		    const struct uuid *session, const struct uuid *organizer)
{
	const struct ticket_service *t = call->service;
	const struct who *who = &call->who;
	struct uuid link_show, link_booking;
	struct str token;
	bool bad = false;

	if (who->kind == WHO_SESSION && uuid_eq(&who->session_id, session))
		return true;
	if (who->kind == WHO_STAFF && (who->scopes & SCOPE_BOOKINGS) && uuid_eq(&who->organizer_id, organizer))
		return true;
	if (who->kind == WHO_BOOKING && uuid_eq(&who->show_id, show) && uuid_eq(&who->booking_id, booking))
		return true;
	/* a link in a mail cannot send a header */
	return http_req_query(call->req, "access_token", &token, &bad) && !bad &&
	       auth_booking_open(t->config.auth, token, &link_show, &link_booking) && uuid_eq(&link_show, show) &&
	       uuid_eq(&link_booking, booking);
}

/* ---- GET /v1/shows/{show}/bookings/{booking}/tickets ---- */

struct listing {
	struct ticket_service *t;
	struct web_call *call;
	struct show *show;
};

static void listing_end(struct listing *l)
{
	show_unref(l->show);
	free(l);
}

static void on_tickets(void *arg, const struct pg_answer *a)
{
	static const struct http_header headers[] = {{STR("Referrer-Policy"), STR("no-referrer")}};
	struct listing *l = arg;
	struct jw *w;

	if (a->status != PG_OK) {
		web_refuse(l->call, ERR_UNAVAILABLE, NULL);
		listing_end(l);
		return;
	}
	w = web_json(l->call);
	jw_key(w, "items");
	jw_arr(w);
	tickets_write(l->t, w, l->show, a->result, l->call->who.kind == WHO_STAFF);
	jw_arr_end(w);
	web_json_end_headers(l->call, 200, headers, 1);
	listing_end(l);
}

static void on_listing_show(void *arg, enum err err, struct show *show)
{
	struct listing *l = arg;

	if (err != ERR_NONE) {
		web_refuse(l->call, err, NULL);
		listing_end(l);
		return;
	}
	l->show = show_ref(show);
	tickets_read(l->t->config.pg, l->call->arena, &l->call->ids[0], &l->call->ids[1], on_tickets, l);
}

static void on_owner(void *arg, const struct pg_answer *a)
{
	struct listing *l = arg;
	struct web_call *call = l->call;
	struct uuid session, organizer;

	if (a->status != PG_OK) {
		web_refuse(call, ERR_UNAVAILABLE, NULL);
		listing_end(l);
		return;
	}
	if (pg_rows(a->result) == 1) {
		session = pg_get_uuid(a->result, 0, 0);
		organizer = pg_get_uuid(a->result, 0, 1);
		if (ticket_may_see(call, &call->ids[0], &call->ids[1], &session, &organizer)) {
			event_show_get_numbered(l->t->config.event, &call->ids[0], on_listing_show, l);
			return;
		}
	}
	web_refuse(call, ERR_NOT_FOUND, "You have no such booking.");
	listing_end(l);
}

static void tickets_get(struct web_call *call)
{
	struct listing *l = xcalloc(1, sizeof(*l));
	struct pg_args args;

	l->t = call->service;
	l->call = call;
	pg_args_init(&args, call->arena);
	pg_arg_uuid(&args, &call->ids[0]);
	pg_arg_uuid(&args, &call->ids[1]);
	pg_query_start(l->t->config.pg, &ticket_sql_booking_owner, &args, TICKET_QUERY_MS, on_owner, l);
}

/* ---- GET /v1/tickets/keys: kept for a minute, dropped at once when a ticket of a newer key was seen ---- */

static void keys_answer(struct web_call *call)
{
	const struct ticket_service *t = call->service;
	/* short: after a change of keys a door may meet a code it cannot check for so long */
	struct http_header headers[] = {{STR("Cache-Control"), STR("public, max-age=60")},
					{STR("ETag"), str_from(t->keys_etag)},
					{STR("Content-Type"), STR("application/json")}};

	if (web_etag_matches(call, str_from(t->keys_etag)))
		web_bytes(call, 304, headers, 2, STR(""));
	else
		web_shared(call, 200, headers, 3, t->keys_body);
}

static void keys_build(struct ticket_service *t, const struct pg_result *r)
{
	uint8_t hash[CRYPTO_HASH];
	char tag[2 * 12 + 1], *text;
	struct buf out;
	struct jw w;
	size_t n;

	buf_init(&out, KEYS_BODY_MAX);
	jw_init(&w, &out);
	jw_obj(&w);
	jw_key(&w, "keys");
	jw_arr(&w);
	t->keys_newest = 0;
	for (int i = 0; i < pg_rows(r) && i < TICKET_KEYS_MAX; i++) {
		struct str public_key = pg_get_bytes(r, i, 1);
		struct ticket_key key = {.status = pg_get_bool(r, i, 2) ? TICKET_KEY_ACTIVE : TICKET_KEY_RETIRED};

		memcpy(key.public_key, public_key.p, sizeof(key.public_key)); /* the table checks the length */
		key.key_id = ticket_key_id(key.public_key);
		ticket_key_write(&w, &key, pg_get_time(r, i, 3));
		t->keys_newest = (int32_t)pg_get_int(r, i, 0);
	}
	jw_arr_end(&w);
	jw_obj_end(&w);
	jw_done(&w);
	text = buf_take(&out, &n);
	crypto_digest((struct str){text, n}, hash);
	hex_encode(hash, 12, tag);
	snprintf(t->keys_etag, sizeof(t->keys_etag), "\"%s\"", tag);
	shared_bytes_unref(t->keys_body);
	t->keys_body = shared_bytes_take(text, n);
	t->keys_read_us = loop_now_us(t->config.loop);
}

static void on_keys(void *arg, const struct pg_answer *a)
{
	struct web_call *call = arg;
	struct ticket_service *t = call->service;

	/* before the first key is made there is nothing to publish, and a list without keys would be kept for a minute */
	if (a->status != PG_OK || pg_rows(a->result) == 0) {
		web_refuse(call, ERR_UNAVAILABLE, NULL);
		return;
	}
	keys_build(t, a->result);
	keys_answer(call);
}

static void keys_get(struct web_call *call)
{
	struct ticket_service *t = call->service;
	struct pg_args args;

	if (t->keys_body && t->keys_read_us && loop_now_us(t->config.loop) - t->keys_read_us < KEYS_FRESH_US) {
		keys_answer(call);
		return;
	}
	pg_args_init(&args, call->arena);
	pg_query_start(t->config.pg, &ticket_sql_keys_list, &args, TICKET_QUERY_MS, on_keys, call);
}

/* ---- GET /v1/shows/{show}/tickets/revoked ---- */

static void on_revoked(void *arg, const struct pg_answer *a)
{
	static const struct http_header headers[] = {{STR("Cache-Control"), STR("public, max-age=5")}};
	struct web_call *call = arg;
	struct uuid *ids;
	struct jw *w;
	size_t n;

	if (a->status != PG_OK) {
		web_refuse(call, ERR_UNAVAILABLE, NULL);
		return;
	}
	n = pg_get_uuids(a->result, 0, 0, call->arena, &ids);
	w = web_json(call);
	jw_key(w, "items");
	jw_arr(w);
	for (size_t i = 0; i < n; i++)
		jw_uuid(w, &ids[i]);
	jw_arr_end(w);
	jw_ktime(w, "as_of", pg_get_time(a->result, 0, 1));
	web_json_end_headers(call, 200, headers, 1);
}

static void on_revoked_show(void *arg, enum err err, struct show *show)
{
	struct web_call *call = arg;
	struct ticket_service *t = call->service;
	struct pg_args args;

	/* nobody has a ticket for a draft, and that there is one is the organiser's secret */
	if (err == ERR_NONE && show->status == SHOW_DRAFT)
		err = ERR_NOT_FOUND;
	if (err != ERR_NONE) {
		web_refuse(call, err, err == ERR_NOT_FOUND ? "There is no such show." : NULL);
		return;
	}
	pg_args_init(&args, call->arena);
	pg_arg_uuid(&args, &call->ids[0]);
	pg_query_start(t->config.pg, &ticket_sql_tickets_revoked, &args, TICKET_QUERY_MS, on_revoked, call);
}

static void revoked_get(struct web_call *call)
{
	struct ticket_service *t = call->service;

	event_show_get(t->config.event, &call->ids[0], on_revoked_show, call);
}

static const struct web_route routes[] = {
	{HTTP_GET, "/v1/tickets/keys", keys_get, WEB_ANYBODY, 0, 0, false},
	{HTTP_GET, "/v1/shows/{show}/tickets/revoked", revoked_get, WEB_ANYBODY, 0, 0, false},
	{HTTP_GET, "/v1/shows/{show}/bookings/{booking}/tickets", tickets_get, WEB_ANYBODY, 0, 0, false,
	 .query = "access_token"},
	{HTTP_GET, "/v1/shows/{show}/tickets/{ticket}.pdf", ticket_pdf_get, WEB_ANYBODY, 0, 0, false,
	 .query = "access_token"},
	{HTTP_GET, "/v1/shows/{show}/tickets/{ticket}.svg", ticket_svg_get, WEB_ANYBODY, 0, 0, false,
	 .query = "access_token"},
	{HTTP_GET, "/v1/shows/{show}/tickets/{ticket}.png", ticket_png_get, WEB_ANYBODY, 0, 0, false,
	 .query = "access_token"},
	{HTTP_GET, "/v1/shows/{show}/tickets/{ticket}.ics", ticket_ics_get, WEB_ANYBODY, 0, 0, false,
	 .query = "access_token"},
	{HTTP_POST, "/v1/shows/{show}/tickets/{ticket}/reissue", ticket_reissue_post, WEB_ANYBODY, 0, 1024, false},
};

void ticket_routes(struct ticket_service *t, struct web *web)
{
	web_add(web, SERVICE_TICKET, routes, sizeof(routes) / sizeof(routes[0]), t);
}
