/*
 * HTTP(S) calls to others (the payment gateway) by libcurl's multi interface on the loop. Certificates are verified.
 * Redirects are not followed. A call is an object: started, perhaps cancelled; done_cb runs exactly once unless it was
 * cancelled, and never before http_call_start has returned.
 */
#ifndef IO_HTTP_CLIENT_H
#define IO_HTTP_CLIENT_H

#include "base/str.h"
#include "io/loop.h"

struct http_client;
struct http_call;

/* ca_file NULL: the system's. */
struct http_client *http_client_new(struct loop *loop, size_t connections_max, const char *ca_file);
void http_client_free(struct http_client *c); /* open calls are dropped without callback */

enum http_call_status {
	HTTP_CALL_ANSWERED,    /* a complete answer: see http_status */
	HTTP_CALL_NOT_SENT,    /* surely nothing reached the other side (name, connection, TLS) */
	HTTP_CALL_UNKNOWN,     /* it was sent, at least in part; the outcome is not known */
};

struct http_call_answer {
	enum http_call_status status;
	int http_status;
	struct str body;       /* valid during the callback */
	struct str request_id; /* the answer's Request-Id header, "" when absent */
	int64_t retry_after_s; /* -1 when absent */
	bool should_retry_said, should_retry; /* Stripe-Should-Retry */
	const char *error;     /* for logs, never NULL */
	int64_t took_us;
};
typedef void http_call_fn(void *arg, const struct http_call_answer *answer);

struct http_call_spec {
	const char *method, *url;
	const char *const *headers; /* "Name: value", ended by NULL; may be NULL */
	struct str body;	    /* copied */
	int64_t connect_timeout_ms, total_timeout_ms;
	size_t answer_max; /* a larger answer is HTTP_CALL_UNKNOWN */
};

struct http_call *http_call_start(struct http_client *c, const struct http_call_spec *spec, http_call_fn *fn, void *arg);
void http_call_cancel(struct http_call *call);

#endif
