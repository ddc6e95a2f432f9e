/*
 * What stands around the HTTP server without touching a connection: method names, looking things up in a request,
 * percent-encoding, shared bodies, listening sockets.
 */
#include "base/xmalloc.h"
#include "io/http_server.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LISTEN_BACKLOG = 1024 };

const char *http_method_name(enum http_method m)
{
	static const char *const names[] = {
		[HTTP_GET] = "GET",	[HTTP_HEAD] = "HEAD",	  [HTTP_POST] = "POST",	      [HTTP_PUT] = "PUT",
		[HTTP_PATCH] = "PATCH", [HTTP_DELETE] = "DELETE", [HTTP_OPTIONS] = "OPTIONS", [HTTP_OTHER] = "OTHER",
	};

	return names[m];
}

const struct str *http_req_header(const struct http_req *req, const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < req->n_headers; i++)
		if (req->headers[i].name.n == n && str_ieqc(req->headers[i].name, name))
			return &req->headers[i].value;
	return NULL;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool http_unescape(struct arena *a, struct str in, bool plus, struct str *ret)
{
	char *out = arena_alloc(a, in.n + 1);
	size_t n = 0;

	for (size_t i = 0; i < in.n; i++) {
		char c = in.p[i];

		if (c == '+' && plus) {
			c = ' ';
		} else if (c == '%') {
			int hi = i + 2 < in.n ? hex_value(in.p[i + 1]) : -1;
			int lo = i + 2 < in.n ? hex_value(in.p[i + 2]) : -1;

			if (hi < 0 || lo < 0)
				return false;
			c = (char)(hi << 4 | lo);
			i += 2;
		}
		if (c == '\0')
			return false;
		out[n++] = c;
	}
	out[n] = '\0';
	*ret = (struct str){out, n};
	return str_utf8_valid(*ret);
}

bool http_req_query(struct http_req *req, const char *name, struct str *ret_value, bool *ret_bad)
{
	struct str rest = req->query;

	if (ret_bad)
		*ret_bad = false;
	while (rest.n) {
		struct str pair, key, value;

		rest = str_split(rest, '&', &pair);
		value = str_split(pair, '=', &key);
		/* an encoded name is the same name; a badly encoded one is nobody's */
		if (key.n && (memchr(key.p, '%', key.n) || memchr(key.p, '+', key.n)) &&
		    !http_unescape(req->arena, key, true, &key))
			continue;
		if (!str_eqc(key, name))
			continue;
		if (http_unescape(req->arena, value, true, ret_value))
			return true;
		if (ret_bad)
			*ret_bad = true;
		return false;
	}
	return false;
}

struct shared_bytes {
	size_t refs;
	char *bytes; /* its own allocation when it was taken, else it follows */
	size_t n;
};

struct shared_bytes *shared_bytes_new(struct str bytes)
{
	struct shared_bytes *b = xmalloc(sizeof(*b) + bytes.n + 1);

	b->refs = 1;
	b->bytes = (char *)(b + 1);
	b->n = bytes.n;
	if (bytes.n)
		memcpy(b->bytes, bytes.p, bytes.n);
	b->bytes[bytes.n] = '\0';
	return b;
}

struct shared_bytes *shared_bytes_take(char *bytes, size_t n)
{
	struct shared_bytes *b = xmalloc(sizeof(*b));

	b->refs = 1;
	b->bytes = bytes;
	b->n = n;
	return b;
}

struct shared_bytes *shared_bytes_ref(struct shared_bytes *b)
{
	b->refs++;
	return b;
}

void shared_bytes_unref(struct shared_bytes *b)
{
	if (!b)
		return;
	assert(b->refs > 0);
	if (--b->refs)
		return;
	if (b->bytes != (char *)(b + 1))
		free(b->bytes);
	free(b);
}

struct str shared_bytes_str(const struct shared_bytes *b)
{
	return (struct str){b->bytes, b->n};
}

static int listen_on(const struct addrinfo *ai)
{
	int fd = socket(ai->ai_family, ai->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, ai->ai_protocol);
	int one = 1, saved;

	if (fd < 0)
		return -1;
	/* so that a restart need not wait for the old connections to be forgotten; accepted sockets inherit NODELAY */
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 && listen(fd, LISTEN_BACKLOG) == 0)
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

int http_listen_tcp(const char *host, uint16_t port, uint16_t *ret_port)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *found;
	struct sockaddr_storage own;
	socklen_t own_n = sizeof(own);
	char service[8];
	int fd = -1, rc;

	snprintf(service, sizeof(service), "%u", (unsigned)port);
	rc = getaddrinfo(host, service, &hints, &found);
	if (rc != 0) {
		if (rc != EAI_SYSTEM)
			errno = EADDRNOTAVAIL;
		return -1;
	}
	for (struct addrinfo *ai = found; ai && fd < 0; ai = ai->ai_next)
		fd = listen_on(ai);
	freeaddrinfo(found);
	if (fd < 0 || !ret_port)
		return fd;
	if (getsockname(fd, (struct sockaddr *)&own, &own_n) < 0) {
		int saved = errno;

		close(fd);
		errno = saved;
		return -1;
	}
	*ret_port = ntohs(own.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&own)->sin6_port
						    : ((struct sockaddr_in *)&own)->sin_port);
	return fd;
}
