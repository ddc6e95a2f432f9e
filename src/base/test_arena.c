/* Pieces are aligned, apart from each other, and stay what they are until the reset. */
#include "base/arena.h"

#include <sanitizer/asan_interface.h>
#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void pieces_keep_their_contents(void **state)
{
	enum { N = 3000 };
	static unsigned char *p[N];
	static size_t size[N];
	struct arena a;

	arena_init(&a);
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < N; i++) {
			/* small ones, some of a chunk's size and around it, some far larger */
			size[i] = i % 97 == 0 ? 4000 + i % 200 : i % 501 == 0 ? 100000 + i : i * 7 % 300;
			p[i] = arena_alloc(&a, size[i]);
			assert_int_equal((uintptr_t)p[i] % alignof(max_align_t), 0);
			memset(p[i], (int)(i % 251), size[i]);
		}
		for (size_t i = 0; i < N; i++)
			for (size_t k = 0; k < size[i]; k++)
				if (p[i][k] != i % 251)
					fail_msg("piece %zu of %zu bytes was overwritten at %zu", i, size[i], k);
		arena_reset(&a);
	}
	arena_done(&a);
}

static void nothing_is_a_piece(void **state)
{
	struct arena a;
	char *p, *q;

	arena_init(&a);
	p = arena_alloc(&a, 0);
	q = arena_alloc(&a, 0);
	assert_non_null(p);
	assert_non_null(q);
	assert_ptr_not_equal(p, q);
	assert_non_null(arena_calloc(&a, 0, 8));
	assert_non_null(arena_memdup(&a, NULL, 0));
	arena_done(&a);
}

/* A large piece does not end the chunk that is open: small ones go on where they were. */
static void large_pieces_apart(void **state)
{
	struct arena a;
	char *first, *second;

	arena_init(&a);
	first = arena_alloc(&a, 16);
	arena_alloc(&a, 50000);
	second = arena_alloc(&a, 16);
	assert_ptr_equal(second, first + 16);
	arena_done(&a);
}

static void reset_keeps_one_chunk(void **state)
{
	struct arena a;
	char *first;

	arena_init(&a);
	arena_reset(&a);
	for (int i = 0; i < 100; i++)
		arena_alloc(&a, 1000);
	arena_alloc(&a, 1 << 20);
	arena_reset(&a);
	assert_non_null(a.chunk);
	assert_in_range(a.end - a.at, 1000, 8192);
	first = arena_alloc(&a, 16);
	arena_reset(&a);
	/* the same memory again: nothing is asked of the system for an ordinary request */
	assert_ptr_equal(arena_alloc(&a, 16), first);
	arena_done(&a);
	/* only a large one: not worth keeping */
	arena_init(&a);
	arena_alloc(&a, 1 << 20);
	arena_reset(&a);
	assert_null(a.chunk);
	assert_non_null(arena_alloc(&a, 10));
	arena_done(&a);
	arena_done(&a);
}

static void copies(void **state)
{
	struct arena a;
	struct str s;
	char text[] = "abcdef";
	int *numbers;

	arena_init(&a);
	s = arena_str(&a, (struct str){text, 3});
	assert_string_equal(s.p, "abc");
	assert_int_equal(s.n, 3);
	assert_string_equal(arena_cstr(&a, (struct str){text + 2, 2}), "cd");
	assert_string_equal(arena_cstr(&a, STR_NULL), "");
	assert_memory_equal(arena_memdup(&a, text, 7), "abcdef", 7);
	text[0] = 'X';
	assert_string_equal(s.p, "abc");
	assert_string_equal(arena_strdup(&a, "x"), "x");
	memset(arena_alloc(&a, 400), 0xFF, 400);
	arena_reset(&a);
	numbers = arena_array(&a, int, 50);
	for (int i = 0; i < 50; i++)
		assert_int_equal(numbers[i], 0);
	assert_string_equal(arena_printf(&a, "%s-%03d", "seat", 7), "seat-007");
	assert_int_equal(strlen(arena_printf(&a, "%09000d", 1)), 9000);
	assert_string_equal(arena_printf(&a, "%s", ""), "");
	arena_done(&a);
}

struct witness {
	struct arena *arena;
	char order[8];
	int n;
};

static void first_made(void *arg)
{
	struct witness *w = arg;

	w->order[w->n++] = '1';
}

static void second_made(void *arg)
{
	struct witness *w = arg;

	w->order[w->n++] = '2';
	/* memory of the arena is still there for those who clean up */
	memset(arena_alloc(w->arena, 5000), 1, 5000);
}

static void cleanups_run_once_newest_first(void **state)
{
	struct arena a;
	struct witness w = {.arena = &a};

	arena_init(&a);
	arena_on_done(&a, first_made, &w);
	arena_on_done(&a, second_made, &w);
	assert_int_equal(w.n, 0);
	arena_reset(&a);
	assert_string_equal(w.order, "21");
	arena_reset(&a);
	assert_string_equal(w.order, "21");
	arena_on_done(&a, first_made, &w);
	arena_done(&a);
	assert_string_equal(w.order, "211");
}

/* Under AddressSanitizer: what lies beyond a piece, and what a reset has taken, is not to be read. */
static void what_is_no_piece_is_poisoned(void **state)
{
#ifdef __SANITIZE_ADDRESS__
	struct arena a;
	char *p;

	arena_init(&a);
	p = arena_alloc(&a, 20);
	assert_null(__asan_region_is_poisoned(p, 20));
	assert_ptr_equal(__asan_region_is_poisoned(p, 21), p + 20);
	arena_reset(&a);
	assert_ptr_equal(__asan_region_is_poisoned(p, 20), p);
	assert_ptr_equal(arena_alloc(&a, 5), p);
	assert_ptr_equal(__asan_region_is_poisoned(p, 20), p + 5);
	arena_done(&a);
#else
	skip(); /* this build looks at no memory */
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_keep_their_contents),
		cmocka_unit_test(nothing_is_a_piece),
		cmocka_unit_test(large_pieces_apart),
		cmocka_unit_test(reset_keeps_one_chunk),
		cmocka_unit_test(copies),
		cmocka_unit_test(cleanups_run_once_newest_first),
		cmocka_unit_test(what_is_no_piece_is_poisoned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
