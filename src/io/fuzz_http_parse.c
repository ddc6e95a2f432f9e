/*
 * Fuzzes both parsers. The first byte chooses how the rest is cut; whatever the cut, the result must be the same, and
 * what comes out must hold what http_parse.h promises. Requests follow one another as on a connection.
 */
#include "io/http_parse.h"

#include "base/xmalloc.h"

#include <stdlib.h>
#include <string.h>

enum { HEAD_MAX = 2048, LINES_MAX = 16, BODY_MAX = 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct digest {
	uint64_t hash;
	size_t requests;
};

static void require(bool ok)
{
	if (!ok)
		abort();
}

static void mix(struct digest *d, const void *p, size_t n)
{
	const unsigned char *q = p;

	for (size_t i = 0; i < n; i++)
		d->hash = (d->hash ^ q[i]) * UINT64_C(1099511628211);
}

static void mix_number(struct digest *d, uint64_t v)
{
	mix(d, &v, sizeof(v));
}

static void check_head(struct digest *d, const struct http_head *h, const char *p, size_t n)
{
	size_t hosts = 0, lengths = 0;

	require(h->size >= 16 && h->size <= n && h->size <= HEAD_MAX && memcmp(p + h->size - 4, "\r\n\r\n", 4) == 0);
	require(h->target.n > 0 && p[h->target.at] == '/' && h->n_lines <= LINES_MAX);
	for (uint32_t i = 0; i < h->target.n; i++)
		require(p[h->target.at + i] > ' ' && p[h->target.at + i] < 0x7F && p[h->target.at + i] != '#');
	for (uint32_t i = 0; i < h->n_lines; i++) {
		const struct http_line *l = &h->lines[i];
		struct str name = {p + l->name.at, l->name.n}, value = {p + l->value.at, l->value.n};

		require(name.n > 0 && l->value.at + l->value.n <= h->size);
		for (size_t k = 0; k < value.n; k++)
			require((unsigned char)value.p[k] >= ' ' || value.p[k] == '\t');
		hosts += str_ieqc(name, "host");
		lengths += str_ieqc(name, "content-length") + str_ieqc(name, "transfer-encoding");
		mix(d, name.p, name.n + 1);
		mix(d, value.p, value.n + 1);
	}
	require(hosts <= 1 && lengths <= 1 && (h->minor == 0 || hosts == 1));
	require(!(h->chunked && h->has_length) && (h->has_length || h->length == 0));
	mix(d, p + h->target.at, h->target.n);
	mix_number(d, h->length << 4 | (uint64_t)h->keep_alive << 3 | (uint64_t)h->chunked << 2 | (uint64_t)h->minor);
}

/* Feeds at most step bytes more at a time; returns what it used, 0: stop. */
static size_t one_request(struct digest *d, struct http_head *h, const char *p, size_t n, size_t step)
{
	enum http_parse result = HTTP_PARSE_MORE;
	struct http_chunked chunked;
	struct digest body;
	size_t have = 0, at;

	do {
		char *copy;

		have = n - have < step ? n : have + step;
		copy = xmalloc(have + 1);
		memcpy(copy, p, have);
		copy = xrealloc(copy, have ? have : 1);
		result = http_head_parse(h, copy, have);
		free(copy);
	} while (result == HTTP_PARSE_MORE && have < n);
	mix_number(d, result);
	if (result == HTTP_PARSE_FAULT)
		mix_number(d, h->fault);
	if (result != HTTP_PARSE_DONE)
		return 0;
	check_head(d, h, p, n);
	at = h->size;
	if (!h->chunked)
		return h->length <= n - at ? at + (size_t)h->length : 0;
	http_chunked_init(&chunked, BODY_MAX);
	body = (struct digest){0};
	do {
		size_t take = n - at < step ? n - at : step, used = 0, out = 0;
		char *copy = xmalloc(take ? take : 1);

		memcpy(copy, p + at, take);
		result = http_chunked_feed(&chunked, copy, take, copy, &used, &out);
		if (result != HTTP_PARSE_FAULT) {
			require(used <= take && out <= used && (used == take || result == HTTP_PARSE_DONE));
			mix(&body, copy, out);
			at += used;
		}
		free(copy);
	} while (result == HTTP_PARSE_MORE && at < n);
	require(chunked.body_n <= BODY_MAX);
	mix_number(d, result);
	/* a fault is the same fault, but how much came out before it does depend on the cut */
	mix_number(d, result == HTTP_PARSE_FAULT ? chunked.fault : body.hash);
	return result == HTTP_PARSE_DONE ? at : 0;
}

static struct digest connection(const char *p, size_t n, size_t step)
{
	struct digest d = {.hash = UINT64_C(14695981039346656037)};
	struct http_head h;
	size_t used;

	http_head_init(&h, HEAD_MAX, LINES_MAX);
	while (n && (used = one_request(&d, &h, p, n, step))) {
		d.requests++;
		p += used;
		n -= used;
		http_head_reset(&h);
	}
	http_head_done(&h);
	return d;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *p = (const char *)data;
	struct digest whole, cut;

	if (n < 1)
		return 0;
	whole = connection(p + 1, n - 1, SIZE_MAX / 2);
	cut = connection(p + 1, n - 1, 1 + data[0] % 64);
	require(whole.hash == cut.hash && whole.requests == cut.requests);
	return 0;
}
