/*
 * Money: int64_t minor units and an ISO 4217 currency. Sums are checked; percentages round half up.
 */
#ifndef BASE_MONEY_H
#define BASE_MONEY_H

#include "base/str.h"

struct currency {
	char code[4];
	int exponent;	       /* decimals: 0 for JPY, 2 for EUR, 3 for KWD */
	int64_t minimum_minor; /* the smallest amount that can be charged; below it only 0 is allowed */
	int64_t step_minor;    /* amounts are multiples of it (CHF in cash is not: cards take any centime) */
};

/* The largest amount the gateway takes: 8 digits (12 in currencies without decimals are not offered). */
#define MONEY_MAX_MINOR INT64_C(99999999)

struct money {
	int64_t amount_minor;
	const struct currency *currency;
};

/* NULL when we do not sell in it. Upper-case codes only. */
const struct currency *currency_find(struct str code);
bool money_add(int64_t a_minor, int64_t b_minor, int64_t *ret_minor);
bool money_times(int64_t a_minor, int64_t n, int64_t *ret_minor);
/* amount * numerator / denominator, half up, for non-negative arguments and denominator > 0. */
bool money_share(int64_t amount_minor, int64_t numerator, int64_t denominator, int64_t *ret_minor);
/* Splits total over n parts in proportion to weight (all equal when every weight is 0); rounded down, what is left
 * over goes to the first part, so that the parts always add up to total exactly. */
bool money_split(int64_t total_minor, const int64_t *weight, size_t n, int64_t *ret_parts);
/* "45.00 EUR", "4500 JPY". */
enum { MONEY_TEXT_MAX = 40 };
size_t money_format(struct money m, char out[MONEY_TEXT_MAX]);

#endif
