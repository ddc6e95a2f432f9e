/*
 * Owns admissions: requests of one turn of the loop go to Redis in one call of lua/map_admit.lua, those of a show together,
 * which judges them one after the other. A call of a script costs more than what it does for a request, so a crowd is cheaper
 * together.
 *
 *   group: COLLECTING --end of the turn--> in a call, SENT --answered--> each told
 *              |    ^                                     \--no map--> each waits for the load, then is collected once more
 *              |    +-- who may have their seats
 *              +--in a crowd--> PEEKED --who may not--> told
 *
 * In a crowd that is refused nearly always, a look at the seats comes first, by a command that costs a fraction of the script:
 * who finds one taken is refused by that, exactly as the script would, the others go on to the script. What is seen is no older
 * than the request, so nobody is refused a seat that was free again before they asked.
 */
#include "seat/seat_map_int.h"

#include "base/xmalloc.h"
#include "seat/seat_lua.h"

#include <stdlib.h>
#include <string.h>

enum {
	GROUP_REQUESTS = 64,
	CALL_SHOWS = 64,
	CALL_SEATS = 1000,
	CROWD = 192,	  /* of 255 were refused: a crowd */
	PEEK_REQUESTS = 3 /* so many are worth a look of their own */
};

struct admit {
	struct list link; /* of its group; of none while its map is loaded */
	struct seat_map *map;
	struct uuid show, lock, session, replaces;
	uint32_t limit, n_seats;
	bool loaded_once, peeked;
	seat_admit_fn *fn;
	void *arg;
	uint32_t seats[];
};

/* The requests for a show. */
struct group {
	struct list link; /* map.groups, then its call's */
	struct uuid show;
	uint32_t limit;
	bool peeked; /* its requests were looked at already */
	size_t n, n_seats;
	struct list admits;
};

struct call {
	struct list link; /* map.sent */
	struct seat_map *map;
	struct list groups;
	int64_t now_ms; /* of a look: Redis' clock; 0: not told */
};

static void admit_try(struct admit *a);

/* Shows that share a place only make each other look once too often. */
static uint8_t *crowd_of(struct seat_map *m, const struct uuid *show)
{
	return &m->crowd[(show->b[15] ^ show->b[5] ^ show->b[9]) % MAP_CROWD_SLOTS];
}

