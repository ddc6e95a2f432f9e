/* `boxoffice work`: the background duties of work/work.h on one loop. Ends on SIGTERM or SIGINT between two rounds. */
#include "app/app.h"
#include "app/notify.h"
#include "app/schema.h"

#include "app/mail_setup.h"
#include "base/times.h"
#include "consume/consume.h"
#include "hooks/hooks.h"
#include "io/log.h"
#include "jobs/jobs.h"
#include "notify/notices.h"
#include "notify/notices_consume.h"
#include "notify/notices_locks.h"
#include "notify/notify_sender.h"
#include "payment/payment_service.h"
#include "relay/relay.h"
#include "work/work.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SETTLE_MAX = 50, ROUNDS_END_MS = 1000, LOOK_MS = 5, MAILS_END_MS = 2500 };

struct work {
	struct app app;
	struct web *web;
	struct http_server *server;
	struct duty *duties[16 + CONSUMER_KINDS];
	size_t n;
	struct orphan_scan *orphans;
	struct payment_watch *watch;
	struct consumer *consumers[CONSUMER_KINDS];
	size_t n_consumers;
	struct notify_sender *sender;
	struct notices *notices;
	struct notices_locks *notices_locks;
	struct relay *relay;
	struct disk_watch *disk; /* NULL: none is here */
	char holder[128];
	bool stopping;
	struct timer *ending; /* NULL: not before a signal */
	int64_t cut_us;	      /* when rounds that still run are waited for no longer */
	pid_t guard;	      /* looks at a database that was away when we started; 0: it was looked at */
	int exit_status;
};

static void on_mails_ended(void *arg)
{
	struct work *w = arg;

	loop_stop(w->app.loop);
}

static void on_handed_on(void *arg)
{
	struct work *w = arg;

	/* a mail that is being said is worth waiting for: cut off, it would arrive twice */
	notify_sender_finish(w->sender, MAILS_END_MS, on_mails_ended, w);
}

static void on_relay_stopped(void *arg)
{
	struct work *w = arg;

	duties_hand_on(w->app.pg, w->holder, on_handed_on, w);
}

/* Every statement is whole in itself: a round that is cut is taken up by the next holder of the lease. One that ends soon is let. */
static void on_ending(void *arg)
{
	struct work *w = arg;
	bool running = false;

	for (size_t i = 0; i < w->n; i++)
		running |= duty_running(w->duties[i]);
	if (running && loop_now_us(w->app.loop) < w->cut_us)
		timer_set_ms(w->ending, LOOK_MS);
	else
		relay_stop(w->relay, on_relay_stopped, w);
}

static void on_signal(void *arg, int signo)
{
	struct work *w = arg;

	if (w->stopping)
		return;
	w->stopping = true;
	notify("STOPPING=1");
	if (w->guard > 0)
		kill(w->guard, SIGKILL);
	for (size_t i = 0; i < w->n; i++)
		duty_stop(w->duties[i]);
	w->cut_us = loop_now_us(w->app.loop) + ROUNDS_END_MS * 1000;
	w->ending = timer_new(w->app.loop, on_ending, w);
	on_ending(w);
}

/* The database was reached: it is one for us, or there is nothing to wait for. */
static void on_child(void *arg, int signo)
{
	struct work *w = arg;
	int status;

	if (w->guard <= 0 || waitpid(w->guard, &status, WNOHANG) != w->guard)
		return;
	w->guard = 0;
	if (w->stopping || !WIFEXITED(status) || WEXITSTATUS(status) == SCHEMA_AWAY)
		return;
	if (WEXITSTATUS(status) == SCHEMA_FITS) {
		notify("READY=1\nSTATUS=working");
		return;
	}
	w->exit_status = WEXITSTATUS(status);
	on_signal(w, SIGTERM);
}

static void on_settled(void *arg, bool ok, bool more)
{
	duty_done(arg, ok, more);
}

/* ---- what is going on: only for those who watch over it ---- */

static void get_metrics(struct web_call *call)
{
	struct work *w = call->service;

	app_metrics_answer(&w->app, call);
}

static const struct web_route routes[] = {
	{HTTP_GET, "/healthz", app_health_get, WEB_ANYBODY, 0, 0, false},
	{HTTP_GET, "/metrics", get_metrics, WEB_ANYBODY, 0, 0, false},
};

