/* Owns a table with open addressing, at most half full. The hashes are good ones already: their low bits are the place. */
#include "relay/relay_set.h"

#include "base/xmalloc.h"

#include <stdlib.h>
#include <string.h>

void relay_set_done(struct relay_set *s)
{
	free(s->slots);
	*s = (struct relay_set){0};
}

void relay_set_clear(struct relay_set *s)
{
	if (s->n > 0)
		memset(s->slots, 0, s->cap * sizeof(*s->slots));
	s->n = 0;
}

/* Where it is, or the free place where it would be. */
static size_t place(const struct relay_set *s, uint64_t hash)
{
	size_t i = hash & (s->cap - 1);

	while (s->slots[i] && s->slots[i] != hash)
		i = (i + 1) & (s->cap - 1);
	return i;
}

bool relay_set_has(const struct relay_set *s, uint64_t hash)
{
	return s->n > 0 && s->slots[place(s, hash ? hash : 1)] != 0;
}

static void grow(struct relay_set *s)
{
	struct relay_set old = *s;

	s->cap = old.cap ? 2 * old.cap : 64;
	s->slots = xcalloc(s->cap, sizeof(*s->slots));
	for (size_t i = 0; i < old.cap; i++)
		if (old.slots[i])
			s->slots[place(s, old.slots[i])] = old.slots[i];
	free(old.slots);
}

void relay_set_add(struct relay_set *s, uint64_t hash)
{
	size_t i;

	if (2 * (s->n + 1) > s->cap)
		grow(s);
	i = place(s, hash ? hash : 1);
	s->n += s->slots[i] == 0;
	s->slots[i] = hash ? hash : 1;
}

void relay_set_add_all(struct relay_set *s, const uint64_t *hashes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		relay_set_add(s, hashes[i]);
}

bool relay_set_has_any(const struct relay_set *s, const uint64_t *hashes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (relay_set_has(s, hashes[i]))
			return true;
	return false;
}
