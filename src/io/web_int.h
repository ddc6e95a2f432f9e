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

#endif
