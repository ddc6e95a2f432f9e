/* The rules of the seat service: a lock's arrows, and what a buyer may ask. */
#include "seat/seat.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct plan *plan;

static int setup(void **state)
{
	struct error e = {0};

	plan = plan_import(
		STR("{\"name\":\"p\",\"size\":{\"width\":100,\"height\":100},\"categories\":[{\"name\":\"a\",\"color\":"
		    "\"red\"},"
		    "{\"name\":\"b\",\"color\":\"blue\"}],\"zones\":[{\"name\":\"z\",\"position\":{\"x\":0,\"y\":0},"
		    "\"rows\":["
		    "{\"row_number\":\"1\",\"seats\":["
		    "{\"seat_guid\":\"A-1\",\"seat_number\":\"1\",\"category\":\"a\",\"position\":{\"x\":0,\"y\":0}},"
		    "{\"seat_guid\":\"A-2\",\"seat_number\":\"2\",\"category\":\"a\",\"position\":{\"x\":20,\"y\":0}},"
		    "{\"seat_guid\":\"A-3\",\"seat_number\":\"3\",\"category\":\"b\",\"position\":{\"x\":40,\"y\":0}},"
		    "{\"seat_guid\":\"{\\r\\n\\\"%s\\\"}\",\"seat_number\":\"4\",\"category\":\"b\",\"position\":{"
		    "\"x\":60,\"y\":0}}"
		    "]}]}]}"),
		NULL, &e);
	if (!plan)
		print_error("%s: %s\n", e.path, e.detail);
	return plan ? 0 : -1;
}

static int teardown(void **state)
{
	plan_unref(plan);
	return 0;
}

static void test_arrows(void **state)
{
	static const bool allowed[LOCK_STATES][LOCK_STATES] = {
		[LOCK_ACTIVE] = {[LOCK_RELEASED] = true, [LOCK_EXPIRED] = true, [LOCK_PAYING] = true},
		[LOCK_PAYING] =
			{[LOCK_ACTIVE] = true, [LOCK_EXPIRED] = true, [LOCK_BOOKED] = true, [LOCK_ABANDONED] = true},
	};

	for (int from = 0; from < LOCK_STATES; from++)
		for (int to = 0; to < LOCK_STATES; to++)
			assert_int_equal(lock_may((enum lock_state)from, (enum lock_state)to), allowed[from][to]);
}

static void test_names(void **state)
{
	enum lock_state s;

	for (int i = 0; i < LOCK_STATES; i++) {
		assert_true(lock_state_parse(str_from(lock_state_name((enum lock_state)i)), &s));
		assert_int_equal(s, i);
	}
	assert_false(lock_state_parse(STR("Active"), &s));
	assert_string_equal(seat_state_name(SEAT_BLOCKED), "blocked");
}

struct outcome {
	struct seat_ask ask;
	struct error e;
	char bad[80];
	bool ok;
};

static struct outcome ask(const char *text)
{
	struct outcome o = {0};
	struct str bad = STR("");
	json_t *j = json_read(str_from(text), JSON_DEPTH_DEFAULT, &o.e);

	assert_non_null(j);
	o.ok = seat_ask_read(j, plan, 3, &o.ask, &bad, &o.e);
	memcpy(o.bad, bad.p, bad.n);
	o.bad[bad.n] = '\0';
	json_decref(j);
	return o;
}

static void test_ask_seats(void **state)
{
	struct outcome o = ask("{\"seats\":[\"A-3\",\"A-1\"]}");

	assert_true(o.ok);
	assert_false(o.ask.best);
	assert_int_equal(o.ask.n_seats, 2);
	assert_int_equal(o.ask.seats[0], 0); /* ascending, whatever was asked */
	assert_int_equal(o.ask.seats[1], 2);
	o = ask("{\"seats\":[\"{\\r\\n\\\"%s\\\"}\"]}");
	assert_true(o.ok);
	assert_int_equal(o.ask.seats[0], 3);
}

static void refused(const char *text, enum err code, const char *path, const char *bad)
{
	struct outcome o = ask(text);

	assert_false(o.ok);
	assert_int_equal(o.e.code, code);
	assert_string_equal(o.e.path, path);
	assert_string_equal(o.bad, bad);
	assert_true(o.e.detail[0] != '\0');
}

