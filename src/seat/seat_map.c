/*
 * Owns the operations on the maps in Redis. Each is an object with its own small state; loads of one show are shared by
 * everyone in the process who needs it.
 */
#include "seat/seat_map.h"

#include "base/list.h"
#include "base/xmalloc.h"
#include "io/crypto.h"
#include "seat/seat_lua.h"
#include "seat/seat_sql.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	LOAD_LEASE_MS = 5000, /* how long others wait for a loader that died, a second each */
	LOAD_WAIT_MS = 20,
	LOAD_TRIES_MAX = 50, /* of LOAD_WAIT_MS: after it PostgreSQL decides alone */
	LOAD_CHUNK = 1000,   /* seats per script call: a few milliseconds of Redis' time */
	READ_MS = 2000,
	APPLY_TRY_MS = 50,
	APPLY_LIFE_MS = 5000,
	APPLY_WAIT_MS = 100,
	APPLY_OPEN_MAX = 20000,
};

const struct pg_stmt *const *const seat_sql = seat_sql_statements;

struct map_keys {
	char map[8 + UUID_TEXT], sessions[8 + UUID_TEXT], stream[8 + UUID_TEXT];
};

struct waiter {
	struct list link;
	void (*fn)(void *arg, bool loaded);
	void *arg;
};

/* The loading of one show's map: BEGIN -> READ -> CHUNKS -> FINISH; or WAIT for another loader, then BEGIN again. */
struct load {
	struct list link, waiters;
	struct seat_map *map;
	struct uuid show;
	struct timer *timer;
	char generation[33];
	char context[160];
	int tries;
	int out; /* reads and chunks under way; the map is finished when all have answered, because a script that Redis had
		  * forgotten is sent again behind what followed it */
	bool failed;
};

struct seat_map {
	struct seat_map_config config;
	struct list loads;
	struct list applies;
	struct list readers;
	size_t n_applies;
	struct seat_map_stats stats;
};

static void map_keys(const struct uuid *show, struct map_keys *k)
{
	char id[UUID_TEXT];

	uuid_format(show, id);
	snprintf(k->map, sizeof(k->map), "map:{%s}", id);
	snprintf(k->sessions, sizeof(k->sessions), "ses:{%s}", id);
	snprintf(k->stream, sizeof(k->stream), "chg:{%s}", id);
}

static struct str uuid_bytes(const struct uuid *u)
{
	return (struct str){(const char *)u->b, 16};
}

static void map_context(const struct seat_map *m, char *out, size_t size)
{
	snprintf(out, size, "%s/%s", redis_run_id(m->config.redis), pg_timeline(m->config.pg));
}

struct seat_map *seat_map_new(const struct seat_map_config *config)
{
	struct seat_map *m = xcalloc(1, sizeof(*m));

	m->config = *config;
	list_init(&m->loads);
	list_init(&m->applies);
	list_init(&m->readers);
	return m;
}

bool seat_map_ready(const struct seat_map *m)
{
	return redis_ready(m->config.redis) && pg_timeline(m->config.pg)[0];
}

const struct seat_map_stats *seat_map_get_stats(const struct seat_map *m)
{
	return &m->stats;
}

/* ---- loading ---- */

static void load_begin(struct load *l);

static void load_done(struct load *l, bool loaded)
{
	struct waiter *w;

	list_remove(&l->link);
	l->map->stats.loads += loaded;
	while ((w = list_first(&l->waiters, struct waiter, link))) {
		list_remove(&w->link);
		w->fn(w->arg, loaded);
		free(w);
	}
	timer_free(l->timer);
	free(l);
}

static void on_finish(void *arg, const struct redis_answer *a)
{
	struct load *l = arg;

	load_done(l, a->status == REDIS_OK && redis_int(a->value) == 1 && !l->failed);
}

/* One of the reads or chunks has answered. */
static void load_part_done(struct load *l)
{
	struct map_keys k;
	char epoch[17];
	uint8_t random[8];

	if (--l->out > 0)
		return;
	map_keys(&l->show, &k);
	crypto_random(random, sizeof(random));
	hex_encode(random, sizeof(random), epoch);
	struct str keys[] = {str_from(k.map), str_from(k.stream)};
	/* without a context: given up, so that nobody waits for it */
	struct str args[] = {str_from(l->generation), l->failed ? STR("") : str_from(l->context), str_from(epoch)};

	redis_eval_start(l->map->config.redis, &seat_lua_map_finish, keys, 2, args, 3, READ_MS, on_finish, l);
}

