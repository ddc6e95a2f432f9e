/*
 * Drives of attempts: payment_drive.c, step by step, with the transactions of payment_moves.c.
 *
 *   taken --> think --+--> is about to do: one transaction --+--> waits for the gateway --> answered --> think
 *                     |                                      +--> think, or through
 *                     +--> waits (reading the intent needs no transaction)
 *
 * Between any two of these everything else may happen. A statement that finds nothing ends the drive.
 */
#include "explore.h"

#include "base/times.h"

#include <string.h>

bool attempt_live(const struct attempt *a)
{
	return a->state == PAYMENT_CREATED || a->state == PAYMENT_REQUIRES_ACTION || a->state == PAYMENT_AUTHORISED ||
	       a->state == PAYMENT_CAPTURED;
}

bool attempt_ended(const struct attempt *a)
{
	return a->state >= PAYMENT_CAPTURED && a->state < PAYMENT_STATES;
}

int drive_free_slot(const struct world *w, int attempt)
{
	int slot = -1, n = 0;

	for (int i = 0; i < DRIVES; i++)
		if (!w->drives[i].used)
			slot = i;
		else
			n += w->drives[i].attempt == attempt;
	return n < DRIVES_EACH ? slot : -1;
}

static const char *who(const struct drive *d)
{
	if (d->fresh)
		return d->current ? "the request" : "the request, overtaken,";
	return d->current ? "a later drive" : "a later drive, overtaken,";
}

void drive_end(struct drive *d)
{
	memset(d, 0, sizeof(*d));
}

static bool sends(int action)
{
	return action == DO_CREATE || action == DO_CONFIRM || action == DO_CAPTURE || action == DO_CANCEL;
}

/* payment_decide, or what would stand there without a guard. */
static enum payment_action decide(struct model *m, const struct payment_view *v, const struct payment_observation *o)
{
	enum payment_action a = payment_decide(v, o);

	m->actions |= UINT64_C(1) << a;
	if (!guarded(m, GUARD_CANCEL_FIRST) && a == DO_CANCEL && o->seen == SEEN_NEW)
		a = DO_RELEASE; /* "it is not confirmed": taken for a proof */
	if (!guarded(m, GUARD_BOUND_RULE) && a == DO_ABANDON && (o->seen == SEEN_HELD || o->seen == SEEN_PAID))
		a = DO_AUTHORISE;
	if (!guarded(m, GUARD_BOOK_FIRST) && a == DO_AUTHORISE && o->seen == SEEN_HELD)
		a = DO_CAPTURE; /* first the money, then the seats */
	return a;
}

static void think(struct model *m, struct world *w, struct drive *d, enum payment_seen seen, enum payment_step step,
		  bool differs)
{
	static const int64_t clock_us[] = {[IN_TIME] = 0, [EXPIRED] = 10, [PAST_ACTION] = 20, [PAST_HOLD] = 30};
	struct payment_view v = {.state = (enum payment_state)d->state,
				 .fresh = d->fresh,
				 .has_intent = d->has_intent,
				 .confirm_called = d->confirm_called,
				 .cancel_called = d->cancel_called && guarded(m, GUARD_CANCEL_STANDS),
				 .void_wanted = d->void_wanted,
				 .now_us = clock_us[w->buyers[buyer_of(d->attempt)].phase],
				 .action_until_us = clock_us[PAST_ACTION],
				 .hold_until_us = clock_us[PAST_HOLD]};
	struct payment_observation o = {.seen = seen, .step = step, .differs = {differs ? '!' : '\0'}};
	enum payment_action a = decide(m, &v, &o);

	d->waits = 0;
	d->action = DO_NOTHING;
	d->seen = SEEN_NOTHING;
	if (!d->failed)
		d->step = d->key = 0;
	if (a == DO_NOTHING || (a == DO_WAIT && !d->failed)) {
		drive_end(d); /* payment_rest: it is due already, nothing changes */
	} else if (a == DO_RETRIEVE) {
		d->waits = 1;
		d->step = STEP_RETRIEVE;
		d->key = d->failed = 0; /* drive_begin records an answer under the name of the last step */
	} else {
		d->action = a;
		/* of what was seen only this has a say in what is written */
		if ((a == DO_RELEASE && seen == SEEN_CANCELED) || (a == DO_AUTHORISE && seen == SEEN_PAID))
			d->seen = seen;
	}
}

