/*
 * Everything that moves a payment: one drive at an attempt, begun by the request that made it, by one who is asked about it,
 * or by the settling duty. A drive knows what it saw last and asks the rules what to do next:
 *
 *   taken --> decide --+--> call:  (row committed, with what was answered before) --> gateway --> seen --+--> decide
 *                      +--> arrow: one transaction --------------------------------> seen or through ----+
 *                      +--> wait, through: when to look again is written --> told
 *
 * A statement that finds nothing to do means that somebody else took the attempt over: the drive ends without a word, and
 * whoever waits reads the state. The same for a lost database: the lease ends, the settling duty goes on.
 * No lock of the database is held while the gateway is asked. Freed with the service, or when it has ended.
 */
#include "payment/payment_drive.h"
#include "base/xmalloc.h"
#include "io/log.h"
#include "io/metrics_table.h"
#include "payment/payment_sql.h"

#include <stdlib.h>
#include <string.h>

enum {
	STEPS_MAX = 12,	 /* more means that gateway and rules disagree: look again later */
	RETRIES_MAX = 3, /* of transactions that met another's locks */
};

enum { BOOKING_METRIC_CONFIRMED = 1, BOOKING_METRIC_CANCELLED = 2, BOOKING_METRIC_FAILED = 3 };

static void drive_step(struct drive *d);

static void drive_free(struct drive *d)
{
	list_remove(&d->link);
	gateway_going_done(&d->going);
	buf_done(&d->summary);
	arena_done(&d->arena);
	free(d);
}

static void drive_tell(struct drive *d)
{
	payment_fn *fn = d->fn;
	void *arg = d->arg;

	if (!d->ended || d->applying)
		return;
	drive_free(d);
	fn(arg);
}

static void drive_end(struct drive *d)
{
	d->ended = true;
	drive_tell(d);
}

struct payment_by drive_by(const struct drive *d)
{
	return (struct payment_by){d->actor, d->request_id};
}

static int64_t drive_now_us(const struct drive *d)
{
	return d->a.now_us + loop_now_us(d->p->config.loop) - d->read_at_us;
}

static void saw(struct drive *d, enum payment_seen seen, enum payment_step step)
{
	memset(&d->seen, 0, sizeof(d->seen));
	d->seen.seen = seen;
	d->seen.step = step;
}

/* ---- transactions ---- */

static void begin(struct drive *d)
{
	d->lost = d->unbookable = d->over_limit = d->doubled = d->not_now = d->booking_failed = d->has_session = false;
	d->n_changes = 0;
	d->tx = pg_tx_start(d->p->config.pg, NULL, PAYMENT_TX_MS);
}

void drive_begin(struct drive *d)
{
	begin(d);
	if (d->unrecorded)
		payment_answer_exec(d->tx, &d->arena, &d->a.show_id, &d->a.payment_id, d->unrecorded_step, d->call_no,
				    d->unrecorded, d->unrecorded_id, buf_str(&d->summary));
}

static void on_applied(void *arg, bool applied)
{
	struct drive *d = arg;

	d->applying--;
	drive_tell(d);
}

/* Seats changed with the transaction: Redis is told while the drive goes on; its end waits for that. */
static void drive_apply(struct drive *d)
{
	if (!d->n_changes && !d->has_session)
		return;
	d->applying++;
	seat_map_apply(d->p->config.map, &d->a.show_id, d->changes, d->n_changes, &d->session, d->has_session ? 1 : 0,
		       0, on_applied, d);
}

/* The first row of a statement that must find something; NULL: somebody else has the attempt, or the statement failed. */
const struct pg_result *drive_row(struct drive *d, const struct pg_answer *a)
{
	if (a->status != PG_OK)
		return NULL;
	if (pg_rows(a->result) == 0) {
		d->lost = true;
		return NULL;
	}
	return a->result;
}

void drive_on_row(void *arg, const struct pg_answer *a)
{
	drive_row(arg, a);
}

static void on_committed(void *arg, const struct pg_answer *a);

