/*
 * The request parsers: a table of good and bad requests, each fed at every split point and byte by byte (the result must
 * not depend on it), and the chunked decoder likewise.
 */
#include "io/http_parse.h"

#include "base/xmalloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { HEAD_MAX = 512, LINES_MAX = 8 };

struct outcome {
	enum http_parse result;
	enum err fault;
	uint32_t size, n_lines;
	int minor;
	bool keep_alive, chunked, has_length, expect;
	uint64_t length;
	char text[1024]; /* method, target and headers, joined */
};

static void note(struct outcome *o, const char *bytes, struct http_span s)
{
	size_t at = strlen(o->text);

	snprintf(o->text + at, sizeof(o->text) - at, "%.*s|", (int)s.n, bytes + s.at);
}

static struct outcome outcome_of(const struct http_head *h, enum http_parse result, const char *bytes)
{
	struct outcome o;

	memset(&o, 0, sizeof(o));
	o.result = result;
	if (result == HTTP_PARSE_FAULT) {
		o.fault = h->fault;
		assert_non_null(h->detail);
	}
	if (result != HTTP_PARSE_DONE)
		return o;
	o.size = h->size;
	o.n_lines = h->n_lines;
	o.minor = h->minor;
	o.keep_alive = h->keep_alive;
	o.chunked = h->chunked;
	o.has_length = h->has_length;
	o.expect = h->expect_continue;
	o.length = h->length;
	note(&o, bytes, h->method_name);
	note(&o, bytes, h->target);
	for (uint32_t i = 0; i < h->n_lines; i++) {
		note(&o, bytes, h->lines[i].name);
		note(&o, bytes, h->lines[i].value);
	}
	return o;
}

/* step 0: all at once; else so many bytes more each time, from a copy of exactly that size (for the sanitizer). */
static struct outcome parse(const char *text, size_t n, size_t first, size_t step)
{
	struct http_head h;
	struct outcome o;
	size_t have = first;

	http_head_init(&h, HEAD_MAX, LINES_MAX);
	for (;;) {
		char *copy = xmalloc(have ? have : 1);
		enum http_parse result;

		memcpy(copy, text, have);
		result = http_head_parse(&h, copy, have);
		o = outcome_of(&h, result, copy);
		free(copy);
		if (result != HTTP_PARSE_MORE || have == n)
			break;
		have = have + step > n ? n : have + step;
	}
	http_head_done(&h);
	return o;
}

static struct outcome parse_every_way(const char *text, size_t n)
{
	struct outcome whole = parse(text, n, n, n);

	for (size_t cut = 0; cut < n; cut++) {
		struct outcome o = parse(text, n, cut, n);

		if (memcmp(&o, &whole, sizeof(o)) != 0)
			fail_msg("cut after %zu bytes gives another result: %s", cut, text);
	}
	for (size_t step = 1; step < 4; step++) {
		struct outcome o = parse(text, n, 0, step);

		if (memcmp(&o, &whole, sizeof(o)) != 0)
			fail_msg("%zu bytes at a time give another result: %s", step, text);
	}
	return whole;
}

#define HOST "Host: a\r\n"

