/*
 * What a request asks, and whether it may: its address, the key it comes with, its parameters, the answer that is kept for it.
 * Called by sim.c, before anything is done.
 *
 * Kept answers (Idempotency-Key, POST only, 24 h by the simulator's clock), as with the gateway: the first answer is kept
 * once executing has begun, whatever it is, also a 500. Not kept: refusals of the parameters, of the key itself, 401, 404
 * for an unknown address, 409 while the key is in use, 429, and what never was executed because a switch dropped it.
 */
#include "paysim/sim.h"

#include "io/crypto.h"

#include <string.h>

static bool health(struct sim_call *c)
{
	return buf_adds(&c->out, "{\"ok\":true}");
}

static const struct sim_route routes[] = {
	{HTTP_POST, "/v1/payment_intents", api_intent_create, SIM_CREATE, true},
	{HTTP_GET, "/v1/payment_intents", api_intent_list, SIM_LIST, false},
	{HTTP_GET, "/v1/payment_intents/*", api_intent_get, SIM_RETRIEVE, false},
	{HTTP_POST, "/v1/payment_intents/*", api_intent_update, SIM_OTHER, true},
	{HTTP_POST, "/v1/payment_intents/*/confirm", api_intent_confirm, SIM_CONFIRM, true},
	{HTTP_POST, "/v1/payment_intents/*/capture", api_intent_capture, SIM_CAPTURE, true},
	{HTTP_POST, "/v1/payment_intents/*/cancel", api_intent_cancel, SIM_CANCEL, true},
	{HTTP_POST, "/v1/refunds", api_refund_create, SIM_REFUND, true},
	{HTTP_GET, "/v1/refunds", api_refund_list, SIM_LIST, false},
	{HTTP_GET, "/v1/refunds/*", api_refund_get, SIM_OTHER, false},
	{HTTP_POST, "/v1/refunds/*", api_refund_update, SIM_OTHER, true},
	{HTTP_GET, "/v1/charges", api_charge_list, SIM_LIST, false},
	{HTTP_GET, "/v1/charges/*", api_charge_get, SIM_OTHER, false},
	{HTTP_GET, "/v1/payment_methods/*", api_method_get, SIM_OTHER, false},
	{HTTP_GET, "/v1/disputes", api_dispute_list, SIM_LIST, false},
	{HTTP_GET, "/v1/disputes/*", api_dispute_get, SIM_OTHER, false},
	{HTTP_GET, "/v1/events", api_event_list, SIM_LIST, false},
	{HTTP_GET, "/v1/events/*", api_event_get, SIM_OTHER, false},
	{HTTP_GET, "/3ds/*", threeds_page, SIM_OP_NONE, false},
	{HTTP_POST, "/3ds/*", threeds_result, SIM_OP_NONE, true},
	{HTTP_GET, "/_sim/faults", faults_list, SIM_OP_NONE, false},
	{HTTP_POST, "/_sim/faults", faults_add, SIM_OP_NONE, false},
	{HTTP_DELETE, "/_sim/faults", faults_clear, SIM_OP_NONE, false},
	{HTTP_GET, "/_sim/ledger", ledger_export, SIM_OP_NONE, false},
	{HTTP_GET, "/_sim/webhooks", webhooks_pending, SIM_OP_NONE, false},
	{HTTP_POST, "/_sim/advance_clock", clock_advance, SIM_OP_NONE, true},
	{HTTP_GET, "/healthz", health, SIM_OP_NONE, false},
};

bool sim_is_gateway(const struct sim_call *c)
{
	return str_starts(c->req->path, STR("/v1/"));
}

static bool path_matches(const char *pattern, struct str path, struct str *ret_id)
{
	size_t i = 0;

	for (; *pattern; pattern++) {
		if (*pattern != '*') {
			if (i == path.n || path.p[i++] != *pattern)
				return false;
			continue;
		}
		ret_id->p = path.p + i;
		while (i < path.n && path.p[i] != '/')
			i++;
		ret_id->n = (size_t)(path.p + i - ret_id->p);
		if (ret_id->n == 0)
			return false;
	}
	return i == path.n;
}

static bool find_route(struct sim_call *c)
{
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++)
		if (routes[i].method == c->req->method && path_matches(routes[i].path, c->req->path, &c->id)) {
			c->route = &routes[i];
			return true;
		}
	return refuse(&c->refusal, 404, "invalid_request_error", NULL, NULL, "Unrecognized request URL (%.*s: %.*s).",
		      STR_FMT(c->req->method_name), c->req->path.n > 200 ? 200 : (int)c->req->path.n, c->req->path.p);
}

/* The key of Bearer or Basic (as the user name) into the arena. */
static bool presented_key(struct sim_call *c, struct str *ret)
{
	const struct str *h = http_req_header(c->req, "Authorization");
	struct str scheme, rest;
	char *text;
	size_t n;

	if (!h)
		return false;
	rest = str_trim(str_split(*h, ' ', &scheme));
	if (str_ieqc(scheme, "Bearer")) {
		*ret = rest;
		return rest.n > 0;
	}
	if (!str_ieqc(scheme, "Basic") || rest.n > 1000)
		return false;
	while (rest.n && rest.p[rest.n - 1] == '=')
		rest.n--;
	text = arena_memdup(c->arena, rest.p, rest.n);
	for (size_t i = 0; i < rest.n; i++)
		text[i] = text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i];
	if (!base64url_decode((struct str){text, rest.n}, text, rest.n, &n))
		return false;
	str_split((struct str){text, n}, ':', ret);
	return ret->n > 0;
}

