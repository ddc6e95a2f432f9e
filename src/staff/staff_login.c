/*
 * Logging in and out, who one is, and the throttle of guesses.
 *
 *   login: guess counted (429) -> account looked up -> password hashed in the pool (503) -> login, audit row, COMMIT
 *
 * Whether an account exists is not to be learnt here: the same statements and the same hashing (of a decoy) happen for an
 * address that nobody has, for somebody disabled and for somebody invited, and the answer is the same.
 */
#include "staff/staff_int.h"

#include "base/times.h"
#include "staff/staff_rules.h"
#include "staff/staff_sql.h"

#include <string.h>

/* Guesses within a quarter of an hour. From one network at one account: few. At one account from everywhere: enough that a
 * stranger cannot easily keep its owner out, too few to find a password. From one network at any accounts: an office's. */
enum { GUESSES_HERE = 5, GUESSES_ACCOUNT = 50, GUESSES_NETWORK = 100, GUESS_KEY = 16 };
#define GUESSES_WITHIN_US (15 * US_PER_MINUTE)

/* ---- guesses ---- */

struct guess {
	struct web_call *call;
	guess_fn *go;
	void *arg;
};

enum guess_key { KEY_HERE, KEY_ACCOUNT, KEY_NETWORK, GUESS_KEYS };

static void guess_keys(struct staff_service *s, struct web_call *call, struct str account,
		       uint8_t out[GUESS_KEYS][CRYPTO_HASH])
{
	char network[NETWORK_TEXT];
	const char *text;

	network_of_guesses(&call->client, network);
	text = arena_printf(call->arena, "here:%s:%.*s", network, STR_FMT(account));
	crypto_mac(&s->tries_key, str_from(text), out[KEY_HERE]);
	text = arena_printf(call->arena, "account:%.*s", STR_FMT(account));
	crypto_mac(&s->tries_key, str_from(text), out[KEY_ACCOUNT]);
	text = arena_printf(call->arena, "network:%s", network);
	crypto_mac(&s->tries_key, str_from(text), out[KEY_NETWORK]);
}

static void on_counted(void *arg, const struct pg_answer *a)
{
	struct guess *g = arg;
	int64_t wait_s;

	if (a->status != PG_OK) {
		web_refuse(g->call, ERR_UNAVAILABLE, NULL);
		return;
	}
	wait_s = pg_get_int(a->result, 0, 0);
	if (wait_s > 0) {
		g->call->retry_after_s = (int)wait_s;
		web_refuse(g->call, ERR_RATE_LIMITED, "Too many wrong passwords. Wait a quarter of an hour.");
		return;
	}
	g->go(g->arg);
}

void staff_guess(struct staff_service *s, struct web_call *call, struct str account, guess_fn *go, void *arg)
{
	static const int32_t most[GUESS_KEYS] = {GUESSES_HERE, GUESSES_ACCOUNT, GUESSES_NETWORK};
	struct guess *g = arena_new(call->arena, struct guess);
	uint8_t macs[GUESS_KEYS][CRYPTO_HASH];
	struct str keys[GUESS_KEYS];
	struct pg_args args;

	*g = (struct guess){call, go, arg};
	guess_keys(s, call, account, macs);
	for (int i = 0; i < GUESS_KEYS; i++)
		keys[i] = (struct str){(const char *)macs[i], GUESS_KEY};
	pg_args_init(&args, call->arena);
	pg_arg_bytess(&args, keys, GUESS_KEYS);
	pg_arg_i32s(&args, most, GUESS_KEYS);
	pg_arg_interval_us(&args, GUESSES_WITHIN_US);
	pg_query_start(s->config.pg, &staff_sql_tries_add, &args, STAFF_QUERY_MS, on_counted, g);
}

void staff_guessed_right(struct staff_service *s, struct web_call *call, struct pg_tx *tx, struct str account)
{
	uint8_t macs[GUESS_KEYS][CRYPTO_HASH];
	/* not the network's: with an account of one's own, guesses at others would be without end */
	struct str keys[] = {{(const char *)macs[KEY_HERE], GUESS_KEY}, {(const char *)macs[KEY_ACCOUNT], GUESS_KEY}};
	struct pg_args args;

	guess_keys(s, call, account, macs);
	pg_args_init(&args, call->arena);
	pg_arg_bytess(&args, keys, 2);
	pg_tx_exec(tx, &staff_sql_tries_clear, &args, NULL, NULL);
}

