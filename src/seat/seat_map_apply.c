/*
 * Owns the writing of what was committed into the maps of Redis (lua/map_apply.lua).
 *
 *   SENT --taken--> done;  --failed--> WAITING (for Redis) --> ASKED (PostgreSQL: how is it now?) --> SENT
 *
 * What failed once is never sent again as it was: by the time Redis is back the seat may be another's, and a map that was
 * loaded meanwhile has no fence for seats that are free.
 */
#include "seat/seat_map_int.h"

#include "base/xmalloc.h"
#include "seat/seat_lua.h"
#include "seat/seat_sql.h"

#include <stdlib.h>
#include <string.h>

enum {
	BUNDLE_SHOWS = 64,
	BUNDLE_SEATS = 2000,
	APPLY_TRY_MS = 50,
	APPLY_LIFE_MS = 5000,
	APPLY_WAIT_MS = 100,
	APPLY_OPEN_MAX = 20000,
	TRUTH_MS = 2000,
};

struct apply {
	struct list link;
	struct list turn; /* map.to_apply, then its bundle's */
	struct seat_map *map;
	struct uuid show;
	struct timer *retry, *wait; /* NULL until needed */
	int64_t give_up_us;
	seat_applied_fn *fn;
	void *arg;
	size_t n, n_sessions;
	struct seat_change *changes;
	struct seat_session_change *sessions;
	int64_t made_us;
};

/* What goes in one call of the script. */
struct bundle {
	struct list link; /* map.bundles */
	struct list applies;
};

static void apply_free(struct apply *a)
{
	list_remove(&a->link);
	list_remove(&a->turn);
	a->map->n_applies--;
	timer_free(a->retry);
	timer_free(a->wait);
	free(a->changes);
	free(a->sessions);
	free(a);
}

static void apply_tell(struct apply *a, bool applied)
{
	seat_applied_fn *fn = a->fn;

	a->fn = NULL;
	if (a->wait)
		timer_clear(a->wait);
	if (fn)
		fn(a->arg, applied);
}

static void apply_lose(struct apply *a)
{
	a->map->stats.apply_lost++;
	apply_tell(a, false);
	apply_free(a);
}

static void on_apply_wait(void *arg)
{
	apply_tell(arg, false);
}

static void apply_again(void *arg);

static void apply_later(struct apply *a)
{
	if (!a->retry)
		a->retry = timer_new(a->map->config.loop, apply_again, a);
	timer_set_ms(a->retry, APPLY_TRY_MS);
}

static void apply_answered(struct apply *a, enum redis_status status)
{
	if (status == REDIS_OK) {
		/* {-1}: no map; nothing to keep true */
		a->map->stats.applied++;
		apply_tell(a, true);
		apply_free(a);
		return;
	}
	if (status == REDIS_NOT_SENT)
		apply_tell(a, false);
	/* a repair that is still needed is found again */
	if (a->map->n_applies > APPLY_OPEN_MAX || (a->n && a->changes[0].repair)) {
		apply_lose(a);
		return;
	}
	a->map->stats.apply_retries++;
	apply_later(a);
}

static bool alike(const struct seat_change *a, const struct seat_change *b)
{
	return a->state == b->state && a->left_ms == b->left_ms && a->repair == b->repair &&
	       a->seen_fence == b->seen_fence && uuid_eq(&a->lock, &b->lock);
}

/* The run of seats from i that were changed alike; returns where the next one begins. */
static size_t words_run(struct words *w, const struct apply *a, size_t i, int64_t late_ms)
{
	const struct seat_change *c = &a->changes[i];
	int64_t left_ms = c->left_ms == 0 ? 0 : c->left_ms > late_ms + 1 ? c->left_ms - late_ms : 1;
	char letter = map_state_letter(c->state);
	size_t end = i + 1;

	while (end < a->n && alike(c, &a->changes[end]))
		end++;
	words_add(w, c->repair ? str_from(arena_printf(&w->arena, "%c%d", letter | 0x20, c->seen_fence))
			       : arena_str(&w->arena, (struct str){&letter, 1}));
	words_add(w, map_uuid(&c->lock));
	words_int(w, left_ms);
	words_int(w, (int64_t)(end - i));
	for (; i < end; i++) {
		words_int(w, a->changes[i].seat_no);
		words_fence(w, a->changes[i].fence);
	}
	return end;
}

static void words_apply(struct words *w, const struct apply *a)
{
	int64_t late_ms = (loop_now_us(a->map->config.loop) - a->made_us) / 1000;

	words_int(w, (int64_t)a->n);
	words_int(w, (int64_t)a->n_sessions);
	for (size_t i = 0; i < a->n; i = words_run(w, a, i, late_ms))
		;
	for (size_t i = 0; i < a->n_sessions; i++) {
		words_add(w, map_uuid(&a->sessions[i].session));
		words_add(w, map_uuid(&a->sessions[i].lock));
		words_int(w, a->sessions[i].left_ms);
	}
}

static void on_bundle(void *arg, const struct redis_answer *r)
{
	struct bundle *b = arg;
	struct apply *a;

	list_remove(&b->link);
	while ((a = list_first(&b->applies, struct apply, turn))) {
		list_remove(&a->turn);
		list_init(&a->turn);
		apply_answered(a, r->status);
	}
	free(b);
}

