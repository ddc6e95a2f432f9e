/* Inside the module: its structure, what its files share. */
#ifndef HOOKS_HOOKS_INT_H
#define HOOKS_HOOKS_INT_H

#include "base/list.h"
#include "hooks/hooks.h"
#include "hooks/hooks_rules.h"
#include "io/http_client.h"
#include "staff/staff.h"

enum { HOOKS_QUERY_MS = 5000, HOOKS_TX_MS = 8000, HOOKS_PAGE = 50, HOOKS_CALLS_MAX = 200 };

typedef void hooks_part_fn(struct hooks *h, bool ok, bool more);

struct hooks {
	struct hooks_config config;
	struct net_list allowed;
	struct hook_schedule schedule;
	struct crypto_key seal_key;
	struct consumer_batch *taking; /* under way (hooks_queue.c): a consumer has one at a time */
	/* the duty's (hooks_send.c); made with the first round */
	struct http_client *http;
	struct list sends;	 /* under way, */
	struct list suspensions; /* and these */
	size_t n_sends;
	struct deferred *ended; /* a call has */
	loop_fn *wake;		/* may be NULL */
	void *wake_arg;
	struct hooks_round_state {
		hooks_fn *fn; /* NULL: none is under way */
		void *arg;
		struct arena arena;
		bool more;
		hooks_part_fn *part; /* goes on after a part */
		int purge;
		int64_t replays_at_us, watch_at_us; /* when next */
	} round;
};

/* ---- hooks_api.c ---- */

/* Answers what went wrong with a statement. wrote: it may have been done. */
void hooks_refuse_pg(struct web_call *call, const struct pg_answer *a, bool wrote);
void hooks_refuse_none(struct web_call *call); /* 404 */
void hooks_seal(const struct hooks *h, const uint8_t secret[HOOK_SECRET],
		uint8_t out[HOOK_SECRET + CRYPTO_SEAL_OVERHEAD]);
bool hooks_unseal(const struct hooks *h, struct str sealed, uint8_t out[HOOK_SECRET]);

/* A change: statements of a transaction, the audit row, COMMIT; then something is read and answered. Lives in the call's arena. */
struct hook_change {
	struct hooks *h;
	struct web_call *call;
	struct pg_tx *tx;
	struct audit_row row;
	struct idempotent idem;
	void (*done)(struct hook_change *c);	/* committed: answers */
	void (*nothing)(struct hook_change *c); /* rolled back, the statement found nothing: answers */
	void (*more)(struct hook_change *c);	/* further statements of the transaction; may be NULL */
	struct str url, description, state;	/* empty: not said */
	bool has_description;
	struct str *types;
	size_t n_types;
	struct uuid made_id;
};
struct hook_change *hook_change_new(struct web_call *call, int status);
/* The statement that says by its rows whether there is something to change. */
void hook_change_start(struct hook_change *c, const struct pg_stmt *stmt, const struct pg_args *args);

/* ---- handlers ---- */

void hooks_list_get(struct web_call *call);
void hooks_post(struct web_call *call);
void hooks_get(struct web_call *call);
void hooks_patch(struct web_call *call);
void hooks_delete(struct web_call *call);
void hooks_rotate_post(struct web_call *call);
void hooks_deliveries_get(struct web_call *call);
void hooks_delivery_get(struct web_call *call);
void hooks_redeliver_post(struct web_call *call);
void hooks_test_post(struct web_call *call);
void hooks_replay_post(struct web_call *call);

/* ---- the duty's parts ---- */

/* Each ends with fn, never before it returns. */
void hooks_replay_start(struct hooks *h, hooks_part_fn *fn); /* hooks_replay.c */
void hooks_watch_start(struct hooks *h, hooks_part_fn *fn);  /* hooks_watch.c */

/* ---- hooks_queue.c ---- */

/* What is kept of n events, as columns, in the arena. */
struct hook_rows {
	struct str *ids, *types, *aggregates, *bodies;
	struct uuid *shows;
	int64_t *times;
};
struct hook_rows hooks_rows(struct arena *arena, const struct hook_event *events, size_t n);

#endif
