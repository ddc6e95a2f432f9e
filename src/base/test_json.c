/* What is refused on the way in and where the answer points; that what goes out is JSON. */
#include "base/json.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static json_t *read_ok(const char *text)
{
	struct error e = {0};
	json_t *j = json_read(str_from(text), JSON_DEPTH_DEFAULT, &e);

	if (!j)
		fail_msg("%s: %s", text, e.detail);
	return j;
}

static void reading(void **state)
{
	static const char *const good[] = {
		"{}",
		" [1, 2.5, -3e2, \"x\", true, false, null] ",
		"\"text\"",
		"17",
		"null",
		"{\"a\":{\"a\":1}}",
		"9223372036854775807",
		"-9223372036854775808",
		"1e308",
		"\"\\ud83c\\udfad\"",
		"\"\xF0\x9F\x8E\xAD\"",
		"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
		"\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"",
		"[\"\\\\\",\"\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"]",
		/* many, but not deep */
		("[[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[]"
		 ",[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[]]"),
	};
	static const char *const bad[] = {
		"",
		" ",
		"{",
		"}",
		"[1,]",
		"{\"a\":1,}",
		"{a:1}",
		"{'a':1}",
		"[1 2]",
		"01",
		"+1",
		".5",
		"1.",
		"0x10",
		"NaN",
		"Infinity",
		"-",
		"tru",
		"True",
		"//x\n1",
		"[1] x",
		"[1][2]",
		"\xEF\xBB\xBF{}",
		"{\"a\":1,\"a\":2}",
		"{\"a\":1,\"\\u0061\":2}",
		"{\"b\":{\"a\":1,\"a\":1}}",
		"\"\\u0000\"",
		"{\"\\u0000\":1}",
		"{\"a\\u0000b\":1}",
		"1e999",
		"-1e999",
		"9223372036854775808",
		"-9223372036854775809",
		"123456789012345678901234567890",
		"\"\xFF\"",
		"\"\xC0\x80\"",
		"\"\xED\xA0\x80\"",
		"\"\xF4\x90\x80\x80\"",
		"\"\xE2\x82\"",
		"{\"\xFF\":1}",
		"\"\\ud83c\"",
		"\"\\udfad\"",
		"\"\\ud83cx\"",
		"\"\\x\"",
		"\"\\u12\"",
		"\"a\nb\"",
		"\"a\tb\"",
		"\"abc",
		"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
		"{\"\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}",
	};

	for (size_t i = 0; i < COUNT(good); i++)
		json_decref(read_ok(good[i]));
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct error e = {0};
		json_t *j = json_read(str_from(bad[i]), JSON_DEPTH_DEFAULT, &e);

		if (j)
			fail_msg("%s was taken", bad[i]);
		assert_int_equal(e.code, ERR_INVALID_REQUEST);
		assert_string_equal(e.path, "");
		assert_true(e.detail[0] != '\0');
		/* the sentence goes into an answer */
		assert_true(str_utf8_valid(str_from(e.detail)));
	}
}

static void nul_bytes(void **state)
{
	static const struct {
		const char *text;
		size_t n;
	} bad[] = {{"\0", 1}, {"{}\0", 3}, {"\"a\0b\"", 5}, {"[1\0]", 4}, {"1\0002", 3}};

	for (size_t i = 0; i < COUNT(bad); i++) {
		struct error e = {0};

		assert_null(json_read((struct str){bad[i].text, bad[i].n}, 32, &e));
		assert_int_equal(e.code, ERR_INVALID_REQUEST);
	}
}

