/*
 * A member of a consumer group of Kafka, on the loop. Offsets are committed only for what its owner has called done.
 *
 *   kafka_consumer_take -> a batch -> kafka_batch_done (its offsets are committed) or kafka_batch_drop (not: it comes again)
 *
 * Partitions are given and taken by the group (rebalance) beneath this: who loses one while a batch of it is under way finds his
 * commit refused, and the next owner gets those messages again. A group that has committed nothing for a partition, or whose
 * offset is not kept any more, begins with the oldest message there is: it rather gets something twice than not at all.
 *
 * librdkafka has threads of its own; it wakes the loop by a descriptor. Whatever blocks (leaving the group, asking for offsets)
 * runs on a thread of the pool. A fatal error makes a new member of the same group.
 */
#ifndef IO_KAFKA_CONSUMER_H
#define IO_KAFKA_CONSUMER_H

#include "io/kafka.h"

struct kafka_consumer;

struct kafka_consumer_config {
	struct loop *loop;
	struct offload *offload;
	struct kafka_access access; /* its strings are borrowed */
	const char *group;
	const char *const *topics; /* with their prefix, ended by NULL; borrowed */
	loop_fn *ready;		   /* there may be something to take; often called */
	void *arg;
};

/* Joins the group in the background, and again as long as no broker answers. NULL with a sentence: the settings are wrong. */
struct kafka_consumer *kafka_consumer_new(const struct kafka_consumer_config *config, char ret_error[KAFKA_ERROR_MAX]);
/* Leaves the group, on a thread of the pool; at_end: here and now, which may block for seconds (the process ends). Batches that
 * are out are still to be dropped, or called done without effect. */
void kafka_consumer_free(struct kafka_consumer *k, bool at_end);
/* What was last wrong, "" when nothing was since something last came or its owner said that all is well. */
const char *kafka_consumer_trouble(const struct kafka_consumer *k);
void kafka_consumer_well(struct kafka_consumer *k);

struct kafka_batch;
/* At most n messages of at most about max_bytes together, at least one; NULL when none is there. Never waits. */
struct kafka_batch *kafka_consumer_take(struct kafka_consumer *k, size_t n, size_t max_bytes);
size_t kafka_batch_count(const struct kafka_batch *b);

/* Valid as long as the batch. */
struct kafka_record {
	const char *topic;
	int partition;
	int64_t offset, time_us; /* time: of its production */
	struct str key, value;
};
void kafka_batch_get(const struct kafka_batch *b, size_t i, struct kafka_record *ret);
/* false: it has no header of that name. The last one counts. */
bool kafka_batch_header(const struct kafka_batch *b, size_t i, const char *name, struct str *ret);
/* Its offsets are committed, now if a broker answers, else later; freed. Batches must be done in the order they were taken. */
void kafka_batch_done(struct kafka_batch *b);
void kafka_batch_drop(struct kafka_batch *b);

/* ---- where a group stands: kafka_group.c ---- */

struct kafka_place {
	const char *topic;
	int partition;
	int64_t committed;  /* -1: nothing */
	int64_t first, end; /* of the oldest message; of the next one to come. first only when nothing is committed */
};
/* Valid during the call. ok false: error says why. A topic that is not there has no places. */
typedef void kafka_group_fn(void *arg, bool ok, const struct kafka_place *places, size_t n, const char *error);
struct kafka_group_call;
/* Asks the broker for the places of the consumer's topics. NULL: the pool is full. fn exactly once unless cancelled. */
struct kafka_group_call *kafka_group_look(struct kafka_consumer *k, int timeout_ms, kafka_group_fn *fn, void *arg);
/* cluster "": puts the group at the end of every partition; it must have no members. Else only asks whether it has a place in that very
 * cluster. moved: it was put there, or has no place; cluster: the id of whose it is now. */
typedef void kafka_place_fn(void *arg, bool ok, bool moved, const char *cluster, const char *error);
struct kafka_group_call *kafka_group_place(const struct kafka_consumer_config *config, const char *cluster,
					   int timeout_ms, kafka_place_fn *fn, void *arg);
void kafka_group_cancel(struct kafka_group_call *call);

#endif
