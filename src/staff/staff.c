/* Owns the service, its routes, and what its files share: how a change is made, and scopes. */
#include "staff/staff_int.h"

#include "base/xmalloc.h"
#include "io/page.h"
#include "seat/seat.h"
#include "staff/staff_rules.h"
#include "staff/staff_sql.h"

#include <stdlib.h>
#include <string.h>

/* One argon2id takes 64 MiB and about a tenth of a second of one core: one at a time, and whoever would wait for more than a
 * second is told so at once. */
enum { HASH_THREADS = 1, HASH_QUEUE = 8 };

const struct pg_stmt *const *const staff_sql = staff_sql_statements;

struct staff_service *staff_service_new(const struct staff_config *config)
{
	struct staff_service *s = xcalloc(1, sizeof(*s));
	const struct crypto_key *master = auth_master(config->auth);

	s->config = *config;
	s->hashers = offload_new(config->loop, HASH_THREADS, HASH_QUEUE);
	crypto_derive(master, "staff-invitation", &s->invitation_key);
	crypto_derive(master, "staff-token", &s->token_key);
	crypto_derive(master, "staff-tries", &s->tries_key);
	return s;
}

void staff_service_free(struct staff_service *s)
{
	if (!s)
		return;
	offload_free(s->hashers);
	free(s);
}

struct str staff_read_email(struct json_in *in, struct arena *arena)
{
	char *folded = arena_alloc(arena, EMAIL_FOLDED_MAX);
	struct str email = json_in_str(in, "email", JSON_REQUIRED, 3, 254);

	if (email_plausible(email))
		return email_fold(email, folded);
	json_in_fault(in, ERR_INVALID_VALUE, "email", "\"email\" is not a mail address.");
	return STR("");
}

/* ---- a change ---- */

void staff_refuse_pg(struct web_call *call, const struct pg_answer *a)
{
	if (a->status == PG_UNKNOWN)
		web_refuse(call, ERR_OUTCOME_UNKNOWN, NULL);
	else if (a->status == PG_ERROR && !pg_error_is_transient(a))
		web_refuse(call, ERR_INTERNAL, NULL);
	else
		web_refuse(call, ERR_UNAVAILABLE, NULL);
}

static void on_committed(void *arg, const struct pg_answer *a)
{
	struct change *c = arg;

	if (a->status == PG_OK)
		c->done(c);
	else
		staff_refuse_pg(c->call, a);
}

static void on_changed(void *arg, const struct pg_answer *a)
{
	struct change *c = arg;
	struct pg_tx *tx = c->tx;

	if (a->status == PG_OK && (pg_rows(a->result) || pg_affected(a->result))) {
		if (c->found)
			c->found(c, a->result);
		if (c->more)
			c->more(c, tx);
		audit_add(tx, c->call, &c->row);
		pg_tx_commit(tx, on_committed, c);
		return;
	}
	pg_tx_rollback(tx, NULL, NULL);
	if (a->status == PG_OK)
		c->nothing(c);
	else if (a->status == PG_UNKNOWN) /* before its commit was sent: it did not happen */
		web_refuse(c->call, ERR_UNAVAILABLE, NULL);
	else
		staff_refuse_pg(c->call, a);
}

void change_start(struct change *c, const struct pg_stmt *stmt, const struct pg_args *args)
{
	c->tx = pg_tx_start(c->s->config.pg, NULL, STAFF_TX_MS);
	pg_tx_exec(c->tx, stmt, args, on_changed, c);
}

struct listing {
	struct web_call *call;
	row_fn *write;
	int col_time;
};

static void on_listed(void *arg, const struct pg_answer *a)
{
	struct listing *l = arg;
	struct jw *w;

	if (a->status != PG_OK) {
		staff_refuse_pg(l->call, a);
		return;
	}
	w = web_json(l->call);
	jw_key(w, "items");
	jw_arr(w);
	for (int i = 0; i < pg_rows(a->result) && i < STAFF_PAGE; i++) {
		jw_obj(w);
		l->write(w, a->result, i, l->call->arena);
		jw_obj_end(w);
	}
	page_end(w, a->result, STAFF_PAGE, l->col_time);
	web_json_end(l->call, 200);
}

void staff_list_start(struct web_call *call, const struct pg_stmt *stmt, const struct pg_args *args, row_fn *write,
		      int col_time)
{
	struct staff_service *s = call->service;
	struct listing *l = arena_new(call->arena, struct listing);

	*l = (struct listing){call, write, col_time};
	pg_query_start(s->config.pg, stmt, args, STAFF_QUERY_MS, on_listed, l);
}

void staff_list(struct web_call *call, const struct pg_stmt *stmt, row_fn *write)
{
	struct pg_args args;
	struct uuid after;
	int64_t us;

	if (!page_cursor_read(call, &us, &after))
		return;
	pg_args_init(&args, call->arena);
	pg_arg_uuid(&args, &call->who.organizer_id);
	pg_arg_uuid(&args, &after);
	pg_arg_i32(&args, STAFF_PAGE + 1);
	staff_list_start(call, stmt, &args, write, -1);
}

/* ---- scopes ---- */

