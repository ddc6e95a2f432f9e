/*
 * POST /v1/payments/webhook: what the gateway says by itself. An event changes no state; it makes what it is about due, and the
 * gateway is asked. 200 is said when the event and what it sets in motion are committed, in one transaction: until then the
 * gateway sends it again.
 *
 *   signature (400) --> read (400) --> BEGIN, the event's row --+--> seen before ----------------------> COMMIT --> 200
 *                                                               +--> of an intent: whose? due now -----> COMMIT --> 200, asked at once
 *                                                               +--> of a refund: due now, or a finding > COMMIT --> 200, asked at once
 *                                                               |    and a line of the trail
 *                                                               +--> a dispute: a finding -------------> COMMIT --> 200
 *                                                               +--> a refund that is not ours: the same COMMIT --> 200
 *                                                               +--> nothing of ours ------------------> COMMIT --> 200
 *   the database cannot be asked: 503, and the gateway sends it again
 *
 * Early, late, twice and in reverse order events are harmless: whoever is at an attempt is not overtaken (payment_hint.sql), and
 * what is true the gateway says when it is asked. A secret that is missing means that no event is taken: 404.
 */
#include "base/times.h"
#include "base/xmalloc.h"
#include "io/crypto.h"
#include "io/log.h"
#include "io/metrics_table.h"
#include "payment/payment_int.h"
#include "payment/payment_sql.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SECRET_FILE_MAX = 1000 };

/* ---- the secrets ---- */

bool webhook_secrets_load(struct payment_service *p, const char *path, char *error, size_t size)
{
	struct str secrets[WEBHOOK_SECRETS_MAX];
	char text[SECRET_FILE_MAX];
	FILE *f = fopen(path, "re");
	size_t n;

	if (!f) {
		snprintf(error, size, "cannot read the webhook secret file %s: %s", path, strerror(errno));
		return false;
	}
	n = fread(text, 1, sizeof(text), f);
	fclose(f);
	p->n_webhook_secrets = n < sizeof(text) ? webhook_secrets_read((struct str){text, n}, secrets) : 0;
	for (size_t i = 0; i < p->n_webhook_secrets; i++)
		p->webhook_secrets[i] = xstrndup(secrets[i].p, secrets[i].n);
	explicit_bzero(text, sizeof(text));
	if (p->n_webhook_secrets == 0)
		snprintf(
			error, size,
			"the webhook secret file %s must hold one secret, or two while it is changed, each of %d to %d "
			"characters on a line of its own",
			path, WEBHOOK_SECRET_MIN, WEBHOOK_SECRET_MAX);
	return p->n_webhook_secrets > 0;
}

void webhook_secrets_forget(struct payment_service *p)
{
	for (size_t i = 0; i < p->n_webhook_secrets; i++) {
		explicit_bzero(p->webhook_secrets[i], strlen(p->webhook_secrets[i]));
		free(p->webhook_secrets[i]);
	}
	p->n_webhook_secrets = 0;
}

/* ---- an event's way ---- */

/* Lives in the request's arena. */
struct hook {
	struct payment_service *p;
	struct web_call *call;
	struct webhook_event event;
	struct pg_tx *tx;
	struct uuid show_id, payment_id, booking_id; /* of the attempt behind it */
	enum payment_state state;
	bool late; /* its money was taken although it had ended */
	bool again, known, ask, ask_refund;
};

static void count(struct payment_service *p, enum metric_webhook_outcome outcome)
{
	metric_add(p->config.metrics, METRIC_WEBHOOKS, (int)outcome, 0, 1);
}

static void nobody_waits(void *arg)
{
}

static void on_committed(void *arg, const struct pg_answer *a)
{
	const struct hook h = *(struct hook *)arg; /* the answer ends the arena it stands in */

	if (a->status != PG_OK) {
		count(h.p, WEBHOOK_OUTCOME_UNAVAILABLE);
		web_refuse(h.call, a->status == PG_UNKNOWN ? ERR_OUTCOME_UNKNOWN : ERR_UNAVAILABLE, NULL);
		return;
	}
	count(h.p, h.again ? WEBHOOK_OUTCOME_REPEATED : h.known ? WEBHOOK_OUTCOME_TAKEN : WEBHOOK_OUTCOME_IGNORED);
	jw_kbool(web_json(h.call), "received", true);
	web_json_end(h.call, 200);
	if (h.ask)
		payment_ask(h.p, &h.show_id, &h.payment_id, "webhook", nobody_waits, NULL);
	if (h.ask_refund)
		refund_settle(h.p, &h.show_id, &h.event.refund_id, nobody_waits, NULL);
}

