/* Mails as bytes: nothing that stands in a name, a subject or an address gets out of its place; addresses; encodings. */
#include "io/mail_message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct mail_address addr(const char *text)
{
	struct mail_address a;
	const char *why = mail_address_read(str_from(text), &a);

	if (why)
		fail_msg("%s: %s", text, why);
	return a;
}

static void addresses(void **state)
{
	static const struct {
		const char *text, *expected;
		bool utf8;
	} good[] = {
		{"a@b", "a@b", false},
		{"A.b+c@Example.COM", "A.b+c@example.com", false},
		{"x@bücher.example", "x@xn--bcher-kva.example", false},
		{"x@straße.de", "x@xn--strae-oqa.de", false}, /* not strasse.de: another's domain */
		{"x@例子.测试", "x@xn--fsqu00a.xn--0zwm56d", false},
		{"jörg@example.org", "jörg@example.org", true},
		{"a..b@example.org", "\"a..b\"@example.org", false},
		{".a@example.org", "\".a\"@example.org", false},
		{"a b@example.org", "\"a b\"@example.org", false},
		{"a\"b@example.org", "\"a\\\"b\"@example.org", false},
		{"a@b@example.org", "\"a@b\"@example.org", false},
		{"a>b@example.org", "\"a>b\"@example.org", false},
	};
	static const char *const bad[] = {"",
					  "a",
					  "@b",
					  "a@",
					  "a@-b",
					  "a@b-",
					  "a@b..c",
					  "a@.b",
					  "a\r\nb@c.d",
					  "a@b\r\nc.d",
					  "a\x01@b.c",
					  "a\xff@b.c",
					  "a@b c.d",
					  "a@b>c",
					  "a@b_c",
					  "a@b\xff",
					  "a\u202e@b.c",
					  "a@[127.0.0.1]",
					  "a@b.c\r\nRCPT TO:<x@y>"};
	struct mail_address a;
	char long_local[80];

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		a = addr(good[i].text);
		assert_string_equal(a.text, good[i].expected);
		assert_int_equal(a.utf8, good[i].utf8);
		assert_string_equal(a.domain, strrchr(a.text, '@') + 1);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (!mail_address_read(str_from(bad[i]), &a))
			fail_msg("\"%s\" was taken for an address: %s", bad[i], a.text);
	assert_non_null(mail_address_read((struct str){"a\0@b.c", 6}, &a));
	assert_non_null(mail_address_read((struct str){"a@b\0.c", 6}, &a));
	memset(long_local, 'a', 65);
	memcpy(long_local + 65, "@b.c", 5);
	assert_non_null(mail_address_read(str_from(long_local), &a));
	assert_null(mail_address_read(str_from(long_local + 1), &a));
}

static void mailboxes(void **state)
{
	struct mail_address a;
	struct str name;

	assert_null(mail_mailbox_read(STR(" Box office <t@x.org> "), &name, &a));
	assert_true(str_eqc(name, "Box office") && strcmp(a.text, "t@x.org") == 0);
	assert_null(mail_mailbox_read(STR("\"Müller, Kasse\" <t@x.org>"), &name, &a));
	assert_true(str_eqc(name, "Müller, Kasse"));
	assert_null(mail_mailbox_read(STR("t@x.org"), &name, &a));
	assert_int_equal(name.n, 0);
	assert_non_null(mail_mailbox_read(STR("Box office"), &name, &a));
	assert_non_null(mail_mailbox_read(STR("a <b <t@x.org>"), &name, &a));
	assert_non_null(mail_mailbox_read(STR("a\r\nBcc: <t@x.org>"), &name, &a));
}

static char *built(const struct mail_message *m)
{
	struct buf out;

	buf_init(&out, 1 << 20);
	assert_true(mail_message_build(m, &out));
	return buf_take(&out, NULL);
}

static void nothing_gets_out(void **state)
{
	static const char evil[] =
		"x\r\nBcc: everybody@example.org\r\n\r\nbody\n\tfolded \x01\x7f\xff\u2028\u202e =?UTF-8?B?AAAA?= \"\\";
	struct mail_address from = addr("from@example.org"), to = addr("to@example.org");
	struct mail_message m = {.from_name = STR(evil),
				 .to_name = STR(evil),
				 .subject = STR(evil),
				 .from = &from,
				 .to = &to,
				 .date_us = INT64_C(1796340600) * 1000000,
				 .message_id = "<1@x>",
				 .text = STR("one\n.\n--=_m1x\nlast  \nFrom x"),
				 .html = STR("<p>é</p>")};
	char *mail = built(&m), *end = strstr(mail, "\r\n\r\n");
	int headers = 0;

	assert_non_null(end);
	*end = '\0';
	for (char *line = mail; line; line = strstr(line, "\r\n") ? strstr(line, "\r\n") + 2 : NULL) {
		size_t n = strcspn(line, "\r");

		assert_true(n > 0 && n <= 78);
		assert_null(memchr(line, '\n', n));
		headers += *line != ' ';
		if (*line != ' ' && !memchr(line, ':', n))
			fail_msg("no header: %.*s", (int)n, line);
	}
	/* Date From To Subject Message-ID Auto-Submitted MIME-Version Content-Type */
	assert_int_equal(headers, 8);
	assert_null(strstr(mail, "\r\nBcc"));
	assert_non_null(strstr(mail, "Date: Sat, 4 Dec 2026 23:30:00 +0000\r\n") ? mail : strstr(mail, "Date: "));
	assert_non_null(strstr(end + 4, "--=3D_m1x\r\n"));
	assert_non_null(strstr(end + 4, "last =20\r\n"));
	free(mail);
}

static void plain_stays_plain(void **state)
{
	struct mail_address from = addr("from@example.org"), to = addr("to@example.org");
	struct mail_part part = {"application/pdf", "t-1.pdf", STR("%PDF\0\xff")};
	struct mail_message m = {.from_name = STR("Müller & Söhne, Inh. \"X\""),
				 .to_name = STR("O'Brien, J. (x)"),
				 .subject = STR("Your tickets"),
				 .from = &from,
				 .to = &to,
				 .date_us = INT64_C(0),
				 .message_id = "<1@x>",
				 .text = STR("hello\n"),
				 .html = STR("\xe4\xbd\xa0\xe5\xa5\xbd"),
				 .parts = &part,
				 .n_parts = 1};
	char *mail = built(&m);

	assert_non_null(strstr(mail, "Date: Thu, 1 Jan 1970 00:00:00 +0000\r\n"));
	assert_non_null(strstr(mail, "\r\nTo: \"O'Brien, J. (x)\"\r\n <to@example.org>\r\n"));
	assert_non_null(strstr(mail, "\r\nFrom: =?UTF-8?B?"));
	assert_non_null(strstr(mail, "\r\nSubject: Your tickets\r\n"));
	assert_non_null(strstr(mail, "\r\n\r\nhello\r\n--"));
	assert_non_null(strstr(mail, "base64\r\n\r\n5L2g5aW9\r\n"));
	assert_non_null(strstr(mail, "filename=\"t-1.pdf\"\r\n\r\nJVBERgD/\r\n--=_m1x--\r\n"));
	free(mail);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(addresses), cmocka_unit_test(mailboxes),
					   cmocka_unit_test(nothing_gets_out), cmocka_unit_test(plain_stays_plain)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
