/*
 * Owns the comparison of Redis with PostgreSQL: a round goes through the shows on sale in the order of their ids, reads both
 * and remembers where they differ. A seat that differed in the round before as well, in the same way, is repaired: the
 * truth is PostgreSQL's. Marks of admission on seats that are free in PostgreSQL are no difference; they end by themselves.
 * A map of another context (seat_map.h) is taken away as soon as it is seen.
 *
 * Bounded: SHOWS_MAX shows at a time, so that a thousand shows on sale are gone through in turn instead of all at once; the
 * pause comes when all have been seen.
 */
#include "work/work.h"

#include "base/list.h"
#include "base/map.h"
#include "base/xmalloc.h"
#include "seat/seat_sql.h"

#include <stdlib.h>
#include <string.h>

enum { SHOWS_MAX = 20, QUERY_MS = 8000, SEAT_NO_MAX = 1000000 };

/* What differed in a show when it was last compared. */
struct suspicion {
	size_t n;
	struct seat_change *truth; /* as PostgreSQL had it */
	uint8_t *redis_state;	   /* as Redis had it */
};

struct auditor {
	struct pg *pg;
	struct loop *loop;
	struct seat_map *map;
	struct metrics *metrics;
	struct map *suspicions; /* by show */
	struct uuid after;
	struct duty *duty;
	struct list compares;
	size_t waiting;
	bool failed, more;
};

struct compare {
	struct list link;
	struct auditor *a;
	struct uuid show;
	uint8_t *redis_state;	 /* by seat: 0 free; state + 1; 255 pending */
	int32_t *redis_fence;	 /* by seat */
	struct uuid *redis_lock; /* by seat */
	uint32_t n_seats;
};

struct auditor *auditor_new(struct pg *pg, struct loop *loop, struct seat_map *map, struct metrics *metrics)
{
	struct auditor *a = xcalloc(1, sizeof(*a));

	a->pg = pg;
	a->loop = loop;
	a->map = map;
	a->metrics = metrics;
	a->suspicions = map_new();
	list_init(&a->compares);
	return a;
}

static void suspicion_free(struct suspicion *s)
{
	if (!s)
		return;
	free(s->truth);
	free(s->redis_state);
	free(s);
}

static void compare_free(struct compare *c)
{
	list_remove(&c->link);
	free(c->redis_state);
	free(c->redis_fence);
	free(c->redis_lock);
	free(c);
}

void auditor_free(struct auditor *a)
{
	struct map_iter it;
	void *value;

	if (!a)
		return;
	it = map_begin(a->suspicions);
	while (map_next(&it, NULL, &value))
		suspicion_free(value);
	map_free(a->suspicions);
	list_for_each(at, next, &a->compares)
		compare_free(list_entry(at, struct compare, link));
	free(a);
}

static void part_done(struct auditor *a)
{
	if (--a->waiting)
		return;
	duty_done(a->duty, !a->failed, a->more);
}

static void compare_end(struct compare *c)
{
	struct auditor *a = c->a;

	compare_free(c);
	part_done(a);
}

static bool seen_before(const struct suspicion *s, const struct seat_change *truth, uint8_t redis_state)
{
	for (size_t i = 0; s && i < s->n; i++)
		if (s->truth[i].seat_no == truth->seat_no && s->truth[i].state == truth->state &&
		    s->truth[i].fence == truth->fence && s->redis_state[i] == redis_state)
			return true;
	return false;
}

