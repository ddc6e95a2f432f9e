/*
 * A show goes on sale, and more people want it than it has seats.
 *
 *   arrives -> SESSION -> MAP -> picks -> LOCK --201--> thinks -> BOOK --confirmed--> has tickets
 *                          ^               |              |        \--pending-> POLL
 *                          +-- 409, again -+              +-> RELEASE -> leaves
 *                                          +-- 409, enough: leaves
 *
 * Buyers are a state of their own each: arrivals do not wait for anybody. They come in a rush that decays: half of them in the
 * first quarter of --open-seconds. Every buyer reads the map for themselves, but only the watcher's copy, ten a second, is parsed
 * (drive_onsale_map.c): for a buyer it is then at most 100 ms old, which is what a page with a live map shows.
 *
 * When all have come and gone and seats are left, latecomers take the best single seats until there are none: then every seat
 * is sold, which is what the run is to show.
 */
#include "drive_onsale.h"
#include "drive.h"
#include "drive_scenarios.h"

#include "base/xmalloc.h"

#include <math.h>
#include <stdlib.h>

enum { POLL_EVERY_US = 50 * 1000, POLL_MAX_US = 10 * 1000 * 1000, LATECOMERS = 32, PARTY_MAX = 4, THINK_MAX = 10 };

enum step { STEP_SESSION, STEP_MAP, STEP_LOCK, STEP_BOOK, STEP_POLL, STEP_RELEASE, STEP_WATCH, STEPS };
/* what a timer is for */
enum { TIMER_ARRIVAL, TIMER_DECIDE, TIMER_POLL };

static const char *const counter_names[ONSALE_COUNTERS] = {
	[BUYERS] = "buyers",
	[LOOKED] = "looked",
	[LOCKS_TRIED] = "locks_tried",
	[LOCKS_OK] = "locks_accepted",
	[LOCKS_REFUSED] = "locks_refused",
	[LOCKS_RELEASED] = "locks_released",
	[LOCKS_EXPIRED] = "locks_expired",
	[BOOKINGS_OK] = "bookings_confirmed",
	[BOOKINGS_DECLINED] = "bookings_declined",
	[SEATS_SOLD] = "seats_sold",
	[LEFT_REFUSED] = "left_after_refusals",
	[LEFT_SOLD_OUT] = "left_without_seats",
	[LATE_BUYERS] = "late_purchases",
	[POLLS] = "polls",
};

static const char *const step_names[STEPS] = {"session", "map", "lock", "book", "poll", "release", "watch"};

static void tally(struct drive *d, enum onsale_counter c, uint64_t n)
{
	d->stats.counters[c] += n;
}

/* ---- requests ---- */

size_t onsale_request(struct drive *d, const struct intent *in, char *out)
{
	struct onsale *s = d->own;
	const struct show *show = &d->shows.all[0];
	const struct buyer *b = &s->buyers[in->actor];
	const char *host = d->o->host;
	char *at = out;

	switch ((enum step)in->step) {
	case STEP_SESSION:
		at = PUT(at, "POST /v1/sessions");
		return (size_t)(put_fields(at, host, "", NULL, "{}", 2) - out);
	case STEP_LOCK:
		if (in->n_seats)
			return (size_t)(put_lock(at, show, host, b->token, NULL, in->seats, in->n_seats) - out);
		at = PUT(at, "POST /v1/shows/");
		at = put(at, show->id, UUID_TEXT - 1);
		at = PUT(at, "/locks");
		return (size_t)(put_fields(at, host, b->token, NULL, "{\"best\":{\"quantity\":1}}", 23) - out);
	case STEP_BOOK:
		return (size_t)(put_booking(at, show, host, b->token, b->lock_id, in->actor) - out);
	case STEP_POLL:
		at = PUT(at, "GET /v1/shows/");
		at = put(at, show->id, UUID_TEXT - 1);
		at = PUT(at, "/bookings/");
		at = put(at, b->booking_id, UUID_TEXT - 1);
		return (size_t)(put_fields(at, host, b->token, NULL, NULL, 0) - out);
	case STEP_RELEASE:
		at = PUT(at, "DELETE /v1/shows/");
		at = put(at, show->id, UUID_TEXT - 1);
		at = PUT(at, "/locks/");
		at = put(at, b->lock_id, UUID_TEXT - 1);
		return (size_t)(put_fields(at, host, b->token, NULL, NULL, 0) - out);
	case STEP_MAP:
	case STEP_WATCH:
	case STEPS:
		break;
	}
	at = PUT(at, "GET /v1/shows/");
	at = put(at, show->id, UUID_TEXT - 1);
	at = PUT(at, "/seats");
	return (size_t)(put_fields(at, host, "", NULL, NULL, 0) - out);
}

