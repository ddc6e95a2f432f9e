/*
 * Owns the statements of a batch: what is sent to PostgreSQL for it and how the answers are read. Two ways, with the same
 * results (tests/integration/test_lock_ways.py):
 *
 *   quick    one statement for all requests of a batch, whatever their shows: seat_lock_batch_free(). For requests that Redis
 *            has admitted and that replace nothing. Those in whose way something stands come back as SEAT_LOCK_CAREFUL,
 *            and nothing of them was kept.
 *   careful  a statement per show: seat_lock_batch(). Knows every reason to refuse, takes over what is over, replaces,
 *            counts strictly. The only way where PostgreSQL is distributed by show: a statement names one show.
 *
 * Called by seat_batch.c within a transaction of the batcher's own connection.
 */
#include "seat/seat_batch_int.h"

#include "base/xmalloc.h"
#include "io/crypto.h"
#include "seat/seat_sql.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

bool seat_decide_quick(const struct want *w)
{
	return w->w.admitted && w->w.revision && !w->careful && uuid_is_zero(&w->w.replaces);
}

/* ---- careful: show by show ---- */

struct seat_of {
	int32_t seat, req;
};

static int by_seat(const void *a, const void *b)
{
	const struct seat_of *x = a, *y = b;

	return x->seat < y->seat ? -1 : x->seat > y->seat;
}

static void add_change(struct want *w, uint32_t seat, uint8_t state, int64_t fence, int64_t left_ms,
		       const struct uuid *lock)
{
	w->changes[w->n_changes++] = (struct seat_change){
		.seat_no = seat, .state = state, .fence = (int32_t)fence, .left_ms = left_ms, .lock = *lock};
}

static void read_locked(struct seat_batch *b, struct want *w, const struct pg_result *r, int row)
{
	struct seat_lock_told *told = &w->told;
	int64_t *fences, *prices, *categories, *freed, *freed_fences, left_ms;
	struct str currency = pg_get_text(r, row, 7);
	size_t n;

	n = pg_get_ints(r, row, 3, &b->arena, &fences);
	pg_get_ints(r, row, 4, &b->arena, &prices);
	pg_get_ints(r, row, 5, &b->arena, &categories);
	assert(n == w->w.n_seats);
	told->total_minor = pg_get_int(r, row, 6);
	memcpy(told->currency, currency.p, currency.n < 3 ? currency.n : 3);
	told->created_us = pg_get_time(r, row, 8);
	told->expires_us = pg_get_time(r, row, 9);
	left_ms = (told->expires_us - told->created_us) / 1000;
	w->changes = arena_array(&b->arena, struct seat_change, n + SEAT_ASK_MAX);
	for (size_t i = 0; i < n; i++) {
		w->prices_minor[i] = prices[i];
		w->categories[i] = (int16_t)categories[i];
		add_change(w, w->w.seats[i], SEAT_LOCKED, fences[i], left_ms, &w->w.lock);
	}
	if (!pg_is_null(r, row, 15)) {
		n = pg_get_ints(r, row, 15, &b->arena, &freed);
		pg_get_ints(r, row, 16, &b->arena, &freed_fences);
		for (size_t i = 0; i < n && i < SEAT_ASK_MAX; i++)
			add_change(w, (uint32_t)freed[i], SEAT_FREE, freed_fences[i], 0, &w->w.replaces);
	}
	w->replaced = !uuid_is_zero(&w->w.replaces);
}

/* PostgreSQL disagrees with what Redis admitted: its truth is written back. */
static void read_taken(struct seat_batch *b, struct want *w, const struct pg_result *r, int row)
{
	int64_t *seats, *states, *fences, *ms;
	struct uuid *locks;
	size_t n = pg_get_ints(r, row, 10, &b->arena, &seats);

	pg_get_ints(r, row, 11, &b->arena, &states);
	pg_get_ints(r, row, 12, &b->arena, &fences);
	pg_get_uuids(r, row, 13, &b->arena, &locks);
	pg_get_ints(r, row, 14, &b->arena, &ms);
	w->changes = arena_array(&b->arena, struct seat_change, n);
	w->taken = xreallocarray(w->taken, n, sizeof(*w->taken));
	w->told.taken = w->taken;
	for (size_t i = 0; i < n && i < SEAT_ASK_MAX; i++) {
		w->taken[w->told.n_taken++] = (uint32_t)seats[i];
		add_change(w, (uint32_t)seats[i], (uint8_t)states[i], fences[i], ms[i] > 0 ? ms[i] : 0, &locks[i]);
	}
}

