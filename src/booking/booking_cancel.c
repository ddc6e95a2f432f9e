/*
 * POST .../cancel: seats of a booking go back, their price less the fee's share is given back.
 *
 *   booking --> may the caller? --> transaction, in the order of locks: payments, booking (decide), its seats, tickets, refund
 *           --> Redis --> the refund is sent, tried once before answering --> the booking as it is now
 *
 * What is gone already is not cancelled twice: the same request again is answered the same.
 */
#include "base/xmalloc.h"
#include "booking/booking_int.h"
#include "booking/booking_sql.h"
#include "io/crypto.h"
#include "io/log.h"
#include "io/metrics_table.h"
#include "seat/seat_store.h"
#include "ticket/ticket_service.h"

#include <stdlib.h>

enum { TRIES_MAX = 3 };

struct cancel {
	struct booking_service *b;
	struct web_call *call;
	struct show *show;
	bool owner, staff, all; /* all: no seats were named */
	uint32_t *asked, n_asked;
	int tries;
	/* the transaction */
	struct pg_tx *tx;
	int64_t left_minor, refund_minor;
	struct uuid refund_id, lock_id;
	int32_t *seats;
	int64_t *refunds;
	size_t n;
	bool nothing, ended, mismatch;
	enum err refused;
	const char *detail, *bad_seat;
	struct seat_change *changes;
	size_t n_changes;
};

static void cancel_begin(struct cancel *c);

static void cancel_free(struct cancel *c)
{
	show_unref(c->show);
	free(c);
}

static void refuse(struct cancel *c, enum err code, const char *detail)
{
	web_refuse(c->call, code, detail);
	cancel_free(c);
}

static void on_answer(void *arg, enum err err, const struct booking_view *v, struct show *show,
		      const struct pg_result *tickets)
{
	struct cancel *c = arg;

	if (err != ERR_NONE) {
		refuse(c, ERR_OUTCOME_UNKNOWN, NULL);
		return;
	}
	booking_write(c->b, web_json(c->call), v, show, tickets, c->owner);
	web_json_end(c->call, 200);
	cancel_free(c);
}

static void cancel_answer(void *arg)
{
	struct cancel *c = arg;

	booking_load(c->b, c->call->arena, &c->call->ids[0], &c->call->ids[1], on_answer, c);
}

static void on_applied(void *arg, bool applied)
{
	struct cancel *c = arg;

	if (c->refund_minor)
		refund_send(c->b->config.payment, &c->call->ids[0], &c->refund_id, c->staff ? "staff" : "buyer",
			    cancel_answer, c);
	else
		cancel_answer(c);
}

static void on_committed(void *arg, const struct pg_answer *a)
{
	struct cancel *c = arg;

	if (a->status != PG_OK) {
		refuse(c, a->status == PG_UNKNOWN ? ERR_OUTCOME_UNKNOWN : ERR_UNAVAILABLE, NULL);
		return;
	}
	if (c->ended)
		metric_add(c->b->config.metrics, METRIC_BOOKINGS, BOOKING_METRIC_CANCELLED, 0, 1);
	seat_map_apply(c->b->config.map, &c->call->ids[0], c->changes, c->n_changes, NULL, 0, 0, on_applied, c);
}

/* The last statement's answer. */
static void cancel_finish(struct cancel *c, const struct pg_answer *a)
{
	if (a->status == PG_OK && c->refused == ERR_NONE && !c->nothing && !c->mismatch) {
		pg_tx_commit(c->tx, on_committed, c);
		return;
	}
	pg_tx_rollback(c->tx, NULL, NULL);
	if (a->status == PG_OK && c->bad_seat) {
		struct jw *w = web_problem(c->call, c->refused, "This seat is not one of the booking.");

		jw_kcstr(w, "seat", c->bad_seat);
		web_problem_end(c->call);
		cancel_free(c);
	} else if (a->status == PG_OK && c->refused != ERR_NONE) {
		refuse(c, c->refused, c->detail);
	} else if (a->status == PG_OK && c->nothing) {
		cancel_answer(c);
	} else if (a->status == PG_ERROR && pg_error_is_transient(a) && ++c->tries < TRIES_MAX) {
		cancel_begin(c);
	} else if (a->status == PG_OK || (a->status == PG_ERROR && !pg_error_is_transient(a))) {
		log_line(LOG_ERROR, "a cancellation does not add up", LOG_C("error", a->message),
			 LOG_U("booking_id", &c->call->ids[1]));
		refuse(c, ERR_INTERNAL, NULL);
	} else {
		refuse(c, ERR_UNAVAILABLE, NULL);
	}
}

static void on_refund(void *arg, const struct pg_answer *a)
{
	struct cancel *c = arg;

	if (a->status == PG_OK && pg_rows(a->result) == 0)
		c->mismatch = true;
	cancel_finish(c, a);
}

static void on_revoked(void *arg, const struct pg_answer *a)
{
	struct cancel *c = arg;

	if (a->status == PG_OK && pg_get_int(a->result, 0, 0) > 0)
		c->refused = ERR_TICKET_USED;
	if (!c->refund_minor)
		cancel_finish(c, a);
}

