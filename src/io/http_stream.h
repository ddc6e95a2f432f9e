/*
 * Event streams (Server-Sent Events): connections on which the server goes on telling something.
 *
 *   request --web_stream--> OPEN --http_stream_close, and its last bytes have left--> gone
 *                             |  the client leaves; it reads too slowly; the process drains--> gone
 *
 * A stream has given up its request: what is left of it is a descriptor, its watch and this structure, so that a process can
 * hold tens of thousands. What is sent is shared bytes, so that one event for all viewers of a show exists once: a stream
 * keeps a reference only to what its socket did not take. A viewer that lags behind by more than queue_max bytes, or takes
 * nothing for as long as a heartbeat, is closed: it comes again (`retry`) and is told the present state.
 *
 * Whatever ends a stream, closed runs exactly once for it: never inside one of these calls but http_streams_drain and
 * http_streams_free, and never before web_stream has returned. It is the last that is heard of the stream; its pointer is
 * good until then, also after http_stream_close.
 */
#ifndef IO_HTTP_STREAM_H
#define IO_HTTP_STREAM_H

#include "io/metrics_table.h"
#include "io/web.h"

struct http_streams; /* of a process */
struct http_stream;

struct http_streams_config {
	struct loop *loop;
	struct metrics *metrics;
	size_t streams_max;	/* above: 503 */
	size_t per_session_max; /* above: 429 */
	size_t per_network_max; /* above: 429; 0: no limit */
	size_t queue_max;	/* bytes that may wait for one viewer */
	int64_t heartbeat_ms;	/* of silence, after which a comment is sent */
	int64_t retry_ms;	/* what a client is told to wait before it comes again */
};

struct http_streams *http_streams_new(const struct http_streams_config *config);
/* All that are left are cut; closed says HTTP_STREAM_DRAINED. */
void http_streams_free(struct http_streams *s);
/* The process ends: every client is told when to come again (not all at once) and its stream is closed, inside this call. No
 * new ones from here on. */
void http_streams_drain(struct http_streams *s);
size_t http_streams_count(const struct http_streams *s);

/* Why a stream ended; the label of a metric (metrics_table.c). */
enum http_stream_end {
	HTTP_STREAM_LEFT,    /* the client */
	HTTP_STREAM_CLOSED,  /* by http_stream_close */
	HTTP_STREAM_SLOW,    /* it took too little of what was sent */
	HTTP_STREAM_DRAINED, /* the process ends */
};
typedef void http_stream_closed_fn(void *arg, enum http_stream_end why);

/*
 * Answers the call with a stream; what was kept in its arena is gone. NULL: answered otherwise (HEAD; 429 too many of this
 * session or network; 503 too many, or the process ends), and closed will not run.
 */
struct http_stream *web_stream(struct web_call *call, struct http_streams *s, http_stream_closed_fn *closed, void *arg);
/* The number at the end of Last-Event-ID, what a client says that it has had; 0 without. */
uint64_t web_stream_had(const struct web_call *call);

/* false: it has ended, or does now, and closed is about to run. */
bool http_stream_send(struct http_stream *st, struct shared_bytes *bytes);
/* No more is sent; what waits may still leave for some seconds. Again: nothing. */
void http_stream_close(struct http_stream *st);

/* One event. data: one line, as the JSON writer makes it. id 0: without. The caller unrefs it. */
struct shared_bytes *http_stream_event(const char *event, uint64_t id, struct str data);

/* ---- for web_stream only ---- */
struct stream_owner {
	struct uuid session, network; /* zero: not counted */
};
/* ERR_NONE, or why not. */
enum err http_streams_room(const struct http_streams *s, const struct stream_owner *owner, const char **ret_detail);
struct http_stream *http_stream_new(struct http_streams *s, const struct stream_owner *owner, int fd,
				    struct shared_bytes *head, http_stream_closed_fn *closed, void *arg);

#endif
