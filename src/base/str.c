#include "base/str.h"

#include <string.h>

struct str str_from(const char *cstr)
{
	return (struct str){cstr ? cstr : "", cstr ? strlen(cstr) : 0};
}

bool str_eq(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool str_eqc(struct str a, const char *cstr)
{
	return str_eq(a, str_from(cstr));
}

static unsigned char lower(unsigned char c)
{
	return c >= 'A' && c <= 'Z' ? (unsigned char)(c + 32) : c;
}

bool str_ieqc(struct str a, const char *cstr)
{
	if (strlen(cstr) != a.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		if (lower((unsigned char)a.p[i]) != lower((unsigned char)cstr[i]))
			return false;
	return true;
}

bool str_starts(struct str a, struct str prefix)
{
	return a.n >= prefix.n && (prefix.n == 0 || memcmp(a.p, prefix.p, prefix.n) == 0);
}

struct str str_trim(struct str a)
{
	while (a.n && (a.p[0] == ' ' || a.p[0] == '\t')) {
		a.p++;
		a.n--;
	}
	while (a.n && (a.p[a.n - 1] == ' ' || a.p[a.n - 1] == '\t'))
		a.n--;
	return a;
}

struct str str_split(struct str a, char c, struct str *head)
{
	const char *at = a.n ? memchr(a.p, c, a.n) : NULL;

	if (!at) {
		*head = a;
		return (struct str){a.p ? a.p + a.n : NULL, 0};
	}
	*head = (struct str){a.p, (size_t)(at - a.p)};
	return (struct str){at + 1, a.n - head->n - 1};
}

bool str_to_u64(struct str a, uint64_t max, uint64_t *ret_value)
{
	uint64_t v = 0;

	if (a.n == 0)
		return false;
	for (size_t i = 0; i < a.n; i++) {
		if (a.p[i] < '0' || a.p[i] > '9')
			return false;
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, (uint64_t)(a.p[i] - '0'), &v))
			return false;
	}
	if (v > max)
		return false;
	*ret_value = v;
	return true;
}

/* The table of RFC 3629 section 4: only the second byte's range depends on the first. */
size_t str_utf8_sequence(struct str a)
{
	const unsigned char *p = (const unsigned char *)a.p;
	unsigned char lo = 0x80, hi = 0xBF;
	size_t len;

	if (a.n == 0)
		return 0;
	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xC2 && p[0] <= 0xDF) {
		len = 2;
	} else if (p[0] >= 0xE0 && p[0] <= 0xEF) {
		len = 3;
		if (p[0] == 0xE0)
			lo = 0xA0;
		if (p[0] == 0xED)
			hi = 0x9F;
	} else if (p[0] >= 0xF0 && p[0] <= 0xF4) {
		len = 4;
		if (p[0] == 0xF0)
			lo = 0x90;
		if (p[0] == 0xF4)
			hi = 0x8F;
	} else {
		return 0;
	}
	if (a.n < len || p[1] < lo || p[1] > hi)
		return 0;
	for (size_t i = 2; i < len; i++)
		if (p[i] < 0x80 || p[i] > 0xBF)
			return 0;
	return len;
}

bool str_utf8_valid(struct str a)
{
	for (size_t i = 0; i < a.n;) {
		size_t len = str_utf8_sequence((struct str){a.p + i, a.n - i});

		if (len == 0)
			return false;
		i += len;
	}
	return true;
}

size_t str_utf8_length(struct str a)
{
	size_t count = 0;

	for (size_t i = 0; i < a.n; i++)
		count += ((unsigned char)a.p[i] & 0xC0) != 0x80;
	return count;
}

void hex_encode(const void *in, size_t n, char *out)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *p = in;

	for (size_t i = 0; i < n; i++) {
		out[2 * i] = digits[p[i] >> 4];
		out[2 * i + 1] = digits[p[i] & 15];
	}
	out[2 * n] = '\0';
}

