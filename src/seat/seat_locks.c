/*
 * POST .../locks: one request on its way through the service. A table of steps would hide that there are two loops
 * (best seats chosen again after a conflict; a limit checked against PostgreSQL), so the way is drawn instead:
 *
 *   show --> read ask --> [best: read map, choose] --> admit --> batch --> answer
 *                ^                  ^    |               |         |
 *                |                  |    +- none: 409    |         +- taken: 409, or choose again (best)
 *                +- lock id known   +--- taken (best) ---+- taken: 409
 *                   already: answer                      +- limit: which of them are over? -> admit again, or 409
 */
#include "seat/seat_locks.h"

#include "base/xmalloc.h"
#include "io/crypto.h"
#include "io/metrics_table.h"
#include "seat/best.h"
#include "seat/seat_sql.h"
#include "seat/seat_store.h"
#include "seat/test_hook.h"

#include <stdlib.h>
#include <string.h>

enum { BEST_TRIES_MAX = 12, QUERY_MS = 3000, NEVER_MADE_MS = 70000 /* a lost commit is repeated for a minute */ };

struct flow {
	struct seat_service *s;
	struct web_call *call;
	struct show *show;
	struct idempotent idem;
	struct seat_ask *ask; /* like the arrays of want: memory of the request */
	struct seat_lock_want want;
	uint8_t *taken; /* best: a byte per seat */
	int tries;
	bool limit_checked, looked_up;
	bool fresh; /* the show was read just now */
	/* locked as often as allowed: only a lock that is there already is still answered */
	enum limit limited_by;
	int64_t limited_ms;
};

static void flow_admit(struct flow *f);
static void flow_choose(struct flow *f);
static void flow_read_map(struct flow *f);

static void count(struct flow *f, enum metric_lock_outcome outcome)
{
	metric_add(f->s->config.metrics, METRIC_LOCKS, (int)outcome, 0, 1);
}

static void flow_free(struct flow *f)
{
	f->s->open_locks--;
	show_unref(f->show);
	free(f->taken);
	free(f);
}

static void refuse(struct flow *f, enum err code, const char *detail, enum metric_lock_outcome outcome)
{
	count(f, outcome);
	web_refuse(f->call, code, detail);
	flow_free(f);
}

static void refuse_taken(struct flow *f, const uint32_t *seats, uint32_t n, enum metric_lock_outcome outcome)
{
	struct jw *w = web_problem(f->call, ERR_SEATS_UNAVAILABLE, NULL);

	count(f, outcome);
	jw_key(w, "unavailable");
	jw_arr(w);
	for (uint32_t i = 0; i < n; i++)
		jw_str(w, plan_seat_guid(f->show->plan, seats[i]));
	jw_arr_end(w);
	web_problem_end(f->call);
	flow_free(f);
}

static void refuse_not_on_sale(struct flow *f)
{
	struct jw *w;

	count(f, LOCK_OUTCOME_NOT_ON_SALE);
	w = web_problem(f->call, ERR_NOT_ON_SALE, NULL);
	jw_ktime(w, "sale_starts_at", f->show->sale_starts_at_us);
	jw_ktime(w, "sale_ends_at", f->show->sale_ends_at_us);
	web_problem_end(f->call);
	flow_free(f);
}

static void refuse_limit(struct flow *f)
{
	struct jw *w = web_problem(f->call, ERR_LOCK_LIMIT, NULL);

	count(f, LOCK_OUTCOME_LIMIT);
	jw_kint(w, "limit", f->s->config.locks_per_session);
	web_problem_end(f->call);
	flow_free(f);
}

static void refuse_often(struct flow *f)
{
	count(f, LOCK_OUTCOME_RATE);
	web_limit_refuse(f->call, f->limited_by, f->limited_ms);
	flow_free(f);
}

static void forget_release(void *arg, enum pg_status status, enum lock_state found)
{
	/* what could not be released now expires by itself */
}

