/*
 * `boxoffice admin notifications`: mails that could not be sent, why, and sending them once more. To whom stands in buyers and is not
 * shown: a booking's reference is what staff look people up by. Blocks.
 */
#include "app/admin_int.h"
#include "app/admin_sql.h"
#include "app/migrate.h"
#include "base/ids.h"

#include <stdio.h>
#include <string.h>

int admin_notifications_list(const struct asked *a)
{
	const char *params[] = {a->options[OPT_ALL].value ? "true" : "false"};
	PGresult *r = pg_sync_ask(a->pg, "notifications list", admin_sql_notifications_list.sql, 1, params);
	int failed = 0;

	if (!r)
		return 1;
	for (int i = 0; i < PQntuples(r); i++) {
		const char *words = PQgetvalue(r, i, 6), *reference = PQgetvalue(r, i, 8),
			   *status = PQgetvalue(r, i, 5);

		failed += strcmp(PQgetvalue(r, i, 2), "failed") == 0;
		printf("%s %s  %s  made %s, tried %s times\n", PQgetvalue(r, i, 2), PQgetvalue(r, i, 0),
		       PQgetvalue(r, i, 1), PQgetvalue(r, i, 3), PQgetvalue(r, i, 4));
		if (*reference)
			printf("    booking %s (%s)\n", reference, PQgetvalue(r, i, 7));
		if (*words)
			printf("    %s%s%s\n", strcmp(status, "0") == 0 ? "" : "the server: ", words, "");
		if (*PQgetvalue(r, i, 9))
			printf("    Message-ID %s\n", PQgetvalue(r, i, 9));
	}
	if (PQntuples(r) == 0)
		printf("Nothing waits for a person: no mail failed, and none waits for long.\n");
	else if (failed)
		printf("Failed: %d. `boxoffice admin notifications retry ID` (or --all) sends one again, once its "
		       "cause is mended.\n",
		       failed);
	PQclear(r);
	return 0;
}

int admin_notifications_retry(const struct asked *a)
{
	bool all = a->options[OPT_ALL].value != NULL;
	const char *params[] = {all ? NULL : a->subject};
	struct uuid id;
	PGresult *r;
	int status = 0;

	if (all == (a->subject != NULL) || (a->subject && !uuid_parse(str_from(a->subject), &id))) {
		fprintf(stderr, "boxoffice: notifications retry takes the id that `admin notifications list` shows, or "
				"--all\n");
		return 2;
	}
	r = pg_sync_ask(a->pg, "notifications retry", admin_sql_notification_again.sql, 1, params);
	if (!r)
		return 1;
	if (strcmp(PQcmdTuples(r), "0") == 0 && !all) {
		fprintf(stderr, "boxoffice: no failed mail %s\n", a->subject);
		status = 1;
	} else {
		printf("to be sent again: %s\n", PQcmdTuples(r));
	}
	PQclear(r);
	return status;
}
