/* What the files about Kafka share: librdkafka's types stay in them. */
#ifndef IO_KAFKA_INT_H
#define IO_KAFKA_INT_H

#include "io/kafka.h"

#include "io/kafka_consumer.h"

#include <librdkafka/rdkafka.h>

/* The access's properties and what is always so (names, no logs on standard error). NULL with a sentence. The caller adds its own
 * with kafka_conf_own and gives it to rd_kafka_new or rd_kafka_conf_destroy. */
rd_kafka_conf_t *kafka_conf_new(const struct kafka_access *a, char ret_error[KAFKA_ERROR_MAX]);
/* Sets a property of ours; one that librdkafka does not know is a bug and aborts. */
void kafka_conf_own(rd_kafka_conf_t *conf, const char *name, const char *value);

/* The handle as it is now, for tests that hurt it. */
rd_kafka_t *kafka_producer_handle(struct kafka_producer *p);

/* ---- a consumer's handle: outlives the consumer while a batch or a question holds it ---- */

struct kafka_handle {
	rd_kafka_t *rk;
	struct kafka_consumer *owner; /* NULL: given up */
	struct offload *offload;
	int refs; /* counted on the loop's thread only */
	bool at_end;
};
struct kafka_handle *kafka_consumer_handle(struct kafka_consumer *k);
void kafka_handle_ref(struct kafka_handle *h);
/* The last one takes it apart: on a thread of the pool, or here when the process ends. */
void kafka_handle_unref(struct kafka_handle *h);
const struct kafka_consumer_config *kafka_consumer_settings(const struct kafka_consumer *k);
rd_kafka_conf_t *kafka_consumer_conf(const struct kafka_access *access, const char *group,
				     char ret_error[KAFKA_ERROR_MAX]);

#endif
