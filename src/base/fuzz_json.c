/*
 * json_read on anything, then: what was taken is written again by our writer and must read back equal and within the
 * depth that was asked for; the getters of json_in run over every member; whatever goes into an answer is UTF-8.
 */
#include "base/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
	if (!ok)
		abort();
}

static int larger(int a, int b)
{
	return a > b ? a : b;
}

static int depth_of(const json_t *j)
{
	json_t *v;
	const char *key;
	size_t i;
	int deepest = 0;

	if (json_is_object(j))
		json_object_foreach((json_t *)(uintptr_t)j, key, v)
			deepest = larger(deepest, depth_of(v));
	else if (json_is_array(j))
		json_array_foreach(j, i, v)
			deepest = larger(deepest, depth_of(v));
	else
		return 0;
	return deepest + 1;
}

static void dump(struct jw *w, const json_t *j)
{
	json_t *v;
	const char *key;
	size_t i;

	switch (json_typeof(j)) {
	case JSON_OBJECT:
		jw_obj(w);
		json_object_foreach((json_t *)(uintptr_t)j, key, v) {
			jw_key(w, key);
			dump(w, v);
		}
		jw_obj_end(w);
		break;
	case JSON_ARRAY:
		jw_arr(w);
		json_array_foreach(j, i, v)
			dump(w, v);
		jw_arr_end(w);
		break;
	case JSON_STRING:
		check(str_utf8_valid((struct str){json_string_value(j), json_string_length(j)}));
		jw_str(w, (struct str){json_string_value(j), json_string_length(j)});
		break;
	case JSON_INTEGER:
		jw_int(w, json_integer_value(j));
		break;
	case JSON_REAL:
		check(isfinite(json_real_value(j)));
		jw_real(w, json_real_value(j));
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		jw_bool(w, json_is_true(j));
		break;
	case JSON_NULL:
		jw_null(w);
		break;
	}
}

/* Equal as values: a whole real is written without a point and comes back as an integer, or not at all when it is too large
 * for one. */
static bool same(const json_t *a, const json_t *b)
{
	json_t *v;
	const char *key;
	size_t i;

	if (json_is_number(a))
		return json_is_number(b) && json_number_value(a) == json_number_value(b);
	if (json_is_object(a)) {
		if (!json_is_object(b) || json_object_size(a) != json_object_size(b))
			return false;
		json_object_foreach((json_t *)(uintptr_t)a, key, v)
			if (!json_object_get(b, key) || !same(v, json_object_get(b, key)))
				return false;
		return true;
	}
	if (json_is_array(a)) {
		if (!json_is_array(b) || json_array_size(a) != json_array_size(b))
			return false;
		json_array_foreach(a, i, v)
			if (!same(v, json_array_get(b, i)))
				return false;
		return true;
	}
	return json_equal(a, b);
}

static void check_error(const struct error *e)
{
	check(str_utf8_valid(str_from(e->path)) && str_utf8_valid(str_from(e->detail)));
	check(e->path[0] == '\0' || e->path[0] == '/');
	check(e->code == ERR_INVALID_REQUEST || e->code == ERR_INVALID_VALUE);
}

/* kind by kind over one member: a fault has a path, no fault has a value in its range. */
static void get(const json_t *object, const char *name, int kind)
{
	struct error e = {0};
	struct json_in in, child;
	struct money money;
	struct uuid id;
	struct str s;
	int64_t n;

	json_in_init(&in, object, "/deep/er", &e);
	switch (kind) {
	case 0:
		s = json_in_str(&in, name, JSON_REQUIRED, 1, 40);
		check((s.n > 0) == (e.code == ERR_NONE) && s.n <= 160 && !(s.n && memchr(s.p, '\n', s.n)));
		break;
	case 1:
		n = json_in_i64(&in, name, JSON_OPTIONAL, -5, 1000, 5);
		check(n >= -5 && n <= 1000);
		break;
	case 2:
		json_in_bool(&in, name, JSON_OPTIONAL, false);
		break;
	case 3:
		check(json_in_uuid(&in, name, JSON_REQUIRED, &id) == (e.code == ERR_NONE));
		check(e.code == ERR_NONE || uuid_is_zero(&id));
		break;
	case 4:
		check(json_in_time(&in, name, JSON_REQUIRED, &n) == (e.code == ERR_NONE));
		check(n >= 0);
		break;
	case 5:
		if (json_in_money(&in, name, JSON_REQUIRED, &money))
			check(money.currency && money.amount_minor >= 0 && money.amount_minor <= MONEY_MAX_MINOR);
		else
			check(e.code != ERR_NONE && !money.currency);
		break;
	case 6:
		json_in_array(&in, name, JSON_OPTIONAL, 1, 3);
		break;
	case 7:
		if (json_in_object(&in, name, JSON_OPTIONAL, &child)) {
			json_in_text(&child, "a", JSON_OPTIONAL, 0, 10);
			json_in_end(&child);
		}
		break;
	default:
		break;
	}
	check(json_in_end(&in) == (e.code == ERR_NONE));
	if (e.code != ERR_NONE) {
		check_error(&e);
		check(strncmp(e.path, "/deep/er", 8) == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum { DEPTH = 20 };
	struct error e = {0};
	json_t *j = json_read((struct str){(const char *)data, size}, DEPTH, &e), *again, *v;
	const char *key;
	struct buf out;
	struct jw w;

	if (!j) {
		check_error(&e);
		return 0;
	}
	check(e.code == ERR_NONE && depth_of(j) <= DEPTH);
	buf_init(&out, 64 * size + 1000);
	jw_init(&w, &out);
	dump(&w, j);
	check(jw_done(&w));
	again = json_read(buf_str(&out), DEPTH, &e);
	check(again && same(j, again));
	json_decref(again);
	buf_done(&out);
	if (json_is_object(j))
		json_object_foreach(j, key, v)
			for (int kind = 0; kind < 8; kind++)
				get(j, key, kind);
	json_decref(j);
	return 0;
}
