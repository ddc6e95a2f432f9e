#include "event/plan.h"

#include "base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

/* A plan that has everything once. The faults below each replace one piece of it, which must occur. */
static const char base[] =
	"{\"name\":\"Small house\",\"size\":{\"width\":800,\"height\":600.0},"
	"\"categories\":[{\"name\":\"Stalls\",\"color\":\"#0072B2\"},{\"name\":\"Balcony\"}],"
	"\"zones\":["
	"{\"name\":\"Main\",\"zone_id\":\"main\",\"uuid\":\"u-zone\",\"position\":{\"x\":100,\"y\":50.5},"
	"\"areas\":[{\"uuid\":\"u-area\",\"color\":\"rgba(0, 0, 0, 0.5)\",\"border_color\":\"\",\"rotation\":90,"
	"\"position\":{\"x\":10,\"y\":-20},\"shape\":\"rectangle\",\"rectangle\":{\"width\":200,\"height\":40},"
	"\"text\":{\"text\":\"The Stage\",\"color\":\"white\",\"size\":16,\"position\":{\"x\":100,\"y\":20}}},"
	"{\"shape\":\"polygon\",\"polygon\":{\"points\":[{\"x\":0,\"y\":0},{\"x\":5,\"y\":0},{\"x\":5,\"y\":5}]}},"
	"{\"shape\":\"ellipse\",\"ellipse\":{\"radius\":{\"x\":3,\"y\":4}}},{\"shape\":\"circle\",\"circle\":{"
	"\"radius\":7}}],"
	"\"rows\":["
	"{\"row_number\":\"A\",\"row_label\":\"Row %s\",\"seat_label\":\"Seat %s\",\"uuid\":\"u-row\","
	"\"row_number_position\":\"both\",\"position\":{\"x\":0.1,\"y\":100},\"seats\":["
	"{\"seat_guid\":\"A-1\",\"seat_number\":\"1\",\"uuid\":\"u-seat\",\"start_direction\":\">\",\"radius\":12.5,"
	"\"position\":{\"x\":0.2,\"y\":0},\"category\":\"Stalls\"},"
	"{\"seat_guid\":\"A-2\",\"seat_number\":\"2\",\"start_direction\":null,\"position\":{\"x\":25,\"y\":1e1},"
	"\"category\":\"Stalls\"}]},"
	"{\"row_number\":\"B\",\"row_label\":null,\"seat_label\":null,\"row_number_position\":null,\"seats\":["
	"{\"seat_guid\":\"B-1\",\"seat_number\":\"\xE2\x99\xBF "
	"1\",\"position\":{\"x\":0,\"y\":0},\"category\":\"Stalls\"}]}]},"
	"{\"position\":{\"x\":-100,\"y\":300},\"rows\":[{\"row_number\":\"\",\"seats\":[]},{\"row_number\":\"1\","
	"\"seats\":["
	"{\"seat_guid\":\"\xC3\xA9\\\"{}%s \\r\\n\xE5\xBA\xA7\",\"seat_number\":\"7\",\"position\":{\"x\":0,\"y\":0},"
	"\"category\":\"Balcony\"}]}]}]}";

static struct plan *import(const char *text, struct error *ret_error)
{
	*ret_error = (struct error){.code = ERR_NONE};
	return plan_import(str_from(text), NULL, ret_error);
}

/* The base with one piece replaced; malloc'ed. */
static char *with(const char *piece, const char *instead)
{
	const char *at = strstr(base, piece);
	size_t n = sizeof(base) + strlen(instead);
	char *text = malloc(n);

	assert_non_null(text);
	if (!at)
		fail_msg("the base plan has no %s", piece);
	snprintf(text, n, "%.*s%s%s", (int)(at - base), base, instead, at + strlen(piece));
	return text;
}

static void assert_str(struct str s, const char *expected)
{
	if (!str_eqc(s, expected))
		fail_msg("\"%.*s\" instead of \"%s\"", STR_FMT(s), expected);
}

