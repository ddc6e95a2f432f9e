/* Owns the reading of Stripe-Signature and of events. Called by payment_webhook.c, tests and a fuzz target. */
#include "payment/webhook.h"

#include "base/json.h"
#include "base/times.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { MAC_BYTES = 32 };

/* ---- the signature ---- */

struct signature {
	struct str t; /* as it was signed */
	int64_t at_s;
	uint8_t v1[WEBHOOK_SIGNATURES_MAX][MAC_BYTES];
	size_t n;
};

static bool signature_read(struct str header, struct signature *ret)
{
	struct str part, name, value;
	uint64_t at;
	bool timed = false;

	memset(ret, 0, sizeof(*ret));
	while (header.n) {
		header = str_split(header, ',', &part);
		value = str_split(str_trim(part), '=', &name);
		if (str_eqc(name, "t")) {
			/* twice is no header of the gateway's: which one was signed? */
			if (timed || !str_to_u64(value, INT64_MAX / US_PER_SECOND, &at))
				return false;
			timed = true;
			ret->t = value;
			ret->at_s = (int64_t)at;
		} else if (str_eqc(name, "v1") && ret->n < WEBHOOK_SIGNATURES_MAX) {
			if (hex_decode(value, ret->v1[ret->n], MAC_BYTES))
				ret->n++;
		}
	}
	return timed && ret->n;
}

/* No early end: how long it takes says nothing about where they differ. */
static bool same(const uint8_t *a, const uint8_t *b)
{
	volatile uint8_t differ = 0;

	for (size_t i = 0; i < MAC_BYTES; i++)
		differ |= a[i] ^ b[i];
	return differ == 0;
}

enum webhook_signed webhook_check(const struct str *header, struct str body, const struct str *secrets,
				  size_t n_secrets, int64_t now_us, webhook_mac_fn *mac)
{
	struct signature signature;
	uint8_t wanted[MAC_BYTES];
	bool good = false;
	struct buf text;
	int64_t age_s;

	if (!header)
		return WEBHOOK_UNSIGNED;
	if (!signature_read(*header, &signature))
		return WEBHOOK_MALFORMED;
	buf_init(&text, signature.t.n + 1 + body.n + 1);
	buf_addstr(&text, signature.t);
	buf_addc(&text, '.');
	buf_addstr(&text, body);
	for (size_t i = 0; i < n_secrets; i++) {
		mac(secrets[i], buf_str(&text), wanted);
		for (size_t k = 0; k < signature.n; k++)
			good |= same(wanted, signature.v1[k]);
	}
	good = good && !text.failed;
	buf_done(&text);
	memset(wanted, 0, sizeof(wanted));
	if (!good)
		return WEBHOOK_FORGED;
	age_s = now_us / US_PER_SECOND - signature.at_s;
	return age_s > WEBHOOK_TOLERANCE_S    ? WEBHOOK_STALE
	       : age_s < -WEBHOOK_TOLERANCE_S ? WEBHOOK_FUTURE
					      : WEBHOOK_SIGNED;
}

size_t webhook_secrets_read(struct str text, struct str out[WEBHOOK_SECRETS_MAX])
{
	struct str line;
	size_t n = 0;

	while (text.n) {
		text = str_split(text, '\n', &line);
		if (line.n && line.p[line.n - 1] == '\r')
			line.n--;
		line = str_trim(line);
		if (line.n == 0)
			continue;
		if (n == WEBHOOK_SECRETS_MAX || line.n < WEBHOOK_SECRET_MIN || line.n > WEBHOOK_SECRET_MAX ||
		    !payment_method_plausible(line))
			return 0;
		out[n++] = line;
	}
	return n;
}

/* ---- the event ---- */

/* A name of the gateway's: what stands at this member, or the id of the object that stands there. */
static const char *name_of(const json_t *o, const char *member)
{
	const json_t *v = json_object_get(o, member);
	const char *s = json_string_value(json_is_object(v) ? json_object_get(v, "id") : v);

	return s ? s : "";
}

/* One word of visible ASCII that fits, or "". */
static bool word(const char *text, char *out, size_t size)
{
	struct str s = str_from(text);

	out[0] = '\0';
	if (s.n >= size || !payment_method_plausible(s))
		return false;
	memcpy(out, s.p, s.n + 1);
	return true;
}

void webhook_currency(const char *text, char out[4])
{
	out[0] = '\0';
	if (strlen(text) != 3)
		return;
	for (int i = 0; i < 3; i++) {
		if (!isalpha((unsigned char)text[i])) {
			out[0] = '\0';
			return;
		}
		out[i] = (char)toupper((unsigned char)text[i]);
	}
	out[3] = '\0';
}

