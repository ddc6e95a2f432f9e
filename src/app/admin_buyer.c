/*
 * `boxoffice admin erase` and `admin export`: what is kept about a person, and forgetting it. A name and an address of a
 * buyer stand in buyers alone, a record for each booking; so erasing is one statement, and everything else points to records that say nothing.
 * Blocks.
 */
#include "app/admin_int.h"
#include "app/admin_sql.h"
#include "app/migrate.h"
#include "base/ids.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NOBODY = 3 };

/* email, record, organiser; false after a sentence. */
static bool whom(const struct asked *a, const char *what, const char *params[3])
{
	const char *email = a->options[OPT_EMAIL].value, *buyer = a->options[OPT_BUYER].value;
	const char *organizer = a->options[OPT_ORGANIZER].value;
	struct uuid id;

	if ((email && *email) == (buyer && *buyer)) {
		fprintf(stderr, "boxoffice: admin %s needs either --email ADDRESS or --buyer ID\n", what);
		return false;
	}
	if (buyer && !uuid_parse(str_from(buyer), &id)) {
		fprintf(stderr, "boxoffice: --buyer takes the buyer_id that `admin export` shows\n");
		return false;
	}
	params[0] = email ? email : "";
	params[1] = buyer ? buyer : "";
	params[2] = organizer ? organizer : "";
	return true;
}

/* A name that is mistyped must not read as "nobody is known". */
static bool organizer_there(const struct asked *a)
{
	const char *name = a->options[OPT_ORGANIZER].value;
	PGresult *r;
	bool there = false;

	if (!name)
		return true;
	r = pg_sync_ask(a->pg, "organizer list", admin_sql_organizer_list.sql, 0, NULL);
	if (!r)
		return false;
	for (int i = 0; i < PQntuples(r) && !there; i++)
		there = strcmp(PQgetvalue(r, i, 1), name) == 0;
	PQclear(r);
	if (!there)
		fprintf(stderr, "boxoffice: there is no organiser \"%s\"\n", name);
	return there;
}

int admin_buyer_erase(const struct asked *a)
{
	const char *params[3];
	long future, records;
	PGresult *r;

	if (!whom(a, "erase", params))
		return 2;
	if (!organizer_there(a))
		return 1;
	r = pg_sync_ask(a->pg, "erase", admin_sql_buyer_future.sql, 3, params);
	if (!r)
		return 1;
	future = strtol(PQgetvalue(r, 0, 0), NULL, 10);
	PQclear(r);
	if (future && !a->options[OPT_YES_FUTURE].value) {
		fprintf(stderr,
			"boxoffice: this person has %ld booking(s), their own or with tickets given to them, for shows "
			"still to come. The tickets would stay valid, but "
			"nobody could be told of a change. Nothing was erased; --yes-future erases all the same\n",
			future);
		return 1;
	}
	r = pg_sync_ask(a->pg, "erase", admin_sql_buyer_erase.sql, 3, params);
	if (!r)
		return 1;
	records = strtol(PQgetvalue(r, 0, 0), NULL, 10);
	if (records)
		printf("erased: %ld records; %s bookings and %s payments stay, without a person\n", records,
		       PQgetvalue(r, 0, 1), PQgetvalue(r, 0, 2));
	else
		printf("erased: 0 records; nobody is known by that %s\n", params[0][0] ? "address" : "id");
	if (strcmp(PQgetvalue(r, 0, 3), "0") != 0)
		printf("somebody of the staff has that address and was not erased: DELETE /v1/staff/users/{user}\n");
	PQclear(r);
	return 0;
}

int admin_buyer_export(const struct asked *a)
{
	const char *params[3];
	PGresult *r;
	bool known;

	if (!whom(a, "export", params))
		return 2;
	if (!organizer_there(a))
		return 1;
	r = pg_sync_ask(a->pg, "export", admin_sql_buyer_export.sql, 3, params);
	if (!r)
		return 1;
	known = PQntuples(r) == 1;
	if (known)
		printf("%s\n", PQgetvalue(r, 0, 0));
	else
		fprintf(stderr, "boxoffice: nobody is known by that %s\n", params[0][0] ? "address" : "id");
	PQclear(r);
	return known ? 0 : NOBODY;
}
