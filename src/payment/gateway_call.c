/*
 * One call of the gateway: address, key and time limits around io/http_client; what it took is measured. Whoever calls has
 * committed the call's row before. The secret key goes into one header and nowhere else.
 *
 *   gateway_call --> breaker --+--> sent --> answered --+--> told
 *                    ^         |                        +--> surely nothing done, or its key is in use: waits, the same again
 *                    |         +--> refused here: told as a call of which nothing left            |
 *                    +----------------------------------------------------------------------------+
 *
 * When to repeat and when not to call at all is decided in gateway_policy.h. A repetition has the same key and bytes; the last
 * begins so early that it ends within the caller's lease. Once the gateway has said that the key is being worked on, a later
 * repetition that did not get through proves nothing any more: the outcome is unknown.
 */
#include "base/times.h"
#include "io/crypto.h"
#include "io/log.h"
#include "io/metrics_table.h"
#include "payment/payment_int.h"

#include <stdio.h>

static void gateway_send(struct gateway_going *g);

static int64_t time_limit_ms(const struct gateway_going *g)
{
	return g->key ? g->p->config.timeout_ms : g->p->config.read_timeout_ms;
}

static uint32_t some_random(void)
{
	uint32_t r;

	crypto_random(&r, sizeof(r));
	return r;
}

void gateway_show_breaker(struct payment_service *p)
{
	metric_set(p->config.metrics, METRIC_GATEWAY_BREAKER, 0, 0, (int64_t)p->breaker.state);
}

static void told(struct gateway_going *g, struct gateway_answer *answer)
{
	timer_free(g->timer);
	g->timer = NULL;
	if (g->in_use && (answer->http_status == 429 || (answer->http_status == 0 && !answer->sent))) {
		answer->http_status = 0;
		answer->sent = true;
	}
	g->fn(g->arg, answer);
}

static void on_refused(void *arg)
{
	struct gateway_answer answer = {0};

	told(arg, &answer);
}

static void on_wait_over(void *arg)
{
	gateway_send(arg);
}

static void later(struct gateway_going *g, loop_fn *fn, int64_t us)
{
	timer_free(g->timer);
	g->timer = timer_new(g->p->config.loop, fn, g);
	timer_set_ms(g->timer, (us + 999) / 1000);
}

/* true: it is sent again. */
static bool repeat(struct gateway_going *g, const struct http_call_answer *a)
{
	struct payment_service *p = g->p;
	char code[PAYMENT_CODE_MAX] = "";
	struct gateway_outcome o = {.http_status = a->status == HTTP_CALL_ANSWERED ? a->http_status : 0,
				    .sent = a->status != HTTP_CALL_NOT_SENT,
				    .code = code,
				    .retry_after_s = a->retry_after_s,
				    .should_retry_said = a->should_retry_said,
				    .should_retry = a->should_retry};
	int64_t now_us = loop_now_us(p->config.loop), wait_us;
	enum gateway_again again;

	if (o.http_status == 409)
		payment_error_code(a->body, code);
	again = gateway_again(&o);
	g->in_use |= again == AGAIN_IN_USE;
	wait_us = gateway_wait_us(g->repeats + 1, a->retry_after_s, some_random());
	if (again == AGAIN_NO || g->repeats >= GATEWAY_REPEATS_MAX ||
	    now_us + wait_us > g->began_us + GATEWAY_REPEAT_MS * INT64_C(1000) ||
	    !gateway_budget_take(&p->budget, now_us))
		return false;
	g->repeats++;
	metric_add(p->config.metrics, METRIC_GATEWAY_REPEATS, (int)g->step, 0, 1);
	log_line(LOG_INFO, "a call of the payment gateway is repeated", LOG_C("step", payment_step_name(g->step)),
		 LOG_I("status", o.http_status), LOG_C("why", o.http_status ? code : a->error),
		 LOG_I("wait_ms", wait_us / 1000));
	later(g, on_wait_over, wait_us);
	return true;
}