/* The last statement's callback: all answers are in. */
void drive_finish(struct drive *d, const struct pg_answer *a)
{
	struct pg_tx *tx = d->tx;

	d->tx = NULL;
	if (a->status != PG_OK || d->lost || d->unbookable || d->over_limit || d->not_now) {
		/* what came after the statement that found itself overtaken may have failed over it */
		if (a->status == PG_ERROR && !pg_error_is_transient(a) && !d->lost)
			log_line(LOG_ERROR, "a payment's statement failed", LOG_C("error", a->message),
				 LOG_C("sqlstate", a->sqlstate), LOG_U("payment_id", &d->a.payment_id));
		pg_tx_rollback(tx, NULL, NULL);
		if (d->unbookable && a->status == PG_OK && !d->lost) {
			if (d->doubled) {
				metric_add(d->p->config.metrics, METRIC_DOUBLE_BOOKINGS, 0, 0, 1);
				log_line(LOG_ERROR, "a double booking was refused by the database",
					 LOG_U("show_id", &d->a.show_id), LOG_U("booking_id", &d->a.booking_id));
			}
			saw(d, SEEN_UNBOOKABLE, STEP_NONE);
			drive_step(d);
		} else if (d->over_limit && a->status == PG_OK && !d->lost) {
			saw(d, SEEN_OVER_LIMIT, STEP_NONE);
			drive_step(d);
		} else if (a->status == PG_ERROR && pg_error_is_transient(a) && d->retries++ < RETRIES_MAX) {
			drive_step(d);
		} else {
			drive_end(d);
		}
		return;
	}
	pg_tx_commit(tx, on_committed, d);
}

static void on_whole(void *arg, const struct pg_answer *a)
{
	struct drive *d = arg;

	d->tx = NULL;
	if (a->status == PG_ERROR && pg_error_is_transient(a) && d->retries++ < RETRIES_MAX) {
		drive_step(d);
		return;
	}
	if (a->status == PG_ERROR && !pg_error_is_transient(a) && !d->lost)
		log_line(LOG_ERROR, "a payment's statement failed", LOG_C("error", a->message),
			 LOG_C("sqlstate", a->sqlstate), LOG_U("payment_id", &d->a.payment_id));
	if (a->status == PG_OK && d->lost)
		drive_end(d);
	else
		on_committed(d, a);
}

/* Nothing after its last statement has to be decided: if that finds nothing to do, only what was answered to a call stays
 * written, which is true whoever has the attempt. So the COMMIT goes along, and one round trip is enough. */
void drive_commit(struct drive *d)
{
	pg_tx_commit(d->tx, on_whole, d);
}

void drive_on_last(void *arg, const struct pg_answer *a)
{
	drive_finish(arg, a);
}

void drive_on_last_row(void *arg, const struct pg_answer *a)
{
	drive_row(arg, a);
	drive_finish(arg, a);
}

/* ---- calls ---- */

static void on_gateway(void *arg, const struct gateway_answer *answer)
{
	struct drive *d = arg;

	payment_observe(d->step, answer->http_status, answer->sent, answer->body, &d->seen);
	payment_compare(&d->seen, &d->a.payment_id, d->a.amount_minor, d->a.currency);
	if (d->seen.differs[0])
		log_line(LOG_ERROR, "the gateway's sums are not what was asked", LOG_U("payment_id", &d->a.payment_id),
			 LOG_C("how", d->seen.differs));
	memcpy(d->request_id, answer->request_id, sizeof(d->request_id));
	if (d->step != STEP_RETRIEVE && answer->http_status && answer->http_status != 409 &&
	    answer->http_status != 429) {
		d->unrecorded = answer->http_status;
		d->unrecorded_step = d->step;
		memcpy(d->unrecorded_id, answer->request_id, sizeof(d->unrecorded_id));
		buf_reset(&d->summary);
		if (d->seen.seen != SEEN_DENIED)
			payment_summary(answer->body, &d->summary);
	}
	drive_step(d);
}

static void send_call(struct drive *d)
{
	gateway_call(d->p, &d->going, d->step, d->key, d->path, d->key ? str_from(d->body) : STR(""), on_gateway, d);
}

/* The one-time token of the way back is made when it is sent, and stored nowhere. */
static char *fill_token(struct drive *d, const char *body)
{
	char token[AUTH_TOKEN_TEXT], *filled;
	struct buf b;

	auth_return_token(d->p->config.auth, &d->a.show_id, &d->a.booking_id, &d->a.payment_id, token);
	buf_init(&b, 16384);
	payment_fill_token(&b, str_from(body), str_from(token));
	filled = arena_cstr(&d->arena, buf_str(&b));
	buf_done(&b);
	return filled;
}

static void on_call_row(void *arg, const struct pg_answer *a)
{
	struct drive *d = arg;
	const struct pg_result *r = drive_row(d, a);

	if (r) {
		d->call_no = (int)pg_get_int(r, 0, 0);
		d->key = arena_cstr(&d->arena, pg_get_text(r, 0, 1));
		d->path = arena_cstr(&d->arena, pg_get_text(r, 0, 2));
		d->body = fill_token(d, arena_cstr(&d->arena, pg_get_text(r, 0, 3)));
	}
}