static void identify_nobody(void *arg, struct web_call *call)
{
	web_identified(call, NULL, ERR_NONE);
}

static bool watch_start(struct work *w, const struct config *c)
{
	struct web_config web = {.loop = w->app.loop, .services = SERVICE_ALWAYS, .identify = identify_nobody};
	struct http_server_config http = {.head_max = 16 * 1024,
					  .headers_max = 64,
					  .body_max = 1024,
					  .head_timeout_ms = c->head_timeout_ms,
					  .body_timeout_ms = c->body_timeout_ms,
					  .idle_timeout_ms = c->idle_timeout_ms,
					  .write_timeout_ms = c->write_timeout_ms,
					  .conns_max = 100,
					  .handler = web_handle,
					  .done = web_done,
					  .error_body = web_error_body,
					  .body_limit = web_body_limit,
					  .random_bytes = crypto_random};
	uint16_t port;
	int fd;

	if (c->work_port < 0)
		return true;
	fd = http_listen_tcp(c->host, (uint16_t)c->work_port, &port);
	if (fd < 0) {
		fprintf(stderr, "boxoffice: work cannot listen on %s port %lld: %s\n", c->host, (long long)c->work_port,
			strerror(errno));
		return false;
	}
	w->web = web_new(&web);
	web_add(w->web, SERVICE_ALWAYS, routes, sizeof(routes) / sizeof(routes[0]), w);
	http.arg = w->web;
	w->server = http_server_new(w->app.loop, &http);
	http_server_listen(w->server, fd);
	log_line(LOG_INFO, "metrics", LOG_C("host", c->host), LOG_I("port", port));
	return true;
}

static bool relay_begin(struct work *w, const struct config *c)
{
	struct relay_config relay = {.loop = w->app.loop,
				     .pg = w->app.pg,
				     .offload = w->app.offload,
				     .metrics = w->app.metrics,
				     .holder = w->holder,
				     .lease_ms = c->lease_seconds * 1000,
				     .poll_ms = c->relay_poll_ms,
				     .kafka = {c->kafka_brokers, c->kafka_config, "boxoffice"},
				     .topic_prefix = c->kafka_topic_prefix,
				     .kafka_partitions = (int)c->kafka_partitions,
				     .kafka_replication = (int)c->kafka_replication};
	char error[KAFKA_ERROR_MAX];

	w->relay = relay_new(&relay, error);
	if (!w->relay)
		fprintf(stderr, "boxoffice: %s\n", error);
	return w->relay != NULL;
}

static void settle(void *arg, struct duty *d)
{
	payment_settle_due(arg, SETTLE_MAX, on_settled, d);
}

static void scan_orphans(void *arg, struct duty *d)
{
	orphan_scan_round(arg, on_settled, d);
}

static void tell_of_locks(void *arg, struct duty *d)
{
	notices_locks_round(arg, on_settled, d);
}

static void go_on_with_jobs(void *arg, struct duty *d)
{
	show_jobs_round(arg, on_settled, d);
}

static void send_mails(void *arg, struct duty *d)
{
	notify_sender_round(arg, on_settled, d);
}

static void send_webhooks(void *arg, struct duty *d)
{
	hooks_round(arg, on_settled, d);
}

/* ---- consumers of events: each is a duty with a lease of its own ---- */

static void consume(void *arg, struct duty *d)
{
	consumer_round(arg, on_settled, d);
}

static void consumer_lease_lost(void *arg)
{
	consumer_lost(arg);
}

static void on_wake(void *arg)
{
	duty_wake(arg);
}

