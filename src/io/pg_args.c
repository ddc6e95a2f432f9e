/*
 * Parameters in PostgreSQL's binary formats, made in the caller's arena. Called while a request is being put together;
 * the oids recorded here are compared with what the server found in the statement before it is sent.
 */
#include "base/times.h"
#include "io/pg_int.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	OID_BOOL = 16,
	OID_BOOL_ARRAY = 1000,
	OID_BYTEA = 17,
	OID_INT8 = 20,
	OID_INT2 = 21,
	OID_INT4 = 23,
	OID_TEXT = 25,
	OID_FLOAT8 = 701,
	OID_BYTEA_ARRAY = 1001,
	OID_INT2_ARRAY = 1005,
	OID_INT4_ARRAY = 1007,
	OID_TEXT_ARRAY = 1009,
	OID_INT8_ARRAY = 1016,
	OID_TIMESTAMPTZ = 1184,
	OID_TIMESTAMPTZ_ARRAY = 1185,
	OID_INTERVAL = 1186,
	OID_UUID = 2950,
	OID_UUID_ARRAY = 2951,
	OID_JSONB = 3802,
};

/* 2000-01-01, where PostgreSQL counts from */
#define PG_EPOCH_US INT64_C(946684800000000)

static void add(struct pg_args *a, unsigned oid, const void *p, size_t n)
{
	if (a->n == PG_ARGS_MAX || n > INT_MAX) {
		fprintf(stderr, "boxoffice: a statement with too many or too large parameters\n");
		abort();
	}
	a->values[a->n] = p;
	a->lengths[a->n] = (int)n;
	a->oids[a->n++] = oid;
}

static char *put_u16(char *p, uint16_t v)
{
	v = __builtin_bswap16(v);
	return (char *)memcpy(p, &v, sizeof(v)) + sizeof(v);
}

static char *put_u32(char *p, uint32_t v)
{
	v = __builtin_bswap32(v);
	return (char *)memcpy(p, &v, sizeof(v)) + sizeof(v);
}

static char *put_u64(char *p, uint64_t v)
{
	v = __builtin_bswap64(v);
	return (char *)memcpy(p, &v, sizeof(v)) + sizeof(v);
}

void pg_args_init(struct pg_args *a, struct arena *arena)
{
	a->arena = arena;
	a->n = 0;
}

void pg_arg_null(struct pg_args *a)
{
	add(a, 0, NULL, 0);
}

void pg_arg_uuid(struct pg_args *a, const struct uuid *v)
{
	if (v)
		add(a, OID_UUID, arena_memdup(a->arena, v->b, sizeof(v->b)), sizeof(v->b));
	else
		add(a, OID_UUID, NULL, 0);
}

void pg_arg_i16(struct pg_args *a, int16_t v)
{
	char *p = arena_alloc(a->arena, 2);

	put_u16(p, (uint16_t)v);
	add(a, OID_INT2, p, 2);
}

void pg_arg_i32(struct pg_args *a, int32_t v)
{
	char *p = arena_alloc(a->arena, 4);

	put_u32(p, (uint32_t)v);
	add(a, OID_INT4, p, 4);
}

static void add_i64(struct pg_args *a, unsigned oid, int64_t v)
{
	char *p = arena_alloc(a->arena, 8);

	put_u64(p, (uint64_t)v);
	add(a, oid, p, 8);
}

void pg_arg_i64(struct pg_args *a, int64_t v)
{
	add_i64(a, OID_INT8, v);
}

void pg_arg_bool(struct pg_args *a, bool v)
{
	add(a, OID_BOOL, v ? "\1" : "\0", 1);
}

void pg_arg_real(struct pg_args *a, double v)
{
	int64_t bits;

	memcpy(&bits, &v, sizeof(bits));
	add_i64(a, OID_FLOAT8, bits);
}

/* An empty slice may have no address, and an absent address means SQL null. */
static const char *copied(struct pg_args *a, struct str v)
{
	return v.n ? arena_memdup(a->arena, v.p, v.n) : "";
}

void pg_arg_text(struct pg_args *a, struct str v)
{
	add(a, OID_TEXT, copied(a, v), v.n);
}

void pg_arg_bytes(struct pg_args *a, struct str v)
{
	add(a, OID_BYTEA, copied(a, v), v.n);
}

void pg_arg_json(struct pg_args *a, struct str v)
{
	char *p = arena_alloc(a->arena, v.n + 1);

	p[0] = 1; /* version of the format */
	if (v.n)
		memcpy(p + 1, v.p, v.n);
	add(a, OID_JSONB, p, v.n + 1);
}

