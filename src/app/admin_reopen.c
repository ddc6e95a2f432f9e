/*
 * Whether sales are open: `boxoffice admin close-sales` and `open-sales` by hand, and the end of a restore, `admin restore
 * --finish`. A restored database knows nothing of what was sold after the backup; the gateway does, and so may Redis.
 *
 *   maps in Redis dropped --> the gateway's intents since before the backup held against ours (the orphan scan) -->
 *   what has no attempt here and was paid: given back (--refund-orphans) or told --> what is due is settled -->
 *   `boxoffice check` --> open
 *
 * Each step may be done again: whoever is stopped in between begins anew. What `boxoffice work` does at the same time does no harm.
 * The steps with the gateway run on a loop of their own (struct app), the rest blocks.
 */
#include "app/admin_int.h"
#include "app/admin_sql.h"
#include "app/app.h"
#include "app/check_int.h"
#include "app/migrate.h"
#include "base/times.h"
#include "io/log.h"
#include "payment/payment_service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	SCAN_BACK_S = 48 * 3600, /* as `work` does, and an hour from before the backup */
	BEFORE_S = 3600,
	SCAN_TRIES = 12,
	SETTLE_MAX = 50,
	PAUSE_MS = 500,
	WAIT_MS = 90000,
	HOW_MAX = 200,
};

/* ---- by hand ---- */

static const char *how_of(const struct asked *a, const char *command)
{
	const char *how = a->options[OPT_HOW].value;

	if (how && *how && admin_name_is_good(how) && strlen(how) <= HOW_MAX)
		return how;
	fprintf(stderr, "boxoffice: %s needs --how, a line of 1 to %d bytes that says why; buyers may read it\n",
		command, HOW_MAX);
	return NULL;
}

int admin_close_sales(const struct asked *a)
{
	const char *params[] = {how_of(a, "close-sales"), NULL, "0"};
	PGresult *r;

	if (!params[0])
		return 2;
	r = pg_sync_ask(a->pg, "close-sales", admin_sql_sales_close.sql, 3, params);
	PQclear(r);
	if (r)
		printf("sales are closed; every process knows it within a second or two\n");
	return r ? 0 : 1;
}

static int open_sales(PGconn *pg, const char *how)
{
	PGresult *r = pg_sync_ask(pg, "open-sales", admin_sql_sales_open.sql, 1, &how);

	if (r)
		printf(PQntuples(r) ? "sales are open\n" : "sales were open already\n");
	PQclear(r);
	return r ? 0 : 1;
}

int admin_open_sales(const struct asked *a)
{
	const char *how = how_of(a, "open-sales");

	return how ? open_sales(a->pg, how) : 2;
}

/* ---- the gateway ---- */

struct reconcile {
	struct app app;
	PGconn *pg;
	struct orphan_scan *scan;
	struct timer *timer;
	int tries;
	bool scanned, ok;
	int64_t give_up_us;
};

static void on_round(void *arg, bool ok, bool more);

static void on_timer(void *arg)
{
	struct reconcile *c = arg;

	if (!c->scanned)
		orphan_scan_round(c->scan, on_round, c);
	else
		payment_settle_due(c->app.payment, SETTLE_MAX, on_round, c);
}

/* Attempts and refunds whose time has come; -1 when it could not be asked. */
static long waits(PGconn *pg, int col)
{
	PGresult *r = pg_sync_ask(pg, "restore", admin_sql_restore_waits.sql, 0, NULL);
	long n = r ? strtol(PQgetvalue(r, 0, col), NULL, 10) : -1;

	PQclear(r);
	return n;
}

static void finish(struct reconcile *c, bool ok)
{
	c->ok = ok;
	loop_stop(c->app.loop);
}

static void on_round(void *arg, bool ok, bool more)
{
	struct reconcile *c = arg;
	long left;

	if (!ok && ++c->tries > SCAN_TRIES) {
		fprintf(stderr,
			c->scanned ? "boxoffice: payments cannot be settled now; try again\n"
				   : "boxoffice: the gateway's list of payments cannot be had: is payment-url right, "
				     "does it take our key? Try again\n");
		finish(c, false);
		return;
	}
	if (ok)
		c->tries = 0;
	if (ok && !more && !c->scanned) {
		c->scanned = true;
		printf("the gateway's payments were compared with ours\n");
		timer_set_ms(c->timer, 0);
		return;
	}
	if (c->scanned && ok && !more) {
		left = waits(c->pg, 0);
		if (left <= 0 || loop_now_us(c->app.loop) > c->give_up_us) {
			if (left > 0)
				fprintf(stderr,
					"boxoffice: %ld payments or refunds are not through: `boxoffice admin payments "
					"list`; "
					"then this again\n",
					left);
			finish(c, left == 0);
			return;
		}
	}
	timer_set_ms(c->timer, ok && more ? 0 : PAUSE_MS);
}

