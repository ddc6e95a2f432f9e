#include "base/json.h"

#include "base/times.h"
#include "base/xmalloc.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* jansson's own limit is fixed at 2048 levels of C stack; ours is checked before it starts. */
static bool depth_within(struct str text, int max)
{
	bool quoted = false;
	int depth = 0;

	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];

		if (quoted) {
			if (c == '\\')
				i++;
			else if (c == '"')
				quoted = false;
		} else if (c == '"') {
			quoted = true;
		} else if (c == '{' || c == '[') {
			if (++depth > max)
				return false;
		} else if (c == '}' || c == ']') {
			depth--;
		}
	}
	return true;
}

void json_setup(void)
{
	json_object_seed(0); /* before there are threads */
	json_set_alloc_funcs(xmalloc, free);
}

json_t *json_read(struct str text, int max_depth, struct error *ret_error)
{
	json_error_t e;
	json_t *j;

	if (text.n == 0) {
		error_set(ret_error, ERR_INVALID_REQUEST, "", "The body is empty; JSON was expected.");
		return NULL;
	}
	/* jansson overlooks one after a number */
	if (memchr(text.p, '\0', text.n)) {
		error_set(ret_error, ERR_INVALID_REQUEST, "", "Not well-formed JSON: it contains a NUL byte.");
		return NULL;
	}
	if (!depth_within(text, max_depth)) {
		error_set(ret_error, ERR_INVALID_REQUEST, "", "The JSON is nested more than %d levels deep.",
			  max_depth);
		return NULL;
	}
	j = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
	if (!j)
		error_set(ret_error, ERR_INVALID_REQUEST, "", "Not well-formed JSON: %s (line %d, column %d).", e.text,
			  e.line, e.column);
	return j;
}

/* Adds one piece that stands whole or not at all; what would not fit leaves an ellipsis, after which nothing is added. */
static bool pointer_add(char *out, size_t *n, const char *piece, size_t len)
{
	static const char ellipsis[] = "...";

	if (*n + len + sizeof(ellipsis) > ERROR_PATH_MAX) {
		memcpy(out + *n, ellipsis, sizeof(ellipsis));
		return false;
	}
	memcpy(out + *n, piece, len);
	*n += len;
	out[*n] = '\0';
	return true;
}

/* false when the parent alone fills it. */
static bool pointer_begin(char *out, size_t *n, const char *parent)
{
	struct str s = str_from(parent);

	*n = 0;
	out[0] = '\0';
	while (s.n) {
		size_t len = str_utf8_sequence(s);

		len = len ? len : 1;
		if (!pointer_add(out, n, s.p, len))
			return false;
		s.p += len;
		s.n -= len;
	}
	return pointer_add(out, n, "/", 1);
}

void json_pointer(char *out, const char *parent, const char *name)
{
	struct str s = str_from(name);
	size_t n;
	bool room = pointer_begin(out, &n, parent);

	while (s.n && room) {
		size_t len = str_utf8_sequence(s);

		len = len ? len : 1;
		if (*s.p == '~')
			room = pointer_add(out, &n, "~0", 2);
		else if (*s.p == '/')
			room = pointer_add(out, &n, "~1", 2);
		else
			room = pointer_add(out, &n, s.p, len);
		s.p += len;
		s.n -= len;
	}
}

void json_pointer_index(char *out, const char *parent, size_t index)
{
	char digits[24];
	size_t n;

	if (pointer_begin(out, &n, parent))
		pointer_add(out, &n, digits, (size_t)snprintf(digits, sizeof(digits), "%zu", index));
}

void json_in_init(struct json_in *in, const json_t *value, const char *path, struct error *error)
{
	size_t n;

	in->error = error;
	in->object = NULL;
	in->n_known = 0;
	n = strnlen(path, sizeof(in->path) - 1);
	memcpy(in->path, path, n);
	in->path[n] = '\0';
	if (json_is_object(value))
		in->object = value;
	else
		error_set(error, ERR_INVALID_REQUEST, path, "A JSON object was expected here.");
}

void json_in_fault(struct json_in *in, enum err code, const char *name, const char *fmt, ...)
{
	char path[ERROR_PATH_MAX], detail[ERROR_DETAIL_MAX];
	va_list ap;

	json_pointer(path, in->path, name);
	va_start(ap, fmt);
	vsnprintf(detail, sizeof(detail), fmt, ap);
	va_end(ap);
	error_set(in->error, code, path, "%s", detail);
}

