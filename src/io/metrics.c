/*
 * Owns one anonymous shared mapping: for every slot (a process that writes) the same row of 64-bit cells, padded to whole
 * cache lines so that processes do not disturb each other.
 *
 *   slot 0: | metric 0: label 0 x label2 0 | label 0 x label2 1 | ... | metric 1 ... |
 *   slot 1: | ...
 *
 * A counter or gauge is one cell. A histogram is a cell per bucket (not cumulative), one for what is above the last, and
 * one for the sum; its _count is made of the buckets when it is shown, so that the two always agree.
 *
 * Cells are added to atomically (relaxed) although each slot has one writer: while a worker is being replaced, the old one
 * and the new one share a slot. No cell depends on another, so no order is needed.
 */
#include "io/metrics.h"

#include "base/xmalloc.h"

#include <assert.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

typedef _Atomic int64_t cell; /* shared between processes: must be free of locks */
static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "64-bit atomics without locks");

enum { CELLS_PER_LINE = 64 / sizeof(cell), BUCKETS_MAX = 40 };

struct place {
	size_t first; /* cell within the slot */
	int n_labels, n_labels2, n_buckets;
	size_t width;	 /* cells of one series */
	int64_t *bounds; /* of the buckets, in the unit that is added */
};

struct metrics {
	const struct metric_def *defs;
	size_t n_defs;
	struct place *places;
	size_t stride; /* cells per slot */
	int slots, slot;
	cell *cells;
	size_t size; /* of the mapping, bytes */
};

static int count_values(const char *label, const char *const *values)
{
	int n = 0;

	if (!label)
		return 1;
	while (values[n])
		n++;
	assert(n > 0);
	return n;
}

static double scale_of(const struct metric_def *def)
{
	return def->scale != 0 ? def->scale : 1;
}

/* Buckets are compared as integers: 0.005 s is 5000 us exactly, whatever 5000 * 1e-6 is in binary. */
static int64_t bound_in_units(double bound, double scale)
{
	double v = bound / scale, whole = nearbyint(v);

	return (int64_t)(fabs(v - whole) <= 1e-9 * fmax(1, fabs(v)) ? whole : floor(v));
}

static void place_init(struct place *p, const struct metric_def *def, size_t first)
{
	p->first = first;
	p->n_labels = count_values(def->label, def->label_values);
	p->n_labels2 = count_values(def->label2, def->label2_values);
	p->n_buckets = 0;
	p->bounds = NULL;
	p->width = 1;
	assert(def->label || !def->label2);
	if (def->type != METRIC_HISTOGRAM)
		return;
	while (def->buckets[p->n_buckets] > 0) {
		assert(p->n_buckets == 0 || def->buckets[p->n_buckets] > def->buckets[p->n_buckets - 1]);
		p->n_buckets++;
	}
	assert(p->n_buckets > 0 && p->n_buckets <= BUCKETS_MAX);
	p->bounds = xreallocarray(NULL, (size_t)p->n_buckets, sizeof(*p->bounds));
	for (int i = 0; i < p->n_buckets; i++)
		p->bounds[i] = bound_in_units(def->buckets[i], scale_of(def));
	p->width = (size_t)p->n_buckets + 2;
}

struct metrics *metrics_new(const struct metric_def *defs, size_t n_defs, int slots)
{
	struct metrics *m = xcalloc(1, sizeof(*m));
	size_t at = 0;

