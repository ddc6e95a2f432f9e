/* Until the booking service is there. */
#pragma once
#include "app/app.h"
struct booking_service_config { struct loop *loop; struct offload *offload; struct http_client *http; struct pg *pg; struct auth *auth; struct event_service *event; struct seat_map *map; struct payment_service *payment; struct ticket_service *ticket; struct metrics *metrics; const char *return_urls, *public_url; };
extern const struct pg_stmt *const *const booking_sql;
struct booking_service *booking_service_new(const struct booking_service_config *c);
void booking_service_free(struct booking_service *b);
void booking_routes(struct booking_service *b, struct web *w);
