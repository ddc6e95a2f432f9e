/*
 * POST .../checkins/upload: what a device has scanned and let in without a network.
 *
 *   body --> show, keys --> signatures, on the thread pool --> BEGIN, tickets_hold, ticket_use, COMMIT --> a row per scan
 *
 * All of it or nothing, and again the same for the same nonces. Who has let in a ticket first, as we recorded it, stays so: who
 * scanned it too is told, and whose clock says that he was first. A device's clock is corrected by how far it is off when it sends.
 */
#include "base/times.h"
#include "base/xmalloc.h"
#include "door/door_int.h"
#include "door/door_sql.h"
#include "io/crypto.h"

#include <stdlib.h>
#include <string.h>

/* For the thread: copies of all it reads. */
struct check {
	struct ticket_key *keys;
	size_t n_keys, n;
	struct uuid show_id;
	char *codes; /* one after the other */
	struct str *code;
	enum ticket_reason *reasons;
	struct ticket_claims *claims;
};

/* Lives in the call's arena; upload_done frees what it owns. */
struct upload {
	struct door_call c;
	struct door_upload_ask ask;
	struct show *show;
	int64_t now_us; /* when it came */
	/* by scan */
	struct uuid *ids, *tickets;
	struct str *nonces, *hashes, *refused;
	uint8_t (*hash)[CRYPTO_HASH];
	int64_t *at_us;
	struct uuid outbox_id;
	struct door_tries tries;
	struct door_row *rows; /* as answered, by scan */
	size_t n_rows;	       /* all of them, or 0 */
	size_t mistaken;       /* the first scan whose nonce was another code's: nothing was changed; SIZE_MAX: none */
};

static void upload_try(struct upload *u);

static void upload_done(void *arg)
{
	struct upload *u = arg;

	show_unref(u->show);
	u->show = NULL;
	door_upload_done(&u->ask);
}

/* ---- the answer ---- */

static void item_write(struct jw *w, const struct upload *u, size_t i)
{
	const struct door_row *row = &u->rows[i];

	jw_obj(w);
	jw_kstr(w, "nonce", row->nonce);
	door_row_write(w, row, u->show);
	jw_ktime(w, "scanned_at", row->scanned_at_us);
	if (!row->ok && row->reason == DOOR_ALREADY_USED && row->first_used_at_us != TIME_INFINITY) {
		jw_key(w, "conflict");
		jw_obj(w);
		jw_kstr(w, "first_by_record", row->first_device);
		jw_kstr(w, "first_by_clock",
			row->scanned_at_us < row->first_used_at_us ? u->ask.device : row->first_device);
		jw_obj_end(w);
	}
	jw_obj_end(w);
}

static void upload_answer(struct upload *u)
{
	struct web_call *call = u->c.call;
	size_t ok = 0, n = u->ask.n;
	struct jw *w;

	call->audited = true;
	w = web_json(call);
	jw_kint(w, "clock_skew_ms", (u->now_us - u->ask.sent_at_us) / 1000);
	jw_key(w, "items");
	jw_arr(w);
	for (size_t i = 0; i < n; i++) {
		door_count_row(u->c.d, &u->rows[i]);
		ok += u->rows[i].ok;
		item_write(w, u, i);
	}
	jw_arr_end(w);
	jw_kint(w, "ok", (int64_t)ok);
	jw_kint(w, "refused", (int64_t)(n - ok));
	web_json_end(call, 200);
}

static void refuse_mistaken(struct upload *u)
{
	struct error e = {0};
	char scan[ERROR_PATH_MAX], path[ERROR_PATH_MAX];

	json_pointer_index(scan, "/scans", u->mistaken);
	json_pointer(path, scan, "nonce");
	error_set(&e, ERR_IDEMPOTENCY_MISMATCH, path,
		  "This nonce was used with another code. None of the scans was recorded.");
	web_refuse_error(u->c.call, &e);
}

/* ---- the transaction ---- */

