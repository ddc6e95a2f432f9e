/*
 * How often somebody may do something: a table in memory shared by a process group, so that a limit is one limit however
 * many workers there are. No answer waits for it: a look-up is a hash and a few loads.
 *
 * A limit is a bucket per key: `burst` uses at once, and one more comes back every `each_ms` (the generic cell rate
 * algorithm: what is kept is one number, the time at which the bucket will be full again).
 *
 * The table has a fixed size. When a place is needed and all are in use, whoever is nearest to a full bucket is forgotten:
 * memory is bounded, and what many keys can buy an attacker is at most a fresh bucket for himself, which his network's pays.
 */
#ifndef IO_RATE_LIMIT_H
#define IO_RATE_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum limit {
	LIMIT_REQUESTS_NETWORK,
	LIMIT_REQUESTS_SESSION,
	LIMIT_SESSIONS,	     /* new ones, by network */
	LIMIT_HOLDS_SESSION, /* locks made in one show */
	LIMIT_HOLDS_NETWORK, /* locks made in one show */
	LIMIT_PASSES,	     /* not a limit: what the verifier said yes to lately */
	LIMIT_COUNT,
};

struct limit_rule {
	uint32_t burst; /* 0: no limit */
	uint32_t each_ms;
};

struct limits;

/* Before the processes part. key: random, so that nobody can choose whom to collide with. sets: a power of two; each has
 * room for eight keys. */
struct limits *limits_new(const struct limit_rule rules[LIMIT_COUNT], size_t sets, const uint8_t key[16]);
void limits_free(struct limits *l);
uint32_t limits_burst(const struct limits *l, enum limit which);

/* now_ms: the monotonic clock. All answer 0: yes; else how long until it would be, in milliseconds. l may be NULL: yes. */
int64_t limits_look(const struct limits *l, enum limit which, const void *key, size_t n, int64_t now_ms);
int64_t limits_take(struct limits *l, enum limit which, const void *key, size_t n, int64_t now_ms);
/* Counts what was done already, also above the limit (there the bucket stays empty). */
void limits_charge(struct limits *l, enum limit which, const void *key, size_t n, int64_t now_ms);

#endif
