#include "seat/best.h"

#include "base/json.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

/*
 * Small plans are drawn: a line of text is a row, a character is 20 pixels. 's' and 'b' are seats of the categories
 * Stalls and Box, 'w' a wheelchair place, '.' nothing there (an aisle from two on; a single one is only a wide gap).
 * Upper case: taken. Rows are 25 apart, the first one in front.
 */
struct house {
	struct plan *plan;
	uint8_t *taken;
};

static struct house build(const char *const *rows, const char *extra_area)
{
	struct house h;
	struct buf text;
	struct error e = {.code = ERR_NONE};
	uint32_t n = 0;

	buf_init(&text, 1 << 24);
	buf_adds(&text, "{\"name\":\"\",\"size\":{\"width\":1,\"height\":1},\"categories\":[{\"name\":\"Stalls\"},{"
			"\"name\":\"Box\"},"
			"{\"name\":\"Wheelchair\"}],\"zones\":[{\"position\":{\"x\":0,\"y\":0},\"areas\":[");
	buf_adds(&text, extra_area);
	buf_adds(&text, "],\"rows\":[");
	h.taken = calloc(1, 100000);
	assert_non_null(h.taken);
	for (size_t r = 0; rows[r]; r++) {
		const char *comma = "";

		buf_addf(&text, "%s{\"row_number\":\"%zu\",\"seats\":[", r ? "," : "", r);
		for (size_t c = 0; rows[r][c]; c++) {
			char k = rows[r][c];

			if (k == '.')
				continue;
			buf_addf(&text,
				 "%s{\"seat_guid\":\"%zu-%zu\",\"seat_number\":\"%zu\",\"position\":{\"x\":%zu,\"y\":%"
				 "zu},"
				 "\"category\":\"%s\"}",
				 comma, r, c, c, c * 20, r * 25,
				 strchr("sS", k)   ? "Stalls"
				 : strchr("bB", k) ? "Box"
						   : "Wheelchair");
			comma = ",";
			h.taken[n++] = k < 'a';
		}
		buf_adds(&text, "]}");
	}
	buf_adds(&text, "]}]}");
	h.plan = plan_import(buf_str(&text), NULL, &e);
	if (!h.plan)
		fail_msg("%s: %s", e.path, e.detail);
	buf_done(&text);
	return h;
}

static void tear_down(struct house *h)
{
	plan_unref(h->plan);
	free(h->taken);
}

/* The rows again, with what was chosen as '#'; "" for nothing. Compared with `expected` (rows joined by '/'). */
static void expect(const char *const *rows, const char *area, uint32_t quantity, int category, const char *expected)
{
	struct house h = build(rows, area);
	struct seat_best_ask ask = {.quantity = quantity, .category = category};
	uint32_t seats[SEAT_BEST_QUANTITY_MAX], n = 0;
	char got[4096] = "", *at = got;
	bool found = seat_best(h.plan, h.taken, &ask, seats);

	for (size_t r = 0; rows[r] && found; r++) {
		if (r)
			*at++ = '/';
		for (size_t c = 0; rows[r][c]; c++, at++) {
			*at = rows[r][c];
			if (*at == '.')
				continue;
			for (uint32_t i = 0; i < quantity; i++)
				if (seats[i] == n)
					*at = '#';
			n++;
		}
	}
	*at = '\0';
	if (strcmp(got, expected) != 0)
		fail_msg("%u of category %d:\n  got      %s\n  expected %s", quantity, category, got, expected);
	tear_down(&h);
}

#define ROWS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void front_centre_first(void **state)
{
	expect(ROWS("sssssss", "sssssss"), "", 3, -1, "ss###ss/sssssss");
	expect(ROWS("sssssss", "sssssss"), "", 1, -1, "sss#sss/sssssss");
	/* the front row's ends are farther than the second row's middle */
	expect(ROWS("ssSSSSSSSss", "sssssssssss"), "", 2, -1, "ssSSSSSSSss/ssss##sssss");
	/* two equally near: the first in the plan */
	expect(ROWS("ssssss"), "", 1, -1, "ss#sss");
	expect(ROWS("SSSS"), "", 1, -1, "");
	expect(ROWS("SSsSS"), "", 1, -1, "SS#SS");
}

static void the_stage_is_where_the_plan_says(void **state)
{
	/* behind the second row, at the right */
	static const char stage[] =
		"{\"position\":{\"x\":100,\"y\":75},\"shape\":\"rectangle\",\"rectangle\":{\"width\":40,\"height\":10},"
		"\"text\":{\"text\":\"Stage\",\"position\":{\"x\":0,\"y\":0}}}";

	expect(ROWS("sssssss", "sssssss"), stage, 2, -1, "sssssss/sssss##");
}

