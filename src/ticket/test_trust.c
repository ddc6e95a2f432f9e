/* The published lists: what is written is read back, and no half-right list is taken. */
#include "base/times.h"
#include "io/crypto.h"
#include "ticket/trust.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define KEY_ID "7849ac30"
#define PUBLIC "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"

static void test_written_is_read(void **state)
{
	struct ticket_key keys[3];
	struct ticket_trust_lists l;
	struct error error = {0};
	struct buf b;
	struct jw w;

	buf_init(&b, 4096);
	jw_init(&w, &b);
	jw_obj(&w);
	jw_key(&w, "keys");
	jw_arr(&w);
	for (int i = 0; i < 3; i++) {
		uint8_t secret[64];

		crypto_keypair(keys[i].public_key, secret);
		keys[i].key_id = ticket_key_id(keys[i].public_key);
		keys[i].status = (enum ticket_key_status)i;
		ticket_key_write(&w, &keys[i], i * US_PER_DAY);
	}
	jw_arr_end(&w);
	jw_obj_end(&w);
	assert_true(jw_done(&w));
	ticket_trust_lists_init(&l);
	assert_true(ticket_trust_read_keys(&l, buf_str(&b), &error));
	assert_int_equal(l.n_keys, 3);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(l.keys[i].key_id, keys[i].key_id);
		assert_int_equal(l.keys[i].status, keys[i].status);
		assert_memory_equal(l.keys[i].public_key, keys[i].public_key, 32);
	}
	ticket_trust_lists_done(&l);
	buf_done(&b);
}

static void test_keys_refused(void **state)
{
	static const struct {
		const char *json, *path;
	} cases[] = {
		{"", ""},
		{"[]", ""},
		{"{}", "/keys"},
		{"{\"keys\":[]}", "/keys"},
		{"{\"keys\":[1]}", "/keys/0"},
		{"{\"keys\":[{\"key_id\":\"" KEY_ID "\",\"algorithm\":\"RSA\",\"public_key\":\"" PUBLIC
		 "\",\"status\":\"active\"}]}",
		 "/keys/0/algorithm"},
		{"{\"keys\":[{\"key_id\":\"" KEY_ID "\",\"algorithm\":\"Ed25519\",\"public_key\":\"" PUBLIC "\"}]}",
		 "/keys/0/status"},
		{"{\"keys\":[{\"key_id\":\"" KEY_ID "\",\"algorithm\":\"Ed25519\",\"public_key\":\"" PUBLIC
		 "\",\"status\":\"old\"}]}",
		 "/keys/0/status"},
		{"{\"keys\":[{\"key_id\":\"" KEY_ID "\",\"algorithm\":\"Ed25519\",\"public_key\":\"" PUBLIC
		 "=\",\"status\":\"active\"}]}",
		 "/keys/0/public_key"},
		/* the id of another key */
		{"{\"keys\":[{\"key_id\":\"00000000\",\"algorithm\":\"Ed25519\",\"public_key\":\"" PUBLIC
		 "\",\"status\":\"active\"}]}",
		 "/keys/0/key_id"},
		{"{\"keys\":[{\"key_id\":\"" KEY_ID "\",\"algorithm\":\"Ed25519\",\"public_key\":\"" PUBLIC
		 "\",\"status\":\"active\"},{\"key_id\":\"" KEY_ID
		 "\",\"algorithm\":\"Ed25519\",\"public_key\":\"" PUBLIC "\",\"status\":\"revoked\"}]}",
		 "/keys/1"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ticket_trust_lists l;
		struct error error = {0};

		ticket_trust_lists_init(&l);
		if (ticket_trust_read_keys(&l, str_from(cases[i].json), &error))
			fail_msg("accepted: %s", cases[i].json);
		assert_string_equal(error.path, cases[i].path);
		assert_int_not_equal(error.code, ERR_NONE);
		ticket_trust_lists_done(&l);
	}
}

static void test_revoked(void **state)
{
	static const char list[] =
		"{\"items\":[\"0193583e-7a01-7123-89ab-cdef01234567\","
		"{\"ticket_id\":\"00000000-7a01-7123-89ab-cdef01234567\",\"below_serial\":3,\"later\":1},"
		"{\"ticket_id\":\"10000000-7a01-7123-89ab-cdef01234567\"}],\"as_of\":\"2026-11-23T10:00:00Z\","
		"\"next\":null}";
	static const char *const wrong[] = {
		"{}",
		"{\"items\":[1]}",
		"{\"items\":[\"x\"]}",
		"{\"items\":[{}]}",
		"{\"items\":[],\"as_of\":\"yesterday\"}",
		"{\"items\":[{\"ticket_id\":\"10000000-7a01-7123-89ab-cdef01234567\",\"below_serial\":-1}]}"};
	struct ticket_trust_lists l;
	struct error error = {0};

	ticket_trust_lists_init(&l);
	assert_true(ticket_trust_read_revoked(&l, str_from(list), &error));
	assert_int_equal(l.n_revoked, 3);
	assert_int_equal(l.revoked[0].below, 3); /* sorted */
	assert_int_equal(l.revoked[1].below, TICKET_REVOKE_ALL);
	assert_int_equal(l.revoked[2].below, TICKET_REVOKE_ALL);
	assert_int_equal(l.revoked_as_of_us, INT64_C(1795428000) * US_PER_SECOND);
	ticket_trust_lists_done(&l);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		error = (struct error){0};
		ticket_trust_lists_init(&l);
		if (ticket_trust_read_revoked(&l, str_from(wrong[i]), &error))
			fail_msg("accepted: %s", wrong[i]);
		ticket_trust_lists_done(&l);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_written_is_read),
		cmocka_unit_test(test_keys_refused),
		cmocka_unit_test(test_revoked),
	};

	return crypto_init() ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
