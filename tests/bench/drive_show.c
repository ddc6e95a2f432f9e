/* See drive_show.h. */
#include "drive_show.h"

#include "base/xmalloc.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { SHOW_SEATS_MAX = 1000000 };

bool shows_read(struct shows *s, const char *file, char *ret_why, size_t size)
{
	FILE *f = fopen(file, "re");
	char line[200];
	uint32_t room = 0;

	*s = (struct shows){0};
	if (!f) {
		snprintf(ret_why, size, "--shows %s: %s", file, strerror(errno));
		return false;
	}
	while (fgets(line, sizeof(line), f)) {
		struct str id, rest = {line, strcspn(line, "\r\n")};
		uint64_t n_seats;
		struct uuid uuid;

		if (rest.n == 0)
			continue;
		rest = str_split(rest, '\t', &id);
		if (!uuid_parse(id, &uuid) || !str_to_u64(rest, SHOW_SEATS_MAX, &n_seats) || n_seats == 0) {
			snprintf(ret_why, size,
				 "--shows %s: line %u is not a show's id, a tab and its number of seats (1 to %d)",
				 file, s->n + 1, SHOW_SEATS_MAX);
			fclose(f);
			return false;
		}
		if (s->n == room) {
			room = room ? 2 * room : 16;
			s->all = xreallocarray(s->all, room, sizeof(*s->all));
		}
		s->all[s->n] = (struct show){.n_seats = (uint32_t)n_seats};
		uuid_format(&uuid, s->all[s->n++].id);
	}
	fclose(f);
	if (s->n == 0) {
		snprintf(ret_why, size, "--shows %s has no line", file);
		return false;
	}
	s->order = xcalloc(s->n, sizeof(*s->order));
	for (uint32_t i = 0; i < s->n; i++)
		s->order[i] = i;
	return true;
}

void shows_done(struct shows *s)
{
	free(s->all);
	free(s->order);
	*s = (struct shows){0};
}

void shows_shuffle(struct shows *s, uint64_t *rng)
{
	for (uint32_t i = s->n; i > 1; i--) {
		uint32_t k = rng_below(rng, i), swap = s->order[k];

		s->order[k] = s->order[i - 1];
		s->order[i - 1] = swap;
	}
}

uint32_t shows_next(struct shows *s)
{
	uint32_t show = s->order[s->order_at++];

	if (s->order_at == s->n)
		s->order_at = 0;
	return show;
}

uint32_t show_walk(struct show *s, uint32_t k)
{
	uint32_t at;

	if (s->cursor < s->first || s->cursor + k > s->n_seats)
		s->cursor = s->first;
	at = s->cursor;
	s->cursor += k;
	return at;
}

bool show_walk_once(struct show *s, uint32_t k, uint32_t *ret_first)
{
	if (s->cursor + k > s->n_seats) {
		s->over = true;
		return false;
	}
	*ret_first = s->cursor;
	s->cursor += k;
	return true;
}

/* splitmix64: any seed is good, zero too */
uint64_t rng_next(uint64_t *rng)
{
	uint64_t z = *rng += UINT64_C(0x9E3779B97F4A7C15);

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return z ^ (z >> 31);
}

uint32_t rng_below(uint64_t *rng, uint32_t n)
{
	return (uint32_t)(((rng_next(rng) >> 32) * n) >> 32);
}

double rng_unit(uint64_t *rng)
{
	return (double)((rng_next(rng) >> 11) + 1) * 0x1p-53;
}

double rng_exponential(uint64_t *rng, double mean)
{
	return -log(rng_unit(rng)) * mean;
}

char *put_str(char *at, const char *cstr)
{
	return put(at, cstr, strlen(cstr));
}

char *put_number(char *at, uint64_t v)
{
	char digits[24];
	size_t i = sizeof(digits);

	do {
		digits[--i] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	return put(at, digits + i, sizeof(digits) - i);
}

char *put_fields(char *at, const char *host, const char *token, const uint64_t *random, const char *body, size_t n)
{
	at = PUT(at, " HTTP/1.1\r\nHost: ");
	at = put_str(at, host);
	if (*token) {
		at = PUT(at, "\r\nAuthorization: Bearer ");
		at = put_str(at, token);
	}
	if (random) {
		at = PUT(at, "\r\nIdempotency-Key: ");
		hex_encode(random, 2 * sizeof(*random), at);
		at += 4 * sizeof(*random);
	}
	if (body) {
		at = PUT(at, "\r\nContent-Type: application/json\r\nContent-Length: ");
		at = put_number(at, n);
	}
	at = PUT(at, "\r\n\r\n");
	return body ? put(at, body, n) : at;
}

char *put_lock(char *at, const struct show *show, const char *host, const char *token, const uint64_t *random,
	       const uint32_t *seats, uint32_t n)
{
	char body[400], *end = PUT(body, "{\"seats\":[");

	for (uint32_t i = 0; i < n; i++) {
		end = i ? PUT(end, ",\"S-") : PUT(end, "\"S-");
		end = put_number(end, seats[i]);
		*end++ = '"';
	}
	end = PUT(end, "]}");
	at = PUT(at, "POST /v1/shows/");
	at = put(at, show->id, UUID_TEXT - 1);
	at = PUT(at, "/locks");
	return put_fields(at, host, token, random, body, (size_t)(end - body));
}

char *put_booking(char *at, const struct show *show, const char *host, const char *token, const char *lock_id,
		  uint64_t number)
{
	char body[400], *end = PUT(body, "{\"lock_id\":\"");

	end = put(end, lock_id, UUID_TEXT - 1);
	end = PUT(end, "\",\"buyer\":{\"name\":\"Bench Buyer\",\"email\":\"bench-");
	end = put_number(end, number);
	end = PUT(end, "@example.org\"},\"payment\":{\"method\":\"pm_card_visa\"}}");
	at = PUT(at, "POST /v1/shows/");
	at = put(at, show->id, UUID_TEXT - 1);
	at = PUT(at, "/bookings");
	return put_fields(at, host, token, NULL, body, (size_t)(end - body));
}
