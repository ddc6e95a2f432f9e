/*
 * A worker of serve: one loop, one struct app, one HTTP server. Also the routes that belong to no service: health,
 * readiness, metrics, the front page.
 */
#include "app/serve_int.h"

#include "app/app_sql.h"
#include "app/schema.h"
#include "app/web_files.h"
#include "base/times.h"
#include "base/xmalloc.h"
#include "booking/booking_service.h"
#include "door/door_service.h"
#include "hooks/hooks.h"
#include "io/http_stream.h"
#include "io/log.h"
#include "io/verifier.h"
#include "jobs/jobs.h"
#include "payment/payment_service.h"
#include "staff/staff.h"
#include "ticket/ticket_service.h"

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	LINGER_MS = 300,
	STATS_MS = 500,
	LOOK_TRY_MS = 100,
	LOOK_MS = 1000,
	CLOSED_RETRY_S = 60,
	OPEN_TRY_MS = 10,
	OPEN_BY_MS = 1500
};
/* PostgreSQL refused something for want of room: so long nothing more is begun, then one tries. */
#define DISK_FULL_US (10 * US_PER_SECOND)

struct worker {
	struct app app;
	struct web *web;
	struct http_server *server;
	struct verifier *verifier; /* NULL: none is configured */
	struct timer *stats, *look, *cut, *open;
	int listener, own; /* -1 once the server has them, or when there is none */
	int64_t open_by_us;
	int exit_status, access; /* 0 off, 1 errors, 2 all */
	bool draining;
	bool schema_known, sales_open, disk_low; /* as of the last look */
	bool filled;				 /* what was logged last of the disk */
	char closed[300];			 /* why sales are, as a sentence */
	int *labels;				 /* of the metrics, by route */
	uint64_t pg_trips, pg_us, redis_trips, redis_us, loads, lost, refused[ERR_COUNT];
};

/* ---- health, readiness, metrics ---- */

static void dependency(struct jw *w, const char *name, bool up, const char *error)
{
	jw_key(w, name);
	jw_obj(w);
	jw_kcstr(w, "status", up ? "up" : "down");
	if (!up && error && *error)
		jw_kcstr(w, "error", error);
	jw_obj_end(w);
}

/* The disk of PostgreSQL is nearly full, as those say who can see it, or full, as it says itself. */
static bool disk_is_full(const struct worker *k)
{
	int64_t refused_us = pg_disk_full_us(k->app.pg);

	return k->disk_low || (refused_us && loop_now_us(k->app.loop) - refused_us < DISK_FULL_US);
}

/* Ready: it can sell. Without Redis it sells more slowly, and says so. */
static void get_ready(struct web_call *call)
{
	struct worker *k = call->service;
	struct app *a = &k->app;
	bool pg = pg_ready(a->pg) && seat_service_ready(a->seat), ready = pg && k->schema_known && !k->draining;
	struct jw *w = web_json(call);

	jw_kcstr(w, "status",
		 ready	       ? !k->sales_open || disk_is_full(k) ? "closed"
				 : redis_ready(a->redis)	   ? "ready"
								   : "degraded"
		 : k->draining ? "draining"
			       : "not ready");
	jw_key(w, "dependencies");
	jw_obj(w);
	dependency(w, "postgresql", pg, pg_last_error(a->pg));
	dependency(w, "schema", k->schema_known, "not checked yet");
	dependency(w, "disk", !disk_is_full(k), "PostgreSQL's disk is nearly full");
	dependency(w, "redis", redis_ready(a->redis), redis_last_error(a->redis));
	if (redis_ready(a->redis))
		dependency(w, "redis_policy", redis_noeviction(a->redis), "maxmemory-policy is not noeviction");
	dependency(w, "payment_gateway", payment_configured(a->payment) && payment_gateway_up(a->payment),
		   payment_configured(a->payment) ? "it does not answer" : "no payment-url is configured");
	jw_obj_end(w);
	web_json_end(call, ready ? 200 : 503);
}

static void get_metrics(struct web_call *call)
{
	struct worker *k = call->service;

	app_metrics_answer(&k->app, call);
}

static void get_page(struct web_call *call, const struct embedded_file *f, struct str type)
{
	struct http_header headers[] = {
		{STR("Content-Type"), type},
		{STR("Cache-Control"), STR("no-cache")},
		{STR("Content-Security-Policy"), STR("default-src 'self'; frame-ancestors 'none'; base-uri 'none'")},
		{STR("Referrer-Policy"), STR("no-referrer")}};

	web_bytes(call, 200, headers, 4, (struct str){f->bytes, f->size});
}