static void hook_commit(struct hook *h)
{
	struct pg_tx *tx = h->tx;

	h->tx = NULL;
	pg_tx_commit(tx, on_committed, h);
}

/* false: answered, because the statement did not work. */
static bool worked(struct hook *h, const struct pg_answer *a)
{
	if (a->status == PG_OK)
		return true;
	pg_tx_rollback(h->tx, NULL, NULL);
	h->tx = NULL;
	if (a->status == PG_ERROR && !pg_error_is_transient(a))
		log_line(LOG_ERROR, "a webhook's statement failed", LOG_C("error", a->message),
			 LOG_C("sqlstate", a->sqlstate), LOG_C("event", h->event.id));
	count(h->p, WEBHOOK_OUTCOME_UNAVAILABLE);
	web_refuse(h->call, ERR_UNAVAILABLE, NULL);
	return false;
}

static void on_last(void *arg, const struct pg_answer *a)
{
	if (worked(arg, a))
		hook_commit(arg);
}

/* ---- of an intent ---- */

static void on_again(void *arg, const struct pg_answer *a)
{
	struct hook *h = arg;

	if (!worked(h, a))
		return;
	h->known |= pg_rows(a->result) > 0;
	hook_commit(h);
}

static void on_hinted(void *arg, const struct pg_answer *a)
{
	struct hook *h = arg;
	struct payment_again again = {.show_id = h->show_id,
				      .payment_id = h->payment_id,
				      .intent_id = h->event.intent_id,
				      .actor = "webhook",
				      .why = "the gateway says that it holds or has taken the money"};
	struct pg_args args;

	if (!worked(h, a))
		return;
	if (pg_rows(a->result)) {
		h->known = true;
		h->ask = pg_get_bool(a->result, 0, 0);
		hook_commit(h);
	} else if (h->event.seen == SEEN_HELD || h->event.seen == SEEN_PAID) {
		payment_void_again_args(&args, h->call->arena, &again);
		pg_tx_exec(h->tx, &payment_sql_payment_void_again, &args, on_again, h);
	} else {
		hook_commit(h);
	}
}

static void hint_payment(struct hook *h)
{
	struct pg_args args;

	pg_args_init(&args, h->call->arena);
	pg_arg_uuid(&args, &h->show_id);
	pg_arg_uuid(&args, &h->payment_id);
	pg_arg_text(&args, str_from(h->event.intent_id));
	pg_tx_exec(h->tx, &payment_sql_payment_hint, &args, on_hinted, h);
}

/* ---- of money of a payment that nobody here moved ---- */

static void find_money(struct hook *h, const char *kind, const char *detail, pg_fn *fn)
{
	h->known = true;
	payment_finding_exec(h->tx, h->call->arena,
			     &(struct payment_finding){.kind = kind,
						       .gateway_id = h->event.object_id,
						       .detail = detail,
						       .currency = h->event.currency,
						       .subject_id = &h->payment_id,
						       .show_id = &h->show_id,
						       .booking_id = &h->booking_id,
						       .amount_minor = h->event.amount_minor},
			     fn, h);
}

static void note_foreign_refund(struct hook *h, bool failed)
{
	struct uuid event_id = crypto_uuid_v7(wall_now_us()), outbox_id = crypto_uuid_v7(wall_now_us());
	struct pg_args args;

	pg_args_init(&args, h->call->arena);
	pg_arg_uuid(&args, &h->show_id);
	pg_arg_uuid(&args, &h->payment_id);
	pg_arg_uuid(&args, &event_id);
	pg_arg_text(&args, str_from(h->event.object_id));
	pg_arg_i64(&args, h->event.amount_minor);
	pg_arg_text(&args, str_from(h->event.currency));
	pg_arg_bool(&args, failed);
	pg_arg_uuid(&args, &h->booking_id);
	pg_arg_uuid(&args, &outbox_id);
	pg_tx_exec(h->tx, &payment_sql_refund_foreign, &args, on_last, h);
}

