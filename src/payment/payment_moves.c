/*
 * The transactions of a drive: the arrows of an attempt with all that goes with them in the other services, in the order of
 * locks (payments, bookings, seat_locks, show_seats, tickets). Called by payment_drive.c.
 */
#include "base/times.h"
#include "booking/booking_store.h"
#include "io/crypto.h"
#include "payment/payment_drive.h"
#include "payment/payment_sql.h"
#include "seat/seat_store.h"
#include "ticket/ticket_service.h"

#include <string.h>
#include <strings.h>

static void exec_arrow(struct drive *d, const struct pg_stmt *stmt, const struct pg_args *args, bool last)
{
	pg_tx_exec(d->tx, stmt, args, last ? drive_on_last_row : drive_on_row, d);
}

void move_require_action(struct drive *d)
{
	struct payment_by by = drive_by(d);
	struct pg_args args;

	drive_begin(d);
	payment_arrow_args(&args, &d->arena, &d->a, &by);
	pg_arg_text(&args, str_from(d->seen.action_url));
	exec_arrow(d, &payment_sql_payment_require_action, &args, true);
}

static void on_confirmed(void *arg, const struct pg_answer *a)
{
	struct drive *d = arg;

	if (a->status != PG_OK)
		return;
	d->unbookable |= pg_rows(a->result) == 0;
	if (pg_rows(a->result) && pg_get_int(a->result, 0, 2) != pg_get_int(a->result, 0, 1))
		d->unbookable = d->doubled = true;
}

static void on_lock_booked(void *arg, const struct pg_answer *a)
{
	struct drive *d = arg;

	if (a->status != PG_OK)
		return;
	if (pg_rows(a->result) == 0 || pg_get_int(a->result, 0, 2) != (int64_t)d->a.n_seats) {
		d->unbookable = true;
		return;
	}
	d->n_changes = seat_changes_from(a->result, 0, 0, 3, SEAT_BOOKED, 0, &d->a.lock_id, &d->arena, &d->changes);
	d->session = (struct seat_session_change){pg_get_uuid(a->result, 0, 1), d->a.lock_id, 0};
	d->has_session = true;
}

static void on_issued(void *arg, const struct pg_answer *a)
{
	struct drive *d = arg;

	/* no key to sign with yet: the money is held, the seats are; soon again */
	if (a->status == PG_OK && (size_t)pg_rows(a->result) < d->a.n_seats)
		d->not_now = true;
}

static void on_card_seats(void *arg, const struct pg_answer *a)
{
	struct drive *d = arg;

	if (a->status == PG_OK)
		d->over_limit = pg_get_int(a->result, 0, 0) + (int64_t)d->a.n_seats > d->a.max_per_payer;
}

/* Has the card as many seats of the event as one payer may have? Known by a keyed hash of the gateway's fingerprint of it. */
static void exec_card(struct drive *d)
{
	uint8_t hash[CRYPTO_HASH];
	struct str card = {(const char *)hash, sizeof(hash)};
	struct pg_args args;

	crypto_mac(&d->p->card_key, str_from(d->seen.fingerprint), hash);
	pg_args_init(&args, &d->arena);
	pg_arg_uuid(&args, &d->a.event_id);
	pg_arg_bytes(&args, card);
	pg_tx_exec(d->tx, &payment_sql_card_lock, &args, NULL, NULL);
	pg_arg_uuid(&args, &d->a.payment_id);
	pg_tx_exec(d->tx, &payment_sql_card_seats, &args, on_card_seats, d);
	pg_args_init(&args, &d->arena);
	pg_arg_uuid(&args, &d->a.show_id);
	pg_arg_uuid(&args, &d->a.payment_id);
	pg_arg_i32(&args, d->a.generation);
	pg_arg_bytes(&args, card);
	pg_tx_exec(d->tx, &payment_sql_payment_card, &args, drive_on_row, d);
}

