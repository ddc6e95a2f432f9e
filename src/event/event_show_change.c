/*
 * PATCH of shows: sale window, prices, cancellation, status, verification, and the move to another version of the plan.
 *
 *   read the show --> (another plan: read it) --> what it will be --> BEGIN, lock the show
 *     --another one by now--> from the beginning, or 412
 *     --> lock its seats, if it matters what was sold --> what was held or sold? --> 409
 *     --> (another plan: seats away, seats anew) --> update --> COMMIT --> caches dropped --> answered as GET answers
 *
 * What may not change once buyers hold something:
 *
 *   plan_id        anything was ever held: locks, bookings and what was told of them name seats by their number in the plan
 *   currency       the same: what is given back is given back in the show's
 *   cancellation   anything is held or sold: only in favour of the buyer (later, or for less)
 *   status: draft  the same
 *
 * Prices are copied into each lock: held and sold seats keep theirs. A cancelled show does not change at all.
 */
#include "event/event_int.h"

#include "base/times.h"
#include "base/xmalloc.h"
#include "event/event_sql.h"
#include "io/crypto.h"

#include <stdlib.h>
#include <string.h>

enum { CHANGE_TRIES_MAX = 4 };

struct show_change {
	struct event_service *ev;
	struct web_call *call;
	struct if_match match;
	json_t *body;
	int tries;
	/* as asked for */
	struct uuid plan_id;
	bool has_plan, has_sale_starts, has_sale_ends, has_cancellation, to_draft;
	int64_t sale_starts_us, sale_ends_us, cancel_until_us;
	struct money fee;
	const json_t *price_list;
	struct str status, verification; /* "": stays */
	/* as it is, and will be */
	struct show *show;
	struct plan *plan; /* of its own when it moves, else NULL */
	const struct currency *currency;
	int64_t prices[PLAN_CATEGORIES_MAX];
	int64_t cancel_fee_minor;
	bool worse; /* for buyers, to cancel */
	struct pg_tx *tx;
	int64_t updated;
};

static void change_begin(struct show_change *c);

static void change_free(struct show_change *c)
{
	show_unref(c->show);
	plan_unref(c->plan);
	free(c);
}

static void change_fault(struct show_change *c, const char *path, const char *detail)
{
	struct error e = {0};

	error_set(&e, ERR_INVALID_VALUE, path, "%s", detail);
	web_refuse_error(c->call, &e);
	change_free(c);
}

/* ---- the end ---- */

static void on_show_back(void *arg, enum err err, struct show *show)
{
	struct web_call *call = arg;

	if (err != ERR_NONE)
		web_refuse(call, ERR_OUTCOME_UNKNOWN, "The show was changed, but cannot be read now.");
	else
		show_found(call, show, 200);
}

static void on_committed(void *arg, const struct pg_answer *a)
{
	struct show_change *c = arg;
	struct event_service *ev = c->ev;
	struct web_call *call = c->call;
	struct uuid show_id = c->show->show_id;
	bool moved = c->plan != NULL;

	if (a->status == PG_OK && c->updated != 1)
		web_refuse(call, ERR_INTERNAL, NULL);
	else if (a->status == PG_UNKNOWN)
		web_refuse(call, ERR_OUTCOME_UNKNOWN, "It is not known yet whether this took effect. Read it again.");
	else if (a->status != PG_OK)
		event_refuse_pg(call, a, false);
	/* not known: it may have happened */
	event_show_forget(ev, &show_id);
	if (moved && ev->moved && (a->status == PG_OK || a->status == PG_UNKNOWN))
		ev->moved(ev->moved_arg, &show_id);
	recommended_forget(ev);
	if (a->status == PG_OK && c->updated == 1)
		event_show_get(ev, &show_id, on_show_back, call);
	change_free(c);
}

/* ---- the transaction ---- */

/* A statement failed: nothing took effect. */
static void change_failed(struct show_change *c, const struct pg_answer *a)
{
	pg_tx_rollback(c->tx, NULL, NULL);
	event_refuse_pg(c->call, a, false);
	change_free(c);
}

static void change_refuse(struct show_change *c, const char *path, const char *reason, const char *detail)
{
	pg_tx_rollback(c->tx, NULL, NULL);
	event_refuse_change(c->call, path, reason, detail);
	change_free(c);
}