static void an_aisle_separates(void **state)
{
	expect(ROWS("sss..sss"), "", 3, -1, "###..sss");
	expect(ROWS("sss..sss"), "", 4, -1, "");
	/* one seat missing is a gap, not an aisle */
	expect(ROWS("sss.sss"), "", 4, -1, "###.#ss");
	/* two pairs: the way across is not the usual distance */
	expect(ROWS("ss...ss", "sssssss"), "", 3, -1, "ss...ss/ss###ss");
	expect(ROWS("s....s", "ssssss"), "", 2, -1, "s....s/ss##ss");
}

static void no_seat_is_left_alone(void **state)
{
	/* the middle would be 2..3 and leave one on the left */
	expect(ROWS("sssss"), "", 2, -1, "##sss");
	expect(ROWS("ssss"), "", 3, -1, "###s");
	expect(ROWS("SSsssSS"), "", 2, -1, "SS##sSS"); /* cannot be helped */
	expect(ROWS("SSsssSS", "sssssss"), "", 2, -1, "SSsssSS/ss##sss");
	expect(ROWS("sss..sss", "ssss"), "", 2, -1, "sss..sss/ss##");
	/* a lone wheelchair place is no loss */
	expect(ROWS("wssS", "ssssss"), "", 2, -1, "w##S/ssssss");
}

static void the_category_asked_for(void **state)
{
	expect(ROWS("ssssss", "bbbbbb"), "", 2, 1, "ssssss/bb##bb");
	expect(ROWS("ssbsbs"), "", 2, 1, "");
	expect(ROWS("SbbS"), "", 2, -1, "S##S");
	expect(ROWS("ssbb"), "", 3, 0, "");
	/* a free seat of another category keeps the next one company */
	expect(ROWS("bss"), "", 1, 0, "bs#");
}

static void accessible_seats_last(void **state)
{
	expect(ROWS("wwww", "SSSS", "SSSS", "ssss"), "", 2, -1, "wwww/SSSS/SSSS/##ss");
	expect(ROWS("wwww", "SSSS"), "", 2, -1, "w##w/SSSS");
	expect(ROWS("ssss", "wwww"), "", 2, 2, "ssss/w##w");
	expect(ROWS("ssws"), "", 3, -1, "###s");
}

static void spread_draws_among_the_best(void **state)
{
	const char *const *rows = ROWS("ssssssss", "ssssssss", "ssssssss");
	struct house h = build(rows, "");
	uint32_t first[2], seats[2], seen = 0;
	bool used[24] = {false};

	assert_true(seat_best(h.plan, h.taken, &(struct seat_best_ask){2, -1, 1, 0}, first));
	for (uint32_t seed = 0; seed < 6; seed++) {
		struct seat_best_ask ask = {.quantity = 2, .category = -1, .spread = 6, .seed = seed};

		assert_true(seat_best(h.plan, h.taken, &ask, seats));
		if (seed == 0)
			assert_memory_equal(seats, first, sizeof(first));
		assert_int_equal(seats[1], seats[0] + 1);
		assert_false(used[seats[0]] || used[seats[1]]);
		used[seats[0]] = used[seats[1]] = true;
		seen++;
	}
	assert_int_equal(seen, 6);
	/* with one block left every draw finds it */
	memset(h.taken, 1, 24);
	h.taken[10] = h.taken[11] = 0;
	for (uint32_t seed = 0; seed < 50; seed++) {
		struct seat_best_ask ask = {
			.quantity = 2, .category = -1, .spread = SEAT_BEST_SPREAD_MAX, .seed = seed};

		assert_true(seat_best(h.plan, h.taken, &ask, seats));
		assert_true(seats[0] == 10 && seats[1] == 11);
	}
	tear_down(&h);
}

/*
 * The rule again, from its description and the plan's seats alone, as slowly as it takes. Rows are straight and listed
 * in order here, so neighbours are consecutive numbers of one row not more than two characters apart.
 */
static bool together(const struct plan *p, uint32_t a, uint32_t b)
{
	struct plan_seat s = plan_seat(p, a), t = plan_seat(p, b);

	return s.row == t.row && fabs(t.x - s.x) <= 44;
}

