/* API tokens of an organiser: shown once, kept as a hash, with at most the scopes of whoever makes them. A token revokes none that
 * may more than itself: one that leaked could shut out everybody else; a person who has logged in may revoke any. A token that was
 * revoked stops with the next request, in every process: tokens are looked up at each (auth), and kept nowhere. */
#include "staff/staff_int.h"

#include "base/times.h"
#include "staff/staff_sql.h"

#include <string.h>

enum { TOKEN_DEVICE_MAX = 64, TOKEN_SHOWS_MAX = 200 };

struct token {
	struct change c;
	struct idempotent idem;
	struct uuid token_id, created_by;
	size_t n_shows;
	char text[AUTH_TOKEN_TEXT]; /* "": not to be shown */
};

static void write_token(struct jw *w, const struct pg_result *r, int row, struct arena *arena)
{
	struct uuid id = pg_get_uuid(r, row, 0), by, *shows;
	size_t n;

	jw_kuuid(w, "token_id", &id);
	jw_kstr(w, "name", pg_get_text(r, row, 1));
	staff_write_scopes(w, staff_get_scopes(r, row, 2, arena));
	jw_ktime(w, "created_at", pg_get_time(r, row, 3));
	jw_key(w, "expires_at");
	if (pg_get_time(r, row, 4) == TIME_INFINITY)
		jw_null(w);
	else
		jw_time(w, pg_get_time(r, row, 4));
	jw_key(w, "last_used_at");
	if (pg_is_null(r, row, 5))
		jw_null(w);
	else
		jw_time(w, pg_get_time(r, row, 5));
	if (pg_get_text(r, row, 9).n)
		jw_kstr(w, "device", pg_get_text(r, row, 9));
	n = pg_get_uuids(r, row, 10, arena, &shows);
	if (n) {
		jw_key(w, "shows");
		jw_arr(w);
		for (size_t i = 0; i < n; i++)
			jw_uuid(w, &shows[i]);
		jw_arr_end(w);
	}
	jw_key(w, "created_by");
	if (pg_is_null(r, row, 6)) {
		jw_null(w);
	} else {
		by = pg_get_uuid(r, row, 6);
		jw_uuid(w, &by);
	}
}

void staff_tokens_get(struct web_call *call)
{
	staff_list(call, &staff_sql_tokens_list, write_token);
}

static void token_read(struct token *t, pg_fn *fn)
{
	struct pg_args args;

	pg_args_init(&args, t->c.call->arena);
	pg_arg_uuid(&args, &t->token_id);
	pg_arg_uuid(&args, &t->c.call->who.organizer_id);
	pg_query_start(t->c.s->config.pg, &staff_sql_token_get, &args, STAFF_QUERY_MS, fn, t);
}

/* Of somebody else, who happened to take the same key: its secret is theirs, and what it does stands in their name. */
static bool made_by_another(const struct token *t, const struct pg_result *r)
{
	struct uuid by;

	if (pg_is_null(r, 0, 6))
		return true;
	by = pg_get_uuid(r, 0, 6);
	return !uuid_eq(&by, &t->created_by);
}

/* Made now or before by the same key: the same body gets the same token. */
static void on_token(void *arg, const struct pg_answer *a)
{
	struct token *t = arg;
	struct web_call *call = t->c.call;
	struct str mine = idempotent_hash(&t->idem);
	struct jw *w;

	if (a->status != PG_OK) {
		staff_refuse_pg(call, a);
	} else if (pg_rows(a->result) == 0 && t->n_shows) {
		struct error e = {0};

		error_set(&e, ERR_INVALID_VALUE, "/shows", "One of \"shows\" is not a show of yours.");
		web_refuse_error(call, &e);
	} else if (pg_rows(a->result) == 0 || (!t->idem.has_key && pg_get_bool(a->result, 0, 8))) {
		/* who asks was there when it began, and is not now: it was not made, or has ended with its maker */
		web_refuse(call, ERR_UNAUTHENTICATED, NULL);
	} else if (!str_eq(pg_get_bytes(a->result, 0, 7), mine) || pg_get_bool(a->result, 0, 8) ||
		   made_by_another(t, a->result)) {
		web_refuse(call, ERR_IDEMPOTENCY_MISMATCH, NULL);
	} else {
		call->audited = true; /* when it was made */
		w = web_json(call);
		write_token(w, a->result, 0, call->arena);
		jw_kcstr(w, "token", t->text);
		web_json_end(call, 201);
	}
}

static void token_answer(struct change *c)
{
	token_read((struct token *)c, on_token);
}

/* What makes it the token of a device: its name, and the shows whose doors it opens. A door is all that such a token opens, so that no
 * other route need know of its shows. */
