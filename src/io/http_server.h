/*
 * The HTTP/1.1 server: our own strict reader and writer over the loop (docs/decisions says why own code).
 *
 *   listener --accept--> conn: READING HEAD -> READING BODY -> WAITING (handler) -> WRITING -> READING HEAD ...
 *                                  |  any fault: the error answer, then close
 *
 * Pipelined requests are answered in order: the next one is read only when the last was answered. Totals are timed (head,
 * body), not gaps. A handler is called once per complete request and must end it exactly once, now or later, with one of
 * the http_reply calls or http_req_take_fd; until then the request and its arena live. Everything in a request belongs to
 * the server and dies with it.
 */
#ifndef IO_HTTP_SERVER_H
#define IO_HTTP_SERVER_H

#include "base/arena.h"
#include "base/err.h"
#include "base/ids.h"
#include "base/str.h"
#include "io/loop.h"
#include "io/net.h"

#include <netinet/in.h>
#include <sys/socket.h>

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_PUT, HTTP_PATCH, HTTP_DELETE, HTTP_OPTIONS, HTTP_OTHER };
enum { HTTP_METHODS = HTTP_OTHER };
const char *http_method_name(enum http_method m);

struct http_header {
	struct str name, value; /* value trimmed */
};

struct http_req {
	struct arena *arena; /* ends with the request */
	enum http_method method;
	struct str method_name;
	struct str target; /* as sent: origin form only */
	struct str path;   /* as sent, before '?'; percent-encoding not undone (the router does, segment by segment) */
	struct str query;  /* after '?', raw */
	const struct http_header *headers;
	size_t n_headers;
	struct str body;
	struct sockaddr_storage peer;
	struct uuid id;	     /* the request id: made here, also in the answer as X-Request-Id */
	int64_t received_us; /* loop_now_us when the head was complete */
	int64_t user[4];     /* for the layer above: route index and the like; zero at first */
	void *user_p;
};

struct http_server;

typedef void http_handler(void *arg, struct http_req *req);
/*
 * Called exactly once per request that a handler was given, inside the call that ends it, for metrics and the access log:
 * bytes_out is the size of the answer, not what has left of it. status 0: the answer could not be written, the client was
 * known to be gone, or the server was freed. A taken descriptor counts as 200 with 0 bytes. Errors found by the server
 * itself do not come here; http_server_refused counts them.
 */
typedef void http_done_fn(void *arg, struct http_req *req, int status, size_t bytes_out);
/* The body for an error found by the server itself (400, 408, 413, 431, 503): a problem+json into out. */
struct buf;
typedef void http_error_body_fn(void *arg, enum err code, const char *detail, const struct uuid *request_id,
				struct buf *out);

struct http_server_config {
	size_t head_max;	  /* request line and headers, bytes */
	size_t headers_max;	  /* number of header lines */
	size_t body_max;	  /* the largest any route allows; http_server_body_limit narrows it per request */
	int64_t head_timeout_ms;  /* total, from the first byte of a request */
	int64_t body_timeout_ms;  /* total */
	int64_t idle_timeout_ms;  /* keep-alive, between requests */
	int64_t write_timeout_ms; /* total for an answer to leave */
	size_t conns_max;	  /* above: 503 and close, at once */
	size_t conns_per_network; /* of these from one network (net.h); above: 429 and close. 0: no limit */
	/* Networks whose connections do not count for it; NULL: none. */
	const struct net_list *uncounted[2];
	http_handler *handler;
	http_done_fn *done;		/* may be NULL */
	http_error_body_fn *error_body; /* may be NULL: an empty body */
	/* How large this request's body may be, asked when the head is complete and announces one; NULL: body_max. What
	 * it puts into the request's arena and user fields stays for the handler. */
	size_t (*body_limit)(void *arg, const struct http_req *req);
	void (*random_bytes)(void *out, size_t n); /* for request ids */
	void *arg;
};

