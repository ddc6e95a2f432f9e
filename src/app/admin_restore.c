/*
 * `boxoffice admin restore FOLDER`: a backup into an empty database. Overwrites nothing, and is all there or not at all (one
 * transaction), also after Ctrl-C. The content of system_state is no part of a backup: what is restored is closed from its
 * commit on, until admin_reopen.c has opened it. Blocks.
 *
 *   manifest, checksum --> the database is empty? --> pg_restore --> rows counted --> logins ended --> closed, with its reason
 */
#include "app/admin_int.h"
#include "app/admin_sql.h"
#include "app/app.h"
#include "app/backup.h"
#include "app/migrate.h"
#include "app/up_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MANIFEST_MAX = 1 << 20 };

static bool bad(const char *folder, const char *why)
{
	fprintf(stderr, "boxoffice: %s is not a whole backup: %s\n", folder, why);
	return false;
}

static json_t *manifest_read(const char *folder)
{
	char path[BACKUP_PATH], *text;
	json_t *j;

	snprintf(path, sizeof(path), "%.*s/" BACKUP_MANIFEST, PATH_MAX, folder);
	text = up_file_read(path, MANIFEST_MAX);
	j = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
	free(text);
	if (!j || !json_is_object(json_object_get(j, "rows")) || !json_is_string(json_object_get(j, "taken_at")) ||
	    !json_is_string(json_object_get(j, "sha256"))) {
		bad(folder, "it has no " BACKUP_MANIFEST " that can be read");
		json_decref(j);
		return NULL;
	}
	if (json_integer_value(json_object_get(j, "format")) != BACKUP_FORMAT ||
	    json_integer_value(json_object_get(j, "schema")) > (json_int_t)migrate_wanted()) {
		fprintf(stderr,
			"boxoffice: %s is a backup of form %lld and schema %lld, and this program knows form %d and "
			"schema "
			"%lld: take the program that fits\n",
			folder, (long long)json_integer_value(json_object_get(j, "format")),
			(long long)json_integer_value(json_object_get(j, "schema")), BACKUP_FORMAT,
			(long long)migrate_wanted());
		json_decref(j);
		return NULL;
	}
	return j;
}

static bool data_is_whole(const char *folder, const char *data, const json_t *manifest)
{
	char hex[BACKUP_SHA256];
	int64_t bytes;

	backup_tell("comparing the checksum");
	if (!backup_checksum(data, &bytes, hex))
		return false;
	backup_told();
	if (bytes != json_integer_value(json_object_get(manifest, "bytes")) ||
	    strcmp(hex, json_string_value(json_object_get(manifest, "sha256"))) != 0)
		return bad(folder, BACKUP_DATA " has another size or checksum than its manifest says");
	return true;
}

static bool database_is_empty(PGconn *c)
{
	PGresult *r = pg_sync_ask(c, "restore", admin_sql_restore_empty.sql, 0, NULL);
	bool empty = r && strcmp(PQgetvalue(r, 0, 0), "0") == 0;

	if (r && !empty)
		fprintf(stderr,
			"boxoffice: the database is not empty (it has %s tables and the like, one is \"%s\"): a "
			"restore "
			"overwrites nothing; make a new database and name that\n",
			PQgetvalue(r, 0, 0), PQgetvalue(r, 0, 1));
	PQclear(r);
	return empty;
}

/* Every table has as many rows as at the moment that the backup is of. */
static bool rows_agree(PGconn *c, const json_t *manifest)
{
	json_t *now = backup_count(c), *then = json_object_get(manifest, "rows");
	const char *name;
	json_t *n;
	bool same = now != NULL && json_equal(now, then);

	json_object_foreach(then, name, n) {
		json_t *here = now ? json_object_get(now, name) : NULL;

		if (now && !json_equal(here, n))
			fprintf(stderr, "boxoffice: the table %s has %lld rows and should have %lld\n", name,
				(long long)json_integer_value(here), (long long)json_integer_value(n));
	}
	json_decref(now);
	return same;
}

