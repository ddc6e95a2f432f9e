#include "event/plan_schema.h"

#include "event/plan.h"
#include "event/plan_model.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum kind { STRING, STRING_OR_NULL, NUMBER, INTEGER, OBJECT, ARRAY };
enum need { OPTIONAL, REQUIRED };

struct field {
	const char *name;
	enum kind kind;
	enum need need;
	size_t offset;
	double min, max;		      /* characters, value or items */
	const struct shape *shape;	      /* OBJECT */
	const char *const *one_of;	      /* strings: these only, ended by NULL */
	const char *(*rule)(struct str text); /* strings: what is wrong with it, or NULL */
};

struct shape {
	const struct field *field;
	size_t n;
};

static const char *rule_guid(struct str s)
{
	return s.p[0] == ' ' || s.p[s.n - 1] == ' ' ? "must not begin or end with a blank" : NULL;
}

/* Names, #hex, rgb(), hsl() and their relatives; nothing that could end a CSS value or an attribute. */
static const char *rule_color(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      (c && strchr("#(),.% +-/", c))))
			return "is not a CSS colour";
	}
	return NULL;
}

static const char *const row_number_positions[] = {"start", "end", "both", NULL};
static const char *const area_shapes[] = {"polygon", "rectangle", "ellipse", "circle", "text", NULL};

#define XY -PLAN_COORDINATE_MAX, PLAN_COORDINATE_MAX
#define EXTENT 0, PLAN_COORDINATE_MAX
#define SHAPE(s) const struct shape shape_##s = {s##_fields, sizeof(s##_fields) / sizeof(s##_fields[0])}
#define TO(type, member) offsetof(struct type, member)

static const struct field position_fields[] = {
	{"x", NUMBER, REQUIRED, TO(in_xy, x), XY},
	{"y", NUMBER, REQUIRED, TO(in_xy, y), XY},
};
SHAPE(position);

static const struct field size_fields[] = {
	{"width", INTEGER, REQUIRED, TO(in_size, width), 1, PLAN_COORDINATE_MAX},
	{"height", INTEGER, REQUIRED, TO(in_size, height), 1, PLAN_COORDINATE_MAX},
};
static SHAPE(size);

static const struct field category_fields[] = {
	{"name", STRING, REQUIRED, TO(in_category, name), 1, PLAN_NAME_MAX},
	{"color", STRING, OPTIONAL, TO(in_category, color), 0, PLAN_COLOR_MAX, .rule = rule_color},
};
SHAPE(category);

static const struct field seat_fields[] = {
	{"seat_guid", STRING, REQUIRED, TO(in_seat, guid), 1, PLAN_GUID_MAX, .rule = rule_guid},
	{"seat_number", STRING, REQUIRED, TO(in_seat, number), 0, PLAN_NUMBER_MAX},
	{"uuid", STRING, OPTIONAL, TO(in_seat, uuid), 1, PLAN_NAME_MAX},
	{"start_direction", STRING_OR_NULL, OPTIONAL, TO(in_seat, start_direction), 0, 16},
	{"radius", NUMBER, OPTIONAL, TO(in_seat, radius), 0, 10000},
	{"position", OBJECT, REQUIRED, TO(in_seat, position), .shape = &shape_position},
	{"category", STRING, REQUIRED, TO(in_seat, category), 0, PLAN_NAME_MAX},
};
SHAPE(seat);

static const struct field row_fields[] = {
	{"row_number", STRING, REQUIRED, TO(in_row, number), 0, PLAN_NUMBER_MAX},
	{"row_label", STRING_OR_NULL, OPTIONAL, TO(in_row, label), 0, PLAN_NAME_MAX},
	{"seat_label", STRING_OR_NULL, OPTIONAL, TO(in_row, seat_label), 0, PLAN_NAME_MAX},
	{"uuid", STRING, OPTIONAL, TO(in_row, uuid), 1, PLAN_NAME_MAX},
	{"row_number_position", STRING_OR_NULL, OPTIONAL, TO(in_row, number_position), 0, PLAN_NAME_MAX,
	 .one_of = row_number_positions},
	{"position", OBJECT, OPTIONAL, TO(in_row, position), .shape = &shape_position},
	{"seats", ARRAY, REQUIRED, TO(in_row, seats), 0, INFINITY},
};
SHAPE(row);

static const struct field polygon_fields[] = {
	{"points", ARRAY, REQUIRED, TO(in_polygon, points), 3, 10000},
};
static SHAPE(polygon);