static const struct {
	const char *text;
	const char *expected; /* method|target|name|value|... */
	uint64_t length;
	bool keep_alive, chunked, expect;
} good[] = {
	{"GET / HTTP/1.1\r\n" HOST "\r\n", "GET|/|Host|a|", .keep_alive = true},
	{"\r\nGET / HTTP/1.1\r\n" HOST "\r\n", "GET|/|Host|a|", .keep_alive = true},
	{"GET /a%20b?c=d&e=[]{}|\"<>^`\\~ HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
	 "GET|/a%20b?c=d&e=[]{}|\"<>^`\\~|Host|[::1]:80|", .keep_alive = true},
	{"GET //x HTTP/1.1\r\nhOsT:a\r\n\r\n", "GET|//x|hOsT|a|", .keep_alive = true},
	{"M-SEARCH! / HTTP/1.1\r\n" HOST "\r\n", "M-SEARCH!|/|Host|a|", .keep_alive = true},
	{"GET / HTTP/1.0\r\n\r\n", "GET|/|", .keep_alive = false},
	{"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "GET|/|Connection|keep-alive|", .keep_alive = false},
	{"GET / HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n", "GET|/|Host|a|Connection|close|", .keep_alive = false},
	{"GET / HTTP/1.1\r\n" HOST "Connection: x ,\tCLOSE, y\r\n\r\n", "GET|/|Host|a|Connection|x ,\tCLOSE, y|",
	 .keep_alive = false},
	{"GET / HTTP/1.1\r\n" HOST "Connection: closed\r\n\r\n", "GET|/|Host|a|Connection|closed|", .keep_alive = true},
	{"POST / HTTP/1.1\r\n" HOST "Content-Length: 12\r\n\r\nhello", "POST|/|Host|a|Content-Length|12|", .length = 12,
	 .keep_alive = true},
	{"POST / HTTP/1.1\r\n" HOST "Content-Length: 007\r\n\r\n", "POST|/|Host|a|Content-Length|007|", .length = 7,
	 .keep_alive = true},
	{"POST / HTTP/1.1\r\n" HOST "Content-Length: 99999999999999999999999\r\n\r\n",
	 "POST|/|Host|a|Content-Length|99999999999999999999999|", .length = UINT64_MAX, .keep_alive = true},
	{"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: \t cHuNkEd \r\n\r\n",
	 "POST|/|Host|a|Transfer-Encoding|cHuNkEd|", .chunked = true, .keep_alive = true},
	{"PUT / HTTP/1.1\r\n" HOST "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\n",
	 "PUT|/|Host|a|Expect|100-Continue|Content-Length|1|", .length = 1, .expect = true, .keep_alive = true},
	{"GET / HTTP/1.1\r\n" HOST "X:\r\nY: \t \r\nX: \x80\xff a\tb \r\n\r\n", "GET|/|Host|a|X||Y||X|\x80\xff a\tb|",
	 .keep_alive = true},
	{"GET / HTTP/1.1\r\n" HOST "Contentlength: 5\r\nContent_Length: 5\r\n\r\n",
	 "GET|/|Host|a|Contentlength|5|Content_Length|5|", .keep_alive = true},
	{"GET / HTTP/1.1\r\n1:\r\n2:\r\n3:\r\n4:\r\n5:\r\n6:\r\n7:\r\n" HOST "\r\n",
	 "GET|/|1||2||3||4||5||6||7||Host|a|", .keep_alive = true},
};

static void good_requests(void **state)
{
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct outcome o = parse_every_way(good[i].text, strlen(good[i].text));

		if (o.result != HTTP_PARSE_DONE)
			fail_msg("refused: %s", good[i].text);
		assert_string_equal(o.text, good[i].expected);
		assert_int_equal(o.length, good[i].length);
		assert_int_equal(o.keep_alive, good[i].keep_alive);
		assert_int_equal(o.chunked, good[i].chunked);
		assert_int_equal(o.expect, good[i].expect);
		assert_int_equal(o.size, strstr(good[i].text + 2, "\r\n\r\n") + 4 - good[i].text);
	}
}

#define BAD(literal) \
	{ \
		literal, sizeof(literal) - 1 \
	}

