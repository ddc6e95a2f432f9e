#include "payment/webhook.h"

#include "base/times.h"
#include "base/xmalloc.h"
#include "io/crypto.h"
#include "payment/orphans.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NOW_S INT64_C(1700000000)
#define NOW (NOW_S * US_PER_SECOND)
#define VECTOR "dea1657bd5053cb0f8a75ebf0bd3d22e0cdeb79563b44db6b88864e522fb8bc4"
#define OLD "whsec_0123456789abcdef"
#define NEW "whsec_fedcba9876543210"

static const struct str body = {"{\"id\":\"evt_1\"}", 14};
static const struct str secrets[] = {{OLD, sizeof(OLD) - 1}, {NEW, sizeof(NEW) - 1}};

static void sign(const char *secret, int64_t at_s, char out[65])
{
	uint8_t mac[32];
	char text[200];
	int n = snprintf(text, sizeof(text), "%lld.%.*s", (long long)at_s, STR_FMT(body));

	crypto_hmac_sha256(str_from(secret), (struct str){text, (size_t)n}, mac);
	hex_encode(mac, sizeof(mac), out);
}

static enum webhook_signed check_as(const char *header, struct str what, size_t n_secrets)
{
	struct str h = str_from(header);

	return webhook_check(header ? &h : NULL, what, secrets, n_secrets, NOW, crypto_hmac_sha256);
}

static enum webhook_signed check(const char *header)
{
	return check_as(header, body, 2);
}

static const char *header(const char *fmt, ...)
{
	static char out[2000];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(out, sizeof(out), fmt, ap);
	va_end(ap);
	return out;
}

/* A vector made elsewhere: openssl dgst -sha256 -hmac. */
static void test_known_signature(void **state)
{
	assert_int_equal(check("t=1700000000,v1=" VECTOR), WEBHOOK_SIGNED);
}

static void test_signature(void **state)
{
	char old[65], new[65], other[65];

	sign(OLD, NOW_S, old);
	sign(NEW, NOW_S, new);
	sign("whsec_somebody_elses", NOW_S, other);
	assert_int_equal(check(header("t=%lld,v1=%s", NOW_S, old)), WEBHOOK_SIGNED);
	assert_int_equal(check(header("t=%lld,v1=%s", NOW_S, new)), WEBHOOK_SIGNED);
	assert_int_equal(check(header("t=%lld,v0=%s,v1=%s, v1=%s,x", NOW_S, other, other, new)), WEBHOOK_SIGNED);
	assert_int_equal(check_as(header("t=%lld,v1=%s", NOW_S, new), body, 1), WEBHOOK_FORGED);
	assert_int_equal(check_as(header("t=%lld,v1=%s", NOW_S, new), body, 0), WEBHOOK_FORGED);
	assert_int_equal(check(header("t=%lld,v1=%s", NOW_S, other)), WEBHOOK_FORGED);
	assert_int_equal(check(header("t=%lld,v1=%s", NOW_S + 1, old)), WEBHOOK_FORGED);
	/* only v1 counts, and every byte of the body */
	assert_int_equal(check(header("t=%lld,v0=%s", NOW_S, old)), WEBHOOK_MALFORMED);
	assert_int_equal(check_as(header("t=%lld,v1=%s", NOW_S, old), (struct str){body.p, body.n - 1}, 2),
			 WEBHOOK_FORGED);
	for (size_t i = 0; i < 64; i++) {
		char bad[65];

		memcpy(bad, old, sizeof(bad));
		bad[i] = bad[i] == '0' ? '1' : '0';
		assert_int_equal(check(header("t=%lld,v1=%s", NOW_S, bad)), WEBHOOK_FORGED);
	}
}

static void test_signature_malformed(void **state)
{
	static const char *const bad[] = {"",
					  "t",
					  "t=",
					  "v1=",
					  "t=1700000000",
					  "t=x,v1=00",
					  "t=-1,v1=" VECTOR,
					  "t=1700000000,v1=00",
					  "t=1700000000,t=1700000000,v1=" VECTOR,
					  "v1=" VECTOR,
					  "t=99999999999999999999,v1=" VECTOR};

	assert_int_equal(check(NULL), WEBHOOK_UNSIGNED);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(check(bad[i]), WEBHOOK_MALFORMED);
}

