/*
 * The way of a request through the simulator; sim.h has the picture.
 *
 * Kept answers (Idempotency-Key, POST only, 24 h by the simulator's clock), as with the gateway: the first answer is kept
 * once executing has begun, whatever it is, also a 500. Not kept: refusals of the parameters, of the key itself, 401, 404
 * for an unknown address, 409 while the key is in use, 429, and what never was executed because a switch dropped it.
 */
#include "paysim/sim.h"

#include "base/times.h"
#include "base/xmalloc.h"
#include "io/crypto.h"
#include "io/log.h"

#include <assert.h>
#include <string.h>
#include <unistd.h>

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

int64_t sim_now_us(const struct sim *sim)
{
	return wall_now_us() + sim->clock_offset_us;
}

static const char id_digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

static void random_digits(char *out, size_t n)
{
	uint8_t random[SIM_SECRET_TEXT];

	crypto_random(random, n);
	/* a slight preference for some letters does no harm */
	for (size_t i = 0; i < n; i++)
		out[i] = id_digits[random[i] % 62];
}

struct str sim_id(struct arena *a, const char *prefix)
{
	enum { TIME = 9, TOTAL = 24 }; /* 62^9 microseconds are 428 years */
	uint64_t us = (uint64_t)wall_now_us();
	size_t n = strlen(prefix);
	char *text = arena_alloc(a, n + TOTAL + 1);

	memcpy(text, prefix, n);
	for (size_t i = TIME; i-- > 0; us /= 62)
		text[n + i] = id_digits[us % 62];
	random_digits(text + n + TIME, TOTAL - TIME);
	text[n + TOTAL] = '\0';
	return (struct str){text, n + TOTAL};
}

struct str sim_secret(struct arena *a)
{
	char *text = arena_alloc(a, SIM_SECRET_TEXT + 1);