static void on_update(void *arg, const struct pg_answer *a)
{
	struct show_change *c = arg;

	if (a->status == PG_OK)
		c->updated = pg_affected(a->result);
}

static const struct plan *plan_then(const struct show_change *c)
{
	return c->plan ? c->plan : c->show->plan;
}

static void run_update(struct show_change *c)
{
	const struct plan *plan = plan_then(c);
	struct uuid outbox_id = crypto_uuid_v7(wall_now_us());
	struct pg_args args;

	pg_args_init(&args, c->call->arena);
	pg_arg_uuid(&args, &c->show->show_id);
	pg_arg_uuid(&args, c->plan ? &c->plan_id : &c->show->plan_id);
	pg_arg_i32(&args, (int32_t)plan_n_seats(plan));
	if (c->status.n)
		pg_arg_text(&args, c->status);
	else
		pg_arg_null(&args);
	pg_arg_time(&args, c->sale_starts_us);
	pg_arg_time(&args, c->sale_ends_us);
	pg_arg_text(&args, str_from(c->currency->code));
	pg_arg_i64s(&args, c->prices, plan_n_categories(plan));
	pg_arg_time(&args, c->cancel_until_us);
	pg_arg_i64(&args, c->cancel_fee_minor);
	pg_arg_uuid(&args, &outbox_id);
	if (c->verification.n)
		pg_arg_text(&args, c->verification);
	else
		pg_arg_null(&args);
	pg_tx_exec(c->tx, &event_sql_show_update, &args, on_update, c);
	pg_tx_commit(c->tx, on_committed, c);
}

static void on_seats_gone(void *arg, const struct pg_answer *a)
{
	struct show_change *c = arg;
	struct str *texts;
	struct uuid outbox_id = crypto_uuid_v7(wall_now_us());
	struct pg_args args;
	size_t n;

	if (a->status != PG_OK) {
		change_failed(c, a);
		return;
	}
	pg_args_init(&args, c->call->arena);
	pg_arg_uuid(&args, &c->show->show_id);
	pg_arg_uuid(&args, &c->plan_id);
	pg_arg_i32(&args, (int32_t)pg_get_int(a->result, 0, 0));
	for (int col = 1; col <= 4; col++) { /* the guids of blocked ones; whose reasons are known, and these */
		n = pg_get_texts(a->result, 0, col, c->call->arena, &texts);
		pg_arg_texts(&args, texts, n);
	}
	pg_arg_uuid(&args, &outbox_id);
	pg_tx_exec(c->tx, &event_sql_show_seats_new, &args, NULL, NULL);
	run_update(c);
}

static bool currency_changes(const struct show_change *c)
{
	return c->currency != c->show->currency;
}

static void on_traces(void *arg, const struct pg_answer *a)
{
	struct show_change *c = arg;
	struct pg_args args;
	bool ever, held, sold;
	const char *reason;

	if (a->status != PG_OK) {
		change_failed(c, a);
		return;
	}
	ever = pg_get_bool(a->result, 0, 0);
	held = pg_get_bool(a->result, 0, 1);
	sold = pg_get_bool(a->result, 0, 2);
	reason = sold ? "sold" : "held";
	if (c->plan && ever) {
		change_refuse(c, "/plan_id", reason, "Seats of this show were held or sold: it keeps its plan.");
	} else if (currency_changes(c) && ever) {
		change_refuse(c, "/prices", reason, "Seats of this show were held or sold: it keeps its currency.");
	} else if (c->worse && (held || sold)) {
		change_refuse(c, "/cancellation", reason,
			      "Seats of this show are held or sold: how they may be cancelled only changes in favour "
			      "of buyers.");
	} else if (c->to_draft && (held || sold)) {
		change_refuse(c, "/status", reason, "Seats of this show are held or sold: it is no draft any more.");
	} else if (c->plan) {
		pg_args_init(&args, c->call->arena);
		pg_arg_uuid(&args, &c->show->show_id);
		pg_tx_exec(c->tx, &event_sql_show_seats_gone, &args, on_seats_gone, c);
	} else {
		run_update(c);
	}
}

