/*
 * POST /v1/shows/{show}/tickets/{ticket}/reissue: a code has come into other hands, its holder gets another ticket for the seat.
 *
 *   body --> (with a key: was it done before?) --> BEGIN --> ticket_reissue_hold: whose is it? --> ticket_reissue, COMMIT --> the new one
 *
 * It is a ticket with an id of its own, as after a transfer: one way in which codes die, at every door. Its id is derived from the
 * Idempotency-Key, so that the same request again finds it.
 *
 * Every dead code is carried by every door (door_bundle) and published for good, so who has a ticket makes only so many of them; staff
 * are not counted.
 */
#include "base/times.h"
#include "base/xmalloc.h"
#include "io/crypto.h"
#include "ticket/ticket_int.h"
#include "ticket/ticket_sql.h"

#include <string.h>

enum { REISSUE_TX_MS = 5000, REISSUES_MAX = 5 };
#define REISSUES_WITHIN_US US_PER_DAY

/* Lives in the call's arena. */
struct reissue {
	struct ticket_service *t;
	struct web_call *call;
	struct idempotent idem;
	struct pg_tx *tx;
	bool wrote;
	/* the new ticket */
	uint32_t seat_no;
	const char *state, *code; /* code NULL: revoked meanwhile */
};

static void refuse_pg(struct reissue *k, const struct pg_answer *a)
{
	if (k->wrote && a->status == PG_UNKNOWN)
		web_refuse(k->call, ERR_OUTCOME_UNKNOWN, NULL);
	else if (a->status == PG_ERROR && !pg_error_is_transient(a))
		web_refuse(k->call, ERR_INTERNAL, NULL);
	else
		web_refuse(k->call, ERR_UNAVAILABLE, NULL);
}

static void refuse_none(struct reissue *k)
{
	web_refuse(k->call, ERR_NOT_FOUND, "You have no such ticket.");
}

/* ---- the answer, from what is stored ---- */

static void on_answer_show(void *arg, enum err err, struct show *show)
{
	static const struct http_header headers[] = {{STR("Referrer-Policy"), STR("no-referrer")}};
	struct reissue *k = arg;
	struct jw *w;

	if (err != ERR_NONE) {
		web_refuse(k->call, err, NULL);
		return;
	}
	w = web_json(k->call);
	jw_kuuid(w, "ticket_id", &k->idem.id);
	jw_kstr(w, "seat", plan_seat_guid(show->plan, k->seat_no));
	jw_key(w, "code");
	if (k->code)
		jw_cstr(w, k->code);
	else
		jw_null(w);
	jw_kcstr(w, "status", k->state);
	jw_kuuid(w, "replaces", &k->call->ids[1]);
	web_json_end_headers(k->call, 201, headers, 1);
}

static bool row_take(struct reissue *k, const struct pg_result *r)
{
	char code[TICKET_CODE_TEXT];

	k->seat_no = (uint32_t)pg_get_int(r, 0, TICKET_COL_SEAT);
	k->state = arena_cstr(k->call->arena, pg_get_text(r, 0, TICKET_COL_STATE));
	k->code = ticket_row_code(k->t, &k->call->ids[0], r, 0, code) ? arena_strdup(k->call->arena, code) : NULL;
	return k->code || strcmp(k->state, "revoked") == 0;
}

static void answer(struct reissue *k)
{
	event_show_get_numbered(k->t->config.event, &k->call->ids[0], on_answer_show, k);
}

static void reissue_begin(struct reissue *k);

static void read_new(struct reissue *k, pg_fn *fn)
{
	struct pg_args args;

	pg_args_init(&args, k->call->arena);
	pg_arg_uuid(&args, &k->call->ids[0]);
	pg_arg_uuid(&args, &k->idem.id);
	pg_query_start(k->t->config.pg, &ticket_sql_ticket_get, &args, TICKET_QUERY_MS, fn, k);
}

/* The columns of ticket_get that say whose it is. */
enum { COL_BOOKING = TICKET_COLS + 1, COL_SESSION, COL_ORGANIZER, COL_TRANSFER = TICKET_COLS + 10 };

static bool may_see(struct reissue *k, struct uuid booking, struct uuid session, struct uuid organizer,
		    struct uuid transfer)
{
	if (!uuid_is_zero(&transfer)) {
		booking = transfer;
		session = (struct uuid){{0}};
	}
	return ticket_may_see(k->call, &k->call->ids[0], &booking, &session, &organizer);
}

/* Made by this key before; its id is of this path, so it replaced this ticket. */
static bool found_before(struct reissue *k, const struct pg_answer *a)
{
	const struct pg_result *r = a->result;

	return a->status == PG_OK && pg_rows(r) == 1 &&
	       may_see(k, pg_get_uuid(r, 0, COL_BOOKING), pg_get_uuid(r, 0, COL_SESSION),
		       pg_get_uuid(r, 0, COL_ORGANIZER), pg_get_uuid(r, 0, COL_TRANSFER)) &&
	       row_take(k, r);
}

static void on_before(void *arg, const struct pg_answer *a)
{
	struct reissue *k = arg;

	if (a->status != PG_OK)
		refuse_pg(k, a);
	else if (found_before(k, a))
		answer(k);
	else
		reissue_begin(k);
}

