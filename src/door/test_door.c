/* The rules of the door: a ticket's arrows, reasons, what devices may ask, clocks that are off. */
#include "door/door.h"

#include "base/times.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_arrows(void **state)
{
	(void)state;
	assert_true(ticket_may(TICKET_VALID, TICKET_USED));
	assert_true(ticket_may(TICKET_USED, TICKET_VALID));
	assert_true(ticket_may(TICKET_VALID, TICKET_REVOKED_FOR_GOOD));
	/* a booking with a used ticket is not cancelled, and what is revoked stays so */
	assert_false(ticket_may(TICKET_USED, TICKET_REVOKED_FOR_GOOD));
	assert_false(ticket_may(TICKET_REVOKED_FOR_GOOD, TICKET_VALID));
	assert_false(ticket_may(TICKET_REVOKED_FOR_GOOD, TICKET_USED));
}

static void test_reasons(void **state)
{
	(void)state;
	for (int i = 0; i < DOOR_REASONS; i++) {
		assert_non_null(door_reason_name((enum door_reason)i));
		assert_int_equal(door_reason_read(str_from(door_reason_name((enum door_reason)i))), i);
	}
	assert_int_equal(door_reason_read(STR("")), DOOR_OK);
	assert_int_equal(door_reason_read(STR("rain")), DOOR_INVALID);
	assert_int_equal(door_reason_of_code(TICKET_OK), DOOR_OK);
	assert_int_equal(door_reason_of_code(TICKET_MALFORMED), DOOR_INVALID);
	assert_int_equal(door_reason_of_code(TICKET_BAD_SIGNATURE), DOOR_INVALID);
	assert_int_equal(door_reason_of_code(TICKET_UNKNOWN_KEY), DOOR_UNKNOWN_KEY);
	assert_int_equal(door_reason_of_code(TICKET_WRONG_SHOW), DOOR_WRONG_SHOW);
}

/* '' when it may be asked, else the JSON Pointer of the fault. */
static const char *fault(bool (*read)(const json_t *, struct door_ask *, struct error *), const char *text)
{
	static char path[ERROR_PATH_MAX];
	struct error e = {0};
	struct door_ask ask;
	json_t *body = json_read(str_from(text), JSON_DEPTH_DEFAULT, &e);

	assert_non_null(body);
	strcpy(path, "");
	if (!read(body, &ask, &e)) {
		assert_int_not_equal(e.code, ERR_NONE);
		snprintf(path, sizeof(path), "%s", *e.path ? e.path : "?");
	}
	json_decref(body);
	return path;
}

static void test_checkin(void **state)
{
	char text[8192], much[DOOR_CODE_MAX + 2];

	(void)state;
	assert_string_equal(fault(door_read_checkin, "{\"code\":\"x\",\"nonce\":\"1\",\"device\":\"Door 1\"}"), "");
	assert_string_equal(fault(door_read_checkin, "{\"code\":\"BEGIN:VCARD\\nN:A\",\"nonce\":\"1\"}"), "");
	assert_string_equal(fault(door_read_checkin, "{\"code\":\"a\\u0007b\",\"nonce\":\"1\"}"), "");
	assert_string_equal(fault(door_read_checkin, "{\"code\":\"\",\"nonce\":\"1\"}"), "/code");
	assert_string_equal(fault(door_read_checkin, "{\"nonce\":\"1\",\"device\":\"d\"}"), "/code");
	assert_string_equal(fault(door_read_checkin, "{\"code\":\"x\",\"device\":\"d\"}"), "/nonce");
	assert_string_equal(fault(door_read_checkin, "{\"code\":\"x\",\"nonce\":\"\"}"), "/nonce");
	assert_string_equal(fault(door_read_checkin, "{\"code\":\"x\",\"nonce\":7}"), "/nonce");
	assert_string_equal(fault(door_read_checkin, "{\"code\":\"x\",\"nonce\":\"1\",\"device\":\"\"}"), "/device");
	assert_string_equal(fault(door_read_checkin, "{\"code\":\"x\",\"nonce\":\"1\",\"seat\":\"A-1\"}"), "/seat");
	memset(much, 'A', sizeof(much));
	much[DOOR_CODE_MAX + 1] = '\0';
	snprintf(text, sizeof(text), "{\"code\":\"%s\",\"nonce\":\"1\"}", much);
	assert_string_equal(fault(door_read_checkin, text), "/code");
	much[DOOR_NONCE_MAX + 1] = '\0';
	snprintf(text, sizeof(text), "{\"code\":\"x\",\"nonce\":\"%s\"}", much);
	assert_string_equal(fault(door_read_checkin, text), "/nonce");
}

