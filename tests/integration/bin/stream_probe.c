/*
 * Event streams without a box office: GET /stream opens one, GET /send/{n} sends an event of n bytes to all, GET /close closes
 * them in good order, GET /stats says how many there are, were told closed, and why. SIGTERM drains.
 *   stream_probe streams_max=100 per_session=1000 queue=65536 heartbeat_ms=200
 */
#include "io/crypto.h"
#include "io/http_stream.h"
#include "io/log.h"

#include "base/list.h"
#include "base/xmalloc.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct probe {
	struct loop *loop;
	struct http_server *server;
	struct http_streams *streams;
	struct list viewers;
	uint64_t sent, closed[4];
	bool inside; /* a call is on the stack in which nothing may be called back */
};

struct viewer {
	struct list link;
	struct probe *p;
	struct http_stream *st;
	bool told;
};

static void on_closed(void *arg, enum http_stream_end why)
{
	struct viewer *v = arg;

	/* once, and never inside a call */
	if (v->told || v->p->inside)
		abort();
	v->told = true;
	v->p->closed[why]++;
	list_remove(&v->link);
	free(v);
}

static void get_stream(struct web_call *call)
{
	struct probe *p = call->service;
	struct viewer *v = xcalloc(1, sizeof(*v));

	v->p = p;
	p->inside = true;
	v->st = web_stream(call, p->streams, on_closed, v);
	p->inside = false;
	if (v->st)
		list_append(&p->viewers, &v->link);
	else
		free(v);
}

static void get_send(struct web_call *call)
{
	struct probe *p = call->service;
	uint64_t n = 0;
	struct shared_bytes *event;
	char *text;

	str_to_u64(call->texts[0], 1 << 24, &n);
	text = xmalloc(n + 1);
	memset(text, 'x', n);
	event = http_stream_event("fill", ++p->sent, (struct str){text, n});
	p->inside = true;
	list_for_each(l, tmp, &p->viewers)
		http_stream_send(list_entry(l, struct viewer, link)->st, event);
	p->inside = false;
	shared_bytes_unref(event);
	free(text);
	web_empty(call, 204);
}

static void get_close(struct web_call *call)
{
	struct probe *p = call->service;

	p->inside = true;
	list_for_each(l, tmp, &p->viewers)
		http_stream_close(list_entry(l, struct viewer, link)->st);
	p->inside = false;
	web_empty(call, 204);
}

static void get_stats(struct web_call *call)
{
	struct probe *p = call->service;
	struct jw *w = web_json(call);

	jw_kint(w, "open", (int64_t)http_streams_count(p->streams));
	jw_kint(w, "conns", (int64_t)http_server_conns(p->server));
	jw_kint(w, "left", (int64_t)p->closed[HTTP_STREAM_LEFT]);
	jw_kint(w, "closed", (int64_t)p->closed[HTTP_STREAM_CLOSED]);
	jw_kint(w, "slow", (int64_t)p->closed[HTTP_STREAM_SLOW]);
	web_json_end(call, 200);
}

static const struct web_route routes[] = {
	{HTTP_GET, "/stream", get_stream, WEB_ANYBODY, 0, 0, false},
	{HTTP_GET, "/send/{n*}", get_send, WEB_ANYBODY, 0, 0, false},
	{HTTP_GET, "/close", get_close, WEB_ANYBODY, 0, 0, false},
	{HTTP_GET, "/stats", get_stats, WEB_ANYBODY, 0, 0, false},
};

static void identify(void *arg, struct web_call *call)
{
	/* everybody is the same session */
	struct who who = {.kind = WHO_SESSION, .session_id = {{1}}};

	web_identified(call, &who, ERR_NONE);
}

static void on_drained(void *arg)
{
	struct probe *p = arg;

	loop_stop(p->loop);
}

static void on_term(void *arg, int signo)
{
	struct probe *p = arg;

	http_streams_drain(p->streams);
	http_server_drain(p->server, 100, on_drained, p);
}

static uint64_t option(int argc, char **argv, const char *name, uint64_t absent)
{
	for (int i = 1; i < argc; i++) {
		struct str value, key;

		value = str_split(str_from(argv[i]), '=', &key);
		if (str_eqc(key, name))
			str_to_u64(value, UINT64_MAX, &absent);
	}
	return absent;
}

int main(int argc, char **argv)
{
	static struct metric_def defs[METRIC_COUNT_OF_ALL];
	static const char *const no_routes[] = {"-", NULL};
	struct probe p = {.loop = loop_new()};
	struct web_config web = {.loop = p.loop, .services = SERVICE_ALWAYS, .identify = identify};
	struct signal_watch *term = signal_watch_new(p.loop, SIGTERM, on_term, &p);
	struct http_streams_config streams = {.loop = p.loop,
					      .streams_max = option(argc, argv, "streams_max", 100),
					      .per_session_max = option(argc, argv, "per_session", 1000),
					      .queue_max = option(argc, argv, "queue", 65536),
					      .heartbeat_ms = (int64_t)option(argc, argv, "heartbeat_ms", 200),
					      .retry_ms = 1000};
	uint16_t port;
	int fd;

	list_init(&p.viewers);
	signal(SIGPIPE, SIG_IGN);
	crypto_init();
	metrics_table_fill(defs, no_routes);
	streams.metrics = metrics_new(defs, METRIC_COUNT_OF_ALL, 1);
	metrics_use_slot(streams.metrics, 0);
	p.streams = http_streams_new(&streams);
	struct web *w = web_new(&web);
	struct http_server_config http = {.head_max = 16384,
					  .headers_max = 64,
					  .body_max = 1024,
					  .head_timeout_ms = 10000,
					  .body_timeout_ms = 10000,
					  .idle_timeout_ms = 60000,
					  .write_timeout_ms = 10000,
					  .conns_max = 100000,
					  .handler = web_handle,
					  .done = web_done,
					  .error_body = web_error_body,
					  .body_limit = web_body_limit,
					  .random_bytes = crypto_random,
					  .arg = w};

	web_add(w, SERVICE_ALWAYS, routes, sizeof(routes) / sizeof(routes[0]), &p);
	p.server = http_server_new(p.loop, &http);
	fd = http_listen_tcp("127.0.0.1", 0, &port);
	if (fd < 0)
		return 1;
	http_server_listen(p.server, fd);
	printf("port %d\n", port);
	fflush(stdout);
	loop_run(p.loop);
	signal_watch_free(term);
	http_server_free(p.server);
	http_streams_free(p.streams);
	if (!list_empty(&p.viewers))
		return 3; /* somebody was not told */
	web_free(w);
	metrics_free(streams.metrics);
	loop_free(p.loop);
	return 0;
}
