/* See schema.h. */
#include "app/schema.h"

#include "app/app.h"
#include "io/log.h"

#include <libpq-fe.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { AGAIN_MS = 300, LANES = 1 /* of the lock batcher */ };

/* In one statement that works on any schema, also on none: 0, or NULL for what is not there. */
static const char version_sql[] =
	"SELECT CASE WHEN to_regclass('schema_migrations') IS NULL THEN 0 ELSE 1 END,"
	" CASE WHEN to_regclass('system_state') IS NULL THEN 0 ELSE 1 END,"
	" current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int"
	" - coalesce(current_setting('reserved_connections', true), '0')::int,"
	" (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user),"
	" (SELECT datconnlimit FROM pg_database WHERE datname = current_database()),"
	" (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid())";

bool schema_suits(int64_t known, int64_t found, int64_t oldest, char *why, size_t size)
{
	if (found < known) {
		snprintf(why, size,
			 "the database's schema is at version %lld and this program needs %lld: run `boxoffice "
			 "migrate` first",
			 (long long)found, (long long)known);
		return false;
	}
	if (found > known && oldest > known) {
		snprintf(why, size,
			 "the database's schema is at version %lld, on which a program must know at least %lld; this "
			 "one "
			 "knows %lld: start the newer program",
			 (long long)found, (long long)oldest, (long long)known);
		return false;
	}
	return true;
}

int schema_connections(const struct config *c)
{
	return (int)(c->pg_shared + c->pg_exclusive) + LANES;
}

static int64_t ask_int(PGconn *pg, const char *sql, bool *ok)
{
	PGresult *r = PQexec(pg, sql);
	int64_t n = 0;

	if (PQresultStatus(r) == PGRES_TUPLES_OK)
		n = PQntuples(r) ? strtoll(PQgetvalue(r, 0, 0), NULL, 10) : 0;
	else
		*ok = false;
	PQclear(r);
	return n;
}

/* The budget: what the pools of these processes come to, against what may be had. */
static bool connections_suffice(const struct config *c, const char *what, int processes, const PGresult *r)
{
	long granted = strtol(PQgetvalue(r, 0, 2), NULL, 10), others = strtol(PQgetvalue(r, 0, 5), NULL, 10);
	long need = (long)processes * schema_connections(c);
	char why[500];

	for (int col = 3; col <= 4; col++) {
		long limit = strtol(PQgetvalue(r, 0, col), NULL, 10);

		if (!PQgetisnull(r, 0, col) && limit >= 0 && limit < granted)
			granted = limit;
	}
	if (c->pg_budget && c->pg_budget < granted)
		granted = (long)c->pg_budget;
	if (need <= granted) {
		if (need + others > granted && !c->pg_budget)
			log_line(LOG_WARN,
				 "with the connections that others have open now, PostgreSQL may run out of them: see "
				 "the "
				 "connection budget in docs/operations.md",
				 LOG_I("needed", need), LOG_I("others", others), LOG_I("granted", granted));
		return true;
	}
	snprintf(
		why, sizeof(why),
		"%s opens up to %ld connections to PostgreSQL (%d processes, each %lld postgresql-shared, %lld "
		"postgresql-exclusive and %d for locks), but only %ld are to be had (max_connections less the reserved "
		"ones, limits of role and database, postgresql-budget): lower workers or the pools, or raise the limit",
		what, need, processes, (long long)c->pg_shared, (long long)c->pg_exclusive, LANES, granted);
	fprintf(stderr, "boxoffice: %s\n", why);
	return false;
}

static int look(PGconn *pg, const struct config *c, const char *what, int processes)
{
	PGresult *r = PQexec(pg, version_sql);
	int64_t found = 0, oldest = 0;
	int status = SCHEMA_AWAY;
	bool ok = PQresultStatus(r) == PGRES_TUPLES_OK && PQntuples(r) == 1;
	char why[300];

	if (ok && PQgetvalue(r, 0, 0)[0] == '1')
		found = ask_int(pg, "SELECT max(version) FROM schema_migrations", &ok);
	if (ok && PQgetvalue(r, 0, 1)[0] == '1')
		oldest = ask_int(pg, "SELECT oldest_program FROM system_state", &ok);
	if (ok && !schema_suits(migrate_wanted(), found, oldest, why, sizeof(why))) {
		fprintf(stderr, "boxoffice: %s\n", why);
		status = SCHEMA_UNFIT;
	} else if (ok) {
		status = connections_suffice(c, what, processes, r) ? SCHEMA_FITS : SCHEMA_SETTINGS;
	}
	PQclear(r);
	return status;
}

int schema_look(const struct config *c, const char *what, int processes)
{
	const char *keys[] = {"dbname", "application_name", "connect_timeout", "options", NULL};
	const char *values[] = {c->database_url, "boxoffice schema", "3",
				"-c statement_timeout=3000 -c client_min_messages=warning", NULL};
	PGconn *pg = PQconnectdbParams(keys, values, 1);
	int status = PQstatus(pg) == CONNECTION_OK ? look(pg, c, what, processes) : SCHEMA_AWAY;

	PQfinish(pg);
	return status;
}

pid_t schema_guard_start(const struct config *c, const char *what, int processes)
{
	pid_t parent = getpid(), pid = fork();
	sigset_t none;
	int status;

	if (pid)
		return pid;
	signal(SIGTERM, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	signal(SIGHUP, SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(SCHEMA_AWAY);
	while ((status = schema_look(c, what, processes)) == SCHEMA_AWAY) {
		struct timespec pause = {0, AGAIN_MS * 1000000L};

		nanosleep(&pause, NULL);
	}
	_exit(status);
}
