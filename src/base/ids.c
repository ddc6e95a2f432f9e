#include "base/ids.h"

#include <string.h>

struct uuid uuid_v7(int64_t now_us, const uint8_t random[10])
{
	uint64_t ms = (uint64_t)(now_us / 1000);
	struct uuid u;

	for (int i = 0; i < 6; i++)
		u.b[i] = (uint8_t)(ms >> (40 - 8 * i));
	memcpy(u.b + 6, random, 10);
	u.b[6] = (uint8_t)((u.b[6] & 0x0F) | 0x70);
	u.b[8] = (uint8_t)((u.b[8] & 0x3F) | 0x80);
	return u;
}

struct uuid uuid_v8(const uint8_t digest[16])
{
	struct uuid u;

	memcpy(u.b, digest, 16);
	u.b[6] = (uint8_t)((u.b[6] & 0x0F) | 0x80);
	u.b[8] = (uint8_t)((u.b[8] & 0x3F) | 0x80);
	return u;
}

bool uuid_eq(const struct uuid *a, const struct uuid *b)
{
	return memcmp(a->b, b->b, 16) == 0;
}

int uuid_cmp(const struct uuid *a, const struct uuid *b)
{
	return memcmp(a->b, b->b, 16);
}

bool uuid_is_zero(const struct uuid *u)
{
	static const struct uuid zero;

	return uuid_eq(u, &zero);
}

bool uuid_parse(struct str text, struct uuid *ret)
{
	static const uint8_t group[] = {8, 4, 4, 4, 12};
	size_t at = 0, out = 0;
	struct uuid u;

	if (text.n != UUID_TEXT - 1)
		return false;
	for (int g = 0; g < 5; g++) {
		if (g && text.p[at++] != '-')
			return false;
		if (!hex_decode((struct str){text.p + at, group[g]}, u.b + out, group[g] / 2))
			return false;
		at += group[g];
		out += group[g] / 2;
	}
	*ret = u;
	return true;
}

char *uuid_format(const struct uuid *u, char out[UUID_TEXT])
{
	static const char digits[] = "0123456789abcdef";
	char *q = out;

	for (int i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*q++ = '-';
		*q++ = digits[u->b[i] >> 4];
		*q++ = digits[u->b[i] & 15];
	}
	*q = '\0';
	return out;
}

void reference_format(const uint8_t random[7], char out[REFERENCE_TEXT])
{
	static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
	uint64_t v = 0;

	for (int i = 0; i < 7; i++)
		v = v << 8 | random[i];
	for (int i = 0; i < REFERENCE_TEXT - 1; i++) {
		if (i == 5) {
			out[i] = '-';
			continue;
		}
		out[i] = digits[v & 31];
		v >>= 5;
	}
	out[REFERENCE_TEXT - 1] = '\0';
}
