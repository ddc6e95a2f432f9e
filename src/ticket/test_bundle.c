/* Bundles: signed and opened, and every way in which one is not to be believed. */
#include "ticket/bundle.h"

#include "base/times.h"
#include "io/crypto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SHOW "018f3a10-2b7c-7d21-9f00-5d1c2e3f4a02"
#define TICKET(n) "018f3f64-a1b2-7e66-9c4d-3d4e5f6a7b0" n

struct world {
	struct ticket_signer signer;
	struct ticket_key key;
	char key_json[300];
};

static int setup(void **state)
{
	static struct world w; /* of this test program alone */
	uint8_t secret[64];
	struct buf out;
	struct jw jw;

	assert_true(crypto_init());
	crypto_keypair(w.key.public_key, secret);
	w.signer = ticket_signer_make(secret);
	w.key.key_id = w.signer.key_id;
	w.key.status = TICKET_KEY_ACTIVE;
	buf_init(&out, sizeof(w.key_json) - 1);
	jw_init(&jw, &out);
	ticket_key_write(&jw, &w.key, 0);
	assert_true(jw_done(&jw));
	memcpy(w.key_json, out.p, out.n + 1);
	buf_done(&out);
	*state = &w;
	return 0;
}

/* A text with these members in place of the usual ones; NULL: the usual. */
static char *text_of(const struct world *w, const char *format, const char *kind, const char *revoked, const char *used)
{
	static char text[4096];

	snprintf(text, sizeof(text),
		 "{\"format\":\"%s\",\"kind\":\"%s\",\"show_id\":\"" SHOW "\",\"as_of\":\"2026-11-27T19:00:00Z\","
		 "\"expires_at\":\"2026-11-28T07:00:00Z\",\"later\":\"unknown\",\"keys\":[%s],\"revoked\":[%s],"
		 "\"used\":[%s]}",
		 format ? format : "boxoffice-door-1", kind ? kind : "full", w->key_json,
		 revoked ? revoked : "\"" TICKET("1") "\"",
		 used ? used : "[\"" TICKET("3") "\",\"2026-11-27T18:59:00Z\"],[\"" TICKET("2") "\",null]");
	return text;
}

static bool opens(const struct world *w, struct str envelope, struct bundle *b, struct error *e)
{
	*e = (struct error){0};
	return bundle_open(envelope, &w->key, 1, b, e);
}

static void test_there_and_back(void **state)
{
	const struct world *w = *state;
	struct uuid id;
	struct bundle b;
	struct error e;
	struct buf out;

	buf_init(&out, 1 << 20);
	assert_true(bundle_sign(&w->signer, str_from(text_of(w, NULL, NULL, NULL, NULL)), &out));
	assert_true(opens(w, buf_str(&out), &b, &e));
	assert_false(b.delta);
	assert_true(uuid_parse(STR(SHOW), &id) && uuid_eq(&id, &b.show_id));
	assert_true(b.expires_at_us - b.as_of_us == 12 * US_PER_HOUR);
	assert_int_equal(b.lists.n_keys, 1);
	assert_int_equal(b.lists.n_revoked, 1);
	assert_int_equal(b.n_used, 2);
	assert_true(uuid_parse(STR(TICKET("2")), &id));
	assert_int_equal(bundle_find_used(&b, &id)->used_at_us, 0);
	assert_true(uuid_parse(STR(TICKET("3")), &id));
	assert_int_equal(bundle_find_used(&b, &id)->used_at_us, b.as_of_us - US_PER_MINUTE);
	assert_true(uuid_parse(STR(TICKET("1")), &id));
	assert_null(bundle_find_used(&b, &id));
	bundle_done(&b);
	buf_done(&out);
}

