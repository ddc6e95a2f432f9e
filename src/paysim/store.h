/*
 * The ledger: SQLite in WAL mode with synchronous=FULL, one connection, one process.
 *
 * Calls are short and run on the loop's thread: acceptable for a simulator whose every transaction is a few rows in one
 * local file. Errors are sticky: after one, store_failed says so until the savepoint or the transaction is rolled back;
 * getters then answer false. Nothing here decides anything.
 *
 * Strings that come out are copies in the arena; an absent one has p == NULL and is NULL in the table.
 */
#ifndef PAYSIM_STORE_H
#define PAYSIM_STORE_H

#include "base/arena.h"
#include "paysim/rules.h"

struct store;

struct intent {
	int64_t seq;
	struct str id;
	int64_t created_us;
	struct intent_state state;
	enum intent_status stored_status; /* as read; the update is guarded by it */
	struct str redirects;		  /* "always", "never"; absent: cards only */
	struct str payment_method, latest_charge, client_secret, return_url, action_key, description;
	struct str metadata;	       /* JSON object */
	struct str last_payment_error; /* JSON */
	struct str cancellation_reason;
	int64_t canceled_us, authorised_us; /* 0: never */
};

enum charge_dispute { CHARGE_UNDISPUTED, CHARGE_DISPUTED, CHARGE_ASKED_ABOUT };

struct charge {
	int64_t seq;
	struct str id;
	int64_t created_us;
	struct str payment_intent;
	int64_t amount;
	struct str payment_method, card;
	bool challenged;
	struct str failure_code, decline_code, failure_message; /* failure_code absent: it succeeded */
	enum charge_dispute disputed;
};

struct method {
	struct str id;
	int64_t created_us;
	struct str card;
};

struct refund {
	int64_t seq;
	struct str id;
	int64_t created_us;
	struct str payment_intent, charge, currency;
	int64_t amount;
	struct str status, failure_reason, reason, metadata;
	struct str stored_status; /* as read; the update is guarded by it */
};

struct dispute {
	int64_t seq;
	struct str id;
	int64_t created_us;
	struct str charge, payment_intent, currency;
	int64_t amount;
	struct str reason;
	bool inquiry;
	struct str card;
};

struct sim_event {
	int64_t seq;
	struct str id;
	int64_t created_us;
	struct str type, object, request_id, idempotency_key;
	int64_t pending; /* receivers that have not confirmed it */
};

struct stored_answer {
	struct str path, params_hash;
	int status;
	struct str body, request_id;
};

/* Makes the file when it is not there. NULL: *ret_error is one sentence in static storage of SQLite or ours. */
struct store *store_open(const char *path, const char **ret_error);
void store_close(struct store *s); /* an open transaction is rolled back; NULL is fine */
bool store_failed(const struct store *s);
const char *store_error(const struct store *s); /* of the failure; for logs */

/* A transaction holds the effects of several requests, each in a savepoint of its own. */
bool store_in_tx(const struct store *s);
bool store_begin(struct store *s);
bool store_commit(struct store *s); /* false: nothing of it happened */
void store_rollback(struct store *s);
bool store_save(struct store *s);
void store_save_end(struct store *s, bool keep); /* a failed savepoint that is dropped is no failure any more */

void store_intent_insert(struct store *s, const struct intent *pi);
void store_intent_update(struct store *s, const struct intent *pi);
bool store_intent_get(struct store *s, struct arena *a, struct str id, struct intent *ret);
void store_charge_insert(struct store *s, const struct charge *c);
bool store_charge_get(struct store *s, struct arena *a, struct str id, struct charge *ret);
void store_method_insert(struct store *s, const struct method *m);
bool store_method_get(struct store *s, struct arena *a, struct str id, struct method *ret);
void store_refund_insert(struct store *s, const struct refund *r);
bool store_refund_get(struct store *s, struct arena *a, struct str id, struct refund *ret);
void store_refund_update(struct store *s, const struct refund *r);
void store_dispute_insert(struct store *s, const struct dispute *d);
bool store_dispute_get(struct store *s, struct arena *a, struct str id, struct dispute *ret);
/* Steps that come later. */
struct later_step {
	int64_t seq;
	struct str kind, subject;
};
void store_later_insert(struct store *s, const char *kind, struct str subject, int64_t due_us);
size_t store_later_due(struct store *s, struct arena *a, int64_t now_us, struct later_step *ret, size_t max);
void store_later_done(struct store *s, int64_t seq);
void store_event_insert(struct store *s, const struct sim_event *e);
bool store_event_get(struct store *s, struct arena *a, struct str id, struct sim_event *ret);
/* Webhooks still to deliver: an event's seq, how often it was tried, when it is due. insert: the event inserted last. */
int64_t store_delivery_insert(struct store *s, int64_t copies, int64_t due_us);	 /* its event's seq */
bool store_delivery_release(struct store *s, int64_t event_seq, int64_t due_us); /* false: nothing waits */
size_t store_delivery_due(struct store *s, struct arena *a, int64_t now_us, struct sim_event *ret,
			  int64_t *ret_attempts, size_t max);
void store_delivery_later(struct store *s, int64_t event_seq, int64_t attempts, int64_t due_us);
void store_delivery_done(struct store *s, int64_t event_seq, int64_t now_us); /* one copy confirmed */
void store_delivery_give_up(struct store *s, int64_t event_seq);
void store_answer_insert(struct store *s, struct str key, int64_t now_us, const struct stored_answer *answer);
/* Answers from not_before_us on. */
bool store_answer_get(struct store *s, struct arena *a, struct str key, int64_t not_before_us,
		      struct stored_answer *ret);
int store_answer_purge(struct store *s, int64_t before_us); /* how many went, 500 at most */
int64_t store_setting(struct store *s, const char *name, int64_t absent);
void store_set_setting(struct store *s, const char *name, int64_t value);

/* Newest first. */
struct page {
	int64_t before_seq;			 /* INT64_MAX: from the newest */
	int64_t from_us, before_us;		 /* created in [from, before) */
	int64_t limit;				 /* -1: all */
	struct str payment_intent, charge, type; /* absent: any; where it makes sense */
};
/* Each row's item is good until row returns (its strings too); row returning false ends the walk. */
typedef bool intent_fn(void *arg, struct intent *pi);
typedef bool charge_fn(void *arg, struct charge *c);
typedef bool refund_fn(void *arg, struct refund *r);
typedef bool event_fn(void *arg, struct sim_event *e);
typedef bool dispute_fn(void *arg, struct dispute *d);
typedef bool delivery_fn(void *arg, struct sim_event *e, int64_t attempts, int64_t due_us);
void store_intent_list(struct store *s, const struct page *p, intent_fn *row, void *arg);
void store_intent_expired(struct store *s, struct arena *a, int64_t before_us, struct intent *ret, size_t max,
			  size_t *ret_n); /* 100 at most */
void store_charge_list(struct store *s, const struct page *p, charge_fn *row, void *arg);
void store_refund_list(struct store *s, const struct page *p, refund_fn *row, void *arg);
void store_dispute_list(struct store *s, const struct page *p, dispute_fn *row, void *arg);
void store_delivery_pending(struct store *s, delivery_fn *row, void *arg); /* 1000 at most */
void store_event_list(struct store *s, const struct page *p, event_fn *row, void *arg);

#endif
