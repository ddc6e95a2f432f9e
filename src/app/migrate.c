/*
 * `boxoffice migrate`: the files of db/migrations, carried in the program, applied in the order of their numbers. Each is
 * one transaction together with its row in schema_migrations, so that a broken one leaves nothing behind. An advisory
 * lock keeps two of these commands apart. A file that was applied never changes: its checksum is compared.
 *
 * People are buying meanwhile. Whoever waits for a table's lock makes everybody wait behind it, so a migration waits for a
 * fifth of what a sale's own statement waits at most, gives way, and comes again; the same when it met somebody in a deadlock.
 *
 * An index on a table that sales write to is made ahead, without keeping anybody from writing: a line "-- Ahead: CREATE INDEX
 * CONCURRENTLY IF NOT EXISTS name ON ...;" is a statement of its own, before the transaction. The transaction makes it too, IF NOT
 * EXISTS: for whoever runs the file by hand. What a failed attempt has left half made is made anew.
 *
 * Versions n and n+1 of the program run on one schema: a file says in its first line which program is the oldest that works
 * on it ("-- Oldest program: NNNN", the newest migration that one knows), and the database keeps the highest of these.
 */
#include "app/migrate.h"

#include "app/app.h"
#include "app/migration_files.h"
#include "base/xmalloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* "boxoffic": nobody else's number */
#define LOCK_KEY "7093297898414039395"

struct migration {
	int64_t version;
	char name[80]; /* without number and ending */
	char checksum[2 * CRYPTO_HASH + 1];
	const char *sql;
	int64_t oldest_program; /* 0: not said */
};

enum { TRIES_MAX = 120, LOCK_TRIES_MAX = 2000, PAUSE_MS = 100, PAUSE_MORE_MS = 400 };

static size_t count(void)
{
	size_t n = 0;

	while (migration_files[n])
		n++;
	return n;
}

static int64_t version_of(const struct embedded_file *f)
{
	uint64_t v = 0;

	if (strlen(f->name) < 9 || f->name[4] != '_' || !str_to_u64((struct str){f->name, 4}, 9999, &v) || v == 0) {
		fprintf(stderr, "boxoffice: the migration %s is not named NNNN_name.sql\n", f->name);
		abort();
	}
	return (int64_t)v;
}

int64_t migrate_wanted(void)
{
	int64_t newest = 0;

	for (size_t i = 0; migration_files[i]; i++)
		if (version_of(migration_files[i]) > newest)
			newest = version_of(migration_files[i]);
	return newest;
}

static int by_version(const void *a, const void *b)
{
	const struct migration *x = a, *y = b;

	return x->version < y->version ? -1 : x->version > y->version;
}

static int64_t oldest_of(const char *sql)
{
	static const char line[] = "-- Oldest program: ";
	uint64_t v = 0;

	if (strncmp(sql, line, strlen(line)) != 0)
		return 0;
	sql += strlen(line);
	return str_to_u64((struct str){sql, strcspn(sql, "\n")}, 9999, &v) ? (int64_t)v : 0;
}

static struct migration *all_migrations(size_t *ret_n)
{
	size_t n = count();
	struct migration *m = xcalloc(n + 1, sizeof(*m));

	for (size_t i = 0; i < n; i++) {
		const struct embedded_file *f = migration_files[i];
		uint8_t digest[CRYPTO_HASH];

		m[i].version = version_of(f);
		snprintf(m[i].name, sizeof(m[i].name), "%.*s", (int)(strlen(f->name) - 9), f->name + 5);
		crypto_digest((struct str){f->bytes, f->size}, digest);
		hex_encode(digest, sizeof(digest), m[i].checksum);
		m[i].sql = f->bytes;
		m[i].oldest_program = oldest_of(f->bytes);
	}
	qsort(m, n, sizeof(*m), by_version);
	*ret_n = n;
	return m;
}