static void ask(struct drive *d, uint32_t actor, enum step step, const uint32_t *seats, uint32_t n)
{
	struct onsale *s = d->own;
	struct intent in = {
		.start_us = s->buyers[actor].start_us, .actor = actor, .step = (uint8_t)step, .n_seats = (uint8_t)n};

	/* a step follows from the answer before it, but the first one from the schedule */
	in.due_us = step == STEP_SESSION ? in.start_us : d->now_us;
	for (uint32_t i = 0; i < n; i++)
		in.seats[i] = seats[i];
	drive_submit(d, &in);
}

/* ---- a buyer's steps ---- */

static bool is_late(const struct onsale *s, uint32_t actor)
{
	return actor >= s->n_buyers;
}

static void late_again(struct drive *d, uint32_t actor);

static void leave(struct drive *d, uint32_t actor)
{
	struct onsale *s = d->own;

	d->n_open--;
	s->changed_us = d->now_us;
	if (is_late(s, actor))
		late_again(d, actor);
}

static void try_lock(struct drive *d, uint32_t actor)
{
	struct onsale *s = d->own;
	struct buyer *b = &s->buyers[actor];
	uint32_t seats[PARTY_MAX], n = 0;

	if (!is_late(s, actor)) {
		n = map_pick(&s->map, &d->rng, b->party, seats);
		if (n == 0) {
			tally(d, LEFT_SOLD_OUT, 1);
			leave(d, actor);
			return;
		}
		b->n_seats = (uint8_t)n;
	} else {
		b->n_seats = 1;
	}
	b->tries++;
	tally(d, LOCKS_TRIED, 1);
	ask(d, actor, STEP_LOCK, seats, n);
}

static void got_lock(struct drive *d, uint32_t actor)
{
	struct onsale *s = d->own;
	double think_us = rng_exponential(&d->rng, d->o->think_ms * 1000.0);

	tally(d, LOCKS_OK, 1);
	if (is_late(s, actor)) {
		ask(d, actor, STEP_BOOK, NULL, 0);
		return;
	}
	/* the tail of the distribution would only make the end of the run long */
	if (think_us > d->o->think_ms * 1000.0 * THINK_MAX)
		think_us = d->o->think_ms * 1000.0 * THINK_MAX;
	drive_at(d, d->now_us + (int64_t)think_us, actor, TIMER_DECIDE);
}

static enum outcome lock_answered(struct drive *d, const struct intent *in, const struct answer *a)
{
	struct onsale *s = d->own;
	struct buyer *b = &s->buyers[in->actor];

	if (a->status == 201 && TAKE_ID(a, "lock_id", b->lock_id)) {
		hist_record(&s->tick_locks, d->now_us - in->due_us);
		got_lock(d, in->actor);
		return OUTCOME_STEP;
	}
	if (is_late(s, in->actor) && a->status == 409 && answer_code(a, "no_seats_together")) {
		s->none_left = true;
		leave(d, in->actor);
		return OUTCOME_STEP;
	}
	if (a->status != 409 || !answer_code(a, "seats_unavailable")) {
		leave(d, in->actor);
		return OUTCOME_UNEXPECTED;
	}
	tally(d, LOCKS_REFUSED, 1);
	map_refused(&s->map, a->body);
	if (b->tries >= d->o->tries || rng_unit(&d->rng) < d->o->leave_share) {
		tally(d, LEFT_REFUSED, 1);
		leave(d, in->actor);
	} else {
		ask(d, in->actor, STEP_MAP, NULL, 0);
	}
	return OUTCOME_STEP;
}

static enum outcome booking_answered(struct drive *d, const struct intent *in, const struct answer *a)
{
	struct onsale *s = d->own;
	struct buyer *b = &s->buyers[in->actor];
	bool good = a->status == (in->step == STEP_BOOK ? 201 : 200);
	struct str status;

