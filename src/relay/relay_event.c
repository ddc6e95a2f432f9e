/* Owns nothing: rules. A small reader that walks over JSON without keeping it. */
#include "relay/relay_event.h"

#include "base/siphash.h"

#include <stdio.h>
#include <string.h>

const char *const relay_topics[RELAY_TOPICS + 1] = {"seat", "booking", "payment", "ticket", "show", NULL};

/* By which member an event of a topic says whom it is about; the first that is there. A seat's are in "seats". */
static const char *const members[RELAY_TOPICS][2] = {{NULL, NULL},
						     {"booking_id", NULL},
						     {"refund_id", "payment_id"},
						     {"ticket_id", "booking_id"},
						     {"show_id", NULL}};

enum { DEPTH_MAX = 64 };

int relay_topic(struct str name)
{
	for (int i = 0; i < RELAY_TOPICS; i++)
		if (str_eqc(name, relay_topics[i]))
			return i;
	return RELAY_NO_TOPIC;
}

/* ---- walking over JSON ---- */

struct at {
	const char *p, *end;
};

static void blanks(struct at *a)
{
	while (a->p < a->end && (*a->p == ' ' || *a->p == '\n' || *a->p == '\t' || *a->p == '\r'))
		a->p++;
}

static bool takes(struct at *a, char c)
{
	blanks(a);
	if (a->p == a->end || *a->p != c)
		return false;
	a->p++;
	return true;
}

/* What stands between the quotes, as it stands there. */
static bool string(struct at *a, struct str *ret)
{
	if (!takes(a, '"'))
		return false;
	ret->p = a->p;
	while (a->p < a->end && *a->p != '"')
		a->p += *a->p == '\\' && a->end - a->p > 1 ? 2 : 1;
	ret->n = (size_t)(a->p - ret->p);
	return takes(a, '"');
}

/* A value of any kind: brackets are counted, strings are passed over. */
static bool value(struct at *a, struct str *ret)
{
	struct str ignored;
	int depth = 0;

	blanks(a);
	ret->p = a->p;
	while (a->p < a->end) {
		char c = *a->p;

		if (c == '"') {
			if (!string(a, &ignored))
				return false;
		} else if (c == '{' || c == '[') {
			if (++depth > DEPTH_MAX)
				return false;
			a->p++;
		} else if ((c == '}' || c == ']') && depth > 0) {
			depth--;
			a->p++;
		} else if (depth == 0 && (c == ',' || c == '}' || c == ']')) {
			break;
		} else {
			a->p++;
		}
		if (depth == 0 && (c == '"' || c == '}' || c == ']'))
			break;
	}
	ret->n = (size_t)(a->p - ret->p);
	while (ret->n > 0 && (ret->p[ret->n - 1] == ' ' || ret->p[ret->n - 1] == '\n' || ret->p[ret->n - 1] == '\t' ||
			      ret->p[ret->n - 1] == '\r'))
		ret->n--;
	return ret->n > 0 && depth == 0;
}

/* ---- events ---- */

static uint64_t hash(const struct relay_event *e, struct str id)
{
	static const unsigned char key[16] = "boxoffice relay";
	unsigned char in[16 + 1 + 64];
	size_t n = id.n < 64 ? id.n : 64;

	memcpy(in, e->show_id.b, 16);
	in[16] = (unsigned char)e->topic;
	memcpy(in + 17, id.p, n);
	return siphash(key, in, 17 + n);
}

static void about_one(struct relay_event *e, struct str id, struct arena *arena)
{
	e->aggregates = arena_array(arena, uint64_t, 1);
	e->aggregates[0] = hash(e, id);
	e->n_aggregates = 1;
}

static void about_itself(struct relay_event *e, struct arena *arena)
{
	char id[RELAY_ID_MAX];

	relay_event_id(e, id);
	about_one(e, str_from(id), arena);
	e->key = STR_NULL;
}

/* {"12": 5, "13": 7}: the seats and their versions */
static bool about_seats(struct relay_event *e, struct str seats, struct arena *arena)
{
	struct at a = {seats.p, seats.p + seats.n}, count = a;
	struct str name, ignored;
	size_t n = 0;

	if (!takes(&count, '{'))
		return false;
	while (string(&count, &name) && takes(&count, ':') && value(&count, &ignored) && ++n < RELAY_AGGREGATES_MAX)
		if (!takes(&count, ','))
			break;
	if (!takes(&count, '}'))
		return false;
	e->aggregates = arena_array(arena, uint64_t, n ? n : 1);
	takes(&a, '{');
	while (e->n_aggregates < n && string(&a, &name) && takes(&a, ':') && value(&a, &ignored)) {
		e->aggregates[e->n_aggregates++] = hash(e, name);
		takes(&a, ',');
	}
	return e->n_aggregates == n;
}

