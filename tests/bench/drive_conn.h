/*
 * HTTP/1.1 keep-alive connections, one request at a time on each.
 *
 * A request is one send(), its answer usually one recv(). Of an answer the status, the length and what is asked for are
 * looked at; a long body is taken off the socket without being copied.
 */
#ifndef BENCH_DRIVE_CONN_H
#define BENCH_DRIVE_CONN_H

#include "drive_options.h"
#include "drive_stats.h"

#include "base/list.h"
#include "base/str.h"

/* What is asked for; the scenario fills it in and reads it again with the answer. */
struct intent {
	int64_t start_us; /* of what it is a part of: decides whether it is counted */
	int64_t due_us;	  /* its latency counts from here */
	uint32_t show, session, actor;
	uint8_t stream, step, n_seats;
	bool collect; /* the answer's whole body is wanted, whatever its size */
	uint32_t seats[SEATS_MAX];
};

struct answer {
	int status; /* 0: the connection was lost, `body` says how */
	struct str head, body;
	bool whole; /* body is all of it; otherwise it is empty */
};

enum { REQUEST_MAX = 8192 };

typedef void conn_answer_fn(void *arg, const struct intent *in, const struct answer *a);
typedef void conn_problem_fn(void *arg, enum problem kind, const char *text);

struct conn;

struct conns {
	int epfd, n;
	struct conn *all;
	struct list idle; /* oldest first: all of them are used */
	int n_idle, n_waiting, n_closed;
	uint64_t n_reopened; /* after the server closed them while they were idle, or said that it would */
	const struct options *options;
	conn_answer_fn *answer_fn;
	conn_problem_fn *problem_fn;
	void *arg;
	struct buf collected; /* body of the one request that asked for it */
	struct conn *collector;
	char *scratch;
};

/* The epoll data of a connection is a pointer to it; NULL and small numbers are the caller's. */
void conns_init(struct conns *s, int epfd, const struct options *o, conn_answer_fn *answer_fn,
		conn_problem_fn *problem_fn, void *arg);
void conns_done(struct conns *s);
/* Tries again those that could not be opened; they become idle in a later turn. */
void conns_reopen(struct conns *s);
void conns_event(struct conns *s, void *data, uint32_t events);
/* Needs an idle one. answer_fn is called from conns_event, never from here. */
void conns_send(struct conns *s, const struct intent *in, const char *request, size_t n);
/* A nonblocking socket that is being connected to the server, -1 with errno. index chooses the source address, because one has
 * only so many ports. */
int conn_socket(const struct options *o, int index);

#endif
