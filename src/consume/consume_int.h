/*
 * Inside consume/:
 *
 *   consume.c        a consumer: opened, its rounds, what it says of itself, lost
 *   consume_batch.c  the batch under way: slices, tried again, parked
 *   consume_log.c    events from outbox_log, and parked ones
 *   consume_kafka.c  events from Kafka; the hand-over from the log to Kafka; the cursor that follows
 */
#ifndef CONSUME_CONSUME_INT_H
#define CONSUME_CONSUME_INT_H

#include "base/arena.h"
#include "consume/consume.h"
#include "consume/consume_sql.h"
#include "io/kafka_consumer.h"
#include "io/metrics_table.h"

enum { PARTITIONS = 16, CONSUME_QUERY_MS = 10000, TROUBLE_MAX = 300 };

enum batch_source { BATCH_LOG, BATCH_KAFKA, BATCH_PARKED };

/* What was read and is not finished. n 0: nothing. */
struct consumer_batch {
	struct arena arena; /* of all that the events point to */
	enum batch_source source;
	struct consumer_event *events;
	size_t n, room;
	size_t at, take; /* the slice under way or next: take events from at */
	bool loaded;	 /* there is something to finish, be it without events */
	bool running;	 /* the consumer's function has it */
	int failures;	 /* of slices, one after the other */
	int tries;	 /* of the event at, alone */
	int64_t again_at_us;
	bool more;		   /* the source had more */
	int64_t to[PARTITIONS];	   /* BATCH_LOG: as far as was read */
	int64_t whole[PARTITIONS]; /* and as far as nothing was left to be read on the broker */
	struct kafka_batch *kafka; /* BATCH_KAFKA */
};

enum consumer_mode {
	MODE_CLOSED,
	MODE_OPENING,
	MODE_LOG,     /* no broker is configured */
	MODE_HANDING, /* there is one: first the log to its end */
	MODE_KAFKA,
};

struct consumer {
	struct consume_env env;
	struct consumer_config config;
	const char *name;
	char lease[64], group[80];
	char **topics; /* with prefix, ended by NULL */
	enum consumer_mode mode;
	bool reopen; /* somebody put it elsewhere: at the end of this round */

	consumer_round_fn *round_done;
	void *round_arg;
	loop_fn *wake;
	void *wake_arg;

	struct consumer_batch batch;
	int64_t generation;
	char source[128];
	int64_t cursor[PARTITIONS]; /* as it stands in the database */
	int64_t read[PARTITIONS];   /* the log is done up to here; ahead of the cursor only in MODE_KAFKA */
	/* MODE_KAFKA: up to here nothing is left on the broker either; and up to where the log is read with what is there */
	int64_t done[PARTITIONS], whole[PARTITIONS];
	void (*log_none)(struct consumer *c); /* of the read of the log under way */
	int64_t look_at_us;
	bool wished; /* a parked event is to be tried again */
	char trouble[TROUBLE_MAX];
	int64_t last_event_us; /* when the last event that was done was written */

	/* consume_kafka.c */
	struct kafka_consumer *kafka;
	struct kafka_batch *held; /* taken, but the log is looked at first */
	bool log_is_read;	  /* since then */
	bool handed;		  /* MODE_HANDING: handed_at is known */
	int64_t marks[PARTITIONS], handed_at[PARTITIONS];
	char cluster[100];
	struct kafka_group_call *call;
	struct pg_query *query;
	int64_t wanted[PARTITIONS]; /* where the cursor follows to */
	bool following;
	struct kafka_end *ends;
	size_t n_ends;
};

/* ---- consume.c ---- */

/* The end of a round: nothing of the consumer may be used after it but by another round. */
void consumer_round_end(struct consumer *c, bool ok, bool more);
/* What is the matter, for people. */
void consumer_say(struct consumer *c, const char *what, const char *why);
/* What reads next; ends the round. */
void consumer_read(struct consumer *c);
void consumer_close(struct consumer *c, bool at_end);
/* The topics without prefix as a statement's parameter. */
void consumer_arg_topics(struct consumer *c, struct pg_args *args);

/* ---- consume_batch.c ---- */

void batch_begin(struct consumer *c, enum batch_source source);
/* A copy of the event stays in the batch's arena. */
void batch_add(struct consumer *c, const struct consumer_event *event);
/* Goes on with the batch; ends the round. */
void batch_run(struct consumer *c);
void batch_drop(struct consumer *c);
/* Its source is told that all is done; ends the round. */
void batch_finish(struct consumer *c);
void batch_finished(struct consumer *c, bool more);

/* ---- consume_log.c ---- */

/* Reads the log behind c->read; in MODE_KAFKA what no broker has, and what must come before it. none(c) when nothing is there (NULL: the
 * round ends); else the round goes on with a batch. */
void log_read(struct consumer *c, void (*none)(struct consumer *c));
void log_finish(struct consumer *c);
void parked_read(struct consumer *c);
void parked_finish(struct consumer *c);

/* ---- consume_kafka.c ---- */

/* Finds out whether the group has its place in this cluster; then MODE_HANDING or MODE_KAFKA. Ends the round. */
void kafka_open(struct consumer *c);
/* Everything behind the cursor is to be read in the log from now on; then as configured. Ends the round. */
void kafka_leave(struct consumer *c);
/* MODE_HANDING: reads the log, to where it was when all was in it that was on the broker before the group had its place; then the
 * group is joined. Ends the round. */
void kafka_hand(struct consumer *c);
void kafka_read(struct consumer *c);
void kafka_finish(struct consumer *c);
/* Every few seconds: how far the group is; lets the cursor follow. positions: how far the log is. */
void kafka_follow(struct consumer *c, const int64_t positions[PARTITIONS]);
void kafka_close(struct consumer *c, bool at_end);

#endif
