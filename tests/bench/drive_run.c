/*
 * One run, or a ramp of them.
 *
 *	warm-up | counted | no arrivals any more: the last answers
 *
 * A step of a ramp is the same with the step's length and a fifth of it as warm-up. The ramp doubles the rate until a step
 * does not hold, or halves it until one does, and then looks between the two. A step that did not hold leaves a backlog,
 * which is waited for: the next step begins with nothing under way.
 */
#include "drive.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>

enum { LATE_MAX_US = 5000, STARVED_US = 50 * 1000, QUIET_LOOK_US = 10 * 1000 };
static const double CORES_MAX = 0.9, CORES_MUCH = 0.5, SECONDS_MIN = 0.05;

static double cpu_s(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void turn_until(struct drive *d, int64_t until_us)
{
	while (d->now_us < until_us && !d->exhausted && !d->interrupted)
		loop_turn(d, until_us);
}

/*
 * Were we ourselves what was slow? A run that we distorted says nothing about the server. Being late without having used much
 * time ourselves means that the machine was full: that is what is measured, up to a point.
 */
static void judge_driver(struct drive *d)
{
	struct stats *s = &d->stats;
	double cores = s->cpu_s / stats_seconds(s);
	uint64_t late_us = hist_percentile(&s->late, 0.99);

	if (stats_seconds(s) < SECONDS_MIN)
		return;
	if (cores > CORES_MAX || (cores > CORES_MUCH && late_us > LATE_MAX_US)) {
		s->limited_by_driver = true;
		problem(d, PROBLEM_DRIVER,
			"The driver was the limit: it used %.2f of a core and sent %" PRIu64 " us late (p99).", cores,
			late_us);
	} else if (late_us > STARVED_US) {
		problem(d, PROBLEM_DRIVER,
			"The driver got no time: it used %.2f of a core but sent %" PRIu64 " us late (p99).", cores,
			late_us);
	}
}

/* More are waiting for a connection than could be served within the p99 that is wanted. */
static bool hopeless(const struct drive *d)
{
	return d->o->ramp && d->stats.backlog_end > d->stats.rate * d->o->p99_ms / 1000 + 10;
}

static void last_answers(struct drive *d)
{
	int64_t until_us = clock_us() + (int64_t)d->o->timeout_ms * 1000;

	if (hopeless(d))
		loop_drop_queue(d); /* the step has not held; to serve them would only take time */
	while (!loop_quiet(d) && d->now_us < until_us && !d->interrupted)
		loop_turn(d, d->now_us + QUIET_LOOK_US < until_us ? d->now_us + QUIET_LOOK_US : until_us);
	if (!loop_quiet(d) && !d->interrupted)
		problem(d, PROBLEM_UNFINISHED,
			"%d requests had no answer within %d ms after the end, %u were not sent.", d->conns.n_waiting,
			d->o->timeout_ms, d->queue_n);
}

static void measure(struct drive *d, double rate, int64_t warmup_us, int64_t counted_us)
{
	struct stats *s = &d->stats;
	double cpu_before_s;

	stats_reset(s);
	loop_schedule(d, rate);
	d->count_from_us = d->now_us + warmup_us;
	d->count_until_us = d->count_from_us + counted_us;
	if (d->scenario->begin)
		d->scenario->begin(d);
	turn_until(d, d->count_from_us);
	s->began_us = d->now_us;
	cpu_before_s = cpu_s();
	if (!d->o->ramp)
		fprintf(stderr, "counting\n");
	turn_until(d, d->count_until_us);
	d->open = false;
	s->ended_us = d->now_us;
	s->cpu_s = cpu_s() - cpu_before_s;
	s->backlog_end = d->queue_n;
	if (d->now_us < d->count_until_us)
		d->count_until_us = d->now_us;
	if (!d->o->ramp)
		fprintf(stderr, "counted\n");
	last_answers(d);
	judge_driver(d);
}

/* Too many refusals where they are not what is measured. */
static void judge_refusals(struct drive *d)
{
	const struct stats *s = &d->stats;

	if (d->scenario->judges_refusals && (double)s->refused > d->o->allow_refused * (double)s->completed)
		problem(d, PROBLEM_REFUSED, "%" PRIu64 " of %" PRIu64 " were refused, more than --allow-refused %g.",
			s->refused, s->completed, d->o->allow_refused);
}

void run_once(struct drive *d)
{
	measure(d, d->o->rate, (int64_t)d->o->warmup_ms * 1000, (int64_t)d->o->seconds_ms * 1000);
	judge_refusals(d);
	if (d->exhausted && d->stats.offered == 0)
		problem(d, PROBLEM_SCENARIO, "All was sold before the counted time: nothing was measured.");
}

/* ---- the ramp ---- */

/* NULL: it held. */
static const char *why_not(const struct drive *d)
{
	const struct stats *s = &d->stats;
	double p99_ms = (double)hist_percentile(&s->all, 0.99) / 1000;

	if (s->limited_by_driver)
		return "the driver was the limit";
	if (!stats_clean(s))
		return "unclean";
	if (hopeless(d))
		return "backlog";
	if (s->completed == 0)
		return "nothing was answered";
	if (p99_ms > d->o->p99_ms)
		return "p99";
	/* it grows, but p99 does not show it within so short a time; ten more or less are chance */
	if ((double)s->in_window + 10 < 0.97 * (double)s->completed)
		return "backlog";
	return NULL;
}

static void report_step(struct drive *d, struct jw *w, const char *why)
{
	const struct stats *s = &d->stats;
	char text[PROBLEM_TEXT + 100];

	jw_obj(w);
	jw_kreal(w, "rate", s->rate);
	jw_kreal(w, "offered_rate", (double)s->offered / stats_seconds(s));
	jw_kreal(w, "accepted_rate", (double)s->accepted_in_window / stats_seconds(s));
	jw_kint(w, "p99_us", (int64_t)hist_percentile(&s->all, 0.99));
	jw_kint(w, "backlog_end", s->backlog_end);
	jw_kreal(w, "driver_cores", s->cpu_s / stats_seconds(s));
	jw_kbool(w, "ok", !why);
	if (why)
		jw_kcstr(w, "why", why);
	for (int i = 0; i < PROBLEMS && why; i++)
		if (s->problems[i].n)
			jw_kcstr(w, "problem", stats_problem_text(s, (enum problem)i, text, sizeof(text))),
				i = PROBLEMS;
	jw_obj_end(w);
	fprintf(stderr, "%8.0f/s: accepted %.0f/s, p99 %.1f ms: %s\n", s->rate,
		(double)s->accepted_in_window / stats_seconds(s), (double)hist_percentile(&s->all, 0.99) / 1000,
		why ? why : "held");
}

void run_ramp(struct drive *d, struct stats *ret_best, struct jw *w)
{
	double held = 0, not_held = 0, rate = d->o->rate;
	bool limited = false;

	if (d->o->warmup_ms)
		measure(d, rate, 0, (int64_t)d->o->warmup_ms * 1000);
	jw_obj(w);
	jw_key(w, "steps");
	jw_arr(w);
	for (int i = 0; i < d->o->steps; i++) {
		const char *why;

		measure(d, rate, (int64_t)d->o->step_ms * 200, (int64_t)d->o->step_ms * 800);
		if (d->exhausted || d->interrupted)
			break; /* a step that was cut short says nothing */
		judge_refusals(d);
		why = why_not(d);
		report_step(d, w, why);
		if (why) {
			not_held = rate;
			limited = d->stats.limited_by_driver;
		} else {
			held = rate;
			stats_copy(ret_best, &d->stats);
		}
		if (held > 0 && not_held > 0 && not_held / held < 1.03)
			break;
		rate = not_held == 0 ? 2 * held : held == 0 ? not_held / 2 : (held + not_held) / 2;
	}
	jw_arr_end(w);
	jw_kreal(w, "best", held);
	/* the server may be able to do more than was found */
	jw_kbool(w, "limited_by_driver", limited);
	jw_kbool(w, "limited_by_seats", d->exhausted);
	jw_kbool(w, "limited_by_steps", not_held == 0 || held == 0);
	jw_obj_end(w);
	if (held == 0) {
		stats_copy(ret_best, &d->stats);
		if (not_held > 0)
			stats_problem(ret_best, PROBLEM_SCENARIO, "No rate held; the lowest tried was %g.", not_held);
		else
			stats_problem(ret_best, PROBLEM_SCENARIO, "No step came to its end.");
	}
}
