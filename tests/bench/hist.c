/*
 * The buckets, for b = HIST_SUB_BITS: values below 2^b stand for themselves. A value of b + e bits (e >= 1) is shifted right
 * by e, which leaves 2^(b-1) .. 2^b - 1, and goes to the e-th group of 2^(b-1) buckets:
 *
 *   index = value                                  value < 2^b
 *         = 2^b + (e - 1) * 2^(b-1) + (value >> e) - 2^(b-1)
 */
#include "hist.h"

#include "base/xmalloc.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LINEAR = 1 << HIST_SUB_BITS, HALF = LINEAR / 2 };

static uint32_t bucket_of(uint64_t value)
{
	int e;

	if (value < LINEAR)
		return (uint32_t)value;
	if (value >> HIST_TOP_BITS)
		return HIST_BUCKETS - 1;
	e = 64 - __builtin_clzll(value) - HIST_SUB_BITS;
	return (uint32_t)(LINEAR + (e - 1) * HALF) + (uint32_t)(value >> e) - HALF;
}

static uint64_t highest_of(uint32_t bucket)
{
	uint32_t e;

	if (bucket < LINEAR)
		return bucket;
	e = (bucket - LINEAR) / HALF + 1;
	return (((uint64_t)((bucket - LINEAR) % HALF + HALF) + 1) << e) - 1;
}

void hist_init(struct hist *h)
{
	*h = (struct hist){.counts = xcalloc(HIST_BUCKETS, sizeof(*h->counts))};
}

void hist_done(struct hist *h)
{
	free(h->counts);
	*h = (struct hist){0};
}

void hist_reset(struct hist *h)
{
	/* most histograms of a run stay empty: their pages are never touched */
	if (h->n)
		memset(h->counts, 0, HIST_BUCKETS * sizeof(*h->counts));
	h->n = h->max = h->sum = 0;
}

void hist_record(struct hist *h, int64_t us)
{
	uint64_t value = us < 0 ? 0 : (uint64_t)us;

	h->counts[bucket_of(value)]++;
	h->n++;
	h->sum += value;
	if (value > h->max)
		h->max = value;
}

void hist_merge(struct hist *into, const struct hist *from)
{
	if (from->n == 0)
		return;
	for (uint32_t i = 0; i < HIST_BUCKETS; i++)
		into->counts[i] += from->counts[i];
	into->n += from->n;
	into->sum += from->sum;
	if (from->max > into->max)
		into->max = from->max;
}

void hist_copy(struct hist *into, const struct hist *from)
{
	hist_reset(into);
	hist_merge(into, from);
}

uint64_t hist_percentile(const struct hist *h, double share)
{
	uint64_t seen = 0, wanted = (uint64_t)ceil(share * (double)h->n - 1e-9);

	if (h->n == 0)
		return 0;
	if (wanted < 1)
		wanted = 1;
	for (uint32_t i = 0; i < HIST_BUCKETS; i++) {
		seen += h->counts[i];
		if (seen >= wanted) {
			uint64_t value = highest_of(i);

			return value < h->max && i < HIST_BUCKETS - 1 ? value : h->max;
		}
	}
	return h->max;
}

double hist_mean(const struct hist *h)
{
	return h->n ? (double)h->sum / (double)h->n : 0;
}
