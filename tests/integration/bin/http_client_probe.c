/*
 * io/http_client for a test to drive: http_client_probe CONNECTIONS_MAX [CA_FILE]
 *
 * A line on standard input is a call, in JSON: {"id", "method", "url", "headers", "body", "connect_ms", "total_ms",
 * "max"} or {"cancel": id} or {"chain": id, ...}: a call started from the callback of another. A line of output is an
 * answer. Ends at end of file, with whatever is open dropped.
 */
#include "base/json.h"
#include "base/xmalloc.h"
#include "io/http_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CALLS_MAX = 100, HEADERS_MAX = 20, LINE_MAX_ = 16 << 20 };

struct probe {
	struct loop *loop;
	struct http_client *client;
	struct fd_watch *watch;
	struct buf in;
	struct open_call {
		struct probe *probe;
		int id;
		struct http_call *call;
		json_t *chained;
		bool starting;
	} calls[CALLS_MAX];
};

static void start(struct probe *p, const json_t *line);

static void on_answer(void *arg, const struct http_call_answer *a)
{
	static const char *const names[] = {"answered", "not_sent", "unknown"};
	struct open_call *c = arg;
	json_t *chained = c->chained;
	json_t *out =
		json_pack("{s:i, s:s, s:i, s:s%, s:s%, s:I, s:b, s:b, s:s, s:I}", "id", c->id, "status",
	                  names[a->status], "http_status", a->http_status, "body", a->body.n ? a->body.p : "",
	                  a->body.n, "request_id", a->request_id.n ? a->request_id.p : "", a->request_id.n,
	                  "retry_after_s", (json_int_t)a->retry_after_s, "should_retry_said", a->should_retry_said,
	                  "should_retry", a->should_retry, "error", a->error, "took_us", (json_int_t)a->took_us);

	if (c->starting || !c->call || !out)
		abort();
	c->call = NULL;
	c->chained = NULL;
	json_dumpf(out, stdout, JSON_COMPACT);
	puts("");
	fflush(stdout);
	json_decref(out);
	if (chained)
		start(c->probe, chained);
	json_decref(chained);
}

static void start(struct probe *p, const json_t *line)
{
	const char *headers[HEADERS_MAX + 1] = {NULL};
	const json_t *list = json_object_get(line, "headers"), *body = json_object_get(line, "body");
	int id = (int)json_integer_value(json_object_get(line, "id"));
	struct open_call *c = &p->calls[id];
	struct http_call_spec spec = {
		.method = json_string_value(json_object_get(line, "method")),
		.url = json_string_value(json_object_get(line, "url")),
		.headers = headers,
		.body = {json_string_value(body), json_string_length(body)},
		.connect_timeout_ms = json_integer_value(json_object_get(line, "connect_ms")),
		.total_timeout_ms = json_integer_value(json_object_get(line, "total_ms")),
		.answer_max = (size_t)json_integer_value(json_object_get(line, "max")),
	};

	for (size_t i = 0; i < json_array_size(list) && i < HEADERS_MAX; i++)
		headers[i] = json_string_value(json_array_get(list, i));
	c->probe = p;
	c->id = id;
	c->starting = true;
	c->call = http_call_start(p->client, &spec, on_answer, c);
	c->starting = false;
}

static void on_line(struct probe *p, struct str text)
{
	struct error error = {0};
	json_t *line = json_read(text, 10, &error);
	const json_t *cancel = json_object_get(line, "cancel"), *chain = json_object_get(line, "chain");

	if (!line) {
		fprintf(stderr, "%s\n", error.detail);
		exit(2);
	}
	if (cancel) {
		struct open_call *c = &p->calls[json_integer_value(cancel)];

		http_call_cancel(c->call);
		c->call = NULL;
	} else if (chain) {
		p->calls[json_integer_value(chain)].chained = json_incref(line);
	} else {
		start(p, line);
	}
	json_decref(line);
}

static void on_input(void *arg, int events)
{
	struct probe *p = arg;
	char *room = buf_room(&p->in, 65536), *end;
	ssize_t n = room ? read(STDIN_FILENO, room, 65536) : -1;

	if (n <= 0) {
		loop_stop(p->loop);
		return;
	}
	p->in.n += (size_t)n;
	while ((end = memchr(p->in.p, '\n', p->in.n))) {
		size_t length = (size_t)(end - p->in.p);

		on_line(p, (struct str){p->in.p, length});
		buf_eat(&p->in, length + 1);
	}
}

int main(int argc, char **argv)
{
	struct probe *p = xcalloc(1, sizeof(*p));

	if (argc < 2)
		return 2;
	p->loop = loop_new();
	p->client = http_client_new(p->loop, (size_t)strtoul(argv[1], NULL, 10), argc > 2 ? argv[2] : NULL);
	p->watch = fd_watch_new(p->loop, STDIN_FILENO, on_input, p);
	buf_init(&p->in, LINE_MAX_);
	fd_watch_set(p->watch, LOOP_READ);
	loop_run(p->loop);
	fd_watch_free(p->watch);
	http_client_free(p->client);
	loop_free(p->loop);
	buf_done(&p->in);
	for (int i = 0; i < CALLS_MAX; i++)
		json_decref(p->calls[i].chained);
	free(p);
	return 0;
}