static void get_front(struct web_call *call)
{
	get_page(call, &web_file_index_html, STR("text/html; charset=utf-8"));
}

static void get_script(struct web_call *call)
{
	get_page(call, &web_file_front_js, STR("text/javascript; charset=utf-8"));
}

static void get_style(struct web_call *call)
{
	get_page(call, &web_file_front_css, STR("text/css; charset=utf-8"));
}

/* Where mails lead. Its token stands after the #, so it does not come here. */
static void get_booking_page(struct web_call *call)
{
	get_page(call, &web_file_booking_html, STR("text/html; charset=utf-8"));
}

static void get_booking_script(struct web_call *call)
{
	get_page(call, &web_file_booking_js, STR("text/javascript; charset=utf-8"));
}

static const struct web_route always[] = {
	{HTTP_GET, "/healthz", app_health_get, WEB_ANYBODY, 0, 0, false},
	{HTTP_GET, "/readyz", get_ready, WEB_ANYBODY, 0, 0, false},
	{HTTP_GET, "/metrics", get_metrics, WEB_ANYBODY, 0, 0, false},
};

static const struct web_route pages[] = {
	{HTTP_GET, "/", get_front, WEB_ANYBODY, 0, 0, false},
	{HTTP_GET, "/front.js", get_script, WEB_ANYBODY, 0, 0, false},
	{HTTP_GET, "/front.css", get_style, WEB_ANYBODY, 0, 0, false},
	{HTTP_GET, "/booking", get_booking_page, WEB_ANYBODY, 0, 0, false},
	{HTTP_GET, "/booking.js", get_booking_script, WEB_ANYBODY, 0, 0, false},
};

static void add_routes(struct web *web, struct worker *k)
{
	web_add(web, SERVICE_ALWAYS, always, sizeof(always) / sizeof(always[0]), k);
	web_add(web, SERVICE_WEB, pages, sizeof(pages) / sizeof(pages[0]), k);
	docs_routes(web);
	auth_routes(k ? k->app.auth : NULL, web);
	staff_routes(k ? k->app.staff : NULL, web);
	event_routes(k ? k->app.event : NULL, web);
	seat_routes(k ? k->app.seat : NULL, web);
	booking_routes(k ? k->app.booking : NULL, web);
	show_jobs_routes(k ? k->app.jobs : NULL, web);
	hooks_routes(k ? k->app.hooks : NULL, web);
	payment_routes(k ? k->app.payment : NULL, web);
	ticket_routes(k ? k->app.ticket : NULL, web);
	door_routes(k ? k->app.door : NULL, web);
}

const char **serve_route_names(void)
{
	struct web_config config = {.services = SERVICE_ALL};
	struct web *web = web_new(&config);
	const char **names;
	char text[200];

	add_routes(web, NULL);
	names = xcalloc(web_route_count(web) + 2, sizeof(*names));
	names[0] = "-";
	for (size_t i = 0; i < web_route_count(web); i++) {
		const struct web_route *r = web_route_at(web, i);

		snprintf(text, sizeof(text), "%s %s", http_method_name(r->method), r->pattern);
		names[i + 1] = xstrdup(text);
	}
	web_free(web);
	return names;
}

/* ---- what is counted and logged of a request ---- */

static void on_done(void *arg, const struct web_call *call, int status, size_t bytes)
{
	struct worker *k = arg;
	int64_t took_us = loop_now_us(k->app.loop) - call->req->received_us;
	int label = call->route_index >= 0 ? k->labels[call->route_index] : 0;

	audit_end(k->app.staff, call);
	metric_add(k->app.metrics, METRIC_HTTP_REQUESTS, label, status / 100, 1);
	metric_observe(k->app.metrics, METRIC_HTTP_SECONDS, label, 0, took_us);
	if (call->refused == ERR_RATE_LIMITED && call->limited_by < LIMIT_PASSES)
		metric_add(k->app.metrics, METRIC_RATE_LIMITED, (int)call->limited_by, 0, 1);
	if (k->access == 2 || (k->access == 1 && status >= 500))
		log_line(status >= 500 ? LOG_WARN : LOG_INFO, "request", LOG_U("request_id", &call->req->id),
			 LOG_S("method", call->req->method_name),
			 LOG_C("route", call->route ? call->route->pattern : "-"), LOG_I("status", status),
			 LOG_C("code", call->refused ? err_info(call->refused)->code : ""),
			 LOG_I("bytes", (int64_t)bytes), LOG_I("took_us", took_us));
}

