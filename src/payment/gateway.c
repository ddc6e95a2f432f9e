/*
 * What is sent to the gateway and what its answers mean: form bodies out, JSON in. Pure; the reading is fuzzed. Stripe's
 * HTTP API.
 */
#include "base/json.h"
#include "payment/payment.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { ANSWER_DEPTH = 24 };

static const char *text_of(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	return s ? s : "";
}

static void copy(char *out, size_t size, const char *text)
{
	snprintf(out, size, "%s", text);
}

static const struct {
	const char *status;
	enum payment_seen seen;
} statuses[] = {
	{"requires_payment_method", SEEN_NEW},
	{"requires_confirmation", SEEN_NEW},
	{"requires_action", SEEN_ACTION},
	{"requires_capture", SEEN_HELD},
	{"succeeded", SEEN_PAID},
	{"canceled", SEEN_CANCELED},
};

static int64_t sum_of(const json_t *o, const char *name)
{
	const json_t *v = json_object_get(o, name);

	return json_is_integer(v) ? json_integer_value(v) : -1;
}

/* What it is about: sums, whose attempt, which card. */
static void observe_contents(const json_t *intent, struct payment_observation *ret)
{
	const json_t *charge = json_object_get(intent, "latest_charge"),
		     *details = json_object_get(charge, "payment_method_details");

	ret->is_intent = true;
	ret->amount_minor = sum_of(intent, "amount");
	ret->held_minor = sum_of(intent, "amount_capturable");
	ret->received_minor = sum_of(intent, "amount_received");
	copy(ret->currency, sizeof(ret->currency), text_of(intent, "currency"));
	copy(ret->attempt, sizeof(ret->attempt), text_of(json_object_get(intent, "metadata"), "attempt"));
	copy(ret->fingerprint, sizeof(ret->fingerprint), text_of(json_object_get(details, "card"), "fingerprint"));
}

static void observe_intent(const json_t *intent, struct payment_observation *ret)
{
	const char *status = text_of(intent, "status"), *code;
	const json_t *error = json_object_get(intent, "last_payment_error"), *next;

	ret->seen = SEEN_UNKNOWN; /* "processing", or a status of tomorrow: asked again */
	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
		if (strcmp(status, statuses[i].status) == 0)
			ret->seen = statuses[i].seen;
	copy(ret->intent_id, sizeof(ret->intent_id), text_of(intent, "id"));
	if (ret->intent_id[0] == '\0' || strlen(text_of(intent, "id")) >= sizeof(ret->intent_id))
		ret->seen = SEEN_UNKNOWN;
	observe_contents(intent, ret);
	if (strcmp(status, "requires_payment_method") == 0 && json_is_object(error)) {
		ret->seen = SEEN_DECLINED;
		code = text_of(error, "decline_code");
		copy(ret->decline_code, sizeof(ret->decline_code), *code ? code : text_of(error, "code"));
	}
	if (ret->seen == SEEN_ACTION) {
		next = json_object_get(json_object_get(intent, "next_action"), "redirect_to_url");
		copy(ret->action_url, sizeof(ret->action_url), text_of(next, "url"));
	}
}

void payment_compare(struct payment_observation *ret, const struct uuid *payment, int64_t amount_minor,
		     const char *currency)
{
	char id[UUID_TEXT];
	bool open =
		ret->seen == SEEN_NEW || ret->seen == SEEN_ACTION || ret->seen == SEEN_HELD || ret->seen == SEEN_PAID;
	/* of what is held or paid the part that counts; where the gateway does not say, the amount itself must do */
	int64_t part = ret->seen == SEEN_HELD ? ret->held_minor : ret->seen == SEEN_PAID ? ret->received_minor : -1;

	if (!ret->is_intent || !open)
		return;
	uuid_format(payment, id);
	if (ret->amount_minor != amount_minor || (part != -1 && part != amount_minor) ||
	    strcasecmp(ret->currency, currency) != 0)
		snprintf(ret->differs, sizeof(ret->differs),
			 "asked for %lld %s, the gateway says %lld %s, of which %lld are %s", (long long)amount_minor,
			 currency, (long long)ret->amount_minor, ret->currency,
			 (long long)(part == -1 ? ret->amount_minor : part), ret->seen == SEEN_PAID ? "paid" : "held");
	else if (strcmp(ret->attempt, id) != 0)
		snprintf(ret->differs, sizeof(ret->differs), "the gateway says that it belongs to the attempt \"%s\"",
			 ret->attempt);
}

