/*
 * HTTP(S) calls to others (the payment gateway) by libcurl's multi interface on the loop. Certificates are verified.
 * Redirects are not followed. A call is an object: started, perhaps cancelled; done_cb runs exactly once unless it was
 * cancelled, and never before http_call_start has returned.
 */
#ifndef IO_HTTP_CLIENT_H
#define IO_HTTP_CLIENT_H

#include "base/str.h"
#include "io/loop.h"

#include <sys/socket.h>

struct http_client;
struct http_call;

/*
 * ca_file NULL: the system's; else only what is in it. Calls beyond connections_max wait for one to end; that time
 * counts. Connections are kept and used again. libcurl repeats a request by itself, once, when a kept connection ends
 * before the first byte of the answer: therefore only GET, HEAD, PUT, DELETE and requests with an Idempotency-Key go
 * over kept ones, others open their own. No proxy is taken from the environment. HTTP/1.1.
 */
struct http_client *http_client_new(struct loop *loop, size_t connections_max, const char *ca_file);
void http_client_free(struct http_client *c); /* open calls are dropped without callback */

enum http_call_status {
	HTTP_CALL_ANSWERED, /* a complete answer: see http_status. Without length or chunks a cut-off cannot be told */
	HTTP_CALL_NOT_SENT, /* surely no byte of it left (name, connection, TLS, waiting; a malformed URL or header) */
	HTTP_CALL_UNKNOWN,  /* it was sent, at least in part; the outcome is not known */
};

struct http_call_answer {
	enum http_call_status status;
	int http_status;
	struct str body;		      /* valid during the callback */
	struct str request_id;		      /* the answer's Request-Id header, "" when absent, cut at 127 bytes */
	int64_t retry_after_s;		      /* -1 when absent or malformed; a date is turned into seconds from now */
	bool should_retry_said, should_retry; /* Stripe-Should-Retry */
	const char *error;		      /* for logs, never NULL */
	int64_t took_us;
};
typedef void http_call_fn(void *arg, const struct http_call_answer *answer);

struct http_call_spec {
	const char *method, *url;
	const char *const *headers; /* "Name: value", ended by NULL; may be NULL. Nothing in here is kept */
	struct str body;	    /* copied */
	int64_t connect_timeout_ms; /* up to and with TLS */
	int64_t total_timeout_ms;   /* from the start; both over 0 */
	size_t answer_max;	    /* a larger answer is HTTP_CALL_UNKNOWN */
	/* Of calls to an address that a stranger has named, all optional: */
	bool cut_answer; /* a larger answer is HTTP_CALL_ANSWERED all the same, with what fits */
	bool https_only;
	bool alone; /* neither over a connection that is kept nor keeping its own; names are looked up anew */
	/* Asked before each connection, with the address that the name came to: what is refused is never connected to. */
	bool (*may_connect)(void *guard, const struct sockaddr_storage *to);
	void *guard;
};

/* fn may start and cancel calls, not free the client. The handle ends when fn begins. */
struct http_call *http_call_start(struct http_client *c, const struct http_call_spec *spec, http_call_fn *fn,
				  void *arg);
void http_call_cancel(struct http_call *call);

#endif
