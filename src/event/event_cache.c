/*
 * Owns the shows and plans a process has at hand.
 *
 *   cached_show: LOADING (waiters) -> FRESH -> STALE (after a second) -> LOADING (waiters) ...
 *
 * Everyone who asks while one read is under way waits for that read. A plan is read and imported (on the thread pool) once
 * and shared by all its shows.
 */
#include "event/event_int.h"

#include "base/xmalloc.h"
#include "event/event_sql.h"

#include <stdlib.h>
#include <string.h>

enum { SHOW_FRESH_US = 1000000, SHOW_KNOWN_US = 30 * 1000000 };

const struct pg_stmt *const *const event_sql = event_sql_statements;

struct waiter {
	struct list link;
	event_show_fn *fn;
	void *arg;
};

struct cached_plan {
	struct list link, waiters; /* waiting shows */
	struct event_service *ev;
	struct uuid id;
	struct plan *plan; /* NULL while it loads */
	size_t bytes;
};

struct cached_show {
	struct list link, waiters, plan_link;
	struct event_service *ev;
	struct uuid id;
	bool loading, forgotten;
	bool changed;	    /* known to be another by now */
	struct show *show;  /* the last one read; may be stale */
	struct show *fresh; /* being made, waiting for its plan */
};

/* ---- struct show ---- */

struct show *show_ref(struct show *s)
{
	s->refs++;
	return s;
}

void show_unref(struct show *s)
{
	if (!s || --s->refs)
		return;
	plan_unref(s->plan);
	free((void *)(uintptr_t)s->timezone); /* one block holds all texts */
	free(s);
}

int64_t show_clock_us(const struct show *s, struct loop *loop)
{
	return s->server_now_us + (loop_now_us(loop) - s->read_at_us);
}

bool show_on_sale(const struct show *s, int64_t now_us)
{
	return s->status == SHOW_PUBLISHED && now_us >= s->sale_starts_at_us && now_us < s->sale_ends_at_us;
}

static const char *const status_names[] = {"draft", "published", "cancelled"};

const char *show_status_name(enum show_status s)
{
	return status_names[s];
}

bool show_status_parse(struct str name, enum show_status *ret)
{
	for (int i = 0; i < 3; i++)
		if (str_eqc(name, status_names[i])) {
			*ret = (enum show_status)i;
			return true;
		}
	return false;
}

static struct show *show_read(const struct pg_result *r, struct loop *loop)
{
	static const int text_cols[] = {7, 16, 17, 20, 21, 22, 23};
	struct show *s = xcalloc(1, sizeof(*s));
	const char **texts[] = {&s->timezone,	&s->event_name,	   &s->event_category, &s->venue_name,
				&s->venue_city, &s->venue_address, &s->venue_country};
	struct arena arena;
	int64_t *prices;
	size_t n, bytes = 0;
	char *at;

