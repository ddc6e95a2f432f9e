#include "event/strset.h"

#include "base/xmalloc.h"
#include "event/plan_model.h"

#include <stdlib.h>

void strset_init(struct strset *s, uint64_t seed)
{
	*s = (struct strset){.slot = xcalloc(16, sizeof(*s->slot)), .mask = 15, .seed = seed};
}

void strset_done(struct strset *s)
{
	free(s->slot);
	s->slot = NULL;
}

/* The key's slot, or the empty one where it belongs. */
static struct strset_slot *find(const struct strset *s, struct str key, uint64_t hash)
{
	uint32_t i = (uint32_t)hash & s->mask;

	while (s->slot[i].key.p && !(s->slot[i].hash == hash && str_eq(s->slot[i].key, key)))
		i = (i + 1) & s->mask;
	return &s->slot[i];
}

static void grow(struct strset *s)
{
	struct strset_slot *old = s->slot;
	uint32_t n_old = s->mask + 1;

	s->mask = s->mask * 2 + 1;
	s->slot = xcalloc((size_t)s->mask + 1, sizeof(*s->slot));
	for (uint32_t i = 0; i < n_old; i++)
		if (old[i].key.p)
			*find(s, old[i].key, old[i].hash) = old[i];
	free(old);
}

bool strset_add(struct strset *s, struct str key, uint32_t value)
{
	uint64_t hash = plan_hash(key, s->seed);
	struct strset_slot *slot = find(s, key, hash);

	if (slot->key.p)
		return false;
	*slot = (struct strset_slot){key, hash, value};
	if (++s->n > s->mask / 2)
		grow(s);
	return true;
}

bool strset_get(const struct strset *s, struct str key, uint32_t *ret_value)
{
	const struct strset_slot *slot = find(s, key, plan_hash(key, s->seed));

	if (!slot->key.p)
		return false;
	*ret_value = slot->value;
	return true;
}
