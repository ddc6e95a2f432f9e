/*
 * Owns the look at the topics: makes those that are not there, compares the others with what was asked for. librdkafka answers some of
 * these questions to who waits only, so all of it runs on a thread of the pool, with a handle of its own.
 */
#include "io/kafka.h"

#include "base/xmalloc.h"
#include "io/kafka_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct job {
	struct kafka_access access; /* of strings of our own */
	char **names;
	size_t n;
	int partitions, replication, timeout_ms;
	bool ok;
	char error[KAFKA_ERROR_MAX];
};

struct kafka_topics {
	struct offload_job *job;
	kafka_topics_fn *fn;
	void *arg;
};

static void job_free(void *data)
{
	struct job *j = data;

	for (size_t i = 0; i < j->n; i++)
		free(j->names[i]);
	free(j->names);
	free((char *)(uintptr_t)j->access.brokers);
	free((char *)(uintptr_t)j->access.config_file);
	free((char *)(uintptr_t)j->access.client_id);
	free(j);
}

static const struct rd_kafka_metadata_topic *find(const struct rd_kafka_metadata *m, const char *name)
{
	for (int i = 0; i < m->topic_cnt; i++)
		if (!strcmp(m->topics[i].topic, name))
			return &m->topics[i];
	return NULL;
}

/* The one that is there is what was asked for; false with a sentence. */
static bool fits(struct job *j, const struct rd_kafka_metadata_topic *t)
{
	if (j->partitions && t->partition_cnt != j->partitions) {
		snprintf(j->error, sizeof(j->error), "topic %s has %d partitions, kafka-partitions is %d", t->topic,
			 t->partition_cnt, j->partitions);
		return false;
	}
	for (int i = 0; i < t->partition_cnt; i++)
		if (j->replication && t->partitions[i].replica_cnt < j->replication) {
			snprintf(j->error, sizeof(j->error),
				 "topic %s has %d replicas of partition %d, kafka-replication is %d", t->topic,
				 t->partitions[i].replica_cnt, (int)t->partitions[i].id, j->replication);
			return false;
		}
	return true;
}

/* Makes one; false with a sentence. That somebody else has just made it is no fault. */
static bool make(struct job *j, rd_kafka_t *rk, const char *name)
{
	char why[KAFKA_ERROR_MAX] = "";
	rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(name, j->partitions ? j->partitions : -1,
							   j->replication ? j->replication : -1, why, sizeof(why));
	rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(rk, RD_KAFKA_ADMIN_OP_CREATETOPICS);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
	rd_kafka_event_t *event = NULL;
	const rd_kafka_topic_result_t **results;
	size_t n = 0;
	bool ok = false;

	if (topic) {
		rd_kafka_AdminOptions_set_request_timeout(options, j->timeout_ms, why, sizeof(why));
		rd_kafka_AdminOptions_set_operation_timeout(options, j->timeout_ms, why, sizeof(why));
		rd_kafka_CreateTopics(rk, &topic, 1, options, queue);
		event = rd_kafka_queue_poll(queue, j->timeout_ms + 1000);
		rd_kafka_NewTopic_destroy(topic);
	}
	if (event && !rd_kafka_event_error(event)) {
		results = rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &n);
		if (n == 1) {
			rd_kafka_resp_err_t err = rd_kafka_topic_result_error(results[0]);
			const char *said = rd_kafka_topic_result_error_string(results[0]);

			ok = !err || err == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS;
			snprintf(why, sizeof(why), "%s", said ? said : rd_kafka_err2str(err));
		}
	} else if (event) {
		snprintf(why, sizeof(why), "%s", rd_kafka_event_error_string(event));
	} else if (!why[0]) {
		snprintf(why, sizeof(why), "no answer");
	}
	if (!ok)
		snprintf(j->error, sizeof(j->error),
			 "topic %s is not there and cannot be made (kafka-partitions %d, kafka-replication %d): %.300s",
			 name, j->partitions, j->replication, why);
	if (event)
		rd_kafka_event_destroy(event);
	rd_kafka_queue_destroy(queue);
	rd_kafka_AdminOptions_destroy(options);
	return ok;
}

static void look(struct job *j, rd_kafka_t *rk)
{
	const struct rd_kafka_metadata *m;
	rd_kafka_resp_err_t err;

	/* of all topics: asking for one by name could make it, with whatever the broker thinks right */
	err = rd_kafka_metadata(rk, 1, NULL, &m, j->timeout_ms);
	if (err) {
		snprintf(j->error, sizeof(j->error), "no broker of kafka-brokers answers: %s", rd_kafka_err2str(err));
		return;
	}
	j->ok = true;
	for (size_t i = 0; i < j->n && j->ok; i++) {
		const struct rd_kafka_metadata_topic *t = find(m, j->names[i]);

		j->ok = t && !t->err && t->partition_cnt > 0 ? fits(j, t) : make(j, rk, j->names[i]);
	}
	rd_kafka_metadata_destroy(m);
}

static void job_work(void *data)
{
	struct job *j = data;
	rd_kafka_conf_t *conf = kafka_conf_new(&j->access, j->error);
	char why[KAFKA_ERROR_MAX];
	rd_kafka_t *rk;

	if (!conf)
		return;
	rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why));
	if (!rk) {
		rd_kafka_conf_destroy(conf);
		snprintf(j->error, sizeof(j->error), "kafka-config: %.400s", why);
		return;
	}
	look(j, rk);
	rd_kafka_destroy(rk);
}

static void job_done(void *arg, void *data)
{
	struct kafka_topics *t = arg;
	struct job *j = data;

	t->fn(t->arg, j->ok, j->error);
	free(t);
}

struct kafka_topics *kafka_topics_start(struct offload *o, const struct kafka_topics_spec *spec, kafka_topics_fn *fn,
					void *arg)
{
	struct kafka_topics *t = xcalloc(1, sizeof(*t));
	struct job *j = xcalloc(1, sizeof(*j));

	t->fn = fn;
	t->arg = arg;
	j->access = (struct kafka_access){xstrdup(spec->access->brokers), xstrdup(spec->access->config_file),
					  xstrdup(spec->access->client_id)};
	j->names = xcalloc(spec->n, sizeof(*j->names));
	for (j->n = 0; j->n < spec->n; j->n++)
		j->names[j->n] = xstrdup(spec->names[j->n]);
	j->partitions = spec->partitions;
	j->replication = spec->replication;
	j->timeout_ms = spec->timeout_ms;
	t->job = offload_start(o, job_work, j, job_free, job_done, t);
	if (!t->job) {
		job_free(j);
		free(t);
		return NULL;
	}
	return t;
}

void kafka_topics_cancel(struct kafka_topics *t)
{
	offload_cancel(t->job);
	free(t);
}
