/*
 * The users of an organiser, by an admin of it. Nobody gives scopes that they lack, and nobody changes, removes or lets in anew
 * somebody who has scopes that they lack: with an invitation for such a user one would become them. Nor does anybody lessen or
 * remove themselves: an organiser does not lose its last admin by a slip.
 */
#include "staff/staff_int.h"

#include "base/times.h"
#include "staff/staff_sql.h"

#include <string.h>

#define INVITATION_US (7 * US_PER_DAY)
enum { USER_NAME_MAX = 200, TOKEN_HASH_COL = 8 };

struct user {
	struct change c;
	struct idempotent idem;
	struct uuid user_id;
	struct str email;
	unsigned scopes;
	bool scopes_there, disabled_there, name_there, disabled;
	char invitation[AUTH_TOKEN_TEXT]; /* "": none to show */
};

static void write_user(struct jw *w, const struct pg_result *r, int row, struct arena *arena)
{
	struct uuid id = pg_get_uuid(r, row, 0);

	jw_kuuid(w, "user_id", &id);
	jw_kstr(w, "email", pg_get_text(r, row, 1));
	jw_kstr(w, "name", pg_get_text(r, row, 2));
	staff_write_scopes(w, staff_get_scopes(r, row, 3, arena));
	jw_ktime(w, "created_at", pg_get_time(r, row, 4));
	jw_kcstr(w, "status", pg_get_bool(r, row, 5) ? "disabled" : pg_get_bool(r, row, 6) ? "invited" : "active");
}

/* ---- reading ---- */

void staff_users_get(struct web_call *call)
{
	staff_list(call, &staff_sql_users_list, write_user);
}

/* Answers the user as it is now; after a change of it with what the change made. */
static void on_user(void *arg, const struct pg_answer *a)
{
	struct user *u = arg;
	struct web_call *call = u->c.call;
	struct jw *w;

	if (a->status != PG_OK) {
		staff_refuse_pg(call, a);
		return;
	}
	if (pg_rows(a->result) == 0) {
		web_refuse(call, ERR_NOT_FOUND, "There is no such user.");
		return;
	}
	w = web_json(call);
	write_user(w, a->result, 0, call->arena);
	if (u->invitation[0]) {
		jw_key(w, "invitation");
		jw_obj(w);
		jw_kcstr(w, "token", u->invitation);
		jw_ktime(w, "expires_at", pg_get_time(a->result, 0, 7));
		jw_obj_end(w);
	}
	web_json_end(call, u->c.row.status ? u->c.row.status : 200);
}

static void user_read(struct user *u, pg_fn *fn)
{
	struct pg_args args;

	pg_args_init(&args, u->c.call->arena);
	pg_arg_uuid(&args, &u->user_id);
	pg_arg_uuid(&args, &u->c.call->who.organizer_id);
	pg_query_start(u->c.s->config.pg, &staff_sql_user_get, &args, STAFF_QUERY_MS, fn, u);
}

static void user_answer(struct change *c)
{
	user_read((struct user *)c, on_user);
}

static struct user *user_new(struct web_call *call, int status)
{
	struct user *u = arena_new(call->arena, struct user);

	u->c = (struct change){.s = call->service, .call = call, .done = user_answer};
	u->c.row = (struct audit_row){.status = status, .detail = STR("")};
	u->user_id = call->ids[0];
	return u;
}

void staff_user_get(struct web_call *call)
{
	user_read(user_new(call, 200), on_user);
}

/* "scopes events,admin; disabled": of what happened to a user, what is no personal data. */
static void describe(struct user *u)
{
	struct arena *arena = u->c.call->arena;
	const char *text = "";

	for (unsigned bit = 1; u->scopes_there && bit <= SCOPE_ALL; bit <<= 1)
		if (u->scopes & bit)
			text = arena_printf(arena, "%s%s%s", text, *text ? "," : "scopes ", auth_scope_name(bit));
	if (u->name_there)
		text = arena_printf(arena, "%s%sname", text, *text ? "; " : "");
	if (u->disabled_there)
		text = arena_printf(arena, "%s%s%s", text, *text ? "; " : "", u->disabled ? "disabled" : "enabled");
	u->c.row.detail = str_from(text);
}

