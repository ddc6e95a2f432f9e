#include "relay/relay_event.h"
#include "relay/relay_set.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

static size_t events_of(struct arena *arena, const char *topic, struct str text, struct relay_event **ret)
{
	struct relay_row row = {.show_id = {{1}}, .outbox_id = {{2}}, .topic = str_from(topic), .events = text};

	return relay_row_events(&row, arena, ret);
}

static void test_events_are_cut_as_they_stand(void **state)
{
	struct arena arena;
	struct relay_event *e;
	char id[RELAY_ID_MAX];

	arena_init(&arena);
	assert_int_equal(events_of(&arena, "booking",
				   STR(" [{\"type\" : \"a.b\", \"text\": \"]}, \\\" [{\", \"booking_id\":\"x\"} , "
				       "{\"a\":[{}],\"type\":\"c\",\"booking_id\":\"y\"}]"),
				   &e),
			 2);
	assert_null(e[0].fault);
	assert_null(e[1].fault);
	assert_true(str_eqc(e[0].type, "a.b") && str_eqc(e[0].key, "x"));
	assert_true(str_eqc(e[0].json, "{\"type\" : \"a.b\", \"text\": \"]}, \\\" [{\", \"booking_id\":\"x\"}"));
	assert_true(str_eqc(e[1].json, "{\"a\":[{}],\"type\":\"c\",\"booking_id\":\"y\"}"));
	relay_event_id(&e[1], id);
	assert_string_equal(id, "02000000-0000-0000-0000-000000000000:1");
	assert_string_equal(relay_event_about(&e[1], &arena), "booking y");
	assert_int_equal(events_of(&arena, "booking", STR("[]"), &e), 0);
	arena_done(&arena);
}

static void test_whom_they_are_about(void **state)
{
	struct arena arena;
	struct relay_event *e;

	arena_init(&arena);
	assert_int_equal(events_of(&arena, "payment",
				   STR("[{\"type\":\"r\",\"payment_id\":\"p\",\"refund_id\":\"r\"},{\"type\":\"p\","
				       "\"payment_id\":\"p\"}]"),
				   &e),
			 2);
	assert_true(str_eqc(e[0].key, "r") && str_eqc(e[1].key, "p"));
	assert_true(e[0].aggregates[0] != e[1].aggregates[0]);
	assert_int_equal(events_of(&arena, "seat",
				   STR("[{\"type\":\"s\",\"seats\":{\"12\":5,\"7\":{\"a\":1}}},{\"type\":\"s\","
				       "\"seats\":{\"7\":6}},{\"type\":\"s\",\"seats\":{}}]"),
				   &e),
			 3);
	assert_int_equal(e[0].n_aggregates, 2);
	assert_int_equal(e[1].n_aggregates, 1);
	assert_int_equal(e[2].n_aggregates, 0);
	assert_true(e[0].aggregates[1] == e[1].aggregates[0]);
	assert_true(str_eqc(e[0].key, "01000000-0000-0000-0000-000000000000"));
	arena_done(&arena);
}

static void test_what_is_no_event(void **state)
{
	static const struct {
		const char *topic, *text, *fault;
	} bad[] = {
		{"booking", "7", "the row is no array of events"},
		{"booking", "{\"type\":\"x\",\"booking_id\":\"y\"}", "the row is no array of events"},
		{"booking", "[7]", "not an object"},
		{"booking", "[{\"booking_id\":\"y\"}]", "no type"},
		{"booking", "[{\"type\":7,\"booking_id\":\"y\"}]", "no type"},
		{"booking", "[{\"type\":\"x\"}]", "does not say whom it is about"},
		{"seat", "[{\"type\":\"x\",\"seats\":[1]}]", "seats is no object of seats and versions"},
		{"weather", "[{\"type\":\"x\"}]", "no such topic"},
	};
	struct arena arena;
	struct relay_event *e;

	arena_init(&arena);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(events_of(&arena, bad[i].topic, str_from(bad[i].text), &e), 1);
		assert_non_null(e[0].fault);
		assert_string_equal(e[0].fault, bad[i].fault);
		assert_int_equal(e[0].n_aggregates, 1);
	}
	arena_done(&arena);
}

/* PostgreSQL lets only JSON through; nothing here depends on it. Copies end where the memory does. */
static void test_cut_anywhere(void **state)
{
	static const char text[] =
		"[{\"type\":\"a\\\"\",\"seats\":{\"1\":[2,{\"x\":\"\\\\\"}],\"3\":4}},{\"type\":\"b\"}]";

	for (size_t n = 0; n < sizeof(text); n++) {
		struct relay_event *e;
		struct arena arena;
		char *cut = malloc(n + 1);

		memcpy(cut, text, n);
		arena_init(&arena);
		for (size_t from = 0; from <= n; from++)
			events_of(&arena, "seat", (struct str){cut + from, n - from}, &e);
		arena_done(&arena);
		free(cut);
	}
}

static void test_sets(void **state)
{
	struct relay_set s = {0};

	assert_false(relay_set_has(&s, 0));
	for (uint64_t i = 0; i < 1000; i++)
		relay_set_add(&s, i * 64);
	assert_true(relay_set_has(&s, 0) && relay_set_has(&s, 999 * 64) && !relay_set_has(&s, 1000 * 64));
	assert_int_equal(s.n, 1000);
	relay_set_add(&s, 64);
	assert_int_equal(s.n, 1000);
	relay_set_clear(&s);
	assert_false(relay_set_has(&s, 64));
	relay_set_done(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_events_are_cut_as_they_stand),
		cmocka_unit_test(test_whom_they_are_about),
		cmocka_unit_test(test_what_is_no_event),
		cmocka_unit_test(test_cut_anywhere),
		cmocka_unit_test(test_sets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
