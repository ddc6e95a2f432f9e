/*
 * Owns the keys derived from the master key. Sessions and booking links are checked in memory; staff tokens
 * and logins are looked up (one indexed read) at every request and kept nowhere, so that a revoked one stops at once.
 */
#include "auth/auth.h"

#include "auth/auth_sql.h"
#include "base/times.h"
#include "base/xmalloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAC_BYTES = 16, SECRET_BYTES = 24, STAFF_LOOKUP_MS = 2000 };

const struct pg_stmt *const *const auth_sql = auth_sql_statements;

struct auth {
	struct auth_config config;
	struct crypto_key session_key, booking_key, return_key, idempotency_key;
};

struct auth *auth_new(const struct auth_config *config)
{
	struct auth *a = xcalloc(1, sizeof(*a));

	a->config = *config;
	crypto_derive(&config->master, "session", &a->session_key);
	crypto_derive(&config->master, "booking-link", &a->booking_key);
	crypto_derive(&config->master, "return-link", &a->return_key);
	crypto_derive(&config->master, "idempotency", &a->idempotency_key);
	return a;
}

void auth_free(struct auth *a)
{
	free(a);
}

const struct crypto_key *auth_master(const struct auth *a)
{
	return &a->config.master;
}

/* prefix + base64url(payload | mac) */
static void token_write(const struct crypto_key *key, const char *prefix, const void *payload, size_t n,
			char out[AUTH_TOKEN_TEXT])
{
	uint8_t all[64 + MAC_BYTES], mac[CRYPTO_HASH];

	memcpy(all, payload, n);
	crypto_mac(key, (struct str){(const char *)all, n}, mac);
	memcpy(all + n, mac, MAC_BYTES);
	memcpy(out, prefix, 3);
	base64url_encode(all, n + MAC_BYTES, out + 3);
}

static bool token_read(const struct crypto_key *key, const char *prefix, struct str token, void *payload, size_t n)
{
	uint8_t all[64 + MAC_BYTES], mac[CRYPTO_HASH];
	size_t got;

	if (!str_starts(token, (struct str){prefix, 3}))
		return false;
	if (!base64url_decode((struct str){token.p + 3, token.n - 3}, all, sizeof(all), &got) || got != n + MAC_BYTES)
		return false;
	crypto_mac(key, (struct str){(const char *)all, n}, mac);
	if (!crypto_equal(mac, all + n, MAC_BYTES))
		return false;
	memcpy(payload, all, n);
	return true;
}

struct session_payload {
	uint8_t id[16];
	uint8_t issued_s[8]; /* big endian */
};

static void put_u64(uint8_t out[8], uint64_t v)
{
	for (int i = 0; i < 8; i++)
		out[i] = (uint8_t)(v >> (56 - 8 * i));
}

static uint64_t get_u64(const uint8_t in[8])
{
	uint64_t v = 0;

	for (int i = 0; i < 8; i++)
		v = v << 8 | in[i];
	return v;
}

void auth_session_new(struct auth *a, char out[AUTH_TOKEN_TEXT], struct uuid *ret_session, int64_t *ret_expires_us)
{
	int64_t now_us = a->config.now_us(), issued_s = now_us / US_PER_SECOND;
	struct session_payload p;

	*ret_session = crypto_uuid_v7(now_us);
	memcpy(p.id, ret_session->b, 16);
	put_u64(p.issued_s, (uint64_t)issued_s);
	token_write(&a->session_key, "bs_", &p, sizeof(p), out);
	*ret_expires_us = issued_s * US_PER_SECOND + a->config.session_lifetime_us;
}

bool auth_session_open(const struct auth *a, struct str token, struct uuid *ret_session)
{
	struct session_payload p;
	int64_t issued_us;

	if (!token_read(&a->session_key, "bs_", token, &p, sizeof(p)))
		return false;
	issued_us = (int64_t)get_u64(p.issued_s) * US_PER_SECOND;
	if (a->config.now_us() >= issued_us + a->config.session_lifetime_us)
		return false;
	memcpy(ret_session->b, p.id, 16);
	return true;
}

