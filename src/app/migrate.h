/* Bringing a database to the schema this program carries. Blocks (plain libpq): for one-shot commands. */
#ifndef APP_MIGRATE_H
#define APP_MIGRATE_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

/* Applies what is missing, one transaction each. Prints a line per migration to standard output unless quiet, and a
 * sentence to standard error when it fails. */
bool migrate_run(const char *url, bool quiet);

/* The program's own role: owns nothing, gets what the migrations grant. Made when it is not there; false after a sentence. */
bool migrate_ensure_role(PGconn *c);

/* A connection for a one-shot command, time zone UTC; NULL after a sentence to standard error. */
PGconn *pg_sync_open(const char *url, const char *application);
/* Runs statements; false after a sentence to standard error that begins with what. */
bool pg_sync_do(PGconn *c, const char *what, const char *sql);
/* The result (the caller clears it), or NULL after a sentence. params may be NULL. */
PGresult *pg_sync_ask(PGconn *c, const char *what, const char *sql, int n, const char *const *params);

#endif
