/*
 * The Payment Service's rules: the states of an attempt and of a refund, what an answer of the gateway means, what has to
 * be done next. Pure.
 *
 *                 +---(3-D Secure)---> REQUIRES_ACTION
 *                 |                       |
 *   (none) --> CREATED ------authorise----+--> AUTHORISED --capture--> CAPTURED
 *                 |                       |        |
 *                 +---------fail----------+        +--lose--> CAPTURE_FAILED   the gateway will not pay: the booking ends
 *                 |            \--> FAILED         |
 *                 +---------abandon-------+        |
 *                 |            \--> ABANDONED      |       its time is over: seats freed, the gateway told afterwards
 *                 +---------void----------+
 *                              \--> VOIDED                 the seats cannot be had: never authorised, so never captured
 *
 *   refund: (none) --> REQUESTED --pend--> PENDING --+--succeed--> SUCCEEDED
 *                          |  \----------------------+--fail-----> FAILED
 *                          +-----------succeed, fail-^
 *
 * AUTHORISED is the moment of the booking: seats, booking, tickets and the row of the capture call are one transaction. From
 * then on the capture may have been sent, so there is no way from here to VOIDED: a cancellation asks for a refund.
 *
 * What is known of the gateway is one of enum payment_seen. A 4xx is a decision. A 5xx, a timeout and a cut connection are
 * UNKNOWN: the intent is read again, never guessed. Of an unconfirmed intent that was to be confirmed the proof that nothing
 * will be charged is its cancellation: then, and only then, the seats go back before the bound. Once a cancellation was asked
 * for, whoever asked may be asleep with it in its hands: what is held after that is cancelled, never booked.
 *
 * From the bound of everything (30 minutes after the lock was made) on, an attempt that is not authorised is abandoned, also when the
 * gateway holds its money: who looks too late gives it back. The bound of 3-D Secure ends the waiting for the bank's page only:
 * what the bank has approved when somebody looks is booked until the other bound.
 *
 * What was paid is what was asked: every answer that is an intent is compared with the attempt (payment_compare). One with
 * another amount, currency or attempt is never authorised and never captured: it is voided, or the booking ends, and a person
 * is told.
 */
#ifndef PAYMENT_PAYMENT_H
#define PAYMENT_PAYMENT_H

#include "base/buf.h"
#include "base/ids.h"
#include "base/str.h"

enum payment_state {
	PAYMENT_CREATED,
	PAYMENT_REQUIRES_ACTION,
	PAYMENT_AUTHORISED,
	PAYMENT_CAPTURED,
	PAYMENT_FAILED,
	PAYMENT_VOIDED,
	PAYMENT_ABANDONED,
	PAYMENT_CAPTURE_FAILED,
	PAYMENT_STATES,
};
const char *payment_state_name(enum payment_state s);
bool payment_state_parse(struct str name, enum payment_state *ret);

struct payment_arrow {
	enum payment_state from, to;
	const char *file; /* without .sql */
};
extern const struct payment_arrow payment_arrows[];
extern const size_t payment_arrows_n;
bool payment_may(enum payment_state from, enum payment_state to);

enum refund_state { REFUND_REQUESTED, REFUND_PENDING, REFUND_SUCCEEDED, REFUND_FAILED, REFUND_STATES };
const char *refund_state_name(enum refund_state s);
bool refund_state_parse(struct str name, enum refund_state *ret);

struct refund_arrow {
	enum refund_state from, to;
	const char *file;
};
extern const struct refund_arrow refund_arrows[];
extern const size_t refund_arrows_n;
bool refund_may(enum refund_state from, enum refund_state to);

/* Calls of the gateway; the order is that of the metrics' labels. */
enum payment_step {
	STEP_CREATE,
	STEP_CONFIRM,
	STEP_CAPTURE,
	STEP_CANCEL,
	STEP_REFUND,
	STEP_RETRIEVE,
	STEP_LIST,
	STEP_NONE
};
const char *payment_step_name(enum payment_step s);

enum payment_seen {
	SEEN_NOTHING,	/* not asked yet */
	SEEN_UNREACHED, /* this call surely did nothing: no byte left, or it was turned away before it was looked at */
	SEEN_UNKNOWN,	/* it may have been done */
	SEEN_NEW,	/* an intent that nobody has confirmed, or that waits to be */
	SEEN_ACTION,	/* the buyer has to go through 3-D Secure */
	SEEN_HELD,	/* the money is held for us */
	SEEN_PAID,
	SEEN_DECLINED, /* the card; another may do */
	SEEN_CANCELED,
	SEEN_STALE,	 /* the intent is not in a state for this call: read it */
	SEEN_REFUSED,	 /* the gateway will not do this, ever */
	SEEN_DENIED,	 /* it does not take our key: nothing was done */
	SEEN_UNBOOKABLE, /* not the gateway's word: the money is held, but the seats cannot be had */
	SEEN_OVER_LIMIT, /* nor this: the money is held, but the card has as many seats of the event as it may */
};

enum { PAYMENT_ID_MAX = 120, PAYMENT_CODE_MAX = 80, PAYMENT_URL_MAX = 1000, PAYMENT_DIFFERS_MAX = 240 };