/* ---- login ---- */

struct login {
	struct change c;
	struct str email, password;
	struct uuid user_id, organizer_id, login_id;
	bool disabled;
	const char *hash;
	char token[AUTH_TOKEN_TEXT];
	int64_t ends_us;
};

static void set_cookie(struct web_call *call, const char *token, int64_t max_age_s, struct http_header *ret)
{
	*ret = (struct http_header){STR("Set-Cookie"),
				    str_from(arena_printf(call->arena,
							  AUTH_STAFF_COOKIE "=%s; Path=/; Max-Age=%lld; Secure; "
									    "HttpOnly; SameSite=Lax",
							  token, (long long)max_age_s))};
}

static void login_done(struct change *c)
{
	struct login *l = (struct login *)c;
	struct pg_args none;
	struct http_header cookie;
	struct jw *w;

	pg_args_init(&none, c->call->arena);
	pg_query_start(c->s->config.pg, &staff_sql_staff_sweep, &none, STAFF_QUERY_MS, NULL, NULL);
	set_cookie(c->call, l->token, c->s->config.login_lifetime_us / US_PER_SECOND, &cookie);
	w = web_json(c->call);
	jw_kcstr(w, "token", l->token);
	jw_ktime(w, "expires_at", l->ends_us);
	jw_kuuid(w, "user_id", &l->user_id);
	web_json_end_headers(c->call, 200, &cookie, 1);
}

static void login_found(struct change *c, const struct pg_result *r)
{
	((struct login *)c)->ends_us = pg_get_time(r, 0, 0);
}

static void login_more(struct change *c, struct pg_tx *tx)
{
	staff_guessed_right(c->s, c->call, tx, ((struct login *)c)->email);
}

/* Another password or the end of the account came between. */
static void login_nothing(struct change *c)
{
	web_refuse(c->call, ERR_LOGIN_REFUSED, NULL);
}

static void on_compared(void *arg, const struct hash_job *job)
{
	struct login *l = arg;
	struct web_call *call = l->c.call;
	uint8_t hash[CRYPTO_HASH];
	struct pg_args args;

	if (!job->fits || l->disabled || uuid_is_zero(&l->user_id)) {
		audit_failed(l->c.s, call, &l->user_id, err_info(ERR_LOGIN_REFUSED)->http_status);
		web_refuse(call, ERR_LOGIN_REFUSED, NULL);
		return;
	}
	l->login_id = crypto_uuid_v7(wall_now_us());
	auth_secret_token("bu_", &l->login_id, NULL, l->token, hash);
	l->c.row = (struct audit_row){.made = &l->user_id,
				      .status = 200,
				      .detail = STR(""),
				      .user_id = l->user_id,
				      .organizer_id = l->organizer_id};
	pg_args_init(&args, call->arena);
	pg_arg_uuid(&args, &l->login_id);
	pg_arg_uuid(&args, &l->user_id);
	pg_arg_bytes(&args, (struct str){(const char *)hash, sizeof(hash)});
	pg_arg_text(&args, str_from(l->hash));
	pg_arg_interval_us(&args, l->c.s->config.login_lifetime_us);
	change_start(&l->c, &staff_sql_login_add, &args);
}

static void on_account(void *arg, const struct pg_answer *a)
{
	struct login *l = arg;
	struct web_call *call = l->c.call;

	if (a->status != PG_OK) {
		staff_refuse_pg(call, a);
		return;
	}
	l->hash = staff_decoy_hash;
	if (pg_rows(a->result)) {
		l->user_id = pg_get_uuid(a->result, 0, 0);
		l->organizer_id = pg_get_uuid(a->result, 0, 1);
		l->disabled = pg_get_bool(a->result, 0, 3);
		if (pg_get_text(a->result, 0, 2).n)
			l->hash = arena_cstr(call->arena, pg_get_text(a->result, 0, 2));
	}
	staff_hash_start(l->c.s, call, l->hash, l->password, STR(""), on_compared, l);
}

static void login_look_up(void *arg)
{
	struct login *l = arg;
	struct pg_args args;

	pg_args_init(&args, l->c.call->arena);
	pg_arg_text(&args, l->email);
	pg_query_start(l->c.s->config.pg, &staff_sql_user_by_email, &args, STAFF_QUERY_MS, on_account, l);
}

