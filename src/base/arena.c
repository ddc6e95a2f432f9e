#include "base/arena.h"

#include "base/xmalloc.h"

#include <assert.h>
#include <sanitizer/asan_interface.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_BYTES = 4096 - 32 };

struct arena_chunk {
	struct arena_chunk *next;
	size_t size;
	alignas(max_align_t) char bytes[];
};

struct arena_cleanup {
	struct arena_cleanup *next;
	void (*fn)(void *);
	void *arg;
};

static void run_cleanups(struct arena *a)
{
	while (a->cleanups) {
		struct arena_cleanup *c = a->cleanups;

		a->cleanups = c->next;
		c->fn(c->arg);
	}
}

void arena_on_done(struct arena *a, void (*fn)(void *), void *arg)
{
	struct arena_cleanup *c = arena_new(a, struct arena_cleanup);

	c->fn = fn;
	c->arg = arg;
	c->next = a->cleanups;
	a->cleanups = c;
}

void arena_init(struct arena *a)
{
	memset(a, 0, sizeof(*a));
}

static void free_from(struct arena_chunk *c)
{
	while (c) {
		struct arena_chunk *next = c->next;

		free(c);
		c = next;
	}
}

void arena_done(struct arena *a)
{
	run_cleanups(a);
	free_from(a->chunk);
	memset(a, 0, sizeof(*a));
}

void arena_reset(struct arena *a)
{
	struct arena_chunk *keep;

	run_cleanups(a);
	keep = a->chunk;
	if (!keep)
		return;
	/* the oldest chunk has the ordinary size unless the first wish was a large one */
	if (keep->size > CHUNK_BYTES || keep->next) {
		struct arena_chunk *c = keep;

		for (keep = NULL; c;) {
			struct arena_chunk *next = c->next;

			if (!keep && c->size == CHUNK_BYTES)
				keep = c;
			else
				free(c);
			c = next;
		}
	}
	a->chunk = keep;
	a->at = keep ? keep->bytes : NULL;
	a->end = keep ? keep->bytes + keep->size : NULL;
	if (!keep)
		return;
	keep->next = NULL;
	/* what the ended request still points to is not there any more: AddressSanitizer says who looks */
	ASAN_POISON_MEMORY_REGION(keep->bytes, keep->size);
}

void *arena_alloc(struct arena *a, size_t n)
{
	/* nothing is a piece too: it has an address of its own */
	size_t want = ((n ? n : 1) + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
	void *p;

	if (want < n || want > (size_t)1 << 40)
		abort();
	if ((size_t)(a->end - a->at) < want) {
		size_t size = want > CHUNK_BYTES ? want : CHUNK_BYTES;
		struct arena_chunk *c = xmalloc(sizeof(*c) + size);

		c->size = size;
		if (want > CHUNK_BYTES / 2 && a->chunk) {
			/* a large piece gets a chunk of its own; the open one stays open */
			c->next = a->chunk->next;
			a->chunk->next = c;
			return c->bytes;
		}
		c->next = a->chunk;
		a->chunk = c;
		a->at = c->bytes;
		a->end = c->bytes + size;
		ASAN_POISON_MEMORY_REGION(c->bytes, size);
	}
	p = a->at;
	a->at += want;
	ASAN_UNPOISON_MEMORY_REGION(p, n ? n : 1);
	return p;
}

void *arena_calloc(struct arena *a, size_t n, size_t size)
{
	size_t total;
	void *p;

	if (__builtin_mul_overflow(n, size, &total))
		abort();
	p = arena_alloc(a, total);
	memset(p, 0, total);
	return p;
}

void *arena_memdup(struct arena *a, const void *p, size_t n)
{
	void *q = arena_alloc(a, n);

	if (n)
		memcpy(q, p, n);
	return q;
}

char *arena_strdup(struct arena *a, const char *s)
{
	return arena_cstr(a, str_from(s));
}

char *arena_cstr(struct arena *a, struct str s)
{
	char *p = arena_alloc(a, s.n + 1);

	if (s.n)
		memcpy(p, s.p, s.n);
	p[s.n] = '\0';
	return p;
}

struct str arena_str(struct arena *a, struct str s)
{
	return (struct str){arena_cstr(a, s), s.n};
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	char *p;
	int n;

	/* gcc with the undefined behaviour sanitizer otherwise warns of a path that only the sanitizer makes */
	assert(fmt);
	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		abort();
	p = arena_alloc(a, (size_t)n + 1);
	va_start(ap, fmt);
	vsnprintf(p, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return p;
}