static void everything_is_read(void **state)
{
	struct error e;
	struct plan *p = import(base, &e);
	struct plan_seat s;
	struct plan_row r;
	int64_t width, height;
	double x, y;

	if (!p)
		fail_msg("%s: %s", e.path, e.detail);
	assert_str(plan_name(p), "Small house");
	plan_size(p, &width, &height);
	assert_int_equal(width, 800);
	assert_int_equal(height, 600);
	assert_int_equal(plan_n_seats(p), 4);
	assert_int_equal(plan_n_rows(p), 4);
	assert_int_equal(plan_n_zones(p), 2);
	assert_int_equal(plan_n_categories(p), 2);
	assert_str(plan_category(p, 0).name, "Stalls");
	assert_str(plan_category(p, 0).color, "#0072B2");
	assert_int_equal(plan_category(p, 0).seats, 3);
	assert_str(plan_category(p, 1).color, "#E69F00");
	assert_int_equal(plan_category_by_name(p, STR("Balcony")), 1);
	assert_int_equal(plan_category_by_name(p, STR("balcony")), -1);

	s = plan_seat(p, 0);
	assert_str(s.guid, "A-1");
	assert_str(s.number, "1");
	assert_str(s.label, "Seat 1");
	assert_true(s.x == 100.3 && s.y == 150.5 && s.radius == 12.5); /* 100 + 0.1 + 0.2, without the dust */
	assert_false(s.accessible);
	s = plan_seat(p, 1);
	assert_true(s.x == 125.1 && s.y == 160.5 && s.radius == 10);
	s = plan_seat(p, 2); /* its row has no position, its labels are null */
	assert_true(s.x == 100 && s.y == 50.5);
	assert_str(s.label, "\xE2\x99\xBF 1");
	assert_true(s.accessible);
	s = plan_seat(p, 3);
	assert_str(s.guid, "\xC3\xA9\"{}%s \r\n\xE5\xBA\xA7");
	assert_true(s.x == -100 && s.y == 300);
	assert_int_equal(s.category, 1);
	assert_int_equal(s.row, 3);

	r = plan_row(p, 0);
	assert_str(r.number, "A");
	assert_str(r.label, "Row A");
	assert_true(r.zone == 0 && r.first_seat == 0 && r.n_seats == 2);
	r = plan_row(p, 1);
	assert_str(r.label, "B");
	r = plan_row(p, 3);
	assert_true(r.zone == 1 && r.first_seat == 3 && r.n_seats == 1);
	assert_str(plan_zone(p, 1).name, "");
	assert_str(plan_zone(p, 1).areas, "[]");
	assert_true(plan_zone(p, 1).first_row == 2 && plan_zone(p, 1).n_rows == 2);

	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(plan_seat_by_guid(p, plan_seat_guid(p, i)), i);
	assert_int_equal(plan_seat_by_guid(p, STR("A-3")), -1);
	assert_int_equal(plan_seat_by_guid(p, STR("")), -1);

	/* the stage's middle, (100, 20), turned by 90 degrees around (110, 30.5) */
	plan_front(p, &x, &y);
	assert_true(x > 89.999 && x < 90.001 && y > 130.499 && y < 130.501);
	assert_ptr_equal(plan_ref(p), p);
	plan_unref(p);
	assert_int_equal(plan_n_seats(p), 4);
	plan_unref(p);
	plan_unref(NULL);
}

