/*
 * The Seat Service over HTTP, except the lock request itself (seat_locks.c), the two maps (seat_maps.c) and blocks
 * (seat_blocks.c): one lock, its release, what a session holds. Owns the service's structure.
 */
#include "seat/seat_service.h"

#include "base/xmalloc.h"
#include "io/crypto.h"
#include "io/metrics_table.h"
#include "io/page.h"
#include "seat/seat_locks.h"
#include "seat/seat_sql.h"
#include "seat/seat_store.h"

#include <stdlib.h>
#include <string.h>

enum { QUERY_MS = 3000, MINE_MAX = 50 };

struct seat_service *seat_service_new(const struct seat_service_config *config)
{
	struct seat_service *s = xcalloc(1, sizeof(*s));
	struct seat_batch_config batch = {.loop = config->loop,
					  .pg = config->pg,
					  .map = config->map,
					  .metrics = config->metrics,
					  .requests_max = SEAT_BATCH_REQUESTS,
					  .by_show = config->by_show,
					  .locks_per_session = config->locks_per_session,
					  .lifetime_us = config->lock_lifetime_us,
					  .deadline_ms = 3000};

	s->config = *config;
	s->batch = seat_batch_new(&batch);
	s->availability = availability_new();
	s->watch = lock_watch_new(config->loop, config->pg, config->streams);
	crypto_derive(auth_master(config->auth), "email", &s->email_key);
	return s;
}

void seat_service_free(struct seat_service *s)
{
	if (!s)
		return;
	seat_batch_free(s->batch);
	availability_free(s->availability);
	lock_watch_free(s->watch);
	free(s);
}

bool seat_service_ready(const struct seat_service *s)
{
	return seat_batch_ready(s->batch);
}

size_t seat_service_waiting(const struct seat_service *s)
{
	return seat_batch_waiting(s->batch);
}

/* ---- how a lock is shown ---- */

void seats_write(struct jw *w, const struct plan *plan, size_t n, const int64_t *seats, const int64_t *prices_minor,
		 const char *currency)
{
	for (size_t i = 0; i < n; i++) {
		struct plan_seat seat = plan_seat(plan, (uint32_t)seats[i]);

		jw_obj(w);
		jw_kstr(w, "guid", seat.guid);
		jw_kstr(w, "category", plan_category(plan, seat.category).name);
		jw_kmoney(w, "price", prices_minor[i], currency);
		jw_obj_end(w);
	}
}

void seats_refuse(struct web_call *call, const struct error *e, struct str bad_seat, uint32_t limit)
{
	struct jw *w = web_problem(call, e->code, e->detail);

	jw_kcstr(w, "path", e->path);
	if (e->code == ERR_TOO_MANY_SEATS)
		jw_kint(w, "limit", limit);
	if (e->code == ERR_UNKNOWN_SEAT || e->code == ERR_DUPLICATE_SEAT)
		jw_kstr(w, "seat", bad_seat);
	web_problem_end(call);
}

/* Fields into an open object. */
void lock_write(struct jw *w, const struct lock_view *v, const struct plan *plan)
{
	enum lock_state state = v->state == LOCK_ACTIVE && v->now_us >= v->expires_us ? LOCK_EXPIRED : v->state;
	int64_t left_us = v->expires_us - v->now_us;
	bool counts = state == LOCK_ACTIVE || state == LOCK_PAYING;

	jw_kuuid(w, "lock_id", &v->lock_id);
	jw_kuuid(w, "show_id", &v->show_id);
	jw_kcstr(w, "state", lock_state_name(state));
	jw_key(w, "seats");
	jw_arr(w);
	seats_write(w, plan, v->n, v->seats, v->prices_minor, v->currency);
	jw_arr_end(w);
	jw_kmoney(w, "total", v->total_minor, v->currency);
	jw_ktime(w, "expires_at", v->expires_us);
	jw_kint(w, "expires_in", counts && left_us > 0 ? (left_us + 999999) / 1000000 : 0);
}