static bool authenticate(struct sim_call *c)
{
	struct str key, own = c->sim->secret_key;

	if (!sim_is_gateway(c) && !str_starts(c->req->path, STR("/_sim/")))
		return true;
	/* a page in somebody's browser may not drive this, whatever address it guesses */
	if (!sim_is_gateway(c) && http_req_header(c->req, "Origin"))
		return refuse(&c->refusal, 403, "invalid_request_error", NULL, NULL, "Not for browsers.");
	if (!sim_is_gateway(c) && !own.p)
		return true;
	if (!presented_key(c, &key))
		return refuse(
			&c->refusal, 401, "invalid_request_error", NULL, NULL,
			"You did not provide an API key. Provide it in the Authorization header, using Bearer auth "
			"(e.g. 'Authorization: Bearer YOUR_SECRET_KEY').");
	if (own.p ? key.n == own.n && crypto_equal(key.p, own.p, own.n) : str_starts(key, STR("sk_")))
		return true;
	return refuse(&c->refusal, 401, "invalid_request_error", "api_key_invalid", NULL, "Invalid API Key provided.");
}

static bool read_params(struct sim_call *c)
{
	const struct str *type = http_req_header(c->req, "Content-Type");
	bool post = c->req->method == HTTP_POST;
	struct str kind = STR_NULL;
	const char *fault = "";

	if (c->req->body.n > SIM_BODY_MAX)
		return refuse(&c->refusal, 413, "invalid_request_error", NULL, NULL,
			      "The request is too large: its body has %zu bytes, at most %d are read.", c->req->body.n,
			      SIM_BODY_MAX);
	if (!sim_is_gateway(c)) {
		/* a form that cannot be read has no outcome, which the page says in its own words */
		if (post && c->route->run == threeds_result && !form_parse(c->arena, c->req->body, &c->form, &fault))
			c->form.n = 0;
		return true;
	}
	if (type)
		str_split(*type, ';', &kind);
	if (post && c->req->body.n && !str_ieqc(str_trim(kind), "application/x-www-form-urlencoded"))
		return refuse_invalid(&c->refusal, NULL, NULL, "The body must be application/x-www-form-urlencoded.");
	if (post && c->req->query.n)
		return refuse_invalid(&c->refusal, NULL, NULL, "The parameters of a POST belong in its body.");
	if (!form_parse(c->arena, post ? c->req->body : c->req->query, &c->form, &fault))
		return refuse_invalid(&c->refusal, NULL, NULL, "%s", fault);
	return true;
}

static bool in_use(const struct sim *sim, struct str key)
{
	list_for_each(pos, tmp, &sim->held) {
		const struct sim_call *other = list_entry(pos, struct sim_call, link);

		if (other->key.p && !other->executing && str_eq(other->key, key))
			return true;
	}
	return false;
}

/* true: there is no answer for the key yet (or no key). false: refused, or *ret_replay is the answer. */
static bool idempotency(struct sim_call *c, bool *ret_replayed)
{
	const struct str *h = http_req_header(c->req, "Idempotency-Key");
	struct stored_answer answer;
	struct buf text;
	int shown;

	if (!h || h->n == 0 || c->req->method != HTTP_POST || !sim_is_gateway(c))
		return true;
	if (h->n > SIM_IDEMPOTENCY_KEY_MAX)
		return refuse(&c->refusal, 400, "idempotency_error", NULL, NULL,
			      "Idempotency-Key header cannot be longer than %d characters.", SIM_IDEMPOTENCY_KEY_MAX);
	if (!str_utf8_valid(*h))
		return refuse(&c->refusal, 400, "idempotency_error", NULL, NULL,
			      "Idempotency-Key header is not UTF-8.");
	c->key = *h;
	shown = (int)h->n;
	buf_init(&text, SIM_BODY_MAX * 4);
	form_canonical(c->arena, &c->form, &text);
	crypto_digest(buf_str(&text), c->params_hash);
	buf_done(&text);
	if (in_use(c->sim, c->key))
		return refuse(&c->refusal, 409, "idempotency_error", "idempotency_key_in_use", NULL,
			      "There is currently another in-progress request using this Idempotency-Key (%.*s).",
			      shown, h->p);
	if (!store_answer_get(c->sim->store, c->arena, c->key, c->now_us - SIM_IDEMPOTENCY_US, &answer))
		return true;
	if (!str_eq(answer.path, c->req->path))
		return refuse(
			&c->refusal, 400, "idempotency_error", NULL, NULL,
			"Keys for idempotent requests can only be used for the same endpoint they were first used for "
			"('%.*s' vs '%.*s'). Try using a key other than '%.*s' if you meant to execute a different "
			"request.",
			(int)c->req->path.n, c->req->path.p, STR_FMT(answer.path), shown > 80 ? 80 : shown, h->p);
	if (!str_eq(answer.params_hash, (struct str){(const char *)c->params_hash, sizeof(c->params_hash)}))
		return refuse(
			&c->refusal, 400, "idempotency_error", NULL, NULL,
			"Keys for idempotent requests can only be used with the same parameters they were first used "
			"with. Try using a key other than '%.*s' if you meant to execute a different request.",
			shown > 80 ? 80 : shown, h->p);
	c->status = answer.status;
	c->original_request = answer.request_id;
	buf_addstr(&c->out, answer.body);
	*ret_replayed = true;
	return false;
}

bool sim_ask(struct sim_call *c, bool *ret_replayed)
{
	*ret_replayed = false;
	return find_route(c) && authenticate(c) && read_params(c) && idempotency(c, ret_replayed);
}