bool json_in_end(struct json_in *in)
{
	const char *key;
	json_t *value;

	if (in->error->code != ERR_NONE || !in->object)
		return in->error->code == ERR_NONE;
	json_object_foreach((json_t *)(uintptr_t)in->object, key, value) {
		bool known = false;

		for (size_t i = 0; i < in->n_known && !known; i++)
			known = strcmp(in->known[i], key) == 0;
		if (!known) {
			json_in_fault(in, ERR_INVALID_REQUEST, key, "There is no member \"%.64s\" here.", key);
			return false;
		}
	}
	return true;
}

const json_t *json_in_value(struct json_in *in, const char *name, enum json_need need)
{
	const json_t *v;

	assert(in->n_known < JSON_IN_FIELDS_MAX);
	in->known[in->n_known++] = name;
	if (in->error->code != ERR_NONE || !in->object)
		return NULL;
	v = json_object_get(in->object, name);
	if (json_is_null(v) && need == JSON_OPTIONAL)
		v = NULL;
	if (!v && need == JSON_REQUIRED)
		json_in_fault(in, ERR_INVALID_REQUEST, name, "\"%s\" is missing.", name);
	return v;
}

/* C0, DEL and C1, except what `allowed` lists. */
static bool has_control(struct str s, const char *allowed)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c == 0 || (c < 0x20 && !strchr(allowed, c)) || c == 0x7F)
			return true;
		if (c == 0xC2 && i + 1 < s.n && (unsigned char)s.p[i + 1] < 0xA0)
			return true;
	}
	return false;
}

static struct str in_str(struct json_in *in, const char *name, enum json_need need, size_t min, size_t max,
			 const char *allowed)
{
	const json_t *v = json_in_value(in, name, need);
	struct str s;
	size_t chars;

	if (!v)
		return STR("");
	if (!json_is_string(v)) {
		json_in_fault(in, ERR_INVALID_REQUEST, name, "\"%s\" must be a string.", name);
		return STR("");
	}
	s = (struct str){json_string_value(v), json_string_length(v)};
	chars = str_utf8_length(s);
	if (chars < min || chars > max) {
		json_in_fault(in, ERR_INVALID_VALUE, name, "\"%s\" must have %zu to %zu characters; it has %zu.", name,
			      min, max, chars);
		return STR("");
	}
	if (has_control(s, allowed)) {
		json_in_fault(in, ERR_INVALID_VALUE, name, "\"%s\" contains a control character.", name);
		return STR("");
	}
	return s;
}

struct str json_in_str(struct json_in *in, const char *name, enum json_need need, size_t min, size_t max)
{
	return in_str(in, name, need, min, max, "");
}

struct str json_in_text(struct json_in *in, const char *name, enum json_need need, size_t min, size_t max)
{
	return in_str(in, name, need, min, max, "\n\t");
}

int64_t json_in_i64(struct json_in *in, const char *name, enum json_need need, int64_t min, int64_t max, int64_t absent)
{
	const json_t *v = json_in_value(in, name, need);
	int64_t n;

	if (!v)
		return absent;
	if (!json_is_integer(v)) {
		json_in_fault(in, ERR_INVALID_REQUEST, name, "\"%s\" must be a whole number.", name);
		return absent;
	}
	n = json_integer_value(v);
	if (n < min || n > max) {
		json_in_fault(in, ERR_INVALID_VALUE, name, "\"%s\" must be from %lld to %lld.", name, (long long)min,
			      (long long)max);
		return absent;
	}
	return n;
}

bool json_in_bool(struct json_in *in, const char *name, enum json_need need, bool absent)
{
	const json_t *v = json_in_value(in, name, need);

	if (!v)
		return absent;
	if (!json_is_boolean(v)) {
		json_in_fault(in, ERR_INVALID_REQUEST, name, "\"%s\" must be true or false.", name);
		return absent;
	}
	return json_is_true(v);
}

bool json_in_uuid(struct json_in *in, const char *name, enum json_need need, struct uuid *ret)
{
	const json_t *v = json_in_value(in, name, need);

	memset(ret, 0, sizeof(*ret));
	if (!v)
		return false;
	if (!json_is_string(v) || !uuid_parse((struct str){json_string_value(v), json_string_length(v)}, ret)) {
		json_in_fault(in, ERR_INVALID_REQUEST, name, "\"%s\" must be a UUID.", name);
		return false;
	}
	return true;
}

bool json_in_time(struct json_in *in, const char *name, enum json_need need, int64_t *ret_us)
{
	const json_t *v = json_in_value(in, name, need);

	*ret_us = 0;
	if (!v)
		return false;
	if (!json_is_string(v) || !time_parse((struct str){json_string_value(v), json_string_length(v)}, ret_us)) {
		json_in_fault(in, ERR_INVALID_REQUEST, name,
			      "\"%s\" must be a time like 2026-11-23T18:30:00Z (RFC 3339).", name);
		return false;
	}
	return true;
}

