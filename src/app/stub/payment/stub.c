#include "payment/payment_service.h"
#include "base/xmalloc.h"
#include "io/crypto.h"
#include <stdlib.h>
#include <unistd.h>
static const struct pg_stmt *const none[] = {NULL};
const struct pg_stmt *const *const payment_sql = none;
struct payment_service { int x; };
struct payment_service *payment_service_new(const struct payment_service_config *c, char *error, size_t n)
{
	return xcalloc(1, sizeof(struct payment_service));
}
void payment_service_free(struct payment_service *b)
{
	free(b);
}
void payment_routes(struct payment_service *b, struct web *w)
{
}
bool payment_configured(const struct payment_service *p)
{
	return false;
}
void payment_settle_due(struct payment_service *p, size_t max, void (*done)(void *arg, bool ok, bool more), void *arg)
{
	done(arg, true, false);
}
