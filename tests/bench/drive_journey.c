/*
 * Whole purchases: a lock, a booking that is paid at once, and where the payment is not through yet the booking again until it is.
 *
 *   LOCK --201--> BOOK --201 confirmed--> over
 *                   \--201 payment_pending--> POLL --confirmed--> over
 *                                              ^  \--still pending, after a while
 *                                              +--+
 *
 * Seats are sold for good: a show is walked once, from behind what an earlier run has sold, then comes the next one of --shows,
 * then the run ends.
 */
#include "drive.h"
#include "drive_scenarios.h"

#include "base/xmalloc.h"

#include <stdlib.h>

enum { JOURNEY_LOCK, JOURNEY_BOOK, JOURNEY_POLL };
enum { POLL_EVERY_US = 50 * 1000, POLL_MAX_US = 10 * 1000 * 1000, NOBODY = UINT32_MAX };

struct journey {
	struct intent in; /* its latest step */
	uint32_t next_free;
	uint64_t number;
	int64_t pending_us; /* since when the payment is pending */
	char lock_id[UUID_TEXT], booking_id[UUID_TEXT];
};

struct journeys {
	struct journey *all;
	uint32_t n, room, first_free;
	uint64_t number; /* of mail addresses */
	uint32_t show;	 /* being sold */
	int lock, book, poll, polls;
};

static void journey_timer(struct drive *d, uint32_t actor, uint32_t what);

bool journey_setup(struct drive *d)
{
	struct journeys *js = xcalloc(1, sizeof(*js));

	js->first_free = NOBODY;
	js->lock = drive_named(d, "lock");
	js->book = drive_named(d, "book");
	js->poll = drive_named(d, "poll");
	js->polls = drive_counter(d, "polls");
	js->number = (uint64_t)clock_us();
	d->own = js;
	d->timer_fn = journey_timer;
	return setup_walks(d) && setup_sessions(d, (uint32_t)d->o->sessions);
}

void journey_finish(struct drive *d)
{
	struct journeys *js = d->own;

	free(js->all);
	free(js);
}

static uint32_t journey_new(struct journeys *js)
{
	uint32_t i = js->first_free;

	if (i != NOBODY) {
		js->first_free = js->all[i].next_free;
		return i;
	}
	if (js->n == js->room) {
		js->room = js->room ? 2 * js->room : 1024;
		js->all = xreallocarray(js->all, js->room, sizeof(*js->all));
	}
	return js->n++;
}

static void journey_over(struct drive *d, uint32_t i)
{
	struct journeys *js = d->own;

	js->all[i].next_free = js->first_free;
	js->first_free = i;
	d->n_open--;
}

bool journey_arrival(struct drive *d, struct intent *in)
{
	struct journeys *js = d->own;
	uint32_t first;

	in->n_seats = (uint8_t)d->o->seats;
	while (!show_walk_once(&d->shows.all[js->show], in->n_seats, &first))
		if (++js->show == d->shows.n) {
			js->show--;
			return false;
		}
	in->show = js->show;
	for (uint32_t i = 0; i < in->n_seats; i++)
		in->seats[i] = first + i;
	next_token(d, &in->session);
	in->actor = journey_new(js);
	js->all[in->actor].number = js->number++;
	d->n_open++;
	return true;
}

size_t journey_request(struct drive *d, const struct intent *in, char *out)
{
	const struct journey *j = &((struct journeys *)d->own)->all[in->actor];
	const struct show *show = &d->shows.all[in->show];
	const char *token = d->tokens[in->session];
	char *at = out;

	switch (in->step) {
	case JOURNEY_LOCK:
		return lock_request(d, in, out);
	case JOURNEY_BOOK:
		return (size_t)(put_booking(at, show, d->o->host, token, j->lock_id, j->number) - out);
	default:
		at = PUT(at, "GET /v1/shows/");
		at = put(at, show->id, UUID_TEXT - 1);
		at = PUT(at, "/bookings/");
		at = put(at, j->booking_id, UUID_TEXT - 1);
		return (size_t)(put_fields(at, d->o->host, token, NULL, NULL, 0) - out);
	}
}

static void step(struct drive *d, struct journey *j, uint8_t next)
{
	struct intent in = j->in;

	in.step = next;
	in.due_us = d->now_us;
	drive_submit(d, &in);
}

static void journey_timer(struct drive *d, uint32_t actor, uint32_t what)
{
	struct journeys *js = d->own;

	step(d, &js->all[actor], JOURNEY_POLL);
}

bool take_id(const struct answer *a, const char *name, size_t name_n, char *ret)
{
	struct str id;

	if (!answer_text(a, name, name_n, &id) || id.n != UUID_TEXT - 1)
		return false;
	*put(ret, id.p, id.n) = '\0';
	return true;
}

static void locked(struct drive *d, const struct intent *in, const struct answer *a, struct journey *j)
{
	struct journeys *js = d->own;

	if (a->status == 201 && TAKE_ID(a, "lock_id", j->lock_id)) {
		count_answer(d, in, a, OUTCOME_STEP, js->lock);
		step(d, j, JOURNEY_BOOK);
		return;
	}
	count_answer(d, in, a,
		     a->status == 409 && answer_code(a, "seats_unavailable") ? OUTCOME_REFUSED : OUTCOME_UNEXPECTED,
		     js->lock);
	journey_over(d, in->actor);
}

/* The booking, from the POST or a later GET. The booking's status stands before the payment's. */
static void booked(struct drive *d, const struct intent *in, const struct answer *a, struct journey *j)
{
	struct journeys *js = d->own;
	int named = in->step == JOURNEY_BOOK ? js->book : js->poll;
	bool good = a->status == (in->step == JOURNEY_BOOK ? 201 : 200);
	struct str status = STR_NULL;

	if (good && ANSWER_TEXT(a, "status", &status) && str_eqc(status, "payment_pending") &&
	    TAKE_ID(a, "booking_id", j->booking_id)) {
		count_answer(d, in, a, OUTCOME_STEP, named);
		if (in->step == JOURNEY_BOOK)
			j->pending_us = d->now_us;
		if (d->now_us - j->pending_us < POLL_MAX_US) {
			drive_count(d, in, js->polls);
			drive_at(d, d->now_us + POLL_EVERY_US, in->actor, 0);
			return;
		}
		if (counted(d, in))
			problem(d, PROBLEM_SCENARIO, "The payment of booking %s was pending for %d s.", j->booking_id,
				POLL_MAX_US / 1000000);
	} else {
		count_answer(d, in, a, good && str_eqc(status, "confirmed") ? OUTCOME_ACCEPTED : OUTCOME_UNEXPECTED,
			     named);
	}
	journey_over(d, in->actor);
}

void journey_answer(struct drive *d, const struct intent *in, const struct answer *a)
{
	struct journey *j = &((struct journeys *)d->own)->all[in->actor];

	j->in = *in;
	if (in->step == JOURNEY_LOCK)
		locked(d, in, a, j);
	else
		booked(d, in, a, j);
}
