#include "hooks/hooks_rules.h"

#include "base/times.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct net_list nobody;

static void url(const char *text, bool http, const struct net_list *allowed, const char *word)
{
	const char *fault = hook_url_fault(str_from(text), http, allowed);

	if (word ? !fault || !strstr(fault, word) : fault != NULL)
		fail_msg("%s: \"%s\" instead of \"%s\"", text, fault ? fault : "fine", word ? word : "fine");
}

static void addresses(void **state)
{
	static const struct {
		const char *url, *word;
	} table[] = {
		{"https://example.org", NULL},
		{"https://example.org/", NULL},
		{"https://example.org./hooks", NULL},
		{"https://hooks.example.org/a/b?c=d&e=%20", NULL},
		{"https://example.org?x", NULL},
		{"https://xn--mnchen-3ya.example/", NULL},
		{"https://example.org:443/", NULL},
		{"https://example.org:8443/", NULL},
		{"https://example.org:1024/", NULL},
		{"https://8.8.8.8/", NULL},
		{"https://[2606:4700::1111]:8443/x", NULL},
		{"http://example.org/", "https://"},
		{"HTTPS://example.org/", "https://"},
		{"ftp://example.org/", "https://"},
		{"file:///etc/passwd", "https://"},
		{"gopher://example.org/", "https://"},
		{"https:example.org", "https://"},
		{"//example.org", "https://"},
		{"", "https://"},
		{"https://", "host"},
		{"https:///x", "host"},
		{"https://user@example.org/", "password"},
		{"https://user:secret@example.org/", "password"},
		{"https://example.org@10.0.0.1/", "password"},
		{"https://example.org\\@10.0.0.1/", "percent"},
		{"https://example.org/a b", "percent"},
		{"https://example.org/\xc3\xa4", "percent"},
		{"https://example.org/\r\nx: y", "percent"},
		{"https://example.org/#x", "fragment"},
		{"https://ex\xc3\xa4mple.org/", "percent"},
		{"https://exa%6dple.org/", "ASCII"},
		{"https://-..example.org/", "ASCII"},
		{"https://.example.org/", "ASCII"},
		{"https://example..org/", "ASCII"},
		{"https://localhost/", "dot"},
		{"https://intranet:8443/", "dot"},
		{"https://example.org:/", "port"},
		{"https://example.org:0/", "port"},
		{"https://example.org:22/", "port"},
		{"https://example.org:25/", "port"},
		{"https://example.org:80/", "port"},
		{"https://example.org:1023/", "port"},
		{"https://example.org:65536/", "port"},
		{"https://example.org:99999999999999999999/", "port"},
		{"https://example.org:443x/", "port"},
		{"https://127.0.0.1/", "public"},
		{"https://10.1.2.3/", "public"},
		{"https://169.254.169.254/latest/meta-data/", "public"},
		{"https://100.64.0.1/", "public"},
		{"https://0.0.0.0/", "public"},
		{"https://[::1]/", "public"},
		{"https://[::ffff:127.0.0.1]/", "public"},
		{"https://[64:ff9b::7f00:1]/", "public"},
		{"https://[fd00:ec2::254]/", "public"},
		{"https://[fe80::1%25eth0]/", "ASCII"},
		{"https://[::1", "ASCII"},
		{"https://[::1]x/", "ASCII"},
		{"https://[zz]/", "ASCII"},
		{"https://[1.2.3]/", "usual form"},
		/* addresses to some readers, none of them in the usual form */
		{"https://127.1/", "usual form"},
		{"https://2130706433/", "usual form"},
		{"https://0x7f000001/", "usual form"},
		{"https://0x7f.0.0.1/", "usual form"},
		{"https://0177.0.0.1/", "usual form"},
		{"https://127.0.0.1./", "usual form"},
		{"https://example.1/", "usual form"},
	};
	struct net_list loopback;
	struct str bad;
	char longest[400];

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		url(table[i].url, false, &nobody, table[i].word);
	snprintf(longest, sizeof(longest), "https://%0300d.org/", 0);
	url(longest, false, &nobody, "ASCII");
	assert_true(net_list_parse("127.0.0.0/8 ::1", &loopback, &bad));
	url("http://127.0.0.1:9000/", true, &loopback, NULL);
	url("http://localhost:9000/", true, &loopback, NULL);
	url("http://localhost/", true, &loopback, NULL);
	url("http://localhost:443/", true, &loopback, "port");
	url("http://10.0.0.1/", true, &loopback, "public");
	url("http://example.org:80/", true, &nobody, NULL);
	url("https://[::1]:9000/", false, &loopback, NULL);
}

