/*
 * A seating plan in memory, made from pretix seating-plan JSON. Pure: no I/O, no clock, no randomness.
 *
 * The JSON text stays the master copy: the caller stores it byte for byte (as `json` or text, not `jsonb`: jsonb turns
 * 1.0 and 1e2 into other numbers and sorts members) and gives that text back; a plan is only ever derived from it, here,
 * and never written out as a plan again.
 *
 * seat_no: seats are numbered 0..n-1 in document order (zones, their rows, their seats). The number is as stable as the
 * text and is what every table, bitmap and message uses; seat_guid is what people outside use.
 *
 * Positions nest: absolute = zone + row (0,0 when absent) + seat, for an area zone + area; in pixels, y grows downwards.
 * Inside an area everything else (polygon points, the text's position) stays relative to the area's position, because
 * the area's rotation turns it around that point.
 *
 * A plan never changes once made, so any thread may read it; plan_ref and plan_unref belong to one thread at a time.
 * plan_import takes milliseconds (50,000 seats: see test_plan's figures) and belongs into io/offload for large texts.
 */
#ifndef EVENT_PLAN_H
#define EVENT_PLAN_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#include <stdint.h>

struct plan;

/* What a plan may contain; above it the fault names the first thing too many. */
struct plan_limits {
	uint32_t seats_max, rows_max, zones_max, areas_max;
	uint32_t categories_max; /* at most PLAN_CATEGORIES_MAX */
	int depth_max;		 /* of the JSON; a plan needs 8; at most PLAN_DEPTH_MAX */
};

enum {
	PLAN_CATEGORIES_MAX = 250,
	PLAN_DEPTH_MAX = 64,
	PLAN_GUID_MAX = 64,   /* characters; 4 bytes each at most */
	PLAN_NAME_MAX = 200,  /* characters of any other name or label */
	PLAN_NUMBER_MAX = 64, /* characters of a row's or seat's number */
	PLAN_COLOR_MAX = 64,
	PLAN_COORDINATE_MAX = 1000000,
};

extern const struct plan_limits plan_limits_default; /* 100,000 seats */

/*
 * NULL with *ret_error set:
 *   ERR_INVALID_PLAN     JSON, but not a plan that can be used; path is the JSON Pointer of the fault. Of a missing
 *                        member it is where that should stand; of a duplicate the second one. Also for what the JSON
 *                        grammar allows and we do not: too deep, \u0000, numbers out of range.
 *   ERR_INVALID_REQUEST  not JSON, or a member given twice; path is where reading stopped.
 * limits NULL: plan_limits_default. The text is not kept.
 */
struct plan *plan_import(struct str json, const struct plan_limits *limits, struct error *ret_error);
struct plan *plan_ref(struct plan *p);
void plan_unref(struct plan *p); /* NULL is fine */

/* Views; their strings live as long as the plan. */
struct plan_category {
	struct str name;
	struct str color; /* CSS colour; one of a colour-blind-safe palette when the plan gives none */
	uint32_t seats;
	bool accessible; /* by its name */
};

struct plan_zone {
	struct str name; /* may be empty */
	uint32_t first_row, n_rows;
	struct str areas; /* JSON array, positions absolute (see above), uuids left out */
};

struct plan_row {
	struct str number; /* may be empty */
	struct str label;  /* row_label with %s replaced by the number; the number when there is none */
	uint32_t zone;
	uint32_t first_seat, n_seats;
};

struct plan_seat {
	struct str guid;
	struct str number; /* may be empty */
	struct str label;  /* the row's seat_label with %s replaced by the number; the number when there is none */
	double x, y, radius;
	uint32_t row;
	uint32_t category;
	bool accessible;
};

struct str plan_name(const struct plan *p);
void plan_size(const struct plan *p, int64_t *ret_width, int64_t *ret_height);
uint32_t plan_n_categories(const struct plan *p);
uint32_t plan_n_zones(const struct plan *p);
uint32_t plan_n_rows(const struct plan *p);
uint32_t plan_n_seats(const struct plan *p);
/* The index must be in range (asserted). */
struct plan_category plan_category(const struct plan *p, uint32_t category);
struct plan_zone plan_zone(const struct plan *p, uint32_t zone);
struct plan_row plan_row(const struct plan *p, uint32_t row);
struct plan_seat plan_seat(const struct plan *p, uint32_t seat_no);
/* Only the guid; for the paths that turn many numbers into names. */
struct str plan_seat_guid(const struct plan *p, uint32_t seat_no);
uint32_t plan_seat_category(const struct plan *p, uint32_t seat_no);

/* -1 when there is none; exact, case-sensitive. Constant time on average. */
int64_t plan_seat_by_guid(const struct plan *p, struct str guid);
int plan_category_by_name(const struct plan *p, struct str name);

/*
 * Whether a text marks a place for wheelchair users; the plan format has no flag for it. A seat is accessible when its
 * category's name, its row's number or label, or its own number or label says so: contains "wheelchair", "accessible",
 * "rollstuhl", "車椅子" or the sign U+267F, whatever the case.
 */
bool plan_text_accessible(struct str text);
/* Whether an area's text names where the audience looks: stage, screen, Bühne, Leinwand, scène, escenario, 舞台, ... */
bool plan_text_stage(struct str text);

/*
 * Geometry for choosing seats: all seats, row after row, in the order one walks along the row, cut into runs. Two
 * seats that follow each other in a run are neighbours; an aisle (a distance of more than 2.2 times what is usual in
 * the row) and the end of the row end a run.
 */
enum { PLAN_SPOT_FIRST = 1 /* of a run */, PLAN_SPOT_ACCESSIBLE = 2 };

struct plan_spot {
	float x, y; /* absolute */
	uint32_t seat_no;
	uint8_t category;
	uint8_t flags;
};

const struct plan_spot *plan_spots(const struct plan *p); /* plan_n_seats of them */
/* Front centre: the middle of the stage when an area (or a zone without seats) is named so, else the middle of the
 * foremost edge of all seats, the front being where y is smallest. */
void plan_front(const struct plan *p, double *ret_x, double *ret_y);

/* Bytes held, all told. */
size_t plan_memory(const struct plan *p);

/*
 * The answer of GET /v1/shows/{show}/seatmap (docs: api/openapi.yaml) appended to out. Deterministic: the same plan and
 * version give the same bytes. false when out's maximum was passed. About 130 bytes a seat.
 */
bool plan_render_seatmap(const struct plan *p, struct str version, struct buf *out);

#endif