static void on_unbooked(void *arg, const struct pg_answer *a)
{
	struct cancel *c = arg;

	if (a->status == PG_OK)
		c->n_changes =
			seat_changes_from(a->result, 0, 0, 1, SEAT_FREE, 0, &c->lock_id, c->call->arena, &c->changes);
}

static void on_cancelled(void *arg, const struct pg_answer *a)
{
	struct cancel *c = arg;

	if (a->status != PG_OK)
		return;
	if (pg_rows(a->result) == 0 || pg_get_int(a->result, 0, 1) != (int64_t)c->n)
		c->mismatch = true;
	else
		c->ended = str_eqc(pg_get_text(a->result, 0, 0), "cancelled");
}

/* ---- the decision, on rows that are locked ---- */

static bool asks_for(const struct cancel *c, int64_t seat)
{
	for (uint32_t i = 0; i < c->n_asked; i++)
		if (c->asked[i] == seat)
			return true;
	return c->all;
}

static bool has(const int64_t *seats, size_t n, int64_t seat)
{
	for (size_t i = 0; i < n; i++)
		if (seats[i] == seat)
			return true;
	return false;
}

static void cancel_refuse(struct cancel *c, const struct pg_answer *a, enum err code, const char *detail)
{
	c->refused = code;
	c->detail = detail;
	cancel_finish(c, a);
}

static void cancel_exec(struct cancel *c, int64_t fee_minor)
{
	const struct uuid *show = &c->call->ids[0], *booking = &c->call->ids[1];
	struct uuid outbox_id = crypto_uuid_v7(wall_now_us());
	struct arena *arena = c->call->arena;
	const char *who = c->staff ? "staff" : "buyer";
	struct pg_args args;

	pg_args_init(&args, arena);
	pg_arg_uuid(&args, show);
	pg_arg_uuid(&args, booking);
	pg_arg_uuid(&args, &outbox_id);
	pg_arg_i32s(&args, c->seats, c->n);
	pg_arg_i64s(&args, c->refunds, c->n);
	pg_arg_i64(&args, fee_minor);
	pg_arg_text(&args, str_from(who));
	pg_tx_exec(c->tx, &booking_sql_booking_cancel, &args, on_cancelled, c);
	seats_unbook(c->tx, arena, show, &c->lock_id, c->seats, c->n, on_unbooked, c);
	tickets_revoke(c->tx, arena, show, booking, c->seats, c->n, on_revoked, c);
	if (c->refund_minor) {
		struct refund_new r = {.show_id = *show,
				       .booking_id = *booking,
				       .refund_id = c->refund_id,
				       .amount_minor = c->refund_minor,
				       .kind = "seats",
				       .reason = who,
				       .actor = who,
				       .seats = c->seats,
				       .n_seats = c->n};

		refund_request(c->tx, arena, &r, on_refund, c);
	}
}

/* What was given back as goodwill is not given back twice: what the payment does not have any more is kept. */
static int64_t cancel_cap(struct cancel *c)
{
	int64_t over = c->refund_minor - c->left_minor, kept = 0;

	for (size_t i = c->n; i-- > 0 && over > kept;) {
		int64_t less = c->refunds[i] < over - kept ? c->refunds[i] : over - kept;

		c->refunds[i] -= less;
		kept += less;
	}
	c->refund_minor -= kept;
	return kept;
}

static void on_held(void *arg, const struct pg_answer *a)
{
	struct cancel *c = arg;
	struct arena *arena = c->call->arena;
	int64_t *seats, *prices, *live = NULL, *fees, fee_minor = 0;
	enum booking_state state = BOOKING_FAILED;
	const struct currency *currency;
	size_t n, n_live = 0;

	if (a->status != PG_OK || pg_rows(a->result) == 0) {
		c->refused = ERR_NOT_FOUND;
		cancel_finish(c, a);
		return;
	}
	booking_state_parse(pg_get_text(a->result, 0, 0), &state);
	c->lock_id = pg_get_uuid(a->result, 0, 1);
	n = pg_get_ints(a->result, 0, 9, arena, &seats);
	pg_get_ints(a->result, 0, 10, arena, &prices);
	if (!pg_is_null(a->result, 0, 11))
		n_live = pg_get_ints(a->result, 0, 11, arena, &live);
	for (uint32_t i = 0; i < c->n_asked; i++)
		if (!has(seats, n, c->asked[i])) {
			c->bad_seat = arena_cstr(arena, plan_seat_guid(c->show->plan, c->asked[i]));
			cancel_refuse(c, a, ERR_UNKNOWN_SEAT, NULL);
			return;
		}
	fees = arena_array(arena, int64_t, n);
	currency = currency_find(pg_get_text(a->result, 0, 5));
	if (!currency || !booking_fee_parts(pg_get_int(a->result, 0, 7), prices, n, currency->step_minor, fees)) {
		cancel_refuse(c, a, ERR_INTERNAL, NULL);
		return;
	}
	c->seats = arena_array(arena, int32_t, n);
	c->refunds = arena_array(arena, int64_t, n);
	c->n = 0;
	c->refund_minor = 0;
	for (size_t i = 0; i < n; i++) {
		if (!asks_for(c, seats[i]) || !has(live, n_live, seats[i]))
			continue;
		c->seats[c->n] = (int32_t)seats[i];
		c->refunds[c->n++] = prices[i] - fees[i];
		c->refund_minor += prices[i] - fees[i];
		fee_minor += fees[i];
	}
	if (state == BOOKING_PAYMENT_PENDING) {
		cancel_refuse(c, a, ERR_PAYMENT_IN_PROGRESS, "This booking is not confirmed yet.");
	} else if (state == BOOKING_FAILED) {
		cancel_refuse(c, a, ERR_CANCELLATION_CLOSED, "This booking was never confirmed.");
	} else if (c->n == 0) {
		c->nothing = true;
		cancel_finish(c, a);
	} else if (!c->staff && pg_get_time(a->result, 0, 8) >= pg_get_time(a->result, 0, 6)) {
		cancel_refuse(c, a, ERR_CANCELLATION_CLOSED, NULL);
	} else {
		cancel_exec(c, fee_minor + cancel_cap(c));
	}
}

