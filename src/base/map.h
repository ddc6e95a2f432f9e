/*
 * Tables in memory from a string, or a UUID, to a pointer. Keys are copied; values belong to the caller and are never NULL.
 * Iteration is in the order of insertion.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/ids.h"
#include "base/str.h"

struct map;

struct map *map_new(void);
void map_free(struct map *m); /* NULL is fine; values are left alone */
size_t map_count(const struct map *m);
/* Returns the value that stood there before, NULL when the key is new. A replaced key keeps its place in the order. */
void *map_put(struct map *m, struct str key, void *value);
void *map_get(const struct map *m, struct str key); /* NULL: not there */
void *map_remove(struct map *m, struct str key);    /* the value that stood there */
void map_clear(struct map *m);

void *map_put_uuid(struct map *m, const struct uuid *key, void *value);
void *map_get_uuid(const struct map *m, const struct uuid *key);
void *map_remove_uuid(struct map *m, const struct uuid *key);

/*
 *	struct map_iter it = map_begin(m);
 *	struct str key;
 *	void *value;
 *
 *	while (map_next(&it, &key, &value))
 *		...
 *
 * Inside the loop the entry just returned may be removed or replaced, and nothing else (its key is gone with it).
 */
struct map_iter {
	const void *next;
};
struct map_iter map_begin(const struct map *m);
bool map_next(struct map_iter *it, struct str *ret_key, void **ret_value); /* either may be NULL */
bool map_next_uuid(struct map_iter *it, struct uuid *ret_key, void **ret_value);

#endif
