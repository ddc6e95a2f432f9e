/*
 * Lists in pages. A list is in the order of (time, id), or of the id alone; a page's "next" is a cursor: the last row that was
 * said, and the page after it begins behind it.
 *
 *   GET ...?cursor= --> page_cursor_read --> WHERE (time, id) > ($n, $m) ... LIMIT page + 1 --> page_end ("next": cursor or null)
 *
 * A cursor is base64url (no padding) of 24 bytes: the time in microseconds since 1970 (8 bytes, the lowest first; 0 in lists by
 * id alone), then the id (16 bytes): 32 characters. Clients hand it back as it came. It says where, and grants nothing: every
 * list asks who is asking on each page. Nothing here blocks.
 */
#ifndef IO_PAGE_H
#define IO_PAGE_H

#include "io/web.h"

#define PAGE_CURSOR_TEXT BASE64URL_SIZE(24) /* with the NUL */

struct pg_result;

void page_cursor_text(int64_t us, const struct uuid *id, char out[PAGE_CURSOR_TEXT]);
/* false: not one of ours, or of a time before 1970 or from the year 10000 on (of others PostgreSQL may know nothing). */
bool page_cursor_parse(struct str text, int64_t *ret_us, struct uuid *ret_id);

/* The query parameter "cursor"; the beginning (0, zeros) when there is none; false after having answered 400. */
bool page_cursor_read(struct web_call *call, int64_t *ret_us, struct uuid *ret_id);

/* Ends a list's array and says what is "next": of a page of n rows, n + 1 were asked for. Column 0 is the id; col_time the time
 * the list is sorted by, -1 when by id alone. */
void page_end(struct jw *w, const struct pg_result *r, int n, int col_time);

/* The same for lists that are not rows of one answer: whether there is more, and the last one that was said. */
void page_end_at(struct jw *w, bool more, int64_t us, const struct uuid *last);

#endif
