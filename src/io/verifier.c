/*
 * Owns the calls to the verifier: connections of its own, so that one that hangs takes none from the payments.
 *
 *   ask: [passed lately] -> verified
 *        CALLING -> 2xx: verified, remembered · 403: refused · 429: wait · anything else, or nothing in time: by `failing`
 */
#include "io/verifier.h"

#include "base/buf.h"
#include "base/xmalloc.h"
#include "io/http_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	CONNECTIONS_MAX = 64,
	SHOWS_MAX = 1000,
	PROOF_MAX = 8 * 1024,
	ANSWER_MAX = 64 * 1024,
	FAILING_RETRY_S = 5,
	WAIT_MAX_S = 3600
};

struct verifier {
	struct verifier_config config;
	struct http_client *http;
	bool sessions, locks, open, all_shows;
	size_t n_shows;
	struct uuid shows[SHOWS_MAX];
};

struct ask { /* in the request's arena */
	struct verifier *v;
	struct web_call *call;
};

static bool next_word(struct str *rest, struct str *ret)
{
	do {
		if (!rest->n)
			return false;
		for (size_t i = 0; i < rest->n; i++)
			if (rest->p[i] == ',' || rest->p[i] == ' ') {
				*ret = (struct str){rest->p, i};
				*rest = (struct str){rest->p + i + 1, rest->n - i - 1};
				goto found;
			}
		*ret = *rest;
		rest->n = 0;
	found:;
	} while (!ret->n);
	return true;
}

static bool read_settings(struct verifier *v, char *error, size_t size)
{
	struct str rest = str_from(v->config.asks), one;

	while (next_word(&rest, &one)) {
		if (!str_eqc(one, "sessions") && !str_eqc(one, "locks")) {
			snprintf(error, size, "verifier-asks takes sessions, locks or both; \"%.*s\" is neither",
				 STR_FMT(one));
			return false;
		}
		v->sessions = v->sessions || str_eqc(one, "sessions");
		v->locks = v->locks || str_eqc(one, "locks");
	}
	v->open = strcmp(v->config.failing, "open") == 0;
	if (!v->open && strcmp(v->config.failing, "closed") != 0) {
		snprintf(error, size, "verifier-failing is closed or open; \"%s\" is neither", v->config.failing);
		return false;
	}
	v->all_shows = strcmp(v->config.shows, "all") == 0;
	rest = v->all_shows ? STR("") : str_from(v->config.shows);
	while (next_word(&rest, &one)) {
		if (v->n_shows == SHOWS_MAX) {
			snprintf(error, size, "verifier-shows names more than %d shows", SHOWS_MAX);
			return false;
		}
		if (!uuid_parse(one, &v->shows[v->n_shows])) {
			snprintf(error, size, "verifier-shows is all, or ids of shows; \"%.*s\" is none", STR_FMT(one));
			return false;
		}
		v->n_shows++;
	}
	return true;
}

struct verifier *verifier_new(const struct verifier_config *config, char *error, size_t error_size)
{
	struct verifier *v = xcalloc(1, sizeof(*v));

	v->config = *config;
	if (!read_settings(v, error, error_size)) {
		free(v);
		return NULL;
	}
	v->http = http_client_new(config->loop, CONNECTIONS_MAX, config->ca_file);
	return v;
}

void verifier_free(struct verifier *v)
{
	if (!v)
		return;
	http_client_free(v->http);
	free(v);
}

static bool concerned(const struct verifier *v, const struct web_call *call)
{
	if (call->route->verify == WEB_VERIFY_SESSION)
		return v->sessions;
	if (call->must_verify)
		return true;
	if (!v->locks || v->all_shows)
		return v->locks;
	for (size_t i = 0; i < v->n_shows; i++)
		if (uuid_eq(&v->shows[i], &call->ids[0]))
			return true;
	return false;
}

/* Of a session in a show; a session that is only being made has none. */
static size_t pass_key(const struct web_call *call, uint8_t out[32])
{
	memcpy(out, call->who.session_id.b, 16);
	memcpy(out + 16, call->ids[0].b, 16);
	return 32;
}

static void on_answer(void *arg, const struct http_call_answer *a)
{
	struct ask *ask = arg;
	struct verifier *v = ask->v;
	struct web_call *call = ask->call;
	uint8_t key[32];

	if (a->status == HTTP_CALL_ANSWERED && a->http_status / 100 == 2) {
		if (call->route->verify == WEB_VERIFY_LOCK)
			limits_charge(v->config.limits, LIMIT_PASSES, key, pass_key(call, key),
				      loop_now_us(v->config.loop) / 1000);
		web_verified(call, ERR_NONE, NULL);
	} else if (a->status == HTTP_CALL_ANSWERED && a->http_status == 403) {
		web_verified(call, ERR_VERIFICATION_REQUIRED, NULL);
	} else if (a->status == HTTP_CALL_ANSWERED && a->http_status == 429) {
		call->retry_after_s = a->retry_after_s <= 0	      ? 0
				      : a->retry_after_s > WAIT_MAX_S ? WAIT_MAX_S
								      : (int)a->retry_after_s;
		web_verified(call, ERR_RATE_LIMITED, "It is not your turn yet.");
	} else if (v->open) {
		web_verified(call, ERR_NONE, NULL);
	} else {
		call->retry_after_s = FAILING_RETRY_S;
		web_verified(call, ERR_UNAVAILABLE, "The service that tells people from programs does not answer.");
	}
}

void verifier_ask(void *verifier, struct web_call *call)
{
	static const char *const headers[] = {"Content-Type: application/json", NULL};
	struct verifier *v = verifier;
	const struct str *proof = http_req_header(call->req, "boxoffice-proof");
	bool lock = call->route->verify == WEB_VERIFY_LOCK;
	char address[NET_ADDR_TEXT];
	struct http_call_spec spec = {.method = "POST",
				      .url = v->config.url,
				      .headers = headers,
				      .connect_timeout_ms = v->config.timeout_ms,
				      .total_timeout_ms = v->config.timeout_ms,
				      .answer_max = ANSWER_MAX};
	struct ask *ask;
	struct buf body;
	struct jw w;
	uint8_t key[32];

	/* looked at and not taken: it was charged when it passed, and for so long the bucket is empty */
	if (!concerned(v, call) || (lock && limits_look(v->config.limits, LIMIT_PASSES, key, pass_key(call, key),
							loop_now_us(v->config.loop) / 1000) > 0)) {
		web_verified(call, ERR_NONE, NULL);
		return;
	}
	if (proof && (proof->n > PROOF_MAX || !str_utf8_valid(*proof))) {
		web_verified(call, ERR_VERIFICATION_REQUIRED, "Boxoffice-Proof must be UTF-8 of at most 8192 bytes.");
		return;
	}
	ask = arena_new(call->arena, struct ask);
	ask->v = v;
	ask->call = call;
	net_addr_format(&call->client, address);
	buf_init(&body, 64 * 1024);
	jw_init(&w, &body);
	jw_obj(&w);
	jw_kcstr(&w, "action", lock ? "lock" : "session");
	if (lock) {
		jw_kuuid(&w, "show_id", &call->ids[0]);
		jw_kuuid(&w, "session_id", &call->who.session_id);
	}
	jw_kcstr(&w, "address", address);
	jw_kstr(&w, "proof", proof ? *proof : STR(""));
	jw_obj_end(&w);
	jw_done(&w);
	spec.body = buf_str(&body);
	http_call_start(v->http, &spec, on_answer, ask);
	buf_done(&body);
}