	assert(slots > 0);
	m->defs = defs;
	m->n_defs = n_defs;
	m->slots = slots;
	m->places = xcalloc(n_defs, sizeof(*m->places));
	for (size_t i = 0; i < n_defs; i++) {
		place_init(&m->places[i], &defs[i], at);
		at += (size_t)m->places[i].n_labels * (size_t)m->places[i].n_labels2 * m->places[i].width;
	}
	m->stride = (at / CELLS_PER_LINE + 1) * CELLS_PER_LINE;
	m->size = m->stride * (size_t)slots * sizeof(cell);
	m->cells = mmap(NULL, m->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (m->cells == MAP_FAILED) {
		fprintf(stderr, "boxoffice: no shared memory for metrics (%zu bytes)\n", m->size);
		abort();
	}
	return m;
}

void metrics_free(struct metrics *m)
{
	if (!m)
		return;
	munmap(m->cells, m->size);
	for (size_t i = 0; i < m->n_defs; i++)
		free(m->places[i].bounds);
	free(m->places);
	free(m);
}

static cell *series(const struct metrics *m, int slot, size_t metric, int label, int label2)
{
	const struct place *p = &m->places[metric];

	return m->cells + (size_t)slot * m->stride + p->first +
	       ((size_t)label * (size_t)p->n_labels2 + (size_t)label2) * p->width;
}

static cell *mine(const struct metrics *m, int metric, int label, int label2)
{
	assert(metric >= 0 && (size_t)metric < m->n_defs);
	assert(label >= 0 && label < m->places[metric].n_labels);
	assert(label2 >= 0 && label2 < m->places[metric].n_labels2);
	return series(m, m->slot, (size_t)metric, label, label2);
}

static void add(cell *c, int64_t delta)
{
	atomic_fetch_add_explicit(c, delta, memory_order_relaxed);
}

void metrics_use_slot(struct metrics *m, int slot)
{
	assert(slot >= 0 && slot < m->slots);
	m->slot = slot;
	/* what the process before us had open went with it */
	for (size_t i = 0; i < m->n_defs; i++) {
		size_t n = (size_t)m->places[i].n_labels * (size_t)m->places[i].n_labels2;
		cell *c = series(m, slot, i, 0, 0);

		for (size_t k = 0; m->defs[i].type == METRIC_GAUGE && k < n; k++)
			atomic_store_explicit(&c[k], 0, memory_order_relaxed);
	}
}

void metric_add(struct metrics *m, int metric, int label, int label2, int64_t delta)
{
	cell *c = mine(m, metric, label, label2);

	assert(m->defs[metric].type != METRIC_HISTOGRAM);
	assert(delta >= 0 || m->defs[metric].type == METRIC_GAUGE);
	add(c, delta);
}

void metric_set(struct metrics *m, int metric, int label, int label2, int64_t value)
{
	cell *c = mine(m, metric, label, label2);

	assert(m->defs[metric].type == METRIC_GAUGE);
	atomic_store_explicit(c, value, memory_order_relaxed);
}

void metric_observe(struct metrics *m, int metric, int label, int label2, int64_t value)
{
	cell *c = mine(m, metric, label, label2);
	const struct place *p = &m->places[metric];
	int i = 0;

	assert(m->defs[metric].type == METRIC_HISTOGRAM);
	while (i < p->n_buckets && value > p->bounds[i])
		i++;
	add(&c[i], 1);
	add(&c[p->n_buckets + 1], value);
}

/* What all processes together have in one cell of a series. */
static int64_t total(const struct metrics *m, size_t metric, int label, int label2, int at)
{
	bool largest = m->defs[metric].type == METRIC_GAUGE && m->defs[metric].max;
	int64_t sum = 0;

	for (int slot = 0; slot < m->slots; slot++) {
		int64_t v = atomic_load_explicit(&series(m, slot, metric, label, label2)[at], memory_order_relaxed);

		if (!largest)
			sum += v;
		else if (slot == 0 || v > sum)
			sum = v;
	}
	return sum;
}

static void write_escaped(struct buf *out, const char *text, bool quotes)
{
	for (; *text; text++)
		if (*text == '\n')
			buf_adds(out, "\\n");
		else if (*text == '\\' || (*text == '"' && quotes))
			buf_addf(out, "\\%c", *text);
		else
			buf_addc(out, *text);
}

/* name suffix {label="...",label2="...",le="..."} and a blank */
static void write_name(struct buf *out, const struct metric_def *def, const char *suffix, int label, int label2,
		       const char *le)
{
	const char *sep = "{";

	buf_addf(out, "%s%s", def->name, suffix);
	if (def->label) {
		buf_addf(out, "%s%s=\"", sep, def->label);
		write_escaped(out, def->label_values[label], true);
		buf_addc(out, '"');
		sep = ",";
	}
	if (def->label2) {
		buf_addf(out, "%s%s=\"", sep, def->label2);
		write_escaped(out, def->label2_values[label2], true);
		buf_addc(out, '"');
		sep = ",";
	}
	if (le) {
		buf_addf(out, "%sle=\"%s\"", sep, le);
		sep = ",";
	}
	buf_adds(out, *sep == ',' ? "} " : " ");
}

static void write_number(struct buf *out, int64_t v, double scale)
{
	if (scale == 1)
		buf_addi(out, v);
	else
		/* 15 digits: all that a double holds for sure, and no tail of binary fractions */
		buf_addf(out, "%.15g", (double)v * scale);
	buf_addc(out, '\n');
}

static void write_histogram(const struct metrics *m, size_t metric, int label, int label2, struct buf *out)
{
	const struct metric_def *def = &m->defs[metric];
	int n = m->places[metric].n_buckets;
	int64_t count = 0;
	char le[32];

	for (int i = 0; i <= n; i++) {
		count += total(m, metric, label, label2, i);
		if (i < n)
			snprintf(le, sizeof(le), "%.15g", def->buckets[i]);
		write_name(out, def, "_bucket", label, label2, i < n ? le : "+Inf");
		write_number(out, count, 1);
	}
	write_name(out, def, "_sum", label, label2, NULL);
	write_number(out, total(m, metric, label, label2, n + 1), scale_of(def));
	write_name(out, def, "_count", label, label2, NULL);
	write_number(out, count, 1);
}

/* Two lists of labels make many pairs that never occur (a route that cannot answer 402): these are left out. */
static bool untouched(const struct metrics *m, size_t metric, int label, int label2)
{
	if (!m->defs[metric].label2)
		return false;
	for (int slot = 0; slot < m->slots; slot++)
		for (size_t i = 0; i < m->places[metric].width; i++)
			if (atomic_load_explicit(&series(m, slot, metric, label, label2)[i], memory_order_relaxed))
				return false;
	return true;
}

bool metrics_render(const struct metrics *m, struct buf *out)
{
	static const char *const types[] = {"counter", "gauge", "histogram"};

	for (size_t i = 0; i < m->n_defs; i++) {
		const struct metric_def *def = &m->defs[i];
		const struct place *p = &m->places[i];

		buf_addf(out, "# HELP %s ", def->name);
		write_escaped(out, def->help, false);
		buf_addf(out, "\n# TYPE %s %s\n", def->name, types[def->type]);
		for (int a = 0; a < p->n_labels; a++)
			for (int b = 0; b < p->n_labels2; b++) {
				if (untouched(m, i, a, b))
					continue;
				if (def->type == METRIC_HISTOGRAM) {
					write_histogram(m, i, a, b, out);
					continue;
				}
				write_name(out, def, "", a, b, NULL);
				write_number(out, total(m, i, a, b, 0), scale_of(def));
			}
	}
	return !out->failed;
}
