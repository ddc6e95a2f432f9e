/* Inside the payment service: its own structure, and what its files call in each other. */
#ifndef PAYMENT_PAYMENT_INT_H
#define PAYMENT_PAYMENT_INT_H

#include "base/list.h"
#include "payment/gateway_policy.h"
#include "payment/payment_service.h"
#include "payment/webhook.h"

enum { PAYMENT_QUERY_MS = 3000, PAYMENT_TX_MS = 6000, GATEWAY_ANSWER_MAX = 1024 * 1024, GATEWAY_ID_MAX = 128 };

struct payment_service {
	struct payment_service_config config;
	char *url;			      /* without a slash at the end */
	char *authorization;		      /* "Authorization: Bearer ..." */
	struct list drives, refunds, settles; /* open ones, to be freed with the service */
	char *webhook_secrets[WEBHOOK_SECRETS_MAX];
	size_t n_webhook_secrets; /* 0: no events are taken */
	int64_t long_at_us;	  /* when what is unsettled for long is looked for again */
	struct gateway_budget budget;
	struct breaker breaker;
	struct crypto_key card_key;
};

/* A call is repeated only so long after it was begun; what is left of a lease is for the statements around it. */
enum { GATEWAY_REPEAT_MS = 7000, GATEWAY_LEASE_MS = 10000 };
/* The version of the gateway's interface that this was written for and tested with: what it answers does not change under us. */
#define GATEWAY_API_VERSION "2026-08-26.dahlia"
/* How long a taker may be silent before somebody else takes over: one call, its repetitions and what surrounds it. */
int64_t payment_lease_us(const struct payment_service *p);

/* ---- one call of the gateway (gateway_call.c) ---- */

struct gateway_answer {
	int http_status; /* 0: none */
	bool sent;	 /* some byte may have left */
	struct str body; /* valid during the callback */
	char request_id[GATEWAY_ID_MAX];
};
typedef void gateway_fn(void *arg, const struct gateway_answer *answer);
/* Memory of the caller's, until fn runs. */
struct gateway_going {
	struct payment_service *p;
	enum payment_step step;
	const char *key, *path; /* key NULL: a GET */
	struct str body;
	int repeats;
	bool in_use; /* it was said that the key is being worked on */
	int64_t began_us;
	struct timer *timer; /* for the next repetition */
	gateway_fn *fn;
	void *arg;
};
/* key NULL: a GET. key, path and body stay where they are until fn runs. fn runs exactly once, never before this returns. */
void gateway_call(struct payment_service *p, struct gateway_going *g, enum payment_step step, const char *key,
		  const char *path, struct str body, gateway_fn *fn, void *arg);
/* Nobody waits for it any more: the process ends. The HTTP client is gone already. */
void gateway_going_done(struct gateway_going *g);
void gateway_show_breaker(struct payment_service *p);

/* ---- statements (payment_store.c) ---- */

struct attempt {
	struct uuid show_id, payment_id, booking_id, lock_id;
	enum payment_state state;
	int generation;
	int64_t amount_minor;
	char currency[4];
	char *method, *return_url, *intent_id; /* arena */
	bool void_wanted, confirm_called, cancel_called;
	int64_t action_until_us, hold_until_us, now_us, tries;
	int32_t *seats; /* of the booking, ascending */
	size_t n_seats;
	struct uuid event_id;
	int64_t max_per_payer; /* of the event; 0: no limit, and nobody asks for the card */
};
/* From the rows of payment_create and payment_lease. */
void attempt_read(const struct pg_result *r, int row, const struct uuid *show, struct arena *arena,
		  struct attempt *ret);

/* Who moves it, for the audit trail, and the gateway's name of the request that says so. */
struct payment_by {
	const char *actor, *request_id;
};
/* show, payment, generation, two new ids, actor, request id: how every arrow's arguments begin. */
void payment_arrow_args(struct pg_args *args, struct arena *arena, const struct attempt *a,
			const struct payment_by *by);
void payment_create_exec(struct payment_service *p, struct pg_tx *tx, struct arena *a, const struct payment_new *n,
			 struct str body, pg_fn *fn, void *arg);
void payment_answer_exec(struct pg_tx *tx, struct arena *arena, const struct uuid *show, const struct uuid *payment,
			 enum payment_step step, int call_no, int http_status, const char *request_id,
			 struct str summary);

/* ---- findings (payment_findings.c) ---- */

/* Something for a person to look at. subject NULL: nothing of ours; show and booking may be NULL. */
struct payment_finding {
	const char *kind, *gateway_id, *detail, *currency;
	const struct uuid *subject_id, *show_id, *booking_id;
	int64_t amount_minor;
};
/* Rows: times it was seen, whether it is open. In a transaction, or as one of its own. */
void payment_finding_exec(struct pg_tx *tx, struct arena *a, const struct payment_finding *f, pg_fn *fn, void *arg);
void payment_finding_query(struct pg *pg, struct arena *a, const struct payment_finding *f, pg_fn *fn, void *arg);
/* What was found of these kinds about one thing of the gateway's is in order again. */
void payment_findings_resolve(struct pg *pg, struct arena *a, const char *gateway_id, const struct str *kinds, size_t n,
			      const char *how, pg_fn *fn, void *arg);
/* An ended attempt whose intent the gateway holds or has taken money for. Rows: one when the settling duty will see to it. */
struct payment_again {
	struct uuid show_id, payment_id;
	const char *intent_id, *actor, *why;
};
void payment_void_again_args(struct pg_args *args, struct arena *a, const struct payment_again *again);

/* ---- webhooks (payment_webhook.c) ---- */

void payment_webhook_post(struct web_call *call);
/* false with a sentence. */
bool webhook_secrets_load(struct payment_service *p, const char *path, char *error, size_t size);
void webhook_secrets_forget(struct payment_service *p);

/* ---- drives ---- */

/* As payment_ask, for the settling duty: takes what is due. */
void payment_settle(struct payment_service *p, const struct uuid *show, const struct uuid *payment, payment_fn *fn,
		    void *arg);
void refund_settle(struct payment_service *p, const struct uuid *show, const struct uuid *refund, payment_fn *fn,
		   void *arg);
void payment_drives_free(struct payment_service *p);
void refund_drives_free(struct payment_service *p);
void payment_settles_free(struct payment_service *p);

#endif