/* Which of them the database has; also that it has nothing else. applied[i]: when, or NULL. */
static bool compare(PGconn *c, const struct migration *m, size_t n, char **applied)
{
	PGresult *r = pg_sync_ask(
		c, "schema_migrations",
		"SELECT version, name, checksum, to_char(applied_at, 'YYYY-MM-DD HH24:MI:SS') FROM schema_migrations "
		"ORDER BY version",
		0, NULL);
	bool ok = r != NULL;

	for (int row = 0; ok && row < PQntuples(r); row++) {
		int64_t version = strtoll(PQgetvalue(r, row, 0), NULL, 10);
		size_t i = 0;

		while (i < n && m[i].version != version)
			i++;
		if (i == n) {
			fprintf(stderr,
				"boxoffice: the database has migration %04lld_%s, which this program does not know: it "
				"is newer than "
				"the program; use the version that made it\n",
				(long long)version, PQgetvalue(r, row, 1));
			ok = false;
		} else if (strcmp(m[i].checksum, PQgetvalue(r, row, 2)) != 0) {
			fprintf(stderr,
				"boxoffice: migration %04lld_%s was applied with other content (checksum %.16s..., "
				"this program has "
				"%.16s...): an applied migration must not be changed; add a new one\n",
				(long long)version, m[i].name, PQgetvalue(r, row, 2), m[i].checksum);
			ok = false;
		} else {
			applied[i] = xstrdup(PQgetvalue(r, row, 3));
		}
	}
	PQclear(r);
	return ok;
}

/* The line of the file in which PostgreSQL found the fault; 0 when it does not say. */
static int line_of_fault(const char *sql, const PGresult *r)
{
	const char *position = PQresultErrorField(r, PG_DIAG_STATEMENT_POSITION);
	long at = position ? strtol(position, NULL, 10) : 0;
	int line = 1;

	/* PostgreSQL counts characters, from 1 */
	for (const char *p = sql; at > 1 && *p; p++) {
		line += *p == '\n';
		at -= ((unsigned char)p[1] & 0xc0) != 0x80;
	}
	return position ? line : 0;
}

enum applied { APPLIED, APPLY_AGAIN, APPLY_FAILED };

/* Which programs still fit is kept with the schema they fit to. */
static bool keep_oldest(PGconn *c, const struct migration *m)
{
	char oldest[24];
	const char *params[] = {oldest};
	PGresult *r;

	if (!m->oldest_program)
		return true;
	snprintf(oldest, sizeof(oldest), "%lld", (long long)m->oldest_program);
	r = pg_sync_ask(c, "system_state", "UPDATE system_state SET oldest_program = greatest(oldest_program, $1::int)",
			1, params);
	PQclear(r);
	return r != NULL;
}

/* last: it is not tried again. */
static enum applied apply(PGconn *c, const struct migration *m, bool last)
{
	char version[24];
	const char *params[] = {version, m->name, m->checksum};
	enum applied ret = APPLY_FAILED;
	PGresult *r;

	snprintf(version, sizeof(version), "%lld", (long long)m->version);
	if (!pg_sync_do(c, "migrate", "BEGIN"))
		return APPLY_FAILED;
	r = PQexec(c, m->sql);
	if (PQresultStatus(r) != PGRES_COMMAND_OK && PQresultStatus(r) != PGRES_TUPLES_OK) {
		const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
		const char *said = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
		bool in_the_way = state && (strcmp(state, "55P03") == 0 || strcmp(state, "40P01") == 0);

		if (in_the_way && !last)
			ret = APPLY_AGAIN;
		else
			fprintf(stderr, "boxoffice: migration %04lld_%s (line %d): %s (%s)%s; nothing of it was kept\n",
				(long long)m->version, m->name, line_of_fault(m->sql, r),
				said ? said : PQerrorMessage(c), state ? state : "connection lost",
				in_the_way ? "; another session holds a table: run it again" : "");
		goto out;
	}
	PQclear(r);
	r = pg_sync_ask(c, "schema_migrations",
			"INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3)", 3, params);
	if (r && keep_oldest(c, m) && pg_sync_do(c, "migrate", "COMMIT"))
		ret = APPLIED;
out:
	if (ret != APPLIED)
		PQclear(PQexec(c, "ROLLBACK"));
	PQclear(r);
	return ret;
}

