/*
 * Owns a member of a consumer group: librdkafka's handle, the descriptor by which it wakes the loop, and what is done and not
 * known to be committed.
 *
 *   offsets of a partition:  taken -> done -> being committed -> committed
 *                                      ^-- no answer, no broker --'   (refused, as the partition is another's now: forgotten)
 *   handle:  OPEN --freed, or a fatal error--> given up -> the last batch or question lets go of it -> closed on a thread
 *
 * Called by consume/; one commit is on its way at a time, with all that is done.
 */
#include "io/kafka_consumer.h"

#include "base/xmalloc.h"
#include "io/kafka_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { COMMIT_AGAIN_MS = 500 };

struct kafka_consumer {
	struct kafka_consumer_config config;
	struct kafka_handle *handle;
	rd_kafka_queue_t *queue;
	int fd;
	struct fd_watch *watch;
	struct timer *again;			/* of a commit that failed, of a handle that could not be made */
	rd_kafka_topic_partition_list_t *done;	/* to be committed */
	rd_kafka_topic_partition_list_t *asked; /* the commit under way; NULL: none */
	bool fatal;				/* the handle is beyond help */
	char trouble[KAFKA_ERROR_MAX];
};

struct kafka_batch {
	struct kafka_handle *handle;
	rd_kafka_message_t **messages;
	size_t n;
};

/* ---- the handle ---- */

static void close_work(void *data)
{
	struct kafka_handle *h = data;

	rd_kafka_consumer_close(h->rk);
	rd_kafka_destroy(h->rk);
	h->rk = NULL;
}

/* Also of a job that never ran, as the pool ended before. */
static void close_free(void *data)
{
	struct kafka_handle *h = data;

	if (h->rk)
		close_work(h);
	free(h);
}

void kafka_handle_ref(struct kafka_handle *h)
{
	h->refs++;
}

void kafka_handle_unref(struct kafka_handle *h)
{
	if (--h->refs > 0)
		return;
	if (h->at_end || !offload_start(h->offload, close_work, h, close_free, NULL, NULL))
		close_free(h);
}

struct kafka_handle *kafka_consumer_handle(struct kafka_consumer *k)
{
	return k->handle;
}

const struct kafka_consumer_config *kafka_consumer_settings(const struct kafka_consumer *k)
{
	return &k->config;
}

rd_kafka_conf_t *kafka_consumer_conf(const struct kafka_access *access, const char *group,
				     char ret_error[KAFKA_ERROR_MAX])
{
	rd_kafka_conf_t *conf = kafka_conf_new(access, ret_error);

	if (!conf)
		return NULL;
	kafka_conf_own(conf, "group.id", group);
	kafka_conf_own(conf, "enable.auto.commit", "false");
	kafka_conf_own(conf, "enable.auto.offset.store", "false");
	kafka_conf_own(conf, "auto.offset.reset", "earliest");
	kafka_conf_own(conf, "allow.auto.create.topics", "false");
	/* a member that was killed is missed after so long; one that waits for the database is not */
	kafka_conf_own(conf, "session.timeout.ms", "10000");
	kafka_conf_own(conf, "heartbeat.interval.ms", "2000");
	kafka_conf_own(conf, "max.poll.interval.ms", "600000");
	/* topics that the relay is about to make */
	kafka_conf_own(conf, "topic.metadata.refresh.interval.ms", "5000");
	kafka_conf_own(conf, "queued.max.messages.kbytes", "16384");
	return conf;
}

static void on_commit(rd_kafka_t *rk, rd_kafka_resp_err_t err, rd_kafka_topic_partition_list_t *offsets, void *opaque);

/* Runs where on_commit does. */
static void on_error(rd_kafka_t *rk, int err, const char *reason, void *opaque)
{
	struct kafka_handle *h = opaque;

	if (!h->owner)
		return;
	snprintf(h->owner->trouble, sizeof(h->owner->trouble), "%s", reason);
	h->owner->fatal = h->owner->fatal || err == RD_KAFKA_RESP_ERR__FATAL;
}

