/*
 * Whose request it is, and whether he asks too often: the limits of networks, sessions and locks made (rate_limit.h), as calls
 * meet them. Keeps nothing itself.
 */
#include "io/web_int.h"

#include <stdio.h>
#include <string.h>

enum { FORWARDED_LINES_MAX = 8 };

static struct net_addr client_of(const struct web_config *config, const struct http_req *req)
{
	struct net_addr peer = net_addr_of(&req->peer);
	struct str lines[FORWARDED_LINES_MAX];
	size_t n = 0, from = 0;

	if (!config->proxies || !net_list_has(config->proxies, &peer))
		return peer;
	for (size_t i = 0; i < req->n_headers; i++)
		n += str_ieqc(req->headers[i].name, "x-forwarded-for");
	/* the last ones: those before were written by others than our proxies, or there are more proxies than anybody has */
	from = n > FORWARDED_LINES_MAX ? n - FORWARDED_LINES_MAX : 0;
	n = 0;
	for (size_t i = 0; i < req->n_headers; i++)
		if (str_ieqc(req->headers[i].name, "x-forwarded-for")) {
			if (from)
				from--;
			else
				lines[n++] = req->headers[i].value;
		}
	return net_client(&peer, config->proxies, lines, n);
}

/* Our proxies themselves ask, too: whether we live. */
static bool is_unlimited(const struct web_config *config, const struct net_addr *a)
{
	return (config->unlimited && net_list_has(config->unlimited, a)) ||
	       (config->proxies && net_list_has(config->proxies, a));
}

void web_limits_begin(struct web_call *call)
{
	const struct web_config *config = web_settings(call);

	call->limited_by = LIMIT_COUNT;
	call->client = client_of(config, call->req);
	call->limited_network = config->limits && !is_unlimited(config, &call->client);
}

static int64_t now_ms(const struct web_call *call)
{
	return loop_now_us(web_settings(call)->loop) / 1000;
}

void web_limit_refuse(struct web_call *call, enum limit which, int64_t wait_ms)
{
	static const struct {
		const char *what, *per;
	} words[LIMIT_COUNT] = {
		[LIMIT_REQUESTS_NETWORK] = {"Your network sends too many requests", " a minute"},
		[LIMIT_REQUESTS_SESSION] = {"Your session sends too many requests", " a minute"},
		[LIMIT_SESSIONS] = {"Your network begins too many sessions", " a minute"},
		[LIMIT_HOLDS_SESSION] = {"You have locked seats of this show too often", ""},
		[LIMIT_HOLDS_NETWORK] = {"Your network locks seats of this show too often", " an hour"},
		[LIMIT_PASSES] = {"", ""},
	};
	uint32_t limit = limits_burst(web_settings(call)->limits, which);
	char detail[160];
	struct jw *w;

	snprintf(detail, sizeof(detail), "%s: at most %u times%s.", words[which].what, limit, words[which].per);
	call->limited_by = which;
	call->retry_after_s = (int)((wait_ms + 999) / 1000);
	w = web_problem(call, ERR_RATE_LIMITED, detail);
	jw_kint(w, "limit", limit);
	web_problem_end(call);
}

bool web_limit_network(struct web_call *call, enum limit which)
{
	struct net_addr network = net_addr_network(&call->client);
	int64_t wait_ms = 0;

	if (call->limited_network)
		wait_ms = limits_take(web_settings(call)->limits, which, &network, sizeof(network), now_ms(call));
	if (wait_ms)
		web_limit_refuse(call, which, wait_ms);
	return wait_ms == 0;
}

bool web_limit_session(struct web_call *call)
{
	int64_t wait_ms = 0;

	if (call->who.kind == WHO_SESSION)
		wait_ms = limits_take(web_settings(call)->limits, LIMIT_REQUESTS_SESSION, &call->who.session_id,
				      sizeof(call->who.session_id), now_ms(call));
	if (wait_ms)
		web_limit_refuse(call, LIMIT_REQUESTS_SESSION, wait_ms);
	return wait_ms == 0;
}

/* The show, and who: a session, or a network. */
static void hold_key(const struct web_call *call, const void *who, uint8_t out[32])
{
	memcpy(out, call->ids[0].b, 16);
	memcpy(out + 16, who, 16);
}

int64_t web_hold_look(const struct web_call *call, enum limit *ret_which)
{
	struct net_addr network = net_addr_network(&call->client);
	struct limits *l = web_settings(call)->limits;
	int64_t wait_ms;
	uint8_t key[32];

	hold_key(call, &call->who.session_id, key);
	*ret_which = LIMIT_HOLDS_SESSION;
	wait_ms = limits_look(l, LIMIT_HOLDS_SESSION, key, sizeof(key), now_ms(call));
	if (wait_ms || !call->limited_network)
		return wait_ms;
	hold_key(call, &network, key);
	*ret_which = LIMIT_HOLDS_NETWORK;
	return limits_look(l, LIMIT_HOLDS_NETWORK, key, sizeof(key), now_ms(call));
}

void web_hold_made(const struct web_call *call)
{
	struct net_addr network = net_addr_network(&call->client);
	struct limits *l = web_settings(call)->limits;
	uint8_t key[32];

	hold_key(call, &call->who.session_id, key);
	limits_charge(l, LIMIT_HOLDS_SESSION, key, sizeof(key), now_ms(call));
	hold_key(call, &network, key);
	if (call->limited_network)
		limits_charge(l, LIMIT_HOLDS_NETWORK, key, sizeof(key), now_ms(call));
}
