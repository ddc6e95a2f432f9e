/*
 * How a plan lies in memory; for plan*.c only. Everything is an array, every string a slice of one text block, so that
 * a plan is a handful of allocations: about 100 bytes a seat, its strings included.
 */
#ifndef EVENT_PLAN_MODEL_H
#define EVENT_PLAN_MODEL_H

#include "event/plan.h"

struct plan_text {
	uint32_t at, n; /* in plan.text */
};

struct plan_category_rec {
	struct plan_text name, color;
	uint32_t seats;
	bool accessible;
};

struct plan_zone_rec {
	struct plan_text name, areas;
	uint32_t first_row, n_rows;
};

struct plan_row_rec {
	struct plan_text number, label;
	uint32_t zone, first_seat, n_seats;
	bool accessible;
};

struct plan_seat_rec {
	double x, y;
	float radius;
	uint32_t guid_at, number_at, label_at;
	uint16_t guid_n, number_n, label_n;
	uint8_t category;
	bool accessible;
	uint32_t row;
};
_Static_assert(sizeof(struct plan_seat_rec) <= 48, "there are many of these");

struct plan {
	unsigned refs;
	struct plan_text name;
	int64_t width, height;
	double front_x, front_y;
	uint32_t n_categories, n_zones, n_rows, n_seats;
	struct plan_category_rec *category;
	struct plan_zone_rec *zone;
	struct plan_row_rec *row;
	struct plan_seat_rec *seat;
	struct plan_spot *spot;
	uint32_t *guid_slot; /* open addressing: seat_no + 1, 0 is empty */
	uint32_t guid_mask;
	uint64_t hash_seed; /* from the text, so that guids that collide cannot be prepared */
	char *text;
	uint32_t text_n;
};

static inline struct str plan_slice(const struct plan *p, struct plan_text t)
{
	return (struct str){p->text + t.at, t.n};
}

uint64_t plan_hash(struct str s, uint64_t seed);
/* Fills spot[] from the seats, once all are there. */
void plan_lay_spots(struct plan *p);
/* Micropixels to the shortest decimal text, "12.5"; out holds PLAN_DECIMAL_MAX. Returns the length. */
enum { PLAN_DECIMAL_MAX = 32 };
size_t plan_decimal(double v, char *out);
/* Absolute coordinates are kept to a millionth of a pixel, so that 0.1 + 0.2 is 0.3 again. */
double plan_round(double v);

/* Of a text that json_read refused: what is wrong and where (plan_fault.c). Replaces *ret_error. */
void plan_explain(struct str text, int depth_max, struct error *ret_error);
/* Whether the text has more seats than that, told from the text alone; then *ret_error is set. */
bool plan_too_many_seats(struct str text, uint32_t seats_max, int depth_max, struct error *ret_error);
/* The longest prefix of at most n bytes that does not cut a character; for messages. */
struct str plan_cut(struct str s, size_t n);

#endif
