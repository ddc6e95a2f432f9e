/*
 * The request parsers. The head is taken line by line: find the LF, check the line, note its offsets; a line is looked at
 * when it is complete, so that the cutting of the input cannot matter. The chunked decoder is a byte machine:
 *
 *   SIZE -> (EXT_NAME -> EXT_VALUE | EXT_QUOTED ...) -> SIZE_LF -> DATA -> DATA_CR -> DATA_LF -> SIZE
 *   SIZE (0) ... SIZE_LF -> TRAILER -> TRAILER_NAME -> TRAILER_VALUE -> TRAILER_LF -> TRAILER
 *                              `-> END_LF -> done
 *
 * Called by http_conn.c, the unit test and the fuzz target.
 */
#include "io/http_parse.h"

#include "base/xmalloc.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { METHOD_MAX = 32 };

enum { CLASS_TOKEN = 1, CLASS_TARGET = 2, CLASS_VALUE = 4, CLASS_HOST = 8, CLASS_QUOTED = 16 };

#define T CLASS_TOKEN
#define U CLASS_TARGET
#define V CLASS_VALUE
#define H CLASS_HOST
#define Q CLASS_QUOTED
/* RFC 9110: tchar; RFC 3986: what a target and a host consist of. '#' never travels; '"', '<' and their like should not,
 * but browsers send some of them in queries. */
static const uint8_t class_of[256] = {
	['\t'] = V | Q,
	[' '] = V | Q,
	['!'] = T | U | V | H | Q,
	['"'] = U | V,
	['#'] = T | V | Q,
	['$'] = T | U | V | H | Q,
	['%'] = T | U | V | H | Q,
	['&'] = T | U | V | H | Q,
	['\''] = T | U | V | H | Q,
	['('] = U | V | H | Q,
	[')'] = U | V | H | Q,
	['*'] = T | U | V | H | Q,
	['+'] = T | U | V | H | Q,
	[','] = U | V | Q,
	['-'] = T | U | V | H | Q,
	['.'] = T | U | V | H | Q,
	['/'] = U | V | Q,
	['0' ... '9'] = T | U | V | H | Q,
	[':'] = U | V | H | Q,
	[';'] = U | V | H | Q,
	['<'] = U | V | Q,
	['='] = U | V | H | Q,
	['>'] = U | V | Q,
	['?'] = U | V | Q,
	['@'] = U | V | Q,
	['A' ... 'Z'] = T | U | V | H | Q,
	['['] = U | V | H | Q,
	['\\'] = U | V,
	[']'] = U | V | H | Q,
	['^'] = T | U | V | Q,
	['_'] = T | U | V | H | Q,
	['`'] = T | U | V | Q,
	['a' ... 'z'] = T | U | V | H | Q,
	['{'] = U | V | Q,
	['|'] = T | U | V | Q,
	['}'] = U | V | Q,
	['~'] = T | U | V | H | Q,
	[0x80 ... 0xFF] = V | Q,
};
#undef T
#undef U
#undef V
#undef H
#undef Q

static bool is(char c, int class)
{
	return (class_of[(unsigned char)c] & class) != 0;
}

static bool all(const char *p, size_t n, int class)
{
	for (size_t i = 0; i < n; i++)
		if (!is(p[i], class))
			return false;
	return true;
}

/* Headers of which a second one is refused: two readers might each believe another. */
enum single {
	SINGLE_HOST,
	SINGLE_LENGTH,
	SINGLE_TRANSFER,
	SINGLE_EXPECT,
	SINGLE_OTHER,
};
static const struct {
	const char *name;
	uint32_t n;
	enum single kind;
} singles[] = {
	{"host", 4, SINGLE_HOST},
	{"content-length", 14, SINGLE_LENGTH},
	{"transfer-encoding", 17, SINGLE_TRANSFER},
	{"expect", 6, SINGLE_EXPECT},
	{"content-type", 12, SINGLE_OTHER},
	{"authorization", 13, SINGLE_OTHER},
	{"idempotency-key", 15, SINGLE_OTHER},
	{"last-event-id", 13, SINGLE_OTHER},
	{"origin", 6, SINGLE_OTHER},
};

