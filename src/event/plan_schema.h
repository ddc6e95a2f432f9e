/*
 * What a seating plan looks like, as tables (plan_schema.c), and the one function that reads a JSON object by them into
 * a C struct: types, ranges, lengths, missing and unknown members are checked there; what relates one part of the plan
 * to another (duplicates, categories, counts) is plan_import.c's. For plan_*.c only.
 */
#ifndef EVENT_PLAN_SCHEMA_H
#define EVENT_PLAN_SCHEMA_H

#include "base/err.h"
#include "base/json.h"

/* Where in the document one is: a chain on the C stack, written out as a JSON Pointer only when something is wrong. */
struct at {
	const struct at *up; /* NULL: the document */
	const char *name;    /* member, or NULL: item */
	size_t index;
};

void at_pointer(const struct at *at, char out[ERROR_PATH_MAX]);
/* Records ERR_INVALID_PLAN at that place; returns false. */
bool at_fault(const struct at *at, struct error *error, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/*
 * What the tables read into. Every struct starts with a bit per field that was there: 0 for an object that was absent,
 * since each has required members (or none that matter). Strings absent or null have p NULL; arrays absent are NULL.
 */
struct in_xy {
	uint32_t seen;
	double x, y;
};

struct in_size {
	uint32_t seen;
	double width, height;
};

struct in_category {
	uint32_t seen;
	struct str name, color;
};

struct in_seat {
	uint32_t seen;
	struct str guid, number, uuid, start_direction, category;
	double radius;
	struct in_xy position;
};

struct in_row {
	uint32_t seen;
	struct str number, label, seat_label, uuid, number_position;
	const json_t *seats;
	struct in_xy position;
};

struct in_polygon {
	uint32_t seen;
	const json_t *points;
};

struct in_radius {
	uint32_t seen;
	double radius;
};

struct in_ellipse {
	uint32_t seen;
	struct in_xy radius;
};

struct in_text {
	uint32_t seen;
	struct str text, color;
	double size;
	struct in_xy position;
};

struct in_area {
	uint32_t seen;
	struct str color, border_color, uuid, shape;
	double rotation;
	struct in_xy position;
	struct in_polygon polygon;
	struct in_size rectangle;
	struct in_ellipse ellipse;
	struct in_radius circle;
	struct in_text text;
};

struct in_zone {
	uint32_t seen;
	struct str name, zone_id, uuid;
	struct in_xy position;
	const json_t *rows, *areas;
};

struct in_plan {
	uint32_t seen;
	struct str name;
	const json_t *zones, *categories;
	struct in_size size;
};

struct shape;
extern const struct shape shape_plan, shape_category, shape_zone, shape_row, shape_seat, shape_area, shape_position;

/* ret_in: one of the structs above that belongs to the shape, zeroed by the caller (or with defaults for what may be
 * absent). Its strings belong to j. */
bool shape_read(const struct shape *shape, const struct at *at, const json_t *j, void *ret_in, struct error *error);

#endif
