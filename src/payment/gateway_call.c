/*
 * One call of the gateway: address, key and time limits around io/http_client; what it took is measured. Whoever calls has
 * committed the call's row before. The secret key goes into one header and nowhere else.
 */
#include "io/log.h"
#include "io/metrics_table.h"
#include "payment/payment_int.h"

#include <stdio.h>

enum { CONNECT_MS = 5000 };

static void on_answered(void *arg, const struct http_call_answer *a)
{
	const struct gateway_going g = *(const struct gateway_going *)arg;
	struct gateway_answer answer = {.sent = a->status != HTTP_CALL_NOT_SENT};

	metric_observe(g.p->config.metrics, METRIC_GATEWAY_SECONDS, (int)g.step, 0, a->took_us);
	if (a->status == HTTP_CALL_ANSWERED) {
		answer.http_status = a->http_status;
		answer.body = a->body;
		snprintf(answer.request_id, sizeof(answer.request_id), "%.*s", STR_FMT(a->request_id));
	}
	if (answer.sent && (answer.http_status == 0 || answer.http_status >= 500))
		metric_add(g.p->config.metrics, METRIC_GATEWAY_UNKNOWN, (int)g.step, 0, 1);
	if (answer.http_status == 401 || answer.http_status == 403)
		log_line(LOG_ERROR, "the payment gateway does not accept the key", LOG_I("status", answer.http_status));
	else if (a->status != HTTP_CALL_ANSWERED)
		log_line(LOG_WARN, "no answer from the payment gateway", LOG_C("step", payment_step_name(g.step)),
			 LOG_C("why", a->error));
	g.fn(g.arg, &answer);
}

void gateway_call(struct payment_service *p, struct gateway_going *g, enum payment_step step, const char *key,
		  const char *path, struct str body, gateway_fn *fn, void *arg)
{
	char url[2048], idempotency[256];
	const char *headers[5];
	size_t n = 0;
	int64_t total_ms = p->config.timeout_ms;
	struct http_call_spec spec = {.method = key ? "POST" : "GET",
				      .url = url,
				      .headers = headers,
				      .body = body,
				      .answer_max = GATEWAY_ANSWER_MAX};

	*g = (struct gateway_going){p, step, fn, arg};
	snprintf(url, sizeof(url), "%s%s", p->url, path);
	headers[n++] = p->authorization;
	if (key) {
		snprintf(idempotency, sizeof(idempotency), "Idempotency-Key: %s", key);
		headers[n++] = idempotency;
		headers[n++] = "Content-Type: application/x-www-form-urlencoded";
	} else if (total_ms > PAYMENT_RETRIEVE_MS) {
		total_ms = PAYMENT_RETRIEVE_MS;
	}
	headers[n] = NULL;
	spec.total_timeout_ms = total_ms;
	spec.connect_timeout_ms = total_ms < CONNECT_MS ? total_ms : CONNECT_MS;
	http_call_start(p->config.http, &spec, on_answered, g);
}
