/* What a buyer asks, against a small plan: never a crash, and what is accepted is in order and within the limit. */
#include "seat/seat.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct plan *plan; /* made once */
	struct seat_ask ask;
	struct error e = {0};
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
	j = json_read((struct str){(const char *)data, size}, JSON_DEPTH_DEFAULT, &e);
	if (!j)
		return 0;
	if (seat_ask_read(j, plan, 2, &ask, &bad, &e)) {
		if (ask.best ? ask.quantity < 1 || ask.quantity > 2 : ask.n_seats < 1 || ask.n_seats > 2)
			abort();
		for (uint32_t i = 1; i < ask.n_seats; i++)
			if (ask.seats[i] <= ask.seats[i - 1])
				abort();
	} else if (e.code == ERR_NONE) {
		abort();
	}
	json_decref(j);
	return 0;
}