void drive_think(struct model *m, struct world *w, struct drive *d, enum payment_seen seen, enum payment_step step)
{
	think(m, w, d, seen, step, false);
}

void drive_send(struct world *w, struct drive *d, enum payment_step step, int key)
{
	d->waits = 1;
	d->action = DO_NOTHING;
	d->seen = SEEN_NOTHING;
	d->step = step;
	d->key = (uint32_t)key & 7;
	d->failed = 0;
}

/* payment_answer.sql */
static void record(struct world *w, const struct drive *d)
{
	if (d->failed && d->step == STEP_CAPTURE && d->key == w->attempts[d->attempt].capture.no)
		w->attempts[d->attempt].capture.failed = 1;
	if (d->failed && d->step == STEP_CANCEL && d->key == w->attempts[d->attempt].cancel.no)
		w->attempts[d->attempt].cancel.failed = 1;
}

/* Apart from itself and from what was answered to a call, did it change anything? */
static bool changed(const struct world *before, const struct world *after)
{
	struct world x = *after;

	memcpy(x.drives, before->drives, sizeof(x.drives));
	for (int i = 0; i < ATTEMPTS; i++) {
		x.attempts[i].capture.failed = before->attempts[i].capture.failed;
		x.attempts[i].cancel.failed = before->attempts[i].cancel.failed;
	}
	return memcmp(&x, before, sizeof(x)) != 0;
}

static void try_overtaken(struct model *m, struct world *w, int slot)
{
	struct world after = *w;

	if (drive_act(m, &after, &after.drives[slot]) && changed(w, &after))
		w->fault = FAULT_OVERTAKEN;
	drive_end(&w->drives[slot]);
}

/* payment_create.sql: the attempt as its maker knows it, read where it is made */
void drive_first(struct model *m, struct world *w, struct drive *d)
{
	const struct attempt *a = &w->attempts[d->attempt];

	d->current = 1;
	d->state = a->state;
	d->has_intent = a->has_intent;
	d->confirm_called = a->confirm_called;
	d->cancel_called = a->cancel.no > 0;
	d->void_wanted = a->void_wanted;
	drive_think(m, w, d, SEEN_NOTHING, STEP_NONE);
}

/* drive_commit: its transaction has no second thought. */
static bool sent_with_commit(int action)
{
	return action == DO_CONFIRM || action == DO_CAPTURE || action == DO_CANCEL || action == DO_CAPTURED;
}

static void walk_action(struct walk *k, int slot)
{
	struct world w = *k->from;
	const struct drive before = w.drives[slot];
	struct drive *d = &w.drives[slot];
	const char *name = attempt_names[before.attempt];

	if (before.action == ACTION_READ) {
		drive_first(k->m, &w, d);
		went(k, &w, true, "%s: the request reads its attempt", name);
		return;
	}
	if (before.action == DO_AUTHORISE &&
	    before.current) { /* card_seats.sql: rolled back, as when the seats cannot be had */
		drive_think(k->m, &w, d, SEEN_OVER_LIMIT, STEP_NONE);
		went(k, &w, false, "%s: the card has as many seats of the event as it may", name);
		w = *k->from;
	}
	record(&w, d);
	if (!drive_act(k->m, &w, d)) {
		w = *k->from;
		if (sent_with_commit((int)before.action)) /* what was answered stays written */
			record(&w, d);
		drive_end(&w.drives[slot]);
		went(k, &w, true, "%s: %s wants %s and finds nothing to do", name, who(&before),
		     before.action == ACTION_BOOK ? "book" : payment_action_name((enum payment_action)before.action));
		return;
	}
	if (!before.current && changed(k->from, &w))
		w.fault = FAULT_OVERTAKEN;
	went(k, &w, true, "%s: %s commits %s%s", name, who(&before),
	     before.action == ACTION_BOOK ? "book" : payment_action_name((enum payment_action)before.action),
	     sends((int)before.action) ? "'s row and sends it" : "");
}

static enum call call_of(unsigned step)
{
	return step == STEP_CREATE    ? CALL_CREATE
	       : step == STEP_CONFIRM ? CALL_CONFIRM
	       : step == STEP_CAPTURE ? CALL_CAPTURE
				      : CALL_CANCEL;
}