/* Of the rows of payments_lock: what is left of the one that holds money. */
int64_t booking_money_left(const struct pg_answer *a)
{
	for (int i = 0; a->status == PG_OK && i < pg_rows(a->result); i++) {
		enum payment_state state = PAYMENT_CREATED;

		payment_state_parse(pg_get_text(a->result, i, 1), &state);
		if (state == PAYMENT_AUTHORISED || state == PAYMENT_CAPTURED)
			return pg_get_int(a->result, i, 3);
	}
	return 0;
}

static void on_payments(void *arg, const struct pg_answer *a)
{
	struct cancel *c = arg;

	c->left_minor = booking_money_left(a);
}

static void cancel_begin(struct cancel *c)
{
	struct arena *arena = c->call->arena;
	struct pg_args args;

	c->left_minor = 0;
	c->nothing = c->ended = c->mismatch = false;
	c->n_changes = 0;
	c->refused = ERR_NONE;
	c->refund_id = crypto_uuid_v7(wall_now_us());
	c->tx = pg_tx_start(c->b->config.pg, NULL, BOOKING_TX_MS);
	/* both twice: what the first one waited for, somebody else's refund or cancellation, only a statement begun after it
	 * can count; a booking that was free of charge has no payment to wait for */
	payments_lock(c->tx, arena, &c->call->ids[0], &c->call->ids[1], NULL, NULL);
	payments_lock(c->tx, arena, &c->call->ids[0], &c->call->ids[1], on_payments, c);
	pg_args_init(&args, arena);
	pg_arg_uuid(&args, &c->call->ids[0]);
	pg_arg_uuid(&args, &c->call->ids[1]);
	pg_tx_exec(c->tx, &booking_sql_booking_hold, &args, NULL, NULL);
	pg_tx_exec(c->tx, &booking_sql_booking_hold, &args, on_held, c);
}

/* ---- the beginning ---- */

static void on_loaded(void *arg, enum err err, const struct booking_view *v, struct show *show,
		      const struct pg_result *tickets)
{
	struct cancel *c = arg;
	struct web_call *call = c->call;
	struct error e = {0};
	struct json_in in;
	const json_t *seats;
	struct str bad;
	json_t *body;

	if (err == ERR_NONE)
		err = booking_may_see(call, v);
	if (err != ERR_NONE) {
		refuse(c, err, NULL);
		return;
	}
	c->show = show_ref(show);
	c->owner = booking_owner(call, v);
	c->staff = call->who.kind == WHO_STAFF;
	c->all = call->req->body.n == 0;
	if (c->all) {
		cancel_begin(c);
		return;
	}
	body = web_body(call);
	if (!body) {
		cancel_free(c);
		return;
	}
	json_in_init(&in, body, "", &e);
	seats = json_in_array(&in, "seats", JSON_OPTIONAL, 1, SEAT_ASK_MAX);
	c->all = !seats;
	c->asked = arena_array(call->arena, uint32_t, SEAT_ASK_MAX);
	if (!json_in_end(&in) ||
	    (seats && !seat_list_read(seats, "/seats", show->plan, SEAT_ASK_MAX, c->asked, &c->n_asked, &bad, &e))) {
		web_refuse_error(call, &e);
		cancel_free(c);
		return;
	}
	cancel_begin(c);
}

void booking_cancel_post(struct web_call *call)
{
	struct cancel *c;

	if (call->who.kind == WHO_NOBODY) {
		web_refuse(call, ERR_UNAUTHENTICATED, NULL);
		return;
	}
	c = xcalloc(1, sizeof(*c));
	c->b = call->service;
	c->call = call;
	booking_load(c->b, call->arena, &call->ids[0], &call->ids[1], on_loaded, c);
}
