/* Slices, UTF-8, hexadecimal, base64url. */
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void comparing(void **state)
{
	assert_true(str_eq(STR("abc"), STR("abc")));
	assert_false(str_eq(STR("abc"), STR("abd")));
	assert_false(str_eq(STR("abc"), STR("ab")));
	assert_true(str_eq(STR_NULL, STR("")));
	assert_true(str_eqc(STR("abc"), "abc"));
	assert_false(str_eqc(STR("abc\0"), "abc"));
	assert_false(str_eqc(STR("ab"), "abc"));
	assert_true(str_eqc(STR_NULL, ""));
	assert_true(str_ieqc(STR("Content-LENGTH"), "content-length"));
	assert_false(str_ieqc(STR("Content-Lengt"), "content-length"));
	/* '@' and '`', '[' and '{' differ by the same bit as letters do */
	assert_false(str_ieqc(STR("@"), "`"));
	assert_false(str_ieqc(STR("["), "{"));
	assert_true(str_starts(STR("/v1/shows"), STR("/v1/")));
	assert_true(str_starts(STR("abc"), STR("abc")));
	assert_true(str_starts(STR("abc"), STR_NULL));
	assert_false(str_starts(STR("ab"), STR("abc")));
	assert_false(str_starts(STR("xbc"), STR("ab")));
	assert_int_equal(str_from(NULL).n, 0);
	assert_non_null(str_from(NULL).p);
}

static void trimming_and_splitting(void **state)
{
	struct str rest, head;

	assert_true(str_eqc(str_trim(STR(" \t a b\t ")), "a b"));
	assert_true(str_eqc(str_trim(STR(" \t ")), ""));
	assert_true(str_eqc(str_trim(STR("\na\n")), "\na\n"));
	assert_int_equal(str_trim(STR_NULL).n, 0);
	rest = str_split(STR("a=b=c"), '=', &head);
	assert_true(str_eqc(head, "a") && str_eqc(rest, "b=c"));
	rest = str_split(STR("=x"), '=', &head);
	assert_true(str_eqc(head, "") && str_eqc(rest, "x"));
	rest = str_split(STR("x="), '=', &head);
	assert_true(str_eqc(head, "x") && str_eqc(rest, ""));
	rest = str_split(STR("abc"), '=', &head);
	assert_true(str_eqc(head, "abc") && str_eqc(rest, ""));
	rest = str_split(STR_NULL, '=', &head);
	assert_true(head.n == 0 && rest.n == 0);
	/* the slice ends where it says */
	rest = str_split((struct str){"abc=d", 3}, '=', &head);
	assert_true(str_eqc(head, "abc") && rest.n == 0);
}

static void numbers(void **state)
{
	static const char *const bad[] = {"",
					  "-1",
					  "+1",
					  " 1",
					  "1 ",
					  "0x1",
					  "1e3",
					  "1.0",
					  "18446744073709551616",
					  "99999999999999999999",
					  "100000000000000000000000000000000000001",
					  "\xD9\xA1"};
	uint64_t v = 7;

	for (size_t i = 0; i < COUNT(bad); i++)
		if (str_to_u64(str_from(bad[i]), UINT64_MAX, &v))
			fail_msg("\"%s\" was taken for %llu", bad[i], (unsigned long long)v);
	assert_int_equal(v, 7);
	assert_true(str_to_u64(STR("18446744073709551615"), UINT64_MAX, &v) && v == UINT64_MAX);
	assert_true(str_to_u64(STR("0"), 0, &v) && v == 0);
	assert_true(str_to_u64(STR("007"), 10, &v) && v == 7);
	assert_true(str_to_u64(STR("10"), 10, &v) && v == 10);
	assert_false(str_to_u64(STR("11"), 10, &v));
	assert_true(str_to_u64((struct str){"123456", 3}, 1000, &v) && v == 123);
}

