/*
 * The duty: takes what is due, sends it, writes down what became of it.
 *
 *   round:  (count, purge: hooks_watch.c) --> (a step of a replay: hooks_replay.c) --> claim --> sends begun --> round is over
 *   send:   CALLING --answer--> WRITING --row is written--> gone, the duty is woken
 *                                 \--database away: again, twice a second, until the claim is over
 *
 * A claim is for as long as an attempt can take and a little more; whoever dies with it leaves the delivery to the next, which sends it
 * again with the same webhook-id. An endpoint's failures are counted after each attempt; what they come to is hooks_rules.c's to say.
 */
#include "hooks/hooks_int.h"

#include "base/times.h"
#include "base/xmalloc.h"
#include "hooks/hooks_sql.h"
#include "io/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	CLAIM_MS = 5000, /* beyond the timeout of a call: for its row to be written */
	WRITE_AGAIN_MS = 500,
	CONNECT_MS = 5000,
	ANSWER_MAX = 4096, /* of the receiver's answer nothing is kept; so much of it is read */
	ERROR_MAX = 200,
	REPLAYS_MS = 1000,
	WATCH_MS = 5000,
};

struct send {
	struct list link;
	struct hooks *h;
	struct uuid webhook_id;
	char *event_id;
	int64_t attempt, ends_us; /* ends_us: of the claim */
	struct http_call *call;	  /* while CALLING */
	struct timer *again;	  /* while WRITING cannot be done */
	/* what became of it */
	enum hook_verdict verdict;
	int http_status;
	int64_t took_us, wait_us; /* wait_us -1: given up */
	char error[ERROR_MAX];
};

static void send_free(struct send *s)
{
	list_remove(&s->link);
	s->h->n_sends--;
	if (s->call)
		http_call_cancel(s->call);
	timer_free(s->again);
	free(s->event_id);
	free(s);
}

static void send_end(struct send *s)
{
	struct hooks *h = s->h;

	send_free(s);
	deferred_post(h->ended);
}

static void on_ended(void *arg)
{
	struct hooks *h = arg;

	if (h->wake)
		h->wake(h->wake_arg);
}

void hooks_on_wake(struct hooks *h, loop_fn *wake, void *arg)
{
	h->wake = wake;
	h->wake_arg = arg;
}

struct suspension {
	struct list link;
	struct hooks *h;
	struct uuid webhook_id;
	struct pg_tx *tx;
	const char *why;
};

static void suspension_free(struct suspension *u)
{
	list_remove(&u->link);
	free(u);
}

void hooks_free(struct hooks *h)
{
	struct send *s;
	struct suspension *u;

	if (!h)
		return;
	while ((s = list_first(&h->sends, struct send, link)))
		send_free(s);
	while ((u = list_first(&h->suspensions, struct suspension, link)))
		suspension_free(u);
	http_client_free(h->http);
	deferred_free(h->ended);
	if (h->round.fn)
		arena_done(&h->round.arena);
	free(h);
}

/* ---- what became of an attempt ---- */

static void on_suspended(void *arg, const struct pg_answer *a)
{
	struct suspension *u = arg;

	if (a->status == PG_OK) {
		metric_add(u->h->config.metrics, METRIC_HOOK_SUSPENSIONS, 0, 0, 1);
		log_line(LOG_WARN, "an organiser's webhook was suspended", LOG_U("webhook_id", &u->webhook_id),
			 LOG_C("why", u->why));
	}
	suspension_free(u); /* not suspended now: its next failure tries again */
}

static void on_suspend(void *arg, const struct pg_answer *a)
{
	struct suspension *u = arg;
	struct arena arena;
	struct uuid organizer;

	if (a->status != PG_OK || pg_rows(a->result) == 0) {
		pg_tx_rollback(u->tx, NULL, NULL);
		suspension_free(u);
		return;
	}
	organizer = pg_get_uuid(a->result, 0, 0);
	arena_init(&arena);
	audit_add_program(u->tx, &arena, &organizer, "webhook suspended", &u->webhook_id, str_from(u->why));
	pg_tx_commit(u->tx, on_suspended, u);
	arena_done(&arena);
}

