/*
 * The naming rules of Prometheus for a table of metrics, as `promtool check metrics` has them, so that a table is tested
 * without it. Called by tests.
 */
#include "io/metrics.h"

#include <ctype.h>
#include <string.h>

static bool has_word(const char *name, const char *word)
{
	size_t n = strlen(word);

	for (const char *at = name; (at = strstr(at, word)); at++)
		if ((at == name || at[-1] == '_') && (at[n] == '\0' || at[n] == '_'))
			return true;
	return false;
}

static bool ends_in(const char *name, const char *suffix)
{
	size_t n = strlen(name), k = strlen(suffix);

	return n >= k && strcmp(name + n - k, suffix) == 0;
}

static bool is_name(const char *s)
{
	if (!(islower((unsigned char)*s)))
		return false;
	for (; *s; s++)
		if (!islower((unsigned char)*s) && !isdigit((unsigned char)*s) && *s != '_')
			return false;
	return true;
}

static void check_name(const struct metric_def *d, struct buf *out)
{
	static const char *const types[] = {"counter", "gauge", "histogram", "summary"};
	static const char *const abbreviations[] = {"s",  "ms", "us", "ns", "sec", "b", "kb",
						    "mb", "gb", "tb", "pb", "m",   "h", "d"};
	static const char *const others[] = {"milliseconds", "microseconds", "nanoseconds", "minutes",	 "hours",
					     "days",	     "weeks",	     "kilobytes",   "megabytes", "gigabytes",
					     "bits",	     "kibibytes",    "mebibytes",   "gibibytes"};

	if (!is_name(d->name))
		buf_addf(out, "%s: names are lower-case letters, digits and _\n", d->name);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (has_word(d->name, types[i]))
			buf_addf(out, "%s: the name tells its type (%s)\n", d->name, types[i]);
	for (size_t i = 0; i < sizeof(abbreviations) / sizeof(abbreviations[0]); i++)
		if (has_word(d->name, abbreviations[i]))
			buf_addf(out, "%s: units are written in full (%s)\n", d->name, abbreviations[i]);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (has_word(d->name, others[i]))
			buf_addf(out, "%s: base units only (%s)\n", d->name, others[i]);
	if ((d->type == METRIC_COUNTER) != ends_in(d->name, "_total"))
		buf_addf(out, "%s: counters, and only they, end in _total\n", d->name);
	if (ends_in(d->name, "_count") || ends_in(d->name, "_sum") || ends_in(d->name, "_bucket"))
		buf_addf(out, "%s: _count, _sum and _bucket belong to the parts of a histogram\n", d->name);
}

static void check_label(const struct metric_def *d, const char *label, const char *const *values, struct buf *out)
{
	if (!label)
		return;
	if (!is_name(label) || strcmp(label, "le") == 0 || strcmp(label, "quantile") == 0)
		buf_addf(out, "%s: \"%s\" cannot be a label\n", d->name, label);
	if (!values || !values[0]) {
		buf_addf(out, "%s: label \"%s\" has no values\n", d->name, label);
		return;
	}
	for (size_t i = 0; values[i]; i++) {
		if (!str_utf8_valid(str_from(values[i])))
			buf_addf(out, "%s: a value of label \"%s\" is not UTF-8\n", d->name, label);
		for (size_t k = 0; k < i; k++)
			if (strcmp(values[i], values[k]) == 0)
				buf_addf(out, "%s: label \"%s\" has \"%s\" twice\n", d->name, label, values[i]);
	}
}

static void check_buckets(const struct metric_def *d, struct buf *out)
{
	if (!d->buckets || d->buckets[0] <= 0) {
		buf_addf(out, "%s: a histogram needs buckets above 0\n", d->name);
		return;
	}
	for (size_t i = 1; d->buckets[i] != 0; i++)
		if (d->buckets[i] <= d->buckets[i - 1]) {
			buf_addf(out, "%s: buckets must ascend\n", d->name);
			return;
		}
}

bool metrics_check(const struct metric_def *defs, size_t n_defs, struct buf *complaints)
{
	size_t before = complaints->n;

	for (size_t i = 0; i < n_defs; i++) {
		const struct metric_def *d = &defs[i];

		check_name(d, complaints);
		check_label(d, d->label, d->label_values, complaints);
		check_label(d, d->label2, d->label2_values, complaints);
		if (d->label2 && !d->label)
			buf_addf(complaints, "%s: a second label without a first\n", d->name);
		if (d->label && d->label2 && strcmp(d->label, d->label2) == 0)
			buf_addf(complaints, "%s: both labels are called \"%s\"\n", d->name, d->label);
		if (!d->help || !d->help[0])
			buf_addf(complaints, "%s: no help text\n", d->name);
		if (d->type == METRIC_HISTOGRAM)
			check_buckets(d, complaints);
		for (size_t k = 0; k < i; k++)
			if (strcmp(defs[k].name, d->name) == 0)
				buf_addf(complaints, "%s: declared twice\n", d->name);
	}
	return complaints->n == before && !complaints->failed;
}
