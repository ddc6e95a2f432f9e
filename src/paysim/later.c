/*
 * What some cards do after a while, by the simulator's clock: a row says what happens to which charge or refund, and when.
 *
 *   charge paid     --dispute, dispute--> a dispute (twice)        --fraud_warning--> a warning
 *   refund pending  --refund_succeeds--> succeeded     refund succeeded, pending --refund_fails--> failed, the sum is free again
 *
 * The janitor takes the steps (each second, and at once when the clock is advanced), in its transaction.
 */
#include "paysim/sim.h"

#include "base/times.h"
#include "io/log.h"

static void schedule(const struct event_source *from, const char *kind, struct str subject)
{
	store_later_insert(from->sim->store, kind, subject, from->now_us + from->sim->later_us);
}

void later_after_payment(const struct event_source *from, const struct charge *charge)
{
	const struct card *card = card_find(charge->card);

	if (!card || card->after == CARD_QUIET)
		return;
	schedule(from, card->after == CARD_WARNS ? "fraud_warning" : "dispute", charge->id);
	if (card->after == CARD_DISPUTES_TWICE)
		schedule(from, "dispute", charge->id);
}

void later_after_refund(const struct event_source *from, const struct card *card, struct str refund)
{
	if (card && card->refunds != CARD_REFUNDS_AT_ONCE)
		schedule(from, card->refunds == CARD_REFUNDS_LATER ? "refund_succeeds" : "refund_fails", refund);
}

static struct str written(struct arena *a, struct buf *b)
{
	struct str text = arena_str(a, buf_str(b));

	buf_done(b);
	return text;
}

static void dispute(const struct event_source *from, struct str charge_id)
{
	const struct card *card;
	struct charge charge;
	struct intent pi;
	struct dispute d;
	char currency[4];
	struct buf b;
	struct jw w;

	if (!store_charge_get(from->sim->store, from->arena, charge_id, &charge) ||
	    !store_intent_get(from->sim->store, from->arena, charge.payment_intent, &pi))
		return;
	card = card_find(charge.card);
	currency_lower(pi.state.currency, currency);
	d = (struct dispute){
		.id = sim_id(from->arena, "du_"),
		.created_us = from->now_us,
		.charge = charge.id,
		.payment_intent = pi.id,
		.currency = str_from(currency),
		.amount = pi.state.amount_received,
		.reason = str_from(card && card->dispute_reason ? card->dispute_reason : "general"),
		.inquiry = card && card->inquiry,
		.card = charge.card,
	};
	store_dispute_insert(from->sim->store, &d);
	buf_init(&b, SIM_OBJECT_MAX);
	jw_init(&w, &b);
	object_dispute(&w, &d);
	jw_done(&w);
	sim_emit(from, "charge.dispute.created", written(from->arena, &b));
}

static void fraud_warning(const struct event_source *from, struct str charge_id)
{
	struct charge charge;
	struct buf b;
	struct jw w;

	if (!store_charge_get(from->sim->store, from->arena, charge_id, &charge))
		return;
	buf_init(&b, SIM_OBJECT_MAX);
	jw_init(&w, &b);
	object_fraud_warning(&w, sim_id(from->arena, "issfr_"), from->now_us, &charge);
	jw_done(&w);
	sim_emit(from, "radar.early_fraud_warning.created", written(from->arena, &b));
}

static void refund_ends(const struct event_source *from, struct str id, bool fails)
{
	struct store *store = from->sim->store;
	struct refund r;
	struct intent pi;
	struct str json;

	if (!store_refund_get(store, from->arena, id, &r) ||
	    !store_intent_get(store, from->arena, r.payment_intent, &pi))
		return;
	r.status = fails ? STR("failed") : STR("succeeded");
	if (fails) {
		r.failure_reason = STR("expired_or_canceled_card");
		pi.state.amount_refunded -= r.amount;
		store_intent_update(store, &pi);
	}
	store_refund_update(store, &r);
	json = refund_json(from->sim, from->arena, &r);
	sim_emit(from, "refund.updated", json);
	sim_emit(from, "charge.refund.updated", json);
	if (fails)
		sim_emit(from, "refund.failed", json);
}

bool later_run(struct sim *sim)
{
	enum { BITE = 100 };
	struct later_step steps[BITE];
	struct arena a;
	struct event_source from = {sim, &a, sim_now_us(sim), STR_NULL, STR_NULL};
	size_t n;

	arena_init(&a);
	n = store_later_due(sim->store, &a, from.now_us, steps, BITE);
	if (n && sim_begin(sim))
		for (size_t i = 0; i < n; i++) {
			if (str_eqc(steps[i].kind, "dispute"))
				dispute(&from, steps[i].subject);
			else if (str_eqc(steps[i].kind, "fraud_warning"))
				fraud_warning(&from, steps[i].subject);
			else
				refund_ends(&from, steps[i].subject, str_eqc(steps[i].kind, "refund_fails"));
			store_later_done(sim->store, steps[i].seq);
		}
	arena_done(&a);
	return n == BITE;
}
