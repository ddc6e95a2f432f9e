/* Between the parent of serve (serve.c) and its workers (serve_worker.c). */
#ifndef APP_SERVE_INT_H
#define APP_SERVE_INT_H

#include "app/app.h"
#include "io/net.h"
#include "io/rate_limit.h"

/* What limits clients, the same for all workers; made by the parent. */
struct serve_limits {
	struct limits *limits;
	struct net_list proxies, unlimited;
};
/* false after a sentence on standard error. */
bool serve_limits_init(struct serve_limits *l, const struct config *config);

/* Runs until drained; returns the exit status: 0, 1 could not start, 2 wrong settings, 3 a schema it does not know. */
int serve_worker(const struct config *config, struct metrics *metrics, const struct serve_limits *limits,
		 unsigned services, int index, int listener, int own);
/* /docs and the file it shows (docs_page.c). */
void docs_routes(struct web *web);
/* Label values of the metrics by route: "-", then every route in the order of their registration, then NULL. */
const char **serve_route_names(void);

#endif
