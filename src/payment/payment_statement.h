/* The daily statement; and the cursors of lists that are in the order of the trail (time, event). */
#ifndef PAYMENT_PAYMENT_STATEMENT_H
#define PAYMENT_PAYMENT_STATEMENT_H

#include "io/web.h"

#define PAYMENT_CURSOR_TEXT BASE64URL_SIZE(24)

/* The query parameter "cursor"; the beginning (0, zeros) when there is none; false after having answered 400. */
bool payment_cursor_read(struct web_call *call, int64_t *ret_us, struct uuid *ret_id);
void payment_cursor_text(int64_t us, const struct uuid *id, char out[PAYMENT_CURSOR_TEXT]);

web_handler payment_statement_get;

#endif