/* The cap is ours and holds at any size; the slice ends where it says. */
static void depth(void **state)
{
	enum { N = 1 << 20 };
	char *text = malloc(N);
	struct error e = {0};
	json_t *j;

	assert_non_null(text);
	memset(text, '[', N);
	assert_null(json_read((struct str){text, N}, 2000, &e));
	assert_non_null(strstr(e.detail, "2000"));
	for (size_t i = 0; i < N; i += 5)
		memcpy(text + i, "{\"a\":", N - i < 5 ? N - i : 5);
	memset(&e, 0, sizeof(e));
	assert_null(json_read((struct str){text, N}, 50, &e));
	assert_non_null(strstr(e.detail, "50"));
	memset(&e, 0, sizeof(e));
	j = json_read((struct str){"[[]]]]]", 4}, 2, &e);
	assert_non_null(j);
	json_decref(j);
	assert_null(json_read((struct str){"[[]]", 4}, 1, &e));
	memset(&e, 0, sizeof(e));
	j = json_read(STR("5"), 0, &e);
	assert_non_null(j);
	json_decref(j);
	free(text);
}

static void pointers(void **state)
{
	char out[ERROR_PATH_MAX], again[ERROR_PATH_MAX], name[600];

	json_pointer(out, "", "a");
	assert_string_equal(out, "/a");
	json_pointer(out, "/a", "b~c/d~1");
	assert_string_equal(out, "/a/b~0c~1d~01");
	json_pointer(out, "", "");
	assert_string_equal(out, "/");
	json_pointer_index(out, "/seats", 0);
	assert_string_equal(out, "/seats/0");
	json_pointer_index(out, "", SIZE_MAX);
	assert_string_equal(out, "/18446744073709551615");
	/* all that fits, and not one character more */
	memset(name, 'n', sizeof(name));
	for (size_t n = 240; n < 600; n++) {
		name[n - 1] = 'n';
		name[n] = '\0';
		json_pointer(out, "", name);
		if (n + 1 <= 252) {
			assert_int_equal(strlen(out), n + 1);
			assert_string_equal(out + 1, name);
		} else {
			assert_true(strlen(out) < ERROR_PATH_MAX);
			assert_string_equal(out + strlen(out) - 4, "n...");
		}
		name[n] = 'n';
		if (n + 1 == 600)
			break;
	}
	/* an escape is not cut in two, nor is a character of two, three or four bytes, at whatever place the end falls */
	for (size_t shift = 0; shift < 8; shift++) {
		static const char *const units[] = {"~", "/", "ä", "☂", "🎭"};

		for (size_t u = 0; u < COUNT(units); u++) {
			size_t n = shift, len = strlen(units[u]);

			memset(name, 'x', shift);
			while (n + len < sizeof(name) - 1) {
				memcpy(name + n, units[u], len);
				n += len;
			}
			name[n] = '\0';
			json_pointer(out, "", name);
			assert_true(str_utf8_valid(str_from(out)));
			assert_in_range(strlen(out), 245, ERROR_PATH_MAX - 1);
			assert_string_equal(out + strlen(out) - 3, "...");
			assert_int_not_equal(out[strlen(out) - 4], '~');
			/* below a path that is full already */
			json_pointer(again, out, "deeper");
			assert_true(str_utf8_valid(str_from(again)));
			assert_string_equal(again + strlen(again) - 3, "...");
			json_pointer_index(again, out, 123456);
			assert_true(str_utf8_valid(str_from(again)));
			assert_in_range(strlen(again), 245, ERROR_PATH_MAX - 1);
		}
	}
	/* a parent longer than any that we make */
	json_pointer(out, name, "x");
	assert_true(strlen(out) < ERROR_PATH_MAX);
}

struct fixture {
	json_t *j;
	struct error e;
	struct json_in in;
};

static void open_object(struct fixture *f, const char *text)
{
	memset(f, 0, sizeof(*f));
	f->j = read_ok(text);
	json_in_init(&f->in, f->j, "", &f->e);
}

static void close_object(struct fixture *f)
{
	json_decref(f->j);
}

