/*
 * Owns admissions: requests of one turn of the loop for one show go to Redis in one call of lua/map_admit.lua, which judges
 * them one after the other. A call of a script costs more than what it does for a request, so a crowd is cheaper together.
 *
 *   group: COLLECTING --end of the turn, or full--> SENT --answered--> each told
 *                                                     \--no map--> each waits for the load, then is collected once more
 */
#include "seat/seat_map_int.h"

#include "base/xmalloc.h"
#include "seat/seat_lua.h"

#include <stdlib.h>
#include <string.h>

enum { GROUP_REQUESTS = 64, GROUP_SEATS = 1000 };

struct admit {
	struct list link; /* of its group; of none while its map is loaded */
	struct seat_map *map;
	struct uuid show, lock, session, replaces;
	uint32_t limit, n_seats;
	bool loaded_once;
	seat_admit_fn *fn;
	void *arg;
	uint32_t seats[];
};

struct group {
	struct list link; /* map.groups, then map.sent */
	struct seat_map *map;
	struct uuid show;
	uint32_t limit;
	size_t n, n_seats;
	struct list admits;
};

static void admit_try(struct admit *a);

static void admit_end(struct admit *a, struct seat_admit_answer *answer)
{
	struct seat_map_stats *s = &a->map->stats;

	s->admitted += answer->outcome == SEAT_ADMITTED;
	s->taken += answer->outcome == SEAT_ADMIT_TAKEN;
	s->limit += answer->outcome == SEAT_ADMIT_LIMIT;
	s->unknown += answer->outcome == SEAT_ADMIT_UNKNOWN;
	a->fn(a->arg, answer);
	free(a);
}

static void admit_unknown(struct admit *a, bool marked)
{
	struct seat_admit_answer answer;

	answer.outcome = SEAT_ADMIT_UNKNOWN;
	answer.marked = marked;
	answer.n_taken = answer.n_held = 0;
	admit_end(a, &answer);
}

static void on_loaded(void *arg, bool loaded)
{
	struct admit *a = arg;

	if (loaded)
		admit_try(a);
	else
		admit_unknown(a, false);
}

/* One request's part of the answer. */
static void admit_answered(struct admit *a, const struct redis_value *v)
{
	struct seat_admit_answer answer; /* its arrays are filled as far as they are counted */
	size_t n = redis_count(v);

	answer.outcome = SEAT_ADMITTED;
	answer.marked = true;
	answer.n_taken = answer.n_held = 0;
	if (n) {
		answer.outcome = redis_int(redis_item(v, 0)) == 3 ? SEAT_ADMIT_LIMIT : SEAT_ADMIT_TAKEN;
		answer.marked = false;
	}
	for (size_t i = 1; answer.outcome == SEAT_ADMIT_TAKEN && i + 1 < n && answer.n_taken < SEAT_ASK_MAX; i += 2) {
		struct str s = redis_str(redis_item(v, i + 1));

		answer.taken[answer.n_taken] = (uint32_t)redis_int(redis_item(v, i));
		answer.taken_state[answer.n_taken++] = s.n && s.p[0] == 'B'   ? SEAT_BOOKED
						       : s.n && s.p[0] == 'X' ? SEAT_BLOCKED
									      : SEAT_LOCKED;
	}
	for (size_t i = 1; answer.outcome == SEAT_ADMIT_LIMIT && i < n && answer.n_held < 32; i++) {
		struct str s = redis_str(redis_item(v, i));

		if (s.n == 16)
			memcpy(answer.held[answer.n_held++].b, s.p, 16);
	}
	admit_end(a, &answer);
}

