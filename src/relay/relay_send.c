/* Owns the waves in which a list of events goes to the broker: each holds no aggregate twice, the next begins when all of it is told. */
#include "relay/relay_send.h"

#include "base/times.h"
#include "base/xmalloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WAVE_MAX = 10000, HEADERS = 8, SUBJECT_MAX = 110 };

/* What a message is made of besides the event's own text. */
struct envelope {
	char id[RELAY_ID_MAX], time[TIME_TEXT_MAX], show[UUID_TEXT], subject[SUBJECT_MAX];
	struct kafka_header headers[HEADERS];
};

struct relay_send {
	struct relay_send_spec spec;
	relay_send_fn *fn;
	void *arg;
	struct deferred *begin;
	struct kafka_send *under_way;
	size_t *wave; /* places of the items that are under way */
	size_t n_wave, wave_max, n_refused, from;
	struct relay_set busy; /* aggregates of what is before, in a wave being put together */
	struct kafka_message *messages;
	struct envelope *envelopes;
	size_t room;
	char error[KAFKA_ERROR_MAX];
};

static void send_free(struct relay_send *s)
{
	deferred_free(s->begin);
	relay_set_done(&s->busy);
	free(s->wave);
	free(s->messages);
	free(s->envelopes);
	free(s);
}

static void end(struct relay_send *s, const char *error)
{
	s->fn(s->arg, error);
	send_free(s);
}

static void message_make(const struct relay_send *s, const struct relay_event *e, struct envelope *v,
			 struct kafka_message *m)
{
	relay_event_id(e, v->id);
	time_format(e->created_us, v->time);
	uuid_format(&e->show_id, v->show);
	if (e->topic == 0)
		snprintf(v->subject, sizeof(v->subject), "show/%s", v->show);
	else
		snprintf(v->subject, sizeof(v->subject), "%s/%.*s", relay_topics[e->topic], STR_FMT(e->key));
	v->headers[0] = (struct kafka_header){"ce_specversion", STR("1.0")};
	v->headers[1] = (struct kafka_header){"ce_id", str_from(v->id)};
	v->headers[2] = (struct kafka_header){"ce_source", str_from(s->spec.source)};
	v->headers[3] = (struct kafka_header){"ce_type", e->type};
	v->headers[4] = (struct kafka_header){"ce_time", str_from(v->time)};
	v->headers[5] = (struct kafka_header){"ce_subject", str_from(v->subject)};
	v->headers[6] = (struct kafka_header){"ce_showid", str_from(v->show)};
	v->headers[7] = (struct kafka_header){"content-type", STR("application/json")};
	*m = (struct kafka_message){s->spec.topics[e->topic], e->key, e->json, v->headers, HEADERS};
}

static void refuse(struct relay_send *s, struct relay_item *item, const char *cause)
{
	item->fate = RELAY_REFUSED;
	item->cause = arena_strdup(s->spec.arena, cause);
	s->n_refused++;
	relay_set_add_all(s->spec.blocked, item->event->aggregates, item->event->n_aggregates);
}

/* Chooses the next wave. What is behind something blocked, and what is no event, has its fate here. */
static void wave_form(struct relay_send *s)
{
	bool first = true;

	s->n_wave = 0;
	relay_set_clear(&s->busy);
	for (size_t i = s->from; i < s->spec.n && s->n_wave < s->wave_max; i++) {
		struct relay_item *item = &s->spec.items[i];
		const struct relay_event *e = item->event;

		if (item->fate == RELAY_WAITING && relay_set_has_any(s->spec.blocked, e->aggregates, e->n_aggregates)) {
			item->fate = RELAY_BEHIND;
			relay_set_add_all(s->spec.blocked, e->aggregates, e->n_aggregates);
		} else if (item->fate == RELAY_WAITING && e->fault && s->n_refused < s->spec.refused_max) {
			refuse(s, item, e->fault);
		}
		if (item->fate != RELAY_WAITING)
			continue;
		if (first)
			s->from = i;
		first = false;
		if (!e->fault && !relay_set_has_any(&s->busy, e->aggregates, e->n_aggregates))
			s->wave[s->n_wave++] = i;
		relay_set_add_all(&s->busy, e->aggregates, e->n_aggregates);
	}
	if (first)
		s->from = s->spec.n;
}

static void wave_send(struct relay_send *s);

static void on_sent(void *arg, const enum kafka_outcome *outcomes, size_t n, const char *error)
{
	struct relay_send *s = arg;
	size_t refused = 0;
	bool lost = false, too_many = false;

	s->under_way = NULL;
	for (size_t i = 0; i < n; i++) {
		struct relay_item *item = &s->spec.items[s->wave[i]];

		if (outcomes[i] == KAFKA_OUT) {
			item->fate = RELAY_OUT;
		} else if (outcomes[i] == KAFKA_LOST) {
			lost = true;
		} else if (n > 1) {
			refused++;
		} else if (s->n_refused < s->spec.refused_max) {
			refuse(s, item, error);
		} else {
			too_many = true;
		}
	}
	if (lost || too_many) {
		end(s, error);
		return;
	}
	if (refused > 0)
		s->wave_max = refused > 1 ? refused / 2 : 1;
	else if (s->wave_max < WAVE_MAX)
		s->wave_max = 2 * s->wave_max < WAVE_MAX ? 2 * s->wave_max : WAVE_MAX;
	wave_send(s);
}

static void wave_send(struct relay_send *s)
{
	wave_form(s);
	if (s->n_wave == 0) {
		/* only what is no event can be left, when too many are set aside already */
		end(s, s->from < s->spec.n ? "too many events are set aside" : NULL);
		return;
	}
	if (s->n_wave > s->room) {
		s->room = s->n_wave;
		s->messages = xrealloc(s->messages, s->room * sizeof(*s->messages));
		s->envelopes = xrealloc(s->envelopes, s->room * sizeof(*s->envelopes));
	}
	for (size_t i = 0; i < s->n_wave; i++)
		message_make(s, s->spec.items[s->wave[i]].event, &s->envelopes[i], &s->messages[i]);
	s->under_way = kafka_send_start(s->spec.producer, s->messages, s->n_wave, on_sent, s);
}

static void on_begin(void *arg)
{
	wave_send(arg);
}

struct relay_send *relay_send_start(struct loop *loop, const struct relay_send_spec *spec, relay_send_fn *fn, void *arg)
{
	struct relay_send *s = xcalloc(1, sizeof(*s));

	s->spec = *spec;
	s->fn = fn;
	s->arg = arg;
	s->wave_max = WAVE_MAX;
	s->wave = xcalloc(WAVE_MAX, sizeof(*s->wave));
	/* not at once: the first wave may be empty, and then this is over */
	s->begin = deferred_new(loop, on_begin, s);
	deferred_post(s->begin);
	return s;
}

void relay_send_cancel(struct relay_send *s)
{
	if (s->under_way)
		kafka_send_cancel(s->under_way);
	send_free(s);
}
