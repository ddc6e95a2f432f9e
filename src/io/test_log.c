/* Every line is one JSON object with what was put in, whatever was put in, and leaves in one piece. */
#include "base/buf.h"
#include "base/json.h"
#include "base/times.h"
#include "io/log.h"
#include "io/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* Standard error stands on a datagram socket during a call: one write is one datagram, so that pieces would be seen. */
static struct {
	int pair[2], real;
} io;

static void catch_begin(void)
{
	int size = 1 << 20;

	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, io.pair), 0);
	setsockopt(io.pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	io.real = dup(STDERR_FILENO);
	dup2(io.pair[0], STDERR_FILENO);
	close(io.pair[0]);
}

/* What was written since as JSON, NULL for nothing; more than one write or line fails. The caller decrefs. */
static json_t *catch_end(void)
{
	static char text[1 << 17];
	struct error e = {0};
	json_t *j = NULL;
	ssize_t n;

	dup2(io.real, STDERR_FILENO);
	close(io.real);
	n = recv(io.pair[1], text, sizeof(text), MSG_DONTWAIT);
	if (n > 0) {
		assert_int_equal(text[n - 1], '\n');
		assert_ptr_equal(memchr(text, '\n', (size_t)n), text + n - 1);
		j = json_read((struct str){text, (size_t)n - 1}, 4, &e);
		if (!j)
			fail_msg("%s: %.*s", e.detail, (int)n, text);
		assert_true(recv(io.pair[1], text, sizeof(text), MSG_DONTWAIT) <= 0);
	}
	close(io.pair[1]);
	return j;
}

static const char *text_of(json_t *j, const char *name)
{
	const char *s = json_string_value(json_object_get(j, name));

	assert_non_null(s);
	return s;
}

static void all_kinds_of_fields(void **state)
{
	struct uuid id = {.b = {0x01, 0x8b, 0xcf, 0xe5, 0x68, 0x7b, 0x70, 0, 0x80}};
	int64_t before = wall_now_us() / 1000 * 1000, logged;
	json_t *j;

	log_setup(LOG_INFO, "serve", 3);
	catch_begin();
	log_line(LOG_WARN, "it \"happened\"", LOG_C("route", "/v1/shows"), LOG_I("status", -503),
		 LOG_U("request_id", &id), LOG_U("other", NULL), LOG_S("part", ((struct str){"abcdef", 3})),
		 LOG_C("none", NULL), ((struct log_field){.name = "retry", .type = LOG_F_BOOL, .i = 1}));
	j = catch_end();
	assert_non_null(j);
	assert_string_equal(text_of(j, "level"), "warn");
	assert_string_equal(text_of(j, "component"), "serve");
	assert_string_equal(text_of(j, "message"), "it \"happened\"");
	assert_int_equal(json_integer_value(json_object_get(j, "worker")), 3);
	assert_int_equal(json_integer_value(json_object_get(j, "pid")), getpid());
	assert_string_equal(text_of(j, "route"), "/v1/shows");
	assert_int_equal(json_integer_value(json_object_get(j, "status")), -503);
	assert_string_equal(text_of(j, "request_id"), "018bcfe5-687b-7000-8000-000000000000");
	assert_true(json_is_null(json_object_get(j, "other")));
	assert_string_equal(text_of(j, "part"), "abc");
	assert_string_equal(text_of(j, "none"), "");
	assert_true(json_is_true(json_object_get(j, "retry")));
	assert_true(time_parse(str_from(text_of(j, "time")), &logged));
	assert_true(logged >= before && logged <= wall_now_us());
	json_decref(j);
}

static void levels(void **state)
{
	static const char *const names[] = {"debug", "info", "warn", "error"};

	for (int least = LOG_DEBUG; least <= LOG_ERROR; least++) {
		log_setup((enum log_level)least, "work", -1);
		for (int level = LOG_DEBUG; level <= LOG_ERROR; level++) {
			json_t *j;

			catch_begin();
			log_line((enum log_level)level, "x");
			j = catch_end();
			assert_int_equal(j != NULL, level >= least);
			assert_int_equal(log_wanted((enum log_level)level), level >= least);
			if (j) {
				assert_string_equal(text_of(j, "level"), names[level]);
				assert_null(json_object_get(j, "worker"));
			}
			json_decref(j);
		}
	}
}

static void hostile_text(void **state)
{
	json_t *j;

	log_setup(LOG_INFO, "serve", 0);
	catch_begin();
	/* a forged line, an escape sequence in both forms, ill-formed UTF-8, a cut character, NUL */
	log_line(LOG_INFO, "got", LOG_C("a", "x\n{\"level\":\"error\"}"), LOG_C("b", "\x1b[31mred\x7f \xc2\x9b[0m"),
		 LOG_C("c", "a\xff\xc0\x80z\xed\xa0\x80"), LOG_C("d", "\xe2\x82"),
		 LOG_S("e", ((struct str){"a\0b", 3})), LOG_C("f", "Zürich ☂ 🎭"));
	j = catch_end();
	assert_non_null(j);
	assert_string_equal(text_of(j, "a"), "x\n{\"level\":\"error\"}");
	assert_string_equal(text_of(j, "b"), "\x1b[31mred\xef\xbf\xbd \xef\xbf\xbd[0m");
	assert_string_equal(text_of(j, "c"),
			    "a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
	assert_string_equal(text_of(j, "d"), "\xef\xbf\xbd\xef\xbf\xbd");
	assert_string_equal(text_of(j, "e"), "a\xef\xbf\xbd"
					     "b");
	assert_string_equal(text_of(j, "f"), "Zürich ☂ 🎭");
	json_decref(j);
}

static void long_text_is_cut(void **state)
{
	char big[6000];
	struct log_field fields[41];
	const char *s;
	json_t *j;

	/* three bytes a character: 2048 falls inside one */
	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = "☂"[i % 3];
	log_setup(LOG_INFO, "serve", 0);
	catch_begin();
	log_line(LOG_INFO, "cut", LOG_S("big", ((struct str){big, sizeof(big)})),
		 LOG_S("fits", ((struct str){big, 1500})));
	j = catch_end();
	assert_non_null(j);
	s = text_of(j, "big");
	assert_in_range(strlen(s), 2000, 2100);
	assert_string_equal(s + strlen(s) - 6, "☂...");
	assert_int_equal(strlen(text_of(j, "fits")), 1500);
	json_decref(j);
	/* too much altogether: the line still comes, and says that it is not all */
	for (int i = 0; i < 40; i++)
		fields[i] = LOG_S("big", ((struct str){big, sizeof(big)}));
	memset(&fields[40], 0, sizeof(fields[40]));
	catch_begin();
	log_write(LOG_ERROR, "still here", fields);
	j = catch_end();
	assert_non_null(j);
	assert_string_equal(text_of(j, "message"), "still here");
	assert_true(json_is_true(json_object_get(j, "truncated")));
	assert_null(json_object_get(j, "big"));
	json_decref(j);
}

static void errno_is_left_alone(void **state)
{
	json_t *j;

	log_setup(LOG_INFO, "serve", 0);
	catch_begin();
	close(STDERR_FILENO); /* nobody reads: the write fails */
	errno = ENOENT;
	log_line(LOG_ERROR, "lost");
	assert_int_equal(errno, ENOENT);
	j = catch_end();
	assert_null(j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_kinds_of_fields), cmocka_unit_test(levels),
		cmocka_unit_test(hostile_text),	       cmocka_unit_test(long_text_is_cut),
		cmocka_unit_test(errno_is_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
