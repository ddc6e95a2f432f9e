/*
 * Latencies, HDR style: values in microseconds, counted in buckets that are as wide as the value's fourth digit, so that
 * what is read back has three significant digits at any magnitude. Recording is an index and an increment.
 */
#ifndef BENCH_HIST_H
#define BENCH_HIST_H

#include <stdint.h>

enum {
	HIST_SUB_BITS = 11, /* 2048 values of the smallest unit; above it 1024 buckets for each doubling: below 0.1 % */
	HIST_TOP_BITS = 32, /* 2^32 us are 71 minutes; longer ones count as the last bucket */
	HIST_BUCKETS = (1 << HIST_SUB_BITS) + (HIST_TOP_BITS - HIST_SUB_BITS) * (1 << (HIST_SUB_BITS - 1)),
};

struct hist {
	uint64_t n, max, sum; /* max and sum are exact */
	uint32_t *counts;     /* HIST_BUCKETS */
};

void hist_init(struct hist *h);
void hist_done(struct hist *h);
void hist_reset(struct hist *h);
/* Negative values, which a clock that is read once a turn can give, count as 0. */
void hist_record(struct hist *h, int64_t us);
void hist_merge(struct hist *into, const struct hist *from);
void hist_copy(struct hist *into, const struct hist *from);
/* The smallest value that at least this share (0 to 1) of the values do not pass, as the highest of its bucket, but not above
 * the maximum. 0 when nothing was recorded. */
uint64_t hist_percentile(const struct hist *h, double share);
double hist_mean(const struct hist *h);

#endif
