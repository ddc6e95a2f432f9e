/* The other children of `up`: Redis, the payment simulator, serve, work: where they are found, how they are run, when they
 * are ready. */
#include "app/up_int.h"

#include "app/sync_http.h"
#include "io/http_server.h"

#include <errno.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PORT_WAIT_MS = 6000 };

bool up_in_path(const char *program, char *out, size_t size)
{
	const char *path = getenv("PATH");
	struct str rest = str_from(path ? path : "/usr/local/bin:/usr/bin:/bin"), one;

	while (rest.n) {
		rest = str_split(rest, ':', &one);
		if (one.n == 0 || one.n > size - 64)
			continue;
		up_path(out, size, "%.*s/%s", STR_FMT(one), program);
		if (access(out, X_OK) == 0)
			return true;
	}
	return false;
}

bool up_parts_find(struct up *up)
{
	ssize_t n = readlink("/proc/self/exe", up->own_exe, sizeof(up->own_exe) - 1);
	char *slash;

	if (n <= 0)
		return up_say("cannot find the own program: is /proc mounted?");
	up->own_exe[n] = '\0';
	if (!up_in_path("redis-server", up->redis_exe, sizeof(up->redis_exe)) &&
	    !up_in_path("valkey-server", up->redis_exe, sizeof(up->redis_exe)))
		return up_say("redis-server is not installed: apt-get install redis-server");
	slash = strrchr(up->own_exe, '/');
	up_path(up->paysim_exe, sizeof(up->paysim_exe), "%.*s/boxoffice-paysim", (int)(slash - up->own_exe),
		up->own_exe);
	if (access(up->paysim_exe, X_OK) != 0 &&
	    !up_in_path("boxoffice-paysim", up->paysim_exe, sizeof(up->paysim_exe)))
		return up_say("boxoffice-paysim, the payment simulator, is not beside %s: run make", up->own_exe);
	return true;
}

/* ---- ports ---- */

/* Free now? Then *ret_port is it. A child takes it a moment later. */
static bool probe(const char *host, int port, int *ret_port)
{
	uint16_t got;
	int fd = http_listen_tcp(host, (uint16_t)port, &got);
	int saved = errno;

	if (fd < 0) {
		errno = saved;
		return false;
	}
	close(fd);
	*ret_port = got;
	return true;
}

bool up_ports(struct up *up)
{
	char path[PATH_MAX + 32], text[16], *remembered;
	const char *host = up->config.host, *shown = host;
	int64_t until = up_now_ms();

	/* the workers of an `up` that was killed end by themselves, but not at once */
	up_path(path, sizeof(path), "%s/up.json", up->dir);
	if (access(path, F_OK) == 0)
		until += PORT_WAIT_MS;
	while (!probe(host, (int)up->config.port, &up->port)) {
		if (errno == EADDRINUSE && up_now_ms() < until && !up_stop_wanted()) {
			up_pump(up, 50);
			continue;
		}
		if (errno == EADDRINUSE)
			return up_say(
				"port %lld of %s is in use by another program; choose another with --port (0: any)",
				(long long)up->config.port, host);
		return up_say("cannot listen on %s port %lld: %s", host, (long long)up->config.port, strerror(errno));
	}
	up_json_remove(up);
	if (strcmp(host, "0.0.0.0") == 0)
		shown = "127.0.0.1";
	else if (strcmp(host, "::") == 0)
		shown = "::1";
	up_path(up->url, sizeof(up->url), strchr(shown, ':') ? "http://[%s]:%d" : "http://%s:%d", shown, up->port);

	/* the simulator's port stays the same from start to start: addresses of its pages are in its ledger */
	up_path(path, sizeof(path), "%s/paysim.port", up->dir);
	remembered = up_file_read(path, 10);
	if (!remembered || !probe("127.0.0.1", (int)strtol(remembered, NULL, 10) & 0xffff, &up->paysim_port))
		if (!probe("127.0.0.1", 0, &up->paysim_port))
			return up_say("no port is free for the payment simulator: %s", strerror(errno));
	free(remembered);
	snprintf(text, sizeof(text), "%d\n", up->paysim_port);
	up_path(up->payment_url, sizeof(up->payment_url), "http://127.0.0.1:%d", up->paysim_port);
	return up_file_write(path, 0600, text);
}

/* ---- Redis: a cache; nothing of it is kept ---- */

void up_redis_start(struct up *up, struct child *c)
{
	char path[PATH_MAX + 32];
	char *argv[] = {up->redis_exe,
			up_arg("--port"),
			up_arg("0"),
			up_arg("--unixsocket"),
			path,
			up_arg("--unixsocketperm"),
			up_arg("700"),
			up_arg("--save"),
			up_arg(""),
			up_arg("--appendonly"),
			up_arg("no"),
			up_arg("--maxmemory-policy"),
			up_arg("noeviction"),
			up_arg("--daemonize"),
			up_arg("no"),
			up_arg("--dir"),
			up->run,
			up_arg("--loglevel"),
			up_arg("notice"),
			NULL};

	up_path(path, sizeof(path), "%s/redis.sock", up->run);
	child_spawn(up, c, argv, geteuid(), getegid(), SIGTERM, NULL, NULL);
}

