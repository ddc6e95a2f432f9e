/*
 * The gateway's test cards, each named by the payment method that stands for it. Pure tables: what a card does when it is
 * charged, when its bank asks the payer, when it is captured, refunded, disputed. Names and numbers are those of the
 * gateway's page on testing.
 */
#ifndef PAYSIM_CARDS_H
#define PAYSIM_CARDS_H

#include "base/str.h"

struct refusal;

enum card_outcome {
	CARD_APPROVES,
	CARD_DECLINES,
	CARD_CHALLENGES, /* 3-D Secure first; then approves, or declines when it has a code */
};

enum card_risk { CARD_RISK_NORMAL, CARD_RISK_ELEVATED, CARD_RISK_HIGHEST };

/* What becomes of a refund to it. */
enum card_refunds {
	CARD_REFUNDS_AT_ONCE,
	CARD_REFUNDS_LATER,	 /* pending, later succeeded */
	CARD_REFUNDS_FAIL_LATER, /* succeeded, later failed */
	CARD_REFUNDS_NEVER,	 /* pending, later failed */
};

/* What its owner's bank does some time after the money was taken. */
enum card_after { CARD_QUIET, CARD_DISPUTES, CARD_DISPUTES_TWICE, CARD_WARNS };

struct card {
	struct str name;    /* "pm_card_visa" */
	const char *number; /* never leaves but for its last four digits and the fingerprint */
	const char *brand, *country, *funding;
	enum card_outcome outcome;
	const char *code, *decline_code, *param, *message; /* of one that declines */
	enum card_risk risk;
	bool blocked;			       /* declined before its bank was asked */
	bool set_up;			       /* not challenged when the payer is not there */
	bool capture_fails;		       /* refused for good; the authorisation stays */
	const char *cvc, *postal_code, *line1; /* the checks' results; NULL: pass, and not checked for the address */
	enum card_refunds refunds;
	enum card_after after;
	const char *dispute_reason;
	bool inquiry; /* the dispute only asks */
};

const struct card *card_find(struct str name);
size_t card_count(void); /* for tests: card_at(0 .. count - 1) */
const struct card *card_at(size_t i);
/* The bank's plain refusal: for a capture refused for good, and for fault switches. */
extern const struct card card_generic_decline;
/* A payer who is not there cannot be asked. */
extern const struct card card_authentication_required;
void card_refuse(const struct card *c, struct refusal *r);
/* Made from the number alone: one card has one fingerprint, for ever and under all its names. */
enum { CARD_FINGERPRINT_TEXT = 17 };
void card_fingerprint(const struct card *c, char out[CARD_FINGERPRINT_TEXT]);
const char *card_last4(const struct card *c);

#endif
