/*
 * A program around the HTTP server, for its tests: answers with what it understood.
 *
 *	http_echo [name=number ...]	prints "port N", serves on loopback; SIGTERM drains, then it ends with 0; a second
 *					SIGTERM cuts everything. Not 0: a request was not ended exactly once
 *
 *   /static       200 bytes of JSON, always the same, shared
 *   /slow?ms=     answers that much later
 *   /hang         answers only when the client hangs up; ?ms= it asks to be told only that much later
 *   /stream       takes the descriptor, writes three lines over it, closes
 *   /shared?n=    n bytes, shared; /copied?n= the same, copied
 *   /late?n=      n bytes, shared, 20 ms later
 *   /small        no body above 100 bytes
 *   /split        tries to send a header with a line break in it
 *   /none         204; /unchanged 304
 *   /stats        counters, without counting this connection's own request
 *   anything else an echo; names and bytes that need not be UTF-8 in hexadecimal
 */
#include "base/json.h"
#include "base/list.h"
#include "base/xmalloc.h"
#include "io/http_server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

struct app {
	struct loop *loop;
	struct http_server *server;
	struct signal_watch *term;
	struct shared_bytes *fixed;
	struct http_server_config config;
	uint64_t linger_ms, nofile;
	bool draining, cut;
	struct list lates;
	uint64_t dispatched, handled, done, done_gone, hangups, streams;
};

struct late {
	struct list link;
	struct app *app;
	struct http_req *req;
	struct timer *timer;
	uint64_t n;
	int fd, lines;
};

static void random_bytes(void *out, size_t n)
{
	if (getrandom(out, n, 0) != (ssize_t)n)
		abort();
}

static const struct http_header as_json = {STR("Content-Type"), STR("application/json")};

static void key_hex(struct jw *w, const char *key, struct str v)
{
	char *text = xmalloc(2 * v.n + 1);

	hex_encode(v.p, v.n, text);
	jw_kcstr(w, key, text);
	free(text);
}

static void echo(struct app *app, struct http_req *req)
{
	struct buf out;
	struct jw w;

	buf_init(&out, SIZE_MAX / 8);
	jw_init(&w, &out);
	jw_obj(&w);
	jw_kcstr(&w, "known", http_method_name(req->method));
	jw_kstr(&w, "method", req->method_name);
	jw_kstr(&w, "target", req->target);
	jw_kstr(&w, "path", req->path);
	jw_kstr(&w, "query", req->query);
	jw_kuuid(&w, "id", &req->id);
	jw_kint(&w, "family", req->peer.ss_family);
	jw_key(&w, "headers");
	jw_arr(&w);
	for (size_t i = 0; i < req->n_headers; i++) {
		jw_obj(&w);
		jw_kstr(&w, "name", req->headers[i].name);
		key_hex(&w, "value", req->headers[i].value);
		jw_obj_end(&w);
	}
	jw_arr_end(&w);
	key_hex(&w, "body", req->body);
	jw_obj_end(&w);
	jw_done(&w);
	http_reply(req, 200, &as_json, 1, buf_str(&out));
	buf_done(&out);
}

static long resident_bytes(void)
{
	char text[128];
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	long pages = 0;

	if (fd >= 0)
		close(fd);
	if (n > 0) {
		char *at = memchr(text, ' ', (size_t)n);

		text[n] = '\0';
		if (at)
			pages = strtol(at, NULL, 10);
	}
	return pages * sysconf(_SC_PAGESIZE);
}