	s->refs = 1;
	s->show_id = pg_get_uuid(r, 0, 0);
	s->event_id = pg_get_uuid(r, 0, 1);
	s->organizer_id = pg_get_uuid(r, 0, 2);
	s->venue_id = pg_get_uuid(r, 0, 3);
	s->plan_id = pg_get_uuid(r, 0, 4);
	show_status_parse(pg_get_text(r, 0, 5), &s->status);
	s->starts_at_us = pg_get_time(r, 0, 6);
	s->sale_starts_at_us = pg_get_time(r, 0, 8);
	s->sale_ends_at_us = pg_get_time(r, 0, 9);
	s->currency = currency_find(pg_get_text(r, 0, 10));
	s->capacity = (int32_t)pg_get_int(r, 0, 12);
	s->cancel_until_us = pg_get_time(r, 0, 13);
	s->cancel_fee_minor = pg_get_int(r, 0, 14);
	s->event_published = pg_get_bool(r, 0, 18);
	s->max_per_payer = pg_is_null(r, 0, 19) ? 0 : (int32_t)pg_get_int(r, 0, 19);
	s->plan_version = (int32_t)pg_get_int(r, 0, 24);
	s->server_now_us = pg_get_time(r, 0, 25);
	s->revision = pg_get_int(r, 0, 26);
	s->reschedules = (int32_t)pg_get_int(r, 0, 27);
	s->refund_until_us = pg_get_time(r, 0, 28);
	s->transferable = pg_get_bool(r, 0, 29);
	s->keeps_plan = pg_get_bool(r, 0, 30);
	s->verification = pg_get_bool(r, 0, 31);
	s->read_at_us = loop_now_us(loop);
	arena_init(&arena);
	n = pg_get_ints(r, 0, 11, &arena, &prices);
	for (size_t i = 0; i < n && i < PLAN_CATEGORIES_MAX; i++)
		s->prices_minor[i] = prices[i];
	arena_done(&arena);
	for (size_t i = 0; i < sizeof(text_cols) / sizeof(text_cols[0]); i++)
		bytes += pg_get_text(r, 0, text_cols[i]).n + 1;
	at = xmalloc(bytes);
	for (size_t i = 0; i < sizeof(text_cols) / sizeof(text_cols[0]); i++) {
		struct str t = pg_get_text(r, 0, text_cols[i]);

		memcpy(at, t.p, t.n);
		at[t.n] = '\0';
		*texts[i] = at;
		at += t.n + 1;
	}
	return s;
}

/* ---- the caches ---- */

void event_cache_init(struct event_service *ev)
{
	ev->shows = map_new();
	ev->plans = map_new();
	list_init(&ev->show_order);
	list_init(&ev->plan_order);
}

static void cached_plan_free(struct cached_plan *p)
{
	map_remove_uuid(p->ev->plans, &p->id);
	list_remove(&p->link);
	p->ev->plan_bytes -= p->bytes;
	plan_unref(p->plan);
	free(p);
}

static void cached_show_free(struct cached_show *c)
{
	map_remove_uuid(c->ev->shows, &c->id);
	list_remove(&c->link);
	list_remove(&c->plan_link);
	show_unref(c->show);
	show_unref(c->fresh);
	free(c);
}

void event_cache_done(struct event_service *ev)
{
	list_for_each(at, next, &ev->show_order) {
		struct cached_show *c = list_entry(at, struct cached_show, link);
		struct waiter *w;

		while ((w = list_first(&c->waiters, struct waiter, link))) {
			list_remove(&w->link);
			free(w);
		}
		cached_show_free(c);
	}
	list_for_each(pt, pnext, &ev->plan_order)
		cached_plan_free(list_entry(pt, struct cached_plan, link));
	map_free(ev->shows);
	map_free(ev->plans);
}

/* Least recently used first; what is loading stays. */
static void trim(struct event_service *ev)
{
	struct list *at, *before;

	for (at = ev->show_order.prev; at != &ev->show_order && map_count(ev->shows) > ev->config.show_cache_max;
	     at = before) {
		struct cached_show *c = list_entry(at, struct cached_show, link);

		before = at->prev;
		if (!c->loading)
			cached_show_free(c);
	}
	for (at = ev->plan_order.prev; at != &ev->plan_order && ev->plan_bytes > ev->config.plan_cache_bytes;
	     at = before) {
		struct cached_plan *p = list_entry(at, struct cached_plan, link);

		before = at->prev;
		if (p->plan && list_empty(&p->waiters))
			cached_plan_free(p);
	}
}

