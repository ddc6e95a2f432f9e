/*
 * Answers: the head is put together once, head and body leave in one call, and only what the socket did not take is
 * copied (or, for shared bytes, referenced). The request ends with the call that answers it; its bytes may leave later.
 */
#include "io/http_conn.h"

#include "base/xmalloc.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>

enum { ERROR_BODY_MAX = 8 * 1024, HEAD_FIXED_BYTES = 256 };

enum sent { SENT_ALL, SENT_SOME, SENT_BROKEN };

static const char *reason(int status)
{
	switch (status) {
	case 200:
		return "OK";
	case 201:
		return "Created";
	case 202:
		return "Accepted";
	case 204:
		return "No Content";
	case 302:
		return "Found";
	case 303:
		return "See Other";
	case 304:
		return "Not Modified";
	case 400:
		return "Bad Request";
	case 401:
		return "Unauthorized";
	case 402:
		return "Payment Required";
	case 403:
		return "Forbidden";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 406:
		return "Not Acceptable";
	case 408:
		return "Request Timeout";
	case 409:
		return "Conflict";
	case 410:
		return "Gone";
	case 412:
		return "Precondition Failed";
	case 413:
		return "Content Too Large";
	case 415:
		return "Unsupported Media Type";
	case 421:
		return "Misdirected Request";
	case 422:
		return "Unprocessable Content";
	case 429:
		return "Too Many Requests";
	case 431:
		return "Request Header Fields Too Large";
	case 500:
		return "Internal Server Error";
	case 502:
		return "Bad Gateway";
	case 503:
		return "Service Unavailable";
	default:
		return "Other"; /* it may even be empty; nobody reads it */
	}
}