static void every_getter(void **state)
{
	struct fixture f;
	struct json_in child, absent;
	struct money price;
	struct uuid id;
	const json_t *seats;
	int64_t at;

	open_object(&f, "{\"name\":\"Zoë\",\"note\":\"a\\n\\tb\",\"n\":-5,\"yes\":true,\"no\":false,"
			"\"id\":\"017f22e2-79b0-7cc3-98c4-dc0c0c07398f\",\"at\":\"2026-11-23T18:30:00Z\","
			"\"price\":{\"amount\":4500,\"currency\":\"EUR\"},\"seats\":[\"A\",\"B\"],"
			"\"buyer\":{\"email\":\"a@b\"},\"nothing\":null}");
	assert_true(str_eqc(json_in_str(&f.in, "name", JSON_REQUIRED, 3, 3), "Zoë"));
	assert_true(str_eqc(json_in_text(&f.in, "note", JSON_REQUIRED, 4, 4), "a\n\tb"));
	assert_int_equal(json_in_i64(&f.in, "n", JSON_REQUIRED, -5, -5, 0), -5);
	assert_true(json_in_bool(&f.in, "yes", JSON_REQUIRED, false));
	assert_false(json_in_bool(&f.in, "no", JSON_REQUIRED, true));
	assert_true(json_in_uuid(&f.in, "id", JSON_REQUIRED, &id));
	assert_int_equal(id.b[0], 0x01);
	assert_int_equal(id.b[15], 0x8f);
	assert_true(json_in_time(&f.in, "at", JSON_REQUIRED, &at));
	assert_int_equal(at, INT64_C(1795458600000000));
	assert_true(json_in_money(&f.in, "price", JSON_REQUIRED, &price));
	assert_int_equal(price.amount_minor, 4500);
	assert_string_equal(price.currency->code, "EUR");
	seats = json_in_array(&f.in, "seats", JSON_REQUIRED, 2, 2);
	assert_int_equal(json_array_size(seats), 2);
	assert_true(json_in_object(&f.in, "buyer", JSON_REQUIRED, &child));
	assert_true(str_eqc(json_in_str(&child, "email", JSON_REQUIRED, 1, 9), "a@b"));
	assert_true(json_in_end(&child));
	/* null is absent where absence is allowed; so is what is not there */
	assert_true(json_in_str(&f.in, "nothing", JSON_OPTIONAL, 1, 9).n == 0);
	assert_non_null(json_in_str(&f.in, "missing", JSON_OPTIONAL, 1, 9).p);
	assert_int_equal(json_in_i64(&f.in, "missing", JSON_OPTIONAL, 1, 2, 99), 99);
	assert_true(json_in_bool(&f.in, "missing", JSON_OPTIONAL, true));
	assert_false(json_in_uuid(&f.in, "missing", JSON_OPTIONAL, &id));
	assert_true(uuid_is_zero(&id));
	assert_false(json_in_time(&f.in, "missing", JSON_OPTIONAL, &at));
	assert_false(json_in_money(&f.in, "missing", JSON_OPTIONAL, &price));
	assert_null(json_in_array(&f.in, "missing", JSON_OPTIONAL, 1, 2));
	assert_false(json_in_object(&f.in, "missing", JSON_OPTIONAL, &absent));
	assert_true(json_in_str(&absent, "x", JSON_REQUIRED, 1, 1).n == 0);
	assert_true(json_in_end(&absent));
	assert_true(json_in_end(&f.in));
	assert_int_equal(f.e.code, ERR_NONE);
	close_object(&f);
}

enum kind { STRING, TEXT, INT, BOOL, UUID, TIME, MONEY, ARRAY, OBJECT };

