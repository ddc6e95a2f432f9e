/*
 * Ending a booking or some of its seats: seats go back, their price less the fee's share is given back.
 *
 *   transaction, in the order of locks: payments, booking (decide), its seats, tickets, refund, the caller's --> Redis --> told
 *
 * Called by POST .../cancel (booking_cancel.c) and by the job of a show that was called off (src/jobs).
 */
#include "booking/booking_end.h"

#include "base/xmalloc.h"
#include "booking/booking_int.h"
#include "booking/booking_sql.h"
#include "booking/booking_store.h"
#include "io/crypto.h"
#include "io/log.h"
#include "io/metrics_table.h"
#include "seat/seat_store.h"
#include "ticket/ticket_service.h"

#include <stdlib.h>

enum { TRIES_MAX = 3 };

struct ending {
	struct list link;
	struct booking_service *b;
	struct arena *arena;
	struct booking_end ask;
	booking_ended_fn *fn;
	void *arg;
	int tries;
	/* the transaction */
	struct pg_tx *tx;
	int64_t left_minor;
	struct uuid lock_id;
	int32_t *seats;
	int64_t *refunds;
	size_t n;
	bool cancelled, mismatch;
	struct booking_ended ret;
	struct seat_change *changes;
	size_t n_changes;
};

/* Who, as it stands in the booking's reason, the refund's reason and the audit trail. */
static const char *const reasons[] = {"buyer", "staff", "show_cancelled"};
static const char *const actors[] = {"buyer", "staff", "system"};

static void ending_begin(struct ending *c);

static void ending_tell(struct ending *c, enum err err, const char *detail)
{
	booking_ended_fn *fn = c->fn;
	struct booking_ended ret = c->ret;
	void *arg = c->arg;

	ret.err = err;
	ret.detail = detail;
	list_remove(&c->link);
	free(c);
	fn(arg, &ret);
}

static void on_applied(void *arg, bool applied)
{
	ending_tell(arg, ERR_NONE, NULL);
}

static void on_committed(void *arg, const struct pg_answer *a)
{
	struct ending *c = arg;

	if (a->status != PG_OK) {
		ending_tell(c, a->status == PG_UNKNOWN ? ERR_OUTCOME_UNKNOWN : ERR_UNAVAILABLE, NULL);
		return;
	}
	if (c->cancelled)
		metric_add(c->b->config.metrics, METRIC_BOOKINGS, BOOKING_METRIC_CANCELLED, 0, 1);
	seat_map_apply(c->b->config.map, &c->ask.show_id, c->changes, c->n_changes, NULL, 0, 0, on_applied, c);
}

/* The last statement's answer. */
static void ending_finish(struct ending *c, const struct pg_answer *a)
{
	if (a->status == PG_OK && c->ret.err == ERR_NONE && !c->ret.nothing && !c->mismatch) {
		pg_tx_commit(c->tx, on_committed, c);
		return;
	}
	pg_tx_rollback(c->tx, NULL, NULL);
	if (a->status == PG_OK && c->ret.err != ERR_NONE) {
		ending_tell(c, c->ret.err, c->ret.detail);
	} else if (a->status == PG_OK && c->ret.nothing) {
		ending_tell(c, ERR_NONE, NULL);
	} else if (a->status == PG_ERROR && pg_error_is_transient(a) && ++c->tries < TRIES_MAX) {
		ending_begin(c);
	} else if (a->status == PG_OK || (a->status == PG_ERROR && !pg_error_is_transient(a))) {
		log_line(LOG_ERROR, "a cancellation does not add up", LOG_C("error", a->message),
			 LOG_U("booking_id", &c->ask.booking_id));
		ending_tell(c, ERR_INTERNAL, NULL);
	} else {
		ending_tell(c, ERR_UNAVAILABLE, NULL);
	}
}

static void on_refund(void *arg, const struct pg_answer *a)
{
	struct ending *c = arg;

	if (a->status == PG_OK && pg_rows(a->result) == 0)
		c->mismatch = true;
	ending_finish(c, a);
}

static void on_revoked(void *arg, const struct pg_answer *a)
{
	struct ending *c = arg;

	if (a->status == PG_OK && pg_get_int(a->result, 0, 0) > 0)
		c->ret.err = ERR_TICKET_USED;
	if (!c->ret.refund_minor)
		ending_finish(c, a);
}

