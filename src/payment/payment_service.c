/* Owns the service's structure and its HTTP: what the card element needs, the audit trail. The statement: payment_statement.c. */
#include "payment/payment_service.h"

#include "base/times.h"
#include "base/xmalloc.h"
#include "io/page.h"
#include "payment/payment_int.h"
#include "payment/payment_sql.h"
#include "payment/payment_statement.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_MAX = 300, TRAIL_PAGE = 500, CALLS_MAX = 500 };

const struct pg_stmt *const *const payment_sql = payment_sql_statements;

static bool key_read(const char *path, char out[KEY_MAX], char *error, size_t size)
{
	FILE *f = fopen(path, "re");
	size_t n;

	if (!f) {
		snprintf(error, size, "cannot read the payment key file %s: %s", path, strerror(errno));
		return false;
	}
	n = fread(out, 1, KEY_MAX - 1, f);
	fclose(f);
	while (n && (out[n - 1] == '\n' || out[n - 1] == '\r' || out[n - 1] == ' '))
		n--;
	out[n] = '\0';
	if (n == 0 || n == KEY_MAX - 1 || !payment_method_plausible((struct str){out, n})) {
		snprintf(error, size, "the payment key file %s must hold one line with the key and nothing else", path);
		return false;
	}
	return true;
}

struct payment_service *payment_service_new(const struct payment_service_config *config, char *error, size_t size)
{
	struct payment_service *p;
	char key[KEY_MAX] = "", header[KEY_MAX + 32];
	size_t n = strlen(config->url);

	if (n && !config->key_file[0]) {
		snprintf(error, size, "payment-url is set, but payment-key-file is not");
		return NULL;
	}
	if (n && payment_url_fault(str_from(config->url))) {
		snprintf(error, size, "payment-url %s", payment_url_fault(str_from(config->url)));
		return NULL;
	}
	if (n && !key_read(config->key_file, key, error, size))
		return NULL;
	p = xcalloc(1, sizeof(*p));
	p->config = *config;
	while (n && config->url[n - 1] == '/')
		n--;
	p->url = xstrndup(config->url, n);
	snprintf(header, sizeof(header), "Authorization: Bearer %s", key);
	p->authorization = xstrdup(header);
	explicit_bzero(key, sizeof(key));
	explicit_bzero(header, sizeof(header));
	list_init(&p->drives);
	list_init(&p->refunds);
	list_init(&p->settles);
	gateway_budget_init(&p->budget, loop_now_us(config->loop));
	breaker_init(&p->breaker);
	crypto_derive(auth_master(config->auth), "card", &p->card_key);
	if (config->webhook_secret_file && config->webhook_secret_file[0] &&
	    !webhook_secrets_load(p, config->webhook_secret_file, error, size)) {
		payment_service_free(p);
		return NULL;
	}
	return p;
}

void payment_service_free(struct payment_service *p)
{
	if (!p)
		return;
	payment_drives_free(p);
	refund_drives_free(p);
	payment_settles_free(p);
	explicit_bzero(p->authorization, strlen(p->authorization));
	free(p->authorization);
	webhook_secrets_forget(p);
	free(p->url);
	free(p);
}

bool payment_configured(const struct payment_service *p)
{
	return p->url[0] != '\0';
}

int64_t payment_lease_us(const struct payment_service *p)
{
	int64_t ms =
		p->config.timeout_ms > p->config.read_timeout_ms ? p->config.timeout_ms : p->config.read_timeout_ms;

	return (ms + GATEWAY_LEASE_MS) * 1000;
}

/* ---- GET /v1/payments/config ---- */

static void get_config(struct web_call *call)
{
	struct payment_service *p = call->service;
	struct jw *w = web_json(call);

	jw_kbool(w, "enabled", payment_configured(p));
	jw_kcstr(w, "provider", "stripe");
	jw_key(w, "url");
	if (payment_configured(p))
		jw_cstr(w, p->url);
	else
		jw_null(w);
	web_json_end(call, 200);
}

/* ---- GET .../bookings/{booking}/payments: attempts, refunds, calls of the gateway, and every arrow they went, in pages ---- */

struct trail {
	struct payment_service *p;
	struct web_call *call;
	int waiting;
	bool failed, more, calls_more;
	enum err refused;
	struct buf attempts, refunds, calls, events;
	char next[PAGE_CURSOR_TEXT];
};

