/*
 * The shows that are sold, the walk over their seats, and the requests about them as bytes.
 */
#ifndef BENCH_DRIVE_SHOW_H
#define BENCH_DRIVE_SHOW_H

#include "base/ids.h"
#include "base/str.h"

#include <string.h>

enum { TOKEN_TEXT = 160 };

struct show {
	char id[UUID_TEXT];
	uint32_t n_seats;
	uint32_t first;	 /* the walk's: seats below are somebody's */
	uint32_t cursor; /* the walk's next seat */
	bool over;	 /* walk_once has come to the end */
};

struct shows {
	struct show *all;
	uint32_t n;
	uint32_t *order, order_at; /* shuffled */
};

/* A line per show, see README.md. false: *ret_why says why. */
bool shows_read(struct shows *s, const char *file, char *ret_why, size_t size);
void shows_done(struct shows *s);
void shows_shuffle(struct shows *s, uint64_t *rng);
/* The next k neighbouring seats; they come again after a round over all seats, so two that are near in time never overlap. */
uint32_t show_walk(struct show *s, uint32_t k);
/* The same without another round: false when the show has no k seats left. */
bool show_walk_once(struct show *s, uint32_t k, uint32_t *ret_first);
uint32_t shows_next(struct shows *s);

uint64_t rng_next(uint64_t *rng);
uint32_t rng_below(uint64_t *rng, uint32_t n);
double rng_unit(uint64_t *rng); /* (0, 1] */
double rng_exponential(uint64_t *rng, double mean);

/* ---- requests: each puts its bytes at `at` and returns where they end ---- */

static inline char *put(char *at, const char *p, size_t n)
{
	memcpy(at, p, n);
	return at + n;
}
#define PUT(at, literal) put(at, literal, sizeof(literal) - 1)
char *put_str(char *at, const char *cstr);
char *put_number(char *at, uint64_t v);

/* "METHOD path..." stands before; host and token may be NULL-terminated text, an empty token is left out; random: an
 * Idempotency-Key is sent, made from it. body is JSON, NULL: none. */
char *put_fields(char *at, const char *host, const char *token, const uint64_t *random, const char *body, size_t n);
char *put_lock(char *at, const struct show *show, const char *host, const char *token, const uint64_t *random,
	       const uint32_t *seats, uint32_t n);
/* Books what that lock holds, with a card that is good; number makes the mail address. */
char *put_booking(char *at, const struct show *show, const char *host, const char *token, const char *lock_id,
		  uint64_t number);

#endif
