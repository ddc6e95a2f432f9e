/*
 * Owns the queue of wants, the batch under way and the parts of one that failed. See the header for the states.
 *
 *   queue --form--> batch --run--> (commit ok) write back --end of the turn--> tell
 *                     ^  |
 *                     |  +-- error --> split --> parts (run one after the other, before the queue)
 *                     +----- unknown, no connection: wait a little, the same batch again
 */
#include "base/xmalloc.h"
#include "io/metrics_table.h"
#include "seat/seat_batch_int.h"
#include "seat/test_hook.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
	TRY_MS = 2000,	   /* one transaction */
	TRY_MIN_MS = 1000, /* the last one before a deadline: cutting it shorter would only make its outcome unknown */
	RETRY_MS = 50,
	AGAIN_MS = 5,		 /* the sweeper is just ending the lock that is to be taken over */
	ROW_RETRY_MS = 250,	 /* somebody holds a row: meanwhile the others get on */
	UNKNOWN_LIFE_MS = 60000, /* then the auditor's comparison is what is left */
	SCAN_MAX = 2000,	 /* queued requests looked at when forming a batch */
	TAKEN_SLOTS = 8192,	 /* of the set of seats in a batch; a power of two */
	SEATS_MAX = 2000,	 /* in a batch */
	PACE_REQUESTS = 16,	 /* a batch that tells how quick we are */
	PACE_FIRST_NS = 50000,	 /* until one has */
};

static void batch_go(void *arg);
static void on_clock(void *arg);
static void tell_all(void *arg);

struct seat_batch *seat_batch_new(const struct seat_batch_config *config)
{
	struct seat_batch *b = xcalloc(1, sizeof(*b));

	b->config = *config;
	b->each_ns = PACE_FIRST_NS;
	b->lane = pg_lane_new(config->pg);
	list_init(&b->queue);
	list_init(&b->parts);
	list_init(&b->told);
	arena_init(&b->arena);
	b->start = deferred_new(config->loop, batch_go, b);
	b->tell = deferred_new(config->loop, tell_all, b);
	b->again = timer_new(config->loop, batch_go, b);
	b->parked = timer_new(config->loop, batch_go, b);
	b->clock = timer_new(config->loop, on_clock, b);
	b->taken = xcalloc(TAKEN_SLOTS, sizeof(*b->taken));
	b->used = xcalloc(TAKEN_SLOTS, sizeof(*b->used));
	return b;
}

bool seat_batch_ready(const struct seat_batch *b)
{
	return pg_lane_ready(b->lane);
}

size_t seat_batch_waiting(const struct seat_batch *b)
{
	return b->n_queue;
}

int64_t seat_batch_wait_us(const struct seat_batch *b, size_t ahead)
{
	return (int64_t)ahead * b->each_ns / 1000;
}

/* A batch starts. Small ones say nothing: most of what they take does not grow with their number. */
static void take_pace(struct seat_batch *b, int64_t now_us, size_t n)
{
	if (b->started_n >= PACE_REQUESTS) {
		int64_t each_ns = (now_us - b->started_us) * 1000 / (int64_t)b->started_n;

		b->each_ns += (each_ns - b->each_ns) / 8;
	}
	b->started_us = now_us;
	b->started_n = n;
}

static void want_free(struct want *w)
{
	list_remove(&w->link);
	free(w->taken);
	free(w);
}

static void batch_free(struct batch *t)
{
	list_remove(&t->link);
	list_for_each(at, next, &t->wants)
		want_free(list_entry(at, struct want, link));
	free(t);
}

void seat_batch_free(struct seat_batch *b)
{
	if (!b)
		return;
	list_for_each(at, next, &b->queue)
		want_free(list_entry(at, struct want, link));
	list_for_each(dt, dnext, &b->told)
		want_free(list_entry(dt, struct want, link));
	list_for_each(pt, pnext, &b->parts)
		batch_free(list_entry(pt, struct batch, link));
	if (b->running)
		batch_free(b->running);
	pg_lane_free(b->lane);
	deferred_free(b->start);
	deferred_free(b->tell);
	timer_free(b->again);
	timer_free(b->parked);
	timer_free(b->clock);
	arena_done(&b->arena);
	free(b->taken);
	free(b->used);
	free(b);
}

