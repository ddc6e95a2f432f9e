/*
 * `boxoffice serve`: the HTTP API. The parent owns the listening sockets and the workers; a worker owns a struct app.
 *
 *   parent:  LISTEN -> RUNNING (a worker that dies is replaced) -> DRAINING (SIGTERM, SIGINT) -> done
 *            SIGHUP: workers are replaced one by one; nobody is turned away
 *   worker:  STARTING -> SERVING -> DRAINING (SIGTERM: accept queues emptied, open requests answered) -> exit
 */
#include "app/app.h"
#include "app/notify.h"
#include "app/schema.h"
#include "app/serve_int.h"
#include "base/times.h"
#include "base/xmalloc.h"
#include "io/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WORKERS_MAX = 256, RESTART_MS = 200 };

struct child {
	pid_t pid; /* 0: not running */
	int64_t started_ms, start_at_ms;
	bool leaving;
};

struct parent {
	const struct config *config;
	unsigned services;
	struct metrics *metrics;
	struct serve_limits limits;
	struct metric_def defs[METRIC_COUNT_OF_ALL];
	const char **route_names;
	int listener;
	int own[WORKERS_MAX]; /* listeners of each worker's own address, or -1 */
	struct child children[WORKERS_MAX];
	int n;
	pid_t guard; /* looks at a database that was away when we started; 0: it was looked at */
	bool stopping;
	int exit_status;
};

static volatile sig_atomic_t got_term, got_hup, got_child;

static void on_signal(int signo)
{
	if (signo == SIGHUP)
		got_hup = 1;
	else if (signo == SIGCHLD)
		got_child = 1;
	else
		got_term = 1;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static bool services_read(const char *text, unsigned *ret)
{
	static const struct {
		const char *name;
		unsigned bit;
	} names[] = {{"all", SERVICE_ALL},	   {"event", SERVICE_EVENT},	 {"seat", SERVICE_SEAT},
		     {"booking", SERVICE_BOOKING}, {"payment", SERVICE_PAYMENT}, {"ticket", SERVICE_TICKET},
		     {"web", SERVICE_WEB}};
	struct str rest = str_from(text), one;

	*ret = 0;
	while (rest.n) {
		unsigned bit = 0;

		rest = str_split(rest, ',', &one);
		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
			if (str_eqc(str_trim(one), names[i].name))
				bit = names[i].bit;
		if (!bit) {
			fprintf(stderr,
				"boxoffice: --service takes all or some of event,seat,booking,payment,ticket,web; "
				"\"%.*s\" is "
				"none of them\n",
				STR_FMT(one));
			return false;
		}
		*ret |= bit;
	}
	return *ret != 0;
}

static void spawn(struct parent *p, int i)
{
	pid_t parent = getpid();
	pid_t pid = fork();

	p->children[i].started_ms = now_ms();
	p->children[i].leaving = false;
	if (pid < 0) {
		p->children[i].start_at_ms = now_ms() + 1000;
		return;
	}
	if (pid == 0) {
		/* a worker does not outlive its parent */
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		if (getppid() != parent)
			_exit(1);
		for (int k = 0; k < p->n; k++)
			if (k != i && p->own[k] >= 0)
				close(p->own[k]);
		metrics_use_slot(p->metrics, i);
		log_setup(LOG_INFO, "serve", i);
		_exit(serve_worker(p->config, p->metrics, &p->limits, p->services, i, p->listener, p->own[i]));
	}
	p->children[i].pid = pid;
}

/* The database was reached: it is one for us, or there is nothing to wait for. */
static void guard_ended(struct parent *p, int status)
{
	p->guard = 0;
	if (p->stopping)
		return;
	if (WIFEXITED(status) && WEXITSTATUS(status) != SCHEMA_FITS && WEXITSTATUS(status) != SCHEMA_AWAY) {
		p->exit_status = WEXITSTATUS(status);
		p->stopping = true;
		return;
	}
	notify("READY=1\nSTATUS=selling");
}

static void reap(struct parent *p)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == p->guard)
			guard_ended(p, status);
		for (int i = 0; i < p->n; i++) {
			struct child *c = &p->children[i];

			if (c->pid != pid)
				continue;
			c->pid = 0;
			/* what it cannot start with no replacement can either */
			if (WIFEXITED(status) && (WEXITSTATUS(status) == SCHEMA_UNFIT || WEXITSTATUS(status) == 2)) {
				p->exit_status = WEXITSTATUS(status);
				p->stopping = true;
			}
			if (p->stopping || c->leaving) {
				c->start_at_ms = 0;
				continue;
			}
			if (WIFSIGNALED(status))
				log_line(LOG_ERROR, "a worker was killed by a signal; it is replaced",
					 LOG_I("worker_pid", pid), LOG_I("signal", WTERMSIG(status)));
			else
				log_line(LOG_ERROR, "a worker ended by itself; it is replaced",
					 LOG_I("worker_pid", pid), LOG_I("status", WEXITSTATUS(status)));
			/* at once, unless it died young */
			c->start_at_ms = now_ms() - c->started_ms < 1000 ? now_ms() + RESTART_MS : now_ms();
		}
	}
}

