/*
 * Owns a libcurl multi handle, its sockets' watches, its timer, and the open calls. Callers: the payment adapter, the
 * verifier, organisers' webhooks.
 *
 *   http_call_start --> OPEN (in `open`) --answer, error, timeout--> finish(): callback, gone
 *                                        --http_call_cancel--> gone
 *
 * What is known when a call fails. libcurl counts the bytes of a request that the socket (or the TLS layer) has taken.
 * None taken: the other side has seen nothing, whatever the error was called (name, connection, certificate, time). One
 * taken: it may have been acted upon. The count survives libcurl's own repetition on a fresh connection, so the worst
 * attempt decides. HTTP/1.1 only: with HTTP/2 bytes are taken before they belong to a request.
 *
 * libcurl repeats a request by itself when a reused connection ends before the first byte of an answer. That is right
 * where doing it twice is doing it once: GET and its like, and requests with an Idempotency-Key. All others get a fresh
 * connection, which it never repeats.
 *
 * Nothing calls back from inside libcurl: finished transfers are taken from its queue afterwards, so that callbacks may
 * start and cancel calls. The total time is our own timer, because libcurl does not look at the clock of a transfer
 * that waits for one of the connections_max.
 *
 * No proxy from the environment, no .netrc, no cookies, no decompression. Name lookups run in libcurl's own threads.
 */
#include "io/http_client.h"

#include "base/buf.h"
#include "base/list.h"
#include "base/xmalloc.h"

#include <assert.h>
#include <curl/curl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { HEADERS_MAX = 64 << 10, REQUEST_ID_MAX = 128, ERROR_MAX = CURL_ERROR_SIZE + 64 };

struct http_client {
	struct loop *loop;
	CURLM *multi;
	struct timer *timer;
	struct list sockets, open;
	char *ca_file;
};

struct client_socket {
	struct list link;
	struct http_client *client;
	curl_socket_t fd;
	struct fd_watch *watch;
};

struct http_call {
	struct list link;
	struct http_client *client;
	CURL *easy;
	struct curl_slist *headers;
	http_call_fn *fn;
	void *arg;
	struct timer *timer; /* the total time; 0 for a call that was refused before it began */
	const char *refused; /* why, or NULL */
	int64_t started_us, total_timeout_ms;
	struct buf body;
	size_t headers_size;
	char request_id[REQUEST_ID_MAX];
	int64_t retry_after_s;
	bool should_retry_said, should_retry;
	bool cut_answer, kept_off; /* kept_off: an address was refused */
	bool (*may_connect)(void *guard, const struct sockaddr_storage *to);
	void *guard;
	char error[CURL_ERROR_SIZE];
};

/* ---- the end of a call ---- */

static void call_free(struct http_call *call)
{
	list_remove(&call->link);
	timer_free(call->timer);
	if (call->easy) {
		curl_multi_remove_handle(call->client->multi, call->easy); /* no harm when it was never added */
		curl_easy_cleanup(call->easy);
	}
	curl_slist_free_all(call->headers);
	buf_done(&call->body);
	free(call);
}

static bool bytes_left(const struct http_call *call)
{
	long request = 0;
	curl_off_t body = 0;

	if (!call->easy)
		return false;
	curl_easy_getinfo(call->easy, CURLINFO_REQUEST_SIZE, &request);
	curl_easy_getinfo(call->easy, CURLINFO_SIZE_UPLOAD_T, &body);
	return request > 0 || body > 0;
}

/* error NULL: answered. */
static void finish(struct http_call *call, const char *error)
{
	struct http_call_answer answer = {.retry_after_s = -1, .error = error ? error : ""};
	http_call_fn *fn = call->fn;
	void *arg = call->arg;
	long status = 0;

	answer.took_us = loop_now_us(call->client->loop) - call->started_us;
	if (!error) {
		curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
		answer.status = HTTP_CALL_ANSWERED;
		answer.http_status = (int)status;
		answer.body = buf_str(&call->body);
		answer.request_id = str_from(call->request_id);
		answer.retry_after_s = call->retry_after_s;
		answer.should_retry_said = call->should_retry_said;
		answer.should_retry = call->should_retry;
	} else {
		answer.status = bytes_left(call) ? HTTP_CALL_UNKNOWN : HTTP_CALL_NOT_SENT;
		answer.request_id = str_from(call->request_id);
	}
	if (call->easy)
		curl_multi_remove_handle(call->client->multi, call->easy); /* its place is free for what fn starts */
	list_remove(&call->link);
	fn(arg, &answer);
	call_free(call);
}