static void test_time(void **state)
{
	static const struct {
		int64_t off;
		enum webhook_signed want;
	} rows[] = {{-301, WEBHOOK_STALE}, {-300, WEBHOOK_SIGNED}, {300, WEBHOOK_SIGNED}, {301, WEBHOOK_FUTURE}};
	char mac[65];

	for (size_t i = 0; i < 4; i++) {
		sign(NEW, NOW_S + rows[i].off, mac);
		assert_int_equal(check(header("t=%lld,v1=%s", NOW_S + rows[i].off, mac)), rows[i].want);
	}
}

static void test_secrets(void **state)
{
	struct str out[2];

	assert_int_equal(webhook_secrets_read(STR(OLD "\n"), out), 1);
	assert_true(str_eqc(out[0], OLD));
	assert_int_equal(webhook_secrets_read(STR("\n" OLD "\r\n  " NEW), out), 2);
	assert_true(str_eqc(out[1], NEW));
	assert_int_equal(webhook_secrets_read(STR(""), out), 0);
	assert_int_equal(webhook_secrets_read(STR("short\n"), out), 0);
	assert_int_equal(webhook_secrets_read(STR(OLD "\n" NEW "\n" OLD), out), 0);
	assert_int_equal(webhook_secrets_read(STR(OLD " " NEW), out), 0);
}

#define SHOW "0198c0de-0000-7000-8000-000000000001"
#define ATTEMPT "0198c0de-0000-7000-8000-000000000002"

static struct webhook_event read_event(const char *text)
{
	struct webhook_event e;
	struct error error = {0};

	assert_true(webhook_read(str_from(text), &e, &error));
	return e;
}

static void test_events(void **state)
{
	struct webhook_event e = read_event(
		"{\"id\":\"evt_1\",\"type\":\"payment_intent.succeeded\",\"created\":1700000000,\"data\":{\"object\":{"
		"\"id\":\"pi_1\","
		"\"status\":\"succeeded\",\"amount\":9000,\"currency\":\"eur\",\"metadata\":{\"show\":\"" SHOW
		"\",\"attempt\":\"" ATTEMPT "\"}}}}");

	assert_int_equal(e.about, ABOUT_INTENT);
	assert_string_equal(e.intent_id, "pi_1");
	assert_true(e.has_attempt);
	assert_int_equal(e.seen, SEEN_PAID);
	assert_int_equal(e.amount_minor, 9000);
	assert_string_equal(e.currency, "EUR");
	assert_int_equal(e.created_us, NOW);
	e = read_event("{\"id\":\"evt_2\",\"type\":\"refund.failed\",\"data\":{\"object\":{\"id\":\"re_1\",\"status\":"
		       "\"failed\","
		       "\"payment_intent\":{\"id\":\"pi_1\"},\"metadata\":{\"refund\":\"" ATTEMPT "\"}}}}");
	assert_int_equal(e.about, ABOUT_REFUND);
	assert_string_equal(e.intent_id, "pi_1");
	assert_int_equal(e.seen, SEEN_REFUSED);
	e = read_event("{\"id\":\"evt_3\",\"type\":\"charge.dispute.created\",\"data\":{\"object\":{\"id\":\"dp_1\","
		       "\"amount\":100,"
		       "\"payment_intent\":\"pi_1\",\"currency\":\"e1r\"}}}");
	assert_int_equal(e.about, ABOUT_DISPUTE);
	assert_string_equal(e.object_id, "dp_1");
	assert_string_equal(e.currency, "");
	/* of no use, or of nobody's */
	assert_int_equal(read_event("{\"id\":\"e\",\"type\":\"payment_intents\",\"data\":{\"object\":{}}}").about,
			 ABOUT_NOTHING);
	assert_int_equal(
		read_event("{\"id\":\"e\",\"type\":\"payment_intent.created\",\"data\":{\"object\":{}}}").about,
		ABOUT_NOTHING);
	assert_int_equal(read_event("{\"id\":\"e\",\"type\":\"refund.failed\",\"data\":{\"object\":{\"id\":\"re_1\","
				    "\"payment_intent\":\"p\"}}}")
				 .about,
			 ABOUT_NOTHING);
	/* a refund that we did not ask for, or that one failed; ours is no news */
#define CREATED(more) \
	"{\"id\":\"e\",\"type\":\"refund.created\",\"data\":{\"object\":{\"id\":\"re_1\",\"object\":\"refund\"," \
	"\"payment_intent\":\"pi_1\"," more "}}}"
	assert_int_equal(read_event(CREATED("\"status\":\"succeeded\"")).about, ABOUT_FOREIGN_REFUND);
	assert_int_equal(read_event(CREATED("\"status\":\"pending\"")).about, ABOUT_FOREIGN_REFUND);
	assert_int_equal(read_event(CREATED("\"status\":\"failed\"")).about, ABOUT_FOREIGN_REFUND);
	assert_int_equal(
		read_event(CREATED("\"status\":\"succeeded\",\"metadata\":{\"refund\":\"" ATTEMPT "\"}")).about,
		ABOUT_NOTHING);
	e = read_event("{\"id\":\"e\",\"type\":\"payment_intent.succeeded\",\"created\":1e3,\"data\":{\"object\":{"
		       "\"id\":\"pi_1\","
		       "\"amount\":-5,\"metadata\":{\"show\":\"x\"}}}}");
	assert_int_equal(e.about, ABOUT_INTENT);
	assert_false(e.has_attempt);
	assert_int_equal(e.amount_minor, 0);
}