static void test_undo(void **state)
{
	(void)state;
	assert_string_equal(fault(door_read_undo, "{\"nonce\":\"1\"}"), "");
	assert_string_equal(fault(door_read_undo, "{\"nonce\":\"1\",\"code\":\"x\"}"), "");
	assert_string_equal(
		fault(door_read_undo, "{\"nonce\":\"1\",\"ticket_id\":\"018f3f64-a1b2-7e66-9c4d-3d4e5f6a7b06\"}"), "");
	assert_string_equal(
		fault(door_read_undo,
		      "{\"nonce\":\"1\",\"code\":\"x\",\"ticket_id\":\"018f3f64-a1b2-7e66-9c4d-3d4e5f6a7b06\"}"),
		"/ticket_id");
	assert_string_equal(
		fault(door_read_undo, "{\"nonce\":\"1\",\"ticket_id\":\"00000000-0000-0000-0000-000000000000\"}"),
		"/ticket_id");
}

static const char *upload_fault(const char *text, size_t *ret_n)
{
	static char path[ERROR_PATH_MAX];
	struct error e = {0};
	struct door_upload_ask ask;
	json_t *body = json_read(str_from(text), JSON_DEPTH_DEFAULT, &e);

	assert_non_null(body);
	strcpy(path, "");
	if (!door_read_upload(body, &ask, &e))
		snprintf(path, sizeof(path), "%s", *e.path ? e.path : "?");
	*ret_n = ask.n;
	door_upload_done(&ask);
	json_decref(body);
	return path;
}

#define SCAN(nonce) "{\"nonce\":\"" nonce "\",\"code\":\"x\",\"scanned_at\":\"2026-11-27T19:00:00Z\"}"
#define UPLOAD(scans) "{\"device\":\"d\",\"sent_at\":\"2026-11-27T20:00:00Z\",\"scans\":[" scans "]}"

static void test_upload(void **state)
{
	size_t n, most = DOOR_SCANS_MAX;
	struct buf b;

	(void)state;
	assert_string_equal(upload_fault(UPLOAD(SCAN("1") "," SCAN("2")), &n), "");
	assert_int_equal(n, 2);
	assert_string_equal(upload_fault(UPLOAD(""), &n), "/scans");
	assert_string_equal(upload_fault("{\"device\":\"d\",\"scans\":[" SCAN("1") "]}", &n), "/sent_at");
	assert_string_equal(upload_fault(UPLOAD(SCAN("1") ",7"), &n), "/scans/1");
	assert_string_equal(upload_fault(UPLOAD("{\"nonce\":\"1\",\"code\":\"x\"}"), &n), "/scans/0/scanned_at");
	assert_string_equal(upload_fault(UPLOAD(SCAN("b") "," SCAN("a") "," SCAN("c") "," SCAN("a")), &n),
			    "/scans/3/nonce");
	for (size_t many = most; many <= most + 1; many++) {
		buf_init(&b, 1 << 20);
		buf_adds(&b, "{\"sent_at\":\"2026-11-27T20:00:00Z\",\"scans\":[");
		for (size_t i = 0; i < many; i++)
			buf_addf(&b, "%s{\"nonce\":\"%zu\",\"code\":\"x\",\"scanned_at\":\"2026-11-27T19:00:00Z\"}",
				 i ? "," : "", i);
		buf_adds(&b, "]}");
		assert_string_equal(upload_fault(buf_str(&b).p, &n), many == most ? "" : "/scans");
		buf_done(&b);
	}
}

static void test_clocks(void **state)
{
	const int64_t h = US_PER_HOUR, now = 500000 * h;

	(void)state;
	/* right; an hour slow; an hour fast */
	assert_int_equal(door_corrected_us(now - 2 * h, now, now), now - 2 * h);
	assert_int_equal(door_corrected_us(now - 3 * h, now - h, now), now - 2 * h);
	assert_int_equal(door_corrected_us(now - h, now + h, now), now - 2 * h);
	/* later than it was sent: a clock that was set meanwhile; nothing is scanned in the future */
	assert_int_equal(door_corrected_us(now + 5 * h, now, now), now);
	assert_int_equal(door_corrected_us(0, now * 10, now), 0);
}

/* Printed for the test that compares the drawing with the SQL files. */
static void print_arrows(void)
{
	for (size_t i = 0; i < ticket_arrows_n; i++)
		printf("%s %s %s\n", ticket_arrows[i].file, ticket_state_name(ticket_arrows[i].from),
		       ticket_state_name(ticket_arrows[i].to));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arrows), cmocka_unit_test(test_reasons), cmocka_unit_test(test_checkin),
		cmocka_unit_test(test_undo),   cmocka_unit_test(test_upload),  cmocka_unit_test(test_clocks),
	};

	if (argc == 2 && strcmp(argv[1], "--arrows") == 0) {
		print_arrows();
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