/* One member "x~y" read as one kind: the fault expected and the path it names. */
static void one_fault_at_a_time(void **state)
{
	static const struct {
		const char *value; /* NULL: absent */
		enum kind kind;
		enum err code;
		const char *path;
	} cases[] = {
		{NULL, STRING, ERR_INVALID_REQUEST, "/x~0y"},
		{"null", STRING, ERR_INVALID_REQUEST, "/x~0y"},
		{"5", STRING, ERR_INVALID_REQUEST, "/x~0y"},
		{"[]", STRING, ERR_INVALID_REQUEST, "/x~0y"},
		{"\"a\"", STRING, ERR_INVALID_VALUE, "/x~0y"},
		{"\"abcdef\"", STRING, ERR_INVALID_VALUE, "/x~0y"},
		{"\"äö☂🎭ü\"", STRING, ERR_NONE, ""},
		{"\"äö☂🎭üß\"", STRING, ERR_INVALID_VALUE, "/x~0y"},
		{"\"a\\nb\"", STRING, ERR_INVALID_VALUE, "/x~0y"},
		{"\"a\\tb\"", STRING, ERR_INVALID_VALUE, "/x~0y"},
		{"\"a\\rb\"", STRING, ERR_INVALID_VALUE, "/x~0y"},
		{"\"a\\u0001\"", STRING, ERR_INVALID_VALUE, "/x~0y"},
		{"\"a\\u001f\"", STRING, ERR_INVALID_VALUE, "/x~0y"},
		{"\"a\\u0020\"", STRING, ERR_NONE, ""},
		{"\"a\\u007f\"", STRING, ERR_INVALID_VALUE, "/x~0y"},
		{"\"a\\u0080\"", STRING, ERR_INVALID_VALUE, "/x~0y"},
		{"\"a\\u009f\"", STRING, ERR_INVALID_VALUE, "/x~0y"},
		{"\"a\\u00a0\"", STRING, ERR_NONE, ""},
		{"\"a\\n\\tb\"", TEXT, ERR_NONE, ""},
		{"\"a\\rb\"", TEXT, ERR_INVALID_VALUE, "/x~0y"},
		{"\"a\\u001bb\"", TEXT, ERR_INVALID_VALUE, "/x~0y"},
		{"1", INT, ERR_INVALID_VALUE, "/x~0y"},
		{"2", INT, ERR_NONE, ""},
		{"5", INT, ERR_NONE, ""},
		{"6", INT, ERR_INVALID_VALUE, "/x~0y"},
		{"3.0", INT, ERR_INVALID_REQUEST, "/x~0y"},
		{"\"3\"", INT, ERR_INVALID_REQUEST, "/x~0y"},
		{"true", INT, ERR_INVALID_REQUEST, "/x~0y"},
		{"-9223372036854775808", INT, ERR_INVALID_VALUE, "/x~0y"},
		{"1", BOOL, ERR_INVALID_REQUEST, "/x~0y"},
		{"\"true\"", BOOL, ERR_INVALID_REQUEST, "/x~0y"},
		{"\"017f22e2-79b0-7cc3-98c4-dc0c0c07398\"", UUID, ERR_INVALID_REQUEST, "/x~0y"},
		{"17", UUID, ERR_INVALID_REQUEST, "/x~0y"},
		{"\"tomorrow\"", TIME, ERR_INVALID_REQUEST, "/x~0y"},
		{"1795458600", TIME, ERR_INVALID_REQUEST, "/x~0y"},
		{"{}", ARRAY, ERR_INVALID_REQUEST, "/x~0y"},
		{"[1]", ARRAY, ERR_INVALID_VALUE, "/x~0y"},
		{"[1,2]", ARRAY, ERR_NONE, ""},
		{"[1,2,3,4,5]", ARRAY, ERR_NONE, ""},
		{"[1,2,3,4,5,6]", ARRAY, ERR_INVALID_VALUE, "/x~0y"},
		{"[]", OBJECT, ERR_INVALID_REQUEST, "/x~0y"},
		{"{}", OBJECT, ERR_NONE, ""},
		{"{\"a/b\":1}", OBJECT, ERR_INVALID_REQUEST, "/x~0y/a~1b"},
		{"4500", MONEY, ERR_INVALID_REQUEST, "/x~0y"},
		{"{}", MONEY, ERR_INVALID_REQUEST, "/x~0y/amount"},
		{"{\"amount\":4500}", MONEY, ERR_INVALID_REQUEST, "/x~0y/currency"},
		{"{\"amount\":45.5,\"currency\":\"EUR\"}", MONEY, ERR_INVALID_REQUEST, "/x~0y/amount"},
		{"{\"amount\":\"4500\",\"currency\":\"EUR\"}", MONEY, ERR_INVALID_REQUEST, "/x~0y/amount"},
		{"{\"amount\":-1,\"currency\":\"EUR\"}", MONEY, ERR_INVALID_VALUE, "/x~0y/amount"},
		{"{\"amount\":0,\"currency\":\"EUR\"}", MONEY, ERR_NONE, ""},
		{"{\"amount\":49,\"currency\":\"EUR\"}", MONEY, ERR_INVALID_VALUE, "/x~0y/amount"},
		{"{\"amount\":50,\"currency\":\"EUR\"}", MONEY, ERR_NONE, ""},
		{"{\"amount\":99999999,\"currency\":\"EUR\"}", MONEY, ERR_NONE, ""},
		{"{\"amount\":100000000,\"currency\":\"EUR\"}", MONEY, ERR_INVALID_VALUE, "/x~0y/amount"},
		{"{\"amount\":1005,\"currency\":\"KWD\"}", MONEY, ERR_INVALID_VALUE, "/x~0y/amount"},
		{"{\"amount\":1010,\"currency\":\"KWD\"}", MONEY, ERR_NONE, ""},
		{"{\"amount\":4500,\"currency\":\"eur\"}", MONEY, ERR_INVALID_VALUE, "/x~0y/currency"},
		{"{\"amount\":4500,\"currency\":\"EURO\"}", MONEY, ERR_INVALID_VALUE, "/x~0y/currency"},
		{"{\"amount\":4500,\"currency\":\"EUR\",\"tax\":1}", MONEY, ERR_INVALID_REQUEST, "/x~0y/tax"},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		char text[200];
		struct fixture f;
		struct json_in child;
		struct money money;
		struct uuid id;
		int64_t at;
		bool empty = true;

		snprintf(text, sizeof(text), "{%s%s}", cases[i].value ? "\"x~y\":" : "",
			 cases[i].value ? cases[i].value : "");
		open_object(&f, text);
		switch (cases[i].kind) {
		case STRING:
			empty = json_in_str(&f.in, "x~y", JSON_REQUIRED, 2, 5).n == 0;
			break;
		case TEXT:
			empty = json_in_text(&f.in, "x~y", JSON_REQUIRED, 2, 5).n == 0;
			break;
		case INT:
			empty = json_in_i64(&f.in, "x~y", JSON_REQUIRED, 2, 5, 77) == 77;
			break;
		case BOOL:
			empty = json_in_bool(&f.in, "x~y", JSON_REQUIRED, true);
			break;
		case UUID:
			empty = !json_in_uuid(&f.in, "x~y", JSON_REQUIRED, &id) && uuid_is_zero(&id);
			break;
		case TIME:
			empty = !json_in_time(&f.in, "x~y", JSON_REQUIRED, &at) && at == 0;
			break;
		case MONEY:
			empty = !json_in_money(&f.in, "x~y", JSON_REQUIRED, &money) && !money.currency &&
				!money.amount_minor;
			break;
		case ARRAY:
			empty = !json_in_array(&f.in, "x~y", JSON_REQUIRED, 2, 5);
			break;
		case OBJECT:
			empty = !json_in_object(&f.in, "x~y", JSON_REQUIRED, &child) || !json_in_end(&child);
			break;
		}
		if (f.e.code != cases[i].code || strcmp(f.e.path, cases[i].path) != 0)
			fail_msg("%s: %s at \"%s\" (%s)", text, err_info(f.e.code)->code, f.e.path, f.e.detail);
		assert_int_equal(empty, cases[i].code != ERR_NONE);
		assert_int_equal(json_in_end(&f.in), cases[i].code == ERR_NONE);
		close_object(&f);
	}
}