static double judge(const struct house *h, uint32_t from, uint32_t quantity, int category)
{
	const struct plan *p = h->plan;
	uint32_t n = plan_n_seats(p), to = from + quantity;
	double x = 0, y = 0, front_x, front_y, demerit = 0;
	bool asked = category >= 0 && plan_text_accessible(plan_category(p, (uint32_t)category).name),
	     accessible = false;

	if (to > n)
		return -1;
	for (uint32_t i = from; i < to; i++) {
		struct plan_seat s = plan_seat(p, i);

		if (h->taken[i] || (category >= 0 && s.category != (uint32_t)category) ||
		    (i > from && !together(p, i - 1, i)))
			return -1;
		accessible |= s.accessible && !asked;
		x += s.x / quantity;
		y += s.y / quantity;
	}
	if (from > 0 && together(p, from - 1, from) && !h->taken[from - 1] && !plan_seat(p, from - 1).accessible &&
	    (from == 1 || !together(p, from - 2, from - 1) || h->taken[from - 2]))
		demerit++;
	if (to < n && together(p, to - 1, to) && !h->taken[to] && !plan_seat(p, to).accessible &&
	    (to + 1 == n || !together(p, to, to + 1) || h->taken[to + 1]))
		demerit++;
	if (accessible)
		demerit += 4;
	plan_front(p, &front_x, &front_y);
	return demerit * 1e9 + hypot(x - front_x, y - front_y);
}

static void as_the_slow_way_finds_it(void **state)
{
	uint32_t found = 0, none = 0;

	srandom(20261123);
	for (int round = 0; round < 1500; round++) {
		char text[6][24];
		const char *rows[7] = {NULL};
		struct house h;
		int n_rows = 1 + (int)(random() % 6);

		for (int r = 0; r < n_rows; r++) {
			int length = 4 + (int)(random() % 16), fill = (int)(random() % 9);

			/* four seats side by side fix the usual distance */
			for (int c = 0; c < length; c++) {
				text[r][c] = c >= 5 && c % 7 < 2 && round % 3 == 0 ? '.' : "ssssssbbbw"[random() % 10];
				if (text[r][c] != '.' && random() % 9 < fill)
					text[r][c] = (char)(text[r][c] - 32);
			}
			text[r][length] = '\0';
			rows[r] = text[r];
		}
		h = build(rows, "");
		for (uint32_t quantity = 1; quantity <= 10; quantity++)
			for (int category = -1; category < 3; category++) {
				struct seat_best_ask ask = {.quantity = quantity, .category = category};
				uint32_t seats[10], best = 0;
				double least = -1, got;
				bool is;

				for (uint32_t i = 0; i < plan_n_seats(h.plan); i++) {
					double v = judge(&h, i, quantity, category);

					if (v >= 0 && (least < 0 || v < least - 1e-6)) {
						least = v;
						best = i;
					}
				}
				is = seat_best(h.plan, h.taken, &ask, seats);
				found += is;
				none += !is;
				assert_int_equal(is, least >= 0);
				if (!is)
					continue;
				for (uint32_t i = 1; i < quantity; i++)
					assert_int_equal(seats[i], seats[0] + i);
				got = judge(&h, seats[0], quantity, category);
				if (fabs(got - least) > 1e-5)
					fail_msg("round %d, %u of %d: seat %u (%f) instead of %u (%f)", round, quantity,
						 category, seats[0], got, best, least);
				/* and whatever is drawn with a spread is as free of demerits */
				ask.spread = 8;
				ask.seed = (uint32_t)random();
				assert_true(seat_best(h.plan, h.taken, &ask, seats));
				got = judge(&h, seats[0], quantity, category);
				assert_true(got >= 0 && floor(got / 1e9) == floor(least / 1e9));
			}
		tear_down(&h);
	}
	/* both outcomes were met often */
	assert_true(found > 5000 && none > 5000);
}

/* Rows on an arc, listed odd numbers first, as some plans do: neighbours are still who sits side by side. */
static void rows_listed_out_of_order(void **state)
{
	struct buf text;
	struct error e = {.code = ERR_NONE};
	struct plan *p;
	uint8_t taken[12] = {0};
	uint32_t seats[12];

	buf_init(&text, 1 << 16);
	buf_adds(&text, "{\"name\":\"\",\"size\":{\"width\":1,\"height\":1},\"categories\":[{\"name\":\"A\"}],"
			"\"zones\":[{\"position\":{\"x\":500,\"y\":0},\"rows\":[{\"row_number\":\"1\",\"seats\":[");
	for (int i = 0; i < 12; i++) {
		int place = i < 6 ? i * 2 : (i - 6) * 2 + 1;
		double angle = (place - 5.5) * 0.1;

		buf_addf(&text,
			 "%s{\"seat_guid\":\"%d\",\"seat_number\":\"%d\",\"position\":{\"x\":%f,\"y\":%f},\"category\":"
			 "\"A\"}",
			 i ? "," : "", place, place, 250 * sin(angle), 250 * cos(angle));
	}
	buf_adds(&text, "]}]}]}");
	p = plan_import(buf_str(&text), NULL, &e);
	assert_non_null(p);
	assert_true(seat_best(p, taken, &(struct seat_best_ask){.quantity = 12, .category = -1}, seats));
	assert_true(seat_best(p, taken, &(struct seat_best_ask){.quantity = 2, .category = -1}, seats));
	{
		uint64_t a = 0, b = 0;

		assert_true(str_to_u64(plan_seat_guid(p, seats[0]), 99, &a));
		assert_true(str_to_u64(plan_seat_guid(p, seats[1]), 99, &b));
		assert_true(a + 1 == b || b + 1 == a);
	}
	plan_unref(p);
	buf_done(&text);
}

