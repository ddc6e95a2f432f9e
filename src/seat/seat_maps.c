/*
 * The two maps over HTTP. GET .../seatmap: the plan as drawn, rendered and compressed once per plan on the thread pool.
 * GET .../seats: what is not free, built once per version and process.
 *
 * Owns the bodies kept: seat maps of the plans asked for last, availability of the shows asked for last. Both are bounded
 * by number and dropped least recently used first.
 */
#include "seat/seat_locks.h"

#include "base/list.h"
#include "base/xmalloc.h"
#include "io/gzip.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	BODIES_MAX = 512,
	SEATMAPS_MAX = 64,
	BODY_BYTES_MAX = 64 * 1024 * 1024,
	/* A map of so many held seats takes a while to read and write, and in a sale there is a new one every few milliseconds:
	 * then the last one is answered for a moment. Whoever locks by it is told what has gone meanwhile. */
	STALE_FROM_SEATS = 1000,
	STALE_SEATS_PER_MS = 50,
	STALE_MAX_MS = 250,
};

struct body {
	struct list link;	/* most recently used first */
	struct uuid show, plan; /* it speaks of the seats of this plan */
	char version[64], etag[72];
	int32_t free;
	size_t held; /* not free */
	int64_t good_until_us;
	struct shared_bytes *bytes;
};

struct seatmap {
	struct list link;
	struct uuid plan;
	struct shared_bytes *plain, *gzip;
};

struct availability {
	struct list bodies, seatmaps;
	size_t n_bodies, n_seatmaps;
};

struct availability *availability_new(void)
{
	struct availability *a = xcalloc(1, sizeof(*a));

	list_init(&a->bodies);
	list_init(&a->seatmaps);
	return a;
}

static void body_free(struct body *b)
{
	list_remove(&b->link);
	shared_bytes_unref(b->bytes);
	free(b);
}

static void seatmap_free(struct seatmap *m)
{
	list_remove(&m->link);
	shared_bytes_unref(m->plain);
	shared_bytes_unref(m->gzip);
	free(m);
}

void availability_free(struct availability *a)
{
	if (!a)
		return;
	list_for_each(at, next, &a->bodies)
		body_free(list_entry(at, struct body, link));
	list_for_each(st, snext, &a->seatmaps)
		seatmap_free(list_entry(st, struct seatmap, link));
	free(a);
}

/* ---- what is free ---- */

static struct body *body_find(struct availability *a, const struct show *show)
{
	list_for_each(at, next, &a->bodies) {
		struct body *b = list_entry(at, struct body, link);

		if (uuid_eq(&b->show, &show->show_id) && uuid_eq(&b->plan, &show->plan_id)) {
			list_remove(&b->link);
			list_prepend(&a->bodies, &b->link);
			return b;
		}
	}
	return NULL;
}

static struct body *body_build(struct availability *a, const struct show *show, const struct seat_read_answer *answer)
{
	struct body *b = body_find(a, show);
	uint32_t capacity = plan_n_seats(show->plan);
	struct buf out;
	struct jw w;
	char *text;
	size_t n, held = 0;

	if (b && str_eqc(answer->version, b->version))
		return b; /* somebody who asked together with this one has built it */
	for (size_t i = 0; i < answer->n; i++)
		held += answer->seats[i].seat_no < capacity && !answer->pending[i];
	buf_init(&out, BODY_BYTES_MAX);
	jw_init(&w, &out);
	jw_obj(&w);
	jw_kstr(&w, "version", answer->version);
	jw_kint(&w, "free", (int64_t)capacity - (int64_t)held);
	jw_key(&w, "seats");
	jw_obj(&w);
	for (size_t i = 0; i < answer->n; i++) {
		const struct seat_change *c = &answer->seats[i];

		/* a mark of admission is not committed, and should its process die it ends without a new version */
		if (c->seat_no >= capacity || answer->pending[i])
			continue;
		jw_keystr(&w, plan_seat_guid(show->plan, c->seat_no));
		jw_cstr(&w, seat_state_name((enum seat_state)c->state));
	}
	jw_obj_end(&w);
	jw_obj_end(&w);
	jw_done(&w);
	text = buf_take(&out, &n);
	if (b) {
		shared_bytes_unref(b->bytes);
	} else {
		if (a->n_bodies == BODIES_MAX)
			body_free(list_entry(a->bodies.prev, struct body, link));
		else
			a->n_bodies++;
		b = xcalloc(1, sizeof(*b));
		b->show = show->show_id;
		b->plan = show->plan_id;
		list_init(&b->link);
		list_prepend(&a->bodies, &b->link);
	}
	b->bytes = shared_bytes_take(text, n);
	b->free = (int32_t)capacity - (int32_t)held;
	b->held = held;
	snprintf(b->version, sizeof(b->version), "%.*s", STR_FMT(answer->version));
	snprintf(b->etag, sizeof(b->etag), "\"%s\"", b->version);
	return b;
}

