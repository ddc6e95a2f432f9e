/*
 * One walk over all seats in the order of plan_spots, keeping a window of `quantity` seats: every window without a
 * taken seat is a candidate, judged from the window and its two neighbours on either side. With a spread the best few
 * hundred are kept in a heap and the disjoint ones among them drawn from.
 */
#include "seat/best.h"

#include "base/xmalloc.h"

#include <assert.h>
#include <stdlib.h>

struct block {
	double distance2; /* of its middle from the front, squared, times quantity squared */
	uint32_t start;	  /* index of its first spot */
	uint8_t demerit;  /* rules 1 and 2; less is better */
};

static int compare(const struct block *a, const struct block *b)
{
	if (a->demerit != b->demerit)
		return a->demerit < b->demerit ? -1 : 1;
	if (a->distance2 != b->distance2)
		return a->distance2 < b->distance2 ? -1 : 1;
	return (a->start > b->start) - (a->start < b->start);
}

/* The best `max` blocks seen; the worst of them on top. */
struct heap {
	struct block *block;
	size_t n, max;
};

static void heap_add(struct heap *h, const struct block *b)
{
	size_t i = h->n;

	if (h->n < h->max) {
		for (h->n++; i && compare(&h->block[(i - 1) / 2], b) < 0; i = (i - 1) / 2)
			h->block[i] = h->block[(i - 1) / 2];
		h->block[i] = *b;
		return;
	}
	if (compare(b, &h->block[0]) >= 0)
		return;
	i = 0;
	for (;;) {
		size_t child = 2 * i + 1;

		if (child + 1 < h->n && compare(&h->block[child], &h->block[child + 1]) < 0)
			child++;
		if (child >= h->n || compare(b, &h->block[child]) >= 0)
			break;
		h->block[i] = h->block[child];
		i = child;
	}
	h->block[i] = *b;
}

static int compare_blocks(const void *a, const void *b)
{
	return compare(a, b);
}

/* Draws one of the best `spread` disjoint blocks without more demerits than the best has. */
static struct block draw(struct heap *h, const struct seat_best_ask *ask)
{
	struct block chosen[SEAT_BEST_SPREAD_MAX];
	uint32_t n = 0;

	qsort(h->block, h->n, sizeof(*h->block), compare_blocks);
	for (size_t i = 0; i < h->n && n < ask->spread && h->block[i].demerit == h->block[0].demerit; i++) {
		uint32_t k = 0;

		while (k < n && (h->block[i].start >= chosen[k].start + ask->quantity ||
				 chosen[k].start >= h->block[i].start + ask->quantity))
			k++;
		if (k == n)
			chosen[n++] = h->block[i];
	}
	return chosen[ask->seed % n];
}

static bool is_free(const struct plan_spot *s, const uint8_t *taken)
{
	return !taken[s->seat_no];
}

/* Whether spot i, beside the block, would be left alone: it is free and the one beyond it taken or not there. A run ends
 * where the next one's first spot stands. */
static bool left_alone(const struct plan_spot *spot, uint32_t n, const uint8_t *taken, uint32_t i, bool rightwards)
{
	if (rightwards) {
		if (i >= n || spot[i].flags & PLAN_SPOT_FIRST)
			return false;
		return is_free(&spot[i], taken) && !(spot[i].flags & PLAN_SPOT_ACCESSIBLE) &&
		       (i + 1 == n || spot[i + 1].flags & PLAN_SPOT_FIRST || !is_free(&spot[i + 1], taken));
	}
	/* i is in the run already */
	return is_free(&spot[i], taken) && !(spot[i].flags & PLAN_SPOT_ACCESSIBLE) &&
	       (spot[i].flags & PLAN_SPOT_FIRST || !is_free(&spot[i - 1], taken));
}

static int compare_numbers(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

bool seat_best(const struct plan *plan, const uint8_t *taken, const struct seat_best_ask *ask, uint32_t *ret_seat_nos)
{
	const struct plan_spot *spot = plan_spots(plan);
	const uint32_t n = plan_n_seats(plan), q = ask->quantity;
	const bool accessible_asked = ask->category >= 0 && plan_category(plan, (uint32_t)ask->category).accessible;
	const bool spread = ask->spread > 1;
	struct block best = {.demerit = UINT8_MAX};
	struct heap heap = {0};
	uint32_t streak = 0,
		 n_accessible = 0; /* of seats that may be offered, ending at i; accessible ones in the window */
	double sum_x = 0, sum_y = 0, front_x, front_y;

	assert(q >= 1 && q <= SEAT_BEST_QUANTITY_MAX && ask->spread <= SEAT_BEST_SPREAD_MAX);
	plan_front(plan, &front_x, &front_y);
	if (spread) {
		/* each block drawn excludes at most 2q - 2 others */
		heap.max = (size_t)ask->spread * (2 * q - 1);
		heap.block = xcalloc(heap.max, sizeof(*heap.block));
	}
	for (uint32_t i = 0; i < n; i++) {
		const struct plan_spot *s = &spot[i];
		const struct block *worst;
		struct block b;
		double dx, dy;

		if (s->flags & PLAN_SPOT_FIRST || streak == 0) {
			streak = n_accessible = 0;
			sum_x = sum_y = 0;
		}
		if (!is_free(s, taken) || (ask->category >= 0 && s->category != ask->category)) {
			streak = 0;
			continue;
		}
		streak++;
		/* sums of floats are exact in a double, so that blocks left and right of the middle really tie */
		sum_x += (double)s->x;
		sum_y += (double)s->y;
		n_accessible += (s->flags & PLAN_SPOT_ACCESSIBLE) != 0;
		if (streak < q)
			continue;
		if (streak > q) {
			sum_x -= (double)spot[i - q].x;
			sum_y -= (double)spot[i - q].y;
			n_accessible -= (spot[i - q].flags & PLAN_SPOT_ACCESSIBLE) != 0;
		}
		dx = sum_x - q * front_x;
		dy = sum_y - q * front_y;
		b = (struct block){.distance2 = dx * dx + dy * dy, .start = i - q + 1};
		if (n_accessible && !accessible_asked)
			b.demerit = 4;
		/* most are too far from the front to matter, whatever they leave beside them */
		worst = !spread ? &best : heap.n == heap.max ? &heap.block[0] : NULL;
		if (worst && compare(&b, worst) >= 0)
			continue;
		if (!(spot[b.start].flags & PLAN_SPOT_FIRST))
			b.demerit += left_alone(spot, n, taken, b.start - 1, false);
		b.demerit += left_alone(spot, n, taken, i + 1, true);
		if (spread)
			heap_add(&heap, &b);
		else if (compare(&b, &best) < 0)
			best = b;
	}
	if (heap.n)
		best = draw(&heap, ask);
	free(heap.block);
	if (best.demerit == UINT8_MAX)
		return false;
	for (uint32_t i = 0; i < q; i++)
		ret_seat_nos[i] = spot[best.start + i].seat_no;
	qsort(ret_seat_nos, q, sizeof(*ret_seat_nos), compare_numbers);
	return true;
}
