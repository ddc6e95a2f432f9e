/* The tables against a plain list, and SipHash against its published values. */
#include "base/map.h"
#include "base/siphash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* From the authors' vectors: key 00..0f, message 00 01 02 ... */
static void siphash_known(void **state)
{
	static const struct {
		size_t n;
		uint64_t want;
	} cases[] = {
		{0, UINT64_C(0x726fdb47dd0e0e31)},  {1, UINT64_C(0x74f839c593dc67fd)},
		{7, UINT64_C(0xab0200f58b01d137)},  {8, UINT64_C(0x93f5f5799a932462)},
		{15, UINT64_C(0xa129ca6149be45e5)},
	};
	uint8_t key[16], message[16];

	for (int i = 0; i < 16; i++)
		key[i] = message[i] = (uint8_t)i;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_true(siphash(key, message, cases[i].n) == cases[i].want);
	assert_true(siphash(key, NULL, 0) == cases[0].want);
	key[15] ^= 1;
	assert_true(siphash(key, message, 15) != cases[4].want);
}

static void putting_and_getting(void **state)
{
	struct map *m = map_new();
	char key[] = "A-1";
	int a, b;

	assert_int_equal(map_count(m), 0);
	assert_null(map_get(m, STR("A-1")));
	assert_null(map_remove(m, STR("A-1")));
	assert_null(map_put(m, STR(key), &a));
	key[0] = 'X'; /* the map has its own copy */
	assert_ptr_equal(map_get(m, STR("A-1")), &a);
	assert_null(map_get(m, STR("X-1")));
	assert_null(map_get(m, STR("A-")));
	assert_null(map_get(m, STR("A-1\0")));
	assert_ptr_equal(map_put(m, STR("A-1"), &b), &a);
	assert_ptr_equal(map_get(m, STR("A-1")), &b);
	assert_int_equal(map_count(m), 1);
	/* the empty key and keys with NUL are keys */
	assert_null(map_put(m, STR_NULL, &a));
	assert_ptr_equal(map_get(m, STR("")), &a);
	assert_null(map_put(m, STR("A-1\0"), &a));
	assert_ptr_equal(map_get(m, STR("A-1")), &b);
	assert_int_equal(map_count(m), 3);
	assert_ptr_equal(map_remove(m, STR("A-1")), &b);
	assert_null(map_get(m, STR("A-1")));
	assert_ptr_equal(map_get(m, STR("A-1\0")), &a);
	map_clear(m);
	assert_int_equal(map_count(m), 0);
	assert_null(map_get(m, STR("")));
	assert_null(map_put(m, STR("A-1"), &a));
	map_free(m);
	map_free(NULL);
}

/* A long random history of puts and removals, compared with an array. */
static void against_an_array(void **state)
{
	enum { KEYS = 500, STEPS = 50000 };
	static char *values[KEYS];
	static char cells[STEPS];
	struct map *m = map_new();
	uint64_t x = 42;
	size_t count = 0;

	for (int i = 0; i < STEPS; i++) {
		char name[40];
		size_t k, n;
		void *old;

		x = x * UINT64_C(6364136223846793005) + 1442695040888963407u;
		k = (size_t)(x >> 33) % KEYS;
		n = (size_t)snprintf(name, sizeof(name), "seat-%zu-of-the-row", k);
		if (x >> 62) {
			old = map_put(m, (struct str){name, n}, &cells[i]);
			assert_ptr_equal(old, values[k]);
			count += !old;
			values[k] = &cells[i];
		} else {
			old = map_remove(m, (struct str){name, n});
			assert_ptr_equal(old, values[k]);
			count -= old != NULL;
			values[k] = NULL;
		}
		assert_int_equal(map_count(m), count);
	}
	for (size_t k = 0; k < KEYS; k++) {
		char name[40];
		size_t n = (size_t)snprintf(name, sizeof(name), "seat-%zu-of-the-row", k);

		assert_ptr_equal(map_get(m, (struct str){name, n}), values[k]);
	}
	map_free(m);
}

static void going_through(void **state)
{
	static const char *const keys[] = {"c", "a", "b", "d"};
	struct map *m = map_new();
	struct map_iter it = map_begin(m);
	int cells[4], i = 0;
	struct str key;
	void *value;

	assert_false(map_next(&it, &key, &value));
	for (i = 0; i < 4; i++)
		map_put(m, str_from(keys[i]), &cells[i]);
	map_put(m, STR("c"), &cells[0]);
	it = map_begin(m);
	for (i = 0; map_next(&it, &key, &value); i++) {
		assert_true(str_eqc(key, keys[i]));
		assert_ptr_equal(value, &cells[i]);
		/* every second one goes on the way */
		if (i % 2)
			assert_ptr_equal(map_remove(m, key), value);
	}
	assert_int_equal(i, 4);
	it = map_begin(m);
	assert_true(map_next(&it, &key, NULL) && str_eqc(key, "c"));
	assert_true(map_next(&it, NULL, &value) && value == &cells[2]);
	assert_false(map_next(&it, NULL, NULL));
	map_free(m);
}

static void by_uuid(void **state)
{
	struct map *m = map_new();
	struct map_iter it;
	struct uuid id = {{0}}, other = {{0}}, key;
	int a, b;
	void *value;

	other.b[15] = 1;
	assert_null(map_put_uuid(m, &id, &a));
	assert_null(map_put_uuid(m, &other, &b));
	assert_ptr_equal(map_get_uuid(m, &id), &a);
	assert_ptr_equal(map_get_uuid(m, &other), &b);
	it = map_begin(m);
	assert_true(map_next_uuid(&it, &key, &value));
	assert_true(uuid_eq(&key, &id) && value == &a);
	assert_true(map_next_uuid(&it, &key, &value));
	assert_true(uuid_eq(&key, &other) && value == &b);
	assert_false(map_next_uuid(&it, &key, &value));
	assert_ptr_equal(map_remove_uuid(m, &id), &a);
	assert_null(map_get_uuid(m, &id));
	assert_int_equal(map_count(m), 1);
	map_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(siphash_known),    cmocka_unit_test(putting_and_getting),
		cmocka_unit_test(against_an_array), cmocka_unit_test(going_through),
		cmocka_unit_test(by_uuid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