/* since_s: of the scan. false after a sentence. */
static bool reconcile(const struct asked *a, int64_t since_s)
{
	static struct metric_def defs[METRIC_COUNT_OF_ALL];
	static const char *const no_routes[] = {"-", NULL};
	struct reconcile c = {.pg = a->pg};
	struct metrics *metrics;

	metrics_table_fill(defs, no_routes);
	metrics = metrics_new(defs, METRIC_COUNT_OF_ALL, 1);
	metrics_use_slot(metrics, 0);
	if (!app_init(&c.app, a->config, metrics, "boxoffice restore"))
		return false;
	if (!payment_configured(c.app.payment)) {
		fprintf(stderr,
			"boxoffice: restore --finish needs payment-url and payment-key-file: what was paid since the "
			"backup is known to the gateway alone\n");
		goto out;
	}
	c.scan = orphan_scan_new(c.app.payment, 3600 * 1000, 0);
	orphan_scan_since(c.scan, since_s, a->options[OPT_REFUND_ORPHANS].value != NULL);
	c.timer = timer_new(c.app.loop, on_timer, &c);
	c.give_up_us = loop_now_us(c.app.loop) + WAIT_MS * INT64_C(1000);
	timer_set_ms(c.timer, 0);
	loop_run(c.app.loop);
	timer_free(c.timer);
out:
	app_done(&c.app);
	orphan_scan_free(c.scan);
	metrics_free(metrics);
	return c.ok;
}

/* Money that nobody here has an attempt for. */
static bool orphans_seen_to(const struct asked *a)
{
	PGresult *r = pg_sync_ask(a->pg, "restore", admin_sql_restore_orphans.sql, 0, NULL);
	int n = r ? PQntuples(r) : -1;

	for (int i = 0; i < n; i++)
		printf("%s: %s in minor units of %s: %s\n", PQgetvalue(r, i, 0), PQgetvalue(r, i, 1),
		       PQgetvalue(r, i, 2), PQgetvalue(r, i, 3));
	if (n > 0)
		fprintf(stderr,
			"boxoffice: %d payments at the gateway have no booking here; sales stay closed. "
			"--refund-orphans gives "
			"back what was paid for a show that is here; the rest is for a person: `boxoffice admin "
			"payments "
			"list`\n",
			n);
	PQclear(r);
	return n == 0;
}

/* Locks of the backup whose time is over: `work` ends them. */
static bool locks_over(const struct asked *a)
{
	struct timespec pause = {0, PAUSE_MS * 1000000L};
	long left = 1;

	for (int waited = 0; waited < WAIT_MS; waited += PAUSE_MS) {
		left = waits(a->pg, 1);
		if (left <= 0)
			return left == 0;
		nanosleep(&pause, NULL);
	}
	fprintf(stderr,
		"boxoffice: %ld locks whose time is over are not ended: does `boxoffice work` run on this database?\n",
		left);
	return false;
}

int admin_restore_finish(const struct asked *a)
{
	PGresult *r = pg_sync_ask(a->pg, "restore", admin_sql_sales_state.sql, 0, NULL);
	struct check_access access = {.database = a->config->database_url,
				      .redis = a->config->redis_url,
				      .gateway = {a->config->payment_url, a->config->payment_key_file,
						  a->config->payment_ca_file, a->config->payment_timeout_ms},
				      .wait_ms = 5000,
				      .grace_s = 10};
	char how[100];
	int64_t restored_s, since_s = wall_now_us() / US_PER_SECOND - SCAN_BACK_S;
	long dropped;

	if (!r)
		return 1;
	restored_s = strtoll(PQgetvalue(r, 0, 4), NULL, 10);
	snprintf(how, sizeof(how), "the restore to %.40s is finished", PQgetvalue(r, 0, 3));
	if (!*PQgetvalue(r, 0, 3)) {
		fprintf(stderr, "boxoffice: no restore waits for its end (sales are %s)\n", PQgetvalue(r, 0, 0));
		PQclear(r);
		return 1;
	}
	PQclear(r);
	if (!config_need(a->config, "admin restore --finish", "redis-url", a->config->redis_url) ||
	    !config_need(a->config, "admin restore --finish", "secret-file", a->config->secret_file))
		return 2;
	log_setup(LOG_WARN, "restore", -1);
	if (restored_s && restored_s - BEFORE_S < since_s)
		since_s = restored_s - BEFORE_S;
	dropped = check_drop_maps(a->config->redis_url);
	if (dropped < 0)
		return 1;
	printf("%ld keys of seat maps dropped from Redis\n", dropped);
	if (!reconcile(a, since_s) || !orphans_seen_to(a) || !locks_over(a))
		return 1;
	printf("checking\n");
	fflush(stdout);
	if (check_run(&access) != 0) {
		fprintf(stderr,
			"boxoffice: the check is not clean; sales stay closed. What it says has to be put right (docs/"
			"operations.md); then this again, or `boxoffice admin open-sales` in spite of it\n");
		return 1;
	}
	return open_sales(a->pg, how);
}