static void the_seat_map_says_it_all(void **state)
{
	static const char expected[] =
		"{\"version\":\"v \\\"1\\\"\",\"size\":{\"width\":800,\"height\":600},"
		"\"categories\":[{\"name\":\"Stalls\",\"color\":\"#0072B2\"},{\"name\":\"Balcony\",\"color\":\"#"
		"E69F00\"}],"
		"\"zones\":[{\"name\":\"Main\",\"areas\":["
		"{\"position\":{\"x\":110,\"y\":30.5},\"color\":\"rgba(0, 0, 0, "
		"0.5)\",\"border_color\":\"\",\"rotation\":90,"
		"\"shape\":\"rectangle\",\"rectangle\":{\"width\":200,\"height\":40},"
		"\"text\":{\"text\":\"The Stage\",\"color\":\"white\",\"size\":16,\"position\":{\"x\":100,\"y\":20}}},"
		"{\"position\":{\"x\":100,\"y\":50.5},\"shape\":\"polygon\","
		"\"polygon\":{\"points\":[{\"x\":0,\"y\":0},{\"x\":5,\"y\":0},{\"x\":5,\"y\":5}]}},"
		"{\"position\":{\"x\":100,\"y\":50.5},\"shape\":\"ellipse\",\"ellipse\":{\"radius\":{\"x\":3,\"y\":4}}}"
		","
		"{\"position\":{\"x\":100,\"y\":50.5},\"shape\":\"circle\",\"circle\":{\"radius\":7}}],"
		"\"rows\":[{\"number\":\"A\",\"label\":\"Row A\",\"seats\":["
		"{\"guid\":\"A-1\",\"number\":\"1\",\"label\":\"Seat 1\",\"x\":100.3,\"y\":150.5,\"radius\":12.5,"
		"\"category\":\"Stalls\"},"
		"{\"guid\":\"A-2\",\"number\":\"2\",\"label\":\"Seat 2\",\"x\":125.1,\"y\":160.5,\"radius\":10,"
		"\"category\":\"Stalls\"}]},"
		"{\"number\":\"B\",\"label\":\"B\",\"seats\":["
		"{\"guid\":\"B-1\",\"number\":\"\xE2\x99\xBF 1\",\"label\":\"\xE2\x99\xBF "
		"1\",\"x\":100,\"y\":50.5,\"radius\":10,"
		"\"category\":\"Stalls\",\"accessible\":true}]}]},"
		"{\"name\":\"\",\"areas\":[],\"rows\":[{\"number\":\"\",\"label\":\"\",\"seats\":[]},"
		"{\"number\":\"1\",\"label\":\"1\",\"seats\":["
		"{\"guid\":\"\xC3\xA9\\\"{}%s "
		"\\u000d\\u000a\xE5\xBA\xA7\",\"number\":\"7\",\"label\":\"7\",\"x\":-100,\"y\":300,"
		"\"radius\":10,\"category\":\"Balcony\"}]}]}]}";
	struct error e;
	struct plan *p = import(base, &e);
	struct buf out, tight;

	assert_non_null(p);
	buf_init(&out, 1 << 20);
	assert_true(plan_render_seatmap(p, STR("v \"1\""), &out));
	assert_string_equal(out.p, expected);
	buf_init(&tight, sizeof(expected) - 2);
	assert_false(plan_render_seatmap(p, STR("v \"1\""), &tight));
	buf_done(&tight);
	buf_done(&out);
	plan_unref(p);
}

/* Names of the greatest length, of characters that take most room, must fit where they are put together. */
static void the_longest_names_fit(void **state)
{
	struct buf text, out;
	struct error e;
	struct plan *p;
	json_t *j;

	buf_init(&text, 1 << 20);
	buf_adds(&text, "{\"name\":\"\",\"size\":{\"width\":1,\"height\":1},\"categories\":[{\"name\":\"");
	for (int i = 0; i < PLAN_NAME_MAX; i++)
		buf_adds(&text, "\\u0001");
	buf_adds(&text, "\"}],\"zones\":[{\"position\":{\"x\":-1e6,\"y\":-1e6},\"rows\":[{\"row_number\":\"\",\"seat_"
			"label\":\"");
	for (int i = 0; i < PLAN_NAME_MAX - PLAN_NUMBER_MAX; i++)
		buf_adds(&text, "\\u0002");
	buf_adds(&text, "%s\",\"seats\":[{\"position\":{\"x\":-999999.999999,\"y\":-999999.999999},\"seat_guid\":\"");
	for (int i = 0; i < PLAN_GUID_MAX; i++)
		buf_adds(&text, "\\u0003");
	buf_adds(&text, "\",\"seat_number\":\"");
	for (int i = 0; i < PLAN_NUMBER_MAX; i++)
		buf_adds(&text, "\xF0\x9F\x92\xBA");
	buf_adds(&text, "\",\"category\":\"");
	for (int i = 0; i < PLAN_NAME_MAX; i++)
		buf_adds(&text, "\\u0001");
	buf_adds(&text, "\"}]}]}]}");
	p = import(text.p, &e);
	if (!p)
		fail_msg("%s: %s", e.path, e.detail);
	buf_init(&out, 1 << 20);
	assert_true(plan_render_seatmap(p, STR("v"), &out));
	assert_non_null(strstr(out.p, "\"x\":-1999999.999999,"));
	j = json_read(buf_str(&out), 16, &e);
	assert_non_null(j);
	json_decref(j);
	plan_unref(p);
	buf_done(&out);
	buf_done(&text);
}

/* A good plan with a piece of it changed is refused, for this, at this place, in words. */
static void assert_refused(const char *piece, const char *instead, enum err code, const char *path)
{
	char *text = with(piece, instead);
	struct error e;

	if (import(text, &e))
		fail_msg("accepted: %s -> %s", piece, instead);
	if (e.code != code || strcmp(e.path, path) != 0)
		fail_msg("%s -> %s: code %d at \"%s\" instead of \"%s\": %s", piece, instead, e.code, e.path, path,
			 e.detail);
	assert_true(e.detail[0] != '\0');
	assert_true(str_utf8_valid(str_from(e.detail)) && str_utf8_valid(str_from(e.path)));
	free(text);
}