static void observe_error(enum payment_step step, int http_status, const json_t *error, struct payment_observation *ret)
{
	const char *type = text_of(error, "type"), *code = text_of(error, "code"),
		   *decline = text_of(error, "decline_code");

	copy(ret->decline_code, sizeof(ret->decline_code), *decline ? decline : code);
	if (http_status == 401 || http_status == 403)
		ret->seen = SEEN_DENIED;
	else if (http_status == 429)
		ret->seen = SEEN_UNREACHED; /* turned away at the door */
	else if (http_status == 409)
		ret->seen = SEEN_UNKNOWN; /* the same key is being worked on */
	else if (strcmp(code, "payment_intent_unexpected_state") == 0)
		ret->seen = SEEN_STALE;
	else if (http_status == 402 || strcmp(type, "card_error") == 0)
		ret->seen = SEEN_DECLINED;
	else
		ret->seen = SEEN_REFUSED;
	if (ret->seen == SEEN_DENIED)
		ret->decline_code[0] = '\0'; /* what is said of a key that was not accepted is kept nowhere */
	if (ret->seen == SEEN_REFUSED && step == STEP_CONFIRM && ret->decline_code[0] == '\0')
		copy(ret->decline_code, sizeof(ret->decline_code), "invalid_request");
}

/* What to think of an answer before its body is read; true: the body decides. */
static bool observe_status(int http_status, bool sent, enum payment_seen *ret)
{
	*ret = http_status || sent ? SEEN_UNKNOWN : SEEN_UNREACHED;
	return http_status >= 200 && http_status < 500 && http_status / 100 != 3;
}

void payment_observe(enum payment_step step, int http_status, bool sent, struct str body,
		     struct payment_observation *ret)
{
	JSON_AUTO json_t *answer = NULL;
	struct error e = {0};

	memset(ret, 0, sizeof(*ret));
	ret->step = step;
	if (!observe_status(http_status, sent, &ret->seen))
		return;
	answer = json_read(body, ANSWER_DEPTH, &e);
	if (http_status < 300) {
		if (json_is_object(answer))
			observe_intent(answer, ret);
		return;
	}
	/* the status alone is a decision, even if a proxy has written the body */
	observe_error(step, http_status, json_object_get(answer, "error"), ret);
}

void payment_error_code(struct str body, char out[PAYMENT_CODE_MAX])
{
	JSON_AUTO json_t *answer = NULL;
	struct error e = {0};

	answer = json_read(body, ANSWER_DEPTH, &e);
	copy(out, PAYMENT_CODE_MAX, text_of(json_object_get(answer, "error"), "code"));
}

static void observe_refund(const json_t *refund, struct refund_observation *ret)
{
	const char *status = text_of(refund, "status");

	copy(ret->gateway_id, sizeof(ret->gateway_id), text_of(refund, "id"));
	copy(ret->failure, sizeof(ret->failure), text_of(refund, "failure_reason"));
	ret->seen = SEEN_UNKNOWN;
	if (strcmp(status, "succeeded") == 0)
		ret->seen = SEEN_PAID;
	else if (strcmp(status, "pending") == 0 || strcmp(status, "requires_action") == 0)
		ret->seen = SEEN_NEW;
	else if (strcmp(status, "failed") == 0 || strcmp(status, "canceled") == 0)
		ret->seen = SEEN_REFUSED;
	if (ret->seen == SEEN_REFUSED && ret->failure[0] == '\0')
		copy(ret->failure, sizeof(ret->failure), status);
}

