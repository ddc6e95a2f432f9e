/* Rules of staff. */
#include "io/crypto.h"
#include "staff/staff_int.h"
#include "staff/staff_rules.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_passwords(void **state)
{
	struct str email = STR("somebody@example.org");
	char most[PASSWORD_MOST + 2];

	memset(most, 'a', sizeof(most));
	most[0] = 'b';
	assert_null(password_fault(STR("correct horse"), email));
	assert_null(password_fault(STR("zw\xC3\xB6lfzeichen"), email)); /* characters, not bytes */
	assert_non_null(password_fault(STR("elf Zeichen"), email));
	assert_non_null(password_fault(STR("aaaaaaaaaaaaaaaa"), email));
	assert_non_null(password_fault(STR("Somebody@Example.org"), email));
	assert_null(password_fault((struct str){most, PASSWORD_MOST}, email));
	assert_non_null(password_fault((struct str){most, PASSWORD_MOST + 1}, email));
}

static void test_scopes(void **state)
{
	assert_int_equal(scopes_missing(SCOPE_ALL, SCOPE_ALL), 0);
	assert_int_equal(scopes_missing(SCOPE_EVENTS | SCOPE_PAYMENTS, SCOPE_EVENTS | SCOPE_ADMIN), SCOPE_PAYMENTS);
	assert_int_equal(scopes_missing(0, 0), 0);
}

static void networks(const char *address, const char *guesses, const char *log)
{
	struct net_addr client = {0};
	char text[NETWORK_TEXT];

	if (*address)
		assert_true(net_addr_parse(str_from(address), &client));
	network_of_guesses(&client, text);
	assert_string_equal(text, guesses);
	network_of_log(&client, text);
	assert_string_equal(text, log);
}

static void test_networks(void **state)
{
	networks("203.0.113.77", "203.0.113.77", "203.0.113.0/24");
	networks("::ffff:203.0.113.77", "203.0.113.77", "203.0.113.0/24");
	networks("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64", "2001:db8:1::/48");
	networks("", "local", "local");
}

/* An address that nobody has must take as long as one that somebody has: the same work, with the same parameters. */
static void test_decoy(void **state)
{
	char hash[CRYPTO_PASSWORD_MAX];
	size_t n;

	assert_true(crypto_init());
	assert_true(crypto_password_hash(STR("correct horse"), hash));
	assert_true(crypto_password_check(hash, STR("correct horse")));
	n = (size_t)(strstr(hash, "p=") + strlen("p=1$") - hash);
	assert_memory_equal(hash, staff_decoy_hash, n);
	assert_int_equal(strlen(hash), strlen(staff_decoy_hash));
	assert_false(crypto_password_check(staff_decoy_hash, STR("correct horse")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_passwords), cmocka_unit_test(test_scopes),
					   cmocka_unit_test(test_networks), cmocka_unit_test(test_decoy)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
