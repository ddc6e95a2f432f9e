/*
 * Background duties. Any number of processes may run them: each duty is leased in PostgreSQL, so that one process does it
 * at a time and a dead one is replaced when its lease ends. A duty must be right even when two do it at once (a process
 * that slept): every statement is guarded by state; the lease only saves work.
 *
 *   duty: IDLE --timer--> LEASING --mine--> RUNNING --done--> IDLE
 *                            |  somebody else's: IDLE, asked again later
 */
#ifndef WORK_WORK_H
#define WORK_WORK_H

#include "io/metrics_table.h"
#include "io/pg.h"
#include "seat/seat_map.h"

extern const struct pg_stmt *const *const work_sql; /* to prepare */

enum duty_kind {
	DUTY_SWEEP,
	DUTY_ARCHIVE,
	DUTY_AUDIT,
	DUTY_SETTLE,
	DUTY_CHECK,
	DUTY_RETENTION,
	DUTY_ORPHANS,
	DUTY_JOBS,
	DUTY_CONSUME,
	DUTY_NOTICES,
	DUTY_MAIL,
	DUTY_WEBHOOKS
};

struct duty;
/* One round; ends with duty_done exactly once. more: there is more to do, begin again at once. */
typedef void duty_fn(void *arg, struct duty *d);

struct duty_config {
	enum duty_kind kind;
	const char *name;   /* of the lease */
	const char *holder; /* of this process: host and pid */
	int64_t every_ms, lease_ms;
	struct loop *loop;
	struct pg *pg;
	struct metrics *metrics;
	duty_fn *run;
	void (*lost)(void *arg); /* the lease was ours and is another's, or could not be renewed; may be NULL */
	void *arg;
};

struct duty *duty_new(const struct duty_config *config);
void duty_free(struct duty *d);
/* No further rounds; one under way still ends with duty_done. */
void duty_stop(struct duty *d);
bool duty_running(const struct duty *d); /* a round is under way */
void duty_done(struct duty *d, bool ok, bool more);
/* There is something to do: the next round begins at once, or right after the one that runs. Nothing when the lease is somebody else's. */
void duty_wake(struct duty *d);
/* Gives up every lease of a holder; fn runs when it is done or cannot be (the leases then end by time). */
void duties_hand_on(struct pg *pg, const char *holder, loop_fn *fn, void *arg);

/* Ends locks whose time is over; moves ended ones to the history. */
struct sweeper;
struct sweeper *sweeper_new(struct pg *pg, struct loop *loop, struct seat_map *map, struct metrics *metrics);
void sweeper_free(struct sweeper *s);
duty_fn sweeper_sweep, sweeper_archive;

/* Compares Redis with PostgreSQL for shows on sale, a few at a time; repairs a difference seen twice. */
struct auditor;
struct auditor *auditor_new(struct pg *pg, struct loop *loop, struct seat_map *map, struct metrics *metrics);
void auditor_free(struct auditor *a);
duty_fn auditor_run;

/* Drops what is older than it is kept: events that are out (by the day), ended locks (by the week), both made ahead; settled
 * findings, notifications that have ended, the audit log. */
struct keeper;
struct keeper_config {
	struct pg *pg;
	int64_t outbox_days, lock_history_days, findings_days, notification_days, audit_days;
};
struct keeper *keeper_new(const struct keeper_config *config);
void keeper_free(struct keeper *k);
duty_fn keeper_run;

/* Watches over the invariants of what happened lately: a gauge of what does not hold, a line in the log for each new fault. */
struct invariants;
struct invariants *invariants_new(struct pg *pg, struct metrics *metrics, int64_t every_s);
void invariants_free(struct invariants *v);
duty_fn invariants_run;
/* Somebody else looks now: what was seen here last says nothing any more. */
void invariants_lost(void *arg);

/* Tells all processes how much room is left on the disk of PostgreSQL, if that is on this machine (disk.c). No duty: each machine
 * speaks for its own disk. */
struct disk_watch;
struct disk_watch_config {
	struct loop *loop;
	struct pg *pg;
	struct metrics *metrics;
	const char *place; /* name of this machine; kept, not copied */
	const char *paths; /* folders, separated by colons; kept, not copied */
	int64_t free_min_mb;
};
/* NULL with a sentence in ret_error when a folder cannot be looked at. */
struct disk_watch *disk_watch_new(const struct disk_watch_config *config, char *ret_error, size_t error_size);
void disk_watch_free(struct disk_watch *d); /* NULL: nothing */

#endif