static void trail_done(struct trail *t)
{
	struct jw *w;

	if (--t->waiting)
		return;
	if (t->refused != ERR_NONE || t->failed || t->attempts.failed || t->refunds.failed || t->calls.failed ||
	    t->events.failed) {
		web_refuse(t->call, t->refused != ERR_NONE ? t->refused : ERR_UNAVAILABLE, NULL);
	} else {
		w = web_json(t->call);
		jw_kuuid(w, "booking_id", &t->call->ids[1]);
		jw_key(w, "attempts");
		jw_raw(w, buf_str(&t->attempts));
		jw_key(w, "refunds");
		jw_raw(w, buf_str(&t->refunds));
		jw_key(w, "calls");
		jw_raw(w, buf_str(&t->calls));
		jw_kbool(w, "calls_truncated", t->calls_more);
		jw_key(w, "items");
		jw_raw(w, buf_str(&t->events));
		jw_key(w, "next");
		if (t->more)
			jw_cstr(w, t->next);
		else
			jw_null(w);
		web_json_end(t->call, 200);
	}
	buf_done(&t->attempts);
	buf_done(&t->refunds);
	buf_done(&t->calls);
	buf_done(&t->events);
	free(t);
}

static void money_at(struct jw *w, const struct pg_result *r, int row, int col)
{
	char currency[4];

	snprintf(currency, sizeof(currency), "%.*s", STR_FMT(pg_get_text(r, row, col + 1)));
	jw_kmoney(w, "amount", pg_get_int(r, row, col), currency);
}

static void on_attempts(void *arg, const struct pg_answer *a)
{
	struct trail *t = arg;
	struct jw w;

	t->failed |= a->status != PG_OK;
	jw_init(&w, &t->attempts);
	jw_arr(&w);
	for (int i = 0; a->status == PG_OK && i < pg_rows(a->result); i++) {
		struct uuid id = pg_get_uuid(a->result, i, 0);

		jw_obj(&w);
		jw_kuuid(&w, "payment_id", &id);
		jw_kint(&w, "attempt", pg_get_int(a->result, i, 1));
		jw_kstr(&w, "state", pg_get_text(a->result, i, 2));
		money_at(&w, a->result, i, 3);
		jw_kstr(&w, "gateway_id", pg_get_text(a->result, i, 5));
		jw_kstr(&w, "failure", pg_get_text(a->result, i, 6));
		jw_kstr(&w, "decline_code", pg_get_text(a->result, i, 7));
		jw_kbool(&w, "void_wanted", pg_get_bool(a->result, i, 8));
		jw_ktime(&w, "created_at", pg_get_time(a->result, i, 9));
		jw_obj_end(&w);
	}
	jw_arr_end(&w);
	trail_done(t);
}

static void on_refunds(void *arg, const struct pg_answer *a)
{
	struct trail *t = arg;
	struct jw w;

	t->failed |= a->status != PG_OK;
	jw_init(&w, &t->refunds);
	jw_arr(&w);
	for (int i = 0; a->status == PG_OK && i < pg_rows(a->result); i++) {
		struct uuid id = pg_get_uuid(a->result, i, 0), payment = pg_get_uuid(a->result, i, 1);

		jw_obj(&w);
		jw_kuuid(&w, "refund_id", &id);
		jw_kuuid(&w, "payment_id", &payment);
		jw_kstr(&w, "state", pg_get_text(a->result, i, 2));
		money_at(&w, a->result, i, 3);
		jw_kstr(&w, "kind", pg_get_text(a->result, i, 5));
		jw_kstr(&w, "reason", pg_get_text(a->result, i, 6));
		jw_kstr(&w, "gateway_id", pg_get_text(a->result, i, 7));
		jw_kstr(&w, "failure", pg_get_text(a->result, i, 8));
		jw_ktime(&w, "created_at", pg_get_time(a->result, i, 9));
		jw_obj_end(&w);
	}
	jw_arr_end(&w);
	trail_done(t);
}

/* What was sent, and what came back of it: the bodies stay in the database. */
static void on_calls(void *arg, const struct pg_answer *a)
{
	struct trail *t = arg;
	int n = a->status == PG_OK ? pg_rows(a->result) : 0;
	struct jw w;

	t->failed |= a->status != PG_OK;
	t->calls_more = n > CALLS_MAX;
	jw_init(&w, &t->calls);
	jw_arr(&w);
	for (int i = (t->calls_more ? CALLS_MAX : n) - 1; i >= 0; i--) {
		struct uuid payment = pg_get_uuid(a->result, i, 1), subject = pg_get_uuid(a->result, i, 2);

		jw_obj(&w);
		jw_ktime(&w, "sent_at", pg_get_time(a->result, i, 0));
		jw_kuuid(&w, "payment_id", &payment);
		if (!uuid_eq(&payment, &subject))
			jw_kuuid(&w, "refund_id", &subject);
		jw_kstr(&w, "step", pg_get_text(a->result, i, 3));
		jw_kint(&w, "call", pg_get_int(a->result, i, 4));
		if (!pg_is_null(a->result, i, 5)) {
			jw_ktime(&w, "answered_at", pg_get_time(a->result, i, 5));
			jw_kint(&w, "http_status", pg_get_int(a->result, i, 6));
		}
		jw_kstr(&w, "gateway_request_id", pg_get_text(a->result, i, 7));
		jw_obj_end(&w);
	}
	jw_arr_end(&w);
	trail_done(t);
}