bool up_redis_answers(struct up *up)
{
	char path[PATH_MAX + 32];
	struct timeval limit = {0, 500000};
	redisContext *r;
	redisReply *reply = NULL;
	bool ok = false;

	up_path(path, sizeof(path), "%s/redis.sock", up->run);
	r = redisConnectUnixWithTimeout(path, limit);
	if (r && !r->err && redisSetTimeout(r, limit) == REDIS_OK)
		reply = redisCommand(r, "PING");
	if (reply)
		ok = reply->type == REDIS_REPLY_STATUS;
	if (reply)
		freeReplyObject(reply);
	if (r)
		redisFree(r);
	return ok;
}

/* ---- the payment simulator ---- */

void up_paysim_start(struct up *up, struct child *c)
{
	char db[PATH_MAX + 32], port[16], secret[PATH_MAX + 32], hook[sizeof(up->url) + 32];
	char *argv[] = {up->paysim_exe,
			up_arg("--db"),
			db,
			up_arg("--port"),
			port,
			up_arg("--webhook-url"),
			hook,
			up_arg("--webhook-secret-file"),
			secret,
			NULL};

	up_path(db, sizeof(db), "%s/paysim.db", up->dir);
	up_path(secret, sizeof(secret), "%s/secret/webhook.key", up->dir);
	up_path(hook, sizeof(hook), "%s/v1/payments/webhook", up->url);
	snprintf(port, sizeof(port), "%d", up->paysim_port);
	child_spawn(up, c, argv, geteuid(), getegid(), SIGTERM, NULL, NULL);
}

bool up_paysim_answers(struct up *up)
{
	struct http_answer a;
	bool ok = sync_http(up->payment_url, "GET", "/v1/payment_intents", NULL, NULL, STR_NULL, 500, &a);

	sync_http_done(&a);
	return ok; /* whatever it says */
}

/* ---- serve and work ---- */

bool up_writes_mails(const struct up *up)
{
	return !up->config.smtp_url[0] && !up->config.mail_dir[0];
}

static void start_own(struct up *up, struct child *c, const char *command)
{
	char key[PATH_MAX + 32], payment_key[PATH_MAX + 32], webhook_key[PATH_MAX + 32], mails[PATH_MAX + 32], port[16];
	char *argv[UP_ARGS_MAX];
	int n = 0;

	up_path(key, sizeof(key), "%s/secret/master.key", up->dir);
	up_path(payment_key, sizeof(payment_key), "%s/secret/payment.key", up->dir);
	up_path(webhook_key, sizeof(webhook_key), "%s/secret/webhook.key", up->dir);
	snprintf(port, sizeof(port), "%d", up->port);
	argv[n++] = up->own_exe;
	argv[n++] = up_arg(command);
	/* before what was given to us: that may say otherwise */
	argv[n++] = up_arg("--drain-timeout-ms");
	argv[n++] = up_arg("2000");
	argv[n++] = up_arg("--public-url");
	argv[n++] = up->url;
	if (up_writes_mails(up)) {
		up_path(mails, sizeof(mails), "%s/mail", up->dir);
		argv[n++] = up_arg("--mail-dir");
		argv[n++] = mails;
	}
	if (!strchr(up->dir, ':')) { /* which separates the folders of disk-paths */
		argv[n++] = up_arg("--disk-paths");
		argv[n++] = up->dir;
		argv[n++] = up_arg("--disk-free-min-mb");
		argv[n++] = up_arg("256");
	}
	for (int i = 0; i < up->n_passed; i++)
		argv[n++] = up->passed[i];
	argv[n++] = up_arg("--port");
	argv[n++] = port;
	argv[n++] = up_arg("--database-url");
	argv[n++] = up->app_database_url;
	argv[n++] = up_arg("--redis-url");
	argv[n++] = up->redis_url;
	argv[n++] = up_arg("--secret-file");
	argv[n++] = key;
	argv[n++] = up_arg("--payment-url");
	argv[n++] = up->payment_url;
	argv[n++] = up_arg("--payment-key-file");
	argv[n++] = payment_key;
	argv[n++] = up_arg("--payment-webhook-secret-file");
	argv[n++] = webhook_key;
	if (up->kafka) {
		argv[n++] = up_arg("--kafka-brokers");
		argv[n++] = up->kafka_brokers;
	}
	argv[n] = NULL;
	child_spawn(up, c, argv, geteuid(), getegid(), SIGTERM, NULL, NULL);
}

void up_serve_start(struct up *up, struct child *c)
{
	start_own(up, c, "serve");
}

void up_work_start(struct up *up, struct child *c)
{
	start_own(up, c, "work");
}

bool up_serve_answers(struct up *up)
{
	struct http_answer a;
	bool ok = sync_http(up->url, "GET", "/readyz", NULL, NULL, STR_NULL, 1000, &a) && a.status == 200 && a.json &&
		  strcmp(json_string_value(json_object_get(a.json, "status"))
				 ? json_string_value(json_object_get(a.json, "status"))
				 : "",
			 "ready") == 0;

	sync_http_done(&a);
	return ok;
}