static void every_fault_has_its_place(void **state)
{
#define ROW0 "/zones/0/rows/0"
#define SEAT0 ROW0 "/seats/0"
	static const struct {
		const char *piece, *instead, *path;
	} faults[] = {
		/* missing, unknown, of the wrong type */
		{"\"name\":\"Small house\",", "", "/name"},
		{"\"name\":\"Small house\",", "\"name\":7,", "/name"},
		{"\"name\":\"Small house\",", "\"name\":null,", "/name"},
		{"\"name\":\"Small house\",", "\"name\":\"\",\"a/b~c\":1,", "/a~1b~0c"},
		{"\"name\":\"Small house\",", "\"name\":\"\",\"\":1,", "/"},
		{"\"size\":{\"width\":800,\"height\":600.0},", "", "/size"},
		{"\"size\":{\"width\":800,\"height\":600.0},", "\"size\":[],", "/size"},
		{"\"width\":800", "\"width\":800.5", "/size/width"},
		{"\"width\":800", "\"width\":\"800\"", "/size/width"},
		{"\"width\":800", "\"width\":0", "/size/width"},
		{"\"width\":800", "\"width\":1000001", "/size/width"},
		{"\"width\":800", "\"width\":99999999999999999999999", "/size/width"},
		{",\"height\":600.0", "", "/size/height"},
		{"\"height\":600.0", "\"height\":600,\"depth\":1", "/size/depth"},
		{"\"categories\":[", "\"categories\":{},\"x\":[", "/categories"},
		{"{\"name\":\"Balcony\"}", "\"Balcony\"", "/categories/1"},
		{"{\"name\":\"Balcony\"}", "{}", "/categories/1/name"},
		{"{\"name\":\"Balcony\"}", "{\"name\":\"\"}", "/categories/1/name"},
		{"{\"name\":\"Balcony\"}", "{\"name\":\"Stalls\"}", "/categories/1/name"},
		{"{\"name\":\"Balcony\"}", "{\"name\":\"Balcony\",\"price\":1}", "/categories/1/price"},
		{"#0072B2", "red;}", "/categories/0/color"},
		{"#0072B2", "\\\"", "/categories/0/color"},
		{"#0072B2", "#0072B20072B20072B20072B20072B20072B20072B20072B20072B20072B20072B",
		 "/categories/0/color"},
		{"\"zones\":[", "\"zones\":[null,", "/zones/0"},
		{"\"zones\":[", "\"zones\":[[],", "/zones/0"},
		{"\"zones\":[", "\"zones\":[{\"rows\":[]},", "/zones/0/position"},
		{"\"zones\":[", "\"zones\":[{\"position\":{\"x\":0,\"y\":0}},", "/zones/0/rows"},
		{"\"zones\":[", "\"zones\":[{\"position\":{\"x\":0,\"y\":0},\"rows\":null},", "/zones/0/rows"},
		{"\"name\":\"Main\"", "\"name\":null", "/zones/0/name"},
		{"\"zone_id\":\"main\"", "\"zone_id\":1", "/zones/0/zone_id"},
		{"\"x\":100,", "", "/zones/0/position/x"},
		{"\"x\":100,", "\"x\":true,", "/zones/0/position/x"},
		{"\"x\":100,", "\"x\":100,\"z\":1,", "/zones/0/position/z"},
		{"\"x\":100,", "\"x\":1000000.5,", "/zones/0/position/x"},
		{"\"x\":100,", "\"x\":-1e7,", "/zones/0/position/x"},
		{"\"x\":100,", "\"x\":1e999,", "/zones/0/position/x"},
		{"\"row_number\":\"A\",", "", ROW0 "/row_number"},
		{"\"row_number\":\"A\",", "\"row_number\":1,", ROW0 "/row_number"},
		{"\"row_number\":\"A\",", "\"row_number\":null,", ROW0 "/row_number"},
		{"\"Row %s\"", "[]", ROW0 "/row_label"},
		{"\"Seat %s\"", "1", ROW0 "/seat_label"},
		{"\"both\"", "\"middle\"", ROW0 "/row_number_position"},
		{"\"both\"", "\"\"", ROW0 "/row_number_position"},
		{"\"position\":{\"x\":0.1,\"y\":100},", "\"position\":null,", ROW0 "/position"},
		{"\"seat_guid\":\"A-1\",", "", SEAT0 "/seat_guid"},
		{"\"seat_guid\":\"A-1\",", "\"seat_guid\":1,", SEAT0 "/seat_guid"},
		{"\"seat_guid\":\"A-1\",", "\"seat_guid\":\"\",", SEAT0 "/seat_guid"},
		{"\"seat_guid\":\"A-1\",", "\"seat_guid\":\" A-1\",", SEAT0 "/seat_guid"},
		{"\"seat_guid\":\"A-1\",", "\"seat_guid\":\"A-1 \",", SEAT0 "/seat_guid"},
		{"\"seat_guid\":\"A-1\",",
		 "\"seat_guid\":\"12345678901234567890123456789012345678901234567890123456789012345\",",
		 SEAT0 "/seat_guid"},
		{"\"seat_number\":\"1\",", "", SEAT0 "/seat_number"},
		{"\"seat_number\":\"1\",", "\"seat_number\":1,", SEAT0 "/seat_number"},
		{"\"radius\":12.5", "\"radius\":\"12\"", SEAT0 "/radius"},
		{"\"radius\":12.5", "\"radius\":-1", SEAT0 "/radius"},
		{"\"position\":{\"x\":0.2,\"y\":0},", "", SEAT0 "/position"},
		{"\"position\":{\"x\":0.2,\"y\":0},", "\"position\":[0.2,0],", SEAT0 "/position"},
		{"\"start_direction\":\">\"", "\"start_direction\":false", SEAT0 "/start_direction"},
		{"\"start_direction\":null", "\"start\":null", ROW0 "/seats/1/start"},
		/* areas */
		{"\"areas\":[", "\"areas\":{},\"x\":[", "/zones/0/areas"},
		{"\"areas\":[", "\"areas\":[5,", "/zones/0/areas/0"},
		{"\"shape\":\"rectangle\"", "\"shape\":\"square\"", "/zones/0/areas/0/shape"},
		{"\"shape\":\"rectangle\"", "\"shape\":\"circle\"", "/zones/0/areas/0/circle"},
		{"\"rotation\":90", "\"rotation\":null", "/zones/0/areas/0/rotation"},
		{"\"border_color\":\"\"", "\"border_color\":\"url(x<y)\"", "/zones/0/areas/0/border_color"},
		{"{\"width\":200,\"height\":40}", "{\"width\":200}", "/zones/0/areas/0/rectangle/height"},
		{"{\"width\":200,\"height\":40}", "{\"width\":-1,\"height\":40}", "/zones/0/areas/0/rectangle/width"},
		{"\"text\":\"The Stage\",", "", "/zones/0/areas/0/text/text"},
		{"\"white\"", "0", "/zones/0/areas/0/text/color"},
		{",\"position\":{\"x\":100,\"y\":20}}", "}", "/zones/0/areas/0/text/position"},
		{",{\"x\":5,\"y\":5}]", "]", "/zones/0/areas/1/polygon/points"},
		{"{\"x\":5,\"y\":5}]", "{\"x\":5}]", "/zones/0/areas/1/polygon/points/2/y"},
		{"{\"x\":5,\"y\":5}]", "7]", "/zones/0/areas/1/polygon/points/2"},
		{"\"radius\":{\"x\":3,\"y\":4}", "\"radius\":{\"x\":3}", "/zones/0/areas/2/ellipse/radius/y"},
		{"\"circle\":{\"radius\":7}", "\"circle\":{\"radius\":-7}", "/zones/0/areas/3/circle/radius"},
		{"\"circle\":{\"radius\":7}", "\"rectangle\":{\"width\":1,\"height\":1}", "/zones/0/areas/3/circle"},
		/* what relates one part to another */
		{"\"seat_guid\":\"B-1\"", "\"seat_guid\":\"A-1\"", "/zones/0/rows/1/seats/0/seat_guid"},
		{"\xC3\xA9\\\"{}%s \\r\\n\xE5\xBA\xA7", "A-\\u0032", "/zones/1/rows/1/seats/0/seat_guid"},
		{"\"category\":\"Stalls\"},{", "\"category\":\"stalls\"},{", SEAT0 "/category"},
		{"\"category\":\"Balcony\"", "\"category\":\"\"", "/zones/1/rows/1/seats/0/category"},
		{"\"u-seat\"", "\"u-zone\"", SEAT0 "/uuid"},
		{"\"u-row\"", "\"u-area\"", ROW0 "/uuid"},
		{"\"u-area\"", "\"u-zone\"", "/zones/0/areas/0/uuid"},
		/* the JSON grammar allows it, we do not */
		{"\"A-1\"", "\"A\\u0000-1\"", SEAT0 "/seat_guid"},
		{"\"Small house\"", "\"\\u0000\"", "/name"},
		{"\"name\":\"Small house\"", "\"na\\u0000me\":\"\"", ""},
		{"\"u-seat\"", "[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]",
		 SEAT0 "/uuid/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0"},
		{base, "[]", ""},
		{base, "\"plan\"", ""},
		{base, "null", ""},
		{base, "{\"name\":\"\",\"zones\":[],\"categories\":[],\"size\":{\"width\":1,\"height\":1}}", "/zones"},
		{base,
		 "{\"name\":\"\",\"zones\":[{\"position\":{\"x\":0,\"y\":0},\"rows\":[{\"row_number\":\"1\",\"seats\":["
		 "]}]}],"
		 "\"categories\":[],\"size\":{\"width\":1,\"height\":1}}",
		 "/zones"},
	};

	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		assert_refused(faults[i].piece, faults[i].instead, ERR_INVALID_PLAN, faults[i].path);
}