static void on_events(void *arg, const struct pg_answer *a)
{
	struct trail *t = arg;
	int n = a->status == PG_OK ? pg_rows(a->result) : 0;
	struct jw w;

	t->failed |= a->status != PG_OK;
	t->more = n > TRAIL_PAGE;
	n = t->more ? TRAIL_PAGE : n;
	if (t->more) {
		struct uuid last = pg_get_uuid(a->result, n - 1, 10);

		page_cursor_text(pg_get_time(a->result, n - 1, 0), &last, t->next);
	}
	jw_init(&w, &t->events);
	jw_arr(&w);
	for (int i = 0; i < n; i++) {
		struct uuid payment = pg_get_uuid(a->result, i, 1), refund;

		jw_obj(&w);
		jw_ktime(&w, "at", pg_get_time(a->result, i, 0));
		jw_kuuid(&w, "payment_id", &payment);
		if (!pg_is_null(a->result, i, 2)) {
			refund = pg_get_uuid(a->result, i, 2);
			jw_kuuid(&w, "refund_id", &refund);
		}
		jw_kstr(&w, "from", pg_get_text(a->result, i, 3));
		jw_kstr(&w, "to", pg_get_text(a->result, i, 4));
		money_at(&w, a->result, i, 5);
		jw_kstr(&w, "actor", pg_get_text(a->result, i, 7));
		jw_kstr(&w, "why", pg_get_text(a->result, i, 8));
		jw_kstr(&w, "gateway_request_id", pg_get_text(a->result, i, 9));
		jw_obj_end(&w);
	}
	jw_arr_end(&w);
	trail_done(t);
}

static void on_owner(void *arg, const struct pg_answer *a)
{
	struct trail *t = arg;

	t->failed |= a->status != PG_OK;
	if (a->status == PG_OK && pg_rows(a->result) == 0)
		t->refused = ERR_NOT_FOUND;
	trail_done(t);
}

static void get_trail(struct web_call *call)
{
	struct trail *t;
	struct pg *pg;
	struct pg_args args;
	struct uuid after;
	int64_t after_us;

	if (!page_cursor_read(call, &after_us, &after))
		return;
	t = xcalloc(1, sizeof(*t));
	t->p = call->service;
	t->call = call;
	t->waiting = 5;
	buf_init(&t->attempts, 256 * 1024);
	buf_init(&t->refunds, 512 * 1024);
	buf_init(&t->calls, 512 * 1024);
	buf_init(&t->events, 1024 * 1024);
	pg = t->p->config.pg;
	pg_args_init(&args, call->arena);
	pg_arg_uuid(&args, &call->ids[0]);
	pg_arg_uuid(&args, &call->ids[1]);
	pg_query_start(pg, &payment_sql_payments_of_booking, &args, PAYMENT_QUERY_MS, on_attempts, t);
	pg_query_start(pg, &payment_sql_refunds_of_booking, &args, PAYMENT_QUERY_MS, on_refunds, t);
	pg_arg_uuid(&args, &call->who.organizer_id);
	pg_query_start(pg, &payment_sql_booking_owner, &args, PAYMENT_QUERY_MS, on_owner, t);
	args.n = 2; /* the same show and booking */
	pg_arg_i32(&args, CALLS_MAX + 1);
	pg_query_start(pg, &payment_sql_payment_calls_of_booking, &args, PAYMENT_QUERY_MS, on_calls, t);
	args.n = 2;
	pg_arg_time(&args, after_us);
	pg_arg_uuid(&args, &after);
	pg_arg_i32(&args, TRAIL_PAGE + 1);
	pg_query_start(pg, &payment_sql_payment_history, &args, PAYMENT_QUERY_MS, on_events, t);
}

static const struct web_route routes[] = {
	{HTTP_GET, "/v1/payments/config", get_config, WEB_ANYBODY, 0, 0, false},
	{HTTP_POST, "/v1/payments/webhook", payment_webhook_post, WEB_ANYBODY, 0, WEBHOOK_BODY_MAX, false},
	{HTTP_GET, "/v1/shows/{show}/bookings/{booking}/payments", get_trail, WEB_STAFF, SCOPE_PAYMENTS, 0, false,
	 .query = "cursor"},
	{HTTP_GET, "/v1/statements", payment_statement_get, WEB_STAFF, SCOPE_PAYMENTS, 0, false,
	 .query = "day format cursor"},
};

void payment_routes(struct payment_service *p, struct web *web)
{
	web_add(web, SERVICE_PAYMENT, routes, sizeof(routes) / sizeof(routes[0]), p);
}
