#include "base/money.h"

#include <stdio.h>

/* Exponents by ISO 4217, minima and steps by the gateway's published table (three-decimal currencies end in 0). */
static const struct currency currencies[] = {
	{"AED", 2, 200, 1},  {"AUD", 2, 50, 1},	  {"BGN", 2, 100, 1},	  {"BRL", 2, 50, 1},  {"CAD", 2, 50, 1},
	{"CHF", 2, 50, 1},   {"CNY", 2, 400, 1},  {"CZK", 2, 1500, 1},	  {"DKK", 2, 250, 1}, {"EUR", 2, 50, 1},
	{"GBP", 2, 30, 1},   {"HKD", 2, 400, 1},  {"HUF", 2, 17500, 100}, {"INR", 2, 50, 1},  {"JPY", 0, 50, 1},
	{"KRW", 0, 1000, 1}, {"KWD", 3, 200, 10}, {"MXN", 2, 1000, 1},	  {"NOK", 2, 300, 1}, {"NZD", 2, 50, 1},
	{"PLN", 2, 200, 1},  {"RON", 2, 200, 1},  {"SEK", 2, 300, 1},	  {"SGD", 2, 50, 1},  {"TND", 3, 2000, 10},
	{"USD", 2, 50, 1},
};

const struct currency *currency_find(struct str code)
{
	for (size_t i = 0; i < sizeof(currencies) / sizeof(currencies[0]); i++)
		if (str_eqc(code, currencies[i].code))
			return &currencies[i];
	return NULL;
}

bool money_add(int64_t a_minor, int64_t b_minor, int64_t *ret_minor)
{
	return !__builtin_add_overflow(a_minor, b_minor, ret_minor);
}

bool money_times(int64_t a_minor, int64_t n, int64_t *ret_minor)
{
	return !__builtin_mul_overflow(a_minor, n, ret_minor);
}

bool money_share(int64_t amount_minor, int64_t numerator, int64_t denominator, int64_t *ret_minor)
{
	__int128 v = (__int128)amount_minor * numerator;

	if (amount_minor < 0 || numerator < 0 || denominator <= 0)
		return false;
	v = (2 * v + denominator) / (2 * (__int128)denominator);
	if (v > INT64_MAX)
		return false;
	*ret_minor = (int64_t)v;
	return true;
}

bool money_split(int64_t total_minor, const int64_t *weight, size_t n, int64_t *ret_parts)
{
	__int128 sum = 0;
	int64_t left = total_minor;

	if (n == 0 || total_minor < 0)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (weight[i] < 0)
			return false;
		sum += weight[i];
	}
	for (size_t i = 0; i < n; i++) {
		ret_parts[i] = sum ? (int64_t)((__int128)total_minor * weight[i] / sum) : total_minor / (int64_t)n;
		left -= ret_parts[i];
	}
	ret_parts[0] += left;
	return true;
}

size_t money_format(struct money m, char out[MONEY_TEXT_MAX])
{
	uint64_t unit = 1, v = m.amount_minor < 0 ? 0 - (uint64_t)m.amount_minor : (uint64_t)m.amount_minor;
	const char *sign = m.amount_minor < 0 ? "-" : "";
	int e = m.currency->exponent;

	for (int i = 0; i < e; i++)
		unit *= 10;
	if (e == 0)
		return (size_t)snprintf(out, MONEY_TEXT_MAX, "%s%llu %s", sign, (unsigned long long)v,
					m.currency->code);
	return (size_t)snprintf(out, MONEY_TEXT_MAX, "%s%llu.%0*llu %s", sign, (unsigned long long)(v / unit), e,
				(unsigned long long)(v % unit), m.currency->code);
}