static void observe_refund_error(int http_status, const json_t *answer, struct refund_observation *ret)
{
	struct payment_observation o = {0};

	observe_error(STEP_REFUND, http_status, json_object_get(answer, "error"), &o);
	ret->seen = o.seen == SEEN_DECLINED || o.seen == SEEN_STALE ? SEEN_REFUSED : o.seen;
	copy(ret->failure, sizeof(ret->failure), o.decline_code[0] ? o.decline_code : "refused");
}

void refund_observe(int http_status, bool sent, struct str body, struct refund_observation *ret)
{
	JSON_AUTO json_t *answer = NULL;
	struct error e = {0};

	memset(ret, 0, sizeof(*ret));
	if (!observe_status(http_status, sent, &ret->seen))
		return;
	answer = json_read(body, ANSWER_DEPTH, &e);
	if (http_status >= 300)
		observe_refund_error(http_status, answer, ret);
	else if (json_is_object(answer))
		observe_refund(answer, ret);
}

void refund_observe_list(int http_status, bool sent, struct str body, const struct uuid *refund_id,
			 struct refund_observation *ret)
{
	JSON_AUTO json_t *answer = NULL;
	struct error e = {0};
	const json_t *data, *one;
	char id[UUID_TEXT];
	size_t i;

	memset(ret, 0, sizeof(*ret));
	if (!observe_status(http_status, sent, &ret->seen) || http_status >= 300) {
		ret->seen = SEEN_UNKNOWN;
		return;
	}
	answer = json_read(body, ANSWER_DEPTH, &e);
	data = json_object_get(answer, "data");
	if (!json_is_array(data))
		return;
	uuid_format(refund_id, id);
	json_array_foreach(data, i, one) {
		if (strcmp(text_of(json_object_get(one, "metadata"), "refund"), id) == 0) {
			observe_refund(one, ret);
			return;
		}
	}
	/* absent from a list that has more pages proves nothing */
	ret->seen = json_is_true(json_object_get(answer, "has_more")) ? SEEN_UNKNOWN : SEEN_NOTHING;
}

/* ---- bodies ---- */

static void add_escaped(struct buf *b, struct str s)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (isalnum(c) || c == '-' || c == '_' || c == '.' || c == '~') {
			buf_addc(b, (char)c);
		} else {
			buf_addc(b, '%');
			buf_addc(b, hex[c >> 4]);
			buf_addc(b, hex[c & 15]);
		}
	}
}

void form_add(struct buf *b, const char *name, struct str value)
{
	if (b->n)
		buf_addc(b, '&');
	add_escaped(b, str_from(name));
	buf_addc(b, '=');
	add_escaped(b, value);
}

void form_add_i64(struct buf *b, const char *name, int64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%lld", (long long)value);
	form_add(b, name, str_from(text));
}

static void form_add_uuid(struct buf *b, const char *name, const struct uuid *id)
{
	char text[UUID_TEXT];

	form_add(b, name, str_from(uuid_format(id, text)));
}

void payment_create_body(struct buf *b, const struct uuid *show, const struct uuid *booking, const struct uuid *payment,
			 int64_t amount_minor, const char *currency)
{
	char lower[4];
	size_t n = 0;

	for (; n < 3 && currency[n]; n++)
		lower[n] = (char)tolower((unsigned char)currency[n]);
	form_add_i64(b, "amount", amount_minor);
	form_add(b, "currency", (struct str){lower, n});
	form_add(b, "capture_method", STR("manual"));
	form_add(b, "payment_method_types[]", STR("card"));
	form_add_uuid(b, "metadata[show]", show);
	form_add_uuid(b, "metadata[booking]", booking);
	form_add_uuid(b, "metadata[attempt]", payment);
}

void payment_return_url(struct buf *b, struct str url, const struct uuid *show, const struct uuid *booking)
{
	const char *hash = url.n ? memchr(url.p, '#', url.n) : NULL;
	struct str head = {url.p, hash ? (size_t)(hash - url.p) : url.n};
	char show_text[UUID_TEXT], booking_text[UUID_TEXT];
	bool has_query = head.n && memchr(head.p, '?', head.n), open = has_query && strchr("?&", head.p[head.n - 1]);

	buf_addstr(b, head);
	buf_addf(b, "%sshow=%s&booking=%s&return_token=" RETURN_TOKEN_PLACE,
		 open	     ? ""
		 : has_query ? "&"
			     : "?",
		 uuid_format(show, show_text), uuid_format(booking, booking_text));
	buf_addstr(b, (struct str){url.p + head.n, url.n - head.n});
}

