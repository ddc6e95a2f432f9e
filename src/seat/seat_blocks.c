/*
 * Seats that the organiser keeps out of the sale: blocked, put back, listed. Called by the service's routes (seat_api.c).
 *
 *   free <--> blocked      all that are named or none; one that is held or sold is neither blocked nor put back
 */
#include "base/xmalloc.h"
#include "io/crypto.h"
#include "io/page.h"
#include "seat/seat_locks.h"
#include "seat/seat_service.h"
#include "seat/seat_sql.h"
#include "seat/seat_store.h"

#include <stdlib.h>

enum { QUERY_MS = 3000, BLOCK_SEATS_MAX = 100000, PAGE = 500 };

struct block {
	struct seat_service *s;
	struct web_call *call;
	struct show *show;
	bool lift;
	struct uuid show_id;
};

static void block_free(struct block *b)
{
	show_unref(b->show);
	free(b);
}

static void on_block_applied(void *arg, bool applied)
{
	struct block *b = arg;
	struct jw *w = web_json(b->call);

	jw_kuuid(w, "show_id", &b->show_id);
	jw_kcstr(w, "state", b->lift ? "free" : "blocked");
	web_json_end(b->call, 200);
	block_free(b);
}

static void on_blocked(void *arg, const struct pg_answer *a)
{
	struct block *b = arg;
	struct seat_change *changes;
	struct uuid zero = {{0}};
	int64_t *refused;
	size_t n;

	if (a->status != PG_OK) {
		web_refuse(b->call, a->status == PG_UNKNOWN ? ERR_OUTCOME_UNKNOWN : ERR_UNAVAILABLE, NULL);
		block_free(b);
		return;
	}
	if (!pg_is_null(a->result, 0, 0)) {
		struct jw *w = web_problem(b->call, ERR_SEATS_UNAVAILABLE,
					   b->lift ? "Seats that are held or sold are not blocked."
						   : "Seats that are held or sold cannot be blocked.");

		n = pg_get_ints(a->result, 0, 0, b->call->arena, &refused);
		jw_key(w, "unavailable");
		jw_arr(w);
		for (size_t i = 0; i < n; i++)
			jw_str(w, plan_seat_guid(b->show->plan, (uint32_t)refused[i]));
		jw_arr_end(w);
		web_problem_end(b->call);
		block_free(b);
		return;
	}
	n = seat_changes_from(a->result, 0, 1, 2, b->lift ? SEAT_FREE : SEAT_BLOCKED, 0, &zero, b->call->arena,
			      &changes);
	seat_map_apply(b->s->config.map, &b->show_id, changes, n, NULL, 0, 0, on_block_applied, b);
}

static void on_block_show(void *arg, enum err err, struct show *show)
{
	struct block *b = arg;
	struct web_call *call = b->call;
	struct uuid outbox = crypto_uuid_v7(wall_now_us());
	struct error e = {0};
	struct json_in in;
	struct str reason, bad = STR("");
	const json_t *seats;
	struct pg_args args;
	uint32_t *numbers, n;
	json_t *body;

	if (err == ERR_NONE && !uuid_eq(&show->organizer_id, &call->who.organizer_id))
		err = ERR_NOT_FOUND;
	if (err != ERR_NONE) {
		web_refuse(call, err, NULL);
		block_free(b);
		return;
	}
	b->show = show_ref(show);
	body = web_body(call);
	if (!body) {
		block_free(b);
		return;
	}
	json_in_init(&in, body, "", &e);
	seats = json_in_array(&in, "seats", JSON_REQUIRED, 1, BLOCK_SEATS_MAX);
	reason = b->lift ? STR("") : json_in_str(&in, "reason", JSON_OPTIONAL, 0, 200);
	numbers = arena_array(call->arena, uint32_t, BLOCK_SEATS_MAX);
	if (!json_in_end(&in) || !seat_list_read(seats, "/seats", show->plan, BLOCK_SEATS_MAX, numbers, &n, &bad, &e)) {
		seats_refuse(call, &e, bad, BLOCK_SEATS_MAX);
		block_free(b);
		return;
	}
	pg_args_init(&args, call->arena);
	pg_arg_uuid(&args, &b->show_id);
	pg_arg_i32s(&args, (const int32_t *)numbers, n);
	pg_arg_uuid(&args, &outbox);
	pg_arg_uuid(&args, &show->plan_id);
	if (!b->lift)
		pg_arg_text(&args, reason);
	pg_query_start(b->s->config.pg, b->lift ? &seat_sql_seats_unblock : &seat_sql_seats_block, &args, QUERY_MS,
		       on_blocked, b);
}

