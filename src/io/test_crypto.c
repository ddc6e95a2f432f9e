/* Known answers for the standard primitives, and that anything changed or foreign is refused. */
#include "io/crypto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct str unhex(const char *hex, uint8_t *out)
{
	size_t n = strlen(hex) / 2;

	assert_true(hex_decode(str_from(hex), out, n));
	return (struct str){(const char *)out, n};
}

static void assert_hex(const uint8_t *got, size_t n, const char *want)
{
	char text[512];

	assert_true(n * 2 < sizeof(text));
	hex_encode(got, n, text);
	assert_string_equal(text, want);
}

/* RFC 4231: keys shorter than, as long as and longer than a block */
static void hmac_sha256_rfc4231(void **state)
{
	static const struct {
		const char *key, *data, *mac;
	} cases[] = {
		{"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "4869205468657265",
		 "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
		{"4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
		 "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
		{"0102030405060708090a0b0c0d0e0f10111213141516171819",
		 "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd",
		 "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
	};
	uint8_t key[200], data[200], mac[32];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct str k = unhex(cases[i].key, key), d = unhex(cases[i].data, data);

		crypto_hmac_sha256(k, d, mac);
		assert_hex(mac, 32, cases[i].mac);
	}
	/* test case 6: a key of 131 bytes is hashed first */
	memset(key, 0xaa, 131);
	crypto_hmac_sha256((struct str){(char *)key, 131},
			   STR("Test Using Larger Than Block-Size Key - Hash Key First"), mac);
	assert_hex(mac, 32, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
	/* nothing at all is a message too (value: any other implementation) */
	crypto_hmac_sha256(STR_NULL, STR_NULL, mac);
	assert_hex(mac, 32, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

/* RFC 8032 section 7.1, tests 1 to 3 */
static void ed25519_rfc8032(void **state)
{
	static const struct {
		const char *secret_and_public, *message, *signature;
	} cases[] = {
		{"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
		 "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
		 "",
		 "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf"
		 "5f0595b"
		 "be24655141438e7a100b"},
		{"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"
		 "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
		 "72",
		 "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2"
		 "eaeb430"
		 "2aeeb00d291612bb0c00"},
		{"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7"
		 "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
		 "af82",
		 "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c1"
		 "5e9716e"
		 "d28dc027beceea1ec40a"},
	};
	uint8_t key[64], message[8], signature[64];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct str m;

		unhex(cases[i].secret_and_public, key);
		m = unhex(cases[i].message, message);
		crypto_sign_message(key, m, signature);
		assert_hex(signature, 64, cases[i].signature);
		assert_true(crypto_verify(key + 32, m, signature));
	}
}

static void signature_of_another_message_or_key(void **state)
{
	uint8_t public_key[32], other_public[32], secret[64], other_secret[64], signature[64];
	struct str message = STR("show 7, seat A-12");

	crypto_keypair(public_key, secret);
	crypto_keypair(other_public, other_secret);
	assert_memory_not_equal(public_key, other_public, 32);
	crypto_sign_message(secret, message, signature);
	assert_true(crypto_verify(public_key, message, signature));
	assert_false(crypto_verify(public_key, STR("show 7, seat A-13"), signature));
	assert_false(crypto_verify(other_public, message, signature));
	for (size_t bit = 0; bit < 512; bit++) {
		signature[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_false(crypto_verify(public_key, message, signature));
		signature[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

/* BLAKE2b-256 (value: b2sum -l 256) */
static void digest_known(void **state)
{
	uint8_t out[CRYPTO_HASH];

	crypto_digest(STR("abc"), out);
	assert_hex(out, sizeof(out), "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
	crypto_digest(STR_NULL, out);
	assert_hex(out, sizeof(out), "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");
}

/* Keys in use depend on these values: a change here loses every session and derived id out there. */
static void derive_and_mac_fixed(void **state)
{
	struct crypto_key master, a, b;
	uint8_t mac[CRYPTO_HASH];

	for (int i = 0; i < CRYPTO_KEY; i++)
		master.b[i] = (uint8_t)i;
	crypto_derive(&master, "session", &a);
	assert_hex(a.b, sizeof(a.b), "9c96236ff7f8c5e6a3d8e6e8706f03c1beffc5970558b78eaa5b2506c5b2d657");
	crypto_mac(&a, STR("hello"), mac);
	assert_hex(mac, sizeof(mac), "4968bc45a40ed9c8b855aebb841e951d5b0b2ce4d6381e1549ea6eeee13c38e1");
	/* the whole purpose counts, not its first eight bytes */
	crypto_derive(&master, "session-cookie", &a);
	crypto_derive(&master, "session-cookis", &b);
	assert_memory_not_equal(a.b, b.b, CRYPTO_KEY);
	master.b[31] ^= 1;
	crypto_derive(&master, "session-cookie", &b);
	assert_memory_not_equal(a.b, b.b, CRYPTO_KEY);
}

static void seal_and_open(void **state)
{
	static const size_t sizes[] = {0, 1, 15, 64, 1000};
	struct crypto_key key;
	char in[1000];
	uint8_t sealed[1000 + CRYPTO_SEAL_OVERHEAD], again[1000 + CRYPTO_SEAL_OVERHEAD], out[1000];

	crypto_random(&key, sizeof(key));
	crypto_random(in, sizeof(in));
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct str text = {in, sizes[i]}, s = {(char *)sealed, sizes[i] + CRYPTO_SEAL_OVERHEAD};

		crypto_seal(&key, text, sealed);
		assert_true(crypto_open(&key, s, out));
		assert_true(str_eq(text, (struct str){(char *)out, sizes[i]}));
		/* never the same twice */
		crypto_seal(&key, text, again);
		assert_memory_not_equal(sealed, again, s.n);
	}
}

/* Sealed by another implementation (the algorithm of draft-irtf-cfrg-xchacha written out): nonce first, then ciphertext and tag. */
static void open_known(void **state)
{
	struct crypto_key key;
	uint8_t sealed[100], out[100];
	struct str s =
		unhex("404142434445464748494a4b4c4d4e4f50515253545556578269128028d0b577ca3203bcd6efb0611b559337d495db39"
		      "5720a59ab36e320f",
		      sealed);

	for (int i = 0; i < CRYPTO_KEY; i++)
		key.b[i] = (uint8_t)(0x80 + i);
	assert_true(crypto_open(&key, s, out));
	assert_int_equal(s.n, CRYPTO_SEAL_OVERHEAD + 16);
	assert_memory_equal(out, "seats A-1 to A-4", 16);
}

static void open_refuses(void **state)
{
	struct crypto_key key, other;
	uint8_t sealed[20 + CRYPTO_SEAL_OVERHEAD], out[20];
	struct str s = {(char *)sealed, sizeof(sealed)};

	crypto_random(&key, sizeof(key));
	other = key;
	other.b[0] ^= 1;
	crypto_seal(&key, STR("twenty bytes of text"), sealed);
	assert_true(crypto_open(&key, s, out));
	assert_false(crypto_open(&other, s, out));
	for (size_t bit = 0; bit < 8 * sizeof(sealed); bit++) {
		sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_false(crypto_open(&key, s, out));
		sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	for (size_t n = 0; n < sizeof(sealed); n++)
		assert_false(crypto_open(&key, (struct str){(char *)sealed, n}, out));
	assert_false(crypto_open(&key, STR_NULL, out));
	assert_true(crypto_open(&key, s, out));
}

static void equal(void **state)
{
	assert_true(crypto_equal("abcd", "abcd", 4));
	assert_false(crypto_equal("abcd", "abce", 4));
	assert_false(crypto_equal("abcd", "bbcd", 4));
	assert_true(crypto_equal("abcd", "abce", 3));
	assert_true(crypto_equal("a", "b", 0));
}

static void random_and_ids(void **state)
{
	uint8_t a[32], b[32];
	struct uuid u = crypto_uuid_v7(INT64_C(1700000000123456)), v = crypto_uuid_v7(INT64_C(1700000000123456));
	char text[UUID_TEXT];

	crypto_random(a, sizeof(a));
	crypto_random(b, sizeof(b));
	assert_memory_not_equal(a, b, sizeof(a));
	assert_false(uuid_eq(&u, &v));
	/* 1700000000123 ms = 0x018bcfe5687b */
	uuid_format(&u, text);
	assert_memory_equal(text, "018bcfe5-687b-7", 15);
}

static void passwords(void **state)
{
	char hash[CRYPTO_PASSWORD_MAX], again[CRYPTO_PASSWORD_MAX], endless[CRYPTO_PASSWORD_MAX + 1];

	assert_true(crypto_password_hash(STR("correct horse"), hash));
	assert_memory_equal(hash, "$argon2id$", 10);
	assert_true(crypto_password_check(hash, STR("correct horse")));
	assert_false(crypto_password_check(hash, STR("correct horsf")));
	assert_false(crypto_password_check(hash, STR("correct hors")));
	assert_false(crypto_password_check(hash, STR_NULL));
	assert_true(crypto_password_hash(STR("correct horse"), again));
	assert_string_not_equal(hash, again);
	hash[strlen(hash) - 5] ^= 1;
	assert_false(crypto_password_check(hash, STR("correct horse")));
	assert_false(crypto_password_check("", STR("")));
	assert_false(crypto_password_check("$argon2id$", STR("")));
	memset(endless, '$', sizeof(endless) - 1);
	endless[sizeof(endless) - 1] = '\0';
	assert_false(crypto_password_check(endless, STR("x")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hmac_sha256_rfc4231),
		cmocka_unit_test(ed25519_rfc8032),
		cmocka_unit_test(signature_of_another_message_or_key),
		cmocka_unit_test(digest_known),
		cmocka_unit_test(derive_and_mac_fixed),
		cmocka_unit_test(seal_and_open),
		cmocka_unit_test(open_known),
		cmocka_unit_test(open_refuses),
		cmocka_unit_test(equal),
		cmocka_unit_test(random_and_ids),
		cmocka_unit_test(passwords),
	};

	if (!crypto_init())
		abort();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