void staff_write_scopes(struct jw *w, unsigned scopes)
{
	jw_key(w, "scopes");
	jw_arr(w);
	for (unsigned bit = 1; bit <= SCOPE_ALL; bit <<= 1)
		if (scopes & bit)
			jw_cstr(w, auth_scope_name(bit));
	jw_arr_end(w);
}

unsigned staff_read_scopes(struct json_in *in, const char *name, enum json_need need, bool *ret_there)
{
	const json_t *array = json_in_array(in, name, need, 1, 6), *one;
	unsigned scopes = 0, bit;
	size_t i;

	if (ret_there)
		*ret_there = array != NULL;
	json_array_foreach(array, i, one) {
		bit = json_is_string(one) ? auth_scope_from_name(str_from(json_string_value(one))) : 0;
		if (!bit || (scopes & bit))
			json_in_fault(
				in, ERR_INVALID_VALUE, name,
				"\"%s\" are some of events, seats, bookings, payments, checkin, admin, each once.",
				name);
		scopes |= bit;
	}
	return scopes;
}

void staff_arg_scopes(struct pg_args *args, unsigned scopes)
{
	struct str names[8];
	size_t n = 0;

	for (unsigned bit = 1; bit <= SCOPE_ALL; bit <<= 1)
		if (scopes & bit)
			names[n++] = str_from(auth_scope_name(bit));
	pg_arg_texts(args, names, n);
}

unsigned staff_get_scopes(const struct pg_result *r, int row, int col, struct arena *arena)
{
	struct str *names;
	size_t n = pg_get_texts(r, row, col, arena, &names);
	unsigned scopes = 0;

	for (size_t i = 0; i < n; i++)
		scopes |= auth_scope_from_name(names[i]);
	return scopes;
}

bool staff_holds(struct web_call *call, unsigned scopes, const char *path)
{
	unsigned missing = scopes_missing(scopes, call->who.scopes);
	struct error e = {0};
	char names[80] = "";

	if (!missing)
		return true;
	for (unsigned bit = 1; bit <= SCOPE_ALL; bit <<= 1)
		if (missing & bit) {
			strcat(names, names[0] ? ", " : "");
			strcat(names, auth_scope_name(bit));
		}
	error_set(&e, ERR_FORBIDDEN, path, "This is for who has these scopes too: %s.", names);
	web_refuse_error(call, &e);
	return false;
}

static const struct web_route routes[] = {
	{HTTP_POST, "/v1/staff/login", staff_login_post, WEB_ANYBODY, 0, 4096, false, .audit = WEB_AUDIT_TX},
	{HTTP_POST, "/v1/staff/logout", staff_logout_post, WEB_STAFF, 0, 1024, false, .audit = WEB_AUDIT_TX},
	{HTTP_GET, "/v1/staff/me", staff_me_get, WEB_STAFF, 0, 0, false},
	{HTTP_POST, "/v1/staff/password", staff_password_post, WEB_STAFF, 0, 4096, false, .audit = WEB_AUDIT_TX},
	{HTTP_POST, "/v1/staff/invitations/accept", staff_invitation_accept, WEB_ANYBODY, 0, 4096, false,
	 .audit = WEB_AUDIT_TX},
	{HTTP_GET, "/v1/staff/users", staff_users_get, WEB_STAFF, SCOPE_ADMIN, 0, false, .query = "cursor"},
	{HTTP_POST, "/v1/staff/users", staff_user_post, WEB_STAFF, SCOPE_ADMIN, 4096, false, .audit = WEB_AUDIT_TX},
	{HTTP_GET, "/v1/staff/users/{user}", staff_user_get, WEB_STAFF, SCOPE_ADMIN, 0, false},
	{HTTP_PATCH, "/v1/staff/users/{user}", staff_user_patch, WEB_STAFF, SCOPE_ADMIN, 4096, false,
	 .audit = WEB_AUDIT_TX},
	{HTTP_DELETE, "/v1/staff/users/{user}", staff_user_delete, WEB_STAFF, SCOPE_ADMIN, 1024, false,
	 .audit = WEB_AUDIT_TX},
	{HTTP_POST, "/v1/staff/users/{user}/invitation", staff_invitation_post, WEB_STAFF, SCOPE_ADMIN, 1024, false,
	 .audit = WEB_AUDIT_TX},
	{HTTP_GET, "/v1/tokens", staff_tokens_get, WEB_STAFF, SCOPE_ADMIN, 0, false, .query = "cursor"},
	{HTTP_POST, "/v1/tokens", staff_token_post, WEB_STAFF, SCOPE_ADMIN, 16 * 1024, false, .audit = WEB_AUDIT_TX},
	{HTTP_DELETE, "/v1/tokens/{token}", staff_token_delete, WEB_STAFF, SCOPE_ADMIN, 1024, false,
	 .audit = WEB_AUDIT_TX},
	{HTTP_GET, "/v1/audit", audit_get, WEB_STAFF, SCOPE_ADMIN, 0, false, .query = "actor object from to cursor"},
};

void staff_routes(struct staff_service *s, struct web *web)
{
	web_add(web, SERVICE_ALWAYS, routes, sizeof(routes) / sizeof(routes[0]), s);
}
