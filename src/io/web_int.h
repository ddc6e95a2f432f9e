/* Between web.c and web_limits.c. */
#ifndef IO_WEB_INT_H
#define IO_WEB_INT_H

#include "io/web.h"

const struct web_config *web_settings(const struct web_call *call);
/* Sets who asks and what holds for him; first of all. */
void web_limits_begin(struct web_call *call);
/* One of this session's requests. false after having answered 429. */
bool web_limit_session(struct web_call *call);

#endif
