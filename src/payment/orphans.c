/* See orphans.h. */
#include "payment/orphans.h"

#include "base/json.h"
#include "payment/webhook.h"

#include <stdlib.h>
#include <string.h>

enum { PAGE_DEPTH = 24, PAGE_MAX = 100 };

static const char *text_of(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	return s ? s : "";
}

static bool id_of(const json_t *metadata, const char *name, struct uuid *ret)
{
	return uuid_parse(str_from(text_of(metadata, name)), ret);
}

/* false: its id cannot be used. */
static bool intent_read(const json_t *o, struct orphan_intent *ret)
{
	const json_t *metadata = json_object_get(o, "metadata");
	struct payment_observation seen;
	struct str id = str_from(text_of(o, "id"));
	char *text;

	memset(ret, 0, sizeof(*ret));
	if (id.n >= sizeof(ret->id) || !payment_method_plausible(id))
		return false;
	memcpy(ret->id, id.p, id.n + 1);
	ret->ours = id_of(metadata, "show", &ret->show_id) && id_of(metadata, "booking", &ret->booking_id) &&
		    id_of(metadata, "attempt", &ret->payment_id);
	ret->amount_minor = json_integer_value(json_object_get(o, "amount"));
	ret->received_minor = json_integer_value(json_object_get(o, "amount_received"));
	ret->created_s = json_integer_value(json_object_get(o, "created"));
	webhook_currency(text_of(o, "currency"), ret->currency);
	if (!ret->ours)
		return true;
	text = json_dumps(o, JSON_COMPACT);
	if (!text)
		return false;
	payment_observe(STEP_RETRIEVE, 200, true, str_from(text), &seen);
	ret->seen = seen.seen;
	free(text);
	return true;
}

bool orphan_page_read(int http_status, struct str body, struct arena *arena, struct orphan_page *ret)
{
	struct error e = {0};
	JSON_AUTO json_t *answer = http_status == 200 ? json_read(body, PAGE_DEPTH, &e) : NULL;
	const json_t *data = json_object_get(answer, "data"), *one;
	size_t i;

	memset(ret, 0, sizeof(*ret));
	if (!json_is_array(data) || json_array_size(data) > PAGE_MAX)
		return false;
	ret->intents = arena_array(arena, struct orphan_intent, json_array_size(data));
	json_array_foreach(data, i, one) {
		if (!intent_read(one, &ret->intents[ret->n]))
			return false;
		memcpy(ret->last, ret->intents[ret->n].id, sizeof(ret->last));
		ret->n++;
	}
	/* more, and nothing to go on from: no end would be found */
	ret->more = json_is_true(json_object_get(answer, "has_more")) && ret->n;
	return true;
}

const char *orphan_finding(enum orphan_verdict v)
{
	static const char *const kinds[ORPHAN_VERDICTS] = {"",
							   "",
							   "orphan_intent",
							   "orphan_intent",
							   "orphan_payment",
							   "second_intent",
							   "amount_differs",
							   "capture_missing"};

	return kinds[v];
}

/* Nothing was taken yet, and nothing proves that nothing will be. */
static bool is_open(enum payment_seen seen)
{
	return seen == SEEN_NEW || seen == SEEN_ACTION || seen == SEEN_HELD || seen == SEEN_DECLINED;
}

enum orphan_verdict orphan_decide(const struct orphan_intent *i, const struct orphan_attempt *a)
{
	bool paid = i->seen == SEEN_PAID, money = paid || is_open(i->seen);

	if (!i->ours)
		return ORPHAN_FINE;
	if (!a->known)
		return paid		   ? ORPHAN_PAYMENT
		       : !is_open(i->seen) ? ORPHAN_FINE
		       : a->show_known	   ? ORPHAN_CANCEL
					   : ORPHAN_STRANGE;
	if (a->intent_id.n && !str_eqc(a->intent_id, i->id))
		return money ? ORPHAN_SECOND : ORPHAN_FINE;
	switch (a->state) {
	case PAYMENT_CREATED:
	case PAYMENT_REQUIRES_ACTION:
	case PAYMENT_AUTHORISED:
		return ORPHAN_FINE; /* whoever drives it asks for itself */
	case PAYMENT_CAPTURED:
		if (paid)
			return i->received_minor == a->amount_minor && str_eqc(a->currency, i->currency)
				       ? ORPHAN_FINE
				       : ORPHAN_AMOUNT;
		return i->seen == SEEN_UNKNOWN ? ORPHAN_FINE : ORPHAN_UNCAPTURED;
	case PAYMENT_FAILED:
	case PAYMENT_VOIDED:
	case PAYMENT_ABANDONED:
	case PAYMENT_CAPTURE_FAILED:
		if (paid && (i->received_minor != a->amount_minor || !str_eqc(a->currency, i->currency)))
			return ORPHAN_AMOUNT; /* how much goes back is for a person to say */
		return money && !a->void_wanted && !a->refunded ? ORPHAN_VOID : ORPHAN_FINE;
	case PAYMENT_STATES:
		break;
	}
	return ORPHAN_FINE;
}
