/*
 * POST .../bookings: a lock becomes a booking.
 *
 *   show, body --> ask --+--> asked before: its attempt is looked at (payment_ask) --> answer by state
 *                 ^      +--> the lock is not to be paid: 404, 409
 *                 +------+--- the gateway is left alone: a twin that is about to commit is waited for; then 503
 *                 |      +--> transaction: lock paying, buyer, booking, attempt --> payment_start --> answer by state
 *                 |      |        total 0: lock booked, booking confirmed, tickets, all in one --> answer
 *                 +------+------- somebody was faster: ask again
 *
 * The answer is made from what is stored, the same for the first time and for every repetition with the same key. Only
 * success and a decline are remembered; when the gateway could not be reached, the same key is a new attempt. The transaction is in
 * booking_pay_tx.c.
 */
#include "booking/booking_pay.h"
#include "base/xmalloc.h"
#include "booking/booking_sql.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ASKS_MAX = 4, TWIN_WAIT_MS = 10000 };

static void pay_free(struct pay *p)
{
	timer_free(p->wait);
	show_unref(p->show);
	free(p);
}

void pay_refuse(struct pay *p, enum err code, const char *detail)
{
	web_refuse(p->call, code, detail);
	pay_free(p);
}

static void refuse_at(struct pay *p, enum err code, const char *path, const char *detail)
{
	struct error e = {0};

	error_set(&e, code, path, "%s", detail);
	web_refuse_error(p->call, &e);
	pay_free(p);
}

/* It was called off since its seats were locked. */
static void refuse_not_on_sale(struct pay *p)
{
	struct jw *w = web_problem(p->call, ERR_NOT_ON_SALE, NULL);

	jw_ktime(w, "sale_starts_at", p->show->sale_starts_at_us);
	jw_ktime(w, "sale_ends_at", p->show->sale_ends_at_us);
	web_problem_end(p->call);
	pay_free(p);
}

/* ---- the answer ---- */

static void answer_declined(struct pay *p, const struct booking_view *v, const char *code, bool lock_lives)
{
	char token[AUTH_TOKEN_TEXT], words[BOOKING_WORDS_MAX];
	struct jw *w;

	booking_decline_words(code, lock_lives, words);
	w = web_problem(p->call, ERR_PAYMENT_DECLINED, words);
	auth_booking_token(p->b->config.auth, &v->show_id, &v->booking_id, token);
	jw_kuuid(w, "booking_id", &v->booking_id);
	jw_kcstr(w, "access_token", token);
	jw_kcstr(w, "decline_code", payment_decline_told(code));
	jw_kint(w, "expires_in", lock_lives ? booking_expires_in(v) : 0);
	web_problem_end(p->call);
	pay_free(p);
}

void pay_refuse_limit(struct pay *p, const char *detail)
{
	struct jw *w = web_problem(p->call, ERR_LOCK_LIMIT, detail);

	if (p->show->max_per_payer) /* the limit of a card is decided by the event's row, and may be newer than what is at hand here */
		jw_kint(w, "limit", p->show->max_per_payer);
	web_problem_end(p->call);
	pay_free(p);
}

static void answer_voided(struct pay *p, const struct booking_view *v)
{
	if (strcmp(v->failure, "show_cancelled") == 0)
		refuse_not_on_sale(p);
	else if (strcmp(v->failure, "card_limit") == 0)
		pay_refuse_limit(p,
				 "This card has paid for as many seats of this event as one person may book. Nothing "
				 "was charged.");
	else if (strcmp(v->failure, "amount_differs") == 0)
		pay_refuse(p, ERR_PAYMENT_UNAVAILABLE,
			   "The payment service did not take the payment as it was asked. Nothing was charged. Try "
			   "again.");
	else
		pay_refuse(p, ERR_SEAT_ALREADY_BOOKED, NULL);
}

/* The same key is at the gateway in another request: its answer is ours too. false: that takes too long. */
static bool wait_for_twin(struct pay *p)
{
	int64_t ms = p->waited_ms < 400 ? 50 : 250;

	if (!p->again || !p->in_flight || p->waited_ms + ms > TWIN_WAIT_MS || http_req_hung_up(p->call->req))
		return false;
	p->waited_ms += ms;
	if (!p->wait)
		p->wait = timer_new(p->b->config.loop, pay_answer, p);
	timer_set_ms(p->wait, ms);
	return true;
}