/* The moment of the booking. */
void move_authorise(struct drive *d)
{
	struct payment_by by = drive_by(d);
	struct pg_args args;

	drive_begin(d);
	if (d->a.max_per_payer && d->seen.fingerprint[0])
		exec_card(d);
	payment_arrow_args(&args, &d->arena, &d->a, &by);
	pg_arg_interval_us(&args, payment_lease_us(d->p));
	exec_arrow(d, &payment_sql_payment_authorise, &args, false);
	booking_confirm(d->tx, &d->arena, &d->a.show_id, &d->a.booking_id, on_confirmed, d);
	lock_book(d->tx, &d->arena, &d->a.show_id, &d->a.lock_id, on_lock_booked, d);
	tickets_issue(d->p->config.ticket, d->tx, &d->arena, &d->a.show_id, &d->a.booking_id, d->a.seats, d->a.n_seats,
		      on_issued, d);
	drive_exec_first_call(d, STEP_CAPTURE);
}

void move_captured(struct drive *d)
{
	struct payment_by by = drive_by(d);
	struct pg_args args;

	drive_begin(d);
	payment_arrow_args(&args, &d->arena, &d->a, &by);
	exec_arrow(d, &payment_sql_payment_capture, &args, false);
	drive_commit(d);
}

static void on_unpaid(void *arg, const struct pg_answer *a)
{
	struct drive *d = arg;
	struct str state;
	int64_t left_ms;

	if (a->status != PG_OK || pg_rows(a->result) == 0)
		return;
	state = pg_get_text(a->result, 0, 0);
	left_ms = str_eqc(state, "active") ? (pg_get_time(a->result, 0, 1) - pg_get_time(a->result, 0, 2) + 999) / 1000
					   : 0;
	d->n_changes = seat_changes_from(a->result, 0, 4, 5, left_ms ? SEAT_LOCKED : SEAT_FREE, left_ms, &d->a.lock_id,
					 &d->arena, &d->changes);
	d->session = (struct seat_session_change){pg_get_uuid(a->result, 0, 3), d->a.lock_id, left_ms};
	d->has_session = true;
}

static void on_booking_failed(void *arg, const struct pg_answer *a)
{
	struct drive *d = arg;

	d->booking_failed = a->status == PG_OK && pg_rows(a->result) > 0;
	drive_finish(d, a);
}

/* To its owner, whose clock never stopped; the booking fails if the lock's time is over. */
static void give_lock_back(struct drive *d)
{
	booking_of_lock(d->tx, &d->arena, &d->a.show_id, &d->a.lock_id, NULL, NULL);
	lock_unpay(d->tx, &d->arena, &d->a.show_id, &d->a.lock_id, on_unpaid, d);
	booking_fail(d->tx, &d->arena, &d->a.show_id, &d->a.booking_id, "lock_ended", on_booking_failed, d);
}

/* Nothing was or will be charged: the lock goes back to its owner. */
void move_fail(struct drive *d, bool declined)
{
	struct payment_by by = drive_by(d);
	struct pg_args args;

	drive_begin(d);
	payment_arrow_args(&args, &d->arena, &d->a, &by);
	pg_arg_text(&args, declined ? STR("declined") : STR("unavailable"));
	pg_arg_text(&args, str_from(d->seen.decline_code));
	pg_arg_bool(&args, !declined && d->seen.seen != SEEN_CANCELED);
	exec_arrow(d, &payment_sql_payment_fail, &args, false);
	give_lock_back(d);
}

/* A person has to look at what the gateway says of the sums. In the transaction that acts on it. */
static void exec_differs(struct drive *d)
{
	struct payment_finding f = {.kind = "amount_differs",
				    .gateway_id = d->seen.intent_id,
				    .detail = d->seen.differs,
				    .currency = d->a.currency,
				    .subject_id = &d->a.payment_id,
				    .show_id = &d->a.show_id,
				    .booking_id = &d->a.booking_id,
				    .amount_minor = d->a.amount_minor};

	if (d->seen.differs[0])
		payment_finding_exec(d->tx, &d->arena, &f, NULL, NULL);
}

