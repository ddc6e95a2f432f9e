/*
 * GET .../locks/{lock}/stream: a lock's owner is told how it stands, when its last minute begins, and how it ended.
 *
 *   handler --lock_watch--> nobody's (404) | told of its end before (204) | a stream, and a viewer of the watch
 *   watch: ASLEEP (nobody looks) <-> WAITING (a second) -> ASKING (locks_watch, a part after the other) -> WAITING
 *
 * A lock may be ended by any process: its owner's release, the sweeper, a payment, a show that is called off. The lock path
 * announces nothing for this; one timer of the process reads again, by their keys and in one statement for a thousand, all locks
 * that are watched here, and gets back those of which there is news (docs/decisions/0061). lock_news.h says what that is.
 */
#include "seat/seat_locks.h"

#include "base/list.h"
#include "base/xmalloc.h"
#include "io/http_stream.h"
#include "seat/lock_news.h"
#include "seat/seat_sql.h"

#include <stdlib.h>
#include <string.h>

enum { QUERY_MS = 3000, WATCH_MS = 1000, PART_MAX = 1000, EVENT_BYTES_MAX = 2048 };

struct viewer {
	struct list link; /* of the watch's list */
	struct lock_watch *watch;
	struct http_stream *stream;
	struct uuid show, lock;
	struct lock_news news;
	size_t slot; /* in the part that is being asked for; SIZE_MAX: in none */
};

struct lock_watch {
	struct pg *pg;
	struct http_streams *streams;
	struct timer *timer;
	struct list viewers;	       /* those not asked for longest come first */
	struct viewer *part[PART_MAX]; /* NULL: has left meanwhile */
	size_t n_part, n_left;	       /* n_left: viewers that this round has not asked for yet */
	size_t n;
	bool asking;
};

static void on_timer(void *arg);

struct lock_watch *lock_watch_new(struct loop *loop, struct pg *pg, struct http_streams *streams)
{
	struct lock_watch *w = xcalloc(1, sizeof(*w));

	w->pg = pg;
	w->streams = streams;
	w->timer = timer_new(loop, on_timer, w);
	list_init(&w->viewers);
	return w;
}

/* The streams are gone before. */
void lock_watch_free(struct lock_watch *w)
{
	if (!w)
		return;
	timer_free(w->timer);
	free(w);
}

/* ---- telling ---- */

struct reading {
	enum lock_state state; /* as stored */
	int64_t expires_us, now_us;
	bool booked, show_off;
	struct uuid booking;
	struct str reference, booking_state;
};

/* From the columns state, expires_at, now, booking_id, reference, booking_state, show_off. */
static void reading_get(const struct pg_result *r, int row, int col, struct reading *ret)
{
	memset(ret, 0, sizeof(*ret));
	lock_state_parse(pg_get_text(r, row, col), &ret->state);
	ret->expires_us = pg_get_time(r, row, col + 1);
	ret->now_us = pg_get_time(r, row, col + 2);
	ret->booked = !pg_is_null(r, row, col + 3);
	if (ret->booked) {
		ret->booking = pg_get_uuid(r, row, col + 3);
		ret->reference = pg_get_text(r, row, col + 4);
		ret->booking_state = pg_get_text(r, row, col + 5);
	}
	ret->show_off = !pg_is_null(r, row, col + 6) && pg_get_bool(r, row, col + 6);
}

static const char *why(const struct viewer *v, const struct reading *in)
{
	if (v->news.state == LOCK_RELEASED && in->show_off)
		return "show_cancelled";
	return lock_state_name(v->news.state);
}

static void event_send(struct viewer *v, const char *name, const struct reading *in)
{
	bool ended = v->news.had == NEWS_ENDED;
	int64_t left_us = in->expires_us - in->now_us;
	struct shared_bytes *bytes;
	struct buf text;
	struct jw w;

	buf_init(&text, EVENT_BYTES_MAX);
	jw_init(&w, &text);
	jw_obj(&w);
	jw_kuuid(&w, "lock_id", &v->lock);
	jw_kuuid(&w, "show_id", &v->show);
	jw_kcstr(&w, "state", lock_state_name(v->news.state));
	if (ended) {
		jw_kcstr(&w, "reason", why(v, in));
	} else {
		jw_ktime(&w, "expires_at", in->expires_us);
		jw_kint(&w, "expires_in", left_us > 0 ? (left_us + 999999) / 1000000 : 0);
	}
	if (ended && in->booked) {
		jw_key(&w, "booking");
		jw_obj(&w);
		jw_kuuid(&w, "booking_id", &in->booking);
		jw_kstr(&w, "reference", in->reference);
		jw_kstr(&w, "status", in->booking_state);
		jw_obj_end(&w);
	}
	jw_obj_end(&w);
	jw_done(&w);
	bytes = http_stream_event(name, v->news.had, buf_str(&text));
	http_stream_send(v->stream, bytes);
	shared_bytes_unref(bytes);
	buf_done(&text);
}

