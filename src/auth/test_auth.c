/* Tokens: what we made opens, what anybody changed does not, what is over does not. */
#include "auth/auth.h"

#include "base/times.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static int64_t fake_now_us;

static int64_t now_us(void)
{
	return fake_now_us;
}

static struct auth *make(uint8_t seed)
{
	struct auth_config c = {.session_lifetime_us = US_PER_DAY, .now_us = now_us};

	memset(c.master.b, seed, sizeof(c.master.b));
	return auth_new(&c);
}

static int setup(void **state)
{
	fake_now_us = INT64_C(1795000000) * US_PER_SECOND;
	return crypto_init() ? 0 : -1;
}

static void test_session(void **state)
{
	struct auth *a = make(1), *other = make(2);
	char token[AUTH_TOKEN_TEXT];
	struct uuid made, opened;
	int64_t expires_us;

	auth_session_new(a, token, &made, &expires_us);
	assert_int_equal(expires_us, fake_now_us + US_PER_DAY);
	assert_true(auth_session_open(a, str_from(token), &opened));
	assert_true(uuid_eq(&made, &opened));
	assert_false(auth_session_open(other, str_from(token), &opened));
	fake_now_us = expires_us - 1;
	assert_true(auth_session_open(a, str_from(token), &opened));
	fake_now_us = expires_us;
	assert_false(auth_session_open(a, str_from(token), &opened));
	auth_free(a);
	auth_free(other);
}

/* Every character changed, one removed, one added: none opens. */
static void test_session_tampered(void **state)
{
	struct auth *a = make(1);
	char token[AUTH_TOKEN_TEXT], wrong[AUTH_TOKEN_TEXT];
	struct uuid made, opened;
	int64_t expires_us;
	size_t n;

	auth_session_new(a, token, &made, &expires_us);
	n = strlen(token);
	for (size_t i = 0; i < n; i++) {
		memcpy(wrong, token, n + 1);
		wrong[i] = wrong[i] == 'A' ? 'B' : 'A';
		assert_false(auth_session_open(a, str_from(wrong), &opened));
	}
	assert_false(auth_session_open(a, (struct str){token, n - 1}, &opened));
	memcpy(wrong, token, n);
	memcpy(wrong + n, "A", 2);
	assert_false(auth_session_open(a, str_from(wrong), &opened));
	assert_false(auth_session_open(a, STR(""), &opened));
	assert_false(auth_session_open(a, STR("bs_"), &opened));
	auth_free(a);
}

static void test_booking_link(void **state)
{
	struct auth *a = make(1);
	struct uuid show = crypto_uuid_v7(fake_now_us), booking = crypto_uuid_v7(fake_now_us), s, b;
	char token[AUTH_TOKEN_TEXT], again[AUTH_TOKEN_TEXT];

	auth_booking_token(a, &show, &booking, token);
	auth_booking_token(a, &show, &booking, again);
	assert_string_equal(token, again); /* answered again without being stored */
	assert_true(auth_booking_open(a, str_from(token), &s, &b));
	assert_true(uuid_eq(&s, &show));
	assert_true(uuid_eq(&b, &booking));
	/* one kind of token is not another */
	assert_false(auth_session_open(a, str_from(token), &s));
	token[1] = 's';
	assert_false(auth_session_open(a, str_from(token), &s));
	auth_free(a);
}

static void test_return_link(void **state)
{
	struct auth *a = make(1), *stranger = make(2);
	struct uuid show = crypto_uuid_v7(fake_now_us), booking = crypto_uuid_v7(fake_now_us),
		    payment = crypto_uuid_v7(fake_now_us), s, b, p;
	char token[AUTH_TOKEN_TEXT];

	auth_return_token(a, &show, &booking, &payment, token);
	assert_true(auth_return_open(a, str_from(token), &s, &b, &p));
	assert_true(uuid_eq(&s, &show) && uuid_eq(&b, &booking) && uuid_eq(&p, &payment));
	assert_false(auth_return_open(stranger, str_from(token), &s, &b, &p));
	assert_false(auth_booking_open(a, str_from(token), &s, &b));
	for (size_t i = 0; token[i]; i++) {
		char was = token[i];

		token[i] = was == 'A' ? 'B' : 'A';
		assert_false(auth_return_open(a, str_from(token), &s, &b, &p));
		token[i] = was;
	}
	auth_free(a);
	auth_free(stranger);
}

static void test_staff_token(void **state)
{
	char one[AUTH_TOKEN_TEXT], two[AUTH_TOKEN_TEXT];
	uint8_t hash[CRYPTO_HASH], expected[CRYPTO_HASH];
	struct uuid id;

	auth_staff_token_new(fake_now_us, one, &id, hash);
	crypto_digest(str_from(one), expected);
	assert_memory_equal(hash, expected, sizeof(hash));
	auth_staff_token_new(fake_now_us, two, &id, hash);
	assert_string_not_equal(one, two);
	assert_memory_not_equal(hash, expected, sizeof(hash));
}

static void test_scopes(void **state)
{
	unsigned all = 0;

	for (unsigned bit = 1; bit <= SCOPE_ALL; bit <<= 1) {
		assert_non_null(auth_scope_name(bit));
		assert_int_equal(auth_scope_from_name(str_from(auth_scope_name(bit))), bit);
		all |= bit;
	}
	assert_int_equal(all, SCOPE_ALL);
	assert_int_equal(auth_scope_from_name(STR("everything")), 0);
	assert_null(auth_scope_name(64));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_session, setup),	  cmocka_unit_test_setup(test_session_tampered, setup),
		cmocka_unit_test_setup(test_booking_link, setup), cmocka_unit_test_setup(test_staff_token, setup),
		cmocka_unit_test_setup(test_scopes, setup),	  cmocka_unit_test_setup(test_return_link, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