struct want_seats {
	struct seat_service *s;
	struct web_call *call; /* NULL: only the number is wanted */
	struct show *show;
	event_free_fn *fn;
	void *arg;
};

static void seats_answer(struct web_call *call, const struct body *b)
{
	struct http_header headers[] = {{STR("Content-Type"), STR("application/json")},
					{STR("Cache-Control"), STR("no-cache")},
					{STR("ETag"), str_from(b->etag)}};

	if (web_etag_matches(call, headers[2].value))
		web_bytes(call, 304, headers + 1, 2, STR(""));
	else
		web_shared(call, 200, headers, 3, b->bytes);
}

static int64_t stale_us(size_t held)
{
	size_t ms = held / STALE_SEATS_PER_MS;

	return held < STALE_FROM_SEATS ? 0 : (int64_t)(ms < STALE_MAX_MS ? ms : STALE_MAX_MS) * 1000;
}

/* b NULL: it could not be had. */
static void seats_end(struct want_seats *w, const struct body *b)
{
	if (!w->call)
		w->fn(w->arg, b ? b->free : -1);
	else if (b)
		seats_answer(w->call, b);
	else
		web_refuse(w->call, ERR_UNAVAILABLE, NULL);
	show_unref(w->show);
	free(w);
}

static void on_seats(void *arg, const struct seat_read_answer *a)
{
	struct want_seats *w = arg;
	struct body *b = NULL;

	if (a->outcome == SEAT_READ_SAME)
		b = body_find(w->s->availability, w->show);
	/* the same version, but the body was dropped meanwhile, or replaced: once more, for all */
	if (a->outcome == SEAT_READ_SAME && (!b || !str_eqc(a->version, b->version))) {
		seat_map_read(w->s->config.map, &w->show->show_id, STR(""), on_seats, w);
		return;
	}
	if (a->outcome == SEAT_READ_ALL)
		b = body_build(w->s->availability, w->show, a);
	if (b)
		b->good_until_us = loop_now_us(w->s->config.loop) + stale_us(b->held);
	seats_end(w, b);
}

static void seats_want(struct want_seats *w)
{
	struct body *b = body_find(w->s->availability, w->show);

	if (b && loop_now_us(w->s->config.loop) < b->good_until_us) {
		seats_end(w, b);
		return;
	}
	seat_map_read(w->s->config.map, &w->show->show_id, b ? str_from(b->version) : STR(""), on_seats, w);
}

static void on_seats_show(void *arg, enum err err, struct show *show)
{
	struct want_seats *w = arg;

	if (err == ERR_NONE && show->status == SHOW_DRAFT)
		err = ERR_NOT_FOUND;
	if (err != ERR_NONE) {
		web_refuse(w->call, err, NULL);
		free(w);
		return;
	}
	w->show = show_ref(show);
	seats_want(w);
}

void seats_get(struct web_call *call)
{
	struct want_seats *w = xcalloc(1, sizeof(*w));

	w->s = call->service;
	w->call = call;
	event_show_get(w->s->config.event, &call->ids[0], on_seats_show, w);
}

void seat_free_count(void *seat_service, struct show *show, event_free_fn *fn, void *arg)
{
	struct want_seats *w = xcalloc(1, sizeof(*w));

	w->s = seat_service;
	w->show = show_ref(show);
	w->fn = fn;
	w->arg = arg;
	seats_want(w);
}

