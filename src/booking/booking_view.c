/* How a booking is read and shown. Called by every handler of the service. */
#include "base/xmalloc.h"
#include "booking/booking_int.h"
#include "booking/booking_sql.h"
#include "seat/seat_service.h"
#include "ticket/ticket_service.h"

#include <stdlib.h>
#include <string.h>

/* What a person wants to know of several refunds: is something open, did something fail. */
static const char *refund_status(const struct str *states, size_t n)
{
	const char *status = "succeeded";

	for (size_t i = 0; i < n; i++) {
		if (str_eqc(states[i], "failed"))
			return "failed";
		if (!str_eqc(states[i], "succeeded"))
			status = "pending";
	}
	return status;
}

void booking_view_read(const struct pg_result *r, int row, struct arena *arena, struct booking_view *v)
{
	int64_t *numbers;
	struct str *states;
	size_t n;

	memset(v, 0, sizeof(*v));
	v->show_id = pg_get_uuid(r, row, 0);
	v->booking_id = pg_get_uuid(r, row, 1);
	v->session_id = pg_get_uuid(r, row, 2);
	v->organizer_id = pg_get_uuid(r, row, 3);
	v->reference = arena_cstr(arena, pg_get_text(r, row, 4));
	booking_state_parse(pg_get_text(r, row, 5), &v->state);
	v->n = pg_get_ints(r, row, 6, arena, &numbers);
	v->seats = numbers;
	pg_get_ints(r, row, 7, arena, &numbers);
	v->prices_minor = numbers;
	v->total_minor = pg_get_int(r, row, 8);
	v->currency = arena_cstr(arena, pg_get_text(r, row, 9));
	v->reason = arena_cstr(arena, pg_get_text(r, row, 10));
	v->created_us = pg_get_time(r, row, 11);
	v->name = arena_cstr(arena, pg_get_text(r, row, 12));
	v->email = arena_cstr(arena, pg_get_text(r, row, 13));
	v->n_released = pg_get_ints(r, row, 14, arena, &numbers);
	v->released = numbers;
	v->expires_us = pg_get_time(r, row, 15);
	v->now_us = pg_get_time(r, row, 16);
	v->paid = !pg_is_null(r, row, 17);
	if (v->paid) {
		v->payment_id = pg_get_uuid(r, row, 17);
		payment_state_parse(pg_get_text(r, row, 18), &v->payment_state);
		v->failure = arena_cstr(arena, pg_get_text(r, row, 19));
		v->decline_code = arena_cstr(arena, pg_get_text(r, row, 20));
		v->action_url = arena_cstr(arena, pg_get_text(r, row, 21));
		v->action_until_us = pg_get_time(r, row, 26);
	}
	v->refunded = !pg_is_null(r, row, 22);
	if (v->refunded) {
		v->refund_minor = pg_get_int(r, row, 22);
		n = pg_get_texts(r, row, 23, arena, &states);
		v->refund_status = refund_status(states, n);
		v->refunded_late = pg_get_bool(r, row, 27);
		v->refund_owed = pg_get_bool(r, row, 28);
		v->refund_reversed = pg_get_bool(r, row, 29);
		v->refund_settled = pg_get_bool(r, row, 30);
		v->refund_under_way = pg_get_bool(r, row, 31);
	}
	v->lock_id = pg_get_uuid(r, row, 25);
}

static int64_t seconds_until(const struct booking_view *v, int64_t us)
{
	return us > v->now_us ? (us - v->now_us + 999999) / 1000000 : 0;
}

int64_t booking_expires_in(const struct booking_view *v)
{
	return seconds_until(v, v->expires_us);
}

static void write_payment(struct jw *w, const struct booking_view *v)
{
	jw_key(w, "payment");
	jw_obj(w);
	jw_kcstr(w, "status", booking_payment_status(v));
	if (v->paid && v->payment_state == PAYMENT_FAILED && v->decline_code[0])
		jw_kcstr(w, "decline_code", payment_decline_told(v->decline_code));
	if (v->paid && v->payment_state == PAYMENT_REQUIRES_ACTION) {
		jw_kint(w, "expires_in", seconds_until(v, v->action_until_us));
		jw_key(w, "next_action");
		jw_obj(w);
		jw_kcstr(w, "type", "redirect_to_url");
		jw_key(w, "redirect_to_url");
		jw_obj(w);
		jw_kcstr(w, "url", v->action_url);
		jw_obj_end(w);
		jw_obj_end(w);
	}
	jw_obj_end(w);
}

static bool is_released(const struct booking_view *v, int64_t seat)
{
	for (size_t i = 0; i < v->n_released; i++)
		if (v->released[i] == seat)
			return true;
	return false;
}

/* Of a booking that goes on, the seats that are still its own; of one that has ended, all it had. */
static void write_seats(struct jw *w, const struct booking_view *v, const struct show *show)
{
	bool all = v->state == BOOKING_CANCELLED || v->n_released == 0;

	jw_key(w, "seats");
	jw_arr(w);
	for (size_t i = 0; i < v->n; i++)
		if (all || !is_released(v, v->seats[i]))
			seats_write(w, show->plan, 1, &v->seats[i], &v->prices_minor[i], v->currency);
	jw_arr_end(w);
	if (v->n_released == 0)
		return;
	jw_key(w, "cancelled_seats");
	jw_arr(w);
	for (size_t i = 0; i < v->n_released; i++)
		jw_str(w, plan_seat_guid(show->plan, (uint32_t)v->released[i]));
	jw_arr_end(w);
}

