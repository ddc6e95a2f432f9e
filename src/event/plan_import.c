/*
 * JSON text -> struct plan. One pass over the parsed document: each object is read by its table (plan_schema.c), then
 * what relates it to others is checked and it is appended to the model. Everything unfinished is freed by plan_import
 * alone, so that every other function here just returns false at the first fault.
 */
#include "event/plan.h"

#include "base/json.h"
#include "base/xmalloc.h"
#include "event/plan_model.h"
#include "event/plan_schema.h"
#include "event/strset.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const struct plan_limits plan_limits_default = {
	.seats_max = 100000,
	.rows_max = 100000,
	.zones_max = 1000,
	.areas_max = 5000,
	.categories_max = PLAN_CATEGORIES_MAX,
	.depth_max = JSON_DEPTH_DEFAULT,
};

static const char *const palette[] = {"#0072B2", "#E69F00", "#009E73", "#CC79A7",
				      "#56B4E9", "#D55E00", "#F0E442", "#999999"};

enum { TEXT_MAX = 1 << 30, PALETTE_N = sizeof(palette) / sizeof(palette[0]) };

struct import {
	const struct plan_limits *limits;
	struct error *error;
	struct plan *p;
	struct buf text; /* becomes p->text */
	uint32_t cap_rows, cap_seats;
	uint32_t n_areas;
	struct strset uuids, categories;
	bool stage_by_text, stage_by_zone; /* p->front_x, front_y are set, and by what */
};

static struct plan_text keep(struct import *m, struct str s)
{
	struct plan_text t = {(uint32_t)m->text.n, (uint32_t)s.n};

	buf_addstr(&m->text, s);
	return t;
}

static bool check_uuid(struct import *m, const struct at *at, struct str uuid)
{
	struct at here = {at, "uuid", 0};

	if (uuid.p && !strset_add(&m->uuids, uuid, 0))
		return at_fault(&here, m->error, "This uuid was given to another object before.");
	return true;
}

/* The template with every %s replaced; the number when there is no template. */
static bool make_label(struct import *m, const struct at *row, const char *member, struct str template,
		       struct str number, struct plan_text number_text, struct plan_text *ret)
{
	size_t from = m->text.n, done = 0;

	if (m->text.failed)
		return at_fault(row, m->error, "The plan's texts are too long in all.");
	if (!template.n) {
		*ret = number_text;
		return true;
	}
	for (size_t i = 0; i + 1 < template.n; i++) {
		if (template.p[i] != '%' || template.p[i + 1] != 's')
			continue;
		buf_add(&m->text, template.p + done, i - done);
		buf_addstr(&m->text, number);
		done = i + 2;
		i++;
	}
	if (!buf_add(&m->text, template.p + done, template.n - done))
		return at_fault(row, m->error, "The plan's texts are too long in all.");
	*ret = (struct plan_text){(uint32_t)from, (uint32_t)(m->text.n - from)};
	if (str_utf8_length((struct str){m->text.p + from, ret->n}) > PLAN_NAME_MAX) {
		struct at here = {row, member, 0};

		return at_fault(&here, m->error,
				"With the number in place of %%s, \"%s\" is longer than %d characters.", member,
				PLAN_NAME_MAX);
	}
	return true;
}

