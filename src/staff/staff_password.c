/*
 * How a password comes to be: by an invitation, once, or in place of the old one.
 *
 *   own:        old one is a guess (429) -> compared and hashed in the pool (503) -> wrong: logged; set if nobody else did, other logins end
 *   invitation: looked up -> hashed -> taken if nobody else did, all logins end
 */
#include "staff/staff_int.h"

#include "staff/staff_rules.h"
#include "staff/staff_sql.h"

#include <string.h>

struct password {
	struct change c;
	struct str old, fresh, email, token;
	const char *hash;
	uint8_t token_hash[CRYPTO_HASH];
	struct uuid user_id, organizer_id; /* of an invitation */
};

static void end_logins(struct change *c, struct pg_tx *tx, const struct uuid *user, const struct uuid *but)
{
	struct pg_args args;

	pg_args_init(&args, c->call->arena);
	pg_arg_uuid(&args, user);
	pg_arg_uuid(&args, but);
	pg_tx_exec(tx, &staff_sql_logins_end, &args, NULL, NULL);
}

static void password_more(struct change *c, struct pg_tx *tx)
{
	struct password *p = (struct password *)c;

	end_logins(c, tx, &c->call->who.user_id, &c->call->who.login_id);
	staff_guessed_right(c->s, c->call, tx, p->email);
}

static void password_done(struct change *c)
{
	web_empty(c->call, 204);
}

static void password_nothing(struct change *c)
{
	web_refuse(c->call, ERR_WRONG_PASSWORD, "The password was changed at the same time.");
}

static void on_password_hashed(void *arg, const struct hash_job *job)
{
	struct password *p = arg;
	struct web_call *call = p->c.call;
	struct pg_args args;

	if (!job->fits || job->failed) {
		if (!job->failed)
			audit_failed(p->c.s, call, &call->who.user_id, err_info(ERR_WRONG_PASSWORD)->http_status);
		web_refuse(call, job->failed ? ERR_OVERLOADED : ERR_WRONG_PASSWORD, NULL);
		return;
	}
	p->c.row = (struct audit_row){.made = &call->who.user_id, .status = 204, .detail = STR("")};
	pg_args_init(&args, call->arena);
	pg_arg_uuid(&args, &call->who.user_id);
	pg_arg_text(&args, str_from(p->hash));
	pg_arg_text(&args, str_from(job->made));
	change_start(&p->c, &staff_sql_user_password_set, &args);
}

static void password_compare(void *arg)
{
	struct password *p = arg;

	staff_hash_start(p->c.s, p->c.call, p->hash, p->old, p->fresh, on_password_hashed, p);
}

/* Whose password it is was looked up: false after having answered. */
static bool is_somebody(struct password *p, const struct pg_answer *a, enum err absent)
{
	if (a->status != PG_OK)
		staff_refuse_pg(p->c.call, a);
	else if (pg_rows(a->result) == 0)
		web_refuse(p->c.call, absent, NULL);
	return a->status == PG_OK && pg_rows(a->result);
}

static void on_own(void *arg, const struct pg_answer *a)
{
	struct password *p = arg;
	struct web_call *call = p->c.call;

	if (!is_somebody(p, a, ERR_UNAUTHENTICATED))
		return;
	p->hash = arena_cstr(call->arena, pg_get_text(a->result, 0, 0));
	p->email = arena_str(call->arena, pg_get_text(a->result, 0, 1));
	if (staff_password_fits(call, p->fresh, p->email, "/new"))
		staff_guess(p->c.s, call, p->email, password_compare, p);
}

void staff_password_post(struct web_call *call)
{
	struct password *p = arena_new(call->arena, struct password);
	struct error e = {0};
	struct json_in in;
	struct pg_args args;
	json_t *body;

	if (!staff_is_user(call) || !(body = web_body(call)))
		return;
	p->c = (struct change){.s = call->service,
			       .call = call,
			       .more = password_more,
			       .done = password_done,
			       .nothing = password_nothing};
	json_in_init(&in, body, "", &e);
	p->old = json_in_str(&in, "old", JSON_REQUIRED, 1, PASSWORD_MOST);
	p->fresh = json_in_str(&in, "new", JSON_REQUIRED, 1, PASSWORD_MOST);
	if (!json_in_end(&in)) {
		web_refuse_error(call, &e);
		return;
	}
	pg_args_init(&args, call->arena);
	pg_arg_uuid(&args, &call->who.user_id);
	pg_query_start(p->c.s->config.pg, &staff_sql_user_password, &args, STAFF_QUERY_MS, on_own, p);
}

static void accept_found(struct change *c, const struct pg_result *r)
{
	struct password *p = (struct password *)c;

	p->user_id = pg_get_uuid(r, 0, 0);
	c->row = (struct audit_row){.made = &p->user_id,
				    .status = 204,
				    .detail = STR(""),
				    .user_id = p->user_id,
				    .organizer_id = pg_get_uuid(r, 0, 1)};
}

static void accept_more(struct change *c, struct pg_tx *tx)
{
	struct password *p = (struct password *)c;
	struct uuid none = {{0}};

	end_logins(c, tx, &p->user_id, &none);
	staff_guessed_right(c->s, c->call, tx, p->email);
}

static void accept_nothing(struct change *c)
{
	web_refuse(c->call, ERR_INVITATION_INVALID, NULL);
}

static void on_accept_hashed(void *arg, const struct hash_job *job)
{
	struct password *p = arg;
	struct pg_args args;

	if (job->failed) {
		web_refuse(p->c.call, ERR_OVERLOADED, NULL);
		return;
	}
	pg_args_init(&args, p->c.call->arena);
	pg_arg_bytes(&args, (struct str){(const char *)p->token_hash, sizeof(p->token_hash)});
	pg_arg_text(&args, str_from(job->made));
	change_start(&p->c, &staff_sql_invitation_take, &args);
}

static void on_invitation(void *arg, const struct pg_answer *a)
{
	struct password *p = arg;
	struct web_call *call = p->c.call;

	if (!is_somebody(p, a, ERR_INVITATION_INVALID))
		return;
	p->email = arena_str(call->arena, pg_get_text(a->result, 0, 0));
	if (staff_password_fits(call, p->fresh, p->email, "/password"))
		staff_hash_start(p->c.s, call, NULL, STR(""), p->fresh, on_accept_hashed, p);
}

void staff_invitation_accept(struct web_call *call)
{
	struct password *p = arena_new(call->arena, struct password);
	struct error e = {0};
	struct json_in in;
	struct pg_args args;
	json_t *body;

	if (staff_from_elsewhere(call) || !(body = web_body(call)))
		return;
	p->c = (struct change){.s = call->service,
			       .call = call,
			       .found = accept_found,
			       .more = accept_more,
			       .done = password_done,
			       .nothing = accept_nothing};
	json_in_init(&in, body, "", &e);
	p->token = json_in_str(&in, "token", JSON_REQUIRED, 1, AUTH_TOKEN_TEXT);
	p->fresh = json_in_str(&in, "password", JSON_REQUIRED, 1, PASSWORD_MOST);
	if (!json_in_end(&in)) {
		web_refuse_error(call, &e);
		return;
	}
	crypto_digest(p->token, p->token_hash);
	pg_args_init(&args, call->arena);
	pg_arg_bytes(&args, (struct str){(const char *)p->token_hash, sizeof(p->token_hash)});
	pg_query_start(p->c.s->config.pg, &staff_sql_invitation_look, &args, STAFF_QUERY_MS, on_invitation, p);
}
