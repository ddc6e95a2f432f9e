/*
 * Owns a producer: librdkafka's handle, the descriptor by which it wakes the loop, what was given to it and not answered yet.
 *
 *   send: GIVEN --every message has its report--> told, gone
 *           '--cancelled--> not told, gone with the last report
 *
 * A fatal error of an idempotent producer (the broker's memory of what it had is gone, or another one's) cannot be mended: the
 * handle is given to a thread of the pool to be taken apart, which waits for its connections, and a new one takes its place. What
 * was under way is KAFKA_LOST: it may have arrived.
 */
#include "io/kafka.h"

#include "base/list.h"
#include "base/map.h"
#include "base/xmalloc.h"
#include "io/kafka_int.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { REPORTS_MAX = 1000 /* of a turn of the loop, about a millisecond of them */, HEADERS_MAX = 16 };

struct slot {
	struct kafka_send *send; /* NULL: it has its report */
};

struct kafka_send {
	struct list link; /* of the producer's sends */
	struct kafka_producer *producer;
	struct slot *slots; /* a message's opaque is its slot: its send, and its place among them */
	enum kafka_outcome *outcomes;
	size_t n, left;
	char error[KAFKA_ERROR_MAX];
	kafka_send_fn *fn; /* NULL: cancelled */
	void *arg;
};

struct kafka_producer {
	struct loop *loop;
	struct offload *offload;
	struct kafka_access access;
	rd_kafka_t *rk;
	rd_kafka_queue_t *queue;
	struct map *topics; /* name -> rd_kafka_topic_t */
	int fd;
	struct fd_watch *watch;
	struct deferred *finish; /* sends that were through before they had begun to wait, or that were lost together */
	struct list sends;
	bool broken;
	uint64_t rebuilds;
	char trouble[KAFKA_ERROR_MAX];
};

/* ---- the handle ---- */

static bool handle_open(struct kafka_producer *p, char *error)
{
	rd_kafka_conf_t *conf = kafka_conf_new(&p->access, error);
	char why[KAFKA_ERROR_MAX];

	if (!conf)
		return false;
	kafka_conf_own(conf, "enable.idempotence", "true");
	kafka_conf_own(conf, "acks", "all");
	rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR);
	p->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why));
	if (!p->rk) {
		rd_kafka_conf_destroy(conf);
		snprintf(error, KAFKA_ERROR_MAX, "kafka-config: %.400s", why);
		return false;
	}
	p->queue = rd_kafka_queue_get_main(p->rk);
	rd_kafka_queue_io_event_enable(p->queue, p->fd, &(uint64_t){1}, sizeof(uint64_t));
	p->topics = map_new();
	p->broken = false;
	return true;
}