/* A route's number among all routes, also when --service leaves some out. */
static void label_routes(struct worker *k)
{
	const char **names = serve_route_names();
	char text[200];

	k->labels = xcalloc(web_route_count(k->web), sizeof(*k->labels));
	for (size_t i = 0; i < web_route_count(k->web); i++) {
		const struct web_route *r = web_route_at(k->web, i);

		snprintf(text, sizeof(text), "%s %s", http_method_name(r->method), r->pattern);
		for (int n = 1; names[n]; n++)
			if (strcmp(names[n], text) == 0)
				k->labels[i] = n;
	}
	for (int n = 1; names[n]; n++)
		free((void *)(uintptr_t)names[n]);
	free(names);
}

static void on_stats(void *arg)
{
	struct worker *k = arg;
	struct app *a = &k->app;
	const struct seat_map_stats *map = seat_map_get_stats(a->map);
	uint64_t trips, us;
	size_t waiting;

	pg_stats(a->pg, &trips, &us, &waiting);
	metric_add(a->metrics, METRIC_PG_ROUND_TRIPS, 0, 0, (int64_t)(trips - k->pg_trips));
	metric_add(a->metrics, METRIC_PG_SECONDS, 0, 0, (int64_t)(us - k->pg_us));
	metric_set(a->metrics, METRIC_PG_WAITING, 0, 0, (int64_t)waiting);
	k->pg_trips = trips;
	k->pg_us = us;
	redis_stats(a->redis, &trips, &us);
	metric_add(a->metrics, METRIC_REDIS_ROUND_TRIPS, 0, 0, (int64_t)(trips - k->redis_trips));
	metric_add(a->metrics, METRIC_REDIS_SECONDS, 0, 0, (int64_t)(us - k->redis_us));
	k->redis_trips = trips;
	k->redis_us = us;
	metric_add(a->metrics, METRIC_MAP_LOADS, 0, 0, (int64_t)(map->loads - k->loads));
	metric_add(a->metrics, METRIC_MAP_APPLY_LOST, 0, 0, (int64_t)(map->apply_lost - k->lost));
	k->loads = map->loads;
	k->lost = map->apply_lost;
	if (disk_is_full(k) != k->filled) {
		k->filled = !k->filled;
		log_line(k->filled ? LOG_WARN : LOG_INFO,
			 k->filled ? "PostgreSQL's disk is nearly full: no seats are locked"
				   : "PostgreSQL's disk has room: seats are locked again");
	}
	metric_set(a->metrics, METRIC_DISK_LOW, 0, 0, k->filled);
	metric_set(a->metrics, METRIC_LOCK_QUEUE, 0, 0, (int64_t)seat_service_waiting(a->seat));
	metric_set(a->metrics, METRIC_UP, 2, 0, payment_configured(a->payment) && payment_gateway_up(a->payment));
	metric_set(a->metrics, METRIC_OFFLOAD_QUEUE, 0, 0, (int64_t)offload_queued(a->offload));
	metric_set(a->metrics, METRIC_HTTP_CONNECTIONS, 0, 0, (int64_t)http_server_conns(k->server));
	for (int i = 1; i < ERR_COUNT; i++) {
		uint64_t n = http_server_refused(k->server, (enum err)i);

		if (n != k->refused[i])
			metric_add(a->metrics, METRIC_HTTP_REFUSED, i, 0, (int64_t)(n - k->refused[i]));
		k->refused[i] = n;
	}
	timer_set_ms(k->stats, STATS_MS);
}

/* ---- the state of the whole system ---- */