/* ---- telling ---- */

static void want_tell(struct want *w, enum seat_lock_outcome outcome)
{
	seat_lock_fn *fn = w->fn;

	if (!fn)
		return;
	w->fn = NULL;
	w->told.outcome = outcome;
	w->told.prices_minor = w->w.prices_minor;
	w->told.categories = w->w.categories;
	fn(w->arg, &w->told);
}

/* other: the id is that of another request's lock, which goes on counting for the session. */
static void withdraw(struct seat_batch *b, const struct want *w, bool other)
{
	struct seat_change changes[SEAT_ASK_MAX];
	struct seat_session_change session = {w->w.session, w->w.lock, 0};

	if (!w->w.marked)
		return;
	for (uint32_t i = 0; i < w->w.n_seats; i++)
		changes[i] = (struct seat_change){
			.seat_no = w->w.seats[i], .state = SEAT_WITHDRAW, .fence = 0, .left_ms = 0, .lock = w->w.lock};
	seat_map_apply(b->config.map, &w->w.show, changes, w->w.n_seats, &session, other ? 0 : 1, 0, NULL, NULL);
}

/* Nothing of it took effect. */
static void want_refuse(struct seat_batch *b, struct want *w, enum seat_lock_outcome outcome)
{
	withdraw(b, w, false);
	want_tell(w, outcome);
	want_free(w);
}

/* Requests past their deadline are told, wherever they stand; one that may have happened stays until it is known. */
static void on_clock(void *arg)
{
	struct seat_batch *b = arg;
	int64_t now = loop_now_us(b->config.loop), next_us = INT64_MAX;

	list_for_each(at, next, &b->queue) {
		struct want *w = list_entry(at, struct want, link);

		if (w->deadline_us > now) {
			next_us = w->deadline_us;
			break; /* in order of arrival, so of deadline */
		}
		b->n_queue--;
		want_refuse(b, w, SEAT_LOCK_UNAVAILABLE);
	}
	list_for_each(pt, pnext, &b->parts) {
		struct batch *t = list_entry(pt, struct batch, link);

		list_for_each(wt, wnext, &t->wants) {
			struct want *w = list_entry(wt, struct want, link);

			if (w->deadline_us > now) {
				next_us = w->deadline_us < next_us ? w->deadline_us : next_us;
			} else if (w->maybe) {
				want_tell(w, SEAT_LOCK_UNKNOWN);
			} else {
				t->n--;
				want_refuse(b, w, SEAT_LOCK_UNAVAILABLE);
			}
		}
		if (t->n == 0)
			batch_free(t);
	}
	if (next_us != INT64_MAX)
		timer_set_ms(b->clock, (next_us - now) / 1000 + 1);
}

/* ---- forming a batch ---- */

static uint64_t mix(uint64_t h, const void *p, size_t n)
{
	const uint8_t *q = p;

	for (size_t i = 0; i < n; i++)
		h = (h ^ q[i]) * UINT64_C(1099511628211);
	return h ^ h >> 29;
}

/* Two different things with the same hash only make one of them wait. */
static bool set_has_or_add(struct seat_batch *b, uint64_t h, bool add)
{
	size_t i = h & (TAKEN_SLOTS - 1);

	h = h ? h : 1;
	for (; b->taken[i]; i = (i + 1) & (TAKEN_SLOTS - 1))
		if (b->taken[i] == h)
			return true;
	if (add) {
		b->taken[i] = h;
		b->used[b->n_used++] = (uint32_t)i;
	}
	return false;
}

static size_t want_keys(const struct want *w, uint64_t *keys)
{
	uint64_t show = mix(UINT64_C(14695981039346656037), w->w.show.b, 16);
	size_t n = 0;

	for (uint32_t i = 0; i < w->w.n_seats; i++)
		keys[n++] = mix(show, &w->w.seats[i], sizeof(w->w.seats[i]));
	keys[n++] = mix(mix(show, "session", 7), w->w.session.b, 16);
	keys[n++] = mix(mix(show, "lock", 4), w->w.lock.b, 16);
	if (!uuid_is_zero(&w->w.replaces))
		keys[n++] = mix(mix(show, "lock", 4), w->w.replaces.b, 16);
	return n;
}