static void upload_failed(struct upload *u, const struct pg_answer *a)
{
	if (door_try_again(&u->tries, u->c.d, a)) {
		upload_try(u);
		return;
	}
	door_refuse(u->c.call, &u->tries, a);
}

static void on_committed(void *arg, const struct pg_answer *a)
{
	struct upload *u = arg;

	if (a->status == PG_OK && u->mistaken < u->ask.n)
		refuse_mistaken(u);
	else if (a->status == PG_OK && u->n_rows == u->ask.n)
		upload_answer(u);
	else
		upload_failed(u, a);
}

static int row_cmp(const void *a, const void *b)
{
	const struct door_row *x = a, *y = b;
	size_t n = x->nonce.n < y->nonce.n ? x->nonce.n : y->nonce.n;
	int c = memcmp(x->nonce.p, y->nonce.p, n);

	return c ? c : (x->nonce.n > y->nonce.n) - (x->nonce.n < y->nonce.n);
}

/* Rows come in no order: by nonce they find their scans. There are fewer than scans when one of them is of another code. */
static void on_rows(void *arg, const struct pg_answer *a)
{
	struct upload *u = arg;
	struct arena *arena = u->c.call->arena;
	struct door_row *found, key;
	size_t n, matched = 0;

	if (a->status != PG_OK)
		return;
	n = (size_t)pg_rows(a->result);
	found = arena_array(arena, struct door_row, n + 1);
	for (size_t i = 0; i < n; i++)
		door_row_read(a->result, (int)i, arena, &found[i]);
	qsort(found, n, sizeof(*found), row_cmp);
	u->rows = arena_array(arena, struct door_row, u->ask.n);
	for (size_t i = 0; i < u->ask.n; i++) {
		const struct door_row *row;

		key.nonce = u->nonces[i];
		row = bsearch(&key, found, n, sizeof(*found), row_cmp);
		if (!row)
			continue;
		if (u->mistaken > i && memcmp(row->hash, u->hash[i], CRYPTO_HASH) != 0)
			u->mistaken = i;
		u->rows[i] = *row;
		matched++;
	}
	u->n_rows = matched == u->ask.n ? matched : 0;
}

static void upload_try(struct upload *u)
{
	struct web_call *call = u->c.call;
	struct pg_args args;
	struct pg_tx *tx = pg_tx_start(u->c.d->config.pg, NULL, door_try_ms(&u->tries, u->c.d));
	size_t n = u->ask.n;

	u->n_rows = 0;
	u->mistaken = SIZE_MAX;
	pg_args_init(&args, call->arena);
	pg_arg_uuid(&args, &call->ids[0]);
	pg_arg_uuids(&args, u->tickets, n);
	pg_tx_exec(tx, &door_sql_tickets_hold, &args, NULL, NULL);
	pg_args_init(&args, call->arena);
	pg_arg_uuid(&args, &call->ids[0]);
	pg_arg_text(&args, u->ask.device);
	door_arg_actor(&args, call);
	pg_arg_bool(&args, true);
	pg_arg_texts(&args, u->nonces, n);
	pg_arg_bytess(&args, u->hashes, n);
	pg_arg_uuids(&args, u->ids, n);
	pg_arg_uuids(&args, u->tickets, n);
	pg_arg_texts(&args, u->refused, n);
	pg_arg_times(&args, u->at_us, n);
	pg_arg_uuid(&args, &u->outbox_id);
	door_arg_window(&args, &u->c.d->config);
	pg_tx_exec(tx, &door_sql_ticket_use, &args, on_rows, u);
	pg_tx_commit(tx, on_committed, u);
}

/* ---- the signatures ---- */

static void check_free(void *data)
{
	struct check *c = data;

	free(c->keys);
	free(c->codes);
	free(c->code);
	free(c->reasons);
	free(c->claims);
	free(c);
}

static void check_work(void *data)
{
	struct check *c = data;
	struct ticket_trust trust = {.keys = c->keys, .n_keys = c->n_keys, .show_id = &c->show_id};

	for (size_t i = 0; i < c->n; i++)
		c->reasons[i] = ticket_code_verify(c->code[i], &trust, &c->claims[i]);
}

