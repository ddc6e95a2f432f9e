#include "io/redis_url.h"

#include "base/str.h"

#include <stdio.h>
#include <string.h>

static bool fault(char *ret_error, size_t size, const char *sentence)
{
	snprintf(ret_error, size, "Redis URL: %s.", sentence);
	return false;
}

/* NUL-terminated into out; false when it does not fit, has a wrong %XX or a NUL. */
static bool percent_decode(struct str in, char *out, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < in.n; i++) {
		char c = in.p[i];

		if (c == '%') {
			if (in.n - i < 3 || !hex_decode((struct str){in.p + i + 1, 2}, &c, 1))
				return false;
			i += 2;
		}
		if (c == '\0' || n + 1 >= size)
			return false;
		out[n++] = c;
	}
	out[n] = '\0';
	return true;
}

static bool number(struct str in, uint64_t max, int *ret)
{
	uint64_t v;

	if (!str_to_u64(in, max, &v))
		return false;
	*ret = (int)v;
	return true;
}

static bool parse_unix(struct str rest, struct redis_url *ret, char *ret_error, size_t size)
{
	struct str path, query = str_split(rest, '?', &path);

	if (path.n < 2 || path.p[0] != '/')
		return fault(ret_error, size, "unix:// wants an absolute path, as in unix:///run/redis/redis.sock");
	if (!percent_decode(path, ret->path, sizeof(ret->path)))
		return fault(ret_error, size, "the path of the socket is malformed or longer than 107 bytes");
	if (query.n &&
	    (!str_starts(query, STR("db=")) || !number((struct str){query.p + 3, query.n - 3}, 65535, &ret->db)))
		return fault(ret_error, size, "after the path only ?db=NUMBER may stand");
	return true;
}

static bool parse_tcp(struct str rest, struct redis_url *ret, char *ret_error, size_t size)
{
	struct str authority, db = str_split(rest, '/', &authority), host, port;
	const char *at = authority.n ? memrchr(authority.p, '@', authority.n) : NULL;

	if (at) {
		struct str user, secret, login = {authority.p, (size_t)(at - authority.p)};

		authority = (struct str){at + 1, authority.n - login.n - 1};
		secret = str_split(login, ':', &user);
		if (!secret.n)
			return fault(ret_error, size, "before the @ there must be user:password or :password");
		if (!percent_decode(user, ret->user, sizeof(ret->user)) ||
		    !percent_decode(secret, ret->password, sizeof(ret->password)))
			return fault(ret_error, size,
				     "user or password is malformed or too long (other characters as %XX)");
	}
	if (authority.n && authority.p[0] == '[') {
		if (!memchr(authority.p, ']', authority.n))
			return fault(ret_error, size, "the host has a [ without a ]");
		port = str_split(authority, ']', &host);
		host = (struct str){host.p + 1, host.n - 1};
		if (port.n && port.p[0] != ':')
			return fault(ret_error, size, "after ] there must be :port or nothing");
		if (port.n)
			port = (struct str){port.p + 1, port.n - 1};
	} else {
		port = str_split(authority, ':', &host);
	}
	if (!host.n || !percent_decode(host, ret->host, sizeof(ret->host)))
		return fault(ret_error, size, "the host is missing or malformed");
	ret->port = 6379;
	if (port.n && (!number(port, 65535, &ret->port) || !ret->port))
		return fault(ret_error, size, "the port must be a number from 1 to 65535");
	if (db.n && !number(db, 65535, &ret->db))
		return fault(ret_error, size, "after the last / there must be the number of a database");
	return true;
}

bool redis_url_parse(const char *text, struct redis_url *ret, char *ret_error, size_t error_size)
{
	struct str s = str_from(text);

	memset(ret, 0, sizeof(*ret));
	if (str_starts(s, STR("unix://")))
		return parse_unix((struct str){s.p + 7, s.n - 7}, ret, ret_error, error_size);
	if (str_starts(s, STR("redis://")))
		return parse_tcp((struct str){s.p + 8, s.n - 8}, ret, ret_error, error_size);
	if (str_starts(s, STR("rediss://")))
		return fault(ret_error, error_size,
			     "TLS (rediss://) is not supported; use a unix socket or a private network");
	return fault(ret_error, error_size, "it must begin with redis:// or unix://");
}
