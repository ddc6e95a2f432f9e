/* Between web.c, web_limits.c and web_query.c. */
#ifndef IO_WEB_INT_H
#define IO_WEB_INT_H

#include "io/web.h"

/* Sets who asks and what holds for him; first of all. */
void web_limits_begin(struct web_call *call);
/* Nothing stands after "?" that the route does not take, nothing twice. false after having answered 400. */
bool web_query_known(struct web_call *call);
/* One of this session's requests. false after having answered 429. */
bool web_limit_session(struct web_call *call);

/* web.c, for those who answer in ways of their own: the call is answered with this; Content-Type (unless empty) and what else
 * every answer says, before headers, into out (n + 3), how many; the call's buffer is free for the next one. */
void web_note_answer(struct web_call *call, int status);
size_t web_with_defaults(struct http_header *out, const struct http_header *headers, size_t n, struct str type);
void web_keep_buffer(struct web *w, struct buf *out);

#endif