static void suspend(struct hooks *h, const struct uuid *webhook_id, const char *why)
{
	struct suspension *u = xcalloc(1, sizeof(*u));
	struct arena arena;
	struct pg_args args;

	list_append(&h->suspensions, &u->link);
	u->h = h;
	u->webhook_id = *webhook_id;
	u->tx = pg_tx_start(h->config.pg, NULL, HOOKS_TX_MS);
	u->why = why;
	arena_init(&arena);
	pg_args_init(&args, &arena);
	pg_arg_uuid(&args, webhook_id);
	pg_arg_text(&args, str_from(why));
	pg_tx_exec(u->tx, &hooks_sql_webhook_suspend, &args, on_suspend, u);
	arena_done(&arena);
}

static void send_write(struct send *s);

static void on_write_again(void *arg)
{
	send_write(arg);
}

/* true: it is written, or is to be left to whoever takes it next. */
static bool written(struct send *s, const struct pg_answer *a)
{
	if (a->status == PG_OK || (a->status == PG_ERROR && !pg_error_is_transient(a)))
		return true;
	if (loop_now_us(s->h->config.loop) > s->ends_us)
		return true;
	if (!s->again)
		s->again = timer_new(s->h->config.loop, on_write_again, s);
	timer_set_ms(s->again, WRITE_AGAIN_MS);
	return false;
}

static void on_counted(void *arg, const struct pg_answer *a)
{
	struct send *s = arg;
	struct hooks *h = s->h;
	const struct pg_result *r = a->result;

	if (a->status == PG_OK && pg_rows(r) && str_eqc(pg_get_text(r, 0, 2), "enabled")) {
		if (s->verdict == HOOK_GONE)
			suspend(h, &s->webhook_id, "gone");
		else if (hook_failed_for_long(pg_get_int(r, 0, 0), pg_get_int(r, 0, 1),
					      h->config.suspend_seconds * US_PER_SECOND))
			suspend(h, &s->webhook_id, "failing");
	}
	send_end(s);
}

/* The endpoint's failures. */
static void count_failure(struct send *s)
{
	struct arena arena;
	struct pg_args args;

	arena_init(&arena);
	pg_args_init(&args, &arena);
	pg_arg_uuid(&args, &s->webhook_id);
	pg_arg_i32(&args, s->http_status);
	pg_arg_i32(&args, HOOK_PAUSE_FROM);
	pg_arg_interval_us(&args, HOOK_PAUSE_MS * INT64_C(1000));
	pg_arg_interval_us(&args, HOOK_PAUSE_MAX_S * US_PER_SECOND);
	pg_arg_interval_us(&args, HOOK_SILENCE_S * US_PER_SECOND);
	pg_arg_text(&args, str_from(s->error));
	pg_query_start(s->h->config.pg, &hooks_sql_webhook_failed, &args, HOOKS_QUERY_MS, on_counted, s);
	arena_done(&arena);
}

static void on_written(void *arg, const struct pg_answer *a)
{
	struct send *s = arg;

	if (!written(s, a))
		return;
	metric_add(s->h->config.metrics, METRIC_HOOK_DELIVERIES,
		   s->verdict == HOOK_TAKEN ? HOOK_OUTCOME_DELIVERED
		   : s->wait_us < 0	    ? HOOK_OUTCOME_FAILED
					    : HOOK_OUTCOME_RETRIED,
		   0, 1);
	if (s->verdict == HOOK_TAKEN)
		send_end(s);
	else
		count_failure(s);
}

static void send_write(struct send *s)
{
	const struct pg_stmt *stmt = s->verdict == HOOK_TAKEN ? &hooks_sql_delivery_deliver
				     : s->wait_us < 0	      ? &hooks_sql_delivery_fail
							      : &hooks_sql_delivery_retry;
	struct arena arena;
	struct pg_args args;

	arena_init(&arena);
	pg_args_init(&args, &arena);
	pg_arg_uuid(&args, &s->webhook_id);
	pg_arg_text(&args, str_from(s->event_id));
	if (s->verdict != HOOK_TAKEN)
		pg_arg_i32(&args, (int32_t)s->attempt);
	if (s->verdict != HOOK_TAKEN && s->wait_us >= 0)
		pg_arg_interval_us(&args, s->wait_us);
	pg_arg_i32(&args, s->http_status);
	if (s->verdict != HOOK_TAKEN)
		pg_arg_text(&args, str_from(s->error));
	pg_arg_i32(&args, (int32_t)(s->took_us / 1000));
	pg_query_start(s->h->config.pg, stmt, &args, HOOKS_QUERY_MS, on_written, s);
	arena_done(&arena);
}

