/*
 * The scenarios that read or lock: get, lock, lock-hot, refuse, lone, rush, overload, idle.
 *
 * Nobody releases a lock here: whoever measures lets the locks end behind the server's back, because a DELETE would double
 * the requests. The walk over the seats comes to a seat again only after all others.
 */
#include "drive.h"
#include "drive_scenarios.h"

#include "base/xmalloc.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- requests ---- */

/* Made once: it is always the same. */
bool get_setup(struct drive *d)
{
	char *text = xmalloc(REQUEST_MAX), *at = text;
	size_t room = REQUEST_MAX - 1500;

	for (int i = 0; i < d->o->n_headers; i++) {
		size_t n = strlen(d->o->headers[i]) + 2;

		if (n > room) {
			free(text);
			problem(d, PROBLEM_SCENARIO, "The lines of --header have more than %d bytes.",
				REQUEST_MAX - 1500);
			return false;
		}
		room -= n;
	}
	at = PUT(at, "GET ");
	at = put_str(at, d->o->path);
	at = PUT(at, " HTTP/1.1\r\nHost: ");
	at = put_str(at, d->o->host);
	for (int i = 0; i < d->o->n_headers; i++) {
		at = PUT(at, "\r\n");
		at = put_str(at, d->o->headers[i]);
	}
	at = PUT(at, "\r\n\r\n");
	d->get = text;
	d->get_n = (size_t)(at - text);
	return true;
}

size_t get_request(struct drive *d, const struct intent *in, char *out)
{
	return (size_t)(put(out, d->get, d->get_n) - out);
}

size_t lock_request(struct drive *d, const struct intent *in, char *out)
{
	uint64_t key[2];
	char *end;

	if (d->o->key) {
		key[0] = rng_next(&d->rng);
		key[1] = rng_next(&d->rng);
	}
	end = put_lock(out, &d->shows.all[in->show], d->o->host, d->tokens[in->session], d->o->key ? key : NULL,
		       in->seats, in->n_seats);
	return (size_t)(end - out);
}

/* ---- arrivals ---- */

bool get_arrival(struct drive *d, struct intent *in)
{
	return true;
}

static void walk(struct drive *d, struct intent *in)
{
	uint32_t first;

	in->n_seats = (uint8_t)d->o->seats;
	first = show_walk(&d->shows.all[in->show], in->n_seats);
	for (uint32_t i = 0; i < in->n_seats; i++)
		in->seats[i] = first + i;
	next_token(d, &in->session);
}

/* n different seats below limit. */
static void draw(struct drive *d, struct intent *in, uint32_t n, uint32_t limit)
{
	in->n_seats = 0;
	next_token(d, &in->session);
	while (in->n_seats < n) {
		uint32_t seat = rng_below(&d->rng, limit), i = 0;

		while (i < in->n_seats && in->seats[i] != seat)
			i++;
		in->seats[i] = seat;
		in->n_seats += i == in->n_seats;
	}
}

bool lock_arrival(struct drive *d, struct intent *in)
{
	in->show = shows_next(&d->shows);
	walk(d, in);
	return true;
}

bool hot_arrival(struct drive *d, struct intent *in)
{
	draw(d, in, (uint32_t)d->o->seats, (uint32_t)d->o->hot);
	return true;
}

bool refuse_arrival(struct drive *d, struct intent *in)
{
	draw(d, in, 2, (uint32_t)d->o->taken);
	return true;
}

/* Stream 0 are the winners, stream 1 the losers, all in the first show. */
bool rush_arrival(struct drive *d, struct intent *in)
{
	if (in->stream == 1)
		return refuse_arrival(d, in);
	walk(d, in);
	return true;
}

/* ---- answers ---- */

static enum outcome lock_outcome(const struct answer *a)
{
	if (a->status == 201)
		return OUTCOME_ACCEPTED;
	return a->status == 409 && answer_code(a, "seats_unavailable") ? OUTCOME_REFUSED : OUTCOME_UNEXPECTED;
}

/* As far as there is only one kind of thing asked for. */
void get_answer(struct drive *d, const struct intent *in, const struct answer *a)
{
	bool good = d->o->expect ? a->status == d->o->expect : a->status == 200 || a->status == 304;

	count_answer(d, in, a, good ? OUTCOME_ACCEPTED : OUTCOME_UNEXPECTED, -1);
}

void lock_answer(struct drive *d, const struct intent *in, const struct answer *a)
{
	count_answer(d, in, a, lock_outcome(a), -1);
}