void http_head_init(struct http_head *h, size_t head_max, size_t lines_max)
{
	assert(head_max <= (size_t)1 << 30 && lines_max <= (size_t)1 << 20);
	memset(h, 0, sizeof(*h));
	h->head_max = (uint32_t)head_max;
	h->lines_max = (uint32_t)lines_max;
}

void http_head_reset(struct http_head *h)
{
	struct http_line *lines = h->lines;
	uint32_t cap = h->lines_cap, head_max = h->head_max, lines_max = h->lines_max;

	memset(h, 0, sizeof(*h));
	h->lines = lines;
	h->lines_cap = cap;
	h->head_max = head_max;
	h->lines_max = lines_max;
}

void http_head_done(struct http_head *h)
{
	free(h->lines);
	h->lines = NULL;
	h->lines_cap = 0;
}

static enum http_parse head_fault(struct http_head *h, enum err code, const char *detail)
{
	h->fault = code;
	h->detail = detail;
	return HTTP_PARSE_FAULT;
}

static enum http_method method_of(const char *p, size_t n)
{
	for (int m = 0; m < HTTP_METHODS; m++) {
		const char *name = http_method_name((enum http_method)m);

		if (strlen(name) == n && memcmp(name, p, n) == 0)
			return (enum http_method)m;
	}
	return HTTP_OTHER;
}

static enum http_parse request_line(struct http_head *h, const char *bytes, uint32_t at, uint32_t n)
{
	const char *p = bytes + at, *end = p + n, *target, *version;

	target = p;
	while (target < end && is(*target, CLASS_TOKEN))
		target++;
	if (target == p || target == end || *target != ' ' || target - p > METHOD_MAX)
		return head_fault(h, ERR_INVALID_REQUEST, "The request line does not begin with a method.");
	h->method_name = (struct http_span){at, (uint32_t)(target - p)};
	h->method = method_of(p, (size_t)(target - p));
	/* its only target is an authority, which is never ours */
	if (h->method_name.n == 7 && memcmp(p, "CONNECT", 7) == 0)
		return head_fault(h, ERR_INVALID_REQUEST, "CONNECT is not served here.");
	target++;
	version = target;
	while (version < end && is(*version, CLASS_TARGET))
		version++;
	if (version == target || *target != '/' || version == end || *version != ' ')
		return head_fault(h, ERR_INVALID_REQUEST, "The request target must be a path.");
	h->target = (struct http_span){(uint32_t)(target - bytes), (uint32_t)(version - target)};
	version++;
	if (end - version != 8 || memcmp(version, "HTTP/1.", 7) != 0 || (version[7] != '0' && version[7] != '1'))
		return head_fault(h, ERR_INVALID_REQUEST, "Only HTTP/1.1 and HTTP/1.0 are spoken here.");
	h->minor = version[7] - '0';
	h->keep_alive = h->minor == 1;
	h->has_request_line = true;
	return HTTP_PARSE_MORE;
}

static enum http_parse content_length(struct http_head *h, struct str value)
{
	if (value.n == 0)
		return head_fault(h, ERR_INVALID_REQUEST, "Content-Length is empty.");
	for (size_t i = 0; i < value.n; i++)
		if (value.p[i] < '0' || value.p[i] > '9')
			return head_fault(h, ERR_INVALID_REQUEST, "Content-Length is not a number.");
	h->has_length = true;
	/* a number no machine has room for is refused as too large, like any other above the limit */
	if (!str_to_u64(value, UINT64_MAX >> 1, &h->length))
		h->length = UINT64_MAX;
	return HTTP_PARSE_MORE;
}

static void connection_options(struct http_head *h, struct str value)
{
	while (value.n) {
		struct str option;

		value = str_split(value, ',', &option);
		/* 1.0 is closed always, so that "keep-alive" changes nothing */
		if (str_ieqc(str_trim(option), "close"))
			h->keep_alive = false;
	}
}

