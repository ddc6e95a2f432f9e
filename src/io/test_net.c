/* Whose address a request counts for. */
#include "io/net.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct net_addr addr(const char *text)
{
	struct net_addr a;

	assert_true(net_addr_parse(str_from(text), &a));
	return a;
}

static void is(struct net_addr a, const char *expected)
{
	char text[NET_ADDR_TEXT];

	net_addr_format(&a, text);
	assert_string_equal(text, expected);
}

static void reading(void **state)
{
	static const char *const bad[] = {"",	     " ",    "1.2.3",		"1.2.3.4.5", "1.2.3.256", "unknown",
					  "_hidden", "[::1", "1.2.3.4 5.6.7.8", "::1::",     "01.2.3.4",  "a:80"};
	struct net_addr a;

	is(addr("1.2.3.4"), "1.2.3.4");
	is(addr(" 1.2.3.4:8080\t"), "1.2.3.4");
	is(addr("::ffff:1.2.3.4"), "1.2.3.4");
	is(addr("2001:DB8::1"), "2001:db8::1");
	is(addr("[2001:db8::1]:443"), "2001:db8::1");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (net_addr_parse(str_from(bad[i]), &a))
			fail_msg("\"%s\" was taken for an address", bad[i]);
	assert_false(net_addr_parse((struct str){"1.2.3.4\0", 8}, &a));
}

static void networks(void **state)
{
	struct net_addr a = addr("2001:db8:1:2:3:4:5:6"), b = addr("2001:db8:1:2::1"), c = addr("2001:db8:1:3::1");

	a = net_addr_network(&a);
	b = net_addr_network(&b);
	c = net_addr_network(&c);
	is(a, "2001:db8:1:2::");
	assert_memory_equal(&a, &b, sizeof(a));
	assert_memory_not_equal(&a, &c, sizeof(a));
	a = addr("10.1.2.3");
	is(net_addr_network(&a), "10.1.2.3");
}

static bool has(const char *list, const char *one)
{
	struct net_list l;
	struct str bad;
	struct net_addr a = addr(one);

	assert_true(net_list_parse(list, &l, &bad));
	return net_list_has(&l, &a);
}

static void lists(void **state)
{
	struct net_list l;
	struct str bad;
	char many[NET_LIST_MAX * 9 + 9] = "";

	assert_true(has("10.0.0.0/8", "10.255.0.1"));
	assert_false(has("10.0.0.0/8", "11.0.0.1"));
	assert_true(has("192.168.4.0/22, ::1", "192.168.7.255"));
	assert_false(has("192.168.4.0/22", "192.168.8.0"));
	assert_true(has("192.168.4.0/22,::1", "::1"));
	assert_true(has("10.0.0.1", "10.0.0.1"));
	assert_false(has("10.0.0.1", "10.0.0.0"));
	assert_true(has("0.0.0.0/0", "8.8.8.8"));
	assert_false(has("0.0.0.0/0", "2001:db8::1"));
	assert_true(has("2001:db8::/33", "2001:db8:7fff::1"));
	assert_false(has("2001:db8::/33", "2001:db8:8000::1"));
	assert_false(has("", "127.0.0.1"));
	assert_false(net_list_parse("10.0.0.0/33", &l, &bad));
	assert_false(net_list_parse("1.2.3.4 all", &l, &bad));
	assert_true(str_eqc(bad, "all"));
	for (int i = 0; i <= NET_LIST_MAX; i++)
		strcat(many, "1.2.3.4 ");
	assert_false(net_list_parse(many, &l, &bad));
	assert_null(bad.p);
}

static void client(const char *peer, const char *first, const char *second, const char *expected)
{
	struct net_list trusted;
	struct net_addr a = addr(peer);
	struct str bad, lines[] = {str_from(first), str_from(second)};

	assert_true(net_list_parse("10.0.0.0/8", &trusted, &bad));
	is(net_client(&a, &trusted, lines, second ? 2 : first ? 1 : 0), expected);
}

