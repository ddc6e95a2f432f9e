/*
 * What `up` does to a fresh database, each time again and without effect the second time: the lesser role, the database,
 * the schema, the organiser "default" and its token. Runs as a step (a process of its own): it blocks.
 */
#include "app/up_int.h"

#include "app/admin_sql.h"
#include "app/app.h"
#include "app/migrate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static bool yes(PGconn *c, const char *what, const char *sql, bool *ret)
{
	PGresult *r = pg_sync_ask(c, what, sql, 0, NULL);

	*ret = r && PQntuples(r) > 0;
	PQclear(r);
	return r != NULL;
}

static bool make_roles(struct up *up)
{
	char url[3 * PATH_MAX], *name;
	PGconn *c;
	bool there, ok;

	up_path(url, sizeof(url), "%s", up->database_url);
	name = strstr(url, "///boxoffice?");
	memmove(name + 3 + 8, name + 3 + 9, strlen(name + 3 + 9) + 1);
	memcpy(name + 3, "postgres", 8);
	c = pg_sync_open(url, "boxoffice up");
	if (!c)
		return false;
	ok = yes(c, "roles", "SELECT 1 FROM pg_roles WHERE rolname = 'boxoffice_app' AND rolcanlogin", &there);
	if (ok && !there)
		ok = pg_sync_do(c, "cannot make the role boxoffice_app",
				"DO $$ BEGIN CREATE ROLE boxoffice_app LOGIN; EXCEPTION WHEN duplicate_object THEN "
				"ALTER ROLE boxoffice_app LOGIN; END $$");
	if (ok)
		ok = yes(c, "databases", "SELECT 1 FROM pg_database WHERE datname = 'boxoffice'", &there);
	if (ok && !there)
		ok = pg_sync_do(c, "cannot make the database", "CREATE DATABASE boxoffice");
	PQfinish(c);
	return ok;
}

static bool token_works(PGconn *c, const char *token)
{
	uint8_t digest[CRYPTO_HASH];
	char hash[2 * CRYPTO_HASH + 1];
	const char *params[] = {hash};
	PGresult *r;
	bool ok;

	crypto_digest(str_from(token), digest);
	hex_encode(digest, sizeof(digest), hash);
	r = pg_sync_ask(c, "api_tokens", admin_sql_token_works.sql, 1, params);
	ok = r && PQntuples(r) == 1;
	PQclear(r);
	return ok;
}

static bool make_token(PGconn *c, const char *path)
{
	char token[AUTH_TOKEN_TEXT], line[AUTH_TOKEN_TEXT + 2], id[UUID_TEXT], hash[2 * CRYPTO_HASH + 1];
	const char *params[] = {
		id, "default", "boxoffice up", hash, "{events,seats,bookings,payments,checkin,admin}", "infinity"};
	uint8_t digest[CRYPTO_HASH];
	struct uuid uuid;
	struct timespec now;
	PGresult *r;

	clock_gettime(CLOCK_REALTIME, &now);
	auth_staff_token_new((int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000, token, &uuid, digest);
	uuid_format(&uuid, id);
	hex_encode(digest, sizeof(digest), hash);
	r = pg_sync_ask(c, "cannot make the admin token", admin_sql_token_create.sql, 6, params);
	if (!r)
		return false;
	PQclear(r);
	snprintf(line, sizeof(line), "%s\n", token);
	return up_file_write(path, 0600, line);
}

int up_prepare(struct up *up)
{
	char path[PATH_MAX + 64], id[UUID_TEXT], *token;
	const char *params[] = {id, "default"};
	struct timespec now;
	struct uuid uuid;
	PGconn *c;
	PGresult *r;
	bool ok;

	if (!make_roles(up) || !migrate_run(up->database_url, false))
		return 1;
	c = pg_sync_open(up->database_url, "boxoffice up");
	if (!c)
		return 1;
	clock_gettime(CLOCK_REALTIME, &now);
	uuid = crypto_uuid_v7((int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000);
	uuid_format(&uuid, id);
	r = pg_sync_ask(c, "cannot make the organiser", admin_sql_organizer_create.sql, 2, params);
	ok = r != NULL;
	PQclear(r);
	up_path(path, sizeof(path), "%s/secret/admin.token", up->dir);
	token = up_file_read(path, AUTH_TOKEN_TEXT);
	if (token)
		token[strcspn(token, "\r\n")] = '\0';
	if (ok && (!token || !token_works(c, token)))
		ok = make_token(c, path);
	free(token);
	PQfinish(c);
	return ok ? 0 : 1;
}