static const struct {
	const char *text;
	size_t n;
} bad[] = {
	/* line ends */
	BAD("GET / HTTP/1.1\n"),
	BAD("GET / HTTP/1.1\r\n"
	    "Host: a\n"),
	BAD("GET / HTTP/1.1\r\n" HOST "\n"),
	BAD("GET / HTTP/1.1\r\r\n"),
	BAD("GET / HTTP/1.1\rHost: a\r\n"),
	BAD("GET / HTTP/1.1\r\n"
	    "Host: a\rX: b\r\n"),
	BAD("GET / HTTP/1.1\r\n" HOST "\r\r\n"),
	BAD("\n"),
	BAD("\r\n\r\n"),
	/* the request line */
	BAD(" GET / HTTP/1.1\r\n"),
	BAD("GET  / HTTP/1.1\r\n"),
	BAD("GET /  HTTP/1.1\r\n"),
	BAD("GET\t/ HTTP/1.1\r\n"),
	BAD("GET / HTTP/1.1 \r\n"),
	BAD("GET /\r\n"),
	BAD("GET\r\n"),
	BAD("GET /a b HTTP/1.1\r\n"),
	BAD("G(T / HTTP/1.1\r\n"),
	BAD("ABCDEFGHIJABCDEFGHIJABCDEFGHIJABC / HTTP/1.1\r\n"),
	BAD("GET * HTTP/1.1\r\n"),
	BAD("OPTIONS * HTTP/1.1\r\n"),
	BAD("GET http://a/ HTTP/1.1\r\n"),
	BAD("GET a HTTP/1.1\r\n"),
	BAD("GET ?a HTTP/1.1\r\n"),
	BAD("CONNECT a:80 HTTP/1.1\r\n"),
	BAD("CONNECT /a HTTP/1.1\r\n"),
	BAD("GET /#a HTTP/1.1\r\n"),
	BAD("GET /\x01 HTTP/1.1\r\n"),
	BAD("GET /\x7f HTTP/1.1\r\n"),
	BAD("GET /\xc3\xa4 HTTP/1.1\r\n"),
	BAD("GET /\0 HTTP/1.1\r\n"),
	BAD("GET / HTTP/1.2\r\n"),
	BAD("GET / HTTP/2.0\r\n"),
	BAD("GET / HTTP/0.9\r\n"),
	BAD("GET / http/1.1\r\n"),
	BAD("GET / HTTP/1.10\r\n"),
	BAD("GET / HTTP/01.1\r\n"),
	BAD("GET / HTTP/1,1\r\n"),
	BAD("GET / HTTPS/1.1\r\n"),
	BAD("PRI * HTTP/2.0\r\n"),
	/* header lines */
	BAD("GET / HTTP/1.1\r\n"
	    "Host : a\r\n"),
	BAD("GET / HTTP/1.1\r\n"
	    " Host: a\r\n"),
	BAD("GET / HTTP/1.1\r\n" HOST "X: a\r\n b\r\n"),
	BAD("GET / HTTP/1.1\r\n" HOST "X: a\r\n\tb\r\n"),
	BAD("GET / HTTP/1.1\r\n" HOST " \r\n"),
	BAD("GET / HTTP/1.1\r\n" HOST ": a\r\n"),
	BAD("GET / HTTP/1.1\r\n" HOST "X\r\n"),
	BAD("GET / HTTP/1.1\r\n" HOST "X Y: a\r\n"),
	BAD("GET / HTTP/1.1\r\n" HOST "X(: a\r\n"),
	BAD("GET / HTTP/1.1\r\n" HOST "X\xc3\xa4: a\r\n"),
	BAD("GET / HTTP/1.1\r\n" HOST "X: a\0b\r\n"),
	BAD("GET / HTTP/1.1\r\n" HOST "X: a\x7f\r\n"),
	BAD("GET / HTTP/1.1\r\n" HOST "X\0: a\r\n"),
	BAD("GET / HTTP/1.1\r\n" HOST "X: a\x0b\r\n"),
	/* Host */
	BAD("GET / HTTP/1.1\r\n\r\n"),
	BAD("GET / HTTP/1.1\r\n" HOST HOST),
	BAD("GET / HTTP/1.1\r\n" HOST "host: b\r\n"),
	BAD("GET / HTTP/1.0\r\n" HOST HOST),
	BAD("GET / HTTP/1.1\r\nHost:\r\n"),
	BAD("GET / HTTP/1.1\r\nHost: a b\r\n"),
	BAD("GET / HTTP/1.1\r\nHost: a,b\r\n"),
	BAD("GET / HTTP/1.1\r\nHost: a/b\r\n"),
	BAD("GET / HTTP/1.1\r\nHost: u@a\r\n"),
	BAD("GET / HTTP/1.1\r\nHost: \xc3\xa4\r\n"),
	/* framing */
	BAD("POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 1\r\n"),
	BAD("POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\ncontent-length: 2\r\n"),
	BAD("POST / HTTP/1.1\r\n" HOST "Content-Length: 1, 1\r\n"),
	BAD("POST / HTTP/1.1\r\n" HOST "Content-Length: +1\r\n"),
	BAD("POST / HTTP/1.1\r\n" HOST "Content-Length: -1\r\n"),
	BAD("POST / HTTP/1.1\r\n" HOST "Content-Length: 0x1\r\n"),
	BAD("POST / HTTP/1.1\r\n" HOST "Content-Length: 1 2\r\n"),
	BAD("POST / HTTP/1.1\r\n" HOST "Content-Length: 1.0\r\n"),
	BAD("POST / HTTP/1.1\r\n" HOST "Content-Length:\r\n"),
	BAD("POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
	BAD("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n"),
	BAD("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
	BAD("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n"),
	BAD("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, identity\r\n"),
	BAD("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: identity\r\n"),
	BAD("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n"),
	BAD("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked;q=1\r\n"),
	BAD("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: \"chunked\"\r\n"),
	BAD("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding:\r\n"),
	BAD("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: \x0b"
	    "chunked\r\n"),
	BAD("POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"),
	/* what may stand once */
	BAD("GET / HTTP/1.1\r\n" HOST "Authorization: a\r\nauthorization: b\r\n"),
	BAD("GET / HTTP/1.1\r\n" HOST "Idempotency-Key: a\r\nIdempotency-Key: a\r\n"),
	BAD("GET / HTTP/1.1\r\n" HOST "Origin: a\r\nOrigin: a\r\n"),
	BAD("GET / HTTP/1.1\r\n" HOST "Content-Type: a\r\nContent-Type: a\r\n"),
};

static void bad_requests(void **state)
{
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct outcome o = parse_every_way(bad[i].text, bad[i].n);

		if (o.result != HTTP_PARSE_FAULT)
			fail_msg("not refused (%d): %s", o.result, bad[i].text);
		assert_int_equal(o.fault, ERR_INVALID_REQUEST);
	}
}

static void caps(void **state)
{
	static const char nine[] = "GET / HTTP/1.1\r\n1:\r\n2:\r\n3:\r\n4:\r\n5:\r\n6:\r\n7:\r\n8:\r\n" HOST "\r\n";
	char text[HEAD_MAX * 2];
	struct outcome o;
	int n;

	o = parse_every_way(nine, sizeof(nine) - 1);
	assert_int_equal(o.fault, ERR_HEADERS_TOO_LARGE);
	/* exactly as large as allowed, then one byte more */
	for (int more = 0; more < 2; more++) {
		n = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: a\r\nX: ");
		while (n < HEAD_MAX + more - 4)
			text[n++] = 'x';
		memcpy(text + n, "\r\n\r\nrest", 8);
		o = parse_every_way(text, (size_t)n + 8);
		assert_int_equal(o.result, more ? HTTP_PARSE_FAULT : HTTP_PARSE_DONE);
		if (more)
			assert_int_equal(o.fault, ERR_HEADERS_TOO_LARGE);
		else
			assert_int_equal(o.size, HEAD_MAX);
	}
	/* a line that never ends */
	memset(text, 'A', sizeof(text));
	assert_int_equal(parse_every_way(text, sizeof(text)).fault, ERR_HEADERS_TOO_LARGE);
	assert_int_equal(parse_every_way(text, HEAD_MAX - 1).result, HTTP_PARSE_MORE);
}

static void reset_keeps_limits(void **state)
{
	static const char first[] = "POST / HTTP/1.0\r\nContent-Length: 3\r\nX: y\r\n\r\n";
	static const char second[] = "GET /2 HTTP/1.1\r\nHost: b\r\n\r\n";
	struct http_head h;

	http_head_init(&h, HEAD_MAX, LINES_MAX);
	assert_int_equal(http_head_parse(&h, first, sizeof(first) - 1), HTTP_PARSE_DONE);
	assert_int_equal(h.length, 3);
	http_head_reset(&h);
	assert_int_equal(http_head_parse(&h, second, sizeof(second) - 1), HTTP_PARSE_DONE);
	assert_int_equal(h.length, 0);
	assert_false(h.has_length);
	assert_int_equal(h.n_lines, 1);
	assert_int_equal(h.method, HTTP_GET);
	assert_true(h.keep_alive);
	assert_int_equal(h.head_max, HEAD_MAX);
	http_head_done(&h);
}

struct decoded {
	enum http_parse result;
	enum err fault;
	size_t used, n;
	char text[256];
};

/* In place, as the server does it. */
static struct decoded decode(const char *text, size_t n, size_t first, size_t step, uint64_t max)
{
	struct http_chunked d;
	struct decoded o;
	size_t at = 0, take = first;

	memset(&o, 0, sizeof(o));
	http_chunked_init(&d, max);
	for (;;) {
		char *copy = xmalloc(take ? take : 1);
		size_t used = 0, out = 0;

		memcpy(copy, text + at, take);
		o.result = http_chunked_feed(&d, copy, take, copy, &used, &out);
		if (o.result != HTTP_PARSE_FAULT) {
			assert_true(o.n + out <= sizeof(o.text));
			memcpy(o.text + o.n, copy, out);
			o.n += out;
			at += used;
		}
		free(copy);
		if (o.result != HTTP_PARSE_MORE || at == n)
			break;
		take = n - at < step ? n - at : step;
	}
	if (o.result == HTTP_PARSE_FAULT) {
		assert_non_null(d.detail);
		memset(o.text, 0, sizeof(o.text));
		o.n = 0;
		o.fault = d.fault;
	} else {
		o.used = at;
		assert_true(d.body_n == o.n && o.n <= max);
	}
	return o;
}

static struct decoded decode_every_way(const char *text, size_t n, uint64_t max)
{
	struct decoded whole = decode(text, n, n, n, max);

	for (size_t cut = 0; cut < n; cut++) {
		struct decoded o = decode(text, n, cut, n, max);

		if (memcmp(&o, &whole, sizeof(o)) != 0)
			fail_msg("cut after %zu bytes gives another result: %s", cut, text);
	}
	for (size_t step = 1; step < 4; step++) {
		struct decoded o = decode(text, n, 0, step, max);

		if (memcmp(&o, &whole, sizeof(o)) != 0)
			fail_msg("%zu bytes at a time give another result: %s", step, text);
	}
	return whole;
}

static void good_chunks(void **state)
{
	static const struct {
		const char *text, *body;
	} table[] = {
		{"0\r\n\r\n", ""},
		{"5\r\nhello\r\n0\r\n\r\n", "hello"},
		{"3\r\nabc\r\n2\r\nde\r\n00\r\n\r\n", "abcde"},
		{"A\r\n0123456789\r\n000000000000000a\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789"},
		{"2\r\n\r\n\r\n0\r\n\r\n", "\r\n"},
		{"1;a\r\nx\r\n1;a=b\r\ny\r\n1;a=\"b;\\\"\r\t\";c\r\nz\r\n0;d=e\r\n\r\n", NULL},
		{"1;a\r\nx\r\n1;a=b\r\ny\r\n1;a=\"b; \\\"\t\";c\r\nz\r\n0;d=e\r\n\r\n", "xyz"},
		{"1\r\nx\r\n0\r\nTrailer: of no \xff use\r\nContent-Length-x: 5\r\nHos: t\r\n\r\n", "x"},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		char text[256];
		size_t n = strlen(table[i].text);
		struct decoded o;

		/* the next request's bytes must stay */
		snprintf(text, sizeof(text), "%sGET", table[i].text);
		o = decode_every_way(text, n + 3, 64);
		if (!table[i].body) {
			assert_int_equal(o.result, HTTP_PARSE_FAULT);
			continue;
		}
		if (o.result != HTTP_PARSE_DONE)
			fail_msg("refused: %s", text);
		assert_int_equal(o.used, n);
		assert_int_equal(o.n, strlen(table[i].body));
		assert_memory_equal(o.text, table[i].body, o.n);
	}
}

static void bad_chunks(void **state)
{
	static const struct {
		const char *text;
		size_t n;
	} table[] = {
		BAD("\r\n"),
		BAD("\n"),
		BAD(" 5\r\n"),
		BAD("5 \r\n"),
		BAD("5\n"),
		BAD("5\r\r\n"),
		BAD("0x5\r\n"),
		BAD("-5\r\n"),
		BAD("+5\r\n"),
		BAD("g\r\n"),
		BAD("00000000000000005\r\n"),
		BAD("5\r\nhelloX"),
		BAD("5\r\nhello\n"),
		BAD("5\r\nhello\rX"),
		BAD("5\r\nhello0"),
		BAD("1;\r\n"),
		BAD("1;a=\r\n"),
		BAD("1; a\r\n"),
		BAD("1;a =b\r\n"),
		BAD("1;a=\"b\n"),
		BAD("1;a=\"b\r\n"),
		BAD("1;a=\"b\"c"),
		BAD("1;a\n"),
		BAD("1;a\0"),
		BAD("1;a=\"\\\n"),
		BAD("0\r\n\n"),
		BAD("0\r\nX\r\n"),
		BAD("0\r\n X: y\r\n"),
		BAD("0\r\nX : y\r\n"),
		BAD("0\r\nX: y\n"),
		BAD("0\r\nX: \0\r\n"),
		BAD("0\r\nX: y\r\n folded"),
		BAD("0\r\n\rX"),
		BAD("0\r\n: y"),
		BAD("0\r\nContent-Length: 5\r\n"),
		BAD("0\r\nX: y\r\ntransfer-encoding: x\r\n"),
		BAD("0\r\nhOST:"),
	};
	static const char *const large[] = {"41\r\n", "ffffffffffffffff\r\n", "1\r\nx\r\n40\r\n", "8000000000000000;a"};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct decoded o = decode_every_way(table[i].text, table[i].n, 64);

		if (o.result != HTTP_PARSE_FAULT || o.fault != ERR_INVALID_REQUEST)
			fail_msg("not refused: %s", table[i].text);
	}
	for (size_t i = 0; i < sizeof(large) / sizeof(large[0]); i++)
		assert_int_equal(decode_every_way(large[i], strlen(large[i]), 64).fault, ERR_TOO_LARGE);
}