static void what_is_not_json_is_told_apart(void **state)
{
	static const struct {
		const char *piece, *instead, *path;
	} faults[] = {
		{base, "", ""},
		{base, "{", ""},
		{base, "{\"name\":", "/name"},
		{"\"seat_number\":\"1\",", "\"seat_number\":\"1\",\"seat_number\":\"1\",", SEAT0 "/seat_number"},
		{"\"name\":\"Small house\",", "\"name\":\"\",\"n\\u0061me\":\"\",", "/name"},
		{"\"x\":0.2", "\"x\":0.2.1", SEAT0 "/position/x"},
		{"\"x\":0.2", "\"x\":01", SEAT0 "/position/x"},
		{"\"x\":0.2", "\"x\":NaN", SEAT0 "/position/x"},
		{"\"A-1\"", "\"A\xC3\"", SEAT0 "/seat_guid"},
		{"\"A-1\"", "\"A\xED\xA0\x80\"", SEAT0 "/seat_guid"},
		{"\"A-1\"", "\"A\\ud800\"", SEAT0 "/seat_guid"},
		{"\"A-1\"", "\"A\n\"", SEAT0 "/seat_guid"},
		{"\"A-1\"", "'A'", SEAT0 "/seat_guid"},
		{"\"category\":\"Balcony\"}]}]}]}", "\"category\":\"Balcony\"}]}]}]}}", ""},
		{"\"category\":\"Balcony\"}]}]}]}", "\"category\":\"Balcony\"}]}]}", "/zones/1"},
	};

	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		assert_refused(faults[i].piece, faults[i].instead, ERR_INVALID_REQUEST, faults[i].path);
}