static void test_no_events(void **state)
{
	static const char *const bad[] = {"",
					  "[]",
					  "{}",
					  "{\"id\":\"e\",\"type\":\"t\",\"data\":{\"object\":[]}}",
					  "{\"type\":\"t\",\"data\":{\"object\":{}}}",
					  "{\"id\":7,\"type\":\"t\",\"data\":{\"object\":{}}}",
					  "{\"id\":\"a b\",\"type\":\"t\",\"data\":{\"object\":{}}}",
					  "{\"id\":\"e\",\"data\":{\"object\":{}}}",
					  "{\"id\":\"e\",\"id\":\"f\",\"type\":\"t\",\"data\":{\"object\":{}}}"};
	struct webhook_event e;
	struct error error;
	struct buf deep;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		error = (struct error){0};
		assert_false(webhook_read(str_from(bad[i]), &e, &error));
		assert_int_equal(error.code, ERR_INVALID_REQUEST);
	}
	buf_init(&deep, 100000);
	buf_adds(&deep, "{\"id\":\"e\",\"type\":\"t\",\"data\":{\"object\":{\"a\":");
	for (int i = 0; i < 10000; i++)
		buf_addc(&deep, '[');
	error = (struct error){0};
	assert_false(webhook_read(buf_str(&deep), &e, &error));
	buf_done(&deep);
}

/* ---- the orphan scan ---- */

static void test_pages(void **state)
{
	struct arena arena;
	struct orphan_page page;

	arena_init(&arena);
	assert_true(orphan_page_read(
		200,
		STR("{\"data\":[{\"id\":\"pi_1\",\"status\":\"requires_capture\",\"amount\":5,\"amount_received\":0,"
		    "\"created\":7,"
		    "\"currency\":\"eur\",\"metadata\":{\"show\":\"" SHOW "\",\"booking\":\"" SHOW
		    "\",\"attempt\":\"" ATTEMPT
		    "\"}},{\"id\":\"pi_2\",\"status\":\"succeeded\",\"metadata\":{}}],\"has_more\":true}"),
		&arena, &page));
	assert_int_equal(page.n, 2);
	assert_true(page.more);
	assert_string_equal(page.last, "pi_2");
	assert_true(page.intents[0].ours);
	assert_int_equal(page.intents[0].seen, SEEN_HELD);
	assert_string_equal(page.intents[0].currency, "EUR");
	assert_false(page.intents[1].ours);
	assert_true(orphan_page_read(200, STR("{\"data\":[],\"has_more\":true}"), &arena, &page));
	assert_false(page.more);
	assert_false(orphan_page_read(500, STR("{\"data\":[]}"), &arena, &page));
	assert_false(orphan_page_read(200, STR("{\"data\":["), &arena, &page));
	assert_false(orphan_page_read(200, STR("{\"data\":[{}]}"), &arena, &page));
	arena_done(&arena);
}