	/* the booking's status stands before the payment's */
	if (good && ANSWER_TEXT(a, "status", &status) && str_eqc(status, "confirmed")) {
		tally(d, BOOKINGS_OK, 1);
		tally(d, SEATS_SOLD, b->n_seats);
		tally(d, LATE_BUYERS, is_late(s, in->actor));
		s->sold_us = d->now_us;
		leave(d, in->actor);
		return OUTCOME_ACCEPTED;
	}
	if (good && str_eqc(status, "payment_pending") && TAKE_ID(a, "booking_id", b->booking_id)) {
		if (in->step == STEP_BOOK)
			b->pending_us = d->now_us;
		if (d->now_us - b->pending_us < POLL_MAX_US) {
			tally(d, POLLS, 1);
			drive_at(d, d->now_us + POLL_EVERY_US, in->actor, TIMER_POLL);
			return OUTCOME_STEP;
		}
	}
	if (a->status == 402) {
		tally(d, BOOKINGS_DECLINED, 1);
		ask(d, in->actor, STEP_RELEASE, NULL, 0);
		return OUTCOME_REFUSED;
	}
	leave(d, in->actor);
	if (a->status == 409 && answer_code(a, "lock_expired")) {
		tally(d, LOCKS_EXPIRED, 1);
		return OUTCOME_REFUSED;
	}
	return OUTCOME_UNEXPECTED;
}

static enum outcome buyer_answered(struct drive *d, const struct intent *in, const struct answer *a)
{
	struct onsale *s = d->own;
	struct buyer *b = &s->buyers[in->actor];
	struct str token;

	switch ((enum step)in->step) {
	case STEP_SESSION:
		if (a->status != 201 || !ANSWER_TEXT(a, "token", &token) || token.n >= sizeof(b->token))
			break;
		*put(b->token, token.p, token.n) = '\0';
		if (is_late(s, in->actor))
			try_lock(d, in->actor);
		else
			ask(d, in->actor, STEP_MAP, NULL, 0);
		return OUTCOME_STEP;
	case STEP_MAP:
		if (a->status != 200)
			break;
		s->tick_reads++;
		tally(d, LOOKED, 1);
		try_lock(d, in->actor);
		return OUTCOME_STEP;
	case STEP_LOCK:
		return lock_answered(d, in, a);
	case STEP_BOOK:
	case STEP_POLL:
		return booking_answered(d, in, a);
	case STEP_RELEASE:
		if (a->status == 204)
			tally(d, LOCKS_RELEASED, 1);
		leave(d, in->actor);
		return a->status == 204 ? OUTCOME_STEP : OUTCOME_UNEXPECTED;
	case STEP_WATCH:
	case STEPS:
		break;
	}
	leave(d, in->actor);
	return OUTCOME_UNEXPECTED;
}

static void watched(struct drive *d, const struct intent *in, const struct answer *a)
{
	struct onsale *s = d->own;

	s->watching = false;
	if (a->status != 200 || !a->whole || !map_read(&s->map, a->body)) {
		if (a->status)
			problem(d, PROBLEM_ANSWER, "GET /v1/shows/%s/seats -> %d that is no map of this show: %.*s",
				d->shows.all[0].id, a->status, (int)(a->body.n < 200 ? a->body.n : 200),
				a->body.n ? a->body.p : "");
		return;
	}
	s->map_asked_us = in->due_us;
}

void onsale_answer(struct drive *d, const struct intent *in, const struct answer *a)
{
	if (in->step == STEP_WATCH) {
		watched(d, in, a);
		return;
	}
	count_answer(d, in, a, buyer_answered(d, in, a), (int)in->step);
}

/* ---- who comes ---- */

/* Where the share of the buyers is reached: an exponential decay, cut where nineteen of twenty would have come. */
static int64_t arrival_us(const struct drive *d, double share)
{
	static const double shown = 0.95;
	double decay_us = d->o->open_ms * 1000.0 / 3;

	return (int64_t)(-decay_us * log(1 - share * shown));
}

static void arrival_next(struct drive *d)
{
	struct onsale *s = d->own;
	struct buyer *b = &s->buyers[s->n_come];

	if (s->n_come == s->n_buyers || d->now_us >= d->count_until_us)
		return;
	b->start_us = s->opened_us + arrival_us(d, (s->n_come + rng_unit(&d->rng)) / s->n_buyers);
	drive_at(d, b->start_us, s->n_come, TIMER_ARRIVAL);
}

static void arrives(struct drive *d, uint32_t actor)
{
	struct onsale *s = d->own;
	struct buyer *b = &s->buyers[actor];

	s->n_come++;
	hist_record(&d->stats.late, d->now_us - b->start_us);
	b->party = (uint8_t)(1 + rng_below(&d->rng, PARTY_MAX));
	d->n_open++;
	d->stats.offered++;
	tally(d, BUYERS, 1);
	ask(d, actor, STEP_SESSION, NULL, 0);
	arrival_next(d);
}