static void viewer_tell(struct viewer *v, const struct reading *in)
{
	lock_news_read(&v->news, in->state, in->expires_us, in->now_us);
	if (v->news.lock)
		event_send(v, "lock", in);
	if (v->news.ending)
		event_send(v, "ending", in);
	if (!v->news.ended)
		return;
	event_send(v, "ended", in);
	http_stream_close(v->stream);
}

/* ---- watching ---- */

static void watch_ask(struct lock_watch *w);

static void on_watched(void *arg, const struct pg_answer *a)
{
	struct lock_watch *w = arg;
	struct reading in;

	w->asking = false;
	for (int row = 0; a->status == PG_OK && row < pg_rows(a->result); row++) {
		struct viewer *v = w->part[pg_get_int(a->result, row, 0) - 1];

		if (!v)
			continue;
		reading_get(a->result, row, 1, &in);
		viewer_tell(v, &in);
	}
	for (size_t i = 0; i < w->n_part; i++)
		if (w->part[i])
			w->part[i]->slot = SIZE_MAX;
	w->n_part = 0;
	/* a database that is away is not asked for the rest */
	if (a->status == PG_OK && w->n_left && w->n)
		watch_ask(w);
	else if (w->n)
		timer_set_ms(w->timer, WATCH_MS);
}

static void watch_ask(struct lock_watch *w)
{
	size_t n = w->n_left < PART_MAX ? w->n_left : PART_MAX, i = 0;
	struct uuid *shows, *locks;
	struct str *known;
	int64_t *next_us;
	struct arena arena;
	struct pg_args args;

	if (n > w->n)
		n = w->n;
	arena_init(&arena);
	shows = arena_array(&arena, struct uuid, n);
	locks = arena_array(&arena, struct uuid, n);
	known = arena_array(&arena, struct str, n);
	next_us = arena_array(&arena, int64_t, n);
	for (; i < n; i++) {
		struct viewer *v = list_first(&w->viewers, struct viewer, link);

		list_remove(&v->link);
		list_append(&w->viewers, &v->link);
		v->slot = i;
		w->part[i] = v;
		shows[i] = v->show;
		locks[i] = v->lock;
		known[i] = str_from(lock_state_name(v->news.state));
		next_us[i] = v->news.next_us;
	}
	w->n_part = n;
	w->n_left -= n;
	if (w->n_left > w->n - n)
		w->n_left = w->n - n;
	w->asking = true;
	pg_args_init(&args, &arena);
	pg_arg_uuids(&args, shows, n);
	pg_arg_uuids(&args, locks, n);
	pg_arg_texts(&args, known, n);
	pg_arg_i64s(&args, next_us, n);
	pg_query_start(w->pg, &seat_sql_locks_watch, &args, QUERY_MS, on_watched, w);
	arena_done(&arena);
}

static void on_timer(void *arg)
{
	struct lock_watch *w = arg;

	w->n_left = w->n;
	if (w->n)
		watch_ask(w);
}

static void on_closed(void *arg, enum http_stream_end why_ended)
{
	struct viewer *v = arg;
	struct lock_watch *w = v->watch;

	if (v->slot != SIZE_MAX)
		w->part[v->slot] = NULL;
	list_remove(&v->link);
	w->n--;
	free(v);
}

/* ---- the request ---- */

static void on_lock(void *arg, const struct pg_answer *a)
{
	struct web_call *call = arg;
	struct seat_service *s = call->service;
	struct lock_watch *w = s->watch;
	uint64_t had = web_stream_had(call);
	struct reading in;
	struct viewer *v;

	if (a->status != PG_OK) {
		web_refuse(call, ERR_UNAVAILABLE, NULL);
		return;
	}
	if (pg_rows(a->result) == 0) {
		web_refuse(call, ERR_NOT_FOUND, "You have no such lock.");
		return;
	}
	reading_get(a->result, 0, 0, &in);
	/* it has been told the last: 204 keeps an EventSource from coming again and again */
	if (had == NEWS_ENDED && in.state != LOCK_ACTIVE && in.state != LOCK_PAYING) {
		web_empty(call, 204);
		return;
	}
	v = xcalloc(1, sizeof(*v));
	v->watch = w;
	v->slot = SIZE_MAX;
	v->show = call->ids[0];
	v->lock = call->ids[1];
	/* how it stands is told to everybody who comes */
	v->news.state = LOCK_STATES;
	v->news.had = had < NEWS_ENDED ? (enum lock_news_id)had : NEWS_NONE;
	v->stream = web_stream(call, w->streams, on_closed, v);
	if (!v->stream) {
		free(v);
		return;
	}
	list_append(&w->viewers, &v->link);
	w->n++;
	viewer_tell(v, &in);
	if (!w->asking && !timer_is_set(w->timer))
		timer_set_ms(w->timer, WATCH_MS);
}

void lock_stream_get(struct web_call *call)
{
	struct seat_service *s = call->service;
	struct pg_args args;

	pg_args_init(&args, call->arena);
	pg_arg_uuid(&args, &call->ids[0]);
	pg_arg_uuid(&args, &call->ids[1]);
	pg_arg_uuid(&args, &call->who.session_id);
	pg_query_start(s->config.pg, &seat_sql_lock_watch, &args, QUERY_MS, on_lock, call);
}
