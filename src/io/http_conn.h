/*
 * Inside the HTTP server; for http_server.c, http_conn.c and http_reply.c only.
 *
 * A conn is a descriptor, its state and its deadline. What a request needs (read buffer, parser, arena, answer) is an
 * exchange, taken from the server's pool with the first byte and given back when the answer has left: an idle connection
 * holds nothing but itself.
 *
 *   IDLE -> HEAD -> BODY -> OPEN (the handler has it) -> WRITING (the socket is full) -> IDLE or HEAD
 *     `-------`------`-------`-----------------------------`-> LINGER (we sent all and FIN; reading what still comes) -> DEAD
 *
 * A state is membership of the server's list of that name; all members of a list have the same timeout, so each list is
 * in the order of its deadlines and one timer for the whole server looks at their first members only. An open request
 * has no deadline here: that is its handler's business.
 */
#ifndef IO_HTTP_CONN_H
#define IO_HTTP_CONN_H

#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"
#include "io/http_parse.h"
#include "io/http_server.h"

enum conn_state {
	CONN_IDLE,
	CONN_HEAD,
	CONN_BODY,
	CONN_OPEN,
	CONN_WRITING,
	CONN_LINGER,
	CONN_DEAD,
	CONN_LISTS = CONN_DEAD, /* the living states have one each */
};

enum {
	HTTP_IN_BYTES = 2048,		/* a read buffer at first */
	HTTP_BODY_IN_PLACE = 16 * 1024, /* head and body up to here share the read buffer */
	HTTP_POOL_MAX = 128,		/* exchanges kept for reuse */
	HTTP_KEPT_BYTES = 16 * 1024,	/* larger buffers are not kept */
	HTTP_LINGER_MS = 2000,		/* total, for what a client still sends after our last byte */
	HTTP_LINGER_BYTES = 16 * 1024 * 1024,
	HTTP_SWEEP_MS = 20, /* deadlines are kept this exactly */
	HTTP_SCRATCH_BYTES = 64 * 1024,
	HTTP_RANDOM_IDS = 64,	/* ids per call of random_bytes */
	HTTP_REFUSED_MAX = 256, /* connections above conns_max that are told so politely */
};

enum body_mode { BODY_NONE, BODY_IN_PLACE, BODY_APART, BODY_CHUNKED };

struct exchange {
	struct http_req req; /* first: the handler's pointer is ours */
	struct conn *conn;
	struct exchange *next_free;
	/* reading: in holds head, body (in place) or raw chunks, then the beginning of the next request */
	char *in;
	size_t in_n, in_cap;
	size_t used; /* up to here it is this request's */
	struct http_head head;
	struct http_chunked chunked;
	enum body_mode body_mode;
	struct buf body;
	struct arena arena;
	/* the handler's */
	bool open, hung_up;
	loop_fn *hangup_fn;
	void *hangup_arg;
	/* answering: what the socket did not take yet */
	struct buf out;
	size_t out_at;
	struct shared_bytes *out_body;
	size_t out_body_at;
};

/* The connections of one network, as long as there are some. */
struct crowd {
	struct uuid network; /* its 16 bytes: the key in http_server.crowds */
	size_t n;
};

struct conn {
	struct list link;  /* of its state's list */
	struct list ready; /* of the server's ready list, or alone */
	struct http_server *server;
	struct fd_watch *watch;
	struct exchange *x;  /* NULL: idle */
	struct crowd *crowd; /* NULL: not counted */
	int64_t deadline_us;
	size_t discarded;
	int fd;
	enum conn_state state;
	bool processing;   /* conn_process is on the stack: it frees and goes on */
	bool close_after;  /* this answer is the last */
	bool client_close; /* the client said that it sends nothing more */
	bool eof, broken;
	bool extra; /* above conns_max: only told so */
	union {
		sa_family_t family;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} peer;
};

struct listener;

struct http_server {
	struct loop *loop;
	struct http_server_config config;
	struct list lists[CONN_LISTS];
	struct list listeners;
	size_t n_conns, n_extra;
	struct map *crowds; /* struct crowd by network; NULL: not counted */
	struct timer *sweep;
	int64_t sweep_at_us; /* INT64_MAX: not set */
	struct list ready;   /* conns with a pipelined request to be looked at in this turn */
	struct deferred *ready_run;
	struct exchange *pool;
	size_t n_pool;
	char *scratch; /* for bytes nobody wants */
	int reserve_fd;
	struct timer *accept_pause;
	/* drain */
	bool draining, idle_over;
	struct timer *drain_linger;
	struct deferred *drained;
	loop_fn *drained_fn;
	void *drained_arg;
	/* caches */
	int64_t date_s;
	char date[32];
	uint8_t random[10 * HTTP_RANDOM_IDS];
	size_t random_left;
	uint64_t refused[ERR_COUNT];
};

/* http_server.c */
struct uuid server_new_id(struct http_server *s);
struct exchange *server_exchange_get(struct http_server *s, struct conn *c);
void server_exchange_reset(struct exchange *x); /* what was read beyond the request stays */
void server_exchange_put(struct http_server *s, struct exchange *x);
void server_sweep_by(struct http_server *s, int64_t deadline_us);
void server_conn_gone(struct http_server *s, struct conn *c);

/* http_conn.c */
struct conn *conn_new(struct http_server *s, int fd, const struct sockaddr_storage *peer);
/* Closes and frees; a request that is open ends with status 0. */
void conn_destroy(struct conn *c);
void conn_state(struct conn *c, enum conn_state to);
void conn_expired(struct conn *c);
/* Reads what is there, if the connection waits for a request. */
void conn_poke(struct conn *c);
void conn_process(struct conn *c);
/* All of the answer has left. */
void conn_answered(struct conn *c);

/* http_reply.c */
/* The server's own answer: problem body, Connection: close, lingering. */
void reply_error(struct conn *c, enum err code, const char *detail);
bool reply_continue(struct conn *c); /* false: the connection is gone */
/* Writes on; the connection may be gone afterwards. */
void reply_write_more(struct conn *c);

#endif