void lock_view_read(const struct pg_result *r, int row, struct arena *arena, struct lock_view *v)
{
	int64_t *seats, *prices, *categories;

	memset(v, 0, sizeof(*v));
	lock_state_parse(pg_get_text(r, row, 0), &v->state);
	v->n = pg_get_ints(r, row, 1, arena, &seats);
	pg_get_ints(r, row, 2, arena, &prices);
	pg_get_ints(r, row, 3, arena, &categories);
	v->seats = seats;
	v->prices_minor = prices;
	v->categories = categories;
	v->total_minor = pg_get_int(r, row, 4);
	v->currency = arena_cstr(arena, pg_get_text(r, row, 5));
	v->expires_us = pg_get_time(r, row, 7);
	v->now_us = pg_get_time(r, row, 8);
}

/* ---- GET /v1/shows/{show}/locks/{lock} ---- */

struct get {
	struct seat_service *s;
	struct web_call *call;
	struct show *show;
};

static void on_lock(void *arg, const struct pg_answer *a)
{
	struct get *g = arg;
	struct lock_view v;

	if (a->status != PG_OK) {
		web_refuse(g->call, ERR_UNAVAILABLE, NULL);
	} else if (pg_rows(a->result) == 0) {
		web_refuse(g->call, ERR_NOT_FOUND, "You have no such lock.");
	} else {
		lock_view_read(a->result, 0, g->call->arena, &v);
		v.lock_id = g->call->ids[1];
		v.show_id = g->call->ids[0];
		lock_write(web_json(g->call), &v, g->show->plan);
		web_json_end(g->call, 200);
	}
	show_unref(g->show);
	free(g);
}

static void on_lock_show(void *arg, enum err err, struct show *show)
{
	struct get *g = arg;

	if (err != ERR_NONE) {
		web_refuse(g->call, err, NULL);
		free(g);
		return;
	}
	g->show = show_ref(show);
	lock_get(g->s->config.pg, g->call->arena, &g->call->ids[0], &g->call->ids[1], &g->call->who.session_id, on_lock,
		 g);
}

static void lock_get_handler(struct web_call *call)
{
	struct get *g = xcalloc(1, sizeof(*g));

	g->s = call->service;
	g->call = call;
	event_show_get_numbered(g->s->config.event, &call->ids[0], on_lock_show, g);
}

/* ---- releasing ---- */

struct release {
	struct seat_service *s;
	struct uuid show, lock, session;
	lock_released_fn *fn;
	void *arg;
	enum lock_state found;
};

static void on_release_applied(void *arg, bool applied)
{
	struct release *r = arg;

	r->fn(r->arg, PG_OK, r->found);
	free(r);
}

static void on_released(void *arg, const struct pg_answer *a)
{
	struct release *r = arg;
	struct seat_session_change session = {r->session, r->lock, 0};
	struct seat_change *changes;
	struct arena arena;
	size_t n;

	if (a->status != PG_OK) {
		r->fn(r->arg, a->status, LOCK_STATES);
		free(r);
		return;
	}
	r->found = LOCK_STATES;
	if (!pg_is_null(a->result, 0, 0))
		lock_state_parse(pg_get_text(a->result, 0, 0), &r->found);
	arena_init(&arena);
	n = seat_changes_from(a->result, 0, 1, 2, SEAT_FREE, 0, &r->lock, &arena, &changes);
	if (r->found == LOCK_ACTIVE) {
		metric_add(r->s->config.metrics, METRIC_LOCKS_RELEASED, 0, 0, 1);
		seat_map_apply(r->s->config.map, &r->show, changes, n, &session, 1, 0, on_release_applied, r);
	} else {
		on_release_applied(r, false);
	}
	arena_done(&arena);
}