void auth_booking_token(const struct auth *a, const struct uuid *show, const struct uuid *booking,
			char out[AUTH_TOKEN_TEXT])
{
	uint8_t p[32];

	memcpy(p, show->b, 16);
	memcpy(p + 16, booking->b, 16);
	token_write(&a->booking_key, "ba_", p, sizeof(p), out);
}

bool auth_booking_open(const struct auth *a, struct str token, struct uuid *ret_show, struct uuid *ret_booking)
{
	uint8_t p[32];

	if (!token_read(&a->booking_key, "ba_", token, p, sizeof(p)))
		return false;
	memcpy(ret_show->b, p, 16);
	memcpy(ret_booking->b, p + 16, 16);
	return true;
}

void auth_return_token(const struct auth *a, const struct uuid *show, const struct uuid *booking,
		       const struct uuid *payment, char out[AUTH_TOKEN_TEXT])
{
	uint8_t p[48];

	memcpy(p, show->b, 16);
	memcpy(p + 16, booking->b, 16);
	memcpy(p + 32, payment->b, 16);
	token_write(&a->return_key, "br_", p, sizeof(p), out);
}

bool auth_return_open(const struct auth *a, struct str token, struct uuid *ret_show, struct uuid *ret_booking,
		      struct uuid *ret_payment)
{
	uint8_t p[48];

	if (!token_read(&a->return_key, "br_", token, p, sizeof(p)))
		return false;
	memcpy(ret_show->b, p, 16);
	memcpy(ret_booking->b, p + 16, 16);
	memcpy(ret_payment->b, p + 32, 16);
	return true;
}

void auth_secret_token(const char *prefix, const struct uuid *id, const struct crypto_key *key,
		       char out[AUTH_TOKEN_TEXT], uint8_t ret_hash[CRYPTO_HASH])
{
	uint8_t all[16 + CRYPTO_HASH];

	memcpy(all, id->b, 16);
	if (key)
		crypto_mac(key, (struct str){(const char *)id->b, 16}, all + 16);
	else
		crypto_random(all + 16, SECRET_BYTES);
	memcpy(out, prefix, 3);
	base64url_encode(all, 16 + SECRET_BYTES, out + 3);
	crypto_digest(str_from(out), ret_hash);
}

void auth_staff_token_new(int64_t now_us, char out[AUTH_TOKEN_TEXT], struct uuid *ret_token_id,
			  uint8_t ret_hash[CRYPTO_HASH])
{
	*ret_token_id = crypto_uuid_v7(now_us);
	auth_secret_token("bt_", ret_token_id, NULL, out, ret_hash);
}

static const struct {
	const char *name;
	unsigned bit;
} scopes[] = {
	{"events", SCOPE_EVENTS},     {"seats", SCOPE_SEATS},	  {"bookings", SCOPE_BOOKINGS},
	{"payments", SCOPE_PAYMENTS}, {"checkin", SCOPE_CHECKIN}, {"admin", SCOPE_ADMIN},
};

unsigned auth_scope_from_name(struct str name)
{
	for (size_t i = 0; i < sizeof(scopes) / sizeof(scopes[0]); i++)
		if (str_eqc(name, scopes[i].name))
			return scopes[i].bit;
	return 0;
}

const char *auth_scope_name(unsigned bit)
{
	for (size_t i = 0; i < sizeof(scopes) / sizeof(scopes[0]); i++)
		if (scopes[i].bit == bit)
			return scopes[i].name;
	return NULL;
}

/* Somebody of the staff, while their token is looked up. */
struct lookup {
	struct auth *a;
	struct web_call *call;
	bool login, by_cookie; /* login: of a person, not of an API token */
};

/* Nobody waits for it, and one that is lost is made up for by the next. */
static void note_use(const struct lookup *l, const struct uuid *id)
{
	struct pg_args args;

	pg_args_init(&args, l->call->arena);
	pg_arg_uuid(&args, id);
	if (l->login)
		pg_arg_interval_us(&args, l->a->config.staff_idle_us);
	pg_query_start(l->a->config.pg, l->login ? &auth_sql_login_seen : &auth_sql_token_used, &args, STAFF_LOOKUP_MS,
		       NULL, NULL);
}

