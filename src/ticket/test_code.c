/* The codes: the worked example of docs/ticket-format.md, one spelling per code, and that no changed bit passes. */
#include "io/crypto.h"
#include "ticket/code.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* RFC 8032 section 7.1, test 1: known to everybody, so good for nothing else. */
static const char vector_secret[] = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
				    "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
static const char vector_show[] = "0193583e-7a00-7000-8000-0000000000aa";
static const char vector_ticket[] = "0193583e-7a01-7123-89ab-cdef01234567";
static const char vector_code[] =
	"BX1.AF4ETLBQAGJVQPT2ABYABAAAAAAAAAAAVIAZGWB6PIAXCI4JVPG66AJDIVTQAAAA3EAAANXQSTDGFFF3HXAV"
	"XKBR3KNTGPCYI4HTDRGIXUH5D3EYOOB3OC5Q47DY4DJDCCOUELQI5EPB3B74RKLSR6NVBXEGD2OLRYKJ3T6MJUDA";

struct world {
	struct ticket_signer signer;
	struct ticket_key key;
	struct ticket_claims claims;
	char code[TICKET_CODE_TEXT];
};

static struct world world_make(void)
{
	struct world w = {.claims = {.seat_no = 217, .serial = 0}};
	uint8_t secret[64];

	assert_true(hex_decode(str_from(vector_secret), secret, sizeof(secret)));
	w.signer = ticket_signer_make(secret);
	w.key = (struct ticket_key){.key_id = w.signer.key_id};
	memcpy(w.key.public_key, secret + 32, 32);
	assert_true(uuid_parse(str_from(vector_show), &w.claims.show_id));
	assert_true(uuid_parse(str_from(vector_ticket), &w.claims.ticket_id));
	ticket_code_make(&w.signer, &w.claims, w.code);
	return w;
}

static struct ticket_trust trust_in(const struct world *w)
{
	return (struct ticket_trust){.keys = &w->key, .n_keys = 1};
}

static void test_vector(void **state)
{
	struct world w = world_make();
	char key_id[TICKET_KEY_ID_TEXT];
	struct ticket_code code;

	assert_string_equal(w.code, vector_code);
	assert_int_equal(strlen(w.code), TICKET_CODE_LENGTH);
	assert_true(ticket_code_parse(str_from(w.code), &code));
	assert_true(uuid_eq(&code.claims.show_id, &w.claims.show_id));
	assert_true(uuid_eq(&code.claims.ticket_id, &w.claims.ticket_id));
	assert_int_equal(code.claims.seat_no, 217);
	assert_int_equal(code.claims.serial, 0);
	assert_int_equal(code.key_id, w.key.key_id);
	assert_string_equal(ticket_key_id_format(code.key_id, key_id), "7849ac30");
}

/* The document shows this very example. */
static void test_document(void **state)
{
	const char *path = getenv("TICKET_FORMAT_MD");
	static char text[65536];
	FILE *f;
	size_t n;

	assert_non_null(path);
	f = fopen(path, "r");
	assert_non_null(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	assert_non_null(strstr(text, vector_code));
	assert_non_null(strstr(text, "7849ac30"));
	assert_non_null(strstr(text, vector_show));
	assert_non_null(strstr(text, vector_ticket));
}

static void test_claims_come_back(void **state)
{
	struct world w = world_make();
	struct ticket_trust trust = trust_in(&w);

	for (int i = 0; i < 200; i++) {
		struct ticket_claims in, out;
		char code[TICKET_CODE_TEXT];

		crypto_random(&in, sizeof(in));
		ticket_code_make(&w.signer, &in, code);
		assert_int_equal(ticket_code_verify(str_from(code), &trust, &out), TICKET_OK);
		assert_true(uuid_eq(&in.show_id, &out.show_id) && uuid_eq(&in.ticket_id, &out.ticket_id));
		assert_int_equal(in.seat_no, out.seat_no);
		assert_int_equal(in.serial, out.serial);
	}
}

/* Every bit of every character: never accepted, and never taken for another ticket. */
static void test_every_bit(void **state)
{
	struct world w = world_make();
	struct ticket_trust trust = trust_in(&w);
	int seen[TICKET_REVOKED + 1] = {0};

	for (size_t bit = 0; bit < (size_t)TICKET_CODE_LENGTH * 8; bit++) {
		char code[TICKET_CODE_TEXT];
		struct ticket_claims claims;
		enum ticket_reason reason;

		memcpy(code, w.code, sizeof(code));
		code[bit / 8] = (char)(code[bit / 8] ^ (1 << (bit % 8)));
		reason = ticket_code_verify((struct str){code, TICKET_CODE_LENGTH}, &trust, &claims);
		assert_int_not_equal(reason, TICKET_OK);
		assert_true(uuid_is_zero(&claims.ticket_id));
		seen[reason]++;
	}
	assert_true(seen[TICKET_MALFORMED] > 0 && seen[TICKET_UNKNOWN_KEY] > 0 && seen[TICKET_BAD_SIGNATURE] > 0);
}

/* Every character replaced by every other of the alphabet: what bit flips alone do not reach. */
static void test_every_character(void **state)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
	struct world w = world_make();
	struct ticket_trust trust = trust_in(&w);

	for (size_t i = 4; i < TICKET_CODE_LENGTH; i++)
		for (const char *c = letters; *c; c++) {
			char code[TICKET_CODE_TEXT];

			if (w.code[i] == *c)
				continue;
			memcpy(code, w.code, sizeof(code));
			code[i] = *c;
			assert_int_not_equal(ticket_code_verify(str_from(code), &trust, NULL), TICKET_OK);
		}
}