static void test_every_bit_counts(void **state)
{
	const struct world *w = *state;
	struct bundle b;
	struct error e;
	struct buf out;
	size_t at_key;

	buf_init(&out, 1 << 20);
	assert_true(bundle_sign(&w->signer, str_from(text_of(w, NULL, NULL, "", "")), &out));
	at_key = (size_t)(strstr(out.p, "\"key_id\":\"") - out.p) + 10;
	for (size_t i = 0; i < out.n; i++)
		for (int bit = 0; bit < 8; bit++) {
			out.p[i] = (char)(out.p[i] ^ 1 << bit);
			bool same_key = i >= at_key && i < at_key + 8 && bit == 5 && out.p[i] > '9';

			/* a hexadecimal digit in the other case is the same digit; nothing else may differ */
			if (same_key != opens(w, buf_str(&out), &b, &e)) {
				print_error("byte %zu, bit %d\n", i, bit);
				fail();
			}
			bundle_done(&b);
			out.p[i] = (char)(out.p[i] ^ 1 << bit);
		}
	assert_true(opens(w, buf_str(&out), &b, &e));
	bundle_done(&b);
	buf_done(&out);
}

static void test_a_ticket_is_no_bundle(void **state)
{
	const struct world *w = *state;
	const char *text = text_of(w, NULL, NULL, NULL, NULL);
	char encoded[BASE64URL_SIZE(CRYPTO_SIGNATURE)], key_id[TICKET_KEY_ID_TEXT];
	uint8_t signature[CRYPTO_SIGNATURE];
	struct bundle b;
	struct error e;
	struct buf out;
	struct jw jw;

	/* signed by the same key without the words in front */
	crypto_sign_message(w->signer.secret, str_from(text), signature);
	base64url_encode(signature, sizeof(signature), encoded);
	buf_init(&out, 1 << 20);
	jw_init(&jw, &out);
	jw_obj(&jw);
	jw_kcstr(&jw, "algorithm", "Ed25519");
	jw_kcstr(&jw, "key_id", ticket_key_id_format(w->key.key_id, key_id));
	jw_kcstr(&jw, "signature", encoded);
	jw_kcstr(&jw, "bundle", text);
	jw_obj_end(&jw);
	assert_true(jw_done(&jw));
	assert_false(opens(w, buf_str(&out), &b, &e));
	assert_string_equal(e.path, "/signature");
	bundle_done(&b);
	buf_done(&out);
}

static void test_faults(void **state)
{
	const struct world *w = *state;
	const struct {
		const char *format, *kind, *revoked, *used, *path;
	} bad[] = {
		{"boxoffice-door-2", NULL, NULL, NULL, "/format"},
		{NULL, "half", NULL, NULL, "/kind"},
		{NULL, NULL, "7", NULL, "/revoked/0"},
		{NULL, NULL, NULL, "\"" TICKET("1") "\"", "/used/0"},
		{NULL, NULL, NULL, "[\"" TICKET("1") "\"]", "/used/0"},
		{NULL, NULL, NULL, "[\"" TICKET("1") "\",\"yesterday\"]", "/used/0"},
		{NULL, NULL, NULL, "[\"" TICKET("1") "\",null],[\"x\",null]", "/used/1"},
	};
	struct ticket_key revoked = w->key;
	struct bundle b;
	struct error e;
	struct buf out;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		buf_init(&out, 1 << 20);
		assert_true(bundle_sign(&w->signer,
					str_from(text_of(w, bad[i].format, bad[i].kind, bad[i].revoked, bad[i].used)),
					&out));
		assert_false(opens(w, buf_str(&out), &b, &e));
		assert_string_equal(e.path, bad[i].path);
		bundle_done(&b);
		buf_done(&out);
	}
	/* a key that is not trusted any more */
	buf_init(&out, 1 << 20);
	assert_true(bundle_sign(&w->signer, str_from(text_of(w, NULL, NULL, NULL, NULL)), &out));
	revoked.status = TICKET_KEY_REVOKED;
	e = (struct error){0};
	assert_false(bundle_open(buf_str(&out), &revoked, 1, &b, &e));
	assert_string_equal(e.path, "/key_id");
	bundle_done(&b);
	e = (struct error){0};
	assert_false(bundle_open(STR("[]"), &w->key, 1, &b, &e));
	bundle_done(&b);
	e = (struct error){0};
	assert_false(bundle_open(STR("{"), &w->key, 1, &b, &e));
	bundle_done(&b);
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_every_bit_counts),
		cmocka_unit_test(test_a_ticket_is_no_bundle),
		cmocka_unit_test(test_faults),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
