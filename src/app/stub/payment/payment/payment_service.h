/* Until the payment service is there. */
#pragma once
#include "app/app.h"
struct payment_service_config { struct loop *loop; struct pg *pg; struct http_client *http; struct metrics *metrics; struct seat_map *map; struct ticket_service *ticket; struct event_service *event; const char *url, *key_file; int64_t timeout_ms; };
extern const struct pg_stmt *const *const payment_sql;
struct payment_service *payment_service_new(const struct payment_service_config *c, char *error, size_t n);
void payment_service_free(struct payment_service *b);
void payment_routes(struct payment_service *b, struct web *w);
bool payment_configured(const struct payment_service *p);
void payment_settle_due(struct payment_service *p, size_t max, void (*done)(void *arg, bool ok, bool more), void *arg);
