/*
 * A growing byte buffer that cannot be made without a maximum. Past the maximum every add fails and the buffer
 * stays marked failed, so that a caller may check once at the end. NUL-terminated for convenience.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/str.h"

#include <stdarg.h>

struct buf {
	char *p;
	size_t n, cap, max;
	bool failed;
};

void buf_init(struct buf *b, size_t max);
void buf_done(struct buf *b);
void buf_reset(struct buf *b); /* empty again, memory kept, not failed */
bool buf_add(struct buf *b, const void *p, size_t n);
bool buf_adds(struct buf *b, const char *cstr);
bool buf_addstr(struct buf *b, struct str s);
bool buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool buf_addv(struct buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
bool buf_addi(struct buf *b, int64_t v); /* decimal, without printf */
/* Room for n more bytes at b->p + b->n; the caller then advances b->n. NULL past the maximum. */
char *buf_room(struct buf *b, size_t n);
static inline bool buf_addc(struct buf *b, char c)
{
	if (b->n + 1 >= b->cap || b->failed)
		return buf_add(b, &c, 1);
	b->p[b->n++] = c;
	b->p[b->n] = '\0';
	return true;
}
/* Removes n bytes from the front. */
void buf_eat(struct buf *b, size_t n);
struct str buf_str(const struct buf *b);
/* The bytes as a malloc'ed, NUL-terminated string that the caller frees; the buffer is empty afterwards. */
char *buf_take(struct buf *b, size_t *ret_n);

#endif
