/*
 * From an HTTP request to a handler and back: routes, path parameters, who is asking, problem answers, JSON answers.
 * No product logic here; services bring tables of routes, the app brings the hook that tells who is asking.
 *
 *   http_handler -> web_dispatch: limit by network (429) -> find route (404, 405 + Allow) -> content type, Origin (POST
 *   with cookie) -> identify (async) -> needs (401, 403) -> limits of the session and the route (429) -> verifier (async,
 *   403) -> writes by staff: the audit row (async) -> handler(call) -> web_answer / web_refuse, exactly once
 *
 * A call lives in the request's arena and dies with the answer.
 */
#ifndef IO_WEB_H
#define IO_WEB_H

#include "base/json.h"
#include "io/http_server.h"
#include "io/net.h"
#include "io/rate_limit.h"

enum { WEB_PARAMS_MAX = 4, WEB_ROUTES_MAX = 160 };

/* Who is asking, as far as the request proves it. All zero: nobody known. */
enum who_kind { WHO_NOBODY, WHO_SESSION, WHO_STAFF, WHO_BOOKING };

struct who {
	enum who_kind kind;
	bool by_cookie;
	struct uuid session_id;		 /* WHO_SESSION */
	struct uuid organizer_id;	 /* WHO_STAFF */
	struct uuid token_id;		 /* WHO_STAFF by an API token, else zero */
	struct uuid user_id;		 /* WHO_STAFF logged in, else zero */
	struct uuid login_id;		 /* the same: which login of the user's */
	unsigned scopes;		 /* WHO_STAFF: bits of enum scope */
	struct uuid show_id, booking_id; /* WHO_BOOKING: the link of one booking */
	/* WHO_STAFF by the token of a device, in the request's arena: which, and the only shows whose doors it opens (none: all) */
	struct str device;
	const struct uuid *shows;
	size_t n_shows;
};

enum scope {
	SCOPE_EVENTS = 1,
	SCOPE_SEATS = 2,
	SCOPE_BOOKINGS = 4,
	SCOPE_PAYMENTS = 8,
	SCOPE_CHECKIN = 16,
	SCOPE_ADMIN = 32,
	SCOPE_ALL = 63,
};

struct web_call;
typedef void web_handler(struct web_call *call);

enum web_need {
	WEB_ANYBODY, /* handlers look at call->who themselves */
	WEB_SESSION, /* 401 without a session */
	WEB_STAFF,   /* 401 without a token, 403 without the route's scope */
};

/* Groups for `serve --service`; bits. */
enum web_service {
	SERVICE_EVENT = 1,
	SERVICE_SEAT = 2,
	SERVICE_BOOKING = 4,
	SERVICE_PAYMENT = 8,
	SERVICE_TICKET = 16,
	SERVICE_WEB = 32,
	SERVICE_ALL = 63,
	SERVICE_ALWAYS = 64, /* health, metrics */
};

/* How a write by staff comes into the audit log. What a route does not say is the safe way. */
enum web_audit {
	WEB_AUDIT_AHEAD, /* its row is committed before the handler is called, its outcome follows the answer */
	WEB_AUDIT_TX,	 /* the handler writes the row in the transaction of the change (audit_add) */
};

/* What is asked before the handler is called (web_config.verify). */
enum web_verify { WEB_VERIFY_NOTHING, WEB_VERIFY_SESSION, WEB_VERIFY_LOCK };

struct web_route {
	enum http_method method;
	const char *
		pattern; /* "/v1/shows/{show}/locks/{lock}": a {name} of type UUID; "{name*}" is any text of one segment */
	web_handler *handler;
	enum web_need need;
	unsigned scope;	 /* WEB_STAFF */
	size_t body_max; /* 0: the default for bodies of this method */
	bool raw_body;	 /* the body is not JSON: no content type check */
	/* true: too much is waiting already; answered 503 before anybody is asked who they are. May be NULL. */
	bool (*full)(void *service);
	enum web_audit audit;
	enum web_verify verify;
	/* The parameters that may stand after "?", separated by blanks; NULL: none. Others are answered 400, on addresses under /v1/. */
	const char *query;
	bool grows; /* begins something that takes room in the database: not done while its disk is nearly full */
};

struct web_call {
	struct http_req *req;
	struct arena *arena;
	const struct web_route *route;
	int route_index;
	void *service;			  /* what the service gave with its routes */
	struct uuid ids[WEB_PARAMS_MAX];  /* path parameters of type UUID, in order */
	struct str texts[WEB_PARAMS_MAX]; /* the others, decoded, in order */
	struct who who;
	struct buf out; /* of the answer; freed by the layer */
	struct jw json;
	enum err refused;	/* for metrics */
	int retry_after_s;	/* of a 429 or 503; 0: the usual second */
	struct net_addr client; /* who asks, as far as our proxies say */
	bool limited_network;	/* not one of those that are never limited */
	enum limit limited_by;	/* of a 429 by web_limit_refuse, for metrics */
	bool writing_problem, answered;
	struct web *web;
	int64_t timer_us;     /* free for handlers */
	int status;	      /* of the answer, once it is given */
	bool audited;	      /* a write by staff: its row is there, or nothing was changed */
	struct uuid audit_id; /* of a row that waits for its outcome */
	bool must_verify;     /* the verifier is asked whatever the settings say */
	struct uuid made;     /* what a POST makes, when its id comes from auth_idempotent */
};