static void answered(struct walk *k, struct world *w, int slot, enum answer answer, bool settles, const char *text)
{
	const struct drive before = k->from->drives[slot];
	struct drive *d = &w->drives[slot];
	enum payment_seen seen = k->m->seen[before.step][answer];

	d->failed = answer == ANSWER_500 && before.step != STEP_RETRIEVE;
	drive_think(k->m, w, d, seen, (enum payment_step)before.step);
	if (d->used && !d->current && !k->m->patient && guarded(k->m, GUARD_GENERATION) && !d->failed) {
		if (d->waits) /* it would read the intent, and then find nothing */
			drive_end(d);
		else
			try_overtaken(k->m, w, slot);
	}
	went(k, w, settles, "%s: %s's %s (key %d): %s", attempt_names[before.attempt], who(&before),
	     payment_step_name((enum payment_step)before.step), (int)before.key, text);
}

static const char *const intent_says[] = {"there is none",     "not confirmed",	     "the bank waits for the buyer",
					  "the money is held", "the money is taken", "cancelled",
					  "declined"};

static void walk_answer(struct walk *k, int slot)
{
	const struct drive *d = &k->from->drives[slot];
	struct outcome out[OUTCOMES];
	int n;

	if (d->step == STEP_RETRIEVE) {
		struct world w = *k->from;

		answered(k, &w, slot, gateway_read(&w, d->attempt), true, intent_says[w.attempts[d->attempt].intent]);
		return;
	}
	n = gateway_post(k->from, d->attempt, call_of(d->step), d->key, out);
	for (int i = 0; i < n; i++)
		answered(k, &out[i].w, slot, out[i].answer, i == 0, out[i].words);
}

void walk_drives(struct walk *k)
{
	for (int i = 0; i < DRIVES; i++)
		if (k->from->drives[i].used && k->from->drives[i].waits)
			walk_answer(k, i);
		else if (k->from->drives[i].used)
			walk_action(k, i);
}

/* ---- what may go wrong ---- */

static void lose_call(struct walk *k, int slot, enum answer answer, bool late, bool kept, const char *text)
{
	const struct drive d = k->from->drives[slot];
	struct world w = *k->from;

	w.losses--;
	if (late)
		gateway_make_late(k->m, &w, d.attempt, call_of(d.step), d.key);
	if (kept)
		gateway_store(&w, d.attempt, call_of(d.step), d.key, ANSWER_500);
	answered(k, &w, slot, answer, false, text);
}

static void walk_lost_call(struct walk *k, int slot)
{
	const struct drive d = k->from->drives[slot];
	struct outcome out[OUTCOMES];
	struct world w;
	bool first;
	int n;

	/* Never arriving is arriving late, never. */
	n = d.step == STEP_CONFIRM ? gateway_post(k->from, d.attempt, CALL_CONFIRM, d.key, out) : 0;
	for (int i = 0; i < n && out[i].answer < ANSWER_402; i++) { /* payment_compare: another amount than was asked */
		w = out[i].w;
		w.losses--;
		think(k->m, &w, &w.drives[slot], k->m->seen[d.step][out[i].answer], STEP_CONFIRM, true);
		went(k, &w, false, "%s: %s's confirm: %s, but not as it was asked", attempt_names[d.attempt], who(&d),
		     out[i].words);
	}
	lose_call(k, slot, ANSWER_LOST, d.step != STEP_RETRIEVE, false, "no answer; it may still arrive");
	if (d.step == STEP_CREATE || d.step == STEP_RETRIEVE)
		return;
	first = !gateway_stored(k->from, d.attempt, call_of(d.step), d.key);
	if (first)
		lose_call(k, slot, ANSWER_500, false, true, "answered 500, not done");
	if (d.step == STEP_CONFIRM) {
		lose_call(k, slot, ANSWER_UNSENT, true, false,
			  "not let in when it was repeated; the first copy is on its way");
		return; /* a confirmation is not made twice: the rest is like no answer */
	}
	lose_call(k, slot, ANSWER_500, true, false, "answered 503 by a proxy; a copy is on its way");
	n = gateway_post(k->from, d.attempt, call_of(d.step), d.key, out);
	for (int i = 0; first && i < n && out[i].answer < ANSWER_402; i++) {
		w = out[i].w;
		w.losses--;
		gateway_store(&w, d.attempt, call_of(d.step), d.key, ANSWER_500);
		answered(k, &w, slot, ANSWER_500, false, "answered 500, but done");
	}
}

