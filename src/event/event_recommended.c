/*
 * GET /v1/events/{event}/recommended: what else might please whoever looks at an event: what its buyers also booked; the same
 * category, the same city, about the same time, of any organiser (sql/recommended.sql says how they are ordered).
 *
 * What its buyers also booked is counted by a consumer of the bookings' events (sql/recommend_take.sql), in recommend_booked and
 * recommend_pairs, which are this file's.
 *
 * Owns the answers kept: per event, for at most `recommended-seconds`, and never past the first show they speak of. They may be
 * that old; the answer says for how long it is good (Cache-Control). Dropped least recently used first. An answer about a draft
 * is its organiser's and is not kept.
 */
#include "event/event_int.h"

#include "base/times.h"
#include "base/xmalloc.h"
#include "event/event_sql.h"

#include <stdio.h>
#include <stdlib.h>

enum { RECOMMENDED_MAX = 10, RECOMMENDED_KEPT_MAX = 2000, RECOMMENDED_BYTES_MAX = 1024 * 1024 };

struct recommended {
	struct list link; /* most recently used first */
	struct uuid event;
	int64_t good_until_us;
	struct shared_bytes *bytes;
};

struct wanted {
	struct event_service *ev;
	struct web_call *call;
	bool draft;
};

void recommended_init(struct event_service *ev)
{
	ev->recommended = map_new();
	list_init(&ev->recommended_order);
}

static void drop(struct event_service *ev, struct recommended *r)
{
	map_remove_uuid(ev->recommended, &r->event);
	list_remove(&r->link);
	shared_bytes_unref(r->bytes);
	free(r);
}

void recommended_forget(struct event_service *ev)
{
	list_for_each(at, next, &ev->recommended_order)
		drop(ev, list_entry(at, struct recommended, link));
}

void recommended_done(struct event_service *ev)
{
	recommended_forget(ev);
	map_free(ev->recommended);
}

static void answer(struct web_call *call, struct shared_bytes *bytes, int64_t left_us)
{
	char cache[48];
	struct http_header headers[] = {{STR("Content-Type"), STR("application/json")},
					{STR("Cache-Control"), {cache, 0}}};

	if (left_us > 0)
		headers[1].value.n = (size_t)snprintf(cache, sizeof(cache), "public, max-age=%lld",
						      (long long)(left_us / US_PER_SECOND));
	else
		headers[1].value = STR("no-store");
	web_shared(call, 200, headers, 2, bytes);
}

static struct shared_bytes *body_of(const struct pg_result *r)
{
	struct buf out;
	struct jw w;
	char *text;
	size_t n;

	buf_init(&out, RECOMMENDED_BYTES_MAX);
	jw_init(&w, &out);
	jw_obj(&w);
	jw_key(&w, "items");
	jw_arr(&w);
	for (int i = 0; i < pg_rows(r); i++)
		event_item_write(&w, r, i);
	jw_arr_end(&w);
	jw_key(&w, "next");
	jw_null(&w);
	jw_obj_end(&w);
	jw_done(&w);
	text = buf_take(&out, &n);
	return shared_bytes_take(text, n);
}

static void keep(struct event_service *ev, const struct uuid *event, struct shared_bytes *bytes, int64_t good_until_us)
{
	struct recommended *r = map_get_uuid(ev->recommended, event);

	if (r) /* asked for twice at once */
		drop(ev, r);
	if (map_count(ev->recommended) == RECOMMENDED_KEPT_MAX)
		drop(ev, list_entry(ev->recommended_order.prev, struct recommended, link));
	r = xcalloc(1, sizeof(*r));
	r->event = *event;
	r->good_until_us = good_until_us;
	r->bytes = bytes;
	list_init(&r->link);
	list_prepend(&ev->recommended_order, &r->link);
	map_put_uuid(ev->recommended, event, r);
}

static void on_recommended(void *arg, const struct pg_answer *a)
{
	struct wanted *w = arg;
	struct event_service *ev = w->ev; /* the answer ends the call, and w with it */
	struct shared_bytes *bytes;
	int64_t good_us = ev->config.recommended_us, now_us;

	if (a->status != PG_OK) {
		event_refuse_pg(w->call, a, false);
		return;
	}
	for (int i = 0; i < pg_rows(a->result); i++) {
		now_us = pg_get_time(a->result, i, 7);
		if (pg_get_time(a->result, i, 5) - now_us < good_us)
			good_us = pg_get_time(a->result, i, 5) - now_us;
	}
	bytes = body_of(a->result);
	if (w->draft) {
		answer(w->call, bytes, 0);
		shared_bytes_unref(bytes);
	} else {
		keep(ev, &w->call->ids[0], bytes, loop_now_us(ev->config.loop) + good_us);
		answer(w->call, bytes, good_us);
	}
}

static void on_event(void *arg, const struct pg_answer *a)
{
	struct wanted *w = arg;
	struct pg_args args;

	if (a->status != PG_OK) {
		event_refuse_pg(w->call, a, false);
	} else if (pg_rows(a->result) == 0) {
		web_refuse(w->call, ERR_NOT_FOUND, "There is no such event.");
	} else {
		w->draft = str_eqc(pg_get_text(a->result, 0, 4), show_status_name(SHOW_DRAFT));
		pg_args_init(&args, w->call->arena);
		pg_arg_uuid(&args, &w->call->ids[0]);
		pg_arg_i32(&args, RECOMMENDED_MAX);
		pg_query_start(w->ev->config.pg, &event_sql_recommended, &args, EVENT_QUERY_MS, on_recommended, w);
	}
}

void recommended_get(struct web_call *call)
{
	struct event_service *ev = call->service;
	struct recommended *r = map_get_uuid(ev->recommended, &call->ids[0]);
	struct uuid viewer = event_viewer(call);
	int64_t left_us = r ? r->good_until_us - loop_now_us(ev->config.loop) : 0;
	struct wanted *w;
	struct pg_args args;

	if (left_us > 0) {
		list_remove(&r->link);
		list_prepend(&ev->recommended_order, &r->link);
		answer(call, r->bytes, left_us);
		return;
	}
	w = arena_new(call->arena, struct wanted);
	w->ev = ev;
	w->call = call;
	pg_args_init(&args, call->arena);
	pg_arg_uuid(&args, &call->ids[0]);
	pg_arg_uuid(&args, &viewer);
	pg_query_start(ev->config.pg, &event_sql_event_get, &args, EVENT_QUERY_MS, on_event, w);
}

/* ---- what buyers of an event also booked ---- */

static void on_taken(void *arg, const struct pg_answer *a)
{
	consumer_batch_answer(arg, a);
}

void recommend_take(void *arg, const struct consumer_event *events, size_t n, struct consumer_batch *batch)
{
	struct event_service *ev = arg;
	struct arena arena;
	struct pg_args args;

	arena_init(&arena);
	pg_args_init(&args, &arena);
	pg_arg_json(&args, consumer_events_json(&arena, events, n));
	pg_query_start(ev->config.pg, &event_sql_recommend_take, &args, EVENT_QUERY_MS, on_taken, batch);
	arena_done(&arena);
}