static void on_look(void *arg, const struct pg_answer *a)
{
	struct worker *k = arg;
	char why[300];
	struct str reason;

	if (a->status != PG_OK) {
		/* what was known last still counts: nobody changes it in a database that nobody reaches */
		timer_set_ms(k->look, LOOK_TRY_MS);
		return;
	}
	if (!k->schema_known &&
	    !schema_suits(k->app.schema_wanted, pg_is_null(a->result, 0, 0) ? 0 : pg_get_int(a->result, 0, 0),
			  pg_get_int(a->result, 0, 1), why, sizeof(why))) {
		log_line(LOG_ERROR, why);
		k->exit_status = SCHEMA_UNFIT;
		loop_stop(k->app.loop);
		return;
	}
	k->schema_known = true;
	k->sales_open = pg_get_bool(a->result, 0, 2);
	k->disk_low = pg_get_bool(a->result, 0, 4);
	reason = pg_get_text(a->result, 0, 3);
	snprintf(k->closed, sizeof(k->closed), "Sales are closed for now%s%.*s. Nothing was changed. Try again later.",
		 reason.n ? ": " : "", (int)(reason.n > 200 ? 200 : reason.n), reason.p);
	metric_set(k->app.metrics, METRIC_SALES_CLOSED, 0, 0, !k->sales_open);
	timer_set_ms(k->look, LOOK_MS);
}

static void look(void *arg)
{
	struct worker *k = arg;
	struct arena arena;
	struct pg_args args;

	arena_init(&arena);
	pg_args_init(&args, &arena);
	pg_query_start(k->app.pg, &app_sql_system_look, &args, 2000, on_look, k);
	arena_done(&arena);
}

/* While the disk is nearly full nothing is begun that takes room there, so that payments under way and refunds can be settled.
 * What changes seats or money of a show waits until sales are open. The gateway's events, sessions, and what organisers prepare
 * go on. (Before the first look nothing is known: the database has not been reached, and every statement would say so.) */
static const char *closed(void *arg, const struct web_call *call)
{
	struct worker *k = arg;
	const struct web_route *r = call->route;

	if (r->grows && disk_is_full(k))
		return "The disk of the database is nearly full: nothing is sold until there is room. Payments under "
		       "way go on. "
		       "Nothing was changed. Try again later.";
	if (k->sales_open || !k->schema_known || r->method == HTTP_GET ||
	    strncmp(r->pattern, "/v1/shows/{show}/", 17) != 0)
		return NULL;
	return k->closed;
}

/* ---- the end ---- */

static void on_drained(void *arg)
{
	struct worker *k = arg;

	loop_stop(k->app.loop);
}

static void on_term(void *arg, int signo)
{
	struct worker *k = arg;

	if (k->draining)
		return;
	k->draining = true;
	timer_set_ms(k->cut, k->app.config->drain_timeout_ms);
	http_streams_drain(k->app.streams);
	http_server_drain(k->server, LINGER_MS, on_drained, k);
}

static void on_int(void *arg, int signo)
{
	/* Ctrl-C reaches the whole group; the parent says when to stop */
}

/* A worker that cannot sell yet leaves new connections to those that can; after a while it answers for itself, with 503. */
static void on_open(void *arg)
{
	struct worker *k = arg;
	bool ready = pg_ready(k->app.pg) && seat_service_ready(k->app.seat) && k->schema_known;

	if (k->draining)
		return;
	if (!ready && loop_now_us(k->app.loop) < k->open_by_us) {
		timer_set_ms(k->open, OPEN_TRY_MS);
		return;
	}
	http_server_listen(k->server, k->listener);
	if (k->own >= 0)
		http_server_listen(k->server, k->own);
}

/* A batch of locks takes some hundred kilobytes for a millisecond, time and again: glibc would give them back to the system
 * and fetch them anew, page by page. */
static void memory_settings(void)
{
	mallopt(M_TRIM_THRESHOLD, 16 << 20);
	mallopt(M_TOP_PAD, 1 << 20);
	mallopt(M_MMAP_THRESHOLD, 4 << 20);
}

/* ---- the verifier: which shows want it they say themselves ---- */

static void on_show_to_lock(void *arg, enum err err, struct show *show)
{
	struct web_call *call = arg;
	struct worker *k = web_settings(call)->verify_arg;

	/* of a draft nobody learns that it is there */
	call->must_verify = err == ERR_NONE && show->verification && show->status == SHOW_PUBLISHED;
	if (k->verifier)
		verifier_ask(k->verifier, call);
	else if (call->must_verify)
		web_verified(call, ERR_UNAVAILABLE,
			     "Seats of this show are for people only, and nobody here can tell them from programs: no "
			     "verifier is "
			     "configured. Nothing was changed.");
	else
		web_verified(call, ERR_NONE, NULL); /* what is wrong with the show the handler says */
}

static void verify(void *arg, struct web_call *call)
{
	struct worker *k = arg;

	if (call->route->verify == WEB_VERIFY_LOCK)
		event_show_get_known(k->app.event, &call->ids[0], on_show_to_lock, call);
	else if (k->verifier)
		verifier_ask(k->verifier, call);
	else
		web_verified(call, ERR_NONE, NULL);
}

