/* The matrix has what every QR code must have, the SVG draws exactly the matrix; that it reads back is the business of
 * tests/integration/test_ticket_render.py. */
#include "ticket/qr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void assert_finder(const struct qr *qr, int x, int y)
{
	for (int i = 0; i < 7; i++)
		for (int j = 0; j < 7; j++) {
			int ring = i == 0 || i == 6 || j == 0 || j == 6, core = i >= 2 && i <= 4 && j >= 2 && j <= 4;

			assert_int_equal(qr_dark(qr, x + i, y + j), ring || core);
		}
}

static void test_matrix(void **state)
{
	char text[177];
	struct qr qr;

	memset(text, 'A', sizeof(text));
	memcpy(text, "BX1.", 4);
	assert_true(qr_encode((struct str){text, 176}, &qr));
	assert_int_equal(qr.size, 45); /* a ticket code is a version 7 code: the size the document promises */
	assert_finder(&qr, 0, 0);
	assert_finder(&qr, qr.size - 7, 0);
	assert_finder(&qr, 0, qr.size - 7);
	for (int i = 8; i < qr.size - 8; i++)
		assert_int_equal(qr_dark(&qr, i, 6), i % 2 == 0);
}

static void test_refused(void **state)
{
	static char text[QR_TEXT_MAX + 1];
	struct qr qr;

	memset(text, 'x', sizeof(text));
	assert_false(qr_encode(STR_NULL, &qr));
	assert_false(qr_encode((struct str){"a\0b", 3}, &qr));
	assert_false(qr_encode((struct str){text, QR_TEXT_MAX + 1}, &qr));
	assert_true(qr_encode((struct str){text, QR_TEXT_MAX}, &qr));
	assert_true(qr.size <= QR_SIZE_MAX);
}

/* Draws the path back: "M x y h n v 1 H x z" is a run. */
static void test_svg_is_the_matrix(void **state)
{
	static uint8_t drawn[QR_SIZE_MAX * QR_SIZE_MAX];
	struct buf out;
	struct qr qr;
	const char *p;
	int x, y, n, back, used;

	assert_true(qr_encode(STR("BX1.HELLO"), &qr));
	buf_init(&out, 1 << 20);
	assert_true(qr_svg(&qr, STR("Seat <A> & \"B\"\n\x7f"), &out));
	assert_non_null(strstr(out.p, "<title>Seat &lt;A&gt; &amp; \"B\"  </title>"));
	assert_non_null(strstr(out.p, "shape-rendering=\"crispEdges\""));
	p = strstr(out.p, "<path d=\"");
	assert_non_null(p);
	p += strlen("<path d=\"");
	while (sscanf(p, "M%d %dh%dv1H%dz%n", &x, &y, &n, &back, &used) == 4) {
		assert_true(x >= QR_QUIET_ZONE && y >= QR_QUIET_ZONE && x + n <= qr.size + QR_QUIET_ZONE &&
			    y < qr.size + QR_QUIET_ZONE && n > 0);
		assert_int_equal(back, x);
		for (int i = 0; i < n; i++)
			drawn[(y - QR_QUIET_ZONE) * qr.size + x - QR_QUIET_ZONE + i]++;
		p += used;
	}
	assert_int_equal(*p, '"');
	assert_memory_equal(drawn, qr.dark, (size_t)(qr.size * qr.size));
	buf_done(&out);
	buf_init(&out, 100);
	assert_false(qr_svg(&qr, STR("t"), &out));
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_matrix),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_svg_is_the_matrix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