static void chunk_caps(void **state)
{
	struct http_chunked d;
	char text[64], out[64];
	size_t used, n, fed = 0;

	/* extensions are counted over all chunks */
	http_chunked_init(&d, 1 << 20);
	strncpy(text, "1;aaaaaaaaaaaaaaaaaaa\r\nx\r\n", sizeof(text) - 1);
	while (http_chunked_feed(&d, text, 26, out, &used, &n) == HTTP_PARSE_MORE && fed < 1 << 20)
		fed += 20;
	assert_int_equal(d.fault, ERR_INVALID_REQUEST);
	assert_true(fed <= HTTP_CHUNK_EXTENSIONS_MAX && fed > HTTP_CHUNK_EXTENSIONS_MAX - 40);
	/* and so are trailers */
	http_chunked_init(&d, 1 << 20);
	assert_int_equal(http_chunked_feed(&d, "0\r\n", 3, out, &used, &n), HTTP_PARSE_MORE);
	for (fed = 0;
	     http_chunked_feed(&d, "X: yyyyyyyyyyyy\r\n", 17, out, &used, &n) == HTTP_PARSE_MORE && fed < 1 << 20;)
		fed += 17;
	assert_int_equal(d.fault, ERR_HEADERS_TOO_LARGE);
	assert_true(fed <= HTTP_TRAILERS_MAX && fed > HTTP_TRAILERS_MAX - 34);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_requests),      cmocka_unit_test(bad_requests), cmocka_unit_test(caps),
		cmocka_unit_test(reset_keeps_limits), cmocka_unit_test(good_chunks),  cmocka_unit_test(bad_chunks),
		cmocka_unit_test(chunk_caps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
