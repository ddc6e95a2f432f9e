/* What the handlers share: events, objects as text, the refusal of unknown ids. */
#include "paysim/sim.h"

struct event_source call_source(const struct sim_call *c)
{
	return (struct event_source){c->sim, c->arena, c->now_us, str_from(c->request_id), c->key};
}

void sim_emit(const struct event_source *from, const char *type, struct str object)
{
	struct sim_event e = {
		0, sim_id(from->arena, "evt_"), from->now_us, str_from(type), object, from->request_id, from->key};

	store_event_insert(from->sim->store, &e);
	if (from->sim->webhook)
		webhook_queue(from->sim);
}

static struct str taken(struct arena *a, struct buf *b)
{
	struct str text = arena_str(a, buf_str(b));

	buf_done(b);
	return text;
}

struct str intent_json(struct sim *sim, struct arena *a, const struct intent *pi)
{
	struct buf b;
	struct jw w;

	buf_init(&b, SIM_OBJECT_MAX * 4);
	jw_init(&w, &b);
	object_intent(&w, pi, sim->base_url, NULL);
	jw_done(&w);
	return taken(a, &b);
}

struct str charge_json(struct arena *a, const struct charge *ch, const struct intent *pi)
{
	struct buf b;
	struct jw w;

	buf_init(&b, SIM_OBJECT_MAX * 4);
	jw_init(&w, &b);
	object_charge(&w, ch, pi);
	jw_done(&w);
	return taken(a, &b);
}

bool refuse_missing(struct sim_call *c, const char *what, struct str id, const char *param)
{
	return refuse(&c->refusal, 404, "invalid_request_error", "resource_missing", param, "No such %s: '%.*s'", what,
		      id.n > 100 ? 100 : (int)id.n, id.p);
}
