/* Makes an event stream (http_stream.h) out of a call: whose it is, whether there is room, its head. Keeps nothing itself. */
#include "io/http_stream.h"
#include "io/web_int.h"

#include <string.h>

static struct stream_owner owner_of(const struct web_call *call)
{
	struct stream_owner owner = {call->who.session_id, {{0}}};
	struct net_addr network;

	if (call->limited_network) {
		network = net_addr_network(&call->client);
		memcpy(owner.network.b, network.b, sizeof(owner.network.b));
	}
	return owner;
}

struct http_stream *web_stream(struct web_call *call, struct http_streams *s, http_stream_closed_fn *closed, void *arg)
{
	/* a proxy that collects an answer before it passes it on would keep all of it for ever */
	static const struct http_header unbuffered = {STR("X-Accel-Buffering"), STR("no")};
	static const struct http_header typed[] = {{STR("Content-Type"), STR("text/event-stream")}};
	struct stream_owner owner = owner_of(call);
	struct buf out = call->out;
	struct web *w = call->web;
	struct http_header headers[4];
	struct http_stream *st;
	struct shared_bytes *head;
	const char *detail;
	enum err err;
	size_t n;
	int fd;

	if (call->req->method == HTTP_HEAD) {
		web_bytes(call, 200, typed, 1, STR(""));
		return NULL;
	}
	err = http_streams_room(s, &owner, &detail);
	if (err != ERR_NONE) {
		web_refuse(call, err, detail);
		return NULL;
	}
	web_note_answer(call, 200);
	n = web_with_defaults(headers, &unbuffered, 1, STR("text/event-stream"));
	fd = http_req_take_stream(call->req, headers, n, &head);
	web_keep_buffer(w, &out);
	st = http_stream_new(s, &owner, fd, head, closed, arg);
	shared_bytes_unref(head);
	return st;
}

uint64_t web_stream_had(const struct web_call *call)
{
	const struct str *id = http_req_header(call->req, "last-event-id");
	size_t from;
	uint64_t had;

	if (!id)
		return 0;
	for (from = id->n; from > 0 && id->p[from - 1] >= '0' && id->p[from - 1] <= '9'; from--)
		;
	return str_to_u64((struct str){id->p + from, id->n - from}, UINT64_MAX, &had) ? had : 0;
}