static void on_staff(void *arg, const struct pg_answer *answer)
{
	struct lookup *l = arg;
	struct who who = {.kind = WHO_STAFF, .by_cookie = l->by_cookie};
	struct uuid id, *shows;
	struct str *names;
	size_t n;

	if (answer->status != PG_OK) {
		web_identified(l->call, NULL, ERR_UNAVAILABLE);
		return;
	}
	if (pg_rows(answer->result) == 0) {
		/* a browser with an old cookie is simply nobody yet */
		web_identified(l->call, NULL, l->by_cookie ? ERR_NONE : ERR_UNAUTHENTICATED);
		return;
	}
	id = pg_get_uuid(answer->result, 0, 0);
	who.organizer_id = pg_get_uuid(answer->result, 0, 1);
	n = pg_get_texts(answer->result, 0, 2, l->call->arena, &names);
	for (size_t i = 0; i < n; i++)
		who.scopes |= auth_scope_from_name(names[i]);
	if (pg_get_bool(answer->result, 0, 3))
		note_use(l, &id);
	if (l->login) {
		who.login_id = id;
		who.user_id = pg_get_uuid(answer->result, 0, 4);
	} else {
		who.token_id = id;
		who.device = arena_str(l->call->arena, pg_get_text(answer->result, 0, 4));
		who.n_shows = pg_get_uuids(answer->result, 0, 5, l->call->arena, &shows);
		who.shows = shows;
	}
	web_identified(l->call, &who, ERR_NONE);
}

static void identify_staff(struct auth *a, struct web_call *call, struct str token, bool by_cookie)
{
	struct lookup *l = arena_new(call->arena, struct lookup);
	uint8_t hash[CRYPTO_HASH];
	struct pg_args args;

	*l = (struct lookup){.a = a, .call = call, .login = !str_starts(token, STR("bt_")), .by_cookie = by_cookie};
	crypto_digest(token, hash);
	pg_args_init(&args, call->arena);
	pg_arg_bytes(&args, (struct str){(const char *)hash, sizeof(hash)});
	if (l->login)
		pg_arg_interval_us(&args, a->config.staff_idle_us);
	pg_query_start(a->config.pg, l->login ? &auth_sql_login_find : &auth_sql_token_find, &args, STAFF_LOOKUP_MS,
		       on_staff, l);
}

/* The value of one cookie; empty when absent. */
static struct str cookie_value(const struct http_req *req, const char *name)
{
	const struct str *header = http_req_header(req, "cookie");
	struct str rest, one, key, value;

	if (!header)
		return STR("");
	for (rest = *header; rest.n;) {
		rest = str_split(rest, ';', &one);
		value = str_split(str_trim(one), '=', &key);
		if (str_eqc(key, name))
			return value;
	}
	return STR("");
}

/*
 * One browser may hold both cookies: somebody of the staff who buys a ticket. Routes of staff take theirs, routes of sessions the
 * buyer's; where both may ask, the staff's counts if there is no other, or the page says that it asks as staff.
 */
static bool staff_cookie_counts(const struct web_call *call, struct str *ret_token)
{
	const struct str *as = http_req_header(call->req, "boxoffice-as");

	*ret_token = cookie_value(call->req, AUTH_STAFF_COOKIE);
	if (!str_starts(*ret_token, STR("bu_")) || call->route->need == WEB_SESSION)
		return false;
	return call->route->need == WEB_STAFF || (as && str_eqc(*as, "staff")) ||
	       cookie_value(call->req, "__Host-boxoffice").n == 0;
}

void auth_identify(void *auth, struct web_call *call)
{
	struct auth *a = auth;
	const struct str *header = http_req_header(call->req, "authorization");
	struct who who = {0};
	struct str token;

	if (header) {
		struct str scheme;

		token = str_trim(str_split(*header, ' ', &scheme));
		if (!str_ieqc(scheme, "bearer") || token.n == 0) {
			web_identified(call, NULL, ERR_UNAUTHENTICATED);
		} else if (str_starts(token, STR("bt_")) || str_starts(token, STR("bu_"))) {
			identify_staff(a, call, token, false);
		} else if (auth_session_open(a, token, &who.session_id)) {
			who.kind = WHO_SESSION;
			web_identified(call, &who, ERR_NONE);
		} else if (auth_booking_open(a, token, &who.show_id, &who.booking_id)) {
			who.kind = WHO_BOOKING;
			web_identified(call, &who, ERR_NONE);
		} else {
			web_identified(call, NULL, ERR_UNAUTHENTICATED);
		}
		return;
	}
	if (staff_cookie_counts(call, &token)) {
		identify_staff(a, call, token, true);
		return;
	}
	/* A browser with an old cookie is simply nobody yet. */
	token = cookie_value(call->req, "__Host-boxoffice");
	if (token.n && auth_session_open(a, token, &who.session_id)) {
		who.kind = WHO_SESSION;
		who.by_cookie = true;
	}
	web_identified(call, &who, ERR_NONE);
}

