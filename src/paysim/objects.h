/*
 * The gateway's JSON objects from ledger rows. What the simulator does not have is there as null, as with the gateway, so
 * that a client's types fit.
 */
#ifndef PAYSIM_OBJECTS_H
#define PAYSIM_OBJECTS_H

#include "base/json.h"
#include "paysim/store.h"

/* The version answered when a request names none. */
#define PAYSIM_API_VERSION "2026-08-26.dahlia"

/* Objects that stand in place of their ids; NULL: the id. */
struct expanded {
	const struct charge *charge; /* latest_charge of an intent, charge of a refund */
	const struct method *method;
	const struct intent *intent; /* payment_intent of a refund or a charge */
};

/* base_url: where the 3-D Secure page is ("http://127.0.0.1:1234"). */
void object_intent(struct jw *w, const struct intent *pi, const char *base_url, const struct expanded *x);
/* pi: the charge's intent; what was captured and refunded stands there. */
void object_charge(struct jw *w, const struct charge *c, const struct intent *pi);
void object_method(struct jw *w, const struct method *m);
void object_refund(struct jw *w, const struct refund *r, const char *base_url, const struct expanded *x);
void object_dispute(struct jw *w, const struct dispute *d);
void object_fraud_warning(struct jw *w, struct str id, int64_t created_us, const struct charge *c);
void object_event(struct jw *w, const struct sim_event *e);
/* The members of an error object, without the intent; charge and m may be NULL. */
void object_error_members(struct jw *w, const struct refusal *r, struct str charge, const struct method *m);

/* key: value or null */
void object_kopt(struct jw *w, const char *key, struct str v);
/* "usd" */
void currency_lower(const struct currency *currency, char out[4]);

#endif
