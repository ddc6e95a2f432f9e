/*
 * Drives of refunds: refund_drive.c. Taken by its row; asked before: the gateway's list first; one call, one arrow.
 */
#include "explore.h"

#include <string.h>

static const char *refund_name(unsigned kind)
{
	return kind == REFUND_VOID ? "refund of everything" : "refund";
}

static struct refund *refund_of(struct world *w, const struct refund_drive *d)
{
	return &w->attempts[d->attempt].refunds[d->kind];
}

static void refund_end(struct refund_drive *d)
{
	memset(d, 0, sizeof(*d));
}

static void decide(struct refund_drive *d, enum payment_seen seen)
{
	d->step = REFUND_MOVE;
	d->seen = seen;
	if (!d->failed)
		d->key = 0;
}

/* refund_call.sql */
static void walk_call(struct walk *k, int slot)
{
	struct world w = *k->from;
	struct refund_drive *d = &w.refunds[slot];
	struct refund *r = refund_of(&w, d);
	const char *name = attempt_names[d->attempt], *what = refund_name(d->kind);

	if (r->state != REFUND_REQUESTED || (!d->current && guarded(k->m, GUARD_REFUND_GENERATION))) {
		refund_end(d);
		went(k, &w, true, "%s: a drive of its %s finds nothing to do", name, what);
		return;
	}
	d->step = REFUND_POST;
	d->key = (unsigned)call_key(k->m, &r->calls) & 7;
	r->called = 1;
	went(k, &w, true, "%s: its %s's call (key %d) is committed and sent", name, what, (int)d->key);
}

/* payment_answer.sql; refund_succeed.sql, refund_pend.sql, refund_fail.sql, refund_rest.sql */
static void walk_move(struct walk *k, int slot)
{
	struct world w = *k->from;
	struct refund_drive *d = &w.refunds[slot];
	struct refund *r = refund_of(&w, d);
	bool open = r->state == REFUND_REQUESTED || r->state == REFUND_PENDING;
	const char *name = attempt_names[d->attempt], *what = refund_name(d->kind), *how = "rests";

	/* refund_rest.sql: settle_tries = $4: whoever was overtaken writes nothing, the answer neither */
	if (d->failed && d->key == r->calls.no && (d->current || !guarded(k->m, GUARD_REFUND_GENERATION)))
		r->calls.failed = 1;
	if (d->seen == SEEN_PAID && open) {
		refund_goes(k->m, &w, r, REFUND_SUCCEEDED);
		how = "has succeeded";
	} else if (d->seen == SEEN_NEW && !d->pending && r->state == REFUND_REQUESTED) {
		refund_goes(k->m, &w, r, REFUND_PENDING);
		how = "is pending";
	} else if (d->seen == SEEN_REFUSED && open) {
		refund_goes(k->m, &w, r, REFUND_FAILED);
		how = "has failed";
	}
	refund_end(d);
	went(k, &w, true, "%s: its %s %s", name, what, how);
}

/* refund_decide: nothing is to be written but when to look again */
static bool rests(const struct refund_drive *d)
{
	return !d->failed && d->seen != SEEN_PAID && d->seen != SEEN_REFUSED && !(d->seen == SEEN_NEW && !d->pending);
}

static void answered(struct walk *k, struct world *w, int slot, enum answer answer, bool settles, const char *text)
{
	struct refund_drive *d = &w->refunds[slot];
	const struct refund_drive before = *d;

	d->failed = before.step == REFUND_POST && answer == ANSWER_500;
	if (before.step == REFUND_LIST && k->m->list_seen[answer] == SEEN_NOTHING) {
		d->step = REFUND_CALL;
		d->key = 0;
	} else {
		decide(d, before.step == REFUND_LIST ? k->m->list_seen[answer] : k->m->refund_seen[answer]);
		if (rests(d))
			refund_end(d);
	}
	went(k, w, settles, "%s: its %s, %s (key %d): %s", attempt_names[before.attempt], refund_name(before.kind),
	     before.step == REFUND_POST	  ? "call"
	     : before.step == REFUND_LIST ? "list"
					  : "reading",
	     (int)before.key, text);
}

static const char *const says[] = {"it is not there", "it is pending", "it has succeeded", "it has failed"};

static void walk_answer(struct walk *k, int slot)
{
	const struct refund_drive *d = &k->from->refunds[slot];
	struct outcome out[OUTCOMES];
	int n = gateway_post(k->from, d->attempt, CALL_REFUND_SEATS + d->kind, d->key, out);

	for (int i = 0; i < n; i++)
		answered(k, &out[i].w, slot, out[i].answer, i == 0, out[i].words);
}

void walk_refund_drives(struct walk *k)
{
	for (int i = 0; i < REFUND_DRIVES; i++) {
		const struct refund_drive *d = &k->from->refunds[i];

		if (!d->used)
			continue;
		if (d->step == REFUND_POST)
			walk_answer(k, i);
		else if (d->step == REFUND_CALL)
			walk_call(k, i);
		else
			walk_move(k, i);
	}
}

