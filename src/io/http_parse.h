/*
 * Reading HTTP/1.1 requests: pure, incremental, strict. No I/O, no clock; what comes out depends on the bytes alone and
 * never on how they were cut into reads.
 *
 * Two parsers: the head (request line and headers), which leaves its results as offsets so that the caller may move the
 * bytes, and the chunked body, which can decode in place. Strictness where RFC 9112 leaves a choice:
 *
 *   - lines end in CR LF and nothing else; a bare LF or CR is a fault, so are folded lines and blanks before the colon
 *   - single spaces in the request line; the target is in origin form, visible ASCII without '#'
 *   - HTTP/1.1, or HTTP/1.0 (never kept alive, no Transfer-Encoding); anything else is a fault
 *   - one empty line before a request is skipped (RFC 9112 section 2.2), not more
 *   - Host exactly once in 1.1; headers of which only one makes sense (see singles[] in http_parse.c) once at most
 *   - Content-Length is digits only; never together with Transfer-Encoding, which must be exactly "chunked"
 *   - chunk extensions are checked and bounded; trailers are checked, bounded and thrown away, and must not be about
 *     framing or routing
 */
#ifndef IO_HTTP_PARSE_H
#define IO_HTTP_PARSE_H

#include "io/http_server.h"

enum http_parse { HTTP_PARSE_MORE, HTTP_PARSE_DONE, HTTP_PARSE_FAULT };

struct http_span {
	uint32_t at, n;
};

struct http_line {
	struct http_span name, value;
};

struct http_head {
	/* limits */
	uint32_t head_max, lines_max;
	/* progress */
	uint32_t line, scanned;
	uint32_t seen; /* bits of singles[] */
	bool has_request_line, skipped_empty_line;
	/* results, valid after HTTP_PARSE_DONE; spans count from the first byte given */
	enum http_method method;
	struct http_span method_name, target;
	struct http_line *lines;
	uint32_t n_lines, lines_cap;
	uint32_t size; /* of the whole head, with its empty line */
	int minor;     /* HTTP/1.minor */
	bool keep_alive, chunked, has_length, expect_continue;
	uint64_t length; /* Content-Length; 0 when absent */
	/* after HTTP_PARSE_FAULT */
	enum err fault;
	const char *detail; /* a constant sentence */
};

/* head_max at most 1 GiB. */
void http_head_init(struct http_head *h, size_t head_max, size_t lines_max);
void http_head_reset(struct http_head *h); /* for the next request; memory kept */
void http_head_done(struct http_head *h);
/* bytes: everything from the first byte of the request, n growing from call to call. After DONE or FAULT not again
 * before http_head_reset. */
enum http_parse http_head_parse(struct http_head *h, const char *bytes, size_t n);

enum {
	HTTP_CHUNK_DIGITS_MAX = 16,
	HTTP_CHUNK_EXTENSIONS_MAX = 4096, /* bytes, over the whole body */
	HTTP_TRAILERS_MAX = 4096,	  /* bytes, all of them */
};

struct http_chunked {
	uint64_t body_max, body_n; /* decoded bytes: allowed, so far */
	uint64_t left;		   /* of this chunk */
	uint32_t extensions_n, trailers_n;
	uint8_t state, digits;
	uint8_t name_n; /* of the trailer's name, as far as kept */
	char name[18];
	enum err fault;
	const char *detail;
};

void http_chunked_init(struct http_chunked *d, uint64_t body_max);
/* Decodes in[0..n) to out, which may be in itself or lie before it, and holds n bytes. MORE: all of in was used. DONE:
 * *ret_in bytes were used, the rest belongs to the next request. */
enum http_parse http_chunked_feed(struct http_chunked *d, const char *in, size_t n, char *out, size_t *ret_in,
				  size_t *ret_out);

#endif
