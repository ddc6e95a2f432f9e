/*
 * POST .../checkins and .../checkins/undo: one code at the door.
 *
 *   body --> show, keys --> signature --> BEGIN, tickets_hold, ticket_use, COMMIT in one round trip --> the row, as stored
 *                 ^ again, when the key is not known        ^ again, as long as the outcome is not known and there is time
 *
 * Asking again is harmless because the nonce is: the row that is there is the answer. What decides between two scanners is the
 * ticket's row, locked by tickets_hold: the second finds it used.
 */
#include "base/times.h"
#include "door/door_int.h"
#include "door/door_sql.h"
#include "io/crypto.h"
#include "staff/staff.h"

#include <string.h>

/* Lives in the call's arena. */
struct scan {
	struct door_call c;
	struct door_ask ask;
	bool undo;
	struct uuid checkin_id, outbox_id, ticket_id; /* ticket_id zeros: none */
	enum door_reason refused;		      /* by the code alone */
	uint8_t hash[CRYPTO_HASH];
	struct show *show;
	struct pg_tx *tx;
	struct door_tries tries;
	bool answered; /* row is there */
	struct door_row row;
};

static void scan_try(struct scan *s);

static void scan_done(void *arg)
{
	struct scan *s = arg;

	show_unref(s->show);
	s->show = NULL;
}

static void scan_answer(struct scan *s)
{
	struct web_call *call = s->c.call;
	struct error e = {0};
	struct jw *w;

	call->audited = true;
	if (memcmp(s->row.hash, s->hash, sizeof(s->hash)) != 0) {
		error_set(&e, ERR_IDEMPOTENCY_MISMATCH, "/nonce", "This nonce was used with another %s.",
			  s->undo ? "body" : "code");
		web_refuse_error(call, &e);
	} else {
		door_count_row(s->c.d, &s->row);
		w = web_json(call);
		door_row_write(w, &s->row, s->show);
		web_json_end(call, 200);
	}
}

static void scan_failed(struct scan *s, const struct pg_answer *a)
{
	if (door_try_again(&s->tries, s->c.d, a)) {
		scan_try(s);
		return;
	}
	door_refuse(s->c.call, &s->tries, a);
}

static void on_committed(void *arg, const struct pg_answer *a)
{
	struct scan *s = arg;

	if (a->status == PG_OK && s->answered)
		scan_answer(s);
	else
		scan_failed(s, a);
}

static void on_row(void *arg, const struct pg_answer *a)
{
	struct scan *s = arg;

	if (a->status != PG_OK || pg_rows(a->result) == 0)
		return;
	door_row_read(a->result, 0, s->c.call->arena, &s->row);
	s->answered = true;
}

/* An undo is logged in its own transaction, when it is one: a repeated one was, and one that is refused changes nothing. */
static void on_undone(void *arg, const struct pg_answer *a)
{
	struct scan *s = arg;
	struct audit_row row = {.made = &s->row.ticket_id, .status = 200, .detail = STR("")};

	on_row(s, a);
	if (a->status != PG_OK || !s->answered) {
		pg_tx_rollback(s->tx, NULL, NULL);
		scan_failed(s, a);
		return;
	}
	if (s->row.fresh && s->row.ok)
		audit_add(s->tx, s->c.call, &row);
	pg_tx_commit(s->tx, on_committed, s);
}

static void args_use(struct scan *s, struct pg_args *args)
{
	const struct door_config *config = &s->c.d->config;
	struct web_call *call = s->c.call;
	struct str nonce = s->ask.scan.nonce, hash = {(const char *)s->hash, sizeof(s->hash)};
	struct str refused = str_from(s->refused == DOOR_OK ? "" : door_reason_name(s->refused));
	int64_t now = TIME_INFINITY;

	pg_args_init(args, call->arena);
	pg_arg_uuid(args, &call->ids[0]);
	pg_arg_text(args, s->ask.device);
	door_arg_actor(args, call);
	pg_arg_bool(args, false);
	pg_arg_texts(args, &nonce, 1);
	pg_arg_bytess(args, &hash, 1);
	pg_arg_uuids(args, &s->checkin_id, 1);
	pg_arg_uuids(args, &s->ticket_id, 1);
	pg_arg_texts(args, &refused, 1);
	pg_arg_times(args, &now, 1);
	pg_arg_uuid(args, &s->outbox_id);
	door_arg_window(args, config);
}

