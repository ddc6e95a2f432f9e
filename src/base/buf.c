#include "base/buf.h"

#include "base/xmalloc.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_init(struct buf *b, size_t max)
{
	assert(max < SIZE_MAX / 4); /* the arithmetic of buf_room does not overflow */
	memset(b, 0, sizeof(*b));
	b->max = max;
}

void buf_done(struct buf *b)
{
	free(b->p);
	b->p = NULL;
	b->n = b->cap = 0;
}

void buf_reset(struct buf *b)
{
	b->n = 0;
	b->failed = false;
	if (b->p)
		b->p[0] = '\0';
}

char *buf_room(struct buf *b, size_t n)
{
	if (b->failed || n > b->max || b->n > b->max - n) {
		b->failed = true;
		return NULL;
	}
	if (b->n + n + 1 > b->cap) {
		size_t cap = b->cap ? b->cap : 256;

		while (cap < b->n + n + 1)
			cap *= 2;
		if (cap > b->max + 1)
			cap = b->max + 1;
		b->p = xrealloc(b->p, cap);
		b->cap = cap;
	}
	return b->p + b->n;
}

bool buf_add(struct buf *b, const void *p, size_t n)
{
	char *q = buf_room(b, n);

	if (!q)
		return false;
	if (n)
		memcpy(q, p, n);
	b->n += n;
	b->p[b->n] = '\0';
	return true;
}

bool buf_adds(struct buf *b, const char *cstr)
{
	return buf_add(b, cstr, strlen(cstr));
}

bool buf_addstr(struct buf *b, struct str s)
{
	return buf_add(b, s.p, s.n);
}

bool buf_addv(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;
	char *q;
	int n;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (n < 0)
		abort();
	q = buf_room(b, (size_t)n);
	if (!q)
		return false;
	vsnprintf(q, (size_t)n + 1, fmt, ap);
	b->n += (size_t)n;
	return true;
}

bool buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	bool ok;

	va_start(ap, fmt);
	ok = buf_addv(b, fmt, ap);
	va_end(ap);
	return ok;
}

bool buf_addi(struct buf *b, int64_t v)
{
	char digits[24];
	size_t i = sizeof(digits);
	uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;

	do {
		digits[--i] = (char)('0' + u % 10);
		u /= 10;
	} while (u);
	if (v < 0)
		digits[--i] = '-';
	return buf_add(b, digits + i, sizeof(digits) - i);
}

void buf_eat(struct buf *b, size_t n)
{
	if (n >= b->n) {
		b->n = 0;
	} else {
		memmove(b->p, b->p + n, b->n - n);
		b->n -= n;
	}
	if (b->p)
		b->p[b->n] = '\0';
}

struct str buf_str(const struct buf *b)
{
	return (struct str){b->p ? b->p : "", b->n};
}

char *buf_take(struct buf *b, size_t *ret_n)
{
	char *p = b->p ? b->p : xstrdup("");

	if (ret_n)
		*ret_n = b->n;
	b->p = NULL;
	b->n = b->cap = 0;
	return p;
}