/*
 * Somebody gave money back past us, of what counts as paid here. (What was only held is told as refunded when it is cancelled.)
 * In the trail is what has succeeded, and that it has failed since.
 */
static void find_foreign_refund(struct hook *h)
{
	bool failed = h->event.seen == SEEN_REFUSED;
	bool told = failed || h->event.seen == SEEN_PAID;

	if (h->state != PAYMENT_AUTHORISED && h->state != PAYMENT_CAPTURED && !h->late) {
		hook_commit(h);
		return;
	}
	told &= h->event.object_id[0] && h->event.currency[0] && h->event.amount_minor > 0;
	if (told)
		payments_lock(h->tx, h->call->arena, &h->show_id, &h->booking_id, NULL, NULL);
	if (!failed)
		find_money(h, "foreign_refund", "the gateway gave money back that nobody asked for here",
			   told ? NULL : on_last);
	if (told)
		note_foreign_refund(h, failed);
	else if (failed)
		hook_commit(h);
}

/* ---- of a refund ---- */

static void on_refund(void *arg, const struct pg_answer *a)
{
	struct hook *h = arg;
	enum refund_state state = REFUND_REQUESTED;
	struct uuid booking, event_id = crypto_uuid_v7(wall_now_us()), outbox_id = crypto_uuid_v7(wall_now_us());
	struct pg_args args;
	char currency[4];

	if (!worked(h, a))
		return;
	if (pg_rows(a->result) == 0) {
		if (h->event.seen == SEEN_PAID || h->event.seen == SEEN_NEW || h->event.seen == SEEN_REFUSED)
			find_foreign_refund(h); /* it has our mark, and we do not know it */
		else
			hook_commit(h);
		return;
	}
	h->known = true;
	refund_state_parse(pg_get_text(a->result, 0, 0), &state);
	h->ask_refund = state == REFUND_REQUESTED || state == REFUND_PENDING;
	if (state != REFUND_SUCCEEDED || h->event.seen != SEEN_REFUSED) {
		hook_commit(h);
		return;
	}
	booking = pg_get_uuid(a->result, 0, 2);
	/* who says the same meanwhile waits here: what the trail has is looked at by a statement that begins afterwards */
	payments_lock(h->tx, h->call->arena, &h->show_id, &booking, NULL, NULL);
	snprintf(currency, sizeof(currency), "%.*s", STR_FMT(pg_get_text(a->result, 0, 4)));
	payment_finding_exec(
		h->tx, h->call->arena,
		&(struct payment_finding){.kind = "refund_reversed",
					  .gateway_id = h->event.object_id,
					  .detail = "it had succeeded, and failed at the gateway afterwards",
					  .currency = currency,
					  .subject_id = &h->event.refund_id,
					  .show_id = &h->show_id,
					  .booking_id = &booking,
					  .amount_minor = pg_get_int(a->result, 0, 3)},
		NULL, NULL);
	pg_args_init(&args, h->call->arena);
	pg_arg_uuid(&args, &h->show_id);
	pg_arg_uuid(&args, &h->event.refund_id);
	pg_arg_uuid(&args, &event_id);
	pg_arg_uuid(&args, &outbox_id);
	pg_tx_exec(h->tx, &payment_sql_refund_reverse, &args, on_last, h);
}

static void hint_refund(struct hook *h)
{
	struct pg_args args;

	pg_args_init(&args, h->call->arena);
	pg_arg_uuid(&args, &h->show_id);
	pg_arg_uuid(&args, &h->event.refund_id);
	pg_tx_exec(h->tx, &payment_sql_refund_hint, &args, on_refund, h);
}

/* ---- */

static void on_found(void *arg, const struct pg_answer *a)
{
	struct hook *h = arg;

	if (!worked(h, a))
		return;
	if (pg_rows(a->result) == 0) {
		hook_commit(h); /* somebody else's, or not known by that name yet */
		return;
	}
	h->show_id = pg_get_uuid(a->result, 0, 0);
	h->payment_id = pg_get_uuid(a->result, 0, 1);
	h->booking_id = pg_get_uuid(a->result, 0, 2);
	payment_state_parse(pg_get_text(a->result, 0, 3), &h->state);
	h->late = pg_get_bool(a->result, 0, 4);
	if (h->event.about == ABOUT_REFUND)
		hint_refund(h);
	else if (h->event.about == ABOUT_FOREIGN_REFUND)
		find_foreign_refund(h);
	else if (h->event.about == ABOUT_DISPUTE)
		find_money(h, "dispute", "the buyer's bank disputes the charge", on_last);
	else
		hint_payment(h);
}

