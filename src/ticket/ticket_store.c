/*
 * Tickets and their signing keys in PostgreSQL: the arrows (nothing) -> valid and valid -> revoked inside the caller's
 * transaction, reading, and codes made again from rows. Called by the booking service and the other files of this folder.
 *
 * Keys: exactly one is active once there is any. Each process makes sure of that when it starts, and until it knows, every
 * issuing transaction does it too: so no ticket waits for a key, and no order of starting is needed.
 */
#include "base/xmalloc.h"
#include "io/crypto.h"
#include "ticket/ticket_int.h"
#include "ticket/ticket_sql.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { ENSURE_AGAIN_MS = 1000 };

const struct pg_stmt *const *const ticket_sql = ticket_sql_statements;

/* ---- keys ---- */

void ticket_keys_key(const struct crypto_key *master, struct crypto_key *ret)
{
	crypto_derive(master, "ticket-keys", ret);
}

void ticket_key_make(const struct crypto_key *keys_key, uint8_t ret_public[32], uint8_t ret_sealed[TICKET_SEALED])
{
	uint8_t secret[64];

	crypto_keypair(ret_public, secret);
	crypto_seal(keys_key, (struct str){(const char *)secret, sizeof(secret)}, ret_sealed);
	explicit_bzero(secret, sizeof(secret));
}

static void key_create_args(struct ticket_service *t, struct pg_args *args, struct arena *a)
{
	uint8_t public_key[32], sealed[TICKET_SEALED];

	ticket_key_make(&t->keys_key, public_key, sealed);
	pg_args_init(args, a);
	pg_arg_bytes(args, (struct str){(const char *)public_key, sizeof(public_key)});
	pg_arg_bytes(args, (struct str){(const char *)sealed, sizeof(sealed)});
}

static void on_ensured(void *arg, const struct pg_answer *answer)
{
	struct ticket_service *t = arg;

	if (answer->status == PG_OK)
		t->key_exists = true;
	else
		timer_set_ms(t->ensure_again, ENSURE_AGAIN_MS);
}

static void ensure(void *arg)
{
	struct ticket_service *t = arg;
	struct pg_args args;
	struct arena arena;

	arena_init(&arena);
	key_create_args(t, &args, &arena);
	pg_query_start(t->config.pg, &ticket_sql_key_create, &args, TICKET_QUERY_MS, on_ensured, t);
	arena_done(&arena);
}

void ticket_keys_init(struct ticket_service *t)
{
	ticket_keys_key(auth_master(t->config.auth), &t->keys_key);
	t->ensure_again = timer_new(t->config.loop, ensure, t);
	ensure(t);
}

void ticket_keys_done(struct ticket_service *t)
{
	timer_free(t->ensure_again);
	shared_bytes_unref(t->keys_body);
	explicit_bzero(&t->keys_key, sizeof(t->keys_key));
}

/* ---- the arrows ---- */

static void arg_outbox_id(struct pg_args *args)
{
	struct uuid id = crypto_uuid_v7(wall_now_us());

	pg_arg_uuid(args, &id);
}

void tickets_issue(struct ticket_service *t, struct pg_tx *tx, struct arena *a, const struct uuid *show,
		   const struct uuid *booking, const int32_t *seats, size_t n, pg_fn *fn, void *arg)
{
	struct uuid nobody = {{0}};

	tickets_issue_to(t, tx, a, show, booking, &nobody, seats, n, fn, arg);
}

void tickets_issue_to(struct ticket_service *t, struct pg_tx *tx, struct arena *a, const struct uuid *show,
		      const struct uuid *booking, const struct uuid *transfer, const int32_t *seats, size_t n,
		      pg_fn *fn, void *arg)
{
	struct uuid *ids = arena_array(a, struct uuid, n ? n : 1);
	int64_t now_us = wall_now_us();
	struct pg_args args;

	if (!t->key_exists) {
		key_create_args(t, &args, a);
		pg_tx_exec(tx, &ticket_sql_key_create, &args, NULL, NULL);
	}
	for (size_t i = 0; i < n; i++)
		ids[i] = crypto_uuid_v7(now_us);
	pg_args_init(&args, a);
	pg_arg_uuid(&args, show);
	pg_arg_uuid(&args, booking);
	pg_arg_uuids(&args, ids, n);
	pg_arg_i32s(&args, seats, n);
	arg_outbox_id(&args);
	pg_arg_uuid(&args, transfer);
	pg_tx_exec(tx, &ticket_sql_tickets_issue, &args, fn, arg);
}

