/* The address of a Redis server, taken apart. For redis.c only. */
#ifndef IO_REDIS_URL_H
#define IO_REDIS_URL_H

#include <stdbool.h>
#include <stddef.h>

enum { REDIS_HOST_MAX = 256, REDIS_PATH_MAX = 108 /* sockaddr_un */, REDIS_USER_MAX = 128, REDIS_PASSWORD_MAX = 512 };

struct redis_url {
	char path[REDIS_PATH_MAX]; /* of a unix socket; "": host and port */
	char host[REDIS_HOST_MAX];
	int port;
	char user[REDIS_USER_MAX], password[REDIS_PASSWORD_MAX]; /* decoded; "" when absent */
	int db;
};

/* redis://[[user]:password@]host[:port][/db], host also [v6]; unix:///path[?db=n]. %XX in user, password and path.
 * false with one sentence, which never contains the password. */
bool redis_url_parse(const char *text, struct redis_url *ret, char *ret_error, size_t error_size);

#endif