static void the_first_fault_stays(void **state)
{
	struct fixture f;
	struct json_in child;

	open_object(&f, "{\"a\":1,\"b\":2,\"c\":3,\"o\":{\"z\":1}}");
	json_in_str(&f.in, "a", JSON_REQUIRED, 1, 9);
	assert_string_equal(f.e.path, "/a");
	/* afterwards everything is empty, also what would have been right */
	assert_int_equal(json_in_i64(&f.in, "b", JSON_REQUIRED, 0, 9, -1), -1);
	assert_false(json_in_object(&f.in, "o", JSON_REQUIRED, &child));
	assert_null(json_in_value(&child, "z", JSON_REQUIRED));
	json_in_fault(&f.in, ERR_INVALID_VALUE, "c", "later");
	assert_false(json_in_end(&child));
	assert_false(json_in_end(&f.in));
	assert_string_equal(f.e.path, "/a");
	assert_int_equal(f.e.code, ERR_INVALID_REQUEST);
	close_object(&f);
}

static void members_nobody_asked_for(void **state)
{
	char text[400], *p;
	struct fixture f;

	open_object(&f, "{\"a\":1,\"seatz\":[]}");
	json_in_i64(&f.in, "a", JSON_REQUIRED, 0, 9, 0);
	json_in_array(&f.in, "seats", JSON_OPTIONAL, 0, 9);
	assert_false(json_in_end(&f.in));
	assert_int_equal(f.e.code, ERR_INVALID_REQUEST);
	assert_string_equal(f.e.path, "/seatz");
	assert_non_null(strstr(f.e.detail, "seatz"));
	close_object(&f);
	/* a long name is quoted in part: what is quoted stays well-formed wherever the cut falls */
	for (size_t shift = 0; shift < 4; shift++) {
		p = text + snprintf(text, sizeof(text), "{\"%.*s", (int)shift, "xxx");
		for (int i = 0; i < 80; i++, p += 3)
			memcpy(p, "☂", 3);
		memcpy(p, "\":1}", 5);
		open_object(&f, text);
		assert_false(json_in_end(&f.in));
		assert_true(str_utf8_valid(str_from(f.e.detail)));
		assert_true(str_utf8_valid(str_from(f.e.path)));
		close_object(&f);
	}
}

