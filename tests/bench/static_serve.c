/*
 * The denominator of whatever is compared with a static answer: the program's own HTTP server and web layer around bytes that
 * never change, in worker processes that share a listening socket, as `boxoffice serve` has them.
 *
 *	bench_static [WORKERS [PORT]]	prints "port N"; SIGTERM or SIGINT ends it
 *
 *   GET /static/<n>   n bytes of JSON (11 at least), built once per worker; a strong ETag, and 304 to whoever has it
 */
#include "base/list.h"
#include "base/xmalloc.h"
#include "io/crypto.h"
#include "io/web.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORKERS_MAX = 256, BYTES_MIN = 11, BYTES_MAX = 64 * 1024 * 1024 };

struct body {
	struct list link;
	uint64_t n;
	char etag[32];
	struct shared_bytes *bytes;
};

struct worker {
	struct loop *loop;
	struct list bodies;
};

static struct body *body_of(struct worker *k, uint64_t n)
{
	struct body *b;
	char *text;

	list_for_each(at, next, &k->bodies) {
		b = list_entry(at, struct body, link);
		if (b->n == n)
			return b;
	}
	b = xcalloc(1, sizeof(*b));
	list_append(&k->bodies, &b->link);
	b->n = n;
	snprintf(b->etag, sizeof(b->etag), "\"static-%llu\"", (unsigned long long)n);
	text = xmalloc(n);
	memset(text, 'x', n);
	memcpy(text, "{\"text\":\"", 9);
	memcpy(text + n - 2, "\"}", 2);
	b->bytes = shared_bytes_take(text, n);
	return b;
}

static void get_static(struct web_call *call)
{
	struct worker *k = call->service;
	struct body *b;
	uint64_t n;

	if (!str_to_u64(call->texts[0], BYTES_MAX, &n) || n < BYTES_MIN) {
		web_refuse(call, ERR_NOT_FOUND, NULL);
		return;
	}
	b = body_of(k, n);
	struct http_header headers[] = {{STR("Content-Type"), STR("application/json")},
					{STR("ETag"), str_from(b->etag)},
					{STR("Cache-Control"), STR("no-cache")}};

	if (web_etag_matches(call, str_from(b->etag)))
		web_bytes(call, 304, headers + 1, 2, STR(""));
	else
		web_shared(call, 200, headers, 3, b->bytes);
}

static const struct web_route routes[] = {
	{HTTP_GET, "/static/{size*}", get_static, WEB_ANYBODY, 0, 0, false},
};

static void identify(void *arg, struct web_call *call)
{
	struct who nobody = {.kind = WHO_NOBODY};

	web_identified(call, &nobody, ERR_NONE);
}

static void on_term(void *arg, int signo)
{
	struct worker *k = arg;

	loop_stop(k->loop);
}

static int work(int listener)
{
	struct worker k = {.loop = loop_new()};
	struct web_config config = {.loop = k.loop, .services = SERVICE_ALL, .identify = identify};
	struct web *web = web_new(&config);
	struct http_server_config http = {.head_max = 16 * 1024,
					  .headers_max = 64,
					  .body_max = 1024 * 1024,
					  .head_timeout_ms = 10000,
					  .body_timeout_ms = 30000,
					  .idle_timeout_ms = 75000,
					  .write_timeout_ms = 60000,
					  .conns_max = 20000,
					  .handler = web_handle,
					  .done = web_done,
					  .error_body = web_error_body,
					  .body_limit = web_body_limit,
					  .random_bytes = crypto_random,
					  .arg = web};
	struct http_server *server = http_server_new(k.loop, &http);
	struct signal_watch *term = signal_watch_new(k.loop, SIGTERM, on_term, &k);

	list_init(&k.bodies);
	web_add(web, SERVICE_ALWAYS, routes, sizeof(routes) / sizeof(routes[0]), &k);
	http_server_listen(server, listener);
	loop_run(k.loop);
	signal_watch_free(term);
	http_server_free(server);
	web_free(web);
	list_for_each(at, next, &k.bodies) {
		struct body *b = list_entry(at, struct body, link);

		list_remove(&b->link);
		shared_bytes_unref(b->bytes);
		free(b);
	}
	loop_free(k.loop);
	return 0;
}

static void descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static bool number(const char *text, uint64_t max, uint64_t *ret)
{
	if (str_to_u64(str_from(text), max, ret))
		return true;
	fprintf(stderr, "usage: bench_static [WORKERS [PORT]]\n");
	return false;
}

int main(int argc, char **argv)
{
	uint64_t workers = 2, wanted = 0;
	uint16_t port;
	int listener, signo;
	sigset_t set, before;

	if ((argc > 1 && !number(argv[1], WORKERS_MAX, &workers)) || (argc > 2 && !number(argv[2], 65535, &wanted)))
		return 2;
	if (!crypto_init())
		return 1;
	descriptors();
	signal(SIGPIPE, SIG_IGN);
	listener = http_listen_tcp("127.0.0.1", (uint16_t)wanted, &port);
	if (listener < 0) {
		perror("bench_static: listen");
		return 1;
	}
	/* before there are children, so that the end of none is missed */
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, &before);
	for (uint64_t i = 0; i < workers; i++) {
		pid_t parent = getpid(), pid = fork();

		if (pid < 0) {
			perror("bench_static: fork");
			return 1;
		}
		if (pid == 0) {
			/* ends with its parent, however that one ends */
			prctl(PR_SET_PDEATHSIG, SIGTERM);
			if (getppid() != parent)
				_exit(1);
			sigprocmask(SIG_SETMASK, &before, NULL);
			_exit(work(listener));
		}
	}
	close(listener);
	printf("port %u\n", (unsigned)port);
	fflush(stdout);
	sigwait(&set, &signo);
	/* a worker that ended by itself is an error; the others end with us */
	return signo == SIGCHLD ? 1 : 0;
}