void hot_answer(struct drive *d, const struct intent *in, const struct answer *a)
{
	enum outcome o = lock_outcome(a);

	count_answer(d, in, a, o, drive_named(d, o == OUTCOME_ACCEPTED ? "accepted" : "refused"));
}

static enum outcome refusal_outcome(const struct answer *a)
{
	return lock_outcome(a) == OUTCOME_REFUSED ? OUTCOME_ACCEPTED : OUTCOME_UNEXPECTED;
}

/* A refusal is what is wanted here, so it is the one that counts as accepted. */
void refuse_answer(struct drive *d, const struct intent *in, const struct answer *a)
{
	count_answer(d, in, a, refusal_outcome(a), -1);
}

/* A loser's refusal is right, but only a winner's lock is accepted. */
void rush_answer(struct drive *d, const struct intent *in, const struct answer *a)
{
	if (in->stream == 0) {
		count_answer(d, in, a, lock_outcome(a), drive_named(d, "winners"));
		return;
	}
	count_answer(d, in, a, refusal_outcome(a) == OUTCOME_ACCEPTED ? OUTCOME_STEP : OUTCOME_UNEXPECTED,
		     drive_named(d, "losers"));
}

void overload_answer(struct drive *d, const struct intent *in, const struct answer *a)
{
	enum outcome o = a->status == 503 || a->status == 429 ? OUTCOME_REFUSED : lock_outcome(a);

	/* a seat that is taken is neither goodput nor overload */
	if (a->status == 409 && o == OUTCOME_REFUSED) {
		count_answer(d, in, a, OUTCOME_STEP, drive_named(d, "taken"));
		drive_count(d, in, drive_counter(d, "seats_unavailable"));
		return;
	}
	count_answer(d, in, a, o, drive_named(d, o == OUTCOME_ACCEPTED ? "accepted" : "refused"));
}

/* ---- one buyer, one request at a time ---- */

enum { LONE_LOCK, LONE_GET };

static void lone_next(struct drive *d, uint8_t step)
{
	struct intent in = {.step = step};

	if (step == LONE_LOCK)
		lock_arrival(d, &in);
	in.start_us = in.due_us = clock_us();
	d->stats.offered += counted(d, &in);
	drive_submit(d, &in);
}

/* Not by the schedule: every answer goes on with the next one, until the counted time is over. */
void lone_begin(struct drive *d)
{
	lone_next(d, LONE_LOCK);
}

size_t lone_request(struct drive *d, const struct intent *in, char *out)
{
	return in->step == LONE_GET ? get_request(d, in, out) : lock_request(d, in, out);
}

void lone_answer(struct drive *d, const struct intent *in, const struct answer *a)
{
	if (in->step == LONE_GET)
		count_answer(d, in, a, a->status == 200 ? OUTCOME_STEP : OUTCOME_UNEXPECTED, drive_named(d, "get"));
	else
		count_answer(d, in, a, lock_outcome(a), drive_named(d, "lock"));
	if (a->status && d->now_us < d->count_until_us)
		lone_next(d, in->step == LONE_GET ? LONE_LOCK : LONE_GET);
}

bool lone_setup(struct drive *d)
{
	d->n_streams = 0;
	return get_setup(d) && setup_sessions(d, (uint32_t)d->o->sessions);
}

/* ---- what is needed before ---- */

bool lock_setup(struct drive *d)
{
	shows_shuffle(&d->shows, &d->rng);
	return setup_sessions(d, (uint32_t)d->o->sessions);
}

bool hot_setup(struct drive *d)
{
	if ((uint32_t)d->o->hot > d->shows.all[0].n_seats || d->o->hot < d->o->seats) {
		problem(d, PROBLEM_SCENARIO, "--hot %d has to be from --seats %d to the %u seats of the first show.",
			d->o->hot, d->o->seats, d->shows.all[0].n_seats);
		return false;
	}
	return lock_setup(d);
}

bool refuse_setup(struct drive *d)
{
	return lock_setup(d) && setup_taken(d, (uint32_t)d->o->taken);
}

bool rush_setup(struct drive *d)
{
	d->n_streams = 2;
	d->streams[1].share = d->o->losers;
	if (d->shows.all[0].n_seats < (uint32_t)(d->o->taken + d->o->seats)) {
		problem(d, PROBLEM_SCENARIO, "--taken %d leaves no seats of the %u of the first show.", d->o->taken,
			d->shows.all[0].n_seats);
		return false;
	}
	return refuse_setup(d);
}

bool overload_setup(struct drive *d)
{
	d->patience_us = (int64_t)d->o->patience_ms * 1000;
	return lock_setup(d);
}