/* ---- an attempt ---- */

static void judge(struct send *s, int http_status, int64_t retry_after_s, const char *error)
{
	uint32_t chance;

	crypto_random(&chance, sizeof(chance));
	s->http_status = http_status;
	s->verdict = hook_judge(http_status);
	s->wait_us = s->verdict == HOOK_GONE ? -1 : hook_wait_us(&s->h->schedule, s->attempt, retry_after_s, chance);
	snprintf(s->error, sizeof(s->error), "%s", http_status / 100 == 3 ? "redirects are not followed" : error);
	send_write(s);
}

static void on_answer(void *arg, const struct http_call_answer *answer)
{
	struct send *s = arg;
	bool answered = answer->status == HTTP_CALL_ANSWERED;

	s->call = NULL;
	s->took_us = answer->took_us;
	metric_observe(s->h->config.metrics, METRIC_HOOK_SECONDS, 0, 0, answer->took_us);
	judge(s, answered ? answer->http_status : 0, answered ? answer->retry_after_s : -1,
	      answered ? "" : answer->error);
}

static bool may_connect(void *guard, const struct sockaddr_storage *to)
{
	const struct hooks *h = guard;

	return hook_may_connect(to, &h->allowed);
}

/* Of both secrets while both are good, the new one first. false: sealed with another master key. */
static bool signatures(struct hooks *h, const struct pg_result *r, int row, struct str id, int64_t now_s,
		       struct str body, char out[2 * HOOK_SIGNATURE_TEXT])
{
	struct str old = pg_get_bytes(r, row, 6);
	uint8_t secret[HOOK_SECRET];

	if (!hooks_unseal(h, pg_get_bytes(r, row, 5), secret))
		return false;
	hook_sign((struct str){(const char *)secret, HOOK_SECRET}, id, now_s, body, out);
	if (old.n) {
		size_t n = strlen(out);

		if (!hooks_unseal(h, old, secret))
			return false;
		out[n] = ' ';
		hook_sign((struct str){(const char *)secret, HOOK_SECRET}, id, now_s, body, out + n + 1);
	}
	return true;
}

static void send_start(struct hooks *h, const struct pg_result *r, int row, struct arena *arena)
{
	struct send *s = xcalloc(1, sizeof(*s));
	struct str id = pg_get_text(r, row, 1), body = pg_get_text(r, row, 3);
	int64_t now_s = wall_now_us() / US_PER_SECOND;
	char signature[2 * HOOK_SIGNATURE_TEXT];

	s->h = h;
	s->webhook_id = pg_get_uuid(r, row, 0);
	s->event_id = xstrdup(id.p);
	s->attempt = pg_get_int(r, row, 2);
	s->ends_us = loop_now_us(h->config.loop) + (h->config.timeout_ms + CLAIM_MS) * 1000;
	list_init(&s->link);
	list_append(&h->sends, &s->link);
	h->n_sends++;
	if (!signatures(h, r, row, id, now_s, body, signature)) {
		judge(s, 0, -1, "the secret cannot be read here: it was sealed with another master key");
		return;
	}
	const char *const headers[] = {
		"Content-Type: application/cloudevents+json; charset=utf-8",
		"User-Agent: boxoffice-webhooks",
		arena_printf(arena, "webhook-id: %s", s->event_id),
		arena_printf(arena, "webhook-timestamp: %lld", (long long)now_s),
		arena_printf(arena, "webhook-signature: %s", signature),
		NULL,
	};
	struct http_call_spec spec = {.method = "POST",
				      .url = arena_printf(arena, "%.*s", STR_FMT(pg_get_text(r, row, 4))),
				      .headers = headers,
				      .body = body,
				      .connect_timeout_ms = CONNECT_MS,
				      .total_timeout_ms = h->config.timeout_ms,
				      .answer_max = ANSWER_MAX,
				      .cut_answer = true,
				      .https_only = !h->config.allow_http,
				      .alone = true,
				      .may_connect = may_connect,
				      .guard = h};

	s->call = http_call_start(h->http, &spec, on_answer, s);
}

