/* Between the parts of `boxoffice check`. */
#ifndef APP_CHECK_INT_H
#define APP_CHECK_INT_H

#include "app/check_sql.h"
#include "app/migrate.h"

#include <stdint.h>

/* Drops every map, count of sessions and stream of changes that Redis has, of whatever show: how many keys, -1 after a
 * sentence. They are made anew when they are asked for. */
long check_drop_maps(const char *redis_url);

/* I7. A difference counts when it is the same wait_ms later. Prints a line each; how many, -1 when it could not be asked. */
long check_maps(PGconn *pg, const char *redis_url, int wait_ms);

/* The gateway's ledger, read with its secret key. */
struct gateway_access {
	const char *url, *key_file, *ca_file;
	int64_t timeout_ms;
};
/* I3 against the gateway. Settling may be grace_s and a minute late. As check_maps otherwise; once in a connection's life. */
long check_gateway(PGconn *pg, const struct gateway_access *g, uint64_t grace_s, int wait_ms);
/* After check_gateway: what was compared, onto the ok line. */
bool check_gateway_counts(PGconn *pg);

/* All of it: what there is to compare. */
struct check_access {
	const char *database, *redis;  /* redis "": none */
	struct gateway_access gateway; /* url "": none */
	uint64_t wait_ms, grace_s;
};
/* A line per violation on standard output. 0 all hold, 1 some do not, 2 could not be asked. */
int check_run(const struct check_access *a);

#endif