	random_digits(text, SIM_SECRET_TEXT);
	text[SIM_SECRET_TEXT] = '\0';
	return (struct str){text, SIM_SECRET_TEXT};
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

static bool is_gateway(const struct sim_call *c)
{
	return str_starts(c->req->path, STR("/v1/"));
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

	if (!is_gateway(c) && !str_starts(c->req->path, STR("/_sim/")))
		return true;
	/* a page in somebody's browser may not drive this, whatever address it guesses */
	if (!is_gateway(c) && http_req_header(c->req, "Origin"))
		return refuse(&c->refusal, 403, "invalid_request_error", NULL, NULL, "Not for browsers.");
	if (!is_gateway(c) && !own.p)
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
	if (!is_gateway(c)) {
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

	*ret_replayed = false;
	if (!h || h->n == 0 || c->req->method != HTTP_POST || !is_gateway(c))
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

static void write_refusal(struct sim_call *c)
{
	struct jw w;

	buf_reset(&c->out);
	c->status = c->refusal.status;
	c->content_type = "application/json";
	c->location = STR_NULL;
	jw_init(&w, &c->out);
	jw_obj(&w);
	jw_key(&w, "error");
	jw_obj(&w);
	object_error_members(&w, &c->refusal, c->refused_charge, c->refused_method);
	if (c->refusal.with_intent && c->refused_intent) {
		jw_key(&w, "payment_intent");
		object_intent(&w, c->refused_intent, c->sim->base_url, NULL);
	}
	jw_obj_end(&w);
	jw_obj_end(&w);
	jw_done(&w);
}

static void refuse_internal(struct sim_call *c)
{
	memset(&c->refusal, 0, sizeof(c->refusal));
	refuse(&c->refusal, 500, "api_error", NULL, NULL, "An error occurred with our connection to the ledger.");
	write_refusal(c);
}

/* The connection goes without an answer. The call is gone with it. */
static void drop(struct sim_call *c)
{
	timer_free(c->timer);
	buf_done(&c->out);
	close(http_req_take_fd(c->req));
}

static void deliver(struct sim_call *c)
{
	struct http_header h[12];
	size_t n = 0, body_n = 0;
	const struct str *version = http_req_header(c->req, "Stripe-Version");
	/* whole seconds of the switch, at least one */
	int64_t retry_s = c->fault && c->fault->ms > 1000 ? (c->fault->ms + 999) / 1000 : 1;
	struct shared_bytes *body;
	char *bytes;

	timer_free(c->timer);
	c->timer = NULL;
	if (c->out.failed)
		refuse_internal(c);
	h[n++] = (struct http_header){STR("Content-Type"), str_from(c->content_type)};
	h[n++] = (struct http_header){STR("Cache-Control"), STR("no-store")};
	if (c->location.p)
		h[n++] = (struct http_header){STR("Location"), c->location};
	if (is_gateway(c)) {
		h[n++] = (struct http_header){STR("Request-Id"), str_from(c->request_id)};
		h[n++] = (struct http_header){STR("Stripe-Version"), version ? *version : STR(PAYSIM_API_VERSION)};
		if (c->key.p) {
			h[n++] = (struct http_header){STR("Idempotency-Key"), c->key};
			h[n++] = (struct http_header){STR("Original-Request"), c->original_request.p
										       ? c->original_request
										       : str_from(c->request_id)};
		}
		if (c->original_request.p)
			h[n++] = (struct http_header){STR("Idempotent-Replayed"), STR("true")};
		if (c->status == 409 || c->status == 429)
			h[n++] = (struct http_header){STR("Stripe-Should-Retry"), STR("true")};
		if (c->status == 429)
			h[n++] = (struct http_header){STR("Retry-After"),
						      str_from(arena_printf(c->arena, "%lld", (long long)retry_s))};
	} else {
		h[n++] = (struct http_header){STR("Content-Security-Policy"),
					      STR("default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; "
						  "frame-ancestors 'none'")};
		h[n++] = (struct http_header){STR("Referrer-Policy"), STR("no-referrer")};
		h[n++] = (struct http_header){STR("X-Content-Type-Options"), STR("nosniff")};
	}
	assert(n <= sizeof(h) / sizeof(h[0]));
	bytes = buf_take(&c->out, &body_n);
	body = shared_bytes_take(bytes, body_n);
	http_reply_shared(c->req, c->status, h, n, body);
	shared_bytes_unref(body);
}

static void client_left(void *arg)
{
	struct sim_call *c = arg;

	list_remove(&c->link);
	drop(c);
}

/* Nothing more happens until the client leaves, the time is over or the switches are cleared. */
static void hang(struct sim_call *c)
{
	if (http_req_hung_up(c->req)) {
		drop(c);
		return;
	}
	list_append(&c->sim->held, &c->link);
	http_req_on_hangup(c->req, client_left, c);
	if (c->fault->ms > 0) {
		if (!c->timer)
			c->timer = timer_new(c->sim->loop, client_left, c);
		timer_set_ms(c->timer, c->fault->ms);
	}
}

static void leave(struct sim_call *c)
{
	enum fault_mode mode = c->fault ? c->fault->mode : FAULT_NONE;

	if (mode == FAULT_DROP_AFTER)
		drop(c);
	else if (mode == FAULT_HANG_AFTER)
		hang(c);
	else
		deliver(c);
}

/* The end of the loop's turn: what was done becomes durable, then is answered. */
static void on_flush(void *arg)
{
	struct sim *sim = arg;
	struct list leaving;
	struct sim_call *c;
	bool ok = !store_in_tx(sim->store) || store_commit(sim->store);

	if (!ok)
		log_line(LOG_ERROR, "the ledger did not commit", LOG_C("error", store_error(sim->store)));
	/* answering may bring the next request of a connection, which opens the next transaction */
	list_init(&leaving);
	while ((c = list_first(&sim->answered, struct sim_call, link))) {
		list_remove(&c->link);
		list_append(&leaving, &c->link);
	}
	while ((c = list_first(&leaving, struct sim_call, link))) {
		list_remove(&c->link);
		if (!ok)
			refuse_internal(c);
		leave(c);
	}
	if (ok && sim->webhook)
		webhook_poke(sim->webhook);
}

/* A read of this turn may have seen what is not durable yet: it waits too. */
static void answer(struct sim_call *c)
{
	if (!store_in_tx(c->sim->store)) {
		leave(c);
		return;
	}
	list_append(&c->sim->answered, &c->link);
	deferred_post(c->sim->flush);
}

bool sim_begin(struct sim *sim)
{
	if (store_in_tx(sim->store))
		return true;
	deferred_post(sim->flush);
	return store_begin(sim->store);
}

static void keep_answer(struct sim_call *c)
{
	struct stored_answer kept = {
		.path = c->req->path,
		.params_hash = {(const char *)c->params_hash, sizeof(c->params_hash)},
		.status = c->status,
		.body = buf_str(&c->out),
		.request_id = str_from(c->request_id),
	};

	store_answer_insert(c->sim->store, c->key, c->now_us, &kept);
}

static void run_handler(struct sim_call *c)
{
	enum fault_mode mode = c->fault ? c->fault->mode : FAULT_NONE;
	bool ok = true;

	if (mode == FAULT_500_BEFORE)
		c->executing = true;
	else
		ok = c->route->run(c);
	if (!ok && !c->refusal.type)
		refuse_internal(c);
	else if (!ok)
		write_refusal(c);
	if (mode == FAULT_500_BEFORE || (mode == FAULT_500_AFTER && c->executing)) {
		memset(&c->refusal, 0, sizeof(c->refusal));
		refuse(&c->refusal, 500, "api_error", NULL, NULL, "An unexpected error occurred.");
		c->refused_method = NULL;
		c->refused_charge = STR_NULL;
		write_refusal(c);
	}
}

static void execute(struct sim_call *c)
{
	struct store *store = c->sim->store;
	bool ok;

	c->now_us = sim_now_us(c->sim);
	if (!c->route->writes) {
		run_handler(c);
		if (store_failed(store)) {
			log_line(LOG_ERROR, "the ledger cannot be read", LOG_C("error", store_error(store)));
			refuse_internal(c);
			if (!store_in_tx(store))
				store_rollback(store);
		}
		answer(c);
		return;
	}
	ok = sim_begin(c->sim) && store_save(store);
	if (ok) {
		run_handler(c);
		if (c->executing && c->key.p && !c->out.failed)
			keep_answer(c);
		ok = !store_failed(store) && !c->out.failed;
		if (!ok)
			log_line(LOG_ERROR, "the ledger refused", LOG_C("error", store_error(store)),
				 LOG_S("path", c->req->path));
		store_save_end(store, ok);
	}
	if (!ok)
		refuse_internal(c);
	answer(c);
}

static void on_delay_over(void *arg)
{
	struct sim_call *c = arg;

	list_remove(&c->link);
	if (c->original_request.p)
		answer(c);
	else
		execute(c);
}

/* What a switch does before anything happens. true: the call goes on. */
static bool fault_before(struct sim_call *c)
{
	switch (c->fault->mode) {
	case FAULT_DROP_BEFORE:
		drop(c);
		return false;
	case FAULT_HANG:
		hang(c);
		return false;
	case FAULT_DELAY:
		c->timer = timer_new(c->sim->loop, on_delay_over, c);
		timer_set_ms(c->timer, c->fault->ms);
		list_append(&c->sim->held, &c->link);
		return false;
	case FAULT_429:
		refuse(&c->refusal, 429, "invalid_request_error", "rate_limit", NULL, "Request rate limit exceeded.");
		buf_reset(&c->out);
		c->original_request = STR_NULL;
		write_refusal(c);
		answer(c);
		return false;
	default:
		return true;
	}
}

void sim_handle(void *arg, struct http_req *req)
{
	struct sim *sim = arg;
	struct sim_call *c = arena_new(req->arena, struct sim_call);
	struct fault_about about = {.call = c};
	struct fault fault;
	bool fresh, replayed = false;

	c->sim = sim;
	c->req = req;
	c->arena = req->arena;
	c->now_us = sim_now_us(sim);
	c->status = 200;
	c->content_type = "application/json";
	list_init(&c->link);
	buf_init(&c->out, SIM_OBJECT_MAX * 128);
	snprintf(c->request_id, sizeof(c->request_id), "req_%.14s", sim_secret(c->arena).p);

	fresh = find_route(c) && authenticate(c) && read_params(c) && idempotency(c, &replayed);
	if (!fresh && !replayed) {
		write_refusal(c);
		answer(c);
		return;
	}
	about.replay = replayed;
	if (fault_take(sim, c->route->op, &about, &fault)) {
		c->fault = arena_memdup(c->arena, &fault, sizeof(fault));
		if (!fault_before(c))
			return;
	}
	if (replayed)
		answer(c);
	else
		execute(c);
}

bool sim_janitor(struct sim *sim)
{
	enum { BITE = 100 };
	struct arena a;
	struct intent *due;
	size_t n;
	int purged;
	bool more;

	arena_init(&a);
	due = arena_array(&a, struct intent, BITE);
	store_intent_expired(sim->store, &a, sim_now_us(sim) - AUTHORISATION_SECONDS * US_PER_SECOND, due, BITE, &n);
	if (n && sim_begin(sim))
		for (size_t i = 0; i < n; i++)
			intent_expire(sim, &a, &due[i]);
	arena_done(&a);
	more = later_run(sim);
	purged = store_answer_purge(sim->store, sim_now_us(sim) - SIM_IDEMPOTENCY_US);
	if (store_failed(sim->store) && !store_in_tx(sim->store)) {
		log_line(LOG_ERROR, "the ledger's upkeep failed", LOG_C("error", store_error(sim->store)));
		store_rollback(sim->store);
		return false;
	}
	return !store_failed(sim->store) && (more || n == BITE || purged == 500);
}

void sim_release_held(struct sim *sim, bool go_on)
{
	struct sim_call *c;

	while ((c = list_first(&sim->held, struct sim_call, link)))
		if (go_on && c->fault->mode == FAULT_DELAY)
			on_delay_over(c);
		else
			client_left(c);
}

void sim_start(struct sim *sim)
{
	sim->flush = deferred_new(sim->loop, on_flush, sim);
}

void sim_stop(struct sim *sim)
{
	sim_release_held(sim, false);
	on_flush(sim);
	deferred_free(sim->flush);
}