/* The table of RFC 3629 and the edges around each of its rows. */
static void utf8_table(void **state)
{
	static const struct {
		const char *bytes;
		size_t n; /* of the first character; 0: ill-formed */
	} cases[] = {
		{"a", 1},
		{"\x7F", 1},
		{"\x80", 0},
		{"\xBF", 0},
		{"\xC0\x80", 0},
		{"\xC1\xBF", 0},
		{"\xC2\x80", 2},
		{"\xDF\xBF", 2},
		{"\xC2", 0},
		{"\xC2\x7F", 0},
		{"\xC2\xC0", 0},
		{"\xE0\x80\x80", 0},
		{"\xE0\x9F\xBF", 0},
		{"\xE0\xA0\x80", 3},
		{"\xE1\x80\x80", 3},
		{"\xEC\xBF\xBF", 3},
		{"\xED\x80\x80", 3},
		{"\xED\x9F\xBF", 3},
		{"\xED\xA0\x80", 0},
		{"\xED\xBF\xBF", 0},
		{"\xEE\x80\x80", 3},
		{"\xEF\xBF\xBF", 3},
		{"\xE1\x80", 0},
		{"\xE1\x80\x7F", 0},
		{"\xE1\x80\xC0", 0},
		{"\xF0\x80\x80\x80", 0},
		{"\xF0\x8F\xBF\xBF", 0},
		{"\xF0\x90\x80\x80", 4},
		{"\xF3\xBF\xBF\xBF", 4},
		{"\xF4\x80\x80\x80", 4},
		{"\xF4\x8F\xBF\xBF", 4},
		{"\xF4\x90\x80\x80", 0},
		{"\xF5\x80\x80\x80", 0},
		{"\xF8\x88\x80\x80\x80", 0},
		{"\xFE", 0},
		{"\xFF", 0},
		{"\xF1\x80\x80", 0},
		{"\xF1\x80\x7F\x80", 0},
		{"\xF1\x80\x80\x7F", 0},
		{"\xF1\x80\x80\xC0", 0},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct str s = str_from(cases[i].bytes);
		char around[16];

		if (str_utf8_sequence(s) != cases[i].n)
			fail_msg("case %zu: %zu instead of %zu", i, str_utf8_sequence(s), cases[i].n);
		assert_int_equal(str_utf8_valid(s), cases[i].n != 0);
		/* in the middle of others */
		memcpy(around, "\xC3\xA4", 2);
		memcpy(around + 2, s.p, s.n);
		memcpy(around + 2 + s.n, "z", 1);
		s = (struct str){around, s.n + 3};
		assert_int_equal(str_utf8_valid(s), cases[i].n != 0);
		if (cases[i].n)
			assert_int_equal(str_utf8_length(s), 3);
	}
	assert_true(str_utf8_valid(STR("a\0b")));
	assert_true(str_utf8_valid(STR_NULL));
	assert_int_equal(str_utf8_sequence(STR_NULL), 0);
	assert_int_equal(str_utf8_length(STR("Zürich ☂ 🎭")), 10);
	/* the slice cuts a character */
	assert_false(str_utf8_valid((struct str){"☂", 2}));
}

/* Every 4-byte beginning, against decoding by the definition. */
static size_t sequence_by_definition(const unsigned char *p)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t n = p[0] < 0x80		   ? 1
		   : (p[0] & 0xE0) == 0xC0 ? 2
		   : (p[0] & 0xF0) == 0xE0 ? 3
		   : (p[0] & 0xF8) == 0xF0 ? 4
					   : 0;
	uint32_t code;

	if (n <= 1)
		return n;
	code = p[0] & (0x7Fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xC0) != 0x80)
			return 0;
		code = code << 6 | (p[i] & 0x3Fu);
	}
	return code < least[n] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF) ? 0 : n;
}

static void utf8_exhaustively(void **state)
{
	static const unsigned char edges[] = {0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC2, 0xFF};

	for (unsigned a = 0; a < 256; a++)
		for (unsigned b = 0; b < 256; b++)
			for (size_t c = 0; c < COUNT(edges); c++)
				for (size_t d = 0; d < COUNT(edges); d++) {
					unsigned char p[4] = {(unsigned char)a, (unsigned char)b, edges[c], edges[d]};

					if (str_utf8_sequence((struct str){(char *)p, 4}) != sequence_by_definition(p))
						fail_msg("%02x %02x %02x %02x", p[0], p[1], p[2], p[3]);
				}
}

static void hexadecimal(void **state)
{
	uint8_t all[256], back[256];
	char text[513];

	for (int i = 0; i < 256; i++)
		all[i] = (uint8_t)i;
	hex_encode(all, 256, text);
	assert_int_equal(strlen(text), 512);
	assert_memory_equal(text, "000102", 6);
	assert_string_equal(text + 506, "fdfeff");
	assert_true(hex_decode(str_from(text), back, 256));
	assert_memory_equal(all, back, 256);
	assert_true(hex_decode(STR("aBcDEf"), back, 3));
	assert_memory_equal(back, "\xab\xcd\xef", 3);
	assert_false(hex_decode(STR("abc"), back, 1));
	assert_false(hex_decode(STR("abcd"), back, 1));
	assert_false(hex_decode(STR("ab"), back, 2));
	for (int c = 0; c < 256; c++) {
		char two[2] = {'0', (char)c};
		bool digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');

		assert_int_equal(hex_decode((struct str){two, 2}, back, 1), digit);
		two[1] = '0';
		two[0] = (char)c;
		assert_int_equal(hex_decode((struct str){two, 2}, back, 1), digit);
	}
	hex_encode(all, 0, text);
	assert_string_equal(text, "");
	assert_true(hex_decode(STR_NULL, back, 0));
}

