/* Looking things up in a request, percent-encoding, shared bytes, listening. */
#include "base/xmalloc.h"
#include "io/http_server.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void methods(void **state)
{
	assert_string_equal(http_method_name(HTTP_GET), "GET");
	assert_string_equal(http_method_name(HTTP_OPTIONS), "OPTIONS");
	assert_string_equal(http_method_name(HTTP_OTHER), "OTHER");
}

static void header_lookup(void **state)
{
	const struct http_header headers[] = {{STR("Host"), STR("a")}, {STR("x-b"), STR("1")}, {STR("X-B"), STR("2")}};
	struct http_req req = {.headers = headers, .n_headers = 3};

	assert_true(str_eqc(*http_req_header(&req, "X-B"), "1"));
	assert_true(str_eqc(*http_req_header(&req, "host"), "a"));
	assert_null(http_req_header(&req, "X-"));
	assert_null(http_req_header(&req, "X-BB"));
}

static void unescape(void **state)
{
	static const struct {
		struct str in;
		bool plus;
		const char *out; /* NULL: refused */
	} table[] = {
		{STR(""), false, ""},
		{STR("abc"), false, "abc"},
		{STR("a+b"), false, "a+b"},
		{STR("a+b"), true, "a b"},
		{STR("%2B+%2b"), true, "+ +"},
		{STR("%41%6a"), false, "Aj"},
		{STR("%2F%2e%25"), false, "/.%"},
		{STR("%C3%A4"), false, "\xc3\xa4"},
		{STR("%e2%82%AC"), false, "\xe2\x82\xac"},
		{STR("%252F"), false, "%2F"},
		{STR("%"), false, NULL},
		{STR("%4"), false, NULL},
		{STR("a%"), false, NULL},
		{STR("%4g"), false, NULL},
		{STR("%g4"), false, NULL},
		{STR("%%41"), false, NULL},
		{STR("%-1"), false, NULL},
		{STR("%00"), false, NULL},
		{STR("a\0b"), false, NULL},
		{STR("%ff"), false, NULL},
		{STR("%C3"), false, NULL},
		{STR("%C0%AF"), false, NULL},
		{STR("%ED%A0%80"), false, NULL},
	};
	struct arena a;

	arena_init(&a);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct str out;
		/* a copy of exactly that size, for the sanitizer */
		char *copy = xmalloc(table[i].in.n + 1);
		bool ok;

		memcpy(copy, table[i].in.p, table[i].in.n);
		copy = xrealloc(copy, table[i].in.n ? table[i].in.n : 1);
		ok = http_unescape(&a, (struct str){copy, table[i].in.n}, table[i].plus, &out);
		free(copy);
		if (ok != (table[i].out != NULL))
			fail_msg("%.*s: %s", STR_FMT(table[i].in), ok ? "accepted" : "refused");
		if (ok)
			assert_true(str_eqc(out, table[i].out));
	}
	arena_done(&a);
}

static void query(void **state)
{
	struct arena a;
	struct http_req req = {.arena = &a,
			       .query = STR("q=a%20b+c&empty=&bare&q=second&b%61d=%zz&%zz=1&m=%6d&x==&&y=1")};
	struct str v;
	bool bad = true;

	arena_init(&a);
	assert_true(http_req_query(&req, "q", &v, &bad));
	assert_false(bad);
	assert_true(str_eqc(v, "a b c"));
	assert_true(http_req_query(&req, "empty", &v, NULL) && v.n == 0);
	assert_true(http_req_query(&req, "bare", &v, NULL) && v.n == 0);
	assert_true(http_req_query(&req, "m", &v, NULL) && str_eqc(v, "m"));
	assert_true(http_req_query(&req, "x", &v, NULL) && str_eqc(v, "="));
	assert_true(http_req_query(&req, "y", &v, NULL) && str_eqc(v, "1"));
	assert_false(http_req_query(&req, "none", &v, &bad));
	assert_false(bad);
	assert_false(http_req_query(&req, "bad", &v, &bad));
	assert_true(bad);
	req.query = STR_NULL;
	assert_false(http_req_query(&req, "q", &v, &bad));
	arena_done(&a);
}

static void shared(void **state)
{
	struct shared_bytes *b = shared_bytes_new(STR("abc")), *again = shared_bytes_ref(b), *taken;

	shared_bytes_unref(b);
	assert_true(str_eqc(shared_bytes_str(again), "abc"));
	shared_bytes_unref(again);
	taken = shared_bytes_take(xstrdup("xyz"), 3);
	assert_true(str_eqc(shared_bytes_str(taken), "xyz"));
	shared_bytes_unref(taken);
	shared_bytes_unref(NULL);
}

static void listening(void **state)
{
	uint16_t port = 0, again;
	int fd = http_listen_tcp("127.0.0.1", 0, &port), n = 0;
	socklen_t len = sizeof(n);

	assert_true(fd >= 0 && port > 0);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &n, &len), 0);
	assert_int_equal(n, 1);
	errno = 0;
	assert_int_equal(http_listen_tcp("127.0.0.1", port, &again), -1);
	assert_int_equal(errno, EADDRINUSE);
	close(fd);
	/* nothing of ours: TEST-NET-1 */
	assert_int_equal(http_listen_tcp("192.0.2.1", 0, &again), -1);
	assert_int_equal(http_listen_tcp("no such host!", 0, &again), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(methods), cmocka_unit_test(header_lookup), cmocka_unit_test(unescape),
		cmocka_unit_test(query),   cmocka_unit_test(shared),	    cmocka_unit_test(listening),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
