/*
 * Addresses of clients: reading them, lists of networks, and what counts as one network for a limit. Pure.
 *
 * An address is 16 bytes, IPv4 as ::ffff:a.b.c.d. One network is an IPv4 address or the first 64 bits of an IPv6 address:
 * whoever has one address of a /64 has all of them.
 */
#ifndef IO_NET_H
#define IO_NET_H

#include "base/str.h"

#include <netinet/in.h>
#include <sys/socket.h>

struct net_addr {
	uint8_t b[16];
};

enum { NET_LIST_MAX = 64, NET_ADDR_TEXT = INET6_ADDRSTRLEN };

struct net_list {
	size_t n;
	struct net_range {
		struct net_addr addr;
		int bits;
	} ranges[NET_LIST_MAX];
};

/* An address in text; a port behind it ("1.2.3.4:80", "[::1]:80") is passed over. */
bool net_addr_parse(struct str text, struct net_addr *ret);
/* All zero for what is no internet address (a unix socket). */
struct net_addr net_addr_of(const struct sockaddr_storage *peer);
void net_addr_format(const struct net_addr *a, char out[NET_ADDR_TEXT]);
/*
 * Whether it is an address of the public internet that a stranger may name for us to call. Not this machine, a private or shared
 * network, a link (clouds keep their metadata there), a multicast group, a documentation or benchmark range; in IPv6 only 2000::/3
 * without what carries or stands for an IPv4 address (NAT64, 6to4, Teredo lie outside or are taken out).
 */
bool net_addr_is_public(const struct net_addr *a);
/* Its network: the same address for IPv4, the first 64 bits for IPv6. */
struct net_addr net_addr_network(const struct net_addr *a);

/* "10.0.0.0/8 ::1": networks separated by blanks or commas. false: *ret_bad is what cannot be read; NULL when too many. */
bool net_list_parse(const char *text, struct net_list *ret, struct str *ret_bad);
bool net_list_has(const struct net_list *l, const struct net_addr *a);

/*
 * Who is behind a chain of proxies: the last address of X-Forwarded-For that none of ours wrote for itself. Each of our
 * proxies appends whom it spoke with, so the list is believed from its end, and only as far as the trusted ones reach.
 * What a client put there itself stands before and is never looked at.
 */
struct net_addr net_client(const struct net_addr *peer, const struct net_list *trusted, const struct str *forwarded,
			   size_t n); /* its lines, in order: some proxies add one of their own */

#endif
