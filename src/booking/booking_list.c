/*
 * GET /v1/bookings: the organiser's bookings, newest first, or those of the people who are looked for.
 *
 *   q --+--> none: all of the organiser, or of a show        each a statement of its own, which only its own index fits
 *       +--> a reference: that one
 *       +--> with an @: whose address begins so
 *       +--> else: whose address, name or last name begins so
 *
 * The cursor is a place in the order (when it was made, its id): what is made or changes meanwhile moves nothing.
 */
#include "base/times.h"
#include "booking/booking_int.h"
#include "booking/booking_sql.h"
#include "io/page.h"

#include <stdio.h>
#include <string.h>

enum { PAGE = 50, PAGE_MAX = 100, Q_MIN = 2, Q_MAX = 200 };

struct listing {
	struct booking_service *b;
	struct web_call *call;
	int32_t limit;
};

static bool refuse(struct web_call *call, const char *name, const char *detail)
{
	char path[ERROR_PATH_MAX];
	struct error e = {0};

	json_pointer(path, "", name);
	error_set(&e, ERR_INVALID_REQUEST, path, "%s", detail);
	web_refuse_error(call, &e);
	return false;
}

/* A query parameter, empty when absent; false after having answered. */
static bool query(struct web_call *call, const char *name, struct str *ret)
{
	bool bad = false;

	*ret = STR("");
	if (http_req_query(call->req, name, ret, &bad) && str_trim(*ret).n == 0)
		return refuse(call, name, arena_printf(call->arena, "\"%s\" is empty.", name));
	*ret = str_trim(*ret);
	if (!bad && ret->n <= Q_MAX)
		return true;
	return refuse(call, name,
		      arena_printf(call->arena, "\"%s\" must be well-formed text of at most %d bytes.", name, Q_MAX));
}

static void on_listed(void *arg, const struct pg_answer *a)
{
	struct listing *l = arg;
	const struct pg_result *r = a->result;
	struct jw *w;
	int rows;

	if (a->status != PG_OK) {
		web_refuse(l->call, ERR_UNAVAILABLE, NULL);
		return;
	}
	w = web_json(l->call);
	jw_key(w, "items");
	jw_arr(w);
	rows = pg_rows(r) > l->limit ? l->limit : pg_rows(r);
	for (int i = 0; i < rows; i++) {
		struct uuid booking = pg_get_uuid(r, i, 0), show = pg_get_uuid(r, i, 2), event = pg_get_uuid(r, i, 3);
		char currency[4];

		snprintf(currency, sizeof(currency), "%.*s", STR_FMT(pg_get_text(r, i, 9)));
		jw_obj(w);
		jw_kuuid(w, "booking_id", &booking);
		jw_kuuid(w, "show_id", &show);
		jw_kuuid(w, "event_id", &event);
		jw_kstr(w, "reference", pg_get_text(r, i, 4));
		jw_kstr(w, "status", pg_get_text(r, i, 5));
		if (pg_get_text(r, i, 6).n)
			jw_kstr(w, "reason", pg_get_text(r, i, 6));
		jw_kint(w, "seat_count", pg_get_int(r, i, 7));
		jw_kmoney(w, "total", pg_get_int(r, i, 8), currency);
		jw_key(w, "buyer");
		jw_obj(w);
		jw_kstr(w, "name", pg_get_text(r, i, 10));
		jw_kstr(w, "email", pg_get_text(r, i, 11));
		jw_obj_end(w);
		jw_ktime(w, "created_at", pg_get_time(r, i, 1));
		jw_obj_end(w);
	}
	page_end(w, r, l->limit, 1);
	web_json_end(l->call, 200);
}

struct ask {
	struct str q, state;
	struct uuid show, after;
	int64_t after_us;
	int32_t limit;
};

static bool ask_read(struct web_call *call, struct ask *ret)
{
	enum booking_state state;
	struct str show, limit;
	uint64_t n = PAGE;

	memset(ret, 0, sizeof(*ret));
	if (!query(call, "q", &ret->q) || !query(call, "show", &show) || !query(call, "status", &ret->state) ||
	    !query(call, "limit", &limit) || !page_cursor_read(call, &ret->after_us, &ret->after))
		return false;
	if (uuid_is_zero(&ret->after))
		ret->after_us = TIME_INFINITY; /* everything was made before that */
	if (show.n && !uuid_parse(show, &ret->show))
		return refuse(call, "show", "\"show\" must be the id of a show.");
	if (ret->state.n && !booking_state_parse(ret->state, &state))
		return refuse(call, "status",
			      "\"status\" is \"payment_pending\", \"confirmed\", \"cancelled\" or \"failed\".");
	if (limit.n && (!str_to_u64(limit, PAGE_MAX, &n) || n == 0))
		return refuse(call, "limit", arena_printf(call->arena, "\"limit\" is 1 to %d.", PAGE_MAX));
	if (ret->q.n && ret->q.n < Q_MIN)
		return refuse(call, "q", arena_printf(call->arena, "\"q\" has at least %d letters.", Q_MIN));
	ret->limit = (int32_t)n;
	return true;
}

void bookings_get(struct web_call *call)
{
	struct listing *l = arena_new(call->arena, struct listing);
	const struct pg_stmt *stmt = &booking_sql_bookings_list;
	char reference[REFERENCE_TEXT];
	struct pg_args args;
	struct ask ask;

	if (!ask_read(call, &ask))
		return;
	l->b = call->service;
	l->call = call;
	l->limit = ask.limit;
	pg_args_init(&args, call->arena);
	pg_arg_uuid(&args, &call->who.organizer_id);
	pg_arg_text(&args, ask.state);
	pg_arg_time(&args, ask.after_us);
	pg_arg_uuid(&args, &ask.after);
	pg_arg_i32(&args, ask.limit + 1);
	if (ask.q.n || !uuid_is_zero(&ask.show)) {
		stmt = &booking_sql_bookings_list_show;
		pg_arg_uuid(&args, &ask.show);
	}
	if (booking_reference_read(ask.q, reference)) {
		stmt = &booking_sql_bookings_list_reference;
		pg_arg_text(&args, str_from(reference));
	} else if (ask.q.n) {
		stmt = memchr(ask.q.p, '@', ask.q.n) ? &booking_sql_bookings_list_mail
						     : &booking_sql_bookings_list_name;
		pg_arg_text(&args, ask.q);
		/* followed by the last character there is: what begins with q comes before it, byte by byte */
		pg_arg_text(&args, str_from(arena_printf(call->arena, "%.*s\xF4\x8F\xBF\xBF", STR_FMT(ask.q))));
	}
	pg_query_start(l->b->config.pg, stmt, &args, BOOKING_QUERY_MS, on_listed, l);
}
