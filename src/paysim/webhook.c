/*
 * Delivery of events to one receiver, at least once and in no promised order, as the gateway does it: signed (once for
 * each secret: there are two while one takes over from the other), repeated with growing pauses for three days until it
 * answers 2xx.
 *
 *   event's transaction: deliveries row, due now --commit--> claimed: attempts + 1, due moved to the next try --> POST
 *        2xx: the row goes;  anything else: it stays and is due again;  the process dies: likewise
 *
 * A reorder switch collects its events (in memory; their rows are due in an hour, should the process die) and then sends
 * them one by one, the last first: each is released when the one before it was answered, whatever the answer.
 *
 * Pauses count by the simulator's clock (advance_clock makes retries come), signatures carry the real time, because the
 * receiver compares it with its own.
 */
#include "paysim/sim.h"

#include "base/times.h"
#include "base/xmalloc.h"
#include "io/crypto.h"
#include "io/http_client.h"
#include "io/log.h"

#include <assert.h>
#include <stdlib.h>

enum { FLIGHTS_MAX = 16, PAUSE_MAX_S = 3600, GIVE_UP_S = 3 * 86400, ANSWER_MAX = 64 * 1024, COLLECTED_DUE_S = 3600 };

struct webhook {
	struct sim *sim;
	struct http_client *client;
	char *url, *secrets[WEBHOOK_SECRETS_MAX];
	size_t n_secrets;
	struct list flights;
	size_t n_flights;
	int64_t collected[WEBHOOK_REORDER_MAX]; /* events' seqs */
	size_t n_collected;
	bool unwinding;	      /* they are being sent, from the end */
	int64_t released_seq; /* the one that must be answered before the next goes; 0: none */
};

struct flight {
	struct list link;
	struct webhook *webhook;
	struct http_call *call;
	int64_t event_seq;
};

struct webhook *webhook_new(struct sim *sim, const char *url, const char *const *secrets, size_t n_secrets)
{
	struct webhook *h = xcalloc(1, sizeof(*h));

	assert(n_secrets >= 1 && n_secrets <= WEBHOOK_SECRETS_MAX);
	h->sim = sim;
	h->client = http_client_new(sim->loop, FLIGHTS_MAX, NULL);
	h->url = xstrdup(url);
	for (; h->n_secrets < n_secrets; h->n_secrets++)
		h->secrets[h->n_secrets] = xstrdup(secrets[h->n_secrets]);
	list_init(&h->flights);
	return h;
}

void webhook_free(struct webhook *h)
{
	if (!h)
		return;
	list_for_each(pos, tmp, &h->flights) {
		list_remove(pos);
		free(list_entry(pos, struct flight, link));
	}
	http_client_free(h->client);
	free(h->url);
	for (size_t i = 0; i < h->n_secrets; i++)
		free(h->secrets[i]);
	free(h);
}

void webhook_queue(struct sim *sim, struct str object)
{
	struct webhook *h = sim->webhook;
	const struct fault_about about = {.event_object = object};
	struct fault fault;
	int64_t due_us = sim_now_us(sim), copies = 1, seq;
	bool collect = false;

	if (fault_take(sim, SIM_WEBHOOK, &about, &fault)) {
		if (fault.mode == FAULT_DROP_BEFORE)
			return;
		if (fault.mode == FAULT_DELAY)
			due_us += fault.ms * 1000;
		if (fault.mode == FAULT_TWICE)
			copies = 2;
		collect = fault.mode == FAULT_REORDER && h->n_collected < WEBHOOK_REORDER_MAX;
	}
	if (collect)
		due_us += COLLECTED_DUE_S * US_PER_SECOND;
	seq = store_delivery_insert(sim->store, copies, due_us);
	if (collect) {
		h->collected[h->n_collected++] = seq;
		h->unwinding = fault.times_left == 0;
	}
}

void webhook_unwind(struct webhook *h)
{
	h->unwinding = true;
	webhook_poke(h);
}

/* The next of the collected ones may go. Its transaction is its own. */
static void release_next(struct webhook *h, int64_t now_us)
{
	struct store *store = h->sim->store;

	while (h->released_seq == 0 && h->n_collected) {
		int64_t seq = h->collected[--h->n_collected];

		if (!store_begin(store))
			return;
		if (store_delivery_release(store, seq, now_us))
			h->released_seq = seq;
		if (!store_commit(store))
			h->released_seq = 0;
	}
	if (h->n_collected == 0)
		h->unwinding = false;
}

