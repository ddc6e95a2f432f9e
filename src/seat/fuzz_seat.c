/* What a buyer asks, against a small plan: never a crash, what is accepted is in order and within the limit, and what the quick
 * reader accepts the thorough one reads the same way. */
#include "seat/seat.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct plan *plan; /* made once */
	struct seat_ask ask, plain;
	struct error e = {0};
	bool is_plain;
	struct str bad;
	json_t *j;

	if (!plan)
		plan = plan_import(
			STR("{\"name\":\"p\",\"size\":{\"width\":9,\"height\":9},\"categories\":[{\"name\":\"a\"}],"
			    "\"zones\":[{"
			    "\"position\":{\"x\":0,\"y\":0},\"rows\":[{\"row_number\":\"1\",\"seats\":[{\"seat_guid\":"
			    "\"A-1\","
			    "\"seat_number\":\"1\",\"category\":\"a\",\"position\":{\"x\":0,\"y\":0}},{\"seat_guid\":"
			    "\"A-2\","
			    "\"seat_number\":\"2\",\"category\":\"a\",\"position\":{\"x\":9,\"y\":0}}]}]}]}"),
			NULL, &e);
	if (!plan)
		abort();
	is_plain = seat_ask_read_plain((struct str){(const char *)data, size}, plan, 2, &plain);
	j = json_read((struct str){(const char *)data, size}, JSON_DEPTH_DEFAULT, &e);
	if (!j && is_plain)
		abort();
	if (!j)
		return 0;
	if (seat_ask_read(j, plan, 2, &ask, &bad, &e)) {
		if (ask.best ? ask.quantity < 1 || ask.quantity > 2 : ask.n_seats < 1 || ask.n_seats > 2)
			abort();
		for (uint32_t i = 1; i < ask.n_seats; i++)
			if (ask.seats[i] <= ask.seats[i - 1])
				abort();
		if (is_plain && (ask.best || plain.n_seats != ask.n_seats ||
				 memcmp(plain.seats, ask.seats, ask.n_seats * sizeof(ask.seats[0])) != 0))
			abort();
	} else if (is_plain || e.code == ERR_NONE) {
		abort();
	}
	json_decref(j);
	return 0;
}
