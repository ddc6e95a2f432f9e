/*
 * Webhooks over HTTP: made, listed, changed, deleted; another secret. Owns the module's structure and how its changes are made.
 *
 *   change: statement (found? else nothing()) --> more() --> row of the audit log --> COMMIT --> done() answers from what is stored
 *
 * A secret is answered when it is made, and to the same request again, by whoever made it; nowhere else.
 */
#include "hooks/hooks_int.h"

#include "base/times.h"
#include "base/xmalloc.h"
#include "hooks/hooks_sql.h"
#include "io/page.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TYPES_MAX = 50, DESCRIPTION_MAX = 200, OVERLAP_S = 86400, OVERLAP_MAX_S = 7 * 86400 };

const struct pg_stmt *const *const hooks_sql = hooks_sql_statements;

struct hooks *hooks_new(const struct hooks_config *config, char *error, size_t error_size)
{
	struct hooks *h = xcalloc(1, sizeof(*h));
	struct str bad = STR_NULL;

	h->config = *config;
	list_init(&h->sends);
	list_init(&h->suspensions);
	if (!hook_schedule_parse(config->retry_seconds, &h->schedule)) {
		snprintf(error, error_size,
			 "--webhook-retry-seconds takes 1 to %d numbers of seconds up to 604800, separated by blanks",
			 HOOK_WAITS_MAX);
	} else if (!net_list_parse(config->allow_networks, &h->allowed, &bad)) {
		snprintf(error, error_size,
			 "--webhooks-allow-networks takes at most %d networks like 10.0.0.0/8; \"%.*s\" is none",
			 NET_LIST_MAX, STR_FMT(bad));
	} else {
		crypto_derive(auth_master(config->auth), "webhook-secret", &h->seal_key);
		return h;
	}
	free(h);
	return NULL;
}

void hooks_seal(const struct hooks *h, const uint8_t secret[HOOK_SECRET],
		uint8_t out[HOOK_SECRET + CRYPTO_SEAL_OVERHEAD])
{
	crypto_seal(&h->seal_key, (struct str){(const char *)secret, HOOK_SECRET}, out);
}

bool hooks_unseal(const struct hooks *h, struct str sealed, uint8_t out[HOOK_SECRET])
{
	return sealed.n == HOOK_SECRET + CRYPTO_SEAL_OVERHEAD && crypto_open(&h->seal_key, sealed, out);
}

/* ---- a change ---- */

void hooks_refuse_pg(struct web_call *call, const struct pg_answer *a, bool wrote)
{
	if (wrote && a->status == PG_UNKNOWN)
		web_refuse(call, ERR_OUTCOME_UNKNOWN, NULL);
	else if (a->status == PG_ERROR && !pg_error_is_transient(a))
		web_refuse(call, ERR_INTERNAL, NULL);
	else
		web_refuse(call, ERR_UNAVAILABLE, NULL);
}

void hooks_refuse_none(struct web_call *call)
{
	web_refuse(call, ERR_NOT_FOUND, "There is no such webhook.");
}

static void nothing(struct hook_change *c)
{
	hooks_refuse_none(c->call);
}

struct hook_change *hook_change_new(struct web_call *call, int status)
{
	struct hook_change *c = arena_new(call->arena, struct hook_change);

	memset(c, 0, sizeof(*c));
	c->h = call->service;
	c->call = call;
	c->row = (struct audit_row){.status = status, .detail = STR("")};
	c->nothing = nothing;
	return c;
}

static void on_committed(void *arg, const struct pg_answer *a)
{
	struct hook_change *c = arg;

	if (a->status == PG_OK)
		c->done(c);
	else
		hooks_refuse_pg(c->call, a, true);
}

static void on_changed(void *arg, const struct pg_answer *a)
{
	struct hook_change *c = arg;

	if (a->status == PG_OK && pg_rows(a->result)) {
		if (c->more)
			c->more(c);
		audit_add(c->tx, c->call, &c->row);
		pg_tx_commit(c->tx, on_committed, c);
		return;
	}
	pg_tx_rollback(c->tx, NULL, NULL);
	if (a->status == PG_OK)
		c->nothing(c);
	else
		hooks_refuse_pg(c->call, a, false); /* before its commit was sent: it did not happen */
}