static enum orphan_verdict verdict(enum payment_seen seen, const struct orphan_attempt *a)
{
	struct orphan_intent i = {.id = "pi_1", .ours = true, .seen = seen, .amount_minor = 9, .currency = "EUR"};

	i.received_minor = seen == SEEN_PAID ? 9 : 0;
	return orphan_decide(&i, a);
}

static void test_verdicts(void **state)
{
	struct orphan_attempt a = {
		.show_known = true, .intent_id = STR("pi_1"), .amount_minor = 9, .currency = STR("EUR")};
	static const enum payment_seen open[] = {SEEN_NEW, SEEN_ACTION, SEEN_HELD, SEEN_DECLINED};
	static const enum payment_state ended[] = {PAYMENT_FAILED, PAYMENT_VOIDED, PAYMENT_ABANDONED,
						   PAYMENT_CAPTURE_FAILED};
	static const enum payment_state alive[] = {PAYMENT_CREATED, PAYMENT_REQUIRES_ACTION, PAYMENT_AUTHORISED};
	struct orphan_intent foreign = {.id = "pi_1", .seen = SEEN_PAID};

	/* somebody else's, whatever it is */
	assert_int_equal(orphan_decide(&foreign, &a), ORPHAN_FINE);
	assert_int_equal(verdict(SEEN_PAID, &a), ORPHAN_PAYMENT);
	assert_int_equal(verdict(SEEN_CANCELED, &a), ORPHAN_FINE);
	assert_int_equal(verdict(SEEN_UNKNOWN, &a), ORPHAN_FINE);
	for (size_t i = 0; i < 4; i++) {
		a.known = false;
		assert_int_equal(verdict(open[i], &a), ORPHAN_CANCEL);
		a.show_known = false;
		assert_int_equal(verdict(open[i], &a), ORPHAN_STRANGE);
		a.show_known = a.known = true;
		for (size_t k = 0; k < 4; k++) {
			a.state = ended[k];
			a.void_wanted = a.refunded = false;
			assert_int_equal(verdict(open[i], &a), ORPHAN_VOID);
			assert_int_equal(verdict(SEEN_PAID, &a), ORPHAN_VOID);
			assert_int_equal(verdict(SEEN_CANCELED, &a), ORPHAN_FINE);
			a.intent_id = STR("");
			assert_int_equal(verdict(open[i], &a), ORPHAN_VOID);
			a.intent_id = STR("pi_2");
			assert_int_equal(verdict(open[i], &a), ORPHAN_SECOND);
			assert_int_equal(verdict(SEEN_CANCELED, &a), ORPHAN_FINE);
			a.intent_id = STR("pi_1");
			a.amount_minor = 8;
			assert_int_equal(verdict(SEEN_PAID, &a), ORPHAN_AMOUNT);
			a.amount_minor = 9;
			/* somebody sees to it already */
			a.void_wanted = true;
			assert_int_equal(verdict(open[i], &a), ORPHAN_FINE);
			a.void_wanted = false;
			a.refunded = true;
			assert_int_equal(verdict(SEEN_PAID, &a), ORPHAN_FINE);
		}
		for (size_t k = 0; k < 3; k++) {
			a.state = alive[k];
			assert_int_equal(verdict(open[i], &a), ORPHAN_FINE);
			assert_int_equal(verdict(SEEN_PAID, &a), ORPHAN_FINE);
		}
		a.state = PAYMENT_CAPTURED;
		assert_int_equal(verdict(open[i], &a), ORPHAN_UNCAPTURED);
	}
	assert_int_equal(verdict(SEEN_CANCELED, &a), ORPHAN_UNCAPTURED);
	assert_int_equal(verdict(SEEN_UNKNOWN, &a), ORPHAN_FINE);
	assert_int_equal(verdict(SEEN_PAID, &a), ORPHAN_FINE);
	a.currency = STR("CHF");
	assert_int_equal(verdict(SEEN_PAID, &a), ORPHAN_AMOUNT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_known_signature),
					   cmocka_unit_test(test_signature),
					   cmocka_unit_test(test_signature_malformed),
					   cmocka_unit_test(test_time),
					   cmocka_unit_test(test_secrets),
					   cmocka_unit_test(test_events),
					   cmocka_unit_test(test_no_events),
					   cmocka_unit_test(test_pages),
					   cmocka_unit_test(test_verdicts)};

	return crypto_init() ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