/* Not in step with whatever comes back every second. */
static void give_way(void)
{
	uint32_t more;
	struct timespec pause = {0, 0};

	crypto_random(&more, sizeof(more));
	pause.tv_nsec = (PAUSE_MS + (long)(more % PAUSE_MORE_MS)) * 1000000L;
	nanosleep(&pause, NULL);
}

static bool apply_in_time(PGconn *c, const struct migration *m)
{
	for (int i = 1;; i++) {
		enum applied a = apply(c, m, i == TRIES_MAX);

		if (a != APPLY_AGAIN)
			return a == APPLIED;
		if (i == 1)
			fprintf(stderr,
				"boxoffice: migration %04lld_%s waits for a table that is in use; sales go first\n",
				(long long)m->version, m->name);
		give_way();
	}
}

/* An index that was not made to its end counts for nothing, and its name is in the way. */
static bool drop_half_made(PGconn *c, struct str name)
{
	char index[80], drop[120];
	const char *params[] = {index};
	PGresult *r;
	bool half;

	snprintf(index, sizeof(index), "%.*s", STR_FMT(name));
	r = pg_sync_ask(c, "migrate", "SELECT 1 FROM pg_index WHERE indexrelid = to_regclass($1) AND NOT indisvalid", 1,
			params);
	half = r && PQntuples(r);
	PQclear(r);
	snprintf(drop, sizeof(drop), "DROP INDEX CONCURRENTLY IF EXISTS %s", index);
	return r && (!half || pg_sync_do(c, "migrate", drop));
}

/* The lines that say what is made ahead. It waits for older transactions, and nobody waits for it. */
static bool apply_ahead(PGconn *c, const struct migration *m)
{
	static const char mark[] = "-- Ahead: ", named[] = "IF NOT EXISTS ";
	const char *line = m->sql;
	bool ok = true;

	for (; ok && line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, mark, strlen(mark)) == 0) {
			char *statement = xstrndup(line + strlen(mark), strcspn(line, "\n") - strlen(mark));
			const char *name = strstr(statement, named);

			if (!name)
				abort(); /* a migration of ours */
			name += strlen(named);
			ok = pg_sync_do(c, "migrate", "SET lock_timeout = '60s'") &&
			     drop_half_made(c, (struct str){name, strcspn(name, " ")}) &&
			     pg_sync_do(c, m->name, statement) &&
			     pg_sync_do(c, "migrate", "SET lock_timeout = '100ms'");
			free(statement);
		}
	}
	return ok;
}

bool migrate_ensure_role(PGconn *c)
{
	PGresult *r = pg_sync_ask(c, "roles", "SELECT 1 FROM pg_roles WHERE rolname = 'boxoffice_app'", 0, NULL);
	const char *state;
	bool there = r && PQntuples(r) == 1, ok = r != NULL;

	PQclear(r);
	if (!ok || there)
		return ok;
	r = PQexec(c, "CREATE ROLE boxoffice_app NOLOGIN");
	ok = PQresultStatus(r) == PGRES_COMMAND_OK;
	state = ok ? NULL : PQresultErrorField(r, PG_DIAG_SQLSTATE);
	if (!ok && state && strcmp(state, "42501") == 0)
		fprintf(stderr, "boxoffice: the role boxoffice_app is missing and this role may not create it; have a "
				"superuser run: "
				"CREATE ROLE boxoffice_app LOGIN PASSWORD '...'\n");
	else if (!ok)
		fprintf(stderr, "boxoffice: cannot create the role boxoffice_app: %s", PQerrorMessage(c));
	PQclear(r);
	return ok;
}

/* One at a time; says so when it has to wait. Asks again and again: a statement that waits would have a snapshot, for whose end an
 * index that is made ahead waits in turn. */