static bool money_in(struct json_in *in, const char *name, enum json_need need, bool charged, int64_t min,
		     struct money *ret)
{
	const struct currency *currency;
	struct json_in child;
	struct str code;
	int64_t amount;

	memset(ret, 0, sizeof(*ret));
	if (!json_in_object(in, name, need, &child))
		return false;
	amount = json_in_i64(&child, "amount", JSON_REQUIRED, min, MONEY_MAX_MINOR, 0);
	code = json_in_str(&child, "currency", JSON_REQUIRED, 3, 3);
	if (!json_in_end(&child))
		return false;
	currency = currency_find(code);
	if (!currency) {
		json_in_fault(&child, ERR_INVALID_VALUE, "currency",
			      "\"%.*s\" is not a currency that can be used here.", STR_FMT(code));
		return false;
	}
	if (charged && amount && amount < currency->minimum_minor) {
		json_in_fault(&child, ERR_INVALID_VALUE, "amount", "An amount in %s is 0 or at least %lld minor units.",
			      currency->code, (long long)currency->minimum_minor);
		return false;
	}
	if (amount % currency->step_minor) {
		json_in_fault(&child, ERR_INVALID_VALUE, "amount", "An amount in %s is a multiple of %lld minor units.",
			      currency->code, (long long)currency->step_minor);
		return false;
	}
	*ret = (struct money){amount, currency};
	return true;
}

bool json_in_money(struct json_in *in, const char *name, enum json_need need, struct money *ret)
{
	return money_in(in, name, need, true, 0, ret);
}

bool json_in_amount(struct json_in *in, const char *name, enum json_need need, int64_t min, struct money *ret)
{
	return money_in(in, name, need, false, min, ret);
}

const json_t *json_in_array(struct json_in *in, const char *name, enum json_need need, size_t min, size_t max)
{
	const json_t *v = json_in_value(in, name, need);

	if (!v)
		return NULL;
	if (!json_is_array(v)) {
		json_in_fault(in, ERR_INVALID_REQUEST, name, "\"%s\" must be an array.", name);
		return NULL;
	}
	if (json_array_size(v) < min || json_array_size(v) > max) {
		json_in_fault(in, ERR_INVALID_VALUE, name, "\"%s\" must have %zu to %zu items; it has %zu.", name, min,
			      max, json_array_size(v));
		return NULL;
	}
	return v;
}

bool json_in_object(struct json_in *in, const char *name, enum json_need need, struct json_in *child)
{
	const json_t *v = json_in_value(in, name, need);
	char path[ERROR_PATH_MAX];

	child->error = in->error;
	child->object = NULL;
	child->n_known = 0;
	child->path[0] = '\0';
	if (!v)
		return false;
	json_pointer(path, in->path, name);
	json_in_init(child, v, path, in->error);
	return child->object != NULL;
}

void jw_init(struct jw *w, struct buf *out)
{
	memset(w, 0, sizeof(*w));
	w->out = out;
}

bool jw_done(struct jw *w)
{
	assert(w->depth == 0 && !w->after_key);
	return !w->out->failed;
}

static void before_value(struct jw *w)
{
	if (w->after_key) {
		w->after_key = false;
		return;
	}
	if (w->has >> w->depth & 1)
		buf_addc(w->out, ',');
	w->has |= UINT64_C(1) << w->depth;
}

static void open_level(struct jw *w, char c)
{
	before_value(w);
	buf_addc(w->out, c);
	w->depth++;
	assert(w->depth < 63);
	w->has &= ~(UINT64_C(1) << w->depth);
}

static void close_level(struct jw *w, char c)
{
	assert(w->depth > 0 && !w->after_key);
	w->depth--;
	buf_addc(w->out, c);
}

void jw_obj(struct jw *w)
{
	open_level(w, '{');
}

void jw_obj_end(struct jw *w)
{
	close_level(w, '}');
}

void jw_arr(struct jw *w)
{
	open_level(w, '[');
}

void jw_arr_end(struct jw *w)
{
	close_level(w, ']');
}

static bool plain(unsigned char c)
{
	return c >= 0x20 && c != '"' && c != '\\';
}

/* Eight at once: a byte below 0x20, a quote or a backslash makes one of the high bits. (It may call a plain one special that
 * follows a special one; never the other way round.) */
static bool plain_8(const char *p)
{
	const uint64_t ones = UINT64_C(0x0101010101010101), highs = ones << 7;
	uint64_t x, quote, slash;

	memcpy(&x, p, sizeof(x));
	quote = x ^ ones * '"';
	slash = x ^ ones * '\\';
	return ((((x - ones * 0x20) & ~x) | ((quote - ones) & ~quote) | ((slash - ones) & ~slash)) & highs) == 0;
}