static void base64url_known(void **state)
{
	static const struct {
		const char *plain, *text;
	} cases[] = {
		/* RFC 4648 section 10, without padding */
		{"", ""},
		{"f", "Zg"},
		{"fo", "Zm8"},
		{"foo", "Zm9v"},
		{"foob", "Zm9vYg"},
		{"fooba", "Zm9vYmE"},
		{"foobar", "Zm9vYmFy"},
		{"\xfb\xef\xbe", "----"},
		{"\xff\xff\xff", "____"},
	};
	char text[BASE64URL_SIZE(6)];
	uint8_t back[6];
	size_t n;

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct str plain = str_from(cases[i].plain);

		memset(text, 'x', sizeof(text));
		n = base64url_encode(plain.p, plain.n, text);
		assert_string_equal(text, cases[i].text);
		assert_int_equal(n, strlen(text));
		assert_int_equal(n + 1, BASE64URL_SIZE(plain.n));
		assert_true(base64url_decode(str_from(cases[i].text), back, plain.n, &n));
		assert_int_equal(n, plain.n);
		assert_memory_equal(back, plain.p, n);
		/* one byte too little room */
		if (plain.n)
			assert_false(base64url_decode(str_from(cases[i].text), back, plain.n - 1, &n));
	}
}

/* One text only for every value: whoever compares texts compares values. */
static void base64url_canonical(void **state)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	static const char *const bad[] = {"Zg==", "Zm8=", "Zm9v\n", " Zg", "Z",	    "Zm9vY",
					  "Zm+v", "Zm/v", "Zh",	    "Zm9", "Zm9vYh"};
	uint8_t out[8];
	size_t n;

	for (size_t i = 0; i < COUNT(bad); i++)
		if (base64url_decode(str_from(bad[i]), out, sizeof(out), &n))
			fail_msg("\"%s\" was taken", bad[i]);
	for (int a = 0; a < 64; a++)
		for (int b = 0; b < 64; b++) {
			char two[] = {digits[a], digits[b]}, again[BASE64URL_SIZE(1)];
			bool ok = base64url_decode((struct str){two, 2}, out, 1, &n);

			assert_int_equal(ok, b % 16 == 0);
			if (!ok)
				continue;
			base64url_encode(out, n, again);
			assert_memory_equal(again, two, 2);
		}
	for (int c = 0; c < 256; c++) {
		char four[4] = {'A', 'A', (char)c, 'A'};

		assert_int_equal(base64url_decode((struct str){four, 4}, out, 3, &n), c && strchr(digits, c) != NULL);
	}
}

static void language_tags(void **state)
{
	static const char *const good[] = {"de",
					   "de-AT",
					   "zh-Hant-TW",
					   "zh-yue-HK",
					   "sl-rozaj-biske",
					   "de-CH-1996",
					   "es-419",
					   "en-a-bbb",
					   "x-whatever",
					   "x-a-b",
					   "DE-at",
					   "en-x-1",
					   "zh-cmn-Hans",
					   "de-a-bb-cc-b-dd-x-e",
					   "fil",
					   "quxwbcd",
					   "az-Arab-x-AZE-derbend",
					   "de-1901-1901",
					   "en-u-islamcal-0-ab",
					   "art-lojban"};
	static const char *const bad[] = {"",	       "d",	    "-",
					  "de-",       "-de",	    "de--AT",
					  "de_AT",     "de-A",	    "x",
					  "x-",	       "de-x",	    "de-a",
					  "de-a-x-b",  "de-a-b",    "en-abcdefghi",
					  "1e",	       "de-419-AT", "de-AT-Latn",
					  "d\xC3\xA9", "abcdefghi", "de AT",
					  "de-AT ",    "en-a-bbb-", "zh-aaa-bbb-ccc-ddd",
					  "i-klingon", "*",	    "de;q=1"};

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		if (!str_is_language_tag(str_from(good[i])))
			fail_msg("\"%s\" was refused", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (str_is_language_tag(str_from(bad[i])))
			fail_msg("\"%s\" was taken", bad[i]);
	assert_false(str_is_language_tag((struct str){"de\0AT", 5}));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comparing),	     cmocka_unit_test(trimming_and_splitting),
		cmocka_unit_test(numbers),	     cmocka_unit_test(utf8_table),
		cmocka_unit_test(utf8_exhaustively), cmocka_unit_test(hexadecimal),
		cmocka_unit_test(base64url_known),   cmocka_unit_test(base64url_canonical),
		cmocka_unit_test(language_tags),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