static void scan_use(struct scan *s)
{
	struct web_call *call = s->c.call;
	struct pg_args args;

	if (!uuid_is_zero(&s->ticket_id)) {
		pg_args_init(&args, call->arena);
		pg_arg_uuid(&args, &call->ids[0]);
		pg_arg_uuids(&args, &s->ticket_id, 1);
		pg_tx_exec(s->tx, &door_sql_tickets_hold, &args, NULL, NULL);
	}
	args_use(s, &args);
	pg_tx_exec(s->tx, &door_sql_ticket_use, &args, on_row, s);
	pg_tx_commit(s->tx, on_committed, s);
}

static void scan_undo(struct scan *s)
{
	/* without a code and a ticket it is about the check-in of this nonce */
	bool by_nonce = s->refused == DOOR_OK && uuid_is_zero(&s->ticket_id);
	struct web_call *call = s->c.call;
	struct pg_args args;

	pg_args_init(&args, call->arena);
	pg_arg_uuid(&args, &call->ids[0]);
	pg_arg_uuid(&args, by_nonce ? NULL : &s->ticket_id);
	pg_arg_text(&args, s->ask.device);
	pg_arg_text(&args, s->ask.scan.nonce);
	pg_tx_exec(s->tx, &door_sql_ticket_undo_hold, &args, NULL, NULL);
	pg_args_init(&args, call->arena);
	pg_arg_uuid(&args, &call->ids[0]);
	pg_arg_text(&args, s->ask.device);
	door_arg_actor(&args, call);
	pg_arg_text(&args, s->ask.scan.nonce);
	pg_arg_bytes(&args, (struct str){(const char *)s->hash, sizeof(s->hash)});
	pg_arg_uuid(&args, &s->checkin_id);
	pg_arg_uuid(&args, by_nonce ? NULL : &s->ticket_id);
	pg_arg_text(&args, str_from(s->refused == DOOR_OK ? "" : door_reason_name(s->refused)));
	pg_arg_uuid(&args, &s->outbox_id);
	pg_tx_exec(s->tx, &door_sql_ticket_undo, &args, on_undone, s);
}

static void scan_try(struct scan *s)
{
	s->answered = false;
	s->tx = pg_tx_start(s->c.d->config.pg, NULL, door_try_ms(&s->tries, s->c.d));
	if (s->undo)
		scan_undo(s);
	else
		scan_use(s);
}

/* The show and the keys are at hand. */
static void scan_go(struct door_call *c, struct show *show)
{
	struct scan *s = (struct scan *)c;
	struct ticket_trust trust = door_trust(c->d, &show->show_id);
	struct ticket_claims claims = {0};
	enum ticket_reason reason;

	if (s->ask.scan.code.n) {
		reason = ticket_code_verify(s->ask.scan.code, &trust, &claims);
		if (reason == TICKET_UNKNOWN_KEY && door_keys_again(c))
			return;
		s->refused = door_reason_of_code(reason);
		if (s->refused == DOOR_OK)
			s->ticket_id = claims.ticket_id;
	}
	s->show = show_ref(show);
	door_tries_begin(&s->tries, c->d);
	scan_try(s);
}

static void scan_start(struct web_call *call, bool undo)
{
	struct scan *s = arena_new(call->arena, struct scan);
	struct error e = {0};
	json_t *body;

	s->c = (struct door_call){.d = call->service, .call = call, .go = scan_go};
	s->undo = undo;
	arena_on_done(call->arena, scan_done, s);
	body = web_body(call);
	if (!body)
		return;
	if (!(undo ? door_read_undo : door_read_checkin)(body, &s->ask, &e)) {
		web_refuse_error(call, &e);
		return;
	}
	if (!door_device(call, s->ask.device, &s->ask.device))
		return;
	s->checkin_id = crypto_uuid_v7(wall_now_us());
	s->outbox_id = crypto_uuid_v7(wall_now_us());
	s->ticket_id = s->ask.ticket_id;
	door_hash(s->c.d, undo ? 'n' : 'u', s->ask.scan.code, &s->ask.ticket_id, s->hash);
	door_begin(&s->c);
}

void door_checkin_post(struct web_call *call)
{
	scan_start(call, false);
}

void door_undo_post(struct web_call *call)
{
	scan_start(call, true);
}
