/*
 * Owns the dropping of maps in Redis whose seats were numbered anew (a show moved to another plan). Whoever asks next makes a
 * map of what PostgreSQL says; its epoch is new, so that viewers begin again and no body kept under the old version is taken for one
 * of the new. A loader that is under way finds its generation gone and gives up.
 *
 *   SENT --taken--> WAITING (AGAIN_MS) --> SENT --taken--> done;   --failed--> WAITING (TRY_MS) --> SENT, for LIFE_MS
 *
 * Twice, because for a second another process may still have the show with its old plan at hand, and makes bodies of it.
 *
 * And the forgetting of maps of another context: once, whoever sees one again tries again.
 */
#include "seat/seat_map_int.h"

#include "base/xmalloc.h"
#include "seat/seat_lua.h"

#include <stdlib.h>

enum { DROP_TRY_MS = 100, DROP_AGAIN_MS = 1500, DROP_LIFE_MS = 5000 };

struct drop {
	struct list link; /* map.drops */
	struct seat_map *map;
	struct uuid show;
	struct timer *timer;
	int64_t give_up_us;
	int taken;
};

static void drop_free(struct drop *d)
{
	list_remove(&d->link);
	timer_free(d->timer);
	free(d);
}

static void drop_send(void *arg);

static void on_dropped(void *arg, const struct redis_answer *a)
{
	struct drop *d = arg;

	d->taken += a->status == REDIS_OK;
	if (d->taken == 2 || (a->status != REDIS_OK && loop_now_us(d->map->config.loop) > d->give_up_us)) {
		drop_free(d);
		return;
	}
	timer_set_ms(d->timer, a->status == REDIS_OK ? DROP_AGAIN_MS : DROP_TRY_MS);
}

static void drop_send(void *arg)
{
	struct drop *d = arg;
	struct map_keys k;

	map_keys(&d->show, &k);
	struct str words[] = {STR("DEL"), str_from(k.map)};

	redis_cmd_start(d->map->config.redis, words, 2, 0, on_dropped, d);
}

void seat_map_drop(struct seat_map *m, const struct uuid *show)
{
	struct drop *d = xcalloc(1, sizeof(*d));

	d->map = m;
	d->show = *show;
	d->timer = timer_new(m->config.loop, drop_send, d);
	d->give_up_us = loop_now_us(m->config.loop) + DROP_LIFE_MS * INT64_C(1000);
	list_init(&d->link);
	list_append(&m->drops, &d->link);
	drop_send(d);
}

void seat_map_forget(struct seat_map *m, const struct uuid *show)
{
	char context[MAP_CONTEXT_MAX];
	struct map_keys k;

	map_context(m, context);
	map_keys(show, &k);
	struct str keys[] = {str_from(k.map), str_from(k.sessions), str_from(k.stream)}, args[] = {str_from(context)};

	redis_eval_start(m->config.redis, &seat_lua_map_forget, keys, 3, args, 1, 0, NULL, NULL);
}

void seat_map_drop_init(struct seat_map *m)
{
	list_init(&m->drops);
}

void seat_map_drop_done(struct seat_map *m)
{
	list_for_each(at, next, &m->drops)
		drop_free(list_entry(at, struct drop, link));
}