static void on_answered(void *arg, const struct http_call_answer *a)
{
	struct gateway_going *g = arg;
	struct payment_service *p = g->p;
	struct gateway_answer answer = {.sent = a->status != HTTP_CALL_NOT_SENT};
	enum breaker_state was = p->breaker.state;
	bool failed;

	metric_observe(p->config.metrics, METRIC_GATEWAY_SECONDS, (int)g->step, 0, a->took_us);
	if (a->status == HTTP_CALL_ANSWERED) {
		answer.http_status = a->http_status;
		answer.body = a->body;
		snprintf(answer.request_id, sizeof(answer.request_id), "%.*s", STR_FMT(a->request_id));
	}
	failed = answer.http_status == 0 || answer.http_status >= 500;
	breaker_tell(&p->breaker, loop_now_us(p->config.loop), failed, some_random());
	gateway_show_breaker(p);
	if (p->breaker.state != was)
		log_line(p->breaker.state == BREAKER_CLOSED ? LOG_INFO : LOG_ERROR,
			 p->breaker.state == BREAKER_CLOSED ? "the payment gateway works again"
							    : "the payment gateway does not work: calls wait",
			 LOG_C("step", payment_step_name(g->step)));
	if (!failed && answer.http_status < 400)
		gateway_budget_earn(&p->budget);
	if (answer.sent && failed)
		metric_add(p->config.metrics, METRIC_GATEWAY_UNKNOWN, (int)g->step, 0, 1);
	if (answer.http_status == 401 || answer.http_status == 403)
		log_line(LOG_ERROR, "the payment gateway does not accept the key", LOG_I("status", answer.http_status));
	else if (a->status != HTTP_CALL_ANSWERED)
		log_line(LOG_WARN, "no answer from the payment gateway", LOG_C("step", payment_step_name(g->step)),
			 LOG_C("why", a->error));
	if (!repeat(g, a))
		told(g, &answer);
}

static void gateway_send(struct gateway_going *g)
{
	struct payment_service *p = g->p;
	char url[2048], idempotency[256];
	const char *headers[6];
	size_t n = 0;
	int64_t total_ms = time_limit_ms(g), connect_ms = p->config.connect_timeout_ms;
	struct http_call_spec spec = {.method = g->key ? "POST" : "GET",
				      .url = url,
				      .headers = headers,
				      .body = g->body,
				      .answer_max = GATEWAY_ANSWER_MAX,
				      .total_timeout_ms = total_ms,
				      .connect_timeout_ms = total_ms < connect_ms ? total_ms : connect_ms};

	if (!breaker_admit(&p->breaker, loop_now_us(p->config.loop))) {
		later(g, on_refused, 0);
		return;
	}
	gateway_show_breaker(p);
	snprintf(url, sizeof(url), "%s%s", p->url, g->path);
	headers[n++] = p->authorization;
	headers[n++] = "Stripe-Version: " GATEWAY_API_VERSION;
	if (g->key) {
		snprintf(idempotency, sizeof(idempotency), "Idempotency-Key: %s", g->key);
		headers[n++] = idempotency;
		headers[n++] = "Content-Type: application/x-www-form-urlencoded";
	}
	headers[n] = NULL;
	http_call_start(p->config.http, &spec, on_answered, g);
}

void gateway_call(struct payment_service *p, struct gateway_going *g, enum payment_step step, const char *key,
		  const char *path, struct str body, gateway_fn *fn, void *arg)
{
	*g = (struct gateway_going){.p = p,
				    .step = step,
				    .key = key,
				    .path = path,
				    .body = body,
				    .began_us = loop_now_us(p->config.loop),
				    .fn = fn,
				    .arg = arg};
	gateway_send(g);
}

void gateway_going_done(struct gateway_going *g)
{
	timer_free(g->timer);
	g->timer = NULL;
}

bool payment_gateway_up(const struct payment_service *p)
{
	return p->breaker.state == BREAKER_CLOSED;
}

bool payment_available(const struct payment_service *p, int *ret_retry_after_s)
{
	int64_t wait_us;
	bool yes = breaker_would_admit(&p->breaker, loop_now_us(p->config.loop), &wait_us);

	*ret_retry_after_s = yes ? 0 : (int)((wait_us + US_PER_SECOND - 1) / US_PER_SECOND);
	return yes;
}
