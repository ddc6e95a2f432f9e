/* Cursors of lists, and the end of a page. page.h tells their form; every list of every service uses these. */
#include "io/page.h"

#include "base/times.h"
#include "io/pg.h"

#include <endian.h>
#include <string.h>

#define CURSOR_END_US (INT64_C(253402300800) * US_PER_SECOND) /* the year 10000 */

enum { TIME_BYTES = 8, CURSOR_BYTES = TIME_BYTES + sizeof(struct uuid) };
_Static_assert(PAGE_CURSOR_TEXT == BASE64URL_SIZE(CURSOR_BYTES), "page.h says how long a cursor is");

void page_cursor_text(int64_t us, const struct uuid *id, char out[PAGE_CURSOR_TEXT])
{
	uint64_t time = htole64((uint64_t)us);
	uint8_t raw[CURSOR_BYTES];

	memcpy(raw, &time, TIME_BYTES);
	memcpy(raw + TIME_BYTES, id->b, sizeof(id->b));
	base64url_encode(raw, sizeof(raw), out);
}

bool page_cursor_parse(struct str text, int64_t *ret_us, struct uuid *ret_id)
{
	uint8_t raw[CURSOR_BYTES];
	uint64_t time;
	size_t n;

	if (!base64url_decode(text, raw, sizeof(raw), &n) || n != sizeof(raw))
		return false;
	memcpy(&time, raw, TIME_BYTES);
	time = le64toh(time);
	if (time >= (uint64_t)CURSOR_END_US) /* those before 1970 too */
		return false;
	*ret_us = (int64_t)time;
	memcpy(ret_id->b, raw + TIME_BYTES, sizeof(ret_id->b));
	return true;
}

bool page_cursor_read(struct web_call *call, int64_t *ret_us, struct uuid *ret_id)
{
	struct error e = {0};
	struct str text;
	bool bad = false;

	*ret_us = 0;
	memset(ret_id, 0, sizeof(*ret_id));
	if (!http_req_query(call->req, "cursor", &text, &bad) && !bad)
		return true;
	if (!bad && page_cursor_parse(text, ret_us, ret_id))
		return true;
	error_set(&e, ERR_INVALID_REQUEST, "/cursor", "\"cursor\" must be what \"next\" of the page before said.");
	web_refuse_error(call, &e);
	return false;
}

void page_end_at(struct jw *w, bool more, int64_t us, const struct uuid *last)
{
	char next[PAGE_CURSOR_TEXT];

	jw_arr_end(w);
	jw_key(w, "next");
	if (!more) {
		jw_null(w);
		return;
	}
	page_cursor_text(us, last, next);
	jw_cstr(w, next);
}

void page_end(struct jw *w, const struct pg_result *r, int n, int col_time)
{
	bool more = pg_rows(r) > n;
	struct uuid last = {{0}};

	if (more)
		last = pg_get_uuid(r, n - 1, 0);
	page_end_at(w, more, more && col_time >= 0 ? pg_get_time(r, n - 1, col_time) : 0, &last);
}
