/*
 * Owns the table. A place is one word, changed by compare-and-swap only: 24 bits that tell keys of a set apart, and 40 bits
 * of the time (milliseconds since the table was made) at which the bucket is full. No locks: a process may be killed at
 * any instruction.
 */
#include "io/rate_limit.h"

#include "base/siphash.h"
#include "base/xmalloc.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { WAYS = 8, TIME_BITS = 40, TRIES_MAX = 64 };

typedef _Atomic uint64_t place;

struct limits {
	struct limit_rule rules[LIMIT_COUNT];
	uint8_t key[16];
	size_t sets;
	_Atomic int64_t epoch_ms; /* of the first use */
	place places[];
};

static size_t size_of(size_t sets)
{
	return sizeof(struct limits) + sets * WAYS * sizeof(place);
}

struct limits *limits_new(const struct limit_rule rules[LIMIT_COUNT], size_t sets, const uint8_t key[16])
{
	struct limits *l = mmap(NULL, size_of(sets), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert(sets && (sets & (sets - 1)) == 0);
	if (l == MAP_FAILED) {
		fprintf(stderr, "boxoffice: no shared memory for limits (%zu bytes)\n", size_of(sets));
		abort();
	}
	memcpy(l->rules, rules, sizeof(l->rules));
	memcpy(l->key, key, sizeof(l->key));
	l->sets = sets;
	return l;
}

void limits_free(struct limits *l)
{
	if (l)
		munmap(l, size_of(l->sets));
}

uint32_t limits_burst(const struct limits *l, enum limit which)
{
	return l->rules[which].burst;
}

static uint64_t tag_of(uint64_t word)
{
	return word >> TIME_BITS;
}

static int64_t full_at(uint64_t word)
{
	return (int64_t)(word & ((UINT64_C(1) << TIME_BITS) - 1));
}

/* Never 0: that is an empty place. */
static uint64_t hash(const struct limits *l, enum limit which, const void *key, size_t n)
{
	uint8_t all[64] = {(uint8_t)which};

	assert(n < sizeof(all));
	memcpy(all + 1, key, n);
	return siphash(l->key, all, n + 1);
}

static int64_t since_epoch(const struct limits *l, int64_t now_ms)
{
	struct limits *w = (struct limits *)(uintptr_t)l;
	int64_t epoch = atomic_load_explicit(&w->epoch_ms, memory_order_relaxed), zero = 0;

	if (epoch == 0) {
		/* one before now, so that no time in the table is 0 */
		atomic_compare_exchange_strong(&w->epoch_ms, &zero, now_ms - 1);
		epoch = atomic_load_explicit(&w->epoch_ms, memory_order_relaxed);
	}
	return now_ms > epoch ? now_ms - epoch : 0;
}

/* The place of the tag in its set, or else the one to give up for it. */
static place *find(place *set, uint64_t tag, uint64_t *ret_word)
{
	place *least = set;
	uint64_t least_word = atomic_load_explicit(set, memory_order_relaxed);

	for (int i = 0; i < WAYS; i++) {
		uint64_t word = atomic_load_explicit(&set[i], memory_order_relaxed);

		if (word && tag_of(word) == tag) {
			*ret_word = word;
			return &set[i];
		}
		if (full_at(word) < full_at(least_word)) {
			least = &set[i];
			least_word = word;
		}
	}
	*ret_word = least_word;
	return least;
}

enum how { LOOK, TAKE, CHARGE };

static int64_t go(const struct limits *l, enum limit which, const void *key, size_t n, int64_t now_ms, enum how how)
{
	const struct limit_rule *r = &l->rules[which];
	int64_t now = since_epoch(l, now_ms), room = (int64_t)r->burst * r->each_ms;
	uint64_t h, tag, word;
	place *set;

	if (r->burst == 0)
		return 0;
	h = hash(l, which, key, n);
	tag = h >> TIME_BITS;
	set = (place *)(uintptr_t)&l->places[(h & (l->sets - 1)) * WAYS];
	for (int tries = 0; tries < TRIES_MAX; tries++) {
		place *p = find(set, tag, &word);
		int64_t full = word && tag_of(word) == tag && full_at(word) > now ? full_at(word) : now;
		int64_t next = full + r->each_ms;

		if (how != CHARGE && next - now > room)
			return next - now - room;
		if (how == LOOK)
			return 0;
		if (next - now > room)
			next = now + room;
		if (atomic_compare_exchange_weak_explicit(p, &word, tag << TIME_BITS | (uint64_t)next,
							  memory_order_relaxed, memory_order_relaxed))
			return 0;
	}
	/* so many at once in one set: not counting one of them is better than waiting */
	return 0;
}

int64_t limits_look(const struct limits *l, enum limit which, const void *key, size_t n, int64_t now_ms)
{
	return l ? go(l, which, key, n, now_ms, LOOK) : 0;
}

int64_t limits_take(struct limits *l, enum limit which, const void *key, size_t n, int64_t now_ms)
{
	return l ? go(l, which, key, n, now_ms, TAKE) : 0;
}

void limits_charge(struct limits *l, enum limit which, const void *key, size_t n, int64_t now_ms)
{
	if (l)
		go(l, which, key, n, now_ms, CHARGE);
}
