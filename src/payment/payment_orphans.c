/*
 * The orphan scan: every intent that the gateway has made in 48 hours is held against our own attempts (orphans.h). One page per
 * round of the duty; a round ends when all of its page is dealt with.
 *
 *   RESTING --time--> page asked for --> each intent: looked up --> fine
 *      ^                   |                               +--> ended here: due for the settling duty (void_wanted)
 *      |                   |                               +--> a finding, in a transaction of its own
 *      |                   |                               +--> no such attempt: the finding committed, then cancelled there
 *      |                   +-- no such page: the same one again, soon
 *      +-- the last page, or as many as are allowed
 *
 * Where the scan is stands in memory: whoever takes the duty over begins again, which costs reading and changes nothing. What is
 * changed at the gateway without an attempt of ours has a key derived from the intent's id and its finding, so that a repetition
 * is the same call. Freed with the service.
 */
#include "base/times.h"
#include "base/xmalloc.h"
#include "io/log.h"
#include "io/metrics_table.h"
#include "payment/orphans.h"
#include "payment/payment_int.h"
#include "payment/payment_sql.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAGES_MAX = 20000, AGAIN_MS = 5000, BACK_HOURS = 48 };

struct orphan_scan {
	struct payment_service *p;
	int64_t every_ms, min_age_s, since_s; /* since_s 0: BACK_HOURS */
	bool refund;
	int64_t next_us; /* loop time; 0: at once */
	int64_t from_s;	 /* of the pass under way: intents made since */
	char after[PAYMENT_ID_MAX];
	int pages;
	/* the round */
	struct arena arena;
	struct gateway_going going;
	struct orphan_page page;
	int waiting;
	bool failed;
	payment_settled_fn *fn;
	void *arg;
};

/* One intent of the page, in the round's arena. */
struct look {
	struct orphan_scan *s;
	const struct orphan_intent *intent;
	enum orphan_verdict verdict;
	bool show_known;
	struct gateway_going going;
};

struct orphan_scan *orphan_scan_new(struct payment_service *p, int64_t every_ms, int64_t min_age_s)
{
	struct orphan_scan *s = xcalloc(1, sizeof(*s));

	s->p = p;
	s->every_ms = every_ms;
	s->min_age_s = min_age_s;
	arena_init(&s->arena);
	return s;
}

void orphan_scan_free(struct orphan_scan *s)
{
	if (!s)
		return;
	arena_done(&s->arena);
	free(s);
}

void orphan_scan_since(struct orphan_scan *s, int64_t since_s, bool refund)
{
	s->since_s = since_s;
	s->refund = refund;
}

/* ---- the end of a round ---- */

static void scan_rest(struct orphan_scan *s, int64_t ms)
{
	s->next_us = loop_now_us(s->p->config.loop) + ms * 1000;
}

static void scan_told(struct orphan_scan *s, bool ok, bool more)
{
	payment_settled_fn *fn = s->fn;

	s->fn = NULL;
	arena_done(&s->arena);
	arena_init(&s->arena);
	fn(s->arg, ok, more);
}

static void on_purged(void *arg, const struct pg_answer *a)
{
	struct orphan_scan *s = arg;

	scan_told(s, a->status == PG_OK, false);
}

/* A pass has reached its end. Events that the gateway has long given up go with it. */
static void scan_complete(struct orphan_scan *s)
{
	struct pg_args args;

	metric_add(s->p->config.metrics, METRIC_ORPHAN_SCANS, ORPHAN_SCAN_COMPLETE, 0, 1);
	s->after[0] = '\0';
	s->pages = 0;
	scan_rest(s, s->every_ms);
	pg_args_init(&args, &s->arena);
	pg_query_start(s->p->config.pg, &payment_sql_webhook_purge, &args, PAYMENT_QUERY_MS, on_purged, s);
}

static void scan_failed(struct orphan_scan *s)
{
	metric_add(s->p->config.metrics, METRIC_ORPHAN_SCANS, ORPHAN_SCAN_FAILED, 0, 1);
	scan_rest(s, AGAIN_MS < s->every_ms ? AGAIN_MS : s->every_ms);
	scan_told(s, false, false);
}

static void look_done(struct orphan_scan *s)
{
	if (--s->waiting)
		return;
	if (s->failed) {
		scan_failed(s); /* the same page again: what was dealt with is fine by then */
		return;
	}
	memcpy(s->after, s->page.last, sizeof(s->after));
	if (!s->page.more) {
		scan_complete(s);
	} else if (++s->pages >= PAGES_MAX) {
		log_line(LOG_WARN, "the orphan scan ends before its end: too many intents", LOG_I("pages", s->pages));
		scan_complete(s);
	} else {
		scan_told(s, true, true);
	}
}

static void look_failed(struct look *l)
{
	l->s->failed = true;
	look_done(l->s);
}

