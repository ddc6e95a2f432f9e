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
static void network_text(const struct net_addr *client, unsigned bits4, unsigned bits6, char out[NETWORK_TEXT])
{
	static const struct net_addr nowhere;
	struct in6_addr a;
	char text[INET6_ADDRSTRLEN];
	bool v4;

	if (memcmp(client, &nowhere, sizeof(nowhere)) == 0) {
		snprintf(out, NETWORK_TEXT, "local");
		return;
	}
	memcpy(&a, client->b, sizeof(a));
	v4 = IN6_IS_ADDR_V4MAPPED(&a);
	for (unsigned i = v4 ? 12 + bits4 / 8 : bits6 / 8; i < 16; i++)
		a.s6_addr[i] = 0; /* whole bytes only */
	inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? &a.s6_addr[12] : a.s6_addr, text, sizeof(text));
	if (v4 && bits4 == 32)
		snprintf(out, NETWORK_TEXT, "%s", text);
	else
		snprintf(out, NETWORK_TEXT, "%s/%u", text, v4 ? bits4 : bits6);
}

void network_of_guesses(const struct net_addr *client, char out[NETWORK_TEXT])
{
	network_text(client, 32, 64, out);
}

void network_of_log(const struct net_addr *client, char out[NETWORK_TEXT])
{
	network_text(client, 24, 48, out);
}
