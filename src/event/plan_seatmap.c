/*
 * GET /v1/shows/{show}/seatmap: the plan as a browser draws it. Called by the event service in the offload pool, once
 * per plan version; the answer is immutable and cached by its caller.
 */
#include "base/json.h"
#include "event/plan.h"
#include "event/plan_model.h"

#include <assert.h>
#include <string.h>

/*
 * Seats are by far the most of it, so each is put together on the stack and handed to the writer as a whole: five times
 * as fast as member by member. All its parts have their maximum in plan.h.
 */
enum {
	QUOTED = 6, /* bytes a byte can become */
	SEAT_JSON_MAX = QUOTED * 4 * (PLAN_GUID_MAX + PLAN_NUMBER_MAX + 2 * PLAN_NAME_MAX) + 512,
};

static char *put(char *at, const char *literal, size_t n)
{
	memcpy(at, literal, n);
	return at + n;
}
#define PUT(at, literal) put((at), (literal), sizeof(literal) - 1)

static char *put_quoted(char *at, struct str s)
{
	*at++ = '"';
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c == '"' || c == '\\') {
			*at++ = '\\';
			*at++ = (char)c;
		} else if (c < 0x20) {
			at = PUT(at, "\\u00");
			*at++ = (char)('0' + (c >> 4));
			*at++ = "0123456789abcdef"[c & 15];
		} else {
			*at++ = (char)c;
		}
	}
	*at++ = '"';
	return at;
}

static void put_seat(struct jw *w, const struct plan *p, uint32_t seat_no)
{
	const struct plan_seat s = plan_seat(p, seat_no);
	char text[SEAT_JSON_MAX], *at = text;

	at = put_quoted(PUT(at, "{\"guid\":"), s.guid);
	at = put_quoted(PUT(at, ",\"number\":"), s.number);
	at = put_quoted(PUT(at, ",\"label\":"), s.label);
	at = PUT(at, ",\"x\":");
	at += plan_decimal(s.x, at);
	at = PUT(at, ",\"y\":");
	at += plan_decimal(s.y, at);
	at = PUT(at, ",\"radius\":");
	at += plan_decimal(s.radius, at);
	at = put_quoted(PUT(at, ",\"category\":"), plan_slice(p, p->category[s.category].name));
	if (s.accessible)
		at = PUT(at, ",\"accessible\":true");
	*at++ = '}';
	assert((size_t)(at - text) <= sizeof(text));
	jw_raw(w, (struct str){text, (size_t)(at - text)});
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
