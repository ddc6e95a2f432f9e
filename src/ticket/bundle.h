/*
 * What a door without a network carries: a JSON text about one show, signed. Pure. docs/door.md has the members.
 *
 *   {"algorithm": "Ed25519", "key_id": "...", "signature": "...", "bundle": "<the text, as a JSON string>"}
 *
 * The text stands in a string so that what was signed are exactly the bytes that a reader has, whatever JSON library he uses. Signed
 * is "boxoffice door\n" and the text: no ticket is a bundle, and no bundle a ticket.
 */
#ifndef TICKET_BUNDLE_H
#define TICKET_BUNDLE_H

#include "base/buf.h"
#include "base/err.h"
#include "ticket/trust.h"

struct bundle_used {
	struct uuid ticket_id;
	int64_t used_at_us; /* 0: not known */
};

/* A bundle that was checked. */
struct bundle {
	struct uuid show_id;
	bool delta; /* only what changed since another one */
	int64_t as_of_us, expires_at_us;
	struct ticket_trust_lists lists;
	struct bundle_used *used; /* sorted by id */
	size_t n_used;
};

/* false: out is full. */
bool bundle_sign(const struct ticket_signer *signer, struct str text, struct buf *out);
/* Of a file or an answer. keys: whom to believe. false with *ret_error set: not a bundle, or signed by none of them. The caller calls
 * bundle_done in any case. */
bool bundle_open(struct str envelope, const struct ticket_key *keys, size_t n_keys, struct bundle *ret,
		 struct error *ret_error);
void bundle_done(struct bundle *b);
/* NULL: not used. */
const struct bundle_used *bundle_find_used(const struct bundle *b, const struct uuid *ticket);

#endif