static struct check *check_new(const struct upload *u)
{
	const struct door_service *d = u->c.d;
	struct check *c = xcalloc(1, sizeof(*c));
	size_t bytes = 0;

	c->n = u->ask.n;
	c->n_keys = d->n_keys;
	c->keys = xcalloc(d->n_keys + 1, sizeof(*c->keys));
	memcpy(c->keys, d->keys, d->n_keys * sizeof(*c->keys));
	c->show_id = u->c.call->ids[0];
	for (size_t i = 0; i < c->n; i++)
		bytes += u->ask.scans[i].code.n;
	c->codes = xmalloc(bytes + 1);
	c->code = xcalloc(c->n, sizeof(*c->code));
	c->reasons = xcalloc(c->n, sizeof(*c->reasons));
	c->claims = xcalloc(c->n, sizeof(*c->claims));
	bytes = 0;
	for (size_t i = 0; i < c->n; i++) {
		struct str code = u->ask.scans[i].code;

		memcpy(c->codes + bytes, code.p, code.n);
		c->code[i] = (struct str){c->codes + bytes, code.n};
		bytes += code.n;
	}
	return c;
}

static void on_checked(void *arg, void *data)
{
	struct upload *u = arg;
	const struct check *c = data;
	struct uuid nobody = {{0}};

	for (size_t i = 0; i < c->n && !u->c.keys_asked; i++)
		if (c->reasons[i] == TICKET_UNKNOWN_KEY) {
			show_unref(u->show);
			u->show = NULL;
			door_keys_again(&u->c);
			return;
		}
	for (size_t i = 0; i < c->n; i++) {
		const struct door_scan *s = &u->ask.scans[i];
		enum door_reason refused = door_reason_of_code(c->reasons[i]);

		u->ids[i] = crypto_uuid_v7(u->now_us);
		u->tickets[i] = refused == DOOR_OK ? c->claims[i].ticket_id : nobody;
		u->nonces[i] = s->nonce;
		u->refused[i] = str_from(refused == DOOR_OK ? "" : door_reason_name(refused));
		u->at_us[i] = door_corrected_us(s->scanned_at_us, u->ask.sent_at_us, u->now_us);
		door_hash(u->c.d, 'u', s->code, &nobody, u->hash[i]);
		u->hashes[i] = (struct str){(const char *)u->hash[i], CRYPTO_HASH};
	}
	u->outbox_id = crypto_uuid_v7(u->now_us);
	door_tries_begin(&u->tries, u->c.d);
	upload_try(u);
}

static void upload_go(struct door_call *c, struct show *show)
{
	struct upload *u = (struct upload *)c;
	struct check *check = check_new(u);

	u->show = show_ref(show);
	if (!offload_start(c->d->config.offload, check_work, check, check_free, on_checked, u)) {
		check_free(check);
		web_refuse(c->call, ERR_OVERLOADED, NULL);
	}
}

void door_upload_post(struct web_call *call)
{
	struct upload *u = arena_new(call->arena, struct upload);
	struct error e = {0};
	json_t *body;
	size_t n;

	u->c = (struct door_call){.d = call->service, .call = call, .go = upload_go};
	u->now_us = wall_now_us();
	arena_on_done(call->arena, upload_done, u);
	body = web_body(call);
	if (!body)
		return;
	if (!door_read_upload(body, &u->ask, &e)) {
		web_refuse_error(call, &e);
		return;
	}
	if (!door_device(call, u->ask.device, &u->ask.device)) {
		return;
	}
	n = u->ask.n;
	u->ids = arena_array(call->arena, struct uuid, n);
	u->tickets = arena_array(call->arena, struct uuid, n);
	u->nonces = arena_array(call->arena, struct str, n);
	u->hashes = arena_array(call->arena, struct str, n);
	u->refused = arena_array(call->arena, struct str, n);
	u->hash = arena_calloc(call->arena, n, sizeof(*u->hash));
	u->at_us = arena_array(call->arena, int64_t, n);
	door_begin(&u->c);
}
