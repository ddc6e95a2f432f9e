/* Inside the door: its structure, and what its files call in each other. */
#ifndef DOOR_DOOR_INT_H
#define DOOR_DOOR_INT_H

#include "door/door.h"
#include "door/door_service.h"
#include "ticket/trust.h"

enum { DOOR_QUERY_MS = 5000, DOOR_TX_MS = 5000, DOOR_COUNTS_MAX = 32 };

/* The answer of .../checkins/counts as last given for a show. */
struct door_count {
	struct uuid show_id; /* zeros: none */
	int64_t read_us;
	struct shared_bytes *body;
};

struct door_service {
	struct door_config config;
	struct crypto_key hash_key;    /* of codes in checkins.request_hash */
	struct crypto_key secrets_key; /* opens the sealed secrets of ticket_keys */

	/* the keys as last read */
	struct ticket_key *keys;
	int64_t *not_before_us;
	size_t n_keys;
	struct ticket_signer
		signer; /* of bundles: the newest key that everybody knows by now; of no use when has_signer is false */
	bool has_signer;
	int64_t keys_read_us; /* 0: never */

	struct door_count counts[DOOR_COUNTS_MAX];
	size_t next_count;
};

/*
 * What every request of the door begins with: is the show one of the asker's, and, with a token of a device, one of its; then the
 * keys, if they are to be had. go gets the show, valid during the call. It is not called after a refusal.
 *
 * Requests live in the call's arena and are gone with the answer; what they own besides is given back by arena_on_done.
 */
struct door_call {
	struct door_service *d;
	struct web_call *call;
	void (*go)(struct door_call *c, struct show *show);
	struct show *show;
	bool keys_wanted; /* read them even if they are fresh: a code was signed with one we do not know */
	bool keys_asked;
};
void door_begin(struct door_call *c);
/* The keys once more, unless this request has read them already: false then, else go is called again. */
bool door_keys_again(struct door_call *c);
struct ticket_trust door_trust(const struct door_service *d, const struct uuid *show);

/* Which device asks, by its token or what it says. false after having answered. */
bool door_device(struct web_call *call, struct str said, struct str *ret);
void door_arg_actor(struct pg_args *args, const struct web_call *call);
/* The last two of ticket_use: from when until when a show lets in. */
void door_arg_window(struct pg_args *args, const struct door_config *config);
void door_hash(const struct door_service *d, char kind, struct str code, const struct uuid *ticket,
	       uint8_t out[CRYPTO_HASH]);

/* A row of checkins as the statements of the two arrows give it. */
struct door_row {
	struct str nonce;
	uint8_t hash[CRYPTO_HASH];
	struct uuid checkin_id, ticket_id;
	int32_t seat_no; /* -1: none */
	bool ok, offline, fresh;
	enum door_reason reason;
	int64_t at_us, scanned_at_us, first_used_at_us;
	struct str first_device;
};
/* Strings are copied into the arena. */
void door_row_read(const struct pg_result *r, int row, struct arena *arena, struct door_row *ret);
/* The members result, reason, at, first_used_at, first_device, ticket into an open object. */
void door_row_write(struct jw *w, const struct door_row *row, const struct show *show);
void door_count_row(const struct door_service *d, const struct door_row *row);

/* What became of a transaction that may be tried again with the same nonces: true when it is worth it now. */
struct door_tries {
	int64_t until_us;
	int n;
	bool unknown; /* one of them may have taken effect */
};
void door_tries_begin(struct door_tries *t, const struct door_service *d);
bool door_try_again(struct door_tries *t, const struct door_service *d, const struct pg_answer *a);
int64_t door_try_ms(const struct door_tries *t, const struct door_service *d);
void door_refuse(struct web_call *call, const struct door_tries *t, const struct pg_answer *a);

/* the handlers */
void door_checkin_post(struct web_call *call);
void door_undo_post(struct web_call *call);
void door_upload_post(struct web_call *call);
void door_counts_get(struct web_call *call);
void door_bundle_get(struct web_call *call);

#endif