static bool import_seat(struct import *m, const struct at *at, const json_t *j, const struct in_row *row, double x,
			double y)
{
	struct plan *p = m->p;
	struct plan_row_rec *r = &p->row[p->n_rows - 1];
	struct in_seat in = {.radius = 10};
	struct plan_seat_rec *s;
	struct plan_text guid, number, label;
	uint32_t category;

	if (!shape_read(&shape_seat, at, j, &in, m->error) || !check_uuid(m, at, in.uuid))
		return false;
	if (!strset_get(&m->categories, in.category, &category)) {
		struct at here = {at, "category", 0};
		struct str shown = plan_cut(in.category, 80);

		return at_fault(&here, m->error, "There is no category \"%.*s\" in this plan.", STR_FMT(shown));
	}
	guid = keep(m, in.guid);
	number = keep(m, in.number);
	if (!make_label(m, at->up->up, "seat_label", row->seat_label, in.number, number, &label))
		return false;
	if (p->n_seats == m->cap_seats) {
		m->cap_seats = m->cap_seats ? m->cap_seats * 2 : 64;
		p->seat = xreallocarray(p->seat, m->cap_seats, sizeof(*p->seat));
	}
	s = &p->seat[p->n_seats++];
	*s = (struct plan_seat_rec){
		.x = plan_round(x + in.position.x),
		.y = plan_round(y + in.position.y),
		.radius = (float)in.radius,
		.guid_at = guid.at,
		.number_at = number.at,
		.label_at = label.at,
		.guid_n = (uint16_t)guid.n,
		.number_n = (uint16_t)number.n,
		.label_n = (uint16_t)label.n,
		.category = (uint8_t)category,
		.row = p->n_rows - 1,
	};
	s->accessible = r->accessible || p->category[category].accessible || plan_text_accessible(in.number) ||
			(label.at != number.at && plan_text_accessible((struct str){m->text.p + label.at, label.n}));
	p->category[category].seats++;
	r->n_seats++;
	return true;
}

static bool import_row(struct import *m, const struct at *at, const json_t *j, double x, double y)
{
	struct plan *p = m->p;
	struct at seats = {at, "seats", 0};
	struct in_row in = {0};
	struct plan_row_rec *r;

	if (p->n_rows == m->limits->rows_max)
		return at_fault(at, m->error, "A plan has at most %u rows.", m->limits->rows_max);
	if (!shape_read(&shape_row, at, j, &in, m->error) || !check_uuid(m, at, in.uuid))
		return false;
	if (p->n_rows == m->cap_rows) {
		m->cap_rows = m->cap_rows ? m->cap_rows * 2 : 16;
		p->row = xreallocarray(p->row, m->cap_rows, sizeof(*p->row));
	}
	r = &p->row[p->n_rows++];
	*r = (struct plan_row_rec){.zone = p->n_zones - 1, .first_seat = p->n_seats, .number = keep(m, in.number)};
	if (!make_label(m, at, "row_label", in.label, in.number, r->number, &r->label))
		return false;
	r->accessible = plan_text_accessible(in.number) ||
			plan_text_accessible((struct str){m->text.p + r->label.at, r->label.n});
	if (json_array_size(in.seats) > m->limits->seats_max - p->n_seats) {
		struct at here = {&seats, NULL, m->limits->seats_max - p->n_seats};

		return at_fault(&here, m->error, "A plan has at most %u seats.", m->limits->seats_max);
	}
	x += in.position.x;
	y += in.position.y;
	for (size_t i = 0; i < json_array_size(in.seats); i++) {
		struct at here = {&seats, NULL, i};

		if (!import_seat(m, &here, json_array_get(in.seats, i), &in, x, y))
			return false;
	}
	p->zone[p->n_zones - 1].n_rows++;
	return true;
}

struct box {
	double left, top, right, bottom;
};

static bool import_points(struct import *m, const struct at *area, const json_t *points, struct box *ret_box)
{
	struct at polygon = {area, "polygon", 0}, list = {&polygon, "points", 0};

	*ret_box = (struct box){INFINITY, INFINITY, -INFINITY, -INFINITY};
	for (size_t i = 0; i < json_array_size(points); i++) {
		struct at here = {&list, NULL, i};
		struct in_xy at = {0};

		if (!shape_read(&shape_position, &here, json_array_get(points, i), &at, m->error))
			return false;
		ret_box->left = fmin(ret_box->left, at.x);
		ret_box->right = fmax(ret_box->right, at.x);
		ret_box->top = fmin(ret_box->top, at.y);
		ret_box->bottom = fmax(ret_box->bottom, at.y);
	}
	return true;
}

