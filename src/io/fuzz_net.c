/* Addresses and networks that anybody may write: the first line is a list of networks, the others are X-Forwarded-For. */
#include "io/net.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { LINES_MAX = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct str rest = {(const char *)data, n}, first, lines[LINES_MAX], bad = STR_NULL;
	struct net_addr peer = {{[10] = 0xff, [11] = 0xff, [12] = 10, [15] = 1}}, again, client;
	struct net_list trusted;
	size_t n_lines = 0;
	char text[NET_ADDR_TEXT], *list;

	rest = str_split(rest, '\n', &first);
	list = strndup(first.p ? first.p : "", first.n);
	if (!net_list_parse(list, &trusted, &bad)) {
		/* what is wrong is a part of what was given, or nothing when it was too long */
		assert(!bad.p || (bad.p >= list && bad.p + bad.n <= list + strlen(list) && bad.n));
		free(list);
		return 0;
	}
	while (rest.n && n_lines < LINES_MAX)
		rest = str_split(rest, '\n', &lines[n_lines++]);
	client = net_client(&peer, &trusted, lines, n_lines);
	/* nobody who is not trusted says who he is */
	assert(net_list_has(&trusted, &peer) || memcmp(&client, &peer, sizeof(peer)) == 0);
	net_addr_format(&client, text);
	assert(net_addr_parse(str_from(text), &again) && memcmp(&again, &client, sizeof(again)) == 0);
	again = net_addr_network(&client);
	client = net_addr_network(&again);
	assert(memcmp(&again, &client, sizeof(again)) == 0);
	free(list);
	return 0;
}
