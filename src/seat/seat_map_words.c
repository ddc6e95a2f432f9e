/* The keys and arguments of the scripts on the maps, and rows of PostgreSQL as changes of a map. */
#include "seat/seat_map_int.h"

#include "base/xmalloc.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void map_keys(const struct uuid *show, struct map_keys *k)
{
	memcpy(k->map, "map:{", 5);
	uuid_format(show, k->map + 5);
	memcpy(k->map + 5 + UUID_TEXT - 1, "}", 2);
	memcpy(k->sessions, k->map, sizeof(k->map));
	memcpy(k->sessions, "ses", 3);
	memcpy(k->stream, k->map, sizeof(k->map));
	memcpy(k->stream, "chg", 3);
}

void map_context(const struct seat_map *m, char out[MAP_CONTEXT_MAX])
{
	const char *run_id = redis_run_id(m->config.redis), *timeline = pg_timeline(m->config.pg);
	size_t a = strnlen(run_id, 79), b = strnlen(timeline, 79);

	static_assert(MAP_CONTEXT_MAX >= 79 + 1 + 79 + 1, "both and what is between");
	memcpy(out, run_id, a);
	out[a] = '/';
	memcpy(out + a + 1, timeline, b);
	out[a + 1 + b] = '\0';
}

struct str map_uuid(const struct uuid *u)
{
	return (struct str){(const char *)u->b, 16};
}

void words_init(struct words *w)
{
	memset(w, 0, sizeof(*w));
	arena_init(&w->arena);
}

void words_done(struct words *w)
{
	arena_done(&w->arena);
	free(w->v);
}

void words_add(struct words *w, struct str s)
{
	if (w->n == w->cap) {
		w->cap = w->cap ? w->cap * 2 : 64;
		w->v = xreallocarray(w->v, w->cap, sizeof(*w->v));
	}
	w->v[w->n++] = s;
}

void words_int(struct words *w, int64_t v)
{
	enum { WIDTH = 24 };
	char *end = (char *)arena_alloc(&w->arena, WIDTH) + WIDTH, *p = end;
	uint64_t u = v < 0 ? -(uint64_t)v : (uint64_t)v;

	do {
		*--p = (char)('0' + u % 10);
		u /= 10;
	} while (u);
	if (v < 0)
		*--p = '-';
	words_add(w, (struct str){p, (size_t)(end - p)});
}

void words_fence(struct words *w, int32_t fence)
{
	enum { WIDTH = 10 };
	char *p = arena_alloc(&w->arena, WIDTH);

	assert(fence >= 0);
	for (int i = WIDTH; i-- > 0; fence /= 10)
		p[i] = (char)('0' + fence % 10);
	words_add(w, (struct str){p, WIDTH});
}

char map_state_letter(uint8_t state)
{
	switch (state) {
	case SEAT_FREE:
		return 'F';
	case SEAT_LOCKED:
		return 'L';
	case SEAT_BOOKED:
		return 'B';
	case SEAT_BLOCKED:
		return 'X';
	default:
		return 'R';
	}
}

size_t map_changes_from_rows(const struct pg_result *r, struct arena *arena, struct seat_change **ret)
{
	int64_t *seats, *states, *fences, *ms;
	struct uuid *locks;
	struct seat_change *out;
	size_t n;

	*ret = NULL;
	if (pg_rows(r) == 0 || pg_is_null(r, 0, 0))
		return 0;
	n = pg_get_ints(r, 0, 0, arena, &seats);
	pg_get_ints(r, 0, 1, arena, &states);
	pg_get_ints(r, 0, 2, arena, &fences);
	pg_get_uuids(r, 0, 3, arena, &locks);
	pg_get_ints(r, 0, 4, arena, &ms);
	out = arena_array(arena, struct seat_change, n);
	for (size_t i = 0; i < n; i++)
		out[i] = (struct seat_change){.seat_no = (uint32_t)seats[i],
					      .state = (uint8_t)states[i],
					      .fence = (int32_t)fences[i],
					      .left_ms = ms[i],
					      .lock = locks[i]};
	*ret = out;
	return n;
}