static const struct field rectangle_fields[] = {
	{"width", NUMBER, REQUIRED, TO(in_size, width), EXTENT},
	{"height", NUMBER, REQUIRED, TO(in_size, height), EXTENT},
};
static SHAPE(rectangle);

static const struct field radii_fields[] = {
	{"x", NUMBER, REQUIRED, TO(in_xy, x), EXTENT},
	{"y", NUMBER, REQUIRED, TO(in_xy, y), EXTENT},
};
static SHAPE(radii);

static const struct field ellipse_fields[] = {
	{"radius", OBJECT, REQUIRED, TO(in_ellipse, radius), .shape = &shape_radii},
};
static SHAPE(ellipse);

static const struct field circle_fields[] = {
	{"radius", NUMBER, REQUIRED, TO(in_radius, radius), EXTENT},
};
static SHAPE(circle);

static const struct field text_fields[] = {
	{"text", STRING, REQUIRED, TO(in_text, text), 0, 1000},
	{"color", STRING, OPTIONAL, TO(in_text, color), 0, PLAN_COLOR_MAX, .rule = rule_color},
	{"size", NUMBER, OPTIONAL, TO(in_text, size), 0, 10000},
	{"position", OBJECT, REQUIRED, TO(in_text, position), .shape = &shape_position},
};
static SHAPE(text);

static const struct field area_fields[] = {
	{"color", STRING, OPTIONAL, TO(in_area, color), 0, PLAN_COLOR_MAX, .rule = rule_color},
	{"border_color", STRING, OPTIONAL, TO(in_area, border_color), 0, PLAN_COLOR_MAX, .rule = rule_color},
	{"rotation", NUMBER, OPTIONAL, TO(in_area, rotation), XY},
	{"position", OBJECT, OPTIONAL, TO(in_area, position), .shape = &shape_position},
	{"uuid", STRING, OPTIONAL, TO(in_area, uuid), 1, PLAN_NAME_MAX},
	{"shape", STRING, OPTIONAL, TO(in_area, shape), 0, PLAN_NAME_MAX, .one_of = area_shapes},
	{"polygon", OBJECT, OPTIONAL, TO(in_area, polygon), .shape = &shape_polygon},
	{"rectangle", OBJECT, OPTIONAL, TO(in_area, rectangle), .shape = &shape_rectangle},
	{"ellipse", OBJECT, OPTIONAL, TO(in_area, ellipse), .shape = &shape_ellipse},
	{"circle", OBJECT, OPTIONAL, TO(in_area, circle), .shape = &shape_circle},
	{"text", OBJECT, OPTIONAL, TO(in_area, text), .shape = &shape_text},
};
SHAPE(area);

static const struct field zone_fields[] = {
	{"name", STRING, OPTIONAL, TO(in_zone, name), 0, PLAN_NAME_MAX},
	{"zone_id", STRING, OPTIONAL, TO(in_zone, zone_id), 0, PLAN_NAME_MAX},
	{"uuid", STRING, OPTIONAL, TO(in_zone, uuid), 1, PLAN_NAME_MAX},
	{"position", OBJECT, REQUIRED, TO(in_zone, position), .shape = &shape_position},
	{"rows", ARRAY, REQUIRED, TO(in_zone, rows), 0, INFINITY},
	{"areas", ARRAY, OPTIONAL, TO(in_zone, areas), 0, INFINITY},
};
SHAPE(zone);

static const struct field plan_fields[] = {
	{"name", STRING, REQUIRED, TO(in_plan, name), 0, PLAN_NAME_MAX},
	{"zones", ARRAY, REQUIRED, TO(in_plan, zones), 0, INFINITY},
	{"categories", ARRAY, REQUIRED, TO(in_plan, categories), 0, INFINITY},
	{"size", OBJECT, REQUIRED, TO(in_plan, size), .shape = &shape_size},
};
SHAPE(plan);

void at_pointer(const struct at *at, char out[ERROR_PATH_MAX])
{
	char parent[ERROR_PATH_MAX];

	if (!at->up) {
		out[0] = '\0';
		return;
	}
	at_pointer(at->up, parent);
	if (at->name)
		json_pointer(out, parent, at->name);
	else
		json_pointer_index(out, parent, at->index);
}