static void stats(struct app *app, struct http_req *req)
{
	struct rusage usage;
	struct buf out;
	struct jw w;

	getrusage(RUSAGE_SELF, &usage);
	buf_init(&out, 64 * 1024);
	jw_init(&w, &out);
	jw_obj(&w);
	jw_kint(&w, "handled", (int64_t)app->handled);
	jw_kint(&w, "done", (int64_t)app->done);
	jw_kint(&w, "gone", (int64_t)app->done_gone);
	jw_kint(&w, "hangups", (int64_t)app->hangups);
	jw_kint(&w, "streams", (int64_t)app->streams);
	jw_kint(&w, "conns", (int64_t)http_server_conns(app->server));
	jw_kint(&w, "resident", resident_bytes());
	jw_kint(&w, "cpu_us", (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 + usage.ru_utime.tv_usec +
				      usage.ru_stime.tv_usec);
	jw_key(&w, "refused");
	jw_obj(&w);
	for (int e = 1; e < ERR_COUNT; e++)
		if (http_server_refused(app->server, (enum err)e))
			jw_kint(&w, err_info((enum err)e)->code, (int64_t)http_server_refused(app->server, (enum err)e));
	jw_obj_end(&w);
	jw_obj_end(&w);
	jw_done(&w);
	http_reply(req, 200, &as_json, 1, buf_str(&out));
	buf_done(&out);
}

static uint64_t number(struct http_req *req, const char *name, uint64_t absent)
{
	struct str text;
	uint64_t n;

	return http_req_query(req, name, &text, NULL) && str_to_u64(text, 1u << 30, &n) ? n : absent;
}

static struct shared_bytes *letters(uint64_t n)
{
	char *p = xmalloc(n + 1);

	for (uint64_t i = 0; i < n; i++)
		p[i] = (char)('a' + i % 26);
	return shared_bytes_take(p, n);
}

static void late_free(struct late *l)
{
	list_remove(&l->link);
	timer_free(l->timer);
	free(l);
}

static void on_slow(void *arg)
{
	struct late *l = arg;

	l->app->handled++;
	http_reply(l->req, 200, &as_json, 1, STR("{\"slow\":true}"));
	late_free(l);
}

static void on_late(void *arg)
{
	struct late *l = arg;
	struct shared_bytes *b = letters(l->n);

	http_reply_shared(l->req, 200, NULL, 0, b);
	shared_bytes_unref(b);
	late_free(l);
}

static void on_hangup(void *arg)
{
	struct late *l = arg;

	l->app->hangups++;
	if (!http_req_hung_up(l->req))
		abort();
	http_reply(l->req, 200, NULL, 0, STR("nobody reads this"));
	late_free(l);
}

static void on_hang_asked(void *arg)
{
	struct late *l = arg;

	http_req_on_hangup(l->req, on_hangup, l);
}

static void on_stream(void *arg)
{
	struct late *l = arg;
	char line[32];
	int n = snprintf(line, sizeof(line), "data: %d\n\n", l->lines++);

	if (write(l->fd, line, (size_t)n) == n && l->lines < 3) {
		timer_set_ms(l->timer, 1);
		return;
	}
	close(l->fd);
	late_free(l);
}

static struct late *late_new(struct app *app, struct http_req *req, loop_fn *fn, uint64_t ms)
{
	struct late *l = xcalloc(1, sizeof(*l));

	list_append(&app->lates, &l->link);
	l->app = app;
	l->req = req;
	l->timer = timer_new(app->loop, fn, l);
	timer_set_ms(l->timer, (int64_t)ms);
	return l;
}

static void stream(struct app *app, struct http_req *req)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
	struct late *l = late_new(app, req, on_stream, 1);

	app->streams++;
	l->fd = http_req_take_fd(req);
	if (write(l->fd, head, sizeof(head) - 1) < 0 && errno != EPIPE && errno != ECONNRESET)
		abort();
}

static void big(struct http_req *req, bool shared)
{
	struct shared_bytes *b = letters(number(req, "n", 0));

	if (shared)
		http_reply_shared(req, 200, NULL, 0, b);
	else
		http_reply(req, 200, NULL, 0, shared_bytes_str(b));
	shared_bytes_unref(b);
}

static void handler(void *arg, struct http_req *req)
{
	struct app *app = arg;

	app->dispatched++;
	if (str_eqc(req->path, "/static")) {
		http_reply_shared(req, 200, &as_json, 1, app->fixed);
		return;
	}
	if (str_eqc(req->path, "/stats")) {
		stats(app, req);
		return;
	}
	if (str_eqc(req->path, "/slow")) {
		late_new(app, req, on_slow, number(req, "ms", 50));
		return;
	}
	app->handled++;
	if (str_eqc(req->path, "/late")) {
		late_new(app, req, on_late, 20)->n = number(req, "n", 0);
	} else if (str_eqc(req->path, "/hang")) {
		uint64_t ms = number(req, "ms", 0);
		struct late *l = late_new(app, req, on_hang_asked, ms);

		if (ms == 0) {
			timer_clear(l->timer);
			on_hang_asked(l);
		}
	} else if (str_eqc(req->path, "/stream")) {
		stream(app, req);
	} else if (str_eqc(req->path, "/shared") || str_eqc(req->path, "/copied")) {
		big(req, str_eqc(req->path, "/shared"));
	} else if (str_eqc(req->path, "/split")) {
		http_reply(req, 200, (struct http_header[]){{STR("X-A"), STR("1\r\nX-B: 2")}}, 1, STR("x"));
	} else if (str_eqc(req->path, "/none") || str_eqc(req->path, "/unchanged")) {
		http_reply(req, str_eqc(req->path, "/none") ? 204 : 304, NULL, 0, STR("never sent"));
	} else {
		echo(app, req);
	}
}