static void handle_destroy(void *data)
{
	rd_kafka_t *rk = data;

	/* without a callback to tell: what is still in there was given up by whoever gave it */
	rd_kafka_purge(rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
	rd_kafka_destroy_flags(rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
}

/* wait: here, for its threads; else in the pool, or here after all when that is full */
static void handle_close(struct kafka_producer *p, bool wait)
{
	struct map_iter it = map_begin(p->topics);
	void *topic;

	while (map_next(&it, NULL, &topic))
		rd_kafka_topic_destroy(topic);
	map_free(p->topics);
	rd_kafka_queue_io_event_enable(p->queue, -1, NULL, 0);
	rd_kafka_queue_destroy(p->queue);
	if (wait || !offload_start(p->offload, handle_destroy, p->rk, NULL, NULL, NULL))
		handle_destroy(p->rk);
	p->rk = NULL;
}

static rd_kafka_topic_t *topic_get(struct kafka_producer *p, const char *name)
{
	rd_kafka_topic_t *topic = map_get(p->topics, str_from(name));

	if (!topic) {
		topic = rd_kafka_topic_new(p->rk, name, NULL);
		if (topic)
			map_put(p->topics, str_from(name), topic);
	}
	return topic;
}

rd_kafka_t *kafka_producer_handle(struct kafka_producer *p)
{
	return p->rk;
}

/* ---- sends ---- */

static void send_free(struct kafka_send *s)
{
	list_remove(&s->link);
	free(s->slots);
	free(s->outcomes);
	free(s);
}

/* Every report is in. */
static void send_end(struct kafka_send *s)
{
	if (s->fn)
		s->fn(s->arg, s->outcomes, s->n, s->error);
	send_free(s);
}

/* Of a message that will never be taken as it is. Everything else may be another time, or nobody knows. */
static bool is_refusal(rd_kafka_resp_err_t err)
{
	switch (err) {
	case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
	case RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE:
	case RD_KAFKA_RESP_ERR_INVALID_MSG:
	case RD_KAFKA_RESP_ERR_INVALID_RECORD:
	case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
		return true;
	default:
		return false;
	}
}

static void slot_report(struct slot *slot, rd_kafka_resp_err_t err)
{
	struct kafka_send *s = slot->send;

	assert(s && s->left > 0);
	slot->send = NULL; /* it has its report */
	s->left--;
	s->outcomes[slot - s->slots] = !err ? KAFKA_OUT : is_refusal(err) ? KAFKA_REFUSED : KAFKA_LOST;
	if (err)
		snprintf(s->error, sizeof(s->error), "%s", rd_kafka_err2str(err));
	/* after a fatal error every message ends with that one's code */
	if (s->outcomes[slot - s->slots] == KAFKA_LOST && s->producer->rk &&
	    rd_kafka_fatal_error(s->producer->rk, NULL, 0))
		s->producer->broken = true;
}

static rd_kafka_resp_err_t give(struct kafka_producer *p, const struct kafka_message *m, struct slot *slot)
{
	rd_kafka_topic_t *topic = topic_get(p, m->topic);
	rd_kafka_vu_t v[5 + HEADERS_MAX];
	rd_kafka_error_t *error;
	rd_kafka_resp_err_t code;
	size_t n = 0;

	if (!topic)
		return RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
	assert(m->n_headers <= HEADERS_MAX);
	v[n++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = topic};
	v[n++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY};
	/* (librdkafka copies both; its interface is without const) */
	v[n++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {(void *)(uintptr_t)m->key.p, m->key.n}};
	v[n++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {(void *)(uintptr_t)m->value.p, m->value.n}};
	v[n++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = slot};
	for (size_t i = 0; i < m->n_headers; i++)
		v[n++] = (rd_kafka_vu_t){
			.vtype = RD_KAFKA_VTYPE_HEADER,
			.u.header = {m->headers[i].name, m->headers[i].value.p, (ssize_t)m->headers[i].value.n}};
	error = rd_kafka_produceva(p->rk, v, n);
	if (!error)
		return RD_KAFKA_RESP_ERR_NO_ERROR;
	code = rd_kafka_error_code(error);
	rd_kafka_error_destroy(error);
	return code;
}

struct kafka_send *kafka_send_start(struct kafka_producer *p, const struct kafka_message *messages, size_t n,
				    kafka_send_fn *fn, void *arg)
{
	struct kafka_send *s = xcalloc(1, sizeof(*s));

	s->producer = p;
	s->n = s->left = n;
	s->slots = xcalloc(n ? n : 1, sizeof(*s->slots));
	s->outcomes = xcalloc(n ? n : 1, sizeof(*s->outcomes));
	s->fn = fn;
	s->arg = arg;
	list_append(&p->sends, &s->link);
	if (!p->rk)
		handle_open(p, p->trouble);
	for (size_t i = 0; i < n; i++) {
		rd_kafka_resp_err_t err = p->rk ? give(p, &messages[i], &s->slots[i]) : RD_KAFKA_RESP_ERR__DESTROY;

		s->slots[i].send = s;
		if (err)
			slot_report(&s->slots[i], err);
	}
	if (s->left == 0)
		deferred_post(p->finish);
	return s;
}

void kafka_send_cancel(struct kafka_send *s)
{
	s->fn = NULL;
}

static void rebuild(struct kafka_producer *p)
{
	char why[KAFKA_ERROR_MAX];

	p->rebuilds++;
	if (p->rk)
		handle_close(p, false);
	for (struct list *at = p->sends.next; at != &p->sends; at = at->next) {
		struct kafka_send *s = list_entry(at, struct kafka_send, link);

		for (size_t i = 0; i < s->n && s->left > 0; i++)
			if (s->slots[i].send)
				slot_report(&s->slots[i], RD_KAFKA_RESP_ERR__DESTROY);
	}
	/* the same properties as before: it fails for want of memory or descriptors only, and is tried again with the next send */
	if (!handle_open(p, why))
		snprintf(p->trouble, sizeof(p->trouble), "%s", why);
	deferred_post(p->finish);
}

static void on_finish(void *arg)
{
	struct kafka_producer *p = arg;
	struct list *at;
	bool found;

	if (p->broken)
		rebuild(p);
	/* from the beginning after each: what is told may start and cancel others */
	do {
		found = false;
		for (at = p->sends.next; at != &p->sends; at = at->next) {
			struct kafka_send *s = list_entry(at, struct kafka_send, link);

			if (s->left == 0) {
				send_end(s);
				found = true;
				break;
			}
		}
	} while (found);
}

/* ---- what librdkafka has to tell ---- */

static void on_reports(struct kafka_producer *p, rd_kafka_event_t *event)
{
	const rd_kafka_message_t *messages[64];
	size_t n;

	while ((n = rd_kafka_event_message_array(event, messages, 64)) > 0)
		for (size_t i = 0; i < n; i++) {
			struct slot *slot = messages[i]->_private;
			struct kafka_send *s = slot->send;

			slot_report(slot, messages[i]->err);
			if (!messages[i]->err)
				p->trouble[0] = '\0';
			if (s->left == 0)
				deferred_post(p->finish);
		}
}

static void on_error(struct kafka_producer *p, rd_kafka_event_t *event)
{
	rd_kafka_resp_err_t err = rd_kafka_event_error(event);

	snprintf(p->trouble, sizeof(p->trouble), "%s", rd_kafka_event_error_string(event));
	if (err == RD_KAFKA_RESP_ERR__FATAL) {
		rd_kafka_fatal_error(p->rk, p->trouble, sizeof(p->trouble));
		p->broken = true;
	}
}

static void on_wake(void *arg, int events)
{
	struct kafka_producer *p = arg;
	uint64_t count;
	int left = REPORTS_MAX;

	if (read(p->fd, &count, sizeof(count)) < 0)
		return; /* nothing: woken for nothing */
	while (left > 0) {
		rd_kafka_event_t *event = rd_kafka_queue_poll(p->queue, 0);

		if (!event)
			break;
		left -= (int)rd_kafka_event_message_count(event) + 1;
		if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_DR)
			on_reports(p, event);
		else if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_ERROR)
			on_error(p, event);
		rd_kafka_event_destroy(event);
	}
	if (p->broken)
		rebuild(p);
	else if (left <= 0 && write(p->fd, &(uint64_t){1}, sizeof(uint64_t)) < 0)
		return; /* it is readable as it is */
}

