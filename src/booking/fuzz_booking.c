/* Whatever is asked: read, or a fault with its place; and an address that is let through is one of ours. */
#include "booking/booking.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
	if (!ok)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error e = {.code = ERR_NONE};
	JSON_AUTO json_t *body = json_read((struct str){(const char *)data, size}, 8, &e);
	struct booking_ask ask;

	if (!body)
		return 0;
	if (!booking_ask_read(body, &ask, &e)) {
		must(e.code == ERR_INVALID_REQUEST || e.code == ERR_INVALID_VALUE);
		must(e.path[0] == '/' || e.path[0] == '\0');
		return 0;
	}
	must(ask.buyer.name.n && ask.buyer.email.n && (!ask.pays || ask.method.n));
	if (return_url_allowed(ask.return_url, STR(""), STR("https://a.example"), STR("")))
		must(str_starts(ask.return_url, STR("https://a.example")) &&
		     (ask.return_url.n == 17 || ask.return_url.p[17] == '/' || ask.return_url.p[17] == '?' ||
		      ask.return_url.p[17] == '#'));
	return 0;
}
