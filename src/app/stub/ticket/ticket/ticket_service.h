/* Until the ticket service is there. */
#pragma once
#include "app/app.h"
struct ticket_service_config { struct loop *loop; struct pg *pg; struct offload *offload; struct auth *auth; struct event_service *event; };
extern const struct pg_stmt *const *const ticket_sql;
struct ticket_service *ticket_service_new(const struct ticket_service_config *c);
void ticket_service_free(struct ticket_service *b);
void ticket_routes(struct ticket_service *b, struct web *w);