/* What the schema leaves open and we must not refuse. */
static void the_lenient_side(void **state)
{
	static const char *const fine[][2] = {
		{"\"seat_guid\":\"A-1\"", "\"seat_guid\":\"1\""},
		{"\"seat_guid\":\"A-1\"", "\"seat_guid\":\"\xE5\xBA\xA7\""},
		{"\"width\":800", "\"width\":8e2"},
		{"\"x\":100,", "\"x\":1000000,"},
		{"\"x\":100,", "\"x\":-0.0,"},
		{"\"shape\":\"rectangle\",", ""},
		{"\"Seat %s\"", "\"\""},
		{"\"Seat %s\"", "\"100% %s%s%\""},
		{"\"row_number\":\"A\"", "\"row_number\":\"\""},
		{"\"start_direction\":null,", ""},
		{"\"position\":{\"x\":0.1,\"y\":100},", ""},
		{"#0072B2", ""},
	};

	for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++) {
		char *text = with(fine[i][0], fine[i][1]);
		struct error e;
		struct plan *p = import(text, &e);

		if (!p)
			fail_msg("%s -> %s: %s: %s", fine[i][0], fine[i][1], e.path, e.detail);
		plan_unref(p);
		free(text);
	}
}

static void labels_take_the_number_for_every_percent_s(void **state)
{
	static const struct {
		const char *template, *label;
	} cases[] = {{"%s", "1"},  {"%s/%s", "1/1"}, {"%%s", "%1"}, {"%d%", "%d%"},
		     {"s%", "s%"}, {"Box", "Box"},   {"", "1"}};
	struct error e;
	struct plan *p;
	char *text;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		text = with("Seat %s", cases[i].template);
		p = import(text, &e);
		assert_non_null(p);
		assert_str(plan_seat(p, 0).label, cases[i].label);
		plan_unref(p);
		free(text);
	}
	/* three times a number of 64 characters fit into 200, four times do not */
