/* What belongs to whoever asks: who they are (GET /v1/me), what their session has booked, ended ones too (GET /v1/me/bookings). */
#include "base/times.h"
#include "base/xmalloc.h"
#include "booking/booking_int.h"
#include "booking/booking_sql.h"
#include "io/page.h"

#include <stdlib.h>

/* ---- GET /v1/me ---- */

static void scopes_write(struct jw *w, unsigned scopes)
{
	jw_key(w, "scopes");
	jw_arr(w);
	for (unsigned bit = 1; bit <= SCOPE_ALL; bit <<= 1)
		if (scopes & bit)
			jw_cstr(w, auth_scope_name(bit));
	jw_arr_end(w);
}

void me_get(struct web_call *call)
{
	const struct who *who = &call->who;
	struct jw *w;

	if (who->kind == WHO_NOBODY) {
		web_refuse(call, ERR_UNAUTHENTICATED, NULL);
		return;
	}
	w = web_json(call);
	if (who->kind == WHO_SESSION) {
		jw_kcstr(w, "kind", "session");
		jw_kuuid(w, "session_id", &who->session_id);
	} else if (who->kind == WHO_STAFF) {
		jw_kcstr(w, "kind", "staff");
		jw_kuuid(w, "organizer_id", &who->organizer_id);
		scopes_write(w, who->scopes);
	} else {
		jw_kcstr(w, "kind", "booking");
		jw_kuuid(w, "show_id", &who->show_id);
		jw_kuuid(w, "booking_id", &who->booking_id);
	}
	web_json_end(call, 200);
}

/* ---- GET /v1/me/bookings: each is read like one alone and written into a text of its own ---- */

enum { MINE_MAX = 50, MINE_BYTES_MAX = 256 * 1024 };

struct mine {
	struct booking_service *b;
	struct web_call *call;
	size_t n, waiting;
	struct buf *texts;
	bool failed, more;
	struct uuid last;
	int64_t last_us;
};

struct mine_one {
	struct mine *m;
	size_t i;
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
		for (size_t i = 0; i < m->n; i++)
			jw_raw(w, buf_str(&m->texts[i]));
		page_end_at(w, m->more, m->last_us, &m->last);
		web_json_end(m->call, 200);
	}
	for (size_t i = 0; i < m->n; i++)
		buf_done(&m->texts[i]);
	free(m->texts);
	free(m);
}

static void on_mine_one(void *arg, enum err err, const struct booking_view *v, struct show *show,
			const struct pg_result *tickets)
{
	struct mine_one *one = arg;
	struct mine *m = one->m;
	struct jw w;

	if (err == ERR_NONE) {
		jw_init(&w, &m->texts[one->i]);
		jw_obj(&w);
		booking_write(m->b, &w, v, show, tickets, true);
		jw_obj_end(&w);
	}
	if (err != ERR_NONE || !jw_done(&w))
		m->failed = true;
	if (--m->waiting == 0)
		mine_answer(m);
}

static void on_mine(void *arg, const struct pg_answer *a)
{
	struct mine *m = arg;

	if (a->status != PG_OK || pg_rows(a->result) == 0) {
		m->failed = a->status != PG_OK;
		mine_answer(m);
		return;
	}
	m->more = pg_rows(a->result) > MINE_MAX;
	m->waiting = m->n = m->more ? MINE_MAX : (size_t)pg_rows(a->result);
	m->last = pg_get_uuid(a->result, (int)m->n - 1, 1);
	m->last_us = pg_get_time(a->result, (int)m->n - 1, 2);
	m->texts = xcalloc(m->n, sizeof(*m->texts));
	for (size_t i = 0; i < m->n; i++) {
		struct mine_one *one = arena_new(m->call->arena, struct mine_one);
		struct uuid show = pg_get_uuid(a->result, (int)i, 0), booking = pg_get_uuid(a->result, (int)i, 1);

		buf_init(&m->texts[i], MINE_BYTES_MAX);
		*one = (struct mine_one){m, i};
		booking_load(m->b, m->call->arena, &show, &booking, on_mine_one, one);
	}
}

void my_bookings_get(struct web_call *call)
{
	struct uuid after;
	int64_t after_us;
	struct pg_args args;
	struct mine *m;

	if (!page_cursor_read(call, &after_us, &after))
		return;
	m = xcalloc(1, sizeof(*m));
	m->b = call->service;
	m->call = call;
	pg_args_init(&args, call->arena);
	pg_arg_uuid(&args, &call->who.session_id);
	pg_arg_i32(&args, MINE_MAX + 1);
	pg_arg_time(&args, uuid_is_zero(&after) ? TIME_INFINITY : after_us); /* everything was made before that */
	pg_arg_uuid(&args, &after);
	pg_query_start(m->b->config.pg, &booking_sql_bookings_of_session, &args, BOOKING_QUERY_MS, on_mine, m);
}
