/* Owns the service's structure and the handler that only reads: one booking. */
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
	list_init(&b->endings);
	return b;
}

void booking_service_free(struct booking_service *b)
{
	if (!b)
		return;
	booking_endings_free(b);
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

static const struct web_route routes[] = {
	{HTTP_POST, "/v1/shows/{show}/bookings", booking_post, WEB_SESSION, 0, 16 * 1024, false, .grows = true},
	{HTTP_GET, "/v1/shows/{show}/bookings/{booking}", booking_get_handler, WEB_ANYBODY, 0, 0, false},
	{HTTP_POST, "/v1/shows/{show}/bookings/{booking}/cancel", booking_cancel_post, WEB_ANYBODY, 0, 16 * 1024,
	 false},
	{HTTP_POST, "/v1/shows/{show}/bookings/{booking}/refunds", booking_refund_post, WEB_STAFF, SCOPE_PAYMENTS, 4096,
	 false},
	{HTTP_POST, "/v1/shows/{show}/bookings/{booking}/return", booking_return_post, WEB_ANYBODY, 0, 4096, false},
	{HTTP_POST, "/v1/shows/{show}/bookings/{booking}/resend", booking_resend_post, WEB_STAFF, SCOPE_BOOKINGS, 4096,
	 false},
	{HTTP_POST, "/v1/shows/{show}/bookings/{booking}/transfer", booking_transfer_post, WEB_ANYBODY, 0, 16 * 1024,
	 false},
	{HTTP_GET, "/v1/bookings", bookings_get, WEB_STAFF, SCOPE_BOOKINGS, 0, false,
	 .query = "q show status cursor limit"},
	{HTTP_POST, "/v1/lookup", lookup_post, WEB_ANYBODY, 0, 4096, false},
	{HTTP_GET, "/v1/me", me_get, WEB_ANYBODY, 0, 0, false},
	{HTTP_GET, "/v1/me/bookings", my_bookings_get, WEB_SESSION, 0, 0, false, .query = "cursor"},
};

void booking_routes(struct booking_service *b, struct web *web)
{
	web_add(web, SERVICE_BOOKING, routes, sizeof(routes) / sizeof(routes[0]), b);
}