static void onsale_timer(struct drive *d, uint32_t actor, uint32_t what)
{
	if (what == TIMER_ARRIVAL)
		arrives(d, actor);
	else if (what == TIMER_POLL)
		ask(d, actor, STEP_POLL, NULL, 0);
	else
		ask(d, actor, rng_unit(&d->rng) <= d->o->pay_share ? STEP_BOOK : STEP_RELEASE, NULL, 0);
}

/* A latecomer buys one seat after another; the session stays. */
static void late_again(struct drive *d, uint32_t actor)
{
	struct onsale *s = d->own;
	struct buyer *b = &s->buyers[actor];

	if (s->none_left || d->now_us >= d->count_until_us || !stats_clean(&d->stats))
		return;
	b->start_us = d->now_us;
	d->n_open++;
	if (*b->token)
		try_lock(d, actor);
	else
		ask(d, actor, STEP_SESSION, NULL, 0);
}

static void come_late(struct drive *d)
{
	struct onsale *s = d->own;

	s->none_left = false;
	for (uint32_t i = 0; i < LATECOMERS; i++)
		late_again(d, s->n_buyers + i);
}

/* ---- the run ---- */

bool onsale_setup(struct drive *d)
{
	struct onsale *s = xcalloc(1, sizeof(*s));

	d->own = s;
	d->timer_fn = onsale_timer;
	d->n_streams = 0;
	for (int i = 0; i < STEP_WATCH; i++)
		drive_named(d, step_names[i]);
	for (int i = 0; i < ONSALE_COUNTERS; i++)
		drive_counter(d, counter_names[i]);
	s->n_buyers = (uint32_t)d->o->buyers;
	s->buyers = xcalloc(s->n_buyers + LATECOMERS, sizeof(*s->buyers));
	hist_init(&s->tick_locks);
	map_init(&s->map, d->shows.all[0].n_seats);
	if (d->o->csv && !onsale_csv_open(s, d->o->csv)) {
		problem(d, PROBLEM_SCENARIO, "--csv %s cannot be written.", d->o->csv);
		return false;
	}
	return true;
}

void onsale_begin(struct drive *d)
{
	struct onsale *s = d->own;

	/* a buyer makes about five requests */
	if (d->o->quantum_us < 0 && 5000.0 * d->o->buyers / d->o->open_ms >= QUANTUM_RATE)
		d->quantum_us = QUANTUM_US;
	s->opened_us = d->now_us;
	onsale_tick(d);
	arrival_next(d);
}

void onsale_tick(struct drive *d)
{
	struct onsale *s = d->own;
	struct intent in = {.start_us = d->now_us, .due_us = d->now_us, .step = STEP_WATCH, .collect = true};

	if (!s || !s->opened_us) /* before the show opens, while sessions are made */
		return;
	onsale_csv_row(d, s);
	if (!s->watching && d->count_until_us > d->now_us) {
		s->watching = true;
		drive_submit(d, &in);
	}
	/* while the map is older than what happened last, the next one decides */
	if (s->n_come < s->n_buyers || d->n_open || s->map_asked_us <= s->changed_us)
		return;
	if (s->map.n_free && d->now_us < d->count_until_us && stats_clean(&d->stats))
		come_late(d);
	else
		d->exhausted = true;
}

/* An on-sale ends when nothing is left. */
void onsale_judge(struct drive *d)
{
	struct onsale *s = d->own;

	if (s->map.n_free)
		stats_problem(&d->stats, PROBLEM_SCENARIO, "not sold out: %lld seats are free at the end",
			      (long long)s->map.n_free);
}

void onsale_report(struct drive *d, struct jw *w)
{
	struct onsale *s = d->own;

	jw_kint(w, "free_at_the_end", s->map.n_free);
	jw_key(w, "sold_out_ms");
	if (s->map.n_free == 0 && s->sold_us)
		jw_int(w, (s->sold_us - s->opened_us) / 1000);
	else
		jw_null(w);
}

void onsale_finish(struct drive *d)
{
	struct onsale *s = d->own;

	onsale_csv_row(d, s);
	onsale_csv_close(s);
	map_done(&s->map);
	hist_done(&s->tick_locks);
	free(s->buyers);
	free(s);
}
