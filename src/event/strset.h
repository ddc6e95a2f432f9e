/*
 * A set of strings somebody else owns, each with a number: for finding duplicates while a plan is read.
 */
#ifndef EVENT_STRSET_H
#define EVENT_STRSET_H

#include "base/str.h"

struct strset_slot {
	struct str key; /* p NULL: empty */
	uint64_t hash;
	uint32_t value;
};

struct strset {
	struct strset_slot *slot;
	uint32_t n, mask;
	uint64_t seed;
};

void strset_init(struct strset *s, uint64_t seed);
void strset_done(struct strset *s);
/* false when the key is there already; its value stays. key.p is not NULL. */
bool strset_add(struct strset *s, struct str key, uint32_t value);
bool strset_get(const struct strset *s, struct str key, uint32_t *ret_value);

#endif
