/*
 * The gateway, as Stripe's documentation has it and src/paysim does it: an intent's states, the first answer kept for a key and
 * given again, also a 500, and calls that arrive when nobody waits for them any more.
 *
 *   NEW --confirm--> ACTION --the buyer--> HELD --capture--> PAID
 *      \------------------\--> DECLINED      \--cancel, expiry--> CANCELED   (cancel: from all but PAID)
 */
#include "explore.h"

#include <string.h>

/* ---- what the program makes of its words ---- */

#define INTENT(status_, more_) "{\"object\":\"payment_intent\",\"id\":\"pi_1\",\"status\":\"" status_ "\"" more_ "}"
#define REFUND(status_) \
	"{\"id\":\"re_1\",\"status\":\"" status_ \
	"\",\"metadata\":{\"refund\":\"01000000-0000-0000-0000-000000000000\"}}"

static const struct {
	enum answer answer;
	int http_status;
	bool sent;
	const char *body;
} words[] = {
	{ANSWER_NONE, 0, false, ""},
	{ANSWER_NEW, 200, true, INTENT("requires_payment_method", ",\"last_payment_error\":null")},
	{ANSWER_ACTION, 200, true, INTENT("requires_action", "")},
	{ANSWER_HELD, 200, true, INTENT("requires_capture", "")},
	{ANSWER_PAID, 200, true, INTENT("succeeded", "")},
	{ANSWER_CANCELED, 200, true, INTENT("canceled", "")},
	{ANSWER_WAS_DECLINED, 200, true,
	 INTENT("requires_payment_method", ",\"last_payment_error\":{\"code\":\"card_declined\"}")},
	{ANSWER_402, 402, true, "{\"error\":{\"type\":\"card_error\",\"code\":\"card_declined\"}}"},
	{ANSWER_STATE, 400, true,
	 "{\"error\":{\"type\":\"invalid_request_error\",\"code\":\"payment_intent_unexpected_state\"}}"},
	{ANSWER_400, 400, true,
	 "{\"error\":{\"type\":\"invalid_request_error\",\"code\":\"charge_already_refunded\"}}"},
	{ANSWER_500, 500, true, "{\"error\":{\"type\":\"api_error\"}}"},
	{ANSWER_LOST, 0, true, ""},
	{ANSWER_UNSENT, 0, false, ""},
	{ANSWER_REFUND_SUCCEEDED, 200, true, REFUND("succeeded")},
	{ANSWER_REFUND_PENDING, 200, true, REFUND("pending")},
	{ANSWER_REFUND_FAILED, 200, true, REFUND("failed")},
};
_Static_assert(sizeof(words) / sizeof(words[0]) == ANSWERS, "every answer has its words");

void gateway_learn(struct model *m)
{
	const struct uuid refund_id = {{1}};

	for (int i = 0; i < ANSWERS; i++) {
		struct payment_observation o;
		struct refund_observation r;
		char list[400];

		if ((int)words[i].answer != i)
			abort();
		for (int step = 0; step <= STEP_NONE; step++) {
			payment_observe((enum payment_step)step, words[i].http_status, words[i].sent,
					str_from(words[i].body), &o);
			m->seen[step][i] = o.seen;
		}
		refund_observe(words[i].http_status, words[i].sent, str_from(words[i].body), &r);
		m->refund_seen[i] = r.seen;
		/* of a list, ANSWER_NONE is the empty one */
		snprintf(list, sizeof(list), "{\"data\":[%s],\"has_more\":false}", words[i].body);
		refund_observe_list(i == ANSWER_NONE ? 200 : words[i].http_status, true, str_from(list), &refund_id,
				    &r);
		m->list_seen[i] = r.seen;
	}
}

const char *call_name(enum call call)
{
	static const char *const names[] = {"create", "confirm",	"capture",
					    "cancel", "refund (seats)", "refund (void)"};

	return names[call];
}

/* ---- keys ---- */

struct calls *gateway_calls(struct world *w, int attempt, enum call call)
{
	struct attempt *a = &w->attempts[attempt];

	switch (call) {
	case CALL_CAPTURE:
		return &a->capture;
	case CALL_CANCEL:
		return &a->cancel;
	case CALL_REFUND_SEATS:
	case CALL_REFUND_VOID:
		return &a->refunds[call - CALL_REFUND_SEATS].calls;
	case CALL_CREATE:
	case CALL_CONFIRM: /* made once: they have a key each and need no count */
		break;
	}
	return NULL;
}

int call_key(const struct model *m, struct calls *c)
{
	if (c->no == 0 || (c->failed && guarded(m, GUARD_NEW_KEY) && c->no < KEYS)) {
		c->no++;
		c->failed = 0;
		c->answer = ANSWER_NONE;
	}
	return c->no;
}

bool gateway_stored(const struct world *w, int attempt, enum call call, int key)
{
	struct world *rw = (struct world *)(uintptr_t)w; /* only looked at */
	const struct calls *c = gateway_calls(rw, attempt, call);

	if (call == CALL_CONFIRM)
		return w->attempts[attempt].confirm_stored;
	return c && c->stored >> (key - 1) & 1;
}