static void on_show(void *arg, const struct pg_answer *a)
{
	struct part *p = arg;

	if (a->status != PG_OK)
		return; /* the commit is answered with the same */
	assert((size_t)pg_rows(a->result) == p->n);
	for (int row = 0; row < (int)p->n; row++) {
		struct want *w = p->wants[row];

		w->outcome = (enum seat_lock_outcome)pg_get_int(a->result, row, 1);
		w->n_changes = 0;
		w->told.n_taken = 0;
		if (w->outcome == SEAT_LOCK_OK)
			read_locked(p->b, w, a->result, row);
		else if (w->outcome == SEAT_LOCK_TAKEN)
			read_taken(p->b, w, a->result, row);
	}
}

static void run_show(struct seat_batch *b, struct pg_tx *tx, struct part *p)
{
	struct uuid *locks = arena_array(&b->arena, struct uuid, p->n),
		    *sessions = arena_array(&b->arena, struct uuid, p->n);
	struct uuid *replaces = arena_array(&b->arena, struct uuid, p->n),
		    *notify = arena_array(&b->arena, struct uuid, p->n);
	struct str *hashes = arena_array(&b->arena, struct str, p->n);
	struct uuid *plans = arena_array(&b->arena, struct uuid, p->n);
	struct uuid outbox = crypto_uuid_v7(wall_now_us());
	struct seat_of *order;
	int32_t *seats, *reqs;
	struct pg_args args;
	size_t n = 0;

	for (size_t i = 0; i < p->n; i++)
		n += p->wants[i]->w.n_seats;
	order = arena_array(&b->arena, struct seat_of, n);
	seats = arena_array(&b->arena, int32_t, n);
	reqs = arena_array(&b->arena, int32_t, n);
	n = 0;
	for (size_t i = 0; i < p->n; i++) {
		const struct seat_lock_want *w = &p->wants[i]->w;

		locks[i] = w->lock;
		sessions[i] = w->session;
		replaces[i] = w->replaces;
		notify[i] = w->notify_buyer;
		plans[i] = w->plan;
		hashes[i] = (struct str){(const char *)w->hash, sizeof(w->hash)};
		for (uint32_t k = 0; k < w->n_seats; k++)
			order[n++] = (struct seat_of){(int32_t)w->seats[k], (int32_t)i + 1};
	}
	qsort(order, n, sizeof(*order), by_seat);
	for (size_t i = 0; i < n; i++) {
		seats[i] = order[i].seat;
		reqs[i] = order[i].req;
	}
	pg_args_init(&args, &b->arena);
	pg_arg_uuid(&args, &p->wants[0]->w.show);
	pg_arg_uuid(&args, &outbox);
	pg_arg_interval_us(&args, b->config.lifetime_us);
	pg_arg_i32(&args, (int32_t)b->config.locks_per_session);
	/* without Redis nobody has counted the session's locks across processes */
	pg_arg_bool(&args, !p->wants[0]->w.admitted);
	pg_arg_uuids(&args, locks, p->n);
	pg_arg_uuids(&args, sessions, p->n);
	pg_arg_uuids(&args, replaces, p->n);
	pg_arg_bytess(&args, hashes, p->n);
	pg_arg_uuids(&args, notify, p->n);
	pg_arg_i32s(&args, seats, n);
	pg_arg_i32s(&args, reqs, n);
	pg_arg_uuids(&args, plans, p->n);
	pg_tx_exec(tx, &seat_sql_lock_batch, &args, on_show, p);
}

/* ---- quick: all of them ---- */

/* A seat in the order in which rows are taken: by show, then by number. */
struct row_of {
	int32_t show, seat, req, at;
};

static int by_row(const void *a, const void *b)
{
	const struct row_of *x = a, *y = b;

	if (x->show != y->show)
		return x->show < y->show ? -1 : 1;
	return x->seat < y->seat ? -1 : x->seat > y->seat;
}