static void on_locked(void *arg, const struct pg_answer *a)
{
	struct show_change *c = arg;
	struct pg_args args;

	if (a->status != PG_OK) {
		change_failed(c, a);
	} else if (pg_rows(a->result) == 0) {
		pg_tx_rollback(c->tx, NULL, NULL);
		web_refuse(c->call, ERR_NOT_FOUND, "There is no such show.");
		change_free(c);
	} else if (pg_get_int(a->result, 0, 1) != c->show->revision) {
		pg_tx_rollback(c->tx, NULL, NULL);
		change_begin(c);
	} else if (str_eqc(pg_get_text(a->result, 0, 0), show_status_name(SHOW_CANCELLED))) {
		change_refuse(c, "", "cancelled", "This show was cancelled.");
	} else {
		pg_args_init(&args, c->call->arena);
		pg_arg_uuid(&args, &c->show->show_id);
		if (c->plan || c->to_draft || currency_changes(c))
			pg_tx_exec(c->tx, &event_sql_show_seats_lock, &args, NULL, NULL);
		pg_tx_exec(c->tx, &event_sql_show_traces, &args, on_traces, c);
	}
}

static void run(struct show_change *c)
{
	struct pg_args args;

	pg_args_init(&args, c->call->arena);
	pg_arg_uuid(&args, &c->show->show_id);
	pg_arg_uuid(&args, &c->call->who.organizer_id);
	c->tx = pg_tx_start(c->ev->config.pg, NULL, EVENT_WRITE_MS);
	pg_tx_exec(c->tx, &event_sql_show_lock, &args, NULL, NULL);
	pg_tx_exec(c->tx, &event_sql_show_lock, &args, on_locked, c);
}

/* ---- what it will be ---- */

/* Of another plan: by the names of its categories. false: answered. */
static bool prices_carry(struct show_change *c)
{
	for (uint32_t i = 0; i < plan_n_categories(c->plan); i++) {
		struct str name = plan_category(c->plan, i).name;
		int from = plan_category_by_name(c->show->plan, name);

		if (from < 0) {
			change_fault(c, "/prices",
				     arena_printf(c->call->arena,
						  "The plan has a category \"%.64s\" that the show has no price for.",
						  arena_cstr(c->call->arena, name)));
			return false;
		}
		c->prices[i] = c->show->prices_minor[from];
	}
	c->currency = c->show->currency;
	return true;
}

static bool prices_decide(struct show_change *c)
{
	uint32_t seats_per_lock = c->ev->config.seats_per_lock ? c->ev->config.seats_per_lock : 1;
	struct error e = {0};

	if (c->price_list) {
		if (show_prices_read(c->price_list, plan_then(c), c->call->arena, seats_per_lock, c->prices,
				     &c->currency, &e))
			return true;
		web_refuse_error(c->call, &e);
		change_free(c);
		return false;
	}
	if (c->plan)
		return prices_carry(c);
	memcpy(c->prices, c->show->prices_minor, sizeof(c->prices));
	c->currency = c->show->currency;
	return true;
}

static bool cancellation_decide(struct show_change *c)
{
	const struct show *s = c->show;

	if (!c->has_cancellation) {
		c->cancel_until_us = s->cancel_until_us;
		c->cancel_fee_minor = s->cancel_fee_minor;
		if (currency_changes(c) && s->cancel_fee_minor) {
			change_fault(c, "/cancellation",
				     "The fee has to be said anew in the currency of the new prices.");
			return false;
		}
	} else {
		c->cancel_fee_minor = c->fee.amount_minor;
		if (c->fee.currency && c->fee.currency != c->currency) {
			change_fault(c, "/cancellation/fee/currency", "The fee is in the currency of the prices.");
			return false;
		}
	}
	c->worse = c->cancel_until_us < s->cancel_until_us ||
		   (c->cancel_until_us != INT64_MIN && s->cancel_until_us != INT64_MIN &&
		    c->cancel_fee_minor > s->cancel_fee_minor);
	return true;
}

static void decide(struct show_change *c)
{
	if (!prices_decide(c) || !cancellation_decide(c))
		return;
	if (!c->has_sale_starts)
		c->sale_starts_us = c->show->sale_starts_at_us;
	if (!c->has_sale_ends)
		c->sale_ends_us = c->show->sale_ends_at_us;
	if (c->sale_ends_us <= c->sale_starts_us) {
		change_fault(c, c->has_sale_ends ? "/sale_ends_at" : "/sale_starts_at",
			     "The sale must end after it starts.");
		return;
	}
	run(c);
}