/* What the shape says must be there; without it nothing could be drawn. */
static bool check_area_shape(struct import *m, const struct at *at, const struct in_area *in)
{
	const struct {
		const char *shape;
		uint32_t seen;
	} parts[] = {
		{"polygon", in->polygon.seen}, {"rectangle", in->rectangle.seen}, {"ellipse", in->ellipse.seen},
		{"circle", in->circle.seen},   {"text", in->text.seen},
	};

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (str_eqc(in->shape, parts[i].shape) && !parts[i].seen) {
			struct at here = {at, parts[i].shape, 0};

			return at_fault(&here, m->error, "The area's shape is \"%s\", but \"%s\" is missing.",
					parts[i].shape, parts[i].shape);
		}
	return true;
}

/* The area's middle, absolute. box: of the polygon's points. */
static void area_centre(const struct in_area *in, const struct box *box, double x, double y, double *ret_x,
			double *ret_y)
{
	double dx = 0, dy = 0, turn = in->rotation * M_PI / 180;

	if (in->polygon.seen && !str_eqc(in->shape, "rectangle")) {
		dx = (box->left + box->right) / 2;
		dy = (box->top + box->bottom) / 2;
	} else if (in->rectangle.seen) {
		dx = in->rectangle.width / 2;
		dy = in->rectangle.height / 2;
	} else if (in->text.seen && !in->circle.seen && !in->ellipse.seen) {
		dx = in->text.position.x;
		dy = in->text.position.y;
	}
	*ret_x = x + dx * cos(turn) - dy * sin(turn);
	*ret_y = y + dx * sin(turn) + dy * cos(turn);
}

/* The area as the seat map shows it: as it came, its position absolute and in the first place, its uuid left out. */
static void put_area(struct jw *w, const json_t *j, double x, double y)
{
	char text[PLAN_DECIMAL_MAX];
	const char *key;
	json_t *value;

	jw_obj(w);
	jw_key(w, "position");
	jw_obj(w);
	jw_key(w, "x");
	jw_raw(w, (struct str){text, plan_decimal(x, text)});
	jw_key(w, "y");
	jw_raw(w, (struct str){text, plan_decimal(y, text)});
	jw_obj_end(w);
	json_object_foreach((json_t *)(uintptr_t)j, key, value) {
		char *dump;

		if (strcmp(key, "position") == 0 || strcmp(key, "uuid") == 0)
			continue;
		dump = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
		jw_key(w, key);
		jw_raw(w, str_from(dump));
		free(dump);
	}
	jw_obj_end(w);
}

static bool import_areas(struct import *m, const struct at *zone_at, const struct in_zone *zone,
			 struct plan_zone_rec *z)
{
	struct plan *p = m->p;
	struct at list = {zone_at, "areas", 0};
	size_t from = m->text.n, n = json_array_size(zone->areas);
	double sum_x = 0, sum_y = 0;
	struct jw w;

	jw_init(&w, &m->text);
	jw_arr(&w);
	for (size_t i = 0; i < n; i++) {
		const json_t *j = json_array_get(zone->areas, i);
		struct at at = {&list, NULL, i};
		struct in_area in = {0};
		struct box box = {0};
		double x, y, centre_x, centre_y;

		if (m->n_areas++ == m->limits->areas_max)
			return at_fault(&at, m->error, "A plan has at most %u areas.", m->limits->areas_max);
		if (!shape_read(&shape_area, &at, j, &in, m->error) || !check_uuid(m, &at, in.uuid) ||
		    !import_points(m, &at, in.polygon.points, &box) || !check_area_shape(m, &at, &in))
			return false;
		x = zone->position.x + in.position.x;
		y = zone->position.y + in.position.y;
		put_area(&w, j, x, y);
		area_centre(&in, &box, x, y, &centre_x, &centre_y);
		sum_x += centre_x;
		sum_y += centre_y;
		if (!m->stage_by_text && in.text.seen && plan_text_stage(in.text.text)) {
			p->front_x = centre_x;
			p->front_y = centre_y;
			m->stage_by_text = true;
		}
	}
	jw_arr_end(&w);
	z->areas = (struct plan_text){(uint32_t)from, (uint32_t)(m->text.n - from)};
	if (!m->stage_by_text && !m->stage_by_zone && n && plan_text_stage(zone->name)) {
		size_t seats = 0;

		for (size_t i = 0; i < json_array_size(zone->rows); i++)
			seats += json_array_size(json_object_get(json_array_get(zone->rows, i), "seats"));
		if (!seats) {
			p->front_x = sum_x / (double)n;
			p->front_y = sum_y / (double)n;
			m->stage_by_zone = true;
		}
	}
	return true;
}

