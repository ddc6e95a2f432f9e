#include "staff/staff_rules.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

const char *password_fault(struct str password, struct str email)
{
	size_t n = str_utf8_length(password);
	bool one = true;

	if (n < PASSWORD_LEAST)
		return "A password has at least 12 characters.";
	if (n > PASSWORD_MOST)
		return "A password has at most 200 characters.";
	for (size_t i = 1; i < password.n; i++)
		one = one && password.p[i] == password.p[0];
	if (one)
		return "A password is more than one character again and again.";
	if (email.n == password.n && strncasecmp(email.p, password.p, email.n) == 0)
		return "A password is not the address.";
	return NULL;
}

unsigned scopes_missing(unsigned asked, unsigned held)
{
	return asked & ~held;
}

/* The first bits of the address and, unless it is whole, their number. */
static void network_text(const struct sockaddr_storage *peer, unsigned bits4, unsigned bits6, char out[NETWORK_TEXT])
{
	uint8_t bytes[16] = {0};
	char text[INET6_ADDRSTRLEN];
	unsigned size, bits;
	int family = peer->ss_family;

	if (family == AF_INET) {
		memcpy(bytes, &((const struct sockaddr_in *)peer)->sin_addr, 4);
	} else if (family == AF_INET6) {
		const struct in6_addr *a = &((const struct sockaddr_in6 *)peer)->sin6_addr;

		/* IPv4 through a socket of both kinds */
		if (IN6_IS_ADDR_V4MAPPED(a))
			family = AF_INET;
		memcpy(bytes, family == AF_INET ? &a->s6_addr[12] : a->s6_addr, family == AF_INET ? 4 : 16);
	} else {
		snprintf(out, NETWORK_TEXT, "local");
		return;
	}
	size = family == AF_INET ? 4 : 16;
	bits = family == AF_INET ? bits4 : bits6;
	memset(bytes + bits / 8, 0, size - bits / 8); /* whole bytes only */
	inet_ntop(family, bytes, text, sizeof(text));
	if (bits == size * 8)
		snprintf(out, NETWORK_TEXT, "%s", text);
	else
		snprintf(out, NETWORK_TEXT, "%s/%u", text, bits);
}

void network_of_guesses(const struct sockaddr_storage *peer, char out[NETWORK_TEXT])
{
	network_text(peer, 32, 64, out);
}

void network_of_log(const struct sockaddr_storage *peer, char out[NETWORK_TEXT])
{
	network_text(peer, 24, 48, out);
}
