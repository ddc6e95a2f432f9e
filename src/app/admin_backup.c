/*
 * `boxoffice admin backup FOLDER`: one moment of the database, by pg_dump (docs/decisions/0040 says why). Sales go on; it only
 * reads. Blocks.
 *
 *   our transaction --its snapshot--> pg_dump --> FOLDER.unfinished.XXXXXX --all on disk--> FOLDER
 *           +-- counts the same rows for the manifest
 */
#include "app/admin_int.h"
#include "app/app.h"
#include "app/backup.h"
#include "app/migrate.h"
#include "app/up_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef BOXOFFICE_VERSION
#define BOXOFFICE_VERSION "unknown"
#endif

/* What the folder is of. */
struct moment {
	char snapshot[100], taken_at[40], server[40];
	long long schema, oldest_program;
};

static bool moment_read(PGconn *c, struct moment *m)
{
	PGresult *r;

	if (!pg_sync_do(c, "backup",
			"SET idle_in_transaction_session_timeout = 0; BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"))
		return false;
	r = pg_sync_ask(
		c, "backup",
		"SELECT pg_export_snapshot(), to_char(transaction_timestamp(), 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'),"
		" current_setting('server_version'), (SELECT max(version) FROM schema_migrations),"
		" (SELECT oldest_program FROM system_state)",
		0, NULL);
	if (!r)
		return false;
	snprintf(m->snapshot, sizeof(m->snapshot), "%s", PQgetvalue(r, 0, 0));
	snprintf(m->taken_at, sizeof(m->taken_at), "%s", PQgetvalue(r, 0, 1));
	snprintf(m->server, sizeof(m->server), "%s", PQgetvalue(r, 0, 2));
	m->schema = strtoll(PQgetvalue(r, 0, 3), NULL, 10);
	m->oldest_program = strtoll(PQgetvalue(r, 0, 4), NULL, 10);
	PQclear(r);
	if (m->schema <= (long long)migrate_wanted())
		return true;
	fprintf(stderr,
		"boxoffice: the database's schema %lld is newer than this program (%lld): back up with the newer one\n",
		m->schema, (long long)migrate_wanted());
	return false;
}

static bool sync_path(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool ok = fd >= 0 && fsync(fd) == 0;

	if (!ok)
		fprintf(stderr, "boxoffice: %s does not come to disk: %s\n", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return ok;
}

static bool manifest_write(const char *folder, const struct moment *m, const char *data, json_t *counts)
{
	char path[BACKUP_PATH], hex[BACKUP_SHA256], *text = NULL;
	int64_t bytes;
	json_t *j;
	bool ok;

	if (!backup_checksum(data, &bytes, hex))
		return false;
	j = json_pack("{s:i, s:s, s:I, s:I, s:s, s:s, s:s, s:I, s:s, s:O}", "format", BACKUP_FORMAT, "program",
		      BOXOFFICE_VERSION, "schema", (json_int_t)m->schema, "oldest_program",
		      (json_int_t)m->oldest_program, "taken_at", m->taken_at, "postgresql", m->server, "file",
		      BACKUP_DATA, "bytes", (json_int_t)bytes, "sha256", hex, "rows", counts);
	text = j ? json_dumps(j, JSON_INDENT(2)) : NULL;
	snprintf(path, sizeof(path), "%.*s/" BACKUP_MANIFEST, PATH_MAX, folder);
	ok = text && up_file_write(path, 0600, text) && sync_path(data) && sync_path(folder);
	if (ok)
		backup_tell("%lld bytes, sha256 %s", (long long)bytes, hex);
	free(text);
	json_decref(j);
	return ok;
}

static bool fill(const struct asked *a, const char *folder)
{
	char data[BACKUP_PATH], file[BACKUP_PATH + 16], snapshot[120];
	const char *args[] = {"--format=custom", file,	      "--exclude-table-data=*.system_state",
			      "--no-password",	 "--verbose", "--lock-wait-timeout=60s",
			      snapshot,		 NULL};
	struct moment m;
	json_t *counts;
	bool ok;

	snprintf(data, sizeof(data), "%.*s/" BACKUP_DATA, PATH_MAX, folder);
	snprintf(file, sizeof(file), "--file=%s", data);
	if (!moment_read(a->pg, &m))
		return false;
	snprintf(snapshot, sizeof(snapshot), "--snapshot=%s", m.snapshot);
	counts = backup_count(a->pg);
	if (!counts)
		return false;
	struct backup_run run = {.program = "pg_dump",
				 .url = a->url,
				 .args = args,
				 .mark = "dumping contents of table \"",
				 .doing = "saving",
				 .n = (int)json_object_size(counts)};

	ok = backup_run(&run) && manifest_write(folder, &m, data, counts);
	json_decref(counts);
	PQclear(PQexec(a->pg, "ROLLBACK"));
	return ok;
}

/* The parent folder holds the name. */
static bool rename_done(const char *from, const char *to)
{
	char parent[BACKUP_PATH], *slash;

	/* never onto something, whatever came there meanwhile */
	if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) != 0) {
		fprintf(stderr, "boxoffice: cannot name the backup %s: %s\n", to, strerror(errno));
		return false;
	}
	snprintf(parent, sizeof(parent), "%s", to);
	slash = strrchr(parent, '/');
	if (slash == parent)
		slash++;
	if (slash)
		*slash = '\0';
	return sync_path(slash ? parent : ".");
}

int admin_backup(const struct asked *a)
{
	char folder[BACKUP_PATH], unfinished[BACKUP_PATH];
	struct stat st;
	size_t n = strlen(a->subject);

	while (n > 1 && a->subject[n - 1] == '/')
		n--;
	if (n > PATH_MAX - 40) {
		fprintf(stderr, "boxoffice: the folder's name is too long\n");
		return 2;
	}
	snprintf(folder, sizeof(folder), "%.*s", (int)n, a->subject);
	if (lstat(folder, &st) == 0) {
		fprintf(stderr, "boxoffice: there is a %s already; a backup overwrites nothing\n", folder);
		return 1;
	}
	snprintf(unfinished, sizeof(unfinished), "%.*s.unfinished.XXXXXX", (int)n, folder);
	if (!mkdtemp(unfinished)) {
		fprintf(stderr, "boxoffice: cannot make %s: %s\n", unfinished, strerror(errno));
		return 1;
	}
	backup_signals(a->pg);
	if (fill(a, unfinished) && !backup_stopped() && rename_done(unfinished, folder)) {
		backup_told();
		printf("%s is a backup\n", folder);
		return 0;
	}
	backup_told();
	up_remove_tree(unfinished);
	fprintf(stderr, "boxoffice: no backup was made%s\n", backup_stopped() ? ": stopped" : "");
	return 1;
}