static const char *read_event(struct relay_event *e, struct arena *arena)
{
	struct at a = {e->json.p, e->json.p + e->json.n};
	struct str id[2] = {{0}}, seats = STR_NULL, name, v;
	char *show;

	if (e->topic == RELAY_NO_TOPIC)
		return "no such topic";
	if (!takes(&a, '{'))
		return "not an object";
	while (string(&a, &name) && takes(&a, ':') && value(&a, &v)) {
		bool quoted = v.n >= 2 && v.p[0] == '"';
		struct str inside = quoted ? (struct str){v.p + 1, v.n - 2} : STR_NULL;

		if (quoted && str_eqc(name, "type"))
			e->type = inside;
		for (int i = 0; quoted && i < 2 && members[e->topic][i]; i++)
			if (str_eqc(name, members[e->topic][i]))
				id[i] = inside;
		if (str_eqc(name, "seats"))
			seats = v;
		if (!takes(&a, ','))
			break;
	}
	if (!takes(&a, '}'))
		return "not an object";
	if (e->type.n == 0 || e->type.n > 100)
		return "no type";
	show = arena_alloc(arena, UUID_TEXT);
	uuid_format(&e->show_id, show);
	if (e->topic == 0) {
		e->key = str_from(show);
		if (seats.n > 0)
			return about_seats(e, seats, arena) ? NULL : "seats is no object of seats and versions";
		about_one(e, e->key, arena);
		return NULL;
	}
	e->key = id[0].n ? id[0] : id[1].n ? id[1] : e->topic == relay_topic(STR("show")) ? str_from(show) : STR_NULL;
	if (e->key.n == 0 || e->key.n > 64)
		return "does not say whom it is about";
	about_one(e, e->key, arena);
	return NULL;
}

void relay_event_read(struct relay_event *e, struct arena *arena)
{
	e->n_aggregates = 0;
	e->type = e->key = STR_NULL;
	e->fault = e->place < 0 ? "the row is no array of events" : read_event(e, arena);
	if (e->fault)
		about_itself(e, arena);
}

size_t relay_row_events(const struct relay_row *row, struct arena *arena, struct relay_event **ret)
{
	struct at a = {row->events.p, row->events.p + row->events.n}, count = a;
	struct relay_event whole = {.show_id = row->show_id,
				    .outbox_id = row->outbox_id,
				    .place = -1,
				    .topic = relay_topic(row->topic),
				    .created_us = row->created_us,
				    .seq = row->seq,
				    .json = row->events};
	struct relay_event *events;
	struct str v;
	size_t n = 0, i;
	bool ok = takes(&count, '[');

	if (ok && !takes(&count, ']')) {
		do
			ok = value(&count, &v) && ++n <= RELAY_EVENTS_MAX;
		while (ok && takes(&count, ','));
		ok = ok && takes(&count, ']');
	}
	if (!ok)
		n = 1;
	*ret = events = arena_array(arena, struct relay_event, n ? n : 1);
	takes(&a, '[');
	for (i = 0; i < n; i++) {
		events[i] = whole;
		if (ok) {
			events[i].place = (int)i;
			value(&a, &events[i].json);
			takes(&a, ',');
		}
		relay_event_read(&events[i], arena);
	}
	return n;
}

const char *relay_event_about(const struct relay_event *e, struct arena *arena)
{
	char show[UUID_TEXT];

	if (e->fault)
		return "itself";
	if (e->topic != 0)
		return arena_printf(arena, "%s %.*s", relay_topics[e->topic], STR_FMT(e->key));
	uuid_format(&e->show_id, show);
	return arena_printf(arena, "%zu seats of show %s", e->n_aggregates, show);
}

void relay_event_id(const struct relay_event *e, char ret[RELAY_ID_MAX])
{
	uuid_format(&e->outbox_id, ret);
	snprintf(ret + UUID_TEXT - 1, RELAY_ID_MAX - UUID_TEXT + 1, ":%d", e->place);
}
