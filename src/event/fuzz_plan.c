/* Whatever the text: a plan or an error with a place, never anything else; and a plan's seat map is JSON again. */
#include "event/plan.h"

#include "base/json.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
	if (!ok)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct plan_limits limits = {
		.seats_max = 50, .rows_max = 20, .zones_max = 5, .areas_max = 10, .categories_max = 5, .depth_max = 12};
	struct error e = {.code = ERR_NONE};
	struct plan *p = plan_import((struct str){(const char *)data, size}, &limits, &e);
	struct buf out;
	json_t *map;

	if (!p) {
		must(e.code == ERR_INVALID_PLAN || e.code == ERR_INVALID_REQUEST);
		must(e.path[0] == '\0' || e.path[0] == '/');
		must(e.detail[0] && str_utf8_valid(str_from(e.path)));
		return 0;
	}
	must(e.code == ERR_NONE && plan_n_seats(p) > 0 && plan_n_seats(p) <= 50);
	for (uint32_t i = 0; i < plan_n_seats(p); i++) {
		struct plan_seat s = plan_seat(p, i);
		const struct plan_spot *spot = &plan_spots(p)[i];

		must(plan_seat_by_guid(p, s.guid) == i);
		must(s.x >= -3e6 && s.x <= 3e6 && s.y >= -3e6 && s.y <= 3e6);
		must(spot->seat_no < plan_n_seats(p));
	}
	buf_init(&out, 1 << 24);
	must(plan_render_seatmap(p, STR("1"), &out));
	map = json_read(buf_str(&out), 16, &e);
	must(map != NULL);
	json_decref(map);
	buf_done(&out);
	plan_unref(p);
	return 0;
}