#define SIXTYFOUR "1234567890123456789012345678901234567890123456789012345678901234"
	text = with("\"A\",\"row_label\":\"Row %s\"", "\"" SIXTYFOUR "\",\"row_label\":\"%s %s %s\"");
	p = import(text, &e);
	assert_non_null(p);
	assert_int_equal(plan_row(p, 0).label.n, 3 * 64 + 2);
	plan_unref(p);
	free(text);
	text = with("\"A\",\"row_label\":\"Row %s\"", "\"" SIXTYFOUR "\",\"row_label\":\"%s%s%s%s\"");
	p = import(text, &e);
	assert_null(p);
	assert_int_equal(e.code, ERR_INVALID_PLAN);
	assert_string_equal(e.path, ROW0 "/row_label");
	free(text);
}

/* rows x per_row seats, 25 apart. */
static void make_large(struct buf *out, unsigned rows, unsigned per_row)
{
	buf_init(out, 1 << 28);
	buf_adds(out, "{\"name\":\"Arena\",\"size\":{\"width\":9000,\"height\":9000},\"categories\":[{\"name\":\"A\"}],"
		      "\"zones\":[{\"name\":\"Main\",\"position\":{\"x\":10,\"y\":20},\"rows\":[");
	for (unsigned r = 0; r < rows; r++) {
		buf_addf(out,
			 "%s{\"row_number\":\"%u\",\"seat_label\":\"Seat "
			 "%%s\",\"position\":{\"x\":3.5,\"y\":%u},\"seats\":[",
			 r ? "," : "", r + 1, r * 25);
		for (unsigned s = 0; s < per_row; s++)
			buf_addf(out,
				 "%s{\"seat_guid\":\"main-%u-%u\",\"seat_number\":\"%u\","
				 "\"uuid\":\"00000000-0000-4000-8000-%06u%06u\",\"position\":{\"x\":%u.25,\"y\":0},"
				 "\"category\":\"A\"}",
				 s ? "," : "", r + 1, s + 1, s + 1, r, s, s * 25);
		buf_adds(out, "]}");
	}
	buf_adds(out, "]}]}");
}