static void on_answer(void *arg, const struct http_call_answer *a)
{
	struct flight *f = arg;
	struct webhook *h = f->webhook;

	if (a->status == HTTP_CALL_ANSWERED && a->http_status >= 200 && a->http_status < 300) {
		/* a failure is no harm: it is delivered once more */
		if (sim_begin(h->sim))
			store_delivery_done(h->sim->store, f->event_seq, sim_now_us(h->sim));
	} else {
		log_line(LOG_WARN, "a webhook was not taken", LOG_I("status", a->http_status),
			 LOG_C("error", a->error));
	}
	if (f->event_seq == h->released_seq)
		h->released_seq = 0;
	list_remove(&f->link);
	h->n_flights--;
	free(f);
	/* not with the next turn of the janitor: what waits for a free place, or for its turn, goes now */
	if (!store_in_tx(h->sim->store))
		webhook_poke(h);
}

/* "Stripe-Signature: t=...,v1=...", a v1 for each secret. */
static void sign(const struct webhook *h, struct str body, struct buf *ret_header)
{
	int64_t now_s = wall_now_us() / US_PER_SECOND;
	struct buf text;

	buf_init(&text, SIM_OBJECT_MAX * 9);
	buf_addf(&text, "%lld.", (long long)now_s);
	buf_addstr(&text, body);
	buf_addf(ret_header, "Stripe-Signature: t=%lld", (long long)now_s);
	for (size_t i = 0; i < h->n_secrets; i++) {
		uint8_t mac[32];
		char hex[65];

		crypto_hmac_sha256(str_from(h->secrets[i]), buf_str(&text), mac);
		hex_encode(mac, sizeof(mac), hex);
		buf_addf(ret_header, ",v1=%s", hex);
	}
	buf_done(&text);
}

static void send_event(struct webhook *h, const struct sim_event *e)
{
	struct flight *f = xcalloc(1, sizeof(*f));
	struct buf body, signature;
	const char *headers[] = {"Content-Type: application/json; charset=utf-8", NULL, NULL};
	struct jw w;

	buf_init(&body, SIM_OBJECT_MAX * 8);
	jw_init(&w, &body);
	object_event(&w, e);
	jw_done(&w);
	buf_init(&signature, 1024);
	sign(h, buf_str(&body), &signature);
	headers[1] = signature.p;
	f->webhook = h;
	f->event_seq = e->seq;
	list_append(&h->flights, &f->link);
	h->n_flights++;
	f->call = http_call_start(h->client,
				  &(struct http_call_spec){.method = "POST",
							   .url = h->url,
							   .headers = headers,
							   .body = buf_str(&body),
							   .connect_timeout_ms = 5000,
							   .total_timeout_ms = 20000,
							   .answer_max = ANSWER_MAX},
				  on_answer, f);
	buf_done(&body);
	buf_done(&signature);
}

/* 4 s, 16 s, 64 s, ... */
static int64_t pause_us(int64_t attempts)
{
	int64_t s = attempts < 6 ? INT64_C(1) << (2 * attempts) : PAUSE_MAX_S;

	return (s < PAUSE_MAX_S ? s : PAUSE_MAX_S) * US_PER_SECOND;
}

/* A clock that was advanced makes due what is just being sent: it is sent again when it failed, not before. */
static bool in_flight(struct webhook *h, int64_t event_seq)
{
	list_for_each(pos, tmp, &h->flights)
		if (list_entry(pos, struct flight, link)->event_seq == event_seq)
			return true;
	return false;
}

void webhook_poke(struct webhook *h)
{
	struct store *store = h->sim->store;
	int64_t now_us = sim_now_us(h->sim), attempts[FLIGHTS_MAX];
	struct sim_event due[FLIGHTS_MAX];
	size_t n, room = FLIGHTS_MAX - h->n_flights;
	struct arena a;

	/* the claim is a transaction of its own, and no event leaves before its own commit */
	if (room == 0 || store_in_tx(store))
		return;
	if (h->unwinding)
		release_next(h, now_us);
	arena_init(&a);
	n = store_delivery_due(store, &a, now_us, due, attempts, room);
	if (store_failed(store)) {
		log_line(LOG_ERROR, "the webhooks to send cannot be read", LOG_C("error", store_error(store)));
		store_rollback(store);
	}
	if (n && store_begin(store)) {
		for (size_t i = 0; i < n; i++) {
			if (in_flight(h, due[i].seq)) {
				due[i].seq = -1;
			} else if (attempts[i] > 0 && now_us - due[i].created_us > GIVE_UP_S * US_PER_SECOND) {
				store_delivery_give_up(store, due[i].seq);
				due[i].seq = -1;
			} else {
				store_delivery_later(store, due[i].seq, attempts[i] + 1,
						     now_us + pause_us(attempts[i] + 1));
			}
		}
		if (store_commit(store))
			for (size_t i = 0; i < n; i++)
				if (due[i].seq >= 0)
					send_event(h, &due[i]);
	}
	arena_done(&a);
}
