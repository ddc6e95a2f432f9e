/* Owns the reading of addresses and networks; no state. */
#include "io/net.h"

#include <arpa/inet.h>
#include <string.h>

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool is_v4(const struct net_addr *a)
{
	return memcmp(a->b, mapped, sizeof(mapped)) == 0;
}

/* Without its brackets and its port. */
static struct str host_of(struct str text)
{
	const char *end, *colon;

	if (text.n && text.p[0] == '[') {
		end = memchr(text.p, ']', text.n);
		return end ? (struct str){text.p + 1, (size_t)(end - text.p) - 1} : STR("");
	}
	colon = text.n ? memchr(text.p, ':', text.n) : NULL;
	/* two colons are an IPv6 address */
	if (colon && !memchr(colon + 1, ':', (size_t)(text.p + text.n - colon) - 1))
		text.n = (size_t)(colon - text.p);
	return text;
}

bool net_addr_parse(struct str text, struct net_addr *ret)
{
	struct str host = host_of(str_trim(text));
	char z[NET_ADDR_TEXT];

	if (host.n == 0 || host.n >= sizeof(z) || memchr(host.p, '\0', host.n))
		return false;
	memcpy(z, host.p, host.n);
	z[host.n] = '\0';
	if (inet_pton(AF_INET, z, ret->b + 12) == 1) {
		memcpy(ret->b, mapped, sizeof(mapped));
		return true;
	}
	return inet_pton(AF_INET6, z, ret->b) == 1;
}

struct net_addr net_addr_of(const struct sockaddr_storage *peer)
{
	struct net_addr a = {{0}};

	if (peer->ss_family == AF_INET) {
		memcpy(a.b, mapped, sizeof(mapped));
		memcpy(a.b + 12, &((const struct sockaddr_in *)(const void *)peer)->sin_addr, 4);
	} else if (peer->ss_family == AF_INET6) {
		memcpy(a.b, &((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr, 16);
	}
	return a;
}

void net_addr_format(const struct net_addr *a, char out[NET_ADDR_TEXT])
{
	if (is_v4(a))
		inet_ntop(AF_INET, a->b + 12, out, NET_ADDR_TEXT);
	else
		inet_ntop(AF_INET6, a->b, out, NET_ADDR_TEXT);
}

struct net_addr net_addr_network(const struct net_addr *a)
{
	struct net_addr network = *a;

	if (!is_v4(a))
		memset(network.b + 8, 0, 8);
	return network;
}

static bool range_parse(struct str text, struct net_range *ret)
{
	struct str host, bits = str_split(text, '/', &host);
	uint64_t n;

	if (!net_addr_parse(host, &ret->addr))
		return false;
	ret->bits = 128;
	if (bits.n) {
		bool v4 = is_v4(&ret->addr);

		if (!str_to_u64(bits, v4 ? 32 : 128, &n))
			return false;
		ret->bits = (int)n + (v4 ? 96 : 0);
	}
	return true;
}

bool net_list_parse(const char *text, struct net_list *ret, struct str *ret_bad)
{
	const char *p = text;

	ret->n = 0;
	for (;;) {
		size_t n;

		p += strspn(p, " \t,");
		n = strcspn(p, " \t,");
		if (n == 0)
			return true;
		*ret_bad = STR_NULL;
		if (ret->n == NET_LIST_MAX)
			return false;
		*ret_bad = (struct str){p, n};
		if (!range_parse(*ret_bad, &ret->ranges[ret->n]))
			return false;
		ret->n++;
		p += n;
	}
}

static bool range_has(const struct net_range *r, const struct net_addr *a)
{
	size_t whole = (size_t)r->bits / 8;
	int rest = r->bits % 8;

	if (memcmp(r->addr.b, a->b, whole) != 0)
		return false;
	return !rest || (r->addr.b[whole] ^ a->b[whole]) >> (8 - rest) == 0;
}

bool net_list_has(const struct net_list *l, const struct net_addr *a)
{
	for (size_t i = 0; i < l->n; i++)
		if (range_has(&l->ranges[i], a))
			return true;
	return false;
}

/* The registries of special addresses (IANA, RFC 6890 and after), as far as they are not for everybody. */
static const struct special {
	uint8_t b[6];
	int bits;
} special_v4[] =
	{
		{{0}, 8},	      /* this network */
		{{10}, 8},	      /* private */
		{{100, 64}, 10},      /* shared by a carrier's customers (CGNAT) */
		{{127}, 8},	      /* loopback */
		{{169, 254}, 16},     /* link-local: the metadata of clouds */
		{{172, 16}, 12},      /* private */
		{{192, 0, 0}, 24},    /* protocol assignments */
		{{192, 0, 2}, 24},    /* documentation */
		{{192, 31, 196}, 24}, /* AS112 */
		{{192, 52, 193}, 24}, /* AMT */
		{{192, 88, 99}, 24},  /* 6to4 relays */
		{{192, 168}, 16},     /* private */
		{{192, 175, 48}, 24}, /* AS112 */
		{{198, 18}, 15},      /* benchmarks */
		{{198, 51, 100}, 24}, /* documentation */
		{{203, 0, 113}, 24},  /* documentation */
		{{224}, 4},	      /* multicast */
		{{240}, 4},	      /* reserved, broadcast */
},
  special_v6[] = {
	  /* within 2000::/3; nothing outside it is public */
	  {{0x20, 0x01, 0x00}, 23},		/* protocol assignments: Teredo, benchmarks, ORCHID */
	  {{0x20, 0x01, 0x0d, 0xb8}, 32},	/* documentation */
	  {{0x20, 0x02}, 16},			/* 6to4: stands for an IPv4 address */
	  {{0x26, 0x20, 0x00, 0x4f, 0x80}, 48}, /* AS112 */
	  {{0x3f, 0xff, 0x00}, 20},		/* documentation */
};

static bool is_special(const struct special *list, size_t n, const uint8_t *b)
{
	for (size_t i = 0; i < n; i++) {
		int whole = list[i].bits / 8, rest = list[i].bits % 8;

		if (memcmp(list[i].b, b, (size_t)whole) == 0 &&
		    (!rest || (list[i].b[whole] ^ b[whole]) >> (8 - rest) == 0))
			return true;
	}
	return false;
}

bool net_addr_is_public(const struct net_addr *a)
{
	if (is_v4(a))
		return !is_special(special_v4, sizeof(special_v4) / sizeof(special_v4[0]), a->b + 12);
	return (a->b[0] & 0xe0) == 0x20 && !is_special(special_v6, sizeof(special_v6) / sizeof(special_v6[0]), a->b);
}

struct net_addr net_client(const struct net_addr *peer, const struct net_list *trusted, const struct str *forwarded,
			   size_t n)
{
	struct net_addr client = *peer, next;

	while (n-- && net_list_has(trusted, &client)) {
		struct str rest = forwarded[n];

		while (rest.n && net_list_has(trusted, &client)) {
			size_t at = rest.n;

			while (at && rest.p[at - 1] != ',')
				at--;
			/* what cannot be read was not written by a proxy of ours: the last one that could be is who it came from */
			if (!net_addr_parse((struct str){rest.p + at, rest.n - at}, &next))
				return client;
			client = next;
			rest.n = at ? at - 1 : 0;
		}
	}
	return client;
}
