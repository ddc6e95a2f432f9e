#include "ticket/ticket_service.h"
#include "base/xmalloc.h"
#include "io/crypto.h"
#include <stdlib.h>
#include <unistd.h>
static const struct pg_stmt *const none[] = {NULL};
const struct pg_stmt *const *const ticket_sql = none;
struct ticket_service { int x; };
struct ticket_service *ticket_service_new(const struct ticket_service_config *c)
{
	return xcalloc(1, sizeof(struct ticket_service));
}
void ticket_service_free(struct ticket_service *b)
{
	free(b);
}
void ticket_routes(struct ticket_service *b, struct web *w)
{
}