static void test_one_spelling(void **state)
{
	struct world w = world_make();
	struct ticket_trust trust = trust_in(&w);
	char text[TICKET_CODE_TEXT + 8];

	for (size_t n = 0; n < TICKET_CODE_LENGTH; n++)
		assert_int_equal(ticket_code_verify((struct str){w.code, n}, &trust, NULL), TICKET_MALFORMED);
	assert_int_equal(ticket_code_verify(STR_NULL, &trust, NULL), TICKET_MALFORMED);
	for (const char *end = "A =\n"; *end; end++) {
		snprintf(text, sizeof(text), "%s%c", w.code, *end);
		assert_int_equal(ticket_code_verify(str_from(text), &trust, NULL), TICKET_MALFORMED);
		snprintf(text, sizeof(text), "%c%s", *end, w.code);
		assert_int_equal(ticket_code_verify(str_from(text), &trust, NULL), TICKET_MALFORMED);
	}
	assert_int_equal(ticket_code_verify((struct str){w.code, TICKET_CODE_TEXT}, &trust, NULL), TICKET_MALFORMED);
	for (size_t i = 0; i < TICKET_CODE_LENGTH; i++)
		if (w.code[i] >= 'A' && w.code[i] <= 'Z') {
			memcpy(text, w.code, TICKET_CODE_TEXT);
			text[i] = (char)(text[i] + 32);
			assert_int_equal(ticket_code_verify(str_from(text), &trust, NULL), TICKET_MALFORMED);
		}
	/* the four bits past the last byte */
	for (const char *c = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"; *c; c++) {
		memcpy(text, w.code, TICKET_CODE_TEXT);
		text[TICKET_CODE_LENGTH - 1] = *c;
		assert_int_equal(ticket_code_verify(str_from(text), &trust, NULL),
				 *c == w.code[TICKET_CODE_LENGTH - 1] ? TICKET_OK
				 : *c == 'A' || *c == 'Q'	      ? TICKET_BAD_SIGNATURE
								      : TICKET_MALFORMED);
	}
	/* another version, truly signed */
	memcpy(text, w.code, TICKET_CODE_TEXT);
	text[2] = '2';
	assert_int_equal(ticket_code_verify(str_from(text), &trust, NULL), TICKET_MALFORMED);
}

static void test_reasons(void **state)
{
	struct world w = world_make();
	struct ticket_trust trust = trust_in(&w);
	struct ticket_key keys[2];
	struct uuid other = w.claims.show_id;
	struct ticket_claims claims;
	uint8_t secret[64];

	trust.show_id = &w.claims.show_id;
	assert_int_equal(ticket_code_verify(str_from(w.code), &trust, NULL), TICKET_OK);
	other.b[15] ^= 1;
	trust.show_id = &other;
	assert_int_equal(ticket_code_verify(str_from(w.code), &trust, &claims), TICKET_WRONG_SHOW);
	assert_true(uuid_eq(&claims.show_id, &w.claims.show_id));
	trust.show_id = NULL;

	trust.n_keys = 0;
	assert_int_equal(ticket_code_verify(str_from(w.code), &trust, &claims), TICKET_UNKNOWN_KEY);
	assert_true(uuid_is_zero(&claims.show_id));
	trust.n_keys = 1;
	w.key.status = TICKET_KEY_RETIRED;
	assert_int_equal(ticket_code_verify(str_from(w.code), &trust, NULL), TICKET_OK);
	w.key.status = TICKET_KEY_REVOKED;
	assert_int_equal(ticket_code_verify(str_from(w.code), &trust, NULL), TICKET_UNKNOWN_KEY);

	/* another's key under the id of ours; and ours behind it, which must not be tried */
	crypto_keypair(keys[0].public_key, secret);
	keys[0].key_id = w.key.key_id;
	keys[0].status = TICKET_KEY_ACTIVE;
	trust.keys = keys;
	assert_int_equal(ticket_code_verify(str_from(w.code), &trust, NULL), TICKET_BAD_SIGNATURE);
	keys[0].key_id++;
	w.key.status = TICKET_KEY_ACTIVE;
	keys[1] = w.key;
	trust.n_keys = 2;
	assert_int_equal(ticket_code_verify(str_from(w.code), &trust, NULL), TICKET_OK);
}

