/*
 * The duty that tells of locks whose last minute has begun, to those who asked for it. (That a lock has ended is told by the
 * statement that archives it: seat/sql/lock_archive.sql.)
 */
#ifndef NOTIFY_NOTICES_LOCKS_H
#define NOTIFY_NOTICES_LOCKS_H

#include "io/metrics.h"
#include "io/pg.h"

extern const struct pg_stmt *const *const notices_sql; /* to prepare */

/* One round. fn runs exactly once; more: there is more to do at once. */
typedef void notices_round_fn(void *arg, bool ok, bool more);
void notices_locks_round(struct pg *pg, struct metrics *metrics, notices_round_fn *fn, void *arg);

#endif
