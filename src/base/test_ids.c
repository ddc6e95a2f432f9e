/* UUIDs by RFC 9562, and references that can be read out. */
#include "base/ids.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The example of RFC 9562, appendix A.6 */
static void version_7_known(void **state)
{
	static const uint8_t random[10] = {0x0C, 0xC3, 0x18, 0xC4, 0xDC, 0x0C, 0x0C, 0x07, 0x39, 0x8F};
	struct uuid u = uuid_v7(INT64_C(1645557742000) * 1000, random);
	char text[UUID_TEXT];

	assert_ptr_equal(uuid_format(&u, text), text);
	assert_string_equal(text, "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
}

static void versions_and_variants(void **state)
{
	uint8_t ones[16], zeros[16] = {0};
	struct uuid u;
	char text[UUID_TEXT];

	memset(ones, 0xFF, sizeof(ones));
	u = uuid_v7(0, ones);
	assert_string_equal(uuid_format(&u, text), "00000000-0000-7fff-bfff-ffffffffffff");
	u = uuid_v7(INT64_C(999), zeros);
	assert_string_equal(uuid_format(&u, text), "00000000-0000-7000-8000-000000000000");
	u = uuid_v7(INT64_C(281474976710655) * 1000, zeros);
	assert_string_equal(uuid_format(&u, text), "ffffffff-ffff-7000-8000-000000000000");
	u = uuid_v8(ones);
	assert_string_equal(uuid_format(&u, text), "ffffffff-ffff-8fff-bfff-ffffffffffff");
	u = uuid_v8(zeros);
	assert_string_equal(uuid_format(&u, text), "00000000-0000-8000-8000-000000000000");
}

/* Later ones sort after earlier ones, whatever the random part. */
static void version_7_sorts_by_time(void **state)
{
	uint8_t high[10], low[10] = {0};
	struct uuid a, b;

	memset(high, 0xFF, sizeof(high));
	for (int64_t ms = 0; ms < INT64_C(1) << 47; ms = ms * 3 + 1) {
		a = uuid_v7(ms * 1000 + 999, high);
		b = uuid_v7((ms + 1) * 1000, low);
		assert_true(uuid_cmp(&a, &b) < 0);
		assert_true(uuid_cmp(&b, &a) > 0);
		assert_false(uuid_eq(&a, &b));
	}
	assert_true(uuid_eq(&a, &a));
	assert_int_equal(uuid_cmp(&a, &a), 0);
}

static void parsing(void **state)
{
	static const char *const bad[] = {
		"",
		"017f22e279b07cc398c4dc0c0c07398f",
		"017f22e2-79b0-7cc3-98c4-dc0c0c07398",
		"017f22e2-79b0-7cc3-98c4-dc0c0c07398f0",
		"{17f22e2-79b0-7cc3-98c4-dc0c0c07398}",
		"017f22e2-79b0-7cc3-98c4-dc0c0c07398g",
		"017f22e2-79b0-7cc3-98c4+dc0c0c07398f",
		"017f22e-279b0-7cc3-98c4-dc0c0c07398f",
		"-17f22e2-79b0-7cc3-98c4-dc0c0c07398f",
		"017f22e2-79b0-7cc3-98c4-dc0c0c0739 f",
	};
	struct uuid u, same, before;
	char text[UUID_TEXT];

	assert_true(uuid_parse(STR("017F22E2-79b0-7CC3-98c4-dc0c0c07398f"), &u));
	assert_string_equal(uuid_format(&u, text), "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
	/* any version is an id */
	assert_true(uuid_parse(STR("00000000-0000-0000-0000-000000000000"), &same));
	assert_true(uuid_is_zero(&same));
	assert_false(uuid_is_zero(&u));
	for (int i = 0; i < 16; i++) {
		memset(&same, 0, sizeof(same));
		same.b[i] = 1;
		assert_false(uuid_is_zero(&same));
	}
	before = u;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (uuid_parse(str_from(bad[i]), &u))
			fail_msg("\"%s\" was taken", bad[i]);
		/* nothing half-read is left behind */
		assert_true(uuid_eq(&u, &before));
	}
	/* every byte in its place */
	for (int i = 0; i < 16; i++)
		u.b[i] = (uint8_t)(0x10 + i * 15);
	uuid_format(&u, text);
	assert_true(uuid_parse(str_from(text), &same));
	assert_true(uuid_eq(&u, &same));
}

static void references(void **state)
{
	static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
	uint8_t r[7] = {0};
	char out[REFERENCE_TEXT], first[REFERENCE_TEXT];

	reference_format(r, first);
	assert_string_equal(first, "00000-00000");
	memset(r, 0xFF, sizeof(r));
	reference_format(r, out);
	assert_string_equal(out, "ZZZZZ-ZZZZZ");
	/* each of 50 bits counts, in one place only */
	for (int bit = 0; bit < 50; bit++) {
		int differing = 0;

		memset(r, 0, sizeof(r));
		r[6 - bit / 8] = (uint8_t)(1u << bit % 8);
		reference_format(r, out);
		assert_int_equal(strlen(out), REFERENCE_TEXT - 1);
		assert_int_equal(out[5], '-');
		for (int i = 0; i < REFERENCE_TEXT - 1; i++)
			differing += out[i] != first[i];
		assert_int_equal(differing, 1);
	}
	/* every character of the alphabet occurs, none else */
	for (unsigned v = 0; v < 32; v++) {
		memset(r, 0, sizeof(r));
		r[6] = (uint8_t)v;
		reference_format(r, out);
		assert_int_equal(out[0], alphabet[v]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(version_7_known),
		cmocka_unit_test(versions_and_variants),
		cmocka_unit_test(version_7_sorts_by_time),
		cmocka_unit_test(parsing),
		cmocka_unit_test(references),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