bool auth_idempotent_bytes(struct auth *a, struct web_call *call, struct str body, struct idempotent *ret)
{
	struct buf b;
	struct str key;
	uint8_t mac[CRYPTO_HASH];

	memset(ret, 0, sizeof(*ret));
	if (!web_idempotency_key(call, &key))
		return false;
	/* with a key of ours: nobody who sees the database can try out whose name and address were in it */
	crypto_mac(&a->idempotency_key, body, ret->hash);
	if (key.n == 0) {
		call->made = ret->id = crypto_uuid_v7(a->config.now_us());
		return true;
	}
	ret->has_key = true;
	buf_init(&b, 16 * 1024);
	buf_addf(&b, "%d:", (int)call->who.kind);
	buf_add(&b, call->who.kind == WHO_SESSION ? call->who.session_id.b : call->who.organizer_id.b, 16);
	buf_addc(&b, ':');
	buf_addstr(&b, call->req->path);
	buf_addc(&b, ':');
	buf_addstr(&b, key);
	crypto_mac(&a->idempotency_key, buf_str(&b), mac);
	buf_done(&b);
	call->made = ret->id = uuid_v8(mac);
	return true;
}

bool auth_idempotent(struct auth *a, struct web_call *call, const json_t *body, struct idempotent *ret)
{
	char *canonical = json_dumps(body, JSON_SORT_KEYS | JSON_COMPACT | JSON_ENCODE_ANY);
	bool ok;

	if (!canonical)
		abort();
	ok = auth_idempotent_bytes(a, call, str_from(canonical), ret);
	free(canonical);
	return ok;
}

bool auth_idempotent_if_keyed(struct auth *a, struct web_call *call, const json_t *body, struct idempotent *ret)
{
	if (http_req_header(call->req, "idempotency-key"))
		return auth_idempotent(a, call, body, ret);
	memset(ret, 0, sizeof(*ret));
	call->made = ret->id = crypto_uuid_v7(a->config.now_us());
	return true;
}

static void post_session(struct web_call *call)
{
	struct auth *a = call->service;
	struct error e = {0};
	struct json_in in;
	struct uuid session;
	char token[AUTH_TOKEN_TEXT], *cookie;
	int64_t expires_us;
	struct http_header header;
	struct jw *json;

	if (call->req->body.n) {
		json_t *body = web_body(call);

		if (!body)
			return;
		json_in_init(&in, body, "", &e);
		if (!json_in_end(&in)) {
			web_refuse_error(call, &e);
			return;
		}
	}
	if (!web_limit_network(call, LIMIT_SESSIONS))
		return;
	auth_session_new(a, token, &session, &expires_us);
	cookie = arena_printf(call->arena, "__Host-boxoffice=%s; Path=/; Max-Age=%lld; Secure; HttpOnly; SameSite=Lax",
			      token, (long long)(a->config.session_lifetime_us / US_PER_SECOND));
	json = web_json(call);
	jw_kcstr(json, "token", token);
	jw_ktime(json, "expires_at", expires_us);
	header = (struct http_header){STR("Set-Cookie"), str_from(cookie)};
	web_json_end_headers(call, 201, &header, 1);
}

static const struct web_route routes[] = {
	{HTTP_POST, "/v1/sessions", post_session, WEB_ANYBODY, 0, 1024, false, .verify = WEB_VERIFY_SESSION},
};

void auth_routes(struct auth *a, struct web *web)
{
	web_add(web, SERVICE_ALWAYS, routes, sizeof(routes) / sizeof(routes[0]), a);
}
