/*
 * The Booking Service's rules: the states of a booking, what may be asked, what a cancellation gives back. Pure.
 *
 *   (none) --create--> PAYMENT_PENDING --confirm--> CONFIRMED --cancel, lose--> CANCELLED
 *                            |
 *                            +--fail--> FAILED    only when its lock has ended
 *
 * One booking per lock; several attempts to pay it, one at a time. Cancelling some of its seats leaves it CONFIRMED.
 */
#ifndef BOOKING_BOOKING_H
#define BOOKING_BOOKING_H

#include "base/err.h"
#include "base/ids.h"
#include "base/json.h"

enum booking_state { BOOKING_PAYMENT_PENDING, BOOKING_CONFIRMED, BOOKING_CANCELLED, BOOKING_FAILED, BOOKING_STATES };
const char *booking_state_name(enum booking_state s);
bool booking_state_parse(struct str name, enum booking_state *ret);

struct booking_arrow {
	enum booking_state from, to;
	const char *file; /* without .sql */
};
extern const struct booking_arrow booking_arrows[];
extern const size_t booking_arrows_n;
bool booking_may(enum booking_state from, enum booking_state to);

enum { BOOKING_NAME_MAX = 200, BOOKING_METHOD_MAX = 200, BOOKING_URL_MAX = 1000, BOOKING_REASON_MAX = 200 };

/* {"name", "email", "locale"?} */
struct booking_person {
	struct str name, email, locale;
};
/* Reads the members and ends the object. Slices point into it. */
void booking_person_read(struct json_in *in, struct booking_person *ret, struct error *e);

/* {"lock_id", "buyer": {"name", "email", "locale"?}, "payment"?: {"method", "return_url"?}} */
struct booking_ask {
	struct uuid lock_id;
	struct booking_person buyer;
	bool pays; /* "payment" was there */
	struct str method, return_url;
};
/* Slices point into body. */
bool booking_ask_read(const json_t *body, struct booking_ask *ret, struct error *e);

/* A reference as people say and write it: small letters, with or without its dash, O for 0, I and L for 1. false: it can be none.
 * Ten letters without a dash or a digit are taken for a name. */
bool booking_reference_read(struct str text, char out[REFERENCE_TEXT]);

/*
 * The buyer comes back to this address after 3-D Secure: it must be ours or one that was configured. origin: of the request
 * ("https://host:port"), public_url and prefixes (separated by blanks) from the configuration; each may be empty.
 * A prefix ends at the end, or before / ? #, so that "https://a.example" does not allow "https://a.example.evil.org".
 */
bool return_url_allowed(struct str url, struct str origin, struct str public_url, struct str prefixes);

/* What of the fee falls on each seat, in proportion to the prices; at most a seat's price. All parts add up to
 * min(fee, total). step_minor: of the currency; where the fee and the prices are multiples of it, so are the parts, and what
 * is given back of each seat is something that the gateway can give back. */
bool booking_fee_parts(int64_t fee_minor, const int64_t *prices_minor, size_t n, int64_t step_minor,
		       int64_t *ret_parts);

#endif