static struct batch *batch_empty(void)
{
	struct batch *t = xcalloc(1, sizeof(*t));

	list_init(&t->link);
	list_init(&t->wants);
	return t;
}

static struct batch *batch_form(struct seat_batch *b)
{
	struct batch *t = batch_empty();
	uint64_t keys[SEAT_ASK_MAX + 3];
	size_t seats = 0, scanned = 0;

	/* a batch of one is common, and clearing everything would be most of its cost */
	while (b->n_used)
		b->taken[b->used[--b->n_used]] = 0;
	list_for_each(at, next, &b->queue) {
		struct want *w = list_entry(at, struct want, link);
		size_t n = want_keys(w, keys);
		bool careful = b->config.by_show || !seat_decide_quick(w), waits;

		if (list_empty(&t->wants))
			t->careful = careful;
		waits = careful != t->careful;
		if (++scanned > SCAN_MAX || t->n == b->config.requests_max || seats + n > SEATS_MAX)
			break;
		for (size_t i = 0; i < n && !waits; i++)
			waits = set_has_or_add(b, keys[i], false);
		/* also one that waits keeps its place: who comes after it and overlaps waits too */
		for (size_t i = 0; i < n; i++)
			set_has_or_add(b, keys[i], true);
		seats += n;
		if (waits)
			continue;
		list_remove(&w->link);
		b->n_queue--;
		list_append(&t->wants, &w->link);
		t->n++;
	}
	return t;
}

/* ---- running one ---- */

static int by_show(const void *a, const void *b)
{
	const struct want *x = *(struct want *const *)a, *y = *(struct want *const *)b;

	return uuid_cmp(&x->w.show, &y->w.show);
}

static void write_back(struct seat_batch *b, struct part *p)
{
	size_t n = 0, n_sessions = 0;
	struct seat_change *changes;
	struct seat_session_change *sessions;

	for (size_t i = 0; i < p->n; i++)
		n += p->wants[i]->n_changes;
	changes = arena_array(&b->arena, struct seat_change, n);
	sessions = arena_array(&b->arena, struct seat_session_change, 2 * p->n);
	n = 0;
	for (size_t i = 0; i < p->n; i++) {
		struct want *w = p->wants[i];

		if (w->n_changes)
			memcpy(changes + n, w->changes, w->n_changes * sizeof(*changes));
		n += w->n_changes;
		if (w->outcome != SEAT_LOCK_OK)
			continue;
		if (!w->w.admitted) /* else it is counted since its admission */
			sessions[n_sessions++] = (struct seat_session_change){
				w->w.session, w->w.lock, (w->told.expires_us - w->told.created_us) / 1000};
		if (w->replaced)
			sessions[n_sessions++] = (struct seat_session_change){w->w.session, w->w.replaces, 0};
	}
	if (n)
		seat_map_apply(b->config.map, &p->wants[0]->w.show, changes, n, sessions, n_sessions, 0, NULL, NULL);
}

static void batch_push(struct seat_batch *b, struct batch *t, bool front)
{
	if (t->n == 0)
		batch_free(t);
	else if (front)
		list_prepend(&b->parts, &t->link);
	else
		list_append(&b->parts, &t->link);
}

static void batch_move(struct batch *to, struct want *w)
{
	list_remove(&w->link);
	list_append(&to->wants, &w->link);
	to->n++;
}

static void batch_committed(struct seat_batch *b)
{
	struct batch *again = batch_empty(), *careful = batch_empty();

	test_crash("after_commit");
	/* Redis is told before the buyers are, so that what they do next, perhaps through another process, comes after it
	 * there: what is sent to Redis leaves at the end of the turn, and the buyers are told behind that. */
	for (size_t s = 0; s < b->n_shows; s++)
		write_back(b, &b->shows[s]);
	seat_map_flush(b->config.map);
	for (size_t s = 0; s < b->n_shows; s++) {
		for (size_t i = 0; i < b->shows[s].n; i++) {
			struct want *w = b->shows[s].wants[i];

			if (w->outcome == SEAT_LOCK_AGAIN || w->outcome == SEAT_LOCK_CAREFUL) {
				w->careful = w->careful || w->outcome == SEAT_LOCK_CAREFUL;
				batch_move(w->outcome == SEAT_LOCK_CAREFUL ? careful : again, w);
				continue;
			}
			if (w->outcome != SEAT_LOCK_OK && w->outcome != SEAT_LOCK_EXISTS)
				withdraw(b, w, w->outcome == SEAT_LOCK_MISMATCH);
			list_remove(&w->link);
			list_append(&b->told, &w->link);
		}
	}
	deferred_post(b->tell);
	again->careful = careful->careful = true;
	again->not_before_us = loop_now_us(b->config.loop) + AGAIN_MS * INT64_C(1000);
	batch_push(b, careful, false);
	batch_push(b, again, false);
}