static void walk_lost_call(struct walk *k, int slot)
{
	const struct refund_drive d = k->from->refunds[slot];
	enum call call = CALL_REFUND_SEATS + d.kind;
	struct world w = *k->from, kept;
	struct outcome out[OUTCOMES];
	int n;

	w.losses--;
	kept = w;
	gateway_make_late(k->m, &w, d.attempt, call, d.key);
	answered(k, &w, slot, ANSWER_LOST, false, "no answer; it may still arrive");
	w = kept;
	if (gateway_stored(&w, d.attempt, call, d.key))
		return; /* it comes again, whatever happens */
	gateway_store(&w, d.attempt, call, d.key, ANSWER_500);
	answered(k, &w, slot, ANSWER_500, false, "answered 500, not done");
	if (!guarded(k->m, GUARD_REFUND_KEY)) { /* else a 503 keeps the key: it is like no answer */
		w = kept;
		gateway_make_late(k->m, &w, d.attempt, call, d.key);
		answered(k, &w, slot, ANSWER_500, false, "answered 503 by a proxy; a copy is on its way");
	}
	n = gateway_post(k->from, d.attempt, call, d.key, out);
	for (int i = 0; i < n && out[i].answer >= ANSWER_REFUND_SUCCEEDED; i++) {
		w = out[i].w;
		w.losses--;
		gateway_store(&w, d.attempt, call, d.key, ANSWER_500);
		answered(k, &w, slot, ANSWER_500, false, "answered 500, but done");
	}
}

void walk_refund_losses(struct walk *k)
{
	for (int i = 0; i < REFUND_DRIVES; i++) {
		const struct refund_drive d = k->from->refunds[i];
		struct world w = *k->from;

		if (d.used && d.step == REFUND_POST && w.losses) /* a list or a refund unread: nothing happens */
			walk_lost_call(k, i);
		if (!d.used || !w.crashes)
			continue;
		w.crashes--;
		if (d.step == REFUND_POST)
			gateway_make_late(k->m, &w, d.attempt, CALL_REFUND_SEATS + d.kind, d.key);
		refund_end(&w.refunds[i]);
		went(k, &w, false, "%s: the drive of its %s dies, or does not learn of its COMMIT",
		     attempt_names[d.attempt], refund_name(d.kind));
	}
}

static int free_slot(const struct world *w)
{
	for (int i = 0; i < REFUND_DRIVES; i++)
		if (!w->refunds[i].used)
			return i;
	return -1;
}

static bool refund_driven(const struct world *w, int attempt, unsigned kind)
{
	for (int i = 0; i < REFUND_DRIVES; i++)
		if (w->refunds[i].used && w->refunds[i].attempt == (unsigned)attempt && w->refunds[i].kind == kind)
			return true;
	return false;
}

/* refund_lease.sql, and what refund_drive.c makes of the row. */
static void walk_take(struct walk *k, int attempt, unsigned kind, int slot)
{
	struct world w = *k->from;
	const struct attempt *a = &w.attempts[attempt];
	const struct refund *r = &a->refunds[kind];
	struct refund_drive *d = &w.refunds[slot];

	if (a->state == PAYMENT_AUTHORISED && kind != REFUND_VOID && guarded(k->m, GUARD_REFUND_WHEN_CAPTURED))
		return; /* it rests until the capture is proven */
	if (refund_driven(&w, attempt, kind)) {
		if (!w.sleepers)
			return;
		w.sleepers--;
	}
	for (int j = 0; j < REFUND_DRIVES; j++)
		if (w.refunds[j].used && w.refunds[j].attempt == (unsigned)attempt && w.refunds[j].kind == kind)
			w.refunds[j].current = 0;
	*d = (struct refund_drive){.used = 1,
				   .attempt = (unsigned)attempt & 3,
				   .kind = kind & 1,
				   .current = 1,
				   .pending = r->state == REFUND_PENDING};
	if (a->state != PAYMENT_CAPTURED && a->state != PAYMENT_AUTHORISED && kind != REFUND_VOID)
		decide(d, SEEN_REFUSED); /* never captured: nothing to give back */
	else if (d->pending)
		d->step = REFUND_GET;
	else if (r->called && guarded(k->m, GUARD_LIST_FIRST))
		d->step = REFUND_LIST;
	else
		d->step = REFUND_CALL;
	if (d->step == REFUND_GET || d->step == REFUND_LIST) { /* looks at once: what came before it came before */
		answered(k, &w, slot, gateway_refund_read(&w, attempt, (int)kind), true, says[r->sent]);
		return;
	}
	went(k, &w, true, "%s: somebody takes its %s (%s)", attempt_names[attempt], refund_name(kind),
	     refund_state_name((enum refund_state)r->state));
}

void walk_refund_takes(struct walk *k)
{
	int slot = free_slot(k->from);

	for (int i = 0; i < ATTEMPTS && slot >= 0; i++)
		for (unsigned kind = 0; kind < REFUND_KINDS; kind++) {
			unsigned state = k->from->attempts[i].refunds[kind].state;

			if (state == REFUND_REQUESTED || state == REFUND_PENDING)
				walk_take(k, i, kind, slot);
		}
}