static void block_start(struct web_call *call, bool lift)
{
	struct block *b = xcalloc(1, sizeof(*b));

	b->s = call->service;
	b->call = call;
	b->lift = lift;
	b->show_id = call->ids[0];
	event_show_get_numbered(b->s->config.event, &call->ids[0], on_block_show, b);
}

void blocks_post(struct web_call *call)
{
	block_start(call, false);
}

void blocks_delete(struct web_call *call)
{
	block_start(call, true);
}

/* ---- GET ---- */

struct listing {
	struct seat_service *s;
	struct web_call *call;
	struct show *show;
	int32_t from;
};

static void listing_end(struct listing *l)
{
	show_unref(l->show);
	free(l);
}

static void on_listed(void *arg, const struct pg_answer *a)
{
	struct listing *l = arg;
	char next[PAGE_CURSOR_TEXT];
	struct uuid none = {{0}}, plan;
	struct jw *w;
	int rows;

	if (a->status == PG_OK && pg_rows(a->result))
		plan = pg_get_uuid(a->result, 0, 3);
	/* the show moved between its reading and this */
	if (a->status != PG_OK || (pg_rows(a->result) && !uuid_eq(&plan, &l->show->plan_id))) {
		web_refuse(l->call, ERR_UNAVAILABLE, NULL);
		listing_end(l);
		return;
	}
	w = web_json(l->call);
	jw_key(w, "items");
	jw_arr(w);
	rows = pg_rows(a->result) > PAGE ? PAGE : pg_rows(a->result);
	for (int i = 0; i < rows; i++) {
		jw_obj(w);
		jw_kstr(w, "seat", plan_seat_guid(l->show->plan, (uint32_t)pg_get_int(a->result, i, 0)));
		jw_kstr(w, "reason", pg_get_text(a->result, i, 1));
		jw_key(w, "blocked_at");
		if (pg_is_null(a->result, i, 2))
			jw_null(w);
		else
			jw_time(w, pg_get_time(a->result, i, 2));
		jw_obj_end(w);
	}
	jw_arr_end(w);
	/* the cursor's time is the number of the first seat that was not said */
	if (pg_rows(a->result) > PAGE) {
		page_cursor_text(pg_get_int(a->result, PAGE, 0), &none, next);
		jw_kcstr(w, "next", next);
	} else {
		jw_key(w, "next");
		jw_null(w);
	}
	web_json_end(l->call, 200);
	listing_end(l);
}

static void on_listing_show(void *arg, enum err err, struct show *show)
{
	struct listing *l = arg;
	struct pg_args args;

	if (err == ERR_NONE && !uuid_eq(&show->organizer_id, &l->call->who.organizer_id))
		err = ERR_NOT_FOUND;
	if (err != ERR_NONE) {
		web_refuse(l->call, err, NULL);
		listing_end(l);
		return;
	}
	l->show = show_ref(show);
	pg_args_init(&args, l->call->arena);
	pg_arg_uuid(&args, &show->show_id);
	pg_arg_i32(&args, l->from);
	pg_arg_i32(&args, PAGE + 1);
	pg_query_start(l->s->config.pg, &seat_sql_blocks_of_show, &args, QUERY_MS, on_listed, l);
}

void blocks_get(struct web_call *call)
{
	struct listing *l;
	struct uuid none;
	int64_t from;

	if (!page_cursor_read(call, &from, &none))
		return;
	l = xcalloc(1, sizeof(*l));
	l->s = call->service;
	l->call = call;
	l->from = from > INT32_MAX ? INT32_MAX : (int32_t)from;
	event_show_get_numbered(l->s->config.event, &call->ids[0], on_listing_show, l);
}