void seat_show_moved(void *seat_service, const struct uuid *show)
{
	struct seat_service *s = seat_service;

	seat_map_drop(s->config.map, show);
}

/* ---- the plan as drawn ---- */

struct render {
	struct seat_service *s;
	struct web_call *call;
	struct plan *plan; /* only read by the thread; the loop keeps the show's reference meanwhile */
	struct show *show;
	struct uuid plan_id;
	char version[32];
	struct buf plain, gzip;
	bool ok;
};

static void render_work(void *data)
{
	struct render *r = data;

	r->ok = plan_render_seatmap(r->plan, str_from(r->version), &r->plain) && gzip_all(buf_str(&r->plain), &r->gzip);
}

static void render_free(void *data)
{
	struct render *r = data;

	show_unref(r->show);
	buf_done(&r->plain);
	buf_done(&r->gzip);
	free(r);
}

static void seatmap_answer(struct web_call *call, const struct seatmap *m)
{
	bool gzip = web_accepts_gzip(call);
	char etag[UUID_TEXT + 8], id[UUID_TEXT];
	struct http_header headers[5] = {{STR("Content-Type"), STR("application/json")},
					 {STR("Cache-Control"), STR("public, max-age=60")},
					 {STR("ETag"), {etag, 0}},
					 {STR("Vary"), STR("Accept-Encoding")},
					 {STR("Content-Encoding"), STR("gzip")}};

	headers[2].value.n =
		(size_t)snprintf(etag, sizeof(etag), "\"%s%s\"", uuid_format(&m->plan, id), gzip ? "-gzip" : "");
	if (web_etag_matches(call, headers[2].value))
		web_bytes(call, 304, headers + 1, 3, STR(""));
	else
		web_shared(call, 200, headers, gzip ? 5 : 4, gzip ? m->gzip : m->plain);
}

static void on_rendered(void *arg, void *data)
{
	struct render *r = data;
	struct availability *a = r->s->availability;
	struct seatmap *m;

	if (!r->ok) {
		web_refuse(r->call, ERR_INTERNAL, "The seat map could not be drawn.");
		return;
	}
	if (a->n_seatmaps == SEATMAPS_MAX)
		seatmap_free(list_entry(a->seatmaps.prev, struct seatmap, link));
	else
		a->n_seatmaps++;
	m = xcalloc(1, sizeof(*m));
	m->plan = r->plan_id;
	m->plain = shared_bytes_new(buf_str(&r->plain));
	m->gzip = shared_bytes_new(buf_str(&r->gzip));
	list_init(&m->link);
	list_prepend(&a->seatmaps, &m->link);
	seatmap_answer(r->call, m);
}

static void on_seatmap_show(void *arg, enum err err, struct show *show)
{
	struct web_call *call = arg;
	struct seat_service *s = call->service;
	struct render *r;

	if (err == ERR_NONE && show->status == SHOW_DRAFT)
		err = ERR_NOT_FOUND;
	if (err != ERR_NONE) {
		web_refuse(call, err, NULL);
		return;
	}
	list_for_each(at, next, &s->availability->seatmaps) {
		struct seatmap *m = list_entry(at, struct seatmap, link);

		if (uuid_eq(&m->plan, &show->plan_id)) {
			list_remove(&m->link);
			list_prepend(&s->availability->seatmaps, &m->link);
			seatmap_answer(call, m);
			return;
		}
	}
	r = xcalloc(1, sizeof(*r));
	r->s = s;
	r->call = call;
	r->show = show_ref(show);
	r->plan = show->plan;
	r->plan_id = show->plan_id;
	snprintf(r->version, sizeof(r->version), "%d", show->plan_version);
	buf_init(&r->plain, BODY_BYTES_MAX);
	buf_init(&r->gzip, BODY_BYTES_MAX);
	if (!offload_start(s->config.offload, render_work, r, render_free, on_rendered, r)) {
		render_free(r);
		web_refuse(call, ERR_OVERLOADED, NULL);
	}
}

void seatmap_get(struct web_call *call)
{
	struct seat_service *s = call->service;

	event_show_get(s->config.event, &call->ids[0], on_seatmap_show, call);
}