static void take_finished(struct http_client *c)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(c->multi, &left))) {
		struct http_call *call = NULL;
		CURLcode code = message->data.result;
		char error[ERROR_MAX];

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&call);
		if (code == CURLE_OK || (call->cut_answer && call->body.failed)) {
			finish(call, NULL);
			continue;
		}
		snprintf(error, sizeof(error), "%s", call->error[0] ? call->error : curl_easy_strerror(code));
		if (call->body.failed)
			snprintf(error, sizeof(error), "the answer is larger than %zu bytes", call->body.max);
		else if (call->headers_size > HEADERS_MAX)
			snprintf(error, sizeof(error), "the answer's headers are larger than %d bytes", HEADERS_MAX);
		else if (call->kept_off && !bytes_left(call))
			snprintf(error, sizeof(error), "the address may not be called");
		finish(call, error);
	}
}

static void on_total_timer(void *arg)
{
	struct http_call *call = arg;
	char error[ERROR_MAX];

	if (call->refused) {
		finish(call, call->refused);
		return;
	}
	snprintf(error, sizeof(error), "no complete answer within %" PRId64 " ms", call->total_timeout_ms);
	finish(call, error);
}

/* ---- libcurl on the loop ---- */

static void on_socket_event(void *arg, int events)
{
	struct client_socket *s = arg;
	struct http_client *c = s->client;
	int running, what = 0;

	if (events & LOOP_READ)
		what |= CURL_CSELECT_IN;
	if (events & LOOP_WRITE)
		what |= CURL_CSELECT_OUT;
	curl_multi_socket_action(c->multi, s->fd, what, &running); /* may free s */
	take_finished(c);
}

static void on_curl_timer(void *arg)
{
	struct http_client *c = arg;
	int running;

	curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	take_finished(c);
}

static int want_timer(CURLM *multi, long timeout_ms, void *arg)
{
	struct http_client *c = arg;

	if (timeout_ms < 0)
		timer_clear(c->timer);
	else
		timer_set_ms(c->timer, timeout_ms);
	return 0;
}

static void socket_free(struct client_socket *s)
{
	list_remove(&s->link);
	fd_watch_free(s->watch);
	free(s);
}

static int want_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	struct http_client *c = arg;
	struct client_socket *s = socket_arg;
	int events = 0;

	if (what == CURL_POLL_REMOVE) {
		if (s) {
			curl_multi_assign(c->multi, fd, NULL);
			socket_free(s);
		}
		return 0;
	}
	if (!s) {
		s = xcalloc(1, sizeof(*s));
		s->client = c;
		s->fd = fd;
		s->watch = fd_watch_new(c->loop, fd, on_socket_event, s);
		list_append(&c->sockets, &s->link);
		curl_multi_assign(c->multi, fd, s);
	}
	if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
		events |= LOOP_READ;
	if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
		events |= LOOP_WRITE;
	fd_watch_set(s->watch, events);
	return 0;
}

/* ---- the answer ---- */

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
	struct http_call *call = arg;

	size_t room = call->body.max - call->body.n;

	if (call->cut_answer && size * n > room)
		buf_add(&call->body, p, room);
	/* anything but the full size makes libcurl give up */
	return buf_add(&call->body, p, size * n) ? size * n : 0;
}