/* What a name came to. */
static bool may(int family, const char *text, const struct net_list *allowed)
{
	struct sockaddr_storage to = {.ss_family = (sa_family_t)family};
	void *at = family == AF_INET ? (void *)&((struct sockaddr_in *)(void *)&to)->sin_addr
				     : (void *)&((struct sockaddr_in6 *)(void *)&to)->sin6_addr;

	assert_int_equal(inet_pton(family, text, at), 1);
	return hook_may_connect(&to, allowed);
}

static void connecting(void **state)
{
	struct sockaddr_storage local = {.ss_family = AF_UNIX};
	struct net_list lan, everything;
	struct str bad;

	assert_true(net_list_parse("10.0.0.0/8 fd00::/8", &lan, &bad));
	assert_true(net_list_parse("0.0.0.0/0 ::/0", &everything, &bad));
	assert_true(may(AF_INET, "8.8.8.8", &nobody));
	assert_true(may(AF_INET6, "2606:4700::1111", &nobody));
	assert_false(may(AF_INET, "10.1.2.3", &nobody));
	assert_true(may(AF_INET, "10.1.2.3", &lan));
	assert_false(may(AF_INET, "127.0.0.1", &lan));
	assert_true(may(AF_INET6, "fd00::1", &lan));
	assert_false(may(AF_INET6, "::1", &lan));
	assert_false(may(AF_INET6, "64:ff9b::808:808", &nobody));
	/* IPv4 dressed as IPv6: never */
	assert_false(may(AF_INET6, "::ffff:8.8.8.8", &nobody));
	assert_false(may(AF_INET6, "::ffff:10.1.2.3", &lan));
	assert_false(may(AF_INET6, "::ffff:127.0.0.1", &everything));
	assert_false(hook_may_connect(&local, &everything));
}

static void types(void **state)
{
	static const char *const yes[] = {"*", "booking.*", "refund.*", "booking.confirmed", "seat.locked"};
	static const char *const no[] = {"",
					 ".",
					 ".*",
					 "b*",
					 "booking",
					 "booking.",
					 "book.*",
					 "bookings.*",
					 "**",
					 "*.confirmed",
					 "booking.confirm",
					 "booking.confirmed ",
					 HOOK_TEST_TYPE};

	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
		assert_true(hook_type_known(str_from(yes[i])));
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		assert_false(hook_type_known(str_from(no[i])));
}

#define BOOKING "019a1c5e-6b7c-7d3a-8f10-2b6d0c9e4f55"
#define LOCK "019a1c5e-6b7c-7d3a-8f10-2b6d0c9e4f56"

#define OWN "019a1c5e-6b7c-7d3a-8f10-2b6d0c9e4f58"
#define SHOW "019a1c5e-6b7c-7d3a-8f10-2b6d0c9e4f57"

static void about(const char *topic, const char *type, const char *json, const char *aggregate, const char *subject)
{
	struct hook_event e = {.topic = str_from(topic), .type = str_from(type), .json = str_from(json)};
	char a[HOOK_ABOUT_TEXT], s[HOOK_ABOUT_TEXT];

	assert_true(uuid_parse(STR(SHOW), &e.show_id));
	hook_about(&e, a, s);
	assert_string_equal(a, aggregate);
	assert_string_equal(s, subject);
}

static void aggregates(void **state)
{
	about("booking", "booking.confirmed", "{\"booking_id\":\"" BOOKING "\",\"lock_id\":\"" LOCK "\"}",
	      "booking/" BOOKING, "booking/" BOOKING);
	about("ticket", "ticket.issued", "{\"booking_id\":\"" BOOKING "\",\"ticket_id\":\"" OWN "\"}",
	      "booking/" BOOKING, "ticket/" OWN);
	about("payment", "payment.captured", "{\"booking_id\":\"" BOOKING "\",\"payment_id\":\"" OWN "\"}",
	      "booking/" BOOKING, "payment/" OWN);
	about("payment", "refund.pending",
	      "{\"booking_id\":\"" BOOKING "\",\"payment_id\":\"" LOCK "\",\"refund_id\":\"" OWN "\"}",
	      "booking/" BOOKING, "payment/" OWN);
	about("seat", "seat.locked", "{\"lock_id\":\"" LOCK "\"}", "lock/" LOCK, "show/" SHOW);
	about("seat", "seat.blocked", "{\"seats\":{}}", "show/" SHOW, "show/" SHOW);
	about("booking", "booking.confirmed", "{\"booking_id\":7}", "show/" SHOW, "show/" SHOW);
	about("booking", "booking.confirmed", "nonsense", "show/" SHOW, "show/" SHOW);
}

