/*
 * Who sits next to whom. Seats of a row are taken in document order, or, when a document lists them otherwise (first the
 * odd, then the even numbers), in their order along the row's axis, whichever makes the shorter walk; where a step is
 * far longer than usual there is an aisle.
 */
#include "base/xmalloc.h"
#include "event/plan_model.h"

#include <math.h>
#include <stdlib.h>

static const double aisle_factor = 2.2;

struct step {
	double along; /* position on the row's axis */
	uint32_t seat_no;
};

/* For all rows of the largest size. */
struct scratch {
	struct step *step;
	double *gap;
};

static double distance(const struct plan *p, uint32_t a, uint32_t b)
{
	return hypot(p->seat[a].x - p->seat[b].x, p->seat[a].y - p->seat[b].y);
}

static int by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static int by_along(const void *a, const void *b)
{
	const struct step *x = a, *y = b;

	if (x->along != y->along)
		return x->along < y->along ? -1 : 1;
	return x->seat_no < y->seat_no ? -1 : 1;
}

static double walk_length(const struct plan *p, const struct step *step, uint32_t n)
{
	double sum = 0;

	for (uint32_t i = 1; i < n; i++)
		sum += distance(p, step[i - 1].seat_no, step[i].seat_no);
	return sum;
}

static uint32_t farthest(const struct plan *p, const struct plan_row_rec *r, uint32_t from)
{
	uint32_t best = from;
	double most = -1;

	for (uint32_t i = r->first_seat; i < r->first_seat + r->n_seats; i++)
		if (distance(p, from, i) > most) {
			most = distance(p, from, i);
			best = i;
		}
	return best;
}

/* step[] in walking order. */
static void order_row(const struct plan *p, const struct plan_row_rec *r, struct step *step)
{
	uint32_t a = farthest(p, r, r->first_seat), b = farthest(p, r, a);
	double ax = p->seat[b].x - p->seat[a].x, ay = p->seat[b].y - p->seat[a].y;
	double as_listed, sorted;

	/* from left to right, or downwards */
	if (ax < 0 || (ax == 0 && ay < 0)) {
		ax = -ax;
		ay = -ay;
	}
	for (uint32_t i = 0; i < r->n_seats; i++) {
		const struct plan_seat_rec *s = &p->seat[r->first_seat + i];

		step[i] = (struct step){s->x * ax + s->y * ay, r->first_seat + i};
	}
	as_listed = walk_length(p, step, r->n_seats);
	/* listed along the row, the walk cannot be much longer than from end to end */
	if (as_listed <= 1.05 * hypot(ax, ay))
		return;
	qsort(step, r->n_seats, sizeof(*step), by_along);
	sorted = walk_length(p, step, r->n_seats);
	if (sorted < 0.8 * as_listed)
		return;
	for (uint32_t i = 0; i < r->n_seats; i++)
		step[i].seat_no = r->first_seat + i;
}

static double median(double *v, uint32_t n)
{
	qsort(v, n, sizeof(*v), by_value);
	return v[(n - 1) / 2];
}

/* Puts the row's seats into spot[]; returns the usual distance, 0 when it has fewer than two seats. */
static double lay_row(struct plan *p, const struct plan_row_rec *r, struct scratch *t)
{
	struct step *step = t->step;

	if (r->n_seats == 0)
		return 0;
	order_row(p, r, step);
	for (uint32_t i = 0; i < r->n_seats; i++) {
		const struct plan_seat_rec *s = &p->seat[step[i].seat_no];

		p->spot[r->first_seat + i] = (struct plan_spot){
			.x = (float)s->x,
			.y = (float)s->y,
			.seat_no = step[i].seat_no,
			.category = s->category,
			.flags = s->accessible ? PLAN_SPOT_ACCESSIBLE : 0,
		};
		if (i)
			t->gap[i - 1] = distance(p, step[i - 1].seat_no, step[i].seat_no);
	}
	return r->n_seats > 1 ? median(t->gap, r->n_seats - 1) : 0;
}

static void cut_row(struct plan *p, const struct plan_row_rec *r, double usual)
{
	for (uint32_t i = r->first_seat; i < r->first_seat + r->n_seats; i++)
		if (i == r->first_seat ||
		    distance(p, p->spot[i - 1].seat_no, p->spot[i].seat_no) > aisle_factor * usual + 1e-6)
			p->spot[i].flags |= PLAN_SPOT_FIRST;
}

void plan_lay_spots(struct plan *p)
{
	double *usual = xcalloc(p->n_rows + 1, sizeof(*usual)), *of_zone = xcalloc(p->n_rows + 1, sizeof(*of_zone));
	struct scratch t;
	uint32_t most = 1;

	p->spot = xcalloc(p->n_seats + 1, sizeof(*p->spot));
	for (uint32_t i = 0; i < p->n_rows; i++)
		most = p->row[i].n_seats > most ? p->row[i].n_seats : most;
	t.step = xcalloc(most, sizeof(*t.step));
	t.gap = xcalloc(most, sizeof(*t.gap));
	for (uint32_t i = 0; i < p->n_rows; i++)
		usual[i] = lay_row(p, &p->row[i], &t);
	for (uint32_t z = 0; z < p->n_zones; z++) {
		const struct plan_zone_rec *zone = &p->zone[z];
		double zone_usual = INFINITY;
		uint32_t n = 0;

		for (uint32_t i = zone->first_row; i < zone->first_row + zone->n_rows; i++)
			if (p->row[i].n_seats >= 4)
				of_zone[n++] = usual[i];
		if (n)
			zone_usual = median(of_zone, n);
		for (uint32_t i = zone->first_row; i < zone->first_row + zone->n_rows; i++)
			/* two or three seats do not tell an aisle from a gap: then the rest of the zone does */
			cut_row(p, &p->row[i], p->row[i].n_seats >= 4 ? usual[i] : fmin(usual[i], zone_usual));
	}
	free(t.step);
	free(t.gap);
	free(of_zone);
	free(usual);
}