static void answer_locked(struct flow *f, const struct seat_lock_told *told)
{
	int64_t seats[SEAT_ASK_MAX];
	struct lock_view v = {.lock_id = f->want.lock,
			      .show_id = f->want.show,
			      .state = LOCK_ACTIVE,
			      .n = f->want.n_seats,
			      .seats = seats,
			      .prices_minor = told->prices_minor,
			      .total_minor = told->total_minor,
			      .currency = told->currency,
			      .expires_us = told->expires_us,
			      .now_us = told->created_us};

	count(f, LOCK_OUTCOME_LOCKED);
	web_hold_made(f->call);
	if (http_req_hung_up(f->call->req) && !f->idem.has_key)
		/* nobody can ever ask for this lock again: the seats go back at once */
		lock_release(f->s, &f->want.show, &f->want.lock, &f->want.session, forget_release, NULL);
	for (uint32_t i = 0; i < f->want.n_seats; i++)
		seats[i] = f->want.seats[i];
	lock_write(web_json(f->call), &v, f->show->plan);
	web_json_end(f->call, 201);
	flow_free(f);
}

/* ---- a lock that is there already ---- */

static void withdraw_marks(struct flow *f, const struct lock_view *alive);

static void on_existing(void *arg, const struct pg_answer *a)
{
	struct flow *f = arg;
	struct lock_view v;
	struct str hash;

	if (a->status != PG_OK) {
		refuse(f, ERR_UNAVAILABLE, NULL, LOCK_OUTCOME_UNAVAILABLE);
		return;
	}
	if (pg_rows(a->result) == 0) {
		/* looked up before the attempt: it is a first time after all */
		f->looked_up = true;
		if (f->limited_ms)
			refuse_often(f);
		else if (f->ask->best)
			flow_choose(f);
		else
			flow_admit(f);
		return;
	}
	hash = pg_get_bytes(a->result, 0, 9);
	if (!str_eq(hash, idempotent_hash(&f->idem))) {
		withdraw_marks(f, NULL);
		refuse(f, ERR_IDEMPOTENCY_MISMATCH, NULL, LOCK_OUTCOME_INVALID);
		return;
	}
	count(f, LOCK_OUTCOME_REPEATED);
	lock_view_read(a->result, 0, f->call->arena, &v);
	v.lock_id = f->want.lock;
	v.show_id = f->want.show;
	withdraw_marks(f, v.state == LOCK_ACTIVE || v.state == LOCK_PAYING || v.state == LOCK_BOOKED ? &v : NULL);
	lock_write(web_json(f->call), &v, f->show->plan);
	web_json_end(f->call, 201);
	flow_free(f);
}

static void flow_look_up(struct flow *f)
{
	lock_get(f->s->config.pg, f->call->arena, &f->want.show, &f->want.lock, &f->want.session, on_existing, f);
}

/* ---- the decision ---- */

/* Takes back the pending marks of this request, except on seats that its lock does hold: there they are true, and stand in
 * until what was committed is written back. alive: that lock, or NULL. */
static void withdraw_marks(struct flow *f, const struct lock_view *alive)
{
	struct seat_change changes[SEAT_ASK_MAX];
	size_t n = 0;

	for (uint32_t i = 0; i < f->want.n_seats && f->want.marked; i++) {
		bool held = false;

		for (size_t k = 0; alive && k < alive->n; k++)
			held = held || alive->seats[k] == (int64_t)f->want.seats[i];
		if (!held)
			changes[n++] = (struct seat_change){
				.seat_no = f->want.seats[i], .state = SEAT_WITHDRAW, .lock = f->want.lock};
	}
	if (n)
		seat_map_apply(f->s->config.map, &f->want.show, changes, n, NULL, 0, 0, NULL, NULL);
	f->want.marked = false;
}

/* false: the seats were named by the buyer, or too many tries were lost; nothing was begun. */
static bool choose_again(struct flow *f, const uint32_t *taken, uint32_t n)
{
	if (!f->ask->best || ++f->tries >= BEST_TRIES_MAX)
		return false;
	for (uint32_t i = 0; i < n; i++)
		f->taken[taken[i]] = 1;
	/* in a crowd the seats just lost are the least of what has gone meanwhile */
	if (f->tries % 2)
		flow_choose(f);
	else
		flow_read_map(f);
	return true;
}

/* With the times of sale as they are now; if they cannot be had, as they were. */
static void on_closed(void *arg, enum err err, struct show *show)
{
	struct flow *f = arg;

	if (err == ERR_NONE) {
		show_unref(f->show);
		f->show = show_ref(show);
	}
	refuse_not_on_sale(f);
}

