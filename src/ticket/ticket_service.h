/*
 * The Ticket Service: one ticket per seat of a confirmed booking. It owns tickets and ticket_keys.
 *
 *   ticket: valid -> used, valid -> revoked (final)
 *
 * A code is not stored: it is signed again whenever it is asked for, with the key the ticket was issued under, which comes
 * sealed with every row that is read. So a process needs to hear of a new key from nobody.
 */
#ifndef TICKET_TICKET_SERVICE_H
#define TICKET_TICKET_SERVICE_H

#include "auth/auth.h"
#include "event/event.h"
#include "io/offload.h"
#include "io/pg.h"
#include "io/web.h"

struct ticket_service;

struct ticket_service_config {
	struct loop *loop;
	struct pg *pg;
	struct offload *offload;
	struct auth *auth;
	struct event_service *event;
};

extern const struct pg_stmt *const *const ticket_sql; /* to prepare */

/* Makes the first signing key as soon as the database can be reached and has none. crypto_init must have been called. */
struct ticket_service *ticket_service_new(const struct ticket_service_config *config);
/* After the pg and the offload pool (they drop the callbacks that point here), before the loop. NULL is fine. */
void ticket_service_free(struct ticket_service *t);
/* t may be NULL when the routes are only listed. */
void ticket_routes(struct ticket_service *t, struct web *web);

/* What seals the secrets of ticket_keys. */
void ticket_keys_key(const struct crypto_key *master, struct crypto_key *ret);

/* ---- inside the booking service's transactions: who opened one commits it ---- */

/* (nothing) -> valid, ids made here. fn gets one row per ticket by ascending seat, fit for tickets_write: fewer than n
 * means roll back. */
void tickets_issue(struct ticket_service *t, struct pg_tx *tx, struct arena *a, const struct uuid *show,
		   const struct uuid *booking, const int32_t *seats, size_t n, pg_fn *fn, void *arg);
/* The same for tickets that go to somebody else; transfer stands in ticket_transfers with them. */
void tickets_issue_to(struct ticket_service *t, struct pg_tx *tx, struct arena *a, const struct uuid *show,
		      const struct uuid *booking, const struct uuid *transfer, const int32_t *seats, size_t n,
		      pg_fn *fn, void *arg);
/* valid -> revoked for these seats of the booking. One row: n_used, n_revoked, revoked (ids). When n_used > 0 nothing was revoked and the
 * caller rolls back. Tickets revoked before do not count. why stands in the event: "buyer", "staff", "show_cancelled", "payment_lost",
 * "transferred". */
void tickets_revoke(struct pg_tx *tx, struct arena *a, const struct uuid *show, const struct uuid *booking,
		    const int32_t *seats, size_t n, const char *why, pg_fn *fn, void *arg);

/* ---- reading ---- */

/* The tickets of a booking, revoked ones too, by seat: rows for tickets_write. */
void tickets_read(struct pg *pg, struct arena *a, const struct uuid *show, const struct uuid *booking, pg_fn *fn,
		  void *arg);
/* Items {ticket_id, seat, code, status} into an open array, from rows of tickets_read. A revoked ticket's code is null, and that of one
 * which was given to somebody else unless all: it is its holder's. Signing takes 30 us a ticket. */
void tickets_write(struct ticket_service *t, struct jw *w, const struct show *show, const struct pg_result *r,
		   bool all);

#endif