/* ---- its life ---- */

struct kafka_producer *kafka_producer_new(struct loop *loop, struct offload *offload, const struct kafka_access *access,
					  char ret_error[KAFKA_ERROR_MAX])
{
	struct kafka_producer *p = xcalloc(1, sizeof(*p));

	p->loop = loop;
	p->offload = offload;
	p->access = *access;
	list_init(&p->sends);
	p->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (p->fd < 0 || !handle_open(p, ret_error)) {
		if (p->fd < 0)
			snprintf(ret_error, KAFKA_ERROR_MAX, "kafka: no descriptor is left");
		else
			close(p->fd);
		free(p);
		return NULL;
	}
	p->watch = fd_watch_new(loop, p->fd, on_wake, p);
	fd_watch_set(p->watch, LOOP_READ);
	p->finish = deferred_new(loop, on_finish, p);
	return p;
}

void kafka_producer_free(struct kafka_producer *p)
{
	if (!p)
		return;
	fd_watch_free(p->watch);
	deferred_free(p->finish);
	if (p->rk)
		handle_close(p, true);
	while (p->sends.next != &p->sends)
		send_free(list_entry(p->sends.next, struct kafka_send, link));
	close(p->fd);
	free(p);
}

uint64_t kafka_producer_rebuilds(const struct kafka_producer *p)
{
	return p->rebuilds;
}

const char *kafka_producer_trouble(const struct kafka_producer *p)
{
	return p->trouble;
}
