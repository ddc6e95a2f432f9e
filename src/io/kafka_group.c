/*
 * Owns questions about where a consumer group stands, and putting it elsewhere. librdkafka answers these to who waits only: each
 * runs on a thread of the pool, a look on the member's handle, a placing on one of its own (a group with members lets nobody else
 * commit).
 */
#include "io/kafka_consumer.h"

#include "base/xmalloc.h"
#include "io/kafka_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct job {
	struct kafka_handle *handle; /* of a look */
	struct kafka_access access;  /* of a placing; strings of our own */
	char *group;
	char **topics;
	size_t n_topics;
	char *known, *cluster; /* ids: as it was known, as it is */
	bool moved;
	int timeout_ms;
	rd_kafka_topic_partition_list_t *list; /* what places point into */
	struct kafka_place *places;
	size_t n;
	bool ok;
	char error[KAFKA_ERROR_MAX];
};

struct kafka_group_call {
	struct offload_job *job;
	kafka_group_fn *fn; /* one of the two */
	kafka_place_fn *place_fn;
	void *arg;
};

static void job_free(void *data)
{
	struct job *j = data;

	if (j->handle)
		kafka_handle_unref(j->handle);
	free((char *)(uintptr_t)j->access.brokers);
	free((char *)(uintptr_t)j->access.config_file);
	free((char *)(uintptr_t)j->access.client_id);
	free(j->group);
	free(j->known);
	free(j->cluster);
	for (size_t i = 0; i < j->n_topics; i++)
		free(j->topics[i]);
	free(j->topics);
	if (j->list)
		rd_kafka_topic_partition_list_destroy(j->list);
	free(j->places);
	free(j);
}

static bool failed(struct job *j, const char *what, rd_kafka_resp_err_t err)
{
	snprintf(j->error, sizeof(j->error), "%s: %s", what, rd_kafka_err2str(err));
	return false;
}

/* The partitions of those of our topics that are there. */
static bool list_partitions(struct job *j, rd_kafka_t *rk)
{
	const struct rd_kafka_metadata *m;
	rd_kafka_resp_err_t err = rd_kafka_metadata(rk, 1, NULL, &m, j->timeout_ms);

	if (err)
		return failed(j, "no broker answers", err);
	j->list = rd_kafka_topic_partition_list_new(64);
	for (int t = 0; t < m->topic_cnt && !err; t++)
		for (size_t i = 0; i < j->n_topics && !err; i++) {
			if (strcmp(m->topics[t].topic, j->topics[i]) != 0)
				continue;
			err = m->topics[t].err;
			for (int p = 0; p < m->topics[t].partition_cnt && !err; p++)
				rd_kafka_topic_partition_list_add(j->list, j->topics[i], m->topics[t].partitions[p].id);
		}
	rd_kafka_metadata_destroy(m);
	return err ? failed(j, "a topic cannot be looked at", err) : true;
}

/* The offset of the next message of each partition into ends. */
static bool find_ends(struct job *j, rd_kafka_t *rk, rd_kafka_topic_partition_list_t *ends)
{
	rd_kafka_resp_err_t err;

	for (int i = 0; i < ends->cnt; i++)
		ends->elems[i].offset = RD_KAFKA_OFFSET_END; /* as a time: the latest */
	err = rd_kafka_offsets_for_times(rk, ends, j->timeout_ms);
	for (int i = 0; i < ends->cnt && !err; i++)
		err = ends->elems[i].err;
	return err ? failed(j, "the ends of the topics are not known", err) : true;
}

/* What the group has committed into the list; false with a sentence. */
static bool find_committed(struct job *j, rd_kafka_t *rk)
{
	rd_kafka_resp_err_t err = rd_kafka_committed(rk, j->list, j->timeout_ms);

	for (int i = 0; i < j->list->cnt && !err; i++)
		err = j->list->elems[i].err;
	return err ? failed(j, "what the group has committed is not known", err) : true;
}

static bool look(struct job *j, rd_kafka_t *rk)
{
	rd_kafka_topic_partition_list_t *ends;
	rd_kafka_resp_err_t err;
	bool ok;

	if (!list_partitions(j, rk))
		return false;
	if (j->list->cnt == 0)
		return true;
	ends = rd_kafka_topic_partition_list_copy(j->list);
	ok = find_ends(j, rk, ends);
	ok = ok && find_committed(j, rk);
	j->places = xcalloc((size_t)j->list->cnt, sizeof(*j->places));
	for (int i = 0; ok && i < j->list->cnt; i++) {
		const rd_kafka_topic_partition_t *at = &j->list->elems[i];
		struct kafka_place *p = &j->places[j->n++];
		int64_t low = 0, high;

		*p = (struct kafka_place){at->topic, at->partition, at->offset < 0 ? -1 : at->offset, 0,
					  ends->elems[i].offset};
		if (p->committed >= 0 || p->end <= 0)
			continue;
		err = rd_kafka_query_watermark_offsets(rk, at->topic, at->partition, &low, &high, j->timeout_ms);
		if (err)
			ok = failed(j, "the beginning of a topic is not known", err);
		p->first = low;
	}
	rd_kafka_topic_partition_list_destroy(ends);
	return ok;
}

