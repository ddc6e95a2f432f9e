/* `boxoffice work`: the background duties of work/work.h on one loop. Ends on SIGTERM or SIGINT between two rounds. */
#include "app/app.h"

#include "base/times.h"
#include "io/log.h"
#include "payment/payment_service.h"
#include "work/work.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

enum { STOP_MS = 2000, SETTLE_MAX = 50 };

struct work {
	struct app app;
	struct duty *duties[8];
	size_t n;
	struct timer *stop;
};

static void on_signal(void *arg, int signo)
{
	struct work *w = arg;

	/* every statement is whole in itself: a round that is cut is taken up by the next holder of the lease */
	loop_stop(w->app.loop);
}

static void on_settled(void *arg, bool ok, bool more)
{
	duty_done(arg, ok, more);
}

static void settle(void *arg, struct duty *d)
{
	payment_settle_due(arg, SETTLE_MAX, on_settled, d);
}

int work_main(int argc, char **argv)
{
	static struct metric_def defs[METRIC_COUNT_OF_ALL];
	static const char *const no_routes[] = {"-", NULL};
	static struct work work; /* the process's one */
	struct work *w = &work;
	struct config config;
	struct metrics *metrics;
	struct signal_watch *term, *ctrl_c;
	struct sweeper *sweeper;
	struct auditor *auditor;
	struct keeper *keeper;
	char holder[128], host[64] = "";
	int status = config_read("boxoffice work", "Runs the background duties: expiry, audit, settling of payments, retention.", argc,
				 argv, NULL, &config);

	if (status >= 0)
		return status;
	if (!config_need(&config, "work", "database-url", config.database_url) ||
	    !config_need(&config, "work", "redis-url", config.redis_url) ||
	    !config_need(&config, "work", "secret-file", config.secret_file))
		return 2;
	log_setup(LOG_INFO, "work", -1);
	signal(SIGPIPE, SIG_IGN);
	metrics_table_fill(defs, no_routes);
	metrics = metrics_new(defs, METRIC_COUNT_OF_ALL, 1);
	metrics_use_slot(metrics, 0);
	config.pg_shared = 2;
	if (!app_init(&w->app, &config, metrics, "boxoffice work"))
		return 2;
	gethostname(host, sizeof(host) - 1);
	snprintf(holder, sizeof(holder), "%s/%d/%lld", host, (int)getpid(), (long long)wall_now_us());
	sweeper = sweeper_new(w->app.pg, w->app.loop, w->app.map, metrics);
	auditor = auditor_new(w->app.pg, w->app.loop, w->app.map, metrics);
	keeper = keeper_new(w->app.pg, config.outbox_days);
	const struct duty_config duties[] = {
		{.kind = DUTY_SWEEP, .name = "sweep", .every_ms = config.sweep_ms, .run = sweeper_sweep, .arg = sweeper},
		{.kind = DUTY_ARCHIVE, .name = "archive", .every_ms = 1000, .run = sweeper_archive, .arg = sweeper},
		{.kind = DUTY_AUDIT, .name = "audit", .every_ms = config.audit_ms, .run = auditor_run, .arg = auditor},
		{.kind = DUTY_SETTLE, .name = "settle", .every_ms = 1000, .run = settle, .arg = w->app.payment},
		{.kind = DUTY_RETENTION, .name = "retention", .every_ms = 60000, .run = keeper_run, .arg = keeper},
	};

	for (size_t i = 0; i < sizeof(duties) / sizeof(duties[0]); i++) {
		struct duty_config d = duties[i];

		d.holder = holder;
		d.lease_ms = config.lease_seconds * 1000;
		d.loop = w->app.loop;
		d.pg = w->app.pg;
		d.metrics = metrics;
		w->duties[w->n++] = duty_new(&d);
	}
	term = signal_watch_new(w->app.loop, SIGTERM, on_signal, w);
	ctrl_c = signal_watch_new(w->app.loop, SIGINT, on_signal, w);
	log_line(LOG_INFO, "working", LOG_C("holder", holder));
	loop_run(w->app.loop);
	signal_watch_free(term);
	signal_watch_free(ctrl_c);
	for (size_t i = 0; i < w->n; i++)
		duty_free(w->duties[i]);
	app_done(&w->app);
	sweeper_free(sweeper);
	auditor_free(auditor);
	keeper_free(keeper);
	metrics_free(metrics);
	log_line(LOG_INFO, "stopped");
	return 0;
}