static void on_admitted(void *arg, const struct redis_answer *r)
{
	struct group *g = arg;
	struct seat_map *m = g->map;
	bool no_map = r->status == REDIS_OK && redis_int(redis_item(r->value, 0)) == 2;
	size_t i = 0, n = redis_count(r->value);
	struct admit *a;

	list_remove(&g->link);
	/* callbacks start new admissions: into groups of their own, this one is in no list any more */
	while ((a = list_first(&g->admits, struct admit, link))) {
		list_remove(&a->link);
		list_init(&a->link);
		i++;
		if (no_map && !a->loaded_once) {
			a->loaded_once = true;
			seat_map_load(m, &a->show, on_loaded, a);
		} else if (r->status != REDIS_OK || no_map || i >= n) {
			admit_unknown(a, r->status == REDIS_UNKNOWN);
		} else {
			admit_answered(a, redis_item(r->value, i));
		}
	}
	free(g);
}

static void group_send(struct group *g)
{
	struct seat_map *m = g->map;
	char context[MAP_CONTEXT_MAX];
	struct map_keys k;
	struct words w;

	list_remove(&g->link);
	list_append(&m->sent, &g->link);
	map_keys(&g->show, &k);
	map_context(m, context);
	words_init(&w);
	words_add(&w, str_from(context));
	words_int(&w, g->limit);
	words_int(&w, m->config.pending_ms);
	list_for_each(at, next, &g->admits) {
		struct admit *a = list_entry(at, struct admit, link);

		words_add(&w, map_uuid(&a->lock));
		words_add(&w, map_uuid(&a->session));
		words_add(&w, uuid_is_zero(&a->replaces) ? STR("") : map_uuid(&a->replaces));
		words_int(&w, a->n_seats);
		for (uint32_t i = 0; i < a->n_seats; i++)
			words_int(&w, a->seats[i]);
	}
	struct str keys[] = {str_from(k.map), str_from(k.sessions)};

	/* not ready: the command answers REDIS_NOT_SENT by itself at the end of the turn */
	redis_eval_start(m->config.redis, &seat_lua_map_admit, keys, 2, w.v, w.n, 0, on_admitted, g);
	words_done(&w);
}

void seat_map_admit_send(struct seat_map *m)
{
	struct group *g;

	while ((g = list_first(&m->groups, struct group, link)))
		group_send(g);
}

static void admit_try(struct admit *a)
{
	struct seat_map *m = a->map;
	struct group *g = NULL;

	list_for_each(at, next, &m->groups) {
		struct group *other = list_entry(at, struct group, link);

		if (uuid_eq(&other->show, &a->show) && other->limit == a->limit) {
			g = other;
			break;
		}
	}
	if (!g) {
		g = xcalloc(1, sizeof(*g));
		g->map = m;
		g->show = a->show;
		g->limit = a->limit;
		list_init(&g->admits);
		list_append(&m->groups, &g->link);
		deferred_post(m->turn);
	}
	list_append(&g->admits, &a->link);
	g->n++;
	g->n_seats += a->n_seats;
	if (g->n == GROUP_REQUESTS || g->n_seats >= GROUP_SEATS)
		group_send(g);
}

void seat_map_admit(struct seat_map *m, const struct uuid *show, const struct uuid *lock, const struct uuid *session,
		    const struct uuid *replaces, const uint32_t *seats, uint32_t n_seats, uint32_t limit,
		    seat_admit_fn *fn, void *arg)
{
	struct admit *a = xmalloc(sizeof(*a) + n_seats * sizeof(*seats));

	list_init(&a->link);
	a->map = m;
	a->show = *show;
	a->lock = *lock;
	a->session = *session;
	a->replaces = *replaces;
	a->n_seats = n_seats;
	a->limit = limit;
	a->loaded_once = false;
	a->fn = fn;
	a->arg = arg;
	memcpy(a->seats, seats, n_seats * sizeof(*seats));
	admit_try(a);
}

void seat_map_admit_init(struct seat_map *m)
{
	list_init(&m->groups);
	list_init(&m->sent);
}

static void groups_free(struct list *groups)
{
	list_for_each(at, next, groups) {
		struct group *g = list_entry(at, struct group, link);

		list_for_each(it, inext, &g->admits)
			free(list_entry(it, struct admit, link));
		list_remove(&g->link);
		free(g);
	}
}

void seat_map_admit_done(struct seat_map *m)
{
	groups_free(&m->groups);
	groups_free(&m->sent);
}