/* What an answer says; texts are NUL-terminated copies, cut at their maximum. */
struct payment_observation {
	enum payment_seen seen;
	enum payment_step step; /* of what this is the answer */
	char intent_id[PAYMENT_ID_MAX], action_url[PAYMENT_URL_MAX], decline_code[PAYMENT_CODE_MAX];
	bool is_intent; /* then the rest says what the intent is about; a sum it does not name is -1 */
	int64_t amount_minor, held_minor, received_minor;
	char currency[8], attempt[PAYMENT_CODE_MAX],
		fingerprint[PAYMENT_CODE_MAX]; /* fingerprint: of the card, when asked for */
	char differs[PAYMENT_DIFFERS_MAX]; /* in words, by payment_compare: what is not as it was asked; "": nothing */
};

/* An answer to a call about an intent. http_status 0: none came (sent: some byte may have left). */
void payment_observe(enum payment_step step, int http_status, bool sent, struct str body,
		     struct payment_observation *ret);

/* The code of an answered error, "" when it has none. */
void payment_error_code(struct str body, char out[PAYMENT_CODE_MAX]);
/* Is the intent that was answered the one that was asked for? Amount, what of it is held or received, currency, attempt. Says
 * in ret->differs what is not. Of an intent on which nothing is open (declined, cancelled) nothing is asked. */
void payment_compare(struct payment_observation *ret, const struct uuid *payment, int64_t amount_minor,
		     const char *currency);

/* What is known of an attempt when something has to be decided. */
struct payment_view {
	enum payment_state state;
	bool fresh;	     /* the request that made it is driving it: nothing was sent by anyone else */
	bool has_intent;     /* the gateway's id is known */
	bool confirm_called; /* the row of the call is committed: it may have left */
	bool cancel_called;  /* the same: what is held may be given back at any moment */
	bool void_wanted;    /* ended here; the gateway has to be told */
	int64_t now_us, action_until_us, hold_until_us;
};

enum payment_action {
	DO_NOTHING, /* through */
	DO_WAIT,    /* look again later */
	DO_CREATE,
	DO_CONFIRM,
	DO_CAPTURE,
	DO_CANCEL,
	DO_RETRIEVE, /* calls */
	DO_REQUIRE_ACTION,
	DO_AUTHORISE,
	DO_CAPTURED,
	DO_LOSE,    /* arrows */
	DO_FAIL,    /* declined: the arrow, and the lock goes back to its owner */
	DO_RELEASE, /* the same because the gateway did not work: nothing was or will be charged */
	DO_ABANDON,
	DO_VOID,
	DO_REJECT,     /* void as well, but the seats could be had: the lock goes back to its owner */
	DO_VOIDED,     /* the gateway knows that it is void */
	DO_REFUND_ALL, /* void came too late, the money was taken: all of it goes back */
};
const char *payment_action_name(enum payment_action a);
enum payment_action payment_decide(const struct payment_view *v, const struct payment_observation *o);

/* ---- refunds ---- */

/* refunds.failure of one whose payment was never captured: nothing was taken, so nothing is owed */
#define REFUND_NOT_CAPTURED "not_captured"

struct refund_observation {
	enum payment_seen
		seen; /* PAID: succeeded, NEW: pending, REFUSED, UNKNOWN, UNREACHED, DENIED; of a list: NOTHING: not in it */
	char gateway_id[PAYMENT_ID_MAX], failure[PAYMENT_CODE_MAX];
};
void refund_observe(int http_status, bool sent, struct str body, struct refund_observation *ret);
/* Finds ours in a list of refunds by its metadata. */
void refund_observe_list(int http_status, bool sent, struct str body, const struct uuid *refund_id,
			 struct refund_observation *ret);

/* ---- what is sent: form bodies ---- */

/* name=value, escaped; & before all but the first. */
void form_add(struct buf *b, const char *name, struct str value);
void form_add_i64(struct buf *b, const char *name, int64_t value);
/* currency in capitals; the body has it in lower case. */
void payment_create_body(struct buf *b, const struct uuid *show, const struct uuid *booking, const struct uuid *payment,
			 int64_t amount_minor, const char *currency);
/*
 * The address that the bank's page sends the buyer back to: the client's own with show, booking and a one-time token added to its
 * query. The token is no part of what is stored: where it belongs stands RETURN_TOKEN_PLACE until the moment of sending.
 */
#define RETURN_TOKEN_PLACE "{return_token}"
void payment_return_url(struct buf *b, struct str client_url, const struct uuid *show, const struct uuid *booking);
/* body with the token where its place was. */
void payment_fill_token(struct buf *b, struct str body, struct str token);
/* with_card: the answer is to say which card it is. */
void payment_confirm_body(struct buf *b, struct str method, struct str return_url, bool with_card);
#define PAYMENT_WITH_CARD "expand%5B%5D=latest_charge" /* the same for a GET */
void refund_body(struct buf *b, struct str intent_id, const struct uuid *refund, int64_t amount_minor);
/* What is kept of an answer: {"id", "status", "code"?, ...}, nothing about a person or a card. */
void payment_summary(struct str body, struct buf *out);

/* The key and the buyers' money go to this address: https, or a host of this machine. NULL: fine; else what is wrong with it. */
const char *payment_url_fault(struct str url);

/* Why a card was declined (decline.c): a sentence for its holder, never NULL; and the code as the holder may know it. */
const char *payment_decline_words(const char *code);
const char *payment_decline_told(const char *code);

/* A gateway's token: one line of visible ASCII. */
bool payment_method_plausible(struct str s);

/* How long to wait before the next look, by how often it was looked at in vain. */
int64_t payment_backoff_us(int64_t tries);

#endif