static void tell_all(void *arg)
{
	struct seat_batch *b = arg;
	struct want *w;

	while ((w = list_first(&b->told, struct want, link))) {
		want_tell(w, w->outcome);
		want_free(w);
	}
}

/* An error: by show first, then by halves, down to the one that causes it. The parts stand behind those that are there
 * already. waited: a row was waited for in vain, and would be at every halving: so it is not halves then but eighths. */
static void batch_split(struct seat_batch *b, struct batch *t, bool waited)
{
	size_t eighths = t->n < 8 ? t->n : 8, at = 0, half, parts = waited ? eighths : b->n_shows > 1 ? b->n_shows : 2;
	struct batch **to = arena_array(&b->arena, struct batch *, parts);

	metric_add(b->config.metrics, METRIC_BATCH_RETRIES, 0, 0, 1);
	for (size_t i = 0; i < parts; i++) {
		to[i] = batch_empty();
		to[i]->careful = t->careful;
	}
	for (size_t s = 0; s < b->n_shows; s++) {
		for (size_t i = 0; i < b->shows[s].n; i++) {
			half = i * 2 / b->shows[s].n;
			batch_move(to[waited	       ? at++ * eighths / t->n
				      : b->n_shows > 1 ? s
						       : half],
				   b->shows[s].wants[i]);
		}
	}
	t->n = 0;
	for (size_t i = 0; i < parts; i++)
		batch_push(b, to[i], false);
}

static void on_commit(void *arg, const struct pg_answer *a)
{
	struct seat_batch *b = arg;
	struct batch *t = b->running;
	int64_t now = loop_now_us(b->config.loop);
	bool wait = false;

	b->running = NULL;
	metric_observe(b->config.metrics, METRIC_BATCH_SECONDS, 0, 0, now - b->started_us);
	if (a->status == PG_OK) {
		batch_committed(b);
	} else if (a->status == PG_ERROR && t->n > 1) {
		batch_split(b, t, strcmp(a->sqlstate, "55P03") == 0);
	} else if (a->status == PG_ERROR) {
		struct want *w = list_first(&t->wants, struct want, link);

		/* the id is there: another process has just made this very lock (one key asked twice at once); next time it is seen */
		bool twin = strcmp(a->sqlstate, "23505") == 0 && w->transient < 3;

		if ((twin || pg_error_is_transient(a)) && ++w->transient < 40) {
			batch_move(t, w);
			t->n = 1;
			t->not_before_us =
				now + (strcmp(a->sqlstate, "55P03") == 0 ? ROW_RETRY_MS : RETRY_MS) * INT64_C(1000);
			batch_push(b, t, false);
			t = NULL;
		} else {
			/* what might work again (a full disk, no memory over there) is not this request's fault */
			t->n = 0;
			/* BX001: the show has another plan by now (show_plans_hold); nothing of it was kept */
			want_refuse(b, w,
				    w->maybe ? SEAT_LOCK_UNKNOWN
				    : pg_error_is_transient(a) || strcmp(a->sqlstate, "BX001") == 0
					    ? SEAT_LOCK_UNAVAILABLE
					    : SEAT_LOCK_INTERNAL);
		}
	} else {
		/* not sent, or not known: the very same again; on_clock answers those whose time is over */
		list_for_each(at, next, &t->wants) {
			struct want *w = list_entry(at, struct want, link);

			if (a->status == PG_UNKNOWN) {
				if (!w->maybe)
					w->give_up_us = now + UNKNOWN_LIFE_MS * INT64_C(1000);
				w->maybe = true;
			}
			if (w->maybe && now > w->give_up_us) {
				want_tell(w, SEAT_LOCK_UNKNOWN);
				want_free(w);
				t->n--;
			}
		}
		batch_push(b, t, true);
		t = NULL;
		wait = true;
	}
	if (t)
		batch_free(t);
	arena_reset(&b->arena);
	on_clock(b);
	if (wait)
		timer_set_ms(b->again, RETRY_MS);
	else if (b->n_queue || !list_empty(&b->parts))
		deferred_post(b->start);
	if (wait || !b->n_queue)
		b->started_n = 0;
}