static void admit_end(struct admit *a, struct seat_admit_answer *answer)
{
	struct seat_map_stats *s = &a->map->stats;
	uint8_t *crowd = crowd_of(a->map, &a->show);

	if (answer->outcome == SEAT_ADMIT_TAKEN)
		*crowd = (uint8_t)(*crowd + (255 - *crowd + 15) / 16);
	else if (answer->outcome == SEAT_ADMITTED)
		*crowd = (uint8_t)(*crowd - *crowd / 16);

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

/* "L17B18": seats that are taken, each behind its state. */
static void read_taken(struct str text, struct seat_admit_answer *ret)
{
	while (text.n && ret->n_taken < SEAT_ASK_MAX) {
		uint32_t seat = 0;
		size_t i = 1;

		for (; i < text.n && text.p[i] >= '0' && text.p[i] <= '9'; i++)
			seat = seat * 10 + (uint32_t)(text.p[i] - '0');
		ret->taken_state[ret->n_taken] = text.p[0] == 'B'   ? SEAT_BOOKED
						 : text.p[0] == 'X' ? SEAT_BLOCKED
								    : SEAT_LOCKED;
		ret->taken[ret->n_taken++] = seat;
		text = (struct str){text.p + i, text.n - i};
	}
}

/* One request's part of the answer. */
static void admit_answered(struct admit *a, const struct redis_value *v)
{
	struct seat_admit_answer answer; /* its arrays are filled as far as they are counted */
	enum redis_type type = redis_type(v);
	size_t n = redis_count(v);

	answer.outcome = type == REDIS_STRING  ? SEAT_ADMIT_TAKEN
			 : type == REDIS_ARRAY ? SEAT_ADMIT_LIMIT
					       : SEAT_ADMITTED;
	answer.marked = answer.outcome == SEAT_ADMITTED;
	answer.n_taken = answer.n_held = 0;
	read_taken(redis_str(v), &answer);
	for (size_t i = 1; answer.outcome == SEAT_ADMIT_LIMIT && i + 1 < n && answer.n_held < 32; i += 2) {
		struct str id = redis_str(redis_item(v, i));

		if (id.n != 16)
			continue;
		memcpy(answer.held[answer.n_held].b, id.p, 16);
		answer.held_ms[answer.n_held++] = redis_int(redis_item(v, i + 1));
	}
	admit_end(a, &answer);
}

/* A show's part of the answer; NULL: there is none. */
static void group_answered(struct seat_map *m, struct group *g, enum redis_status status, const struct redis_value *v)
{
	bool no_map = status == REDIS_OK && redis_int(redis_item(v, 0)) == 2;
	size_t i = 0, n = redis_count(v);
	struct admit *a;

	/* callbacks start new admissions: into groups of their own, this one is in no list any more */
	while ((a = list_first(&g->admits, struct admit, link))) {
		list_remove(&a->link);
		list_init(&a->link);
		i++;
		if (no_map && !a->loaded_once) {
			a->loaded_once = true;
			seat_map_load(m, &a->show, on_loaded, a);
		} else if (status != REDIS_OK || no_map || i >= n) {
			admit_unknown(a, status == REDIS_UNKNOWN);
		} else {
			admit_answered(a, redis_item(v, i));
		}
	}
	free(g);
}

static void on_admitted(void *arg, const struct redis_answer *r)
{
	struct call *c = arg;
	struct seat_map *m = c->map;
	struct group *g;
	size_t i = 0;

	list_remove(&c->link);
	while ((g = list_first(&c->groups, struct group, link))) {
		list_remove(&g->link);
		group_answered(m, g, r->status, redis_item(r->value, i++));
	}
	free(c);
}

static void words_group(struct words *w, const struct group *g)
{
	words_int(w, (int64_t)g->n);
	list_for_each(at, next, &g->admits) {
		const struct admit *a = list_entry(at, struct admit, link);

		words_add(w, map_uuid(&a->lock));
		words_add(w, map_uuid(&a->session));
		words_add(w, uuid_is_zero(&a->replaces) ? STR("") : map_uuid(&a->replaces));
		words_int(w, a->n_seats);
		for (uint32_t i = 0; i < a->n_seats; i++)
			words_int(w, a->seats[i]);
	}
}

/* ---- a look beforehand ---- */

static void on_peek_time(void *arg, const struct redis_answer *r)
{
	struct call *p = arg;

	if (r->status == REDIS_OK)
		p->now_ms = redis_int(redis_item(r->value, 0)) * 1000 + redis_int(redis_item(r->value, 1)) / 1000;
}

/* Whether a seat's value says that it is somebody else's. maybe: only the script can tell. */
static bool peek_taken(struct str v, int64_t now_ms, const struct admit *a, enum seat_state *ret_state, bool *ret_maybe)
{
	uint64_t ends;

	if (v.n < 28)
		return false;
	*ret_maybe = *ret_maybe || memcmp(v.p + 1, a->lock.b, 16) == 0 || v.p[0] == 'F';
	*ret_state = v.p[0] == 'B' ? SEAT_BOOKED : v.p[0] == 'X' ? SEAT_BLOCKED : SEAT_LOCKED;
	if (*ret_state != SEAT_LOCKED)
		return true;
	if (!str_to_u64((struct str){v.p + 27, v.n - 27}, INT64_MAX, &ends)) {
		*ret_maybe = true;
		return false;
	}
	return ends == 0 || (int64_t)ends > now_ms;
}

static void on_peek(void *arg, const struct redis_answer *r)
{
	struct call *p = arg;
	struct group *g = list_first(&p->groups, struct group, link);
	struct seat_map *m = p->map;
	char context[MAP_CONTEXT_MAX];
	bool known = r->status == REDIS_OK && p->now_ms;
	int64_t now_ms = p->now_ms;
	size_t at = 1;
	struct admit *a;

	list_remove(&p->link);
	list_remove(&g->link);
	map_context(m, context);
	known = known && str_eqc(redis_str(redis_item(r->value, 0)), context);
	free(p);
	while ((a = list_first(&g->admits, struct admit, link))) {
		struct seat_admit_answer answer;
		bool maybe = !known || !uuid_is_zero(&a->replaces);

		list_remove(&a->link);
		list_init(&a->link);
		answer.outcome = SEAT_ADMIT_TAKEN;
		answer.marked = false;
		answer.n_taken = answer.n_held = 0;
		for (uint32_t i = 0; known && i < a->n_seats; i++) {
			enum seat_state state;

			if (!peek_taken(redis_str(redis_item(r->value, at++)), now_ms, a, &state, &maybe))
				continue;
			answer.taken[answer.n_taken] = a->seats[i];
			answer.taken_state[answer.n_taken++] = (uint8_t)state;
		}
		a->peeked = true;
		if (answer.n_taken && !maybe)
			admit_end(a, &answer);
		else
			admit_try(a);
	}
	free(g);
}

/* false: not worth it. */
static bool group_peek(struct seat_map *m, struct group *g)
{
	struct str time[] = {STR("TIME")};
	struct map_keys k;
	struct call *p;
	struct words w;

	if (g->n < PEEK_REQUESTS || g->peeked || *crowd_of(m, &g->show) < CROWD || !redis_ready(m->config.redis))
		return false;
	p = xcalloc(1, sizeof(*p));
	p->map = m;
	list_init(&p->groups);
	list_remove(&g->link);
	list_append(&p->groups, &g->link);
	list_append(&m->sent, &p->link);
	map_keys(&g->show, &k);
	words_init(&w);
	words_add(&w, STR("HMGET"));
	words_add(&w, str_from(k.map));
	words_add(&w, STR("c"));
	list_for_each(at, next, &g->admits) {
		const struct admit *a = list_entry(at, struct admit, link);

		for (uint32_t i = 0; i < a->n_seats; i++)
			words_int(&w, a->seats[i]);
	}
	/* the clock first: what ends in between is refused once more, but nothing that was over is believed */
	redis_cmd_start(m->config.redis, time, 1, 0, on_peek_time, p);
	redis_cmd_start(m->config.redis, w.v, w.n, 0, on_peek, p);
	words_done(&w);
	return true;
}

/* ---- the script ---- */

/* As many groups as fit. */
static void call_send(struct seat_map *m)
{
	struct call *c = xcalloc(1, sizeof(*c));
	struct group *g = list_first(&m->groups, struct group, link);
	uint32_t limit = g->limit;
	struct map_keys k[CALL_SHOWS];
	struct str keys[2 * CALL_SHOWS];
	char context[MAP_CONTEXT_MAX];
	size_t n = 0, seats = 0;
	struct words w;

	c->map = m;
	list_init(&c->groups);
	list_append(&m->sent, &c->link);
	map_context(m, context);
	words_init(&w);
	words_add(&w, str_from(context));
	words_int(&w, limit);
	words_int(&w, m->config.pending_ms);
	words_int(&w, m->config.lock_ms);
	while (g && n < CALL_SHOWS && (n == 0 || (!m->config.by_show && seats + g->n_seats <= CALL_SEATS)) &&
	       g->limit == limit) {
		list_remove(&g->link);
		list_append(&c->groups, &g->link);
		map_keys(&g->show, &k[n]);
		keys[2 * n] = str_from(k[n].map);
		keys[2 * n + 1] = str_from(k[n].sessions);
		n++;
		seats += g->n_seats;
		words_group(&w, g);
		g = list_first(&m->groups, struct group, link);
	}
	/* not ready: the command answers REDIS_NOT_SENT by itself at the end of the turn */
	redis_eval_start(m->config.redis, &seat_lua_map_admit, keys, 2 * n, w.v, w.n, 0, on_admitted, c);
	words_done(&w);
}

void seat_map_admit_send(struct seat_map *m)
{
	list_for_each(at, next, &m->groups)
		group_peek(m, list_entry(at, struct group, link));
	while (!list_empty(&m->groups))
		call_send(m);
	m->n_collected = 0;
}

static void admit_try(struct admit *a)
{
	struct seat_map *m = a->map;
	struct group *g = NULL;

	list_for_each(at, next, &m->groups) {
		struct group *other = list_entry(at, struct group, link);

		if (uuid_eq(&other->show, &a->show) && other->limit == a->limit && other->peeked == a->peeked &&
		    other->n < GROUP_REQUESTS) {
			g = other;
			break;
		}
	}
	if (!g) {
		g = xcalloc(1, sizeof(*g));
		g->show = a->show;
		g->limit = a->limit;
		g->peeked = a->peeked;
		list_init(&g->admits);
		list_append(&m->groups, &g->link);
		deferred_post(m->turn);
	}
	list_append(&g->admits, &a->link);
	g->n++;
	g->n_seats += a->n_seats;
	m->n_collected += a->n_seats;
	if (m->n_collected >= CALL_SEATS)
		seat_map_admit_send(m);
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
	a->loaded_once = a->peeked = false;
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
	list_for_each(at, next, &m->sent) {
		struct call *c = list_entry(at, struct call, link);

		groups_free(&c->groups);
		free(c);
	}
}
