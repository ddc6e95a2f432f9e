/* Signs bundles, and reads them for `boxoffice verify-ticket`. What is wrong in one is refused as a whole. Called by door/door_bundle.c
 * and verify_cmd.c. */
#include "ticket/bundle.h"

#include "base/times.h"
#include "base/xmalloc.h"
#include "io/crypto.h"

#include <stdlib.h>
#include <string.h>

enum { USED_MAX = 1000 * 1000 };

/* In front of the text, so that no other message signed by the same key can ever pass for a bundle. */
static const char context[] = "boxoffice door\n";
enum { CONTEXT = sizeof(context) - 1 };

/* Own memory: the text may be long. */
static char *message_of(struct str text)
{
	char *m = xmalloc(CONTEXT + text.n);

	memcpy(m, context, CONTEXT);
	memcpy(m + CONTEXT, text.p, text.n);
	return m;
}

bool bundle_sign(const struct ticket_signer *signer, struct str text, struct buf *out)
{
	char *message = message_of(text), key_id[TICKET_KEY_ID_TEXT], encoded[BASE64URL_SIZE(CRYPTO_SIGNATURE)];
	uint8_t signature[CRYPTO_SIGNATURE];
	struct jw w;

	crypto_sign_message(signer->secret, (struct str){message, CONTEXT + text.n}, signature);
	free(message);
	base64url_encode(signature, sizeof(signature), encoded);
	jw_init(&w, out);
	jw_obj(&w);
	jw_kcstr(&w, "algorithm", "Ed25519");
	jw_kcstr(&w, "key_id", ticket_key_id_format(signer->key_id, key_id));
	jw_kcstr(&w, "signature", encoded);
	jw_kstr(&w, "bundle", text);
	jw_obj_end(&w);
	return jw_done(&w);
}

static const struct ticket_key *find_key(const struct ticket_key *keys, size_t n, uint32_t key_id)
{
	for (size_t i = 0; i < n; i++)
		if (keys[i].key_id == key_id && keys[i].status != TICKET_KEY_REVOKED)
			return &keys[i];
	return NULL;
}

static bool signature_holds(struct json_in *in, struct str text, const struct ticket_key *keys, size_t n_keys)
{
	struct str key_text = json_in_str(in, "key_id", JSON_REQUIRED, 8, 8);
	struct str sig_text = json_in_str(in, "signature", JSON_REQUIRED, 86, 86);
	const struct ticket_key *key;
	uint8_t signature[CRYPTO_SIGNATURE];
	uint32_t key_id;
	char *message;
	size_t n;
	bool ok;

	if (!str_eqc(json_in_str(in, "algorithm", JSON_REQUIRED, 1, 32), "Ed25519"))
		json_in_fault(in, ERR_INVALID_VALUE, "algorithm", "not Ed25519");
	if (in->error->code != ERR_NONE)
		return false;
	if (!ticket_key_id_parse(key_text, &key_id)) {
		json_in_fault(in, ERR_INVALID_VALUE, "key_id", "not eight hexadecimal digits");
		return false;
	}
	key = find_key(keys, n_keys, key_id);
	if (!key) {
		json_in_fault(in, ERR_INVALID_VALUE, "key_id", "signed with a key that is not among the trusted ones");
		return false;
	}
	if (!base64url_decode(sig_text, signature, sizeof(signature), &n) || n != sizeof(signature)) {
		json_in_fault(in, ERR_INVALID_VALUE, "signature", "not 64 bytes in base64url without padding");
		return false;
	}
	message = message_of(text);
	ok = crypto_verify(key->public_key, (struct str){message, CONTEXT + text.n}, signature);
	free(message);
	if (!ok)
		json_in_fault(in, ERR_INVALID_VALUE, "signature", "does not fit: the bundle is forged or damaged");
	return ok;
}

static int used_cmp(const void *a, const void *b)
{
	const struct bundle_used *x = a, *y = b;

	return uuid_cmp(&x->ticket_id, &y->ticket_id);
}