struct web;

struct web_config {
	struct loop *loop;
	unsigned services; /* bits of enum web_service that are served here */
	/* Tells who is asking, now or later, then calls web_identified exactly once. */
	void (*identify)(void *identify_arg, struct web_call *call);
	void *identify_arg;
	/* A write by staff is about to be done: writes its row, now or later, then calls web_audited exactly once. NULL: no
	 * log is kept. */
	void (*audit)(void *audit_arg, struct web_call *call);
	void *audit_arg;
	/* Not NULL: what this route does is not done now, in a sentence; answered 503 before anybody is asked who they are. May
	 * be NULL itself. */
	const char *(*closed)(void *closed_arg, const struct web_call *call);
	void *closed_arg;
	int closed_retry_s;
	/* After every answer: for metrics and the access log. May be NULL. */
	void (*done)(void *done_arg, const struct web_call *call, int status, size_t bytes);
	void *done_arg;
	size_t json_body_max;  /* default for bodies */
	struct limits *limits; /* NULL: none */
	/* May be NULL: proxies whose X-Forwarded-For is believed, networks whose requests count against no network's limit. */
	const struct net_list *proxies, *unlimited;
	/* For routes with web_route.verify; calls web_verified exactly once. NULL: nobody is asked. */
	void (*verify)(void *verify_arg, struct web_call *call);
	void *verify_arg;
};

struct web *web_new(const struct web_config *config);
const struct web_config *web_settings(const struct web_call *call);
void web_free(struct web *w);
/* Adds the routes of one service; the table must live as long as the web. */
void web_add(struct web *w, enum web_service service, const struct web_route *routes, size_t n, void *service_arg);
size_t web_route_count(const struct web *w);
const struct web_route *web_route_at(const struct web *w, size_t i);
/* These four fit http_server_config; arg is the struct web. */
void web_handle(void *web, struct http_req *req);
void web_done(void *web, struct http_req *req, int status, size_t bytes_out);
size_t web_body_limit(void *web, const struct http_req *req);
void web_error_body(void *web, enum err code, const char *detail, const struct uuid *request_id, struct buf *out);

/* who NULL and err set: the credentials are bad (401) or could not be checked (503). */
void web_identified(struct web_call *call, const struct who *who, enum err err);

/* ERR_NONE: the row is there and the handler may begin; else the call is refused, nothing having been done. */
void web_audited(struct web_call *call, enum err err);
/* The request is from a page of another site: it carries an Origin that is not this host. */
bool web_from_elsewhere(const struct web_call *call);
/* ERR_NONE: go on. Anything else is the answer; detail NULL: the usual sentence. */
void web_verified(struct web_call *call, enum err err, const char *detail);

/* ---- limits: see rate_limit.h ---- */

/*
 * Of locks made in the show that the path names first, by this session and by this network. look: how long until one more is
 * allowed, in milliseconds, 0: now; *ret_which says by what. made: one was made.
 */
int64_t web_hold_look(const struct web_call *call, enum limit *ret_which);
void web_hold_made(const struct web_call *call);
/* One of this network's uses of the limit. false after having answered 429. */
bool web_limit_network(struct web_call *call, enum limit which);
/* 429 with Retry-After and the limit. */
void web_limit_refuse(struct web_call *call, enum limit which, int64_t wait_ms);

/* ---- answering: each call exactly once ---- */

/* Opens an object for a JSON answer; write into call->json; then web_json_end. */
struct jw *web_json(struct web_call *call);
void web_json_end(struct web_call *call, int status);
/* With further headers. Cache-Control: no-store is sent unless headers name one. */
void web_json_end_headers(struct web_call *call, int status, const struct http_header *headers, size_t n);
void web_empty(struct web_call *call, int status); /* 204 and the like */
void web_shared(struct web_call *call, int status, const struct http_header *headers, size_t n,
		struct shared_bytes *body);
void web_bytes(struct web_call *call, int status, const struct http_header *headers, size_t n, struct str body);

/* A problem answer. detail NULL: the sentence of errors.def. */
void web_refuse(struct web_call *call, enum err code, const char *detail);
void web_refuse_error(struct web_call *call, const struct error *e); /* with "path" when there is one */
/* A problem answer with fields of its own: write them into the returned writer, then web_problem_end. */
struct jw *web_problem(struct web_call *call, enum err code, const char *detail);
void web_problem_end(struct web_call *call);

/* The body as a JSON object; NULL after having answered 400. Decref'd by the layer with the call. */
json_t *web_body(struct web_call *call);
/* The Idempotency-Key header: empty when absent; false after having answered 400 (1..255 visible ASCII characters). */
bool web_idempotency_key(struct web_call *call, struct str *ret_key);
/* If-None-Match holds this strong tag (or *). etag with quotes. */
bool web_etag_matches(const struct web_call *call, struct str etag);
/* Accept-Encoding allows gzip. */
bool web_accepts_gzip(const struct web_call *call);

#endif
