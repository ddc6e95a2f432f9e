/*
 * The verifier hook: before a session is made or seats of certain shows are locked, a service of the operator's (a captcha's,
 * a waiting room's) is asked whether this client may. What it is asked and what its answers mean: docs/limits.md.
 *
 * web.h calls it for routes that say so (WEB_VERIFY_...); it calls web_verified once, later or at once.
 */
#ifndef IO_VERIFIER_H
#define IO_VERIFIER_H

#include "io/rate_limit.h"
#include "io/web.h"

struct verifier;

struct verifier_config {
	struct loop *loop;
	struct limits *limits; /* remembers who was let through (LIMIT_PASSES) */
	const char *url;
	const char *asks;    /* "sessions", "locks", or both */
	const char *shows;   /* "all", or ids: locks of these shows too, beside those with web_call.must_verify */
	const char *failing; /* "closed": 503 while it does not answer; "open": everybody may */
	const char *ca_file; /* NULL: the system's */
	int64_t timeout_ms;
};

/* NULL and a sentence in error when a setting cannot be used. */
struct verifier *verifier_new(const struct verifier_config *config, char *error, size_t error_size);
void verifier_free(struct verifier *v); /* what it was asked is dropped without answer; NULL is fine */
/* Fits web_config.verify. */
void verifier_ask(void *verifier, struct web_call *call);

#endif