bool at_fault(const struct at *at, struct error *error, const char *fmt, ...)
{
	char path[ERROR_PATH_MAX], detail[ERROR_DETAIL_MAX];
	va_list ap;

	at_pointer(at, path);
	va_start(ap, fmt);
	vsnprintf(detail, sizeof(detail), fmt, ap);
	va_end(ap);
	return error_set(error, ERR_INVALID_PLAN, path, "%s", detail);
}

static bool read_string(const struct field *f, const struct at *at, const json_t *j, struct str *ret,
			struct error *error)
{
	struct str s = {json_string_value(j), json_string_length(j)};
	const char *wrong;
	size_t chars;

	if (!json_is_string(j))
		return at_fault(at, error, "\"%s\" must be a string%s.", f->name,
				f->kind == STRING_OR_NULL ? " or null" : "");
	chars = str_utf8_length(s);
	if ((double)chars < f->min || (double)chars > f->max)
		return at_fault(at, error, "\"%s\" must have %.0f to %.0f characters; it has %zu.", f->name, f->min,
				f->max, chars);
	if (f->rule && (wrong = f->rule(s)))
		return at_fault(at, error, "\"%s\" %s.", f->name, wrong);
	if (f->one_of) {
		const char *const *o = f->one_of;

		while (*o && !str_eqc(s, *o))
			o++;
		if (!*o)
			return at_fault(at, error, "\"%s\" has none of the values it may have (\"%s\", \"%s\", ...).",
					f->name, f->one_of[0], f->one_of[1]);
	}
	*ret = s;
	return true;
}

static bool read_number(const struct field *f, const struct at *at, const json_t *j, double *ret, struct error *error)
{
	double v = json_number_value(j);

	/* as JSON Schema has it, 800.0 is an integer too */
	if (!json_is_number(j) || (f->kind == INTEGER && v != floor(v)))
		return at_fault(at, error, "\"%s\" must be a %snumber.", f->name, f->kind == INTEGER ? "whole " : "");
	if (!(v >= f->min && v <= f->max))
		return at_fault(at, error, "\"%s\" must be from %.0f to %.0f.", f->name, f->min, f->max);
	*ret = v;
	return true;
}

static bool read_field(const struct field *f, const struct at *up, const json_t *j, char *in, struct error *error)
{
	struct at at = {up, f->name, 0};
	void *to = in + f->offset;

	switch (f->kind) {
	case STRING_OR_NULL:
		if (json_is_null(j))
			return true;
		__attribute__((fallthrough));
	case STRING:
		return read_string(f, &at, j, to, error);
	case NUMBER:
	case INTEGER:
		return read_number(f, &at, j, to, error);
	case OBJECT:
		return shape_read(f->shape, &at, j, to, error);
	case ARRAY:
		if (!json_is_array(j))
			return at_fault(&at, error, "\"%s\" must be an array.", f->name);
		if ((double)json_array_size(j) < f->min || (double)json_array_size(j) > f->max)
			return at_fault(&at, error, "\"%s\" must have %.0f to %.0f items.", f->name, f->min, f->max);
		*(const json_t **)to = j;
		return true;
	}
	return false;
}

bool shape_read(const struct shape *shape, const struct at *at, const json_t *j, void *ret_in, struct error *error)
{
	uint32_t seen = 0;
	size_t guess = 0; /* most documents keep to one order of members */
	const char *key;
	json_t *value;

	if (!json_is_object(j))
		return at_fault(at, error, "A JSON object was expected here.");
	json_object_foreach((json_t *)(uintptr_t)j, key, value) {
		size_t k = 0;

		while (k < shape->n && strcmp(shape->field[guess].name, key) != 0) {
			guess = guess + 1 < shape->n ? guess + 1 : 0;
			k++;
		}
		if (k == shape->n) {
			struct at here = {at, key, 0};
			struct str shown = plan_cut(str_from(key), 64);

			return at_fault(&here, error, "There is no member \"%.*s\" here.", STR_FMT(shown));
		}
		if (!read_field(&shape->field[guess], at, value, ret_in, error))
			return false;
		seen |= 1u << guess;
		guess = guess + 1 < shape->n ? guess + 1 : 0;
	}
	for (size_t i = 0; i < shape->n; i++)
		if (shape->field[i].need == REQUIRED && !(seen >> i & 1)) {
			struct at here = {at, shape->field[i].name, 0};

			return at_fault(&here, error, "\"%s\" is missing.", shape->field[i].name);
		}
	*(uint32_t *)ret_in = seen;
	return true;
}
