/*
 * Counters, gauges and histograms in memory shared by all processes of a group: made by the parent before it forks, so
 * that any worker can answer /metrics for all. Each process writes to its own slot, without locks; reading sums.
 *
 * Metrics are declared once, in a table (app/metrics.def); labels are fixed lists of values, so that everything has its
 * place before the first request.
 */
#ifndef IO_METRICS_H
#define IO_METRICS_H

#include "base/buf.h"

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct metric_def {
	const char *name, *help;
	enum metric_type type;
	const char *label;		 /* NULL: none */
	const char *const *label_values; /* ended by NULL */
	const double *buckets;		 /* histogram: upper bounds in the unit of the name, ascending, ended by 0 */
	const char *label2;		 /* a second label, or NULL */
	const char *const *label2_values;
	double scale; /* what is added is an integer; shown multiplied by this (1e-6: us -> s); 0: 1 */
	bool max;     /* gauge: show the largest of the processes instead of the sum */
};

struct metrics;

/*
 * The rules of `promtool check metrics`, for the test of a table: one sentence per fault into complaints; true: none.
 * Counters end in _total and nothing else does; base units (seconds, bytes) in full; no type in the name; a help text;
 * label names well-formed; every name and label value once.
 */
bool metrics_check(const struct metric_def *defs, size_t n_defs, struct buf *complaints);

/* Anonymous shared memory; defs is kept. slots: processes that will write. */
struct metrics *metrics_new(const struct metric_def *defs, size_t n_defs, int slots);
void metrics_free(struct metrics *m);
/* This process writes to that slot from now on (a restarted worker takes its old slot: counters go on, gauges start
 * again at 0). While old and new worker overlap, gauges are right only if both use metric_set. */
void metrics_use_slot(struct metrics *m, int slot);
/* metric: the place in defs; label, label2: places in the lists of values, 0 without one. Out of range is a bug: aborts. */
void metric_add(struct metrics *m, int metric, int label, int label2, int64_t delta); /* below 0 for gauges only */
void metric_set(struct metrics *m, int metric, int label, int label2, int64_t value); /* gauges only */
void metric_observe(struct metrics *m, int metric, int label, int label2, int64_t value);
/* Prometheus text format 0.0.4. Of metrics with two labels only the pairs that occurred are shown. false: out is full. */
bool metrics_render(const struct metrics *m, struct buf *out);

#endif