static void on_told(void *arg, const struct seat_lock_told *told)
{
	struct flow *f = arg;

	switch (told->outcome) {
	case SEAT_LOCK_OK:
		answer_locked(f, told);
		return;
	case SEAT_LOCK_TAKEN:
		if (!choose_again(f, told->taken, told->n_taken))
			refuse_taken(f, told->taken, told->n_taken, LOCK_OUTCOME_TAKEN_DATABASE);
		return;
	case SEAT_LOCK_NOT_ON_SALE:
		event_show_forget(f->s->config.event, &f->want.show);
		event_show_get(f->s->config.event, &f->want.show, on_closed, f);
		return;
	case SEAT_LOCK_LIMIT:
		refuse_limit(f);
		return;
	case SEAT_LOCK_NO_SHOW:
		refuse(f, ERR_NOT_FOUND, "There is no such show.", LOCK_OUTCOME_INVALID);
		return;
	case SEAT_LOCK_MISMATCH:
		refuse(f, ERR_IDEMPOTENCY_MISMATCH, NULL, LOCK_OUTCOME_INVALID);
		return;
	case SEAT_LOCK_EXISTS:
		flow_look_up(f);
		return;
	case SEAT_LOCK_NO_REPLACED:
		refuse(f, ERR_LOCK_EXPIRED, "The lock to be replaced is not yours or is over. Nothing was changed.",
		       LOCK_OUTCOME_INVALID);
		return;
	case SEAT_LOCK_OVERLOADED:
		refuse(f, ERR_OVERLOADED, NULL, LOCK_OUTCOME_OVERLOADED);
		return;
	case SEAT_LOCK_UNKNOWN:
		refuse(f, ERR_OUTCOME_UNKNOWN, NULL, LOCK_OUTCOME_UNKNOWN);
		return;
	case SEAT_LOCK_INTERNAL:
		refuse(f, ERR_INTERNAL, NULL, LOCK_OUTCOME_INTERNAL);
		return;
	case SEAT_LOCK_AGAIN:
	case SEAT_LOCK_CAREFUL:
	case SEAT_LOCK_UNAVAILABLE:
		/* perhaps because the show has another plan than was known here */
		event_show_forget(f->s->config.event, &f->want.show);
		break;
	}
	refuse(f, ERR_UNAVAILABLE, NULL, LOCK_OUTCOME_UNAVAILABLE);
}

/* ---- admission ---- */

static void on_over(void *arg, const struct pg_answer *a)
{
	struct flow *f = arg;
	struct seat_session_change over[32];
	size_t n = 0;

	if (a->status != PG_OK) {
		refuse(f, ERR_UNAVAILABLE, NULL, LOCK_OUTCOME_UNAVAILABLE);
		return;
	}
	for (int i = 0; i < pg_rows(a->result) && n < 32; i++)
		over[n++] = (struct seat_session_change){f->want.session, pg_get_uuid(a->result, i, 0), 0};
	if (n == 0) {
		refuse_limit(f);
		return;
	}
	/* commands of one connection keep their order: the second admission sees this */
	seat_map_apply(f->s->config.map, &f->want.show, NULL, 0, over, n, 0, NULL, NULL);
	flow_admit(f);
}

static void check_limit(struct flow *f, const struct seat_admit_answer *a)
{
	bool old[32];
	struct pg_args args;

	if (f->limit_checked) {
		refuse_limit(f);
		return;
	}
	f->limit_checked = true;
	pg_args_init(&args, f->call->arena);
	pg_arg_uuid(&args, &f->want.show);
	pg_arg_uuids(&args, a->held, a->n_held);
	/* a process that died after admission made none: nobody waits for a commit so long */
	for (uint32_t i = 0; i < a->n_held; i++)
		old[i] = a->held_ms[i] > NEVER_MADE_MS;
	pg_arg_bools(&args, old, a->n_held);
	pg_query_start(f->s->config.pg, &seat_sql_locks_over, &args, QUERY_MS, on_over, f);
}

static void on_notice_buyer(void *arg, const struct pg_answer *a)
{
	struct flow *f = arg;

	if (a->status != PG_OK) {
		withdraw_marks(f, NULL);
		refuse(f, ERR_UNAVAILABLE, NULL, LOCK_OUTCOME_UNAVAILABLE);
		return;
	}
	seat_batch_lock(f->s->batch, &f->want, on_told, f);
}

