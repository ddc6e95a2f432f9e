/*
 * GET /v1/events: what is on, by words, category, city and time. Owns the way of a search and its cursors.
 *
 *   begin --(events_as_of: only a first page)--> MATCH --too many--> CITY or WALK --> answer
 *                                                 |  \--page--> answer
 *                                                 +--nothing has the words--> LIKE --> answer
 *           no words, no category: CITY when there is one, else WALK
 *
 * Each way is one statement that one index carries (sql/events_*.sql, db/migrations/0006). All sort alike: by the event's
 * first show of those asked for, then by its id.
 *
 * A list stands as of its first page: the cursor says when that was, which way was taken, and where the page ended. What is
 * put on or taken off between pages moves nothing that is there: an event is told once, and none that was there all the time
 * is passed over. (Of one show that moves to another time this is not true, and of one whose transaction was under way while
 * the first page was read.)
 */
#include "event/event_int.h"

#include "base/times.h"
#include "event/event_sql.h"

#include <endian.h>
#include <string.h>

enum { SEARCH_TEXT_BYTES = 400, SEARCH_PAGE_MAX = 100, MATCHED_MAX = 5000 };

enum search_way { WAY_MATCH, WAY_CITY, WAY_WALK, WAY_LIKE };

struct search {
	struct event_service *ev;
	struct web_call *call;
	struct str q, category, city;
	int64_t from_us, to_us, as_of_us, after_us;
	struct uuid after;
	bool first; /* page */
	enum search_way way;
	int limit;
};

/* ---- cursors: way, as of when, the place of the last one ---- */

enum { CURSOR_BYTES = 1 + 8 + 8 + 16 };
#define CURSOR_END_US (INT64_C(253402300800) * US_PER_SECOND) /* the year 10000 */

/* As io/page.h has times in cursors, the lowest byte first. */
static bool time_unpack(const uint8_t *raw, int64_t *ret_us)
{
	uint64_t time;

	memcpy(&time, raw, sizeof(time));
	time = le64toh(time);
	*ret_us = (int64_t)time;
	return time < (uint64_t)CURSOR_END_US; /* those before 1970 too */
}

static void time_pack(uint8_t *raw, int64_t us)
{
	uint64_t time = htole64((uint64_t)us);

	memcpy(raw, &time, sizeof(time));
}

static bool cursor_read(struct search *s)
{
	struct error e = {0};
	struct str text;
	uint8_t raw[CURSOR_BYTES];
	size_t n;
	bool bad = false;

	s->first = !http_req_query(s->call->req, "cursor", &text, &bad) && !bad;
	if (s->first)
		return true;
	if (!bad && base64url_decode(text, raw, sizeof(raw), &n) && n == sizeof(raw) && raw[0] <= WAY_LIKE) {
		s->way = raw[0];
		memcpy(s->after.b, raw + 17, 16);
		if (time_unpack(raw + 1, &s->as_of_us) && time_unpack(raw + 9, &s->after_us))
			return true;
	}
	error_set(&e, ERR_INVALID_REQUEST, "/cursor", "\"cursor\" must be what \"next\" of the page before said.");
	web_refuse_error(s->call, &e);
	return false;
}

static void cursor_write(struct jw *w, const struct search *s, const struct pg_result *r, int row)
{
	struct uuid id = pg_get_uuid(r, row, 0);
	int64_t place_us = pg_get_time(r, row, 7);
	uint8_t raw[CURSOR_BYTES];
	char text[BASE64URL_SIZE(CURSOR_BYTES)];

	raw[0] = (uint8_t)s->way;
	time_pack(raw + 1, s->as_of_us);
	time_pack(raw + 9, place_us);
	memcpy(raw + 17, id.b, 16);
	base64url_encode(raw, sizeof(raw), text);
	jw_kcstr(w, "next", text);
}

/* ---- the answer ---- */

void event_item_write(struct jw *w, const struct pg_result *r, int row)
{
	struct uuid id = pg_get_uuid(r, row, 0);

	jw_obj(w);
	jw_kuuid(w, "event_id", &id);
	jw_kstr(w, "name", pg_get_text(r, row, 1));
	jw_kstr(w, "category", pg_get_text(r, row, 2));
	jw_kstr(w, "description", pg_get_text(r, row, 3));
	jw_kstr(w, "city", pg_get_text(r, row, 4));
	jw_ktime(w, "next_show_at", pg_get_time(r, row, 5));
	jw_kint(w, "shows", pg_get_int(r, row, 6));
	jw_obj_end(w);
}

/* n: rows of the page and the one after it. */
static void answer(struct search *s, const struct pg_result *r, int n)
{
	struct jw *w = web_json(s->call);
	int rows = n > s->limit ? s->limit : n;

	jw_key(w, "items");
	jw_arr(w);
	for (int i = 0; i < rows; i++)
		event_item_write(w, r, i);
	jw_arr_end(w);
	if (n > s->limit) {
		cursor_write(w, s, r, s->limit - 1);
	} else {
		jw_key(w, "next");
		jw_null(w);
	}
	web_json_end(s->call, 200);
}

/* ---- the ways ---- */

