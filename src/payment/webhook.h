/*
 * What the gateway says by itself: is it the gateway who says it, and what is it about. Pure: the clock and the function that
 * makes a MAC are passed in. Stripe's scheme:
 *
 *   Stripe-Signature: t=1700000000,v1=<hex of HMAC-SHA256(secret, "1700000000." + body)>,v1=...,v0=...
 *
 * Several v1 stand there while the gateway's secret is being changed, and on our side two secrets are good at that time; other
 * schemes are passed over. An event is a hint and no more: it never says what state an attempt is in, only which attempt is
 * worth a question.
 */
#ifndef PAYMENT_WEBHOOK_H
#define PAYMENT_WEBHOOK_H

#include "base/err.h"
#include "payment/payment.h"

enum {
	WEBHOOK_BODY_MAX = 256 * 1024,
	WEBHOOK_DEPTH_MAX = 24,
	WEBHOOK_SECRETS_MAX = 2,
	WEBHOOK_SECRET_MIN = 16,
	WEBHOOK_SECRET_MAX = 200,
	WEBHOOK_SIGNATURES_MAX = 8, /* v1 of one header; more are passed over */
	WEBHOOK_TYPE_MAX = 80,
};
/* How far its time may be from ours, either way. */
#define WEBHOOK_TOLERANCE_S INT64_C(300)

enum webhook_signed {
	WEBHOOK_SIGNED,
	WEBHOOK_UNSIGNED,  /* no header */
	WEBHOOK_MALFORMED, /* no t, or no v1 */
	WEBHOOK_FORGED,	   /* no v1 is of one of the secrets */
	WEBHOOK_STALE,
	WEBHOOK_FUTURE,
};

/* HMAC-SHA256: crypto_hmac_sha256. */
typedef void webhook_mac_fn(struct str key, struct str text, uint8_t out[32]);

/* header NULL: there was none. body as it came, byte for byte. All secrets and signatures are compared, in constant time. */
enum webhook_signed webhook_check(const struct str *header, struct str body, const struct str *secrets,
				  size_t n_secrets, int64_t now_us, webhook_mac_fn *mac);

/* A file's text: one or two lines, each a secret. 0: not such a file. The slices point into text. */
size_t webhook_secrets_read(struct str text, struct str out[WEBHOOK_SECRETS_MAX]);

/* What it is about. */
enum webhook_about {
	ABOUT_NOTHING, /* a type we have no use for, or one that names nothing */
	ABOUT_INTENT,
	ABOUT_REFUND,
	ABOUT_FOREIGN_REFUND, /* one that we did not ask for, by its metadata */
	ABOUT_DISPUTE,
};

struct webhook_event {
	char id[PAYMENT_ID_MAX], type[WEBHOOK_TYPE_MAX], object_id[PAYMENT_ID_MAX], intent_id[PAYMENT_ID_MAX];
	int64_t created_us; /* by the gateway's clock; 0 when it says none */
	enum webhook_about about;
	/* of an intent: our names in its metadata */
	bool has_attempt;
	struct uuid show_id, payment_id;
	/* of a refund */
	bool has_refund;
	struct uuid refund_id;
	enum payment_seen seen; /* what the object would mean if it were an answer */
	int64_t amount_minor;	/* 0 when absent or absurd */
	char currency[4];	/* capitals; "" when absent */
};
/* false with *error: not JSON, too deep, no event, a name that does not fit. */
bool webhook_read(struct str body, struct webhook_event *ret, struct error *error);

/* Three capitals, or "". */
void webhook_currency(const char *text, char out[4]);

#endif