/* The read is over: everybody who waited is told. A callback may ask again. */
static void show_loaded(struct cached_show *c, enum err err)
{
	struct event_service *ev = c->ev;
	struct list waiters;
	struct show *show = NULL;
	struct waiter *w;

	c->loading = false;
	if (err == ERR_NONE) {
		show_unref(c->show);
		c->show = c->fresh;
		c->fresh = NULL;
		c->changed = c->forgotten; /* while it was read */
		show = show_ref(c->show);
	}
	c->forgotten = false;
	show_unref(c->fresh);
	c->fresh = NULL;
	list_init(&waiters);
	while ((w = list_first(&c->waiters, struct waiter, link))) {
		list_remove(&w->link);
		list_append(&waiters, &w->link);
	}
	if (err == ERR_NOT_FOUND)
		cached_show_free(c);
	trim(ev);
	while ((w = list_first(&waiters, struct waiter, link))) {
		list_remove(&w->link);
		w->fn(w->arg, err, show);
		free(w);
	}
	show_unref(show);
}

/* ---- plans ---- */

struct import {
	struct cached_plan *cached;
	char *text;
	size_t n;
	struct plan_limits limits;
	struct plan *plan;
	struct error error;
};

static void import_work(void *data)
{
	struct import *i = data;

	i->plan = plan_import((struct str){i->text, i->n}, &i->limits, &i->error);
}

static void import_free(void *data)
{
	struct import *i = data;

	plan_unref(i->plan);
	free(i->text);
	free(i);
}

static void plan_loaded(struct cached_plan *p, struct plan *plan)
{
	struct list shows;
	struct cached_show *c;

	list_init(&shows);
	while ((c = list_first(&p->waiters, struct cached_show, plan_link))) {
		list_remove(&c->plan_link);
		list_append(&shows, &c->plan_link);
	}
	if (plan) {
		p->plan = plan_ref(plan);
		p->bytes = plan_memory(plan);
		p->ev->plan_bytes += p->bytes;
	} else {
		cached_plan_free(p);
	}
	while ((c = list_first(&shows, struct cached_show, plan_link))) {
		list_remove(&c->plan_link);
		if (plan)
			c->fresh->plan = plan_ref(plan);
		show_loaded(c, plan ? ERR_NONE : ERR_UNAVAILABLE);
	}
}

static void on_imported(void *arg, void *data)
{
	struct import *i = data;

	plan_loaded(i->cached, i->plan);
}

static void on_plan_row(void *arg, const struct pg_answer *a)
{
	struct cached_plan *p = arg;
	struct import *i;
	struct str text;

	if (a->status != PG_OK || pg_rows(a->result) == 0) {
		plan_loaded(p, NULL);
		return;
	}
	text = pg_get_text(a->result, 0, 4);
	i = xcalloc(1, sizeof(*i));
	i->cached = p;
	i->text = xmalloc(text.n);
	memcpy(i->text, text.p, text.n);
	i->n = text.n;
	/* what was accepted once stays acceptable, also when the limits have been lowered since */
	i->limits = plan_limits_default;
	i->limits.seats_max = i->limits.rows_max = i->limits.zones_max = i->limits.areas_max = UINT32_MAX;
	if (!offload_start(p->ev->config.offload, import_work, i, import_free, on_imported, p)) {
		import_free(i);
		plan_loaded(p, NULL);
	}
}

static void show_want_plan(struct cached_show *c)
{
	struct event_service *ev = c->ev;
	struct cached_plan *p = map_get_uuid(ev->plans, &c->fresh->plan_id);
	struct arena arena;
	struct pg_args args;

	if (p && p->plan) {
		list_remove(&p->link);
		list_prepend(&ev->plan_order, &p->link);
		c->fresh->plan = plan_ref(p->plan);
		show_loaded(c, ERR_NONE);
		return;
	}
	if (p) {
		list_append(&p->waiters, &c->plan_link);
		return;
	}
	p = xcalloc(1, sizeof(*p));
	p->ev = ev;
	p->id = c->fresh->plan_id;
	list_init(&p->waiters);
	list_init(&p->link);
	list_prepend(&ev->plan_order, &p->link);
	map_put_uuid(ev->plans, &p->id, p);
	list_append(&p->waiters, &c->plan_link);
	arena_init(&arena);
	pg_args_init(&args, &arena);
	pg_arg_uuid(&args, &p->id);
	pg_query_start(ev->config.pg, &event_sql_plan_get, &args, EVENT_QUERY_MS, on_plan_row, p);
	arena_done(&arena);
}