/* ---- somebody new ---- */

static void on_there(void *arg, const struct pg_answer *a)
{
	struct user *u = arg;
	struct web_call *call = u->c.call;
	bool same;

	if (a->status != PG_OK) {
		staff_refuse_pg(call, a);
		return;
	}
	if (pg_rows(a->result) == 0) {
		web_refuse(call, ERR_EMAIL_TAKEN, NULL);
		return;
	}
	same = str_eq(pg_get_bytes(a->result, 0, TOKEN_HASH_COL), idempotent_hash(&u->idem));
	if (!same) {
		web_refuse(call, ERR_IDEMPOTENCY_MISMATCH, NULL);
		return;
	}
	call->audited = true; /* when it was made */
	on_user(u, a);
}

static void post_nothing(struct change *c)
{
	user_read((struct user *)c, on_there);
}

static void arg_invitation(struct user *u, struct pg_args *args, bool again)
{
	uint8_t hash[CRYPTO_HASH];

	/* only a request that can be repeated needs a token that can be */
	auth_secret_token("bi_", &u->user_id, again ? &u->c.s->invitation_key : NULL, u->invitation, hash);
	pg_arg_bytes(args, (struct str){(const char *)hash, sizeof(hash)});
	pg_arg_interval_us(args, INVITATION_US);
}

void staff_user_post(struct web_call *call)
{
	struct user *u = user_new(call, 201);
	json_t *body = web_body(call);
	struct error e = {0};
	struct json_in in;
	struct str name;
	struct pg_args args;

	if (!body || !auth_idempotent(u->c.s->config.auth, call, body, &u->idem))
		return;
	json_in_init(&in, body, "", &e);
	u->email = staff_read_email(&in, call->arena);
	name = json_in_str(&in, "name", JSON_OPTIONAL, 1, USER_NAME_MAX);
	u->scopes = staff_read_scopes(&in, "scopes", JSON_REQUIRED, &u->scopes_there);
	if (!json_in_end(&in)) {
		web_refuse_error(call, &e);
		return;
	}
	if (!staff_holds(call, u->scopes, "/scopes"))
		return;
	u->user_id = u->idem.id;
	u->c.row.made = &u->user_id;
	u->c.nothing = post_nothing;
	describe(u);
	pg_args_init(&args, call->arena);
	pg_arg_uuid(&args, &u->user_id);
	pg_arg_uuid(&args, &call->who.organizer_id);
	pg_arg_text(&args, u->email);
	pg_arg_text(&args, name);
	staff_arg_scopes(&args, u->scopes);
	arg_invitation(u, &args, u->idem.has_key);
	pg_arg_bytes(&args, idempotent_hash(&u->idem));
	change_start(&u->c, &staff_sql_user_add, &args);
}

/* ---- changes of somebody ---- */

/* Why a change found nothing: not there, oneself, or somebody with more scopes. */
static void on_unchanged(void *arg, const struct pg_answer *a)
{
	struct user *u = arg;
	struct web_call *call = u->c.call;

	if (a->status != PG_OK) {
		staff_refuse_pg(call, a);
	} else if (pg_rows(a->result) == 0) {
		web_refuse(call, ERR_NOT_FOUND, "There is no such user.");
	} else if (uuid_eq(&u->user_id, &call->who.user_id)) {
		web_refuse(call, ERR_OWN_ACCOUNT, NULL);
	} else if (staff_holds(call, staff_get_scopes(a->result, 0, 3, call->arena), "")) {
		web_refuse(call, ERR_UNAVAILABLE, NULL); /* it was otherwise a moment ago */
	}
}

static void change_nothing(struct change *c)
{
	user_read((struct user *)c, on_unchanged);
}

static void more_end_logins(struct change *c, struct pg_tx *tx)
{
	struct user *u = (struct user *)c;
	struct uuid none = {{0}};
	struct pg_args args;

	pg_args_init(&args, c->call->arena);
	pg_arg_uuid(&args, &u->user_id);
	pg_arg_uuid(&args, &none);
	pg_tx_exec(tx, &staff_sql_logins_end, &args, NULL, NULL);
}