void hook_change_start(struct hook_change *c, const struct pg_stmt *stmt, const struct pg_args *args)
{
	if (!c->tx)
		c->tx = pg_tx_start(c->h->config.pg, NULL, HOOKS_TX_MS);
	pg_tx_exec(c->tx, stmt, args, on_changed, c);
}

/* ---- how a webhook is shown ---- */

/* The columns of webhook_get and webhooks_list. */
enum {
	COL_ID,
	COL_URL,
	COL_DESCRIPTION,
	COL_TYPES,
	COL_STATE,
	COL_STATE_AT,
	COL_WHY,
	COL_CREATED,
	COL_SUCCESS,
	COL_FAILURE,
	COL_STATUS,
	COL_ERROR,
	COL_FAILING,
	COL_QUEUED,
	COL_DROPPED,
	COL_DROPPED_AT,
	COL_HAS_OLD,
	COL_OLD_ENDS,
	COL_CREATED_BY,
	COL_HASH,
	COL_SECRET,
	COL_ROTATION,
	COL_REPLAY,
	COL_FROM,
	COL_TO,
	COL_REPLAY_STATE,
	COL_EVENTS,
	COL_REPLAY_CREATED,
	COL_REPLAY_ENDED,
	COL_ROTATION_HASH,
};

static void time_or_null(struct jw *w, const char *key, const struct pg_result *r, int row, int col)
{
	jw_key(w, key);
	if (pg_is_null(r, row, col))
		jw_null(w);
	else
		jw_time(w, pg_get_time(r, row, col));
}

static void write_replay(struct jw *w, const struct pg_result *r, int row)
{
	struct uuid id;

	jw_key(w, "replay");
	if (pg_is_null(r, row, COL_REPLAY)) {
		jw_null(w);
		return;
	}
	id = pg_get_uuid(r, row, COL_REPLAY);
	jw_obj(w);
	jw_kuuid(w, "replay_id", &id);
	jw_ktime(w, "from", pg_get_time(r, row, COL_FROM));
	jw_ktime(w, "to", pg_get_time(r, row, COL_TO));
	jw_kstr(w, "state", pg_get_text(r, row, COL_REPLAY_STATE));
	jw_kint(w, "events", pg_get_int(r, row, COL_EVENTS));
	jw_ktime(w, "created_at", pg_get_time(r, row, COL_REPLAY_CREATED));
	time_or_null(w, "ended_at", r, row, COL_REPLAY_ENDED);
	jw_obj_end(w);
}

static void write_webhook(struct jw *w, const struct pg_result *r, int row, struct arena *arena)
{
	struct uuid id = pg_get_uuid(r, row, COL_ID), by = pg_get_uuid(r, row, COL_CREATED_BY);
	struct str *types;
	size_t n = pg_get_texts(r, row, COL_TYPES, arena, &types);

	jw_kuuid(w, "webhook_id", &id);
	jw_kstr(w, "url", pg_get_text(r, row, COL_URL));
	jw_kstr(w, "description", pg_get_text(r, row, COL_DESCRIPTION));
	jw_key(w, "event_types");
	jw_arr(w);
	for (size_t i = 0; i < n; i++)
		jw_str(w, types[i]);
	jw_arr_end(w);
	jw_kstr(w, "state", pg_get_text(r, row, COL_STATE));
	jw_ktime(w, "state_at", pg_get_time(r, row, COL_STATE_AT));
	if (pg_get_text(r, row, COL_WHY).n)
		jw_kstr(w, "suspended_why", pg_get_text(r, row, COL_WHY));
	jw_ktime(w, "created_at", pg_get_time(r, row, COL_CREATED));
	jw_kuuid(w, "created_by", &by);
	time_or_null(w, "last_success_at", r, row, COL_SUCCESS);
	time_or_null(w, "last_failure_at", r, row, COL_FAILURE);
	time_or_null(w, "failing_since", r, row, COL_FAILING);
	if (pg_get_int(r, row, COL_STATUS))
		jw_kint(w, "last_status", pg_get_int(r, row, COL_STATUS));
	if (pg_get_text(r, row, COL_ERROR).n)
		jw_kstr(w, "last_error", pg_get_text(r, row, COL_ERROR));
	jw_kint(w, "queued", pg_get_int(r, row, COL_QUEUED));
	jw_kint(w, "dropped", pg_get_int(r, row, COL_DROPPED));
	time_or_null(w, "dropped_at", r, row, COL_DROPPED_AT);
	jw_key(w, "old_secret_ends_at");
	if (pg_get_bool(r, row, COL_HAS_OLD))
		jw_time(w, pg_get_time(r, row, COL_OLD_ENDS));
	else
		jw_null(w);
	write_replay(w, r, row);
}