/* The money may be held, but it is not taken: the attempt is void, and the seats are the owner's to pay for otherwise. A
 * held intent is charged by nobody but us, so its cancellation need not be waited for. */
void move_reject(struct drive *d)
{
	bool differs = d->seen.differs[0] != '\0';
	struct payment_by by = drive_by(d);
	char ours[UUID_TEXT];
	struct pg_args args;

	drive_begin(d);
	/* made with another amount: it is cancelled as well, unless it is another attempt's */
	if (!d->intent_stored && d->seen.intent_id[0] &&
	    strcmp(d->seen.attempt, uuid_format(&d->a.payment_id, ours)) == 0)
		drive_exec_intent(d);
	payment_arrow_args(&args, &d->arena, &d->a, &by);
	pg_arg_text(&args, differs ? STR("amount_differs") : STR("card_limit"));
	pg_arg_text(&args,
		    differs ? str_from(d->seen.differs) : STR("the card has as many seats of the event as it may"));
	exec_arrow(d, &payment_sql_payment_void, &args, false);
	exec_differs(d);
	give_lock_back(d);
}

static void on_abandoned(void *arg, const struct pg_answer *a)
{
	struct drive *d = arg;

	if (a->status != PG_OK || pg_rows(a->result) == 0)
		return;
	d->n_changes = seat_changes_from(a->result, 0, 1, 2, SEAT_FREE, 0, &d->a.lock_id, &d->arena, &d->changes);
	d->session = (struct seat_session_change){pg_get_uuid(a->result, 0, 0), d->a.lock_id, 0};
	d->has_session = true;
}

static void on_repaired(void *arg, const struct pg_answer *a)
{
	struct drive *d = arg;
	struct seat_change *more, *all;
	size_t n;

	if (a->status != PG_OK || pg_rows(a->result) == 0)
		return;
	n = seat_changes_from(a->result, 0, 0, 1, SEAT_BOOKED, 0, &d->a.lock_id, &d->arena, &more);
	all = arena_array(&d->arena, struct seat_change, d->n_changes + n);
	if (d->n_changes)
		memcpy(all, d->changes, d->n_changes * sizeof(*all));
	if (n)
		memcpy(all + d->n_changes, more, n * sizeof(*all));
	d->changes = all;
	d->n_changes += n;
}

/* The seats go back, and the gateway is told next. */
static void give_up(struct drive *d, const char *why)
{
	booking_of_lock(d->tx, &d->arena, &d->a.show_id, &d->a.lock_id, NULL, NULL);
	lock_abandon(d->tx, &d->arena, &d->a.show_id, &d->a.lock_id, on_abandoned, d);
	seats_repair(d->tx, &d->arena, &d->a.show_id, d->a.seats, d->a.n_seats, on_repaired, d);
	booking_fail(d->tx, &d->arena, &d->a.show_id, &d->a.booking_id, why, on_booking_failed, d);
}

/* Its time is over. */
void move_abandon(struct drive *d)
{
	struct payment_by by = drive_by(d);
	struct pg_args args;

	drive_begin(d);
	payment_arrow_args(&args, &d->arena, &d->a, &by);
	exec_arrow(d, &payment_sql_payment_abandon, &args, false);
	give_up(d, "time_over");
}

/* Its seats cannot be had. */
void move_void(struct drive *d)
{
	struct payment_by by = drive_by(d);
	struct pg_args args;

	drive_begin(d);
	payment_arrow_args(&args, &d->arena, &d->a, &by);
	pg_arg_text(&args, STR("seats_lost"));
	pg_arg_text(&args, STR("the seats could not be had"));
	exec_arrow(d, &payment_sql_payment_void, &args, false);
	give_up(d, "seats_lost");
}

static void on_unbooked(void *arg, const struct pg_answer *a)
{
	struct drive *d = arg;

	if (a->status == PG_OK && pg_rows(a->result))
		d->n_changes =
			seat_changes_from(a->result, 0, 0, 1, SEAT_FREE, 0, &d->a.lock_id, &d->arena, &d->changes);
}

