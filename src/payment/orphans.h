/*
 * The orphan scan's rules: a page of the gateway's intents, and what each means when it is held against our own attempt.
 * Pure. Called by payment_orphans.c, tests and the fuzz target.
 *
 *   no metadata of ours, or too young --> ORPHAN_FINE
 *   no such attempt:  paid --> ORPHAN_PAYMENT    open, the show is ours --> ORPHAN_CANCEL    open, no such show --> ORPHAN_STRANGE
 *   it has another intent:  paid or open --> ORPHAN_SECOND
 *   it has ended:     paid, held or open, and nobody sees to it --> ORPHAN_VOID
 *   it is captured:   not paid there --> ORPHAN_UNCAPTURED        paid, another sum --> ORPHAN_AMOUNT
 */
#ifndef PAYMENT_ORPHANS_H
#define PAYMENT_ORPHANS_H

#include "base/arena.h"
#include "payment/payment.h"

/* One of the gateway's intents, as far as it concerns us. */
struct orphan_intent {
	char id[PAYMENT_ID_MAX];
	bool ours; /* our three names in its metadata */
	struct uuid show_id, booking_id, payment_id;
	enum payment_seen seen;
	int64_t amount_minor, received_minor, created_s;
	char currency[4];
};

struct orphan_page {
	struct orphan_intent *intents; /* arena */
	size_t n;
	bool more;
	char last[PAYMENT_ID_MAX]; /* to ask for the next page with */
};
/* false: no such list (an error, cut short, other JSON): to be asked again. */
bool orphan_page_read(int http_status, struct str body, struct arena *arena, struct orphan_page *ret);

/* What we know of the attempt that an intent names. */
struct orphan_attempt {
	bool show_known, known;
	enum payment_state state;
	struct str intent_id;	    /* "" when it was never known */
	bool void_wanted, refunded; /* refunded: a refund of it was asked for, whatever became of it */
	int64_t amount_minor;
	struct str currency;
};

enum orphan_verdict {
	ORPHAN_FINE,
	ORPHAN_VOID,	   /* ours has ended: the settling duty cancels it or gives the money back */
	ORPHAN_CANCEL,	   /* no such attempt: to be cancelled at the gateway */
	ORPHAN_STRANGE,	   /* no such attempt and no such show: perhaps another box office's. For a person */
	ORPHAN_PAYMENT,	   /* money was taken for no attempt. For a person */
	ORPHAN_SECOND,	   /* a second intent of one attempt, which nobody makes. For a person */
	ORPHAN_AMOUNT,	   /* another sum was taken than ours. For a person */
	ORPHAN_UNCAPTURED, /* captured here, not there. For a person */
	ORPHAN_VERDICTS,
};
/* The kind of finding, "" for those that make none. */
const char *orphan_finding(enum orphan_verdict v);
enum orphan_verdict orphan_decide(const struct orphan_intent *i, const struct orphan_attempt *a);

#endif
