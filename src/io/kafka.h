/*
 * Kafka by librdkafka: how to reach it, the topics, and a producer. (The consumer is kafka_consumer.h.)
 *
 * The producer is idempotent and waits for all replicas: while one lives, what it is given is in a Kafka partition once and in the
 * order it was given, over broken connections and brokers that are replaced. librdkafka has threads of its own for its connections;
 * it wakes our loop by a descriptor, and everything of ours, callbacks too, runs on the loop's thread.
 *
 *   producer: RUNNING --fatal error--> (everything under way is KAFKA_LOST; the old one is taken apart by a thread of the pool)
 *                ^-------------------------- a new one -----------------------'
 */
#ifndef IO_KAFKA_H
#define IO_KAFKA_H

#include "base/str.h"
#include "io/loop.h"
#include "io/offload.h"

/* How to reach it. Strings belong to the caller and live as long as what is made with them. */
struct kafka_access {
	const char *brokers;	 /* host:port,host:port */
	const char *config_file; /* librdkafka's properties, a name=value a line, # begins a comment; "": none */
	const char *client_id;
};

enum { KAFKA_ERROR_MAX = 512 };

/* Reads the file and tries every property. false with a sentence (without values: they may be secret). Blocks: a file is read. */
bool kafka_access_check(const struct kafka_access *a, char ret_error[KAFKA_ERROR_MAX]);

/* ---- topics ---- */

/* Makes the topics that are not there and looks at those that are. partitions, replication 0: the broker's default, not looked at. */
struct kafka_topics_spec {
	const struct kafka_access *access;
	const char *const *names;
	size_t n;
	int partitions, replication;
	int timeout_ms; /* for each of the three questions it asks */
};
struct kafka_topics;
/* ok false: error is a sentence that names the topic and the setting, or says that no broker answered. */
typedef void kafka_topics_fn(void *arg, bool ok, const char *error);
/* Runs on a thread of the pool. NULL when its queue is full. fn exactly once unless cancelled, never before this returns. */
struct kafka_topics *kafka_topics_start(struct offload *o, const struct kafka_topics_spec *spec, kafka_topics_fn *fn,
					void *arg);
void kafka_topics_cancel(struct kafka_topics *t);

/* ---- producer ---- */

struct kafka_producer;

/* offload: where an old producer is taken apart, which waits for threads. NULL with a sentence. */
struct kafka_producer *kafka_producer_new(struct loop *loop, struct offload *offload, const struct kafka_access *access,
					  char ret_error[KAFKA_ERROR_MAX]);
void kafka_producer_free(
	struct kafka_producer *p); /* sends under way are dropped without callback; what was sent may arrive */
uint64_t kafka_producer_rebuilds(const struct kafka_producer *p);
/* What was last wrong with a connection, "" when nothing was since something last arrived. */
const char *kafka_producer_trouble(const struct kafka_producer *p);

struct kafka_header {
	const char *name;
	struct str value;
};

struct kafka_message {
	const char *topic;
	struct str key, value;
	const struct kafka_header *headers;
	size_t n_headers;
};

enum kafka_outcome {
	KAFKA_OUT, /* all replicas in sync have it */
	KAFKA_REFUSED, /* it will never be taken as it is (too large, malformed), it or another one of its request: send it alone to know */
	KAFKA_LOST, /* not known, or not now: it may be sent again, and may then be there twice */
};

struct kafka_send;
/* outcomes[n] in the order of the messages; error: of the last one that is not KAFKA_OUT, "" when all are. Valid during the call. */
typedef void kafka_send_fn(void *arg, const enum kafka_outcome *outcomes, size_t n, const char *error);

/* Sends messages, in their order within a topic and key. All is copied. fn exactly once unless cancelled, never before this
 * returns; it may start and cancel sends, not free the producer. */
struct kafka_send *kafka_send_start(struct kafka_producer *p, const struct kafka_message *messages, size_t n,
				    kafka_send_fn *fn, void *arg);
void kafka_send_cancel(struct kafka_send *s); /* fn will not run; what was given may still arrive */

#endif