static void run(struct search *s);

static void on_page(void *arg, const struct pg_answer *a)
{
	struct search *s = arg;

	if (a->status != PG_OK)
		event_refuse_pg(s->call, a, false);
	else
		answer(s, a->result, pg_rows(a->result));
}

static void on_match(void *arg, const struct pg_answer *a)
{
	struct search *s = arg;
	int n;

	if (a->status != PG_OK) {
		event_refuse_pg(s->call, a, false);
		return;
	}
	n = pg_is_null(a->result, 0, 0)
		    ? 0
		    : pg_rows(a->result); /* one row of nothing but the count when there is no page */
	if (pg_get_int(a->result, 0, 8) > MATCHED_MAX) {
		s->way = s->city.n ? WAY_CITY : WAY_WALK;
		run(s);
	} else if (n == 0 && s->q.n && s->first) {
		s->way = WAY_LIKE;
		run(s);
	} else {
		answer(s, a->result, n);
	}
}

static void run(struct search *s)
{
	static const struct pg_stmt *const statements[] = {&event_sql_events_match, &event_sql_events_in_city,
							   &event_sql_events_walk, &event_sql_events_like};
	struct pg_args args;

	pg_args_init(&args, s->call->arena);
	pg_arg_time(&args, s->as_of_us);
	pg_arg_time(&args, s->from_us);
	pg_arg_time(&args, s->to_us);
	pg_arg_text(&args, s->q);
	pg_arg_text(&args, s->category);
	pg_arg_time(&args, s->after_us);
	pg_arg_uuid(&args, &s->after);
	pg_arg_i32(&args, s->limit + 1);
	if (s->way != WAY_WALK)
		pg_arg_text(&args, s->city);
	if (s->way == WAY_MATCH)
		pg_arg_i32(&args, MATCHED_MAX);
	pg_query_start(s->ev->config.pg, statements[s->way], &args, EVENT_QUERY_MS,
		       s->way == WAY_MATCH ? on_match : on_page, s);
}

static void on_as_of(void *arg, const struct pg_answer *a)
{
	struct search *s = arg;

	if (a->status != PG_OK) {
		event_refuse_pg(s->call, a, false);
		return;
	}
	s->as_of_us = pg_get_time(a->result, 0, 0);
	run(s);
}

/* ---- the request ---- */

/* A query parameter that is a time; false after having answered. */
bool event_query_time(struct web_call *call, const char *name, int64_t absent, int64_t *ret)
{
	char path[ERROR_PATH_MAX];
	struct error e = {0};
	struct str text;
	bool bad = false;

	*ret = absent;
	if (!http_req_query(call->req, name, &text, &bad) && !bad)
		return true;
	if (!bad && time_parse(text, ret))
		return true;
	json_pointer(path, "", name);
	error_set(&e, ERR_INVALID_REQUEST, path, "\"%s\" must be a time like 2026-11-23T18:30:00Z (RFC 3339).", name);
	web_refuse_error(call, &e);
	return false;
}

static bool query_text(struct web_call *call, const char *name, struct str *ret)
{
	char path[ERROR_PATH_MAX];
	struct error e = {0};
	bool bad = false;

	*ret = STR("");
	http_req_query(call->req, name, ret, &bad);
	if (!bad && ret->n <= SEARCH_TEXT_BYTES)
		return true;
	json_pointer(path, "", name);
	error_set(&e, ERR_INVALID_REQUEST, path, "\"%s\" must be well-formed text of at most %d bytes.", name,
		  SEARCH_TEXT_BYTES);
	web_refuse_error(call, &e);
	return false;
}

static bool query_limit(struct web_call *call, int *ret)
{
	struct error e = {0};
	struct str text;
	uint64_t v = EVENT_PAGE;
	bool bad = false;

	if (http_req_query(call->req, "limit", &text, &bad) && !bad)
		bad = !str_to_u64(text, SEARCH_PAGE_MAX, &v) || v == 0;
	*ret = (int)v;
	if (!bad)
		return true;
	error_set(&e, ERR_INVALID_REQUEST, "/limit", "\"limit\" must be a number from 1 to %d.", SEARCH_PAGE_MAX);
	web_refuse_error(call, &e);
	return false;
}

void events_get(struct web_call *call)
{
	struct search *s = arena_new(call->arena, struct search);
	struct pg_args args;

	s->ev = call->service;
	s->call = call;
	if (!query_text(call, "q", &s->q) || !query_text(call, "category", &s->category) ||
	    !query_text(call, "city", &s->city) || !event_query_time(call, "from", 0, &s->from_us) ||
	    !event_query_time(call, "to", TIME_INFINITY, &s->to_us) || !query_limit(call, &s->limit) || !cursor_read(s))
		return;
	if (!s->first) {
		run(s);
		return;
	}
	s->way = s->q.n || s->category.n ? WAY_MATCH : s->city.n ? WAY_CITY : WAY_WALK;
	pg_args_init(&args, call->arena);
	pg_query_start(s->ev->config.pg, &event_sql_events_as_of, &args, EVENT_QUERY_MS, on_as_of, s);
}