/* ---- the round ---- */

static void round_end(struct hooks *h, bool ok)
{
	hooks_fn *fn = h->round.fn;
	bool more = h->round.more;

	h->round.fn = NULL;
	arena_done(&h->round.arena);
	fn(h->round.arg, ok, more);
}

static void on_claimed(void *arg, const struct pg_answer *a)
{
	struct hooks *h = arg;

	if (a->status == PG_OK)
		for (int row = 0; row < pg_rows(a->result); row++)
			send_start(h, a->result, row, &h->round.arena);
	round_end(h, a->status == PG_OK);
}

/* How many calls are under way, by endpoint. */
static size_t under_way(struct hooks *h, struct uuid *ids, int32_t *counts)
{
	size_t n = 0, i;

	list_for_each(at, next, &h->sends) {
		const struct send *s = list_entry(at, struct send, link);

		for (i = 0; i < n && !uuid_eq(&ids[i], &s->webhook_id); i++)
			;
		if (i == n) {
			ids[n] = s->webhook_id;
			counts[n++] = 0;
		}
		counts[i]++;
	}
	return n;
}

static void claim(struct hooks *h)
{
	struct arena *arena = &h->round.arena;
	struct uuid *ids = arena_alloc(arena, (h->n_sends + 1) * sizeof(*ids));
	int32_t *counts = arena_alloc(arena, (h->n_sends + 1) * sizeof(*counts));
	size_t n = under_way(h, ids, counts);
	struct pg_args args;

	if (h->n_sends >= HOOKS_CALLS_MAX) {
		round_end(h, true); /* woken when one has ended */
		return;
	}
	pg_args_init(&args, arena);
	pg_arg_i32(&args, (int32_t)(HOOKS_CALLS_MAX - h->n_sends));
	pg_arg_i32(&args, (int32_t)h->config.concurrency);
	pg_arg_uuids(&args, ids, n);
	pg_arg_i32s(&args, counts, n);
	pg_arg_interval_us(&args, (h->config.timeout_ms + CLAIM_MS) * 1000);
	pg_arg_i32(&args, HOOK_PAUSE_FROM);
	pg_arg_i32(&args, HOOK_HOLD_ATTEMPTS);
	pg_query_start(h->config.pg, &hooks_sql_deliveries_claim, &args, HOOKS_QUERY_MS, on_claimed, h);
}

static void on_part(struct hooks *h, bool ok, bool more);

static void round_go_on(struct hooks *h)
{
	int64_t now_us = loop_now_us(h->config.loop);

	if (now_us >= h->round.watch_at_us) {
		h->round.watch_at_us = now_us + WATCH_MS * 1000;
		hooks_watch_start(h, on_part);
	} else if (now_us >= h->round.replays_at_us) {
		h->round.replays_at_us = now_us + REPLAYS_MS * 1000;
		hooks_replay_start(h, on_part);
	} else {
		claim(h);
	}
}

static void on_part(struct hooks *h, bool ok, bool more)
{
	if (!ok) {
		round_end(h, false);
		return;
	}
	h->round.more |= more;
	if (more)
		h->round.replays_at_us = 0;
	claim(h);
}

void hooks_round(struct hooks *h, hooks_fn *fn, void *arg)
{
	if (!h->http) {
		h->http = http_client_new(h->config.loop, HOOKS_CALLS_MAX,
					  h->config.ca_file[0] ? h->config.ca_file : NULL);
		h->ended = deferred_new(h->config.loop, on_ended, h);
	}
	h->round.fn = fn;
	h->round.arg = arg;
	h->round.more = false;
	arena_init(&h->round.arena);
	round_go_on(h);
}