static const char *date_now(struct http_server *s)
{
	static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
					   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	time_t now = time(NULL);
	struct tm tm;

	if (now == s->date_s)
		return s->date;
	gmtime_r(&now, &tm);
	snprintf(s->date, sizeof(s->date), "%s, %02u %s %04u %02u:%02u:%02u GMT", days[tm.tm_wday % 7],
		 (unsigned)tm.tm_mday % 100, months[tm.tm_mon % 12], (unsigned)(tm.tm_year + 1900) % 10000,
		 (unsigned)tm.tm_hour % 100, (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100);
	s->date_s = now;
	return s->date;
}

static char *put(char *at, const char *p, size_t n)
{
	memcpy(at, p, n);
	return at + n;
}

static char *put_number(char *at, size_t v)
{
	char digits[24];
	size_t i = sizeof(digits);

	do {
		digits[--i] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	return put(at, digits + i, sizeof(digits) - i);
}

/* Nothing of ours sends such a header; if a value of the client's found a way here, it must not split the answer. */
static bool headers_fit(const struct http_header *headers, size_t n_headers)
{
	for (size_t i = 0; i < n_headers; i++) {
		const struct str *name = &headers[i].name, *value = &headers[i].value;

		if (name->n == 0)
			return false;
		for (size_t k = 0; k < name->n; k++)
			if (name->p[k] <= ' ' || name->p[k] == ':' || name->p[k] == 0x7F)
				return false;
		for (size_t k = 0; k < value->n; k++)
			if (((unsigned char)value->p[k] < ' ' && value->p[k] != '\t') || value->p[k] == 0x7F)
				return false;
	}
	return true;
}

struct answer {
	int status;
	const struct uuid *id;
	const struct http_header *headers;
	size_t n_headers;
	struct str body;
	struct shared_bytes *shared; /* holds body, if not NULL */
	bool bodyless;		     /* the answer to HEAD: the length, but not the body */
	bool endless;		     /* a stream: its end is the connection's */
};

/* The two arguments of put(). */
#define LITERAL(text) (text), sizeof(text) - 1

static void write_head(struct conn *c, const struct answer *a)
{
	const char *why = reason(a->status);
	size_t size = HEAD_FIXED_BYTES;
	char *start, *at;

	for (size_t i = 0; i < a->n_headers; i++)
		size += a->headers[i].name.n + a->headers[i].value.n + 4;
	at = start = buf_room(&c->x->out, size);
	assert(start);
	at = put(at, LITERAL("HTTP/1.1 "));
	at = put_number(at, (size_t)a->status);
	*at++ = ' ';
	at = put(at, why, strlen(why));
	at = put(at, LITERAL("\r\nDate: "));
	at = put(at, date_now(c->server), 29);
	at = put(at, LITERAL("\r\nX-Request-Id: "));
	uuid_format(a->id, at);
	at += UUID_TEXT - 1;
	if (a->status != 204 && a->status != 304 && !a->endless) {
		at = put(at, LITERAL("\r\nContent-Length: "));
		at = put_number(at, a->body.n);
	}
	if (c->close_after)
		at = put(at, LITERAL("\r\nConnection: close"));
	at = put(at, LITERAL("\r\n"));
	for (size_t i = 0; i < a->n_headers; i++) {
		at = put(at, a->headers[i].name.p, a->headers[i].name.n);
		at = put(at, LITERAL(": "));
		if (a->headers[i].value.n)
			at = put(at, a->headers[i].value.p, a->headers[i].value.n);
		at = put(at, LITERAL("\r\n"));
	}
	at = put(at, LITERAL("\r\n"));
	assert((size_t)(at - start) <= size);
	c->x->out.n += (size_t)(at - start);
}

static enum sent send_vec(struct conn *c, struct iovec *iov, size_t n_iov, size_t *ret_n)
{
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = n_iov};
	size_t total = 0;
	ssize_t n;

	*ret_n = 0;
	for (size_t i = 0; i < n_iov; i++)
		total += iov[i].iov_len;
	n = sendmsg(c->fd, &msg, MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR || errno == ENOBUFS ? SENT_SOME : SENT_BROKEN;
	*ret_n = (size_t)n;
	return *ret_n == total ? SENT_ALL : SENT_SOME;
}

static struct iovec iov_of(const char *p, size_t n)
{
	union {
		const char *in;
		void *out;
	} cast = {.in = p};

	return (struct iovec){cast.out, n};
}

/* First try; keeps what is left over. */
static enum sent send_answer(struct conn *c, struct answer *a, size_t *ret_bytes)
{
	struct exchange *x = c->x;
	size_t n, n_body, head_n;
	struct iovec iov[2];
	enum sent sent;

	if (!headers_fit(a->headers, a->n_headers)) {
		c->server->refused[ERR_INTERNAL]++;
		a->status = 500;
		a->n_headers = 0;
		a->body = STR_NULL;
		a->shared = NULL;
	}
	write_head(c, a);
	head_n = x->out.n;
	n_body = a->bodyless || a->status == 204 || a->status == 304 ? 0 : a->body.n;
	*ret_bytes = head_n + n_body;
	if (c->broken)
		return SENT_BROKEN;
	iov[0] = iov_of(x->out.p, head_n);
	iov[1] = iov_of(a->body.p, n_body);
	sent = send_vec(c, iov, n_body ? 2 : 1, &n);
	if (sent != SENT_SOME)
		return sent;
	x->out_at = n < head_n ? n : head_n;
	n -= x->out_at;
	if (a->shared && n_body) {
		x->out_body = shared_bytes_ref(a->shared);
		x->out_body_at = n;
	} else {
		buf_add(&x->out, a->body.p + n, n_body - n);
	}
	return SENT_SOME;
}

static void conclude(struct conn *c, enum sent sent)
{
	if (sent == SENT_BROKEN)
		conn_destroy(c);
	else if (sent == SENT_SOME)
		conn_state(c, CONN_WRITING);
	else
		conn_answered(c);
}

void reply_write_more(struct conn *c)
{
	struct exchange *x = c->x;
	struct iovec iov[2];
	size_t n_iov = 0, n, head_left = x->out.n - x->out_at;
	enum sent sent;

	if (head_left)
		iov[n_iov++] = iov_of(x->out.p + x->out_at, head_left);
	if (x->out_body) {
		struct str body = shared_bytes_str(x->out_body);

		iov[n_iov++] = iov_of(body.p + x->out_body_at, body.n - x->out_body_at);
	}
	sent = send_vec(c, iov, n_iov, &n);
	if (sent != SENT_SOME) {
		conclude(c, sent);
		return;
	}
	x->out_at += n < head_left ? n : head_left;
	x->out_body_at += n < head_left ? 0 : n - head_left;
}

bool reply_continue(struct conn *c)
{
	static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";

	/* nothing of ours is in the socket before it, so it fits or the connection is broken */
	if (send(c->fd, text, sizeof(text) - 1, MSG_NOSIGNAL) == sizeof(text) - 1)
		return true;
	conn_destroy(c);
	return false;
}

void reply_error(struct conn *c, enum err code, const char *detail)
{
	struct http_server *s = c->server;
	const struct err_info *info = err_info(code);
	struct http_header headers[2] = {{STR("Content-Type"), STR("application/problem+json")},
					 {STR("Retry-After"), STR("1")}};
	struct uuid id;
	struct answer a = {.status = info->http_status, .id = &id, .headers = headers, .n_headers = 1};
	struct buf body;
	enum sent sent;
	size_t bytes;

	if (!c->x)
		c->x = server_exchange_get(s, c);
	/* what was read is of no use any more, its boundaries least of all */
	c->x->used = c->x->in_n;
	c->close_after = true;
	c->client_close = false;
	s->refused[code]++;
	id = server_new_id(s);
	if (info->http_status == 429 || info->http_status == 503)
		a.n_headers = 2;
	buf_init(&body, ERROR_BODY_MAX);
	if (s->config.error_body)
		s->config.error_body(s->config.arg, code, detail, &id, &body);
	a.body = buf_str(&body);
	a.bodyless = c->x->head.has_request_line && c->x->head.method == HTTP_HEAD;
	sent = send_answer(c, &a, &bytes);
	buf_done(&body);
	conclude(c, sent);
}

static struct exchange *exchange_of(struct http_req *req)
{
	struct exchange *x = (struct exchange *)(void *)req;

	assert(x->open && x->conn->state == CONN_OPEN);
	return x;
}

static void reply(struct http_req *req, int status, const struct http_header *headers, size_t n_headers,
		  struct str body, struct shared_bytes *shared)
{
	struct exchange *x = exchange_of(req);
	struct conn *c = x->conn;
	struct http_server *s = c->server;
	struct answer a = {.status = status,
			   .id = &req->id,
			   .headers = headers,
			   .n_headers = n_headers,
			   .body = body,
			   .shared = shared,
			   .bodyless = req->method == HTTP_HEAD};
	enum sent sent;
	size_t bytes;

	assert(status >= 200 && status <= 599);
	c->client_close = !x->head.keep_alive;
	/* draining: what was pipelined behind was asked, too, and is answered first, for as long as we linger */
	c->close_after = c->client_close || (s->draining && (s->idle_over || x->in_n == x->used));
	sent = send_answer(c, &a, &bytes);
	x->open = false;
	x->hangup_fn = NULL;
	if (s->config.done)
		s->config.done(s->config.arg, req, sent == SENT_BROKEN ? 0 : a.status, sent == SENT_BROKEN ? 0 : bytes);
	/* a slow reader holds its answer, not the request */
	if (sent == SENT_SOME) {
		arena_done(&x->arena);
		buf_done(&x->body);
	}
	conclude(c, sent);
}

void http_reply(struct http_req *req, int status, const struct http_header *headers, size_t n_headers, struct str body)
{
	reply(req, status, headers, n_headers, body, NULL);
}

void http_reply_shared(struct http_req *req, int status, const struct http_header *headers, size_t n_headers,
		       struct shared_bytes *body)
{
	reply(req, status, headers, n_headers, shared_bytes_str(body), body);
}

int http_req_take_fd(struct http_req *req)
{
	struct exchange *x = exchange_of(req);
	struct conn *c = x->conn;
	struct http_server *s = c->server;
	int fd = c->fd;

	x->open = false;
	x->hangup_fn = NULL;
	if (s->config.done)
		s->config.done(s->config.arg, req, 200, 0);
	c->fd = -1;
	conn_destroy(c);
	return fd;
}

int http_req_take_stream(struct http_req *req, const struct http_header *headers, size_t n_headers,
			 struct shared_bytes **ret_head)
{
	struct exchange *x = exchange_of(req);
	struct answer a = {.status = 200, .id = &req->id, .headers = headers, .n_headers = n_headers, .endless = true};

	assert(headers_fit(headers, n_headers));
	x->conn->close_after = true;
	write_head(x->conn, &a);
	*ret_head = shared_bytes_new(buf_str(&x->out));
	return http_req_take_fd(req);
}

void http_req_on_hangup(struct http_req *req, loop_fn *fn, void *arg)
{
	struct exchange *x = exchange_of(req);

	x->hangup_fn = fn;
	x->hangup_arg = arg;
	/* it has happened already: look at the end of file once more, in a later turn */
	if (x->hung_up && fn)
		fd_watch_set(x->conn->watch, LOOP_READ);
}

bool http_req_hung_up(const struct http_req *req)
{
	const struct exchange *x = (const struct exchange *)(const void *)req;

	return x->hung_up;
}