static struct str read_device(struct json_in *in, struct arena *arena, unsigned scopes, struct uuid **ret_shows,
			      size_t *ret_n)
{
	struct str device = json_in_str(in, "device", JSON_OPTIONAL, 1, TOKEN_DEVICE_MAX);
	const json_t *shows = json_in_array(in, "shows", JSON_OPTIONAL, 1, TOKEN_SHOWS_MAX), *one;
	size_t i;

	*ret_n = shows ? json_array_size(shows) : 0;
	*ret_shows = arena_array(arena, struct uuid, *ret_n + 1);
	json_array_foreach(shows, i, one) {
		if (!json_is_string(one) ||
		    !uuid_parse((struct str){json_string_value(one), json_string_length(one)}, &(*ret_shows)[i]))
			json_in_fault(in, ERR_INVALID_VALUE, "shows", "\"shows\" are ids of shows.");
	}
	if ((device.n || *ret_n) && in->error->code == ERR_NONE && scopes != SCOPE_CHECKIN)
		json_in_fault(in, ERR_INVALID_VALUE, "scopes",
			      "The token of a device has the scope checkin and no other.");
	return device;
}

void staff_token_post(struct web_call *call)
{
	struct token *t = arena_new(call->arena, struct token);
	json_t *body;
	uint8_t hash[CRYPTO_HASH];
	struct error e = {0};
	struct json_in in;
	struct pg_args args;
	struct str name, device;
	struct uuid *shows;
	int64_t expires_us;
	unsigned scopes;

	t->c = (struct change){.s = call->service, .call = call, .done = token_answer, .nothing = token_answer};
	body = web_body(call);
	if (!body || !auth_idempotent(t->c.s->config.auth, call, body, &t->idem))
		return;
	json_in_init(&in, body, "", &e);
	name = json_in_str(&in, "name", JSON_REQUIRED, 1, 200);
	scopes = staff_read_scopes(&in, "scopes", JSON_REQUIRED, NULL);
	device = read_device(&in, call->arena, scopes, &shows, &t->n_shows);
	if (!json_in_time(&in, "expires_at", JSON_OPTIONAL, &expires_us))
		expires_us = TIME_INFINITY;
	else if (e.code == ERR_NONE && expires_us <= wall_now_us())
		json_in_fault(&in, ERR_INVALID_VALUE, "expires_at", "\"expires_at\" is over already.");
	if (!json_in_end(&in)) {
		web_refuse_error(call, &e);
		return;
	}
	if (!staff_holds(call, scopes, "/scopes"))
		return;
	t->token_id = t->idem.id;
	t->created_by = uuid_is_zero(&call->who.user_id) ? call->who.token_id : call->who.user_id;
	t->c.row = (struct audit_row){.made = &t->token_id, .status = 201, .detail = STR("")};
	/* only a request that can be repeated needs a token that can be */
	auth_secret_token("bt_", &t->token_id, t->idem.has_key ? &t->c.s->token_key : NULL, t->text, hash);
	pg_args_init(&args, call->arena);
	pg_arg_uuid(&args, &t->token_id);
	pg_arg_uuid(&args, &call->who.organizer_id);
	pg_arg_text(&args, name);
	pg_arg_bytes(&args, (struct str){(const char *)hash, sizeof(hash)});
	staff_arg_scopes(&args, scopes);
	pg_arg_time(&args, expires_us);
	pg_arg_uuid(&args, &t->created_by);
	pg_arg_bytes(&args, idempotent_hash(&t->idem));
	pg_arg_text(&args, device);
	pg_arg_uuids(&args, shows, t->n_shows);
	change_start(&t->c, &staff_sql_token_add, &args);
}

static void ended(struct change *c)
{
	web_empty(c->call, 204);
}

/* Not there, ended before, or not for who asks. */
static void on_ended_before(void *arg, const struct pg_answer *a)
{
	struct token *t = arg;

	if (a->status != PG_OK) {
		staff_refuse_pg(t->c.call, a);
	} else if (pg_rows(a->result) == 0) {
		web_refuse(t->c.call, ERR_NOT_FOUND, "There is no such token.");
	} else if (!pg_get_bool(a->result, 0, 8) && uuid_is_zero(&t->c.call->who.user_id) &&
		   !staff_holds(t->c.call, staff_get_scopes(a->result, 0, 2, t->c.call->arena), "")) {
		return; /* answered */
	} else {
		t->c.call->audited = true;
		ended(&t->c);
	}
}

static void delete_nothing(struct change *c)
{
	token_read((struct token *)c, on_ended_before);
}

void staff_token_delete(struct web_call *call)
{
	struct token *t = arena_new(call->arena, struct token);
	struct pg_args args;

	t->c = (struct change){.s = call->service, .call = call, .done = ended, .nothing = delete_nothing};
	t->c.row = (struct audit_row){.status = 204, .detail = STR("")};
	t->token_id = call->ids[0];
	pg_args_init(&args, call->arena);
	pg_arg_uuid(&args, &t->token_id);
	pg_arg_uuid(&args, &call->who.organizer_id);
	staff_arg_scopes(&args, call->who.scopes);
	pg_arg_bool(&args, !uuid_is_zero(&call->who.user_id));
	change_start(&t->c, &staff_sql_token_end, &args);
}
