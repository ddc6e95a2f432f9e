/* What the handlers share: events, objects as text, lists, the refusal of unknown ids. */
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
		webhook_queue(from->sim, object);
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

struct str refund_json(struct sim *sim, struct arena *a, const struct refund *r)
{
	struct buf b;
	struct jw w;

	buf_init(&b, SIM_OBJECT_MAX * 4);
	jw_init(&w, &b);
	object_refund(&w, r, sim->base_url, NULL);
	jw_done(&w);
	return taken(a, &b);
}

bool refuse_missing(struct sim_call *c, const char *what, struct str id, const char *param)
{
	return refuse(&c->refusal, 404, "invalid_request_error", "resource_missing", param, "No such %s: '%.*s'", what,
		      id.n > 100 ? 100 : (int)id.n, id.p);
}

bool rows_room(struct rows *rows)
{
	if (rows->n < rows->limit)
		return true;
	rows->more = true;
	return false;
}

struct str rows_kept(struct sim_call *c, struct str v)
{
	return v.p ? arena_str(c->arena, v) : STR_NULL;
}

void list_open(struct sim_call *c, struct jw *w)
{
	jw_init(w, &c->out);
	jw_obj(w);
	jw_kcstr(w, "object", "list");
	jw_key(w, "data");
	jw_arr(w);
}

bool list_close(struct jw *w, bool more, const char *url)
{
	jw_arr_end(w);
	jw_kbool(w, "has_more", more);
	jw_kcstr(w, "url", url);
	jw_obj_end(w);
	return jw_done(w);
}

bool no_cursor(struct sim_call *c, const char *what, struct str id)
{
	return refuse_invalid(&c->refusal, "resource_missing", "starting_after", "No such %s: '%.*s'", what,
			      STR_FMT(id));
}