static bool import_zone(struct import *m, const struct at *at, const json_t *j)
{
	struct plan *p = m->p;
	struct plan_zone_rec *z = &p->zone[p->n_zones];
	struct at rows = {at, "rows", 0};
	struct in_zone in = {0};

	if (!shape_read(&shape_zone, at, j, &in, m->error) || !check_uuid(m, at, in.uuid))
		return false;
	p->n_zones++;
	*z = (struct plan_zone_rec){.name = keep(m, in.name), .first_row = p->n_rows};
	if (!import_areas(m, at, &in, z))
		return false;
	for (size_t i = 0; i < json_array_size(in.rows); i++) {
		struct at here = {&rows, NULL, i};

		if (!import_row(m, &here, json_array_get(in.rows, i), in.position.x, in.position.y))
			return false;
	}
	return true;
}

static bool import_categories(struct import *m, const struct at *document, const json_t *list)
{
	struct plan *p = m->p;
	struct at at = {document, "categories", 0};

	p->category = xcalloc(json_array_size(list) + 1, sizeof(*p->category));
	for (size_t i = 0; i < json_array_size(list); i++) {
		struct at here = {&at, NULL, i}, name = {&here, "name", 0};
		struct plan_category_rec *c = &p->category[i];
		struct in_category in = {0};

		if (i == m->limits->categories_max)
			return at_fault(&here, m->error, "A plan has at most %u categories.",
					m->limits->categories_max);
		if (!shape_read(&shape_category, &here, json_array_get(list, i), &in, m->error))
			return false;
		if (!strset_add(&m->categories, in.name, (uint32_t)i))
			return at_fault(&name, m->error, "Two categories have this name.");
		*c = (struct plan_category_rec){
			.name = keep(m, in.name),
			.color = keep(m, in.color.n ? in.color : str_from(palette[i % PALETTE_N])),
			.accessible = plan_text_accessible(in.name),
		};
		p->n_categories++;
	}
	return true;
}

/* Builds the lookup and finds duplicates; the text is in place. */
static bool index_guids(struct import *m)
{
	struct plan *p = m->p;
	uint32_t size = 16;

	while (size < p->n_seats * 2)
		size *= 2;
	p->guid_slot = xcalloc(size, sizeof(*p->guid_slot));
	p->guid_mask = size - 1;
	for (uint32_t seat_no = 0; seat_no < p->n_seats; seat_no++) {
		struct str guid = plan_seat_guid(p, seat_no);
		uint32_t i = (uint32_t)plan_hash(guid, p->hash_seed) & p->guid_mask;

		while (p->guid_slot[i] && !str_eq(plan_seat_guid(p, p->guid_slot[i] - 1), guid))
			i = (i + 1) & p->guid_mask;
		if (p->guid_slot[i]) {
			const struct plan_row_rec *r = &p->row[p->seat[seat_no].row];
			struct at at[] = {{NULL, NULL, 0},
					  {&at[0], "zones", 0},
					  {&at[1], NULL, r->zone},
					  {&at[2], "rows", 0},
					  {&at[3], NULL, p->seat[seat_no].row - p->zone[r->zone].first_row},
					  {&at[4], "seats", 0},
					  {&at[5], NULL, seat_no - r->first_seat},
					  {&at[6], "seat_guid", 0}};

			return at_fault(&at[7], m->error, "The seat_guid \"%.*s\" was given to another seat before.",
					STR_FMT(guid));
		}
		p->guid_slot[i] = seat_no + 1;
	}
	return true;
}