static void on_chunk(void *arg, const struct redis_answer *a)
{
	struct load *l = arg;

	if (a->status != REDIS_OK || redis_int(a->value) != 1)
		l->failed = true;
	load_part_done(l);
}

/* Text of the pieces of a script call; they live in an arena until the call was started. */
struct words {
	struct arena arena;
	struct str *v;
	size_t n, cap;
};

static void words_init(struct words *w)
{
	memset(w, 0, sizeof(*w));
	arena_init(&w->arena);
}

static void words_add(struct words *w, struct str s)
{
	if (w->n == w->cap) {
		w->cap = w->cap ? w->cap * 2 : 64;
		w->v = xreallocarray(w->v, w->cap, sizeof(*w->v));
	}
	w->v[w->n++] = s;
}

static void words_int(struct words *w, int64_t v)
{
	struct buf b;

	buf_init(&b, 32);
	buf_addi(&b, v);
	words_add(w, arena_str(&w->arena, buf_str(&b)));
	buf_done(&b);
}

static void words_done(struct words *w)
{
	arena_done(&w->arena);
	free(w->v);
}

static char state_letter(uint8_t state)
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

static void words_change(struct words *w, const struct seat_change *c)
{
	char letter = state_letter(c->state);

	words_int(w, c->seat_no);
	words_add(w, c->repair ? str_from(arena_printf(&w->arena, "%c%d", letter | 0x20, c->seen_fence))
			       : arena_str(&w->arena, (struct str){&letter, 1}));
	words_int(w, c->fence);
	words_add(w, arena_str(&w->arena, uuid_bytes(&c->lock)));
	words_int(w, c->left_ms);
}

static size_t changes_from_rows(const struct pg_result *r, struct arena *arena, struct seat_change **ret)
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

static void load_chunk(struct load *l, const struct map_keys *k, struct words *w)
{
	struct str keys[] = {str_from(k->map), str_from(k->sessions)};

	l->out++;
	redis_eval_start(l->map->config.redis, &seat_lua_map_chunk, keys, 2, w->v, w->n, READ_MS, on_chunk, l);
}

static void on_load_sessions(void *arg, const struct pg_answer *a)
{
	struct load *l = arg;
	struct map_keys k;
	struct words w;

	map_keys(&l->show, &k);
	if (a->status != PG_OK) {
		l->failed = true;
	} else if (pg_rows(a->result)) {
		words_init(&w);
		words_add(&w, str_from(l->generation));
		words_int(&w, 0);
		for (int i = 0; i < pg_rows(a->result); i++) {
			struct uuid session = pg_get_uuid(a->result, i, 0), lock = pg_get_uuid(a->result, i, 1);

			words_add(&w, arena_str(&w.arena, uuid_bytes(&session)));
			words_add(&w, arena_str(&w.arena, uuid_bytes(&lock)));
			words_int(&w, pg_get_int(a->result, i, 2));
			if (w.n >= 3000 || i + 1 == pg_rows(a->result)) {
				load_chunk(l, &k, &w);
				w.n = 2;
			}
		}
		words_done(&w);
	}
	load_part_done(l);
}

static void on_load_rows(void *arg, const struct pg_answer *a)
{
	struct load *l = arg;
	struct arena arena;
	struct seat_change *changes;
	struct map_keys k;
	struct words w;
	size_t n;

	if (a->status != PG_OK) {
		l->failed = true;
		load_part_done(l);
		return;
	}
	map_keys(&l->show, &k);
	arena_init(&arena);
	n = changes_from_rows(a->result, &arena, &changes);
	for (size_t from = 0; from < n; from += LOAD_CHUNK) {
		size_t count = n - from < LOAD_CHUNK ? n - from : LOAD_CHUNK;

		words_init(&w);
		words_add(&w, str_from(l->generation));
		words_int(&w, (int64_t)count);
		for (size_t i = from; i < from + count; i++)
			words_change(&w, &changes[i]);
		load_chunk(l, &k, &w);
		words_done(&w);
	}
	arena_done(&arena);
	load_part_done(l);
}