static bool metadata_uuid(const json_t *object, const char *name, struct uuid *ret)
{
	const char *text = json_string_value(json_object_get(json_object_get(object, "metadata"), name));

	return text && uuid_parse(str_from(text), ret);
}

/* Which types are about what. Those that end in a point are beginnings. */
static const struct {
	const char *type;
	enum webhook_about about;
} types[] = {
	{"payment_intent.", ABOUT_INTENT},	   {"refund.updated", ABOUT_REFUND},
	{"refund.failed", ABOUT_REFUND},	   {"charge.refund.updated", ABOUT_REFUND},
	{"charge.dispute.created", ABOUT_DISPUTE}, {"refund.created", ABOUT_FOREIGN_REFUND},
};

static enum webhook_about about(const char *type)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct str known = str_from(types[i].type);

		if (known.p[known.n - 1] == '.' ? str_starts(str_from(type), known) : strcmp(type, known.p) == 0)
			return types[i].about;
	}
	return ABOUT_NOTHING;
}

/* The object as an answer of the gateway's would be read. */
static enum payment_seen seen_of(enum webhook_about a, const json_t *object)
{
	struct payment_observation o = {0};
	struct refund_observation r = {0};
	char *text;

	if (a != ABOUT_INTENT && a != ABOUT_REFUND && a != ABOUT_FOREIGN_REFUND)
		return SEEN_NOTHING;
	text = json_dumps(object, JSON_COMPACT);
	if (!text)
		return SEEN_UNKNOWN;
	payment_observe(STEP_RETRIEVE, 200, true, str_from(text), &o);
	refund_observe(200, true, str_from(text), &r);
	free(text);
	return a == ABOUT_INTENT ? o.seen : r.seen;
}

bool webhook_read(struct str body, struct webhook_event *ret, struct error *error)
{
	JSON_AUTO json_t *event = json_read(body, WEBHOOK_DEPTH_MAX, error);
	const json_t *object, *created;
	int64_t amount;

	memset(ret, 0, sizeof(*ret));
	if (!event)
		return false;
	object = json_object_get(json_object_get(event, "data"), "object");
	if (!json_is_object(event) || !json_is_object(object))
		return error_set(error, ERR_INVALID_REQUEST, json_is_object(event) ? "/data/object" : "",
				 "An event of the gateway is an object with id, type and data.object.");
	if (!word(name_of(event, "id"), ret->id, sizeof(ret->id)))
		return error_set(error, ERR_INVALID_REQUEST, "/id", "The event has no id of at most %d characters.",
				 PAYMENT_ID_MAX - 1);
	if (!word(name_of(event, "type"), ret->type, sizeof(ret->type)))
		return error_set(error, ERR_INVALID_REQUEST, "/type", "The event has no type of at most %d characters.",
				 WEBHOOK_TYPE_MAX - 1);
	created = json_object_get(event, "created");
	if (json_is_integer(created) && json_integer_value(created) > 0 &&
	    json_integer_value(created) < INT64_C(253402300800)) /* the year 10000 */
		ret->created_us = json_integer_value(created) * US_PER_SECOND;
	ret->about = about(ret->type);
	word(name_of(object, "id"), ret->object_id, sizeof(ret->object_id));
	word(ret->about == ABOUT_INTENT ? ret->object_id : name_of(object, "payment_intent"), ret->intent_id,
	     sizeof(ret->intent_id));
	if (ret->about == ABOUT_INTENT)
		ret->has_attempt = metadata_uuid(object, "show", &ret->show_id) &&
				   metadata_uuid(object, "attempt", &ret->payment_id);
	if (ret->about == ABOUT_REFUND || ret->about == ABOUT_FOREIGN_REFUND)
		ret->has_refund = metadata_uuid(object, "refund", &ret->refund_id);
	ret->seen = seen_of(ret->about, object);
	amount = json_integer_value(json_object_get(object, "amount"));
	ret->amount_minor = amount > 0 && amount <= INT64_C(99999999999) ? amount : 0;
	webhook_currency(name_of(object, "currency"), ret->currency);
	if (ret->about == ABOUT_REFUND && !ret->has_refund)
		ret->about = ABOUT_FOREIGN_REFUND;
	/* that we made one ourselves is no news */
	else if (ret->about == ABOUT_FOREIGN_REFUND && ret->has_refund)
		ret->about = ABOUT_NOTHING;
	if (ret->about == ABOUT_FOREIGN_REFUND && ret->seen != SEEN_PAID && ret->seen != SEEN_NEW &&
	    ret->seen != SEEN_REFUSED)
		ret->about = ABOUT_NOTHING;
	if (ret->intent_id[0] == '\0' && ret->about != ABOUT_DISPUTE)
		ret->about = ABOUT_NOTHING;
	return true;
}