static bool handle_open(struct kafka_consumer *k, char *error)
{
	rd_kafka_conf_t *conf = kafka_consumer_conf(&k->config.access, k->config.group, error);
	struct kafka_handle *h;
	rd_kafka_topic_partition_list_t *topics;
	char why[KAFKA_ERROR_MAX];
	rd_kafka_t *rk;

	if (!conf)
		return false;
	h = xcalloc(1, sizeof(*h));
	rd_kafka_conf_set_offset_commit_cb(conf, on_commit);
	rd_kafka_conf_set_error_cb(conf, on_error);
	rd_kafka_conf_set_opaque(conf, h);
	rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof(why));
	if (!rk) {
		rd_kafka_conf_destroy(conf);
		free(h);
		snprintf(error, KAFKA_ERROR_MAX, "kafka-config: %.400s", why);
		return false;
	}
	*h = (struct kafka_handle){rk, k, k->config.offload, 1, false};
	k->handle = h;
	rd_kafka_poll_set_consumer(rk);
	k->queue = rd_kafka_queue_get_consumer(rk);
	rd_kafka_queue_io_event_enable(k->queue, k->fd, &(uint64_t){1}, sizeof(uint64_t));
	topics = rd_kafka_topic_partition_list_new(8);
	for (size_t i = 0; k->config.topics[i]; i++)
		rd_kafka_topic_partition_list_add(topics, k->config.topics[i], RD_KAFKA_PARTITION_UA);
	rd_kafka_subscribe(rk, topics);
	rd_kafka_topic_partition_list_destroy(topics);
	k->done = rd_kafka_topic_partition_list_new(16);
	k->fatal = false;
	return true;
}

static void handle_give_up(struct kafka_consumer *k, bool at_end)
{
	struct kafka_handle *h = k->handle;

	if (!h)
		return;
	rd_kafka_queue_io_event_enable(k->queue, -1, NULL, 0);
	rd_kafka_queue_destroy(k->queue);
	rd_kafka_topic_partition_list_destroy(k->done);
	if (k->asked)
		rd_kafka_topic_partition_list_destroy(k->asked);
	k->done = k->asked = NULL;
	k->handle = NULL;
	h->owner = NULL;
	h->at_end = at_end;
	kafka_handle_unref(h);
}

/* A member that is beyond help: a new one, which gets again what was not committed. */
static void rebuild(struct kafka_consumer *k)
{
	char error[KAFKA_ERROR_MAX];

	handle_give_up(k, false);
	if (!handle_open(k, error)) {
		snprintf(k->trouble, sizeof(k->trouble), "%s", error);
		timer_set_ms(k->again, 5000);
	}
}

/* ---- commits ---- */

static void commit_start(struct kafka_consumer *k)
{
	if (k->asked || k->done->cnt == 0)
		return;
	k->asked = k->done;
	k->done = rd_kafka_topic_partition_list_new(16);
	if (rd_kafka_commit(k->handle->rk, k->asked, 1) != RD_KAFKA_RESP_ERR_NO_ERROR) {
		rd_kafka_topic_partition_list_destroy(k->done);
		k->done = k->asked;
		k->asked = NULL;
		timer_set_ms(k->again, COMMIT_AGAIN_MS);
	}
}

/* Whose partition it was is not known to be ours any more: its next owner gets it again. */
static bool not_ours(rd_kafka_resp_err_t err)
{
	return err == RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION || err == RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID ||
	       err == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID || err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
}

/* Runs inside rd_kafka_consumer_poll on the loop, or while a handle that was given up is closed. */
static void on_commit(rd_kafka_t *rk, rd_kafka_resp_err_t err, rd_kafka_topic_partition_list_t *offsets, void *opaque)
{
	struct kafka_handle *h = opaque;
	struct kafka_consumer *k = h->owner;

	if (!k || !k->asked)
		return;
	for (int i = 0; i < k->asked->cnt; i++) {
		const rd_kafka_topic_partition_t *was = &k->asked->elems[i];
		const rd_kafka_topic_partition_t *told =
			offsets ? rd_kafka_topic_partition_list_find(offsets, was->topic, was->partition) : NULL;
		rd_kafka_resp_err_t e = err ? err : told ? told->err : RD_KAFKA_RESP_ERR_NO_ERROR;

		if (e == RD_KAFKA_RESP_ERR_NO_ERROR || not_ours(e))
			continue;
		snprintf(k->trouble, sizeof(k->trouble), "an offset of %s is not committed: %s", was->topic,
			 rd_kafka_err2str(e));
		if (!rd_kafka_topic_partition_list_find(k->done, was->topic, was->partition))
			rd_kafka_topic_partition_list_add(k->done, was->topic, was->partition)->offset = was->offset;
		timer_set_ms(k->again, COMMIT_AGAIN_MS);
	}
	rd_kafka_topic_partition_list_destroy(k->asked);
	k->asked = NULL;
	if (!timer_is_set(k->again))
		commit_start(k);
}

static void on_again(void *arg)
{
	struct kafka_consumer *k = arg;

	if (k->handle)
		commit_start(k);
	else
		rebuild(k);
}

/* ---- messages ---- */

