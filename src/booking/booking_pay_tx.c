/*
 * The transaction of POST .../bookings: lock paying, buyer, booking, attempt; of what is free of charge all of it at once. All or
 * nothing; afterwards the map is told and the attempt is driven, or the lock of a seat that has an owner already is put right.
 * Called by booking_pay.c.
 */
#include "booking/booking_pay.h"
#include "booking/booking_sql.h"
#include "booking/booking_store.h"
#include "io/crypto.h"
#include "io/log.h"
#include "io/metrics_table.h"
#include "seat/seat_store.h"
#include "ticket/ticket_service.h"

#include <string.h>

#define PAYING_MARK_MS (30 * INT64_C(60) * 1000) /* a paid lock counts for its session at most that long */

static void on_applied(void *arg, bool applied)
{
	pay_answer(arg);
}

static void on_committed(void *arg, const struct pg_answer *a)
{
	struct pay *p = arg;
	struct metrics *metrics = p->b->config.metrics;
	struct seat_session_change session = {p->lock_session, p->ask.lock_id, p->total_minor ? PAYING_MARK_MS : 0};

	if (a->status != PG_OK) {
		/* an attempt that may have been made was never sent anywhere: the settling duty gives the lock back */
		payment_forget(p->made);
		pay_refuse(p, a->status == PG_UNKNOWN ? ERR_OUTCOME_UNKNOWN : ERR_UNAVAILABLE, NULL);
		return;
	}
	if (p->total_minor) {
		metric_add(metrics, METRIC_BOOKINGS, BOOKING_METRIC_PENDING, 0, 1);
		metric_add(metrics, METRIC_PAYMENTS, PAYMENT_CREATED, 0, 1);
		seat_map_apply(p->b->config.map, &p->show->show_id, p->changes, p->n_changes, &session, 1, 0, NULL,
			       NULL);
		payment_start(p->made, pay_answer, p);
		return;
	}
	metric_add(metrics, METRIC_BOOKINGS, BOOKING_METRIC_CONFIRMED, 0, 1);
	seat_map_apply(p->b->config.map, &p->show->show_id, p->changes, p->n_changes, &session, 1, 0, on_applied, p);
}

/* ---- a seat of a free show that has an owner already: the lock ends, its other seats are free ---- */

static void on_put_right(void *arg, const struct pg_answer *a)
{
	struct pay *p = arg;

	if (a->status == PG_OK)
		seat_map_apply(p->b->config.map, &p->show->show_id, p->changes, p->n_changes, NULL, 0, 0, NULL, NULL);
	pay_refuse(p, ERR_SEAT_ALREADY_BOOKED, NULL);
}

static void on_freed(void *arg, const struct pg_answer *a)
{
	struct pay *p = arg;

	if (a->status == PG_OK && pg_rows(a->result))
		p->n_changes = seat_changes_from(a->result, 0, 1, 2, SEAT_FREE, 0, &p->ask.lock_id, p->call->arena,
						 &p->changes);
}

static void on_repaired(void *arg, const struct pg_answer *a)
{
	struct pay *p = arg;
	struct seat_change *more, *all;
	size_t n;

	if (a->status != PG_OK) {
		pg_tx_rollback(p->tx, NULL, NULL);
		pay_refuse(p, ERR_SEAT_ALREADY_BOOKED, NULL);
		return;
	}
	n = seat_changes_from(a->result, 0, 0, 1, SEAT_BOOKED, 0, &p->ask.lock_id, p->call->arena, &more);
	all = arena_array(p->call->arena, struct seat_change, p->n_changes + n);
	if (p->n_changes)
		memcpy(all, p->changes, p->n_changes * sizeof(*all));
	if (n)
		memcpy(all + p->n_changes, more, n * sizeof(*all));
	p->changes = all;
	p->n_changes += n;
	pg_tx_commit(p->tx, on_put_right, p);
}