/* What the seats cost, as far as known here: PostgreSQL takes it if the show's row is still the one that says so. */
static void flow_price(struct flow *f)
{
	const struct show *show = f->show;
	int64_t *prices = arena_array(f->call->arena, int64_t, f->want.n_seats);
	int16_t *categories = arena_array(f->call->arena, int16_t, f->want.n_seats);

	f->want.prices_minor = prices;
	f->want.categories = categories;
	f->want.total_minor = 0;
	for (uint32_t i = 0; i < f->want.n_seats; i++) {
		uint32_t category = plan_seat_category(show->plan, f->want.seats[i]);

		categories[i] = (int16_t)category;
		prices[i] = show->prices_minor[category];
		f->want.total_minor += show->prices_minor[category];
	}
	memcpy(f->want.currency, show->currency->code, sizeof(f->want.currency));
	f->want.revision = show->revision;
	f->want.plan = show->plan_id;
}

static void flow_decide(struct flow *f)
{
	struct pg_args args;
	char folded[EMAIL_FOLDED_MAX];
	uint8_t hash[CRYPTO_HASH];

	flow_price(f);
	if (f->ask->notify_email.n == 0 || !uuid_is_zero(&f->want.notify_buyer)) {
		seat_batch_lock(f->s->batch, &f->want, on_told, f);
		return;
	}
	f->want.notify_buyer = crypto_uuid_v7(wall_now_us());
	crypto_mac(&f->s->email_key, email_fold(f->ask->notify_email, folded), hash);
	pg_args_init(&args, f->call->arena);
	pg_arg_uuid(&args, &f->want.notify_buyer);
	pg_arg_uuid(&args, &f->show->organizer_id);
	pg_arg_text(&args, f->ask->notify_email);
	pg_arg_bytes(&args, (struct str){(const char *)hash, sizeof(hash)});
	pg_arg_text(&args, f->ask->notify_locale.n ? f->ask->notify_locale : STR("en"));
	pg_query_start(f->s->config.pg, &seat_sql_buyer_for_notice, &args, QUERY_MS, on_notice_buyer, f);
}

static void on_admit(void *arg, const struct seat_admit_answer *a)
{
	struct flow *f = arg;

	switch (a->outcome) {
	case SEAT_ADMITTED:
	case SEAT_ADMIT_UNKNOWN:
		f->want.admitted = a->outcome == SEAT_ADMITTED;
		f->want.marked = a->marked;
		test_crash("after_admit");
		flow_decide(f);
		return;
	case SEAT_ADMIT_TAKEN:
		if (f->idem.has_key && !f->looked_up)
			flow_look_up(f);
		else if (!choose_again(f, a->taken, a->n_taken))
			refuse_taken(f, a->taken, a->n_taken, LOCK_OUTCOME_TAKEN_CACHE);
		return;
	case SEAT_ADMIT_LIMIT:
		if (f->idem.has_key && !f->looked_up)
			flow_look_up(f);
		else
			check_limit(f, a);
		return;
	}
}

static void flow_admit(struct flow *f)
{
	seat_map_admit(f->s->config.map, &f->want.show, &f->want.lock, &f->want.session, &f->want.replaces,
		       f->want.seats, f->want.n_seats, f->s->config.locks_per_session, on_admit, f);
}

/* ---- the best seats ---- */

static void flow_choose(struct flow *f)
{
	struct seat_best_ask ask = {.quantity = f->ask->quantity, .category = f->ask->category};

	/* after a conflict the seats just lost are marked; spreading keeps the losers apart */
	ask.spread = f->tries ? (uint32_t)(2 << (f->tries < 5 ? f->tries : 5)) : 1;
	if (ask.spread > SEAT_BEST_SPREAD_MAX)
		ask.spread = SEAT_BEST_SPREAD_MAX;
	crypto_random(&ask.seed, sizeof(ask.seed));
	if (!seat_best(f->show->plan, f->taken, &ask, f->ask->seats)) {
		refuse(f, ERR_NO_SEATS_TOGETHER, NULL, LOCK_OUTCOME_TAKEN_CACHE);
		return;
	}
	f->want.n_seats = f->ask->quantity;
	flow_admit(f);
}

static void on_map(void *arg, const struct seat_read_answer *a)
{
	struct flow *f = arg;

	if (a->outcome != SEAT_READ_ALL) {
		refuse(f, ERR_UNAVAILABLE, NULL, LOCK_OUTCOME_UNAVAILABLE);
		return;
	}
	free(f->taken);
	f->taken = xcalloc(plan_n_seats(f->show->plan), 1);
	for (size_t i = 0; i < a->n; i++)
		if (a->seats[i].seat_no < plan_n_seats(f->show->plan) &&
		    (uuid_is_zero(&f->want.replaces) || !uuid_eq(&a->seats[i].lock, &f->want.replaces)))
			f->taken[a->seats[i].seat_no] = 1;
	if (f->idem.has_key && !f->looked_up)
		flow_look_up(f);
	else
		flow_choose(f);
}

