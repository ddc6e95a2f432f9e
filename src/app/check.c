/*
 * `boxoffice check`: the invariants, asked of a system that may be running. Statements first, all in one snapshot; then the
 * seats of every show on sale are compared between Redis and PostgreSQL (check_maps.c), and the money with the gateway's own
 * ledger (check_gateway.c). A line per violation on standard output. Blocks: plain libpq, hiredis and libcurl.
 *
 * Exit status: 0 all hold, 1 some do not, 2 could not be asked.
 */
#include "app/check_int.h"

#include "app/app.h"
#include "app/up_state.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINES_MAX = 100, WAIT_MS = 5000, WAIT_ONCE_MS = 300, GRACE_SECONDS = 10 };

static const struct {
	const char *name;
	const struct pg_stmt *stmt;
} checks[] = {
	{"I1", &check_sql_check_i1_seat_owners}, {"I2", &check_sql_check_i2_confirmations},
	{"I3", &check_sql_check_i3_money},	 {"I4", &check_sql_check_i4_bounds},
	{"I5", &check_sql_check_i5_events},	 {"I6", &check_sql_check_i6_tickets},
};

/* How many violations; -1 when it could not be asked. */
static long run_check(PGconn *pg, const char *name, const struct pg_stmt *stmt, const char *grace)
{
	const char *params[] = {grace};
	PGresult *r = pg_sync_ask(pg, name, stmt->sql, stmt->n_params, params);
	int n = r ? PQntuples(r) : -1;

	for (int i = 0; i < n && i < LINES_MAX; i++)
		printf("%s%s%s: %s\n", name, PQgetisnull(r, i, 0) ? "" : " show ", PQgetvalue(r, i, 0),
		       PQgetvalue(r, i, 1));
	if (n > LINES_MAX)
		printf("%s and %d more\n", name, n - LINES_MAX);
	PQclear(r);
	return n;
}

static long run_all(PGconn *pg, const char *grace)
{
	long violations = 0;

	if (!pg_sync_do(pg, "check", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"))
		return -1;
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		long n = run_check(pg, checks[i].name, checks[i].stmt, grace);

		if (n < 0)
			return -1;
		violations += n;
	}
	return pg_sync_do(pg, "check", "COMMIT") ? violations : -1;
}

static bool tell_counts(PGconn *pg, bool redis, bool gateway)
{
	PGresult *r = pg_sync_ask(pg, "check", check_sql_check_counts.sql, 0, NULL);
	bool ok = r != NULL;

	if (!r)
		return false;
	printf("ok: %s shows, %s seats, %s live locks, %s bookings, %s payments, %s tickets%s%s", PQgetvalue(r, 0, 0),
	       PQgetvalue(r, 0, 1), PQgetvalue(r, 0, 2), PQgetvalue(r, 0, 3), PQgetvalue(r, 0, 4), PQgetvalue(r, 0, 5),
	       redis ? "" : " (Redis not compared: no --redis-url)",
	       gateway ? "" : " (the gateway's ledger not compared: no --payment-url)");
	PQclear(r);
	if (gateway)
		ok = check_gateway_counts(pg);
	printf("\n");
	return ok;
}

static bool number(const struct config_extra *x, uint64_t max, uint64_t *ret)
{
	if (!x->value || str_to_u64(str_from(x->value), max, ret))
		return true;
	fprintf(stderr, "boxoffice: --%s takes a whole number from 0 to %llu\n", x->name, (unsigned long long)max);
	return false;
}

int check_run(const struct check_access *a)
{
	PGconn *pg = pg_sync_open(a->database, "boxoffice check");
	char grace[40];
	long violations, maps = 0, money = 0;

	if (!pg)
		return 2;
	snprintf(grace, sizeof(grace), "%llu seconds", (unsigned long long)a->grace_s);
	violations = run_all(pg, grace);
	if (violations >= 0 && a->redis[0])
		maps = check_maps(pg, a->redis, (int)a->wait_ms);
	if (violations >= 0 && maps >= 0 && a->gateway.url[0])
		money = check_gateway(pg, &a->gateway, a->grace_s, (int)a->wait_ms);
	if (violations == 0 && maps == 0 && money == 0 &&
	    !tell_counts(pg, a->redis[0] != '\0', a->gateway.url[0] != '\0'))
		violations = -1;
	PQfinish(pg);
	return violations < 0 || maps < 0 || money < 0 ? 2 : violations + maps + money > 0 ? 1 : 0;
}

int check_main(int argc, char **argv)
{
	struct config_extra extra[] = {
		{"dir", true, "Check the `boxoffice up` that runs in this folder.", NULL},
		{"once", false,
		 "Look at Redis and the gateway again after a moment instead of 5 s: for a system at rest.", NULL},
		{"i7-wait-ms", true,
		 "Time after which a difference of Redis or of the gateway's ledger must be gone. [5000]", NULL},
		{"grace-seconds", true, "How late expiry may be; settling a minute more. [10]", NULL},
		{0},
	};
	struct check_access a = {.grace_s = GRACE_SECONDS};
	char key_file[PATH_MAX + 32];
	struct up_state up = {0};
	struct config config;
	int status =
		config_read("boxoffice check",
			    "Tests the invariants on a system that may be running: of --dir, or of --database-url, "
			    "--redis-url, and --payment-url with --payment-key-file. A line per violation and exit "
			    "status 1 when one does not hold, 2 when something could not be asked.",
			    argc, argv, extra, &config);

	if (status >= 0)
		return status;
	a.wait_ms = extra[1].value ? WAIT_ONCE_MS : WAIT_MS;
	if (!number(&extra[2], 600000, &a.wait_ms) || !number(&extra[3], 86400, &a.grace_s))
		return 2;
	a.database = config.database_url;
	a.redis = config.redis_url;
	a.gateway = (struct gateway_access){config.payment_url, config.payment_key_file, config.payment_ca_file,
					    config.payment_timeout_ms};
	if (extra[0].value) {
		if (!up_state_read(extra[0].value, &up))
			return 2;
		a.database = up.database_url;
		a.redis = up.redis_url;
		snprintf(key_file, sizeof(key_file), "%.*s/secret/payment.key", PATH_MAX, extra[0].value);
		a.gateway.url = up.payment_url ? up.payment_url : "";
		a.gateway.key_file = key_file;
	} else if (!config_need(&config, "check", "database-url (or --dir)", a.database)) {
		return 2;
	}
	status = check_run(&a);
	up_state_done(&up);
	return status;
}