static int living(const struct parent *p)
{
	int n = 0;

	for (int i = 0; i < p->n; i++)
		n += p->children[i].pid != 0;
	return n;
}

static void tell(struct parent *p, int signo)
{
	for (int i = 0; i < p->n; i++)
		if (p->children[i].pid)
			kill(p->children[i].pid, signo);
}

static void pause_ms(int64_t ms)
{
	struct timespec ts = {ms / 1000, ms % 1000 * 1000000};
	sigset_t none;

	sigemptyset(&none);
	/* signals are blocked except while waiting here, so none is missed */
	ppoll(NULL, 0, &ts, &none);
}

/* Workers are replaced one by one: the new one listens before the old one drains. */
static void replace_all(struct parent *p)
{
	for (int i = 0; i < p->n && !got_term; i++) {
		pid_t old = p->children[i].pid;
		int64_t give_up = now_ms() + p->config->drain_timeout_ms + 2000;

		if (!old)
			continue;
		p->children[i].leaving = true;
		kill(old, SIGTERM);
		while (p->children[i].pid && now_ms() < give_up) {
			pause_ms(50);
			reap(p);
		}
		if (p->children[i].pid) {
			kill(p->children[i].pid, SIGKILL);
			waitpid(p->children[i].pid, NULL, 0);
			p->children[i].pid = 0;
		}
		spawn(p, i);
		pause_ms(200);
	}
	log_line(LOG_INFO, "workers replaced", LOG_I("workers", p->n));
	notify("READY=1");
}

static void close_listeners(struct parent *p)
{
	close(p->listener);
	for (int i = 0; i < p->n; i++)
		if (p->own[i] >= 0)
			close(p->own[i]);
}

static void parent_run(struct parent *p)
{
	int64_t give_up = 0;

	for (;;) {
		if (got_child) {
			got_child = 0;
			reap(p);
		}
		if ((got_term || p->stopping) && !give_up) {
			p->stopping = true;
			give_up = now_ms() + p->config->drain_timeout_ms + 1000;
			/* before the workers empty the queue: then it ends with the last of them. Held open here it would go on
			 * taking connections that nobody answers. */
			notify("STOPPING=1");
			close_listeners(p);
			tell(p, SIGTERM);
			if (p->guard)
				kill(p->guard, SIGKILL);
		}
		if (p->stopping && living(p) == 0)
			return;
		if (p->stopping && now_ms() > give_up) {
			log_line(LOG_WARN, "workers that did not drain in time are killed",
				 LOG_I("workers", living(p)));
			tell(p, SIGKILL);
		}
		if (got_hup && !p->stopping) {
			got_hup = 0;
			notify_reloading();
			replace_all(p);
		}
		for (int i = 0; i < p->n && !p->stopping; i++)
			if (!p->children[i].pid && now_ms() >= p->children[i].start_at_ms)
				spawn(p, i);
		pause_ms(p->stopping ? 20 : 250);
	}
}