static void behind_proxies(void **state)
{
	client("10.0.0.1", NULL, NULL, "10.0.0.1");
	client("10.0.0.1", "1.2.3.4", NULL, "1.2.3.4");
	client("10.0.0.1", "9.9.9.9, 1.2.3.4 , 10.0.0.2", NULL, "1.2.3.4");
	/* what a client says of itself is not looked at */
	client("10.0.0.1", "9.9.9.9, 1.2.3.4", NULL, "1.2.3.4");
	client("5.6.7.8", "9.9.9.9", NULL, "5.6.7.8");
	client("10.0.0.1", "9.9.9.9, nonsense", NULL, "10.0.0.1");
	client("10.0.0.1", "9.9.9.9, nonsense, 10.0.0.3", NULL, "10.0.0.3");
	client("10.0.0.1", "", NULL, "10.0.0.1");
	client("10.0.0.1", ",", NULL, "10.0.0.1");
	/* a proxy that adds a line of its own */
	client("10.0.0.1", "9.9.9.9", "1.2.3.4", "1.2.3.4");
	client("10.0.0.1", "9.9.9.9, 1.2.3.4", "10.0.0.2", "1.2.3.4");
	client("10.0.0.1", "9.9.9.9", "nonsense", "10.0.0.1");
	/* all of them ours: a request of our own */
	client("10.0.0.1", "10.0.0.3", NULL, "10.0.0.3");
}

static void is_public(const char *text, bool want)
{
	struct net_addr a;

	assert_true(net_addr_parse(str_from(text), &a));
	if (net_addr_is_public(&a) != want)
		fail_msg("%s is taken for %s", text, want ? "private" : "public");
}

/* The first and the last address of each range, and their neighbours. */
static void of_everybody(void **state)
{
	static const char *const no[] = {
		"0.0.0.0",
		"0.255.255.255",
		"10.0.0.0",
		"10.255.255.255",
		"100.64.0.0",
		"100.127.255.255",
		"127.0.0.1",
		"127.255.255.255",
		"169.254.0.0",
		"169.254.169.254",
		"169.254.255.255",
		"172.16.0.0",
		"172.31.255.255",
		"192.0.0.0",
		"192.0.0.192",
		"192.0.2.1",
		"192.88.99.1",
		"192.168.0.0",
		"192.168.255.255",
		"198.18.0.0",
		"198.19.255.255",
		"198.51.100.7",
		"203.0.113.7",
		"224.0.0.1",
		"239.255.255.255",
		"240.0.0.1",
		"255.255.255.255",
		/* the same, written as IPv6 */
		"::ffff:127.0.0.1",
		"::ffff:10.1.2.3",
		"::ffff:a9fe:a9fe",
		"::",
		"::1",
		"::127.0.0.1",
		"::8.8.8.8",
		"64:ff9b::7f00:1",
		"64:ff9b::808:808",
		"64:ff9b:1::1",
		"100::1",
		"1fff::1",
		"2001::1",
		"2001:0:4136:e378:8000:63bf:3fff:fdd2",
		"2001:2::1",
		"2001:20::1",
		"2001:1ff::1",
		"2001:db8::1",
		"2002:7f00:1::",
		"2002:808:808::1",
		"2620:4f:8000::1",
		"3fff::1",
		"3fff:fff::1",
		"4000::1",
		"fc00::1",
		"fd00:ec2::254",
		"fdff::1",
		"fe80::1",
		"febf::1",
		"fec0::1",
		"ff02::1",
		"ffff::1",
	};
	static const char *const yes[] = {
		"1.1.1.1",	   "8.8.8.8",	      "9.255.255.255",
		"11.0.0.0",	   "100.63.255.255",  "100.128.0.0",
		"126.255.255.255", "128.0.0.0",	      "169.253.255.255",
		"169.255.0.0",	   "172.15.255.255",  "172.32.0.0",
		"192.0.1.0",	   "192.0.3.0",	      "192.167.255.255",
		"192.169.0.0",	   "198.17.255.255",  "198.20.0.0",
		"203.0.112.255",   "203.0.114.0",     "223.255.255.255",
		"::ffff:8.8.8.8",  "2000::1",	      "2001:200::1",
		"2001:db7::1",	   "2001:db9::1",     "2001:4860:4860::8888",
		"2003::1",	   "2620:4f:8001::1", "2606:4700::1111",
		"3ffe::1",	   "3fff:1000::1",
	};

	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		is_public(no[i], false);
	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
		is_public(yes[i], true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reading),	  cmocka_unit_test(networks),	  cmocka_unit_test(lists),
		cmocka_unit_test(behind_proxies), cmocka_unit_test(of_everybody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
