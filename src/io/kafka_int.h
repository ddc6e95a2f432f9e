/* What the files about Kafka share: librdkafka's types stay in them. */
#ifndef IO_KAFKA_INT_H
#define IO_KAFKA_INT_H

#include "io/kafka.h"

#include <librdkafka/rdkafka.h>

/* The access's properties and what is always so (names, no logs on standard error). NULL with a sentence. The caller adds its own
 * with kafka_conf_own and gives it to rd_kafka_new or rd_kafka_conf_destroy. */
rd_kafka_conf_t *kafka_conf_new(const struct kafka_access *a, char ret_error[KAFKA_ERROR_MAX]);
/* Sets a property of ours; one that librdkafka does not know is a bug and aborts. */
void kafka_conf_own(rd_kafka_conf_t *conf, const char *name, const char *value);

/* The handle as it is now, for tests that hurt it. */
rd_kafka_t *kafka_producer_handle(struct kafka_producer *p);

#endif