static void batch_run(struct seat_batch *b, struct batch *t)
{
	struct want **all = arena_array(&b->arena, struct want *, t->n);
	int64_t now = loop_now_us(b->config.loop), try_ms = TRY_MS;
	size_t n = 0;

	b->running = t;
	take_pace(b, now, t->n);
	list_for_each(at, next, &t->wants) {
		struct want *w = list_entry(at, struct want, link);

		all[n++] = w;
		if (!w->maybe && (w->deadline_us - now) / 1000 < try_ms)
			try_ms = (w->deadline_us - now) / 1000;
	}
	assert(n == t->n);
	qsort(all, n, sizeof(*all), by_show);
	metric_observe(b->config.metrics, METRIC_BATCH_SIZE, 0, 0, (int64_t)n);
	b->shows = arena_array(&b->arena, struct part, n);
	b->n_shows = 0;
	for (size_t i = 0; i < n; i++) {
		if (i == 0 || by_show(&all[i - 1], &all[i]) != 0) {
			b->shows[b->n_shows].b = b;
			b->shows[b->n_shows++].wants = &all[i];
		}
		b->shows[b->n_shows - 1].n++;
		/* strict if anybody of the show is */
		if (!all[i]->w.admitted) {
			struct want **first = b->shows[b->n_shows - 1].wants, *swap = *first;

			*first = all[i];
			all[i] = swap;
		}
	}
	seat_decide(b, t->careful, try_ms < TRY_MIN_MS ? TRY_MIN_MS : try_ms, on_commit);
}

static void batch_go(void *arg)
{
	struct seat_batch *b = arg;
	struct batch *t = NULL;
	int64_t now = loop_now_us(b->config.loop), next_us = INT64_MAX;

	if (b->running || timer_is_set(b->again))
		return;
	list_for_each(at, next, &b->parts) {
		struct batch *part = list_entry(at, struct batch, link);

		if (part->not_before_us <= now) {
			t = part;
			list_remove(&t->link);
			break;
		}
		next_us = part->not_before_us < next_us ? part->not_before_us : next_us;
	}
	if (!t && b->n_queue)
		t = batch_form(b);
	if (t)
		batch_run(b, t);
	else if (next_us != INT64_MAX)
		timer_set_ms(b->parked, (next_us - now) / 1000 + 1);
}

void seat_batch_lock(struct seat_batch *b, const struct seat_lock_want *want, seat_lock_fn *fn, void *arg)
{
	size_t n = want->n_seats;
	struct want *w =
		xmalloc(sizeof(*w) + n * (sizeof(*w->prices_minor) + sizeof(*w->seats) + sizeof(*w->categories)));

	memset(w, 0, sizeof(*w));
	list_init(&w->link);
	w->w = *want;
	w->seats = (uint32_t *)(w->prices_minor + n);
	w->categories = (int16_t *)(w->seats + n);
	memcpy(w->prices_minor, want->prices_minor, n * sizeof(*w->prices_minor));
	memcpy(w->seats, want->seats, n * sizeof(*w->seats));
	memcpy(w->categories, want->categories, n * sizeof(*w->categories));
	w->w.prices_minor = w->prices_minor;
	w->w.seats = w->seats;
	w->w.categories = w->categories;
	w->fn = fn;
	w->arg = arg;
	w->deadline_us = loop_now_us(b->config.loop) + b->config.deadline_ms * 1000;
	/* The queue is bounded by who answers requests: lock_post_full. */
	list_append(&b->queue, &w->link);
	b->n_queue++;
	if (!timer_is_set(b->clock))
		timer_set_ms(b->clock, b->config.deadline_ms);
	if (!b->running)
		deferred_post(b->start);
}