/* ---- what is to be done about one ---- */

static void on_written(void *arg, const struct pg_answer *a)
{
	struct look *l = arg;

	if (a->status != PG_OK)
		look_failed(l);
	else
		look_done(l->s);
}

/* (That another amount was taken or asked for stays for a person, whatever becomes of the intent.) */
static void resolve(struct look *l, const char *how)
{
	static const struct str kinds[] = {{"orphan_intent", 13}, {"second_intent", 13}, {"capture_missing", 15}};

	payment_findings_resolve(l->s->p->config.pg, &l->s->arena, l->intent->id, kinds,
				 sizeof(kinds) / sizeof(kinds[0]), how, on_written, l);
}

static void on_cancelled(void *arg, const struct gateway_answer *answer)
{
	struct look *l = arg;
	struct payment_observation o;

	payment_observe(STEP_CANCEL, answer->http_status, answer->sent, answer->body, &o);
	if (o.seen == SEEN_CANCELED) {
		log_line(LOG_WARN, "an intent without an attempt was cancelled", LOG_C("intent", l->intent->id));
		resolve(l, "cancelled at the gateway");
	} else {
		look_done(l->s); /* the finding stays open, the next pass sees it again */
	}
}

static void on_orphan_found(void *arg, const struct pg_answer *a)
{
	struct look *l = arg;
	const char *id = l->intent->id;

	if (a->status != PG_OK) {
		look_failed(l);
		return;
	}
	if (!pg_get_bool(a->result, 0, 1)) {
		look_done(l->s); /* a person has settled it: not ours to touch any more */
		return;
	}
	/* a 5xx is repeated by the gateway for its key: the next pass has another one */
	gateway_call(l->s->p, &l->going, STEP_CANCEL,
		     arena_printf(&l->s->arena, "orphan-%s-%lld", id, (long long)pg_get_int(a->result, 0, 0)),
		     arena_printf(&l->s->arena, "/v1/payment_intents/%s/cancel", id), STR(""), on_cancelled, l);
}

/* ---- money for nobody, after a restore ---- */

static void on_given_back(void *arg, const struct gateway_answer *answer)
{
	struct look *l = arg;
	char code[PAYMENT_CODE_MAX] = "";
	struct pg_args args;

	if (answer->http_status >= 400 && answer->http_status < 500)
		payment_error_code(answer->body, code);
	if (answer->http_status != 200 && strcmp(code, "charge_already_refunded") != 0) {
		look_failed(l); /* the same page, the same key: given back once */
		return;
	}
	log_line(LOG_WARN, "a payment without a booking is given back", LOG_C("intent", l->intent->id));
	/* settled as by a person, who has asked for it: it does not come up again with the next scan */
	pg_args_init(&args, &l->s->arena);
	pg_arg_text(&args, str_from(l->intent->id));
	pg_query_start(l->s->p->config.pg, &payment_sql_orphan_returned, &args, PAYMENT_QUERY_MS, on_written, l);
}

static void on_payment_found(void *arg, const struct pg_answer *a)
{
	struct look *l = arg;

	if (a->status != PG_OK) {
		look_failed(l);
		return;
	}
	if (!pg_get_bool(a->result, 0, 1)) {
		look_done(l->s); /* it was seen to */
		return;
	}
	/* all that is left of it: what was given back already does not count twice */
	gateway_call(l->s->p, &l->going, STEP_REFUND, arena_printf(&l->s->arena, "orphan-refund-%s", l->intent->id),
		     "/v1/refunds", str_from(arena_printf(&l->s->arena, "payment_intent=%s", l->intent->id)),
		     on_given_back, l);
}

static const char *detail(const struct look *l)
{
	static const char *const said[ORPHAN_VERDICTS] = {
		[ORPHAN_CANCEL] = "the gateway has an open intent for an attempt that is not in the database",
		[ORPHAN_STRANGE] = "the gateway has an open intent for a show that is not in the database; nothing was "
				   "done about it",
		[ORPHAN_PAYMENT] = "the gateway has taken money for an attempt that is not in the database",
		[ORPHAN_SECOND] = "the gateway has a second intent of an attempt, open or paid",
		[ORPHAN_AMOUNT] = "the gateway has taken another amount than the attempt's",
		[ORPHAN_UNCAPTURED] = "captured here, but not paid at the gateway",
	};

	return said[l->verdict];
}

static void find(struct look *l, pg_fn *fn)
{
	const struct orphan_intent *i = l->intent;
	struct payment_finding f = {.kind = orphan_finding(l->verdict),
				    .gateway_id = i->id,
				    .detail = detail(l),
				    .currency = i->currency,
				    .subject_id = &i->payment_id,
				    .show_id = &i->show_id,
				    .booking_id = &i->booking_id,
				    .amount_minor = i->received_minor ? i->received_minor : i->amount_minor};

	payment_finding_query(l->s->p->config.pg, &l->s->arena, &f, fn, l);
}