/* The plan that `boxoffice up` shows: its aisles separate, its best seats are the best, its places are kept. */
static void the_demo_theatre(void **state)
{
	static char text[1 << 18];
	FILE *f = fopen(THEATRE_JSON, "rb");
	struct error e = {.code = ERR_NONE};
	struct seat_best_ask ask = {.quantity = 2, .category = -1};
	uint8_t taken[1000] = {0};
	uint32_t seats[20], n, runs = 0, accessible = 0;
	struct plan *p;
	double x, y;

	assert_non_null(f);
	p = plan_import((struct str){text, fread(text, 1, sizeof(text), f)}, NULL, &e);
	fclose(f);
	if (!p)
		fail_msg("%s: %s", e.path, e.detail);
	n = plan_n_seats(p);
	assert_in_range(n, 450, 550);
	for (uint32_t i = 0; i < n; i++) {
		runs += (plan_spots(p)[i].flags & PLAN_SPOT_FIRST) != 0;
		accessible += plan_seat(p, i).accessible;
	}
	/* stalls 12 rows in two halves and the wheelchair row's two, 10 boxes, 5 balcony rows in three blocks */
	assert_int_equal(runs, 12 * 2 + 2 + 10 + 5 * 3);
	assert_int_equal(accessible, 8);
	plan_front(p, &x, &y);
	assert_true(fabs(x - 600) < 1 && y < 160);
	assert_true(seat_best(p, taken, &ask, seats));
	assert_true(str_eqc(plan_seat_guid(p, seats[0]), "A-8") && str_eqc(plan_seat_guid(p, seats[1]), "A-9"));
	ask.category = plan_category_by_name(p, STR("Boxes"));
	ask.quantity = 4;
	assert_true(seat_best(p, taken, &ask, seats));
	assert_int_equal(plan_seat(p, seats[0]).row, plan_seat(p, seats[3]).row);
	ask.quantity = 5;
	assert_false(seat_best(p, taken, &ask, seats));
	/* sold pair by pair until none is left, wheelchair places last */
	ask = (struct seat_best_ask){.quantity = 2, .category = -1};
	for (n = 0; seat_best(p, taken, &ask, seats); n++) {
		if (plan_seat(p, seats[0]).accessible)
			accessible -= 2;
		else
			assert_int_equal(accessible, 8);
		taken[seats[0]] = taken[seats[1]] = 1;
	}
	assert_int_equal(accessible, 0);
	/* on average not even every run has lost one to being left alone */
	assert_true(plan_n_seats(p) - 2 * n < runs);
	plan_unref(p);
}

static void figures(void **state)
{
	char row[101];
	const char *rows[201];
	struct house h;

	memset(row, 's', 100);
	row[100] = '\0';
	for (int i = 0; i < 200; i++)
		rows[i] = row;
	rows[200] = NULL;
	h = build(rows, "");
	for (int fill = 0; fill <= 2; fill++)
		for (uint32_t spread = 1; spread <= SEAT_BEST_SPREAD_MAX; spread *= 64) {
			struct timespec a, b;
			uint32_t seats[4];

			for (uint32_t i = 0; i < 20000; i++)
				h.taken[i] = fill == 2 || (fill == 1 && i % 12 < 6);
			clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
			for (uint32_t i = 0; i < 100; i++)
				assert_int_equal(
					seat_best(h.plan, h.taken, &(struct seat_best_ask){4, -1, spread, i}, seats),
					fill < 2);
			clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
			print_message("20,000 seats, %s, spread %u: %.0f us\n",
				      fill == 0	  ? "empty"
				      : fill == 1 ? "half full"
						  : "sold out",
				      spread,
				      ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / 1e5);
		}
	tear_down(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(front_centre_first),
		cmocka_unit_test(the_stage_is_where_the_plan_says),
		cmocka_unit_test(an_aisle_separates),
		cmocka_unit_test(no_seat_is_left_alone),
		cmocka_unit_test(the_category_asked_for),
		cmocka_unit_test(accessible_seats_last),
		cmocka_unit_test(spread_draws_among_the_best),
		cmocka_unit_test(as_the_slow_way_finds_it),
		cmocka_unit_test(rows_listed_out_of_order),
		cmocka_unit_test(the_demo_theatre),
		cmocka_unit_test(figures),
	};

	return cmocka_run_group_tests_name("best", tests, NULL, NULL);
}
