/* struct redis_value is hiredis's redisReply under another name: no copy is made of an answer. */
#include "io/redis.h"

#include <hiredis/hiredis.h>

static const redisReply *reply_of(const struct redis_value *v)
{
	return (const redisReply *)(const void *)v;
}

enum redis_type redis_type(const struct redis_value *v)
{
	if (!v)
		return REDIS_NIL;
	switch (reply_of(v)->type) {
	case REDIS_REPLY_INTEGER:
		return REDIS_INT;
	case REDIS_REPLY_STRING:
	case REDIS_REPLY_STATUS:
		return REDIS_STRING;
	case REDIS_REPLY_ARRAY:
		return REDIS_ARRAY;
	default: /* nil, and an error inside an array: it must not be taken for data */
		return REDIS_NIL;
	}
}

struct str redis_str(const struct redis_value *v)
{
	if (redis_type(v) != REDIS_STRING)
		return STR_NULL;
	return (struct str){reply_of(v)->str, reply_of(v)->len};
}

int64_t redis_int(const struct redis_value *v)
{
	struct str s = redis_str(v);
	bool minus;
	uint64_t u;

	if (redis_type(v) == REDIS_INT)
		return reply_of(v)->integer;
	minus = s.n && s.p[0] == '-';
	if (minus)
		s = (struct str){s.p + 1, s.n - 1};
	if (!str_to_u64(s, INT64_MAX, &u))
		return 0;
	return minus ? -(int64_t)u : (int64_t)u;
}

size_t redis_count(const struct redis_value *v)
{
	return redis_type(v) == REDIS_ARRAY ? reply_of(v)->elements : 0;
}

const struct redis_value *redis_item(const struct redis_value *v, size_t i)
{
	if (i >= redis_count(v))
		return NULL;
	return (const struct redis_value *)(const void *)reply_of(v)->element[i];
}