/* As many as fit; each is a show's. */
static void bundle_send(struct seat_map *m)
{
	struct bundle *b = xcalloc(1, sizeof(*b));
	struct apply *a = list_first(&m->to_apply, struct apply, turn);
	struct map_keys k[BUNDLE_SHOWS];
	struct str keys[3 * BUNDLE_SHOWS];
	char context[MAP_CONTEXT_MAX];
	size_t n = 0, seats = 0;
	struct words w;

	list_init(&b->applies);
	list_append(&m->bundles, &b->link);
	map_context(m, context);
	words_init(&w);
	words_add(&w, str_from(context));
	words_int(&w, m->config.stream_max);
	while (a && n < BUNDLE_SHOWS && (n == 0 || (!m->config.by_show && seats + a->n <= BUNDLE_SEATS))) {
		list_remove(&a->turn);
		list_append(&b->applies, &a->turn);
		map_keys(&a->show, &k[n]);
		keys[3 * n] = str_from(k[n].map);
		keys[3 * n + 1] = str_from(k[n].sessions);
		keys[3 * n + 2] = str_from(k[n].stream);
		n++;
		seats += a->n;
		words_apply(&w, a);
		a = list_first(&m->to_apply, struct apply, turn);
	}
	redis_eval_start(m->config.redis, &seat_lua_map_apply, keys, 3 * n, w.v, w.n, 0, on_bundle, b);
	words_done(&w);
}

void seat_map_flush(struct seat_map *m)
{
	while (!list_empty(&m->to_apply))
		bundle_send(m);
}

static void apply_try(struct apply *a)
{
	list_append(&a->map->to_apply, &a->turn);
	deferred_post(a->map->turn);
}

static int by_seat_no(const void *key, const void *element)
{
	uint32_t seat = *(const uint32_t *)key, other = ((const struct seat_change *)element)->seat_no;

	return seat < other ? -1 : seat > other;
}

static void on_apply_truth(void *arg, const struct pg_answer *answer)
{
	struct apply *a = arg;
	struct seat_change *truth;
	struct arena arena;
	size_t n;

	if (answer->status != PG_OK) {
		apply_later(a);
		return;
	}
	arena_init(&arena);
	n = map_changes_from_rows(answer->result, &arena, &truth);
	for (size_t i = 0; i < a->n; i++) {
		struct seat_change *c = &a->changes[i];
		const struct seat_change *now = n ? bsearch(&c->seat_no, truth, n, sizeof(*truth), by_seat_no) : NULL;

		if (c->state == SEAT_WITHDRAW || !now)
			continue;
		c->state = now->state;
		c->fence = now->fence;
		c->left_ms = now->left_ms;
		/* of a seat that is free: whose mark may be taken away */
		if (now->state != SEAT_FREE)
			c->lock = now->lock;
	}
	a->made_us = loop_now_us(a->map->config.loop);
	arena_done(&arena);
	apply_try(a);
}

static void apply_again(void *arg)
{
	struct apply *a = arg;
	struct arena arena;
	struct pg_args args;
	int32_t *seats;
	size_t n = 0;

	if (loop_now_us(a->map->config.loop) >= a->give_up_us) {
		apply_lose(a);
		return;
	}
	if (!redis_ready(a->map->config.redis)) {
		apply_later(a);
		return;
	}
	arena_init(&arena);
	seats = arena_array(&arena, int32_t, a->n);
	for (size_t i = 0; i < a->n; i++)
		if (a->changes[i].state != SEAT_WITHDRAW)
			seats[n++] = (int32_t)a->changes[i].seat_no;
	if (n) {
		pg_args_init(&args, &arena);
		pg_arg_uuid(&args, &a->show);
		pg_arg_i32s(&args, seats, n);
		pg_query_start(a->map->config.pg, &seat_sql_map_seats, &args, TRUTH_MS, on_apply_truth, a);
	} else {
		apply_try(a);
	}
	arena_done(&arena);
}

void seat_map_apply(struct seat_map *m, const struct uuid *show, const struct seat_change *changes, size_t n,
		    const struct seat_session_change *sessions, size_t n_sessions, int64_t wait_ms, seat_applied_fn *fn,
		    void *arg)
{
	struct apply *a = xcalloc(1, sizeof(*a));

	list_init(&a->turn);
	a->map = m;
	a->show = *show;
	a->fn = fn;
	a->arg = arg;
	a->n = n;
	a->n_sessions = n_sessions;
	a->changes = xreallocarray(NULL, n, sizeof(*changes));
	a->sessions = xreallocarray(NULL, n_sessions, sizeof(*sessions));
	if (n)
		memcpy(a->changes, changes, n * sizeof(*changes));
	if (n_sessions)
		memcpy(a->sessions, sessions, n_sessions * sizeof(*sessions));
	a->made_us = loop_now_us(m->config.loop);
	a->give_up_us = a->made_us + APPLY_LIFE_MS * INT64_C(1000);
	if (fn) {
		a->wait = timer_new(m->config.loop, on_apply_wait, a);
		timer_set_ms(a->wait, wait_ms ? wait_ms : APPLY_WAIT_MS);
	}
	list_append(&m->applies, &a->link);
	m->n_applies++;
	apply_try(a);
}

void seat_map_apply_init(struct seat_map *m)
{
	list_init(&m->applies);
	list_init(&m->to_apply);
	list_init(&m->bundles);
}

void seat_map_apply_done(struct seat_map *m)
{
	list_for_each(at, next, &m->applies)
		apply_free(list_entry(at, struct apply, link));
	list_for_each(bt, bnext, &m->bundles)
		free(list_entry(bt, struct bundle, link));
}
