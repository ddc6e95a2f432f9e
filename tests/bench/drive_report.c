/* The one JSON object that is the result. */
#include "drive.h"

#include <stdio.h>

void jw_kreal(struct jw *w, const char *k, double v)
{
	jw_key(w, k);
	/* digits that nobody has measured only make it unreadable */
	jw_real(w, v >= 1000 ? (double)(int64_t)(v * 10 + 0.5) / 10 : (double)(int64_t)(v * 10000 + 0.5) / 10000);
}

void report_hist(struct jw *w, const char *name, const struct hist *h)
{
	jw_key(w, name);
	jw_obj(w);
	jw_kint(w, "n", (int64_t)h->n);
	jw_kint(w, "p50", (int64_t)hist_percentile(h, 0.5));
	jw_kint(w, "p90", (int64_t)hist_percentile(h, 0.9));
	jw_kint(w, "p99", (int64_t)hist_percentile(h, 0.99));
	jw_kint(w, "p999", (int64_t)hist_percentile(h, 0.999));
	jw_kint(w, "max", (int64_t)h->max);
	jw_kreal(w, "mean", hist_mean(h));
	jw_obj_end(w);
}

static void report_counts(struct drive *d, const struct stats *s, struct jw *w)
{
	char text[24];

	jw_key(w, "by_status");
	jw_obj(w);
	for (int i = 0; i < STATUS_MAX; i++) {
		if (s->by_status[i] == 0)
			continue;
		snprintf(text, sizeof(text), "%d", i);
		jw_kint(w, text, (int64_t)s->by_status[i]);
	}
	jw_obj_end(w);
	jw_key(w, "by_code");
	jw_obj(w);
	for (int i = 0; i < CODES_MAX && s->by_code[i].n; i++)
		jw_kint(w, s->by_code[i].code, (int64_t)s->by_code[i].n);
	jw_obj_end(w);
	if (s->by_status[429] + s->by_status[503])
		jw_kreal(w, "retry_after_share",
			 (double)s->retry_after / (double)(s->by_status[429] + s->by_status[503]));
	if (!d->counters[0])
		return;
	jw_key(w, "counters");
	jw_obj(w);
	for (int i = 0; i < COUNTERS_MAX && d->counters[i]; i++)
		jw_kint(w, d->counters[i], (int64_t)s->counters[i]);
	jw_obj_end(w);
}

static void report_driver(struct drive *d, const struct stats *s, struct jw *w)
{
	double seconds = stats_seconds(s);

	jw_key(w, "driver");
	jw_obj(w);
	jw_kreal(w, "cpu_s", s->cpu_s);
	jw_kreal(w, "cpu_us_per_request", s->in_window ? s->cpu_s * 1e6 / (double)s->in_window : 0);
	jw_kreal(w, "cores", s->cpu_s / seconds);
	jw_kint(w, "quantum_us", d->quantum_us);
	jw_kint(w, "connections", d->conns.n);
	jw_kint(w, "reopened", (int64_t)d->conns.n_reopened);
	jw_kint(w, "idle", d->n_idle_open);
	jw_kbool(w, "limited_by_driver", s->limited_by_driver);
	jw_obj_end(w);
}

void report(struct drive *d, const struct stats *s, struct str ramp_json, struct buf *out)
{
	double seconds = stats_seconds(s);
	char text[PROBLEM_TEXT + 100];
	struct jw w;

	jw_init(&w, out);
	jw_obj(&w);
	jw_kcstr(&w, "scenario", d->scenario->name);
	jw_kreal(&w, "seconds", seconds);
	if (d->n_streams)
		jw_kreal(&w, "asked_rate", s->rate);
	jw_kint(&w, "offered", (int64_t)s->offered);
	jw_kint(&w, "completed", (int64_t)s->completed);
	jw_kint(&w, "accepted", (int64_t)s->accepted);
	jw_kint(&w, "refused", (int64_t)s->refused);
	jw_kint(&w, "abandoned", (int64_t)s->abandoned);
	jw_kreal(&w, "rate", (double)s->in_window / seconds);
	jw_kreal(&w, "accepted_rate", (double)s->accepted_in_window / seconds);
	jw_kreal(&w, "refused_rate", (double)s->refused / seconds);
	report_counts(d, s, &w);
	report_hist(&w, "latency_us", &s->all);
	jw_key(&w, "latencies");
	jw_obj(&w);
	for (int i = 0; i < NAMED_MAX && d->named[i]; i++)
		report_hist(&w, d->named[i], &s->named[i]);
	jw_obj_end(&w);
	jw_key(&w, "late");
	jw_obj(&w);
	jw_kint(&w, "p99_us", (int64_t)hist_percentile(&s->late, 0.99));
	jw_kint(&w, "max_us", (int64_t)s->late.max);
	jw_obj_end(&w);
	jw_kint(&w, "backlog_max", s->backlog_max);
	jw_kint(&w, "backlog_end", s->backlog_end);
	report_driver(d, s, &w);
	if (d->scenario->report && d->own)
		d->scenario->report(d, &w);
	jw_kbool(&w, "exhausted", d->exhausted);
	jw_kbool(&w, "interrupted", d->interrupted);
	jw_key(&w, "unclean");
	jw_arr(&w);
	for (int i = 0; i < PROBLEMS; i++)
		if (s->problems[i].n)
			jw_cstr(&w, stats_problem_text(s, (enum problem)i, text, sizeof(text)));
	jw_arr_end(&w);
	if (ramp_json.n) {
		jw_key(&w, "ramp");
		jw_raw(&w, ramp_json);
	}
	jw_obj_end(&w);
	jw_done(&w);
	buf_addc(out, '\n');
}
