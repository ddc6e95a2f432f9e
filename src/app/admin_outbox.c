/*
 * `boxoffice admin outbox`: which events do not go out, and what a person wishes about them. Nothing is done here: the relay, which
 * has the partition, reads the wish, so that nobody comes between it and the order of an aggregate. Blocks.
 */
#include "app/admin_int.h"
#include "app/admin_sql.h"
#include "app/migrate.h"
#include "base/ids.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>

int admin_outbox_list(const struct asked *a)
{
	const char *params[] = {a->options[OPT_ALL].value ? "t" : "f"};
	PGresult *r = pg_sync_ask(a->pg, "outbox list", admin_sql_outbox_parked_list.sql, 1, params);

	if (!r)
		return 1;
	if (PQntuples(r) == 0)
		printf("No event is set aside.\n");
	for (int i = 0; i < PQntuples(r); i++)
		printf("%s\t%s\t%s\t%s\t%s\t%s behind it\t%s\t%s\n", PQgetvalue(r, i, 0), PQgetvalue(r, i, 1),
		       PQgetvalue(r, i, 2), PQgetvalue(r, i, 3), PQgetvalue(r, i, 4), PQgetvalue(r, i, 5),
		       PQgetvalue(r, i, 6), PQgetvalue(r, i, 7));
	PQclear(r);
	return 0;
}

static int wish(const struct asked *a, const char *what, const char *done)
{
	struct str id, place = str_split(str_from(a->subject), ':', &id);
	char outbox[UUID_TEXT], number[16];
	const char *params[] = {outbox, number, what};
	struct uuid uuid;
	uint64_t n = 0;
	PGresult *r;
	int status = 1;

	if (!uuid_parse(id, &uuid) || (!str_eqc(place, "-1") && !str_to_u64(place, 1000000, &n))) {
		fprintf(stderr, "boxoffice: outbox %s takes an event's id as `admin outbox list` shows it\n", what);
		return 2;
	}
	uuid_format(&uuid, outbox);
	snprintf(number, sizeof(number), "%.*s", STR_FMT(place));
	r = pg_sync_ask(a->pg, "outbox", admin_sql_outbox_parked_wish.sql, 3, params);
	if (!r)
		return 1;
	if (PQntuples(r) == 0) {
		fprintf(stderr, "boxoffice: no event %s is set aside\n", a->subject);
	} else if (strcmp(PQgetvalue(r, 0, 0), "refused") != 0) {
		fprintf(stderr,
			strcmp(PQgetvalue(r, 0, 0), "waiting") == 0
				? "boxoffice: event %s only waits behind an earlier one of its aggregate: `admin "
				  "outbox list` shows which\n"
				: "boxoffice: event %s was left out already\n",
			a->subject);
	} else {
		printf("%s\n", done);
		status = 0;
	}
	PQclear(r);
	return status;
}

int admin_outbox_retry(const struct asked *a)
{
	return wish(a, "retry", "The relay tries it again, and those behind it when it is out.");
}

int admin_outbox_skip(const struct asked *a)
{
	return wish(a, "skip", "The relay leaves it out, and goes on with those behind it.");
}
