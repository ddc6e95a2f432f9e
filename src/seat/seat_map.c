/*
 * Owns the operations on the maps in Redis. Each is an object with its own small state; loads of one show are shared by
 * everyone in the process who needs it.
 */
#include "seat/seat_map_int.h"

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
};

const struct pg_stmt *const *const seat_sql = seat_sql_statements;

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
	char context[MAP_CONTEXT_MAX];
	int tries;
	int out; /* reads and chunks under way; the map is finished when all have answered, because a script that Redis had
		  * forgotten is sent again behind what followed it */
	bool failed;
};

static void on_turn(void *arg);

struct seat_map *seat_map_new(const struct seat_map_config *config)
{
	struct seat_map *m = xcalloc(1, sizeof(*m));

	m->config = *config;
	list_init(&m->loads);
	list_init(&m->reads);
	m->turn = deferred_new(config->loop, on_turn, m);
	seat_map_admit_init(m);
	seat_map_apply_init(m);
	seat_map_drop_init(m);
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
	struct str keys[] = {str_from(k.map), str_from(k.stream), str_from(k.sessions)};
	/* without a context: given up, so that nobody waits for it */
	struct str args[] = {str_from(l->generation), l->failed ? STR("") : str_from(l->context), str_from(epoch)};

	redis_eval_start(l->map->config.redis, &seat_lua_map_finish, keys, 3, args, 3, READ_MS, on_finish, l);
}

static void on_chunk(void *arg, const struct redis_answer *a)
{
	struct load *l = arg;

	if (a->status != REDIS_OK || redis_int(a->value) != 1)
		l->failed = true;
	load_part_done(l);
}

