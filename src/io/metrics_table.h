/*
 * The program's metrics: one table, so that every process group exports the same names. METRIC(id, ...) in metrics.def.
 */
#ifndef IO_METRICS_TABLE_H
#define IO_METRICS_TABLE_H

#include "base/str.h"
#include "io/metrics.h"

enum metric {
#define METRIC(id, ...) METRIC_##id,
#include "io/metrics.def"
#undef METRIC
	METRIC_COUNT_OF_ALL,
};

/* Room for METRIC_COUNT_OF_ALL. routes: label values of the metrics by route ("GET /v1/shows/{show}", ..., NULL; first
 * "-" for what has none), which only the app knows; kept. */
void metrics_table_fill(struct metric_def *out, const char *const *routes);

/* Label values, in the order of the numbers the code adds with. */
enum metric_lock_outcome {
	LOCK_OUTCOME_LOCKED,
	LOCK_OUTCOME_TAKEN_CACHE,    /* refused by Redis alone */
	LOCK_OUTCOME_TAKEN_DATABASE, /* PostgreSQL disagreed */
	LOCK_OUTCOME_LIMIT,
	LOCK_OUTCOME_NOT_ON_SALE,
	LOCK_OUTCOME_INVALID,
	LOCK_OUTCOME_REPEATED,
	LOCK_OUTCOME_UNAVAILABLE,
	LOCK_OUTCOME_UNKNOWN,
	LOCK_OUTCOME_OVERLOADED,
	LOCK_OUTCOME_INTERNAL,
	LOCK_OUTCOME_RATE, /* locked as often as allowed */
};

enum metric_webhook_outcome {
	WEBHOOK_OUTCOME_TAKEN,	 /* about something of ours */
	WEBHOOK_OUTCOME_IGNORED, /* stored; a type without use, or nothing of ours */
	WEBHOOK_OUTCOME_REPEATED,
	WEBHOOK_OUTCOME_UNSIGNED,
	WEBHOOK_OUTCOME_FORGED,
	WEBHOOK_OUTCOME_STALE, /* or from the future */
	WEBHOOK_OUTCOME_MALFORMED,
	WEBHOOK_OUTCOME_UNAVAILABLE, /* told to send it again */
	WEBHOOK_OUTCOME_UNCONFIGURED,
};

enum metric_notices { NOTICES_OF_EVENTS, NOTICES_OF_LOCKS };
enum metric_mail_outcome {
	MAIL_OUTCOME_SENT,
	MAIL_OUTCOME_LATER, /* tried again */
	MAIL_OUTCOME_FAILED,
	MAIL_OUTCOME_DROPPED, /* of no use any more */
	MAIL_OUTCOME_UNKNOWN, /* lost while it was said: it is sent again and may arrive twice */
	MAIL_OUTCOME_LOST,    /* our database was away: tried again when the claim ends */
};

enum metric_hook_outcome {
	HOOK_OUTCOME_DELIVERED,
	HOOK_OUTCOME_RETRIED,
	HOOK_OUTCOME_FAILED, /* given up */
};

enum metric_orphan_scan { ORPHAN_SCAN_COMPLETE, ORPHAN_SCAN_FAILED };

/* Kinds of findings; the last is for those that this program does not know. */
enum { FINDING_KINDS = 12 };
int metric_finding_kind(struct str name);

#endif