void gateway_store(struct world *w, int attempt, enum call call, int key, enum answer answer)
{
	struct calls *c = gateway_calls(w, attempt, call);

	if (call == CALL_CONFIRM)
		w->attempts[attempt].confirm_stored = 1;
	if (!c)
		return;
	c->stored |= (uint16_t)(1 << (key - 1));
	if (key == c->no)
		c->answer = answer;
}

/* ---- a call arrives ---- */

static int one(struct outcome out[OUTCOMES], int n, const struct world *w, enum answer answer, const char *text)
{
	out[n] = (struct outcome){*w, answer, text};
	return n + 1;
}

static int moved(struct outcome out[OUTCOMES], int n, const struct world *w, int attempt, enum intent to,
		 enum answer answer, const char *text)
{
	n = one(out, n, w, answer, text);
	out[n - 1].w.attempts[attempt].intent = to;
	return n;
}

static int confirm(const struct world *w, int attempt, struct outcome out[OUTCOMES])
{
	enum intent i = w->attempts[attempt].intent;
	int n = 0;

	if (i != INTENT_NEW && i != INTENT_ACTION && i != INTENT_DECLINED)
		return one(out, n, w, ANSWER_STATE, "the intent is not to be confirmed any more");
	n = moved(out, n, w, attempt, INTENT_HELD, ANSWER_HELD, "the money is held");
	n = moved(out, n, w, attempt, INTENT_ACTION, ANSWER_ACTION, "the bank wants to see the buyer");
	n = moved(out, n, w, attempt, INTENT_DECLINED, ANSWER_402, "the card is declined");
	return one(out, n, w, ANSWER_400, "the method is none");
}

static int capture(const struct world *w, int attempt, struct outcome out[OUTCOMES])
{
	int n = 0;

	if (w->attempts[attempt].intent != INTENT_HELD)
		return one(out, n, w, ANSWER_STATE, "there is nothing to capture");
	n = moved(out, n, w, attempt, INTENT_PAID, ANSWER_PAID, "the money is taken");
	return one(out, n, w, ANSWER_402, "the capture is refused");
}

static int cancel(const struct world *w, int attempt, struct outcome out[OUTCOMES])
{
	enum intent i = w->attempts[attempt].intent;

	if (i == INTENT_PAID || i == INTENT_CANCELED)
		return one(out, 0, w, ANSWER_STATE, "the intent is not to be cancelled any more");
	moved(out, 0, w, attempt, INTENT_CANCELED, ANSWER_CANCELED, "the intent is cancelled");
	if (w->attempts[attempt].state == PAYMENT_AUTHORISED)
		out[0].w.fault = FAULT_OWN_CANCEL;
	return 1;
}

static int amount_of(int kind)
{
	return kind == REFUND_VOID ? PRICE : PRICE - FEE;
}

static int refund(const struct world *w, int attempt, int kind, struct outcome out[OUTCOMES])
{
	const struct attempt *a = &w->attempts[attempt];
	const struct refund *r = &a->refunds[kind];
	bool again = r->sent == SENT_PENDING || r->sent == SENT_SUCCEEDED;
	int back = again ? amount_of(kind) : 0, n = 0;

	for (int i = 0; i < REFUND_KINDS; i++)
		if (i != kind && (a->refunds[i].sent == SENT_PENDING || a->refunds[i].sent == SENT_SUCCEEDED))
			back += amount_of(i);
	if (a->intent != INTENT_PAID || back + amount_of(kind) > PRICE)
		return one(out, n, w, ANSWER_400, "it does not have that much to give back");
	n = one(out, n, w, ANSWER_REFUND_SUCCEEDED, "the money goes back");
	out[n - 1].w.attempts[attempt].refunds[kind].sent = SENT_SUCCEEDED;
	n = one(out, n, w, ANSWER_REFUND_PENDING, "the refund is pending");
	out[n - 1].w.attempts[attempt].refunds[kind].sent = SENT_PENDING;
	if (again)
		for (int i = 0; i < n; i++)
			out[i].w.fault = FAULT_TWO_REFUNDS;
	return one(out, n, w, ANSWER_400, "the refund is refused");
}

int gateway_post(const struct world *w, int attempt, enum call call, int key, struct outcome out[OUTCOMES])
{
	int n;

	if (gateway_stored(w, attempt, call, key)) {
		struct world *rw = (struct world *)(uintptr_t)w;
		const struct calls *c = gateway_calls(rw, attempt, call);

		return one(out, 0, w, c && key == c->no ? (enum answer)c->answer : ANSWER_LOST,
			   "the first answer to its key comes again");
	}
	switch (call) {
	case CALL_CREATE:
		return moved(out, 0, w, attempt, INTENT_NEW, ANSWER_NEW, "an intent is made");
	case CALL_CONFIRM:
		n = confirm(w, attempt, out);
		break;
	case CALL_CAPTURE:
		n = capture(w, attempt, out);
		break;
	case CALL_CANCEL:
		n = cancel(w, attempt, out);
		break;
	case CALL_REFUND_SEATS:
	case CALL_REFUND_VOID:
	default:
		n = refund(w, attempt, (int)call - CALL_REFUND_SEATS, out);
		break;
	}
	for (int i = 0; i < n; i++)
		gateway_store(&out[i].w, attempt, call, key, out[i].answer);
	return n;
}