static void on_truth(void *arg, const struct pg_answer *answer)
{
	struct compare *c = arg;
	struct auditor *a = c->a;
	struct suspicion *before, *now;
	struct seat_change *repairs;
	size_t n_repairs = 0, cap;
	int64_t *seats, *states, *fences, *ms;
	struct uuid *locks;
	struct arena arena;
	size_t n = 0;

	if (answer->status != PG_OK) {
		a->failed = true;
		compare_end(c);
		return;
	}
	arena_init(&arena);
	if (pg_rows(answer->result)) {
		n = pg_get_ints(answer->result, 0, 0, &arena, &seats);
		pg_get_ints(answer->result, 0, 1, &arena, &states);
		pg_get_ints(answer->result, 0, 2, &arena, &fences);
		pg_get_uuids(answer->result, 0, 3, &arena, &locks);
		pg_get_ints(answer->result, 0, 4, &arena, &ms);
	}
	before = map_remove_uuid(a->suspicions, &c->show);
	now = xcalloc(1, sizeof(*now));
	cap = n + 1;
	now->truth = xreallocarray(NULL, cap, sizeof(*now->truth));
	now->redis_state = xmalloc(cap);
	repairs = xreallocarray(NULL, cap, sizeof(*repairs));
	for (size_t i = 0; i < n; i++) {
		uint8_t in_redis = (uint32_t)seats[i] < c->n_seats ? c->redis_state[seats[i]] : 0;
		bool over = states[i] == SEAT_LOCKED && ms[i] == 1; /* to be swept; Redis counts it as free already */
		struct seat_change truth = {.seat_no = (uint32_t)seats[i],
					    .state = (uint8_t)states[i],
					    .fence = (int32_t)fences[i],
					    .left_ms = ms[i],
					    .lock = locks[i],
					    .repair = true,
					    .seen_fence = in_redis ? c->redis_fence[seats[i]] : -1};

		if (in_redis == 255 || in_redis == 0) {
			if (over || truth.state == SEAT_FREE)
				continue;
		} else if (in_redis == truth.state + 1 &&
			   (truth.state != SEAT_LOCKED || over || uuid_eq(&c->redis_lock[seats[i]], &truth.lock))) {
			continue;
		}
		if (seen_before(before, &truth, in_redis))
			repairs[n_repairs++] = truth;
		now->truth[now->n] = truth;
		now->redis_state[now->n++] = in_redis;
	}
	metric_add(a->metrics, METRIC_AUDIT_SEATS, 0, 0, (int64_t)n);
	if (n_repairs) {
		metric_add(a->metrics, METRIC_AUDIT_REPAIRS, 0, 0, (int64_t)n_repairs);
		seat_map_apply(a->map, &c->show, repairs, n_repairs, NULL, 0, 0, NULL, NULL);
	}
	free(repairs);
	if (now->n)
		map_put_uuid(a->suspicions, &c->show, now);
	else
		suspicion_free(now);
	suspicion_free(before);
	arena_done(&arena);
	compare_end(c);
}

/* Redis first, PostgreSQL after it: what changes between the two differs now and is gone the next time. */
static void on_map(void *arg, const struct seat_read_answer *r)
{
	struct compare *c = arg;
	struct arena arena;
	struct pg_args args;
	int32_t *listed;
	size_t n = 0;

	if (r->outcome != SEAT_READ_ALL || r->from_database) {
		compare_end(c);
		return;
	}
	for (size_t i = 0; i < r->n; i++)
		if (r->seats[i].seat_no < SEAT_NO_MAX && r->seats[i].seat_no >= c->n_seats)
			c->n_seats = r->seats[i].seat_no + 1;
	c->redis_state = xcalloc(c->n_seats, 1);
	c->redis_fence = xcalloc(c->n_seats, sizeof(*c->redis_fence));
	c->redis_lock = xcalloc(c->n_seats, sizeof(*c->redis_lock));
	arena_init(&arena);
	listed = arena_array(&arena, int32_t, r->n + 1);
	for (size_t i = 0; i < r->n; i++) {
		if (r->seats[i].seat_no >= c->n_seats)
			continue;
		c->redis_state[r->seats[i].seat_no] = r->pending[i] ? 255 : (uint8_t)(r->seats[i].state + 1);
		c->redis_fence[r->seats[i].seat_no] = r->seats[i].fence;
		c->redis_lock[r->seats[i].seat_no] = r->seats[i].lock;
		listed[n++] = (int32_t)r->seats[i].seat_no;
	}
	pg_args_init(&args, &arena);
	pg_arg_uuid(&args, &c->show);
	pg_arg_i32s(&args, listed, n);
	pg_query_start(c->a->pg, &seat_sql_map_audit, &args, QUERY_MS, on_truth, c);
	arena_done(&arena);
}

static void on_shows(void *arg, const struct pg_answer *answer)
{
	struct auditor *a = arg;
	int rows;

	a->waiting = 1;
	if (answer->status != PG_OK) {
		a->failed = true;
		part_done(a);
		return;
	}
	rows = pg_rows(answer->result);
	for (int i = 0; i < rows; i++) {
		struct compare *c = xcalloc(1, sizeof(*c));

		c->a = a;
		list_append(&a->compares, &c->link);
		c->show = pg_get_uuid(answer->result, i, 0);
		a->after = c->show;
		a->waiting++;
		seat_map_read_made(a->map, &c->show, on_map, c); /* what nobody asks for has nothing to compare */
	}
	a->more = rows == SHOWS_MAX;
	if (!a->more)
		memset(&a->after, 0, sizeof(a->after)); /* from the beginning again */
	part_done(a);
}

void auditor_run(void *arg, struct duty *d)
{
	struct auditor *a = arg;
	struct arena arena;
	struct pg_args args;

	a->duty = d;
	a->failed = a->more = false;
	if (!seat_map_ready(a->map)) {
		duty_done(d, true, false);
		return;
	}
	arena_init(&arena);
	pg_args_init(&args, &arena);
	pg_arg_uuid(&args, &a->after);
	pg_arg_i32(&args, SHOWS_MAX);
	pg_query_start(a->pg, &seat_sql_shows_to_audit, &args, QUERY_MS, on_shows, a);
	arena_done(&arena);
}