static void want_void(struct look *l)
{
	struct payment_again again = {.show_id = l->intent->show_id,
				      .payment_id = l->intent->payment_id,
				      .intent_id = l->intent->id,
				      .actor = "reconciler",
				      .why = "the orphan scan found its intent open or paid"};
	struct pg_args args;

	payment_void_again_args(&args, &l->s->arena, &again);
	pg_query_start(l->s->p->config.pg, &payment_sql_payment_void_again, &args, PAYMENT_QUERY_MS, on_written, l);
}

static void on_looked(void *arg, const struct pg_answer *a)
{
	struct look *l = arg;
	const struct pg_result *r = a->result;
	struct orphan_attempt attempt = {0};

	if (a->status != PG_OK || pg_rows(r) == 0) {
		look_failed(l);
		return;
	}
	attempt.show_known = pg_get_bool(r, 0, 0);
	attempt.known = pg_get_bool(r, 0, 1);
	payment_state_parse(pg_get_text(r, 0, 2), &attempt.state);
	attempt.intent_id = pg_get_text(r, 0, 3);
	attempt.void_wanted = pg_get_bool(r, 0, 4);
	attempt.refunded = pg_get_bool(r, 0, 5);
	attempt.amount_minor = pg_get_int(r, 0, 6);
	attempt.currency = pg_get_text(r, 0, 7);
	l->verdict = orphan_decide(l->intent, &attempt);
	l->show_known = attempt.show_known;
	metric_add(l->s->p->config.metrics, METRIC_ORPHANS, (int)l->verdict, 0, 1);
	switch (l->verdict) {
	case ORPHAN_FINE:
		if (pg_get_int(r, 0, 8))
			resolve(l, "in order at the gateway");
		else
			look_done(l->s);
		return;
	case ORPHAN_VOID:
		want_void(l);
		return;
	case ORPHAN_CANCEL:
		find(l, on_orphan_found);
		return;
	case ORPHAN_STRANGE:
	case ORPHAN_PAYMENT:
	case ORPHAN_SECOND:
	case ORPHAN_AMOUNT:
	case ORPHAN_UNCAPTURED:
	case ORPHAN_VERDICTS:
		break;
	}
	log_line(LOG_ERROR, "the gateway's books differ from ours", LOG_C("kind", orphan_finding(l->verdict)),
		 LOG_C("intent", l->intent->id));
	find(l, l->verdict == ORPHAN_PAYMENT && l->s->refund && l->show_known ? on_payment_found : on_written);
}

static void look_at(struct orphan_scan *s, const struct orphan_intent *i)
{
	struct look *l = arena_new(&s->arena, struct look);
	struct pg_args args;

	l->s = s;
	l->intent = i;
	s->waiting++;
	pg_args_init(&args, &s->arena);
	pg_arg_uuid(&args, &i->show_id);
	pg_arg_uuid(&args, &i->payment_id);
	pg_arg_text(&args, str_from(i->id));
	pg_query_start(s->p->config.pg, &payment_sql_orphan_look, &args, PAYMENT_QUERY_MS, on_looked, l);
}

/* ---- a page ---- */

static void on_page(void *arg, const struct gateway_answer *answer)
{
	struct orphan_scan *s = arg;
	int64_t young_s = wall_now_us() / US_PER_SECOND - s->min_age_s;

	if (!orphan_page_read(answer->http_status, answer->body, &s->arena, &s->page)) {
		/* the intent we stood at is not there any more: from the beginning */
		if (answer->http_status >= 400 && answer->http_status < 500 && answer->http_status != 429)
			s->after[0] = '\0';
		scan_failed(s);
		return;
	}
	s->failed = false;
	s->waiting = 1;
	for (size_t i = 0; i < s->page.n; i++)
		if (s->page.intents[i].ours && s->page.intents[i].created_s <= young_s)
			look_at(s, &s->page.intents[i]);
	look_done(s);
}

void orphan_scan_round(struct orphan_scan *s, payment_settled_fn *fn, void *arg)
{
	s->fn = fn;
	s->arg = arg;
	/* duty_done may be called before this returns: a duty is RUNNING by then */
	if (!payment_configured(s->p) || loop_now_us(s->p->config.loop) < s->next_us) {
		fn(arg, true, false);
		return;
	}
	if (!s->after[0])
		s->from_s = s->since_s ? s->since_s : wall_now_us() / US_PER_SECOND - BACK_HOURS * INT64_C(3600);
	gateway_call(s->p, &s->going, STEP_LIST, NULL,
		     arena_printf(&s->arena, "/v1/payment_intents?created%%5Bgte%%5D=%lld&limit=100%s%s",
				  (long long)s->from_s, s->after[0] ? "&starting_after=" : "", s->after),
		     STR(""), on_page, s);
}
