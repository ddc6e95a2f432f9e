/*
 * The load driver. One process, one thread, one epoll loop:
 *
 *	schedule --arrival--> intent --idle connection?--> send --> answer --> counted, and maybe a next intent
 *	                         \-- none: waits in a queue, first in first out --/
 *
 * Arrivals come by the schedule, whatever the server does with the earlier ones (an open loop), and an intent's latency counts
 * from its place in the schedule. Scenarios are rows of a table in drive.c; what they have in common is here.
 */
#ifndef BENCH_DRIVE_H
#define BENCH_DRIVE_H

#include "drive_conn.h"
#include "drive_options.h"
#include "drive_show.h"
#include "drive_stats.h"

#include "base/json.h"

struct drive;

/* Who speaks: the scenario, or a part of its preparation. */
struct talk {
	/* The bytes of a request at out, REQUEST_MAX of them at most; how many. */
	size_t (*request)(struct drive *d, const struct intent *in, char *out);
	void (*answer)(struct drive *d, const struct intent *in, const struct answer *a);
};

struct scenario {
	const char *name, *what;
	struct talk talk;
	bool needs_shows;
	bool judges_refusals; /* more than --allow-refused are unclean */
	/* Connections are open. false: it cannot be run, and problem() has said why. NULL: nothing to prepare. */
	bool (*setup)(struct drive *d);
	/* The clock of a run or of a ramp's step starts; NULL for most. */
	void (*begin)(struct drive *d);
	/* Completes an arrival of a stream of the schedule. false: there is nothing left to ask for, the run ends. */
	bool (*arrival)(struct drive *d, struct intent *in);
	/* Every 100 ms; may be NULL. */
	void (*tick)(struct drive *d);
	/* After the run: what makes it unclean as a whole; may be NULL. */
	void (*judge)(struct drive *d);
	/* Members of its own for the report, where there is d->own; may be NULL. */
	void (*report)(struct drive *d, struct jw *w);
	/* Frees d->own. */
	void (*finish)(struct drive *d);
};

enum {
	STREAMS_MAX = 2,
	QUEUE_MAX = 1 << 18,
	QUANTUM_RATE = 2000, /* requests a second from which QUANTUM_US is the default */
	QUANTUM_US = 250,
};

/* Arrivals of one kind. */
struct stream {
	double share;	/* of the rate: 1 for the first stream, --losers for the losers */
	double gap_us;	/* mean */
	double next_us; /* of the next arrival */
};

/* What is to happen at a time: the scenario's, see drive_at(). */
struct timer {
	int64_t at_us;
	uint32_t actor, what;
};

typedef void timer_fn(struct drive *d, uint32_t actor, uint32_t what);

struct drive {
	const struct options *o;
	const struct scenario *scenario;
	const struct talk *talk;
	struct conns conns;
	int epfd, signal_fd;
	int64_t now_us; /* read a few times each turn, not with each request */
	int64_t turn_us, tick_us;
	int quantum_us;
	uint64_t rng;

	struct shows shows;
	char (*tokens)[TOKEN_TEXT];
	uint32_t n_tokens, token_at;
	char *get; /* the whole request of get and lone */
	size_t get_n;

	struct stream streams[STREAMS_MAX];
	int n_streams;
	bool open; /* arrivals come by the schedule */

	struct intent *queue; /* QUEUE_MAX, a ring */
	uint32_t queue_at, queue_n;
	int64_t patience_us; /* of what waits in the queue; 0: endless */

	struct timer *timers; /* a heap, the earliest first */
	uint32_t n_timers, timers_room;
	timer_fn *timer_fn;

	struct stats stats;
	int64_t count_from_us, count_until_us; /* by intended start */
	const char *named[NAMED_MAX];	       /* of stats.named */
	const char *counters[COUNTERS_MAX];    /* of stats.counters */
	uint64_t n_open;		       /* of what takes several requests: begun and not over */
	bool exhausted, interrupted;

	int *idle_fds, idle_epfd; /* that say nothing; NULL: none */
	uint32_t n_idle, n_idle_open;
	uint32_t setup_at, setup_show; /* of what is made before the start: the next one; of which show */
	void *own;		       /* the scenario's */
};

/* ---- drive_loop.c ---- */

int64_t clock_us(void);
void loop_init(struct drive *d);
void loop_done(struct drive *d);
/* Waits for the next event, until_us at the latest, and does what is due. */
void loop_turn(struct drive *d, int64_t until_us);
/* Sends it now or when there is an idle connection. */
void drive_submit(struct drive *d, const struct intent *in);
void drive_at(struct drive *d, int64_t at_us, uint32_t actor, uint32_t what);
void loop_schedule(struct drive *d, double rate);
void loop_drop_queue(struct drive *d);
/* Nothing is under way any more. */
bool loop_quiet(const struct drive *d);
void problem(struct drive *d, enum problem kind, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* ---- drive_count.c: what an answer counts as ---- */

enum outcome {
	OUTCOME_ACCEPTED,   /* what the scenario is about */
	OUTCOME_REFUSED,    /* no, in a way that is allowed */
	OUTCOME_UNEXPECTED, /* makes the run unclean */
	OUTCOME_STEP,	    /* good, but only a part of it */
};

/* Do answers to this one belong to the counted time? */
bool counted(const struct drive *d, const struct intent *in);
/* Counts status, code and outcome; its latency goes to named histogram i (-1: to none), and for the outcome that is not
 * OUTCOME_STEP to the one of all. */
void count_answer(struct drive *d, const struct intent *in, const struct answer *a, enum outcome o, int named);
int drive_named(struct drive *d, const char *name);
int drive_counter(struct drive *d, const char *name);
void drive_count(struct drive *d, const struct intent *in, int counter);
/* Is this the problem's code? */
bool answer_code(const struct answer *a, const char *code);
/* The text value of the first member of that name; name as '"lock_id":"'. */
bool answer_text(const struct answer *a, const char *name, size_t name_n, struct str *ret);
#define ANSWER_TEXT(a, name, ret) answer_text(a, "\"" name "\":\"", sizeof(name) + 3, ret)

/* ---- drive_setup.c ---- */

bool setup_connections(struct drive *d);
/* Opens --idle connections and says on standard error when all are open. */
bool idle_open(struct drive *d);
/* Have some of them been closed? */
void idle_look(struct drive *d);
void idle_close(struct drive *d);
/* Makes n buyers besides those that are there. */
bool setup_sessions(struct drive *d, uint32_t n);
/* Locks the first n seats of the first show for somebody. */
bool setup_taken(struct drive *d, uint32_t n);
/* Every walk goes on behind the last seat that is somebody's: what an earlier run has sold stays sold. */
bool setup_walks(struct drive *d);
const char *next_token(struct drive *d, uint32_t *ret_session);

/* ---- drive_run.c ---- */

void run_once(struct drive *d);
/* Fills *ret_best with the stats of the highest rate that held, and adds the steps to the report. */
void run_ramp(struct drive *d, struct stats *ret_best, struct jw *w);

/* ---- drive_report.c ---- */

void report(struct drive *d, const struct stats *s, struct str ramp_json, struct buf *out);
void report_hist(struct jw *w, const char *name, const struct hist *h);
void jw_kreal(struct jw *w, const char *k, double v);

#endif
