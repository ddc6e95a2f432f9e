#include "booking/booking.h"

#include "seat/seat.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LOCK "\"lock_id\":\"019a1c5e-6b7c-7d3a-8f10-2b6d0c9e4f55\""
#define BUYER "\"buyer\":{\"name\":\"Ada\",\"email\":\"ada@example.org\"}"

static enum err reads(const char *text, const char *path)
{
	struct error e = {.code = ERR_NONE};
	json_t *body = json_read(str_from(text), 10, &e);
	struct booking_ask ask;
	bool ok;

	assert_non_null(body);
	ok = booking_ask_read(body, &ask, &e);
	assert_int_equal(ok, e.code == ERR_NONE);
	assert_string_equal(e.path, path);
	json_decref(body);
	return e.code;
}

static void test_read(void **state)
{
	static const char good[] =
		"{" LOCK ",\"buyer\":{\"name\":\"Ada\",\"email\":\"ada@example.org\",\"locale\":\"de-AT\"},"
		"\"payment\":{\"method\":\"pm_card_visa\",\"return_url\":\"https://a.example/b\"}}";
	struct error e = {.code = ERR_NONE};
	json_t *body = json_read(STR(good), 10, &e);
	struct booking_ask ask;

	assert_true(booking_ask_read(body, &ask, &e));
	assert_true(str_eqc(ask.buyer.name, "Ada") && str_eqc(ask.buyer.email, "ada@example.org") &&
		    str_eqc(ask.buyer.locale, "de-AT"));
	assert_true(ask.pays && str_eqc(ask.method, "pm_card_visa") && str_eqc(ask.return_url, "https://a.example/b"));
	assert_int_equal(ask.lock_id.b[0], 0x01);
	json_decref(body);
	assert_int_equal(reads("{" LOCK "," BUYER "}", ""), ERR_NONE);
	assert_int_equal(reads("{" LOCK "," BUYER ",\"payment\":null}", ""), ERR_NONE);
	assert_int_equal(reads("{" BUYER "}", "/lock_id"), ERR_INVALID_REQUEST);
	assert_int_equal(reads("{" LOCK "}", "/buyer"), ERR_INVALID_REQUEST);
	assert_int_equal(reads("{" LOCK "," BUYER ",\"price\":1}", "/price"), ERR_INVALID_REQUEST);
	assert_int_equal(reads("{" LOCK "," BUYER ",\"payment\":{}}", "/payment/method"), ERR_INVALID_REQUEST);
	assert_int_equal(reads("{" LOCK "," BUYER ",\"payment\":{\"method\":\"a b\"}}", "/payment/method"),
			 ERR_INVALID_VALUE);
	assert_int_equal(reads("{" LOCK "," BUYER ",\"payment\":{\"method\":\"4242424242424242\"}}", "/payment/method"),
			 ERR_INVALID_VALUE);
	assert_int_equal(reads("{" LOCK "," BUYER ",\"payment\":{\"method\":\"pm\",\"amount\":1}}", "/payment/amount"),
			 ERR_INVALID_REQUEST);
	assert_int_equal(reads("{" LOCK ",\"buyer\":{\"name\":\"Ada\",\"email\":\"ada\"}}", "/buyer/email"),
			 ERR_INVALID_VALUE);
	assert_int_equal(reads("{" LOCK ",\"buyer\":{\"name\":\"  \",\"email\":\"a@b.c\"}}", "/buyer/name"),
			 ERR_INVALID_VALUE);
	assert_int_equal(reads("{" LOCK ",\"buyer\":{\"name\":\"A\",\"email\":\"a@b.c\",\"id\":1}}", "/buyer/id"),
			 ERR_INVALID_REQUEST);
	assert_int_equal(reads("{\"lock_id\":\"7\"," BUYER "}", "/lock_id"), ERR_INVALID_REQUEST);
}

static bool allowed(const char *url, const char *origin, const char *public_url, const char *prefixes)
{
	return return_url_allowed(str_from(url), str_from(origin), str_from(public_url), str_from(prefixes));
}

static void test_return_url(void **state)
{
	assert_true(allowed("http://127.0.0.1:8080/done", "http://127.0.0.1:8080", "", ""));
	assert_true(allowed("http://127.0.0.1:8080", "http://127.0.0.1:8080", "", ""));
	assert_true(allowed("https://tickets.example/x?y#z", "", "https://tickets.example/", ""));
	assert_true(allowed("https://b.example/ok/1", "", "", "https://a.example https://b.example/ok"));
	assert_false(allowed("https://b.example/okay", "", "", "https://a.example https://b.example/ok"));
	assert_false(allowed("https://tickets.example.evil.org/", "", "https://tickets.example", ""));
	assert_false(allowed("https://tickets.example@evil.org/", "", "https://tickets.example", ""));
	assert_false(allowed("https://tickets.example:444/", "", "https://tickets.example", ""));
	assert_false(allowed("https://tickets.example/\\evil.org", "", "https://tickets.example", ""));
	assert_false(allowed("http://tickets.example/", "", "https://tickets.example", ""));
	assert_false(allowed("javascript:alert(1)", "", "", "javascript:"));
	assert_false(allowed("https://evil.org/", "", "", ""));
	assert_false(allowed("https://evil.org/", "", "", "   "));
	assert_false(allowed("//tickets.example/", "", "https://tickets.example", ""));
}