static void on_begin(void *arg, const struct redis_answer *a)
{
	struct load *l = arg;
	struct pg_args args;
	struct arena arena;
	int64_t what = redis_int(redis_item(a->value, 0));

	if (a->status != REDIS_OK || (what == 1 && ++l->tries > LOAD_TRIES_MAX)) {
		load_done(l, false);
		return;
	}
	if (what == 0) {
		load_done(l, true);
		return;
	}
	if (what == 1) {
		timer_set_ms(l->timer, LOAD_WAIT_MS);
		return;
	}
	if (!pg_ready(l->map->config.pg)) {
		l->failed = true;
		l->out = 1;
		load_part_done(l);
		return;
	}
	arena_init(&arena);
	pg_args_init(&args, &arena);
	pg_arg_uuid(&args, &l->show);
	l->out = 2;
	/* two statements: a change between them is noted by map_apply, whichever of them saw it */
	pg_query_start(l->map->config.pg, &seat_sql_map_read, &args, READ_MS, on_load_rows, l);
	pg_query_start(l->map->config.pg, &seat_sql_map_sessions, &args, READ_MS, on_load_sessions, l);
	arena_done(&arena);
}

static void load_begin(struct load *l)
{
	struct map_keys k;
	struct str keys[2];
	uint8_t random[16];

	map_keys(&l->show, &k);
	crypto_random(random, sizeof(random));
	hex_encode(random, sizeof(random), l->generation);
	map_context(l->map, l->context, sizeof(l->context));
	keys[0] = str_from(k.map);
	keys[1] = str_from(k.sessions);
	char lease[16];

	snprintf(lease, sizeof(lease), "%d", LOAD_LEASE_MS);
	struct str args[] = {str_from(l->context), str_from(l->generation), str_from(lease)};

	redis_eval_start(l->map->config.redis, &seat_lua_map_begin, keys, 2, args, 3, 0, on_begin, l);
}

static void on_load_timer(void *arg)
{
	load_begin(arg);
}

static void load_want(struct seat_map *m, const struct uuid *show, void (*fn)(void *, bool), void *arg)
{
	struct waiter *w = xcalloc(1, sizeof(*w));
	struct load *l = NULL;

	w->fn = fn;
	w->arg = arg;
	list_for_each(at, next, &m->loads) {
		struct load *other = list_entry(at, struct load, link);

		if (uuid_eq(&other->show, show))
			l = other;
	}
	if (!l) {
		l = xcalloc(1, sizeof(*l));
		l->map = m;
		l->show = *show;
		list_init(&l->waiters);
		l->timer = timer_new(m->config.loop, on_load_timer, l);
		list_append(&m->loads, &l->link);
		list_append(&l->waiters, &w->link);
		load_begin(l);
		return;
	}
	list_append(&l->waiters, &w->link);
}

/* ---- admission ---- */

