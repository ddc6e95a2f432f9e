/*
 * The state of an on-sale: its buyers, what they see of the map, and the rows of --csv.
 */
#ifndef BENCH_DRIVE_ONSALE_H
#define BENCH_DRIVE_ONSALE_H

#include "drive.h"

#include <stdio.h>

enum onsale_counter {
	BUYERS,
	LOOKED,
	LOCKS_TRIED,
	LOCKS_OK,
	LOCKS_REFUSED,
	LOCKS_RELEASED,
	LOCKS_EXPIRED,
	BOOKINGS_OK,
	BOOKINGS_DECLINED,
	SEATS_SOLD,
	LEFT_REFUSED,
	LEFT_SOLD_OUT,
	LATE_BUYERS,
	POLLS,
	ONSALE_COUNTERS,
};

struct buyer {
	int64_t start_us, pending_us;
	uint8_t party, n_seats; /* wanted, in the lock */
	uint8_t tries;
	char token[TOKEN_TEXT];
	char lock_id[UUID_TEXT], booking_id[UUID_TEXT];
};

/* Which seats look free to somebody who has read the map lately. */
struct map {
	uint32_t n_seats;
	int64_t n_free;			/* as the map says it */
	uint8_t *taken;			/* a byte per seat */
	uint32_t *free_seats, n_listed; /* those that were free in the map, in order; some may be taken by now */
};

void map_init(struct map *m, uint32_t n_seats);
void map_done(struct map *m);
/* false: not a map, or of other seats. */
bool map_read(struct map *m, struct str body);
/* Marks the seats that a refusal names. */
void map_refused(struct map *m, struct str body);
/* Up to n neighbouring seats that look free, at a random place; fewer where there are no such places, 0 when all is taken. */
uint32_t map_pick(const struct map *m, uint64_t *rng, uint32_t n, uint32_t *ret_seats);

struct onsale {
	struct buyer *buyers; /* and behind them the latecomers */
	uint32_t n_buyers, n_come;
	bool watching, none_left;
	int64_t opened_us, sold_us;
	int64_t changed_us,
		map_asked_us; /* when somebody's business ended last; when the map that we have was asked for */
	struct map map;

	FILE *csv;
	struct hist tick_locks; /* since the last row */
	uint64_t tick_reads;
	uint64_t last_ok, last_refused, last_bookings, last_problems;
};

bool onsale_csv_open(struct onsale *s, const char *file);
void onsale_csv_row(struct drive *d, struct onsale *s);
void onsale_csv_close(struct onsale *s);

#endif
