/*
 * GET /v1/shows/{show}/seatmap: the plan as a browser draws it. Called by the event service in the offload pool, once
 * per plan version; the answer is immutable and cached by its caller.
 */
#include "base/json.h"
#include "event/plan.h"
#include "event/plan_model.h"

static void put_decimal(struct jw *w, const char *key, double v)
{
	char text[PLAN_DECIMAL_MAX];

	jw_key(w, key);
	jw_raw(w, (struct str){text, plan_decimal(v, text)});
}

static void put_seat(struct jw *w, const struct plan *p, uint32_t seat_no)
{
	struct plan_seat s = plan_seat(p, seat_no);

	jw_obj(w);
	jw_kstr(w, "guid", s.guid);
	jw_kstr(w, "number", s.number);
	jw_kstr(w, "label", s.label);
	put_decimal(w, "x", s.x);
	put_decimal(w, "y", s.y);
	put_decimal(w, "radius", s.radius);
	jw_kstr(w, "category", plan_slice(p, p->category[s.category].name));
	if (s.accessible)
		jw_kbool(w, "accessible", true);
	jw_obj_end(w);
}

static void put_row(struct jw *w, const struct plan *p, uint32_t row)
{
	struct plan_row r = plan_row(p, row);

	jw_obj(w);
	jw_kstr(w, "number", r.number);
	jw_kstr(w, "label", r.label);
	jw_key(w, "seats");
	jw_arr(w);
	for (uint32_t i = 0; i < r.n_seats; i++)
		put_seat(w, p, r.first_seat + i);
	jw_arr_end(w);
	jw_obj_end(w);
}

static void put_zone(struct jw *w, const struct plan *p, uint32_t zone)
{
	struct plan_zone z = plan_zone(p, zone);

	jw_obj(w);
	jw_kstr(w, "name", z.name);
	jw_key(w, "areas");
	jw_raw(w, z.areas);
	jw_key(w, "rows");
	jw_arr(w);
	for (uint32_t i = 0; i < z.n_rows; i++)
		put_row(w, p, z.first_row + i);
	jw_arr_end(w);
	jw_obj_end(w);
}

bool plan_render_seatmap(const struct plan *p, struct str version, struct buf *out)
{
	struct jw w;

	jw_init(&w, out);
	jw_obj(&w);
	jw_kstr(&w, "version", version);
	jw_key(&w, "size");
	jw_obj(&w);
	jw_kint(&w, "width", p->width);
	jw_kint(&w, "height", p->height);
	jw_obj_end(&w);
	jw_key(&w, "categories");
	jw_arr(&w);
	for (uint32_t i = 0; i < p->n_categories; i++) {
		struct plan_category c = plan_category(p, i);

		jw_obj(&w);
		jw_kstr(&w, "name", c.name);
		jw_kstr(&w, "color", c.color);
		jw_obj_end(&w);
	}
	jw_arr_end(&w);
	jw_key(&w, "zones");
	jw_arr(&w);
	for (uint32_t i = 0; i < p->n_zones; i++)
		put_zone(&w, p, i);
	jw_arr_end(&w);
	jw_obj_end(&w);
	return jw_done(&w);
}
