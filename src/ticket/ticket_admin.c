/*
 * Rotation of the key that signs tickets. One transaction; the statements are files like all others, rotations
 * wait for each other; tickets being issued meanwhile still take the old key, which stays trusted.
 */
#include "ticket/ticket_admin.h"

#include "ticket/ticket_int.h"
#include "ticket/ticket_sql.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* rows: how many it must change; "": any number, or none to change. */
static bool run(PGconn *conn, const char *sql, int n, const char *const *values, const int *lengths, const char *rows)
{
	static const int binary[2] = {1, 1};
	PGresult *r = PQexecParams(conn, sql, n, NULL, values, lengths, binary, 0);
	bool ok = PQresultStatus(r) == PGRES_COMMAND_OK || PQresultStatus(r) == PGRES_TUPLES_OK;

	ok = ok && (!*rows || strcmp(PQcmdTuples(r), rows) == 0);

	PQclear(r);
	return ok;
}

int ticket_key_rotate(const char *database_url, const struct crypto_key *master)
{
	uint8_t public_key[32], sealed[TICKET_SEALED];
	const char *values[2] = {(const char *)public_key, (const char *)sealed};
	const int lengths[2] = {sizeof(public_key), sizeof(sealed)};
	char text[TICKET_KEY_ID_TEXT];
	struct crypto_key keys_key;
	PGconn *conn = PQconnectdb(database_url);
	bool ok;

	ticket_keys_key(master, &keys_key);
	ticket_key_make(&keys_key, public_key, sealed);
	explicit_bzero(&keys_key, sizeof(keys_key));
	ok = PQstatus(conn) == CONNECTION_OK && run(conn, "BEGIN", 0, NULL, NULL, "") &&
	     run(conn, ticket_sql_keys_lock.sql, 0, NULL, NULL, "") &&
	     run(conn, ticket_sql_key_retire.sql, 0, NULL, NULL, "") &&
	     run(conn, ticket_sql_key_create.sql, 2, values, lengths, "1") && run(conn, "COMMIT", 0, NULL, NULL, "");
	if (ok)
		printf("%s\n", ticket_key_id_format(ticket_key_id(public_key), text));
	else
		fprintf(stderr, "boxoffice: the key was not changed: %s\n",
			*PQerrorMessage(conn) ? PQerrorMessage(conn) : "somebody else is changing it now.");
	PQfinish(conn);
	return ok ? 0 : 1;
}