enum answer gateway_read(const struct world *w, int attempt)
{
	static const enum answer says[] = {ANSWER_400,	ANSWER_NEW,	 ANSWER_ACTION,	     ANSWER_HELD,
					   ANSWER_PAID, ANSWER_CANCELED, ANSWER_WAS_DECLINED};

	return says[w->attempts[attempt].intent];
}

enum answer gateway_refund_read(const struct world *w, int attempt, int kind)
{
	static const enum answer says[] = {ANSWER_NONE, ANSWER_REFUND_PENDING, ANSWER_REFUND_SUCCEEDED,
					   ANSWER_REFUND_FAILED};

	return says[w->attempts[attempt].refunds[kind].sent];
}

/* ---- late ones ---- */

static bool can_matter(const struct world *w, const struct late *l)
{
	enum intent i = w->attempts[l->attempt].intent;

	if (gateway_stored(w, l->attempt, (enum call)l->call, l->key))
		return false;
	switch ((enum call)l->call) {
	case CALL_CONFIRM:
		return i == INTENT_NEW || i == INTENT_ACTION || i == INTENT_DECLINED;
	case CALL_CAPTURE:
		return i == INTENT_HELD;
	case CALL_CANCEL: /* what it would be answered then is what another with its key is answered */
		return i != INTENT_PAID && i != INTENT_CANCELED;
	case CALL_REFUND_SEATS:
	case CALL_REFUND_VOID:
		return true;
	case CALL_CREATE:
		break;
	}
	return false;
}

static int late_cmp(const struct late *a, const struct late *b)
{
	return memcmp(a, b, sizeof(*a));
}

void gateway_forget_late(struct world *w)
{
	static const struct late none;

	for (int i = 0; i < LATE; i++)
		if (w->late[i].key && !can_matter(w, &w->late[i]))
			w->late[i] = none;
	for (int i = 1; i < LATE; i++)
		for (int j = i; j > 0 && late_cmp(&w->late[j], &w->late[j - 1]) > 0; j--) {
			struct late swap = w->late[j];

			w->late[j] = w->late[j - 1];
			w->late[j - 1] = swap;
		}
}

void gateway_make_late(struct model *m, struct world *w, int attempt, enum call call, int key)
{
	struct late l = {(uint8_t)attempt, (uint8_t)call, (uint8_t)key};

	if (call == CALL_CREATE) { /* an intent that nobody knows: whether and when it is made changes nothing */
		w->attempts[attempt].intent = INTENT_NEW;
		return;
	}
	for (int i = 0; i < LATE; i++)
		if (w->late[i].key && late_cmp(&w->late[i], &l) == 0)
			return;
	for (int i = 0; i < LATE; i++)
		if (!w->late[i].key) {
			w->late[i] = l;
			return;
		}
	m->late_full++;
}

static void walk_late(struct walk *k)
{
	for (int i = 0; i < LATE; i++) {
		struct late l = k->from->late[i];
		struct outcome out[OUTCOMES];
		int n;

		if (!l.key)
			continue;
		n = gateway_post(k->from, l.attempt, (enum call)l.call, l.key, out);
		for (int j = 0; j < n; j++) {
			memset(&out[j].w.late[i], 0, sizeof(out[j].w.late[i]));
			went(k, &out[j].w, false, "gateway: a late %s (key %d) of %s arrives, nobody waits for it: %s",
			     call_name((enum call)l.call), (int)l.key, attempt_names[l.attempt], out[j].words);
		}
	}
}

static void intent_step(struct walk *k, int attempt, enum intent to, const char *text)
{
	struct world w = *k->from;

	w.attempts[attempt].intent = to;
	went(k, &w, false, "%s: %s", attempt_names[attempt], text);
}

/* What happens at the gateway by itself. */
void walk_gateway(struct walk *k)
{
	for (int i = 0; i < ATTEMPTS; i++) {
		const struct attempt *a = &k->from->attempts[i];

		for (int kind = 0; kind < REFUND_KINDS; kind++)
			for (int to = SENT_SUCCEEDED; a->refunds[kind].sent == SENT_PENDING && to <= SENT_FAILED;
			     to++) {
				struct world w = *k->from;

				w.attempts[i].refunds[kind].sent = (uint16_t)to & 3;
				went(k, &w, to == SENT_SUCCEEDED, "gateway: the pending refund of %s %s",
				     attempt_names[i], to == SENT_SUCCEEDED ? "succeeds" : "fails");
			}
		if (a->intent == INTENT_ACTION) {
			intent_step(k, i, INTENT_HELD, "the buyer passes 3-D Secure, the money is held");
			intent_step(k, i, INTENT_DECLINED, "the buyer fails 3-D Secure");
		}
		if (a->intent == INTENT_HELD)
			intent_step(k, i, INTENT_CANCELED, "the authorisation expires at the gateway");
	}
	walk_late(k);
}
