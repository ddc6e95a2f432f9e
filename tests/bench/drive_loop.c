/*
 * The loop: sleep, take what has come, run what is due, send what the schedule says. Owns the schedule, the queue of intents
 * that wait for a connection, and the timers.
 *
 * It shares the machine with what it measures. So at high rates it looks at its connections at most every quantum_us: one
 * system call then brings several answers, and several arrivals go out behind each other. Latencies are measured from the
 * intended start to the look, so they contain up to a quantum; they are never too small.
 */
#include "drive.h"

#include "base/xmalloc.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
	EVENTS = 256,
	TICK_US = 100 * 1000,
	NICE = -10,
	SENDS_PER_LOOK = 16,	/* at the clock */
	ARRIVALS_PER_TURN = 256 /* after which answers are taken again, however late we are */
};

int64_t clock_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

void problem(struct drive *d, enum problem kind, const char *fmt, ...)
{
	char text[PROBLEM_TEXT];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	stats_problem(&d->stats, kind, "%s", text);
}

/* ---- intents ---- */

static void send_intent(struct drive *d, const struct intent *in)
{
	char request[REQUEST_MAX];
	size_t n = d->talk->request(d, in, request);

	assert(n <= sizeof(request));
	conns_send(&d->conns, in, request, n);
}

/* It will not be sent; for the scenario that is as if its connection had been lost. */
static void drop_intent(struct drive *d, const struct intent *in)
{
	const struct answer none = {0};

	d->talk->answer(d, in, &none);
}

void drive_submit(struct drive *d, const struct intent *in)
{
	if (d->conns.n_idle && d->queue_n == 0) {
		send_intent(d, in);
		return;
	}
	if (d->queue_n == QUEUE_MAX) {
		if (counted(d, in))
			problem(d, PROBLEM_OVERFLOW, "%d were waiting for a connection already.", QUEUE_MAX);
		drop_intent(d, in);
		return;
	}
	d->queue[(d->queue_at + d->queue_n++) % QUEUE_MAX] = *in;
	if (d->queue_n > d->stats.backlog_max)
		d->stats.backlog_max = d->queue_n;
}

static struct intent queue_take(struct drive *d)
{
	struct intent in = d->queue[d->queue_at];

	d->queue_at = (d->queue_at + 1) % QUEUE_MAX;
	d->queue_n--;
	return in;
}

/* Whoever has waited for longer than their patience has gone; they are counted. */
static void pump_queue(struct drive *d)
{
	while (d->queue_n) {
		const struct intent *first = &d->queue[d->queue_at];
		bool gone = d->patience_us && d->now_us - first->due_us > d->patience_us;
		struct intent in;

		if (!gone && d->conns.n_idle == 0)
			return;
		in = queue_take(d);
		if (gone) {
			d->stats.abandoned += counted(d, &in);
			drop_intent(d, &in);
		} else {
			send_intent(d, &in);
		}
	}
}

void loop_drop_queue(struct drive *d)
{
	/* what is dropped may ask for more, which is then no part of this */
	for (uint32_t n = d->queue_n; n; n--) {
		struct intent in = queue_take(d);

		drop_intent(d, &in);
	}
}

static void on_answer(void *arg, const struct intent *in, const struct answer *a)
{
	struct drive *d = arg;

	d->talk->answer(d, in, a);
}

static void on_problem(void *arg, enum problem kind, const char *text)
{
	struct drive *d = arg;

	stats_problem(&d->stats, kind, "%s", text);
}

/* ---- the schedule ---- */

static double gap(struct drive *d, const struct stream *s)
{
	return d->o->constant ? s->gap_us : rng_exponential(&d->rng, s->gap_us);
}

void loop_schedule(struct drive *d, double rate)
{
	d->stats.rate = rate;
	d->open = d->n_streams > 0;
	d->now_us = clock_us();
	d->quantum_us = d->o->quantum_us;
	if (d->quantum_us < 0) {
		double all = 0;

		for (int i = 0; i < d->n_streams; i++)
			all += rate * d->streams[i].share;
		d->quantum_us = all >= QUANTUM_RATE ? QUANTUM_US : 0;
	}
	for (int i = 0; i < d->n_streams; i++) {
		struct stream *s = &d->streams[i];

		s->gap_us = 1e6 / (rate * s->share);
		s->next_us = (double)d->now_us + gap(d, s);
	}
}

static struct stream *next_stream(struct drive *d)
{
	struct stream *first = NULL;

	for (int i = 0; i < d->n_streams; i++)
		if (d->streams[i].share > 0 && (!first || d->streams[i].next_us < first->next_us))
			first = &d->streams[i];
	return first;
}

static void arrive(struct drive *d, struct stream *s)
{
	struct intent in = {.stream = (uint8_t)(s - d->streams)};
	bool count;

	in.start_us = in.due_us = (int64_t)s->next_us;
	s->next_us += gap(d, s);
	if (!d->scenario->arrival(d, &in)) {
		d->exhausted = true;
		d->open = false;
		return;
	}
	count = counted(d, &in);
	d->stats.offered += count;
	if (count && d->conns.n_idle && d->queue_n == 0)
		hist_record(&d->stats.late, d->now_us - in.due_us);
	drive_submit(d, &in);
}

static void run_schedule(struct drive *d)
{
	struct stream *s;

	for (int n = 1; d->open && n <= ARRIVALS_PER_TURN; n++) {
		s = next_stream(d);
		/* a turn that comes late does not start what nobody counts */
		if (s->next_us > (double)d->now_us || s->next_us >= (double)d->count_until_us)
			break;
		arrive(d, s);
		if (n % SENDS_PER_LOOK == 0)
			d->now_us = clock_us();
	}
}

