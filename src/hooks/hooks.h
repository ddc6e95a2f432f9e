/*
 * Webhooks of organisers: events of their shows, sent to addresses of theirs, signed. Owns webhook_endpoints, webhook_deliveries,
 * webhook_replays.
 *
 *   events --hooks_take (a consumer)--> deliveries QUEUED --hooks_round (a duty)--> the receiver: 2xx --> DELIVERED
 *                                             ^  ^   \--no, or no answer: again later, at last FAILED
 *               staff: redeliver, replay, test --/  the address fails for long, or says 410: SUSPENDED
 *
 * At least once: whoever dies between the receiver's answer and the row has it sent again, with the same webhook-id.
 * Called by the app: serve has the routes, work the consumer and the duty. docs/webhooks.md is for organisers.
 */
#ifndef HOOKS_HOOKS_H
#define HOOKS_HOOKS_H

#include "auth/auth.h"
#include "consume/consume.h"
#include "io/loop.h"
#include "io/metrics_table.h"
#include "io/pg.h"
#include "io/web.h"

struct hooks;

struct hooks_config {
	struct loop *loop;
	struct pg *pg;
	struct auth *auth;
	struct metrics *metrics;
	/* of the settings of these names */
	int64_t per_organizer, queue_max, concurrency, timeout_ms, suspend_seconds, days;
	const char *retry_seconds, *allow_networks, *ca_file;
	bool allow_http;
};

extern const struct pg_stmt *const *const hooks_sql; /* to prepare */

/* NULL with a sentence in error: a setting cannot be used. */
struct hooks *hooks_new(const struct hooks_config *config, char *error, size_t error_size);
void hooks_free(
	struct hooks *h); /* after the pg; NULL is fine. Calls under way are dropped: they are repeated by the next */
/* h may be NULL when the routes are only listed. */
void hooks_routes(struct hooks *h, struct web *web);

/* The consumer (arg: the struct hooks) of all topics: makes the deliveries of a batch's events, in one statement. */
consumer_batch_fn hooks_take;

/*
 * One round of the duty: takes what is due and begins to send it, goes on with a replay, now and then counts and purges. It does not
 * wait for the receivers: their answers are written down as they come. ok false: the database could not be asked; more: begin again
 * at once. One round at a time.
 */
typedef void hooks_fn(void *arg, bool ok, bool more);
void hooks_round(struct hooks *h, hooks_fn *fn, void *arg);
/* wake(arg) when a round would find something to do: a call has ended. May be called often. */
void hooks_on_wake(struct hooks *h, loop_fn *wake, void *arg);
/* The duty is another process's now: what was counted here says nothing any more. */
void hooks_lost(void *hooks);

#endif
