/*
 * The duty that tells of locks whose last minute has begun, to those who asked for it. (That a lock has ended is told by the
 * statement that archives it: seat/sql/lock_archive.sql.)
 */
#ifndef NOTIFY_NOTICES_LOCKS_H
#define NOTIFY_NOTICES_LOCKS_H

#include "io/metrics.h"
#include "io/pg.h"

extern const struct pg_stmt *const *const notices_sql; /* to prepare */

struct notices_locks;
struct notices_locks *notices_locks_new(struct pg *pg, struct metrics *metrics);
void notices_locks_free(struct notices_locks *n); /* after pg, which drops a round that is under way; NULL is fine */

/* One round, one at a time. fn runs exactly once; more: there is more to do at once. */
typedef void notices_round_fn(void *arg, bool ok, bool more);
void notices_locks_round(struct notices_locks *n, notices_round_fn *fn, void *arg);

#endif