/* ---- timers ---- */

void drive_at(struct drive *d, int64_t at_us, uint32_t actor, uint32_t what)
{
	uint32_t i = d->n_timers++;

	if (d->n_timers > d->timers_room) {
		d->timers_room = d->timers_room ? 2 * d->timers_room : 1024;
		d->timers = xreallocarray(d->timers, d->timers_room, sizeof(*d->timers));
	}
	for (; i && d->timers[(i - 1) / 2].at_us > at_us; i = (i - 1) / 2)
		d->timers[i] = d->timers[(i - 1) / 2];
	d->timers[i] = (struct timer){at_us, actor, what};
}

static struct timer take_timer(struct drive *d)
{
	struct timer first = d->timers[0], last = d->timers[--d->n_timers];
	uint32_t i = 0, child;

	while ((child = 2 * i + 1) < d->n_timers) {
		if (child + 1 < d->n_timers && d->timers[child + 1].at_us < d->timers[child].at_us)
			child++;
		if (d->timers[child].at_us >= last.at_us)
			break;
		d->timers[i] = d->timers[child];
		i = child;
	}
	d->timers[i] = last;
	return first;
}

static void run_timers(struct drive *d)
{
	while (d->n_timers && d->timers[0].at_us <= d->now_us) {
		struct timer t = take_timer(d);

		d->timer_fn(d, t.actor, t.what);
	}
}

/* ---- a turn ---- */

static void wait_events(struct drive *d, int64_t until_us)
{
	struct epoll_event events[EVENTS];
	struct timespec t;
	int64_t wait_us;
	int n;

	if (d->quantum_us) {
		int64_t next_us = d->turn_us + d->quantum_us;

		t = (struct timespec){next_us / 1000000, next_us % 1000000 * 1000};
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
		d->now_us = clock_us();
	}
	/* while answers are awaited this was the sleep already: a second one would be another change of context */
	wait_us = until_us > d->now_us && !(d->quantum_us && d->conns.n_waiting) ? until_us - d->now_us : 0;
	t = (struct timespec){wait_us / 1000000, wait_us % 1000000 * 1000};
	n = epoll_pwait2(d->epfd, events, EVENTS, &t, NULL);
	if (n < 0 && errno == ENOSYS)
		n = epoll_wait(d->epfd, events, EVENTS, (int)((wait_us + 999) / 1000));
	d->turn_us = d->now_us = clock_us();
	for (int i = 0; i < n; i++) {
		if (events[i].data.ptr == d)
			d->interrupted = true;
		else
			conns_event(&d->conns, events[i].data.ptr, events[i].events);
	}
}

void loop_turn(struct drive *d, int64_t until_us)
{
	const struct stream *s = d->open ? next_stream(d) : NULL;

	if (d->tick_us < until_us)
		until_us = d->tick_us;
	if (s && s->next_us < (double)until_us)
		until_us = (int64_t)s->next_us + 1;
	if (d->n_timers && d->timers[0].at_us < until_us)
		until_us = d->timers[0].at_us;
	wait_events(d, until_us);
	pump_queue(d);
	d->now_us = clock_us();
	run_timers(d);
	run_schedule(d);
	if (d->now_us >= d->tick_us) {
		d->tick_us = d->now_us + TICK_US;
		if (d->conns.n_closed)
			conns_reopen(&d->conns);
		if (d->n_idle)
			idle_look(d);
		if (d->scenario->tick)
			d->scenario->tick(d);
	}
}

/*
 * What we measure has both cores busy, and a driver that waits for its turn measures the wait. We need little time but need it
 * at once: a short slice says that to the scheduler (Linux 6.12, ignored before), and a better nice value where we may. Not
 * taken from the server: what we use is the same.
 */
static void ask_for_short_waits(struct drive *d)
{
	struct {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t runtime_ns, deadline_ns, period_ns;
	} attr = {.size = sizeof(attr), .runtime_ns = 100 * 1000, .nice = NICE};

	if (d->o->realtime) {
		attr.policy = SCHED_RR;
		attr.priority = 1;
	}
	if (syscall(SYS_sched_setattr, 0, &attr, 0) < 0) {
		if (d->o->realtime)
			fprintf(stderr, "--realtime is not allowed here: %s\n", strerror(errno));
		attr.policy = SCHED_OTHER;
		attr.priority = 0;
		attr.nice = 0;
		syscall(SYS_sched_setattr, 0, &attr, 0);
	}
	/* the default slack of 50 us would come on top of each wait */
	prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
}

bool loop_quiet(const struct drive *d)
{
	return d->conns.n_waiting == 0 && d->queue_n == 0 && d->n_open == 0;
}

void loop_init(struct drive *d)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = d};
	sigset_t signals;

	ask_for_short_waits(d);
	d->epfd = epoll_create1(EPOLL_CLOEXEC);
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	d->signal_fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
	event.events |= EPOLLET; /* once is enough */
	epoll_ctl(d->epfd, EPOLL_CTL_ADD, d->signal_fd, &event);
	d->queue = xcalloc(QUEUE_MAX, sizeof(*d->queue));
	d->rng = d->o->seed;
	stats_init(&d->stats);
	d->now_us = d->turn_us = clock_us();
	d->tick_us = d->now_us + TICK_US;
	d->count_from_us = d->count_until_us = INT64_MAX;
	conns_init(&d->conns, d->epfd, d->o, on_answer, on_problem, d);
}

void loop_done(struct drive *d)
{
	conns_done(&d->conns);
	stats_done(&d->stats);
	free(d->timers);
	free(d->queue);
	close(d->signal_fd);
	close(d->epfd);
}
