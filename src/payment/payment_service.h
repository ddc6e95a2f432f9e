/*
 * The Payment Service: attempts to pay for a booking, the calls to the gateway that carry them, refunds. It owns payments,
 * payment_calls, payment_events, refunds, webhook_events and payment_findings. States and what follows from an answer stand in payment.h.
 *
 *   POST bookings --(transaction: payment_create)--> payment_start --+
 *   GET booking ----------------------------------> payment_ask -----+--> one drive: decide, call, record ... until it
 *   work, every second ---------------------------> payment_settle --+    must wait or is through (payment_drive.c)
 *
 * A drive holds no database lock while it talks to the gateway. What it holds is a generation: whoever takes an attempt
 * over raises it, and the next statement of the one who had it finds nothing to do.
 */
#ifndef PAYMENT_PAYMENT_SERVICE_H
#define PAYMENT_PAYMENT_SERVICE_H

#include "auth/auth.h"
#include "event/event.h"
#include "io/crypto.h"
#include "io/http_client.h"
#include "io/metrics.h"
#include "io/pg.h"
#include "io/web.h"
#include "payment/payment.h"
#include "seat/seat_map.h"

struct payment_service;
struct ticket_service;

struct payment_service_config {
	struct loop *loop;
	struct pg *pg;
	struct http_client *http;
	struct metrics *metrics;
	struct seat_map *map;
	struct ticket_service *ticket;
	struct event_service *event;
	const char *url;		 /* of the gateway; "": none, then only what is free can be booked */
	const char *key_file;		 /* holds the gateway's secret key */
	const char *webhook_secret_file; /* what its events are signed with; "": none are taken */
	const struct auth *auth;
	int64_t timeout_ms;	    /* of one call that moves money */
	int64_t read_timeout_ms;    /* of one that only asks */
	int64_t connect_timeout_ms; /* of both: up to and with TLS */
};

extern const struct pg_stmt *const *const payment_sql; /* to prepare */

/* NULL with a sentence in error when the key cannot be read. */
struct payment_service *payment_service_new(const struct payment_service_config *config, char *error, size_t size);
void payment_service_free(struct payment_service *p); /* after the pg and the http client; NULL is fine */
bool payment_configured(const struct payment_service *p);
/* The last calls were answered; false: it has failed so often that only one now and then is tried. */
bool payment_gateway_up(const struct payment_service *p);
/* false: the gateway has failed so often that calls wait; nothing new should be begun for so long. */
bool payment_available(const struct payment_service *p, int *ret_retry_after_s);
/* p may be NULL when the routes are only listed. */
void payment_routes(struct payment_service *p, struct web *web);

/* What a new attempt is made of. */
struct payment_new {
	struct uuid show_id, booking_id, lock_id, payment_id;
	struct uuid request_id;	     /* of the Idempotency-Key */
	const uint8_t *request_hash; /* CRYPTO_HASH bytes */
	struct str method, return_url;
	int64_t amount_minor; /* as the lock was read: another sum by now is no row */
	char currency[4];
};
/*
 * Inside the booking's transaction, after lock_pay and booking_create: (nothing) -> created, with the row of its first call. No
 * rows: the booking is not waiting for a payment, or has one under way. What is returned goes to payment_start once that is
 * committed, or to payment_forget when it is not.
 */
struct payment_made;
struct payment_made *payment_create(struct payment_service *p, struct pg_tx *tx, struct arena *a,
				    const struct payment_new *n, pg_fn *fn, void *arg);
void payment_forget(struct payment_made *made); /* NULL is fine */

/* Told when the drive has ended, in whatever state; the caller reads the booking again. */
typedef void payment_fn(void *arg);
/* Drives a new attempt whose transaction has committed; its first call is on its way at once. */
void payment_start(struct payment_made *made, payment_fn *fn, void *arg);
/* Asks the gateway about an attempt that is not through, unless somebody else is at it or it was asked a second ago. actor, for
 * the audit trail: "buyer", "staff", "webhook". */
void payment_ask(struct payment_service *p, const struct uuid *show, const struct uuid *payment, const char *actor,
		 payment_fn *fn, void *arg);
/* The buyer came back from the bank with the token of this attempt. One row: return_used before, whether it is in time, used (1:
 * this was its one use); none: no such attempt of the booking. After that it may be asked about at once. */
void payment_return(struct pg *pg, struct arena *a, const struct uuid *show, const struct uuid *booking,
		    const struct uuid *payment, pg_fn *fn, void *arg);
/* Sends a refund that was requested, unless somebody else is at it or at another one of the same payment. actor, for the
 * audit trail: "buyer", "staff". */
void refund_send(struct payment_service *p, const struct uuid *show, const struct uuid *refund, const char *actor,
		 payment_fn *fn, void *arg);

/* Inside the cancelling transaction, after the payments row was locked: (nothing) -> requested. Rows: refund_id; none: there
 * is no captured (or to be captured) payment with that much left. kind: "seats", "goodwill". */
struct refund_new {
	struct uuid show_id, booking_id, refund_id;
	int64_t amount_minor;
	const char *kind, *reason, *actor;
	const int32_t *seats;
	size_t n_seats;
	const uint8_t *request_hash; /* CRYPTO_HASH bytes, or NULL */
};
void refund_request(struct pg_tx *tx, struct arena *a, const struct refund_new *n, pg_fn *fn, void *arg);
/* Rows: booking_id, state, amount_minor, currency, reason, request_hash. */
void refund_get(struct pg *pg, struct arena *a, const struct uuid *show, const struct uuid *refund, pg_fn *fn,
		void *arg);
/* Locks the payments of a booking; first in the lock order. Rows: payment_id, state, amount_minor, left_minor (not refunded and
 * not to be refunded). */
void payments_lock(struct pg_tx *tx, struct arena *a, const struct uuid *show, const struct uuid *booking, pg_fn *fn,
		   void *arg);

/* The show was called off: what waits at the bank for a buyer is not waited for any longer. */
void payments_hurry(struct pg *pg, struct arena *a, const struct uuid *show, pg_fn *fn, void *arg);

/*
 * One round of the settling duty: at most limit attempts, refunds and forsaken bookings whose time has come. ok false: the
 * database could not be asked; more: there is more to do now.
 */
typedef void payment_settled_fn(void *arg, bool ok, bool more);
void payment_settle_due(struct payment_service *p, int limit, payment_settled_fn *fn, void *arg);

/*
 * The orphan scan (orphans.h says what it looks for): all intents the gateway has made in 48 hours, a page of a hundred per round.
 * more: the next page at once; else it has reached the end, or the gateway cannot be asked now, and the next round may do
 * nothing: it knows itself when it goes on. One scan per service.
 */
struct orphan_scan;
struct orphan_scan *orphan_scan_new(struct payment_service *p, int64_t every_ms, int64_t min_age_s);
void orphan_scan_free(struct orphan_scan *s); /* after the pg and the http client; NULL is fine */
/* After a restore: intents made since then instead of in 48 hours. refund: what was paid for an attempt that is not in the
 * database, of a show that is, is given back at the gateway once, after its finding is stored; else it is never touched. */
void orphan_scan_since(struct orphan_scan *s, int64_t since_s, bool refund);
void orphan_scan_round(struct orphan_scan *s, payment_settled_fn *fn, void *arg);

/* Keeps the gauges of what is not settled; in every process that shows them, whoever does the settling. */
struct payment_watch;
struct payment_watch *payment_watch_new(struct payment_service *p);
void payment_watch_free(struct payment_watch *w); /* when the loop has stopped, before the loop goes; NULL is fine */

#endif