static void on_done(void *arg, struct http_req *req, int status, size_t bytes_out)
{
	struct app *app = arg;

	app->done++;
	if (status == 0)
		app->done_gone++;
	else if (bytes_out == 0 && !str_eqc(req->path, "/stream"))
		abort();
}

static void error_body(void *arg, enum err code, const char *detail, const struct uuid *id, struct buf *out)
{
	struct jw w;

	jw_init(&w, out);
	jw_obj(&w);
	jw_kint(&w, "status", err_info(code)->http_status);
	jw_kcstr(&w, "code", err_info(code)->code);
	jw_kcstr(&w, "detail", detail);
	jw_kuuid(&w, "request_id", id);
	jw_obj_end(&w);
	jw_done(&w);
}

static size_t body_limit(void *arg, const struct http_req *req)
{
	return str_eqc(req->path, "/small") ? 100 : SIZE_MAX;
}

static void on_drained(void *arg)
{
	struct app *app = arg;

	loop_stop(app->loop);
}

static void on_term(void *arg, int signo)
{
	struct app *app = arg;

	if (app->draining) {
		app->cut = true;
		loop_stop(app->loop);
		return;
	}
	app->draining = true;
	http_server_drain(app->server, (int64_t)app->linger_ms, on_drained, app);
}

static void option(struct app *app, const char *text)
{
	struct http_server_config *c = &app->config;
	struct str name, value = str_split(str_from(text), '=', &name);
	uint64_t n;

	if (!str_to_u64(value, 1u << 30, &n)) {
		fprintf(stderr, "http_echo: not name=number: %s\n", text);
		exit(2);
	}
	if (str_eqc(name, "head_max"))
		c->head_max = n;
	else if (str_eqc(name, "headers_max"))
		c->headers_max = n;
	else if (str_eqc(name, "body_max"))
		c->body_max = n;
	else if (str_eqc(name, "head_ms"))
		c->head_timeout_ms = (int64_t)n;
	else if (str_eqc(name, "body_ms"))
		c->body_timeout_ms = (int64_t)n;
	else if (str_eqc(name, "idle_ms"))
		c->idle_timeout_ms = (int64_t)n;
	else if (str_eqc(name, "write_ms"))
		c->write_timeout_ms = (int64_t)n;
	else if (str_eqc(name, "conns_max"))
		c->conns_max = n;
	else if (str_eqc(name, "linger_ms"))
		app->linger_ms = n;
	else if (str_eqc(name, "nofile"))
		app->nofile = n;
	else
		exit(2);
}

int main(int argc, char **argv)
{
	struct late *late;
	char fixed[201];
	struct app app = {.linger_ms = 100};
	uint16_t port;
	int fd;

	app.config = (struct http_server_config){
		.head_max = 16 * 1024, .headers_max = 64, .body_max = 1024 * 1024, .head_timeout_ms = 10000,
		.body_timeout_ms = 10000, .idle_timeout_ms = 60000, .write_timeout_ms = 10000, .conns_max = 16000,
		.handler = handler, .done = on_done, .error_body = error_body, .body_limit = body_limit,
		.random_bytes = random_bytes, .arg = &app,
	};
	for (int i = 1; i < argc; i++)
		option(&app, argv[i]);
	if (app.nofile)
		setrlimit(RLIMIT_NOFILE, &(struct rlimit){app.nofile, app.nofile});
	/* a stream's reader may be gone */
	signal(SIGPIPE, SIG_IGN);
	memset(fixed, 'x', 200);
	memcpy(fixed, "{\"text\":\"", 9);
	memcpy(fixed + 198, "\"}", 2);
	list_init(&app.lates);
	app.loop = loop_new();
	app.fixed = shared_bytes_new((struct str){fixed, 200});
	app.server = http_server_new(app.loop, &app.config);
	app.term = signal_watch_new(app.loop, SIGTERM, on_term, &app);
	fd = http_listen_tcp("127.0.0.1", 0, &port);
	if (fd < 0) {
		perror("http_echo: listen");
		return 1;
	}
	http_server_listen(app.server, fd);
	printf("port %u\n", (unsigned)port);
	fflush(stdout);
	loop_run(app.loop);
	if (http_server_conns(app.server) != 0 && !app.cut)
		abort();
	http_server_free(app.server);
	if (app.done != app.dispatched) {
		fprintf(stderr, "http_echo: %llu requests, %llu ended\n", (unsigned long long)app.dispatched,
			(unsigned long long)app.done);
		return 1;
	}
	while ((late = list_first(&app.lates, struct late, link)))
		late_free(late);
	signal_watch_free(app.term);
	shared_bytes_unref(app.fixed);
	loop_free(app.loop);
	return 0;
}
