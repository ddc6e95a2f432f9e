/*
 * Reading columns in PostgreSQL's binary formats. struct pg_result is libpq's own tag for PGresult, so that the header
 * names it without knowing libpq. A column of another type than asked for is a bug and aborts with the
 * column's name; a null gives 0, false, an empty slice without address, no elements.
 */
#include "base/times.h"
#include "io/pg_int.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PG_EPOCH_US INT64_C(946684800000000)

static const PGresult *rows_of(const struct pg_result *r)
{
	return r;
}

static _Noreturn void wrong(const struct pg_result *r, int row, int col, const char *wanted)
{
	const PGresult *res = rows_of(r);
	const char *name = PQfname(res, col);

	fprintf(stderr, "boxoffice: row %d of %d, column %d (%s, type %u) is not %s\n", row, PQntuples(res), col,
		name ? name : "none", PQftype(res, col), wanted);
	abort();
}

/* The bytes of a value of one of the types (a list ended by 0); false for null. */
static bool value_of(const struct pg_result *r, int row, int col, const unsigned *types, const char *wanted,
		     struct str *ret)
{
	const PGresult *res = rows_of(r);
	unsigned type;

	if (row < 0 || row >= PQntuples(res) || col < 0 || col >= PQnfields(res) || PQfformat(res, col) != 1)
		wrong(r, row, col, wanted);
	type = PQftype(res, col);
	while (*types && *types != type)
		types++;
	if (!*types)
		wrong(r, row, col, wanted);
	if (PQgetisnull(res, row, col))
		return false;
	*ret = (struct str){PQgetvalue(res, row, col), (size_t)PQgetlength(res, row, col)};
	return true;
}

static uint32_t take_u32(const char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return __builtin_bswap32(v);
}

static bool take_int(struct str s, int64_t *ret)
{
	uint16_t v2;
	uint64_t v8;

	switch (s.n) {
	case 2:
		memcpy(&v2, s.p, sizeof(v2));
		*ret = (int16_t)__builtin_bswap16(v2);
		return true;
	case 4:
		*ret = (int32_t)take_u32(s.p);
		return true;
	case 8:
		memcpy(&v8, s.p, sizeof(v8));
		*ret = (int64_t)__builtin_bswap64(v8);
		return true;
	default:
		return false;
	}
}

int pg_rows(const struct pg_result *r)
{
	return PQntuples(rows_of(r));
}

int64_t pg_affected(const struct pg_result *r)
{
	/* libpq means no harm here, its signature is older than const; the result itself is not changed */
	union {
		const PGresult *in;
		PGresult *out;
	} res = {rows_of(r)};
	struct str text = str_from(PQcmdTuples(res.out));
	uint64_t n;

	return str_to_u64(text, INT64_MAX, &n) ? (int64_t)n : 0;
}

bool pg_is_null(const struct pg_result *r, int row, int col)
{
	const PGresult *res = rows_of(r);

	if (row < 0 || row >= PQntuples(res) || col < 0 || col >= PQnfields(res))
		wrong(r, row, col, "there");
	return PQgetisnull(res, row, col);
}

struct uuid pg_get_uuid(const struct pg_result *r, int row, int col)
{
	struct uuid u = {{0}};
	struct str s;

	if (!value_of(r, row, col, (const unsigned[]){2950, 0}, "uuid", &s))
		return u;
	if (s.n != sizeof(u.b))
		wrong(r, row, col, "16 bytes");
	memcpy(u.b, s.p, sizeof(u.b));
	return u;
}

int64_t pg_get_int(const struct pg_result *r, int row, int col)
{
	struct str s;
	int64_t v;

	if (!value_of(r, row, col, (const unsigned[]){20, 23, 21, 0}, "int2, int4 or int8", &s))
		return 0;
	if (!take_int(s, &v))
		wrong(r, row, col, "2, 4 or 8 bytes");
	return v;
}

bool pg_get_bool(const struct pg_result *r, int row, int col)
{
	struct str s;

	return value_of(r, row, col, (const unsigned[]){16, 0}, "bool", &s) && s.n == 1 && s.p[0];
}

double pg_get_real(const struct pg_result *r, int row, int col)
{
	struct str s;
	int64_t bits;
	uint32_t bits4;
	double v;
	float v4;

	if (!value_of(r, row, col, (const unsigned[]){701, 700, 0}, "float8 or float4", &s))
		return 0;
	if (s.n == 4) {
		bits4 = take_u32(s.p);
		memcpy(&v4, &bits4, sizeof(v4));
		return v4;
	}
	if (!take_int(s, &bits))
		wrong(r, row, col, "4 or 8 bytes");
	memcpy(&v, &bits, sizeof(v));
	return v;
}

struct str pg_get_text(const struct pg_result *r, int row, int col)
{
	const PGresult *res = rows_of(r);
	struct str s;