/* Whatever is cancelled in whatever order, the parts add up, and no seat pays more than it cost. */
static void test_fee_parts(void **state)
{
	int64_t prices[7], parts[7];

	srand(7);
	for (int round = 0; round < 20000; round++) {
		size_t n = 1 + (size_t)(rand() % 7);
		int64_t total = 0, sum = 0, fee = rand() % 3 ? rand() % 2000 : rand() % 20;

		for (size_t i = 0; i < n; i++) {
			prices[i] = rand() % 4 ? rand() % 5000 : 0;
			total += prices[i];
		}
		assert_true(booking_fee_parts(fee, prices, n, 1, parts));
		for (size_t i = 0; i < n; i++) {
			assert_true(parts[i] >= 0 && parts[i] <= prices[i]);
			sum += parts[i];
		}
		assert_int_equal(sum, fee < total ? fee : total);
	}
	assert_true(booking_fee_parts(100, (int64_t[]){3000, 3000, 3000}, 3, 1, parts));
	assert_int_equal(parts[0], 34);
	assert_int_equal(parts[1], 33);
	assert_int_equal(parts[2], 33);
	/* three decimals, of which the last is always 0 */
	assert_true(booking_fee_parts(1000, (int64_t[]){12500, 12500, 12500}, 3, 10, parts));
	assert_int_equal(parts[0], 340);
	assert_int_equal(parts[1], 330);
	for (int round = 0; round < 5000; round++) {
		size_t n = 1 + (size_t)(rand() % 7);
		int64_t total = 0, sum = 0, fee = 100 * (rand() % 300);

		for (size_t i = 0; i < n; i++)
			total += prices[i] = 100 * (rand() % 200);
		assert_true(booking_fee_parts(fee, prices, n, 100, parts));
		for (size_t i = 0; i < n; i++) {
			assert_true(parts[i] >= 0 && parts[i] <= prices[i] && parts[i] % 100 == 0);
			sum += parts[i];
		}
		assert_int_equal(sum, fee < total ? fee : total);
	}
	/* the remainder does not fit the first seat, which was a present */
	assert_true(booking_fee_parts(1, (int64_t[]){0, 2, 2}, 3, 1, parts));
	assert_int_equal(parts[0], 0);
	assert_int_equal(parts[1] + parts[2], 1);
	assert_false(booking_fee_parts(1, (int64_t[]){INT64_MAX, 2}, 2, 1, parts));
}

static void test_names_and_folding(void **state)
{
	char out[EMAIL_FOLDED_MAX];
	enum booking_state s;

	for (int i = 0; i < BOOKING_STATES; i++) {
		assert_true(booking_state_parse(str_from(booking_state_name((enum booking_state)i)), &s));
		assert_int_equal(s, i);
	}
	assert_false(booking_state_parse(STR("paid"), &s));
	assert_true(booking_may(BOOKING_PAYMENT_PENDING, BOOKING_FAILED));
	assert_false(booking_may(BOOKING_CANCELLED, BOOKING_CONFIRMED));
	assert_false(booking_may(BOOKING_CONFIRMED, BOOKING_FAILED));
	assert_true(str_eqc(email_fold(STR("Ada@Example.ORG"), out), "ada@example.org"));
}

static void test_references(void **state)
{
	static const char *const good[] = {"ABCDE-0123F", "abcde-0123f", " ABCDE 0123F ",
					   "ABCDE0I23F",  "abcde-ol23f", "ABCDEFGH1J"};
	static const char *const bad[] = {"",		"ABCDE-0123",  "ABCDE-0123FF", "ABCDE-0123U",
					  "Alexandrah", "ada@1234567", "ABCDE-0123F9Z"};
	char out[REFERENCE_TEXT];

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_true(booking_reference_read(str_from(good[i]), out));
		assert_int_equal(strlen(out), REFERENCE_TEXT - 1);
		assert_string_equal(out, i == 5 ? "ABCDE-FGH1J" : "ABCDE-0123F");
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(booking_reference_read(str_from(bad[i]), out));
}

/* Printed for the test that compares the drawings with the SQL files; the locks' too, whose arrows others take. */
static void print_arrows(void)
{
	for (size_t i = 0; i < booking_arrows_n; i++)
		printf("%s %s %s\n", booking_arrows[i].file, booking_state_name(booking_arrows[i].from),
		       booking_state_name(booking_arrows[i].to));
	for (size_t i = 0; i < lock_arrows_n; i++)
		printf("%s %s %s\n", lock_arrows[i].file, lock_state_name(lock_arrows[i].from),
		       lock_state_name(lock_arrows[i].to));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),	   cmocka_unit_test(test_return_url),
		cmocka_unit_test(test_fee_parts),  cmocka_unit_test(test_names_and_folding),
		cmocka_unit_test(test_references),
	};

	if (argc == 2 && strcmp(argv[1], "--arrows") == 0) {
		print_arrows();
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