/* [ticket_id, time] or [ticket_id, null] */
static bool read_used(const json_t *value, size_t at, struct bundle_used *ret, struct error *e)
{
	const json_t *id = json_array_get(value, 0), *when = json_array_get(value, 1);
	char path[ERROR_PATH_MAX];

	json_pointer_index(path, "/used", at);
	if (json_array_size(value) != 2 || !json_is_string(id) ||
	    !uuid_parse((struct str){json_string_value(id), json_string_length(id)}, &ret->ticket_id))
		return error_set(e, ERR_INVALID_VALUE, path, "not a pair of a ticket and a time");
	ret->used_at_us = 0;
	if (!json_is_null(when) &&
	    (!json_is_string(when) ||
	     !time_parse((struct str){json_string_value(when), json_string_length(when)}, &ret->used_at_us)))
		return error_set(e, ERR_INVALID_VALUE, path, "not a pair of a ticket and a time");
	return true;
}

static bool read_all_used(struct bundle *b, const json_t *used, struct error *e)
{
	size_t n = json_array_size(used);

	b->used = xcalloc(n + 1, sizeof(*b->used));
	for (size_t i = 0; i < n; i++) {
		if (!read_used(json_array_get(used, i), i, &b->used[i], e))
			return false;
		b->n_used = i + 1;
	}
	qsort(b->used, b->n_used, sizeof(*b->used), used_cmp);
	return true;
}

/* Members that are not known are passed over: later versions may add some. */
static bool read_text(struct str text, struct bundle *b, struct error *e)
{
	JSON_AUTO json_t *root = json_read(text, JSON_DEPTH_DEFAULT, e);
	const json_t *keys, *revoked, *used;
	struct json_in in;
	struct str kind;

	if (!root)
		return false;
	json_in_init(&in, root, "", e);
	if (!str_eqc(json_in_str(&in, "format", JSON_REQUIRED, 1, 64), "boxoffice-door-1"))
		json_in_fault(&in, ERR_INVALID_VALUE, "format", "not boxoffice-door-1");
	kind = json_in_str(&in, "kind", JSON_REQUIRED, 1, 16);
	b->delta = str_eqc(kind, "delta");
	if (!b->delta && !str_eqc(kind, "full"))
		json_in_fault(&in, ERR_INVALID_VALUE, "kind", "neither full nor delta");
	json_in_uuid(&in, "show_id", JSON_REQUIRED, &b->show_id);
	json_in_time(&in, "as_of", JSON_REQUIRED, &b->as_of_us);
	json_in_time(&in, "expires_at", JSON_REQUIRED, &b->expires_at_us);
	keys = json_in_array(&in, "keys", JSON_REQUIRED, 1, TICKET_KEYS_MAX);
	revoked = json_in_array(&in, "revoked", JSON_REQUIRED, 0, TICKET_REVOKED_MAX);
	used = json_in_array(&in, "used", JSON_REQUIRED, 0, USED_MAX);
	return e->code == ERR_NONE && ticket_trust_take_keys(&b->lists, keys, "/keys", e) &&
	       ticket_trust_take_revoked(&b->lists, revoked, "/revoked", e) && read_all_used(b, used, e);
}

bool bundle_open(struct str envelope, const struct ticket_key *keys, size_t n_keys, struct bundle *ret,
		 struct error *ret_error)
{
	JSON_AUTO json_t *root = json_read(envelope, JSON_DEPTH_DEFAULT, ret_error);
	const json_t *text;
	struct json_in in;
	struct str bytes;

	*ret = (struct bundle){0};
	ticket_trust_lists_init(&ret->lists);
	if (!root)
		return false;
	json_in_init(&in, root, "", ret_error);
	text = json_in_value(&in, "bundle", JSON_REQUIRED);
	if (text && !json_is_string(text))
		json_in_fault(&in, ERR_INVALID_REQUEST, "bundle", "not a string");
	if (ret_error->code != ERR_NONE)
		return false;
	bytes = (struct str){json_string_value(text), json_string_length(text)};
	return signature_holds(&in, bytes, keys, n_keys) && read_text(bytes, ret, ret_error);
}

void bundle_done(struct bundle *b)
{
	ticket_trust_lists_done(&b->lists);
	free(b->used);
	b->used = NULL;
	b->n_used = 0;
}

const struct bundle_used *bundle_find_used(const struct bundle *b, const struct uuid *ticket)
{
	struct bundle_used key = {.ticket_id = *ticket};

	return b->n_used ? bsearch(&key, b->used, b->n_used, sizeof(*b->used), used_cmp) : NULL;
}
