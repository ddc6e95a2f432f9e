/*
 * The way of a request through the simulator; sim.h has the picture. What it is asked is read by sim_ask.c; here is what becomes of it:
 * switches, the handler, the commit, the answer.
 */
#include "paysim/sim.h"

#include "base/times.h"
#include "base/xmalloc.h"
#include "io/crypto.h"
#include "io/log.h"

#include <assert.h>
#include <string.h>
#include <unistd.h>

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
	if (sim_is_gateway(c)) {
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

	fresh = sim_ask(c, &replayed);
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