static bool take_lock(PGconn *c)
{
	for (int i = 0; i < LOCK_TRIES_MAX; i++) {
		PGresult *r = pg_sync_ask(c, "migrate", "SELECT pg_try_advisory_lock(" LOCK_KEY ")", 0, NULL);
		bool got = r && PQgetvalue(r, 0, 0)[0] == 't', ok = r != NULL;

		PQclear(r);
		if (!ok || got)
			return ok;
		if (i == 0)
			fprintf(stderr, "boxoffice: another migration is running; waiting for it\n");
		give_way();
	}
	fprintf(stderr, "boxoffice: the other migration did not end\n");
	return false;
}

static void free_all(struct migration *m, char **applied, size_t n)
{
	for (size_t i = 0; applied && i < n; i++)
		free(applied[i]);
	free(applied);
	free(m);
}

bool migrate_run(const char *url, bool quiet)
{
	PGconn *c = pg_sync_open(url, "boxoffice migrate");
	char **applied = NULL;
	struct migration *m = NULL;
	size_t n = 0, done = 0;
	bool ok = false;

	if (!c)
		return false;
	m = all_migrations(&n);
	applied = xcalloc(n + 1, sizeof(*applied));
	if (!take_lock(c) || !pg_sync_do(c, "migrate", "SET lock_timeout = '100ms'; SET statement_timeout = 0"))
		goto out;
	if (!pg_sync_do(c, "cannot make the table schema_migrations",
			"CREATE TABLE IF NOT EXISTS schema_migrations (version int PRIMARY KEY, name text NOT NULL, "
			"checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT statement_timestamp())"))
		goto out;
	if (!compare(c, m, n, applied) || !migrate_ensure_role(c))
		goto out;
	for (size_t i = 0; i < n; i++) {
		if (applied[i])
			continue;
		if (!apply_ahead(c, &m[i]) || !apply_in_time(c, &m[i]))
			goto out;
		done++;
		if (!quiet)
			printf("applied %04lld_%s\n", (long long)m[i].version, m[i].name);
	}
	if (!quiet && !done)
		printf("nothing to do: the schema is at version %lld\n", (long long)migrate_wanted());
	ok = true;
out:
	free_all(m, applied, n);
	PQfinish(c);
	return ok;
}

/* Changes nothing. 0 all applied, 1 some are not. */
static int status(const char *url)
{
	PGconn *c = pg_sync_open(url, "boxoffice migrate");
	char **applied = NULL;
	struct migration *m = NULL;
	PGresult *r = NULL;
	size_t n = 0, pending = 0;
	int ret = 1;

	if (!c)
		return 1;
	m = all_migrations(&n);
	applied = xcalloc(n + 1, sizeof(*applied));
	r = pg_sync_ask(c, "migrate", "SELECT to_regclass('schema_migrations') IS NOT NULL", 0, NULL);
	if (!r || (PQgetvalue(r, 0, 0)[0] == 't' && !compare(c, m, n, applied)))
		goto out;
	for (size_t i = 0; i < n; i++) {
		printf("%04lld_%-40s %s%s\n", (long long)m[i].version, m[i].name, applied[i] ? "applied " : "pending",
		       applied[i] ? applied[i] : "");
		pending += applied[i] == NULL;
	}
	ret = pending ? 1 : 0;
out:
	PQclear(r);
	free_all(m, applied, n);
	PQfinish(c);
	return ret;
}

int migrate_main(int argc, char **argv)
{
	struct config_extra extra[] = {
		{"status", false, "Only list which migrations are applied; 1 when some are not.", NULL}, {0}};
	struct config config;
	const char *url;
	int ret = config_read("boxoffice migrate", "Brings the database's tables to what this program knows.", argc,
			      argv, extra, &config);

	if (ret >= 0)
		return ret;
	url = config.migrate_url[0] ? config.migrate_url : config.database_url;
	if (!config_need(&config, "migrate", "migrate-url", url))
		return 2;
	if (extra[0].value)
		return status(url);
	return migrate_run(url, false) ? 0 : 1;
}
