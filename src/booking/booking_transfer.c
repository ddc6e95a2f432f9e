/*
 * POST .../transfer: tickets of a booking get another holder. The booking stays whose it is: money goes back to whoever paid.
 *
 *   booking --> may the caller? --> transaction, in the order of locks: booking (decide), buyer, tickets revoked, trail and mail,
 *           tickets issued --> what was made
 *
 * The old codes are void and the new ones good in the same moment. The new ones are their holder's: the buyer sees that a ticket was
 * given away, not its code, and cannot give it away once more; the holder's link (of the transfer) goes by mail.
 */
#include "base/xmalloc.h"
#include "booking/booking_int.h"
#include "booking/booking_sql.h"
#include "booking/booking_store.h"
#include "io/crypto.h"
#include "ticket/ticket_service.h"

#include <stdlib.h>
#include <string.h>

static const char NOT_YOURS[] = "A ticket of these seats was given to somebody else already.";

struct transfer {
	struct booking_service *b;
	struct web_call *call;
	struct show *show;
	struct idempotent idem;
	bool staff, wrote;
	uint32_t *asked, n_asked; /* NULL: all */
	struct booking_person to;
	/* the transaction */
	struct pg_tx *tx;
	struct uuid buyer_id;
	int32_t *seats;
	size_t n;
	enum err refused;
	const char *detail;
	uint32_t bad_seat;
};

static void transfer_free(struct transfer *t)
{
	show_unref(t->show);
	free(t);
}

static void refuse(struct transfer *t, enum err code, const char *detail)
{
	web_refuse(t->call, code, detail);
	transfer_free(t);
}

/* ---- the answer, from what is stored ---- */

static void transfer_write(struct transfer *t, const struct pg_result *r)
{
	struct arena *arena = t->call->arena;
	struct jw *w = web_json(t->call);
	struct uuid *tickets;
	int64_t *seats;
	size_t n = pg_get_ints(r, 0, 2, arena, &seats);
	size_t n_tickets = pg_get_uuids(r, 0, 6, arena, &tickets);

	jw_kuuid(w, "transfer_id", &t->idem.id);
	jw_kuuid(w, "booking_id", &t->call->ids[1]);
	jw_key(w, "to");
	jw_obj(w);
	jw_kstr(w, "name", pg_get_text(r, 0, 3));
	jw_kstr(w, "email", pg_get_text(r, 0, 4));
	jw_obj_end(w);
	jw_key(w, "tickets");
	jw_arr(w);
	for (size_t i = 0; i < n && i < n_tickets; i++) {
		jw_obj(w);
		jw_kuuid(w, "ticket_id", &tickets[i]);
		jw_kstr(w, "seat", plan_seat_guid(t->show->plan, (uint32_t)seats[i]));
		jw_obj_end(w);
	}
	jw_arr_end(w);
	jw_ktime(w, "created_at", pg_get_time(r, 0, 5));
	web_json_end(t->call, 200);
	transfer_free(t);
}

static void transfer_begin(struct transfer *t);
static void transfer_refuse(struct transfer *t);

static void on_read(void *arg, const struct pg_answer *a)
{
	struct transfer *t = arg;
	struct str mine = idempotent_hash(&t->idem);
	struct uuid booking;

	if (a->status != PG_OK) {
		refuse(t, t->wrote ? ERR_OUTCOME_UNKNOWN : ERR_UNAVAILABLE, NULL);
		return;
	}
	if (pg_rows(a->result) == 0) {
		if (t->refused != ERR_NONE)
			transfer_refuse(t);
		else
			transfer_begin(t);
		return;
	}
	booking = pg_get_uuid(a->result, 0, 0);
	if (!uuid_eq(&booking, &t->call->ids[1]) || !str_eq(pg_get_bytes(a->result, 0, 1), mine))
		refuse(t, ERR_IDEMPOTENCY_MISMATCH, NULL);
	else
		transfer_write(t, a->result);
}

static void transfer_read(struct transfer *t)
{
	struct pg_args args;

	pg_args_init(&args, t->call->arena);
	pg_arg_uuid(&args, &t->call->ids[0]);
	pg_arg_uuid(&args, &t->idem.id);
	pg_query_start(t->b->config.pg, &booking_sql_transfer_get, &args, BOOKING_QUERY_MS, on_read, t);
}

/* ---- the transaction ---- */