static void on_booking_lost(void *arg, const struct pg_answer *a)
{
	struct drive *d = arg;
	int64_t *numbers;
	int32_t *seats;
	size_t n;

	if (a->status != PG_OK || pg_rows(a->result) == 0 || pg_is_null(a->result, 0, 1)) {
		drive_finish(d, a); /* cancelled before: its seats have gone back already */
		return;
	}
	d->booking_failed = true;
	n = pg_get_ints(a->result, 0, 1, &d->arena, &numbers);
	seats = arena_array(&d->arena, int32_t, n);
	for (size_t i = 0; i < n; i++)
		seats[i] = (int32_t)numbers[i];
	seats_unbook(d->tx, &d->arena, &d->a.show_id, &d->a.lock_id, seats, n, on_unbooked, d);
	tickets_revoke(d->tx, &d->arena, &d->a.show_id, &d->a.booking_id, seats, n, "payment_lost", drive_on_last, d);
}

/* The gateway refuses the capture for good, or would take another sum: the booking ends. */
void move_lose(struct drive *d)
{
	struct payment_by by = drive_by(d);
	struct pg_args args;

	drive_begin(d);
	payment_arrow_args(&args, &d->arena, &d->a, &by);
	pg_arg_text(&args, d->seen.differs[0] ? STR("amount_differs") : str_from(d->seen.decline_code));
	exec_arrow(d, &payment_sql_payment_lose, &args, false);
	exec_differs(d);
	booking_lose(d->tx, &d->arena, &d->a.show_id, &d->a.booking_id, on_booking_lost, d);
}

/*
 * What the gateway says of an attempt that ended here: nothing is open, or all that it took goes back, be it as asked or not. Of
 * another currency than ours the sum is not known here, and our number would be another one there: a person gives it back.
 */
void move_void_ended(struct drive *d, bool refund)
{
	struct uuid event_id = crypto_uuid_v7(wall_now_us()), refund_id = crypto_uuid_v7(wall_now_us()),
		    outbox_id = crypto_uuid_v7(wall_now_us());
	bool strange = refund && strcasecmp(d->seen.currency, d->a.currency) != 0;
	struct pg_args args;

	drive_begin(d);
	if (strange)
		exec_differs(d);
	pg_args_init(&args, &d->arena);
	pg_arg_uuid(&args, &d->a.show_id);
	pg_arg_uuid(&args, &d->a.payment_id);
	pg_arg_i32(&args, d->a.generation);
	pg_arg_uuid(&args, &event_id);
	pg_arg_text(&args, str_from(d->actor));
	pg_arg_text(&args, str_from(d->request_id));
	if (refund && !strange) {
		pg_arg_uuid(&args, &refund_id);
		pg_arg_i64(&args, d->seen.received_minor);
		pg_arg_uuid(&args, &outbox_id);
	} else {
		pg_arg_text(&args, strange ? STR("taken in another currency: a person has to give it back")
					   : STR("void at the gateway"));
	}
	pg_tx_exec(d->tx, refund && !strange ? &payment_sql_refund_all : &payment_sql_payment_voided, &args,
		   drive_on_last, d);
}

/* Nothing more to be done now. */
void move_rest(struct drive *d)
{
	struct pg_args args;

	drive_begin(d);
	pg_args_init(&args, &d->arena);
	pg_arg_uuid(&args, &d->a.show_id);
	pg_arg_uuid(&args, &d->a.payment_id);
	pg_arg_i32(&args, d->a.generation);
	pg_arg_interval_us(&args, d->a.state == PAYMENT_REQUIRES_ACTION && d->seen.seen == SEEN_ACTION
					  ? 10 * US_PER_SECOND
					  : payment_backoff_us(d->a.tries));
	pg_tx_exec(d->tx, &payment_sql_payment_rest, &args, drive_on_last, d);
}