static void on_last_call_row(void *arg, const struct pg_answer *a)
{
	on_call_row(arg, a);
	drive_finish(arg, a);
}

static const char *call_path(struct drive *d, enum payment_step step, const char *intent_id)
{
	static const char *const ends[] = {"", "/confirm", "/capture", "/cancel"};

	if (step == STEP_CREATE)
		return "/v1/payment_intents";
	return arena_printf(&d->arena, "/v1/payment_intents/%s%s", intent_id, ends[step]);
}

/* The row of the first call of its kind, after the arrow that has given the lease: as the last statement of its transaction. */
void drive_exec_first_call(struct drive *d, enum payment_step step)
{
	struct pg_args args;

	pg_args_init(&args, &d->arena);
	pg_arg_uuid(&args, &d->a.show_id);
	pg_arg_uuid(&args, &d->a.payment_id);
	pg_arg_text(&args, str_from(payment_step_name(step)));
	pg_arg_text(&args, str_from(call_path(d, step, d->a.intent_id)));
	pg_arg_text(&args, STR(""));
	pg_tx_exec(d->tx, &payment_sql_payment_call_first, &args, on_last_call_row, d);
}

/* The gateway's name of the intent, known by the answer to its creation. */
void drive_exec_intent(struct drive *d)
{
	struct pg_args args;

	d->a.intent_id = arena_strdup(&d->arena, d->seen.intent_id);
	pg_args_init(&args, &d->arena);
	pg_arg_uuid(&args, &d->a.show_id);
	pg_arg_uuid(&args, &d->a.payment_id);
	pg_arg_i32(&args, d->a.generation);
	pg_arg_text(&args, str_from(d->a.intent_id));
	pg_tx_exec(d->tx, &payment_sql_payment_intent, &args, drive_on_row, d);
}

/* A transaction of a call's row alone: a capture or a cancellation, which may have been tried before. */
static void drive_call(struct drive *d, enum payment_step step)
{
	struct pg_args args;

	drive_begin(d);
	pg_args_init(&args, &d->arena);
	pg_arg_uuid(&args, &d->a.show_id);
	pg_arg_uuid(&args, &d->a.payment_id);
	pg_arg_i32(&args, d->a.generation);
	pg_arg_text(&args, str_from(payment_step_name(step)));
	pg_arg_uuid(&args, &d->a.payment_id);
	pg_arg_text(&args, STR("POST"));
	pg_arg_text(&args, str_from(call_path(d, step, d->a.intent_id)));
	pg_arg_text(&args, STR(""));
	pg_arg_interval_us(&args, payment_lease_us(d->p));
	pg_tx_exec(d->tx, &payment_sql_payment_call, &args, on_call_row, d);
	drive_commit(d);
}

/* The confirmation's row and what the creation was answered, in one statement. */
static void drive_confirm(struct drive *d)
{
	bool answered = d->unrecorded && d->unrecorded_step == STEP_CREATE;
	struct buf body, url;
	struct pg_args args;

	d->a.intent_id = arena_strdup(&d->arena, d->seen.intent_id);
	buf_init(&body, 8192);
	buf_init(&url, 2048);
	if (d->a.return_url[0])
		payment_return_url(&url, str_from(d->a.return_url), &d->a.show_id, &d->a.booking_id);
	payment_confirm_body(&body, str_from(d->a.method), buf_str(&url), d->a.max_per_payer > 0);
	begin(d);
	pg_args_init(&args, &d->arena);
	pg_arg_uuid(&args, &d->a.show_id);
	pg_arg_uuid(&args, &d->a.payment_id);
	pg_arg_i32(&args, d->a.generation);
	pg_arg_text(&args, str_from(d->a.intent_id));
	pg_arg_text(&args, str_from(call_path(d, STEP_CONFIRM, d->a.intent_id)));
	pg_arg_text(&args, buf_str(&body));
	pg_arg_interval_us(&args, payment_lease_us(d->p));
	pg_arg_i32(&args, answered ? d->call_no : 0);
	pg_arg_i32(&args, d->unrecorded);
	pg_arg_text(&args, str_from(d->unrecorded_id));
	pg_arg_text(&args, answered ? buf_str(&d->summary) : STR(""));
	pg_tx_exec(d->tx, &payment_sql_payment_confirm_call, &args, on_call_row, d);
	drive_commit(d);
	buf_done(&body);
	buf_done(&url);
}

static void drive_retrieve(struct drive *d)
{
	d->step = STEP_RETRIEVE;
	d->key = NULL;
	d->path = arena_printf(&d->arena, "/v1/payment_intents/%s%s", d->a.intent_id,
			       d->a.max_per_payer ? "?" PAYMENT_WITH_CARD : "");
	send_call(d);
}

