/* Owns the table of a booking's arrows and the reading of what buyers ask. Called by the service's API, its store and tests. */
#include "booking/booking.h"

#include "seat/seat.h"

#include <stdlib.h>
#include <string.h>

static const char *const names[] = {"payment_pending", "confirmed", "cancelled", "failed"};

const struct booking_arrow booking_arrows[] = {
	{BOOKING_PAYMENT_PENDING, BOOKING_CONFIRMED, "booking_confirm"},
	{BOOKING_PAYMENT_PENDING, BOOKING_FAILED, "booking_fail"},
	{BOOKING_CONFIRMED, BOOKING_CANCELLED, "booking_cancel"},
	{BOOKING_CONFIRMED, BOOKING_CANCELLED, "booking_lose"},
};
const size_t booking_arrows_n = sizeof(booking_arrows) / sizeof(booking_arrows[0]);

const char *booking_state_name(enum booking_state s)
{
	return names[s];
}

bool booking_state_parse(struct str name, enum booking_state *ret)
{
	for (int i = 0; i < BOOKING_STATES; i++)
		if (str_eqc(name, names[i])) {
			*ret = (enum booking_state)i;
			return true;
		}
	return false;
}

bool booking_may(enum booking_state from, enum booking_state to)
{
	for (size_t i = 0; i < booking_arrows_n; i++)
		if (booking_arrows[i].from == from && booking_arrows[i].to == to)
			return true;
	return false;
}

/* One line of visible ASCII. */
static bool visible(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= 0x20 || s.p[i] >= 0x7F)
			return false;
	return true;
}

/* The gateway's tokens do. The number of a card, sent by mistake, does not: it must not get into our books, not even as refused. */
static bool begins_with_letter(struct str s)
{
	return s.n && ((s.p[0] >= 'a' && s.p[0] <= 'z') || (s.p[0] >= 'A' && s.p[0] <= 'Z'));
}

void booking_person_read(struct json_in *in, struct booking_person *ret, struct error *e)
{
	ret->name = json_in_str(in, "name", JSON_REQUIRED, 1, BOOKING_NAME_MAX);
	ret->email = json_in_str(in, "email", JSON_REQUIRED, 3, 254);
	ret->locale = json_in_str(in, "locale", JSON_OPTIONAL, 2, 35);
	if (e->code == ERR_NONE && str_trim(ret->name).n == 0)
		json_in_fault(in, ERR_INVALID_VALUE, "name", "\"name\" is blank.");
	if (e->code == ERR_NONE && !email_plausible(ret->email))
		json_in_fault(in, ERR_INVALID_VALUE, "email", "\"email\" is not a mail address.");
	if (e->code == ERR_NONE && ret->locale.n && !str_is_language_tag(ret->locale))
		json_in_fault(in, ERR_INVALID_VALUE, "locale",
			      "\"locale\" is not a language tag like de or de-AT (BCP 47).");
	json_in_end(in);
}

bool booking_reference_read(struct str text, char out[REFERENCE_TEXT])
{
	static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
	bool telling = false;
	size_t n = 0;

	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];

		if (c >= 'a' && c <= 'z')
			c = (char)(c - 32);
		telling |= c == '-' || (c >= '0' && c <= '9');
		if (c == '-' || c == ' ')
			continue;
		c = c == 'O' ? '0' : c == 'I' || c == 'L' ? '1' : c;
		if (!c || !strchr(digits, c) || n == REFERENCE_TEXT - 1)
			return false;
		if (n == 5)
			out[n++] = '-';
		out[n++] = c;
	}
	out[n] = '\0';
	return n == REFERENCE_TEXT - 1 && telling;
}

bool booking_ask_read(const json_t *body, struct booking_ask *ret, struct error *e)
{
	struct json_in in, buyer, payment;

	memset(ret, 0, sizeof(*ret));
	json_in_init(&in, body, "", e);
	json_in_uuid(&in, "lock_id", JSON_REQUIRED, &ret->lock_id);
	if (json_in_object(&in, "buyer", JSON_REQUIRED, &buyer))
		booking_person_read(&buyer, &ret->buyer, e);
	if (json_in_object(&in, "payment", JSON_OPTIONAL, &payment)) {
		ret->pays = true;
		ret->method = json_in_str(&payment, "method", JSON_REQUIRED, 1, BOOKING_METHOD_MAX);
		ret->return_url = json_in_str(&payment, "return_url", JSON_OPTIONAL, 1, BOOKING_URL_MAX);
		if (e->code == ERR_NONE && (!visible(ret->method) || !begins_with_letter(ret->method)))
			json_in_fault(&payment, ERR_INVALID_VALUE, "method",
				      "\"method\" is not a token of the gateway, like pm_card_visa.");
		if (e->code == ERR_NONE && !visible(ret->return_url))
			json_in_fault(&payment, ERR_INVALID_VALUE, "return_url", "\"return_url\" is not an address.");
		json_in_end(&payment);
	}
	return json_in_end(&in);
}

static bool begins_with(struct str url, struct str prefix)
{
	char next;

	while (prefix.n && prefix.p[prefix.n - 1] == '/')
		prefix.n--;
	if (prefix.n == 0 || !str_starts(url, prefix))
		return false;
	if (url.n == prefix.n)
		return true;
	next = url.p[prefix.n];
	return next == '/' || next == '?' || next == '#';
}

bool return_url_allowed(struct str url, struct str origin, struct str public_url, struct str prefixes)
{
	struct str one;

	/* browsers take a backslash for a slash and ignore what stands before @ */
	if (!str_starts(url, STR("http://")) && !str_starts(url, STR("https://")))
		return false;
	if (url.n > BOOKING_URL_MAX || memchr(url.p, '\\', url.n) || !visible(url))
		return false;
	if (begins_with(url, origin) || begins_with(url, public_url))
		return true;
	while (prefixes.n) {
		prefixes = str_split(prefixes, ' ', &one);
		if (begins_with(url, str_trim(one)))
			return true;
	}
	return false;
}

bool booking_fee_parts(int64_t fee_minor, const int64_t *prices_minor, size_t n, int64_t step_minor, int64_t *ret_parts)
{
	int64_t total = 0, over = 0;

	for (size_t i = 0; i < n; i++)
		if (!money_add(total, prices_minor[i], &total))
			return false;
	if (fee_minor > total)
		fee_minor = total;
	if (total == 0) {
		memset(ret_parts, 0, n * sizeof(*ret_parts));
		return true;
	}
	/* shared out in steps; what is left over goes to the first seat */
	if (!money_split(fee_minor / step_minor, prices_minor, n, ret_parts))
		return false;
	for (size_t i = 0; i < n; i++)
		ret_parts[i] *= step_minor;
	ret_parts[0] += fee_minor % step_minor;
	/* the remainder that goes to the first seat may be more than that seat cost */
	for (size_t i = 0; i < n; i++)
		if (ret_parts[i] > prices_minor[i]) {
			over += ret_parts[i] - prices_minor[i];
			ret_parts[i] = prices_minor[i];
		}
	for (size_t i = 0; i < n && over; i++) {
		int64_t room = prices_minor[i] - ret_parts[i], more = over < room ? over : room;

		ret_parts[i] += more;
		over -= more;
	}
	return true;
}