static void not_an_object(void **state)
{
	struct error e = {0};
	struct json_in in;
	json_t *j = read_ok("[1]");

	json_in_init(&in, j, "/buyer", &e);
	assert_int_equal(e.code, ERR_INVALID_REQUEST);
	assert_string_equal(e.path, "/buyer");
	assert_null(json_in_value(&in, "a", JSON_REQUIRED));
	assert_false(json_in_end(&in));
	memset(&e, 0, sizeof(e));
	json_in_init(&in, NULL, "", &e);
	assert_false(json_in_end(&in));
	json_decref(j);
}

static void long_sentences(void **state)
{
	char big[1000];
	struct error e = {0};

	/* three bytes each, so that one of three cuts falls inside */
	for (size_t shift = 0; shift < 3; shift++) {
		memset(big, 'x', shift);
		for (size_t i = shift; i < sizeof(big) - 1; i++)
			big[i] = "☂"[(i - shift) % 3];
		big[sizeof(big) - 1] = '\0';
		memset(&e, 0, sizeof(e));
		assert_false(error_set(&e, ERR_INVALID_VALUE, big, "%s", big));
		assert_int_equal(strlen(e.detail), ERROR_DETAIL_MAX - 1);
		assert_int_equal(strlen(e.path), ERROR_PATH_MAX - 1);
		assert_string_equal(e.detail + ERROR_DETAIL_MAX - 4, "...");
		assert_string_equal(e.path + ERROR_PATH_MAX - 4, "...");
		assert_true(str_utf8_valid(str_from(e.detail)));
		assert_true(str_utf8_valid(str_from(e.path)));
	}
	assert_false(error_set(&e, ERR_INTERNAL, NULL, "second"));
	assert_int_equal(e.code, ERR_INVALID_VALUE);
	memset(&e, 0, sizeof(e));
	error_set(&e, ERR_INTERNAL, NULL, "a\xFFz");
	assert_string_equal(e.path, "");
	assert_string_equal(e.detail, "a?z");
}