/* ---- what a commit brought ---- */

static void reached(struct drive *d, enum payment_state state)
{
	if (!payment_may(d->a.state, state))
		abort(); /* the statement went an arrow that is not drawn */
	d->a.state = state;
	metric_add(d->p->config.metrics, METRIC_PAYMENTS, (int)state, 0, 1);
}

static void on_committed(void *arg, const struct pg_answer *a)
{
	struct drive *d = arg;
	struct metrics *metrics = d->p->config.metrics;

	if (a->status != PG_OK) {
		drive_end(d); /* not known whether it took effect: the lease ends, and the state will tell */
		return;
	}
	d->unrecorded = 0;
	drive_apply(d);
	if (d->booking_failed)
		metric_add(metrics, METRIC_BOOKINGS,
			   d->action == DO_LOSE ? BOOKING_METRIC_CANCELLED : BOOKING_METRIC_FAILED, 0, 1);
	switch (d->action) {
	case DO_CONFIRM:
	case DO_CAPTURE:
	case DO_CANCEL:
		d->step = d->action == DO_CONFIRM ? STEP_CONFIRM : d->action == DO_CAPTURE ? STEP_CAPTURE : STEP_CANCEL;
		if (d->step == STEP_CONFIRM)
			d->a.confirm_called = d->intent_stored = true;
		if (d->step == STEP_CANCEL)
			d->a.cancel_called = true;
		send_call(d);
		return;
	case DO_REQUIRE_ACTION:
		reached(d, PAYMENT_REQUIRES_ACTION);
		drive_end(d);
		return;
	case DO_AUTHORISE:
		reached(d, PAYMENT_AUTHORISED);
		metric_add(metrics, METRIC_BOOKINGS, BOOKING_METRIC_CONFIRMED, 0, 1);
		if (d->seen.seen == SEEN_PAID) {
			drive_step(d);
			return;
		}
		d->step = STEP_CAPTURE;
		send_call(d);
		return;
	case DO_CAPTURED:
		reached(d, PAYMENT_CAPTURED);
		drive_end(d);
		return;
	case DO_LOSE:
		reached(d, PAYMENT_CAPTURE_FAILED);
		d->a.void_wanted = true;
		saw(d, SEEN_NOTHING, STEP_NONE);
		drive_step(d);
		return;
	case DO_FAIL:
	case DO_RELEASE:
		reached(d, PAYMENT_FAILED);
		drive_end(d); /* what the gateway has to be told waits for the settling duty */
		return;
	case DO_ABANDON:
	case DO_VOID:
	case DO_REJECT:
		reached(d, d->action == DO_ABANDON ? PAYMENT_ABANDONED : PAYMENT_VOIDED);
		d->a.void_wanted = d->a.intent_id[0] != '\0';
		saw(d, SEEN_NOTHING, STEP_NONE);
		drive_step(d);
		return;
	case DO_NOTHING:
	case DO_WAIT:
	case DO_CREATE:
	case DO_RETRIEVE:
	case DO_VOIDED:
	case DO_REFUND_ALL:
		break;
	}
	drive_end(d);
}

static void drive_step(struct drive *d)
{
	struct payment_view v = {.state = d->a.state,
				 .fresh = d->fresh,
				 .has_intent = d->a.intent_id[0] != '\0',
				 .confirm_called = d->a.confirm_called,
				 .cancel_called = d->a.cancel_called,
				 .void_wanted = d->a.void_wanted,
				 .now_us = drive_now_us(d),
				 .action_until_us = d->a.action_until_us,
				 .hold_until_us = d->a.hold_until_us};

	d->action = ++d->steps > STEPS_MAX ? DO_WAIT : payment_decide(&v, &d->seen);
	switch (d->action) {
	case DO_NOTHING:
		drive_end(d);
		return;
	case DO_WAIT:
		move_rest(d);
		return;
	case DO_CREATE: /* its row was committed with the attempt */
		d->step = STEP_CREATE;
		send_call(d);
		return;
	case DO_CONFIRM:
		drive_confirm(d);
		return;
	case DO_CAPTURE:
		drive_call(d, STEP_CAPTURE);
		return;
	case DO_CANCEL:
		drive_call(d, STEP_CANCEL);
		return;
	case DO_RETRIEVE:
		drive_retrieve(d);
		return;
	case DO_REQUIRE_ACTION:
		move_require_action(d);
		return;
	case DO_AUTHORISE:
		move_authorise(d);
		return;
	case DO_CAPTURED:
		move_captured(d);
		return;
	case DO_LOSE:
		move_lose(d);
		return;
	case DO_FAIL:
	case DO_RELEASE:
		move_fail(d, d->action == DO_FAIL);
		return;
	case DO_ABANDON:
		move_abandon(d);
		return;
	case DO_VOID:
		move_void(d);
		return;
	case DO_REJECT:
		move_reject(d);
		return;
	case DO_VOIDED:
	case DO_REFUND_ALL:
		move_void_ended(d, d->action == DO_REFUND_ALL);
		return;
	}
}

