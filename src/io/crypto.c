/*
 * Thin over libsodium: chooses the primitives, fixes the sizes, and keeps its calling conventions out of the rest.
 * Holds no state of its own; keys belong to the callers. Everything here may be called from any thread.
 *
 * A sealed message is nonce (24) | ciphertext | tag (16): random nonces of that length never need counting.
 */
#include "io/crypto.h"

#include "base/xmalloc.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

static_assert(CRYPTO_KEY == crypto_generichash_KEYBYTES, "BLAKE2b key");
static_assert(CRYPTO_KEY == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "XChaCha20 key");
static_assert(CRYPTO_HASH == crypto_generichash_BYTES, "BLAKE2b-256");
static_assert(CRYPTO_SIGNATURE == crypto_sign_BYTES, "Ed25519 signature");
static_assert(CRYPTO_SEAL_OVERHEAD ==
		      crypto_aead_xchacha20poly1305_ietf_NPUBBYTES + crypto_aead_xchacha20poly1305_ietf_ABYTES,
	      "nonce and tag");
static_assert((size_t)CRYPTO_PASSWORD_MAX >= crypto_pwhash_STRBYTES, "room for an argon2id string");

enum { NONCE = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES };

/* libsodium does not promise to take NULL for an empty message everywhere. */
static const unsigned char *bytes(struct str s)
{
	return (const unsigned char *)(s.p ? s.p : "");
}

bool crypto_init(void)
{
	return sodium_init() >= 0;
}

void crypto_random(void *out, size_t n)
{
	randombytes_buf(out, n);
}

struct uuid crypto_uuid_v7(int64_t now_us)
{
	uint8_t random[10];

	randombytes_buf(random, sizeof(random));
	return uuid_v7(now_us, random);
}

/* The master key is used for nothing else, so that no message can be made to collide with a purpose. */
void crypto_derive(const struct crypto_key *master, const char *purpose, struct crypto_key *ret)
{
	crypto_generichash(ret->b, sizeof(ret->b), (const unsigned char *)purpose, strlen(purpose), master->b,
			   sizeof(master->b));
}

void crypto_digest(struct str in, uint8_t out[CRYPTO_HASH])
{
	crypto_generichash(out, CRYPTO_HASH, bytes(in), in.n, NULL, 0);
}

void crypto_mac(const struct crypto_key *key, struct str in, uint8_t out[CRYPTO_HASH])
{
	crypto_generichash(out, CRYPTO_HASH, bytes(in), in.n, key->b, sizeof(key->b));
}

struct crypto_sha256 {
	crypto_hash_sha256_state state;
};

struct crypto_sha256 *crypto_sha256_new(void)
{
	struct crypto_sha256 *s = xcalloc(1, sizeof(*s));

	crypto_hash_sha256_init(&s->state);
	return s;
}

void crypto_sha256_add(struct crypto_sha256 *s, struct str in)
{
	crypto_hash_sha256_update(&s->state, bytes(in), in.n);
}

void crypto_sha256_end(struct crypto_sha256 *s, uint8_t out[32])
{
	crypto_hash_sha256_final(&s->state, out);
	free(s);
}

void crypto_hmac_sha256(struct str key, struct str in, uint8_t out[32])
{
	crypto_auth_hmacsha256_state state;

	/* the one-shot call takes 32-byte keys only; others (a webhook's secret) have any length */
	crypto_auth_hmacsha256_init(&state, bytes(key), key.n);
	crypto_auth_hmacsha256_update(&state, bytes(in), in.n);
	crypto_auth_hmacsha256_final(&state, out);
	sodium_memzero(&state, sizeof(state));
}

bool crypto_equal(const void *a, const void *b, size_t n)
{
	return sodium_memcmp(a, b, n) == 0;
}

void crypto_seal(const struct crypto_key *key, struct str in, uint8_t *out)
{
	randombytes_buf(out, NONCE);
	crypto_aead_xchacha20poly1305_ietf_encrypt(out + NONCE, NULL, bytes(in), in.n, NULL, 0, NULL, out, key->b);
}

bool crypto_open(const struct crypto_key *key, struct str sealed, uint8_t *out)
{
	if (sealed.n < CRYPTO_SEAL_OVERHEAD)
		return false;
	return crypto_aead_xchacha20poly1305_ietf_decrypt(out, NULL, NULL, bytes(sealed) + NONCE, sealed.n - NONCE,
							  NULL, 0, bytes(sealed), key->b) == 0;
}

void crypto_keypair(uint8_t ret_public[32], uint8_t ret_secret[64])
{
	crypto_sign_ed25519_keypair(ret_public, ret_secret);
}

void crypto_sign_message(const uint8_t secret[64], struct str in, uint8_t out[CRYPTO_SIGNATURE])
{
	crypto_sign_ed25519_detached(out, NULL, bytes(in), in.n, secret);
}

bool crypto_verify(const uint8_t public_key[32], struct str in, const uint8_t signature[CRYPTO_SIGNATURE])
{
	return crypto_sign_ed25519_verify_detached(signature, bytes(in), in.n, public_key) == 0;
}

bool crypto_password_hash(struct str password, char out[CRYPTO_PASSWORD_MAX])
{
	/* 64 MiB and two passes: a tenth of a second; false means that memory could not be had */
	return crypto_pwhash_str_alg(out, (const char *)bytes(password), password.n, crypto_pwhash_OPSLIMIT_INTERACTIVE,
				     crypto_pwhash_MEMLIMIT_INTERACTIVE, crypto_pwhash_ALG_ARGON2ID13) == 0;
}

bool crypto_password_check(const char *hash, struct str password)
{
	if (strnlen(hash, crypto_pwhash_STRBYTES) >= crypto_pwhash_STRBYTES)
		return false;
	return crypto_pwhash_str_verify(hash, (const char *)bytes(password), password.n) == 0;
}