static void test_ask_refused(void **state)
{
	refused("{\"seats\":[\"A-1\",\"A-9\"]}", ERR_UNKNOWN_SEAT, "/seats/1", "A-9");
	refused("{\"seats\":[\"A-2\",\"A-1\",\"A-2\"]}", ERR_DUPLICATE_SEAT, "/seats", "A-2");
	refused("{\"seats\":[\"A-1\",\"A-2\",\"A-3\",\"A-4\"]}", ERR_TOO_MANY_SEATS, "/seats", "");
	refused("{\"seats\":[]}", ERR_INVALID_VALUE, "/seats", "");
	refused("{\"seats\":[1]}", ERR_INVALID_REQUEST, "/seats/0", "");
	refused("{\"seats\":\"A-1\"}", ERR_INVALID_REQUEST, "/seats", "");
	refused("{}", ERR_INVALID_REQUEST, "/seats", "");
	refused("[]", ERR_INVALID_REQUEST, "", "");
	refused("{\"seats\":[\"A-1\"],\"best\":{\"quantity\":1}}", ERR_INVALID_REQUEST, "/best", "");
	refused("{\"seats\":[\"A-1\"],\"price\":1}", ERR_INVALID_REQUEST, "/price", "");
	refused("{\"seats\":[\"A-1\"],\"state\":\"booked\"}", ERR_INVALID_REQUEST, "/state", "");
	refused("{\"seats\":[\"A-1\"],\"replaces\":\"x\"}", ERR_INVALID_REQUEST, "/replaces", "");
	refused("{\"best\":{\"quantity\":0}}", ERR_INVALID_VALUE, "/best/quantity", "");
	refused("{\"best\":{\"quantity\":4}}", ERR_TOO_MANY_SEATS, "/best/quantity", "");
	refused("{\"best\":{\"quantity\":1,\"category\":\"c\"}}", ERR_INVALID_VALUE, "/best/category", "");
	refused("{\"best\":{\"quantity\":1,\"row\":1}}", ERR_INVALID_REQUEST, "/best/row", "");
	refused("{\"best\":{\"quantity\":1},\"notify\":{\"email\":\"nobody\"}}", ERR_INVALID_VALUE, "/notify/email",
		"");
	refused("{\"best\":{\"quantity\":1},\"notify\":{}}", ERR_INVALID_REQUEST, "/notify/email", "");
}

static void test_ask_best(void **state)
{
	struct outcome o = ask(
		"{\"best\":{\"quantity\":2,\"category\":\"b\"},\"notify\":{\"email\":\"a@b.de\",\"locale\":\"de\"}}");

	assert_true(o.ok);
	assert_true(o.ask.best);
	assert_int_equal(o.ask.quantity, 2);
	assert_int_equal(o.ask.category, 1);
	o = ask("{\"best\":{\"quantity\":1}}");
	assert_true(o.ok);
	assert_int_equal(o.ask.category, -1);
}

static void test_email(void **state)
{
	static const char *const good[] = {"a@b", "first.last+tag@sub.example.org", "\xC3\xA4@example.org"};
	static const char *const bad[] = {"",	  "a",	  "@b",	   "a@",    "a@b@c",   "a b@c", "a@b\r\nBcc: c",
					  "a@.b", "a@b.", "a,b@c", "<a@b>", "\"a\"@b", "a@b\n", "a;b@c"};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(email_plausible(str_from(good[i])));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(email_plausible(str_from(bad[i])));
}

/* The quick reader takes nothing that the thorough one would not, reads it the same, and leaves alone what it does not know. */
static void test_plain(void **state)
{
	static const struct {
		const char *body;
		bool plain;
	} cases[] = {
		{"{\"seats\":[\"A-1\"]}", true},
		{" { \"seats\" : [ \"A-3\" ,\t\"A-1\" ] } \r\n", true},
		{"{\"seats\":[\"A-2\",\"A-1\",\"A-3\"]}", true},
		{"{\"seats\":[]}", false},
		{"{\"seats\":[\"A-1\",]}", false},
		{"{\"seats\":[\"A-1\"],}", false},
		{"{\"seats\":[\"A-1\"]}x", false},
		{"{\"seats\":[\"A-1\"]", false},
		{"{\"seats\":[\"A-1\"", false},
		{"{\"seats\":[\"A-1\",\"A-1\"]}", false},
		{"{\"seats\":[\"A-1\",\"A-9\"]}", false},
		{"{\"seats\":[\"A-1\",\"A-2\",\"A-3\",\"A-1\"]}", false},
		{"{\"seats\":[\"\\u0041-1\"]}", false},
		{"{\"seats\":[1]}", false},
		{"{\"seats\":[\"A-1\"],\"seats\":[\"A-2\"]}", false},
		{"{\"seats\":[\"A-1\"],\"replaces\":null}", false},
		{"{\"best\":{\"quantity\":1}}", false},
		{"[\"A-1\"]", false},
		{"", false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct str body = str_from(cases[i].body), bad;
		struct seat_ask quick, thorough;
		struct error e = {0};
		json_t *j;

		assert_int_equal(seat_ask_read_plain(body, plan, 3, &quick), cases[i].plain);
		if (!cases[i].plain)
			continue;
		j = json_read(body, JSON_DEPTH_DEFAULT, &e);
		assert_non_null(j);
		assert_true(seat_ask_read(j, plan, 3, &thorough, &bad, &e));
		assert_int_equal(quick.n_seats, thorough.n_seats);
		assert_memory_equal(quick.seats, thorough.seats, quick.n_seats * sizeof(quick.seats[0]));
		json_decref(j);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),	  cmocka_unit_test(test_arrows),      cmocka_unit_test(test_names),
		cmocka_unit_test(test_ask_seats), cmocka_unit_test(test_ask_refused), cmocka_unit_test(test_ask_best),
		cmocka_unit_test(test_email),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
