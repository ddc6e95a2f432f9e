/*
 * The rule behind {"best": {"quantity": n}}: which free seats to offer to somebody who left the choice to us.
 * Pure; called by the seat service with the show's state, before the ordinary lock path, which may still refuse.
 *
 * A block is `quantity` neighbours (plan_spots) of one row, all free, all of the category when one is asked for.
 * Among blocks the better one, in this order of weight:
 *   1. takes no accessible seat, unless the category asked for is an accessible one: those are kept for who needs them
 *   2. leaves no single free seat alone beside it (a lone accessible place does not count: it is sold singly anyway)
 *   3. has its middle nearer to the front centre (plan_front)
 *   4. comes first in the plan
 */
#ifndef SEAT_BEST_H
#define SEAT_BEST_H

#include "event/plan.h"

enum {
	SEAT_BEST_QUANTITY_MAX = 100,
	SEAT_BEST_SPREAD_MAX = 64,
};

struct seat_best_ask {
	uint32_t quantity; /* 1..SEAT_BEST_QUANTITY_MAX */
	int category;	   /* index, or -1: any one row, categories may mix */
	/* 0 or 1: the best block. n: one of the n best disjoint blocks that are as good by 1 and 2, chosen by seed. To be
	 * raised after a conflict, so that many who ask at once do not all run for the same seats again. */
	uint32_t spread;
	uint32_t seed;
};

/*
 * taken: a byte per seat_no, not 0 when it cannot be had. ret_seat_nos: room for quantity numbers, ascending.
 * false: there are not that many together. O(seats): about 0.1 ms for 20,000. Does not block.
 */
bool seat_best(const struct plan *plan, const uint8_t *taken, const struct seat_best_ask *ask, uint32_t *ret_seat_nos);

#endif
