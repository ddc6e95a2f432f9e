/*
 * The simulator's process and one request on its way through it.
 *
 *   http server -> sim_handle: route, key, parameters, stored answer? -> fault switch -> handler in a savepoint
 *                  -> queue of answers -> end of the loop's turn: COMMIT -> answers leave
 *
 * All requests of one turn share a transaction; no answer (of a read neither) leaves before it is on disk. A call lives in
 * the arena of its request.
 */
#ifndef PAYSIM_SIM_H
#define PAYSIM_SIM_H

#include "base/list.h"
#include "io/http_server.h"
#include "paysim/form.h"
#include "paysim/objects.h"

/* SIM_BODY_MAX: larger ones are refused in the gateway's form; above SIM_BODY_READ_MAX they are not even read. */
enum {
	SIM_BODY_MAX = 64 * 1024,
	SIM_BODY_READ_MAX = 4 * 1024 * 1024,
	SIM_IDEMPOTENCY_KEY_MAX = 255,
	SIM_ID_TEXT = 40,
	SIM_SECRET_TEXT = 24
};
#define SIM_IDEMPOTENCY_US (24 * INT64_C(3600000000))

/* What a fault switch can match. SIM_OP_NONE: pages and the simulator's own endpoints, never faulted. */
enum sim_op {
	SIM_OP_NONE,
	SIM_CREATE,
	SIM_CONFIRM,
	SIM_CAPTURE,
	SIM_CANCEL,
	SIM_REFUND,
	SIM_RETRIEVE,
	SIM_LIST,
	SIM_WEBHOOK,
	SIM_OTHER,
	SIM_ANY
};

enum fault_mode {
	FAULT_NONE,
	FAULT_DROP_BEFORE, /* the connection is closed, nothing happened */
	FAULT_DROP_AFTER,  /* it happened, the answer is lost */
	FAULT_500_BEFORE,  /* nothing happened; the 500 is what its Idempotency-Key answers from now on */
	FAULT_500_AFTER,   /* it happened; likewise */
	FAULT_DELAY,	   /* waits, then works as usual; its key is in use meanwhile */
	FAULT_HANG,	   /* no answer, nothing happened */
	FAULT_HANG_AFTER,  /* no answer, it happened */
	FAULT_429,
	FAULT_DECLINE, /* the bank refuses */
	FAULT_TWICE,   /* webhooks only: delivered once more */
	FAULT_REORDER, /* webhooks only: collected, then delivered in reverse */
	FAULT_MODES,
};

struct fault {
	struct list link;
	enum sim_op match;
	enum fault_mode mode;
	int64_t times_left, hits, ms;
	int64_t until_us;   /* by the simulator's clock; 0: no end */
	double probability; /* of acting on what it matches */
	uint64_t chance;    /* the generator's state: a seed gives the same sequence */
	char intent[SIM_ID_TEXT];
	char metadata_key[48], metadata_value[512]; /* "": any */
};

struct webhook;

struct sim {
	struct loop *loop;
	struct store *store;
	struct http_server *server;
	struct str secret_key; /* absent: any that starts with sk_ */
	char *base_url;	       /* without a slash at the end */
	const char *merchant;  /* on the 3-D Secure page */
	int64_t later_us;      /* how long cards wait that do something later */
	int64_t clock_offset_us;
	struct list faults;   /* struct fault */
	struct list held;     /* struct sim_call: delayed or hanging */
	struct list answered; /* struct sim_call: waiting for the commit */
	struct deferred *flush;
	struct timer *janitor;
	struct webhook *webhook; /* NULL: events are only kept */
};

struct sim_call;

struct sim_route {
	enum http_method method;
	const char *path; /* '*' stands for one segment: the id */
	/* The answer goes to call->out. false: call->refusal says why. */
	bool (*run)(struct sim_call *c);
	enum sim_op op;
	bool writes; /* runs in the turn's transaction */
};

struct sim_call {
	struct list link;
	struct sim *sim;
	struct http_req *req;
	struct arena *arena;
	const struct sim_route *route;
	struct str id; /* of the path */
	struct form form;
	int64_t now_us; /* the simulator's clock */

	struct str key; /* Idempotency-Key, absent: none */
	uint8_t params_hash[32];
	char request_id[SIM_ID_TEXT];
	struct str original_request; /* of a replayed answer */

	struct fault *fault; /* copied into the arena; NULL: none */
	struct timer *timer;

	/* Set by the handler when validation is over and the ledger is asked: from here on the answer is kept for the key. */
	bool executing;
	struct refusal refusal;
	const struct intent *refused_intent; /* shown in the refusal when it asks for that */
	struct str refused_charge;
	const struct method *refused_method;
	int status;
	const char *content_type;
	struct str location;
	struct buf out;
};

/* sim.c */
void sim_start(struct sim *sim); /* loop, store and lists are there */
void sim_stop(struct sim *sim);	 /* what was executed is committed and answered */
http_handler sim_handle;
int64_t sim_now_us(const struct sim *sim);
/* prefix and 24 letters and digits: the time, then chance. Later ids sort later, so that their indexes grow at one end
 * and a commit touches few pages. In the arena. */
struct str sim_id(struct arena *a, const char *prefix);
/* Nothing but chance: for keys in addresses and client secrets. */
struct str sim_secret(struct arena *a);
/* Opens the transaction of this turn if there is none; it commits when the turn ends. */
bool sim_begin(struct sim *sim);
/* Work for the clock: authorisations too old, idempotent answers too old. true: there is more. */
bool sim_janitor(struct sim *sim);
/* Ends held calls, so that nothing waits for ever: hanging ones are dropped, delayed ones too unless they may go on. */
void sim_release_held(struct sim *sim, bool go_on);