static void on_free(void *arg, const struct pg_answer *a)
{
	struct seat_batch *b = arg;
	struct want **wants = b->shows[0].wants; /* those of all shows, one after the other */
	int64_t *at, *fences, *careful, *by_place;
	size_t n = 0, n_got, n_careful, place = 0;
	int64_t created_us, expires_us;

	if (a->status != PG_OK)
		return;
	assert(pg_rows(a->result) == 1);
	created_us = pg_get_time(a->result, 0, 0);
	expires_us = pg_get_time(a->result, 0, 1);
	for (size_t i = 0; i < b->running->n; i++) {
		wants[i]->outcome = SEAT_LOCK_OK;
		n += wants[i]->w.n_seats;
	}
	by_place = arena_array(&b->arena, int64_t, n);
	n_got = pg_is_null(a->result, 0, 2) ? 0 : pg_get_ints(a->result, 0, 2, &b->arena, &at);
	if (n_got)
		pg_get_ints(a->result, 0, 3, &b->arena, &fences);
	for (size_t i = 0; i < n_got; i++) {
		assert(at[i] >= 1 && (size_t)at[i] <= n);
		by_place[at[i] - 1] = fences[i];
	}
	n_careful = pg_get_ints(a->result, 0, 4, &b->arena, &careful);
	for (size_t i = 0; i < n_careful; i++) {
		assert(careful[i] >= 1 && (size_t)careful[i] <= b->running->n);
		wants[careful[i] - 1]->outcome = SEAT_LOCK_CAREFUL;
	}
	for (size_t i = 0; i < b->running->n; i++) {
		struct want *w = wants[i];
		size_t first = place;

		place += w->w.n_seats;
		w->n_changes = 0;
		w->told.n_taken = 0;
		if (w->outcome != SEAT_LOCK_OK)
			continue;
		w->told.total_minor = w->w.total_minor;
		memcpy(w->told.currency, w->w.currency, sizeof(w->told.currency));
		w->told.created_us = created_us;
		w->told.expires_us = expires_us;
		w->replaced = false;
		w->changes = arena_array(&b->arena, struct seat_change, w->w.n_seats);
		for (uint32_t k = 0; k < w->w.n_seats; k++)
			add_change(w, w->w.seats[k], SEAT_LOCKED, by_place[first + k], (expires_us - created_us) / 1000,
				   &w->w.lock);
	}
}

/* The text that stands before the seat's fence in the row of the outbox; see the function for what it does with it. */
static struct str event_text(struct arena *arena, const struct seat_lock_want *w, uint32_t k)
{
	static const char open[] = "}},{\"type\":\"seat.locked\",\"show_id\":\"", lock[] = "\",\"lock_id\":\"",
			  seats[] = "\",\"seats\":{\"";
	char *text = arena_alloc(arena, sizeof(open) + sizeof(lock) + sizeof(seats) + 2 * UUID_TEXT + 16), *p = text,
	     digits[12];
	size_t i = sizeof(digits);
	uint32_t v = w->seats[k];

