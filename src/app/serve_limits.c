/* Owns the reading of what limits clients, before the workers part: a setting that cannot be used ends `serve` at once. */
#include "app/serve_int.h"
#include "io/crypto.h"

#include <stdio.h>

/* Eight keys each: half a million sessions and networks in 4 MiB, of which only pages that are used exist. */
enum { SETS = 1 << 16, MINUTE_MS = 60 * 1000, HOUR_MS = 60 * MINUTE_MS };

static bool networks_read(const char *setting, const char *text, struct net_list *ret)
{
	struct str bad = STR_NULL;

	if (net_list_parse(text, ret, &bad))
		return true;
	if (bad.p)
		fprintf(stderr,
			"boxoffice: --%s takes networks like 10.0.0.0/8 or 2001:db8::/32; \"%.*s\" is none of them\n",
			setting, STR_FMT(bad));
	else
		fprintf(stderr, "boxoffice: --%s names more than %d networks\n", setting, NET_LIST_MAX);
	return false;
}

/* So many in the period, also at once. */
static struct limit_rule per(int64_t n, int period_ms)
{
	return (struct limit_rule){(uint32_t)n, n ? (uint32_t)(period_ms / n) : 0};
}

bool serve_limits_init(struct serve_limits *l, const struct config *c)
{
	struct limit_rule rules[LIMIT_COUNT] = {
		[LIMIT_REQUESTS_NETWORK] = per(c->requests_per_network, MINUTE_MS),
		[LIMIT_REQUESTS_SESSION] = per(c->requests_per_session, MINUTE_MS),
		[LIMIT_SESSIONS] = per(c->sessions_per_network, MINUTE_MS),
		[LIMIT_HOLDS_SESSION] = {(uint32_t)c->holds_per_session, (uint32_t)c->hold_return_seconds * 1000},
		[LIMIT_HOLDS_NETWORK] = per(c->holds_per_network, HOUR_MS),
		[LIMIT_PASSES] = {c->verifier_seconds ? 1 : 0, (uint32_t)c->verifier_seconds * 1000},
	};
	uint8_t key[16];

	if (!networks_read("trusted-proxies", c->trusted_proxies, &l->proxies) ||
	    !networks_read("unlimited-networks", c->unlimited_networks, &l->unlimited))
		return false;
	crypto_random(key, sizeof(key));
	l->limits = limits_new(rules, SETS, key);
	return true;
}