void lock_release(struct seat_service *s, const struct uuid *show, const struct uuid *lock, const struct uuid *session,
		  lock_released_fn *fn, void *arg)
{
	struct release *r = xcalloc(1, sizeof(*r));
	struct uuid outbox = crypto_uuid_v7(wall_now_us());
	struct arena arena;
	struct pg_args args;

	r->s = s;
	r->show = *show;
	r->lock = *lock;
	r->session = *session;
	r->fn = fn;
	r->arg = arg;
	arena_init(&arena);
	pg_args_init(&args, &arena);
	pg_arg_uuid(&args, show);
	pg_arg_uuid(&args, lock);
	pg_arg_uuid(&args, session);
	pg_arg_uuid(&args, &outbox);
	pg_query_start(s->config.pg, &seat_sql_lock_release, &args, QUERY_MS, on_released, r);
	arena_done(&arena);
}

static void on_delete(void *arg, enum pg_status status, enum lock_state found)
{
	struct web_call *call = arg;

	if (status == PG_UNKNOWN)
		web_refuse(call, ERR_OUTCOME_UNKNOWN, "It is not known yet whether the lock was released. Ask again.");
	else if (status != PG_OK)
		web_refuse(call, ERR_UNAVAILABLE, NULL);
	else if (found == LOCK_STATES)
		web_refuse(call, ERR_NOT_FOUND, "You have no such lock.");
	else if (found == LOCK_PAYING)
		web_refuse(call, ERR_PAYMENT_IN_PROGRESS, NULL);
	else if (found == LOCK_BOOKED)
		web_refuse(call, ERR_LOCK_ALREADY_USED, NULL);
	else
		web_empty(call, 204);
}

static void lock_delete_handler(struct web_call *call)
{
	lock_release(call->service, &call->ids[0], &call->ids[1], &call->who.session_id, on_delete, call);
}

/* ---- GET /v1/me/locks: each needs its show for the names of its seats ---- */

struct mine {
	struct seat_service *s;
	struct web_call *call;
	size_t n, waiting;
	struct lock_view *locks;
	struct show **shows;
	bool failed, more;
	int64_t last_us;
};

static void mine_answer(struct mine *m)
{
	struct jw *w;

	if (m->failed) {
		web_refuse(m->call, ERR_UNAVAILABLE, NULL);
	} else {
		w = web_json(m->call);
		jw_key(w, "items");
		jw_arr(w);
		for (size_t i = 0; i < m->n; i++) {
			if (!m->shows[i])
				continue;
			jw_obj(w);
			lock_write(w, &m->locks[i], m->shows[i]->plan);
			jw_obj_end(w);
		}
		page_end_at(w, m->more, m->last_us, m->n ? &m->locks[m->n - 1].lock_id : NULL);
		web_json_end(m->call, 200);
	}
	for (size_t i = 0; i < m->n; i++)
		show_unref(m->shows[i]);
	free(m->shows);
	free(m);
}

struct mine_show {
	struct mine *m;
	size_t i;
};

static void on_mine_show(void *arg, enum err err, struct show *show)
{
	struct mine_show *ms = arg;
	struct mine *m = ms->m;

	if (err == ERR_NONE)
		m->shows[ms->i] = show_ref(show);
	else if (err != ERR_NOT_FOUND)
		m->failed = true;
	free(ms);
	if (--m->waiting == 0)
		mine_answer(m);
}