/* A page of another site must not log its visitor in as somebody: what they do next would be seen there. */
bool staff_from_elsewhere(struct web_call *call)
{
	if (!web_from_elsewhere(call))
		return false;
	web_refuse(call, ERR_FORBIDDEN, "A login must come from this site's own pages (Origin).");
	return true;
}

void staff_login_post(struct web_call *call)
{
	struct login *l = arena_new(call->arena, struct login);
	struct error e = {0};
	struct json_in in;
	json_t *body;

	if (staff_from_elsewhere(call) || !(body = web_body(call)))
		return;
	l->c = (struct change){.s = call->service,
			       .call = call,
			       .found = login_found,
			       .more = login_more,
			       .done = login_done,
			       .nothing = login_nothing};
	json_in_init(&in, body, "", &e);
	l->email = staff_read_email(&in, call->arena);
	l->password = json_in_str(&in, "password", JSON_REQUIRED, 1, PASSWORD_MOST);
	if (!json_in_end(&in)) {
		web_refuse_error(call, &e);
		return;
	}
	staff_guess(l->c.s, call, l->email, login_look_up, l);
}

/* ---- logout ---- */

static void logged_out(struct change *c)
{
	struct http_header cookie;

	set_cookie(c->call, "", 0, &cookie);
	web_bytes(c->call, 204, &cookie, 1, STR(""));
}

static void logout_nothing(struct change *c)
{
	c->call->audited = true; /* it was over already */
	logged_out(c);
}

bool staff_is_user(struct web_call *call)
{
	if (!uuid_is_zero(&call->who.user_id))
		return true;
	web_refuse(call, ERR_FORBIDDEN, "This is for people who have logged in, not for API tokens.");
	return false;
}

/* A body that says nothing, or none; false after having answered. */
static bool empty_body(struct web_call *call)
{
	struct error e = {0};
	struct json_in in;
	json_t *body;

	if (!call->req->body.n)
		return true;
	body = web_body(call);
	if (!body)
		return false;
	json_in_init(&in, body, "", &e);
	if (json_in_end(&in))
		return true;
	web_refuse_error(call, &e);
	return false;
}

void staff_logout_post(struct web_call *call)
{
	struct change *c = arena_new(call->arena, struct change);
	struct pg_args args;

	if (!staff_is_user(call) || !empty_body(call))
		return;
	*c = (struct change){.s = call->service, .call = call, .done = logged_out, .nothing = logout_nothing};
	c->row = (struct audit_row){.made = &call->who.user_id, .status = 204, .detail = STR("")};
	pg_args_init(&args, call->arena);
	pg_arg_uuid(&args, &call->who.login_id);
	change_start(c, &staff_sql_login_end, &args);
}

/* ---- who am I ---- */

static void write_me(struct web_call *call, const struct pg_result *user)
{
	struct jw *w = web_json(call);

	jw_kcstr(w, "kind", user ? "user" : "token");
	jw_kuuid(w, "organizer_id", &call->who.organizer_id);
	staff_write_scopes(w, call->who.scopes);
	if (user) {
		jw_kuuid(w, "user_id", &call->who.user_id);
		jw_kstr(w, "email", pg_get_text(user, 0, 1));
		jw_kstr(w, "name", pg_get_text(user, 0, 2));
	} else {
		jw_kuuid(w, "token_id", &call->who.token_id);
	}
	web_json_end(call, 200);
}

static void on_me(void *arg, const struct pg_answer *a)
{
	struct web_call *call = arg;

	if (a->status != PG_OK)
		staff_refuse_pg(call, a);
	else if (pg_rows(a->result) == 0)
		web_refuse(call, ERR_UNAUTHENTICATED, NULL);
	else
		write_me(call, a->result);
}

void staff_me_get(struct web_call *call)
{
	struct staff_service *s = call->service;
	struct pg_args args;

	if (uuid_is_zero(&call->who.user_id)) {
		write_me(call, NULL);
		return;
	}
	pg_args_init(&args, call->arena);
	pg_arg_uuid(&args, &call->who.user_id);
	pg_arg_uuid(&args, &call->who.organizer_id);
	pg_query_start(s->config.pg, &staff_sql_user_get, &args, STAFF_QUERY_MS, on_me, call);
}