static void on_loaded(void *arg, enum err err, const struct booking_view *v, struct show *show,
		      const struct pg_result *tickets)
{
	struct pay *p = arg;

	if (err != ERR_NONE) {
		/* it was written; only the reading failed */
		pay_refuse(p, err == ERR_NOT_FOUND ? ERR_INTERNAL : ERR_OUTCOME_UNKNOWN, NULL);
		return;
	}
	if (p->declined) {
		answer_declined(p, v, p->decline_code,
				v->state == BOOKING_PAYMENT_PENDING && booking_expires_in(v) > 0);
		return;
	}
	if (v->paid && (v->payment_state == PAYMENT_CREATED || v->payment_state == PAYMENT_AUTHORISED) &&
	    wait_for_twin(p))
		return;
	if (v->paid && v->payment_state == PAYMENT_CREATED) {
		pay_refuse(p, p->again && p->in_flight ? ERR_IDEMPOTENCY_IN_FLIGHT : ERR_OUTCOME_UNKNOWN, NULL);
		return;
	}
	if (v->paid && v->payment_state == PAYMENT_FAILED) {
		if (strcmp(v->failure, "declined") == 0)
			answer_declined(p, v, v->decline_code,
					v->state == BOOKING_PAYMENT_PENDING && booking_expires_in(v) > 0);
		else
			pay_refuse(p, ERR_PAYMENT_UNAVAILABLE, NULL);
		return;
	}
	if (v->paid && v->payment_state == PAYMENT_VOIDED) {
		answer_voided(p, v);
		return;
	}
	if (v->paid && v->payment_state == PAYMENT_ABANDONED) {
		pay_refuse(p, ERR_LOCK_EXPIRED,
			   "The payment took too long; the seats were released. Nothing was charged.");
		return;
	}
	if (v->paid && v->payment_state == PAYMENT_CAPTURE_FAILED) {
		answer_declined(p, v, v->decline_code[0] ? v->decline_code : "capture_refused", false);
		return;
	}
	booking_write(p->b, web_json(p->call), v, show, tickets, true);
	web_json_end(p->call, 201);
	pay_free(p);
}

void pay_answer(void *arg)
{
	struct pay *p = arg;

	booking_load(p->b, p->call->arena, &p->show->show_id, &p->booking_id, on_loaded, p);
}

/* ---- what is known already ---- */

/* The key was used before: the same request? Then its attempt says what became of it. true: answered, or on its way. */
static bool asked_before(struct pay *p, const struct pg_result *r)
{
	struct str mine = {(const char *)p->idem.hash, sizeof(p->idem.hash)};
	enum payment_state state = PAYMENT_CREATED;
	struct str failure;

	if (!pg_is_null(r, 0, 7)) {
		if (!str_eq(pg_get_bytes(r, 0, 10), mine)) {
			pay_refuse(p, ERR_IDEMPOTENCY_MISMATCH, NULL);
			return true;
		}
		p->again = true;
		p->booking_id = pg_get_uuid(r, 0, 6);
		p->payment_id = pg_get_uuid(r, 0, 7);
		payment_state_parse(pg_get_text(r, 0, 8), &state);
		failure = pg_get_text(r, 0, 9);
		if ((state == PAYMENT_FAILED && !str_eqc(failure, "declined")) ||
		    (state == PAYMENT_VOIDED && !str_eqc(failure, "seats_lost") && !str_eqc(failure, "show_cancelled")))
			return false; /* the gateway did not work, or not as asked; the limit was reached then: not remembered */
		p->declined = state == PAYMENT_FAILED;
		p->decline_code = arena_cstr(p->call->arena, pg_get_text(r, 0, 16));
		p->in_flight = pg_get_bool(r, 0, 17);
		if (state == PAYMENT_CREATED || state == PAYMENT_REQUIRES_ACTION || state == PAYMENT_AUTHORISED)
			payment_ask(p->b->config.payment, &p->show->show_id, &p->payment_id, "buyer", pay_answer, p);
		else
			pay_answer(p);
		return true;
	}
	if (!pg_is_null(r, 0, 11)) { /* free of charge: the booking itself */
		if (!str_eq(pg_get_bytes(r, 0, 12), mine)) {
			pay_refuse(p, ERR_IDEMPOTENCY_MISMATCH, NULL);
			return true;
		}
		p->booking_id = p->idem.id;
		pay_answer(p);
		return true;
	}
	return false;
}

/* Whoever does not know of it any more finds it by its id: the bank's page is in there. */
static void refuse_in_progress(struct pay *p, const struct pg_result *r)
{
	struct jw *w =
		web_problem(p->call, ERR_PAYMENT_IN_PROGRESS,
			    "A payment for this lock is under way. The booking says how far it is and what to do.");
	struct uuid booking;

	if (!pg_is_null(r, 0, 14)) {
		booking = pg_get_uuid(r, 0, 14);
		jw_kuuid(w, "booking_id", &booking);
	}
	web_problem_end(p->call);
	pay_free(p);
}

static void on_twin(void *arg, const struct pg_answer *a)
{
	struct pay *p = arg;

	if (a->status == PG_OK) {
		p->alone = true;
		pay_ask(p);
	} else if (a->status == PG_ERROR && pg_error_is_transient(a)) {
		pay_refuse(p, ERR_IDEMPOTENCY_IN_FLIGHT, NULL);
	} else {
		pay_refuse(p, ERR_UNAVAILABLE, NULL);
	}
}

/*
 * The gateway is left alone. Before that is the answer: was the same key begun since it was looked for, by a process that takes
 * the gateway to be well? What that one books is the answer to the key.
 */
