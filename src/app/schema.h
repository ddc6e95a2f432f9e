/*
 * May this program work on that database? Asked once by serve and work before they do anything: is the schema one it knows, and
 * does the server grant as many connections as the pools will open. Blocks; asked again in a process of its own while the
 * database cannot be reached (schema_guard_start), so that nobody waits for it.
 */
#ifndef APP_SCHEMA_H
#define APP_SCHEMA_H

#include "app/config.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Exit statuses of serve and work, and of a guard. */
enum { SCHEMA_FITS = 0, SCHEMA_SETTINGS = 2, SCHEMA_UNFIT = 3, SCHEMA_AWAY = 4 };

/* known: the newest migration of this program; found: of the database; oldest: the newest migration that a program must know
 * to be started on it. A sentence into why when it does not fit. */
bool schema_suits(int64_t known, int64_t found, int64_t oldest, char *why, size_t size);

/* One look: SCHEMA_FITS, or another one of them after a line in the log (none for SCHEMA_AWAY). processes: that will each
 * open their pools. */
int schema_look(const struct config *c, const char *what, int processes);

/* Looks until it is no longer away, in a child; its exit status is what schema_look found. -1: no child could be made. */
pid_t schema_guard_start(const struct config *c, const char *what, int processes);

/* Connections that one process of serve or work opens at most. */
int schema_connections(const struct config *c);

#endif