static void chunk_change(struct words *w, const struct seat_change *c)
{
	char letter = map_state_letter(c->state);

	words_int(w, c->seat_no);
	words_add(w, c->repair ? str_from(arena_printf(&w->arena, "%c%d", letter | 0x20, c->seen_fence))
			       : arena_str(&w->arena, (struct str){&letter, 1}));
	words_int(w, c->fence);
	words_add(w, arena_str(&w->arena, map_uuid(&c->lock)));
	words_int(w, c->left_ms);
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

			words_add(&w, arena_str(&w.arena, map_uuid(&session)));
			words_add(&w, arena_str(&w.arena, map_uuid(&lock)));
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
	n = map_changes_from_rows(a->result, &arena, &changes);
	for (size_t from = 0; from < n; from += LOAD_CHUNK) {
		size_t count = n - from < LOAD_CHUNK ? n - from : LOAD_CHUNK;

		words_init(&w);
		words_add(&w, str_from(l->generation));
		words_int(&w, (int64_t)count);
		for (size_t i = from; i < from + count; i++)
			chunk_change(&w, &changes[i]);
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
	map_context(l->map, l->context);
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

void seat_map_load(struct seat_map *m, const struct uuid *show, void (*fn)(void *arg, bool loaded), void *arg)
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

/* ---- reading ---- */

struct reader {
	struct list link;
	seat_read_fn *fn;
	void *arg;
};

/* Those who asked in the same turn for the same show, with the same version at hand: one question for all. */
struct map_reader {
	struct list link;
	struct seat_map *map;
	struct uuid show;
	char have[64], version[64];
	bool sent, loaded_once, made_only;
	int64_t now_ms; /* Redis' clock; 0: not told */
	struct list readers;
};

static void read_try(struct map_reader *rd);

static void read_end(struct map_reader *rd, const struct seat_read_answer *answer)
{
	struct reader *r;

	list_remove(&rd->link);
	while ((r = list_first(&rd->readers, struct reader, link))) {
		list_remove(&r->link);
		r->fn(r->arg, answer);
		free(r);
	}
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
		answer.n = map_changes_from_rows(a->result, &arena, &changes);
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

static void on_read_loaded(void *arg, bool loaded);

/* There is no map, or none of this context. */
static void read_missing(struct map_reader *rd)
{
	struct seat_read_answer none = {.outcome = SEAT_READ_FAILED, .version = STR("")};

	if (rd->made_only) {
		read_end(rd, &none);
		return;
	}
	if (rd->loaded_once) {
		read_database(rd);
		return;
	}
	rd->loaded_once = true;
	seat_map_load(rd->map, &rd->show, on_read_loaded, rd);
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

/* Everything there is in the map, read behind its version: what it has may be newer than that, never older. */
static void on_all(void *arg, const struct redis_answer *r)
{
	struct map_reader *rd = arg;
	struct seat_read_answer answer = {.outcome = SEAT_READ_ALL, .version = str_from(rd->version)};
	size_t n = redis_count(r->value) / 2, k = 0;
	char context[MAP_CONTEXT_MAX];
	struct seat_change *changes;
	bool *pending, whole = false;

	if (r->status != REDIS_OK || !rd->now_ms) {
		read_database(rd);
		return;
	}
	map_context(rd->map, context);
	changes = xreallocarray(NULL, n, sizeof(*changes));
	pending = xreallocarray(NULL, n, sizeof(*pending));
	for (size_t i = 0; i < n; i++) {
		struct str field = redis_str(redis_item(r->value, 2 * i)),
			   value = redis_str(redis_item(r->value, 2 * i + 1));

		if (field.n == 1 && field.p[0] == 'c')
			whole = str_eqc(value, context);
		else
			k += read_field(field, value, rd->now_ms, &changes[k], &pending[k]);
	}
	answer.n = k;
	answer.seats = changes;
	answer.pending = pending;
	if (whole)
		read_end(rd, &answer);
	else
		read_missing(rd); /* it was dropped in between */
	free(changes);
	free(pending);
}

static void on_clock(void *arg, const struct redis_answer *r)
{
	struct map_reader *rd = arg;

	rd->now_ms = 0;
	if (r->status == REDIS_OK)
		rd->now_ms = redis_int(redis_item(r->value, 0)) * 1000 + redis_int(redis_item(r->value, 1)) / 1000;
}

static void on_version(void *arg, const struct redis_answer *r)
{
	struct map_reader *rd = arg;
	struct seat_read_answer answer = {.outcome = SEAT_READ_SAME, .version = str_from(rd->version)};
	struct str epoch = redis_str(redis_item(r->value, 1)), number = redis_str(redis_item(r->value, 2));
	char context[MAP_CONTEXT_MAX];
	struct map_keys k;

	if (r->status != REDIS_OK) {
		read_database(rd);
		return;
	}
	map_context(rd->map, context);
	if (!str_eqc(redis_str(redis_item(r->value, 0)), context)) {
		if (rd->made_only && redis_type(redis_item(r->value, 0)) == REDIS_STRING)
			seat_map_forget(rd->map, &rd->show);
		read_missing(rd);
		return;
	}
	snprintf(rd->version, sizeof(rd->version), "%.*s-%.*s", STR_FMT(epoch), STR_FMT(number));
	answer.version = str_from(rd->version);
	if (strcmp(rd->version, rd->have) == 0) {
		read_end(rd, &answer);
		return;
	}
	map_keys(&rd->show, &k);
	struct str clock[] = {STR("TIME")}, all[] = {STR("HGETALL"), str_from(k.map)};

	redis_cmd_start(rd->map->config.redis, clock, 1, READ_MS, on_clock, rd);
	redis_cmd_start(rd->map->config.redis, all, 2, READ_MS, on_all, rd);
}

/* The version first: mostly nothing has changed since the one that is at hand. No script: it would hold a large map twice. */
static void read_try(struct map_reader *rd)
{
	struct map_keys k;

	map_keys(&rd->show, &k);
	struct str argv[] = {STR("HMGET"), str_from(k.map), STR("c"), STR("e"), STR("n")};

	redis_cmd_start(rd->map->config.redis, argv, 5, READ_MS, on_version, rd);
}

static void read_want(struct seat_map *m, const struct uuid *show, struct str have, bool made_only, seat_read_fn *fn,
		      void *arg)
{
	struct map_reader *rd = NULL;
	struct reader *r = xmalloc(sizeof(*r));

	list_init(&r->link);
	r->fn = fn;
	r->arg = arg;
	list_for_each(at, next, &m->reads) {
		struct map_reader *other = list_entry(at, struct map_reader, link);

		/* never one that is under way: what was committed since it left must be in the answer */
		if (!other->sent && other->made_only == made_only && uuid_eq(&other->show, show) &&
		    str_eqc(have, other->have)) {
			rd = other;
			break;
		}
	}
	if (!rd) {
		rd = xcalloc(1, sizeof(*rd));
		rd->map = m;
		rd->show = *show;
		rd->made_only = made_only;
		list_init(&rd->readers);
		if (have.n < sizeof(rd->have))
			memcpy(rd->have, have.p, have.n);
		/* before those under way: they are looked through above */
		list_prepend(&m->reads, &rd->link);
		deferred_post(m->turn);
	}
	list_append(&rd->readers, &r->link);
}

void seat_map_read(struct seat_map *m, const struct uuid *show, struct str have, seat_read_fn *fn, void *arg)
{
	read_want(m, show, have, false, fn, arg);
}

void seat_map_read_made(struct seat_map *m, const struct uuid *show, seat_read_fn *fn, void *arg)
{
	read_want(m, show, STR(""), true, fn, arg);
}

/* What was asked for in this turn leaves together. */
static void on_turn(void *arg)
{
	struct seat_map *m = arg;

	seat_map_flush(m); /* first: the others are to see it */
	seat_map_admit_send(m);
	list_for_each(at, next, &m->reads) {
		struct map_reader *rd = list_entry(at, struct map_reader, link);

		if (rd->sent)
			break;
		rd->sent = true;
		read_try(rd);
	}
}

void seat_map_free(struct seat_map *m)
{
	if (!m)
		return;
	/* Redis and PostgreSQL objects are freed first and drop their callbacks; what waits in memory goes here. */
	seat_map_admit_done(m);
	seat_map_apply_done(m);
	seat_map_drop_done(m);
	list_for_each(rt, rnext, &m->reads) {
		struct map_reader *rd = list_entry(rt, struct map_reader, link);

		list_for_each(it, inext, &rd->readers)
			free(list_entry(it, struct reader, link));
		free(rd);
	}
	deferred_free(m->turn);
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