void tickets_revoke(struct pg_tx *tx, struct arena *a, const struct uuid *show, const struct uuid *booking,
		    const int32_t *seats, size_t n, const char *why, pg_fn *fn, void *arg)
{
	struct pg_args args;

	pg_args_init(&args, a);
	pg_arg_uuid(&args, show);
	pg_arg_uuid(&args, booking);
	pg_arg_i32s(&args, seats, n);
	pg_tx_exec(tx, &ticket_sql_tickets_revoke_hold, &args, NULL, NULL);
	pg_args_init(&args, a);
	pg_arg_uuid(&args, show);
	pg_arg_uuid(&args, booking);
	pg_arg_i32s(&args, seats, n);
	arg_outbox_id(&args);
	pg_arg_text(&args, str_from(why));
	pg_tx_exec(tx, &ticket_sql_tickets_revoke, &args, fn, arg);
}

/* ---- reading ---- */

void tickets_read(struct pg *pg, struct arena *a, const struct uuid *show, const struct uuid *booking, pg_fn *fn,
		  void *arg)
{
	struct pg_args args;

	pg_args_init(&args, a);
	pg_arg_uuid(&args, show);
	pg_arg_uuid(&args, booking);
	pg_query_start(pg, &ticket_sql_tickets_read, &args, TICKET_QUERY_MS, fn, arg);
}

bool ticket_row_code(struct ticket_service *t, const struct uuid *show, const struct pg_result *r, int row,
		     char out[TICKET_CODE_TEXT])
{
	struct ticket_claims claims = {.show_id = *show,
				       .ticket_id = pg_get_uuid(r, row, TICKET_COL_ID),
				       .seat_no = (uint32_t)pg_get_int(r, row, TICKET_COL_SEAT)};
	struct str sealed = pg_get_bytes(r, row, TICKET_COL_SECRET);
	struct ticket_signer signer;
	uint8_t secret[64];

	/* a key we do not publish yet: the list is read again */
	if (pg_get_int(r, row, TICKET_COL_KEY) > t->keys_newest)
		t->keys_read_us = 0;
	if (str_eqc(pg_get_text(r, row, TICKET_COL_STATE), "revoked"))
		return false;
	if (sealed.n != TICKET_SEALED || !crypto_open(&t->keys_key, sealed, secret))
		return false;
	signer = ticket_signer_make(secret);
	ticket_code_make(&signer, &claims, out);
	explicit_bzero(secret, sizeof(secret));
	explicit_bzero(&signer, sizeof(signer));
	return true;
}

void tickets_write(struct ticket_service *t, struct jw *w, const struct show *show, const struct pg_result *r, bool all)
{
	for (int i = 0; i < pg_rows(r); i++) {
		struct uuid id = pg_get_uuid(r, i, TICKET_COL_ID);
		char code[TICKET_CODE_TEXT];

		jw_obj(w);
		jw_kuuid(w, "ticket_id", &id);
		jw_kstr(w, "seat", plan_seat_guid(show->plan, (uint32_t)pg_get_int(r, i, TICKET_COL_SEAT)));
		jw_key(w, "code");
		if ((all || !pg_get_bool(r, i, TICKET_COLS)) && ticket_row_code(t, &show->show_id, r, i, code))
			jw_cstr(w, code);
		else
			jw_null(w);
		jw_kstr(w, "status", pg_get_text(r, i, TICKET_COL_STATE));
		if (pg_get_bool(r, i, TICKET_COLS))
			jw_kbool(w, "transferred", true);
		jw_obj_end(w);
	}
}
