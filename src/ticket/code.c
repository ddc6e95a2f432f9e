/*
 * Ticket codes: payload <-> bytes <-> base 32, and the decision whether to let somebody in. Owns nothing, keeps no
 * state. Called by whoever issues tickets, by the check-in and by `boxoffice verify-ticket`.
 *
 *   text ──parse──> struct ticket_code ──key known──> ──signature──> ──show──> ──revoked──> TICKET_OK
 *        malformed              unknown_key   bad_signature   wrong_show   revoked
 *
 * Base 32 and not base64url: in a QR code, upper-case letters and digits cost 5.5 bits each and anything else 8, so the
 * longer text makes the smaller code (45 modules a side instead of 49); base 45 would be no smaller and has blanks and
 * percent signs in it. docs/ticket-format.md has the figures.
 */
#include "ticket/code.h"

#include "io/crypto.h"

#include <assert.h>
#include <string.h>

enum {
	FORMAT_VERSION = 1,
	AT_KEY_ID = 1,
	AT_SHOW = 5,
	AT_TICKET = 21,
	AT_SEAT = 37,
	AT_SERIAL = 41,
	SIGNED_BYTES = TICKET_PAYLOAD + CRYPTO_SIGNATURE,
	BASE32_CHARS = (SIGNED_BYTES * 8 + 4) / 5,
};

static const char prefix[] = "BX1.";
/* Signed in front of the payload, so that no other message signed by the same key can ever pass for a ticket. */
static const char context[] = "boxoffice ticket\n";
static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"; /* RFC 4648 section 6 */

enum { PREFIX = sizeof(prefix) - 1, CONTEXT = sizeof(context) - 1 };

static_assert((int)AT_SERIAL + 2 == (int)TICKET_PAYLOAD, "the fields fill the payload");
static_assert((int)PREFIX + (int)BASE32_CHARS == (int)TICKET_CODE_LENGTH, "the length in the header is true");

static void put_be(uint8_t *out, uint32_t v, int bytes)
{
	for (int i = 0; i < bytes; i++)
		out[i] = (uint8_t)(v >> (8 * (bytes - 1 - i)));
}

static uint32_t get_be(const uint8_t *in, int bytes)
{
	uint32_t v = 0;

	for (int i = 0; i < bytes; i++)
		v = v << 8 | in[i];
	return v;
}

static void base32_encode(const uint8_t *in, size_t n, char *out)
{
	uint32_t bits = 0;
	int have = 0;

	for (size_t i = 0; i < n; i++) {
		bits = bits << 8 | in[i];
		for (have += 8; have >= 5; have -= 5)
			*out++ = alphabet[bits >> (have - 5) & 31];
		bits &= (1U << have) - 1;
	}
	if (have)
		*out++ = alphabet[bits << (5 - have) & 31];
	*out = '\0';
}

static int base32_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= '2' && c <= '7')
		return c - '2' + 26;
	return -1;
}

/* text has BASE32_CHARS characters; the bits left over at the end must be zero, else several texts were one code. */
static bool base32_decode(const char *text, uint8_t out[SIGNED_BYTES])
{
	uint32_t bits = 0;
	int have = 0;
	size_t n = 0;

	for (size_t i = 0; i < BASE32_CHARS; i++) {
		int v = base32_value(text[i]);

		if (v < 0)
			return false;
		bits = bits << 5 | (uint32_t)v;
		have += 5;
		if (have >= 8) {
			have -= 8;
			out[n++] = (uint8_t)(bits >> have);
			bits &= (1U << have) - 1;
		}
	}
	assert(n == SIGNED_BYTES);
	return bits == 0;
}

static void signed_message(const uint8_t payload[TICKET_PAYLOAD], uint8_t out[CONTEXT + TICKET_PAYLOAD])
{
	memcpy(out, context, CONTEXT);
	memcpy(out + CONTEXT, payload, TICKET_PAYLOAD);
}

uint32_t ticket_key_id(const uint8_t public_key[32])
{
	uint8_t hash[CRYPTO_HASH];

	crypto_digest((struct str){(const char *)public_key, 32}, hash);
	return get_be(hash, 4);
}

char *ticket_key_id_format(uint32_t key_id, char out[TICKET_KEY_ID_TEXT])
{
	uint8_t bytes[4];

	put_be(bytes, key_id, 4);
	hex_encode(bytes, sizeof(bytes), out);
	return out;
}

bool ticket_key_id_parse(struct str text, uint32_t *ret_key_id)
{
	uint8_t bytes[4];

	if (!hex_decode(text, bytes, sizeof(bytes)))
		return false;
	*ret_key_id = get_be(bytes, 4);
	return true;
}

struct ticket_signer ticket_signer_make(const uint8_t secret[64])
{
	struct ticket_signer s = {.key_id = ticket_key_id(secret + 32)};

	memcpy(s.secret, secret, sizeof(s.secret));
	return s;
}