static void consumers_start(struct work *w, const struct config *c)
{
	static const char *const bookings[] = {"booking", NULL};
	static const char *const everything[] = {"seat", "booking", "payment", "ticket", "show", NULL};
	const struct consume_env env = {.loop = w->app.loop,
					.pg = w->app.pg,
					.offload = w->app.offload,
					.metrics = w->app.metrics,
					.kafka = {c->kafka_brokers, c->kafka_config, "boxoffice-consumer"},
					.topic_prefix = c->kafka_topic_prefix,
					.batch_max = (size_t)c->consumer_batch,
					.tries_max = (int)c->consumer_tries};
	const struct consumer_config consumers[] = {
		{CONSUMER_RECOMMENDED, bookings, CONSUMER_FROM_BEGINNING, recommend_take, w->app.event},
		/* who booked before there were mails is not told of it now */
		{CONSUMER_NOTIFICATIONS, notice_topics, CONSUMER_FROM_NOW, notices_consume, w->notices},
		{CONSUMER_WEBHOOKS, everything, CONSUMER_FROM_BEGINNING, hooks_take, w->app.hooks},
	};

	for (size_t i = 0; i < sizeof(consumers) / sizeof(consumers[0]); i++) {
		struct consumer *consumer = consumer_new(&env, &consumers[i]);
		struct duty *duty = duty_new(&(struct duty_config){.kind = DUTY_CONSUME,
								   .name = consumer_lease(consumer),
								   .holder = w->holder,
								   .every_ms = c->consumer_poll_ms,
								   .lease_ms = c->lease_seconds * 1000,
								   .loop = w->app.loop,
								   .pg = w->app.pg,
								   .metrics = w->app.metrics,
								   .run = consume,
								   .lost = consumer_lease_lost,
								   .arg = consumer});

		consumer_on_wake(consumer, on_wake, duty);
		w->consumers[w->n_consumers++] = consumer;
		w->duties[w->n++] = duty;
	}
}