	/* an enum's label travels as text; its type has a number given at CREATE TYPE */
	if (col >= 0 && col < PQnfields(res) && PQftype(res, col) >= 16384) {
		const unsigned own[] = {PQftype(res, col), 0};

		return value_of(r, row, col, own, "text", &s) ? s : STR_NULL;
	}
	if (!value_of(r, row, col, (const unsigned[]){25, 1043, 1042, 19, 18, 0}, "text, varchar, char or name", &s))
		return STR_NULL;
	return s;
}

struct str pg_get_bytes(const struct pg_result *r, int row, int col)
{
	struct str s;

	return value_of(r, row, col, (const unsigned[]){17, 0}, "bytea", &s) ? s : STR_NULL;
}

struct str pg_get_json(const struct pg_result *r, int row, int col)
{
	struct str s;

	if (!value_of(r, row, col, (const unsigned[]){3802, 114, 0}, "json or jsonb", &s))
		return STR_NULL;
	if (PQftype(rows_of(r), col) == 114)
		return s;
	if (s.n < 1 || s.p[0] != 1)
		wrong(r, row, col, "jsonb of version 1");
	return (struct str){s.p + 1, s.n - 1};
}

int64_t pg_get_time(const struct pg_result *r, int row, int col)
{
	struct str s;
	int64_t v, us;

	if (!value_of(r, row, col, (const unsigned[]){1184, 0}, "timestamptz", &s))
		return 0;
	if (!take_int(s, &v))
		wrong(r, row, col, "8 bytes");
	if (v == INT64_MAX || v == INT64_MIN) /* infinity, -infinity */
		return v;
	return __builtin_add_overflow(v, PG_EPOCH_US, &us) ? TIME_INFINITY : us;
}

/* The elements of an array as (length, bytes) pairs; 0 for an empty or absent one. */
static size_t array_open(const struct pg_result *r, int row, int col, const unsigned *types, const char *wanted,
			 struct str *ret_elements)
{
	struct str s;
	uint32_t n;

	*ret_elements = STR_NULL;
	if (!value_of(r, row, col, types, wanted, &s))
		return 0;
	if (s.n < 12)
		wrong(r, row, col, wanted);
	if (take_u32(s.p) == 0)
		return 0;
	/* the flag says there may be nulls, not that there are */
	if (take_u32(s.p) != 1 || s.n < 20)
		wrong(r, row, col, "an array of one dimension");
	n = take_u32(s.p + 12);
	if (n > (s.n - 20) / 4)
		wrong(r, row, col, "a whole array");
	*ret_elements = (struct str){s.p + 20, s.n - 20};
	return n;
}

static struct str array_next(const struct pg_result *r, int row, int col, struct str *elements)
{
	struct str s;
	uint32_t n;

	if (elements->n < 4)
		wrong(r, row, col, "a whole array");
	n = take_u32(elements->p);
	if (n > elements->n - 4) /* a null is 0xffffffff */
		wrong(r, row, col, "an array without nulls");
	s = (struct str){elements->p + 4, n};
	elements->p += 4 + n;
	elements->n -= 4 + n;
	return s;
}

size_t pg_get_ints(const struct pg_result *r, int row, int col, struct arena *arena, int64_t **ret)
{
	struct str elements;
	size_t n =
		array_open(r, row, col, (const unsigned[]){1005, 1007, 1016, 0}, "int2[], int4[] or int8[]", &elements);

	*ret = arena_array(arena, int64_t, n ? n : 1);
	for (size_t i = 0; i < n; i++)
		if (!take_int(array_next(r, row, col, &elements), *ret + i))
			wrong(r, row, col, "an array of integers");
	return n;
}

size_t pg_get_uuids(const struct pg_result *r, int row, int col, struct arena *arena, struct uuid **ret)
{
	struct str elements;
	size_t n = array_open(r, row, col, (const unsigned[]){2951, 0}, "uuid[]", &elements);

	*ret = arena_array(arena, struct uuid, n ? n : 1);
	for (size_t i = 0; i < n; i++) {
		struct str s = array_next(r, row, col, &elements);

		if (s.n != 16)
			wrong(r, row, col, "an array of uuid");
		memcpy((*ret)[i].b, s.p, 16);
	}
	return n;
}

size_t pg_get_texts(const struct pg_result *r, int row, int col, struct arena *arena, struct str **ret)
{
	struct str elements;
	size_t n = array_open(r, row, col, (const unsigned[]){1009, 1015, 1003, 0}, "text[] or varchar[]", &elements);

	*ret = arena_array(arena, struct str, n ? n : 1);
	for (size_t i = 0; i < n; i++) {
		struct str s = array_next(r, row, col, &elements);

		(*ret)[i] = (struct str){arena_cstr(arena, s), s.n};
	}
	return n;
}
