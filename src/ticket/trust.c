/*
 * Reads and writes the lists of keys and of revoked tickets. What is wrong in them is refused as a whole: a door that
 * trusts half a list would let in or turn away without anybody knowing. Called by verify_cmd.c and the API.
 */
#include "ticket/trust.h"

#include "base/times.h"
#include "base/xmalloc.h"

#include <stdlib.h>
#include <string.h>

static const char *const status_names[] = {
	[TICKET_KEY_ACTIVE] = "active",
	[TICKET_KEY_RETIRED] = "retired",
	[TICKET_KEY_REVOKED] = "revoked",
};

void ticket_trust_lists_init(struct ticket_trust_lists *l)
{
	*l = (struct ticket_trust_lists){0};
}

void ticket_trust_lists_done(struct ticket_trust_lists *l)
{
	free(l->keys);
	free(l->revoked);
	*l = (struct ticket_trust_lists){0};
}

static bool read_status(struct json_in *in, enum ticket_key_status *ret)
{
	struct str text = json_in_str(in, "status", JSON_REQUIRED, 1, 16);

	for (size_t i = 0; i < sizeof(status_names) / sizeof(status_names[0]); i++)
		if (str_eqc(text, status_names[i])) {
			*ret = (enum ticket_key_status)i;
			return true;
		}
	json_in_fault(in, ERR_INVALID_VALUE, "status", "not one of active, retired, revoked");
	return false;
}

static bool read_key(const json_t *value, const char *path, struct ticket_key *ret, struct error *ret_error)
{
	int64_t not_before_us;
	struct json_in in;
	struct str text;
	size_t n;

	json_in_init(&in, value, path, ret_error);
	if (!ticket_key_id_parse(json_in_str(&in, "key_id", JSON_REQUIRED, 8, 8), &ret->key_id))
		json_in_fault(&in, ERR_INVALID_VALUE, "key_id", "not eight hexadecimal digits");
	if (!str_eqc(json_in_str(&in, "algorithm", JSON_REQUIRED, 1, 32), "Ed25519"))
		json_in_fault(&in, ERR_INVALID_VALUE, "algorithm", "not Ed25519");
	text = json_in_str(&in, "public_key", JSON_REQUIRED, 43, 43);
	if (!base64url_decode(text, ret->public_key, sizeof(ret->public_key), &n) || n != sizeof(ret->public_key))
		json_in_fault(&in, ERR_INVALID_VALUE, "public_key", "not 32 bytes in base64url without padding");
	json_in_time(&in, "not_before", JSON_OPTIONAL, &not_before_us);
	read_status(&in, &ret->status);
	if (ret_error->code == ERR_NONE && ticket_key_id(ret->public_key) != ret->key_id)
		json_in_fault(&in, ERR_INVALID_VALUE, "key_id", "does not belong to this public key");
	return ret_error->code == ERR_NONE;
}

bool ticket_trust_take_keys(struct ticket_trust_lists *l, const json_t *keys, const char *at, struct error *ret_error)
{
	l->keys = xcalloc(json_array_size(keys), sizeof(l->keys[0]));
	for (size_t i = 0; i < json_array_size(keys); i++) {
		char path[ERROR_PATH_MAX];

		json_pointer_index(path, at, i);
		if (!read_key(json_array_get(keys, i), path, &l->keys[i], ret_error))
			return false;
		for (size_t j = 0; j < i; j++)
			if (l->keys[j].key_id == l->keys[i].key_id)
				return error_set(ret_error, ERR_INVALID_VALUE, path,
						 "this key_id stands twice in the list");
		l->n_keys = i + 1;
	}
	return true;
}

bool ticket_trust_read_keys(struct ticket_trust_lists *l, struct str json, struct error *ret_error)
{
	JSON_AUTO json_t *root = json_read(json, JSON_DEPTH_DEFAULT, ret_error);
	const json_t *keys;
	struct json_in in;

	if (!root)
		return false;
	json_in_init(&in, root, "", ret_error);
	keys = json_in_array(&in, "keys", JSON_REQUIRED, 1, TICKET_KEYS_MAX);
	return ret_error->code == ERR_NONE && ticket_trust_take_keys(l, keys, "/keys", ret_error);
}

/* A ticket_id, or {"ticket_id", "below_serial"}: issued again, only earlier codes are refused. */
static bool read_revoked(const json_t *value, const char *path, struct ticket_revoked *ret, struct error *ret_error)
{
	struct json_in in;

	ret->below = TICKET_REVOKE_ALL;
	if (json_is_string(value)) {
		if (!uuid_parse((struct str){json_string_value(value), json_string_length(value)}, &ret->ticket_id))
			return error_set(ret_error, ERR_INVALID_VALUE, path, "not a UUID");
		return true;
	}
	json_in_init(&in, value, path, ret_error);
	json_in_uuid(&in, "ticket_id", JSON_REQUIRED, &ret->ticket_id);
	ret->below = (uint32_t)json_in_i64(&in, "below_serial", JSON_OPTIONAL, 0, TICKET_REVOKE_ALL, TICKET_REVOKE_ALL);
	return ret_error->code == ERR_NONE;
}

bool ticket_trust_take_revoked(struct ticket_trust_lists *l, const json_t *items, const char *at,
			       struct error *ret_error)
{
	size_t n = json_array_size(items);

	l->revoked = xcalloc(n ? n : 1, sizeof(l->revoked[0]));
	for (size_t i = 0; i < n; i++) {
		char path[ERROR_PATH_MAX];

		json_pointer_index(path, at, i);
		if (!read_revoked(json_array_get(items, i), path, &l->revoked[i], ret_error))
			return false;
	}
	qsort(l->revoked, n, sizeof(l->revoked[0]), ticket_revoked_cmp);
	l->n_revoked = n;
	return true;
}

bool ticket_trust_read_revoked(struct ticket_trust_lists *l, struct str json, struct error *ret_error)
{
	JSON_AUTO json_t *root = json_read(json, JSON_DEPTH_DEFAULT, ret_error);
	const json_t *items;
	struct json_in in;

	if (!root)
		return false;
	json_in_init(&in, root, "", ret_error);
	items = json_in_array(&in, "items", JSON_REQUIRED, 0, TICKET_REVOKED_MAX);
	json_in_time(&in, "as_of", JSON_OPTIONAL, &l->revoked_as_of_us);
	return ret_error->code == ERR_NONE && ticket_trust_take_revoked(l, items, "/items", ret_error);
}

void ticket_key_write(struct jw *w, const struct ticket_key *key, int64_t not_before_us)
{
	char public_key[BASE64URL_SIZE(32)], key_id[TICKET_KEY_ID_TEXT];

	base64url_encode(key->public_key, sizeof(key->public_key), public_key);
	jw_obj(w);
	jw_kcstr(w, "key_id", ticket_key_id_format(key->key_id, key_id));
	jw_kcstr(w, "algorithm", "Ed25519");
	jw_kcstr(w, "public_key", public_key);
	if (not_before_us)
		jw_ktime(w, "not_before", not_before_us);
	jw_kcstr(w, "status", status_names[key->status]);
	jw_obj_end(w);
}