static void on_unbooked(void *arg, const struct pg_answer *a)
{
	struct ending *c = arg;

	if (a->status == PG_OK)
		c->n_changes = seat_changes_from(a->result, 0, 0, 1, SEAT_FREE, 0, &c->lock_id, c->arena, &c->changes);
}

static void on_cancelled(void *arg, const struct pg_answer *a)
{
	struct ending *c = arg;

	if (a->status != PG_OK)
		return;
	if (pg_rows(a->result) == 0 || pg_get_int(a->result, 0, 1) != (int64_t)c->n)
		c->mismatch = true;
	else
		c->cancelled = str_eqc(pg_get_text(a->result, 0, 0), "cancelled");
}

/* ---- the decision, on rows that are locked ---- */

static bool asks_for(const struct ending *c, int64_t seat)
{
	for (uint32_t i = 0; i < c->ask.n_seats; i++)
		if (c->ask.seats[i] == seat)
			return true;
	return !c->ask.seats;
}

static bool has(const int64_t *seats, size_t n, int64_t seat)
{
	for (size_t i = 0; i < n; i++)
		if (seats[i] == seat)
			return true;
	return false;
}

static void ending_refuse(struct ending *c, const struct pg_answer *a, enum err code, const char *detail)
{
	c->ret.err = code;
	c->ret.detail = detail;
	ending_finish(c, a);
}

static void ending_exec(struct ending *c, int64_t fee_minor)
{
	const struct uuid *show = &c->ask.show_id, *booking = &c->ask.booking_id;
	struct uuid outbox_id = crypto_uuid_v7(wall_now_us());
	struct pg_args args;

	pg_args_init(&args, c->arena);
	pg_arg_uuid(&args, show);
	pg_arg_uuid(&args, booking);
	pg_arg_uuid(&args, &outbox_id);
	pg_arg_i32s(&args, c->seats, c->n);
	pg_arg_i64s(&args, c->refunds, c->n);
	pg_arg_i64(&args, fee_minor);
	pg_arg_text(&args, str_from(reasons[c->ask.by]));
	pg_tx_exec(c->tx, &booking_sql_booking_cancel, &args, on_cancelled, c);
	seats_unbook(c->tx, c->arena, show, &c->lock_id, c->seats, c->n, on_unbooked, c);
	if (c->ask.also)
		c->ask.also(c->arg, c->tx);
	tickets_revoke(c->tx, c->arena, show, booking, c->seats, c->n, reasons[c->ask.by], on_revoked, c);
	if (c->ret.refund_minor) {
		struct refund_new r = {.show_id = *show,
				       .booking_id = *booking,
				       .refund_id = c->ret.refund_id,
				       .amount_minor = c->ret.refund_minor,
				       .kind = "seats",
				       .reason = reasons[c->ask.by],
				       .actor = actors[c->ask.by],
				       .seats = c->seats,
				       .n_seats = c->n};

		refund_request(c->tx, c->arena, &r, on_refund, c);
	}
}

/* What was given back as goodwill is not given back twice: what the payment does not have any more is kept. */
static int64_t ending_cap(struct ending *c)
{
	int64_t over = c->ret.refund_minor - c->left_minor, kept = 0;

	for (size_t i = c->n; i-- > 0 && over > kept;) {
		int64_t less = c->refunds[i] < over - kept ? c->refunds[i] : over - kept;

		c->refunds[i] -= less;
		kept += less;
	}
	c->ret.refund_minor -= kept;
	return kept;
}

/* Who booked before the show was put off may go with all they paid, for a while. */
static bool may_go_free(const struct ending *c, const struct pg_answer *a)
{
	return c->ask.by == END_BY_SHOW || pg_get_bool(a->result, 0, 12);
}

/* What is somebody else's now the buyer cannot end. */
static bool given_away(const struct ending *c, const struct pg_answer *a)
{
	int64_t *given;
	size_t n_given;

	if (pg_is_null(a->result, 0, 13))
		return false;
	n_given = pg_get_ints(a->result, 0, 13, c->arena, &given);
	for (size_t i = 0; i < c->n; i++)
		if (has(given, n_given, c->seats[i]))
			return true;
	return false;
}