void payment_fill_token(struct buf *b, struct str body, struct str token)
{
	static const char place[] = "%7Breturn_token%7D";
	const char *at = body.n ? memmem(body.p, body.n, place, sizeof(place) - 1) : NULL;
	size_t before = at ? (size_t)(at - body.p) : body.n;

	buf_add(b, body.p, before);
	if (!at)
		return;
	buf_addstr(b, token);
	buf_add(b, at + sizeof(place) - 1, body.n - before - (sizeof(place) - 1));
}

void payment_confirm_body(struct buf *b, struct str method, struct str return_url, bool with_card)
{
	form_add(b, "payment_method", method);
	if (return_url.n)
		form_add(b, "return_url", return_url);
	if (with_card)
		form_add(b, "expand[]", STR("latest_charge"));
}

void refund_body(struct buf *b, struct str intent_id, const struct uuid *refund, int64_t amount_minor)
{
	form_add(b, "payment_intent", intent_id);
	form_add_i64(b, "amount", amount_minor);
	form_add_uuid(b, "metadata[refund]", refund);
}

void payment_summary(struct str body, struct buf *out)
{
	static const char *const kept[] = {
		"object", "id",	  "status",	  "amount", "amount_capturable", "amount_received", "currency",
		"type",	  "code", "decline_code", "param"};
	JSON_AUTO json_t *answer = NULL;
	struct error e = {0};
	const json_t *o;
	struct jw w;

	answer = json_read(body, ANSWER_DEPTH, &e);
	if (!json_is_object(answer))
		return;
	o = json_object_get(answer, "error");
	if (!json_is_object(o))
		o = answer;
	jw_init(&w, out);
	jw_obj(&w);
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
		const json_t *v = json_object_get(o, kept[i]);

		if (json_is_string(v) && json_string_length(v) <= 200)
			jw_kcstr(&w, kept[i], json_string_value(v));
		else if (json_is_integer(v))
			jw_kint(&w, kept[i], json_integer_value(v));
	}
	jw_obj_end(&w);
	if (!jw_done(&w))
		buf_reset(out);
}

bool payment_method_plausible(struct str s)
{
	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= 0x20 || s.p[i] >= 0x7F)
			return false;
	return true;
}

static bool host_is_here(struct str host)
{
	char text[INET_ADDRSTRLEN];
	struct in_addr v4;

	if (str_ieqc(host, "localhost") || str_eqc(host, "[::1]"))
		return true;
	if (host.n >= sizeof(text))
		return false;
	snprintf(text, sizeof(text), "%.*s", STR_FMT(host));
	return inet_pton(AF_INET, text, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127;
}

const char *payment_url_fault(struct str url)
{
	bool tls = str_starts(url, STR("https://")), plain = str_starts(url, STR("http://"));
	struct str rest = {url.p + (tls ? 8 : 7), url.n - (tls ? 8 : 7)}, host;
	size_t n = 0;

	if (!tls && !plain)
		return "must begin with https:// (or http:// for a host of this machine)";
	while (n < rest.n && rest.p[n] != '/' && rest.p[n] != '?' && rest.p[n] != '#')
		n++;
	host = (struct str){rest.p, n};
	if (host.n == 0 || !payment_method_plausible(url))
		return "is not an address";
	if (memchr(host.p, '@', host.n))
		return "must not have a name or a password in it";
	if (n != rest.n && memchr(rest.p + n, '?', rest.n - n))
		return "must not have a query";
	for (size_t i = host.n; i > 0; i--)
		if (host.p[i - 1] == ':' && (host.p[0] != '[' || (i > 1 && host.p[i - 2] == ']'))) {
			host.n = i - 1;
			break;
		}
	if (plain && !host_is_here(host))
		return "must begin with https:// unless the host is this machine: the secret key would be readable on "
		       "the way";
	return NULL;
}