static bool place(struct job *j, rd_kafka_t *rk)
{
	char *id;
	rd_kafka_resp_err_t err = RD_KAFKA_RESP_ERR_NO_ERROR;

	if (!list_partitions(j, rk))
		return false;
	id = rd_kafka_clusterid(rk, j->timeout_ms);
	if (!id)
		return failed(j, "the cluster does not say which one it is", RD_KAFKA_RESP_ERR__TIMED_OUT);
	j->cluster = xstrdup(id);
	rd_kafka_mem_free(rk, id);
	j->moved = true;
	if (j->list->cnt == 0)
		return true; /* whatever will be there is new */
	if (j->known[0]) {   /* only asked */
		if (strcmp(j->cluster, j->known) == 0 && !find_committed(j, rk))
			return false;
		for (int i = 0; i < j->list->cnt; i++)
			if (j->list->elems[i].offset >= 0)
				j->moved = false;
		return true;
	}
	if (!find_ends(j, rk, j->list))
		return false;
	err = rd_kafka_commit(rk, j->list, 0);
	for (int i = 0; i < j->list->cnt && !err; i++)
		err = j->list->elems[i].err;
	return err ? failed(j, "the group cannot be put at the end", err) : true;
}

static void job_work(void *data)
{
	struct job *j = data;
	rd_kafka_conf_t *conf;
	char why[KAFKA_ERROR_MAX];
	rd_kafka_t *rk;

	if (j->handle) {
		j->ok = look(j, j->handle->rk);
		return;
	}
	conf = kafka_consumer_conf(&j->access, j->group, j->error);
	if (!conf)
		return;
	rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof(why));
	if (!rk) {
		rd_kafka_conf_destroy(conf);
		snprintf(j->error, sizeof(j->error), "kafka-config: %.400s", why);
		return;
	}
	j->ok = place(j, rk);
	rd_kafka_consumer_close(rk);
	rd_kafka_destroy(rk);
}

static void job_done(void *arg, void *data)
{
	struct kafka_group_call *call = arg;
	struct job *j = data;

	if (call->fn)
		call->fn(call->arg, j->ok, j->places, j->n, j->error);
	else
		call->place_fn(call->arg, j->ok, j->moved, j->cluster ? j->cluster : "", j->error);
	free(call);
}

static struct kafka_group_call *start(struct offload *o, struct job *j, const char *const *topics, int timeout_ms,
				      kafka_group_fn *fn, kafka_place_fn *place_fn, void *arg)
{
	struct kafka_group_call *call = xcalloc(1, sizeof(*call));
	size_t n = 0;

	while (topics[n])
		n++;
	j->topics = xcalloc(n, sizeof(*j->topics));
	for (; j->n_topics < n; j->n_topics++)
		j->topics[j->n_topics] = xstrdup(topics[j->n_topics]);
	j->timeout_ms = timeout_ms;
	call->fn = fn;
	call->place_fn = place_fn;
	call->arg = arg;
	call->job = offload_start(o, job_work, j, job_free, job_done, call);
	if (!call->job) {
		job_free(j);
		free(call);
		return NULL;
	}
	return call;
}

struct kafka_group_call *kafka_group_look(struct kafka_consumer *k, int timeout_ms, kafka_group_fn *fn, void *arg)
{
	const struct kafka_consumer_config *config = kafka_consumer_settings(k);
	struct job *j;

	if (!kafka_consumer_handle(k))
		return NULL;
	j = xcalloc(1, sizeof(*j));
	j->handle = kafka_consumer_handle(k);
	kafka_handle_ref(j->handle);
	return start(config->offload, j, config->topics, timeout_ms, fn, NULL, arg);
}

struct kafka_group_call *kafka_group_place(const struct kafka_consumer_config *config, const char *cluster,
					   int timeout_ms, kafka_place_fn *fn, void *arg)
{
	struct job *j = xcalloc(1, sizeof(*j));

	j->access = (struct kafka_access){xstrdup(config->access.brokers), xstrdup(config->access.config_file),
					  xstrdup(config->access.client_id)};
	j->group = xstrdup(config->group);
	j->known = xstrdup(cluster);
	return start(config->offload, j, config->topics, timeout_ms, NULL, fn, arg);
}

void kafka_group_cancel(struct kafka_group_call *call)
{
	offload_cancel(call->job);
	free(call);
}
