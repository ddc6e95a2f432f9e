/* Owns the service's structure and the handlers that only read: one booking, what a session has booked. */
#include "booking/booking_service.h"

#include "base/xmalloc.h"
#include "booking/booking_int.h"
#include "booking/booking_sql.h"
#include "io/crypto.h"

#include <stdlib.h>

const struct pg_stmt *const *const booking_sql = booking_sql_statements;

struct booking_service *booking_service_new(const struct booking_service_config *config)
{
	struct booking_service *b = xcalloc(1, sizeof(*b));

	b->config = *config;
	crypto_derive(auth_master(config->auth), "email", &b->email_key);
	return b;
}

void booking_service_free(struct booking_service *b)
{
	free(b);
}

/* ---- GET .../bookings/{booking} ---- */

struct get {
	struct booking_service *b;
	struct web_call *call;
	bool asked;
};

static void on_asked(void *arg);

static void on_loaded(void *arg, enum err err, const struct booking_view *v, struct show *show,
		      const struct pg_result *tickets)
{
	struct get *g = arg;

	if (err == ERR_NONE)
		err = booking_may_see(g->call, v);
	if (err != ERR_NONE) {
		web_refuse(g->call, err, NULL);
		free(g);
		return;
	}
	/* what is not decided yet may be known at the gateway by now */
	if (!g->asked && v->paid &&
	    (v->payment_state == PAYMENT_CREATED || v->payment_state == PAYMENT_REQUIRES_ACTION ||
	     v->payment_state == PAYMENT_AUTHORISED)) {
		g->asked = true;
		payment_ask(g->b->config.payment, &v->show_id, &v->payment_id,
			    g->call->who.kind == WHO_STAFF ? "staff" : "buyer", on_asked, g);
		return;
	}
	booking_write(g->b, web_json(g->call), v, show, tickets, booking_owner(g->call, v));
	web_json_end(g->call, 200);
	free(g);
}

static void on_asked(void *arg)
{
	struct get *g = arg;

	booking_load(g->b, g->call->arena, &g->call->ids[0], &g->call->ids[1], on_loaded, g);
}

static void booking_get_handler(struct web_call *call)
{
	struct get *g;

	if (call->who.kind == WHO_NOBODY) {
		web_refuse(call, ERR_UNAUTHENTICATED, NULL);
		return;
	}
	g = xcalloc(1, sizeof(*g));
	g->b = call->service;
	g->call = call;
	on_asked(g);
}

/* ---- GET /v1/me/bookings: each is read like one alone and written into a text of its own ---- */

enum { MINE_MAX = 100, MINE_BYTES_MAX = 256 * 1024 };

struct mine {
	struct booking_service *b;
	struct web_call *call;
	size_t n, waiting;
	struct buf *texts;
	bool failed;
};

struct mine_one {
	struct mine *m;
	size_t i;
};

static void mine_answer(struct mine *m)
{
	struct jw *w;

	if (m->failed) {
		web_refuse(m->call, ERR_UNAVAILABLE, NULL);
	} else {
		w = web_json(m->call);
		jw_key(w, "items");
		jw_arr(w);
		for (size_t i = 0; i < m->n; i++)
			jw_raw(w, buf_str(&m->texts[i]));
		jw_arr_end(w);
		jw_key(w, "next");
		jw_null(w);
		web_json_end(m->call, 200);
	}
	for (size_t i = 0; i < m->n; i++)
		buf_done(&m->texts[i]);
	free(m->texts);
	free(m);
}

static void on_mine_one(void *arg, enum err err, const struct booking_view *v, struct show *show,
			const struct pg_result *tickets)
{
	struct mine_one *one = arg;
	struct mine *m = one->m;
	struct jw w;

	if (err == ERR_NONE) {
		jw_init(&w, &m->texts[one->i]);
		jw_obj(&w);
		booking_write(m->b, &w, v, show, tickets, true);
		jw_obj_end(&w);
	}
	if (err != ERR_NONE || !jw_done(&w))
		m->failed = true;
	if (--m->waiting == 0)
		mine_answer(m);
}

static void on_mine(void *arg, const struct pg_answer *a)
{
	struct mine *m = arg;

	if (a->status != PG_OK || pg_rows(a->result) == 0) {
		m->failed = a->status != PG_OK;
		mine_answer(m);
		return;
	}
	m->waiting = m->n = (size_t)pg_rows(a->result);
	m->texts = xcalloc(m->n, sizeof(*m->texts));
	for (size_t i = 0; i < m->n; i++) {
		struct mine_one *one = arena_new(m->call->arena, struct mine_one);
		struct uuid show = pg_get_uuid(a->result, (int)i, 0), booking = pg_get_uuid(a->result, (int)i, 1);

		buf_init(&m->texts[i], MINE_BYTES_MAX);
		*one = (struct mine_one){m, i};
		booking_load(m->b, m->call->arena, &show, &booking, on_mine_one, one);
	}
}

static void my_bookings_handler(struct web_call *call)
{
	struct mine *m = xcalloc(1, sizeof(*m));
	struct pg_args args;

	m->b = call->service;
	m->call = call;
	pg_args_init(&args, call->arena);
	pg_arg_uuid(&args, &call->who.session_id);
	pg_arg_i32(&args, MINE_MAX);
	pg_query_start(m->b->config.pg, &booking_sql_bookings_of_session, &args, BOOKING_QUERY_MS, on_mine, m);
}

static const struct web_route routes[] = {
	{HTTP_POST, "/v1/shows/{show}/bookings", booking_post, WEB_SESSION, 0, 16 * 1024, false},
	{HTTP_GET, "/v1/shows/{show}/bookings/{booking}", booking_get_handler, WEB_ANYBODY, 0, 0, false},
	{HTTP_POST, "/v1/shows/{show}/bookings/{booking}/cancel", booking_cancel_post, WEB_ANYBODY, 0, 16 * 1024,
	 false},
	{HTTP_POST, "/v1/shows/{show}/bookings/{booking}/refunds", booking_refund_post, WEB_STAFF, SCOPE_PAYMENTS, 4096,
	 false},
	{HTTP_POST, "/v1/shows/{show}/bookings/{booking}/return", booking_return_post, WEB_ANYBODY, 0, 4096, false},
	{HTTP_GET, "/v1/me/bookings", my_bookings_handler, WEB_SESSION, 0, 0, false},
};

void booking_routes(struct booking_service *b, struct web *web)
{
	web_add(web, SERVICE_BOOKING, routes, sizeof(routes) / sizeof(routes[0]), b);
}