static int64_t pg_time(int64_t us)
{
	int64_t v = us;

	/* both ends of the range mean infinity on both sides */
	if (us != TIME_INFINITY && us != INT64_MIN && __builtin_sub_overflow(us, PG_EPOCH_US, &v))
		v = INT64_MIN;
	return v;
}

void pg_arg_time(struct pg_args *a, int64_t us)
{
	add_i64(a, OID_TIMESTAMPTZ, pg_time(us));
}

void pg_arg_interval_us(struct pg_args *a, int64_t us)
{
	char *p = arena_calloc(a->arena, 1, 16); /* days and months stay 0 */

	put_u64(p, (uint64_t)us);
	add(a, OID_INTERVAL, p, 16);
}

/* The header of a one-dimensional array; an empty array has no dimension. Returns where the elements go. */
static char *array_new(struct pg_args *a, unsigned oid, unsigned element, size_t n, size_t bytes)
{
	size_t size = n ? 20 + 4 * n + bytes : 12;
	char *start, *p;

	if (n > INT_MAX / 4 || bytes > INT_MAX || size > INT_MAX)
		size = (size_t)INT_MAX + 1; /* add refuses it */
	start = size <= INT_MAX ? arena_alloc(a->arena, size) : NULL;
	add(a, oid, start, size);
	p = put_u32(start, n ? 1 : 0);
	p = put_u32(p, 0); /* no nulls */
	p = put_u32(p, element);
	if (n) {
		p = put_u32(p, (uint32_t)n);
		p = put_u32(p, 1); /* lower bound */
	}
	return p;
}

void pg_arg_uuids(struct pg_args *a, const struct uuid *v, size_t n)
{
	char *p = array_new(a, OID_UUID_ARRAY, OID_UUID, n, n * 16);

	for (size_t i = 0; i < n; i++) {
		p = put_u32(p, 16);
		memcpy(p, v[i].b, 16);
		p += 16;
	}
}

void pg_arg_bools(struct pg_args *a, const bool *v, size_t n)
{
	char *p = array_new(a, OID_BOOL_ARRAY, OID_BOOL, n, n);

	for (size_t i = 0; i < n; i++) {
		p = put_u32(p, 1);
		*p++ = v[i];
	}
}

void pg_arg_i16s(struct pg_args *a, const int16_t *v, size_t n)
{
	char *p = array_new(a, OID_INT2_ARRAY, OID_INT2, n, n * 2);

	for (size_t i = 0; i < n; i++)
		p = put_u16(put_u32(p, 2), (uint16_t)v[i]);
}

void pg_arg_i32s(struct pg_args *a, const int32_t *v, size_t n)
{
	char *p = array_new(a, OID_INT4_ARRAY, OID_INT4, n, n * 4);

	for (size_t i = 0; i < n; i++)
		p = put_u32(put_u32(p, 4), (uint32_t)v[i]);
}

void pg_arg_i64s(struct pg_args *a, const int64_t *v, size_t n)
{
	char *p = array_new(a, OID_INT8_ARRAY, OID_INT8, n, n * 8);

	for (size_t i = 0; i < n; i++)
		p = put_u64(put_u32(p, 8), (uint64_t)v[i]);
}

void pg_arg_times(struct pg_args *a, const int64_t *us, size_t n)
{
	char *p = array_new(a, OID_TIMESTAMPTZ_ARRAY, OID_TIMESTAMPTZ, n, n * 8);

	for (size_t i = 0; i < n; i++)
		p = put_u64(put_u32(p, 8), (uint64_t)pg_time(us[i]));
}

static void add_strings(struct pg_args *a, unsigned oid, unsigned element, const struct str *v, size_t n)
{
	size_t bytes = 0;
	char *p;

	for (size_t i = 0; i < n; i++)
		bytes += v[i].n;
	p = array_new(a, oid, element, n, bytes);
	for (size_t i = 0; i < n; i++) {
		p = put_u32(p, (uint32_t)v[i].n);
		if (v[i].n)
			memcpy(p, v[i].p, v[i].n);
		p += v[i].n;
	}
}

void pg_arg_texts(struct pg_args *a, const struct str *v, size_t n)
{
	add_strings(a, OID_TEXT_ARRAY, OID_TEXT, v, n);
}

void pg_arg_bytess(struct pg_args *a, const struct str *v, size_t n)
{
	add_strings(a, OID_BYTEA_ARRAY, OID_BYTEA, v, n);
}
