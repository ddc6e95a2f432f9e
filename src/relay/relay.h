/*
 * The relay: brings events from the outbox to Kafka, or, where no broker is configured, straight to the log that consumers read.
 *
 *   partition (of sixteen, by show): somebody's --lease--> ours --> FREE --poll finds rows--> BUSY (in a batch) --> FREE
 *   batch:    READ --> SENDING (waves, until every event is out or set aside) --> MOVING (one transaction) --> gone
 *             without a broker a batch is one statement
 *   broker:   NONE | CHECKING topics --all right--> OPEN --no batch goes through--> CHECKING
 *
 * Any number of processes may have one. Each partition belongs to one of them at a time; who slept through the end of its lease finds
 * that its rows are not its own any more when it wants to move them (the generation). What it sent meanwhile is there twice and has
 * the same ids; the first of each come in order, because everybody begins with the first row that was not moved.
 */
#ifndef RELAY_RELAY_H
#define RELAY_RELAY_H

#include "io/kafka.h"
#include "io/metrics.h"
#include "io/pg.h"

extern const struct pg_stmt *const *const relay_sql; /* to prepare */

struct relay;

struct relay_config {
	struct loop *loop;
	struct pg *pg;
	struct offload *offload; /* of the process: for the look at the topics */
	struct metrics *metrics;
	const char *holder; /* of this process */
	int64_t lease_ms, poll_ms;
	struct kafka_access kafka; /* brokers "": none */
	const char *topic_prefix;
	int kafka_partitions, kafka_replication;
};

/* Everything in config is borrowed and must outlive it. NULL with a sentence: the settings of the broker are wrong. */
struct relay *relay_new(const struct relay_config *config, char ret_error[KAFKA_ERROR_MAX]);
/* Begins nothing more, and hands on what it has; fn runs once when that is done or cannot be (leases then end by time). */
void relay_stop(struct relay *r, loop_fn *fn, void *arg);
/* After pg's connections are gone or idle. What was sent to the broker and not moved is sent again by the next one. */
void relay_free(struct relay *r);

#endif
