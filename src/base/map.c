/*
 * The only user of uthash: a chained table that doubles its buckets, one allocation per entry.
 */
#include "base/map.h"

#include "base/siphash.h"
#include "base/xmalloc.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

static unsigned hash_bytes(const void *p, size_t n);

#define uthash_malloc(n) xmalloc(n)
#define HASH_FUNCTION(key, n, ret) ((ret) = hash_bytes((key), (n)))
#include <uthash.h>

struct entry {
	UT_hash_handle hh;
	void *value;
	char key[];
};

struct map {
	struct entry *entries;
};

/* 16 random bytes that the kernel gives every process at exec: no state of ours, no descriptor, cannot fail. */
static unsigned hash_bytes(const void *p, size_t n)
{
	return (unsigned)siphash((const uint8_t *)getauxval(AT_RANDOM), p, n);
}

struct map *map_new(void)
{
	return xcalloc(1, sizeof(struct map));
}

void map_clear(struct map *m)
{
	struct entry *e = m->entries, *next;

	/* the table goes at once; the entries stay linked in their order */
	HASH_CLEAR(hh, m->entries);
	for (; e; e = next) {
		next = e->hh.next;
		free(e);
	}
}

void map_free(struct map *m)
{
	if (!m)
		return;
	map_clear(m);
	free(m);
}

size_t map_count(const struct map *m)
{
	return HASH_COUNT(m->entries);
}

static struct entry *find(const struct map *m, struct str key)
{
	const char *p = key.p ? key.p : "";
	struct entry *e;

	HASH_FIND(hh, m->entries, p, key.n, e);
	return e;
}

void *map_put(struct map *m, struct str key, void *value)
{
	struct entry *e = find(m, key);
	void *old = NULL;

	assert(value);
	if (e) {
		old = e->value;
		e->value = value;
		return old;
	}
	e = xcalloc(1, sizeof(*e) + key.n);
	e->value = value;
	if (key.n)
		memcpy(e->key, key.p, key.n);
	HASH_ADD_KEYPTR(hh, m->entries, e->key, key.n, e);
	return NULL;
}

void *map_get(const struct map *m, struct str key)
{
	struct entry *e = find(m, key);

	return e ? e->value : NULL;
}

void *map_remove(struct map *m, struct str key)
{
	struct entry *e = find(m, key);
	void *old;

	if (!e)
		return NULL;
	old = e->value;
	HASH_DEL(m->entries, e);
	free(e);
	return old;
}

static struct str uuid_key(const struct uuid *key)
{
	return (struct str){(const char *)key->b, sizeof(key->b)};
}

void *map_put_uuid(struct map *m, const struct uuid *key, void *value)
{
	return map_put(m, uuid_key(key), value);
}

void *map_get_uuid(const struct map *m, const struct uuid *key)
{
	return map_get(m, uuid_key(key));
}

void *map_remove_uuid(struct map *m, const struct uuid *key)
{
	return map_remove(m, uuid_key(key));
}

struct map_iter map_begin(const struct map *m)
{
	return (struct map_iter){m->entries};
}

bool map_next(struct map_iter *it, struct str *ret_key, void **ret_value)
{
	const struct entry *e = it->next;

	if (!e)
		return false;
	it->next = e->hh.next;
	if (ret_key)
		*ret_key = (struct str){e->key, e->hh.keylen};
	if (ret_value)
		*ret_value = e->value;
	return true;
}

bool map_next_uuid(struct map_iter *it, struct uuid *ret_key, void **ret_value)
{
	struct str key;

	if (!map_next(it, &key, ret_value))
		return false;
	assert(key.n == sizeof(ret_key->b));
	memcpy(ret_key->b, key.p, sizeof(ret_key->b));
	return true;
}