static void webhook_read(struct hook_change *c, const struct uuid *id, pg_fn *fn)
{
	struct pg_args args;

	pg_args_init(&args, c->call->arena);
	pg_arg_uuid(&args, id);
	pg_arg_uuid(&args, &c->call->who.organizer_id);
	pg_query_start(c->h->config.pg, &hooks_sql_webhook_get, &args, HOOKS_QUERY_MS, fn, c);
}

static void answer(struct hook_change *c, const struct pg_result *r, int status, bool secret)
{
	uint8_t bytes[HOOK_SECRET];
	char text[HOOK_SECRET_TEXT] = "";
	struct jw *w;

	if (secret) {
		if (!hooks_unseal(c->h, pg_get_bytes(r, 0, COL_SECRET), bytes)) { /* sealed with another master key */
			web_refuse(c->call, ERR_INTERNAL, NULL);
			return;
		}
		hook_secret_format(bytes, text);
	}
	w = web_json(c->call);
	write_webhook(w, r, 0, c->call->arena);
	if (secret)
		jw_kcstr(w, "secret", text);
	web_json_end(c->call, status);
}

static void on_webhook(void *arg, const struct pg_answer *a)
{
	struct hook_change *c = arg;

	if (a->status != PG_OK)
		hooks_refuse_pg(c->call, a, true);
	else if (pg_rows(a->result) == 0)
		hooks_refuse_none(c->call);
	else
		answer(c, a->result, 200, false);
}

void hooks_get(struct web_call *call)
{
	webhook_read(hook_change_new(call, 200), &call->ids[0], on_webhook);
}

static void on_listed(void *arg, const struct pg_answer *a)
{
	struct web_call *call = arg;
	struct jw *w;

	if (a->status != PG_OK) {
		hooks_refuse_pg(call, a, false);
		return;
	}
	w = web_json(call);
	jw_key(w, "items");
	jw_arr(w);
	for (int i = 0; i < pg_rows(a->result) && i < HOOKS_PAGE; i++) {
		jw_obj(w);
		write_webhook(w, a->result, i, call->arena);
		jw_obj_end(w);
	}
	page_end(w, a->result, HOOKS_PAGE, -1);
	web_json_end(call, 200);
}

void hooks_list_get(struct web_call *call)
{
	struct hooks *h = call->service;
	struct pg_args args;
	struct uuid after;
	int64_t us;

	if (!page_cursor_read(call, &us, &after))
		return;
	pg_args_init(&args, call->arena);
	pg_arg_uuid(&args, &call->who.organizer_id);
	pg_arg_uuid(&args, &after);
	pg_arg_i32(&args, HOOKS_PAGE + 1);
	pg_query_start(h->config.pg, &hooks_sql_webhooks_list, &args, HOOKS_QUERY_MS, on_listed, call);
}

/* ---- made, changed, deleted ---- */

static void read_types(struct hook_change *c, struct json_in *in, enum json_need need)
{
	const json_t *array = json_in_array(in, "event_types", need, 1, TYPES_MAX), *one;
	size_t i;

	if (!array)
		return;
	c->types = arena_alloc(c->call->arena, TYPES_MAX * sizeof(struct str));
	json_array_foreach(array, i, one) {
		struct str type = {json_string_value(one), json_string_length(one)};

		if (!json_is_string(one) || !hook_type_known(type)) {
			json_in_fault(
				in, ERR_INVALID_VALUE, "event_types",
				"\"event_types\" are types of events that there are (docs/events.md), all of a kind "
				"(\"booking.*\"), or \"*\" for everything.");
			return;
		}
		c->types[c->n_types++] = type;
	}
}