static void quoted(struct jw *w, struct str v)
{
	size_t from = 0, n = 0;
	char *at;

	while (n + 8 <= v.n && plain_8(v.p + n))
		n += 8;
	while (n < v.n && plain((unsigned char)v.p[n]))
		n++;
	at = n == v.n ? buf_room(w->out, n + 2) : NULL;
	if (at) { /* nearly always: nothing to escape */
		*at = '"';
		if (n)
			memcpy(at + 1, v.p, n);
		at[n + 1] = '"';
		at[n + 2] = '\0';
		w->out->n += n + 2;
		return;
	}
	buf_addc(w->out, '"');
	for (size_t i = 0; i < v.n; i++) {
		unsigned char c = (unsigned char)v.p[i];

		if (plain(c))
			continue;
		if (i > from)
			buf_add(w->out, v.p + from, i - from);
		from = i + 1;
		if (c == '"' || c == '\\') {
			buf_addc(w->out, '\\');
			buf_addc(w->out, (char)c);
		} else if (c == '\n') {
			buf_adds(w->out, "\\n");
		} else {
			buf_addf(w->out, "\\u%04x", c);
		}
	}
	if (v.n > from)
		buf_add(w->out, v.p + from, v.n - from);
	buf_addc(w->out, '"');
}

void jw_keystr(struct jw *w, struct str key)
{
	assert(!w->after_key);
	before_value(w);
	quoted(w, key);
	buf_addc(w->out, ':');
	w->after_key = true;
}

void jw_key(struct jw *w, const char *key)
{
	jw_keystr(w, str_from(key));
}

void jw_str(struct jw *w, struct str v)
{
	before_value(w);
	quoted(w, v);
}

void jw_cstr(struct jw *w, const char *v)
{
	jw_str(w, str_from(v));
}

void jw_int(struct jw *w, int64_t v)
{
	before_value(w);
	buf_addi(w->out, v);
}

void jw_real(struct jw *w, double v)
{
	char text[40];

	assert(isfinite(v));
	before_value(w);
	for (int precision = 6; precision <= 17; precision++) {
		snprintf(text, sizeof(text), "%.*g", precision, v);
		/* the program never sets a locale, so strtod and printf use the point */
		if (strtod(text, NULL) == v)
			break;
	}
	buf_adds(w->out, text);
}

void jw_bool(struct jw *w, bool v)
{
	before_value(w);
	buf_adds(w->out, v ? "true" : "false");
}

void jw_null(struct jw *w)
{
	before_value(w);
	buf_adds(w->out, "null");
}

/* In quotes, and nothing to escape. */
static void bare(struct jw *w, const char *p, size_t n)
{
	char *at;

	before_value(w);
	at = buf_room(w->out, n + 2);
	if (!at)
		return;
	*at = '"';
	memcpy(at + 1, p, n);
	memcpy(at + 1 + n, "\"", 2);
	w->out->n += n + 2;
}

void jw_uuid(struct jw *w, const struct uuid *v)
{
	char text[UUID_TEXT];

	bare(w, uuid_format(v, text), UUID_TEXT - 1);
}

void jw_time(struct jw *w, int64_t us)
{
	char text[TIME_TEXT_MAX];
	size_t n = time_format(us, text);

	bare(w, text, n);
}

void jw_money(struct jw *w, int64_t amount_minor, const char *currency)
{
	jw_obj(w);
	jw_kint(w, "amount", amount_minor);
	jw_kcstr(w, "currency", currency);
	jw_obj_end(w);
}

void jw_raw(struct jw *w, struct str json)
{
	before_value(w);
	buf_addstr(w->out, json);
}

void jw_kstr(struct jw *w, const char *k, struct str v)
{
	jw_key(w, k);
	jw_str(w, v);
}

void jw_kcstr(struct jw *w, const char *k, const char *v)
{
	jw_key(w, k);
	jw_cstr(w, v);
}

void jw_kint(struct jw *w, const char *k, int64_t v)
{
	jw_key(w, k);
	jw_int(w, v);
}

void jw_kbool(struct jw *w, const char *k, bool v)
{
	jw_key(w, k);
	jw_bool(w, v);
}

void jw_kuuid(struct jw *w, const char *k, const struct uuid *v)
{
	jw_key(w, k);
	jw_uuid(w, v);
}

void jw_ktime(struct jw *w, const char *k, int64_t us)
{
	jw_key(w, k);
	jw_time(w, us);
}

void jw_kmoney(struct jw *w, const char *k, int64_t amount_minor, const char *currency)
{
	jw_key(w, k);
	jw_money(w, amount_minor, currency);
}