void walk_drive_losses(struct walk *k)
{
	for (int i = 0; i < DRIVES; i++) {
		const struct drive d = k->from->drives[i];
		struct world w = *k->from;

		if (d.used && d.waits && w.losses)
			walk_lost_call(k, i);
		if (d.used && d.action == DO_CREATE && w.losses) {
			w.losses--;
			drive_think(k->m, &w, &w.drives[i], SEEN_UNKNOWN, STEP_CREATE);
			went(k, &w, false, "%s: the request makes an intent, and learns nothing of it",
			     attempt_names[d.attempt]);
			w = *k->from;
		}
		if (!d.used || !w.crashes)
			continue;
		w.crashes--;
		if (d.waits && d.step != STEP_RETRIEVE)
			gateway_make_late(k->m, &w, d.attempt, call_of(d.step), d.key);
		drive_end(&w.drives[i]);
		went(k, &w, false, "%s: %s dies, or does not learn of its COMMIT", attempt_names[d.attempt], who(&d));
	}
}

/* ---- taking an attempt over ---- */

static bool driven(const struct world *w, int attempt)
{
	for (int i = 0; i < DRIVES; i++)
		if (w->drives[i].used && w->drives[i].attempt == (unsigned)attempt)
			return true;
	return false;
}

/*
 * Its generation is raised. Whoever was at it finds nothing with its next statement, whenever that comes: it is tried here once,
 * and the drive is gone, unless it has something to tell of a call (payment_answer.sql has no generation). A confirmation that
 * it waits for may arrive like any that nobody waits for.
 */
void drive_overtake(struct model *m, struct world *w, int attempt)
{
	for (int i = 0; i < DRIVES; i++) {
		struct drive *d = &w->drives[i];

		if (!d->used || d->attempt != (unsigned)attempt)
			continue;
		d->current = 0;
		if (m->patient || !guarded(m, GUARD_GENERATION) || d->action == ACTION_READ)
			continue;
		if (d->waits && d->step == STEP_CONFIRM)
			gateway_make_late(m, w, attempt, CALL_CONFIRM, 1);
		if (d->waits && (d->step == STEP_CONFIRM || d->step == STEP_RETRIEVE))
			drive_end(d);
		else if (!d->waits && !d->failed)
			try_overtaken(m, w, i);
	}
}

/* payment_lease.sql. Its time may come at any moment, so that being asked (GET, the same key again, an event of the gateway)
 * is the same step: those states are due anyway. */
void walk_takes(struct walk *k)
{
	for (int i = 0; i < ATTEMPTS; i++) {
		struct world w = *k->from;
		const struct attempt *a = &w.attempts[i];
		int slot = drive_free_slot(&w, i);
		struct drive *d;

		if (a->state == NO_PAYMENT || !a->due || slot < 0)
			continue;
		if (driven(&w, i)) {
			if (!w.sleepers)
				continue;
			w.sleepers--;
		}
		drive_overtake(k->m, &w, i);
		d = &w.drives[slot];
		*d = (struct drive){.used = 1,
				    .attempt = (unsigned)i & 3,
				    .current = 1,
				    .state = a->state,
				    .has_intent = a->has_intent,
				    .confirm_called = a->confirm_called,
				    .cancel_called = a->cancel.no > 0,
				    .void_wanted = a->void_wanted};
		drive_think(k->m, &w, d, SEEN_NOTHING, STEP_NONE);
		if (d->used &&
		    d->waits) { /* the first look at the intent: what came before it can as well have come before */
			bool lost = w.losses;
			struct world blind = w;

			drive_think(k->m, &w, d, k->m->seen[STEP_RETRIEVE][gateway_read(&w, i)], STEP_RETRIEVE);
			went(k, &w, true, "%s: somebody takes it over (%s) and reads the intent: %s", attempt_names[i],
			     payment_state_name((enum payment_state)a->state), intent_says[a->intent]);
			if (!lost)
				continue;
			w = blind;
			w.losses--;
			drive_think(k->m, &w, d, SEEN_UNKNOWN, STEP_RETRIEVE);
			went(k, &w, false, "%s: somebody takes it over (%s) and cannot read the intent",
			     attempt_names[i], payment_state_name((enum payment_state)a->state));
			continue;
		}
		went(k, &w, true, "%s: somebody takes it over (%s)", attempt_names[i],
		     payment_state_name((enum payment_state)a->state));
	}
}