int work_main(int argc, char **argv)
{
	static struct metric_def defs[METRIC_COUNT_OF_ALL];
	static const char *const no_routes[] = {"-", NULL};
	static struct work work; /* the process's one */
	struct work *w = &work;
	struct config config;
	struct metrics *metrics;
	struct signal_watch *term, *ctrl_c, *child;
	struct sweeper *sweeper;
	struct auditor *auditor;
	struct keeper *keeper;
	struct invariants *invariants;
	char host[64] = "", error[300];
	int status = config_read(
		"boxoffice work",
		"Runs the background duties: expiry, audit, settling of payments, events out, invariants, retention.",
		argc, argv, NULL, &config);

	if (status >= 0)
		return status;
	if (!config_need(&config, "work", "database-url", config.database_url) ||
	    !config_need(&config, "work", "redis-url", config.redis_url) ||
	    !config_need(&config, "work", "secret-file", config.secret_file))
		return 2;
	log_setup(LOG_INFO, "work", -1);
	signal(SIGPIPE, SIG_IGN);
	config.pg_shared = 2;
	status = schema_look(&config, "work", 1);
	if (status == SCHEMA_UNFIT || status == SCHEMA_SETTINGS)
		return status;
	if (status == SCHEMA_AWAY) {
		log_line(LOG_WARN, "PostgreSQL does not answer; it is waited for");
		w->guard = schema_guard_start(&config, "work", 1);
	}
	metrics_table_fill(defs, no_routes);
	metrics = metrics_new(defs, METRIC_COUNT_OF_ALL, 1);
	metrics_use_slot(metrics, 0);
	if (!app_init(&w->app, &config, metrics, "boxoffice work"))
		return 2;
	w->sender = mail_setup(&w->app, &config);
	if (!w->sender)
		return 2;
	w->notices = notices_new(w->app.pg, metrics);
	w->notices_locks = notices_locks_new(w->app.pg, metrics);
	if (!watch_start(w, &config))
		return 1;
	gethostname(host, sizeof(host) - 1);
	snprintf(w->holder, sizeof(w->holder), "%s/%d/%lld", host, (int)getpid(), (long long)wall_now_us());
	if (!relay_begin(w, &config))
		return 2;
	const struct disk_watch_config disk = {.loop = w->app.loop,
					       .pg = w->app.pg,
					       .metrics = metrics,
					       .place = host,
					       .paths = config.disk_paths,
					       .free_min_mb = config.disk_free_min_mb};

	if (config.disk_paths[0] && !(w->disk = disk_watch_new(&disk, error, sizeof(error)))) {
		fprintf(stderr, "boxoffice: %s\n", error);
		return 2;
	}
	sweeper = sweeper_new(w->app.pg, w->app.loop, w->app.map, metrics);
	auditor = auditor_new(w->app.pg, w->app.loop, w->app.map, metrics);
	w->orphans = orphan_scan_new(w->app.payment, config.orphan_scan_seconds * 1000, config.orphan_min_age_seconds);
	w->watch = payment_watch_new(w->app.payment);
	keeper = keeper_new(&(struct keeper_config){w->app.pg, config.outbox_days, config.lock_history_days,
						    config.findings_days, config.notification_days, config.audit_days});
	invariants = invariants_new(w->app.pg, metrics, config.check_seconds);
	const struct duty_config duties[] = {
		{.kind = DUTY_SWEEP,
		 .name = "sweep",
		 .every_ms = config.sweep_ms,
		 .run = sweeper_sweep,
		 .arg = sweeper},
		{.kind = DUTY_ARCHIVE, .name = "archive", .every_ms = 1000, .run = sweeper_archive, .arg = sweeper},
		{.kind = DUTY_AUDIT, .name = "audit", .every_ms = config.audit_ms, .run = auditor_run, .arg = auditor},
		{.kind = DUTY_SETTLE, .name = "settle", .every_ms = 1000, .run = settle, .arg = w->app.payment},
		/* it knows itself when its next page or its next scan is due */
		{.kind = DUTY_ORPHANS, .name = "orphans", .every_ms = 1000, .run = scan_orphans, .arg = w->orphans},
		{.kind = DUTY_JOBS, .name = "jobs", .every_ms = 1000, .run = go_on_with_jobs, .arg = w->app.jobs},
		{.kind = DUTY_NOTICES,
		 .name = "notices",
		 .every_ms = 1000,
		 .run = tell_of_locks,
		 .arg = w->notices_locks},
		{.kind = DUTY_MAIL, .name = "mail", .every_ms = 500, .run = send_mails, .arg = w->sender},
		{.kind = DUTY_WEBHOOKS,
		 .name = "webhooks",
		 .every_ms = config.webhook_ms,
		 .run = send_webhooks,
		 .lost = hooks_lost,
		 .arg = w->app.hooks},
		{.kind = DUTY_RETENTION, .name = "retention", .every_ms = 60000, .run = keeper_run, .arg = keeper},
		{.kind = DUTY_CHECK,
		 .name = "check",
		 .every_ms = config.check_seconds * 1000,
		 .run = invariants_run,
		 .lost = invariants_lost,
		 .arg = invariants},
	};

	for (size_t i = 0; i < sizeof(duties) / sizeof(duties[0]); i++) {
		struct duty_config d = duties[i];

		if (d.every_ms == 0)
			continue; /* switched off */
		d.holder = w->holder;
		d.lease_ms = config.lease_seconds * 1000;
		d.loop = w->app.loop;
		d.pg = w->app.pg;
		d.metrics = metrics;
		w->duties[w->n++] = duty_new(&d);
		if (d.kind == DUTY_WEBHOOKS)
			hooks_on_wake(w->app.hooks, on_wake, w->duties[w->n - 1]);
	}
	consumers_start(w, &config);
	term = signal_watch_new(w->app.loop, SIGTERM, on_signal, w);
	ctrl_c = signal_watch_new(w->app.loop, SIGINT, on_signal, w);
	child = signal_watch_new(w->app.loop, SIGCHLD, on_child, w);
	on_child(w, SIGCHLD); /* it may have ended before it was watched */
	if (w->guard <= 0)
		notify("READY=1\nSTATUS=working");
	log_line(LOG_INFO, "working", LOG_C("holder", w->holder));
	loop_run(w->app.loop);
	timer_free(w->ending);
	signal_watch_free(term);
	signal_watch_free(ctrl_c);
	signal_watch_free(child);
	for (size_t i = 0; i < w->n_consumers; i++)
		consumer_free(w->consumers[i]);
	for (size_t i = 0; i < w->n; i++)
		duty_free(w->duties[i]);
	relay_free(w->relay);
	if (w->server)
		http_server_free(w->server);
	web_free(w->web);
	payment_watch_free(w->watch);
	notify_sender_free(w->sender);
	disk_watch_free(w->disk);
	app_done(&w->app);
	notices_free(w->notices);
	notices_locks_free(w->notices_locks);
	orphan_scan_free(w->orphans);
	sweeper_free(sweeper);
	auditor_free(auditor);
	keeper_free(keeper);
	invariants_free(invariants);
	metrics_free(metrics);
	log_line(LOG_INFO, "stopped");
	return w->exit_status;
}