static void flow_read_map(struct flow *f)
{
	seat_map_read(f->s->config.map, &f->want.show, STR(""), on_map, f);
}

/* ---- the beginning ---- */

static void on_show(void *arg, enum err err, struct show *show);

/* Nobody is refused by what was true a while ago. false: it was read just now. */
static bool read_again(struct flow *f)
{
	if (f->fresh)
		return false;
	f->fresh = true;
	event_show_get(f->s->config.event, &f->call->ids[0], on_show, f);
	return true;
}

static void on_show(void *arg, enum err err, struct show *show)
{
	struct flow *f = arg;
	struct web_call *call = f->call;
	struct error e = {0};
	struct str bad_seat;
	json_t *body;

	if ((err != ERR_NONE || show->status == SHOW_DRAFT) && read_again(f))
		return;
	if (err != ERR_NONE || show->status == SHOW_DRAFT) {
		refuse(f, err != ERR_NONE ? err : ERR_NOT_FOUND, NULL, LOCK_OUTCOME_INVALID);
		return;
	}
	show_unref(f->show);
	f->show = show_ref(show);
	if (http_req_header(call->req, "idempotency-key") ||
	    !seat_ask_read_plain(call->req->body, show->plan, f->s->config.seats_per_lock, f->ask)) {
		body = web_body(call);
		if (!body || !auth_idempotent_if_keyed(f->s->config.auth, call, body, &f->idem)) {
			count(f, LOCK_OUTCOME_INVALID);
			flow_free(f);
			return;
		}
		if (!seat_ask_read(body, show->plan, f->s->config.seats_per_lock, f->ask, &bad_seat, &e)) {
			if (read_again(f))
				return;
			seats_refuse(call, &e, bad_seat, f->s->config.seats_per_lock);
			count(f, LOCK_OUTCOME_INVALID);
			flow_free(f);
			return;
		}
	} else {
		f->idem.id = crypto_uuid_v7(wall_now_us());
	}
	/* PostgreSQL decides the sale window; this only spares it the crowd that comes minutes early. */
	if (!f->idem.has_key && !show_on_sale(show, show_clock_us(show, f->s->config.loop))) {
		if (!read_again(f))
			refuse_not_on_sale(f);
		return;
	}
	f->want.show = show->show_id;
	f->want.lock = f->idem.id;
	f->want.session = call->who.session_id;
	f->want.replaces = f->ask->replaces;
	f->want.has_key = f->idem.has_key;
	memcpy(f->want.hash, f->idem.hash, sizeof(f->want.hash));
	f->want.seats = f->ask->seats;
	if (f->limited_ms) {
		flow_look_up(f);
		return;
	}
	if (f->ask->best) {
		flow_read_map(f);
		return;
	}
	f->want.n_seats = f->ask->n_seats;
	flow_admit(f);
}

/* By its number, those who wait are bounded; by the pace, the time. In a crowd that is more than can be served the rest is
 * told so before anything was done for them: what is done for them would be taken from those who are served. */
bool lock_post_full(void *service)
{
	struct seat_service *s = service;

	/* one batch may always come together: without it a pace that was slow once would never be known to be quick again */
	if (s->open_locks < s->config.queue_max &&
	    (s->open_locks < SEAT_BATCH_REQUESTS ||
	     seat_batch_wait_us(s->batch, s->open_locks) < s->config.wait_max_us))
		return false;
	metric_add(s->config.metrics, METRIC_LOCKS, LOCK_OUTCOME_OVERLOADED, 0, 1);
	return true;
}

void lock_post(struct web_call *call)
{
	struct flow *f = xcalloc(1, sizeof(*f));

	f->s = call->service;
	f->call = call;
	f->s->open_locks++;
	f->limited_ms = web_hold_look(call, &f->limited_by);
	if (f->limited_ms && !http_req_header(call->req, "idempotency-key")) {
		refuse_often(f);
		return;
	}
	f->ask = arena_alloc(call->arena, sizeof(*f->ask));
	event_show_get_known(f->s->config.event, &call->ids[0], on_show, f);
}