/* In place of socket(2), for each address that libcurl is about to connect to. */
static curl_socket_t on_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *to)
{
	struct http_call *call = arg;
	struct sockaddr_storage address = {0};

	if (to->addrlen > sizeof(address))
		return CURL_SOCKET_BAD;
	memcpy(&address, &to->addr, to->addrlen);
	if (purpose != CURLSOCKTYPE_IPCXN || !call->may_connect(call->guard, &address)) {
		call->kept_off = true;
		return CURL_SOCKET_BAD;
	}
	return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

static int64_t parse_retry_after(struct str value)
{
	char text[64];
	uint64_t s;
	time_t when;
	int64_t delta;

	if (str_to_u64(value, UINT32_MAX, &s))
		return (int64_t)s;
	if (value.n >= sizeof(text))
		return -1;
	memcpy(text, value.p, value.n);
	text[value.n] = '\0';
	when = curl_getdate(text, NULL);
	if (when < 0)
		return -1;
	delta = (int64_t)when - wall_now_us() / 1000000;
	return delta > 0 ? delta : 0;
}

static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
	struct http_call *call = arg;
	struct str line = {p, size * n}, name, value;

	call->headers_size += line.n;
	if (call->headers_size > HEADERS_MAX)
		return 0;
	if (str_starts(line, STR("HTTP/"))) {
		/* the head of an answer; what an interim one (103) said does not count */
		call->request_id[0] = '\0';
		call->retry_after_s = -1;
		call->should_retry_said = call->should_retry = false;
		return size * n;
	}
	while (line.n && (line.p[line.n - 1] == '\n' || line.p[line.n - 1] == '\r'))
		line.n--;
	value = str_trim(str_split(line, ':', &name));
	if (str_ieqc(name, "Request-Id")) {
		/* longer ones are no ids that anyone could ask about */
		snprintf(call->request_id, sizeof(call->request_id), "%.*s", STR_FMT(value));
	} else if (str_ieqc(name, "Retry-After")) {
		call->retry_after_s = parse_retry_after(value);
	} else if (str_ieqc(name, "Stripe-Should-Retry")) {
		call->should_retry = str_ieqc(value, "true");
		call->should_retry_said = call->should_retry || str_ieqc(value, "false");
	}
	return size * n;
}

/* ---- the request ---- */

static bool has_header(const char *const *headers, const char *name)
{
	size_t n = strlen(name);

	for (; headers && *headers; headers++) {
		if (strncasecmp(*headers, name, n) == 0 && (*headers)[n] == ':')
			return true;
	}
	return false;
}

static void add_header(struct http_call *call, const char *line)
{
	call->headers = curl_slist_append(call->headers, line);
	if (!call->headers)
		abort();
}

