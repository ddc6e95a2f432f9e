/*
 * Who is asking: session tokens, staff tokens, the secret link of a booking; and ids derived from Idempotency-Keys.
 *
 *   bs_<id, issued, mac>     a buyer's session, sealed by us: no lookup, no store
 *   bt_<id, secret>          a staff API token; its hash is in api_tokens
 *   bu_<id, secret>          somebody of the staff who has logged in; its hash is in staff_logins
 *   bi_<id, secret>          an invitation to set a password, good for one use; its hash is in staff_users
 *   ba_<show, booking, mac>  the link of one booking: whoever has it may read and cancel that booking
 *   br_<show, booking, attempt, mac>  in the address that 3-D Secure sends a buyer back to; good for one use, which is noted
 *                            with the attempt
 *
 * All keys come from one master key (32 bytes), each for one purpose.
 */
#ifndef AUTH_AUTH_H
#define AUTH_AUTH_H

#include "io/crypto.h"
#include "io/pg.h"
#include "io/web.h"

struct auth;

struct auth_config {
	struct crypto_key master;
	struct pg *pg;
	int64_t session_lifetime_us;
	int64_t staff_idle_us;	 /* a login that is not used for so long is over */
	int64_t (*now_us)(void); /* the wall clock */
};

extern const struct pg_stmt *const *const auth_sql; /* to prepare */

struct auth *auth_new(const struct auth_config *config);
void auth_free(struct auth *a);

enum { AUTH_TOKEN_TEXT = 128 };

/* A new session's token; *ret_expires_us says when it ends. */
void auth_session_new(struct auth *a, char out[AUTH_TOKEN_TEXT], struct uuid *ret_session, int64_t *ret_expires_us);
/* false: not ours, changed, or over. */
bool auth_session_open(const struct auth *a, struct str token, struct uuid *ret_session);

void auth_booking_token(const struct auth *a, const struct uuid *show, const struct uuid *booking,
			char out[AUTH_TOKEN_TEXT]);
bool auth_booking_open(const struct auth *a, struct str token, struct uuid *ret_show, struct uuid *ret_booking);

void auth_return_token(const struct auth *a, const struct uuid *show, const struct uuid *booking,
		       const struct uuid *payment, char out[AUTH_TOKEN_TEXT]);
bool auth_return_open(const struct auth *a, struct str token, struct uuid *ret_show, struct uuid *ret_booking,
		      struct uuid *ret_payment);

/* The cookie of somebody of the staff. */
#define AUTH_STAFF_COOKIE "__Host-boxoffice-staff"

/* A token that is stored as its hash, e.g. "bt_". key NULL: its secret is random; else a MAC of the id, for a token that must be
 * answered again to the same Idempotency-Key. */
void auth_secret_token(const char *prefix, const struct uuid *id, const struct crypto_key *key,
		       char out[AUTH_TOKEN_TEXT], uint8_t ret_hash[CRYPTO_HASH]);
/* A new staff token and what is stored of it. */
void auth_staff_token_new(int64_t now_us, char out[AUTH_TOKEN_TEXT], struct uuid *ret_token_id,
			  uint8_t ret_hash[CRYPTO_HASH]);

/* The hook of struct web_config (arg is the struct auth). */
void auth_identify(void *auth, struct web_call *call);

/*
 * The id of what a POST makes: derived from who asks, the path asked and the Idempotency-Key, or a new one without a key.
 * hash is of the body in canonical form (members sorted), so that another spelling of the same request is the same request.
 * false after having answered the call (a malformed key).
 */
struct idempotent {
	struct uuid id;
	bool has_key;
	uint8_t hash[CRYPTO_HASH];
};
/* As it is stored with what was made, and compared when the same is asked again. */
static inline struct str idempotent_hash(const struct idempotent *i)
{
	return (struct str){(const char *)i->hash, sizeof(i->hash)};
}
bool auth_idempotent(struct auth *a, struct web_call *call, const json_t *body, struct idempotent *ret);
/* The same, but without a key there is no hash: for routes on which a body is compared only with one of the same key. */
bool auth_idempotent_if_keyed(struct auth *a, struct web_call *call, const json_t *body, struct idempotent *ret);
/* The same for a body that is compared byte by byte (a seating plan). */
bool auth_idempotent_bytes(struct auth *a, struct web_call *call, struct str body, struct idempotent *ret);

const struct crypto_key *auth_master(const struct auth *a);

/* POST /v1/sessions */
void auth_routes(struct auth *a, struct web *web);

/* "events", "seats", ...; 0 when there is no such scope. */
unsigned auth_scope_from_name(struct str name);
const char *auth_scope_name(unsigned bit);

#endif
