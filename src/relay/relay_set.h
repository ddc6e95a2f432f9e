/* A set of 64-bit hashes. */
#ifndef RELAY_RELAY_SET_H
#define RELAY_RELAY_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct relay_set {
	uint64_t *slots; /* 0: free */
	size_t n, cap;	 /* cap: a power of two, or 0 */
};

void relay_set_done(struct relay_set *s);  /* zeroed is empty; after done it is empty again */
void relay_set_clear(struct relay_set *s); /* keeps the memory */
bool relay_set_has(const struct relay_set *s, uint64_t hash);
void relay_set_add(struct relay_set *s, uint64_t hash);
void relay_set_add_all(struct relay_set *s, const uint64_t *hashes, size_t n);
bool relay_set_has_any(const struct relay_set *s, const uint64_t *hashes, size_t n);

#endif
