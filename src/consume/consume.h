/*
 * Consumers of the events that the services write (docs/events.md): notifications, webhooks, recommendations.
 *
 *   A consumer is a name, topics, and a function that takes a batch of events. It gets every event of its topics at least once, those
 *   of one aggregate in their order (the first time each comes). The function must be idempotent: by the event's id, or by asking
 *   the database how things stand now. Usually it is one set-based statement over consumer_events_json().
 *
 *   Where they come from: with a broker from Kafka, in the group boxoffice.NAME; without one from outbox_log. What a broker never got
 *   (it was not configured, or not everywhere) comes from outbox_log in both cases. Switching back and forth loses nothing: README.md.
 *
 *   What fails is tried again, with growing pauses, in ever smaller batches. An event that fails alone, again and again, while
 *   others go well is parked (consumer_parked, a metric, `boxoffice admin consumers`): the others go on.
 *
 *   A consumer runs in one process at a time (a lease of its own, like the duties of work). Rounds: src/app/work_main.c.
 */
#ifndef CONSUME_CONSUME_H
#define CONSUME_CONSUME_H

#include "io/kafka.h"
#include "io/metrics.h"
#include "io/offload.h"
#include "io/pg.h"

extern const struct pg_stmt *const *const consume_sql; /* to prepare */

enum consumer_kind {
#define CONSUMER(id, name) CONSUMER_##id,
#include "io/consumers.def"
#undef CONSUMER
	CONSUMER_KINDS,
};
const char *consumer_kind_name(enum consumer_kind kind);

/* Valid until the batch is done. */
struct consumer_event {
	const char *id;	   /* "<outbox_id>:<place>": the same however often it comes */
	const char *topic; /* "booking", without prefix */
	const char *type;  /* "booking.confirmed" */
	struct uuid show_id;
	int64_t time_us;  /* when it was written */
	const char *json; /* the event itself, NUL-terminated */
	size_t json_len;
};

struct consumer_batch;
/* Ends with one of consumer_batch_done, _failed, _answer exactly once, now or later; n >= 1. */
typedef void consumer_batch_fn(void *arg, const struct consumer_event *events, size_t n, struct consumer_batch *batch);
/* ok: all their effects are committed. Not ok: the same events again, later; an event that is often not ok alone is parked. */
void consumer_batch_done(struct consumer_batch *batch, bool ok);
/* Not ok, with a sentence for people (no personal data). transient: whoever is asked is away; nothing is wrong with the events,
 * and they are tried again for ever. */
void consumer_batch_failed(struct consumer_batch *batch, const char *why, bool transient);
/* What became of the one statement or the commit, as one of the above. */
void consumer_batch_answer(struct consumer_batch *batch, const struct pg_answer *a);

/* [{"id", "topic", "type", "show_id", "time", "data": the event}, ...] in arena, for a statement's parameter (pg_arg_json). */
struct str consumer_events_json(struct arena *arena, const struct consumer_event *events, size_t n);

/* Where one begins that has never run before. */
enum consumer_start {
	CONSUMER_FROM_NOW,	 /* what is written from now on */
	CONSUMER_FROM_BEGINNING, /* everything that is still kept */
};

/* The process's; pointers are borrowed and must outlive the consumers. */
struct consume_env {
	struct loop *loop;
	struct pg *pg;
	struct offload *offload;
	struct metrics *metrics;
	struct kafka_access kafka; /* .brokers "": none */
	const char *topic_prefix;
	size_t batch_max; /* events */
	int tries_max;	  /* of an event alone before it is parked */
};

struct consumer_config {
	enum consumer_kind kind;
	const char *const *topics; /* "booking", "seat", ..., ended by NULL */
	enum consumer_start start;
	consumer_batch_fn *fn;
	void *arg;
};

struct consumer;
struct consumer *consumer_new(const struct consume_env *env, const struct consumer_config *config);
/* Before the loop's pool and connections. Leaves the group; a batch under way comes again, to whoever is next. */
void consumer_free(struct consumer *c); /* NULL is fine */
/* For the lease: "consumer-NAME". Lives as long as the consumer. */
const char *consumer_lease(const struct consumer *c);

/* One round: at most one batch. done exactly once, also when the database is away. more: there is more to do at once. */
typedef void consumer_round_fn(void *arg, bool ok, bool more);
void consumer_round(struct consumer *c, consumer_round_fn *done, void *arg);
/* wake(arg) when a round would find something; may be called often. */
void consumer_on_wake(struct consumer *c, loop_fn *wake, void *arg);
/* Another process has the lease: leaves the group, forgets where it was. A round under way still ends. */
void consumer_lost(struct consumer *c);

#endif