void ticket_code_make(const struct ticket_signer *signer, const struct ticket_claims *claims,
		      char out[TICKET_CODE_TEXT])
{
	uint8_t bytes[SIGNED_BYTES], message[CONTEXT + TICKET_PAYLOAD];

	bytes[0] = FORMAT_VERSION;
	put_be(bytes + AT_KEY_ID, signer->key_id, 4);
	memcpy(bytes + AT_SHOW, claims->show_id.b, 16);
	memcpy(bytes + AT_TICKET, claims->ticket_id.b, 16);
	put_be(bytes + AT_SEAT, claims->seat_no, 4);
	put_be(bytes + AT_SERIAL, claims->serial, 2);
	signed_message(bytes, message);
	crypto_sign_message(signer->secret, (struct str){(const char *)message, sizeof(message)},
			    bytes + TICKET_PAYLOAD);
	memcpy(out, prefix, PREFIX);
	base32_encode(bytes, sizeof(bytes), out + PREFIX);
}

bool ticket_code_parse(struct str text, struct ticket_code *ret)
{
	uint8_t bytes[SIGNED_BYTES];

	if (text.n != TICKET_CODE_LENGTH || memcmp(text.p, prefix, PREFIX) != 0)
		return false;
	if (!base32_decode(text.p + PREFIX, bytes) || bytes[0] != FORMAT_VERSION)
		return false;
	*ret = (struct ticket_code){
		.key_id = get_be(bytes + AT_KEY_ID, 4),
		.claims = {.seat_no = get_be(bytes + AT_SEAT, 4), .serial = (uint16_t)get_be(bytes + AT_SERIAL, 2)},
	};
	memcpy(ret->claims.show_id.b, bytes + AT_SHOW, 16);
	memcpy(ret->claims.ticket_id.b, bytes + AT_TICKET, 16);
	memcpy(ret->payload, bytes, TICKET_PAYLOAD);
	memcpy(ret->signature, bytes + TICKET_PAYLOAD, sizeof(ret->signature));
	return true;
}

static const struct ticket_key *find_key(const struct ticket_trust *trust, uint32_t key_id)
{
	for (size_t i = 0; i < trust->n_keys; i++)
		if (trust->keys[i].key_id == key_id)
			return trust->keys[i].status == TICKET_KEY_REVOKED ? NULL : &trust->keys[i];
	return NULL;
}

static bool is_revoked(const struct ticket_trust *trust, const struct ticket_claims *claims)
{
	size_t lo = 0, hi = trust->n_revoked;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (uuid_cmp(&trust->revoked[mid].ticket_id, &claims->ticket_id) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	/* the first of its entries is the widest */
	return lo < trust->n_revoked && uuid_eq(&trust->revoked[lo].ticket_id, &claims->ticket_id) &&
	       claims->serial < trust->revoked[lo].below;
}

enum ticket_reason ticket_code_verify(struct str text, const struct ticket_trust *trust,
				      struct ticket_claims *ret_claims)
{
	uint8_t message[CONTEXT + TICKET_PAYLOAD];
	const struct ticket_key *key;
	struct ticket_code code;

	if (ret_claims)
		*ret_claims = (struct ticket_claims){0};
	if (!ticket_code_parse(text, &code))
		return TICKET_MALFORMED;
	key = find_key(trust, code.key_id);
	if (!key)
		return TICKET_UNKNOWN_KEY;
	signed_message(code.payload, message);
	if (!crypto_verify(key->public_key, (struct str){(const char *)message, sizeof(message)}, code.signature))
		return TICKET_BAD_SIGNATURE;
	if (ret_claims)
		*ret_claims = code.claims;
	if (trust->show_id && !uuid_eq(trust->show_id, &code.claims.show_id))
		return TICKET_WRONG_SHOW;
	if (is_revoked(trust, &code.claims))
		return TICKET_REVOKED;
	return TICKET_OK;
}

static const struct {
	const char *code, *text;
} reasons[] = {
	[TICKET_OK] = {"ok", "The ticket is genuine."},
	[TICKET_MALFORMED] = {"malformed", "This is not a ticket code of ours, or it was not read whole."},
	[TICKET_UNKNOWN_KEY] = {"unknown_key",
				"The code was signed with a key that is not in the list of trusted keys."},
	[TICKET_BAD_SIGNATURE] = {"bad_signature", "The signature does not fit: the code is forged or damaged."},
	[TICKET_WRONG_SHOW] = {"wrong_show", "The ticket is genuine, but for another show."},
	[TICKET_REVOKED] = {"revoked", "The ticket was cancelled or issued again."},
	[TICKET_ALREADY_USED] = {"already_used", "Somebody is in with this ticket already."},
};

const char *ticket_reason_code(enum ticket_reason reason)
{
	return reasons[reason].code;
}

const char *ticket_reason_text(enum ticket_reason reason)
{
	return reasons[reason].text;
}

int ticket_revoked_cmp(const void *a, const void *b)
{
	const struct ticket_revoked *x = a, *y = b;
	int c = uuid_cmp(&x->ticket_id, &y->ticket_id);

	return c ? c : (x->below < y->below) - (x->below > y->below);
}