static void too_many_of_anything(void **state)
{
	const struct plan_limits tight = {
		.seats_max = 3, .rows_max = 3, .zones_max = 1, .areas_max = 3, .categories_max = 1, .depth_max = 7};
	struct plan_limits l;
	struct buf text;
	struct error e;
	struct plan *p;

#define REFUSED(member, expected_path) \
	do { \
		l = plan_limits_default; \
		l.member = tight.member; \
		e = (struct error){.code = ERR_NONE}; \
		assert_null(plan_import(str_from(base), &l, &e)); \
		assert_int_equal(e.code, ERR_INVALID_PLAN); \
		assert_string_equal(e.path, expected_path); \
		l.member++; \
		e = (struct error){.code = ERR_NONE}; \
		p = plan_import(str_from(base), &l, &e); \
		assert_non_null(p); \
		plan_unref(p); \
	} while (0)
	REFUSED(seats_max, "/zones/1/rows/1/seats/0");
	REFUSED(rows_max, "/zones/1/rows/1");
	REFUSED(zones_max, "/zones/1");
	REFUSED(areas_max, "/zones/0/areas/3");
	REFUSED(categories_max, "/categories/1");
	REFUSED(depth_max, "/zones/0/areas/1/polygon/points/0");

	make_large(&text, 400, 500);
	e = (struct error){.code = ERR_NONE};
	assert_null(plan_import(buf_str(&text), NULL, &e));
	assert_int_equal(e.code, ERR_INVALID_PLAN);
	assert_string_equal(e.path, "/zones/0/rows/200/seats/0");
	assert_non_null(strstr(e.detail, "100000"));
	buf_done(&text);

	/* exactly as many as allowed, and a name that looks like one more */
	make_large(&text, 200, 500);
	memcpy(strstr(text.p, "\"Arena\""), "\"seat_\"", 7);
	p = plan_import(buf_str(&text), NULL, &e);
	assert_non_null(p);
	assert_int_equal(plan_n_seats(p), 100000);
	plan_unref(p);
	buf_done(&text);
}

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* Figures are printed, not judged: the machine decides (CPU time: others may be using it). Judged is what a machine cannot change. */
static void a_large_plan(void **state)
{
	struct buf text, out;
	struct error e = {.code = ERR_NONE};
	struct plan *p;
	double t0, t1, t2, t3;
	json_t *map, *j;

	make_large(&text, 1000, 50);
	t0 = now_ms();
	p = plan_import(buf_str(&text), NULL, &e);
	t1 = now_ms();
	if (!p)
		fail_msg("%s: %s", e.path, e.detail);
	assert_int_equal(plan_n_seats(p), 50000);
	assert_true(plan_memory(p) / 50000 <= 120);
	buf_init(&out, 1 << 26);
	t2 = now_ms();
	assert_true(plan_render_seatmap(p, STR("1"), &out));
	t3 = now_ms();
	print_message("50,000 seats, %.1f MB: import %.1f ms, %zu bytes a seat; seat map %.1f ms, %.1f MB\n",
		      (double)text.n / 1e6, t1 - t0, plan_memory(p) / 50000, t3 - t2, (double)out.n / 1e6);
	for (uint32_t i = 0; i < 50000; i++)
		assert_int_equal(plan_seat_by_guid(p, plan_seat_guid(p, i)), i);
	map = json_read(buf_str(&out), 16, &e);
	assert_non_null(map);
	j = json_object_get(json_array_get(json_object_get(map, "zones"), 0), "rows");
	assert_int_equal(json_array_size(j), 1000);
	j = json_array_get(json_object_get(json_array_get(j, 999), "seats"), 49);
	assert_string_equal(json_string_value(json_object_get(j, "guid")), "main-1000-50");
	assert_true(json_number_value(json_object_get(j, "x")) == 10 + 3.5 + 49 * 25 + 0.25);
	assert_true(json_number_value(json_object_get(j, "y")) == 20 + 999 * 25);
	json_decref(map);
	plan_unref(p);
	buf_done(&out);
	buf_done(&text);
}

static void texts_that_mean_something(void **state)
{
	static const char *const accessible[] = {"Wheelchair",
						 "WHEELCHAIR PLACES",
						 "Row W (accessible)",
						 "\xE2\x99\xBF",
						 "A\xE2\x99\xBF",
						 "Rollstuhlplatz",
						 "\xE8\xBB\x8A\xE6\xA4\x85\xE5\xAD\x90"};
	static const char *const not_accessible[] = {"", "Stalls", "chair", "inaccessible", "\xE2\x99", "12"};
	static const char *const stage[] = {"STAGE",
					    "Main stage",
					    "B\xC3\xBChne",
					    "B\xC3\x9CHNE",
					    "Hauptb\xC3\xBChne",
					    "Screen 4",
					    "\xE8\x88\x9E\xE5\x8F\xB0",
					    "Sc\xC3\xA8ne"};
	static const char *const not_stage[] = {"", "Bar", "Backstage", "Stag", "B\xC3\x97hne"};

	for (size_t i = 0; i < sizeof(accessible) / sizeof(*accessible); i++)
		assert_true(plan_text_accessible(str_from(accessible[i])));
	for (size_t i = 0; i < sizeof(not_accessible) / sizeof(*not_accessible); i++)
		assert_false(plan_text_accessible(str_from(not_accessible[i])));
	for (size_t i = 0; i < sizeof(stage) / sizeof(*stage); i++)
		assert_true(plan_text_stage(str_from(stage[i])));
	for (size_t i = 0; i < sizeof(not_stage) / sizeof(*not_stage); i++)
		assert_false(plan_text_stage(str_from(not_stage[i])));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_is_read),
		cmocka_unit_test(the_seat_map_says_it_all),
		cmocka_unit_test(the_longest_names_fit),
		cmocka_unit_test(every_fault_has_its_place),
		cmocka_unit_test(what_is_not_json_is_told_apart),
		cmocka_unit_test(the_lenient_side),
		cmocka_unit_test(labels_take_the_number_for_every_percent_s),
		cmocka_unit_test(too_many_of_anything),
		cmocka_unit_test(a_large_plan),
		cmocka_unit_test(texts_that_mean_something),
	};

	return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