static void on_plan(void *arg, struct plan *plan, const struct uuid *venue_id)
{
	struct show_change *c = arg;

	if (!plan) {
		change_free(c); /* answered */
		return;
	}
	if (!uuid_eq(venue_id, &c->show->venue_id)) {
		change_fault(c, "/plan_id",
			     "This is a plan of another venue: a show moves between versions of its own venue's.");
		return;
	}
	c->plan = plan_ref(plan);
	decide(c);
}

static void on_show(void *arg, enum err err, struct show *show)
{
	struct show_change *c = arg;

	if (err == ERR_NONE && !uuid_eq(&show->organizer_id, &c->call->who.organizer_id))
		err = ERR_NOT_FOUND;
	if (err != ERR_NONE) {
		web_refuse(c->call, err, err == ERR_NOT_FOUND ? "There is no such show." : NULL);
		change_free(c);
		return;
	}
	if (!if_match_allows(&c->match, show->revision)) {
		web_refuse(c->call, ERR_CHANGED_MEANWHILE, NULL);
		change_free(c);
		return;
	}
	show_unref(c->show);
	c->show = show_ref(show);
	plan_unref(c->plan);
	c->plan = NULL;
	if (c->has_plan && !uuid_eq(&c->plan_id, &show->plan_id))
		show_plan_want(c->call, &c->plan_id, on_plan, c);
	else
		decide(c);
}

/* Somebody else may change it between reading and locking: then once more, by what it is then. */
static void change_begin(struct show_change *c)
{
	if (++c->tries > CHANGE_TRIES_MAX) {
		web_refuse(c->call, ERR_UNAVAILABLE, NULL);
		change_free(c);
		return;
	}
	event_show_forget(c->ev, &c->call->ids[0]);
	event_show_get(c->ev, &c->call->ids[0], on_show, c);
}

/* ---- what is asked for ---- */

static bool given(const json_t *body, const char *name)
{
	const json_t *v = json_object_get(body, name);

	return v && !json_is_null(v);
}

static bool ask_read(struct show_change *c, struct error *e)
{
	struct json_in in, cancellation;
	enum show_status parsed = SHOW_PUBLISHED;

	json_in_init(&in, c->body, "", e);
	c->has_plan = json_in_uuid(&in, "plan_id", JSON_OPTIONAL, &c->plan_id);
	c->has_sale_starts = json_in_time(&in, "sale_starts_at", JSON_OPTIONAL, &c->sale_starts_us);
	c->has_sale_ends = json_in_time(&in, "sale_ends_at", JSON_OPTIONAL, &c->sale_ends_us);
	c->price_list = json_in_value(&in, "prices", JSON_OPTIONAL);
	c->status = json_in_str(&in, "status", JSON_OPTIONAL, 1, 20);
	c->verification = show_verification_read(&in);
	/* null: buyers may not cancel */
	c->has_cancellation = json_object_get(c->body, "cancellation") != NULL;
	c->cancel_until_us = INT64_MIN;
	if (json_in_object(&in, "cancellation", JSON_OPTIONAL, &cancellation)) {
		json_in_time(&cancellation, "until", JSON_REQUIRED, &c->cancel_until_us);
		json_in_amount(&cancellation, "fee", JSON_OPTIONAL, 0, &c->fee);
		json_in_end(&cancellation);
	}
	if (c->status.n && (!show_status_parse(c->status, &parsed) || parsed == SHOW_CANCELLED))
		json_in_fault(&in, ERR_INVALID_VALUE, "status", "\"status\" is \"draft\" or \"published\".");
	c->to_draft = given(c->body, "status") && parsed == SHOW_DRAFT;
	if (given(c->body, "starts_at"))
		json_in_fault(&in, ERR_INVALID_REQUEST, "starts_at",
			      "A show is moved to another time by POST /v1/shows/{show}/reschedule.");
	return json_in_end(&in);
}

void show_patch(struct web_call *call)
{
	struct show_change *c = xcalloc(1, sizeof(*c));
	struct error e = {0};

	c->ev = call->service;
	c->call = call;
	c->body = web_body(call);
	if (!c->body || !event_if_match(call, &c->match)) {
		change_free(c);
		return;
	}
	if (!ask_read(c, &e)) {
		web_refuse_error(call, &e);
		change_free(c);
		return;
	}
	change_begin(c);
}
