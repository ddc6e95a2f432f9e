/*
 * `boxoffice up`: everything on one machine.
 *
 *   starting: PostgreSQL and Redis and the simulator -> roles, schema, organiser -> serve and work -> ready -> demo -> up.json
 *   running:  whoever dies is started again, and said so
 *   stopping: serve (open requests are answered), work, the simulator, Redis, PostgreSQL; 5 seconds in all. Kafka is told
 *             when work has ended, and may take 20 seconds
 *
 * Whatever fails while starting is one sentence and exit status 1, and what was started is stopped again.
 */
#include "app/up_int.h"

#include "app/app.h"
#include "base/xmalloc.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READY_MS = 60000, READY_KAFKA_MS = 120000, POLL_MS = 15 };
/* Each until then after the stop began; PostgreSQL has the rest of five seconds. */
enum { STOP_SERVE_MS = 2900, STOP_WORK_MS = 3300, STOP_PAYSIM_MS = 3600, STOP_REDIS_MS = 3900, STOP_PG_MS = 4500 };
enum { STOP_KAFKA_MS = 20000 };

extern char **environ;

/* ---- options ---- */

/* What up decides itself: giving it as an option is a misunderstanding. */
static const char *const own[] = {"database-url",
				  "migrate-url",
				  "redis-url",
				  "secret-file",
				  "payment-url",
				  "payment-key-file",
				  "payment-webhook-secret-file",
				  "service"};

