/* libpq as the one-shot commands use it: blocking, an error is a sentence on standard error. */
#include "app/migrate.h"

#include <stdio.h>
#include <string.h>

/* The first line: libpq ends its messages with a line feed and adds detail below. */
static int first_line(const char *text)
{
	return (int)strcspn(text, "\n");
}

PGconn *pg_sync_open(const char *url, const char *application)
{
	const char *keys[] = {"dbname", "application_name", "connect_timeout", "options", NULL};
	const char *values[] = {url, application, "10", "-c timezone=UTC -c client_min_messages=warning", NULL};
	PGconn *c = PQconnectdbParams(keys, values, 1);

	if (PQstatus(c) != CONNECTION_OK) {
		fprintf(stderr, "boxoffice: cannot connect to PostgreSQL: %.*s\n", first_line(PQerrorMessage(c)),
			PQerrorMessage(c));
		PQfinish(c);
		return NULL;
	}
	return c;
}

static bool fine(PGconn *c, const char *what, const PGresult *r)
{
	ExecStatusType status = PQresultStatus(r);

	if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK)
		return true;
	fprintf(stderr, "boxoffice: %s: %.*s\n", what, first_line(PQerrorMessage(c)), PQerrorMessage(c));
	return false;
}

bool pg_sync_do(PGconn *c, const char *what, const char *sql)
{
	PGresult *r = PQexec(c, sql);
	bool ok = fine(c, what, r);

	PQclear(r);
	return ok;
}

PGresult *pg_sync_ask(PGconn *c, const char *what, const char *sql, int n, const char *const *params)
{
	PGresult *r = PQexecParams(c, sql, n, NULL, params, NULL, NULL, 0);

	if (fine(c, what, r))
		return r;
	PQclear(r);
	return NULL;
}
