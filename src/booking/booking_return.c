/*
 * Where a buyer may be sent back to after 3-D Secure, and POST .../bookings/{booking}/return: the buyer comes back from the bank's
 * page, perhaps in another browser than the one that went there. The address has a token of the booking and the attempt; with it
 * the gateway is asked at once, and whoever has it gets the booking's link. It counts once, and until the attempt's bound.
 *
 *   token --> payment_return: used now? --> payment_ask --> the booking as it is
 */
#include "base/xmalloc.h"
#include "booking/booking_int.h"

#include <stdlib.h>

/*
 * Without public-url the request's own address is ours: the scheme is the gateway's before us to know, so both count. With it the
 * request does not say who we are: whoever sends it writes its Host.
 */
bool booking_return_allowed(const struct booking_service *b, const struct web_call *call, struct str url)
{
	const struct str *host = http_req_header(call->req, "host");
	struct str public_url = str_from(b->config.public_url), more = str_from(b->config.return_urls);
	struct str plain = STR(""), tls = STR("");

	if (!public_url.n && host && host->n && host->n < 256) {
		plain = str_from(arena_printf(call->arena, "http://%.*s", STR_FMT(*host)));
		tls = str_from(arena_printf(call->arena, "https://%.*s", STR_FMT(*host)));
	}
	return return_url_allowed(url, plain, public_url, more) || return_url_allowed(url, tls, public_url, more);
}

struct str booking_return_usual(const struct booking_service *b, const struct web_call *call)
{
	const struct str *host = http_req_header(call->req, "host");
	struct str base = str_from(b->config.public_url);

	while (base.n && base.p[base.n - 1] == '/')
		base.n--;
	if (base.n)
		return str_from(arena_printf(call->arena, "%.*s/", STR_FMT(base)));
	if (host && host->n && host->n < 256)
		return str_from(arena_printf(call->arena, "http://%.*s/", STR_FMT(*host)));
	return STR("");
}

struct coming_back {
	struct booking_service *b;
	struct web_call *call;
	struct uuid payment_id;
};

static void refuse(struct coming_back *c, enum err code)
{
	web_refuse(c->call, code, NULL);
	free(c);
}

static void on_loaded(void *arg, enum err err, const struct booking_view *v, struct show *show,
		      const struct pg_result *tickets)
{
	struct coming_back *c = arg;

	if (err != ERR_NONE) {
		refuse(c, err);
		return;
	}
	booking_write(c->b, web_json(c->call), v, show, tickets, true);
	web_json_end(c->call, 200);
	free(c);
}

static void on_asked(void *arg)
{
	struct coming_back *c = arg;

	booking_load(c->b, c->call->arena, &c->call->ids[0], &c->call->ids[1], on_loaded, c);
}

static void on_return(void *arg, const struct pg_answer *a)
{
	struct coming_back *c = arg;

	if (a->status != PG_OK)
		refuse(c, ERR_UNAVAILABLE);
	else if (pg_rows(a->result) == 0)
		refuse(c, ERR_NOT_FOUND);
	else if (pg_get_int(a->result, 0, 2) == 1)
		payment_ask(c->b->config.payment, &c->call->ids[0], &c->payment_id, "buyer", on_asked, c);
	else
		refuse(c, pg_get_bool(a->result, 0, 1) ? ERR_RETURN_USED : ERR_RETURN_EXPIRED);
}

void booking_return_post(struct web_call *call)
{
	struct booking_service *b = call->service;
	struct uuid show, booking, payment;
	struct coming_back *c;
	struct error e = {0};
	struct json_in in;
	struct str token;
	json_t *body = web_body(call);

	if (!body)
		return;
	json_in_init(&in, body, "", &e);
	token = json_in_str(&in, "token", JSON_REQUIRED, 1, AUTH_TOKEN_TEXT);
	if (!json_in_end(&in)) {
		web_refuse_error(call, &e);
		return;
	}
	if (!auth_return_open(b->config.auth, token, &show, &booking, &payment) || !uuid_eq(&show, &call->ids[0]) ||
	    !uuid_eq(&booking, &call->ids[1])) {
		web_refuse(call, ERR_NOT_FOUND, "This is not the way back to this booking.");
		return;
	}
	c = xcalloc(1, sizeof(*c));
	c->b = b;
	c->call = call;
	c->payment_id = payment;
	payment_return(b->config.pg, call->arena, &show, &booking, &payment, on_return, c);
}