	if (k == 0) {
		memcpy(p, open, sizeof(open) - 1);
		uuid_format(&w->show, p += sizeof(open) - 1);
		memcpy(p += UUID_TEXT - 1, lock, sizeof(lock) - 1);
		uuid_format(&w->lock, p += sizeof(lock) - 1);
		memcpy(p += UUID_TEXT - 1, seats, sizeof(seats) - 1);
		p += sizeof(seats) - 1;
	} else {
		memcpy(p, ",\"", 2);
		p += 2;
	}
	do {
		digits[--i] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	memcpy(p, digits + i, sizeof(digits) - i);
	p += sizeof(digits) - i;
	memcpy(p, "\":", 2);
	return (struct str){text, (size_t)(p + 2 - text)};
}

/* Arrays of a piece of the batch: shows, requests or seats. */
#define NEW(type, n) arena_array(arena, type, (n) + 1)

static void shows_args(struct seat_batch *b, struct pg_args *args, struct arena *arena)
{
	struct uuid *shows = NEW(struct uuid, b->n_shows), *outbox = NEW(struct uuid, b->n_shows);
	int64_t *revisions = NEW(int64_t, b->n_shows);

	for (size_t s = 0; s < b->n_shows; s++) {
		shows[s] = b->shows[s].wants[0]->w.show;
		outbox[s] = crypto_uuid_v7(wall_now_us());
		/* the show changed while they came in: none of them is right for sure */
		revisions[s] = b->shows[s].wants[0]->w.revision;
		for (size_t i = 1; i < b->shows[s].n; i++)
			if (b->shows[s].wants[i]->w.revision != revisions[s])
				revisions[s] = 0;
	}
	pg_arg_uuids(args, shows, b->n_shows);
	pg_arg_i64s(args, revisions, b->n_shows);
	pg_arg_uuids(args, outbox, b->n_shows);
}

static void requests_args(struct seat_batch *b, struct pg_args *args, struct arena *arena)
{
	size_t n = b->running->n, i = 0;
	int32_t *shows = NEW(int32_t, n), *from = NEW(int32_t, n), *to = NEW(int32_t, n), place = 0;
	struct uuid *locks = NEW(struct uuid, n), *sessions = NEW(struct uuid, n), *notify = NEW(struct uuid, n);
	struct str *hashes = NEW(struct str, n), *currencies = NEW(struct str, n);
	int64_t *totals = NEW(int64_t, n);
	bool *known = NEW(bool, n);

	for (size_t s = 0; s < b->n_shows; s++) {
		for (size_t k = 0; k < b->shows[s].n; k++, i++) {
			const struct want *want = b->shows[s].wants[k];
			const struct seat_lock_want *w = &want->w;

			shows[i] = (int32_t)s + 1;
			locks[i] = w->lock;
			sessions[i] = w->session;
			hashes[i] = (struct str){(const char *)w->hash, sizeof(w->hash)};
			notify[i] = w->notify_buyer;
			totals[i] = w->total_minor;
			currencies[i] = str_from(w->currency);
			known[i] = w->has_key || want->maybe;
			from[i] = place + 1;
			to[i] = place += (int32_t)w->n_seats;
		}
	}
	pg_arg_i32s(args, shows, n);
	pg_arg_uuids(args, locks, n);
	pg_arg_uuids(args, sessions, n);
	pg_arg_bytess(args, hashes, n);
	pg_arg_uuids(args, notify, n);
	pg_arg_i64s(args, totals, n);
	pg_arg_texts(args, currencies, n);
	pg_arg_bools(args, known, n);
	pg_arg_i32s(args, from, n);
	pg_arg_i32s(args, to, n);
}

static void seats_args(struct seat_batch *b, struct pg_args *args, struct arena *arena, size_t n)
{
	int32_t *seats = NEW(int32_t, n), *w_show = NEW(int32_t, n), *w_seat = NEW(int32_t, n),
		*w_req = NEW(int32_t, n), *w_at = NEW(int32_t, n), req = 0;
	int64_t *prices = NEW(int64_t, n);
	int16_t *categories = NEW(int16_t, n);
	struct str *events = NEW(struct str, n), *w_event = NEW(struct str, n);
	struct row_of *rows = NEW(struct row_of, n);
	size_t at = 0;

	for (size_t s = 0; s < b->n_shows; s++) {
		for (size_t i = 0; i < b->shows[s].n; i++) {
			const struct seat_lock_want *w = &b->shows[s].wants[i]->w;

			req++;
			for (uint32_t k = 0; k < w->n_seats; k++, at++) {
				seats[at] = (int32_t)w->seats[k];
				prices[at] = w->prices_minor[k];
				categories[at] = w->categories[k];
				events[at] = event_text(arena, w, k);
				rows[at] = (struct row_of){(int32_t)s + 1, (int32_t)w->seats[k], req, (int32_t)at + 1};
			}
		}
	}
	qsort(rows, n, sizeof(*rows), by_row);
	for (size_t i = 0; i < n; i++) {
		w_show[i] = rows[i].show;
		w_seat[i] = rows[i].seat;
		w_req[i] = rows[i].req;
		w_at[i] = rows[i].at;
		w_event[i] = events[rows[i].at - 1];
	}
	pg_arg_i32s(args, seats, n);
	pg_arg_i64s(args, prices, n);
	pg_arg_i16s(args, categories, n);
	pg_arg_i32s(args, w_show, n);
	pg_arg_i32s(args, w_seat, n);
	pg_arg_i32s(args, w_req, n);
	pg_arg_i32s(args, w_at, n);
	pg_arg_texts(args, w_event, n);
}

/* Requests that number their seats by different plans have different revisions too: those shows go the careful way. */
static void plans_arg(struct seat_batch *b, struct pg_args *args, struct arena *arena)
{
	struct uuid *plans = NEW(struct uuid, b->n_shows);

	for (size_t s = 0; s < b->n_shows; s++)
		plans[s] = b->shows[s].wants[0]->w.plan;
	pg_arg_uuids(args, plans, b->n_shows);
}

/* The one statement is the whole transaction. */
static void on_free_done(void *arg, const struct pg_answer *a)
{
	struct seat_batch *b = arg;

	on_free(b, a);
	b->decided(b, a);
}

static void run_free(struct seat_batch *b, int64_t deadline_ms)
{
	struct pg_args args;
	struct pg_tx *tx;
	size_t n = 0;

	for (size_t i = 0; i < b->running->n; i++)
		n += b->shows[0].wants[i]->w.n_seats;
	pg_args_init(&args, &b->arena);
	pg_arg_interval_us(&args, b->config.lifetime_us);
	pg_arg_i32(&args, (int32_t)b->config.locks_per_session);
	shows_args(b, &args, &b->arena);
	requests_args(b, &args, &b->arena);
	seats_args(b, &args, &b->arena, n);
	plans_arg(b, &args, &b->arena);
	if (pg_lane_query_start(b->lane, &seat_sql_lock_batch_free, &args, deadline_ms, on_free_done, b))
		return;
	tx = pg_tx_start(b->config.pg, b->lane, deadline_ms);
	pg_tx_exec(tx, &seat_sql_lock_batch_free, &args, on_free, b);
	pg_tx_commit(tx, b->decided, b);
}

void seat_decide(struct seat_batch *b, bool careful, int64_t deadline_ms, pg_fn *done)
{
	struct pg_tx *tx;

	b->decided = done;
	if (!careful) {
		run_free(b, deadline_ms);
		return;
	}
	tx = pg_tx_start(b->config.pg, b->lane, deadline_ms);
	for (size_t s = 0; s < b->n_shows; s++)
		run_show(b, tx, &b->shows[s]);
	pg_tx_commit(tx, done, b);
}