/* Somebody was faster: the same key, or the door. */
static void on_after(void *arg, const struct pg_answer *a)
{
	struct reissue *k = arg;

	if (a->status != PG_OK)
		refuse_pg(k, a);
	else if (found_before(k, a))
		answer(k);
	else
		refuse_none(k);
}

/* ---- the transaction ---- */

static void on_committed(void *arg, const struct pg_answer *a)
{
	struct reissue *k = arg;

	k->wrote = true;
	if (a->status == PG_OK)
		answer(k);
	else
		refuse_pg(k, a);
}

static void on_state(void *arg, const struct pg_answer *a)
{
	struct reissue *k = arg;

	if (a->status != PG_OK)
		refuse_pg(k, a);
	else if (pg_rows(a->result) == 1 && str_eqc(pg_get_text(a->result, 0, TICKET_COL_STATE), "used"))
		web_refuse(k->call, ERR_TICKET_USED, "This ticket was used already.");
	else if (pg_rows(a->result) == 1 && str_eqc(pg_get_text(a->result, 0, TICKET_COL_STATE), "valid"))
		web_refuse(k->call, ERR_UNAVAILABLE, NULL); /* no key to sign with yet */
	else
		read_new(k, on_after);
}

static void on_reissued(void *arg, const struct pg_answer *a)
{
	struct reissue *k = arg;
	struct pg_args args;

	if (a->status == PG_OK && pg_rows(a->result) == 1 && row_take(k, a->result)) {
		pg_tx_commit(k->tx, on_committed, k);
		return;
	}
	pg_tx_rollback(k->tx, NULL, NULL);
	if (a->status != PG_OK) {
		refuse_pg(k, a);
		return;
	}
	/* it is as it is since we saw it */
	pg_args_init(&args, k->call->arena);
	pg_arg_uuid(&args, &k->call->ids[0]);
	pg_arg_uuid(&args, &k->call->ids[1]);
	pg_query_start(k->t->config.pg, &ticket_sql_ticket_get, &args, TICKET_QUERY_MS, on_state, k);
}

static void refuse_often(struct reissue *k, int64_t wait_s)
{
	struct jw *w;

	k->call->retry_after_s = wait_s > 0 ? (int)wait_s : 1;
	w = web_problem(
		k->call, ERR_RATE_LIMITED,
		"The ticket of a seat is issued again at most 5 times a day. The organiser can do it more often.");
	jw_kint(w, "limit", REISSUES_MAX);
	web_problem_end(k->call);
}

static void on_held(void *arg, const struct pg_answer *a)
{
	struct reissue *k = arg;
	const struct pg_result *r = a->result;
	struct uuid outbox = crypto_uuid_v7(wall_now_us());
	struct pg_args args;

	if (a->status != PG_OK) {
		pg_tx_rollback(k->tx, NULL, NULL);
		refuse_pg(k, a);
		return;
	}
	if (pg_rows(r) == 0 ||
	    !may_see(k, pg_get_uuid(r, 0, 1), pg_get_uuid(r, 0, 3), pg_get_uuid(r, 0, 4), pg_get_uuid(r, 0, 2)) ||
	    (str_eqc(pg_get_text(r, 0, 0), "revoked") && !k->idem.has_key)) {
		pg_tx_rollback(k->tx, NULL, NULL);
		refuse_none(k);
		return;
	}
	if (str_eqc(pg_get_text(r, 0, 0), "valid") && !str_eqc(pg_get_text(r, 0, 5), "confirmed")) {
		pg_tx_rollback(k->tx, NULL, NULL);
		web_refuse(k->call, ERR_NOT_CONFIRMED, NULL);
		return;
	}
	if (str_eqc(pg_get_text(r, 0, 0), "valid") && k->call->who.kind != WHO_STAFF &&
	    pg_get_int(r, 0, 6) >= REISSUES_MAX) {
		pg_tx_rollback(k->tx, NULL, NULL);
		refuse_often(k, pg_get_int(r, 0, 7));
		return;
	}
	pg_args_init(&args, k->call->arena);
	pg_arg_uuid(&args, &k->call->ids[0]);
	pg_arg_uuid(&args, &k->call->ids[1]);
	pg_arg_uuid(&args, &k->idem.id);
	pg_arg_uuid(&args, &outbox);
	pg_tx_exec(k->tx, &ticket_sql_ticket_reissue, &args, on_reissued, k);
}

static void reissue_begin(struct reissue *k)
{
	struct pg_args args;

	k->tx = pg_tx_start(k->t->config.pg, NULL, REISSUE_TX_MS);
	pg_args_init(&args, k->call->arena);
	pg_arg_uuid(&args, &k->call->ids[0]);
	pg_arg_uuid(&args, &k->call->ids[1]);
	pg_arg_interval_us(&args, REISSUES_WITHIN_US);
	pg_tx_exec(k->tx, &ticket_sql_ticket_reissue_hold, &args, on_held, k);
}

void ticket_reissue_post(struct web_call *call)
{
	struct reissue *k = arena_new(call->arena, struct reissue);
	json_t *body;
	struct error e = {0};
	struct json_in in;

	k->t = call->service;
	k->call = call;
	body = web_body(call);
	if (!body || !auth_idempotent(k->t->config.auth, call, body, &k->idem))
		return;
	json_in_init(&in, body, "", &e);
	if (!json_in_end(&in)) {
		web_refuse_error(call, &e);
		return;
	}
	if (k->idem.has_key)
		read_new(k, on_before);
	else
		reissue_begin(k);
}
