/*
 * The only user of libsodium: randomness, keyed hashes, sealing, signatures, passwords. Nothing here may take a name that
 * libsodium exports (crypto_hash, crypto_sign, crypto_sign_keypair, ...): ours would replace it inside the library too.
 */
#ifndef IO_CRYPTO_H
#define IO_CRYPTO_H

#include "base/ids.h"
#include "base/str.h"

enum { CRYPTO_KEY = 32, CRYPTO_HASH = 32, CRYPTO_SIGNATURE = 64, CRYPTO_SEAL_OVERHEAD = 40, CRYPTO_PASSWORD_MAX = 128 };

struct crypto_key {
	uint8_t b[CRYPTO_KEY];
};

/* Once per process before anything else; false when the system gives no randomness. */
bool crypto_init(void);
void crypto_random(void *out, size_t n);
struct uuid crypto_uuid_v7(int64_t now_us);
/* Independent keys from the master key, which is used for nothing else; purpose is a short name fixed for ever
 * ("session", "idem", ...), all of which counts. */
void crypto_derive(const struct crypto_key *master, const char *purpose, struct crypto_key *ret);
void crypto_digest(struct str in, uint8_t out[CRYPTO_HASH]);				/* BLAKE2b-256 */
void crypto_mac(const struct crypto_key *key, struct str in, uint8_t out[CRYPTO_HASH]); /* keyed BLAKE2b-256 */
void crypto_hmac_sha256(struct str key, struct str in, uint8_t out[32]);
/* Of something too large to hold at once: begun, added to, ended once (which frees it). */
struct crypto_sha256;
struct crypto_sha256 *crypto_sha256_new(void);
void crypto_sha256_add(struct crypto_sha256 *s, struct str in);
void crypto_sha256_end(struct crypto_sha256 *s, uint8_t out[32]);
bool crypto_equal(const void *a, const void *b, size_t n); /* constant time */
/* XChaCha20-Poly1305; out holds in.n + CRYPTO_SEAL_OVERHEAD bytes and does not overlap in. */
void crypto_seal(const struct crypto_key *key, struct str in, uint8_t *out);
/* out holds sealed.n - CRYPTO_SEAL_OVERHEAD bytes; false: not sealed with this key, or changed since. */
bool crypto_open(const struct crypto_key *key, struct str sealed, uint8_t *out);
/* Ed25519 */
void crypto_keypair(uint8_t ret_public[32], uint8_t ret_secret[64]);
void crypto_sign_message(const uint8_t secret[64], struct str in, uint8_t out[CRYPTO_SIGNATURE]);
bool crypto_verify(const uint8_t public_key[32], struct str in, const uint8_t signature[CRYPTO_SIGNATURE]);
/* argon2id; slow, 64 MiB: in the offload pool only. false: no memory. hash is NUL-terminated. */
bool crypto_password_hash(struct str password, char out[CRYPTO_PASSWORD_MAX]);
bool crypto_password_check(const char *hash, struct str password);

#endif