/* Why the call cannot be made, or NULL. libcurl would send line ends inside a header as they are. */
static const char *spec_fault(const struct http_call_spec *spec)
{
	for (const char *const *h = spec->headers; h && *h; h++) {
		if (!strchr(*h, ':'))
			return "a header without a colon";
		for (const char *p = *h; *p; p++) {
			if ((unsigned char)*p < ' ' && *p != '\t')
				return "a header with a control character";
		}
	}
	if (!*spec->method || strspn(spec->method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != strlen(spec->method))
		return "the method is not a word of upper-case letters";
	return NULL;
}

#define SET(easy, option, value) \
	do { \
		CURLcode set_ = curl_easy_setopt((easy), (option), (value)); \
		assert(set_ == CURLE_OK); \
		(void)set_; \
	} while (0)

static void set_security(struct http_call *call, const struct http_call_spec *spec)
{
	CURL *easy = call->easy;

#if LIBCURL_VERSION_NUM >= 0x075500
	SET(easy, CURLOPT_PROTOCOLS_STR, spec->https_only ? "https" : "http,https");
#else
	SET(easy, CURLOPT_PROTOCOLS, (long)(spec->https_only ? CURLPROTO_HTTPS : CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
	if (spec->may_connect) {
		SET(easy, CURLOPT_OPENSOCKETFUNCTION, on_socket);
		SET(easy, CURLOPT_OPENSOCKETDATA, call);
	}
	if (spec->alone) {
		SET(easy, CURLOPT_FRESH_CONNECT, 1L);
		SET(easy, CURLOPT_FORBID_REUSE, 1L);
		SET(easy, CURLOPT_DNS_CACHE_TIMEOUT, 0L);
	}
	SET(easy, CURLOPT_FOLLOWLOCATION, 0L);
	SET(easy, CURLOPT_PROXY, "");
	SET(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	SET(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	SET(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (call->client->ca_file) {
		/* it and nothing else */
		SET(easy, CURLOPT_CAINFO, call->client->ca_file);
		SET(easy, CURLOPT_CAPATH, NULL);
	}
}

static void set_request(struct http_call *call, const struct http_call_spec *spec)
{
	bool get = strcmp(spec->method, "GET") == 0, head = strcmp(spec->method, "HEAD") == 0;
	bool repeatable = get || head || strcmp(spec->method, "PUT") == 0 || strcmp(spec->method, "DELETE") == 0 ||
			  has_header(spec->headers, "Idempotency-Key");
	CURL *easy = call->easy;

	SET(easy, CURLOPT_URL, spec->url);
	SET(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	if (head) {
		SET(easy, CURLOPT_NOBODY, 1L);
	} else if (get && !spec->body.n) {
		SET(easy, CURLOPT_HTTPGET, 1L);
	} else if (strcmp(spec->method, "DELETE") == 0 && !spec->body.n) {
		SET(easy, CURLOPT_CUSTOMREQUEST, spec->method);
	} else {
		SET(easy, CURLOPT_POST, 1L);
		SET(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)spec->body.n);
		SET(easy, CURLOPT_COPYPOSTFIELDS, spec->body.n ? spec->body.p : "");
		if (strcmp(spec->method, "POST") != 0)
			SET(easy, CURLOPT_CUSTOMREQUEST, spec->method);
		if (!has_header(spec->headers, "Content-Type"))
			add_header(call, "Content-Type:"); /* libcurl would call it a form */
	}
	if (!repeatable)
		SET(easy, CURLOPT_FRESH_CONNECT, 1L);
	add_header(call, "Expect:"); /* a round trip for nothing, or a wait for an answer that never comes */
	for (const char *const *h = spec->headers; h && *h; h++)
		add_header(call, *h);
	SET(easy, CURLOPT_HTTPHEADER, call->headers);
}

/* ---- for callers ---- */

struct http_client *http_client_new(struct loop *loop, size_t connections_max, const char *ca_file)
{
	struct http_client *c = xcalloc(1, sizeof(*c));

	assert(connections_max > 0);
	/* out of memory is the end of a process, in libraries too (xmalloc.h) */
	if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, xmalloc, free, xrealloc, xstrdup, xcalloc))
		abort();
	c->loop = loop;
	c->ca_file = ca_file ? xstrdup(ca_file) : NULL;
	list_init(&c->sockets);
	list_init(&c->open);
	c->timer = timer_new(loop, on_curl_timer, c);
	c->multi = curl_multi_init();
	if (!c->multi)
		abort();
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, want_timer);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
	curl_multi_setopt(c->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)connections_max);
	curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)connections_max);
	curl_multi_setopt(c->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
	return c;
}

void http_client_free(struct http_client *c)
{
	struct http_call *call;
	struct client_socket *s;

	if (!c)
		return;
	while ((call = list_first(&c->open, struct http_call, link)))
		call_free(call);
	curl_multi_cleanup(c->multi); /* may still call want_socket and want_timer */
	while ((s = list_first(&c->sockets, struct client_socket, link)))
		socket_free(s);
	timer_free(c->timer);
	curl_global_cleanup();
	free(c->ca_file);
	free(c);
}

struct http_call *http_call_start(struct http_client *c, const struct http_call_spec *spec, http_call_fn *fn, void *arg)
{
	struct http_call *call = xcalloc(1, sizeof(*call));

	assert(spec->total_timeout_ms > 0 && spec->connect_timeout_ms > 0 && spec->answer_max > 0);
	call->client = c;
	call->fn = fn;
	call->arg = arg;
	call->retry_after_s = -1;
	call->started_us = loop_now_us(c->loop);
	call->total_timeout_ms = spec->total_timeout_ms;
	call->cut_answer = spec->cut_answer;
	call->may_connect = spec->may_connect;
	call->guard = spec->guard;
	buf_init(&call->body, spec->answer_max);
	list_init(&call->link);
	list_append(&c->open, &call->link);
	call->timer = timer_new(c->loop, on_total_timer, call);
	call->refused = spec_fault(spec);
	if (call->refused) {
		timer_set_ms(call->timer, 0);
		return call;
	}
	call->easy = curl_easy_init();
	if (!call->easy)
		abort();
	SET(call->easy, CURLOPT_PRIVATE, call);
	SET(call->easy, CURLOPT_ERRORBUFFER, call->error);
	SET(call->easy, CURLOPT_NOSIGNAL, 1L);
	SET(call->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)spec->connect_timeout_ms);
#if LIBCURL_VERSION_NUM >= 0x075700
	/* without it, ending a call whose name is still being looked up waits for that */
	SET(call->easy, CURLOPT_QUICK_EXIT, 1L);
#endif
	SET(call->easy, CURLOPT_WRITEFUNCTION, on_body);
	SET(call->easy, CURLOPT_WRITEDATA, call);
	SET(call->easy, CURLOPT_HEADERFUNCTION, on_header);
	SET(call->easy, CURLOPT_HEADERDATA, call);
	set_security(call, spec);
	set_request(call, spec);
	timer_set_ms(call->timer, spec->total_timeout_ms);
	if (curl_multi_add_handle(c->multi, call->easy))
		abort();
	return call;
}

void http_call_cancel(struct http_call *call)
{
	call_free(call);
}
