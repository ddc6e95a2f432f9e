/*
 * Sends events to the broker so that an aggregate's come in its order, whatever is refused or lost on the way: an event is given to
 * the producer only when every earlier one of its aggregates is out.
 *
 *   item: WAITING --given--> (under way) --> OUT
 *            ^                   |--refused, alone--> REFUSED: its aggregates are blocked
 *            '--refused, not alone: in smaller waves--'
 *         WAITING --an aggregate of its is blocked--> BEHIND: all its aggregates are blocked
 *
 * A broker refuses a whole request for one event in it, so only one that was sent alone is known to be the reason.
 */
#ifndef RELAY_RELAY_SEND_H
#define RELAY_RELAY_SEND_H

#include "io/kafka.h"
#include "relay/relay_event.h"
#include "relay/relay_set.h"

enum relay_fate { RELAY_WAITING, RELAY_OUT, RELAY_REFUSED, RELAY_BEHIND };

struct relay_item {
	const struct relay_event *event;
	enum relay_fate fate;
	const char *cause; /* of one that is refused, in the arena */
};

struct relay_send_spec {
	struct kafka_producer *producer;
	const char *const *topics; /* by the number of a topic: its name on the broker */
	const char *source;	   /* ce_source */
	struct relay_item *items;  /* in order; theirs and the events are the caller's until the end */
	size_t n;
	struct relay_set *blocked; /* aggregates with an event that waits for a person; what is refused now is added */
	size_t refused_max;	   /* more are not set aside: then something is wrong with all of them */
	struct arena *arena;	   /* for causes */
};

struct relay_send;
/* Every item has its fate, or error says why some are still WAITING (they may be there all the same). */
typedef void relay_send_fn(void *arg, const char *error);
/* fn exactly once unless cancelled, never before this returns. */
struct relay_send *relay_send_start(struct loop *loop, const struct relay_send_spec *spec, relay_send_fn *fn,
				    void *arg);
void relay_send_cancel(struct relay_send *s);

#endif