static void put_right(struct pay *p)
{
	struct arena *arena = p->call->arena;
	const struct uuid *show = &p->show->show_id;

	metric_add(p->b->config.metrics, METRIC_DOUBLE_BOOKINGS, 0, 0, 1);
	log_line(LOG_ERROR, "a double booking was refused by the database", LOG_U("show_id", show));
	p->n_changes = 0;
	p->tx = pg_tx_start(p->b->config.pg, NULL, BOOKING_TX_MS);
	lock_pay(p->tx, arena, show, &p->ask.lock_id, &p->call->who.session_id, NULL, NULL);
	lock_abandon(p->tx, arena, show, &p->ask.lock_id, on_freed, p);
	seats_repair(p->tx, arena, show, p->seats, p->n_seats, on_repaired, p);
}

static void on_show_again(void *arg, enum err err, struct show *show)
{
	struct pay *p = arg;

	if (err != ERR_NONE) {
		pay_refuse(p, err, NULL);
		return;
	}
	show_unref(p->show);
	p->show = show_ref(show);
	pay_ask(p);
}

/* The show may be what has changed: it was called off. */
static void pay_again(struct pay *p)
{
	event_show_forget(p->b->config.event, &p->call->ids[0]);
	event_show_get(p->b->config.event, &p->call->ids[0], on_show_again, p);
}

/* The last statement's answer: all or nothing. */
static void pay_finish(struct pay *p, const struct pg_answer *a)
{
	if (a->status == PG_OK && !p->lost && !p->not_mine && !p->doubled && !p->over_limit && !p->unissued) {
		pg_tx_commit(p->tx, on_committed, p);
		return;
	}
	pg_tx_rollback(p->tx, NULL, NULL);
	payment_forget(p->made);
	p->made = NULL;
	if (a->status == PG_OK && p->over_limit && !p->lost) {
		pay_refuse_limit(p, "This address has as many seats of this event as one person may book.");
	} else if (a->status == PG_OK && p->not_mine) {
		pay_refuse(p, ERR_LOCK_EXPIRED, NULL);
	} else if (a->status == PG_OK && p->doubled) {
		put_right(p);
	} else if ((p->lost && (a->status == PG_OK || a->status == PG_ERROR)) ||
		   (a->status == PG_ERROR && pg_error_is_transient(a))) {
		pay_again(p); /* somebody was faster: what is the matter now? What came after may have failed over it */
	} else if (a->status == PG_ERROR) {
		log_line(LOG_ERROR, "a booking's statement failed", LOG_C("error", a->message),
			 LOG_C("sqlstate", a->sqlstate));
		pay_refuse(p, ERR_INTERNAL, NULL);
	} else {
		pay_refuse(p, ERR_UNAVAILABLE, NULL);
	}
}

static void on_payer(void *arg, const struct pg_answer *a)
{
	struct pay *p = arg;

	if (a->status == PG_OK)
		p->over_limit = pg_get_int(a->result, 0, 0) + (int64_t)p->n_seats > p->show->max_per_payer;
}

static void on_paying(void *arg, const struct pg_answer *a)
{
	struct pay *p = arg;

	if (a->status != PG_OK)
		return;
	if (pg_rows(a->result) == 0) {
		p->lost = true;
		return;
	}
	p->not_mine = pg_get_int(a->result, 0, 8) != (int64_t)p->n_seats;
	p->n_changes =
		seat_changes_from(a->result, 0, 0, 9, SEAT_LOCKED, 0, &p->ask.lock_id, p->call->arena, &p->changes);
}

static void on_must(void *arg, const struct pg_answer *a)
{
	struct pay *p = arg;

	if (a->status == PG_OK && pg_rows(a->result) == 0)
		p->lost = true;
}

static void on_attempt(void *arg, const struct pg_answer *a)
{
	on_must(arg, a);
	pay_finish(arg, a);
}

static void on_confirmed(void *arg, const struct pg_answer *a)
{
	struct pay *p = arg;

	on_must(p, a);
	if (a->status == PG_OK && pg_rows(a->result) && pg_get_int(a->result, 0, 1) != pg_get_int(a->result, 0, 2))
		p->doubled = true;
}