static bool import_document(struct import *m, const json_t *j)
{
	struct plan *p = m->p;
	struct at document = {NULL, NULL, 0}, zones = {&document, "zones", 0};
	struct in_plan in = {0};
	size_t n;

	if (!shape_read(&shape_plan, &document, j, &in, m->error))
		return false;
	p->name = keep(m, in.name);
	p->width = (int64_t)in.size.width;
	p->height = (int64_t)in.size.height;
	if (!import_categories(m, &document, in.categories))
		return false;
	n = json_array_size(in.zones);
	if (n > m->limits->zones_max) {
		struct at here = {&zones, NULL, m->limits->zones_max};

		return at_fault(&here, m->error, "A plan has at most %u zones.", m->limits->zones_max);
	}
	p->zone = xcalloc(n + 1, sizeof(*p->zone));
	for (size_t i = 0; i < n; i++) {
		struct at here = {&zones, NULL, i};

		if (!import_zone(m, &here, json_array_get(in.zones, i)))
			return false;
	}
	if (p->n_seats == 0)
		return at_fault(&zones, m->error, "The plan has no seats.");
	if (m->text.failed)
		return at_fault(&document, m->error, "The plan's texts are too long in all.");
	p->text_n = (uint32_t)m->text.n;
	p->text = buf_take(&m->text, NULL);
	p->text = xrealloc(p->text, (size_t)p->text_n + 1);
	p->seat = xreallocarray(p->seat, p->n_seats, sizeof(*p->seat));
	p->row = xreallocarray(p->row, p->n_rows, sizeof(*p->row));
	if (!index_guids(m))
		return false;
	plan_lay_spots(p);
	if (!m->stage_by_text && !m->stage_by_zone) {
		struct box box = {INFINITY, INFINITY, -INFINITY, -INFINITY};

		for (uint32_t i = 0; i < p->n_seats; i++) {
			box.left = fmin(box.left, p->seat[i].x);
			box.right = fmax(box.right, p->seat[i].x);
			box.top = fmin(box.top, p->seat[i].y);
		}
		p->front_x = (box.left + box.right) / 2;
		p->front_y = box.top;
	}
	return true;
}

struct plan *plan_import(struct str json, const struct plan_limits *limits, struct error *ret_error)
{
	struct import m = {.limits = limits ? limits : &plan_limits_default, .error = ret_error};
	json_t *j JSON_AUTO = NULL;
	bool ok;

	assert(m.limits->depth_max > 0 && m.limits->depth_max <= PLAN_DEPTH_MAX);
	assert(m.limits->categories_max <= PLAN_CATEGORIES_MAX);
	/* the parsed document takes 1 KiB a seat: do not even build one that is too large */
	if (plan_too_many_seats(json, m.limits->seats_max, m.limits->depth_max, ret_error))
		return NULL;
	j = json_read(json, m.limits->depth_max, ret_error);
	if (!j) {
		plan_explain(json, m.limits->depth_max, ret_error);
		return NULL;
	}
	m.p = xcalloc(1, sizeof(*m.p));
	m.p->refs = 1;
	m.p->hash_seed = plan_hash(json, 0);
	buf_init(&m.text, TEXT_MAX);
	strset_init(&m.uuids, m.p->hash_seed);
	strset_init(&m.categories, m.p->hash_seed);
	ok = import_document(&m, j);
	strset_done(&m.uuids);
	strset_done(&m.categories);
	buf_done(&m.text);
	if (!ok) {
		plan_unref(m.p);
		return NULL;
	}
	return m.p;
}