struct http_server *http_server_new(struct loop *loop, const struct http_server_config *config);
/* Connections and open requests are cut (done says status 0; no hang-up is told, nothing may be answered any more);
 * listeners are closed. Not from inside a handler. */
void http_server_free(struct http_server *s);
/* A listening, non-blocking socket (shared with other processes: accept may find nothing). Owned from here on. */
void http_server_listen(struct http_server *s, int fd);
/* Graceful end: takes what is in the accept queues, stops accepting, answers what was asked with Connection: close, keeps
 * idle connections open for linger_ms so that a request already under way to us is still answered, then, when the last
 * connection has gone, calls fn once. Open requests are waited for: their deadlines are their handlers'. */
void http_server_drain(struct http_server *s, int64_t linger_ms, loop_fn *fn, void *arg);
size_t http_server_conns(const struct http_server *s);
/* One line on anything not HTTP that the server refused, for counters: indexes by enum err. */
uint64_t http_server_refused(const struct http_server *s, enum err code);

/* The first header of that name (case folded); NULL when absent. The server refuses repeated Content-Length, Host, ... */
const struct str *http_req_header(const struct http_req *req, const char *name);
/* The first value of a query parameter, percent-decoded into the request's arena; false: absent. Bad encoding: *ret_bad. */
bool http_req_query(struct http_req *req, const char *name, struct str *ret_value, bool *ret_bad);
/* %xx undone into the arena; false on a bad escape, on NUL or on ill-formed UTF-8. plus: '+' is a blank (queries). */
bool http_unescape(struct arena *a, struct str in, bool plus, struct str *ret);

/*
 * Called once when the client hangs up while the request is open (never after it was answered, never inside this call, in a
 * later turn if it has happened already). fn NULL: no more interest. End of file counts as hanging up: a client that closed
 * only its sending side cannot be told from one that is gone. The request stays open: answer it as usual; if somebody still
 * reads, it arrives. A client that pipelines more than a read buffer is noticed only when its answer is written.
 */
void http_req_on_hangup(struct http_req *req, loop_fn *fn, void *arg);
bool http_req_hung_up(const struct http_req *req);

/*
 * Answering, status 200 to 599. Content-Length, Connection, Date and X-Request-Id are written by the server; HEAD and 304/204
 * carry no body. A header with a control character in it makes the answer an empty 500 (counted as refused, internal).
 * headers may be NULL. http_reply copies the body; http_reply_shared keeps a reference until it is written.
 */
void http_reply(struct http_req *req, int status, const struct http_header *headers, size_t n_headers, struct str body);

struct shared_bytes;					       /* immutable, reference counted, one thread */
struct shared_bytes *shared_bytes_new(struct str bytes);       /* copies */
struct shared_bytes *shared_bytes_take(char *bytes, size_t n); /* malloc'ed memory passes over */
struct shared_bytes *shared_bytes_ref(struct shared_bytes *b);
void shared_bytes_unref(struct shared_bytes *b); /* NULL is fine */
struct str shared_bytes_str(const struct shared_bytes *b);
void http_reply_shared(struct http_req *req, int status, const struct http_header *headers, size_t n_headers,
		       struct shared_bytes *body);
/* Gives the connection up: returns its descriptor, non-blocking, nothing written yet, which the caller owns; the request
 * and its arena are gone when this returns. For event streams. What the client pipelined behind the request is lost. The
 * connection does not count for conns_max, idle or drain any more. */
int http_req_take_fd(struct http_req *req);
/* The same with the head of an answer that ends with its connection (200, without a length), to be written first; the caller
 * unrefs it. */
int http_req_take_stream(struct http_req *req, const struct http_header *headers, size_t n_headers,
			 struct shared_bytes **ret_head);

/* A listening TCP socket, non-blocking, close-on-exec. port 0: any; *ret_port says which. -1 with errno; backlog 1024. */
int http_listen_tcp(const char *host, uint16_t port, uint16_t *ret_port);

#endif