/* params.c: reading parameters; each refuses in the gateway's words */
bool param_int(struct sim_call *c, const char *name, bool required, int64_t absent, int64_t *ret);
bool param_str(struct sim_call *c, const char *name, bool required, size_t max, struct str *ret); /* absent: p NULL */
bool param_bool(struct sim_call *c, const char *name, bool *ret);
bool param_choice(struct sim_call *c, const char *name, const char *const *choices, struct str *ret);
/* Applies metadata parameters to *json (a JSON object's text, or absent for none yet). */
bool param_metadata(struct sim_call *c, struct str *json);
/* expand[]; names ended by NULL, in_list: with "data." before. Bit i of *ret: names[i] was asked for. */
bool param_expand(struct sim_call *c, const char *const *names, bool in_list, unsigned *ret);
bool param_page(struct sim_call *c, struct page *ret, struct str *ret_starting_after);
/* Unknown parameters are refused; then the call is executing. */
bool params_end(struct sim_call *c);

/* sim_ask.c */
/* false: refused (c->refusal), or *ret_replayed: c has the answer that was kept for its key. */
bool sim_ask(struct sim_call *c, bool *ret_replayed);
bool sim_is_gateway(const struct sim_call *c); /* the gateway's part, not a page nor /_sim */

/* api_intents.c */
bool api_intent_create(struct sim_call *c);
bool api_intent_update(struct sim_call *c);
bool api_intent_confirm(struct sim_call *c);
bool api_intent_capture(struct sim_call *c);
bool api_intent_cancel(struct sim_call *c);
bool api_intent_get(struct sim_call *c);
bool api_intent_list(struct sim_call *c);
/* Also for the 3-D Secure page and the janitor. c->refusal tells a decline. */
bool intent_load(struct sim_call *c, struct str id, struct intent *ret);
void intent_challenge_passed(struct sim_call *c, struct intent *pi);
void intent_challenge_failed(struct sim_call *c, struct intent *pi);
void intent_expire(struct sim *sim, struct arena *a, struct intent *pi);

/* api_refunds.c */
bool api_refund_create(struct sim_call *c);
bool api_refund_update(struct sim_call *c);
bool api_refund_get(struct sim_call *c);
bool api_refund_list(struct sim_call *c);

/* api_reads.c: charges, payment methods, disputes, events */
bool api_charge_get(struct sim_call *c);
bool api_charge_list(struct sim_call *c);
bool api_method_get(struct sim_call *c);
bool api_dispute_get(struct sim_call *c);
bool api_dispute_list(struct sim_call *c);
bool api_event_get(struct sim_call *c);
bool api_event_list(struct sim_call *c);

/* api_common.c */
enum { SIM_OBJECT_MAX = 32 * 1024 };
struct event_source {
	struct sim *sim;
	struct arena *arena;
	int64_t now_us;
	struct str request_id, key;
};
void sim_emit(const struct event_source *from, const char *type, struct str object);
struct event_source call_source(const struct sim_call *c);
struct str intent_json(struct sim *sim, struct arena *a, const struct intent *pi);
struct str charge_json(struct arena *a, const struct charge *ch, const struct intent *pi);
struct str refund_json(struct sim *sim, struct arena *a, const struct refund *r);
bool refuse_missing(struct sim_call *c, const char *what, struct str id, const char *param);
/* A page: copies of the rows, so that writing one may ask the ledger for more. */
struct rows {
	struct sim_call *c;
	int64_t n, limit;
	bool more;
	void *items;
};

bool rows_room(struct rows *rows); /* false: full, and there is more */
struct str rows_kept(struct sim_call *c, struct str v);
void list_open(struct sim_call *c, struct jw *w);
bool list_close(struct jw *w, bool more, const char *url);
bool no_cursor(struct sim_call *c, const char *what, struct str id);

/* later.c */
void later_after_payment(const struct event_source *from, const struct charge *charge);
void later_after_refund(const struct event_source *from, const struct card *card, struct str refund);
bool later_run(struct sim *sim); /* the janitor's part; true: there is more */

/* threeds.c */
bool threeds_page(struct sim_call *c);
bool threeds_result(struct sim_call *c);

/* webhook.c */
enum { WEBHOOK_SECRETS_MAX = 2, WEBHOOK_REORDER_MAX = 1000 };
struct webhook *webhook_new(struct sim *sim, const char *url, const char *const *secrets, size_t n_secrets);
void webhook_free(struct webhook *h); /* what is under way is forgotten; it is sent again by the next process */
/* In the transaction of the event inserted last; object: what happened to what. */
void webhook_queue(struct sim *sim, struct str object);
/* What a reorder switch has collected so far goes, though it wanted more. */
void webhook_unwind(struct webhook *h);
/* Sends what is due: after a commit, and as time goes by. */
void webhook_poke(struct webhook *h);

/* faults.c */
bool faults_list(struct sim_call *c);
bool faults_add(struct sim_call *c);
bool faults_clear(struct sim_call *c);
void faults_free(struct sim *sim);
/* What a switch may ask of what it matches. */
struct fault_about {
	struct sim_call *call;	 /* NULL: an event */
	struct str event_object; /* JSON */
	bool replay;		 /* the answer is there already: only what happens to the connection */
};
/* The first switch for this operation that wants it and is not used up; it is used once. */
bool fault_take(struct sim *sim, enum sim_op op, const struct fault_about *about, struct fault *ret);

/* ledger.c */
bool sim_wrong_json(struct sim_call *c, const struct error *e);
bool webhooks_pending(struct sim_call *c);
bool ledger_export(struct sim_call *c);
bool clock_advance(struct sim_call *c);

#endif
