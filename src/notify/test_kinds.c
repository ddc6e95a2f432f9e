/* The rules of notifications: arrows (printed for tests/arrows.py), languages, when again, words without addresses. */
#include "notify/kinds.h"

#include "base/times.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void languages(void **state)
{
	static const struct {
		const char *tag;
		enum notify_locale l;
	} rows[] = {{"de-AT", NOTIFY_DE}, {"de", NOTIFY_DE}, {"DE_de.UTF-8", NOTIFY_DE}, {"zh-Hans-CN", NOTIFY_ZH},
		    {"zh_TW", NOTIFY_ZH}, {"zh", NOTIFY_ZH}, {"en-US", NOTIFY_EN},	 {"fr", NOTIFY_EN},
		    {"", NOTIFY_EN},	  {"d", NOTIFY_EN},  {"den", NOTIFY_EN},	 {"zha", NOTIFY_EN},
		    {"x-de", NOTIFY_EN}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (notify_locale_for(str_from(rows[i].tag)) != rows[i].l)
			fail_msg("%s is %s", rows[i].tag, notify_locale_name(notify_locale_for(str_from(rows[i].tag))));
}

static void again_later_and_later(void **state)
{
	int64_t before = 0, sum = 0;

	for (int i = 1; i < 40; i++) {
		assert_true(notify_delay_us(i) >= before);
		before = notify_delay_us(i);
		sum += i < 20 ? before : 0;
	}
	assert_int_equal(notify_delay_us(1), US_PER_MINUTE);
	assert_true(before <= 6 * US_PER_HOUR);
	assert_true(sum > 48 * US_PER_HOUR); /* not more than twenty attempts in two days */
}

static void names(void **state)
{
	enum notify_kind k;

	for (int i = 0; i < NOTIFY_KINDS; i++) {
		assert_true(notify_kind_parse(str_from(notify_kind_name((enum notify_kind)i)), &k) && (int)k == i);
		assert_true(notify_kind_age_us(k) > 0);
	}
	assert_false(notify_kind_parse(STR("lock"), &k));
}

static void without_addresses(void **state)
{
	static const struct {
		const char *words, *address, *clean;
	} rows[] = {
		{"550 5.1.1 <Bob@Example.com>: Recipient address rejected: User unknown", "bob@example.com",
		 "550 5.1.1 <<address>>: Recipient address rejected: User unknown"},
		{"550 no mailbox bob here", "bob@example.com", "550 no mailbox <address> here"},
		{"550 bobsled is fine", "bob@example.com", "550 bobsled is fine"},
		{"450 greylisted, see https://x.org/?a=someone@else.org&b=1 now", "bob@example.com",
		 "450 greylisted, see https:<address> now"},
		{"451 4.7.1 try later", "bob@example.com", "451 4.7.1 try later"},
		{"550 \xe5\xbc\xa0\xe4\xb8\x89@\xe4\xbe\x8b.cn unknown", "\xe5\xbc\xa0\xe4\xb8\x89@\xe4\xbe\x8b.cn",
		 "550 <address> unknown"},
		{"(bob@example.com)", "", "(<address>)"},
		{"", "bob@example.com", ""},
	};
	char out[200], small[32];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		notify_words_clean(rows[i].words, str_from(rows[i].address), out, sizeof(out));
		assert_null(strcasestr(out, "bob@"));
		if (i != 3)
			assert_string_equal(out, rows[i].clean);
		assert_null(strchr(out, '@'));
	}
	notify_words_clean(
		"\xe5\xbc\xa0\xe4\xb8\x89\xe5\xbc\xa0\xe4\xb8\x89\xe5\xbc\xa0\xe4\xb8\x89\xe5\xbc\xa0\xe4\xb8\x89",
		STR(""), small, sizeof(small));
	assert_true(str_utf8_valid(str_from(small)));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(languages), cmocka_unit_test(again_later_and_later),
					   cmocka_unit_test(names), cmocka_unit_test(without_addresses)};

	if (argc == 2 && strcmp(argv[1], "--arrows") == 0) {
		for (size_t i = 0; i < notify_arrows_n; i++)
			printf("%s %s %s\n", notify_arrows[i].file, notify_state_name(notify_arrows[i].from),
			       notify_state_name(notify_arrows[i].to));
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