static void read_url(struct hook_change *c, struct json_in *in, enum json_need need)
{
	const char *fault;

	c->url = json_in_str(in, "url", need, 1, HOOK_URL_MAX);
	if (in->error->code != ERR_NONE || !c->url.n)
		return;
	fault = hook_url_fault(c->url, c->h->config.allow_http, &c->h->allowed);
	if (fault)
		json_in_fault(in, ERR_INVALID_VALUE, "url", "%s", fault);
}

static const struct uuid *asking(const struct web_call *call)
{
	return uuid_is_zero(&call->who.user_id) ? &call->who.token_id : &call->who.user_id;
}

/* Made now, or before by the same request of the same person. */
static void on_made(void *arg, const struct pg_answer *a)
{
	struct hook_change *c = arg;
	struct web_call *call = c->call;
	const struct pg_result *r = a->result;
	struct uuid by, rotation;

	if (a->status != PG_OK) {
		hooks_refuse_pg(call, a, true);
		return;
	}
	if (pg_rows(r) == 0) { /* the key was not used: there are too many; or it was, and the webhook is gone */
		web_refuse(call, ERR_WEBHOOK_LIMIT,
			   arena_printf(call->arena, "An organiser has at most %lld webhooks. Delete one first.",
					(long long)c->h->config.per_organizer));
		return;
	}
	by = pg_get_uuid(r, 0, COL_CREATED_BY);
	rotation = pg_get_uuid(r, 0, COL_ROTATION);
	if (!str_eq(pg_get_bytes(r, 0, COL_HASH), idempotent_hash(&c->idem)) || !uuid_eq(&by, asking(call)) ||
	    !uuid_is_zero(&rotation)) {
		web_refuse(call, ERR_IDEMPOTENCY_MISMATCH, NULL);
		return;
	}
	call->audited = true; /* when it was made */
	answer(c, r, 201, true);
}

static void made(struct hook_change *c)
{
	webhook_read(c, &c->idem.id, on_made);
}

void hooks_post(struct web_call *call)
{
	struct hook_change *c = hook_change_new(call, 201);
	json_t *body = web_body(call);
	uint8_t secret[HOOK_SECRET], sealed[HOOK_SECRET + CRYPTO_SEAL_OVERHEAD];
	struct error e = {0};
	struct json_in in;
	struct pg_args args;

	if (!body || !auth_idempotent(c->h->config.auth, call, body, &c->idem))
		return;
	json_in_init(&in, body, "", &e);
	read_url(c, &in, JSON_REQUIRED);
	read_types(c, &in, JSON_REQUIRED);
	c->description = json_in_str(&in, "description", JSON_OPTIONAL, 0, DESCRIPTION_MAX);
	if (!json_in_end(&in)) {
		web_refuse_error(call, &e);
		return;
	}
	c->row.made = &c->idem.id;
	c->done = c->nothing = made;
	crypto_random(secret, sizeof(secret));
	hooks_seal(c->h, secret, sealed);
	c->tx = pg_tx_start(c->h->config.pg, NULL, HOOKS_TX_MS);
	pg_args_init(&args, call->arena);
	pg_arg_uuid(&args, &call->who.organizer_id);
	pg_tx_exec(c->tx, &hooks_sql_webhooks_lock, &args, NULL, NULL);
	pg_args_init(&args, call->arena);
	pg_arg_uuid(&args, &c->idem.id);
	pg_arg_uuid(&args, &call->who.organizer_id);
	pg_arg_text(&args, c->url);
	pg_arg_text(&args, c->description);
	pg_arg_texts(&args, c->types, c->n_types);
	pg_arg_bytes(&args, (struct str){(const char *)sealed, sizeof(sealed)});
	pg_arg_uuid(&args, asking(call));
	pg_arg_bytes(&args, idempotent_hash(&c->idem));
	pg_arg_i32(&args, (int32_t)c->h->config.per_organizer);
	hook_change_start(c, &hooks_sql_webhook_add, &args);
}

