/* What the relay's files share. */
#ifndef RELAY_RELAY_INT_H
#define RELAY_RELAY_INT_H

#include "base/list.h"
#include "relay/relay.h"
#include "relay/relay_send.h"
#include "relay/relay_sql.h"

enum {
	RELAY_PARTITIONS = 16,
	RELAY_QUERY_MS = 10000,
	RELAY_PARKED_MAX = 1000, /* events set aside; more mean that something is wrong with all of them */
	RELAY_RETRY_MS = 500,	 /* after something that failed */
};

struct relay_passed { /* a statement that moves rows at once, under way */
	size_t n;
	int32_t partitions[RELAY_PARTITIONS];
	int64_t safe; /* when it was asked */
};

enum relay_broker { RELAY_NO_BROKER, RELAY_CHECKING, RELAY_OPEN };

struct relay_partition {
	bool held, busy;
	int64_t generation;
	int64_t low; /* no row with a lower number is left, or will ever be seen */
};

struct relay {
	struct relay_config config;
	enum relay_broker broker;
	struct kafka_producer *producer;
	char *topics[RELAY_TOPICS + 1];
	char said[KAFKA_ERROR_MAX]; /* what was last logged as wrong, so that it is said once */
	struct kafka_topics *checking;

	struct relay_partition partitions[RELAY_PARTITIONS];
	int share;
	int64_t mine_until_us; /* by our own clock, with a margin */
	struct timer *lease_timer, *poll_timer, *watch_timer, *check_timer;

	bool polling, stopped, handed_on, leasing, watching;
	bool asked[RELAY_PARTITIONS]; /* in the poll under way, */
	int64_t asked_safe;	      /* with safe as it was then */
	struct relay_passed passed;
	struct list batches;
	size_t n_batches;

	/* what is set aside: read anew when it may be another than we think; nothing is begun before */
	bool stale, wished, parking;
	struct relay_set blocked;
	size_t n_parked;
	struct relay_send *unpark_send;
	struct unpark *unpark;

	/* numbers below safe are all decided: see relay_watch */
	int64_t safe, pending, pending_next;
	char timeline[64];
	int64_t full_at_us; /* when everything is looked through again, whatever we believe */

	loop_fn *stop_fn;
	void *stop_arg;
};

/* Says it once; NULL: all is well again. */
void relay_say(struct relay *r, const char *what, const char *error);
bool relay_holds(const struct relay *r, int partition, int64_t generation);
/* The lease or the rows of a partition were not what we thought: everything about it is asked again. */
void relay_doubt(struct relay *r);
/* Looks for the next thing to do, soon or after a while. */
void relay_poll_in(struct relay *r, int64_t ms);
/* The broker does not take events: a topic may have gone, or we may not write to it; looking at them says so more clearly. */
void relay_check_again(struct relay *r);
/* A batch or the parked events are through. */
void relay_over(struct relay *r, bool ok);

/* relay_batch.c: rows of an answer of relay_next */
void relay_batch_start(struct relay *r, const struct pg_result *rows);
void relay_batch_drop(struct relay *r); /* all of them, without a word */

/* relay_park.c: reads what is set aside; does what somebody wished about it. No batch is under way, none begins until it is over. */
void relay_park_start(struct relay *r);
void relay_park_drop(struct relay *r);

#endif