static void on_mine(void *arg, const struct pg_answer *a)
{
	struct mine *m = arg;
	struct arena *arena = m->call->arena;

	if (a->status != PG_OK) {
		m->failed = true;
		mine_answer(m);
		return;
	}
	m->more = pg_rows(a->result) > MINE_MAX;
	m->n = m->more ? MINE_MAX : (size_t)pg_rows(a->result);
	m->last_us = m->n ? pg_get_time(a->result, (int)m->n - 1, 8) : 0;
	m->locks = arena_array(arena, struct lock_view, m->n);
	m->shows = xcalloc(m->n, sizeof(*m->shows));
	for (size_t i = 0; i < m->n; i++) {
		int row = (int)i;
		struct lock_view *v = &m->locks[i];
		int64_t *seats, *prices;

		v->show_id = pg_get_uuid(a->result, row, 0);
		v->lock_id = pg_get_uuid(a->result, row, 1);
		lock_state_parse(pg_get_text(a->result, row, 2), &v->state);
		v->n = pg_get_ints(a->result, row, 3, arena, &seats);
		pg_get_ints(a->result, row, 4, arena, &prices);
		v->seats = seats;
		v->prices_minor = prices;
		v->total_minor = pg_get_int(a->result, row, 6);
		v->currency = arena_cstr(arena, pg_get_text(a->result, row, 7));
		v->expires_us = pg_get_time(a->result, row, 9);
		v->now_us = pg_get_time(a->result, row, 10);
	}
	/* one more than there are, so that the last answer cannot come before the loop is through */
	m->waiting = m->n + 1;
	for (size_t i = 0; i < m->n; i++) {
		struct mine_show *ms = xcalloc(1, sizeof(*ms));

		ms->m = m;
		ms->i = i;
		event_show_get_numbered(m->s->config.event, &m->locks[i].show_id, on_mine_show, ms);
	}
	if (--m->waiting == 0)
		mine_answer(m);
}

static void my_locks_handler(struct web_call *call)
{
	struct uuid after;
	int64_t after_us;
	struct pg_args args;
	struct mine *m;

	if (!page_cursor_read(call, &after_us, &after))
		return;
	m = xcalloc(1, sizeof(*m));
	m->s = call->service;
	m->call = call;
	pg_args_init(&args, call->arena);
	pg_arg_uuid(&args, &call->who.session_id);
	pg_arg_time(&args, after_us);
	pg_arg_uuid(&args, &after);
	pg_arg_i32(&args, MINE_MAX + 1);
	pg_query_start(m->s->config.pg, &seat_sql_locks_of_session, &args, QUERY_MS, on_mine, m);
}

static const struct web_route routes[] = {
	{HTTP_GET, "/v1/shows/{show}/seatmap", seatmap_get, WEB_ANYBODY, 0, 0, false},
	{HTTP_GET, "/v1/shows/{show}/seats", seats_get, WEB_ANYBODY, 0, 0, false},
	{HTTP_POST, "/v1/shows/{show}/locks", lock_post, WEB_SESSION, 0, 16 * 1024, false, lock_post_full,
	 .verify = WEB_VERIFY_LOCK, .grows = true},
	{HTTP_GET, "/v1/shows/{show}/locks/{lock}", lock_get_handler, WEB_SESSION, 0, 0, false},
	{HTTP_GET, "/v1/shows/{show}/locks/{lock}/stream", lock_stream_get, WEB_SESSION, 0, 0, false},
	{HTTP_DELETE, "/v1/shows/{show}/locks/{lock}", lock_delete_handler, WEB_SESSION, 0, 0, false},
	{HTTP_GET, "/v1/me/locks", my_locks_handler, WEB_SESSION, 0, 0, false, .query = "cursor"},
	{HTTP_GET, "/v1/shows/{show}/blocks", blocks_get, WEB_STAFF, SCOPE_SEATS, 0, false, .query = "cursor"},
	{HTTP_POST, "/v1/shows/{show}/blocks", blocks_post, WEB_STAFF, SCOPE_SEATS, 8 * 1024 * 1024, false},
	{HTTP_DELETE, "/v1/shows/{show}/blocks", blocks_delete, WEB_STAFF, SCOPE_SEATS, 8 * 1024 * 1024, false},
};

void seat_routes(struct seat_service *s, struct web *web)
{
	web_add(web, SERVICE_SEAT, routes, sizeof(routes) / sizeof(routes[0]), s);
}
