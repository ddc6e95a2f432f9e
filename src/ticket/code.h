/*
 * The text in a ticket's QR code: which show, which ticket, which seat, signed with Ed25519 so that a door without a
 * network can trust it. docs/ticket-format.md has the bytes. Pure: nothing here reads a clock, a file or a database.
 * crypto_init must have been called.
 */
#ifndef TICKET_CODE_H
#define TICKET_CODE_H

#include "base/ids.h"
#include "base/str.h"

enum {
	TICKET_PAYLOAD = 43,	   /* version, key id, show, ticket, seat, serial */
	TICKET_CODE_LENGTH = 176,  /* "BX1." and 172 base-32 characters; every code has exactly this length */
	TICKET_CODE_TEXT = 177,	   /* with the NUL */
	TICKET_KEY_ID_TEXT = 9,	   /* eight hexadecimal digits and the NUL */
	TICKET_SERIAL_MAX = 65535, /* a ticket can be reissued this often */
};

struct ticket_claims {
	struct uuid show_id, ticket_id;
	uint32_t seat_no; /* of the show's plan version */
	uint16_t serial;  /* 0 at first; one more each time the ticket is issued again with the same id */
};

/* What signs: made once per key, kept by the caller. */
struct ticket_signer {
	uint32_t key_id;
	uint8_t secret[64];
};

enum ticket_key_status {
	TICKET_KEY_ACTIVE,  /* signs, and is trusted */
	TICKET_KEY_RETIRED, /* signs no more, still trusted: its tickets are out there */
	TICKET_KEY_REVOKED, /* not trusted any more: its secret became known */
};

struct ticket_key {
	uint32_t key_id;
	enum ticket_key_status status;
	uint8_t public_key[32];
};

/* Codes of this ticket with a serial below `below` are refused; TICKET_REVOKE_ALL: every one. */
enum { TICKET_REVOKE_ALL = TICKET_SERIAL_MAX + 1 };
struct ticket_revoked {
	struct uuid ticket_id;
	uint32_t below;
};

/* What a verifier knows. Nothing is owned. */
struct ticket_trust {
	const struct ticket_key *keys; /* key ids differ */
	size_t n_keys;
	const struct ticket_revoked *revoked; /* sorted by ticket_revoked_cmp */
	size_t n_revoked;
	const struct uuid *show_id; /* NULL: a code of any show will do */
};

enum ticket_reason {
	TICKET_OK,
	TICKET_MALFORMED,     /* not a code of a version we know, or not its one spelling */
	TICKET_UNKNOWN_KEY,   /* not among the keys, or that key is no longer trusted */
	TICKET_BAD_SIGNATURE, /* forged or damaged */
	TICKET_WRONG_SHOW,    /* genuine, for another show */
	TICKET_REVOKED,	      /* genuine, cancelled or issued again since */
	TICKET_ALREADY_USED,  /* genuine, and somebody is in with it (said by who knows; ticket_code_verify does not) */
};

/* A code taken apart; nothing in it is to be believed before ticket_code_verify. */
struct ticket_code {
	struct ticket_claims claims;
	uint32_t key_id;
	uint8_t payload[TICKET_PAYLOAD];
	uint8_t signature[64];
};

/* The id of a key follows from it, so that two parties never need to agree on one: four bytes of its BLAKE2b-256. */
uint32_t ticket_key_id(const uint8_t public_key[32]);
char *ticket_key_id_format(uint32_t key_id, char out[TICKET_KEY_ID_TEXT]);
bool ticket_key_id_parse(struct str text, uint32_t *ret_key_id);
/* From libsodium's secret key, which carries the public one. */
struct ticket_signer ticket_signer_make(const uint8_t secret[64]);

/* The same claims and key give the same code, always. */
void ticket_code_make(const struct ticket_signer *signer, const struct ticket_claims *claims,
		      char out[TICKET_CODE_TEXT]);
/* Exactly one text is accepted per payload and signature: no blanks, no lower case, no padding. */
bool ticket_code_parse(struct str text, struct ticket_code *ret);
/* ret_claims may be NULL; it is set for TICKET_OK, TICKET_WRONG_SHOW and TICKET_REVOKED, where the signature held,
 * and zeroed otherwise. */
enum ticket_reason ticket_code_verify(struct str text, const struct ticket_trust *trust,
				      struct ticket_claims *ret_claims);
/* "ok", "malformed", "unknown_key", ...: stable, for programs. */
const char *ticket_reason_code(enum ticket_reason reason);
/* A short sentence for whoever stands at the door. */
const char *ticket_reason_text(enum ticket_reason reason);

/* For qsort; the same ticket twice: the wider revocation first. */
int ticket_revoked_cmp(const void *a, const void *b);

#endif