/* ---- taking an attempt ---- */

static void on_taken(void *arg, const struct pg_answer *a)
{
	struct drive *d = arg;

	if (a->status != PG_OK || pg_rows(a->result) == 0) {
		drive_end(d);
		return;
	}
	attempt_read(a->result, 0, &d->a.show_id, &d->arena, &d->a);
	d->read_at_us = loop_now_us(d->p->config.loop);
	d->intent_stored = d->a.intent_id[0] != '\0';
	drive_step(d);
}

static struct drive *drive_new(struct payment_service *p, const struct uuid *show, const char *actor)
{
	struct drive *d = xcalloc(1, sizeof(*d));

	d->p = p;
	d->actor = actor;
	d->a.show_id = *show;
	list_init(&d->link);
	list_append(&p->drives, &d->link);
	arena_init(&d->arena);
	buf_init(&d->summary, 4096);
	return d;
}

static void take(struct payment_service *p, const struct uuid *show, const struct uuid *payment, const char *actor,
		 bool asked, payment_fn *fn, void *arg)
{
	struct drive *d = drive_new(p, show, actor);
	struct pg_args args;

	d->fn = fn;
	d->arg = arg;
	pg_args_init(&args, &d->arena);
	pg_arg_uuid(&args, show);
	pg_arg_uuid(&args, payment);
	pg_arg_interval_us(&args, payment_lease_us(p));
	pg_arg_bool(&args, asked);
	pg_query_start(p->config.pg, &payment_sql_payment_lease, &args, PAYMENT_QUERY_MS, on_taken, d);
}

/* ---- making an attempt: it is the maker's from the transaction on ---- */

struct payment_made {
	struct drive *d;
	pg_fn *fn; /* of the statement */
	void *arg;
};

static void on_made(void *arg, const struct pg_answer *a)
{
	struct payment_made *made = arg;
	struct drive *d = made->d;

	if (a->status == PG_OK && pg_rows(a->result)) {
		attempt_read(a->result, 0, &d->a.show_id, &d->arena, &d->a);
		d->read_at_us = loop_now_us(d->p->config.loop);
		d->call_no = 1;
		d->key = arena_cstr(&d->arena, pg_get_text(a->result, 0, 20));
	}
	made->fn(made->arg, a);
}

struct payment_made *payment_create(struct payment_service *p, struct pg_tx *tx, struct arena *a,
				    const struct payment_new *n, pg_fn *fn, void *arg)
{
	struct drive *d = drive_new(p, &n->show_id, "buyer");
	struct payment_made *made = arena_alloc(&d->arena, sizeof(*made));
	struct buf body;

	*made = (struct payment_made){d, fn, arg};
	d->fresh = true;
	buf_init(&body, 8192);
	payment_create_body(&body, &n->show_id, &n->booking_id, &n->payment_id, n->amount_minor, n->currency);
	d->path = arena_strdup(&d->arena, call_path(d, STEP_CREATE, ""));
	d->body = arena_cstr(&d->arena, buf_str(&body));
	payment_create_exec(p, tx, a, n, buf_str(&body), on_made, made);
	buf_done(&body);
	return made;
}

void payment_forget(struct payment_made *made)
{
	if (made)
		drive_free(made->d);
}

void payment_start(struct payment_made *made, payment_fn *fn, void *arg)
{
	struct drive *d = made->d;

	d->fn = fn;
	d->arg = arg;
	drive_step(d);
}

void payment_ask(struct payment_service *p, const struct uuid *show, const struct uuid *payment, const char *actor,
		 payment_fn *fn, void *arg)
{
	take(p, show, payment, actor, true, fn, arg);
}

void payment_settle(struct payment_service *p, const struct uuid *show, const struct uuid *payment, payment_fn *fn,
		    void *arg)
{
	take(p, show, payment, "reconciler", false, fn, arg);
}

void payment_drives_free(struct payment_service *p)
{
	while (!list_empty(&p->drives))
		drive_free(list_first(&p->drives, struct drive, link));
}