static void changed(struct hook_change *c)
{
	webhook_read(c, &c->call->ids[0], on_webhook);
}

static void change_state(struct hook_change *c)
{
	struct pg_args args;

	if (!c->state.n)
		return;
	pg_args_init(&args, c->call->arena);
	pg_arg_uuid(&args, &c->call->ids[0]);
	pg_tx_exec(c->tx, str_eqc(c->state, "enabled") ? &hooks_sql_webhook_enable : &hooks_sql_webhook_disable, &args,
		   NULL, NULL);
}

void hooks_patch(struct web_call *call)
{
	struct hook_change *c = hook_change_new(call, 200);
	json_t *body = web_body(call);
	struct error e = {0};
	struct json_in in;
	struct pg_args args;

	if (!body)
		return;
	json_in_init(&in, body, "", &e);
	read_url(c, &in, JSON_OPTIONAL);
	read_types(c, &in, JSON_OPTIONAL);
	c->description = json_in_str(&in, "description", JSON_OPTIONAL, 0, DESCRIPTION_MAX);
	c->has_description = json_is_string(json_object_get(body, "description"));
	c->state = json_in_str(&in, "state", JSON_OPTIONAL, 1, 20);
	if (c->state.n && !str_eqc(c->state, "enabled") && !str_eqc(c->state, "disabled"))
		json_in_fault(&in, ERR_INVALID_VALUE, "state", "\"state\" is enabled or disabled.");
	if (!json_in_end(&in)) {
		web_refuse_error(call, &e);
		return;
	}
	c->done = changed;
	c->more = change_state;
	pg_args_init(&args, call->arena);
	pg_arg_uuid(&args, &call->ids[0]);
	pg_arg_uuid(&args, &call->who.organizer_id);
	if (c->url.n)
		pg_arg_text(&args, c->url);
	else
		pg_arg_null(&args);
	if (c->types)
		pg_arg_texts(&args, c->types, c->n_types);
	else
		pg_arg_null(&args);
	if (c->has_description)
		pg_arg_text(&args, c->description);
	else
		pg_arg_null(&args);
	hook_change_start(c, &hooks_sql_webhook_change, &args);
}

static void deleted(struct hook_change *c)
{
	web_empty(c->call, 204);
}

static void cancel_replay(struct hook_change *c)
{
	struct pg_args args;

	pg_args_init(&args, c->call->arena);
	pg_arg_uuid(&args, &c->call->ids[0]);
	pg_tx_exec(c->tx, &hooks_sql_replay_cancel, &args, NULL, NULL);
}

void hooks_delete(struct web_call *call)
{
	struct hook_change *c = hook_change_new(call, 204);
	struct pg_args args;

	c->done = deleted;
	c->more = cancel_replay;
	pg_args_init(&args, call->arena);
	pg_arg_uuid(&args, &call->ids[0]);
	pg_arg_uuid(&args, &call->who.organizer_id);
	hook_change_start(c, &hooks_sql_webhook_delete, &args);
}

/* ---- another secret ---- */

/* The secret of this request: made now, or before by the same. Another rotation came after it: it is not shown as good any more. */
static void on_rotated(void *arg, const struct pg_answer *a)
{
	struct hook_change *c = arg;
	struct uuid rotation;

	if (a->status != PG_OK) {
		hooks_refuse_pg(c->call, a, true);
		return;
	}
	if (pg_rows(a->result) == 0) {
		hooks_refuse_none(c->call);
		return;
	}
	rotation = pg_get_uuid(a->result, 0, COL_ROTATION);
	if (!uuid_eq(&rotation, &c->idem.id) ||
	    !str_eq(pg_get_bytes(a->result, 0, COL_ROTATION_HASH), idempotent_hash(&c->idem))) {
		web_refuse(c->call, ERR_IDEMPOTENCY_MISMATCH, NULL);
		return;
	}
	c->call->audited = true;
	answer(c, a->result, 201, true);
}

static void rotated(struct hook_change *c)
{
	webhook_read(c, &c->call->ids[0], on_rotated);
}