/* Who is no longer let in may know tokens that they made, and what was made with those. */
static void more_end_all(struct change *c, struct pg_tx *tx)
{
	struct user *u = (struct user *)c;
	struct pg_args args;

	more_end_logins(c, tx);
	pg_args_init(&args, c->call->arena);
	pg_arg_uuid(&args, &c->call->who.organizer_id);
	pg_tx_exec(tx, &staff_sql_user_tokens_lock, &args, NULL, NULL);
	pg_args_init(&args, c->call->arena);
	pg_arg_uuid(&args, &u->user_id);
	pg_arg_uuid(&args, &c->call->who.organizer_id);
	pg_tx_exec(tx, &staff_sql_user_tokens_end, &args, NULL, NULL);
}

void staff_user_patch(struct web_call *call)
{
	struct user *u = user_new(call, 200);
	json_t *body = web_body(call);
	struct error e = {0};
	struct json_in in;
	const json_t *disabled;
	struct pg_args args;
	struct str name;

	if (!body)
		return;
	json_in_init(&in, body, "", &e);
	name = json_in_str(&in, "name", JSON_OPTIONAL, 1, USER_NAME_MAX);
	u->name_there = name.n > 0;
	u->scopes = staff_read_scopes(&in, "scopes", JSON_OPTIONAL, &u->scopes_there);
	disabled = json_in_value(&in, "disabled", JSON_OPTIONAL);
	u->disabled_there = disabled != NULL;
	u->disabled = json_is_true(disabled);
	if (disabled && !json_is_boolean(disabled))
		json_in_fault(&in, ERR_INVALID_REQUEST, "disabled", "\"disabled\" must be true or false.");
	if (e.code == ERR_NONE && json_object_size(body) == 0)
		error_set(&e, ERR_INVALID_REQUEST, "", "Nothing to change: name, scopes or disabled.");
	if (!json_in_end(&in)) {
		web_refuse_error(call, &e);
		return;
	}
	if (!staff_holds(call, u->scopes, "/scopes"))
		return;
	if (u->disabled) /* what they may do is looked up at every request */
		u->c.more = more_end_all;
	u->c.nothing = change_nothing;
	describe(u);
	pg_args_init(&args, call->arena);
	pg_arg_uuid(&args, &u->user_id);
	pg_arg_uuid(&args, &call->who.organizer_id);
	if (u->name_there)
		pg_arg_text(&args, name);
	else
		pg_arg_null(&args);
	if (u->scopes_there)
		staff_arg_scopes(&args, u->scopes);
	else
		pg_arg_null(&args);
	if (u->disabled_there)
		pg_arg_bool(&args, u->disabled);
	else
		pg_arg_null(&args);
	staff_arg_scopes(&args, call->who.scopes);
	pg_arg_uuid(&args, &call->who.user_id);
	change_start(&u->c, &staff_sql_user_change, &args);
}

static void erased(struct change *c)
{
	web_empty(c->call, 204);
}

void staff_user_delete(struct web_call *call)
{
	struct user *u = user_new(call, 204);
	struct pg_args args;

	u->c.more = more_end_all;
	u->c.done = erased;
	u->c.nothing = change_nothing;
	pg_args_init(&args, call->arena);
	pg_arg_uuid(&args, &u->user_id);
	pg_arg_uuid(&args, &call->who.organizer_id);
	staff_arg_scopes(&args, call->who.scopes);
	pg_arg_uuid(&args, &call->who.user_id);
	change_start(&u->c, &staff_sql_user_erase, &args);
}

void staff_invitation_post(struct web_call *call)
{
	struct user *u = user_new(call, 201);
	struct pg_args args;

	u->c.more = more_end_logins;
	u->c.nothing = change_nothing;
	pg_args_init(&args, call->arena);
	pg_arg_uuid(&args, &u->user_id);
	pg_arg_uuid(&args, &call->who.organizer_id);
	arg_invitation(u, &args, false);
	staff_arg_scopes(&args, call->who.scopes);
	pg_arg_uuid(&args, &call->who.user_id);
	change_start(&u->c, &staff_sql_invitation_renew, &args);
}
