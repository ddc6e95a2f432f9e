/*
 * The published lists a verifier needs, read from their JSON: the answers of GET /v1/tickets/keys and of
 * GET /v1/shows/{show}/tickets/revoked. docs/ticket-format.md describes both.
 */
#ifndef TICKET_TRUST_H
#define TICKET_TRUST_H

#include "base/err.h"
#include "base/json.h"
#include "ticket/code.h"

enum { TICKET_KEYS_MAX = 1000, TICKET_REVOKED_MAX = 1000 * 1000 };

struct ticket_trust_lists {
	struct ticket_key *keys;
	size_t n_keys;
	struct ticket_revoked *revoked; /* sorted */
	size_t n_revoked;
	int64_t revoked_as_of_us; /* 0: the list says nothing */
};

void ticket_trust_lists_init(struct ticket_trust_lists *l);
void ticket_trust_lists_done(struct ticket_trust_lists *l);
/* Each may be called once. Members that are not known are passed over: later versions may add some. */
bool ticket_trust_read_keys(struct ticket_trust_lists *l, struct str json, struct error *ret_error);
bool ticket_trust_read_revoked(struct ticket_trust_lists *l, struct str json, struct error *ret_error);

/* The same from arrays that stand in another document, at that JSON Pointer (bundle.h). */
bool ticket_trust_take_keys(struct ticket_trust_lists *l, const json_t *keys, const char *at, struct error *ret_error);
bool ticket_trust_take_revoked(struct ticket_trust_lists *l, const json_t *items, const char *at,
			       struct error *ret_error);

/* Writes one member of "keys"; not_before_us 0: left out. */
void ticket_key_write(struct jw *w, const struct ticket_key *key, int64_t not_before_us);

#endif
