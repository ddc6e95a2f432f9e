/* Whatever the gateway answers: one of the things that can be seen, texts within their bounds, a summary that is JSON. */
#include "base/json.h"
#include "payment/payment.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
	if (!ok)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int statuses[] = {200, 201, 302, 400, 401, 402, 404, 409, 429, 500};
	struct payment_observation o;
	struct refund_observation r;
	struct uuid id = {{0}};
	struct error e = {.code = ERR_NONE};
	char code[PAYMENT_CODE_MAX];
	struct buf b;
	json_t *again;
	struct str body;
	int status;

	if (size < 2)
		return 0;
	status = statuses[data[0] % (sizeof(statuses) / sizeof(statuses[0]))];
	body = (struct str){(const char *)data + 2, size - 2};
	payment_observe((enum payment_step)(data[1] % (STEP_NONE + 1)), status, true, body, &o);
	must(o.seen <= SEEN_DENIED && o.seen != SEEN_NOTHING);
	must(memchr(o.intent_id, 0, sizeof(o.intent_id)) && memchr(o.action_url, 0, sizeof(o.action_url)) &&
	     memchr(o.decline_code, 0, sizeof(o.decline_code)));
	must(o.seen != SEEN_HELD || o.intent_id[0]);
	must(status < 500 || o.seen == SEEN_UNKNOWN);
	must(memchr(o.currency, 0, sizeof(o.currency)) && memchr(o.attempt, 0, sizeof(o.attempt)) &&
	     memchr(o.fingerprint, 0, sizeof(o.fingerprint)));
	payment_compare(&o, &id, 4500, "EUR");
	must(memchr(o.differs, 0, sizeof(o.differs)));
	must(o.seen != SEEN_HELD || o.differs[0] || o.amount_minor == 4500);
	payment_error_code(body, code);
	must(memchr(code, 0, sizeof(code)));
	must(payment_decline_words(o.decline_code)[0] && payment_decline_told(o.decline_code)[0]);
	refund_observe(status, true, body, &r);
	must(r.seen != SEEN_NOTHING);
	refund_observe_list(status, true, body, &id, &r);
	buf_init(&b, 4096);
	payment_summary(body, &b);
	if (b.n) {
		again = json_read(buf_str(&b), 4, &e);
		must(json_is_object(again));
		json_decref(again);
	}
	buf_done(&b);
	return 0;
}