static bool close_sales(PGconn *c, const json_t *manifest)
{
	char oldest[24], reason[120];
	const char *taken_at = json_string_value(json_object_get(manifest, "taken_at"));
	const char *params[] = {reason, taken_at, oldest};
	PGresult *r;

	snprintf(oldest, sizeof(oldest), "%lld",
		 (long long)json_integer_value(json_object_get(manifest, "oldest_program")));
	snprintf(reason, sizeof(reason), "a backup of %.40s is being brought back", taken_at);
	r = pg_sync_ask(c, "restore", admin_sql_sales_close.sql, 3, params);
	PQclear(r);
	return r != NULL;
}

/* What was taken from the staff since the backup is theirs again: a person has to see to it. Backups of before there were any have
 * none to end. */
static bool end_logins(PGconn *c, const json_t *manifest)
{
	PGresult *r;

	if (!json_object_get(json_object_get(manifest, "rows"), "staff_logins"))
		return true;
	r = pg_sync_ask(c, "restore", admin_sql_restore_afresh.sql, 0, NULL);
	if (r)
		printf("%s API tokens and %s people of the staff are as they were then; %s logins were ended.\n"
		       "Revoke, disable and erase once more what was revoked, disabled and erased since.\n",
		       PQgetvalue(r, 0, 0), PQgetvalue(r, 0, 1), PQgetvalue(r, 0, 2));
	PQclear(r);
	return r != NULL;
}

/* Backups of before there were consumers have none. */
static bool put_consumers_back(PGconn *c, const json_t *manifest)
{
	PGresult *r;

	if (!json_object_get(json_object_get(manifest, "rows"), "consumers"))
		return true;
	r = pg_sync_ask(c, "restore", admin_sql_restore_consumers.sql, 0, NULL);
	PQclear(r);
	return r != NULL;
}

static bool bring_back(const struct asked *a, const char *data, const json_t *manifest)
{
	/* the database stands in the environment; it has to be named all the same, or the dump would be printed */
	char database[300];
	const char *args[] = {"--single-transaction",
			      "--exit-on-error",
			      "--no-owner",
			      "--no-password",
			      "--verbose",
			      database,
			      data,
			      NULL};
	struct backup_run run = {.program = "pg_restore",
				 .url = a->url,
				 .args = args,
				 .mark = "processing data for table \"",
				 .doing = "bringing back",
				 .n = (int)json_object_size(json_object_get(manifest, "rows"))};

	snprintf(database, sizeof(database), "--dbname=%.280s", PQdb(a->pg));
	return backup_run(&run);
}

int admin_restore(const struct asked *a)
{
	char data[BACKUP_PATH];
	json_t *manifest;
	int status = 1;

	if (strlen(a->subject) >= PATH_MAX) {
		fprintf(stderr, "boxoffice: the folder's name is too long\n");
		return 2;
	}
	snprintf(data, sizeof(data), "%s/" BACKUP_DATA, a->subject);
	manifest = manifest_read(a->subject);
	if (!manifest)
		return 1;
	backup_signals(a->pg);
	if (!data_is_whole(a->subject, data, manifest) || !database_is_empty(a->pg) || !migrate_ensure_role(a->pg))
		goto out;
	if (!bring_back(a, data, manifest)) {
		fprintf(stderr, "boxoffice: nothing was restored%s\n", backup_stopped() ? ": stopped" : "");
		goto out;
	}
	backup_tell("counting the rows");
	if (!rows_agree(a->pg, manifest) || !end_logins(a->pg, manifest) || !put_consumers_back(a->pg, manifest) ||
	    !close_sales(a->pg, manifest) || !pg_sync_do(a->pg, "restore", "ANALYZE")) {
		fprintf(stderr,
			"boxoffice: the data is there, but it is not what the backup says; sales stay closed\n");
		goto out;
	}
	backup_told();
	printf("restored: the state of %s. Sales are closed.\n"
	       "What was sold since then is known to the payment gateway alone. Now, in this order:\n"
	       "  1. `boxoffice migrate`, if the program is newer than the backup\n"
	       "  2. start `boxoffice work` and `boxoffice serve` on this database\n"
	       "  3. `boxoffice admin restore --finish`, which says what is left to do and opens sales\n",
	       json_string_value(json_object_get(manifest, "taken_at")));
	status = 0;
out:
	json_decref(manifest);
	return status;
}