static void on_committed(void *arg, const struct pg_answer *a)
{
	struct transfer *t = arg;

	if (a->status != PG_OK) {
		refuse(t, a->status == PG_UNKNOWN ? ERR_OUTCOME_UNKNOWN : ERR_UNAVAILABLE, NULL);
		return;
	}
	t->wrote = true;
	transfer_read(t);
}

static void transfer_refuse(struct transfer *t)
{
	struct jw *w;

	if (t->refused != ERR_UNKNOWN_SEAT) {
		refuse(t, t->refused, t->detail);
		return;
	}
	w = web_problem(t->call, t->refused, "This seat is not one of the booking.");
	jw_kstr(w, "seat", plan_seat_guid(t->show->plan, t->bad_seat));
	web_problem_end(t->call);
	transfer_free(t);
}

static void transfer_finish(struct transfer *t, const struct pg_answer *a)
{
	if (a->status == PG_OK && t->refused == ERR_NONE) {
		pg_tx_commit(t->tx, on_committed, t);
		return;
	}
	pg_tx_rollback(t->tx, NULL, NULL);
	if (a->status == PG_OK && t->idem.has_key) {
		transfer_read(t); /* what stands in its way may be the same key, a moment earlier */
	} else if (a->status == PG_OK) {
		transfer_refuse(t);
	} else if (a->status == PG_ERROR && str_eqc(str_from(a->sqlstate), "23505")) {
		transfer_read(t); /* the same key, a moment earlier */
	} else {
		refuse(t, a->status == PG_ERROR && !pg_error_is_transient(a) ? ERR_INTERNAL : ERR_UNAVAILABLE, NULL);
	}
}

static void on_issued(void *arg, const struct pg_answer *a)
{
	struct transfer *t = arg;

	if (a->status == PG_OK && (size_t)pg_rows(a->result) < t->n)
		t->refused = ERR_UNAVAILABLE; /* no key to sign with yet */
	transfer_finish(t, a);
}

static void on_revoked(void *arg, const struct pg_answer *a)
{
	struct transfer *t = arg;
	struct uuid mail = crypto_uuid_v7(wall_now_us()), actor = {{0}}, *revoked;
	struct arena *arena = t->call->arena;
	struct pg_args args;
	size_t n;

	if (a->status != PG_OK || pg_get_int(a->result, 0, 0) > 0 || pg_get_int(a->result, 0, 1) != (int64_t)t->n) {
		if (a->status == PG_OK)
			t->refused = pg_get_int(a->result, 0, 0) > 0 ? ERR_TICKET_USED : ERR_INTERNAL;
		transfer_finish(t, a);
		return;
	}
	n = pg_get_uuids(a->result, 0, 2, arena, &revoked);
	if (t->call->who.kind == WHO_STAFF)
		actor = uuid_is_zero(&t->call->who.user_id) ? t->call->who.token_id : t->call->who.user_id;
	else if (t->call->who.kind == WHO_SESSION)
		actor = t->call->who.session_id;
	pg_args_init(&args, arena);
	pg_arg_uuid(&args, &t->call->ids[0]);
	pg_arg_uuid(&args, &t->idem.id);
	pg_arg_uuid(&args, &t->call->ids[1]);
	pg_arg_i32s(&args, t->seats, t->n);
	pg_arg_uuids(&args, revoked, n);
	pg_arg_uuid(&args, &t->buyer_id);
	pg_arg_text(&args, t->staff ? STR("staff") : STR("buyer"));
	pg_arg_uuid(&args, &actor);
	pg_arg_bytes(&args, idempotent_hash(&t->idem));
	pg_arg_uuid(&args, &mail);
	pg_tx_exec(t->tx, &booking_sql_booking_transfer, &args, NULL, NULL);
	tickets_issue_to(t->b->config.ticket, t->tx, arena, &t->call->ids[0], &t->call->ids[1], &t->idem.id, t->seats,
			 t->n, on_issued, t);
}

static bool has(const int64_t *seats, size_t n, int64_t seat)
{
	for (size_t i = 0; i < n; i++)
		if (seats[i] == seat)
			return true;
	return false;
}