static void on_held(void *arg, const struct pg_answer *a)
{
	struct ending *c = arg;
	int64_t *seats, *prices, *live = NULL, *fees, fee_minor = 0;
	enum booking_state state = BOOKING_FAILED;
	const struct currency *currency;
	size_t n, n_live = 0;

	if (a->status != PG_OK || pg_rows(a->result) == 0) {
		c->ret.err = ERR_NOT_FOUND;
		ending_finish(c, a);
		return;
	}
	booking_state_parse(pg_get_text(a->result, 0, 0), &state);
	c->lock_id = pg_get_uuid(a->result, 0, 1);
	n = pg_get_ints(a->result, 0, 9, c->arena, &seats);
	pg_get_ints(a->result, 0, 10, c->arena, &prices);
	if (!pg_is_null(a->result, 0, 11))
		n_live = pg_get_ints(a->result, 0, 11, c->arena, &live);
	for (uint32_t i = 0; i < c->ask.n_seats; i++)
		if (!has(seats, n, c->ask.seats[i])) {
			c->ret.bad_seat = c->ask.seats[i];
			ending_refuse(c, a, ERR_UNKNOWN_SEAT, NULL);
			return;
		}
	fees = arena_array(c->arena, int64_t, n);
	currency = currency_find(pg_get_text(a->result, 0, 5));
	if (!currency || !booking_fee_parts(may_go_free(c, a) ? 0 : pg_get_int(a->result, 0, 7), prices, n,
					    currency->step_minor, fees)) {
		ending_refuse(c, a, ERR_INTERNAL, NULL);
		return;
	}
	c->seats = arena_array(c->arena, int32_t, n);
	c->refunds = arena_array(c->arena, int64_t, n);
	c->n = 0;
	c->ret.refund_minor = 0;
	for (size_t i = 0; i < n; i++) {
		if (!asks_for(c, seats[i]) || !has(live, n_live, seats[i]))
			continue;
		c->seats[c->n] = (int32_t)seats[i];
		c->refunds[c->n++] = prices[i] - fees[i];
		c->ret.refund_minor += prices[i] - fees[i];
		fee_minor += fees[i];
	}
	if (state == BOOKING_PAYMENT_PENDING) {
		ending_refuse(c, a, ERR_PAYMENT_IN_PROGRESS, "This booking is not confirmed yet.");
	} else if (state == BOOKING_FAILED) {
		ending_refuse(c, a, ERR_CANCELLATION_CLOSED, "This booking was never confirmed.");
	} else if (c->n == 0) {
		c->ret.nothing = true;
		ending_finish(c, a);
	} else if (c->ask.by == END_BY_BUYER && given_away(c, a)) {
		ending_refuse(c, a, ERR_TRANSFER_CLOSED, "A ticket of these seats was given to somebody else.");
	} else if (c->ask.by == END_BY_BUYER && !may_go_free(c, a) &&
		   pg_get_time(a->result, 0, 8) >= pg_get_time(a->result, 0, 6)) {
		ending_refuse(c, a, ERR_CANCELLATION_CLOSED, NULL);
	} else {
		ending_exec(c, fee_minor + ending_cap(c));
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
	struct ending *c = arg;

	c->left_minor = booking_money_left(a);
}

static void ending_begin(struct ending *c)
{
	const struct uuid *show = &c->ask.show_id, *booking = &c->ask.booking_id;

	c->left_minor = 0;
	c->cancelled = c->mismatch = false;
	c->n_changes = 0;
	c->ret = (struct booking_ended){.refund_id = crypto_uuid_v7(wall_now_us())};
	c->tx = pg_tx_start(c->b->config.pg, NULL, BOOKING_TX_MS);
	/* both twice: what the first one waited for, somebody else's refund or cancellation, only a statement begun after it
	 * can count; a booking that was free of charge has no payment to wait for */
	payments_lock(c->tx, c->arena, show, booking, NULL, NULL);
	payments_lock(c->tx, c->arena, show, booking, on_payments, c);
	booking_hold(c->tx, c->arena, show, booking, NULL, NULL);
	booking_hold(c->tx, c->arena, show, booking, on_held, c);
}

void booking_end_start(struct booking_service *b, struct arena *arena, const struct booking_end *ask,
		       booking_ended_fn *fn, void *arg)
{
	struct ending *c = xcalloc(1, sizeof(*c));

	c->b = b;
	c->arena = arena;
	c->ask = *ask;
	c->fn = fn;
	c->arg = arg;
	list_init(&c->link);
	list_append(&b->endings, &c->link);
	ending_begin(c);
}

void booking_endings_free(struct booking_service *b)
{
	struct ending *c;

	while ((c = list_first(&b->endings, struct ending, link))) {
		list_remove(&c->link);
		free(c);
	}
}
