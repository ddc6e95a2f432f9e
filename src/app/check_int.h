/* Between the parts of `boxoffice check`. */
#ifndef APP_CHECK_INT_H
#define APP_CHECK_INT_H

#include "app/check_sql.h"
#include "app/migrate.h"

/* I7. A difference counts when it is the same wait_ms later. Prints a line each; how many, -1 when it could not be asked. */
long check_maps(PGconn *pg, const char *redis_url, int wait_ms);

#endif
