/*
 * The rules of a row of the outbox: what its events are called, whom they are about, what a broker is told of them. Pure.
 *
 * A row's array is cut into its elements, and of each the few members are looked at that the relay needs; its text goes out as it
 * came. PostgreSQL has seen to it that the text is JSON; whatever else it is, nothing here reads past its end.
 */
#ifndef RELAY_RELAY_EVENT_H
#define RELAY_RELAY_EVENT_H

#include "base/arena.h"
#include "base/ids.h"
#include "base/str.h"

/* The topics, in the order of their numbers; ended by NULL. */
extern const char *const relay_topics[];
enum { RELAY_TOPICS = 5, RELAY_NO_TOPIC = -1 };
int relay_topic(struct str name); /* RELAY_NO_TOPIC: none of them */

enum { RELAY_EVENTS_MAX = 100000 /* of a row */, RELAY_AGGREGATES_MAX = 10000 /* of an event */ };

struct relay_event {
	struct uuid show_id, outbox_id;
	int place; /* in the array; -1: the row is no array */
	int topic;
	int64_t created_us, seq;
	struct str json; /* of the row's text */
	struct str type; /* of the row's text */
	struct str
		key; /* decides the Kafka partition: the aggregate's id; a show's for seats, of which one event may have many */
	uint64_t *aggregates; /* whose order it is part of: hashes. A seat each; else the one of the key */
	size_t n_aggregates;
	const char *fault; /* NULL, or why it is no event; it then has no aggregate but itself */
};

struct relay_row {
	struct uuid show_id, outbox_id;
	int64_t created_us, seq;
	struct str topic, events;
};

/* The events of a row, in arena; texts are the row's own. What is no event is among them, with its fault. */
size_t relay_row_events(const struct relay_row *row, struct arena *arena, struct relay_event **ret);
/* One that was parked: place and topic as they were; json the element (of place -1: the whole row's text). */
void relay_event_read(struct relay_event *e, struct arena *arena);

/* "booking 018f..." for people; in arena. */
const char *relay_event_about(const struct relay_event *e, struct arena *arena);
/* "<outbox_id>:<place>" */
enum { RELAY_ID_MAX = 37 + 12 };
void relay_event_id(const struct relay_event *e, char ret[RELAY_ID_MAX]);

#endif