void booking_write(struct booking_service *b, struct jw *w, const struct booking_view *v, const struct show *show,
		   const struct pg_result *tickets, bool owner)
{
	char token[AUTH_TOKEN_TEXT], words[BOOKING_WORDS_MAX];

	jw_kuuid(w, "booking_id", &v->booking_id);
	jw_kcstr(w, "reference", v->reference);
	jw_kuuid(w, "show_id", &v->show_id);
	jw_kcstr(w, "status", booking_state_name(v->state));
	if (v->reason[0])
		jw_kcstr(w, "reason", v->reason);
	if (booking_words(v, words))
		jw_kcstr(w, "detail", words);
	write_seats(w, v, show);
	jw_kmoney(w, "total", v->total_minor, v->currency);
	write_payment(w, v);
	if (v->refunded || v->state == BOOKING_CANCELLED) {
		jw_key(w, "refund");
		jw_obj(w);
		jw_kcstr(w, "status", v->refunded ? v->refund_status : "none");
		jw_kmoney(w, "amount", v->refund_minor, v->currency);
		jw_obj_end(w);
	}
	if (v->state == BOOKING_PAYMENT_PENDING)
		jw_kint(w, "expires_in", booking_expires_in(v));
	jw_ktime(w, "created_at", v->created_us);
	jw_key(w, "tickets");
	jw_arr(w);
	tickets_write(b->config.ticket, w, show, tickets, !owner);
	jw_arr_end(w);
	/* an erased one (admin erase) has no address */
	if (owner || !v->email[0]) {
		jw_key(w, "buyer");
		jw_obj(w);
		jw_kcstr(w, "name", v->name);
		jw_kcstr(w, "email", v->email);
		if (!v->email[0])
			jw_kbool(w, "erased", true);
		jw_obj_end(w);
	}
	auth_booking_token(b->config.auth, &v->show_id, &v->booking_id, token);
	jw_kcstr(w, "access_token", token);
}

bool booking_owner(const struct web_call *call, const struct booking_view *v)
{
	const struct who *who = &call->who;

	if (who->kind == WHO_SESSION)
		return uuid_eq(&who->session_id, &v->session_id);
	return who->kind == WHO_BOOKING && uuid_eq(&who->show_id, &v->show_id) &&
	       uuid_eq(&who->booking_id, &v->booking_id);
}

enum err booking_may_see(const struct web_call *call, const struct booking_view *v)
{
	const struct who *who = &call->who;

	if (who->kind != WHO_STAFF)
		return booking_owner(call, v) ? ERR_NONE : ERR_NOT_FOUND;
	if (!uuid_eq(&who->organizer_id, &v->organizer_id))
		return ERR_NOT_FOUND;
	return who->scopes & SCOPE_BOOKINGS ? ERR_NONE : ERR_FORBIDDEN;
}

/* ---- reading ---- */

struct load {
	struct booking_service *b;
	struct arena *arena;
	struct uuid show_id, booking_id;
	struct booking_view view;
	struct show *show;
	booking_loaded_fn *fn;
	void *arg;
};

static void load_end(struct load *l, enum err err, const struct pg_result *tickets)
{
	l->fn(l->arg, err, err == ERR_NONE ? &l->view : NULL, err == ERR_NONE ? l->show : NULL, tickets);
	show_unref(l->show);
	free(l);
}

static void on_tickets(void *arg, const struct pg_answer *a)
{
	load_end(arg, a->status == PG_OK ? ERR_NONE : ERR_UNAVAILABLE, a->result);
}

static void on_show(void *arg, enum err err, struct show *show)
{
	struct load *l = arg;

	if (err != ERR_NONE) {
		load_end(l, err, NULL);
		return;
	}
	l->show = show_ref(show);
	tickets_read(l->b->config.pg, l->arena, &l->show_id, &l->booking_id, on_tickets, l);
}

static void on_booking(void *arg, const struct pg_answer *a)
{
	struct load *l = arg;

	if (a->status != PG_OK || pg_rows(a->result) == 0) {
		load_end(l, a->status == PG_OK ? ERR_NOT_FOUND : ERR_UNAVAILABLE, NULL);
		return;
	}
	booking_view_read(a->result, 0, l->arena, &l->view);
	event_show_get_numbered(l->b->config.event, &l->show_id, on_show, l);
}

void booking_load(struct booking_service *b, struct arena *arena, const struct uuid *show, const struct uuid *booking,
		  booking_loaded_fn *fn, void *arg)
{
	struct load *l = xcalloc(1, sizeof(*l));
	struct pg_args args;

	l->b = b;
	l->arena = arena;
	l->show_id = *show;
	l->booking_id = *booking;
	l->fn = fn;
	l->arg = arg;
	pg_args_init(&args, arena);
	pg_arg_uuid(&args, show);
	pg_arg_uuid(&args, booking);
	pg_query_start(b->config.pg, &booking_sql_booking_get, &args, BOOKING_QUERY_MS, on_booking, l);
}

void buyer_create(struct booking_service *b, struct pg_tx *tx, struct arena *arena, const struct uuid *buyer,
		  const struct uuid *organizer, const struct booking_person *person)
{
	char folded[EMAIL_FOLDED_MAX];
	uint8_t hash[CRYPTO_HASH];
	struct pg_args args;

	crypto_mac(&b->email_key, email_fold(person->email, folded), hash);
	pg_args_init(&args, arena);
	pg_arg_uuid(&args, buyer);
	pg_arg_uuid(&args, organizer);
	pg_arg_text(&args, person->name);
	pg_arg_text(&args, person->email);
	pg_arg_bytes(&args, (struct str){(const char *)hash, sizeof(hash)});
	pg_arg_text(&args, person->locale.n ? person->locale : STR("en"));
	pg_tx_exec(tx, &booking_sql_buyer_create, &args, NULL, NULL);
}