static enum http_parse single_line(struct http_head *h, enum single kind, struct str value)
{
	switch (kind) {
	case SINGLE_HOST:
		if (value.n == 0 || !all(value.p, value.n, CLASS_HOST))
			return head_fault(h, ERR_INVALID_REQUEST, "Host is malformed.");
		break;
	case SINGLE_LENGTH:
		return content_length(h, value);
	case SINGLE_TRANSFER:
		if (!str_ieqc(value, "chunked"))
			return head_fault(h, ERR_INVALID_REQUEST, "The only Transfer-Encoding known here is chunked.");
		h->chunked = true;
		break;
	case SINGLE_EXPECT:
		h->expect_continue = str_ieqc(value, "100-continue");
		break;
	case SINGLE_OTHER:
		break;
	}
	return HTTP_PARSE_MORE;
}

static enum http_parse header_line(struct http_head *h, const char *bytes, uint32_t at, uint32_t n)
{
	const char *p = bytes + at, *end = p + n, *colon = p;
	struct str value;
	uint32_t name_n;

	while (colon < end && is(*colon, CLASS_TOKEN))
		colon++;
	if (colon == p || colon == end || *colon != ':')
		return head_fault(h, ERR_INVALID_REQUEST, "A header line is malformed.");
	name_n = (uint32_t)(colon - p);
	value = (struct str){colon + 1, (size_t)(end - colon - 1)};
	if (!all(value.p, value.n, CLASS_VALUE))
		return head_fault(h, ERR_INVALID_REQUEST, "A header value has a control character.");
	value = str_trim(value);
	if (h->n_lines == h->lines_max)
		return head_fault(h, ERR_HEADERS_TOO_LARGE, "There are too many headers.");
	if (h->n_lines == h->lines_cap) {
		h->lines_cap = h->lines_cap ? h->lines_cap * 2 : 16;
		h->lines = xreallocarray(h->lines, h->lines_cap, sizeof(*h->lines));
	}
	h->lines[h->n_lines++] = (struct http_line){
		{at, name_n},
		{(uint32_t)(value.p - bytes), (uint32_t)value.n},
	};
	if (name_n == 10 && strncasecmp(p, "connection", 10) == 0) {
		connection_options(h, value);
		return HTTP_PARSE_MORE;
	}
	for (size_t i = 0; i < sizeof(singles) / sizeof(singles[0]); i++) {
		if (singles[i].n != name_n || strncasecmp(p, singles[i].name, name_n) != 0)
			continue;
		if (h->seen & 1u << i)
			return head_fault(h, ERR_INVALID_REQUEST, "A header that may stand once is repeated.");
		h->seen |= 1u << i;
		return single_line(h, singles[i].kind, value);
	}
	return HTTP_PARSE_MORE;
}

static enum http_parse head_complete(struct http_head *h)
{
	h->size = h->line;
	if (h->minor == 1 && !(h->seen & 1u << SINGLE_HOST))
		return head_fault(h, ERR_INVALID_REQUEST, "Host is missing.");
	if (h->chunked && h->has_length)
		return head_fault(h, ERR_INVALID_REQUEST,
				  "Content-Length and Transfer-Encoding contradict each other.");
	if (h->chunked && h->minor == 0)
		return head_fault(h, ERR_INVALID_REQUEST, "HTTP/1.0 knows no Transfer-Encoding.");
	if (h->minor == 0)
		h->expect_continue = false;
	return HTTP_PARSE_DONE;
}

enum http_parse http_head_parse(struct http_head *h, const char *bytes, size_t n)
{
	uint32_t limit = n < h->head_max ? (uint32_t)n : h->head_max;

	for (;;) {
		const char *lf = limit > h->scanned ? memchr(bytes + h->scanned, '\n', limit - h->scanned) : NULL;
		uint32_t at = h->line, len;
		enum http_parse result;

		if (!lf) {
			h->scanned = limit;
			if (limit == h->head_max)
				return head_fault(h, ERR_HEADERS_TOO_LARGE,
						  "The request line and the headers are too large.");
			return HTTP_PARSE_MORE;
		}
		len = (uint32_t)(lf - bytes) - at;
		h->line = h->scanned = at + len + 1;
		if (len == 0 || bytes[at + len - 1] != '\r')
			return head_fault(h, ERR_INVALID_REQUEST, "A line ends in a bare LF.");
		len--;
		if (len == 0 && h->has_request_line)
			return head_complete(h);
		if (len == 0 && h->skipped_empty_line)
			return head_fault(h, ERR_INVALID_REQUEST, "There are empty lines before the request.");
		if (len == 0) {
			h->skipped_empty_line = true;
			continue;
		}
		result = h->has_request_line ? header_line(h, bytes, at, len) : request_line(h, bytes, at, len);
		if (result == HTTP_PARSE_FAULT)
			return result;
	}
}

