/*
 * What is counted during a run, or during one step of a ramp.
 *
 * An arrival belongs to the run when its intended start lies within the counted time; its answers are then counted whenever
 * they come. What came within the counted time is counted besides, because only that is a throughput: answers that a
 * backlog gives afterwards would flatter it.
 */
#ifndef BENCH_DRIVE_STATS_H
#define BENCH_DRIVE_STATS_H

#include "hist.h"

#include <stdbool.h>
#include <stddef.h>

enum { STATUS_MAX = 600, CODES_MAX = 32, CODE_TEXT = 40, NAMED_MAX = 12, COUNTERS_MAX = 24, PROBLEM_TEXT = 400 };

/* What makes a run unclean. */
enum problem {
	PROBLEM_CONNECT,    /* no connection */
	PROBLEM_LOST,	    /* a connection ended before its answer did */
	PROBLEM_MALFORMED,  /* not HTTP as we know it */
	PROBLEM_ANSWER,	    /* another answer than the scenario expects */
	PROBLEM_REFUSED,    /* too many of the locks refused */
	PROBLEM_OVERFLOW,   /* more arrivals waiting for a connection than we hold */
	PROBLEM_UNFINISHED, /* no answer in time */
	PROBLEM_DRIVER,	    /* we were the limit ourselves */
	PROBLEM_SCENARIO,   /* what only this scenario can say */
	PROBLEM_IDLE,	    /* connections that were to be held were closed */
	PROBLEMS,
};

struct stats {
	double rate; /* asked for, a second */
	uint64_t offered, completed, accepted, refused, abandoned;
	uint64_t in_window, accepted_in_window;
	uint64_t retry_after; /* of the answers 429 and 503 */
	uint64_t by_status[STATUS_MAX];
	struct {
		char code[CODE_TEXT];
		uint64_t n;
	} by_code[CODES_MAX];
	struct hist all, late, named[NAMED_MAX];
	uint64_t counters[COUNTERS_MAX]; /* named by the scenario, see drive_counter() */
	uint32_t backlog_max, backlog_end;
	int64_t began_us, ended_us;
	double cpu_s; /* ours, between began and ended */
	bool limited_by_driver;
	struct {
		uint64_t n;
		char first[PROBLEM_TEXT];
	} problems[PROBLEMS];
};

void stats_init(struct stats *s);
void stats_done(struct stats *s);
void stats_reset(struct stats *s);
void stats_copy(struct stats *into, const struct stats *from);
void stats_code(struct stats *s, const char *code, size_t n);
double stats_seconds(const struct stats *s);
bool stats_clean(const struct stats *s);
/* Keeps the first of each kind, counts the rest. */
void stats_problem(struct stats *s, enum problem kind, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* "12 answers were not expected; the first: ...", for the report. */
const char *stats_problem_text(const struct stats *s, enum problem kind, char *out, size_t size);

#endif