static void writing(void **state)
{
	struct uuid id = {
		.b = {0x01, 0x7f, 0x22, 0xe2, 0x79, 0xb0, 0x7c, 0xc3, 0x98, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39, 0x8f}};
	struct buf b;
	struct jw w;

	buf_init(&b, 10000);
	jw_init(&w, &b);
	jw_obj(&w);
	jw_kcstr(&w, "s", "a\"b\\c\n\x01\x1f/é🎭\x7f");
	jw_kstr(&w, "empty", STR_NULL);
	jw_kstr(&w, "part", (struct str){"abc", 2});
	jw_kint(&w, "min", INT64_MIN);
	jw_kbool(&w, "t", true);
	jw_kbool(&w, "f", false);
	jw_kuuid(&w, "id", &id);
	jw_ktime(&w, "at", INT64_C(1795458600000000));
	jw_kmoney(&w, "price", 4500, "EUR");
	jw_keystr(&w, STR("k\"\n"));
	jw_arr(&w);
	jw_arr(&w);
	jw_arr_end(&w);
	jw_obj(&w);
	jw_obj_end(&w);
	jw_null(&w);
	jw_raw(&w, STR("[1,2]"));
	jw_int(&w, 0);
	jw_real(&w, 0.5);
	jw_str(&w, STR(""));
	jw_arr_end(&w);
	jw_key(&w, "last");
	jw_obj(&w);
	jw_obj_end(&w);
	jw_obj_end(&w);
	assert_true(jw_done(&w));
	assert_string_equal(b.p, "{\"s\":\"a\\\"b\\\\c\\n\\u0001\\u001f/é🎭\x7f\",\"empty\":\"\",\"part\":\"ab\","
				 "\"min\":-9223372036854775808,\"t\":true,\"f\":false,"
				 "\"id\":\"017f22e2-79b0-7cc3-98c4-dc0c0c07398f\",\"at\":\"2026-11-23T18:30:00Z\","
				 "\"price\":{\"amount\":4500,\"currency\":\"EUR\"},"
				 "\"k\\\"\\n\":[[],{},null,[1,2],0,0.5,\"\"],\"last\":{}}");
	json_decref(read_ok(b.p));
	buf_done(&b);
}

/* Every byte that can stand in a string comes back as it went. */
static void strings_come_back(void **state)
{
	struct buf b;
	struct jw w;
	char text[3];
	json_t *j;

	buf_init(&b, 100);
	for (int c = 1; c < 128; c++) {
		text[0] = 'a';
		text[1] = (char)c;
		text[2] = 'z';
		buf_reset(&b);
		jw_init(&w, &b);
		jw_str(&w, (struct str){text, 3});
		assert_true(jw_done(&w));
		j = read_ok(b.p);
		assert_int_equal(json_string_length(j), 3);
		assert_memory_equal(json_string_value(j), text, 3);
		json_decref(j);
	}
	buf_done(&b);
}

