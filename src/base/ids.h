/*
 * Ids are UUIDs (RFC 9562): version 7 for what we name ourselves, version 8 where the id is derived from an
 * Idempotency-Key. Randomness and time are passed in.
 */
#ifndef BASE_IDS_H
#define BASE_IDS_H

#include "base/str.h"

struct uuid {
	uint8_t b[16];
};

enum { UUID_TEXT = 37 }; /* with the NUL */

struct uuid uuid_v7(int64_t now_us, const uint8_t random[10]);
/* The first 16 bytes of a keyed hash, with version and variant set. */
struct uuid uuid_v8(const uint8_t digest[16]);
bool uuid_eq(const struct uuid *a, const struct uuid *b);
int uuid_cmp(const struct uuid *a, const struct uuid *b);
bool uuid_is_zero(const struct uuid *u);
/* The 36-character form only, either case. */
bool uuid_parse(struct str text, struct uuid *ret);
char *uuid_format(const struct uuid *u, char out[UUID_TEXT]);

/* Five base-32 characters a person can read out (no I, L, O, U), twice: "7KX2M-Q4HDN", from 50 random bits. */
enum { REFERENCE_TEXT = 12 };
void reference_format(const uint8_t random[7], char out[REFERENCE_TEXT]);

#endif