static void on_booked(void *arg, const struct pg_answer *a)
{
	struct pay *p = arg;

	if (a->status != PG_OK)
		return;
	if (pg_rows(a->result) == 0 || pg_get_int(a->result, 0, 2) != (int64_t)p->n_seats) {
		p->not_mine = true;
		return;
	}
	p->n_changes =
		seat_changes_from(a->result, 0, 0, 3, SEAT_BOOKED, 0, &p->ask.lock_id, p->call->arena, &p->changes);
}

static void on_issued(void *arg, const struct pg_answer *a)
{
	struct pay *p = arg;

	if (a->status == PG_OK && (size_t)pg_rows(a->result) < p->n_seats)
		p->unissued = true;
	pay_finish(p, a);
}

static void exec_booking(struct pay *p, const struct uuid *buyer)
{
	struct uuid outbox_id = crypto_uuid_v7(wall_now_us());
	char reference[REFERENCE_TEXT];
	uint8_t random[7];
	struct pg_args args;

	crypto_random(random, sizeof(random));
	reference_format(random, reference);
	pg_args_init(&args, p->call->arena);
	pg_arg_uuid(&args, &p->show->show_id);
	pg_arg_uuid(&args, &p->booking_id);
	pg_arg_uuid(&args, &p->ask.lock_id);
	pg_arg_uuid(&args, &p->call->who.session_id);
	pg_arg_uuid(&args, buyer);
	pg_arg_text(&args, str_from(reference));
	pg_arg_bytes(&args, (struct str){(const char *)p->idem.hash, sizeof(p->idem.hash)});
	pg_arg_uuid(&args, &outbox_id);
	pg_tx_exec(p->tx, &booking_sql_booking_create, &args, on_must, p);
}

static void exec_payer(struct pay *p)
{
	struct pg_args args;

	pg_args_init(&args, p->call->arena);
	pg_arg_uuid(&args, &p->show->event_id);
	pg_arg_bytes(&args, (struct str){(const char *)p->email_hash, sizeof(p->email_hash)});
	pg_tx_exec(p->tx, &booking_sql_payer_lock, &args, NULL, NULL);
	pg_arg_uuid(&args, &p->ask.lock_id);
	pg_tx_exec(p->tx, &booking_sql_payer_seats, &args, on_payer, p);
}

void pay_begin(struct pay *p)
{
	const struct uuid *show = &p->show->show_id, *lock = &p->ask.lock_id;
	struct arena *arena = p->call->arena;
	struct uuid buyer = crypto_uuid_v7(wall_now_us());
	char folded[EMAIL_FOLDED_MAX];

	p->alone = p->lost = p->not_mine = p->doubled = p->over_limit = p->unissued = false;
	p->n_changes = 0;
	crypto_mac(&p->b->email_key, email_fold(p->ask.buyer.email, folded), p->email_hash);
	p->tx = pg_tx_start(p->b->config.pg, NULL, BOOKING_TX_MS);
	if (p->show->max_per_payer)
		exec_payer(p);
	booking_of_lock(p->tx, arena, show, lock, NULL, NULL);
	lock_pay(p->tx, arena, show, lock, &p->call->who.session_id, on_paying, p);
	buyer_create(p->b, p->tx, arena, &buyer, &p->show->organizer_id, &p->ask.buyer);
	exec_booking(p, &buyer);
	if (p->total_minor) {
		struct payment_new n = {.show_id = *show,
					.booking_id = p->booking_id,
					.lock_id = *lock,
					.payment_id = crypto_uuid_v7(wall_now_us()),
					.request_id = p->idem.id,
					.request_hash = p->idem.hash,
					.method = p->ask.method,
					.return_url = p->ask.return_url.n ? p->ask.return_url
									  : booking_return_usual(p->b, p->call),
					.amount_minor = p->total_minor};

		memcpy(n.currency, p->currency, sizeof(n.currency));
		p->payment_id = n.payment_id;
		p->made = payment_create(p->b->config.payment, p->tx, arena, &n, on_attempt, p);
		return;
	}
	booking_confirm(p->tx, arena, show, &p->booking_id, on_confirmed, p);
	lock_book(p->tx, arena, show, lock, on_booked, p);
	tickets_issue(p->b->config.ticket, p->tx, arena, show, &p->booking_id, p->seats, p->n_seats, on_issued, p);
}