/* A digit's value + 1, by character; 0: none. */
static const unsigned char hex_value[256] = {
	['0'] = 1,  ['1'] = 2,	['2'] = 3,  ['3'] = 4,	['4'] = 5,  ['5'] = 6,	['6'] = 7,  ['7'] = 8,
	['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
	['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

static int hex_digit(char c)
{
	return hex_value[(unsigned char)c] - 1;
}

bool hex_decode(struct str text, void *out, size_t n)
{
	unsigned char *q = out;

	if (text.n != 2 * n)
		return false;
	for (size_t i = 0; i < n; i++) {
		int hi = hex_digit(text.p[2 * i]), lo = hex_digit(text.p[2 * i + 1]);

		if (hi < 0 || lo < 0)
			return false;
		q[i] = (unsigned char)(hi << 4 | lo);
	}
	return true;
}

static const char base64url_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

size_t base64url_encode(const void *in, size_t n, char *out)
{
	const unsigned char *p = in;
	size_t k = 0;
	uint32_t acc = 0;
	int bits = 0;

	for (size_t i = 0; i < n; i++) {
		acc = acc << 8 | p[i];
		bits += 8;
		while (bits >= 6) {
			bits -= 6;
			out[k++] = base64url_digits[acc >> bits & 63];
		}
	}
	if (bits)
		out[k++] = base64url_digits[acc << (6 - bits) & 63];
	out[k] = '\0';
	return k;
}

static int base64url_digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '-')
		return 62;
	return c == '_' ? 63 : -1;
}

bool base64url_decode(struct str text, void *out, size_t max, size_t *ret_n)
{
	unsigned char *q = out;
	size_t k = 0;
	uint32_t acc = 0;
	int bits = 0;

	if (text.n % 4 == 1 || text.n / 4 * 3 + text.n % 4 * 3 / 4 > max)
		return false;
	for (size_t i = 0; i < text.n; i++) {
		int d = base64url_digit(text.p[i]);

		if (d < 0)
			return false;
		acc = acc << 6 | (uint32_t)d;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			q[k++] = (unsigned char)(acc >> bits & 255);
		}
	}
	if (acc & ((1u << bits) - 1))
		return false;
	*ret_n = k;
	return true;
}

/* ---- language tags ---- */

static bool is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool all(struct str s, bool alpha, bool digit)
{
	for (size_t i = 0; i < s.n; i++)
		if (!(alpha && is_alpha(s.p[i])) && !(digit && is_digit(s.p[i])))
			return false;
	return s.n > 0;
}

/* What comes next; nothing at the end, and a hyphen with nothing behind it is no end. */
static struct str subtag(struct str *rest)
{
	struct str one, from = *rest;

	if (!rest->n)
		return STR_NULL;
	*rest = str_split(*rest, '-', &one);
	if (one.n + 1 == from.n) /* "de-" */
		one.n = 0;
	return one;
}

static bool is_variant(struct str s)
{
	return all(s, true, true) && s.n <= 8 && (s.n >= 5 || (s.n == 4 && is_digit(s.p[0])));
}

/* At least one subtag of least to eight characters, as many as there are. */
static bool pieces(struct str *rest, struct str *one, size_t least)
{
	size_t n = 0;

	for (*one = subtag(rest); all(*one, true, true) && one->n >= least && one->n <= 8; *one = subtag(rest))
		n++;
	return n > 0;
}

bool str_is_language_tag(struct str a)
{
	struct str rest = a, one = subtag(&rest);

	if (str_ieqc(one, "x"))
		return pieces(&rest, &one, 1) && !one.p;
	if (!all(one, true, false) || one.n < 2 || one.n > 8)
		return false;
	if (one.n <= 3) {
		one = subtag(&rest);
		for (int i = 0; i < 3 && one.n == 3 && all(one, true, false); i++)
			one = subtag(&rest);
	} else {
		one = subtag(&rest);
	}
	if (one.n == 4 && all(one, true, false))
		one = subtag(&rest); /* the script */
	if ((one.n == 2 && all(one, true, false)) || (one.n == 3 && all(one, false, true)))
		one = subtag(&rest); /* the region */
	while (is_variant(one))
		one = subtag(&rest);
	while (one.n == 1 && all(one, true, true) && !str_ieqc(one, "x"))
		if (!pieces(&rest, &one, 2))
			return false;
	if (str_ieqc(one, "x") && !pieces(&rest, &one, 1))
		return false;
	return !one.p; /* nothing is left */
}
