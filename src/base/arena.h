/*
 * Memory of one request: everything is freed at once. Chunks grow as needed; allocation never fails (xmalloc).
 * What is kept beyond the request must be copied out. Under AddressSanitizer what no piece has is poisoned: whoever goes on with an
 * ended request is told.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/str.h"

struct arena_chunk;
struct arena_cleanup;

struct arena {
	struct arena_chunk *chunk;	/* newest first */
	char *at, *end;			/* free space of the newest chunk */
	struct arena_cleanup *cleanups; /* newest first */
};

void arena_init(struct arena *a);
void arena_done(struct arena *a);
/* Forgets all but keeps one chunk for the next request. */
void arena_reset(struct arena *a);

/* fn(arg) runs when the arena is reset or done, newest first: for what a request holds that is not arena memory. */
void arena_on_done(struct arena *a, void (*fn)(void *), void *arg);

/* Aligned for any type, not zeroed. */
void *arena_alloc(struct arena *a, size_t n) __attribute__((malloc, returns_nonnull));
void *arena_calloc(struct arena *a, size_t n, size_t size) __attribute__((malloc, returns_nonnull));
void *arena_memdup(struct arena *a, const void *p, size_t n) __attribute__((returns_nonnull));
/* NUL-terminated copies. */
char *arena_strdup(struct arena *a, const char *s) __attribute__((returns_nonnull));
char *arena_cstr(struct arena *a, struct str s) __attribute__((returns_nonnull));
struct str arena_str(struct arena *a, struct str s);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3), returns_nonnull));

#define arena_new(a, type) ((type *)arena_calloc((a), 1, sizeof(type)))
#define arena_array(a, type, n) ((type *)arena_calloc((a), (n), sizeof(type)))

#endif