static void bodies(void **state)
{
	struct hook_event e = {.id = STR("x:0"),
			       .type = STR("booking.confirmed"),
			       .json = STR("{\"type\": \"booking.confirmed\", \"version\": 2}")};
	struct buf b;

	buf_init(&b, 4096);
	assert_true(uuid_parse(STR(SHOW), &e.show_id));
	hook_body_write(&b, &e, STR("booking/x"));
	assert_string_equal(
		b.p, "{\"specversion\":\"1.0\",\"id\":\"x:0\",\"source\":\"/boxoffice\","
		     "\"type\":\"booking.confirmed\",\"subject\":\"booking/x\",\"time\":\"1970-01-01T00:00:00Z\","
		     "\"showid\":\"" SHOW "\",\"datacontenttype\":\"application/json\","
		     "\"data\":{\"type\": \"booking.confirmed\", \"version\": 2}}");
	buf_done(&b);
}

/* The example of https://www.standardwebhooks.com and of its libraries' tests. */
static void signatures(void **state)
{
	static const uint8_t secret[24] = {0x31, 0xf2, 0x90, 0xf6, 0xbf, 0x06, 0x29, 0x8a, 0xab, 0x4f, 0x08, 0xd4,
					   0x3c, 0x3f, 0x08, 0x2c, 0xf6, 0x48, 0xa3, 0x62, 0xda, 0x2d, 0xa4, 0xb0};
	uint8_t ours[HOOK_SECRET] = {0xfb, 0xff, 0xbf};
	char out[HOOK_SIGNATURE_TEXT], text[HOOK_SECRET_TEXT];

	hook_sign((struct str){(const char *)secret, sizeof(secret)}, STR("msg_p5jXN8AQM9LWM0D4loKWxJek"), 1614265330,
		  STR("{\"test\": 2432232314}"), out);
	assert_string_equal(out, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
	hook_secret_format(ours, text);
	assert_string_equal(text, "whsec_+/+/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
}

static void schedules(void **state)
{
	struct hook_schedule s;

	assert_false(hook_schedule_parse("", &s));
	assert_false(hook_schedule_parse("  ", &s));
	assert_false(hook_schedule_parse("5,30", &s));
	assert_false(hook_schedule_parse("-1", &s));
	assert_false(hook_schedule_parse("604801", &s));
	assert_false(hook_schedule_parse("1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", &s));
	assert_true(hook_schedule_parse(" 5  30 0", &s));
	assert_int_equal(s.n, 3);
	assert_int_equal(hook_wait_us(&s, 1, -1, 0), 5 * US_PER_SECOND);
	assert_in_range(hook_wait_us(&s, 1, -1, 999), 5990000, 6 * US_PER_SECOND);
	assert_int_equal(hook_wait_us(&s, 2, -1, 1000), 30 * US_PER_SECOND);
	assert_int_equal(hook_wait_us(&s, 3, -1, 5), 0);
	assert_int_equal(hook_wait_us(&s, 4, -1, 5), -1);
	assert_int_equal(hook_wait_us(&s, 4, 60, 5), -1);
	assert_int_equal(hook_wait_us(&s, 1, 60, 0), 60 * US_PER_SECOND);
	assert_int_equal(hook_wait_us(&s, 2, 3, 0), 30 * US_PER_SECOND);
	assert_int_equal(hook_wait_us(&s, 1, INT64_C(4000000000), 0), US_PER_DAY);
}

static void verdicts(void **state)
{
	assert_int_equal(hook_judge(200), HOOK_TAKEN);
	assert_int_equal(hook_judge(204), HOOK_TAKEN);
	assert_int_equal(hook_judge(299), HOOK_TAKEN);
	assert_int_equal(hook_judge(0), HOOK_AGAIN);
	assert_int_equal(hook_judge(301), HOOK_AGAIN);
	assert_int_equal(hook_judge(400), HOOK_AGAIN);
	assert_int_equal(hook_judge(404), HOOK_AGAIN);
	assert_int_equal(hook_judge(410), HOOK_GONE);
	assert_int_equal(hook_judge(429), HOOK_AGAIN);
	assert_int_equal(hook_judge(500), HOOK_AGAIN);
	assert_false(hook_failed_for_long(HOOK_SUSPEND_FROM - 1, 10, 10));
	assert_false(hook_failed_for_long(HOOK_SUSPEND_FROM, 9, 10));
	assert_true(hook_failed_for_long(HOOK_SUSPEND_FROM, 10, 10));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses),  cmocka_unit_test(connecting), cmocka_unit_test(types),
		cmocka_unit_test(aggregates), cmocka_unit_test(bodies),	    cmocka_unit_test(signatures),
		cmocka_unit_test(schedules),  cmocka_unit_test(verdicts),
	};

	if (argc == 2 && strcmp(argv[1], "--arrows") == 0) {
		for (size_t i = 0; i < hook_arrows_n; i++)
			printf("%s %s %s\n", hook_arrows[i].file, hook_arrows[i].from, hook_arrows[i].to);
		return 0;
	}
	if (argc == 2 && strcmp(argv[1], "--types") == 0) {
		for (const char *const *t = hook_event_types; *t; t++)
			puts(*t);
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
