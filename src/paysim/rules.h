/*
 * What a payment intent may do: the states, the table of arrows, the sums. Pure: no clock, no randomness, no
 * ledger. The API loads an intent, asks here, and stores what came out.
 *
 *   requires_payment_method --method--> requires_confirmation --authorised--> requires_capture --captured--> succeeded
 *          ^      |                            |  |                                |
 *          |      +--- confirm with a method --+  +--challenged--> requires_action |--expired--> canceled
 *          +------------ declined, challenge failed ------------------+            +--canceled-> canceled
 *
 * With automatic capture `paid` leads straight to succeeded. `processing` is known (answers and cancel allow it) but no
 * card of the simulator leads there.
 */
#ifndef PAYSIM_RULES_H
#define PAYSIM_RULES_H

#include "base/money.h"
#include "base/str.h"
#include "paysim/cards.h"

/* The gateway's error object. type NULL: nothing refused. The strings are literals; the first refusal wins. */
struct refusal {
	int status;
	const char *type, *code, *decline_code;
	char param[64];
	char message[400];
	bool with_intent; /* the answer shows the payment intent */
};

/* Returns false so that `return refuse(...)` reads well. code and param may be NULL. */
bool refuse(struct refusal *r, int status, const char *type, const char *code, const char *param, const char *fmt, ...)
	__attribute__((format(printf, 6, 7)));
/* 400 invalid_request_error */
#define refuse_invalid(r, code, param, ...) refuse((r), 400, "invalid_request_error", (code), (param), __VA_ARGS__)

enum intent_status {
	INTENT_REQUIRES_PAYMENT_METHOD,
	INTENT_REQUIRES_CONFIRMATION,
	INTENT_REQUIRES_ACTION,
	INTENT_PROCESSING,
	INTENT_REQUIRES_CAPTURE,
	INTENT_CANCELED,
	INTENT_SUCCEEDED,
	INTENT_STATUSES,
};
const char *intent_status_name(enum intent_status s);
bool intent_status_parse(struct str name, enum intent_status *ret);

/* What a caller may ask of an intent... */
enum intent_op { OP_CONFIRM, OP_CAPTURE, OP_CANCEL, OP_REFUND, INTENT_OPS };
bool intent_allows(enum intent_status s, enum intent_op op);

/* ... and what can happen to it. */
enum intent_event {
	EV_METHOD,     /* a payment method was given at creation */
	EV_AUTHORISED, /* manual capture */
	EV_PAID,       /* automatic capture */
	EV_DECLINED,
	EV_CHALLENGED, /* 3-D Secure wanted */
	EV_CHALLENGE_FAILED,
	EV_CAPTURED,
	EV_CANCELED,
	EV_EXPIRED, /* the authorisation was too old */
	INTENT_EVENTS,
};
/* false: there is no such arrow. */
bool intent_arrow(enum intent_status from, enum intent_event event, enum intent_status *ret_to);

/* Authorisations that nobody captured are cancelled by the gateway after this time. */
#define AUTHORISATION_SECONDS (INT64_C(7) * 86400)

/* The part of a stored intent that the rules read and change. */
struct intent_state {
	enum intent_status status; /* changed by intent_move only */
	bool manual_capture;
	int64_t amount, amount_capturable, amount_received, amount_refunded; /* minor units */
	const struct currency *currency;
};

/* The one place that changes a status and the sums with it. The arrow must exist (asserted). amount: EV_CAPTURED only. */
void intent_move(struct intent_state *s, enum intent_event event, int64_t amount);

/* The outcome of confirming with this card; challenged: the payer already passed 3-D Secure; off_session: is not there. */
enum intent_event intent_attempt(const struct intent_state *s, const struct card *card, bool challenged,
				 bool off_session);

/* Each refuses with the gateway's words. */
bool rules_amount(int64_t amount, const struct currency *currency, struct refusal *r);
bool rules_allows(const struct intent_state *s, enum intent_op op, struct refusal *r);
/* want < 0: all that can be captured. */
bool rules_capture_amount(const struct intent_state *s, int64_t want, int64_t *ret_amount, struct refusal *r);
/* want < 0: all that is left. */
bool rules_refund_amount(const struct intent_state *s, const char *charge, int64_t want, int64_t *ret_amount,
			 struct refusal *r);

#endif