struct admit {
	struct seat_map *map;
	struct uuid show, lock, session, replaces;
	uint32_t limit, n_seats;
	bool loaded_once;
	seat_admit_fn *fn;
	void *arg;
	uint32_t seats[SEAT_ASK_MAX];
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

static void on_admit_loaded(void *arg, bool loaded)
{
	struct admit *a = arg;
	struct seat_admit_answer answer = {.outcome = SEAT_ADMIT_UNKNOWN};

	if (loaded)
		admit_try(a);
	else
		admit_end(a, &answer);
}

static void on_admit(void *arg, const struct redis_answer *r)
{
	struct admit *a = arg;
	struct seat_admit_answer answer = {.outcome = SEAT_ADMIT_UNKNOWN};
	size_t n = redis_count(r->value);

	if (r->status != REDIS_OK) {
		answer.marked = r->status == REDIS_UNKNOWN;
		admit_end(a, &answer);
		return;
	}
	switch (redis_int(redis_item(r->value, 0))) {
	case 0:
		answer.outcome = SEAT_ADMITTED;
		answer.marked = true;
		break;
	case 1:
		answer.outcome = SEAT_ADMIT_TAKEN;
		for (size_t i = 1; i + 1 < n && answer.n_taken < SEAT_ASK_MAX; i += 2) {
			struct str s = redis_str(redis_item(r->value, i + 1));

			answer.taken[answer.n_taken] = (uint32_t)redis_int(redis_item(r->value, i));
			answer.taken_state[answer.n_taken++] = s.n && s.p[0] == 'B'   ? SEAT_BOOKED
							       : s.n && s.p[0] == 'X' ? SEAT_BLOCKED
										      : SEAT_LOCKED;
		}
		break;
	case 2:
		if (!a->loaded_once) {
			a->loaded_once = true;
			load_want(a->map, &a->show, on_admit_loaded, a);
			return;
		}
		break;
	case 3:
		answer.outcome = SEAT_ADMIT_LIMIT;
		for (size_t i = 1; i < n && answer.n_held < 32; i++) {
			struct str s = redis_str(redis_item(r->value, i));

			if (s.n == 16)
				memcpy(answer.held[answer.n_held++].b, s.p, 16);
		}
		break;
	default:
		break;
	}
	admit_end(a, &answer);
}

static void admit_try(struct admit *a)
{
	struct seat_map *m = a->map;
	struct map_keys k;
	struct words w;
	char context[160];

	map_keys(&a->show, &k);
	map_context(m, context, sizeof(context));
	words_init(&w);
	words_add(&w, str_from(context));
	words_add(&w, uuid_bytes(&a->lock));
	words_add(&w, uuid_bytes(&a->session));
	words_add(&w, uuid_is_zero(&a->replaces) ? STR("") : uuid_bytes(&a->replaces));
	words_int(&w, a->limit);
	words_int(&w, m->config.pending_ms);
	for (uint32_t i = 0; i < a->n_seats; i++)
		words_int(&w, a->seats[i]);
	struct str keys[] = {str_from(k.map), str_from(k.sessions)};

	redis_eval_start(m->config.redis, &seat_lua_map_admit, keys, 2, w.v, w.n, 0, on_admit, a);
	words_done(&w);
}

void seat_map_admit(struct seat_map *m, const struct uuid *show, const struct uuid *lock, const struct uuid *session,
		    const struct uuid *replaces, const uint32_t *seats, uint32_t n_seats, uint32_t limit,
		    seat_admit_fn *fn, void *arg)
{
	struct admit *a = xcalloc(1, sizeof(*a));

	a->map = m;
	a->show = *show;
	a->lock = *lock;
	a->session = *session;
	a->replaces = *replaces;
	a->n_seats = n_seats;
	a->limit = limit;
	a->fn = fn;
	a->arg = arg;
	memcpy(a->seats, seats, n_seats * sizeof(*seats));
	/* not ready: the command answers REDIS_NOT_SENT by itself at the end of the turn */
	admit_try(a);
}

/*
 * ---- applying what was committed ----
 *
 *   SENT --taken--> done;  --failed--> WAITING (for Redis) --> ASKED (PostgreSQL: how is it now?) --> SENT
 *
 * What failed once is never sent again as it was: by the time Redis is back the seat may be another's, and a map that was
 * loaded meanwhile has no fence for seats that are free. */

struct apply {
	struct list link;
	struct seat_map *map;
	struct uuid show;
	struct timer *retry, *wait;
	int64_t give_up_us;
	seat_applied_fn *fn;
	void *arg;
	size_t n, n_sessions;
	struct seat_change *changes;
	struct seat_session_change *sessions;
	int64_t made_us;
};

static void apply_free(struct apply *a)
{
	list_remove(&a->link);
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

static void on_apply(void *arg, const struct redis_answer *r)
{
	struct apply *a = arg;

	if (r->status == REDIS_OK) {
		/* {-1}: no map; nothing to keep true */
		a->map->stats.applied++;
		apply_tell(a, true);
		apply_free(a);
		return;
	}
	if (r->status == REDIS_NOT_SENT)
		apply_tell(a, false);
	/* a repair that is still needed is found again */
	if (a->map->n_applies > APPLY_OPEN_MAX || (a->n && a->changes[0].repair)) {
		apply_lose(a);
		return;
	}
	a->map->stats.apply_retries++;
	timer_set_ms(a->retry, APPLY_TRY_MS);
}

static void apply_try(void *arg)
{
	struct apply *a = arg;
	int64_t late_ms = (loop_now_us(a->map->config.loop) - a->made_us) / 1000;
	struct map_keys k;
	struct words w;
	char context[160];

	map_keys(&a->show, &k);
	map_context(a->map, context, sizeof(context));
	words_init(&w);
	words_add(&w, str_from(context));
	words_int(&w, (int64_t)a->n);
	words_int(&w, a->map->config.stream_max);
	for (size_t i = 0; i < a->n; i++) {
		struct seat_change c = a->changes[i];

		if (c.left_ms)
			c.left_ms = c.left_ms > late_ms + 1 ? c.left_ms - late_ms : 1;
		words_change(&w, &c);
	}
	for (size_t i = 0; i < a->n_sessions; i++) {
		words_add(&w, uuid_bytes(&a->sessions[i].session));
		words_add(&w, uuid_bytes(&a->sessions[i].lock));
		words_int(&w, a->sessions[i].left_ms);
	}
	struct str keys[] = {str_from(k.map), str_from(k.sessions), str_from(k.stream)};

	redis_eval_start(a->map->config.redis, &seat_lua_map_apply, keys, 3, w.v, w.n, 0, on_apply, a);
	words_done(&w);
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
		timer_set_ms(a->retry, APPLY_TRY_MS);
		return;
	}
	arena_init(&arena);
	n = changes_from_rows(answer->result, &arena, &truth);
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
		timer_set_ms(a->retry, APPLY_TRY_MS);
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
		pg_query_start(a->map->config.pg, &seat_sql_map_seats, &args, READ_MS, on_apply_truth, a);
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
	a->retry = timer_new(m->config.loop, apply_again, a);
	a->wait = timer_new(m->config.loop, on_apply_wait, a);
	if (fn)
		timer_set_ms(a->wait, wait_ms ? wait_ms : APPLY_WAIT_MS);
	list_append(&m->applies, &a->link);
	m->n_applies++;
	apply_try(a);
}

/* ---- reading ---- */

struct map_reader {
	struct list link;
	struct seat_map *map;
	struct uuid show;
	char have[64];
	bool loaded_once;
	seat_read_fn *fn;
	void *arg;
};

static void read_try(struct map_reader *rd);

static void read_end(struct map_reader *rd, const struct seat_read_answer *answer)
{
	list_remove(&rd->link);
	rd->fn(rd->arg, answer);
	free(rd);
}

static void on_read_rows(void *arg, const struct pg_answer *a)
{
	struct map_reader *rd = arg;
	struct seat_read_answer answer = {.outcome = SEAT_READ_FAILED, .from_database = true, .version = STR("")};
	struct seat_change *changes = NULL;
	struct arena arena;
	uint8_t random[8];
	char version[24];

	arena_init(&arena);
	if (a->status == PG_OK) {
		answer.outcome = SEAT_READ_ALL;
		answer.n = changes_from_rows(a->result, &arena, &changes);
		answer.seats = changes;
		answer.pending = arena_array(&arena, bool, answer.n + 1);
		crypto_random(random, sizeof(random));
		hex_encode(random, sizeof(random), version);
		memcpy(version + 16, "-1", 3);
		answer.version = str_from(version);
	}
	read_end(rd, &answer);
	arena_done(&arena);
}

static void read_database(struct map_reader *rd)
{
	struct arena arena;
	struct pg_args args;

	arena_init(&arena);
	pg_args_init(&args, &arena);
	pg_arg_uuid(&args, &rd->show);
	pg_query_start(rd->map->config.pg, &seat_sql_map_read, &args, READ_MS, on_read_rows, rd);
	arena_done(&arena);
}

static void on_read_loaded(void *arg, bool loaded)
{
	if (loaded)
		read_try(arg);
	else
		read_database(arg);
}

/* One field of the hash; false for what is not a seat or no longer held. */
static bool read_field(struct str field, struct str value, int64_t now_ms, struct seat_change *c, bool *ret_pending)
{
	uint64_t seat, fence, ends = 0;
	char s = value.n > 27 ? value.p[0] : 'F';

	if (s == 'F' || !str_to_u64(field, UINT32_MAX, &seat) ||
	    !str_to_u64((struct str){value.p + 17, 10}, INT32_MAX, &fence) ||
	    !str_to_u64((struct str){value.p + 27, value.n - 27}, INT64_MAX, &ends))
		return false;
	*ret_pending = s == 'P';
	memset(c, 0, sizeof(*c));
	c->seat_no = (uint32_t)seat;
	c->state = s == 'B' ? SEAT_BOOKED : s == 'X' ? SEAT_BLOCKED : SEAT_LOCKED;
	c->fence = (int32_t)fence;
	memcpy(c->lock.b, value.p + 1, 16);
	if (ends && (int64_t)ends <= now_ms)
		return false;
	c->left_ms = ends ? (int64_t)ends - now_ms : 0;
	return true;
}

static void on_read(void *arg, const struct redis_answer *r)
{
	struct map_reader *rd = arg;
	struct seat_read_answer answer = {.outcome = SEAT_READ_SAME};
	const struct redis_value *all;
	struct seat_change *changes;
	bool *pending;
	size_t n, k = 0;
	int64_t now_ms;

	if (r->status != REDIS_OK) {
		read_database(rd);
		return;
	}
	switch (redis_int(redis_item(r->value, 0))) {
	case 0:
		answer.version = redis_str(redis_item(r->value, 1));
		read_end(rd, &answer);
		return;
	case 1:
		break;
	default:
		if (rd->loaded_once) {
			read_database(rd);
		} else {
			rd->loaded_once = true;
			load_want(rd->map, &rd->show, on_read_loaded, rd);
		}
		return;
	}
	now_ms = redis_int(redis_item(r->value, 2));
	all = redis_item(r->value, 3);
	n = redis_count(all) / 2;
	changes = xreallocarray(NULL, n, sizeof(*changes));
	pending = xreallocarray(NULL, n, sizeof(*pending));
	for (size_t i = 0; i < n; i++)
		k += read_field(redis_str(redis_item(all, 2 * i)), redis_str(redis_item(all, 2 * i + 1)), now_ms,
				&changes[k], &pending[k]);
	answer.outcome = SEAT_READ_ALL;
	answer.version = redis_str(redis_item(r->value, 1));
	answer.n = k;
	answer.seats = changes;
	answer.pending = pending;
	read_end(rd, &answer);
	free(changes);
	free(pending);
}

static void read_try(struct map_reader *rd)
{
	struct map_keys k;
	char context[160];

	map_keys(&rd->show, &k);
	map_context(rd->map, context, sizeof(context));
	struct str keys[] = {str_from(k.map)};
	struct str args[] = {str_from(context), str_from(rd->have)};

	redis_eval_start(rd->map->config.redis, &seat_lua_map_read, keys, 1, args, 2, READ_MS, on_read, rd);
}

void seat_map_read(struct seat_map *m, const struct uuid *show, struct str have, seat_read_fn *fn, void *arg)
{
	struct map_reader *rd = xcalloc(1, sizeof(*rd));

	rd->map = m;
	list_append(&m->readers, &rd->link);
	rd->show = *show;
	rd->fn = fn;
	rd->arg = arg;
	if (have.n < sizeof(rd->have))
		memcpy(rd->have, have.p, have.n);
	read_try(rd);
}

void seat_map_free(struct seat_map *m)
{
	if (!m)
		return;
	/* Redis and PostgreSQL objects are freed first and drop their callbacks; what waits in memory goes here. */
	list_for_each(at, next, &m->applies)
		apply_free(list_entry(at, struct apply, link));
	list_for_each(rt, rnext, &m->readers)
		free(list_entry(rt, struct map_reader, link));
	list_for_each(at, next, &m->loads) {
		struct load *l = list_entry(at, struct load, link);
		struct waiter *w;

		while ((w = list_first(&l->waiters, struct waiter, link))) {
			list_remove(&w->link);
			free(w);
		}
		list_remove(&l->link);
		timer_free(l->timer);
		free(l);
	}
	free(m);
}