static bool listen_all(struct parent *p, const struct config *c)
{
	uint16_t port;

	p->listener = inherited_listener(&port);
	if (p->listener < 0)
		p->listener = http_listen_tcp(c->host, (uint16_t)c->port, &port);
	if (p->listener < 0) {
		fprintf(stderr, "boxoffice: cannot listen on %s port %lld: %s\n", c->host, (long long)c->port,
			errno == EADDRINUSE ? "another program uses it (choose another with --port)" : strerror(errno));
		return false;
	}
	for (int i = 0; i < p->n; i++) {
		p->own[i] = -1;
		if (!c->worker_port_base)
			continue;
		p->own[i] = http_listen_tcp(c->host, (uint16_t)(c->worker_port_base + i), NULL);
		if (p->own[i] < 0) {
			fprintf(stderr, "boxoffice: cannot listen on %s port %lld (worker %d's own): %s\n", c->host,
				(long long)c->worker_port_base + i, i, strerror(errno));
			return false;
		}
	}
	log_line(LOG_INFO, "listening", LOG_C("host", c->host), LOG_I("port", port), LOG_I("workers", p->n));
	return true;
}

/* A connection is a descriptor: as many as the system lets us have, not the 1,024 of an ordinary shell. */
static void descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static void signals(void)
{
	struct sigaction sa = {.sa_handler = on_signal};
	sigset_t all;

	sigemptyset(&all);
	sigaddset(&all, SIGTERM);
	sigaddset(&all, SIGINT);
	sigaddset(&all, SIGHUP);
	sigaddset(&all, SIGCHLD);
	sigprocmask(SIG_BLOCK, &all, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
	sigaction(SIGCHLD, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
}

int serve_main(int argc, char **argv)
{
	static struct parent parent; /* the process's one */
	struct parent *p = &parent;
	struct config config;
	int status = config_read("boxoffice serve",
				 "Serves the HTTP API from PostgreSQL, Redis and the payment gateway that are named.",
				 argc, argv, NULL, &config);

	if (status >= 0)
		return status;
	if (!config_need(&config, "serve", "database-url", config.database_url) ||
	    !config_need(&config, "serve", "redis-url", config.redis_url) ||
	    !config_need(&config, "serve", "secret-file", config.secret_file) ||
	    !services_read(config.service, &p->services))
		return 2;
	p->config = &config;
	p->n = config.workers ? (int)config.workers : (int)sysconf(_SC_NPROCESSORS_ONLN);
	if (p->n > WORKERS_MAX)
		p->n = WORKERS_MAX;
	if (!crypto_init() || !serve_limits_init(&p->limits, &config))
		return 2;
	log_setup(LOG_INFO, "serve", -1);
	status = schema_look(&config, "serve", p->n);
	if (status == SCHEMA_UNFIT || status == SCHEMA_SETTINGS)
		return status;
	signals();
	descriptors();
	if (!listen_all(p, &config))
		return 1;
	if (status == SCHEMA_AWAY) {
		log_line(LOG_WARN, "PostgreSQL does not answer; it is waited for");
		notify("STATUS=waiting for PostgreSQL");
		p->guard = schema_guard_start(&config, "serve", p->n);
	}
	p->route_names = serve_route_names();
	metrics_table_fill(p->defs, p->route_names);
	p->metrics = metrics_new(p->defs, METRIC_COUNT_OF_ALL, p->n);
	for (int i = 0; i < p->n; i++)
		spawn(p, i);
	if (p->guard <= 0)
		notify("READY=1\nSTATUS=selling");
	parent_run(p);
	log_line(LOG_INFO, "stopped");
	return p->exit_status;
}