static void ask_twin(struct pay *p)
{
	struct pg_args args;

	pg_args_init(&args, p->call->arena);
	pg_arg_uuid(&args, &p->show->show_id);
	pg_arg_uuid(&args, &p->ask.lock_id);
	pg_query_start(p->b->config.pg, &booking_sql_booking_twin, &args, BOOKING_QUERY_MS, on_twin, p);
}

/* Before anything is made: the lock stays as it is. */
static bool gateway_is_left_alone(struct pay *p)
{
	if (p->total_minor == 0 || payment_available(p->b->config.payment, &p->call->retry_after_s))
		return false;
	if (p->alone) {
		pay_refuse(p, ERR_PAYMENT_UNAVAILABLE, NULL);
	} else {
		p->call->retry_after_s = 0; /* another answer may come of it */
		ask_twin(p);
	}
	return true;
}

static void on_ask(void *arg, const struct pg_answer *a)
{
	struct pay *p = arg;
	enum lock_state lock = LOCK_EXPIRED;
	const struct pg_result *r = a->result;

	if (a->status != PG_OK) {
		pay_refuse(p, ERR_UNAVAILABLE, NULL);
		return;
	}
	if (asked_before(p, r))
		return;
	if (pg_is_null(r, 0, 0)) {
		pay_refuse(p, ERR_NOT_FOUND, "You have no such lock.");
		return;
	}
	lock_state_parse(pg_get_text(r, 0, 0), &lock);
	p->total_minor = pg_get_int(r, 0, 1);
	snprintf(p->currency, sizeof(p->currency), "%.*s", STR_FMT(pg_get_text(r, 0, 2)));
	p->n_seats = (size_t)pg_get_int(r, 0, 3);
	if (lock == LOCK_BOOKED)
		pay_refuse(p, ERR_LOCK_ALREADY_USED, NULL);
	else if (lock == LOCK_PAYING)
		refuse_in_progress(p, r);
	else if (lock != LOCK_ACTIVE || pg_get_time(r, 0, 4) <= pg_get_time(r, 0, 5))
		pay_refuse(p, ERR_LOCK_EXPIRED, NULL);
	else if (p->total_minor && !p->ask.pays)
		refuse_at(p, ERR_INVALID_REQUEST, "/payment",
			  "\"payment\" is missing: these seats are not free of charge.");
	else if (p->total_minor && !payment_configured(p->b->config.payment))
		pay_refuse(p, ERR_PAYMENT_UNAVAILABLE, NULL);
	else if (gateway_is_left_alone(p))
		return;
	else if (p->show->status != SHOW_PUBLISHED)
		refuse_not_on_sale(p);
	else if (p->asks >= ASKS_MAX)
		pay_refuse(p, ERR_UNAVAILABLE, NULL);
	else {
		int64_t *seats;

		p->booking_id = pg_is_null(r, 0, 14) ? p->idem.id : pg_get_uuid(r, 0, 14);
		pg_get_ints(r, 0, 18, p->call->arena, &seats);
		p->seats = arena_array(p->call->arena, int32_t, p->n_seats);
		for (size_t i = 0; i < p->n_seats; i++)
			p->seats[i] = (int32_t)seats[i];
		pay_begin(p);
	}
}

void pay_ask(struct pay *p)
{
	struct pg_args args;

	p->asks++;
	pg_args_init(&args, p->call->arena);
	pg_arg_uuid(&args, &p->show->show_id);
	pg_arg_uuid(&args, &p->ask.lock_id);
	pg_arg_uuid(&args, &p->call->who.session_id);
	pg_arg_uuid(&args, &p->idem.id);
	pg_query_start(p->b->config.pg, &booking_sql_booking_ask, &args, BOOKING_QUERY_MS, on_ask, p);
}

/* ---- the beginning ---- */

static void on_show(void *arg, enum err err, struct show *show)
{
	struct pay *p = arg;
	struct web_call *call = p->call;
	struct error e = {0};
	json_t *body;

	if (err != ERR_NONE || show->status == SHOW_DRAFT) {
		pay_refuse(p, err != ERR_NONE ? err : ERR_NOT_FOUND, NULL);
		return;
	}
	p->show = show_ref(show);
	body = web_body(call);
	if (!body || !auth_idempotent(p->b->config.auth, call, body, &p->idem)) {
		pay_free(p);
		return;
	}
	if (!booking_ask_read(body, &p->ask, &e)) {
		web_refuse_error(call, &e);
		pay_free(p);
		return;
	}
	if (p->ask.return_url.n && !booking_return_allowed(p->b, p->call, p->ask.return_url)) {
		refuse_at(p, ERR_INVALID_VALUE, "/payment/return_url",
			  "\"return_url\" does not lead back to this service.");
		return;
	}
	p->lock_session = call->who.session_id;
	pay_ask(p);
}

void booking_post(struct web_call *call)
{
	struct pay *p = xcalloc(1, sizeof(*p));

	p->b = call->service;
	p->call = call;
	event_show_get_numbered(p->b->config.event, &call->ids[0], on_show, p);
}
