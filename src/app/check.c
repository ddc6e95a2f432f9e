/*
 * `boxoffice check`: the invariants, asked of a system that may be running. Statements first, all in one snapshot; then the
 * seats of every show on sale are compared between Redis and PostgreSQL (check_maps.c). A line per violation on standard
 * output. Blocks: plain libpq and hiredis.
 *
 * Exit status: 0 all hold, 1 some do not, 2 could not be asked.
 */
#include "app/check_int.h"

#include "app/app.h"
#include "app/up_state.h"

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
	{"I6", &check_sql_check_i6_tickets},
};

/* How many violations; -1 when it could not be asked. */
static long run_check(PGconn *pg, const char *name, const struct pg_stmt *stmt, const char *grace)
{
	const char *params[] = {grace};
	PGresult *r = pg_sync_ask(pg, name, stmt->sql, stmt->n_params, params);
	int n = r ? PQntuples(r) : -1;

	for (int i = 0; i < n && i < LINES_MAX; i++)
		printf("%s show %s: %s\n", name, PQgetvalue(r, i, 0), PQgetvalue(r, i, 1));
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

static bool tell_counts(PGconn *pg, bool redis)
{
	PGresult *r = pg_sync_ask(pg, "check", check_sql_check_counts.sql, 0, NULL);

	if (!r)
		return false;
	printf("ok: %s shows, %s seats, %s live locks, %s bookings, %s payments, %s tickets%s\n", PQgetvalue(r, 0, 0),
	       PQgetvalue(r, 0, 1), PQgetvalue(r, 0, 2), PQgetvalue(r, 0, 3), PQgetvalue(r, 0, 4), PQgetvalue(r, 0, 5),
	       redis ? "" : " (Redis not compared: no --redis-url)");
	PQclear(r);
	return true;
}

static bool number(const struct config_extra *x, uint64_t max, uint64_t *ret)
{
	if (!x->value || str_to_u64(str_from(x->value), max, ret))
		return true;
	fprintf(stderr, "boxoffice: --%s takes a whole number from 0 to %llu\n", x->name, (unsigned long long)max);
	return false;
}

static int check(const char *database, const char *redis, uint64_t wait_ms, uint64_t grace_s)
{
	PGconn *pg = pg_sync_open(database, "boxoffice check");
	char grace[40];
	long violations, maps = 0;

	if (!pg)
		return 2;
	snprintf(grace, sizeof(grace), "%llu seconds", (unsigned long long)grace_s);
	violations = run_all(pg, grace);
	if (violations >= 0 && redis[0])
		maps = check_maps(pg, redis, (int)wait_ms);
	if (violations == 0 && maps == 0 && !tell_counts(pg, redis[0] != '\0'))
		violations = -1;
	PQfinish(pg);
	return violations < 0 || maps < 0 ? 2 : violations + maps > 0 ? 1 : 0;
}

int check_main(int argc, char **argv)
{
	struct config_extra extra[] = {
		{"dir", true, "Check the `boxoffice up` that runs in this folder.", NULL},
		{"once", false, "Look at Redis again after a moment instead of 5 s: for a system at rest.", NULL},
		{"i7-wait-ms", true, "Time after which a difference between Redis and PostgreSQL must be gone. [5000]",
		 NULL},
		{"grace-seconds", true, "How late expiry and settling may be. [10]", NULL},
		{0},
	};
	uint64_t wait_ms, grace_s = GRACE_SECONDS;
	const char *database, *redis;
	struct up_state up = {0};
	struct config config;
	int status = config_read("boxoffice check",
				 "Tests the invariants on a system that may be running: of --dir, or of --database-url "
				 "and --redis-url. A line "
				 "per violation and exit status 1 when one does not hold.",
				 argc, argv, extra, &config);

	if (status >= 0)
		return status;
	wait_ms = extra[1].value ? WAIT_ONCE_MS : WAIT_MS;
	if (!number(&extra[2], 600000, &wait_ms) || !number(&extra[3], 86400, &grace_s))
		return 2;
	database = config.database_url;
	redis = config.redis_url;
	if (extra[0].value) {
		if (!up_state_read(extra[0].value, &up))
			return 2;
		database = up.database_url;
		redis = up.redis_url;
	} else if (!config_need(&config, "check", "database-url (or --dir)", database)) {
		return 2;
	}
	status = check(database, redis, wait_ms, grace_s);
	up_state_done(&up);
	return status;
}
