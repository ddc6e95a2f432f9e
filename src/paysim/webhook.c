/*
 * Delivery of events to one receiver, at least once and in no promised order, as the gateway does it: signed, repeated
 * with growing pauses for three days until it answers 2xx.
 *
 *   event's transaction: deliveries row, due now --commit--> claimed: attempts + 1, due moved to the next try --> POST
 *        2xx: the row goes;  anything else: it stays and is due again;  the process dies: likewise
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

enum { FLIGHTS_MAX = 16, PAUSE_MAX_S = 3600, GIVE_UP_S = 3 * 86400, ANSWER_MAX = 64 * 1024 };

struct webhook {
	struct sim *sim;
	struct http_client *client;
	char *url, *secret;
	struct list flights;
	size_t n_flights;
};

struct flight {
	struct list link;
	struct webhook *webhook;
	struct http_call *call;
	int64_t event_seq;
};

struct webhook *webhook_new(struct sim *sim, const char *url, const char *secret)
{
	struct webhook *h = xcalloc(1, sizeof(*h));

	h->sim = sim;
	h->client = http_client_new(sim->loop, FLIGHTS_MAX, NULL);
	h->url = xstrdup(url);
	h->secret = xstrdup(secret);
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
	free(h->secret);
	free(h);
}

void webhook_queue(struct sim *sim)
{
	struct fault fault;
	int64_t due_us = sim_now_us(sim), copies = 1;

	if (fault_take(sim, SIM_WEBHOOK, false, &fault)) {
		if (fault.mode == FAULT_DROP_BEFORE)
			return;
		if (fault.mode == FAULT_DELAY)
			due_us += fault.ms * 1000;
		if (fault.mode == FAULT_TWICE)
			copies = 2;
	}
	store_delivery_insert(sim->store, copies, due_us);
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
	list_remove(&f->link);
	h->n_flights--;
	free(f);
}

static void send_event(struct webhook *h, const struct sim_event *e)
{
	struct flight *f = xcalloc(1, sizeof(*f));
	struct buf body, signed_text;
	int64_t now_s = wall_now_us() / US_PER_SECOND;
	uint8_t mac[32];
	char mac_hex[65], signature[160];
	const char *headers[] = {"Content-Type: application/json; charset=utf-8", signature, NULL};
	struct jw w;

	buf_init(&body, SIM_OBJECT_MAX * 8);
	jw_init(&w, &body);
	object_event(&w, e, 1);
	jw_done(&w);
	buf_init(&signed_text, SIM_OBJECT_MAX * 9);
	buf_addf(&signed_text, "%lld.", (long long)now_s);
	buf_addstr(&signed_text, buf_str(&body));
	crypto_hmac_sha256(str_from(h->secret), buf_str(&signed_text), mac);
	hex_encode(mac, sizeof(mac), mac_hex);
	snprintf(signature, sizeof(signature), "Stripe-Signature: t=%lld,v1=%s", (long long)now_s, mac_hex);
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
	buf_done(&signed_text);
}

/* 4 s, 16 s, 64 s, ... */
static int64_t pause_us(int64_t attempts)
{
	int64_t s = attempts < 6 ? INT64_C(1) << (2 * attempts) : PAUSE_MAX_S;

	return (s < PAUSE_MAX_S ? s : PAUSE_MAX_S) * US_PER_SECOND;
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
	arena_init(&a);
	n = store_delivery_due(store, &a, now_us, due, attempts, room);
	if (store_failed(store)) {
		log_line(LOG_ERROR, "the webhooks to send cannot be read", LOG_C("error", store_error(store)));
		store_rollback(store);
	}
	if (n && store_begin(store)) {
		for (size_t i = 0; i < n; i++) {
			if (attempts[i] > 0 && now_us - due[i].created_us > GIVE_UP_S * US_PER_SECOND) {
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
