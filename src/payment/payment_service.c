#include "payment/payment_service.h"
struct payment_service *payment_service_new(const struct payment_service_config *config, char *error, size_t size) { return (void *)1; }
void payment_service_free(struct payment_service *p) {}
bool payment_configured(const struct payment_service *p) { return true; }
void payment_routes(struct payment_service *p, struct web *web) {}
void payment_settle_due(struct payment_service *p, int limit, payment_settled_fn *fn, void *arg) { fn(arg, true, false); }
static const struct pg_stmt *const none[] = {0};
const struct pg_stmt *const *const payment_sql = none;