enum chunked_state {
	CHUNK_SIZE,
	CHUNK_EXT_START, /* after ';' */
	CHUNK_EXT_NAME,
	CHUNK_EXT_VALUE_START, /* after '=' */
	CHUNK_EXT_VALUE,
	CHUNK_EXT_QUOTED,
	CHUNK_EXT_ESCAPED,
	CHUNK_EXT_CLOSED, /* after the closing quote */
	CHUNK_SIZE_LF,
	CHUNK_DATA,
	CHUNK_DATA_CR,
	CHUNK_DATA_LF,
	CHUNK_TRAILER,
	CHUNK_TRAILER_NAME,
	CHUNK_TRAILER_VALUE,
	CHUNK_TRAILER_LF,
	CHUNK_END_LF,
};

void http_chunked_init(struct http_chunked *d, uint64_t body_max)
{
	memset(d, 0, sizeof(*d));
	d->body_max = body_max;
}

static bool chunked_fault(struct http_chunked *d, enum err code, const char *detail)
{
	d->fault = code;
	d->detail = detail;
	return false;
}

static bool bad_chunk(struct http_chunked *d)
{
	return chunked_fault(d, ERR_INVALID_REQUEST, "The chunked body is malformed.");
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool size_byte(struct http_chunked *d, char c)
{
	int digit = hex_value(c);

	if (digit >= 0) {
		if (d->digits == HTTP_CHUNK_DIGITS_MAX)
			return bad_chunk(d);
		d->digits++;
		d->left = d->left << 4 | (unsigned)digit;
		return true;
	}
	if (d->digits == 0 || (c != '\r' && c != ';'))
		return bad_chunk(d);
	if (d->left > d->body_max - d->body_n)
		return chunked_fault(d, ERR_TOO_LARGE, "The request body is too large.");
	d->state = c == '\r' ? CHUNK_SIZE_LF : CHUNK_EXT_START;
	return true;
}

/* Between two pieces of an extension: the next one, or the end of the line. */
static bool extension_end(struct http_chunked *d, char c)
{
	if (c != ';' && c != '\r')
		return bad_chunk(d);
	d->state = c == ';' ? CHUNK_EXT_START : CHUNK_SIZE_LF;
	return true;
}

static bool extension_byte(struct http_chunked *d, char c)
{
	if (++d->extensions_n > HTTP_CHUNK_EXTENSIONS_MAX)
		return chunked_fault(d, ERR_INVALID_REQUEST, "The chunk extensions are too long.");
	switch (d->state) {
	case CHUNK_EXT_START:
		d->state = CHUNK_EXT_NAME;
		return is(c, CLASS_TOKEN) || bad_chunk(d);
	case CHUNK_EXT_NAME:
		if (is(c, CLASS_TOKEN))
			return true;
		if (c != '=')
			return extension_end(d, c);
		d->state = CHUNK_EXT_VALUE_START;
		return true;
	case CHUNK_EXT_VALUE_START:
		d->state = c == '"' ? CHUNK_EXT_QUOTED : CHUNK_EXT_VALUE;
		return c == '"' || is(c, CLASS_TOKEN) || bad_chunk(d);
	case CHUNK_EXT_VALUE:
		return is(c, CLASS_TOKEN) || extension_end(d, c);
	case CHUNK_EXT_QUOTED:
		if (c == '"')
			d->state = CHUNK_EXT_CLOSED;
		else if (c == '\\')
			d->state = CHUNK_EXT_ESCAPED;
		else if (!is(c, CLASS_QUOTED))
			return bad_chunk(d);
		return true;
	case CHUNK_EXT_ESCAPED:
		d->state = CHUNK_EXT_QUOTED;
		return is(c, CLASS_VALUE) || bad_chunk(d);
	default:
		return extension_end(d, c);
	}
}

/* A trailer that would have meant something in the head was put there to fool somebody. */
static bool trailer_allowed(struct http_chunked *d)
{
	struct str name = {d->name, d->name_n};

	if (str_ieqc(name, "content-length") || str_ieqc(name, "transfer-encoding") || str_ieqc(name, "host"))
		return chunked_fault(d, ERR_INVALID_REQUEST, "A trailer is not allowed to be a trailer.");
	d->name_n = 0;
	d->state = CHUNK_TRAILER_VALUE;
	return true;
}

static void keep_name(struct http_chunked *d, char c)
{
	/* one byte longer than the longest that matters is enough to be another */
	if (d->name_n < sizeof(d->name))
		d->name[d->name_n++] = c;
}

static bool trailer_byte(struct http_chunked *d, char c)
{
	if (++d->trailers_n > HTTP_TRAILERS_MAX)
		return chunked_fault(d, ERR_HEADERS_TOO_LARGE, "The trailers are too large.");
	switch (d->state) {
	case CHUNK_TRAILER:
		d->state = c == '\r' ? CHUNK_END_LF : CHUNK_TRAILER_NAME;
		keep_name(d, c);
		return c == '\r' || is(c, CLASS_TOKEN) || bad_chunk(d);
	case CHUNK_TRAILER_NAME:
		if (c == ':')
			return trailer_allowed(d);
		keep_name(d, c);
		return is(c, CLASS_TOKEN) || bad_chunk(d);
	case CHUNK_TRAILER_VALUE:
		if (c == '\r')
			d->state = CHUNK_TRAILER_LF;
		return c == '\r' || is(c, CLASS_VALUE) || bad_chunk(d);
	default: /* CHUNK_TRAILER_LF */
		d->state = CHUNK_TRAILER;
		return c == '\n' || bad_chunk(d);
	}
}

/* Everything but data. */
static bool chunked_byte(struct http_chunked *d, char c)
{
	switch (d->state) {
	case CHUNK_SIZE:
		return size_byte(d, c);
	case CHUNK_SIZE_LF:
		d->state = d->left ? CHUNK_DATA : CHUNK_TRAILER;
		d->digits = 0;
		return c == '\n' || bad_chunk(d);
	case CHUNK_DATA_CR:
		d->state = CHUNK_DATA_LF;
		return c == '\r' || bad_chunk(d);
	case CHUNK_DATA_LF:
		d->state = CHUNK_SIZE;
		return c == '\n' || bad_chunk(d);
	case CHUNK_TRAILER:
	case CHUNK_TRAILER_NAME:
	case CHUNK_TRAILER_VALUE:
	case CHUNK_TRAILER_LF:
		return trailer_byte(d, c);
	default:
		return extension_byte(d, c);
	}
}

enum http_parse http_chunked_feed(struct http_chunked *d, const char *in, size_t n, char *out, size_t *ret_in,
				  size_t *ret_out)
{
	size_t at = 0, out_n = 0;

	while (at < n) {
		if (d->state == CHUNK_DATA) {
			size_t take = d->left < n - at ? (size_t)d->left : n - at;

			memmove(out + out_n, in + at, take);
			out_n += take;
			at += take;
			d->left -= take;
			d->body_n += take;
			if (d->left == 0)
				d->state = CHUNK_DATA_CR;
			continue;
		}
		if (d->state == CHUNK_END_LF) {
			if (in[at] != '\n') {
				bad_chunk(d);
				return HTTP_PARSE_FAULT;
			}
			*ret_in = at + 1;
			*ret_out = out_n;
			return HTTP_PARSE_DONE;
		}
		if (!chunked_byte(d, in[at++]))
			return HTTP_PARSE_FAULT;
	}
	*ret_in = n;
	*ret_out = out_n;
	return HTTP_PARSE_MORE;
}