static bool loopback(const char *host)
{
	struct in_addr v4;
	struct in6_addr v6;

	if (strcmp(host, "localhost") == 0)
		return true;
	if (inet_pton(AF_INET, host, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

/* Settings given to us go on to serve and work; -1 or an exit status. */
static int pass_on(struct up *up, int argc, char **argv, const struct config_extra *extra)
{
	up->passed = xcalloc((size_t)argc + 1, sizeof(*up->passed));
	for (int i = 0; i < argc; i++) {
		const char *name = argv[i] + 2, *equals = strchr(name, '=');
		size_t n = equals ? (size_t)(equals - name) : strlen(name);
		bool ours = false, value = !equals;

		for (const struct config_extra *x = extra; x->name; x++)
			if (strlen(x->name) == n && memcmp(x->name, name, n) == 0) {
				ours = true;
				value = value && x->takes_value;
			}
		for (size_t k = 0; k < sizeof(own) / sizeof(own[0]); k++)
			if (strlen(own[k]) == n && memcmp(own[k], name, n) == 0) {
				up_say("up brings its own servers and keys and takes no --%s; for others use serve, "
				       "work and migrate",
				       own[k]);
				return 2;
			}
		if (!ours) {
			if (up->n_passed + 2 > UP_ARGS_MAX - 24) {
				up_say("too many options");
				return 2;
			}
			up->passed[up->n_passed++] = argv[i];
			if (value)
				up->passed[up->n_passed++] = argv[i + 1];
		}
		i += value;
	}
	return -1;
}

static int read_options(struct up *up, int argc, char **argv, const char **ret_dir)
{
	struct config_extra extra[] = {
		{"dir", true, "The folder for data, keys and logs. [var]", NULL},
		{"no-demo", false, "Start without the demo venue and its shows.", NULL},
		{"kafka", false, "Start a Kafka broker too, and send events there (Java 17, `make kafka`).", NULL},
		{"insecure-http", false, "Allow --host to be an address that others can reach, without TLS.", NULL},
		{0},
	};
	int status = config_read(
		"boxoffice up",
		"Starts everything on this machine: a private PostgreSQL and Redis on sockets in --dir, the payment "
		"simulator, a Kafka broker if asked for, serve and work. Ctrl-C stops all; the data stays. Settings of "
		"serve and work may be given too.",
		argc, argv, extra, &up->config);

	if (status < 0)
		status = pass_on(up, argc, argv, extra);
	if (status >= 0)
		return status;
	if (!loopback(up->config.host) && !extra[3].value) {
		up_say("--host %s can be reached by others, and up speaks HTTP without TLS: passwords and tickets "
		       "would travel in the clear. "
		       "Put a gateway with TLS before it, or give --insecure-http if you mean it",
		       up->config.host);
		return 1;
	}
	up->demo = !extra[1].value;
	up->kafka = extra[2].value != NULL;
	if (up->kafka && up->config.kafka_brokers[0]) {
		up_say("--kafka starts a broker here, and kafka-brokers names another: give one of the two");
		return 2;
	}
	*ret_dir = extra[0].value ? extra[0].value : "var";
	return -1;
}

/* PGHOST, PGOPTIONS, ... of the caller are about another server. */
static void forget_pg_environment(void)
{
	for (char **e = environ; *e;) {
		char name[64];
		size_t n = strcspn(*e, "=");

		if (strncmp(*e, "PG", 2) == 0 && n < sizeof(name)) {
			memcpy(name, *e, n);
			name[n] = '\0';
			unsetenv(name);
			e = environ;
		} else {
			e++;
		}
	}
}

/* ---- starting ---- */

static void begin(struct up *up, int which, const char *name, void (*start)(struct up *up, struct child *c))
{
	struct child *c = &up->children[which];

	c->name = name;
	c->start = start;
	start(up, c);
}

/* Waits until it answers for the first time. */
static bool ready(struct up *up, int which, bool (*answers)(struct up *up))
{
	struct child *c = &up->children[which];
	int patience_ms = which == CHILD_KAFKA ? READY_KAFKA_MS : READY_MS;
	int64_t until = up_now_ms() + patience_ms;
	char how[32], words[512];

	while (!up_stop_wanted()) {
		if (c->state == CHILD_FAILED) {
			child_last_words(up, c->name, words, sizeof(words));
			return up_say("%s did not start (%s): %s (%s/log/%s.log)", c->name, child_how(c, how), words,
				      up->dir, c->name);
		}
		if (c->state == CHILD_RUNNING && answers(up)) {
			c->known = true;
			return true;
		}
		if (up_now_ms() > until)
			return up_say("%s was not ready within %d s (%s/log/%s.log)", c->name, patience_ms / 1000,
				      up->dir, c->name);
		up_pump(up, POLL_MS);
	}
	return false;
}

/* A step whose own sentence stands in its log. */
static bool step(struct up *up, const char *name, int (*body)(struct up *up))
{
	char words[600];

	if (child_run_step(up, name, NULL, geteuid(), getegid(), body) == 0)
		return true;
	if (up_stop_wanted())
		return false;
	child_last_words(up, name, words, sizeof(words));
	return up_say("%s", strncmp(words, "boxoffice: ", 11) == 0 ? words + 11 : words);
}

static bool read_token(struct up *up)
{
	char path[PATH_MAX + 64], *token;

	up_path(path, sizeof(path), "%s/secret/admin.token", up->dir);
	token = up_file_read(path, sizeof(up->token) - 1);
	if (!token)
		return up_say("%s cannot be read", path);
	token[strcspn(token, "\r\n")] = '\0';
	snprintf(up->token, sizeof(up->token), "%s", token);
	free(token);
	return true;
}

static bool stays(struct up *up)
{
	return true;
}

static double seconds(int64_t since_ms)
{
	return (double)(up_now_ms() - since_ms) / 1000;
}

static bool start_all(struct up *up)
{
	int64_t at = up_now_ms();

	if (!up_pg_make(up))
		return false;
	if (seconds(at) > 0.2)
		up_tell("  database made          %5.2f s", seconds(at));
	at = up_now_ms();
	if (up->kafka && !up_kafka_make(up))
		return false;
	if (up->kafka)
		begin(up, CHILD_KAFKA, "kafka", up_kafka_start);
	begin(up, CHILD_POSTGRES, "postgres", up_pg_start);
	begin(up, CHILD_REDIS, "redis", up_redis_start);
	begin(up, CHILD_PAYSIM, "paysim", up_paysim_start);
	if (!ready(up, CHILD_POSTGRES, up_pg_answers) || !ready(up, CHILD_REDIS, up_redis_answers))
		return false;
	up_tell("  PostgreSQL, Redis      %5.2f s", seconds(at));
	at = up_now_ms();
	if (!step(up, "prepare", up_prepare) || !read_token(up))
		return false;
	up_tell("  schema                 %5.2f s", seconds(at));
	if (up->kafka) {
		at = up_now_ms();
		if (!ready(up, CHILD_KAFKA, up_kafka_answers))
			return false;
		up_tell("  Kafka                  %5.2f s", seconds(at));
	}
	at = up_now_ms();
	begin(up, CHILD_SERVE, "serve", up_serve_start);
	begin(up, CHILD_WORK, "work", up_work_start);
	if (!ready(up, CHILD_PAYSIM, up_paysim_answers) || !ready(up, CHILD_SERVE, up_serve_answers) ||
	    !ready(up, CHILD_WORK, stays))
		return false;
	up_tell("  serve, work, simulator %5.2f s", seconds(at));
	if (up->demo) {
		at = up_now_ms();
		if (!step(up, "seed", up_seed))
			return false;
		up_tell("  demo                   %5.2f s", seconds(at));
	}
	return up_json_write(up);
}

static void announce(struct up *up)
{
	char mails[PATH_MAX + 80] = "";

	if (up_writes_mails(up))
		up_path(mails, sizeof(mails), "  mails     none is sent: they are files in %s/mail\n", up->dir);
	up_tell("\nReady after %.1f s.\n"
		"  open      %s%s\n"
		"  data      %s  (logs in %s/log)\n"
		"%s"
		"  API       token, database and Redis addresses are in %s/up.json\n"
		"  stop      Ctrl-C; the data stays, and `up` goes on with it\n",
		seconds(up->began_ms), up->url,
		up->demo ? "  (a theatre with three evenings on sale; test card pm_card_visa)" : "", up->dir, up->dir,
		mails, up->dir);
}

/* ---- stopping ---- */

static void stop_all(struct up *up)
{
	int64_t began = up_now_ms();
	static const struct {
		int which, signo, by_ms;
	} order[] = {
		{CHILD_SERVE, SIGTERM, STOP_SERVE_MS},	 {CHILD_WORK, SIGTERM, STOP_WORK_MS},
		{CHILD_PAYSIM, SIGTERM, STOP_PAYSIM_MS}, {CHILD_REDIS, SIGTERM, STOP_REDIS_MS},
		{CHILD_POSTGRES, SIGINT, STOP_PG_MS},	 {CHILD_KAFKA, SIGTERM, STOP_KAFKA_MS},
	};

	up_json_remove(up);
	up->stopping = true;
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		struct child *c = &up->children[order[i].which];

		child_stop(up, c, order[i].signo, began + order[i].by_ms);
		/* it takes the longest: it goes while the others do */
		if (order[i].which == CHILD_WORK && up->children[CHILD_KAFKA].state == CHILD_RUNNING)
			kill(up->children[CHILD_KAFKA].pid, SIGTERM);
		if (c->unclean)
			up_say("%s did not stop in time and was killed%s", c->name,
			       order[i].which == CHILD_POSTGRES ? "; PostgreSQL recovers when it is started again"
								: "");
	}
}

/* ---- */

static int run(struct up *up, const char *dir)
{
	int status = 1;

	if (!up_dir_open(up, dir))
		return 1;
	if (!up_pg_find(up) || !up_parts_find(up) || (up->kafka && !up_kafka_find(up)) || !up_run_open(up) ||
	    !up_secrets(up) || !up_ports(up))
		goto out;
	up_tell("boxoffice: starting in %s", up->dir);
	if (start_all(up)) {
		announce(up);
		while (!up_stop_wanted())
			up_pump(up, 1000);
	}
	if (up_stop_wanted()) {
		up_tell("boxoffice: stopping");
		status = 0;
	}
	up->began_ms = up_now_ms();
	stop_all(up);
	if (status == 0)
		up_tell("boxoffice: stopped after %.1f s", seconds(up->began_ms));
out:
	up_run_close(up);
	up_dir_close(up);
	return status;
}

int up_main(int argc, char **argv)
{
	struct up *up = xcalloc(1, sizeof(*up));
	const char *dir = NULL;
	int status = read_options(up, argc, argv, &dir);

	if (status < 0) {
		up->began_ms = up_now_ms();
		up_signals();
		forget_pg_environment();
		if (crypto_init())
			status = run(up, dir);
		else
			status = up_say("the system gives no random numbers");
	}
	free(up->passed);
	free(up);
	return status;
}