static void on_event(void *arg, const struct pg_answer *a)
{
	struct hook *h = arg;
	struct pg_args args;

	if (!worked(h, a))
		return;
	h->again = pg_get_int(a->result, 0, 0) > 1;
	if (h->again || h->event.about == ABOUT_NOTHING || h->event.intent_id[0] == '\0') {
		hook_commit(h);
	} else if (h->event.has_attempt) {
		h->show_id = h->event.show_id;
		h->payment_id = h->event.payment_id;
		hint_payment(h);
	} else {
		pg_args_init(&args, h->call->arena);
		pg_arg_text(&args, str_from(h->event.intent_id));
		pg_tx_exec(h->tx, &payment_sql_payment_of_intent, &args, on_found, h);
	}
}

static void refuse_signature(struct hook *h, enum webhook_signed how)
{
	static const struct {
		enum err code;
		enum metric_webhook_outcome outcome;
		const char *detail;
	} rows[] = {
		[WEBHOOK_UNSIGNED] = {ERR_SIGNATURE_MISSING, WEBHOOK_OUTCOME_UNSIGNED, NULL},
		[WEBHOOK_MALFORMED] =
			{ERR_SIGNATURE_INVALID, WEBHOOK_OUTCOME_FORGED,
			 "The header Stripe-Signature must have one t and a v1 of 64 hexadecimal digits."},
		[WEBHOOK_FORGED] = {ERR_SIGNATURE_INVALID, WEBHOOK_OUTCOME_FORGED, NULL},
		[WEBHOOK_STALE] = {ERR_SIGNATURE_TOO_OLD, WEBHOOK_OUTCOME_STALE, NULL},
		[WEBHOOK_FUTURE] =
			{ERR_SIGNATURE_TOO_OLD, WEBHOOK_OUTCOME_STALE,
			 "The signature's time lies more than 300 seconds in the future: compare the clocks."},
	};

	count(h->p, rows[how].outcome);
	web_refuse(h->call, rows[how].code, rows[how].detail);
}

void payment_webhook_post(struct web_call *call)
{
	struct payment_service *p = call->service;
	struct hook *h = arena_new(call->arena, struct hook);
	struct str secrets[WEBHOOK_SECRETS_MAX];
	struct error error = {0};
	enum webhook_signed how;
	struct pg_args args;
	int64_t now_us = wall_now_us();

	h->p = p;
	h->call = call;
	if (p->n_webhook_secrets == 0) {
		count(p, WEBHOOK_OUTCOME_UNCONFIGURED);
		web_refuse(call, ERR_NOT_FOUND,
			   "No secret for the gateway's events is configured here (payment-webhook-secret-file).");
		return;
	}
	for (size_t i = 0; i < p->n_webhook_secrets; i++)
		secrets[i] = str_from(p->webhook_secrets[i]);
	how = webhook_check(http_req_header(call->req, "stripe-signature"), call->req->body, secrets,
			    p->n_webhook_secrets, now_us, crypto_hmac_sha256);
	if (how != WEBHOOK_SIGNED) {
		refuse_signature(h, how);
		return;
	}
	if (!webhook_read(call->req->body, &h->event, &error)) {
		count(p, WEBHOOK_OUTCOME_MALFORMED);
		web_refuse_error(call, &error);
		return;
	}
	h->tx = pg_tx_start(p->config.pg, NULL, PAYMENT_TX_MS);
	pg_args_init(&args, call->arena);
	pg_arg_text(&args, str_from(h->event.id));
	pg_arg_text(&args, str_from(h->event.type));
	pg_arg_text(&args, str_from(h->event.object_id));
	pg_arg_text(&args, str_from(h->event.intent_id));
	pg_arg_time(&args, h->event.created_us ? h->event.created_us : now_us);
	pg_tx_exec(h->tx, &payment_sql_webhook_event, &args, on_event, h);
}