/* Which seats it is about: false with refused set. */
static bool seats_choose(struct transfer *t, const struct pg_result *r)
{
	struct arena *arena = t->call->arena;
	int64_t *live = NULL, *given = NULL;
	size_t n_live = 0, n_given = 0;

	if (!pg_is_null(r, 0, 11))
		n_live = pg_get_ints(r, 0, 11, arena, &live);
	if (!pg_is_null(r, 0, 13))
		n_given = pg_get_ints(r, 0, 13, arena, &given);
	for (uint32_t i = 0; i < t->n_asked; i++)
		if (!has(live, n_live, t->asked[i])) {
			t->refused = ERR_UNKNOWN_SEAT;
			t->bad_seat = t->asked[i];
			return false;
		}
	t->seats = arena_array(arena, int32_t, n_live + 1);
	t->n = 0;
	for (size_t i = 0; i < n_live; i++) {
		bool asked = !t->asked;

		for (uint32_t k = 0; k < t->n_asked; k++)
			asked |= t->asked[k] == live[i];
		if (asked && !t->staff && has(given, n_given, live[i])) {
			t->refused = ERR_TRANSFER_CLOSED;
			t->detail = NOT_YOURS;
			return false;
		}
		if (asked)
			t->seats[t->n++] = (int32_t)live[i];
	}
	return true;
}

static void on_held(void *arg, const struct pg_answer *a)
{
	struct transfer *t = arg;

	if (a->status == PG_OK && pg_rows(a->result) == 0)
		t->refused = ERR_NOT_FOUND;
	else if (a->status == PG_OK && !str_eqc(pg_get_text(a->result, 0, 0), "confirmed"))
		t->refused = ERR_NOT_CONFIRMED;
	if (a->status != PG_OK || t->refused != ERR_NONE || !seats_choose(t, a->result)) {
		transfer_finish(t, a);
		return;
	}
	t->buyer_id = crypto_uuid_v7(wall_now_us());
	buyer_create(t->b, t->tx, t->call->arena, &t->buyer_id, &t->show->organizer_id, &t->to);
	tickets_revoke(t->tx, t->call->arena, &t->call->ids[0], &t->call->ids[1], t->seats, t->n, "transferred",
		       on_revoked, t);
}

static void transfer_begin(struct transfer *t)
{
	t->refused = ERR_NONE;
	t->detail = NULL;
	t->tx = pg_tx_start(t->b->config.pg, NULL, BOOKING_TX_MS);
	/* twice: what the first one waited for only a statement begun after it can see */
	booking_hold(t->tx, t->call->arena, &t->call->ids[0], &t->call->ids[1], NULL, NULL);
	booking_hold(t->tx, t->call->arena, &t->call->ids[0], &t->call->ids[1], on_held, t);
}

/* ---- the beginning ---- */

static void on_loaded(void *arg, enum err err, const struct booking_view *v, struct show *show,
		      const struct pg_result *tickets)
{
	struct transfer *t = arg;
	struct web_call *call = t->call;
	struct error e = {0};
	struct json_in in, to;
	const json_t *seats;
	struct str bad;
	json_t *body;

	if (err == ERR_NONE)
		err = booking_may_see(call, v);
	if (err != ERR_NONE) {
		refuse(t, err, NULL);
		return;
	}
	t->show = show_ref(show);
	t->staff = call->who.kind == WHO_STAFF;
	if (!t->staff && !show->transferable) {
		refuse(t, ERR_TRANSFER_CLOSED, NULL);
		return;
	}
	body = web_body(call);
	if (!body || !auth_idempotent(t->b->config.auth, call, body, &t->idem)) {
		transfer_free(t);
		return;
	}
	json_in_init(&in, body, "", &e);
	seats = json_in_array(&in, "seats", JSON_OPTIONAL, 1, SEAT_ASK_MAX);
	if (json_in_object(&in, "to", JSON_REQUIRED, &to))
		booking_person_read(&to, &t->to, &e);
	if (seats)
		t->asked = arena_array(call->arena, uint32_t, SEAT_ASK_MAX);
	if (!json_in_end(&in) ||
	    (seats && !seat_list_read(seats, "/seats", show->plan, SEAT_ASK_MAX, t->asked, &t->n_asked, &bad, &e))) {
		web_refuse_error(call, &e);
		transfer_free(t);
		return;
	}
	transfer_read(t);
}

void booking_transfer_post(struct web_call *call)
{
	struct transfer *t;

	if (call->who.kind == WHO_NOBODY) {
		web_refuse(call, ERR_UNAUTHENTICATED, NULL);
		return;
	}
	t = xcalloc(1, sizeof(*t));
	t->b = call->service;
	t->call = call;
	booking_load(t->b, call->arena, &call->ids[0], &call->ids[1], on_loaded, t);
}
