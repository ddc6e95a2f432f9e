/*
 * Rules of organisers' webhooks: their states, what an address may be, which events there are, when an attempt is repeated, how
 * one is signed. Pure: clock and randomness are passed in.
 *
 *   webhook:   enabled <-> disabled;  enabled -> suspended -> enabled | disabled;  each -> deleted
 *   delivery:  queued -> delivered | failed;  delivered | failed -> queued (redelivery, replay)
 *   replay:    running -> done | cancelled
 */
#ifndef HOOKS_HOOKS_RULES_H
#define HOOKS_HOOKS_RULES_H

#include "base/buf.h"
#include "base/ids.h"
#include "io/net.h"

/* An arrow between stored states is the SQL file of that name. */
struct hook_arrow {
	const char *from, *to, *file;
};
extern const struct hook_arrow hook_arrows[];
extern const size_t hook_arrows_n;

/* ---- addresses ---- */

enum { HOOK_URL_MAX = 2000 };

/*
 * NULL: it may be called; else why not, a sentence. https alone (http too where allow_http says so), no name and password, no
 * fragment, port 443 (80) or one above 1023, a host in plain ASCII that is not an address of a private network. What a name comes
 * to is not known here: that is asked again before each connection (hook_may_connect).
 */
const char *hook_url_fault(struct str url, bool allow_http, const struct net_list *allowed);
/* An address that a name came to: public, or in a network that the operator allows. */
bool hook_may_connect(const struct sockaddr_storage *to, const struct net_list *allowed);

/* ---- events ---- */

extern const char *const hook_event_types[]; /* ended by NULL */
#define HOOK_TEST_TYPE "webhook.test"
/* "booking.confirmed", "booking.*" or "*": something that there is. */
bool hook_type_known(struct str wanted);
/* An event as it comes from the outbox, by whatever way. */
struct hook_event {
	struct str id, topic, type, json;
	struct uuid show_id;
	int64_t time_us;
};
/*
 * aggregate: what events stand in a line behind each other: those of one booking, else of one lock, else of one show.
 * subject: what it is about, as on Kafka (ce_subject): the booking, the payment or refund, the ticket, else the show.
 */
enum { HOOK_ABOUT_TEXT = 64 };
void hook_about(const struct hook_event *e, char ret_aggregate[HOOK_ABOUT_TEXT], char ret_subject[HOOK_ABOUT_TEXT]);

/* A CloudEvent 1.0 in its structured JSON form: what is sent, byte by byte; the event itself is its "data". */
#define HOOK_SOURCE "/boxoffice" /* as on Kafka */
void hook_body_write(struct buf *out, const struct hook_event *e, struct str subject);

/* ---- signing: Standard Webhooks 1.0 ---- */

enum { HOOK_SECRET = 32, HOOK_SECRET_TEXT = 64, HOOK_SIGNATURE_TEXT = 64 };

/* "whsec_" and base64. */
void hook_secret_format(const uint8_t secret[HOOK_SECRET], char out[HOOK_SECRET_TEXT]);
/* "v1," and base64 of HMAC-SHA256 over "id.timestamp.body". */
void hook_sign(struct str secret, struct str id, int64_t timestamp_s, struct str body, char out[HOOK_SIGNATURE_TEXT]);

/* ---- attempts ---- */

enum { HOOK_WAITS_MAX = 30 };

/* How long to wait after the first, second, ... attempt that failed; after the last of them it is given up. */
struct hook_schedule {
	size_t n;
	int32_t wait_s[HOOK_WAITS_MAX];
};
/* "5 30 120": seconds, 0 to 604800 each, at least one. */
bool hook_schedule_parse(const char *text, struct hook_schedule *ret);
/* After so many attempts: microseconds until the next, up to a fifth longer by chance, and not sooner than the receiver asked for
 * (Retry-After, -1: it did not; at most a day is heeded). -1: there is none. */
int64_t hook_wait_us(const struct hook_schedule *s, int64_t attempts, int64_t retry_after_s, uint32_t chance);

enum hook_verdict {
	HOOK_TAKEN, /* 2xx */
	HOOK_AGAIN, /* anything else: redirects are not followed, and a 4xx may be an error in a configuration */
	HOOK_GONE,  /* 410: wants no more, of anything */
};
/* http_status 0: no answer. */
enum hook_verdict hook_judge(int http_status);

enum {
	HOOK_PAUSE_FROM = 5,   /* failures in a row after which one attempt at a time is made, with pauses */
	HOOK_PAUSE_MS = 1000,  /* the first pause; doubled with each failure */
	HOOK_PAUSE_MAX_S = 60, /* up to this */
	HOOK_HOLD_ATTEMPTS =
		3, /* an event waits for an earlier one of its aggregate until this has been tried so often */
	HOOK_SILENCE_S = 86400, /* a failure after so long without one begins a new stretch of failing */
	HOOK_SUSPEND_FROM = 3,	/* failures in a row at least, before a long stretch suspends */
};
/* Nothing has ended well for so long. */
bool hook_failed_for_long(int64_t failures, int64_t failing_us, int64_t limit_us);

#endif