static void reals_come_back(void **state)
{
	static const double values[] = {0.0,
					-0.0,
					0.1,
					0.5,
					1.0,
					-1.5,
					100.0,
					1e21,
					1e-7,
					1.0 / 3,
					2.0 / 3,
					123456.789,
					1234567.125,
					DBL_MAX,
					-DBL_MAX,
					DBL_MIN,
					DBL_TRUE_MIN,
					5e-324,
					9007199254740993.0,
					0.30000000000000004};
	static const struct {
		double v;
		const char *text;
	} shortest[] = {{0.1, "0.1"},	  {0.5, "0.5"},
			{100, "100"},	  {1234567.125, "1234567.125"},
			{-2.25, "-2.25"}, {0.30000000000000004, "0.30000000000000004"},
			{0, "0"}};
	uint64_t x = 88172645463325252u;
	struct buf b;
	struct jw w;

	buf_init(&b, 100);
	for (size_t i = 0; i < COUNT(values) + 20000; i++) {
		double v = 0, back;
		json_t *j;

		if (i < COUNT(values)) {
			v = values[i];
		} else {
			do { /* xorshift: any bits that are a finite number */
				x ^= x << 13;
				x ^= x >> 7;
				x ^= x << 17;
				memcpy(&v, &x, sizeof(v));
			} while (!isfinite(v));
		}
		buf_reset(&b);
		jw_init(&w, &b);
		jw_real(&w, v);
		j = read_ok(b.p);
		back = json_number_value(j);
		if (back != v)
			fail_msg("%.17g was written as %s", v, b.p);
		json_decref(j);
	}
	for (size_t i = 0; i < COUNT(shortest); i++) {
		buf_reset(&b);
		jw_init(&w, &b);
		jw_real(&w, shortest[i].v);
		assert_string_equal(b.p, shortest[i].text);
	}
	buf_done(&b);
}

static void past_the_maximum(void **state)
{
	for (size_t max = 0; max < 20; max++) {
		struct buf b;
		struct jw w;

		buf_init(&b, max);
		jw_init(&w, &b);
		jw_obj(&w);
		jw_kcstr(&w, "abc", "d\"fgh"); /* {"abc":"d\"fgh"} is 16 bytes */
		jw_obj_end(&w);
		assert_int_equal(jw_done(&w), max >= 16);
		assert_true(b.n <= max);
		buf_done(&b);
	}
}

static void leave_open(struct jw *w)
{
	jw_obj(w);
	jw_done(w);
}

static void close_twice(struct jw *w)
{
	jw_arr(w);
	jw_arr_end(w);
	jw_arr_end(w);
}

static void key_without_value(struct jw *w)
{
	jw_obj(w);
	jw_key(w, "a");
	jw_obj_end(w);
}

static void key_after_key(struct jw *w)
{
	jw_obj(w);
	jw_key(w, "a");
	jw_key(w, "b");
}

static void infinite(struct jw *w)
{
	jw_real(w, INFINITY);
}

static void too_deep(struct jw *w)
{
	for (int i = 0; i < 100; i++)
		jw_arr(w);
}

/* Bugs of ours abort at once instead of sending what is not JSON. */
static void misuse_aborts(void **state)
{
	static void (*const misuses[])(struct jw *) = {leave_open,    close_twice, key_without_value,
						       key_after_key, infinite,	   too_deep};

	for (size_t i = 0; i < COUNT(misuses); i++) {
		pid_t pid = fork();
		int status;

		assert_true(pid >= 0);
		if (pid == 0) {
			struct buf b;
			struct jw w;

			signal(SIGABRT, SIG_DFL);
			if (!freopen("/dev/null", "w", stderr))
				_exit(1);
			buf_init(&b, 1000);
			jw_init(&w, &b);
			misuses[i](&w);
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
			fail_msg("misuse %zu went through", i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reading),
		cmocka_unit_test(nul_bytes),
		cmocka_unit_test(depth),
		cmocka_unit_test(pointers),
		cmocka_unit_test(every_getter),
		cmocka_unit_test(one_fault_at_a_time),
		cmocka_unit_test(the_first_fault_stays),
		cmocka_unit_test(members_nobody_asked_for),
		cmocka_unit_test(not_an_object),
		cmocka_unit_test(long_sentences),
		cmocka_unit_test(writing),
		cmocka_unit_test(strings_come_back),
		cmocka_unit_test(reals_come_back),
		cmocka_unit_test(past_the_maximum),
		cmocka_unit_test(misuse_aborts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