/* The signature covers more than the payload: one made over the bare payload is worth nothing. */
static void test_context(void **state)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
	struct world w = world_make();
	struct ticket_trust trust = trust_in(&w);
	struct ticket_code code;
	uint8_t bytes[TICKET_PAYLOAD + 64];
	char text[TICKET_CODE_TEXT] = "BX1.";

	assert_true(ticket_code_parse(str_from(w.code), &code));
	for (int bare = 0; bare < 2; bare++) {
		memcpy(bytes, code.payload, TICKET_PAYLOAD);
		memcpy(bytes + TICKET_PAYLOAD, code.signature, 64);
		if (bare)
			crypto_sign_message(w.signer.secret, (struct str){(const char *)bytes, TICKET_PAYLOAD},
					    bytes + TICKET_PAYLOAD);
		for (size_t i = 0; i < TICKET_CODE_LENGTH - 4; i++) {
			unsigned v = 0;

			for (size_t bit = i * 5; bit < i * 5 + 5; bit++)
				v = v << 1 | (bit < sizeof(bytes) * 8 ? bytes[bit / 8] >> (7 - bit % 8) & 1U : 0);
			text[4 + i] = letters[v];
		}
		assert_int_equal(ticket_code_verify(str_from(text), &trust, NULL),
				 bare ? TICKET_BAD_SIGNATURE : TICKET_OK);
	}
}

static void test_revoked(void **state)
{
	struct world w = world_make();
	struct ticket_trust trust = trust_in(&w);
	struct ticket_revoked list[101];

	crypto_random(list, sizeof(list));
	for (int i = 0; i < 101; i++)
		list[i].below = TICKET_REVOKE_ALL;
	qsort(list, 101, sizeof(list[0]), ticket_revoked_cmp);
	trust.revoked = list;
	trust.n_revoked = 101;
	assert_int_equal(ticket_code_verify(str_from(w.code), &trust, NULL), TICKET_OK);
	/* wherever it stands in the list */
	for (int i = 0; i < 101; i++) {
		struct ticket_claims claims = w.claims, out;
		char code[TICKET_CODE_TEXT];

		claims.ticket_id = list[i].ticket_id;
		claims.serial = TICKET_SERIAL_MAX;
		ticket_code_make(&w.signer, &claims, code);
		assert_int_equal(ticket_code_verify(str_from(code), &trust, &out), TICKET_REVOKED);
		assert_int_equal(out.seat_no, 217);
	}
	/* issued again: serials below 2 are refused; the widest of two entries holds */
	list[0] = (struct ticket_revoked){w.claims.ticket_id, 1};
	list[1] = (struct ticket_revoked){w.claims.ticket_id, 2};
	qsort(list, 2, sizeof(list[0]), ticket_revoked_cmp);
	trust.n_revoked = 2;
	for (uint16_t serial = 0; serial < 4; serial++) {
		struct ticket_claims claims = w.claims;
		char code[TICKET_CODE_TEXT];

		claims.serial = serial;
		ticket_code_make(&w.signer, &claims, code);
		assert_int_equal(ticket_code_verify(str_from(code), &trust, NULL),
				 serial < 2 ? TICKET_REVOKED : TICKET_OK);
	}
}

static void test_key_ids(void **state)
{
	uint32_t id = 0;
	char text[TICKET_KEY_ID_TEXT];

	assert_true(ticket_key_id_parse(STR("00ab12ff"), &id));
	assert_int_equal(id, 0x00ab12ff);
	assert_string_equal(ticket_key_id_format(id, text), "00ab12ff");
	assert_false(ticket_key_id_parse(STR("0ab12ff"), &id));
	assert_false(ticket_key_id_parse(STR("00ab12fg"), &id));
	assert_false(ticket_key_id_parse(STR("00ab12ff0"), &id));
	assert_false(ticket_key_id_parse(STR_NULL, &id));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vector),		 cmocka_unit_test(test_document),
		cmocka_unit_test(test_claims_come_back), cmocka_unit_test(test_every_bit),
		cmocka_unit_test(test_every_character),	 cmocka_unit_test(test_one_spelling),
		cmocka_unit_test(test_reasons),		 cmocka_unit_test(test_context),
		cmocka_unit_test(test_revoked),		 cmocka_unit_test(test_key_ids),
	};

	return crypto_init() ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