void hooks_rotate_post(struct web_call *call)
{
	struct hook_change *c = hook_change_new(call, 201);
	json_t *body = web_body(call);
	uint8_t secret[HOOK_SECRET], sealed[HOOK_SECRET + CRYPTO_SEAL_OVERHEAD];
	struct error e = {0};
	struct json_in in;
	struct pg_args args;
	int64_t overlap_s;

	if (!body || !auth_idempotent(c->h->config.auth, call, body, &c->idem))
		return;
	json_in_init(&in, body, "", &e);
	overlap_s = json_in_i64(&in, "overlap_seconds", JSON_OPTIONAL, 0, OVERLAP_MAX_S, OVERLAP_S);
	if (!json_in_end(&in)) {
		web_refuse_error(call, &e);
		return;
	}
	/* a secret is shown to who asked for it: the key of somebody else is another request */
	for (size_t i = 0; i < sizeof(c->idem.id.b); i++)
		c->idem.id.b[i] ^= asking(call)->b[i];
	c->done = c->nothing = rotated;
	crypto_random(secret, sizeof(secret));
	hooks_seal(c->h, secret, sealed);
	pg_args_init(&args, call->arena);
	pg_arg_uuid(&args, &call->ids[0]);
	pg_arg_uuid(&args, &call->who.organizer_id);
	pg_arg_bytes(&args, (struct str){(const char *)sealed, sizeof(sealed)});
	pg_arg_interval_us(&args, overlap_s * US_PER_SECOND);
	pg_arg_uuid(&args, &c->idem.id);
	pg_arg_bytes(&args, idempotent_hash(&c->idem));
	hook_change_start(c, &hooks_sql_webhook_rotate, &args);
}

static const struct web_route routes[] = {
	{HTTP_GET, "/v1/staff/webhooks", hooks_list_get, WEB_STAFF, SCOPE_ADMIN, 0, false, .query = "cursor"},
	{HTTP_POST, "/v1/staff/webhooks", hooks_post, WEB_STAFF, SCOPE_ADMIN, 16384, false, .audit = WEB_AUDIT_TX},
	{HTTP_GET, "/v1/staff/webhooks/{webhook}", hooks_get, WEB_STAFF, SCOPE_ADMIN, 0, false},
	{HTTP_PATCH, "/v1/staff/webhooks/{webhook}", hooks_patch, WEB_STAFF, SCOPE_ADMIN, 16384, false,
	 .audit = WEB_AUDIT_TX},
	{HTTP_DELETE, "/v1/staff/webhooks/{webhook}", hooks_delete, WEB_STAFF, SCOPE_ADMIN, 1024, false,
	 .audit = WEB_AUDIT_TX},
	{HTTP_POST, "/v1/staff/webhooks/{webhook}/rotate", hooks_rotate_post, WEB_STAFF, SCOPE_ADMIN, 4096, false,
	 .audit = WEB_AUDIT_TX},
	{HTTP_POST, "/v1/staff/webhooks/{webhook}/test", hooks_test_post, WEB_STAFF, SCOPE_ADMIN, 1024, false,
	 .audit = WEB_AUDIT_TX},
	{HTTP_POST, "/v1/staff/webhooks/{webhook}/replay", hooks_replay_post, WEB_STAFF, SCOPE_ADMIN, 4096, false,
	 .audit = WEB_AUDIT_TX},
	{HTTP_GET, "/v1/staff/webhooks/{webhook}/deliveries", hooks_deliveries_get, WEB_STAFF, SCOPE_ADMIN, 0, false,
	 .query = "state cursor"},
	{HTTP_GET, "/v1/staff/webhooks/{webhook}/deliveries/{delivery}", hooks_delivery_get, WEB_STAFF, SCOPE_ADMIN, 0,
	 false},
	{HTTP_POST, "/v1/staff/webhooks/{webhook}/deliveries/{delivery}/redeliver", hooks_redeliver_post, WEB_STAFF,
	 SCOPE_ADMIN, 1024, false, .audit = WEB_AUDIT_TX},
};

void hooks_routes(struct hooks *h, struct web *web)
{
	web_add(web, SERVICE_ALWAYS, routes, sizeof(routes) / sizeof(routes[0]), h);
}
