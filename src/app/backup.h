/*
 * What `admin backup` and `admin restore` share: the form of a backup, and running PostgreSQL's own programs.
 *
 *   FOLDER/manifest.json  what it is: when, of which schema, how many rows of each table, the dump's size and checksum
 *   FOLDER/data.dump      pg_dump's custom format, without the content of system_state
 *
 * A folder of that name is a whole backup: it is made under another name and renamed when all of it is on disk.
 */
#ifndef APP_BACKUP_H
#define APP_BACKUP_H

#include "base/str.h"

#include <jansson.h>
#include <libpq-fe.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#define BACKUP_MANIFEST "manifest.json"
#define BACKUP_DATA "data.dump"
enum { BACKUP_FORMAT = 1, BACKUP_SHA256 = 2 * 32 + 1, BACKUP_PATH = PATH_MAX + 64 };

/* From here on SIGINT, SIGTERM and SIGHUP are noticed instead of ending us; a statement of c that is under way is given up. */
void backup_signals(PGconn *c);
bool backup_stopped(void);

/* Shows where it is: on a terminal one line that changes, else a line each. */
void backup_tell(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void backup_told(void); /* ends that line */

/* A file's size and checksum; false after a sentence, or when stopped. */
bool backup_checksum(const char *path, int64_t *ret_bytes, char ret_hex[BACKUP_SHA256]);

/*
 * Runs pg_dump or pg_restore against a database: its address goes by the environment, where no list of processes shows it.
 * Lines of its standard error that begin with "prog: " and hold mark are counted and shown as progress out of n. false after a
 * sentence, or when stopped (then it has ended).
 */
struct backup_run {
	const char *program; /* "pg_dump" */
	const char *url;
	const char *const *args; /* ended by NULL */
	const char *mark;
	const char *doing; /* "saving" */
	int n;
};
bool backup_run(const struct backup_run *r);

/* {"bookings": 12, ...} of every table but system_state, counted in the transaction that c is in; NULL after a sentence. */
json_t *backup_count(PGconn *c);

#endif