/* false after a sentence on standard error. */
static bool make_verifier(struct worker *k, const struct config *config, struct limits *limits)
{
	struct verifier_config verifier = {.loop = k->app.loop,
					   .limits = limits,
					   .url = config->verifier_url,
					   .asks = config->verifier_asks,
					   .shows = config->verifier_shows,
					   .failing = config->verifier_failing,
					   .ca_file = config->verifier_ca_file[0] ? config->verifier_ca_file : NULL,
					   .timeout_ms = config->verifier_timeout_ms};
	char error[200];

	if (!config->verifier_url[0])
		return true;
	k->verifier = verifier_new(&verifier, error, sizeof(error));
	if (!k->verifier)
		fprintf(stderr, "boxoffice: %s\n", error);
	return k->verifier;
}

int serve_worker(const struct config *config, struct metrics *metrics, const struct serve_limits *limits,
		 unsigned services, int index, int listener, int own)
{
	struct worker *k = xcalloc(1, sizeof(*k));
	struct signal_watch *term, *ctrl_c;
	char application[40];
	sigset_t none;
	int status;

	memory_settings();
	snprintf(application, sizeof(application), "boxoffice serve %d", index);
	if (!app_init(&k->app, config, metrics, application))
		return 2;
	k->access = strcmp(config->access_log, "all") == 0 ? 2 : strcmp(config->access_log, "off") == 0 ? 0 : 1;
	struct web_config web = {.loop = k->app.loop,
				 .services = services,
				 .identify = auth_identify,
				 .identify_arg = k->app.auth,
				 .audit = audit_begin,
				 .audit_arg = k->app.staff,
				 .closed = closed,
				 .closed_arg = k,
				 .closed_retry_s = CLOSED_RETRY_S,
				 .verify = verify,
				 .verify_arg = k,
				 .done = on_done,
				 .done_arg = k,
				 .json_body_max = (size_t)config->json_bytes_max,
				 .limits = limits->limits,
				 .proxies = &limits->proxies,
				 .unlimited = &limits->unlimited};

	if (!make_verifier(k, config, limits->limits))
		return 2;
	k->web = web_new(&web);
	add_routes(k->web, k);
	label_routes(k);
	struct http_server_config http = {.head_max = (size_t)config->head_bytes_max,
					  .headers_max = (size_t)config->headers_max,
					  .body_max = (size_t)config->body_bytes_max,
					  .head_timeout_ms = config->head_timeout_ms,
					  .body_timeout_ms = config->body_timeout_ms,
					  .idle_timeout_ms = config->idle_timeout_ms,
					  .write_timeout_ms = config->write_timeout_ms,
					  .conns_max = (size_t)config->connections_max,
					  .conns_per_network = (size_t)config->connections_per_network,
					  .uncounted = {&limits->proxies, &limits->unlimited},
					  .handler = web_handle,
					  .done = web_done,
					  .error_body = web_error_body,
					  .body_limit = web_body_limit,
					  .random_bytes = crypto_random,
					  .arg = k->web};

	k->server = http_server_new(k->app.loop, &http);
	k->listener = listener;
	k->own = own;
	k->open_by_us = loop_now_us(k->app.loop) + OPEN_BY_MS * INT64_C(1000);
	k->open = timer_new(k->app.loop, on_open, k);
	timer_set_ms(k->open, 0);
	k->stats = timer_new(k->app.loop, on_stats, k);
	k->look = timer_new(k->app.loop, look, k);
	k->cut = timer_new(k->app.loop, on_drained, k);
	timer_set_ms(k->stats, STATS_MS);
	timer_set_ms(k->look, 0);
	term = signal_watch_new(k->app.loop, SIGTERM, on_term, k);
	ctrl_c = signal_watch_new(k->app.loop, SIGINT, on_int, k);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	loop_run(k->app.loop);
	status = k->exit_status;
	signal_watch_free(term);
	signal_watch_free(ctrl_c);
	timer_free(k->stats);
	timer_free(k->look);
	timer_free(k->cut);
	timer_free(k->open);
	verifier_free(k->verifier); /* its questions are about requests that end with the server */
	http_server_free(k->server);
	web_free(k->web);
	free(k->labels);
	app_done(&k->app);
	free(k);
	return status;
}