/* ---- shows ---- */

static void on_show_row(void *arg, const struct pg_answer *a)
{
	struct cached_show *c = arg;

	if (a->status != PG_OK) {
		show_loaded(c, ERR_UNAVAILABLE);
	} else if (pg_rows(a->result) == 0) {
		show_loaded(c, ERR_NOT_FOUND);
	} else {
		c->fresh = show_read(a->result, c->ev->config.loop);
		show_want_plan(c);
	}
}

static void cached_show_get(struct event_service *ev, const struct uuid *show_id, int64_t age_max_us, event_show_fn *fn,
			    void *arg)
{
	struct cached_show *c = map_get_uuid(ev->shows, show_id);
	struct waiter *w;
	struct arena arena;
	struct pg_args args;

	if (c && c->show && !c->loading && !c->changed &&
	    loop_now_us(ev->config.loop) - c->show->read_at_us < age_max_us) {
		struct show *show = show_ref(c->show);

		list_remove(&c->link);
		list_prepend(&ev->show_order, &c->link);
		fn(arg, ERR_NONE, show);
		show_unref(show);
		return;
	}
	if (!c) {
		c = xcalloc(1, sizeof(*c));
		c->ev = ev;
		c->id = *show_id;
		list_init(&c->waiters);
		list_init(&c->plan_link);
		list_init(&c->link);
		list_prepend(&ev->show_order, &c->link);
		map_put_uuid(ev->shows, show_id, c);
	}
	w = xcalloc(1, sizeof(*w));
	w->fn = fn;
	w->arg = arg;
	list_append(&c->waiters, &w->link);
	if (c->loading)
		return;
	c->loading = true;
	arena_init(&arena);
	pg_args_init(&args, &arena);
	pg_arg_uuid(&args, show_id);
	pg_query_start(ev->config.pg, &event_sql_show_get, &args, EVENT_QUERY_MS, on_show_row, c);
	arena_done(&arena);
}

void event_show_get(struct event_service *ev, const struct uuid *show_id, event_show_fn *fn, void *arg)
{
	cached_show_get(ev, show_id, SHOW_FRESH_US, fn, arg);
}

void event_show_get_numbered(struct event_service *ev, const struct uuid *show_id, event_show_fn *fn, void *arg)
{
	struct cached_show *c = map_get_uuid(ev->shows, show_id);

	cached_show_get(ev, show_id, c && c->show && c->show->keeps_plan ? SHOW_FRESH_US : 0, fn, arg);
}

void event_show_get_known(struct event_service *ev, const struct uuid *show_id, event_show_fn *fn, void *arg)
{
	cached_show_get(ev, show_id, SHOW_KNOWN_US, fn, arg);
}

void event_show_forget(struct event_service *ev, const struct uuid *show_id)
{
	struct cached_show *c = map_get_uuid(ev->shows, show_id);

	if (c) {
		c->changed = true;
		c->forgotten = c->loading;
	}
}

void event_cache_forget(struct event_service *ev, const struct uuid *event_or_venue)
{
	list_for_each(at, next, &ev->show_order) {
		struct cached_show *c = list_entry(at, struct cached_show, link);

		if (c->loading || (c->show && (uuid_eq(&c->show->event_id, event_or_venue) ||
					       uuid_eq(&c->show->venue_id, event_or_venue))))
			event_show_forget(ev, &c->id);
	}
}

void event_set_moved_hook(struct event_service *ev, void (*moved)(void *arg, const struct uuid *show_id), void *arg)
{
	ev->moved = moved;
	ev->moved_arg = arg;
}

void event_set_free_source(struct event_service *ev,
			   void (*ask)(void *source, struct show *show, event_free_fn *fn, void *arg), void *source)
{
	ev->free_ask = ask;
	ev->free_source = source;
}