static void on_event(void *arg, int events)
{
	struct kafka_consumer *k = arg;
	uint64_t count;

	if (read(k->fd, &count, sizeof(count)) == sizeof(count) && k->config.ready)
		k->config.ready(k->config.arg);
}

struct kafka_consumer *kafka_consumer_new(const struct kafka_consumer_config *config, char ret_error[KAFKA_ERROR_MAX])
{
	struct kafka_consumer *k = xcalloc(1, sizeof(*k));

	k->config = *config;
	k->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (k->fd < 0) {
		snprintf(ret_error, KAFKA_ERROR_MAX, "no descriptor is left");
		free(k);
		return NULL;
	}
	if (!handle_open(k, ret_error)) {
		close(k->fd);
		free(k);
		return NULL;
	}
	k->again = timer_new(config->loop, on_again, k);
	k->watch = fd_watch_new(config->loop, k->fd, on_event, k);
	fd_watch_set(k->watch, LOOP_READ);
	return k;
}

void kafka_consumer_free(struct kafka_consumer *k, bool at_end)
{
	if (!k)
		return;
	handle_give_up(k, at_end);
	timer_free(k->again);
	fd_watch_free(k->watch);
	close(k->fd);
	free(k);
}

void kafka_consumer_well(struct kafka_consumer *k)
{
	k->trouble[0] = '\0';
}

const char *kafka_consumer_trouble(const struct kafka_consumer *k)
{
	return k->trouble;
}

struct kafka_batch *kafka_consumer_take(struct kafka_consumer *k, size_t n, size_t max_bytes)
{
	struct kafka_batch *b = NULL;
	size_t bytes = 0;

	while (k->handle && (!b || (b->n < n && bytes < max_bytes))) {
		rd_kafka_message_t *m = rd_kafka_consumer_poll(k->handle->rk, 0);

		if (!m)
			break;
		if (m->err) {
			snprintf(k->trouble, sizeof(k->trouble), "%s", rd_kafka_message_errstr(m));
			k->fatal = k->fatal || m->err == RD_KAFKA_RESP_ERR__FATAL;
			rd_kafka_message_destroy(m);
			continue;
		}
		if (!b) {
			b = xcalloc(1, sizeof(*b));
			b->messages = xcalloc(n, sizeof(rd_kafka_message_t *));
			b->handle = k->handle;
			kafka_handle_ref(b->handle);
			k->trouble[0] = '\0';
		}
		b->messages[b->n++] = m;
		bytes += m->len + m->key_len;
	}
	if (k->fatal)
		rebuild(k); /* the batch holds on to the old handle */
	return b;
}

size_t kafka_batch_count(const struct kafka_batch *b)
{
	return b->n;
}

void kafka_batch_get(const struct kafka_batch *b, size_t i, struct kafka_record *ret)
{
	const rd_kafka_message_t *m = b->messages[i];

	ret->topic = rd_kafka_topic_name(m->rkt);
	ret->partition = m->partition;
	ret->offset = m->offset;
	ret->time_us = rd_kafka_message_timestamp(m, NULL) * 1000;
	ret->key = (struct str){m->key, m->key_len};
	ret->value = (struct str){m->payload, m->len};
}

bool kafka_batch_header(const struct kafka_batch *b, size_t i, const char *name, struct str *ret)
{
	rd_kafka_headers_t *headers;
	const void *value;
	size_t n;

	if (rd_kafka_message_headers(b->messages[i], &headers) != RD_KAFKA_RESP_ERR_NO_ERROR ||
	    rd_kafka_header_get_last(headers, name, &value, &n) != RD_KAFKA_RESP_ERR_NO_ERROR || !value)
		return false;
	*ret = (struct str){value, n};
	return true;
}

void kafka_batch_drop(struct kafka_batch *b)
{
	for (size_t i = 0; i < b->n; i++)
		rd_kafka_message_destroy(b->messages[i]);
	kafka_handle_unref(b->handle);
	free(b->messages);
	free(b);
}

void kafka_batch_done(struct kafka_batch *b)
{
	struct kafka_consumer *k = b->handle->owner;

	for (size_t i = 0; k && i < b->n; i++) {
		const rd_kafka_message_t *m = b->messages[i];
		const char *topic = rd_kafka_topic_name(m->rkt);
		rd_kafka_topic_partition_t *at = rd_kafka_topic_partition_list_find(k->done, topic, m->partition);

		if (!at)
			at = rd_kafka_topic_partition_list_add(k->done, topic, m->partition);
		at->offset = m->offset + 1;
	}
	kafka_batch_drop(b);
	if (k)
		commit_start(k);
}
