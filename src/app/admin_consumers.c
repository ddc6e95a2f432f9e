/*
 * `boxoffice admin consumers`: how far the consumers of events are, what they could not take, and where one shall begin anew. Wishes
 * stand in the database; whoever runs the consumer reads them. Blocks.
 */
#include "app/admin_int.h"
#include "app/admin_sql.h"
#include "app/migrate.h"

#include <stdio.h>
#include <string.h>

int admin_consumers_list(const struct asked *a)
{
	PGresult *r = pg_sync_ask(a->pg, "consumers list", admin_sql_consumers_list.sql, 0, NULL);

	if (!r)
		return 1;
	if (PQntuples(r) == 0)
		printf("No consumer has run yet.\n");
	for (int i = 0; i < PQntuples(r); i++) {
		printf("%s\treads %s\t%s behind\t%s parked\tseen %s s ago", PQgetvalue(r, i, 0), PQgetvalue(r, i, 1),
		       PQgetvalue(r, i, 2), PQgetvalue(r, i, 3), PQgetvalue(r, i, 4));
		if (strcmp(PQgetvalue(r, i, 5), "0") != 0)
			printf("\tfailed %s times", PQgetvalue(r, i, 5));
		printf("%s%s\n", PQgetvalue(r, i, 6)[0] ? "\t" : "", PQgetvalue(r, i, 6));
	}
	PQclear(r);
	return 0;
}

int admin_consumers_parked(const struct asked *a)
{
	const char *params[] = {a->subject ? a->subject : ""};
	PGresult *r = pg_sync_ask(a->pg, "consumers parked", admin_sql_consumers_parked.sql, 1, params);

	if (!r)
		return 1;
	if (PQntuples(r) == 0)
		printf("No event is parked.\n");
	for (int i = 0; i < PQntuples(r); i++)
		printf("%s\t%s\t%s\t%s\t%s tries\t%s\t%s\n", PQgetvalue(r, i, 0), PQgetvalue(r, i, 1),
		       PQgetvalue(r, i, 2), PQgetvalue(r, i, 3), PQgetvalue(r, i, 4), PQgetvalue(r, i, 5),
		       PQgetvalue(r, i, 6));
	PQclear(r);
	return 0;
}

static int parked_do(const struct asked *a, const char *sql, const char *done)
{
	const char *event = a->options[OPT_EVENT].value;
	const char *params[] = {a->subject, event ? event : ""};
	PGresult *r = pg_sync_ask(a->pg, "consumers", sql, 2, params);
	int status = 1;

	if (!r)
		return 1;
	if (PQntuples(r) == 0) {
		fprintf(stderr,
			"boxoffice: no event%s%s of consumer %s is parked: `admin consumers parked` shows which are\n",
			event ? " " : "", event ? event : "", a->subject);
	} else {
		printf("%d %s\n", PQntuples(r), done);
		status = 0;
	}
	PQclear(r);
	return status;
}

int admin_consumers_retry(const struct asked *a)
{
	return parked_do(a, admin_sql_consumers_retry.sql,
			 "to be tried again, within seconds where the consumer runs.");
}

int admin_consumers_skip(const struct asked *a)
{
	return parked_do(a, admin_sql_consumers_skip.sql, "given up.");
}

int admin_consumers_reset(const struct asked *a)
{
	const char *to = a->options[OPT_TO].value;
	const char *params[] = {a->subject, to};
	PGresult *r;
	int status = 1;

	if (!to || (strcmp(to, "now") != 0 && strcmp(to, "beginning") != 0)) {
		fprintf(stderr, "boxoffice: consumers reset needs --to now (what is written from now on) or --to "
				"beginning (all that "
				"is still kept, once more)\n");
		return 2;
	}
	r = pg_sync_ask(a->pg, "consumers reset", admin_sql_consumers_reset.sql, 2, params);
	if (!r)
		return 1;
	if (PQntuples(r) == 0) {
		fprintf(stderr, "boxoffice: no consumer %s has run yet: `admin consumers list` shows which have\n",
			a->subject);
	} else {
		printf("%s begins at %s.\n", a->subject,
		       strcmp(to, "now") == 0 ? "what is written from now on" : "the oldest event that is kept");
		status = 0;
	}
	PQclear(r);
	return status;
}
